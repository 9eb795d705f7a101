//! Every number on screen that a paper would print comes from here.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::attention_loss::{Raster, Upsampling};
use crate::event::ImageAttention;

/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 2000;

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
    /// As `energy`, over the test images with boxes of all classes.
    pub energy_all: Option<Estimate>,
    /// As `pointing_hit`, over the test images with boxes of all classes.
    pub pointing_hit_all: Option<Estimate>,
}

/// How a model classifies, without intervals: what is followed while it trains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Recall over all images of rare classes; none where there are none.
    pub rare_recall: Option<f64>,
    pub num_rare: usize,
    /// Mean of the classes' recalls; none without images.
    pub mca: Option<f64>,
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

/// One image's attention against its boxes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionScore {
    /// `sum(M_in F) / sum(F)`, F enlarged to the input's size.
    pub energy: f64,
    /// Whether the maximum of F lies in a box.
    pub hit: bool,
}

/// Scores a map (h x w, row by row) against the boxes; none without a box or with a flat map.
#[must_use]
pub fn attention_score(
    map: &[f64],
    raster: &Raster,
    upsampling: &Upsampling,
) -> Option<AttentionScore> {
    if raster.is_empty() {
        return None;
    }
    let enlarged = upsampling.up(map);
    let whole: f64 = enlarged.iter().sum();
    let inside = raster.inside();
    let within: f64 = inside.iter().zip(&enlarged).map(|(m, f)| m * f).sum();
    let (peak, _) = enlarged
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))?;
    (whole > 0.0).then(|| AttentionScore {
        energy: within / whole,
        hit: inside[peak] > 0.0,
    })
}

/// The index of the largest value; the first of several.
#[must_use]
pub fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

/// Scores one model. `labels` and `images` are in the same order; `rare` is in class order.
#[must_use]
pub fn summarise(labels: &[usize], images: &[ImageAttention], rare: &[bool], seed: u64) -> Summary {
    let predicted: Vec<usize> = images.iter().map(|i| argmax(&i.probabilities)).collect();
    let mut confusion = vec![vec![0u32; rare.len()]; rare.len()];
    for (label, predicted) in labels.iter().zip(&predicted) {
        confusion[*label][*predicted] += 1;
    }
    let rights = Rights::new(labels, &predicted, rare.len());
    let one = |values: &[f64]| estimate(&[values], seed);
    let over = |value: fn(&ImageAttention) -> Option<f64>, rare_only: bool| {
        let values: Vec<f64> = labels
            .iter()
            .zip(images)
            .filter(|(label, _)| rare[**label] || !rare_only)
            .filter_map(|(_, image)| value(image))
            .collect();
        one(&values)
    };
    let energy = |image: &ImageAttention| image.energy.map(f64::from);
    let hit = |image: &ImageAttention| image.hit.map(|hit| f64::from(u8::from(hit)));
    Summary {
        recalls: rights.by_class.iter().map(|class| one(class)).collect(),
        rare_recall: one(&rights.of_rare(rare)),
        mca: estimate(&rights.classes(), seed),
        confusion,
        energy: over(energy, true),
        pointing_hit: over(hit, true),
        energy_all: over(energy, false),
        pointing_hit_all: over(hit, false),
    }
}

/// Scores predictions. `labels` and `predicted` are in the same order; `rare` is in class order.
#[must_use]
pub fn score(labels: &[usize], predicted: &[usize], rare: &[bool]) -> Score {
    let rights = Rights::new(labels, predicted, rare.len());
    let of_rare = rights.of_rare(rare);
    Score {
        rare_recall: mean_of_means(&[&of_rare]),
        num_rare: of_rare.len(),
        mca: mean_of_means(&rights.classes()),
    }
}

/// For each class, whether each of its images was predicted right: 1 or 0.
struct Rights {
    by_class: Vec<Vec<f64>>,
}

impl Rights {
    fn new(labels: &[usize], predicted: &[usize], num_classes: usize) -> Self {
        let mut by_class = vec![Vec::new(); num_classes];
        for (label, predicted) in labels.iter().zip(predicted) {
            by_class[*label].push(f64::from(u8::from(label == predicted)));
        }
        Self { by_class }
    }

    /// All images of rare classes together.
    fn of_rare(&self, rare: &[bool]) -> Vec<f64> {
        let classes = self.by_class.iter().zip(rare);
        classes
            .filter(|(_, rare)| **rare)
            .flat_map(|(class, _)| class.iter().copied())
            .collect()
    }

