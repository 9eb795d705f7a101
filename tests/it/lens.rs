//! The loss lens in Annotate: what it says while sliders, boxes and settings move, through the real window.

use std::path::Path;
use std::time::{Duration, Instant};

use care_data::{BoundingBox, Edit, ImageSize, Part, Project, RunState};
use care_learn::config::{Normalisation, Outside};
use care_learn::{ModelRole, RunConfig};
use care_studio::app::App;
use care_studio::command::{Action, Command, Room};
use care_studio::lens::{Of, Seen, Shows, View};
use care_studio::training::Phase;
use care_studio::ui::view;
use egui::{Event, Key, Modifiers, PointerButton, Pos2, Role};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use tempfile::TempDir;

use crate::common::{key, press, send, settle, wait_for, window};
use crate::suggested;

const SIZE: ImageSize = ImageSize::new(96, 64);

fn settings() -> RunConfig {
    RunConfig {
        input_size: 56,
        stage1_epochs: 1,
        stage2_epochs: 1,
        // So that no map is flat.
        normalisation: Normalisation::MinMax,
        ..RunConfig::demo()
    }
}

/// In Annotate, on the first image, the lens of the untrained network open.
pub fn untrained() -> (TempDir, Harness<'static, App>) {
    let (root, dir) = suggested::project();
    let mut window = window(Some(&dir));
    send(&mut window, Command::SetDraft(settings()));
    send(&mut window, Command::Go(Room::Annotate));
    key(&mut window, Key::L);
    seen(&mut window);
    (root, window)
}

/// Waits until the model has answered about the image in hand.
fn seen(window: &mut Harness<'_, App>) {
    wait_for(window, "the model's answer", |app| {
        let state = &app.state;
        let project = state.project.as_ref().unwrap();
        let image = state.selected.and_then(|id| project.image(id)).unwrap();
        state.lens.seen(image).is_some() || matches!(state.lens.model(), Some(Err(_)))
    });
}

pub fn add_box(window: &mut Harness<'_, App>, corners: [f64; 4]) {
    let image = window.state().state.selected.unwrap();
    let project = window.state().state.project.as_ref().unwrap();
    let rect = BoundingBox::try_from(corners).unwrap();
    let annotation = project.new_box(image, rect);
    send(window, Command::Edit(Edit::AddBox { annotation }));
}

/// The value after the colon in the label of a term.
fn term(window: &Harness<'_, App>, name: &str) -> f64 {
    let start = format!("{name}: ");
    let labels = window.query_all_by_role(Role::Label);
    let mut texts = labels.filter_map(|node| node.accesskit_node().value());
    let text = texts.find(|text| text.starts_with(&start));
    let text = text.unwrap_or_else(|| panic!("no {name}"));
    text[start.len()..]
        .replace('\u{2212}', "-")
        .parse()
        .unwrap()
}

fn has_term(window: &Harness<'_, App>, name: &str) -> bool {
    let start = format!("{name}: ");
    let labels = window.query_all_by_role(Role::Label);
    let mut texts = labels.filter_map(|node| node.accesskit_node().value());
    texts.any(|text| text.starts_with(&start))
}

fn button(window: &mut Harness<'_, App>, pos: Pos2, pressed: bool) {
    window.event(Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    });
    window.step();
}

fn at(window: &Harness<'_, App>, pixel: [f64; 2]) -> Pos2 {
    let canvas = window.get_by_role_and_label(Role::Canvas, "Canvas");
    view::View::fit(SIZE, canvas.rect()).to_screen(pixel)
}

fn close(a: f64, b: f64) -> bool {
    // As far as two decimals go, of several terms.
    (a - b).abs() < 0.021
}

