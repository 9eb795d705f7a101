//! How the next run learns: loss, batches, augmentation, optimiser, which epoch is kept. Closed until it is asked for.

use care_learn::RunConfig;
use care_learn::config::{
    CamWeights, KeyMetric, Normalisation, OptimizerKind, Outside, Precision, Reviewed, Sampling,
    Schedule,
};
use egui::collapsing_header::CollapsingState;
use egui::{Align, DragValue, Label, RichText, Sense, Ui, vec2};

use super::model::{FIELD, setting};
use super::rows::{caption, combo, field_style, pair, title};
use crate::command::Command;
use crate::ui::tokens::{self, Tokens};
use crate::ui::{Context, icons};

/// Of the focal loss, as the paper has it.
const FOCAL_GAMMA: f64 = 2.0;

/// The section; its title opens and closes it.
pub(super) fn strategy(ui: &mut Ui, cx: &mut Context<'_>) {
    let id = ui.make_persistent_id("strategy");
    let mut state = CollapsingState::load_with_default_open(ui.ctx(), id, false);
    let caret = if state.is_open() {
        icons::CARET_DOWN
    } else {
        icons::CARET_RIGHT
    };
    let header = ui.scope(|ui| {
        title(ui, "Strategy", |ui| {
            let ink = Tokens::of(ui).text_weak;
            ui.label(RichText::new(caret).font(tokens::icon(14.0)).color(ink));
        });
    });
    let whole = ui.interact(header.response.rect, id.with("title"), Sense::click());
    let is_open = state.is_open();
    whole.widget_info(|| {
        egui::WidgetInfo::selected(egui::Role::DisclosureTriangle, true, is_open, "Strategy")
    });
    if whole.clicked() {
        state.toggle(ui);
        if state.is_open() {
            whole.scroll_to_me(Some(Align::TOP));
        }
    }
    let is_open = state.is_open();
    state.store(ui.ctx());
    let mut draft = cx.draft.clone();
    if is_open {
        field_style(ui);
        fields(ui, &mut draft);
    } else {
        summary(ui, &draft);
    }
    if draft != *cx.draft {
        cx.commands.send(Command::SetDraft(draft));
    }
}

/// In a line: what is not as a first run is offered.
pub(super) fn summary(ui: &mut Ui, config: &RunConfig) {
    let differs = differs(config);
    if differs.is_empty() {
        caption(ui, "The usual one.");
    } else {
        let text = RichText::new(differs.join(", ")).text_style(tokens::caption());
        ui.add(Label::new(text.color(Tokens::of(ui).text)).wrap());
    }
}

fn fields(ui: &mut Ui, draft: &mut RunConfig) {
    let gamma = if draft.focal_gamma > 0.0 {
        draft.focal_gamma
    } else {
        FOCAL_GAMMA
    };
    let mut loss = (draft.class_weighted, draft.focal_gamma > 0.0);
    let focal = format!("focal, gamma {gamma}");
    let both = format!("focal {gamma}, weighted");
    choice(
        ui,
        "loss",
        &mut loss,
        &[
            ((false, false), "cross-entropy"),
            ((true, false), "class-weighted"),
            ((false, true), &focal),
            ((true, true), &both),
        ],
    );
    draft.class_weighted = loss.0;
    draft.focal_gamma = if loss.1 { gamma } else { 0.0 };
    choice(
        ui,
        "batches",
        &mut draft.sampling,
        &[
            (Sampling::ClassesTimesImages, "each class alike"),
            (Sampling::Shuffled, "as the data are"),
            (Sampling::Oversampled, "rare ones repeated"),
        ],
    );
    setting(ui, "batch size", |ui, width| {
        let number = |value| {
            DragValue::new(value)
                .range(1..=64)
                .speed(0.05)
                .clamp_existing_to_range(false)
        };
        let classes = number(&mut draft.classes_per_batch).range(2..=64);
        let images = number(&mut draft.images_per_class);
        let names = ["classes in a batch", "images of each class"];
        pair(ui, width, "\u{d7}", names, [classes, images]);
    });
    let augmentation = &mut draft.augmentation;
    setting(ui, "rotation", |ui, width| {
        let drag = DragValue::new(&mut augmentation.rotation).range(0.0..=180.0);
        let drag = drag.speed(0.5).max_decimals(0);
        ui.add_sized(vec2(width, FIELD), drag.prefix("\u{b1} ").suffix("\u{b0}"));
    });
    let mut mirrored = (augmentation.flip_horizontal, augmentation.flip_vertical);
    choice(
        ui,
        "mirrored",
        &mut mirrored,
        &[
            ((false, false), "never"),
            ((true, false), "left and right"),
            ((false, true), "top and bottom"),
            ((true, true), "both ways"),
        ],
    );
    (augmentation.flip_horizontal, augmentation.flip_vertical) = mirrored;
    percent(
        ui,
        "colours",
        &mut augmentation.colour_jitter,
        0.0..=0.9,
        "\u{b1} ",
    );
    percent(ui, "crop", &mut augmentation.crop, 0.05..=1.0, "from ");
    choice(
        ui,
        "optimiser",
        &mut draft.optimizer,
        &[
            (OptimizerKind::Adam, "Adam"),
            (OptimizerKind::AdamW, "AdamW"),
            (OptimizerKind::Sgd, "SGD, momentum 0.9"),
        ],
    );
    choice(
        ui,
        "rate falls",
        &mut draft.schedule,
        &[
            (Schedule::Cosine, "along a cosine"),
            (Schedule::Plateau, "on a plateau"),
            (Schedule::Constant, "never"),
        ],
    );
    setting(ui, "weight decay", |ui, width| {
        let choices = [0.0, 1e-5, 1e-4, 1e-3, 1e-2];
        combo(ui, width, &mut draft.weight_decay, &choices, f64::to_string);
    });
    setting(ui, "gradients", |ui, width| {
        let choices = [0.0, 0.1, 1.0, 5.0];
        combo(ui, width, &mut draft.clip_norm, &choices, |norm| {
            if *norm > 0.0 {
                format!("clipped to {norm}")
            } else {
                "not clipped".to_owned()
            }
        });
    });
    choice(
        ui,
        "keeps",
        &mut draft.key_metric,
        &[
            (KeyMetric::None, "the last epoch"),
            (KeyMetric::Mca, "the best MCA"),
            (KeyMetric::RareRecall, "the best rare recall"),
            (KeyMetric::Energy, "the most in the box"),
        ],
    );
    if draft.key_metric == KeyMetric::None {
        draft.early_stop = 0;
    } else {
        setting(ui, "stops early", |ui, width| {
            let choices = [0, 3, 5, 10, 20];
            combo(ui, width, &mut draft.early_stop, &choices, |epochs| {
                if *epochs == 0 {
                    "never".to_owned()
                } else {
                    format!("after {epochs} epochs")
                }
            });
        });
    }
    choice(
        ui,
        "boxes",
        &mut draft.boxes,
        &[
            (Reviewed::All, "of every image"),
            (Reviewed::Done, "of done ones only"),
        ],
    );
    setting(ui, "box scale", |ui, width| {
        let drag = DragValue::new(&mut draft.box_scale)
            .range(0.7..=1.3)
            .clamp_existing_to_range(false);
        ui.add_sized(vec2(width, FIELD), drag.speed(0.01).max_decimals(2));
    });
    choice(
        ui,
        "outside",
        &mut draft.outside,
        &[
            (Outside::Uniform, "counts alike"),
            (Outside::Distance, "more, the farther"),
        ],
    );
    choice(
        ui,
        "map",
        &mut draft.normalisation,
        &[
            (Normalisation::Max, "over its maximum"),
            (Normalisation::MinMax, "minimum to maximum"),
        ],
    );
    choice(
        ui,
        "map weights",
        &mut draft.cam_weights,
        &[
            (CamWeights::Exact, "exact"),
            (CamWeights::Constant, "constant"),
        ],
    );
    choice(
        ui,
        "precision",
        &mut draft.precision,
        &[
            (Precision::Fp32, "fp32"),
            (Precision::Bf16, "bf16, for newer GPUs"),
        ],
    );
}

