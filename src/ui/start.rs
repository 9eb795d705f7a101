//! The start page.

use crate::command::Commands;
use crate::state::State;
use crate::textures::Textures;

#[derive(Default)]
pub struct StartRoom {}

impl StartRoom {
    pub fn ui(
        &mut self,
        ui: &mut egui::Ui,
        state: &State,
        _textures: &mut Textures,
        _commands: &mut Commands,
    ) {
        ui.label(&state.device);
    }
}
