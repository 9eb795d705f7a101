//! The start page and room 1, used as a person uses them.

use crate::common::{send, settle, tiny_folder, tiny_project, wait_for, window};
use care_data::{BoundingBox, Edit};
use care_studio::app::App;
use care_studio::command::{Command, Room};
use egui::{Key, Modifiers, Role};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

fn selected(window: &Harness<'_, App>) -> String {
    let state = &window.state().state;
    let image = state
        .selected
        .and_then(|id| state.project.as_ref()?.image(id));
    image.map_or_else(String::new, |image| image.name().to_owned())
}

#[test]
fn a_star_marks_its_class_as_rare_and_undo_takes_it_back() {
    let (_root, dir) = tiny_project(false);
    let mut window = window(Some(&dir));
    let rare = |window: &Harness<'_, App>| {
        let project = window.state().state.project.as_ref().unwrap();
        let rare = project.classes().iter().filter(|class| class.rare);
        rare.map(|class| class.name.clone()).collect::<Vec<_>>()
    };
    window.get_by_label_contains("with its star");
    window.get_by_label("Mark scarce as rare").click();
    settle(&mut window);
    assert_eq!(rare(&window), ["scarce"]);
    window.get_by_label_contains("still need");
    window.get_by_label("Undo").click();
    settle(&mut window);
    assert_eq!(rare(&window), Vec::<String>::new());
}

#[test]
fn arrows_walk_through_the_gallery_and_enter_opens_an_image() {
    let (_root, dir) = tiny_project(true);
    let mut window = window(Some(&dir));
    let mut seen = Vec::new();
    for key in [
        Key::Home,
        Key::ArrowRight,
        Key::ArrowDown,
        Key::ArrowUp,
        Key::End,
    ] {
        window.key_press(key);
        settle(&mut window);
        seen.push(selected(&window));
    }
    let project = window.state().state.project.as_ref().unwrap();
    let names: Vec<_> = project.images().iter().map(|image| image.name()).collect();
    let expected = [names[0], names[1], names[9], names[1], names[25]];
    assert_eq!(seen, expected, "eight columns at this width");
    window.key_press(Key::Enter);
    settle(&mut window);
    assert_eq!(window.state().state.room, Room::Annotate);
}

#[test]
fn what_is_found_is_what_is_shown() {
    let (_root, dir) = tiny_project(true);
    let mut window = window(Some(&dir));
    window.get_by_label("Find by name or patient").focus();
    settle(&mut window);
    window
        .get_by_label("Find by name or patient")
        .type_text("SCARCE_03");
    settle(&mut window);
    assert!(
        window
            .query_by_label_contains("scarce_03, scarce")
            .is_some()
    );
    assert!(
        window
            .query_by_label_contains("scarce_04, scarce")
            .is_none()
    );
    window
        .get_by_label("Find by name or patient")
        .type_text(" and more");
    settle(&mut window);
    window.get_by_label("Show all").click();
    settle(&mut window);
    assert!(
        window
            .query_by_label_contains("common_00, common")
            .is_some()
    );
}

#[test]
fn a_file_that_is_no_image_is_listed_with_advice() {
    let (_root, dir) = tiny_project(true);
    let window = window(Some(&dir));
    window.get_by_label_contains("Convert it to one of these");
}

#[test]
fn annotate_begins_with_an_image_that_needs_a_box() {
    let (_root, dir) = tiny_project(true);
    let mut window = window(Some(&dir));
    window.get_by_label_contains("common_03, common").click();
    settle(&mut window);
    assert_eq!(selected(&window), "common_03");
    // The tab and the button have the same name; the button comes last.
    window.get_all_by_label("Annotate").last().unwrap().click();
    settle(&mut window);
    let state = &window.state().state;
    assert_eq!(state.room, Room::Annotate);
    let project = state.project.as_ref().unwrap();
    let image = project.image(state.selected.unwrap()).unwrap();
    assert!(care_studio::state::needs_box(project, image));
}

fn until(window: &mut Harness<'_, App>, is_so: impl Fn(&Harness<'_, App>) -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is_so(window) {
        assert!(std::time::Instant::now() < end, "too long");
        settle(window);
    }
    settle(window);
}

