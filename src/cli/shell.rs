//! What a shell and `man` know of the commands, from the arguments themselves.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::args::Arguments;

pub fn completions(shell: Shell) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "care", &mut text);
    super::output::line(String::from_utf8(text)?.trim_end())
}

/// A page for `care` and for each command.
pub fn man(out: &Path) -> Result<()> {
    std::fs::create_dir_all(out)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), out))
        .with_context(|| format!("{} cannot be written", out.display()))
}
