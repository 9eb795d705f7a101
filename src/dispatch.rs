//! The one place that changes the project and the state: every [`Command`] is carried out here.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use care_data::Metric;
use care_data::import::Import;
use care_data::project::ProjectError;
use care_data::{Edit, ImageId, Project, RunId, RunState};
use care_learn::event::Results;
use care_learn::run_folder::RunFolder;
use care_learn::task::{pick_watch_list, preflight};
use care_learn::worker::Worker;
use care_learn::{Outcome, Task, TrainerCommand, TrainerEvent};

use crate::command::{Action, Command, Room};
use crate::format;
use crate::jobs::{self, Job, Kind};
use crate::state::{Problem, State};
use crate::training::{Phase, TrainingRun};

/// Held-out images in the film.
pub const WATCHED: usize = 8;

/// Carries out one command.
pub fn dispatch(command: Command, state: &mut State, ctx: &egui::Context) {
    // Whatever the user does next, the message of what went wrong before has been read.
    if !matches!(
        command,
        Command::Select(_) | Command::SetLive(_) | Command::SetDraft(_)
    ) {
        state.problem = None;
    }
    match command {
        Command::Action(action) => act(action, state, ctx),
        Command::Go(room) => state.room = room,
        Command::OpenProject(dir) => open_project(&dir, state),
        Command::ReadFolder(from) => start_job(Kind::Read { from }, state, ctx),
        Command::OpenPath(path) => open_path(path, state, ctx),
        Command::Edit(edit) => apply(edit, state),
        Command::Select(image) => state.selected = Some(image),
        Command::Annotate(image) => {
            state.selected = Some(image);
            state.room = Room::Annotate;
        }
        Command::SetDraft(config) => state.draft = config,
        Command::SetLive(live) => {
            state.draft.live = live;
            if let (Some(worker), Some(run)) = (&state.worker, &mut state.run) {
                run.live = live;
                worker.send(TrainerCommand::Live(live));
            }
        }
        Command::ShowRun(id) => show_run(id, state),
        Command::DismissProblem => {}
        Command::CancelJob => {
            if state.job.take().is_some() {
                state.last_event = "Reading was cancelled".into();
            }
        }
    }
}

fn act(action: Action, state: &mut State, ctx: &egui::Context) {
    match action {
        Action::ChooseFolder => {
            if let Some(path) = rfd::FileDialog::new()
                .set_title("Choose a folder of images")
                .pick_folder()
            {
                open_path(path, state, ctx);
            }
        }
        Action::OpenProject => {
            if let Some(path) = rfd::FileDialog::new()
                .set_title("Open a project (NAME.care)")
                .pick_folder()
            {
                open_project(&path, state);
            }
        }
        Action::StartDemo => start_demo(state, ctx),
        Action::CloseProject => {
            remember(state);
            state.show(None);
        }
        Action::Undo => step_back(state, Project::undo, UNDONE),
        Action::Redo => step_back(state, Project::redo, REDONE),
        Action::GoImages => state.room = Room::Images,
        Action::GoAnnotate => state.room = Room::Annotate,
        Action::GoTrain => state.room = Room::Train,
        Action::GoCompare => state.room = Room::Compare,
        Action::Train => {
            state.room = Room::Train;
            train(state, ctx);
        }
        Action::Pause => tell(state, TrainerCommand::Pause, Phase::Paused),
        Action::Resume => tell(state, TrainerCommand::Resume, Phase::Training),
        Action::Stop => {
            if let (Some(worker), Some(run)) = (&state.worker, &mut state.run) {
                worker.stop();
                run.phase = Phase::Stopping;
            }
        }
        Action::SwitchTheme => {
            state.settings.light = !state.settings.light;
            state.settings.save();
        }
        Action::ShowKeys => state.show_keys = !state.show_keys,
        // These belong to a room, which turns them into an edit or a selection.
        Action::PreviousImage
        | Action::NextImage
        | Action::DoneAndNext
        | Action::DeleteBox
        | Action::CancelDraft
        | Action::ToolBox
        | Action::ToolSelect
        | Action::ToolPan
        | Action::Fit
        | Action::HideBoxes
        | Action::ShowInAnnotate => {}
    }
}

fn open_path(path: PathBuf, state: &mut State, ctx: &egui::Context) {
    if path
        .extension()
        .is_some_and(|extension| extension == "care")
    {
        open_project(&path, state);
    } else {
        start_job(Kind::Read { from: path }, state, ctx);
    }
}

