//! What an import adds to a project: which images are new, what they are called there, and where they stand.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::import::{Import, NewImage};
use crate::model::{Annotation, BoxId, Class, ClassId, ContentHash, Image, ImageId, NotRead};
use crate::project::{TakenIn, path_of};
use crate::split::{Item, SplitSpec};
use crate::state::State;

/// What an import adds to a project, complete.
#[derive(Debug)]
pub(crate) struct Arrivals {
    pub classes: Vec<Class>,
    pub images: Vec<Image>,
    /// Ascending by id.
    pub boxes: Vec<Annotation>,
    /// Images of the project that were found elsewhere, with their new paths.
    pub moved: HashMap<ImageId, String>,
    pub not_read: Vec<NotRead>,
    pub split: SplitSpec,
    pub taken_in: TakenIn,
}

/// An image that the project does not have yet, and its path as the project writes it.
struct Fresh {
    path: String,
    image: NewImage,
}

impl Arrivals {
    /// Compares an import with the project in `dir`; changes nothing.
    pub fn new(import: Import, state: &State, dir: &Path, next_box: BoxId) -> Self {
        let Import {
            images: found,
            mut not_read,
            split,
        } = import;
        let found_count = found.len();
        let mut moved = HashMap::new();
        let fresh = new_to(state, dir, found, &mut moved, &mut not_read);
        let classes = new_classes(&fresh, &state.classes);
        let images = new_images(&fresh, state, &classes, split);
        let rects = fresh.iter().zip(&images).flat_map(|(fresh, image)| {
            let rects = fresh
                .image
                .boxes
                .iter()
                .filter_map(|rect| rect.clamped(image.size).ok());
            rects.map(|rect| (image.id, rect))
        });
        let boxes = rects
            .zip(next_box.0..)
            .map(|((image, rect), id)| Annotation {
                id: BoxId(id),
                image,
                rect,
            });
        let taken_in = TakenIn {
            added: images.len(),
            already_there: found_count - images.len(),
        };
        Self {
            boxes: boxes.collect(),
            classes,
            images,
            moved,
            not_read,
            split,
            taken_in,
        }
    }
}

/// The images that the project has not, neither under their path nor by their content. One that it has by its content
/// alone has been moved, or is a copy.
fn new_to(
    state: &State,
    dir: &Path,
    found: Vec<NewImage>,
    moved: &mut HashMap<ImageId, String>,
    not_read: &mut Vec<NotRead>,
) -> Vec<Fresh> {
    let mut by_path: HashMap<&str, &Image> = HashMap::new();
    let mut by_hash: HashMap<ContentHash, Vec<&Image>> = HashMap::new();
    for image in &state.images {
        by_path.insert(&image.path, image);
        by_hash.entry(image.hash).or_default().push(image);
    }
    let mut fresh: Vec<Fresh> = Vec::new();
    let mut fresh_by_hash: HashMap<ContentHash, usize> = HashMap::new();
    for mut image in found {
        let path = relative(dir, &image.path);
        if by_path.contains_key(path.as_str()) {
            continue;
        }
        if let Some(twins) = by_hash.get(&image.hash) {
            let is_gone =
                |twin: &&&Image| !moved.contains_key(&twin.id) && !path_of(dir, twin).exists();
            match twins.iter().find(is_gone) {
                Some(twin) => {
                    moved.insert(twin.id, path);
                }
                None => not_read.extend(twins.first().and_then(|twin| {
                    let class = &state.class(twin.class)?.name;
                    (*class != image.class)
                        .then(|| contradiction(image.path, &twin.path, "class", class))
                })),
            }
            continue;
        }
        // Data sets do hold a picture twice. Both are taken in, but as one patient's: else one could train and the other test.
        if let Some(twin) = fresh_by_hash.get(&image.hash).and_then(|&at| fresh.get(at)) {
            let group = twin.image.group.as_ref().unwrap_or(&twin.path);
            if twin.image.class != image.class {
                not_read.push(contradiction(
                    image.path,
                    &twin.path,
                    "class",
                    &twin.image.class,
                ));
                continue;
            }
            if twin.image.group != image.group {
                not_read.push(contradiction(image.path, &twin.path, "group", group));
                continue;
            }
            image.group = Some(group.clone());
        } else {
            fresh_by_hash.insert(image.hash, fresh.len());
        }
        fresh.push(Fresh { path, image });
    }
    fresh
}

