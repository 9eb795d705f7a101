//! The film while it is made: every refresh of the watch list, within a bound.

use std::time::{Duration, Instant};

use care_data::ImageId;

use crate::event::{FilmFrame, ModelRole};
use crate::run_folder::Film;

/// Frames of one model beyond which every second one of them goes.
const MAX_FRAMES: usize = 240;
/// Least time between refreshes.
const REFRESH: Duration = Duration::from_secs(2);
/// Refreshes take at most one part in so many of the time.
const SHARE: u32 = 20;

/// Leaves out every second frame of the model `role` where it has more than `limit`, and says whether it did. The
/// model's first and newest frames stay, and so do all frames of the other models.
pub fn thin(frames: &mut Vec<FilmFrame>, role: ModelRole, limit: usize) -> bool {
    let count = frames.iter().filter(|frame| frame.role == role).count();
    if count <= limit {
        return false;
    }
    let mut place = 0;
    frames.retain(|frame| {
        if frame.role != role {
            return true;
        }
        place += 1;
        place % 2 == 1 || place == count
    });
    true
}

/// Collects frames and says when the next is due.
#[derive(Debug)]
pub(crate) struct FilmRecorder {
    film: Film,
    /// In the order of [`ModelRole::ALL`].
    pace: [Pace; ModelRole::ALL.len()],
    next: Instant,
}

/// Which refreshes of one model are kept.
#[derive(Debug, Clone, Copy)]
struct Pace {
    refreshes: usize,
    /// One in so many.
    stride: usize,
}

impl FilmRecorder {
    pub(crate) fn new(watch: Vec<ImageId>) -> Self {
        let pace = Pace {
            refreshes: 0,
            stride: 1,
        };
        Self {
            film: Film {
                watch,
                frames: Vec::new(),
            },
            pace: [pace; ModelRole::ALL.len()],
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
    /// `always` kept, and stay: they are their models' first and newest.
    pub(crate) fn push(&mut self, frames: &[FilmFrame], cost: Duration, always: bool) {
        for frame in frames {
            let pace = &mut self.pace[frame.role as usize];
            if always || pace.refreshes.is_multiple_of(pace.stride) {
                self.film.frames.push(frame.clone());
                if thin(&mut self.film.frames, frame.role, MAX_FRAMES) {
                    pace.stride *= 2;
                }
            }
            pace.refreshes += 1;
        }
        self.next = Instant::now() + REFRESH.max(cost * SHARE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(role: ModelRole, step: u32) -> FilmFrame {
        FilmFrame {
            role,
            step,
            epoch: 0.0,
            images: vec![],
        }
    }

    fn steps(frames: &[FilmFrame], role: ModelRole) -> Vec<u32> {
        frames
            .iter()
            .filter(|f| f.role == role)
            .map(|f| f.step)
            .collect()
    }

    /// Stage 1 with one model and few or many refreshes, stage 2 with two and many or few.
    #[test]
    fn each_model_is_bounded_by_itself_and_keeps_its_first_and_last() {
        for (first, second) in [(3, 5001), (240, 700), (241, 0), (5001, 4)] {
            let mut recorder = FilmRecorder::new(vec![]);
            let mut push = |roles: &[ModelRole], steps: std::ops::RangeInclusive<u32>| {
                for step in steps.clone() {
                    let frames: Vec<_> = roles.iter().map(|role| frame(*role, step)).collect();
                    let always = step == *steps.start() || step == *steps.end();
                    recorder.push(&frames, Duration::ZERO, always);
                }
            };
            push(&[ModelRole::Before], 0..=first);
            push(
                &[ModelRole::Control, ModelRole::Care],
                first..=first + second,
            );
            for (role, from, last) in [
                (ModelRole::Before, 0, first),
                (ModelRole::Control, first, first + second),
                (ModelRole::Care, first, first + second),
            ] {
                let kept = steps(&recorder.film.frames, role);
                let all = (last - from) as usize + 1;
                let least = all.min(MAX_FRAMES / 2);
                assert!(
                    (least..=MAX_FRAMES).contains(&kept.len()),
                    "{} of {all}",
                    kept.len()
                );
                assert_eq!((kept[0], kept[kept.len() - 1]), (from, last), "{role:?}");
                // Evenly spaced, but for the last one.
                let gaps: Vec<u32> = kept.windows(2).map(|pair| pair[1] - pair[0]).collect();
                let even = &gaps[..gaps.len().saturating_sub(1)];
                assert!(even.iter().all(|gap| *gap == even[0]), "{role:?} {gaps:?}");
            }
        }
    }

    #[test]
    fn thinning_one_model_leaves_the_others() {
        use ModelRole::{Before, Care, Control};
        let mut frames: Vec<FilmFrame> = (0..3).map(|step| frame(Before, step)).collect();
        for step in 3..9 {
            frames.extend([frame(Control, step), frame(Care, step)]);
        }
        frames.push(frame(Care, 9));
        assert!(!thin(&mut frames, Control, 6));
        assert!(thin(&mut frames, Care, 6));
        assert!(thin(&mut frames, Control, 5));
        assert_eq!(steps(&frames, Before), [0, 1, 2]);
        assert_eq!(steps(&frames, Control), [3, 5, 7, 8]);
        assert_eq!(steps(&frames, Care), [3, 5, 7, 9]);
        assert!(frames.is_sorted_by_key(|f| f.step));
    }
}
