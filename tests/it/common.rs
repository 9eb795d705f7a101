//! What the window's tests share: a tiny project, and the real window round it.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use care_data::import::{self, Options};
use care_data::{Edit, Project};
use care_studio::app::App;
use care_studio::command::Command;
use care_studio::settings::Settings;
use egui::{Event, Key, Modifiers, TexturesDelta, UiBuilder};
use egui_kittest::kittest::{NodeT, Queryable};
use egui_kittest::{Harness, HarnessBuilder, TestRenderer};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// A folder of small pictures: 20 of the class "common", 6 of the class "scarce", and a file that is no image.
pub fn tiny_folder(root: &Path) -> PathBuf {
    let folder = root.join("tiny");
    for (class, n) in [("common", 20_u8), ("scarce", 6)] {
        let dir = folder.join(class);
        std::fs::create_dir_all(&dir).unwrap();
        for i in 0..n {
            // Of their own colours each: twins would be taken for one image.
            let picture =
                RgbImage::from_fn(48, 32, |x, y| Rgb([i * 8 + n, x as u8 * 5, y as u8 * 7]));
            picture
                .save(dir.join(format!("{class}_{i:02}.png")))
                .unwrap();
        }
    }
    std::fs::write(folder.join("common").join("notes.png"), "no picture").unwrap();
    folder
}

/// A project of [`tiny_folder`] in its own temporary folder; closed. The class "scarce" is marked as rare where asked.
pub fn tiny_project(rare: bool) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let folder = tiny_folder(root.path());
    let stop = AtomicBool::new(false);
    let found = import::read(&folder, &Options::default(), &|_, _| {}, &stop).unwrap();
    let dir = root.path().join("tiny.care");
    let mut project = Project::create(&dir).unwrap();
    project.take_in(found).unwrap();
    if rare {
        let class = project
            .classes()
            .iter()
            .find(|class| class.name == "scarce");
        let class = class.unwrap().id;
        project.apply(Edit::SetRare { class, rare: true }).unwrap();
    }
    (root, dir)
}

/// Lets go of pictures where otherwise they would be kept for a graphics card that never comes.
struct NoGraphics;

impl TestRenderer for NoGraphics {
    fn handle_delta(&mut self, delta: &mut TexturesDelta) {
        delta.clear();
    }
}

/// The window at 1440 x 900, on the start page or with a project. It knows no recent projects and remembers none.
pub fn window(project: Option<&Path>) -> Harness<'static, App> {
    let builder = Harness::builder().with_size([1440.0, 900.0]);
    build(builder.renderer(NoGraphics), project)
}

/// As [`window`], of a builder that says how large and who draws.
pub fn build(builder: HarnessBuilder<App>, project: Option<&Path>) -> Harness<'static, App> {
    let ctx = egui::Context::default();
    let app = App::new(&ctx, Settings::default(), "CPU".to_owned());
    let mut window = builder
        .with_context_setup(care_studio::ui::tokens::install)
        .build_ui_state(
            |ui, app: &mut App| {
                let ctx = ui.ctx().clone();
                app.update(&ctx);
                // The harness leaves a margin, the real window none.
                let whole = UiBuilder::new().max_rect(ctx.content_rect());
                app.draw(&mut ui.new_child(whole));
            },
            app,
        );
    if let Some(dir) = project {
        let open = Command::OpenProject(dir.to_owned());
        window.state_mut().commands().send(open);
    }
    settle(&mut window);
    window
}

/// A few frames. Not until nothing moves: a window whose pictures are still being decoded never stands still.
pub fn settle(window: &mut Harness<'_, App>) {
    window.run_steps(4);
}

/// Frames until something has happened.
pub fn wait_for(window: &mut Harness<'_, App>, what: &str, happened: impl Fn(&App) -> bool) {
    let begun = Instant::now();
    while !happened(window.state()) {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "waited in vain: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
        window.step();
    }
    settle(window);
}

/// Presses Tab until this has the keyboard's focus. How often.
pub fn tabs_to(window: &mut Harness<'_, App>, label: &str) -> usize {
    for pressed in 0..200 {
        let mut named = window.query_all_by_label(label);
        if named.any(|node| node.accesskit_node().is_focused()) {
            return pressed;
        }
        drop(named);
        window.key_press(Key::Tab);
        settle(window);
    }
    panic!("Tab does not lead to {label}");
}

pub fn type_text(window: &mut Harness<'_, App>, text: &str) {
    window.event(Event::Text(text.to_owned()));
    settle(window);
}

/// As a panel would ask for it.
pub fn send(window: &mut Harness<'_, App>, command: Command) {
    window.state_mut().commands().send(command);
    settle(window);
}

pub fn press(window: &mut Harness<'_, App>, modifiers: Modifiers, key: Key) {
    window.key_press_modifiers(modifiers, key);
    settle(window);
}

/// Without Ctrl, Shift and their like.
pub fn key(window: &mut Harness<'_, App>, key: Key) {
    press(window, Modifiers::NONE, key);
}
