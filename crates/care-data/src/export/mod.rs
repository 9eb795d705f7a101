//! Boxes out: a project's images, classes and boxes as other programs read them.
//!
//! Images stay where they are and are named by their paths. Nothing of patients or groups goes along.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rayon::prelude::*;
use walkdir::WalkDir;

use crate::geometry::BoundingBox;
use crate::intake::relative;
use crate::model::{Annotation, Class, Image, Part, stem};
use crate::names::{NoSuchFormat, by_name};
use crate::project::Project;

mod coco;
mod csv;
mod labelme;
mod voc;
mod yolo;

/// How boxes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One JSON file. Numbers are written whole.
    Coco,
    /// A folder with an XML file for each image. Edges are rounded to whole pixels.
    Voc,
    /// A folder with a text file for each image, in shares of its size; an image without a box has no class there.
    Yolo,
    /// One table, a line for each box or image without one. Numbers are written whole.
    Csv,
    /// A folder with a JSON file for each image. Numbers are written whole.
    Labelme,
}

impl Format {
    pub const ALL: [Self; 5] = [Self::Coco, Self::Voc, Self::Yolo, Self::Csv, Self::Labelme];

    /// As it is typed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Coco => "coco",
            Self::Voc => "voc",
            Self::Yolo => "yolo",
            Self::Csv => "csv",
            Self::Labelme => "labelme",
        }
    }

    /// The endings of all that it writes, where that is a folder.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Coco | Self::Csv => &[],
            Self::Voc => &["xml", "txt"],
            Self::Yolo => &["txt", "yaml"],
            Self::Labelme => &["json"],
        }
    }
}

impl FromStr for Format {
    type Err = NoSuchFormat;

    fn from_str(name: &str) -> Result<Self, NoSuchFormat> {
        by_name(name, &Self::ALL, Self::name)
    }
}

/// What to export, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub format: Format,
    /// The images of one part of the split; of all where none is given.
    pub part: Option<Part>,
    /// Whether an earlier export may be replaced.
    pub replace: bool,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    pub images: usize,
    pub boxes: usize,
    /// Boxes whose edges had to be rounded to whole pixels.
    pub rounded: usize,
    /// Images whose class could not be written, for they have no box.
    pub without_class: usize,
}

/// Why nothing was exported. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("{path} is already there. Choose another name, or say that it may be replaced.")]
    Exists { path: PathBuf },
    #[error(
        "{path} holds {file}, which no export wrote, and is not replaced. Choose another name."
    )]
    NotAnExport { path: PathBuf, file: PathBuf },
    #[error("There is no image to export{}.", part.map(|part| format!(" in the part {}", part.name())).unwrap_or_default())]
    Nothing { part: Option<Part> },
    #[error(
        "{a} and {b} would be written to one file. Give one of them another name, or choose COCO or CSV."
    )]
    SameName { a: String, b: String },
    #[error("No space is left on the disk of {path}. Make room and try again.")]
    DiskFull { path: PathBuf },
    #[error("{path}: {source}. Check that the folder is there and that you may write to it.")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl ExportError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { path, source },
        }
    }
}

/// An image with all that is written of it.
struct Item<'a> {
    image: &'a Image,
    /// Absolute.
    path: PathBuf,
    class: &'a Class,
    /// From 0 on, in the project's order.
    class_index: usize,
    boxes: &'a [Annotation],
}

impl Item<'_> {
    fn rects(&self) -> impl Iterator<Item = BoundingBox> {
        self.boxes.iter().map(|annotation| annotation.rect)
    }
}

/// Everything that is written.
struct Set<'a> {
    name: &'a str,
    classes: &'a [Class],
    items: Vec<Item<'a>>,
    /// Where it will lie: absolute, without symbolic links.
    out: PathBuf,
}