    /// Each class that has images.
    fn classes(&self) -> Vec<&[f64]> {
        let classes = self.by_class.iter().map(Vec::as_slice);
        classes.filter(|class| !class.is_empty()).collect()
    }
}

/// None where a group, or everything, is empty.
fn mean_of_means(groups: &[&[f64]]) -> Option<f64> {
    if groups.is_empty() || groups.iter().any(|group| group.is_empty()) {
        return None;
    }
    let mean = |group: &&[f64]| group.iter().sum::<f64>() / group.len() as f64;
    Some(groups.iter().map(mean).sum::<f64>() / groups.len() as f64)
}

/// The mean of the groups' means, with the percentiles of the same over groups resampled each by itself. None where
/// a group, or everything, is empty.
#[must_use]
pub fn estimate(groups: &[&[f64]], seed: u64) -> Option<Estimate> {
    let value = mean_of_means(groups)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut resampled_mean = |group: &&[f64]| {
        let draws = (0..group.len()).map(|_| group[rng.random_range(0..group.len())]);
        draws.sum::<f64>() / group.len() as f64
    };
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .map(|_| groups.iter().map(&mut resampled_mean).sum::<f64>() / groups.len() as f64)
        .collect();
    resampled.sort_unstable_by(f64::total_cmp);
    let percentile = |share: f64| resampled[(share * (RESAMPLES - 1) as f64).round() as usize];
    Some(Estimate {
        value,
        n: u32::try_from(groups.iter().map(|g| g.len()).sum::<usize>()).unwrap_or(u32::MAX),
        low: percentile(0.025),
        high: percentile(0.975),
    })
}

/// McNemar's exact test: of the images on which the models disagree, does one win more often than a coin would?
#[must_use]
pub fn mcnemar_exact(first_right: &[bool], second_right: &[bool]) -> McNemar {
    let pairs = || first_right.iter().zip(second_right);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let first_only = count(pairs().filter(|(a, b)| **a && !**b).count());
    let second_only = count(pairs().filter(|(a, b)| !**a && **b).count());
    McNemar {
        n: count(pairs().count()),
        first_only,
        second_only,
        p: sign_test(first_only.min(second_only), first_only + second_only),
    }
}

/// `min(1, 2 sum_{i <= k} C(n, i) / 2^n)`, summed in logarithms so that a large n does not overflow.
fn sign_test(k: u32, n: u32) -> f64 {
    let mut ln_choose = 0.0;
    let mut sum = 0.0;
    for i in 0..=k {
        if i > 0 {
            ln_choose += (f64::from(n - i + 1) / f64::from(i)).ln();
        }
        sum += (ln_choose - f64::from(n) * std::f64::consts::LN_2).exp();
    }
    (2.0 * sum).min(1.0)
}

#[cfg(test)]
mod tests {
    use care_data::{BoundingBox, ImageId, ImageSize};

    use super::*;
    use crate::event::AttentionMap;

    fn image(probabilities: &[f32], energy: Option<f32>) -> ImageAttention {
        ImageAttention {
            image: ImageId(1),
            map: AttentionMap::default(),
            probabilities: probabilities.to_vec(),
            energy,
            hit: energy.map(|e| e > 0.5),
        }
    }

    #[test]
    fn recalls_mca_confusion() {
        let common = [0.9, 0.1];
        let rare = [0.2, 0.8];
        let labels = [0, 0, 0, 0, 1, 1];
        let images = [
            image(&common, Some(0.1)),
            image(&common, None),
            image(&common, None),
            image(&rare, None),
            image(&rare, Some(0.75)),
            image(&common, Some(0.25)),
        ];
        let summary = summarise(&labels, &images, &[false, true], 0);
        assert_eq!(summary.confusion, [[3, 1], [1, 1]]);
        let recall = |i: usize| summary.recalls[i].expect("has images");
        assert_eq!((recall(0).value, recall(0).n), (0.75, 4));
        assert_eq!((recall(1).value, recall(1).n), (0.5, 2));
        assert_eq!(summary.rare_recall.map(|r| r.value), Some(0.5));
        assert_eq!(summary.mca.map(|m| (m.value, m.n)), Some((0.625, 6)));
        // Boxes of the rare class by itself, and of all classes.
        let value_and_n = |e: Option<Estimate>| e.map(|e| ((e.value * 1e6).round() / 1e6, e.n));
        for (estimate, expected) in [
            (summary.energy, (0.5, 2)),
            (summary.pointing_hit, (0.5, 2)),
            (summary.energy_all, (0.366_667, 3)),
            (summary.pointing_hit_all, (0.333_333, 3)),
        ] {
            assert_eq!(value_and_n(estimate), Some(expected));
        }
        // The same without intervals.
        let predicted: Vec<usize> = images.iter().map(|i| argmax(&i.probabilities)).collect();
        let score = score(&labels, &predicted, &[false, true]);
        assert_eq!(score.rare_recall, summary.rare_recall.map(|r| r.value));
        assert_eq!((score.num_rare, score.mca), (2, Some(0.625)));
    }

