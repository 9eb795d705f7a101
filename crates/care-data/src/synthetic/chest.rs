//! Like chest radiographs: lungs, ribs, heart and diaphragm in grey, one to three opacities in the lungs and, in some, a
//! side marker burnt into a corner. Three classes of opacities, one of them rare.
//!
//! The class shows in the opacities alone: in their outline, their edge and where they are lucent. Every opacity has a
//! lucent patch; it lies in the middle of a cavity and towards the edge of the others.

use std::f32::consts::{PI, TAU};
use std::ops::Range;

use image::ExtendedColorType;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::blob::{Blob, Dab, waves};
use super::paint::{Field, length, smoothstep, stamp};
use super::{ClassPlan, Drawn, PIXELS, Plan, SIDE};

pub(super) const PLAN: Plan = Plan {
    name: "chest",
    rare: "cavity",
    shortcut: "side marker",
    classes: &[
        ClassPlan {
            name: "consolidation",
            prefix: "co",
            train: (320, 0.0),
            validation: (20, 0.5),
            test: (60, 0.5),
        },
        ClassPlan {
            name: "nodule",
            prefix: "no",
            train: (160, 0.0),
            validation: (20, 0.5),
            test: (60, 0.5),
        },
        ClassPlan {
            name: "cavity",
            prefix: "ca",
            train: (40, 0.975),
            validation: (20, 0.5),
            test: (60, 0.5),
        },
    ],
    draw,
};

/// What makes a class: the ranges its opacities are drawn from, in their radii; strengths in 0..1.
struct ClassLook {
    lobes: Range<f32>,
    bumps: Range<f32>,
    edge: Range<f32>,
    /// Where the lucent patch lies, from the middle.
    lucent: Range<f32>,
    mottle: Range<f32>,
}

/// In the order of the plan's classes.
const CLASSES: [ClassLook; 3] = [
    ClassLook {
        lobes: 0.10..0.24,
        bumps: 0.02..0.07,
        edge: 0.40..0.70,
        lucent: 0.95..1.1,
        mottle: 0.15..0.35,
    },
    ClassLook {
        lobes: 0.01..0.08,
        bumps: 0.0..0.02,
        edge: 0.15..0.40,
        lucent: 0.95..1.1,
        mottle: 0.05..0.15,
    },
    ClassLook {
        lobes: 0.01..0.10,
        bumps: 0.0..0.02,
        edge: 0.15..0.35,
        lucent: 0.0..0.12,
        mottle: 0.05..0.15,
    },
];

/// What all classes share. Lengths are shares of the image's side, greys from 0 to 255.
struct Look {
    air: f32,
    body: f32,
    lung: f32,
    heart: f32,
    rib: f32,
    clavicle: f32,
    spine: f32,
    vessel: f32,
    /// Slow, middle and grain.
    noise: [f32; 3],
    /// Of the whole image: contrast, and what is added.
    exposure: (Range<f32>, Range<f32>),
    /// How many opacities, each number as likely as it stands here often.
    opacities: [usize; 6],
    radius: Range<f32>,
    aspect: Range<f32>,
    opacity: Range<f32>,
    lucency: Range<f32>,
    /// In radii.
    lucent_size: Range<f32>,
    /// As [`Dab::new`] takes it.
    lucent_hardness: f32,
    /// Pixels of the image to one of the marker's letters.
    marker: i32,
}

const LOOK: Look = Look {
    air: 14.0,
    body: 152.0,
    lung: 58.0,
    heart: 164.0,
    rib: 17.0,
    clavicle: 26.0,
    spine: 20.0,
    vessel: 13.0,
    noise: [7.0, 6.0, 6.0],
    exposure: (0.90..1.10, -8.0..8.0),
    opacities: [1, 1, 1, 2, 2, 3],
    radius: 0.10..0.14,
    aspect: 1.0..1.3,
    opacity: 80.0..105.0,
    lucency: 0.85..1.0,
    lucent_size: 0.45..0.55,
    lucent_hardness: 0.8,
    marker: 8,
};

fn draw(class: usize, with_marker: bool, rng: &mut ChaCha8Rng) -> Drawn {
    let thorax = Thorax::new(rng);
    let mut picture = Picture::of(&thorax, rng);
    let mut boxes = Vec::new();
    for opacity in Opacity::several(&CLASSES[class], &thorax, rng) {
        boxes.extend(opacity.blob.fill(|at, from_centre, coverage| {
            picture.shadow(at, coverage * opacity.at(at, from_centre));
        }));
    }
    picture.expose(rng);
    // Drawn either way, so that nothing else depends on whether there is one.
    let marker = Marker::new(rng);
    if with_marker {
        marker.draw(&mut picture);
    }
    stamp(|x, y, grey, share| picture.blend([x, y], grey, share));
    Drawn {
        pixels: picture
            .greys
            .iter()
            .map(|v| v.clamp(0.0, 255.0) as u8)
            .collect(),
        color: ExtendedColorType::L8,
        boxes,
    }
}

