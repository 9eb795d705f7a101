//! Drawn images for the demos: like dermoscopy ([`Demo::Skin`]) and like chest radiographs ([`Demo::Chest`]).
//!
//! In each the class shows in the lesions alone. In training something beside them, the [shortcut](Demo::shortcut), goes
//! with the rare class, in the test images it goes with none, so that a classifier that learned it is found out.
//! How everything looks is in tables at the head of each demo's own module; nothing depends on the seed but the draw.

mod blob;
mod chest;
mod paint;
mod skin;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::geometry::{BoundingBox, ImageSize, Orientation};
use crate::import::{Import, ImportError, NewImage};
use crate::model::{ContentHash, Part};
use crate::split::SplitSpec;

/// Width and height of every image, in pixels.
pub const SIDE: u32 = 256;

const PIXELS: f32 = SIDE as f32;
const JPEG_QUALITY: u8 = 90;

/// Which images are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Demo {
    /// Skin lesions in colour, one an image; a ruler misleads.
    #[default]
    Skin,
    /// Grey chest radiographs with one to three opacities; a side marker misleads.
    Chest,
}

/// What a demo consists of.
struct Plan {
    name: &'static str,
    rare: &'static str,
    shortcut: &'static str,
    classes: &'static [ClassPlan],
    /// Draws an image of the class at this place of `classes`, with the shortcut or without.
    draw: fn(usize, bool, &mut ChaCha8Rng) -> Drawn,
}

/// Number of images per part, and the share of them with the shortcut.
struct ClassPlan {
    name: &'static str,
    /// Start of the file names.
    prefix: &'static str,
    train: (usize, f64),
    validation: (usize, f64),
    test: (usize, f64),
}

/// An image and what is known of it.
struct Drawn {
    /// Rows of samples, as many a pixel as `color` has.
    pixels: Vec<u8>,
    color: ExtendedColorType,
    boxes: Vec<BoundingBox>,
}

impl Demo {
    pub const ALL: [Self; 2] = [Self::Skin, Self::Chest];

    fn plan(self) -> &'static Plan {
        match self {
            Self::Skin => &skin::PLAN,
            Self::Chest => &chest::PLAN,
        }
    }

    /// One word for files.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.plan().name
    }

    /// The class that the demo marks as rare.
    #[must_use]
    pub fn rare_class(self) -> &'static str {
        self.plan().rare
    }

    /// What misleads, in words: "ruler".
    #[must_use]
    pub fn shortcut(self) -> &'static str {
        self.plan().shortcut
    }

    /// Training images of each class, in the order of the classes' first images.
    pub fn training_images(self) -> impl Iterator<Item = (&'static str, usize)> {
        let classes = self.plan().classes.iter();
        classes.map(|class| (class.name, class.train.0))
    }

    /// All parts together.
    #[must_use]
    pub fn num_images(self) -> usize {
        let classes = self.plan().classes.iter();
        classes
            .map(|class| class.train.0 + class.validation.0 + class.test.0)
            .sum()
    }
}

/// One image to draw.
struct Order {
    class: usize,
    part: Part,
    shortcut: bool,
}

/// Writes a demo's images under `dir`, a folder a class, and says what is on them, true boxes included. The same seed
/// gives the same images.
///
/// # Errors
/// Where a file cannot be written or `stop` was set.
pub fn generate(
    demo: Demo,
    dir: &Path,
    seed: u64,
    progress: &(dyn Fn(usize, usize) + Sync),
    stop: &AtomicBool,
) -> Result<Import, ImportError> {
    let plan = demo.plan();
    let dir = std::path::absolute(dir).map_err(|e| ImportError::io(dir, e))?;
    for class in plan.classes {
        let folder = dir.join(class.name);
        std::fs::create_dir_all(&folder).map_err(|e| ImportError::io(&folder, e))?;
    }
    let orders = orders(plan, &mut ChaCha8Rng::seed_from_u64(seed));
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
            let picture = (plan.draw)(order.class, order.shortcut, &mut rng);
            let class = &plan.classes[order.class];
            let path = dir.join(format!("{}/{}_{number:04}.jpg", class.name, class.prefix));
            let bytes = picture.jpeg().map_err(|e| ImportError::io(&path, e))?;
            std::fs::write(&path, &bytes).map_err(|e| ImportError::io(&path, e))?;
            progress(drawn.fetch_add(1, Ordering::Relaxed) + 1, orders.len());
            Ok(NewImage {
                path,
                hash: ContentHash::of(&bytes),
                size: ImageSize::new(SIDE, SIDE),
                orientation: Orientation::default(),
                class: class.name.to_owned(),
                group: Some(format!("{number:04}")),
                patient: None,
                part: Some(order.part),
                boxes: picture.boxes,
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

/// All images of a demo in the order in which they are numbered: the classes dealt evenly, each class's parts and
/// shortcuts shuffled.
fn orders(plan: &Plan, rng: &mut ChaCha8Rng) -> Vec<Order> {
    let mut dealt = Vec::new();
    for (place, class) in plan.classes.iter().enumerate() {
        let mut orders = Vec::new();
        for (part, (count, share)) in [
            (Part::Train, class.train),
            (Part::Validation, class.validation),
            (Part::Test, class.test),
        ] {
            let with_shortcut = (count as f64 * share).round() as usize;
            orders.extend((0..count).map(|i| Order {
                class: place,
                part,
                shortcut: i < with_shortcut,
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

impl Drawn {
    fn jpeg(&self) -> std::io::Result<Vec<u8>> {
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY)
            .write_image(&self.pixels, SIDE, SIDE, self.color)
            .map_err(std::io::Error::other)?;
        Ok(jpeg)
    }
}
