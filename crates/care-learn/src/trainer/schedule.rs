//! How fast a run goes, how its learning rate falls, and when its loss has stopped falling.

use std::time::Instant;

/// Steps over which the pace is averaged.
const PACE_OVER: u32 = 50;
/// An epoch has to bring the loss below this share of the best one to count as progress.
const PROGRESS: f32 = 0.99;

/// How long a pass of one model takes lately, everything between two steps included.
pub(super) struct Pace {
    since: Instant,
    passes: u32,
    seconds: f32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            passes: 0,
            seconds: 0.0,
        }
    }

    pub(super) fn step(&mut self, passes: usize) {
        let seconds = self.since.elapsed().as_secs_f32() / passes as f32;
        self.passes = (self.passes + 1).min(PACE_OVER);
        self.seconds += (seconds - self.seconds) / self.passes as f32;
        self.since = Instant::now();
    }

    /// A pause does not count.
    pub(super) fn rest(&mut self) {
        self.since = Instant::now();
    }

    pub(super) fn seconds_per_pass(&self) -> f32 {
        self.seconds.max(1e-6)
    }
}

/// Whether a loss has stopped falling.
pub(super) struct Plateau {
    patience: u32,
    best: f32,
    epochs_since: u32,
}

impl Plateau {
    pub(super) fn new(patience: u32) -> Self {
        Self {
            patience,
            best: f32::INFINITY,
            epochs_since: 0,
        }
    }

    pub(super) fn ends_with(&mut self, loss: f32) -> bool {
        if loss < self.best * PROGRESS {
            self.best = loss;
            self.epochs_since = 0;
        } else {
            self.epochs_since += 1;
        }
        self.epochs_since >= self.patience
    }
}

/// The learning rate of a stage's step: a cosine from `start` to nearly nothing.
pub(super) fn cosine(start: f64, step: u32, num_steps: u32) -> f64 {
    let share = f64::from(step) / f64::from(num_steps);
    start * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
}
