//! How far two readers who read apart agree on where something lies, and what becomes of it.

use crate::edit::Edit;
use crate::geometry::BoundingBox;
use crate::model::{Annotation, BoxId, ImageId, Origin, ReaderId, ReviewState};
use crate::project::Project;

/// Two boxes of two readers that show the same thing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    pub a: BoundingBox,
    pub b: BoundingBox,
    /// Intersection over union, above 0.
    pub iou: f64,
}

impl Pair {
    /// The box half-way between the two.
    #[must_use]
    pub fn mean(self) -> BoundingBox {
        let (a, b) = (self.a.xyxy(), self.b.xyxy());
        let mean = std::array::from_fn(|at| (a[at] + b[at]) / 2.0);
        // Sides that are positive in both are so in their mean.
        BoundingBox::try_from(mean).unwrap_or(self.a)
    }
}

/// One image as two readers see it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Agreement {
    /// Best first.
    pub pairs: Vec<Pair>,
    /// Boxes of the first reader that overlap with none of the second's that is free.
    pub only_a: Vec<BoundingBox>,
    pub only_b: Vec<BoundingBox>,
}

impl Agreement {
    /// Two boxes that overlap less do not agree, as detection is counted since Pascal VOC.
    pub const ENOUGH: f64 = 0.5;

    /// Pairs the boxes of two readers, the best overlap first, each box once.
    #[must_use]
    pub fn of(a: &[Annotation], b: &[Annotation]) -> Self {
        let mut overlaps: Vec<(usize, usize, f64)> = Vec::new();
        for (i, first) in a.iter().enumerate() {
            for (j, second) in b.iter().enumerate() {
                let iou = first.rect.iou(second.rect);
                if iou > 0.0 {
                    overlaps.push((i, j, iou));
                }
            }
        }
        overlaps.sort_by(|x, y| y.2.total_cmp(&x.2));
        let (mut free_a, mut free_b) = (vec![true; a.len()], vec![true; b.len()]);
        let mut pairs = Vec::new();
        for (i, j, iou) in overlaps {
            if free_a[i] && free_b[j] {
                (free_a[i], free_b[j]) = (false, false);
                pairs.push(Pair {
                    a: a[i].rect,
                    b: b[j].rect,
                    iou,
                });
            }
        }
        let left = |boxes: &[Annotation], free: &[bool]| {
            let left = boxes.iter().zip(free).filter(|(_, free)| **free);
            left.map(|(annotation, _)| annotation.rect).collect()
        };
        Self {
            pairs,
            only_a: left(a, &free_a),
            only_b: left(b, &free_b),
        }
    }

    /// Whether every box has its counterpart; also where both say that there is nothing.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        let unmatched = self.only_a.len() + self.only_b.len();
        unmatched == 0 && self.pairs.iter().all(|pair| pair.iou >= Self::ENOUGH)
    }

    /// Mean intersection over union of the pairs; `None` without one.
    #[must_use]
    pub fn mean_iou(&self) -> Option<f64> {
        let sum: f64 = self.pairs.iter().map(|pair| pair.iou).sum();
        (!self.pairs.is_empty()).then(|| sum / self.pairs.len() as f64)
    }
}

/// The images that both readers have read, in the project's order, with how far they agree.
#[must_use]
pub fn compare(project: &Project, a: ReaderId, b: ReaderId) -> Vec<(ImageId, Agreement)> {
    let images = project.images().iter().map(|image| image.id);
    images
        .filter(|&image| has_read(project, a, image) && has_read(project, b, image))
        .map(|image| {
            let of = |reader| project.boxes_of(Some(reader), image);
            (image, Agreement::of(of(a), of(b)))
        })
        .collect()
}

/// Whether a reader has said of an image that it is done, with boxes or without.
#[must_use]
pub fn has_read(project: &Project, reader: ReaderId, image: ImageId) -> bool {
    project.review(Some(reader), image).state == ReviewState::Done
}

/// The edit that makes these boxes of each image the project's own, in place of those that it has, and the images done;
/// `None` for no image.
#[must_use]
pub fn settle(project: &Project, settled: &[(ImageId, Vec<BoundingBox>)]) -> Option<Edit> {
    let mut ids = (project.next_box_id().0..).map(BoxId);
    let mut edits = Vec::new();
    for (image, rects) in settled {
        // First, as it names what happened.
        for (&rect, id) in rects.iter().zip(&mut ids) {
            edits.push(Edit::AddBox {
                annotation: Annotation {
                    id,
                    origin: Origin::Readers,
                    ..project.new_box(*image, rect)
                },
            });
        }
        let removed = project.boxes(*image).iter();
        edits.extend(removed.map(|annotation| Edit::RemoveBox { id: annotation.id }));
        edits.push(Edit::SetReview {
            image: *image,
            reader: None,
            state: ReviewState::Done,
        });
    }
    Edit::several(edits)
}