/// Writes a project's boxes to `out`, a file or a folder by the format. It appears there whole or not at all. What is there
/// already stays, except for an earlier export that may be replaced.
///
/// # Errors
/// Where there is nothing to write, something in its way, or no way to write.
pub fn export(project: &Project, out: &Path, options: Options) -> Result<Exported, ExportError> {
    let Options {
        format,
        part,
        replace,
    } = options;
    let out = absolute(out)?;
    let classes = project.classes();
    let items = project
        .images()
        .iter()
        .filter(|image| part.is_none_or(|part| part == image.part))
        .filter_map(|image| {
            let class_index = classes.binary_search_by_key(&image.class, |class| class.id);
            let class_index = class_index.ok()?;
            Some(Item {
                image,
                path: project.path_of(image),
                class: classes.get(class_index)?,
                class_index,
                boxes: project.boxes(image.id),
            })
        });
    let set = Set {
        name: project.name(),
        classes,
        items: items.collect(),
        out,
    };
    if set.items.is_empty() {
        return Err(ExportError::Nothing { part });
    }
    let mut exported = Exported {
        images: set.items.len(),
        boxes: set.items.iter().map(|item| item.boxes.len()).sum(),
        ..Exported::default()
    };
    let way = Way::clear(&set.out, format, replace)?;
    let written = match format {
        Format::Coco => coco::write(&set, &way.part),
        Format::Csv => csv::write(&set, &way.part),
        Format::Labelme => labelme::write(&set, &way.part),
        Format::Voc => {
            exported.rounded = set
                .items
                .iter()
                .flat_map(Item::rects)
                .filter(voc::is_rounded)
                .count();
            voc::write(&set, &way.part)
        }
        Format::Yolo => {
            exported.without_class = set.items.iter().filter(|it| it.boxes.is_empty()).count();
            yolo::write(&set, &way.part)
        }
    };
    written.and_then(|()| way.finish())?;
    Ok(exported)
}

fn absolute(out: &Path) -> Result<PathBuf, ExportError> {
    let parent = match out.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => out,
    };
    let parent = parent
        .canonicalize()
        .map_err(|e| ExportError::io(parent, e))?;
    match out.file_name() {
        Some(name) => Ok(parent.join(name)),
        // "..", a drive: there is something.
        None => Err(ExportError::Exists {
            path: out.to_owned(),
        }),
    }
}

/// From a temporary name beside it to where the export belongs. Dropped before its end, it leaves nothing.
struct Way {
    part: PathBuf,
    out: PathBuf,
    /// Where what is replaced waits.
    old: PathBuf,
}

impl Way {
    fn clear(out: &Path, format: Format, replace: bool) -> Result<Self, ExportError> {
        // A link is something, too, wherever it leads.
        if let Ok(there) = out.symlink_metadata() {
            let is_folder = !format.endings().is_empty();
            if !replace || there.is_dir() != is_folder {
                return Err(ExportError::Exists {
                    path: out.to_owned(),
                });
            }
            if is_folder && let Some(file) = foreign(out, format) {
                return Err(ExportError::NotAnExport {
                    path: out.to_owned(),
                    file,
                });
            }
        }
        let beside = |what: &str| {
            let name = out.file_name().unwrap_or_default().to_string_lossy();
            out.with_file_name(format!(".{name}.{}.{what}", std::process::id()))
        };
        Ok(Self {
            part: beside("part"),
            out: out.to_owned(),
            old: beside("old"),
        })
    }

    fn finish(&self) -> Result<(), ExportError> {
        let failed = |error| ExportError::io(&self.out, error);
        // A folder is not renamed onto another.
        let replaced = self.out.is_dir() && std::fs::rename(&self.out, &self.old).is_ok();
        match std::fs::rename(&self.part, &self.out) {
            Ok(()) if replaced => std::fs::remove_dir_all(&self.old).map_err(failed),
            Ok(()) => Ok(()),
            Err(error) => {
                if replaced {
                    // The error that matters is the first one.
                    let _ = std::fs::rename(&self.old, &self.out);
                }
                Err(failed(error))
            }
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        // After the end it is not there.
        let _ = std::fs::remove_dir_all(&self.part).or_else(|_| std::fs::remove_file(&self.part));
    }
}

/// A file in a folder that an export in this format does not write.
fn foreign(folder: &Path, format: Format) -> Option<PathBuf> {
    let is_ours = |entry: &walkdir::DirEntry| {
        let ending = entry.path().extension().unwrap_or_default();
        let is_known = || format.endings().iter().any(|it| ending == OsStr::new(it));
        let is_link =
            entry.path_is_symlink() && entry.depth() == 1 && entry.file_name() == yolo::IMAGES;
        entry.file_type().is_dir()
            || is_link && format == Format::Yolo
            || entry.file_type().is_file() && is_known()
    };
    let mut entries = WalkDir::new(folder).into_iter();
    entries.find_map(|entry| match entry {
        Ok(entry) if is_ours(&entry) => None,
        Ok(entry) => Some(entry.into_path()),
        Err(error) => Some(error.path().unwrap_or(folder).to_owned()),
    })
}

/// Writes one file as a whole, to the disk.
fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), ExportError> {
    let written = File::create_new(path).and_then(|file| {
        let mut writer = BufWriter::new(file);
        write(&mut writer)?;
        writer
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)
    });
    let synced = written.and_then(|file| file.sync_all());
    synced.map_err(|error| ExportError::io(path, error))
}

