//! A run as the window sees it: fed by the trainer's events while it trains, read from its folder afterwards.

use std::collections::HashMap;

use care_data::{ImageId, NotRead, Project, RunId, RunState};
use care_learn::event::{
    AttentionLosses, Change, EpochMetrics, ImageAttention, Losses, RecordedChange, Results,
    StepMetrics,
};
use care_learn::film::thin;
use care_learn::run_folder::{RunData, RunFolder, RunFolderError};
use care_learn::{FilmFrame, LiveParams, ModelRole, Outcome, RunConfig, TrainerEvent};

use crate::dispatch::watch_list;

/// Film frames kept in memory for each model.
const MAX_FRAMES: usize = 512;

/// The settings that a project's first run is offered with.
#[must_use]
pub fn first_config(project: &Project) -> RunConfig {
    if let Some(demo) = crate::demo::which(project) {
        return crate::demo::config(demo);
    }
    RunConfig {
        learning_rate: first_learning_rate(false),
        ..RunConfig::default()
    }
}

/// The learning rate to begin with: the paper's fine-tunes pretrained weights, a network that starts from nothing needs
/// the demo's.
#[must_use]
pub fn first_learning_rate(pretrained: bool) -> f64 {
    if pretrained {
        RunConfig::default().learning_rate
    } else {
        RunConfig::demo().learning_rate
    }
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Images decoded, of how many.
    Loading(usize, usize),
    Training,
    Paused,
    /// Every epoch is trained; the test waits to be asked for.
    Held,
    /// Stop was pressed; the step under way is being finished.
    Stopping,
    /// Test images scored by this model, of how many.
    Evaluating {
        role: ModelRole,
        done: usize,
        total: usize,
    },
    Ended(RunState),
    /// Why it failed.
    Failed(String),
}

impl Phase {
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Failed(_))
    }
}

/// When a map was computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// After so many steps; none where the run's end is meant.
    pub step: Option<u32>,
    pub epoch: f32,
}

/// The losses of one model over the steps of the epoch under way.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochSoFar {
    pub role: ModelRole,
    /// Epochs done in the whole run, fractional.
    pub epoch: f32,
    /// Means of L and L_c and, over the steps with boxes, of L_a and its parts.
    pub total: f32,
    pub classification: f32,
    pub attention: Option<AttentionLosses>,
    num_steps: u32,
    num_with_boxes: u32,
}

impl EpochSoFar {
    fn new(role: ModelRole) -> Self {
        Self {
            role,
            epoch: 0.0,
            total: 0.0,
            classification: 0.0,
            attention: None,
            num_steps: 0,
            num_with_boxes: 0,
        }
    }

    fn take(&mut self, epoch: f32, losses: &Losses) {
        let mean = |mean: f32, n: u32, value: f32| mean + (value - mean) / n as f32;
        self.epoch = epoch;
        self.num_steps += 1;
        self.total = mean(self.total, self.num_steps, losses.total);
        self.classification = mean(self.classification, self.num_steps, losses.classification);
        if let Some(now) = losses.attention {
            self.num_with_boxes += 1;
            let n = self.num_with_boxes;
            let before = self.attention.unwrap_or(now);
            self.attention = Some(AttentionLosses {
                l_in: mean(before.l_in, n, now.l_in),
                l_out: mean(before.l_out, n, now.l_out),
                l_a: mean(before.l_a, n, now.l_a),
            });
        }
    }
}

/// Everything that Train and Compare show of a run.
#[derive(Debug, Clone)]
pub struct TrainingRun {
    pub id: RunId,
    pub config: RunConfig,
    /// Held-out images of the film, in order.
    pub watch: Vec<ImageId>,
    pub phase: Phase,
    /// As last sent to the trainer.
    pub live: LiveParams,
    pub step: Option<StepMetrics>,
    pub epochs: Vec<EpochMetrics>,
    /// One entry for each model in training.
    pub so_far: Vec<EpochSoFar>,
    /// In the order of time.
    pub film: Vec<FilmFrame>,
    pub changes: Vec<RecordedChange>,
    pub results: Option<Results>,
    /// Classes and look as it learned them, once it is read from its folder.
    pub data: Option<RunData>,
    /// Every test image as each model saw it; empty until the run has ended.
    pub test: Vec<(ModelRole, Vec<ImageAttention>)>,
    /// Whether it waits before its test.
    pub holds: bool,
    /// Whether the weights it began with were for other classes, so that the classifier layer is new.
    pub new_classifier: bool,
    /// Files that were left out because they could not be decoded.
    pub left_out: Vec<NotRead>,
    /// The run that trained its stage 1, where that was another.
    pub stage1_of: Option<RunId>,
    /// Whether it has ended early and can go on.
    pub can_go_on: bool,
}

