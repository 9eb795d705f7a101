//! What other programs write, and what comes in of it.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use care_data::import::{
    BoxesFrom, Format, Import, ImportError, Options, PatientId, preview, recognise,
};
use care_data::{NotRead, Project, ReviewState};
use image::{Luma, Rgb, RgbImage};

use crate::{import, picture, save, test_data};

fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A folder with these files; those that end in an image's ending are pictures of 20 x 10 pixels.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (i, (name, text)) in files.iter().enumerate() {
        let path = root.path().join(name);
        if [".png", ".jpg"].iter().any(|ending| name.ends_with(ending)) {
            save(&path, i as u8);
        } else {
            write(&path, text);
        }
    }
    root
}

/// Each image's name, class and boxes.
fn images(import: &Import) -> Vec<(&str, &str, Vec<[f64; 4]>)> {
    let of_image = |image: &care_data::import::NewImage| {
        let boxes = image.boxes.iter().map(|rect| rect.xyxy()).collect();
        (
            image.path.file_name().unwrap().to_str().unwrap().to_owned(),
            image.class.clone(),
            boxes,
        )
    };
    let mut images: Vec<_> = import.images.iter().map(of_image).collect();
    images.sort_by(|a, b| a.0.cmp(&b.0));
    images
        .into_iter()
        .map(|(a, b, c)| (&*a.leak(), &*b.leak(), c))
        .collect()
}

/// Checks that each reason is given once, in this order, and no other.
#[track_caller]
fn check_reasons(not_read: &[NotRead], expected: &[&str]) {
    let whys: Vec<_> = not_read.iter().map(|it| it.why.as_str()).collect();
    let fit = whys.len() == expected.len()
        && whys
            .iter()
            .zip(expected)
            .all(|(why, part)| why.contains(part));
    assert!(fit, "{whys:#?}");
    for NotRead { why, advice, .. } in not_read {
        for sentence in [why, advice] {
            assert!(
                sentence.ends_with('.') && !sentence.contains('\n'),
                "{sentence}"
            );
        }
    }
}

const VOC: &str = "<annotation><filename>1.png</filename><object><name>a</name><bndbox><xmin>1</xmin>\
    <ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>";
const COCO: &str = r#"{"info": {"year": 2017}, "images": [{"id": 1, "file_name": "1.png"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4]}],
    "categories": [{"id": 1, "name": "a"}]}"#;
const LABELME: &str = r#"{"version": "5.0", "shapes": [{"label": "a", "points": [[1, 1], [4, 4]],
    "shape_type": "rectangle"}], "imagePath": "1.png"}"#;
const RSNA: &str = "patientId,x,y,width,height,Target\n1,2,3,4,5,1\n";
const NIH: &str = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n1.png,Mass,1,2,3.5,4,,,\n";

