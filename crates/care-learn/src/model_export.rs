//! A run's model for other programs: safetensors, TorchScript, and a card that says what it is.
//!
//! The card and the files hold no path and no image's name.

use std::collections::HashMap;
use std::fmt::Write;

use care_data::grey::Windowing;
use care_data::{Look, Part};
use serde::Serialize;
use tch::Device;

use crate::backbone::{Network, WeightsError};
use crate::config::{BackboneKind, Preprocess, RunConfig};
use crate::event::{ModelRole, Results};
use crate::metrics::{Estimate, IOU_THRESHOLD, Summary};
use crate::panics::{Panic, caught};
use crate::run_folder::{RunData, RunFolder, RunFolderError};

/// Rare test images below which every figure on them is a hint.
pub const FEW_RARE_IMAGES: u32 = 10;

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

/// Images of one class: how many in each part, and how many to train on have a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassCounts {
    /// In the order of [`Part::ALL`].
    pub parts: [usize; Part::ALL.len()],
    pub boxed: usize,
}

/// What a card is written from.
#[derive(Debug, Clone)]
pub struct Card<'a> {
    /// Of the model, for its title.
    pub name: &'a str,
    /// When the run began.
    pub date: &'a str,
    pub role: ModelRole,
    pub config: &'a RunConfig,
    pub data: &'a RunData,
    /// In class order.
    pub counts: &'a [ClassCounts],
    pub results: Option<&'a Results>,
    /// Of this program and what it computes with: name and version.
    pub versions: &'a [(&'a str, &'a str)],
}

/// The settings as they stand in `config.toml`, but for where the pretrained weights lay.
#[must_use]
pub fn settings(config: &RunConfig) -> String {
    let pretrained = config.weights.is_some();
    let shown = RunConfig {
        weights: None,
        ..config.clone()
    };
    let mut text = toml::to_string(&shown).unwrap_or_default();
    if pretrained {
        text.push_str("# It began with pretrained weights.\n");
    }
    text
}

/// What has to be said beside a run's figures.
#[must_use]
pub fn cautions(config: &RunConfig, data: &RunData, results: Option<&Results>) -> Vec<String> {
    let mut cautions = vec![
        "Research only, not for diagnosis. It has not been validated on data of any other place, device or population."
            .to_owned(),
        format!(
            "One run with one seed ({}). Another seed gives other figures; compare several before concluding.",
            config.seed
        ),
        "Attention maps show what the score of a class depends on in the last layer's grid. They are not a segmentation.".to_owned(),
    ];
    let rare: u32 = results
        .and_then(|results| results.summaries.first())
        .map_or(0, |(_, summary)| rare_images(data, summary));
    if results.is_some() && rare < FEW_RARE_IMAGES {
        cautions.push(format!(
            "The test part has {rare} images of rare classes. Fewer than {FEW_RARE_IMAGES} say little: read their intervals, not their values."
        ));
    }
    cautions
}

fn rare_images(data: &RunData, summary: &Summary) -> u32 {
    let classes = data.classes.iter().zip(&summary.confusion);
    classes
        .filter(|(class, _)| class.rare)
        .map(|(_, row)| row.iter().sum::<u32>())
        .sum()
}

