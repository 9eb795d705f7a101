//! Tables: which class an image is of, and where the boxes are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use csv::StringRecord;

use super::patient::{Group, GroupColumn};
use super::{Candidate, Format, ImportError, Listing, go_on, spreadsheet, walk};
use crate::model::NotRead;

const IMAGE: &[&str] = &["image_id", "isic_id"];
const CLASS: &[&str] = &["dx", "diagnosis"];
/// A patient has several lesions, so where both are given the patient decides.
const GROUP: &[GroupColumn] = &[("patient_id", Group::patient), ("lesion_id", Group::other)];

/// As a table may call them that is named itself, and so need not be told from others.
const LISTED_IMAGE: &[&str] = &["image", "file", "path", "image_id", "isic_id"];
const LISTED_CLASS: &[&str] = &["class", "label", "dx", "diagnosis"];
/// Anything else after a dot is part of a name, as in the UIDs that DICOM files are often called.
const ENDINGS: [&str; 10] = [
    "png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp", "dcm", "dicom", "dic",
];

const BOX: [&str; 4] = ["x", "y", "width", "height"];

/// No table has a longer first line, in bytes; what has is something else.
const MAX_HEADER: u64 = 1 << 20;

/// A table with a header, its columns found by name.
pub(super) struct Table {
    pub path: PathBuf,
    pub reader: csv::Reader<BufReader<File>>,
    pub header: StringRecord,
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
}

pub(super) fn unusable(path: &Path, error: &csv::Error) -> ImportError {
    ImportError::Unusable {
        path: path.to_owned(),
        why: format!("It cannot be read as a table: {error}."),
        advice: "Save it as CSV in UTF-8.".to_owned(),
    }
}

pub(super) fn not_read(path: &Path, why: String, advice: &str) -> NotRead {
    NotRead {
        path: path.to_owned(),
        why,
        advice: advice.to_owned(),
    }
}

/// Why a line without an image or a class is left out, and what helps.
pub(super) fn incomplete(line: u64) -> (String, &'static str) {
    let why = format!("Line {line} names no image or no class.");
    (why, "Complete the line, or delete it.")
}

/// What kind of table a file is, by the names in its first line; `None` where it is no table of images.
pub(super) fn kind(path: &Path) -> Option<Format> {
    let table = Table::open(path).ok()?;
    let has = |names: &[&str]| table.column(names).is_some();
    let has_boxes = spreadsheet::has_boxes(&table);
    if has(&["patientId"]) && has(&["Target"]) {
        Some(Format::Rsna)
    } else if has(&["Image Index"]) && has(&["Finding Label"]) {
        Some(Format::Nih)
    } else if has(IMAGE) && has(CLASS) && !has_boxes {
        Some(Format::Table)
    } else if has(spreadsheet::IMAGE) && has(spreadsheet::CLASS) {
        Some(Format::Csv)
    } else {
        None
    }
}

/// Whether a table that lies in a folder speaks for it: a list of names and classes may be anything, with boxes it is a data set.
pub(super) fn speaks_for_its_folder(path: &Path, kind: Format) -> bool {
    kind != Format::Csv || Table::open(path).is_ok_and(|table| spreadsheet::has_boxes(&table))
}

/// A file's name without folder and ending, by which tables name images.
#[must_use]
pub fn stem(name: &str) -> &str {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    match file.rsplit_once('.') {
        Some((stem, ending)) if ENDINGS.iter().any(|e| ending.eq_ignore_ascii_case(e)) => stem,
        _ => file,
    }
}

struct Row {
    class: String,
    group: Option<Group>,
    has_file: bool,
}