#[test]
fn before_any_run_the_untrained_network_is_asked_and_said() {
    let (_root, mut window) = untrained();
    window.get_by_label_contains("Attention of an untrained network, for the class scarce");
    // What says it: in the inspector, and under the canvas.
    assert_eq!(
        window
            .query_all_by_label("Draw a box to see its loss.")
            .count(),
        2
    );
    assert!(!has_term(&window, "L in") && has_term(&window, "L"));
    let model = window.state().state.lens.model().unwrap().as_ref().unwrap();
    assert_eq!(model.of, Of::Untrained { pretrained: false });
    // With no box the whole loss is the classification's share.
    let share = term(&window, "(1 \u{2212} alpha) L c");
    assert!(close(term(&window, "L"), share) && share > 0.0);
    assert_eq!(term(&window, "alpha L a"), 0.0);

    add_box(&mut window, [30.0, 20.0, 62.0, 44.0]);
    assert!(
        window
            .query_by_label("Draw a box to see its loss.")
            .is_none()
    );
    let live = window.state().state.draft.live;
    let sum = term(&window, "L in") + term(&window, "lambda L out");
    assert!(close(term(&window, "L a"), sum));
    let whole = share + live.alpha * term(&window, "L a");
    assert!(close(term(&window, "L"), whole));
    // What the tint says, on hover.
    for (text, says) in [("rewarded", "dL/dF < 0"), ("penalised", "dL/dF > 0")] {
        assert!(window.query_by_label_contains(says).is_none());
        window.get_by_label(text).hover();
        settle(&mut window);
        window.get_by_label_contains(says);
    }

    for name in ["Control", "CARE"] {
        let choice = window.get_by_role_and_label(Role::RadioButton, name);
        assert!(choice.accesskit_node().is_disabled(), "{name}");
    }
    // Other settings of the network ask another one.
    let raw = |window: &Harness<'_, App>| {
        let state = &window.state().state;
        let project = state.project.as_ref().unwrap();
        let image = project.image(state.selected.unwrap()).unwrap();
        state.lens.seen(image).cloned()
    };
    let before = raw(&window);
    let config = RunConfig {
        seed: 9,
        ..settings()
    };
    send(&mut window, Command::SetDraft(config.clone()));
    seen(&mut window);
    assert_ne!(raw(&window), before);
    // One that cannot be built says why.
    let config = RunConfig {
        input_size: 40,
        ..config
    };
    send(&mut window, Command::SetDraft(config));
    window.get_by_label_contains("input_size = 40 is too small");
}

#[test]
fn sliders_settings_and_tau_on_the_curve_move_the_terms() {
    let (_root, mut window) = untrained();
    add_box(&mut window, [30.0, 20.0, 62.0, 44.0]);
    let outside = term(&window, "Mean attention outside");
    let slide = |window: &mut Harness<'_, App>, name: &str, share: f32| {
        let rail = {
            let mut by_name = window.query_all_by_label(name);
            let slider =
                by_name.rfind(|node| node.accesskit_node().role() == egui::accesskit::Role::Slider);
            slider.unwrap().rect()
        };
        let pos = rail.left_center().lerp(rail.right_center(), share);
        window.hover_at(pos);
        window.step();
        button(window, pos, true);
        button(window, pos, false);
        settle(window);
    };
    let lambda = term(&window, "lambda L out");
    slide(&mut window, "lambda", 0.9);
    let live = window.state().state.draft.live;
    assert!(live.lambda > 1.5, "{live:?}");
    assert!(term(&window, "lambda L out") > lambda);
    assert!(close(term(&window, "lambda L out"), live.lambda * outside));
    assert_eq!(term(&window, "Mean attention outside"), outside);
    slide(&mut window, "alpha", 0.8);
    let alpha = window.state().state.draft.live.alpha;
    assert!(alpha > 0.7, "{alpha}");
    assert!(close(
        term(&window, "alpha L a"),
        alpha * term(&window, "L a")
    ));

    // Held and not let go: the terms follow, the settings wait.
    let mean = term(&window, "Mean attention in the box");
    assert!(mean > 0.2 && mean < 0.6, "{mean}");
    let curve = window
        .get_by_label_contains("L in over mean attention")
        .rect();
    let grip = curve.center();
    window.hover_at(grip);
    window.step();
    button(&mut window, grip, true);
    let to = Pos2::new(grip.x - 400.0, grip.y);
    for pos in [grip.lerp(to, 0.5), to] {
        window.hover_at(pos);
        window.step();
    }
    assert_eq!(term(&window, "L in"), 0.0);
    assert!((window.state().state.draft.live.tau - 0.6).abs() < 1e-9);
    window.get_by_label("enough: no more reward");
    button(&mut window, to, false);
    settle(&mut window);
    assert_eq!(window.state().state.draft.live.tau, 0.0);

    // What a map is: other settings, and no model asked again.
    let draft = |window: &Harness<'_, App>| window.state().state.draft.clone();
    window.get_by_label("Each box counts as it was drawn.");
    window.get_by_label("1 is its largest value, 0 its smallest.");
    window.get_by_label("Attention costs the same everywhere outside.");
    assert_eq!(draft(&window).normalisation, Normalisation::MinMax);
    window.get_by_label("max").click();
    settle(&mut window);
    assert_eq!(draft(&window).normalisation, Normalisation::Max);
    let l_out = term(&window, "lambda L out");
    window.get_by_label("by distance").scroll_to_me();
    settle(&mut window);
    window.get_by_label("by distance").click();
    settle(&mut window);
    assert_eq!(draft(&window).outside, Outside::Distance);
    let far = term(&window, "lambda L out");
    let config = RunConfig {
        box_scale: 1.3,
        normalisation: Normalisation::MinMax,
        ..draft(&window)
    };
    send(&mut window, Command::SetDraft(config));
    assert_ne!(term(&window, "Mean attention in the box"), mean);
    assert_ne!(term(&window, "lambda L out"), far);
    assert_ne!(l_out, term(&window, "lambda L out"));
    window.get_by_label("A rim round each box earns a reward too.");
    window.get_by_label("The farther from a box, the more attention costs.");
}

