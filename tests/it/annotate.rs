//! Room 2, used as a person uses it: boxes drawn, moved, resized and deleted with the pointer, the queue by key.

use crate::common::{key, press, settle, tiny_project, window};
use care_data::{Image, ImageSize, Project, ReviewState};
use care_studio::app::App;
use care_studio::command::{Command, Room};
use care_studio::ui::view::View;
use egui::{Event, Key, Modifiers, MouseWheelUnit, PointerButton, Pos2, Role, TouchPhase, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use tempfile::TempDir;

const SIZE: ImageSize = ImageSize::new(48, 32);

/// The window on the first image that needs a box.
fn annotate() -> (TempDir, Harness<'static, App>) {
    let (root, dir) = tiny_project(true);
    let mut window = window(Some(&dir));
    press(&mut window, Modifiers::COMMAND, Key::Num2);
    (root, window)
}

fn project<'a>(window: &'a Harness<'_, App>) -> &'a Project {
    window.state().state.project.as_ref().unwrap()
}

fn image<'a>(window: &'a Harness<'_, App>) -> &'a Image {
    let selected = window.state().state.selected.unwrap();
    project(window).image(selected).unwrap()
}

/// The boxes of the image in hand, xyxy.
fn boxes(window: &Harness<'_, App>) -> Vec<[f64; 4]> {
    let boxes = project(window).boxes(image(window).id);
    boxes.iter().map(|a| a.rect.xyxy()).collect()
}

/// Where a pixel of the image stands while it is fitted.
fn at(window: &Harness<'_, App>, pixel: [f64; 2]) -> Pos2 {
    let canvas = window.get_by_role_and_label(Role::Canvas, "Canvas");
    View::fit(SIZE, canvas.rect()).to_screen(pixel)
}

fn button(window: &mut Harness<'_, App>, pos: Pos2, pressed: bool) {
    window.event(Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    });
    window.step();
}

/// Presses on one pixel of the image and leaves the pointer on another, the button still down.
fn hold(window: &mut Harness<'_, App>, from: [f64; 2], to: [f64; 2]) -> Pos2 {
    let (from, to) = (at(window, from), at(window, to));
    window.hover_at(from);
    window.step();
    button(window, from, true);
    for pos in [from.lerp(to, 0.5), to] {
        window.hover_at(pos);
        window.step();
    }
    to
}

fn drag(window: &mut Harness<'_, App>, from: [f64; 2], to: [f64; 2]) {
    let to = hold(window, from, to);
    button(window, to, false);
    settle(window);
}

fn click(window: &mut Harness<'_, App>, pixel: [f64; 2]) {
    drag(window, pixel, pixel);
}

#[test]
fn a_box_is_drawn_undone_and_redone() {
    let (_root, mut window) = annotate();
    let begun_with = image(&window).id;
    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    assert_eq!(boxes(&window), [[10.0, 8.0, 30.0, 24.0]]);
    window.get_by_label("box 1");
    window.get_by_label_contains("Box 1: 10, 8, 20 × 16, 20.8 %");
    window.get_by_label("1 of 4");

    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert!(boxes(&window).is_empty());
    assert!(window.query_by_label("box 1").is_none());

    // An undo elsewhere comes back to the image that it changes.
    key(&mut window, Key::ArrowRight);
    assert_ne!(image(&window).id, begun_with);
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    assert_eq!(image(&window).id, begun_with);
    assert_eq!(boxes(&window), [[10.0, 8.0, 30.0, 24.0]]);
}

#[test]
fn a_box_is_cut_to_the_image() {
    let (_root, mut window) = annotate();
    drag(&mut window, [40.0, 36.0], [20.0, 16.0]);
    assert_eq!(boxes(&window), [[20.0, 16.0, 40.0, 32.0]], "from below it");
    drag(&mut window, [4.0, 4.0], [12.0, -9.0]);
    assert_eq!(boxes(&window)[1], [4.0, 0.0, 12.0, 4.0], "beyond its top");
    drag(&mut window, [10.0, -3.0], [20.0, -1.0]);
    assert_eq!(boxes(&window).len(), 2, "nothing of it in the image");
}

