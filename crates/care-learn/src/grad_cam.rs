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
const EPS: f64 = 1e-8;

/// How maps are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GradCam {
    pub normalisation: Normalisation,
    pub weights: CamWeights,
}

impl GradCam {
    /// F [B, h, w] from the activations [B, K, h, w] and logits [B, C] of one forward pass, for the classes
    /// `labels` [B] (i64). Differentiable with respect to the activations and, with [`CamWeights::Exact`], the head.
    ///
    /// For a head of pooling and one linear layer w_k is known in closed form. Any other head is differentiated,
    /// itself only, with its graph kept; gradients have to be enabled then.
    #[must_use]
    pub fn attention(
        self,
        backbone: &dyn Backbone,
        activations: &Tensor,
        logits: &Tensor,
        labels: &Tensor,
    ) -> Tensor {
        let weights = match backbone.pooled_linear() {
            Some(linear) => pooled_linear_weights(linear, labels, activations),
            None => head_weights(activations, logits, labels, self.weights == CamWeights::Exact),
        };
        let weights = match self.weights {
            CamWeights::Exact => weights,
            CamWeights::Constant => weights.detach(),
        };
        normalise(&weighted_sum(activations, &weights), self.normalisation)
    }

    /// F [B, h, w] and logits [B, C] in evaluation mode, without a graph, for images [B, 3, H, W].
    #[must_use]
    pub fn evaluate(self, backbone: &dyn Backbone, images: &Tensor, labels: &Tensor) -> (Tensor, Tensor) {
        let activations = tch::no_grad(|| backbone.features(images, false));
        if backbone.pooled_linear().is_some() {
            return tch::no_grad(|| {
                let logits = backbone.head(&activations, false);
                (self.attention(backbone, &activations, &logits, labels), logits)
            });
        }
        let constant = Self {
            weights: CamWeights::Constant,
            ..self
        };
        tch::with_grad(|| {
            let activations = activations.detach().set_requires_grad(true);
            let logits = backbone.head(&activations, false);
            let attention = constant.attention(backbone, &activations, &logits, labels);
            (attention.detach(), logits.detach())
        })
    }
}

/// w [B, K] of a head that is global average pooling and a linear layer `linear` [C, K]: `W[c, k] / (h w)`.
#[must_use]
pub fn pooled_linear_weights(linear: &Tensor, labels: &Tensor, activations: &Tensor) -> Tensor {
    let area = activations.size()[2..].iter().product::<i64>();
    linear.index_select(0, labels) / area as f64
}

/// w [B, K] of any head, by differentiating it. In evaluation mode nothing couples the images of a batch, so the
/// gradient of the batch's sum holds each image's own.
#[must_use]
pub fn head_weights(activations: &Tensor, logits: &Tensor, labels: &Tensor, create_graph: bool) -> Tensor {
    let score = logits.gather(1, &labels.unsqueeze(1), false).sum(logits.kind());
    let gradients = Tensor::run_backward(&[score], &[activations], true, create_graph);
    gradients[0].mean_dim([2, 3].as_slice(), false, activations.kind())
}

/// `sum_k w_k A_k`, [B, h, w].
#[must_use]
pub fn weighted_sum(activations: &Tensor, weights: &Tensor) -> Tensor {
    let size = activations.size();
    let flat = activations.flatten(2, 3);
    weights.unsqueeze(1).bmm(&flat).view([size[0], size[2], size[3]])
}

/// F in 0..=1 from a weighted sum [B, h, w].
#[must_use]
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

/// Labels as the functions here want them.
#[must_use]
pub fn label_tensor(labels: &[usize], device: tch::Device) -> Tensor {
    let labels: Vec<i64> = labels.iter().map(|l| *l as i64).collect();
    Tensor::from_slice(&labels).to_kind(Kind::Int64).to_device(device)
}
