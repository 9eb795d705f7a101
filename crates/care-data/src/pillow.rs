//! `Image.resize(size, BILINEAR)` of Python's Pillow to the last bit, for those who compare with torchvision.
//!
//! Everything else here is resized by `fast_image_resize`, which is many times faster and whose sums are shorter: some values
//! differ by 1, and a deep network may make much of that.

use image::{Rgb, RgbImage};

use crate::geometry::ImageSize;

/// Of the fixed-point weights.
const FRACTION_BITS: u32 = 22;

/// The pixels that one pixel of the result is made of, along one side.
struct Window {
    first: u32,
    /// Their sum is 1 in fixed point, but for rounding.
    weights: Vec<i32>,
}

/// The triangle over as many pixels as fall into one, never less than one, at the image's ends what is left of it.
fn windows(from: u32, to: u32) -> Vec<Window> {
    let scale = f64::from(from) / f64::from(to);
    let support = scale.max(1.0);
    let window = |i: u32| {
        let centre = (f64::from(i) + 0.5) * scale;
        // `as` cuts off, and at 0.
        let first = (centre - support + 0.5) as u32;
        let end = ((centre + support + 0.5) as u32).min(from);
        let weight = |at: u32| {
            let distance = (f64::from(at) - centre + 0.5) * (1.0 / support);
            (1.0 - distance.abs()).max(0.0)
        };
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: f64| (weight / sum * f64::from(1 << FRACTION_BITS) + 0.5) as i32;
        Window {
            first,
            weights: weights.into_iter().map(fixed).collect(),
        }
    };
    (0..to).map(window).collect()
}

impl Window {
    fn apply<'a>(&self, pixel: impl Fn(u32) -> &'a Rgb<u8>) -> Rgb<u8> {
        let mut sums = [1 << (FRACTION_BITS - 1); 3];
        for (at, weight) in (self.first..).zip(&self.weights) {
            for (sum, value) in sums.iter_mut().zip(pixel(at).0) {
                *sum += i32::from(value) * weight;
            }
        }
        Rgb(sums.map(|sum| (sum >> FRACTION_BITS).clamp(0, 255) as u8))
    }
}

/// Both sides of the image and of `size` have to be at least 1.
pub(crate) fn resized(mut image: RgbImage, size: ImageSize) -> RgbImage {
    if image.width() != size.width {
        let windows = windows(image.width(), size.width);
        image = RgbImage::from_fn(size.width, image.height(), |x, y| {
            windows[x as usize].apply(|x| image.get_pixel(x, y))
        });
    }
    if image.height() != size.height {
        let windows = windows(image.height(), size.height);
        image = RgbImage::from_fn(size.width, size.height, |x, y| {
            windows[y as usize].apply(|y| image.get_pixel(x, y))
        });
    }
    image
}
