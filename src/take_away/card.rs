//! A model card: what a model file is, in Markdown. It holds no path and no image's name.

use std::fmt::Write;

use care_data::grey::Windowing;
use care_data::{Look, Part};
use care_figures::table::markdown_text;
use care_learn::config::{BackboneKind, Preprocess, RunConfig};
use care_learn::event::{ModelRole, Results};
use care_learn::metrics::{Estimate, IOU_THRESHOLD, Summary};
use care_learn::model_export::NOTE;
use care_learn::run_folder::RunData;

use super::ModelFormat;

/// Images of one class: how many in each part, and how many to train on have a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ClassCounts {
    /// In the order of [`Part::ALL`].
    pub parts: [usize; Part::ALL.len()],
    pub boxed: usize,
}

/// What a card is written from.
#[derive(Debug, Clone)]
pub(super) struct Card<'a> {
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
    /// What CARE came to against the control, in a sentence.
    pub finding: Option<&'a str>,
    pub cautions: &'a [String],
    /// The file that it lies beside.
    pub format: ModelFormat,
    /// Of this program and what it computes with: name and version.
    pub versions: &'a [(&'a str, &'a str)],
}

/// The settings as they stand in `config.toml`, but for where the pretrained weights lay.
pub(super) fn settings(config: &RunConfig) -> String {
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

/// A model card in Markdown.
pub(super) fn card(card: &Card<'_>) -> String {
    let Card { config, data, .. } = card;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |line: &str| {
        let _ = writeln!(text, "{line}");
    };
    line(&format!("# {}\n", markdown_text(card.name)));
    line("**Research only, not for diagnosis.**\n");
    line(&format!("- Trained: {}", markdown_text(card.date)));
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
            markdown_text(&class.name),
            if class.rare { "rare" } else { "" },
            counts.boxed
        ));
    }
    line("\nNumbers of images, as the project was when this was written.");

    line("\n## Preprocessing\n");
    line(&preprocessing(config, data.look));
    line("\n## How to use it\n");
    line(&usage(config, card.format));

    line("\n## Results on the test part\n");
    match card.results.and_then(|results| results.summary(card.role)) {
        Some(summary) => {
            line("| measure | value | 95 % interval | n |");
            line("|---|---:|---|---:|");
            for (name, estimate) in measures(data, summary) {
                line(&format!(
                    "| {} | {:.3} | {:.3} to {:.3} | {} |",
                    markdown_text(&name),
                    estimate.value,
                    estimate.low,
                    estimate.high,
                    estimate.n
                ));
            }
            line(
                "\nBootstrap intervals over the test images. Attention is measured on test images with boxes, for their true class.",
            );
            if let Some(finding) = card.finding {
                line(&format!("\n{}", markdown_text(finding)));
            }
        }
        None => line("The run has none."),
    }

    line("\n## Cautions\n");
    for caution in card.cautions {
        line(&format!("- {}", markdown_text(caution)));
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
         ```",
        list(mean),
        list(std),
        list(mean),
        list(std),
    )
}

/// How the file beside the card is opened, in Markdown; `x` is what [`preprocessing`] gives.
fn usage(config: &RunConfig, format: ModelFormat) -> String {
    let note = match format {
        ModelFormat::Torchscript => format!("`{NOTE}` among its files"),
        ModelFormat::Safetensors => format!("`{NOTE}` in its metadata"),
    } + " has the classes and the preprocessing as JSON.";
    let network = match config.backbone {
        BackboneKind::SmallResnet => {
            return match format {
                ModelFormat::Torchscript => script(&note),
                ModelFormat::Safetensors => format!(
                    "The weights of CARE Studio\u{2019}s own small ResNet, which torchvision does not have: write the model as TorchScript to use it elsewhere. {note}"
                ),
            };
        }
        BackboneKind::EfficientnetLite0 => {
            "from efficientnet_lite_pytorch import EfficientNet\nnetwork = EfficientNet.from_name(\"efficientnet-lite0\", num_classes=len(note[\"classes\"]), image_size=note[\"input_size\"])".to_owned()
        }
        kind => format!(
            "import torchvision\nnetwork = torchvision.models.{}(num_classes=len(note[\"classes\"]))",
            kind.name()
        ),
    };
    match format {
        ModelFormat::Torchscript => script(&note),
        ModelFormat::Safetensors => format!(
            "```python\n\
             import json\n\
             from safetensors import safe_open\n\n\
             with safe_open(MODEL, framework=\"pt\") as file:\n    \
                 note = json.loads(file.metadata()[\"{NOTE}\"])\n    \
                 weights = {{name: file.get_tensor(name) for name in file.keys()}}\n\
             {network}\n\
             network.load_state_dict(weights)\n\
             logits = network.eval()(x[None])\n\
             ```\n\n\
             The tensors have the names that the network has there. {note}"
        ),
    }
}

