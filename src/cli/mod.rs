//! The command line: arguments as parsed ([`args`]), as validated ([`request`]), and one module for each thing done.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage. Results go to standard output, progress and errors to standard
//! error.

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
mod train;
mod weights;

use std::process::ExitCode;

use clap::Parser as _;

use crate::window;
use request::{Request, Weights};

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let request = match Request::try_from(args::Arguments::parse()) {
        Ok(request) => request,
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            return ExitCode::from(2);
        }
    };
    match carry_out(request) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("error: {error:#}"));
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