    #[test]
    fn results_of_before_the_figures_over_all_classes_are_read() {
        let summary = summarise(&[0], &[image(&[0.6, 0.4], Some(0.5))], &[false, true], 0);
        let mut json = serde_json::to_value(&summary).expect("serialises");
        let fields = json.as_object_mut().expect("an object");
        assert!(fields.remove("energy_all").is_some());
        assert!(fields.remove("pointing_hit_all").is_some());
        let read: Summary = serde_json::from_value(json).expect("reads");
        assert_eq!((read.energy_all, read.mca), (None, summary.mca));
    }

    #[test]
    fn a_class_without_test_images_has_no_recall() {
        let summary = summarise(&[0], &[image(&[0.6, 0.4], None)], &[false, true], 0);
        assert!(
            summary.recalls[1].is_none()
                && summary.rare_recall.is_none()
                && summary.energy.is_none()
        );
        assert_eq!(summary.mca.map(|m| m.value), Some(1.0));
        let none = score(&[], &[], &[false, true]);
        assert_eq!((none.rare_recall, none.num_rare, none.mca), (None, 0, None));
    }

    #[test]
    fn the_interval_is_the_binomial_one() {
        let values: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i < 70))).collect();
        let e = estimate(&[&values], 1).expect("has images");
        // Binomial(100, 0.7): 2.5 % and 97.5 % are 61 and 79.
        assert!(
            (e.low - 0.61).abs() < 0.015 && (e.high - 0.79).abs() < 0.015,
            "{e:?}"
        );
        assert_eq!(estimate(&[&values], 1), estimate(&[&values], 1));
        let sure = estimate(&[&[1.0; 60]], 1).expect("has images");
        assert_eq!((sure.low, sure.high), (1.0, 1.0));
    }

    #[test]
    fn mcnemar() {
        // Of n discordant pairs, k on one side: twice the binomial tail.
        for (first_only, second_only, p) in [
            (0, 0, 1.0),
            (0, 5, 0.0625),
            (1, 9, 22.0 / 1024.0),
            (5, 5, 1.0),
            (10, 2, 158.0 / 4096.0),
        ] {
            let mut first = vec![true; 3];
            let mut second = vec![true; 3];
            first.extend(vec![true; first_only]);
            second.extend(vec![false; first_only]);
            first.extend(vec![false; second_only]);
            second.extend(vec![true; second_only]);
            let test = mcnemar_exact(&first, &second);
            assert!(
                (test.p - p).abs() < 1e-12,
                "{first_only} {second_only}: {} not {p}",
                test.p
            );
            assert_eq!(test.n as usize, 3 + first_only + second_only);
        }
        let many = mcnemar_exact(&[true; 5000], &[false; 5000]);
        assert!(many.p >= 0.0 && many.p < 1e-300);
    }

    #[test]
    fn energy_and_hit() {
        let size = ImageSize::new(8, 8);
        let upsampling = Upsampling::new(8, 8, size);
        let raster = |xyxy: [f64; 4]| {
            Raster::new(&[BoundingBox::try_from(xyxy).expect("a box")], size, size)
        };
        let mut map = vec![0.0; 64];
        map[9] = 1.0;
        map[18] = 0.5;
        map[63] = 0.5;
        let score = |map: &[f64], raster: Raster| attention_score(map, &raster, &upsampling);
        let first = score(&map, raster([0.0, 0.0, 2.0, 2.0])).expect("scored");
        assert_eq!((first.energy, first.hit), (0.5, true));
        let rest = score(&map, raster([2.0, 2.0, 8.0, 8.0])).expect("scored");
        assert_eq!((rest.energy, rest.hit), (0.5, false));
        assert_eq!(score(&[0.0; 64], raster([0.0, 0.0, 2.0, 2.0])), None);
        assert_eq!(score(&map, Raster::new(&[], size, size)), None);
    }
}
