//! One model being trained, and its step.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

use super::checkpoint::lacks;
use crate::attention_loss::{MaskBatch, attention_terms, total};
use crate::backbone::{Network, WeightsError};
use crate::classification_loss::ClassificationLoss;
use crate::config::{LiveParams, Precision, RunConfig};
use crate::evaluation::Viewer;
use crate::event::{AttentionLosses, Losses, ModelRole};
use crate::grad_cam::GradCam;
use crate::libtorch::autocast;
use crate::optimizer::Optimizer;

/// One model being trained.
pub(crate) struct Learner {
    pub(crate) role: ModelRole,
    pub(crate) network: Network,
    optimizer: Optimizer,
    /// Running statistics, which a forward pass changes, and what they were after the last good step.
    statistics: Vec<(Tensor, Tensor)>,
    best: Option<Best>,
    pub(crate) epoch: EpochSums,
    /// Steps left out one after the other, up to now.
    pub(crate) skipped_in_a_row: u32,
}

/// The best epoch so far.
struct Best {
    metric: f32,
    epoch: u32,
    network: Network,
}

/// Sums over an epoch's steps.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct EpochSums {
    steps: u32,
    total: f32,
    classification: f32,
    with_attention: u32,
    attention: f32,
    l_in: f32,
    l_out: f32,
    pub(crate) skipped: u32,
}

impl EpochSums {
    /// L.
    pub(crate) fn total(&self) -> f32 {
        self.total / self.steps.max(1) as f32
    }

    /// L_c.
    pub(crate) fn classification(&self) -> f32 {
        self.classification / self.steps.max(1) as f32
    }

    /// L_a and its parts.
    pub(crate) fn attention(&self) -> Option<AttentionLosses> {
        let mean = |sum: f32| sum / self.with_attention as f32;
        (self.with_attention > 0).then(|| AttentionLosses {
            l_in: mean(self.l_in),
            l_out: mean(self.l_out),
            l_a: mean(self.attention),
        })
    }
}

/// Of a model in training, everything but its tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LearnerState {
    optimizer_steps: u32,
    /// What its dropouts draw from.
    random: Vec<ChaCha8Rng>,
    epoch: EpochSums,
    skipped_in_a_row: u32,
    /// Its measure and its epoch.
    best: Option<(f32, u32)>,
}

/// A batch, or a part of one, on the device.
pub(crate) struct Batch {
    pub(crate) images: Tensor,
    pub(crate) labels: Vec<usize>,
    pub(crate) label_tensor: Tensor,
    /// The rows with boxes, and their masks.
    pub(crate) boxed: Option<(Vec<i64>, MaskBatch)>,
}

/// What all steps of a run have in common.
pub(crate) struct StepSettings {
    pub(crate) loss: ClassificationLoss,
    clip_norm: f64,
    precision: Precision,
}

impl StepSettings {
    pub(crate) fn new(config: &RunConfig, loss: ClassificationLoss) -> Self {
        Self {
            loss,
            clip_norm: config.clip_norm,
            precision: config.precision,
        }
    }
}

impl Learner {
    pub(crate) fn new(role: ModelRole, network: Network, config: &RunConfig) -> Self {
        let optimizer = Optimizer::new(config.optimizer, config.weight_decay, network.store());
        let variables = network.store().variables().into_values();
        let statistics = variables
            .filter(|variable| !variable.requires_grad())
            .map(|variable| {
                let kept = variable.copy();
                (variable, kept)
            })
            .collect();
        Self {
            role,
            optimizer,
            statistics,
            network,
            best: None,
            epoch: EpochSums::default(),
            skipped_in_a_row: 0,
        }
    }

