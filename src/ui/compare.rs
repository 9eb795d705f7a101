//! The room Compare: held-out images as before, control and CARE saw them, and what the whole test part shows.

mod cases;
mod choices;
mod confusion;
mod difference;
mod figure;
mod nothing_yet;
mod pair;
mod results;
mod runs;
mod shortcuts;
mod shown;
mod strip;
mod table;

use care_data::{Edit, Project};
use egui::{Align, CentralPanel, FontId, Frame, Layout, Margin, Panel, RichText, ScrollArea, Ui};

use self::cases::{Order, Which};
use self::choices::{choice_of_images_ui, choice_of_run_ui, model_ui};
use self::nothing_yet::nothing_yet_ui;
use self::pair::Pair;
use self::results::{Measure, Told};
use self::runs::Runs;
use self::shown::{From, Shown};
use self::table::Table;
use super::overlay::overlay_ui;
use super::story::{self, Place};
use super::tokens::{self, Tokens, size};
use super::widgets::{divider, problem_ui, segmented};
use super::{Context, bar_frame, take_away};
use crate::command::{Action, Command};
use crate::format;

/// What is seen on the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum View {
    #[default]
    Figure,
    /// One image, large.
    Image,
}

/// What is read on the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tab {
    #[default]
    Results,
    Images,
    Shortcuts,
    Runs,
}

#[derive(Default)]
pub struct CompareRoom {
    order: Order,
    view: View,
    tab: Tab,
    measure: Measure,
    pair: Pair,
    table: Table,
    runs: Runs,
    shown: Option<Shown>,
}

