//! `demo --headless`: the whole story in numbers, in a folder that is gone afterwards.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context as _, Result};
use care_data::synthetic::{self, Demo};
use care_learn::{ModelRole, RunConfig};
use serde::Serialize;

use super::headless;
use super::output::{self, Progress};

#[derive(Serialize)]
struct Report {
    demo: &'static str,
    seed: u64,
    /// From the first synthetic image to the last number.
    seconds: f32,
    stage1: Option<Measures>,
    control: Option<Measures>,
    care: Option<Measures>,
}

#[derive(Serialize)]
struct Measures {
    rare_recall: Option<f64>,
    mca: Option<f64>,
    energy_in_box: Option<f64>,
    pointing_hit: Option<f64>,
}

pub fn headless(demo: Demo, config: RunConfig, as_json: bool) -> Result<()> {
    let seed = config.seed;
    let start = Instant::now();
    let folder = tempfile::Builder::new()
        .prefix("care-demo-")
        .tempdir()
        .context("no temporary folder")?;
    let progress = Progress::new();
    let show = |done: usize, total: usize| {
        let text = format!("making synthetic images {done} of {total}");
        progress.show(done as u64, total as u64, &text);
    };
    let import = synthetic::generate(
        demo,
        &folder.path().join("images"),
        seed,
        &show,
        &AtomicBool::new(false),
    )?;
    drop(progress);
    let mut project = crate::demo::create(demo, &folder.path().join("demo.care"), import, 0)?;
    let results = headless::run(&mut project, config)?;
    if !as_json {
        return headless::print_table(&project, &results);
    }
    let measures = |role| {
        results.summary(role).map(|summary| Measures {
            rare_recall: summary.rare_recall.map(|e| e.value),
            mca: summary.mca.map(|e| e.value),
            energy_in_box: summary.energy.map(|e| e.value),
            pointing_hit: summary.pointing_hit.map(|e| e.value),
        })
    };
    output::json(&Report {
        demo: demo.name(),
        seed,
        seconds: start.elapsed().as_secs_f32(),
        stage1: measures(ModelRole::Before),
        control: measures(ModelRole::Control),
        care: measures(ModelRole::Care),
    })
}
