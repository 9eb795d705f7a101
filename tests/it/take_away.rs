//! What is taken away of a run, from the window to the file.

use std::path::{Path, PathBuf};

use care_data::import::{Import, NewImage, PatientId};
use care_data::{
    BoundingBox, ContentHash, Edit, ImageSize, Orientation, Part, Project, RunState, SplitSpec,
};
use care_figures::figure::Theme;
use care_learn::run_folder::RunData;
use care_learn::task::TaskClass;
use care_learn::{FilmFrame, ModelRole};
use care_studio::app::App;
use care_studio::command::{Action, Command, Room};
use care_studio::take_away::What;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use tempfile::TempDir;

use crate::common::{send, settle, wait_for, window};
use crate::compare::finished_run;

/// Of which nothing may be found in what is taken away.
const SECRETS: [&str; 4] = ["Mueller", "PAT-4711", "visit-0815", "kept_here"];

/// The window in Compare over a finished run with a film; images and patients have names.
fn finished() -> (TempDir, PathBuf, Harness<'static, App>) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("kept_here");
    std::fs::create_dir(&dir).unwrap();
    let image = |file: &str, class: &str, i: u8| {
        let path = dir.join(format!("Mueller_{file}_{i:02}.png"));
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
            group: (i == 0).then(|| "visit-0815".to_owned()),
            patient: PatientId::new(format!("PAT-4711-{i}").as_bytes()),
            part: Some(Part::Test),
            boxes: vec![BoundingBox::new(8.0, 8.0, 40.0, 32.0).unwrap()],
        }
    };
    const RARE: &str = "<b>rare & odd</b>";
    let classes = [("nevus", "nevus"), ("rare", RARE)];
    let import = Import {
        images: classes
            .into_iter()
            .flat_map(|(file, class)| (0..6).map(move |i| (file, class, i)))
            .map(|(file, class, i)| image(file, class, i))
            .collect(),
        not_read: Vec::new(),
        split: SplitSpec::default(),
    };
    let mut project = Project::create(&dir.join("study.care")).unwrap();
    project.take_in(import).unwrap();
    let rare = project.classes().iter().find(|class| class.name == RARE);
    let class = rare.unwrap().id;
    project.apply(Edit::SetRare { class, rare: true }).unwrap();
    let (id, _) = project.begin_run().unwrap();
    project
        .end_run(id, RunState::Finished, "finished in 1 min", &[])
        .unwrap();
    let mut run = finished_run(&project, id, 6);
    run.watch = run.test[0].1.iter().take(2).map(|it| it.image).collect();
    let classes = project.classes().iter().map(|class| TaskClass {
        id: class.id,
        name: class.name.clone(),
        rare: class.rare,
    });
    run.data = Some(RunData {
        classes: classes.collect(),
        look: project.look(),
        stage1_of: None,
    });
    run.film = (0..3)
        .map(|step| FilmFrame {
            role: ModelRole::Care,
            step,
            epoch: step as f32,
            images: run.test[2].1[..2].to_vec(),
        })
        .collect();
    let mut window = window(None);
    let state = &mut window.state_mut().state;
    state.show(Some(project));
    state.run = Some(run);
    state.room = Room::Compare;
    settle(&mut window);
    let to = root.path().join("taken");
    std::fs::create_dir(&to).unwrap();
    (root, to, window)
}