/// Finds the images of a table among `files`.
pub(super) fn list(
    path: &Path,
    files: Vec<PathBuf>,
    stop: &AtomicBool,
) -> Result<Listing, ImportError> {
    let mut table = Table::open(path)?;
    let (image, class) = (table.needed(IMAGE)?, table.needed(CLASS)?);
    let groups: Vec<_> = GROUP
        .iter()
        .filter_map(|(name, read)| Some((table.column(&[name])?, *read)))
        .collect();
    let mut listing = Listing::default();
    let mut rows: HashMap<String, Row> = HashMap::new();
    for record in table.reader.records() {
        go_on(stop)?;
        let record = record.map_err(|error| unusable(path, &error))?;
        let field = |column| record.get(column).filter(|field| !field.is_empty());
        let line = record.position().map_or(0, csv::Position::line);
        let (Some(image), Some(class)) = (field(image), field(class)) else {
            let (why, advice) = incomplete(line);
            listing.not_read.push(not_read(path, why, advice));
            continue;
        };
        let row = Row {
            class: class.to_owned(),
            group: groups
                .iter()
                .find_map(|(column, read)| Some(read(field(*column)?))),
            has_file: false,
        };
        match rows.entry(stem(image).to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert(row);
            }
            Entry::Occupied(entry) if entry.get().class == row.class => {}
            Entry::Occupied(entry) => {
                let why = format!(
                    "Line {line} calls {image} {class}, an earlier one {}.",
                    entry.get().class
                );
                listing.not_read.push(not_read(
                    path,
                    why,
                    "The earlier line holds; delete the wrong one.",
                ));
            }
        }
    }
    for path in files {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let row = rows.get_mut(stem(&name));
        let class = match &row {
            None => Err((
                "The table has no line for it.",
                "Add a line, or take the file out of the folder.",
            )),
            Some(row) if row.has_file => Err((
                "Another file of this name was read already.",
                "Keep one of them in the folder.",
            )),
            Some(row) => Ok(row.class.clone()),
        };
        let group = row.as_ref().and_then(|row| row.group.clone());
        if let Some(row) = row {
            row.has_file = true;
        }
        listing.candidates.push(Candidate {
            path,
            class,
            group,
            boxes: Vec::new(),
        });
    }
    let mut missing: Vec<_> = rows
        .iter()
        .filter(|(_, row)| !row.has_file)
        .map(|(image, _)| image)
        .collect();
    missing.sort_unstable();
    if let Some(first) = missing.first() {
        let why = format!(
            "{} of its {} images have no file, {first} for one.",
            missing.len(),
            rows.len()
        );
        listing.not_read.push(not_read(
            path,
            why,
            "Put the files into the table's folder and import again.",
        ));
    }
    Ok(listing)
}

/// Finds the images that a table names, and no others: by a path from the table's folder, or by the name of one file below it.
pub(super) fn listed(path: &Path, stop: &AtomicBool) -> Result<Listing, ImportError> {
    let folder = path.parent().unwrap_or(path);
    let mut table = Table::open(path)?;
    let (image, class) = (table.needed(LISTED_IMAGE)?, table.needed(LISTED_CLASS)?);
    let mut listing = Listing::default();
    let mut refuse = |why: String, advice: &str| listing.not_read.push(not_read(path, why, advice));
    let mut classes: HashMap<PathBuf, String> = HashMap::new();
    let mut missing: Vec<String> = Vec::new();
    // Every file below the folder by its name; only where a name is no path.
    let mut below: Option<HashMap<String, Vec<PathBuf>>> = None;
    for record in table.reader.records() {
        go_on(stop)?;
        let record = record.map_err(|error| unusable(path, &error))?;
        let field = |column| record.get(column).filter(|field| !field.is_empty());
        let line = record.position().map_or(0, csv::Position::line);
        let (Some(image), Some(class)) = (field(image), field(class)) else {
            let (why, advice) = incomplete(line);
            refuse(why, advice);
            continue;
        };
        let file = match folder.join(image).canonicalize() {
            Ok(file) if file.is_file() => file,
            _ => {
                let by_name = match &mut below {
                    Some(by_name) => by_name,
                    None => below.insert(files_by_name(folder, stop)?),
                };
                match by_name.get(stem(image)).map_or(&[][..], Vec::as_slice) {
                    [file] => file.clone(),
                    [] => {
                        missing.push(image.to_owned());
                        continue;
                    }
                    [_, _, ..] => {
                        let why =
                            format!("Line {line} names {image}, and several files are called so.");
                        refuse(why, "Write the path from the table's folder.");
                        continue;
                    }
                }
            }
        };
        match classes.entry(file) {
            Entry::Vacant(entry) => {
                listing.candidates.push(Candidate {
                    path: entry.key().clone(),
                    class: Ok(class.to_owned()),
                    group: None,
                    boxes: Vec::new(),
                });
                entry.insert(class.to_owned());
            }
            Entry::Occupied(entry) if entry.get() == class => {}
            Entry::Occupied(entry) => {
                let why = format!(
                    "Line {line} calls {image} {class}, an earlier one {}.",
                    entry.get()
                );
                refuse(why, "The earlier line holds; delete the wrong one.");
            }
        }
    }
    if let Some(first) = missing.first() {
        let why = format!(
            "{} of its lines have no file, {first} for one.",
            missing.len()
        );
        refuse(
            why,
            "Put the files into the table's folder, or write their paths.",
        );
    }
    Ok(listing)
}

