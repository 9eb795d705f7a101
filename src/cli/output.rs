//! Printing: aligned tables, one progress line.

use std::io::{ErrorKind, IsTerminal as _, Write as _, stderr, stdout};

use anyhow::Result;
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

/// One line on standard error. Where nobody reads that any more, nobody misses it.
pub fn note(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

/// How far something has come, on standard error: one line that is written over on a terminal and cleared at the end, a
/// line now and then elsewhere.
pub struct Progress {
    terminal: bool,
    last: std::cell::Cell<Option<std::time::Instant>>,
}

impl Progress {
    pub fn new() -> Self {
        Self {
            terminal: stderr().is_terminal(),
            last: std::cell::Cell::default(),
        }
    }

    /// Replaces the line, at most ten times a second (every ten seconds where it is not a terminal).
    pub fn show(&self, text: &str) {
        let pause = if self.terminal { 0.1 } else { 10.0 };
        if self
            .last
            .get()
            .is_some_and(|last| last.elapsed().as_secs_f32() < pause)
        {
            return;
        }
        self.last.set(Some(std::time::Instant::now()));
        if self.terminal {
            let mut stderr = stderr();
            let _ = write!(stderr, "{CLEAR}{text}").and_then(|()| stderr.flush());
        } else {
            note(text);
        }
    }

    /// Ends the line and leaves `text` standing.
    pub fn say(&self, text: &str) {
        self.clear();
        note(text);
    }

    fn clear(&self) {
        if self.terminal {
            let _ = write!(stderr(), "{CLEAR}");
        }
    }
}

/// Back to the start of the line, and away with what stands there.
const CLEAR: &str = "\r\x1b[2K";

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
