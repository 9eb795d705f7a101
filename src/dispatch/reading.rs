//! Folders that come in, and exports that go out: jobs on other threads, and what they end with.

use std::path::PathBuf;

use care_data::import::{Format, Import};
use care_data::project::{ProjectError, TakenIn};
use care_data::synthetic::Demo;
use care_data::{Arrived, Project};

use super::{open_project, remember};
use crate::command::Room;
use crate::format;
use crate::jobs::{self, Done, Job, Kind, Offer, Work};
use crate::missing::Missing;
use crate::state::{Problem, State};

/// Into the open project, or into one of its own.
pub(super) fn read_folder(
    from: PathBuf,
    format: Option<Format>,
    state: &mut State,
    ctx: &egui::Context,
) {
    state.offer = None;
    let into = state.project.is_none().then(|| jobs::project_for(&from));
    let work = jobs::plan(from.clone(), format);
    start_job(Kind::Plan { from, into }, work, state, ctx);
}

/// Reads what was offered, or forgets it.
pub(super) fn answer_offer(accepted: bool, state: &mut State, ctx: &egui::Context) {
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

pub(super) fn export(state: &mut State, ctx: &egui::Context) {
    if let (Some(draft), Some(project)) = (state.export.take(), &state.project) {
        let kind = Kind::Export { to: draft.path() };
        let work = jobs::export(project.dir().to_owned(), draft);
        start_job(kind, work, state, ctx);
    }
}

pub(super) fn start_job(kind: Kind, work: Work, state: &mut State, ctx: &egui::Context) {
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

pub(super) fn open_demo(demo: Demo, state: &mut State, ctx: &egui::Context) {
    let dir = crate::demo::dir(demo);
    if dir.exists() {
        open_project(&dir, state);
    } else {
        const SEED: u64 = 0;
        let into = dir.with_extension("images");
        let work = jobs::make_demo(demo, into.clone(), SEED);
        let kind = Kind::MakeDemo {
            demo,
            into,
            for_story: false,
        };
        start_job(kind, work, state, ctx);
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
        Ok(Done::TakenAway) => {
            if let Kind::TakeAway { what, to } = &job.kind {
                state.last_event = format!("{} written to {}", what.name(), to.display());
            }
            Ok(())
        }
        Ok(Done::Read(import)) => {
            let taken = match &job.kind {
                Kind::MakeDemo {
                    demo, for_story, ..
                } => {
                    if *for_story {
                        super::story::take_in(*demo, import, state)
                    } else {
                        take_in_demo(*demo, import, state)
                    }
                }
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
                Kind::TakeAway { .. } => "Nothing was written",
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

fn take_in_demo(demo: Demo, import: Import, state: &mut State) -> Result<(), ProjectError> {
    let dir = crate::demo::dir(demo);
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
        demo,
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
