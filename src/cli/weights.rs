//! `weights list`, `get`, `add`.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use care_learn::RunConfig;
use care_learn::weights::WeightFile;
use serde::Serialize;

use super::output::{self, Progress, line};
use crate::download;
use crate::weight_store::{PUBLISHED, Published, WeightStore, short_name};

#[derive(Serialize)]
struct Listed {
    folder: String,
    weights: Vec<Row>,
    /// What torchvision publishes and the folder has not.
    to_get: Vec<ToGet>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    file: String,
    bytes: u64,
    backbone: Option<&'static str>,
    /// None where the classifier layer will be new.
    classes: Option<usize>,
    /// Why it cannot be used.
    problem: Option<String>,
}

#[derive(Serialize)]
struct ToGet {
    name: &'static str,
    file: &'static str,
    megabytes: u32,
}

pub fn list(as_json: bool) -> Result<()> {
    let store = WeightStore::of_user();
    let files = store
        .files()
        .with_context(|| format!("{} cannot be read", store.dir().display()))?;
    let weights: Vec<Row> = files.iter().map(|file| row(file)).collect();
    let to_get = PUBLISHED
        .iter()
        .filter(|published| weights.iter().all(|row| row.file != published.file))
        .map(|published| ToGet {
            name: published.backbone.name(),
            file: published.file,
            megabytes: published.megabytes,
        })
        .collect();
    let listed = Listed {
        folder: store.dir().display().to_string(),
        weights,
        to_get,
    };
    if as_json {
        return output::json(&listed);
    }
    if listed.weights.is_empty() {
        line(&format!("no weights yet in {}", listed.folder))?;
    } else {
        let rows: Vec<Vec<String>> = listed.weights.iter().map(Row::cells).collect();
        output::table(&["weights", "file", "size", "backbone", "classes"], &rows)?;
        line(&format!("in {}", listed.folder))?;
    }
    for row in &listed.weights {
        if let Some(problem) = &row.problem {
            output::note(&format!("note: {problem}"));
        }
    }
    let names: Vec<String> = listed
        .to_get
        .iter()
        .map(|to_get| format!("{} ({} MB)", to_get.name, to_get.megabytes))
        .collect();
    if !names.is_empty() {
        line(&format!(
            "care weights get NAME fetches torchvision's: {}",
            names.join(", ")
        ))?;
    }
    Ok(())
}

fn row(file: &Path) -> Row {
    let opened = WeightFile::open(file);
    let network = opened.as_ref().ok().and_then(WeightFile::network);
    let problem = match &opened {
        Err(error) => Some(error.to_string()),
        Ok(_) if network.is_none() => Some(format!("{} fits no network", file.display())),
        Ok(_) => None,
    };
    Row {
        name: short_name(file),
        file: file
            .file_name()
            .map_or(String::new(), |name| name.to_string_lossy().into_owned()),
        bytes: file.metadata().map_or(0, |metadata| metadata.len()),
        backbone: network.map(|(kind, _)| kind.name()),
        classes: network.and_then(|(_, classes)| classes),
        problem,
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let classes = match (self.backbone, self.classes) {
            (_, Some(classes)) => classes.to_string(),
            (Some(_), None) => "features only".to_owned(),
            (None, None) => String::new(),
        };
        vec![
            self.name.clone(),
            self.file.clone(),
            format!("{:.0} MB", self.bytes as f64 / 1e6),
            self.backbone.unwrap_or("\u{2013}").to_owned(),
            classes,
        ]
    }
}

pub fn get(wanted: &Published) -> Result<()> {
    let store = WeightStore::of_user();
    let into = store.dir().join(wanted.file);
    if into.exists() {
        ensure!(
            download::has_hash(&into, wanted.sha256())?,
            "{} is damaged: remove it and try again",
            into.display()
        );
    } else {
        let progress = Progress::new();
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let show = |done, total: Option<u64>| {
            let total = total.unwrap_or(u64::from(wanted.megabytes) * 1_000_000);
            let text = format!(
                "fetching {}: {:.1} of {:.1} MB",
                wanted.file,
                megabytes(done),
                megabytes(total)
            );
            progress.show(done, total, &text);
        };
        let url = wanted.url();
        download::fetch(&download::agent(), &url, wanted.sha256(), &into, &show).with_context(
            || {
                format!(
                    "{} could not be fetched; without a network, bring {url} and put it into {}",
                    wanted.file,
                    store.dir().display()
                )
            },
        )?;
    }
    say_how_to_use(&into)
}

pub fn add(file: &Path) -> Result<()> {
    say_how_to_use(&WeightStore::of_user().add(file)?)
}

fn say_how_to_use(file: &Path) -> Result<()> {
    let (kind, _) = WeightFile::open(file)?
        .network()
        .with_context(|| format!("{} fits no network", file.display()))?;
    let input_size = match kind.usual_input() {
        usual if usual != RunConfig::default().input_size => format!(" --set input_size={usual}"),
        _ => String::new(),
    };
    line(&format!(
        "{} is ready. Use it: care train PROJECT --set backbone={}{input_size} --set weights={}",
        file.display(),
        kind.name(),
        short_name(file)
    ))
}
