//! A run that was stopped and goes on, or has another's stage 1, comes to the same numbers as one that never did.

use std::fs;
use std::path::Path;

use care_data::{BoundingBox, Part, RunId};
use care_learn::config::{
    Augmentation, BackboneKind, KeyMetric, OptimizerKind, Sampling, Schedule,
};
use care_learn::event::{Change, ModelRole, Outcome, RecordedChange, TrainerCommand, TrainerEvent};
use care_learn::run_folder::RunFolder;
use care_learn::trainer::check_resume;
use care_learn::{LiveParams, RunConfig, Task};

use super::tiny::{Reaction, at_step, run, steps_of, tiny_task};

const ONWARDS: fn(&TrainerEvent) -> Reaction = |_| Reaction::Nothing;

fn stop_at(step: u32) -> impl FnMut(&TrainerEvent) -> Reaction {
    move |event| {
        if at_step(event, step) {
            Reaction::Abandon
        } else {
            Reaction::Nothing
        }
    }
}

fn finish(task: &Task) -> Vec<TrainerEvent> {
    let (outcome, events) = run(task, ONWARDS);
    assert!(matches!(outcome, Outcome::Finished(_)), "{outcome:?}");
    events
}

/// To the last bit: what every step came to, every epoch but for what the film saw of it (that goes by the clock), the weights, and the
/// figures of the test.
fn assert_same(a: &Path, b: &Path, what: &str) {
    let read = |dir: &Path, name: &str| fs::read(dir.join(name)).expect("reads");
    let lines = |dir: &Path| String::from_utf8(read(dir, "steps.csv")).expect("text");
    assert_eq!(lines(a), lines(b), "{what}");
    for name in ["before", "control", "care"] {
        let name = format!("{name}.safetensors");
        assert!(read(a, &name) == read(b, &name), "{what}: {name}");
    }
    let [a, b] = [a, b].map(|dir| RunFolder::open(dir).expect("opens"));
    let epochs = |folder: &RunFolder| {
        let mut epochs = folder.epochs().expect("epochs");
        for epoch in &mut epochs {
            (epoch.watched_energy, epoch.watched_hits) = (None, None);
        }
        epochs
    };
    assert_eq!(epochs(&a), epochs(&b), "{what}");
    let tested = |folder: &RunFolder| folder.test_attention(&ModelRole::ALL).expect("tested");
    assert_eq!(tested(&a), tested(&b), "{what}");
    let [a, b] = [a, b].map(|folder| folder.results().expect("results"));
    assert_eq!((a.summaries, a.kept), (b.summaries, b.kept), "{what}");
}

fn at(task: &Task, dir: &Path) -> Task {
    Task {
        folder: dir.to_owned(),
        ..task.clone()
    }
}

#[test]
fn wherever_it_was_stopped_it_comes_to_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let tiny = tiny_task(dir.path());
    let everything = RunConfig {
        stage2_epochs: 3,
        optimizer: OptimizerKind::Sgd,
        schedule: Schedule::Plateau,
        sampling: Sampling::Oversampled,
        patience: 2,
        clip_norm: 0.5,
        key_metric: KeyMetric::Mca,
        early_stop: 2,
        augmentation: Augmentation {
            rotation: 20.0,
            flip_horizontal: true,
            ..Augmentation::default()
        },
        ..tiny.config.clone()
    };
    // It drops values, and whole blocks.
    let dropping = RunConfig {
        backbone: BackboneKind::EfficientnetLite0,
        input_size: 224,
        stage1_epochs: 1,
        stage2_epochs: 1,
        ..tiny.config.clone()
    };
    for (name, config, stops) in [
        ("adam", tiny.config.clone(), &[1, 2, 3, 4, 5, 6, 7, 8][..]),
        ("everything", everything, &[3, 4, 7, 8]),
        ("dropping", dropping, &[1, 3]),
    ] {
        let task = Task {
            config,
            ..at(&tiny, &dir.path().join(name))
        };
        finish(&task);
        for &stop in stops {
            let stopped = at(&task, &dir.path().join(format!("{name} {stop}")));
            let (outcome, _) = run(&stopped, stop_at(stop));
            assert_eq!(outcome, Outcome::Stopped(None));
            let folder = RunFolder::open(&stopped.folder).expect("opens");
            assert!(folder.can_go_on(), "{name} {stop}");
            let resumed = Task {
                goes_on: true,
                ..stopped
            };
            finish(&resumed);
            assert_same(&task.folder, &resumed.folder, &format!("{name} {stop}"));
            assert!(!resumed.folder.join("checkpoint.safetensors").exists());
        }
    }
}

