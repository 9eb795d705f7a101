use std::process::ExitCode;

fn main() -> ExitCode {
    care_studio::cli::main()
}
