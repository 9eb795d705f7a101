//! A small residual network for the demo: a 3 x 3 stem and three stages of one block, last map an eighth of the
//! input's side, learned from nothing within a minute on two cores.

use tch::Tensor;
use tch::nn::{BatchNorm, Conv2D, Module, ModuleT, Path};

use super::Backbone;
use super::resnet::{BasicBlock, PooledLinear, batch_norm, conv, layer};

const WIDTHS: [i64; 3] = [24, 48, 96];

#[derive(Debug)]
pub(super) struct SmallResnet {
    conv1: Conv2D,
    bn1: BatchNorm,
    blocks: Vec<BasicBlock>,
    fc: PooledLinear,
}

impl SmallResnet {
    pub(super) fn new(p: &Path, classes: i64) -> Self {
        let [first, second, third] = WIDTHS;
        let stages = [(first, first, 1), (first, second, 2), (second, third, 2)];
        Self {
            conv1: conv(p / "conv1", 3, first, 3, 2),
            bn1: batch_norm(p / "bn1", first),
            blocks: stages
                .into_iter()
                .enumerate()
                .flat_map(|(i, (c_in, c_out, stride))| {
                    layer(&(p / format!("layer{}", i + 1)), c_in, c_out, stride, 1)
                })
                .collect(),
            fc: PooledLinear::new(p / "fc", third, classes),
        }
    }
}

impl Backbone for SmallResnet {
    fn features(&self, images: &Tensor, train: bool) -> Tensor {
        let stem = self
            .bn1
            .forward_t(&self.conv1.forward(images), train)
            .relu_();
        self.blocks
            .iter()
            .fold(stem, |x, block| block.forward(&x, train))
    }

    fn head(&self, activations: &Tensor, _train: bool) -> Tensor {
        self.fc.forward(activations)
    }

    fn pooled_linear(&self) -> Option<&Tensor> {
        Some(self.fc.weight())
    }
}
