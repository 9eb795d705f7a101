//! Every command by its words (Ctrl+P), from the one table of actions.

use egui::{Align, Align2, FontId, Key, Modifiers, RichText, Sense, TextEdit, Ui, vec2};

use super::tokens::{self, Tokens, radius, size};
use super::widgets::{name_field, sheet};
use crate::command::{Action, Commands};
use crate::state::State;

const WIDTH: f32 = 560.0;
const FIND: &str = "Find a command";
/// Rows that are seen at once.
const ROWS: f32 = 10.0;

/// What was typed, and which of the commands found is chosen.
#[derive(Default)]
pub struct Palette {
    text: String,
    chosen: usize,
}

impl Palette {
    pub fn ui(&mut self, ctx: &egui::Context, state: &State, commands: &mut Commands) {
        let mut found: Vec<Action> = Action::ALL
            .into_iter()
            .filter(|action| is_possible(*action, state) && fits(*action, &self.text))
            .collect();
        // Those called so come first.
        let typed = self.text.trim().to_lowercase();
        found.sort_by_key(|action| !action.spec().text.to_lowercase().starts_with(&typed));
        let mut run = None;
        let response = sheet(ctx, "palette").show(ctx, |ui| {
            ui.set_width(WIDTH);
            let (up, down, enter) = ui.input_mut(|i| {
                let mut pressed = |key| i.consume_key(Modifiers::NONE, key);
                (
                    pressed(Key::ArrowUp),
                    pressed(Key::ArrowDown),
                    pressed(Key::Enter),
                )
            });
            let edit = TextEdit::singleline(&mut self.text)
                .hint_text(FIND)
                .desired_width(f32::INFINITY);
            let edit = ui.add(edit);
            name_field(&edit, FIND);
            edit.request_focus();
            if edit.changed() {
                self.chosen = 0;
            }
            let last = found.len().saturating_sub(1);
            self.chosen = match (up, down) {
                (true, _) => self.chosen.saturating_sub(1),
                (_, true) => (self.chosen + 1).min(last),
                _ => self.chosen.min(last),
            };
            ui.add_space(8.0);
            if found.is_empty() {
                ui.label(
                    RichText::new("No command has these words.").color(Tokens::of(ui).text_weak),
                );
            }
            egui::ScrollArea::vertical()
                .max_height(ROWS * size::ROW)
                .show(ui, |ui| {
                    ui.spacing_mut().item_spacing.y = 0.0;
                    for (n, action) in found.iter().enumerate() {
                        let chosen = n == self.chosen;
                        let row = row_ui(ui, *action, chosen);
                        if chosen && (up || down) {
                            row.scroll_to_me(Some(Align::Center));
                        }
                        if row.clicked() || chosen && enter {
                            run = Some(*action);
                        }
                    }
                });
        });
        if run.is_some() || response.should_close() {
            *self = Self::default();
            commands.act(Action::FindCommand);
        }
        if let Some(action) = run {
            commands.act(action);
        }
    }
}

/// What can be asked for now. What lasts as long as a key is held cannot.
fn is_possible(action: Action, state: &State) -> bool {
    match action {
        Action::FindCommand | Action::HideBoxes | Action::CancelDraft => false,
        Action::ChooseFolder
        | Action::OpenProject
        | Action::StartDemo
        | Action::StartChestDemo
        | Action::PlayStory
        | Action::FullScreen
        | Action::RawGrid
        | Action::SwitchTheme
        | Action::ShowKeys => true,
        Action::Pause | Action::Resume | Action::Stop => state.is_training(),
        Action::Train => state.project.is_some() && !state.is_training(),
        _ => state.project.is_some(),
    }
}

/// Whether every word that was typed is in the action's words.
fn fits(action: Action, text: &str) -> bool {
    let spec = action.spec();
    let words = format!("{} {}", spec.text, spec.tooltip).to_lowercase();
    let mut typed = text.split_whitespace();
    typed.all(|word| words.contains(&word.to_lowercase()))
}

fn row_ui(ui: &mut Ui, action: Action, chosen: bool) -> egui::Response {
    let t = Tokens::of(ui);
    let spec = action.spec();
    let (rect, response) =
        ui.allocate_exact_size(vec2(ui.available_width(), size::ROW), Sense::click());
    response.widget_info(|| {
        egui::WidgetInfo::selected(egui::Role::ListBoxOption, true, chosen, spec.text)
    });
    let fill = match (chosen, response.hovered()) {
        (true, _) => t.accent_soft,
        (false, true) => t.hover,
        (false, false) => egui::Color32::TRANSPARENT,
    };
    let painter = ui.painter();
    painter.rect_filled(rect, f32::from(radius::CONTROL), fill);
    let inner = rect.shrink2(vec2(8.0, 0.0));
    let name = painter.text(
        inner.left_center(),
        Align2::LEFT_CENTER,
        spec.text,
        tokens::medium(13.0),
        t.text_strong,
    );
    let key = action.shortcut(ui.ctx());
    let key = key.map_or_else(String::new, |key| ui.ctx().format_shortcut(&key));
    let key = painter.text(
        inner.right_center(),
        Align2::RIGHT_CENTER,
        key,
        FontId::proportional(12.0),
        t.text,
    );
    let room = key.left() - name.right() - 24.0;
    let what = super::widgets::elided(
        painter,
        spec.tooltip,
        FontId::proportional(12.0),
        t.text_weak,
        room,
    );
    let at = egui::pos2(name.right() + 12.0, rect.center().y - what.size().y / 2.0);
    painter.galley(at, what, t.text_weak);
    response
}
