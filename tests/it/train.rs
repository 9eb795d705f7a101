//! The room Train, used as a person uses it: a real run on a tiny project.

use std::path::PathBuf;

use crate::common::{settle, tiny_project, wait_for, window};
use care_data::{BoundingBox, Edit, Part, Project, RunState};
use care_learn::event::Change;
use care_learn::run_folder::RunFolder;
use care_learn::{ModelRole, RunConfig};
use care_studio::app::App;
use care_studio::command::{Command, Room};
use care_studio::training::TrainingRun;
use egui::{Key, Role};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use tempfile::TempDir;

fn first_free_box(project: &Project, part: Part) -> Option<Edit> {
    let rare = project.classes().iter().find(|class| class.rare)?.id;
    let image = project.images().iter().find(|image| {
        image.class == rare && image.part == part && project.boxes(image.id).is_empty()
    })?;
    Some(Edit::AddBox {
        annotation: project.new_box(image.id, BoundingBox::new(8.0, 8.0, 24.0, 24.0).unwrap()),
    })
}

/// The tiny project with a box on every rare image but one of the training part.
pub fn project_with_boxes() -> (TempDir, PathBuf) {
    let (root, dir) = tiny_project(true);
    let mut project = Project::open(&dir).unwrap();
    for part in [Part::Validation, Part::Test, Part::Train] {
        while let Some(edit) = first_free_box(&project, part) {
            project.apply(edit).unwrap();
        }
    }
    project.undo().unwrap();
    (root, dir)
}

/// The next run is a small one of so many epochs in each stage.
pub fn set_epochs(window: &mut Harness<'_, App>, stage1_epochs: u32, stage2_epochs: u32) {
    let config = RunConfig {
        input_size: 56,
        stage1_epochs,
        stage2_epochs,
        ..RunConfig::demo()
    };
    window
        .state_mut()
        .commands()
        .send(Command::SetDraft(config));
}

fn go_to_train(window: &mut Harness<'_, App>) {
    window.state_mut().commands().send(Command::Go(Room::Train));
    settle(window);
}

fn run<'a>(window: &'a Harness<'_, App>) -> &'a TrainingRun {
    window.state().state.run.as_ref().expect("there is a run")
}

pub fn has_film(app: &App, role: ModelRole) -> bool {
    let run = app.state.run.as_ref();
    run.is_some_and(|run| run.film.iter().any(|frame| frame.role == role))
}

fn change(app: &App, wanted: fn(&Change) -> bool) -> bool {
    let run = app.state.run.as_ref();
    run.is_some_and(|run| run.changes.iter().any(|recorded| wanted(&recorded.change)))
}

#[test]
fn what_is_missing_is_said_with_the_way_to_it() {
    let (_root, dir) = tiny_project(true);
    let mut window = window(Some(&dir));
    go_to_train(&mut window);
    window.get_by_label("No run yet");
    window.get_by_label_contains("No training image has a box");
    window.get_by_role_and_label(Role::Button, "Train").click();
    settle(&mut window);
    assert!(!window.state().state.is_training(), "Train is disabled");
    window.get_by_label("Open Annotate").click();
    settle(&mut window);
    assert_eq!(window.state().state.room, Room::Annotate);
}

#[test]
fn settings_of_the_next_run_are_kept() {
    let (_root, dir) = project_with_boxes();
    let mut window = window(Some(&dir));
    go_to_train(&mut window);
    let alpha = window.get_by_role_and_label(Role::Slider, "alpha");
    alpha.focus();
    settle(&mut window);
    window.key_press(Key::ArrowRight);
    settle(&mut window);
    assert!((window.state().state.draft.live.alpha - 0.51).abs() < 1e-9);
    choose(&mut window, "backbone", "ResNet-18");
    let draft = &window.state().state.draft;
    assert_eq!((draft.input_size, draft.live.alpha > 0.5), (224, true));
    choose(&mut window, "target layer", "layer3, 14 \u{d7} 14");
    let draft = &window.state().state.draft;
    assert_eq!(draft.target_layer.as_deref(), Some("layer3"));
    choose(&mut window, "backbone", "TorchScript file");
    assert_eq!(window.state().state.draft.target_layer, None);
    window.get_by_label_contains("set weights to that file");
}

