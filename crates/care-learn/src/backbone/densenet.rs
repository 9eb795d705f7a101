//! DenseNet121 (Huang et al. 2017, "Densely Connected Convolutional Networks"), as torchvision has it.
//!
//! The last map is what the last normalisation gives after its ReLU.

use tch::Tensor;
use tch::nn::{BatchNorm, Conv2D, Module, ModuleT, Path};

use super::layers::{ConvNorm, PooledLinear, batch_norm, conv, stem_pool};
use super::split::Stages;

/// Channels that each layer adds.
const GROWTH: i64 = 32;
const STEM: i64 = 64;
/// Layers of each block.
const DEPTHS: [usize; 4] = [6, 12, 24, 16];

#[derive(Debug)]
pub(super) struct Densenet {
    stem: ConvNorm,
    blocks: Vec<Block>,
    norm: BatchNorm,
    classifier: PooledLinear,
}

impl Densenet {
    pub(super) fn new(p: &Path, classes: i64) -> Self {
        let features = p / "features";
        let mut channels = STEM;
        let mut blocks = Vec::with_capacity(DEPTHS.len());
        for (i, depth) in DEPTHS.into_iter().enumerate() {
            let transition = (i > 0).then(|| {
                let p = &features / format!("transition{i}");
                let c_in = channels;
                channels /= 2;
                NormConv {
                    norm: batch_norm(&p / "norm", c_in),
                    conv: conv(&p / "conv", c_in, channels, 1, 1),
                }
            });
            let block = &features / format!("denseblock{}", i + 1);
            let mut layers = Vec::with_capacity(depth);
            for layer in 0..depth {
                let p = &block / format!("denselayer{}", layer + 1);
                let unit = |i: i64, [c_in, c_out]: [i64; 2], side: i64| NormConv {
                    norm: batch_norm(&p / format!("norm{i}"), c_in),
                    conv: conv(&p / format!("conv{i}"), c_in, c_out, side, 1),
                };
                let narrow = unit(1, [channels, 4 * GROWTH], 1);
                layers.push((narrow, unit(2, [4 * GROWTH, GROWTH], 3)));
                channels += GROWTH;
            }
            blocks.push(Block { transition, layers });
        }
        Self {
            stem: ConvNorm {
                conv: conv(&features / "conv0", 3, STEM, 7, 2),
                norm: batch_norm(&features / "norm0", STEM),
            },
            blocks,
            norm: batch_norm(&features / "norm5", channels),
            classifier: PooledLinear::new(p / "classifier", channels, classes, None),
        }
    }
}

impl Stages for Densenet {
    fn num_stages(&self) -> usize {
        self.blocks.len()
    }

    fn stem(&self, images: &Tensor, train: bool) -> Tensor {
        stem_pool(&self.stem.forward(images, train).relu_())
    }

    fn stage(&self, stage: usize, x: Tensor, train: bool) -> Tensor {
        let dense = self.blocks[stage].forward(x, train);
        if stage + 1 < self.blocks.len() {
            dense
        } else {
            self.norm.forward_t(&dense, train).relu_()
        }
    }

    fn classify(&self, last: &Tensor, train: bool) -> Tensor {
        self.classifier.forward(last, train)
    }

    fn pooled_linear(&self) -> Option<&Tensor> {
        Some(self.classifier.weight())
    }
}

/// Layers that each read what all before them gave.
#[derive(Debug)]
struct Block {
    /// Halves channels and sides before them; none in the first block.
    transition: Option<NormConv>,
    layers: Vec<(NormConv, NormConv)>,
}

impl Block {
    fn forward(&self, x: Tensor, train: bool) -> Tensor {
        let x = match &self.transition {
            Some(transition) => transition.forward(&x, train).avg_pool2d(
                [2, 2],
                [2, 2],
                [0, 0],
                false,
                true,
                None::<i64>,
            ),
            None => x,
        };
        self.layers.iter().fold(x, |x, (narrow, grow)| {
            let new = grow.forward(&narrow.forward(&x, train), train);
            Tensor::cat(&[x, new], 1)
        })
    }
}

/// Normalisation, ReLU and convolution, in this order.
#[derive(Debug)]
struct NormConv {
    norm: BatchNorm,
    conv: Conv2D,
}

impl NormConv {
    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        self.conv.forward(&self.norm.forward_t(x, train).relu_())
    }
}
