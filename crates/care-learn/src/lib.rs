//! Models, Grad-CAM, the attention loss, training and measures.
//!
//! Knows no window. No tensor leaves this crate: what is reported is plain numbers ([`event`]).

pub mod attention_loss;
pub mod attention_on_demand;
pub mod augment;
pub mod backbone;
pub mod benchmark;
pub mod classification_loss;
pub mod config;
pub mod dataset;
pub mod device;
pub mod evaluation;
pub mod event;
pub mod film;
pub mod grad_cam;
pub mod health;
pub mod lens;
mod libtorch;
pub mod metrics;
pub mod model_export;
pub mod optimizer;
mod panics;
pub mod run_folder;
pub mod sampler;
pub mod task;
pub mod trainer;
pub mod weights;
pub mod worker;

pub use config::{LiveParams, RunConfig};
pub use event::{AttentionMap, FilmFrame, ModelRole, Outcome, TrainerCommand, TrainerEvent};
pub use task::Task;
