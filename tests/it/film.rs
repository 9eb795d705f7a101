//! The attention film, used as a person uses it: its images chosen and moved, a run held and lengthened, curves compared.

use std::time::{Duration, Instant};

use care_data::{ImageId, Part};
use care_learn::event::{Change, ImageAttention, TrainerEvent};
use care_learn::film::Refresh;
use care_learn::{AttentionMap, FilmFrame, ModelRole};
use care_studio::app::App;
use care_studio::command::{Command, Room};
use care_studio::dispatch::remember;
use care_studio::training::{Phase, TrainingRun};
use egui::{Event, Key, Modifiers, PointerButton, Pos2, Role};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use tempfile::TempDir;

use crate::common::{key, send, settle, wait_for, window};
use crate::train::{has_film, project_with_boxes, set_epochs};
use crate::{accessible, compare};

fn run<'a>(window: &'a Harness<'_, App>) -> &'a TrainingRun {
    window.state().state.run.as_ref().expect("there is a run")
}

/// The columns, as they are named.
fn columns(window: &Harness<'_, App>) -> Vec<String> {
    let mut cells: Vec<(f32, String)> = window
        .query_all_by_label_contains("original, ")
        .map(|node| (node.rect().left(), node.accesskit_node().label().unwrap()))
        .collect();
    cells.sort_by(|a, b| a.0.total_cmp(&b.0));
    let name = |label: &str| label.trim_start_matches("original, ").to_owned();
    cells.iter().map(|(_, label)| name(label)).collect()
}

fn chosen(window: &Harness<'_, App>) -> Option<usize> {
    window.state().state.watch.as_ref().map(Vec::len)
}

fn click(window: &mut Harness<'_, App>, label: &str) {
    window.get_by_label(label).click();
    settle(window);
}

fn drag(window: &mut Harness<'_, App>, from: Pos2, to: Pos2) {
    let press = |pos, pressed| Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    window.hover_at(from);
    window.event(press(from, true));
    window.step();
    for share in [0.3, 0.7, 1.0] {
        window.hover_at(from.lerp(to, share));
        window.step();
    }
    window.event(press(to, false));
    settle(window);
}

/// A finished run whose film watched the first three rare images.
pub fn finished() -> (TempDir, Harness<'static, App>) {
    let (dir, mut window) = compare::finished(12);
    let state = &mut window.state_mut().state;
    let run = state.run.as_mut().expect("a run");
    let test = run.test.clone();
    let (_, all) = &test[0];
    run.watch = all[12..15].iter().map(|seen| seen.image).collect();
    for (role, seen) in &test {
        for (step, epoch) in [(0, 0.0), (5, 1.0), (10, 2.0)] {
            run.film.push(FilmFrame {
                role: *role,
                step,
                epoch,
                images: seen[12..15].to_vec(),
            });
        }
    }
    send(&mut window, Command::Go(Room::Train));
    (dir, window)
}

pub fn choosing() -> accessible::Scene {
    let (root, mut window) = finished();
    click(&mut window, "Choose images");
    window.get_by_label("Pick for me");
    (Some(root), window)
}

#[test]
fn images_are_chosen_moved_and_taken_out() {
    let (_root, mut window) = finished();
    remember(&mut window.state_mut().state);
    let names = columns(&window);
    assert_eq!(names.len(), 3);
    click(&mut window, "Choose images");
    assert_eq!(chosen(&window), None, "picked until something is chosen");
    let others: Vec<String> = window
        .query_all_by_label_contains("watch dermatofibroma")
        .map(|node| node.accesskit_node().label().unwrap())
        .collect();
    assert_eq!(others.len(), 12, "every held-out rare image");
    let other = others.iter().find(|label| {
        let name = label.trim_start_matches("watch ");
        !names.iter().any(|watched| watched == name)
    });
    let other = other.unwrap().clone();
    click(&mut window, &other);
    let with_other = columns(&window);
    assert_eq!((with_other.len(), chosen(&window)), (4, Some(4)));
    // It was not watched while the run trained: what its models made of it in the test is shown.
    let name = with_other[3].clone();
    window.get_by_label_contains(&format!("CARE, {name}, "));
    click(&mut window, &other);
    assert_eq!(columns(&window), names);

    // Dragged onto another column it moves there; from the tray it takes the column's place.
    let at = |window: &Harness<'_, App>, label: &str| window.get_by_label(label).rect().center();
    let from = at(&window, &format!("original, {}", names[0]));
    let to = at(&window, &format!("original, {}", names[2]));
    drag(&mut window, from, to);
    let [a, b, c] = [&names[0], &names[1], &names[2]].map(Clone::clone);
    assert_eq!(columns(&window), [b.clone(), c.clone(), a.clone()]);
    let (from, to) = (at(&window, &other), at(&window, &format!("original, {c}")));
    drag(&mut window, from, to);
    assert_eq!(columns(&window), [b.clone(), name.clone(), a.clone()]);

    // By key.
    window.get_by_label(&format!("original, {name}")).focus();
    settle(&mut window);
    key(&mut window, Key::ArrowLeft);
    assert_eq!(columns(&window), [name.clone(), b.clone(), a.clone()]);
    key(&mut window, Key::Delete);
    assert_eq!(columns(&window), [b.clone(), a.clone()]);

    // Kept with the project.
    let watch = window.state().state.watch.clone();
    let dir = window
        .state()
        .state
        .project
        .as_ref()
        .unwrap()
        .dir()
        .to_owned();
    window.state_mut().state.show(None);
    assert!(watch.is_some());
    assert_eq!(window.state().state.settings.watch(&dir), watch);
}

