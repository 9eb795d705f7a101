//! The test images, put in order once for everything that the room shows: as each model of a run saw them, and one of
//! another run where two are compared.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};

use care_data::{ClassId, ImageId, Project, RunId};
use care_learn::ModelRole;
use care_learn::event::ImageAttention;
use care_learn::metrics::{argmax, mcnemar_exact};
use care_learn::task::TaskClass;

use crate::comparison::OtherRun;
use crate::findings::{self, Found, WRONG_REASON};
use crate::training::TrainingRun;

/// The order of the figure's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Order {
    /// Those that CARE, or the last model that there is, gets right for the wrong reason, then as below.
    #[default]
    WrongReason,
    /// By the share of this model's attention in the box; images without one come last.
    LeastInTheBox,
    /// By how much less of the second model's attention is in the box than of the first's, of those that are compared.
    Lost,
    Name,
}

impl Order {
    pub const ALL: [Self; 4] = [
        Self::WrongReason,
        Self::LeastInTheBox,
        Self::Lost,
        Self::Name,
    ];

    pub fn text(self) -> &'static str {
        match self {
            Self::LeastInTheBox => "least in the box first",
            Self::WrongReason => "wrong reason first",
            Self::Lost => "lost most of it first",
            Self::Name => "by name",
        }
    }
}

/// Which of the test images are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    All,
    /// By the index of the class.
    Class(usize),
    /// Some model is right for the wrong reason.
    WrongReason,
    /// The two models that are compared do not agree on whether it is of its class.
    Disagree,
}

impl Which {
    pub fn id(self) -> (u8, usize) {
        match self {
            Self::All => (0, 0),
            Self::Class(class) => (1, class),
            Self::WrongReason => (2, 0),
            Self::Disagree => (3, 0),
        }
    }

    pub fn text(self, cases: &Cases) -> String {
        match self {
            Self::All => "all test images".to_owned(),
            Self::Class(class) => cases.class_name(class).to_owned(),
            Self::WrongReason => "right for the wrong reason".to_owned(),
            Self::Disagree => "only one of the two right".to_owned(),
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
    /// Of the image's own class.
    pub probability: f32,
    /// Share of the attention in the box.
    pub energy: Option<f32>,
    pub hit: Option<bool>,
    pub iou: Option<f32>,
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

/// A test image as every model saw it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Case {
    pub image: ImageId,
    /// Index into the run's classes.
    pub label: usize,
    /// In the order of [`Cases::models`].
    pub seen: Vec<Option<Seen>>,
}

impl Case {
    pub fn seen(&self, model: usize) -> Option<Seen> {
        self.seen.get(model).copied().flatten()
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

    pub fn is_right(&self, model: usize) -> Option<bool> {
        self.seen(model).map(|seen| seen.predicted == self.label)
    }

    pub fn is_for_the_wrong_reason(&self, model: usize) -> bool {
        let seen = self.seen(model);
        seen.is_some_and(|seen| self.reading(seen) == Reading::WrongReason)
    }

    pub fn energy(&self, model: usize) -> Option<f32> {
        self.seen(model)?.energy
    }
}

/// A column: one of the run's models, or that of the other run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    pub run: RunId,
    pub role: ModelRole,
    /// "CARE", or "CARE, run 2".
    pub name: String,
    pub is_other: bool,
}

/// A class as the run learned it, with its colour of today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CaseClass {
    pub name: String,
    pub rare: bool,
    pub color: u32,
}

/// One cell of one model's confusion matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Cell {
    pub model: usize,
    pub label: usize,
    pub predicted: usize,
}

/// What the cases were made from: made anew where any of it changes, and not where something is said about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub run: RunId,
    /// Of the images.
    revision: u64,
    num_models: usize,
    other: Option<(RunId, ModelRole)>,
}

impl Key {
    pub fn of(run: &TrainingRun, other: Option<&OtherRun>, project: &Project) -> Self {
        Self {
            run: run.id,
            revision: project.images_revision(),
            num_models: run.test.len(),
            other: other.map(|other| (other.run.id, other.role)),
        }
    }
}

impl Key {
    /// Of the same models: only boxes, labels or marks can be others.
    pub fn is_of_the_same(self, other: Self) -> bool {
        let without = |key: Self| Self { revision: 0, ..key };
        without(self) == without(other)
    }
}

pub(super) struct Cases {
    pub key: Key,
    /// The run's own in the order of [`ModelRole::ALL`], then the other run's.
    pub models: Vec<Model>,
    pub classes: Vec<CaseClass>,
    pub all: Vec<Case>,
    /// Test images of each class, in class order.
    pub counts: Vec<usize>,
    /// Groups, such as patients, that the test images of each class come from.
    pub groups: Vec<usize>,
    /// Images whose class is another one now than when the run was tested; none where that cannot be told.
    pub relabelled: Option<usize>,
    /// The same of the other run.
    pub other_relabelled: Option<(RunId, usize)>,
    /// Why the other run cannot be compared.
    pub not_comparable: Option<String>,
}

