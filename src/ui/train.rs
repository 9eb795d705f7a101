//! The room Train: the film and the plots, and beside them what a run is told and what it tells.

use care_data::{BoundingBox, ImageId, Part, Project, RunId, RunState};
use care_learn::config::BackboneKind;
use care_learn::event::{Change, Results};
use care_learn::metrics::Estimate;
use care_learn::task::{Problem, pick_watch_list, preflight};
use care_learn::{LiveParams, ModelRole, RunConfig};
use egui::{
    Align, CornerRadius, Frame, Layout, Margin, Panel, Rect, RichText, ScrollArea, Sense, Stroke,
    Ui, UiBuilder, vec2,
};

use super::film::{self, FilmView, Mark};
use super::plots::{self, PlotsView};
use super::tokens::{self, Tokens, radius, size};
use super::widgets::{WordButton, divider, problem_ui, progress_bar, slider_row};
use super::{Context, icons};
use crate::command::{Action, Command, Room};
use crate::dispatch::WATCHED;
use crate::format;
use crate::training::{Phase, TrainingRun};

const PLOT_MAX: f32 = 196.0;
const PLOT_MIN: f32 = 140.0;
const LABEL: f32 = 104.0;

#[derive(Default)]
pub struct TrainRoom {
    film: FilmView,
    plots: PlotsView,
    /// The sliders under the hand. Letting go makes one change of it, as with a box.
    dragged: Option<LiveParams>,
    ready: Option<Ready>,
}

/// What a run would find in the project.
struct Ready {
    revision: u64,
    num_training: usize,
    num_classes: usize,
    /// What stands in the way, or is worth knowing.
    problems: Vec<Problem>,
    /// The held-out images that a run would watch.
    watch: Vec<ImageId>,
}

impl Ready {
    fn of(project: &Project) -> Self {
        let is_training = |image: &&care_data::Image| image.part == Part::Train;
        Self {
            revision: project.revision(),
            num_training: project.images().iter().filter(is_training).count(),
            num_classes: project.classes().len(),
            problems: preflight(project, &RunConfig::default()),
            watch: pick_watch_list(project, WATCHED),
        }
    }
}

impl TrainRoom {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let project = cx.project;
        // While a run trains nothing of this is shown, and every box drawn would have it counted anew.
        if !cx.is_training || self.ready.is_none() {
            let known = self.ready.take();
            let known = known.filter(|ready| ready.revision == project.revision());
            self.ready = Some(known.unwrap_or_else(|| Ready::of(project)));
        }
        let Some(ready) = &self.ready else { return };
        let can_train = !cx.is_training
            && cx.draft.check().is_ok()
            && !ready.problems.iter().any(Problem::blocks);
        let watch = cx.run.map_or(&ready.watch, |run| &run.watch).clone();
        let marks = cx.run.map(|run| marks(run, project)).unwrap_or_default();