#[test]
fn the_selected_image_comes_into_the_film_by_key_and_leaves_it() {
    let (_root, mut window) = finished();
    let image = |window: &Harness<'_, App>, class: &str| -> ImageId {
        let project = window.state().state.project.as_ref().unwrap();
        let held_out = project.images().iter().filter(|i| i.part == Part::Test);
        let mut images = held_out.filter(|i| i.name().starts_with(class));
        images.next_back().unwrap().id
    };
    let nevus = image(&window, "nevus");
    for (room, expected) in [(Room::Images, Some(4)), (Room::Train, Some(3))] {
        send(&mut window, Command::Go(room));
        send(&mut window, Command::Select(nevus));
        key(&mut window, Key::O);
        assert_eq!(chosen(&window), expected);
    }
    assert!(
        window
            .state()
            .state
            .last_event
            .contains("no longer watched")
    );
    click(&mut window, "Choose images");
    click(&mut window, "Pick for me");
    assert_eq!(chosen(&window), None);
    assert_eq!(columns(&window).len(), 3, "what the run watched");
}

#[test]
fn a_map_to_be_careful_with_says_why() {
    let (_root, mut window) = finished();
    let state = &mut window.state_mut().state;
    let run = state.run.as_mut().unwrap();
    let watched = run.watch[0];
    for frame in run.film.iter_mut().filter(|f| f.role == ModelRole::Care) {
        for seen in frame.images.iter_mut().filter(|seen| seen.image == watched) {
            seen.map.values = vec![0.0; 2];
            seen.energy = None;
        }
    }
    settle(&mut window);
    window.get_by_label_contains("mean of 2 of 3: 1 map is flat");
    window.get_by_label_contains("before in the box");
    assert_eq!(
        window.query_all_by_label_contains("mean of 3 of 3").count(),
        2
    );
    let flat = window
        .query_all_by_label_contains("The map is flat")
        .count();
    assert_eq!(flat, 1);
}

#[test]
fn a_run_is_lengthened_held_and_shows_other_images_while_it_trains() {
    let (_root, dir) = project_with_boxes();
    let mut window = window(Some(&dir));
    set_epochs(&mut window, 1, 2);
    send(&mut window, Command::Go(Room::Train));
    window.get_by_role_and_label(Role::Button, "Train").click();
    settle(&mut window);
    click(&mut window, "Wait before the test");
    wait_for(&mut window, "the last epoch", |app| {
        let run = app.state.run.as_ref();
        run.is_some_and(|run| run.phase == Phase::Held)
    });
    window.get_by_label("waiting");
    assert!(run(&window).results.is_none());

    let planned = run(&window).num_epochs();
    click(&mut window, "Another 5 epochs");
    let more = Change::MoreEpochs { epochs: 5 };
    wait_for(&mut window, "five epochs more", |app| {
        let run = app.state.run.as_ref();
        run.is_some_and(|run| run.changes.iter().any(|c| c.change == more))
    });
    assert_eq!(run(&window).num_epochs(), planned + 5);
    window.get_by_label("5 epochs more than planned");

    let project = window.state().state.project.as_ref().unwrap();
    let watched = &run(&window).watch;
    let other = project
        .images()
        .iter()
        .find(|image| image.part != Part::Train && !watched.contains(&image.id));
    let other = other.unwrap().id;
    send(&mut window, Command::Select(other));
    key(&mut window, Key::O);
    assert_eq!(run(&window).watch.last(), Some(&other));
    wait_for(&mut window, "its first map", |app| {
        let run = app.state.run.as_ref();
        run.is_some_and(|run| run.film.iter().any(|frame| frame.seen(other).is_some()))
    });
    let n = run(&window).watch.len();
    // Among the changes and on the film's rail.
    window.get_by_label(&format!("Watched images changed: {n} images now"));
    window.get_by_label_contains(": Watched images changed");
    click(&mut window, "Stop");
    wait_for(&mut window, "the end", |app| !app.state.is_training());
    assert!(has_film(window.state(), ModelRole::Care));

    // A second run, with the curves of the first behind its own.
    set_epochs(&mut window, 1, 1);
    settle(&mut window);
    window.get_by_role_and_label(Role::Button, "Train").click();
    settle(&mut window);
    click(&mut window, "Wait before the test");
    wait_for(&mut window, "the last epoch", |app| {
        let run = app.state.run.as_ref();
        run.is_some_and(|run| run.phase == Phase::Held)
    });
    click(&mut window, "Test");
    wait_for(&mut window, "the end", |app| !app.state.is_training());
    assert!(run(&window).results.is_some());
    click(&mut window, "How curves are drawn");
    let first = window.get_by_label_contains("Run 1, ");
    first.click();
    settle(&mut window);
    let behind = window.state().state.behind.as_ref().expect("run 1");
    assert_eq!((behind.id.0, behind.epochs.is_empty()), (1, false));
    click(&mut window, "None");
    assert!(window.state().state.behind.is_none());
}

