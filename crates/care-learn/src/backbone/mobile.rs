//! MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks"), as torchvision has it, and
//! EfficientNet-Lite0 (Tan, Le 2019, "EfficientNet", without squeeze-and-excitation and with ReLU6), as the PyPI package
//! `efficientnet-lite-pytorch` has it. Both are inverted residuals in a row.

use std::cell::RefCell;

use rand_chacha::ChaCha8Rng;
use tch::Tensor;
use tch::nn::{self, BatchNorm, BatchNormConfig, ConvConfig, Path};

use super::layers::{ConvNorm, Dropout, PooledLinear, batch_norm, batch_norm_with, conv_config};
use super::split::Stages;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    MobilenetV2,
    EfficientnetLite0,
}

/// A row for each width: expansion, channels, blocks, stride of the first of them, side of the convolution.
type Rows = [[i64; 5]; 7];

const MOBILENET_V2: Rows = [
    [1, 16, 1, 1, 3],
    [6, 24, 2, 2, 3],
    [6, 32, 3, 2, 3],
    [6, 64, 4, 2, 3],
    [6, 96, 3, 1, 3],
    [6, 160, 3, 2, 3],
    [6, 320, 1, 1, 3],
];
const EFFICIENTNET_LITE0: Rows = [
    [1, 16, 1, 1, 3],
    [6, 24, 2, 2, 3],
    [6, 40, 2, 2, 5],
    [6, 80, 3, 2, 3],
    [6, 112, 3, 1, 5],
    [6, 192, 4, 2, 5],
    [6, 320, 1, 1, 3],
];
const STEM: i64 = 32;
/// Channels of A.
const TOP: i64 = 1280;
const DROPOUT: f64 = 0.2;
/// EfficientNet-Lite0 drops block i of 16 with this probability times i / 16 while it trains.
const DROP_BLOCK: f64 = 0.2 / 16.0;

#[derive(Debug)]
pub(super) struct Mobile {
    stem: Unit,
    /// Those of a width each.
    stages: Vec<Vec<InvertedResidual>>,
    top: Unit,
    classifier: PooledLinear,
}

impl Mobile {
    pub(super) fn new(p: &Path, family: Family, classes: i64, seed: u64) -> Self {
        let (rows, classifier) = match family {
            Family::MobilenetV2 => (MOBILENET_V2, p / "classifier" / 1),
            Family::EfficientnetLite0 => (EFFICIENTNET_LITE0, p / "_fc"),
        };
        let pointwise = |place, c_in, c_out| Unit::new(p, family, place, [c_in, c_out, 1], [1, 1]);
        let mut channels = STEM;
        let mut stages = Vec::with_capacity(rows.len());
        let mut i = 0;
        for [expansion, c_out, depth, first_stride, side] in rows {
            let mut blocks = Vec::new();
            for repeat in 0..depth {
                let stride = if repeat == 0 { first_stride } else { 1 };
                let wide = channels * expansion;
                let depthwise = Place::Depthwise(i);
                blocks.push(InvertedResidual {
                    expand: (expansion > 1).then(|| pointwise(Place::Expand(i), channels, wide)),
                    depthwise: Unit::new(p, family, depthwise, [wide, wide, wide], [side, stride]),
                    project: pointwise(Place::Project(i), wide, c_out),
                    has_shortcut: stride == 1 && channels == c_out,
                    drop_block: (family == Family::EfficientnetLite0)
                        .then(|| Dropout::new(DROP_BLOCK * i as f64, seed, 2 + i as u64)),
                });
                channels = c_out;
                i += 1;
            }
            stages.push(blocks);
        }
        Self {
            stem: Unit::new(p, family, Place::Stem, [3, STEM, 1], [3, 2]),
            stages,
            top: pointwise(Place::Top, channels, TOP),
            classifier: PooledLinear::new(
                classifier,
                TOP,
                classes,
                Some(Dropout::new(DROPOUT, seed, 1)),
            ),
        }
    }
}

impl Stages for Mobile {
    /// The top is one of its own.
    fn num_stages(&self) -> usize {
        self.stages.len() + 1
    }

    fn stem(&self, images: &Tensor, train: bool) -> Tensor {
        self.stem.forward(images, train).relu6_()
    }

    fn stage(&self, stage: usize, x: Tensor, train: bool) -> Tensor {
        match self.stages.get(stage) {
            Some(blocks) => blocks.iter().fold(x, |x, block| block.forward(x, train)),
            None => self.top.forward(&x, train).relu6_(),
        }
    }

    fn classify(&self, last: &Tensor, train: bool) -> Tensor {
        self.classifier.forward(last, train)
    }

    fn pooled_linear(&self) -> Option<&Tensor> {
        Some(self.classifier.weight())
    }

    fn random(&self) -> Vec<&RefCell<ChaCha8Rng>> {
        let blocks = self.stages.iter().flatten();
        let of_blocks = blocks.filter_map(|block| Some(block.drop_block.as_ref()?.random()));
        of_blocks.chain(self.classifier.random()).collect()
    }
}

