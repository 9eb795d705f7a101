//! Everything a person can change in a project, as data. Undo is the inverse edit.

use serde::{Deserialize, Serialize};

use crate::geometry::{BoundingBox, ImageSize};
use crate::grey::Look;
use crate::model::{
    Annotation, BoxId, ClassId, ImageId, Origin, Reader, ReaderId, ReviewState, RunId,
};

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
    /// By a reader, or for the project as a whole.
    SetReview {
        image: ImageId,
        reader: Option<ReaderId>,
        state: ReviewState,
    },
    SetNote {
        image: ImageId,
        reader: Option<ReaderId>,
        note: String,
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
    /// Lets somebody read apart from the others, under an id from [`Project::next_reader_id`](crate::Project::next_reader_id).
    AddReader {
        reader: Reader,
    },
    /// Only where nothing is left of what the reader did.
    RemoveReader {
        id: ReaderId,
    },
    SetRunName {
        run: RunId,
        name: String,
    },
    /// What a person writes about a run.
    SetRunRemark {
        run: RunId,
        remark: String,
    },
    SetRunStar {
        run: RunId,
        starred: bool,
    },
    /// Into the trash, folder and all, or back out of it.
    SetRunDeleted {
        run: RunId,
        deleted: bool,
    },
    /// Several changes as one, in this order: all of them or none.
    Several {
        edits: Vec<Edit>,
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
    #[error("There is no reader {0} in this project.")]
    NoSuchReader(ReaderId),
    #[error("There is a reader of the name {0} already, or the name is empty.")]
    ReaderNameTaken(String),
    #[error("Reader {0} has boxes or reviews; remove these first.")]
    ReaderHasWork(ReaderId),
    #[error("There is no run {0} in this project.")]
    NoSuchRun(RunId),
    #[error("Run {0} is training; stop it first.")]
    RunIsTraining(RunId),
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
            Self::AddBox { annotation } => match annotation.origin {
                Origin::Drawn => "Box drawn",
                Origin::Imported => "Box imported",
                Origin::Attention | Origin::Saliency => "Suggestion accepted",
                Origin::Readers => "Reader's box taken over",
            },
            Self::RemoveBox { .. } => "Box removed",
            Self::SetBox { .. } => "Box changed",
            Self::SetReview { state, .. } => match state {
                ReviewState::ToDo => "Marked as to do",
                ReviewState::Done => "Marked as done",
                ReviewState::SecondLook => "Marked for a second look",
            },
            Self::SetNote { .. } => "Note changed",
            Self::SetClass { .. } => "Class changed",
            Self::SetRare { rare: true, .. } => "Class marked as rare",
            Self::SetRare { rare: false, .. } => "Rare mark removed",
            Self::SetLook { .. } => "Window changed",
            Self::AddReader { .. } => "Reader added",
            Self::RemoveReader { .. } => "Reader removed",
            Self::SetRunName { .. } => "Run renamed",
            Self::SetRunRemark { .. } => "Note on a run changed",
            Self::SetRunStar { starred: true, .. } => "Run starred",
            Self::SetRunStar { starred: false, .. } => "Star removed",
            Self::SetRunDeleted { deleted: true, .. } => "Run moved to the trash",
            Self::SetRunDeleted { deleted: false, .. } => "Run taken out of the trash",
            Self::Several { edits } => edits.first().map_or("Nothing", Self::describe),
        }
    }

    /// Several changes as one edit; `None` for none.
    #[must_use]
    pub fn several(mut edits: Vec<Self>) -> Option<Self> {
        match edits.len() {
            0 | 1 => edits.pop(),
            _ => Some(Self::Several { edits }),
        }
    }

    /// The runs that it puts into the trash or takes out of it.
    #[must_use]
    pub fn moved_runs(&self) -> Vec<RunId> {
        match self {
            Self::SetRunDeleted { run, .. } => vec![*run],
            Self::Several { edits } => edits.iter().flat_map(Self::moved_runs).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it changes nothing of images, boxes and classes.
    pub(crate) fn is_about_runs(&self) -> bool {
        match self {
            Self::SetRunName { .. }
            | Self::SetRunRemark { .. }
            | Self::SetRunStar { .. }
            | Self::SetRunDeleted { .. } => true,
            Self::Several { edits } => edits.iter().all(Self::is_about_runs),
            _ => false,
        }
    }

    /// The boxes that it adds, in order.
    pub(crate) fn added_boxes(&self) -> Vec<BoxId> {
        match self {
            Self::AddBox { annotation } => vec![annotation.id],
            Self::Several { edits } => edits.iter().flat_map(Self::added_boxes).collect(),
            _ => Vec::new(),
        }
    }
}
