//! A project: a folder `NAME.care` with a SQLite file and a folder per run.

use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::edit::{Edit, EditError};
use crate::geometry::BoundingBox;
use crate::grey::Look;
use crate::import::Import;
use crate::intake::Arrivals;
use crate::model::{
    Annotation, BoxId, Class, ClassId, Image, ImageId, Metric, NotRead, Origin, Reader, ReaderId,
    Review, Run, RunId, RunState,
};
use crate::state::State;
use crate::store::{Entry, LOCK, Loaded, Store, now, who};

/// A project, held in memory; every change is on disk when the call that makes it returns.
#[derive(Debug)]
pub struct Project {
    /// Absolute, without symbolic links.
    dir: PathBuf,
    store: Store,
    /// Shared with an import that is being written.
    state: Arc<State>,
    next_box: BoxId,
    undoable: Option<Entry>,
    redoable: Option<Entry>,
    salt: [u8; 32],
    not_read: Vec<NotRead>,
    metrics: BTreeMap<RunId, Vec<Metric>>,
    revision: u64,
    images_revision: u64,
}

/// Bytes of all files in a folder, however deep; links are not followed.
fn size_of(folder: &Path) -> u64 {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(of) if of.is_dir() => size_of(&entry.path()),
            Ok(of) => of.len(),
            Err(_) => 0,
        })
        .sum()
}

/// How many images an import brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TakenIn {
    pub added: usize,
    /// Same content as another image, wherever that lies now.
    pub already_there: usize,
    /// With the new images, and for images that had none and that nobody had worked on.
    pub boxes: usize,
}

/// An import on its way into a project.
#[derive(Debug)]
pub struct Intake {
    import: Import,
    worked_on: HashSet<ImageId>,
    state: Arc<State>,
    dir: PathBuf,
    salt: [u8; 32],
    first_box: BoxId,
    store: Store,
}

impl Intake {
    /// Compares the import with the project and writes what is new, in one transaction.
    ///
    /// # Errors
    /// Where it cannot be written; then nothing changed.
    pub fn write(mut self) -> Result<Arrived, ProjectError> {
        let mut arrivals = Arrivals::new(
            self.import,
            &self.state,
            &self.worked_on,
            &self.dir,
            &self.salt,
            self.first_box,
        );
        self.store.take_in(&mut arrivals)?;
        Ok(Arrived(arrivals))
    }
}

/// An import that is on the disk, for [`Project::accept`].
#[derive(Debug)]
pub struct Arrived(Arrivals);

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
    #[error("{path} has no run {id}.")]
    NoSuchRun { path: PathBuf, id: RunId },
    #[error(transparent)]
    Edit(#[from] crate::edit::EditError),
    #[error("{path}: {source}. Check that the disk is there and try again.")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {source}. Try again; if it stays, bring the project back from a backup.")]
    Sqlite {
        path: PathBuf,
        source: rusqlite::Error,
    },
}

impl Project {
    /// Makes a new, empty project.
    ///
    /// # Errors
    /// Where something is there already, another process is making it, or the folder cannot be written; then nothing of
    /// this call is left in it.
    pub fn create(dir: &Path) -> Result<Self, ProjectError> {
        let failed = |error| ProjectError::io(dir, error);
        let was_there = dir.exists();
        if was_there && !is_free(dir).map_err(failed)? {
            return Err(ProjectError::Exists {
                path: dir.to_owned(),
            });
        }
        std::fs::create_dir_all(dir).map_err(failed)?;
        let dir = dir.canonicalize().map_err(failed)?;
        let store = Store::create(&dir).inspect_err(|_| {
            if !was_there {
                // Stays where another process has something in it. The error that matters is the first one.
                let _ = std::fs::remove_dir(&dir);
            }
        })?;
        Self::load(dir, store)
    }

    /// Opens a project to work in it. It is the only one to do so until it is dropped. A run that its process did not
    /// live to end is stopped.
    ///
    /// # Errors
    /// Where it is no project, damaged, newer, open elsewhere or not writable. Then it was not touched.
    pub fn open(dir: &Path) -> Result<Self, ProjectError> {
        let dir = existing(dir)?;
        let store = Store::open(&dir)?;
        let mut project = Self::load(dir, store)?;
        let cut_off = project
            .runs()
            .iter()
            .filter(|run| run.state == RunState::Running);
        for id in cut_off.map(|run| run.id).collect::<Vec<_>>() {
            project.end_run(
                id,
                RunState::Stopped,
                "Cut off: the program ended while it trained.",
                &[],
            )?;
        }
        let state = Arc::clone(&project.state);
        for run in state.runs.iter().chain(&state.trash) {
            // A program that ended between the folder's move and its record. Where it cannot be moved, it is not shown.
            let _ = project.settle_run(run.id);
        }
        Ok(project)
    }

