//! Boxes as a source gives them, before the image they belong to was read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{NewImage, masks, name_of, not_read};
use crate::geometry::{BoundingBox, ImageSize};
use crate::model::NotRead;

/// What a source claims about one image.
pub(super) struct Claims {
    pub source: Arc<Path>,
    /// What the source counts its boxes in: "Line", "Annotation".
    pub noun: &'static str,
    /// What the source takes the image's size for. Boxes of an image of another size are somewhere else.
    pub size: Option<ImageSize>,
    pub boxes: Boxes,
}

/// Each xyxy, as read and so not necessarily a box, with its number in the source.
pub(super) enum Boxes {
    /// In pixels of the image as shown.
    Pixels(Vec<(u64, [f64; 4])>),
    /// In shares of the image's width and height.
    Shares(Vec<(u64, [f64; 4])>),
    /// To be found in a picture of the same size.
    Mask(PathBuf),
}

/// A box from shares of a size lies on a pixel's edge where it comes so near: shares are rounded when they are written.
const NEAR: f64 = 1e-3;

impl Claims {
    /// How many there are that could be boxes, where that is known without reading anything.
    pub fn count(&self) -> usize {
        let is_box =
            |(_, [x0, y0, x1, y1]): &&(u64, [f64; 4])| BoundingBox::new(*x0, *y0, *x1, *y1).is_ok();
        match &self.boxes {
            Boxes::Pixels(boxes) | Boxes::Shares(boxes) => boxes.iter().filter(is_box).count(),
            Boxes::Mask(_) => 0,
        }
    }

    /// Adds them to the image, cut to it, and returns what is wrong with the others.
    pub fn give(self, image: &mut NewImage) -> Vec<NotRead> {
        let Self {
            source,
            noun,
            size,
            boxes,
        } = self;
        let name = name_of(&image.path);
        let refused = |why: String, advice| not_read(&source, why, advice);
        if let Some(size) = size
            && size != image.size
        {
            let [a, b] = [size, image.size].map(|s| format!("{} \u{d7} {}", s.width, s.height));
            return vec![refused(
                format!("It takes {name} for {a} pixels; as shown it has {b}."),
                "Its boxes were left out: bring the image that they were drawn on.",
            )];
        }
        let ImageSize { width, height } = image.size;
        let (width, height) = (f64::from(width), f64::from(height));
        let boxes = match boxes {
            Boxes::Pixels(boxes) => boxes,
            Boxes::Shares(boxes) => {
                let pixels = |(at, [x0, y0, x1, y1]): (u64, [f64; 4])| {
                    let corners = [x0 * width, y0 * height, x1 * width, y1 * height];
                    (at, corners.map(onto_edge))
                };
                boxes.into_iter().map(pixels).collect()
            }
            Boxes::Mask(path) => match masks::boxes(&path, image.size) {
                Ok(masks::InMask { boxes, specks }) => {
                    image.boxes.extend(boxes);
                    let why = format!(
                        "{specks} of its spots are of fewer than {} pixels.",
                        masks::SPECK
                    );
                    let advice = "They became no boxes; draw one by hand where it is missing.";
                    let specks = (specks > 0).then(|| not_read(&path, why, advice));
                    return specks.into_iter().collect();
                }
                Err((why, advice)) => return vec![not_read(&path, why, advice)],
            },
        };
        let mut wrong = Vec::new();
        for (at, [x0, y0, x1, y1]) in boxes {
            match BoundingBox::new(x0, y0, x1, y1).and_then(|rect| rect.clamped(image.size)) {
                Ok(rect) => image.boxes.push(rect),
                Err(_) => wrong.push(refused(
                    format!("{noun} {at} gives {name} a box that is none, or lies outside of it."),
                    match noun {
                        "Line" => "Correct the line, or draw the box by hand.",
                        _ => "Correct it, or draw the box by hand.",
                    },
                )),
            }
        }
        wrong
    }
}

fn onto_edge(v: f64) -> f64 {
    if (v - v.round()).abs() < NEAR {
        v.round()
    } else {
        v
    }
}

/// At most this many lines say the same of one source.
const ALIKE: usize = 100;

/// Of what is wrong with one source in one way, the first hundred, and how many more there are.
pub(super) fn shortened(mut not_read: Vec<NotRead>) -> Vec<NotRead> {
    let mut counts: HashMap<(PathBuf, String), usize> = HashMap::new();
    not_read.retain(|it| {
        let count = counts
            .entry((it.path.clone(), it.advice.clone()))
            .or_default();
        *count += 1;
        *count <= ALIKE
    });
    let mut more: Vec<_> = counts.into_iter().filter(|(_, n)| *n > ALIKE).collect();
    more.sort();
    not_read.extend(more.into_iter().map(|((path, advice), n)| NotRead {
        path,
        why: format!("So it is {} times more.", n - ALIKE),
        advice,
    }));
    not_read
}
