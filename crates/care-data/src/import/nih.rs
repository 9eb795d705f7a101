//! NIH ChestX-ray14: `BBox_List_2017.csv`, a line for each box. Its header says `Bbox [x,y,w,h]`, which the commas make four
//! columns. Patients are in `Data_Entry_2017.csv`, and where that is not there, in the images' names up to the `_`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::named::{self, Entry, Marked};
use super::patient::Group;
use super::table::{Table, incomplete, not_read, unusable};
use super::{Found, ImportError, Listing, go_on};

pub(super) fn list(found: &Found) -> Result<Listing, ImportError> {
    let patients = patients(found)?;
    let mut table = Table::open(found.at)?;
    let image = table.needed(&["Image Index"])?;
    let finding = table.needed(&["Finding Label"])?;
    let x = table.needed(&["Bbox [x"])?;
    let source: Arc<Path> = found.at.into();
    let mut refused = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    for record in table.reader.records() {
        go_on(found.stop)?;
        let record = record.map_err(|error| unusable(found.at, &error))?;
        let field = |column| record.get(column).filter(|field| !field.is_empty());
        let line = record.position().map_or(0, csv::Position::line);
        let (Some(image), Some(finding)) = (field(image), field(finding)) else {
            let (why, advice) = incomplete(line);
            refused.push(not_read(found.at, why, advice));
            continue;
        };
        let place = *places.entry(image.to_owned()).or_insert(entries.len());
        if place == entries.len() {
            let of_name = || Some(image.split_once('_')?.0);
            let patient = patients.get(image).map(String::as_str).or_else(of_name);
            entries.push(Entry {
                source: Arc::clone(&source),
                noun: "Line",
                image: image.to_owned(),
                else_images: Vec::new(),
                size: None,
                class: None,
                group: patient.map(Group::patient),
                boxes: Vec::new(),
                in_shares: false,
            });
        }
        if let Some(entry) = entries.get_mut(place) {
            let number = |column| field(column).and_then(|text| text.parse().ok());
            let [x, y, w, h] = [x, x + 1, x + 2, x + 3].map(|c| number(c).unwrap_or(f64::NAN));
            entry.boxes.push(Marked {
                at: line,
                class: Some(finding.into()),
                corners: [x, y, x + w, y + h],
            });
        }
    }
    let mut listing = named::list(found, entries);
    refused.append(&mut listing.not_read);
    listing.not_read = refused;
    Ok(listing)
}

fn patients(found: &Found) -> Result<HashMap<String, String>, ImportError> {
    let is_list = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("Data_Entry") && name.ends_with(".csv")
    };
    let mut patients = HashMap::new();
    let Some(path) = found.files.iter().find(is_list) else {
        return Ok(patients);
    };
    let mut table = Table::open(path)?;
    let (image, patient) = (
        table.needed(&["Image Index"])?,
        table.needed(&["Patient ID"])?,
    );
    for record in table.reader.records() {
        go_on(found.stop)?;
        let record = record.map_err(|error| unusable(path, &error))?;
        if let (Some(image), Some(patient)) = (record.get(image), record.get(patient)) {
            patients.insert(image.to_owned(), patient.to_owned());
        }
    }
    Ok(patients)
}
