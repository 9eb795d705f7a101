//! Where a run stands between two steps, in a file, so that it can go on as if it had never stopped; and the end of stage
//! 1, from which other runs can go on as well.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use care_data::{BoundingBox, ImageId, Part, RunId};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

use super::failure::TrainError;
use super::learner::{Learner, LearnerState};
use super::schedule::{Falling, LearningRate, Patience};
use super::{Flow, Session};
use crate::backbone::WeightsError;
use crate::config::{LiveParams, RunConfig};
use crate::event::{Change, ModelRole, TrainerEvent};
use crate::run_folder::{RunFolder, RunFolderError, Written};
use crate::sampler::Sampler;
use crate::task::{Problem, Sample, Task, check};

/// How far a stage is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stage {
    /// 1 or 2.
    pub(super) number: u8,
    /// Steps done in it, and how many there will be.
    pub(super) step: u32,
    pub(super) num_steps: u32,
    /// Epochs among them that were asked for while it trained.
    pub(super) added: u32,
    pub(super) rate: LearningRate,
    /// One for each model.
    pub(super) falling: Vec<Falling>,
    pub(super) plateau: Patience,
    pub(super) early_stop: Patience,
}

impl Stage {
    pub(super) fn new(number: u8, num_models: usize, num_steps: u32, config: &RunConfig) -> Self {
        Self {
            number,
            step: 0,
            num_steps,
            added: 0,
            rate: LearningRate::new(config),
            falling: vec![Falling::default(); num_models],
            plateau: Patience::new(config.patience),
            early_stop: Patience::new(config.early_stop),
        }
    }
}

/// Everything but the tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// Of the images, their labels and parts, see [`digest`].
    images: String,
    origin: Origin,
    /// Whether every image that there was could be read.
    whole: bool,
    /// Of every image with boxes.
    boxes: Vec<(ImageId, Vec<BoundingBox>)>,
    pub(super) written: Written,
    pub(super) seconds: f32,
    step: u32,
    /// Of the film.
    frames: usize,
    epochs_done: u32,
    skipped: u32,
    kept: Vec<(ModelRole, u32)>,
    parts: usize,
    live: LiveParams,
    more_epochs: u32,
    stage_steps: [u32; 2],
    stage: Stage,
    sampler: Sampler,
    augmenter: ChaCha8Rng,
    /// Empty between the stages.
    learners: Vec<LearnerState>,
}

/// What else the numbers of stage 1 come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    version: String,
    device: String,
    /// Hash of the file of weights that it began with.
    weights: Option<String>,
}

impl Origin {
    fn of(config: &RunConfig, device: Device) -> Result<Self, WeightsError> {
        let hash = |path: &PathBuf| {
            let mut hasher = blake3::Hasher::new();
            let file = File::open(path).and_then(|file| hasher.update_reader(file).map(|_| ()));
            match file {
                Ok(()) => Ok(hasher.finalize().to_hex().to_string()),
                Err(source) => Err(WeightsError::Read {
                    path: path.clone(),
                    source,
                }),
            }
        };
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: format!("{device:?}"),
            weights: config.weights.as_ref().map(hash).transpose()?,
        })
    }
}

/// A checkpoint and what belongs to it, as it was found.
pub(super) struct Found {
    pub(super) checkpoint: Checkpoint,
    tensors: Tensors,
    /// The other run, whose stage 1 this one has.
    pub(super) stage1_of: Option<RunId>,
}

impl Found {
    pub(super) fn is_in_stage_two(&self) -> bool {
        self.checkpoint.stage.number == 2
    }

    /// Not only at its beginning.
    pub(super) fn is_within_stage_two(&self) -> bool {
        self.is_in_stage_two() && !self.checkpoint.learners.is_empty()
    }
}

/// What the task is to go on from; none where it begins anew. What another run's stage 1 left behind is in the task's own folder then.
pub(super) fn find(task: &Task, device: Device) -> Result<(Option<Found>, Origin), TrainError> {
    if !task.goes_on {
        let origin = Origin::of(&task.config, device)?;
        return Ok((share(task, &origin)?, origin));
    }
    let (folder, checkpoint) = own(task)?;
    let origin = checkpoint.origin.clone();
    let tensors = match folder.checkpoint()? {
        Some(bytes) => Tensors::read(&folder, &bytes)?,
        None => Tensors::default(),
    };
    let found = Found {
        checkpoint,
        tensors,
        stage1_of: None,
    };
    Ok((Some(found), origin))
}

