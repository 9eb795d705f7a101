//! A table with a line for each box, and one for each image without a box. Boxes stand in it both ways, for whoever reads it.

use std::path::Path;

use super::{ExportError, Set, relative, write_file};

const HEADER: [&str; 13] = [
    "image",
    "class",
    "split",
    "image_width",
    "image_height",
    "x",
    "y",
    "width",
    "height",
    "xmin",
    "ymin",
    "xmax",
    "ymax",
];

pub(super) fn write(set: &Set, path: &Path) -> Result<(), ExportError> {
    let folder = set.out.parent().unwrap_or(&set.out);
    write_file(path, |file| {
        let mut table = ::csv::Writer::from_writer(file);
        table.write_record(HEADER)?;
        for item in &set.items {
            let [width, height] = [item.image.size.width, item.image.size.height];
            let of_image = [
                relative(folder, &item.path),
                item.class.name.clone(),
                item.image.part.name().to_owned(),
                width.to_string(),
                height.to_string(),
            ];
            if item.boxes.is_empty() {
                table.write_record(of_image.iter().map(String::as_str).chain([""; 8]))?;
            }
            for rect in item.rects() {
                let [x0, y0, x1, y1] = rect.xyxy();
                let numbers = [x0, y0, rect.width(), rect.height(), x0, y0, x1, y1];
                let numbers = numbers.map(|v| v.to_string());
                table.write_record(of_image.iter().chain(&numbers))?;
            }
        }
        table.flush()
    })
}
