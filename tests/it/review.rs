//! What is said about images, who says it, and what the queue makes of it, through the real window.

use care_data::{Edit, ImageId, Origin, Project, ReaderId, ReviewState};
use care_studio::app::App;
use care_studio::attention::Attention;
use care_studio::command::{Action, Command, Room};
use care_studio::queue::{Classes, Filter, QueueView, Sort};
use egui::{Event, Key, Modifiers, PointerButton, Role};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use tempfile::TempDir;

use crate::common::{press, send, settle, tiny_project, window};

fn annotate() -> (TempDir, Harness<'static, App>) {
    let (root, dir) = tiny_project(true);
    let mut window = window(Some(&dir));
    send(&mut window, Command::Go(Room::Annotate));
    (root, window)
}

fn project<'a>(window: &'a Harness<'_, App>) -> &'a Project {
    window.state().state.project.as_ref().unwrap()
}

fn in_hand(window: &Harness<'_, App>) -> ImageId {
    window.state().state.selected.unwrap()
}

/// Draws from one share of the canvas to another.
fn draw(window: &mut Harness<'_, App>, from: f32, to: f32) {
    let canvas = window.get_by_role_and_label(Role::Canvas, "Canvas").rect();
    let at = |share: f32| canvas.min + canvas.size() * share;
    window.hover_at(at(from));
    window.step();
    for (pos, pressed) in [(at(from), true), (at(to), false)] {
        window.hover_at(pos);
        window.step();
        window.event(Event::PointerButton {
            pos,
            button: PointerButton::Primary,
            pressed,
            modifiers: Modifiers::NONE,
        });
        window.step();
    }
    settle(window);
}

#[test]
fn an_image_is_to_do_done_or_needs_a_second_look() {
    let (_root, mut window) = annotate();
    let first = in_hand(&window);
    let state = |window: &Harness<'_, App>, image| project(window).review(None, image).state;
    press(&mut window, Modifiers::NONE, Key::R);
    assert_eq!(state(&window, first), ReviewState::SecondLook);
    assert_ne!(in_hand(&window), first, "and on to the next");
    window.get_by_label("To do 3");
    window.get_by_label("2nd look 1");
    window.get_by_label("2nd look 1").click();
    settle(&mut window);
    assert_eq!(window.state().state.queue.filter, Filter::SecondLook);

    send(&mut window, Command::Annotate(first));
    draw(&mut window, 0.4, 0.6);
    window
        .get_by_role_and_label(Role::RadioButton, "Done")
        .click();
    settle(&mut window);
    assert_eq!(state(&window, first), ReviewState::Done);
    // An image that was done with its box is to do without it, and one undo brings both back.
    press(&mut window, Modifiers::NONE, Key::Delete);
    assert_eq!(state(&window, first), ReviewState::ToDo);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(state(&window, first), ReviewState::Done);
    assert_eq!(project(&window).boxes(first).len(), 1);
}

#[test]
fn a_note_is_kept_when_the_hands_rest_and_when_they_leave() {
    let (_root, mut window) = annotate();
    let first = in_hand(&window);
    let note = |window: &Harness<'_, App>| project(window).review(None, first).note.clone();
    window.get_by_label("Note").focus();
    window.get_by_label("Note").type_text("ruler, r");
    settle(&mut window);
    assert_eq!(note(&window), "");
    // The window's clock goes on by a quarter of a second a frame.
    window.run_steps(6);
    assert_eq!(note(&window), "ruler, r");
    assert_eq!(in_hand(&window), first, "an r in a note is no key");
    window.get_by_label("Note").focus();
    window.get_by_label("Note").type_text("!");
    window.step();
    send(&mut window, Command::Go(Room::Images));
    assert!(note(&window).contains('!'));
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(note(&window), "ruler, r");

    // Also where the project is closed within the second.
    send(&mut window, Command::Go(Room::Annotate));
    press(&mut window, Modifiers::NONE, Key::N);
    window.get_by_label("Note").type_text("?");
    window.step();
    let dir = project(&window).dir().to_owned();
    send(&mut window, Command::Action(Action::CloseProject));
    let reopened = Project::open(&dir).unwrap();
    assert!(reopened.review(None, first).note.contains('?'));
}