#[test]
fn a_typed_folder_becomes_a_project_beside_it() {
    let root = tempfile::tempdir().unwrap();
    let folder = tiny_folder(root.path());
    let mut window = window(None);
    assert!(window.query_by_label("Recent projects").is_none());
    window.get_by_label("Path of a folder or project").focus();
    settle(&mut window);
    window
        .get_by_label("Path of a folder or project")
        .type_text(&folder.display().to_string());
    settle(&mut window);
    window.get_by_label("Read").click();
    until(&mut window, |window| window.state().state.offer.is_some());
    // Nothing has come in yet, and nothing has been written.
    assert!(!root.path().join("tiny.care").exists());
    let format = window.get_by_role_and_label(Role::ComboBox, "Format");
    assert_eq!(format.value().as_deref(), Some("class folders"));
    window.get_by_label("1 thing left out");
    window.get_by_label_contains("notes.png");
    window.get_by_label("Cancel").click();
    settle(&mut window);
    assert!(
        window
            .query_by_role_and_label(Role::ComboBox, "Format")
            .is_none()
    );

    window.get_by_label("Read").click();
    until(&mut window, |window| window.state().state.offer.is_some());
    window.get_by_label("Add 26 images").click();
    until(&mut window, |window| window.state().state.project.is_some());
    assert!(root.path().join("tiny.care").is_dir());
    settle(&mut window);
    window.get_by_label("Mark common as rare");
}

#[test]
fn what_is_read_belongs_to_the_project_it_was_read_for() {
    let root = tempfile::tempdir().unwrap();
    let folder = tiny_folder(root.path());
    let (_other, dir) = tiny_project(false);
    let mut window = window(None);
    window
        .state_mut()
        .commands()
        .send(Command::ReadFolder(folder));
    window
        .state_mut()
        .commands()
        .send(Command::OpenProject(dir.clone()));
    settle(&mut window);
    let state = &window.state().state;
    assert!(state.job.is_none(), "it was for a project of its own");
    let project = state.project.as_ref().unwrap();
    assert_eq!(project.dir(), dir.canonicalize().unwrap());
    assert_eq!(project.images().len(), 26);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_beside_which_nothing_may_be_written_has_its_project_elsewhere() {
    // Nobody may write there, not even root.
    let beside = care_studio::jobs::project_for(std::path::Path::new("/proc/bus"));
    assert_eq!(beside.file_name().unwrap(), "bus.care");
    assert!(!beside.starts_with("/proc"), "{}", beside.display());
}

#[test]
fn undo_in_a_text_field_is_the_fields_own() {
    let (_root, dir) = tiny_project(false);
    let mut window = window(Some(&dir));
    window.get_by_label("Mark common as rare").click();
    settle(&mut window);
    window.get_by_label("Find by name or patient").focus();
    settle(&mut window);
    window.key_press_modifiers(egui::Modifiers::COMMAND, Key::Z);
    settle(&mut window);
    let rare = |window: &Harness<'_, App>| {
        let project = window.state().state.project.as_ref().unwrap();
        project.classes().iter().filter(|class| class.rare).count()
    };
    assert_eq!(rare(&window), 1);
    window.get_by_label("Mark scarce as rare").focus();
    settle(&mut window);
    window.key_press_modifiers(egui::Modifiers::COMMAND, Key::Z);
    settle(&mut window);
    assert_eq!(rare(&window), 0);
}

#[test]
fn a_path_that_is_not_there_is_an_error_on_the_page() {
    let mut window = window(None);
    window.get_by_label("Path of a folder or project").focus();
    settle(&mut window);
    window
        .get_by_label("Path of a folder or project")
        .type_text("/nowhere/at all.care");
    settle(&mut window);
    window.key_press(Key::Enter);
    settle(&mut window);
    window.get_by_label("This project cannot be opened");
    window.get_by_label("Dismiss").click();
    settle(&mut window);
    assert!(
        window
            .query_by_label("This project cannot be opened")
            .is_none()
    );
}

