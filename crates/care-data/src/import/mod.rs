//! Images in: a folder of class folders, or a folder with a table.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::iter::Either;
use rayon::prelude::*;
use walkdir::WalkDir;

use crate::decode::{self, DecodeError, Header};
use crate::geometry::{BoundingBox, ImageSize, Orientation};
use crate::model::{ContentHash, NotRead, Part};
use crate::split::{SplitSpec, shuffle_by};

mod folder;
mod table;

pub use table::stem;

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
    /// Whom the file itself names: the group where `group` is none.
    pub patient: Option<PatientId>,
    /// Where the source already decided.
    pub part: Option<Part>,
    /// In pixels of the image as shown; cut to it when taken in.
    pub boxes: Vec<BoundingBox>,
}

/// A patient's id as it stands in a file. It lives in memory only, and is shown nowhere: a project keeps a
/// [`hash`](Self::hash) of it.
#[derive(Clone, PartialEq, Eq)]
pub struct PatientId(Vec<u8>);

impl PatientId {
    /// None where it tells no patients apart: nothing, or what programs write in its place.
    #[must_use]
    pub fn new(id: &[u8]) -> Option<Self> {
        const NOBODY: [&str; 10] = [
            "0",
            "anon",
            "anonymised",
            "anonymized",
            "anonymous",
            "n/a",
            "na",
            "none",
            "removed",
            "unknown",
        ];
        let id = id.strip_suffix(&[0]).unwrap_or(id).trim_ascii();
        let is_nobody = NOBODY
            .iter()
            .any(|name| id.eq_ignore_ascii_case(name.as_bytes()));
        (!id.is_empty() && !is_nobody).then(|| Self(id.to_owned()))
    }

    /// 64 bits of BLAKE3 under a project's [`salt`](crate::Project::salt): the same patient is the same group in one project,
    /// and nothing in another.
    #[must_use]
    pub fn hash(&self, salt: &[u8; 32]) -> String {
        let hash = blake3::keyed_hash(salt, &self.0).to_hex();
        hash.chars().take(16).collect()
    }
}

impl fmt::Debug for PatientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientId")
    }
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
    #[error("{path}: {source}. Check that it is there and that you may use it.")]
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
    #[error("No space is left on the disk of {path}. Make room and try again.")]
    DiskFull { path: PathBuf },
    #[error("Stopped before everything was read; nothing was taken in.")]
    Stopped,
}

impl ImportError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { path, source },
        }
    }
}

/// A file that may become an image.
struct Candidate {
    path: PathBuf,
    /// Its class, or why it has none and what to do about it.
    class: Result<String, (&'static str, &'static str)>,
    group: Option<String>,
}

/// What a source names, before any file was read.
#[derive(Default)]
struct Listing {
    candidates: Vec<Candidate>,
    not_read: Vec<NotRead>,
}

/// Reads a folder or a table: which images there are, of which class and group, their sizes and their boxes. Each file is
/// read once and none is decoded. `progress` is told how many of how many files were read, from any thread.
///
/// A folder holds either one subfolder per class, or a CSV table with the columns `image_id` and `dx` (`lesion_id` or
/// `patient_id` where known; the ISIC archive's own names are understood) whose images lie anywhere below it. Hidden files
/// and indexes of DICOM files are passed over.
///
/// # Errors
/// Where there is nothing to import or `stop` was set. A file that cannot be read is no error; it is listed in
/// [`Import::not_read`].
pub fn read(
    path: &Path,
    options: &Options,
    progress: &(dyn Fn(usize, usize) + Sync),
    stop: &AtomicBool,
) -> Result<Import, ImportError> {
    let path = &path.canonicalize().map_err(|e| ImportError::io(path, e))?;
    let (folder, table) = match path.parent() {
        Some(folder) if path.is_file() => (folder, Some(path.clone())),
        _ => (path.as_path(), table::find(path, stop)?),
    };
    let boxes_table = match &options.boxes {
        BoxesFrom::Found => Some(folder.join("boxes.csv")).filter(|path| path.is_file()),
        BoxesFrom::File(path) => Some(path.canonicalize().map_err(|e| ImportError::io(path, e))?),
        BoxesFrom::None => None,
    };
    let Walked {
        mut files,
        without_file,
        unreachable,
    } = walk(folder, stop)?;
    files.retain(|file| {
        Some(file) != table.as_ref()
            && *file != folder.join("boxes.csv")
            && Some(file) != boxes_table.as_ref()
            && !is_index(file)
    });
    let Listing {
        mut candidates,
        mut not_read,
    } = match &table {
        Some(table) => table::list(table, files, stop)?,
        None => folder::list(folder, files, &without_file),
    };
    not_read.extend(unreachable);
    if candidates.is_empty() {
        return Err(ImportError::Unusable {
            path: folder.to_owned(),
            why: "There is no file in it.".to_owned(),
            advice: "Choose a folder with one subfolder of images per class, or one with a table."
                .to_owned(),
        });
    }
    if let Some(limit) = options.per_class {
        candidates = at_most(limit, options.split.seed, candidates);
    }
    let boxes = boxes_table
        .as_deref()
        .map(|path| table::boxes(path, stop))
        .transpose()?
        .unwrap_or_default();

    let mut images = read_all(candidates, &mut not_read, progress, stop)?;
    if let Some(table) = boxes_table {
        not_read.extend(give_boxes(&table, boxes, &mut images));
    }
    Ok(Import {
        images,
        not_read,
        split: options.split,
    })
}

