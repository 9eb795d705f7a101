use std::collections::{HashMap, HashSet};

use care_data::import::{BoxesFrom, Options};
use care_data::split::Item;
use care_data::{Part, Project, SplitSpec};
use proptest::prelude::*;

use crate::{import, test_data};

fn counts(parts: &[Part]) -> [usize; 3] {
    Part::ALL.map(|part| parts.iter().filter(|p| **p == part).count())
}

proptest! {
    #[test]
    fn groups_stay_whole_and_shares_hold(groups in prop::collection::vec((0..3_usize, 1..4_usize), 1..200), seed: u64) {
        let classes = ["a", "b", "c"];
        let names: Vec<_> = (0..groups.len()).map(|i| format!("g{i}")).collect();
        let items: Vec<_> = groups.iter().zip(&names)
            .flat_map(|(&(class, size), group)| vec![Item { class: classes[class], group, part: None }; size])
            .collect();
        let split = SplitSpec { seed, ..SplitSpec::default() };
        let parts = split.assign(&items);

        let mut of_group: HashMap<&str, HashSet<Part>> = HashMap::new();
        for (item, part) in items.iter().zip(&parts) {
            of_group.entry(item.group).or_default().insert(*part);
        }
        prop_assert!(of_group.values().all(|parts| parts.len() == 1));

        for (index, class) in classes.iter().enumerate() {
            let parts: Vec<_> = items.iter().zip(&parts).filter(|(i, _)| i.class == *class).map(|(_, p)| *p).collect();
            let (n, groups) = (parts.len() as f64, groups.iter().filter(|(c, _)| *c == index).count());
            let [train, validation, test] = counts(&parts);
            prop_assert!(groups == 0 || train > 0);
            prop_assert!(groups < 2 || test > 0);
            prop_assert!(groups < 3 || validation > 0);
            // Whole groups of at most three images miss a share by at most three.
            prop_assert!((test as f64 - 0.2 * n).abs() <= 3.0);
            prop_assert!((validation as f64 - 0.08 * n).abs() <= 3.0);
        }

        // The order of the images does not matter.
        let reversed: Vec<_> = items.iter().rev().copied().collect();
        let mut again = split.assign(&reversed);
        again.reverse();
        prop_assert_eq!(again, parts);
    }
}

proptest! {
    /// A patient may have lesions of several classes.
    #[test]
    fn a_group_of_several_classes_counts_in_the_rarest(
        (groups, order) in prop::collection::vec(prop::collection::btree_map(0..3_usize, 1..4_usize, 1..4), 1..60)
            .prop_flat_map(|groups| {
                let images: usize = groups.iter().flat_map(|group| group.values()).sum();
                (Just(groups), Just((0..images).collect::<Vec<_>>()).prop_shuffle())
            }),
        seed: u64,
    ) {
        let classes = ["a", "b", "c"];
        let names: Vec<_> = (0..groups.len()).map(|i| format!("g{i}")).collect();
        let items: Vec<_> = groups.iter().zip(&names)
            .flat_map(|(group, name)| group.iter().flat_map(move |(&class, &size)|
                vec![Item { class: classes[class], group: name, part: None }; size]))
            .collect();
        let split = SplitSpec { seed, ..SplitSpec::default() };
        let parts = split.assign(&items);

        let shuffled: Vec<_> = order.iter().map(|&i| items[i]).collect();
        let again: Vec<_> = order.iter().map(|&i| parts[i]).collect();
        prop_assert_eq!(split.assign(&shuffled), again, "the order of the images does not matter");

        let mut of_group: HashMap<&str, HashSet<Part>> = HashMap::new();
        for (item, part) in items.iter().zip(&parts) {
            of_group.entry(item.group).or_default().insert(*part);
        }
        prop_assert!(of_group.values().all(|parts| parts.len() == 1));

        let images = |class: usize| groups.iter().filter_map(move |group| group.get(&class));
        let rarest = (0..3).filter(|&c| images(c).count() > 0).min_by_key(|&c| images(c).sum::<usize>()).unwrap();
        let parts: Vec<_> = items.iter().zip(&parts).filter(|(i, _)| i.class == classes[rarest]).map(|(_, p)| *p).collect();
        let [train, validation, test] = counts(&parts);
        let (n, groups, largest) = (parts.len() as f64, images(rarest).count(), *images(rarest).max().unwrap() as f64);
        prop_assert!(train > 0);
        prop_assert!(groups < 2 || test > 0);
        prop_assert!(groups < 3 || validation > 0);
        if groups >= 3 {
            prop_assert!((test as f64 - 0.2 * n).abs() <= largest, "{test} of {n}");
            prop_assert!((validation as f64 - 0.08 * n).abs() <= largest, "{validation} of {n}");
        }
    }
}

