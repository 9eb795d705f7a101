//! What residual networks are built of (He et al. 2016).

use tch::Tensor;
use tch::nn::{self, BatchNorm, Conv2D, Linear, Module, ModuleT, Path};

pub(super) fn conv(p: Path, c_in: i64, c_out: i64, side: i64, stride: i64) -> Conv2D {
    let config = nn::ConvConfig {
        stride,
        padding: side / 2,
        bias: false,
        // Set by the network as a whole.
        ws_init: nn::Init::Const(0.0),
        ..Default::default()
    };
    nn::conv2d(p, c_in, c_out, side, config)
}

pub(super) fn batch_norm(p: Path, channels: i64) -> BatchNorm {
    let config = nn::BatchNormConfig {
        ws_init: nn::Init::Const(1.0),
        ..Default::default()
    };
    nn::batch_norm2d(p, channels, config)
}

/// Global average pooling and one linear layer.
#[derive(Debug)]
pub(super) struct PooledLinear(Linear);

impl PooledLinear {
    pub(super) fn new(p: Path, channels: i64, classes: i64) -> Self {
        let config = nn::LinearConfig {
            ws_init: nn::Init::Const(0.0),
            bs_init: Some(nn::Init::Const(0.0)),
            bias: true,
        };
        Self(nn::linear(p, channels, classes, config))
    }

    pub(super) fn forward(&self, activations: &Tensor) -> Tensor {
        let pooled = activations.mean_dim([2, 3].as_slice(), false, activations.kind());
        self.0.forward(&pooled)
    }

    pub(super) fn weight(&self) -> &Tensor {
        &self.0.ws
    }
}

/// Two 3 x 3 convolutions and a shortcut, torchvision's `BasicBlock`.
#[derive(Debug)]
pub(super) struct BasicBlock {
    conv1: Conv2D,
    bn1: BatchNorm,
    conv2: Conv2D,
    bn2: BatchNorm,
    downsample: Option<(Conv2D, BatchNorm)>,
}

impl BasicBlock {
    pub(super) fn new(p: &Path, c_in: i64, c_out: i64, stride: i64) -> Self {
        let shortcut = p / "downsample";
        Self {
            conv1: conv(p / "conv1", c_in, c_out, 3, stride),
            bn1: batch_norm(p / "bn1", c_out),
            conv2: conv(p / "conv2", c_out, c_out, 3, 1),
            bn2: batch_norm(p / "bn2", c_out),
            downsample: (stride != 1 || c_in != c_out).then(|| {
                (
                    conv(&shortcut / "0", c_in, c_out, 1, stride),
                    batch_norm(&shortcut / "1", c_out),
                )
            }),
        }
    }

    pub(super) fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let y = self.bn1.forward_t(&self.conv1.forward(x), train).relu_();
        let y = self.bn2.forward_t(&self.conv2.forward(&y), train);
        match &self.downsample {
            Some((conv, bn)) => (y + bn.forward_t(&conv.forward(x), train)).relu_(),
            None => (y + x).relu_(),
        }
    }
}

/// Blocks in a row, the first of them with `stride`.
pub(super) fn layer(p: &Path, c_in: i64, c_out: i64, stride: i64, blocks: i64) -> Vec<BasicBlock> {
    (0..blocks)
        .map(|i| {
            let (c_in, stride) = if i == 0 { (c_in, stride) } else { (c_out, 1) };
            BasicBlock::new(&(p / i), c_in, c_out, stride)
        })
        .collect()
}