fn script(note: &str) -> String {
    format!(
        "```python\n\
         files = {{\"{NOTE}\": \"\"}}\n\
         network = torch.jit.load(MODEL, map_location=\"cpu\", _extra_files=files)\n\
         logits = network(x[None])\n\
         ```\n\n\
         `forward_features` gives the map that attention is read from, `forward_head` the logits of it. {note}"
    )
}

/// Everything that was measured of one model, each with its name.
pub(super) fn measures(data: &RunData, summary: &Summary) -> Vec<(String, Estimate)> {
    let of_classes = |measure: &str, estimates: &[Option<Estimate>]| -> Vec<_> {
        let named = data.classes.iter().zip(estimates);
        named
            .map(|(class, estimate)| (format!("{measure}, {}", class.name), *estimate))
            .collect()
    };
    let mean =
        |measure: &str, estimate| vec![(format!("{measure}, mean of the classes"), estimate)];
    let iou = format!("IoU of F \u{2265} {IOU_THRESHOLD} with the boxes");
    [
        of_classes("recall", &summary.recalls),
        vec![
            ("recall of all rare classes".to_owned(), summary.rare_recall),
            ("mean class accuracy".to_owned(), summary.mca),
        ],
        of_classes("precision", &summary.precisions),
        mean("precision", summary.macro_precision),
        of_classes("F1", &summary.f1s),
        mean("F1", summary.macro_f1),
        of_classes("AUROC", &summary.aurocs),
        mean("AUROC", summary.macro_auroc),
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

#[cfg(test)]
mod tests {
    use care_data::{ClassId, ImageId};
    use care_learn::event::{AttentionMap, ImageAttention};
    use care_learn::metrics::summarise;
    use care_learn::task::TaskClass;

    use super::*;

    fn data() -> RunData {
        let class = |id: i64, name: &str, rare| TaskClass {
            id: ClassId(id),
            name: name.to_owned(),
            rare,
        };
        RunData {
            classes: vec![class(1, "na|evus", false), class(2, "df", true)],
            look: Look::default(),
            stage1_of: None,
        }
    }

    #[test]
    fn a_card_says_what_a_reader_needs_and_no_path() {
        let config = RunConfig {
            weights: Some("/private/of-a-patient/resnet.safetensors".into()),
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
        let written = |config: &RunConfig, format| {
            card(&Card {
                name: "Run 3, CARE",
                date: "12 March 2026",
                role: ModelRole::Care,
                config,
                data: &data,
                counts: &counts,
                results: Some(&results),
                finding: Some("CARE finds 1 of 2."),
                cautions: &["One run with one seed (0).".to_owned()],
                format,
                versions: &[("CARE Studio", "0.1.0")],
            })
        };
        let text = written(&config, ModelFormat::Torchscript);
        for says in [
            "Research only, not for diagnosis",
            "| 1 | df | rare | 4 | 3 | 1 | 2 |",
            "na\\|evus",
            "96 \u{d7} 96",
            "0.485000, 0.456000, 0.406000",
            "| recall, df | 0.500 |",
            "| precision, mean of the classes | 0.750 |",
            "CARE finds 1 of 2.",
            "- One run with one seed",
            "torch.jit.load",
            "alpha = 0.5",
            "It began with pretrained weights",
            "CARE Studio 0.1.0",
        ] {
            assert!(text.contains(says), "{says}\n{text}");
        }
        for kept_back in ["private", "of-a-patient", "resnet.safetensors"] {
            assert!(!text.contains(kept_back), "{kept_back}\n{text}");
        }
        let resnet = RunConfig {
            backbone: BackboneKind::Resnet18,
            ..config
        };
        let text = written(&resnet, ModelFormat::Safetensors);
        assert!(!text.contains("torch.jit"), "{text}");
        for says in [
            "file.metadata()[\"care.json\"]",
            "torchvision.models.resnet18(num_classes=len(note[\"classes\"]))",
        ] {
            assert!(text.contains(says), "{says}\n{text}");
        }
    }
}