        let side = if ui.ctx().content_rect().width() < 1280.0 {
            288.0
        } else {
            320.0
        };
        let fill = Frame::new().fill(Tokens::of(ui).panel);
        Panel::right("train side")
            .exact_size(side)
            .resizable(false)
            .frame(fill)
            .show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                Panel::bottom("train actions")
                    .resizable(false)
                    .frame(Frame::new().inner_margin(Margin::same(16)))
                    .show(ui, |ui| actions(ui, cx, can_train));
                ScrollArea::vertical().show(ui, |ui| self.sections(ui, cx, &marks));
            });

        let area = ui.available_rect_before_wrap();
        let cell = film::cell_side(area.size(), plots::height(PLOT_MIN), watch.len());
        let plot =
            (area.height() - film::height(cell) - plots::height(0.0)).clamp(PLOT_MIN, PLOT_MAX);
        let (top, bottom) = area.split_top_bottom_at_y(area.bottom() - plots::height(plot));
        self.film.ui(ui, cx, top, cell, &watch, &marks);
        let planned = cx.draft.stage1_epochs + cx.draft.stage2_epochs;
        self.plots
            .ui(ui, bottom, cx.run, planned, self.film.epoch());
    }

    fn sections(&mut self, ui: &mut Ui, cx: &mut Context<'_>, marks: &[Mark]) {
        if let Some(problem) = cx.problem {
            section(ui, |ui| problem_ui(ui, problem, cx.commands));
        }
        if let Some(run) = cx.run {
            section(ui, |ui| {
                run_title(ui, cx, run);
                if cx.is_training {
                    progress(ui, run);
                } else {
                    outcome(ui, cx, run);
                }
            });
        }
        if let (Some(ready), false) = (&self.ready, cx.is_training) {
            section(ui, |ui| checklist(ui, cx, ready));
        }
        section(ui, |ui| self.attention_loss(ui, cx));
        section(ui, |ui| {
            if let (Some(run), true) = (cx.run, cx.is_training) {
                fixed_model(ui, &run.config);
            } else {
                model(ui, cx);
            }
        });
        if let Some(run) = cx.run {
            section(ui, |ui| changes(ui, run, marks));
        }
    }

    fn attention_loss(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let t = Tokens::of(ui);
        title(ui, "Attention loss", |ui| {
            if cx.is_training {
                remark(ui, "live", Some(icons::LIGHTNING), t.accent);
            }
        });
        let mut live = self.dragged.unwrap_or(cx.draft.live);
        let mut changed = false;
        ui.spacing_mut().item_spacing.x = 12.0;
        for (name, value, max) in [
            ("alpha", &mut live.alpha, 1.0),
            ("lambda", &mut live.lambda, 2.0),
            ("tau", &mut live.tau, 1.0),
        ] {
            changed |= slider_row(ui, name, value, 0.0..=max);
        }
        if changed {
            self.dragged = Some(live);
        }
        if !ui.ctx().egui_is_using_pointer()
            && let Some(live) = self.dragged.take()
        {
            cx.commands.send(Command::SetLive(live));
        }
        ui.add_space(4.0);
        caption(
            ui,
            if cx.is_training {
                "A change takes effect at the next step."
            } else {
                "You can move these while the model trains."
            },
        );
    }
}

/// A part of the side panel, with a line under it.
fn section(ui: &mut Ui, content: impl FnOnce(&mut Ui)) {
    Frame::new()
        .inner_margin(Margin::symmetric(16, 12))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            content(ui);
        });
    divider(ui);
}

/// A section's title, 24 high with 8 under it, and what stands at its right end.
fn title(ui: &mut Ui, text: &str, right: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.set_height(24.0);
        ui.label(
            RichText::new(text)
                .text_style(tokens::section())
                .color(Tokens::of(ui).text_strong),
        );
        ui.with_layout(Layout::right_to_left(Align::Center), right);
    });
    ui.add_space(8.0);
}

fn remark(ui: &mut Ui, text: &str, icon: Option<&str>, ink: egui::Color32) {
    ui.spacing_mut().item_spacing.x = 6.0;
    ui.label(RichText::new(text).text_style(tokens::caption()).color(ink));
    if let Some(icon) = icon {
        ui.label(RichText::new(icon).font(tokens::icon(14.0)).color(ink));
    }
}

fn caption(ui: &mut Ui, text: impl Into<String>) {
    ui.label(
        RichText::new(text)
            .text_style(tokens::caption())
            .color(Tokens::of(ui).text_weak),
    );
}

/// Two texts at the ends of one line.
fn ends(ui: &mut Ui, left: impl FnOnce(&mut Ui), right: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        left(ui);
        ui.with_layout(Layout::right_to_left(Align::Center), right);
    });
}

fn strong(ui: &mut Ui, text: impl Into<String>) {
    ui.label(
        RichText::new(text)
            .font(tokens::medium(13.0))
            .color(Tokens::of(ui).text_strong),
    );
}

fn weak(ui: &mut Ui, text: impl Into<String>) {
    ui.label(RichText::new(text).color(Tokens::of(ui).text_weak));
}

