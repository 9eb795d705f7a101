//! Networks, each split as `features -> A` and `head(A) -> logits`.
//!
//! Parameter names are torchvision's (EfficientNet-Lite0's those of `efficientnet-lite-pytorch`), so that pretrained weights load by
//! name and what is saved here loads there.

mod densenet;
mod layers;
mod mobile;
mod resnet;
mod vgg;

use std::collections::BTreeMap;
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, SafeTensorError, TensorView};
use tch::nn::{self, VarStore};
use tch::{Device, Kind, Tensor};

use crate::config::BackboneKind;
pub use crate::weights::{Loaded, WeightsError};
use crate::weights::{Shapes, WeightFile};

use densenet::Densenet;
use mobile::{Family, Mobile};
use resnet::{BlockKind, Resnet};
use vgg::Vgg;

/// A network split at its target layer, the last convolutional feature map before pooling.
pub trait Backbone {
    /// A [B, K, h, w] of images [B, 3, H, W].
    fn features(&self, images: &Tensor, train: bool) -> Tensor;
    /// Logits [B, C] of A.
    fn head(&self, activations: &Tensor, train: bool) -> Tensor;
    /// The weight [C, K] of a head that is global average pooling and one linear layer; none for any other head.
    ///
    /// Where there is dropout between the two (MobileNetV2, EfficientNet-Lite0), Grad-CAM's w_k from this weight are those of
    /// evaluation mode, in training too: the mean over all dropout masks of what one pass would give. Heads that are
    /// differentiated (VGG's) give the w_k of their own pass, with its mask.
    fn pooled_linear(&self) -> Option<&Tensor>;
}

/// A network with its parameters.
pub struct Network {
    store: VarStore,
    backbone: Box<dyn Backbone>,
    kind: BackboneKind,
    num_classes: usize,
    seed: u64,
}

impl Network {
    /// A network with new weights; the same seed gives the same, and drops the same values where there is dropout.
    #[must_use]
    pub fn new(kind: BackboneKind, num_classes: usize, seed: u64, device: Device) -> Self {
        let network = Self::without_weights(kind, num_classes, seed, device);
        initialise(&network.store, seed);
        network
    }

    /// A network whose convolutions and linear layers are zero, for weights that are about to come.
    #[must_use]
    pub fn without_weights(
        kind: BackboneKind,
        num_classes: usize,
        seed: u64,
        device: Device,
    ) -> Self {
        let mut store = VarStore::new(Device::Cpu);
        let backbone = build(kind, &store.root(), num_classes as i64, seed);
        channels_last(&store);
        store.set_device(device);
        Self {
            store,
            backbone,
            kind,
            num_classes,
            seed,
        }
    }

    /// Another network with the same weights; two of them drop the same values, step by step.
    ///
    /// # Errors
    /// Where libtorch cannot copy them (out of memory).
    pub fn duplicate(&self) -> Result<Self, WeightsError> {
        let mut twin =
            Self::without_weights(self.kind, self.num_classes, self.seed, self.store.device());
        twin.store.copy(&self.store)?;
        Ok(twin)
    }

    #[cfg(test)]
    pub(crate) fn wrapped(self, wrap: impl FnOnce(Box<dyn Backbone>) -> Box<dyn Backbone>) -> Self {
        Self {
            backbone: wrap(self.backbone),
            ..self
        }
    }

    #[must_use]
    pub fn backbone(&self) -> &dyn Backbone {
        self.backbone.as_ref()
    }

    #[must_use]
    pub fn store(&self) -> &VarStore {
        &self.store
    }

    /// Height and width of A for square images of `input_size`.
    #[must_use]
    pub fn grid(&self, input_size: u32) -> [usize; 2] {
        let image = Tensor::zeros(
            [1, 3, i64::from(input_size), i64::from(input_size)],
            (Kind::Float, self.store.device()),
        );
        let size = tch::no_grad(|| self.backbone.features(&image, false)).size();
        [size[2] as usize, size[3] as usize]
    }

