//! What the trainer tells whoever listens, and what it can be told: plain numbers, no tensors.

use care_data::{BoundingBox, HeatMap, ImageId, NotRead, RunId, RunState};
use serde::{Deserialize, Serialize};

use crate::config::LiveParams;
use crate::film::Refresh;
use crate::metrics::{McNemar, Summary};

/// Which of a run's three models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelRole {
    /// After stage 1 (while stage 1 runs: the model in training).
    Before,
    /// Stage 2 with alpha = 0, on the same batches as CARE.
    Control,
    Care,
}

impl ModelRole {
    pub const ALL: [Self; 3] = [Self::Before, Self::Control, Self::Care];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Control => "control",
            Self::Care => "CARE",
        }
    }
}

/// A normalised class activation map, each value in 0..=1.
pub type AttentionMap = HeatMap;

/// The attention of one model on one image for the image's own label, and how it scores.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageAttention {
    pub image: ImageId,
    pub map: AttentionMap,
    /// The map's largest value before normalisation, in logits ([`crate::grad_cam::peak`]): for showing several models' maps on one
    /// scale; none in runs of before it was kept.
    pub peak: Option<f32>,
    /// Softmax probability of each class, in class order.
    pub probabilities: Vec<f32>,
    /// Share of the attention that lies in the boxes, 0..=1; none without a box or with a flat map.
    pub energy: Option<f32>,
    /// Whether the map's maximum lies in a box; none as above.
    pub hit: Option<bool>,
    /// Intersection over union of the attended area with the boxes ([`crate::metrics::IOU_THRESHOLD`]); none as above, and in
    /// runs of before it was measured.
    pub iou: Option<f32>,
}

/// The watch list seen by one model at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct FilmFrame {
    pub role: ModelRole,
    /// Steps done in the whole run, both stages.
    pub step: u32,
    /// Epochs done in the whole run, fractional.
    pub epoch: f32,
    /// In the order of the watch list.
    pub images: Vec<ImageAttention>,
}

/// Mean energy in the box over the images that have one.
#[must_use]
pub fn mean_energy<'a>(images: impl IntoIterator<Item = &'a ImageAttention>) -> Option<f32> {
    let energies: Vec<f32> = images.into_iter().filter_map(|i| i.energy).collect();
    (!energies.is_empty()).then(|| energies.iter().sum::<f32>() / energies.len() as f32)
}

impl FilmFrame {
    #[must_use]
    pub fn seen(&self, image: ImageId) -> Option<&ImageAttention> {
        self.images.iter().find(|seen| seen.image == image)
    }

    /// Mean energy in the box over the watched images that have one.
    #[must_use]
    pub fn mean_energy(&self) -> Option<f32> {
        mean_energy(&self.images)
    }

    /// Share of the watched images with boxes whose largest attention lies in a box.
    #[must_use]
    pub fn hit_share(&self) -> Option<f32> {
        let hits: Vec<bool> = self.images.iter().filter_map(|i| i.hit).collect();
        let count = hits.iter().filter(|hit| **hit).count();
        (!hits.is_empty()).then(|| count as f32 / hits.len() as f32)
    }
}

/// The loss of one batch (Eqs. 1 to 4).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// L.
    pub total: f32,
    /// L_c.
    pub classification: f32,
    /// L_a, L_in and L_out: means over the batch's images with boxes; none where there is no such image.
    pub attention: Option<AttentionLosses>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AttentionLosses {
    pub l_in: f32,
    pub l_out: f32,
    pub l_a: f32,
}

/// What a run takes of a device's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Of this process, the window included.
    Process(u64),
    /// What libtorch holds of the GPU's memory.
    Gpu(u64),
}

/// One optimiser step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepMetrics {
    /// Steps done in the whole run, this one included.
    pub step: u32,
    pub num_steps: u32,
    pub epoch: f32,
    /// 1 or 2.
    pub stage: u8,
    pub learning_rate: f64,
    /// Stage 1: one entry, `Before`. Stage 2: `Control` and `Care`. Without a model that left the step out.
    pub losses: Vec<(ModelRole, Losses)>,
    /// Steps left out in the whole run because a loss or gradient was not a number, each model's counted.
    pub skipped: u32,
    /// Training images read by the network per second, both models counted, lately.
    pub images_per_second: f32,
    pub seconds_left: f32,
    /// Share of the time, 0..=1, that went by lately in waiting for images that were not decoded yet.
    pub waiting: f32,
    /// Share of the run's time, 0..=1, that the film has taken.
    pub film: f32,
    /// Memory in use, in bytes; none where the system does not say.
    pub memory: Option<Memory>,
}

