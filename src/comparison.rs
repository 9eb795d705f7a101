//! What two runs are compared by: a model of another run beside those of the run that is shown, and the figures of all of
//! them on the same images.

use care_data::{Project, RunId};
use care_learn::ModelRole;
use care_learn::event::{ImageAttention, Results};
use care_learn::metrics::{McNemar, Summary, summarise};
use care_learn::run_folder::{RunFolder, RunFolderError};

use crate::background::Later;
use crate::training::{Phase, TrainingRun};

/// A model of another run that is being read.
pub struct Coming {
    pub id: RunId,
    pub role: ModelRole,
    pub run: Later<Result<TrainingRun, RunFolderError>>,
}

impl Coming {
    /// Begins to read its settings and what it made of the test part, not its film; none where the project has no such run.
    #[must_use]
    pub fn start(
        project: &Project,
        id: RunId,
        role: ModelRole,
        ctx: &egui::Context,
    ) -> Option<Self> {
        let state = project.run(id)?.state;
        let dir = project.run_dir(id);
        let read = move || {
            let folder = RunFolder::open(&dir)?;
            let mut run = TrainingRun::new(id, folder.config()?, Vec::new());
            run.phase = Phase::Ended(state);
            run.read_results(&folder)?;
            Ok(run)
        };
        let run = Later::start("other run", ctx, read);
        Some(Self { id, role, run })
    }
}

/// A model of another run.
pub struct OtherRun {
    pub run: TrainingRun,
    pub role: ModelRole,
}

impl OtherRun {
    /// The test images as the model saw them; none where the run has no such model.
    #[must_use]
    pub fn test(&self) -> Option<&[ImageAttention]> {
        let mut test = self.run.test.iter();
        let (_, images) = test.find(|(role, _)| *role == self.role)?;
        Some(images)
    }
}

/// The figures of the models that are compared.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measured {
    /// For each model; none where it has none.
    pub summaries: Vec<Option<Summary>>,
    /// As the run recorded it: CARE against its control on the rare test images.
    pub recorded: Option<McNemar>,
}

impl Measured {
    /// As a run recorded them, for these of its models.
    #[must_use]
    pub fn recorded(results: &Results, roles: &[ModelRole]) -> Self {
        let roles = roles.iter();
        Self {
            summaries: roles.map(|role| results.summary(*role).cloned()).collect(),
            recorded: results.rare_difference,
        }
    }

    /// Measured anew. Each model's images with their labels, in one order for both; `rare` is in class order.
    #[must_use]
    pub fn anew(models: &[(Vec<usize>, Vec<ImageAttention>)], rare: &[bool], seed: u64) -> Self {
        let models = models.iter();
        Self {
            summaries: models
                .map(|(labels, images)| {
                    (!images.is_empty()).then(|| summarise(labels, images, rare, seed))
                })
                .collect(),
            recorded: None,
        }
    }
}
