//! `care evaluate` and `care cam` from outside.

use std::fmt::Write as _;
use std::path::Path;

use care_data::{Edit, Part, Project};
use care_learn::backbone::Network;
use care_learn::config::BackboneKind;
use image::RgbImage;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{care, done, draw_boxes, failed, list, project_with_images, train_for};

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&done(&care(folder, arguments))).unwrap()
}

fn assert_close(a: &Value, b: &Value, what: &str) {
    let [a, b] = [a, b].map(|v| v.as_f64().unwrap_or_else(|| panic!("{what}: {v}")));
    assert!((a - b).abs() < 1e-4, "{what}: {a} and {b}");
}

/// One run, measured again from its weights, and its weights on their own.
#[test]
fn a_run_is_measured_again_and_its_weights_on_their_own() {
    let root = project_with_images();
    let folder = root.path();
    draw_boxes(folder);
    let mut train = train_for(1);
    train.extend(["--set", "normalisation=min-max", "--json"]);
    let results = json(folder, &train);

    let evaluate = ["evaluate", "p.care", "--run", "1", "--json"];
    let report = json(folder, &evaluate);
    for (i, model) in ["before", "control", "CARE"].iter().enumerate() {
        let (of_run, of_weights) = (&results["summaries"][i][1], &report["models"][i]);
        assert_eq!(of_weights["name"], *model);
        let measures = &of_weights["measures"];
        assert_eq!(measures["confusion"], of_run["confusion"], "{model}");
        for measure in [
            "rare_recall",
            "mca",
            "energy",
            "iou",
            "iou_all",
            "energy_all",
        ] {
            let [now, then] = [measures, of_run].map(|m| &m[measure]["value"]);
            assert_close(now, then, &format!("{model} {measure}"));
        }
        assert_close(
            &measures["aurocs"][0]["value"],
            &of_run["aurocs"][0]["value"],
            model,
        );
    }
    assert_eq!(report["rare_difference"], results["rare_difference"]);
    assert_eq!(report["iou_threshold"], 0.5);
    let test: Vec<Value> = list(folder)
        .into_iter()
        .filter(|image| image["split"] == "test")
        .collect();
    let images = report["images"].as_array().unwrap();
    assert_eq!(images.len(), test.len());
    for image in images {
        let scores = &image["scores"]["CARE"];
        assert_eq!(scores["right"], (scores["predicted"] == image["class"]));
        let [probability, energy, iou] = ["probability", "energy", "iou"].map(|name| {
            let share = scores[name].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&share), "{name} {image}");
            share
        });
        // Of two classes.
        assert_eq!(scores["right"], probability > 0.5, "{energy} {iou}");
        assert!(scores["hit"].is_boolean());
    }
    let table = done(&care(folder, &evaluate[..4]));
    assert!(
        table.starts_with(&format!("on {} images", images.len())),
        "{table}"
    );
    for row in [
        "recall bright",
        "precision bright",
        "IoU of F \u{2265} 0.5",
        "CARE against",
    ] {
        assert!(table.lines().any(|line| line.starts_with(row)), "{table}");
    }

    // The same weights and images without the project: a table with the boxes, a damaged image, one that is missing.
    std::fs::write(folder.join("broken.png"), "no picture").unwrap();
    let mut text = "image,class,x,y,width,height\nbroken.png,bright\ngone.png,bright\n".to_owned();
    for image in &test {
        let (path, class) = (&image["path"], &image["class"]);
        writeln!(
            text,
            "{},{},5,5,15,15",
            path.as_str().unwrap(),
            class.as_str().unwrap()
        )
        .unwrap();
    }
    std::fs::write(folder.join("test.csv"), &text).unwrap();
    let of_weights = [
        "evaluate",
        "--weights",
        "p.care/runs/0001/care.safetensors",
        "--backbone",
        "small_resnet",
        "--images",
        "test.csv",
        "--input",
        "56",
        "--set",
        "normalisation=min-max",
        "--rare",
        "bright",
    ];
    let on_their_own = json(folder, &[&of_weights[..], &["--json"]].concat());
    let [own, in_run] = [
        &on_their_own["models"][0]["measures"],
        &report["models"][2]["measures"],
    ];
    assert_eq!(own["confusion"], in_run["confusion"]);
    for measure in ["rare_recall", "energy", "pointing_hit", "iou"] {
        assert_close(&own[measure]["value"], &in_run[measure]["value"], measure);
    }
    assert_eq!(on_their_own["not_read"].as_array().unwrap().len(), 2);
    assert_eq!(on_their_own["models"][0]["name"], "care");
    // In another order each image has the other's name.
    let swapped = [
        &of_weights[..],
        &["--classes", "dark n\u{e6}vus,bright", "--json"],
    ]
    .concat();
    let swapped = json(folder, &swapped);
    let right = |report: &Value| {
        let images = report["images"].as_array().unwrap();
        let right = |image: &&Value| image["scores"]["care"]["right"] == true;
        (images.iter().filter(right).count(), images.len())
    };
    let ((straight, n), (crossed, _)) = (right(&on_their_own), right(&swapped));
    assert_eq!(straight + crossed, n);
    for (classes, code, says) in [
        (
            "bright,dark n\u{e6}vus,third",
            1,
            "is for 2 classes, and there are 3",
        ),
        ("bright,third", 1, "dark n\u{e6}vus"),
        ("bright,bright", 2, "twice"),
    ] {
        let arguments = [&of_weights[..], &["--classes", classes]].concat();
        let line = failed(&care(folder, &arguments), code);
        assert!(line.contains(says), "{line}");
    }

    // A class that came later is none of the models'.
    let third = folder.join("more/third");
    std::fs::create_dir_all(&third).unwrap();
    for i in 0..12u8 {
        let image = RgbImage::from_pixel(40, 30, image::Rgb([i, 120, 120]));
        image.save(third.join(format!("{i}.png"))).unwrap();
    }
    done(&care(folder, &["import", "p.care", "more"]));
    let later = care(folder, &evaluate);
    let said = String::from_utf8_lossy(&later.stderr).into_owned();
    assert!(
        said.contains("of third, a class that came after run 1"),
        "{said}"
    );
    let later: Value = serde_json::from_str(&done(&later)).unwrap();
    assert_eq!(later["models"], report["models"]);
    assert_eq!(later["classes"], report["classes"]);

    // Boxes count as they are now.
    let mut project = Project::open(&folder.join("p.care")).unwrap();
    let boxed: Vec<_> = project
        .images()
        .iter()
        .filter(|image| image.part == Part::Test)
        .flat_map(|image| project.boxes(image.id).iter().map(|b| b.id))
        .collect();
    for id in boxed {
        project.apply(Edit::RemoveBox { id }).unwrap();
    }
    drop(project);
    let without = json(folder, &evaluate);
    let measures = &without["models"][2]["measures"];
    assert!(
        measures["energy_all"].is_null() && measures["iou"].is_null(),
        "{measures}"
    );
    assert_eq!(measures["confusion"], in_run["confusion"]);
    let line = failed(&care(folder, &["evaluate", "p.care", "--run", "2"]), 1);
    assert!(line.contains("no run 2"), "{line}");
    std::fs::remove_file(folder.join("p.care/runs/0001/control.safetensors")).unwrap();
    let two = json(folder, &evaluate);
    assert_eq!(two["models"].as_array().unwrap().len(), 2);
    assert!(two["rare_difference"].is_null());
}