fn choose(window: &mut Harness<'_, App>, setting: &str, choice: &str) {
    window
        .get_by_role_and_label(Role::ComboBox, setting)
        .click();
    settle(window);
    window.get_by_label(choice).click();
    settle(window);
}

#[test]
fn a_run_is_seen_steered_and_stopped() {
    let (_root, dir) = project_with_boxes();
    let mut window = window(Some(&dir));
    set_epochs(&mut window, 1, 500);
    go_to_train(&mut window);
    window.get_by_label_contains("has no box yet");
    window.get_by_role_and_label(Role::Button, "Train").click();
    settle(&mut window);
    assert!(window.state().state.is_training());

    wait_for(&mut window, "the first map", |app| {
        has_film(app, ModelRole::Before)
    });
    wait_for(&mut window, "CARE's first map", |app| {
        has_film(app, ModelRole::Care)
    });
    window.get_by_label("stage 2 of 2");
    window.get_by_label("fixed during a run");
    let maps = window.query_all_by_label_contains("CARE, ").count();
    assert_eq!(maps, run(&window).watch.len());

    window.get_by_role_and_label(Role::Slider, "lambda").focus();
    settle(&mut window);
    window.key_press(Key::ArrowLeft);
    wait_for(&mut window, "the slider's change", |app| {
        change(app, |change| matches!(change, Change::Live { .. }))
    });
    window.get_by_label("lambda 0.70 \u{2192} 0.69");

    let project = window.state().state.project.as_ref().unwrap();
    let edit = first_free_box(project, Part::Train).unwrap();
    window.state_mut().commands().edit(edit);
    wait_for(&mut window, "the box drawn meanwhile", |app| {
        change(app, |change| matches!(change, Change::Boxes { .. }))
    });

    window.get_by_label("Pause").click();
    settle(&mut window);
    window.get_by_label("Resume").click();
    settle(&mut window);
    window.get_by_label("Stop").click();
    wait_for(&mut window, "the end", |app| !app.state.is_training());

    let project = window.state().state.project.as_ref().unwrap();
    assert_eq!(
        project.runs().last().map(|run| run.state),
        Some(RunState::Stopped)
    );
    assert!(
        run(&window).results.is_some(),
        "stage 2 had begun, so the run is scored"
    );
    assert!(
        run(&window)
            .epochs
            .iter()
            .any(|epoch| epoch.role == ModelRole::Before)
    );

    // The film is there to be looked at again.
    let epoch = |window: &Harness<'_, App>| {
        let handle = window.get_by_role_and_label(Role::Slider, "Epoch");
        handle.accesskit_node().numeric_value().unwrap()
    };
    let newest = epoch(&window);
    window.get_by_role_and_label(Role::Slider, "Epoch").focus();
    settle(&mut window);
    window.key_press(Key::ArrowLeft);
    settle(&mut window);
    assert!(epoch(&window) < newest);
    window.get_by_label("end").click();
    settle(&mut window);
    assert_eq!(epoch(&window), newest);
    // It goes on where it was, with what was changed meanwhile.
    let step = |app: &App| {
        app.state
            .run
            .as_ref()
            .and_then(|run| run.step.as_ref().map(|it| it.step))
    };
    let (last, lambda) = (
        RunFolder::open(&dir.join("runs/0001"))
            .unwrap()
            .epochs()
            .unwrap()
            .len(),
        run(&window).live.lambda,
    );
    window.get_by_role_and_label(Role::Link, "Go on").click();
    settle(&mut window);
    assert!(window.state().state.is_training());
    wait_for(&mut window, "two epochs more", |app| {
        let run = app.state.run.as_ref().unwrap();
        step(app).is_some() && run.epochs.len() >= last + 2
    });
    assert_eq!(run(&window).live.lambda, lambda);
    assert!((lambda - 0.69).abs() < 1e-9);
    let epochs = &run(&window).epochs;
    assert!(epochs.is_sorted_by_key(|epoch| epoch.epoch));
    assert_eq!(
        window.state().state.project.as_ref().unwrap().runs().len(),
        1
    );
    window.get_by_label("Stop").click();
    wait_for(&mut window, "the end", |app| !app.state.is_training());

    window.get_by_role_and_label(Role::Link, "Compare").click();
    settle(&mut window);
    assert_eq!(window.state().state.room, Room::Compare);
}

