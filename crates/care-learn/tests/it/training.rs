//! A whole run on a tiny task, from outside: images on disk in, a run's folder out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use care_data::{BoundingBox, ImageId, Part};
use care_learn::backbone::Network;
use care_learn::config::{BackboneKind, Precision};
use care_learn::device::processor_has_bf16;
use care_learn::event::{Change, ModelRole, Outcome, StepMetrics, TrainerEvent};
use care_learn::run_folder::RunFolder;
use care_learn::task::{Problem, Task, check};
use care_learn::worker::Worker;
use care_learn::{LiveParams, TrainerCommand};
use tch::Device;

use super::tiny::{Reaction, SIDE, at_step, replay, run, steps_of, tiny_task, use_one_thread};

#[test]
fn a_run_from_start_to_end_with_changes_on_the_way() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    let live = LiveParams {
        alpha: 0.9,
        lambda: 0.1,
        tau: 0.3,
    };
    let image = task.samples[0].image;
    let drawn = vec![BoundingBox::new(1.0, 2.0, 9.0, 10.0).expect("a box")];
    let (outcome, events) = run(&task, |event| {
        if at_step(event, 1) {
            Reaction::Send(vec![TrainerCommand::Live(live)])
        } else if at_step(event, 5) {
            Reaction::Send(vec![TrainerCommand::Boxes {
                image,
                boxes: drawn.clone(),
            }])
        } else {
            Reaction::Nothing
        }
    });
    let Outcome::Finished(results) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        results
            .summaries
            .iter()
            .map(|(role, _)| *role)
            .collect::<Vec<_>>(),
        ModelRole::ALL
    );
    for (_, summary) in &results.summaries {
        assert_eq!(summary.confusion.iter().flatten().sum::<u32>(), 8);
        assert_eq!(summary.energy.map(|e| e.n), Some(4));
        assert_eq!(summary.energy_all.map(|e| e.n), Some(4));
    }
    assert_eq!(results.rare_difference.map(|d| d.n), Some(4));

    // Every model is tested from its first image on.
    let tested: Vec<_> = events
        .iter()
        .filter_map(|e| match e {
            TrainerEvent::Evaluating { role, done, total } => Some((*role, *done, *total)),
            _ => None,
        })
        .filter(|(_, done, _)| *done == 0)
        .collect();
    assert_eq!(tested, ModelRole::ALL.map(|role| (role, 0, 8)));

    // 16 images in batches of 8: 2 steps an epoch, 4 epochs.
    let steps = steps_of(&events);
    assert_eq!(
        steps
            .iter()
            .map(|s| (s.step, s.num_steps, s.stage))
            .collect::<Vec<_>>(),
        [
            (1, 8, 1),
            (2, 8, 1),
            (3, 8, 1),
            (4, 8, 1),
            (5, 8, 2),
            (6, 8, 2),
            (7, 8, 2),
            (8, 8, 2)
        ]
    );
    // Half of each batch is boxed from the start.
    assert!(steps.iter().all(|s| {
        s.losses
            .iter()
            .all(|(_, l)| l.attention.is_some() && l.total.is_finite())
    }));
    for step in steps.iter().filter(|s| s.stage == 2) {
        for (role, losses) in &step.losses {
            let alpha = if *role == ModelRole::Care { 0.9 } else { 0.0 };
            let l_a = losses.attention.expect("boxed").l_a;
            assert!(
                (losses.total - ((1.0 - alpha) * losses.classification + alpha * l_a)).abs() < 1e-5
            );
            assert!(
                (-0.3..=0.1).contains(&l_a),
                "tau and lambda as changed: {l_a}"
            );
        }
    }
    // Both models begin alike and see the same batch.
    assert_eq!(
        steps[4].losses[0].1.classification,
        steps[4].losses[1].1.classification
    );

    let folder = RunFolder::open(&task.folder).expect("opens");
    assert_eq!(folder.config().expect("config"), task.config);
    assert_eq!(folder.results().expect("results"), results);
    let epochs = folder.epochs().expect("epochs");
    assert_eq!(
        epochs.iter().map(|e| (e.epoch, e.role)).collect::<Vec<_>>(),
        [
            (1, ModelRole::Before),
            (2, ModelRole::Before),
            (3, ModelRole::Control),
            (3, ModelRole::Care),
            (4, ModelRole::Control),
            (4, ModelRole::Care),
        ]
    );
    assert!(
        epochs
            .iter()
            .all(|e| e.num_validation == 4 && e.num_rare == 2 && e.mca.is_some())
    );
    let changes = folder.changes().expect("changes");
    assert_eq!(
        changes
            .iter()
            .map(|c| (c.step, c.change.clone()))
            .collect::<Vec<_>>(),
        [
            (
                1,
                Change::Live {
                    from: LiveParams::default(),
                    to: live
                }
            ),
            (4, Change::StageTwo),
            (
                5,
                Change::Boxes {
                    image,
                    boxes: drawn
                }
            ),
        ]
    );
    let film = folder.film().expect("film");
    assert_eq!(film.watch, task.watch);
    let reported: Vec<_> = events
        .iter()
        .filter_map(|e| {
            if let TrainerEvent::Film(f) = e {
                Some(f.clone())
            } else {
                None
            }
        })
        .collect();
    assert_eq!(film.frames, reported);
    for role in ModelRole::ALL {
        assert!(film.frames.iter().filter(|f| f.role == role).count() >= 2);
        assert!(folder.weights(role).is_file());
        let seen = folder.test_attention(&[role]).expect("test");
        let (_, seen) = &seen[0];
        assert_eq!(seen.len(), 8);
        assert!(seen.iter().all(|i| i.map.values.len() == 49
            && (i.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5));
        assert_eq!(seen.iter().filter(|i| i.energy.is_some()).count(), 4);
    }
    let rows = std::fs::read_to_string(task.folder.join("steps.csv"))
        .expect("steps")
        .lines()
        .count();
    assert_eq!(rows, 1 + 4 + 2 * 4);

    // A damaged file is named.
    std::fs::write(task.folder.join("film.safetensors"), b"not a film").expect("writes");
    std::fs::remove_file(task.folder.join("results.json")).expect("removes");
    assert!(
        folder
            .film()
            .expect_err("damaged")
            .to_string()
            .contains("film.safetensors")
    );
    assert!(
        folder
            .results()
            .expect_err("missing")
            .to_string()
            .contains("results.json")
    );
}

