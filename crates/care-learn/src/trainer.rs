//! The one training function. The window's worker, the command line and the tests call it.

mod checkpoint;
mod failure;
pub(crate) mod learner;
mod memory;
mod schedule;
mod scoring;

use std::time::{Duration, Instant, SystemTime};

use care_data::{BoundingBox, ImageId, ImageSize, Part};
use tch::{Device, Kind};

use self::checkpoint::{Found, Origin, Stage};
use self::failure::{TrainError, capitalised, is_out_of_memory, panic_message};
use self::learner::{Batch, Learner, StepSettings};
use self::memory::MemoryWatch;
use self::schedule::Pace;
use crate::attention_loss::MaskBatch;
use crate::augment::{Augmenter, View};
use crate::backbone::{Loaded, Network};
use crate::classification_loss::ClassificationLoss;
use crate::config::{LiveParams, RunConfig};
use crate::dataset::Dataset;
use crate::device::{leave_a_core, pick_device, torch_info};
use crate::evaluation::{Target, Viewer};
use crate::event::{
    Change, Losses, ModelRole, Outcome, RecordedChange, StepMetrics, TrainerCommand, TrainerEvent,
};
use crate::film::FilmRecorder;
use crate::grad_cam::label_tensor;
use crate::libtorch::give_memory_back;
use crate::panics::{Panic, caught, torch_reason};
use crate::run_folder::{RunData, RunFolder, RunWriter, Start};
use crate::sampler::Sampler;
use crate::task::{Problem, Sample, Task, check};

/// Time between checkpoints, for whatever may happen to the machine; the ends of stages have their own.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// Checkpoints take at most one part in so many of the time.
const SAVE_SHARE: u32 = 20;
/// Time between reports of how far something is that is counted in images.
const COUNT_EVERY: Duration = Duration::from_millis(100);
const PAUSE_TICK: Duration = Duration::from_millis(20);
/// A run ends where so many steps of a model had to be left out one after the other, or a whole epoch of fewer.
const MAX_SKIPPED: u32 = 3;

/// Whoever runs the trainer.
pub trait Host {
    fn report(&mut self, event: TrainerEvent);
    /// The commands that arrived since the last call, in order. Never blocks.
    fn commands(&mut self) -> Vec<TrainerCommand>;
    /// Called often, also while nothing is reported: what was held back can be passed on. Never blocks.
    fn tick(&mut self) {}
    /// Looked at before every step and between decoded images.
    fn stop_requested(&self) -> bool;
    /// Nobody waits for the results any more: the run is not scored. Looked at between batches of the test part.
    fn abandoned(&self) -> bool {
        false
    }
}

/// Trains, scores and records one run; the outcome is also reported as the last event,
/// [`TrainerEvent::Ended`]. Errors and libtorch's panics become [`Outcome::Failed`].
pub fn train(task: &Task, host: &mut dyn Host) -> Outcome {
    train_and_save(task, host, SAVE_EVERY)
}

fn train_and_save(task: &Task, host: &mut dyn Host, save_every: Duration) -> Outcome {
    // What a panic leaves half done lies in the session and goes with it.
    let outcome = match caught(|| {
        // First of all that is asked of libtorch, because it looks for CUDA once.
        let device = pick_device(None)?;
        let (found, origin) = checkpoint::find(task, device)?;
        let (session, network) =
            Session::new(task, host, save_every, device, origin, found.as_ref())?;
        session.run(network, found)
    }) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(TrainError::Panicked(panic))) | Err(panic) => {
            Outcome::Failed(capitalised(&panic_message(&panic, task)))
        }
        Ok(Err(error)) => Outcome::Failed(capitalised(&error.to_string())),
    };
    // Networks and images are gone by now.
    give_memory_back();
    host.report(TrainerEvent::Ended(outcome.clone()));
    outcome
}

/// Whether the run in the task's folder can go on with it ([`Task::goes_on`]). Changes nothing.
///
/// # Errors
/// Why it cannot, as a sentence.
pub fn check_resume(task: &Task) -> Result<(), String> {
    checkpoint::check_own(task).map_err(|error| capitalised(&error.to_string()))
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Done,
    Stopped,
}

