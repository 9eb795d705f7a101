//! A project's images, classes and boxes in memory, and what an edit does to them.

use std::collections::HashMap;

use crate::edit::{Edit, EditError};
use crate::geometry::BoundingBox;
use crate::grey::Look;
use crate::model::{Annotation, BoxId, Class, ClassId, Image, ImageId};

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    /// Ascending by id, as all three are.
    pub classes: Vec<Class>,
    pub images: Vec<Image>,
    boxes: HashMap<ImageId, Vec<Annotation>>,
    /// The image of each box.
    owner: HashMap<BoxId, ImageId>,
    pub look: Look,
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
        self.boxes(*self.owner.get(&id)?)
            .iter()
            .find(|annotation| annotation.id == id)
    }

    pub fn boxes(&self, image: ImageId) -> &[Annotation] {
        self.boxes.get(&image).map_or(&[], Vec::as_slice)
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
                let image = *self.owner.get(&id).ok_or(EditError::NoSuchBox(id))?;
                self.check_fit(image, rect)?;
                let boxes = self.boxes.get_mut(&image).ok_or(EditError::NoSuchBox(id))?;
                let annotation = boxes
                    .iter_mut()
                    .find(|b| b.id == id)
                    .ok_or(EditError::NoSuchBox(id))?;
                Ok(Edit::SetBox {
                    id,
                    rect: std::mem::replace(&mut annotation.rect, rect),
                })
            }
            Edit::SetDone { image, done } => {
                let found = self.image_mut(image)?;
                Ok(Edit::SetDone {
                    image,
                    done: std::mem::replace(&mut found.done, done),
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
        }
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
        self.owner.insert(annotation.id, annotation.image);
        let boxes = self.boxes.entry(annotation.image).or_default();
        let at = boxes.partition_point(|other| other.id < annotation.id);
        boxes.insert(at, annotation);
        Ok(())
    }

    fn remove(&mut self, id: BoxId) -> Option<Annotation> {
        let image = self.owner.get(&id)?;
        let boxes = self.boxes.get_mut(image)?;
        let at = boxes.iter().position(|annotation| annotation.id == id)?;
        let annotation = boxes.remove(at);
        if boxes.is_empty() {
            self.boxes.remove(image);
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
