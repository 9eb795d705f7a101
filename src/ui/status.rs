//! The bar along the bottom: what was saved, what happened last, and what this program is not for.

use egui::{Panel, RichText, Ui};

use super::{bar_frame, icons, tokens};
use crate::state::State;
use tokens::Tokens;

pub fn status_bar(ui: &mut Ui, state: &State) {
    let t = Tokens::of(ui);
    Panel::bottom("status bar")
        .exact_size(tokens::size::STATUS_BAR)
        .resizable(false)
        .frame(bar_frame(ui))
        .show(ui, |ui| {
            ui.horizontal_centered(|ui| {
                let weak = |text: &str| {
                    RichText::new(text)
                        .text_style(tokens::caption())
                        .color(t.text_weak)
                };
                if state.project.is_some() {
                    let (icon, ink, text) = if state.edit_was_lost() {
                        (
                            icons::WARNING_CIRCLE,
                            t.danger,
                            "The last edit is not saved",
                        )
                    } else if state.is_of_the_story() {
                        (
                            icons::INFO,
                            t.text_weak,
                            "The demo's own copy: it goes with the window",
                        )
                    } else {
                        (icons::CHECK_CIRCLE, t.success, "Every edit is saved")
                    };
                    ui.label(RichText::new(icon).font(tokens::icon(14.0)).color(ink));
                    ui.label(weak(text));
                    ui.add_space(8.0);
                }
                ui.label(weak(&state.last_event));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    ui.label(weak("Research software. Not for diagnosis."));
                });
            });
        });
}
