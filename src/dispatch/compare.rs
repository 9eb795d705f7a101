//! What Compare asks for beyond edits: another run beside the one shown, what the network saw, the trash emptied.

use care_data::{ImageId, RunId};
use care_learn::ModelRole;

use super::runs::show_run;
use crate::background::Later;
use crate::comparison::{Coming, OtherRun};
use crate::proof::Proof;
use crate::state::{Problem, State};

const NOT_EMPTIED: &str = "The trash could not be emptied";

pub(super) fn compare_with(
    other: Option<(RunId, ModelRole)>,
    state: &mut State,
    ctx: &egui::Context,
) {
    state.coming = None;
    let Some((id, role)) = other else {
        state.other = None;
        return;
    };
    // The same run's other model is there already.
    if let Some(other) = state.other.as_mut().filter(|other| other.run.id == id) {
        other.role = role;
        return;
    }
    let project = state.project.as_ref();
    state.coming = project.and_then(|project| Coming::start(project, id, role, ctx));
}

/// Shows the other run once it is read. Once a frame.
pub fn finish_coming(state: &mut State) {
    let Some(Coming { id, role, run }) = state.coming.take() else {
        return;
    };
    let failed =
        |why: &dyn std::fmt::Display| Problem::new(format!("Run {id} cannot be compared"), why);
    match run.into_value() {
        // Beside itself, or beside one that trains, there is nothing to compare.
        Ok(_) if state.is_training() || state.run.as_ref().is_none_or(|it| it.id == id) => {}
        Ok(Ok(run)) => state.other = Some(OtherRun { run, role }),
        Ok(Err(error)) => state.problem = Some(failed(&error)),
        Err(later) if later.has_failed() => state.problem = Some(failed(&"Try again.")),
        Err(run) => state.coming = Some(Coming { id, role, run }),
    }
}

/// `view`: as [`Proof::view`].
pub(super) fn prove(image: ImageId, view: Option<u64>, state: &mut State, ctx: &egui::Context) {
    let Some(project) = &state.project else {
        return;
    };
    // The key that shows it puts it away.
    if view.is_none() && state.proof.take().is_some() {
        return;
    }
    let run = state.run.as_ref();
    state.proof = Proof::start(project, run, &state.draft, image, view, ctx);
}

/// After runs were deleted or came back: what is shown is one that is there.
pub(super) fn follow_runs(moved: &[RunId], state: &mut State) {
    let Some(project) = &state.project else {
        return;
    };
    if moved.is_empty() {
        return;
    }
    let is_there = |id: RunId| project.run(id).is_some();
    if state.other.as_ref().is_some_and(|it| !is_there(it.run.id)) {
        state.other = None;
    }
    if state.coming.as_ref().is_some_and(|it| !is_there(it.id)) {
        state.coming = None;
    }
    if state.behind.as_ref().is_some_and(|it| !is_there(it.id)) {
        state.behind = None;
    }
    // The run that trains stays in sight.
    if state.is_training() {
        return;
    }
    let came_back = moved.iter().copied().find(|id| is_there(*id));
    let shown = state.run.as_ref().map(|run| run.id);
    if shown.is_some_and(is_there) {
        return;
    }
    state.run = None;
    state.attention.leave();
    let runs = project.runs().iter().rev();
    let newest = runs
        .filter(|run| project.run_dir(run.id).exists())
        .map(|run| run.id)
        .next();
    if let Some(id) = came_back
        .filter(|id| project.run_dir(*id).exists())
        .or(newest)
    {
        show_run(id, state);
    }
}

/// Removes the deleted runs' files for good, on a thread of its own: they may be large. One emptying at a time.
pub(super) fn empty_trash(state: &mut State, ctx: &egui::Context) {
    let Some(project) = state.project.as_ref().filter(|_| state.emptying.is_none()) else {
        return;
    };
    match project.empty_trash() {
        Ok(aside) => {
            state.emptying = Some(Later::start("trash", ctx, move || {
                aside.iter().try_for_each(std::fs::remove_dir_all)
            }));
        }
        Err(error) => state.problem = Some(Problem::new(NOT_EMPTIED, error)),
    }
}

/// What cannot be removed goes with the next emptying. Once a frame.
pub fn finish_emptying(state: &mut State) {
    let Some(emptying) = state.emptying.take() else {
        return;
    };
    match emptying.into_value() {
        Ok(Ok(())) => state.last_event = "The trash was emptied".to_owned(),
        Ok(Err(error)) => state.problem = Some(Problem::new(NOT_EMPTIED, error)),
        Err(later) if later.has_failed() => {
            state.problem = Some(Problem::new(NOT_EMPTIED, "Try again."));
        }
        Err(later) => state.emptying = Some(later),
    }
}
