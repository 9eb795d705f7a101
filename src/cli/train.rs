//! `train`.

use anyhow::Result;
use care_data::Project;

use super::request::Train;
use super::{headless, output};

pub fn train(request: &Train) -> Result<()> {
    let mut project = Project::open(&request.project)?;
    let results = headless::run(&mut project, request.config.clone())?;
    if request.json {
        output::json(&results)
    } else {
        headless::print_table(&project, &results)
    }
}
