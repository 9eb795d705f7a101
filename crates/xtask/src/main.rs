//! Set-up and chores, for a machine that has only Rust and Python's pip.
//!
//! Needs neither libtorch nor a window, so that it can be built before either is there.

mod libtorch;
mod system;

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use libtorch::WheelSet;

const USAGE: &str = "\
Usage: cargo xtask <COMMAND>

Commands:
  setup [--cuda]   put in place what is missing: libtorch, system packages (--cuda: with CUDA, 2 GB more to download)
  demo [ARGS]...   setup, then open the window on the built-in demo project; ARGS as for `care demo`
  test [ARGS]...   setup, then run every test; ARGS as for `cargo test`
  bench [NAME]     setup, then measure; without a name, what there is to measure
  reference        make the fixtures that PyTorch gives anew (PyTorch into target/reference: several GB; takes minutes)";

/// Each writes fixtures, and says which. `environment.py` beside them makes the Python that they run in.
const REFERENCE_SCRIPTS: [&str; 4] = [
    "backbones.py",
    "training.py",
    "torchscript.py",
    "weights.py",
];

/// Each with what it measures, and what cargo is told: in the dev profile because that is what `cargo xtask demo` builds.
const BENCHMARKS: [(&str, &str, &[&str]); 3] = [
    (
        "gui",
        "the window: frames, the next image, folders of 100 000 images, memory (ten minutes)",
        &[
            "--profile",
            "dev",
            "--bench",
            "window",
            "--bench",
            "folders",
        ],
    ),
    (
        "input",
        "images as the networks read them (in release)",
        &["--package", "care-data", "--bench", "input"],
    ),
    (
        "views",
        "augmentation",
        &[
            "--profile",
            "dev",
            "--package",
            "care-learn",
            "--bench",
            "views",
        ],
    ),
];

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[OsString]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments
        .iter()
        .map(|argument| argument.to_str().unwrap_or_default())
        .collect();
    match words.as_slice() {
        ["setup"] => setup(WheelSet::Cpu),
        ["setup", "--cuda"] => setup(WheelSet::Cuda),
        ["demo", ..] => demo(&arguments[1..]),
        ["test", ..] => test(&arguments[1..]),
        ["bench"] => {
            list_benchmarks();
            Ok(ExitCode::SUCCESS)
        }
        ["bench", name] => bench(name),
        ["reference"] => reference(),
        ["help" | "--help" | "-h", ..] | ["setup", "--help" | "-h"] => {
            eprintln!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        [] => bail!("which command?\n\n{USAGE}"),
        _ => bail!("`{}` is not known\n\n{USAGE}", words.join(" ")),
    }
}

fn setup(set: WheelSet) -> Result<ExitCode> {
    ensure_all(set)?;
    eprintln!("libtorch is in place: plain `cargo run` and `cargo test` find it.");
    Ok(ExitCode::SUCCESS)
}

/// What the tests and the benchmarks need.
fn ensure_all(set: WheelSet) -> Result<()> {
    system::ensure_packages(&[
        system::TO_BUILD,
        system::FOR_THE_WINDOW,
        system::FOR_THE_TESTS,
    ])?;
    libtorch::ensure_installed(workspace_root(), set)
}

fn demo(arguments: &[OsString]) -> Result<ExitCode> {
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let without_window = given("--headless") || given("--help") || given("-h");
    // Said now rather than after minutes of compiling.
    if !without_window && !system::has_display() {
        bail!(
            "there is no display to open the window on; without one, run `cargo xtask demo --headless`"
        );
    }
    let packages: &[_] = if without_window {
        &[system::TO_BUILD]
    } else {
        &[system::TO_BUILD, system::FOR_THE_WINDOW]
    };
    system::ensure_packages(packages)?;
    libtorch::ensure_installed(workspace_root(), WheelSet::Cpu)?;
    // In place of this process, so that signals and the exit status are the application's own.
    let error = cargo(&["run", "--package", "care-studio", "--", "demo"])
        .args(arguments)
        .exec();
    Err(error).context("cargo could not be started")
}

fn test(arguments: &[OsString]) -> Result<ExitCode> {
    ensure_all(WheelSet::Cpu)?;
    let error = cargo(&["test", "--workspace"]).args(arguments).exec();
    Err(error).context("cargo could not be started")
}

fn list_benchmarks() {
    for (name, what, _) in BENCHMARKS {
        eprintln!("cargo xtask bench {name:<8} {what}");
    }
    eprintln!("`care bench` measures steps of training. Figures: docs/benchmarks.md");
}

fn bench(name: &str) -> Result<ExitCode> {
    let Some((_, _, arguments)) = BENCHMARKS.iter().find(|(known, ..)| *known == name) else {
        list_benchmarks();
        bail!("there is no benchmark `{name}`");
    };
    ensure_all(WheelSet::Cpu)?;
    let error = cargo(&["bench"]).args(*arguments).exec();
    Err(error).context("cargo could not be started")
}

/// The reference suite: PyTorch and implementations independent of ours, on which ordinary tests rest through the fixtures.
fn reference() -> Result<ExitCode> {
    for script in REFERENCE_SCRIPTS {
        eprintln!("Running scripts/reference/{script}");
        let status = Command::new("python3")
            .arg(workspace_root().join("scripts/reference").join(script))
            .status()
            .context("python3 could not be started")?;
        ensure!(status.success(), "scripts/reference/{script} failed");
    }
    eprintln!(
        "`git diff` shows what is new in the fixtures; `cargo test -p care-learn reference` compares."
    );
    Ok(ExitCode::SUCCESS)
}

/// The cargo that runs this program.
fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

fn workspace_root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest)
}
