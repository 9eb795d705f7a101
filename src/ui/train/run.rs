//! What a run tells: how far it has come, what came of it, what was changed meanwhile.

use care_data::{BoundingBox, Image, ImageId, Project, RunId, RunState};
use care_learn::event::{Change, Memory, Results, StepMetrics};
use care_learn::metrics::{Estimate, Summary};
use care_learn::{LiveParams, ModelRole};
use egui::{
    Align, ComboBox, CornerRadius, Frame, Label, Layout, Margin, RichText, Sense, Stroke, Ui,
    UiBuilder, vec2,
};

use super::rows::{LABEL, caption, ends, field_style, right_aligned, row, strong, title, weak};
use crate::command::{Command, Room};
use crate::format;
use crate::training::{Phase, TrainingRun};
use crate::ui::film::Mark;
use crate::ui::tokens::{self, Tokens, radius, size};
use crate::ui::widgets::{combo_caret, progress_bar};
use crate::ui::{Context, icons};

/// The run's number, or the choice of one where there are several, and where it stands.
pub(super) fn run_title(ui: &mut Ui, cx: &mut Context<'_>, run: &TrainingRun) {
    let chip = |ui: &mut Ui| phase_chip(ui, run);
    let runs = cx.project.runs();
    if cx.is_training || runs.len() < 2 {
        title(ui, &format!("Run {}", run.id), chip);
        return;
    }
    let mut chosen = run.id;
    ends(
        ui,
        |ui| {
            let name = |id: RunId| format!("Run {id}");
            field_style(ui);
            ui.name_inputs("Run shown", |ui| {
                ComboBox::from_id_salt("run shown")
                    .width(LABEL)
                    .icon(combo_caret)
                    .selected_text(RichText::new(name(chosen)).font(tokens::semibold(15.0)))
                    .show_ui(ui, |ui| {
                        for other in runs.iter().rev() {
                            // Why it failed stands below, once it is chosen.
                            let how = match other.state {
                                RunState::Failed => "failed",
                                _ => &other.note,
                            };
                            let text = format!("{}, {how}", name(other.id));
                            ui.selectable_value(&mut chosen, other.id, text);
                        }
                    });
            });
        },
        chip,
    );
    ui.add_space(8.0);
    if chosen != run.id {
        cx.commands.send(Command::ShowRun(chosen));
    }
}

fn phase_chip(ui: &mut Ui, run: &TrainingRun) {
    let t = Tokens::of(ui);
    let stage = || match run.stage_two() {
        Some(_) => "stage 2 of 2",
        None => "stage 1 of 2",
    };
    let (text, ink, fill) = match &run.phase {
        Phase::Loading(..) if run.step.is_none() => ("reading images", t.accent, t.accent_soft),
        Phase::Loading(..) | Phase::Training => (stage(), t.accent, t.accent_soft),
        Phase::Paused => ("paused", t.text, t.active),
        Phase::Held => ("waiting", t.text, t.active),
        Phase::Stopping => ("stopping", t.text, t.active),
        Phase::Evaluating { .. } => ("testing", t.accent, t.accent_soft),
        Phase::Ended(RunState::Finished) => ("finished", t.text, t.active),
        Phase::Ended(RunState::Failed) | Phase::Failed(_) => ("failed", t.danger, t.active),
        Phase::Ended(RunState::Stopped | RunState::Running) => ("stopped", t.text, t.active),
    };
    Frame::new()
        .fill(fill)
        .corner_radius(CornerRadius::same(radius::IMAGE))
        .inner_margin(Margin::symmetric(8, 3))
        .show(ui, |ui| {
            ui.label(RichText::new(text).text_style(tokens::caption()).color(ink));
        });
}