/// A setting with a word for each of its values.
fn choice<T: Copy + PartialEq>(ui: &mut Ui, label: &str, value: &mut T, words: &[(T, &str)]) {
    let values: Vec<T> = words.iter().map(|(value, _)| *value).collect();
    setting(ui, label, |ui, width| {
        combo(ui, width, value, &values, |value| {
            let word = words.iter().find(|(of, _)| of == value);
            word.map_or_else(String::new, |(_, word)| (*word).to_owned())
        });
    });
}

fn percent(
    ui: &mut Ui,
    label: &str,
    share: &mut f64,
    range: std::ops::RangeInclusive<f64>,
    prefix: &str,
) {
    setting(ui, label, |ui, width| {
        let mut value = *share * 100.0;
        let drag = DragValue::new(&mut value)
            .range(range.start() * 100.0..=range.end() * 100.0)
            .speed(0.5)
            .max_decimals(0)
            .prefix(prefix)
            .suffix(" %");
        if ui.add_sized(vec2(width, FIELD), drag).changed() {
            *share = value / 100.0;
        }
    });
}

/// What is not as usual, as the settings name it; what the other sections show is left out.
fn differs(config: &RunConfig) -> Vec<String> {
    const ELSEWHERE: [&str; 12] = [
        "backbone",
        "target_layer",
        "input_size",
        "seed",
        "stage1_epochs",
        "stage2_epochs",
        "learning_rate",
        "weights",
        "alpha",
        "lambda",
        "tau",
        "patience",
    ];
    // The demo's batches are smaller; that is no strategy.
    let batch = ["classes_per_batch", "images_per_class"];
    let table = |config: &RunConfig| toml::Table::try_from(config).unwrap_or_default();
    let usual = table(&RunConfig::default());
    table(config)
        .into_iter()
        .filter(|(name, value)| {
            let name = name.as_str();
            !ELSEWHERE.contains(&name) && !batch.contains(&name) && usual.get(name) != Some(value)
        })
        .map(|(name, value)| match value {
            toml::Value::Boolean(true) => name.replace('_', " "),
            toml::Value::String(text) => format!("{} {text}", name.replace('_', " ")),
            other => format!("{} {other}", name.replace('_', " ")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_usual_is_said() {
        assert!(differs(&RunConfig::default()).is_empty());
        assert!(differs(&RunConfig::demo()).is_empty());
        let config = [
            "class_weighted=true",
            "rotation=30",
            "optimizer=sgd",
            "alpha=0.1",
        ]
        .into_iter()
        .try_fold(RunConfig::default(), |config, set| config.with(set))
        .expect("settings");
        let mut differs = differs(&config);
        differs.sort_unstable();
        assert_eq!(
            differs,
            ["class weighted", "optimizer sgd", "rotation 30.0"]
        );
    }
}
