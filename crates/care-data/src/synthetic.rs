//! The demo's images: drawn, dermoscopy-like, in four classes of which one is rare.
//!
//! Every image is skin, one lesion, hairs and, in some, a ruler along one edge. The class shows in the lesion alone: in
//! its outline, its edge, its blotches and spots and where it is pale, never in its colour, size or place. In training
//! the ruler goes with the rare class, in the test images it goes with none, so that a classifier that learned the ruler
//! is found out.
//! How everything looks is in [`CLASSES`] and [`LOOK`]; nothing depends on the seed but the draw.

use std::f32::consts::TAU;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::geometry::{BoundingBox, ImageSize, Orientation};
use crate::import::{Import, ImportError, NewImage};
use crate::model::{ContentHash, Part};
use crate::split::SplitSpec;

/// The class that the demo marks as rare.
pub const RARE_CLASS: &str = "dermatofibroma";

/// All parts together.
pub const NUM_IMAGES: usize = {
    let mut sum = 0;
    let mut class = 0;
    while class < CLASSES.len() {
        let look = &CLASSES[class];
        sum += look.train.0 + look.validation.0 + look.test.0;
        class += 1;
    }
    sum
};

/// Width and height of every image, in pixels.
pub const SIDE: u32 = 256;

/// What makes a class: how many images, how often a ruler lies in them, and the ranges its lesions are drawn from.
/// Lengths are in lesion radii, strengths in 0..1.
struct ClassLook {
    name: &'static str,
    /// Start of the file names.
    prefix: &'static str,
    /// Number of images per part, and the share of them with a ruler.
    train: (usize, f64),
    validation: (usize, f64),
    test: (usize, f64),
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

const CLASSES: [ClassLook; 4] = [
    ClassLook {
        name: "nevus",
        prefix: "nv",
        train: (320, 0.1),
        validation: (20, 0.5),
        test: (60, 0.5),
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
        name: "melanoma",
        prefix: "ml",
        train: (120, 0.1),
        validation: (20, 0.5),
        test: (60, 0.5),
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
        name: "keratosis",
        prefix: "kr",
        train: (120, 0.1),
        validation: (20, 0.5),
        test: (60, 0.5),
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
        name: RARE_CLASS,
        prefix: "df",
        train: (24, 0.9),
        validation: (20, 0.5),
        test: (60, 0.5),
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
    /// The true box holds every pixel that the lesion covers by at least this share.
    visible: f32,
    jpeg_quality: u8,
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
    visible: 0.25,
    jpeg_quality: 90,
};

/// One image to draw.
struct Order {
    look: &'static ClassLook,
    part: Part,
    ruler: bool,
}

/// Writes the demo's [`NUM_IMAGES`] images under `dir`, a folder a class, and says what is on them, true boxes included.
/// The same seed gives the same images.
///
/// # Errors
/// Where a file cannot be written or `stop` was set.
pub fn generate(
    dir: &Path,
    seed: u64,
    progress: &(dyn Fn(usize, usize) + Sync),
    stop: &AtomicBool,
) -> Result<Import, ImportError> {
    let dir = std::path::absolute(dir).map_err(|e| ImportError::io(dir, e))?;
    for look in &CLASSES {
        let folder = dir.join(look.name);
        std::fs::create_dir_all(&folder).map_err(|e| ImportError::io(&folder, e))?;
    }
    let orders = orders(&mut ChaCha8Rng::seed_from_u64(seed));
    let drawn = AtomicUsize::new(0);
    let images = orders
        .par_iter()
        .enumerate()
        .map(|(i, order)| {
            let number = i as u64 + 1;
            if stop.load(Ordering::Relaxed) {
                return Err(ImportError::Stopped);
            }
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(number);
            let picture = draw(order, &mut rng);
            let file = format!("{}/{}_{number:04}.jpg", order.look.name, order.look.prefix);
            let path = dir.join(file);
            let bytes = picture.jpeg().map_err(|e| ImportError::io(&path, e))?;
            std::fs::write(&path, &bytes).map_err(|e| ImportError::io(&path, e))?;
            progress(drawn.fetch_add(1, Ordering::Relaxed) + 1, orders.len());
            Ok(NewImage {
                path,
                hash: ContentHash::of(&bytes),
                size: ImageSize::new(SIDE, SIDE),
                orientation: Orientation::default(),
                class: order.look.name.to_owned(),
                group: Some(format!("{number:04}")),
                patient: None,
                part: Some(order.part),
                boxes: picture.lesion.into_iter().collect(),
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Import {
        images,
        not_read: Vec::new(),
        split: SplitSpec {
            seed,
            ..SplitSpec::default()
        },
    })
}

/// All images of the demo in the order in which they are numbered: the classes dealt evenly, each class's parts and
/// rulers shuffled.
fn orders(rng: &mut ChaCha8Rng) -> Vec<Order> {
    let mut dealt = Vec::new();
    for look in &CLASSES {
        let mut orders = Vec::new();
        for (part, (count, rulers)) in [
            (Part::Train, look.train),
            (Part::Validation, look.validation),
            (Part::Test, look.test),
        ] {
            let rulers = (count as f64 * rulers).round() as usize;
            orders.extend((0..count).map(|i| Order {
                look,
                part,
                ruler: i < rulers,
            }));
        }
        orders.shuffle(rng);
        let count = orders.len() as f64;
        dealt.extend(
            orders
                .into_iter()
                .enumerate()
                .map(|(i, order)| ((i as f64 + 0.5) / count, order)),
        );
    }
    dealt.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    dealt.into_iter().map(|(_, order)| order).collect()
}

/// An image being drawn: rows of RGB from 0 to 255, and what is known of its lesion.
struct Picture {
    pixels: Vec<[f32; 3]>,
    lesion: Option<BoundingBox>,
}

fn draw(order: &Order, rng: &mut ChaCha8Rng) -> Picture {
    let mut picture = Picture::skin(rng);
    picture.lesion = Lesion::new(order.look, rng).draw(&mut picture);
    for _ in 0..rng.random_range(LOOK.hairs) {
        picture.hair(rng);
    }
    // Drawn either way, so that what follows does not depend on whether there is a ruler.
    let ruler = Ruler::new(rng);
    if order.ruler {
        ruler.draw(&mut picture);
    }
    picture.vignette(rng.random_range(LOOK.vignette));
    picture.stamp();
    picture
}

const PIXELS: f32 = SIDE as f32;

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
        Self {
            pixels,
            lesion: None,
        }
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

    /// Writes what this is into the lower right corner, so that no copy of it can be taken for a patient's.
    fn stamp(&mut self) {
        const WORD: [[u8; 6]; 9] = [
            // One row a byte, three pixels each, top to bottom; the sixth row holds descenders.
            [0b011, 0b100, 0b010, 0b001, 0b110, 0],     // s
            [0b000, 0b101, 0b101, 0b011, 0b001, 0b110], // y
            [0b000, 0b110, 0b101, 0b101, 0b101, 0],     // n
            [0b010, 0b111, 0b010, 0b010, 0b011, 0],     // t
            [0b100, 0b110, 0b101, 0b101, 0b101, 0],     // h
            [0b000, 0b111, 0b110, 0b100, 0b111, 0],     // e
            [0b010, 0b111, 0b010, 0b010, 0b011, 0],     // t
            [0b010, 0b000, 0b010, 0b010, 0b010, 0],     // i
            [0b000, 0b011, 0b100, 0b100, 0b011, 0],     // c
        ];
        let (width, height) = (4 * WORD.len() as i32 + 1, 8);
        let (left, top) = (SIDE as i32 - width - 2, SIDE as i32 - height - 2);
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            let (letter, column) = ((x - 1).div_euclid(4), (x - 1).rem_euclid(4));
            let row = WORD
                .get(letter as usize)
                .and_then(|rows| rows.get((y - 1) as usize));
            let inked = column < 3 && row.is_some_and(|row| row >> (2 - column) & 1 == 1);
            let (color, share) = if inked {
                ([245.0; 3], 0.95)
            } else {
                ([0.0; 3], 0.45)
            };
            self.blend(left + x, top + y, color, share);
        }
    }

    fn jpeg(&self) -> std::io::Result<Vec<u8>> {
        let bytes: Vec<u8> = self
            .pixels
            .iter()
            .flatten()
            .map(|v| v.clamp(0.0, 255.0) as u8)
            .collect();
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, LOOK.jpeg_quality)
            .write_image(&bytes, SIDE, SIDE, ExtendedColorType::Rgb8)
            .map_err(std::io::Error::other)?;
        Ok(jpeg)
    }
}

/// A lesion, in pixels.
struct Lesion {
    centre: [f32; 2],
    radius: f32,
    /// Along its longer axis, and its inverse across it.
    stretch: f32,
    /// Direction of the longer axis, of length 1.
    axis: [f32; 2],
    /// The outline's waves: how many round it, how deep, where they begin.
    waves: Vec<(f32, f32, f32)>,
    edge: f32,
    pigment: [f32; 3],
    cover: f32,
    network: f32,
    dabs: Vec<Dab>,
}

/// A round patch of another colour in a lesion.
struct Dab {
    centre: [f32; 2],
    radius: f32,
    /// 1 ends sharply at the radius, 0 fades over one radius.
    hardness: f32,
    color: [f32; 3],
    strength: f32,
}

impl Lesion {
    fn new(look: &ClassLook, rng: &mut ChaCha8Rng) -> Self {
        let radius = PIXELS * rng.random_range(LOOK.radius);
        let lobes = rng.random_range(look.lobes.clone());
        let bumps = rng.random_range(look.bumps.clone());
        let mut waves = Vec::new();
        for (count, depth) in [(2..6, lobes), (8..13, bumps)] {
            for k in count.clone() {
                let share = rng.random_range(0.4..1.0) * 2.0 / (count.len() as f32).sqrt();
                waves.push((k as f32, depth * share, rng.random_range(0.0..TAU)));
            }
        }
        let mut dabs = Vec::new();
        let mut dab =
            |away: f32, size: Range<f32>, hardness, color, strength, rng: &mut ChaCha8Rng| {
                let angle = rng.random_range(0.0..TAU);
                dabs.push(Dab {
                    centre: [radius * away * angle.cos(), radius * away * angle.sin()],
                    radius: radius * rng.random_range(size),
                    hardness,
                    color,
                    strength,
                });
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
            centre: [0.0; 2],
            radius,
            stretch: rng.random_range(LOOK.aspect).sqrt(),
            axis: [turn.cos(), turn.sin()],
            waves,
            edge: rng.random_range(look.edge.clone()),
            pigment: any_of(&LOOK.pigments, rng),
            cover: rng.random_range(LOOK.cover),
            network: rng.random_range(look.network.clone()),
            dabs,
        };
        let reach = lesion.reach() + LOOK.margin * PIXELS;
        let room = (PIXELS - 2.0 * reach).max(0.0);
        lesion.centre = [0, 1].map(|_| (PIXELS - room) / 2.0 + room * rng.random_range(0.0..1.0));
        lesion
    }

    /// How far its pigment reaches from its centre at most.
    fn reach(&self) -> f32 {
        let outline = (0..64)
            .map(|i| self.outline(i as f32 / 64.0 * TAU))
            .fold(0.0, f32::max);
        self.radius * self.stretch * (outline + 0.6 * self.edge)
    }

    /// The outline's distance from the centre, in radii, before the lesion is stretched and turned.
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

    /// Draws it and returns the box round everything that can be seen of it.
    fn draw(&self, picture: &mut Picture) -> Option<BoundingBox> {
        let mut rng = ChaCha8Rng::seed_from_u64(u64::from(self.centre[0].to_bits()));
        let [net, mottle] = [
            Field::new(SIDE as usize / 5, &mut rng),
            Field::new(18, &mut rng),
        ];
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
            if coverage >= LOOK.visible {
                low = [low[0].min(px), low[1].min(py)];
                high = [high[0].max(px), high[1].max(py)];
            }
            let (u, v) = (px as f32 / PIXELS, py as f32 / PIXELS);
            let ridge = 1.0 - 2.0 * net.at(u, v).abs();
            let tone = 1.0 + 0.14 * mottle.at(u, v) - self.network * ridge;
            let mut color = self.pigment.map(|c| c * tone);
            for dab in &self.dabs {
                let away = length(dx - dab.centre[0], dy - dab.centre[1]) / dab.radius;
                let share = smoothstep((1.0 - away) / (1.0 - dab.hardness) + 0.5);
                mix(&mut color, dab.color, dab.strength * share);
            }
            picture.blend(px, py, color, self.cover * coverage);
        }
        BoundingBox::from_corners(
            low.map(f64::from),
            high.map(|v| f64::from(v) + 1.0),
            ImageSize::new(SIDE, SIDE),
        )
        .ok()
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

/// Smooth noise over the picture, from -1 to 1: random values at `cells` x `cells` points, softly joined.
struct Field {
    cells: usize,
    values: Vec<f32>,
}

impl Field {
    fn new(cells: usize, rng: &mut ChaCha8Rng) -> Self {
        let values = (0..(cells + 2) * (cells + 2))
            .map(|_| rng.random_range(-1.0..1.0))
            .collect();
        Self { cells, values }
    }

    /// At `x`, `y` in 0..1.
    fn at(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (
            x.clamp(0.0, 1.0) * self.cells as f32,
            y.clamp(0.0, 1.0) * self.cells as f32,
        );
        let (column, row) = (x as usize, y as usize);
        let (fx, fy) = (smoothstep(x - column as f32), smoothstep(y - row as f32));
        let stride = self.cells + 2;
        let [a, b] = [
            &self.values[row * stride + column..][..2],
            &self.values[(row + 1) * stride + column..][..2],
        ];
        let (above, below) = (a[0] + fx * (a[1] - a[0]), b[0] + fx * (b[1] - b[0]));
        above + fy * (below - above)
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

/// Cheaper than `f32::hypot`, whose care for huge numbers nobody needs here.
fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

fn smoothstep(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
