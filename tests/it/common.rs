//! What the window's tests share: a tiny project, and the real window round it.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use care_data::import::{self, Options};
use care_data::{Edit, Project};
use care_studio::app::App;
use care_studio::command::Command;
use care_studio::settings::Settings;
use egui::TexturesDelta;
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
    build(Harness::builder(), project)
}

/// As [`window`], of a builder that says more.
pub fn build(builder: HarnessBuilder<App>, project: Option<&Path>) -> Harness<'static, App> {
    let ctx = egui::Context::default();
    let app = App::new(&ctx, Settings::default(), "CPU".to_owned());
    let mut window = builder
        .with_size([1440.0, 900.0])
        .renderer(NoGraphics)
        .with_context_setup(care_studio::ui::tokens::install)
        .build_ui_state(
            |ui, app: &mut App| {
                let ctx = ui.ctx().clone();
                app.update(&ctx);
                app.draw(ui);
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
