//! `train`.

use anyhow::Result;
use care_data::Project;

use super::request::{Train, with_settings};
use super::{headless, output};
use crate::training::first_config;

pub fn train(request: &Train) -> Result<()> {
    let mut project = Project::open(&request.project)?;
    let config = request
        .config
        .clone()
        .unwrap_or_else(|| first_config(&project));
    let results = headless::run(&mut project, with_settings(config, &request.set)?)?;
    if request.json {
        output::json(&results)
    } else {
        headless::print_table(&project, &results)
    }
}
