//! `doctor`: what this machine has, and what to do about what is missing.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use care_learn::device::{self, CudaStatus};
use serde::Serialize;

use super::output;
use crate::{format, window};

#[derive(Serialize)]
struct Report {
    version: &'static str,
    device: String,
    libtorch: String,
    libtorch_path: String,
    cuda: String,
    graphics: String,
    free_memory_mib: Option<u64>,
    /// What to do, a line each.
    to_do: Vec<String>,
}

/// What a run trains on, as the window shows it.
#[must_use]
pub fn device_name() -> String {
    match device::load_cuda() {
        CudaStatus::Ready { .. } => "GPU".to_owned(),
        _ => "CPU".to_owned(),
    }
}

pub fn doctor(as_json: bool) -> Result<()> {
    let torch = device::torch_info();
    let mut to_do: Vec<String> = torch.cuda.remedy().into_iter().collect();
    let graphics = graphics_adapter().unwrap_or_else(|(why, advice)| {
        to_do.push(advice);
        why
    });
    let free_memory_mib = device::available_memory().map(|bytes| bytes >> 20);
    if free_memory_mib.is_some_and(|mib| mib < 2048) {
        to_do.push("Close other programs: training wants 2 GiB of free memory.".to_owned());
    }
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        device: device_name(),
        libtorch: torch.version,
        libtorch_path: torch.library.display().to_string(),
        cuda: torch.cuda.to_string(),
        graphics,
        free_memory_mib,
        to_do,
    };
    if as_json {
        return output::json(&report);
    }
    let memory = report.free_memory_mib.map_or("unknown".to_owned(), |mib| {
        format!(
            "{} MiB free",
            format::count(usize::try_from(mib).unwrap_or(usize::MAX))
        )
    });
    for (name, value) in [
        ("CARE Studio", report.version),
        ("device", &report.device),
        (
            "libtorch",
            &format!("{}, {}", report.libtorch, report.libtorch_path),
        ),
        ("CUDA", &report.cuda),
        ("graphics", &report.graphics),
        ("memory", &memory),
    ] {
        output::line(&format!("{name:<12} {value}"))?;
    }
    for advice in &report.to_do {
        output::line(&format!("to do        {advice}"))?;
    }
    Ok(())
}

/// The OpenGL renderer that the window would use; or why there is none, and what to do.
fn graphics_adapter() -> Result<String, (String, String)> {
    if !window::has_display() {
        return Err((
            "no display".to_owned(),
            "For the window, start from a desktop; without one: care demo --headless, care train."
                .to_owned(),
        ));
    }
    let found = Arc::new(Mutex::new(None));
    let into = Arc::clone(&found);
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default().with_visible(false),
        ..Default::default()
    };
    // The window is given up as soon as the driver has said its name.
    let result = eframe::run_native(
        "CARE Studio",
        options,
        Box::new(move |creation| {
            *into.lock().unwrap_or_else(PoisonError::into_inner) =
                creation.gl.as_deref().map(window::renderer);
            Err("only looking".into())
        }),
    );
    let name = found.lock().unwrap_or_else(PoisonError::into_inner).take();
    name.ok_or_else(|| {
        let why = result.err().map_or_else(|| "no OpenGL".to_owned(), |error| error.to_string());
        (why, "Install the graphics driver, or Mesa's software one: cargo xtask setup names the packages.".to_owned())
    })
}