/// Reads exactly the images that a table names, one a line, whatever else lies in its folder: a column `image` (or `file`,
/// `path`, `image_id`, `isic_id`) with a path from the table's folder, or a name by which one file below it is found; and a
/// column `class` (or `label`, `dx`, `diagnosis`).
///
/// [`BoxesFrom::Found`] takes the table's own boxes where it has the columns `x`, `y`, `width` and `height` (a line for each
/// box), else those of a `boxes.csv` beside it.
///
/// # Errors
/// As [`read`].
pub fn read_listed(
    table: &Path,
    boxes: &BoxesFrom,
    progress: &(dyn Fn(usize, usize) + Sync),
    stop: &AtomicBool,
) -> Result<Import, ImportError> {
    let table = &table
        .canonicalize()
        .map_err(|e| ImportError::io(table, e))?;
    let boxes_table = match boxes {
        BoxesFrom::Found if table::has_boxes(table)? => Some(table.clone()),
        BoxesFrom::Found => Some(table.with_file_name("boxes.csv")).filter(|path| path.is_file()),
        BoxesFrom::File(path) => Some(path.canonicalize().map_err(|e| ImportError::io(path, e))?),
        BoxesFrom::None => None,
    };
    let Listing {
        candidates,
        mut not_read,
    } = table::listed(table, stop)?;
    let mut images = read_all(candidates, &mut not_read, progress, stop)?;
    if let Some(from) = boxes_table {
        let boxes = table::boxes(&from, stop)?;
        not_read.extend(give_boxes(&from, boxes, &mut images));
    }
    Ok(Import {
        images,
        not_read,
        split: SplitSpec::default(),
    })
}

fn read_all(
    candidates: Vec<Candidate>,
    not_read: &mut Vec<NotRead>,
    progress: &(dyn Fn(usize, usize) + Sync),
    stop: &AtomicBool,
) -> Result<Vec<NewImage>, ImportError> {
    let (total, done) = (candidates.len(), AtomicUsize::new(0));
    let (images, failed): (Vec<_>, Vec<_>) = candidates
        .into_par_iter()
        .filter(|_| !stop.load(Ordering::Relaxed))
        .partition_map(|candidate| {
            let result = read_one(candidate);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            match result {
                Ok(image) => Either::Left(image),
                Err(error) => Either::Right(error),
            }
        });
    go_on(stop)?;
    not_read.extend(failed);
    Ok(images)
}

fn go_on(stop: &AtomicBool) -> Result<(), ImportError> {
    if stop.load(Ordering::Relaxed) {
        Err(ImportError::Stopped)
    } else {
        Ok(())
    }
}

/// An index of DICOM files is called so (PS3.10, 8.6). It is part of what came from an archive, and nothing to be told about.
fn is_index(file: &Path) -> bool {
    file.file_name()
        .is_some_and(|name| name.eq_ignore_ascii_case("DICOMDIR"))
}

/// What lies below a folder, each in the order of paths.
struct Walked {
    files: Vec<PathBuf>,
    /// Subfolders of the folder itself without a file anywhere below them.
    without_file: Vec<PathBuf>,
    unreachable: Vec<NotRead>,
}