/// Opens a project and shows it.
pub fn open_project(dir: &Path, state: &mut State) {
    // The same project again would find its own lock.
    if state
        .project
        .as_ref()
        .is_some_and(|project| project.dir() == dir)
    {
        return;
    }
    match Project::open(dir) {
        Ok(project) => {
            state.last_event = format::plural(project.images().len(), "image", "images");
            state.show(Some(project));
            remember(state);
            let newest = state.project.as_ref().and_then(|project| {
                project
                    .runs()
                    .iter()
                    .rev()
                    .find(|run| run.state != RunState::Failed)
                    .map(|run| run.id)
            });
            if let Some(id) = newest {
                show_run(id, state);
            }
        }
        Err(error) => state.problem = Some(Problem::new("This project cannot be opened", error)),
    }
}

/// Notes the open project in the list of recent ones.
pub fn remember(state: &mut State) {
    if let Some(project) = &state.project {
        state.settings.remember(project, now());
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs() as i64)
}

fn start_job(kind: Kind, state: &mut State, ctx: &egui::Context) {
    let wake = ctx.clone();
    match Job::start(kind, move || wake.request_repaint()) {
        Ok(job) => state.job = Some(job),
        Err(error) => {
            state.problem = Some(Problem::new(
                "Reading cannot start",
                format!("{error}. Close other programs and try again."),
            ));
        }
    }
}

/// Where the demo project lies: made once, then opened again with everything done to it.
#[must_use]
pub fn demo_dir() -> PathBuf {
    dirs::data_dir()
        .unwrap_or_else(std::env::temp_dir)
        .join("care-studio")
        .join("demo.care")
}

fn start_demo(state: &mut State, ctx: &egui::Context) {
    let dir = demo_dir();
    if dir.exists() {
        open_project(&dir, state);
    } else {
        start_job(
            Kind::MakeDemo {
                into: dir.with_extension("images"),
                seed: 0,
            },
            state,
            ctx,
        );
    }
}

/// Takes in what a job has finished. Once a frame.
pub fn finish_job(state: &mut State) {
    let Some(result) = state.job.as_ref().and_then(Job::finished) else {
        return;
    };
    let Some(job) = state.job.take() else { return };
    let outcome = result.and_then(|import| {
        let taken = match &job.kind {
            Kind::Read { from } => take_in(import, from, state),
            Kind::MakeDemo { .. } => take_in_demo(import, state),
        };
        taken.map_err(|error| error.to_string())
    });
    if let Err(text) = outcome {
        state.problem = Some(Problem::new("These images cannot be read", text));
    }
}

fn take_in(import: Import, from: &Path, state: &mut State) -> Result<(), ProjectError> {
    if state.project.is_none() {
        let dir = jobs::project_beside(from);
        let project = if dir.exists() {
            Project::open(&dir)?
        } else {
            Project::create(&dir)?
        };
        state.show(Some(project));
    }
    let Some(project) = &mut state.project else {
        return Ok(());
    };
    let taken = project.take_in(import)?;
    state.last_event = match (taken.added, taken.already_there) {
        (added, 0) => format!("{} read", format::plural(added, "image", "images")),
        (added, there) => format!(
            "{} added, {} already there",
            format::plural(added, "image", "images"),
            format::count(there)
        ),
    };
    state.room = Room::Images;
    remember(state);
    Ok(())
}

fn take_in_demo(import: Import, state: &mut State) -> Result<(), ProjectError> {
    let project = crate::demo::create(&demo_dir(), import, crate::demo::LEFT_TO_DRAW)?;
    state.last_event = format!("{} synthetic images made", project.images().len());
    state.show(Some(project));
    remember(state);
    Ok(())
}

fn apply(edit: Edit, state: &mut State) {
    let Some(project) = &mut state.project else {
        return;
    };
    let image = image_of(project, &edit);
    match project.apply(edit.clone()) {
        Ok(()) => {
            state.last_event = edit.describe().into();
            tell_boxes(image.or_else(|| image_of(project, &edit)), state);
        }
        Err(error) => state.problem = Some(Problem::new("This edit could not be saved", error)),
    }
}

fn step_back(
    state: &mut State,
    step: fn(&mut Project) -> Result<Option<Edit>, ProjectError>,
    word: &str,
) {
    let Some(project) = &mut state.project else {
        return;
    };
    let next = if word == UNDONE {
        project.undoable()
    } else {
        project.redoable()
    };
    // A box that goes or comes is in the project only before or only after.
    let before = next.and_then(|edit| image_of(project, edit));
    match step(project) {
        Ok(Some(edit)) => {
            state.last_event = format!("{word}: {}", edit.describe().to_lowercase());
            let image = before.or_else(|| image_of(project, &edit));
            // Show the image that changed: an undo that cannot be seen is a surprise.
            state.selected = image.or(state.selected);
            tell_boxes(image, state);
        }
        Ok(None) => {}
        Err(error) => state.problem = Some(Problem::new("This edit could not be saved", error)),
    }
}