/// The folder that all images lie below.
fn common_folder(items: &[Item]) -> PathBuf {
    let mut folders = items.iter().filter_map(|item| item.path.parent());
    let mut common = folders.next().unwrap_or(Path::new("")).to_owned();
    for folder in folders {
        while !folder.starts_with(&common) && common.pop() {}
    }
    common
}

/// A file's path from the common folder, with its name for each image in place of the image's, all different.
fn names(items: &[Item], strict: bool) -> Result<Vec<PathBuf>, ExportError> {
    let common = common_folder(items);
    let mut seen: std::collections::HashMap<String, &str> = std::collections::HashMap::new();
    let mut names = Vec::with_capacity(items.len());
    for item in items {
        let below = item.path.strip_prefix(&common).unwrap_or(&item.path);
        let file = below.file_name().unwrap_or_default().to_string_lossy();
        let mut name = below.with_file_name(stem(&file));
        // Some file systems do not tell large letters from small ones.
        let key = |name: &Path| name.to_string_lossy().to_lowercase();
        if let Some(other) = seen.get(&key(&name)) {
            let clash = ExportError::SameName {
                a: (*other).to_owned(),
                b: item.image.path.clone(),
            };
            name = below.to_owned();
            if strict || seen.contains_key(&key(&name)) {
                return Err(clash);
            }
        }
        seen.insert(key(&name), &item.image.path);
        names.push(name);
    }
    Ok(names)
}

/// Writes a file for each image into `folder`, called as [`names`] has it with `ending`.
fn write_each(
    items: &[Item],
    names: &[PathBuf],
    folder: &Path,
    ending: &str,
    write: impl Fn(&Item, &Path) -> String + Sync,
) -> Result<(), ExportError> {
    let path_of = |name: &Path| {
        let mut path = folder.join(name).into_os_string();
        path.push(".");
        path.push(ending);
        PathBuf::from(path)
    };
    let folders: HashSet<_> = names.iter().filter_map(|name| name.parent()).collect();
    for below in folders {
        let below = folder.join(below);
        std::fs::create_dir_all(&below).map_err(|error| ExportError::io(&below, error))?;
    }
    // Not each to the disk on its own: that would take minutes, and the folder appears by one rename at the end.
    items.par_iter().zip(names).try_for_each(|(item, name)| {
        let path = path_of(name);
        std::fs::write(&path, write(item, name)).map_err(|error| ExportError::io(&path, error))
    })
}

/// Writes which images stand in which part, a line for each.
fn write_parts(
    set: &Set,
    folder: &Path,
    line: impl Fn(&Item, usize) -> String,
) -> Result<(), ExportError> {
    for (part, name) in [
        (Part::Train, "train.txt"),
        (Part::Validation, "val.txt"),
        (Part::Test, "test.txt"),
    ] {
        let of_part = set
            .items
            .iter()
            .enumerate()
            .filter(|(_, it)| it.image.part == part);
        let lines: Vec<_> = of_part.map(|(i, item)| line(item, i)).collect();
        if !lines.is_empty() {
            write_file(&folder.join(name), |file| {
                lines.iter().try_for_each(|line| writeln!(file, "{line}"))
            })?;
        }
    }
    Ok(())
}

/// With `/` between its parts.
fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
