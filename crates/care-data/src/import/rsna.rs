//! The pneumonia challenge of the RSNA: `stage_2_train_labels.csv`, a line for each box, images called by their patient; and
//! `stage_2_detailed_class_info.csv` beside it, where there, with the classes of those without.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use super::lines::Table;
use super::named::{self, Entry, Marked};
use super::patient::Group;
use super::{Found, ImportError, Listing};

const DETAILS: &str = "stage_2_detailed_class_info.csv";
const OPACITY: &str = "Lung Opacity";
/// Where the details do not say of which kind.
const NO_OPACITY: &str = "No Lung Opacity";

pub(super) fn list(found: &Found) -> Result<Listing, ImportError> {
    let mut refused = Vec::new();
    let details = found.at.with_file_name(DETAILS);
    let details = if details.is_file() {
        Table::pairs(&details, ["patientId", "class"], &mut refused, found.stop)?
    } else {
        HashMap::new()
    };
    let mut table = Table::open(found.at)?;
    let patient = table.needed(&["patientId"])?;
    let target = table.needed(&["Target"])?;
    let sides = table.needed_sides()?;
    let source: Arc<Path> = found.at.into();
    let mut entries: IndexMap<String, Entry> = IndexMap::new();
    while let Some(line) = table.next_line(&mut refused, found.stop)? {
        let is_opacity = match line.field(target) {
            Some("1") => Some(true),
            Some("0") => Some(false),
            _ => None,
        };
        let (Some(patient), Some(is_opacity)) = (line.field(patient), is_opacity) else {
            refused.push(line.incomplete());
            continue;
        };
        let begun = || {
            let plain = if is_opacity { OPACITY } else { NO_OPACITY };
            let class = details.get(patient).map_or(plain, String::as_str);
            Entry {
                class: Some(class.to_owned()),
                group: Some(Group::patient(patient)),
                ..Entry::new(Arc::clone(&source), "Line", patient)
            }
        };
        let entry = entries.entry(patient.to_owned()).or_insert_with(begun);
        if is_opacity {
            entry.boxes.push(Marked {
                at: line.at,
                class: None,
                corners: line.of_sides(sides),
            });
        }
    }
    Ok(named::list(found, entries.into_values(), refused))
}
