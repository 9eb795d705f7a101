//! The room Compare, over a run made up by hand: what it says, and what a click and a key do.

use std::path::Path;

use crate::common::{key, press, send, settle, type_text, wait_for, window};
use crate::train::{project_with_boxes, set_epochs};
use care_data::import::{Import, NewImage};
use care_data::{
    BoundingBox, ContentHash, Edit, Image, ImageSize, Orientation, Part, Project, RunId, RunState,
    SplitSpec,
};
use care_learn::event::{ImageAttention, Results};
use care_learn::metrics::{argmax, mcnemar_exact, summarise};
use care_learn::run_folder::{RunData, RunFolder, RunFolderError};
use care_learn::{AttentionMap, ModelRole, RunConfig};
use care_studio::app::App;
use care_studio::background::Later;
use care_studio::command::{Action, Command, Room};
use care_studio::comparison::{Coming, OtherRun};
use care_studio::training::{Phase, TrainingRun};
use crossbeam_channel::Sender;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use tempfile::TempDir;

const RARE: &str = "dermatofibroma";

/// A project with a test part of 12 images in each of two classes, all with a box; the rare class is marked.
fn project(dir: &Path) -> Project {
    let image = |class: &str, i: u8| {
        let path = dir.join(format!("{class}_{i:02}.png"));
        let picture = image::RgbImage::from_fn(48, 48, |x, y| {
            image::Rgb([i * 8, x as u8 * 5, y as u8 * 5 + class.len() as u8])
        });
        picture.save(&path).unwrap();
        NewImage {
            hash: ContentHash::of(&std::fs::read(&path).unwrap()),
            path,
            size: ImageSize::new(48, 48),
            orientation: Orientation::default(),
            class: class.to_owned(),
            group: None,
            patient: None,
            part: Some(Part::Test),
            boxes: vec![BoundingBox::new(8.0, 8.0, 40.0, 32.0).unwrap()],
        }
    };
    let import = Import {
        images: ["nevus", RARE]
            .into_iter()
            .flat_map(|class| (0..12).map(move |i| image(class, i)))
            .collect(),
        not_read: Vec::new(),
        split: SplitSpec::default(),
    };
    let mut project = Project::create(&dir.join("tiny.care")).unwrap();
    project.take_in(import).unwrap();
    let rare = project.classes().iter().find(|class| class.name == RARE);
    let class = rare.unwrap().id;
    project.apply(Edit::SetRare { class, rare: true }).unwrap();
    project
}

fn is_rare(project: &Project, image: &Image) -> bool {
    project.class(image.class).is_some_and(|class| class.rare)
}

/// A run that has ended, on the test images of the project, at most `num_rare` of them rare. CARE recognises every rare
/// image, the other models only every third; all recognise every other image. CARE's share of the attention in the box
/// falls from the first image to the last.
pub fn finished_run(project: &Project, id: RunId, num_rare: usize) -> TrainingRun {
    let mut rare_seen = 0;
    let images: Vec<&Image> = project
        .images()
        .iter()
        .filter(|image| {
            rare_seen += usize::from(is_rare(project, image));
            !is_rare(project, image) || rare_seen <= num_rare
        })
        .collect();
    let classes = project.classes();
    let label = |image: &Image| classes.iter().position(|c| c.id == image.class).unwrap();
    let labels: Vec<usize> = images.iter().map(|image| label(image)).collect();
    let seen_by = |role: ModelRole| -> Vec<ImageAttention> {
        let see = |(place, image): (usize, &&Image)| {
            let right =
                role == ModelRole::Care || !is_rare(project, image) || place.is_multiple_of(3);
            let label = label(image);
            let predicted = if right { label } else { 1 - label };
            let energy = match role {
                ModelRole::Care => 0.9 - 0.01 * place as f32,
                _ => 0.2,
            };
            ImageAttention {
                image: image.id,
                map: AttentionMap {
                    height: 1,
                    width: 2,
                    values: vec![1.0, 0.0],
                },
                peak: Some(1.0),
                probabilities: (0..classes.len())
                    .map(|class| if class == predicted { 0.8 } else { 0.2 })
                    .collect(),
                energy: Some(energy),
                hit: Some(role == ModelRole::Care),
                iou: None,
            }
        };
        images.iter().enumerate().map(see).collect()
    };
    let rare: Vec<bool> = classes.iter().map(|class| class.rare).collect();
    let test: Vec<_> = ModelRole::ALL.map(|role| (role, seen_by(role))).into();
    let right = |place: usize| -> Vec<bool> {
        let (_, seen) = &test[place];
        let all = seen.iter().zip(&labels);
        all.filter(|(_, label)| rare[**label])
            .map(|(image, label)| argmax(&image.probabilities) == *label)
            .collect()
    };
    let mut run = TrainingRun::new(id, RunConfig::default(), Vec::new());
    run.phase = Phase::Ended(RunState::Finished);
    run.results = Some(Results {
        seconds: 60.0,
        summaries: test
            .iter()
            .map(|(role, seen)| (*role, summarise(&labels, seen, &rare, 0)))
            .collect(),
        rare_difference: Some(mcnemar_exact(&right(1), &right(2))),
        kept: vec![],
    });
    run.test = test;
    run
}

