#![allow(clippy::print_stdout, reason = "how well it does is worth reading")]

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use care_data::import::{NewImage, Options};
use care_data::saliency::saliency;
use care_data::suggestion::suggest;
use care_data::synthetic::{self, Demo};
use care_data::{BoundingBox, HeatMap, ImageSize, Look, decode};
use image::{Rgb, RgbImage};
use rayon::prelude::*;

use crate::{import, test_data};

fn suggested(image: &RgbImage) -> Option<BoundingBox> {
    let size = ImageSize::new(image.width(), image.height());
    suggest(&saliency(image.clone()).unwrap(), size)
}

/// The mean of how a box for each image overlaps with the one of its own that fits best, and the share of at least 0.5.
#[derive(Debug)]
struct Scores {
    mean: f64,
    half: f64,
}

fn scores(
    images: &[(NewImage, RgbImage)],
    rect: impl Fn(&RgbImage) -> Option<BoundingBox> + Sync,
) -> Scores {
    let score = |(image, pixels): &(NewImage, RgbImage)| {
        let Some(rect) = rect(pixels) else { return 0.0 };
        let overlaps = image.boxes.iter().map(|own| rect.iou(*own));
        overlaps.fold(0.0, f64::max)
    };
    let each: Vec<f64> = images.par_iter().map(score).collect();
    let share = |sum: f64| sum / each.len() as f64;
    Scores {
        mean: share(each.iter().sum()),
        half: share(each.iter().filter(|iou| **iou >= 0.5).count() as f64),
    }
}

/// Beside two boxes that need no image.
fn report(name: &str, images: &[(NewImage, RgbImage)]) -> Scores {
    let whole = |image: &RgbImage| {
        let (width, height) = (f64::from(image.width()), f64::from(image.height()));
        BoundingBox::new(0.0, 0.0, width, height).unwrap()
    };
    let size = |image: &RgbImage| ImageSize::new(image.width(), image.height());
    let centred = |image: &RgbImage| whole(image).scaled(0.5, size(image)).ok();
    let begun = Instant::now();
    let ours = scores(images, suggested);
    let each = begun.elapsed().div_f64(images.len() as f64);
    println!(
        "{name}, {} images: suggested {ours:.3?} ({each:.1?} an image), half the sides {:.3?}, all of it {:.3?}",
        images.len(),
        scores(images, centred),
        scores(images, |image| Some(whole(image))),
    );
    ours
}

fn decoded(images: Vec<NewImage>) -> Vec<(NewImage, RgbImage)> {
    let decode = |image: NewImage| {
        let pixels = decode::decode(&image.path, &Look::default()).unwrap();
        (image, pixels)
    };
    let mut images = images;
    images.retain(|image| !image.boxes.is_empty());
    images.into_par_iter().map(decode).collect()
}

/// Paints black what a dermatoscope's round tube leaves black, with a soft rim.
fn through_a_tube(image: &RgbImage, radius: f32) -> RgbImage {
    let (width, height) = (image.width() as f32, image.height() as f32);
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let away = (x as f32 - width / 2.0).hypot(y as f32 - height / 2.0) / height;
        let light = ((radius - away) / 0.03).clamp(0.0, 1.0);
        Rgb(image
            .get_pixel(x, y)
            .0
            .map(|value| (f32::from(value) * light) as u8))
    })
}

#[test]
fn the_demos_lesions_stand_out() {
    let dir = tempfile::tempdir().unwrap();
    let import = synthetic::generate(
        Demo::Skin,
        dir.path(),
        0,
        &|_, _| (),
        &AtomicBool::new(false),
    )
    .unwrap();
    let images = decoded(import.images.into_iter().step_by(9).collect());
    let plain = report("the demo", &images);
    assert!(plain.half > 0.9 && plain.mean > 0.75, "{plain:?}");

    // Where the picture is a disc in black, and where only the corners are black.
    for radius in [0.48, 0.6] {
        let in_tubes = scores(&images, |image| suggested(&through_a_tube(image, radius)));
        assert!(in_tubes.half > 0.9, "{radius}: {in_tubes:?}");
    }
}

#[test]
fn a_picture_of_nothing_gives_no_box() {
    for image in [
        RgbImage::new(300, 200),
        RgbImage::from_pixel(300, 200, Rgb([200, 150, 140])),
        RgbImage::new(1, 1),
        // Nothing but edge.
        RgbImage::from_fn(2, 2, |x, _| Rgb([100 * x as u8; 3])),
    ] {
        assert_eq!(suggested(&image), None);
    }
}

#[test]
fn a_light_spot_stands_out_as_a_dark_one_does() {
    for (ground, spot) in [([220, 170, 150], [90, 50, 40]), ([60; 3], [140; 3])] {
        for (width, height) in [(640, 480), (90, 400), (800, 100)] {
            let (x0, y0) = (width / 2, height / 4);
            let (x1, y1) = (x0 + width / 5, y0 + height / 2);
            let image = RgbImage::from_fn(width, height, |x, y| {
                let inside = (x0..x1).contains(&x) && (y0..y1).contains(&y);
                Rgb(if inside { spot } else { ground })
            });
            let [x0, y0, x1, y1] = [x0, y0, x1, y1].map(f64::from);
            let own = BoundingBox::new(x0, y0, x1, y1).unwrap();
            let found = suggested(&image).unwrap();
            assert!(
                found.iou(own) > 0.7,
                "{width} x {height}: {found:?} {own:?}"
            );
        }
    }
}

#[test]
fn most_lesions_of_ham10000_are_found() {
    let Some(dir) = test_data("ham10000") else {
        return;
    };
    let options = Options {
        per_class: Some(72),
        ..Options::default()
    };
    let images = decoded(import(&dir, &options).unwrap().images);
    let found = report("HAM10000", &images);
    assert!(found.mean > 0.7 && found.half > 0.83, "{found:?}");
}

/// Nothing that only looks at contrast finds an opacity in a lung; but it must not fail, and the figure is worth knowing.
#[test]
fn a_radiograph_gives_a_box() {
    let Some(dir) = test_data("rsna") else {
        return;
    };
    let images = decoded(import(&dir, &Options::default()).unwrap().images);
    report("RSNA", &images);
    let found = images.iter().filter_map(|(image, pixels)| {
        let rect = suggested(pixels)?;
        rect.fits(image.size).then_some(rect)
    });
    assert_eq!(found.count(), images.len());
}

#[test]
fn it_takes_little_time() {
    let image = RgbImage::from_fn(1024, 1024, |x, y| {
        Rgb([(x * y % 251) as u8, (x / 4) as u8, (y / 5) as u8])
    });
    let best = (0..5).map(|_| {
        let image = image.clone();
        let begun = Instant::now();
        let map: HeatMap = saliency(image).unwrap();
        assert_eq!((map.width, map.height), (128, 128));
        begun.elapsed()
    });
    let best = best.min().unwrap();
    println!("saliency of 1024 x 1024 pixels: {best:.1?}");
    assert!(best < Duration::from_millis(100), "{best:?}");
}
