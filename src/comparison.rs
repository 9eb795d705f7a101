//! What two runs are compared by: a model of another run beside those of the run that is shown, and the figures of all of
//! them on the same images.

use care_data::{Project, RunId};
use care_learn::ModelRole;
use care_learn::event::{ImageAttention, Results};
use care_learn::metrics::{McNemar, Summary, summarise};
use care_learn::run_folder::{RunFolder, RunFolderError};

use crate::training::{Phase, TrainingRun};

/// A model of another run.
pub struct OtherRun {
    pub run: TrainingRun,
    pub role: ModelRole,
}

impl OtherRun {
    /// Its settings and what it made of the test part; not its film.
    ///
    /// # Errors
    /// Where the project has no such run, or a file of it is missing or damaged.
    pub fn read(project: &Project, id: RunId, role: ModelRole) -> Result<Self, RunFolderError> {
        let folder = RunFolder::open(&project.run_dir(id))?;
        let mut run = TrainingRun::new(id, folder.config()?, Vec::new());
        if let Some(recorded) = project.run(id) {
            run.phase = Phase::Ended(recorded.state);
        }
        run.read_results(&folder)?;
        Ok(Self { run, role })
    }

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