fn contradiction(path: PathBuf, twin: &str, what: &str, value: &str) -> NotRead {
    NotRead {
        path,
        why: format!("The same picture as {twin}, which is of the {what} {value}."),
        advice: format!("Keep the one whose {what} is right."),
    }
}

/// The classes that the project has not, the largest first.
fn new_classes(fresh: &[Fresh], known: &[Class]) -> Vec<Class> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for Fresh { image, .. } in fresh {
        let place = *places.entry(&image.class).or_insert(counts.len());
        match counts.get_mut(place) {
            Some((_, count)) => *count += 1,
            None => counts.push((&image.class, 1)),
        }
    }
    counts.retain(|(name, _)| known.iter().all(|class| class.name != *name));
    counts.sort_by_key(|&(_, count)| Reverse(count));
    let first = known.last().map_or(1, |class| class.id.0 + 1);
    let names = counts.into_iter().map(|(name, _)| name.to_owned());
    names
        .zip(first..)
        .zip(known.len() as u32..)
        .map(|((name, id), color)| Class {
            id: ClassId(id),
            name,
            color,
            rare: false,
        })
        .collect()
}

fn new_images(
    fresh: &[Fresh],
    state: &State,
    new_classes: &[Class],
    split: SplitSpec,
) -> Vec<Image> {
    let classes = || state.classes.iter().chain(new_classes);
    let names: HashMap<_, _> = classes()
        .map(|class| (class.id, class.name.as_str()))
        .collect();
    let ids: HashMap<_, _> = classes()
        .map(|class| (class.name.as_str(), class.id))
        .collect();
    let known = state.images.iter().filter_map(|image| {
        Some(Item {
            class: names.get(&image.class)?,
            group: &image.group,
            part: Some(image.part),
        })
    });
    let items: Vec<_> = known
        .chain(fresh.iter().map(|Fresh { path, image }| Item {
            class: &image.class,
            // Of a group of its own where nothing is known.
            group: image.group.as_ref().unwrap_or(path),
            part: image.part,
        }))
        .collect();
    let parts = split.assign(&items);
    let first = state.images.last().map_or(1, |image| image.id.0 + 1);
    let parts = parts.into_iter().skip(items.len() - fresh.len());
    fresh
        .iter()
        .zip(parts)
        .zip(first..)
        .filter_map(|((Fresh { path, image }, part), id)| {
            Some(Image {
                id: ImageId(id),
                path: path.clone(),
                hash: image.hash,
                size: image.size,
                orientation: image.orientation,
                class: *ids.get(image.class.as_str())?,
                group: image.group.as_ref().unwrap_or(path).clone(),
                part,
                done: false,
            })
        })
        .collect()
}

/// `path` as a project in `dir` writes it: from there where the two share a disk, with `/` between its parts.
fn relative(dir: &Path, path: &Path) -> String {
    let (mut from, mut to) = (dir.components().peekable(), path.components().peekable());
    let mut shared = 0;
    while let (Some(a), Some(b)) = (from.peek(), to.peek())
        && a == b
    {
        shared += 1;
        from.next();
        to.next();
    }
    if shared == 0 {
        return path
            .to_string_lossy()
            .replace(std::path::MAIN_SEPARATOR, "/");
    }
    let up = from.map(|_| "..".into());
    let parts: Vec<_> = up
        .chain(to.map(|part| part.as_os_str().to_string_lossy()))
        .collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_from_the_project() {
        for (dir, path, expected) in [
            ("/a/p.care", "/a/p.care/images/1.png", "images/1.png"),
            ("/a/p.care", "/a/set/nevus/1.png", "../set/nevus/1.png"),
            ("/a/b/p.care", "/c/ü 1.png", "../../../c/ü 1.png"),
        ] {
            assert_eq!(relative(Path::new(dir), Path::new(path)), expected);
        }
    }
}
