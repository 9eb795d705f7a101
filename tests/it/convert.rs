//! `care convert` from outside.

use image::{DynamicImage, ImageBuffer, Luma, RgbImage};
use serde_json::Value;

use crate::cli::{care, done, failed};

#[test]
fn what_is_seen_or_the_values_behind_are_written() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    let values = |x: u32, y: u32| (x * 1000 + y) as u16;
    let grey: ImageBuffer<Luma<u16>, Vec<u16>> =
        ImageBuffer::from_fn(50, 20, |x, y| Luma([values(x, y)]));
    grey.save(folder.join("1.2.840.7.tif")).unwrap();
    let colours = RgbImage::from_fn(9, 5, |x, y| image::Rgb([x as u8, y as u8, 7]));
    colours.save(folder.join("skin.png")).unwrap();
    let written = |name: &str| image::open(folder.join("out").join(name)).unwrap();

    let both = ["convert", "1.2.840.7.tif", "skin.png", "--out", "out"];
    let said = done(&care(folder, &both));
    assert!(said.contains("center 32768, width 65536"), "{said}");
    let DynamicImage::ImageLuma8(seen) = written("1.2.840.7.png") else {
        panic!("one channel of 8 bits")
    };
    assert!(
        seen.enumerate_pixels()
            .all(|(x, y, p)| u16::from(p.0[0]) == values(x, y) >> 8)
    );
    assert_eq!(written("skin.png").into_rgb8(), colours);

    let line = failed(&care(folder, &both), 1);
    assert!(line.contains("is there already"), "{line}");
    let narrow = [&both[..], &["--window", "25000,1001", "--json", "--force"]].concat();
    let report: Value = serde_json::from_str(&done(&care(folder, &narrow))).unwrap();
    assert_eq!(report[0]["window_center"], 25000.0);
    assert_eq!(report[1]["kind"], "colour");
    let seen = written("1.2.840.7.png").into_luma8();
    let greys: Vec<u8> = [24, 25, 26].map(|x| seen.get_pixel(x, 0).0[0]).into();
    assert_eq!(greys, [0, 128, 255]);

    let raw = [&both[..], &["--raw", "--force"]].concat();
    let said = done(&care(folder, &raw));
    assert!(said.contains("value = 1 \u{d7} grey + 0"), "{said}");
    assert_eq!(written("1.2.840.7.png").into_luma16(), grey);

    // Nothing is written over, and what cannot be read is said.
    let line = failed(&care(folder, &["convert", "skin.png", "--out", "."]), 1);
    assert!(line.contains("is one of the images"), "{line}");
    std::fs::write(folder.join("broken.png"), "no picture").unwrap();
    let some = care(folder, &["convert", "broken.png", "skin.png", "--out", "b"]);
    assert!(folder.join("b/skin.png").is_file());
    assert!(failed(&some, 1).contains("1 of 2 images were left out"));
    for wrong in ["40", "40,0", "lung"] {
        let output = care(folder, &[&both[..], &["--window", wrong]].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}

/// A greyscale of 8 x 8 with everything in its header that must stay there.
fn dicom_of_somebody() -> Vec<u8> {
    let mut set = Vec::new();
    let mut element = |tag: [u8; 4], vr: &[u8; 2], value: &[u8]| {
        let mut value = value.to_vec();
        if value.len() % 2 == 1 {
            value.push(if vr == b"UI" { 0 } else { b' ' });
        }
        set.extend(tag);
        set.extend(vr);
        if vr == b"OW" {
            set.extend([0, 0]);
            set.extend((value.len() as u32).to_le_bytes());
        } else {
            set.extend((value.len() as u16).to_le_bytes());
        }
        set.extend(value);
    };
    element([0x02, 0, 0x10, 0], b"UI", b"1.2.840.10008.1.2.1");
    element([0x08, 0, 0x20, 0], b"DA", b"19830102");
    element([0x08, 0, 0x60, 0], b"CS", b"DX");
    element([0x08, 0, 0x80, 0], b"LO", b"Planted Hospital");
    element([0x10, 0, 0x10, 0], b"PN", b"Planted^Name");
    element([0x10, 0, 0x20, 0], b"LO", b"PLANTED-ID");
    element([0x10, 0, 0x30, 0], b"DA", b"19830102");
    for (number, value) in [(0x02, 1_u16), (0x10, 8), (0x11, 8)] {
        element([0x28, 0, number, 0], b"US", &value.to_le_bytes());
    }
    element([0x28, 0, 0x04, 0], b"CS", b"MONOCHROME2");
    for (number, value) in [(0x00, 16_u16), (0x01, 12), (0x02, 11), (0x03, 0)] {
        element([0x28, 0, number, 1], b"US", &value.to_le_bytes());
    }
    let pixels: Vec<u8> = (0..64_u16).flat_map(|v| (v * 64).to_le_bytes()).collect();
    element([0xE0, 0x7F, 0x10, 0], b"OW", &pixels);
    [vec![0; 128], b"DICM".to_vec(), set].concat()
}

/// Every byte that is written anywhere: the project, what is exported, what is converted, what is printed.
#[test]
fn nothing_of_a_patient_leaves_the_file() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    std::fs::create_dir_all(folder.join("films/clear")).unwrap();
    std::fs::write(folder.join("films/clear/1.2.3"), dicom_of_somebody()).unwrap();
    let mut printed = String::new();
    let mut run = |arguments: &[&str]| {
        let output = care(folder, arguments);
        printed += &done(&output);
        printed += &String::from_utf8_lossy(&output.stderr);
    };
    run(&["import", "p.care", "films"]);
    run(&["list", "p.care", "--json"]);
    run(&["box", "p.care", "1.2.3", "--add", "1,1,5,6"]);
    run(&["convert", "films/clear/1.2.3", "--out", "out", "--json"]);
    run(&["convert", "films/clear/1.2.3", "--out", "raw", "--raw"]);
    for format in ["coco", "voc", "yolo", "csv", "labelme"] {
        let out = format!("exported-{format}");
        run(&["export", "p.care", "--format", format, "--out", &out]);
    }
    assert_eq!(
        image::open(folder.join("out/1.2.3.png")).unwrap().width(),
        8
    );

    let mut written = vec![(folder.join("what was printed"), printed.into_bytes())];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_file() && !path.ends_with("clear/1.2.3") {
                written.push((path.clone(), std::fs::read(&path).unwrap()));
            } else if kind.is_dir() {
                folders.push(path);
            }
        }
    }
    assert!(written.len() > 9, "{}", written.len());
    for (path, bytes) in written {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        for planted in ["planted", "19830102"] {
            assert!(!text.contains(planted), "{planted} in {}", path.display());
        }
    }
}