/// The window in Compare, over a project with the run that `make` makes of it.
fn compare(
    make: impl FnOnce(&mut Project) -> Option<TrainingRun>,
) -> (TempDir, Harness<'static, App>) {
    let dir = tempfile::tempdir().unwrap();
    let mut project = project(dir.path());
    let run = make(&mut project);
    let mut window = window(None);
    let state = &mut window.state_mut().state;
    state.show(Some(project));
    state.run = run;
    state.room = Room::Compare;
    settle(&mut window);
    (dir, window)
}

pub fn finished(num_rare: usize) -> (TempDir, Harness<'static, App>) {
    finished_with(num_rare, |_| {})
}

/// As [`finished`], of a run that `change` was done to.
fn finished_with(
    num_rare: usize,
    change: impl FnOnce(&mut TrainingRun),
) -> (TempDir, Harness<'static, App>) {
    compare(|project| {
        let (id, _) = project.begin_run().unwrap();
        project
            .end_run(id, RunState::Finished, "finished in 1 min", &[])
            .unwrap();
        let mut run = finished_run(project, id, num_rare);
        change(&mut run);
        Some(run)
    })
}

/// With what the model before looks at in the bottom left corner of its images, away from every box.
pub fn finished_with_shortcut() -> (TempDir, Harness<'static, App>) {
    let (dir, mut window) = finished_with(12, |run| {
        for (role, images) in &mut run.test {
            for seen in images {
                let mut values = vec![0.01; 12 * 12];
                values[5 * 12 + 5] = 1.0;
                if *role == ModelRole::Before {
                    values[11 * 12] = 1.0;
                }
                seen.map = AttentionMap {
                    height: 12,
                    width: 12,
                    values,
                };
            }
        }
    });
    wait_for_label(&mut window, "Shortcuts 2");
    (dir, window)
}

/// What comes from a thread.
fn wait_for_label(window: &mut Harness<'_, App>, label: &str) {
    for _ in 0..1000 {
        if window.query_by_label_contains(label).is_some() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        window.step();
    }
    let there = window.query_all_by_role(egui::Role::RadioButton);
    let there: Vec<_> = there.map(|it| it.accesskit_node().label()).collect();
    panic!("waited in vain: {label}; there are {there:?}");
}

/// One of a few side by side; rooms have words of their own that are the same.
pub fn tab(window: &mut Harness<'_, App>, label: &str) {
    window
        .get_by_role_and_label(egui::Role::RadioButton, label)
        .click();
    settle(window);
}

pub fn click(window: &mut Harness<'_, App>, label: &str) {
    window.get_by_label(label).click();
    settle(window);
}

#[test]
fn before_a_run_the_way_leads_to_train() {
    let (_dir, mut window) = compare(|_| None);
    window.get_by_label("Train once to compare");
    window
        .get_by_role_and_label(egui::Role::Button, "Train")
        .click();
    settle(&mut window);
    assert_eq!(window.state().state.room, Room::Train);
}

#[test]
fn a_run_without_results_says_why_there_are_none() {
    for (phase, expected) in [
        (Phase::Training, "Run 1 is training"),
        (
            Phase::Ended(RunState::Stopped),
            "Run 1 was stopped before it had results",
        ),
        (Phase::Failed("The disk is full.".into()), "Run 1 failed"),
    ] {
        let (_dir, window) = compare(move |_| {
            let mut run = TrainingRun::new(RunId(1), RunConfig::default(), Vec::new());
            run.phase = phase;
            Some(run)
        });
        window.get_by_label(expected);
    }
}

