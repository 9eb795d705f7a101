//! The room Compare: held-out images as before, control and CARE saw them, and what the whole test part shows.

mod cases;
mod confusion;
mod figure;
mod results;

use care_data::{ImageId, Project, Run, RunState};
use care_learn::event::Results;
use egui::{
    Align, CentralPanel, ComboBox, FontId, Frame, IntoAtoms, Layout, Margin, Panel, RichText,
    ScrollArea, Ui,
};

use self::cases::{Cases, Cell, Key, Order};
use super::overlay::overlay_ui;
use super::story::{self, Place};
use super::tokens::{self, Tokens, size};
use super::widgets::{WordButton, combo_caret, divider, problem_ui};
use super::{Context, bar_frame, icons, take_away};
use crate::command::{Action, Command};
use crate::format;
use crate::training::{Phase, TrainingRun};

/// What is shown of one run.
struct Shown {
    cases: Cases,
    /// Index of the class in the figure.
    class: usize,
    order: Order,
    /// Places of the figure's images in `cases`.
    rows: Vec<usize>,
    /// The cell whose images fill the strip.
    cell: Option<Cell>,
    in_cell: Vec<ImageId>,
    /// The image that A opens in Annotate.
    picked: Option<ImageId>,
}

impl Shown {
    fn new(run: &TrainingRun, project: &Project, order: Order) -> Self {
        let cases = Cases::new(run, project);
        let mut shown = Self {
            class: cases.first_class(project),
            cell: cases.most_telling_cell(project),
            cases,
            order,
            rows: Vec::new(),
            in_cell: Vec::new(),
            picked: None,
        };
        shown.list(project);
        // What A opens is ringed from the first frame on.
        shown.picked = shown.in_cell.first().copied();
        shown
    }

    /// Draws up the lists of images anew.
    fn list(&mut self, project: &Project) {
        self.rows = self.cases.of_class(self.class, self.order, project);
        self.in_cell = self
            .cell
            .map_or_else(Vec::new, |cell| self.cases.in_cell(cell));
    }
}

#[derive(Default)]
pub struct CompareRoom {
    order: Order,
    shown: Option<Shown>,
}

impl CompareRoom {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let finished = cx.run.and_then(|run| Some((run, run.results.as_ref()?)));
        match finished {
            Some((run, results)) => self.comparison_ui(ui, cx, run, results),
            None => nothing_yet_ui(ui, cx),
        }
    }

    /// What is shown, drawn up anew where the run or the project has changed.
    fn shown(&mut self, run: &TrainingRun, project: &Project) -> &mut Shown {
        let key = Key::of(run, project);
        let kept = self.shown.take().and_then(|mut shown| {
            if shown.cases.key != key {
                if shown.cases.key.run != key.run {
                    return None;
                }
                shown.cases = Cases::new(run, project);
                shown.list(project);
            }
            Some(shown)
        });
        let order = self.order;
        self.shown
            .insert(kept.unwrap_or_else(|| Shown::new(run, project, order)))
    }

    fn comparison_ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut Context<'_>,
        run: &TrainingRun,
        results: &Results,
    ) {
        let shown = self.shown(run, cx.project);
        Panel::left("compare figure")
            .exact_size(figure_width(ui.available_width()))
            .resizable(false)
            .frame(Frame::NONE)
            .show(ui, |ui| left_ui(ui, cx, run, shown));
        let panel = Frame::new().fill(Tokens::of(ui).panel);
        CentralPanel::no_frame()
            .frame(panel)
            .show(ui, |ui| right_ui(ui, cx, run, results, shown));
        if let (Some(image), true) = (shown.picked, Action::ShowInAnnotate.pressed(ui.ctx())) {
            cx.commands.send(Command::Annotate(image));
        }
        let order = shown.order;
        self.order = order;
    }
}

/// The figure is 616 wide; it gives on a small window, so that the table stays whole, and grows on a large one.
fn figure_width(room: f32) -> f32 {
    const TABLE_MIN: f32 = 664.0;
    if room < 1280.0 {
        (room - TABLE_MIN).clamp(520.0, 616.0)
    } else {
        (room * 0.428).clamp(616.0, 800.0).round()
    }
}

