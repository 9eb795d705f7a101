//! Images in: class folders, tables, and the files of other programs, each [`Format`] in a module of its own.
//!
//! Every importer lists what its source names; reading the images is common to all. So what comes in can be shown
//! ([`Plan::preview`]) before anything is read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::iter::Either;
use rayon::prelude::*;
use walkdir::WalkDir;

use crate::decode::{self, DecodeError, Header};
use crate::geometry::{BoundingBox, ImageSize, Orientation};
use crate::model::{ContentHash, NotRead, Part, stem};
use crate::split::{SplitSpec, shuffle_by};

mod claims;
mod coco;
mod folder;
mod format;
mod labelme;
mod lines;
mod masks;
mod named;
mod nih;
mod patient;
mod preview;
mod rsna;
mod spreadsheet;
mod table;
mod voc;
mod yolo;

use claims::{Boxes, Claims};
use format::Source;
pub use format::{Format, recognise};
use patient::Group;
pub use patient::PatientId;
pub use preview::{ClassCount, Preview};

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
    /// The lesion, where known, or whatever else groups images.
    pub group: Option<String>,
    /// Whom the source or the file itself names; decides before `group`.
    pub patient: Option<PatientId>,
    /// Where the source already decided.
    pub part: Option<Part>,
    /// In pixels of the image as shown; cut to it when taken in.
    pub boxes: Vec<BoundingBox>,
}

/// Where boxes come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BoxesFrom {
    /// The format's own; where it has none, `boxes.csv` beside the images or the table, if it is there.
    #[default]
    Found,
    /// A table with the columns `image_id`, `x`, `y`, `width`, `height`, or a folder of masks called as their images; instead of
    /// the format's own.
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
    /// Recognised where none is given.
    pub format: Option<Format>,
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
    group: Option<Group>,
    boxes: Vec<Claims>,
}

/// What a source names, before any file was read.
#[derive(Default)]
struct Listing {
    candidates: Vec<Candidate>,
    not_read: Vec<NotRead>,
}

/// What would come in: an import's images, found but not yet read.
pub struct Plan {
    format: Format,
    source: PathBuf,
    candidates: Vec<Candidate>,
    not_read: Vec<NotRead>,
    split: SplitSpec,
}

/// Finds what there is to import at a folder or a file: images, classes, groups and boxes, by the files of annotations alone.
/// Hidden files and indexes of DICOM files are passed over.
///
/// # Errors
/// Where there is nothing to import, the format is not the one that was asked for, or `stop` was set. What is wrong with
/// single files and lines is no error; it is listed in [`Import::not_read`].
pub fn plan(path: &Path, options: &Options, stop: &AtomicBool) -> Result<Plan, ImportError> {
    let path = &path.canonicalize().map_err(|e| ImportError::io(path, e))?;
    let source = Source::find(path, options.format, stop)?;
    let boxes_csv = source.root.join("boxes.csv");
    let boxes_from = match &options.boxes {
        BoxesFrom::Found if source.format.has_boxes() => None,
        BoxesFrom::Found => Some(boxes_csv.clone()).filter(|path| path.is_file()),
        BoxesFrom::File(path) => Some(path.canonicalize().map_err(|e| ImportError::io(path, e))?),
        BoxesFrom::None => None,
    };
    let Source {
        format,
        root,
        at,
        walked,
    } = source;
    let Walked {
        mut files,
        without_file,
        unreachable,
    } = walked;
    files.retain(|file| {
        let is_the_table = format == Format::Table && *file == at;
        let gives_boxes = |from: &PathBuf| file.starts_with(from);
        !is_the_table
            && *file != boxes_csv
            && !boxes_from.as_ref().is_some_and(gives_boxes)
            && !is_index(file)
    });
    let found = Found {
        root: &root,
        at: &at,
        files,
        stop,
    };
    let Listing {
        mut candidates,
        mut not_read,
    } = match format {
        Format::Folder => folder::list(&root, found.files, &without_file),
        Format::Table => table::list(&at, found.files, stop)?,
        Format::Coco => coco::list(&found)?,
        Format::Voc => voc::list(&found)?,
        Format::Yolo => yolo::list(&found)?,
        Format::Csv => spreadsheet::list(&found)?,
        Format::Labelme => labelme::list(&found)?,
        Format::Rsna => rsna::list(&found)?,
        Format::Nih => nih::list(&found)?,
        Format::Masks => masks::list(&root, found.files, stop)?,
    };
    not_read.extend(unreachable);
    if candidates.is_empty() {
        return Err(nothing_in(&at, format, &not_read));
    }
    if let Some(limit) = options.per_class {
        candidates = at_most(limit, options.split.seed, candidates);
    }
    if options.boxes != BoxesFrom::Found {
        for candidate in &mut candidates {
            candidate.boxes.clear();
        }
    }
    if let Some(from) = &boxes_from {
        if from.is_dir() {
            not_read.extend(masks::give(from, &mut candidates, stop)?);
        } else {
            let boxes = table::boxes(from, &mut not_read, stop)?;
            not_read.extend(give_boxes(from, boxes, &mut candidates));
        }
    }
    Ok(Plan {
        format,
        source: at,
        candidates,
        not_read: claims::shortened(not_read),
        split: options.split,
    })
}

