//! Networks, each split as `features -> A` and `head(A) -> logits`.
//!
//! Parameter names are torchvision's (EfficientNet-Lite0's those of `efficientnet-lite-pytorch`), so that pretrained weights load by
//! name and what is saved here loads there.

mod densenet;
mod layers;
mod mobile;
mod resnet;
mod split;
mod torchscript;
mod vgg;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, SafeTensorError, TensorView};
use tch::nn::{self, VarStore};
use tch::{Device, Kind, Tensor};

pub use self::torchscript::TorchscriptError;
use crate::config::{BackboneKind, ConfigError, RunConfig};
pub use crate::weights::{Loaded, WeightsError};
use crate::weights::{Shapes, WeightFile};

use densenet::Densenet;
use mobile::{Family, Mobile};
use resnet::{BlockKind, Resnet};
use split::{Split, Stages};
use torchscript::Script;
use vgg::Vgg;

/// A network split at its target layer: the last convolutional feature map before pooling, or an earlier one.
pub trait Backbone {
    /// A [B, K, h, w] of images [B, 3, H, W].
    fn features(&self, images: &Tensor, train: bool) -> Tensor;
    /// Logits [B, C] of A.
    ///
    /// Where the target layer is an earlier one there may be batch normalisation in the head. In training that couples the
    /// images of a batch: w_k then holds what an image's A does to the other scores by the batch's mean and variance.
    fn head(&self, activations: &Tensor, train: bool) -> Tensor;
    /// The weight [C, K] of a head that is global average pooling and one linear layer; none for any other head.
    ///
    /// Where there is dropout between the two (MobileNetV2, EfficientNet-Lite0), Grad-CAM's w_k from this weight are those of
    /// evaluation mode, in training too: the mean over all dropout masks of what one pass would give. Heads that are
    /// differentiated (VGG's) give the w_k of their own pass, with its mask.
    fn pooled_linear(&self) -> Option<&Tensor>;
    /// What its dropouts draw from while it trains, in an order that is always the same.
    fn random(&self) -> Vec<&RefCell<ChaCha8Rng>> {
        Vec::new()
    }
}

/// A network with its parameters.
pub struct Network {
    store: VarStore,
    body: Body,
    kind: BackboneKind,
    num_classes: usize,
    seed: u64,
}

enum Body {
    BuiltIn(Split),
    Script(Box<Script>),
    #[cfg(test)]
    Wrapped(Box<dyn Backbone>),
}

impl Network {
    /// The network that these settings name, with its weights where they name some, split at its target layer; and what
    /// came of loading them.
    ///
    /// # Errors
    /// Where there is no such layer, or the weights or the TorchScript file cannot be used.
    pub fn from_config(
        config: &RunConfig,
        num_classes: usize,
        device: Device,
    ) -> Result<(Self, Option<Loaded>), WeightsError> {
        if config.backbone == BackboneKind::Torchscript {
            config.layer()?;
            let path = config.weights.as_deref();
            let path = path.ok_or(ConfigError::NoTorchscriptFile)?;
            let input_size = config.input_size;
            let network =
                Self::open_torchscript(path, Some(num_classes), input_size, config.seed, device)?;
            let loaded = Loaded {
                new_classifier: false,
            };
            return Ok((network, Some(loaded)));
        }
        let mut network = Self::new(config.backbone, num_classes, config.seed, device);
        if let Some(layer) = &config.target_layer {
            network = network.split_at(layer)?;
        }
        let path = config.weights.as_deref();
        let loaded = path.map(|path| network.load(path)).transpose()?;
        Ok((network, loaded))
    }

    /// A built-in network with new weights; the same seed gives the same, and drops the same values where there is dropout.
    #[must_use]
    pub fn new(kind: BackboneKind, num_classes: usize, seed: u64, device: Device) -> Self {
        let network = Self::without_weights(kind, num_classes, seed, device);
        initialise(&network.store, seed);
        network
    }

