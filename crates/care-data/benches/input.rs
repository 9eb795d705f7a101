//! How quickly files become what a network reads: JPEG to 224 x 224 RGB, on one thread.
//!
//!     cargo bench -p care-data --bench input              # or with --profile dev, as the demo is built
//!     python3 scripts/benchmark/input.py                  # Pillow and torchvision on the same files
//!
//! `-- FOLDER` reads the JPEG files there instead of 600 x 450 pictures made for it.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use care_data::{ImageSize, Look, decode};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const INPUT: ImageSize = ImageSize::new(224, 224);
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(700);

fn main() {
    let folder = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let folder = folder.map_or_else(made, PathBuf::from);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "jpg"))
        .collect();
    files.sort();
    files.truncate(64);
    let mut rates: Vec<f64> = (0..ROUNDS).map(|_| images_per_second(&files)).collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "input: {:.0} images/s on one thread, {:.2} ms an image (median of {ROUNDS} rounds, {} files)",
        rates[ROUNDS / 2],
        1e3 / rates[ROUNDS / 2],
        files.len()
    );
}

fn images_per_second(files: &[PathBuf]) -> f64 {
    let begun = on_the_core();
    let mut images = 0;
    while on_the_core() - begun < ROUND {
        for file in files {
            std::hint::black_box(decode::decode_resized(file, &Look::default(), INPUT).unwrap());
        }
        images += files.len();
    }
    images as f64 / (on_the_core() - begun).as_secs_f64()
}

/// The time for which this thread has had a core: what else runs on the machine counts as little as can be.
fn on_the_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// Sixteen photographs of nothing, with a camera's noise: where they lie.
fn made() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/benchmark/input");
    std::fs::create_dir_all(&folder).unwrap();
    for number in 0..16u32 {
        let mut rng = ChaCha8Rng::seed_from_u64(number.into());
        let phase = f64::from(number);
        let image = RgbImage::from_fn(600, 450, |x, y| {
            let (x, y) = (f64::from(x), f64::from(y));
            let noise = |rng: &mut ChaCha8Rng| rng.random_range(-5.0..5.0);
            Rgb([
                160.0 + 60.0 * (x / 90.0 + phase).sin() + 20.0 * (y / 50.0).cos(),
                130.0 + 60.0 * (y / 70.0 + phase).sin(),
                120.0 + 50.0 * ((x + y) / 80.0).cos(),
            ]
            .map(|value| (value + noise(&mut rng)) as u8))
        });
        let file = File::create(folder.join(format!("{number:02}.jpg"))).unwrap();
        JpegEncoder::new_with_quality(file, 90)
            .encode_image(&image)
            .unwrap();
    }
    folder
}
