//! The one place that changes the project and the state: every [`Command`] is carried out here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use care_data::Metric;
use care_data::import::{Format, Import};
use care_data::project::{ProjectError, TakenIn};
use care_data::{Arrived, Edit, ImageId, Part, Project, ReaderId, RunId, RunState};
use care_learn::event::Results;
use care_learn::metrics::{Estimate, IOU_THRESHOLD, Summary};
use care_learn::run_folder::RunFolder;
use care_learn::task::{boxes_to_train_on, pick_watch_list, preflight};
use care_learn::worker::Worker;
use care_learn::{Outcome, Task, TrainerCommand, TrainerEvent};

use crate::command::{Action, Command, Room};
use crate::dialog::FolderDialog;
use crate::format;
use crate::jobs::{self, Done, ExportDraft, Job, Kind, Offer, Work};
use crate::missing::Missing;
use crate::state::{Problem, State};
use crate::suggestion::{Source, Suggestion};
use crate::training::{Phase, TrainingRun};
use crate::weight_store::with_path_of_weights;

/// Images that a model looks at to sort the queue, at most.
pub const MAX_SORTED: usize = 5000;
/// Held-out images in the film.
pub const WATCHED: usize = 8;

/// Carries out one command.
pub fn dispatch(command: Command, state: &mut State, ctx: &egui::Context) {
    if state.is_training() && leaves_project(&command, state) {
        state.asked = Some(command);
        return;
    }
    if tries_again(&command) {
        state.problem = None;
    }
    match command {
        Command::Action(action) => act(action, state, ctx),
        Command::Go(room) => state.room = room,
        Command::OpenProject(dir) => open_project(&dir, state),
        Command::ReadFolder(from) => read_folder(from, None, state, ctx),
        Command::ReadAs(from, format) => read_folder(from, Some(format), state, ctx),
        Command::Offered(accepted) => answer_offer(accepted, state, ctx),
        Command::OpenPath(path) => open_path(path, state, ctx),
        Command::Edit(edit) => apply(edit, state),
        Command::Read(reader) => {
            state.reader = reader;
            keep_desk(state);
        }
        Command::SetQueue(view) => {
            state.queue = view;
            keep_desk(state);
        }
        Command::Suggest(first) => suggest(first, state, ctx),
        Command::DropSuggestion => state.suggestion = None,
        Command::Select(image) => state.selected = Some(image),
        Command::Annotate(image) => {
            state.selected = Some(image);
            state.room = Room::Annotate;
        }
        Command::SetDraft(config) => state.draft = config,
        Command::SetKeys(keys) => {
            keys.install(ctx);
            state.settings.keys = keys;
            state.settings.save();
        }
        Command::SetLive(live) => {
            state.draft.live = live;
            if let (Some(worker), Some(run)) = (&state.worker, &mut state.run) {
                run.live = live;
                worker.send(TrainerCommand::Live(live));
            }
        }
        Command::ShowRun(id) => show_run(id, state),
        Command::Forget(dir) => {
            state.settings.forget(&dir);
            state.settings.save();
        }
        Command::SetExport(draft) => state.export = Some(draft),
        Command::ChooseExportFolder => {
            let title = "Choose a folder to export into";
            ask_for_folder(title, Command::ExportInto, state, ctx);
        }
        Command::ExportInto(folder) => {
            if let Some(draft) = &mut state.export {
                draft.folder = folder;
            }
        }
        Command::Export => export(state, ctx),
        Command::DismissProblem => {}
        Command::CancelJob => {
            let job = state.job.take_if(|job| job.kind.can_be_cancelled());
            if job.is_some() {
                state.last_event = "Reading was cancelled".into();
            }
        }
        Command::Leave(stop) => {
            if let Some(command) = state.asked.take().filter(|_| stop) {
                leave_run(state);
                dispatch(command, state, ctx);
            }
        }
        Command::Quit => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
    }
}

/// The next start finds who reads, and the queue, as they are now.
fn keep_desk(state: &mut State) {
    if let Some(project) = &state.project {
        let dir = project.dir();
        state.settings.set_desk(dir, &state.queue, state.reader);
    }
}

