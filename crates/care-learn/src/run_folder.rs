//! A run's folder: what the trainer writes, and the readers for everything in it.
//!
//! | file | what |
//! |---|---|
//! | `config.toml` | [`RunConfig`] |
//! | `data.json` | [`RunData`] |
//! | `record.json` | each time that it was begun or gone on with: [`Start`] |
//! | `steps.csv` | a line per step and model: losses, learning rate |
//! | `epochs.csv` | a line per epoch and model: [`EpochMetrics`] |
//! | `changes.jsonl` | a line per change made while training: [`RecordedChange`] |
//! | `film.safetensors` | the watched images' maps at each refresh: [`Film`] |
//! | `before`, `control`, `care` `.safetensors` | weights, names as in torchvision; of a TorchScript network `.pt`, the network with them |
//! | `checkpoint.safetensors` | while it trains, or where it was stopped: where it stands, weights and optimisers |
//! | `stage1.json` | where it stood when stage 1 was over, which `before` belongs to |
//! | `results.json` | [`Results`] |
//! | `test.safetensors` | for each model and test image: map, probabilities, energy, hit, iou, peak |
//!
//! Whole files are written under a temporary name, synced and renamed: a reader, or the next start after a power
//! cut, finds the old one or the new one.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use care_data::{ImageId, Look, RunId};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorView, View};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::{BackboneKind, RunConfig};
use crate::event::{
    AttentionMap, EpochMetrics, FilmFrame, ImageAttention, ModelRole, RecordedChange, Results,
    StepMetrics,
};
use crate::metrics::IOU_THRESHOLD;
use crate::task::{Fingerprint, TaskClass};

/// A file of a run that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RunFolderError {
    #[error("{} cannot be read: {why}. Train again to have it written anew.", path.display())]
    Read { path: PathBuf, why: String },
    #[error("{} is still being written to. Try again once the run there has stopped.", path.display())]
    Busy { path: PathBuf },
    #[error("{} cannot be written: {source}. {}", path.display(), write_advice(source))]
    Write { path: PathBuf, source: io::Error },
}

fn write_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "Free some space on that disk, then train again."
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "Make the project's folder writable, or copy the project to where it is, then train again."
        }
        _ => "See that the project's folder is there and can be written to, then train again.",
    }
}

/// What a run learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunData {
    /// In logit order, as they were then.
    pub classes: Vec<TaskClass>,
    pub look: Look,
    /// The run that trained its stage 1, where that was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage1_of: Option<RunId>,
}

/// Under what a run was begun, or gone on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Seconds since 1970, UTC.
    pub unix_time: u64,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Of CARE Studio.
    pub version: String,
    pub libtorch: String,
    /// `cpu`, or `cuda:` and its number.
    pub device: String,
    /// That libtorch computes with on the processor.
    pub threads: usize,
    pub data: Fingerprint,
}

/// Bytes of the files that grow, when a checkpoint was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    steps: u64,
    epochs: u64,
    changes: u64,
}

/// Every stored refresh of the watch list, oldest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Film {
    pub watch: Vec<ImageId>,
    pub frames: Vec<FilmFrame>,
}

/// A run's folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    dir: PathBuf,
}

