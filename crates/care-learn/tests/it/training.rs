//! A whole run on a tiny task, from outside: images on disk in, a run's folder out.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use care_data::{BoundingBox, ClassId, ImageId, ImageSize, Part};
use care_learn::backbone::Network;
use care_learn::config::BackboneKind;
use care_learn::event::{Change, ModelRole, Outcome, TrainerEvent};
use care_learn::run_folder::RunFolder;
use care_learn::task::{Problem, Sample, TaskClass, check};
use care_learn::trainer::{Host, train};
use care_learn::worker::Worker;
use care_learn::{LiveParams, RunConfig, Task, TrainerCommand};
use tch::Device;

const SIDE: u32 = 56;

/// Two classes, told apart by the colour of a square; the second is rare and boxed.
fn tiny_task(dir: &Path) -> Task {
    let parts = [(Part::Train, 8), (Part::Validation, 2), (Part::Test, 4)];
    let mut samples = Vec::new();
    for (label, (part, count)) in (0..2).flat_map(|label| parts.map(|part| (label, part))) {
        for i in 0..count {
            let number = samples.len() as u32;
            let at = 4 + (number * 5) % 16;
            let image = image::RgbImage::from_fn(SIDE, SIDE, |x, y| {
                let inside = (at..at + 8).contains(&x) && (at..at + 8).contains(&y);
                match (inside, label) {
                    (false, _) => image::Rgb([200, 160 + (number % 7) as u8, 150]),
                    (true, 0) => image::Rgb([90, 40, 30]),
                    (true, _) => image::Rgb([30, 40, 90]),
                }
            });
            let path = dir.join(format!("{label} {} ä {i}.png", part.name()));
            image.save(&path).expect("saves");
            let (low, high) = (f64::from(at), f64::from(at + 8));
            samples.push(Sample {
                image: ImageId(i64::from(number) + 1),
                path,
                size: ImageSize::new(SIDE, SIDE),
                label,
                part,
                boxes: if label == 1 {
                    vec![BoundingBox::new(low, low, high, high).expect("a box")]
                } else {
                    vec![]
                },
            });
        }
    }
    let watch = samples
        .iter()
        .filter(|s| s.part == Part::Test && s.label == 1)
        .take(2)
        .map(|s| s.image)
        .collect();
    Task {
        config: RunConfig {
            input_size: SIDE,
            stage1_epochs: 2,
            stage2_epochs: 2,
            learning_rate: 1e-3,
            classes_per_batch: 2,
            images_per_class: 4,
            ..RunConfig::default()
        },
        classes: ["common", "rare"]
            .into_iter()
            .enumerate()
            .map(|(i, name)| TaskClass {
                id: ClassId(i as i64 + 1),
                name: name.to_owned(),
                rare: name == "rare",
            })
            .collect(),
        samples,
        watch,
        folder: dir.join("runs/0001"),
    }
}

/// What the script returns is sent as commands; `Stop` raises the flag.
struct Scripted<F: FnMut(&TrainerEvent) -> Reaction> {
    react: F,
    events: Vec<TrainerEvent>,
    waiting: Vec<TrainerCommand>,
    stop: bool,
    abandoned: bool,
}

enum Reaction {
    Nothing,
    Send(TrainerCommand),
    Stop,
    Abandon,
}

impl<F: FnMut(&TrainerEvent) -> Reaction> Host for Scripted<F> {
    fn report(&mut self, event: TrainerEvent) {
        match (self.react)(&event) {
            Reaction::Nothing => {}
            Reaction::Send(command) => self.waiting.push(command),
            Reaction::Stop => self.stop = true,
            Reaction::Abandon => (self.stop, self.abandoned) = (true, true),
        }
        self.events.push(event);
    }

    fn commands(&mut self) -> Vec<TrainerCommand> {
        std::mem::take(&mut self.waiting)
    }

    fn stop_requested(&self) -> bool {
        self.stop
    }

    fn abandoned(&self) -> bool {
        self.abandoned
    }
}

fn run(task: &Task, react: impl FnMut(&TrainerEvent) -> Reaction) -> (Outcome, Vec<TrainerEvent>) {
    let mut host = Scripted {
        react,
        events: vec![],
        waiting: vec![],
        stop: false,
        abandoned: false,
    };
    let outcome = train(task, &mut host);
    assert_eq!(
        host.events.last(),
        Some(&TrainerEvent::Ended(outcome.clone()))
    );
    (outcome, host.events)
}

