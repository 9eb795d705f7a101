//! The network of a TorchScript file, whatever is inside: it needs the methods `forward_features` and `forward_head` (timm's
//! names), and parameters that can be trained.
//!
//! Such a file is a program for torch's own interpreter. It computes with tensors and can reach nothing else, but it
//! is a program: unlike a file of weights it decides what is computed and for how long.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::nn::VarStore;
use tch::{Device, Kind, TchError, Tensor};
use tempfile::TempDir;

use super::Backbone;
use crate::config::LEAST_MAP_SIDE;
use crate::libtorch::Program;
use crate::panics::torch_reason;
use crate::weights::WeightsError;

const FEATURES: &str = "forward_features";
const HEAD: &str = "forward_head";
/// Images that a file is tried with: so many that the batch can be told from other dimensions of one.
const TRIED: i64 = 2;
/// The largest input that the settings allow.
const LARGEST_INPUT: u32 = 1024;

/// Why a file is no network that can be trained here.
#[derive(Debug, thiserror::Error)]
pub enum TorchscriptError {
    #[error(
        "libtorch cannot open it as TorchScript ({0}). Save the network with torch.jit.script(network).save(FILE)"
    )]
    Open(String),
    #[error(
        "it has no method {0}. Export it with forward_features and forward_head, see docs/bring-your-own.md"
    )]
    NoMethod(&'static str),
    #[error("its {method} fails on {TRIED} images of {side} x {side}: {reason}")]
    Fails {
        method: &'static str,
        side: u32,
        reason: String,
    },
    #[error("it has no parameters to train. Export it without torch.jit.freeze")]
    NoParameters,
    #[error("\"{name}\" is {kind:?}. Export it with float32 parameters, network.float()")]
    NotFloat { name: String, kind: Kind },
    #[error(
        "forward_features gives {0:?} for {TRIED} images, not a map [{TRIED}, K, h, w]. \
         Grad-CAM needs the convolutional map itself, before any pooling or flattening"
    )]
    NoMap(Vec<i64>),
    #[error(
        "its map is {height} x {width} at input_size={side}, too coarse to say where it looks: {LEAST_MAP_SIDE} x {LEAST_MAP_SIDE} is the \
         least. {}", finer(*side, *(.height.min(.width)))
    )]
    Coarse { height: i64, width: i64, side: u32 },
    #[error("forward_head gives {0:?} for {TRIED} images, not logits [{TRIED}, C]")]
    NoLogits(Vec<i64>),
    #[error(
        "it tells {there} classes apart, and there are {wanted} here. Export it with a classifier for {wanted} classes"
    )]
    Classes { there: i64, wanted: usize },
    #[error(
        "its logits are no numbers (NaN or infinite), so its weights or running statistics hold some that are none"
    )]
    NotFinite,
    #[error("its logits cannot be differentiated with respect to its features: {0}")]
    NoGradient(String),
}

/// What helps where a map of `cells` a side for an input of `side` is too coarse.
fn finer(side: u32, cells: i64) -> String {
    let earlier = "let forward_features end at an earlier layer";
    let cells = u32::try_from(cells).unwrap_or_default().max(1);
    match (side * LEAST_MAP_SIDE).div_ceil(cells) {
        enough if cells > 1 && enough <= LARGEST_INPUT => {
            format!("Take input_size={enough} or more, or {earlier}")
        }
        _ => format!("L{}", &earlier[1..]),
    }
}

/// A TorchScript file's program with its parameters and running statistics.
pub(super) struct Script {
    program: Program,
    /// Whether it is in training mode; none before it was first told.
    mode: Cell<Option<bool>>,
    device: Device,
    /// What the seeds of libtorch's generator are drawn from, see [`Backbone::features`] of this.
    rng: RefCell<ChaCha8Rng>,
}

impl Script {
    /// `seed` decides what its dropout drops.
    pub(super) fn open(path: &Path, seed: u64, device: Device) -> Result<Self, WeightsError> {
        // libtorch's own words about a missing file are many.
        std::fs::File::open(path).map_err(|source| WeightsError::Read {
            path: path.to_owned(),
            source,
        })?;
        let program = Program::open(path, device).map_err(|error| {
            let reason = reason(&error);
            // Guesses at how the file came to be so may follow.
            let first = reason.split(". ").next().unwrap_or_default();
            WeightsError::Torchscript {
                path: path.to_owned(),
                source: TorchscriptError::Open(first.to_owned()),
            }
        })?;
        Ok(Self {
            program,
            mode: Cell::new(None),
            device,
            rng: RefCell::new(ChaCha8Rng::seed_from_u64(seed)),
        })
    }