fn walk(folder: &Path, stop: &AtomicBool) -> Result<Walked, ImportError> {
    let is_wanted = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0
            || !(name.starts_with('.') || entry.file_type().is_dir() && name.ends_with(".care"))
    };
    let (mut files, mut subfolders, mut unreachable) = (Vec::new(), BTreeSet::new(), Vec::new());
    // Sorted afterwards: a walk in order reads a whole folder before it yields anything, and could not be stopped there.
    for entry in WalkDir::new(folder)
        .follow_links(true)
        .into_iter()
        .filter_entry(is_wanted)
    {
        go_on(stop)?;
        match entry {
            Ok(entry) if entry.file_type().is_file() => files.push(entry.into_path()),
            Ok(entry) if entry.file_type().is_dir() && entry.depth() == 1 => {
                subfolders.insert(entry.into_path());
            }
            Ok(_) => {}
            Err(error) => unreachable.push(NotRead {
                path: error.path().unwrap_or(folder).to_owned(),
                why: format!("It cannot be entered: {error}."),
                advice: "Check that you may read it.".to_owned(),
            }),
        }
    }
    files.sort();
    unreachable.sort_by(|a, b| a.path.cmp(&b.path));
    for path in files.iter().chain(unreachable.iter().map(|it| &it.path)) {
        let below = path.strip_prefix(folder).unwrap_or(path);
        if let Some(first) = below.iter().next() {
            subfolders.remove(&folder.join(first));
        }
    }
    Ok(Walked {
        files,
        without_file: subfolders.into_iter().collect(),
        unreachable,
    })
}

/// Keeps `limit` candidates of each class at most, whole groups, drawn with the seed.
fn at_most(limit: usize, seed: u64, candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut groups: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (i, candidate) in candidates.iter().enumerate() {
        if let Ok(class) = &candidate.class {
            let group = candidate
                .group
                .clone()
                .unwrap_or_else(|| candidate.path.to_string_lossy().into_owned());
            groups.entry((class.clone(), group)).or_default().push(i);
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    shuffle_by(seed, &mut groups, |((_, group), _)| group);
    let mut kept = HashSet::new();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for ((class, _), members) in groups {
        let count = counts.entry(class).or_default();
        if *count + members.len() <= limit {
            *count += members.len();
            kept.extend(members);
        }
    }
    let chosen = candidates
        .into_iter()
        .enumerate()
        .filter(|(i, c)| c.class.is_err() || kept.contains(i));
    chosen.map(|(_, candidate)| candidate).collect()
}

fn read_one(candidate: Candidate) -> Result<NewImage, NotRead> {
    let Candidate { path, class, group } = candidate;
    let refused = |path: &Path, why: &str, advice: &str| NotRead {
        path: path.to_owned(),
        why: why.to_owned(),
        advice: advice.to_owned(),
    };
    let not_decoded = |error: DecodeError| refused(&path, &error.to_string(), error.advice());
    let bytes = decode::read_file(&path).map_err(not_decoded)?;
    let header = decode::header(&bytes).map_err(not_decoded)?;
    let class = class.map_err(|(why, advice)| refused(&path, why, advice))?;
    if path.to_str().is_none() {
        return Err(refused(
            &path,
            "Its name is not Unicode.",
            "Rename the file and its folders.",
        ));
    }
    let hash = ContentHash::of(&bytes);
    let patient = decode::patient_id(&bytes).and_then(|id| PatientId::new(&id));
    let Header { size, orientation } = header;
    Ok(NewImage {
        path,
        hash,
        size,
        orientation,
        class,
        group,
        patient,
        part: None,
        boxes: Vec::new(),
    })
}

/// Gives the boxes to the images they name, cut to them; says what is wrong with the others. Boxes of images that are not
/// there are no error: a table often speaks of more images than are imported.
fn give_boxes(
    table: &Path,
    mut boxes: HashMap<String, Vec<table::BoxRow>>,
    images: &mut [NewImage],
) -> Vec<NotRead> {
    let mut not_read = Vec::new();
    let mut refuse = |why: String, advice: &str| {
        not_read.push(NotRead {
            path: table.to_owned(),
            why,
            advice: advice.to_owned(),
        });
    };
    let mut named: HashMap<String, Vec<&mut NewImage>> = HashMap::new();
    for image in images {
        let name = image.path.file_name().unwrap_or_default().to_string_lossy();
        let name = table::stem(&name).to_owned();
        named.entry(name).or_default().push(image);
    }
    for (name, mut images) in named {
        let rows = boxes.remove(&name).unwrap_or_default();
        let [image] = images.as_mut_slice() else {
            if !rows.is_empty() {
                refuse(
                    format!(
                        "It has boxes for {name}, and {} images are called so.",
                        images.len()
                    ),
                    "Give the files names of their own.",
                );
            }
            continue;
        };
        for row in rows {
            match row.rect.and_then(|rect| rect.clamped(image.size)) {
                Ok(rect) => image.boxes.push(rect),
                Err(_) => refuse(
                    format!(
                        "Line {} gives {name} a box that is none, or lies outside of it.",
                        row.line
                    ),
                    "Correct the line, or draw the box by hand.",
                ),
            }
        }
    }
    not_read.sort_by(|a, b| a.why.cmp(&b.why));
    not_read
}
