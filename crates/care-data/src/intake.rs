//! What an import adds to a project: which images are new, what they are called there, and where they stand.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::geometry::BoundingBox;
use crate::import::{Import, NewImage};
use crate::model::{
    Annotation, BoxId, Class, ClassId, ContentHash, Image, ImageId, NotRead, Origin, ReviewState,
};
use crate::project::{TakenIn, path_of};
use crate::split::{Item, SplitSpec};
use crate::state::State;
use crate::store::{now, who};

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

/// An image that the project does not have yet.
struct Fresh {
    /// As the project writes it.
    path: String,
    /// The patient or lesion; a name of its own where nothing is known.
    group: String,
    image: NewImage,
}

impl Arrivals {
    /// Compares an import with the project in `dir`; changes nothing.
    pub fn new(
        import: Import,
        state: &State,
        worked_on: &HashSet<ImageId>,
        dir: &Path,
        salt: &[u8; 32],
        next_box: BoxId,
    ) -> Self {
        let Import {
            images: found,
            mut not_read,
            split,
        } = import;
        let found: Vec<_> = found
            .into_iter()
            .map(|mut image| {
                // From here on nobody knows who it is.
                let patient = image.patient.take().map(|id| id.hash(salt));
                image.group = patient.or(image.group);
                (relative(dir, &image.path), image)
            })
            .collect();
        let mut already_there = found.len();
        let moved = moved(state, dir, &found);
        let late = late_boxes(state, worked_on, &found);
        let (fresh, changed) = new_to(state, found, &moved, &mut not_read);
        already_there -= fresh.len() + changed;
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
        let (by, at) = (who(), now());
        let boxes: Vec<_> = late
            .into_iter()
            .chain(rects)
            .zip(next_box.0..)
            .map(|((image, rect), id)| Annotation {
                id: BoxId(id),
                image,
                reader: None,
                rect,
                origin: Origin::Imported,
                by: by.clone(),
                at,
            })
            .collect();
        let taken_in = TakenIn {
            added: images.len(),
            already_there,
            boxes: boxes.len(),
        };
        Self {
            boxes,
            classes,
            images,
            moved,
            not_read,
            split,
            taken_in,
        }
    }
}

/// The boxes of images that the project knows, has none for, and that nobody has worked on: a person's boxes are never
/// touched, and where a person took the boxes away they stay away.
fn late_boxes(
    state: &State,
    worked_on: &HashSet<ImageId>,
    found: &[(String, NewImage)],
) -> Vec<(ImageId, BoundingBox)> {
    let by_hash = by_hash(state);
    let is_open = |image: &Image| {
        state.review(image.id, None).state == ReviewState::ToDo
            && state.boxes(image.id, None).is_empty()
            && !worked_on.contains(&image.id)
    };
    let mut given: HashSet<ImageId> = HashSet::new();
    let mut late = Vec::new();
    let with_boxes = found.iter().filter(|(_, it)| !it.boxes.is_empty());
    for (
        path,
        NewImage {
            hash, boxes, class, ..
        },
    ) in with_boxes
    {
        let twins = by_hash.get(hash).map_or(&[][..], Vec::as_slice);
        // Of pictures that the project has twice, the one that lies there.
        let image = match twins {
            [image] => Some(image),
            twins => twins.iter().find(|twin| twin.path == *path),
        };
        if let Some(image) = image
            && is_open(image)
            // Boxes show where the class is to be seen.
            && state.class(image.class).is_some_and(|it| it.name == *class)
            && given.insert(image.id)
        {
            let rects = boxes
                .iter()
                .filter_map(|rect| rect.clamped(image.size).ok());
            late.extend(rects.map(|rect| (image.id, rect)));
        }
    }
    late.sort_by_key(|(image, _)| *image);
    late
}

