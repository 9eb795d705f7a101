//! The suggested box, and the order of the queue by what a model makes of its images.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use care_data::import::{self, Options};
use care_data::{BoundingBox, Edit, Origin, Part, Project, ReviewState};
use care_learn::RunConfig;
use care_studio::app::App;
use care_studio::attention::Attention;
use care_studio::command::{Action, Command, Room};
use care_studio::queue::{Classes, Queue, QueueView, Sort};
use care_studio::suggestion::{Found, Source};
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use image::{Rgb, RgbImage};
use tempfile::TempDir;

use crate::common::{key, send, settle, wait_for, window};

const LESION: [f64; 4] = [30.0, 20.0, 62.0, 44.0];

/// Ten pictures of each of two classes, each with a dark lesion at [`LESION`]; that of "scarce" is red.
pub fn project() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    for (class, red) in [("common", 30), ("scarce", 140)] {
        let dir = root.path().join("pictures").join(class);
        std::fs::create_dir_all(&dir).unwrap();
        for i in 0..10_u8 {
            let [x0, y0, x1, y1] = LESION.map(|v| v as u32);
            let picture = RgbImage::from_fn(96, 64, |x, y| {
                let lesion = (x0..x1).contains(&x) && (y0..y1).contains(&y);
                if lesion {
                    Rgb([red + i, 30, 30])
                } else {
                    Rgb([210, 170 + i, 150])
                }
            });
            picture.save(dir.join(format!("{class}_{i}.png"))).unwrap();
        }
    }
    let stop = AtomicBool::new(false);
    let pictures = root.path().join("pictures");
    let found = import::read(&pictures, &Options::default(), &|_, _| {}, &stop).unwrap();
    let dir = root.path().join("p.care");
    let mut project = Project::create(&dir).unwrap();
    project.take_in(found).unwrap();
    let class = project.classes().iter().find(|it| it.name == "scarce");
    let class = class.unwrap().id;
    project.apply(Edit::SetRare { class, rare: true }).unwrap();
    (root, dir)
}

pub fn suggest(window: &mut Harness<'_, App>) -> Found {
    key(window, Key::B);
    wait_for(window, "a suggestion", |app| {
        let suggestion = app.state.suggestion.as_ref();
        suggestion.is_some_and(|it| it.found != Found::Looking)
    });
    let suggestion = window.state().state.suggestion.as_ref();
    suggestion.unwrap().found.clone()
}

fn is_suggesting(window: &Harness<'_, App>) -> bool {
    window.state().state.suggestion.is_some()
}

#[test]
fn a_box_is_suggested_and_counts_once_it_is_accepted() {
    let (_root, dir) = project();
    let mut window = window(Some(&dir));
    send(&mut window, Command::Go(Room::Annotate));
    let image = window.state().state.selected.unwrap();
    let boxes = |window: &Harness<'_, App>| {
        let project = window.state().state.project.as_ref().unwrap();
        project.boxes(image).to_vec()
    };
    let Found::Box(rect) = suggest(&mut window) else {
        panic!("nothing found")
    };
    let [x0, y0, x1, y1] = LESION;
    let lesion = BoundingBox::new(x0, y0, x1, y1).unwrap();
    assert!(rect.iou(lesion) > 0.8, "{rect:?}");
    window.get_by_label_contains("Suggested from the picture alone");
    assert!(boxes(&window).is_empty());

    key(&mut window, Key::Escape);
    assert!(!is_suggesting(&window) && boxes(&window).is_empty());
    suggest(&mut window);
    key(&mut window, Key::ArrowRight);
    assert!(!is_suggesting(&window), "of another image it says nothing");
    key(&mut window, Key::ArrowLeft);

    // Enter before there is an answer waits for it: nothing is marked as done that nobody has seen.
    window.key_press(Key::B);
    window.key_press(Key::Enter);
    settle(&mut window);
    let state = &window.state().state;
    assert_eq!(state.selected, Some(image));
    let review = state.project.as_ref().unwrap().review(None, image);
    assert_eq!(review.state, ReviewState::ToDo);
    // Where it came in time, Enter has accepted it.
    if !boxes(&window).is_empty() {
        window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
        settle(&mut window);
    }
    // Another class takes the suggestion away.
    suggest(&mut window);
    key(&mut window, Key::Num1);
    assert!(!is_suggesting(&window));
    key(&mut window, Key::Num2);

    suggest(&mut window);
    key(&mut window, Key::Enter);
    let [accepted] = &boxes(&window)[..] else {
        panic!("one box")
    };
    assert_eq!((accepted.rect, accepted.origin), (rect, Origin::Saliency));
    assert_eq!(
        window.state().state.selected,
        Some(image),
        "to be looked at"
    );
    assert!(!is_suggesting(&window));
    key(&mut window, Key::Enter);
    let state = &window.state().state;
    assert_ne!(state.selected, Some(image));
    let review = state.project.as_ref().unwrap().review(None, image);
    assert_eq!(review.state, ReviewState::Done);
}

