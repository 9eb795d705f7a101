//! COCO, Pascal VOC, YOLO and labelme.

use care_data::import::Options;

use super::{COCO, check_reasons, folder, images};
use crate::import;

#[test]
fn coco_with_all_its_slips() {
    let json = r#"{"images": [
            {"id": 1, "file_name": "train/1.png", "width": 20, "height": 10},
            {"id": "two", "file_name": "2.png", "width": "20"},
            {"id": 3, "file_name": "3.png", "width": 40, "height": 20},
            {"id": 4, "file_name": "4.png"},
            {"id": 5, "file_name": "5.png", "category_id": 8},
            {"id": 6, "file_name": "gone.png"},
            {"id": 7, "file_name": null},
            {"id": 8, "file_name": "8.png"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3.5, 4], "segmentation": [[1, 2, 3, 4]]},
            {"id": 2, "image_id": 1, "category_id": 8, "bbox": [1, 2, 3, 4]},
            {"id": 3, "image_id": 1, "category_id": 7, "bbox": [10, 0, 100, 5], "score": {"deep": [1]}},
            {"id": 4, "image_id": "two", "category_id": 8, "bbox": [0, 0, "x", 5]},
            {"id": 5, "image_id": "two", "category_id": 8, "bbox": [0, 0, 5]},
            {"id": 6, "image_id": "two", "category_id": 8, "bbox": [0, 0, 5, 5], "iscrowd": 1},
            {"id": 7, "image_id": 3, "category_id": 8, "bbox": [0, 0, 5, 5]},
            {"id": 8, "image_id": 99, "category_id": 8, "bbox": [0, 0, 5, 5]},
            {"id": 9, "image_id": 8, "category_id": 7}],
        "categories": [{"id": 7, "name": "nv"}, {"id": 8, "name": "df", "supercategory": "x"}]}"#;
    let root = folder(&[
        ("train/1.png", ""),
        ("2.png", ""),
        ("3.png", ""),
        ("4.png", ""),
        ("5.png", ""),
        ("8.png", ""),
        ("9.png", ""),
        ("a.json", json),
    ]);
    let found = import(root.path(), &Options::default()).unwrap();
    assert_eq!(
        images(&found),
        [
            (
                "1.png",
                "nv",
                vec![[1.0, 2.0, 4.5, 6.0], [10.0, 0.0, 20.0, 5.0]]
            ),
            ("2.png", "df", vec![]),
            ("3.png", "df", vec![]),
            ("5.png", "df", vec![]),
            ("8.png", "nv", vec![]),
        ]
    );
    check_reasons(
        &found.not_read,
        &[
            "1 of its boxes are marked as crowds.",
            "2 of its images have no file, gone.png for one.",
            "1 of its images have neither a class nor a box with one, 4.png for one.",
            "1 of its images have boxes of several classes, train/1.png for one.",
            "It says nothing of 9.png, which lies in its folder.",
            "Annotation 4 gives 2 a box that is none",
            "Annotation 5 gives 2 a box that is none",
            "It takes 3 for 40 \u{d7} 20 pixels; as shown it has 20 \u{d7} 10.",
        ],
    );
}

#[test]
fn of_several_coco_files_the_instances_count() {
    let other = COCO.replace("\"a\"", "\"person\"");
    let root = folder(&[
        ("1.png", ""),
        ("annotations/captions.json", &other),
        ("annotations/instances_x.json", COCO),
    ]);
    let found = import(root.path(), &Options::default()).unwrap();
    assert_eq!(images(&found), [("1.png", "a", vec![[0.0, 0.0, 4.0, 4.0]])]);
    assert_eq!(found.not_read, []);
}

