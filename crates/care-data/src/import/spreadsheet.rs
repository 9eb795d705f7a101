//! A table with an image, a class and, where there is one, a box on each line.
//!
//! Boxes are x, y, width, height or the two corners, in pixels, edges between pixels.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::named::{self, Entry, Marked};
use super::patient::{Group, GroupColumn};
use super::table::{Table, incomplete, not_read, unusable};
use super::{Found, ImportError, Listing, go_on};
use crate::geometry::ImageSize;

pub(super) const IMAGE: &[&str] = &[
    "image",
    "file",
    "path",
    "filename",
    "file_name",
    "image_path",
    "image_id",
    "isic_id",
];
pub(super) const CLASS: &[&str] = &[
    "class",
    "label",
    "category",
    "class_name",
    "dx",
    "diagnosis",
];
const GROUP: &[GroupColumn] = &[
    ("patient_id", Group::patient),
    ("patient", Group::patient),
    ("lesion_id", Group::other),
    ("group", Group::other),
];
const CORNERS: &[[&str; 4]] = &[
    ["xmin", "ymin", "xmax", "ymax"],
    ["x_min", "y_min", "x_max", "y_max"],
    ["x0", "y0", "x1", "y1"],
    ["x1", "y1", "x2", "y2"],
    ["left", "top", "right", "bottom"],
];
const SIDES: &[[&str; 4]] = &[
    ["x", "y", "width", "height"],
    ["x", "y", "w", "h"],
    ["left", "top", "width", "height"],
    ["bbox_x", "bbox_y", "bbox_width", "bbox_height"],
];

/// Where the boxes stand: four columns, and whether the last two are sides.
fn box_columns(table: &Table) -> Option<([usize; 4], bool)> {
    let all = |names: &[&str; 4]| {
        let [a, b, c, d] = names.map(|name| table.column(&[name]));
        Some([a?, b?, c?, d?])
    };
    let corners = CORNERS.iter().find_map(all).map(|columns| (columns, false));
    corners.or_else(|| SIDES.iter().find_map(all).map(|columns| (columns, true)))
}

pub(super) fn has_boxes(table: &Table) -> bool {
    box_columns(table).is_some()
}

/// The columns of the image's own size. Where boxes are corners, `width` and `height` alone are the image's.
fn size_columns(table: &Table, sides: bool) -> Option<[usize; 2]> {
    let pair = |width, height| Some([table.column(&[width])?, table.column(&[height])?]);
    pair("image_width", "image_height").or_else(|| {
        let are_the_images = !sides && table.column(&["x"]).is_none();
        pair("width", "height").filter(|_| are_the_images)
    })
}

pub(super) fn list(found: &Found) -> Result<Listing, ImportError> {
    let mut table = Table::open(found.at)?;
    let (image, class) = (table.needed(IMAGE)?, table.needed(CLASS)?);
    let groups: Vec<_> = GROUP
        .iter()
        .filter_map(|(name, read)| Some((table.column(&[name])?, *read)))
        .collect();
    let boxes = box_columns(&table);
    let size = size_columns(&table, boxes.is_some_and(|(_, sides)| sides));
    let source: Arc<Path> = found.at.into();
    let mut refused = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    for record in table.reader.records() {
        go_on(found.stop)?;
        let record = record.map_err(|error| unusable(found.at, &error))?;
        let field = |column| record.get(column).filter(|field| !field.is_empty());
        let line = record.position().map_or(0, csv::Position::line);
        let (Some(image), Some(class)) = (field(image), field(class)) else {
            let (why, advice) = incomplete(line);
            refused.push(not_read(found.at, why, advice));
            continue;
        };
        let number = |column| field(column).and_then(|text| text.parse().ok());
        let place = *places.entry(image.to_owned()).or_insert(entries.len());
        if place == entries.len() {
            let size = size.and_then(|[width, height]| {
                Some(ImageSize::new(
                    number_of(field(width))?,
                    number_of(field(height))?,
                ))
            });
            entries.push(Entry {
                source: Arc::clone(&source),
                noun: "Line",
                image: image.to_owned(),
                else_images: Vec::new(),
                size,
                class: None,
                group: groups
                    .iter()
                    .find_map(|(column, read)| Some(read(field(*column)?))),
                boxes: Vec::new(),
                in_shares: false,
            });
        }
        let Some(entry) = entries.get_mut(place) else {
            continue;
        };
        match boxes {
            Some((columns, sides)) if columns.iter().any(|&column| field(column).is_some()) => {
                let [a, b, c, d] = columns.map(|column| number(column).unwrap_or(f64::NAN));
                entry.boxes.push(Marked {
                    at: line,
                    class: Some(class.into()),
                    corners: if sides {
                        [a, b, a + c, b + d]
                    } else {
                        [a, b, c, d]
                    },
                });
            }
            // An image without a box, or a table without boxes.
            _ => match &entry.class {
                None => entry.class = Some(class.to_owned()),
                Some(earlier) if earlier == class => {}
                Some(earlier) => {
                    let why =
                        format!("Line {line} calls {image} {class}, an earlier one {earlier}.");
                    let advice = "The earlier line holds; delete the wrong one.";
                    refused.push(not_read(found.at, why, advice));
                }
            },
        }
    }
    let mut listing = named::list(found, entries);
    refused.append(&mut listing.not_read);
    listing.not_read = refused;
    Ok(listing)
}

fn number_of(field: Option<&str>) -> Option<u32> {
    field?.parse().ok().filter(|n| *n > 0)
}
