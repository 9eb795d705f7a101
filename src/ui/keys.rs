//! The sheet of keys (F1), made from the one table of actions. A click on a key asks for another.

use egui::{Event, Grid, Key, KeyboardShortcut, RichText, Ui};

use super::tokens::{self, Tokens};
use super::widgets::{WordButton, sheet};
use crate::command::{Action, Command, Commands, DIGITS};
use crate::keymap::Keymap;

/// What a room's own parts listen to.
const IN_PLACE: [(&str, &str); 8] = [
    ("1 to 9", "Set the class of the image in hand"),
    ("Backspace", "As Delete"),
    (
        "Arrows",
        "Move a box that was clicked by a pixel, with Shift by ten",
    ),
    (
        "Ctrl and arrows",
        "Resize a box that was clicked by a pixel, with Shift by ten",
    ),
    (
        "Wheel on an edge",
        "Move that edge of the box by a pixel, with Shift by ten",
    ),
    (
        "Arrows",
        "Walk through the gallery; Enter opens the image in Annotate",
    ),
    ("Left, Right", "On the film's slider: one frame back or on"),
    (
        "1, 2, 3, 4",
        "Readers: the first's, the second's, the mean, the picked",
    ),
];

#[derive(Default)]
pub struct KeysSheet {
    /// The next key that is pressed will be this action's.
    asked: Option<Action>,
    /// Why the last one did not become it.
    refused: Option<String>,
}

impl KeysSheet {
    /// Whether a key press is an answer, and no command.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    pub fn ui(&mut self, ctx: &egui::Context, keymap: &Keymap, commands: &mut Commands) {
        self.take_answer(ctx, keymap, commands);
        let response = sheet(ctx, "keys").show(ctx, |ui| {
            let t = Tokens::of(ui);
            // Lines of text, not rows of buttons: all of them are seen at once.
            ui.spacing_mut().interact_size.y = 18.0;
            ui.label(
                RichText::new("Keys")
                    .text_style(egui::TextStyle::Heading)
                    .color(t.text_strong),
            );
            let actions = Action::ALL.map(Some).into_iter();
            let actions =
                actions.filter(|action| action.is_some_and(|a| a.spec().shortcut.is_some()));
            let rows: Vec<(Option<Action>, &str, &str)> = actions
                .map(|action| {
                    (
                        action,
                        "",
                        action.map_or("", |action| action.spec().tooltip),
                    )
                })
                .chain(IN_PLACE.map(|(key, what)| (None, key, what)))
                .collect();
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = 32.0;
                for (n, half) in rows.chunks(rows.len().div_ceil(2)).enumerate() {
                    Grid::new(("keys", n))
                        .num_columns(2)
                        .min_col_width(110.0)
                        .spacing([16.0, 3.0])
                        .show(ui, |ui| {
                            for (action, key, what) in half {
                                match action {
                                    Some(action) => self.key_ui(ui, *action),
                                    None => {
                                        ui.label(RichText::new(*key).color(t.text_strong));
                                    }
                                }
                                ui.label(*what);
                                ui.end_row();
                            }
                        });
                }
            });
            ui.add_space(12.0);
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 12.0;
                let close = WordButton::new("Close").ui(ui).clicked();
                if !keymap.is_usual() && WordButton::new("The usual keys").ui(ui).clicked() {
                    commands.send(Command::SetKeys(Keymap::default()));
                }
                let (words, ink) = match (&self.refused, self.asked) {
                    (Some(why), _) => (why.clone(), t.danger),
                    (None, Some(action)) => {
                        let name = action.spec().text;
                        (
                            format!("Press the key for {name}, or Escape."),
                            t.text_strong,
                        )
                    }
                    (None, None) => ("Click a key to change it.".to_owned(), t.text_weak),
                };
                ui.label(
                    RichText::new(words)
                        .text_style(tokens::caption())
                        .color(ink),
                );
                close
            })
            .inner
        });
        if response.inner || response.should_close() {
            *self = Self::default();
            commands.act(Action::ShowKeys);
        }
    }

    fn key_ui(&mut self, ui: &mut Ui, action: Action) {
        let t = Tokens::of(ui);
        let (words, ink) = if self.asked == Some(action) {
            ("\u{2026}".to_owned(), t.accent)
        } else {
            let key = action.shortcut(ui.ctx());
            let words = key.map_or_else(String::new, |key| ui.ctx().format_shortcut(&key));
            (words, t.text_strong)
        };
        let label = egui::Label::new(RichText::new(words).color(ink));
        let response = ui.add(label.selectable(false).sense(egui::Sense::click()));
        response.widget_info(|| {
            let name = format!("Key of {}", action.spec().text);
            egui::WidgetInfo::labeled(egui::Role::Button, true, name)
        });
        if response
            .on_hover_cursor(egui::CursorIcon::PointingHand)
            .clicked()
        {
            (self.asked, self.refused) = (Some(action), None);
        }
    }

    /// The key that was asked for, where one was pressed.
    fn take_answer(&mut self, ctx: &egui::Context, keymap: &Keymap, commands: &mut Commands) {
        let Some(action) = self.asked else { return };
        let pressed = ctx.input_mut(|i| {
            let is_press = |event: &Event| matches!(event, Event::Key { pressed: true, .. });
            let at = i.events.iter().position(is_press)?;
            let Event::Key { key, modifiers, .. } = i.events.remove(at) else {
                return None;
            };
            // As actions have it: Ctrl, or Command on a Mac.
            let modifiers = egui::Modifiers {
                ctrl: false,
                mac_cmd: false,
                ..modifiers
            };
            Some(KeyboardShortcut::new(modifiers, key))
        });
        let Some(key) = pressed else { return };
        self.asked = None;
        if key.logical_key == Key::Escape {
            return;
        }
        if key.modifiers.is_none() && DIGITS.contains(&key.logical_key) {
            self.refused = Some("The digits set the class.".to_owned());
            return;
        }
        let mut changed = keymap.clone();
        match changed.set(action, key) {
            Ok(()) => commands.send(Command::SetKeys(changed)),
            Err(other) => {
                let key = ctx.format_shortcut(&key);
                self.refused = Some(format!("{key} is the key of {}.", other.spec().text));
            }
        }
    }
}