#[test]
fn voc_counts_from_one_to_the_last() {
    let object = |name: &str, b: [&str; 4]| {
        let [x0, y0, x1, y1] = b;
        format!(
            "<object><name>{name}</name><part><name>head</name><bndbox><xmin>9</xmin></bndbox></part>\
             <bndbox><xmax>{x1}</xmax><ymin>{y0}</ymin><xmin> {x0} </xmin><ymax>{y1}</ymax></bndbox></object>"
        )
    };
    let file = |name: &str, inside: &str| {
        format!(
            "<?xml version=\"1.0\"?>\n<annotation verified=\"yes\"><folder>x</folder><filename>{name}</filename>{inside}</annotation>"
        )
    };
    let size = "<size><width>20</width><height>10</height><depth>3</depth></size>";
    let first = object("a &amp; b", ["1", "1", "20", "10"])
        + size
        + &object("a &amp; b", ["3.5", "2", "4", "2"]);
    let root = folder(&[
        ("JPEGImages/1.png", ""),
        ("JPEGImages/2.png", ""),
        ("JPEGImages/3.png", ""),
        ("JPEGImages/4.png", ""),
        ("Annotations/1.xml", &file("1.png", &first)),
        // Renamed since; outside; not a number; cut off; asking for more than it says.
        (
            "Annotations/2.xml",
            &file("old name.jpg", &object("b", ["30", "1", "40", "2"])),
        ),
        (
            "Annotations/3.xml",
            &file("3.png", &object("b", ["x", "1", "4", "2"])),
        ),
        ("Annotations/4.xml", &file("4.png", "<object><name>b")[..60]),
        (
            "Annotations/5.xml",
            "<!DOCTYPE a [<!ENTITY x \"yyyyyyyy\">]><annotation><filename>&x;&x;</filename></annotation>",
        ),
    ]);
    let found = import(root.path(), &Options::default()).unwrap();
    assert_eq!(
        images(&found),
        [
            (
                "1.png",
                "a & b",
                vec![[0.0, 0.0, 20.0, 10.0], [2.5, 1.0, 4.0, 2.0]]
            ),
            ("2.png", "b", vec![]),
            ("3.png", "b", vec![]),
        ]
    );
    check_reasons(
        &found.not_read,
        &[
            "It cannot be read as Pascal VOC",
            "It cannot be read as Pascal VOC",
            "It says nothing of 4.png, which lies in its folder.",
            "Object 1 gives 2 a box that is none",
            "Object 1 gives 3 a box that is none",
        ],
    );
}

#[test]
fn yolo_in_its_layouts() {
    let lines =
        "1 0.5 0.5 0.1 0.2\n1 0.05 0.05 0.1 0.1 0.9\n\n1 0.1 0.1 0.5 0.1 0.3 0.9\n0 nonsense\n";
    for [image, label] in [
        ["images/train/1.png", "labels/train/1.txt"],
        ["train/images/1.png", "train/labels/1.txt"],
        ["x/1.png", "x/1.txt"],
    ] {
        let root = folder(&[
            (image, ""),
            (label, lines),
            ("data.yaml", "train: t\nnames:\n  0: nv\n  1: \"df\"\n"),
            ("train.txt", "./images/train/1.png\n"),
            ("2.png", ""),
        ]);
        let found = import(root.path(), &Options::default()).unwrap();
        let boxes = vec![
            [9.0, 4.0, 11.0, 6.0],
            [0.0, 0.0, 2.0, 1.0],
            [2.0, 1.0, 10.0, 9.0],
        ];
        assert_eq!(images(&found), [("1.png", "df", boxes)]);
        check_reasons(
            &found.not_read,
            &["Line 5 is no label", "It says nothing of 2.png, which lies"],
        );
    }
    // Without names classes are called by their numbers.
    let root = folder(&[("1.png", ""), ("1.txt", "12 0.5 0.5 0.1 0.2\n")]);
    assert_eq!(
        import(root.path(), &Options::default()).unwrap().images[0].class,
        "12"
    );
}

#[test]
fn labelme_with_other_shapes() {
    let json = r#"{"version": "5.2.1", "flags": {"x": false}, "imageData": "AAAA", "imagePath": "..\\im\\1.png", "shapes": [
        {"label": "nv", "points": [[4, 6], [1, 2]], "shape_type": "rectangle", "group_id": null},
        {"label": "nv", "points": [[5, 1], [9, 4], [6, 8.5]], "shape_type": "polygon"},
        {"label": "nv", "points": [[10, 5], [10, 7]], "shape_type": "circle"},
        {"label": "df", "points": [[1, 1]], "shape_type": "point"},
        {"label": "nv", "points": [], "shape_type": "rectangle"}]}"#;
    let flagged = r#"{"flags": {"mel": true}, "shapes": [], "imagePath": "2.png", "imageWidth": 20, "imageHeight": 10}"#;
    let root = folder(&[
        ("im/1.png", ""),
        ("im/2.png", ""),
        ("json/1.json", json),
        ("im/2.json", flagged),
        ("json/3.json", "{\"shapes\": [{\"points\": [[1]]}]}"),
    ]);
    let found = import(root.path(), &Options::default()).unwrap();
    let boxes = vec![
        [1.0, 2.0, 4.0, 6.0],
        [5.0, 1.0, 9.0, 8.5],
        [8.0, 3.0, 12.0, 7.0],
    ];
    assert_eq!(
        images(&found),
        [("1.png", "nv", boxes), ("2.png", "mel", vec![])]
    );
    check_reasons(
        &found.not_read,
        &[
            "It cannot be read as labelme JSON",
            "2 of its shapes are no rectangles.",
            "1 of its shapes are points or lines.",
            "Shape 5 gives 1 a box that is none",
        ],
    );
}