/// What an importer starts from.
struct Found<'a> {
    /// The folder that the images lie below.
    root: &'a Path,
    /// What was recognised: a file, or the folder.
    at: &'a Path,
    /// Everything below `root`, in the order of paths.
    files: Vec<PathBuf>,
    stop: &'a AtomicBool,
}

fn nothing_in(at: &Path, format: Format, not_read: &[NotRead]) -> ImportError {
    let (why, advice) = match (format, not_read) {
        (Format::Folder, _) => (
            "There is no file in it.".to_owned(),
            "Choose a folder with one subfolder of images per class, or one with a table."
                .to_owned(),
        ),
        // What is wrong with the whole of it is more to the point than that there is nothing.
        (_, [first, ..]) => (first.why.clone(), first.advice.clone()),
        (_, []) => (
            format!("As {} it names no image.", format.described()),
            "Check that it is the right file, or name the format.".to_owned(),
        ),
    };
    ImportError::Unusable {
        path: at.to_owned(),
        why,
        advice,
    }
}

impl Plan {
    /// Reads the images: sizes, orientations and contents; each file once, and none is decoded except masks. `progress` is told
    /// how many of how many files were read, from any thread.
    ///
    /// # Errors
    /// Where `stop` was set. A file that cannot be read is no error; it is listed in [`Import::not_read`].
    pub fn read(
        self,
        progress: &(dyn Fn(usize, usize) + Sync),
        stop: &AtomicBool,
    ) -> Result<Import, ImportError> {
        let mut not_read = self.not_read;
        let images = read_all(self.candidates, &mut not_read, progress, stop)?;
        Ok(Import {
            images,
            not_read,
            split: self.split,
        })
    }
}

/// Reads what there is at a folder or a file: [`plan`], then [`Plan::read`].
///
/// # Errors
/// As these two.
pub fn read(
    path: &Path,
    options: &Options,
    progress: &(dyn Fn(usize, usize) + Sync),
    stop: &AtomicBool,
) -> Result<Import, ImportError> {
    plan(path, options, stop)?.read(progress, stop)
}

/// What [`read`] would bring, without reading the images.
///
/// # Errors
/// As [`plan`].
pub fn preview(path: &Path, options: &Options, stop: &AtomicBool) -> Result<Preview, ImportError> {
    plan(path, options, stop)?.preview(stop)
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
        mut candidates,
        mut not_read,
    } = table::listed(table, stop)?;
    if let Some(from) = boxes_table {
        let mut refused = Vec::new();
        let boxes = table::boxes(&from, &mut refused, stop)?;
        // Of its own lines it was told already.
        if from != *table {
            not_read.extend(refused);
        }
        not_read.extend(give_boxes(&from, boxes, &mut candidates));
    }
    let mut not_read = claims::shortened(not_read);
    let images = read_all(candidates, &mut not_read, progress, stop)?;
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
    let (read, failed): (Vec<_>, Vec<_>) = candidates
        .into_par_iter()
        .filter(|_| !stop.load(Ordering::Relaxed))
        .partition_map(|mut candidate| {
            let claims = std::mem::take(&mut candidate.boxes);
            let result = read_one(candidate).map(|mut image| {
                let refused = claims.into_iter().flat_map(|claim| claim.give(&mut image));
                let refused: Vec<NotRead> = refused.collect();
                (image, refused)
            });
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            match result {
                Ok(read) => Either::Left(read),
                Err(error) => Either::Right(error),
            }
        });
    go_on(stop)?;
    not_read.extend(failed);
    let mut refused = Vec::new();
    let images = read.into_iter().map(|(image, of_its_boxes)| {
        refused.extend(of_its_boxes);
        image
    });
    let images = images.collect();
    not_read.extend(claims::shortened(refused));
    Ok(images)
}

