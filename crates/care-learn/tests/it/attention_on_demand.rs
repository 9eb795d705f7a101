//! Asking a run's models about images, one after another, while others are asked about.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use care_data::{ClassId, ImageSize, Look, Part, decode};
use care_learn::attention_on_demand::{Answer, Asked, Attention, AttentionOnDemand, Question};
use care_learn::config::Normalisation;
use care_learn::evaluation::Explainer;
use care_learn::run_folder::RunFolder;
use care_learn::{AttentionMap, ModelRole, Outcome, Task};

use super::tiny::{Reaction, SIDE, run, tiny_task};

/// A run on the tiny task, its images seen with black and white exchanged.
fn trained(dir: &Path) -> (Task, RunFolder) {
    let mut task = tiny_task(dir);
    task.look = Look {
        invert: true,
        ..Look::default()
    };
    // So that no map is flat.
    task.config.normalisation = Normalisation::MinMax;
    task.config.stage1_epochs = 1;
    task.config.stage2_epochs = 1;
    let (outcome, _) = run(&task, |_| Reaction::Nothing);
    assert!(matches!(outcome, Outcome::Finished(_)), "{outcome:?}");
    let folder = RunFolder::open(&task.folder).expect("a run");
    (task, folder)
}

fn counting(wakes: &Arc<AtomicUsize>) -> impl Fn() + Send + 'static {
    let wakes = Arc::clone(wakes);
    move || {
        wakes.fetch_add(1, Ordering::SeqCst);
    }
}

fn question(task: &Task, role: ModelRole, image: impl AsRef<Path>, class: Option<i64>) -> Question {
    Question {
        model: Asked::OfRun {
            run: task.folder.clone(),
            role,
        },
        image: image.as_ref().to_owned(),
        class: class.map(ClassId),
    }
}

