//! A table with an image, a class and, where there is one, a box on each line.
//!
//! Boxes are x, y, width, height or the two corners, in pixels, edges between pixels.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use super::lines::{Line, Table};
use super::named::{self, Entry, Marked};
use super::patient::{Group, GroupColumn};
use super::{Found, ImportError, Listing};
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
    let groups = table.groups(GROUP);
    let boxes = box_columns(&table);
    let size = size_columns(&table, boxes.is_some_and(|(_, sides)| sides));
    let source: Arc<Path> = found.at.into();
    let mut refused = Vec::new();
    let mut entries: IndexMap<String, Entry> = IndexMap::new();
    while let Some(line) = table.next_line(&mut refused, found.stop)? {
        let (Some(image), Some(class)) = (line.field(image), line.field(class)) else {
            refused.push(line.incomplete());
            continue;
        };
        let begun = || Entry {
            size: size.and_then(|columns| size_in(&line, columns)),
            group: line.group(&groups),
            ..Entry::new(Arc::clone(&source), "Line", image)
        };
        let entry = entries.entry(image.to_owned()).or_insert_with(begun);
        match boxes {
            Some((columns, sides)) if columns.iter().any(|&it| line.field(it).is_some()) => {
                entry.boxes.push(Marked {
                    at: line.at,
                    class: Some(class.into()),
                    corners: if sides {
                        line.of_sides(columns)
                    } else {
                        line.numbers(columns)
                    },
                });
            }
            // An image without a box, or a table without boxes.
            _ => match &entry.class {
                None => entry.class = Some(class.to_owned()),
                Some(earlier) if earlier == class => {}
                Some(earlier) => refused.push(line.contradicts(image, class, earlier)),
            },
        }
    }
    Ok(named::list(found, entries.into_values(), refused))
}

fn size_in(line: &Line, columns: [usize; 2]) -> Option<ImageSize> {
    let side = |column| line.field(column)?.parse().ok().filter(|n: &u32| *n > 0);
    let [width, height] = columns.map(side);
    Some(ImageSize::new(width?, height?))
}
