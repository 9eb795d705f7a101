//! How fast a run goes, how its learning rate falls, and when its loss has stopped falling.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::config::{RunConfig, Schedule};

/// Steps over which the pace is averaged.
const PACE_OVER: u32 = 50;
/// An epoch has to bring the loss down by this share of the best one to count as progress.
const PROGRESS: f32 = 0.01;
/// What is left of the learning rate after a plateau.
const FALL: f64 = 0.1;

/// How long a pass of one model takes lately, everything between two steps included, and how much of it is waiting.
pub(super) struct Pace {
    begun: Instant,
    rested: Duration,
    since: Instant,
    passes: u32,
    seconds: f32,
    /// Since the last step, and the mean of a pass.
    waited: Duration,
    waiting: f32,
}

impl Pace {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            rested: Duration::ZERO,
            since: now,
            passes: 0,
            seconds: 0.0,
            waited: Duration::ZERO,
            waiting: 0.0,
        }
    }

    pub(super) fn step(&mut self, passes: usize) {
        let of_pass = |took: Duration| took.as_secs_f32() / passes as f32;
        self.passes = (self.passes + 1).min(PACE_OVER);
        let share = 1.0 / self.passes as f32;
        self.seconds += share * (of_pass(self.since.elapsed()) - self.seconds);
        self.waiting += share * (of_pass(self.waited) - self.waiting);
        self.since = Instant::now();
        self.waited = Duration::ZERO;
    }

    /// A batch was not there for so long, as its images were still being decoded.
    pub(super) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Time that was spent on nothing: a pause does not count.
    pub(super) fn rest(&mut self) {
        self.rested += self.since.elapsed();
        self.since = Instant::now();
    }

    /// Since the beginning, without pauses.
    pub(super) fn trained(&self) -> Duration {
        self.begun.elapsed().saturating_sub(self.rested)
    }

    pub(super) fn seconds_per_pass(&self) -> f32 {
        self.seconds.max(1e-6)
    }

    /// Share of the time, 0..=1, that goes by in waiting for images.
    pub(super) fn waiting(&self) -> f32 {
        (self.waiting / self.seconds_per_pass()).clamp(0.0, 1.0)
    }
}

/// Whether a loss falls.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Falling {
    /// None before the first.
    best: Option<f32>,
}

impl Falling {
    pub(super) fn falls_to(&mut self, loss: f32) -> bool {
        // A loss may be negative: the attention's is.
        let falls = |best: f32| loss < best - best.abs() * PROGRESS;
        let progress = self.best.is_none_or(falls);
        if progress {
            self.best = Some(loss);
        }
        progress
    }
}

/// Epochs without progress, until there were too many in a row.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Patience {
    epochs: u32,
    without: u32,
}

impl Patience {
    pub(super) fn new(epochs: u32) -> Self {
        Self { epochs, without: 0 }
    }

    /// True where it is at an end; it then begins anew.
    pub(super) fn ends_with(&mut self, progress: bool) -> bool {
        self.without = if progress { 0 } else { self.without + 1 };
        let ends = self.without >= self.epochs;
        if ends {
            self.without = 0;
        }
        ends
    }
}

/// The learning rate within a stage.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct LearningRate {
    schedule: Schedule,
    start: f64,
    patience: Patience,
}

impl LearningRate {
    pub(super) fn new(config: &RunConfig) -> Self {
        Self {
            schedule: config.schedule,
            start: config.learning_rate,
            patience: Patience::new(config.patience.div_ceil(2)),
        }
    }

    /// Of a step, counted from 0, of so many.
    pub(super) fn at(&self, step: u32, num_steps: u32) -> f64 {
        match self.schedule {
            Schedule::Cosine => {
                let share = f64::from(step) / f64::from(num_steps);
                self.start * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
            Schedule::Plateau | Schedule::Constant => self.start,
        }
    }

    /// After an epoch: whether the loss fell.
    pub(super) fn epoch_ended(&mut self, progress: bool) {
        if self.schedule == Schedule::Plateau && self.patience.ends_with(progress) {
            self.start *= FALL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(schedule: Schedule, patience: u32) -> LearningRate {
        LearningRate::new(&RunConfig {
            schedule,
            patience,
            learning_rate: 1.0,
            ..RunConfig::default()
        })
    }

    #[test]
    fn waiting_is_a_share_of_the_time_without_pauses() {
        let mut pace = Pace::new();
        let ms = Duration::from_millis;
        for _ in 0..3 {
            std::thread::sleep(ms(20));
            pace.rest();
            std::thread::sleep(ms(20));
            pace.waited(ms(10));
            pace.step(2);
        }
        let waiting = pace.waiting();
        assert!(waiting > 0.1 && waiting <= 0.5, "{waiting}");
        assert!(pace.trained() >= ms(60) && pace.trained() < pace.begun.elapsed() - ms(59));
        // Whatever was waited for before is not waited for again.
        for _ in 0..200 {
            pace.step(2);
        }
        assert!(pace.waiting() < waiting);
    }

    #[test]
    fn a_rate_for_every_step() {
        for (schedule, expected) in [
            (Schedule::Cosine, [1.0, 0.5, 0.0]),
            (Schedule::Constant, [1.0; 3]),
            (Schedule::Plateau, [1.0; 3]),
        ] {
            let rate = rate(schedule, 10);
            let rates = [0, 50, 100].map(|step| rate.at(step, 100));
            let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
            assert!(
                rates.iter().zip(&expected).all(near),
                "{schedule:?} {rates:?}"
            );
        }
    }

    #[test]
    fn on_a_plateau_it_falls_to_a_tenth() {
        let mut rate = rate(Schedule::Plateau, 4);
        let mut falling = Falling::default();
        let mut seen = vec![];
        for loss in [
            1.0, 0.5, 0.4999, 0.51, 0.4, -0.1, -0.2, -0.2, -0.2, -0.2, -0.2,
        ] {
            rate.epoch_ended(falling.falls_to(loss));
            seen.push(rate.at(0, 1));
        }
        let expected = [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001];
        let near = |(a, b): (&f64, &f64)| (a / b - 1.0).abs() < 1e-9;
        assert!(seen.iter().zip(&expected).all(near), "{seen:?}");
    }
}
