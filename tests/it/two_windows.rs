//! Two windows on one project: the second is told, and changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use care_data::Project;
use care_studio::app::App;
use care_studio::command::Command;
use egui::Key;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use crate::common::{settle, tabs_to, tiny_folder, tiny_project, type_text, wait_for, window};

const TOLD: &str = "This project cannot be opened";

/// Everything in a project's folder, but the number of the process that writes.
fn content(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.file_name().unwrap() != "lock")
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn open_by_path(window: &mut Harness<'_, App>, dir: &Path) {
    tabs_to(window, "Path of a folder or project");
    type_text(window, dir.to_str().unwrap());
    window.key_press(Key::Enter);
    settle(window);
}

/// What was typed is still there.
fn try_again(window: &mut Harness<'_, App>) {
    tabs_to(window, "Path of a folder or project");
    window.key_press(Key::Enter);
    settle(window);
}

#[test]
fn the_second_window_says_so_and_changes_nothing() {
    let (_root, dir) = tiny_project(true);
    let first = window(Some(&dir));
    let before = content(&dir);
    let mut second = window(None);
    open_by_path(&mut second, &dir);
    second.get_by_label(TOLD);
    second.get_by_label_contains("is open in another window or process");
    assert!(second.state().state.project.is_none());
    assert_eq!(content(&dir), before);
    // Closed there, it opens here.
    drop(first);
    try_again(&mut second);
    assert!(second.query_by_label(TOLD).is_none());
    assert!(second.state().state.project.is_some());
}

#[test]
fn what_the_second_window_shows_stays_open() {
    let (_root, dir) = tiny_project(true);
    let (_other_root, other) = tiny_project(false);
    let _first = window(Some(&dir));
    let mut second = window(Some(&other));
    second
        .state_mut()
        .commands()
        .send(Command::OpenProject(dir));
    settle(&mut second);
    second.get_by_label(TOLD);
    let shown = second.state().state.project.as_ref().unwrap();
    assert_eq!(shown.dir(), other.canonicalize().unwrap());
}

#[test]
fn a_folder_is_not_read_into_a_project_that_another_window_has() {
    let root = tempfile::tempdir().unwrap();
    let folder = tiny_folder(root.path());
    let dir = root.path().join("tiny.care");
    let first = Project::create(&dir).unwrap();
    let before = content(&dir);
    let mut second = window(None);
    open_by_path(&mut second, &folder);
    wait_for(&mut second, "the offer", |app| app.state.offer.is_some());
    second.get_by_label("Add 26 images").click();
    wait_for(&mut second, "the message", |app| {
        app.state.problem.is_some()
    });
    second.get_by_label_contains("is open in another window or process");
    assert!(second.state().state.project.is_none());
    assert_eq!(content(&dir), before);
    assert!(first.images().is_empty());
}

/// The real program has it, killed where it stands; this process's window is the other one.
#[cfg(target_os = "linux")]
#[test]
fn the_second_process_is_told_whose_the_project_is() {
    let Some(screen) = crate::screen::Screen::start() else {
        return;
    };
    let (root, dir) = tiny_project(true);
    let mut first = screen.open(Some(&dir), &root.path().join("home"));
    // Not by trying to open it, which might be what keeps the program out.
    let number = first.id().to_string();
    screen.wait_for("the lock", || {
        std::fs::read_to_string(dir.join("lock")).is_ok_and(|text| text == number)
    });
    let before = content(&dir);
    let mut second = window(None);
    open_by_path(&mut second, &dir);
    second.get_by_label(TOLD);
    second.get_by_label_contains(&format!("process (number {})", first.id()));
    assert_eq!(content(&dir), before);
    first.kill();
    try_again(&mut second);
    assert!(second.state().state.project.is_some());
}