    /// One forward and one backward pass for each part of a batch, and one step. F comes from the same forward pass as the
    /// logits. None where the loss or a gradient was not a number: nothing has changed then, and the step is counted as
    /// skipped.
    ///
    /// # Errors
    /// Where libtorch fails, which may also be a panic. [`Self::take_back`] has then to be called before the next step.
    pub(crate) fn step(
        &mut self,
        parts: &[Batch],
        viewer: &Viewer,
        settings: &StepSettings,
        alpha: f64,
        live: &LiveParams,
        learning_rate: f64,
    ) -> Result<Option<Losses>, TchError> {
        self.optimizer.forget_gradients()?;
        let shares = Shares::of(parts, &settings.loss);
        let mut losses: Option<Losses> = None;
        for (part, share) in parts.iter().zip(shares) {
            let (loss, of_part) = self.forward(part, share, viewer, settings, alpha, live)?;
            if !loss.double_value(&[]).is_finite() {
                return self.skip();
            }
            loss.f_backward()?;
            losses = Some(match losses {
                None => of_part,
                Some(before) => sum(&before, &of_part),
            });
        }
        let norm = self.optimizer.gradient_norm()?;
        if !norm.is_finite() {
            return self.skip();
        }
        if settings.clip_norm > 0.0 && norm > settings.clip_norm {
            self.optimizer.scale_gradients(settings.clip_norm / norm)?;
        }
        self.optimizer.step(learning_rate)?;
        for (now, kept) in &mut self.statistics {
            tch::no_grad(|| kept.copy_(now));
        }
        self.skipped_in_a_row = 0;
        self.epoch.steps += 1;
        if let Some(losses) = losses {
            self.epoch.total += losses.total;
            self.epoch.classification += losses.classification;
            if let Some(attention) = losses.attention {
                self.epoch.with_attention += 1;
                self.epoch.attention += attention.l_a;
                self.epoch.l_in += attention.l_in;
                self.epoch.l_out += attention.l_out;
            }
        }
        Ok(losses)
    }

    /// The part's share of the loss, and its share of each term.
    fn forward(
        &self,
        part: &Batch,
        share: Shares,
        viewer: &Viewer,
        settings: &StepSettings,
        alpha: f64,
        live: &LiveParams,
    ) -> Result<(Tensor, Losses), TchError> {
        let backbone = self.network.backbone();
        // The maps and the loss are computed in single precision in every case.
        let pass = || {
            let activations = backbone.features(&part.images, true).to_kind(Kind::Float);
            let logits = backbone.head(&activations, true).to_kind(Kind::Float);
            (activations, logits)
        };
        let (activations, logits) = match settings.precision {
            Precision::Fp32 => pass(),
            Precision::Bf16 => autocast(viewer.device, pass)?,
        };
        let l_c = settings.loss.mean(&logits, &part.labels) * share.classification;
        let terms = part.boxed.as_ref().map(|(rows, masks)| {
            let rows = Tensor::from_slice(rows).to_device(viewer.device);
            let of_boxed = |cam: GradCam| {
                cam.attention_of(&rows, backbone, &activations, &logits, &part.label_tensor)
            };
            // Without a share in the loss the terms are only reported.
            let attention = if alpha > 0.0 {
                of_boxed(viewer.cam)
            } else {
                of_boxed(viewer.cam.constant()).detach()
            };
            attention_terms(&attention, masks, live)
        });
        let l_a = terms.as_ref().map(|terms| &terms.l_a * share.attention);
        // Nothing times infinity is not a number.
        let loss = total(&l_c, l_a.as_ref().filter(|_| alpha > 0.0), alpha);
        let number = |tensor: &Tensor| tensor.double_value(&[]) as f32;
        let losses = Losses {
            total: number(&loss),
            classification: number(&l_c),
            attention: terms.map(|terms| AttentionLosses {
                l_in: number(&(terms.l_in * share.attention)),
                l_out: number(&(terms.l_out * share.attention)),
                l_a: l_a.as_ref().map_or(0.0, number),
            }),
        };
        Ok((loss, losses))
    }

    fn skip(&mut self) -> Result<Option<Losses>, TchError> {
        self.take_back()?;
        self.epoch.skipped += 1;
        self.skipped_in_a_row += 1;
        Ok(None)
    }

