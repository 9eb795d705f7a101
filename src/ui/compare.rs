//! The room compare.

use super::Context;

#[derive(Default)]
pub struct CompareRoom {}

impl CompareRoom {
    pub fn ui(&mut self, ui: &mut egui::Ui, cx: &mut Context<'_>) {
        ui.label(cx.project.name());
    }
}
