//! YOLO: for each image a text file with a line for each box: the class's number, the centre and the sides, as shares of the
//! image's width and height. Names of the classes are in `data.yaml` or `classes.txt`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::format::has_ending;
use super::named::{self, Entry, Marked, shared_name};
use super::voc::text_of;
use super::{Found, ImportError, Listing, go_on, is_image, not_read};
use crate::model::NotRead;

/// Between which folders a label and its image are told apart; else they lie side by side.
const FOLDERS: &[&str] = &["images", "labels"];
const NAMES: &[&str] = &["classes.txt", "obj.names", "classes.names"];

fn is_names(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| NAMES.iter().any(|it| name.eq_ignore_ascii_case(it)))
}

/// Whether a file gives the names of classes, and so stands for the labels of its folder.
pub(super) fn is_settings(path: &Path) -> bool {
    let is_yaml = has_ending(path, "yaml") || has_ending(path, "yml");
    is_names(path)
        || is_yaml
            && text_of(path).is_ok_and(|text| text.lines().any(|line| line.starts_with("names:")))
}

/// Whether there is a text file that reads as labels and has an image.
pub(super) fn is_there(root: &Path, files: &[PathBuf]) -> bool {
    let mut labels = files
        .iter()
        .filter(|path| has_ending(path, "txt") && !is_names(path))
        .take(32)
        .filter(|path| {
            let text = text_of(path).unwrap_or_default();
            let first = text.lines().find(|line| !line.trim().is_empty());
            first.is_some_and(|line| parsed(line).is_some())
        })
        .peekable();
    if labels.peek().is_none() {
        return false;
    }
    let images = images(root, files);
    labels.any(|label| images.contains_key(&label_name(root, label)))
}

fn label_name(root: &Path, label: &Path) -> String {
    shared_name(root, &label.with_extension(""), FOLDERS)
}

/// By what they share with their labels; `None` where several do.
fn images<'a>(root: &Path, files: &'a [PathBuf]) -> HashMap<String, Option<&'a PathBuf>> {
    let mut images: HashMap<_, Option<&PathBuf>> = HashMap::new();
    for path in files {
        if is_image(path) {
            images
                .entry(shared_name(root, path, FOLDERS))
                .and_modify(|image| *image = None)
                .or_insert(Some(path));
        }
    }
    images
}

pub(super) fn list(found: &Found) -> Result<Listing, ImportError> {
    let names = names(found);
    let images = images(found.root, &found.files);
    let labels: Vec<_> = found
        .files
        .iter()
        .filter(|path| has_ending(path, "txt") && !is_names(path))
        .collect();
    let read: Vec<_> = labels
        .into_par_iter()
        .filter(|_| !found.stop.load(Ordering::Relaxed))
        .map(|label| (label, images.get(&label_name(found.root, label))))
        .map(|(label, image)| match image {
            // train.txt, a note, or the label of an image that is not there.
            None => (None, Vec::new()),
            Some(None) => {
                let why = "Several images are called as it is.".to_owned();
                let advice = "Give the images names of their own.";
                (None, vec![not_read(label, why, advice)])
            }
            Some(Some(image)) => {
                let (boxes, refused) = boxes(label, &names);
                let entry = Entry {
                    boxes,
                    in_shares: true,
                    ..Entry::new(label.as_path(), "Line", image.to_string_lossy())
                };
                (Some(entry), refused)
            }
        })
        .collect();
    go_on(found.stop)?;
    let (mut entries, mut refused) = (Vec::new(), Vec::new());
    for (entry, of_label) in read {
        entries.extend(entry);
        refused.extend(of_label);
    }
    let mut listing = named::list(found, entries, refused);
    // The folder of images is often a link, in what this program exports too; projects keep where the files are.
    listing.candidates.par_iter_mut().for_each(|candidate| {
        if let Ok(path) = candidate.path.canonicalize() {
            candidate.path = path;
        }
    });
    Ok(listing)
}

fn boxes(label: &Path, names: &[Arc<str>]) -> (Vec<Marked>, Vec<NotRead>) {
    let text = match text_of(label) {
        Ok(text) => text,
        Err(error) => {
            let why = format!("It cannot be read: {error}.");
            let line = not_read(label, why, "Check that you may read it.");
            return (Vec::new(), vec![line]);
        }
    };
    let (mut boxes, mut refused) = (Vec::new(), Vec::new());
    for (line, at) in text.lines().zip(1..) {
        if line.trim().is_empty() {
            continue;
        }
        let Some((class, corners)) = parsed(line) else {
            let why =
                format!("Line {at} is no label: a class's number and four shares are expected.");
            refused.push(not_read(
                label,
                why,
                "Correct the line, or draw the box by hand.",
            ));
            continue;
        };
        let name = names.get(class).cloned();
        boxes.push(Marked {
            at,
            class: Some(name.unwrap_or_else(|| class.to_string().into())),
            corners,
        });
    }
    (boxes, refused)
}