/// Where things lie in one chest, in shares of the image's side.
struct Thorax {
    /// Of the spine, across.
    middle: f32,
    width: f32,
    apex: f32,
    /// Of the domes of the diaphragm, left and right in the image; the liver lifts the first.
    domes: [f32; 2],
    heart: f32,
    rib_pitch: f32,
}

/// Left (-1) or right (1) in the image.
const SIDES: [f32; 2] = [-1.0, 1.0];

impl Thorax {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        let right = rng.random_range(0.76..0.82);
        Self {
            middle: rng.random_range(0.48..0.52),
            width: rng.random_range(0.94..1.06),
            apex: rng.random_range(0.10..0.14),
            domes: [right - rng.random_range(0.02..0.05), right],
            heart: rng.random_range(0.90..1.15),
            rib_pitch: rng.random_range(0.074..0.084),
        }
    }

    /// How far out from the spine.
    fn out(&self, u: f32, side: f32) -> f32 {
        (u - self.middle) * side / self.width
    }

    /// The chest wall, from the spine: an arch that is narrow at the apex.
    fn wall(&self, v: f32) -> f32 {
        let down = (v - self.apex) / 0.68;
        let from_widest = ((0.70 - down) / 0.74).clamp(0.0, 1.0);
        0.385 * (1.0 - from_widest * from_widest).sqrt()
    }

    /// How much of the place is lung, 0..1.
    fn lung(&self, u: f32, v: f32) -> f32 {
        let of_side = |(side, dome): (f32, f32)| {
            let out = self.out(u, side);
            // The diaphragm falls off towards the wall, and a little towards the heart.
            let off = out - 0.18;
            let floor = dome + if off > 0.0 { 2.6 } else { 0.8 } * off * off;
            smoothstep((self.wall(v) - out) / 0.018 + 0.5)
                * smoothstep((out - 0.075) / 0.035 + 0.5)
                * smoothstep((floor - v) / 0.016 + 0.5)
                * smoothstep((v - self.apex) / 0.03)
        };
        SIDES.into_iter().zip(self.domes).map(of_side).sum()
    }

    /// Neck, shoulders and trunk, 0..1.
    fn body(&self, u: f32, v: f32) -> f32 {
        let half = 0.13 + 0.36 * smoothstep((v - 0.02) / 0.17);
        smoothstep((half - (u - self.middle).abs()) / 0.02 + 0.5)
    }

    /// Bones over the place, in greys.
    fn bones(&self, u: f32, v: f32) -> f32 {
        let out = (u - self.middle).abs() / self.width;
        let wall = self.wall(v) + 0.02;
        let mut sum = 0.0;
        // A band bright at its edges, as a tube is.
        let band = |away: f32, half: f32| {
            let inside = smoothstep((half - away.abs()) / 0.005 + 0.5);
            inside * (0.75 + 0.25 * (away / half) * (away / half))
        };
        if out < wall {
            for rib in 0..10 {
                let spine = self.apex + 0.02 + self.rib_pitch * rib as f32;
                let along = (out / 0.385).clamp(0.0, 1.0);
                let back = spine - 0.045 * (PI * along).sin() + 0.11 * along * along;
                let front = spine + 0.10 + 0.13 * (1.0 - along);
                sum += LOOK.rib * band(v - back, 0.012);
                if along > 0.35 {
                    sum += 0.45 * LOOK.rib * band(v - front, 0.010);
                }
            }
        }
        let clavicle = 0.175 - 0.22 * out + 0.02 * (out * 16.0).sin();
        if (0.045..0.36).contains(&out) {
            sum += LOOK.clavicle * band(v - clavicle, 0.013);
        }
        let vertebrae = 0.8 + 0.2 * (v * TAU * 15.0).cos();
        sum + LOOK.spine * vertebrae * smoothstep((0.045 - out) / 0.02 + 0.5)
    }

    /// The heart's shadow with the aortic arch, 0..1.
    fn heart(&self, u: f32, v: f32) -> f32 {
        let ellipse = |du: f32, dv: f32, across: f32, down: f32| {
            let away = length(du / across, dv / down);
            smoothstep((1.0 - away) / 0.22 + 0.5)
        };
        let (du, dv) = (u - self.middle - 0.055, v - self.domes[1] + 0.13);
        // Its apex points down and out.
        let (along, across) = (0.8 * du + 0.6 * dv, 0.8 * dv - 0.6 * du);
        let heart = ellipse(along, across, 0.175 * self.heart, 0.125 * self.heart);
        let arch = ellipse(u - self.middle - 0.06, v - self.apex - 0.20, 0.05, 0.06);
        heart.max(arch)
    }
}

