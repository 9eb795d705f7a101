//! A project: a folder `NAME.care` with a SQLite file and a folder per run.

use std::path::{Path, PathBuf};

use crate::edit::Edit;
use crate::import::Import;
use crate::model::{
    Annotation, BoxId, Class, ClassId, Image, ImageId, NotRead, Run, RunId, RunState,
};

/// A project, held in memory; every change is on disk when the call that makes it returns.
#[derive(Debug)]
pub struct Project {
    dir: PathBuf,
}

/// How many images an import brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TakenIn {
    pub added: usize,
    /// Same content or same path as an image of the project.
    pub already_there: usize,
}

/// One measured number of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// "before", "control" or "care".
    pub model: String,
    pub name: String,
    pub value: f64,
    /// How many images or pixels it was measured on.
    pub n: u64,
    /// The 95 % interval, where there is one.
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// Why a project cannot be opened or changed: the file, what is wrong with it, what to do. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("{path} is not a CARE Studio project. Choose a folder that ends in .care.")]
    NotAProject { path: PathBuf },
    #[error("{path} is already there. Open it, or choose another name.")]
    Exists { path: PathBuf },
    #[error("{path} is open in another window or process{}. Close it there first.", by.map(|pid| format!(" (number {pid})")).unwrap_or_default())]
    AlreadyOpen { path: PathBuf, by: Option<u32> },
    #[error(
        "{path} was made by a newer CARE Studio (format {found}; this one knows up to {known}). Install the newer version."
    )]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error("{path} is damaged: {why}. It was not touched; bring it back from a backup.")]
    Damaged { path: PathBuf, why: String },
    #[error("{path} cannot be written to. Copy the project to a folder where you may write.")]
    ReadOnly { path: PathBuf },
    #[error("No space is left on the disk of {path}. Make room and try again; nothing was lost.")]
    DiskFull { path: PathBuf },
    #[error(transparent)]
    Edit(#[from] crate::edit::EditError),
    #[error("{path}: {source}.")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {source}.")]
    Sqlite {
        path: PathBuf,
        source: rusqlite::Error,
    },
}

impl Project {
    /// Makes a new, empty project.
    ///
    /// # Errors
    /// Where something is there already, or the folder cannot be written.
    pub fn create(dir: &Path) -> Result<Self, ProjectError> {
        Err(ProjectError::Exists { path: dir.into() })
    }

    /// Opens a project to work in it. It is the only one to do so until it is dropped.
    ///
    /// # Errors
    /// Where it is no project, damaged, newer, open elsewhere or not writable. Then it was not touched.
    pub fn open(dir: &Path) -> Result<Self, ProjectError> {
        Err(ProjectError::NotAProject { path: dir.into() })
    }

    /// Opens a project to look at it, even while another process works in it.
    ///
    /// # Errors
    /// Where it is no project, damaged or newer.
    pub fn open_read_only(dir: &Path) -> Result<Self, ProjectError> {
        Err(ProjectError::NotAProject { path: dir.into() })
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder's name without `.care`.
    #[must_use]
    pub fn name(&self) -> &str {
        ""
    }

    /// Ascending by id.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &[]
    }

    #[must_use]
    pub fn image(&self, _id: ImageId) -> Option<&Image> {
        None
    }

    /// Ascending by id: the order of the logits.
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        &[]
    }

    #[must_use]
    pub fn class(&self, _id: ClassId) -> Option<&Class> {
        None
    }

    /// The boxes of an image, ascending by id.
    #[must_use]
    pub fn annotation(&self, _id: BoxId) -> Option<&Annotation> {
        None
    }

    /// The boxes of an image.
    #[must_use]
    pub fn boxes(&self, _image: ImageId) -> &[Annotation] {
        &[]
    }

    /// Where an image's file lies.
    #[must_use]
    pub fn path_of(&self, image: &Image) -> PathBuf {
        self.dir.join(&image.path)
    }

    /// The id for the next [`Edit::AddBox`].
    #[must_use]
    pub fn next_box_id(&self) -> BoxId {
        BoxId(1)
    }

    /// Makes one change, in one transaction. What had been undone can no longer be redone.
    ///
    /// # Errors
    /// Where the edit does not fit the project or cannot be written; then nothing changed.
    pub fn apply(&mut self, _edit: Edit) -> Result<(), ProjectError> {
        Err(ProjectError::ReadOnly {
            path: self.dir.clone(),
        })
    }

    /// Takes the last edit back and says which it was; `None` where there is nothing to undo.
    ///
    /// # Errors
    /// Where it cannot be written; then nothing changed.
    pub fn undo(&mut self) -> Result<Option<Edit>, ProjectError> {
        Ok(None)
    }

    /// Makes the edit that was undone last again and says which it was; `None` where there is nothing to redo.
    ///
    /// # Errors
    /// Where it cannot be written; then nothing changed.
    pub fn redo(&mut self) -> Result<Option<Edit>, ProjectError> {
        Ok(None)
    }

    /// The edit that [`undo`](Self::undo) would take back.
    #[must_use]
    pub fn undoable(&self) -> Option<&Edit> {
        None
    }

    /// The edit that [`redo`](Self::redo) would make again.
    #[must_use]
    pub fn redoable(&self) -> Option<&Edit> {
        None
    }

    /// Grows with every change, so that caches know.
    #[must_use]
    pub fn revision(&self) -> u64 {
        0
    }

    /// Makes an import part of the project, in one transaction. Images that are there already stay as they are.
    ///
    /// # Errors
    /// Where it cannot be written; then nothing changed.
    pub fn take_in(&mut self, _import: Import) -> Result<TakenIn, ProjectError> {
        Err(ProjectError::ReadOnly {
            path: self.dir.clone(),
        })
    }

    /// What the last import could not read.
    #[must_use]
    pub fn not_read(&self) -> &[NotRead] {
        &[]
    }

    /// Ascending by id.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &[]
    }

    /// The numbers recorded when a run ended.
    #[must_use]
    pub fn metrics(&self, _run: RunId) -> &[Metric] {
        &[]
    }

    /// Records a new run and makes its folder.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn begin_run(&mut self) -> Result<(RunId, PathBuf), ProjectError> {
        Err(ProjectError::ReadOnly {
            path: self.dir.clone(),
        })
    }

    /// Records how a run ended. `note` is one line.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn end_run(
        &mut self,
        _id: RunId,
        _state: RunState,
        _note: &str,
        _metrics: &[Metric],
    ) -> Result<(), ProjectError> {
        Err(ProjectError::ReadOnly {
            path: self.dir.clone(),
        })
    }

    /// A run's folder.
    #[must_use]
    pub fn run_dir(&self, id: RunId) -> PathBuf {
        self.dir.join(format!("runs/{:04}", id.0))
    }
}
