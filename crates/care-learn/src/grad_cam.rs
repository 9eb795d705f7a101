//! Grad-CAM (Selvaraju et al. 2017) for a network split into `features -> A` and `head(A) -> logits`.
//!
//! ```text
//! w_k = mean over (i, j) of  d y_c / d A_k(i, j)
//! map = ReLU( sum_k w_k A_k )
//! F   = map / (max(map) + eps)
//! ```
//!
//! `y_c` is the logit of the image's own label. F stays on the grid of A; enlarging is linear, so the loss needs no
//! enlarged map (see [`attention_loss`](crate::attention_loss)). A flat map says nothing about a place: its F is 0.

use tch::{Kind, Tensor};

use crate::backbone::Backbone;
use crate::config::{CamWeights, Normalisation};

/// Keeps the division defined; far below any activation.
pub(crate) const EPS: f64 = 1e-8;

/// How maps are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GradCam {
    pub normalisation: Normalisation,
    pub weights: CamWeights,
}

/// What a network in evaluation mode makes of images.
#[derive(Debug)]
pub struct Evaluated {
    /// F [B, h, w].
    pub attention: Tensor,
    /// The weighted sum [B, h, w] that F is, before normalisation.
    pub raw: Tensor,
    /// [B, C].
    pub logits: Tensor,
}

impl GradCam {
    /// F [B, h, w] from the activations [B, K, h, w] and logits [B, C] of one forward pass, for the classes
    /// `labels` [B] (i64). Differentiable with respect to the activations and, with [`CamWeights::Exact`], the head.
    ///
    /// For a head of pooling and one linear layer w_k is known in closed form. Any other head is differentiated,
    /// itself only, with its graph kept; gradients have to be enabled then.
    pub fn attention(
        self,
        backbone: &dyn Backbone,
        activations: &Tensor,
        logits: &Tensor,
        labels: &Tensor,
    ) -> Tensor {
        let raw = self.raw(backbone, activations, logits, labels);
        normalise(&raw, self.normalisation)
    }

    /// The weighted sum [B, h, w] of [`Self::attention`], before it is normalised.
    fn raw(
        self,
        backbone: &dyn Backbone,
        activations: &Tensor,
        logits: &Tensor,
        labels: &Tensor,
    ) -> Tensor {
        let weights = match backbone.pooled_linear() {
            Some(linear) => {
                let weights = pooled_linear_weights(linear, labels, activations);
                match self.weights {
                    CamWeights::Exact => weights,
                    CamWeights::Constant => weights.detach(),
                }
            }
            None => self.head_weights(activations, logits, labels),
        };
        weighted_sum(activations, &weights)
    }

    /// The same maps with constant weights, for maps that are only looked at: nothing is differentiated twice.
    #[must_use]
    pub fn constant(self) -> Self {
        Self {
            weights: CamWeights::Constant,
            ..self
        }
    }

    fn head_weights(self, activations: &Tensor, logits: &Tensor, labels: &Tensor) -> Tensor {
        let is_exact = self.weights == CamWeights::Exact;
        head_weights(activations, logits, labels, is_exact)
    }

    /// As [`Self::attention`], F [n, h, w] of the images `rows` [n] (i64) alone: what the others' would cost is saved.
    pub fn attention_of(
        self,
        rows: &Tensor,
        backbone: &dyn Backbone,
        activations: &Tensor,
        logits: &Tensor,
        labels: &Tensor,
    ) -> Tensor {
        let [own, own_logits, own_labels] =
            [activations, logits, labels].map(|of_all| of_all.index_select(0, rows));
        if backbone.pooled_linear().is_some() {
            return self.attention(backbone, &own, &own_logits, &own_labels);
        }
        // Through the one pass of the whole batch: a second one for these images alone would read the head's weights
        // again, and in VGG's that takes longer than the others' share of this.
        let weights = self.head_weights(activations, &own_logits, &own_labels);
        let raw = weighted_sum(&own, &weights.index_select(0, rows));
        normalise(&raw, self.normalisation)
    }

    /// Maps and logits in evaluation mode, without a graph, for images [B, 3, H, W].
    pub fn evaluate(self, backbone: &dyn Backbone, images: &Tensor, labels: &Tensor) -> Evaluated {
        let activations = tch::no_grad(|| backbone.features(images, false));
        self.evaluate_activations(backbone, &activations, labels)
    }

