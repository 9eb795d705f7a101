//! What other programs write, and what comes in of it.

mod files;
mod masks;
mod tables;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use care_data::NotRead;
use care_data::import::{BoxesFrom, Format, Import, ImportError, Options, preview, recognise};

use crate::{import, save, write};

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
    let images = import.images.iter().map(|image| {
        let boxes = image.boxes.iter().map(|rect| rect.xyxy()).collect();
        let name = image.path.file_name().unwrap().to_str().unwrap();
        (name, image.class.as_str(), boxes)
    });
    let mut images: Vec<_> = images.collect();
    images.sort_by_key(|(name, ..)| *name);
    images
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
