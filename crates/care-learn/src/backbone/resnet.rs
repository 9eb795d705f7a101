//! Residual networks (He et al. 2016, "Deep Residual Learning for Image Recognition"), as torchvision has them.

use tch::Tensor;
use tch::nn::Path;

use super::layers::{ConvNorm, PooledLinear, batch_norm, conv, stem_pool};
use super::split::Stages;

/// torchvision's two kinds of block.
#[derive(Debug, Clone, Copy)]
pub(super) enum BlockKind {
    /// Two 3 x 3 convolutions.
    Basic,
    /// 1 x 1, 3 x 3 and 1 x 1, the last four times as wide.
    Bottleneck,
}

impl BlockKind {
    /// Output channels for each of `width`.
    const fn expansion(self) -> i64 {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

#[derive(Debug)]
pub(super) struct Resnet {
    stem: ConvNorm,
    has_stem_pool: bool,
    stages: Vec<Vec<Block>>,
    fc: PooledLinear,
}

impl Resnet {
    /// The networks for 224 x 224 images; `depths` are the blocks of the four stages.
    pub(super) fn new(p: &Path, kind: BlockKind, depths: [i64; 4], classes: i64) -> Self {
        let stages = [64, 128, 256, 512].into_iter().zip(depths).collect();
        Self {
            has_stem_pool: true,
            ..Self::with_stages(p, kind, (64, 7), stages, classes)
        }
    }

    /// For the demo: a 3 x 3 stem and three stages of one block, last map an eighth of the input's side, learned from
    /// nothing within a minute on two cores.
    pub(super) fn small(p: &Path, classes: i64) -> Self {
        let stages = vec![(24, 1), (48, 1), (96, 1)];
        Self::with_stages(p, BlockKind::Basic, (24, 3), stages, classes)
    }

    /// `stem` is its width and side, `shapes` are width and blocks of each.
    fn with_stages(
        p: &Path,
        kind: BlockKind,
        (stem, side): (i64, i64),
        shapes: Vec<(i64, i64)>,
        classes: i64,
    ) -> Self {
        let mut channels = stem;
        let mut stages = Vec::with_capacity(shapes.len());
        for (stage, (width, depth)) in shapes.into_iter().enumerate() {
            let p = p / format!("layer{}", stage + 1);
            let mut blocks = Vec::new();
            for i in 0..depth {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                blocks.push(Block::new(&(&p / i), kind, channels, width, stride));
                channels = width * kind.expansion();
            }
            stages.push(blocks);
        }
        Self {
            stem: conv_norm(p, ["conv1", "bn1"], [3, stem], side, 2),
            has_stem_pool: false,
            stages,
            fc: PooledLinear::new(p / "fc", channels, classes, None),
        }
    }
}

impl Stages for Resnet {
    fn num_stages(&self) -> usize {
        self.stages.len()
    }

    fn stem(&self, images: &Tensor, train: bool) -> Tensor {
        let stem = self.stem.forward(images, train).relu_();
        if self.has_stem_pool {
            stem_pool(&stem)
        } else {
            stem
        }
    }

    fn stage(&self, stage: usize, x: Tensor, train: bool) -> Tensor {
        self.stages[stage]
            .iter()
            .fold(x, |x, block| block.forward(&x, train))
    }

    fn classify(&self, last: &Tensor, train: bool) -> Tensor {
        self.fc.forward(last, train)
    }

    fn pooled_linear(&self) -> Option<&Tensor> {
        Some(self.fc.weight())
    }
}

/// Convolutions with ReLUs between them, and a shortcut round them.
#[derive(Debug)]
struct Block {
    convs: Vec<ConvNorm>,
    downsample: Option<ConvNorm>,
}

impl Block {
    fn new(p: &Path, kind: BlockKind, c_in: i64, width: i64, stride: i64) -> Self {
        // Width, side and stride. The bottleneck's stride lies in its 3 x 3 convolution, as in torchvision ("v1.5"), not in
        // the first one, as in the paper.
        let shapes = match kind {
            BlockKind::Basic => vec![(width, 3, stride), (width, 3, 1)],
            BlockKind::Bottleneck => {
                vec![(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
            }
        };
        let mut channels = c_in;
        let mut convs = Vec::with_capacity(shapes.len());
        for (i, (c_out, side, stride)) in shapes.into_iter().enumerate() {
            let names = [format!("conv{}", i + 1), format!("bn{}", i + 1)];
            convs.push(conv_norm(p, names, [channels, c_out], side, stride));
            channels = c_out;
        }
        Self {
            convs,
            downsample: (stride != 1 || c_in != channels).then(|| {
                let p = p / "downsample";
                conv_norm(&p, ["0", "1"], [c_in, channels], 1, stride)
            }),
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let mut y = self.convs[0].forward(x, train);
        for conv in &self.convs[1..] {
            y = conv.forward(&y.relu_(), train);
        }
        match &self.downsample {
            Some(downsample) => (y + downsample.forward(x, train)).relu_(),
            None => (y + x).relu_(),
        }
    }
}

fn conv_norm<T: ToString>(
    p: &Path,
    [conv_name, norm_name]: [T; 2],
    [c_in, c_out]: [i64; 2],
    side: i64,
    stride: i64,
) -> ConvNorm {
    ConvNorm {
        conv: conv(p / conv_name, c_in, c_out, side, stride),
        norm: batch_norm(p / norm_name, c_out),
    }
}
