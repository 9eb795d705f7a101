//! Like dermoscopy: skin, one lesion, hairs and, in some, a ruler along one edge. Four classes, one of them rare.
//!
//! The class shows in the lesion alone: in its outline, its edge, its blotches and spots and where it is pale, never in its
//! colour, size or place.

use std::f32::consts::TAU;
use std::ops::Range;

use image::ExtendedColorType;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::blob::{Blob, Dab, waves};
use super::paint::{Field, length, stamp};
use super::{ClassPlan, Drawn, PIXELS, Plan, SIDE};
use crate::geometry::BoundingBox;

pub(super) const PLAN: Plan = Plan {
    name: "skin",
    rare: "dermatofibroma",
    shortcut: "ruler",
    classes: &[
        ClassPlan {
            name: "nevus",
            prefix: "nv",
            train: (320, 0.1),
            validation: (20, 0.5),
            test: (60, 0.5),
        },
        ClassPlan {
            name: "melanoma",
            prefix: "ml",
            train: (120, 0.1),
            validation: (20, 0.5),
            test: (60, 0.5),
        },
        ClassPlan {
            name: "keratosis",
            prefix: "kr",
            train: (120, 0.1),
            validation: (20, 0.5),
            test: (60, 0.5),
        },
        ClassPlan {
            name: "dermatofibroma",
            prefix: "df",
            train: (24, 0.9),
            validation: (20, 0.5),
            test: (60, 0.5),
        },
    ],
    draw,
};

/// What makes a class: the ranges its lesions are drawn from. Lengths are in lesion radii, strengths in 0..1.
struct ClassLook {
    /// Slow waves of the outline: few and deep make it irregular.
    lobes: Range<f32>,
    /// Fast waves of the outline.
    bumps: Range<f32>,
    /// Width of the soft edge.
    edge: Range<f32>,
    /// Dark patches of another colour.
    blotches: Range<usize>,
    blotch_strength: Range<f32>,
    /// Small light dots.
    spots: Range<usize>,
    spot_strength: Range<f32>,
    /// Pale, scar-like centre.
    pale: Range<f32>,
    /// As pale a patch, but near the edge: seeing one tells nothing, where it lies does.
    pale_aside: bool,
    /// Pigment network.
    network: Range<f32>,
}

/// Strength and radius of a pale patch.
const PALE: Range<f32> = 0.45..0.80;
const PALE_SIZE: Range<f32> = 0.40..0.60;

/// In the order of the plan's classes.
const CLASSES: [ClassLook; 4] = [
    ClassLook {
        lobes: 0.01..0.09,
        bumps: 0.0..0.02,
        edge: 0.15..0.40,
        blotches: 0..2,
        blotch_strength: 0.05..0.30,
        spots: 0..3,
        spot_strength: 0.05..0.25,
        pale: 0.0..0.15,
        pale_aside: true,
        network: 0.05..0.30,
    },
    ClassLook {
        lobes: 0.12..0.28,
        bumps: 0.0..0.04,
        edge: 0.12..0.35,
        blotches: 2..6,
        blotch_strength: 0.45..0.85,
        spots: 0..3,
        spot_strength: 0.05..0.25,
        pale: 0.0..0.15,
        pale_aside: true,
        network: 0.05..0.30,
    },
    ClassLook {
        lobes: 0.03..0.12,
        bumps: 0.03..0.08,
        edge: 0.06..0.16,
        blotches: 0..2,
        blotch_strength: 0.05..0.30,
        spots: 8..24,
        spot_strength: 0.25..0.60,
        pale: 0.0..0.15,
        pale_aside: true,
        network: 0.0..0.15,
    },
    ClassLook {
        lobes: 0.01..0.10,
        bumps: 0.0..0.02,
        edge: 0.20..0.45,
        blotches: 0..2,
        blotch_strength: 0.05..0.30,
        spots: 0..3,
        spot_strength: 0.05..0.25,
        pale: PALE,
        pale_aside: false,
        network: 0.05..0.30,
    },
];

