//! Tables: which class an image is of, and where the boxes are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::lines::Table;
use super::patient::{Group, GroupColumn};
use super::{Candidate, ImportError, Listing, name_of, not_read, walk};
use crate::model::{NotRead, stem};

pub(super) const IMAGE: &[&str] = &["image_id", "isic_id"];
pub(super) const CLASS: &[&str] = &["dx", "diagnosis"];
/// A patient has several lesions, so where both are given the patient decides.
const GROUP: &[GroupColumn] = &[("patient_id", Group::patient), ("lesion_id", Group::other)];

/// As a table may call them that is named itself, and so need not be told from others.
const LISTED_IMAGE: &[&str] = &["image", "file", "path", "image_id", "isic_id"];
const LISTED_CLASS: &[&str] = &["class", "label", "dx", "diagnosis"];

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
    let groups = table.groups(GROUP);
    let mut listing = Listing::default();
    let mut rows: HashMap<String, Row> = HashMap::new();
    while let Some(line) = table.next_line(&mut listing.not_read, stop)? {
        let (Some(image), Some(class)) = (line.field(image), line.field(class)) else {
            listing.not_read.push(line.incomplete());
            continue;
        };
        let row = Row {
            class: class.to_owned(),
            group: line.group(&groups),
            has_file: false,
        };
        match rows.entry(stem(image).to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert(row);
            }
            Entry::Occupied(entry) if entry.get().class == row.class => {}
            Entry::Occupied(entry) => {
                let contradiction = line.contradicts(image, class, &entry.get().class);
                listing.not_read.push(contradiction);
            }
        }
    }
    for path in files {
        let row = rows.get_mut(&name_of(&path));
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
    let mut classes: HashMap<PathBuf, String> = HashMap::new();
    let mut missing: Vec<String> = Vec::new();
    // Every file below the folder by its name; only where a name is no path.
    let mut below: Option<HashMap<String, Vec<PathBuf>>> = None;
    while let Some(line) = table.next_line(&mut listing.not_read, stop)? {
        let (Some(image), Some(class)) = (line.field(image), line.field(class)) else {
            listing.not_read.push(line.incomplete());
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
                        let why = format!(
                            "Line {} names {image}, and several files are called so.",
                            line.at
                        );
                        let advice = "Write the path from the table's folder.";
                        listing.not_read.push(not_read(path, why, advice));
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
                let contradiction = line.contradicts(image, class, entry.get());
                listing.not_read.push(contradiction);
            }
        }
    }
    if let Some(first) = missing.first() {
        let why = format!(
            "{} of its lines have no file, {first} for one.",
            missing.len()
        );
        let advice = "Put the files into the table's folder, or write their paths.";
        listing.not_read.push(not_read(path, why, advice));
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
        by_name.entry(name_of(&file)).or_default().push(file);
    }
    Ok(by_name)
}

/// Whether a table of images has the columns of boxes.
pub(super) fn has_boxes(path: &Path) -> Result<bool, ImportError> {
    Ok(Table::open(path)?.needed_sides().is_ok())
}

/// Reads a table of boxes, xyxy with their lines, by image name; what is no number is not a number. An image without numbers is
/// an image without a box.
pub(super) fn boxes(
    path: &Path,
    refused: &mut Vec<NotRead>,
    stop: &AtomicBool,
) -> Result<HashMap<String, Vec<(u64, [f64; 4])>>, ImportError> {
    let mut table = Table::open(path)?;
    let image = match table.needed(&["image_id"]) {
        Ok(image) => image,
        // Boxes within a table of images.
        Err(error) => table.column(LISTED_IMAGE).ok_or(error)?,
    };
    let sides = table.needed_sides()?;
    let mut boxes: HashMap<String, Vec<_>> = HashMap::new();
    while let Some(line) = table.next_line(refused, stop)? {
        if sides.iter().all(|&side| line.field(side).is_none()) {
            continue;
        }
        let image = stem(line.field(image).unwrap_or_default());
        let of_image = boxes.entry(image.to_owned()).or_default();
        of_image.push((line.at, line.of_sides(sides)));
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
                boxes(&path, &mut Vec::new(), &stop).err(),
            ];
            for error in errors {
                assert_eq!(matches!(error, Some(ImportError::Stopped)), stopped);
                assert_eq!(error.is_some(), stopped);
            }
        }
    }
}
