//! Opens the window, or says in one line why it cannot.

use anyhow::{Result, bail};
use care_data::synthetic::Demo;

use crate::app::App;
use crate::command::Command;
use crate::settings::Settings;
use crate::ui::tokens;

/// What the window shows first.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    Page,
    Project(std::path::PathBuf),
    /// A demo that shows itself.
    Story(Demo),
}

/// Runs the window until it is closed.
///
/// # Errors
/// Where there is no display or the graphics driver cannot be used.
pub fn run(start: Start, device: String) -> Result<()> {
    if !has_display() {
        bail!(
            "There is no display to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set). \
             Without one: care demo --headless, or care train PROJECT."
        );
    }
    let icon =
        eframe::icon_data::from_png_bytes(include_bytes!("../assets/icon.png")).unwrap_or_default();
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("CARE Studio")
            .with_app_id("care-studio")
            .with_icon(icon)
            .with_inner_size(tokens::size::WINDOW)
            .with_min_inner_size(tokens::size::WINDOW_MIN),
        #[cfg(target_os = "linux")]
        event_loop_builder: Some(Box::new(|builder| {
            use winit::platform::x11::EventLoopBuilderExtX11 as _;
            // On Wayland winit takes no dropped folders; through XWayland, which every desktop has, it does.
            if is_set("DISPLAY") {
                builder.with_x11();
            }
        })),
        ..Default::default()
    };
    let result = eframe::run_native(
        "CARE Studio",
        options,
        Box::new(move |creation| {
            let mut app = App::new(&creation.egui_ctx, Settings::load(), device);
            match start {
                Start::Page => {}
                Start::Project(dir) => app.commands().send(Command::OpenProject(dir)),
                Start::Story(demo) => app.commands().send(Command::PlayStory(demo)),
            }
            Ok(Box::new(app))
        }),
    );
    // The cause is in the error's own words: a driver, a display server that went away.
    result.map_err(|error| {
        anyhow::anyhow!("The window cannot be opened: {error}. Without one: care demo --headless.")
    })
}

/// Whether there is anything to open a window on.
#[must_use]
pub fn has_display() -> bool {
    !cfg!(target_os = "linux") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}
