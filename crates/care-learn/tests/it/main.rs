//! The crate from outside, in one executable: libtorch is linked once.

mod project;
mod reference;
mod torchscript;
mod training;
