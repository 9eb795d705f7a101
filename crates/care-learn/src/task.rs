//! What a run is to do: a snapshot of the project, so that the trainer never looks at the project itself.

use std::path::PathBuf;

use care_data::{BoundingBox, ClassId, ImageId, ImageSize, Part, Project};

use crate::config::RunConfig;

/// One image to train or test on.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub image: ImageId,
    pub path: PathBuf,
    /// As shown; the boxes are in its pixels.
    pub size: ImageSize,
    /// Index into the task's classes.
    pub label: usize,
    pub part: Part,
    pub boxes: Vec<BoundingBox>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskClass {
    pub id: ClassId,
    pub name: String,
    pub rare: bool,
}

#[derive(Debug, Clone)]
pub struct Task {
    pub config: RunConfig,
    /// In logit order.
    pub classes: Vec<TaskClass>,
    pub samples: Vec<Sample>,
    /// Held-out images shown in the film, in order.
    pub watch: Vec<ImageId>,
    /// The run's own folder; everything written goes there.
    pub folder: PathBuf,
}
