//! The one place that changes the project and the state: every [`Command`] is carried out here.

mod compare;
mod edits;
mod reading;
mod runs;
mod story;
mod taking;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use care_data::synthetic::Demo;
use care_data::{Project, RunId, RunState};
use care_figures::Grid;
use care_learn::TrainerCommand;

pub use self::compare::{finish_coming, finish_emptying};
pub use self::edits::apply;
use self::edits::{REDONE, UNDONE, step_back};
pub use self::reading::finish_job;
use self::reading::{answer_offer, export, open_demo, read_folder};
use self::runs::{
    MORE_EPOCHS, draw_behind, go_on, set_watch, show_run, tell, train, watch_selected,
};
pub use self::runs::{
    MOST_WATCHED, WATCHED, drain_trainer, figures, leave_run, metrics_of, record_end,
    task_of_resumed, watch_list,
};
pub use self::story::tell as tell_story;
use crate::command::{Action, Command, Room};
use crate::dialog::FolderDialog;
use crate::format;
use crate::jobs::{ExportDraft, Kind};
use crate::state::{Asked, Loss, Problem, State};
use crate::suggestion::{Source, Suggestion};
use crate::training::Phase;

/// Carries out one command, or asks first.
pub fn dispatch(command: Command, state: &mut State, ctx: &egui::Context) {
    match loss(&command, state) {
        Some(loss) => state.asked = Some(Asked { command, loss }),
        None => carry_out(command, state, ctx),
    }
}

/// What a command would lose that somebody may want.
fn loss(command: &Command, state: &State) -> Option<Loss> {
    let run = state.run.as_ref().filter(|_| state.is_training());
    if let Some(run) = run
        && leaves_project(command, state)
        && !is_the_storys(command, state)
    {
        return Some(Loss::Run(run.id));
    }
    let story = state.story.as_ref().filter(|_| state.is_of_the_story());
    let was_worked_in = story
        .zip(state.project.as_ref())
        .is_some_and(|(story, project)| story.was_worked_in(project));
    (was_worked_in && begins_anew(command)).then_some(Loss::Work)
}

