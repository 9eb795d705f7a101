//! `convert`: images as the window shows them, or the values behind, as PNG without anything of the file's header.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use care_data::decode::{self, Picture};
use care_data::{GreyImage, Look, Window, Windowing};
use image::{GrayImage, ImageBuffer, Luma};
use serde::Serialize;

use super::output;
use super::pictures::{all_written, picture_path, prepare};
use super::request::Convert;

#[derive(Serialize)]
struct Row {
    image: String,
    png: String,
    width: u32,
    height: u32,
    #[serde(flatten)]
    written: Written,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Written {
    Colour,
    /// Without numbers where the file brings a table of its own.
    Grey {
        window_center: Option<f64>,
        window_width: Option<f64>,
    },
    /// Value = slope * grey + intercept.
    Raw {
        slope: f64,
        intercept: f64,
    },
}

pub fn convert(request: &Convert) -> Result<()> {
    prepare(&request.out, &request.images)?;
    let mut pictures = request
        .images
        .iter()
        .map(|(_, name)| picture_path(&request.out, name));
    if let Some(there) = pictures
        .find(|picture| picture.exists())
        .filter(|_| !request.force)
    {
        bail!("{} is there already: --force replaces it", there.display());
    }
    let mut rows = Vec::new();
    for (image, name) in &request.images {
        let to = picture_path(&request.out, name);
        match convert_one(image, &to, request) {
            Ok(row) => rows.push(row),
            Err(error) => output::note(&format!("left out: {}: {error:#}", image.display())),
        }
    }
    if request.json {
        output::json(&rows)?;
    } else {
        for Row { png, written, .. } in &rows {
            output::line(&match written {
                Written::Colour => format!("{png}: colours as they are"),
                Written::Grey {
                    window_center: Some(center),
                    window_width: Some(width),
                } => format!("{png}: center {center}, width {width}"),
                Written::Grey { .. } => format!("{png}: by the file's own table"),
                Written::Raw { slope, intercept } => {
                    format!("{png}: value = {slope} \u{d7} grey + {intercept}")
                }
            })?;
        }
    }
    all_written(rows.len(), &request.images)
}

fn convert_one(path: &Path, to: &PathBuf, request: &Convert) -> Result<Row> {
    let picture = decode::open(path).map_err(|error| {
        let advice = error.advice();
        anyhow::Error::new(error).context(advice)
    })?;
    let size = picture.size();
    let written = match picture {
        Picture::Colour(image) => {
            image.save(to).with_context(|| cannot_write(to))?;
            Written::Colour
        }
        Picture::Grey(image) if request.raw => write_raw(&image, to)?,
        Picture::Grey(image) => write_seen(&image, request.windowing, to)?,
    };
    Ok(Row {
        image: path.display().to_string(),
        png: to.display().to_string(),
        width: size.width,
        height: size.height,
        written,
    })
}

fn write_raw(image: &GreyImage, to: &Path) -> Result<Written> {
    let (greys, slope, intercept) = image.raw();
    let size = image.size();
    let png: ImageBuffer<Luma<u16>, _> =
        ImageBuffer::from_raw(size.width, size.height, greys).context("it has no pixels")?;
    png.save(to).with_context(|| cannot_write(to))?;
    Ok(Written::Raw { slope, intercept })
}

fn write_seen(image: &GreyImage, windowing: Windowing, to: &Path) -> Result<Written> {
    let look = Look {
        windowing,
        invert: false,
    };
    let seen = image.seen(&look);
    let grey = GrayImage::from_fn(seen.width(), seen.height(), |x, y| {
        Luma([seen.get_pixel(x, y).0[0]])
    });
    grey.save(to).with_context(|| cannot_write(to))?;
    let window = image.window(windowing);
    Ok(Written::Grey {
        window_center: window.map(|Window { center, .. }| center),
        window_width: window.map(|Window { width, .. }| width),
    })
}

fn cannot_write(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}