/// Files that may be images; the tables among them are not.
fn files_by_name(
    folder: &Path,
    stop: &AtomicBool,
) -> Result<HashMap<String, Vec<PathBuf>>, ImportError> {
    let mut by_name: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for file in walk(folder, stop)?.files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = stem(&name).to_owned();
        by_name.entry(name).or_default().push(file);
    }
    Ok(by_name)
}

/// Whether a table of images has the columns of boxes.
pub(super) fn has_boxes(path: &Path) -> Result<bool, ImportError> {
    let table = Table::open(path)?;
    Ok(BOX.iter().all(|name| table.column(&[name]).is_some()))
}

/// Reads a table of boxes, xyxy with their lines, by image name; what is no number is not a number. An image without numbers is
/// an image without a box.
pub(super) fn boxes(
    path: &Path,
    stop: &AtomicBool,
) -> Result<HashMap<String, Vec<(u64, [f64; 4])>>, ImportError> {
    let mut table = Table::open(path)?;
    let image = match table.needed(&["image_id"]) {
        Ok(image) => image,
        // Boxes within a table of images.
        Err(error) => table.column(LISTED_IMAGE).ok_or(error)?,
    };
    let [x, y, width, height] = BOX.map(|name| table.needed(&[name]));
    let columns = [x?, y?, width?, height?];
    let mut boxes: HashMap<String, Vec<_>> = HashMap::new();
    for record in table.reader.records() {
        go_on(stop)?;
        let record = record.map_err(|error| unusable(path, &error))?;
        let [x, y, width, height] = columns.map(|column| record.get(column).unwrap_or_default());
        if [x, y, width, height].iter().all(|field| field.is_empty()) {
            continue;
        }
        let [x, y, width, height] =
            [x, y, width, height].map(|field| field.parse().unwrap_or(f64::NAN));
        let line = record.position().map_or(0, csv::Position::line);
        boxes
            .entry(stem(record.get(image).unwrap_or_default()).to_owned())
            .or_default()
            .push((line, [x, y, x + width, y + height]));
    }
    Ok(boxes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reading_a_table_can_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, "image_id,dx,x,y,width,height\na,nv,1,1,2,2\n").unwrap();
        for stopped in [false, true] {
            let stop = AtomicBool::new(stopped);
            let errors = [
                list(&path, Vec::new(), &stop).err(),
                boxes(&path, &stop).err(),
            ];
            for error in errors {
                assert_eq!(matches!(error, Some(ImportError::Stopped)), stopped);
                assert_eq!(error.is_some(), stopped);
            }
        }
    }
}
