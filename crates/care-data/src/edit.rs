//! Everything a person can change in a project, as data. Undo is the inverse edit.

use serde::{Deserialize, Serialize};

use crate::geometry::{BoundingBox, ImageSize};
use crate::grey::Look;
use crate::model::{Annotation, BoxId, ClassId, ImageId};

/// One change. Applied by [`Project::apply`](crate::Project::apply), which stores it together with its inverse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "snake_case")]
pub enum Edit {
    /// Adds a box under an id from [`Project::next_box_id`](crate::Project::next_box_id).
    AddBox {
        annotation: Annotation,
    },
    RemoveBox {
        id: BoxId,
    },
    /// Moves or resizes a box.
    SetBox {
        id: BoxId,
        rect: BoundingBox,
    },
    SetDone {
        image: ImageId,
        done: bool,
    },
    SetClass {
        image: ImageId,
        class: ClassId,
    },
    SetRare {
        class: ClassId,
        rare: bool,
    },
    /// How grey images are seen and learned from.
    SetLook {
        look: Look,
    },
}

/// Why an edit does not fit the project. Nothing was changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EditError {
    #[error("There is no image {0} in this project.")]
    NoSuchImage(ImageId),
    #[error("There is no class {0} in this project.")]
    NoSuchClass(ClassId),
    #[error("There is no box {0} in this project.")]
    NoSuchBox(BoxId),
    #[error("Box {0} was there before; a new box needs a new number.")]
    BoxIdTaken(BoxId),
    #[error("The box {rect:?} reaches beyond its image of {} × {} pixels.", size.width, size.height)]
    BoxOutsideImage { rect: [f64; 4], size: ImageSize },
}

impl Edit {
    /// What happened, for the status bar and the undo tooltip: "Box drawn".
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::AddBox { .. } => "Box drawn",
            Self::RemoveBox { .. } => "Box removed",
            Self::SetBox { .. } => "Box changed",
            Self::SetDone { done: true, .. } => "Marked as done",
            Self::SetDone { done: false, .. } => "Marked as to do",
            Self::SetClass { .. } => "Class changed",
            Self::SetRare { rare: true, .. } => "Class marked as rare",
            Self::SetRare { rare: false, .. } => "Rare mark removed",
            Self::SetLook { .. } => "Window changed",
        }
    }
}