/// What all classes share. Lengths are shares of the image's side.
struct Look {
    skins: [[f32; 3]; 5],
    pigments: [[f32; 3]; 5],
    blotch: [f32; 3],
    pale: [f32; 3],
    hair: [f32; 3],
    ink: [f32; 3],
    /// How much of the lesion's pigment covers the skin.
    cover: Range<f32>,
    radius: Range<f32>,
    /// Longer over shorter axis.
    aspect: Range<f32>,
    /// No lesion comes nearer to an edge; the ruler lies within.
    margin: f32,
    hairs: Range<usize>,
    ruler_pitch: Range<f32>,
    ruler_length: Range<f32>,
    /// Shade of skin: slow, middle and grain, in grey levels.
    shade: [f32; 3],
    vignette: Range<f32>,
}

const LOOK: Look = Look {
    skins: [
        [222.0, 158.0, 146.0],
        [236.0, 166.0, 128.0],
        [226.0, 184.0, 138.0],
        [214.0, 156.0, 172.0],
        [206.0, 166.0, 146.0],
    ],
    pigments: [
        [112.0, 66.0, 40.0],
        [120.0, 54.0, 44.0],
        [96.0, 76.0, 36.0],
        [98.0, 58.0, 70.0],
        [84.0, 70.0, 62.0],
    ],
    blotch: [40.0, 32.0, 38.0],
    pale: [226.0, 190.0, 176.0],
    hair: [52.0, 36.0, 32.0],
    ink: [36.0, 30.0, 30.0],
    cover: 0.72..0.92,
    radius: 0.11..0.19,
    aspect: 1.0..1.35,
    margin: 0.095,
    hairs: 0..5,
    ruler_pitch: 0.044..0.058,
    ruler_length: 0.055..0.075,
    shade: [16.0, 9.0, 7.0],
    vignette: 0.05..0.30,
};

/// An image being drawn: rows of RGB from 0 to 255.
struct Picture {
    pixels: Vec<[f32; 3]>,
}

fn draw(class: usize, with_ruler: bool, rng: &mut ChaCha8Rng) -> Drawn {
    let mut picture = Picture::skin(rng);
    let lesion = Lesion::new(&CLASSES[class], rng).draw(&mut picture);
    for _ in 0..rng.random_range(LOOK.hairs) {
        picture.hair(rng);
    }
    // Drawn either way, so that what follows does not depend on whether there is a ruler.
    let ruler = Ruler::new(rng);
    if with_ruler {
        ruler.draw(&mut picture);
    }
    picture.vignette(rng.random_range(LOOK.vignette));
    stamp(|x, y, grey, share| picture.blend(x, y, [grey; 3], share));
    let samples = picture.pixels.iter().flatten();
    Drawn {
        pixels: samples.map(|v| v.clamp(0.0, 255.0) as u8).collect(),
        color: ExtendedColorType::Rgb8,
        boxes: lesion.into_iter().collect(),
    }
}

impl Picture {
    fn skin(rng: &mut ChaCha8Rng) -> Self {
        let tone = any_of(&LOOK.skins, rng);
        let light = rng.random_range(0.88..1.04);
        let [slow, middle] = [Field::new(5, rng), Field::new(14, rng)];
        let grain = Field::new(SIDE as usize / 2, rng);
        let pixels = (0..SIDE * SIDE)
            .map(|i| {
                let (x, y) = ((i % SIDE) as f32 / PIXELS, (i / SIDE) as f32 / PIXELS);
                let shade = LOOK.shade[0] * slow.at(x, y)
                    + LOOK.shade[1] * middle.at(x, y)
                    + LOOK.shade[2] * grain.at(x, y);
                // Blood shows in green and blue more than in red.
                [
                    tone[0] * light + 0.7 * shade,
                    tone[1] * light + shade,
                    tone[2] * light + shade,
                ]
            })
            .collect();
        Self { pixels }
    }

