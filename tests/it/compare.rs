//! The room Compare, over a run made up by hand: what it says, and what a click and a key do.

use std::path::Path;

use crate::common::{settle, window};
use care_data::import::{Import, NewImage};
use care_data::{
    BoundingBox, ContentHash, Edit, Image, ImageSize, Orientation, Part, Project, RunId, RunState,
    SplitSpec,
};
use care_learn::event::{ImageAttention, Results};
use care_learn::metrics::{argmax, mcnemar_exact, summarise};
use care_learn::{AttentionMap, ModelRole, RunConfig};
use care_studio::app::App;
use care_studio::command::Room;
use care_studio::training::{Phase, TrainingRun};
use egui::Key;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use tempfile::TempDir;

const RARE: &str = "dermatofibroma";

/// A project with a test part of 12 images in each of two classes, all with a box; the rare class is marked.
fn project(dir: &Path) -> Project {
    let image = |class: &str, i: u8| {
        let path = dir.join(format!("{class}_{i:02}.png"));
        let picture = image::RgbImage::from_fn(48, 48, |x, y| {
            image::Rgb([i * 8, x as u8 * 5, y as u8 * 5 + class.len() as u8])
        });
        picture.save(&path).unwrap();
        NewImage {
            hash: ContentHash::of(&std::fs::read(&path).unwrap()),
            path,
            size: ImageSize::new(48, 48),
            orientation: Orientation::default(),
            class: class.to_owned(),
            group: None,
            patient: None,
            part: Some(Part::Test),
            boxes: vec![BoundingBox::new(8.0, 8.0, 40.0, 32.0).unwrap()],
        }
    };
    let import = Import {
        images: ["nevus", RARE]
            .into_iter()
            .flat_map(|class| (0..12).map(move |i| image(class, i)))
            .collect(),
        not_read: Vec::new(),
        split: SplitSpec::default(),
    };
    let mut project = Project::create(&dir.join("tiny.care")).unwrap();
    project.take_in(import).unwrap();
    let rare = project.classes().iter().find(|class| class.name == RARE);
    let class = rare.unwrap().id;
    project.apply(Edit::SetRare { class, rare: true }).unwrap();
    project
}

fn is_rare(project: &Project, image: &Image) -> bool {
    project.class(image.class).is_some_and(|class| class.rare)
}

/// A run that has ended, on the test images of the project, at most `num_rare` of them rare. CARE recognises every rare
/// image, the other models only every third; all recognise every other image. CARE's share of the attention in the box
/// falls from the first image to the last.
pub fn finished_run(project: &Project, id: RunId, num_rare: usize) -> TrainingRun {
    let mut rare_seen = 0;
    let images: Vec<&Image> = project
        .images()
        .iter()
        .filter(|image| {
            rare_seen += usize::from(is_rare(project, image));
            !is_rare(project, image) || rare_seen <= num_rare
        })
        .collect();
    let classes = project.classes();
    let label = |image: &Image| classes.iter().position(|c| c.id == image.class).unwrap();
    let labels: Vec<usize> = images.iter().map(|image| label(image)).collect();
    let seen_by = |role: ModelRole| -> Vec<ImageAttention> {
        let see = |(place, image): (usize, &&Image)| {
            let right =
                role == ModelRole::Care || !is_rare(project, image) || place.is_multiple_of(3);
            let label = label(image);
            let predicted = if right { label } else { 1 - label };
            let energy = match role {
                ModelRole::Care => 0.9 - 0.01 * place as f32,
                _ => 0.2,
            };
            ImageAttention {
                image: image.id,
                map: AttentionMap {
                    height: 1,
                    width: 2,
                    values: vec![1.0, 0.0],
                },
                peak: Some(1.0),
                probabilities: (0..classes.len())
                    .map(|class| if class == predicted { 0.8 } else { 0.2 })
                    .collect(),
                energy: Some(energy),
                hit: Some(role == ModelRole::Care),
                iou: None,
            }
        };
        images.iter().enumerate().map(see).collect()
    };
    let rare: Vec<bool> = classes.iter().map(|class| class.rare).collect();
    let test: Vec<_> = ModelRole::ALL.map(|role| (role, seen_by(role))).into();
    let right = |place: usize| -> Vec<bool> {
        let (_, seen) = &test[place];
        let all = seen.iter().zip(&labels);
        all.filter(|(_, label)| rare[**label])
            .map(|(image, label)| argmax(&image.probabilities) == *label)
            .collect()
    };
    let mut run = TrainingRun::new(id, RunConfig::default(), Vec::new());
    run.phase = Phase::Ended(RunState::Finished);
    run.results = Some(Results {
        seconds: 60.0,
        summaries: test
            .iter()
            .map(|(role, seen)| (*role, summarise(&labels, seen, &rare, 0)))
            .collect(),
        rare_difference: Some(mcnemar_exact(&right(1), &right(2))),
        kept: vec![],
    });
    run.test = test;
    run
}

