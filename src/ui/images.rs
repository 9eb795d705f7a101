//! The room images.

use super::Context;

#[derive(Default)]
pub struct ImagesRoom {}

impl ImagesRoom {
    pub fn ui(&mut self, ui: &mut egui::Ui, cx: &mut Context<'_>) {
        ui.label(cx.project.name());
    }
}
