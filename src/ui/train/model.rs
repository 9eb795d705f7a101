//! The settings of the model: to be chosen before a run, to be read while it trains.

use care_learn::RunConfig;
use care_learn::config::{BackboneKind, TargetLayer};
use egui::{Align2, DragValue, Margin, RichText, TextEdit, Ui, vec2};

use super::rows::{combo, field_style, pair, remark, row, title};
use crate::command::Command;
use crate::training::first_learning_rate;
use crate::ui::tokens::Tokens;
use crate::ui::{Context, icons};

const SETTING: f32 = 36.0;
pub(super) const FIELD: f32 = 28.0;

/// The settings of the next run.
pub(super) fn model(ui: &mut Ui, cx: &mut Context<'_>) {
    title(ui, "Model", |_| {});
    field_style(ui);
    let mut draft = cx.draft.clone();
    setting(ui, "backbone", |ui, width| {
        let before = draft.backbone;
        let title = |kind: &BackboneKind| kind.title().to_owned();
        let mut kinds = BackboneKind::BUILT_IN.to_vec();
        kinds.push(BackboneKind::Torchscript);
        combo(ui, width, &mut draft.backbone, &kinds, title);
        if draft.backbone != before {
            draft.target_layer = None;
            draft.input_size = draft.backbone.usual_input();
        }
    });
    setting(ui, "target layer", |ui, width| {
        if draft.backbone == BackboneKind::Torchscript {
            ui.label(RichText::new(layer_text(&draft)).color(Tokens::of(ui).text));
            return;
        }
        let choices = target_layers(draft.backbone);
        let (backbone, input_size) = (draft.backbone, draft.input_size);
        combo(ui, width, &mut draft.target_layer, &choices, |layer| {
            layer_text(&RunConfig {
                backbone,
                input_size,
                target_layer: layer.clone(),
                ..RunConfig::default()
            })
        });
        if !input_sizes(layer_of(&draft)).contains(&draft.input_size) {
            draft.input_size = draft.backbone.usual_input();
        }
    });
    setting(ui, "input", |ui, width| {
        let sizes = input_sizes(layer_of(&draft));
        combo(ui, width, &mut draft.input_size, sizes, |side| {
            input_text(*side)
        });
    });
    setting(ui, "epochs", |ui, width| {
        let number = |value| DragValue::new(value).range(1..=999).speed(0.1);
        let stages = [&mut draft.stage1_epochs, &mut draft.stage2_epochs].map(number);
        let names = ["epochs of stage 1, at most", "epochs of stage 2"];
        pair(ui, width, "+", names, stages);
    });
    setting(ui, "learning rate", |ui, width| {
        let rates = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3];
        combo(ui, width, &mut draft.learning_rate, &rates, f64::to_string);
    });
    setting(ui, "seed", |ui, width| {
        let drag = DragValue::new(&mut draft.seed).speed(0.05);
        ui.add_sized(vec2(width, FIELD), drag);
    });
    setting(ui, "weights", |ui, width| {
        let mut path = draft
            .weights
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default();
        let is_file = draft.backbone == BackboneKind::Torchscript;
        let edit = TextEdit::singleline(&mut path)
            .hint_text(if is_file {
                "its file"
            } else {
                "none: from scratch"
            })
            .margin(Margin::symmetric(8, 4))
            .align(Align2::LEFT_CENTER);
        let response = ui
            .add_sized(vec2(width, FIELD), edit)
            .on_hover_text(if is_file {
                "A TorchScript file (.pt) with forward_features and forward_head, its weights in it"
            } else {
                "Pretrained weights: a file (.safetensors, .pth), or a name of `care weights list`"
            });
        if response.changed() {
            let before = first_learning_rate(draft.weights.is_some());
            draft.weights = (!path.is_empty()).then(|| path.into());
            // A rate that nobody chose goes with the weights.
            if draft.learning_rate == before {
                draft.learning_rate = first_learning_rate(draft.weights.is_some());
            }
        }
    });
    if draft != *cx.draft {
        cx.commands.send(Command::SetDraft(draft));
    }
}