impl Cases {
    pub fn new(run: &TrainingRun, other: Option<&OtherRun>, project: &Project) -> Self {
        let key = Key::of(run, other, project);
        let learned = classes_of(run, project);
        let not_comparable = other.and_then(|other| not_comparable(&learned, other, project));
        let other = other.filter(|_| not_comparable.is_none());
        let label: HashMap<ClassId, usize> = learned
            .iter()
            .enumerate()
            .map(|(index, class)| (class.id, index))
            .collect();
        let mut models: Vec<Model> = run
            .test
            .iter()
            .map(|(role, _)| Model {
                run: run.id,
                role: *role,
                name: role.name().to_owned(),
                is_other: false,
            })
            .collect();
        let mut lists: Vec<&[ImageAttention]> = run.test.iter().map(|(_, it)| &it[..]).collect();
        let mut shared: Option<HashSet<ImageId>> = None;
        if let Some((other, images)) = other.and_then(|it| Some((it, it.test()?))) {
            models.push(Model {
                run: other.run.id,
                role: other.role,
                name: format!("{}, run {}", other.role.name(), other.run.id),
                is_other: true,
            });
            lists.push(images);
            shared = Some(images.iter().map(|it| it.image).collect());
        }
        let mut all: Vec<Case> = Vec::new();
        let mut place_of: HashMap<ImageId, usize> = HashMap::new();
        for (model, images) in lists.iter().enumerate() {
            for (place, attention) in images.iter().enumerate() {
                let image = attention.image;
                let Some(label) = project
                    .image(image)
                    .and_then(|i| label.get(&i.class).copied())
                    .filter(|_| shared.as_ref().is_none_or(|it| it.contains(&image)))
                else {
                    continue;
                };
                let is_new = !place_of.contains_key(&image);
                if is_new && models[model].is_other {
                    continue;
                }
                let case = *place_of.entry(image).or_insert_with(|| {
                    all.push(Case {
                        image,
                        label,
                        seen: vec![None; models.len()],
                    });
                    all.len() - 1
                });
                let probability = attention.probabilities.get(label);
                all[case].seen[model] = Some(Seen {
                    place,
                    predicted: argmax(&attention.probabilities),
                    probability: probability.copied().unwrap_or(0.0),
                    energy: attention.energy,
                    hit: attention.hit,
                    iou: attention.iou,
                });
            }
        }
        let mut counts = vec![0; learned.len()];
        let mut groups = vec![BTreeSet::new(); learned.len()];
        for case in &all {
            counts[case.label] += 1;
            groups[case.label].extend(project.image(case.image).map(|it| it.group.as_str()));
        }
        let label_of = |id: ImageId| label.get(&project.image(id)?.class).copied();
        let other_relabelled =
            other.and_then(|it| Some((it.run.id, relabelled(&it.run, label_of)?)));
        Self {
            key,
            models,
            classes: learned
                .iter()
                .enumerate()
                .map(|(index, class)| CaseClass {
                    name: class.name.clone(),
                    rare: class.rare,
                    color: project
                        .class(class.id)
                        .map_or(index as u32, |class| class.color),
                })
                .collect(),
            all,
            counts,
            groups: groups.iter().map(BTreeSet::len).collect(),
            relabelled: relabelled(run, label_of),
            other_relabelled,
            not_comparable,
        }
    }

    /// Whether it is the same images, each of the same class, and the same classes are rare.
    pub fn is_labelled_as(&self, other: &Self) -> bool {
        let labels = |cases: &Self| -> Vec<_> {
            let all = cases.all.iter();
            all.map(|case| (case.image, case.label)).collect()
        };
        let rare = |cases: &Self| -> Vec<bool> { cases.classes.iter().map(|it| it.rare).collect() };
        labels(self) == labels(other) && rare(self) == rare(other)
    }

    pub fn class_name(&self, class: usize) -> &str {
        self.classes.get(class).map_or("", |class| &class.name)
    }

    pub fn model(&self, role: ModelRole) -> Option<usize> {
        let is_it = |model: &Model| model.role == role && !model.is_other;
        self.models.iter().position(is_it)
    }

    /// CARE of the run that is shown, or the last model that it has.
    pub fn care(&self) -> usize {
        let own = self.models.iter().filter(|model| !model.is_other).count();
        self.model(ModelRole::Care).unwrap_or(own.saturating_sub(1))
    }

