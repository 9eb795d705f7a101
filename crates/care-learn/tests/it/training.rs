//! A whole run on a tiny task, from outside: images on disk in, a run's folder out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use care_data::{BoundingBox, ClassId, ImageId, ImageSize, Part};
use care_learn::attention_loss::{GridMasks, Raster, Upsampling};
use care_learn::backbone::Network;
use care_learn::config::{BackboneKind, KeyMetric, Outside, Preprocess};
use care_learn::dataset::Dataset;
use care_learn::event::{
    AttentionLosses, AttentionMap, Change, ModelRole, Outcome, StepMetrics, TrainerEvent,
};
use care_learn::grad_cam::{GradCam, label_tensor};
use care_learn::run_folder::RunFolder;
use care_learn::sampler::Sampler;
use care_learn::task::{Problem, Sample, TaskClass, check};
use care_learn::trainer::{Host, train};
use care_learn::worker::Worker;
use care_learn::{LiveParams, RunConfig, Task, TrainerCommand};
use tch::{Device, Tensor};

/// The smallest that the small network takes: its map is 7 x 7.
const SIDE: u32 = 56;

/// Two classes, told apart by the colour of a square; the second is rare and boxed.
pub(crate) fn tiny_task(dir: &Path) -> Task {
    let parts = [(Part::Train, 8), (Part::Validation, 2), (Part::Test, 4)];
    let mut samples = Vec::new();
    for (label, (part, count)) in (0..2).flat_map(|label| parts.map(|part| (label, part))) {
        for i in 0..count {
            let number = samples.len() as u32;
            let at = 4 + (number * 5) % 40;
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

pub(crate) enum Reaction {
    Nothing,
    Send(Vec<TrainerCommand>),
    Stop,
    Abandon,
}

impl<F: FnMut(&TrainerEvent) -> Reaction> Host for Scripted<F> {
    fn report(&mut self, event: TrainerEvent) {
        match (self.react)(&event) {
            Reaction::Nothing => {}
            Reaction::Send(commands) => self.waiting.extend(commands),
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

/// So small a network gains nothing from a second thread, and loses much where other tests run beside it.
fn use_one_thread() {
    tch::set_num_threads(1);
}

pub(crate) fn run(
    task: &Task,
    react: impl FnMut(&TrainerEvent) -> Reaction,
) -> (Outcome, Vec<TrainerEvent>) {
    let mut host = Scripted {
        react,
        events: vec![],
        waiting: vec![],
        stop: false,
        abandoned: false,
    };
    use_one_thread();
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

fn steps_of(events: &[TrainerEvent]) -> Vec<&StepMetrics> {
    events
        .iter()
        .filter_map(|e| match e {
            TrainerEvent::Step(step) => Some(step),
            _ => None,
        })
        .collect()
}

/// A batch as the trainer draws it, seen by a network in training mode.
struct Replay {
    /// L_c.
    classification: f32,
    batch: Vec<usize>,
    /// F of each image of the batch.
    maps: Vec<AttentionMap>,
}

fn replay(task: &Task, network: &Network, step: u32) -> Replay {
    let members = (0..task.classes.len())
        .map(|label| {
            let samples = task.samples.iter().enumerate();
            samples
                .filter(|(_, s)| s.part == Part::Train && s.label == label)
                .map(|(i, _)| i)
                .collect()
        })
        .collect();
    let config = &task.config;
    let mut sampler = Sampler::new(
        members,
        config.sampling,
        config.classes_per_batch,
        config.images_per_class,
        config.seed,
    );
    let batch = (0..step)
        .map(|_| sampler.next_batch())
        .last()
        .expect("a step");
    let paths = task.samples.iter().map(|s| s.path.clone()).collect();
    let size = ImageSize::new(SIDE, SIDE);
    let data = Dataset::load(paths, &batch, size, Preprocess::IMAGENET).expect("threads");
    assert!(data.wait_for(&batch, || true));
    let labels: Vec<usize> = batch.iter().map(|i| task.samples[*i].label).collect();
    let labels = label_tensor(&labels, Device::Cpu);
    let (f, l_c) = tch::no_grad(|| {
        let backbone = network.backbone();
        let activations = backbone.features(&data.batch(&batch, Device::Cpu), true);
        let logits = backbone.head(&activations, true);
        let f = GradCam::default().attention(backbone, &activations, &logits, &labels);
        (f, logits.cross_entropy_for_logits(&labels))
    });
    let map = |f: Tensor| AttentionMap {
        height: 7,
        width: 7,
        values: Vec::try_from(f.flatten(0, -1)).expect("numbers"),
    };
    Replay {
        classification: l_c.double_value(&[]) as f32,
        maps: f.unbind(0).into_iter().map(map).collect(),
        batch,
    }
}

impl Replay {
    /// The masks and the map of each image that has boxes.
    fn boxed<'a>(&'a self, task: &'a Task) -> impl Iterator<Item = (GridMasks, &'a AttentionMap)> {
        let input = ImageSize::new(SIDE, SIDE);
        let upsampling = Upsampling::new(7, 7, input);
        self.batch
            .iter()
            .zip(&self.maps)
            .filter_map(move |(image, map)| {
                let sample = &task.samples[*image];
                let raster = Raster::new(&sample.boxes, sample.size, input);
                Some((GridMasks::new(&raster, Outside::Uniform, &upsampling)?, map))
            })
    }

    /// The terms of each image with boxes by itself, without tensors, and their means.
    fn attention(&self, task: &Task, live: &LiveParams) -> AttentionLosses {
        let each: Vec<AttentionLosses> = self
            .boxed(task)
            .map(|(masks, map)| masks.losses(map, live))
            .collect();
        let mean = |term: fn(&AttentionLosses) -> f32| {
            each.iter().map(term).sum::<f32>() / each.len() as f32
        };
        AttentionLosses {
            l_in: mean(|l| l.l_in),
            l_out: mean(|l| l.l_out),
            l_a: mean(|l| l.l_a),
        }
    }
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
        let losses = steps_of(&events).into_iter().map(|step| &step.losses);
        losses.cloned().collect::<Vec<_>>()
    };
    let first = losses(3);
    assert_eq!(first, losses(3));
    assert_ne!(first, losses(4));
}

/// What a run that was stopped after `step` left behind.
/// What the first steps of both stages lost, with these settings changed; and whether both models began stage 2 alike.
fn losses_with(settings: &[&str]) -> Vec<f32> {
    let dir = tempfile::tempdir().expect("a folder");
    let mut task = tiny_task(dir.path());
    for setting in settings {
        task.config = task.config.with(setting).expect("a setting");
    }
    let (_, events) = run(&task, |event| {
        if at_step(event, 5) {
            Reaction::Stop
        } else {
            Reaction::Nothing
        }
    });
    let steps = steps_of(&events);
    let pair = &steps[4].losses;
    assert_eq!(
        (pair[0].1.classification, pair[0].1.attention),
        (pair[1].1.classification, pair[1].1.attention),
        "{settings:?}: CARE and its control see the same batch"
    );
    steps
        .iter()
        .flat_map(|step| &step.losses)
        .flat_map(|(_, losses)| {
            let attention = losses.attention.expect("boxes");
            [losses.classification, attention.l_in, attention.l_out]
        })
        .collect()
}

#[test]
fn augmentation_changes_what_is_seen_and_the_seed_decides_how() {
    let plain = losses_with(&[]);
    for settings in [
        &["rotation=30", "flip_horizontal=true"][..],
        &["crop=0.3"],
        &["colour_jitter=0.4"],
    ] {
        let changed = losses_with(settings);
        assert_eq!(changed, losses_with(settings), "{settings:?}");
        assert_ne!(changed[..3], plain[..3], "{settings:?}");
    }
}

/// With weights that hardly change, so that only the boxes can have made the difference.
#[test]
fn boxes_are_scaled_for_learning_and_not_for_scoring() {
    let begun_with = |scale: &str, scaled: bool| {
        let dir = tempfile::tempdir().expect("a folder");
        let mut task = tiny_task(dir.path());
        task.config.learning_rate = 1e-12;
        let network = Network::new(BackboneKind::SmallResnet, 2, task.config.seed, Device::Cpu);
        let mut learned_from = tiny_task(dir.path());
        let factor: f64 = scale.parse().expect("a number");
        for sample in learned_from.samples.iter_mut().filter(|_| scaled) {
            let size = sample.size;
            let boxes = sample.boxes.iter();
            sample.boxes = boxes
                .map(|b| b.scaled(factor, size).expect("a box"))
                .collect();
        }
        let expected = replay(&task, &network, 1).attention(&learned_from, &task.config.live);
        task.config = task
            .config
            .with(&format!("box_scale={scale}"))
            .expect("a scale");
        let (outcome, events) = run(&task, |_| Reaction::Nothing);
        let Outcome::Finished(results) = outcome else {
            panic!("{outcome:?}")
        };
        let found = steps_of(&events)[0].losses[0].1.attention.expect("boxes");
        for (found, expected) in [(found.l_in, expected.l_in), (found.l_out, expected.l_out)] {
            assert!(
                (found - expected).abs() < 1e-5,
                "{scale}: {found} {expected}"
            );
        }
        (found.l_in, results.summaries[0].1.energy)
    };
    let (plain, scored) = begun_with("1", false);
    let (small, scored_small) = begun_with("0.7", true);
    assert_ne!(plain, small);
    assert_eq!(scored, scored_small);
}

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

/// A lambda that makes the loss infinite in single precision, and one that does not.
fn lambda(lambda: f64) -> Reaction {
    Reaction::Send(vec![TrainerCommand::Live(LiveParams {
        lambda,
        ..LiveParams::default()
    })])
}

#[test]
fn steps_that_are_not_finite_are_left_out_and_counted() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut task = tiny_task(dir.path());
    task.config.images_per_class = 2;
    // Four steps an epoch, two epochs in each stage; so CARE leaves out steps 12 and 13.
    let (outcome, events) = run(&task, |event| match event {
        event if at_step(event, 11) => lambda(1e300),
        event if at_step(event, 13) => lambda(0.7),
        _ => Reaction::Nothing,
    });
    assert!(matches!(outcome, Outcome::Finished(_)), "{outcome:?}");
    let with_care: Vec<(u32, u32)> = steps_of(&events)
        .iter()
        .filter(|s| s.stage == 2)
        .filter(|s| s.losses.iter().any(|(role, _)| *role == ModelRole::Care))
        .map(|s| (s.step, s.skipped))
        .collect();
    assert_eq!(with_care[..4], [(9, 0), (10, 0), (11, 0), (14, 2)]);
    let epochs = RunFolder::open(&task.folder)
        .and_then(|f| f.epochs())
        .expect("epochs");
    let skipped: Vec<u32> = epochs
        .iter()
        .filter(|e| e.role == ModelRole::Care)
        .map(|e| e.skipped)
        .collect();
    assert_eq!(skipped, [1, 1]);

    let (outcome, events) = run(&task, |event| match event {
        event if at_step(event, 10) => lambda(1e300),
        _ => Reaction::Nothing,
    });
    let Outcome::Failed(why) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        why.contains("up to step 13") && why.contains("care.safetensors"),
        "{why}"
    );
    assert_eq!(steps_of(&events).len(), 13);
    let mut network = Network::without_weights(BackboneKind::SmallResnet, 2, 0, Device::Cpu);
    network
        .load(&task.folder.join("care.safetensors"))
        .expect("good weights");
}

/// Each strategy by itself and many together: the run comes to its end, and other settings give another run.
#[test]
fn every_strategy_trains() {
    let sets = [
        "",
        "optimizer=adamw weight_decay=0.1",
        "optimizer=sgd learning_rate=0.01",
        "schedule=constant",
        "sampling=shuffled",
        "sampling=oversampled",
        "class_weighted=true sampling=shuffled",
        "focal_gamma=2",
        "clip_norm=0.1",
        "precision=bf16",
        "normalisation=min-max cam_weights=constant outside=distance",
        "optimizer=adamw schedule=plateau sampling=oversampled class_weighted=true focal_gamma=2 clip_norm=1 \
         key_metric=mca",
    ];
    let mut seen: Vec<f32> = Vec::new();
    for set in sets {
        let dir = tempfile::tempdir().expect("a folder");
        let mut task = tiny_task(dir.path());
        // An uneven task, so that sampling and class weights matter.
        let mut common = 0..;
        task.samples.retain(|s| {
            s.part != Part::Train || s.label == 0 || common.next().is_some_and(|n| n < 4)
        });
        let config = set
            .split_whitespace()
            .try_fold(task.config, |c, one| c.with(one));
        task.config = config.expect("settings");
        let (outcome, events) = run(&task, |_| Reaction::Nothing);
        assert!(
            matches!(outcome, Outcome::Finished(_)),
            "{set}: {outcome:?}"
        );
        let steps = steps_of(&events);
        assert!(
            steps.iter().all(|s| s.losses.len() == usize::from(s.stage)),
            "{set}"
        );
        let last = steps.last().expect("steps").losses[1].1.total;
        assert!(!seen.contains(&last), "{set} changes nothing");
        seen.push(last);
    }
}

#[test]
fn the_best_epoch_is_kept_and_a_stage_without_progress_ends() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut task = tiny_task(dir.path());
    task.config.key_metric = KeyMetric::Mca;
    task.config.early_stop = 2;
    (task.config.stage1_epochs, task.config.stage2_epochs) = (30, 30);
    task.config.patience = 30;
    // So little that the measure stays where it is.
    task.config.learning_rate = 1e-12;
    let (outcome, events) = run(&task, |_| Reaction::Nothing);
    let Outcome::Finished(results) = outcome else {
        panic!("{outcome:?}")
    };
    // The first epoch of a stage is its best; two more bring nothing.
    assert_eq!(
        results.kept,
        [
            (ModelRole::Before, 1),
            (ModelRole::Control, 4),
            (ModelRole::Care, 4)
        ]
    );
    let steps = steps_of(&events);
    let last = steps.last().expect("steps");
    assert_eq!(last.step, 12);
}

#[test]
fn a_key_metric_without_anything_to_measure_is_said_and_ends_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut task = tiny_task(dir.path());
    task.config.key_metric = KeyMetric::Energy;
    task.config.early_stop = 1;
    for sample in task
        .samples
        .iter_mut()
        .filter(|s| s.part == Part::Validation)
    {
        sample.boxes.clear();
    }
    let problems = check(&task);
    let said = |p: &Problem| {
        matches!(
            p,
            Problem::NoKeyMetric {
                what: "image with a box"
            }
        )
    };
    assert!(
        problems.iter().any(said) && !problems.iter().any(Problem::blocks),
        "{problems:?}"
    );
    let (outcome, events) = run(&task, |_| Reaction::Nothing);
    let Outcome::Finished(results) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(results.kept.is_empty());
    assert_eq!(steps_of(&events).last().map(|s| s.step), Some(8));
}

#[test]
fn the_best_epochs_weights_are_those_that_are_tested() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut task = tiny_task(dir.path());
    task.config.key_metric = KeyMetric::Energy;
    task.config.stage2_epochs = 6;
    task.config.learning_rate = 5e-3;
    let (outcome, _) = run(&task, |_| Reaction::Nothing);
    let Outcome::Finished(results) = outcome else {
        panic!("{outcome:?}")
    };
    let folder = RunFolder::open(&task.folder).expect("a folder");
    let (_, kept) = *results
        .kept
        .iter()
        .find(|(r, _)| *r == ModelRole::Care)
        .expect("chosen");
    let epochs = folder.epochs().expect("epochs");
    let of_care: Vec<u32> = epochs
        .iter()
        .filter(|e| e.role == ModelRole::Care)
        .map(|e| e.epoch)
        .collect();
    assert!(of_care.contains(&kept));
    // What was saved is what was tested.
    let mut network = Network::without_weights(BackboneKind::SmallResnet, 2, 0, Device::Cpu);
    network
        .load(&folder.weights(ModelRole::Care))
        .expect("weights");
    let seen = folder.test_attention(ModelRole::Care).expect("maps");
    let test: Vec<&Sample> = task
        .samples
        .iter()
        .filter(|s| s.part == Part::Test)
        .collect();
    let paths = test.iter().map(|s| s.path.clone()).collect();
    let all: Vec<usize> = (0..test.len()).collect();
    let size = ImageSize::new(SIDE, SIDE);
    let data = Dataset::load(paths, &all, size, Preprocess::IMAGENET).expect("threads");
    assert!(data.wait_for(&all, || true));
    let labels: Vec<usize> = test.iter().map(|s| s.label).collect();
    let (maps, _) = GradCam::default().evaluate(
        network.backbone(),
        &data.batch(&all, Device::Cpu),
        &label_tensor(&labels, Device::Cpu),
    );
    for (map, seen) in maps.unbind(0).iter().zip(&seen) {
        let map = Vec::<f32>::try_from(map.flatten(0, -1)).expect("numbers");
        let near = map
            .iter()
            .zip(&seen.map.values)
            .all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near, "{:?}", seen.image);
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