impl RunFolder {
    /// # Errors
    /// Where the folder is missing.
    pub fn open(dir: &Path) -> Result<Self, RunFolderError> {
        if dir.is_dir() {
            Ok(Self {
                dir: dir.to_owned(),
            })
        } else {
            Err(RunFolderError::Read {
                path: dir.to_owned(),
                why: "there is no such folder".to_owned(),
            })
        }
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// # Errors
    /// Where the file is missing or damaged; so for all readers.
    pub fn config(&self) -> Result<RunConfig, RunFolderError> {
        let path = self.dir.join("config.toml");
        let text = std::fs::read_to_string(&path).map_err(|e| read_error(&path, e))?;
        toml::from_str(&text).map_err(|e| read_error(&path, e.message()))
    }

    /// # Errors
    /// As [`Self::config`].
    pub fn data(&self) -> Result<RunData, RunFolderError> {
        self.json("data.json")
    }

    /// # Errors
    /// As [`Self::config`]. A last line cut off by a power cut is left out.
    pub fn epochs(&self) -> Result<Vec<EpochMetrics>, RunFolderError> {
        let path = self.dir.join("epochs.csv");
        let text = whole_lines(&path)?;
        csv::Reader::from_reader(text.as_bytes())
            .deserialize()
            .map(|row| row.map_err(|e| read_error(&path, e)))
            .collect()
    }

    /// # Errors
    /// As [`Self::config`]. A last line cut off by a power cut is left out.
    pub fn changes(&self) -> Result<Vec<RecordedChange>, RunFolderError> {
        let path = self.dir.join("changes.jsonl");
        whole_lines(&path)?
            .lines()
            .map(|line| serde_json::from_str(line).map_err(|e| read_error(&path, e)))
            .collect()
    }

    /// # Errors
    /// As [`Self::config`].
    pub fn film(&self) -> Result<Film, RunFolderError> {
        let path = self.dir.join("film.safetensors");
        let bytes = std::fs::read(&path).map_err(|e| read_error(&path, e))?;
        let columns = Columns::read(&bytes, "").map_err(|e| read_error(&path, e))?;
        film_from(&bytes, &columns).map_err(|e| read_error(&path, e))
    }

    /// # Errors
    /// As [`Self::config`].
    pub fn results(&self) -> Result<Results, RunFolderError> {
        self.json("results.json")
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, RunFolderError> {
        let path = self.dir.join(name);
        let text = std::fs::read_to_string(&path).map_err(|e| read_error(&path, e))?;
        serde_json::from_str(&text).map_err(|e| read_error(&path, e))
    }

    /// The first is the one that began it. Runs of before there was a record have none.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn record(&self) -> Result<Vec<Start>, RunFolderError> {
        if self.dir.join(RECORD).is_file() {
            self.json(RECORD)
        } else {
            Ok(Vec::new())
        }
    }

    /// Whether there is something that a run which was stopped, or failed, can go on from.
    #[must_use]
    pub fn can_go_on(&self) -> bool {
        [CHECKPOINT, STAGE1]
            .iter()
            .any(|name| self.dir.join(name).is_file())
    }

    /// The whole file with the tensors of a run that was stopped. None where it did not stop within a stage.
    pub(crate) fn checkpoint(&self) -> Result<Option<Vec<u8>>, RunFolderError> {
        let path = self.dir.join(CHECKPOINT);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(read_error(&path, error)),
        }
    }

    /// Its state as JSON, of which only the file's header is read.
    pub(crate) fn checkpoint_state(&self) -> Result<Option<String>, RunFolderError> {
        /// As many bytes say how long the header is.
        const LENGTH: usize = 8;
        let path = self.dir.join(CHECKPOINT);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(read_error(&path, error)),
        };
        let mut read = || {
            let mut length = [0; LENGTH];
            file.read_exact(&mut length)?;
            let mut header = Vec::new();
            (&file)
                .take(u64::from_le_bytes(length))
                .read_to_end(&mut header)?;
            Ok::<_, io::Error>(header)
        };
        let header = read().map_err(|e| read_error(&path, e))?;
        let header: Metadata = serde_json::from_slice(&header).map_err(|e| read_error(&path, e))?;
        let state = header.metadata().as_ref().and_then(|it| it.get(STATE));
        match state.cloned() {
            Some(state) => Ok(Some(state)),
            None => Err(read_error(&path, "it does not say where the run stands")),
        }
    }

    /// That no trainer writes here just now.
    pub(crate) fn check_unused(&self) -> Result<(), RunFolderError> {
        let path = self.dir.join(GROWING[0]);
        match File::open(&path) {
            Ok(file) => lock(&path, &file),
            // The trainer writes another.
            Err(_) => Ok(()),
        }
    }

    pub(crate) fn checkpoint_error(&self, why: &str) -> RunFolderError {
        read_error(&self.dir.join(CHECKPOINT), why)
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self, state: &str) -> Result<T, RunFolderError> {
        serde_json::from_str(state).map_err(|e| self.checkpoint_error(&e.to_string()))
    }

    /// Where it stood when stage 1 was over.
    pub(crate) fn stage1<T: DeserializeOwned>(&self) -> Result<T, RunFolderError> {
        self.json(STAGE1)
    }

    /// Copies what stage 1 left behind to another run's folder, which may be there; but for where this one stood.
    pub(crate) fn copy_stage1(&self, to: &Path) -> Result<(), RunFolderError> {
        std::fs::create_dir_all(to).map_err(|source| RunFolderError::Write {
            path: to.to_owned(),
            source,
        })?;
        let weights = self.weights(ModelRole::Before);
        let weights = weights.file_name().unwrap_or_default();
        for name in GROWING
            .map(Path::new)
            .into_iter()
            .chain([Path::new("film.safetensors"), Path::new(weights)])
        {
            let from = self.dir.join(name);
            if from.is_file() {
                let bytes = std::fs::read(&from).map_err(|e| read_error(&from, e))?;
                write_whole(&to.join(name), &bytes)?;
            }
        }
        Ok(())
    }

    /// Every test image as each of these models saw it, in the order of the project.
    ///
    /// # Errors
    /// As [`Self::config`]; also where the run has no such model.
    pub fn test_attention(
        &self,
        roles: &[ModelRole],
    ) -> Result<Vec<(ModelRole, Vec<ImageAttention>)>, RunFolderError> {
        let path = self.dir.join("test.safetensors");
        let bytes = std::fs::read(&path).map_err(|e| read_error(&path, e))?;
        let of = |role: &ModelRole| {
            let columns = Columns::read(&bytes, &prefix(*role))?;
            Ok((*role, columns.images()?))
        };
        let all: Result<_, String> = roles.iter().map(of).collect();
        all.map_err(|e| read_error(&path, e))
    }

    /// Where one model's weights are, whatever the network; so they can be given to another run.
    #[must_use]
    pub fn weights(&self, role: ModelRole) -> PathBuf {
        let torchscript = self.dir.join(weights_name(role, true));
        if torchscript.is_file() {
            torchscript
        } else {
            self.dir.join(weights_name(role, false))
        }
    }
}