    /// The two models that the room begins with: the other run's, or else the control (or the one before), against CARE, or
    /// what there is.
    pub fn first_pair(&self) -> [usize; 2] {
        let second = self.care();
        let first = self.models.iter().position(|model| model.is_other);
        let first = first
            .or_else(|| self.model(ModelRole::Control))
            .or_else(|| self.model(ModelRole::Before));
        [first.unwrap_or(0), second]
    }

    /// Whether each image was recognised by both models, over those of a class that both saw, or of all rare ones.
    fn rights(&self, pair: [usize; 2], of: impl Fn(usize) -> bool) -> [Vec<bool>; 2] {
        let mut rights = [Vec::new(), Vec::new()];
        for case in self.all.iter().filter(|case| of(case.label)) {
            if let [Some(first), Some(second)] = pair.map(|model| case.is_right(model)) {
                rights[0].push(first);
                rights[1].push(second);
            }
        }
        rights
    }

    /// The second model against the first on the test images of these classes; none without any.
    pub fn found(&self, pair: [usize; 2], of: impl Fn(usize) -> bool) -> Option<Found> {
        let [first, second] = self.rights(pair, of);
        let count = |rights: &[bool]| rights.iter().filter(|right| **right).count();
        (!first.is_empty()).then(|| Found {
            right: [count(&first), count(&second)],
            test: mcnemar_exact(&first, &second),
        })
    }

    /// As [`Self::found`], over all rare classes.
    pub fn found_rare(&self, pair: [usize; 2]) -> Option<Found> {
        self.found(pair, |label| self.classes[label].rare)
    }

    /// A model as a sentence has it.
    pub fn called(&self, model: usize) -> String {
        let Some(model) = self.models.get(model) else {
            return String::new();
        };
        let name = match model.role {
            ModelRole::Before => "the model before",
            ModelRole::Control => "the control",
            ModelRole::Care => "CARE",
        };
        if model.is_other {
            format!("{name} of run {}", model.run)
        } else {
            name.to_owned()
        }
    }

    /// The class that the room opens with: the first rare one that has test images, else the first that has any.
    pub fn first_class(&self) -> usize {
        let has_images = |index: &usize| self.counts[*index] > 0;
        let rare = |index: &usize| self.classes[*index].rare;
        let all = 0..self.counts.len();
        all.clone()
            .filter(has_images)
            .find(rare)
            .or_else(|| all.clone().find(has_images))
            .unwrap_or(0)
    }

    pub fn is_in(&self, case: &Case, which: Which, [first, second]: [usize; 2]) -> bool {
        match which {
            Which::All => true,
            Which::Class(class) => case.label == class,
            Which::WrongReason => {
                (0..self.models.len()).any(|model| case.is_for_the_wrong_reason(model))
            }
            Which::Disagree => match (case.is_right(first), case.is_right(second)) {
                (Some(a), Some(b)) => a != b,
                _ => false,
            },
        }
    }

    /// Places in [`all`](Self::all), in order.
    pub fn rows(
        &self,
        which: Which,
        order: Order,
        pair: [usize; 2],
        project: &Project,
    ) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.all.len())
            .filter(|place| self.is_in(&self.all[*place], which, pair))
            .collect();
        let name = |place: usize| project.image(self.all[place].image).map(|i| i.name());
        let care = self.care();
        let energy = |place: usize| self.all[place].energy(care);
        let [first, second] = pair;
        let change =
            |place: usize| Some(self.all[place].energy(second)? - self.all[place].energy(first)?);
        let right_elsewhere = |place: usize| self.all[place].is_for_the_wrong_reason(care);
        let ascending = |a: Option<f32>, b: Option<f32>| match (a, b) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        places.sort_by(|a, b| {
            let by = match order {
                Order::Name => Ordering::Equal,
                Order::LeastInTheBox => ascending(energy(*a), energy(*b)),
                Order::WrongReason => right_elsewhere(*b)
                    .cmp(&right_elsewhere(*a))
                    .then_with(|| ascending(energy(*a), energy(*b))),
                Order::Lost => ascending(change(*a), change(*b)),
            };
            by.then_with(|| name(*a).cmp(&name(*b)))
        });
        places
    }

    pub fn case(&self, image: ImageId) -> Option<&Case> {
        self.all.iter().find(|case| case.image == image)
    }

    /// The images behind a cell of a confusion matrix.
    pub fn in_cell(&self, cell: Cell) -> Vec<ImageId> {
        self.all
            .iter()
            .filter(|case| {
                case.label == cell.label
                    && case.seen(cell.model).map(|seen| seen.predicted) == Some(cell.predicted)
            })
            .map(|case| case.image)
            .collect()
    }

    /// The cell that the room opens with: what the control (else CARE, else the model before) most often takes a
    /// rare class for.
    pub fn most_telling_cell(&self) -> Option<Cell> {
        let rare = |case: &&Case| self.classes[case.label].rare;
        [ModelRole::Control, ModelRole::Care, ModelRole::Before]
            .into_iter()
            .filter_map(|role| self.model(role))
            .find_map(|model| {
                let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
                for case in self.all.iter().filter(rare) {
                    let predicted = case.seen(model).map(|seen| seen.predicted);
                    if let Some(predicted) = predicted.filter(|p| *p != case.label) {
                        *counts.entry((case.label, predicted)).or_default() += 1;
                    }
                }
                // Of equal counts the first in class order, so that the room always opens alike.
                counts
                    .into_iter()
                    .max_by_key(|(cell, n)| (*n, std::cmp::Reverse(*cell)))
                    .map(|((label, predicted), _)| Cell {
                        model,
                        label,
                        predicted,
                    })
            })
    }
}

