//! A box to begin with, for the image in hand: from the picture alone or from the model's attention. It is no box of the
//! project until a person accepts it.

use std::path::PathBuf;

use care_data::suggestion::suggest;
use care_data::{
    Annotation, BoundingBox, ClassId, Image, ImageId, Look, Origin, Project, ReaderId, decode,
    saliency,
};
use crossbeam_channel::{Receiver, TryRecvError, bounded};

use crate::attention::Attention;

const NO_THREAD: &str = "Nothing could be looked at. Close other programs and try again.";

/// What a suggestion is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// What stands out in the picture.
    Saliency,
    /// Where the model looks for the image's class.
    Attention,
}

impl Source {
    /// Of an accepted box.
    #[must_use]
    pub fn origin(self) -> Origin {
        match self {
            Self::Saliency => Origin::Saliency,
            Self::Attention => Origin::Attention,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Looking,
    Box(BoundingBox),
    /// Nothing stands out, or why nothing could be looked at.
    Nothing(String),
}

pub struct Suggestion {
    pub image: ImageId,
    pub source: Source,
    pub found: Found,
    reader: Option<ReaderId>,
    /// Of the image when it was asked for: another class, or another box, takes it away.
    class: ClassId,
    boxes: Vec<Annotation>,
    saliency: Option<Receiver<Found>>,
}

impl Suggestion {
    /// Begins to look for one.
    #[must_use]
    pub fn new(
        project: &Project,
        reader: Option<ReaderId>,
        image: &Image,
        source: Source,
        ctx: &egui::Context,
    ) -> Self {
        let saliency = (source == Source::Saliency)
            .then(|| look_for(project.path_of(image), project.look(), image, ctx));
        Self {
            image: image.id,
            source,
            found: Found::Looking,
            reader,
            class: image.class,
            boxes: project.boxes_of(reader, image.id).to_vec(),
            saliency,
        }
    }

    /// Whether it is still about what is in hand.
    #[must_use]
    pub fn is_of(&self, project: &Project, reader: Option<ReaderId>, image: ImageId) -> bool {
        let class = project.image(image).map(|image| image.class);
        (self.image, self.reader, Some(self.class)) == (image, reader, class)
            && self.boxes == project.boxes_of(reader, image)
    }

    /// Takes what was found since.
    pub fn go_on(&mut self, project: &Project, attention: &Attention) {
        if self.found != Found::Looking {
            return;
        }
        let found = match &self.saliency {
            Some(found) => match found.try_recv() {
                Ok(found) => Some(found),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(Found::Nothing(NO_THREAD.to_owned())),
            },
            None if !attention.can_answer() => Some(Found::Nothing(NO_THREAD.to_owned())),
            None if attention.model().is_none() => {
                Some(Found::Nothing("There is no model to ask.".to_owned()))
            }
            None => self.of_attention(project, attention),
        };
        if let Some(found) = found {
            self.found = found;
        }
    }

    fn of_attention(&self, project: &Project, attention: &Attention) -> Option<Found> {
        let image = project.image(self.image)?;
        match attention.seen(self.image)? {
            Ok(seen) if seen.class == image.class => Some(found(
                suggest(&seen.map, image.size),
                "The model's attention says nothing of this image.",
            )),
            Ok(_) => None,
            Err(why) => Some(Found::Nothing(why.clone())),
        }
    }
}

fn found(rect: Option<BoundingBox>, nothing: &str) -> Found {
    rect.map_or_else(|| Found::Nothing(nothing.to_owned()), Found::Box)
}

fn look_for(path: PathBuf, look: Look, image: &Image, ctx: &egui::Context) -> Receiver<Found> {
    let (sender, receiver) = bounded(1);
    let (size, ctx) = (image.size, ctx.clone());
    let look_at = move || {
        let map = decode::decode(&path, &look).and_then(saliency::saliency);
        let answer = match map {
            Ok(map) => found(suggest(&map, size), "Nothing stands out in this image."),
            Err(error) => Found::Nothing(format!("{error} {}", error.advice())),
        };
        // Nobody waits any more where another image was taken up.
        let _ = sender.send(answer);
        ctx.request_repaint();
    };
    // Where the system gives no thread, the sender is gone, which the receiver notices.
    let _ = std::thread::Builder::new()
        .name("saliency".to_owned())
        .spawn(look_at);
    receiver
}
