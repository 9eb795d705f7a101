//! How quickly the window answers, on the demo's images: the next image in Annotate, and frames while a run trains.
//!
//!     cargo bench --profile dev --bench window
//!
//! A frame is layout and tessellation in the real window code, without the graphics card. In the dev profile because
//! that is what `cargo xtask demo` builds.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

#[allow(dead_code, reason = "the other benchmark uses more of it")]
mod support;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use care_data::import::{self, Options};
use care_data::synthetic::{self, Demo};
use care_data::{BoundingBox, Edit, Part, Project};
use care_learn::RunConfig;
use care_studio::app::App;
use care_studio::command::{Action, Command, Room};
use care_studio::demo;
use care_studio::dispatch::MOST_WATCHED;
use egui::Key;
use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use support::{FRAME, Took, at, paced, send, wait_for_image};

fn main() {
    let root = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let import = synthetic::generate(
        Demo::Skin,
        &root.path().join("images"),
        0,
        &|_, _| {},
        &stop,
    )
    .unwrap();
    let dir = root.path().join("demo.care");
    drop(demo::create(Demo::Skin, &dir, import, 0).unwrap());
    let mut window = support::window(Some(&dir));

    send(&mut window, Command::Go(Room::Annotate));
    wait_for_image(&mut window);
    let next: Vec<Duration> = (0..20)
        .map(|_| {
            let begun = Instant::now();
            window.key_press(Key::ArrowRight);
            wait_for_image(&mut window);
            let took = begun.elapsed();
            // As long as a quick hand needs for a box: the image after it is decoded meanwhile.
            std::thread::sleep(Duration::from_millis(400));
            window.step();
            took
        })
        .collect();
    report("next image", next);

    for room in Room::ALL {
        send(&mut window, Command::Go(room));
        report(&format!("frame, {}", room.name()), frames(&mut window, 200));
    }

    lens();

    let config = RunConfig {
        stage1_epochs: 1,
        stage2_epochs: 500,
        ..RunConfig::demo()
    };
    send(&mut window, Command::SetDraft(config));
    let project = window.state().state.project.as_ref().unwrap();
    let held_out = project.images().iter().filter(|image| {
        let class = project.class(image.class);
        image.part == Part::Test && class.is_some_and(|class| class.rare)
    });
    let watch: Vec<_> = held_out.take(MOST_WATCHED).map(|image| image.id).collect();
    let watched = watch.len();
    send(&mut window, Command::SetWatch(Some(watch)));
    window.set_size(egui::vec2(1920.0, 1080.0));
    let begun = Instant::now();
    send(&mut window, Command::Action(Action::Train));
    while !has_map(&window) {
        frames(&mut window, 1);
    }
    println!(
        "Train pressed to the first map on the screen, {watched} watched images: {:.1} s",
        begun.elapsed().as_secs_f32()
    );
    while !in_stage_two(&window) {
        frames(&mut window, 10);
    }
    for room in [Room::Train, Room::Annotate] {
        send(&mut window, Command::Go(room));
        let took: Vec<Took> = (0..600).map(|_| paced(&mut window)).collect();
        let what = format!("frame, {}, stage 2 trains", room.name());
        report(&what, took.iter().map(|took| took.wall).collect());
        // What the training takes from the window on a machine with few cores is not in it.
        report(
            "  of its own thread",
            took.iter().map(|took| took.cpu).collect(),
        );
    }
    let run = window.state().state.run.as_ref();
    let step = run.and_then(|run| run.step.as_ref()).unwrap();
    println!(
        "share of the training that the film took by step {}: {:.1} %, of images that were waited for: {:.1} %",
        step.step,
        100.0 * step.film,
        100.0 * step.waiting
    );
}

fn has_map(window: &Harness<'_, App>) -> bool {
    let run = window.state().state.run.as_ref();
    run.is_some_and(|run| !run.film.is_empty())
}

/// Frames in which the hand moves alpha while the loss lens lies over a photograph of 1024 x 768, and frames in which a box
/// grows under it.
fn lens() {
    let root = tempfile::tempdir().unwrap();
    for class in ["common", "rare"] {
        let dir = root.path().join("pictures").join(class);
        std::fs::create_dir_all(&dir).unwrap();
        let red = class.len() as u8 * 20;
        let picture = image::RgbImage::from_fn(1024, 768, |x, y| {
            image::Rgb([red, (x / 4) as u8, (y / 3) as u8])
        });
        picture.save(dir.join("0.png")).unwrap();
    }
    let stop = AtomicBool::new(false);
    let pictures = root.path().join("pictures");
    let found = import::read(&pictures, &Options::default(), &|_, _| {}, &stop).unwrap();
    let dir = root.path().join("lens.care");
    let mut project = Project::create(&dir).unwrap();
    project.take_in(found).unwrap();
    drop(project);
    let mut window = support::window(Some(&dir));
    send(&mut window, Command::SetDraft(RunConfig::demo()));
    send(&mut window, Command::Go(Room::Annotate));
    wait_for_image(&mut window);
    let image = window.state().state.selected.unwrap();
    let project = window.state().state.project.as_ref().unwrap();
    let rect = BoundingBox::new(300.0, 200.0, 700.0, 500.0).unwrap();
    let annotation = project.new_box(image, rect);
    send(&mut window, Command::Edit(Edit::AddBox { annotation }));
    window.key_press(Key::L);
    while window.query_by_label("rewarded").is_none() {
        window.step();
        std::thread::sleep(Duration::from_millis(2));
    }
    let sliders = window.query_all_by_label("alpha");
    let is_slider = |node: &egui_kittest::Node<'_>| node.accesskit_node().role() == Role::Slider;
    let slider = sliders.into_iter().find(is_slider).unwrap().rect();
    let canvas = window.get_by_role_and_label(Role::Canvas, "Canvas").rect();
    for (what, area) in [
        ("alpha to lens", slider),
        ("box to lens", canvas.shrink(60.0)),
    ] {
        // The first press takes hold of the slider, or begins another box.
        let from = area.left_center() + egui::vec2(8.0, 0.0);
        press(&mut window, from, true);
        let times = (0..200).map(|i| {
            let share = (i % 100) as f32 / 100.0;
            window.hover_at(from.lerp(area.right_bottom(), 0.1 + 0.8 * share));
            paced(&mut window).wall
        });
        let times = times.collect();
        press(&mut window, from, false);
        report(what, times);
    }
}

fn press(window: &mut Harness<'_, App>, pos: egui::Pos2, pressed: bool) {
    window.hover_at(pos);
    window.event(egui::Event::PointerButton {
        pos,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: egui::Modifiers::NONE,
    });
    window.step();
}

fn in_stage_two(window: &Harness<'_, App>) -> bool {
    let run = window.state().state.run.as_ref();
    run.is_some_and(|run| run.step.as_ref().is_some_and(|step| step.stage == 2))
}

/// So many frames, 60 a second where they are quick enough.
fn frames(window: &mut Harness<'_, App>, number: usize) -> Vec<Duration> {
    (0..number).map(|_| paced(window).wall).collect()
}

fn report(what: &str, times: Vec<Duration>) {
    let late = times.iter().filter(|took| **took > FRAME).count();
    let [median, high, higher, worst] =
        [0.5, 0.95, 0.99, 1.0].map(|share| at(share, times.iter().copied()));
    println!(
        "{what:<32} median {median:6.1} ms, 95 % below {high:6.1} ms, 99 % below {higher:6.1} ms, worst {worst:6.1} ms, {late} of {} over 16.7 ms",
        times.len()
    );
}
