//! A run as the window sees it: fed by the trainer's events while it trains, read from its folder afterwards.

use care_data::{ImageId, RunId, RunState};
use care_learn::event::{
    Change, EpochMetrics, ImageAttention, RecordedChange, Results, StepMetrics,
};
use care_learn::run_folder::{RunFolder, RunFolderError};
use care_learn::{FilmFrame, LiveParams, ModelRole, Outcome, RunConfig, TrainerEvent};

/// Film frames kept in memory for each model; beyond that every second one is dropped, the newest stays.
const MAX_FRAMES: usize = 512;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Images decoded, of how many.
    Loading(usize, usize),
    Training,
    Paused,
    /// Stop was pressed; the step under way is being finished.
    Stopping,
    Evaluating(ModelRole),
    Ended(RunState),
    /// Why it failed.
    Failed(String),
}

impl Phase {
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Failed(_))
    }
}

/// Everything that Train and Compare show of a run.
#[derive(Debug, Clone)]
pub struct TrainingRun {
    pub id: RunId,
    pub config: RunConfig,
    /// Held-out images of the film, in order.
    pub watch: Vec<ImageId>,
    pub phase: Phase,
    /// As last sent to the trainer.
    pub live: LiveParams,
    pub step: Option<StepMetrics>,
    pub epochs: Vec<EpochMetrics>,
    /// In the order of time.
    pub film: Vec<FilmFrame>,
    pub changes: Vec<RecordedChange>,
    pub results: Option<Results>,
    /// Every test image as each model saw it; empty until the run has ended.
    pub test: Vec<(ModelRole, Vec<ImageAttention>)>,
    /// Files that were left out because they could not be decoded.
    pub num_left_out: usize,
}

impl TrainingRun {
    #[must_use]
    pub fn new(id: RunId, config: RunConfig, watch: Vec<ImageId>) -> Self {
        Self {
            id,
            live: config.live,
            config,
            watch,
            phase: Phase::Loading(0, 0),
            step: None,
            epochs: Vec::new(),
            film: Vec::new(),
            changes: Vec::new(),
            results: None,
            test: Vec::new(),
            num_left_out: 0,
        }
    }

    /// A run that is over, from its folder.
    ///
    /// # Errors
    /// Where a file of it is missing or damaged; the error names the file.
    pub fn read(id: RunId, state: RunState, folder: &RunFolder) -> Result<Self, RunFolderError> {
        let film = folder.film()?;
        let mut run = Self::new(id, folder.config()?, film.watch);
        run.film = film.frames;
        run.phase = Phase::Ended(state);
        run.epochs = folder.epochs()?;
        run.changes = folder.changes()?;
        run.read_results(folder)?;
        Ok(run)
    }

    /// The results and the test part's maps, which the trainer writes last.
    ///
    /// # Errors
    /// Where a file of them is missing or damaged.
    pub fn read_results(&mut self, folder: &RunFolder) -> Result<(), RunFolderError> {
        let results = folder.results()?;
        for (role, _) in &results.summaries {
            self.test.push((*role, folder.test_attention(*role)?));
        }
        self.results = Some(results);
        Ok(())
    }

    /// Takes in what the trainer said.
    pub fn take(&mut self, event: TrainerEvent) {
        match event {
            TrainerEvent::Loading { done, total } => self.phase = Phase::Loading(done, total),
            TrainerEvent::Loaded { not_read } => {
                self.num_left_out = not_read.len();
                if matches!(self.phase, Phase::Loading(..)) {
                    self.phase = Phase::Training;
                }
            }
            TrainerEvent::Step(step) => self.step = Some(step),
            TrainerEvent::Epoch(epoch) => self.epochs.push(epoch),
            TrainerEvent::Film(frame) => self.add_frame(frame),
            TrainerEvent::Changed {
                epoch,
                step,
                change,
            } => {
                self.changes.push(RecordedChange {
                    epoch,
                    step,
                    change,
                });
            }
            TrainerEvent::Evaluating { role } => self.phase = Phase::Evaluating(role),
            TrainerEvent::Ended(outcome) => {
                let state = outcome.state();
                self.phase = match outcome {
                    Outcome::Failed(why) => Phase::Failed(why),
                    Outcome::Finished(_) | Outcome::Stopped(_) => Phase::Ended(state),
                };
            }
        }
    }

    fn add_frame(&mut self, frame: FilmFrame) {
        let role = frame.role;
        self.film.push(frame);
        if self.film.iter().filter(|f| f.role == role).count() > MAX_FRAMES {
            let mut place = 0usize;
            self.film.retain(|f| {
                let keep = f.role != role || place % 2 == 0;
                place += usize::from(f.role == role);
                keep
            });
        }
    }

    /// The newest map of a model at or before `epoch`, or the newest of all where `epoch` is none.
    #[must_use]
    pub fn frame(&self, role: ModelRole, epoch: Option<f32>) -> Option<&FilmFrame> {
        self.film
            .iter()
            .rev()
            .find(|f| f.role == role && epoch.is_none_or(|e| f.epoch <= e + 1e-3))
    }

    /// Epochs of both stages together.
    #[must_use]
    pub fn num_epochs(&self) -> u32 {
        self.config.stage1_epochs + self.config.stage2_epochs
    }

    /// The epoch at which stage 2 began, once it has; stage 1 ends early on a plateau.
    #[must_use]
    pub fn stage_two(&self) -> Option<f32> {
        self.changes
            .iter()
            .find(|c| c.change == Change::StageTwo)
            .map(|c| c.epoch)
    }
}