const RECORD: &str = "record.json";
const CHECKPOINT: &str = "checkpoint.safetensors";
/// In its header.
const STATE: &str = "state";
const STAGE1: &str = "stage1.json";
/// In the order of [`Written`].
const GROWING: [&str; 3] = ["steps.csv", "epochs.csv", "changes.jsonl"];

fn prefix(role: ModelRole) -> String {
    format!("{}.", role.name().to_lowercase())
}

fn weights_name(role: ModelRole, is_torchscript: bool) -> String {
    let extension = if is_torchscript { "pt" } else { "safetensors" };
    format!("{}{extension}", prefix(role))
}

/// A file without a last line that has no end: the power was cut while it was written.
fn whole_lines(path: &Path) -> Result<String, RunFolderError> {
    let mut bytes = std::fs::read(path).map_err(|e| read_error(path, e))?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    bytes.truncate(end.map_or(0, |end| end + 1));
    String::from_utf8(bytes).map_err(|e| read_error(path, e))
}

fn read_error(path: &Path, why: impl ToString) -> RunFolderError {
    RunFolderError::Read {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

/// One trainer at a time writes to a folder: it holds the lock of the first file that grows.
fn lock(path: &Path, file: &File) -> Result<(), RunFolderError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(RunFolderError::Busy {
            path: path.parent().unwrap_or(path).to_owned(),
        }),
        // Some network file systems have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RunFolderError> {
    write_renamed(path, |temporary| std::fs::write(temporary, bytes))
}

/// Writes under a temporary name, syncs, renames.
fn write_renamed(
    path: &Path,
    write: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), RunFolderError> {
    let temporary = path.with_extension("tmp");
    let write = || {
        write(&temporary)?;
        File::options().append(true).open(&temporary)?.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // What is left of it would only keep a full disk full.
        let _ = std::fs::remove_file(&temporary);
        RunFolderError::Write {
            path: path.to_owned(),
            source,
        }
    })
}

/// The files of a run being trained.
pub(crate) struct RunWriter {
    dir: PathBuf,
    is_torchscript: bool,
    steps: csv::Writer<File>,
    epochs: csv::Writer<File>,
    changes: File,
}

