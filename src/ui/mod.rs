//! The window: a frame of bars round one of four rooms. Panels read state and send commands.

pub mod annotate;
pub mod canvas;
pub mod compare;
pub mod export;
pub mod film;
pub mod gallery;
pub mod icons;
pub mod images;
pub mod job;
pub mod keys;
pub mod leave;
pub mod lens;
pub mod offer;
pub mod overlay;
pub mod palette;
pub mod paths;
pub mod plots;
pub mod proof;
pub mod queue;
pub mod start;
pub mod status;
pub mod story;
pub mod take_away;
pub mod tokens;
pub mod top_bar;
pub mod train;
pub mod view;
pub mod widgets;

use care_data::{Annotation, BoundingBox, ImageId, Look, Project, ReaderId, Review, RunId};
use care_figures::MapStyle;
use care_learn::RunConfig;
use care_learn::film::Refresh;
use egui::{Frame, Margin};

use crate::attention::Attention;
use crate::command::Commands;
use crate::comparison::OtherRun;
use crate::lens::Lens;
use crate::missing::Missing;
use crate::queue::QueueView;
use crate::state::{BoxCounts, Problem};
use crate::suggestion::Suggestion;
use crate::textures::Textures;
use crate::training::TrainingRun;

/// What a room is given to draw itself. All of it is to be read, but for the pictures and the commands.
pub struct Context<'a> {
    pub project: &'a Project,
    pub counts: BoxCounts,
    pub selected: Option<ImageId>,
    /// Who reads apart from the others just now.
    pub reader: Option<ReaderId>,
    /// What the queue shows.
    pub queue: &'a QueueView,
    pub attention: &'a Attention,
    pub suggestion: Option<&'a Suggestion>,
    /// Whose attention lies over the image in hand.
    pub lens: &'a Lens,
    pub missing: &'a Missing,
    /// The run in training, or the one shown.
    pub run: Option<&'a TrainingRun>,
    /// A model of another run, beside those of `run` in Compare.
    pub other: Option<&'a OtherRun>,
    /// The run that is being read to stand there.
    pub coming: Option<RunId>,
    pub is_training: bool,
    /// The trash is being emptied.
    pub is_emptying: bool,
    /// The images that were chosen for the film; none where they are picked.
    pub watch: Option<&'a [ImageId]>,
    /// An earlier run whose curves are drawn behind those of `run`.
    pub behind: Option<&'a TrainingRun>,
    /// The settings of the next run; its `live` part is also what the run in training trains with.
    pub draft: &'a RunConfig,
    pub device: &'a str,
    /// How attention maps are drawn.
    pub map_style: &'a MapStyle,
    /// How often the film is renewed.
    pub refresh: Refresh,
    /// What went wrong last, if anything. Each room shows it beside what it concerns.
    pub problem: Option<&'a Problem>,
    pub textures: &'a mut Textures,
    pub commands: &'a mut Commands,
}

impl<'a> Context<'a> {
    /// The boxes that are worked on: the project's own, or those of who reads apart.
    #[must_use]
    pub fn boxes(&self, image: ImageId) -> &'a [Annotation] {
        self.project.boxes_of(self.reader, image)
    }

    /// What is said about an image, by whoever's boxes [`boxes`](Self::boxes) gives.
    #[must_use]
    pub fn review(&self, image: ImageId) -> &'a Review {
        self.project.review(self.reader, image)
    }

    /// A box for [`boxes`](Self::boxes), drawn just now.
    #[must_use]
    pub fn new_box(&self, image: ImageId, rect: BoundingBox) -> Annotation {
        Annotation {
            reader: self.reader,
            ..self.project.new_box(image, rect)
        }
    }

    /// The thumbnail of an image of the project.
    pub fn thumbnail(&mut self, image: &care_data::Image) -> crate::textures::Picture {
        let project = self.project;
        self.textures
            .thumbnail(image.id, project.look(), || project.path_of(image))
    }

    /// An image of the project in all its pixels; a grey one seen through `look`.
    pub fn full(&mut self, image: &care_data::Image, look: Look) -> crate::textures::Picture {
        let project = self.project;
        self.textures
            .full(image.id, look, || project.path_of(image))
    }

    /// As [`full`](Self::full), nearly without colour, for the loss lens to lie on.
    pub fn muted(&mut self, image: &care_data::Image, look: Look) -> crate::textures::Picture {
        let project = self.project;
        // A grey image has no colour to be taken out.
        if self.textures.grey(image.id).is_some() {
            return self.full(image, look);
        }
        self.textures
            .muted(image.id, look, || project.path_of(image))
    }
}

/// The frame of a side panel, top bar or bottom strip: filled, padded 16 x 12.
pub fn panel_frame(ui: &egui::Ui) -> Frame {
    Frame::new()
        .fill(tokens::Tokens::of(ui).panel)
        .inner_margin(Margin::symmetric(16, 12))
}

/// The frame of a toolbar: filled, padded 16 wide.
pub fn bar_frame(ui: &egui::Ui) -> Frame {
    Frame::new()
        .fill(tokens::Tokens::of(ui).panel)
        .inner_margin(Margin::symmetric(16, 0))
}
