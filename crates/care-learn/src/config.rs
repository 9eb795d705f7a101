//! The settings of a run, as they stand in its `config.toml`.

use serde::{Deserialize, Serialize};

/// The three numbers of the attention loss. They may change while a model trains.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveParams {
    /// Eq. 1: share of the attention loss in the whole, 0..=1.
    pub alpha: f64,
    /// Eq. 2: weight of the attention outside the boxes, >= 0.
    pub lambda: f64,
    /// Eq. 3: mean attention inside the boxes beyond which there is no more reward, 0..=1.
    pub tau: f64,
}

impl Default for LiveParams {
    fn default() -> Self {
        Self { alpha: 0.5, lambda: 0.7, tau: 0.6 }
    }
}

/// The network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackboneKind {
    /// Three residual stages with a last map of an eighth of the input's side (12 x 12 at 96). For the demo.
    #[default]
    SmallResnet,
    /// He et al. 2016, torchvision's names; last map a thirty-second of the input's side (7 x 7 at 224).
    Resnet18,
}

/// How an activation map becomes F in 0..=1 (method.md, Grad-CAM).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// ReLU, then divided by the largest value.
    #[default]
    Max,
    /// The smallest value subtracted, then divided by the largest; as the authors' released code.
    MinMax,
}

/// Whether the loss is differentiated through the Grad-CAM weights w_k as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CamWeights {
    #[default]
    Exact,
    Constant,
}

/// What M_out is outside the boxes (Eq. 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outside {
    #[default]
    Uniform,
    /// The distance to the nearest box over the largest such distance in the image.
    Distance,
}

/// Every setting of a run. `Default` is the paper's, at the size of the demo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    pub backbone: BackboneKind,
    /// Side of the square network input in pixels.
    pub input_size: u32,
    /// Seeds the network, the batches and the intervals.
    pub seed: u64,
    /// Epochs of stage 1 (cross-entropy only), at most; it ends early on a plateau.
    pub stage1_epochs: u32,
    /// Epochs of stage 2 (CARE and its control).
    pub stage2_epochs: u32,
    /// Adam's learning rate at the start of each stage; it decays along a cosine.
    pub learning_rate: f64,
    /// P: classes in a batch; limited by the classes there are.
    pub classes_per_batch: usize,
    /// K: images of each class in a batch.
    pub images_per_class: usize,
    pub normalisation: Normalisation,
    pub cam_weights: CamWeights,
    pub outside: Outside,
    /// Pretrained weights (safetensors); the classifier layer is new where its shape differs.
    pub weights: Option<std::path::PathBuf>,
    #[serde(flatten)]
    pub live: LiveParams,
}
