//! The plug is pulled: the real program on a display of its own, killed while a box is being drawn.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::tiny_project;
use care_data::{BoundingBox, ImageSize, Project};
use care_studio::ui::view::View;
use egui::{Pos2, Rect, pos2};

/// Between the queue, the inspector, the toolbar and the status bar of a window of 1440 x 900.
const CANVAS: Rect = Rect {
    min: pos2(270.0, 92.0),
    max: pos2(1136.0, 876.0),
};
const SIZE: ImageSize = ImageSize::new(48, 32);

/// A process that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // SIGKILL. Where it is gone already there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Display {
    name: String,
    _server: Running,
}

impl Display {
    /// A virtual display under a number that is free; none where Xvfb or xdotool is not installed.
    fn start() -> Option<Self> {
        Command::new("xdotool").arg("version").output().ok()?;
        let mut server = Command::new("Xvfb")
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "1440x900x24",
                "-nolisten",
                "tcp",
                // Otherwise it starts anew, and refuses connections, whenever its last client leaves: each xdotool.
                "-noreset",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let stdout = server.stdout.take().unwrap();
        let server = Running(server);
        let mut number = String::new();
        BufReader::new(stdout).read_line(&mut number).unwrap();
        assert!(!number.trim().is_empty(), "Xvfb ended at once");
        Some(Self {
            name: format!(":{}", number.trim()),
            _server: server,
        })
    }

    fn xdotool(&self, arguments: &str) -> bool {
        let status = Command::new("xdotool")
            .args(arguments.split(' '))
            .env("DISPLAY", &self.name)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.unwrap().success()
    }

    /// As a hand does it: a frame or two between one thing and the next.
    fn pointer(&self, at: Pos2, then: &str) {
        let Pos2 { x, y } = at;
        assert!(self.xdotool(&format!("mousemove {x:.0} {y:.0}")));
        pause();
        if !then.is_empty() {
            assert!(self.xdotool(then));
            pause();
        }
    }

    fn open(&self, project: &Path, home: &Path) -> Running {
        let program = Command::new(env!("CARGO_BIN_EXE_care"))
            .arg(project)
            .env("DISPLAY", &self.name)
            .env_remove("WAYLAND_DISPLAY")
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("XDG_CONFIG_HOME", home)
            .env("XDG_DATA_HOME", home)
            .spawn()
            .unwrap();
        let program = Running(program);
        // There is no window manager to give it the keyboard.
        wait_for("the window", || {
            self.xdotool("search --name CARE.Studio windowfocus windowmove 0 0")
        });
        program
    }
}

fn pause() {
    std::thread::sleep(Duration::from_millis(120));
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{what} did not come"
        );
        pause();
    }
}

/// All boxes of the project, as another process sees them.
fn boxes(project: &Path) -> Vec<BoundingBox> {
    let project = Project::open_read_only(project).unwrap();
    let images = project.images().iter();
    images
        .flat_map(|image| project.boxes(image.id))
        .map(|annotation| annotation.rect)
        .collect()
}

#[test]
fn a_kill_in_the_middle_of_drawing_loses_the_box_under_the_hand_at_most() {
    let Some(display) = Display::start() else {
        eprintln!("left out: it needs Xvfb and xdotool (cargo xtask setup installs them)");
        return;
    };
    let (root, dir) = tiny_project(true);
    let program = display.open(&dir, &root.path().join("home"));
    let at = |x: f64, y: f64| View::fit(SIZE, CANVAS).to_screen([x, y]);
    let draw = |left: f64| {
        display.pointer(at(left, 6.0), "mousedown 1");
        display.pointer(at(left + 5.0, 14.0), "");
        display.pointer(at(left + 9.0, 26.0), "");
    };

    // The first keys may come before the window listens.
    wait_for("the first box", || {
        display.pointer(CANVAS.center(), "key ctrl+2");
        draw(2.0);
        display.xdotool("mouseup 1");
        (0..20).any(|_| {
            pause();
            !boxes(&dir).is_empty()
        })
    });
    for (n, left) in [(2, 14.0), (3, 26.0)] {
        draw(left);
        assert!(display.xdotool("mouseup 1"));
        wait_for("the next box", || boxes(&dir).len() == n);
    }
    draw(37.0);
    drop(program);

    let expected = [2.0, 14.0, 26.0].map(|left| [left, 6.0, left + 9.0, 26.0]);
    let project = Project::open(&dir).expect("the lock of the killed process is gone");
    let found = boxes(&dir);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (rect, expected) in found.iter().zip(expected) {
        let off = rect
            .xyxy()
            .into_iter()
            .zip(expected)
            .map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f64::max) <= 1.0, "{rect:?}, not {expected:?}");
    }
    assert!(project.undoable().is_some(), "the journal goes on");
    drop(project);
    let database = rusqlite::Connection::open(dir.join("project.sqlite")).unwrap();
    let verdict: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
}