/// The window in Compare, over a project with the run that `make` makes of it.
fn compare(
    make: impl FnOnce(&mut Project) -> Option<TrainingRun>,
) -> (TempDir, Harness<'static, App>) {
    let dir = tempfile::tempdir().unwrap();
    let mut project = project(dir.path());
    let run = make(&mut project);
    let mut window = window(None);
    let state = &mut window.state_mut().state;
    state.show(Some(project));
    state.run = run;
    state.room = Room::Compare;
    settle(&mut window);
    (dir, window)
}

pub fn finished(num_rare: usize) -> (TempDir, Harness<'static, App>) {
    compare(|project| {
        let (id, _) = project.begin_run().unwrap();
        project
            .end_run(id, RunState::Finished, "finished in 1 min", &[])
            .unwrap();
        Some(finished_run(project, id, num_rare))
    })
}

#[test]
fn before_a_run_the_way_leads_to_train() {
    let (_dir, mut window) = compare(|_| None);
    window.get_by_label("Train once to compare");
    window
        .get_by_role_and_label(egui::Role::Button, "Train")
        .click();
    settle(&mut window);
    assert_eq!(window.state().state.room, Room::Train);
}

#[test]
fn a_run_without_results_says_why_there_are_none() {
    for (phase, expected) in [
        (Phase::Training, "Run 1 is training"),
        (
            Phase::Ended(RunState::Stopped),
            "Run 1 was stopped before it had results",
        ),
        (Phase::Failed("The disk is full.".into()), "Run 1 failed"),
    ] {
        let (_dir, window) = compare(move |_| {
            let mut run = TrainingRun::new(RunId(1), RunConfig::default(), Vec::new());
            run.phase = phase;
            Some(run)
        });
        window.get_by_label(expected);
    }
}

#[test]
fn the_sentence_and_the_table_say_what_the_test_part_shows() {
    let (_dir, window) = finished(12);
    window.get_by_label("Of 12 test images of dermatofibroma, CARE recognises 12, the control 4.");
    window.get_by_label_contains("McNemar\u{2019}s exact test: p\u{a0}=\u{a0}0.008.");
    for expected in [
        "CARE 1.00 (12 of 12), higher, p = 0.008",
        "nevus, n 12, before 1.00 (12 of 12), control 1.00 (12 of 12), CARE 1.00 (12 of 12), no detectable difference",
        "pointing hit, n 12, before 0.00 (0 of 12), control 0.00 (0 of 12), CARE 1.00 (12 of 12), +1.00",
        "MCA, n 24",
    ] {
        window.get_by_label_contains(expected);
    }
    assert!(window.query_by_label_contains("Only 12").is_none());
}

#[test]
fn few_rare_test_images_are_a_caution() {
    let (_dir, window) = finished(4);
    window.get_by_label_contains("Only 4 test images of dermatofibroma: one image moves");
}

#[test]
fn the_figure_begins_with_the_least_attention_in_the_box_and_lays_out_what_is_seen() {
    let (_dir, mut window) = finished(12);
    let name = |i: usize| format!("{RARE}_{i:02}");
    let top = |window: &Harness<'_, App>, i: usize| {
        window
            .query_by_label(&name(i))
            .map(|node| node.rect().top())
    };
    assert!(top(&window, 11) < top(&window, 10));
    assert_eq!(top(&window, 0), None, "the twelfth row is out of view");
    window.get_by_label_contains(&format!("{}, CARE, {RARE}: probability 0.80", name(11)));

    window.get_by_label("Order").click();
    settle(&mut window);
    window.get_by_label("by name").click();
    settle(&mut window);
    assert!(top(&window, 0) < top(&window, 1));
    assert_eq!(top(&window, 11), None);
}

#[test]
fn a_cell_of_the_confusion_fills_the_strip_and_a_opens_its_image() {
    let (_dir, mut window) = finished(12);
    // The room opens with what the control most often takes the rare class for.
    window.get_by_label("8 images");
    window
        .get_by_label("control: 4 of 12 dermatofibroma predicted as dermatofibroma")
        .click();
    settle(&mut window);
    window.get_by_label("4 images");
    window.get_by_label("control: dermatofibroma recognised");

    let second = format!("{RARE}_03");
    window
        .get_by_label(&format!("{second}, in the strip"))
        .click();
    settle(&mut window);
    window.key_press(Key::A);
    settle(&mut window);
    assert_eq!(window.state().state.room, Room::Annotate);
    let state = &window.state().state;
    let selected = state
        .selected
        .and_then(|id| state.project.as_ref()?.image(id));
    assert_eq!(selected.map(Image::name), Some(second.as_str()));
}
