//! Pascal VOC: an XML file for each image.
//!
//! VOC counts pixels from 1 and includes the last: `xmin = 1, xmax = 10` are the first ten columns, here the box from 0 to
//! 10. So the left and upper edges lie one before what is written, and the right and lower ones are as written.

use std::path::Path;

use super::format::has_ending;
use super::named::{self, Entry, Marked};
use super::{Found, ImportError, Listing, not_read, read_each};
use crate::geometry::ImageSize;
use crate::model::NotRead;

/// Annotations are a few kilobytes.
pub(super) const MAX_TEXT: u64 = 64 << 20;

#[derive(serde::Deserialize)]
struct Annotation {
    filename: Option<String>,
    path: Option<String>,
    size: Option<Size>,
    /// Not VOC's own: what this program writes for an image that has no object to say it.
    class: Option<String>,
    #[serde(default)]
    object: Vec<Object>,
}

#[derive(serde::Deserialize)]
struct Size {
    width: Option<String>,
    height: Option<String>,
}

#[derive(serde::Deserialize)]
struct Object {
    name: Option<String>,
    bndbox: Option<Corners>,
}

#[derive(serde::Deserialize)]
struct Corners {
    xmin: Option<String>,
    ymin: Option<String>,
    xmax: Option<String>,
    ymax: Option<String>,
}

pub(super) fn list(found: &Found) -> Result<Listing, ImportError> {
    let files = found.files.iter().filter(|path| has_ending(path, "xml"));
    let files: Vec<_> = files.collect();
    let (entries, refused) = read_each(&files, read, found.stop)?;
    Ok(named::list(found, entries, refused))
}

/// A whole text file within reason; bytes that are no UTF-8 are replaced.
pub(super) fn text_of(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if length > MAX_TEXT {
        return Err(format!("it is larger than {} MB", MAX_TEXT >> 20));
    }
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// The name that an image has whose annotation is called like it: who renames both seldom corrects what is written inside.
pub(super) fn own_name(path: &Path) -> Vec<String> {
    let name = path
        .file_stem()
        .map(|name| name.to_string_lossy().into_owned());
    name.into_iter().collect()
}

fn read(path: &Path) -> Result<Entry, NotRead> {
    let annotation: Annotation = text_of(path)
        .and_then(|text| quick_xml::de::from_str(&text).map_err(|e| e.to_string()))
        .map_err(|error| {
            let why = format!(
                "It cannot be read as Pascal VOC: {}.",
                error.trim_end_matches('.')
            );
            not_read(path, why, "Export it anew from the program that made it.")
        })?;
    let number = |text: &Option<String>| {
        let number = text.as_deref().map(str::trim).and_then(|t| t.parse().ok());
        number.unwrap_or(f64::NAN)
    };
    let size = annotation.size.and_then(|size| {
        let side = |text: &Option<String>| {
            let side = number(text);
            (side >= 1.0 && side <= f64::from(u32::MAX)).then_some(side as u32)
        };
        Some(ImageSize::new(side(&size.width)?, side(&size.height)?))
    });
    let named = |text: Option<String>| text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    let boxes = annotation.object.into_iter().zip(1..).map(|(object, at)| {
        let corners = object.bndbox.as_ref().map_or([f64::NAN; 4], |b| {
            [
                number(&b.xmin) - 1.0,
                number(&b.ymin) - 1.0,
                number(&b.xmax),
                number(&b.ymax),
            ]
        });
        Marked {
            at,
            class: named(object.name).map(Into::into),
            corners,
        }
    });
    // The path is often that of another machine, and then its last part is still a name.
    let mut names = [named(annotation.path), named(annotation.filename)]
        .into_iter()
        .flatten();
    let image = names.next().unwrap_or_default();
    let else_images = names.chain(own_name(path));
    Ok(Entry {
        boxes: boxes.collect(),
        else_images: else_images.collect(),
        size,
        class: named(annotation.class),
        ..Entry::new(path, "Object", image)
    })
}
