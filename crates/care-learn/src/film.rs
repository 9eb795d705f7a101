//! The film while it is made: every refresh of the watch list, within a bound.

use std::time::{Duration, Instant};

use care_data::ImageId;

use crate::event::{FilmFrame, ModelRole};
use crate::run_folder::Film;

/// Frames of one model beyond which every second one goes.
const MAX_FRAMES: usize = 240;
/// Time between refreshes, at first.
const REFRESH: Duration = Duration::from_secs(2);
/// A refresh takes at most one in so many parts of the time.
const SHARE: u32 = 20;

/// Collects frames and says when the next is due.
#[derive(Debug)]
pub(crate) struct FilmRecorder {
    film: Film,
    /// One refresh in so many is kept.
    stride: usize,
    refreshes: usize,
    next: Instant,
}

impl FilmRecorder {
    pub(crate) fn new(watch: Vec<ImageId>) -> Self {
        Self {
            film: Film {
                watch,
                frames: Vec::new(),
            },
            stride: 1,
            refreshes: 0,
            next: Instant::now(),
        }
    }

    pub(crate) fn film(&self) -> &Film {
        &self.film
    }

    pub(crate) fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Takes the frames of one refresh, one a model, which took `cost` to compute. A stage's first and last are
    /// `always` kept.
    pub(crate) fn push(&mut self, frames: &[FilmFrame], cost: Duration, always: bool) {
        if always || self.refreshes.is_multiple_of(self.stride) {
            self.film.frames.extend_from_slice(frames);
        }
        self.refreshes += 1;
        if ModelRole::ALL
            .iter()
            .any(|role| self.of(*role) > MAX_FRAMES)
        {
            self.thin();
        }
        self.next = Instant::now() + REFRESH.max(cost * SHARE);
    }

    fn of(&self, role: ModelRole) -> usize {
        self.film
            .frames
            .iter()
            .filter(|frame| frame.role == role)
            .count()
    }

    /// Leaves out every second frame of each model, and from now on takes half as many. The first one stays.
    fn thin(&mut self) {
        let mut seen = [0usize; ModelRole::ALL.len()];
        self.film.frames.retain(|frame| {
            let seen = &mut seen[frame.role as usize];
            *seen += 1;
            *seen % 2 == 1
        });
        self.stride *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_bounded_and_keeps_its_span() {
        let mut recorder = FilmRecorder::new(vec![]);
        for step in 0..5000 {
            let frame = |role| FilmFrame {
                role,
                step,
                epoch: 0.0,
                images: vec![],
            };
            recorder.push(
                &[frame(ModelRole::Control), frame(ModelRole::Care)],
                Duration::ZERO,
                false,
            );
        }
        let steps: Vec<u32> = recorder
            .film
            .frames
            .iter()
            .filter(|f| f.role == ModelRole::Care)
            .map(|f| f.step)
            .collect();
        assert!((MAX_FRAMES / 2..=MAX_FRAMES).contains(&steps.len()));
        assert_eq!(steps[0], 0);
        assert!(steps.is_sorted() && steps.last().is_some_and(|last| *last > 4900));
        let gaps: Vec<u32> = steps.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap == gaps[0]), "evenly spaced");
    }
}
