//! The command line from outside: the real program in a temporary folder.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use care_data::{BoundingBox, Edit, Project, RunState};
use image::RgbImage;
use serde_json::Value;
use tempfile::TempDir;

pub fn care(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_care"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .output()
        .expect("the program starts")
}

/// What it printed, where it succeeded.
pub fn done(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The one line that says what went wrong, where it failed with this code.
#[track_caller]
pub fn failed(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    let line = text.lines().last().unwrap_or_default().to_owned();
    assert!(line.starts_with("error: "), "{text}");
    line
}

/// Two classes of 12 small images, a dark and a bright one.
fn images(folder: &Path) {
    for (class, level) in [("dark nævus", 40u8), ("bright", 200)] {
        let dir = folder.join("images").join(class);
        std::fs::create_dir_all(&dir).expect("folder");
        for i in 0..12u8 {
            let image = RgbImage::from_fn(40, 30, |x, y| {
                image::Rgb([level, level.saturating_add(i), ((x + y) % 50) as u8])
            });
            image
                .save(dir.join(format!("{class} {i}.png")))
                .expect("image");
        }
    }
}

pub fn project_with_images() -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    images(folder.path());
    done(&care(
        folder.path(),
        &["import", "p.care", "images", "--rare", "bright"],
    ));
    folder
}

pub fn list(folder: &Path) -> Vec<Value> {
    serde_json::from_str(&done(&care(folder, &["list", "p.care", "--json"]))).expect("a JSON array")
}

#[test]
fn images_come_in_with_class_split_and_group() {
    let folder = project_with_images();
    let images = list(folder.path());
    assert_eq!(images.len(), 24);
    assert_eq!(
        images
            .iter()
            .filter(|i| i["class"] == "bright" && i["rare"] == true)
            .count(),
        12
    );
    assert!(images.iter().any(|i| i["split"] == "test"));
    assert!(
        images
            .iter()
            .all(|i| (i["width"] == 40) && (i["height"] == 30))
    );
    // Again brings nothing new.
    let again = done(&care(folder.path(), &["import", "p.care", "images"]));
    assert!(
        again.starts_with("0 images added, 24 already there"),
        "{again}"
    );
}

#[test]
fn a_dry_run_says_what_would_come_in_and_takes_in_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    images(folder.path());
    std::fs::write(folder.path().join("images/bright/notes.txt"), "see 2").expect("file");
    let output = care(folder.path(), &["import", "p.care", "images", "--dry-run"]);
    let told = done(&output);
    assert!(
        told.contains("class folders: 24 images with 0 boxes would come in, 1 not read"),
        "{told}"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("notes.txt"));
    let line = ["import", "p.care", "images", "--dry-run", "--json"];
    let report: Value = serde_json::from_str(&done(&care(folder.path(), &line))).expect("JSON");
    assert_eq!(report["format"], "folder");
    assert_eq!(
        report["classes"][1],
        serde_json::json!({"name": "dark nævus", "images": 12, "boxes": 0})
    );
    assert_eq!(
        report["not_read"][0]["why"],
        "Not an image: neither PNG, JPEG, TIFF, WebP nor DICOM."
    );
    assert_eq!(report["already_there"], 0);
    assert!(!folder.path().join("p.care").exists());

    let bright = folder.path().join("images/bright");
    done(&care(folder.path(), &["import", "p.care", "images"]));
    std::fs::rename(bright.join("bright 3.png"), bright.join("new.png")).expect("renames");
    let output = care(folder.path(), &["import", "p.care", "images", "--dry-run"]);
    let told = done(&output);
    assert!(
        told.contains("24 images with 0 boxes would come in, 23 of them already there, 1 not read"),
        "{told}"
    );
    let report: Value = serde_json::from_str(&done(&care(folder.path(), &line))).expect("JSON");
    assert_eq!(report["already_there"], 23);
}

