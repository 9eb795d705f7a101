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

    let narrow = [&both[..], &["--window", "25000,1001", "--json"]].concat();
    let report: Value = serde_json::from_str(&done(&care(folder, &narrow))).unwrap();
    assert_eq!(report[0]["window_center"], 25000.0);
    assert_eq!(report[1]["kind"], "colour");
    let seen = written("1.2.840.7.png").into_luma8();
    let greys: Vec<u8> = [24, 25, 26].map(|x| seen.get_pixel(x, 0).0[0]).into();
    assert_eq!(greys, [0, 128, 255]);

    let raw = [&both[..], &["--raw"]].concat();
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