impl RunWriter {
    /// Goes on with files that are there from where they were `written`; begins all of them where that is none.
    pub(crate) fn open(
        dir: &Path,
        config: &RunConfig,
        data: &RunData,
        written: Option<Written>,
    ) -> Result<Self, RunFolderError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| RunFolderError::Write { path, source }
        };
        std::fs::create_dir_all(dir).map_err(at(dir))?;
        let text = config.explained().map_err(|e| RunFolderError::Write {
            path: dir.join("config.toml"),
            source: io::Error::other(e),
        })?;
        write_whole(&dir.join("config.toml"), text.as_bytes())?;
        let go_on = |name: &str, length: u64| {
            let path = dir.join(name);
            let open = || {
                let file = File::options().append(true).create(true).open(&path)?;
                if file.metadata()?.len() < length {
                    return Err(io::Error::other("it is shorter than it was"));
                }
                Ok(file)
            };
            let file: File = open().map_err(at(&path))?;
            // One of them stands for the folder.
            if name == GROWING[0] {
                lock(&path, &file)?;
            }
            // What came after the checkpoint is done again.
            if file.metadata().map_err(at(&path))?.len() > length {
                file.set_len(length).map_err(at(&path))?;
            }
            Ok(file)
        };
        let Written {
            steps,
            epochs,
            changes,
        } = written.unwrap_or(Written {
            steps: 0,
            epochs: 0,
            changes: 0,
        });
        let table = |file, length| {
            let mut builder = csv::WriterBuilder::new();
            builder.has_headers(length == 0).from_writer(file)
        };
        let [steps_csv, epochs_csv, changes_jsonl] = GROWING;
        let writer = Self {
            dir: dir.to_owned(),
            is_torchscript: config.backbone == BackboneKind::Torchscript,
            steps: table(go_on(steps_csv, steps)?, steps),
            epochs: table(go_on(epochs_csv, epochs)?, epochs),
            changes: go_on(changes_jsonl, changes)?,
        };
        writer.json("data.json", data)?;
        // Of a run that goes on they were of the models as they were; the last may have been cut off while it was written.
        for name in ["results.json", "test.safetensors", "checkpoint.tmp"] {
            let path = dir.join(name);
            if path.is_file() {
                std::fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(writer)
    }

    pub(crate) fn record(&self, start: Start) -> Result<(), RunFolderError> {
        let mut starts = RunFolder::open(&self.dir)?.record()?;
        starts.push(start);
        self.json(RECORD, &starts)
    }

    pub(crate) fn step(&mut self, metrics: &StepMetrics) -> Result<(), RunFolderError> {
        for (role, losses) in &metrics.losses {
            let row = StepRow {
                step: metrics.step,
                epoch: metrics.epoch,
                stage: metrics.stage,
                role: *role,
                learning_rate: metrics.learning_rate,
                total: losses.total,
                classification: losses.classification,
                l_in: losses.attention.map(|a| a.l_in),
                l_out: losses.attention.map(|a| a.l_out),
                l_a: losses.attention.map(|a| a.l_a),
            };
            self.steps
                .serialize(row)
                .map_err(|e| self.csv_error("steps.csv", e))?;
        }
        self.steps
            .flush()
            .map_err(|e| self.write_error("steps.csv", e))
    }

    pub(crate) fn epoch(&mut self, metrics: &EpochMetrics) -> Result<(), RunFolderError> {
        self.epochs
            .serialize(metrics)
            .map_err(|e| self.csv_error("epochs.csv", e))?;
        self.epochs
            .flush()
            .map_err(|e| self.write_error("epochs.csv", e))
    }

    pub(crate) fn change(&mut self, change: &RecordedChange) -> Result<(), RunFolderError> {
        let mut line =
            serde_json::to_vec(change).map_err(|e| self.write_error("changes.jsonl", e.into()))?;
        line.push(b'\n');
        self.changes
            .write_all(&line)
            .and_then(|()| self.changes.sync_data())
            .map_err(|e| self.write_error("changes.jsonl", e))
    }

    pub(crate) fn film(&self, film: &Film) -> Result<(), RunFolderError> {
        let path = self.dir.join("film.safetensors");
        let images: Vec<&ImageAttention> =
            film.frames.iter().flat_map(|frame| &frame.images).collect();
        let per_frame = [film.frames.len()];
        // F x W, but where the watch list was changed: then all in one row.
        let counts = || film.frames.iter().map(|frame| frame.images.len());
        let lead = match counts().next() {
            Some(n) if counts().all(|other| other == n) => vec![film.frames.len(), n],
            _ => vec![images.len()],
        };
        let mut tensors = Columns::of(&images).tensors("", &lead);
        tensors.push(owned_i64(
            "frame.images",
            &per_frame,
            counts().map(|n| n as i64),
        ));
        tensors.push(owned_i64(
            "watch",
            &[film.watch.len()],
            film.watch.iter().map(|image| image.0),
        ));
        tensors.push(owned_f32(
            "frame.epoch",
            &per_frame,
            film.frames.iter().map(|f| f.epoch),
        ));
        tensors.push(owned_i64(
            "frame.step",
            &per_frame,
            film.frames.iter().map(|f| i64::from(f.step)),
        ));
        tensors.push(owned_u8(
            "frame.model",
            &per_frame,
            film.frames.iter().map(|f| f.role as u8),
        ));
        self.tensors(&path, &tensors, Self::note())
    }

    pub(crate) fn test_attention(
        &self,
        models: &[(ModelRole, Vec<ImageAttention>)],
    ) -> Result<(), RunFolderError> {
        let path = self.dir.join("test.safetensors");
        let tensors: Vec<OwnedTensor> = models
            .iter()
            .flat_map(|(role, images)| {
                let images: Vec<&ImageAttention> = images.iter().collect();
                Columns::of(&images).tensors(&prefix(*role), &[images.len()])
            })
            .collect();
        self.tensors(&path, &tensors, Self::note())
    }

    pub(crate) fn results(&self, results: &Results) -> Result<(), RunFolderError> {
        self.json("results.json", results)
    }

    fn json(&self, name: &str, value: &impl Serialize) -> Result<(), RunFolderError> {
        let text =
            serde_json::to_vec_pretty(value).map_err(|e| self.write_error(name, e.into()))?;
        write_whole(&self.dir.join(name), &text)
    }

    /// How much of the files that grow there is, for certain.
    pub(crate) fn written(&self) -> Result<Written, RunFolderError> {
        let [steps, epochs, changes] = GROWING;
        let length = |name: &str, file: &File| {
            let metadata = file.sync_data().and_then(|()| file.metadata());
            Ok(metadata.map_err(|e| self.write_error(name, e))?.len())
        };
        Ok(Written {
            steps: length(steps, self.steps.get_ref())?,
            epochs: length(epochs, self.epochs.get_ref())?,
            changes: length(changes, &self.changes)?,
        })
    }

    pub(crate) fn checkpoint(
        &self,
        state: &impl Serialize,
        tensors: Vec<(String, impl View)>,
    ) -> Result<(), RunFolderError> {
        let state =
            serde_json::to_string(state).map_err(|e| self.write_error(CHECKPOINT, e.into()))?;
        let note = HashMap::from([(STATE.to_owned(), state)]);
        write_renamed(
            &self.dir.join(CHECKPOINT),
            |temporary| match safetensors::serialize_to_file(tensors, Some(note), temporary) {
                Err(SafeTensorError::IoError(error)) => Err(error),
                other => other.map_err(io::Error::other),
            },
        )
    }

    /// Stage 1 is over; what is kept of the way there is no longer needed.
    pub(crate) fn stage1(&self, state: &impl Serialize) -> Result<(), RunFolderError> {
        self.json(STAGE1, state)?;
        self.forget_checkpoint();
        Ok(())
    }

    pub(crate) fn forget_checkpoint(&self) {
        // Most often there is none. One that stays only takes room.
        let _ = std::fs::remove_file(self.dir.join(CHECKPOINT));
    }

    pub(crate) fn weights(&self, role: ModelRole, bytes: &[u8]) -> Result<(), RunFolderError> {
        write_whole(&self.weights_path(role), bytes)
    }

    pub(crate) fn weights_path(&self, role: ModelRole) -> PathBuf {
        self.dir.join(weights_name(role, self.is_torchscript))
    }

    fn tensors(
        &self,
        path: &Path,
        tensors: &[OwnedTensor],
        note: HashMap<String, String>,
    ) -> Result<(), RunFolderError> {
        let failed = |e: safetensors::SafeTensorError| RunFolderError::Write {
            path: path.to_owned(),
            source: io::Error::other(e),
        };
        let views = tensors
            .iter()
            .map(|t| {
                Ok((
                    t.name.as_str(),
                    TensorView::new(t.dtype, t.shape.clone(), &t.bytes)?,
                ))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        write_whole(
            path,
            &safetensors::serialize(views, Some(note)).map_err(failed)?,
        )
    }

    fn note() -> HashMap<String, String> {
        HashMap::from([
            (
                "models".to_owned(),
                "0 before, 1 control, 2 CARE".to_owned(),
            ),
            (
                "hit".to_owned(),
                "1 yes, 0 no, 2 not defined (no box, or a flat map)".to_owned(),
            ),
            (
                "energy".to_owned(),
                "share of the attention in the boxes, NaN where not defined".to_owned(),
            ),
            (
                "iou".to_owned(),
                format!(
                    "intersection over union of the map from {IOU_THRESHOLD} on with the boxes, NaN where not defined"
                ),
            ),
            (
                "peak".to_owned(),
                "the map's largest value before normalisation, in logits".to_owned(),
            ),
        ])
    }

    fn write_error(&self, name: &str, source: io::Error) -> RunFolderError {
        RunFolderError::Write {
            path: self.dir.join(name),
            source,
        }
    }

    fn csv_error(&self, name: &str, error: csv::Error) -> RunFolderError {
        let source = match error.into_kind() {
            csv::ErrorKind::Io(e) => e,
            other => io::Error::other(format!("{other:?}")),
        };
        self.write_error(name, source)
    }
}

/// A line of `steps.csv`.
#[derive(Serialize)]
struct StepRow {
    step: u32,
    epoch: f32,
    stage: u8,
    role: ModelRole,
    learning_rate: f64,
    total: f32,
    classification: f32,
    l_in: Option<f32>,
    l_out: Option<f32>,
    l_a: Option<f32>,
}

struct OwnedTensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn owned_f32(name: &str, shape: &[usize], values: impl Iterator<Item = f32>) -> OwnedTensor {
    owned(
        name,
        Dtype::F32,
        shape,
        values.flat_map(f32::to_le_bytes).collect(),
    )
}

fn owned_i64(name: &str, shape: &[usize], values: impl Iterator<Item = i64>) -> OwnedTensor {
    owned(
        name,
        Dtype::I64,
        shape,
        values.flat_map(i64::to_le_bytes).collect(),
    )
}

fn owned_u8(name: &str, shape: &[usize], values: impl Iterator<Item = u8>) -> OwnedTensor {
    owned(name, Dtype::U8, shape, values.collect())
}

fn owned(name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> OwnedTensor {
    OwnedTensor {
        name: name.to_owned(),
        dtype,
        shape: shape.to_vec(),
        bytes,
    }
}

/// Many [`ImageAttention`]s, turned into columns as the files hold them.
struct Columns {
    ids: Vec<i64>,
    grid: [usize; 2],
    /// N x h x w.
    maps: Vec<f32>,
    num_classes: usize,
    /// N x C.
    probabilities: Vec<f32>,
    energy: Vec<f32>,
    hit: Vec<u8>,
    iou: Vec<f32>,
    peak: Vec<f32>,
}

impl Columns {
    fn of(images: &[&ImageAttention]) -> Self {
        let first = images.first();
        Self {
            ids: images.iter().map(|i| i.image.0).collect(),
            grid: first.map_or([0, 0], |i| [i.map.height, i.map.width]),
            maps: images
                .iter()
                .flat_map(|i| i.map.values.iter().copied())
                .collect(),
            num_classes: first.map_or(0, |i| i.probabilities.len()),
            probabilities: images
                .iter()
                .flat_map(|i| i.probabilities.iter().copied())
                .collect(),
            energy: images
                .iter()
                .map(|i| i.energy.unwrap_or(f32::NAN))
                .collect(),
            hit: images.iter().map(|i| i.hit.map_or(2, u8::from)).collect(),
            iou: images.iter().map(|i| i.iou.unwrap_or(f32::NAN)).collect(),
            peak: images.iter().map(|i| i.peak.unwrap_or(f32::NAN)).collect(),
        }
    }

    /// `lead` are the dimensions that take the place of N.
    fn tensors(&self, prefix: &str, lead: &[usize]) -> Vec<OwnedTensor> {
        let shape = |rest: &[usize]| [lead, rest].concat();
        let name = |name: &str| format!("{prefix}{name}");
        vec![
            owned_i64(&name("image"), &shape(&[]), self.ids.iter().copied()),
            owned_f32(&name("map"), &shape(&self.grid), self.maps.iter().copied()),
            owned_f32(
                &name("probability"),
                &shape(&[self.num_classes]),
                self.probabilities.iter().copied(),
            ),
            owned_f32(&name("energy"), &shape(&[]), self.energy.iter().copied()),
            owned_u8(&name("hit"), &shape(&[]), self.hit.iter().copied()),
            owned_f32(&name("iou"), &shape(&[]), self.iou.iter().copied()),
            owned_f32(&name("peak"), &shape(&[]), self.peak.iter().copied()),
        ]
    }

    fn read(bytes: &[u8], prefix: &str) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let (map_shape, maps) = floats(&file, &format!("{prefix}map"))?;
        let (probability_shape, probabilities) = floats(&file, &format!("{prefix}probability"))?;
        let [.., height, width] = map_shape[..] else {
            return Err("the maps have no height and width".to_owned());
        };
        let ids = integers(&file, &format!("{prefix}image"))?;
        // Files of before they were measured have none.
        let later = |name: &str| match format!("{prefix}{name}") {
            name if file.tensor(&name).is_err() => Ok(vec![f32::NAN; ids.len()]),
            name => Ok::<_, String>(floats(&file, &name)?.1),
        };
        Ok(Self {
            iou: later("iou")?,
            peak: later("peak")?,
            ids,
            grid: [height, width],
            maps,
            num_classes: probability_shape.last().copied().unwrap_or(0),
            probabilities,
            energy: floats(&file, &format!("{prefix}energy"))?.1,
            hit: view(&file, &format!("{prefix}hit"), Dtype::U8)?
                .data()
                .to_vec(),
        })
    }

    fn images(&self) -> Result<Vec<ImageAttention>, String> {
        let n = self.ids.len();
        let area = self.grid[0] * self.grid[1];
        let fits = self.maps.len() == n * area
            && self.probabilities.len() == n * self.num_classes
            && self.energy.len() == n
            && self.hit.len() == n
            && self.iou.len() == n
            && self.peak.len() == n;
        if !fits {
            return Err("its parts are of different lengths".to_owned());
        }
        Ok((0..n)
            .map(|i| ImageAttention {
                image: ImageId(self.ids[i]),
                map: AttentionMap {
                    height: self.grid[0],
                    width: self.grid[1],
                    values: self.maps[i * area..(i + 1) * area].to_vec(),
                },
                peak: Some(self.peak[i]).filter(|peak| !peak.is_nan()),
                probabilities: self.probabilities[i * self.num_classes..(i + 1) * self.num_classes]
                    .to_vec(),
                energy: Some(self.energy[i]).filter(|e| !e.is_nan()),
                hit: match self.hit[i] {
                    0 => Some(false),
                    1 => Some(true),
                    _ => None,
                },
                iou: Some(self.iou[i]).filter(|iou| !iou.is_nan()),
            })
            .collect())
    }
}

fn film_from(bytes: &[u8], columns: &Columns) -> Result<Film, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let (_, epochs) = floats(&file, "frame.epoch")?;
    let steps = integers(&file, "frame.step")?;
    let models = view(&file, "frame.model", Dtype::U8)?.data();
    let mut images = columns.images()?;
    let n = epochs.len();
    if n == 0 {
        return Ok(Film::default());
    }
    // Films of before the watch list could be changed say neither.
    let counts: Vec<usize> = match file.tensor("frame.images") {
        Ok(_) => integers(&file, "frame.images")?
            .into_iter()
            .map(|n| usize::try_from(n).map_err(|e| e.to_string()))
            .collect::<Result<_, _>>()?,
        Err(_) if images.len() % n == 0 => vec![images.len() / n; n],
        Err(_) => Vec::new(),
    };
    let is_whole = counts
        .iter()
        .try_fold(0_usize, |sum, n| sum.checked_add(*n))
        == Some(images.len());
    if steps.len() != n || models.len() != n || counts.len() != n || !is_whole {
        return Err("its parts are of different lengths".to_owned());
    }
    let watch = match file.tensor("watch") {
        Ok(_) => integers(&file, "watch")?.into_iter().map(ImageId).collect(),
        Err(_) => images.iter().take(counts[0]).map(|i| i.image).collect(),
    };
    let mut frames = Vec::with_capacity(n);
    for i in 0..n {
        let rest = images.split_off(counts[i]);
        frames.push(FilmFrame {
            role: *ModelRole::ALL
                .get(usize::from(models[i]))
                .ok_or("it names a model that does not exist")?,
            step: u32::try_from(steps[i]).map_err(|e| e.to_string())?,
            epoch: epochs[i],
            images: std::mem::replace(&mut images, rest),
        });
    }
    Ok(Film { watch, frames })
}

fn view<'a>(file: &SafeTensors<'a>, name: &str, dtype: Dtype) -> Result<TensorView<'a>, String> {
    let view = file.tensor(name).map_err(|e| e.to_string())?;
    if view.dtype() == dtype {
        Ok(view)
    } else {
        Err(format!("{name} is {:?}, not {dtype:?}", view.dtype()))
    }
}