/// A model card in Markdown.
#[must_use]
pub fn card(card: &Card<'_>) -> String {
    let Card { config, data, .. } = card;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |line: &str| {
        let _ = writeln!(text, "{line}");
    };
    line(&format!("# {}\n", inline(card.name)));
    line("**Research only, not for diagnosis.**\n");
    line(&format!("- Trained: {}", inline(card.date)));
    line(&format!(
        "- Model: {} of the run ({})",
        card.role.name(),
        of_role(card.role)
    ));
    line(&format!("- Network: {}", config.backbone.title()));
    if let Some(layer) = config.layer().ok().flatten() {
        line(&format!("- Attention is read at `{}`", layer.name));
    }
    line("\n## Intended use\n");
    line(
        "Research on how attention guidance changes what a classifier looks at. It is no medical device. Nothing here was validated for patients.",
    );

    line("\n## Classes, in the order of the logits\n");
    line("| index | class | rare | training | with a box | validation | test |");
    line("|---:|---|---|---:|---:|---:|---:|");
    for (index, class) in data.classes.iter().enumerate() {
        let counts = card.counts.get(index).copied().unwrap_or_default();
        let [train, validation, test] = counts.parts;
        line(&format!(
            "| {index} | {} | {} | {train} | {} | {validation} | {test} |",
            inline(&class.name),
            if class.rare { "rare" } else { "" },
            counts.boxed
        ));
    }
    line("\nNumbers of images, as the project was when this was written.");

    line("\n## Preprocessing\n");
    line(&preprocessing(config, data.look));

    line("\n## Results on the test part\n");
    match card.results.and_then(|results| results.summary(card.role)) {
        Some(summary) => {
            line("| measure | value | 95 % interval | n |");
            line("|---|---:|---|---:|");
            for (name, estimate) in measures(data, summary) {
                line(&format!(
                    "| {} | {:.3} | {:.3} to {:.3} | {} |",
                    inline(&name),
                    estimate.value,
                    estimate.low,
                    estimate.high,
                    estimate.n
                ));
            }
            line(
                "\nBootstrap intervals over the test images. Attention is measured on test images with boxes, for their true class.",
            );
            if let Some(test) = card.results.and_then(|results| results.rare_difference) {
                line(&format!(
                    "CARE against the control on {} test images of rare classes: right in CARE only {}, in the control only {}; McNemar's exact test p = {:.3}.",
                    test.n, test.second_only, test.first_only, test.p
                ));
            }
        }
        None => line("The run has none."),
    }

    line("\n## Cautions\n");
    for caution in cautions(config, data, card.results) {
        line(&format!("- {caution}"));
    }
    line("\n## Settings of the run\n");
    line(&format!("```toml\n{}```", settings(config)));
    line("\n## Versions\n");
    for (name, version) in card.versions {
        line(&format!("- {name} {version}"));
    }
    text
}

fn of_role(role: ModelRole) -> &'static str {
    match role {
        ModelRole::Before => "after stage 1, cross-entropy only",
        ModelRole::Control => "stage 2 without the attention loss",
        ModelRole::Care => "stage 2 with the attention loss",
    }
}

/// Exactly what is done to an image before the network sees it, in Markdown.
fn preprocessing(config: &RunConfig, look: Look) -> String {
    let side = config.input_size;
    let Preprocess { mean, std } = config.backbone.preprocess();
    let list = |values: [f32; 3]| values.map(|v| format!("{:.6}", v / 255.0)).join(", ");
    let window = match look.windowing {
        Windowing::File => "each file's own window".to_owned(),
        Windowing::Auto => "percentiles 1 to 99 of each image".to_owned(),
        Windowing::Full => "all values that the image can hold".to_owned(),
        Windowing::Fixed(window) => format!("center {}, width {}", window.center, window.width),
    };
    let inverted = if look.invert {
        ", black and white exchanged"
    } else {
        ""
    };
    format!(
        "It stands beside the network, not in it: the files expect images that are already normalised.\n\n\
         1. The image as shown, after EXIF's orientation, 8-bit RGB. Grey images are seen through {window}{inverted}.\n\
         2. The whole image resized to {side} \u{d7} {side} pixels, each side by itself (no crop), bilinear with antialiasing.\n\
         3. Divided by 255, then per channel (R, G, B): minus [{}], divided by [{}].\n\
         4. As float32 [B, 3, {side}, {side}]. Only this size: layers that pad do so for it.\n\n\
         ```python\n\
         import numpy as np, torch\n\
         from PIL import Image, ImageOps\n\n\
         image = ImageOps.exif_transpose(Image.open(FILE)).convert(\"RGB\").resize(({side}, {side}), Image.BILINEAR)\n\
         x = torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)\n\
         x = (x - torch.tensor([{}]).view(3, 1, 1)) / torch.tensor([{}]).view(3, 1, 1)\n\
         logits = torch.jit.load(MODEL, map_location=\"cpu\")(x[None])\n\
         ```\n\n\
         `forward_features` gives the map that attention is read from, `forward_head` the logits of it.",
        list(mean),
        list(std),
        list(mean),
        list(std),
    )
}

