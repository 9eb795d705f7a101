//! The room Train: the film and the plots, and beside them what a run is told and what it tells.

mod model;
mod ready;
mod rows;
mod run;
mod strategy;

use care_learn::LiveParams;
use care_learn::task::Problem;
use egui::{Frame, Margin, Panel, ScrollArea, Ui};

use super::film::{self, FilmView, Mark};
use super::lens::{LensView, lens_card_ui};
use super::plots::{self, PlotsView};
use super::story::{self, Place};
use super::tokens::{Tokens, size};
use super::widgets::{WordButton, checkbox, problem_ui, slider_row};
use super::{Context, icons};
use crate::command::{Action, Command};
use crate::training::Phase;
use model::{fixed_model, model};
use ready::{Ready, checklist};
use rows::{caption, remark, section, title};
use run::{changes, marks, outcome, progress, run_title};
use strategy::{strategy, summary};

const PLOT_MAX: f32 = 196.0;
const PLOT_MIN: f32 = 140.0;
/// A line of the side panel.
const LINE: f32 = 20.0;

#[derive(Default)]
pub struct TrainRoom {
    film: FilmView,
    plots: PlotsView,
    /// The sliders under the hand. Letting go makes one change of it, as with a box.
    dragged: Option<LiveParams>,
    ready: Option<Ready>,
    lens: LensView,
}

impl TrainRoom {
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let project = cx.project;
        // While a run trains nothing of this is shown, and every box drawn would have it counted anew.
        if !cx.is_training || self.ready.is_none() {
            self.ready = Some(Ready::renewed(self.ready.take(), cx));
        }
        let Some(ready) = &self.ready else { return };
        let can_train = !cx.is_training && !ready.problems.iter().any(Problem::blocks);
        let watch = match cx.run {
            Some(run) => run.shown_watch(project, cx.watch, cx.is_training),
            None => ready.watch.clone(),
        };
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
                // Sections say themselves how far apart their lines are.
                ui.spacing_mut().item_spacing.y = 0.0;
                ui.spacing_mut().interact_size.y = LINE;
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
        if self.film.is_choosing() {
            self.film.choose_ui(ui, cx, bottom, &watch);
        } else {
            let at = self.film.epoch();
            self.plots.ui(ui, cx, bottom, &marks, at);
        }
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
        section(ui, |ui| self.loss_lens(ui, cx));
        // Not before the lens has followed: a command takes effect at the end of the frame.
        if !ui.ctx().egui_is_using_pointer()
            && let Some(live) = self.dragged.take()
        {
            cx.commands.send(Command::SetLive(live));
        }
        section(ui, |ui| {
            if let (Some(run), true) = (cx.run, cx.is_training) {
                fixed_model(ui, &run.config);
            } else {
                model(ui, cx);
            }
        });
        section(ui, |ui| match cx.run {
            Some(run) if cx.is_training => {
                title(ui, "Strategy", |_| {});
                summary(ui, &run.config);
            }
            _ => strategy(ui, cx),
        });
        if let Some(run) = cx.run {
            section(ui, |ui| changes(ui, run, marks));
        }
    }

    /// Of the image that was selected last, in the film or elsewhere.
    fn loss_lens(&mut self, ui: &mut Ui, cx: &mut Context<'_>) {
        let project = cx.project;
        let image = cx.selected.and_then(|id| project.image(id));
        let name = image.map_or("", |image| image.name());
        title(ui, "Loss lens", |ui| {
            remark(ui, name, None, Tokens::of(ui).text_weak);
        });
        match image {
            Some(image) => lens_card_ui(&mut self.lens, ui, cx, image, self.dragged),
            None => caption(ui, "Click an image of the film to see its loss."),
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

/// Train; or, while a run trains, Pause and Stop beside it.
fn actions(ui: &mut Ui, cx: &mut Context<'_>, can_train: bool) {
    let ctx = ui.ctx().clone();
    let tooltip = |action: Action| action.tooltip(&ctx);
    let note = if cx.is_training {
        let phase = cx.run.map(|run| &run.phase);
        let is_held = phase == Some(&Phase::Held);
        let is_paused = phase == Some(&Phase::Paused) || is_held;
        let goes_on = is_paused || matches!(phase, Some(Phase::Loading(..) | Phase::Training));
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
                let is_test = is_held && action == Action::Resume;
                let text = if is_test { "Test" } else { action.spec().text };
                WordButton::new(text)
                    .icon_fill(glyph)
                    .width(width)
                    .height(size::BUTTON_MAIN)
                    .enabled(enabled)
            };
            button(Action::Train, icons::PLAY, false)
                .ui(ui)
                .on_hover_text("A run is being trained");
            let is_tested = matches!(phase, Some(Phase::Evaluating { .. }));
            for (action, glyph, enabled) in [
                (pause, glyph, goes_on),
                (Action::Stop, icons::STOP, goes_on || is_tested),
            ] {
                let response = button(action, glyph, enabled).ui(ui);
                if response.on_hover_text(tooltip(action)).clicked() {
                    cx.commands.act(action);
                }
            }
        });
        ui.add_space(8.0);
        let more = WordButton::new(Action::MoreEpochs.spec().text)
            .icon(icons::PLUS)
            .width(ui.available_width())
            .enabled(goes_on)
            .ui(ui);
        if more.on_hover_text(tooltip(Action::MoreEpochs)).clicked() {
            cx.commands.act(Action::MoreEpochs);
        }
        ui.add_space(4.0);
        let mut holds = cx.run.is_some_and(|run| run.holds);
        ui.add_enabled_ui(goes_on && !is_held, |ui| {
            let response = checkbox(ui, &mut holds, "Wait before the test");
            let hint = "After the last epoch: time to add more, before the test part is scored";
            if response.on_hover_text(hint).changed() {
                cx.commands.send(Command::HoldBeforeTest(holds));
            }
        });
        if is_held {
            "All epochs are trained. Add more, or test."
        } else {
            "Stop keeps the last checkpoint."
        }
    } else {
        let spec = Action::Train.spec();
        let mut button = WordButton::new(spec.text)
            .primary()
            .icon_fill(icons::PLAY)
            .width(ui.available_width())
            .height(size::BUTTON_MAIN)
            .enabled(can_train);
        if let Some(shortcut) = Action::Train.shortcut(&ctx) {
            button = button.key(ctx.format_shortcut(&shortcut));
        }
        let response = button.ui(ui);
        story::mark(ui.ctx(), Place::TrainButton, response.rect);
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