#[test]
fn the_seed_decides_the_run() {
    let losses = |seed| {
        let dir = tempfile::tempdir().expect("a folder");
        let mut task = tiny_task(dir.path());
        task.config.seed = seed;
        let (_, events) = run(&task, |_| Reaction::Nothing);
        let losses = steps_of(&events).into_iter().map(|step| &step.losses);
        losses.cloned().collect::<Vec<_>>()
    };
    let first = losses(3);
    assert_eq!(first, losses(3));
    assert_ne!(first, losses(4));
}

/// What a run that was stopped after `step` left behind.
fn stopped_after(step: u32, dir: &Path) -> (Task, RunFolder, Outcome) {
    let task = tiny_task(dir);
    let (outcome, events) = run(&task, |event| {
        if at_step(event, step) {
            Reaction::Stop
        } else {
            Reaction::Nothing
        }
    });
    assert!(
        !events.iter().any(|e| at_step(e, step + 1)),
        "stopped within a step"
    );
    let folder = RunFolder::open(&task.folder).expect("opens");
    (task, folder, outcome)
}

#[test]
fn a_stopped_run_is_scored_where_there_is_something_to_compare() {
    for (step, kept, scored) in [
        (1, &[ModelRole::Before][..], false),
        (6, &ModelRole::ALL, true),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let (_, folder, outcome) = stopped_after(step, dir.path());
        assert!(
            matches!(&outcome, Outcome::Stopped(results) if results.is_some() == scored),
            "{outcome:?}"
        );
        let there = ModelRole::ALL
            .into_iter()
            .filter(|role| folder.weights(*role).is_file())
            .collect::<Vec<_>>();
        assert_eq!(there, kept);
        assert!(folder.film().is_ok());
    }
}

