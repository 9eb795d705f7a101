//! Every number on screen that a paper would print comes from here.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::attention_loss::{Raster, Upsampling};
use crate::event::ImageAttention;

/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 2000;
/// The least F that counts as attended where the attended area is compared with the boxes.
pub const IOU_THRESHOLD: f64 = 0.5;

/// A share with its n and 95 % bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub value: f64,
    pub n: u32,
    /// 2.5 % and 97.5 % percentiles over the bootstrap's resamples of the images; each class is resampled by itself.
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
    /// Precision of each class, in class order: of the n images taken for it, the share that is of it. None where there are
    /// none.
    #[serde(default)]
    pub precisions: Vec<Option<Estimate>>,
    /// F1 of each class, `2 TP / (2 TP + FP + FN)`; n are the images that are of it or taken for it. None for a class without
    /// test images.
    #[serde(default)]
    pub f1s: Vec<Option<Estimate>>,
    /// Area under the ROC curve of each class against the rest, by its probability; n are all images. Ties count half. None
    /// where the class or the rest has no test images.
    #[serde(default)]
    pub aurocs: Vec<Option<Estimate>>,
    /// Means of the precisions, F1s and AUROCs over the classes that have one; n are all images.
    #[serde(default)]
    pub macro_precision: Option<Estimate>,
    #[serde(default)]
    pub macro_f1: Option<Estimate>,
    #[serde(default)]
    pub macro_auroc: Option<Estimate>,
    /// Mean energy in the box over the rare test images with boxes.
    pub energy: Option<Estimate>,
    /// Share of those whose map has its maximum in a box.
    pub pointing_hit: Option<Estimate>,
    /// Their mean intersection over union of {F >= [`IOU_THRESHOLD`]} with the boxes.
    pub iou: Option<Estimate>,
    /// As `energy`, over the test images with boxes of all classes.
    pub energy_all: Option<Estimate>,
    /// As `pointing_hit`, over the test images with boxes of all classes.
    pub pointing_hit_all: Option<Estimate>,
    /// As `iou`, over the test images with boxes of all classes.
    pub iou_all: Option<Estimate>,
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
    /// Intersection over union of {F >= [`IOU_THRESHOLD`]}, F enlarged as above, with the boxes.
    pub iou: f64,
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
    let (mut both, mut either) = (0u32, 0u32);
    for (m, f) in inside.iter().zip(&enlarged) {
        let (boxed, attended) = (*m > 0.0, *f >= IOU_THRESHOLD);
        both += u32::from(boxed && attended);
        either += u32::from(boxed || attended);
    }
    (whole > 0.0).then(|| AttentionScore {
        energy: within / whole,
        hit: inside[peak] > 0.0,
        iou: f64::from(both) / f64::from(either),
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
    let iou = |image: &ImageAttention| image.iou.map(f64::from);
    let one_against_rest = OneAgainstRest::new(labels, &predicted, images, rare.len());
    let ([precisions, f1s, aurocs], [macro_precision, macro_f1, macro_auroc]) =
        one_against_rest.estimates(seed);
    Summary {
        recalls: rights.by_class.iter().map(|class| one(class)).collect(),
        rare_recall: one(&rights.of_rare(rare)),
        mca: estimate(&rights.classes(), seed),
        confusion,
        precisions,
        f1s,
        aurocs,
        macro_precision,
        macro_f1,
        macro_auroc,
        energy: over(energy, true),
        pointing_hit: over(hit, true),
        iou: over(iou, true),
        energy_all: over(energy, false),
        pointing_hit_all: over(hit, false),
        iou_all: over(iou, false),
    }
}

/// CARE against the control on the test images of rare classes, in the order of `labels`; none where there are none.
#[must_use]
pub fn rare_difference(
    labels: &[usize],
    control: &[ImageAttention],
    care: &[ImageAttention],
    rare: &[bool],
) -> Option<McNemar> {
    let right = |images: &[ImageAttention]| -> Vec<bool> {
        let of_rare = images.iter().zip(labels).filter(|(_, label)| rare[**label]);
        of_rare
            .map(|(image, label)| argmax(&image.probabilities) == *label)
            .collect()
    };
    let control = right(control);
    (!control.is_empty()).then(|| mcnemar_exact(&control, &right(care)))
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

/// Each class against the rest.
struct OneAgainstRest<'a> {
    labels: &'a [usize],
    predicted: &'a [usize],
    /// For each class.
    rankings: Vec<Ranking>,
}

impl<'a> OneAgainstRest<'a> {
    fn new(
        labels: &'a [usize],
        predicted: &'a [usize],
        images: &[ImageAttention],
        num_classes: usize,
    ) -> Self {
        let rankings = (0..num_classes)
            .map(|class| Ranking::new(class, labels, images))
            .collect();
        Self {
            labels,
            predicted,
            rankings,
        }
    }

    /// Precision, F1 and AUROC, each in class order, and their means over the classes.
    fn estimates(&self, seed: u64) -> ([Vec<Option<Estimate>>; 3], [Option<Estimate>; 3]) {
        let num_classes = self.rankings.len();
        let mut members = vec![Vec::new(); num_classes];
        for (image, label) in self.labels.iter().enumerate() {
            members[*label].push(image);
        }
        let mut times = vec![1u32; self.labels.len()];
        let counts = self.counts(&times);
        let values = self.measures(&counts, &times);
        let mut resampled = vec![[const { Vec::<f64>::new() }; 3]; num_classes];
        let mut resampled_means = [const { Vec::<f64>::new() }; 3];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..RESAMPLES {
            times.fill(0);
            for members in &members {
                for _ in members {
                    times[members[rng.random_range(0..members.len())]] += 1;
                }
            }
            let measures = self.measures(&self.counts(&times), &times);
            for (resampled, mean) in resampled_means.iter_mut().zip(means(&measures)) {
                resampled.extend(mean);
            }
            for (resampled, measures) in resampled.iter_mut().zip(measures) {
                for (resampled, measure) in resampled.iter_mut().zip(measures) {
                    resampled.extend(measure);
                }
            }
        }
        let mut of_all = means(&values).into_iter().zip(resampled_means);
        let of_all = [(); 3].map(|()| {
            let (value, resampled) = of_all.next()?;
            Some(Estimate::new(value?, self.labels.len() as u64, resampled))
        });
        let mut estimates = [const { Vec::new() }; 3];
        for ((resampled, values), counts) in resampled.into_iter().zip(values).zip(counts) {
            let n = [counts.taken, counts.in_f1(), self.labels.len() as u64];
            for (i, resampled) in resampled.into_iter().enumerate() {
                let estimate = values[i].map(|value| Estimate::new(value, n[i], resampled));
                estimates[i].push(estimate);
            }
        }
        (estimates, of_all)
    }

    /// For each class, where every image counts as often as `times` says.
    fn counts(&self, times: &[u32]) -> Vec<Counts> {
        let mut counts = vec![Counts::default(); self.rankings.len()];
        for ((label, predicted), times) in self.labels.iter().zip(self.predicted).zip(times) {
            let times = u64::from(*times);
            counts[*label].images += times;
            counts[*predicted].taken += times;
            if label == predicted {
                counts[*label].right += times;
            }
        }
        counts
    }

    fn measures(&self, counts: &[Counts], times: &[u32]) -> Vec<[Option<f64>; 3]> {
        let share = |part: u64, whole: u64| part as f64 / whole as f64;
        counts
            .iter()
            .zip(&self.rankings)
            .map(|(c, ranking)| {
                let sum = c.images + c.taken;
                [
                    (c.taken > 0).then(|| share(c.right, c.taken)),
                    (c.images > 0).then(|| share(2 * c.right, sum)),
                    ranking.area(times),
                ]
            })
            .collect()
    }
}

/// Of each measure the mean over the classes in which it is defined.
fn means(measures: &[[Option<f64>; 3]]) -> [Option<f64>; 3] {
    [0, 1, 2].map(|measure| {
        let defined: Vec<f64> = measures.iter().filter_map(|of| of[measure]).collect();
        mean_of_means(&[&defined])
    })
}

/// Of one class.
#[derive(Clone, Copy, Default)]
struct Counts {
    /// TP + FN.
    images: u64,
    /// TP + FP.
    taken: u64,
    /// TP.
    right: u64,
}

impl Counts {
    fn in_f1(self) -> u64 {
        self.images + self.taken - self.right
    }
}

/// All images by ascending probability of one class.
struct Ranking(Vec<Place>);

struct Place {
    image: u32,
    is_of_class: bool,
    /// The last of those that share its probability.
    ends_tie: bool,
}

impl Ranking {
    fn new(class: usize, labels: &[usize], images: &[ImageAttention]) -> Self {
        let probability = |image: &usize| images[*image].probabilities[class];
        let mut order: Vec<usize> = (0..images.len()).collect();
        order.sort_by(|a, b| probability(a).total_cmp(&probability(b)));
        let next = order.iter().skip(1).map(Some).chain([None]);
        let places = order.iter().zip(next).map(|(image, next)| Place {
            image: *image as u32,
            is_of_class: labels[*image] == class,
            ends_tie: next.is_none_or(|next| probability(next) != probability(image)),
        });
        Self(places.collect())
    }

    /// The share of the pairs of an image of the class and one of the rest in which the first has the higher probability; ties
    /// count half. Every image counts as often as `times` says.
    fn area(&self, times: &[u32]) -> Option<f64> {
        let (mut of_class, mut of_rest, mut half_pairs) = (0u64, 0u64, 0u64);
        let (mut tied_of_class, mut tied_of_rest) = (0u64, 0u64);
        for place in &self.0 {
            let times = u64::from(times[place.image as usize]);
            if place.is_of_class {
                tied_of_class += times;
            } else {
                tied_of_rest += times;
            }
            if place.ends_tie {
                half_pairs += tied_of_class * (2 * of_rest + tied_of_rest);
                of_class += std::mem::take(&mut tied_of_class);
                of_rest += std::mem::take(&mut tied_of_rest);
            }
        }
        let pairs = of_class * of_rest;
        (pairs > 0).then(|| half_pairs as f64 / (2 * pairs) as f64)
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
    let resampled: Vec<f64> = (0..RESAMPLES)
        .map(|_| groups.iter().map(&mut resampled_mean).sum::<f64>() / groups.len() as f64)
        .collect();
    let n = groups.iter().map(|group| group.len() as u64).sum();
    Some(Estimate::new(value, n, resampled))
}

impl Estimate {
    /// `resampled`: the same over each resample in which it is defined.
    fn new(value: f64, n: u64, mut resampled: Vec<f64>) -> Self {
        resampled.sort_unstable_by(f64::total_cmp);
        let last = resampled.len().saturating_sub(1);
        let percentile = |share: f64| {
            let at = (share * last as f64).round() as usize;
            resampled.get(at).copied().unwrap_or(value)
        };
        Self {
            value,
            n: u32::try_from(n).unwrap_or(u32::MAX),
            low: percentile(0.025),
            high: percentile(0.975),
        }
    }
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
            peak: None,
            probabilities: probabilities.to_vec(),
            energy,
            hit: energy.map(|e| e > 0.5),
            iou: energy.map(|e| e / 2.0),
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
            (summary.iou, (0.25, 2)),
            (summary.energy_all, (0.366_667, 3)),
            (summary.pointing_hit_all, (0.333_333, 3)),
            (summary.iou_all, (0.183_333, 3)),
        ] {
            assert_eq!(value_and_n(estimate), Some(expected));
        }
        // The same without intervals.
        let predicted: Vec<usize> = images.iter().map(|i| argmax(&i.probabilities)).collect();
        let score = score(&labels, &predicted, &[false, true]);
        assert_eq!(score.rare_recall, summary.rare_recall.map(|r| r.value));
        assert_eq!((score.num_rare, score.mca), (2, Some(0.625)));
    }

    /// What scikit-learn 1.9 gives for these (precision_recall_fscore_support, roc_auc_score of each class against the rest,
    /// balanced_accuracy_score). Many are tied.
    #[test]
    fn as_scikit_learn_has_them() {
        let labels = [[0; 10].as_slice(), &[1; 8], &[2; 6]].concat();
        let tenths = [
            [7, 1, 2],
            [7, 0, 3],
            [9, 1, 0],
            [6, 2, 2],
            [5, 3, 2],
            [9, 1, 0],
            [5, 1, 4],
            [4, 1, 5],
            [5, 2, 3],
            [4, 6, 0],
            [6, 3, 1],
            [4, 5, 1],
            [5, 2, 3],
            [4, 4, 2],
            [5, 5, 0],
            [2, 4, 4],
            [2, 6, 2],
            [7, 2, 1],
            [4, 1, 5],
            [4, 4, 2],
            [1, 2, 7],
            [5, 4, 1],
            [4, 4, 2],
            [8, 1, 1],
        ];
        let images: Vec<_> = tenths
            .iter()
            .map(|tenths| image(&tenths.map(|t| t as f32 / 10.0), None))
            .collect();
        let summary = summarise(&labels, &images, &[false, false, true], 3);
        assert_eq!(summary.confusion, [[8, 1, 1], [5, 3, 0], [4, 0, 2]]);
        for (estimates, expected) in [
            (&summary.recalls, [(0.8, 10), (0.375, 8), (0.333_333_33, 6)]),
            (
                &summary.precisions,
                [(0.470_588_24, 17), (0.75, 4), (0.666_666_67, 3)],
            ),
            (
                &summary.f1s,
                [(0.592_592_59, 19), (0.5, 9), (0.444_444_44, 7)],
            ),
            (
                &summary.aurocs,
                [(0.742_857_14, 24), (0.804_687_5, 24), (0.606_481_48, 24)],
            ),
        ] {
            for (estimate, (value, n)) in estimates.iter().zip(expected) {
                let e = estimate.expect("defined");
                assert!((e.value - value).abs() < 1e-8 && e.n == n, "{e:?} {value}");
                assert!(e.low <= e.value && e.value <= e.high, "{e:?}");
                assert!(e.low < e.high, "{e:?}");
            }
        }
        // As average="macro" has them.
        for (estimate, value) in [
            (summary.macro_precision, 0.629_084_967),
            (summary.macro_f1, 0.512_345_679),
            (summary.macro_auroc, 0.718_008_708),
        ] {
            let e = estimate.expect("defined");
            assert!((e.value - value).abs() < 1e-8 && e.n == 24, "{e:?} {value}");
            assert!(e.low < e.value && e.value < e.high, "{e:?}");
        }
        let mca = summary.mca.expect("has images");
        assert!((mca.value - 0.502_777_777).abs() < 1e-8);
    }

    #[test]
    fn what_one_against_the_rest_is_not_defined_for() {
        let sure = [0.8, 0.1, 0.1];
        // Class 1 has images and is never predicted; class 2 has neither.
        let images = [image(&sure, None), image(&sure, None)];
        let summary = summarise(&[0, 1], &images, &[false; 3], 0);
        let values = |of: &[Option<Estimate>]| -> Vec<Option<f64>> {
            of.iter().map(|e| e.map(|e| e.value)).collect()
        };
        assert_eq!(values(&summary.precisions), [Some(0.5), None, None]);
        assert_eq!(values(&summary.f1s), [Some(2.0 / 3.0), Some(0.0), None]);
        assert_eq!(values(&summary.aurocs), [Some(0.5), Some(0.5), None]);
        // A class without a rest.
        let alone = summarise(&[0, 0], &images, &[false; 3], 0);
        assert_eq!(values(&alone.aurocs), [None; 3]);
        assert_eq!(
            (alone.macro_auroc, alone.macro_f1.map(|e| e.value)),
            (None, Some(1.0))
        );
        assert_eq!(summary.macro_precision.map(|e| e.value), Some(0.5));
    }

    #[test]
    fn the_interval_of_the_area_is_the_analytic_one() {
        // 40 of the class, 60 of the rest, their probabilities overlapping.
        let labels: Vec<usize> = (0..100).map(|i| usize::from(i < 40)).collect();
        let images: Vec<_> = (0..100u8)
            .map(|i| {
                let spread = f32::from(i.wrapping_mul(97) % 101) / 202.0;
                let p = spread + if i < 40 { 0.3 } else { 0.1 };
                image(&[1.0 - p, p], None)
            })
            .collect();
        let area = summarise(&labels, &images, &[false, true], 0).aurocs[1].expect("both sides");
        // DeLong's variance, from each image's share of won pairs.
        let p = |i: usize| images[i].probabilities[1];
        let won = |i: usize, of: std::ops::Range<usize>, sign: f32| {
            let n = of.len() as f64;
            of.map(|j| f64::from(u8::from(sign * (p(i) - p(j)) > 0.0)))
                .sum::<f64>()
                / n
        };
        let variance = |shares: Vec<f64>| {
            let n = shares.len() as f64;
            let mean = shares.iter().sum::<f64>() / n;
            shares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (n - 1.0) / n
        };
        let of_class = variance((0..40).map(|i| won(i, 40..100, 1.0)).collect());
        let of_rest = variance((40..100).map(|i| won(i, 0..40, -1.0)).collect());
        let deviation = (of_class + of_rest).sqrt();
        for (end, expected) in [
            (area.low, area.value - 1.96 * deviation),
            (area.high, area.value + 1.96 * deviation),
        ] {
            assert!((end - expected).abs() < 0.02, "{area:?} {expected}");
        }
    }

    #[test]
    fn control_and_care_are_compared_on_the_rare_images() {
        let labels = [0, 1, 1, 1];
        let (common, rare) = ([0.9, 0.1], [0.2, 0.8]);
        let seen = |of: [&[f32]; 4]| of.map(|p| image(p, None)).to_vec();
        let control = seen([&rare, &common, &common, &rare]);
        let care = seen([&common, &rare, &rare, &rare]);
        let test = rare_difference(&labels, &control, &care, &[false, true]).expect("rare images");
        assert_eq!((test.n, test.first_only, test.second_only), (3, 0, 2));
        assert_eq!(rare_difference(&labels, &control, &care, &[false; 2]), None);
    }

    #[test]
    fn results_of_before_the_figures_over_all_classes_are_read() {
        let summary = summarise(&[0], &[image(&[0.6, 0.4], Some(0.5))], &[false, true], 0);
        let mut json = serde_json::to_value(&summary).expect("serialises");
        let fields = json.as_object_mut().expect("an object");
        for later in [
            "energy_all",
            "pointing_hit_all",
            "iou",
            "iou_all",
            "precisions",
            "f1s",
            "aurocs",
            "macro_precision",
            "macro_f1",
            "macro_auroc",
        ] {
            assert!(fields.remove(later).is_some(), "{later}");
        }
        let read: Summary = serde_json::from_value(json).expect("reads");
        assert_eq!((read.energy_all, read.mca), (None, summary.mca));
        assert_eq!((read.iou, read.aurocs), (None, vec![]));
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
        // The three pixels from the threshold on, against boxes that hold one, two and all of them.
        assert_eq!((first.iou, rest.iou), (1.0 / 6.0, 2.0 / 37.0));
        let all = score(&map, raster([0.0, 0.0, 8.0, 8.0])).expect("scored");
        assert_eq!((all.iou, all.hit), (3.0 / 64.0, true));
        assert_eq!(score(&[0.0; 64], raster([0.0, 0.0, 2.0, 2.0])), None);
        assert_eq!(score(&map, Raster::new(&[], size, size)), None);
    }
}
