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
    /// Recall over all test images of rare classes; none where there are none.
    pub rare_recall: Option<Estimate>,
    /// Mean of the recalls.
    pub mca: Option<Estimate>,
    /// Rows: label, columns: prediction.
    pub confusion: Vec<Vec<u32>>,
    /// Mean energy in the box over the rare test images with boxes.
    pub energy: Option<Estimate>,
    /// Share of those whose map has its maximum in a box.
    pub pointing_hit: Option<Estimate>,
}

/// McNemar's exact test of two models on the same images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    pub n: u32,
    /// Right in the first model (the control) only.
    pub first_only: u32,
    /// Right in the second model (CARE) only.
    pub second_only: u32,
    /// Two-sided; 1 where the models never disagree.
    pub p: f64,
}