#[test]
fn a_second_run_has_the_first_ones_stage_one() {
    let (_root, dir) = project_with_boxes();
    let mut window = window(Some(&dir));
    set_epochs(&mut window, 1, 1);
    let train = |window: &mut Harness<'_, App>| {
        window.key_press_modifiers(egui::Modifiers::COMMAND, Key::T);
        settle(window);
        wait_for(window, "the end", |app| !app.state.is_training());
    };
    go_to_train(&mut window);
    train(&mut window);
    assert_eq!(run(&window).stage1_of, None);
    window.state_mut().state.draft.live.alpha = 0.3;
    train(&mut window);
    let of = run(&window).stage1_of;
    assert_eq!(of.map(|run| run.0), Some(1));
    window.get_by_label("Stage 1 is run 1's: same images and settings.");
}

#[test]
fn a_run_in_training_is_left_only_with_a_yes() {
    let (_root, dir) = project_with_boxes();
    let mut window = window(Some(&dir));
    set_epochs(&mut window, 500, 1);
    window.key_press_modifiers(egui::Modifiers::COMMAND, Key::T);
    settle(&mut window);
    let close = |window: &mut Harness<'_, App>| {
        window.key_press_modifiers(egui::Modifiers::COMMAND, Key::W);
        settle(window);
    };
    close(&mut window);
    window.get_by_label("Run 1 is training");
    window.get_by_label("Keep training").click();
    settle(&mut window);
    assert!(window.state().state.is_training());
    assert!(window.query_by_label("Run 1 is training").is_none());

    // What does not open is no reason to end it, and it is open itself, however its folder is written.
    for path in [dir.join("."), dir.with_file_name("nowhere.care")] {
        window
            .state_mut()
            .commands()
            .send(Command::OpenProject(path));
        settle(&mut window);
        assert!(window.state().state.asked.is_none());
        assert!(window.state().state.is_training());
    }
    window.get_by_label("This project cannot be opened");

    close(&mut window);
    window.get_by_label("Stop it").click();
    settle(&mut window);
    assert!(window.state().state.project.is_none());
    for leaving in window.state_mut().state.leaving.drain(..) {
        leaving.join().unwrap();
    }
    let project = Project::open(&dir).unwrap();
    assert_eq!(project.runs()[0].state, RunState::Stopped);
    let weights = project
        .run_dir(project.runs()[0].id)
        .join("before.safetensors");
    assert!(weights.exists(), "its checkpoint is kept");
}

#[test]
fn a_finished_run_is_shown_again_when_the_project_is_opened() {
    let (_root, dir) = project_with_boxes();
    {
        let mut window = window(Some(&dir));
        set_epochs(&mut window, 1, 1);
        // From any room.
        window.key_press_modifiers(egui::Modifiers::COMMAND, Key::T);
        settle(&mut window);
        assert_eq!(window.state().state.room, Room::Train);
        wait_for(&mut window, "the end", |app| !app.state.is_training());
        window.get_by_label("finished");
        window.state_mut().state.show(None);
    }
    let mut window = window(Some(&dir));
    go_to_train(&mut window);
    window.get_by_label("Run 1");
    window.get_by_label("finished");
    assert!(window.query_all_by_label_contains("CARE, scarce_").count() > 0);
    assert_eq!(
        window.state().state.draft.stage2_epochs,
        1,
        "the next run is offered the same settings"
    );

    // A run whose files are gone does not hide it.
    drop(window);
    Project::open(&dir).unwrap().begin_run().unwrap();
    let mut window = crate::common::window(Some(&dir));
    go_to_train(&mut window);
    window.get_by_label("Run 2 cannot be shown");
    assert_eq!(run(&window).id.0, 1);
}