    /// Opens a project to look at it, even while another process works in it.
    ///
    /// # Errors
    /// Where it is no project, damaged or newer.
    pub fn open_read_only(dir: &Path) -> Result<Self, ProjectError> {
        let dir = existing(dir)?;
        let store = Store::open_read_only(&dir)?;
        Self::load(dir, store)
    }

    fn load(dir: PathBuf, store: Store) -> Result<Self, ProjectError> {
        let Loaded {
            state,
            next_box,
            undoable,
            redoable,
            salt,
            not_read,
            metrics,
        } = store.load()?;
        Ok(Self {
            dir,
            store,
            state: Arc::new(state),
            next_box,
            undoable,
            redoable,
            salt,
            not_read,
            metrics,
            revision: 0,
            images_revision: 0,
        })
    }

    #[cfg(test)]
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The project's folder: absolute, without symbolic links.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder's name without `.care`.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = self
            .dir
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("project");
        name.strip_suffix(".care").unwrap_or(name)
    }

    /// Ascending by id.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.state.images
    }

    #[must_use]
    pub fn image(&self, id: ImageId) -> Option<&Image> {
        self.state.image(id)
    }

    /// How grey images are seen, by people and by networks.
    #[must_use]
    pub fn look(&self) -> Look {
        self.state.look
    }

    /// Key of the hashes that stand for patients.
    #[cfg(test)]
    pub(crate) fn salt(&self) -> [u8; 32] {
        self.salt
    }

    /// Ascending by id: the order of the logits.
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        &self.state.classes
    }

    #[must_use]
    pub fn class(&self, id: ClassId) -> Option<&Class> {
        self.state.class(id)
    }

    #[must_use]
    pub fn annotation(&self, id: BoxId) -> Option<&Annotation> {
        self.state.annotation(id)
    }

    /// The project's own boxes of an image, ascending by id: those that train and are exported.
    #[must_use]
    pub fn boxes(&self, image: ImageId) -> &[Annotation] {
        self.state.boxes(image, None)
    }

    /// The boxes that a reader drew on an image, ascending by id; with `None` as [`boxes`](Self::boxes).
    #[must_use]
    pub fn boxes_of(&self, reader: Option<ReaderId>, image: ImageId) -> &[Annotation] {
        self.state.boxes(image, reader)
    }

    /// What a reader says about an image; with `None` what is said for the project as a whole.
    #[must_use]
    pub fn review(&self, reader: Option<ReaderId>, image: ImageId) -> &Review {
        self.state.review(image, reader)
    }

    /// Who reads apart from the others, ascending by id.
    #[must_use]
    pub fn readers(&self) -> &[Reader] {
        &self.state.readers
    }

    #[must_use]
    pub fn reader(&self, id: ReaderId) -> Option<&Reader> {
        self.readers().iter().find(|reader| reader.id == id)
    }

    /// The id for the next [`Edit::AddReader`].
    #[must_use]
    pub fn next_reader_id(&self) -> ReaderId {
        ReaderId(self.readers().last().map_or(1, |reader| reader.id.0 + 1))
    }

    /// Where an image's file lies.
    #[must_use]
    pub fn path_of(&self, image: &Image) -> PathBuf {
        path_of(&self.dir, image)
    }

    /// The images whose files are not where they were, ascending by id. Import the folder that they lie in now, and they are
    /// found again by their content.
    #[must_use]
    pub fn missing(&self) -> Vec<ImageId> {
        let dir = self.dir.as_path();
        let is_missing = |image: &&Image| !path_of(dir, image).is_file();
        let missing = self.state.images.par_iter().filter(is_missing);
        missing.map(|image| image.id).collect()
    }

    /// The id for the next [`Edit::AddBox`].
    #[must_use]
    pub fn next_box_id(&self) -> BoxId {
        self.next_box
    }

    /// A box for an [`Edit::AddBox`], drawn just now by whoever sits here, among the project's own.
    #[must_use]
    pub fn new_box(&self, image: ImageId, rect: BoundingBox) -> Annotation {
        Annotation {
            id: self.next_box,
            image,
            reader: None,
            rect,
            origin: Origin::Drawn,
            by: who(),
            at: now(),
        }
    }

    /// Makes one change, in one transaction. What had been undone can no longer be redone.
    ///
    /// # Errors
    /// Where the edit does not fit the project or cannot be written; then nothing changed.
    pub fn apply(&mut self, edit: Edit) -> Result<(), ProjectError> {
        let new_boxes = edit.added_boxes();
        let of_runs = edit.is_about_runs();
        if let Some(taken) = new_boxes.iter().find(|id| **id < self.next_box) {
            return Err(EditError::BoxIdTaken(*taken).into());
        }
        let inverse = Arc::make_mut(&mut self.state).apply(&edit)?;
        let recorded = match self.move_runs(&edit) {
            Ok(()) => self.store.record(edit, inverse.clone()),
            Err(error) => Err(error),
        };
        match recorded {
            Ok(entry) => {
                let last = new_boxes.into_iter().max();
                self.next_box = last.map_or(self.next_box, |id| BoxId(id.0 + 1));
                self.undoable = Some(entry);
                self.redoable = None;
                self.grow(of_runs);
                Ok(())
            }
            Err(error) => {
                self.take_back(&inverse)?;
                Err(error)
            }
        }
    }

    /// After a change that could not be recorded.
    fn take_back(&mut self, inverse: &Edit) -> Result<(), ProjectError> {
        Arc::make_mut(&mut self.state).apply(inverse)?;
        // The error that matters is the first one, and the next opening tries again.
        let _ = self.move_runs(inverse);
        Ok(())
    }

    /// Takes the last edit back and says which it was; `None` where there is nothing to undo. Goes back as far as the
    /// project does, also across restarts.
    ///
    /// # Errors
    /// Where it cannot be written; then nothing changed.
    pub fn undo(&mut self) -> Result<Option<Edit>, ProjectError> {
        let Some(entry) = self.undoable.clone() else {
            return Ok(None);
        };
        Arc::make_mut(&mut self.state).apply(&entry.inverse)?;
        let moved = self.move_runs(&entry.inverse);
        match moved.and_then(|()| self.store.undo(&entry)) {
            Ok(before) => {
                self.undoable = before;
                self.grow(entry.edit.is_about_runs());
                let edit = entry.edit.clone();
                self.redoable = Some(entry);
                Ok(Some(edit))
            }
            Err(error) => {
                self.take_back(&entry.edit)?;
                Err(error)
            }
        }
    }

    /// Makes the edit that was undone last again and says which it was; `None` where there is nothing to redo.
    ///
    /// # Errors
    /// Where it cannot be written; then nothing changed.
    pub fn redo(&mut self) -> Result<Option<Edit>, ProjectError> {
        let Some(entry) = self.redoable.clone() else {
            return Ok(None);
        };
        Arc::make_mut(&mut self.state).apply(&entry.edit)?;
        let moved = self.move_runs(&entry.edit);
        match moved.and_then(|()| self.store.redo(&entry)) {
            Ok(after) => {
                self.redoable = after;
                self.grow(entry.edit.is_about_runs());
                let edit = entry.edit.clone();
                self.undoable = Some(entry);
                Ok(Some(edit))
            }
            Err(error) => {
                self.take_back(&entry.inverse)?;
                Err(error)
            }
        }
    }

    /// The edit that [`undo`](Self::undo) would take back.
    #[must_use]
    pub fn undoable(&self) -> Option<&Edit> {
        self.undoable.as_ref().map(|entry| &entry.edit)
    }

    /// The edit that [`redo`](Self::redo) would make again.
    #[must_use]
    pub fn redoable(&self) -> Option<&Edit> {
        self.redoable.as_ref().map(|entry| &entry.edit)
    }

    /// Grows with every change, so that caches know.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// As [`revision`](Self::revision), but for what concerns runs alone.
    #[must_use]
    pub fn images_revision(&self) -> u64 {
        self.images_revision
    }

    fn grow(&mut self, of_runs: bool) {
        self.revision += 1;
        self.images_revision += u64::from(!of_runs);
    }

    /// Makes an import part of the project, in one transaction. Images that are there already stay as they are, also
    /// their boxes; only one that has none and that nobody ever edited gets those of the import, where the import has it of
    /// the same class. One that was moved since is found again by its content, and a file whose content has changed is
    /// listed in [`not_read`](Self::not_read). New classes come in the order of their number of images, the largest
    /// first.
    ///
    /// # Errors
    /// Where it cannot be written; then nothing changed.
    pub fn take_in(&mut self, import: Import) -> Result<TakenIn, ProjectError> {
        let arrived = self.begin_intake(import)?.write()?;
        self.accept(arrived)
    }

    /// As [`take_in`](Self::take_in), for large imports: what is returned is written on another thread, while the project is
    /// worked in, and what comes of that is [accepted](Self::accept). One at a time.
    ///
    /// # Errors
    /// Where the project is only read, or its journal cannot be.
    pub fn begin_intake(&mut self, import: Import) -> Result<Intake, ProjectError> {
        let intake = Intake {
            worked_on: self.store.worked_on()?,
            store: self.store.second()?,
            state: Arc::clone(&self.state),
            dir: self.dir.clone(),
            salt: self.salt,
            first_box: self.next_box,
            import,
        };
        // More are never needed, and boxes that are drawn meanwhile come after them.
        let boxes = intake.import.images.iter().map(|image| image.boxes.len());
        self.next_box.0 += boxes.sum::<usize>() as i64;
        Ok(intake)
    }

    /// Shows what was written.
    ///
    /// # Errors
    /// None where it is an intake of this project, begun last.
    pub fn accept(&mut self, arrived: Arrived) -> Result<TakenIn, ProjectError> {
        let Arrivals {
            classes,
            images,
            boxes,
            moved,
            not_read,
            split: _,
            taken_in,
        } = arrived.0;
        Arc::make_mut(&mut self.state).take_in(classes, images, boxes, moved)?;
        self.not_read = not_read;
        self.grow(false);
        Ok(taken_in)
    }

    /// What the last import could not read, or could not take in.
    #[must_use]
    pub fn not_read(&self) -> &[NotRead] {
        &self.not_read
    }

    /// Without those in the trash, ascending by id.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.state.runs
    }

    #[must_use]
    pub fn run(&self, id: RunId) -> Option<&Run> {
        self.runs().iter().find(|run| run.id == id)
    }

    /// The runs that were deleted, ascending by id. Undo brings one back, with its folder where the trash was not
    /// [emptied](Self::empty_trash) since.
    #[must_use]
    pub fn trash(&self) -> &[Run] {
        &self.state.trash
    }

    /// Bytes on the disk of the deleted runs' folders, and of those that were [put aside](Self::empty_trash) and are not
    /// removed yet.
    #[must_use]
    pub fn trash_size(&self) -> u64 {
        let folders = self.trash().iter().map(|run| self.run_dir(run.id));
        folders.chain(self.put_aside()).map(|it| size_of(&it)).sum()
    }

    /// Puts the deleted runs' folders aside, into a folder of this emptying alone, and returns every folder that is to be
    /// removed for good: this one, and what is left of emptyings that were cut off. The runs' figures stay in the project.
    ///
    /// # Errors
    /// Where a folder cannot be moved; those before it are aside.
    pub fn empty_trash(&self) -> Result<Vec<PathBuf>, ProjectError> {
        let mut names = (1..).map(|n: u64| self.trash_dir().join(format!("emptied-{n}")));
        let aside = names.find(|it| !it.exists());
        let aside = aside.unwrap_or_else(|| self.trash_dir().join("emptied"));
        for run in self.trash() {
            let from = self.run_dir(run.id);
            if from.exists() {
                let failed = |error| ProjectError::io(&from, error);
                std::fs::create_dir_all(&aside).map_err(failed)?;
                let to = aside.join(run.id.to_string());
                std::fs::rename(&from, to).map_err(failed)?;
            }
        }
        Ok(self.put_aside())
    }

    /// The folders of all emptyings.
    fn put_aside(&self) -> Vec<PathBuf> {
        let entries = self.trash_dir().read_dir().into_iter().flatten().flatten();
        let is_aside = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("emptied");
        entries
            .filter(|entry| is_aside(&entry.file_name()))
            .map(|entry| entry.path())
            .collect()
    }

    /// The id of the next run.
    #[must_use]
    pub fn next_run_id(&self) -> RunId {
        let last = |runs: &[Run]| runs.last().map_or(0, |run| run.id.0);
        let mut id = RunId(last(self.runs()).max(last(self.trash())) + 1);
        // A folder of that number may be left where the project's file came back from a backup.
        while self.live_dir(id).exists() || self.trashed_dir(id).exists() {
            id.0 += 1;
        }
        id
    }

    /// The numbers recorded when a run ended.
    #[must_use]
    pub fn metrics(&self, run: RunId) -> &[Metric] {
        self.metrics.get(&run).map_or(&[], Vec::as_slice)
    }

    /// Records a new run and makes its folder.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn begin_run(&mut self) -> Result<(RunId, PathBuf), ProjectError> {
        let id = self.next_run_id();
        let dir = self.run_dir(id);
        std::fs::create_dir_all(&dir).map_err(|error| ProjectError::io(&dir, error))?;
        let run = Run {
            id,
            state: RunState::Running,
            started_at: now(),
            note: String::new(),
            name: String::new(),
            remark: String::new(),
            starred: false,
        };
        if let Err(error) = self.store.begin_run(&run) {
            // The error that matters is the first one.
            let _ = std::fs::remove_dir(&dir);
            return Err(error);
        }
        Arc::make_mut(&mut self.state).runs.push(run);
        self.revision += 1;
        Ok((id, dir))
    }

    /// Records that a run which had ended goes on, in its own folder. Its figures are gone until it ends again.
    ///
    /// # Errors
    /// As [`Self::end_run`].
    pub fn resume_run(&mut self, id: RunId) -> Result<PathBuf, ProjectError> {
        self.end_run(id, RunState::Running, "", &[])?;
        Ok(self.run_dir(id))
    }

    /// Records how a run ended. `note` is one line.
    ///
    /// # Errors
    /// Where there is no such run or it cannot be written.
    pub fn end_run(
        &mut self,
        id: RunId,
        state: RunState,
        note: &str,
        metrics: &[Metric],
    ) -> Result<(), ProjectError> {
        let runs = &mut Arc::make_mut(&mut self.state).runs;
        let Some(run) = runs.iter_mut().find(|run| run.id == id) else {
            return Err(ProjectError::NoSuchRun {
                path: self.dir.clone(),
                id,
            });
        };
        let ended = Run {
            state,
            note: note.to_owned(),
            ..run.clone()
        };
        self.store.end_run(&ended, metrics)?;
        *run = ended;
        self.metrics.insert(id, metrics.to_vec());
        self.revision += 1;
        Ok(())
    }

    /// A run's folder; in the trash where the run was deleted.
    #[must_use]
    pub fn run_dir(&self, id: RunId) -> PathBuf {
        if self.trash().iter().any(|run| run.id == id) {
            self.trashed_dir(id)
        } else {
            self.live_dir(id)
        }
    }

    fn live_dir(&self, id: RunId) -> PathBuf {
        self.dir.join(format!("runs/{:04}", id.0))
    }

    fn trash_dir(&self) -> PathBuf {
        self.dir.join("runs/trash")
    }

    fn trashed_dir(&self, id: RunId) -> PathBuf {
        self.trash_dir().join(format!("{:04}", id.0))
    }

    /// Has the folders of the runs that an edit moved lie where these runs now are.
    fn move_runs(&self, edit: &Edit) -> Result<(), ProjectError> {
        let mut moved = edit.moved_runs().into_iter();
        moved.try_for_each(|run| self.settle_run(run))
    }

    /// Nothing happens where the folder is there already, or gone for good.
    fn settle_run(&self, id: RunId) -> Result<(), ProjectError> {
        let to = self.run_dir(id);
        let (live, trashed) = (self.live_dir(id), self.trashed_dir(id));
        let from = if to == live { trashed } else { live };
        if to.exists() || !from.exists() {
            return Ok(());
        }
        let move_it = || {
            std::fs::create_dir_all(to.parent().unwrap_or(&self.dir))?;
            std::fs::rename(&from, &to)
        };
        move_it().map_err(|error| ProjectError::io(&from, error))
    }
}

/// Where an image's file lies. `dir` has no symbolic links, so `..` may be taken literally.
pub(crate) fn path_of(dir: &Path, image: &Image) -> PathBuf {
    let mut path = dir.to_owned();
    for part in Path::new(&image.path).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            part => path.push(part),
        }
    }
    path
}

fn existing(dir: &Path) -> Result<PathBuf, ProjectError> {
    match dir.canonicalize() {
        Ok(dir) => Ok(dir),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(ProjectError::NotAProject {
                path: dir.to_owned(),
            })
        }
        Err(error) => Err(ProjectError::io(dir, error)),
    }
}

/// Whether this is a folder with nothing in it, or no more than a process leaves that ends while it makes a project.
fn is_free(path: &Path) -> std::io::Result<bool> {
    if !path.is_dir() {
        return Ok(false);
    }
    for entry in path.read_dir()? {
        if entry?.file_name() != LOCK {
            return Ok(false);
        }
    }
    Ok(true)
}
