//! What a model makes of images that it does not learn from.

use std::borrow::Cow;
use std::cell::OnceCell;

use care_data::{BoundingBox, ImageId, ImageSize};
use tch::{Device, Kind, Tensor};

use crate::attention_loss::{GridMasks, Raster, Upsampling};
use crate::augment::View;
use crate::backbone::Network;
use crate::config::{Outside, RunConfig};
use crate::dataset::Dataset;
use crate::event::{AttentionMap, ImageAttention};
use crate::grad_cam::{GradCam, label_tensor};
use crate::metrics::attention_score;
use crate::task::Sample;

/// Images to a forward pass without gradients.
const BATCH: usize = 32;

/// A sample as the network sees it: its label, and its boxes on the network's grids.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) image: ImageId,
    pub(crate) label: usize,
    /// The boxes as they were drawn: for scoring.
    pub(crate) raster: Raster,
    /// The boxes as they are learned from, that is scaled.
    lesson: Raster,
    /// Of the whole image, computed when first learned from: for thousands of boxes that takes seconds. None without a box.
    masks: OnceCell<Option<GridMasks>>,
}

/// What all forward passes of a run have in common.
#[derive(Debug)]
pub(crate) struct Viewer {
    pub(crate) device: Device,
    pub(crate) cam: GradCam,
    pub(crate) upsampling: Upsampling,
    grid: [usize; 2],
    input: ImageSize,
    outside: Outside,
    box_scale: f64,
}

impl Viewer {
    pub(crate) fn new(config: &RunConfig, network: &Network, device: Device) -> Self {
        let input = ImageSize::new(config.input_size, config.input_size);
        let grid = network.grid(config.input_size);
        Self {
            device,
            cam: GradCam {
                normalisation: config.normalisation,
                weights: config.cam_weights,
            },
            upsampling: Upsampling::new(grid[0], grid[1], input),
            grid,
            input,
            outside: config.outside,
            box_scale: config.box_scale,
        }
    }

    pub(crate) fn target(&self, sample: &Sample) -> Target {
        let raster = |boxes: &[BoundingBox]| Raster::new(boxes, sample.size, self.input);
        let scaled = |rect: &BoundingBox| rect.scaled(self.box_scale, sample.size).ok();
        Target {
            image: sample.image,
            label: sample.label,
            raster: raster(&sample.boxes),
            lesson: raster(&sample.boxes.iter().filter_map(scaled).collect::<Vec<_>>()),
            masks: OnceCell::new(),
        }
    }

    /// The masks to learn from, of the image as `view` shows it; none where it shows no box.
    pub(crate) fn masks<'t>(
        &self,
        target: &'t Target,
        view: Option<&View>,
    ) -> Option<Cow<'t, GridMasks>> {
        let Some(view) = view else {
            let compute = || GridMasks::new(&target.lesson, self.outside, &self.upsampling);
            return target
                .masks
                .get_or_init(compute)
                .as_ref()
                .map(Cow::Borrowed);
        };
        let mask = target.lesson.seen_through(&view.to_source)?;
        let masks = GridMasks::of(&mask, self.outside, &self.upsampling);
        Some(Cow::Owned(masks))
    }

    /// Attention for the own label, probabilities and scores of readable `images`, in order. `go_on` is asked before
    /// every batch, and told how many images are seen by then; none where it said no.
    pub(crate) fn look(
        &self,
        network: &Network,
        data: &Dataset,
        targets: &[Target],
        images: &[usize],
        mut go_on: impl FnMut(usize) -> bool,
    ) -> Option<Vec<ImageAttention>> {
        let mut seen = Vec::with_capacity(images.len());
        for chunk in images.chunks(BATCH) {
            if !go_on(seen.len()) {
                return None;
            }
            let labels: Vec<usize> = chunk.iter().map(|i| targets[*i].label).collect();
            let labels = label_tensor(&labels, self.device);
            let (maps, logits) =
                self.cam
                    .evaluate(network.backbone(), &data.batch(chunk, self.device), &labels);
            let maps = values(&maps);
            let probabilities = values(&logits.softmax(-1, Kind::Float));
            let area = maps.len() / chunk.len();
            let classes = probabilities.len() / chunk.len();
            for ((image, map), probabilities) in chunk
                .iter()
                .zip(maps.chunks_exact(area))
                .zip(probabilities.chunks_exact(classes))
            {
                let target = &targets[*image];
                let exact: Vec<f64> = map.iter().map(|v| f64::from(*v)).collect();
                let score = attention_score(&exact, &target.raster, &self.upsampling);
                seen.push(ImageAttention {
                    image: target.image,
                    map: AttentionMap {
                        height: self.grid[0],
                        width: self.grid[1],
                        values: map.to_vec(),
                    },
                    probabilities: probabilities.to_vec(),
                    energy: score.map(|s| s.energy as f32),
                    hit: score.map(|s| s.hit),
                });
            }
        }
        Some(seen)
    }

    /// The predicted class of readable `images`, in order.
    pub(crate) fn predict(
        &self,
        network: &Network,
        data: &Dataset,
        images: &[usize],
        mut go_on: impl FnMut() -> bool,
    ) -> Option<Vec<usize>> {
        let mut predicted = Vec::with_capacity(images.len());
        for chunk in images.chunks(BATCH) {
            if !go_on() {
                return None;
            }
            let best = tch::no_grad(|| {
                let activations = network
                    .backbone()
                    .features(&data.batch(chunk, self.device), false);
                network
                    .backbone()
                    .head(&activations, false)
                    .argmax(-1, false)
            });
            predicted.extend(integers(&best).into_iter().map(|class| class as usize));
        }
        Some(predicted)
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor
        .to_kind(Kind::Float)
        .to_device(Device::Cpu)
        .contiguous();
    let mut values = vec![0.0; tensor.numel()];
    tensor.copy_data(&mut values, tensor.numel());
    values
}

fn integers(tensor: &Tensor) -> Vec<i64> {
    let tensor = tensor.to_device(Device::Cpu).contiguous();
    let mut values = vec![0; tensor.numel()];
    tensor.copy_data(&mut values, tensor.numel());
    values
}
