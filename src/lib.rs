//! CARE Studio, the application: its window and its command line.

pub mod app;
pub mod attention;
pub mod cli;
pub mod command;
pub mod demo;
pub mod dialog;
pub mod dispatch;
pub mod download;
pub mod format;
pub mod jobs;
pub mod keymap;
pub mod lens;
pub mod missing;
pub mod queue;
pub mod settings;
pub mod state;
pub mod story;
pub mod suggestion;
pub mod take_away;
pub mod textures;
pub mod training;
pub mod ui;
pub mod weight_store;
pub mod window;
