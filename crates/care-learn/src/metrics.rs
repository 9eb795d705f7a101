//! Every number on screen that a paper would print comes from here.

use serde::{Deserialize, Serialize};

/// A share with its n and 95 % bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub value: f64,
    pub n: u32,
    /// 2.5 % and 97.5 % percentiles over the bootstrap's resamples of the images.
    pub low: f64,
    pub high: f64,
}

/// One model on the test part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Recall of each class, in class order; none for a class without test images.
    pub recalls: Vec<Option<Estimate>>,
    /// Mean of the recalls.
    pub mca: Option<Estimate>,
    /// Rows: label, columns: prediction.
    pub confusion: Vec<Vec<u32>>,
    /// Mean energy in the box over the rare test images with boxes.
    pub energy: Option<Estimate>,
    /// Share of those whose map has its maximum in a box.
    pub pointing_hit: Option<Estimate>,
}
