//! The room annotate.

use super::Context;

#[derive(Default)]
pub struct AnnotateRoom {}

impl AnnotateRoom {
    pub fn ui(&mut self, ui: &mut egui::Ui, cx: &mut Context<'_>) {
        ui.label(cx.project.name());
    }
}