#[test]
fn the_sentence_and_the_table_say_what_the_test_part_shows() {
    let (_dir, window) = finished(12);
    window.get_by_label("Of 12 test images of dermatofibroma, CARE recognises 12, the control 4.");
    window.get_by_label_contains("McNemar\u{2019}s exact test: p\u{a0}=\u{a0}0.008.");
    for expected in [
        "CARE 1.00 (12 of 12), higher, p = 0.008",
        "nevus, n 12, before 1.00 (12 of 12), control 1.00 (12 of 12), CARE 1.00 (12 of 12), no detectable difference",
        "pointing hit, n 12, before 0.00 (0 of 12), control 0.00 (0 of 12), CARE 1.00 (12 of 12), +1.00",
        "MCA, n 24",
    ] {
        window.get_by_label_contains(expected);
    }
    assert!(window.query_by_label_contains("Only 12").is_none());
}

#[test]
fn every_measure_has_its_table_and_only_recall_is_tested() {
    let (_dir, mut window) = finished(12);
    for (measure, rare, all) in [
        (
            "Precision",
            "dermatofibroma, before 1.00",
            "mean of the classes, ",
        ),
        (
            "F1",
            "dermatofibroma, n 12, before 0.50",
            "mean of the classes, n 24, ",
        ),
        (
            "AUROC",
            "dermatofibroma, n 24, before 0.67",
            "mean of the classes, n 24, ",
        ),
    ] {
        click(&mut window, measure);
        window.get_by_label_contains(rare);
        window.get_by_label_contains(all);
        assert!(
            window
                .query_by_label_contains("higher, p = 0.008")
                .is_none()
        );
    }
    click(&mut window, "Recall");
    window.get_by_label_contains("CARE 1.00 (12 of 12), higher, p = 0.008");
}

#[test]
fn a_label_changed_since_is_a_caution() {
    let (_dir, mut window) = finished(12);
    let project = window.state().state.project.as_ref().unwrap();
    let [first, second] = [0, 1].map(|i| project.classes()[i].id);
    let mut images = project.images().iter();
    let image = images.find(|it| it.class == first).unwrap().id;
    let class = second;
    send(&mut window, Command::Edit(Edit::SetClass { image, class }));
    window.get_by_label_contains("1 test image had another class when run 1 was tested");
}

#[test]
fn few_rare_test_images_are_a_caution() {
    let (_dir, window) = finished(4);
    window.get_by_label_contains("Only 4 test images of dermatofibroma: one image moves");
}

#[test]
fn the_figure_begins_with_the_least_attention_in_the_box_and_lays_out_what_is_seen() {
    let (_dir, mut window) = finished(12);
    let name = |i: usize| format!("{RARE}_{i:02}");
    let top = |window: &Harness<'_, App>, i: usize| {
        window
            .query_by_label(&name(i))
            .map(|node| node.rect().top())
    };
    assert!(top(&window, 11) < top(&window, 10));
    assert_eq!(top(&window, 0), None, "the twelfth row is out of view");
    window.get_by_label_contains(&format!("{}, CARE, {RARE}: probability 0.80", name(11)));

    window.get_by_label("Order").click();
    settle(&mut window);
    window.get_by_label("by name").click();
    settle(&mut window);
    assert!(top(&window, 0) < top(&window, 1));
    assert_eq!(top(&window, 11), None);
}

#[test]
fn a_cell_of_the_confusion_fills_the_strip_and_a_opens_its_image() {
    let (_dir, mut window) = finished(12);
    // The room opens with what the control most often takes the rare class for.
    window.get_by_label("8 images");
    window
        .get_by_label("control: 4 of 12 dermatofibroma predicted as dermatofibroma")
        .click();
    settle(&mut window);
    window.get_by_label("4 images");
    window.get_by_label("control: dermatofibroma recognised");

    let second = format!("{RARE}_03");
    window
        .get_by_label(&format!("{second}, in the strip"))
        .click();
    settle(&mut window);
    window.key_press(Key::A);
    settle(&mut window);
    assert_eq!(window.state().state.room, Room::Annotate);
    let state = &window.state().state;
    let selected = state
        .selected
        .and_then(|id| state.project.as_ref()?.image(id));
    assert_eq!(selected.map(Image::name), Some(second.as_str()));
}

