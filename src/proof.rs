//! The proof of geometry: what the network saw of an image, beside the image.

use care_data::{ImageId, Part, Project};
use care_learn::RunConfig;
use care_learn::config::Reviewed;
use care_learn::network_input::{NetworkInput, network_input};
use care_learn::task::{Sample, boxes_to_train_on};

use crate::background::Later;
use crate::training::TrainingRun;

/// An image as a run's network sees it, being read.
pub struct Proof {
    pub image: ImageId,
    /// Of the run, or of the next one where none is shown.
    pub config: RunConfig,
    /// "Run 3", or "The next run".
    pub whose: String,
    /// The number of the changed view, as a training step may show it; none for the image as it is tested.
    pub view: Option<u64>,
    pub input: Later<Result<NetworkInput, String>>,
}

impl Proof {
    /// Begins to read the image as the run does; none where it is not in the project.
    pub fn start(
        project: &Project,
        run: Option<&TrainingRun>,
        draft: &RunConfig,
        image: ImageId,
        view: Option<u64>,
        ctx: &egui::Context,
    ) -> Option<Self> {
        let config = run.map_or(draft, |run| &run.config).clone();
        let data = run.and_then(|run| run.data.as_ref());
        let look = data.map_or_else(|| project.look(), |data| data.look);
        let sample = sample(project, image, config.boxes)?;
        // As the run's own maps are; where there are none yet, as its settings have it.
        let seen = run.and_then(|run| run.test.first()?.1.first());
        let grid = seen.map_or_else(
            || config.map_side().map(|side| [side as usize; 2]),
            |seen| Some([seen.map.height, seen.map.width]),
        );
        let settings = config.clone();
        let input = Later::start("network input", ctx, move || {
            let grid = grid.unwrap_or([1, 1]);
            network_input(&settings, &look, &sample, grid, view).map_err(|why| why.to_string())
        });
        Some(Self {
            image,
            config,
            whose: run.map_or("The next run".to_owned(), |run| format!("Run {}", run.id)),
            view,
            input,
        })
    }
}

/// The image as a run that uses these boxes would be given it today.
fn sample(project: &Project, image: ImageId, reviewed: Reviewed) -> Option<Sample> {
    let image = project.image(image)?;
    let boxes = match image.part {
        Part::Train => boxes_to_train_on(project, image.id, reviewed),
        Part::Validation | Part::Test => project.boxes(image.id).iter().map(|a| a.rect).collect(),
    };
    Some(Sample {
        image: image.id,
        path: project.path_of(image),
        size: image.size,
        // Plays no part in what is seen.
        label: 0,
        part: image.part,
        boxes,
    })
}
