//! What a step and an epoch cost, for `care bench`. Nothing here is used by training.

use std::path::PathBuf;
use std::time::Instant;

use care_data::{BoundingBox, ClassId, ImageId, ImageSize, Look, Part};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, TchError, Tensor};

use crate::TrainerCommand;
use crate::attention_loss::{GridMasks, MaskBatch, Raster};
use crate::backbone::Network;
use crate::classification_loss::ClassificationLoss;
use crate::config::RunConfig;
use crate::evaluation::Viewer;
use crate::event::{ModelRole, Outcome, TrainerEvent};
use crate::grad_cam::label_tensor;
use crate::panics::{Panic, caught};
use crate::task::{Fingerprint, Sample, Task, TaskClass};
use crate::trainer::learner::{Batch, Learner, StepSettings};
use crate::trainer::{Host, train};

const CLASSES: usize = 7;

/// A benchmark that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BenchmarkError {
    #[error("libtorch failed: {0}")]
    Torch(String),
    #[error("{0}")]
    Training(String),
}

impl From<TchError> for BenchmarkError {
    fn from(error: TchError) -> Self {
        Self::Torch(crate::panics::torch_reason(&error.to_string()))
    }
}

impl From<Panic> for BenchmarkError {
    fn from(panic: Panic) -> Self {
        let (Panic::Torch(why) | Panic::Fault(why)) = panic;
        Self::Torch(why)
    }
}

/// Optimiser steps of one network on one batch of noise, as the trainer makes them.
pub struct Steps {
    learner: Learner,
    viewer: Viewer,
    settings: StepSettings,
    config: RunConfig,
    plain: Batch,
    care: Batch,
}

impl Steps {
    /// Of `batch` images, of which the first `boxed` have a box where the attention is learned.
    ///
    /// # Errors
    /// Where libtorch fails.
    pub fn new(
        config: RunConfig,
        batch: usize,
        boxed: usize,
        device: Device,
    ) -> Result<Self, BenchmarkError> {
        Ok(caught(|| Self::on(config, batch, boxed, device))?)
    }

    fn on(config: RunConfig, batch: usize, boxed: usize, device: Device) -> Self {
        let network = Network::new(config.backbone, CLASSES, config.seed, device);
        let viewer = Viewer::new(&config, &network, device);
        let side = config.input_size;
        let size = ImageSize::new(side, side);
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let pixels: Vec<f32> = (0..batch * size.area() as usize * 3)
            .map(|_| rng.random_range(-2.0..2.0))
            .collect();
        let side = i64::from(side);
        let images = Tensor::from_slice(&pixels)
            .view([batch as i64, side, side, 3])
            .to_device(device)
            .permute([0, 3, 1, 2]);
        let labels: Vec<usize> = (0..batch).map(|i| i % CLASSES).collect();
        let third = f64::from(size.width) / 3.0;
        let rect = BoundingBox::new(third, third, 2.0 * third, 2.0 * third).ok();
        let raster = Raster::new(rect.as_slice(), size, size);
        let masks = GridMasks::new(&raster, config.outside, &viewer.upsampling);
        let masks: Vec<&GridMasks> = masks.iter().cycle().take(boxed).collect();
        let of = |boxed| Batch {
            images: images.shallow_clone(),
            label_tensor: label_tensor(&labels, device),
            labels: labels.clone(),
            boxed,
        };
        let rows: Vec<i64> = (0..masks.len() as i64).collect();
        let masks = (rows, MaskBatch::new(&masks, Kind::Float, device));
        let loss = ClassificationLoss::new(&[1; CLASSES], false, 0.0);
        Self {
            settings: StepSettings::new(&config, loss),
            learner: Learner::new(ModelRole::Care, network, &config),
            plain: of(None),
            care: of(Some(masks)),
            viewer,
            config,
        }
    }

    /// Seconds of each of so many steps with cross-entropy alone.
    ///
    /// # Errors
    /// Where libtorch fails.
    pub fn plain(&mut self, steps: usize) -> Result<Vec<f64>, BenchmarkError> {
        self.time(false, steps)
    }

    /// Seconds of each of so many steps with the attention loss.
    ///
    /// # Errors
    /// Where libtorch fails.
    pub fn care(&mut self, steps: usize) -> Result<Vec<f64>, BenchmarkError> {
        self.time(true, steps)
    }

