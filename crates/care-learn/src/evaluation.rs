//! What a model makes of images that it does not learn from: within a run, and afterwards from its file of weights.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use care_data::{HeatMap, ImageId, ImageSize, Look, NotRead};
use tch::{Device, Kind, Tensor};

use crate::attention_loss::{GridMasks, Raster, Upsampling};
use crate::augment::View;
use crate::backbone::Network;
use crate::config::{BackboneKind, Outside, RunConfig};
use crate::dataset::{Dataset, normalised, rgb};
use crate::device::{DeviceError, pick_device};
use crate::event::{AttentionMap, ImageAttention, ModelRole};
use crate::grad_cam::{Evaluated, GradCam, label_tensor, peak};
use crate::metrics::{argmax, attention_score};
use crate::panics::{Panic, caught};
use crate::run_folder::{RunData, RunFolder, RunFolderError};
use crate::task::Sample;
use crate::weights::{WeightFile, WeightsError};

/// Images to a forward pass without gradients.
const BATCH: usize = 32;
/// Images in memory at a time, and as many being decoded ahead, where nobody learns from them.
const AHEAD: usize = 4 * BATCH;

/// Why weights could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    RunFolder(#[from] RunFolderError),
    #[error("{} has no classifier layer of {network}, so it gives no classes", path.display())]
    NoClassifier {
        path: PathBuf,
        network: &'static str,
    },
    #[error("{} is for {there} classes, and there are {wanted}", path.display())]
    OtherClasses {
        path: PathBuf,
        there: usize,
        wanted: usize,
    },
    #[error("the system gives no more threads: {0}. Close other programs, then try again")]
    Threads(std::io::Error),
    #[error("libtorch failed: {0}. Close other programs or choose a smaller input, then try again")]
    Torch(String),
    #[error("it ended by a fault of this program: {0}")]
    Fault(String),
}

impl From<Panic> for EvaluationError {
    fn from(panic: Panic) -> Self {
        match panic {
            Panic::Torch(reason) => Self::Torch(reason),
            Panic::Fault(what) => Self::Fault(what),
        }
    }
}

/// The network of these settings with the weights of a file, and its number of classes, which the file decides.
fn network_of(
    config: &RunConfig,
    weights: &Path,
    device: Device,
) -> Result<(Network, usize), EvaluationError> {
    let without_classifier = || EvaluationError::NoClassifier {
        path: weights.to_owned(),
        network: config.backbone.title(),
    };
    if config.backbone == BackboneKind::Torchscript {
        let network = Network::open_torchscript(weights, None, config.input_size, 0, device)?;
        let num_classes = network.num_classes();
        return Ok((network, num_classes));
    }
    let file = WeightFile::open(weights)?;
    // Of a file without a classifier layer it is said first whether the rest is this network's.
    let in_file = file.num_classes(config.backbone);
    let num_classes = in_file.filter(|n| *n > 0).unwrap_or(1);
    let mut network = Network::without_weights(config.backbone, num_classes, 0, device);
    let loaded = network.load(weights)?;
    if loaded.new_classifier || in_file != Some(num_classes) {
        return Err(without_classifier());
    }
    if let Some(layer) = &config.target_layer {
        network = network.split_at(layer).map_err(WeightsError::from)?;
    }
    Ok((network, num_classes))
}

/// What several models make of the same images.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The samples that could be read, by their place.
    pub readable: Vec<usize>,
    /// For each model, these images as it sees them.
    pub by_model: Vec<Vec<ImageAttention>>,
    /// The others.
    pub not_read: Vec<NotRead>,
}

