//! Runs: begun, followed, stopped, shown, and recorded in the project.

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow, ensure};
use care_data::project::ProjectError;
use care_data::{ImageId, Metric, Part, Project, RunId, RunState};
use care_learn::event::Results;
use care_learn::metrics::{Estimate, IOU_THRESHOLD, Summary};
use care_learn::run_folder::RunFolder;
use care_learn::task::{pick_watch_list, preflight};
use care_learn::trainer::check_resume;
use care_learn::worker::Worker;
use care_learn::{Outcome, Task, TrainerCommand, TrainerEvent};

use crate::format;
use crate::state::{Problem, State};
use crate::training::{Phase, TrainingRun};
use crate::weight_store::with_path_of_weights;

/// Held-out images in the film, where they are picked.
pub const WATCHED: usize = 8;
/// And where they are chosen.
pub const MOST_WATCHED: usize = 12;
/// What [`Action::MoreEpochs`](crate::command::Action::MoreEpochs) says.
pub(super) const MORE_EPOCHS: u32 = 5;

/// The images that the next run shows in its film: those chosen, as far as they are there, else picked, spread by what `run` made
/// of the test part.
#[must_use]
pub fn watch_list(
    project: &Project,
    run: Option<&TrainingRun>,
    chosen: Option<&[ImageId]>,
) -> Vec<ImageId> {
    let is_held_out = |id: &&ImageId| {
        let image = project.image(**id);
        image.is_some_and(|image| image.part != Part::Train)
    };
    let chosen: Vec<ImageId> = chosen
        .unwrap_or_default()
        .iter()
        .filter(is_held_out)
        .copied()
        .collect();
    if !chosen.is_empty() {
        return chosen;
    }
    let ease = run.map(|run| run.ease(project)).unwrap_or_default();
    pick_watch_list(project, WATCHED, |image| ease.get(&image).copied())
}

pub(super) fn set_watch(images: Option<Vec<ImageId>>, state: &mut State) {
    let Some(project) = &state.project else {
        return;
    };
    let mut seen = BTreeSet::new();
    let mut images = images.unwrap_or_default();
    images.retain(|image| seen.insert(*image));
    images.truncate(MOST_WATCHED);
    state.watch = Some(images).filter(|images| !images.is_empty());
    let chosen = state.watch.as_deref();
    state.settings.set_watch(project.dir(), chosen);
    if let (Some(worker), Some(run)) = (&state.worker, &mut state.run) {
        run.watch = watch_list(project, None, chosen);
        worker.send(TrainerCommand::Watch(run.watch.clone()));
    }
}

/// Puts the selected image into the film, or takes it out.
pub(super) fn watch_selected(state: &mut State) {
    let Some(project) = &state.project else {
        return;
    };
    let Some(image) = state.selected.and_then(|id| project.image(id)) else {
        state.last_event = "Select a held-out image to watch it in the film".to_owned();
        return;
    };
    let (id, name) = (image.id, image.name().to_owned());
    let is_training = state.is_training();
    let chosen = state.watch.as_deref();
    let mut images = match &state.run {
        Some(run) => run.shown_watch(project, chosen, is_training),
        None => watch_list(project, None, chosen),
    };
    state.last_event = if images == [id] {
        format!("{name} is the last one; the film shows one image at least")
    } else if images.contains(&id) {
        images.retain(|other| *other != id);
        format!("{name} is no longer watched")
    } else if image.part == Part::Train {
        format!("{name} is learned from; only held-out images are watched")
    } else if images.len() >= MOST_WATCHED {
        format!("{MOST_WATCHED} images are watched already; take one out of the film first")
    } else {
        images.push(id);
        format!("{name} is watched in the film")
    };
    if state.watch.as_ref() != Some(&images) {
        set_watch(Some(images), state);
    }
}

pub(super) fn draw_behind(id: Option<RunId>, state: &mut State) {
    state.behind = None;
    let (Some(id), Some(project)) = (id, &state.project) else {
        return;
    };
    let folder = RunFolder::open(&project.run_dir(id));
    match folder.and_then(|folder| TrainingRun::read_curves(id, &folder)) {
        Ok(run) => state.behind = Some(run),
        Err(error) => {
            state.problem = Some(Problem::new(format!("Run {id} cannot be drawn"), error));
        }
    }
}

pub(super) fn tell(state: &mut State, command: TrainerCommand, phase: Phase) {
    let (Some(worker), Some(run)) = (&state.worker, &mut state.run) else {
        return;
    };
    let can = match phase {
        Phase::Paused => run.phase == Phase::Training,
        _ => matches!(run.phase, Phase::Paused | Phase::Held),
    };
    if can {
        worker.send(command);
        run.phase = phase;
    }
}

