//! Images in: a folder of class folders, or a folder with a table.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::geometry::{BoundingBox, ImageSize, Orientation};
use crate::model::{ContentHash, NotRead, Part};
use crate::split::SplitSpec;

mod folder;
mod table;

/// What an importer found. [`Project::take_in`](crate::Project::take_in) makes it part of a project.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    pub images: Vec<NewImage>,
    pub not_read: Vec<NotRead>,
    /// How the images whose `part` is `None` are split.
    pub split: SplitSpec,
}

/// An image that is not yet part of a project.
#[derive(Debug, Clone, PartialEq)]
pub struct NewImage {
    /// Absolute.
    pub path: PathBuf,
    pub hash: ContentHash,
    /// As shown, that is after `orientation` was applied.
    pub size: ImageSize,
    pub orientation: Orientation,
    pub class: String,
    /// The patient or lesion, where known.
    pub group: Option<String>,
    /// Where the source already decided.
    pub part: Option<Part>,
    /// In pixels of the image as shown.
    pub boxes: Vec<BoundingBox>,
}

/// Where boxes come from: a table with the columns `image_id`, `x`, `y`, `width`, `height`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BoxesFrom {
    /// `boxes.csv` beside the images or the table, where there is one.
    #[default]
    Found,
    File(PathBuf),
    None,
}

/// How to import.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    pub split: SplitSpec,
    pub boxes: BoxesFrom,
    /// At most so many images of each class; whole groups, drawn with the split's seed.
    pub per_class: Option<usize>,
}

/// Why nothing could be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{path}: {source}. Check that it is there and that you may read it.")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {why} {advice}")]
    Unusable {
        path: PathBuf,
        why: String,
        advice: String,
    },
    #[error("Stopped before everything was read; nothing was taken in.")]
    Stopped,
}

impl ImportError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.into(),
            source,
        }
    }
}

/// Reads a folder or a table: which images there are, of which class and group, their sizes and their boxes. Each file is
/// read once and none is decoded. `progress` is told how many of how many files were read, from any thread.
///
/// # Errors
/// Where there is nothing to import or `stop` was set. A file that cannot be read is no error; it is listed in
/// [`Import::not_read`].
pub fn read(
    path: &Path,
    _options: &Options,
    _progress: &(dyn Fn(usize, usize) + Sync),
    _stop: &AtomicBool,
) -> Result<Import, ImportError> {
    Err(ImportError::Unusable {
        path: path.into(),
        why: "Not yet.".into(),
        advice: String::new(),
    })
}
