//! How far a long job has come, over whatever room is shown; the room stays usable.

use egui::{Align2, Area, Frame, Id, RichText, Stroke, vec2};

use super::tokens::{self, Tokens};
use super::widgets::{WordButton, progress_bar};
use crate::command::{Command, Commands};
use crate::format;
use crate::jobs::Job;

pub fn job_card(ctx: &egui::Context, job: &Job, commands: &mut Commands) {
    Area::new(Id::unique("job"))
        .anchor(Align2::CENTER_BOTTOM, vec2(0.0, -48.0))
        .show(ctx, |ui| {
            let t = Tokens::of(ui);
            Frame::new()
                .fill(t.raised)
                .stroke(Stroke::new(1.0, t.stroke))
                .corner_radius(tokens::radius::CARD)
                .shadow(ui.visuals().popup_shadow)
                .inner_margin(egui::Margin::symmetric(16, 12))
                .show(ui, |ui| {
                    ui.set_width(400.0);
                    let (done, total) = job.progress();
                    ui.horizontal(|ui| {
                        ui.label(
                            RichText::new(job.kind.title())
                                .font(tokens::medium(13.0))
                                .color(t.text_strong),
                        );
                        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                            if job.kind.can_be_cancelled()
                                && WordButton::new("Cancel")
                                    .height(tokens::size::BUTTON_TOOLBAR)
                                    .ui(ui)
                                    .clicked()
                            {
                                commands.send(Command::CancelJob);
                            }
                            if total > 0 {
                                let text =
                                    format!("{} of {}", format::count(done), format::count(total));
                                ui.label(
                                    RichText::new(text)
                                        .text_style(tokens::caption())
                                        .color(t.text_weak),
                                );
                            }
                        });
                    });
                    progress_bar(ui, "Progress", done as f32 / total.max(1) as f32);
                });
        });
}