/// One run from its first decoded image to its last result.
struct Session<'a> {
    task: &'a Task,
    origin: Origin,
    host: &'a mut dyn Host,
    writer: RunWriter,
    viewer: Viewer,
    data: Dataset,
    samples: Vec<Sample>,
    targets: Vec<Target>,
    watch: Vec<usize>,
    film: FilmRecorder,
    sampler: Sampler,
    augmenter: Augmenter,
    settings: StepSettings,
    /// Parts that a batch is computed in: two where the whole did not fit into memory.
    parts: usize,
    live: LiveParams,
    stage: Stage,
    /// Steps done in the whole run, and how many there will be in each stage.
    step: u32,
    stage_steps: [u32; 2],
    epochs_done: u32,
    /// Steps left out, of all models.
    skipped: u32,
    /// The epoch whose weights each model ended with, where it was chosen.
    kept: Vec<(ModelRole, u32)>,
    loading: Loading,
    pace: Pace,
    /// Epochs of stage 2 that were asked for while it trained.
    more_epochs: u32,
    /// Whether the test is to wait for a word, and whether it does.
    holds: bool,
    held: bool,
    memory: MemoryWatch,
    /// The step whose weights were saved last, and when to save again.
    saved: Option<u32>,
    save_at: Instant,
    save_every: Duration,
    started: Instant,
    /// What it took before it was last stopped.
    seconds_before: f32,
}

impl<'a> Session<'a> {
    /// With the network that stage 1 begins with, or ended with where it was `found` to be over.
    fn new(
        task: &'a Task,
        host: &'a mut dyn Host,
        save_every: Duration,
        device: Device,
        origin: Origin,
        found: Option<&Found>,
    ) -> Result<(Self, Network), TrainError> {
        if let Some(problem) = check(task).into_iter().find(Problem::blocks) {
            return Err(problem.into());
        }
        let config = &task.config;
        let data = RunData {
            classes: task.classes.clone(),
            look: task.look,
            stage1_of: if task.goes_on {
                RunFolder::open(&task.folder)?.data()?.stage1_of
            } else {
                found.and_then(|found| found.stage1_of)
            },
        };
        let written = found.map(|found| found.checkpoint.written);
        let writer = RunWriter::open(&task.folder, config, &data, written)?;
        let threads = leave_a_core();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        writer.record(Start {
            unix_time: now.map_or(0, |since| since.as_secs()),
            command: std::env::args_os()
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: torch_info().version,
            device: match device {
                Device::Cuda(index) => format!("cuda:{index}"),
                other => format!("{other:?}").to_lowercase(),
            },
            threads,
            data: task.fingerprint.clone(),
        })?;

        let members: Vec<Vec<usize>> = (0..task.classes.len())
            .map(|label| {
                let mut of_class: Vec<(ImageId, usize)> = task
                    .samples
                    .iter()
                    .enumerate()
                    .filter(|(_, s)| s.part == Part::Train && s.label == label)
                    .map(|(i, s)| (s.image, i))
                    .collect();
                of_class.sort_unstable();
                of_class.into_iter().map(|(_, i)| i).collect()
            })
            .collect();
        let counts: Vec<usize> = members.iter().map(Vec::len).collect();
        let loss = ClassificationLoss::new(&counts, config.class_weighted, config.focal_gamma);
        let sampler = Sampler::new(
            members,
            config.sampling,
            config.classes_per_batch,
            config.images_per_class,
            config.seed,
        );
        let per_epoch = sampler.steps_per_epoch();

        let watch: Vec<usize> = task
            .watch
            .iter()
            .filter_map(|image| task.samples.iter().position(|s| s.image == *image))
            .collect();
        // Decoded in the order of use, so that the first step need not wait for the last image.
        let mut ahead = sampler.clone();
        let mut first = watch.clone();
        first.extend((0..per_epoch).flat_map(|_| ahead.next_batch()));
        // The first epoch ends with the validation part; what is left of training is for later ones.
        first.extend(in_part(&task.samples, Part::Validation));
        first.extend(in_part(&task.samples, Part::Train));
        let paths = task.samples.iter().map(|s| s.path.clone()).collect();
        let input = ImageSize::new(config.input_size, config.input_size);
        let data = Dataset::load(
            paths,
            &first,
            task.look,
            input,
            config.backbone.preprocess(),
        )
        .map_err(TrainError::Threads)?;

        let is_after_stage1 = found.is_some_and(Found::is_in_stage_two);
        let of_stage1 = || RunConfig {
            weights: Some(writer.weights_path(ModelRole::Before)),
            ..config.clone()
        };
        let (network, loaded) = if is_after_stage1 {
            Network::from_config(&of_stage1(), task.classes.len(), device)?
        } else {
            Network::from_config(config, task.classes.len(), device)?
        };
        if let (Some(Loaded { new_classifier }), false) = (loaded, is_after_stage1) {
            host.report(TrainerEvent::Weights { new_classifier });
        }
        let viewer = Viewer::new(config, &network, device);
        let session = Self {
            targets: task
                .samples
                .iter()
                .map(|sample| viewer.target(sample))
                .collect(),
            film: FilmRecorder::new(task.watch.clone()),
            live: config.live,
            stage: if is_after_stage1 {
                Stage::new(2, 2, config.stage2_epochs * per_epoch, config)
            } else {
                Stage::new(1, 1, config.stage1_epochs * per_epoch, config)
            },
            stage_steps: [
                config.stage1_epochs * per_epoch,
                config.stage2_epochs * per_epoch,
            ],
            samples: task.samples.clone(),
            task,
            origin,
            host,
            writer,
            viewer,
            data,
            watch,
            sampler,
            augmenter: Augmenter::new(config.augmentation, input, config.seed),
            settings: StepSettings::new(config, loss),
            parts: 1,
            step: 0,
            epochs_done: 0,
            skipped: 0,
            kept: Vec::new(),
            loading: Loading::default(),
            pace: Pace::new(),
            more_epochs: 0,
            holds: false,
            held: false,
            memory: MemoryWatch::new(device),
            saved: None,
            save_at: Instant::now() + save_every,
            save_every,
            started: Instant::now(),
            seconds_before: found
                .filter(|found| found.stage1_of.is_none())
                .map_or(0.0, |found| found.checkpoint.seconds),
        };
        Ok((session, network))
    }

