//! Pictures that are written for images, each under its image's name.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// Images with the name of what is written for each, without an ending.
pub type Named = Vec<(PathBuf, String)>;

/// # Errors
/// Where two would be written to one file.
pub fn named(images: Vec<PathBuf>) -> Result<Named> {
    let mut named: Named = Vec::with_capacity(images.len());
    for image in images {
        let file = image
            .file_name()
            .with_context(|| format!("{} is no file", image.display()))?
            .to_string_lossy();
        let name = care_data::model::stem(&file).to_owned();
        // Some file systems do not tell large letters from small ones.
        let same = |other: &str| other.to_lowercase() == name.to_lowercase();
        if let Some((other, _)) = named.iter().find(|(_, other)| same(other)) {
            bail!(
                "{} and {} would both be written to {name}.png: give them other names, or another --out",
                other.display(),
                image.display()
            );
        }
        named.push((image, name));
    }
    Ok(named)
}

pub fn picture_path(out: &Path, name: &str) -> PathBuf {
    out.join(format!("{name}.png"))
}

/// Makes the folder to write into.
///
/// # Errors
/// Where it cannot be made, or an image would be written over.
pub fn prepare(out: &Path, images: &Named) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    let there: Vec<PathBuf> = images
        .iter()
        .filter_map(|(image, _)| image.canonicalize().ok())
        .collect();
    for (_, name) in images {
        let picture = picture_path(out, name);
        let taken = picture
            .canonicalize()
            .is_ok_and(|path| there.contains(&path));
        ensure!(
            !taken,
            "{} is one of the images: give another --out",
            picture.display()
        );
    }
    Ok(())
}

/// # Errors
/// Where any image was left out.
pub fn all_written(written: usize, images: &Named) -> Result<()> {
    let left_out = images.len() - written;
    ensure!(
        left_out == 0,
        "{left_out} of {} images were left out",
        images.len()
    );
    Ok(())
}