impl CompareRoom {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let finished = cx.run.filter(|run| run.results.is_some());
        match finished {
            Some(run) => {
                let other = cx.other;
                self.comparison_ui(ui, cx, From { run, other });
            }
            None => self.nothing_yet_ui(ui, cx),
        }
        if self.tab != Tab::Runs {
            self.runs.leave(cx);
        }
    }

    /// A name or note of a run that is still being typed.
    pub fn take_note(&mut self, project: &Project) -> Option<Edit> {
        self.runs.take(project)
    }

    /// Another room is shown: what is being typed becomes an edit.
    pub fn leave(&mut self, cx: &mut Context<'_>) {
        self.runs.leave(cx);
    }

    fn comparison_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, from: From<'_>) {
        let mut shown = Shown::renewed(
            self.shown.take(),
            ui.ctx(),
            from,
            cx.project,
            self.order,
            self.view,
        );
        let before = (shown.pair, shown.picked, shown.view);
        let room = ui.available_width();
        Panel::left("compare figure")
            .exact_size(figure_width(room))
            .resizable(false)
            .frame(Frame::NONE)
            .show(ui, |ui| self.left_ui(ui, cx, from, &mut shown));
        let panel = Frame::new().fill(Tokens::of(ui).panel);
        CentralPanel::no_frame()
            .frame(panel)
            .show(ui, |ui| self.right_ui(ui, cx, from, &mut shown));
        if shown.pair != before.0 {
            shown.list(cx.project);
        }
        if shown.picked != before.1 || shown.view != before.2 {
            shown.bring_picked(cx.project);
        }
        if let (Some(image), true) = (shown.picked, Action::ShowInAnnotate.pressed(ui.ctx())) {
            cx.commands.send(Command::Annotate(image));
        }
        let first = shown.rows.first().map(|row| shown.cases.all[*row].image);
        let proves = Action::Proof.pressed(ui.ctx());
        if let (Some(image), true) = (shown.picked.or(first), proves) {
            cx.commands.send(Command::Prove(image, None));
        }
        self.order = shown.order;
        self.view = shown.view;
        self.shown = Some(shown);
    }

    fn left_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, from: From<'_>, shown: &mut Shown) {
        let width = ui.available_width() - 32.0;
        toolbar(ui, "figure toolbar", |ui| {
            let views = [(View::Figure, "Figure"), (View::Image, "One image")];
            let views = views.map(|(view, text)| (view, text.to_owned()));
            if segmented(ui, "View", &views, &mut shown.view) && shown.view == View::Figure {
                shown.scroll_to = shown.place_of_picked();
            }
            choice_of_images_ui(ui, cx.project, shown);
        });
        Panel::bottom("figure foot")
            .exact_size(40.0)
            .resizable(false)
            .frame(bar_frame(ui))
            .show(ui, |ui| foot_ui(ui, cx, shown));
        // The scroll bar has the padding on the right to itself.
        let right = if shown.view == View::Figure { 2 } else { 16 };
        let frame = Frame::new().inner_margin(Margin {
            left: 16,
            right,
            top: 12,
            bottom: 0,
        });
        CentralPanel::no_frame().frame(frame).show(ui, |ui| {
            if shown.rows.is_empty() {
                ui.label(match shown.which {
                    Which::All | Which::Class(_) => "The test part has no image of this class.",
                    Which::WrongReason => {
                        "No model is right for the wrong reason on any test image."
                    }
                    Which::Disagree => "Both models recognise the same test images.",
                });
            } else {
                match shown.view {
                    View::Figure => {
                        first_ui(ui, shown);
                        figure::figure_ui(ui, cx, from, shown, width);
                    }
                    View::Image => self.pair.ui(ui, cx, from, shown),
                }
            }
        });
    }

    fn right_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, from: From<'_>, shown: &mut Shown) {
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
        toolbar(ui, "tabs", |ui| self.tabs_ui(ui, cx, shown));
        if matches!(self.tab, Tab::Results | Tab::Shortcuts) {
            let strip = Frame::new()
                .fill(t.raised)
                .inner_margin(Margin::symmetric(24, 0));
            let hint = match self.tab {
                Tab::Results => "Click a cell above to see its images.",
                _ => "Click a place above to see its images.",
            };
            Panel::bottom("images of a cell")
                .exact_size(80.0)
                .resizable(false)
                .frame(strip)
                .show(ui, |ui| strip::strip_ui(ui, cx, shown, hint));
        }
        let problem = |ui: &mut Ui, cx: &mut Context<'_>| {
            if let Some(problem) = cx.problem {
                Frame::new()
                    .inner_margin(Margin::symmetric(24, 12))
                    .show(ui, |ui| {
                        problem_ui(ui, problem, cx.commands);
                    });
            }
        };
        match self.tab {
            Tab::Results => self.results_ui(ui, cx, from, shown),
            Tab::Images => {
                problem(ui, cx);
                let frame = Frame::new().inner_margin(Margin {
                    left: 24,
                    right: 10,
                    top: 12,
                    bottom: 0,
                });
                frame.show(ui, |ui| self.table.ui(ui, cx, shown));
            }
            Tab::Shortcuts => {
                ScrollArea::vertical()
                    .id_salt("shortcuts")
                    .auto_shrink(false)
                    .show(ui, |ui| {
                        problem(ui, cx);
                        let frame = Frame::new().inner_margin(Margin::symmetric(24, 16));
                        frame.show(ui, |ui| shortcuts::shortcuts_ui(ui, cx, shown));
                    });
            }
            Tab::Runs => {
                problem(ui, cx);
                self.runs.ui(ui, cx);
            }
        }
    }

    /// What is read, and which two models are compared.
    fn tabs_ui(&mut self, ui: &mut Ui, cx: &Context<'_>, shown: &mut Shown) {
        let alarms = shown.shortcuts.alarms().len();
        let counted = |text: &str, n: usize| match n {
            0 => text.to_owned(),
            n => format!("{text} {}", format::count(n)),
        };
        let tabs = [
            (Tab::Results, "Results".to_owned()),
            (Tab::Images, "Images".to_owned()),
            (Tab::Shortcuts, counted("Shortcuts", alarms)),
            (Tab::Runs, counted("Runs", cx.project.runs().len())),
        ];
        segmented(ui, "Shown", &tabs, &mut self.tab);
        if shown.cases.models.len() < 2 {
            return;
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let width = ((ui.available_width() - 56.0) / 2.0).clamp(72.0, 128.0);
            let weak = Tokens::of(ui).text_weak;
            let [mut first, mut second] = shown.pair;
            model_ui(ui, "First model", width, &shown.cases, &mut first);
            ui.label(
                RichText::new("against")
                    .text_style(tokens::caption())
                    .color(weak),
            );
            model_ui(ui, "Second model", width, &shown.cases, &mut second);
            // Never a model against itself: the other one gives way.
            if first == second {
                if first == shown.pair[0] {
                    first = shown.pair[1];
                } else {
                    second = shown.pair[0];
                }
            }
            shown.pair = [first, second];
        });
    }

    fn results_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>, from: From<'_>, shown: &mut Shown) {
        let alarms: Vec<String> = shown
            .shortcuts
            .alarms()
            .iter()
            .map(|(seen, finding)| shortcuts::in_words(&shown.cases, seen, finding))
            .collect();
        let failed = shown.measured.has_failed();
        let told = Told {
            run: from.run,
            cases: &shown.cases,
            pair: shown.pair,
            measured: shown.measured.get(),
            alarms: &alarms,
        };
        let mut clicked = None;
        let mut follow = false;
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
                    follow = results::sentence_ui(ui, &told);
                });
                padded(24, 0, 4).show(ui, |ui| {
                    let measures = Measure::ALL.map(|it| (it, it.name().to_owned()));
                    segmented(ui, "Measure", &measures, &mut self.measure);
                });
                let table = padded(16, 0, 16).show(ui, |ui| {
                    if failed {
                        ui.label("The figures could not be worked out. Choose the run again.");
                    }
                    results::table_ui(ui, &told, self.measure);
                });
                let in_view = table.response.rect.intersect(ui.clip_rect());
                story::mark(ui.ctx(), Place::Results, in_view);
                let Some(measured) = told.measured else {
                    return;
                };
                // In a tall window the matrices stand at the foot.
                let height = 1.0 + 24.0 + confusion::height(ui.available_width() - 48.0, measured);
                ui.add_space((ui.available_height() - height).max(0.0));
                divider(ui);
                padded(24, 12, 12).show(ui, |ui| {
                    let selected = shown.strip.cell;
                    clicked = confusion::matrices_ui(ui, told.cases, measured, selected);
                });
            });
        if let Some(cell) = clicked {
            shown.fill_strip(cell);
        }
        if follow {
            self.tab = Tab::Shortcuts;
        }
    }

    /// The room without results: why there are none, the way to some, and the runs that there are.
    fn nothing_yet_ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        if !cx.project.runs().is_empty() || !cx.project.trash().is_empty() {
            let width = figure_width(ui.available_width());
            let room = ui.available_width() - width;
            Panel::right("runs beside nothing")
                .exact_size(room)
                .resizable(false)
                .frame(Frame::new().fill(Tokens::of(ui).panel))
                .show(ui, |ui| {
                    toolbar(ui, "results toolbar", |ui| {
                        ui.label(
                            RichText::new("Runs")
                                .text_style(tokens::section())
                                .color(Tokens::of(ui).text_strong),
                        );
                    });
                    self.runs.ui(ui, cx);
                });
        }
        nothing_yet_ui(ui, cx);
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