/// How far a run in training has come.
pub(super) fn progress(ui: &mut Ui, run: &TrainingRun) {
    let Some(step) = &run.step else {
        let (done, total) = match run.phase {
            Phase::Loading(done, total) => (done, total),
            _ => (0, 0),
        };
        ends(
            ui,
            |ui| strong(ui, "Reading images"),
            |ui| weak(ui, of(done, total)),
        );
        ui.add_space(6.0);
        progress_bar(ui, "Images read", done as f32 / total.max(1) as f32);
        return;
    };
    if let Phase::Evaluating { role, done, total } = run.phase {
        ends(
            ui,
            |ui| strong(ui, format!("Testing {}", role.name())),
            |ui| weak(ui, of(done, total)),
        );
        ui.add_space(6.0);
        progress_bar(ui, "Images tested", done as f32 / total.max(1) as f32);
        left_out(ui, run);
        return;
    }
    let epoch = (step.epoch.ceil() as u32).max(1);
    ends(
        ui,
        |ui| {
            strong(ui, format!("Epoch {epoch}"));
            weak(ui, format!("of {}", run.num_epochs()));
        },
        |ui| match &run.phase {
            Phase::Paused => weak(ui, "paused"),
            Phase::Held => weak(ui, "all epochs trained"),
            Phase::Stopping => weak(ui, "stopping"),
            _ => strong(ui, format!("{} left", format::duration(step.seconds_left))),
        },
    );
    ui.add_space(6.0);
    let fraction = step.step as f32 / step.num_steps.max(1) as f32;
    progress_bar(ui, "Steps done", fraction);
    ui.add_space(6.0);
    ends(
        ui,
        |ui| {
            caption(
                ui,
                format!("step {}", of(step.step as usize, step.num_steps as usize)),
            )
        },
        |ui| caption(ui, format!("{:.0} images/s", step.images_per_second)),
    );
    ui.add_space(2.0);
    ends(ui, |ui| limit(ui, step), |ui| memory(ui, step.memory));
    if let Phase::Loading(done, total) = run.phase {
        ui.add_space(4.0);
        caption(ui, format!("Reading images {}", of(done, total)));
    }
    stage1_of(ui, run);
    if run.new_classifier {
        ui.add_space(4.0);
        caption(
            ui,
            "The weights are for other classes; the classifier layer is new.",
        );
    }
    let skipped = step.skipped as usize;
    if skipped > 0 {
        let steps = format::plural(skipped, "step was", "steps were");
        ui.add_space(4.0);
        let text = format!("{steps} left out: the loss was not a number. A lower rate helps.");
        let text = RichText::new(text).text_style(tokens::caption());
        ui.add(Label::new(text.color(Tokens::of(ui).warning)).wrap());
    }
    left_out(ui, run);
}

/// Why there is no stage 1 to wait for.
fn stage1_of(ui: &mut Ui, run: &TrainingRun) {
    if let Some(other) = run.stage1_of {
        ui.add_space(4.0);
        caption(
            ui,
            format!("Stage 1 is run {other}'s: same images and settings."),
        );
    }
}

/// What makes a step as slow as it is.
fn limit(ui: &mut Ui, step: &StepMetrics) {
    let text = if step.waiting >= 0.5 {
        "limited by reading images"
    } else {
        "limited by computing"
    };
    let text = RichText::new(text).text_style(tokens::caption());
    let percent = |share: f32| format!("{:.0} %", 100.0 * share);
    let hint = format!(
        "Waiting for images that are not decoded yet takes {} of the time lately, the film {:.1} % of the run so far.",
        percent(step.waiting),
        100.0 * step.film,
    );
    ui.label(text.color(Tokens::of(ui).text_weak))
        .on_hover_text(hint);
}

fn memory(ui: &mut Ui, memory: Option<Memory>) {
    let (bytes, of, hint) = match memory {
        Some(Memory::Process(bytes)) => (
            bytes,
            "memory",
            "Memory that this program takes, its window included",
        ),
        Some(Memory::Gpu(bytes)) => (bytes, "on the GPU", "Memory that libtorch holds on the GPU"),
        None => return,
    };
    let gib = bytes as f64 / f64::from(1 << 30);
    let text = RichText::new(format!("{gib:.1} GiB {of}")).text_style(tokens::caption());
    ui.label(text.color(Tokens::of(ui).text_weak))
        .on_hover_text(hint);
}

fn of(done: usize, total: usize) -> String {
    format!("{} of {}", format::count(done), format::count(total))
}

