//! The test part of a run, put in order once for everything that the room shows.

use std::cmp::Ordering;
use std::collections::HashMap;

use care_data::{ClassId, ImageId, Project, RunId};
use care_learn::ModelRole;
use care_learn::event::ImageAttention;
use care_learn::metrics::{McNemar, argmax, mcnemar_exact};

use crate::training::TrainingRun;

/// Below this share of the attention in the box, a right answer counts as right for the wrong reason.
pub(super) const WRONG_REASON: f32 = 0.30;

/// The order of the figure's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Order {
    /// By CARE's share of attention in the box; images without one come last.
    #[default]
    LeastInTheBox,
    Name,
}

impl Order {
    pub const ALL: [Self; 2] = [Self::LeastInTheBox, Self::Name];

    pub fn text(self) -> &'static str {
        match self {
            Self::LeastInTheBox => "least in the box first",
            Self::Name => "by name",
        }
    }
}

/// How one model saw one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen {
    /// Place in the run's list of this model.
    place: usize,
    /// Index of the class with the largest probability.
    pub predicted: usize,
    /// Share of the attention in the box.
    pub energy: Option<f32>,
}

/// A prediction in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Correct,
    /// The right class, from attention that lies elsewhere.
    WrongReason,
    /// Taken for this class.
    Wrong(usize),
}

/// A test image as every model of the run saw it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Case {
    pub image: ImageId,
    /// Index into the project's classes.
    pub label: usize,
    /// In the order of [`ModelRole::ALL`].
    seen: [Option<Seen>; 3],
}

impl Case {
    pub fn seen(&self, role: ModelRole) -> Option<Seen> {
        self.seen[role as usize]
    }

    pub fn reading(&self, seen: Seen) -> Reading {
        if seen.predicted != self.label {
            Reading::Wrong(seen.predicted)
        } else if seen.energy.is_some_and(|energy| energy < WRONG_REASON) {
            Reading::WrongReason
        } else {
            Reading::Correct
        }
    }

    fn is_right(&self, role: ModelRole) -> Option<bool> {
        self.seen(role).map(|seen| seen.predicted == self.label)
    }
}

/// One cell of one model's confusion matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub role: ModelRole,
    pub label: usize,
    pub predicted: usize,
}

/// What the cases were made from: made anew where any of it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub run: RunId,
    revision: u64,
    num_models: usize,
}

impl Key {
    pub fn of(run: &TrainingRun, project: &Project) -> Self {
        Self {
            run: run.id,
            revision: project.revision(),
            num_models: run.test.len(),
        }
    }
}

pub(super) struct Cases {
    pub key: Key,
    pub all: Vec<Case>,
    /// Test images of each class, in class order.
    pub counts: Vec<usize>,
    /// CARE against the control on the test images of each class, in class order; none for a class without any.
    pub differences: Vec<Option<McNemar>>,
}

impl Cases {
    pub fn new(run: &TrainingRun, project: &Project) -> Self {
        let label: HashMap<ClassId, usize> = project
            .classes()
            .iter()
            .enumerate()
            .map(|(index, class)| (class.id, index))
            .collect();
        let mut all: Vec<Case> = Vec::new();
        let mut place_of: HashMap<ImageId, usize> = HashMap::new();
        for (role, images) in &run.test {
            for (place, attention) in images.iter().enumerate() {
                let image = attention.image;
                let Some(label) = project
                    .image(image)
                    .and_then(|i| label.get(&i.class).copied())
                else {
                    continue;
                };
                let case = *place_of.entry(image).or_insert_with(|| {
                    all.push(Case {
                        image,
                        label,
                        seen: [None; 3],
                    });
                    all.len() - 1
                });
                all[case].seen[*role as usize] = Some(Seen {
                    place,
                    predicted: argmax(&attention.probabilities),
                    energy: attention.energy,
                });
            }
        }
        let num_classes = project.classes().len();
        let mut counts = vec![0; num_classes];
        let mut right = vec![(Vec::new(), Vec::new()); num_classes];
        for case in &all {
            counts[case.label] += 1;
            if let (Some(control), Some(care)) = (
                case.is_right(ModelRole::Control),
                case.is_right(ModelRole::Care),
            ) {
                right[case.label].0.push(control);
                right[case.label].1.push(care);
            }
        }
        let differences = right
            .iter()
            .map(|(control, care)| (!care.is_empty()).then(|| mcnemar_exact(control, care)))
            .collect();
        Self {
            key: Key::of(run, project),
            all,
            counts,
            differences,
        }
    }

    /// The class that the room opens with: the first rare one that has test images, else the first that has any.
    pub fn first_class(&self, project: &Project) -> usize {
        let has_images = |index: &usize| self.counts[*index] > 0;
        let rare = |index: &usize| project.classes()[*index].rare;
        let all = 0..self.counts.len();
        all.clone()
            .filter(has_images)
            .find(rare)
            .or_else(|| all.clone().find(has_images))
            .unwrap_or(0)
    }

    /// Places in [`all`](Self::all) of a class's images, in the figure's order.
    pub fn of_class(&self, class: usize, order: Order, project: &Project) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.all.len())
            .filter(|place| self.all[*place].label == class)
            .collect();
        let name = |place: usize| project.image(self.all[place].image).map(|i| i.name());
        let energy = |place: usize| {
            let case = &self.all[place];
            // A run that was stopped early has no CARE; then what there is last.
            ModelRole::ALL
                .iter()
                .rev()
                .find_map(|role| case.seen(*role))
                .and_then(|seen| seen.energy)
        };
        match order {
            Order::Name => places.sort_by_key(|place| name(*place)),
            Order::LeastInTheBox => places.sort_by(|a, b| {
                let by_energy = match (energy(*a), energy(*b)) {
                    (Some(a), Some(b)) => a.total_cmp(&b),
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (None, None) => Ordering::Equal,
                };
                by_energy.then_with(|| name(*a).cmp(&name(*b)))
            }),
        }
        places
    }

    /// The images behind a cell of a confusion matrix.
    pub fn in_cell(&self, cell: Cell) -> Vec<ImageId> {
        self.all
            .iter()
            .filter(|case| {
                case.label == cell.label
                    && case.seen(cell.role).map(|seen| seen.predicted) == Some(cell.predicted)
            })
            .map(|case| case.image)
            .collect()
    }

    /// The cell that the room opens with: what the control (else CARE, else the model before) most often takes a
    /// rare class for.
    pub fn most_telling_cell(&self, project: &Project) -> Option<Cell> {
        let rare = |case: &&Case| project.classes()[case.label].rare;
        [ModelRole::Control, ModelRole::Care, ModelRole::Before]
            .into_iter()
            .find_map(|role| {
                let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
                for case in self.all.iter().filter(rare) {
                    let predicted = case.seen(role).map(|seen| seen.predicted);
                    if let Some(predicted) = predicted.filter(|p| *p != case.label) {
                        *counts.entry((case.label, predicted)).or_default() += 1;
                    }
                }
                // Of equal counts the first in class order, so that the room always opens alike.
                counts
                    .into_iter()
                    .max_by_key(|(cell, n)| (*n, std::cmp::Reverse(*cell)))
                    .map(|((label, predicted), _)| Cell {
                        role,
                        label,
                        predicted,
                    })
            })
    }
}

/// The map and probabilities behind a [`Seen`].
pub(super) fn attention(run: &TrainingRun, role: ModelRole, seen: Seen) -> Option<&ImageAttention> {
    let (_, images) = run.test.iter().find(|(r, _)| *r == role)?;
    images.get(seen.place)
}
