use std::process::ExitCode;

fn main() -> ExitCode {
    care_learn::device::keep_memory();
    care_studio::cli::main()
}
