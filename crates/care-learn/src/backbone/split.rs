//! A network as a row of stages, split at the target layer: after any one of them.

use std::cell::RefCell;

use rand_chacha::ChaCha8Rng;
use tch::Tensor;

use super::Backbone;

/// What the built-in networks are: a stem, stages in a row, and a classifier. A stage ends where
/// [`BackboneKind::layers`](crate::config::BackboneKind::layers) has a layer, in the same order.
pub(super) trait Stages {
    fn num_stages(&self) -> usize;
    /// What the first stage reads, of images [B, 3, H, W].
    fn stem(&self, images: &Tensor, train: bool) -> Tensor;
    /// What stage `stage` gives. It never changes `x` in place, since `x` may be A.
    fn stage(&self, stage: usize, x: Tensor, train: bool) -> Tensor;
    /// Logits [B, C] of what the last stage gives.
    fn classify(&self, last: &Tensor, train: bool) -> Tensor;
    /// As [`Backbone::pooled_linear`], of the classifier.
    fn pooled_linear(&self) -> Option<&Tensor>;
    /// As [`Backbone::random`].
    fn random(&self) -> Vec<&RefCell<ChaCha8Rng>> {
        Vec::new()
    }
}

/// A network split after its stage `target`.
pub(super) struct Split {
    network: Box<dyn Stages>,
    target: usize,
}

impl Split {
    /// After the last stage.
    pub(super) fn at_last(network: Box<dyn Stages>) -> Self {
        let target = network.num_stages().saturating_sub(1);
        Self { network, target }
    }

    pub(super) fn at(self, target: usize) -> Self {
        Self { target, ..self }
    }

    pub(super) const fn target(&self) -> usize {
        self.target
    }
}

impl Backbone for Split {
    fn features(&self, images: &Tensor, train: bool) -> Tensor {
        let stem = self.network.stem(images, train);
        (0..=self.target).fold(stem, |x, stage| self.network.stage(stage, x, train))
    }

    fn head(&self, activations: &Tensor, train: bool) -> Tensor {
        let last = (self.target + 1..self.network.num_stages())
            .fold(activations.shallow_clone(), |x, stage| {
                self.network.stage(stage, x, train)
            });
        self.network.classify(&last, train)
    }

    fn pooled_linear(&self) -> Option<&Tensor> {
        let is_at_last = self.target + 1 == self.network.num_stages();
        self.network.pooled_linear().filter(|_| is_at_last)
    }

    fn random(&self) -> Vec<&RefCell<ChaCha8Rng>> {
        self.network.random()
    }
}