    fn run(mut self, network: Network, found: Option<Found>) -> Result<Outcome, TrainError> {
        let config = &self.task.config;
        let watch = self.watch.clone();
        if !self.wait_for(&watch) {
            return Ok(Outcome::Stopped(None));
        }
        // What is read before there is anything to train is no time of the training.
        self.pace.rest();
        self.watch.retain(|image| self.data.is_readable(*image));
        self.film = FilmRecorder::new(self.watch.iter().map(|i| self.targets[*i].image).collect());

        let mut before = vec![Learner::new(ModelRole::Before, network, config)];
        let mut pair = Vec::new();
        match found {
            None => self.refresh_film(&before, true),
            Some(found) if found.is_within_stage_two() => {
                pair = self.new_pair(&mut before[0])?;
                self.go_on(found, &mut pair)?;
            }
            Some(found) => self.go_on(found, &mut before)?,
        }
        if self.stage.number == 1 {
            let flow = self.train_stage(&mut before)?;
            self.save(&before)?;
            if flow == Flow::Stopped {
                return Ok(Outcome::Stopped(None));
            }
            let num_steps = config.stage2_epochs * self.sampler.steps_per_epoch();
            self.stage = Stage::new(2, 2, num_steps, config);
            self.keep_stage1()?;
        }
        if pair.is_empty() {
            self.record(Change::StageTwo)?;
            pair = self.new_pair(&mut before[0])?;
            self.begin_pair();
        }
        let flow = self.train_stage(&mut pair)?;
        self.save(&pair)?;
        before.append(&mut pair);
        let results = self.evaluate(&before, flow)?;
        Ok(match (flow, results) {
            (Flow::Done, Some(results)) => {
                self.writer.forget_checkpoint();
                Outcome::Finished(results)
            }
            (_, results) => Outcome::Stopped(results),
        })
    }

