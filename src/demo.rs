//! The built-in demo project: synthetic images, one rare class, a ruler that misleads.

use std::path::Path;

use care_data::import::Import;
use care_data::project::ProjectError;
use care_data::{Edit, Project};

/// The rare class of the demo.
pub const RARE_CLASS: &str = "dermatofibroma";

/// Makes the demo's project from its generated images and marks the rare class.
///
/// # Errors
/// Where the project cannot be written.
pub fn create(dir: &Path, import: Import) -> Result<Project, ProjectError> {
    let mut project = Project::create(dir)?;
    project.take_in(import)?;
    let rare = project
        .classes()
        .iter()
        .find(|class| class.name == RARE_CLASS)
        .map(|class| class.id);
    if let Some(class) = rare {
        project.apply(Edit::SetRare { class, rare: true })?;
    }
    Ok(project)
}