    fn time(&mut self, care: bool, steps: usize) -> Result<Vec<f64>, BenchmarkError> {
        let Self {
            learner,
            viewer,
            settings,
            config,
            ..
        } = self;
        let (batch, alpha) = if care {
            (&self.care, config.live.alpha)
        } else {
            (&self.plain, 0.0)
        };
        let parts = std::slice::from_ref(batch);
        (0..steps)
            .map(|_| {
                let begun = Instant::now();
                let step = || learner.step(parts, viewer, settings, alpha, &config.live, 1e-4);
                caught(step)??;
                Ok(begun.elapsed().as_secs_f64())
            })
            .collect()
    }
}

/// Seconds of each epoch of plain training from image files, reading them included: stage 1 of a real run, in a folder
/// that is left behind for the caller to remove. Two classes take the files in turn.
///
/// # Errors
/// Where the run fails.
pub fn epochs(
    config: RunConfig,
    files: &[(PathBuf, ImageSize)],
    folder: PathBuf,
) -> Result<Vec<f64>, BenchmarkError> {
    let samples = files.iter().enumerate().map(|(i, (path, size))| Sample {
        image: ImageId(i as i64),
        path: path.clone(),
        size: *size,
        label: i % 2,
        part: Part::Train,
        // A run has to have one.
        boxes: BoundingBox::new(0.0, 0.0, 9.0, 9.0)
            .into_iter()
            .take(usize::from(i == 1))
            .collect(),
    });
    let task = Task {
        classes: [false, true]
            .into_iter()
            .map(|rare| TaskClass {
                id: ClassId(i64::from(rare)),
                name: if rare { "rare" } else { "common" }.to_owned(),
                rare,
            })
            .collect(),
        look: Look::default(),
        samples: samples.collect(),
        watch: Vec::new(),
        folder,
        others: Vec::new(),
        goes_on: false,
        fingerprint: Fingerprint::default(),
        config,
    };
    let mut host = EpochClock {
        since: Instant::now(),
        seconds: Vec::new(),
        num_epochs: task.config.stage1_epochs as usize,
    };
    match train(&task, &mut host) {
        Outcome::Failed(why) => Err(BenchmarkError::Training(why)),
        Outcome::Finished(_) | Outcome::Stopped(_) => Ok(host.seconds),
    }
}

/// Notes when epochs end, and stops after the last of stage 1.
struct EpochClock {
    since: Instant,
    seconds: Vec<f64>,
    num_epochs: usize,
}

impl Host for EpochClock {
    fn report(&mut self, event: TrainerEvent) {
        if matches!(event, TrainerEvent::Epoch(_)) {
            self.seconds.push(self.since.elapsed().as_secs_f64());
            self.since = Instant::now();
        }
    }

    fn commands(&mut self) -> Vec<TrainerCommand> {
        Vec::new()
    }

    fn stop_requested(&self) -> bool {
        self.seconds.len() >= self.num_epochs
    }

    fn abandoned(&self) -> bool {
        self.stop_requested()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_timed() {
        tch::set_num_threads(1);
        let mut steps = Steps::new(RunConfig::default(), 4, 2, Device::Cpu).expect("libtorch");
        for seconds in [steps.plain(2), steps.care(2)] {
            let seconds = seconds.expect("steps");
            assert!(seconds.len() == 2 && seconds.iter().all(|s| *s > 0.0));
        }
    }

    #[test]
    fn every_epoch_is_timed() {
        tch::set_num_threads(1);
        let dir = tempfile::tempdir().expect("a folder");
        let size = ImageSize::new(20, 20);
        let files: Vec<(PathBuf, ImageSize)> = (0..8u8)
            .map(|i| {
                let path = dir.path().join(format!("{i}.jpg"));
                let image = image::RgbImage::from_pixel(20, 20, image::Rgb([i * 30, 9, 9]));
                image.save(&path).expect("saves");
                (path, size)
            })
            .collect();
        let config = RunConfig {
            input_size: 56,
            stage1_epochs: 3,
            images_per_class: 2,
            ..RunConfig::default()
        };
        let seconds = epochs(config, &files, dir.path().join("run")).expect("trains");
        assert_eq!(seconds.len(), 3);
    }
}
