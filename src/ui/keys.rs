//! The sheet of keys (F1), made from the one table of actions.

use egui::{Grid, Id, Modal, RichText};

use super::tokens;
use super::widgets::WordButton;
use crate::command::{Action, Commands};

pub fn keys_sheet(ctx: &egui::Context, commands: &mut Commands) {
    let response = Modal::new(Id::unique("keys")).show(ctx, |ui| {
        let t = tokens::Tokens::of(ui);
        ui.set_width(420.0);
        ui.label(
            RichText::new("Keys")
                .text_style(egui::TextStyle::Heading)
                .color(t.text_strong),
        );
        Grid::new("keys")
            .num_columns(2)
            .min_col_width(110.0)
            .spacing([16.0, 6.0])
            .show(ui, |ui| {
                for action in Action::ALL {
                    let spec = action.spec();
                    if let Some(shortcut) = spec.shortcut {
                        ui.label(
                            RichText::new(ctx.format_shortcut(&shortcut)).color(t.text_strong),
                        );
                        ui.label(spec.tooltip);
                        ui.end_row();
                    }
                }
            });
        ui.add_space(8.0);
        WordButton::new("Close").ui(ui).clicked()
    });
    if response.inner || response.should_close() {
        commands.act(Action::ShowKeys);
    }
}