#[test]
fn boxes_go_out_and_come_back() {
    let folder = project_with_images();
    let at = folder.path();
    done(&care(
        at,
        &[
            "box",
            "p.care",
            "bright 3",
            "--add",
            "1,2,30,20",
            "--add",
            "4.5,5,6,7",
        ],
    ));
    for (format, out, noted) in [
        ("coco", "boxes.json", ""),
        ("csv", "boxes.csv", ""),
        ("labelme", "labelme", ""),
        ("voc", "voc", "the edges of 1 box were rounded"),
        ("yolo", "yolo", "23 images without a box have no class"),
    ] {
        let line = ["export", "p.care", "--format", format, "--out", out];
        let output = care(at, &line);
        let told = done(&output);
        assert!(
            told.starts_with("24 images with 2 boxes written to"),
            "{told}"
        );
        let notes = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(notes.is_empty(), noted.is_empty(), "{notes}");
        assert!(notes.contains(noted), "{notes}");
        let refused = failed(&care(at, &line), 1);
        assert!(
            refused.contains("--force") && refused.contains("already there"),
            "{refused}"
        );
        done(&care(at, &[&line[..], &["--force"]].concat()));

        let project = format!("{format}.care");
        let images = if format == "yolo" { 1 } else { 24 };
        let told = done(&care(at, &["import", &project, out]));
        assert!(
            told.starts_with(&format!("{images} image")) && told.contains("2 boxes"),
            "{told}"
        );
        let listed = done(&care(at, &["list", &project, "--json"]));
        let listed: Vec<Value> = serde_json::from_str(&listed).expect("a JSON array");
        let image = listed
            .iter()
            .find(|it| it["name"] == "bright 3")
            .expect("the image");
        assert_eq!(image["class"], "bright");
        assert_eq!(
            image["boxes"][0]["xyxy"],
            serde_json::json!([1.0, 2.0, 30.0, 20.0])
        );
    }
    let wrong = failed(
        &care(at, &["import", "x.care", "boxes.json", "--format", "voc"]),
        1,
    );
    assert!(
        wrong.contains("It is COCO JSON, not Pascal VOC XML."),
        "{wrong}"
    );
    assert!(!at.join("x.care").exists());
}