/// The weights of a run stopped after a step give the losses of the next step of a run that goes on.
#[test]
fn stopping_keeps_the_weights_of_the_step() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_, events) = run(&tiny_task(dir.path()), |_| Reaction::Nothing);
    let whole = steps_of(&events);
    for (step, roles) in [
        (1, &[ModelRole::Before][..]),
        (6, &[ModelRole::Control, ModelRole::Care]),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let (task, folder, _) = stopped_after(step, dir.path());
        for role in roles {
            let mut network = Network::new(BackboneKind::SmallResnet, 2, 9, Device::Cpu);
            network.load(&folder.weights(*role)).expect("loads");
            let seen = replay(&task, &network, step + 1);
            let l_a = seen.attention(&task, &task.config.live).l_a;
            let of = |step: u32| {
                let losses = &whole[step as usize - 1].losses;
                let (_, losses) = losses.iter().find(|(r, _)| r == role).expect("the model");
                (losses.classification, losses.attention.expect("boxes").l_a)
            };
            let (l_c, next_l_a) = of(step + 1);
            assert!(
                (seen.classification - l_c).abs() < 1e-4,
                "{role:?} after {step}: {} {l_c}",
                seen.classification
            );
            assert!((l_a - next_l_a).abs() < 1e-4, "{role:?} after {step}");
            // A step matters.
            assert!((of(step).0 - l_c).abs() > 1e-3);
        }
    }
}

#[test]
fn nobody_waits_for_the_scores_of_an_abandoned_run() {
    type When = fn(&TrainerEvent) -> bool;
    let cases: [(&str, When); 2] = [
        ("training", |e| at_step(e, 6)),
        ("testing", |e| matches!(e, TrainerEvent::Evaluating { .. })),
    ];
    for (name, when) in cases {
        let dir = tempfile::tempdir().expect("a folder");
        let task = tiny_task(dir.path());
        let (outcome, events) = run(&task, |event| {
            if when(event) {
                Reaction::Abandon
            } else {
                Reaction::Nothing
            }
        });
        assert_eq!(outcome, Outcome::Stopped(None), "{name}");
        let tested = events
            .iter()
            .filter(|e| matches!(e, TrainerEvent::Evaluating { .. }));
        assert!(tested.count() <= 1, "{name}");
        let folder = RunFolder::open(&task.folder).expect("opens");
        assert!(
            ModelRole::ALL
                .iter()
                .all(|role| folder.weights(*role).is_file())
        );
    }
}

/// Equations 2 to 4 of a batch in which only some images have boxes, images of either class, against each image by
/// itself; tau lies between the images, so that it has to be applied to each.
#[test]
fn the_attention_loss_is_the_mean_over_the_batchs_images_with_boxes() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut task = tiny_task(dir.path());
    let mut trained = task.samples.iter_mut().filter(|s| s.part == Part::Train);
    let boxes: Vec<_> = (0..8).map(|i| f64::from(5 * i)).collect();
    for (i, sample) in trained.by_ref().take(16).enumerate() {
        let at = boxes[i % 8];
        sample.boxes = if i % 2 == 0 {
            vec![BoundingBox::new(at, 40.0 - at, at + 14.0, 52.0 - at).expect("a box")]
        } else {
            vec![]
        };
    }
    assert!(trained.next().is_none());
    let network = Network::new(BackboneKind::SmallResnet, 2, task.config.seed, Device::Cpu);
    let seen = replay(&task, &network, 1);
    let mut inside: Vec<f64> = seen
        .boxed(&task)
        .map(|(masks, map)| masks.mean_inside(map))
        .collect();
    inside.sort_by(f64::total_cmp);
    assert!((2..8).contains(&inside.len()), "{inside:?}");
    let (low, high) = (inside[0], inside[inside.len() - 1]);
    assert!(high - low > 0.01, "{inside:?}");
    task.config.live.tau = (low + high) / 2.0;

    let (_, events) = run(&task, |event| {
        if at_step(event, 1) {
            Reaction::Stop
        } else {
            Reaction::Nothing
        }
    });
    let (_, losses) = steps_of(&events)[0].losses[0];
    let expected = seen.attention(&task, &task.config.live);
    let found = losses.attention.expect("boxes");
    for (name, found, expected) in [
        ("l_c", losses.classification, seen.classification),
        ("l_in", found.l_in, expected.l_in),
        ("l_out", found.l_out, expected.l_out),
        ("l_a", found.l_a, expected.l_a),
    ] {
        assert!(
            (found - expected).abs() < 1e-5,
            "{name}: {found} {expected}"
        );
    }
}