impl TrainingRun {
    #[must_use]
    pub fn new(id: RunId, config: RunConfig, watch: Vec<ImageId>) -> Self {
        Self {
            id,
            live: config.live,
            config,
            watch,
            phase: Phase::Loading(0, 0),
            step: None,
            epochs: Vec::new(),
            so_far: Vec::new(),
            film: Vec::new(),
            changes: Vec::new(),
            results: None,
            data: None,
            test: Vec::new(),
            holds: false,
            new_classifier: false,
            left_out: Vec::new(),
            stage1_of: None,
            can_go_on: false,
        }
    }

    /// A run that is over, from its folder.
    ///
    /// # Errors
    /// Where a file of it is missing or damaged; the error names the file.
    pub fn read(id: RunId, state: RunState, folder: &RunFolder) -> Result<Self, RunFolderError> {
        let mut run = Self::new(id, folder.config()?, Vec::new());
        run.phase = Phase::Ended(state);
        run.epochs = folder.epochs()?;
        run.changes = folder.changes()?;
        run.live = run.live_at(Some(f32::INFINITY));
        run.can_go_on = state != RunState::Finished && folder.can_go_on();
        run.stage1_of = folder.data().ok().and_then(|data| data.stage1_of);
        let film = folder.film();
        if state == RunState::Finished {
            let film = film?;
            (run.watch, run.film) = (film.watch, film.frames);
            run.read_results(folder)?;
        } else {
            // A run that was stopped, or cut off, wrote what it had by then.
            if let Ok(film) = film {
                (run.watch, run.film) = (film.watch, film.frames);
            }
            let _ = run.read_results(folder);
        }
        Ok(run)
    }

    /// As [`read`](Self::read), without results: what its curves are drawn of.
    ///
    /// # Errors
    /// Where its settings, epochs or changes are missing or damaged; the error names the file.
    pub fn read_curves(id: RunId, folder: &RunFolder) -> Result<Self, RunFolderError> {
        let mut run = Self::new(id, folder.config()?, Vec::new());
        run.epochs = folder.epochs()?;
        run.changes = folder.changes()?;
        // One that was cut off may have none.
        run.film = folder.film().unwrap_or_default().frames;
        Ok(run)
    }

    /// The results and the test part's maps, which the trainer writes last.
    ///
    /// # Errors
    /// Where a file of them is missing or damaged.
    pub fn read_results(&mut self, folder: &RunFolder) -> Result<(), RunFolderError> {
        let results = folder.results()?;
        self.data = folder.data().ok();
        let roles: Vec<_> = results.summaries.iter().map(|(role, _)| *role).collect();
        self.test = folder.test_attention(&roles)?;
        self.results = Some(results);
        Ok(())
    }

    /// Takes in what the trainer said.
    pub fn take(&mut self, event: TrainerEvent) {
        match event {
            // Images go on being decoded behind the first steps.
            TrainerEvent::Loading { done, total } => {
                if self.step.is_none() && matches!(self.phase, Phase::Loading(..)) {
                    self.phase = Phase::Loading(done, total);
                }
            }
            TrainerEvent::Loaded { not_read } => {
                self.left_out = not_read;
                if matches!(self.phase, Phase::Loading(..)) {
                    self.phase = Phase::Training;
                }
            }
            TrainerEvent::Step(step) => {
                if matches!(self.phase, Phase::Loading(..) | Phase::Held) {
                    self.phase = Phase::Training;
                }
                self.take_step(step);
            }
            TrainerEvent::Epoch(epoch) => {
                self.so_far.retain(|so_far| so_far.role != epoch.role);
                self.epochs.push(epoch);
            }
            TrainerEvent::Film(frame) => self.add_frame(frame),
            TrainerEvent::Changed {
                epoch,
                step,
                change,
            } => {
                self.changes.push(RecordedChange {
                    epoch,
                    step,
                    change,
                });
            }
            TrainerEvent::Evaluating { role, done, total } => {
                self.phase = Phase::Evaluating { role, done, total };
            }
            TrainerEvent::Stage1Of(run) => self.stage1_of = Some(run),
            TrainerEvent::Held => self.phase = Phase::Held,
            TrainerEvent::Weights { new_classifier } => self.new_classifier = new_classifier,
            TrainerEvent::Ended(outcome) => {
                let state = outcome.state();
                self.phase = match outcome {
                    Outcome::Failed(why) => Phase::Failed(why),
                    Outcome::Finished(_) | Outcome::Stopped(_) => Phase::Ended(state),
                };
            }
        }
    }