pub(super) fn train(state: &mut State, ctx: &egui::Context) {
    if state.is_training() {
        return;
    }
    let Some(project) = &mut state.project else {
        return;
    };
    let config = match with_path_of_weights(state.draft.clone()) {
        Ok(config) => config,
        Err(error) => {
            state.problem = Some(Problem::new("This run cannot start", format!("{error:#}.")));
            return;
        }
    };
    if let Some(problem) = preflight(project, &config)
        .into_iter()
        .find(|problem| problem.blocks())
    {
        state.problem = Some(Problem::new("This run cannot start", problem));
        return;
    }
    let watch = watch_list(project, state.run.as_ref(), state.watch.as_deref());
    let (id, folder) = match project.begin_run() {
        Ok(run) => run,
        Err(error) => {
            state.problem = Some(Problem::new("This run cannot start", error));
            return;
        }
    };
    let run = TrainingRun::new(id, config.clone(), watch.clone());
    let task = Task::from_project(project, config, folder, watch);
    start(run, task, state, ctx);
}

/// Has a run that was stopped, or failed, go on where it was.
pub(super) fn go_on(id: RunId, state: &mut State, ctx: &egui::Context) {
    let (false, Some(project)) = (state.is_training(), &mut state.project) else {
        return;
    };
    let begun = task_of_resumed(project, id).and_then(|task| {
        project.resume_run(id)?;
        Ok(task)
    });
    match begun {
        Ok(task) => {
            let mut run = TrainingRun::new(id, task.config.clone(), task.watch.clone());
            let changes = RunFolder::open(&task.folder).and_then(|folder| folder.changes());
            run.changes = changes.unwrap_or_default();
            run.live = run.live_at(Some(f32::INFINITY));
            // It tells them again.
            run.changes.clear();
            state.draft = run.config.clone();
            let live = run.live;
            start(run, task, state, ctx);
            if let Some(worker) = &state.worker {
                worker.send(TrainerCommand::Live(live));
            }
        }
        Err(error) => {
            let title = format!("Run {id} cannot go on");
            state.problem = Some(Problem::new(title, format!("{error:#}.")));
        }
    }
}

/// What a run that ended early is to do when it goes on, with the project as it stands now.
///
/// # Errors
/// Where there is no such run, it came to its end, left nothing to go on from, or the project is another now.
pub fn task_of_resumed(project: &Project, id: RunId) -> anyhow::Result<Task> {
    let run = project.run(id);
    let run = run.with_context(|| format!("{} has no run {id}", project.dir().display()))?;
    ensure!(
        run.state != RunState::Finished,
        "run {id} came to its end; begin another"
    );
    let dir = project.run_dir(id);
    let folder = RunFolder::open(&dir)?;
    ensure!(
        folder.can_go_on(),
        "run {id} left no checkpoint to go on from; begin another"
    );
    // One without a film watched nothing.
    let watch = folder.film().unwrap_or_default().watch;
    let task = Task {
        goes_on: true,
        ..Task::from_project(project, folder.config()?, dir, watch)
    };
    // Before its figures are gone.
    check_resume(&task).map_err(|why| anyhow!(why.trim_end_matches('.').to_owned()))?;
    Ok(task)
}

fn start(run: TrainingRun, task: Task, state: &mut State, ctx: &egui::Context) {
    let id = run.id;
    // The memory is the run's now, and its models will be newer.
    state.attention.leave();
    state.lens.leave();
    state.suggestion = None;
    let (wake, rest) = (ctx.clone(), state.rest);
    let task_goes_on = task.goes_on;
    match Worker::start(task, move || wake.request_repaint_after(rest)) {
        Ok(worker) => {
            worker.send(TrainerCommand::Refresh(state.settings.refresh));
            state.last_event = if task_goes_on {
                format!("Run {id} goes on")
            } else {
                format!("Run {id} started")
            };
            state.worker = Some(worker);
            state.other = None;
            state.run = Some(run);
        }
        Err(error) => end_run(id, &Outcome::Failed(error.to_string()), state),
    }
}

/// Takes in what the trainer reported. Once a frame.
pub fn drain_trainer(state: &mut State) {
    let Some(worker) = &state.worker else { return };
    let events: Vec<TrainerEvent> = worker.events().collect();
    for event in events {
        let ended = match &event {
            TrainerEvent::Ended(outcome) => Some(outcome.clone()),
            _ => None,
        };
        let Some(run) = &mut state.run else { return };
        run.take(event);
        if let Some(outcome) = ended {
            // What was sent after its last step was not learned with.
            run.live = run.live_at(Some(f32::INFINITY));
            let id = run.id;
            state.worker = None;
            end_run(id, &outcome, state);
        }
    }
}

