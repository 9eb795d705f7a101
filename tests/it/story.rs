//! The demo that shows itself, through the real window and with real, tiny runs.

use std::path::PathBuf;

use care_data::import::{Import, NewImage};
use care_data::synthetic::Demo;
use care_data::{
    BoundingBox, ContentHash, Edit, ImageId, ImageSize, Orientation, Part, RunState, SplitSpec,
};
use care_learn::{ModelRole, RunConfig};
use care_studio::app::App;
use care_studio::command::{Action, Command, Room};
use care_studio::demo;
use care_studio::jobs::Kind;
use care_studio::story::{Cast, Step, Story};
use egui::{Key, Modifiers, ViewportCommand};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use tempfile::TempDir;

use crate::common::{key, press, send, settle, wait_for, window};
use crate::train::project_with_boxes;

/// A window in which a story begins, on the tiny project.
pub fn playing() -> (TempDir, Harness<'static, App>) {
    let (root, dir) = project_with_boxes();
    let mut window = window(Some(&dir));
    let project = window.state().state.project.as_ref().unwrap();
    let image = project.images().iter().find(|image| {
        image.part == Part::Train
            && project.class(image.class).unwrap().rare
            && project.boxes(image.id).is_empty()
    });
    let rect = BoundingBox::new(10.0, 8.0, 30.0, 24.0).unwrap();
    let cast = Cast {
        demo: Demo::Skin,
        seed: 7,
        // Whenever the story looks, the plain run is far from its end, so that there is one to stop.
        config: RunConfig {
            input_size: 56,
            stage1_epochs: 1,
            stage2_epochs: 60,
            ..RunConfig::demo()
        },
        boxes: vec![(image.unwrap().id, rect)],
        folder: None,
    };
    window.state_mut().state.story = Some(Story::new(cast));
    settle(&mut window);
    (root, window)
}

fn step(app: &App) -> Option<Step> {
    app.state.story.as_ref()?.step().map(|(step, ..)| step)
}

fn until(window: &mut Harness<'_, App>, wanted: Step) {
    wait_for(window, &format!("{wanted:?}"), |app| {
        step(app) == Some(wanted)
    });
}

#[test]
fn it_goes_through_to_the_end_and_begins_again() {
    let (_root, mut window) = playing();
    until(&mut window, Step::Imbalance);
    assert_eq!(window.state().state.room, Room::Images);
    window.get_by_label_contains("of scarce.");
    assert!(window.state().state.is_training(), "behind the page");
    until(&mut window, Step::Plain);
    assert_eq!(window.state().state.room, Room::Train);
    until(&mut window, Step::Fooled);
    assert!(window.state().state.story.as_ref().unwrap().star.is_some());
    until(&mut window, Step::Box(0));
    let state = &window.state().state;
    let (image, rect) = state.story.as_ref().unwrap().cast.boxes[0];
    assert_eq!((state.room, state.selected), (Room::Annotate, Some(image)));
    until(&mut window, Step::Train);
    let project = window.state().state.project.as_ref().unwrap();
    let boxes: Vec<_> = project.boxes(image).iter().map(|it| it.rect).collect();
    assert_eq!(boxes, [rect], "a real edit, made once");
    assert!(project.undoable().is_some());
    until(&mut window, Step::Testing);
    until(&mut window, Step::Table);
    let state = &window.state().state;
    assert_eq!(state.room, Room::Compare);
    let runs: Vec<_> = state.project.iter().flat_map(|it| it.runs()).collect();
    let states: Vec<_> = runs.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Stopped, RunState::Finished]);
    let run = state.run.as_ref().unwrap();
    assert_eq!(
        run.stage1_of,
        Some(runs[0].id),
        "it goes on from the plain one"
    );
    let results = run.results.as_ref().unwrap();
    assert!(results.summary(ModelRole::Care).is_some());
    window.get_by_label_contains("rare test images CARE finds");
    until(&mut window, Step::End);
    window.get_by_label_contains("Any key and it is yours");
    until(&mut window, Step::Making);
    let state = &window.state().state;
    let story = state.story.as_ref().unwrap();
    assert_eq!(story.cast.seed, 8, "other images");
    let places = story.cast.places().unwrap();
    let job = state.job.as_ref().map(|job| job.kind.clone());
    let making = Kind::MakeDemo {
        demo: Demo::Skin,
        into: places.1,
        for_story: true,
    };
    assert_eq!((state.project.is_none(), job), (true, Some(making)));
    window.get_by_label_contains("Being drawn now");
}

