//! The demo that shows itself: steps, each with a sentence, what it does, and what must be true before the next begins.
//!
//! This is the state machine, which knows nothing of the window: it is told the time and what is true ([`Scene`]) and
//! answers with [`Cue`]s. What they ask for is real, commands as a person's, on a project of the story's own in a temporary
//! folder. The first key or click ends it ([`Story::take_over`]) and leaves everything as it is; after a failure that
//! nobody sees it begins anew.

use std::path::{Path, PathBuf};

use care_data::synthetic::Demo;
use care_data::{BoundingBox, ImageId, Part, Project, RunState};
use care_learn::event::{FilmFrame, ImageAttention};
use care_learn::{ModelRole, RunConfig};
use tempfile::TempDir;

use crate::state::{BoxCounts, State};
use crate::training::Phase;

/// Boxes that are drawn before everybody's eyes, at least: images are left without until there are so many.
pub const BOXES: usize = 2;

/// Seconds until the pointer is where it presses, and until it lets go: of a box, of the button Train.
pub const POINTING: f64 = 1.0;
pub const DRAGGING: f64 = 2.4;

/// Seconds for which what went wrong is shown, before it begins anew.
pub const FAILED: f64 = 20.0;

/// What a story is told with.
pub struct Cast {
    pub demo: Demo,
    /// Of the images; the next telling has the next one.
    pub seed: u64,
    /// Its run is stopped when stage 1 is over: the model that nobody shows where to look. The run that follows goes on from it,
    /// since it has the same stage 1.
    pub config: RunConfig,
    /// Every box that it draws, image after image.
    pub boxes: Vec<(ImageId, BoundingBox)>,
    /// What the project lies in; gone with the story.
    pub folder: Option<TempDir>,
}

impl Cast {
    /// Before there is a project.
    #[must_use]
    pub fn new(demo: Demo, seed: u64, folder: TempDir) -> Self {
        Self {
            demo,
            seed,
            config: RunConfig {
                // Most of the attention moves in the first of them.
                stage2_epochs: 4,
                ..crate::demo::config(demo)
            },
            boxes: Vec::new(),
            folder: Some(folder),
        }
    }

    /// Where the project lies, and its images.
    #[must_use]
    pub fn places(&self) -> Option<(PathBuf, PathBuf)> {
        let folder = self.folder.as_ref()?.path();
        let project = folder.join(format!("{}-demo.care", self.demo.name()));
        Some((project, folder.join("images")))
    }
}

/// The steps of the story, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The images are drawn.
    Making,
    Imbalance,
    /// A model learns without boxes.
    Plain,
    /// Where that model looks.
    Fooled,
    /// This box of the cast's is drawn.
    Box(usize),
    Train,
    /// Stage 2.
    Moving,
    Testing,
    Table,
    End,
}

impl Step {
    /// For so many seconds at least.
    fn seconds(self) -> f64 {
        match self {
            Self::Making | Self::Testing => 2.0,
            Self::Plain => 3.0,
            Self::Imbalance | Self::End => 8.0,
            Self::Fooled => 9.0,
            Self::Box(_) => DRAGGING + 0.8,
            Self::Train => DRAGGING + 0.4,
            Self::Moving => 4.0,
            Self::Table => 12.0,
        }
    }

    /// When [`Cue::Act`] comes, in seconds.
    fn acts_after(self) -> Option<f64> {
        match self {
            Self::Box(_) => Some(DRAGGING),
            Self::Train => Some(POINTING),
            _ => None,
        }
    }

    /// What must be true before the next step, whatever the time.
    fn is_done(self, scene: &Scene) -> bool {
        match self {
            Self::Making => scene.has_project,
            Self::Imbalance | Self::Table | Self::End => true,
            Self::Plain => scene.plain_is_ready || !scene.is_training,
            Self::Fooled => !scene.is_training,
            Self::Box(n) => scene.boxes_drawn > n,
            Self::Train => scene.is_training && scene.has_care_map,
            Self::Moving => scene.is_testing || !scene.is_training,
            Self::Testing => !scene.is_training,
        }
    }
}

/// What the story wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cue {
    /// A step begins.
    Begin(Step),
    /// The pointer has come to where it does something.
    Act(Step),
    /// From the beginning.
    Again,
}

/// What is true, as far as the story asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scene {
    pub has_project: bool,
    pub is_training: bool,
    /// Of the cast's.
    pub boxes_drawn: usize,
    /// Stage 1 of the plain run is over.
    pub plain_is_ready: bool,
    pub has_care_map: bool,
    pub is_testing: bool,
    /// Something went wrong, which the window shows.
    pub has_failed: bool,
}