    /// Mixes a pixel with a colour; positions outside the picture are no error.
    fn blend(&mut self, x: i32, y: i32, color: [f32; 3], share: f32) {
        let side = SIDE as i32;
        if (0..side).contains(&x) && (0..side).contains(&y) {
            mix(&mut self.pixels[(y * side + x) as usize], color, share);
        }
    }

    /// A dark curve from edge to edge.
    fn hair(&mut self, rng: &mut ChaCha8Rng) {
        let edge = |rng: &mut ChaCha8Rng, angle: f32| {
            let away = PIXELS * 0.75;
            let bend = rng.random_range(-0.35..0.35);
            let centre = PIXELS / 2.0;
            [
                centre + away * (angle + bend).cos(),
                centre + away * (angle + bend).sin(),
            ]
        };
        let angle = rng.random_range(0.0..TAU);
        let (a, c) = (edge(rng, angle), edge(rng, angle + TAU / 2.0));
        let b = [0, 1].map(|_| PIXELS * rng.random_range(0.15..0.85));
        let (width, share) = (rng.random_range(0.6..1.1_f32), rng.random_range(0.55..0.85));
        let steps = 512;
        let mut last = None;
        for step in 0..=steps {
            let t = step as f32 / steps as f32;
            let at =
                |i: usize| (1.0 - t) * (1.0 - t) * a[i] + 2.0 * t * (1.0 - t) * b[i] + t * t * c[i];
            let (x, y) = (at(0), at(1));
            let pixel = ((x + 0.5) as i32, (y + 0.5) as i32);
            // One splat a pixel: two would make a hair darker where it runs diagonally.
            if last.replace(pixel) == Some(pixel) {
                continue;
            }
            for (dx, dy) in (-2..=2).flat_map(|dy| (-2..=2).map(move |dx| (dx, dy))) {
                let (px, py) = (pixel.0 + dx, pixel.1 + dy);
                let away = length(px as f32 - x, py as f32 - y);
                let cover = (width + 0.5 - away).clamp(0.0, 1.0);
                self.blend(px, py, LOOK.hair, share * cover * 0.6);
            }
        }
    }

    fn vignette(&mut self, strength: f32) {
        let side = SIDE as usize;
        for (i, pixel) in self.pixels.iter_mut().enumerate() {
            let (x, y) = (
                (i % side) as f32 / PIXELS - 0.5,
                (i / side) as f32 / PIXELS - 0.5,
            );
            let away = 2.0 * (x * x + y * y);
            *pixel = pixel.map(|v| v * (1.0 - strength * away * away));
        }
    }
}

/// A lesion, in pixels.
struct Lesion {
    blob: Blob,
    pigment: [f32; 3],
    cover: f32,
    network: f32,
    /// With their colours.
    dabs: Vec<(Dab, [f32; 3])>,
}

