//! The settings of the model: to be chosen before a run, to be read while it trains.

use care_learn::RunConfig;
use care_learn::config::BackboneKind;
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
        combo(ui, width, &mut draft.backbone, &BackboneKind::ALL, title);
        if draft.backbone != before {
            draft.input_size = usual_input(draft.backbone);
        }
    });
    setting(ui, "input", |ui, width| {
        let sizes = input_sizes(draft.backbone);
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
        let edit = TextEdit::singleline(&mut path)
            .hint_text("none: from scratch")
            .margin(Margin::symmetric(8, 4))
            .align(Align2::LEFT_CENTER);
        let response = ui.add_sized(vec2(width, FIELD), edit).on_hover_text(
            "Pretrained weights: a file (.safetensors, .pth), or a name of `care weights list`",
        );
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
    let grid = config.map_side();
    for (label, text) in [
        ("backbone", config.backbone.title().to_owned()),
        ("target layer", format!("{grid} \u{d7} {grid}, last block")),
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

/// Sides that give a last map of at least 7 x 7: below that it is too coarse to say where a network looks.
fn input_sizes(kind: BackboneKind) -> &'static [u32] {
    match kind.stride() {
        8 => &[64, 96, 128, 160, 224],
        16 => &[112, 160, 224, 320],
        _ => &[224, 256, 320, 448],
    }
}

/// The side that the network is known with.
fn usual_input(kind: BackboneKind) -> u32 {
    match kind {
        BackboneKind::SmallResnet => 96,
        _ => 224,
    }
}

fn input_text(side: u32) -> String {
    format!("{side} \u{d7} {side} px")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backbone_is_offered_with_a_map_that_says_where() {
        for backbone in BackboneKind::ALL {
            assert!(input_sizes(backbone).contains(&usual_input(backbone)));
            for &input_size in input_sizes(backbone) {
                let config = RunConfig {
                    backbone,
                    input_size,
                    ..RunConfig::default()
                };
                assert_eq!(config.check(), Ok(()));
            }
        }
    }
}