impl Scene {
    /// As the window's state has it.
    #[must_use]
    pub fn of(state: &State, cast: &Cast) -> Self {
        let run = state.run.as_ref();
        let drawn = |project: &Project| {
            let boxes = cast.boxes.iter();
            boxes
                .take_while(|(image, rect)| project.boxes(*image).iter().any(|it| it.rect == *rect))
                .count()
        };
        let is_over = |phase: &Phase| matches!(phase, Phase::Ended(RunState::Finished));
        Self {
            has_project: state.project.is_some() && state.job.is_none(),
            is_training: state.is_training(),
            boxes_drawn: state.project.as_ref().map_or(0, drawn),
            plain_is_ready: run.is_some_and(|run| run.stage_two().is_some()),
            has_care_map: run.is_some_and(|run| run.frame(ModelRole::Care, None).is_some()),
            is_testing: run.is_some_and(|run| {
                is_over(&run.phase) || matches!(run.phase, Phase::Evaluating { .. })
            }),
            has_failed: state.problem.is_some()
                || run.is_some_and(|run| matches!(run.phase, Phase::Failed(_))),
        }
    }
}

/// A story being told, or one that a person has taken over.
pub struct Story {
    pub cast: Cast,
    /// The image in which it is shown where the models look.
    pub star: Option<ImageId>,
    telling: Option<Telling>,
    /// The project's [`images_revision`](Project::images_revision) from which on what changes is a person's.
    taken_at: Option<u64>,
}

struct Telling {
    steps: Vec<Step>,
    at: usize,
    /// When the step began; none before the first.
    since: Option<f64>,
    has_acted: bool,
    failed_at: Option<f64>,
}

impl Story {
    #[must_use]
    pub fn new(cast: Cast) -> Self {
        Self {
            telling: Some(Telling::new(cast.boxes.len())),
            cast,
            star: None,
            taken_at: None,
        }
    }

    /// The project is there, and with it the boxes to draw.
    pub fn meet(&mut self, boxes: Vec<(ImageId, BoundingBox)>) {
        if let Some(telling) = &mut self.telling {
            telling.steps = Telling::new(boxes.len()).steps;
        }
        self.cast.boxes = boxes;
    }

    #[must_use]
    pub fn is_playing(&self) -> bool {
        self.telling.is_some()
    }

    /// A person goes on from here, with the project as it is.
    pub fn take_over(&mut self, project: Option<&Project>) {
        self.telling = None;
        self.taken_at = project.map(Project::images_revision);
    }

    /// Whether a person changed something after taking over.
    #[must_use]
    pub fn was_worked_in(&self, project: &Project) -> bool {
        self.taken_at
            .is_some_and(|taken_at| project.images_revision() > taken_at)
    }

    /// The step that is shown, its place and how many there are.
    #[must_use]
    pub fn step(&self) -> Option<(Step, usize, usize)> {
        let telling = self.telling.as_ref()?;
        let step = telling.steps.get(telling.at)?;
        Some((*step, telling.at, telling.steps.len()))
    }

    /// Seconds since the step began.
    #[must_use]
    pub fn elapsed(&self, now: f64) -> f64 {
        let since = self.telling.as_ref().and_then(|telling| telling.since);
        since.map_or(0.0, |since| now - since)
    }

    /// Seconds until it begins anew after a failure; none without one.
    #[must_use]
    pub fn left_of_failure(&self, now: f64) -> Option<f64> {
        let failed_at = self.telling.as_ref()?.failed_at?;
        Some((failed_at + FAILED - now).max(0.0))
    }

    /// Seconds that the step still takes at least.
    #[must_use]
    pub fn left(&self, now: f64) -> f64 {
        let seconds = self.step().map_or(0.0, |(step, ..)| step.seconds());
        (seconds - self.elapsed(now)).max(0.0)
    }

    /// Whether something is drawn that moves.
    #[must_use]
    pub fn is_moving(&self, now: f64) -> bool {
        let step = self.step().map(|(step, ..)| step);
        matches!(step, Some(Step::Box(_) | Step::Train)) || self.elapsed(now) < 0.4
    }

    /// Whether the open project is the story's own.
    #[must_use]
    pub fn owns(&self, project: &Path) -> bool {
        let folder = self.cast.folder.as_ref();
        folder.is_some_and(|folder| {
            let folder = folder.path().canonicalize();
            folder.is_ok_and(|folder| project.starts_with(folder))
        })
    }

