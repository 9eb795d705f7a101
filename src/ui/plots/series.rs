//! What the plots show: a line for each model, from a run's epochs, its film and the epoch under way.

use care_learn::ModelRole;
use care_learn::event::{EpochMetrics, FilmFrame};

use crate::training::{EpochSoFar, TrainingRun};

/// What the first plot shows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// L_c of each model and L_a of CARE.
    #[default]
    Parts,
    Total,
    Inside,
    Outside,
}

/// What the second plot shows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attention {
    #[default]
    Energy,
    Hits,
}

/// What the third plot shows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    #[default]
    RareRecall,
    Mca,
    LearningRate,
}

/// A line of a plot.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) role: ModelRole,
    /// L_a, dotted.
    pub(super) is_attention: bool,
    /// Epochs done, value.
    pub(super) points: Vec<[f64; 2]>,
}

impl Series {
    fn new(role: ModelRole, points: Vec<[f64; 2]>) -> Self {
        Self {
            role,
            is_attention: false,
            points,
        }
    }

    /// Each value drawn towards those before it by `weight`, in 0..1: a moving average that fades exponentially, and is not
    /// pulled towards 0 at its beginning.
    pub(super) fn smoothed(&self, weight: f64) -> Vec<[f64; 2]> {
        let (mut sum, mut weights) = (0.0, 0.0);
        let smooth = |[x, y]: &[f64; 2]| {
            sum = weight * sum + (1.0 - weight) * y;
            weights = weight * weights + (1.0 - weight);
            [*x, sum / weights]
        };
        self.points.iter().map(smooth).collect()
    }
}

pub(super) fn losses(run: &TrainingRun, loss: Loss) -> Vec<Series> {
    type OfEpoch = fn(&EpochMetrics) -> Option<f32>;
    type OfSteps = fn(&EpochSoFar) -> Option<f32>;
    let (of_epoch, of_steps): (OfEpoch, OfSteps) = match loss {
        Loss::Parts => (|e| Some(e.classification), |s| Some(s.classification)),
        Loss::Total => (|e| e.total, |s| Some(s.total)),
        Loss::Inside => (|e| e.l_in, |s| Some(s.attention?.l_in)),
        Loss::Outside => (|e| e.l_out, |s| Some(s.attention?.l_out)),
    };
    let mut series = of_epochs(run, of_epoch);
    add_steps(&mut series, run, of_steps);
    if loss == Loss::Parts {
        let mut attention = of_epochs(run, |epoch| epoch.attention);
        add_steps(&mut attention, run, |s| Some(s.attention?.l_a));
        attention.retain(|line| line.role == ModelRole::Care);
        series.extend(attention.into_iter().map(|line| Series {
            is_attention: true,
            ..line
        }));
    }
    join_stages(&mut series);
    series
}

pub(super) fn attention(run: &TrainingRun, attention: Attention) -> Vec<Series> {
    let value = |frame: &FilmFrame| match attention {
        Attention::Energy => frame.mean_energy(),
        Attention::Hits => frame.hit_share(),
    };
    // Every refresh of the film, for it comes more often than epochs do.
    let of_role = |role| {
        let frames = run.film.iter().filter(|frame| frame.role == role);
        let point = |frame: &FilmFrame| Some([f64::from(frame.epoch), f64::from(value(frame)?)]);
        Series::new(role, frames.filter_map(point).collect())
    };
    let mut series = ModelRole::ALL.map(of_role).to_vec();
    join_stages(&mut series);
    series
}

pub(super) fn measures(run: &TrainingRun, measure: Measure) -> Vec<Series> {
    let mut series = of_epochs(run, |epoch| match measure {
        Measure::RareRecall => epoch.rare_recall,
        Measure::Mca => epoch.mca,
        Measure::LearningRate => epoch.learning_rate.map(|rate| rate as f32),
    });
    if measure == Measure::LearningRate {
        // Both models of stage 2 have the same.
        series.retain(|line| line.role != ModelRole::Control);
    }
    join_stages(&mut series);
    series
}

/// A line for each model: one point an epoch, where there is a value.
fn of_epochs(run: &TrainingRun, value: impl Fn(&EpochMetrics) -> Option<f32>) -> Vec<Series> {
    let of_role = |role| {
        let epochs = run.epochs.iter().filter(|epoch| epoch.role == role);
        let point = |epoch: &EpochMetrics| Some([f64::from(epoch.epoch), f64::from(value(epoch)?)]);
        Series::new(role, epochs.filter_map(point).collect())
    };
    ModelRole::ALL.map(of_role).to_vec()
}