#[test]
fn new_maps_come_as_often_as_is_chosen_while_a_run_trains() {
    let (_root, dir) = project_with_boxes();
    let mut window = window(Some(&dir));
    set_epochs(&mut window, 2000, 1);
    send(&mut window, Command::Go(Room::Train));
    click(&mut window, "Choose images");
    click(&mut window, "10 s");
    assert_eq!(window.state().state.settings.refresh, Refresh(10));
    window.get_by_role_and_label(Role::Button, "Train").click();
    settle(&mut window);
    let num_maps = |app: &App| app.state.run.as_ref().map_or(0, |run| run.film.len());
    wait_for(&mut window, "the first map", |app| num_maps(app) > 0);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        window.step();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        num_maps(window.state()),
        1,
        "two seconds are not what is wanted"
    );
    // It takes effect in the run.
    click(&mut window, "1 s");
    let begun = Instant::now();
    wait_for(&mut window, "three maps more", |app| num_maps(app) > 3);
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
    click(&mut window, "Stop");
    wait_for(&mut window, "the end", |app| !app.state.is_training());
}

/// A thousand refreshes of four images, as the trainer reports them: neither the run nor the textures grow beyond a bound.
#[test]
fn memory_is_flat_over_a_thousand_refreshes() {
    const WATCHED: usize = 4;
    let (_root, mut window) = finished();
    let state = &mut window.state_mut().state;
    let training = state.run.as_mut().unwrap();
    training.film.clear();
    training.phase = Phase::Training;
    let images: Vec<ImageId> = training.test[0].1[..WATCHED]
        .iter()
        .map(|s| s.image)
        .collect();
    training.watch.clone_from(&images);
    let frame = |role, step: u32| FilmFrame {
        role,
        step,
        epoch: step as f32 * 1e-3,
        images: images
            .iter()
            .map(|image| ImageAttention {
                image: *image,
                map: AttentionMap {
                    height: 7,
                    width: 7,
                    values: (0..49).map(|i| ((i + step) % 49) as f32 / 48.0).collect(),
                },
                peak: Some(1.0),
                probabilities: vec![0.5, 0.5],
                energy: Some(0.5),
                hit: Some(true),
                iou: None,
            })
            .collect(),
    };
    let mut sizes = Vec::new();
    for step in 0..1000 {
        for role in ModelRole::ALL {
            let training = window.state_mut().state.run.as_mut().unwrap();
            training.take(TrainerEvent::Film(frame(role, step)));
        }
        window.step();
        let textures = window.ctx.tex_manager().read().num_allocated();
        sizes.push((run(&window).film.len(), textures));
    }
    let of = |range: std::ops::Range<usize>| {
        let sizes = &sizes[range];
        let frames = sizes.iter().map(|size| size.0).max();
        (
            frames.unwrap(),
            sizes.iter().map(|size| size.1).max().unwrap(),
        )
    };
    let (early, late) = (of(0..500), of(500..1000));
    // Of each model 512 frames at most, of the maps 400 and those of two frames.
    assert!(late.0 <= 3 * 512, "{late:?}");
    assert!(late.1 <= early.1 + 3 * WATCHED, "{early:?}, {late:?}");
    assert!(late.1 < 400 + 100, "{late:?}");
}
