//! The command line from outside: the real program in a temporary folder.

use std::path::Path;
use std::process::{Command, Output};

use image::RgbImage;
use serde_json::Value;
use tempfile::TempDir;

fn care(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_care"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .output()
        .expect("the program starts")
}

/// What it printed, where it succeeded.
fn done(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The one line that says what went wrong, where it failed with this code.
#[track_caller]
fn failed(output: &Output, code: i32) -> String {
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

fn project_with_images() -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    images(folder.path());
    done(&care(folder.path(), &["new", "p.care"]));
    done(&care(
        folder.path(),
        &["import", "p.care", "images", "--rare", "bright"],
    ));
    folder
}

fn list(folder: &Path) -> Vec<Value> {
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
        (&["train", "p.care", "--set", "alhpa=1"], 2, "alhpa"),
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
    let open = care_data::Project::open(&folder.path().join("p.care")).expect("opens");
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

#[test]
fn a_short_run_ends_with_its_table_and_files() {
    let folder = project_with_images();
    for i in 0..12 {
        done(&care(
            folder.path(),
            &[
                "box",
                "p.care",
                &format!("bright {i}"),
                "--add",
                "5,5,20,20",
            ],
        ));
    }
    let set = [
        "input_size=56",
        "stage1_epochs=1",
        "stage2_epochs=1",
        "images_per_class=2",
    ];
    let mut arguments = vec!["train", "p.care", "--json"];
    arguments.extend(set.iter().flat_map(|set| ["--set", set]));
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
            folder.path().join("p.care/runs/0001").join(file).exists(),
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
