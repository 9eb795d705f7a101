//! What room 1 counts: images by class and part, patients, the images that a filter lets through. Kept by the room until
//! the project changes.

use std::collections::HashMap;

use care_data::{ClassId, Image, ImageId, Part, Project};

use crate::format;
use crate::state::needs_box;

/// Images by class and part.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Tally {
    /// In the order of the project's classes.
    pub classes: Vec<ClassTally>,
    /// Train, validation, test.
    pub parts: [usize; 3],
    /// The first image that still needs a box.
    pub first_to_do: Option<ImageId>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ClassTally {
    pub parts: [usize; 3],
    pub to_do: usize,
}

impl Tally {
    pub fn of(project: &Project) -> Self {
        let places: HashMap<ClassId, usize> = project
            .classes()
            .iter()
            .enumerate()
            .map(|(place, class)| (class.id, place))
            .collect();
        let mut tally = Self {
            classes: vec![ClassTally::default(); places.len()],
            ..Self::default()
        };
        for image in project.images() {
            let part = image.part as usize;
            tally.parts[part] += 1;
            let class = places
                .get(&image.class)
                .and_then(|&at| tally.classes.get_mut(at));
            let Some(class) = class else { continue };
            class.parts[part] += 1;
            if needs_box(project, image) {
                class.to_do += 1;
                tally.first_to_do.get_or_insert(image.id);
            }
        }
        tally
    }

    pub fn trained(&self) -> impl Iterator<Item = usize> {
        self.classes.iter().map(|class| class.parts[0])
    }

    pub fn total(&self) -> usize {
        self.parts.iter().sum()
    }
}

/// Patients or lesions, and how many of them the split has torn apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Groups {
    pub count: usize,
    pub in_two_parts: usize,
}

impl Groups {
    pub fn of(images: &[Image]) -> Self {
        let mut parts: HashMap<&str, (Part, bool)> = HashMap::new();
        let mut groups = Self::default();
        // An image of which no group is known is a group of its own, under its own path.
        for image in images.iter().filter(|image| image.group != image.path) {
            let (first, torn) = parts.entry(&image.group).or_insert((image.part, false));
            *torn |= *first != image.part;
        }
        groups.count = parts.len();
        groups.in_two_parts = parts.values().filter(|(_, torn)| *torn).count();
        groups
    }

    pub fn sentence(self) -> String {
        let of = format::count(self.count);
        match (self.in_two_parts, self.count) {
            (0, 0) => "No patients are known. Split by image.".to_owned(),
            (0, _) => format!("Split by patient or lesion. None of {of} is in two parts."),
            (1, _) => format!("1 of {of} patients or lesions is in two parts."),
            (n, _) => format!(
                "{} of {of} patients or lesions are in two parts.",
                format::count(n)
            ),
        }
    }
}

/// Which images the gallery shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filter {
    pub part: Option<Part>,
    pub class: Option<ClassId>,
    pub find: String,
}

impl Filter {
    /// The places of the matching images in the project, ascending.
    pub fn apply(&self, project: &Project) -> Vec<usize> {
        let wanted = self.find.trim().to_lowercase();
        let matches = |image: &Image| {
            self.part.is_none_or(|part| image.part == part)
                && self.class.is_none_or(|class| image.class == class)
                && (wanted.is_empty()
                    || image.name().to_lowercase().contains(&wanted)
                    || image.group.to_lowercase().contains(&wanted))
        };
        let images = project.images().iter().enumerate();
        images
            .filter(|(_, image)| matches(image))
            .map(|(place, _)| place)
            .collect()
    }
}