#[test]
fn stopped_again_and_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    let whole = at(&task, &dir.path().join("whole"));
    finish(&whole);
    run(&task, stop_at(1));
    let resumed = Task {
        goes_on: true,
        ..task
    };
    for step in 2..=8 {
        let (outcome, events) = run(&resumed, stop_at(step));
        assert_eq!(outcome, Outcome::Stopped(None), "{step}");
        let steps: Vec<u32> = steps_of(&events).iter().map(|it| it.step).collect();
        assert_eq!(steps, [step]);
    }
    let events = finish(&resumed);
    assert_same(&whole.folder, &resumed.folder, "eight times");
    // Whoever listens has heard all of it.
    let epochs = events.iter().filter_map(|event| match event {
        TrainerEvent::Epoch(epoch) => Some(epoch.clone()),
        _ => None,
    });
    let folder = RunFolder::open(&resumed.folder).expect("opens");
    assert_eq!(epochs.collect::<Vec<_>>(), folder.epochs().expect("epochs"));
    let changes = folder.changes().expect("changes");
    let stage_two = changes.iter().filter(|it| it.change == Change::StageTwo);
    assert_eq!(stage_two.count(), 1);
    let film = folder.film().expect("a film");
    assert!(film.frames.is_sorted_by_key(|frame| frame.step));
    assert_eq!(film.watch, resumed.watch);
}

#[test]
fn what_a_power_cut_left_behind_the_checkpoint_is_done_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    let whole = at(&task, &dir.path().join("whole"));
    finish(&whole);
    run(&task, stop_at(5));
    for name in ["steps.csv", "epochs.csv", "changes.jsonl"] {
        let path = task.folder.join(name);
        let mut text = fs::read_to_string(&path).expect("reads");
        text.push_str("6,3.0,2,CARE,0.1");
        fs::write(&path, text).expect("writes");
    }
    let resumed = Task {
        goes_on: true,
        ..task
    };
    finish(&resumed);
    assert_same(&whole.folder, &resumed.folder, "a power cut");
}

#[test]
fn a_box_drawn_meanwhile_counts_and_is_recorded() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    run(&task, stop_at(5));
    let mut resumed = Task {
        goes_on: true,
        ..task
    };
    let sample = &mut resumed.samples[0];
    assert!(sample.boxes.is_empty() && sample.part == Part::Train);
    let drawn = vec![BoundingBox::new(3.0, 3.0, 20.0, 20.0).expect("a box")];
    sample.boxes.clone_from(&drawn);
    let image = sample.image;
    finish(&resumed);
    let folder = RunFolder::open(&resumed.folder).expect("opens");
    let changes = folder.changes().expect("changes");
    let last = changes.last().expect("a change");
    let change = Change::Boxes {
        image,
        boxes: drawn,
    };
    assert_eq!((last.step, &last.change), (5, &change));
}

#[test]
fn other_images_are_no_place_to_go_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    run(&task, stop_at(5));
    let mut resumed = Task {
        goes_on: true,
        ..task
    };
    let steps = || fs::read_to_string(resumed.folder.join("steps.csv")).expect("reads");
    let before = steps();
    let mut others = resumed.clone();
    others.samples.remove(3);
    let (outcome, _) = run(&others, ONWARDS);
    let Outcome::Failed(why) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(why.contains("no longer those that it began with"), "{why}");
    assert_eq!(steps(), before, "nothing is lost");
    // A damaged checkpoint is an error, not another run.
    fs::write(resumed.folder.join("checkpoint.safetensors"), b"{}").expect("writes");
    resumed.goes_on = true;
    let (outcome, _) = run(&resumed, ONWARDS);
    assert!(matches!(outcome, Outcome::Failed(why) if why.contains("checkpoint.safetensors")));
    assert_eq!(steps(), before);
}

#[test]
fn runs_that_differ_in_stage_two_alone_share_stage_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = tiny_task(dir.path());
    run(&first, stop_at(5));
    let mut other = at(&first, &dir.path().join("other"));
    other.config.live.alpha = 0.7;
    other.config.box_scale = 1.2;
    other.config.stage2_epochs = 1;
    other.samples[0].boxes = vec![BoundingBox::new(3.0, 3.0, 20.0, 20.0).expect("a box")];
    let alone = at(&other, &dir.path().join("alone"));
    finish(&alone);
    other.others = vec![
        (RunId(9), dir.path().join("nowhere")),
        (RunId(1), first.folder.clone()),
    ];
    let events = finish(&other);
    assert!(events.contains(&TrainerEvent::Stage1Of(RunId(1))));
    let steps: Vec<u32> = steps_of(&events).iter().map(|it| it.step).collect();
    assert_eq!(steps, [5, 6], "stage 2 alone");
    let folder = RunFolder::open(&other.folder).expect("opens");
    assert_eq!(folder.data().expect("data").stage1_of, Some(RunId(1)));
    assert_eq!(folder.config().expect("config"), other.config);
    // Of stage 1 the first run's L_in and L_out are recorded, of its boxes; nothing learned from them.
    let of_stage_two = |dir: &Path| {
        let text = fs::read_to_string(dir.join("steps.csv")).expect("reads");
        let lines = text.lines().skip(5).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    assert_eq!(of_stage_two(&other.folder), of_stage_two(&alone.folder));
    for role in ModelRole::ALL {
        let read = |task: &Task| {
            let folder = RunFolder::open(&task.folder).expect("opens");
            fs::read(folder.weights(role)).expect("reads")
        };
        assert!(read(&other) == read(&alone), "{role:?}");
    }
    // And it can itself be stopped and gone on with, also where no checkpoint of its own was written yet; and shared from.
    for (name, has_checkpoint) in [("third", true), ("fourth", false)] {
        other.folder = dir.path().join(name);
        other.goes_on = false;
        run(&other, stop_at(5));
        if !has_checkpoint {
            fs::remove_file(other.folder.join("checkpoint.safetensors")).expect("removes");
        }
        other.goes_on = true;
        finish(&other);
        assert_eq!(of_stage_two(&other.folder), of_stage_two(&alone.folder));
        let folder = RunFolder::open(&other.folder).expect("opens");
        assert_eq!(folder.data().expect("data").stage1_of, Some(RunId(1)));
        assert_eq!(
            folder.changes().expect("changes").len(),
            1,
            "{name}: stage 2"
        );
    }
    let mut fifth = at(&other, &dir.path().join("fifth"));
    fifth.goes_on = false;
    fifth.others = vec![(RunId(4), other.folder.clone())];
    let events = finish(&fifth);
    assert!(
        events.contains(&TrainerEvent::Stage1Of(RunId(1))),
        "who trained it"
    );
}