/// The run's number, or the choice of one where there are several, and where it stands.
fn run_title(ui: &mut Ui, cx: &mut Context<'_>, run: &TrainingRun) {
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
                egui::ComboBox::from_id_salt("run shown")
                    .width(LABEL)
                    .icon(caret)
                    .selected_text(RichText::new(name(chosen)).font(tokens::semibold(15.0)))
                    .show_ui(ui, |ui| {
                        for other in runs.iter().rev().filter(|r| r.state != RunState::Failed) {
                            let text = format!("{}, {}", name(other.id), other.note);
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
        Phase::Stopping => ("stopping", t.text, t.active),
        Phase::Evaluating(_) => ("testing", t.accent, t.accent_soft),
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
fn progress(ui: &mut Ui, run: &TrainingRun) {
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
    let epoch = (step.epoch.ceil() as u32).max(1);
    ends(
        ui,
        |ui| {
            strong(ui, format!("Epoch {epoch}"));
            weak(ui, format!("of {}", run.num_epochs()));
        },
        |ui| match &run.phase {
            Phase::Evaluating(role) => strong(ui, format!("testing {}", role.name())),
            Phase::Paused => weak(ui, "paused"),
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
    if let Phase::Loading(done, total) = run.phase {
        ui.add_space(4.0);
        caption(ui, format!("Reading images {}", of(done, total)));
    }
    left_out(ui, run);
}

fn of(done: usize, total: usize) -> String {
    format!("{} of {}", format::count(done), format::count(total))
}

fn left_out(ui: &mut Ui, run: &TrainingRun) {
    if run.num_left_out > 0 {
        ui.add_space(4.0);
        let files = format::plural(run.num_left_out, "file", "files");
        caption(ui, format!("{files} could not be read and stayed out."));
    }
}

/// What came of a run.
fn outcome(ui: &mut Ui, cx: &mut Context<'_>, run: &TrainingRun) {
    let recorded = cx
        .project
        .runs()
        .iter()
        .find(|recorded| recorded.id == run.id);
    if let Phase::Failed(why) = &run.phase {
        danger_card(ui, why);
        return;
    }
    match &run.results {
        Some(results) => {
            results_table(ui, results);
            ui.add_space(6.0);
            ends(
                ui,
                |ui| {
                    let seconds = format::duration(results.seconds);
                    caption(ui, format!("{}, {seconds}", test_images(results)));
                },
                |ui| {
                    if ui.link("Compare").clicked() {
                        cx.commands.send(Command::Go(Room::Compare));
                    }
                },
            );
        }
        None => {
            let note = recorded.map_or("", |run| run.note.as_str());
            let note = if note.is_empty() || note == "stopped" {
                "Stopped before stage 2 was scored; there is nothing to compare."
            } else {
                note
            };
            ui.label(note);
        }
    }
    left_out(ui, run);
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
            ui.add(egui::Label::new(RichText::new(why).color(t.text)).wrap());
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
    type Of = fn(&care_learn::metrics::Summary) -> Option<Estimate>;
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

fn right_aligned(ui: &mut Ui, width: f32, text: RichText) {
    let (rect, _) = ui.allocate_exact_size(vec2(width, ui.available_height()), Sense::hover());
    ui.scope_builder(
        UiBuilder::new()
            .max_rect(rect)
            .layout(Layout::right_to_left(Align::Center)),
        |ui| ui.label(text),
    );
}

/// A row of `height`: the label in its column, and the rest, whose width `content` is told.
fn row(ui: &mut Ui, height: f32, label: &str, content: impl FnOnce(&mut Ui, f32)) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    let (left, right) = rect.split_left_right_at_x(rect.left() + LABEL);
    let mut column = |rect: Rect, salt: &str, add: &mut dyn FnMut(&mut Ui)| {
        ui.scope_builder(
            UiBuilder::new()
                .max_rect(rect)
                .id_salt((label, salt))
                .layout(Layout::left_to_right(Align::Center)),
            |ui| {
                ui.spacing_mut().item_spacing.x = 0.0;
                add(ui);
            },
        );
    };
    column(left, "label", &mut |ui| weak(ui, label));
    let mut content = Some(content);
    column(right, "content", &mut |ui| {
        if let Some(content) = content.take() {
            content(ui, right.width());
        }
    });
}

/// What a run would begin with, and what is missing, each with the way to it.
fn checklist(ui: &mut Ui, cx: &mut Context<'_>, ready: &Ready) {
    let next = cx.project.runs().last().map_or(1, |run| run.id.0 + 1);
    title(ui, &format!("Run {next}"), |ui| {
        let text = format!("on {}", cx.device);
        remark(ui, &text, None, Tokens::of(ui).text_weak);
    });
    ui.spacing_mut().item_spacing.y = 4.0;
    if ready.num_training > 0 {
        let images = format::plural(ready.num_training, "training image", "training images");
        let classes = format::plural(ready.num_classes, "class", "classes");
        check(ui, cx, Check::Fine, &format!("{images}, {classes}"), None);
    }
    let counts = cx.counts;
    if counts.boxed > 0 {
        let verb = if counts.boxed == 1 { "has" } else { "have" };
        let text = format!(
            "{} {verb} a box",
            format::plural(counts.boxed, "rare image", "rare images")
        );
        check(ui, cx, Check::Fine, &text, None);
        let without = counts.rare - counts.boxed;
        if without > 0 {
            let text = if without == 1 {
                "1 has none yet. It trains without the attention loss.".to_owned()
            } else {
                format!(
                    "{} have none yet. They train without the attention loss.",
                    format::count(without)
                )
            };
            check(ui, cx, Check::Caution, &text, Some(Room::Annotate));
        }
    }
    for problem in &ready.problems {
        let kind = if problem.blocks() {
            Check::Blocks
        } else {
            Check::Caution
        };
        check(ui, cx, kind, &problem.to_string(), room_for(problem));
    }
    if let Err(error) = cx.draft.check() {
        check(ui, cx, Check::Blocks, &format!("{error}."), None);
    }
}

/// Where a problem is mended.
fn room_for(problem: &Problem) -> Option<Room> {
    match problem {
        Problem::NoBoxes | Problem::RareWithoutBoxes { .. } => Some(Room::Annotate),
        Problem::Config(_) => None,
        _ => Some(Room::Images),
    }
}

#[derive(Clone, Copy)]
enum Check {
    Fine,
    Caution,
    Blocks,
}

fn check(ui: &mut Ui, cx: &mut Context<'_>, kind: Check, text: &str, room: Option<Room>) {
    let t = Tokens::of(ui);
    let (icon, ink) = match kind {
        Check::Fine => (icons::CHECK_CIRCLE, t.success),
        Check::Caution => (icons::WARNING, t.warning),
        Check::Blocks => (icons::WARNING_CIRCLE, t.danger),
    };
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 8.0;
        ui.label(
            RichText::new(icon)
                .font(tokens::icon(size::ICON))
                .color(ink),
        );
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(4.0, 0.0);
            ui.spacing_mut().interact_size.y = 20.0;
            ui.label(RichText::new(text).color(t.text));
            if let Some(room) = room
                && ui.link(format!("Open {}", room.name())).clicked()
            {
                cx.commands.send(Command::Go(room));
            }
        });
    });
}

fn field_style(ui: &mut Ui) {
    let field = Tokens::of(ui).field;
    ui.visuals_mut().widgets.inactive.weak_bg_fill = field;
    ui.visuals_mut().widgets.inactive.fg_stroke.color = Tokens::of(ui).text_strong;
    ui.spacing_mut().button_padding.x = 8.0;
}

fn caret(ui: &Ui, rect: Rect, _: &egui::style::WidgetVisuals, _open: bool) {
    ui.painter().text(
        rect.center(),
        egui::Align2::CENTER_CENTER,
        icons::CARET_DOWN,
        tokens::icon(12.0),
        Tokens::of(ui).text_weak,
    );
}

/// The settings of the next run.
fn model(ui: &mut Ui, cx: &mut Context<'_>) {
    title(ui, "Model", |_| {});
    field_style(ui);
    let mut draft = cx.draft.clone();
    setting(ui, "backbone", |ui, width| {
        let before = draft.backbone;
        combo(
            ui,
            width,
            &mut draft.backbone,
            &[BackboneKind::SmallResnet, BackboneKind::Resnet18],
            |kind| backbone_name(*kind).to_owned(),
        );
        if draft.backbone != before {
            // Below this size its last map is too coarse to say where it looks.
            draft.input_size = smallest_input(draft.backbone);
        }
    });
    setting(ui, "input", |ui, width| {
        let sizes: &[u32] = match draft.backbone {
            BackboneKind::SmallResnet => &[64, 96, 128, 160, 224],
            BackboneKind::Resnet18 => &[224, 256, 320, 448],
        };
        combo(ui, width, &mut draft.input_size, sizes, |side| {
            input_text(*side)
        });
    });
    setting(ui, "epochs", |ui, width| {
        let each = (width - 22.0) / 2.0;
        let mut number = |ui: &mut Ui, name: &str, value: &mut u32| {
            ui.name_inputs(name, |ui| {
                let drag = egui::DragValue::new(value).range(1..=999).speed(0.1);
                ui.add_sized(vec2(each, 28.0), drag);
            });
        };
        number(ui, "epochs of stage 1, at most", &mut draft.stage1_epochs);
        let (rect, _) = ui.allocate_exact_size(vec2(22.0, 28.0), Sense::hover());
        ui.place(
            rect,
            egui::Label::new(RichText::new("+").color(Tokens::of(ui).text_weak)),
        );
        number(ui, "epochs of stage 2", &mut draft.stage2_epochs);
    });
    setting(ui, "learning rate", |ui, width| {
        let rates = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3];
        combo(ui, width, &mut draft.learning_rate, &rates, f64::to_string);
    });
    setting(ui, "seed", |ui, width| {
        let drag = egui::DragValue::new(&mut draft.seed).speed(0.05);
        ui.add_sized(vec2(width, 28.0), drag);
    });
    setting(ui, "weights", |ui, width| {
        let mut path = draft
            .weights
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default();
        let edit = egui::TextEdit::singleline(&mut path)
            .hint_text("none: from scratch")
            .margin(Margin::symmetric(8, 4))
            .vertical_align(Align::Center);
        let response = ui
            .add_sized(vec2(width, 28.0), edit)
            .on_hover_text("Path of pretrained weights (safetensors, torchvision's names)");
        if response.changed() {
            draft.weights = (!path.is_empty()).then(|| path.into());
        }
    });
    if draft != *cx.draft {
        cx.commands.send(Command::SetDraft(draft));
    }
}

/// A row whose control is named by its label.
fn setting(ui: &mut Ui, label: &str, control: impl FnOnce(&mut Ui, f32)) {
    row(ui, size::ROW, label, |ui, width| {
        ui.name_inputs(label, |ui| control(ui, width));
    });
}

fn combo<T: Clone + PartialEq>(
    ui: &mut Ui,
    width: f32,
    value: &mut T,
    choices: &[T],
    text: impl Fn(&T) -> String,
) {
    egui::ComboBox::from_id_salt("choices")
        .width(width)
        .icon(caret)
        .selected_text(text(value))
        .show_ui(ui, |ui| {
            for choice in choices {
                ui.selectable_value(value, choice.clone(), text(choice));
            }
        });
}

/// The settings of the run in training, which it keeps.
fn fixed_model(ui: &mut Ui, config: &RunConfig) {
    let t = Tokens::of(ui);
    title(ui, "Model", |ui| {
        remark(
            ui,
            "fixed during a run",
            Some(icons::LOCK_SIMPLE),
            t.text_weak,
        );
    });
    let grid = map_side(config);
    for (label, text) in [
        ("backbone", backbone_name(config.backbone).to_owned()),
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

fn backbone_name(kind: BackboneKind) -> &'static str {
    match kind {
        BackboneKind::SmallResnet => "Small ResNet",
        BackboneKind::Resnet18 => "ResNet-18",
    }
}

/// The smallest input that gives a last map of at least 7 x 7 and that the network is known with.
fn smallest_input(kind: BackboneKind) -> u32 {
    match kind {
        BackboneKind::SmallResnet => 96,
        BackboneKind::Resnet18 => 224,
    }
}

/// The side of the last map, in cells.
fn map_side(config: &RunConfig) -> u32 {
    let stride = match config.backbone {
        BackboneKind::SmallResnet => 8,
        BackboneKind::Resnet18 => 32,
    };
    config.input_size.div_ceil(stride)
}

fn input_text(side: u32) -> String {
    format!("{side} \u{d7} {side} px")
}

/// The changes of a run as the film marks them.
fn marks(run: &TrainingRun, project: &Project) -> Vec<Mark> {
    let text = |change: &Change| match change {
        Change::Live { from, to } => Some(live_text(from, to)),
        Change::Boxes { image, boxes } => Some(boxes_text(project, *image, boxes)),
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
    let name = project
        .image(image)
        .map_or("an image", care_data::Image::name);
    match boxes.len() {
        0 => format!("No box left on {name}"),
        n => format!("{} on {name}", format::plural(n, "box", "boxes")),
    }
}

/// What was changed while the model trained, newest first.
fn changes(ui: &mut Ui, run: &TrainingRun, marks: &[Mark]) {
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
            ui.add(egui::Label::new(text).wrap());
        });
    }
}

