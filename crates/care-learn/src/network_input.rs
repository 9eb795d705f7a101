//! Exactly what a network sees of an image: read back from the tensor that a run's own path to the network gives, with the
//! boxes and masks that the attention loss lays over it.

use care_data::{ImageSize, Look, Part};
use tch::{Device, Kind, Tensor};

use crate::attention_loss::{Raster, Upsampling};
use crate::augment::{Augmenter, View};
use crate::config::{Preprocess, RunConfig};
use crate::dataset::Dataset;
use crate::evaluation::EvaluationError;
use crate::panics::caught;
use crate::task::Sample;

/// One image on its way into a network.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkInput {
    /// Of the tensor.
    pub size: ImageSize,
    /// The tensor with the normalisation undone, rounded: RGB, row by row.
    pub rgb: Vec<u8>,
    /// The least and the largest value in the tensor itself.
    pub range: [f32; 2],
    /// The most by which a value lay off a whole grey level before it was rounded; 0 where nothing was interpolated.
    pub off: f32,
    /// M_in at the size of the tensor, row by row; all false without a box.
    pub inside: Vec<bool>,
    /// Height and width of the activation map.
    pub grid: [usize; 2],
    /// The share of each of its cells that is inside, brought down as the loss does it; row by row.
    pub inside_grid: Vec<f32>,
}

/// Why there is nothing to be seen: in one line.
#[derive(Debug, thiserror::Error)]
pub enum NetworkInputError {
    #[error("{why} {advice}")]
    NotRead { why: String, advice: String },
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
}

/// Reads `sample` as a run of these settings does and sees it through `look`. `grid` is the size of the network's map. With
/// `view` as one of the training steps may show it, changed at random: the same number gives the same view.
///
/// # Errors
/// Where the file cannot be read, or libtorch fails.
pub fn network_input(
    config: &RunConfig,
    look: &Look,
    sample: &Sample,
    grid: [usize; 2],
    view: Option<u64>,
) -> Result<NetworkInput, NetworkInputError> {
    let input = ImageSize::new(config.input_size, config.input_size);
    let preprocess = config.backbone.preprocess();
    let data = Dataset::load(vec![sample.path.clone()], &[], *look, input, preprocess)
        .map_err(EvaluationError::Threads)?;
    data.wait_for(&[0], || true);
    if let Some(file) = data.not_read().into_iter().next() {
        return Err(NetworkInputError::NotRead {
            why: file.why,
            advice: file.advice,
        });
    }
    let views = view.and_then(|view| {
        let seed = config.seed.wrapping_add(view);
        Augmenter::new(config.augmentation, input, seed).draw(1)
    });
    let tensor = caught(|| match &views {
        Some(views) => data.batch_seen_through(&[0], views, Device::Cpu),
        None => data.batch(&[0], Device::Cpu),
    })
    .map_err(EvaluationError::from)?;
    let exact = caught(|| undone(&tensor, preprocess)).map_err(EvaluationError::from)?;
    let range = caught(|| [&tensor.min(), &tensor.max()].map(|it| it.double_value(&[]) as f32))
        .map_err(EvaluationError::from)?;
    let view = views.and_then(|views| views.first().copied());
    let inside = inside(config, sample, input, view);
    let upsampling = Upsampling::new(grid[0].max(1), grid[1].max(1), input);
    let brought_down = |mask: &[f64]| upsampling.down(mask);
    let whole = brought_down(&vec![1.0; input.area() as usize]);
    let part = brought_down(&inside);
    Ok(NetworkInput {
        size: input,
        rgb: exact.iter().map(|value| value.round() as u8).collect(),
        range,
        off: exact
            .iter()
            .map(|value| (value - value.round()).abs())
            .fold(0.0, f32::max),
        inside: inside.iter().map(|inside| *inside > 0.0).collect(),
        grid,
        inside_grid: part
            .iter()
            .zip(&whole)
            .map(|(part, whole)| (part / whole.max(f64::MIN_POSITIVE)) as f32)
            .collect(),
    })
}

/// `value std + mean`, row by row, red, green and blue of each pixel together.
fn undone(tensor: &Tensor, Preprocess { mean, std }: Preprocess) -> Vec<f32> {
    let constant = |values: [f32; 3]| Tensor::from_slice(&values);
    let pixels = tensor.permute([0, 2, 3, 1]) * constant(std) + constant(mean);
    let pixels = pixels.to_kind(Kind::Float).contiguous();
    let mut values = vec![0.0; pixels.numel()];
    pixels.copy_data(&mut values, pixels.numel());
    values
}

