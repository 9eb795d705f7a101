//! How attention maps are drawn, wherever they are: enlarged in scalars, then coloured.

use care_data::HeatMap;
use contour::ContourBuilder;
use serde::{Deserialize, Serialize};

/// Colours for 0..=1. The first three are perceptually even; jet is there for whoever compares with older figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Palette {
    #[default]
    Turbo,
    Viridis,
    Magma,
    Jet,
}

impl Palette {
    pub const ALL: [Self; 4] = [Self::Turbo, Self::Viridis, Self::Magma, Self::Jet];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Turbo => "turbo",
            Self::Viridis => "viridis",
            Self::Magma => "magma",
            Self::Jet => "jet",
        }
    }

    /// The sRGB colour of `value` in 0..=1; beyond, that of the nearer end.
    #[must_use]
    pub fn color(self, value: f32) -> [u8; 3] {
        let value = if value.is_nan() { 0.0 } else { value };
        let value = f64::from(value.clamp(0.0, 1.0));
        let gradient = match self {
            Self::Turbo => colorous::TURBO,
            Self::Viridis => colorous::VIRIDIS,
            Self::Magma => colorous::MAGMA,
            Self::Jet => return jet(value),
        };
        gradient.eval_continuous(value).as_array()
    }
}

/// Piecewise linear, as MATLAB and OpenCV have it.
fn jet(value: f64) -> [u8; 3] {
    [3.0, 2.0, 1.0].map(|middle| {
        let ramp = 1.5 - (4.0 * value - middle).abs();
        (ramp.clamp(0.0, 1.0) * 255.0).round() as u8
    })
}

/// A map's values between the cells of its grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grid {
    /// Bilinear, align_corners = false, as torch's `upsample_bilinear2d`: what the loss sees.
    #[default]
    Smooth,
    /// Each cell as a rectangle: what the network gives.
    Raw,
}

/// What a map's colours are relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// To the map's own largest value, as the loss sees it.
    #[default]
    Own,
    /// To the largest value of all models on the image, before normalisation.
    Common,
}

/// How a map lies over its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blending {
    /// Low attention leaves the image untouched: opacity x smoothstep(0.08, 0.45, value).
    #[default]
    ByAttention,
    /// The same opacity everywhere, as in the paper's figures.
    Even,
}

/// How attention maps are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MapStyle {
    pub palette: Palette,
    /// 0..=1.
    pub opacity: f32,
    /// A line round where the value is above this, in 0..=1.
    pub contour: Option<f32>,
    pub grid: Grid,
    pub scale: Scale,
}

impl Default for MapStyle {
    fn default() -> Self {
        Self {
            palette: Palette::default(),
            opacity: 0.7,
            contour: None,
            grid: Grid::default(),
            scale: Scale::default(),
        }
    }
}

impl MapStyle {
    /// What a map is multiplied by before it is coloured: of a map whose largest value before normalisation was `peak`,
    /// among all models' on the same image. 1 on its own scale, and where a peak is not known (runs of before it was kept) or none is above 0.
    #[must_use]
    pub fn gain(&self, peak: Option<f32>, all: impl IntoIterator<Item = Option<f32>>) -> f32 {
        if self.scale == Scale::Own {
            return 1.0;
        }
        let highest = all
            .into_iter()
            .try_fold(0.0_f32, |highest, peak| Some(highest.max(peak?)));
        match (peak, highest) {
            (Some(peak), Some(highest)) if highest > 0.0 => (peak / highest).clamp(0.0, 1.0),
            _ => 1.0,
        }
    }
}

/// The map at a point of the enlarged picture, `u` and `v` in 0..=1 across and down the image.
#[must_use]
pub fn sample(map: &HeatMap, grid: Grid, u: f32, v: f32) -> f32 {
    if map.height == 0 || map.width == 0 {
        return 0.0;
    }
    between(map, cells(grid, u, map.width), cells(grid, v, map.height))
}

