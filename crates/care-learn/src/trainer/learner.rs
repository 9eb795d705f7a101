//! One model being trained, and its step.

use tch::Tensor;
use tch::nn::{self, OptimizerConfig};

use super::TrainError;
use crate::attention_loss::{MaskBatch, attention_terms, total};
use crate::backbone::Network;
use crate::config::LiveParams;
use crate::evaluation::Viewer;
use crate::event::{AttentionLosses, Losses, ModelRole};
use crate::grad_cam::GradCam;

/// One model being trained.
pub(super) struct Learner {
    pub(super) role: ModelRole,
    pub(super) network: Network,
    pub(super) optimizer: nn::Optimizer,
    pub(super) epoch: EpochSums,
}

/// Sums over an epoch's steps.
#[derive(Default)]
pub(super) struct EpochSums {
    steps: u32,
    classification: f32,
    with_attention: u32,
    attention: f32,
}

impl EpochSums {
    pub(super) fn classification(&self) -> f32 {
        self.classification / self.steps.max(1) as f32
    }

    pub(super) fn attention(&self) -> Option<f32> {
        (self.with_attention > 0).then(|| self.attention / self.with_attention as f32)
    }
}

/// A batch on the device.
pub(super) struct Batch {
    pub(super) images: Tensor,
    pub(super) labels: Tensor,
    /// The rows with boxes, and their masks.
    pub(super) boxed: Option<(Tensor, MaskBatch)>,
    pub(super) len: usize,
}

impl Learner {
    pub(super) fn new(
        role: ModelRole,
        network: Network,
        learning_rate: f64,
    ) -> Result<Self, TrainError> {
        // The paper's Adam: betas (0.9, 0.999), no weight decay.
        let optimizer = nn::Adam::default().build(network.store(), learning_rate)?;
        Ok(Self {
            role,
            network,
            optimizer,
            epoch: EpochSums::default(),
        })
    }

    /// One forward and one backward pass. F comes from the same forward pass as the logits.
    pub(super) fn step(
        &mut self,
        batch: &Batch,
        viewer: &Viewer,
        alpha: f64,
        live: &LiveParams,
    ) -> Option<Losses> {
        let backbone = self.network.backbone();
        let activations = backbone.features(&batch.images, true);
        let logits = backbone.head(&activations, true);
        let l_c = logits.cross_entropy_for_logits(&batch.labels);
        let terms = batch.boxed.as_ref().map(|(rows, masks)| {
            let of_boxed = |cam: GradCam| {
                cam.attention_of(rows, backbone, &activations, &logits, &batch.labels)
            };
            // Without a share in the loss the terms are only reported.
            let attention = if alpha > 0.0 {
                of_boxed(viewer.cam)
            } else {
                of_boxed(viewer.cam.constant()).detach()
            };
            attention_terms(&attention, masks, live)
        });
        let loss = total(&l_c, terms.as_ref().map(|terms| &terms.l_a), alpha);
        let number = |tensor: &Tensor| tensor.double_value(&[]) as f32;
        let losses = Losses {
            total: number(&loss),
            classification: number(&l_c),
            attention: terms.as_ref().map(|terms| AttentionLosses {
                l_in: number(&terms.l_in),
                l_out: number(&terms.l_out),
                l_a: number(&terms.l_a),
            }),
        };
        if !losses.total.is_finite() || !losses.classification.is_finite() {
            return None;
        }
        self.optimizer.backward_step(&loss);
        self.epoch.steps += 1;
        self.epoch.classification += losses.classification;
        if let Some(attention) = losses.attention {
            self.epoch.with_attention += 1;
            self.epoch.attention += attention.l_a;
        }
        Some(losses)
    }
}