/// Looks at `samples`, seen through `look`, with each of `models`, files of weights for networks of these settings with `num_classes` classes.
/// Whatever part of a split the samples stand in, all are looked at. `progress` is told how many images of how many are seen.
///
/// # Errors
/// Where the weights are another network's or for another number of classes, or libtorch fails.
pub fn look_at(
    config: &RunConfig,
    num_classes: usize,
    models: &[PathBuf],
    look: &Look,
    samples: &[Sample],
    mut progress: impl FnMut(usize, usize),
) -> Result<Seen, EvaluationError> {
    caught(|| {
        let device = pick_device(None)?;
        let networks = models
            .iter()
            .map(|path| match network_of(config, path, device)? {
                (network, there) if there == num_classes => Ok(network),
                (_, there) => Err(EvaluationError::OtherClasses {
                    path: path.clone(),
                    there,
                    wanted: num_classes,
                }),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut seen = Seen {
            readable: Vec::new(),
            by_model: vec![Vec::new(); networks.len()],
            not_read: Vec::new(),
        };
        let Some(first) = networks.first() else {
            return Ok(seen);
        };
        let viewer = Viewer::new(config, first, device);
        let load = |samples: &[Sample]| {
            let paths = samples.iter().map(|sample| sample.path.clone()).collect();
            Dataset::load(
                paths,
                &[],
                *look,
                viewer.input,
                config.backbone.preprocess(),
            )
            .map_err(EvaluationError::Threads)
        };
        let mut parts = samples.chunks(AHEAD).peekable();
        let mut decoded = parts.peek().map(|part| load(part)).transpose()?;
        let mut done = 0;
        while let (Some(part), Some(data)) = (parts.next(), decoded.take()) {
            let mut images: Vec<usize> = (0..part.len()).collect();
            data.wait_for(&images, || true);
            decoded = parts.peek().map(|part| load(part)).transpose()?;
            images.retain(|image| data.is_readable(*image));
            let targets: Vec<Target> = part.iter().map(|sample| viewer.target(sample)).collect();
            for (network, seen) in networks.iter().zip(&mut seen.by_model) {
                seen.extend(
                    viewer
                        .look(network, &data, &targets, &images, |_| true)
                        .into_iter()
                        .flatten(),
                );
            }
            seen.readable
                .extend(images.into_iter().map(|image| done + image));
            seen.not_read.extend(data.not_read());
            done += part.len();
            progress(done, samples.len());
        }
        Ok(seen)
    })?
}

/// A model that is asked about one image at a time, for any class.
pub struct Explainer {
    network: Network,
    num_classes: usize,
    config: RunConfig,
    viewer: Viewer,
}

/// What an [`Explainer`] says of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The class whose attention `map` is.
    pub class: usize,
    pub predicted: usize,
    /// Of each class.
    pub logits: Vec<f32>,
    pub probabilities: Vec<f32>,
    /// F on its own grid.
    pub map: AttentionMap,
    /// The weighted sum that `map` is, before it was normalised, in logits.
    pub raw: HeatMap,
    /// F enlarged to the network's input, row by row.
    pub enlarged: Vec<f32>,
}

impl Explainer {
    /// One of a run's models, with the run's settings, and what it learned from.
    ///
    /// # Errors
    /// Where the run's folder has no such model or cannot be read; otherwise as [`Self::open`].
    pub fn of_run(folder: &RunFolder, role: ModelRole) -> Result<(Self, RunData), EvaluationError> {
        let data = folder.data()?;
        let path = folder.weights(role);
        let explainer = Self::open(&folder.config()?, &path)?;
        if explainer.num_classes != data.classes.len() {
            return Err(EvaluationError::OtherClasses {
                path,
                there: explainer.num_classes,
                wanted: data.classes.len(),
            });
        }
        Ok((explainer, data))
    }

    /// The network that a run with these settings would begin with: with new weights, or with those that the settings name.
    ///
    /// # Errors
    /// Where those weights or the TorchScript file cannot be used, or libtorch fails.
    pub fn untrained(config: &RunConfig, num_classes: usize) -> Result<Self, EvaluationError> {
        caught(|| {
            let device = pick_device(None)?;
            let (network, _) = Network::from_config(config, num_classes, device)?;
            Ok(Self {
                viewer: Viewer::new(config, &network, device),
                network,
                num_classes,
                config: config.clone(),
            })
        })?
    }

    /// # Errors
    /// Where the weights are not for the settings' network or without its classifier, or libtorch fails.
    pub fn open(config: &RunConfig, weights: &Path) -> Result<Self, EvaluationError> {
        caught(|| {
            let device = pick_device(None)?;
            let (network, num_classes) = network_of(config, weights, device)?;
            Ok(Self {
                viewer: Viewer::new(config, &network, device),
                network,
                num_classes,
                config: config.clone(),
            })
        })?
    }

    #[must_use]
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// The size of what [`Self::explain`] wants.
    #[must_use]
    pub fn input(&self) -> ImageSize {
        self.viewer.input
    }

    /// Grad-CAM for `class`, or for the predicted one where that is none. `pixels` are RGB, row by row, at the network's input
    /// size.
    ///
    /// # Errors
    /// Where libtorch fails.
    pub fn explain(
        &self,
        pixels: &[u8],
        class: Option<usize>,
    ) -> Result<Explanation, EvaluationError> {
        let Viewer {
            device,
            cam,
            upsampling,
            grid: [height, width],
            input,
            ..
        } = &self.viewer;
        Ok(caught(|| {
            let preprocess = self.config.backbone.preprocess();
            let image = normalised(&rgb(pixels, 1, *input, *device), preprocess);
            let backbone = self.network.backbone();
            let activations = tch::no_grad(|| backbone.features(&image, false));
            let class = class.unwrap_or_else(|| {
                argmax(&values(&tch::no_grad(|| {
                    backbone.head(&activations, false)
                })))
            });
            let label = label_tensor(&[class], *device);
            let Evaluated {
                attention,
                raw,
                logits,
            } = cam.evaluate_activations(backbone, &activations, &label);
            let on_grid = |map: &Tensor| HeatMap {
                height: *height,
                width: *width,
                values: values(map),
            };
            let map = on_grid(&attention);
            let exact: Vec<f64> = map.values.iter().map(|v| f64::from(*v)).collect();
            let probabilities = values(&logits.softmax(-1, Kind::Float));
            let logits = values(&logits);
            Explanation {
                class,
                predicted: argmax(&logits),
                logits,
                probabilities,
                enlarged: upsampling.up(&exact).iter().map(|v| *v as f32).collect(),
                raw: on_grid(&raw),
                map,
            }
        })?)
    }
}

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
        let Sample { boxes, size, .. } = sample;
        Target {
            image: sample.image,
            label: sample.label,
            raster: Raster::new(boxes, *size, self.input),
            lesson: Raster::scaled(boxes, self.box_scale, *size, self.input),
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
            let images = data.batch(chunk, self.device);
            let Evaluated {
                attention,
                raw,
                logits,
            } = self.cam.evaluate(network.backbone(), &images, &labels);
            let (maps, raw) = (values(&attention), values(&raw));
            let probabilities = values(&logits.softmax(-1, Kind::Float));
            let area = maps.len() / chunk.len();
            let classes = probabilities.len() / chunk.len();
            for (((image, map), raw), probabilities) in chunk
                .iter()
                .zip(maps.chunks_exact(area))
                .zip(raw.chunks_exact(area))
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
                    peak: Some(peak(raw, self.cam.normalisation)),
                    probabilities: probabilities.to_vec(),
                    energy: score.map(|s| s.energy as f32),
                    hit: score.map(|s| s.hit),
                    iou: score.map(|s| s.iou as f32),
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

#[cfg(test)]
mod tests {
    use care_data::{BoundingBox, Part};

    use super::*;
    use crate::config::{BackboneKind, Normalisation};

    fn config() -> RunConfig {
        RunConfig {
            input_size: 56,
            // So that no map of an untrained network is flat.
            normalisation: Normalisation::MinMax,
            ..RunConfig::default()
        }
    }

    fn saved(dir: &Path, network: &Network) -> PathBuf {
        let path = dir.join("weights.safetensors");
        std::fs::write(&path, network.to_bytes().expect("packs")).expect("writes");
        path
    }

    /// More images than are held at a time, one that is none among them.
    #[test]
    fn weights_see_from_their_file_what_the_network_sees() {
        let dir = tempfile::tempdir().expect("a folder");
        let network = Network::new(BackboneKind::SmallResnet, 3, 5, Device::Cpu);
        let models = [saved(dir.path(), &network)];
        let samples: Vec<Sample> = (0..AHEAD + 40)
            .map(|i| {
                let path = dir.path().join(format!("{i}.png"));
                if i == 130 {
                    std::fs::write(&path, "no picture").expect("writes");
                } else {
                    let image = image::RgbImage::from_fn(30, 20, |x, y| {
                        image::Rgb([(i % 256) as u8, (x * 8) as u8, (y * 12) as u8])
                    });
                    image.save(&path).expect("saves");
                }
                Sample {
                    image: ImageId(i as i64),
                    path,
                    size: ImageSize::new(30, 20),
                    label: i % 3,
                    part: Part::Test,
                    boxes: vec![BoundingBox::new(5.0, 5.0, 25.0, 15.0).expect("a box")],
                }
            })
            .collect();
        let mut told = Vec::new();
        let seen = look_at(
            &config(),
            3,
            &models,
            &Look::default(),
            &samples,
            |done, total| {
                told.push((done, total));
            },
        )
        .expect("sees");
        assert_eq!(told, [(128, 168), (168, 168)]);
        assert_eq!(seen.not_read.len(), 1);
        assert!(seen.not_read[0].path.ends_with("130.png"));
        assert_eq!((seen.readable.len(), seen.readable[130]), (167, 131));

        // Within a run: all images at once.
        let viewer = Viewer::new(&config(), &network, Device::Cpu);
        let paths = samples.iter().map(|s| s.path.clone()).collect();
        let preprocess = config().backbone.preprocess();
        let data =
            Dataset::load(paths, &[], Look::default(), viewer.input, preprocess).expect("threads");
        assert!(data.wait_for(&(0..samples.len()).collect::<Vec<_>>(), || true));
        let targets: Vec<Target> = samples.iter().map(|s| viewer.target(s)).collect();
        let in_run = viewer.look(&network, &data, &targets, &seen.readable, |_| true);
        for (ours, theirs) in seen.by_model[0].iter().zip(in_run.expect("not stopped")) {
            assert_eq!(ours.image, theirs.image);
            for (a, b) in ours.probabilities.iter().zip(&theirs.probabilities) {
                assert!((a - b).abs() < 1e-5, "{:?}", ours.image);
            }
            let [a, b] = [ours, &theirs].map(|seen| seen.energy.expect("has a box"));
            assert!((a - b).abs() < 1e-4, "{a} {b}");
            assert!(ours.iou.is_some_and(|iou| (0.0..=1.0).contains(&iou)));
        }
    }

    #[test]
    fn weights_of_other_classes_or_none_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let network = Network::new(BackboneKind::SmallResnet, 3, 5, Device::Cpu);
        let path = saved(dir.path(), &network);
        let error = look_at(
            &config(),
            4,
            std::slice::from_ref(&path),
            &Look::default(),
            &[],
            |_, _| {},
        );
        assert!(matches!(
            error,
            Err(EvaluationError::OtherClasses {
                there: 3,
                wanted: 4,
                ..
            })
        ));
        let other = RunConfig {
            backbone: BackboneKind::Resnet18,
            ..config()
        };
        assert!(matches!(
            Explainer::open(&other, &path),
            Err(EvaluationError::Weights(_))
        ));

        // Features alone.
        let bytes = std::fs::read(&path).expect("reads");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("deserialises");
        let mut features = file.tensors();
        features.retain(|(name, _)| !name.starts_with("fc."));
        let bytes = safetensors::serialize(features, None).expect("serialises");
        std::fs::write(&path, bytes).expect("writes");
        assert!(matches!(
            Explainer::open(&config(), &path),
            Err(EvaluationError::NoClassifier { .. })
        ));
    }

    #[test]
    fn one_image_is_explained_for_any_class() {
        let dir = tempfile::tempdir().expect("a folder");
        let network = Network::new(BackboneKind::SmallResnet, 3, 5, Device::Cpu);
        let explainer = Explainer::open(&config(), &saved(dir.path(), &network)).expect("opens");
        assert_eq!(explainer.num_classes(), 3);
        let pixels: Vec<u8> = (0..56 * 56 * 3u32).map(|i| (i * i % 251) as u8).collect();
        let of_class = |class| explainer.explain(&pixels, class).expect("explains");
        let predicted = of_class(None);
        assert_eq!(predicted.class, argmax(&predicted.logits));
        assert_eq!(predicted, of_class(Some(predicted.class)));
        let other = of_class(Some((predicted.class + 1) % 3));
        assert_eq!(
            (other.predicted, &other.logits),
            (predicted.class, &predicted.logits)
        );
        assert_ne!(other.map, predicted.map);
        assert_eq!((other.map.height, other.map.width), (7, 7));
        assert_eq!(other.enlarged.len(), 56 * 56);
        let sum: f32 = other.probabilities.iter().sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }
}
