//! What an image, a box and a project are.
//!
//! Knows no window, no libtorch and no threads of its own (rayon inside a call is fine).
//! Everything a person edits goes through [`Edit`], one edit being one SQLite transaction, so there is no "save".

pub mod agreement;
pub mod decode;
pub mod edit;
pub mod export;
pub mod geometry;
pub mod grey;
pub mod import;
mod intake;
pub mod model;
mod names;
mod pillow;
pub mod project;
pub mod saliency;
pub mod split;
mod state;
mod store;
pub mod suggestion;
pub mod synthetic;

pub use edit::Edit;
pub use geometry::{BoundingBox, ImageSize, Orientation};
pub use grey::{GreyImage, Look, Window, Windowing};
pub use model::{
    Annotation, BoxId, Class, ClassId, ContentHash, Image, ImageId, Metric, NotRead, Origin, Part,
    Reader, ReaderId, Review, ReviewState, Run, RunId, RunState,
};
pub use names::NoSuchFormat;
pub use project::{Arrived, Intake, Project, ProjectError, TakenIn};
pub use split::SplitSpec;
pub use suggestion::HeatMap;
