//! How the next run learns: loss, batches, augmentation, optimiser, which epoch is kept. Closed until it is asked for.

use care_learn::RunConfig;
use care_learn::config::{
    CamWeights, KeyMetric, Normalisation, OptimizerKind, Outside, Precision, Sampling, Schedule,
};
use egui::collapsing_header::CollapsingState;
use egui::{DragValue, Label, RichText, Sense, Ui, vec2};

use super::model::{FIELD, setting};
use super::rows::{caption, combo, field_style, pair, title};
use crate::command::Command;
use crate::ui::tokens::{self, Tokens};
use crate::ui::{Context, icons};

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

/// In a line: what is not as in the paper.
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
    setting(ui, "loss", |ui, width| {
        let mut chosen = (draft.class_weighted, draft.focal_gamma > 0.0);
        let choices = [(false, false), (true, false), (false, true), (true, true)];
        let gamma = if draft.focal_gamma > 0.0 {
            draft.focal_gamma
        } else {
            2.0
        };
        combo(ui, width, &mut chosen, &choices, |choice| match choice {
            (false, false) => "cross-entropy".to_owned(),
            (true, false) => "class-weighted".to_owned(),
            (false, true) => format!("focal, gamma {gamma}"),
            (true, true) => format!("focal {gamma}, weighted"),
        });
        draft.class_weighted = chosen.0;
        if chosen.1 != (draft.focal_gamma > 0.0) {
            draft.focal_gamma = if chosen.1 { gamma } else { 0.0 };
        }
    });
    setting(ui, "batches", |ui, width| {
        let choices = [
            Sampling::ClassesTimesImages,
            Sampling::Shuffled,
            Sampling::Oversampled,
        ];
        combo(ui, width, &mut draft.sampling, &choices, |sampling| {
            match sampling {
                Sampling::ClassesTimesImages => "each class alike",
                Sampling::Shuffled => "as the data are",
                Sampling::Oversampled => "rare ones repeated",
            }
            .to_owned()
        });
    });
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
        let drag = drag
            .speed(0.5)
            .max_decimals(0)
            .prefix("\u{b1} ")
            .suffix("\u{b0}");
        ui.add_sized(vec2(width, FIELD), drag);
    });
    setting(ui, "mirrored", |ui, width| {
        let mut chosen = (augmentation.flip_horizontal, augmentation.flip_vertical);
        let choices = [(false, false), (true, false), (false, true), (true, true)];
        combo(ui, width, &mut chosen, &choices, |choice| {
            match choice {
                (false, false) => "never",
                (true, false) => "left and right",
                (false, true) => "top and bottom",
                (true, true) => "both ways",
            }
            .to_owned()
        });
        (augmentation.flip_horizontal, augmentation.flip_vertical) = chosen;
    });
    setting(ui, "colours", |ui, width| {
        percent(
            ui,
            width,
            &mut augmentation.colour_jitter,
            0.0..=0.9,
            "\u{b1} ",
        );
    });
    setting(ui, "crop", |ui, width| {
        percent(ui, width, &mut augmentation.crop, 0.05..=1.0, "from ");
    });
    setting(ui, "optimiser", |ui, width| {
        let choices = [
            OptimizerKind::Adam,
            OptimizerKind::AdamW,
            OptimizerKind::Sgd,
        ];
        combo(ui, width, &mut draft.optimizer, &choices, |kind| {
            match kind {
                OptimizerKind::Adam => "Adam",
                OptimizerKind::AdamW => "AdamW",
                OptimizerKind::Sgd => "SGD, momentum 0.9",
            }
            .to_owned()
        });
    });
    setting(ui, "rate falls", |ui, width| {
        let choices = [Schedule::Cosine, Schedule::Plateau, Schedule::Constant];
        combo(ui, width, &mut draft.schedule, &choices, |schedule| {
            match schedule {
                Schedule::Cosine => "along a cosine",
                Schedule::Plateau => "on a plateau",
                Schedule::Constant => "never",
            }
            .to_owned()
        });
    });
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
    setting(ui, "keeps", |ui, width| {
        let choices = [
            KeyMetric::None,
            KeyMetric::Mca,
            KeyMetric::RareRecall,
            KeyMetric::Energy,
        ];
        combo(ui, width, &mut draft.key_metric, &choices, |metric| {
            match metric {
                KeyMetric::None => "the last epoch",
                KeyMetric::Mca => "the best MCA",
                KeyMetric::RareRecall => "the best rare recall",
                KeyMetric::Energy => "the most in the box",
            }
            .to_owned()
        });
        if draft.key_metric == KeyMetric::None {
            draft.early_stop = 0;
        }
    });
    if draft.key_metric != KeyMetric::None {
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
    setting(ui, "box scale", |ui, width| {
        let drag = DragValue::new(&mut draft.box_scale)
            .range(0.7..=1.3)
            .clamp_existing_to_range(false);
        ui.add_sized(vec2(width, FIELD), drag.speed(0.01).max_decimals(2));
    });
    setting(ui, "outside", |ui, width| {
        let choices = [Outside::Uniform, Outside::Distance];
        combo(ui, width, &mut draft.outside, &choices, |outside| {
            match outside {
                Outside::Uniform => "counts alike",
                Outside::Distance => "more, the farther",
            }
            .to_owned()
        });
    });
    setting(ui, "map", |ui, width| {
        let choices = [Normalisation::Max, Normalisation::MinMax];
        combo(ui, width, &mut draft.normalisation, &choices, |by| {
            match by {
                Normalisation::Max => "over its maximum",
                Normalisation::MinMax => "minimum to maximum",
            }
            .to_owned()
        });
    });
    setting(ui, "map weights", |ui, width| {
        let choices = [CamWeights::Exact, CamWeights::Constant];
        combo(ui, width, &mut draft.cam_weights, &choices, |weights| {
            match weights {
                CamWeights::Exact => "exact",
                CamWeights::Constant => "constant",
            }
            .to_owned()
        });
    });
    setting(ui, "precision", |ui, width| {
        let choices = [Precision::Fp32, Precision::Bf16];
        combo(ui, width, &mut draft.precision, &choices, |precision| {
            match precision {
                Precision::Fp32 => "fp32",
                Precision::Bf16 => "bf16, for newer GPUs",
            }
            .to_owned()
        });
    });
}

/// What is not as in the paper, as the settings name it; what the other sections show is left out.
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
    let paper = table(&RunConfig::default());
    table(config)
        .into_iter()
        .filter(|(name, value)| {
            let name = name.as_str();
            !ELSEWHERE.contains(&name) && !batch.contains(&name) && paper.get(name) != Some(value)
        })
        .map(|(name, value)| match value {
            toml::Value::Boolean(true) => name.replace('_', " "),
            toml::Value::String(text) => format!("{} {text}", name.replace('_', " ")),
            other => format!("{} {other}", name.replace('_', " ")),
        })
        .collect()
}

fn percent(
    ui: &mut Ui,
    width: f32,
    share: &mut f64,
    range: std::ops::RangeInclusive<f64>,
    prefix: &str,
) {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_the_papers_is_said() {
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
