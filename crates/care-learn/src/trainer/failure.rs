//! Why a run ended early, in words.

use std::path::PathBuf;

use care_data::NotRead;

use crate::backbone::WeightsError;
use crate::device::DeviceError;
use crate::event::ModelRole;
use crate::panics::{Panic, torch_reason};
use crate::run_folder::{RunFolder, RunFolderError};
use crate::task::{Problem, Task};

#[derive(Debug, thiserror::Error)]
pub(super) enum TrainError {
    #[error(transparent)]
    Problem(#[from] Problem),
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("{}", torch_failed(&torch_reason(&.0.to_string())))]
    Torch(#[from] tch::TchError),
    #[error("the system gives no more threads: {0}. Close other programs, then train again.")]
    Threads(std::io::Error),
    #[error(
        "none of the training images could be read; the first: {}: {} {}", .0.path.display(), .0.why, .0.advice
    )]
    NothingReadable(NotRead),
    #[error(
        "the loss of {model}, or its gradient, was not a number in the last steps, up to step {step}; they were left out. Lower the learning rate and train again. {checkpoint}"
    )]
    NotANumber {
        model: &'static str,
        step: u32,
        checkpoint: String,
    },
    #[error(
        "the run cannot go on: the project's images, their classes or parts, or the window for grey images, are no longer those that it began with. Train a new run."
    )]
    OtherData,
    #[error(
        "the run cannot go on: {} is gone, with which its stage 2 begins. Train a new run.", .0.display()
    )]
    Stage1Gone(PathBuf),
    #[error("{}", panic_reason(.0))]
    Panicked(Panic),
}

pub(super) fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn panic_reason(panic: &Panic) -> String {
    match panic {
        Panic::Torch(reason) => torch_failed(reason),
        Panic::Fault(what) => format!("training failed by a fault of this program: {what}."),
    }
}

pub(super) fn panic_message(panic: &Panic, task: &Task) -> String {
    let mut text = panic_reason(panic);
    let saved = |folder: RunFolder| {
        ModelRole::ALL
            .iter()
            .any(|role| folder.weights(*role).is_file())
    };
    if RunFolder::open(&task.folder).is_ok_and(saved) {
        text += " The weights of the last checkpoint are in ";
        text += &task.folder.display().to_string();
        text.push('.');
    }
    text
}

/// As libtorch says it of a GPU, and of the CPU.
pub(super) fn is_out_of_memory(reason: &str) -> bool {
    const SAID: [&str; 4] = [
        "out of memory",
        "can't allocate memory",
        "STATUS_ALLOC_FAILED",
        "bad_alloc",
    ];
    SAID.iter().any(|said| reason.contains(said))
}

fn torch_failed(reason: &str) -> String {
    let advice = if reason.to_lowercase().contains("memory") {
        "Close other programs or choose a smaller input or batch, then train again."
    } else {
        "Train again, with other settings if it happens once more."
    };
    format!("libtorch failed: {reason}. {advice}")
}
