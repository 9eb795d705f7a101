//! Opens the window, or says in one line why it cannot.

use std::time::Duration;

use anyhow::{Result, bail};
use care_data::synthetic::Demo;

use crate::app::App;
use crate::command::Command;
use crate::settings::Settings;
use crate::ui::tokens;

/// Between frames that a run in training asks for, where software draws.
const SOFTWARE_REST: Duration = Duration::from_millis(300);

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
            let renderer = creation.gl.as_deref().map(renderer);
            if renderer.is_some_and(|renderer| is_software(&renderer)) {
                app.state.rest = SOFTWARE_REST;
            }
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

/// The OpenGL renderer with its version, in the driver's words.
#[expect(
    unsafe_code,
    reason = "glow marks every OpenGL call as unsafe; the context is current while eframe creates the app"
)]
pub(crate) fn renderer(gl: &eframe::glow::Context) -> String {
    use eframe::glow::{HasContext as _, RENDERER, VERSION};
    // SAFETY: both are plain queries that any current context answers.
    unsafe {
        format!(
            "{}, OpenGL {}",
            gl.get_parameter_string(RENDERER),
            gl.get_parameter_string(VERSION)
        )
    }
}

/// Whether the processor draws, as in a virtual machine or on a remote desktop. Every frame is then taken from the training.
fn is_software(renderer: &str) -> bool {
    // Mesa's three, Google's, Microsoft's two, Apple's.
    let software = [
        "llvmpipe",
        "softpipe",
        "software rasterizer",
        "swiftshader",
        "gdi generic",
        "basic render",
        "apple software renderer",
    ];
    let renderer = renderer.to_lowercase();
    software.iter().any(|name| renderer.contains(name))
}

/// Whether there is anything to open a window on.
#[must_use]
pub fn has_display() -> bool {
    !cfg!(target_os = "linux") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_draws() {
        for software in [
            "llvmpipe (LLVM 15.0.7, 256 bits)",
            "Google SwiftShader",
            "GDI Generic",
            "D3D12 (Microsoft Basic Render Driver)",
        ] {
            assert!(is_software(software), "{software}");
        }
        for card in [
            "NVIDIA GeForce RTX 4070/PCIe/SSE2",
            "Mesa Intel(R) UHD Graphics",
            "Apple M2",
        ] {
            assert!(!is_software(card), "{card}");
        }
    }
}
