//! Edits: made, undone, and told to a run in training.

use std::collections::BTreeSet;

use care_data::project::ProjectError;
use care_data::{Edit, ImageId, Part, Project, ReaderId};
use care_learn::TrainerCommand;
use care_learn::task::boxes_to_train_on;

use super::compare::follow_runs;
use super::keep_desk;
use crate::state::{Problem, State};

/// Makes an edit, and says so; keeps the message where it could not be saved.
pub fn apply(edit: Edit, state: &mut State) {
    let Some(project) = &mut state.project else {
        return;
    };
    // A box that goes or comes is in the project only before or only after.
    let mut touched = touched_by(project, &edit);
    let result = project.apply(edit.clone());
    touched.extend(touched_by(project, &edit));
    if result.is_ok() {
        state.last_event = edit.describe().into();
        if changes_boxes(&edit) {
            tell_boxes(&touched, state);
        }
        follow_runs(&edit.moved_runs(), state);
    }
    note_saved(result, state);
}

/// Keeps the message that an edit was not saved until another one was.
fn note_saved(saved: Result<(), ProjectError>, state: &mut State) {
    match saved {
        Err(error) => state.problem = Some(Problem::new(Problem::NOT_SAVED, error)),
        Ok(()) if state.edit_was_lost() => state.problem = None,
        Ok(()) => {}
    }
}

pub(super) fn step_back(
    state: &mut State,
    step: fn(&mut Project) -> Result<Option<Edit>, ProjectError>,
    word: &str,
) {
    let Some(project) = &mut state.project else {
        return;
    };
    let next = if word == UNDONE {
        project.undoable()
    } else {
        project.redoable()
    };
    let mut touched = next.map_or_else(Vec::new, |edit| touched_by(project, edit));
    let stepped = step(project);
    if let Ok(Some(edit)) = &stepped {
        state.last_event = format!("{word}: {}", edit.describe().to_lowercase());
        touched.extend(touched_by(project, edit));
        // Show what changed: an undo that cannot be seen is a surprise.
        if let Some(&(image, reader)) = touched.first() {
            state.selected = Some(image);
            state.reader = reader.unwrap_or(state.reader);
        }
        let is_there = |id| project.reader(id).is_some();
        state.reader = state.reader.filter(|id| is_there(*id));
        if changes_boxes(edit) {
            tell_boxes(&touched, state);
        }
        follow_runs(&edit.moved_runs(), state);
    }
    note_saved(stepped.map(|_| ()), state);
    keep_desk(state);
}

pub(super) const UNDONE: &str = "Undone";
pub(super) const REDONE: &str = "Redone";

/// Whether what is learned from may be other boxes afterwards.
fn changes_boxes(edit: &Edit) -> bool {
    match edit {
        // A box may count only where the image is done.
        Edit::AddBox { .. }
        | Edit::RemoveBox { .. }
        | Edit::SetBox { .. }
        | Edit::SetReview { .. } => true,
        Edit::Several { edits } => edits.iter().any(changes_boxes),
        _ => false,
    }
}

/// An image that an edit is about, and whose work on it where it is somebody's: a reader's, or the project's.
type Touched = (ImageId, Option<Option<ReaderId>>);

fn touched_by(project: &Project, edit: &Edit) -> Vec<Touched> {
    match edit {
        Edit::AddBox { annotation } => vec![(annotation.image, Some(annotation.reader))],
        Edit::RemoveBox { id } | Edit::SetBox { id, .. } => {
            let annotation = project.annotation(*id).into_iter();
            annotation.map(|it| (it.image, Some(it.reader))).collect()
        }
        Edit::SetReview { image, reader, .. } | Edit::SetNote { image, reader, .. } => {
            vec![(*image, Some(*reader))]
        }
        Edit::SetClass { image, .. } => vec![(*image, None)],
        Edit::SetRare { .. }
        | Edit::SetLook { .. }
        | Edit::AddReader { .. }
        | Edit::RemoveReader { .. }
        | Edit::SetRunName { .. }
        | Edit::SetRunRemark { .. }
        | Edit::SetRunStar { .. }
        | Edit::SetRunDeleted { .. } => Vec::new(),
        Edit::Several { edits } => {
            let edits = edits.iter();
            edits.flat_map(|edit| touched_by(project, edit)).collect()
        }
    }
}

/// A box drawn while a model trains is learned from within the epoch.
fn tell_boxes(touched: &[Touched], state: &State) {
    let (Some(worker), Some(run)) = (&state.worker, &state.run) else {
        return;
    };
    let images: BTreeSet<ImageId> = touched.iter().map(|(image, _)| *image).collect();
    let project = state.project.iter();
    let images = project.flat_map(|project| {
        let images = images.iter();
        images.filter_map(move |id| Some((project, project.image(*id)?)))
    });
    for (project, image) in images {
        let boxes = match image.part {
            Part::Train => boxes_to_train_on(project, image.id, run.config.boxes),
            Part::Validation | Part::Test => {
                project.boxes(image.id).iter().map(|a| a.rect).collect()
            }
        };
        let image = image.id;
        worker.send(TrainerCommand::Boxes { image, boxes });
    }
}
