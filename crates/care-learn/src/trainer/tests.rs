use std::path::{Path, PathBuf};
use std::time::Duration;

use care_data::{BoundingBox, ClassId, ImageId, ImageSize, Look, Part};
use tch::{Device, Kind, Tensor};

use super::failure::{TrainError, is_out_of_memory, panic_message};
use super::{Host, Session, checkpoint, train_and_save};
use crate::backbone::Backbone;
use crate::config::RunConfig;
use crate::event::{Change, Outcome, TrainerCommand, TrainerEvent};
use crate::panics::Panic;
use crate::task::{Fingerprint, Sample, Task, TaskClass};

/// Eight plain images of each of two classes, in batches of four: an epoch is four steps.
fn plain_task(dir: &Path) -> Task {
    let samples = (0..16u8).map(|i| {
        let path = dir.join(format!("{i}.png"));
        let image = image::RgbImage::from_pixel(8, 8, image::Rgb([i * 15, 90, 30]));
        image.save(&path).expect("saves");
        Sample {
            image: ImageId(i.into()),
            path,
            size: ImageSize::new(8, 8),
            label: usize::from(i / 8),
            part: Part::Train,
            boxes: vec![BoundingBox::new(1.0, 1.0, 4.0, 4.0).expect("a box")],
        }
    });
    Task {
        config: RunConfig {
            input_size: 56,
            images_per_class: 2,
            ..RunConfig::default()
        },
        classes: [false, true]
            .into_iter()
            .map(|rare| TaskClass {
                id: ClassId(i64::from(rare)),
                name: rare.to_string(),
                rare,
            })
            .collect(),
        look: Look::default(),
        samples: samples.collect(),
        watch: vec![],
        folder: dir.join("run"),
        others: vec![],
        goes_on: false,
        fingerprint: Fingerprint::default(),
    }
}

/// Stops after the third step, before an epoch has ended, and notes which steps found weights on the disk.
struct Looking {
    weights: PathBuf,
    found: Vec<bool>,
}

impl Host for Looking {
    fn report(&mut self, event: TrainerEvent) {
        if matches!(event, TrainerEvent::Step(_)) {
            self.found.push(self.weights.is_file());
        }
    }

    fn commands(&mut self) -> Vec<TrainerCommand> {
        vec![]
    }

    fn stop_requested(&self) -> bool {
        self.found.len() == 3
    }
}

#[test]
fn weights_are_saved_within_an_epoch_when_it_is_time() {
    for (save_every, found) in [
        (Duration::ZERO, [false, true, true]),
        (Duration::from_secs(600), [false; 3]),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let task = plain_task(dir.path());
        let mut host = Looking {
            weights: task.folder.join("before.safetensors"),
            found: vec![],
        };
        tch::set_num_threads(1);
        let outcome = train_and_save(&task, &mut host, save_every);
        assert_eq!(outcome, Outcome::Stopped(None));
        assert_eq!(host.found, found, "{save_every:?}");
        assert!(host.weights.is_file(), "stopping saves");
    }
}

/// Fails as libtorch does where more than so many images are to be kept for the backward pass.
struct Small(Box<dyn Backbone>, i64);

impl Backbone for Small {
    fn features(&self, images: &Tensor, train: bool) -> Tensor {
        if train && images.size()[0] > self.1 {
            // Through the real allocator: an exbibyte.
            let _ = Tensor::zeros([1 << 58], (Kind::Float, Device::Cpu));
        }
        self.0.features(images, train)
    }

    fn head(&self, activations: &Tensor, train: bool) -> Tensor {
        self.0.head(activations, train)
    }

    fn pooled_linear(&self) -> Option<&Tensor> {
        self.0.pooled_linear()
    }
}

/// Hears everything, wants nothing.
#[derive(Default)]
struct Listening(Vec<TrainerEvent>);

impl Host for Listening {
    fn report(&mut self, event: TrainerEvent) {
        self.0.push(event);
    }

    fn commands(&mut self) -> Vec<TrainerCommand> {
        vec![]
    }

    fn stop_requested(&self) -> bool {
        false
    }
}

#[test]
fn a_batch_that_does_not_fit_is_halved_once() {
    for (fits, halved) in [(4, false), (2, true), (1, true)] {
        let dir = tempfile::tempdir().expect("a folder");
        let mut task = plain_task(dir.path());
        (task.config.stage1_epochs, task.config.stage2_epochs) = (1, 1);
        let mut host = Listening::default();
        tch::set_num_threads(1);
        let (_, origin) = checkpoint::find(&task, Device::Cpu).expect("nothing");
        let (session, network) = Session::new(
            &task,
            &mut host,
            Duration::from_secs(600),
            Device::Cpu,
            origin,
            None,
        )
        .expect("begins");
        let network = network.wrapped(|whole| Box::new(Small(whole, fits)));
        let ended = session.run(network, None);
        let changes: Vec<(u32, &Change)> = host
            .0
            .iter()
            .filter_map(|event| match event {
                TrainerEvent::Changed { step, change, .. } => Some((*step, change)),
                _ => None,
            })
            .collect();
        assert_eq!(
            changes.contains(&(0, &Change::BatchHalved)),
            halved,
            "{fits}"
        );
        match ended {
            Ok(Outcome::Finished(_)) => assert!(fits > 1),
            Err(TrainError::Panicked(Panic::Torch(reason))) => {
                assert!(fits == 1 && is_out_of_memory(&reason), "{fits}: {reason}");
            }
            other => panic!("{fits}: {:?}", other.map_err(|e| e.to_string())),
        }
    }
}

#[test]
fn libtorchs_failure_is_said_with_what_helps() {
    let dir = tempfile::tempdir().expect("a folder");
    let task = plain_task(dir.path());
    for (panic, says) in [
        (
            Panic::Torch("CUDA out of memory".to_owned()),
            "smaller input",
        ),
        (Panic::Torch("a shape".to_owned()), "other settings"),
        (
            Panic::Fault("index (here.rs:1:2)".to_owned()),
            "here.rs:1:2",
        ),
    ] {
        let text = panic_message(&panic, &task);
        assert!(
            text.contains(says) && !text.contains("checkpoint"),
            "{text}"
        );
    }
    std::fs::create_dir_all(&task.folder).expect("a folder");
    std::fs::write(task.folder.join("before.safetensors"), b"").expect("writes");
    let text = panic_message(&Panic::Torch("a shape".to_owned()), &task);
    assert!(text.contains("checkpoint"), "{text}");
}