#[test]
fn small_classes() {
    for (sizes, expected) in [
        (vec![1], [1, 0, 0]),
        (vec![7], [7, 0, 0]),
        (vec![1, 1], [1, 0, 1]),
        (vec![5, 3], [5, 0, 3]),
        (vec![1, 1, 1], [1, 1, 1]),
        (vec![1; 10], [7, 1, 2]),
    ] {
        let names: Vec<_> = (0..sizes.len()).map(|i| i.to_string()).collect();
        let items: Vec<_> = sizes
            .iter()
            .zip(&names)
            .flat_map(|(&size, group)| {
                vec![
                    Item {
                        class: "rare",
                        group,
                        part: None
                    };
                    size
                ]
            })
            .collect();
        assert_eq!(
            counts(&SplitSpec::default().assign(&items)),
            expected,
            "{sizes:?}"
        );
    }
}

#[test]
fn what_stands_somewhere_stays_and_draws_its_group_along() {
    let item = |group, part| Item {
        class: "a",
        group,
        part,
    };
    let items = [
        item("x", Some(Part::Test)),
        item("x", None),
        item("x", Some(Part::Train)),
        item("y", Some(Part::Validation)),
    ];
    let parts = SplitSpec::default().assign(&items);
    assert_eq!(
        parts,
        [Part::Test, Part::Test, Part::Test, Part::Validation]
    );
}

#[test]
fn without_shares_all_train() {
    let names: Vec<_> = (0..20).map(|i| i.to_string()).collect();
    let items: Vec<_> = names
        .iter()
        .map(|group| Item {
            class: "a",
            group,
            part: None,
        })
        .collect();
    let split = SplitSpec {
        seed: 0,
        test: 0.0,
        validation: 0.0,
    };
    assert_eq!(counts(&split.assign(&items)), [20, 0, 0]);
}

/// Two images of one lesion never stand on both sides.
#[test]
fn no_lesion_of_ham10000_is_torn_apart() {
    let Some(folder) = test_data("ham10000") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let mut project = Project::create(&root.path().join("ham.care")).unwrap();
    // In two halves, as somebody adds images later.
    let mut first = import(
        &folder,
        &Options {
            boxes: BoxesFrom::None,
            ..Options::default()
        },
    )
    .unwrap();
    let mut second = first.clone();
    first.images = first.images.into_iter().step_by(2).collect();
    second.images = second.images.into_iter().skip(1).step_by(2).collect();
    for half in [first, second] {
        project.take_in(half).unwrap();
    }
    assert!(
        project.images().len() >= 10_013,
        "it holds two pictures twice, which are taken in once where they come apart"
    );

    let mut parts: HashMap<&str, HashSet<Part>> = HashMap::new();
    for image in project.images() {
        parts.entry(&image.group).or_default().insert(image.part);
    }
    assert_eq!(parts.len(), 7470);
    assert!(parts.values().all(|parts| parts.len() == 1));

    for class in project.classes() {
        let of_class: Vec<_> = project
            .images()
            .iter()
            .filter(|i| i.class == class.id)
            .map(|i| i.part)
            .collect();
        let [_, validation, test] = counts(&of_class).map(|n| n as f64 / of_class.len() as f64);
        assert!(
            (test - 0.2).abs() < 0.02 && (validation - 0.08).abs() < 0.02,
            "{}: {validation} {test}",
            class.name
        );
    }
}
