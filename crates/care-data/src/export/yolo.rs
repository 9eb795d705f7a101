//! YOLO: `data.yaml`, `labels` with a text file for each image, which of them stand in which part, and `images`, a link to the
//! folder that the images lie in.
//!
//! Where there are no such links, that folder is to be put there by hand.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use super::{
    ExportError, Set, common_folder, names, relative, slashed, write_each, write_file, write_parts,
};
use crate::model::Part;

pub(super) const IMAGES: &str = "images";

pub(super) fn write(set: &Set, folder: &Path) -> Result<(), ExportError> {
    let names = names(&set.items, true)?;
    write_each(
        &set.items,
        &names,
        &folder.join("labels"),
        "txt",
        |item, _| {
            let (width, height) = (
                f64::from(item.image.size.width),
                f64::from(item.image.size.height),
            );
            let mut lines = String::new();
            for rect in item.rects() {
                let [x0, y0, x1, y1] = rect.xyxy();
                // Writing to a string does not fail.
                let _ = writeln!(
                    lines,
                    "{} {} {} {} {}",
                    item.class_index,
                    (x0 + x1) / 2.0 / width,
                    (y0 + y1) / 2.0 / height,
                    rect.width() / width,
                    rect.height() / height,
                );
            }
            lines
        },
    )?;
    let common = common_folder(&set.items);
    write_parts(set, folder, |item, _| {
        let below = item.path.strip_prefix(&common).unwrap_or(&item.path);
        format!("./{IMAGES}/{}", slashed(below))
    })?;
    write_file(&folder.join("data.yaml"), |file| {
        for (part, key) in [
            (Part::Train, "train"),
            (Part::Validation, "val"),
            (Part::Test, "test"),
        ] {
            if set.items.iter().any(|item| item.image.part == part) {
                writeln!(file, "{key}: {key}.txt")?;
            }
        }
        writeln!(file, "names:")?;
        for (i, class) in set.classes.iter().enumerate() {
            // A string of JSON is one of YAML.
            writeln!(file, "  {i}: {}", serde_json::to_string(&class.name)?)?;
        }
        Ok(())
    })?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(relative(&set.out, &common), folder.join(IMAGES))
        .map_err(|error| ExportError::io(&folder.join(IMAGES), error))?;
    Ok(())
}