fn answered(asked: &AttentionOnDemand) -> Answer {
    let begun = Instant::now();
    loop {
        if let Some(answer) = asked.answer() {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "no answer");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn ask(asked: &mut AttentionOnDemand, question: Question) -> Result<Attention, String> {
    asked.ask(question.clone());
    let answer = answered(asked);
    assert_eq!(answer.question, question);
    answer.attention
}

fn difference(a: &AttentionMap, b: &AttentionMap) -> f32 {
    assert_eq!((a.height, a.width), (b.height, b.width));
    let differences = a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

/// As `care cam` computes it, through a look.
fn explained(
    task: &Task,
    folder: &RunFolder,
    role: ModelRole,
    image: &Path,
    look: &Look,
    class: Option<usize>,
) -> AttentionMap {
    let explainer = Explainer::open(&task.config, &folder.weights(role)).expect("opens");
    let shown = decode::decode(image, look).expect("decodes");
    let pixels = decode::resized(shown, ImageSize::new(SIDE, SIDE)).expect("resizes");
    explainer
        .explain(pixels.as_raw(), class)
        .expect("explains")
        .map
}

#[test]
fn a_map_on_demand_is_the_one_of_the_run_and_of_cam() {
    let dir = tempfile::tempdir().expect("a folder");
    let (task, folder) = trained(dir.path());
    let wakes = Arc::new(AtomicUsize::new(0));
    let mut asked = AttentionOnDemand::start(counting(&wakes)).expect("a thread");

    let mut count = 0;
    let in_run = folder.test_attention(&ModelRole::ALL).expect("was tested");
    for (role, in_run) in in_run {
        let tested = task.samples.iter().filter(|s| s.part == Part::Test);
        for (sample, seen) in tested.zip(in_run).step_by(3) {
            assert_eq!(sample.image, seen.image);
            let own = sample.label as i64 + 1;
            let attention =
                ask(&mut asked, question(&task, role, &sample.path, Some(own))).expect("sees");
            count += 1;
            assert_eq!(attention.class, ClassId(own));
            assert!(difference(&attention.map, &seen.map) < 1e-4, "{role:?}");
            let classes = [ClassId(1), ClassId(2)];
            for (i, ((class, p), in_run)) in attention
                .probabilities
                .iter()
                .zip(&seen.probabilities)
                .enumerate()
            {
                assert_eq!(*class, classes[i]);
                assert!((p - in_run).abs() < 1e-4);
            }
        }
    }

    // One channel, so that the look matters; not of the network's size.
    let grey = dir.path().join("grey.png");
    let image = image::GrayImage::from_fn(90, 70, |x, y| {
        image::Luma([if (20..50).contains(&x) { 220 } else { y as u8 }])
    });
    image.save(&grey).expect("saves");
    for class in [None, Some(0), Some(1)] {
        let id = class.map(|class| class as i64 + 1);
        let attention = ask(&mut asked, question(&task, ModelRole::Care, &grey, id)).expect("sees");
        count += 1;
        if let Some(id) = id {
            assert_eq!(attention.class, ClassId(id));
        } else {
            assert_eq!(attention.class, attention.predicted);
        }
        let most = attention
            .probabilities
            .iter()
            .max_by(|a, b| a.1.total_cmp(&b.1));
        assert_eq!(most.map(|(class, _)| *class), Some(attention.predicted));
        let through = |look: &Look| explained(&task, &folder, ModelRole::Care, &grey, look, class);
        assert!(difference(&attention.map, &through(&task.look)) < 1e-5);
        assert!(difference(&attention.map, &through(&Look::default())) > 1e-3);
    }
    assert_eq!(wakes.load(Ordering::SeqCst), count);
}

#[test]
fn what_cannot_be_seen_is_said_in_one_line_and_the_next_one_is_answered() {
    let dir = tempfile::tempdir().expect("a folder");
    let (task, folder) = trained(dir.path());
    let image = &task.samples[0].path;
    let broken = dir.path().join("broken.png");
    let bytes = std::fs::read(image).expect("reads");
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).expect("writes");
    let mut asked = AttentionOnDemand::start(|| ()).expect("a thread");
    let elsewhere = Question {
        model: Asked::OfRun {
            run: dir.path().join("runs/0009"),
            role: ModelRole::Care,
        },
        ..question(&task, ModelRole::Care, image, None)
    };
    for (wrong, says) in [
        (question(&task, ModelRole::Before, &broken, None), "cut off"),
        (
            question(&task, ModelRole::Before, "nowhere.png", None),
            "not there any more",
        ),
        (
            question(&task, ModelRole::Before, image, Some(7)),
            "came after this run",
        ),
        (elsewhere, "no such folder"),
    ] {
        let why = ask(&mut asked, wrong).expect_err(says);
        assert!(why.contains(says) && why.lines().count() == 1, "{why}");
        let next = ask(&mut asked, question(&task, ModelRole::Before, image, None));
        assert!(next.is_ok(), "{next:?}");
    }

    // A model that is written anew is opened anew, one that is gone is missed.
    let own = |role| question(&task, role, image, Some(1));
    let [before, care] = [ModelRole::Before, ModelRole::Care]
        .map(|role| ask(&mut asked, own(role)).expect("sees").map);
    assert!(difference(&before, &care) > 1e-4);
    let path = folder.weights(ModelRole::Care);
    std::fs::copy(folder.weights(ModelRole::Before), &path).expect("copies");
    let anew = ask(&mut asked, own(ModelRole::Care)).expect("sees").map;
    assert!(difference(&before, &anew) < 1e-5);
    std::fs::remove_file(&path).expect("removes");
    let why = ask(&mut asked, own(ModelRole::Care)).expect_err("it is gone");
    assert!(
        why.contains("care.safetensors") && why.lines().count() == 1,
        "{why}"
    );
}

#[test]
fn the_last_question_wins_and_dropping_a_busy_thread_returns() {
    let dir = tempfile::tempdir().expect("a folder");
    let (task, _) = trained(dir.path());
    let wakes = Arc::new(AtomicUsize::new(0));
    let mut asked = AttentionOnDemand::start(counting(&wakes)).expect("a thread");
    for round in 0..5 {
        for sample in &task.samples {
            asked.ask(question(
                &task,
                ModelRole::ALL[round % 3],
                &sample.path,
                None,
            ));
        }
        let last = task.samples.last().expect("samples");
        let answer = answered(&asked);
        assert_eq!(answer.question.image, last.path);
        assert!(answer.attention.is_ok(), "{answer:?}");
        assert_eq!(asked.answer(), None, "given once");
    }
    // Besides the last ones those that the thread had finished before it was asked the next.
    let count = wakes.load(Ordering::SeqCst);
    assert!(count <= 5 * 4, "{count} of {}", 5 * task.samples.len());
    // An answer that nobody took before the next question is no answer to that.
    let [first, second] = [0, 1].map(|i| &task.samples[i].path);
    asked.ask(question(&task, ModelRole::Care, first, None));
    while wakes.load(Ordering::SeqCst) == count {
        std::thread::sleep(Duration::from_millis(2));
    }
    asked.ask(question(&task, ModelRole::Care, second, None));
    assert_eq!(&answered(&asked).question.image, second);

    for wait in [0, 1, 5, 20] {
        let mut asked = AttentionOnDemand::start(|| ()).expect("a thread");
        for sample in &task.samples {
            asked.ask(question(&task, ModelRole::Care, &sample.path, None));
        }
        std::thread::sleep(Duration::from_millis(wait));
        let begun = Instant::now();
        drop(asked);
        assert!(begun.elapsed() < Duration::from_secs(5), "after {wait} ms");
    }
}

#[test]
fn a_network_is_asked_before_any_training_and_its_sum_gives_the_map() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = tiny_task(dir.path());
    let mut asked = AttentionOnDemand::start(|| ()).expect("a thread");
    let untrained = |seed| Question {
        model: Asked::Untrained {
            config: Box::new(care_learn::RunConfig {
                seed,
                ..task.config.clone()
            }),
            classes: task.classes.iter().map(|class| class.id).collect(),
            look: task.look,
        },
        image: task.samples[0].path.clone(),
        class: Some(task.classes[1].id),
    };
    let [first, again, other] =
        [1, 1, 2].map(|seed| ask(&mut asked, untrained(seed)).expect("sees"));
    assert_eq!(first, again);
    assert!(difference(&first.raw, &other.raw) > 1e-4, "its own seed");
    assert_eq!(first.class, task.classes[1].id);
    let normalisation = task.config.normalisation;
    let map = care_learn::lens::normalised(&first.raw, normalisation);
    assert!(difference(&map, &first.map) < 1e-5);
    let wrong = Question {
        class: Some(ClassId(99)),
        ..untrained(1)
    };
    let why = ask(&mut asked, wrong).expect_err("no such class");
    assert!(why.lines().count() == 1, "{why}");
}
