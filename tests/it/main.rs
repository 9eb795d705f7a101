//! The application's integration tests, in one executable: libtorch is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod annotate;
mod cli;
mod common;
mod compare;
mod convert;
mod greys;
mod images_room;
mod kill;
mod measures;
mod review;
mod train;
mod weights;