    /// A built-in network whose convolutions and linear layers are zero, for weights that are about to come.
    ///
    /// # Panics
    /// With [`BackboneKind::Torchscript`], whose network is in its file; so does [`Self::new`].
    #[must_use]
    pub fn without_weights(
        kind: BackboneKind,
        num_classes: usize,
        seed: u64,
        device: Device,
    ) -> Self {
        let mut store = VarStore::new(Device::Cpu);
        let stages = build(kind, &store.root(), num_classes as i64, seed);
        channels_last(&store);
        store.set_device(device);
        Self {
            store,
            body: Body::BuiltIn(Split::at_last(stages)),
            kind,
            num_classes,
            seed,
        }
    }

    /// The network of a TorchScript file, for square images of `input_size`, and for `num_classes` classes or, where
    /// that is none, as many as the file has.
    ///
    /// # Errors
    /// Where the file cannot be read, is none, lacks a method, is for another number of classes, has too coarse a map, or
    /// holds values that are no numbers.
    pub fn open_torchscript(
        path: &Path,
        num_classes: Option<usize>,
        input_size: u32,
        seed: u64,
        device: Device,
    ) -> Result<Self, WeightsError> {
        let script = Script::open(path, seed, device)?;
        if let Some(tensor) = script.not_finite()? {
            let path = path.to_owned();
            return Err(WeightsError::NotFinite { path, tensor });
        }
        let num_classes = script.try_out(num_classes, input_size).map_err(|source| {
            WeightsError::Torchscript {
                path: path.to_owned(),
                source,
            }
        })?;
        Ok(Self {
            store: script.store()?,
            body: Body::Script(Box::new(script)),
            kind: BackboneKind::Torchscript,
            num_classes,
            seed,
        })
    }

    /// The same network with this target layer, one of [`BackboneKind::layers`].
    ///
    /// # Errors
    /// Where it has no such layer.
    pub fn split_at(self, layer: &str) -> Result<Self, ConfigError> {
        let target = self.kind.find_layer(layer)?;
        Ok(self.split_after(target))
    }

    fn split_after(self, target: usize) -> Self {
        let body = match self.body {
            Body::BuiltIn(split) => Body::BuiltIn(split.at(target)),
            other => other,
        };
        Self { body, ..self }
    }

    /// Another network with the same weights; two of them drop the same values, step by step.
    ///
    /// # Errors
    /// Where libtorch cannot copy them (out of memory, or of space for temporary files).
    pub fn duplicate(&self) -> Result<Self, WeightsError> {
        let device = self.store.device();
        match &self.body {
            Body::BuiltIn(split) => {
                let mut twin =
                    Self::without_weights(self.kind, self.num_classes, self.seed, device);
                twin.store.copy(&self.store)?;
                Ok(twin.split_after(split.target()))
            }
            #[cfg(test)]
            Body::Wrapped(_) => {
                let mut twin =
                    Self::without_weights(self.kind, self.num_classes, self.seed, device);
                twin.store.copy(&self.store)?;
                Ok(twin)
            }
            Body::Script(script) => {
                let twin = script.duplicate(self.seed, device)?;
                Ok(Self {
                    store: twin.store()?,
                    body: Body::Script(Box::new(twin)),
                    ..*self
                })
            }
        }
    }

    /// A built-in network that does something else; its duplicates do not.
    #[cfg(test)]
    pub(crate) fn wrapped(self, wrap: impl FnOnce(Box<dyn Backbone>) -> Box<dyn Backbone>) -> Self {
        let body = match self.body {
            Body::BuiltIn(split) => Body::Wrapped(wrap(Box::new(split))),
            other => other,
        };
        Self { body, ..self }
    }

    #[must_use]
    pub fn backbone(&self) -> &dyn Backbone {
        match &self.body {
            Body::BuiltIn(split) => split,
            Body::Script(script) => script.as_ref(),
            #[cfg(test)]
            Body::Wrapped(backbone) => backbone.as_ref(),
        }
    }

    #[must_use]
    pub fn num_classes(&self) -> usize {
        self.num_classes
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
        let size = tch::no_grad(|| self.backbone().features(&image, false)).size();
        [size[2] as usize, size[3] as usize]
    }