fn left_out(ui: &mut Ui, run: &TrainingRun) {
    const NAMED: usize = 5;
    if run.left_out.is_empty() {
        return;
    }
    ui.add_space(4.0);
    let files = format::plural(run.left_out.len(), "file", "files");
    caption(ui, format!("{files} could not be read and stayed out:"));
    for file in run.left_out.iter().take(NAMED) {
        let name = file.path.file_name().unwrap_or(file.path.as_os_str());
        let text = format!("{}: {}", name.to_string_lossy(), file.why);
        let label = Label::new(RichText::new(text).text_style(tokens::caption())).truncate();
        ui.add(label).on_hover_text(format::not_read(file));
    }
    let more = run.left_out.len().saturating_sub(NAMED);
    if more > 0 {
        caption(ui, format!("and {} more", format::count(more)));
    }
}

/// What came of a run.
pub(super) fn outcome(ui: &mut Ui, cx: &mut Context<'_>, run: &TrainingRun) {
    let recorded = cx
        .project
        .runs()
        .iter()
        .find(|recorded| recorded.id == run.id);
    let note = recorded.map_or("", |run| run.note.as_str());
    match &run.phase {
        Phase::Failed(why) => danger_card(ui, why),
        Phase::Ended(RunState::Failed) => danger_card(ui, note),
        _ => ended(ui, run, note),
    }
    stage1_of(ui, run);
    ends_ui(ui, cx, run);
    left_out(ui, run);
}

fn ended(ui: &mut Ui, run: &TrainingRun, note: &str) {
    match &run.results {
        Some(results) => {
            results_table(ui, results);
            ui.add_space(6.0);
            let seconds = format::duration(results.seconds);
            caption(ui, format!("{}, {seconds}", test_images(results)));
        }
        None => {
            let note = if note.is_empty() || note == "stopped" {
                "Stopped before stage 2 was scored; there is nothing to compare."
            } else {
                note
            };
            ui.label(note);
        }
    }
}

/// Where to go from here.
fn ends_ui(ui: &mut Ui, cx: &mut Context<'_>, run: &TrainingRun) {
    if run.results.is_none() && !run.can_go_on {
        return;
    }
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 16.0;
        if run.results.is_some() && ui.link("Compare").clicked() {
            cx.commands.send(Command::Go(Room::Compare));
        }
        let hint = "Trains on where it was stopped: weights, optimiser and random numbers as they were, boxes as they are now";
        if run.can_go_on && ui.link("Go on").on_hover_text(hint).clicked() {
            cx.commands.send(Command::GoOn(run.id));
        }
    });
}

fn danger_card(ui: &mut Ui, why: &str) {
    let t = Tokens::of(ui);
    Frame::new()
        .fill(t.raised)
        .stroke(Stroke::new(1.0, t.danger))
        .corner_radius(CornerRadius::same(radius::CARD))
        .inner_margin(Margin::same(12))
        .show(ui, |ui| {
            ui.horizontal(|ui| {
                let icon = RichText::new(icons::WARNING_CIRCLE);
                ui.label(icon.font(tokens::icon(size::ICON)).color(t.danger));
                strong(ui, "The run failed");
            });
            ui.add_space(4.0);
            ui.add(Label::new(RichText::new(why).color(t.text)).wrap());
        });
}

fn test_images(results: &Results) -> String {
    let rare = results
        .summary(ModelRole::Care)
        .or_else(|| results.summary(ModelRole::Before))
        .and_then(|summary| summary.rare_recall);
    match rare {
        Some(estimate) => format!("n = {} rare test images", estimate.n),
        None => "no rare test image".to_owned(),
    }
}

/// Three measures of the models on the test part; the intervals stand in Compare.
fn results_table(ui: &mut Ui, results: &Results) {
    let t = Tokens::of(ui);
    type Of = fn(&Summary) -> Option<Estimate>;
    let rows: [(&str, Of); 3] = [
        ("rare recall", |summary| summary.rare_recall),
        ("MCA", |summary| summary.mca),
        ("in the box", |summary| summary.energy),
    ];
    row(ui, 20.0, "test part", |ui, width| {
        for role in ModelRole::ALL {
            let text = RichText::new(role.name()).text_style(tokens::caption());
            right_aligned(ui, width / 3.0, text.color(t.role(role)));
        }
    });
    for (name, of) in rows {
        row(ui, 24.0, name, |ui, width| {
            for role in ModelRole::ALL {
                let value = results.summary(role).and_then(of);
                let text = value.map_or("\u{2013}".to_owned(), |e| format!("{:.2}", e.value));
                right_aligned(ui, width / 3.0, RichText::new(text).color(t.text_strong));
            }
        });
    }
}