fn floats(file: &SafeTensors, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
    let view = view(file, name, Dtype::F32)?;
    let (values, _) = view.data().as_chunks::<4>();
    Ok((
        view.shape().to_vec(),
        values.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    ))
}

fn integers(file: &SafeTensors, name: &str) -> Result<Vec<i64>, String> {
    let view = view(file, name, Dtype::I64)?;
    let (values, _) = view.data().as_chunks::<8>();
    Ok(values.iter().map(|b| i64::from_le_bytes(*b)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LiveParams;
    use crate::event::Change;

    #[test]
    fn test_parts_of_before_the_iou_and_the_peak_are_read() {
        let image = ImageAttention {
            image: ImageId(7),
            map: AttentionMap {
                height: 1,
                width: 2,
                values: vec![0.5, 1.0],
            },
            peak: Some(2.5),
            probabilities: vec![0.25, 0.75],
            energy: Some(0.5),
            hit: Some(true),
            iou: Some(0.125),
        };
        let columns = Columns::of(&[&image, &image]);
        let read = |without: &[&str]| {
            let mut tensors = columns.tensors("care.", &[2]);
            tensors.retain(|t| !without.contains(&t.name.as_str()));
            let views = tensors.iter().map(|t| {
                let view = TensorView::new(t.dtype, t.shape.clone(), &t.bytes);
                (t.name.as_str(), view.expect("fits"))
            });
            let bytes = safetensors::serialize(views, None).expect("serialises");
            let read = Columns::read(&bytes, "care.").and_then(|columns| columns.images());
            read.expect("reads")
        };
        assert_eq!(read(&[]), [image.clone(), image.clone()]);
        let older = ImageAttention {
            iou: None,
            peak: None,
            ..image
        };
        assert_eq!(read(&["care.iou", "care.peak"]), [older.clone(), older]);
    }

    /// Cut at every byte of the last line, as a power cut may leave it.
    #[test]
    fn a_torn_last_line_is_left_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = RunData {
            classes: Vec::new(),
            look: Look::default(),
            stage1_of: None,
        };
        let mut writer =
            RunWriter::open(dir.path(), &RunConfig::default(), &data, None).expect("creates");
        let epoch = |epoch| EpochMetrics {
            role: ModelRole::Care,
            epoch,
            stage: 2,
            classification: 0.5,
            attention: None,
            watched_energy: Some(0.25),
            rare_recall: None,
            num_rare: 0,
            mca: Some(0.75),
            num_validation: 4,
            skipped: 1,
            l_in: Some(-0.5),
            l_out: None,
            total: Some(0.25),
            watched_hits: None,
            learning_rate: Some(1e-4),
        };
        let change = |step| RecordedChange {
            epoch: 0.5,
            step,
            change: Change::Live {
                from: LiveParams::default(),
                to: LiveParams::default(),
            },
        };
        for i in 1..=2 {
            writer.epoch(&epoch(i)).expect("writes");
            writer.change(&change(i)).expect("writes");
        }
        let folder = RunFolder::open(dir.path()).expect("opens");
        assert_eq!(folder.epochs().expect("reads"), [epoch(1), epoch(2)]);
        let read = |name: &str| std::fs::read(dir.path().join(name)).expect("reads");
        let last_line = |bytes: &[u8]| {
            let line = bytes.split_inclusive(|b| *b == b'\n').next_back();
            bytes.len() - line.expect("a line").len()
        };
        let (epochs, changes) = (read("epochs.csv"), read("changes.jsonl"));
        for end in last_line(&epochs)..epochs.len() {
            std::fs::write(dir.path().join("epochs.csv"), &epochs[..end]).expect("writes");
            assert_eq!(folder.epochs().expect("reads"), [epoch(1)], "{end}");
        }
        for end in last_line(&changes)..changes.len() {
            std::fs::write(dir.path().join("changes.jsonl"), &changes[..end]).expect("writes");
            assert_eq!(folder.changes().expect("reads"), [change(1)], "{end}");
        }
        // Nothing but a part of the header; and a line damaged elsewhere is no torn one.
        std::fs::write(dir.path().join("epochs.csv"), &epochs[..5]).expect("writes");
        assert_eq!(folder.epochs().expect("reads"), []);
        let mut damaged = epochs.clone();
        let header = epochs.iter().position(|b| *b == b'\n').expect("a header");
        damaged[header + 1..header + 4].copy_from_slice(b"xyz");
        std::fs::write(dir.path().join("epochs.csv"), damaged).expect("writes");
        assert!(folder.epochs().is_err());
    }
}
