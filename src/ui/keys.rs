//! The sheet of keys (F1), made from the one table of actions.

use egui::{Grid, RichText};

use super::tokens;
use super::widgets::{WordButton, sheet};
use crate::command::{Action, Commands};

/// What a room's own parts listen to.
const IN_PLACE: [(&str, &str); 6] = [
    ("1 to 9", "Set the class of the image in hand"),
    ("Backspace", "As Delete"),
    (
        "Arrows",
        "Move a box that was clicked by a pixel, with Shift by ten",
    ),
    (
        "Wheel on an edge",
        "Move the edge of the selected box by a pixel, with Shift by ten",
    ),
    (
        "Arrows",
        "Walk through the gallery; Enter opens the image in Annotate",
    ),
    ("Left, Right", "On the film's slider: one frame back or on"),
];

pub fn keys_sheet(ctx: &egui::Context, commands: &mut Commands) {
    let response = sheet(ctx, "keys").show(ctx, |ui| {
        let t = tokens::Tokens::of(ui);
        // Lines of text, not rows of buttons: all of them are seen at once.
        ui.spacing_mut().interact_size.y = 18.0;
        ui.label(
            RichText::new("Keys")
                .text_style(egui::TextStyle::Heading)
                .color(t.text_strong),
        );
        let of_actions = Action::ALL.into_iter().filter_map(|action| {
            let spec = action.spec();
            Some((ctx.format_shortcut(&spec.shortcut?), spec.tooltip))
        });
        let in_place = IN_PLACE.map(|(key, what)| (key.to_owned(), what));
        let rows: Vec<(String, &str)> = of_actions.chain(in_place).collect();
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 32.0;
            for (n, half) in rows.chunks(rows.len().div_ceil(2)).enumerate() {
                Grid::new(("keys", n))
                    .num_columns(2)
                    .min_col_width(110.0)
                    .spacing([16.0, 3.0])
                    .show(ui, |ui| {
                        for (key, what) in half {
                            ui.label(RichText::new(key).color(t.text_strong));
                            ui.label(*what);
                            ui.end_row();
                        }
                    });
            }
        });
        ui.add_space(12.0);
        WordButton::new("Close").ui(ui).clicked()
    });
    if response.inner || response.should_close() {
        commands.act(Action::ShowKeys);
    }
}