#[test]
fn a_box_is_moved_and_resized() {
    for tool in [Key::D, Key::V] {
        let (_root, mut window) = annotate();
        drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
        key(&mut window, tool);
        // Taken into the hand.
        click(&mut window, [20.0, 16.0]);
        drag(&mut window, [20.0, 16.0], [26.0, 20.0]);
        assert_eq!(boxes(&window), [[16.0, 12.0, 36.0, 28.0]], "moved");
        drag(&mut window, [26.0, 20.0], [90.0, 90.0]);
        assert_eq!(
            boxes(&window),
            [[28.0, 16.0, 48.0, 32.0]],
            "stopped at the edge"
        );
        press(&mut window, Modifiers::COMMAND, Key::Z);
        drag(&mut window, [36.0, 28.0], [40.0, 20.0]);
        assert_eq!(boxes(&window), [[16.0, 12.0, 40.0, 20.0]], "by its corner");
        drag(&mut window, [16.0, 16.0], [4.0, 30.0]);
        assert_eq!(boxes(&window), [[4.0, 12.0, 40.0, 20.0]], "by its side");
        press(&mut window, Modifiers::COMMAND, Key::Z);
        assert_eq!(
            boxes(&window),
            [[16.0, 12.0, 40.0, 20.0]],
            "one edit a drag"
        );
        drag(&mut window, [20.0, 12.0], [23.0, 6.0]);
        assert_eq!(
            boxes(&window),
            [[16.0, 6.0, 40.0, 20.0]],
            "by an edge, wherever it is taken"
        );
    }
}

#[test]
fn escape_takes_the_draft_back_and_a_click_draws_nothing() {
    let (_root, mut window) = annotate();
    // Nor does a tremor.
    let trembling = at(&window, [10.49, 8.49]);
    window.hover_at(trembling);
    window.step();
    button(&mut window, trembling, true);
    window.hover_at(trembling + Vec2::splat(1.0));
    window.step();
    button(&mut window, trembling + Vec2::splat(1.0), false);
    settle(&mut window);
    assert!(boxes(&window).is_empty());

    let to = hold(&mut window, [10.0, 8.0], [30.0, 24.0]);
    window.get_by_label("0 of 4");
    key(&mut window, Key::Escape);
    button(&mut window, to, false);
    settle(&mut window);
    assert!(boxes(&window).is_empty());
    click(&mut window, [10.0, 8.0]);
    assert!(boxes(&window).is_empty());

    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    let to = hold(&mut window, [30.0, 24.0], [40.0, 30.0]);
    key(&mut window, Key::Escape);
    button(&mut window, to, false);
    settle(&mut window);
    assert_eq!(boxes(&window), [[10.0, 8.0, 30.0, 24.0]]);
}

#[test]
fn delete_removes_the_selected_box_and_the_smallest_is_selected() {
    let (_root, mut window) = annotate();
    drag(&mut window, [2.0, 2.0], [44.0, 30.0]);
    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    // A click selects the smaller of the two under it, in either tool.
    for tool in [Key::D, Key::V] {
        key(&mut window, tool);
        click(&mut window, [40.0, 5.0]);
        click(&mut window, [20.0, 16.0]);
        key(&mut window, Key::Delete);
        assert_eq!(boxes(&window), [[2.0, 2.0, 44.0, 30.0]]);
        key(&mut window, Key::Delete);
        assert_eq!(boxes(&window).len(), 1, "nothing is selected any more");
        press(&mut window, Modifiers::COMMAND, Key::Z);
        assert_eq!(boxes(&window).len(), 2);
    }
    window.get_by_label("Delete box 1").click();
    settle(&mut window);
    assert_eq!(boxes(&window), [[10.0, 8.0, 30.0, 24.0]]);
}

#[test]
fn a_click_within_one_frame_selects() {
    let (_root, mut window) = annotate();
    drag(&mut window, [2.0, 2.0], [44.0, 30.0]);
    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    let pos = at(&window, [40.0, 5.0]);
    window.hover_at(pos);
    window.step();
    for pressed in [true, false] {
        window.input_mut().events.push(Event::PointerButton {
            pos,
            button: PointerButton::Primary,
            pressed,
            modifiers: Modifiers::NONE,
        });
    }
    settle(&mut window);
    key(&mut window, Key::Delete);
    assert_eq!(boxes(&window), [[10.0, 8.0, 30.0, 24.0]]);
}