    /// Undoes what a step that did not come to its end has left behind.
    ///
    /// # Errors
    /// Where libtorch fails.
    pub(crate) fn take_back(&mut self) -> Result<(), TchError> {
        self.optimizer.forget_gradients()?;
        for (now, kept) in &mut self.statistics {
            tch::no_grad(|| now.copy_(kept));
        }
        Ok(())
    }

    /// Keeps the weights as they are where `metric`, at the end of this epoch, is higher than ever; says whether it is.
    ///
    /// # Errors
    /// Where the weights cannot be copied.
    pub(crate) fn keep_if_best(&mut self, metric: f32, epoch: u32) -> Result<bool, WeightsError> {
        let is_best = self.best.as_ref().is_none_or(|best| metric > best.metric);
        if is_best {
            self.best = Some(Best {
                metric,
                epoch,
                network: self.network.duplicate()?,
            });
        }
        Ok(is_best)
    }

    pub(crate) fn state(&self) -> LearnerState {
        let random = self.network.backbone().random().into_iter();
        LearnerState {
            optimizer_steps: self.optimizer.memory().0,
            random: random.map(|it| it.borrow().clone()).collect(),
            epoch: self.epoch.clone(),
            skipped_in_a_row: self.skipped_in_a_row,
            best: self.best.as_ref().map(|best| (best.metric, best.epoch)),
        }
    }

    /// Weights, those of the best epoch, and what the optimiser remembers.
    pub(crate) fn tensors(&self) -> Vec<(String, Tensor)> {
        let of = |prefix: &'static str, network: &Network| {
            let variables = network.store().variables().into_iter();
            variables.map(move |(name, tensor)| (format!("{prefix}.{name}"), tensor))
        };
        let mut tensors: Vec<_> = of("weights", &self.network).collect();
        tensors.extend(self.best.iter().flat_map(|best| of("best", &best.network)));
        tensors.extend(self.optimizer.memory().1);
        tensors
    }

    /// Goes on from what [`Self::state`] and [`Self::tensors`] gave.
    ///
    /// # Errors
    /// Where `tensor` has not all of them, or in another shape.
    pub(crate) fn restore<'a>(
        &mut self,
        state: LearnerState,
        tensor: impl Fn(&str) -> Option<&'a Tensor>,
    ) -> Result<(), WeightsError> {
        let tensor = |name: &str| tensor(name).ok_or_else(|| lacks(name));
        let fill = |prefix: &str, network: &Network| -> Result<(), TchError> {
            for (name, mut variable) in network.store().variables() {
                let kept = tensor(&format!("{prefix}.{name}"))?;
                tch::no_grad(|| variable.f_copy_(kept))?;
            }
            Ok(())
        };
        fill("weights", &self.network)?;
        for (now, kept) in &mut self.statistics {
            tch::no_grad(|| kept.f_copy_(now))?;
        }
        self.optimizer.restore(state.optimizer_steps, tensor)?;
        for (random, kept) in self.network.backbone().random().iter().zip(state.random) {
            random.replace(kept);
        }
        self.best = match state.best {
            None => None,
            Some((metric, epoch)) => {
                let network = self.network.duplicate()?;
                fill("best", &network)?;
                Some(Best {
                    metric,
                    epoch,
                    network,
                })
            }
        };
        self.epoch = state.epoch;
        self.skipped_in_a_row = state.skipped_in_a_row;
        Ok(())
    }

    /// It learns no more, only its network is used: what an optimiser remembers is let go.
    pub(crate) fn retire(&mut self) {
        self.optimizer.clear();
        self.statistics.clear();
    }

    /// Goes back to the weights of its best epoch, where one was kept; says which. It is not to learn on.
    pub(crate) fn return_to_best(&mut self) -> Option<u32> {
        let best = self.best.take()?;
        self.network = best.network;
        Some(best.epoch)
    }
}

/// What a part of a batch counts in the means over the whole.
#[derive(Debug, Clone, Copy)]
struct Shares {
    classification: f64,
    attention: f64,
}

