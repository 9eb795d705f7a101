//! `evaluate`: a run's models on the project as it is now, or any weights on any images.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, ensure};
use care_data::import;
use care_data::{ClassId, ImageId, Look, NotRead, Part, Project, RunId, RunState};
use care_learn::evaluation::{Seen, look_at};
use care_learn::event::ImageAttention;
use care_learn::metrics::{IOU_THRESHOLD, McNemar, Summary, argmax, rare_difference, summarise};
use care_learn::run_folder::{RunData, RunFolder};
use care_learn::task::{Sample, samples_of};
use care_learn::{ModelRole, RunConfig};
use serde::Serialize;

use super::measures;
use super::output::{self, Progress};
use super::request::{Evaluate, EvaluateWeights, Subject};
use crate::dispatch::figures;
use crate::format;
use crate::weight_store::{short_name, with_path_of_weights};

/// Everything that is needed to measure, before any weights are opened.
struct Exam {
    config: RunConfig,
    /// In the models' order, and whether each is rare.
    classes: Vec<(String, bool)>,
    look: Look,
    samples: Vec<Sample>,
    /// What each model is called, and its weights.
    models: Vec<(String, PathBuf)>,
    not_read: Vec<NotRead>,
}

pub fn evaluate(request: &Evaluate) -> Result<()> {
    let Exam {
        config,
        classes,
        look,
        samples,
        models,
        mut not_read,
    } = match &request.subject {
        Subject::Run { project, run } => of_run(&Project::open_read_only(project)?, *run)?,
        Subject::Weights(weights) => of_weights(weights)?,
    };
    let progress = Progress::new();
    let paths: Vec<PathBuf> = models.iter().map(|(_, path)| path.clone()).collect();
    let seen = look_at(
        &config,
        classes.len(),
        &paths,
        &look,
        &samples,
        |done, total| {
            let text = format!("testing: {done} of {total} images");
            progress.show(done as u64, total as u64, &text);
        },
    )?;
    drop(progress);
    not_read.extend(seen.not_read.iter().cloned());
    for file in &not_read {
        output::note(&format!("left out: {}", format::not_read(file)));
    }
    ensure!(
        !seen.readable.is_empty(),
        "none of the images could be read"
    );

    let labels: Vec<usize> = seen.readable.iter().map(|i| samples[*i].label).collect();
    let rare: Vec<bool> = classes.iter().map(|(_, rare)| *rare).collect();
    let summaries: Vec<Summary> = seen
        .by_model
        .iter()
        .map(|images| summarise(&labels, images, &rare, config.seed))
        .collect();
    let seen_by = |role: ModelRole| {
        let model = models.iter().position(|(name, _)| name == role.name())?;
        Some(&seen.by_model[model])
    };
    let difference = seen_by(ModelRole::Control)
        .zip(seen_by(ModelRole::Care))
        .and_then(|(control, care)| rare_difference(&labels, control, care, &rare));
    if request.json {
        let report = Report {
            input_size: config.input_size,
            classes: classes
                .iter()
                .map(|(name, rare)| Class { name, rare: *rare })
                .collect(),
            iou_threshold: IOU_THRESHOLD,
            models: models
                .iter()
                .zip(&summaries)
                .map(|((name, weights), measures)| Model {
                    name,
                    weights: weights.display().to_string(),
                    measures,
                })
                .collect(),
            rare_difference: difference,
            images: scored(&classes, &samples, &models, &seen),
            not_read: not_read.iter().map(format::not_read).collect(),
        };
        return output::json(&report);
    }
    let names: Vec<&str> = models.iter().map(|(name, _)| name.as_str()).collect();
    let classes: Vec<&str> = classes.iter().map(|(name, _)| name.as_str()).collect();
    let metrics: Vec<_> = names
        .iter()
        .zip(&summaries)
        .flat_map(|(name, summary)| figures(name, &classes, summary))
        .collect();
    let header = format!("on {}", format::plural(labels.len(), "image", "images"));
    measures::table(&header, &names, &metrics)?;
    difference.map_or(Ok(()), measures::difference)
}

