//! Masks.

use std::path::Path;

use care_data::import::{BoxesFrom, Options};
use image::{Luma, Rgb, RgbImage};

use super::{check_reasons, folder, images};
use crate::{import, write};

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
