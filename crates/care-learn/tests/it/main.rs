//! The crate from outside, in one executable: libtorch is linked once.

mod attention_on_demand;
mod checkpoint;
mod model_export;
mod project;
mod reference;
mod strategies;
mod tiny;
mod torchscript;
mod training;
