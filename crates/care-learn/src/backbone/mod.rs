//! Networks, each split as `features -> A` and `head(A) -> logits`.
//!
//! Parameter names are torchvision's, so that pretrained safetensors load by name and what is saved here loads there.

mod resnet;
mod resnet18;
mod small_resnet;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::config::BackboneKind;
use crate::panics::torch_reason;

/// A network split at its target layer, the last convolutional feature map before pooling.
pub trait Backbone {
    /// A [B, K, h, w] of images [B, 3, H, W].
    fn features(&self, images: &Tensor, train: bool) -> Tensor;
    /// Logits [B, C] of A.
    fn head(&self, activations: &Tensor, train: bool) -> Tensor;
    /// The weight [C, K] of a head that is global average pooling and one linear layer; none for any other head.
    fn pooled_linear(&self) -> Option<&Tensor>;
}

/// Weights that do not fit the network.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("the weights {} cannot be read: {source}. Choose a safetensors file.", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is not a safetensors file, or it is damaged: {source}", path.display())]
    NotSafetensors {
        path: PathBuf,
        source: SafeTensorError,
    },
    #[error("the weights {} are for another network: {why}. Choose weights of {network}, named as in torchvision.", path.display())]
    OtherNetwork {
        path: PathBuf,
        why: String,
        network: &'static str,
    },
    #[error("the weights cannot be packed: {0}")]
    Pack(#[from] SafeTensorError),
    #[error("libtorch failed: {}", torch_reason(&.0.to_string()))]
    Torch(#[from] tch::TchError),
}

/// What loading weights left as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// The classifier layer is new: the file has none, or one for another number of classes.
    pub new_classifier: bool,
}

/// A network with its parameters.
pub struct Network {
    store: VarStore,
    backbone: Box<dyn Backbone>,
    kind: BackboneKind,
    num_classes: usize,
}

impl Network {
    /// A network with new weights; the same seed gives the same.
    #[must_use]
    pub fn new(kind: BackboneKind, num_classes: usize, seed: u64, device: Device) -> Self {
        let mut store = VarStore::new(Device::Cpu);
        let classes = num_classes as i64;
        let backbone: Box<dyn Backbone> = match kind {
            BackboneKind::SmallResnet => {
                Box::new(small_resnet::SmallResnet::new(&store.root(), classes))
            }
            BackboneKind::Resnet18 => Box::new(resnet18::Resnet18::new(&store.root(), classes)),
        };
        initialise(&store, seed);
        channels_last(&store);
        store.set_device(device);
        Self {
            store,
            backbone,
            kind,
            num_classes,
        }
    }

    /// Another network with the same weights.
    ///
    /// # Errors
    /// Where libtorch cannot copy them (out of memory).
    pub fn duplicate(&self) -> Result<Self, WeightsError> {
        let mut twin = Self::new(self.kind, self.num_classes, 0, self.store.device());
        twin.store.copy(&self.store)?;
        Ok(twin)
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

    /// Takes weights by name. Every parameter has to be there in its shape, and nothing else; only the classifier
    /// (`fc`) may be missing or differ in shape, and stays new then.
    ///
    /// # Errors
    /// Where the file is missing, damaged or another network's. The network is unchanged then.
    pub fn load(&mut self, path: &Path) -> Result<Loaded, WeightsError> {
        let other = |why: String| WeightsError::OtherNetwork {
            path: path.to_owned(),
            why,
            network: match self.kind {
                BackboneKind::SmallResnet => "the small residual network",
                BackboneKind::Resnet18 => "ResNet18",
            },
        };
        let bytes = std::fs::read(path).map_err(|source| WeightsError::Read {
            path: path.to_owned(),
            source,
        })?;
        let file =
            SafeTensors::deserialize(&bytes).map_err(|source| WeightsError::NotSafetensors {
                path: path.to_owned(),
                source,
            })?;
        let variables: BTreeMap<String, Tensor> = self.store.variables().into_iter().collect();
        if let Some(name) = file.names().into_iter().find(|name| {
            !variables.contains_key(*name)
                && !name.ends_with(".num_batches_tracked")
                && !name.starts_with("fc.")
        }) {
            return Err(other(format!(
                "it holds \"{name}\", which that network has not"
            )));
        }
        let mut new_classifier = false;
        let mut taken = Vec::with_capacity(variables.len());
        for (name, variable) in variables {
            match file.tensor(&name) {
                Ok(view) if shape_of(&view) == variable.size() => {
                    taken.push((variable, Tensor::try_from_view(&view)?))
                }
                Ok(_) | Err(SafeTensorError::TensorNotFound(_)) if name.starts_with("fc.") => {
                    new_classifier = true
                }
                Ok(view) => {
                    let (is, wanted) = (view.shape(), variable.size());
                    return Err(other(format!("\"{name}\" is {is:?} there, not {wanted:?}")));
                }
                Err(_) => return Err(other(format!("\"{name}\" is missing"))),
            }
        }
        tch::no_grad(|| {
            taken
                .iter_mut()
                .try_for_each(|(variable, value)| variable.f_copy_(value))
        })?;
        Ok(Loaded { new_classifier })
    }
}

trait TryFromView: Sized {
    fn try_from_view(view: &TensorView) -> Result<Self, tch::TchError>;
}

impl TryFromView for Tensor {
    fn try_from_view(view: &TensorView) -> Result<Self, tch::TchError> {
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F64 => Kind::Double,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            other => {
                return Err(tch::TchError::Convert(format!(
                    "weights of type {other:?} are not known"
                )));
            }
        };
        Tensor::f_from_data_size(view.data(), &shape_of(view), kind)
    }
}

