//! Batches of P classes and K images of each, so that a rare class is seen as often as a common one.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws batches for ever. Each class goes through all of its images in a shuffled order before one comes again, and
/// so do the classes where a batch does not hold all of them. The same seed draws the same batches.
#[derive(Debug, Clone)]
pub struct Sampler {
    classes: Vec<Round>,
    order: Round,
    classes_per_batch: usize,
    images_per_class: usize,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// `members[c]` are the samples of class c; classes without any are passed over.
    #[must_use]
    pub fn new(
        members: Vec<Vec<usize>>,
        classes_per_batch: usize,
        images_per_class: usize,
        seed: u64,
    ) -> Self {
        let classes: Vec<Round> = members
            .into_iter()
            .filter(|class| !class.is_empty())
            .map(Round::new)
            .collect();
        Self {
            order: Round::new((0..classes.len()).collect()),
            classes_per_batch: classes_per_batch.min(classes.len()),
            images_per_class,
            classes,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Batches in an epoch: as many as hold so many images as there are.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u32 {
        let images: usize = self.classes.iter().map(|class| class.members.len()).sum();
        let batch = (self.classes_per_batch * self.images_per_class).max(1);
        u32::try_from(images.div_ceil(batch))
            .unwrap_or(u32::MAX)
            .max(1)
    }

    /// The samples of the next batch.
    pub fn next_batch(&mut self) -> Vec<usize> {
        let mut batch = Vec::with_capacity(self.classes_per_batch * self.images_per_class);
        for class in self.order.draw(self.classes_per_batch, &mut self.rng) {
            batch.extend(self.classes[class].draw(self.images_per_class, &mut self.rng));
        }
        batch
    }

    /// Has this sample drawn first of its class: a box that was just drawn is learned from at once.
    pub fn bring_forward(&mut self, sample: usize) {
        for class in &mut self.classes {
            class.bring_forward(sample);
        }
    }
}

/// One time through all members after the other, each in another order.
#[derive(Debug, Clone)]
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

    fn bring_forward(&mut self, member: usize) {
        if let Some(at) = self.members.iter().position(|m| *m == member) {
            let member = self.members.remove(at);
            if at < self.next {
                self.next -= 1;
            }
            self.members.insert(self.next, member);
        }
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
        (Sampler::new(members, p, k, seed), owner)
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
