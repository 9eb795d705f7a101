//! The one training function. The window's worker, the command line and the tests call it.

use crate::event::{Outcome, TrainerCommand, TrainerEvent};
use crate::task::Task;

/// Whoever runs the trainer.
pub trait Host {
    fn report(&mut self, event: TrainerEvent);
    /// The commands that arrived since the last call, in order. Never blocks.
    fn commands(&mut self) -> Vec<TrainerCommand>;
    /// Looked at before every step and between decoded images.
    fn stop_requested(&self) -> bool;
}