/// Whether a command closes the open project.
fn leaves_project(command: &Command, state: &State) -> bool {
    // A project that cannot be opened is an error, and no reason to end a run.
    let opens = |dir: &Path| !is_open(state, dir) && Project::open(dir).is_ok();
    match command {
        Command::Action(Action::CloseProject | Action::StartDemo) | Command::Quit => true,
        Command::OpenProject(dir) => opens(dir),
        Command::OpenPath(path) => is_project(path) && opens(path),
        _ => false,
    }
}

/// Whether this is the open project's folder, however it is written.
fn is_open(state: &State, dir: &Path) -> bool {
    let open = state.project.as_ref().map(Project::dir);
    dir.canonicalize()
        .is_ok_and(|dir| open == Some(dir.as_path()))
}

/// Whether a command is a fresh try, before which the message of what went wrong is put away. Others leave it to be read.
fn tries_again(command: &Command) -> bool {
    match command {
        Command::Action(action) => matches!(
            action,
            Action::ChooseFolder
                | Action::OpenProject
                | Action::StartDemo
                | Action::CloseProject
                | Action::Train
        ),
        Command::OpenProject(_)
        | Command::ReadFolder(_)
        | Command::OpenPath(_)
        | Command::ShowRun(_)
        | Command::DismissProblem => true,
        _ => false,
    }
}

fn act(action: Action, state: &mut State, ctx: &egui::Context) {
    match action {
        Action::ChooseFolder => {
            ask_for_folder("Choose a folder of images", Command::OpenPath, state, ctx);
        }
        Action::OpenProject => {
            let title = "Open a project (NAME.care)";
            ask_for_folder(title, Command::OpenProject, state, ctx);
        }
        Action::StartDemo => start_demo(state, ctx),
        Action::CloseProject => {
            remember(state);
            state.show(None);
            state.last_event.clear();
        }
        Action::Export => {
            state.export = match state.export {
                Some(_) => None,
                None => state.project.as_ref().map(ExportDraft::new),
            };
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
                // Where only the test is left, it is the test that is to stop.
                if matches!(run.phase, Phase::Evaluating { .. }) {
                    worker.abandon();
                } else {
                    worker.stop();
                }
                run.phase = Phase::Stopping;
            }
        }
        Action::SwitchTheme => {
            state.settings.light = !state.settings.light;
            state.settings.save();
        }
        Action::ShowKeys => state.show_keys = !state.show_keys,
        Action::FindCommand => state.find_command = !state.find_command,
        // It belongs to a room, which turns it into an edit or a selection.
        of_room => {
            if let Some(room) = of_room.room() {
                state.room = room;
                of_room.ask(ctx);
            }
        }
    }
}

fn ask_for_folder(
    title: &str,
    then: fn(PathBuf) -> Command,
    state: &mut State,
    ctx: &egui::Context,
) {
    if state.dialog.is_some() {
        return;
    }
    let wake = ctx.clone();
    match FolderDialog::open(title, then, move || wake.request_repaint()) {
        Ok(dialog) => state.dialog = Some(dialog),
        Err(error) => {
            state.problem = Some(Problem::new(
                "The dialog cannot be opened",
                format!("{error}. Drop the folder on the window instead."),
            ));
        }
    }
}

/// What an open dialog was answered with. Once a frame.
pub fn take_answer(state: &mut State) -> Option<Command> {
    let answer = state.dialog.as_ref()?.answered()?;
    state.dialog = None;
    answer
}

fn is_project(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "care")
}

fn open_path(path: PathBuf, state: &mut State, ctx: &egui::Context) {
    if is_project(&path) {
        open_project(&path, state);
    } else {
        read_folder(path, None, state, ctx);
    }
}

/// Into the open project, or into one of its own.
fn read_folder(from: PathBuf, format: Option<Format>, state: &mut State, ctx: &egui::Context) {
    state.offer = None;
    let into = state.project.is_none().then(|| jobs::project_for(&from));
    let work = jobs::plan(from.clone(), format);
    start_job(Kind::Plan { from, into }, work, state, ctx);
}