fn shape_of(view: &TensorView) -> Vec<i64> {
    view.shape().iter().map(|n| *n as i64).collect()
}

/// Kaiming's initialisation (He et al. 2015, fan out, uniform) for convolutions, torch's for the linear layer. From a
/// generator of our own, because libtorch's is one for the whole process and a test or second run would disturb it.
fn initialise(store: &VarStore, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let variables: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
    for mut variable in variables.into_values() {
        let size = variable.size();
        let bound = match size[..] {
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
    use crate::config::RunConfig;

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
    fn shapes_and_names() {
        for (kind, side, grid, variables, parameters) in [
            (BackboneKind::SmallResnet, 96, [12, 12], None, None),
            // torchvision's resnet18 has 11 689 512 parameters with 1000 classes, 122 tensors in its state, 20 of
            // them `num_batches_tracked`.
            (
                BackboneKind::Resnet18,
                224,
                [7, 7],
                Some(102),
                Some(11_689_512),
            ),
        ] {
            let network = Network::new(kind, 1000, 0, Device::Cpu);
            assert_eq!(network.grid(side), grid, "{kind:?}");
            // The settings know the map's side without the network.
            for input_size in [kind.smallest_input(), side + 4] {
                let config = RunConfig {
                    backbone: kind,
                    input_size,
                    ..RunConfig::default()
                };
                let side = config.map_side() as usize;
                assert_eq!(network.grid(input_size), [side; 2], "{kind:?} {input_size}");
            }
            assert_eq!(logits(&network).size(), [2, 1000]);
            if let (Some(variables), Some(parameters)) = (variables, parameters) {
                let store = network.store();
                assert_eq!(store.len(), variables);
                let sum: usize = store.trainable_variables().iter().map(Tensor::numel).sum();
                assert_eq!(sum, parameters);
                for name in [
                    "conv1.weight",
                    "layer2.0.downsample.1.running_var",
                    "layer4.1.bn2.bias",
                    "fc.bias",
                ] {
                    assert!(store.variables().contains_key(name), "{name}");
                }
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
    fn weights_come_back_by_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("weights.safetensors");
        let network =
            |classes, seed| Network::new(BackboneKind::SmallResnet, classes, seed, Device::Cpu);
        let saved = network(3, 1);
        std::fs::write(&path, saved.to_safetensors().expect("packs")).expect("writes");

        let mut same = network(3, 2);
        assert_eq!(
            same.load(&path).expect("loads"),
            Loaded {
                new_classifier: false
            }
        );
        assert_eq!(logits(&same), logits(&saved));

        let mut other_classes = network(5, 2);
        assert_eq!(
            other_classes.load(&path).expect("loads"),
            Loaded {
                new_classifier: true
            }
        );

        let mut other_network = Network::new(BackboneKind::Resnet18, 3, 2, Device::Cpu);
        let before = logits(&other_network);
        let error = other_network
            .load(&path)
            .expect_err("another network")
            .to_string();
        assert!(
            error.contains("ResNet18") && error.contains("weights.safetensors"),
            "{error}"
        );
        assert_eq!(logits(&other_network), before);

        std::fs::write(&path, b"no weights").expect("writes");
        assert!(matches!(
            same.load(&path),
            Err(WeightsError::NotSafetensors { .. })
        ));
    }
}