impl Shares {
    fn of(parts: &[Batch], loss: &ClassificationLoss) -> Vec<Self> {
        let weight = |part: &Batch| loss.weight(&part.labels);
        let boxed = |part: &Batch| part.boxed.as_ref().map_or(0, |(rows, _)| rows.len());
        let weights: f64 = parts.iter().map(weight).sum();
        let all_boxed: usize = parts.iter().map(boxed).sum();
        parts
            .iter()
            .map(|part| Self {
                classification: weight(part) / weights,
                attention: boxed(part) as f64 / all_boxed.max(1) as f64,
            })
            .collect()
    }
}

fn sum(a: &Losses, b: &Losses) -> Losses {
    let attention = match (a.attention, b.attention) {
        (Some(a), Some(b)) => Some(AttentionLosses {
            l_in: a.l_in + b.l_in,
            l_out: a.l_out + b.l_out,
            l_a: a.l_a + b.l_a,
        }),
        (a, b) => a.or(b),
    };
    Losses {
        total: a.total + b.total,
        classification: a.classification + b.classification,
        attention,
    }
}

#[cfg(test)]
mod tests {
    use care_data::{BoundingBox, ImageSize};
    use tch::Device;

    use super::*;
    use crate::attention_loss::{GridMasks, Raster, Upsampling};
    use crate::backbone::Backbone;
    use crate::config::{BackboneKind, OptimizerKind, Outside};
    use crate::grad_cam::label_tensor;

    const SIDE: u32 = 112;

    /// Of so many images; the first `boxed` of each have boxes.
    fn batch(images: &Tensor, labels: &[usize], boxed: usize) -> Batch {
        let size = ImageSize::new(SIDE, SIDE);
        let upsampling = Upsampling::new(14, 14, size);
        let rect = BoundingBox::new(10.0, 20.0, 60.0, 50.0).expect("a box");
        let raster = Raster::new(&[rect], size, size);
        let masks = GridMasks::new(&raster, Outside::Uniform, &upsampling).expect("a box");
        let rows: Vec<i64> = (0..boxed as i64).collect();
        Batch {
            images: images.shallow_clone(),
            labels: labels.to_vec(),
            label_tensor: label_tensor(labels, Device::Cpu),
            boxed: (boxed > 0).then(|| {
                let masks = vec![&masks; boxed];
                (rows, MaskBatch::new(&masks, Kind::Float, Device::Cpu))
            }),
        }
    }

    /// Its batch normalisation as in evaluation, so that it does not couple images.
    struct Uncoupled(Box<dyn Backbone>);

    impl Backbone for Uncoupled {
        fn features(&self, images: &Tensor, _train: bool) -> Tensor {
            self.0.features(images, false)
        }

        fn head(&self, activations: &Tensor, train: bool) -> Tensor {
            self.0.head(activations, train)
        }

        fn pooled_linear(&self) -> Option<&Tensor> {
            self.0.pooled_linear()
        }
    }

    fn config() -> RunConfig {
        RunConfig {
            backbone: BackboneKind::SmallResnet,
            input_size: SIDE,
            optimizer: OptimizerKind::Sgd,
            ..RunConfig::default()
        }
    }

    fn images(n: i64) -> Tensor {
        let shape = [n, 3, i64::from(SIDE), i64::from(SIDE)];
        let count = shape.iter().product::<i64>();
        let numbers = Tensor::arange(count, (Kind::Float, Device::Cpu));
        (numbers * 0.37).sin().view(shape)
    }

    const LABELS: [usize; 5] = [0, 2, 1, 1, 0];

    /// One step: its losses, and the learner after it.
    fn step(config: &RunConfig, uncoupled: bool, parts: &[Batch]) -> (Option<Losses>, Learner) {
        tch::set_num_threads(1);
        let mut network = Network::new(config.backbone, 3, 1, Device::Cpu);
        let viewer = Viewer::new(config, &network, Device::Cpu);
        if uncoupled {
            network = network.wrapped(|whole| Box::new(Uncoupled(whole)));
        }
        let mut learner = Learner::new(ModelRole::Care, network, config);
        let loss = ClassificationLoss::new(&[6, 3, 1], config.class_weighted, config.focal_gamma);
        let settings = StepSettings::new(config, loss);
        let losses = learner
            .step(parts, &viewer, &settings, 0.5, &config.live, 0.1)
            .expect("a step");
        (losses, learner)
    }

