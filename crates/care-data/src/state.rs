//! A project's images, classes and boxes in memory, and what an edit does to them.

use std::collections::HashMap;

use crate::edit::{Edit, EditError};
use crate::geometry::BoundingBox;
use crate::grey::Look;
use crate::model::{
    Annotation, BoxId, Class, ClassId, Image, ImageId, Reader, ReaderId, Review, Run, RunId,
    RunState,
};

/// An image as one reader, or the project as a whole, has worked on it.
type Page = (ImageId, Option<ReaderId>);

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    /// Ascending by id, as all three are.
    pub classes: Vec<Class>,
    pub images: Vec<Image>,
    /// Ascending by id.
    pub readers: Vec<Reader>,
    boxes: HashMap<Page, Vec<Annotation>>,
    /// Where each box lies.
    owner: HashMap<BoxId, Page>,
    /// Without those that say nothing.
    reviews: HashMap<Page, Review>,
    pub look: Look,
    /// Ascending by id, as those in the trash are.
    pub runs: Vec<Run>,
    pub trash: Vec<Run>,
}

impl State {
    pub fn image(&self, id: ImageId) -> Option<&Image> {
        let at = self
            .images
            .binary_search_by_key(&id, |image| image.id)
            .ok()?;
        self.images.get(at)
    }

    pub fn class(&self, id: ClassId) -> Option<&Class> {
        let at = self
            .classes
            .binary_search_by_key(&id, |class| class.id)
            .ok()?;
        self.classes.get(at)
    }

    pub fn annotation(&self, id: BoxId) -> Option<&Annotation> {
        let &(image, reader) = self.owner.get(&id)?;
        self.boxes(image, reader)
            .iter()
            .find(|annotation| annotation.id == id)
    }

    pub fn boxes(&self, image: ImageId, reader: Option<ReaderId>) -> &[Annotation] {
        self.boxes.get(&(image, reader)).map_or(&[], Vec::as_slice)
    }

    pub fn review(&self, image: ImageId, reader: Option<ReaderId>) -> &Review {
        const NONE: &Review = &Review::NONE;
        self.reviews.get(&(image, reader)).unwrap_or(NONE)
    }

    /// Makes one change and returns the edit that takes it back.
    ///
    /// # Errors
    /// Where the edit names something that is not there; then nothing changed.
    pub fn apply(&mut self, edit: &Edit) -> Result<Edit, EditError> {
        match *edit {
            Edit::AddBox { ref annotation } => {
                self.add(annotation.clone())?;
                Ok(Edit::RemoveBox { id: annotation.id })
            }
            Edit::RemoveBox { id } => {
                let annotation = self.remove(id).ok_or(EditError::NoSuchBox(id))?;
                Ok(Edit::AddBox { annotation })
            }
            Edit::SetBox { id, rect } => {
                let page = *self.owner.get(&id).ok_or(EditError::NoSuchBox(id))?;
                self.check_fit(page.0, rect)?;
                let boxes = self.boxes.get_mut(&page).ok_or(EditError::NoSuchBox(id))?;
                let annotation = boxes
                    .iter_mut()
                    .find(|b| b.id == id)
                    .ok_or(EditError::NoSuchBox(id))?;
                Ok(Edit::SetBox {
                    id,
                    rect: std::mem::replace(&mut annotation.rect, rect),
                })
            }
            Edit::SetReview {
                image,
                reader,
                state,
            } => {
                let set = |review: &mut Review| std::mem::replace(&mut review.state, state);
                let state = self.change_review(image, reader, set)?;
                Ok(Edit::SetReview {
                    image,
                    reader,
                    state,
                })
            }
            Edit::SetNote {
                image,
                reader,
                ref note,
            } => {
                let set = |review: &mut Review| std::mem::replace(&mut review.note, note.clone());
                let note = self.change_review(image, reader, set)?;
                Ok(Edit::SetNote {
                    image,
                    reader,
                    note,
                })
            }
            Edit::SetClass { image, class } => {
                self.class(class).ok_or(EditError::NoSuchClass(class))?;
                let found = self.image_mut(image)?;
                Ok(Edit::SetClass {
                    image,
                    class: std::mem::replace(&mut found.class, class),
                })
            }
            Edit::SetRare { class, rare } => {
                let at = self.classes.binary_search_by_key(&class, |c| c.id);
                let found = at.ok().and_then(|at| self.classes.get_mut(at));
                let found = found.ok_or(EditError::NoSuchClass(class))?;
                Ok(Edit::SetRare {
                    class,
                    rare: std::mem::replace(&mut found.rare, rare),
                })
            }
            Edit::SetLook { look } => Ok(Edit::SetLook {
                look: std::mem::replace(&mut self.look, look),
            }),
            Edit::AddReader { ref reader } => {
                self.add_reader(reader.clone())?;
                Ok(Edit::RemoveReader { id: reader.id })
            }
            Edit::RemoveReader { id } => {
                let at = self.readers.iter().position(|reader| reader.id == id);
                let at = at.ok_or(EditError::NoSuchReader(id))?;
                let mut pages = self.boxes.keys().chain(self.reviews.keys());
                if pages.any(|&(_, reader)| reader == Some(id)) {
                    return Err(EditError::ReaderHasWork(id));
                }
                let reader = self.readers.remove(at);
                Ok(Edit::AddReader { reader })
            }
            Edit::SetRunName { run, ref name } => {
                let found = self.run_mut(run)?;
                let name = std::mem::replace(&mut found.name, name.clone());
                Ok(Edit::SetRunName { run, name })
            }
            Edit::SetRunRemark { run, ref remark } => {
                let found = self.run_mut(run)?;
                let remark = std::mem::replace(&mut found.remark, remark.clone());
                Ok(Edit::SetRunRemark { run, remark })
            }
            Edit::SetRunStar { run, starred } => {
                let found = self.run_mut(run)?;
                let starred = std::mem::replace(&mut found.starred, starred);
                Ok(Edit::SetRunStar { run, starred })
            }
            Edit::SetRunDeleted { run, deleted } => self.move_run(run, deleted),
            Edit::Several { ref edits } => self.apply_all(edits),
        }
    }

