//! From what a file of annotations says of images, by name, to the files that are meant.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use indexmap::map::Entry as Slot;

use super::claims::{Boxes, Claims};
use super::patient::Group;
use super::{Candidate, Found, Listing, is_image, name_of, not_read};
use crate::geometry::ImageSize;
use crate::model::{NotRead, stem};

/// What a file of annotations says about one image.
pub(super) struct Entry {
    /// The file that says it.
    pub source: Arc<Path>,
    /// What the file counts its boxes in.
    pub noun: &'static str,
    /// A path from the source's folder, or a name.
    pub image: String,
    /// By which it is looked for where there is no `image`, in turn.
    pub else_images: Vec<String>,
    /// What the source takes the image's size for.
    pub size: Option<ImageSize>,
    /// Where the source gives the image itself one.
    pub class: Option<String>,
    pub group: Option<Group>,
    pub boxes: Vec<Marked>,
    pub in_shares: bool,
}

impl Entry {
    /// Of an image of which nothing else is known.
    pub fn new(source: impl Into<Arc<Path>>, noun: &'static str, image: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            noun,
            image: image.into(),
            else_images: Vec::new(),
            size: None,
            class: None,
            group: None,
            boxes: Vec::new(),
            in_shares: false,
        }
    }
}

/// A box with its class.
pub(super) struct Marked {
    /// Its number in the source.
    pub at: u64,
    pub class: Option<Arc<str>>,
    /// xyxy, as read.
    pub corners: [f64; 4],
}

/// Images without a class of their own get the class that most of their boxes have; of several that as many have, the one
/// that comes first. Boxes of other classes show something else than their image's class, and are left out. What the source was
/// `refused` for comes first in the report.
pub(super) fn list(
    found: &Found,
    entries: impl IntoIterator<Item = Entry>,
    refused: Vec<NotRead>,
) -> Listing {
    let files = Files::new(&found.files);
    let mut listing = Listing {
        candidates: Vec::new(),
        not_read: refused,
    };
    let mut summary = Summary::default();
    let mut merged: IndexMap<PathBuf, Entry> = IndexMap::new();
    for entry in entries {
        let base = entry.source.parent().unwrap_or(found.root);
        let other = || {
            let names = entry.else_images.iter();
            names.filter_map(|name| files.find(base, name).ok()).next()
        };
        let file = match files.find(base, &entry.image) {
            Ok(file) => file,
            Err(missing) => match (other(), missing) {
                (Some(file), _) => file,
                (None, Missing::Nowhere) => {
                    summary.count(&entry, Kind::NoFile);
                    continue;
                }
                (None, Missing::Several) => {
                    let why = format!("It names {}, and several files are called so.", entry.image);
                    let advice =
                        "Write the path from its folder, or give the files names of their own.";
                    listing.not_read.push(not_read(&entry.source, why, advice));
                    continue;
                }
            },
        };
        match merged.entry(file) {
            Slot::Vacant(slot) => {
                slot.insert(entry);
            }
            Slot::Occupied(mut slot) => {
                let first = slot.get_mut();
                if first.source == entry.source {
                    if let (Some(a), Some(b)) = (&first.class, &entry.class)
                        && a != b
                    {
                        let why = format!("It calls {} {b}, and {a} before.", entry.image);
                        let advice = "What comes first holds; correct the wrong one.";
                        listing.not_read.push(not_read(&entry.source, why, advice));
                    }
                    first.class = first.class.take().or(entry.class);
                    first.boxes.extend(entry.boxes);
                } else {
                    summary.count(&entry, Kind::Twice);
                }
            }
        }
    }
    let is_unnamed = |path: &&PathBuf| is_image(path) && !merged.contains_key(*path);
    let unnamed: Vec<_> = found.files.iter().filter(is_unnamed).collect();
    for (path, entry) in merged {
        let Some(class) = entry.class.clone().or_else(|| most_frequent(&entry.boxes)) else {
            summary.count(&entry, Kind::NoClass);
            continue;
        };
        let is_other = |it: &Marked| it.class.as_deref().is_some_and(|c| *c != *class);
        if entry.boxes.iter().any(is_other) {
            summary.count(&entry, Kind::OtherClasses);
        }
        let boxes: Vec<_> = entry
            .boxes
            .iter()
            .filter(|it| !is_other(it))
            .map(|it| (it.at, it.corners))
            .collect();
        let claims = Claims {
            source: entry.source,
            noun: entry.noun,
            size: entry.size,
            boxes: if entry.in_shares {
                Boxes::Shares(boxes)
            } else {
                Boxes::Pixels(boxes)
            },
        };
        listing.candidates.push(Candidate {
            path,
            class: Ok(class),
            group: entry.group,
            boxes: vec![claims],
        });
    }
    listing.not_read.extend(summary.told(found.at));
    if let Some(first) = unnamed.first() {
        let name = first.file_name().unwrap_or_default().to_string_lossy();
        let why = match unnamed.len() {
            1 => format!("It says nothing of {name}, which lies in its folder."),
            n => format!("It says nothing of {n} images in its folder, {name} for one."),
        };
        let advice = "They were left out; import their folder to have them, too.";
        listing.not_read.push(not_read(found.at, why, advice));
    }
    listing.candidates.sort_by(|a, b| a.path.cmp(&b.path));
    listing
}