#[test]
fn boxes_that_nobody_confirmed_are_walked_through_and_confirmed_together() {
    let (_root, mut window) = annotate();
    let ids: Vec<_> = project(&window).images().iter().map(|it| it.id).collect();
    let rare: Vec<_> = ids
        .into_iter()
        .filter(|id| {
            let image = project(&window).image(*id).unwrap();
            care_studio::state::wants_box(project(&window), image)
        })
        .collect();
    for id in &rare {
        send(&mut window, Command::Annotate(*id));
        draw(&mut window, 0.4, 0.6);
    }
    let confirmed = |window: &Harness<'_, App>| {
        let is_done = |id: &&ImageId| project(window).review(None, **id).state == ReviewState::Done;
        rare.iter().filter(is_done).count()
    };
    window.get_by_label("To do 0");
    assert_eq!(confirmed(&window), 0);
    let before = in_hand(&window);
    press(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(confirmed(&window), 1);
    assert_ne!(
        in_hand(&window),
        before,
        "on to the next that nobody confirmed"
    );
    press(&mut window, Modifiers::NONE, Key::Q);
    window.get_by_label("Confirm 3 boxed").click();
    settle(&mut window);
    assert_eq!(confirmed(&window), 4);
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(confirmed(&window), 1, "one edit");
}

#[test]
fn the_queue_holds_what_is_asked_for() {
    let (_root, mut window) = annotate();
    let scarce = project(&window).classes()[1].id;
    let of = |window: &Harness<'_, App>, view: QueueView| -> Vec<String> {
        let mut queue = care_studio::queue::Queue::default();
        let project = project(window);
        queue.update(project, None, &view, &Attention::default(), None, 0.0);
        let list = queue.list().iter();
        list.map(|m| project.image(m.id).unwrap().name().to_owned())
            .collect()
    };
    let image = in_hand(&window);
    let note = "Ruler at the edge".to_owned();
    let said = Edit::SetNote {
        image,
        reader: None,
        note,
    };
    send(&mut window, Command::Edit(said));
    draw(&mut window, 0.4, 0.6);
    let everything = QueueView {
        classes: Classes::All,
        part: None,
        ..QueueView::default()
    };
    assert_eq!(
        of(&window, QueueView::default()).len(),
        4,
        "rare and training"
    );
    assert_eq!(of(&window, everything.clone()).len(), 26);
    let with = |change: fn(&mut QueueView)| {
        let mut view = everything.clone();
        change(&mut view);
        of(&window, view)
    };
    let name = project(&window).image(image).unwrap().name().to_owned();
    assert_eq!(
        with(|view| view.boxed = Some(true)),
        std::slice::from_ref(&name)
    );
    assert_eq!(with(|view| view.boxed = Some(false)).len(), 25);
    assert_eq!(with(|view| view.text = " RULER ".to_owned()), [name]);
    assert_eq!(with(|view| view.text = "scarce_".to_owned()).len(), 6);
    let only = QueueView {
        classes: Classes::One(scarce),
        ..everything.clone()
    };
    assert_eq!(of(&window, only).len(), 6);
    let by_name = with(|view| view.sort = Sort::Name);
    assert!(by_name.is_sorted());
    assert_eq!(by_name.len(), 26);

    // By hand, and kept.
    window.get_by_label("Filter and sort").click();
    settle(&mut window);
    window.get_by_role_and_label(Role::ComboBox, "Part").click();
    settle(&mut window);
    window.get_by_label("All parts").click();
    settle(&mut window);
    window.get_by_label("All 6");
    window.get_by_label("Back to what needs a box").click();
    settle(&mut window);
    window.get_by_label("All 4");
}

