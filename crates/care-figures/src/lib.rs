//! Attention maps as pictures, and what a person takes away of a project.

pub mod map_style;

pub use map_style::{Blending, Grid, MapStyle, Palette, Scale};
