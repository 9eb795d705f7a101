//! The built-in demo project: synthetic images, one rare class, a ruler that misleads.

use std::path::Path;

use care_data::import::Import;
use care_data::synthetic::RARE_CLASS;
use care_data::{Edit, Part, Project, ProjectError};

use crate::dispatch::demo_dir;

/// Rare training images that the window's demo leaves without a box, for the visitor to draw.
pub const LEFT_TO_DRAW: usize = 4;

/// Whether this is the demo that the start page offers.
#[must_use]
pub fn is_demo(project: &Project) -> bool {
    // A project knows its folder as the file system has it; a home folder may be a link.
    demo_dir()
        .canonicalize()
        .is_ok_and(|dir| dir == project.dir())
}

/// Makes the demo's project from its generated images and marks the rare class. Boxes come with the rare class in
/// training (but for the first `left_to_draw` of them), and with every validation and test image, where they only score.
///
/// # Errors
/// Where the project cannot be written.
pub fn create(
    dir: &Path,
    mut import: Import,
    left_to_draw: usize,
) -> Result<Project, ProjectError> {
    let mut rare_seen = 0;
    for image in &mut import.images {
        if image.part == Some(Part::Train) {
            let rare = image.class == RARE_CLASS;
            rare_seen += usize::from(rare);
            if !rare || rare_seen <= left_to_draw {
                image.boxes.clear();
            }
        }
    }
    let mut project = Project::create(dir)?;
    project.take_in(import)?;
    let rare = project
        .classes()
        .iter()
        .find(|class| class.name == RARE_CLASS);
    if let Some(class) = rare.map(|class| class.id) {
        project.apply(Edit::SetRare { class, rare: true })?;
    }
    Ok(project)
}
