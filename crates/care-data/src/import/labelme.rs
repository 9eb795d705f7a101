//! labelme: a JSON file for each image, its shapes' points in pixels.

use std::path::{Path, PathBuf};

use super::format::{has_ending, of_json};
use super::named::{self, Entry, Marked};
use super::voc::text_of;
use super::{Format, Found, ImportError, Listing, not_read, read_each};
use crate::geometry::ImageSize;
use crate::model::NotRead;

/// By which such a file is known.
pub(super) const KEYS: &[&str] = &["shapes", "imagePath", "imageData"];

#[derive(serde::Deserialize)]
struct Labelme {
    /// Of the whole image: the first that is set names its class.
    #[serde(default)]
    flags: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default)]
    shapes: Vec<Shape>,
    #[serde(rename = "imagePath")]
    image_path: Option<String>,
    #[serde(rename = "imageWidth")]
    width: Option<u32>,
    #[serde(rename = "imageHeight")]
    height: Option<u32>,
}

#[derive(serde::Deserialize)]
struct Shape {
    label: Option<String>,
    #[serde(default)]
    points: Vec<[f64; 2]>,
    shape_type: Option<String>,
}

/// What became of shapes that are no rectangles.
#[derive(Default)]
struct Counts {
    outlined: usize,
    left_out: usize,
}

pub(super) fn list(found: &Found) -> Result<Listing, ImportError> {
    let is_source = |path: &&PathBuf| {
        *path == found.at || has_ending(path, "json") && of_json(path) == Some(Format::Labelme)
    };
    let files: Vec<_> = found.files.iter().filter(is_source).collect();
    let (read, mut refused) = read_each(&files, read, found.stop)?;
    let outlined: usize = read.iter().map(|(_, counts)| counts.outlined).sum();
    let left_out: usize = read.iter().map(|(_, counts)| counts.left_out).sum();
    if outlined > 0 {
        let why = format!("{outlined} of its shapes are no rectangles.");
        let advice = "The boxes round them came in: look at them, and correct them where they are too large.";
        refused.push(not_read(found.at, why, advice));
    }
    if left_out > 0 {
        let why = format!("{left_out} of its shapes are points or lines.");
        let advice = "They were left out: draw boxes in their place.";
        refused.push(not_read(found.at, why, advice));
    }
    let entries = read.into_iter().map(|(entry, _)| entry);
    Ok(named::list(found, entries, refused))
}

fn read(path: &Path) -> Result<(Entry, Counts), NotRead> {
    let labelme: Labelme = text_of(path)
        .and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string()))
        .map_err(|error| {
            let why = format!("It cannot be read as labelme JSON: {error}.");
            not_read(path, why, "Save it anew from the program that made it.")
        })?;
    let mut counts = Counts::default();
    let mut boxes = Vec::new();
    for (shape, at) in labelme.shapes.into_iter().zip(1..) {
        let corners = match shape.shape_type.as_deref().unwrap_or("polygon") {
            "rectangle" => round(&shape.points),
            "polygon" | "mask" => {
                counts.outlined += 1;
                round(&shape.points)
            }
            "circle" => {
                counts.outlined += 1;
                match shape.points.as_slice() {
                    [[x, y], [on_x, on_y]] => {
                        let r = (on_x - x).hypot(on_y - y);
                        [x - r, y - r, x + r, y + r]
                    }
                    _ => [f64::NAN; 4],
                }
            }
            _ => {
                counts.left_out += 1;
                continue;
            }
        };
        boxes.push(Marked {
            at,
            class: shape.label.map(Into::into),
            corners,
        });
    }
    // Flags say anything of an image; of one without shapes, its class.
    let flags = labelme
        .flags
        .filter(|_| boxes.is_empty())
        .unwrap_or_default();
    let set = flags.into_iter().find(|(_, value)| *value == true);
    let entry = Entry {
        else_images: super::voc::own_name(path),
        size: labelme
            .width
            .zip(labelme.height)
            .map(|(width, height)| ImageSize::new(width, height)),
        class: set.map(|(name, _)| name),
        boxes,
        ..Entry::new(path, "Shape", labelme.image_path.unwrap_or_default())
    };
    Ok((entry, counts))
}

/// The box round points.
fn round(points: &[[f64; 2]]) -> [f64; 4] {
    points.iter().fold(
        [
            f64::INFINITY,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NEG_INFINITY,
        ],
        |[x0, y0, x1, y1], &[x, y]| [x0.min(x), y0.min(y), x1.max(x), y1.max(y)],
    )
}
