//! The room without results.

use care_data::RunState;
use egui::{Rect, RichText, Ui, UiBuilder};

use crate::command::Action;
use crate::format;
use crate::training::Phase;
use crate::ui::tokens::{self, Tokens, size};
use crate::ui::widgets::{WordButton, problem_ui};
use crate::ui::{Context, icons};

/// The room without results: why there are none, and the way to some.
pub(super) fn nothing_yet_ui(ui: &mut Ui, cx: &mut Context<'_>) {
    let t = Tokens::of(ui);
    let (title, text, button) = nothing_yet(cx);
    let room = ui.available_rect_before_wrap();
    let column = Rect::from_center_size(
        room.center() - egui::vec2(0.0, room.height() * 0.05),
        egui::vec2(480.0_f32.min(room.width() - 48.0), 220.0),
    );
    ui.scope_builder(UiBuilder::new().max_rect(column), |ui| {
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
            "Train again, or show another run.".to_owned(),
            "Train",
        ),
        Phase::Ended(_) => (
            format!("Run {id} was stopped before it had results"),
            "CARE and its control are trained in stage 2 and tested at the end. Train again, or show another run."
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