/// The classes in logit order: as the run's folder has them, or today's where it has none.
pub(super) fn classes_of(run: &TrainingRun, project: &Project) -> Vec<TaskClass> {
    if let Some(data) = &run.data {
        return data.classes.clone();
    }
    let classes = project.classes().iter();
    classes
        .map(|class| TaskClass {
            id: class.id,
            name: class.name.clone(),
            rare: class.rare,
        })
        .collect()
}

fn not_comparable(learned: &[TaskClass], other: &OtherRun, project: &Project) -> Option<String> {
    let ids = |classes: &[TaskClass]| classes.iter().map(|it| it.id).collect::<Vec<_>>();
    if ids(learned) != ids(&classes_of(&other.run, project)) {
        let why = format!(
            "Run {} learned other classes, so the two cannot be compared.",
            other.run.id
        );
        return Some(why);
    }
    other.test().is_none().then(|| {
        format!(
            "Run {} has no model {} that was tested.",
            other.run.id,
            other.role.name()
        )
    })
}

/// As [`findings::relabelled`], of the run's first model; `label_of` says an image's class of today as the run's index, as
/// far as it has one.
fn relabelled(run: &TrainingRun, label_of: impl Fn(ImageId) -> Option<usize>) -> Option<usize> {
    let (role, summary) = run.results.as_ref()?.summaries.first()?;
    let (_, images) = run.test.iter().find(|(it, _)| it == role)?;
    let today = images
        .iter()
        .filter_map(|seen| Some((label_of(seen.image)?, argmax(&seen.probabilities))));
    findings::relabelled(&summary.confusion, today)
}

/// The map and probabilities behind a [`Seen`].
pub(super) fn attention<'a>(
    run: &'a TrainingRun,
    other: Option<&'a OtherRun>,
    model: &Model,
    seen: Seen,
) -> Option<&'a ImageAttention> {
    let images = if model.is_other {
        other?.test()?
    } else {
        let (_, images) = run.test.iter().find(|(role, _)| *role == model.role)?;
        images
    };
    images.get(seen.place)
}

#[cfg(test)]
mod tests {
    use care_data::import::{Import, NewImage};
    use care_data::{ContentHash, Edit, ImageSize, Orientation, Part, RunState, SplitSpec};
    use care_learn::RunConfig;

    use super::*;

    #[test]
    fn what_is_said_about_a_run_leaves_the_cases_as_they_are() {
        let root = tempfile::tempdir().expect("a folder");
        let mut project = Project::create(&root.path().join("few.care")).expect("a project");
        let image = NewImage {
            path: root.path().join("1.png"),
            hash: ContentHash::of(&[1]),
            size: ImageSize::new(8, 8),
            orientation: Orientation::default(),
            class: "nevus".to_owned(),
            group: None,
            patient: None,
            part: Some(Part::Test),
            boxes: Vec::new(),
        };
        let import = Import {
            images: vec![image],
            not_read: Vec::new(),
            split: SplitSpec::default(),
        };
        project.take_in(import).expect("taken in");
        let class = project.classes()[0].id;
        let (run, _) = project.begin_run().expect("a run");
        let ended = project.end_run(run, RunState::Finished, "", &[]);
        ended.expect("recorded");
        let shown = TrainingRun::new(run, RunConfig::default(), Vec::new());
        let before = Key::of(&shown, None, &project);
        for edit in [
            Edit::SetRunStar { run, starred: true },
            Edit::SetRunName {
                run,
                name: "more boxes".to_owned(),
            },
            Edit::SetRunRemark {
                run,
                remark: "a ruler".to_owned(),
            },
        ] {
            project.apply(edit).expect("an edit");
            assert!(Key::of(&shown, None, &project) == before);
        }
        let rare = Edit::SetRare { class, rare: true };
        project.apply(rare).expect("an edit");
        let after = Key::of(&shown, None, &project);
        assert!(after != before && after.is_of_the_same(before));
    }
}