fn wiped(window: &Harness<'_, App>) -> f64 {
    let line = window.get_by_role_and_label(egui::Role::Slider, "Wipe");
    line.accesskit_node().numeric_value().unwrap()
}

#[test]
fn a_click_on_a_map_shows_it_large_and_arrows_move_the_line() {
    let (_dir, mut window) = finished(12);
    let worst = format!("{RARE}_11");
    window
        .get_by_label_contains(&format!("{worst}, before, "))
        .click();
    settle(&mut window);
    window.get_by_label(&format!("{worst}, shown large"));
    // What was clicked is to the right of the line.
    let words = format!("{worst}: control 0.20, nevus and before 0.20, nevus");
    window.get_by_label(&words);
    assert_eq!(wiped(&window), 0.5);
    for _ in 0..3 {
        key(&mut window, Key::ArrowRight);
    }
    assert!((wiped(&window) - 0.53).abs() < 1e-6);

    for mode in ["Blink", "Difference"] {
        click(&mut window, mode);
        window.get_by_label(&words);
    }
    click(&mut window, "Side by side");
    window.get_by_label(&format!("{worst}: control 0.20, nevus"));
    window.get_by_label(&format!("{worst}: before 0.20, nevus"));
    // Down is the next image of the list, up the one before.
    key(&mut window, Key::ArrowDown);
    window.get_by_label(&format!("{RARE}_10, shown large"));
    key(&mut window, Key::ArrowUp);
    window.get_by_label(&format!("{worst}, shown large"));
    key(&mut window, Key::A);
    assert_eq!(window.state().state.room, Room::Annotate);
}

/// The rows of the table of images that are in view, from above.
fn rows(window: &Harness<'_, App>) -> Vec<String> {
    let all = window.query_all_by_label_contains(", CARE: energy ");
    let mut rows: Vec<_> = all
        .map(|node| (node.rect().top(), node.accesskit_node().label().unwrap()))
        .collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    rows.into_iter().map(|(_, label)| label).collect()
}

#[test]
fn the_table_of_images_sorts_by_any_column_and_a_row_shows_its_image() {
    let (_dir, mut window) = finished(12);
    tab(&mut window, "Images");
    let first = |window: &Harness<'_, App>| rows(window)[0].clone();
    let begins = format!("{RARE}_00, {RARE}, before: energy 0.20 miss");
    assert!(first(&window).starts_with(&begins), "{}", first(&window));
    click(&mut window, "Sort by energy of CARE");
    assert!(first(&window).starts_with(&format!("{RARE}_11")));
    click(&mut window, "Sort by energy of CARE");
    assert!(first(&window).starts_with(&format!("{RARE}_00")));
    // The wrong ones first.
    click(&mut window, "Sort by right of control");
    let wrong = "control: energy 0.20 miss IoU \u{2013} prob. 0.20 wrong";
    assert!(first(&window).contains(wrong), "{}", first(&window));
    window.get_by_label_contains("CARE looks more into the box than the control on 12 of 12");

    let second = rows(&window)[1].clone();
    let name = second.split(',').next().unwrap().to_owned();
    click(&mut window, &second);
    window.get_by_label(&format!("{name}, shown large"));
}

#[test]
fn a_dot_of_the_scatter_is_its_image() {
    let (_dir, mut window) = finished(12);
    tab(&mut window, "Images");
    let plot = window
        .get_by_label("Energy in the box, CARE against control: 12 images")
        .rect()
        .shrink(6.0);
    // The rare image with the least of CARE's attention in the box; of the control's all have the same there.
    let state = &window.state().state;
    let project = state.project.as_ref().unwrap();
    let seen = &state.run.as_ref().unwrap().test[2].1;
    let of_rare = |it: &&ImageAttention| is_rare(project, project.image(it.image).unwrap());
    let least = seen
        .iter()
        .filter(of_rare)
        .min_by(|a, b| a.energy.unwrap().total_cmp(&b.energy.unwrap()))
        .unwrap();
    let name = project.image(least.image).unwrap().name().to_owned();
    let at = plot.lerp_inside(egui::vec2(0.2, 1.0 - least.energy.unwrap()));
    let at = at + egui::vec2(0.0, 4.0);
    window.hover_at(at);
    settle(&mut window);
    for pressed in [true, false] {
        window.event(egui::Event::PointerButton {
            pos: at,
            button: egui::PointerButton::Primary,
            pressed,
            modifiers: Modifiers::NONE,
        });
        window.step();
    }
    settle(&mut window);
    window.get_by_label(&format!("{name}, shown large"));
}