/// A row whose control is named by its label.
pub(super) fn setting(ui: &mut Ui, label: &str, control: impl FnOnce(&mut Ui, f32)) {
    row(ui, SETTING, label, |ui, width| {
        ui.spacing_mut().interact_size.y = FIELD;
        ui.name_inputs(label, |ui| control(ui, width));
    });
}

/// The settings of the run in training, which it keeps.
pub(super) fn fixed_model(ui: &mut Ui, config: &RunConfig) {
    let t = Tokens::of(ui);
    title(ui, "Model", |ui| {
        remark(
            ui,
            "fixed during a run",
            Some(icons::LOCK_SIMPLE),
            t.text_weak,
        );
    });
    for (label, text) in [
        ("backbone", config.backbone.title().to_owned()),
        ("target layer", layer_text(config)),
        ("input", input_text(config.input_size)),
        (
            "epochs",
            format!("{} + {}", config.stage1_epochs, config.stage2_epochs),
        ),
        ("learning rate", config.learning_rate.to_string()),
        ("seed", config.seed.to_string()),
    ] {
        row(ui, 28.0, label, |ui, _| {
            ui.label(RichText::new(text).color(t.text_strong));
        });
    }
}

/// None for the last, as the settings have it.
fn target_layers(kind: BackboneKind) -> Vec<Option<String>> {
    let earlier = kind.layers().split_last().map_or(&[][..], |(_, rest)| rest);
    let names = earlier.iter().map(|layer| Some(layer.name.to_owned()));
    names.chain([None]).collect()
}

/// None of a TorchScript file, and of a name that the settings have wrong.
fn layer_of(config: &RunConfig) -> Option<TargetLayer> {
    config.layer().ok().flatten()
}

/// Which map is looked at, and its cells.
fn layer_text(config: &RunConfig) -> String {
    let Some(layer) = layer_of(config) else {
        let unknown = "where forward_features ends".to_owned();
        return config.target_layer.clone().unwrap_or(unknown);
    };
    let side = layer.map_side(config.input_size);
    let last = if config.backbone.last_layer() == Some(layer) {
        " (last)"
    } else {
        ""
    };
    format!("{}{last}, {side} \u{d7} {side}", layer.name)
}

/// Sides that give a map of at least 7 x 7: below that it is too coarse to say where a network looks. What a TorchScript
/// file gives shows when it is opened.
fn input_sizes(layer: Option<TargetLayer>) -> &'static [u32] {
    match layer.map(|layer| layer.stride) {
        Some(..=8) => &[64, 96, 128, 160, 224],
        Some(..=16) => &[112, 160, 224, 320],
        Some(_) => &[224, 256, 320, 448],
        None => &[64, 96, 128, 160, 224, 256, 320, 448],
    }
}

fn input_text(side: u32) -> String {
    format!("{side} \u{d7} {side} px")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_is_offered_with_a_map_that_says_where() {
        for backbone in BackboneKind::BUILT_IN {
            for target_layer in target_layers(backbone) {
                let mut config = RunConfig {
                    backbone,
                    target_layer,
                    ..RunConfig::default()
                };
                let sizes = input_sizes(layer_of(&config));
                assert!(sizes.contains(&backbone.usual_input()), "{config:?}");
                for &input_size in sizes {
                    config.input_size = input_size;
                    assert_eq!(config.check(), Ok(()));
                }
            }
        }
    }

    #[test]
    fn layers_are_named_with_their_maps() {
        let text = |set: &[&str]| {
            let config = set.iter().fold(RunConfig::default(), |config, set| {
                config.with(set).expect("a setting")
            });
            layer_text(&config)
        };
        let resnet = ["backbone=resnet18", "input_size=224", "target_layer=layer3"];
        assert_eq!(text(&resnet), "layer3, 14 \u{d7} 14");
        assert_eq!(text(&resnet[..2]), "layer4 (last), 7 \u{d7} 7");
        assert_eq!(
            text(&["backbone=torchscript"]),
            "where forward_features ends"
        );
    }
}