#[test]
fn the_box_under_the_hand_counts() {
    let (_root, mut window) = untrained();
    let [from, to] = [[20.0, 16.0], [60.0, 48.0]].map(|pixel| at(&window, pixel));
    window.hover_at(from);
    window.step();
    button(&mut window, from, true);
    let mut means = Vec::new();
    for share in [0.3, 0.6, 1.0] {
        window.hover_at(from.lerp(to, share));
        settle(&mut window);
        means.push(term(&window, "Mean attention in the box"));
    }
    let project = |window: &Harness<'_, App>| -> usize {
        let state = &window.state().state;
        let project = state.project.as_ref().unwrap();
        project.boxes(state.selected.unwrap()).len()
    };
    assert_eq!(project(&window), 0, "it is no box yet");
    assert!(means.windows(2).any(|two| two[0] != two[1]), "{means:?}");
    key(&mut window, Key::Escape);
    assert!(!has_term(&window, "L in"), "taken back");
    button(&mut window, to, false);
    settle(&mut window);

    add_box(&mut window, [20.0, 16.0, 60.0, 48.0]);
    assert!(close(term(&window, "Mean attention in the box"), means[2]));
    // The place under the pointer, in numbers; the power of ten has a minus of its own.
    for (pixel, is_rewarded) in [([40.0, 30.0], true), ([80.0, 10.0], false)] {
        let pos = at(&window, pixel);
        window.hover_at(pos);
        settle(&mut window);
        window.get_by_label_contains("dL/dF ");
        let negative = window.query_by_label_contains("dL/dF \u{2212}");
        assert_eq!(negative.is_some(), is_rewarded, "{pixel:?}");
    }
}

#[test]
fn keys_go_from_model_to_model_and_from_lens_to_map() {
    let (_root, mut window) = untrained();
    let view = |window: &Harness<'_, App>| window.state().state.lens.view;
    let on = |shows| View {
        role: Some(ModelRole::Before),
        shows,
    };
    assert_eq!(view(&window), on(Shows::Lens));
    key(&mut window, Key::L);
    assert_eq!(view(&window), on(Shows::Map));
    window.get_by_label_contains("Overlay: turbo");
    key(&mut window, Key::M);
    assert_eq!(view(&window).role, None);
    assert!(window.state().state.lens.model().is_none());
    window.get_by_label("Show the lens");
    key(&mut window, Key::M);
    assert_eq!(view(&window), on(Shows::Map));
    window.get_by_label("Off").click();
    settle(&mut window);
    assert_eq!(view(&window).role, None);
    window.get_by_label("Show the lens").click();
    settle(&mut window);
    assert_eq!(view(&window), on(Shows::Lens));
    // Another image is asked about while the one before is not answered yet.
    key(&mut window, Key::ArrowRight);
    key(&mut window, Key::ArrowRight);
    seen(&mut window);
    window.get_by_label_contains("an untrained network");
}

