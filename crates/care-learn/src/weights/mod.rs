//! Files of weights: what they hold, which network they are for, and how a network takes them over.
//!
//! Read are `.safetensors`, and PyTorch's own files in both layouts; what a file is, its content says and not its
//! name. Values stay in the file until a tensor is wanted, so that a file costs no more memory than its largest
//! tensor.
//!
//! - A state dict that a training wrapped (`{"state_dict": ...}`, `{"model": ...}`) is unwrapped, and the prefix `module.`
//!   of `torch.nn.DataParallel` taken away.
//! - `num_batches_tracked` is ignored. DenseNet's names of torchvision's files (`norm.1`) become today's (`norm1`).
//! - fp16, bf16 and f64 become f32.

mod pickle;
mod torch_file;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use safetensors::tensor::{Dtype, Metadata, SafeTensorError};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

pub use self::pickle::PickleError;
use crate::backbone::{self, TorchscriptError};
use crate::config::{BackboneKind, ConfigError};
use crate::panics::torch_reason;

/// Weights that do not fit the network, or a network that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("the weights {} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} cannot be used as weights: {source}", path.display())]
    Format { path: PathBuf, source: FormatError },
    #[error("the weights {} are not for {network}: {misfit}", path.display())]
    OtherNetwork {
        path: PathBuf,
        network: &'static str,
        misfit: Misfit,
    },
    #[error("{} cannot be used as weights: \"{tensor}\" holds values that are no numbers (NaN or infinite)", path.display())]
    NotFinite { path: PathBuf, tensor: String },
    #[error("{} cannot be used as a network: {source}", path.display())]
    Torchscript {
        path: PathBuf,
        source: TorchscriptError,
    },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("no temporary file can be written or read: {0}")]
    Temporary(io::Error),
    #[error("the weights cannot be packed: {0}")]
    Pack(#[from] SafeTensorError),
    #[error("libtorch failed: {}", torch_reason(&.0.to_string()))]
    Torch(#[from] tch::TchError),
}

/// Why a file is none that weights can be read from.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("it is neither a safetensors file nor one of PyTorch's")]
    Unknown,
    #[error("its header is damaged: {0}")]
    Header(#[from] serde_json::Error),
    #[error("{0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("{0}")]
    Pickle(#[from] PickleError),
    #[error(
        "it is a TorchScript program; set backbone=torchscript for it, or save its state dict alone, with \
         torch.save(model.state_dict(), ...)"
    )]
    TorchScript,
    #[error("it comes from a big-endian machine")]
    BigEndian,
    #[error("it holds no state dict: {0}")]
    NoStateDict(String),
    #[error("the values of \"{0}\" are not in it")]
    Outside(String),
    #[error("\"{0}\" is of a type that is not known: {1}")]
    Type(String, Dtype),
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("it is damaged, or cut off: {0}")]
    Io(#[from] io::Error),
}

/// What stands between a file and a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Misfit {
    /// The network's, without one in the file.
    pub missing: Vec<String>,
    /// The file's, without one in the network.
    pub superfluous: Vec<String>,
    /// With both shapes.
    pub misshapen: Vec<String>,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let mut separator = "";
        for (what, names) in [
            ("missing", &self.missing),
            ("unknown to it", &self.superfluous),
            ("of another shape", &self.misshapen),
        ] {
            if names.is_empty() {
                continue;
            }
            let shown = names[..names.len().min(SHOWN)].join(", ");
            write!(f, "{separator}{what} {shown}")?;
            if names.len() > SHOWN {
                write!(f, " and {} more", names.len() - SHOWN)?;
            }
            separator = "; ";
        }
        Ok(())
    }
}

/// What loading weights left as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// The classifier layer is new: the file has none, or one for another number of classes.
    pub new_classifier: bool,
}

/// A tensor as it lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    kind: Kind,
    shape: Vec<i64>,
    /// In elements.
    strides: Vec<i64>,
    /// From its first element to its last, in bytes of the file.
    start: u64,
    length: u64,
}