/// Three boxes, one in the other.
#[test]
fn a_click_goes_through_the_boxes_under_it() {
    for tool in [Key::D, Key::V] {
        let (_root, mut window) = annotate();
        for by in [0.0, 5.0, 10.0] {
            drag(&mut window, [2.0 + by, 2.0 + by], [44.0 - by, 30.0 - by]);
        }
        key(&mut window, tool);
        // Away from all of them, so that none is selected.
        key(&mut window, Key::Escape);
        for gone in [2, 1, 0, 2] {
            click(&mut window, [24.0, 16.0]);
            let (before, kept) = (boxes(&window), boxes(&window)[gone]);
            key(&mut window, Key::Delete);
            assert_eq!(boxes(&window).len(), 2, "{tool:?}");
            assert!(!boxes(&window).contains(&kept), "{tool:?} {gone}");
            press(&mut window, Modifiers::COMMAND, Key::Z);
            assert_eq!(boxes(&window), before);
        }
        // The one that was chosen is moved, not the smallest.
        key(&mut window, Key::V);
        click(&mut window, [24.0, 16.0]);
        drag(&mut window, [24.0, 16.0], [25.0, 17.0]);
        assert_eq!(boxes(&window)[1], [8.0, 8.0, 40.0, 26.0]);
    }
}

#[test]
fn arrows_move_a_box_that_was_clicked() {
    let (_root, mut window) = annotate();
    let first = image(&window).id;
    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    // Just drawn, it does not keep the hand from the next image.
    key(&mut window, Key::ArrowRight);
    assert_ne!(image(&window).id, first);
    window.state_mut().commands().send(Command::Annotate(first));
    settle(&mut window);
    click(&mut window, [20.0, 16.0]);
    key(&mut window, Key::ArrowRight);
    key(&mut window, Key::ArrowUp);
    assert_eq!(image(&window).id, first);
    assert_eq!(boxes(&window), [[11.0, 7.0, 31.0, 23.0]]);
    press(&mut window, Modifiers::SHIFT, Key::ArrowDown);
    assert_eq!(boxes(&window), [[11.0, 16.0, 31.0, 32.0]], "to the edge");
    press(&mut window, Modifiers::SHIFT, Key::ArrowLeft);
    assert_eq!(boxes(&window), [[1.0, 16.0, 21.0, 32.0]]);
    let resize = Modifiers::COMMAND;
    press(&mut window, resize, Key::ArrowUp);
    press(&mut window, resize | Modifiers::SHIFT, Key::ArrowLeft);
    assert_eq!(boxes(&window), [[1.0, 16.0, 11.0, 31.0]], "resized");
    press(&mut window, resize | Modifiers::SHIFT, Key::ArrowLeft);
    assert_eq!(boxes(&window), [[1.0, 16.0, 11.0, 31.0]], "not to nothing");
    for _ in 0..3 {
        press(&mut window, Modifiers::COMMAND, Key::Z);
    }
    assert_eq!(boxes(&window), [[11.0, 16.0, 31.0, 32.0]]);
    key(&mut window, Key::Escape);
    key(&mut window, Key::ArrowUp);
    assert_eq!(boxes(&window), [[11.0, 16.0, 31.0, 32.0]]);
}

fn wheel(window: &mut Harness<'_, App>, notches: f32, modifiers: Modifiers) {
    window.event(Event::MouseWheel {
        unit: MouseWheelUnit::Line,
        delta: Vec2::new(0.0, notches),
        phase: TouchPhase::Move,
        modifiers,
        source: egui::MouseWheelSource::Wheel,
    });
    window.run_steps(20);
}

#[test]
fn the_wheel_on_an_edge_moves_it() {
    let (_root, mut window) = annotate();
    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    let right = at(&window, [30.0, 12.0]);
    window.hover_at(right);
    window.step();
    wheel(&mut window, 1.0, Modifiers::NONE);
    wheel(&mut window, 1.0, Modifiers::NONE);
    // The pointer is no longer on the edge, and has not moved.
    assert_eq!(boxes(&window), [[10.0, 8.0, 32.0, 24.0]]);
    wheel(&mut window, -1.0, Modifiers::SHIFT);
    assert_eq!(boxes(&window), [[10.0, 8.0, 22.0, 24.0]]);
    for _ in 0..3 {
        wheel(&mut window, -1.0, Modifiers::SHIFT);
    }
    let [x0, _, x1, _] = boxes(&window)[0];
    assert!(x0 == 10.0 && x1 > x0, "it does not turn over: {x0} {x1}");
    window.get_by_label_contains("px");
    let scale = |window: &Harness<'_, App>| {
        let canvas = window.get_by_role_and_label(Role::Canvas, "Canvas");
        View::fit(SIZE, canvas.rect()).scale()
    };
    let percent = format!("{:.0} %", scale(&window) * 100.0);
    window.get_by_label(&percent);
    // Elsewhere it zooms.
    let inside = at(&window, [40.0, 28.0]);
    window.hover_at(inside);
    window.step();
    wheel(&mut window, 3.0, Modifiers::NONE);
    assert!(window.query_by_label(&percent).is_none());
}