    fn apply_all(&mut self, edits: &[Edit]) -> Result<Edit, EditError> {
        let mut inverses = Vec::with_capacity(edits.len());
        for edit in edits {
            match self.apply(edit) {
                Ok(inverse) => inverses.push(inverse),
                Err(error) => {
                    for inverse in inverses.iter().rev() {
                        self.apply(inverse)?;
                    }
                    return Err(error);
                }
            }
        }
        inverses.reverse();
        Ok(Edit::Several { edits: inverses })
    }

    /// Among those that are shown, or in the trash.
    fn run_mut(&mut self, id: RunId) -> Result<&mut Run, EditError> {
        let mut runs = self.runs.iter_mut().chain(&mut self.trash);
        runs.find(|run| run.id == id)
            .ok_or(EditError::NoSuchRun(id))
    }

    fn move_run(&mut self, run: RunId, deleted: bool) -> Result<Edit, EditError> {
        let (from, to) = if deleted {
            (&mut self.runs, &mut self.trash)
        } else {
            (&mut self.trash, &mut self.runs)
        };
        let at = from.iter().position(|it| it.id == run);
        let at = at.ok_or(EditError::NoSuchRun(run))?;
        if from[at].state == RunState::Running {
            return Err(EditError::RunIsTraining(run));
        }
        let moved = from.remove(at);
        let place = to.partition_point(|other| other.id < run);
        to.insert(place, moved);
        Ok(Edit::SetRunDeleted {
            run,
            deleted: !deleted,
        })
    }

    pub fn add_reader(&mut self, reader: Reader) -> Result<(), EditError> {
        let is_taken = |other: &Reader| other.id == reader.id || other.name == reader.name;
        if reader.name.trim().is_empty() || self.readers.iter().any(is_taken) {
            return Err(EditError::ReaderNameTaken(reader.name));
        }
        let at = self.readers.partition_point(|other| other.id < reader.id);
        self.readers.insert(at, reader);
        Ok(())
    }

    /// Changes what is said about an image and returns what `change` does.
    pub fn change_review<T>(
        &mut self,
        image: ImageId,
        reader: Option<ReaderId>,
        change: impl FnOnce(&mut Review) -> T,
    ) -> Result<T, EditError> {
        self.image(image).ok_or(EditError::NoSuchImage(image))?;
        self.check_reader(reader)?;
        let review = self.reviews.entry((image, reader)).or_insert(Review::NONE);
        let was = change(review);
        if *review == Review::NONE {
            self.reviews.remove(&(image, reader));
        }
        Ok(was)
    }

    /// Adds what an import brought.
    ///
    /// # Errors
    /// Where a box does not fit its image.
    pub fn take_in(
        &mut self,
        classes: Vec<Class>,
        images: Vec<Image>,
        boxes: Vec<Annotation>,
        moved: HashMap<ImageId, String>,
    ) -> Result<(), EditError> {
        self.classes.extend(classes);
        self.images.extend(images);
        for (id, path) in moved {
            self.image_mut(id)?.path = path;
        }
        boxes
            .into_iter()
            .try_for_each(|annotation| self.add(annotation))
    }

    /// Adds a box; an image's boxes stay ascending by id, so that undoing a removal restores their order.
    pub fn add(&mut self, annotation: Annotation) -> Result<(), EditError> {
        if self.owner.contains_key(&annotation.id) {
            return Err(EditError::BoxIdTaken(annotation.id));
        }
        self.check_fit(annotation.image, annotation.rect)?;
        self.check_reader(annotation.reader)?;
        let page = (annotation.image, annotation.reader);
        self.owner.insert(annotation.id, page);
        let boxes = self.boxes.entry(page).or_default();
        let at = boxes.partition_point(|other| other.id < annotation.id);
        boxes.insert(at, annotation);
        Ok(())
    }

    fn remove(&mut self, id: BoxId) -> Option<Annotation> {
        let page = *self.owner.get(&id)?;
        let boxes = self.boxes.get_mut(&page)?;
        let at = boxes.iter().position(|annotation| annotation.id == id)?;
        let annotation = boxes.remove(at);
        if boxes.is_empty() {
            self.boxes.remove(&page);
        }
        self.owner.remove(&id);
        Some(annotation)
    }

    fn image_mut(&mut self, id: ImageId) -> Result<&mut Image, EditError> {
        let at = self.images.binary_search_by_key(&id, |image| image.id);
        at.ok()
            .and_then(|at| self.images.get_mut(at))
            .ok_or(EditError::NoSuchImage(id))
    }

    fn check_reader(&self, reader: Option<ReaderId>) -> Result<(), EditError> {
        match reader {
            Some(id) if self.readers.iter().all(|reader| reader.id != id) => {
                Err(EditError::NoSuchReader(id))
            }
            _ => Ok(()),
        }
    }

    fn check_fit(&self, image: ImageId, rect: BoundingBox) -> Result<(), EditError> {
        let size = self.image(image).ok_or(EditError::NoSuchImage(image))?.size;
        if rect.fits(size) {
            Ok(())
        } else {
            Err(EditError::BoxOutsideImage {
                rect: rect.xyxy(),
                size,
            })
        }
    }
}
