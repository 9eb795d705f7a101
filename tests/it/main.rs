//! The application's integration tests, in one executable: libtorch is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accessible;
mod annotate;
mod cli;
mod common;
mod compare;
mod convert;
mod film;
mod greys;
mod images_room;
#[cfg(target_os = "linux")]
mod kill;
mod lens;
mod measures;
mod overlay;
mod pictures;
mod raster;
mod review;
#[cfg(target_os = "linux")]
mod screen;
mod story;
mod suggested;
mod take_away;
mod train;
mod two_windows;
mod weights;
