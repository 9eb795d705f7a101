//! How quickly the window answers, on the demo's images: the next image in Annotate, and frames while a run trains.
//!
//!     cargo bench --profile dev --bench window
//!
//! A frame is layout and tessellation in the real window code, without the graphics card. In the dev profile because
//! that is what `cargo xtask demo` builds.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/it/common.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod common;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use care_data::synthetic;
use care_learn::RunConfig;
use care_studio::app::App;
use care_studio::command::{Action, Command, Room};
use care_studio::demo;
use egui::{Key, Role};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

/// A frame's share of 60 a second.
const FRAME: Duration = Duration::from_nanos(16_666_667);

fn main() {
    let root = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let import = synthetic::generate(&root.path().join("images"), 0, &|_, _| {}, &stop).unwrap();
    let dir = root.path().join("demo.care");
    drop(demo::create(&dir, import, 0).unwrap());
    let mut window = common::window(Some(&dir));

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

    let config = RunConfig {
        stage1_epochs: 1,
        stage2_epochs: 500,
        ..RunConfig::demo()
    };
    send(&mut window, Command::SetDraft(config));
    send(&mut window, Command::Action(Action::Train));
    while !in_stage_two(&window) {
        frames(&mut window, 10);
    }
    for room in [Room::Train, Room::Annotate] {
        send(&mut window, Command::Go(room));
        report(
            &format!("frame, {}, stage 2 trains", room.name()),
            frames(&mut window, 600),
        );
    }
}

fn send(window: &mut Harness<'_, App>, command: Command) {
    window.state_mut().commands().send(command);
    common::settle(window);
}

fn in_stage_two(window: &Harness<'_, App>) -> bool {
    let run = window.state().state.run.as_ref();
    run.is_some_and(|run| run.step.as_ref().is_some_and(|step| step.stage == 2))
}

/// Frames until the canvas shows its image.
fn wait_for_image(window: &mut Harness<'_, App>) {
    loop {
        window.step();
        let canvas = window.get_by_role_and_label(Role::Canvas, "Canvas");
        if canvas.value().is_none_or(|value| value != "loading") {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// So many frames, 60 a second where they are quick enough.
fn frames(window: &mut Harness<'_, App>, number: usize) -> Vec<Duration> {
    (0..number)
        .map(|_| {
            let begun = Instant::now();
            window.step();
            let output = window.output();
            let shapes = output.shapes.clone();
            std::hint::black_box(window.ctx.tessellate(shapes, output.pixels_per_point));
            let took = begun.elapsed();
            std::thread::sleep(FRAME.saturating_sub(took));
            took
        })
        .collect()
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let late = times.iter().filter(|took| **took > FRAME).count();
    println!(
        "{what:<32} median {:6.1} ms, 95 % below {:6.1} ms, worst {:6.1} ms, {late} of {} over 16.7 ms",
        at(0.5),
        at(0.95),
        at(1.0),
        times.len()
    );
}