/// One epoch of one model, with its score on the validation part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    pub role: ModelRole,
    /// 1-based over both stages.
    pub epoch: u32,
    pub stage: u8,
    /// Means over the epoch's steps.
    pub classification: f32,
    pub attention: Option<f32>,
    /// Mean energy in the box over the watched images, as last looked at.
    pub watched_energy: Option<f32>,
    /// Recall over all validation images of rare classes, and how many there are; none where there are none.
    pub rare_recall: Option<f32>,
    pub num_rare: u32,
    /// Mean class accuracy on validation; none where that part is empty.
    pub mca: Option<f32>,
    pub num_validation: u32,
    /// Steps left out because the loss or a gradient was not a number.
    #[serde(default)]
    pub skipped: u32,
    /// Means of L_in and L_out over the epoch's steps with boxes; none as `attention`. Not in runs of before they were kept, as
    /// all that follows.
    #[serde(default)]
    pub l_in: Option<f32>,
    #[serde(default)]
    pub l_out: Option<f32>,
    /// Mean of L.
    #[serde(default)]
    pub total: Option<f32>,
    /// Share of the watched images with boxes whose largest attention lies in a box.
    #[serde(default)]
    pub watched_hits: Option<f32>,
    /// Of the epoch's last step.
    #[serde(default)]
    pub learning_rate: Option<f64>,
}

/// A change made while the model trained, as kept in the run's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    Live {
        from: LiveParams,
        to: LiveParams,
    },
    Boxes {
        image: ImageId,
        boxes: Vec<BoundingBox>,
    },
    StageTwo,
    /// The film shows these images from here on, in this order; one of them at least came or went.
    Watch {
        images: Vec<ImageId>,
    },
    /// Stage 2 has so many epochs more than were planned.
    MoreEpochs {
        epochs: u32,
    },
    /// A batch did not fit into memory: from here on each is computed in two parts, whose gradients are added.
    BatchHalved,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Every epoch was trained.
    Finished(Results),
    /// Stopped by the user; the checkpoint of the last step is kept. With results where stage 2 had begun.
    Stopped(Option<Results>),
    /// What went wrong and what to do; the folder keeps the last checkpoint.
    Failed(String),
}

impl Outcome {
    #[must_use]
    pub fn state(&self) -> RunState {
        match self {
            Self::Finished(_) => RunState::Finished,
            Self::Stopped(_) => RunState::Stopped,
            Self::Failed(_) => RunState::Failed,
        }
    }
}

/// Everything measured on the test part at the end of a run; also in the run's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub seconds: f32,
    /// One for each model that there is.
    pub summaries: Vec<(ModelRole, Summary)>,
    /// CARE against the control on the rare test images; none where there are none or stage 2 had not begun.
    pub rare_difference: Option<McNemar>,
    /// The epoch whose weights each model was tested with, where it was chosen by the key metric; otherwise its last.
    #[serde(default)]
    pub kept: Vec<(ModelRole, u32)>,
}

impl Results {
    #[must_use]
    pub fn summary(&self, role: ModelRole) -> Option<&Summary> {
        self.summaries
            .iter()
            .find(|(r, _)| *r == role)
            .map(|(_, summary)| summary)
    }
}

/// A change with its moment, as a line of the run's `changes.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedChange {
    /// Epochs done in the whole run, fractional.
    pub epoch: f32,
    /// The change took effect after this step.
    pub step: u32,
    #[serde(flatten)]
    pub change: Change,
}

/// What the trainer reports, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainerEvent {
    /// Stage 1 is that of this run, which trained it from the same images with the same settings.
    Stage1Of(RunId),
    /// Images are being decoded.
    Loading {
        done: usize,
        total: usize,
    },
    /// All are decoded; those that could not be are left out of the run. Training has begun by then.
    Loaded {
        not_read: Vec<NotRead>,
    },
    /// The pretrained weights of the settings were taken, but where `new_classifier` not for the classifier layer: the
    /// file has none, or one for another number of classes. Before everything else, where there are such weights.
    Weights {
        new_classifier: bool,
    },
    /// The first come while images are still being decoded. May be dropped when the listener is slow; the run's own
    /// file is complete.
    Step(StepMetrics),
    Epoch(EpochMetrics),
    Film(FilmFrame),
    Changed {
        epoch: f32,
        step: u32,
        change: Change,
    },
    /// The test part is being scored: `done` of `total` images by this model.
    Evaluating {
        role: ModelRole,
        done: usize,
        total: usize,
    },
    /// Every epoch is trained; the test waits, as was asked for with [`TrainerCommand::HoldBeforeTest`].
    Held,
    Ended(Outcome),
}

/// What the trainer can be told while it runs. Stopping is a flag of its own, looked at by every loop.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainerCommand {
    /// Takes effect at the next step.
    Live(LiveParams),
    /// The image's boxes are now these, in pixels of the image as shown.
    Boxes {
        image: ImageId,
        boxes: Vec<BoundingBox>,
    },
    Pause,
    /// Goes on after a pause; a run that is held before its test is tested.
    Resume,
    /// Stage 2 is to have so many epochs more. Until the test begins.
    MoreEpochs(u32),
    /// Whether to wait after the last epoch, for more epochs or for [`Self::Resume`], before the test part is scored.
    HoldBeforeTest(bool),
    /// The film shows these images from now on, in this order. Images that the run does not have are passed over.
    Watch(Vec<ImageId>),
    /// How often it does, within its share of the time.
    Refresh(Refresh),
}
