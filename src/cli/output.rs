//! Printing: aligned tables, progress.

use std::io::{ErrorKind, IsTerminal as _, Write as _, stderr, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// One line on standard output.
pub fn line(text: &str) -> Result<()> {
    Ok(writeln!(stdout(), "{text}")?)
}

pub fn json(value: &impl Serialize) -> Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Rows under a header: the first column to the left, the others to the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain([header[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let header = header
        .iter()
        .map(|&cell| cell.to_owned())
        .collect::<Vec<_>>();
    for row in std::iter::once(&header).chain(rows) {
        let mut text = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            text += &if column == 0 {
                format!("{cell}{pad}")
            } else {
                format!("  {pad}{cell}")
            };
        }
        line(text.trim_end())?;
    }
    Ok(())
}

/// Whether the reader of standard output has gone, as `head` does: no failure of ours.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

static QUIET: AtomicBool = AtomicBool::new(false);

/// From here on only results and errors are printed.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// One line on standard error. Where nobody reads that any more, nobody misses it.
pub fn error(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

/// As [`error`], but not where somebody wants quiet.
pub fn note(text: &str) {
    if !is_quiet() {
        error(text);
    }
}

/// How far something has come, on standard error: a bar on a terminal, which is gone in the end; a line now and then elsewhere.
pub struct Progress {
    bar: ProgressBar,
    last: Mutex<Option<Instant>>,
}

impl Progress {
    pub fn new() -> Self {
        let target = if is_quiet() {
            ProgressDrawTarget::hidden()
        } else {
            // Hidden where it is no terminal.
            ProgressDrawTarget::stderr()
        };
        let style = ProgressStyle::with_template("{bar:24} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style.progress_chars("\u{2501}\u{2501}\u{2500}"));
        Self {
            bar,
            last: Mutex::default(),
        }
    }

    /// So much is done, in words as well.
    pub fn show(&self, done: u64, total: u64, text: &str) {
        const PAUSE: Duration = Duration::from_secs(10);
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(text.to_owned());
        if !stderr().is_terminal() {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_none_or(|last| last.elapsed() >= PAUSE) {
                *last = Some(Instant::now());
                note(text);
            }
        }
    }

    /// Leaves `text` standing above the bar.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| note(text));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
