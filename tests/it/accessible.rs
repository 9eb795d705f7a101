//! Every control has a name, and the keyboard reaches it.

use std::collections::{HashMap, HashSet};

use care_data::{BoundingBox, Edit, ReviewState, RunState};
use care_learn::{ModelRole, RunConfig};
use care_studio::app::App;
use care_studio::command::{Command, Room};
use care_studio::training::Phase;
use egui::accesskit::{self, NodeId, Role};
use egui::{Event, Key, Modifiers, PointerButton};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use tempfile::TempDir;

use crate::common::{press, send, settle, tabs_to, tiny_project, type_text, wait_for, window};
use crate::train::{has_film, project_with_boxes, set_epochs};
use crate::{compare, film, greys, lens, overlay, suggested};

/// A window in some state, and what keeps its project on the disk.
pub type Scene = (Option<TempDir>, Harness<'static, App>);

fn room(room: Room) -> (TempDir, Harness<'static, App>) {
    let (root, dir) = tiny_project(true);
    let mut window = window(Some(&dir));
    send(&mut window, Command::Go(room));
    (root, window)
}

fn start() -> Scene {
    (None, window(None))
}

fn start_after_a_project() -> Scene {
    let (root, mut window) = room(Room::Images);
    press(&mut window, Modifiers::COMMAND, Key::W);
    window.get_by_label("Open project tiny");
    (Some(root), window)
}

fn problem() -> Scene {
    let mut window = window(None);
    send(&mut window, Command::OpenProject("/nowhere.care".into()));
    window.get_by_label("Dismiss");
    (None, window)
}

fn images() -> Scene {
    let (root, window) = room(Room::Images);
    (Some(root), window)
}

fn add_images() -> Scene {
    let (root, mut window) = room(Room::Images);
    window.get_by_label("Add images").click();
    settle(&mut window);
    window.get_by_label("Path of a folder or project");
    (Some(root), window)
}

fn offer() -> Scene {
    let root = tempfile::tempdir().unwrap();
    let folder = crate::common::tiny_folder(root.path());
    let mut window = window(None);
    send(&mut window, Command::ReadFolder(folder));
    wait_for(&mut window, "the offer", |app| app.state.offer.is_some());
    (Some(root), window)
}

/// With a box that is selected.
fn annotate() -> Scene {
    let (root, mut window) = room(Room::Annotate);
    let image = window.state().state.selected.unwrap();
    let project = window.state().state.project.as_ref().unwrap();
    let rect = BoundingBox::new(8.0, 8.0, 24.0, 24.0).unwrap();
    let annotation = project.new_box(image, rect);
    send(&mut window, Command::Edit(Edit::AddBox { annotation }));
    let middle = window.get_by_role_and_label(Role::Canvas, "Canvas").rect();
    for pressed in [true, false] {
        window.hover_at(middle.center());
        window.event(Event::PointerButton {
            pos: middle.center(),
            button: PointerButton::Primary,
            pressed,
            modifiers: Modifiers::NONE,
        });
    }
    settle(&mut window);
    window.get_by_label("Delete box 1");
    (Some(root), window)
}

fn suggestion() -> Scene {
    let (root, dir) = suggested::project();
    let mut window = window(Some(&dir));
    send(&mut window, Command::Go(Room::Annotate));
    suggested::suggest(&mut window);
    (Some(root), window)
}

fn grey_image() -> Scene {
    let (root, window) = greys::annotate();
    (Some(root), window)
}

/// With a box, under the lens of a network that nothing has trained.
fn loss_lens() -> Scene {
    let (root, mut window) = lens::untrained();
    lens::add_box(&mut window, [30.0, 20.0, 62.0, 44.0]);
    (Some(root), window)
}

fn zoomed() -> Scene {
    let (root, mut window) = room(Room::Annotate);
    press(&mut window, Modifiers::NONE, Key::Z);
    (Some(root), window)
}

fn readers() -> Scene {
    let (root, mut window) = room(Room::Annotate);
    for name in ["Ada", "Ben"] {
        let project = window.state().state.project.as_ref().unwrap();
        let reader = care_data::Reader {
            id: project.next_reader_id(),
            name: name.to_owned(),
        };
        let id = reader.id;
        send(&mut window, Command::Edit(Edit::AddReader { reader }));
        let image = window.state().state.selected.unwrap();
        let project = window.state().state.project.as_ref().unwrap();
        let rect = BoundingBox::new(8.0, 8.0, 24.0, 24.0).unwrap();
        let mut annotation = project.new_box(image, rect);
        annotation.reader = Some(id);
        send(&mut window, Command::Edit(Edit::AddBox { annotation }));
        let done = Edit::SetReview {
            image,
            reader: Some(id),
            state: ReviewState::Done,
        };
        send(&mut window, Command::Edit(done));
    }
    press(&mut window, Modifiers::COMMAND, Key::R);
    window.get_by_label("Take the mean");
    (Some(root), window)
}

fn train() -> Scene {
    let (root, dir) = project_with_boxes();
    let mut window = window(Some(&dir));
    send(&mut window, Command::Go(Room::Train));
    (Some(root), window)
}

fn training() -> Scene {
    let (root, mut window) = train();
    set_epochs(&mut window, 1, 500);
    window.get_by_role_and_label(Role::Button, "Train").click();
    wait_for(&mut window, "CARE's first map", |app| {
        has_film(app, ModelRole::Care)
    });
    (root, window)
}

fn film_of_a_run() -> Scene {
    let (root, window) = film::finished();
    (Some(root), window)
}

fn leaving_a_run() -> Scene {
    let (root, mut window) = training();
    press(&mut window, Modifiers::COMMAND, Key::W);
    window.get_by_label("Keep training");
    (root, window)
}

fn compare_before_a_run() -> Scene {
    let (root, window) = room(Room::Compare);
    (Some(root), window)
}

fn compare() -> Scene {
    let (root, window) = compare::finished(12);
    (Some(root), window)
}

fn overlay_choices() -> Scene {
    let (root, mut window) = compare::finished(12);
    overlay::open(&mut window);
    window.get_by_label("One scale");
    (Some(root), window)
}

fn project_menu() -> Scene {
    let (root, mut window) = room(Room::Images);
    window.get_by_label("Project tiny").click();
    settle(&mut window);
    (Some(root), window)
}

fn keys() -> Scene {
    let (root, mut window) = room(Room::Annotate);
    press(&mut window, Modifiers::NONE, Key::F1);
    (Some(root), window)
}

fn palette() -> Scene {
    let (root, mut window) = room(Room::Images);
    press(&mut window, Modifiers::COMMAND, Key::P);
    type_text(&mut window, "box");
    (Some(root), window)
}

/// The first key takes over, so that Tab then goes round in the room.
fn story() -> Scene {
    let (root, mut window) = crate::story::playing();
    window.run_steps(12);
    window.get_by_label("Take over");
    (Some(root), window)
}

const SCENES: [(&str, fn() -> Scene); 24] = [
    ("start", start),
    ("start after a project", start_after_a_project),
    ("problem", problem),
    ("Images", images),
    ("Add images", add_images),
    ("offer", offer),
    ("Annotate", annotate),
    ("suggestion", suggestion),
    ("grey image", grey_image),
    ("loss lens", loss_lens),
    ("zoomed", zoomed),
    ("readers", readers),
    ("Train", train),
    ("training", training),
    ("a film", film_of_a_run),
    ("choosing for the film", film::choosing),
    ("leaving a run", leaving_a_run),
    ("Compare before a run", compare_before_a_run),
    ("Compare", compare),
    ("overlay choices", overlay_choices),
    ("project menu", project_menu),
    ("keys", keys),
    ("palette", palette),
    ("story", story),
];

/// What a person can do something with, besides read it. Scroll bars are egui's own and follow what has the focus.
fn is_control(node: &accesskit::Node) -> bool {
    let by_role = matches!(node.role(), Role::Canvas | Role::ProgressIndicator);
    let does = |action| node.supports_action(action);
    node.role() != Role::ScrollBar
        && (by_role || does(accesskit::Action::Click) || does(accesskit::Action::Focus))
}

#[test]
fn every_control_has_a_name() {
    let mut nameless = Vec::new();
    for (scene, make) in SCENES {
        let (_root, window) = make();
        let mut controls = 0;
        for node in window.root().children_recursive() {
            let node = node.accesskit_node();
            if !is_control(node.data()) || node.is_hidden() {
                continue;
            }
            controls += 1;
            let name = node.label().unwrap_or_default();
            if name.trim().is_empty() {
                let at = node.bounding_box();
                nameless.push(format!(
                    "{scene}: {:?} {:?} at {at:?}",
                    node.role(),
                    node.value()
                ));
            }
        }
        assert!(controls > 3, "{scene}: {controls} controls");
    }
    assert!(nameless.is_empty(), "{nameless:#?}");
}

/// What can be clicked, by name, and whether it has the focus.
fn clickable(window: &Harness<'_, App>) -> HashMap<NodeId, (String, bool)> {
    let all = window.root().children_recursive();
    all.map(|node| node.accesskit_node())
        .filter(|node| is_control(node.data()) && !node.is_disabled())
        .filter(|node| node.data().supports_action(accesskit::Action::Click))
        // Lists are walked through with the arrow keys. A click on a map chooses its row, which the name beside it does too.
        .filter(|node| !matches!(node.role(), Role::ListBoxOption | Role::Image))
        .map(|node| {
            let name = format!("{:?} {}", node.role(), node.label().unwrap_or_default());
            (node.locate().0, (name, node.is_focused()))
        })
        .collect()
}

/// Tab goes round until it brings nothing new; then Escape puts away what lies over the rest of the window.
fn out_of_reach(window: &mut Harness<'_, App>, is_sheet: bool) -> Vec<String> {
    let mut reached = HashSet::new();
    let mut in_vain = 0;
    while in_vain < 40 {
        press(window, Modifiers::NONE, Key::Tab);
        let focused = clickable(window)
            .into_iter()
            .find(|(_, (_, focused))| *focused);
        if focused.is_some_and(|(id, _)| reached.insert(id)) {
            in_vain = 0;
        } else {
            in_vain += 1;
        }
    }
    assert!(!reached.is_empty(), "Tab leads nowhere");
    let mut missed = clickable(window);
    missed.retain(|id, _| !reached.contains(id));
    if is_sheet {
        press(window, Modifiers::NONE, Key::Escape);
        let behind = clickable(window);
        assert!(
            reached.iter().all(|id| !behind.contains_key(id)),
            "behind the sheet"
        );
        missed.retain(|id, _| !behind.contains_key(id));
    }
    missed.into_values().map(|(name, _)| name).collect()
}

#[test]
fn tab_reaches_every_control() {
    let mut missed = Vec::new();
    for (scene, make) in SCENES {
        let (_root, mut window) = make();
        let is_sheet = ["offer", "readers", "leaving a run", "keys", "palette"].contains(&scene);
        for name in out_of_reach(&mut window, is_sheet) {
            missed.push(format!("{scene}: {name}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// From the start page to what the models learned, the hand never on the mouse.
#[test]
fn the_whole_way_can_be_gone_by_key() {
    let (root, _dir) = suggested::project();
    let pictures = root.path().join("pictures");
    let mut window = window(None);
    let (none, command) = (Modifiers::NONE, Modifiers::COMMAND);
    let project = |app: &App| app.state.project.as_ref().map(|project| project.revision());

    tabs_to(&mut window, "Path of a folder or project");
    type_text(&mut window, pictures.to_str().unwrap());
    press(&mut window, none, Key::Enter);
    wait_for(&mut window, "the offer", |app| app.state.offer.is_some());
    tabs_to(&mut window, "Add 20 images");
    press(&mut window, none, Key::Enter);
    wait_for(&mut window, "the project", |app| project(app).is_some());
    tabs_to(&mut window, "Mark scarce as rare");
    press(&mut window, none, Key::Space);

    // Boxes: suggested, accepted, and moved by a pixel.
    press(&mut window, command, Key::Num2);
    let counts = |window: &mut Harness<'_, App>| window.state_mut().state.counts();
    assert!(counts(&mut window).rare > 3);
    while counts(&mut window).to_do > 0 {
        let image = window.state().state.selected.unwrap();
        suggested::suggest(&mut window);
        press(&mut window, none, Key::Enter);
        let rects = |window: &Harness<'_, App>| -> Vec<_> {
            let project = window.state().state.project.as_ref().unwrap();
            project.boxes(image).iter().map(|it| it.rect).collect()
        };
        let before = rects(&window);
        assert_eq!(before.len(), 1);
        press(&mut window, none, Key::ArrowDown);
        assert_ne!(rects(&window), before);
        // Another class and back.
        let class = |window: &Harness<'_, App>| {
            let project = window.state().state.project.as_ref().unwrap();
            project.image(image).unwrap().class
        };
        let rare = class(&window);
        press(&mut window, none, Key::Num1);
        assert_ne!(class(&window), rare);
        press(&mut window, command, Key::Z);
        assert_eq!(class(&window), rare);
        press(&mut window, none, Key::Enter);
    }

    // A slider, then a small run.
    press(&mut window, command, Key::Num3);
    assert_eq!(window.state().state.room, Room::Train);
    tabs_to(&mut window, "alpha");
    press(&mut window, none, Key::ArrowRight);
    assert!(window.state().state.draft.live.alpha > RunConfig::default().live.alpha);
    set_epochs(&mut window, 1, 1);
    settle(&mut window);
    press(&mut window, command, Key::T);
    assert!(window.state().state.is_training());
    wait_for(&mut window, "the end", |app| !app.state.is_training());
    let run = window.state().state.run.as_ref().unwrap();
    assert_eq!(run.phase, Phase::Ended(RunState::Finished));
    press(&mut window, command, Key::Num4);
    assert_eq!(window.state().state.room, Room::Compare);
    window.get_by_label_contains("CARE recognises");
}
