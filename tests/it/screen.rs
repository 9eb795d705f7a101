//! A display of its own with the real program on it: keys and the pointer by xdotool, and the colours that are shown.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use egui::{Color32, Pos2};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// A process that does not outlive the test.
pub struct Running(Child);

impl Running {
    /// SIGKILL. When this returns the process writes nothing any more.
    pub fn kill(&mut self) {
        // Where it is gone already there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

pub struct Screen {
    name: String,
    _server: Running,
    /// The server keeps its pixels in a file here, as `xwd` would write them.
    pixels: TempDir,
}

impl Screen {
    /// A virtual display of 1440 x 900 under a number that is free; none where Xvfb or xdotool is not installed, which it
    /// says.
    pub fn start() -> Option<Self> {
        let started = Self::try_start();
        if started.is_none() {
            eprintln!("left out: it needs Xvfb and xdotool (cargo xtask setup installs them)");
        }
        started
    }

    fn try_start() -> Option<Self> {
        Command::new("xdotool").arg("version").output().ok()?;
        let pixels = tempfile::tempdir().unwrap();
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1440x900x24"])
            .args(["-nolisten", "tcp"])
            // Otherwise it starts anew, and refuses connections, whenever its last client leaves: each xdotool.
            .arg("-noreset")
            .arg("-fbdir")
            .arg(pixels.path())
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
            pixels,
        })
    }

    /// The program's window, with the keyboard; settings and projects of its own lie under `home`.
    pub fn open(&self, project: Option<&Path>, home: &Path) -> Running {
        let program = Command::new(env!("CARGO_BIN_EXE_care"))
            .args(project)
            .env("DISPLAY", &self.name)
            .env_remove("WAYLAND_DISPLAY")
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("XDG_CONFIG_HOME", home)
            .env("XDG_DATA_HOME", home)
            .spawn()
            .unwrap();
        let program = Running(program);
        // There is no window manager to give it the keyboard.
        self.wait_for("the window", || {
            self.xdotool("search --name CARE.Studio windowfocus windowmove 0 0")
        });
        program
    }

    /// Words for xdotool, none with a space in it.
    pub fn xdotool(&self, words: &str) -> bool {
        let status = Command::new("xdotool")
            .args(words.split(' '))
            .env("DISPLAY", &self.name)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.unwrap().success()
    }

    pub fn key(&self, key: &str) {
        assert!(self.xdotool(&format!("key {key}")));
        pause();
    }

    pub fn type_text(&self, text: &str) {
        assert!(self.xdotool(&format!("type --delay 20 {text}")));
        pause();
    }

    /// As a hand does it: a frame or two between one thing and the next.
    pub fn pointer(&self, at: Pos2, then: &str) {
        let Pos2 { x, y } = at;
        assert!(self.xdotool(&format!("mousemove {x:.0} {y:.0}")));
        pause();
        if !then.is_empty() {
            assert!(self.xdotool(then));
            pause();
        }
    }

    /// Whether this colour is seen there, as near as a driver may round it.
    pub fn shows(&self, at: Pos2, color: Color32) -> bool {
        let Rgb(seen) = *self.picture().get_pixel(at.x as u32, at.y as u32);
        let [r, g, b, _] = color.to_array();
        let mut pairs = seen.into_iter().zip([r, g, b]);
        pairs.all(|(seen, wanted)| seen.abs_diff(wanted) <= 2)
    }

    pub fn wait_for(&self, what: &str, there: impl FnMut() -> bool) {
        if !within(Duration::from_secs(60), there) {
            self.fail(&format!("{what} did not come"));
        }
    }

    /// Ends the test, leaving what was on the screen.
    pub fn fail(&self, why: &str) -> ! {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screen.png");
        self.picture().save(&path).unwrap();
        panic!("{why}; the screen: {}", path.display());
    }

    /// What is on the screen now.
    pub fn picture(&self) -> RgbImage {
        let file = std::fs::read(self.pixels.path().join("Xvfb_screen0")).unwrap();
        // Words of the header, as X11/XWDFile.h has them.
        let word =
            |i: usize| u32::from_be_bytes(file[4 * i..4 * i + 4].try_into().unwrap()) as usize;
        let [header, width, height, order, bits, line, colors] = [0, 4, 5, 7, 11, 12, 19].map(word);
        assert_eq!((bits, order), (32, 0), "blue, green, red, nothing");
        let pixels = &file[header + 12 * colors..];
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let at = y as usize * line + x as usize * 4;
            Rgb([pixels[at + 2], pixels[at + 1], pixels[at]])
        })
    }
}

pub fn pause() {
    std::thread::sleep(Duration::from_millis(60));
}

/// Whether it comes in this time.
pub fn within(time: Duration, mut there: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !there() {
        if begun.elapsed() > time {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
