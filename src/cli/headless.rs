//! A run without the window: the trainer on this thread, told of on standard error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use care_data::{Look, Project, RunId};
use care_learn::event::{Change, Outcome, Results};
use care_learn::run_folder::RunFolder;
use care_learn::task::preflight;
use care_learn::trainer::{Host, train};
use care_learn::{ModelRole, RunConfig, Task, TrainerCommand, TrainerEvent};

use super::measures;
use super::output::{self, Progress};
use crate::dispatch::{metrics_of, record_end, task_of_resumed, watch_list};
use crate::format;
use crate::weight_store::with_path_of_weights;

struct Console {
    progress: Progress,
    interrupted: Arc<AtomicBool>,
}

impl Console {
    /// From here on the first interruption (Ctrl+C, or a scheduler's SIGTERM) stops the run and keeps its checkpoint; the
    /// second ends the program.
    fn new(progress: Progress) -> Result<Self> {
        let interrupted = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&interrupted);
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            output::note("\nstopping; once more ends at once");
        })
        .context("interruptions cannot be listened for")?;
        Ok(Self {
            progress,
            interrupted,
        })
    }
}

impl Host for Console {
    fn report(&mut self, event: TrainerEvent) {
        match event {
            TrainerEvent::Loading { done, total } => self.progress.show(
                done as u64,
                total as u64,
                &format!("reading images {done} of {total}"),
            ),
            TrainerEvent::Loaded { not_read } => {
                for file in &not_read {
                    self.progress
                        .say(&format!("left out: {}", format::not_read(file)));
                }
            }
            TrainerEvent::Step(step) => self.progress.show(
                step.step.into(),
                step.num_steps.into(),
                &format!(
                    "stage {}, epoch {:.1}, step {} of {}, {:.0} images/s, {} left",
                    step.stage,
                    step.epoch,
                    step.step,
                    step.num_steps,
                    step.images_per_second,
                    format::duration(step.seconds_left)
                ),
            ),
            TrainerEvent::Evaluating { role, done, total } => self.progress.show(
                done as u64,
                total as u64,
                &format!("testing {}: {done} of {total} images", role.name()),
            ),
            TrainerEvent::Stage1Of(run) => self.progress.say(&format!(
                "note: stage 1 is run {run}'s, of the same images and settings"
            )),
            TrainerEvent::Weights { new_classifier } => {
                if new_classifier {
                    self.progress.say(
                        "note: the weights are for other classes; the classifier layer is new",
                    );
                }
            }
            TrainerEvent::Epoch(epoch) if epoch.skipped > 0 => self.progress.say(&format!(
                "note: {} left out {} in epoch {}: the loss was not a number",
                epoch.role.name(),
                format::plural(epoch.skipped as usize, "step", "steps"),
                epoch.epoch,
            )),
            TrainerEvent::Changed {
                change: Change::BatchHalved,
                ..
            } => self.progress.say(
                "note: a batch did not fit into memory; from here on each is computed in two parts",
            ),
            TrainerEvent::Epoch(_)
            | TrainerEvent::Film(_)
            | TrainerEvent::Changed { .. }
            | TrainerEvent::Held
            | TrainerEvent::Ended(_) => {}
        }
    }

    fn commands(&mut self) -> Vec<TrainerCommand> {
        Vec::new()
    }

    fn stop_requested(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Whoever interrupts wants it to end: the checkpoint is kept, the test is left out.
    fn abandoned(&self) -> bool {
        self.stop_requested()
    }
}

/// Trains and tests, and records the run in the project.
pub fn run(project: &mut Project, config: RunConfig) -> Result<Results> {
    let config = with_path_of_weights(config)?;
    let console = Console::new(Progress::new())?;
    look_ahead(project, &config, |text| console.progress.say(text))?;
    let watch = watch_list(project, None, None);
    let (id, folder) = project.begin_run()?;
    let task = Task::from_project(project, config, folder, watch);
    carry_out(project, id, &task, console)
}

/// Says what there is to know before training.
///
/// # Errors
/// Where it cannot train.
pub fn look_ahead(project: &Project, config: &RunConfig, say: impl Fn(&str)) -> Result<()> {
    for problem in preflight(project, config) {
        if problem.blocks() {
            bail!("{problem}");
        }
        say(&format!("note: {problem}"));
    }
    if project.look() != Look::default() {
        let look = format::look(project.look());
        say(&format!(
            "note: grey images are seen through the project's window: {look}"
        ));
    }
    Ok(())
}

/// Goes on with a run that was stopped, or failed.
pub fn resume(project: &mut Project, id: RunId) -> Result<Results> {
    let task = task_of_resumed(project, id)?;
    let console = Console::new(Progress::new())?;
    project.resume_run(id)?;
    carry_out(project, id, &task, console)
}

fn carry_out(
    project: &mut Project,
    id: RunId,
    task: &Task,
    mut console: Console,
) -> Result<Results> {
    let outcome = train(task, &mut console);
    drop(console);
    let note = record_end(project, id, &outcome)?;
    match outcome {
        Outcome::Finished(results) => {
            output::note(&format!("run {id} {note}: {}", task.folder.display()));
            Ok(results)
        }
        Outcome::Stopped(_) => bail!("run {id} was stopped.{}", resume_hint(project, id)),
        Outcome::Failed(why) => bail!("{why}{}", resume_hint(project, id)),
    }
}

/// A sentence to follow others, empty where there is nothing to go on from.
fn resume_hint(project: &Project, id: RunId) -> String {
    let folder = RunFolder::open(&project.run_dir(id));
    let dir = project.dir().display();
    match folder {
        Ok(folder) if folder.can_go_on() => {
            format!(" `care train {dir} --resume {id}` goes on with it.")
        }
        _ => String::new(),
    }
}

/// The results as a table: a row for each measure, a column for each model.
pub fn print_table(project: &Project, results: &Results) -> Result<()> {
    let models = ModelRole::ALL.map(ModelRole::name);
    let header = "on the test part";
    measures::table(header, &models, &metrics_of(project, results))?;
    results.rare_difference.map_or(Ok(()), measures::difference)
}