/// The changes of a run as the film marks them.
pub(super) fn marks(run: &TrainingRun, project: &Project) -> Vec<Mark> {
    let text = |change: &Change| match change {
        Change::Live { from, to } => Some(live_text(from, to)),
        Change::Boxes { image, boxes } => Some(boxes_text(project, *image, boxes)),
        Change::Watch { images } => {
            let n = format::plural(images.len(), "image", "images");
            Some(format!("Watched images changed: {n} now"))
        }
        Change::MoreEpochs { epochs } => Some(format!("{epochs} epochs more than planned")),
        Change::BatchHalved => Some("Batches in two parts, to fit into memory".to_owned()),
        // The film has a mark of its own for it.
        Change::StageTwo => None,
    };
    run.changes
        .iter()
        .filter_map(|recorded| {
            Some(Mark {
                epoch: recorded.epoch,
                text: text(&recorded.change)?,
            })
        })
        .collect()
}

fn live_text(from: &LiveParams, to: &LiveParams) -> String {
    let changed: Vec<String> = [
        ("alpha", from.alpha, to.alpha),
        ("lambda", from.lambda, to.lambda),
        ("tau", from.tau, to.tau),
    ]
    .into_iter()
    .filter(|(_, from, to)| from != to)
    .map(|(name, from, to)| format!("{name} {from:.2} \u{2192} {to:.2}"))
    .collect();
    changed.join(", ")
}

fn boxes_text(project: &Project, image: ImageId, boxes: &[BoundingBox]) -> String {
    let name = project.image(image).map_or("an image", Image::name);
    match boxes.len() {
        0 => format!("No box left on {name}"),
        n => format!("{} on {name}", format::plural(n, "box", "boxes")),
    }
}

/// What was changed while the model trained, newest first.
pub(super) fn changes(ui: &mut Ui, run: &TrainingRun, marks: &[Mark]) {
    title(ui, "Changes in this run", |_| {});
    let begin = run.stage_two().map(|epoch| Mark {
        epoch,
        text: "Stage 2 began, control beside it".to_owned(),
    });
    let live = run.config.live;
    let start = Mark {
        epoch: 0.0,
        text: format!(
            "alpha {:.2}, lambda {:.2}, tau {:.2}",
            live.alpha, live.lambda, live.tau
        ),
    };
    let mut all: Vec<&Mark> = std::iter::once(&start).chain(&begin).chain(marks).collect();
    all.sort_by(|a, b| b.epoch.total_cmp(&a.epoch));
    let t = Tokens::of(ui);
    for mark in all {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 8.0;
            let (rect, _) = ui.allocate_exact_size(vec2(60.0, 24.0), Sense::hover());
            let epoch = RichText::new(format!("epoch {}", mark.epoch.ceil())).color(t.text_weak);
            ui.scope_builder(
                UiBuilder::new()
                    .max_rect(rect)
                    .layout(Layout::left_to_right(Align::Min)),
                |ui| ui.label(epoch),
            );
            let text = RichText::new(&mark.text).color(t.text_strong);
            ui.add(Label::new(text).wrap());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_only_what_changed() {
        let from = LiveParams::default();
        let to = |alpha, lambda| LiveParams {
            alpha,
            lambda,
            ..from
        };
        for (to, expected) in [
            (to(0.5, 0.5), "lambda 0.70 \u{2192} 0.50"),
            (
                to(0.25, 1.0),
                "alpha 0.50 \u{2192} 0.25, lambda 0.70 \u{2192} 1.00",
            ),
        ] {
            assert_eq!(live_text(&from, &to), expected);
        }
    }
}