/// Where the task's own run stands.
fn own(task: &Task) -> Result<(RunFolder, Checkpoint), TrainError> {
    let folder = RunFolder::open(&task.folder)?;
    let checkpoint: Checkpoint = match folder.checkpoint_state()? {
        Some(state) => folder.parse(&state)?,
        None => folder.stage1()?,
    };
    if checkpoint.images == digest(task) {
        Ok((folder, checkpoint))
    } else {
        Err(TrainError::OtherData)
    }
}

/// Whether the task's run can go on, before anything of it is changed.
pub(super) fn check_own(task: &Task) -> Result<(), TrainError> {
    let (folder, checkpoint) = own(task)?;
    if let Some(problem) = check(task).into_iter().find(Problem::blocks) {
        return Err(problem.into());
    }
    // In stage 1 it begins with the file of its settings.
    let before = folder.weights(ModelRole::Before);
    if checkpoint.stage.number == 2 && !before.is_file() {
        return Err(TrainError::Stage1Gone(before));
    }
    Ok(folder.check_unused()?)
}

/// The first run that trained the same stage 1: it came to its end, with the same settings, images, held-out boxes and seed, and nothing
/// was changed meanwhile but what the film shows. alpha, lambda, tau, boxes to learn from and everything else that counts in stage 2 alone may differ.
fn share(task: &Task, origin: &Origin) -> Result<Option<Found>, TrainError> {
    let digest = digest(task);
    for (run, folder) in &task.others {
        // What cannot be read is not shared; it is trained.
        let Ok(folder) = RunFolder::open(folder) else {
            continue;
        };
        let Ok(checkpoint) = folder.stage1::<Checkpoint>() else {
            continue;
        };
        let is_same = checkpoint.images == digest
            && checkpoint.origin == *origin
            && checkpoint.whole
            && agrees(&checkpoint, &folder, task).unwrap_or(false);
        if is_same {
            folder.copy_stage1(&task.folder)?;
            let stage1_of = folder.data().ok().and_then(|data| data.stage1_of);
            return Ok(Some(Found {
                checkpoint,
                tensors: Tensors::default(),
                stage1_of: Some(stage1_of.unwrap_or(*run)),
            }));
        }
    }
    Ok(None)
}

fn agrees(
    checkpoint: &Checkpoint,
    folder: &RunFolder,
    task: &Task,
) -> Result<bool, RunFolderError> {
    let mut held_out = task.samples.iter().filter(|s| s.part != Part::Train);
    let boxes: HashMap<ImageId, &Vec<BoundingBox>> = checkpoint
        .boxes
        .iter()
        .map(|(image, boxes)| (*image, boxes))
        .collect();
    let same_boxes = |sample: &Sample| match boxes.get(&sample.image) {
        Some(boxes) => **boxes == sample.boxes,
        None => sample.boxes.is_empty(),
    };
    let changes = folder.changes()?;
    let mut of_stage1 = changes
        .iter()
        .take_while(|it| it.change != Change::StageTwo);
    Ok(held_out.all(same_boxes)
        && of_stage1.all(|it| matches!(it.change, Change::Watch { .. }))
        && in_stage1(&folder.config()?) == in_stage1(&task.config)
        && folder.weights(ModelRole::Before).is_file())
}

/// The settings, but for those of which nothing in stage 1 depends. What it records of L_in and L_out does, but is learned from by
/// nobody.
fn in_stage1(config: &RunConfig) -> RunConfig {
    let RunConfig {
        stage2_epochs,
        outside,
        boxes,
        box_scale,
        live,
        ..
    } = RunConfig::default();
    RunConfig {
        stage2_epochs,
        outside,
        boxes,
        box_scale,
        live,
        ..config.clone()
    }
}