fn left_ui(ui: &mut Ui, cx: &mut Context<'_>, run: &TrainingRun, shown: &mut Shown) {
    let width = ui.available_width() - 32.0;
    toolbar(ui, "figure toolbar", |ui| {
        choice_of_images_ui(ui, cx.project, shown);
    });
    Panel::bottom("figure foot")
        .exact_size(40.0)
        .resizable(false)
        .frame(bar_frame(ui))
        .show(ui, |ui| {
            ui.horizontal_centered(|ui| {
                let t = Tokens::of(ui);
                let weak = |text: &str, font| RichText::new(text).font(font).color(t.text_weak);
                ui.label(weak("model attention", tokens::medium(12.0)));
                overlay_ui(ui, cx);
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let n = format::plural(shown.rows.len(), "image", "images");
                    let text = if ui.available_width() < 290.0 {
                        "Number: share in the box.".to_owned()
                    } else {
                        format!("{n}. Number: share of attention in the box.")
                    };
                    ui.label(weak(&text, FontId::proportional(12.0)));
                });
            });
        });
    // The scroll bar has the padding on the right to itself.
    let frame = Frame::new().inner_margin(Margin {
        left: 16,
        right: 2,
        top: 12,
        bottom: 0,
    });
    CentralPanel::no_frame().frame(frame).show(ui, |ui| {
        if shown.rows.is_empty() {
            ui.label("The test part has no image of this class.");
        } else {
            figure::figure_ui(ui, cx, run, shown, width);
        }
    });
}

/// Which held-out images the figure shows, and in which order.
fn choice_of_images_ui(ui: &mut Ui, project: &Project, shown: &mut Shown) {
    let before = (shown.class, shown.order);
    let name = |class: usize| project.classes().get(class).map_or("", |c| &c.name);
    combo(ui, "Class", 200.0, name(shown.class), |ui| {
        for class in 0..project.classes().len() {
            let n = shown.cases.counts.get(class).copied().unwrap_or(0);
            let weak = RichText::new(format::count(n)).color(Tokens::of(ui).text_weak);
            let item = egui::Button::selectable(shown.class == class, (name(class), weak));
            if ui.add_enabled(n > 0, item).clicked() {
                shown.class = class;
            }
        }
    });
    combo(
        ui,
        "Order",
        ui.available_width(),
        shown.order.text(),
        |ui| {
            for order in Order::ALL {
                ui.selectable_value(&mut shown.order, order, order.text());
            }
        },
    );
    if before != (shown.class, shown.order) {
        shown.list(project);
    }
}

fn right_ui(
    ui: &mut Ui,
    cx: &mut Context<'_>,
    run: &TrainingRun,
    results: &Results,
    shown: &mut Shown,
) {
    let t = Tokens::of(ui);
    toolbar(ui, "results toolbar", |ui| {
        choice_of_run_ui(ui, cx);
        let n = format::plural(shown.cases.all.len(), "test image", "test images");
        ui.label(
            RichText::new(n)
                .text_style(tokens::caption())
                .color(t.text_weak),
        );
        take_away::buttons_ui(ui, cx.commands);
    });
    let strip = Frame::new()
        .fill(t.raised)
        .inner_margin(Margin::symmetric(24, 0));
    Panel::bottom("images of a cell")
        .exact_size(80.0)
        .resizable(false)
        .frame(strip)
        .show(ui, |ui| confusion::strip_ui(ui, cx, shown));
    ScrollArea::vertical()
        .id_salt("results")
        .auto_shrink(false)
        .show(ui, |ui| {
            let padded = |x: i8, top: i8, bottom: i8| {
                Frame::new().inner_margin(Margin {
                    left: x,
                    right: x,
                    top,
                    bottom,
                })
            };
            ui.spacing_mut().item_spacing.y = 0.0;
            padded(24, 16, 12).show(ui, |ui| {
                if let Some(problem) = cx.problem {
                    problem_ui(ui, problem, cx.commands);
                    ui.add_space(12.0);
                }
                results::sentence_ui(ui, cx.project, run, results);
            });
            let table = padded(16, 0, 16).show(ui, |ui| {
                results::table_ui(ui, cx.project, results, &shown.cases);
            });
            story::mark(ui.ctx(), Place::Results, table.response.rect);
            // In a tall window the matrices stand at the foot.
            let height = 1.0 + 24.0 + confusion::height(ui.available_width() - 48.0, results);
            ui.add_space((ui.available_height() - height).max(0.0));
            divider(ui);
            padded(24, 12, 12).show(ui, |ui| {
                let clicked = confusion::matrices_ui(ui, cx.project, results, shown.cell);
                if let Some(cell) = clicked {
                    shown.cell = Some(cell);
                    shown.in_cell = shown.cases.in_cell(cell);
                    shown.picked = shown.in_cell.first().copied();
                }
            });
        });
}

/// The bar of 44 over a half of the room.
fn toolbar(ui: &mut Ui, id: &'static str, contents: impl FnOnce(&mut Ui)) {
    Panel::top(id)
        .exact_size(size::TOOLBAR)
        .resizable(false)
        .frame(bar_frame(ui))
        .show(ui, |ui| ui.horizontal_centered(contents));
}