impl Stored {
    /// `part` is where the tensor's storage begins in `place` and how long it is, in elements; `place` where that lies in the
    /// file, in bytes. None for a tensor that reaches out of it.
    fn new(
        kind: Kind,
        [shape, strides]: [&[u64]; 2],
        offset: u64,
        part: (u64, u64),
        place: (u64, u64),
    ) -> Option<Self> {
        let width = kind.elt_size_in_bytes() as u64;
        let fits = part.0.checked_add(part.1)?.checked_mul(width)? <= place.1;
        let extent = if shape.contains(&0) {
            0
        } else {
            let mut steps = shape.iter().zip(strides);
            steps.try_fold(1u64, |extent, (n, stride)| {
                extent.checked_add((n - 1).checked_mul(*stride)?)
            })?
        };
        if !fits || shape.len() != strides.len() || offset.checked_add(extent)? > part.1 {
            return None;
        }
        let signed = |sizes: &[u64]| -> Option<Vec<i64>> {
            sizes.iter().map(|n| i64::try_from(*n).ok()).collect()
        };
        Some(Self {
            kind,
            shape: signed(shape)?,
            strides: signed(strides)?,
            start: (part.0.checked_add(offset)?)
                .checked_mul(width)?
                .checked_add(place.0)?,
            length: extent.checked_mul(width)?,
        })
    }

    fn of_storage(
        storage: &pickle::Storage,
        tensor: &pickle::Tensor,
        place: (u64, u64),
    ) -> Option<Self> {
        let sizes = [&tensor.shape[..], &tensor.strides];
        Self::new(storage.kind, sizes, tensor.offset, storage.part, place)
    }

    /// One value after the other.
    fn contiguous(kind: Kind, shape: &[u64], place: (u64, u64)) -> Option<Self> {
        let mut strides = vec![1u64; shape.len()];
        for i in (1..shape.len()).rev() {
            strides[i - 1] = strides[i].checked_mul(shape[i])?;
        }
        let n = place.1 / kind.elt_size_in_bytes() as u64;
        Self::new(kind, [shape, &strides], 0, (0, n), place)
    }

    fn is_real(&self) -> bool {
        let real = [Kind::Float, Kind::Double, Kind::Half, Kind::BFloat16];
        real.contains(&self.kind)
    }
}

/// A file of weights, opened: names, shapes and places are known, the values still in the file.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    file: File,
    is_zip: bool,
    tensors: BTreeMap<String, Stored>,
}