#[test]
fn what_is_right_for_the_wrong_reason_is_a_list_of_its_own() {
    let (_dir, mut window) = finished(12);
    click(&mut window, "Class");
    window
        .get_by_label_contains("right for the wrong reason")
        .click();
    settle(&mut window);
    // Every image that the control or the model before gets right, as their attention is elsewhere.
    window.get_by_label("nevus_11");
    assert!(window.query_by_label(&format!("{RARE}_11")).is_none());
    click(&mut window, "Order");
    click(&mut window, "by name");
    window.get_by_label_contains(&format!("{RARE}_00, control, {RARE}: probability 0.80"));
    key(&mut window, Key::A);
    assert_eq!(window.state().state.room, Room::Annotate);
}

#[test]
fn the_figure_begins_with_what_care_gets_right_for_the_wrong_reason() {
    let first = "First the 2 that CARE gets right for the wrong reason.";
    // Of the rare images the first two in the project's order; without the change the last would come first.
    let (_dir, mut window) = finished_with(12, |run| {
        let (_, care) = &mut run.test[2];
        let rare = care.len() - 12;
        for (seen, energy) in care[rare..].iter_mut().zip([0.29, 0.1, 0.05]) {
            seen.energy = Some(energy);
        }
        // This one is wrong as well.
        care[rare + 2].probabilities.reverse();
    });
    window.get_by_label(first);
    let top = |window: &Harness<'_, App>, i: usize| {
        window.get_by_label(&format!("{RARE}_{i:02}")).rect().top()
    };
    assert!(top(&window, 1) < top(&window, 0) && top(&window, 0) < top(&window, 2));
    window.get_by_label(&format!("{RARE}_01")).click();
    settle(&mut window);
    key(&mut window, Key::A);
    let state = &window.state().state;
    let selected = state
        .selected
        .and_then(|id| state.project.as_ref()?.image(id));
    assert_eq!(state.room, Room::Annotate);
    assert_eq!(
        selected.map(Image::name),
        Some(format!("{RARE}_01").as_str())
    );

    let (_dir, window) = finished(12);
    assert!(window.query_by_label_contains("First the").is_none());
}

#[test]
fn a_place_away_from_the_boxes_is_an_alarm_with_its_images() {
    let (_dir, mut window) = finished_with_shortcut();
    let alarm = "In images of dermatofibroma the model before looks at the bottom left corner: ";
    assert!(
        window
            .query_all_by_label_contains("looks at the bottom left corner")
            .count()
            > 0
    );
    click(&mut window, "See where it looks");
    window.get_by_label("2 places that may be a shortcut.");
    window.get_by_label_contains(alarm).click();
    settle(&mut window);
    window.get_by_label("12 images");
    window.get_by_label("before: dermatofibroma, the bottom left corner");
    let of_care = "In images of dermatofibroma CARE looks";
    assert!(window.query_by_label_contains(of_care).is_none());
}

#[test]
fn a_run_has_a_star_a_name_and_a_note_and_deleting_it_is_undone() {
    let (_dir, mut window) = finished(12);
    click(&mut window, "Runs 1");
    click(&mut window, "Star run 1");
    for (field, text) in [
        ("Name of run 1", "first try"),
        ("Note on run 1", "too few boxes"),
    ] {
        click(&mut window, field);
        type_text(&mut window, text);
    }
    // Another room ends the typing.
    press(&mut window, Modifiers::COMMAND, Key::Num1);
    let run = |window: &Harness<'_, App>| {
        let project = window.state().state.project.as_ref().unwrap();
        project.runs().first().cloned()
    };
    let said = run(&window).unwrap();
    let words = (said.name.as_str(), said.remark.as_str());
    assert_eq!(words, ("first try", "too few boxes"));
    assert!(said.starred);

    press(&mut window, Modifiers::COMMAND, Key::Num4);
    let project = window.state().state.project.as_ref().unwrap();
    let runs = project.dir().join("runs");
    std::fs::write(runs.join("0001/weights"), vec![0; 5_000_000]).unwrap();
    click(&mut window, "Delete run 1");
    assert_eq!(run(&window), None);
    assert!(window.state().state.run.is_none(), "it is shown no more");
    window.get_by_label("1 deleted run, 5.0 MB. Undo brings them back, also tomorrow.");
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(run(&window), Some(said));
    assert!(runs.join("0001/weights").exists());

    click(&mut window, "Delete run 1");
    click(&mut window, "Empty the trash");
    click(&mut window, "Remove 5.0 MB for good");
    wait_for_label(
        &mut window,
        "1 deleted run; the files are gone, undo brings back the figures.",
    );
    // The files go on a thread of their own.
    wait_for(&mut window, "the emptying", |app| {
        app.state.last_event == "The trash was emptied"
    });
    assert!(!runs.join("0001").exists() && !runs.join("trash/0001").exists());
}

