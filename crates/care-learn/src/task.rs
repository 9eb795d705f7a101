//! What a run is to do: a snapshot of the project, so that the trainer never looks at the project itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use care_data::{
    BoundingBox, ClassId, ContentHash, ImageId, ImageSize, Look, Part, Project, ReviewState, RunId,
    RunState,
};
use serde::{Deserialize, Serialize};

use crate::config::{KeyMetric, Precision, Reviewed, RunConfig};
use crate::device::{available_memory, processor_has_bf16};

/// One image to train or test on.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub image: ImageId,
    pub path: PathBuf,
    /// As shown; the boxes are in its pixels.
    pub size: ImageSize,
    /// Index into the task's classes.
    pub label: usize,
    pub part: Part,
    pub boxes: Vec<BoundingBox>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskClass {
    pub id: ClassId,
    pub name: String,
    pub rare: bool,
}

#[derive(Debug, Clone)]
pub struct Task {
    pub config: RunConfig,
    /// In logit order.
    pub classes: Vec<TaskClass>,
    /// How grey images are seen.
    pub look: Look,
    pub samples: Vec<Sample>,
    /// Held-out images shown in the film, in order.
    pub watch: Vec<ImageId>,
    /// The run's own folder; everything written goes there.
    pub folder: PathBuf,
    /// Other runs with their folders: stage 1 is that of the first of them which trained it from the same images with the same
    /// settings, and trained only where there is none.
    pub others: Vec<(RunId, PathBuf)>,
    /// Whether the run in its folder goes on where it was left.
    pub goes_on: bool,
    pub fingerprint: Fingerprint,
}

/// Hashes (BLAKE3 in hexadecimal) of what a run is given. Where two runs' are the same, so were their data, wherever the files lay
/// and in whichever order they came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The images' content, each with its class.
    pub images: String,
    /// In which part each of them stands.
    pub split: String,
    /// Their boxes.
    pub boxes: String,
}

impl Fingerprint {
    fn of(project: &Project, classes: &[TaskClass], samples: &[Sample]) -> Self {
        let mut by_content: Vec<(ContentHash, &Sample)> = samples
            .iter()
            .filter_map(|sample| Some((project.image(sample.image)?.hash, sample)))
            .collect();
        by_content.sort_by_key(|(hash, sample)| (hash.0, sample.image));
        let [mut images, mut split, mut boxes] = [(); 3].map(|()| blake3::Hasher::new());
        for (hash, sample) in by_content {
            for hasher in [&mut images, &mut split, &mut boxes] {
                hasher.update(&hash.0);
            }
            let class = classes.get(sample.label).map_or("", |class| &class.name);
            images.update(class.as_bytes()).update(b"\0");
            split.update(sample.part.name().as_bytes());
            for edge in sample.boxes.iter().flat_map(|rect| rect.xyxy()) {
                boxes.update(&edge.to_le_bytes());
            }
        }
        let [images, split, boxes] =
            [images, split, boxes].map(|hasher| hasher.finalize().to_hex().to_string());
        Self {
            images,
            split,
            boxes,
        }
    }
}

impl Task {
    /// The project as it stands now, its other runs the newest first. `folder` is the run's own
    /// ([`Project::begin_run`](care_data::Project::begin_run)).
    #[must_use]
    pub fn from_project(
        project: &Project,
        config: RunConfig,
        folder: PathBuf,
        watch: Vec<ImageId>,
    ) -> Self {
        let classes: Vec<TaskClass> = project
            .classes()
            .iter()
            .map(|class| TaskClass {
                id: class.id,
                name: class.name.clone(),
                rare: class.rare,
            })
            .collect();
        let others = project.runs().iter().rev();
        let others = others.filter(|run| run.state != RunState::Running);
        let mut samples = samples_of(project, &classes);
        let training = samples.iter_mut().filter(|s| s.part == Part::Train);
        for sample in training {
            sample.boxes = boxes_to_train_on(project, sample.image, config.boxes);
        }
        if config.boxes == Reviewed::Done {
            let state = |s: &Sample| project.review(None, s.image).state;
            samples.retain(|s| s.part != Part::Train || state(s) != ReviewState::SecondLook);
        }
        Self {
            fingerprint: Fingerprint::of(project, &classes, &samples),
            config,
            look: project.look(),
            samples,
            classes,
            watch,
            folder,
            others: others
                .map(|run| (run.id, project.run_dir(run.id)))
                .collect(),
            goes_on: false,
        }
    }