    /// CARE and its control, as stage 1's model, which learns no more.
    fn new_pair(&self, before: &mut Learner) -> Result<Vec<Learner>, TrainError> {
        before.retire();
        [ModelRole::Control, ModelRole::Care]
            .into_iter()
            .map(|role| {
                let network = before.network.duplicate()?;
                Ok(Learner::new(role, network, &self.task.config))
            })
            .collect()
    }

    /// In seconds, of all the time that the run took so far.
    fn seconds(&self) -> f32 {
        self.seconds_before + self.started.elapsed().as_secs_f32()
    }

    fn train_stage(&mut self, learners: &mut [Learner]) -> Result<Flow, TrainError> {
        let flow = self.epochs_of_stage(learners)?;
        self.leave(flow, learners)?;
        let kept = learners
            .iter_mut()
            .filter_map(|learner| Some((learner.role, learner.return_to_best()?)));
        let before = self.kept.len();
        self.kept.extend(kept);
        if self.kept.len() > before {
            // The film ends with what is tested.
            self.refresh_film(learners, true);
        }
        learners.iter_mut().for_each(Learner::retire);
        Ok(flow)
    }

    fn epochs_of_stage(&mut self, learners: &mut [Learner]) -> Result<Flow, TrainError> {
        let per_epoch = self.sampler.steps_per_epoch();
        let most = MAX_SKIPPED.min(per_epoch);
        // A run that was stopped at the end of an epoch goes on there.
        let mut has_stepped = false;
        loop {
            if self.epochs_done < self.step / per_epoch {
                if self.end_epoch(learners)? == Flow::Stopped {
                    return Ok(Flow::Stopped);
                }
            } else if has_stepped && self.film.is_due(self.pace.trained()) {
                self.refresh_film(learners, false);
            }
            if self.stage.step == self.stage.num_steps {
                return Ok(Flow::Done);
            }
            if has_stepped && Instant::now() >= self.save_at {
                let begun = Instant::now();
                self.save(learners)?;
                self.keep_place(learners)?;
                self.save_at = Instant::now() + self.save_every.max(begun.elapsed() * SAVE_SHARE);
            }
            if self.attend_to_host()? == Flow::Stopped {
                return Ok(Flow::Stopped);
            }
            self.take_more_epochs();
            let Some(drawn) = self.next_batch()? else {
                return Ok(Flow::Stopped);
            };
            let Stage {
                number,
                step,
                num_steps,
                rate,
                ..
            } = &self.stage;
            let (stage, learning_rate) = (*number, rate.at(*step, *num_steps));
            let losses = match self.step_all(learners, &drawn, learning_rate) {
                Ok(losses) => losses,
                Err(error) => {
                    self.rescue(learners);
                    return Err(error);
                }
            };
            has_stepped = true;
            self.step += 1;
            self.stage.step += 1;
            self.pace.step(learners.len());
            let metrics = StepMetrics {
                step: self.step,
                num_steps: self.stage_steps.iter().sum(),
                epoch: self.epoch(),
                stage,
                learning_rate,
                losses,
                skipped: self.skipped,
                images_per_second: drawn.images.len() as f32 / self.pace.seconds_per_pass(),
                seconds_left: self.seconds_left(),
                waiting: self.pace.waiting(),
                film: self.film.share(self.pace.trained()),
                memory: self.memory.now(),
            };
            self.writer.step(&metrics)?;
            self.host.report(TrainerEvent::Step(metrics));
            if let Some(learner) = learners.iter().find(|l| l.skipped_in_a_row >= most) {
                let (role, step) = (learner.role, self.step);
                for learner in learners.iter_mut() {
                    learner.return_to_best();
                }
                self.save(learners)?;
                return Err(TrainError::NotANumber {
                    model: role.name(),
                    step,
                    checkpoint: self.name_checkpoint(role),
                });
            }
        }
    }

