//! The question before something would be lost: the test of a run that is training, or what was done in the story's project.

use egui::{RichText, TextStyle};

use super::tokens::{Tokens, size};
use super::widgets::{WordButton, sheet};
use crate::command::{Command, Commands};
use crate::state::Loss;

pub fn leave_sheet(ctx: &egui::Context, loss: Loss, commands: &mut Commands) {
    let (heading, text, keep, lose) = match loss {
        Loss::Run(run) => (
            format!("Run {run} is training"),
            "This stops it before its models are tested. Its checkpoint is kept.",
            "Keep training",
            "Stop it",
        ),
        Loss::Work => (
            "Begin anew?".to_owned(),
            "The boxes you drew in this copy go with it, and whatever else you changed.",
            "Keep this copy",
            "Begin anew",
        ),
    };
    let mut answer = None;
    let response = sheet(ctx, "leave").show(ctx, |ui| {
        let t = Tokens::of(ui);
        ui.set_width(420.0);
        ui.label(
            RichText::new(heading)
                .text_style(TextStyle::Heading)
                .color(t.text_strong),
        );
        ui.add_space(8.0);
        ui.label(text);
        ui.add_space(20.0);
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 8.0;
            let button = |text| WordButton::new(text).height(size::BUTTON_MAIN);
            if button(keep).primary().ui(ui).clicked() {
                answer = Some(false);
            }
            if button(lose).ui(ui).clicked() {
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