/// The field still has the keys when the window or its project closes.
#[test]
fn what_is_typed_about_a_run_is_kept_when_the_project_or_the_window_closes() {
    let typing = |field: &str, text: &str| {
        let (dir, mut window) = finished(12);
        click(&mut window, "Runs 1");
        click(&mut window, field);
        window.get_by_label(field).type_text(text);
        window.step();
        let project = window.state().state.project.as_ref().unwrap();
        let place = project.dir().to_owned();
        (dir, window, place)
    };
    let (_dir, mut window, place) = typing("Note on run 1", "a ruler in every image");
    send(&mut window, Command::Action(Action::CloseProject));
    let reopened = Project::open(&place).unwrap();
    assert_eq!(reopened.runs()[0].remark, "a ruler in every image");

    let (_dir, mut window, place) = typing("Name of run 1", "with boxes");
    eframe::App::on_exit(window.state_mut(), None);
    drop(window);
    let reopened = Project::open(&place).unwrap();
    assert_eq!(reopened.runs()[0].name, "with boxes");
}

/// Two runs, of which the second tested six rare images only; its control is put beside the first.
fn two_runs() -> (TempDir, Harness<'static, App>) {
    let (dir, mut window) = finished(12);
    let state = &mut window.state_mut().state;
    let project = state.project.as_mut().unwrap();
    let (id, _) = project.begin_run().unwrap();
    project
        .end_run(id, RunState::Finished, "finished in 1 min", &[])
        .unwrap();
    state.other = Some(OtherRun {
        run: finished_run(project, id, 6),
        role: ModelRole::Control,
    });
    settle(&mut window);
    (dir, window)
}

/// Two runs, of which the second is being read to stand beside the first, until it is sent what that came to.
fn reading() -> (
    TempDir,
    Harness<'static, App>,
    Sender<Result<TrainingRun, RunFolderError>>,
) {
    let (dir, mut window) = two_runs();
    let state = &mut window.state_mut().state;
    state.other = None;
    let (sender, run) = crossbeam_channel::bounded(1);
    state.coming = Some(Coming {
        id: RunId(2),
        role: ModelRole::Control,
        run: Later::Waiting(run),
    });
    settle(&mut window);
    click(&mut window, "Runs 2");
    window.get_by_label("Reading run 2 \u{2026}");
    window.get_by_label("Leave out run 2");
    (dir, window, sender)
}

#[test]
fn another_run_is_read_while_the_window_goes_on() {
    let (_dir, mut window, sender) = reading();
    let project = window.state().state.project.as_ref().unwrap();
    sender.send(Ok(finished_run(project, RunId(2), 6))).unwrap();
    settle(&mut window);
    assert!(window.query_by_label_contains("Reading run").is_none());
    window.get_by_label("18 test images");
    window.get_by_label("beside the run shown:");

    // A click begins to read; this one has no file.
    click(&mut window, "Leave out run 2");
    assert!(window.state().state.other.is_none());
    let with = Some((RunId(2), ModelRole::Care));
    send(&mut window, Command::CompareWith(with));
    wait_for_label(&mut window, "Run 2 cannot be compared");
    assert!(window.state().state.coming.is_none());
}

