//! Which run is shown, which of its models against which, which images and in what order.

use care_data::{Project, Run, RunState};
use egui::{ComboBox, IntoAtoms, RichText, Ui};

use super::View;
use super::cases::{Case, Cases, Order, Which};
use super::shown::Shown;
use crate::command::Command;
use crate::format;
use crate::ui::Context;
use crate::ui::tokens::Tokens;
use crate::ui::widgets::combo_caret;

/// The runs of the project, the newest first.
pub(super) fn choice_of_run_ui(ui: &mut Ui, cx: &mut Context<'_>) {
    let shown = cx.run.map(|run| run.id);
    let weak = Tokens::of(ui).text_weak;
    let words = |run: &Run| {
        let how = match run.state {
            RunState::Finished if !run.name.is_empty() => run.name.clone(),
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

/// The choice of one of the models.
pub(super) fn model_ui(ui: &mut Ui, name: &str, width: f32, cases: &Cases, chosen: &mut usize) {
    let text = cases.models.get(*chosen).map_or("", |it| it.name.as_str());
    combo(ui, name, width, text, |ui| {
        for (index, model) in cases.models.iter().enumerate() {
            ui.selectable_value(chosen, index, &model.name);
        }
    });
}

/// Which held-out images the figure shows, and in which order.
pub(super) fn choice_of_images_ui(ui: &mut Ui, project: &Project, shown: &mut Shown) {
    let before = (shown.which, shown.order);
    let cases = &shown.cases;
    let mut chosen = shown.which;
    let room = ui.available_width();
    combo(
        ui,
        "Class",
        (room - 8.0) / 2.0,
        shown.which.text(cases),
        |ui| {
            let classes = (0..cases.classes.len()).map(Which::Class);
            let others = [Which::WrongReason, Which::Disagree, Which::All];
            for which in classes.chain(others) {
                let is_in = |case: &&Case| cases.is_in(case, which, shown.pair);
                let n = cases.all.iter().filter(is_in).count();
                let weak = RichText::new(format::count(n)).color(Tokens::of(ui).text_weak);
                let item = egui::Button::selectable(chosen == which, (which.text(cases), weak));
                if ui.add_enabled(n > 0, item).clicked() {
                    chosen = which;
                }
            }
        },
    );
    shown.which = chosen;
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
    if before != (shown.which, shown.order) {
        shown.list(project);
        if shown.view == View::Image && shown.place_of_picked().is_none() {
            let first = shown.rows.first();
            shown.picked = first.map(|row| shown.cases.all[*row].image);
        }
    }
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