    /// What is to be done at `now`, in seconds of any clock.
    pub fn advance(&mut self, now: f64, scene: &Scene) -> Vec<Cue> {
        let Some(telling) = &mut self.telling else {
            return Vec::new();
        };
        if scene.has_failed && telling.failed_at.is_none() {
            telling.failed_at = Some(now);
        }
        if let Some(failed_at) = telling.failed_at {
            if now < failed_at + FAILED {
                return Vec::new();
            }
            // Where that fails as well, it is tried again later.
            telling.failed_at = None;
            return vec![Cue::Again];
        }
        let Some(&step) = telling.steps.get(telling.at) else {
            return vec![Cue::Again];
        };
        let Some(since) = telling.since else {
            telling.since = Some(now);
            return vec![Cue::Begin(step)];
        };
        let elapsed = now - since;
        let acts = step.acts_after().is_some_and(|after| elapsed >= after);
        if acts && !telling.has_acted {
            telling.has_acted = true;
            return vec![Cue::Act(step)];
        }
        if elapsed < step.seconds() || !step.is_done(scene) {
            return Vec::new();
        }
        telling.at += 1;
        telling.since = Some(now);
        telling.has_acted = false;
        let next = telling.steps.get(telling.at);
        vec![next.map_or(Cue::Again, |step| Cue::Begin(*step))]
    }
}

impl Telling {
    fn new(boxes: usize) -> Self {
        use Step::*;
        let before = [Making, Imbalance, Plain, Fooled];
        let after = [Train, Moving, Testing, Table, End];
        let boxes = (0..boxes).map(Box);
        Self {
            steps: before.into_iter().chain(boxes).chain(after).collect(),
            at: 0,
            since: None,
            has_acted: false,
            failed_at: None,
        }
    }
}

/// Of the images with boxes in a frame: how many there are, on how many most of the attention lies beside the boxes, and
/// on how many the strongest is beside them at the picture's edge, where rulers and markers are.
#[must_use]
pub fn beside_the_boxes(frame: &FilmFrame) -> (usize, usize, usize) {
    let energies = frame.images.iter().filter_map(|seen| seen.energy);
    let beside = energies.clone().filter(|energy| *energy < 0.5).count();
    let missed = frame.images.iter().filter(|seen| seen.hit == Some(false));
    let at_edge = missed.filter(|seen| peak_is_at_edge(seen)).count();
    (energies.count(), beside, at_edge)
}

fn peak_is_at_edge(seen: &ImageAttention) -> bool {
    let map = &seen.map;
    let values = map.values.iter().enumerate();
    let Some((peak, _)) = values.max_by(|a, b| a.1.total_cmp(b.1)) else {
        return false;
    };
    let (x, y) = (peak % map.width.max(1), peak / map.width.max(1));
    // A sixth of the picture: the band in which the demos' rulers and markers lie.
    let is_outer = |at: usize, of: usize| 6 * at < of || 6 * (at + 1) > 5 * of;
    is_outer(x, map.width) || is_outer(y, map.height)
}

/// The image that shows it best: the least attention in the boxes, the strongest at the edge where there is such a one.
#[must_use]
pub fn star(frame: &FilmFrame) -> Option<ImageId> {
    let scored = frame.images.iter().filter(|seen| seen.energy.is_some());
    let rank = |seen: &&ImageAttention| (!peak_is_at_edge(seen), seen.energy.unwrap_or(1.0));
    scored
        .min_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        })
        .map(|seen| seen.image)
}

