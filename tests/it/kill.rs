//! The plug is pulled: the real program on a display of its own, killed ten times while boxes are being drawn.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use care_data::{Annotation, BoundingBox, ImageId, ImageSize, Project, ReviewState};
use care_studio::ui::tokens::DARK;
use care_studio::ui::view::View;
use egui::{Key, Modifiers, Rect, Role, vec2};
use egui_kittest::kittest::Queryable;
use image::{Rgb, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::common::{settle, tabs_to, type_text, window};
use crate::screen::{Running, Screen, pause, within};

const SIZE: ImageSize = ImageSize::new(48, 32);
const KILLS: usize = 10;
const BOXES: usize = 20;

/// Two classes; of the rare one there are training images for every box.
fn pictures(root: &Path) -> PathBuf {
    let folder = root.join("pictures");
    for (class, n) in [("common", 4_u8), ("scarce", 60)] {
        let dir = folder.join(class);
        std::fs::create_dir_all(&dir).unwrap();
        for i in 0..n {
            // Of their own reds: twins would be taken for one image.
            let picture =
                RgbImage::from_fn(48, 32, |x, y| Rgb([i * 3 + n, x as u8 * 5, y as u8 * 7]));
            picture.save(dir.join(format!("{i:02}.png"))).unwrap();
        }
    }
    folder
}

/// How the keyboard reaches what the test needs, and where it stands: from the same window without a screen.
struct Ways {
    tabs_to_path: usize,
    /// Filled with the accent, as is what adds the images.
    demo: Rect,
    add: Rect,
    star: Rect,
    canvas: Rect,
}

impl Ways {
    fn find() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = pictures(root.path());
        let mut window = window(None);
        let demo = window.get_by_label("Start the demo").rect();
        let tabs_to_path = tabs_to(&mut window, "Path of a folder or project");
        type_text(&mut window, folder.to_str().unwrap());
        window.key_press(Key::Enter);
        crate::common::wait_for(&mut window, "the offer", |app| app.state.offer.is_some());
        tabs_to(&mut window, "Add 64 images");
        let add = window.get_by_label("Add 64 images").rect();
        window.key_press(Key::Enter);
        crate::common::wait_for(&mut window, "the images", |app| app.state.project.is_some());
        tabs_to(&mut window, "Mark scarce as rare");
        let star = window.get_by_label("Mark scarce as rare").rect();
        window.key_press_modifiers(Modifiers::COMMAND, Key::Num2);
        settle(&mut window);
        let canvas = window.get_by_role_and_label(Role::Canvas, "Canvas").rect();
        Self {
            tabs_to_path,
            demo,
            add,
            star,
            canvas,
        }
    }
}

/// One person at one computer.
struct Hand {
    screen: Screen,
    home: PathBuf,
    ways: Ways,
}

impl Hand {
    /// A folder becomes a project through the start page, and its class is marked as rare, all by key.
    fn import(&self, folder: &Path, dir: &Path) -> Running {
        let program = self.screen.open(None, &self.home);
        let there = |button: Rect| {
            let beside_its_word = button.left_center() + vec2(5.0, 0.0);
            self.screen.shows(beside_its_word, DARK.accent_fill)
        };
        self.screen
            .wait_for("the start page", || there(self.ways.demo));
        for _ in 0..self.ways.tabs_to_path {
            self.screen.key("Tab");
        }
        self.screen.type_text(folder.to_str().unwrap());
        self.screen.key("Return");
        self.screen.wait_for("the offer", || there(self.ways.add));
        assert!(!dir.exists(), "nothing is written before the answer");
        self.press(self.ways.add, "Return");
        self.screen.wait_for("the project", || {
            Project::open_read_only(dir).is_ok_and(|project| project.images().len() == 64)
        });
        // What is on the disk is not on the screen yet.
        self.screen
            .wait_for("the end of the offer", || !there(self.ways.add));
        self.press(self.ways.star, "space");
        self.screen.wait_for("the star", || {
            let project = Project::open_read_only(dir).unwrap();
            project.classes().iter().any(|class| class.rare)
        });
        program
    }

    /// Presses Tab until the ring is round this control, then the key.
    fn press(&self, control: Rect, key: &str) {
        let ring = control.left_center() - vec2(3.0, 0.0);
        let mut tabs = 0;
        while !within(Duration::from_millis(300), || {
            self.screen.shows(ring, DARK.focus)
        }) {
            if tabs == 60 {
                self.screen.fail(&format!("Tab does not lead to {control}"));
            }
            self.screen.key("Tab");
            tabs += 1;
        }
        self.screen.key(key);
    }

    /// The room with the canvas, an image in it that still needs a box.
    fn go_to_annotate(&self) {
        let corner = self.ways.canvas.min + vec2(6.0, 6.0);
        // The first key may come before the window listens.
        self.screen.wait_for("the canvas", || {
            self.screen.key("ctrl+2");
            within(Duration::from_secs(2), || {
                self.screen.shows(corner, DARK.canvas)
            })
        });
        pause();
    }

    /// Draws a box and leaves the button down.
    fn begin(&self, rect: BoundingBox) {
        let [x0, y0, x1, y1] = rect.xyxy();
        let at = |x: f64, y: f64| View::fit(SIZE, self.ways.canvas).to_screen([x, y]);
        self.screen.pointer(at(x0, y0), "mousedown 1");
        let half = at((x0 + x1) / 2.0, (y0 + y1) / 2.0);
        self.screen.pointer(half, "");
        self.screen.pointer(at(x1, y1), "");
    }

