//! A lesion's outline, and round patches on it.

use std::f32::consts::TAU;
use std::ops::Range;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::SIDE;
use super::paint::{length, smoothstep};
use crate::geometry::{BoundingBox, ImageSize};

/// The true box holds every pixel that a lesion covers by at least this share.
const VISIBLE: f32 = 0.25;

/// A round shape with a wavy, soft outline. Lengths in pixels.
pub(super) struct Blob {
    pub(super) centre: [f32; 2],
    pub(super) radius: f32,
    /// Along its longer axis, and its inverse across it.
    pub(super) stretch: f32,
    /// Direction of the longer axis, of length 1.
    pub(super) axis: [f32; 2],
    /// The outline's waves: how many round it, how deep, where they begin.
    pub(super) waves: Vec<(f32, f32, f32)>,
    /// Width of the soft edge, in radii.
    pub(super) edge: f32,
}

/// Waves of an outline, their depths in radii: a few slow ones as deep as `lobes`, fast ones as deep as `bumps`.
pub(super) fn waves(lobes: f32, bumps: f32, rng: &mut ChaCha8Rng) -> Vec<(f32, f32, f32)> {
    let mut waves = Vec::new();
    for (count, depth) in [(2..6, lobes), (8..13, bumps)] {
        for k in count.clone() {
            let share = rng.random_range(0.4..1.0) * 2.0 / (count.len() as f32).sqrt();
            waves.push((k as f32, depth * share, rng.random_range(0.0..TAU)));
        }
    }
    waves
}

impl Blob {
    /// How far it reaches from its centre at most.
    pub(super) fn reach(&self) -> f32 {
        let outline = (0..64)
            .map(|i| self.outline(i as f32 / 64.0 * TAU))
            .fold(0.0, f32::max);
        self.radius * self.stretch * (outline + 0.6 * self.edge)
    }

    /// The outline's distance from the centre, in radii, before the shape is stretched and turned.
    fn outline(&self, angle: f32) -> f32 {
        1.0 + self
            .waves
            .iter()
            .map(|&(k, depth, phase)| depth * (k * angle + phase).cos())
            .sum::<f32>()
    }

    /// How much of the pixel at `dx`, `dy` from the centre it covers, 0..1.
    fn coverage(&self, dx: f32, dy: f32) -> f32 {
        let [cos, sin] = self.axis;
        let along = (dx * cos + dy * sin) / self.stretch;
        let across = (dy * cos - dx * sin) * self.stretch;
        let away = length(along, across) / self.radius;
        smoothstep((self.outline(across.atan2(along)) - away) / self.edge + 0.5)
    }

    /// Gives `paint` every pixel that it covers, where it lies from the centre, and how much of it is covered. Returns the
    /// box round everything that can be seen.
    pub(super) fn fill(
        &self,
        mut paint: impl FnMut([i32; 2], [f32; 2], f32),
    ) -> Option<BoundingBox> {
        let reach = self.reach().ceil() as i32 + 1;
        let centre = self.centre.map(|v| v as i32);
        let [mut low, mut high] = [[i32::MAX; 2], [i32::MIN; 2]];
        for (x, y) in (-reach..=reach).flat_map(|y| (-reach..=reach).map(move |x| (x, y))) {
            let (px, py) = (centre[0] + x, centre[1] + y);
            let (dx, dy) = (
                px as f32 + 0.5 - self.centre[0],
                py as f32 + 0.5 - self.centre[1],
            );
            let coverage = self.coverage(dx, dy);
            if coverage == 0.0 {
                continue;
            }
            if coverage >= VISIBLE {
                low = [low[0].min(px), low[1].min(py)];
                high = [high[0].max(px), high[1].max(py)];
            }
            paint([px, py], [dx, dy], coverage);
        }
        BoundingBox::from_corners(
            low.map(f64::from),
            high.map(|v| f64::from(v) + 1.0),
            ImageSize::new(SIDE, SIDE),
        )
        .ok()
    }
}

/// A round patch of another tone in a lesion.
pub(super) struct Dab {
    /// From the lesion's centre.
    centre: [f32; 2],
    radius: f32,
    /// 1 ends sharply at the radius, 0 fades over one radius.
    hardness: f32,
    strength: f32,
}

impl Dab {
    /// In some direction from the centre of a lesion of this radius, `away` in radii, `size` too.
    pub(super) fn new(
        radius: f32,
        away: f32,
        size: Range<f32>,
        hardness: f32,
        strength: f32,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let angle = rng.random_range(0.0..TAU);
        Self {
            centre: [radius * away * angle.cos(), radius * away * angle.sin()],
            radius: radius * rng.random_range(size),
            hardness,
            strength,
        }
    }

    /// How strong it is at this place of the lesion, 0..1.
    pub(super) fn at(&self, [dx, dy]: [f32; 2]) -> f32 {
        let away = length(dx - self.centre[0], dy - self.centre[1]) / self.radius;
        self.strength * smoothstep((1.0 - away) / (1.0 - self.hardness) + 0.5)
    }
}