#[test]
fn alpha_lambda_and_tau_take_effect_at_the_next_step() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    let after = LiveParams {
        alpha: 0.9,
        lambda: 0.1,
        tau: 0.01,
    };
    let (_, events) = run(&task, |event| {
        if at_step(event, 5) {
            Reaction::Send(vec![TrainerCommand::Live(after)])
        } else {
            Reaction::Nothing
        }
    });
    for step in steps_of(&events).iter().filter(|step| step.stage == 2) {
        let live = if step.step <= 5 {
            task.config.live
        } else {
            after
        };
        for (role, losses) in &step.losses {
            let alpha = if *role == ModelRole::Care {
                live.alpha as f32
            } else {
                0.0
            };
            let attention = losses.attention.expect("boxes");
            let l_a = attention.l_in + live.lambda as f32 * attention.l_out;
            let total = (1.0 - alpha) * losses.classification + alpha * l_a;
            assert!((attention.l_a - l_a).abs() < 1e-5, "{step:?}");
            assert!((losses.total - total).abs() < 1e-5, "{step:?}");
            assert!(attention.l_in >= -live.tau as f32 - 1e-6, "{step:?}");
            // The mean inside is beyond the new tau from the start, so that it shows.
            assert!(step.step > 5 || attention.l_in < -0.02, "{step:?}");
        }
    }
}

#[test]
fn a_box_drawn_while_training_enters_the_loss_of_the_next_step() {
    let losses = |drawn: [f64; 4]| {
        let dir = tempfile::tempdir().expect("a folder");
        let task = tiny_task(dir.path());
        let (image, rect) = (
            task.samples[0].image,
            BoundingBox::try_from(drawn).expect("a box"),
        );
        let (_, events) = run(&task, |event| {
            if at_step(event, 6) {
                let boxes = vec![rect];
                Reaction::Send(vec![TrainerCommand::Boxes { image, boxes }])
            } else {
                Reaction::Nothing
            }
        });
        let losses = |step: &StepMetrics| {
            let [(_, control), (_, care)] = step.losses[..] else {
                panic!("two models")
            };
            [control, care]
        };
        let steps = steps_of(&events);
        [steps[5], steps[6], steps[7]].map(losses)
    };
    let side = f64::from(SIDE);
    let small = losses([0.0, 0.0, 8.0, 8.0]);
    let whole = losses([0.0, 0.0, side, side]);
    assert_eq!(small[0], whole[0], "before it was drawn");
    for model in 0..2 {
        // The same batch and weights; another target.
        assert_eq!(
            small[1][model].classification,
            whole[1][model].classification
        );
        let l_out = |losses: [[care_learn::event::Losses; 2]; 3]| {
            losses[1][model].attention.expect("boxes").l_out
        };
        assert!(l_out(small) > l_out(whole), "all of it is inside");
    }
    let [control, care] =
        [0, 1].map(|model| (small[2][model].classification - whole[2][model].classification).abs());
    assert_eq!(control, 0.0, "the control does not learn from boxes");
    assert!(care > 0.0, "CARE has");
}

#[test]
fn of_many_changes_between_two_steps_the_last_one_counts() {
    let live = |alpha| {
        TrainerCommand::Live(LiveParams {
            alpha,
            ..LiveParams::default()
        })
    };
    let boxes = |image, xyxy: [f64; 4]| TrainerCommand::Boxes {
        image,
        boxes: vec![BoundingBox::try_from(xyxy).expect("a box")],
    };
    let record = |send: &dyn Fn(&Task) -> Vec<TrainerCommand>| {
        let dir = tempfile::tempdir().expect("a folder");
        let task = tiny_task(dir.path());
        let (_, events) = run(&task, |event| {
            if at_step(event, 1) {
                Reaction::Send(send(&task))
            } else {
                Reaction::Nothing
            }
        });
        let folder = RunFolder::open(&task.folder).expect("opens");
        let changes = folder.changes().expect("changes").into_iter();
        let changes = changes.filter(|c| c.change != Change::StageTwo);
        let losses = steps_of(&events).into_iter().map(|s| s.losses.clone());
        (
            changes.map(|c| (c.step, c.change)).collect::<Vec<_>>(),
            losses.collect::<Vec<_>>(),
        )
    };
    let image = ImageId(1);
    let (changes, _) = record(&|_| {
        vec![
            live(0.1),
            boxes(image, [1.0, 1.0, 9.0, 9.0]),
            live(0.2),
            boxes(image, [2.0, 2.0, 9.0, 9.0]),
            live(0.3),
            live(1.5),
        ]
    });
    let last = LiveParams {
        alpha: 0.3,
        ..LiveParams::default()
    };
    assert_eq!(
        changes,
        [
            (
                1,
                Change::Boxes {
                    image,
                    boxes: vec![BoundingBox::new(2.0, 2.0, 9.0, 9.0).expect("a box")],
                }
            ),
            (
                1,
                Change::Live {
                    from: LiveParams::default(),
                    to: last
                }
            ),
        ]
    );
    // What is known already changes nothing: not the record, not the order of the images.
    let known = |task: &Task| {
        let mut commands = vec![live(0.1), live(LiveParams::default().alpha)];
        commands.extend(task.samples.iter().map(|s| TrainerCommand::Boxes {
            image: s.image,
            boxes: s.boxes.clone(),
        }));
        commands
    };
    let (changes, losses) = record(&known);
    assert_eq!(changes, []);
    assert_eq!(losses, record(&|_| vec![]).1);
}