#[test]
fn missing_images_are_listed_as_missing() {
    let folder = project_with_images();
    std::fs::remove_file(folder.path().join("images/bright/bright 3.png")).expect("removed");
    let images = list(folder.path());
    let missing: Vec<_> = images.iter().filter(|it| it["missing"] == true).collect();
    assert_eq!((images.len(), missing.len()), (24, 1));
    assert_eq!(missing[0]["name"], "bright 3");
    let told = done(&care(folder.path(), &["list", "p.care"]));
    assert_eq!(
        told.lines()
            .filter(|line| line.ends_with("missing"))
            .count(),
        1,
        "{told}"
    );
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_comes_in() {
    let folder = tempfile::tempdir().expect("folder");
    images(folder.path());
    let bright = folder.path().join("images/bright");
    std::fs::write(bright.join("empty.png"), b"").expect("file");
    std::fs::write(bright.join("fake.jpg"), b"this is no picture").expect("file");
    let whole = std::fs::read(bright.join("bright 0.png")).expect("file");
    std::fs::write(bright.join("cut off.png"), &whole[..whole.len() / 2]).expect("file");
    done(&care(folder.path(), &["new", "p.care"]));
    let output = care(folder.path(), &["import", "p.care", "images"]);
    assert!(done(&output).contains("24 images added"));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for name in ["empty.png", "fake.jpg", "cut off.png"] {
        assert_eq!(
            told.lines().filter(|line| line.contains(name)).count(),
            1,
            "{name} in {told}"
        );
    }
}

#[test]
fn boxes_are_added_shown_and_removed() {
    let folder = project_with_images();
    let added = done(&care(
        folder.path(),
        &[
            "box",
            "p.care",
            "bright 3",
            "--add",
            "1,2,30,20.5",
            "--add",
            "-5,0,9,9",
        ],
    ));
    assert_eq!(
        added, "1\t1,2,30,20.5\n2\t0,0,9,9\n",
        "clamped to the image"
    );
    let left = done(&care(
        folder.path(),
        &["box", "p.care", "bright 3", "--remove", "1"],
    ));
    assert_eq!(left, "2\t0,0,9,9\n");
    let image = list(folder.path())
        .into_iter()
        .find(|i| i["name"] == "bright 3")
        .expect("it is listed");
    assert_eq!(
        image["boxes"][0]["xyxy"],
        serde_json::json!([0.0, 0.0, 9.0, 9.0])
    );
}

#[test]
fn mistakes_are_one_line_and_a_code() {
    let folder = project_with_images();
    for (arguments, code, says) in [
        (&["list", "nowhere.care"][..], 1, "nowhere.care"),
        (&["new", "p.care"], 1, "p.care"),
        (&["new", "p"], 2, ".care"),
        (&["import", "p.care", "nowhere"], 1, "nowhere"),
        (
            &["import", "p.care", "images", "--rare", "blue"],
            1,
            "bright",
        ),
        (&["box", "p.care", "no such image"], 1, "no such image"),
        (
            &["box", "p.care", "bright 3", "--add", "50,50,60,60"],
            1,
            "40",
        ),
        (
            &["box", "p.care", "bright 3", "--add", "1,2,3"],
            2,
            "X0,Y0,X1,Y1",
        ),
        (&["train", "p.care"], 1, "box"),
        (
            &["train", "p.care", "--set", "alhpa=1"],
            2,
            "The nearest is alpha, which takes a number from 0 to 1",
        ),
        (&["demo"], 1, "care demo --headless"),
        (&["p.care"], 1, "care demo --headless"),
    ] {
        let line = failed(&care(folder.path(), arguments), code);
        assert!(line.contains(says), "{arguments:?} said: {line}");
    }
    assert_eq!(list(folder.path()).len(), 24, "nothing was lost");
}

#[test]
fn a_project_in_use_is_left_alone_but_can_be_listed() {
    let folder = project_with_images();
    let open = Project::open(&folder.path().join("p.care")).expect("opens");
    let line = failed(
        &care(
            folder.path(),
            &["box", "p.care", "bright 3", "--add", "1,1,5,5"],
        ),
        1,
    );
    assert!(line.contains("open in another"), "{line}");
    assert_eq!(list(folder.path()).len(), 24);
    drop(open);
    done(&care(
        folder.path(),
        &["box", "p.care", "bright 3", "--add", "1,1,5,5"],
    ));
}

pub fn draw_boxes(folder: &Path) {
    let mut project = Project::open(&folder.join("p.care")).expect("opens");
    let images: Vec<_> = project.images().iter().map(|image| image.id).collect();
    for image in images {
        let annotation = project.new_box(
            image,
            BoundingBox::new(5.0, 5.0, 20.0, 20.0).expect("a box"),
        );
        project.apply(Edit::AddBox { annotation }).expect("drawn");
    }
}

pub fn train_for(stage2_epochs: u32) -> Vec<&'static str> {
    let long = if stage2_epochs > 1 {
        "stage2_epochs=5000"
    } else {
        "stage2_epochs=1"
    };
    vec![
        "train",
        "p.care",
        "--set",
        "input_size=56",
        "--set",
        "stage1_epochs=1",
        "--set",
        long,
        "--set",
        "images_per_class=2",
    ]
}

#[test]
fn half_of_what_was_asked_for_is_not_done() {
    let folder = project_with_images();
    let line = failed(
        &care(
            folder.path(),
            &[
                "import", "q.care", "images", "--rare", "bright", "--rare", "blue",
            ],
        ),
        1,
    );
    assert!(line.contains("blue"), "{line}");
    assert!(!folder.path().join("q.care").exists());

    done(&care(
        folder.path(),
        &["box", "p.care", "bright 3", "--add", "1,2,30,20"],
    ));
    failed(
        &care(
            folder.path(),
            &[
                "box",
                "p.care",
                "bright 3",
                "--remove",
                "1",
                "--add",
                "90,90,99,99",
            ],
        ),
        1,
    );
    let left = done(&care(folder.path(), &["box", "p.care", "bright 3"]));
    assert_eq!(left, "1\t1,2,30,20\n");
}