/// The map at the middles of `width` x `height` pixels, row by row.
#[must_use]
pub fn raster(map: &HeatMap, grid: Grid, [width, height]: [usize; 2]) -> Vec<f32> {
    if map.height == 0 || map.width == 0 {
        return vec![0.0; width * height];
    }
    let middles = |pixels: usize, of: usize| {
        (0..pixels).map(move |i| cells(grid, (i as f32 + 0.5) / pixels as f32, of))
    };
    let columns: Vec<_> = middles(width, map.width).collect();
    let mut values = Vec::with_capacity(width * height);
    for row in middles(height, map.height) {
        values.extend(columns.iter().map(|column| between(map, *column, row)));
    }
    values
}

/// The two cells, of `n` along an axis, that `t` in 0..=1 lies between, and the second one's share.
fn cells(grid: Grid, t: f32, n: usize) -> (usize, usize, f32) {
    if grid == Grid::Raw {
        let cell = ((t * n as f32).max(0.0) as usize).min(n - 1);
        return (cell, cell, 0.0);
    }
    let x = (t * n as f32 - 0.5).clamp(0.0, (n - 1) as f32);
    let low = x as usize;
    (low, (low + 1).min(n - 1), x - low as f32)
}

/// Bilinear between four cells.
fn between(
    map: &HeatMap,
    (x0, x1, fx): (usize, usize, f32),
    (y0, y1, fy): (usize, usize, f32),
) -> f32 {
    let at = |y: usize, x: usize| map.values.get(y * map.width + x).copied().unwrap_or(0.0);
    let top = at(y0, x0) * (1.0 - fx) + at(y0, x1) * fx;
    let bottom = at(y1, x0) * (1.0 - fx) + at(y1, x1) * fx;
    top * (1.0 - fy) + bottom * fy
}

/// The overlay at full opacity, `size` (width, height) pixels row by row, RGBA not multiplied with its alpha.
#[must_use]
pub fn overlay(
    map: &HeatMap,
    style: &MapStyle,
    blending: Blending,
    gain: f32,
    size: [usize; 2],
) -> Vec<[u8; 4]> {
    const STEPS: u8 = 255;
    let table: Vec<[u8; 4]> = (0..=STEPS)
        .map(|step| {
            let value = f32::from(step) / f32::from(STEPS);
            let [r, g, b] = style.palette.color(value);
            let alpha = match blending {
                Blending::ByAttention => {
                    let t = ((value - 0.08) / (0.45 - 0.08)).clamp(0.0, 1.0);
                    (255.0 * t * t * (3.0 - 2.0 * t)).round() as u8
                }
                Blending::Even => 255,
            };
            [r, g, b, alpha]
        })
        .collect();
    // Out of bounds, also of NaN, is cut by the conversion.
    let step = |value: f32| (gain * value * f32::from(STEPS) + 0.5) as u8;
    let values = raster(map, style.grid, size).into_iter();
    values
        .map(|value| table[usize::from(step(value))])
        .collect()
}