#[test]
fn two_readers_read_apart_and_are_settled() {
    let (_root, mut window) = annotate();
    let first = in_hand(&window);
    let (ada, bob) = (Some(ReaderId(1)), Some(ReaderId(2)));
    for name in ["Ada", "Bob"] {
        press(&mut window, Modifiers::COMMAND, Key::R);
        window.get_by_label("A reader's name").focus();
        window.get_by_label("A reader's name").type_text(name);
        settle(&mut window);
        window.get_by_label("Add a reader").click();
        settle(&mut window);
        window.get_by_label("Close").click();
        settle(&mut window);
        window.get_by_label(&format!("{name} reads apart"));
        // Nobody's box is seen yet.
        window.get_by_label("0 of 4");
        draw(&mut window, 0.4, if name == "Ada" { 0.6 } else { 0.62 });
        window.get_by_label("1 of 4");
        let class = project(&window).image(first).unwrap().class;
        press(&mut window, Modifiers::NONE, Key::Num1);
        let is = project(&window).image(first).unwrap().class;
        assert_eq!(is, class, "the class is the project's");
        press(&mut window, Modifiers::NONE, Key::Enter);
        send(&mut window, Command::Annotate(first));
    }
    let at = project(&window);
    assert_eq!(at.boxes_of(ada, first).len(), 1);
    assert_eq!(at.boxes_of(bob, first).len(), 1);
    assert!(at.boxes(first).is_empty());

    // An undo comes back to whose box it takes away.
    send(&mut window, Command::Read(ada));
    for _ in 0..2 {
        press(&mut window, Modifiers::COMMAND, Key::Z);
        assert_eq!(window.state().state.reader, bob);
    }
    for _ in 0..2 {
        press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    }

    press(&mut window, Modifiers::COMMAND, Key::R);
    window.get_by_label_contains("Ada and Bob both read 1 image; they agree on 1.");
    press(&mut window, Modifiers::NONE, Key::Num3);
    let [settled] = project(&window).boxes(first) else {
        panic!("one box")
    };
    assert_eq!(settled.origin, Origin::Readers);
    let (a, b) = (
        project(&window).boxes_of(ada, first)[0].rect.xyxy(),
        project(&window).boxes_of(bob, first)[0].rect.xyxy(),
    );
    assert!((settled.rect.xyxy()[2] - (a[2] + b[2]) / 2.0).abs() < 1e-9);
    window.get_by_label_contains("settled");
    press(&mut window, Modifiers::NONE, Key::Num1);
    assert_eq!(project(&window).boxes(first)[0].rect.xyxy(), a);
    press(&mut window, Modifiers::NONE, Key::Num4);
    assert_eq!(
        project(&window).boxes(first)[0].rect.xyxy(),
        a,
        "none picked"
    );
    window.get_by_label("Bob's box 1").click();
    settle(&mut window);
    press(&mut window, Modifiers::NONE, Key::Num4);
    assert_eq!(project(&window).boxes(first)[0].rect.xyxy(), b);

    // Back to before the readers: whoever is no longer there reads no more.
    press(&mut window, Modifiers::NONE, Key::Escape);
    for _ in 0..9 {
        press(&mut window, Modifiers::COMMAND, Key::Z);
    }
    assert!(project(&window).readers().is_empty());
    assert_eq!(window.state().state.reader, None);
}

#[test]
fn thirty_images_in_a_row_without_leaving_the_canvas() {
    let root = tempfile::tempdir().unwrap();
    for i in 0..60_u8 {
        let dir = root.path().join("pictures/scarce");
        std::fs::create_dir_all(&dir).unwrap();
        let picture = image::RgbImage::from_pixel(24, 16, image::Rgb([i, 2 * i, 3 * i]));
        picture.save(dir.join(format!("{i:02}.png"))).unwrap();
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    let pictures = root.path().join("pictures");
    let found = care_data::import::read(&pictures, &Default::default(), &|_, _| {}, &stop);
    let dir = root.path().join("p.care");
    let mut made = Project::create(&dir).unwrap();
    made.take_in(found.unwrap()).unwrap();
    let class = made.classes()[0].id;
    made.apply(Edit::SetRare { class, rare: true }).unwrap();
    drop(made);
    let mut window = window(Some(&dir));
    send(&mut window, Command::Go(Room::Annotate));
    let mut seen = Vec::new();
    for n in 0..30_u8 {
        seen.push(in_hand(&window));
        let from = 0.35 + f32::from(n) * 0.002;
        draw(&mut window, from, from + 0.2);
        press(&mut window, Modifiers::NONE, Key::Enter);
    }
    let project = project(&window);
    for id in &seen {
        assert_eq!(project.boxes(*id).len(), 1);
        assert_eq!(project.review(None, *id).state, ReviewState::Done);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 30);
}