#[test]
fn formats_are_recognised_by_what_is_in_them() {
    for (files, file, format) in [
        (&[("a/1.png", ""), ("b/2.png", "")][..], "", Format::Folder),
        (
            &[
                ("a/1.png", ""),
                ("a/notes.txt", "see 2"),
                ("a/x.json", "{\"k\": 1}"),
                ("b.xml", "<html/>"),
            ],
            "",
            Format::Folder,
        ),
        (
            &[("a/1.png", ""), ("list.csv", "image,class\n1,a\n")],
            "",
            Format::Folder,
        ),
        (
            &[
                ("a/1.png", ""),
                ("boxes.csv", "image,class,x,y,width,height\n1,a,1,1,2,2\n"),
            ],
            "",
            Format::Folder,
        ),
        (
            &[("1.png", ""), ("t.csv", "image_id,dx\n1,a\n")],
            "t.csv",
            Format::Table,
        ),
        (
            &[("1.png", ""), ("annotations/i.json", COCO)],
            "annotations/i.json",
            Format::Coco,
        ),
        (
            &[("1.png", ""), ("coco.data", COCO)],
            "coco.data!",
            Format::Coco,
        ),
        (
            &[("1.png", ""), ("1.json", LABELME)],
            "1.json",
            Format::Labelme,
        ),
        (
            &[("JPEGImages/1.png", ""), ("Annotations/1.xml", VOC)],
            "Annotations/1.xml",
            Format::Voc,
        ),
        (
            &[
                ("images/t/1.png", ""),
                ("labels/t/1.txt", "0 .5 .5 .5 .5\n"),
                ("d.yaml", "names: [a]\n"),
            ],
            "d.yaml",
            Format::Yolo,
        ),
        (
            &[
                ("1.png", ""),
                ("1.txt", "0 .5 .5 .5 .5\n"),
                ("classes.txt", "a\n"),
            ],
            "classes.txt",
            Format::Yolo,
        ),
        (
            &[
                ("1.png", ""),
                ("b.csv", "image,label,xmin,ymin,xmax,ymax\n1,a,1,1,2,2\n"),
            ],
            "b.csv",
            Format::Csv,
        ),
        (
            &[("1.png", ""), ("c.csv", "image,class\n1,a\n")],
            "c.csv!",
            Format::Csv,
        ),
        (
            &[("im/1.png", ""), ("stage_2_train_labels.csv", RSNA)],
            "stage_2_train_labels.csv",
            Format::Rsna,
        ),
        (
            &[("im/1.png", ""), ("BBox_List_2017.csv", NIH)],
            "BBox_List_2017.csv",
            Format::Nih,
        ),
        (
            &[("a/1.png", ""), ("a/1_mask.png", ""), ("b/2.jpg", "")],
            "",
            Format::Masks,
        ),
    ] {
        let root = folder(files);
        let found = |path: &Path| recognise(path, &AtomicBool::new(false)).unwrap();
        // With "!" the file is recognised only where it is named.
        if !file.ends_with('!') {
            assert_eq!(found(root.path()), format, "{files:?}");
        }
        if !file.is_empty() {
            let path = root.path().join(file.trim_end_matches('!'));
            assert_eq!(found(&path), format, "{file} of {files:?}");
            let import = import(&path, &Options::default()).unwrap();
            assert_eq!(
                import.images.len(),
                1,
                "{file} of {files:?}: {:?}",
                import.not_read
            );
        }
    }
}