#[test]
fn nobody_reads_what_it_says() {
    let folder = tempfile::tempdir().expect("folder");
    images(folder.path());
    std::fs::write(folder.path().join("images/bright/empty.png"), b"").expect("file");
    let mut child = Command::new(env!("CARGO_BIN_EXE_care"))
        .args(["import", "p.care", "images"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stderr.take());
    assert!(child.wait().expect("it ends").success());
    assert_eq!(list(folder.path()).len(), 24);
}

#[test]
fn every_command_explains_itself() {
    let folder = tempfile::tempdir().expect("folder");
    for command in [
        "new",
        "import",
        "export",
        "list",
        "box",
        "train",
        "evaluate",
        "cam",
        "figure",
        "tables",
        "film",
        "report",
        "export-model",
        "convert",
        "weights",
        "demo",
        "bench",
        "doctor",
        "completions",
        "man",
    ] {
        let help = done(&care(folder.path(), &[command, "--help"]));
        assert!(help.contains(&format!("Usage: care {command}")), "{help}");
        assert!(help.contains("Example"), "{help}");
    }
}

#[test]
fn what_a_shell_needs_is_written() {
    let folder = tempfile::tempdir().expect("folder");
    for (shell, says) in [
        ("bash", "_care"),
        ("zsh", "#compdef care"),
        ("fish", "-c care"),
    ] {
        let text = done(&care(folder.path(), &["completions", shell]));
        assert!(
            text.contains(says) && text.contains("export-model"),
            "{shell}"
        );
    }
    done(&care(folder.path(), &["man", "man1"]));
    let page = std::fs::read_to_string(folder.path().join("man1/care-train.1")).expect("a page");
    assert!(page.contains("resume"), "{page}");
}

#[test]
fn a_run_is_taken_away() {
    let folder = project_with_images();
    draw_boxes(folder.path());
    let mut train = train_for(1);
    train.push("--quiet");
    let output = care(folder.path(), &train);
    assert!(output.stderr.is_empty(), "{output:?}");
    assert!(done(&output).contains("on the test part"));
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).expect(name);
    let text = |name: &str| String::from_utf8_lossy(&bytes(name)).into_owned();

    done(&care(
        folder.path(),
        &["figure", "p.care", "--out", "f.png", "--width", "85"],
    ));
    let figure = image::load_from_memory(&bytes("f.png")).expect("a picture");
    // 85 mm at 300 dpi.
    assert!(figure.width().abs_diff(1004) <= 1, "{}", figure.width());
    let run = folder.path().join("p.care/runs/0001");
    let results = std::fs::read_to_string(run.join("results.json")).expect("results");
    let results: serde_json::Value = serde_json::from_str(&results).expect("JSON");
    assert!(results.is_object());
    let listed = list(folder.path());
    let test = listed
        .iter()
        .find(|image| image["split"] == "test")
        .expect("one");
    let name = test["name"].as_str().expect("a name");
    let line = [
        "figure", "p.care", "--images", name, "--names", "--models", "care", "--out",
    ];
    for out in ["f.svg", "f.pdf"] {
        done(&care(folder.path(), &[&line[..], &[out]].concat()));
    }
    let svg = text("f.svg");
    assert!(svg.contains(name) && svg.contains("CARE"), "{name}");
    assert!(!svg.contains(">control<") && !svg.contains(">Control<"));
    assert!(bytes("f.pdf").starts_with(b"%PDF"));

    done(&care(
        folder.path(),
        &["tables", "p.care", "--format", "latex", "--out", "t"],
    ));
    let tables = std::fs::read_dir(folder.path().join("t")).expect("a folder");
    assert!(tables.count() >= 2);
    done(&care(
        folder.path(),
        &["report", "p.care", "--run", "1", "--out", "r.html"],
    ));
    let report = text("r.html");
    assert!(
        report.contains("</html>") && !report.contains(name),
        "{name}"
    );
    done(&care(
        folder.path(),
        &["film", "p.care", "--out", "film.gif"],
    ));
    assert!(bytes("film.gif").starts_with(b"GIF89a"));
    done(&care(folder.path(), &["film", "p.care", "--out", "frames"]));
    assert!(folder.path().join("frames").is_dir());
    done(&care(
        folder.path(),
        &["export-model", "p.care", "--out", "m", "--model", "control"],
    ));
    assert!(text("m/card.md").contains("esearch only") && !bytes("m/model.pt").is_empty());

    for (line, says) in [
        (
            &["figure", "p.care", "--out", "f.png"][..],
            "is there already",
        ),
        (
            &["figure", "p.care", "--out", "g.png", "--images", "nobody"],
            "nobody",
        ),
        (
            &["report", "p.care", "--run", "7", "--out", "s.html"],
            "no run 7",
        ),
    ] {
        let line = failed(&care(folder.path(), line), 1);
        assert!(line.contains(says), "{line}");
    }
    let train_image = listed
        .iter()
        .find(|image| image["split"] == "train")
        .expect("one");
    let name = train_image["name"].as_str().expect("a name");
    let line = ["figure", "p.care", "--out", "g.png", "--images", name];
    assert!(failed(&care(folder.path(), &line), 1).contains("did not test"));
}