/// A project with boxes whose run has ended.
fn trained() -> (TempDir, Harness<'static, App>) {
    let (root, dir) = suggested::project();
    let mut project = Project::open(&dir).unwrap();
    let images: Vec<_> = project.images().iter().map(|it| (it.id, it.part)).collect();
    let lesion = BoundingBox::new(30.0, 20.0, 62.0, 44.0).unwrap();
    for (image, part) in images {
        if part == Part::Train {
            let annotation = project.new_box(image, lesion);
            project.apply(Edit::AddBox { annotation }).unwrap();
        }
    }
    drop(project);
    let mut window = window(Some(&dir));
    send(&mut window, Command::SetDraft(settings()));
    send(&mut window, Command::Action(Action::Train));
    wait_for(&mut window, "the end", |app| !app.state.is_training());
    (root, window)
}

/// With CARE's attention on the image in hand.
fn show_care(window: &mut Harness<'_, App>, shows: Shows) {
    let role = Some(ModelRole::Care);
    send(window, Command::SetLens(View { role, shows }));
    seen(window);
    settle(window);
}

#[test]
fn the_old_reading_stays_until_a_new_checkpoint_is_seen() {
    let (_root, mut window) = trained();
    send(&mut window, Command::Go(Room::Annotate));
    show_care(&mut window, Shows::Lens);
    // As if it trained on.
    window.state_mut().state.run.as_mut().unwrap().phase = Phase::Training;
    let reading = |window: &Harness<'_, App>| {
        let state = &window.state().state;
        let project = state.project.as_ref().unwrap();
        let image = project.image(state.selected.unwrap()).unwrap();
        let seen = state.lens.seen(image).expect("a reading").as_ref();
        seen.expect("a map").clone()
    };
    let until = |window: &mut Harness<'_, App>, what: &dyn Fn(&Seen) -> bool| {
        let begun = Instant::now();
        while !what(&reading(window)) {
            assert!(begun.elapsed() < Duration::from_secs(30));
            window.step();
            assert!(has_term(window, "L"), "the lens is never empty");
            std::thread::sleep(Duration::from_millis(5));
        }
        window.step();
    };
    let is_training =
        |seen: &Seen| matches!(seen.of, Of::Run { training, .. } if training.is_some());
    assert!(!is_training(&reading(&window)));
    until(&mut window, &is_training);
    window.get_by_label_contains("in training, as saved ");

    let first = reading(&window);
    let state = &window.state().state;
    let folder = state.project.as_ref().unwrap().run_dir(run_id(&window));
    std::fs::copy(
        folder.join("before.safetensors"),
        folder.join("care.safetensors"),
    )
    .unwrap();
    until(&mut window, &|seen| seen.raw != first.raw);
    assert_ne!(reading(&window).of, first.of);
}

#[test]
fn the_card_in_train_follows_its_sliders_also_where_they_are_let_go() {
    let (_root, mut window) = trained();
    let project = window.state().state.project.as_ref().unwrap();
    let boxed = project.images().iter().find(|it| it.part == Part::Train);
    let boxed = boxed.unwrap().id;
    send(&mut window, Command::Select(boxed));
    send(&mut window, Command::Go(Room::Train));
    show_care(&mut window, Shows::Map);
    window.get_by_label_contains("On a scale of its own");
    show_care(&mut window, Shows::Lens);
    window.get_by_label("penalised");
    assert!(
        window
            .query_by_label_contains("On a scale of its own")
            .is_none()
    );

    let before = term(&window, "lambda L out");
    let rail = window.get_by_role_and_label(Role::Slider, "lambda").rect();
    let to = rail.left_center().lerp(rail.right_center(), 0.95);
    window.hover_at(to);
    window.step();
    button(&mut window, to, true);
    let under_the_hand = term(&window, "lambda L out");
    assert!(under_the_hand > before);
    button(&mut window, to, false);
    assert_eq!(term(&window, "lambda L out"), under_the_hand);
    settle(&mut window);
    assert_eq!(term(&window, "lambda L out"), under_the_hand);
    assert!(window.state().state.draft.live.lambda > 1.8);
}