/// The files are gone after the first look at them.
#[test]
fn later_epochs_decode_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    let (outcome, events) = run(&task, |event| {
        if matches!(event, TrainerEvent::Loaded { .. }) {
            for sample in &task.samples {
                std::fs::remove_file(&sample.path).expect("removes");
            }
        }
        Reaction::Nothing
    });
    let Outcome::Finished(results) = outcome else {
        panic!("{outcome:?}")
    };
    let confusion = &results.summaries[0].1.confusion;
    assert_eq!(confusion.iter().flatten().sum::<u32>(), 8);
    let loaded = events.iter().filter_map(|e| match e {
        TrainerEvent::Loaded { not_read } => Some(not_read.len()),
        _ => None,
    });
    assert_eq!(loaded.collect::<Vec<_>>(), [0]);
    // Counted once each: an image that is decoded again would be counted again.
    let counts = events.iter().filter_map(|e| match e {
        TrainerEvent::Loading { done, total } => Some((*done, *total)),
        _ => None,
    });
    assert_eq!(counts.max(), Some((28, 28)));
}

#[test]
fn a_new_classifier_layer_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    for (classes, expected) in [(None, &[][..]), (Some(2), &[false]), (Some(5), &[true])] {
        let mut task = tiny_task(dir.path());
        task.config.weights = classes.map(|classes| {
            let path = dir.path().join("pretrained.safetensors");
            let network = Network::new(BackboneKind::SmallResnet, classes, 3, Device::Cpu);
            std::fs::write(&path, network.to_bytes().expect("packs")).expect("writes");
            path
        });
        let (_, events) = run(&task, |event| {
            if at_step(event, 1) {
                Reaction::Stop
            } else {
                Reaction::Nothing
            }
        });
        let said = events.iter().filter_map(|e| match e {
            TrainerEvent::Weights { new_classifier } => Some(*new_classifier),
            _ => None,
        });
        assert_eq!(said.collect::<Vec<_>>(), expected, "{classes:?}");
    }
}

