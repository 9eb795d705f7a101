//! Train, validation and test: stratified by class, a group always on one side.

use serde::{Deserialize, Serialize};

/// How a project's images are split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SplitSpec {
    pub seed: u64,
    /// Share of all images, 0..1.
    pub test: f64,
    /// Share of the images that are not test images, 0..1.
    pub validation: f64,
}

impl Default for SplitSpec {
    fn default() -> Self {
        Self {
            seed: 0,
            test: 0.2,
            validation: 0.1,
        }
    }
}