#[test]
fn a_model_suggests_and_sorts() {
    let (_root, dir) = project();
    let mut project = Project::open(&dir).unwrap();
    let images: Vec<_> = project.images().iter().map(|it| (it.id, it.part)).collect();
    let [x0, y0, x1, y1] = LESION;
    let lesion = BoundingBox::new(x0, y0, x1, y1).unwrap();
    for (image, part) in images {
        if part == Part::Train {
            let annotation = project.new_box(image, lesion);
            project.apply(Edit::AddBox { annotation }).unwrap();
        }
    }
    drop(project);
    let mut window = window(Some(&dir));
    let config = RunConfig {
        input_size: 56,
        stage1_epochs: 1,
        stage2_epochs: 1,
        ..RunConfig::demo()
    };
    send(&mut window, Command::SetDraft(config));
    send(&mut window, Command::Action(Action::Train));
    assert!(window.state().state.is_training());
    wait_for(&mut window, "the end", |app| !app.state.is_training());

    send(&mut window, Command::Go(Room::Annotate));
    suggest(&mut window);
    suggest(&mut window);
    let image = window.state().state.selected.unwrap();
    let seen = window.state().state.attention.seen(image);
    assert!(matches!(seen, Some(Ok(_))), "{seen:?}");
    let source = window.state().state.suggestion.as_ref().unwrap().source;
    assert_eq!(source, Source::Attention);
    key(&mut window, Key::Escape);

    let view = |sort| QueueView {
        classes: Classes::All,
        part: None,
        sort,
        ..QueueView::default()
    };
    send(&mut window, Command::SetQueue(view(Sort::Uncertainty)));
    wait_for(&mut window, "all are seen", |app| {
        let images = app.state.project.as_ref().unwrap().images().iter();
        let attention = &app.state.attention;
        images.clone().all(|it| attention.seen(it.id).is_some())
    });
    let state = &window.state().state;
    let project = state.project.as_ref().unwrap();
    let sorted = |sort, attention: &Attention| {
        let mut queue = Queue::default();
        queue.update(project, None, &view(sort), attention, None, 0.0);
        let seen = queue.list().iter().map(|m| {
            let seen = attention.seen(m.id).unwrap().as_ref().unwrap();
            let image = project.image(m.id).unwrap();
            let rects: Vec<_> = project.boxes(m.id).iter().map(|a| a.rect).collect();
            (seen.uncertainty, seen.energy(&rects, image.size))
        });
        seen.collect::<Vec<_>>()
    };
    let unsure = sorted(Sort::Uncertainty, &state.attention);
    assert_eq!(unsure.len(), 20);
    assert!(unsure.is_sorted_by(|a, b| a.0 >= b.0 - 1e-6), "{unsure:?}");
    // What it says meanwhile moves the images about only now and then, and never not at all.
    let mut queue = Queue::default();
    let view_of_all = view(Sort::Uncertainty);
    let mut order = |attention: &Attention, now: f64| {
        queue.update(project, None, &view_of_all, attention, None, now);
        let ids: Vec<_> = queue.list().iter().map(|m| m.id).collect();
        (ids, queue.resorted_in(&view_of_all, attention, now))
    };
    let (imported, _) = order(&Attention::default(), 0.0);
    let (kept, again_in) = order(&state.attention, 0.5);
    assert_eq!(kept, imported);
    let (by_model, again) = order(&state.attention, 0.5 + again_in.unwrap());
    assert_eq!(again, None);
    let mut fresh = Queue::default();
    fresh.update(project, None, &view_of_all, &state.attention, None, 0.0);
    let expected: Vec<_> = fresh.list().iter().map(|m| m.id).collect();
    assert_eq!(by_model, expected);
    assert_ne!(by_model, imported);
    let energy = sorted(Sort::Energy, &state.attention);
    let known = energy.iter().position(|it| it.1.is_none()).unwrap();
    assert!(known > 0 && energy[known..].iter().all(|it| it.1.is_none()));
    assert!(
        energy[..known].is_sorted_by(|a, b| a.1 <= b.1),
        "{energy:?}"
    );
}
