//! The room train.

use super::Context;

#[derive(Default)]
pub struct TrainRoom {}

impl TrainRoom {
    pub fn ui(&mut self, ui: &mut egui::Ui, cx: &mut Context<'_>) {
        ui.label(cx.project.name());
    }
}
