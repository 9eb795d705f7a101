//! The film while it is made: every refresh of the watch list, within a bound.

use std::time::Duration;

use care_data::ImageId;
use serde::{Deserialize, Serialize};

use crate::event::{FilmFrame, ModelRole};
use crate::run_folder::Film;

/// Frames of one model beyond which every second one of them goes.
const MAX_FRAMES: usize = 240;
/// Refreshes take at most one part in so many of the time.
const SHARE: u32 = 20;

/// Least time between refreshes, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh(pub u32);

impl Default for Refresh {
    fn default() -> Self {
        Self(2)
    }
}

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

/// Collects frames and says when the next is due. Times are those of the training: without pauses.
#[derive(Debug)]
pub(crate) struct FilmRecorder {
    film: Film,
    pub(crate) refresh: Refresh,
    /// In the order of [`ModelRole::ALL`].
    pace: [Pace; ModelRole::ALL.len()],
    /// When the newest refresh of these images was there.
    last: Option<Duration>,
    /// What the newest refresh cost.
    cost: Duration,
    /// What all of them cost.
    spent: Duration,
    /// Mean energy and share of hits in each model's newest refresh.
    scores: [(Option<f32>, Option<f32>); ModelRole::ALL.len()],
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
            refresh: Refresh::default(),
            pace: [pace; ModelRole::ALL.len()],
            last: None,
            cost: Duration::ZERO,
            spent: Duration::ZERO,
            scores: Default::default(),
        }
    }

    /// Goes on with what a run had recorded before it stopped.
    pub(crate) fn go_on(&mut self, frames: impl Iterator<Item = FilmFrame>) {
        self.film.frames = frames.collect();
        for frame in &self.film.frames {
            self.pace[frame.role as usize].refreshes += 1;
            self.scores[frame.role as usize] = (frame.mean_energy(), frame.hit_share());
        }
    }

    pub(crate) fn film(&self) -> &Film {
        &self.film
    }

    /// Other images are watched from here on, and seen as soon as there is time for them.
    pub(crate) fn watch(&mut self, images: Vec<ImageId>) {
        self.film.watch = images;
        self.last = None;
    }

    /// Whether the watch list is to be looked at again after `trained`: [`Refresh`] after the newest one, and not before
    /// all refreshes, with one more like the newest, are within their share of the time. What had to be looked at (a stage's
    /// beginning and end) is made up for in this way.
    pub(crate) fn is_due(&self, trained: Duration) -> bool {
        let refresh = Duration::from_secs(self.refresh.0.into());
        let is_time = self.last.is_none_or(|at| trained >= at + refresh);
        is_time && (self.spent + self.cost) * SHARE <= trained
    }

    /// Share of the time, 0..=1, that the film has taken.
    pub(crate) fn share(&self, trained: Duration) -> f32 {
        self.spent.as_secs_f32() / trained.as_secs_f32().max(1e-6)
    }

    /// Mean energy in the box and share of pointing hits over the watched images, as a model was last seen.
    pub(crate) fn scores(&self, role: ModelRole) -> (Option<f32>, Option<f32>) {
        self.scores[role as usize]
    }

    /// Takes the frames of one refresh, one a model, which took `cost` to compute and were there after `trained`. A stage's
    /// first and last are `always` kept, and stay: they are their models' first and newest.
    pub(crate) fn push(
        &mut self,
        frames: &[FilmFrame],
        cost: Duration,
        trained: Duration,
        always: bool,
    ) {
        for frame in frames {
            let pace = &mut self.pace[frame.role as usize];
            if always || pace.refreshes.is_multiple_of(pace.stride) {
                self.film.frames.push(frame.clone());
                if thin(&mut self.film.frames, frame.role, MAX_FRAMES) {
                    pace.stride *= 2;
                }
            }
            pace.refreshes += 1;
            self.scores[frame.role as usize] = (frame.mean_energy(), frame.hit_share());
        }
        self.last = Some(trained);
        self.cost = cost;
        self.spent += cost;
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
                    recorder.push(&frames, Duration::ZERO, Duration::ZERO, always);
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

    /// A run in steps of 10 ms: a frame is computed at its beginning, when one is due, and at the end.
    #[test]
    fn the_film_takes_its_share_of_the_time_and_no_more() {
        let ms = Duration::from_millis;
        // Seconds of training, what a refresh costs and how often it is wanted, how many there are besides the first and the
        // last.
        for (seconds, cost, refresh, expected) in [
            (60, ms(10), Refresh::default(), 29..=30),
            (60, ms(90), Refresh::default(), 26..=29),
            (60, ms(400), Refresh::default(), 4..=7),
            (5, ms(10), Refresh::default(), 2..=2),
            (5, ms(400), Refresh::default(), 0..=0),
            (60, ms(10), Refresh(1), 57..=60),
            (60, ms(10), Refresh(10), 5..=6),
            (60, ms(400), Refresh(1), 4..=7),
        ] {
            let mut recorder = FilmRecorder::new(vec![]);
            recorder.refresh = refresh;
            let frames = [frame(ModelRole::Before, 0)];
            let mut trained = Duration::ZERO;
            assert!(recorder.is_due(trained), "the first comes at once");
            let mut between = 0;
            let look = |trained: &mut Duration, recorder: &mut FilmRecorder, always| {
                *trained += cost;
                recorder.push(&frames, cost, *trained, always);
            };
            look(&mut trained, &mut recorder, true);
            while trained < Duration::from_secs(seconds) {
                trained += ms(10);
                if recorder.is_due(trained) {
                    look(&mut trained, &mut recorder, false);
                    between += 1;
                    assert!(recorder.share(trained) <= 0.05, "{cost:?} at {trained:?}");
                }
            }
            look(&mut trained, &mut recorder, true);
            assert!(expected.contains(&between), "{cost:?}: {between}");
        }
    }

    #[test]
    fn other_images_are_seen_at_once_where_there_is_time() {
        let mut recorder = FilmRecorder::new(vec![]);
        let second = Duration::from_secs(1);
        recorder.refresh = Refresh(20);
        recorder.push(&[], Duration::from_millis(1), 10 * second, false);
        assert!(!recorder.is_due(11 * second));
        recorder.watch(vec![ImageId(3)]);
        assert!(recorder.is_due(11 * second));
        recorder.push(&[], second, 11 * second, false);
        recorder.watch(vec![]);
        assert!(!recorder.is_due(12 * second), "the share holds");
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
