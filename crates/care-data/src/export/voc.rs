//! Pascal VOC: `Annotations` with an XML file for each image, and in `ImageSets/Main` which stand in which part.
//!
//! VOC counts pixels from 1 and includes the last, and they are whole: the box from 0 to 10 is `1` to `10`.

use std::fmt::Write as _;
use std::path::Path;

use quick_xml::escape::escape;

use super::{ExportError, Set, names, relative, slashed, write_each, write_parts};
use crate::geometry::BoundingBox;

/// Whether an edge lies within a pixel.
pub(super) fn is_rounded(rect: &BoundingBox) -> bool {
    rect.xyxy().iter().any(|v| v.fract() != 0.0)
}

/// The first and the last pixel between two edges, from 1 on: edges to the nearest, but at least one pixel.
fn pixels(low: f64, high: f64) -> (u32, u32) {
    let (mut first, mut last) = (low.round(), high.round());
    if first >= last {
        (first, last) = (low.floor(), low.floor() + 1.0);
    }
    (first as u32 + 1, last as u32)
}

pub(super) fn write(set: &Set, folder: &Path) -> Result<(), ExportError> {
    let names = names(&set.items, false)?;
    let annotations = "Annotations";
    write_each(
        &set.items,
        &names,
        &folder.join(annotations),
        "xml",
        |item, name| {
            let lies_in = set.out.join(annotations).join(name);
            let path = relative(lies_in.parent().unwrap_or(&set.out), &item.path);
            let class = escape(&item.class.name);
            let file = path.rsplit('/').next().unwrap_or(&path);
            let mut xml = format!(
                "<annotation>\n\t<filename>{}</filename>\n\t<path>{}</path>\n\t<class>{class}</class>\n\
             \t<size>\n\t\t<width>{}</width>\n\t\t<height>{}</height>\n\t\t<depth>3</depth>\n\t</size>\n\
             \t<segmented>0</segmented>\n",
                escape(file),
                escape(path.as_str()),
                item.image.size.width,
                item.image.size.height,
            );
            for rect in item.rects() {
                let [x0, y0, x1, y1] = rect.xyxy();
                let ((xmin, xmax), (ymin, ymax)) = (pixels(x0, x1), pixels(y0, y1));
                // Writing to a string does not fail.
                let _ = write!(
                    xml,
                    "\t<object>\n\t\t<name>{class}</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n\
                 \t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>{xmin}</xmin>\n\t\t\t<ymin>{ymin}</ymin>\n\
                 \t\t\t<xmax>{xmax}</xmax>\n\t\t\t<ymax>{ymax}</ymax>\n\t\t</bndbox>\n\t</object>\n"
                );
            }
            xml + "</annotation>\n"
        },
    )?;
    let sets = folder.join("ImageSets/Main");
    std::fs::create_dir_all(&sets).map_err(|error| ExportError::io(&sets, error))?;
    write_parts(set, &sets, |_, i| {
        names.get(i).map(|name| slashed(name)).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_become_pixels() {
        for (low, high, expected) in [
            (0.0, 10.0, (1, 10)),
            (3.0, 4.0, (4, 4)),
            (2.4, 7.6, (3, 8)),
            (2.6, 3.4, (3, 3)),
            (9.6, 10.0, (10, 10)),
        ] {
            assert_eq!(pixels(low, high), expected, "{low} {high}");
        }
    }
}
