//! ResNet18 (He et al. 2016, "Deep Residual Learning for Image Recognition"), as torchvision has it.

use tch::Tensor;
use tch::nn::{BatchNorm, Conv2D, Module, ModuleT, Path};

use super::Backbone;
use super::resnet::{BasicBlock, PooledLinear, batch_norm, conv, layer};

#[derive(Debug)]
pub(super) struct Resnet18 {
    conv1: Conv2D,
    bn1: BatchNorm,
    blocks: Vec<BasicBlock>,
    fc: PooledLinear,
}

impl Resnet18 {
    pub(super) fn new(p: &Path, classes: i64) -> Self {
        let stages = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)];
        Self {
            conv1: conv(p / "conv1", 3, 64, 7, 2),
            bn1: batch_norm(p / "bn1", 64),
            blocks: stages
                .into_iter()
                .enumerate()
                .flat_map(|(i, (c_in, c_out, stride))| {
                    layer(&(p / format!("layer{}", i + 1)), c_in, c_out, stride, 2)
                })
                .collect(),
            fc: PooledLinear::new(p / "fc", 512, classes),
        }
    }
}

impl Backbone for Resnet18 {
    fn features(&self, images: &Tensor, train: bool) -> Tensor {
        let stem = self
            .bn1
            .forward_t(&self.conv1.forward(images), train)
            .relu_()
            .max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
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