    /// As [`Self::evaluate`], from the images' activations.
    pub fn evaluate_activations(
        self,
        backbone: &dyn Backbone,
        activations: &Tensor,
        labels: &Tensor,
    ) -> Evaluated {
        let (raw, logits) = if backbone.pooled_linear().is_some() {
            tch::no_grad(|| {
                let logits = backbone.head(activations, false);
                (self.raw(backbone, activations, &logits, labels), logits)
            })
        } else {
            let constant = self.constant();
            tch::with_grad(|| {
                let activations = activations.detach().set_requires_grad(true);
                let logits = backbone.head(&activations, false);
                let raw = constant.raw(backbone, &activations, &logits, labels);
                (raw.detach(), logits.detach())
            })
        };
        Evaluated {
            attention: tch::no_grad(|| normalise(&raw, self.normalisation)),
            raw,
            logits,
        }
    }
}

/// w [B, K] of a head that is global average pooling and a linear layer `linear` [C, K]: `W[c, k] / (h w)`.
pub fn pooled_linear_weights(linear: &Tensor, labels: &Tensor, activations: &Tensor) -> Tensor {
    let area = activations.size()[2..].iter().product::<i64>();
    linear.index_select(0, labels) / area as f64
}

/// w [B, K] of any head, by differentiating it: of the scores of `logits` [n, C] for `labels` [n], with respect to the
/// activations [B, K, h, w] that they come from. Where nothing couples the images of a batch, as in evaluation mode, the
/// gradient of the sum holds each image's own.
pub fn head_weights(
    activations: &Tensor,
    logits: &Tensor,
    labels: &Tensor,
    create_graph: bool,
) -> Tensor {
    let score = logits
        .gather(1, &labels.unsqueeze(1), false)
        .sum(logits.kind());
    let gradients = Tensor::run_backward(&[score], &[activations], true, create_graph);
    gradients[0].mean_dim([2, 3].as_slice(), false, activations.kind())
}

/// `sum_k w_k A_k`, [B, h, w].
pub fn weighted_sum(activations: &Tensor, weights: &Tensor) -> Tensor {
    let size = activations.size();
    let flat = activations.flatten(2, 3);
    weights
        .unsqueeze(1)
        .bmm(&flat)
        .view([size[0], size[2], size[3]])
}

/// F in 0..=1 from a weighted sum [B, h, w].
pub fn normalise(raw: &Tensor, normalisation: Normalisation) -> Tensor {
    let over = [1, 2].as_slice();
    let map = match normalisation {
        Normalisation::Max => raw.relu(),
        Normalisation::MinMax => raw - raw.amin(over, true),
    };
    let high = map.amax(over, true);
    let varies = tch::no_grad(|| map.amin(over, true).less_tensor(&high)).to_kind(raw.kind());
    map / (high + EPS) * varies
}

/// What the values of a weighted sum are divided by to give F: the largest, after the ReLU or above the smallest.
#[must_use]
pub fn peak(raw: &[f32], normalisation: Normalisation) -> f32 {
    let floor = floor(raw, normalisation);
    raw.iter().map(|value| value - floor).fold(0.0, f32::max)
}

/// What F is 0 at, and below.
pub(crate) fn floor(raw: &[f32], normalisation: Normalisation) -> f32 {
    match normalisation {
        Normalisation::Max => 0.0,
        Normalisation::MinMax => raw.iter().copied().fold(f32::INFINITY, f32::min),
    }
}