#[test]
fn a_key_or_a_click_takes_over_and_does_nothing_else() {
    let hands: [fn(&mut Harness<'_, App>); 4] = [
        |window| key(window, Key::F1),
        |window| key(window, Key::Escape),
        |window| press(window, Modifiers::COMMAND, Key::W),
        |window| {
            let at = window
                .get_by_label_contains("Light or dark")
                .rect()
                .center();
            window.hover_at(at);
            for pressed in [true, false] {
                window.event(egui::Event::PointerButton {
                    pos: at,
                    button: egui::PointerButton::Primary,
                    pressed,
                    modifiers: Modifiers::NONE,
                });
                settle(window);
            }
        },
    ];
    for (n, hand) in hands.into_iter().enumerate() {
        let (_root, mut window) = playing();
        until(&mut window, Step::Imbalance);
        window.get_by_label("Take over");
        hand(&mut window);
        let state = &window.state().state;
        assert!(!state.story.as_ref().unwrap().is_playing(), "{n}");
        assert_eq!(state.room, Room::Images, "{n}");
        assert!(state.project.is_some() && state.is_training(), "{n}");
        assert!(!state.show_keys && !state.settings.light, "{n}");
        assert!(state.last_event.contains("yours"), "{n}");
        assert!(window.query_by_label("Take over").is_none(), "{n}");
        // What is pressed from now on does what it always does.
        key(&mut window, Key::F1);
        assert!(window.state().state.show_keys, "{n}");
    }
}

#[test]
fn a_pointer_that_only_moves_leaves_it_alone() {
    let (_root, mut window) = playing();
    until(&mut window, Step::Imbalance);
    window.hover_at(egui::pos2(300.0, 300.0));
    settle(&mut window);
    assert!(window.state().state.story.as_ref().unwrap().is_playing());
}

#[test]
fn one_key_begins_anew_and_one_fills_the_screen() {
    let (_root, mut window) = playing();
    until(&mut window, Step::Imbalance);
    assert_eq!(
        Action::FullScreen.spec().shortcut.map(|it| it.logical_key),
        Some(Key::F11)
    );
    key(&mut window, Key::F11);
    assert!(window.state().state.story.as_ref().unwrap().is_playing());
    window.state_mut().commands().act(Action::FullScreen);
    window.step();
    let viewports = window.output().viewport_output.values();
    let mut commands = viewports.flat_map(|viewport| &viewport.commands);
    assert!(commands.any(|it| *it == ViewportCommand::Fullscreen(true)));

    // A run of the story's own is no reason to ask.
    assert!(window.state().state.is_training());
    key(&mut window, Key::F5);
    assert_eq!(step(window.state()), Some(Step::Making));
    assert!(window.state().state.asked.is_none());
    assert!(window.state().state.project.is_none());
}

#[test]
fn what_fails_is_shown_and_it_begins_anew() {
    let (_root, mut window) = playing();
    let nowhere = Command::OpenProject("/nowhere.care".into());
    send(&mut window, nowhere);
    assert!(window.state().state.story.as_ref().unwrap().is_playing());
    window.get_by_label("This project cannot be opened");
    window.get_by_label_contains("Something went wrong. From the beginning in ");
    // Nobody is there: a frame is a quarter of a second long.
    wait_for(&mut window, "the beginning", |app| {
        let story = app.state.story.as_ref().unwrap();
        story.cast.seed == 8
    });
    assert_eq!(step(window.state()), Some(Step::Making));
    assert_eq!(window.state().state.problem, None);
}

#[test]
fn what_a_person_drew_in_it_is_not_lost_unasked() {
    let (root, mut window) = playing();
    until(&mut window, Step::Imbalance);
    let story = window.state_mut().state.story.as_mut().unwrap();
    story.cast.folder = Some(root);
    key(&mut window, Key::Escape);
    let seed = |window: &Harness<'_, App>| window.state().state.story.as_ref().unwrap().cast.seed;
    let project = window.state().state.project.as_ref().unwrap();
    let image = project.images()[0].id;
    let rect = BoundingBox::new(3.0, 3.0, 9.0, 9.0).unwrap();
    let annotation = project.new_box(image, rect);
    send(&mut window, Command::Edit(Edit::AddBox { annotation }));
    key(&mut window, Key::F5);
    window.get_by_label("Begin anew?");
    window.get_by_label("Keep this copy").click();
    settle(&mut window);
    assert!(window.query_by_label("Begin anew?").is_none());
    assert_eq!(seed(&window), 7);
    let project = window.state().state.project.as_ref().unwrap();
    assert_eq!(project.boxes(image).len(), 1);

    key(&mut window, Key::F5);
    window.get_by_label("Begin anew").click();
    settle(&mut window);
    assert_eq!(
        (seed(&window), step(window.state())),
        (8, Some(Step::Making))
    );
    assert!(window.state().state.project.is_none());
}

#[test]
fn where_nothing_was_changed_it_begins_anew_at_once() {
    let (root, mut window) = playing();
    until(&mut window, Step::Imbalance);
    let story = window.state_mut().state.story.as_mut().unwrap();
    story.cast.folder = Some(root);
    key(&mut window, Key::Escape);
    // The story's own run ends: no work of a person's.
    send(&mut window, Command::Action(Action::Stop));
    wait_for(&mut window, "the end", |app| !app.state.is_training());
    key(&mut window, Key::F5);
    assert!(window.state().state.asked.is_none());
    assert_eq!(step(window.state()), Some(Step::Making));
}

#[test]
fn a_story_has_boxes_left_to_draw() {
    let root = tempfile::tempdir().unwrap();
    let rect = |n: u8| {
        let at = f64::from(n);
        BoundingBox::new(at, at, at + 9.0, at + 9.0).unwrap()
    };
    let image = |n: u8, class: &str, boxes: usize| NewImage {
        path: PathBuf::from(format!("/pictures/{n}.jpg")),
        hash: ContentHash::of(&[n]),
        size: ImageSize::new(64, 64),
        orientation: Orientation::default(),
        class: class.to_owned(),
        group: None,
        patient: None,
        part: Some(Part::Train),
        boxes: (0..boxes as u8).map(rect).collect(),
    };
    let rare = Demo::Chest.rare_class();
    let images = vec![
        image(0, "nodule", 1),
        image(1, rare, 1),
        image(2, rare, 3),
        image(3, rare, 2),
    ];
    let import = Import {
        images,
        not_read: Vec::new(),
        split: SplitSpec::default(),
    };
    let dir = root.path().join("chest-demo.care");
    let (project, left) = demo::for_story(Demo::Chest, &dir, import).unwrap();
    let of = |n: usize| project.images()[n].id;
    let expected: Vec<(ImageId, _)> = vec![
        (of(1), rect(0)),
        (of(2), rect(0)),
        (of(2), rect(1)),
        (of(2), rect(2)),
    ];
    assert_eq!(left, expected);
    let boxes = |n: usize| project.boxes(of(n)).len();
    // Of the common class only held-out images have boxes.
    assert_eq!([0, 1, 2, 3].map(boxes), [0, 0, 0, 2]);
}