    fn let_go(&self) {
        assert!(self.screen.xdotool("mouseup 1"));
    }
}

/// All boxes of the project, as another process sees them.
fn boxes(dir: &Path) -> Vec<Annotation> {
    let project = Project::open_read_only(dir).unwrap();
    let images = project.images().iter();
    images
        .flat_map(|image| project.boxes(image.id).to_vec())
        .collect()
}

/// The n-th box, unlike all others.
fn rect(n: usize) -> BoundingBox {
    let [x, y] = [n % 7, n / 7].map(|place| 2.0 + 3.0 * place as f64);
    BoundingBox::new(x, y, x + 14.0 + (n % 5) as f64, y + 9.0 + (n % 3) as f64).unwrap()
}

/// What SQLite makes of the file and its log as the killed process left them, in a copy: looking must change nothing.
fn integrity(dir: &Path) -> String {
    let copy = tempfile::tempdir().unwrap();
    for file in ["project.sqlite", "project.sqlite-wal"] {
        if dir.join(file).exists() {
            std::fs::copy(dir.join(file), copy.path().join(file)).unwrap();
        }
    }
    let database = rusqlite::Connection::open(copy.path().join("project.sqlite")).unwrap();
    database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap()
}

/// From the clock, or given: a failure can be repeated.
fn seed() -> u64 {
    let given = std::env::var("CARE_KILL_SEED").ok();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    given.map_or(since.as_secs(), |seed| seed.parse().unwrap())
}

/// A box is finished once another process finds it in the project: from then on no kill may take it. One that the hand let go
/// of in the instant of the kill may be there or not, but whole; one that is still under the hand is not.
#[test]
fn ten_kills_while_boxes_are_drawn_lose_none_that_was_finished() {
    let Some(screen) = Screen::start() else {
        return;
    };
    let seed = seed();
    eprintln!("CARE_KILL_SEED={seed} repeats this");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let root = tempfile::tempdir().unwrap();
    let (folder, dir) = (pictures(root.path()), root.path().join("pictures.care"));
    let hand = Hand {
        screen,
        home: root.path().join("home"),
        ways: Ways::find(),
    };

    let mut finished: Vec<(ImageId, BoundingBox)> = Vec::new();
    let mut drawn = 0;
    let mut program = hand.import(&folder, &dir);
    for kill in 0..KILLS {
        hand.go_to_annotate();
        let mut gesture = Duration::ZERO;
        for _ in 0..BOXES / KILLS {
            let (rect, begun) = (rect(drawn), Instant::now());
            drawn += 1;
            hand.begin(rect);
            hand.let_go();
            let mut image = None;
            hand.screen.wait_for("the box on the disk", || {
                let found = boxes(&dir);
                image = found.iter().find(|it| it.rect == rect).map(|it| it.image);
                assert!(found.len() <= finished.len() + 1, "{found:?}, not {rect:?}");
                image.is_some()
            });
            let image = image.unwrap();
            finished.push((image, rect));
            hand.screen.key("Return");
            hand.screen.wait_for("the image marked as done", || {
                let project = Project::open_read_only(&dir).unwrap();
                project.review(None, image).state == ReviewState::Done
            });
            gesture = begun.elapsed();
        }

        // One more, and in the middle of it the end: by turns at any moment of it and where it is written.
        let last = rect(drawn);
        drawn += 1;
        let (let_go, lets_go) = mpsc::channel();
        let released = AtomicBool::new(false);
        let anywhere = random.random_range(Duration::ZERO..gesture);
        let after_release = random.random_range(Duration::ZERO..Duration::from_millis(50));
        let was_released = std::thread::scope(|scope| {
            scope.spawn(|| {
                hand.begin(last);
                released.store(true, Ordering::SeqCst);
                let_go.send(()).unwrap();
                hand.let_go();
                hand.screen.key("Return");
            });
            if kill % 2 == 0 {
                std::thread::sleep(anywhere);
            } else {
                lets_go.recv().unwrap();
                std::thread::sleep(after_release);
            }
            program.kill();
            released.load(Ordering::SeqCst)
        });

        assert_eq!(integrity(&dir), "ok", "kill {kill}");
        let found: Vec<_> = boxes(&dir).iter().map(|it| (it.image, it.rect)).collect();
        for it in &finished {
            assert!(found.contains(it), "kill {kill}: {it:?} is lost");
        }
        let others: Vec<_> = found.iter().filter(|it| !finished.contains(it)).collect();
        match others[..] {
            [] => {}
            [&(image, rect)] if was_released && rect == last => finished.push((image, rect)),
            _ => panic!("kill {kill}: nobody finished {others:?}"),
        }
        program = hand.screen.open(Some(&dir), &hand.home);
    }
    assert!(finished.len() >= BOXES);
    eprintln!("{} boxes of {drawn} were finished", finished.len());
    // The window takes the killed one's project, and goes on.
    hand.go_to_annotate();
    drop(program);

    let mut project = Project::open(&dir).expect("the lock of the killed process is gone");
    let all = boxes(&dir);
    assert_eq!(all.len(), finished.len());
    // The journal leads back to where there was nothing, and forth again.
    while project.undo().unwrap().is_some() {}
    assert!(boxes(&dir).is_empty());
    while project.redo().unwrap().is_some() {}
    assert_eq!(boxes(&dir), all);
    drop(project);
    assert_eq!(integrity(&dir), "ok");
}