/// The class and xyxy in shares: of a box, of a box with a confidence, or round an outline of three points or more.
fn parsed(line: &str) -> Option<(usize, [f64; 4])> {
    let mut words = line.split_ascii_whitespace();
    let class = words.next()?.parse().ok()?;
    let numbers = words.map(|word| word.parse().ok().filter(|v: &f64| v.is_finite()));
    let numbers: Vec<f64> = numbers.collect::<Option<_>>()?;
    let corners = match numbers.as_slice() {
        [x, y, w, h] | [x, y, w, h, _] => [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0],
        outline if outline.len() >= 6 && outline.len() % 2 == 0 => {
            let of = |at: usize, first: f64, choose: fn(f64, f64) -> f64| {
                outline
                    .iter()
                    .skip(at)
                    .step_by(2)
                    .copied()
                    .fold(first, choose)
            };
            [
                of(0, f64::INFINITY, f64::min),
                of(1, f64::INFINITY, f64::min),
                of(0, f64::NEG_INFINITY, f64::max),
                of(1, f64::NEG_INFINITY, f64::max),
            ]
        }
        _ => return None,
    };
    Some((class, corners))
}

/// The classes' names, by their numbers. A class without a name is called by its number.
fn names(found: &Found) -> Vec<Arc<str>> {
    let mut settings: Vec<_> = if found.at.is_file() {
        vec![found.at.to_owned()]
    } else {
        let is_settings = |path: &&PathBuf| is_settings(path);
        found.files.iter().filter(is_settings).cloned().collect()
    };
    settings.sort_by_key(|path| path.components().count());
    let Some(path) = settings.first() else {
        return Vec::new();
    };
    let text = text_of(path).unwrap_or_default();
    let names = if is_names(path) {
        text.lines().map(|line| line.trim().to_owned()).collect()
    } else {
        names_in_yaml(&text)
    };
    names.into_iter().map(Into::into).collect()
}

/// What `names:` gives: a list in brackets, a list of `- name`, or lines of `number: name`. That is all of YAML that such
/// files use.
fn names_in_yaml(text: &str) -> Vec<String> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("names:"));
    let first = lines.next().unwrap_or_default();
    let first = first.strip_prefix("names:").unwrap_or_default().trim();
    if first.starts_with(['[', '{']) {
        // Brackets may go on over several lines.
        let rest: String = lines.flat_map(|line| [line, " "]).collect();
        let all = format!("{first} {rest}");
        let inside = all.get(1..).unwrap_or_default();
        let end = inside.find([']', '}']).unwrap_or(inside.len());
        return numbered(
            split_unquoted(inside.get(..end).unwrap_or_default())
                .iter()
                .map(String::as_str),
        );
    }
    let items =
        lines.take_while(|line| line.starts_with([' ', '\t', '-']) || line.trim().is_empty());
    let items: Vec<_> = items
        .map(|line| line.trim().trim_start_matches("- ").trim())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    numbered(items.into_iter())
}

/// At commas outside of quotes.
fn split_unquoted(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (None, ',') => {
                parts.push(String::new());
                continue;
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// More classes than anybody has: a number beyond is a slip, and no reason to fill the memory.
const MAX_CLASSES: usize = 100_000;

/// Each in its place: as numbered where it is, else as it comes.
fn numbered<'a>(items: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for item in items {
        let item = item.trim();
        let (at, name) = match item.split_once(':') {
            Some((number, name)) if number.trim().parse::<usize>().is_ok() => {
                (number.trim().parse().unwrap_or(names.len()), name.trim())
            }
            _ => (names.len(), item),
        };
        if at >= MAX_CLASSES {
            continue;
        }
        if names.len() <= at {
            names.resize_with(at + 1, String::new);
        }
        if let Some(slot) = names.get_mut(at) {
            *slot = unquoted(name);
        }
    }
    for (at, name) in names.iter_mut().enumerate() {
        if name.is_empty() {
            *name = at.to_string();
        }
    }
    names
}

fn unquoted(text: &str) -> String {
    if text.starts_with('"')
        && let Ok(text) = serde_json::from_str(text)
    {
        return text;
    }
    match text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
        Some(inside) => inside.replace("''", "'"),
        None => text.split(" #").next().unwrap_or(text).trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        for (yaml, expected) in [
            (
                "names: [nv, \"mel, early\", 'it''s']\n",
                &["nv", "mel, early", "it's"][..],
            ),
            (
                "path: .\nnames:\n  0: nv\n  1: \"a \\\"b\\\"\"\nnc: 2\n",
                &["nv", "a \"b\""],
            ),
            ("names:\n- nv # benign\n- mel\ntrain: x\n", &["nv", "mel"]),
            ("names: [\n  'nv',\n  'mel',\n]\nnc: 2", &["nv", "mel"]),
            ("names: {0: nv, 2: df}\n", &["nv", "1", "df"]),
            ("names:\n  99999999999: far\n", &[]),
            ("names:", &[]),
            ("", &[]),
        ] {
            assert_eq!(names_in_yaml(yaml), expected, "{yaml}");
        }
    }

    #[test]
    fn lines_are_boxes_outlines_or_wrong() {
        for (line, expected) in [
            ("0 0.5 0.5 1 0.5", Some((0, [0.0, 0.25, 1.0, 0.75]))),
            ("3\t0.5 0.5 1 0.5 0.93", Some((3, [0.0, 0.25, 1.0, 0.75]))),
            ("1 0.1 0.2 0.5 0.1 0.3 0.9", Some((1, [0.1, 0.1, 0.5, 0.9]))),
            ("1 0.1 0.2 0.5", None),
            ("1 0.1 0.2 0.5 x", None),
            ("1 0.1 0.2 0.5 inf", None),
            ("-1 0.5 0.5 1 0.5", None),
            ("README", None),
        ] {
            assert_eq!(parsed(line), expected, "{line}");
        }
    }
}
