//! COCO: one JSON file with `images`, `annotations` and `categories`. Boxes are x, y, width, height, from the image's upper
//! left corner, in pixels.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::de::{self, Deserialize, Deserializer, IgnoredAny};

use super::format::{has_ending, of_json, skip_mark};
use super::named::{self, Entry, Marked};
use super::{Format, Found, ImportError, Listing, go_on, not_read};
use crate::geometry::ImageSize;

/// By which such a file is known.
pub(super) const KEYS: &[&str] = &["images", "annotations", "categories"];

#[derive(serde::Deserialize)]
struct Coco {
    #[serde(default)]
    images: Vec<Image>,
    #[serde(default)]
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(serde::Deserialize)]
struct Image {
    #[serde(default)]
    id: Word,
    #[serde(default)]
    file_name: Word,
    #[serde(default)]
    width: Word,
    #[serde(default)]
    height: Word,
    /// No key of COCO's own: what this program writes for an image that has no annotation to say it.
    #[serde(default)]
    category_id: Word,
}

/// Masks and whatever else there is are passed over while reading.
#[derive(serde::Deserialize)]
struct Annotation {
    #[serde(default)]
    id: Word,
    #[serde(default)]
    image_id: Word,
    #[serde(default)]
    category_id: Word,
    bbox: Option<Corners>,
    #[serde(default)]
    iscrowd: Word,
}

#[derive(serde::Deserialize)]
struct Category {
    #[serde(default)]
    id: Word,
    #[serde(default)]
    name: Word,
}

/// A number or a text; anything else is nothing, so that one slip does not cost the whole file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
enum Word {
    #[default]
    Nothing,
    Whole(i64),
    Text(Box<str>),
}

impl Word {
    fn number(&self) -> Option<i64> {
        match self {
            Self::Whole(n) => Some(*n),
            _ => None,
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Whole(n) => Some(n.to_string()),
            Self::Text(text) => Some(text.to_string()),
        }
    }
}

/// `bbox` as xyxy; not a number where it is not four numbers.
struct Corners([f64; 4]);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(Lenient)? {
            Loose::Real(v) if v.fract() == 0.0 && v.abs() < 9e15 => Self::Whole(v as i64),
            Loose::Whole(n) => Self::Whole(n),
            Loose::Text(text) => Self::Text(text.into()),
            Loose::Real(v) => Self::Text(v.to_string().into()),
            Loose::Numbers(_) | Loose::Nothing => Self::Nothing,
        })
    }
}

impl<'de> Deserialize<'de> for Corners {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match deserializer.deserialize_any(Lenient)? {
            Loose::Numbers([x, y, width, height]) => [x, y, x + width, y + height],
            _ => [f64::NAN; 4],
        }))
    }
}

enum Loose {
    Nothing,
    Whole(i64),
    Real(f64),
    Text(String),
    /// Exactly four; what is none is not a number.
    Numbers([f64; 4]),
}

/// Takes any value there is.
struct Lenient;

impl<'de> de::Visitor<'de> for Lenient {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Loose, E> {
        Ok(Loose::Whole(v.into()))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Loose, E> {
        Ok(Loose::Whole(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Loose, E> {
        // Ids may be hashes; they only have to stay apart.
        Ok(Loose::Whole(v.cast_signed()))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Loose, E> {
        Ok(Loose::Real(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Loose, E> {
        Ok(Loose::Text(v.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::Nothing)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Loose, A::Error> {
        let mut numbers = [f64::NAN; 4];
        for number in &mut numbers {
            match seq.next_element::<Number>()? {
                Some(Number(value)) => *number = value,
                None => return Ok(Loose::Nothing),
            }
        }
        let mut more = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok(if more {
            Loose::Nothing
        } else {
            Loose::Numbers(numbers)
        })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Loose::Nothing)
    }
}

struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match deserializer.deserialize_any(Lenient)? {
            Loose::Whole(n) => n as f64,
            Loose::Real(v) => v,
            Loose::Text(text) => text.trim().parse().unwrap_or(f64::NAN),
            Loose::Nothing | Loose::Numbers(_) => f64::NAN,
        }))
    }
}

/// Ends early where `stop` is set.
struct Stoppable<'a, R>(R, &'a AtomicBool);

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.1.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("stopped"));
        }
        self.0.read(buffer)
    }
}