impl WeightFile {
    /// # Errors
    /// Where the file cannot be read, is no file of weights, or damaged as far as that shows without reading its values.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let unreadable = |source| WeightsError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let (is_zip, tensors) =
            read_tensors(&file, length).map_err(|source| WeightsError::Format {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            is_zip,
            tensors,
        })
    }

    /// Its tensors, by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The network that the weights are for, and for how many classes; no number where the file has no classifier layer.
    #[must_use]
    pub fn network(&self) -> Option<(BackboneKind, Option<usize>)> {
        const N: usize = BackboneKind::BUILT_IN.len();
        // Each made once, when it is wanted: the largest takes half a gigabyte for a moment.
        static SHAPES: [OnceLock<Shapes>; N] = [const { OnceLock::new() }; N];
        let mut kinds = BackboneKind::BUILT_IN.into_iter().zip(&SHAPES);
        let (kind, _) = kinds.find(|(kind, shapes)| {
            let wanted = shapes.get_or_init(|| backbone::shapes(*kind));
            fit(&self.tensors, wanted, kind.classifier()).is_ok()
        })?;
        Some((kind, self.num_classes(kind)))
    }

    /// For how many classes its classifier layer is, where it is for this network; none where it has no such layer.
    #[must_use]
    pub fn num_classes(&self, kind: BackboneKind) -> Option<usize> {
        let bias = self.tensors.get(&format!("{}.bias", kind.classifier()))?;
        usize::try_from(*bias.shape.first()?).ok()
    }

    /// A network's parameters and running statistics from the file, see [`crate::backbone::Network::load`].
    pub(crate) fn load_into(
        &self,
        store: &VarStore,
        kind: BackboneKind,
    ) -> Result<Loaded, WeightsError> {
        let mut variables: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
        let wanted = variables
            .iter()
            .map(|(name, variable)| (name.clone(), variable.size()))
            .collect();
        let loaded = fit(&self.tensors, &wanted, kind.classifier()).map_err(|misfit| {
            WeightsError::OtherNetwork {
                path: self.path.clone(),
                network: kind.title(),
                misfit,
            }
        })?;
        if loaded.new_classifier {
            // The network's own stay, all of them.
            let own = new_layers(&self.tensors, kind.classifier());
            variables.retain(|name, _| !is_in(name, own));
        }
        self.check()?;
        // Everything is looked at before anything is taken: the network is the file's or unchanged.
        for name in variables.keys() {
            let values = self.values(name)?;
            // The smallest and the largest are NaN where any is.
            let ends = [values.f_min()?, values.f_max()?];
            for end in ends {
                if !end.f_double_value(&[])?.is_finite() {
                    return Err(WeightsError::NotFinite {
                        path: self.path.clone(),
                        tensor: name.clone(),
                    });
                }
            }
        }
        for (name, variable) in &mut variables {
            let values = self.values(name)?;
            tch::no_grad(|| variable.f_copy_(&values))?;
        }
        Ok(loaded)
    }

    /// Reads the whole file for its checksums, where it has any.
    ///
    /// # Errors
    /// Where one is wrong.
    pub fn check(&self) -> Result<(), WeightsError> {
        if !self.is_zip {
            return Ok(());
        }
        torch_file::check_zip(BufReader::new(&self.file)).map_err(|source| WeightsError::Format {
            path: self.path.clone(),
            source,
        })
    }

    /// A tensor in f32 on the CPU.
    fn values(&self, name: &str) -> Result<Tensor, WeightsError> {
        let unreadable = |source| WeightsError::Read {
            path: self.path.clone(),
            source,
        };
        let Some(stored) = self.tensors.get(name) else {
            return Err(unreadable(io::ErrorKind::NotFound.into()));
        };
        // Within the file's own length, see `read_tensors`.
        let mut bytes = vec![0; stored.length as usize];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(stored.start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(unreadable)?;
        let n = bytes.len() / stored.kind.elt_size_in_bytes();
        let row = Tensor::f_from_data_size(&bytes, &[n as i64], stored.kind)?;
        let tensor = row.f_as_strided(&stored.shape[..], &stored.strides[..], 0)?;
        Ok(tensor.f_to_kind(Kind::Float)?)
    }
}

/// Names and shapes of a network's parameters and running statistics.
pub(crate) type Shapes = BTreeMap<String, Vec<i64>>;

/// Every tensor of the file, and whether that is a zip file.
fn read_tensors(
    mut file: &File,
    length: u64,
) -> Result<(bool, BTreeMap<String, Stored>), FormatError> {
    let mut start = Vec::new();
    file.take(9).read_to_end(&mut start)?;
    file.rewind()?;
    let reader = BufReader::new(file);
    let is_zip = start.starts_with(b"PK\x03\x04");
    let tensors = match start[..] {
        _ if is_zip => torch_file::read_zip(reader)?,
        // A length, and JSON.
        [.., b'{'] if start.len() == 9 => read_safetensors(reader, length)?,
        // Protocol 2 or later.
        [0x80, ..] => torch_file::read_older(reader)?,
        _ => return Err(FormatError::Unknown),
    };
    let is_within = |stored: &Stored| {
        let end = stored.start.checked_add(stored.length);
        end.is_some_and(|end| end <= length)
    };
    let tensors = tensors
        .into_iter()
        .filter(|(name, _)| !name.ends_with("num_batches_tracked"))
        .map(|(name, stored)| {
            if is_within(&stored) {
                Ok((todays_name(name), stored))
            } else {
                Err(FormatError::Outside(name))
            }
        });
    Ok((is_zip, tensors.collect::<Result<_, _>>()?))
}