/// Train; or, while a run trains, Pause and Stop beside it.
fn actions(ui: &mut Ui, cx: &mut Context<'_>, can_train: bool) {
    let ctx = ui.ctx().clone();
    let tooltip = |action: Action| action.tooltip(&ctx);
    let note = if cx.is_training {
        let phase = cx.run.map(|run| &run.phase);
        let is_paused = phase == Some(&Phase::Paused);
        let goes_on = matches!(
            phase,
            Some(Phase::Loading(..) | Phase::Training | Phase::Paused)
        );
        let pause = if is_paused {
            Action::Resume
        } else {
            Action::Pause
        };
        let glyph = if is_paused { icons::PLAY } else { icons::PAUSE };
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 8.0;
            let width = ((ui.available_width() - 16.0) / 3.0).floor();
            let button = |action: Action, glyph, enabled| {
                WordButton::new(action.spec().text)
                    .icon_fill(glyph)
                    .width(width)
                    .height(size::BUTTON_MAIN)
                    .enabled(enabled)
            };
            button(Action::Train, icons::PLAY, false)
                .ui(ui)
                .on_hover_text("A run is being trained");
            for (action, glyph) in [(pause, glyph), (Action::Stop, icons::STOP)] {
                let response = button(action, glyph, goes_on).ui(ui);
                if response.on_hover_text(tooltip(action)).clicked() {
                    cx.commands.act(action);
                }
            }
        });
        "Stop keeps the last checkpoint."
    } else {
        let spec = Action::Train.spec();
        let mut button = WordButton::new(spec.text)
            .primary()
            .icon_fill(icons::PLAY)
            .width(ui.available_width())
            .height(size::BUTTON_MAIN)
            .enabled(can_train);
        if let Some(shortcut) = spec.shortcut {
            button = button.key(ctx.format_shortcut(&shortcut));
        }
        let response = button.ui(ui);
        let why = if can_train {
            tooltip(Action::Train)
        } else {
            "What stands in the way is listed above".to_owned()
        };
        if response.on_hover_text(why).clicked() {
            cx.commands.act(Action::Train);
        }
        "Trains CARE beside its control, alpha 0."
    };
    ui.add_space(8.0);
    ui.vertical_centered(|ui| caption(ui, note));
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

    #[test]
    fn every_backbone_is_offered_with_a_map_that_says_where() {
        for backbone in [BackboneKind::SmallResnet, BackboneKind::Resnet18] {
            let config = RunConfig {
                backbone,
                input_size: smallest_input(backbone),
                ..RunConfig::default()
            };
            assert!(map_side(&config) >= 7);
        }
    }
}
