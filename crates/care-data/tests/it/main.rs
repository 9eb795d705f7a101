//! One binary for all tests of the crate from outside: it links once.
#![allow(clippy::unwrap_used)]

mod again;
mod agreement;
mod decode;
mod dicom;
mod export;
mod formats;
mod geometry;
mod import;
mod project;
mod runs;
mod split;
mod suggestion;
mod synthetic;
mod undo;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use care_data::import::{Import, ImportError, Options, read};
use care_data::{NotRead, Project};
use image::{Rgb, RgbImage};

/// The folder with data for trying and testing, which is no part of the repository.
fn test_data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CARE_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    skipped(&format!(
        "{} is not there; CARE_TEST_DATA names another folder",
        path.display()
    ));
    None
}

/// Says that the test that runs now has tested nothing. Not by `eprintln!`, which is not shown of a test that passes.
fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

/// This executable, to run one of its tests again in a process of its own, which finds `dir` by [`given_dir`].
fn again(executable: &Path, test: &str, dir: &Path) -> Command {
    let mut command = Command::new(executable);
    command
        .args(["--exact", test, "--nocapture"])
        .env("CARE_TEST_DIR", dir);
    command
}

fn given_dir() -> Option<PathBuf> {
    std::env::var_os("CARE_TEST_DIR").map(PathBuf::from)
}

fn import(path: &Path, options: &Options) -> Result<Import, ImportError> {
    read(path, options, &|_, _| (), &AtomicBool::new(false))
}

/// A picture that differs by `shade`.
fn picture(width: u32, height: u32, shade: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, shade]))
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn save(path: &Path, shade: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture(20, 10, shade).save(path).unwrap();
}

/// A folder of two classes: `common` with four images, `rare` with two.
fn folder_of_classes(root: &Path) {
    for (i, name) in [
        "common/a", "common/b", "common/c", "common/d", "rare/e", "rare/f",
    ]
    .iter()
    .enumerate()
    {
        save(&root.join(format!("{name}.png")), i as u8);
    }
}

/// A project with the images of [`folder_of_classes`], and the folder that both lie in.
fn small_project() -> (tempfile::TempDir, Project) {
    let root = tempfile::tempdir().unwrap();
    folder_of_classes(&root.path().join("images"));
    let mut project = Project::create(&root.path().join("small.care")).unwrap();
    project
        .take_in(import(&root.path().join("images"), &Options::default()).unwrap())
        .unwrap();
    (root, project)
}

/// Why each file was not read, by file name.
fn reasons(not_read: &[NotRead]) -> Vec<(String, &str)> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    not_read
        .iter()
        .map(|file| (name(&file.path), file.why.as_str()))
        .collect()
}