/// What `read` makes of each file, in their order, and why it made nothing of the others.
fn read_each<T: Send>(
    files: &[&PathBuf],
    read: impl Fn(&Path) -> Result<T, NotRead> + Sync,
    stop: &AtomicBool,
) -> Result<(Vec<T>, Vec<NotRead>), ImportError> {
    let read = files
        .par_iter()
        .filter(|_| !stop.load(Ordering::Relaxed))
        .partition_map(|path| match read(path) {
            Ok(it) => Either::Left(it),
            Err(line) => Either::Right(line),
        });
    go_on(stop).map(|()| read)
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
            Err(error) => {
                let path = error.path().unwrap_or(folder);
                let why = format!("It cannot be entered: {error}.");
                unreachable.push(not_read(path, why, "Check that you may read it."));
            }
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
            let group = match &candidate.group {
                Some(Group::Patient(id)) => id.hash(&[0; 32]),
                Some(Group::Other(name)) => name.clone(),
                None => candidate.path.to_string_lossy().into_owned(),
            };
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
    let Candidate {
        path, class, group, ..
    } = candidate;
    let not_decoded = |error: DecodeError| not_read(&path, error.to_string(), error.advice());
    let bytes = decode::read_file(&path).map_err(not_decoded)?;
    let header = decode::header(&bytes).map_err(not_decoded)?;
    let class = class.map_err(|(why, advice)| not_read(&path, why, advice))?;
    if path.to_str().is_none() {
        let advice = "Rename the file and its folders.";
        return Err(not_read(&path, "Its name is not Unicode.", advice));
    }
    let hash = ContentHash::of(&bytes);
    let (group, patient) = match group {
        Some(Group::Patient(id)) => (None, Some(id)),
        other => {
            let named = decode::patient_id(&bytes).and_then(|id| PatientId::new(&id));
            let other = other.and_then(|group| match group {
                Group::Other(name) => Some(name),
                Group::Patient(_) => None,
            });
            (other, named)
        }
    };
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

/// Gives the boxes of a table to the images that they name. Boxes of images that are not there are no error: a table often
/// speaks of more images than are imported.
fn give_boxes(
    table: &Path,
    mut boxes: HashMap<String, Vec<(u64, [f64; 4])>>,
    candidates: &mut [Candidate],
) -> Vec<NotRead> {
    let source: Arc<Path> = table.into();
    let mut refused = Vec::new();
    for (name, mut images) in by_name(candidates) {
        let Some(rows) = boxes.remove(&name) else {
            continue;
        };
        match images.as_mut_slice() {
            [image] => image.boxes.push(Claims {
                source: Arc::clone(&source),
                noun: "Line",
                size: None,
                boxes: Boxes::Pixels(rows),
            }),
            images => {
                let n = images.len();
                let why = format!("It has boxes for {name}, and {n} images are called so.");
                refused.push(not_read(table, why, "Give the files names of their own."));
            }
        }
    }
    refused
}

/// Those that have a class, by their [`name_of`].
fn by_name(candidates: &mut [Candidate]) -> BTreeMap<String, Vec<&mut Candidate>> {
    let mut named: BTreeMap<String, Vec<&mut Candidate>> = BTreeMap::new();
    for candidate in candidates.iter_mut().filter(|it| it.class.is_ok()) {
        let name = name_of(&candidate.path);
        named.entry(name).or_default().push(candidate);
    }
    named
}

/// A file's name as tables write it: without folder and an image's ending.
fn name_of(path: &Path) -> String {
    stem(&path.file_name().unwrap_or_default().to_string_lossy()).to_owned()
}

/// By its ending.
fn is_image(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    stem(&name) != name
}

fn not_read(path: &Path, why: impl Into<String>, advice: &str) -> NotRead {
    NotRead {
        path: path.to_owned(),
        why: why.into(),
        advice: advice.to_owned(),
    }
}
