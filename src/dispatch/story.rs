//! The demo that shows itself: begun, told step by step, and left where a person takes over.

use care_data::import::Import;
use care_data::project::ProjectError;
use care_data::synthetic::Demo;
use care_data::{Edit, Project};
use care_learn::ModelRole;

use super::reading::start_job;
use super::runs::leave_run;
use crate::command::{Action, Command, Room};
use crate::jobs::{self, Kind};
use crate::state::{Problem, State};
use crate::story::{Cast, Cue, Scene, Step, Story, star};

/// From the beginning, on a project of its own that is made now.
pub(super) fn play(demo: Demo, state: &mut State, ctx: &egui::Context) {
    leave_run(state);
    super::remember(state);
    let seed = state.story.as_ref().map_or(0, |story| story.cast.seed + 1);
    let folder = match tempfile::Builder::new().prefix("care-story-").tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            state.problem = Some(Problem::new(
                "The demo cannot be shown",
                format!("{error}. There is no temporary folder to make its images in."),
            ));
            return;
        }
    };
    state.show(None);
    state.problem = None;
    (state.show_keys, state.find_command) = (false, false);
    let cast = Cast::new(demo, seed, folder);
    if let Some((_, into)) = cast.places() {
        let work = jobs::make_demo(demo, into.clone(), seed);
        let kind = Kind::MakeDemo {
            demo,
            into,
            for_story: true,
        };
        start_job(kind, work, state, ctx);
    }
    state.story = Some(Story::new(cast));
}

/// Its images are there.
pub(super) fn take_in(demo: Demo, import: Import, state: &mut State) -> Result<(), ProjectError> {
    let places = state.story.as_ref().and_then(|story| story.cast.places());
    let Some((dir, _)) = places else {
        return Ok(());
    };
    let (project, boxes) = crate::demo::for_story(demo, &dir, import)?;
    if let Some(story) = &mut state.story {
        story.meet(boxes);
        // Whoever took it over before there was a project.
        if !story.is_playing() {
            story.take_over(Some(&project));
        }
    }
    state.show(Some(project));
    Ok(())
}

/// What the story wants done now. Once a frame.
pub fn tell(state: &mut State, now: f64) -> Vec<Command> {
    let Some(mut story) = state.story.take() else {
        return Vec::new();
    };
    let scene = Scene::of(state, &story.cast);
    let cues = story.advance(now, &scene);
    let mut commands = Vec::new();
    for cue in cues {
        if cue == Cue::Begin(Step::Fooled) {
            let frame = state.run.as_ref();
            story.star = frame.and_then(|run| star(run.frame(ModelRole::Before, None)?));
            // Nobody waits for its test.
            if let Some(worker) = &state.worker {
                worker.abandon();
            }
        }
        commands.extend(commands_of(cue, &story, state));
    }
    state.story = Some(story);
    commands
}

fn commands_of(cue: Cue, story: &Story, state: &State) -> Vec<Command> {
    let cast = &story.cast;
    match cue {
        Cue::Again => vec![Command::PlayStory(cast.demo)],
        Cue::Begin(Step::Imbalance) => vec![
            // Behind the page: a model learns while the sentence is read.
            Command::SetDraft(cast.config.clone()),
            Command::Action(Action::Train),
            Command::Go(Room::Images),
        ],
        Cue::Begin(Step::Plain | Step::Moving) => vec![Command::Go(Room::Train)],
        Cue::Begin(Step::Box(n)) => {
            let image = cast.boxes.get(n).map(|(image, _)| *image);
            image.map(Command::Annotate).into_iter().collect()
        }
        Cue::Act(Step::Box(n)) => {
            let edit = |project: &Project| {
                let (image, rect) = cast.boxes.get(n)?;
                let annotation = project.new_box(*image, *rect);
                Some(Command::Edit(Edit::AddBox { annotation }))
            };
            state.project.as_ref().and_then(edit).into_iter().collect()
        }
        Cue::Begin(Step::Train) => vec![Command::Go(Room::Train)],
        Cue::Act(Step::Train) => vec![
            Command::SetDraft(cast.config.clone()),
            Command::Action(Action::Train),
        ],
        Cue::Begin(Step::Table) => vec![Command::Go(Room::Compare)],
        Cue::Begin(_) | Cue::Act(_) => Vec::new(),
    }
}