#[test]
fn after_a_failed_first_run_the_untrained_network_is_not_that_run() {
    let (_root, dir) = suggested::project();
    let mut project = Project::open(&dir).unwrap();
    let (id, _) = project.begin_run().unwrap();
    let state = RunState::Failed;
    project.end_run(id, state, "no memory", &[]).unwrap();
    drop(project);
    let mut window = window(Some(&dir));
    send(&mut window, Command::SetDraft(settings()));
    send(&mut window, Command::Go(Room::Annotate));
    key(&mut window, Key::L);
    seen(&mut window);
    settle(&mut window);
    window.get_by_label_contains("Run 1 has no model that can be shown.");
    window
        .get_by_role_and_label(Role::RadioButton, "CARE")
        .hover();
    settle(&mut window);
    window.get_by_label("Appears once a run has saved it");
}

#[test]
fn each_model_of_a_run_is_asked_and_one_of_other_classes_says_so() {
    let (_root, mut window) = trained();
    send(&mut window, Command::Go(Room::Annotate));
    let show = |window: &mut Harness<'_, App>, role| {
        let shows = Shows::Lens;
        let view = View {
            role: Some(role),
            shows,
        };
        send(window, Command::SetLens(view));
        seen(window);
    };
    let mut losses = Vec::new();
    for (role, says) in [
        (ModelRole::Before, "the stage-1 model of run 1"),
        (ModelRole::Control, "the control of run 1"),
        (ModelRole::Care, "CARE of run 1"),
    ] {
        show(&mut window, role);
        window.get_by_label_contains(says);
        losses.push(term(&window, "L"));
    }
    assert!(losses.iter().any(|loss| *loss != losses[0]), "{losses:?}");
    // L, from the film's own map of the test part, for an image without a box.
    let state = &window.state().state;
    let run = state.run.as_ref().unwrap();
    let (_, seen_by_care) = run
        .test
        .iter()
        .find(|(role, _)| *role == ModelRole::Care)
        .unwrap();
    let tested = seen_by_care[0].clone();
    let project = state.project.as_ref().unwrap();
    let label = project
        .classes()
        .iter()
        .position(|class| Some(class.id) == project.image(tested.image).map(|image| image.class));
    let l_c = -f64::from(tested.probabilities[label.unwrap()]).ln();
    let alpha = state.draft.live.alpha;
    send(&mut window, Command::Select(tested.image));
    seen(&mut window);
    assert!(close(
        term(&window, "(1 \u{2212} alpha) L c"),
        (1.0 - alpha) * l_c
    ));
    window.get_by_label_contains("A held-out image");

    // As if the class had come after the run.
    let state = &window.state().state;
    let project = state.project.as_ref().unwrap();
    let id = project.image(state.selected.unwrap()).unwrap().class.0;
    let data = project.run_dir(run_id(&window)).join("data.json");
    rename_class(&data, id);
    show(&mut window, ModelRole::Before);
    window.get_by_label_contains("The class came after this run");
    assert!(!has_term(&window, "L"));
}

fn run_id(window: &Harness<'_, App>) -> care_data::RunId {
    window.state().state.run.as_ref().unwrap().id
}

fn rename_class(data: &Path, id: i64) {
    let text = std::fs::read_to_string(data).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for class in json["classes"].as_array_mut().unwrap() {
        if class["id"] == id {
            class["id"] = 77.into();
        }
    }
    std::fs::write(data, json.to_string()).unwrap();
}

#[test]
fn space_hides_the_lens_and_undo_still_works_under_it() {
    let (_root, mut window) = untrained();
    add_box(&mut window, [30.0, 20.0, 62.0, 44.0]);
    let before = term(&window, "L in");
    press(&mut window, Modifiers::COMMAND, Key::Z);
    assert!(!has_term(&window, "L in"));
    press(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    assert_eq!(term(&window, "L in"), before);
    let meshes = |window: &mut Harness<'_, App>| {
        settle(window);
        let shapes = &window.output().shapes;
        let is_mesh =
            |shape: &&egui::epaint::ClippedShape| matches!(shape.shape, egui::Shape::Mesh(_));
        shapes.iter().filter(is_mesh).count()
    };
    let shown = meshes(&mut window);
    window.key_down(Key::Space);
    let hidden = meshes(&mut window);
    window.key_up(Key::Space);
    assert_eq!(
        (shown - hidden, meshes(&mut window)),
        (2, shown),
        "inside and outside"
    );
}