/// Closed lines round where the map, times `gain`, is above `threshold`: points in 0..=1 across and down the image.
#[must_use]
pub fn contour(map: &HeatMap, grid: Grid, gain: f32, threshold: f32) -> Vec<Vec<[f32; 2]>> {
    // Of the raster that the line is followed on, a side: a staircase shows where it is coarse, a slope does not.
    let side = match grid {
        Grid::Raw => 112,
        Grid::Smooth => 56,
    };
    let values = raster(map, grid, [side, side]).into_iter();
    let values: Vec<f64> = values.map(|value| f64::from(gain * value)).collect();
    // Smoothed: each point lies where the value between two pixels is the threshold.
    let lines = ContourBuilder::new(side, side, grid == Grid::Smooth)
        .lines(&values, &[f64::from(threshold)]);
    let Ok(lines) = lines else { return Vec::new() };
    lines
        .iter()
        .flat_map(|line| &line.geometry().0)
        .map(|line| {
            let point = |at: &contour::Pt| [at.x, at.y].map(|t| t as f32 / side as f32);
            line.0.iter().map(point).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(height: usize, width: usize, values: &[f32]) -> HeatMap {
        HeatMap {
            height,
            width,
            values: values.to_vec(),
        }
    }

    #[test]
    fn palettes_run_as_published() {
        // At 0, 0.5 and 1: turbo by its published polynomial, which d3 has too, viridis and magma as in Matplotlib's tables.
        for (palette, expected) in [
            (Palette::Turbo, [[35, 23, 27], [149, 251, 81], [144, 12, 0]]),
            (
                Palette::Viridis,
                [[68, 1, 84], [33, 145, 140], [253, 231, 37]],
            ),
            (Palette::Magma, [[0, 0, 4], [183, 55, 121], [252, 253, 191]]),
            (Palette::Jet, [[0, 0, 128], [128, 255, 128], [128, 0, 0]]),
        ] {
            for (value, expected) in [0.0, 0.5, 1.0].into_iter().zip(expected) {
                let color = palette.color(value);
                let near = (0..3).all(|i| color[i].abs_diff(expected[i]) <= 2);
                assert!(near, "{palette:?} at {value}: {color:?}, {expected:?}");
            }
            assert_eq!(palette.color(f32::NAN), palette.color(0.0));
            assert_eq!(palette.color(7.0), palette.color(1.0));
        }
    }

    #[test]
    fn enlarging_follows_align_corners_false() {
        let map = map(1, 2, &[0.0, 1.0]);
        for (u, smooth, raw) in [
            (0.0, 0.0, 0.0),
            (0.25, 0.0, 0.0),
            (0.375, 0.25, 0.0),
            (0.5, 0.5, 1.0),
            (0.75, 1.0, 1.0),
            (1.0, 1.0, 1.0),
        ] {
            let at = |grid| sample(&map, grid, u, 0.5);
            assert!((at(Grid::Smooth) - smooth).abs() < 1e-6, "at {u}");
            assert_eq!(at(Grid::Raw), raw, "at {u}");
        }
    }

    #[test]
    fn low_attention_leaves_the_image_untouched_unless_it_is_to_be_even() {
        let style = MapStyle::default();
        for (value, alpha) in [(0.05, 0), (0.9, 255)] {
            let map = map(1, 1, &[value]);
            let of = |blending| overlay(&map, &style, blending, 1.0, [2, 2]);
            assert!(of(Blending::ByAttention).iter().all(|p| p[3] == alpha));
            assert!(of(Blending::Even).iter().all(|p| p[3] == 255));
        }
        // On a scale on which it is weak, a strong map is as a weak one on its own.
        let strong = overlay(
            &map(1, 1, &[1.0]),
            &style,
            Blending::ByAttention,
            0.25,
            [1, 1],
        );
        let weak = overlay(
            &map(1, 1, &[0.25]),
            &style,
            Blending::ByAttention,
            1.0,
            [1, 1],
        );
        assert_eq!(strong, weak);
    }

    #[test]
    fn one_scale_is_that_of_the_highest_peak() {
        let own = MapStyle::default();
        let common = MapStyle {
            scale: Scale::Common,
            ..own
        };
        let peaks = [Some(2.0), Some(8.0), Some(4.0)];
        assert_eq!(own.gain(Some(2.0), peaks), 1.0);
        assert_eq!(peaks.map(|peak| common.gain(peak, peaks)), [0.25, 1.0, 0.5]);
        assert_eq!(common.gain(Some(2.0), [Some(2.0), None]), 1.0, "not known");
        assert_eq!(common.gain(Some(0.0), [Some(0.0)]), 1.0, "flat");
    }

    #[test]
    fn a_contour_goes_round_what_is_above() {
        let map = map(3, 3, &[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        for (grid, half) in [(Grid::Raw, 1.0 / 6.0), (Grid::Smooth, 1.0 / 6.0)] {
            let lines = contour(&map, grid, 1.0, 0.5);
            let [line] = &lines[..] else {
                panic!("{grid:?}: {lines:?}")
            };
            assert_eq!(line.first(), line.last(), "closed");
            let right = line.iter().map(|[x, _]| *x).fold(0.0, f32::max);
            assert!((right - 0.5 - half).abs() < 0.01, "{grid:?}: {right}");
        }
        assert!(contour(&map, Grid::Smooth, 0.4, 0.5).is_empty());
    }
}