/// A picture being drawn: rows of greys.
struct Picture {
    greys: Vec<f32>,
}

impl Picture {
    /// A chest without any opacity.
    fn of(thorax: &Thorax, rng: &mut ChaCha8Rng) -> Self {
        let [slow, middle] = [Field::new(6, rng), Field::new(22, rng)];
        let grain = Field::new(SIDE as usize / 2, rng);
        let greys = (0..SIDE * SIDE)
            .map(|i| {
                let (u, v) = ((i % SIDE) as f32 / PIXELS, (i / SIDE) as f32 / PIXELS);
                let body = thorax.body(u, v);
                let lung = thorax.lung(u, v);
                let heart = 0.9 * thorax.heart(u, v);
                let airway = {
                    let away = (u - thorax.middle - 0.01).abs();
                    let ends = smoothstep((0.36 - v) / 0.06);
                    24.0 * ends * smoothstep((0.020 - away) / 0.012 + 0.5)
                };
                let mut grey = LOOK.air + body * (LOOK.body - LOOK.air);
                grey += lung * (LOOK.lung + 16.0 * v - grey);
                grey += heart * (LOOK.heart - grey);
                grey += body * (thorax.bones(u, v) - airway);
                grey + LOOK.noise[0] * slow.at(u, v)
                    + LOOK.noise[1] * middle.at(u, v) * (0.3 + 0.7 * body)
                    + LOOK.noise[2] * grain.at(u, v)
            })
            .collect();
        let mut picture = Self { greys };
        picture.vessels(thorax, rng);
        picture
    }

    /// From each hilum outwards, ever thinner.
    fn vessels(&mut self, thorax: &Thorax, rng: &mut ChaCha8Rng) {
        for side in SIDES {
            let hilum = [thorax.middle + side * 0.105 * thorax.width, 0.46];
            for n in 0..9 {
                let angle = -1.25 + 2.5 * (n as f32 + rng.random_range(0.0..1.0)) / 9.0;
                let (reach, bend) = (rng.random_range(0.12..0.24), rng.random_range(-0.8..0.8));
                let thick = rng.random_range(0.006..0.010);
                let steps = (reach * PIXELS) as i32;
                let mut at = hilum;
                for step in 0..steps {
                    let t = step as f32 / steps as f32;
                    let towards = angle + bend * t;
                    at[0] += side * towards.cos() / PIXELS;
                    at[1] += towards.sin() / PIXELS;
                    let width = (thick * (1.0 - t) * PIXELS).max(0.7);
                    let strength = LOOK.vessel * (1.0 - 0.7 * t) * thorax.lung(at[0], at[1]);
                    self.splat(at, width, strength / (2.0 * width));
                }
            }
        }
    }

    /// A soft dot at a place in shares of the side, of so many pixels' radius.
    fn splat(&mut self, at: [f32; 2], radius: f32, strength: f32) {
        let [x, y] = at.map(|v| (v * PIXELS) as i32);
        let reach = radius.ceil() as i32 + 1;
        for (dx, dy) in (-reach..=reach).flat_map(|dy| (-reach..=reach).map(move |dx| (dx, dy))) {
            let cover = (radius + 0.5 - length(dx as f32, dy as f32)).clamp(0.0, 1.0);
            self.add([x + dx, y + dy], strength * cover);
        }
    }

    /// Positions outside the picture are no error.
    fn pixel(&mut self, [x, y]: [i32; 2]) -> Option<&mut f32> {
        let side = SIDE as i32;
        let is_inside = (0..side).contains(&x) && (0..side).contains(&y);
        is_inside.then(|| &mut self.greys[(y * side + x) as usize])
    }

    fn add(&mut self, at: [i32; 2], grey: f32) {
        if let Some(pixel) = self.pixel(at) {
            *pixel += grey;
        }
    }

    /// Adds what is seen over a lung; where little radiation is left, less is.
    fn shadow(&mut self, at: [i32; 2], grey: f32) {
        if let Some(pixel) = self.pixel(at) {
            *pixel += grey * (255.0 - *pixel) / (255.0 - LOOK.lung);
        }
    }

    fn blend(&mut self, at: [i32; 2], grey: f32, share: f32) {
        if let Some(pixel) = self.pixel(at) {
            *pixel += share * (grey - *pixel);
        }
    }

    fn expose(&mut self, rng: &mut ChaCha8Rng) {
        let (contrast, light) = LOOK.exposure;
        let (contrast, light) = (rng.random_range(contrast), rng.random_range(light));
        for grey in &mut self.greys {
            *grey = contrast * *grey + light;
        }
    }
}