#[test]
fn images_that_cannot_be_read_are_listed_and_left_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    for broken in [&task.samples[0], &task.samples[9], &task.samples[12]] {
        std::fs::write(&broken.path, b"no image").expect("writes");
    }
    let (outcome, events) = run(&task, |_| Reaction::Nothing);
    let Outcome::Finished(results) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        results.summaries[0]
            .1
            .confusion
            .iter()
            .flatten()
            .sum::<u32>(),
        7
    );
    let not_read: Vec<_> = events
        .iter()
        .filter_map(|e| {
            if let TrainerEvent::Loaded { not_read } = e {
                Some(not_read)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(not_read.len(), 1);
    assert_eq!(not_read[0].len(), 3);
}

/// Weights so large that logits are infinite.
fn poisoned(folder: &Path) -> PathBuf {
    let network = Network::new(BackboneKind::SmallResnet, 2, 0, Device::Cpu);
    let mut weight = network
        .store()
        .variables()
        .remove("fc.weight")
        .expect("a weight");
    let _ = tch::no_grad(|| weight.fill_(3e38));
    let path = folder.with_file_name("poisoned.safetensors");
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(&path, network.to_bytes().expect("packs")).expect("writes");
    path
}

#[test]
fn what_cannot_go_on_ends_as_a_failure_in_words() {
    type Spoil = fn(&mut Task);
    let cases: [(&str, Spoil, &str); 7] = [
        (
            "no boxes",
            |t| t.samples.iter_mut().for_each(|s| s.boxes.clear()),
            "Draw boxes",
        ),
        (
            "no rare class",
            |t| t.classes[1].rare = false,
            "Mark the rare class",
        ),
        (
            "no training images",
            |t| t.samples.retain(|s| s.part != Part::Train),
            "Add images",
        ),
        (
            "one class",
            |t| t.samples.retain(|s| s.label == 1),
            "second class",
        ),
        (
            "nothing readable",
            |t| {
                t.samples
                    .iter_mut()
                    .for_each(|s| s.path = s.path.with_extension("gone"))
            },
            "could be read",
        ),
        (
            "weights that are not there",
            |t| t.config.weights = Some("/nowhere/weights.safetensors".into()),
            "weights.safetensors",
        ),
        (
            "a loss that is no number",
            |t| t.config.weights = Some(poisoned(&t.folder)),
            "not a number",
        ),
    ];
    for (name, spoil, says) in cases {
        let dir = tempfile::tempdir().expect("a folder");
        let mut task = tiny_task(dir.path());
        spoil(&mut task);
        let (outcome, _) = run(&task, |_| Reaction::Nothing);
        let Outcome::Failed(why) = outcome else {
            panic!("{name}: {outcome:?}")
        };
        assert!(why.contains(says), "{name}: {why}");
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_ends_as_a_failure_in_words() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    std::fs::create_dir_all(&task.folder).expect("a folder");
    std::os::unix::fs::symlink("/dev/full", task.folder.join("steps.csv")).expect("links");
    let (outcome, _) = run(&task, |_| Reaction::Nothing);
    let Outcome::Failed(why) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        why.contains("steps.csv") && why.contains("Free some space"),
        "{why}"
    );
}

#[test]
fn cautions_do_not_block() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut task = tiny_task(dir.path());
    assert_eq!(check(&task), []);
    task.config.precision = Precision::Bf16;
    let slow = [Problem::SlowBf16];
    assert_eq!(check(&task), slow[usize::from(processor_has_bf16())..]);
    task.config.precision = Precision::Fp32;
    task.samples
        .retain(|s| s.part == Part::Train && (s.label == 1 || s.image == ImageId(1)));
    let problems = check(&task);
    assert_eq!(
        problems,
        [
            Problem::FewImages {
                class: "common".to_owned(),
                images: 1
            },
            Problem::NoTestImages,
        ]
    );
    assert!(!problems.iter().any(Problem::blocks));
}

#[test]
fn the_worker_pauses_resumes_and_ends() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut task = tiny_task(dir.path());
    task.config.stage1_epochs = 40;
    task.config.patience = 1000;
    use_one_thread();
    let wakes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&wakes);
    let begun = Instant::now();
    let worker = Worker::start(task, move || {
        counted.fetch_add(1, Ordering::Relaxed);
    })
    .expect("starts");
    let mut events = Vec::new();
    let mut wait_for = |what: &dyn Fn(&TrainerEvent) -> bool| {
        while !events.iter().any(what) {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(5));
            events.extend(worker.events());
        }
        events.clear();
    };
    wait_for(&|e| at_step(e, 2));
    worker.send(TrainerCommand::Pause);
    // However slow the machine, the step under way ends and none follows.
    let mut steps = 1;
    while steps > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "paused");
        std::thread::sleep(Duration::from_millis(300));
        steps = worker
            .events()
            .inspect(|e| assert!(!matches!(e, TrainerEvent::Ended(_)), "paused"))
            .count();
    }
    worker.send(TrainerCommand::Resume);
    wait_for(&|e| matches!(e, TrainerEvent::Step(_)));
    worker.stop();
    wait_for(&|e| matches!(e, TrainerEvent::Ended(Outcome::Stopped(_))));
    let most = begun.elapsed().as_secs_f32() * 30.0 + 2.0;
    assert!((wakes.load(Ordering::Relaxed) as f32) < most);
}