    /// Whether each class, in logit order, is marked rare.
    #[must_use]
    pub fn rare(&self) -> Vec<bool> {
        self.classes.iter().map(|class| class.rare).collect()
    }
}

/// What a run learns from of a training image's boxes.
#[must_use]
pub fn boxes_to_train_on(
    project: &Project,
    image: ImageId,
    reviewed: Reviewed,
) -> Vec<BoundingBox> {
    if reviewed == Reviewed::Done && project.review(None, image).state != ReviewState::Done {
        return Vec::new();
    }
    project.boxes(image).iter().map(|a| a.rect).collect()
}

/// The project's images of these classes, labelled by their order.
#[must_use]
pub fn samples_of(project: &Project, classes: &[TaskClass]) -> Vec<Sample> {
    let label: BTreeMap<ClassId, usize> = classes
        .iter()
        .enumerate()
        .map(|(i, class)| (class.id, i))
        .collect();
    project
        .images()
        .iter()
        .filter_map(|image| {
            Some(Sample {
                image: image.id,
                path: project.path_of(image),
                size: image.size,
                label: *label.get(&image.class)?,
                part: image.part,
                boxes: project.boxes(image.id).iter().map(|a| a.rect).collect(),
            })
        })
        .collect()
}

/// At most `n` held-out images for the film: up to three quarters of them rare ones, those with boxes first, spread from hard to
/// easy; the rest others, with boxes where there are any, as evenly of each class as there are. Where one kind is short, the
/// other takes its places. From the test part, and from validation where the test part has no rare image.
///
/// `ease` says how sure a model was of an image's own class, 0..=1, where there was one to ask; where it knows nothing, images are
/// spread over the order in which they came in. The same project and ease give the same list.
#[must_use]
pub fn pick_watch_list(
    project: &Project,
    n: usize,
    ease: impl Fn(ImageId) -> Option<f32>,
) -> Vec<ImageId> {
    let is_rare = |class: ClassId| project.class(class).is_some_and(|class| class.rare);
    let held_out = |part: Part| {
        let images = project.images().iter();
        images.filter(move |image| image.part == part)
    };
    let test_has_rare = held_out(Part::Test).any(|image| is_rare(image.class));
    let part = if test_has_rare {
        Part::Test
    } else {
        Part::Validation
    };
    // Hard first; of those that no model has seen, in the order of the project, behind them.
    let by_ease = |mut images: Vec<ImageId>| {
        images.sort_by(|a, b| {
            let [ease_a, ease_b] = [a, b].map(|image| ease(*image).unwrap_or(f32::INFINITY));
            ease_a.total_cmp(&ease_b).then(a.cmp(b))
        });
        images
    };
    let of = |part: Part, class: ClassId, boxed: bool| {
        let images = held_out(part)
            .filter(|image| image.class == class && project.boxes(image.id).is_empty() != boxed);
        by_ease(images.map(|image| image.id).collect())
    };
    let classes = |rare: bool| {
        project
            .classes()
            .iter()
            .filter(move |class| class.rare == rare)
    };
    let rare = |boxed: bool| {
        let images = classes(true).flat_map(|class| of(part, class.id, boxed));
        by_ease(images.collect())
    };
    let (boxed, not_boxed) = (rare(true), rare(false));
    // Without a rare image, whatever can be scored, wherever it is held out.
    let common: Vec<Vec<ImageId>> = classes(false)
        .map(|class| {
            let other = (!test_has_rare).then_some(Part::Test);
            let parts = std::iter::once(part).chain(other);
            let mut images: Vec<_> = parts.flat_map(|part| of(part, class.id, true)).collect();
            if images.is_empty() && !boxed.is_empty() {
                images = of(part, class.id, false);
            }
            images
        })
        .collect();
    let num_common: usize = common.iter().map(Vec::len).sum();
    let num_rare = (boxed.len() + not_boxed.len()).min(n - num_common.min(n / 4));
    let mut watch = spread(&boxed, num_rare);
    watch.extend(spread(&not_boxed, num_rare - watch.len()));
    watch.extend(in_turn(&common, n - watch.len()));
    watch
}