    /// The parameters and running statistics as the bytes of a file: safetensors, or TorchScript again where the network
    /// came as that.
    ///
    /// # Errors
    /// Where the tensors cannot be packed.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WeightsError> {
        self.to_bytes_with(None)
    }

    /// As [`Self::to_bytes`]; a safetensors file has this in its header. TorchScript has no such place.
    ///
    /// # Errors
    /// As [`Self::to_bytes`].
    pub fn to_bytes_with(
        &self,
        metadata: Option<HashMap<String, String>>,
    ) -> Result<Vec<u8>, WeightsError> {
        if let Body::Script(script) = &self.body {
            return script.to_bytes();
        }
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
        Ok(safetensors::serialize(views, metadata)?)
    }

    /// The network as the bytes of a TorchScript file, for any number of square images of `input_size`: in evaluation mode, with its
    /// parameters by their names and the methods `forward_features`, `forward_head` and `forward`. `beside` is a file's name and text
    /// that are kept inside.
    ///
    /// # Errors
    /// Where libtorch cannot write it down, or no temporary file can be written.
    pub fn to_torchscript(
        &self,
        input_size: u32,
        beside: (&str, &str),
    ) -> Result<Vec<u8>, WeightsError> {
        match &self.body {
            Body::Script(script) => script.to_bytes_with(beside),
            _ if self.store.device() != Device::Cpu => {
                let mut twin = self.duplicate()?;
                twin.store.set_device(Device::Cpu);
                torchscript::traced(&twin.store, twin.backbone(), input_size, beside)
            }
            _ => torchscript::traced(&self.store, self.backbone(), input_size, beside),
        }
    }

    /// Takes weights into a built-in network by name, from a safetensors file or one of PyTorch's (see [`crate::weights`]). Every parameter has to be
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

/// A network that is built in.
fn build(kind: BackboneKind, p: &nn::Path<'_>, classes: i64, seed: u64) -> Box<dyn Stages> {
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
        BackboneKind::Torchscript => panic!("a TorchScript network is opened from its file"),
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
    fn the_settings_know_every_layers_map_without_the_network() {
        for kind in BackboneKind::BUILT_IN {
            let mut network = Network::without_weights(kind, 2, 0, Device::Cpu);
            for layer in kind.layers() {
                network = network.split_at(layer.name).expect("its own layer");
                assert_eq!(layer.map_side(layer.smallest_input()), 7, "{layer:?}");
                for side in [71, 90] {
                    let map = layer.map_side(side) as usize;
                    assert_eq!(network.grid(side), [map; 2], "{kind:?} {layer:?} {side}");
                }
            }
            assert!(network.backbone().pooled_linear().is_some() || kind.name().starts_with("vgg"));
            assert!(network.split_at("layer0").is_err(), "{kind:?}");
        }
    }

    #[test]
    fn the_logits_are_the_same_whatever_the_split() {
        for kind in [
            BackboneKind::SmallResnet,
            BackboneKind::Resnet18,
            BackboneKind::Vgg16,
            BackboneKind::Densenet121,
            BackboneKind::MobilenetV2,
            BackboneKind::EfficientnetLite0,
        ] {
            let mut network = Network::without_weights(kind, 3, 1, Device::Cpu);
            // Of no meaning, but quicker to have than `new`'s.
            for mut variable in network.store().trainable_variables() {
                if let [_, fan_in @ ..] = &variable.size()[..]
                    && !fan_in.is_empty()
                {
                    let count = variable.numel() as i64;
                    let scale = (4.0 / fan_in.iter().product::<i64>() as f64).sqrt();
                    let values = Tensor::arange(count, (Kind::Float, Device::Cpu)).sin_() * scale;
                    tch::no_grad(|| variable.copy_(&values.view(variable.size().as_slice())));
                }
            }
            let expected = logits(&network);
            assert!(expected.abs().min().double_value(&[]) > 0.0, "{kind:?}");
            for layer in kind.layers() {
                network = network.split_at(layer.name).expect("its own layer");
                assert_eq!(logits(&network), expected, "{kind:?} {layer:?}");
            }
        }
    }

    #[test]
    fn a_duplicate_is_split_at_the_same_layer() {
        let network = Network::new(BackboneKind::SmallResnet, 3, 1, Device::Cpu);
        let network = network.split_at("layer2").expect("its own layer");
        let twin = network.duplicate().expect("copies");
        assert_eq!((twin.grid(64), twin.grid(64)[0]), (network.grid(64), 16));
        assert!(twin.backbone().pooled_linear().is_none());
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
