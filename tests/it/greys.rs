//! Images of grey values in the window: seen through another window, for one image or for training.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use care_data::import::{self, Options};
use care_data::{Edit, Look, Project, Window, Windowing};
use care_studio::app::App;
use egui::{Event, Key, Modifiers, PointerButton, Role, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use image::{ImageBuffer, Luma};
use tempfile::TempDir;

use crate::common::{press, settle, window};

/// Six images of 16 bits in each of two classes, one of them rare; Annotate shows the first.
pub fn annotate() -> (TempDir, Harness<'static, App>) {
    let root = tempfile::tempdir().unwrap();
    for class in ["clear", "opaque"] {
        let folder = root.path().join("greys").join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for i in 0..6_u16 {
            let base = i * 100 + class.len() as u16;
            let value = |x: u32, y: u32| Luma([base + (x * 1000 + y * 300) as u16]);
            let image: ImageBuffer<Luma<u16>, Vec<u16>> = ImageBuffer::from_fn(48, 32, value);
            image.save(folder.join(format!("{class} {i}.png"))).unwrap();
        }
    }
    let found = import::read(
        &root.path().join("greys"),
        &Options::default(),
        &|_, _| {},
        &AtomicBool::new(false),
    );
    let dir = root.path().join("greys.care");
    let mut project = Project::create(&dir).unwrap();
    project.take_in(found.unwrap()).unwrap();
    let class = project.classes()[1].id;
    project.apply(Edit::SetRare { class, rare: true }).unwrap();
    drop(project);
    let mut window = window(Some(&dir));
    press(&mut window, Modifiers::COMMAND, Key::Num2);
    until_decoded(&mut window);
    (root, window)
}

fn until_decoded(window: &mut Harness<'_, App>) {
    for _ in 0..500 {
        settle(window);
        if window.query_by_label("from image to image").is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the image in hand shows no window");
}

fn drag_with_the_right_button(window: &mut Harness<'_, App>, by: Vec2) {
    let canvas = window.get_by_role_and_label(Role::Canvas, "Canvas");
    let from = canvas.rect().center();
    for (pos, pressed) in [
        (from, Some(true)),
        (from + by, None),
        (from + by, Some(false)),
    ] {
        window.hover_at(pos);
        window.step();
        if let Some(pressed) = pressed {
            window.event(Event::PointerButton {
                pos,
                button: PointerButton::Secondary,
                pressed,
                modifiers: Modifiers::NONE,
            });
            window.step();
        }
    }
    settle(window);
}

fn look(window: &Harness<'_, App>) -> Look {
    window.state().state.project.as_ref().unwrap().look()
}

fn is_changed(window: &Harness<'_, App>) -> bool {
    window.query_by_label("Use for all").is_some()
}

#[test]
fn a_window_is_dragged_and_becomes_the_projects() {
    let (_root, mut window) = annotate();
    assert!(!is_changed(&window));
    drag_with_the_right_button(&mut window, Vec2::new(300.0, 0.0));
    let boxes = |window: &Harness<'_, App>| {
        let project = window.state().state.project.as_ref().unwrap();
        project
            .images()
            .iter()
            .map(|i| project.boxes(i.id).len())
            .sum::<usize>()
    };
    assert_eq!(boxes(&window), 0);
    // Nothing of the project has changed by looking.
    assert_eq!(look(&window), Look::default());
    window.get_by_label("Use for all").click();
    settle(&mut window);
    let wider = Windowing::Fixed(Window {
        center: 32768.0,
        width: 131_072.0,
    });
    assert_eq!(look(&window).windowing, wider);
    assert!(!is_changed(&window));
    window.get_by_label("Training sees center 32768, width 131072.");

    // Upwards brightens; and an undo brings back what training saw.
    drag_with_the_right_button(&mut window, Vec2::new(0.0, -150.0));
    window.get_by_label("Use for all").click();
    settle(&mut window);
    let Windowing::Fixed(brighter) = look(&window).windowing else {
        panic!("{:?}", look(&window))
    };
    assert_eq!((brighter.center, brighter.width), (-32768.0, 131_072.0));
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(look(&window).windowing, wider);
}

#[test]
fn a_view_ends_with_its_image_unless_it_is_kept() {
    let (_root, mut window) = annotate();
    press(&mut window, Modifiers::NONE, Key::I);
    assert!(is_changed(&window));
    press(&mut window, Modifiers::NONE, Key::W);
    assert!(!is_changed(&window));

    press(&mut window, Modifiers::NONE, Key::I);
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    until_decoded(&mut window);
    assert!(!is_changed(&window));

    press(&mut window, Modifiers::NONE, Key::I);
    window.get_by_label("from image to image").click();
    settle(&mut window);
    press(&mut window, Modifiers::NONE, Key::ArrowRight);
    until_decoded(&mut window);
    assert!(is_changed(&window));
    window.get_by_label("Back").click();
    settle(&mut window);
    assert!(!is_changed(&window));
    assert_eq!(look(&window), Look::default());
}

/// Where the picture of a colour image stays as it is.
#[test]
fn colours_have_no_window() {
    let (_root, dir) = crate::common::tiny_project(true);
    let mut window = window(Some(Path::new(&dir)));
    press(&mut window, Modifiers::COMMAND, Key::Num2);
    for _ in 0..20 {
        settle(&mut window);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(window.query_by_label("from image to image").is_none());
    press(&mut window, Modifiers::NONE, Key::I);
    drag_with_the_right_button(&mut window, Vec2::new(100.0, 0.0));
    assert!(!is_changed(&window));
}