/// A picture with a bright patch, another of the same kind, and random weights for three classes.
fn pictures_and_weights() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, shift) in [("one.png", 0), ("two.jpg", 9)] {
        let image = RgbImage::from_fn(80, 50, |x, y| {
            let patch = (20..35).contains(&(x + shift)) && (10..30).contains(&y);
            image::Rgb([if patch { 250 } else { 40 }, (x * 3) as u8, (y * 5) as u8])
        });
        image.save(root.path().join(name)).unwrap();
    }
    let network = Network::new(BackboneKind::SmallResnet, 3, 1, tch::Device::Cpu);
    let weights = root.path().join("w.safetensors");
    std::fs::write(weights, network.to_bytes().unwrap()).unwrap();
    root
}

const CAM: [&str; 11] = [
    "cam",
    "one.png",
    "two.jpg",
    "--backbone",
    "small_resnet",
    "--weights",
    "w.safetensors",
    "--set",
    "normalisation=min-max",
    "--out",
    "maps",
];

/// The float32 values of a .npy file, and its shape as it stands in the header.
fn npy(path: &Path) -> (String, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    assert_eq!(end % 64, 0);
    let header = String::from_utf8_lossy(&bytes[10..end]).into_owned();
    let (values, rest) = bytes[end..].as_chunks::<4>();
    assert!(rest.is_empty());
    (
        header,
        values.iter().map(|v| f32::from_le_bytes(*v)).collect(),
    )
}