/// Of what a run's random numbers choose from: classes, images in their order, labels and parts.
fn digest(task: &Task) -> String {
    let mut hasher = blake3::Hasher::new();
    for class in &task.classes {
        hasher.update(&class.id.0.to_le_bytes());
        hasher.update(&[u8::from(class.rare)]);
    }
    hasher.update(format!("{:?}", task.look).as_bytes());
    for sample in &task.samples {
        hasher.update(&sample.image.0.to_le_bytes());
        hasher.update(&(sample.label as u64).to_le_bytes());
        hasher.update(sample.part.name().as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

impl Session<'_> {
    fn checkpoint(&self, learners: &[Learner]) -> Result<Checkpoint, RunFolderError> {
        let boxed = self.samples.iter().filter(|s| !s.boxes.is_empty());
        Ok(Checkpoint {
            images: digest(self.task),
            origin: self.origin.clone(),
            whole: self.data.not_read().is_empty(),
            boxes: boxed.map(|s| (s.image, s.boxes.clone())).collect(),
            written: self.writer.written()?,
            seconds: self.seconds(),
            step: self.step,
            frames: self.film.film().frames.len(),
            epochs_done: self.epochs_done,
            skipped: self.skipped,
            kept: self.kept.clone(),
            parts: self.parts,
            live: self.live,
            more_epochs: self.more_epochs,
            stage_steps: self.stage_steps,
            stage: self.stage.clone(),
            sampler: self.sampler.clone(),
            augmenter: self.augmenter.clone().random().clone(),
            learners: learners.iter().map(Learner::state).collect(),
        })
    }

    /// Keeps everything that is needed to go on from here.
    pub(super) fn keep_place(&self, learners: &[Learner]) -> Result<(), TrainError> {
        let mut tensors = Vec::new();
        for learner in learners {
            for (name, tensor) in learner.tensors() {
                let name = format!("{}.{name}", learner.role.name());
                tensors.push((name.clone(), Kept::new(&name, &tensor)?));
            }
        }
        let checkpoint = self.checkpoint(learners)?;
        Ok(self.writer.checkpoint(&checkpoint, tensors)?)
    }

    /// Stage 1 is over and its model saved: what follows needs no more than that and this.
    pub(super) fn keep_stage1(&self) -> Result<(), TrainError> {
        Ok(self.writer.stage1(&self.checkpoint(&[])?)?)
    }

    /// Goes on from there. The host hears what it would have heard until then. `learners` are new ones of the stage under way;
    /// none between the stages.
    pub(super) fn go_on(
        &mut self,
        found: Found,
        learners: &mut [Learner],
    ) -> Result<(), TrainError> {
        let Found {
            checkpoint,
            tensors,
            stage1_of,
        } = found;
        self.step = checkpoint.step;
        self.epochs_done = checkpoint.epochs_done;
        self.skipped = checkpoint.skipped;
        self.kept = checkpoint.kept;
        self.parts = checkpoint.parts;
        self.sampler = checkpoint.sampler;
        *self.augmenter.random() = checkpoint.augmenter;
        self.saved = Some(self.step);
        if let Some(run) = stage1_of {
            self.host.report(TrainerEvent::Stage1Of(run));
            self.stage_steps[0] = checkpoint.stage_steps[0];
        } else {
            self.live = checkpoint.live;
            self.more_epochs = checkpoint.more_epochs;
            self.stage_steps = checkpoint.stage_steps;
            self.stage = checkpoint.stage;
        }
        for (learner, state) in learners.iter_mut().zip(checkpoint.learners) {
            let prefix = format!("{}.", learner.role.name());
            learner.restore(state, |name| tensors.get(&format!("{prefix}{name}")))?;
        }
        self.tell_the_past(checkpoint.frames)?;
        if stage1_of.is_none() {
            self.take_new_boxes(checkpoint.boxes)
        } else {
            // The other's says how the other went on.
            self.keep_stage1()
        }
    }

    /// `frames` are those of the film until then.
    fn tell_the_past(&mut self, frames: usize) -> Result<(), TrainError> {
        let folder = RunFolder::open(&self.task.folder)?;
        for it in folder.changes()? {
            self.host.report(TrainerEvent::Changed {
                epoch: it.epoch,
                step: it.step,
                change: it.change,
            });
        }
        for epoch in folder.epochs()? {
            self.host.report(TrainerEvent::Epoch(epoch));
        }
        let watch = self.film.film().watch.clone();
        // A run may have had no film.
        if let Ok(film) = folder.film() {
            // One that was stopped ends with the models as they were tested, which may be those of an earlier epoch.
            let frames = film.frames.into_iter().take(frames);
            self.film.go_on(frames.filter(|it| it.step <= self.step));
            for frame in &self.film.film().frames {
                self.host.report(TrainerEvent::Film(frame.clone()));
            }
            if film.watch != watch {
                self.film.watch(watch.clone());
                self.record(Change::Watch { images: watch })?;
            }
        }
        Ok(())
    }

    /// Boxes that were drawn, changed or deleted since count from here on.
    fn take_new_boxes(
        &mut self,
        before: Vec<(ImageId, Vec<BoundingBox>)>,
    ) -> Result<(), TrainError> {
        let mut before: HashMap<ImageId, Vec<BoundingBox>> = before.into_iter().collect();
        let mut changed = Vec::new();
        for (at, sample) in self.samples.iter_mut().enumerate() {
            let before = before.remove(&sample.image).unwrap_or_default();
            if sample.boxes != before {
                let now = std::mem::replace(&mut sample.boxes, before);
                self.targets[at] = self.viewer.target(sample);
                changed.push((sample.image, now));
            }
        }
        for (image, boxes) in changed {
            self.set_boxes(image, boxes)?;
        }
        Ok(())
    }

    /// Keeps the place where the run was stopped, before its models go back to their best epochs. Where that fails their weights are
    /// saved nevertheless.
    pub(super) fn leave(&mut self, flow: Flow, learners: &mut [Learner]) -> Result<(), TrainError> {
        match flow {
            Flow::Done => Ok(()),
            Flow::Stopped => self
                .keep_place(learners)
                .inspect_err(|_| self.rescue(learners)),
        }
    }
}

/// Those of a checkpoint, by their names.
#[derive(Default)]
struct Tensors(HashMap<String, Tensor>);

impl Tensors {
    fn read(folder: &RunFolder, bytes: &[u8]) -> Result<Self, TrainError> {
        let damaged = |why: String| folder.checkpoint_error(&why);
        let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string()))?;
        let read = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
            let (_, kind) = KINDS
                .into_iter()
                .find(|(dtype, _)| *dtype == view.dtype())
                .ok_or_else(|| damaged(format!("{name} is of another kind")))?;
            let shape: Vec<i64> = view.shape().iter().map(|n| *n as i64).collect();
            let tensor = Tensor::f_from_data_size(view.data(), &shape, kind)?;
            Ok::<_, TrainError>((name, tensor))
        };
        let tensors = file.tensors().into_iter().map(read);
        Ok(Self(tensors.collect::<Result<_, _>>()?))
    }

    fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }
}