#[test]
fn a_run_that_goes_away_while_it_is_read_is_no_error() {
    let missing = || RunFolder::open(Path::new("/nowhere")).unwrap_err();
    let goes: [fn(&mut Harness<'_, App>); 3] = [
        |window| click(window, "Delete run 2"),
        |window| click(window, "Leave out run 2"),
        |window| send(window, Command::Action(Action::CloseProject)),
    ];
    for go in goes {
        let (_dir, mut window, sender) = reading();
        go(&mut window);
        assert!(window.state().state.coming.is_none());
        assert!(sender.send(Err(missing())).is_err(), "nobody waits for it");
        settle(&mut window);
        assert_eq!(window.state().state.problem, None);
    }
}

#[test]
fn a_real_run_is_read_whole() {
    let (_root, dir) = project_with_boxes();
    let mut window = window(Some(&dir));
    set_epochs(&mut window, 1, 1);
    send(&mut window, Command::Action(Action::Train));
    wait_for(&mut window, "the end", |app| !app.state.is_training());
    let project = window.state_mut().state.project.as_mut().unwrap();
    let (id, copy) = project.begin_run().unwrap();
    for file in project.run_dir(RunId(1)).read_dir().unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    project.end_run(id, RunState::Finished, "", &[]).unwrap();
    let with = Some((id, ModelRole::Control));
    send(&mut window, Command::CompareWith(with));
    wait_for(&mut window, "the other run", |app| {
        app.state.other.is_some()
    });
    let state = &window.state().state;
    let (run, other) = (state.run.as_ref().unwrap(), state.other.as_ref().unwrap());
    assert_eq!((other.run.id, other.role), (id, ModelRole::Control));
    assert_eq!(other.run.test.len(), 3);
    assert_eq!(other.run.test, run.test);
    assert_eq!(other.test().unwrap(), run.test[1].1);
}

#[test]
fn a_model_of_another_run_is_compared_on_the_images_that_both_tested() {
    let (_dir, mut window) = two_runs();
    window.get_by_label("18 test images");
    window.get_by_label(
        "Of 6 test images of dermatofibroma that both runs tested, CARE recognises 6, the control of run 2 2.",
    );
    window.get_by_label_contains("Only 6 test images of dermatofibroma");
    wait_for_label(&mut window, "dermatofibroma, n 6, before 0.33");
    window.get_by_label_contains("dermatofibroma, n 6, before 0.33");
    assert!(
        window
            .query_all_by_label_contains("control, run 2 0.33")
            .count()
            > 0
    );
    window.get_by_label("control, run 2: 2 of 6 dermatofibroma predicted as dermatofibroma");
    // Classes that are others cannot be compared.
    let other = window.state_mut().state.other.as_mut().unwrap();
    other.role = ModelRole::Care;
    other.run.data = Some(RunData {
        classes: Vec::new(),
        look: Default::default(),
        stage1_of: None,
    });
    settle(&mut window);
    window.get_by_label("Run 2 learned other classes, so the two cannot be compared.");
    window.get_by_label("24 test images");
}

#[test]
fn a_label_changed_since_is_measured_and_said_also_beside_another_run() {
    let (_dir, mut window) = two_runs();
    wait_for_label(&mut window, "dermatofibroma, n 6, before 0.33");
    let project = window.state().state.project.as_ref().unwrap();
    // The first is recognised by every model.
    let image = project.images().iter().find(|it| is_rare(project, it));
    let image = image.unwrap().id;
    let nevus = project.classes().iter().find(|class| class.name == "nevus");
    let class = nevus.unwrap().id;
    send(&mut window, Command::Edit(Edit::SetClass { image, class }));
    wait_for_label(&mut window, "dermatofibroma, n 5, before 0.20");
    for run in [1, 2] {
        window.get_by_label_contains(&format!(
            "1 test image had another class when run {run} was tested; all figures here are by"
        ));
    }
}

/// T on the image in hand; what is shown comes from a thread.
pub fn proof() -> (TempDir, Harness<'static, App>) {
    let (dir, mut window) = finished(12);
    key(&mut window, Key::T);
    wait_for_label(&mut window, "become a tensor of 3 \u{d7} 96 \u{d7} 96");
    (dir, window)
}

#[test]
fn one_key_shows_the_tensor_that_the_network_saw() {
    let (_dir, mut window) = proof();
    window.get_by_label("What the network sees");
    window.get_by_label_contains("48 \u{d7} 48 pixels become a tensor");
    // The box of 32 x 24 pixels at twice the size.
    window.get_by_label_contains("3072 of 9216 pixels (33 %) lie in the boxes as they are today. These boxes only score its attention");
    for over in ["Pixels", "On the map\u{2019}s grid", "Inside the boxes"] {
        click(&mut window, over);
    }
    window.get_by_label("These settings change nothing at random, so training sees the same.");
    key(&mut window, Key::T);
    assert!(window.state().state.proof.is_none());
    assert!(window.query_by_label("What the network sees").is_none());
}
