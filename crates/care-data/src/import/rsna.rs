//! The pneumonia challenge of the RSNA: `stage_2_train_labels.csv`, a line for each box, images called by their patient; and
//! `stage_2_detailed_class_info.csv` beside it, where there, with the classes of those without.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::named::{self, Entry, Marked};
use super::patient::Group;
use super::table::{Table, incomplete, not_read, unusable};
use super::{Found, ImportError, Listing, go_on};

const DETAILS: &str = "stage_2_detailed_class_info.csv";
const OPACITY: &str = "Lung Opacity";
/// Where the details do not say of which kind.
const NO_OPACITY: &str = "No Lung Opacity";

pub(super) fn list(found: &Found) -> Result<Listing, ImportError> {
    let details = details(found)?;
    let mut table = Table::open(found.at)?;
    let [patient, target] = [["patientId"], ["Target"]].map(|names| table.needed(&names));
    let (patient, target) = (patient?, target?);
    let columns = ["x", "y", "width", "height"].map(|name| table.needed(&[name]));
    let [x, y, width, height] = columns;
    let columns = [x?, y?, width?, height?];
    let source: Arc<Path> = found.at.into();
    let mut refused = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    for record in table.reader.records() {
        go_on(found.stop)?;
        let record = record.map_err(|error| unusable(found.at, &error))?;
        let field = |column| record.get(column).filter(|field| !field.is_empty());
        let line = record.position().map_or(0, csv::Position::line);
        let is_opacity = match field(target) {
            Some("1") => Some(true),
            Some("0") => Some(false),
            _ => None,
        };
        let (Some(patient), Some(is_opacity)) = (field(patient), is_opacity) else {
            let (why, advice) = incomplete(line);
            refused.push(not_read(found.at, why, advice));
            continue;
        };
        let place = *places.entry(patient.to_owned()).or_insert(entries.len());
        if place == entries.len() {
            let plain = if is_opacity { OPACITY } else { NO_OPACITY };
            let class = details.get(patient).map_or(plain, String::as_str);
            entries.push(Entry {
                source: Arc::clone(&source),
                noun: "Line",
                image: patient.to_owned(),
                else_images: Vec::new(),
                size: None,
                class: Some(class.to_owned()),
                group: Some(Group::patient(patient)),
                boxes: Vec::new(),
                in_shares: false,
            });
        }
        if is_opacity && let Some(entry) = entries.get_mut(place) {
            let number = |column| field(column).and_then(|text| text.parse().ok());
            let [x, y, w, h] = columns.map(|column| number(column).unwrap_or(f64::NAN));
            entry.boxes.push(Marked {
                at: line,
                class: None,
                corners: [x, y, x + w, y + h],
            });
        }
    }
    let mut listing = named::list(found, entries);
    refused.append(&mut listing.not_read);
    listing.not_read = refused;
    Ok(listing)
}

fn details(found: &Found) -> Result<HashMap<String, String>, ImportError> {
    let path = found.at.with_file_name(DETAILS);
    if !path.is_file() {
        return Ok(HashMap::new());
    }
    let mut table = Table::open(&path)?;
    let (patient, class) = (table.needed(&["patientId"])?, table.needed(&["class"])?);
    let mut details = HashMap::new();
    for record in table.reader.records() {
        go_on(found.stop)?;
        let record = record.map_err(|error| unusable(&path, &error))?;
        let field = |column| record.get(column).filter(|field| !field.is_empty());
        if let (Some(patient), Some(class)) = (field(patient), field(class)) {
            details.insert(patient.to_owned(), class.to_owned());
        }
    }
    Ok(details)
}