#[test]
fn a_recent_project_can_be_taken_out_of_the_list() {
    let (_root, dir) = tiny_project(false);
    let mut window = window(Some(&dir));
    window.key_press_modifiers(egui::Modifiers::COMMAND, Key::W);
    settle(&mut window);
    window.get_by_label("Open project tiny").click_secondary();
    settle(&mut window);
    window.get_by_label("Remove from this list").click();
    settle(&mut window);
    assert!(window.query_by_label("Open project tiny").is_none());
    assert!(dir.is_dir());
}

#[test]
fn boxes_are_exported_for_other_programs() {
    let (root, dir) = tiny_project(true);
    let mut window = window(Some(&dir));
    let image = window.state().state.project.as_ref().unwrap().images()[0].id;
    let rect = BoundingBox::new(1.0, 2.0, 30.5, 20.0).unwrap();
    let project = window.state().state.project.as_ref().unwrap();
    let annotation = project.new_box(image, rect);
    send(&mut window, Command::Edit(Edit::AddBox { annotation }));
    let written = |window: &mut Harness<'_, App>| {
        window.get_by_label("Write").click();
        settle(window);
        wait_for(window, "the export", |app| app.state.job.is_none());
        window.state().state.last_event.clone()
    };
    window.key_press_modifiers(Modifiers::COMMAND, Key::E);
    settle(&mut window);
    let to = root.path().canonicalize().unwrap().join("tiny-coco.json");
    window.get_by_label("tiny-coco.json");
    let told = written(&mut window);
    assert!(
        told.starts_with("26 images with 1 box written to"),
        "{told}"
    );
    let json = std::fs::read_to_string(&to).unwrap();
    assert!(json.contains("29.5"), "{json}");

    // What is there is replaced only where that is asked for.
    window.key_press_modifiers(Modifiers::COMMAND, Key::E);
    settle(&mut window);
    window.get_by_label("Write").click();
    settle(&mut window);
    assert!(window.state().state.job.is_none(), "Write is disabled");
    window
        .get_by_label("Replace what an earlier export wrote there")
        .click();
    settle(&mut window);
    written(&mut window);
    window.key_press_modifiers(Modifiers::COMMAND, Key::E);
    settle(&mut window);
    window.get_by_label("Pascal VOC").click();
    settle(&mut window);
    window.get_by_label("Test").click();
    settle(&mut window);
    let told = written(&mut window);
    assert!(told.contains("tiny-voc-test"), "{told}");
    assert!(window.state().state.problem.is_none());
}

#[test]
fn files_that_are_gone_are_named_and_found_again() {
    let (root, dir) = tiny_project(true);
    let pictures = root.path().join("tiny");
    let elsewhere = root.path().join("elsewhere");
    std::fs::rename(&pictures, &elsewhere).unwrap();
    let mut window = window(Some(&dir));
    wait_for(&mut window, "what is missing", |app| {
        !app.state.missing.files().is_empty()
    });
    window.get_by_label_contains("26 files are not there any more");
    send(&mut window, Command::ReadFolder(elsewhere));
    wait_for(&mut window, "the offer", |app| app.state.offer.is_some());
    window.get_by_label_contains("Add 26 images").click();
    settle(&mut window);
    wait_for(&mut window, "the images", |app| app.state.job.is_none());
    wait_for(&mut window, "none is missing", |app| {
        app.state.missing.files().is_empty()
    });
    assert!(
        window
            .query_by_label_contains("not there any more")
            .is_none()
    );
    let project = window.state().state.project.as_ref().unwrap();
    assert_eq!(project.images().len(), 26);
}

#[test]
fn an_offer_says_what_is_there_and_can_be_read_otherwise() {
    let (root, dir) = tiny_project(true);
    let mut window = window(Some(&dir));
    send(&mut window, Command::ReadFolder(root.path().join("tiny")));
    wait_for(&mut window, "the offer", |app| app.state.offer.is_some());
    window.get_by_label_contains("26 of them are in the project already");
    window
        .get_by_role_and_label(Role::ComboBox, "Format")
        .click();
    settle(&mut window);
    window.get_by_label("COCO JSON").click();
    settle(&mut window);
    wait_for(&mut window, "another look", |app| app.state.job.is_none());
    let problem = window.state().state.problem.as_ref().unwrap();
    assert_eq!(problem.title, "These images cannot be read");
}
