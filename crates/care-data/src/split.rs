//! Train, validation and test: stratified by class, a group always on one side.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::model::{ContentHash, Part};

/// How images are split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SplitSpec {
    pub seed: u64,
    /// Share of all images, 0..1.
    pub test: f64,
    /// Share of the images that are not test images, 0..1.
    pub validation: f64,
}

impl Default for SplitSpec {
    fn default() -> Self {
        Self {
            seed: 0,
            test: 0.2,
            validation: 0.1,
        }
    }
}

/// An image as the split sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    pub class: &'a str,
    /// The patient or lesion.
    pub group: &'a str,
    /// Where it stands already.
    pub part: Option<Part>,
}

impl SplitSpec {
    /// Gives every image its part, in the order of `items`.
    ///
    /// A group stands in one part: the one of its first image that has one, or else a drawn one. It is drawn for the
    /// rarest class that it holds, the one of the fewest images, and the rarest class is served first, so that it is
    /// the commonest class that bends where a group spans several. For each class the test part is filled first, then
    /// validation, each with whole groups as long as they fit its share. A class of two groups or more has one in test
    /// and one in training, of three or more one in validation too, where a share is asked for at all; a class of one
    /// group trains. Only where its groups were drawn for rarer classes can a class have less. The draw depends on the
    /// seed, the names of the groups and classes and how many images they have, never on the order of the images.
    #[must_use]
    pub fn assign(&self, items: &[Item]) -> Vec<Part> {
        let mut placed: HashMap<&str, Part> = HashMap::new();
        let mut sizes: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for item in items {
            let groups = sizes.entry(item.class).or_default();
            *groups.entry(item.group).or_default() += 1;
            if let Some(part) = item.part {
                placed.entry(item.group).or_insert(part);
            }
        }
        let mut classes: Vec<_> = sizes.into_iter().collect();
        classes.sort_by_key(|(_, groups)| groups.values().sum::<usize>());
        for (_, groups) in classes {
            let mut groups: Vec<_> = groups
                .into_iter()
                .map(|(name, size)| Group { name, size })
                .collect();
            shuffle_by(self.seed, &mut groups, |group| group.name);
            self.fill(&groups, &mut placed);
            // What is left trains, also for the commoner classes that it holds.
            for group in groups {
                placed.entry(group.name).or_insert(Part::Train);
            }
        }
        items
            .iter()
            .map(|item| placed.get(item.group).copied().unwrap_or(Part::Train))
            .collect()
    }

    /// Places those groups of one class that stand nowhere yet and do not train.
    fn fill<'a>(&self, groups: &[Group<'a>], placed: &mut HashMap<&'a str, Part>) {
        let total: usize = groups.iter().map(|group| group.size).sum();
        let test = if groups.len() >= 2 {
            share(self.test, total)
        } else {
            0
        };
        let validation = if groups.len() >= 3 {
            share(self.validation, total - test.min(total))
        } else {
            0
        };
        let images_in = |part, placed: &HashMap<&str, Part>| -> usize {
            let there = groups
                .iter()
                .filter(|group| placed.get(group.name) == Some(&part));
            there.map(|group| group.size).sum()
        };
        for (part, wanted) in [(Part::Test, test), (Part::Validation, validation)] {
            let mut have = images_in(part, placed);
            let trains = images_in(Part::Train, placed) > 0;
            let mut free: Vec<_> = groups
                .iter()
                .filter(|group| !placed.contains_key(group.name))
                .collect();
            // One group stays to train on.
            let mut spare = if trains {
                free.len()
            } else {
                free.len().saturating_sub(1)
            };
            free.retain(|group| {
                let fits = spare > 0 && have + group.size <= wanted;
                if fits {
                    placed.insert(group.name, part);
                    have += group.size;
                    spare -= 1;
                }
                !fits
            });
            if have == 0 && wanted > 0 && spare > 0 {
                placed.extend(
                    free.iter()
                        .min_by_key(|group| group.size)
                        .map(|group| (group.name, part)),
                );
            }
        }
    }
}

/// A group as one class sees it.
#[derive(Debug, Clone, Copy)]
struct Group<'a> {
    name: &'a str,
    /// Its images of that class.
    size: usize,
}

/// Images of `total`, at least one where any are asked for.
fn share(share: f64, total: usize) -> usize {
    if share > 0.0 {
        ((share * total as f64).round() as usize).max(1)
    } else {
        0
    }
}

/// Sorts by a hash of seed and name: an order that is random, and the same whatever the order was before.
pub(crate) fn shuffle_by<T>(seed: u64, items: &mut [T], name: impl Fn(&T) -> &str) {
    items.sort_by_cached_key(|item| ContentHash::of(format!("{seed} {}", name(item)).as_bytes()).0);
}