#[test]
fn what_was_changed_during_stage_one_is_nobody_elses() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = tiny_task(dir.path());
    let mut tuned = false;
    let (outcome, _) = run(&first, |event| {
        if at_step(event, 2) && !std::mem::replace(&mut tuned, true) {
            let live = LiveParams {
                alpha: 0.9,
                ..first.config.live
            };
            Reaction::Send(vec![TrainerCommand::Live(live)])
        } else {
            Reaction::Nothing
        }
    });
    assert!(matches!(outcome, Outcome::Finished(_)), "{outcome:?}");
    let mut other = at(&first, &dir.path().join("other"));
    other.others = vec![(RunId(1), first.folder.clone())];
    let events = finish(&other);
    assert_eq!(steps_of(&events)[0].stage, 1);
    let folder = RunFolder::open(&other.folder).expect("opens");
    let of_live = |it: &RecordedChange| matches!(it.change, Change::Live { .. });
    assert!(!folder.changes().expect("changes").iter().any(of_live));
}

#[test]
fn what_cannot_go_on_says_so_before_anything_is_changed() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    // Stopped and tested.
    let (outcome, _) = run(&task, |event| {
        if at_step(event, 5) {
            Reaction::Stop
        } else {
            Reaction::Nothing
        }
    });
    assert!(matches!(outcome, Outcome::Stopped(Some(_))), "{outcome:?}");
    let resumed = Task {
        goes_on: true,
        ..task
    };
    let folder = RunFolder::open(&resumed.folder).expect("opens");
    assert_eq!(check_resume(&resumed), Ok(()));
    let says = |task: &Task, word: &str| {
        let why = check_resume(task).expect_err("a reason");
        assert!(why.contains(word), "{why}");
        assert!(folder.results().is_ok());
    };
    let mut others = resumed.clone();
    others.samples.remove(3);
    says(&others, "no longer those that it began with");
    let writing = fs::File::open(resumed.folder.join("steps.csv")).expect("opens");
    writing.lock().expect("locks");
    says(&resumed, "still being written to");
    let (outcome, _) = run(&resumed, ONWARDS);
    assert!(
        matches!(&outcome, Outcome::Failed(why) if why.contains("still being written to")),
        "{outcome:?}"
    );
    assert!(folder.results().is_ok());
    drop(writing);
    let before = resumed.folder.join("before.safetensors");
    let bytes = fs::read(&before).expect("reads");
    fs::remove_file(&before).expect("removes");
    says(&resumed, "before.safetensors is gone");
    fs::write(&before, bytes).expect("writes");
    // Once it goes on, its old results are no longer those of its models.
    run(&resumed, stop_at(6));
    assert!(folder.results().is_err());
    let starts = folder.record().expect("a record");
    assert_eq!(starts.len(), 2, "begun, and gone on with once");
    assert_eq!(starts[0].device, "cpu");
}

#[test]
fn what_counts_in_stage_one_is_not_shared() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = tiny_task(dir.path());
    run(&first, stop_at(5));
    let changes: [(&str, fn(&mut Task)); 6] = [
        ("seed", |task| task.config.seed = 1),
        ("rate", |task| task.config.learning_rate = 2e-3),
        ("epochs", |task| task.config.stage1_epochs = 3),
        ("an image", |task| drop(task.samples.pop())),
        ("a held-out box", |task| {
            let held_out = task.samples.iter_mut().find(|s| s.part != Part::Train);
            held_out.expect("a sample").boxes =
                vec![BoundingBox::new(1.0, 1.0, 9.0, 9.0).expect("a box")];
        }),
        ("rare", |task| task.classes[0].rare = true),
    ];
    for (n, (name, change)) in changes.into_iter().enumerate() {
        let mut task = at(&first, &dir.path().join(n.to_string()));
        task.others = vec![(RunId(1), first.folder.clone())];
        change(&mut task);
        let (_, events) = run(&task, stop_at(1));
        assert_eq!(steps_of(&events)[0].stage, 1, "{name}");
        assert!(
            !events.contains(&TrainerEvent::Stage1Of(RunId(1))),
            "{name}"
        );
    }
}