    /// The parameters and running statistics as the bytes of a safetensors file.
    ///
    /// # Errors
    /// Where the tensors cannot be packed.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, WeightsError> {
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = self
            .store
            .variables()
            .into_iter()
            .map(|(name, tensor)| {
                let tensor = tch::no_grad(|| tensor.detach().to_device(Device::Cpu).contiguous());
                let mut values = vec![0f32; tensor.numel()];
                tensor.f_copy_data(&mut values, tensor.numel())?;
                let shape = tensor.size().iter().map(|n| *n as usize).collect();
                Ok((
                    name,
                    shape,
                    values.into_iter().flat_map(f32::to_le_bytes).collect(),
                ))
            })
            .collect::<Result<_, tch::TchError>>()?;
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?))
            })
            .collect::<Result<Vec<_>, SafeTensorError>>()?;
        Ok(safetensors::serialize(views, None)?)
    }

    /// Takes weights by name, from a safetensors file or one of PyTorch's (see [`crate::weights`]). Every parameter has to be
    /// there in its shape, and nothing else. Only the classifier layer may be missing or be for another number of classes,
    /// and stays new then; and a head of several layers (VGG's) may be missing as a whole, as in files of features alone.
    ///
    /// # Errors
    /// Where the file is missing, damaged, another network's, or holds values that are no numbers. The network is unchanged
    /// then.
    pub fn load(&mut self, path: &Path) -> Result<Loaded, WeightsError> {
        WeightFile::open(path)?.load_into(&self.store, self.kind)
    }
}

fn build(kind: BackboneKind, p: &nn::Path<'_>, classes: i64, seed: u64) -> Box<dyn Backbone> {
    let resnet = |block, depths| Box::new(Resnet::new(p, block, depths, classes));
    let vgg = |depths, has_norms| Box::new(Vgg::new(p, depths, has_norms, classes, seed));
    let mobile = |family| Box::new(Mobile::new(p, family, classes, seed));
    match kind {
        BackboneKind::SmallResnet => Box::new(Resnet::small(p, classes)),
        BackboneKind::Resnet18 => resnet(BlockKind::Basic, [2, 2, 2, 2]),
        BackboneKind::Resnet34 => resnet(BlockKind::Basic, [3, 4, 6, 3]),
        BackboneKind::Resnet50 => resnet(BlockKind::Bottleneck, [3, 4, 6, 3]),
        BackboneKind::Resnet101 => resnet(BlockKind::Bottleneck, [3, 4, 23, 3]),
        BackboneKind::Resnet152 => resnet(BlockKind::Bottleneck, [3, 8, 36, 3]),
        BackboneKind::Vgg16 => vgg([2, 2, 3, 3, 3], false),
        BackboneKind::Vgg19 => vgg([2, 2, 4, 4, 4], false),
        BackboneKind::Vgg19Bn => vgg([2, 2, 4, 4, 4], true),
        BackboneKind::Densenet121 => Box::new(Densenet::new(p, classes)),
        BackboneKind::MobilenetV2 => mobile(Family::MobilenetV2),
        BackboneKind::EfficientnetLite0 => mobile(Family::EfficientnetLite0),
    }
}

/// Names and shapes of a network's parameters and running statistics, for 1000 classes.
pub(crate) fn shapes(kind: BackboneKind) -> Shapes {
    let store = VarStore::new(Device::Cpu);
    build(kind, &store.root(), 1000, 0);
    let variables = store.variables().into_iter();
    variables
        .map(|(name, variable)| (name, variable.size()))
        .collect()
}

/// Kaiming's initialisation (He et al. 2015, fan out, uniform) for convolutions, torch's for linear layers. From a
/// generator of our own, because libtorch's is one for the whole process and a test or second run would disturb it.
fn initialise(store: &VarStore, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let variables: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
    for mut variable in variables.into_values() {
        let size = variable.size();
        let bound = match size[..] {
            // One input channel for each output: as many groups as outputs.
            [_, 1, height, width] => (6.0 / (height * width) as f64).sqrt(),
            [out, _, height, width] => (6.0 / (out * height * width) as f64).sqrt(),
            [_, input] => (1.0 / input as f64).sqrt(),
            // Biases and batch normalisation keep their constants.
            _ => continue,
        };
        let values: Vec<f32> = (0..variable.numel())
            .map(|_| rng.random_range(-bound..bound) as f32)
            .collect();
        tch::no_grad(|| variable.copy_(&Tensor::from_slice(&values).view(size.as_slice())));
    }
}