    /// Stage 2 goes on for the epochs that were asked for since.
    fn take_more_epochs(&mut self) {
        if self.stage.number == 2 {
            let more = self.more_epochs - self.stage.added;
            self.stage.num_steps += more * self.sampler.steps_per_epoch();
            self.stage.added = self.more_epochs;
        }
    }

    /// Saves what a step that failed has left whole. What goes wrong now has been said already.
    fn rescue(&mut self, learners: &mut [Learner]) {
        let saved = caught(|| {
            for learner in learners.iter_mut() {
                learner.take_back()?;
                learner.return_to_best();
            }
            self.save(learners)
        });
        drop(saved);
    }

    /// A step of every model on the same batch; those that left it out are missing.
    fn step_all(
        &mut self,
        learners: &mut [Learner],
        drawn: &Drawn,
        learning_rate: f64,
    ) -> Result<Vec<(ModelRole, Losses)>, TrainError> {
        let mut parts = self.parts_of(drawn);
        let mut losses = Vec::with_capacity(learners.len());
        for learner in learners {
            let alpha = if learner.role == ModelRole::Care {
                self.live.alpha
            } else {
                0.0
            };
            let of_step = loop {
                let Self {
                    viewer,
                    settings,
                    live,
                    ..
                } = self;
                let step = || learner.step(&parts, viewer, settings, alpha, live, learning_rate);
                let reason = match caught(step) {
                    Ok(Ok(of_step)) => break of_step,
                    Ok(Err(error)) => torch_reason(&error.to_string()),
                    Err(Panic::Torch(reason)) => reason,
                    Err(fault) => return Err(TrainError::Panicked(fault)),
                };
                if !is_out_of_memory(&reason) || self.parts > 1 || drawn.images.len() < 2 {
                    return Err(TrainError::Panicked(Panic::Torch(reason)));
                }
                drop(parts);
                learner.take_back()?;
                self.parts = 2;
                self.record(Change::BatchHalved)?;
                parts = self.parts_of(drawn);
            };
            match of_step {
                Some(of_step) => losses.push((learner.role, of_step)),
                None => self.skipped += 1,
            }
        }
        Ok(losses)
    }

    fn epoch(&self) -> f32 {
        self.step as f32 / self.sampler.steps_per_epoch() as f32
    }

    fn seconds_left(&self) -> f32 {
        let [first, second] = self.stage_steps;
        let left_in_first = first.saturating_sub(self.step);
        let left_in_second = (first + second).saturating_sub(self.step.max(first));
        // In stage 2 each step is a pass of two models.
        (left_in_first + 2 * left_in_second) as f32 * self.pace.seconds_per_pass()
    }

    /// Commands, a pause, a wish to stop, the state of loading. Of several commands for the same thing, as a drag on a
    /// slider sends them, only the last has an effect and is recorded.
    fn attend_to_host(&mut self) -> Result<Flow, TrainError> {
        let mut paused = false;
        let mut live = self.live;
        let mut boxes: Vec<(ImageId, Vec<BoundingBox>)> = Vec::new();
        let mut watch = None;
        let flow = loop {
            for command in self.host.commands() {
                match command {
                    TrainerCommand::Pause => paused = true,
                    TrainerCommand::Resume => {
                        paused = false;
                        self.holds &= !self.held;
                    }
                    TrainerCommand::MoreEpochs(epochs) => self.add_epochs(epochs)?,
                    TrainerCommand::HoldBeforeTest(holds) => self.holds = holds,
                    TrainerCommand::Watch(images) => watch = Some(images),
                    TrainerCommand::Refresh(refresh) => self.film.refresh = refresh,
                    TrainerCommand::Live(to) if to.check().is_ok() => live = to,
                    TrainerCommand::Live(_) => {}
                    TrainerCommand::Boxes { image, boxes: new } => {
                        boxes.retain(|(other, _)| *other != image);
                        boxes.push((image, new));
                    }
                }
            }
            if self.host.stop_requested() {
                break Flow::Stopped;
            }
            if !paused {
                break Flow::Done;
            }
            std::thread::sleep(PAUSE_TICK);
            self.pace.rest();
        };
        // Also where the run stops: boxes of test images score it.
        for (image, boxes) in boxes {
            self.set_boxes(image, boxes)?;
        }
        if flow == Flow::Done {
            if let Some(images) = watch {
                self.set_watch(&images)?;
            }
            self.set_live(live)?;
            self.loading.report(self.host, &self.data);
        }
        Ok(flow)
    }