fn carry_out(command: Command, state: &mut State, ctx: &egui::Context) {
    if tries_again(&command) {
        state.problem = None;
    }
    match command {
        Command::Action(action) => act(action, state, ctx),
        Command::Go(room) => state.room = room,
        Command::OpenDemo(demo) => open_demo(demo, state, ctx),
        Command::PlayStory(demo) => story::play(demo, state, ctx),
        Command::TakeOver => {
            if let Some(story) = &mut state.story {
                story.take_over(state.project.as_ref());
                state.last_event =
                    "It is yours. This project is gone when the window closes".into();
            }
        }
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
        Command::SetLens(view) => state.lens.view = view,
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
        Command::SetMapStyle(style) => {
            state.settings.map_style = style;
            // A slider that is being dragged is not a decision yet; leaving the project saves what it came to.
            if !ctx.input(|input| input.pointer.any_down()) {
                state.settings.save();
            }
        }
        Command::SetLive(live) => {
            state.draft.live = live;
            // A run that is being tested learns no more.
            if let (Some(worker), Some(run)) = (&state.worker, &mut state.run)
                && !matches!(run.phase, Phase::Evaluating { .. })
            {
                run.live = live;
                worker.send(TrainerCommand::Live(live));
            }
        }
        Command::SetWatch(images) => set_watch(images, state),
        Command::SetRefresh(refresh) => {
            state.settings.refresh = refresh;
            state.settings.save();
            if let Some(worker) = &state.worker {
                worker.send(TrainerCommand::Refresh(refresh));
            }
        }
        Command::HoldBeforeTest(holds) => {
            if let (Some(worker), Some(run)) = (&state.worker, &mut state.run) {
                run.holds = holds;
                worker.send(TrainerCommand::HoldBeforeTest(holds));
            }
        }
        Command::DrawBehind(id) => draw_behind(id, state),
        Command::ShowRun(id) => show_run(id, state),
        Command::GoOn(id) => go_on(id, state, ctx),
        Command::CompareWith(other) => compare::compare_with(other, state, ctx),
        Command::Prove(image, view) => compare::prove(image, view, state, ctx),
        Command::EndProof => state.proof = None,
        Command::EmptyTrash => compare::empty_trash(state, ctx),
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
        Command::SetTakeAway(draft) => state.take_away = Some(*draft),
        Command::ChooseTakeAwayFolder => {
            let title = "Choose a folder to write into";
            ask_for_folder(title, Command::TakeAwayInto, state, ctx);
        }
        Command::TakeAwayInto(folder) => {
            if let Some(draft) = &mut state.take_away {
                draft.folder = folder;
            }
        }
        Command::TakeAway => taking::take_away(state, ctx),
        Command::CloseTakeAway => state.take_away = None,
        Command::DismissProblem => {}
        Command::CancelJob => {
            let job = state.job.take_if(|job| job.kind.can_be_cancelled());
            if let Some(job) = job {
                state.last_event = match job.kind {
                    Kind::TakeAway { .. } => "Nothing was written: cancelled".into(),
                    _ => "Reading was cancelled".into(),
                };
            }
        }
        Command::Leave(stop) => {
            if let Some(asked) = state.asked.take().filter(|_| stop) {
                leave_run(state);
                carry_out(asked.command, state, ctx);
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

/// Whether what a command ends is the story's own run, which nobody waits for.
fn is_the_storys(command: &Command, state: &State) -> bool {
    let Some(story) = &state.story else {
        return false;
    };
    story.is_playing() || begins_anew(command) && state.is_of_the_story()
}

fn begins_anew(command: &Command) -> bool {
    matches!(
        command,
        Command::PlayStory(_) | Command::Action(Action::PlayStory)
    )
}

/// Whether a command closes the open project.
fn leaves_project(command: &Command, state: &State) -> bool {
    // A project that cannot be opened is an error, and no reason to end a run.
    let opens = |dir: &Path| !is_open(state, dir) && Project::open(dir).is_ok();
    match command {
        Command::Action(
            Action::CloseProject | Action::StartDemo | Action::StartChestDemo | Action::PlayStory,
        )
        | Command::PlayStory(_)
        | Command::Quit => true,
        Command::OpenDemo(demo) => !is_open(state, &crate::demo::dir(*demo)),
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
                | Action::StartChestDemo
                | Action::PlayStory
                | Action::CloseProject
                | Action::Train
        ),
        Command::OpenDemo(_)
        | Command::PlayStory(_)
        | Command::OpenProject(_)
        | Command::ReadFolder(_)
        | Command::ReadAs(..)
        | Command::Export
        | Command::TakeAway
        | Command::OpenPath(_)
        | Command::ShowRun(_)
        | Command::GoOn(_)
        | Command::CompareWith(_)
        | Command::EmptyTrash
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
        Action::StartDemo => open_demo(Demo::Skin, state, ctx),
        Action::StartChestDemo => open_demo(Demo::Chest, state, ctx),
        Action::PlayStory => {
            let before = state.story.as_ref().map(|story| story.cast.demo);
            story::play(before.unwrap_or_default(), state, ctx);
        }
        Action::FullScreen => {
            let is_full = ctx.input(|input| input.viewport().fullscreen) == Some(true);
            ctx.send_viewport_cmd(egui::ViewportCommand::Fullscreen(!is_full));
        }
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
        Action::RawGrid => {
            let style = &mut state.settings.map_style;
            style.grid = match style.grid {
                Grid::Smooth => Grid::Raw,
                Grid::Raw => Grid::Smooth,
            };
            state.settings.save();
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
                if matches!(run.phase, Phase::Evaluating { .. } | Phase::Held) {
                    worker.abandon();
                } else {
                    worker.stop();
                }
                run.phase = Phase::Stopping;
            }
        }
        Action::MoreEpochs => {
            if let Some(worker) = &state.worker {
                worker.send(TrainerCommand::MoreEpochs(MORE_EPOCHS));
            }
        }
        Action::Watch => watch_selected(state),
        Action::SwitchTheme => {
            state.settings.light = !state.settings.light;
            state.settings.save();
        }
        Action::ShowKeys => state.show_keys = !state.show_keys,
        Action::FindCommand => state.find_command = !state.find_command,
        Action::TakeFigure
        | Action::TakeTables
        | Action::TakeReport
        | Action::TakeFilm
        | Action::TakeModel => taking::open(action.takes(), state),
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
    let Some(project) = &state.project else {
        return;
    };
    // A story's project is gone with the window.
    if !state.is_of_the_story() {
        state.settings.remember(project, now());
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs() as i64)
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
    if matches!(state.room, Room::Annotate | Room::Train) {
        let image = state.selected.and_then(|id| project.image(id));
        let run = state.run.as_ref();
        state.lens.go_on(project, run, &state.draft, image, ctx);
    }
    // A run has the processor for itself.
    if state.queue.sort.needs_model() && state.room == Room::Annotate && state.worker.is_none() {
        let (run, queue) = (state.run.as_ref(), &state.queue);
        let attention = &mut state.attention;
        attention.look_through(project, run, state.reader, queue, ctx);
    }
}