const UNDONE: &str = "Undone";
const REDONE: &str = "Redone";

/// The image that an edit is about.
fn image_of(project: &Project, edit: &Edit) -> Option<ImageId> {
    match edit {
        Edit::AddBox { annotation } => Some(annotation.image),
        Edit::RemoveBox { id } | Edit::SetBox { id, .. } => {
            project.annotation(*id).map(|annotation| annotation.image)
        }
        Edit::SetDone { image, .. } | Edit::SetClass { image, .. } => Some(*image),
        Edit::SetRare { .. } => None,
    }
}

/// A box drawn while a model trains is learned from within the epoch.
fn tell_boxes(image: Option<ImageId>, state: &State) {
    if let (Some(worker), Some(project), Some(image)) = (&state.worker, &state.project, image) {
        let boxes = project
            .boxes(image)
            .iter()
            .map(|annotation| annotation.rect)
            .collect();
        worker.send(TrainerCommand::Boxes { image, boxes });
    }
}

fn tell(state: &mut State, command: TrainerCommand, phase: Phase) {
    if let (Some(worker), Some(run)) = (&state.worker, &mut state.run) {
        worker.send(command);
        run.phase = phase;
    }
}

fn train(state: &mut State, ctx: &egui::Context) {
    if state.is_training() {
        return;
    }
    let config = state.draft.clone();
    let Some(project) = &mut state.project else {
        return;
    };
    if let Some(problem) = preflight(project, &config)
        .into_iter()
        .find(|problem| problem.blocks())
    {
        state.problem = Some(Problem::new("This run cannot start", problem));
        return;
    }
    let watch = pick_watch_list(project, WATCHED);
    let (id, folder) = match project.begin_run() {
        Ok(run) => run,
        Err(error) => {
            state.problem = Some(Problem::new("This run cannot start", error));
            return;
        }
    };
    let run = TrainingRun::new(id, config.clone(), watch.clone());
    let task = Task::from_project(project, config, folder, watch);
    let wake = ctx.clone();
    match Worker::start(task, move || wake.request_repaint()) {
        Ok(worker) => {
            state.worker = Some(worker);
            state.run = Some(run);
            state.last_event = format!("Run {id} started");
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
    let Some(project) = &mut state.project else {
        return;
    };
    let (note, metrics) = match outcome {
        Outcome::Finished(results) => (
            format!("finished in {}", format::duration(results.seconds)),
            metrics_of(project, results),
        ),
        Outcome::Stopped(results) => (
            "stopped".to_owned(),
            results
                .as_ref()
                .map(|r| metrics_of(project, r))
                .unwrap_or_default(),
        ),
        Outcome::Failed(why) => (why.clone(), Vec::new()),
    };
    state.last_event = match outcome {
        Outcome::Failed(_) => format!("Run {id} failed"),
        _ => format!("Run {id} {note}"),
    };
    if let Err(error) = project.end_run(id, outcome.state(), &note, &metrics) {
        state.problem = Some(Problem::new(
            "The end of the run could not be recorded",
            error,
        ));
    }
}

/// The figures of a run as rows of the project's table of metrics.
#[must_use]
pub fn metrics_of(project: &Project, results: &Results) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for (role, summary) in &results.summaries {
        let recalls = project.classes().iter().zip(&summary.recalls);
        let named = recalls
            .map(|(class, estimate)| (format!("recall {}", class.name), *estimate))
            .chain([
                ("rare recall".to_owned(), summary.rare_recall),
                ("mca".to_owned(), summary.mca),
                ("energy in the box".to_owned(), summary.energy),
                ("pointing hit".to_owned(), summary.pointing_hit),
                ("energy in the box, all classes".to_owned(), summary.energy_all),
                (
                    "pointing hit, all classes".to_owned(),
                    summary.pointing_hit_all,
                ),
            ]);
        metrics.extend(named.filter_map(|(name, estimate)| {
            let estimate = estimate?;
            Some(Metric {
                model: role.name().to_owned(),
                name,
                value: estimate.value,
                n: u64::from(estimate.n),
                low: Some(estimate.low),
                high: Some(estimate.high),
            })
        }));
    }
    metrics
}

fn show_run(id: RunId, state: &mut State) {
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
            state.run = Some(run);
        }
        Err(error) => {
            state.problem = Some(Problem::new(format!("Run {id} cannot be shown"), error));
        }
    }
}