fn end_run(id: RunId, outcome: &Outcome, state: &mut State) {
    if let (Some(project), Some(run)) = (&state.project, &mut state.run)
        && matches!(outcome, Outcome::Finished(_) | Outcome::Stopped(Some(_)))
        && let Err(error) =
            RunFolder::open(&project.run_dir(id)).and_then(|folder| run.read_results(&folder))
    {
        state.problem = Some(Problem::new(
            format!("The results of run {id} cannot be read"),
            error,
        ));
    }
    if let (Some(project), Some(run)) = (&state.project, &mut state.run) {
        let folder = RunFolder::open(&project.run_dir(id));
        run.can_go_on = !matches!(outcome, Outcome::Finished(_))
            && folder.is_ok_and(|folder| folder.can_go_on());
    }
    let Some(project) = &mut state.project else {
        return;
    };
    match record_end(project, id, outcome) {
        Ok(note) => {
            state.last_event = match outcome {
                Outcome::Failed(_) => format!("Run {id} failed"),
                _ => format!("Run {id} {note}"),
            };
        }
        Err(error) => {
            state.problem = Some(Problem::new(
                "The end of the run could not be recorded",
                error,
            ));
        }
    }
}

/// Writes into the project how a run ended, and returns it in words.
///
/// # Errors
/// Where the project cannot be written.
pub fn record_end(
    project: &mut Project,
    id: RunId,
    outcome: &Outcome,
) -> Result<String, ProjectError> {
    let (note, results) = match outcome {
        Outcome::Finished(results) => (
            format!("finished in {}", format::duration(results.seconds)),
            Some(results),
        ),
        Outcome::Stopped(results) => ("stopped".to_owned(), results.as_ref()),
        Outcome::Failed(why) => (why.clone(), None),
    };
    let metrics = results.map_or(Vec::new(), |results| metrics_of(project, results));
    project.end_run(id, outcome.state(), &note, &metrics)?;
    Ok(note)
}

/// The figures of a run as rows of the project's table of metrics.
#[must_use]
pub fn metrics_of(project: &Project, results: &Results) -> Vec<Metric> {
    let classes: Vec<&str> = project.classes().iter().map(|c| c.name.as_str()).collect();
    let models = results.summaries.iter();
    models
        .flat_map(|(role, summary)| figures(role.name(), &classes, summary))
        .collect()
}

/// The figures of one model. `classes` are in class order.
#[must_use]
pub fn figures(model: &str, classes: &[&str], summary: &Summary) -> Vec<Metric> {
    let of_classes = |measure: &str, estimates: &[Option<Estimate>]| -> Vec<_> {
        let named = classes.iter().zip(estimates);
        named
            .map(|(class, estimate)| (format!("{measure} {class}"), *estimate))
            .collect()
    };
    let iou = format!("IoU of F \u{2265} {IOU_THRESHOLD} with the boxes");
    let figures = [
        of_classes("recall", &summary.recalls),
        vec![
            ("rare recall".to_owned(), summary.rare_recall),
            ("mca".to_owned(), summary.mca),
        ],
        of_classes("precision", &summary.precisions),
        of_classes("F1", &summary.f1s),
        of_classes("AUROC", &summary.aurocs),
        vec![
            ("energy in the box".to_owned(), summary.energy),
            ("pointing hit".to_owned(), summary.pointing_hit),
            (iou.clone(), summary.iou),
            (
                "energy in the box, all classes".to_owned(),
                summary.energy_all,
            ),
            (
                "pointing hit, all classes".to_owned(),
                summary.pointing_hit_all,
            ),
            (iou + ", all classes", summary.iou_all),
        ],
    ];
    let defined = |(name, estimate): (String, Option<Estimate>)| {
        let estimate = estimate?;
        Some(Metric {
            model: model.to_owned(),
            name,
            value: estimate.value,
            n: u64::from(estimate.n),
            low: Some(estimate.low),
            high: Some(estimate.high),
        })
    };
    figures.into_iter().flatten().filter_map(defined).collect()
}

/// Leaves the run in training: it is stopped without being tested, its checkpoint is saved behind the window.
pub fn leave_run(state: &mut State) {
    let Some(worker) = state.worker.take() else {
        return;
    };
    if let Some(id) = state.run.as_ref().map(|run| run.id) {
        end_run(id, &Outcome::Stopped(None), state);
    }
    let dropped = std::thread::Builder::new()
        .name("leaving".into())
        .spawn(move || drop(worker));
    // Without a thread it was dropped, and waited for, here.
    state.leaving.extend(dropped);
}

pub(super) fn show_run(id: RunId, state: &mut State) {
    if state.is_training() {
        return;
    }
    let Some(project) = &state.project else {
        return;
    };
    let Some(run) = project.runs().iter().find(|run| run.id == id) else {
        return;
    };
    let folder = RunFolder::open(&project.run_dir(id));
    match folder.and_then(|folder| TrainingRun::read(id, run.state, &folder)) {
        Ok(run) => {
            state.draft = run.config.clone();
            state.other = state.other.take().filter(|it| it.run.id != run.id);
            state.run = Some(run);
        }
        Err(error) => {
            state.problem = Some(Problem::new(format!("Run {id} cannot be shown"), error));
        }
    }
}
