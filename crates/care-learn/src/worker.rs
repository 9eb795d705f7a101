//! The background thread that owns libtorch while a run trains.
//!
//! ```ignore
//! pub struct Worker { .. }
//! impl Worker {
//!     /// Starts the thread. `wake` is called at most 30 times a second when events are waiting.
//!     pub fn start(task: Task, wake: impl Fn() + Send + 'static) -> Self;
//!     /// Events waiting; never blocks.
//!     pub fn events(&self) -> impl Iterator<Item = TrainerEvent>;
//!     pub fn send(&self, command: TrainerCommand);
//!     pub fn stop(&self);
//! }
//! // Drop: flag, drop the receiver, join.
//! ```