/// A combo of 28 x `width` with an accessible name.
fn combo<'a>(
    ui: &mut Ui,
    name: &str,
    width: f32,
    text: impl IntoAtoms<'a>,
    items: impl FnOnce(&mut Ui),
) {
    let t = Tokens::of(ui);
    ui.name_inputs(name, |ui| {
        ui.scope(|ui| {
            ui.visuals_mut().widgets.inactive.weak_bg_fill = t.field;
            ComboBox::from_id_salt(name)
                .width(width)
                .truncate()
                .selected_text(text)
                .icon(combo_caret)
                .show_ui(ui, items);
        });
    });
}

/// The runs of the project, the newest first.
fn choice_of_run_ui(ui: &mut Ui, cx: &mut Context<'_>) {
    let shown = cx.run.map(|run| run.id);
    let weak = Tokens::of(ui).text_weak;
    let words = |run: &Run| {
        let how = match run.state {
            RunState::Finished => run.note.clone(),
            state => state.name().to_owned(),
        };
        (format!("Run {}", run.id), RichText::new(how).color(weak))
    };
    let runs = cx.project.runs();
    let text = runs
        .iter()
        .find(|run| Some(run.id) == shown)
        .map_or(("Choose a run".to_owned(), RichText::new("")), words);
    let commands = &mut *cx.commands;
    let busy = cx.is_training;
    combo(ui, "Run", 248.0, text, |ui| {
        for run in runs.iter().rev() {
            let item = egui::Button::selectable(shown == Some(run.id), words(run));
            let can_be_shown = !busy && matches!(run.state, RunState::Finished | RunState::Stopped);
            if ui.add_enabled(can_be_shown, item).clicked() {
                commands.send(Command::ShowRun(run.id));
            }
        }
    });
}

/// The room without results: why there are none, and the way to some.
fn nothing_yet_ui(ui: &mut Ui, cx: &mut Context<'_>) {
    let t = Tokens::of(ui);
    if !cx.project.runs().is_empty() && !cx.is_training {
        toolbar(ui, "results toolbar", |ui| choice_of_run_ui(ui, cx));
    }
    let (title, text, button) = nothing_yet(cx);
    let room = ui.available_rect_before_wrap();
    let column = egui::Rect::from_center_size(
        room.center() - egui::vec2(0.0, room.height() * 0.05),
        egui::vec2(480.0_f32.min(room.width() - 48.0), 220.0),
    );
    ui.scope_builder(egui::UiBuilder::new().max_rect(column), |ui| {
        ui.vertical_centered(|ui| {
            if let Some(problem) = cx.problem {
                problem_ui(ui, problem, cx.commands);
                ui.add_space(12.0);
            }
            ui.label(
                RichText::new(icons::COLUMNS)
                    .font(tokens::icon(32.0))
                    .color(t.text_weak),
            );
            ui.label(
                RichText::new(title)
                    .text_style(egui::TextStyle::Heading)
                    .color(t.text_strong),
            );
            ui.add(egui::Label::new(RichText::new(text).color(t.text)).wrap());
            ui.add_space(8.0);
            let button = WordButton::new(button).primary().height(size::BUTTON_MAIN);
            if button.ui(ui).clicked() {
                cx.commands.act(Action::GoTrain);
            }
        });
    });
}

/// Title, text and the word on the button.
fn nothing_yet(cx: &Context<'_>) -> (String, String, &'static str) {
    const COLUMNS: &str = "Held-out images then stand here as the model saw them before, after the control and after CARE, with every figure of the test part.";
    let Some(run) = cx.run else {
        let title = if cx.project.runs().is_empty() {
            "Train once to compare"
        } else {
            "No run has results yet"
        };
        return (title.to_owned(), COLUMNS.to_owned(), "Train");
    };
    let id = run.id;
    match &run.phase {
        Phase::Ended(RunState::Finished) => (
            format!("The results of run {id} cannot be read"),
            "Train again, or choose another run above.".to_owned(),
            "Train",
        ),
        Phase::Ended(_) => (
            format!("Run {id} was stopped before it had results"),
            "CARE and its control are trained in stage 2 and tested at the end. Train again, or choose another run above."
                .to_owned(),
            "Train",
        ),
        Phase::Failed(why) => (format!("Run {id} failed"), why.clone(), "Train"),
        Phase::Evaluating { role, done, total } => (
            format!("Run {id} is being tested"),
            format!(
                "{}: {} of {} test images. The results appear here in a moment.",
                role.name(),
                format::count(*done),
                format::count(*total)
            ),
            "Watch it",
        ),
        Phase::Loading(..) | Phase::Training | Phase::Paused | Phase::Held | Phase::Stopping => (
            format!("Run {id} is training"),
            format!("When it has ended, its results appear here. {COLUMNS}").replace(" then", ""),
            "Watch it",
        ),
    }
}