/// `n` of them at even distances, the first and the last included where there are two or more.
fn spread(images: &[ImageId], n: usize) -> Vec<ImageId> {
    let n = n.min(images.len());
    let last = images.len().saturating_sub(1);
    (0..n)
        .map(|i| images[(i * last + (n - 1) / 2) / (n - 1).max(1)])
        .collect()
}

/// `n` of them, one of each class after the other, each class spread.
fn in_turn(classes: &[Vec<ImageId>], n: usize) -> Vec<ImageId> {
    let mut shares = vec![0; classes.len()];
    let mut left = n;
    while left > 0 {
        let before = left;
        for (share, images) in shares.iter_mut().zip(classes) {
            if left > 0 && *share < images.len() {
                *share += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    let classes = classes.iter().zip(shares);
    classes.flat_map(|(images, n)| spread(images, n)).collect()
}

/// Something that stands between a project and a run worth having.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    #[error("There is nothing to train: the training part has no images. Add images first.")]
    NoTrainingImages,
    #[error("Only one class has training images. Add images of a second class.")]
    OneClass,
    #[error("No class is marked as rare. Mark the rare class in Images.")]
    NoRareClass,
    #[error(
        "No training image has a box, so CARE has nothing to teach. Draw boxes on the rare images in Annotate."
    )]
    NoBoxes,
    #[error(
        "Only boxes of images that are done count, and no such training image has one. In Annotate press Enter on them, or confirm all under the funnel; or train on every image's boxes."
    )]
    NoDoneBoxes,
    #[error(
        "Class \"{class}\" is marked as rare, but none of its {images} training images has a box. Draw some in Annotate."
    )]
    RareWithoutBoxes { class: String, images: usize },
    #[error("Class \"{class}\" has {images} training image{s}. Add more, or expect little of it.", s = if *images == 1 { "" } else { "s" })]
    FewImages { class: String, images: usize },
    #[error("The test part has no images, so nothing can be compared at the end. Add images.")]
    NoTestImages,
    #[error(
        "The test part has no image of a rare class, so its recall cannot be measured. Add images of it."
    )]
    NoRareTestImages,
    #[error(
        "At this input size the {images} images take {} GiB of memory, and {} GiB are free. Choose a smaller input size, or close other programs.",
        gib(*needed), gib(*available)
    )]
    Memory {
        images: usize,
        /// Bytes, as `available`.
        needed: u64,
        available: u64,
    },
    #[error(
        "The validation part has no {what}, so the best epoch cannot be told; the last one is kept. Add images, or keep the last epoch."
    )]
    NoKeyMetric { what: &'static str },
    #[error(
        "This processor has no bfloat16 of its own: without a GPU, bf16 is slower than fp32. Choose fp32 unless one is used."
    )]
    SlowBf16,
    #[error("{0}.")]
    Config(#[from] crate::config::ConfigError),
}

fn gib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 30))
}

/// Where the key metric of the settings has nothing to be measured on.
fn no_key_metric(task: &Task) -> Option<Problem> {
    let mut validation = task.samples.iter().filter(|s| s.part == Part::Validation);
    let (measurable, what) = match task.config.key_metric {
        KeyMetric::None => return None,
        KeyMetric::Mca => (validation.next().is_some(), "images"),
        KeyMetric::RareRecall => (
            validation.any(|s| task.classes[s.label].rare),
            "image of a rare class",
        ),
        KeyMetric::Energy => (validation.any(|s| !s.boxes.is_empty()), "image with a box"),
    };
    (!measurable).then_some(Problem::NoKeyMetric { what })
}

/// All images are kept as the network reads them, three bytes a pixel.
fn memory_problem(images: usize, input_size: u32, available: u64) -> Option<Problem> {
    let needed = images as u64 * u64::from(input_size).pow(2) * 3;
    (needed > available).then_some(Problem::Memory {
        images,
        needed,
        available,
    })
}

impl Problem {
    /// Whether a run cannot begin; otherwise it is a caution.
    #[must_use]
    pub fn blocks(&self) -> bool {
        matches!(
            self,
            Self::NoTrainingImages
                | Self::OneClass
                | Self::NoRareClass
                | Self::NoBoxes
                | Self::NoDoneBoxes
                | Self::Config(_)
        )
    }
}