#[test]
fn a_run_says_where_its_figures_come_from() {
    let folder = project_with_images();
    draw_boxes(folder.path());
    let record = |run: u32| {
        let path = folder
            .path()
            .join(format!("p.care/runs/{run:04}/record.json"));
        let text = std::fs::read_to_string(path).expect("a record");
        let starts: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
        let [start] = &starts[..] else {
            panic!("{starts:?}")
        };
        start.clone()
    };
    done(&care(folder.path(), &train_for(1)));
    let line = ["box", "p.care", "bright 3", "--add", "1,1,9,9"];
    done(&care(folder.path(), &line));
    done(&care(folder.path(), &train_for(1)));
    let (first, second) = (record(1), record(2));
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    assert!(first["libtorch"].as_str().expect("text").starts_with("2."));
    assert_eq!(first["command"][1], "train");
    assert!(first["threads"].as_u64() >= Some(1) && first["device"].is_string());
    let hash = |start: &serde_json::Value, what: &str| {
        let hash = start["data"][what].as_str().expect("a hash").to_owned();
        assert_eq!(hash.len(), 64);
        hash
    };
    for (what, is_same) in [("images", true), ("split", true), ("boxes", false)] {
        assert_eq!(hash(&first, what) == hash(&second, what), is_same, "{what}");
    }
}