#[test]
fn maps_are_written_over_their_images_and_as_numbers() {
    let root = pictures_and_weights();
    let folder = root.path();
    let rows = json(
        folder,
        &[&CAM[..], &["--class", "2", "--npy", "--json"]].concat(),
    );
    assert_eq!(rows.as_array().unwrap().len(), 2);
    for (row, name) in rows.as_array().unwrap().iter().zip(["one.png", "two.jpg"]) {
        assert_eq!((&row["image"], &row["class"]), (&name.into(), &2.into()));
        let stem = folder.join("maps").join(name).with_extension("");
        let overlay = image::open(stem.with_extension("png")).unwrap().into_rgb8();
        let image = image::open(folder.join(name)).unwrap().into_rgb8();
        assert_eq!(overlay.dimensions(), (80, 50), "{name}");
        assert_ne!(overlay, image, "{name}");

        let (header, enlarged) = npy(&stem.with_extension("npy"));
        assert!(
            header.contains("'shape': (96, 96)") && header.contains("'<f4'"),
            "{header}"
        );
        let (header, grid) = npy(&stem.with_extension("grid.npy"));
        assert!(header.contains("'shape': (12, 12)"), "{header}");
        assert_eq!((enlarged.len(), grid.len()), (96 * 96, 144));
        assert!(grid.iter().all(|v| (0.0..=1.0).contains(v)));
        let peak = (0..96 * 96)
            .max_by(|a, b| enlarged[*a].total_cmp(&enlarged[*b]))
            .unwrap();
        let [x, y] =
            [(peak % 96, 80.0), (peak / 96, 50.0)].map(|(i, n)| (i as f64 + 0.5) / 96.0 * n);
        assert_close(&row["maximum"][0], &x.into(), name);
        assert_close(&row["maximum"][1], &y.into(), name);
        // Where attention is highest the overlay is turbo's red over 70 % of the image.
        let [red, green, blue] = overlay.get_pixel(x as u32, y as u32).0;
        assert!(red > green.max(blue), "{red} {green} {blue}");
    }
    // As torchvision cuts it: the middle of the longer side is left.
    let cut = [
        &CAM[..],
        &[
            "--class",
            "predicted",
            "--preprocess",
            "torchvision",
            "--json",
        ],
    ]
    .concat();
    let cut = json(folder, &cut);
    assert_eq!(cut[0]["class"], cut[0]["predicted"]);
    let overlay = image::open(folder.join("maps/one.png")).unwrap();
    assert_eq!((overlay.width(), overlay.height()), (96, 96));
    let table = done(&care(folder, &[&CAM[..], &["--class", "0"]].concat()));
    assert_eq!(table.lines().count(), 3, "{table}");
}

#[test]
fn what_has_no_map_is_refused_and_nothing_is_lost() {
    let root = pictures_and_weights();
    let folder = root.path();
    RgbImage::new(7, 40).save(folder.join("thin.png")).unwrap();
    std::fs::write(folder.join("not.png"), "no picture").unwrap();
    std::fs::create_dir(folder.join("more")).unwrap();
    std::fs::copy(folder.join("one.png"), folder.join("more/ONE.png")).unwrap();
    let picture = std::fs::read(folder.join("one.png")).unwrap();
    for (more, code, says) in [
        (&["--class", "3"][..], 1, "no class 3"),
        (&["--class", "0", "more/ONE.png"], 2, "both be written to"),
        (&["--class", "0", "--input", "40"], 2, "too small"),
        (&["--class", "0", "thin.png", "not.png"], 1, "2 of 4 images"),
    ] {
        let line = failed(&care(folder, &[&CAM[..], more].concat()), code);
        assert!(line.contains(says), "{more:?}: {line}");
    }
    assert!(
        folder.join("maps/one.png").exists(),
        "the readable ones are written"
    );
    assert!(!folder.join("maps/thin.png").exists());
    let mut arguments = CAM.to_vec();
    arguments[4] = "resnet18";
    let line = failed(
        &care(folder, &[&arguments[..], &["--class", "0"]].concat()),
        1,
    );
    assert!(line.contains("not for ResNet-18"), "{line}");
    arguments[4] = "small_resnet";
    arguments[10] = ".";
    let line = failed(
        &care(folder, &[&arguments[..], &["--class", "0"]].concat()),
        1,
    );
    assert!(line.contains("one.png is one of the images"), "{line}");
    assert_eq!(std::fs::read(folder.join("one.png")).unwrap(), picture);
}