/// The epoch under way.
fn add_steps(series: &mut [Series], run: &TrainingRun, value: impl Fn(&EpochSoFar) -> Option<f32>) {
    for so_far in &run.so_far {
        for line in series.iter_mut().filter(|line| line.role == so_far.role) {
            // The mean of a few steps is no mean of an epoch, and so steep a line after the last one draws a wedge.
            let epoch = f64::from(so_far.epoch);
            let is_early = line.points.last().is_some_and(|[x, _]| epoch - x < 0.3);
            if let (Some(value), false) = (value(so_far), is_early) {
                line.points.push([epoch, f64::from(value)]);
            }
        }
    }
}

/// Both models of stage 2 go on from where stage 1 ended.
fn join_stages(series: &mut [Series]) {
    let end = series
        .iter()
        .find(|line| line.role == ModelRole::Before)
        .and_then(|line| line.points.last().copied());
    let Some(end) = end else { return };
    for line in series.iter_mut() {
        let continues = line.role != ModelRole::Before && !line.is_attention;
        if continues && line.points.first().is_some_and(|first| first[0] > end[0]) {
            line.points.insert(0, end);
        }
    }
}

/// The range of a loss or a rate, on round numbers, and the distance of its marks.
pub(super) fn range<'a>(
    series: impl Iterator<Item = &'a Series> + Clone,
) -> (std::ops::RangeInclusive<f64>, f64) {
    let values = || {
        let points = series.clone().flat_map(|line| &line.points);
        points.map(|point| point[1])
    };
    let low = values().fold(0.0, f64::min);
    // Some room at the top for the names of the stages.
    let high = values().fold(0.0, f64::max) * 1.1;
    if high <= low {
        return (0.0..=1.0, 0.25);
    }
    let power = 10.0_f64.powf(((high - low) / 4.5).log10().floor());
    let step = [1.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| (high - low) / step <= 4.5)
        .unwrap_or(10.0 * power);
    (
        (low / step).floor() * step..=(high / step).ceil() * step,
        step,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_drawn_on_round_numbers() {
        let line = |values: &[f64]| {
            let points = values.iter().map(|value| [0.0, *value]);
            Series::new(ModelRole::Care, points.collect())
        };
        for (values, expected, step) in [
            (vec![], 0.0..=1.0, 0.25),
            (vec![1.39, 0.2], 0.0..=2.0, 0.5),
            (vec![1.3, -0.43], -0.5..=1.5, 0.5),
            (vec![0.3, 0.1], 0.0..=0.4, 0.1),
            (vec![30.0, 0.1], 0.0..=40.0, 10.0),
            (vec![1e-4, 1e-5], 0.0..=1.25e-4, 2.5e-5),
        ] {
            let (found, marks) = range([line(&values)].iter());
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9 + 1e-9 * b.abs();
            assert!(
                near(*found.start(), *expected.start()) && near(*found.end(), *expected.end()),
                "{values:?}: {found:?}"
            );
            assert!(near(marks, step), "{values:?}: {marks}");
        }
    }

    #[test]
    fn stage_two_begins_where_stage_one_ended() {
        let line = |role, points: &[[f64; 2]]| Series::new(role, points.to_vec());
        let mut series = [
            line(ModelRole::Before, &[[1.0, 0.5], [2.0, 0.4]]),
            line(ModelRole::Control, &[[3.0, 0.3]]),
            line(ModelRole::Care, &[[2.0, 0.4], [3.0, 0.2]]),
        ];
        join_stages(&mut series);
        assert_eq!(series[1].points, [[2.0, 0.4], [3.0, 0.3]]);
        assert_eq!(series[2].points.len(), 2, "joined already");
    }

    #[test]
    fn smoothing_begins_at_the_first_value_and_follows_slowly() {
        let points = vec![[1.0, 4.0], [2.0, 0.0], [3.0, 0.0]];
        let line = Series::new(ModelRole::Care, points.clone());
        assert_eq!(line.smoothed(0.0), points);
        let smooth = line.smoothed(0.5);
        let expected = [4.0, 4.0 / 3.0, 4.0 / 7.0];
        for ([_, found], expected) in smooth.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{smooth:?}");
        }
    }
}