const KINDS: [(Dtype, Kind); 8] = [
    (Dtype::F32, Kind::Float),
    (Dtype::F64, Kind::Double),
    (Dtype::F16, Kind::Half),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::I64, Kind::Int64),
    (Dtype::I32, Kind::Int),
    (Dtype::U8, Kind::Uint8),
    (Dtype::BOOL, Kind::Bool),
];

/// A tensor on its way to the file: copied only when it is its turn.
struct Kept {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Contiguous, on the CPU; there it is the model's own.
    tensor: Tensor,
}

impl Kept {
    fn new(name: &str, tensor: &Tensor) -> Result<Self, TchError> {
        let kind = tensor.kind();
        let dtype = KINDS.into_iter().find(|(_, it)| *it == kind);
        let (dtype, _) = dtype.ok_or_else(|| {
            TchError::Kind(format!(
                "{name} is of a kind that no checkpoint holds: {kind:?}"
            ))
        })?;
        Ok(Self {
            dtype,
            shape: tensor.size().iter().map(|n| *n as usize).collect(),
            tensor: tensor.detach().f_to_device(Device::Cpu)?.f_contiguous()?,
        })
    }
}

impl View for Kept {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = vec![0; self.data_len()];
        self.tensor.copy_data_u8(&mut bytes, self.tensor.numel());
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}

/// What a checkpoint lacks, as an error.
pub(super) fn lacks(name: &str) -> TchError {
    let why = format!("the checkpoint has no {name}");
    TchError::Io(io::Error::new(io::ErrorKind::InvalidData, why))
}