    fn take_step(&mut self, step: StepMetrics) {
        for (role, losses) in &step.losses {
            let at = self.so_far.iter().position(|so_far| so_far.role == *role);
            let at = at.unwrap_or_else(|| {
                self.so_far.push(EpochSoFar::new(*role));
                self.so_far.len() - 1
            });
            self.so_far[at].take(step.epoch, losses);
        }
        self.step = Some(step);
    }

    fn add_frame(&mut self, frame: FilmFrame) {
        let role = frame.role;
        self.film.push(frame);
        thin(&mut self.film, role, MAX_FRAMES);
    }

    /// The newest map of a model at or before `epoch`, or the newest of all where `epoch` is none.
    #[must_use]
    pub fn frame(&self, role: ModelRole, epoch: Option<f32>) -> Option<&FilmFrame> {
        self.film
            .iter()
            .rev()
            .find(|f| f.role == role && epoch.is_none_or(|e| f.epoch <= e + 1e-3))
    }

    /// What the model of this frame made of an image, with when that was; of an image that was not watched then, and where the frame is
    /// the `newest`, what it made of it in the test.
    #[must_use]
    pub fn seen<'a>(
        &'a self,
        frame: &'a FilmFrame,
        image: ImageId,
        newest: bool,
    ) -> Option<(Moment, &'a ImageAttention)> {
        let moment = |step| Moment {
            step,
            epoch: frame.epoch,
        };
        let in_film = frame
            .seen(image)
            .map(|seen| (moment(Some(frame.step)), seen));
        in_film.or_else(|| {
            let (_, test) = self.test.iter().find(|(role, _)| *role == frame.role)?;
            let seen = test.iter().find(|seen| seen.image == image)?;
            newest.then_some((moment(None), seen))
        })
    }

    /// The images of its film's columns: those chosen meanwhile, else those that it watched.
    #[must_use]
    pub fn shown_watch(
        &self,
        project: &Project,
        chosen: Option<&[ImageId]>,
        is_training: bool,
    ) -> Vec<ImageId> {
        match chosen {
            Some(_) if !is_training => watch_list(project, Some(self), chosen),
            _ => self.watch.clone(),
        }
    }

    /// How sure the model that was not shown any box was of each test image's own class, 0..=1.
    #[must_use]
    pub fn ease(&self, project: &Project) -> HashMap<ImageId, f32> {
        let of = |role| self.test.iter().find(|(other, _)| *other == role);
        let Some((_, test)) = of(ModelRole::Control).or_else(|| of(ModelRole::Before)) else {
            return HashMap::new();
        };
        let classes = project.classes();
        test.iter()
            .filter_map(|seen| {
                let class = project.image(seen.image)?.class;
                let label = classes.iter().position(|other| other.id == class)?;
                Some((seen.image, *seen.probabilities.get(label)?))
            })
            .collect()
    }

    /// Epochs of both stages together: as planned, and fewer once stage 1 has ended early.
    #[must_use]
    pub fn num_epochs(&self) -> u32 {
        let stage1 = self
            .stage_two()
            .map_or(self.config.stage1_epochs, |epoch| epoch.round() as u32);
        let more = self.changes.iter().map(|c| match c.change {
            Change::MoreEpochs { epochs } => epochs,
            _ => 0,
        });
        stage1 + self.config.stage2_epochs + more.sum::<u32>()
    }

    /// The settings of the attention loss in force at `epoch`, or now where `epoch` is none.
    #[must_use]
    pub fn live_at(&self, epoch: Option<f32>) -> LiveParams {
        let Some(epoch) = epoch else { return self.live };
        self.changes
            .iter()
            .filter(|recorded| recorded.epoch <= epoch)
            .filter_map(|recorded| match recorded.change {
                Change::Live { to, .. } => Some(to),
                _ => None,
            })
            .next_back()
            .unwrap_or(self.config.live)
    }

    /// The epoch at which stage 2 began, once it has; stage 1 ends early on a plateau.
    #[must_use]
    pub fn stage_two(&self) -> Option<f32> {
        self.changes
            .iter()
            .find(|c| c.change == Change::StageTwo)
            .map(|c| c.epoch)
    }
}
