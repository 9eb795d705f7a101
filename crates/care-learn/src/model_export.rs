//! A run's model for other programs: safetensors and TorchScript.
//!
//! The files hold no path and no image's name.

use std::collections::HashMap;

use serde::Serialize;
use tch::Device;

use crate::backbone::{Network, WeightsError};
use crate::config::{BackboneKind, Preprocess, RunConfig};
use crate::event::ModelRole;
use crate::panics::{Panic, caught};
use crate::run_folder::{RunData, RunFolder, RunFolderError};

/// The name of [`Note`] in a file.
pub const NOTE: &str = "care.json";

/// Why a model could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("a network from a TorchScript file has no safetensors; write it as TorchScript")]
    NoSafetensors,
    #[error("libtorch failed: {0}")]
    Torch(String),
    #[error("this is a fault of the program: {0}")]
    Fault(String),
    #[error("the note on the model cannot be written: {0}")]
    Note(#[from] serde_json::Error),
}

impl From<Panic> for ExportError {
    fn from(panic: Panic) -> Self {
        match panic {
            Panic::Torch(why) => Self::Torch(why),
            Panic::Fault(why) => Self::Fault(why),
        }
    }
}

/// What a program needs to know to use a model; in a TorchScript file as `care.json`, in a safetensors file as metadata.
#[derive(Debug, Serialize)]
struct Note<'a> {
    intended_use: &'static str,
    model: &'static str,
    backbone: &'static str,
    /// In logit order.
    classes: Vec<&'a str>,
    /// Side of the square input in pixels.
    input_size: u32,
    channels: &'static str,
    resize: &'static str,
    /// `(value - mean) / std`, values in 0..=255.
    mean: [f32; 3],
    std: [f32; 3],
    grey_window: String,
    grey_inverted: bool,
}

const INTENDED_USE: &str = "research only, not for diagnosis";
const RESIZE: &str = "both sides to input_size, each by itself, bilinear with antialiasing";

impl<'a> Note<'a> {
    fn new(config: &RunConfig, data: &'a RunData, role: ModelRole) -> Self {
        let Preprocess { mean, std } = config.backbone.preprocess();
        Self {
            intended_use: INTENDED_USE,
            model: role.name(),
            backbone: config.backbone.name(),
            classes: data.classes.iter().map(|c| c.name.as_str()).collect(),
            input_size: config.input_size,
            channels: "RGB",
            resize: RESIZE,
            mean,
            std,
            grey_window: data.look.windowing.to_string(),
            grey_inverted: data.look.invert,
        }
    }
}

/// One of a run's models as it was trained, on the CPU.
fn network(
    folder: &RunFolder,
    role: ModelRole,
) -> Result<(Network, RunConfig, RunData), ExportError> {
    let data = folder.data()?;
    let mut config = folder.config()?;
    config.weights = Some(folder.weights(role));
    let (network, _) = Network::from_config(&config, data.classes.len(), Device::Cpu)?;
    Ok((network, config, data))
}

/// The model as a TorchScript file: `forward` gives logits [B, C] of normalised images [B, 3, S, S], and is
/// `forward_head(forward_features(images))`, between which lies the map that Grad-CAM is computed on. Parameters have torchvision's
/// names. It is in evaluation mode for good: normalisation is not learned further.
///
/// # Errors
/// Where the run's folder has no such model, or libtorch cannot write it down.
pub fn torchscript(folder: &RunFolder, role: ModelRole) -> Result<Vec<u8>, ExportError> {
    let (network, config, data) = network(folder, role)?;
    let note = serde_json::to_string_pretty(&Note::new(&config, &data, role))?;
    let bytes = caught(|| network.to_torchscript(config.input_size, (NOTE, &note)))?;
    Ok(bytes?)
}

/// The weights as a safetensors file, by torchvision's names, with [`NOTE`] in its metadata.
///
/// # Errors
/// Where the run's folder has no such model, or its network came from a TorchScript file.
pub fn safetensors(folder: &RunFolder, role: ModelRole) -> Result<Vec<u8>, ExportError> {
    if folder.config()?.backbone == BackboneKind::Torchscript {
        return Err(ExportError::NoSafetensors);
    }
    let (network, config, data) = network(folder, role)?;
    let note = serde_json::to_string(&Note::new(&config, &data, role))?;
    let metadata = HashMap::from([(NOTE.to_owned(), note)]);
    let bytes = caught(|| network.to_bytes_with(Some(metadata)))?;
    Ok(bytes?)
}
