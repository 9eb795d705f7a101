//! COCO: as pycocotools reads it. The number of an image, a class or a box is the project's.

use std::path::Path;

use serde::Serialize;

use super::{ExportError, Set, relative, write_file};

#[derive(Serialize)]
struct Coco<'a> {
    info: Info<'a>,
    licenses: [(); 0],
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category<'a>>,
}

#[derive(Serialize)]
struct Info<'a> {
    description: &'a str,
}

#[derive(Serialize)]
struct Image {
    id: i64,
    file_name: String,
    width: u32,
    height: u32,
    /// No key of COCO's own, and passed over by its readers: the class of images without a box, too.
    category_id: i64,
}

#[derive(Serialize)]
struct Annotation {
    id: i64,
    image_id: i64,
    category_id: i64,
    /// x, y, width, height.
    bbox: [f64; 4],
    area: f64,
    segmentation: [(); 0],
    iscrowd: u8,
}

#[derive(Serialize)]
struct Category<'a> {
    id: i64,
    name: &'a str,
    supercategory: &'a str,
}

pub(super) fn write(set: &Set, path: &Path) -> Result<(), ExportError> {
    let folder = set.out.parent().unwrap_or(&set.out);
    let images = set.items.iter().map(|item| Image {
        id: item.image.id.0,
        file_name: relative(folder, &item.path),
        width: item.image.size.width,
        height: item.image.size.height,
        category_id: item.class.id.0,
    });
    let annotations = set.items.iter().flat_map(|item| {
        item.boxes.iter().map(|annotation| {
            let [x0, y0, _, _] = annotation.rect.xyxy();
            Annotation {
                id: annotation.id.0,
                image_id: item.image.id.0,
                category_id: item.class.id.0,
                bbox: [x0, y0, annotation.rect.width(), annotation.rect.height()],
                area: annotation.rect.area(),
                segmentation: [],
                iscrowd: 0,
            }
        })
    });
    let categories = set.classes.iter().map(|class| Category {
        id: class.id.0,
        name: &class.name,
        supercategory: "",
    });
    let coco = Coco {
        info: Info {
            description: set.name,
        },
        licenses: [],
        images: images.collect(),
        annotations: annotations.collect(),
        categories: categories.collect(),
    };
    write_file(path, |file| Ok(serde_json::to_writer(file, &coco)?))
}