/// What is said at a step, `now` in seconds.
#[must_use]
pub fn caption(story: &Story, step: Step, state: &State, now: f64) -> String {
    if let Some(left) = story.left_of_failure(now) {
        return format!(
            "Something went wrong. From the beginning in {:.0} s.",
            left.ceil()
        );
    }
    let left = story.left(now).ceil();
    let demo = story.cast.demo;
    let lesion = match demo {
        Demo::Skin => "lesion",
        Demo::Chest => "opacity",
    };
    let run = state.run.as_ref();
    let energy = |role| run.and_then(|run| run.frame(role, None)?.mean_energy());
    match step {
        Step::Making => {
            let drawn = state.job.as_ref().map_or(0, |job| job.progress().0);
            format!(
                "Being drawn now: {drawn} of {} images, a rare disease among common ones. Nothing you will see is recorded.",
                demo.num_images()
            )
        }
        Step::Imbalance => imbalance(state),
        Step::Plain => {
            "A plain model learns from them right now. Nobody shows it where to look.".to_owned()
        }
        Step::Fooled => {
            let frame = run.and_then(|run| run.frame(ModelRole::Before, None));
            match frame.map(beside_the_boxes) {
                Some((n, beside, at_edge)) if beside > 0 => {
                    let edge = match at_edge {
                        0 => String::new(),
                        at_edge => format!(
                            " On {at_edge} it is strongest at the edge, where {}s lie.",
                            demo.shortcut()
                        ),
                    };
                    format!(
                        "On {beside} of {n} held-out images less than half of its attention lies on the {lesion}.{edge}"
                    )
                }
                Some((n, _, _)) if n > 0 => format!(
                    "On all {n} held-out images most of its attention lies on the {lesion}. Boxes still say more."
                ),
                _ => format!("Nobody has told it what a {lesion} is. Boxes do."),
            }
        }
        Step::Box(0) => format!("So we show it where to look: a box round the {lesion}."),
        Step::Box(_) => {
            let BoxCounts { rare, boxed, .. } = state
                .project
                .as_ref()
                .map(BoxCounts::of)
                .unwrap_or_default();
            format!("A few seconds each. {boxed} of {rare} rare images have theirs.")
        }
        Step::Train => {
            "Train: CARE goes on from the plain model with boxes, its control without them."
                .to_owned()
        }
        Step::Moving => match (energy(ModelRole::Care), energy(ModelRole::Control)) {
            (Some(care), Some(control)) => {
                let moves = if care > control {
                    "attention moves into the boxes"
                } else {
                    "now the boxes count"
                };
                format!(
                    "Stage 2: {moves}. CARE has {care:.2} of it there, the control {control:.2}."
                )
            }
            _ => "Stage 2: now the boxes count.".to_owned(),
        },
        Step::Testing => {
            let images = state.project.iter().flat_map(|project| project.images());
            let test = images.filter(|image| image.part == Part::Test).count();
            format!("And now the test: {test} images that no model has learned from.")
        }
        Step::Table => table(state),
        Step::End => format!(
            "Drawn images, a small network, a single run. Any key and it is yours; again in {left:.0} s."
        ),
    }
}

fn imbalance(state: &State) -> String {
    let Some(project) = &state.project else {
        return String::new();
    };
    let train = |class: &care_data::Class| {
        let images = project.images().iter();
        images
            .filter(|image| image.class == class.id && image.part == Part::Train)
            .count()
    };
    let classes = project.classes().iter();
    let common = classes.clone().max_by_key(|class| train(class));
    let rare = classes.clone().find(|class| class.rare);
    let (Some(common), Some(rare)) = (common, rare) else {
        return String::new();
    };
    format!(
        "To learn from: {} images of {}, but only {} of {}.",
        train(common),
        common.name,
        train(rare),
        rare.name
    )
}