/// Widens, convolves each channel by itself, and narrows again without an activation.
#[derive(Debug)]
struct InvertedResidual {
    expand: Option<Unit>,
    depthwise: Unit,
    project: Unit,
    has_shortcut: bool,
    /// Leaves some images the shortcut alone while it trains.
    drop_block: Option<Dropout>,
}

impl InvertedResidual {
    fn forward(&self, x: Tensor, train: bool) -> Tensor {
        let wide = match &self.expand {
            Some(expand) => expand.forward(&x, train).relu6_(),
            None => x.shallow_clone(),
        };
        let wide = self.depthwise.forward(&wide, train).relu6_();
        let narrow = self.project.forward(&wide, train);
        match &self.drop_block {
            _ if !self.has_shortcut => narrow,
            Some(drop_block) => drop_block.forward_images(&narrow, train) + x,
            None => narrow + x,
        }
    }
}

/// Where a convolution stands. Blocks count from 0.
#[derive(Debug, Clone, Copy)]
enum Place {
    Stem,
    Expand(usize),
    Depthwise(usize),
    Project(usize),
    Top,
}

impl Family {
    /// The convolution and its normalisation.
    fn paths<'a>(self, p: &Path<'a>, place: Place) -> [Path<'a>; 2] {
        match self {
            Self::MobilenetV2 => {
                let features = p / "features";
                let block = |i: usize| &features / (i + 1) / "conv";
                // torchvision numbers the parts that there are, and the first block does not widen.
                let depthwise = |i: usize| usize::from(i > 0);
                let unit = match place {
                    Place::Stem => &features / 0,
                    Place::Expand(i) => block(i) / 0,
                    Place::Depthwise(i) => block(i) / depthwise(i),
                    Place::Project(i) => {
                        return [1, 2].map(|next| block(i) / (depthwise(i) + next));
                    }
                    Place::Top => &features / 18,
                };
                [&unit / 0, &unit / 1]
            }
            Self::EfficientnetLite0 => {
                let block = |i: usize| p / "_blocks" / i;
                let (p, conv, norm) = match place {
                    Place::Stem => (p.clone(), "_conv_stem", "_bn0"),
                    Place::Expand(i) => (block(i), "_expand_conv", "_bn0"),
                    Place::Depthwise(i) => (block(i), "_depthwise_conv", "_bn1"),
                    Place::Project(i) => (block(i), "_project_conv", "_bn2"),
                    Place::Top => (p.clone(), "_conv_head", "_bn1"),
                };
                [&p / conv, &p / norm]
            }
        }
    }

    fn norm(self, p: Path, channels: i64) -> BatchNorm {
        match self {
            Self::MobilenetV2 => batch_norm(p, channels),
            Self::EfficientnetLite0 => {
                let config = BatchNormConfig {
                    eps: 1e-3,
                    momentum: 0.01,
                    ..BatchNormConfig::default()
                };
                batch_norm_with(p, channels, config)
            }
        }
    }
}

/// A convolution with its padding, and its normalisation.
#[derive(Debug)]
struct Unit {
    conv_norm: ConvNorm,
    /// Side of a convolution of stride 2 that is padded as TensorFlow's "same" is; any other pads itself.
    same: Option<i64>,
}

impl Unit {
    fn new(
        p: &Path,
        family: Family,
        place: Place,
        [c_in, c_out, groups]: [i64; 3],
        [side, stride]: [i64; 2],
    ) -> Self {
        let [conv, norm] = family.paths(p, place);
        let same = (family == Family::EfficientnetLite0 && stride == 2).then_some(side);
        let config = ConvConfig {
            groups,
            padding: if same.is_some() { 0 } else { side / 2 },
            ..conv_config(side, stride)
        };
        Self {
            conv_norm: ConvNorm {
                conv: nn::conv2d(conv, c_in, c_out, side, config),
                norm: family.norm(norm, c_out),
            },
            same,
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        match self.same {
            Some(side) => self.conv_norm.forward(&pad_same(x, side), train),
            None => self.conv_norm.forward(x, train),
        }
    }
}

/// x [B, K, h, w] with zeros round it, so that a convolution of stride 2 gives ceil(h / 2) x ceil(w / 2). What cannot be
/// shared evenly goes right and below.
fn pad_same(x: &Tensor, side: i64) -> Tensor {
    let size = x.size();
    let [vertical, horizontal] = [size[2], size[3]].map(|length| {
        let pad = side - 2 + length % 2;
        [pad / 2, pad - pad / 2]
    });
    x.constant_pad_nd([horizontal, vertical].concat())
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn same_padding() {
        for (length, side, before, after) in
            [(8, 3, 0, 1), (7, 3, 1, 1), (8, 5, 1, 2), (7, 5, 2, 2)]
        {
            let x = Tensor::ones([1, 1, length, 4], (Kind::Float, Device::Cpu));
            let padded = pad_same(&x, side);
            let column = padded.select(3, padded.size()[3] / 2);
            assert_eq!(column.size()[2], before + length + after);
            assert_eq!(column.sum(Kind::Float).double_value(&[]), length as f64);
            let inside = column.narrow(2, before, length);
            assert_eq!(inside.min().double_value(&[]), 1.0, "{length} {side}");
        }
    }
}
