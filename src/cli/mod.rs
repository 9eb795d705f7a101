//! The command line: arguments as parsed ([`args`]), as validated ([`request`]), and one module for each thing done.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage. Results go to standard output, progress and errors to standard
//! error. Nothing is coloured but clap's own help, which heeds `NO_COLOR`.

mod args;
mod bench;
mod cam;
mod convert;
mod demo;
mod doctor;
mod evaluate;
mod headless;
mod measures;
mod output;
mod pictures;
mod project;
mod request;
mod shell;
mod take_away;
mod train;
mod weights;

use std::process::ExitCode;

use clap::Parser as _;

use crate::window;
use request::{Request, Weights};

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = args::Arguments::parse();
    if arguments.quiet {
        output::be_quiet();
    }
    let request = match Request::try_from(arguments) {
        Ok(request) => request,
        Err(error) => {
            output::error(&format!("error: {error:#}"));
            return ExitCode::from(2);
        }
    };
    match carry_out(request) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn carry_out(request: Request) -> anyhow::Result<()> {
    match request {
        Request::Window(start) => window::run(start, doctor::device_name()),
        Request::New { project } => project::new(&project),
        Request::Import(import) if import.dry_run => project::preview(&import),
        Request::Import(import) => project::import(&import),
        Request::Export(export) => project::export(&export),
        Request::List { project, json } => project::list(&project, json),
        Request::Box(boxes) => project::boxes(&boxes),
        Request::Train(train) => train::train(&train),
        Request::Evaluate(evaluate) => evaluate::evaluate(&evaluate),
        Request::TakeAway(wanted) => take_away::take_away(&wanted),
        Request::Completions(shell) => shell::completions(shell),
        Request::Man { out } => shell::man(&out),
        Request::Cam(cam) => cam::cam(&cam),
        Request::Convert(convert) => convert::convert(&convert),
        Request::Weights(Weights::List { json }) => weights::list(json),
        Request::Weights(Weights::Get(published)) => weights::get(&published),
        Request::Weights(Weights::Add { file }) => weights::add(&file),
        Request::HeadlessDemo { demo, config, json } => demo::headless(demo, config, json),
        Request::Bench(bench) => bench::bench(&bench),
        Request::Doctor { json } => doctor::doctor(json),
    }
}
