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

use care_data::synthetic::{self, Demo};
use care_learn::RunConfig;
use care_studio::app::App;
use care_studio::command::{Action, Command, Room};
use care_studio::demo;
use egui::Key;
use egui_kittest::Harness;
use support::{FRAME, at, paced, send, wait_for_image};

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
    let [median, high, worst] = [0.5, 0.95, 1.0].map(|share| at(share, times.iter().copied()));
    println!(
        "{what:<32} median {median:6.1} ms, 95 % below {high:6.1} ms, worst {worst:6.1} ms, {late} of {} over 16.7 ms",
        times.len()
    );
}
