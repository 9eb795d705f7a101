//! `cam`: Grad-CAM maps of any images, as pictures and as numbers.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use care_data::decode::{decode, resized, resized_and_cropped};
use care_data::{ImageSize, Look};
use care_figures::{Blending, MapStyle, map_style};
use care_learn::AttentionMap;
use care_learn::evaluation::{Explainer, Explanation};
use serde::Serialize;

use super::args::Preprocessing;
use super::output;
use super::pictures::{all_written, picture_path, prepare};
use super::request::Cam;
use crate::weight_store::with_path_of_weights;

#[derive(Serialize)]
struct Row {
    image: String,
    overlay: String,
    /// F at the network's input size, and on its own grid.
    npy: Option<[String; 2]>,
    /// Whose attention it is.
    class: usize,
    /// Of that class.
    logit: f32,
    probability: f32,
    predicted: usize,
    /// Where F is largest, in pixels of the overlay; none where F is 0 everywhere.
    maximum: Option<[f32; 2]>,
}

pub fn cam(request: &Cam) -> Result<()> {
    let config = with_path_of_weights(request.config.clone())?;
    let weights = config.weights.clone().context("no weights were named")?;
    let explainer = Explainer::open(&config, &weights)?;
    if let Some(class) = request.class {
        let n = explainer.num_classes();
        ensure!(
            class < n,
            "there is no class {class}: {} is for the classes 0 to {}",
            weights.display(),
            n - 1
        );
    }
    prepare(&request.out, &request.images)?;
    let mut rows = Vec::new();
    for (image, name) in &request.images {
        match map_of(request, &explainer, image, name) {
            Ok(row) => rows.push(row),
            Err(error) => output::note(&format!("left out: {}: {error:#}", image.display())),
        }
    }
    if request.json {
        output::json(&rows)?;
    } else if !rows.is_empty() {
        table(&rows)?;
    }
    all_written(rows.len(), &request.images)
}

fn map_of(request: &Cam, explainer: &Explainer, path: &Path, name: &str) -> Result<Row> {
    let input = request.config.input_size;
    let mut shown = decode(path, &Look::default())?;
    let (width, height) = shown.dimensions();
    if let Some(layer) = request.config.layer()? {
        let stride = layer.stride;
        ensure!(
            width.min(height) >= stride,
            "it has {width} \u{d7} {height} pixels, and a cell of the map stands for {stride} \u{d7} {stride}"
        );
    }
    let pixels = match request.preprocess {
        Preprocessing::Studio => resized(shown.clone(), ImageSize::new(input, input))?,
        Preprocessing::Torchvision => {
            // torchvision's 256 for 224.
            shown = resized_and_cropped(shown, input * 8 / 7, input)?;
            shown.clone()
        }
    };
    let explanation = explainer.explain(pixels.as_raw(), request.class)?;

    let (width, height) = shown.dimensions();
    let style = MapStyle::default();
    let size = [width as usize, height as usize];
    let tint = map_style::overlay(&explanation.map, &style, Blending::ByAttention, 1.0, size);
    for (pixel, [r, g, b, alpha]) in shown.pixels_mut().zip(tint) {
        let share = style.opacity * f32::from(alpha) / 255.0;
        for (value, tint) in pixel.0.iter_mut().zip([r, g, b]) {
            let mixed = f32::from(*value) * (1.0 - share) + f32::from(tint) * share;
            *value = mixed.round() as u8;
        }
    }
    let cannot_write = |path: &Path| format!("{} cannot be written", path.display());
    let overlay = picture_path(&request.out, name);
    shown
        .save(&overlay)
        .with_context(|| cannot_write(&overlay))?;
    let mut npy = None;
    if request.npy {
        let side = input as usize;
        let AttentionMap {
            height,
            width,
            values,
        } = &explanation.map;
        let enlarged = request.out.join(format!("{name}.npy"));
        let grid = request.out.join(format!("{name}.grid.npy"));
        for (path, shape, values) in [
            (&enlarged, [side, side], &explanation.enlarged),
            (&grid, [*height, *width], values),
        ] {
            std::fs::write(path, npy_bytes(shape, values)).with_context(|| cannot_write(path))?;
        }
        npy = Some([enlarged, grid].map(|path| path.display().to_string()));
    }
    let Explanation {
        class, predicted, ..
    } = explanation;
    Ok(Row {
        image: path.display().to_string(),
        overlay: overlay.display().to_string(),
        npy,
        class,
        logit: explanation.logits[class],
        probability: explanation.probabilities[class],
        predicted,
        maximum: maximum(&explanation.enlarged, input, [width, height]),
    })
}

/// The centre of the pixel where F, at the network's input size, is largest, on a picture of this size.
fn maximum(enlarged: &[f32], input: u32, size: [u32; 2]) -> Option<[f32; 2]> {
    let (at, _) = enlarged
        .iter()
        .enumerate()
        .filter(|(_, value)| **value > 0.0)
        .max_by(|a, b| a.1.total_cmp(b.1))?;
    let cell = [at % input as usize, at / input as usize];
    Some([0, 1].map(|i| (cell[i] as f32 + 0.5) * size[i] as f32 / input as f32))
}

/// A file of NumPy's format, version 1.0, of little-endian float32, row by row.
fn npy_bytes([height, width]: [usize; 2], values: &[f32]) -> Vec<u8> {
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({height}, {width}), }}");
    // The values begin at a multiple of 64 bytes; the header ends with a new line.
    const BEFORE: usize = 10;
    let padded = (BEFORE + header.len() + 1).next_multiple_of(64) - BEFORE;
    header.push_str(&" ".repeat(padded - header.len() - 1));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.into_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

fn table(rows: &[Row]) -> Result<()> {
    let cells = |row: &Row| {
        vec![
            row.image.clone(),
            row.predicted.to_string(),
            row.class.to_string(),
            format!("{:.3}", row.logit),
            format!("{:.3}", row.probability),
            row.maximum
                .map_or("nowhere".to_owned(), |[x, y]| format!("{x:.0},{y:.0}")),
        ]
    };
    output::table(
        &[
            "image",
            "predicted",
            "map of class",
            "logit",
            "probability",
            "maximum at",
        ],
        &rows.iter().map(cells).collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npy_is_as_numpy_writes_it() {
        // numpy.save of numpy.array([[0.5, 1], [0, 0.25], [1, 1]], dtype="<f4"), numpy 2.3.5.
        let bytes = npy_bytes([3, 2], &[0.5, 1.0, 0.0, 0.25, 1.0, 1.0]);
        let header =
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";
        assert_eq!(bytes.len(), 128 + 6 * 4);
        assert!(bytes.starts_with(header));
        assert!(bytes[header.len()..127].iter().all(|byte| *byte == b' '));
        assert_eq!(bytes[127], b'\n');
        assert_eq!(bytes[128..132], 0.5f32.to_le_bytes());
        assert_eq!(bytes[148..], 1.0f32.to_le_bytes());
    }

    #[test]
    fn the_maximum_is_given_on_the_picture() {
        let mut enlarged = vec![0.0; 16];
        assert_eq!(maximum(&enlarged, 4, [40, 20]), None);
        enlarged[6] = 0.5;
        assert_eq!(maximum(&enlarged, 4, [40, 20]), Some([25.0, 7.5]));
    }
}