/// Reads what was offered, or forgets it.
fn answer_offer(accepted: bool, state: &mut State, ctx: &egui::Context) {
    if let Some(offer) = state.offer.take()
        && accepted
    {
        let Offer {
            from, into, plan, ..
        } = offer;
        let work = jobs::read(plan, into.clone());
        start_job(Kind::Read { from, into }, work, state, ctx);
    }
}

/// Opens a project and shows it.
pub fn open_project(dir: &Path, state: &mut State) {
    // The same project again would find its own lock.
    if is_open(state, dir) {
        return;
    }
    match Project::open(dir) {
        Ok(project) => {
            state.last_event = format::plural(project.images().len(), "image", "images");
            state.show(Some(project));
            remember(state);
            let runs = state.project.iter().flat_map(Project::runs);
            let shown: Vec<RunId> = runs
                .filter(|run| run.state != RunState::Failed)
                .map(|run| run.id)
                .collect();
            // The newest that can be shown; one with a damaged file must not hide the others.
            for id in shown.into_iter().rev() {
                show_run(id, state);
                if state.run.is_some() {
                    break;
                }
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

fn export(state: &mut State, ctx: &egui::Context) {
    if let (Some(draft), Some(project)) = (state.export.take(), &state.project) {
        let kind = Kind::Export { to: draft.path() };
        let work = jobs::export(project.dir().to_owned(), draft);
        start_job(kind, work, state, ctx);
    }
}

fn start_job(kind: Kind, work: Work, state: &mut State, ctx: &egui::Context) {
    if let Some(job) = &state.job {
        state.problem = Some(Problem::new(
            format!("{} is not finished", job.kind.title()),
            "Wait for it or cancel it, then try again.",
        ));
        return;
    }
    let wake = ctx.clone();
    match Job::start(kind, work, move || wake.request_repaint()) {
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
        const SEED: u64 = 0;
        let into = dir.with_extension("images");
        let work = jobs::make_demo(into.clone(), SEED);
        start_job(Kind::MakeDemo { into, seed: SEED }, work, state, ctx);
    }
}

/// Takes in what a job has finished. Once a frame.
pub fn finish_job(state: &mut State, ctx: &egui::Context) {
    let Some(result) = state.job.as_ref().and_then(Job::finished) else {
        return;
    };
    let Some(job) = state.job.take() else { return };
    let outcome = match result {
        Ok(Done::Planned(plan, preview)) => {
            if let Kind::Plan { from, into } = job.kind.clone() {
                let open = state.project.as_ref().filter(|_| into.is_none());
                let already_there = open.map_or(0, |project| plan.already_in(project));
                state.offer = Some(Offer {
                    already_there,
                    from,
                    into,
                    plan: *plan,
                    preview,
                });
            }
            Ok(())
        }
        Ok(Done::Arrived(arrived)) => {
            accept(arrived, state).map_err(|error| Problem::new(NOT_WRITTEN, error))
        }
        Ok(Done::Exported(exported)) => {
            if let Kind::Export { to } = &job.kind {
                let (words, notes) = format::exported(exported, to);
                let parts: Vec<String> = std::iter::once(words).chain(notes).collect();
                state.last_event = parts.join("; ");
            }
            Ok(())
        }
        Ok(Done::Read(import)) => {
            let taken = match &job.kind {
                Kind::MakeDemo { .. } => take_in_demo(import, state),
                _ => begin_intake(import, state, ctx),
            };
            taken.map_err(|error| Problem::new(NOT_WRITTEN, error))
        }
        Ok(Done::TakenIn(Ok((project, taken)))) => {
            state.show(Some(*project));
            taken_in(taken, state);
            Ok(())
        }
        Ok(Done::TakenIn(Err(error))) => Err(Problem::new(NOT_WRITTEN, error)),
        Err(text) => Err(Problem::new(
            match job.kind {
                Kind::Export { .. } => "Nothing was exported",
                Kind::TakeIn => NOT_WRITTEN,
                _ => "These images cannot be read",
            },
            text,
        )),
    };
    if let Err(problem) = outcome {
        state.problem = Some(problem);
    }
}

const NOT_WRITTEN: &str = "The project cannot be written";

/// Begins to write images into the open project.
fn begin_intake(
    import: Import,
    state: &mut State,
    ctx: &egui::Context,
) -> Result<(), ProjectError> {
    if let Some(project) = &mut state.project {
        let work = jobs::write_into_open(project.begin_intake(import)?);
        start_job(Kind::TakeIn, work, state, ctx);
    }
    Ok(())
}

fn accept(arrived: Arrived, state: &mut State) -> Result<(), ProjectError> {
    if let Some(project) = &mut state.project {
        let taken = project.accept(arrived)?;
        taken_in(taken, state);
    }
    Ok(())
}

fn taken_in(taken: TakenIn, state: &mut State) {
    let Some(project) = &state.project else {
        return;
    };
    state.last_event = match (taken.added, taken.already_there) {
        (added, 0) => format!(
            "{} read into {}",
            format::plural(added, "image", "images"),
            project.dir().display()
        ),
        (added, there) => format!(
            "{} added, {} already there",
            format::plural(added, "image", "images"),
            format::count(there)
        ),
    };
    state.missing = Missing::default();
    state.attention.forget_failures();
    state.room = Room::Images;
    remember(state);
}

fn take_in_demo(import: Import, state: &mut State) -> Result<(), ProjectError> {
    let dir = demo_dir();
    // Under its name only once it is whole: what is there is opened ever after.
    let unfinished = dir.with_extension("care.part");
    let io = |source| ProjectError::Io {
        path: unfinished.clone(),
        source,
    };
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(io)?;
    }
    drop(crate::demo::create(
        &unfinished,
        import,
        crate::demo::LEFT_TO_DRAW,
    )?);
    std::fs::rename(&unfinished, &dir).map_err(io)?;
    let project = Project::open(&dir)?;
    state.last_event = format!("{} synthetic images made", project.images().len());
    state.show(Some(project));
    remember(state);
    Ok(())
}

/// Looks for a box in the image in hand; where one was suggested already, from the other source.
fn suggest(first: Source, state: &mut State, ctx: &egui::Context) {
    let Some(project) = &state.project else {
        return;
    };
    let Some(image) = state.selected.and_then(|id| project.image(id)) else {
        return;
    };
    state.attention.ask_of(project, state.run.as_ref());
    let before = state.suggestion.take();
    let before = before.filter(|it| it.is_of(project, state.reader, image.id));
    let source = match before.map(|it| it.source) {
        _ if state.attention.model().is_none() => Source::Saliency,
        Some(Source::Saliency) => Source::Attention,
        Some(Source::Attention) => Source::Saliency,
        None => first,
    };
    let suggestion = Suggestion::new(project, state.reader, image, source, ctx);
    state.suggestion = Some(suggestion);
}

/// Goes on with what other threads look at: files that are missing, the suggestion, what the queue is sorted by.
pub fn look_on(state: &mut State, ctx: &egui::Context) {
    let Some(project) = &state.project else {
        return;
    };
    state.missing.go_on(project, ctx);
    let in_hand = |it: &Suggestion| {
        let selected = state.selected;
        selected.is_some_and(|image| it.is_of(project, state.reader, image))
    };
    state.suggestion = state.suggestion.take().filter(in_hand);
    if let Some(suggestion) = &mut state.suggestion {
        let image = project.image(suggestion.image);
        let image = image.filter(|_| suggestion.source == Source::Attention);
        state.attention.go_on(project, image.into_iter(), ctx);
        suggestion.go_on(project, &state.attention);
    }
    // A run has the processor for itself.
    if state.queue.sort.needs_model() && state.room == Room::Annotate && state.worker.is_none() {
        state.attention.keep_to(project, state.run.as_ref());
        let looked = (
            project.revision(),
            state.attention.revision(),
            state.reader,
            state.queue.clone(),
        );
        // Nothing new to look for.
        if state.looked.as_ref() != Some(&looked) || state.attention.is_asking() {
            let wanted = state.queue.images(project, state.reader).take(MAX_SORTED);
            state.attention.go_on(project, wanted, ctx);
            state.looked = Some(looked);
        }
    }
}

/// Makes an edit, and says so; keeps the message where it could not be saved.
pub fn apply(edit: Edit, state: &mut State) {
    let Some(project) = &mut state.project else {
        return;
    };
    // A box that goes or comes is in the project only before or only after.
    let mut touched = touched_by(project, &edit);
    let result = project.apply(edit.clone());
    touched.extend(touched_by(project, &edit));
    if result.is_ok() {
        state.last_event = edit.describe().into();
        if changes_boxes(&edit) {
            tell_boxes(&touched, state);
        }
    }
    note_saved(result, state);
}

/// Keeps the message that an edit was not saved until another one was.
fn note_saved(saved: Result<(), ProjectError>, state: &mut State) {
    match saved {
        Err(error) => state.problem = Some(Problem::new(Problem::NOT_SAVED, error)),
        Ok(()) if state.edit_was_lost() => state.problem = None,
        Ok(()) => {}
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
    let mut touched = next.map_or_else(Vec::new, |edit| touched_by(project, edit));
    let stepped = step(project);
    if let Ok(Some(edit)) = &stepped {
        state.last_event = format!("{word}: {}", edit.describe().to_lowercase());
        touched.extend(touched_by(project, edit));
        // Show what changed: an undo that cannot be seen is a surprise.
        if let Some(&(image, reader)) = touched.first() {
            state.selected = Some(image);
            state.reader = reader.unwrap_or(state.reader);
        }
        let is_there = |id| project.reader(id).is_some();
        state.reader = state.reader.filter(|id| is_there(*id));
        if changes_boxes(edit) {
            tell_boxes(&touched, state);
        }
    }
    note_saved(stepped.map(|_| ()), state);
    keep_desk(state);
}

const UNDONE: &str = "Undone";
const REDONE: &str = "Redone";

/// Whether what is learned from may be other boxes afterwards.
fn changes_boxes(edit: &Edit) -> bool {
    match edit {
        // A box may count only where the image is done.
        Edit::AddBox { .. }
        | Edit::RemoveBox { .. }
        | Edit::SetBox { .. }
        | Edit::SetReview { .. } => true,
        Edit::Several { edits } => edits.iter().any(changes_boxes),
        _ => false,
    }
}

/// An image that an edit is about, and whose work on it where it is somebody's: a reader's, or the project's.
type Touched = (ImageId, Option<Option<ReaderId>>);

fn touched_by(project: &Project, edit: &Edit) -> Vec<Touched> {
    match edit {
        Edit::AddBox { annotation } => vec![(annotation.image, Some(annotation.reader))],
        Edit::RemoveBox { id } | Edit::SetBox { id, .. } => {
            let annotation = project.annotation(*id).into_iter();
            annotation.map(|it| (it.image, Some(it.reader))).collect()
        }
        Edit::SetReview { image, reader, .. } | Edit::SetNote { image, reader, .. } => {
            vec![(*image, Some(*reader))]
        }
        Edit::SetClass { image, .. } => vec![(*image, None)],
        Edit::SetRare { .. }
        | Edit::SetLook { .. }
        | Edit::AddReader { .. }
        | Edit::RemoveReader { .. } => Vec::new(),
        Edit::Several { edits } => {
            let edits = edits.iter();
            edits.flat_map(|edit| touched_by(project, edit)).collect()
        }
    }
}

/// A box drawn while a model trains is learned from within the epoch.
fn tell_boxes(touched: &[Touched], state: &State) {
    let (Some(worker), Some(run)) = (&state.worker, &state.run) else {
        return;
    };
    let images: BTreeSet<ImageId> = touched.iter().map(|(image, _)| *image).collect();
    let project = state.project.iter();
    let images = project.flat_map(|project| {
        let images = images.iter();
        images.filter_map(move |id| Some((project, project.image(*id)?)))
    });
    for (project, image) in images {
        let boxes = match image.part {
            Part::Train => boxes_to_train_on(project, image.id, run.config.boxes),
            Part::Validation | Part::Test => {
                project.boxes(image.id).iter().map(|a| a.rect).collect()
            }
        };
        let image = image.id;
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
    let watch = pick_watch_list(project, WATCHED);
    let (id, folder) = match project.begin_run() {
        Ok(run) => run,
        Err(error) => {
            state.problem = Some(Problem::new("This run cannot start", error));
            return;
        }
    };
    // The memory is the run's now, and its models will be newer.
    state.attention.leave();
    state.suggestion = None;
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