/// M_in of the boxes as they are used: those of a training image are learned from scaled, others are scored with as they are.
fn inside(config: &RunConfig, sample: &Sample, input: ImageSize, view: Option<View>) -> Vec<f64> {
    let raster = match sample.part {
        Part::Train => Raster::scaled(&sample.boxes, config.box_scale, sample.size, input),
        Part::Validation | Part::Test => Raster::new(&sample.boxes, sample.size, input),
    };
    let view = view.unwrap_or(View::IDENTITY);
    raster
        .seen_through(&view.to_source)
        .map_or_else(|| vec![0.0; input.area() as usize], |mask| mask.inside())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use care_data::{BoundingBox, ImageId};
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::config::{Augmentation, BackboneKind};

    /// 112 x 56: left half red, right half blue; a box over the left half.
    fn sample(dir: &Path) -> Sample {
        let path = dir.join("halves.png");
        let picture = RgbImage::from_fn(112, 56, |x, _| {
            if x < 56 {
                Rgb([200, 10, 30])
            } else {
                Rgb([20, 40, 250])
            }
        });
        picture.save(&path).expect("saves");
        Sample {
            image: ImageId(1),
            path,
            size: ImageSize::new(112, 56),
            label: 0,
            part: Part::Train,
            boxes: vec![BoundingBox::new(0.0, 0.0, 56.0, 56.0).expect("a box")],
        }
    }

    fn config() -> RunConfig {
        RunConfig {
            input_size: 56,
            ..RunConfig::default()
        }
    }

    #[test]
    fn the_tensor_read_back_is_the_resized_image_under_its_own_box() {
        let dir = tempfile::tempdir().expect("a folder");
        let sample = sample(dir.path());
        for backbone in [BackboneKind::SmallResnet, BackboneKind::EfficientnetLite0] {
            let config = RunConfig {
                backbone,
                ..config()
            };
            let seen =
                network_input(&config, &Look::default(), &sample, [7, 7], None).expect("is seen");
            let decoded =
                care_data::decode::decode_resized(&sample.path, &Look::default(), seen.size)
                    .expect("decodes");
            assert_eq!(seen.rgb, decoded.into_raw(), "{backbone:?}");
            assert!(seen.off < 0.01, "{}", seen.off);
            assert!(seen.range[0] < -0.5 && seen.range[1] > 0.5);
            // Half of the width, at the network's size.
            for (at, inside) in seen.inside.iter().enumerate() {
                assert_eq!(*inside, at % 56 < 28);
            }
            let row = &seen.inside_grid[..7];
            assert!(row[..3].iter().all(|share| *share > 0.9), "{row:?}");
            assert!((row[3] - 0.5).abs() < 1e-6 && row[4..].iter().all(|share| *share < 0.1));
        }
    }

    #[test]
    fn a_view_moves_the_pixels_and_the_mask_together() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = RunConfig {
            augmentation: Augmentation {
                flip_horizontal: true,
                ..Augmentation::default()
            },
            ..config()
        };
        let sample = sample(dir.path());
        let mut mirrored = 0;
        for view in 0..8 {
            let seen = network_input(&config, &Look::default(), &sample, [7, 7], Some(view))
                .expect("is seen");
            for (pixel, inside) in seen.rgb.chunks_exact(3).zip(&seen.inside) {
                // At the seam colours run into each other.
                if pixel[0] > 150 || pixel[0] < 60 {
                    assert_eq!(pixel[0] > 150, *inside);
                }
            }
            mirrored += u32::from(!seen.inside[0]);
        }
        assert!((1..8).contains(&mirrored), "{mirrored}");
        let still = RunConfig {
            augmentation: Augmentation::default(),
            ..config
        };
        let seen = network_input(&still, &Look::default(), &sample, [7, 7], Some(3));
        assert!(seen.is_ok_and(|seen| seen.inside[0]), "nothing is changed");
    }

    #[test]
    fn boxes_are_as_they_are_used_and_a_missing_file_says_so() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = RunConfig {
            box_scale: 0.5,
            ..config()
        };
        let mut sample = sample(dir.path());
        let count = |sample: &Sample| {
            let seen = network_input(&config, &Look::default(), sample, [7, 7], None);
            seen.expect("is seen")
                .inside
                .iter()
                .filter(|inside| **inside)
                .count()
        };
        assert_eq!(count(&sample), 14 * 28);
        for part in [Part::Validation, Part::Test] {
            let scored = Sample {
                part,
                ..sample.clone()
            };
            assert_eq!(count(&scored), 28 * 56, "{part:?}");
        }
        sample.boxes.clear();
        assert_eq!(count(&sample), 0);
        sample.path = dir.path().join("gone.png");
        let error = network_input(&config, &Look::default(), &sample, [7, 7], None);
        assert!(matches!(error, Err(NetworkInputError::NotRead { .. })));
    }
}