/// Everything that was measured of one model, each with its name.
#[must_use]
pub fn measures(data: &RunData, summary: &Summary) -> Vec<(String, Estimate)> {
    let of_classes = |measure: &str, estimates: &[Option<Estimate>]| -> Vec<_> {
        let named = data.classes.iter().zip(estimates);
        named
            .map(|(class, estimate)| (format!("{measure}, {}", class.name), *estimate))
            .collect()
    };
    let iou = format!("IoU of F \u{2265} {IOU_THRESHOLD} with the boxes");
    [
        of_classes("recall", &summary.recalls),
        vec![
            ("recall of all rare classes".to_owned(), summary.rare_recall),
            ("mean class accuracy".to_owned(), summary.mca),
        ],
        of_classes("precision", &summary.precisions),
        of_classes("F1", &summary.f1s),
        of_classes("AUROC", &summary.aurocs),
        vec![
            ("energy in the box, rare".to_owned(), summary.energy),
            ("pointing hit, rare".to_owned(), summary.pointing_hit),
            (format!("{iou}, rare"), summary.iou),
        ],
    ]
    .into_iter()
    .flatten()
    .filter_map(|(name, estimate)| Some((name, estimate?)))
    .collect()
}

/// Words that people chose, where Markdown would read something into them.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use care_data::{ClassId, ImageId};

    use super::*;
    use crate::event::{AttentionMap, ImageAttention};
    use crate::metrics::summarise;
    use crate::task::TaskClass;

    fn data() -> RunData {
        let class = |id: i64, name: &str, rare| TaskClass {
            id: ClassId(id),
            name: name.to_owned(),
            rare,
        };
        RunData {
            classes: vec![class(1, "na|evus", false), class(2, "df", true)],
            look: Look::default(),
        }
    }

    #[test]
    fn a_card_says_what_a_reader_needs_and_no_path() {
        let config = RunConfig {
            weights: Some("/home/lovelace/secret/resnet.safetensors".into()),
            ..RunConfig::default()
        };
        let image = |p: [f32; 2]| ImageAttention {
            image: ImageId(1),
            map: AttentionMap::default(),
            probabilities: p.to_vec(),
            energy: Some(0.5),
            hit: Some(true),
            iou: Some(0.25),
            peak: None,
        };
        let images = [image([0.9, 0.1]), image([0.2, 0.8]), image([0.7, 0.3])];
        let summary = summarise(&[0, 1, 1], &images, &[false, true], 0);
        let results = Results {
            seconds: 1.0,
            summaries: vec![(ModelRole::Care, summary)],
            rare_difference: None,
            kept: Vec::new(),
        };
        let data = data();
        let counts = [
            ClassCounts {
                parts: [7, 2, 1],
                boxed: 0,
            },
            ClassCounts {
                parts: [4, 1, 2],
                boxed: 3,
            },
        ];
        let text = card(&Card {
            name: "Run 3, CARE",
            date: "12 March 2026",
            role: ModelRole::Care,
            config: &config,
            data: &data,
            counts: &counts,
            results: Some(&results),
            versions: &[("CARE Studio", "0.1.0")],
        });
        for says in [
            "Research only, not for diagnosis",
            "| 1 | df | rare | 4 | 3 | 1 | 2 |",
            "na\\|evus",
            "96 \u{d7} 96",
            "0.485000, 0.456000, 0.406000",
            "| recall, df | 0.500 |",
            "The test part has 2 images of rare classes",
            "alpha = 0.5",
            "It began with pretrained weights",
            "CARE Studio 0.1.0",
        ] {
            assert!(text.contains(says), "{says}\n{text}");
        }
        for kept_back in ["lovelace", "secret", "resnet.safetensors"] {
            assert!(!text.contains(kept_back), "{kept_back}\n{text}");
        }
    }
}