/// How many rare images each model finds.
fn table(state: &State) -> String {
    let results = state.run.as_ref().and_then(|run| run.results.as_ref());
    let found = |role| {
        let recall = results?.summary(role)?.rare_recall?;
        Some(((recall.value * f64::from(recall.n)).round(), recall.n))
    };
    let [plain, control, care] = ModelRole::ALL.map(found);
    match (plain, control, care) {
        (Some((plain, _)), Some((control, _)), Some((care, n))) => format!(
            "Of {n} rare test images CARE finds {care}, the control {control}, the plain model {plain}."
        ),
        _ => "The results, model by model.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(boxes: usize) -> Cast {
        let rect = BoundingBox::new(1.0, 1.0, 9.0, 9.0).expect("a box");
        Cast {
            demo: Demo::Skin,
            seed: 0,
            config: RunConfig::demo(),
            boxes: (0..boxes).map(|n| (ImageId(n as i64), rect)).collect(),
            folder: None,
        }
    }

    /// Cues until one of them is `last`, a tenth of a second apart.
    fn until(story: &mut Story, now: &mut f64, scene: &Scene, last: Cue) -> Vec<Cue> {
        let mut cues = Vec::new();
        for _ in 0..1000 {
            cues.extend(story.advance(*now, scene));
            if cues.last() == Some(&last) {
                return cues;
            }
            *now += 0.1;
        }
        panic!("{last:?} did not come after {cues:?}");
    }

    #[test]
    fn each_step_waits_for_what_must_be_true() {
        use Cue::{Act, Begin};
        let (mut story, mut now) = (Story::new(cast(2)), 0.0);
        let mut scene = Scene::default();
        assert_eq!(story.advance(now, &scene), [Begin(Step::Making)]);
        assert_eq!(story.advance(100.0, &scene), [], "no project yet");
        now += 100.0;
        scene.has_project = true;
        until(&mut story, &mut now, &scene, Begin(Step::Imbalance));
        scene.is_training = true;
        until(&mut story, &mut now, &scene, Begin(Step::Plain));
        now += 100.0;
        assert_eq!(story.advance(now, &scene), [], "no maps yet");
        scene.plain_is_ready = true;
        until(&mut story, &mut now, &scene, Begin(Step::Fooled));
        scene.is_training = false;
        until(&mut story, &mut now, &scene, Begin(Step::Box(0)));
        until(&mut story, &mut now, &scene, Act(Step::Box(0)));
        now += 100.0;
        assert_eq!(story.advance(now, &scene), [], "no box yet, and none twice");
        scene.boxes_drawn = 1;
        let cues = until(&mut story, &mut now, &scene, Act(Step::Box(1)));
        assert_eq!(cues, [Begin(Step::Box(1)), Act(Step::Box(1))]);
        scene.boxes_drawn = 2;
        until(&mut story, &mut now, &scene, Act(Step::Train));
        scene.has_care_map = true;
        now += 100.0;
        assert_eq!(story.advance(now, &scene), [], "the plain run's map");
        scene.is_training = true;
        until(&mut story, &mut now, &scene, Begin(Step::Moving));
        now += 100.0;
        assert_eq!(story.advance(now, &scene), [], "it is still learning");
        scene.is_testing = true;
        until(&mut story, &mut now, &scene, Begin(Step::Testing));
        now += 100.0;
        assert_eq!(story.advance(now, &scene), [], "no results yet");
        scene.is_training = false;
        let cues = until(&mut story, &mut now, &scene, Cue::Again);
        assert_eq!(cues, [Begin(Step::Table), Begin(Step::End), Cue::Again]);
    }

    #[test]
    fn the_waiting_that_is_no_work_takes_less_than_a_minute() {
        let telling = Telling::new(BOXES);
        let seconds: f64 = telling.steps.iter().map(|step| step.seconds()).sum();
        assert!((40.0..60.0).contains(&seconds), "{seconds}");
    }

    #[test]
    fn it_steps_aside_for_a_person() {
        let mut story = Story::new(cast(1));
        story.advance(0.0, &Scene::default());
        assert!(story.is_playing());
        story.take_over(None);
        assert_eq!(story.advance(1.0, &Scene::default()), []);
    }

    #[test]
    fn what_fails_is_shown_for_a_while_and_then_it_begins_anew() {
        let mut story = Story::new(cast(1));
        let failed = Scene {
            has_failed: true,
            ..Scene::default()
        };
        story.advance(0.0, &Scene::default());
        assert_eq!(story.left_of_failure(0.0), None);
        assert_eq!(story.advance(5.0, &failed), []);
        // Whoever puts the message away does not hold it up.
        assert_eq!(story.advance(24.0, &Scene::default()), []);
        assert_eq!(story.left_of_failure(24.0), Some(1.0));
        assert_eq!(story.advance(25.0, &Scene::default()), [Cue::Again]);
        // To begin anew failed too: not every frame.
        assert_eq!(story.advance(25.1, &failed), []);
        assert_eq!(story.advance(45.2, &failed), [Cue::Again]);
        // A person takes over as ever.
        story.advance(46.0, &failed);
        story.take_over(None);
        assert_eq!(story.advance(99.0, &failed), []);
    }

    #[test]
    fn the_star_is_where_the_edge_is_looked_at() {
        let seen = |image, peak, energy| ImageAttention {
            image: ImageId(image),
            map: {
                let mut values = vec![0.1; 36];
                values[peak] = 1.0;
                care_data::HeatMap {
                    height: 6,
                    width: 6,
                    values,
                }
            },
            peak: None,
            probabilities: Vec::new(),
            energy: Some(energy),
            hit: Some(energy > 0.5),
            iou: None,
        };
        let frame = FilmFrame {
            role: ModelRole::Before,
            step: 1,
            epoch: 1.0,
            // In the middle, at the right edge, at the top, at the top but in a box.
            images: vec![
                seen(1, 14, 0.1),
                seen(2, 17, 0.3),
                seen(3, 2, 0.2),
                seen(4, 3, 0.9),
            ],
        };
        assert_eq!(star(&frame), Some(ImageId(3)));
        assert_eq!(beside_the_boxes(&frame), (4, 3, 2));
    }
}