#[test]
fn a_box_is_doubled_copied_and_pasted() {
    let (_root, mut window) = annotate();
    drag(&mut window, [10.0, 8.0], [20.0, 14.0]);
    press(&mut window, Modifiers::COMMAND, Key::D);
    assert_eq!(boxes(&window)[1], [18.0, 16.0, 28.0, 22.0]);
    let copied = |window: &mut Harness<'_, App>| {
        window.event(Event::Copy);
        window.step();
        let commands = &window.output().platform_output.commands;
        let text = commands.iter().find_map(|command| match command {
            egui::OutputCommand::CopyText(text) => Some(text.clone()),
            _ => None,
        });
        settle(window);
        text.unwrap()
    };
    assert_eq!(copied(&mut window), "18,16,28,22\n");
    key(&mut window, Key::Escape);
    let both = copied(&mut window);
    assert_eq!(both, "10,8,20,14\n18,16,28,22\n");

    let first = image(&window).id;
    key(&mut window, Key::ArrowRight);
    assert_ne!(image(&window).id, first);
    for text in [
        &both[..],
        "a text",
        "1,2,3",
        "100,100,120,120",
        "40,20,400,300",
    ] {
        window.event(Event::Paste(text.to_owned()));
        settle(&mut window);
    }
    let pasted = [
        [10.0, 8.0, 20.0, 14.0],
        [18.0, 16.0, 28.0, 22.0],
        [40.0, 20.0, 48.0, 32.0],
    ];
    assert_eq!(boxes(&window), pasted);
    window.event(Event::Paste(both));
    settle(&mut window);
    assert_eq!(boxes(&window), pasted, "none twice in one place");
}

/// Twice as large, about the image's corner.
fn zoom_in(window: &mut Harness<'_, App>) {
    let corner = at(window, [0.0, 0.0]);
    window.hover_at(corner);
    window.step();
    wheel(window, 6.0, Modifiers::NONE);
}

fn scale(window: &Harness<'_, App>) -> String {
    let percent = |label: &str| label.ends_with(" %") && !label.contains(',');
    let labels = window.query_all_by_role(Role::Label);
    let mut labels = labels.filter_map(|node| node.accesskit_node().value());
    labels.find(|label| percent(label)).unwrap()
}

#[test]
fn the_zoom_is_kept_where_that_is_asked_for() {
    let (_root, mut window) = annotate();
    let fitted = scale(&window);
    zoom_in(&mut window);
    let zoomed = scale(&window);
    assert_ne!(zoomed, fitted);
    key(&mut window, Key::ArrowRight);
    assert_eq!(scale(&window), fitted);
    zoom_in(&mut window);
    key(&mut window, Key::K);
    key(&mut window, Key::ArrowRight);
    assert_eq!(scale(&window), zoomed);
    key(&mut window, Key::Z);
    assert_eq!(scale(&window), "100 %");
}

#[test]
fn commands_are_found_by_their_words() {
    let (_root, mut window) = annotate();
    drag(&mut window, [10.0, 8.0], [20.0, 14.0]);
    press(&mut window, Modifiers::COMMAND, Key::Num1);
    let find = |window: &mut Harness<'_, App>, text: &str| {
        press(window, Modifiers::COMMAND, Key::P);
        window.event(Event::Text(text.to_owned()));
        settle(window);
    };
    // A letter that is a key elsewhere is only a letter here; a command of a room goes there.
    find(&mut window, "double BOX");
    window.get_by_label("Double");
    assert!(window.query_by_label("Delete box").is_none());
    key(&mut window, Key::Enter);
    settle(&mut window);
    assert_eq!(window.state().state.room, Room::Annotate);
    assert!(!window.state().state.find_command);
    assert_eq!(boxes(&window).len(), 2);
    find(&mut window, "undo");
    key(&mut window, Key::Enter);
    assert_eq!(boxes(&window).len(), 1);
    // The second of those found, by the arrow; and nothing by Escape.
    find(&mut window, "box");
    key(&mut window, Key::ArrowDown);
    key(&mut window, Key::Escape);
    assert!(!window.state().state.find_command);
    assert_eq!(boxes(&window).len(), 1);
    find(&mut window, "no such thing");
    window.get_by_label("No command has these words.");
    key(&mut window, Key::Enter);
    assert!(window.state().state.find_command);
}