    fn set_live(&mut self, to: LiveParams) -> Result<(), TrainError> {
        let from = std::mem::replace(&mut self.live, to);
        if to == from {
            return Ok(());
        }
        self.record(Change::Live { from, to })
    }

    fn add_epochs(&mut self, epochs: u32) -> Result<(), TrainError> {
        /// Beyond any wish; so that no number of steps overflows.
        const MOST: u32 = 10_000;
        if epochs == 0 || self.more_epochs + epochs > MOST {
            return Ok(());
        }
        self.more_epochs += epochs;
        self.stage_steps[1] += epochs * self.sampler.steps_per_epoch();
        self.record(Change::MoreEpochs { epochs })
    }

    /// What is not decoded yet is waited for, before everything else that is still to be decoded.
    fn set_watch(&mut self, images: &[ImageId]) -> Result<(), TrainError> {
        let place = |image: &ImageId| self.samples.iter().position(|s| s.image == *image);
        let watch: Vec<usize> = images.iter().filter_map(place).collect();
        if !self.wait_for(&watch) {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.watch, watch);
        self.watch.retain(|image| self.data.is_readable(*image));
        let ids = self.watch.iter().map(|i| self.targets[*i].image);
        let images: Vec<ImageId> = ids.collect();
        self.film.watch(images.clone());
        // In another order they have the same mean.
        if self.watch.len() == before.len() && before.iter().all(|i| self.watch.contains(i)) {
            return Ok(());
        }
        self.record(Change::Watch { images })
    }

    fn set_boxes(&mut self, image: ImageId, boxes: Vec<BoundingBox>) -> Result<(), TrainError> {
        let Some(at) = self.samples.iter().position(|s| s.image == image) else {
            return Ok(());
        };
        if self.samples[at].boxes == boxes {
            return Ok(());
        }
        self.samples[at].boxes.clone_from(&boxes);
        self.targets[at] = self.viewer.target(&self.samples[at]);
        self.sampler.bring_forward(at);
        self.record(Change::Boxes { image, boxes })
    }

    fn record(&mut self, change: Change) -> Result<(), TrainError> {
        let recorded = RecordedChange {
            epoch: self.epoch(),
            step: self.step,
            change,
        };
        self.writer.change(&recorded)?;
        let RecordedChange {
            epoch,
            step,
            change,
        } = recorded;
        self.host.report(TrainerEvent::Changed {
            epoch,
            step,
            change,
        });
        Ok(())
    }

    /// Waits until these images are decoded; false where the host wants to stop.
    fn wait_for(&mut self, images: &[usize]) -> bool {
        let Self {
            data,
            host,
            loading,
            ..
        } = self;
        data.wait_for(images, || {
            loading.report(*host, data);
            go_on(*host)
        })
    }

    /// The next batch without its unreadable images; none where the host wants to stop.
    fn next_batch(&mut self) -> Result<Option<Drawn>, TrainError> {
        loop {
            // A run that is stopped while it waits goes on with this batch.
            let before = (!self.loading.finished).then(|| self.sampler.clone());
            let mut images = self.sampler.next_batch();
            let begun = Instant::now();
            if !self.wait_for(&images) {
                self.sampler = before.unwrap_or_else(|| self.sampler.clone());
                return Ok(None);
            }
            self.pace.waited(begun.elapsed());
            images.retain(|image| self.data.is_readable(*image));
            if !images.is_empty() {
                let views = self.augmenter.draw(images.len());
                return Ok(Some(Drawn { images, views }));
            }
            let train: Vec<usize> = in_part(&self.samples, Part::Train).collect();
            if !self.wait_for(&train) {
                return Ok(None);
            }
            if !train.iter().any(|image| self.data.is_readable(*image)) {
                let first = self.data.not_read().into_iter().next();
                return Err(first.map_or(
                    Problem::NoTrainingImages.into(),
                    TrainError::NothingReadable,
                ));
            }
        }
    }