/// What the figure begins with, where it is what needs a person most.
fn first_ui(ui: &mut Ui, shown: &Shown) {
    if shown.order != Order::WrongReason {
        return;
    }
    let cases = &shown.cases;
    let care = cases.care();
    let mut rows = shown.rows.iter();
    // They are the first of the rows.
    let n = rows
        .position(|row| !cases.all[*row].is_for_the_wrong_reason(care))
        .unwrap_or(shown.rows.len());
    let which = match n {
        0 => return,
        1 => "the one".to_owned(),
        n => format!("the {}", format::count(n)),
    };
    let text = format!(
        "First {which} that {} gets right for the wrong reason.",
        cases.called(care)
    );
    results::caution_ui(ui, &text);
    ui.add_space(4.0);
}

fn foot_ui(ui: &mut Ui, cx: &mut Context<'_>, shown: &Shown) {
    ui.horizontal_centered(|ui| {
        let t = Tokens::of(ui);
        let weak = |text: &str, font| RichText::new(text).font(font).color(t.text_weak);
        // The smallest window has no room for these words.
        if ui.available_width() > 520.0 {
            ui.label(weak("model attention", tokens::medium(12.0)));
        }
        overlay_ui(ui, cx);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let n = format::plural(shown.rows.len(), "image", "images");
            let place = shown.place_of_picked().map_or(0, |place| place + 1);
            let text = match shown.view {
                View::Figure if ui.available_width() < 290.0 => {
                    "Number: share in the box.".to_owned()
                }
                View::Figure => format!("{n}. Number: share of attention in the box."),
                View::Image => format!("image {} of {n}", format::count(place)),
            };
            let text = weak(&text, FontId::proportional(12.0));
            ui.label(text).on_hover_text(
                "Test images only: the models were tested on these, and learned from the others.",
            );
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
