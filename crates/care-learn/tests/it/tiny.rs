//! A tiny task, a host that follows a script, and a batch computed again beside the trainer.

use std::path::Path;

use care_data::{BoundingBox, ClassId, ImageId, ImageSize, Look, Part};
use care_learn::attention_loss::{GridMasks, Raster, Upsampling};
use care_learn::backbone::Network;
use care_learn::config::{Outside, Preprocess};
use care_learn::dataset::Dataset;
use care_learn::event::{AttentionLosses, AttentionMap, Outcome, StepMetrics, TrainerEvent};
use care_learn::grad_cam::{GradCam, label_tensor};
use care_learn::sampler::Sampler;
use care_learn::task::{Fingerprint, Sample, TaskClass};
use care_learn::trainer::{Host, train};
use care_learn::{LiveParams, RunConfig, Task, TrainerCommand};
use tch::{Device, Tensor};

/// The smallest that the small network takes: its map is 7 x 7.
pub(crate) const SIDE: u32 = 56;

/// Two classes, told apart by the colour of a square; the second is rare and boxed.
pub(crate) fn tiny_task(dir: &Path) -> Task {
    let parts = [(Part::Train, 8), (Part::Validation, 2), (Part::Test, 4)];
    let mut samples = Vec::new();
    for (label, (part, count)) in (0..2).flat_map(|label| parts.map(|part| (label, part))) {
        for i in 0..count {
            let number = samples.len() as u32;
            let at = 4 + (number * 5) % 40;
            let image = image::RgbImage::from_fn(SIDE, SIDE, |x, y| {
                let inside = (at..at + 8).contains(&x) && (at..at + 8).contains(&y);
                match (inside, label) {
                    (false, _) => image::Rgb([200, 160 + (number % 7) as u8, 150]),
                    (true, 0) => image::Rgb([90, 40, 30]),
                    (true, _) => image::Rgb([30, 40, 90]),
                }
            });
            let path = dir.join(format!("{label} {} ä {i}.png", part.name()));
            image.save(&path).expect("saves");
            let (low, high) = (f64::from(at), f64::from(at + 8));
            samples.push(Sample {
                image: ImageId(i64::from(number) + 1),
                path,
                size: ImageSize::new(SIDE, SIDE),
                label,
                part,
                boxes: if label == 1 {
                    vec![BoundingBox::new(low, low, high, high).expect("a box")]
                } else {
                    vec![]
                },
            });
        }
    }
    let watch = samples
        .iter()
        .filter(|s| s.part == Part::Test && s.label == 1)
        .take(2)
        .map(|s| s.image)
        .collect();
    Task {
        config: RunConfig {
            input_size: SIDE,
            stage1_epochs: 2,
            stage2_epochs: 2,
            learning_rate: 1e-3,
            classes_per_batch: 2,
            images_per_class: 4,
            ..RunConfig::default()
        },
        classes: ["common", "rare"]
            .into_iter()
            .enumerate()
            .map(|(i, name)| TaskClass {
                id: ClassId(i as i64 + 1),
                name: name.to_owned(),
                rare: name == "rare",
            })
            .collect(),
        look: Look::default(),
        samples,
        watch,
        folder: dir.join("runs/0001"),
        others: vec![],
        goes_on: false,
        fingerprint: Fingerprint::default(),
    }
}

/// What the script returns is sent as commands; `Stop` raises the flag.
struct Scripted<F: FnMut(&TrainerEvent) -> Reaction> {
    react: F,
    events: Vec<TrainerEvent>,
    waiting: Vec<TrainerCommand>,
    stop: bool,
    abandoned: bool,
}

pub(crate) enum Reaction {
    Nothing,
    Send(Vec<TrainerCommand>),
    Stop,
    Abandon,
}

impl<F: FnMut(&TrainerEvent) -> Reaction> Host for Scripted<F> {
    fn report(&mut self, event: TrainerEvent) {
        match (self.react)(&event) {
            Reaction::Nothing => {}
            Reaction::Send(commands) => self.waiting.extend(commands),
            Reaction::Stop => self.stop = true,
            Reaction::Abandon => (self.stop, self.abandoned) = (true, true),
        }
        self.events.push(event);
    }

    fn commands(&mut self) -> Vec<TrainerCommand> {
        std::mem::take(&mut self.waiting)
    }

    fn stop_requested(&self) -> bool {
        self.stop
    }

    fn abandoned(&self) -> bool {
        self.abandoned
    }
}

/// So small a network gains nothing from a second thread, and loses much where other tests run beside it.
pub(crate) fn use_one_thread() {
    tch::set_num_threads(1);
}

