//! Batches: of P classes and K images of each, so that a rare class is seen as often as a common one; or of all images
//! shuffled, with those of smaller classes coming again or not.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::config::Sampling;

/// Draws batches for ever. Each class goes through all of its images in a shuffled order before one comes again. Which
/// classes come is decided by tickets, drawn in the same way. The same seed draws the same batches.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sampler {
    classes: Vec<Round>,
    /// The class of each ticket.
    tickets: Vec<usize>,
    order: Round,
    tickets_per_batch: usize,
    images_per_ticket: usize,
    steps_per_epoch: u32,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// `members[c]` are the samples of class c; classes without any are passed over. A batch holds `classes_per_batch`
    /// (or as many as there are) times `images_per_class` images, however they are drawn.
    #[must_use]
    pub fn new(
        members: Vec<Vec<usize>>,
        sampling: Sampling,
        classes_per_batch: usize,
        images_per_class: usize,
        seed: u64,
    ) -> Self {
        let classes: Vec<Round> = members
            .into_iter()
            .filter(|class| !class.is_empty())
            .map(Round::new)
            .collect();
        let sizes = || classes.iter().map(|class| class.members.len());
        let tickets_of = |n: usize, class: usize| std::iter::repeat_n(class, n);
        let tickets: Vec<usize> = match sampling {
            Sampling::ClassesTimesImages => (0..classes.len()).collect(),
            Sampling::Shuffled => sizes()
                .enumerate()
                .flat_map(|(class, n)| tickets_of(n, class))
                .collect(),
            Sampling::Oversampled => {
                let most = sizes().max().unwrap_or(0);
                (0..classes.len())
                    .flat_map(|class| tickets_of(most, class))
                    .collect()
            }
        };
        let num_classes = classes_per_batch.min(classes.len());
        let batch = num_classes * images_per_class;
        let (tickets_per_batch, images_per_ticket, images) = match sampling {
            Sampling::ClassesTimesImages => (num_classes, images_per_class, sizes().sum()),
            Sampling::Shuffled | Sampling::Oversampled => (batch, 1, tickets.len()),
        };
        let steps = images.div_ceil(batch.max(1)).max(1);
        Self {
            order: Round::new((0..tickets.len()).collect()),
            tickets,
            classes,
            tickets_per_batch,
            images_per_ticket,
            steps_per_epoch: u32::try_from(steps).unwrap_or(u32::MAX),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Batches in an epoch: as many as hold so many images as there are, or where images of smaller classes come again, as
    /// many as hold all of them.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u32 {
        self.steps_per_epoch
    }

    /// The samples of the next batch.
    pub fn next_batch(&mut self) -> Vec<usize> {
        let mut batch = Vec::with_capacity(self.tickets_per_batch * self.images_per_ticket);
        for ticket in self.order.draw(self.tickets_per_batch, &mut self.rng) {
            let class = &mut self.classes[self.tickets[ticket]];
            batch.extend(class.draw(self.images_per_ticket, &mut self.rng));
        }
        batch
    }

    /// Has this sample drawn first of its class, and a ticket of the class in the next batch: a box that was just drawn
    /// is learned from at once.
    pub fn bring_forward(&mut self, sample: usize) {
        for (label, class) in self.classes.iter_mut().enumerate() {
            if !class.bring_forward(sample) {
                continue;
            }
            let waiting = &self.order.members[self.order.next..];
            let ticket = waiting
                .iter()
                .find(|ticket| self.tickets[**ticket] == label);
            if let Some(ticket) = ticket.copied() {
                self.order.bring_forward(ticket);
            }
        }
    }
}

/// One time through all members after the other, each in another order.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Round {
    members: Vec<usize>,
    next: usize,
}

impl Round {
    fn new(members: Vec<usize>) -> Self {
        Self {
            next: members.len(),
            members,
        }
    }

    /// The next `n`. None comes twice while there are others.
    fn draw(&mut self, n: usize, rng: &mut impl Rng) -> Vec<usize> {
        let mut drawn = Vec::with_capacity(n);
        for _ in 0..n {
            if self.next >= self.members.len() {
                self.members.shuffle(rng);
                self.members.sort_by_key(|member| drawn.contains(member));
                self.next = 0;
            }
            drawn.push(self.members[self.next]);
            self.next += 1;
        }
        drawn
    }