pub(super) fn list(found: &Found) -> Result<Listing, ImportError> {
    let mut entries = Vec::new();
    let mut refused = Vec::new();
    for path in sources(found) {
        let read = read(&path, found.stop);
        go_on(found.stop)?;
        match read {
            Ok(coco) => {
                let (of_file, crowds) = entries_of(&path, coco);
                entries.extend(of_file);
                if crowds > 0 {
                    let why = format!("{crowds} of its boxes are marked as crowds.");
                    let advice = "They were left out: none of them shows one thing.";
                    refused.push(not_read(&path, why, advice));
                }
            }
            Err(error) => {
                let why = format!("It cannot be read as COCO JSON: {error}.");
                let advice = "Export it anew from the program that made it.";
                refused.push(not_read(&path, why, advice));
            }
        }
    }
    Ok(named::list(found, entries, refused))
}

/// Of several files those called `instances_...`, where there are such: keypoints and captions speak of the same images.
fn sources(found: &Found) -> Vec<PathBuf> {
    if found.at.is_file() {
        return vec![found.at.to_owned()];
    }
    let is_source =
        |path: &&PathBuf| has_ending(path, "json") && of_json(path) == Some(Format::Coco);
    let files: Vec<_> = found.files.iter().filter(is_source).cloned().collect();
    let is_instances = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("instances")
    };
    let instances: Vec<_> = files.iter().filter(is_instances).cloned().collect();
    if instances.is_empty() {
        files
    } else {
        instances
    }
}

fn read(path: &Path, stop: &AtomicBool) -> Result<Coco, serde_json::Error> {
    let mut file = BufReader::with_capacity(
        1 << 16,
        Stoppable(File::open(path).map_err(de::Error::custom)?, stop),
    );
    skip_mark(&mut file);
    serde_json::from_reader(file)
}

/// What the file says of each image, and how many boxes are crowds.
fn entries_of(path: &Path, coco: Coco) -> (Vec<Entry>, usize) {
    let source: Arc<Path> = path.into();
    let classes: HashMap<Word, Arc<str>> = coco
        .categories
        .into_iter()
        .filter_map(|it| Some((it.id, it.name.text()?.into())))
        .collect();
    let mut places: HashMap<Word, usize> = HashMap::with_capacity(coco.images.len());
    let mut entries = Vec::with_capacity(coco.images.len());
    for image in coco.images {
        let side = |word: &Word| word.number().and_then(|n| u32::try_from(n).ok());
        let size = side(&image.width).zip(side(&image.height));
        places.entry(image.id).or_insert(entries.len());
        entries.push(Entry {
            size: size
                .filter(|(width, height)| *width > 0 && *height > 0)
                .map(|(width, height)| ImageSize::new(width, height)),
            class: classes
                .get(&image.category_id)
                .map(|class| class.to_string()),
            ..Entry::new(
                Arc::clone(&source),
                "Annotation",
                image.file_name.text().unwrap_or_default(),
            )
        });
    }
    let mut crowds = 0;
    for (i, annotation) in coco.annotations.into_iter().enumerate() {
        let entry = places
            .get(&annotation.image_id)
            .and_then(|&at| entries.get_mut(at));
        let Some(entry) = entry else {
            continue;
        };
        let class = classes.get(&annotation.category_id);
        match annotation.bbox {
            Some(_) if annotation.iscrowd == Word::Whole(1) => crowds += 1,
            Some(Corners(corners)) => entry.boxes.push(Marked {
                at: annotation
                    .id
                    .number()
                    .map_or(i as u64 + 1, i64::cast_unsigned),
                class: class.cloned(),
                corners,
            }),
            // An annotation of the whole image, as sets for classification have it.
            None => entry.class = entry.class.take().or(class.map(|class| class.to_string())),
        }
    }
    (entries, crowds)
}