#[test]
fn what_was_expected_is_said() {
    let root = folder(&[
        ("1.png", ""),
        ("c.json", COCO),
        ("x.bin", "\u{0}\u{1}"),
        ("a/2.png", ""),
    ]);
    let with = |path: &str, format| {
        let options = Options {
            format,
            ..Options::default()
        };
        import(&root.path().join(path), &options)
    };
    for (path, format, part) in [
        (
            "c.json",
            Some(Format::Labelme),
            "It is COCO JSON, not labelme JSON.",
        ),
        (
            "",
            Some(Format::Voc),
            "It holds no file that is Pascal VOC XML.",
        ),
        ("x.bin", None, "It is none of the formats that are known."),
    ] {
        let error = with(path, format).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }
    // The folder is COCO, unless something else is asked for.
    assert_eq!(with("", None).unwrap().images[0].class, "a");
    assert_eq!(with("", Some(Format::Folder)).unwrap().images.len(), 1);
}

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
fn tables_with_boxes_both_ways() {
    for (table, expected) in [
        (
            "image,class,x,y,width,height\na/1.png,nv,1,2,3,4\na/1.png,nv,0,0,2.5,2\n",
            vec![[1.0, 2.0, 4.0, 6.0], [0.0, 0.0, 2.5, 2.0]],
        ),
        (
            "file;label;x1;y1;x2;y2;patient\n1;nv;1;2;4;6;P\n",
            vec![[1.0, 2.0, 4.0, 6.0]],
        ),
        (
            "filename,width,height,class,xmin,ymin,xmax,ymax\n1.jpg,20,10,nv,1,2,4,6\n",
            vec![[1.0, 2.0, 4.0, 6.0]],
        ),
        ("image,class,x,y,width,height\n1,nv,,,,\n", vec![]),
        (
            "image,class,x,y,width,height\n1,nv,4,4,-1,2\n./a/1.png,nv,5,5,0,0\n,nv,1,1,1,1\n",
            vec![],
        ),
    ] {
        let root = folder(&[("a/1.png", ""), ("t.csv", table)]);
        let found = import(root.path(), &Options::default()).unwrap();
        assert_eq!(images(&found), [("1.png", "nv", expected)], "{table}");
        let bad = if table.contains("-1") { 3 } else { 0 };
        assert_eq!(found.not_read.len(), bad, "{:?}", found.not_read);
        let patient = table.contains('P').then(|| PatientId::of_table("P"));
        assert_eq!(found.images[0].patient, patient);
    }
    let wrong_size = "filename,width,height,class,xmin,ymin,xmax,ymax\n1.jpg,40,20,nv,1,2,4,6\n";
    let root = folder(&[("a/1.png", ""), ("t.csv", wrong_size)]);
    let found = import(root.path(), &Options::default()).unwrap();
    check_reasons(&found.not_read, &["It takes 1 for 40 \u{d7} 20 pixels"]);
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

#[test]
fn rsna_with_and_without_its_details() {
    let labels = "patientId,x,y,width,height,Target\np1,2,3,4,5,1\np1,0.0,0.0,20.0,10.0,1\np2,,,,,0\np3,,,,,0\np4,,,,,0\n,,,,,1\n";
    let details = "patientId,class\np1,Lung Opacity\np1,Lung Opacity\np2,Normal\np3,No Lung Opacity / Not Normal\n";
    let mut files = vec![
        ("im/p1.png", ""),
        ("im/p2.png", ""),
        ("im/p3.jpg", ""),
        ("stage_2_train_labels.csv", labels),
    ];
    for with_details in [false, true] {
        if with_details {
            files.push(("stage_2_detailed_class_info.csv", details));
        }
        let root = folder(&files);
        let found = import(root.path(), &Options::default()).unwrap();
        let none = if with_details {
            ["Normal", "No Lung Opacity / Not Normal"]
        } else {
            ["No Lung Opacity"; 2]
        };
        let boxes = vec![[2.0, 3.0, 6.0, 8.0], [0.0, 0.0, 20.0, 10.0]];
        assert_eq!(
            images(&found),
            [
                ("p1.png", "Lung Opacity", boxes),
                ("p2.png", none[0], vec![]),
                ("p3.jpg", none[1], vec![])
            ]
        );
        let patients: Vec<_> = found
            .images
            .iter()
            .map(|it| it.patient.clone().unwrap())
            .collect();
        assert_eq!(patients, ["p1", "p2", "p3"].map(PatientId::of_table));
        check_reasons(
            &found.not_read,
            &[
                "Line 7 names no image or no class.",
                "1 of its images have no file, p4",
            ],
        );
    }
}

#[test]
fn the_rsna_sample() {
    let Some(folder) = test_data("rsna") else {
        return;
    };
    let found = import(&folder, &Options::default()).unwrap();
    assert_eq!((found.images.len(), found.not_read.len()), (20, 0));
    assert_eq!(
        found.images.iter().map(|it| it.boxes.len()).sum::<usize>(),
        36
    );
    let first = found
        .images
        .iter()
        .find(|it| it.path.to_string_lossy().contains("00436515"))
        .unwrap();
    let boxes: Vec<_> = first.boxes.iter().map(|rect| rect.xyxy()).collect();
    assert_eq!(
        boxes,
        [[264.0, 152.0, 477.0, 531.0], [562.0, 152.0, 818.0, 605.0]]
    );
    assert_eq!(first.class, "Lung Opacity");
}

#[test]
fn nih_knows_its_patients() {
    let table = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Mass,1,2,3.5,4,,,\n\
        00000001_000.png,Mass,5,5,1,1,,,\n00000007_002.png,Nodule,0,0,1,1,,,\n";
    let entries = "Image Index,Finding Labels,Follow-up #,Patient ID\n00000001_000.png,Mass|Effusion,0,4711\n";
    let root = folder(&[
        ("images/00000001_000.png", ""),
        ("images/00000007_002.png", ""),
        ("BBox_List_2017.csv", table),
        ("Data_Entry_2017.csv", entries),
    ]);
    let found = import(root.path(), &Options::default()).unwrap();
    assert_eq!(
        images(&found),
        [
            (
                "00000001_000.png",
                "Mass",
                vec![[1.0, 2.0, 4.5, 6.0], [5.0, 5.0, 6.0, 6.0]]
            ),
            ("00000007_002.png", "Nodule", vec![[0.0, 0.0, 1.0, 1.0]]),
        ]
    );
    let patients: Vec<_> = found.images.iter().map(|it| it.patient.clone()).collect();
    let named = ["4711", "00000007"].map(|id| Some(PatientId::of_table(id)));
    assert_eq!(patients, named);
}

/// A mask of `width` x `height` pixels, white in the rectangles.
fn mask(path: &Path, [width, height]: [u32; 2], rects: &[[u32; 4]]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let is_in = |x, y| {
        rects
            .iter()
            .any(|&[x0, y0, x1, y1]| (x0..x1).contains(&x) && (y0..y1).contains(&y))
    };
    let level = |x, y| if is_in(x, y) { 255 } else { 0 };
    image::GrayImage::from_fn(width, height, |x, y| Luma([level(x, y)]))
        .save(path)
        .unwrap();
}

#[test]
fn masks_become_boxes() {
    let spots = [[1, 1, 6, 5], [10, 2, 20, 10], [8, 9, 9, 10]];
    let two = vec![[1.0, 1.0, 6.0, 5.0], [10.0, 2.0, 20.0, 10.0]];
    for [image, mask_path] in [
        ["nv/1.png", "nv/1_segmentation.png"],
        ["images/nv/1.png", "masks/nv/1.png"],
        ["images/nv/1.png", "masks/1_mask.png"],
    ] {
        let root = folder(&[(image, ""), (&image.replace("1.png", "2.jpg"), "")]);
        mask(&root.path().join(mask_path), [20, 10], &spots);
        let found = import(root.path(), &Options::default()).unwrap();
        assert_eq!(
            images(&found),
            [("1.png", "nv", two.clone()), ("2.jpg", "nv", vec![])]
        );
        check_reasons(
            &found.not_read,
            &["1 of its spots are of fewer than 16 pixels."],
        );
    }
    // Beside a table, and where the colours are an index; of another size; without an image; no picture.
    let root = folder(&[
        ("im/1.png", ""),
        ("im/2.png", ""),
        ("im/3.png", ""),
        ("t.csv", "image_id,dx\n1,nv\n2,df\n3,df\n"),
    ]);
    let at = |name: &str| root.path().join(name);
    std::fs::create_dir_all(at("masks")).unwrap();
    let red = |x, y| {
        if x < 4 && y > 3 {
            Rgb([128, 0, 0])
        } else {
            Rgb([0; 3])
        }
    };
    RgbImage::from_fn(20, 10, red)
        .save(at("masks/1.png"))
        .unwrap();
    mask(&at("masks/2.png"), [10, 10], &[]);
    write(&at("masks/3.png"), "nothing");
    let found = import(root.path(), &Options::default()).unwrap();
    let of_first = vec![[0.0, 4.0, 4.0, 10.0]];
    assert_eq!(
        images(&found),
        [
            ("1.png", "nv", of_first.clone()),
            ("2.png", "df", vec![]),
            ("3.png", "df", vec![])
        ]
    );
    check_reasons(
        &found.not_read,
        &[
            "The mask has 10 \u{d7} 10 pixels, its image 20 \u{d7} 10.",
            "Not an image",
        ],
    );

    // A folder of masks anywhere, named.
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::rename(at("masks/1.png"), elsewhere.path().join("1_seg.png")).unwrap();
    mask(&elsewhere.path().join("9.png"), [20, 10], &[]);
    std::fs::remove_dir_all(at("masks")).unwrap();
    let boxes = BoxesFrom::File(elsewhere.path().to_owned());
    let found = import(
        root.path(),
        &Options {
            boxes,
            ..Options::default()
        },
    )
    .unwrap();
    assert_eq!(images(&found)[0], ("1.png", "nv", of_first));
    check_reasons(
        &found.not_read,
        &["1 of its masks have no image of their own, 9 for one."],
    );
}

#[test]
fn a_preview_says_what_will_come() {
    let table = "image,class,x,y,width,height\n1,nv,1,2,3,4\n1,nv,0,0,2,2\n2,df,0,0,2,2\n3,df,,,,\nno,df,,,,\nbad,df,1,1,2,2\n";
    let root = folder(&[
        ("1.png", ""),
        ("2.png", ""),
        ("3.png", ""),
        ("bad.PNG", "no picture"),
        ("t.csv", table),
    ]);
    let options = Options::default();
    let preview = preview(root.path(), &options, &AtomicBool::new(false)).unwrap();
    let found = import(root.path(), &options).unwrap();
    assert_eq!(
        (preview.format, preview.images, preview.boxes, preview.masks),
        (Format::Csv, 3, 3, 0)
    );
    assert!(preview.source.ends_with("t.csv"));
    let classes: Vec<_> = preview
        .classes
        .iter()
        .map(|c| (c.name.as_str(), c.images, c.boxes))
        .collect();
    assert_eq!(classes, [("df", 2, 1), ("nv", 1, 2)]);
    assert_eq!(found.images.len(), preview.images);
    assert_eq!(found.not_read, preview.not_read);
    let without = Options {
        boxes: BoxesFrom::None,
        ..options
    };
    let preview =
        care_data::import::preview(root.path(), &without, &AtomicBool::new(false)).unwrap();
    assert_eq!((preview.images, preview.boxes), (3, 0));
}

#[test]
fn hostile_files_cost_a_line() {
    let deep = format!("{{\"images\": {}", "[".repeat(100_000));
    let many = format!(
        "{{\"images\": [{{\"id\": 1, \"file_name\": \"1.png\", \"category_id\": 1}}], \"categories\": [{{\"id\": 1, \"name\": \"a\"}}], \"annotations\": [{}]}}",
        vec!["{\"image_id\": 1, \"category_id\": 1, \"bbox\": [0, 0, -1, 5]}"; 5000].join(",")
    );
    let nested = "<annotation>".repeat(50_000);
    for (name, text) in [
        ("x.json", "{\"images\": [{\"id\": "),
        ("x.json", &deep),
        ("x.json", "{\"images\": 3}"),
        (
            "x.json",
            "{\"images\": [], \"annotations\": [], \"categories\": []}",
        ),
        (
            "x.json",
            "{\"images\": [{\"id\": 1, \"file_name\": \"../../../../etc/passwd\", \"category_id\": 1}], \"categories\": [{\"id\": 1, \"name\": \"a\"}]}",
        ),
        ("x.xml", &nested),
        (
            "x.xml",
            "<annotation><object><bndbox><xmin>1e400</xmin></bndbox></object>",
        ),
        ("x.json", "{\"shapes\": [{\"label\": 5}]}"),
        ("BBox_List_2017.csv", "Image Index,Finding Label\n1,2"),
        ("stage_2_train_labels.csv", "patientId,x,Target\n\u{0},\"\n"),
        ("t.csv", "image,class,x,y,width,height\n\"1,a,\n"),
    ] {
        let root = folder(&[("1.png", ""), (name, text)]);
        let result = import(&root.path().join(name), &Options::default());
        let start: String = text.chars().take(60).collect();
        match result {
            Err(error @ ImportError::Unusable { .. }) => {
                let error = error.to_string();
                assert!(
                    error.ends_with('.') && !error.contains('\n') && error.len() < 600,
                    "{error}"
                );
            }
            Ok(found) => assert!(
                found.images.is_empty() && !found.not_read.is_empty(),
                "{start}"
            ),
            other => panic!("{start}: {other:?}"),
        }
    }
    let root = folder(&[("1.png", ""), ("x.json", &many)]);
    let found = import(root.path(), &Options::default()).unwrap();
    assert_eq!(
        (found.images.len(), found.not_read.len()),
        (1, 101),
        "the first hundred, and how many more"
    );
    assert_eq!(found.not_read[100].why, "So it is 4900 times more.");
}

#[test]
fn imported_again_new_boxes_go_where_nobody_worked() {
    use care_data::{BoundingBox, Edit};
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    for i in 1..=6u8 {
        save(&data.join(format!("{i}.png")), i);
    }
    let table = |with: bool| {
        let mut text = "image,class,x,y,width,height\n".to_owned();
        for i in 1..=6 {
            text += &match with {
                true => format!("{i},nv,{i},1,2,2\n{i},nv,5,5,2,2\n"),
                false => format!("{i},nv,,,,\n"),
            };
        }
        write(&data.join("t.csv"), text);
    };
    table(false);
    let mut project = Project::create(&root.path().join("p.care")).unwrap();
    project
        .take_in(import(&data, &Options::default()).unwrap())
        .unwrap();
    let ids: Vec<_> = project.images().iter().map(|it| it.id).collect();
    let drawn = BoundingBox::new(0.0, 0.0, 3.0, 3.0).unwrap();
    let draw = |project: &mut Project, image| {
        let id = project.next_box_id();
        let annotation = project.new_box(image, drawn);
        project.apply(Edit::AddBox { annotation }).unwrap();
        id
    };
    // 1 has a box; 2 had one; 3's was undone; 4 is done; 5 was done; 6 is as it came.
    draw(&mut project, ids[0]);
    let id = draw(&mut project, ids[1]);
    project.apply(Edit::RemoveBox { id }).unwrap();
    draw(&mut project, ids[2]);
    project.undo().unwrap();
    project
        .apply(Edit::SetReview {
            image: ids[3],
            reader: None,
            state: ReviewState::Done,
        })
        .unwrap();
    project
        .apply(Edit::SetReview {
            image: ids[4],
            reader: None,
            state: ReviewState::Done,
        })
        .unwrap();
    project
        .apply(Edit::SetReview {
            image: ids[4],
            reader: None,
            state: ReviewState::ToDo,
        })
        .unwrap();
    table(true);
    for (round, expected) in [(1, 2), (2, 0)] {
        let taken = project
            .take_in(import(&data, &Options::default()).unwrap())
            .unwrap();
        assert_eq!(
            (taken.added, taken.already_there, taken.boxes),
            (0, 6, expected),
            "round {round}"
        );
        let counts: Vec<_> = ids.iter().map(|id| project.boxes(*id).len()).collect();
        assert_eq!(counts, [1, 0, 0, 0, 0, 2]);
        assert_eq!(project.boxes(ids[0])[0].rect, drawn);
    }
    // Those that came in late are on the disk, and taken away they stay away.
    let dir = project.dir().to_owned();
    drop(project);
    let mut project = Project::open(&dir).unwrap();
    let late: Vec<_> = project.boxes(ids[5]).iter().map(|it| it.id).collect();
    assert_eq!(late.len(), 2);
    for id in late {
        project.apply(Edit::RemoveBox { id }).unwrap();
    }
    let taken = project
        .take_in(import(&data, &Options::default()).unwrap())
        .unwrap();
    assert_eq!((taken.boxes, project.boxes(ids[5])), (0, &[][..]));
}

#[test]
fn missing_images_are_told_and_found_again() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    for i in 1..=3u8 {
        picture(20, 10, i)
            .save({
                std::fs::create_dir_all(data.join("a")).unwrap();
                data.join(format!("a/{i}.png"))
            })
            .unwrap();
    }
    let mut project = Project::create(&root.path().join("p.care")).unwrap();
    project
        .take_in(import(&data, &Options::default()).unwrap())
        .unwrap();
    assert_eq!(project.missing(), []);
    let ids: Vec<_> = project.images().iter().map(|it| it.id).collect();
    std::fs::create_dir_all(root.path().join("new/a")).unwrap();
    for i in 2..=3 {
        let name = format!("a/{i}.png");
        std::fs::rename(data.join(&name), root.path().join("new").join(&name)).unwrap();
    }
    assert_eq!(project.missing(), ids[1..]);
    assert_eq!(project.images().len(), 3, "missing is not gone");
    project
        .take_in(import(&root.path().join("new"), &Options::default()).unwrap())
        .unwrap();
    assert_eq!((project.missing(), project.images().len()), (vec![], 3));
}
