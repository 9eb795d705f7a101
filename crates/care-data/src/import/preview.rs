//! What an import would bring, to be shown before it does.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::claims::{Boxes, Claims};
use super::{Candidate, Format, ImportError, Plan, go_on, not_read};
use crate::decode;
use crate::intake::relative;
use crate::model::NotRead;
use crate::project::Project;

/// What an import would bring, as far as can be told without reading the images. Whether a box lies in its image shows
/// only when it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// What was recognised.
    pub format: Format,
    /// In which file or folder.
    pub source: PathBuf,
    /// The largest first.
    pub classes: Vec<ClassCount>,
    pub images: usize,
    pub boxes: usize,
    /// Masks that will become boxes; how many, shows when they are read.
    pub masks: usize,
    pub not_read: Vec<NotRead>,
}

/// A class that an import would bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassCount {
    pub name: String,
    pub images: usize,
    pub boxes: usize,
}

impl Plan {
    /// How many of the images that it would bring a project has already, by their paths. Those that it knows by their content
    /// from elsewhere show only when they are read.
    #[must_use]
    pub fn already_in(&self, project: &Project) -> usize {
        let (dir, images) = (project.dir(), project.images().iter());
        let known: HashSet<&str> = images.map(|image| image.path.as_str()).collect();
        let is_known = |candidate: &&Candidate| {
            candidate.class.is_ok() && known.contains(relative(dir, &candidate.path).as_str())
        };
        self.candidates.par_iter().filter(is_known).count()
    }

    /// What [`read`](Self::read) would bring. Of each image only the first bytes are looked at.
    ///
    /// # Errors
    /// Where `stop` was set.
    pub fn preview(&self, stop: &AtomicBool) -> Result<Preview, ImportError> {
        let looks: Vec<_> = self
            .candidates
            .par_iter()
            .map(|candidate| {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                decode::check_beginning(&candidate.path)
            })
            .collect();
        go_on(stop)?;
        let mut preview = Preview {
            format: self.format,
            source: self.source.clone(),
            classes: Vec::new(),
            images: 0,
            boxes: 0,
            masks: 0,
            not_read: self.not_read.clone(),
        };
        let mut counts: HashMap<&String, (usize, usize)> = HashMap::new();
        for (candidate, look) in self.candidates.iter().zip(looks) {
            let path = &candidate.path;
            let look = look.map_err(|error| not_read(path, error.to_string(), error.advice()));
            let class = candidate.class.as_ref();
            let class = class.map_err(|(why, advice)| not_read(path, *why, advice));
            let name = match look.and(class) {
                Ok(name) => name,
                Err(line) => {
                    preview.not_read.push(line);
                    continue;
                }
            };
            let boxes: usize = candidate.boxes.iter().map(Claims::count).sum();
            let is_mask = |claims: &&Claims| matches!(claims.boxes, Boxes::Mask(_));
            preview.images += 1;
            preview.boxes += boxes;
            preview.masks += candidate.boxes.iter().filter(is_mask).count();
            let count = counts.entry(name).or_insert((0, 0));
            *count = (count.0 + 1, count.1 + boxes);
        }
        let class = |(name, (images, boxes)): (&String, _)| ClassCount {
            name: name.clone(),
            images,
            boxes,
        };
        preview.classes = counts.into_iter().map(class).collect();
        preview
            .classes
            .sort_by(|a, b| b.images.cmp(&a.images).then_with(|| a.name.cmp(&b.name)));
        Ok(preview)
    }
}
