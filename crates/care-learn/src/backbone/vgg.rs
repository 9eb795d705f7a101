//! VGG (Simonyan, Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition"), as torchvision has it.
//!
//! Stages end after a ReLU, before the pooling: the last map is a sixteenth of the input's side (14 x 14 at 224), and the
//! last pooling belongs to the head.

use std::cell::RefCell;

use rand_chacha::ChaCha8Rng;
use tch::Tensor;
use tch::nn::{self, BatchNorm, Conv2D, ConvConfig, Linear, Module, ModuleT, Path};

use super::layers::{Dropout, batch_norm, conv_config, linear};
use super::split::Stages;

const WIDTHS: [i64; 5] = [64, 128, 256, 512, 512];
/// Side of what the linear layers read.
const POOLED: i64 = 7;
const HIDDEN: i64 = 4096;
const DROPOUT: f64 = 0.5;

#[derive(Debug)]
pub(super) struct Vgg {
    /// With a pooling between each and the next.
    stages: Vec<Vec<Layer>>,
    hidden: [(Linear, Dropout); 2],
    last: Linear,
}

impl Vgg {
    /// `depths` are the convolutions of the five stages.
    pub(super) fn new(
        p: &Path,
        depths: [usize; 5],
        has_norms: bool,
        classes: i64,
        seed: u64,
    ) -> Self {
        let (features, classifier) = (p / "features", p / "classifier");
        // torchvision numbers all layers in a row, ReLUs and poolings too.
        let mut index = 0;
        let mut channels = 3;
        let mut stages = Vec::with_capacity(depths.len());
        for (width, depth) in WIDTHS.into_iter().zip(depths) {
            let mut stage = Vec::with_capacity(depth);
            for _ in 0..depth {
                stage.push(Layer::new(&features, index, [channels, width], has_norms));
                index += if has_norms { 3 } else { 2 };
                channels = width;
            }
            stages.push(stage);
            index += 1;
        }
        let hidden = |index: u64, c_in| {
            let dropout = Dropout::new(DROPOUT, seed, index + 1);
            (linear(&classifier / index, c_in, HIDDEN), dropout)
        };
        Self {
            stages,
            hidden: [hidden(0, channels * POOLED * POOLED), hidden(3, HIDDEN)],
            last: linear(&classifier / 6, HIDDEN, classes),
        }
    }
}

impl Stages for Vgg {
    fn num_stages(&self) -> usize {
        self.stages.len()
    }

    fn stem(&self, images: &Tensor, _train: bool) -> Tensor {
        images.shallow_clone()
    }

    fn stage(&self, stage: usize, x: Tensor, train: bool) -> Tensor {
        let x = if stage > 0 { halve(&x) } else { x };
        self.stages[stage]
            .iter()
            .fold(x, |x, layer| layer.forward(&x, train))
    }

    fn classify(&self, last: &Tensor, train: bool) -> Tensor {
        let pooled = halve(last)
            .adaptive_avg_pool2d([POOLED, POOLED])
            .flatten(1, 3);
        let hidden = self.hidden.iter().fold(pooled, |x, (linear, dropout)| {
            dropout.forward(&linear.forward(&x).relu_(), train)
        });
        self.last.forward(&hidden)
    }

    fn pooled_linear(&self) -> Option<&Tensor> {
        None
    }

    fn random(&self) -> Vec<&RefCell<ChaCha8Rng>> {
        let hidden = self.hidden.iter();
        hidden.map(|(_, dropout)| dropout.random()).collect()
    }
}

fn halve(x: &Tensor) -> Tensor {
    x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)
}

/// A 3 x 3 convolution, normalised in VGG-BN, and its ReLU.
#[derive(Debug)]
struct Layer {
    conv: Conv2D,
    norm: Option<BatchNorm>,
}

impl Layer {
    fn new(p: &Path, index: i64, [c_in, c_out]: [i64; 2], has_norm: bool) -> Self {
        let config = ConvConfig {
            bias: true,
            ..conv_config(3, 1)
        };
        Self {
            conv: nn::conv2d(p / index, c_in, c_out, 3, config),
            norm: has_norm.then(|| batch_norm(p / (index + 1), c_out)),
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let mut y = self.conv.forward(x);
        if let Some(norm) = &self.norm {
            y = norm.forward_t(&y, train);
        }
        y.relu_()
    }
}
