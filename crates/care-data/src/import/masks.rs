//! Masks: a PNG of the image's size in which the thing stands out from black. Each spot, pixels that touch at an edge or a
//! corner, becomes a box.
//!
//! A mask lies in a folder `masks` or `segmentations`, or its name ends in `_mask`, `_seg` or `_segmentation`; otherwise it is called
//! as its image. Classes are those of a table or of the folders.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::claims::{Boxes, Claims};
use super::format::{has_ending, of_table};
use super::named::shared_name;
use super::{
    Candidate, Format, ImportError, Listing, by_name, folder, name_of, not_read, table, walk,
};
use crate::decode::{self, Picture};
use crate::geometry::{BoundingBox, ImageSize};
use crate::model::NotRead;

/// Spots of fewer pixels are dust.
pub(super) const SPECK: u64 = 16;

const FOLDERS: &[&str] = &["images", "masks", "mask", "segmentations", "segmentation"];
const SUFFIXES: &[&str] = &["_segmentation", "_mask", "_seg"];

fn is_mask(root: &Path, path: &Path) -> bool {
    let below = path.strip_prefix(root).unwrap_or(path);
    let folders = below.parent().into_iter().flat_map(Path::iter);
    let is_masks =
        |part: &std::ffi::OsStr| FOLDERS[1..].iter().any(|f| part.eq_ignore_ascii_case(f));
    let name = name_of(path);
    has_ending(path, "png") && (folders.into_iter().any(is_masks) || without_suffix(&name) != name)
}

fn without_suffix(name: &str) -> &str {
    let found = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
    found.unwrap_or(name)
}

/// Whether most of what is called like masks has an image.
pub(super) fn are_there(root: &Path, files: &[PathBuf]) -> bool {
    let (masks, images): (Vec<_>, Vec<_>) = files.iter().partition(|path| is_mask(root, path));
    if masks.is_empty() {
        return false;
    }
    let name = |path: &&PathBuf| without_suffix(&name_of(path)).to_owned();
    let images: std::collections::HashSet<_> = images.iter().map(name).collect();
    let paired = masks.iter().filter(|mask| images.contains(&name(mask)));
    2 * paired.count() > masks.len()
}

/// Images of a table directly in `root`, else of class folders in it or in its folder `images`, with their masks.
pub(super) fn list(
    root: &Path,
    files: Vec<PathBuf>,
    stop: &AtomicBool,
) -> Result<Listing, ImportError> {
    let (masks, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|path| is_mask(root, path));
    let is_table = |path: &&PathBuf| {
        path.parent() == Some(root)
            && has_ending(path, "csv")
            && of_table(path) == Some(Format::Table)
    };
    let table = files.iter().find(is_table).cloned();
    let mut listing = if let Some(table) = table {
        let files = files.into_iter().filter(|path| *path != table).collect();
        table::list(&table, files, stop)?
    } else {
        let images = root.join("images");
        let (below, beside): (Vec<_>, Vec<_>) = files
            .into_iter()
            .partition(|path| path.starts_with(&images));
        let mut listing = folder::list(&images, below, &[]);
        let others = folder::list(root, beside, &[]);
        listing.candidates.extend(others.candidates);
        listing
    };
    listing
        .not_read
        .extend(pair(root, masks, root, &mut listing.candidates));
    Ok(listing)
}

/// The masks of a folder of their own.
pub(super) fn give(
    from: &Path,
    candidates: &mut [Candidate],
    stop: &AtomicBool,
) -> Result<Vec<NotRead>, ImportError> {
    let mut masks = walk(from, stop)?.files;
    masks.retain(|path| has_ending(path, "png"));
    Ok(pair(from, masks, from, candidates))
}

/// Gives each mask to its image: by the path below their folders, else to the only one called so.
fn pair(
    root: &Path,
    masks: Vec<PathBuf>,
    told_of: &Path,
    candidates: &mut [Candidate],
) -> Vec<NotRead> {
    let mut by_path: HashMap<String, usize> = HashMap::new();
    for (i, candidate) in candidates.iter().enumerate() {
        if candidate.class.is_ok() {
            by_path.insert(shared_name(root, &candidate.path, FOLDERS), i);
        }
    }
    let mut left = Vec::new();
    for mask in masks {
        let name = shared_name(root, &mask, FOLDERS);
        match by_path
            .get(without_suffix(&name))
            .and_then(|&i| candidates.get_mut(i))
        {
            Some(candidate) => candidate.boxes.push(of_mask(mask)),
            None => left.push(mask),
        }
    }
    let mut by_name = by_name(candidates);
    let mut alone = Vec::new();
    for mask in left {
        let name = without_suffix(&name_of(&mask)).to_owned();
        match by_name.get_mut(&name).map(Vec::as_mut_slice) {
            Some([candidate]) => candidate.boxes.push(of_mask(mask)),
            _ => alone.push(name),
        }
    }
    let line = alone.first().map(|first| {
        let why = format!(
            "{} of its masks have no image of their own, {first} for one.",
            alone.len()
        );
        not_read(told_of, why, "Give masks and images the same names.")
    });
    line.into_iter().collect()
}

fn of_mask(path: PathBuf) -> Claims {
    Claims {
        source: Arc::from(path.as_path()),
        noun: "Spot",
        size: None,
        boxes: Boxes::Mask(path),
    }
}

/// What was found in a mask.
#[derive(Debug, PartialEq)]
pub(super) struct InMask {
    /// In the order of their upper edges.
    pub boxes: Vec<BoundingBox>,
    pub specks: usize,
}