    /// The name of a parameter or buffer that holds values which are no numbers.
    pub(super) fn not_finite(&self) -> Result<Option<String>, TchError> {
        for (name, parameter) in self.program.parameters()? {
            // NaN and infinities spread.
            let sum = parameter.f_sum(Kind::Double)?;
            if !sum.f_double_value(&[])?.is_finite() {
                return Ok(Some(name));
            }
        }
        for (name, buffer) in self.program.buffers()? {
            // A mask may well be infinite.
            if buffer.f_isnan()?.f_any()?.f_int64_value(&[])? != 0 {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Whether it can be trained with square images of `side`: what it gives for black ones has the shapes of a map and of
    /// logits, and can be differentiated. Parameters that have no part in it are not trained. Says how many classes it tells
    /// apart, which are `num_classes` where that is given.
    pub(super) fn try_out(
        &self,
        num_classes: Option<usize>,
        side: u32,
    ) -> Result<usize, TorchscriptError> {
        let failed = |method| {
            move |error| {
                let reason = reason(&error);
                if reason.contains(&format!("'{method}' is not defined")) {
                    return TorchscriptError::NoMethod(method);
                }
                TorchscriptError::Fails {
                    method,
                    side,
                    reason,
                }
            }
        };
        let parameters = self.program.parameters();
        let parameters = parameters.map_err(|e| TorchscriptError::Open(reason(&e)))?;
        if let Some((name, parameter)) = parameters.iter().find(|(_, p)| p.kind() != Kind::Float) {
            return Err(TorchscriptError::NotFloat {
                name: name.clone(),
                kind: parameter.kind(),
            });
        }
        let shape = [TRIED, 3, i64::from(side), i64::from(side)];
        let images = Tensor::zeros(shape, (Kind::Float, self.device));
        tch::with_grad(|| {
            let activations = self.call(FEATURES, &images, false);
            let activations = activations.map_err(failed(FEATURES))?;
            let [TRIED, _, height, width] = activations.size()[..] else {
                return Err(TorchscriptError::NoMap(activations.size()));
            };
            if height.min(width) < i64::from(LEAST_MAP_SIDE) {
                return Err(TorchscriptError::Coarse {
                    height,
                    width,
                    side,
                });
            }
            let activations = differentiable(activations);
            let logits = self.call(HEAD, &activations, false);
            let logits = logits.map_err(failed(HEAD))?;
            let [TRIED, there] = logits.size()[..] else {
                return Err(TorchscriptError::NoLogits(logits.size()));
            };
            let classes = usize::try_from(there).unwrap_or_default();
            if let Some(wanted) = num_classes
                && wanted != classes
            {
                return Err(TorchscriptError::Classes { there, wanted });
            }
            let sum = logits.sum(Kind::Double);
            if !sum.double_value(&[]).is_finite() {
                return Err(TorchscriptError::NotFinite);
            }
            let learning = parameters.iter().map(|(_, parameter)| parameter);
            let learning: Vec<&Tensor> = learning.filter(|p| p.requires_grad()).collect();
            let mut of = vec![&activations];
            of.extend(&learning);
            let gradients = Tensor::f_run_backward(&[sum], &of, false, false)
                .map_err(|error| TorchscriptError::NoGradient(reason(&error)))?;
            if !gradients[0].defined() {
                let apart = "they do not come from them".to_owned();
                return Err(TorchscriptError::NoGradient(apart));
            }
            let mut num_learned = 0;
            for (parameter, gradient) in learning.iter().zip(&gradients[1..]) {
                num_learned += usize::from(gradient.defined());
                let _ = parameter.set_requires_grad(gradient.defined());
            }
            if num_learned == 0 {
                return Err(TorchscriptError::NoParameters);
            }
            Ok(classes)
        })
    }

    /// Its parameters and buffers by their names; those are trained that have gradients.
    pub(super) fn store(&self) -> Result<VarStore, TchError> {
        let store = VarStore::new(self.device);
        let parameters = self.program.parameters()?.into_iter();
        let buffers = self.program.buffers()?;
        for (name, tensor) in parameters.chain(buffers) {
            let (parents, last) = name.rsplit_once('.').unwrap_or(("", &name));
            let parents = parents.split('.').filter(|parent| !parent.is_empty());
            let path = parents.fold(store.root(), |path, parent| path / parent);
            let is_trained = tensor.requires_grad();
            let _ = path.add(last, tensor, is_trained);
        }
        Ok(store)
    }

    /// Another with the same values, all of them.
    pub(super) fn duplicate(&self, seed: u64, device: Device) -> Result<Self, WeightsError> {
        let (_dir, file) = self.save()?;
        Self::open(&file, seed, device)
    }

    /// As the bytes of a TorchScript file, in evaluation mode and for any device.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, WeightsError> {
        if self.device != Device::Cpu {
            // The file notes where each tensor was.
            return self.duplicate(0, Device::Cpu)?.to_bytes();
        }
        let (_dir, file) = self.save()?;
        std::fs::read(file).map_err(WeightsError::Temporary)
    }

    /// As [`Self::to_bytes`], with the method `forward` and with a file of this name and text inside.
    pub(super) fn to_bytes_with(&self, beside: (&str, &str)) -> Result<Vec<u8>, WeightsError> {
        let twin = self.duplicate(0, Device::Cpu)?;
        twin.set_mode(false)?;
        finish(&twin.program, beside)
    }

    /// libtorch writes to a file only, and calls what is inside by the file's name.
    fn save(&self) -> Result<(TempDir, PathBuf), WeightsError> {
        let dir = tempfile::tempdir().map_err(WeightsError::Temporary)?;
        let file = dir.path().join("network.pt");
        self.set_mode(false)?;
        self.program.save(&file)?;
        Ok((dir, file))
    }

    fn set_mode(&self, train: bool) -> Result<(), TchError> {
        if self.mode.get() != Some(train) {
            self.program.set_training(train)?;
            self.mode.set(Some(train));
        }
        Ok(())
    }

    fn call(&self, method: &str, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        self.set_mode(train)?;
        self.program.call(method, x)
    }
}

/// A network as the bytes of a TorchScript file: its parameters by their names, and what it does in evaluation mode with
/// any number of square images of `side`, as `forward_features`, `forward_head` and `forward`.
///
/// The parameters and statistics have to be on the CPU.
pub(super) fn traced(
    store: &VarStore,
    network: &dyn Backbone,
    side: u32,
    beside: (&str, &str),
) -> Result<Vec<u8>, WeightsError> {
    let mut variables: Vec<(String, Tensor)> = store.variables().into_iter().collect();
    variables.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let program = Program::of(&variables, |variable| !variable.requires_grad())?;
    let shape = [TRIED, 3, i64::from(side), i64::from(side)];
    let images = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    let activations = program.trace(FEATURES, &images, |x| network.features(x, false))?;
    let _ = program.trace(HEAD, &activations, |x| network.head(x, false))?;
    finish(&program, beside)
}

/// Adds `forward` where there is none, and writes the file.
fn finish(program: &Program, beside: (&str, &str)) -> Result<Vec<u8>, WeightsError> {
    let forward =
        format!("def forward(self, images):\n    return self.{HEAD}(self.{FEATURES}(images))\n");
    program.define("forward", &forward)?;
    let dir = tempfile::tempdir().map_err(WeightsError::Temporary)?;
    let file = dir.path().join("network.pt");
    program.save_with(&file, beside)?;
    std::fs::read(file).map_err(WeightsError::Temporary)
}

/// Also where all parameters before it are kept as they are.
fn differentiable(activations: Tensor) -> Tensor {
    if activations.requires_grad() {
        activations
    } else {
        activations.detach().set_requires_grad(true)
    }
}

impl Backbone for Script {
    /// Its dropout draws from libtorch's generator, which is one for the whole process: each step seeds it, so that the
    /// run's seed decides what is dropped, in CARE and in its control alike.
    fn features(&self, images: &Tensor, train: bool) -> Tensor {
        if train {
            tch::manual_seed(self.rng.borrow_mut().random());
        }
        // Programs may ask for the usual layout (`view`), and are promised no other.
        let activations = or_panic(self.call(FEATURES, &images.contiguous(), train));
        if train {
            differentiable(activations)
        } else {
            activations
        }
    }

    fn head(&self, activations: &Tensor, train: bool) -> Tensor {
        or_panic(self.call(HEAD, activations, train))
    }

    fn random(&self) -> Vec<&RefCell<ChaCha8Rng>> {
        vec![&self.rng]
    }

    fn pooled_linear(&self) -> Option<&Tensor> {
        None
    }
}

/// As tch's operators do where libtorch fails.
fn or_panic(result: Result<Tensor, TchError>) -> Tensor {
    result.unwrap_or_else(|error| panic!("{error:?}"))
}

fn reason(error: &TchError) -> String {
    torch_reason(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panics::{Panic, caught};

    #[test]
    fn what_fails_in_the_program_says_its_own_reason() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torchscript");
        let script = Script::open(&fixtures.join("densenet.pt"), 0, Device::Cpu).expect("opens");
        let map = Tensor::zeros([2, 3, 7, 7], (Kind::Float, Device::Cpu));
        let Err(Panic::Torch(reason)) = caught(|| script.head(&map, true)) else {
            panic!("a map of other channels was taken")
        };
        assert!(reason.contains("shapes cannot be multiplied"), "{reason}");
    }

    #[test]
    fn what_helps_a_coarse_map() {
        for (side, cells, says) in [
            (96, 3, "Take input_size=224 or more, or let"),
            (160, 5, "Take input_size=224 or more, or let"),
            (224, 1, "Let forward_features end"),
            (512, 2, "Let forward_features end"),
        ] {
            assert!(
                finer(side, cells).starts_with(says),
                "{}",
                finer(side, cells)
            );
        }
    }
}