fn of_run(project: &Project, id: RunId) -> Result<Exam> {
    let run = project.runs().iter().find(|run| run.id == id);
    let run = run.with_context(|| format!("{} has no run {id}", project.dir().display()))?;
    ensure!(
        run.state != RunState::Running,
        "run {id} is being trained, or was cut off while it was; it can be measured when it has ended, \
         or the project was opened again"
    );
    let folder = RunFolder::open(&project.run_dir(id))?;
    let models: Vec<(String, PathBuf)> = ModelRole::ALL
        .into_iter()
        .map(|role| (role.name().to_owned(), folder.weights(role)))
        .filter(|(_, path)| path.is_file())
        .collect();
    ensure!(
        !models.is_empty(),
        "run {id} has no weights: it ended before the first were saved"
    );
    // As the models know them; names and marks are today's.
    let RunData { classes, look, .. } = folder.data()?;
    let mut samples = samples_of(project, &classes);
    samples.retain(|sample| sample.part == Part::Test);
    ensure!(!samples.is_empty(), "the test part has no images");
    let known: BTreeSet<ClassId> = classes.iter().map(|class| class.id).collect();
    for class in project.classes() {
        let images = project.images().iter();
        let unknown = images
            .filter(|i| i.part == Part::Test && i.class == class.id && !known.contains(&i.class))
            .count();
        if unknown > 0 {
            output::note(&format!(
                "left out: {} of {}, a class that came after run {id}",
                format::plural(unknown, "test image", "test images"),
                class.name
            ));
        }
    }
    Ok(Exam {
        config: folder.config()?,
        classes: classes
            .into_iter()
            .map(
                |then| match project.classes().iter().find(|c| c.id == then.id) {
                    Some(now) => (now.name.clone(), now.rare),
                    None => (then.name, then.rare),
                },
            )
            .collect(),
        look,
        samples,
        models,
        not_read: Vec::new(),
    })
}

fn of_weights(request: &EvaluateWeights) -> Result<Exam> {
    let config = with_path_of_weights(request.config.clone())?;
    let weights = config.weights.clone().context("no weights were named")?;
    let progress = Progress::new();
    let show = |done: usize, total: usize| {
        let text = format!("reading {done} of {total}");
        progress.show(done as u64, total as u64, &text);
    };
    let found = import::read_listed(
        &request.images,
        &request.boxes,
        &show,
        &AtomicBool::new(false),
    )?;
    drop(progress);
    let there: BTreeSet<&str> = found.images.iter().map(|i| i.class.as_str()).collect();
    let classes = match &request.classes {
        Some(classes) => classes.clone(),
        None => {
            let classes: Vec<String> = there.iter().map(ToString::to_string).collect();
            output::note(&format!(
                "the model's classes are taken to be, in this order: {} (--classes says otherwise)",
                classes.join(", ")
            ));
            classes
        }
    };
    let label_of = |class: &str| {
        classes.iter().position(|c| c == class).with_context(|| {
            format!(
                "there is no class \"{class}\" among the model's, which are {}",
                classes.join(", ")
            )
        })
    };
    for class in there
        .into_iter()
        .chain(request.rare.iter().map(String::as_str))
    {
        label_of(class)?;
    }
    let samples = found
        .images
        .into_iter()
        .enumerate()
        .map(|(i, image)| {
            Ok(Sample {
                image: ImageId(i as i64),
                label: label_of(&image.class)?,
                path: image.path,
                size: image.size,
                part: Part::Test,
                boxes: image.boxes,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Exam {
        config,
        classes: classes
            .into_iter()
            .map(|name| {
                let rare = request.rare.contains(&name);
                (name, rare)
            })
            .collect(),
        look: Look::default(),
        samples,
        models: vec![(short_name(&weights), weights)],
        not_read: found.not_read,
    })
}

#[derive(Serialize)]
struct Report<'a> {
    input_size: u32,
    /// In the order of recalls, precisions and so on, and of the confusion's rows and columns.
    classes: Vec<Class<'a>>,
    /// The least F that counts as attended for the IoU.
    iou_threshold: f64,
    models: Vec<Model<'a>>,
    rare_difference: Option<McNemar>,
    images: Vec<ScoredImage<'a>>,
    not_read: Vec<String>,
}

#[derive(Serialize)]
struct Class<'a> {
    name: &'a str,
    rare: bool,
}

#[derive(Serialize)]
struct Model<'a> {
    name: &'a str,
    weights: String,
    measures: &'a Summary,
}

#[derive(Serialize)]
struct ScoredImage<'a> {
    path: String,
    class: &'a str,
    boxes: usize,
    /// By the model's name.
    scores: BTreeMap<&'a str, Scores<'a>>,
}

#[derive(Serialize)]
struct Scores<'a> {
    predicted: &'a str,
    right: bool,
    /// Of the image's own class, as is the attention that is scored.
    probability: f32,
    energy: Option<f32>,
    hit: Option<bool>,
    iou: Option<f32>,
}

fn scored<'a>(
    classes: &'a [(String, bool)],
    samples: &'a [Sample],
    models: &'a [(String, PathBuf)],
    seen: &Seen,
) -> Vec<ScoredImage<'a>> {
    let scores = |label: usize, image: &ImageAttention| {
        let predicted = argmax(&image.probabilities);
        Scores {
            predicted: &classes[predicted].0,
            right: predicted == label,
            probability: image.probabilities[label],
            energy: image.energy,
            hit: image.hit,
            iou: image.iou,
        }
    };
    let images = seen.readable.iter().map(|i| &samples[*i]).enumerate();
    images
        .map(|(i, sample)| ScoredImage {
            path: sample.path.display().to_string(),
            class: &classes[sample.label].0,
            boxes: sample.boxes.len(),
            scores: models
                .iter()
                .zip(&seen.by_model)
                .map(|((name, _), images)| (name.as_str(), scores(sample.label, &images[i])))
                .collect(),
        })
        .collect()
}