#[test]
fn keys_can_be_given_to_other_commands() {
    let (_root, mut window) = annotate();
    drag(&mut window, [10.0, 8.0], [20.0, 14.0]);
    let give = |window: &mut Harness<'_, App>, name: &str, modifiers: Modifiers, to: Key| {
        window.get_by_label(&format!("Key of {name}")).click();
        settle(window);
        press(window, modifiers, to);
    };
    key(&mut window, Key::F1);
    give(&mut window, "Undo", Modifiers::COMMAND, Key::U);
    give(&mut window, "Fit", Modifiers::NONE, Key::D);
    window.get_by_label("D is the key of Box.");
    give(&mut window, "Fit", Modifiers::NONE, Key::Num1);
    window.get_by_label("The digits set the class.");
    give(&mut window, "Box", Modifiers::NONE, Key::Escape);
    // It was an answer, and no command.
    give(&mut window, "Pan", Modifiers::COMMAND, Key::Num3);
    window.get_by_label("Ctrl+3 is the key of Train.");
    key(&mut window, Key::F1);
    assert_eq!(window.state().state.room, Room::Annotate);

    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(boxes(&window).len(), 1);
    press(&mut window, Modifiers::COMMAND, Key::U);
    assert!(boxes(&window).is_empty());
    let keys = &window.state().state.settings.keys;
    assert_eq!(serde_json::to_string(keys).unwrap(), r#"{"Undo":"Ctrl+U"}"#);
    key(&mut window, Key::F1);
    window.get_by_label("The usual keys").click();
    settle(&mut window);
    assert!(window.state().state.settings.keys.is_usual());
}

#[test]
fn what_training_makes_of_a_box_is_shown() {
    let (_root, mut window) = annotate();
    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    let said = "Dashed: as training scales them, \u{d7} 0.70";
    assert!(window.query_by_label(said).is_none());
    let draft = window.state().state.draft.with("box_scale=0.7").unwrap();
    window.state_mut().commands().send(Command::SetDraft(draft));
    settle(&mut window);
    window.get_by_label(said);
    assert_eq!(boxes(&window), [[10.0, 8.0, 30.0, 24.0]]);
}

#[test]
fn space_and_the_small_map_move_the_image() {
    let (_root, mut window) = annotate();
    assert!(window.query_by_label("Part of the image in view").is_none());
    zoom_in(&mut window);
    let map = window.get_by_label("Part of the image in view").rect();
    let canvas = window.get_by_role_and_label(Role::Canvas, "Canvas").rect();
    // The middle of the map brings the middle of the image into the middle of the canvas.
    for pressed in [true, false] {
        window.hover_at(map.center());
        window.step();
        button(&mut window, map.center(), pressed);
    }
    settle(&mut window);
    let draw = |window: &mut Harness<'_, App>, from: Pos2| {
        window.hover_at(from);
        window.step();
        button(window, from, true);
        window.hover_at(from + Vec2::splat(100.0));
        window.step();
        button(window, from + Vec2::splat(100.0), false);
        settle(window);
    };
    draw(&mut window, canvas.center());
    let [x0, y0, ..] = boxes(&window)[0];
    assert_eq!([x0, y0], [24.0, 16.0]);
    press(&mut window, Modifiers::COMMAND, Key::Z);

    window.key_down(Key::Space);
    window.step();
    let by = Vec2::new(-200.0, 100.0);
    window.hover_at(canvas.center());
    window.step();
    button(&mut window, canvas.center(), true);
    window.hover_at(canvas.center() + by);
    window.step();
    button(&mut window, canvas.center() + by, false);
    window.key_up(Key::Space);
    settle(&mut window);
    assert!(boxes(&window).is_empty());
    draw(&mut window, canvas.center() + by);
    let [x0, y0, ..] = boxes(&window)[0];
    assert_eq!([x0, y0], [24.0, 16.0], "it went with the hand");
}

