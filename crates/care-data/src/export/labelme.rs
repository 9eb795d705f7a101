//! labelme: a JSON file with rectangles for each image. The image's class is its flag.

use std::path::Path;

use serde_json::json;

use super::{ExportError, Set, names, relative, write_each};

pub(super) fn write(set: &Set, folder: &Path) -> Result<(), ExportError> {
    let names = names(&set.items, false)?;
    write_each(&set.items, &names, folder, "json", |item, name| {
        let lies_in = set.out.join(name);
        let lies_in = lies_in.parent().unwrap_or(&set.out);
        let shapes: Vec<_> = item
            .rects()
            .map(|rect| {
                let [x0, y0, x1, y1] = rect.xyxy();
                json!({
                    "label": item.class.name,
                    "points": [[x0, y0], [x1, y1]],
                    "group_id": null,
                    "description": "",
                    "shape_type": "rectangle",
                    "flags": {},
                })
            })
            .collect();
        let file = json!({
            "version": "5.5.0",
            "flags": { item.class.name.as_str(): true },
            "shapes": shapes,
            "imagePath": relative(lies_in, &item.path),
            "imageData": null,
            "imageHeight": item.image.size.height,
            "imageWidth": item.image.size.width,
        });
        format!("{file:#}\n")
    })
}