#[test]
fn settings_are_explained_in_a_file_that_can_be_trained_with() {
    let folder = project_with_images();
    let dry = ["train", "p.care", "--set", "alpha=0.25", "--dry-run"];
    let line = failed(&care(folder.path(), &dry), 1);
    assert!(line.contains("box"), "{line}");
    draw_boxes(folder.path());
    let text = done(&care(folder.path(), &dry));
    assert!(text.contains("\nalpha = 0.25\n"), "{text}");
    assert!(
        text.contains("Takes a number from 0 to 1. Default: 0.5\n"),
        "{text}"
    );
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, &text).expect("writes");
    let from_file = ["train", "p.care", "--config", "settings.toml", "--dry-run"];
    assert_eq!(done(&care(folder.path(), &from_file)), text);
    std::fs::write(&path, text.replace("alpha = 0.25", "alpha = 25")).expect("writes");
    let line = failed(&care(folder.path(), &from_file), 2);
    assert!(
        line.contains("settings.toml") && line.contains("alpha = 25 cannot be"),
        "{line}"
    );
    let project = Project::open(&folder.path().join("p.care")).expect("opens");
    assert!(project.runs().is_empty(), "nothing was trained");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_keeps_its_checkpoint() {
    let folder = project_with_images();
    draw_boxes(folder.path());
    let child = Command::new(env!("CARGO_BIN_EXE_care"))
        .args(train_for(5000))
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let run = folder.path().join("p.care/runs/0001");
    let begun = Instant::now();
    // Its first epoch has been written down: it is in the middle of training.
    while std::fs::read_to_string(run.join("epochs.csv")).map_or(0, |text| text.lines().count()) < 4
    {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
    let interrupt = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupt.expect("kill runs").success());
    let line = failed(&child.wait_with_output().expect("it ends"), 1);
    assert!(line.contains("--resume 1"), "{line}");
    assert!(run.join("care.safetensors").exists());
    let state = || {
        let project = Project::open(&folder.path().join("p.care")).expect("opens");
        project.runs()[0].state
    };
    assert_eq!(state(), RunState::Stopped);

    // Of what it was asked for, nearly nothing is left.
    let settings = std::fs::read_to_string(run.join("config.toml")).expect("settings");
    assert!(settings.contains("stage2_epochs = 5000"), "{settings}");
    let child = Command::new(env!("CARGO_BIN_EXE_care"))
        .args(["train", "p.care", "--resume", "1"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let epochs = || {
        let text = std::fs::read_to_string(run.join("epochs.csv"));
        text.map_or(0, |text| text.lines().count())
    };
    let (before, begun) = (epochs(), Instant::now());
    while epochs() < before + 4 {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
    let terminate = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(terminate.expect("kill runs").success());
    let line = failed(&child.wait_with_output().expect("it ends"), 1);
    assert!(line.contains("--resume 1"), "{line}");
    assert_eq!(state(), RunState::Stopped);
    let text = std::fs::read_to_string(run.join("steps.csv")).expect("steps");
    let of_care = text.lines().filter(|line| line.contains(",CARE,"));
    let steps: Vec<u32> = of_care
        .map(|line| {
            line.split(',')
                .next()
                .expect("a step")
                .parse()
                .expect("a number")
        })
        .collect();
    assert!(
        steps.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{steps:?}"
    );
}

#[test]
fn only_what_was_stopped_goes_on() {
    let folder = project_with_images();
    draw_boxes(folder.path());
    done(&care(folder.path(), &train_for(1)));
    for (run, why) in [("1", "came to its end"), ("2", "has no run 2")] {
        let line = failed(
            &care(folder.path(), &["train", "p.care", "--resume", run]),
            1,
        );
        assert!(line.contains(why), "{line}");
    }
    let both = ["train", "p.care", "--resume", "1", "--set", "alpha=0.3"];
    let output = care(folder.path(), &both);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_demo_reports_its_measures() {
    let folder = tempfile::tempdir().expect("folder");
    let arguments = [
        "demo",
        "--headless",
        "--json",
        "--seed",
        "7",
        "--set",
        "stage1_epochs=1",
        "--set",
        "stage2_epochs=1",
    ];
    let report: Value =
        serde_json::from_str(&done(&care(folder.path(), &arguments))).expect("JSON");
    assert_eq!(report["seed"], 7);
    assert!(
        report["seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0)
    );
    for model in ["stage1", "control", "care"] {
        for measure in ["rare_recall", "mca", "energy_in_box", "pointing_hit"] {
            let value = report[model][measure].as_f64();
            assert!(
                value.is_some_and(|value| (0.0..=1.0).contains(&value)),
                "{model} {measure} in {report}"
            );
        }
    }
}

#[test]
fn a_short_run_ends_with_its_table_and_files() {
    let folder = project_with_images();
    draw_boxes(folder.path());
    let mut arguments = train_for(1);
    let table = done(&care(folder.path(), &arguments));
    let header = table.lines().next().unwrap_or_default();
    let columns: Vec<&str> = header.split_whitespace().collect();
    assert_eq!(columns[4..], ["n", "before", "control", "CARE"], "{table}");
    for row in [
        "recall bright",
        "mca",
        "AUROC bright",
        "energy in the box",
        "IoU of F \u{2265} 0.5",
    ] {
        assert!(table.lines().any(|line| line.starts_with(row)), "{table}");
    }
    let config = std::fs::read_to_string(folder.path().join("p.care/runs/0001/config.toml"));
    assert!(
        config.expect("written").contains("learning_rate = 0.002"),
        "as the window begins"
    );

    arguments.push("--json");
    let results: Value =
        serde_json::from_str(&done(&care(folder.path(), &arguments))).expect("JSON");
    assert_eq!(results["summaries"].as_array().map(Vec::len), Some(3));
    for file in [
        "config.toml",
        "steps.csv",
        "epochs.csv",
        "results.json",
        "care.safetensors",
    ] {
        assert!(
            folder.path().join("p.care/runs/0002").join(file).exists(),
            "{file} is missing"
        );
    }
}

#[test]
fn doctor_names_what_there_is() {
    let folder = tempfile::tempdir().expect("folder");
    let report: Value =
        serde_json::from_str(&done(&care(folder.path(), &["doctor", "--json"]))).expect("JSON");
    assert_eq!(report["libtorch"], "2.11.0");
    assert!(Path::new(report["libtorch_path"].as_str().unwrap_or_default()).exists());
    assert_eq!(report["graphics"], "no display");
}
