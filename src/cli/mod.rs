//! The command line.

use std::process::ExitCode;

#[must_use]
pub fn main() -> ExitCode {
    match crate::window::run(crate::window::Start::Page, "CPU".into()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
