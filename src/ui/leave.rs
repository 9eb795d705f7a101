//! The question before something would end a run that is training.

use care_data::RunId;
use egui::{RichText, TextStyle};

use super::tokens::{Tokens, size};
use super::widgets::{WordButton, sheet};
use crate::command::{Command, Commands};

pub fn leave_sheet(ctx: &egui::Context, run: RunId, commands: &mut Commands) {
    let mut answer = None;
    let response = sheet(ctx, "leave").show(ctx, |ui| {
        let t = Tokens::of(ui);
        ui.set_width(420.0);
        ui.label(
            RichText::new(format!("Run {run} is training"))
                .text_style(TextStyle::Heading)
                .color(t.text_strong),
        );
        ui.add_space(8.0);
        ui.label("This stops it before its models are tested. Its checkpoint is kept.");
        ui.add_space(20.0);
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 8.0;
            let button = |text| WordButton::new(text).height(size::BUTTON_MAIN);
            if button("Keep training").primary().ui(ui).clicked() {
                answer = Some(false);
            }
            if button("Stop it").ui(ui).clicked() {
                answer = Some(true);
            }
        });
    });
    if response.should_close() {
        answer = Some(false);
    }
    if let Some(stop) = answer {
        commands.send(Command::Leave(stop));
    }
}