/// Lays the convolutions' weights out as the images are, channels innermost: faster on every device tried.
fn channels_last(store: &VarStore) {
    for mut variable in store.variables().into_values() {
        if variable.dim() == 4 {
            let laid_out = tch::no_grad(|| {
                variable
                    .detach()
                    .permute([0, 2, 3, 1])
                    .contiguous()
                    .permute([0, 3, 1, 2])
            });
            variable.set_data(&laid_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Tensor {
        Tensor::from_slice(
            &(0..2 * 3 * 64 * 64)
                .map(|i| (i as f32 * 0.37).sin())
                .collect::<Vec<_>>(),
        )
        .view([2, 3, 64, 64])
    }

    fn logits(network: &Network) -> Tensor {
        tch::no_grad(|| {
            network
                .backbone()
                .head(&network.backbone().features(&images(), false), false)
        })
    }

    #[test]
    fn as_many_parameters_as_published() {
        // With ImageNet's 1000 classes.
        for (kind, parameters) in [
            (BackboneKind::Resnet18, 11_689_512),
            (BackboneKind::Resnet34, 21_797_672),
            (BackboneKind::Resnet50, 25_557_032),
            (BackboneKind::Resnet101, 44_549_160),
            (BackboneKind::Resnet152, 60_192_808),
            (BackboneKind::Vgg16, 138_357_544),
            (BackboneKind::Vgg19, 143_667_240),
            (BackboneKind::Vgg19Bn, 143_678_248),
            (BackboneKind::Densenet121, 7_978_856),
            (BackboneKind::MobilenetV2, 3_504_872),
            (BackboneKind::EfficientnetLite0, 4_652_008),
        ] {
            let network = Network::without_weights(kind, 1000, 0, Device::Cpu);
            let trained = network.store().trainable_variables();
            let sum: usize = trained.iter().map(Tensor::numel).sum();
            assert_eq!(sum, parameters, "{kind:?}");
            let weight = &network.store().variables()[&format!("{}.weight", kind.classifier())];
            assert_eq!(weight.size()[0], 1000, "{kind:?}");
        }
    }

    #[test]
    fn the_settings_know_the_maps_side_without_the_network() {
        for kind in BackboneKind::ALL {
            let network = Network::without_weights(kind, 2, 0, Device::Cpu);
            assert_eq!(kind.map_side(kind.smallest_input()), 7, "{kind:?}");
            for side in [64, 71, 90, 101] {
                let map = kind.map_side(side) as usize;
                assert_eq!(network.grid(side), [map; 2], "{kind:?} {side}");
            }
        }
    }

    #[test]
    fn the_seed_decides_the_weights() {
        let network = |seed| Network::new(BackboneKind::SmallResnet, 3, seed, Device::Cpu);
        assert_eq!(logits(&network(1)), logits(&network(1)));
        assert_ne!(logits(&network(1)), logits(&network(2)));
        let first = network(1);
        assert_eq!(logits(&first.duplicate().expect("copies")), logits(&first));
    }

    #[test]
    fn the_seed_decides_what_is_dropped() {
        let network = Network::new(BackboneKind::EfficientnetLite0, 3, 1, Device::Cpu);
        let twins = [(); 2].map(|()| network.duplicate().expect("copies"));
        let step = |network: &Network| {
            let backbone = network.backbone();
            tch::no_grad(|| backbone.head(&backbone.features(&images(), true), true))
        };
        let [first, second] = twins.each_ref().map(|twin| [step(twin), step(twin)]);
        assert_eq!(first, second);
        assert_ne!(first[0], first[1]);
    }
}