/// Two epochs in each stage of two steps each; what is asked for comes during the last step.
#[test]
fn more_epochs_are_trained_and_the_test_waits_where_it_is_asked_to() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    let mut held = 0;
    let (outcome, events) = run(&task, |event| match event {
        event if at_step(event, 1) => Reaction::Send(vec![
            TrainerCommand::HoldBeforeTest(true),
            TrainerCommand::MoreEpochs(1),
        ]),
        TrainerEvent::Held => {
            held += 1;
            Reaction::Send(vec![match held {
                1 => TrainerCommand::MoreEpochs(2),
                _ => TrainerCommand::Resume,
            }])
        }
        _ => Reaction::Nothing,
    });
    assert!(matches!(outcome, Outcome::Finished(_)), "{outcome:?}");
    assert_eq!(held, 2);
    let steps = steps_of(&events);
    // 2 + 2 epochs as planned, one more, two more.
    let per_epoch = steps.len() / 7;
    assert_eq!(steps.len(), 7 * per_epoch);
    for (i, step) in steps.iter().enumerate() {
        let expected = match i {
            0 => 4,
            i if i < 5 * per_epoch => 5,
            _ => 7,
        };
        let (at, all) = (step.step as usize, step.num_steps as usize);
        assert_eq!((at, all), (i + 1, expected * per_epoch), "{i}");
        assert!((0.0..=1.0).contains(&step.waiting) && step.film >= 0.0);
        assert!(cfg!(not(target_os = "linux")) || step.memory.is_some());
    }
    let changes = RunFolder::open(&task.folder).and_then(|folder| folder.changes());
    let more = changes
        .expect("reads")
        .into_iter()
        .filter_map(|c| match c.change {
            Change::MoreEpochs { epochs } => Some(epochs),
            _ => None,
        });
    assert_eq!(more.collect::<Vec<_>>(), [1, 2]);
    let epochs = RunFolder::open(&task.folder).and_then(|folder| folder.epochs());
    let epochs = epochs.expect("reads");
    let last = epochs.last().expect("an epoch");
    assert_eq!((last.epoch, last.role), (7, ModelRole::Care));
    let parts = last.l_in.zip(last.l_out).zip(last.attention);
    let ((l_in, l_out), l_a) = parts.expect("boxes");
    let lambda = task.config.live.lambda as f32;
    assert!((l_in + lambda * l_out - l_a).abs() < 1e-4, "{last:?}");
    assert!(last.learning_rate.is_some_and(|rate| rate > 0.0));
}

#[test]
fn other_images_can_be_watched_while_it_trains() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    let test = |s: &&care_learn::task::Sample| s.part == Part::Test;
    let images: Vec<ImageId> = task.samples.iter().filter(test).map(|s| s.image).collect();
    let wanted = vec![images[0], task.watch[1], images[1]];
    // An image that the run does not have is passed over.
    let sent = [&[ImageId(999)], &wanted[..]].concat();
    let turned: Vec<ImageId> = wanted.iter().rev().copied().collect();
    let (_, events) = run(&task, |event| {
        let watch = |images: &[ImageId]| Reaction::Send(vec![TrainerCommand::Watch(images.into())]);
        if at_step(event, 1) {
            watch(&sent)
        } else if at_step(event, 2) {
            watch(&turned)
        } else {
            Reaction::Nothing
        }
    });
    let shown = |frame: &care_learn::FilmFrame| frame.images.iter().map(|i| i.image).collect();
    let lists: Vec<Vec<ImageId>> = events
        .iter()
        .filter_map(|event| match event {
            TrainerEvent::Film(frame) => Some(shown(frame)),
            _ => None,
        })
        .collect();
    assert_eq!(lists[0], task.watch);
    assert_eq!(lists.last(), Some(&turned));
    // What was kept is read as it was.
    let folder = RunFolder::open(&task.folder).expect("opens");
    let film = folder.film().expect("reads");
    assert_eq!(film.watch, turned);
    let kept: Vec<Vec<ImageId>> = film.frames.iter().map(shown).collect();
    assert!(kept.contains(&task.watch) && kept.contains(&turned));
    // Another order is no other mean.
    let changes = folder.changes().expect("reads").into_iter();
    let watched = changes.filter(|c| c.change != Change::StageTwo);
    let watched: Vec<(u32, Change)> = watched.map(|c| (c.step, c.change)).collect();
    assert_eq!(watched, [(1, Change::Watch { images: wanted })]);
}