    /// False where it is not among the members.
    fn bring_forward(&mut self, member: usize) -> bool {
        let at = self.members.iter().position(|m| *m == member);
        if let Some(at) = at {
            let member = self.members.remove(at);
            if at < self.next {
                self.next -= 1;
            }
            self.members.insert(self.next, member);
        }
        at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(sizes: &[usize], p: usize, k: usize, seed: u64) -> (Sampler, Vec<usize>) {
        let mut owner = Vec::new();
        let mut members = Vec::new();
        for (class, size) in sizes.iter().enumerate() {
            members.push((owner.len()..owner.len() + size).collect());
            owner.extend(vec![class; *size]);
        }
        let sampling = Sampling::ClassesTimesImages;
        (Sampler::new(members, sampling, p, k, seed), owner)
    }

    /// Of samples numbered through, `sizes[c]` of class c; how often each is drawn in an epoch.
    fn drawn_in_an_epoch(sizes: &[usize], sampling: Sampling, batch: usize) -> Vec<Vec<usize>> {
        let mut next = 0..sizes.iter().sum::<usize>();
        let members: Vec<Vec<usize>> = sizes
            .iter()
            .map(|n| next.by_ref().take(*n).collect())
            .collect();
        let mut sampler = Sampler::new(members.clone(), sampling, sizes.len(), batch, 3);
        let steps = sampler.steps_per_epoch();
        let drawn: Vec<usize> = (0..steps).flat_map(|_| sampler.next_batch()).collect();
        let times = |s: &usize| drawn.iter().filter(|d| *d == s).count();
        let class = |class: &Vec<usize>| class.iter().map(times).collect();
        members.iter().map(class).collect()
    }

    #[test]
    fn shuffled_sees_every_image_once() {
        for class in drawn_in_an_epoch(&[12, 5, 1], Sampling::Shuffled, 2) {
            assert!(class.iter().all(|times| *times == 1), "{class:?}");
        }
    }

    #[test]
    fn oversampled_sees_every_class_as_often_as_the_largest() {
        // 36 tickets in batches of 6.
        for class in drawn_in_an_epoch(&[12, 5, 1], Sampling::Oversampled, 2) {
            assert_eq!(class.iter().sum::<usize>(), 12, "{class:?}");
            let (least, most) = (class.iter().min(), class.iter().max());
            assert!(
                most.zip(least).is_some_and(|(m, l)| m - l <= 1),
                "{class:?}"
            );
        }
    }

    #[test]
    fn batches_hold_k_of_each_of_p_classes() {
        for (sizes, p, k) in [
            (&[32, 12, 2][..], 3, 4),
            (&[5, 5, 5, 5, 5], 2, 3),
            (&[3, 0, 1], 8, 2),
        ] {
            let (mut sampler, owner) = sampler(sizes, p, k, 1);
            let p = p.min(sizes.iter().filter(|n| **n > 0).count());
            for _ in 0..50 {
                let batch = sampler.next_batch();
                let mut counts = vec![0; sizes.len()];
                batch.iter().for_each(|s| counts[owner[*s]] += 1);
                assert_eq!(
                    counts.iter().filter(|n| **n == k).count(),
                    p,
                    "{sizes:?} {counts:?}"
                );
                assert_eq!(batch.len(), p * k);
            }
        }
    }

    #[test]
    fn every_image_comes_before_one_comes_again() {
        let (mut sampler, _) = sampler(&[8, 12], 2, 4, 3);
        let drawn: Vec<usize> = (0..6)
            .flat_map(|_| sampler.next_batch())
            .filter(|s| *s < 8)
            .collect();
        for round in drawn.chunks(8) {
            let mut round = round.to_vec();
            round.sort_unstable();
            assert_eq!(round, (0..8).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_seed_decides() {
        let draw = |seed| {
            let (mut sampler, _) = sampler(&[20, 7], 2, 4, seed);
            (0..10)
                .flat_map(|_| sampler.next_batch())
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
    }

    #[test]
    fn an_image_brought_forward_is_in_the_next_batch() {
        for drawn_before in 0..4 {
            for sample in 0..20 {
                let (mut sampler, _) = sampler(&[20, 7], 2, 4, 9);
                (0..drawn_before).for_each(|_| drop(sampler.next_batch()));
                sampler.next_batch();
                sampler.bring_forward(sample);
                assert!(
                    sampler.next_batch().contains(&sample),
                    "{sample} after {drawn_before}"
                );
            }
        }
    }

    #[test]
    fn an_epoch_holds_as_many_images_as_there_are() {
        assert_eq!(
            sampler(&[320, 120, 120, 24], 4, 4, 0).0.steps_per_epoch(),
            37
        );
        assert_eq!(sampler(&[1, 1], 2, 4, 0).0.steps_per_epoch(), 1);
    }
}
