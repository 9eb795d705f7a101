//! What the networks are built of. Convolutions and linear layers get their weights from the network as a whole.

use std::cell::RefCell;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::Tensor;
use tch::nn::{self, BatchNorm, Conv2D, ConvConfig, Linear, Module, ModuleT, Path};

/// A convolution of `side` x `side` without bias, padded by half its side all round.
pub(super) fn conv_config(side: i64, stride: i64) -> ConvConfig {
    ConvConfig {
        stride,
        padding: side / 2,
        bias: false,
        ws_init: nn::Init::Const(0.0),
        ..ConvConfig::default()
    }
}

pub(super) fn conv(p: Path, c_in: i64, c_out: i64, side: i64, stride: i64) -> Conv2D {
    nn::conv2d(p, c_in, c_out, side, conv_config(side, stride))
}

/// torch's defaults: eps 1e-5, momentum 0.1.
pub(super) fn batch_norm(p: Path, channels: i64) -> BatchNorm {
    batch_norm_with(p, channels, nn::BatchNormConfig::default())
}

/// Weight 1 and bias 0.
pub(super) fn batch_norm_with(p: Path, channels: i64, config: nn::BatchNormConfig) -> BatchNorm {
    let config = nn::BatchNormConfig {
        ws_init: nn::Init::Const(1.0),
        ..config
    };
    nn::batch_norm2d(p, channels, config)
}

/// Bias 0.
pub(super) fn linear(p: Path, c_in: i64, c_out: i64) -> Linear {
    let config = nn::LinearConfig {
        ws_init: nn::Init::Const(0.0),
        bs_init: Some(nn::Init::Const(0.0)),
        bias: true,
    };
    nn::linear(p, c_in, c_out, config)
}

/// A convolution and the normalisation of what it gives.
#[derive(Debug)]
pub(super) struct ConvNorm {
    pub(super) conv: Conv2D,
    pub(super) norm: BatchNorm,
}

impl ConvNorm {
    pub(super) fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        self.norm.forward_t(&self.conv.forward(x), train)
    }
}

/// The 3 x 3 pooling after the stem of the larger networks; halves the sides, rounded up.
pub(super) fn stem_pool(x: &Tensor) -> Tensor {
    x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)
}

/// Sets values to 0 with probability `rate` while it trains, and divides the others by `1 - rate`. Draws from a
/// generator of its own, because libtorch's is one for the whole process: the same seed drops the same values, in CARE and in
/// its control alike.
#[derive(Debug)]
pub(super) struct Dropout {
    rate: f64,
    rng: RefCell<ChaCha8Rng>,
}

impl Dropout {
    /// `stream` tells the dropouts of one network apart; stream 0 gave it its first weights.
    pub(super) fn new(rate: f64, seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self {
            rate,
            rng: RefCell::new(rng),
        }
    }

    pub(super) fn random(&self) -> &RefCell<ChaCha8Rng> {
        &self.rng
    }

    /// Drops each value by itself.
    pub(super) fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        if train {
            x * self.mask(&x.size(), x)
        } else {
            x.shallow_clone()
        }
    }

    /// Drops whole images of x [B, K, h, w] (stochastic depth, Huang et al. 2016).
    pub(super) fn forward_images(&self, x: &Tensor, train: bool) -> Tensor {
        if train {
            x * self.mask(&[x.size()[0], 1, 1, 1], x)
        } else {
            x.shallow_clone()
        }
    }

    fn mask(&self, shape: &[i64], like: &Tensor) -> Tensor {
        let count: i64 = shape.iter().product();
        let kept = (1.0 / (1.0 - self.rate)) as f32;
        let mut rng = self.rng.borrow_mut();
        let mut draw = || {
            if rng.random_bool(self.rate) {
                0.0
            } else {
                kept
            }
        };
        let values: Vec<f32> = (0..count).map(|_| draw()).collect();
        Tensor::from_slice(&values)
            .view(shape)
            .to_device(like.device())
            .to_kind(like.kind())
    }
}

/// Global average pooling, dropout in some networks, and one linear layer.
#[derive(Debug)]
pub(super) struct PooledLinear {
    dropout: Option<Dropout>,
    linear: Linear,
}

impl PooledLinear {
    pub(super) fn new(p: Path, channels: i64, classes: i64, dropout: Option<Dropout>) -> Self {
        Self {
            dropout,
            linear: linear(p, channels, classes),
        }
    }

    pub(super) fn random(&self) -> Option<&RefCell<ChaCha8Rng>> {
        self.dropout.as_ref().map(Dropout::random)
    }

    /// Logits [B, C] of A [B, K, h, w].
    pub(super) fn forward(&self, activations: &Tensor, train: bool) -> Tensor {
        let pooled = activations.mean_dim([2, 3].as_slice(), false, activations.kind());
        match &self.dropout {
            Some(dropout) => self.linear.forward(&dropout.forward(&pooled, train)),
            None => self.linear.forward(&pooled),
        }
    }

    /// [C, K].
    pub(super) fn weight(&self) -> &Tensor {
        &self.linear.ws
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn dropout_is_its_seeds_and_keeps_the_mean() {
        let ones = Tensor::ones([4, 5000], (Kind::Float, Device::Cpu));
        let first = |seed, stream| Dropout::new(0.2, seed, stream).forward(&ones, true);
        assert_eq!(first(1, 1), first(1, 1));
        assert_ne!(first(1, 1), first(1, 2));
        assert_ne!(first(1, 1), first(2, 1));
        let dropout = Dropout::new(0.2, 1, 1);
        let (one, two) = (dropout.forward(&ones, true), dropout.forward(&ones, true));
        assert_ne!(one, two);
        assert!((one.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.02);
        assert_eq!(one.max().double_value(&[]), 1.25);
        assert_eq!(one.min().double_value(&[]), 0.0);
        assert_eq!(dropout.forward(&ones, false), ones);
    }

    #[test]
    fn stochastic_depth_drops_whole_images() {
        let ones = Tensor::ones([64, 2, 3, 3], (Kind::Float, Device::Cpu));
        let dropped = Dropout::new(0.5, 0, 1).forward_images(&ones, true);
        let per_image = dropped.flatten(1, 3);
        assert_eq!(per_image.amax([1], false), per_image.amin([1], false));
        assert_eq!(dropped.max().double_value(&[]), 2.0);
        assert_eq!(dropped.min().double_value(&[]), 0.0);
    }
}