#[test]
fn keys_lead_through_the_queue() {
    let (_root, mut window) = annotate();
    let first = image(&window).id;
    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    key(&mut window, Key::Enter);
    let second = image(&window).id;
    assert_ne!(second, first);
    let state = |window: &Harness<'_, App>, image| project(window).review(None, image).state;
    assert_eq!(state(&window, first), ReviewState::Done);
    window.get_by_label("To do 3");
    window.get_by_label("Done 1");

    // Done without a box.
    key(&mut window, Key::Enter);
    let third = image(&window).id;
    window.get_by_label("To do 2");
    key(&mut window, Key::ArrowRight);
    assert_ne!(image(&window).id, third);
    key(&mut window, Key::ArrowLeft);
    assert_eq!(image(&window).id, third);

    // The last two, and what comes next then.
    for _ in 0..2 {
        key(&mut window, Key::Enter);
    }
    window.get_by_label("To do 0");
    window.get_by_label("4 of 4");
    window.get_by_label("Go to Train");
    assert_eq!(state(&window, second), ReviewState::Done);
    assert!(project(&window).boxes(second).is_empty());
}

#[test]
fn digits_set_the_class_and_space_hides_the_boxes() {
    let (_root, mut window) = annotate();
    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    window.key_down(Key::Space);
    window.step();
    assert!(window.query_by_label("box 1").is_none());
    window.key_up(Key::Space);
    window.step();
    window.get_by_label("box 1");

    let (common, scarce) = (project(&window).classes()[0].id, image(&window).class);
    key(&mut window, Key::Num1);
    assert_eq!(image(&window).class, common);
    window.get_by_label("To do 3");
    key(&mut window, Key::Num2);
    assert_eq!(image(&window).class, scarce);
    key(&mut window, Key::Num9);
    assert_eq!(image(&window).class, scarce, "there is no ninth class");
}

#[test]
fn any_image_can_be_drawn_on() {
    let (_root, mut window) = annotate();
    let other = project(&window).images()[0].id;
    window.state_mut().commands().send(Command::Annotate(other));
    settle(&mut window);
    assert_eq!(image(&window).id, other);
    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    assert_eq!(boxes(&window).len(), 1);
    window.get_by_label("0 of 4");
    // The arrows lead back into the queue.
    key(&mut window, Key::ArrowRight);
    assert!(care_studio::state::wants_box(
        project(&window),
        image(&window)
    ));
}

#[test]
fn the_wheel_zooms_about_the_pointer() {
    let (_root, mut window) = annotate();
    let pointer = at(&window, [12.0, 10.0]);
    window.hover_at(pointer);
    window.step();
    window.event(Event::MouseWheel {
        unit: MouseWheelUnit::Line,
        delta: Vec2::new(0.0, 6.0),
        phase: TouchPhase::Move,
        modifiers: Modifiers::NONE,
        source: egui::MouseWheelSource::Wheel,
    });
    window.run_steps(40);
    // What was under the pointer is there still, and twice as far now reaches half as far.
    let to = pointer + (at(&window, [24.0, 20.0]) - pointer);
    button(&mut window, pointer, true);
    window.hover_at(to);
    window.step();
    button(&mut window, to, false);
    settle(&mut window);
    let [x0, y0, x1, y1] = boxes(&window)[0];
    assert_eq!([x0, y0], [12.0, 10.0]);
    assert!(x1 < 20.0 && y1 < 17.0, "{x1}, {y1}");

    key(&mut window, Key::F);
    drag(&mut window, [30.0, 8.0], [40.0, 20.0]);
    assert_eq!(boxes(&window)[1], [30.0, 8.0, 40.0, 20.0], "fitted again");
}

#[test]
fn the_middle_button_moves_the_image() {
    let (_root, mut window) = annotate();
    let (from, by) = (at(&window, [24.0, 16.0]), Vec2::new(120.0, -60.0));
    for (pos, pressed) in [(from, true), (from + by, false)] {
        window.hover_at(pos);
        window.step();
        window.event(Event::PointerButton {
            pos,
            button: PointerButton::Middle,
            pressed,
            modifiers: Modifiers::NONE,
        });
        window.step();
    }
    let canvas = window.get_by_role_and_label(Role::Canvas, "Canvas").rect();
    let moved = View::fit(SIZE, canvas).moved(by);
    let (a, b) = (moved.to_screen([10.0, 10.0]), moved.to_screen([20.0, 20.0]));
    window.hover_at(a);
    window.step();
    button(&mut window, a, true);
    window.hover_at(b);
    window.step();
    button(&mut window, b, false);
    settle(&mut window);
    assert_eq!(boxes(&window), [[10.0, 10.0, 20.0, 20.0]]);

    window.get_by_label("Fit").click();
    settle(&mut window);
    drag(&mut window, [30.0, 8.0], [40.0, 20.0]);
    assert_eq!(boxes(&window)[1], [30.0, 8.0, 40.0, 20.0], "fitted again");
}

