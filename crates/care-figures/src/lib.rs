//! Attention maps as pictures, and what a person takes away of a project.

pub mod figure;
pub mod film;
pub mod map_style;
pub mod render;
pub mod report;
pub mod table;

pub use map_style::{Blending, Grid, MapStyle, Palette, Scale};