    /// The largest difference of any variable.
    fn difference(a: &Network, b: &Network) -> f64 {
        let b = b.store().variables();
        let of = |(name, a): (String, Tensor)| (a - &b[&name]).abs().max().double_value(&[]);
        a.store()
            .variables()
            .into_iter()
            .map(of)
            .fold(0.0, f64::max)
    }

    #[test]
    fn parts_add_up_to_the_batch() {
        let config = RunConfig {
            class_weighted: true,
            focal_gamma: 2.0,
            ..config()
        };
        let images = images(5);
        let whole = [batch(&images, &LABELS, 3)];
        let parts = [
            batch(&images.narrow(0, 0, 2), &LABELS[..2], 2),
            batch(&images.narrow(0, 2, 3), &LABELS[2..], 1),
        ];
        let (of_whole, learner) = step(&config, true, &whole);
        let (of_parts, learner_of_parts) = step(&config, true, &parts);
        let near = |a: f32, b: f32| (a - b).abs() < 1e-5;
        let (a, b) = of_whole.zip(of_parts).expect("finite");
        assert!(near(a.total, b.total) && near(a.classification, b.classification));
        let (a, b) = a.attention.zip(b.attention).expect("boxes");
        assert!(near(a.l_in, b.l_in) && near(a.l_out, b.l_out) && near(a.l_a, b.l_a));
        let moved = Network::new(config.backbone, 3, 1, Device::Cpu);
        assert!(difference(&learner.network, &moved) > 1e-3);
        assert!(difference(&learner.network, &learner_of_parts.network) < 1e-5);
    }

    #[test]
    fn a_step_that_is_not_finite_leaves_everything_as_it_was() {
        let mut config = config();
        let batches = [batch(&images(5), &LABELS, 3)];
        let (losses, learner) = step(&config, false, &batches);
        let new = Network::new(config.backbone, 3, 1, Device::Cpu);
        assert!(losses.is_some() && difference(&learner.network, &new) > 1e-3);
        assert_eq!((learner.epoch.skipped, learner.skipped_in_a_row), (0, 0));
        // In single precision infinite.
        config.live.lambda = 1e300;
        let (losses, learner) = step(&config, false, &batches);
        assert_eq!(losses, None);
        assert_eq!(difference(&learner.network, &new), 0.0);
        assert_eq!((learner.epoch.skipped, learner.skipped_in_a_row), (1, 1));
    }

    #[test]
    fn large_gradients_are_clipped_as_a_whole() {
        let batches = [batch(&images(5), &LABELS, 3)];
        let new = Network::new(BackboneKind::SmallResnet, 3, 1, Device::Cpu);
        let distance = |clip_norm| {
            let config = RunConfig {
                clip_norm,
                ..config()
            };
            let (_, learner) = step(&config, false, &batches);
            let new = new.store().variables();
            let trained = learner.network.store().variables().into_iter();
            let squares = trained
                .filter(|(_, variable)| variable.requires_grad())
                .map(|(name, now)| (now - &new[&name]).square().sum(Kind::Double));
            squares.map(|sum| sum.double_value(&[])).sum::<f64>().sqrt()
        };
        // SGD's first step is the learning rate, 0.1, times the gradient.
        assert!((distance(0.01) - 0.001).abs() < 1e-6);
        assert!(distance(0.0) > 0.01);
        assert!((distance(0.0) - distance(1e9)).abs() < 1e-6);
    }

    #[test]
    fn bfloat16_comes_near() {
        let batches = [batch(&images(5), &LABELS, 3)];
        let of = |precision| {
            let config = RunConfig {
                precision,
                ..config()
            };
            step(&config, false, &batches).0.expect("finite")
        };
        let (exact, rough) = (of(Precision::Fp32), of(Precision::Bf16));
        assert_ne!(exact, rough);
        assert!((exact.total - rough.total).abs() < 0.03 * exact.classification);
    }
}
