//! Tables, read line by line, their columns found by name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use csv::{ErrorKind, Position, StringRecord};

use super::patient::{Group, GroupColumn};
use super::{ImportError, go_on, not_read};
use crate::model::NotRead;

/// No table has a longer first line, in bytes; what has is something else.
const MAX_HEADER: u64 = 1 << 20;

/// A table with a header.
pub(super) struct Table {
    path: PathBuf,
    reader: csv::Reader<BufReader<File>>,
    header: StringRecord,
    /// The line that was read last.
    record: StringRecord,
    /// What the reader's numbers of lines lack: it counts a line feed after a carriage return with the next line.
    behind: u64,
}

impl Table {
    /// Commas, semicolons or tabs: what stands most often in the first line.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let io = |source| ImportError::io(path, source);
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        let mut first = Vec::new();
        let mut beginning = file.by_ref().take(MAX_HEADER);
        beginning.read_until(b'\n', &mut first).map_err(io)?;
        if first.len() as u64 == MAX_HEADER {
            return Err(ImportError::Unusable {
                path: path.to_owned(),
                why: "Its first line has no end.".to_owned(),
                advice: "Check that it is a table.".to_owned(),
            });
        }
        file.rewind().map_err(io)?;
        let count = |delimiter: &u8| first.iter().filter(|byte| *byte == delimiter).count();
        let delimiter = [b'\t', b';', b',']
            .into_iter()
            .max_by_key(count)
            .unwrap_or(b',');
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(file);
        let header = reader
            .headers()
            .map_err(|error| unusable(path, &error))?
            .clone();
        Ok(Self {
            path: path.to_owned(),
            reader,
            header,
            record: StringRecord::new(),
            behind: first.ends_with(b"\r\n").into(),
        })
    }

    pub fn column(&self, names: &[&str]) -> Option<usize> {
        let is_named = |name: &str| {
            self.header
                .iter()
                .position(|h| h.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name))
        };
        names.iter().find_map(|name| is_named(name))
    }

    pub fn needed(&self, names: &[&str]) -> Result<usize, ImportError> {
        self.column(names).ok_or_else(|| ImportError::Unusable {
            path: self.path.clone(),
            why: format!("It has no column \"{}\".", names.join("\" or \"")),
            advice: "Check the names in its first line.".to_owned(),
        })
    }

    /// The columns `x`, `y`, `width` and `height`.
    pub fn needed_sides(&self) -> Result<[usize; 4], ImportError> {
        let [x, y, width, height] = ["x", "y", "width", "height"].map(|name| self.needed(&[name]));
        Ok([x?, y?, width?, height?])
    }

    /// Those of the columns that it has.
    pub fn groups(&self, columns: &[GroupColumn]) -> Vec<GroupColumn<usize>> {
        let found = |(name, read): &GroupColumn| Some((self.column(&[name])?, *read));
        columns.iter().filter_map(found).collect()
    }

    /// The next line, if there is one. What is not UTF-8 is refused and passed over.
    pub fn next_line(
        &mut self,
        refused: &mut Vec<NotRead>,
        stop: &AtomicBool,
    ) -> Result<Option<Line<'_>>, ImportError> {
        loop {
            go_on(stop)?;
            let number =
                |position: Option<&Position>| self.behind + position.map_or(0, Position::line);
            match self.reader.read_record(&mut self.record) {
                Ok(true) => {
                    return Ok(Some(Line {
                        path: &self.path,
                        at: number(self.record.position()),
                        record: &self.record,
                    }));
                }
                Ok(false) => return Ok(None),
                Err(error) => match error.kind() {
                    ErrorKind::Utf8 { pos, .. } => {
                        let why = format!("Line {} is not UTF-8.", number(pos.as_ref()));
                        refused.push(not_read(&self.path, why, "Save the table as CSV in UTF-8."));
                    }
                    _ => return Err(unusable(&self.path, &error)),
                },
            }
        }
    }

    /// What stands in one column by what stands in another; the last holds.
    pub fn pairs(
        path: &Path,
        [key, value]: [&str; 2],
        refused: &mut Vec<NotRead>,
        stop: &AtomicBool,
    ) -> Result<HashMap<String, String>, ImportError> {
        let mut table = Self::open(path)?;
        let (key, value) = (table.needed(&[key])?, table.needed(&[value])?);
        let mut pairs = HashMap::new();
        while let Some(line) = table.next_line(refused, stop)? {
            if let (Some(key), Some(value)) = (line.field(key), line.field(value)) {
                pairs.insert(key.to_owned(), value.to_owned());
            }
        }
        Ok(pairs)
    }
}

fn unusable(path: &Path, error: &csv::Error) -> ImportError {
    ImportError::Unusable {
        path: path.to_owned(),
        why: format!("It cannot be read as a table: {error}."),
        advice: "Save it as CSV in UTF-8.".to_owned(),
    }
}

/// A line of a table.
pub(super) struct Line<'a> {
    path: &'a Path,
    /// Its number in the file.
    pub at: u64,
    record: &'a StringRecord,
}

impl<'a> Line<'a> {
    /// What stands in a column, if anything does.
    pub fn field(&self, column: usize) -> Option<&'a str> {
        self.record.get(column).filter(|field| !field.is_empty())
    }

    /// Not a number where there is none.
    pub fn numbers(&self, columns: [usize; 4]) -> [f64; 4] {
        let number = |column| self.field(column).and_then(|text| text.parse().ok());
        columns.map(|column| number(column).unwrap_or(f64::NAN))
    }

    /// The box, xyxy, whose x, y, width and height stand in the columns.
    pub fn of_sides(&self, columns: [usize; 4]) -> [f64; 4] {
        let [x, y, width, height] = self.numbers(columns);
        [x, y, x + width, y + height]
    }

    /// By the first of the columns in which anything stands.
    pub fn group(&self, columns: &[GroupColumn<usize>]) -> Option<Group> {
        let of_column = |(column, read): &GroupColumn<usize>| Some(read(self.field(*column)?));
        columns.iter().find_map(of_column)
    }

    /// That it is left out for want of an image or a class.
    pub fn incomplete(&self) -> NotRead {
        let why = format!("Line {} names no image or no class.", self.at);
        not_read(self.path, why, "Complete the line, or delete it.")
    }

    /// That it gives an image another class than a line before it.
    pub fn contradicts(&self, image: &str, class: &str, earlier: &str) -> NotRead {
        let why = format!(
            "Line {} calls {image} {class}, an earlier one {earlier}.",
            self.at
        );
        not_read(
            self.path,
            why,
            "The earlier line holds; delete the wrong one.",
        )
    }
}
