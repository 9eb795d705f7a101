//! From an attention map's grid to a picture: enlarged in scalars, then coloured.

use care_learn::AttentionMap;
use egui::{Color32, ColorImage};

/// Of an attention map over its image.
pub const OPACITY: f32 = 0.70;

/// Turbo (Mikhailov 2019): the polynomial approximation published with it, within 1/255 of the table for display.
/// `value` in 0..=1; returns sRGB.
#[must_use]
pub fn turbo(value: f32) -> [u8; 3] {
    const RED: [f32; 6] = [
        0.135_721_38,
        4.615_392_6,
        -42.660_32,
        132.131_08,
        -152.942_4,
        59.286_38,
    ];
    const GREEN: [f32; 6] = [
        0.091_402_61,
        2.194_188_4,
        4.842_966_6,
        -14.185_033,
        4.277_298_6,
        2.829_566,
    ];
    const BLUE: [f32; 6] = [
        0.106_673_3,
        12.641_946,
        -60.582_05,
        110.362_77,
        -89.903_1,
        27.348_25,
    ];
    let x = value.clamp(0.0, 1.0);
    [RED, GREEN, BLUE].map(|c| {
        let y = c.iter().rev().fold(0.0, |sum, k| sum * x + k);
        (y.clamp(0.0, 1.0) * 255.0).round() as u8
    })
}

/// The map at a point of the enlarged picture, `u` and `v` in 0..=1 across and down the image: bilinear,
/// align_corners = false, the border repeated, exactly as torch's `upsample_bilinear2d` has it.
#[must_use]
pub fn sample(map: &AttentionMap, u: f32, v: f32) -> f32 {
    let axis = |t: f32, n: usize| {
        let x = (t * n as f32 - 0.5).clamp(0.0, (n - 1) as f32);
        let low = x.floor() as usize;
        (low, (low + 1).min(n - 1), x - x.floor())
    };
    if map.height == 0 || map.width == 0 {
        return 0.0;
    }
    let (x0, x1, fx) = axis(u, map.width);
    let (y0, y1, fy) = axis(v, map.height);
    let at = |y: usize, x: usize| map.values.get(y * map.width + x).copied().unwrap_or(0.0);
    let top = at(y0, x0) * (1.0 - fx) + at(y0, x1) * fx;
    let bottom = at(y1, x0) * (1.0 - fx) + at(y1, x1) * fx;
    top * (1.0 - fy) + bottom * fy
}

/// The overlay at full opacity: turbo, transparent where attention is low (smoothstep from 0.08 to 0.45).
/// Opacity is a tint on the texture, so that changing it uploads nothing.
#[must_use]
pub fn overlay(map: &AttentionMap, width: usize, height: usize) -> ColorImage {
    let mut pixels = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let value = sample(
                map,
                (x as f32 + 0.5) / width as f32,
                (y as f32 + 0.5) / height as f32,
            );
            let t = ((value - 0.08) / (0.45 - 0.08)).clamp(0.0, 1.0);
            let [r, g, b] = turbo(value);
            pixels.push(Color32::from_rgba_unmultiplied(
                r,
                g,
                b,
                (255.0 * t * t * (3.0 - 2.0 * t)).round() as u8,
            ));
        }
    }
    ColorImage::new([width, height], pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turbo_runs_from_dark_blue_over_green_to_dark_red() {
        let [r, g, b] = turbo(0.0);
        assert!(r < 60 && g < 60 && b < 90);
        let [r, g, b] = turbo(0.5);
        assert!(g > 230 && r < 180 && b < 120);
        let [r, g, b] = turbo(1.0);
        assert!(r > 110 && g < 40 && b < 40);
    }

    #[test]
    fn enlarging_follows_align_corners_false() {
        let map = AttentionMap {
            height: 1,
            width: 2,
            values: vec![0.0, 1.0],
        };
        for (u, expected) in [
            (0.0, 0.0),
            (0.25, 0.0),
            (0.375, 0.25),
            (0.5, 0.5),
            (0.75, 1.0),
            (1.0, 1.0),
        ] {
            assert!((sample(&map, u, 0.5) - expected).abs() < 1e-6, "at {u}");
        }
    }

    #[test]
    fn low_attention_leaves_the_image_untouched() {
        let map = AttentionMap {
            height: 1,
            width: 1,
            values: vec![0.05],
        };
        assert!(overlay(&map, 2, 2).pixels.iter().all(|p| p.a() == 0));
        let map = AttentionMap {
            height: 1,
            width: 1,
            values: vec![0.9],
        };
        assert!(overlay(&map, 2, 2).pixels.iter().all(|p| p.a() == 255));
    }
}