    fn parts_of(&self, drawn: &Drawn) -> Vec<Batch> {
        let size = drawn.images.len().div_ceil(self.parts);
        let parts = drawn.images.chunks(size).enumerate();
        parts
            .map(|(i, images)| {
                let views = drawn.views.as_deref().and_then(|v| v.chunks(size).nth(i));
                self.batch(images, views)
            })
            .collect()
    }

    /// `views` are in the order of `images`; none shows them as they are.
    fn batch(&self, images: &[usize], views: Option<&[View]>) -> Batch {
        let device = self.viewer.device;
        let labels: Vec<usize> = images.iter().map(|i| self.targets[*i].label).collect();
        let (rows, masks): (Vec<i64>, Vec<_>) = images
            .iter()
            .enumerate()
            .filter_map(|(row, image)| {
                let view = views.map(|views| &views[row]);
                Some((row as i64, self.viewer.masks(&self.targets[*image], view)?))
            })
            .unzip();
        Batch {
            images: match views {
                Some(views) => self.data.batch_seen_through(images, views, device),
                None => self.data.batch(images, device),
            },
            label_tensor: label_tensor(&labels, device),
            labels,
            boxed: (!rows.is_empty()).then(|| (rows, MaskBatch::new(&masks, Kind::Float, device))),
        }
    }

    /// The weights of these models and the film, as they are now.
    fn save(&mut self, learners: &[Learner]) -> Result<(), TrainError> {
        for learner in learners {
            self.writer
                .weights(learner.role, &learner.network.to_bytes()?)?;
        }
        self.writer.film(self.film.film())?;
        self.saved = Some(self.step);
        Ok(())
    }

    /// Where the last good weights are, in words.
    fn name_checkpoint(&self, model: ModelRole) -> String {
        match self.saved {
            None => "No weights were saved before.".to_owned(),
            Some(step) => {
                // In stage 2 before its first checkpoint there is only stage 1's.
                let role = if step > self.stage_steps[0] || model == ModelRole::Before {
                    model
                } else {
                    ModelRole::Before
                };
                let path = self.writer.weights_path(role);
                format!(
                    "The last good weights are in {}, of step {step}.",
                    path.display()
                )
            }
        }
    }
}

/// The images of a batch, and how each is seen; none where all are seen as they are.
struct Drawn {
    images: Vec<usize>,
    views: Option<Vec<View>>,
}

/// What is told of the decoding.
#[derive(Default)]
struct Loading {
    reported_at: Option<Instant>,
    finished: bool,
}

impl Loading {
    fn report(&mut self, host: &mut dyn Host, data: &Dataset) {
        if self.finished {
            return;
        }
        let (done, total) = data.progress();
        self.finished = done == total;
        if self.finished
            || self
                .reported_at
                .is_none_or(|at| at.elapsed() >= COUNT_EVERY)
        {
            host.report(TrainerEvent::Loading { done, total });
            self.reported_at = Some(Instant::now());
        }
        if self.finished {
            host.report(TrainerEvent::Loaded {
                not_read: data.not_read(),
            });
        }
    }
}

/// Lets the host breathe, and asks whether it wants to go on.
fn go_on(host: &mut dyn Host) -> bool {
    host.tick();
    !host.stop_requested()
}

fn in_part(samples: &[Sample], part: Part) -> impl Iterator<Item = usize> {
    samples
        .iter()
        .enumerate()
        .filter(move |(_, s)| s.part == part)
        .map(|(i, _)| i)
}

#[cfg(test)]
mod tests;
