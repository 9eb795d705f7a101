//! NIH ChestX-ray14: `BBox_List_2017.csv`, a line for each box. Its header says `Bbox [x,y,w,h]`, which the commas make four
//! columns. Patients are in `Data_Entry_2017.csv`, and where that is not there, in the images' names up to the `_`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::lines::Table;
use super::named::{self, Entry, Marked};
use super::patient::Group;
use super::{Found, ImportError, Listing};
use crate::model::NotRead;

pub(super) fn list(found: &Found) -> Result<Listing, ImportError> {
    let mut refused = Vec::new();
    let patients = patients(found, &mut refused)?;
    let mut table = Table::open(found.at)?;
    let image = table.needed(&["Image Index"])?;
    let finding = table.needed(&["Finding Label"])?;
    let x = table.needed(&["Bbox [x"])?;
    let sides = [x, x + 1, x + 2, x + 3];
    let source: Arc<Path> = found.at.into();
    let mut entries: IndexMap<String, Entry> = IndexMap::new();
    while let Some(line) = table.next_line(&mut refused, found.stop)? {
        let (Some(image), Some(finding)) = (line.field(image), line.field(finding)) else {
            refused.push(line.incomplete());
            continue;
        };
        let begun = || {
            let of_name = || Some(image.split_once('_')?.0);
            let patient = patients.get(image).map(String::as_str).or_else(of_name);
            Entry {
                group: patient.map(Group::patient),
                ..Entry::new(Arc::clone(&source), "Line", image)
            }
        };
        let entry = entries.entry(image.to_owned()).or_insert_with(begun);
        entry.boxes.push(Marked {
            at: line.at,
            class: Some(finding.into()),
            corners: line.of_sides(sides),
        });
    }
    Ok(named::list(found, entries.into_values(), refused))
}

fn patients(
    found: &Found,
    refused: &mut Vec<NotRead>,
) -> Result<HashMap<String, String>, ImportError> {
    let is_list = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("Data_Entry") && name.ends_with(".csv")
    };
    match found.files.iter().find(is_list) {
        Some(path) => Table::pairs(path, ["Image Index", "Patient ID"], refused, found.stop),
        None => Ok(HashMap::new()),
    }
}