impl Lesion {
    fn new(look: &ClassLook, rng: &mut ChaCha8Rng) -> Self {
        let radius = PIXELS * rng.random_range(LOOK.radius);
        let lobes = rng.random_range(look.lobes.clone());
        let bumps = rng.random_range(look.bumps.clone());
        let waves = waves(lobes, bumps, rng);
        let mut dabs = Vec::new();
        let mut dab = |away, size, hardness, color, strength, rng: &mut ChaCha8Rng| {
            let dab = Dab::new(radius, away, size, hardness, strength, rng);
            dabs.push((dab, color));
        };
        let anywhere =
            |within: f32, rng: &mut ChaCha8Rng| within * rng.random_range(0.0_f32..1.0).sqrt();
        for _ in 0..rng.random_range(look.blotches.clone()) {
            let strength = rng.random_range(look.blotch_strength.clone());
            let away = anywhere(0.75, rng);
            dab(away, 0.30..0.55, 0.3, LOOK.blotch, strength, rng);
        }
        let strength = rng.random_range(look.pale.clone());
        let away = anywhere(0.2, rng);
        dab(away, PALE_SIZE, 0.0, LOOK.pale, strength, rng);
        if look.pale_aside {
            let strength = rng.random_range(PALE);
            let away = rng.random_range(0.60..0.85);
            dab(away, PALE_SIZE, 0.0, LOOK.pale, strength, rng);
        }
        for _ in 0..rng.random_range(look.spots.clone()) {
            let strength = rng.random_range(look.spot_strength.clone());
            let away = anywhere(0.85, rng);
            dab(away, 0.06..0.13, 0.7, LOOK.pale, strength, rng);
        }
        let turn = rng.random_range(0.0..TAU);
        let mut lesion = Self {
            blob: Blob {
                centre: [0.0; 2],
                radius,
                stretch: rng.random_range(LOOK.aspect).sqrt(),
                axis: [turn.cos(), turn.sin()],
                waves,
                edge: rng.random_range(look.edge.clone()),
            },
            pigment: any_of(&LOOK.pigments, rng),
            cover: rng.random_range(LOOK.cover),
            network: rng.random_range(look.network.clone()),
            dabs,
        };
        let reach = lesion.blob.reach() + LOOK.margin * PIXELS;
        let room = (PIXELS - 2.0 * reach).max(0.0);
        lesion.blob.centre =
            [0, 1].map(|_| (PIXELS - room) / 2.0 + room * rng.random_range(0.0..1.0));
        lesion
    }

    /// Draws it and returns the box round everything that can be seen of it.
    fn draw(&self, picture: &mut Picture) -> Option<BoundingBox> {
        let mut rng = ChaCha8Rng::seed_from_u64(u64::from(self.blob.centre[0].to_bits()));
        let [net, mottle] = [
            Field::new(SIDE as usize / 5, &mut rng),
            Field::new(18, &mut rng),
        ];
        self.blob.fill(|[x, y], from_centre, coverage| {
            let (u, v) = (x as f32 / PIXELS, y as f32 / PIXELS);
            let ridge = 1.0 - 2.0 * net.at(u, v).abs();
            let tone = 1.0 + 0.14 * mottle.at(u, v) - self.network * ridge;
            let mut color = self.pigment.map(|c| c * tone);
            for (dab, of) in &self.dabs {
                mix(&mut color, *of, dab.at(from_centre));
            }
            picture.blend(x, y, color, self.cover * coverage);
        })
    }
}

/// Tick marks along one edge.
struct Ruler {
    edge: u8,
    pitch: f32,
    length: f32,
    start: f32,
}

impl Ruler {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        Self {
            edge: rng.random_range(0..4),
            pitch: PIXELS * rng.random_range(LOOK.ruler_pitch),
            length: PIXELS * rng.random_range(LOOK.ruler_length),
            start: rng.random_range(0.0..1.0),
        }
    }

    fn draw(&self, picture: &mut Picture) {
        let side = SIDE as i32;
        let gap = (PIXELS * 0.012) as i32;
        for along in 0..side {
            let tick = (along as f32 / self.pitch + self.start).fract() * self.pitch;
            if tick >= 3.0 {
                continue;
            }
            for inward in gap..gap + self.length as i32 {
                let (x, y) = match self.edge {
                    0 => (along, inward),
                    1 => (along, side - 1 - inward),
                    2 => (inward, along),
                    _ => (side - 1 - inward, along),
                };
                picture.blend(x, y, LOOK.ink, 0.9);
            }
        }
    }
}

/// A random blend of two colours of a palette.
fn any_of(palette: &[[f32; 3]], rng: &mut ChaCha8Rng) -> [f32; 3] {
    let mut color = palette[rng.random_range(0..palette.len())];
    mix(
        &mut color,
        palette[rng.random_range(0..palette.len())],
        rng.random_range(0.0..0.5),
    );
    color
}

fn mix(color: &mut [f32; 3], other: [f32; 3], share: f32) {
    for (c, o) in color.iter_mut().zip(other) {
        *c += share * (o - *c);
    }
}
