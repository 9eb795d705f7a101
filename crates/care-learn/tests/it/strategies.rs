//! What the settings do to a run: batches, losses, augmentation, optimisers, which epoch is kept, which steps count.

use care_data::{ImageSize, Look, Part};
use care_learn::backbone::Network;
use care_learn::config::{BackboneKind, KeyMetric, Preprocess};
use care_learn::dataset::Dataset;
use care_learn::event::{ModelRole, Outcome};
use care_learn::grad_cam::{GradCam, label_tensor};
use care_learn::run_folder::RunFolder;
use care_learn::task::{Problem, Sample, check};
use care_learn::{LiveParams, TrainerCommand};
use tch::Device;

use super::tiny::{Reaction, SIDE, at_step, replay, run, steps_of, tiny_task};

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
    let seen = folder.test_attention(&[ModelRole::Care]).expect("maps");
    let (_, seen) = &seen[0];
    let test: Vec<&Sample> = task
        .samples
        .iter()
        .filter(|s| s.part == Part::Test)
        .collect();
    let paths = test.iter().map(|s| s.path.clone()).collect();
    let all: Vec<usize> = (0..test.len()).collect();
    let size = ImageSize::new(SIDE, SIDE);
    let data =
        Dataset::load(paths, &all, Look::default(), size, Preprocess::IMAGENET).expect("threads");
    assert!(data.wait_for(&all, || true));
    let labels: Vec<usize> = test.iter().map(|s| s.label).collect();
    let maps = GradCam::default().evaluate(
        network.backbone(),
        &data.batch(&all, Device::Cpu),
        &label_tensor(&labels, Device::Cpu),
    );
    for (map, seen) in maps.attention.unbind(0).iter().zip(seen) {
        let map = Vec::<f32>::try_from(map.flatten(0, -1)).expect("numbers");
        let near = map
            .iter()
            .zip(&seen.map.values)
            .all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near, "{:?}", seen.image);
    }
}