/// The images of the project whose files lie elsewhere now, by their content, and where: the new paths are free, or
/// become free as their images move too.
fn moved(state: &State, dir: &Path, found: &[(String, NewImage)]) -> HashMap<ImageId, String> {
    let at_path = by_path(state);
    let by_hash = by_hash(state);
    let content: HashMap<&str, ContentHash> = found
        .iter()
        .map(|(path, image)| (path.as_str(), image.hash))
        .collect();
    // Where it was not looked, that a file is there is taken as a sign that it is the same.
    let is_gone = |image: &Image| match content.get(image.path.as_str()) {
        Some(hash) => *hash != image.hash,
        None => !path_of(dir, image).exists(),
    };
    let mut moved: HashMap<ImageId, String> = HashMap::new();
    let (held, free): (Vec<_>, Vec<_>) = found
        .iter()
        .partition(|(path, _)| at_path.contains_key(path.as_str()));
    for (path, NewImage { hash, .. }) in free.into_iter().chain(held) {
        let twins = by_hash.get(hash).map_or(&[][..], Vec::as_slice);
        if twins.iter().any(|twin| twin.path == *path) {
            continue;
        }
        let lost = |twin: &&&Image| !moved.contains_key(&twin.id) && is_gone(twin);
        if let Some(id) = twins.iter().find(lost).map(|twin| twin.id) {
            moved.insert(id, path.clone());
        }
    }
    // Two images cannot share a path: who would come where another stays, stays too, and so on.
    loop {
        let away: HashSet<ImageId> = moved.keys().copied().collect();
        moved.retain(|_, path| {
            at_path
                .get(path.as_str())
                .is_none_or(|holder| away.contains(&holder.id))
        });
        if moved.len() == away.len() {
            return moved;
        }
    }
}

/// The images that the project has not, neither under their path nor by their content, and how many files have another
/// content than the project knows under their path.
fn new_to(
    state: &State,
    found: Vec<(String, NewImage)>,
    moved: &HashMap<ImageId, String>,
    not_read: &mut Vec<NotRead>,
) -> (Vec<Fresh>, usize) {
    let at_path = by_path(state);
    let by_hash = by_hash(state);
    let groups: HashSet<&str> = state.images.iter().map(|i| i.group.as_str()).collect();
    let moved_here: HashSet<&str> = moved.values().map(String::as_str).collect();
    let mut changed = 0;
    let mut fresh: Vec<Fresh> = Vec::new();
    let mut fresh_by_hash: HashMap<ContentHash, usize> = HashMap::new();
    for (path, image) in found {
        if moved_here.contains(path.as_str()) {
            continue;
        }
        match at_path.get(path.as_str()) {
            Some(holder) if holder.hash == image.hash => continue,
            Some(holder) if !moved.contains_key(&holder.id) => {
                changed += 1;
                not_read.push(NotRead {
                    path: image.path,
                    why: "Its content has changed since it was imported; the project keeps what it knew of it."
                        .to_owned(),
                    advice: "Bring the old file back, or import the new one under another name."
                        .to_owned(),
                });
                continue;
            }
            _ => {}
        }
        if let Some(twin) = by_hash.get(&image.hash).and_then(|twins| twins.first()) {
            // A copy.
            if let Some(class) = state.class(twin.class)
                && class.name != image.class
            {
                let at = moved.get(&twin.id).unwrap_or(&twin.path);
                not_read.push(contradiction(image.path, at, "class", &class.name));
            }
            continue;
        }
        // Data sets do hold a picture twice. Both are taken in, but as one patient's: else one could train and the other test.
        let group = if let Some(twin) = fresh_by_hash.get(&image.hash).and_then(|&at| fresh.get(at))
        {
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
                not_read.push(contradiction(image.path, &twin.path, "group", &twin.group));
                continue;
            }
            twin.group.clone()
        } else {
            fresh_by_hash.insert(image.hash, fresh.len());
            image.group.clone().unwrap_or_else(|| {
                // An image that moved away keeps the name of its group.
                let mut name = path.clone();
                while groups.contains(name.as_str()) {
                    name.push('+');
                }
                name
            })
        };
        fresh.push(Fresh { path, group, image });
    }
    (fresh, changed)
}

fn by_path(state: &State) -> HashMap<&str, &Image> {
    let images = state.images.iter();
    images.map(|image| (image.path.as_str(), image)).collect()
}

fn by_hash(state: &State) -> HashMap<ContentHash, Vec<&Image>> {
    let mut images: HashMap<ContentHash, Vec<&Image>> = HashMap::new();
    for image in &state.images {
        images.entry(image.hash).or_default().push(image);
    }
    images
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
        .chain(fresh.iter().map(|Fresh { group, image, .. }| Item {
            class: &image.class,
            group,
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
        .filter_map(|((Fresh { path, group, image }, part), id)| {
            Some(Image {
                id: ImageId(id),
                path: path.clone(),
                hash: image.hash,
                size: image.size,
                orientation: image.orientation,
                class: *ids.get(image.class.as_str())?,
                group: group.clone(),
                part,
            })
        })
        .collect()
}

/// `path` as a project in `dir` writes it: from there where the two share a disk, with `/` between its parts.
pub(crate) fn relative(dir: &Path, path: &Path) -> String {
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