/// Reads the mask of an image of `size`.
///
/// # Errors
/// Why it cannot be used, and what to do.
pub(super) fn boxes(path: &Path, size: ImageSize) -> Result<InMask, (String, &'static str)> {
    let refused = |error: decode::DecodeError| (error.to_string(), error.advice());
    // Before its pixels take any memory.
    let bytes = decode::read_file(path).map_err(refused)?;
    let found = decode::header(&bytes).map_err(refused)?.size;
    if found != size {
        let [a, b] = [found, size].map(|s| format!("{} \u{d7} {}", s.width, s.height));
        return Err((
            format!("The mask has {a} pixels, its image {b}."),
            "Bring it to the image's size.",
        ));
    }
    drop(bytes);
    Ok(match decode::open(path).map_err(refused)? {
        Picture::Grey(image) => spots(size, |x, y| image.value(x, y).is_some_and(|v| v > 0.0)),
        Picture::Colour(image) => spots(size, |x, y| image.get_pixel(x, y).0 != [0; 3]),
    })
}

/// A stretch of a row, from `x0` to before `x1`.
struct Stretch {
    x0: u32,
    x1: u32,
    spot: usize,
}

#[derive(Clone, Copy)]
struct Spot {
    /// The spot that it was found to be part of; itself as a rule.
    part_of: usize,
    corners: [u32; 4],
    pixels: u64,
}

fn root_of(spots: &mut [Spot], mut spot: usize) -> usize {
    while let Some(above) = spots.get(spot).map(|it| it.part_of)
        && above != spot
    {
        // Halves the way for who comes next.
        let further = spots.get(above).map_or(above, |it| it.part_of);
        if let Some(it) = spots.get_mut(spot) {
            it.part_of = further;
        }
        spot = above;
    }
    spot
}

fn spots(size: ImageSize, is_set: impl Fn(u32, u32) -> bool) -> InMask {
    let mut spots: Vec<Spot> = Vec::new();
    let mut above: Vec<Stretch> = Vec::new();
    for y in 0..size.height {
        let mut row: Vec<Stretch> = Vec::new();
        let (mut x, mut next) = (0, 0);
        while x < size.width {
            if !is_set(x, y) {
                x += 1;
                continue;
            }
            let x0 = x;
            while x < size.width && is_set(x, y) {
                x += 1;
            }
            let mut spot = spots.len();
            spots.push(Spot {
                part_of: spot,
                corners: [x0, y, x, y + 1],
                pixels: u64::from(x - x0),
            });
            // Stretches above that end before this one begins end before all that follow.
            while above.get(next).is_some_and(|it| it.x1 < x0) {
                next += 1;
            }
            for touching in above.iter().skip(next).take_while(|it| it.x0 <= x) {
                let other = root_of(&mut spots, touching.spot);
                spot = root_of(&mut spots, spot);
                if other != spot
                    && let (Some(a), Some(b)) =
                        (spots.get(other).copied(), spots.get(spot).copied())
                {
                    let (first, second) = (other.min(spot), other.max(spot));
                    if let Some(it) = spots.get_mut(first) {
                        let ([ax0, ay0, ax1, ay1], [bx0, by0, bx1, by1]) = (a.corners, b.corners);
                        it.corners = [ax0.min(bx0), ay0.min(by0), ax1.max(bx1), ay1.max(by1)];
                        it.pixels = a.pixels + b.pixels;
                    }
                    if let Some(it) = spots.get_mut(second) {
                        it.part_of = first;
                    }
                    spot = first;
                }
            }
            row.push(Stretch { x0, x1: x, spot });
        }
        above = row;
    }
    let whole = spots
        .iter()
        .enumerate()
        .filter(|(i, spot)| spot.part_of == *i);
    let (large, small): (Vec<_>, Vec<_>) = whole.partition(|(_, spot)| spot.pixels >= SPECK);
    let boxes = large.into_iter().filter_map(|(_, spot)| {
        let [x0, y0, x1, y1] = spot.corners.map(f64::from);
        BoundingBox::new(x0, y0, x1, y1).ok()
    });
    InMask {
        boxes: boxes.collect(),
        specks: small.len(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn spots_are_what_touches() {
        for (picture, expected) in [
            (&["....", "...."][..], &[][..]),
            (&["#..#", "#..#", "####"], &[[0, 0, 4, 3]]),
            // At a corner, and not at all.
            (&["#...#", ".#..#", "....#"], &[[4, 0, 5, 3], [0, 0, 2, 2]]),
            (&[".#.#.", "#.#.#", ".#.#."], &[[0, 0, 5, 3]]),
            (
                &["#.#.#.#", "#.#.#.#", "#.###.#", "#.....#", "#######"],
                &[[0, 0, 7, 5], [2, 0, 5, 3]],
            ),
        ] {
            let size = ImageSize::new(picture[0].len() as u32 * 4, picture.len() as u32 * 4);
            // Each sign is 4 x 4 pixels, a speck's size.
            let found = spots(size, |x, y| {
                picture[y as usize / 4].as_bytes()[x as usize / 4] == b'#'
            });
            let mut boxes: Vec<_> = found
                .boxes
                .iter()
                .map(|b| b.xyxy().map(|v| v as i32 / 4))
                .collect();
            boxes.sort_unstable();
            let mut expected = expected.to_vec();
            expected.sort_unstable();
            assert_eq!((boxes, found.specks), (expected, 0), "{picture:?}");
        }
        let found = spots(ImageSize::new(10, 10), |x, y| {
            x < 3 && y < 5 || x > 5 && y > 5
        });
        assert_eq!(
            found.boxes,
            [BoundingBox::new(6.0, 6.0, 10.0, 10.0).unwrap()]
        );
        assert_eq!(found.specks, 1);
    }
}
