//! L_c: cross-entropy, weighted by class ("CSL" in the paper's Table 1) or focal ("FL"), or both.
//!
//! ```text
//! l_i = -(1 - p_i)^gamma log p_i        p_i: probability of image i's own class; gamma = 0 is cross-entropy
//! L_c = sum_i w_i l_i / sum_i w_i       w_i = N / (C n_c) of its class c, or 1
//! ```

use tch::Tensor;

/// Keeps the derivative of `(1 - p)^gamma` finite at p = 1 for gamma below 1.
const LEAST_DOUBT: f64 = 1e-7;

/// Which of them.
#[derive(Debug, Clone)]
pub struct ClassificationLoss {
    /// In class order.
    weights: Vec<f64>,
    gamma: f64,
}

impl ClassificationLoss {
    /// `counts` are the training images of each class; those without any get weight 1, which nothing uses.
    #[must_use]
    pub fn new(counts: &[usize], class_weighted: bool, gamma: f64) -> Self {
        let images: usize = counts.iter().sum();
        let classes = counts.iter().filter(|n| **n > 0).count();
        let weight = |n: &usize| {
            if class_weighted && *n > 0 {
                images as f64 / (classes * n) as f64
            } else {
                1.0
            }
        };
        Self {
            weights: counts.iter().map(weight).collect(),
            gamma,
        }
    }

    /// `sum_i w_i` of images with these labels.
    #[must_use]
    pub fn weight(&self, labels: &[usize]) -> f64 {
        labels.iter().map(|label| self.weights[*label]).sum()
    }

    /// L_c of logits [B, C], a tensor of one value.
    pub fn mean(&self, logits: &Tensor, labels: &[usize]) -> Tensor {
        let own: Vec<i64> = labels.iter().map(|label| *label as i64).collect();
        let own = Tensor::from_slice(&own)
            .unsqueeze(1)
            .to_device(logits.device());
        let log_p = logits
            .log_softmax(-1, logits.kind())
            .gather(1, &own, false)
            .squeeze_dim(1);
        let losses = if self.gamma > 0.0 {
            let doubt = (1.0f64 - log_p.exp()).clamp_min(LEAST_DOUBT);
            -log_p * doubt.pow_tensor_scalar(self.gamma)
        } else {
            -log_p
        };
        let shares: Vec<f64> = {
            let whole = self.weight(labels);
            labels.iter().map(|l| self.weights[*l] / whole).collect()
        };
        let shares = Tensor::from_slice(&shares)
            .to_kind(losses.kind())
            .to_device(losses.device());
        (losses * shares).sum(logits.kind())
    }
}

/// `l_i` of one image from its `log p_i`, without a tensor.
#[must_use]
pub fn focal(log_p: f64, gamma: f64) -> f64 {
    if gamma > 0.0 {
        -log_p * (1.0 - log_p.exp()).max(LEAST_DOUBT).powf(gamma)
    } else {
        -log_p
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the formula, image by image.
    #[test]
    fn weighted_and_focal() {
        let counts = [6, 3, 1];
        let labels = [0, 2, 2, 1];
        let values: [[f64; 3]; 4] = [
            [1.5, 0.2, -0.7],
            [0.1, 0.9, 0.4],
            [-2.0, 0.3, 1.1],
            [0.0, 3.0, 0.5],
        ];
        let logits = Tensor::from_slice(values.as_flattened()).view([4, 3]);
        for (class_weighted, gamma) in [(false, 0.0), (true, 0.0), (false, 2.0), (true, 0.5)] {
            let loss = ClassificationLoss::new(&counts, class_weighted, gamma);
            let (mut sum, mut weights) = (0.0, 0.0);
            for (row, label) in values.iter().zip(labels) {
                let p = row[label].exp() / row.iter().map(|v: &f64| v.exp()).sum::<f64>();
                let w = if class_weighted {
                    10.0 / (3.0 * counts[label] as f64)
                } else {
                    1.0
                };
                sum += w * (1.0 - p).powf(gamma) * -p.ln();
                weights += w;
            }
            assert!((loss.weight(&labels) - weights).abs() < 1e-12);
            let value = loss.mean(&logits, &labels).double_value(&[]);
            assert!(
                (value - sum / weights).abs() < 1e-12,
                "{class_weighted} {gamma}: {value}"
            );
        }
    }

    #[test]
    fn a_sure_image_has_a_finite_gradient() {
        for gamma in [0.0, 0.5, 2.0] {
            let logits = Tensor::from_slice(&[200.0f32, 0.0, 0.0, 200.0])
                .view([2, 2])
                .set_requires_grad(true);
            let loss = ClassificationLoss::new(&[1, 1], true, gamma).mean(&logits, &[0, 0]);
            let gradient = &Tensor::run_backward(&[loss], &[&logits], false, false)[0];
            assert_eq!(gradient.isfinite().all().int64_value(&[]), 1, "{gamma}");
        }
    }
}
