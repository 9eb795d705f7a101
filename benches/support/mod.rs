//! What the benchmarks of the window share: the window of the tests, frames and how long they took.

use std::path::Path;
use std::time::{Duration, Instant};

use care_studio::app::App;
use egui::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use rustix::time::{ClockId, clock_gettime};

#[path = "../../tests/it/common.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
pub mod common;

pub use common::send;

/// A frame's share of 60 a second.
pub const FRAME: Duration = Duration::from_nanos(16_666_667);

/// What a frame took.
#[derive(Clone, Copy)]
pub struct Took {
    pub wall: Duration,
    /// Of the window's thread: what other work on the machine takes from it is not in it.
    pub cpu: Duration,
}

/// The window, for which 60 frames are a second.
pub fn window(project: Option<&Path>) -> Harness<'static, App> {
    let builder = Harness::builder().with_step_dt(FRAME.as_secs_f32());
    common::build(builder, project)
}

/// Layout and tessellation, everything but the graphics card.
pub fn frame(window: &mut Harness<'_, App>) -> Took {
    let (begun, cpu) = (Instant::now(), cpu_time());
    window.step();
    let output = window.output();
    let shapes = output.shapes.clone();
    std::hint::black_box(window.ctx.tessellate(shapes, output.pixels_per_point));
    Took {
        wall: begun.elapsed(),
        cpu: cpu_time() - cpu,
    }
}

/// As [`frame`], and then waits for the next one's time at 60 a second.
pub fn paced(window: &mut Harness<'_, App>) -> Took {
    let took = frame(window);
    std::thread::sleep(FRAME.saturating_sub(took.wall));
    took
}

/// Frames until the canvas shows its image.
pub fn wait_for_image(window: &mut Harness<'_, App>) {
    loop {
        window.step();
        let canvas = window.get_by_role_and_label(Role::Canvas, "Canvas");
        if canvas.value().is_none_or(|value| value != "loading") {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The smallest that `share` of them do not exceed, in milliseconds.
pub fn at(share: f64, times: impl IntoIterator<Item = Duration>) -> f64 {
    let mut times: Vec<_> = times.into_iter().collect();
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share).ceil() as usize].as_secs_f64() * 1e3
}

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