/// Labels as the functions here want them.
pub fn label_tensor(labels: &[usize], device: tch::Device) -> Tensor {
    let labels: Vec<i64> = labels.iter().map(|l| *l as i64).collect();
    Tensor::from_slice(&labels)
        .to_kind(Kind::Int64)
        .to_device(device)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::backbone::Network;
    use crate::config::BackboneKind;

    const F64: (Kind, Device) = (Kind::Double, Device::Cpu);

    /// Pooling and one linear layer, which says so or keeps it to itself.
    struct Pooled {
        linear: Tensor,
        says_so: bool,
    }

    impl Backbone for Pooled {
        fn features(&self, images: &Tensor, _train: bool) -> Tensor {
            images.relu()
        }

        fn head(&self, activations: &Tensor, _train: bool) -> Tensor {
            activations
                .mean_dim([2, 3].as_slice(), false, activations.kind())
                .matmul(&self.linear.transpose(0, 1))
        }

        fn pooled_linear(&self) -> Option<&Tensor> {
            self.says_so.then_some(&self.linear)
        }
    }

    fn numbers(shape: &[i64], phase: f64) -> Tensor {
        let n: i64 = shape.iter().product();
        ((Tensor::arange(n, F64) * 1.3 + phase).sin() * 0.9 + 0.2).view(shape)
    }

    fn close(a: &Tensor, b: &Tensor, tolerance: f64) -> bool {
        (a - b).abs().max().double_value(&[]) < tolerance
    }

    #[test]
    fn a_map_computed_by_hand() {
        // Two channels of 2 x 2; weights 4 and -8 over 4 places.
        let activations =
            Tensor::from_slice(&[1.0, 2.0, 3.0, 0.0, 0.5, 0.0, 0.0, 2.0]).view([1, 2, 2, 2]);
        let linear = Tensor::from_slice(&[0.0, 0.0, 4.0, -8.0]).view([2, 2]);
        let labels = Tensor::from_slice(&[1i64]);
        let weights = pooled_linear_weights(&linear, &labels, &activations);
        assert_eq!(weights, Tensor::from_slice(&[1.0, -2.0]).view([1, 2]));
        let raw = weighted_sum(&activations, &weights);
        assert_eq!(
            raw,
            Tensor::from_slice(&[0.0, 2.0, 3.0, -4.0]).view([1, 2, 2])
        );
        let f = normalise(&raw, Normalisation::Max);
        assert!(close(
            &f,
            &Tensor::from_slice(&[0.0, 2.0 / 3.0, 1.0, 0.0]).view([1, 2, 2]),
            1e-7
        ));
        let f = normalise(&raw, Normalisation::MinMax);
        assert!(close(
            &f,
            &Tensor::from_slice(&[4.0 / 7.0, 6.0 / 7.0, 1.0, 0.0]).view([1, 2, 2]),
            1e-7
        ));
    }

    /// Maps, and the loss's gradients through exact and constant weights, by either way to w_k.
    #[test]
    fn closed_form_and_autograd_through_the_head_agree() {
        for (normalisation, weights) in [
            (Normalisation::Max, CamWeights::Exact),
            (Normalisation::Max, CamWeights::Constant),
            (Normalisation::MinMax, CamWeights::Exact),
            (Normalisation::MinMax, CamWeights::Constant),
        ] {
            let cam = GradCam {
                normalisation,
                weights,
            };
            let labels = Tensor::from_slice(&[2i64, 0, 1]);
            let run = |says_so| {
                let linear = numbers(&[3, 5], 0.7).set_requires_grad(true);
                let images = numbers(&[3, 5, 4, 6], 0.1).set_requires_grad(true);
                let backbone = Pooled { linear, says_so };
                let activations = backbone.features(&images, true);
                let logits = backbone.head(&activations, true);
                let f = cam.attention(&backbone, &activations, &logits, &labels);
                let loss = (&f * numbers(&[3, 4, 6], 1.9)).sum(Kind::Double)
                    + logits.square().mean(Kind::Double);
                let gradients =
                    Tensor::run_backward(&[loss], &[&images, &backbone.linear], false, false);
                (
                    f,
                    gradients,
                    cam.evaluate(&backbone, &images.detach(), &labels).attention,
                )
            };
            let (closed, closed_gradients, closed_seen) = run(true);
            let (auto, auto_gradients, auto_seen) = run(false);
            assert!(close(&closed, &auto, 1e-5));
            assert!(close(&closed, &closed_seen, 1e-9) && close(&auto, &auto_seen, 1e-9));
            for (a, b) in closed_gradients.iter().zip(&auto_gradients) {
                assert!(close(a, b, 1e-5), "{cam:?}");
            }
        }
    }

    #[test]
    fn some_images_alone_are_attended_to_as_among_all() {
        let labels = Tensor::from_slice(&[2i64, 0, 1, 1, 2]);
        for (weights, says_so) in [
            (CamWeights::Exact, true),
            (CamWeights::Exact, false),
            (CamWeights::Constant, true),
            (CamWeights::Constant, false),
        ] {
            let cam = GradCam {
                weights,
                ..GradCam::default()
            };
            for rows in [&[1i64, 3][..], &[0], &[0, 1, 2, 3, 4], &[2, 4]] {
                let rows = Tensor::from_slice(rows);
                let run = |alone| {
                    let linear = numbers(&[3, 5], 0.7).set_requires_grad(true);
                    let images = numbers(&[5, 5, 4, 6], 0.1).set_requires_grad(true);
                    let backbone = Pooled { linear, says_so };
                    let activations = backbone.features(&images, true);
                    let logits = backbone.head(&activations, true);
                    let f = if alone {
                        cam.attention_of(&rows, &backbone, &activations, &logits, &labels)
                    } else {
                        cam.attention(&backbone, &activations, &logits, &labels)
                            .index_select(0, &rows)
                    };
                    let loss = (&f * numbers(&f.size(), 1.9)).sum(Kind::Double)
                        + logits.square().mean(Kind::Double);
                    let of = [&images, &backbone.linear];
                    let mut found = Tensor::run_backward(&[loss], &of, false, false);
                    found.push(f);
                    found
                };
                for (alone, among) in run(true).iter().zip(&run(false)) {
                    assert!(close(alone, among, 1e-12), "{weights:?} {says_so} {rows:?}");
                }
            }
        }
    }

    /// Maps of a layer in the middle and their gradients, against differences of the scores and of the maps.
    #[test]
    fn a_split_in_the_middle_is_differentiated_exactly() {
        for layer in ["layer1", "layer2"] {
            let network = Network::new(BackboneKind::SmallResnet, 3, 1, Device::Cpu);
            let network = network.split_at(layer).expect("its own layer");
            network.store().root().set_kind(Kind::Double);
            let backbone = network.backbone();
            assert!(backbone.pooled_linear().is_none());
            let images = numbers(&[2, 3, 24, 24], 0.3);
            let labels = Tensor::from_slice(&[2i64, 0]);
            let activations = tch::no_grad(|| backbone.features(&images, false));
            let score = |a: &Tensor| {
                let logits = backbone.head(a, false);
                logits.gather(1, &labels.unsqueeze(1), false).squeeze()
            };
            // A channel moved as a whole moves the score by h w w_k.
            let size = activations.size();
            let area = (size[2] * size[3]) as f64;
            let step = 1e-5;
            let weights: Vec<Tensor> = (0..size[1])
                .map(|channel| {
                    let moved = Tensor::zeros([1, size[1], 1, 1], F64);
                    let _ = moved.narrow(1, channel, 1).fill_(step);
                    let [up, down] = [&activations + &moved, &activations - &moved]
                        .map(|a| tch::no_grad(|| score(&a)));
                    (up - down) / (2.0 * step * area)
                })
                .collect();
            let raw = weighted_sum(&activations, &Tensor::stack(&weights, 1));
            let expected = normalise(&raw, Normalisation::Max);
            let seen = GradCam::default().evaluate(backbone, &images, &labels);
            assert!(close(&seen.raw, &raw, 1e-4), "{layer}");
            let seen = seen.attention;
            assert!(close(&seen, &expected, 1e-4), "{layer}");
            assert!(seen.max().double_value(&[]) > 0.9, "{layer}");

            let value = || {
                let activations = backbone.features(&images, false);
                let logits = backbone.head(&activations, false);
                let f = GradCam::default().attention(backbone, &activations, &logits, &labels);
                (&f * numbers(&f.size(), 1.9)).sum(Kind::Double)
            };
            let variables = network.store().variables();
            for name in [
                "layer1.0.conv1.weight",
                "layer3.0.conv2.weight",
                "fc.weight",
            ] {
                let mut variable = variables[name].shallow_clone();
                let gradient = &Tensor::run_backward(&[value()], &[&variable], false, false)[0];
                let direction = numbers(&variable.size(), 0.5);
                let expected = (gradient * &direction).sum(Kind::Double).double_value(&[]);
                let mut at = |step: f64| {
                    let _ = tch::no_grad(|| variable.f_add_(&(&direction * step))).expect("adds");
                    value().double_value(&[])
                };
                let found = (at(1e-6) - at(-2e-6)) / 2e-6;
                let error = (found - expected).abs() / expected.abs().max(1e-3);
                assert!(error < 1e-3, "{layer} {name}: {found}, not {expected}");
            }
        }
    }

    /// A real network that keeps to itself what its head is.
    struct Silent<'a>(&'a dyn Backbone);

    impl Backbone for Silent<'_> {
        fn features(&self, images: &Tensor, train: bool) -> Tensor {
            self.0.features(images, train)
        }

        fn head(&self, activations: &Tensor, train: bool) -> Tensor {
            self.0.head(activations, train)
        }

        fn pooled_linear(&self) -> Option<&Tensor> {
            None
        }
    }

    #[test]
    fn closed_form_and_autograd_agree_on_the_real_networks() {
        for kind in [BackboneKind::SmallResnet, BackboneKind::Resnet18] {
            let network = Network::new(kind, 5, 1, Device::Cpu);
            let backbone = network.backbone();
            let layer = kind.last_layer().expect("built in");
            let side = i64::from(layer.smallest_input());
            let images = numbers(&[3, 3, side, side], 0.3).to_kind(Kind::Float);
            let labels = Tensor::from_slice(&[4i64, 0, 2]);
            for normalisation in [Normalisation::Max, Normalisation::MinMax] {
                let cam = GradCam {
                    normalisation,
                    ..GradCam::default()
                };
                let Evaluated {
                    attention: closed,
                    logits,
                    ..
                } = cam.evaluate(backbone, &images, &labels);
                let Evaluated {
                    attention: auto,
                    logits: auto_logits,
                    ..
                } = cam.evaluate(&Silent(backbone), &images, &labels);
                assert_eq!((closed.kind(), closed.size()), (Kind::Float, vec![3, 7, 7]));
                assert!(close(&closed, &auto, 1e-5), "{kind:?} {normalisation:?}");
                assert!(close(&logits, &auto_logits, 1e-5), "{kind:?}");
                // Flat maps would agree about nothing.
                assert!(closed.max().double_value(&[]) > 0.9, "{kind:?}");
            }
        }
    }

    #[test]
    fn exact_and_constant_weights_have_different_gradients() {
        let labels = Tensor::from_slice(&[1i64]);
        let gradient = |weights| {
            let linear = numbers(&[2, 3], 0.7).set_requires_grad(true);
            let backbone = Pooled {
                linear,
                says_so: true,
            };
            let activations = numbers(&[1, 3, 4, 4], 0.3).relu();
            let logits = backbone.head(&activations, true);
            let cam = GradCam {
                weights,
                ..GradCam::default()
            };
            let f = cam.attention(&backbone, &activations, &logits, &labels);
            let loss = f.get(0).get(0).sum(Kind::Double) + logits.sum(Kind::Double) * 0.0;
            Tensor::run_backward(&[loss], &[&backbone.linear], false, false)[0]
                .abs()
                .max()
                .double_value(&[])
        };
        assert!(gradient(CamWeights::Exact) > 1e-3);
        assert_eq!(gradient(CamWeights::Constant), 0.0);
    }

    #[test]
    fn a_flat_map_is_nowhere_and_no_gradient_is_lost_in_it() {
        for normalisation in [Normalisation::Max, Normalisation::MinMax] {
            for value in [0.0, 1.0, -1.0, 1e-30] {
                let raw = Tensor::full([2, 3, 3], value, F64).set_requires_grad(true);
                let f = normalise(&raw, normalisation);
                assert_eq!(
                    f.abs().max().double_value(&[]),
                    0.0,
                    "{normalisation:?} {value}"
                );
                let gradient =
                    &Tensor::run_backward(&[f.sum(Kind::Double)], &[&raw], false, false)[0];
                assert!(
                    gradient.isfinite().all().int64_value(&[]) == 1,
                    "{normalisation:?} {value}"
                );
            }
        }
    }

    #[test]
    fn a_map_times_its_peak_is_the_sum_again() {
        let raw = [-1.0f32, 0.5, 3.0, -0.25];
        for (normalisation, floor) in [(Normalisation::Max, 0.0), (Normalisation::MinMax, -1.0)] {
            let peak = peak(&raw, normalisation);
            let f = normalise(&Tensor::from_slice(&raw).view([1, 2, 2]), normalisation);
            let f = Vec::<f32>::try_from(f.flatten(0, -1)).expect("numbers");
            for (f, raw) in f.iter().zip(raw) {
                assert!(
                    (f * peak + floor - raw.max(floor)).abs() < 1e-6,
                    "{normalisation:?}"
                );
            }
        }
        assert_eq!(peak(&[-1.0, -2.0], Normalisation::Max), 0.0);
    }

    #[test]
    fn an_images_map_depends_on_that_image_alone() {
        let backbone = Pooled {
            linear: numbers(&[3, 5], 0.7),
            says_so: false,
        };
        let images = numbers(&[4, 5, 3, 3], 0.1);
        let labels = Tensor::from_slice(&[2i64, 0, 1, 1]);
        let together = GradCam::default()
            .evaluate(&backbone, &images, &labels)
            .attention;
        for i in 0..4 {
            let alone = GradCam::default()
                .evaluate(&backbone, &images.narrow(0, i, 1), &labels.narrow(0, i, 1))
                .attention;
            assert!(close(&together.narrow(0, i, 1), &alone, 1e-12));
        }
    }
}