fn at_step(event: &TrainerEvent, wanted: u32) -> bool {
    matches!(event, TrainerEvent::Step(step) if step.step == wanted)
}

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
            Reaction::Send(TrainerCommand::Live(live))
        } else if at_step(event, 5) {
            Reaction::Send(TrainerCommand::Boxes {
                image,
                boxes: drawn.clone(),
            })
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
    }
    assert_eq!(results.rare_difference.map(|d| d.n), Some(4));

    // 16 images in batches of 8: 2 steps an epoch, 4 epochs.
    let steps: Vec<_> = events
        .iter()
        .filter_map(|e| {
            if let TrainerEvent::Step(s) = e {
                Some(s)
            } else {
                None
            }
        })
        .collect();
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
        let seen = folder.test_attention(role).expect("test");
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
        let losses: Vec<_> = events
            .into_iter()
            .filter_map(|e| {
                if let TrainerEvent::Step(s) = e {
                    Some(s.losses)
                } else {
                    None
                }
            })
            .collect();
        losses
    };
    let first = losses(3);
    assert_eq!(first, losses(3));
    assert_ne!(first, losses(4));
}

#[test]
fn stopping_keeps_the_weights_of_the_step() {
    for (step, kept, scored) in [
        (1, &[ModelRole::Before][..], false),
        (6, &ModelRole::ALL, true),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let task = tiny_task(dir.path());
        let (outcome, events) = run(&task, |event| {
            if at_step(event, step) {
                Reaction::Stop
            } else {
                Reaction::Nothing
            }
        });
        assert!(
            matches!(&outcome, Outcome::Stopped(results) if results.is_some() == scored),
            "{outcome:?}"
        );
        assert!(
            !events.iter().any(|e| at_step(e, step + 1)),
            "stopped within a step"
        );
        let folder = RunFolder::open(&task.folder).expect("opens");
        let there = ModelRole::ALL
            .into_iter()
            .filter(|role| folder.weights(*role).is_file())
            .collect::<Vec<_>>();
        assert_eq!(there, kept);
        assert!(folder.film().is_ok());
    }
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    let (outcome, _) = run(&task, |event| {
        if at_step(event, 6) {
            Reaction::Abandon
        } else {
            Reaction::Nothing
        }
    });
    assert_eq!(
        outcome,
        Outcome::Stopped(None),
        "nobody waits for the scores"
    );
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

/// Weights of which one is no number.
fn poisoned(folder: &Path) -> PathBuf {
    let network = Network::new(BackboneKind::SmallResnet, 2, 0, Device::Cpu);
    let mut bias = network
        .store()
        .variables()
        .remove("fc.bias")
        .expect("a bias");
    let _ = tch::no_grad(|| bias.fill_(f64::NAN));
    let path = folder.with_file_name("poisoned.safetensors");
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(&path, network.to_safetensors().expect("packs")).expect("writes");
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
            "no longer a number",
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
    std::thread::sleep(Duration::from_millis(300));
    worker.events().for_each(drop);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(worker.events().count(), 0, "paused");
    worker.send(TrainerCommand::Resume);
    wait_for(&|e| matches!(e, TrainerEvent::Step(_)));
    worker.stop();
    wait_for(&|e| matches!(e, TrainerEvent::Ended(Outcome::Stopped(_))));
    let most = begun.elapsed().as_secs_f32() * 30.0 + 2.0;
    assert!((wakes.load(Ordering::Relaxed) as f32) < most);
}

#[test]
fn a_worker_dropped_unread_does_not_hang() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut task = tiny_task(dir.path());
    // Two films and two epochs a step, enough to fill the channel with what may not be dropped.
    task.config.stage1_epochs = 1000;
    task.config.patience = 1000;
    task.config.images_per_class = 8;
    let woken = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&woken);
    let worker = Worker::start(task, move || *counted.lock().expect("locks") += 1).expect("starts");
    std::thread::sleep(Duration::from_secs(4));
    let begun = Instant::now();
    drop(worker);
    assert!(begun.elapsed() < Duration::from_secs(2));
}