#[test]
fn an_edit_that_could_not_be_saved_is_said_above_the_canvas() {
    let (_root, mut window) = annotate();
    let database = project(&window).dir().join("project.sqlite");
    let rename = |from: &str, to: &str| {
        let store = rusqlite::Connection::open(&database).unwrap();
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        store.execute_batch(&sql).unwrap();
    };
    rename("journal", "gone");
    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    assert!(
        boxes(&window).is_empty(),
        "what is not on disk is not shown"
    );
    window.get_by_label("This edit could not be saved");
    window.get_by_label("The last edit is not saved");
    // It stays until it is dismissed, or until an edit was saved.
    press(&mut window, Modifiers::COMMAND, Key::Num1);
    press(&mut window, Modifiers::COMMAND, Key::Num2);
    window.get_by_label("This edit could not be saved");

    rename("gone", "journal");
    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    assert_eq!(boxes(&window).len(), 1);
    let gone = |label| window.query_by_label(label).is_none();
    assert!(gone("This edit could not be saved") && gone("The last edit is not saved"));
}

#[test]
fn a_box_under_the_hand_does_not_outlive_the_room() {
    let (_root, mut window) = annotate();
    let to = hold(&mut window, [10.0, 8.0], [30.0, 24.0]);
    press(&mut window, Modifiers::COMMAND, Key::Num1);
    button(&mut window, to, false);
    press(&mut window, Modifiers::COMMAND, Key::Num2);
    window.hover_at(at(&window, [40.0, 30.0]));
    settle(&mut window);
    assert!(boxes(&window).is_empty());
}

#[test]
fn without_a_rare_class_the_arrows_walk_through_all_images() {
    let (_root, dir) = tiny_project(false);
    let mut window = window(Some(&dir));
    press(&mut window, Modifiers::COMMAND, Key::Num2);
    let first = image(&window).id;
    key(&mut window, Key::ArrowLeft);
    assert_eq!(image(&window).id, first, "there is none before it");
    key(&mut window, Key::ArrowRight);
    key(&mut window, Key::ArrowRight);
    assert_eq!(image(&window).id, project(&window).images()[2].id);
    key(&mut window, Key::ArrowLeft);
    assert_eq!(image(&window).id, project(&window).images()[1].id);
}

#[test]
fn a_deleted_box_is_asked_for_again() {
    let (_root, mut window) = annotate();
    let first = image(&window).id;
    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    key(&mut window, Key::Enter);
    window.get_by_label("To do 3");
    window.state_mut().commands().send(Command::Annotate(first));
    settle(&mut window);
    click(&mut window, [10.0, 16.0]);
    key(&mut window, Key::Delete);
    assert!(boxes(&window).is_empty());
    window.get_by_label("To do 4");
}

#[test]
fn an_image_that_cannot_be_shown_says_why() {
    let (_root, dir) = tiny_project(true);
    let project = Project::open(&dir).unwrap();
    let broken = project.images().last().unwrap().clone();
    std::fs::write(project.path_of(&broken), "no picture any more").unwrap();
    drop(project);
    let mut window = window(Some(&dir));
    window
        .state_mut()
        .commands()
        .send(Command::Annotate(broken.id));
    for _ in 0..200 {
        settle(&mut window);
        if window
            .query_by_label("This image cannot be shown")
            .is_some()
        {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    window.get_by_label("This image cannot be shown");
    window.get_by_label_contains("Convert it to one of these");
    drag(&mut window, [10.0, 8.0], [30.0, 24.0]);
    assert!(
        boxes(&window).is_empty(),
        "nothing is drawn on what is not seen"
    );
    let name = broken.name();
    assert!(
        window
            .query_all_by_label(name)
            .any(|node| node.accesskit_node().role() == Role::Button)
    );
}