/// What is missing for a run, what blocks it first. Each is a sentence with what to do.
#[must_use]
pub fn preflight(project: &Project, config: &RunConfig) -> Vec<Problem> {
    check(&Task::from_project(
        project,
        config.clone(),
        PathBuf::new(),
        Vec::new(),
    ))
}

/// As [`preflight`], for a task.
#[must_use]
pub fn check(task: &Task) -> Vec<Problem> {
    let mut problems: Vec<Problem> = task
        .config
        .check()
        .err()
        .map(Problem::from)
        .into_iter()
        .collect();
    let train = |label: usize| {
        task.samples
            .iter()
            .filter(move |s| s.part == Part::Train && s.label == label)
    };
    let counts: Vec<usize> = (0..task.classes.len())
        .map(|label| train(label).count())
        .collect();
    match counts.iter().filter(|n| **n > 0).count() {
        0 => problems.push(Problem::NoTrainingImages),
        1 => problems.push(Problem::OneClass),
        _ => {}
    }
    if !task.classes.iter().any(|class| class.rare) {
        problems.push(Problem::NoRareClass);
    }
    let any_box = task
        .samples
        .iter()
        .any(|s| s.part == Part::Train && !s.boxes.is_empty());
    if !any_box {
        problems.push(match task.config.boxes {
            Reviewed::All => Problem::NoBoxes,
            Reviewed::Done => Problem::NoDoneBoxes,
        });
    }
    for (label, (class, &images)) in task.classes.iter().zip(&counts).enumerate() {
        let name = || class.name.clone();
        if class.rare && any_box && images > 0 && train(label).all(|s| s.boxes.is_empty()) {
            problems.push(Problem::RareWithoutBoxes {
                class: name(),
                images,
            });
        }
        if images < 2 && task.samples.iter().any(|s| s.label == label) {
            problems.push(Problem::FewImages {
                class: name(),
                images,
            });
        }
    }
    let mut test = task
        .samples
        .iter()
        .filter(|s| s.part == Part::Test)
        .peekable();
    if test.peek().is_none() {
        problems.push(Problem::NoTestImages);
    } else if task.classes.iter().any(|c| c.rare) && !test.any(|s| task.classes[s.label].rare) {
        problems.push(Problem::NoRareTestImages);
    }
    problems.extend(no_key_metric(task));
    if task.config.precision == Precision::Bf16 && !processor_has_bf16() {
        problems.push(Problem::SlowBf16);
    }
    problems.extend(available_memory().and_then(|available| {
        memory_problem(task.samples.len(), task.config.input_size, available)
    }));
    problems.sort_by_key(|problem| !problem.blocks());
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_spread_from_the_first_to_the_last() {
        let ids = |ids: &[i64]| ids.iter().map(|id| ImageId(*id)).collect::<Vec<_>>();
        let ten = ids(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        for (n, expected) in [
            (0, vec![]),
            (1, vec![0]),
            (2, vec![0, 9]),
            (4, vec![0, 3, 6, 9]),
            (10, vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
            (12, vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ] {
            assert_eq!(spread(&ten, n), ids(&expected), "{n}");
        }
        assert_eq!(spread(&[], 3), []);
        let classes = [ids(&[1, 2, 3]), ids(&[]), ids(&[4])];
        assert_eq!(in_turn(&classes, 3), ids(&[1, 3, 4]));
        assert_eq!(in_turn(&classes, 9), ids(&[1, 2, 3, 4]));
    }

    #[test]
    fn images_that_do_not_fit_into_memory_are_a_caution() {
        const GIB: u64 = 1 << 30;
        for (images, input_size, available, fits) in [
            (584, 96, GIB / 32, true),
            (10_000, 224, GIB, false),
            (10_000, 224, 2 * GIB, true),
            (1_000_000, 224, 64 * GIB, false),
        ] {
            let problem = memory_problem(images, input_size, available);
            assert_eq!(problem.is_none(), fits, "{images} {input_size} {available}");
        }
        let problem = memory_problem(10_000, 224, GIB).expect("too many");
        assert!(!problem.blocks());
        let text = problem.to_string();
        assert!(
            text.contains("10000 images take 1.4 GiB") && text.contains("1.0 GiB are free"),
            "{text}"
        );
    }
}
