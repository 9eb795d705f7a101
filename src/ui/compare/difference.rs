//! The signed difference of two maps: colours from one model over nothing to the other.

use care_figures::{Grid, map_style};
use care_learn::AttentionMap;
use egui::{Color32, ColorImage};

/// Pixels along a side.
const SIDE: usize = 168;
/// Lightness of no difference and of the largest, in OKLab; the same to both sides.
const LIGHTNESS: [f32; 2] = [0.97, 0.52];
/// Chroma of the largest difference: as much as both hues have in sRGB.
const CHROMA: f32 = 0.16;
/// Of less and of more, in degrees: blue and orange, which every common colour vision tells apart.
const HUES: [f32; 2] = [255.0, 55.0];

/// The sRGB colour of a difference in -1..=1. Equal steps are equally far apart in OKLab (Ottosson 2020), to both sides
/// alike.
#[must_use]
pub(super) fn color(difference: f32) -> [u8; 3] {
    let size = if difference.is_nan() {
        0.0
    } else {
        difference.abs().min(1.0)
    };
    let lightness = LIGHTNESS[0] + (LIGHTNESS[1] - LIGHTNESS[0]) * size;
    let hue = if difference < 0.0 { HUES[0] } else { HUES[1] }.to_radians();
    let (a, b) = (CHROMA * size * hue.cos(), CHROMA * size * hue.sin());
    let l = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    [
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_4 * s,
        -0.004_196_086_3 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    ]
    .map(|linear| {
        let linear = linear.clamp(0.0, 1.0);
        let encoded = if linear <= 0.003_130_8 {
            12.92 * linear
        } else {
            1.055 * linear.powf(1.0 / 2.4) - 0.055
        };
        (encoded * 255.0).round() as u8
    })
}

/// `second` less `first`, each times its gain; where they differ little the picture below is left untouched.
#[must_use]
pub(super) fn overlay(
    first: (&AttentionMap, f32),
    second: (&AttentionMap, f32),
    grid: Grid,
) -> ColorImage {
    let [(first, of_first), (second, of_second)] =
        [first, second].map(|(map, gain)| (map_style::raster(map, grid, [SIDE, SIDE]), gain));
    let pixels = first.into_iter().zip(second).map(|(first, second)| {
        let difference = of_second * second - of_first * first;
        let t = ((difference.abs() - 0.05) / (0.40 - 0.05)).clamp(0.0, 1.0);
        let [r, g, b] = color(difference);
        let alpha = (255.0 * t * t * (3.0 - 2.0 * t)).round() as u8;
        Color32::from_rgba_unmultiplied(r, g, b, alpha)
    });
    ColorImage::new([SIDE, SIDE], pixels.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OKLab of an sRGB colour.
    fn lab([r, g, b]: [u8; 3]) -> [f32; 3] {
        let [r, g, b] = [r, g, b].map(|v| {
            let v = f32::from(v) / 255.0;
            if v <= 0.040_45 {
                v / 12.92
            } else {
                ((v + 0.055) / 1.055).powf(2.4)
            }
        });
        let l = (0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b).cbrt();
        let m = (0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b).cbrt();
        let s = (0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b).cbrt();
        [
            0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
            1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
            0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
        ]
    }

    #[test]
    fn equal_steps_look_equal_and_both_sides_alike() {
        let distance = |a: f32, b: f32| {
            let (a, b) = (lab(color(a)), lab(color(b)));
            let squares = a.iter().zip(b).map(|(a, b)| (a - b).powi(2));
            squares.sum::<f32>().sqrt()
        };
        let steps: Vec<f32> = (-10..10)
            .map(|i| distance(i as f32 / 10.0, (i + 1) as f32 / 10.0))
            .collect();
        let mean = steps.iter().sum::<f32>() / steps.len() as f32;
        for (i, step) in steps.iter().enumerate() {
            assert!(
                (step / mean - 1.0).abs() < 0.15,
                "step {i}: {step} of {mean}"
            );
        }
        for i in 1..=10 {
            let [less, more] = [-1.0, 1.0].map(|sign| lab(color(sign * i as f32 / 10.0)));
            assert!((less[0] - more[0]).abs() < 0.01, "{less:?} {more:?}");
            assert!(less[2] < 0.0 && more[2] > 0.0, "blue and orange");
        }
        assert_eq!(color(f32::NAN), color(0.0));
        assert_eq!(color(2.0), color(1.0));
    }

    #[test]
    fn where_nothing_differs_the_image_is_left_untouched() {
        let map = |values: &[f32]| AttentionMap {
            height: 1,
            width: 2,
            values: values.to_vec(),
        };
        let (same, moved) = (map(&[1.0, 0.0]), map(&[0.0, 1.0]));
        let clear = overlay((&same, 1.0), (&same, 1.0), Grid::Smooth);
        assert!(clear.pixels.iter().all(|pixel| pixel.a() == 0));
        let seen = overlay((&same, 1.0), (&moved, 1.0), Grid::Raw);
        let (left, right) = (seen.pixels[0], seen.pixels[SIDE - 1]);
        assert_eq!((left.a(), right.a()), (255, 255));
        assert!(left.b() > left.r() && right.r() > right.b());
        // On one scale a map that is weak all over differs less.
        let weak = overlay((&same, 0.1), (&moved, 0.1), Grid::Raw);
        assert!(weak.pixels.iter().all(|pixel| pixel.a() < 20));
    }
}
