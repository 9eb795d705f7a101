//! Folders and projects that are typed or dropped: a file dialog may be missing on the machine.

use std::path::PathBuf;

use egui::{Key, TextEdit, Ui, vec2};

use super::tokens::size;
use super::widgets::{WordButton, name_field};

/// A field for a path with its own small button, `width` wide together. The path, once it is confirmed.
pub fn path_field(ui: &mut Ui, width: f32, text: &mut String) -> Option<PathBuf> {
    const BUTTON: f32 = 64.0;
    ui.horizontal(|ui| {
        let field = ui.add_sized(
            vec2(width - BUTTON - 8.0, size::BUTTON_TOOLBAR),
            TextEdit::singleline(text)
                .hint_text("or type a path")
                .align(egui::Align2::LEFT_CENTER),
        );
        name_field(&field, "Path of a folder or project");
        let field = field
            .on_hover_text("A folder of images, a table of labels (.csv) or a project (.care)");
        let typed = text.trim();
        let button = WordButton::new("Read")
            .height(size::BUTTON_TOOLBAR)
            .width(BUTTON)
            .enabled(!typed.is_empty())
            .ui(ui);
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        (!typed.is_empty() && (entered || button.clicked())).then(|| from_home(typed))
    })
    .inner
}

/// The path that was typed; `~` stands for the user's own folder.
fn from_home(typed: &str) -> PathBuf {
    match (typed.strip_prefix("~/"), dirs::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(typed),
    }
}

/// What letting go would do, while something is dragged over the window.
#[must_use]
pub fn drop_text(ctx: &egui::Context) -> Option<String> {
    ctx.input(|input| {
        let hovered = input.raw.hovered_files.first()?;
        // Some desktops tell what is dragged only once it has been dropped.
        let Some(name) = hovered.path.as_deref().and_then(|path| path.file_name()) else {
            return Some("Drop to read it".to_owned());
        };
        let name = name.to_string_lossy();
        Some(match name.strip_suffix(".care") {
            Some(project) => format!("Drop to open {project}"),
            None => format!("Drop to read {name}"),
        })
    })
}
