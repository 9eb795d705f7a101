//! `train`.

use anyhow::Result;
use care_data::Project;
use care_learn::RunConfig;

use super::request::{Train, with_settings};
use super::{headless, output};
use crate::training::{first_config, first_learning_rate};
use crate::weight_store::with_path_of_weights;

pub fn train(request: &Train) -> Result<()> {
    if request.dry_run {
        let project = Project::open_read_only(&request.project)?;
        let config = config(request, first_config(&project))?;
        output::line(config.explained()?.trim_end())?;
        return headless::look_ahead(&project, &with_path_of_weights(config)?, output::note);
    }
    let mut project = Project::open(&request.project)?;
    let results = match request.resume {
        Some(run) => headless::resume(&mut project, run)?,
        None => {
            let config = config(request, first_config(&project))?;
            headless::run(&mut project, config)?
        }
    };
    if request.json {
        output::json(&results)
    } else {
        headless::print_table(&project, &results)
    }
}

/// What was asked for, on top of the settings that the project's first run is offered with in the window too.
fn config(request: &Train, first: RunConfig) -> Result<RunConfig> {
    if let Some(config) = &request.config {
        return with_settings(config.clone(), &request.set);
    }
    let pretrained = request.set.iter().any(|set| names(set, "weights"));
    let first = RunConfig {
        learning_rate: if pretrained {
            first_learning_rate(true)
        } else {
            first.learning_rate
        },
        ..first
    };
    with_settings(first, &request.set)
}

fn names(set: &str, setting: &str) -> bool {
    set.split_once('=')
        .is_some_and(|(name, _)| name.trim() == setting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_goes_with_the_weights() {
        let [scratch, pretrained] = [false, true].map(first_learning_rate);
        for (set, expected) in [
            (&["alpha=0.3"][..], scratch),
            (&["weights=resnet18.pth"], pretrained),
            (&["learning_rate=0.01", "weights=a.pth"], 0.01),
        ] {
            let request = Train {
                project: "p.care".into(),
                resume: None,
                config: None,
                set: set.iter().map(ToString::to_string).collect(),
                dry_run: false,
                json: false,
            };
            let first = RunConfig {
                learning_rate: scratch,
                ..RunConfig::default()
            };
            let config = config(&request, first).unwrap();
            assert_eq!(config.learning_rate, expected, "{set:?}");
        }
    }
}