fn read_safetensors(
    mut file: impl Read,
    length: u64,
) -> Result<BTreeMap<String, Stored>, FormatError> {
    let mut number = [0; 8];
    file.read_exact(&mut number)?;
    let header_length = u64::from_le_bytes(number);
    let begin = header_length
        .checked_add(8)
        .filter(|begin| *begin <= length);
    let Some(begin) = begin else {
        return Err(FormatError::Damaged("its header is longer than itself"));
    };
    let mut header = Vec::new();
    file.take(header_length).read_to_end(&mut header)?;
    let metadata: Metadata = serde_json::from_slice(&header)?;
    if begin.checked_add(metadata.data_len() as u64) != Some(length) {
        return Err(FormatError::Damaged("it is cut off, or too long"));
    }
    let tensors = metadata.tensors().into_iter().map(|(name, info)| {
        let kind = match info.dtype {
            Dtype::F32 => Kind::Float,
            Dtype::F64 => Kind::Double,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::I64 => Kind::Int64,
            Dtype::I32 => Kind::Int,
            Dtype::I16 => Kind::Int16,
            Dtype::I8 => Kind::Int8,
            Dtype::U8 => Kind::Uint8,
            Dtype::BOOL => Kind::Bool,
            other => return Err(FormatError::Type(name, other)),
        };
        let (first, end) = info.data_offsets;
        let shape: Vec<u64> = info.shape.iter().map(|n| *n as u64).collect();
        let place = (begin + first as u64, (end - first) as u64);
        match Stored::contiguous(kind, &shape, place) {
            Some(stored) => Ok((name, stored)),
            None => Err(FormatError::Outside(name)),
        }
    });
    tensors.collect()
}

/// torchvision's DenseNet files are older than its names; it renames them in the same way when it loads them.
fn todays_name(name: String) -> String {
    if !name.contains(".denselayer") {
        return name;
    }
    ["norm", "conv"].iter().fold(name, |name, layer| {
        name.replace(&format!(".{layer}."), &format!(".{layer}"))
    })
}

/// Whether a file holds a network. Every parameter has to be there in its shape, and nothing else; but the classifier layer
/// may be for another number of classes, and the layers of the head may all be missing. What there is in the file of a
/// classifier for other classes is not taken.
fn fit(
    file: &BTreeMap<String, Stored>,
    wanted: &Shapes,
    classifier: &str,
) -> Result<Loaded, Misfit> {
    let own = new_layers(file, classifier);
    let mut misfit = Misfit::default();
    let mut new_classifier = false;
    for (name, shape) in wanted {
        match file.get(name) {
            None if is_in(name, own) => new_classifier = true,
            None => misfit.missing.push(name.clone()),
            Some(stored) if !stored.is_real() => {
                let kind = stored.kind;
                misfit.misshapen.push(format!("{name} ({kind:?} there)"));
            }
            Some(stored) if stored.shape == *shape => {}
            // The same layer but for its outputs.
            Some(stored) if is_in(name, classifier) && stored.shape.get(1..) == shape.get(1..) => {
                new_classifier = true;
            }
            Some(stored) => {
                let there = &stored.shape;
                misfit
                    .misshapen
                    .push(format!("{name} ({there:?} there, {shape:?} here)"));
            }
        }
    }
    let names = file.keys();
    misfit.superfluous = names
        .filter(|name| !wanted.contains_key(*name))
        .cloned()
        .collect();
    if misfit == Misfit::default() {
        Ok(Loaded { new_classifier })
    } else {
        Err(misfit)
    }
}

/// The layers that stay a network's own where the classifier is new: the whole head (`classifier` of VGG's `classifier.6`)
/// where the file has nothing of it, as files of features alone have; else the classifier layer.
fn new_layers<'a>(file: &BTreeMap<String, Stored>, classifier: &'a str) -> &'a str {
    let head = classifier.split('.').next().unwrap_or(classifier);
    if file.keys().any(|name| is_in(name, head)) {
        classifier
    } else {
        head
    }
}

/// Whether a parameter belongs to a layer.
fn is_in(name: &str, layer: &str) -> bool {
    name.strip_prefix(layer)
        .is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests;