fn most_frequent(boxes: &[Marked]) -> Option<String> {
    let mut counts: IndexMap<&str, usize> = IndexMap::new();
    for class in boxes.iter().filter_map(|it| it.class.as_deref()) {
        *counts.entry(class).or_default() += 1;
    }
    // Of several, max_by_key takes the last.
    let most = counts.into_iter().rev().max_by_key(|(_, n)| *n);
    most.map(|(class, _)| class.to_owned())
}

#[derive(Clone, Copy)]
enum Kind {
    NoFile,
    Twice,
    NoClass,
    OtherClasses,
}

/// What happened to how many images, with an example of each: data sets name thousands of images that are not there.
#[derive(Default)]
struct Summary([Option<(usize, String)>; 4]);

impl Summary {
    fn count(&mut self, entry: &Entry, kind: Kind) {
        if let Some(slot) = self.0.get_mut(kind as usize) {
            slot.get_or_insert_with(|| (0, entry.image.clone())).0 += 1;
        }
    }

    fn told(self, at: &Path) -> Vec<NotRead> {
        let words = [
            (
                "of its images have no file",
                "Put the files into the folder and import again.",
            ),
            (
                "of its images are named by several files of annotations",
                "What the first file says holds.",
            ),
            (
                "of its images have neither a class nor a box with one",
                "They were left out; give them a class, or import them from class folders.",
            ),
            (
                "of its images have boxes of several classes",
                "They have the class that most of their boxes are of, and its boxes; the others were left out.",
            ),
        ];
        let lines = words
            .into_iter()
            .zip(self.0)
            .filter_map(|((what, advice), slot)| {
                let (n, first) = slot?;
                Some(not_read(
                    at,
                    format!("{n} {what}, {first} for one."),
                    advice,
                ))
            });
        lines.collect()
    }
}

enum Missing {
    Nowhere,
    Several,
}

/// The files below a folder, to be found by path or by name.
pub(super) struct Files<'a> {
    paths: HashSet<&'a Path>,
    by_stem: HashMap<String, Vec<&'a Path>>,
}

impl<'a> Files<'a> {
    pub fn new(files: &'a [PathBuf]) -> Self {
        let mut by_stem: HashMap<String, Vec<&Path>> = HashMap::new();
        for path in files {
            by_stem.entry(name_of(path)).or_default().push(path);
        }
        Self {
            paths: files.iter().map(PathBuf::as_path).collect(),
            by_stem,
        }
    }

    /// Those called so, whatever their folder and their ending as images.
    fn called(&self, name: &str) -> &[&'a Path] {
        self.by_stem.get(stem(name)).map_or(&[], Vec::as_slice)
    }

    /// At the path from `base`; else the one file below the folder that is called so, of several the one in the folders that are
    /// named.
    fn find(&self, base: &Path, name: &str) -> Result<PathBuf, Missing> {
        if name.is_empty() {
            return Err(Missing::Nowhere);
        }
        // Windows writes paths its own way, and no image's name holds such a stroke elsewhere.
        let name = name.replace('\\', "/");
        let path = joined(base, &name);
        if self.paths.contains(path.as_path()) {
            return Ok(path);
        }
        // Beyond the folder.
        if name.contains('/')
            && let Ok(path) = path.canonicalize()
            && path.is_file()
        {
            return Ok(path);
        }
        match self.called(&name) {
            [] => Err(Missing::Nowhere),
            [path] => Ok(path.to_path_buf()),
            called => {
                let mut in_folders = called.iter().filter(|path| path.ends_with(&name));
                match (in_folders.next(), in_folders.next()) {
                    (Some(path), None) => Ok(path.to_path_buf()),
                    _ => Err(Missing::Several),
                }
            }
        }
    }
}

/// `..` taken literally.
fn joined(base: &Path, name: &str) -> PathBuf {
    let mut path = base.to_owned();
    for part in Path::new(name).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

/// A path from `root` without the last folder of one of the names and without an image's ending: what an image and what is
/// said about it share, whether they lie in `images` and `labels`, or side by side.
pub(super) fn shared_name(root: &Path, path: &Path, folders: &[&str]) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let mut parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
    let last = parts.len().saturating_sub(1);
    let named = |part: &std::borrow::Cow<str>| folders.iter().any(|f| part.eq_ignore_ascii_case(f));
    if let Some(at) = parts.iter().take(last).rposition(named) {
        parts.remove(at);
    }
    let name = parts.join("/");
    match name.rsplit_once('/') {
        Some((folder, file)) => format!("{folder}/{}", stem(file)),
        None => stem(&name).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_is_that_of_most_boxes() {
        for (classes, expected) in [
            (&["b", "a", "a"][..], Some("a")),
            (&["b", "a", "a", "b"], Some("b")),
            (&[""; 0], None),
        ] {
            let marked = |(at, class): (usize, &&str)| Marked {
                at: at as u64,
                class: Some((*class).into()),
                corners: [0.0; 4],
            };
            let boxes: Vec<_> = classes.iter().enumerate().map(marked).collect();
            assert_eq!(most_frequent(&boxes).as_deref(), expected);
        }
    }

    #[test]
    fn images_and_labels_share_a_name() {
        for (path, expected) in [
            ("/r/images/train/1.png", "train/1"),
            ("/r/train/images/1.png", "train/1"),
            ("/r/images/images/1.png", "images/1"),
            ("/r/images", "images"),
            ("/r/1.v2.JPG", "1.v2"),
        ] {
            assert_eq!(
                shared_name(Path::new("/r"), Path::new(path), &["images"]),
                expected
            );
        }
    }
}
