//! `figure`, `tables`, `film`, `report` and `export-model`: as the window's sheet writes them.

use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, anyhow, ensure};
use care_data::{Project, RunState};
use care_learn::run_folder::RunFolder;

use super::output::{self, Progress};
use super::project::find;
use super::request::{TakeAway, Wanted};
use crate::take_away::{self, What};
use crate::training::TrainingRun;

pub fn take_away(request: &TakeAway) -> Result<()> {
    let out = &request.out;
    ensure!(
        !out.exists(),
        "{} is there already: name another, or remove it",
        out.display()
    );
    let project = Project::open_read_only(&request.project)?;
    let dir = project.dir();
    let run = match request.run {
        Some(id) => {
            let run = project.run(id);
            run.with_context(|| format!("{} has no run {id}", dir.display()))?
        }
        None => {
            let mut newest_first = project.runs().iter().rev();
            let finished = newest_first.find(|run| run.state == RunState::Finished);
            finished.with_context(|| format!("{} has no finished run", dir.display()))?
        }
    };
    ensure!(
        run.state != RunState::Running,
        "run {} is being trained; try again when it has ended",
        run.id
    );
    let folder = RunFolder::open(&project.run_dir(run.id))?;
    let run = TrainingRun::read(run.id, run.state, &folder)?;
    let what = match request.wanted {
        Wanted::Figure { .. } => What::Figure,
        Wanted::Tables(_) => What::Tables,
        Wanted::Film(_) => What::Film,
        Wanted::Report => What::Report,
        Wanted::Model { .. } => What::Model,
    };
    let mut draft = take_away::TakeAway::new(what, &project, &run, request.style)
        .with_context(|| format!("run {} ended before there was anything to show", run.id))?;
    match &request.wanted {
        Wanted::Figure {
            format,
            images,
            width,
            theme,
            has_captions,
            with_names,
        } => {
            draft.figure = *format;
            draft.width = *width;
            draft.theme = *theme;
            draft.has_captions = *has_captions;
            draft.with_names = *with_names;
            if !images.is_empty() {
                draft.images = images
                    .iter()
                    .map(|name| {
                        let image = find(&project, name)?;
                        let is_tested = run.test.iter().flat_map(|(_, seen)| seen);
                        let is_tested = is_tested.into_iter().any(|it| it.image == image.id);
                        ensure!(is_tested, "run {} did not test {name}", run.id);
                        Ok(image.id)
                    })
                    .collect::<Result<_>>()?;
            }
        }
        Wanted::Tables(format) => draft.table = *format,
        Wanted::Film(format) => draft.film = *format,
        Wanted::Report => {}
        Wanted::Model { format, role } => (draft.model, draft.role) = (*format, *role),
    }
    let there = |role| draft.models.iter().any(|(it, _)| *it == role);
    for role in request.models.iter().flatten().chain([&draft.role]) {
        ensure!(there(*role), "run {} has no {}", run.id, role.name());
    }
    if let Some(models) = &request.models {
        for (role, shown) in &mut draft.models {
            *shown = models.contains(role);
        }
    }
    if let Some(lacks) = draft.lacks(&run) {
        return Err(anyhow!("{}", lacks.trim_end_matches('.')));
    }
    let (id, progress) = (run.id, Progress::new());
    let show = |done: usize, total: usize| {
        let name = what.name().to_lowercase();
        let text = format!("{name}: {done} of {total}");
        progress.show(done as u64, total as u64, &text);
    };
    let work = take_away::take_away(draft, out.clone(), dir.to_owned(), run);
    work(&show, &AtomicBool::new(false)).map_err(|why| anyhow!("{why}"))?;
    drop(progress);
    output::line(&format!("{} of run {id}: {}", what.name(), out.display()))
}
