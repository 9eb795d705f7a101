//! What is taken away of a run: chosen, then written by a job.

use super::reading::start_job;
use crate::jobs::Kind;
use crate::state::{Problem, State};
use crate::take_away::{self, TakeAway, What};

/// Opens the sheet for this, or changes what an open one is for.
pub(super) fn open(what: Option<What>, state: &mut State) {
    let (Some(what), Some(project)) = (what, &state.project) else {
        return;
    };
    if let Some(draft) = &mut state.take_away {
        draft.what = what;
        return;
    }
    let style = state.settings.map_style;
    let run = state.run.as_ref();
    state.take_away = run.and_then(|run| TakeAway::new(what, project, run, style));
    if state.take_away.is_none() {
        state.problem = Some(Problem::new(
            "There is nothing to take away yet",
            "Train once, or choose a run that has results.",
        ));
    }
}

pub(super) fn take_away(state: &mut State, ctx: &egui::Context) {
    let (Some(draft), Some(project), Some(run)) = (&state.take_away, &state.project, &state.run)
    else {
        return;
    };
    if draft.run != run.id || draft.lacks(run).is_some() || state.job.is_some() {
        return;
    }
    let kind = Kind::TakeAway {
        what: draft.what,
        to: draft.path(),
    };
    let work = take_away::take_away(
        draft.clone(),
        draft.path(),
        project.dir().to_owned(),
        run.clone(),
    );
    state.take_away = None;
    start_job(kind, work, state, ctx);
}