/// Opens the sheet, has `choose` choose, writes, and returns the one thing that was written.
fn taken(
    window: &mut Harness<'_, App>,
    action: Action,
    to: &Path,
    choose: impl FnOnce(&mut Harness<'_, App>),
) -> PathBuf {
    let before: Vec<PathBuf> = listed(to);
    send(window, Command::Action(action));
    send(window, Command::TakeAwayInto(to.to_owned()));
    choose(window);
    window.get_by_label("Write").click();
    settle(window);
    wait_for(window, "the file", |app| app.state.job.is_none());
    let problem = &window.state().state.problem;
    assert_eq!(*problem, None, "{action:?}");
    assert!(
        window.state().state.take_away.is_none(),
        "the sheet is away"
    );
    let mut new = listed(to);
    new.retain(|path| !before.contains(path));
    let [path] = &new[..] else {
        panic!("{action:?}: {new:?}")
    };
    path.clone()
}

fn listed(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn click(window: &mut Harness<'_, App>, label: &str) {
    window.get_by_label(label).click();
    settle(window);
}

fn holds_no_secret(bytes: &[u8], what: &str) {
    let text = String::from_utf8_lossy(bytes);
    for secret in SECRETS {
        assert!(!text.contains(secret), "{what} says {secret}");
    }
}

#[test]
fn a_figure_of_chosen_images_and_models() {
    let (_root, to, mut window) = finished();
    let svg = taken(&mut window, Action::TakeFigure, &to, |window| {
        let draft = window.state().state.take_away.clone().unwrap();
        assert_eq!(draft.images.len(), 4);
        // The rare ones come first, of them the one with the least attention in its box.
        let labels = [
            "In the figure: Mueller_rare_05",
            "In the figure: Mueller_rare_04",
        ];
        for label in labels {
            click(window, label);
        }
        for label in ["SVG", "Dark", "control", "As in the paper", "1 column"] {
            click(window, label);
        }
        let draft = window.state().state.take_away.clone().unwrap();
        assert_eq!((draft.images.len(), draft.width), (2, 85.0));
        assert_eq!(draft.theme, Theme::Dark);
    });
    assert_eq!(svg.file_name().unwrap(), "study-run-1-figure.svg");
    let text = std::fs::read_to_string(&svg).unwrap();
    for says in [
        "width=\"85mm\"",
        ">before</text>",
        ">CARE</text>",
        "evenly",
        "&lt;b&gt;rare",
        "#111318",
    ] {
        assert!(text.contains(says), "{says}");
    }
    assert!(!text.contains(">control</text>"));
    holds_no_secret(text.as_bytes(), "the SVG");
    // With names only where they were asked for; nothing is ever replaced.
    let named = taken(&mut window, Action::TakeFigure, &to, |window| {
        click(window, "SVG");
        click(window, "Images\u{2019} file names");
    });
    assert_eq!(named.file_name().unwrap(), "study-run-1-figure-2.svg");
    assert!(std::fs::read_to_string(named).unwrap().contains("Mueller"));
    for (label, beginning) in [("PNG, 300 dpi", &b"\x89PNG"[..]), ("PDF", b"%PDF")] {
        let path = taken(&mut window, Action::TakeFigure, &to, |window| {
            click(window, label)
        });
        assert!(
            std::fs::read(path).unwrap().starts_with(beginning),
            "{label}"
        );
    }
}

#[test]
fn a_report_that_says_everything_and_gives_nobody_away() {
    let (_root, to, mut window) = finished();
    // From Compare's toolbar.
    click(&mut window, "Report");
    assert_eq!(
        window.state().state.take_away.as_ref().map(|it| it.what),
        Some(What::Report)
    );
    let path = taken(&mut window, Action::TakeReport, &to, |window| {
        // Asked for in a figure, never in a report.
        let mut draft = window.state().state.take_away.clone().unwrap();
        draft.with_names = true;
        send(window, Command::SetTakeAway(Box::new(draft)));
    });
    let page = std::fs::read_to_string(path).unwrap();
    for says in [
        "study, run 1",
        "Research only, not for diagnosis",
        "95 % interval",
        "alpha = 0.5",
        "Confusion, CARE",
        "&lt;b&gt;rare &amp; odd&lt;/b&gt;",
        "image 1",
        "<svg",
        "libtorch",
        "On test images of rare classes, CARE finds 6 of 6, the control 2 of 6: no detectable difference",
        "Only 6 test images of",
        "precision, mean of the classes",
        "Images of one patient or lesion stand in one part",
    ] {
        assert!(page.contains(says), "{says}");
    }
    assert!(!page.contains("<b>") && !page.contains("<script"));
    let without_names = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!without_names.contains("://"), "it opens offline");
    holds_no_secret(page.as_bytes(), "the report");
}

#[test]
fn what_the_run_learned_is_never_guessed() {
    let (_root, to, mut window) = finished();
    window.state_mut().state.run.as_mut().unwrap().data = None;
    send(&mut window, Command::Action(Action::TakeReport));
    send(&mut window, Command::TakeAwayInto(to.clone()));
    click(&mut window, "Write");
    wait_for(&mut window, "the job", |app| app.state.job.is_none());
    let problem = window.state().state.problem.clone().unwrap();
    assert!(
        format!("{problem:?}").contains("Which classes run 1 learned"),
        "{problem:?}"
    );
    assert_eq!(listed(&to), Vec::<PathBuf>::new());
}

#[test]
fn tables_as_files_in_a_folder() {
    let (_root, to, mut window) = finished();
    for (label, ending) in [("CSV", "csv"), ("Markdown", "md"), ("LaTeX", "tex")] {
        let folder = taken(&mut window, Action::TakeTables, &to, |window| {
            click(window, label)
        });
        let mut names: Vec<String> = listed(&folder)
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let expected = [
            "attention",
            "confusion-before",
            "confusion-care",
            "confusion-control",
            "results",
        ];
        let mut expected = expected.map(|name| format!("{name}.{ending}")).to_vec();
        expected.push("notes.md".to_owned());
        expected.sort();
        assert_eq!(names, expected);
        let notes = std::fs::read_to_string(folder.join("notes.md")).unwrap();
        for says in ["Only 6 test images of", "95 % bootstrap intervals"] {
            assert!(notes.contains(says), "{notes}");
        }
        for path in listed(&folder) {
            holds_no_secret(&std::fs::read(path).unwrap(), label);
        }
    }
    let results = std::fs::read_to_string(to.join("study-run-1-tables/results.csv")).unwrap();
    let mca = results
        .lines()
        .find(|line| line.starts_with("mean class accuracy"))
        .unwrap();
    let care = mca.split(',').nth(9).unwrap();
    assert_eq!(care, "1", "{results}");
}

#[test]
fn the_film_from_the_rooms_header() {
    let (_root, to, mut window) = finished();
    send(&mut window, Command::Go(Room::Train));
    click(&mut window, "Save film");
    let path = taken(&mut window, Action::TakeFilm, &to, |_| {});
    let bytes = std::fs::read(path).unwrap();
    assert!(bytes.starts_with(b"GIF89a"));
    let folder = taken(&mut window, Action::TakeFilm, &to, |window| {
        click(window, "PNG frames")
    });
    assert_eq!(listed(&folder).len(), 3);
}

#[test]
fn what_cannot_be_had_says_why_and_leaves_nothing() {
    let (_root, to, mut window) = finished();
    window.state_mut().state.run.as_mut().unwrap().film.clear();
    send(&mut window, Command::Action(Action::TakeFilm));
    window.get_by_label("The run has no film.");
    // The run's folder of this test has no weights.
    send(&mut window, Command::TakeAwayInto(to.clone()));
    click(&mut window, "Model");
    click(&mut window, "Write");
    wait_for(&mut window, "the job", |app| app.state.job.is_none());
    let problem = window.state().state.problem.clone().unwrap();
    assert_eq!(problem.title, "Nothing was written");
    assert_eq!(listed(&to), Vec::<PathBuf>::new());
}