pub(crate) fn run(
    task: &Task,
    react: impl FnMut(&TrainerEvent) -> Reaction,
) -> (Outcome, Vec<TrainerEvent>) {
    let mut host = Scripted {
        react,
        events: vec![],
        waiting: vec![],
        stop: false,
        abandoned: false,
    };
    use_one_thread();
    let outcome = train(task, &mut host);
    assert_eq!(
        host.events.last(),
        Some(&TrainerEvent::Ended(outcome.clone()))
    );
    (outcome, host.events)
}

pub(crate) fn at_step(event: &TrainerEvent, wanted: u32) -> bool {
    matches!(event, TrainerEvent::Step(step) if step.step == wanted)
}

pub(crate) fn steps_of(events: &[TrainerEvent]) -> Vec<&StepMetrics> {
    events
        .iter()
        .filter_map(|e| match e {
            TrainerEvent::Step(step) => Some(step),
            _ => None,
        })
        .collect()
}

/// A batch as the trainer draws it, seen by a network in training mode.
pub(crate) struct Replay {
    /// L_c.
    pub(crate) classification: f32,
    pub(crate) batch: Vec<usize>,
    /// F of each image of the batch.
    pub(crate) maps: Vec<AttentionMap>,
}

pub(crate) fn replay(task: &Task, network: &Network, step: u32) -> Replay {
    let members = (0..task.classes.len())
        .map(|label| {
            let samples = task.samples.iter().enumerate();
            samples
                .filter(|(_, s)| s.part == Part::Train && s.label == label)
                .map(|(i, _)| i)
                .collect()
        })
        .collect();
    let config = &task.config;
    let mut sampler = Sampler::new(
        members,
        config.sampling,
        config.classes_per_batch,
        config.images_per_class,
        config.seed,
    );
    let batch = (0..step)
        .map(|_| sampler.next_batch())
        .last()
        .expect("a step");
    let paths = task.samples.iter().map(|s| s.path.clone()).collect();
    let size = ImageSize::new(SIDE, SIDE);
    let data =
        Dataset::load(paths, &batch, Look::default(), size, Preprocess::IMAGENET).expect("threads");
    assert!(data.wait_for(&batch, || true));
    let labels: Vec<usize> = batch.iter().map(|i| task.samples[*i].label).collect();
    let labels = label_tensor(&labels, Device::Cpu);
    let (f, l_c) = tch::no_grad(|| {
        let backbone = network.backbone();
        let activations = backbone.features(&data.batch(&batch, Device::Cpu), true);
        let logits = backbone.head(&activations, true);
        let f = GradCam::default().attention(backbone, &activations, &logits, &labels);
        (f, logits.cross_entropy_for_logits(&labels))
    });
    let map = |f: Tensor| AttentionMap {
        height: 7,
        width: 7,
        values: Vec::try_from(f.flatten(0, -1)).expect("numbers"),
    };
    Replay {
        classification: l_c.double_value(&[]) as f32,
        maps: f.unbind(0).into_iter().map(map).collect(),
        batch,
    }
}

impl Replay {
    /// The masks and the map of each image that has boxes.
    pub(crate) fn boxed<'a>(
        &'a self,
        task: &'a Task,
    ) -> impl Iterator<Item = (GridMasks, &'a AttentionMap)> {
        let input = ImageSize::new(SIDE, SIDE);
        let upsampling = Upsampling::new(7, 7, input);
        self.batch
            .iter()
            .zip(&self.maps)
            .filter_map(move |(image, map)| {
                let sample = &task.samples[*image];
                let raster = Raster::new(&sample.boxes, sample.size, input);
                Some((GridMasks::new(&raster, Outside::Uniform, &upsampling)?, map))
            })
    }

    /// The terms of each image with boxes by itself, without tensors, and their means.
    pub(crate) fn attention(&self, task: &Task, live: &LiveParams) -> AttentionLosses {
        let each: Vec<AttentionLosses> = self
            .boxed(task)
            .map(|(masks, map)| {
                let l_in = -masks.mean_inside(map).min(live.tau);
                let l_out = masks.mean_outside(map);
                AttentionLosses {
                    l_in: l_in as f32,
                    l_out: l_out as f32,
                    l_a: (l_in + live.lambda * l_out) as f32,
                }
            })
            .collect();
        let mean = |term: fn(&AttentionLosses) -> f32| {
            each.iter().map(term).sum::<f32>() / each.len() as f32
        };
        AttentionLosses {
            l_in: mean(|l| l.l_in),
            l_out: mean(|l| l.l_out),
            l_a: mean(|l| l.l_a),
        }
    }
}