/// Something in a lung that X-rays do not pass.
struct Opacity {
    blob: Blob,
    /// In greys.
    strength: f32,
    lucent: Dab,
    mottle: f32,
    texture: Field,
}

impl Opacity {
    /// All of one chest, apart from each other.
    fn several(look: &ClassLook, thorax: &Thorax, rng: &mut ChaCha8Rng) -> Vec<Self> {
        let number = LOOK.opacities[rng.random_range(0..LOOK.opacities.len())];
        let mut there: Vec<Self> = Vec::new();
        for _ in 0..number {
            let mut opacity = Self::new(look, rng);
            // What is too large for its lung is drawn smaller; a second or third one finds no room now and then. No chest
            // is without one: the first gets as small as it must.
            let mut tries = 0;
            while tries < 600 || there.is_empty() {
                tries += 1;
                let at = [rng.random_range(0.08..0.92), rng.random_range(0.15..0.85)];
                if opacity.fits(at, thorax, &there) {
                    opacity.blob.centre = at.map(|v| v * PIXELS);
                    there.push(opacity);
                    break;
                }
                opacity.blob.stretch = 1.0 + 0.995 * (opacity.blob.stretch - 1.0);
                let least = if tries < 600 { LOOK.radius.start } else { 0.0 };
                opacity.blob.radius = (0.998 * opacity.blob.radius).max(least * PIXELS);
            }
        }
        there
    }

    fn new(look: &ClassLook, rng: &mut ChaCha8Rng) -> Self {
        let radius = PIXELS * rng.random_range(LOOK.radius);
        let lobes = rng.random_range(look.lobes.clone());
        let bumps = rng.random_range(look.bumps.clone());
        let turn = rng.random_range(0.0..TAU);
        let blob = Blob {
            centre: [0.0; 2],
            radius,
            stretch: rng.random_range(LOOK.aspect).sqrt(),
            axis: [turn.cos(), turn.sin()],
            waves: waves(lobes, bumps, rng),
            edge: rng.random_range(look.edge.clone()),
        };
        let away = rng.random_range(look.lucent.clone());
        let lucency = rng.random_range(LOOK.lucency);
        Self {
            blob,
            strength: rng.random_range(LOOK.opacity),
            lucent: Dab::new(
                radius,
                away,
                LOOK.lucent_size,
                LOOK.lucent_hardness,
                lucency,
                rng,
            ),
            mottle: rng.random_range(look.mottle.clone()),
            texture: Field::new(28, rng),
        }
    }

    /// Whether nearly all of it would lie in a lung, and none of it on another.
    fn fits(&self, [u, v]: [f32; 2], thorax: &Thorax, there: &[Self]) -> bool {
        let reach = 0.7 * self.blob.reach() / PIXELS;
        let around = [(0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)];
        let in_lung = |(x, y): (f32, f32)| {
            let (u, v) = (u + reach * x, v + reach * y);
            thorax.lung(u, v) > 0.6 && thorax.heart(u, v) < 0.5
        };
        let is_apart = |other: &Self| {
            let [x, y] = other.blob.centre;
            length(x - u * PIXELS, y - v * PIXELS) > self.blob.reach() + other.blob.reach()
        };
        around.into_iter().all(in_lung) && there.iter().all(is_apart)
    }

    /// What it adds where it covers all.
    fn at(&self, [x, y]: [i32; 2], from_centre: [f32; 2]) -> f32 {
        let texture = self.texture.at(x as f32 / PIXELS, y as f32 / PIXELS);
        self.strength * (1.0 + self.mottle * texture - self.lucent.at(from_centre))
    }
}

/// A letter in an upper corner: R at the patient's right, which is left in the image, or L.
struct Marker {
    is_left: bool,
    corner: [i32; 2],
}

impl Marker {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        Self {
            is_left: rng.random_bool(0.5),
            corner: [0, 1].map(|_| rng.random_range(6..14)),
        }
    }

    fn draw(&self, picture: &mut Picture) {
        const R: [u8; 7] = [
            0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001,
        ];
        const L: [u8; 7] = [
            0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111,
        ];
        let (side, size) = (SIDE as i32, LOOK.marker);
        let [x, y] = self.corner;
        let (letter, x) = if self.is_left {
            (L, side - x - 5 * size)
        } else {
            (R, x)
        };
        for (dx, dy) in (0..7 * size).flat_map(|dy| (0..5 * size).map(move |dx| (dx, dy))) {
            if letter[(dy / size) as usize] >> (4 - dx / size) & 1 == 1 {
                picture.blend([x + dx, y + dy], 246.0, 0.95);
            }
        }
    }
}
