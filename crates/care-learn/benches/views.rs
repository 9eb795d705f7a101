//! What augmentation costs on one thread: a batch of 16 images of 224 x 224, and one image's masks.
//!
//!     cargo bench -p care-learn --bench views             # or with --profile dev, as the demo is built

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::time::Duration;

use care_data::{BoundingBox, ImageSize};
use care_learn::attention_loss::{GridMasks, Raster, Upsampling};
use care_learn::augment::{Augmenter, View, seen_through};
use care_learn::config::{Augmentation, Outside, Preprocess};
use tch::{Device, Kind, Tensor};

const INPUT: ImageSize = ImageSize::new(224, 224);
const BATCH: usize = 16;
const ROUND: Duration = Duration::from_millis(500);

fn main() {
    tch::set_num_threads(1);
    let images = Tensor::randint(256, [16, 224, 224, 3], (Kind::Uint8, Device::Cpu));
    let moved = Augmentation {
        rotation: 30.0,
        flip_horizontal: true,
        crop: 0.5,
        ..Augmentation::default()
    };
    let coloured = Augmentation {
        colour_jitter: 0.2,
        ..Augmentation::default()
    };
    let everything = Augmentation {
        colour_jitter: 0.2,
        ..moved
    };
    let views = |augmentation| {
        let mut augmenter = Augmenter::new(augmentation, INPUT, 0);
        augmenter.draw(BATCH).unwrap()
    };
    for (name, views) in [
        ("pixels as they are", vec![View::IDENTITY; BATCH]),
        ("pixels, colours", views(coloured)),
        ("pixels, rotation, flip, crop", views(moved)),
        ("pixels, everything", views(everything)),
    ] {
        report(name, BATCH, || {
            let _seen = seen_through(&images, &views, Preprocess::IMAGENET);
        });
    }

    let upsampling = Upsampling::new(7, 7, INPUT);
    for (name, sides) in [
        ("a box of a fifth", [100.0, 100.0]),
        ("a box of everything", [224.0; 2]),
    ] {
        let rect = BoundingBox::new(0.0, 0.0, sides[0], sides[1]).unwrap();
        let raster = Raster::new(&[rect], INPUT, INPUT);
        let views = views(everything);
        for outside in [Outside::Uniform, Outside::Distance] {
            report(&format!("masks, {name}, {outside:?}"), BATCH, || {
                for view in &views {
                    let mask = raster.seen_through(&view.to_source);
                    std::hint::black_box(mask.map(|m| GridMasks::of(&m, outside, &upsampling)));
                }
            });
        }
    }
}

fn report(name: &str, images: usize, mut work: impl FnMut()) {
    work();
    let begun = on_the_core();
    let mut done = 0;
    while on_the_core() - begun < ROUND {
        work();
        done += images;
    }
    let took = (on_the_core() - begun).as_secs_f64() * 1e3;
    println!("{name:<40} {:.3} ms an image", took / done as f64);
}

/// The time for which this thread has had a core: what else runs on the machine counts as little as can be.
fn on_the_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}
