//! The built-in demo projects: synthetic images, one rare class, and something beside the lesions that misleads.

use std::path::{Path, PathBuf};

use care_data::import::Import;
use care_data::synthetic::Demo;
use care_data::{BoundingBox, Edit, ImageId, Part, Project, ProjectError};
use care_learn::{LiveParams, RunConfig};

use crate::story;

/// Rare training images that the window's demo leaves without a box, for the visitor to draw.
pub const LEFT_TO_DRAW: usize = 4;

/// Where the demo's project lies: made once, then opened again with everything done to it.
#[must_use]
pub fn dir(demo: Demo) -> PathBuf {
    let name = match demo {
        Demo::Skin => "demo.care".to_owned(),
        Demo::Chest => format!("demo-{}.care", demo.name()),
    };
    dirs::data_dir()
        .unwrap_or_else(std::env::temp_dir)
        .join("care-studio")
        .join(name)
}

/// Which of the demos that the start page offers this is, if any.
#[must_use]
pub fn which(project: &Project) -> Option<Demo> {
    // A project knows its folder as the file system has it; a home folder may be a link.
    let is_here = |demo: &Demo| {
        dir(*demo)
            .canonicalize()
            .is_ok_and(|dir| dir == project.dir())
    };
    Demo::ALL.into_iter().find(is_here)
}

/// The settings that a demo is trained with.
#[must_use]
pub fn config(demo: Demo) -> RunConfig {
    let config = RunConfig::demo();
    match demo {
        Demo::Skin => config,
        // The paper's for chest X-rays.
        Demo::Chest => RunConfig {
            live: LiveParams {
                lambda: 0.5,
                ..config.live
            },
            ..config
        },
    }
}

/// Makes the project of a story: as [`create`], with so many images left that at least [`story::BOXES`] are to be drawn. Returns
/// those with it.
///
/// # Errors
/// As [`create`].
pub fn for_story(
    demo: Demo,
    dir: &Path,
    import: Import,
) -> Result<(Project, Vec<(ImageId, BoundingBox)>), ProjectError> {
    let mut left = Vec::new();
    let mut num_boxes = 0;
    let images = import.images.iter();
    for image in images.filter(|it| it.part == Some(Part::Train) && it.class == demo.rare_class()) {
        if num_boxes >= story::BOXES {
            break;
        }
        num_boxes += image.boxes.len();
        left.push((image.hash, image.boxes.clone()));
    }
    let project = create(demo, dir, import, left.len())?;
    let mut boxes = Vec::new();
    for (hash, of_image) in left {
        let image = project.images().iter().find(|image| image.hash == hash);
        if let Some(image) = image {
            boxes.extend(of_image.into_iter().map(|rect| (image.id, rect)));
        }
    }
    Ok((project, boxes))
}

/// Makes a demo's project from its generated images and marks the rare class. Boxes come with the rare class in
/// training (but for the first `left_to_draw` of them), and with every validation and test image, where they only score.
///
/// # Errors
/// Where the project cannot be written.
pub fn create(
    demo: Demo,
    dir: &Path,
    mut import: Import,
    left_to_draw: usize,
) -> Result<Project, ProjectError> {
    let mut rare_seen = 0;
    for image in &mut import.images {
        if image.part == Some(Part::Train) {
            let rare = image.class == demo.rare_class();
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
        .find(|class| class.name == demo.rare_class());
    if let Some(class) = rare.map(|class| class.id) {
        project.apply(Edit::SetRare { class, rare: true })?;
    }
    Ok(project)
}
