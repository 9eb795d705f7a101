use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use care_data::export::{ExportError, Exported, Format, Options, export};
use care_data::import::{self, NewImage};
use care_data::{BoundingBox, ContentHash, ImageSize, Orientation, Part, Project, SplitSpec};
use proptest::prelude::*;

use crate::{import as import_all, picture, small_project, test_data};

fn options(format: Format) -> Options {
    Options {
        format,
        part: None,
        replace: false,
    }
}

fn name_of(format: Format) -> &'static str {
    match format {
        Format::Coco => "out.json",
        Format::Csv => "out.csv",
        _ => "out",
    }
}

/// A project in `root` of one picture for each list of boxes, of 61 x 37 pixels each.
fn project(root: &Path, boxes: &[(String, Vec<BoundingBox>)]) -> Project {
    let folder = root.join("images").canonicalize().unwrap_or_else(|_| {
        std::fs::create_dir_all(root.join("images/sub folder")).unwrap();
        root.join("images").canonicalize().unwrap()
    });
    let images = boxes.iter().enumerate().map(|(i, (class, boxes))| {
        let path = folder.join(if i % 2 == 0 {
            format!("{i}.png")
        } else {
            format!("sub folder/ü {i}.png")
        });
        picture(61, 37, i as u8).save(&path).unwrap();
        NewImage {
            hash: ContentHash::of(&std::fs::read(&path).unwrap()),
            path,
            size: ImageSize::new(61, 37),
            orientation: Orientation::default(),
            class: class.clone(),
            group: Some("Jane Doe".to_owned()),
            patient: None,
            part: None,
            boxes: boxes.clone(),
        }
    });
    let import = import::Import {
        images: images.collect(),
        not_read: Vec::new(),
        split: SplitSpec::default(),
    };
    let mut project = Project::create(&root.join("p.care")).unwrap();
    project.take_in(import).unwrap();
    project
}

type Known = BTreeMap<PathBuf, (String, Vec<[f64; 4]>)>;

fn known(project: &Project) -> Known {
    let of_image = |image: &care_data::Image| {
        let boxes = project
            .boxes(image.id)
            .iter()
            .map(|it| it.rect.xyxy())
            .collect();
        (
            project.path_of(image),
            (project.class(image.class).unwrap().name.clone(), boxes),
        )
    };
    project.images().iter().map(of_image).collect()
}

fn read_back(path: &Path) -> Known {
    let found = import_all(path, &import::Options::default()).unwrap();
    let of_image = |image: NewImage| {
        let boxes = image.boxes.iter().map(|rect| rect.xyxy()).collect();
        (image.path, (image.class, boxes))
    };
    found.images.into_iter().map(of_image).collect()
}

/// Boxes with edges on pixels, or anywhere in the image.
fn boxes(whole: bool) -> impl Strategy<Value = BoundingBox> {
    let edge = move |limit: f64| (0.0..limit).prop_map(move |v| if whole { v.round() } else { v });
    let sides = [edge(61.0), edge(37.0), edge(61.0), edge(37.0)];
    let size = ImageSize::new(61, 37);
    sides.prop_filter_map("no area", move |[a, b, c, d]| {
        BoundingBox::from_corners([a, b], [c, d], size).ok()
    })
}

fn sets(whole: bool) -> impl Strategy<Value = Vec<(String, Vec<BoundingBox>)>> {
    let class = prop::sample::select(vec!["nv", "a & b <c>", "\"mel\", early: 1", "0", "Größe"]);
    let image = (
        class.prop_map(str::to_owned),
        prop::collection::vec(boxes(whole), 0..4),
    );
    prop::collection::vec(image, 1..5)
}

/// How far an edge may come back from where it was.
fn precision(format: Format) -> f64 {
    match format {
        Format::Labelme => 0.0,
        // x + (x1 - x) is x1 but for the last bit.
        Format::Coco | Format::Csv => 1e-12,
        // What comes so near to a pixel's edge lies on it.
        Format::Yolo => 1.001e-3,
        // To the nearest pixel, or to the one that a box lies in.
        Format::Voc => 1.0,
    }
}

fn check_round_trips(set: &[(String, Vec<BoundingBox>)], whole: bool) -> Result<(), TestCaseError> {
    let root = tempfile::tempdir().unwrap();
    let project = project(root.path(), set);
    let expected = known(&project);
    for format in Format::ALL {
        // Not in the project's own folder, and not in that of the images.
        let out = root.path().join("exports").join(format.name());
        std::fs::create_dir_all(&out).unwrap();
        let out = out.join(name_of(format));
        let exported = export(&project, &out, options(format)).unwrap();
        prop_assert_eq!(exported.images, set.len());
        prop_assert!(!whole || exported.rounded == 0);
        let mut expected = expected.clone();
        if format == Format::Yolo {
            expected.retain(|_, (_, boxes)| !boxes.is_empty());
            prop_assert_eq!(exported.without_class, set.len() - expected.len());
            if expected.is_empty() {
                continue;
            }
        }
        let back = read_back(&out);
        let names = |known: &Known| {
            known
                .iter()
                .map(|(path, (class, boxes))| (path.clone(), class.clone(), boxes.len()))
                .collect::<Vec<_>>()
        };
        prop_assert_eq!(names(&back), names(&expected), "{:?}", format);
        for (path, (_, boxes)) in &expected {
            let distance = boxes
                .iter()
                .flatten()
                .zip(back[path].1.iter().flatten())
                .map(|(a, b)| (a - b).abs());
            let worst = distance.fold(0.0, f64::max);
            let allowed = if whole { 0.0 } else { precision(format) };
            prop_assert!(
                worst <= allowed,
                "{:?}: {} in {:?} and {:?}",
                format,
                worst,
                boxes,
                back[path]
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whole_boxes_come_back_exactly(set in sets(true)) {
        check_round_trips(&set, true)?;
    }

    #[test]
    fn fractional_boxes_come_back_as_the_format_can(set in sets(false)) {
        check_round_trips(&set, false)?;
    }
}

/// All files below a folder, with what is in them; links as where they lead.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for entry in walkdir(folder) {
        let bytes = match std::fs::read_link(&entry) {
            Ok(to) => to.to_string_lossy().into_owned().into_bytes(),
            Err(_) => std::fs::read(&entry).unwrap(),
        };
        contents.insert(entry, bytes);
    }
    contents
}

fn walkdir(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(walkdir(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

#[test]
fn what_is_there_stays_unless_it_is_an_export_that_may_go() {
    let root = tempfile::tempdir().unwrap();
    let rect = BoundingBox::new(1.0, 2.0, 3.0, 4.0).unwrap();
    let set = [("nv".to_owned(), vec![rect]), ("df".to_owned(), vec![])];
    let project = project(root.path(), &set);
    let out = root.path().join("exports");
    std::fs::create_dir_all(&out).unwrap();
    for format in Format::ALL {
        let path = out.join(name_of(format));
        let with = |replace| {
            export(
                &project,
                &path,
                Options {
                    replace,
                    ..options(format)
                },
            )
        };
        let expected = Exported {
            images: 2,
            boxes: 1,
            rounded: 0,
            without_class: usize::from(format == Format::Yolo),
        };
        assert_eq!(with(false).unwrap(), expected, "{format:?}");
        let written = contents(&out);
        assert!(matches!(with(false), Err(ExportError::Exists { .. })));
        assert_eq!(contents(&out), written);
        // Replaced, nothing else is left and the same is written.
        assert_eq!(with(true).unwrap(), expected);
        assert_eq!(contents(&out), written, "{format:?}");
        if path.is_dir() {
            std::fs::write(path.join("thesis.docx"), "years").unwrap();
            let refused = with(true).unwrap_err();
            assert!(
                matches!(refused, ExportError::NotAnExport { .. }),
                "{refused}"
            );
            assert!(path.join("thesis.docx").is_file());
            std::fs::remove_dir_all(&path).unwrap();
            std::fs::write(&path, "a file").unwrap();
            assert!(matches!(with(true), Err(ExportError::Exists { .. })));
            std::fs::remove_file(&path).unwrap();
        }
    }
    for path in ["nowhere/x.json", "exports/.."] {
        let path = root.path().join(path);
        assert!(export(&project, &path, options(Format::Coco)).is_err());
    }
    #[cfg(unix)]
    assert!(
        root.path().join("images/0.png").is_file(),
        "a replaced link is not followed"
    );
}

#[test]
fn nothing_of_patients_goes_along() {
    let root = tempfile::tempdir().unwrap();
    let rect = BoundingBox::new(1.0, 2.0, 3.0, 4.0).unwrap();
    let project = project(root.path(), &[("nv".to_owned(), vec![rect])]);
    assert_eq!(project.images()[0].group, "Jane Doe");
    let out = root.path().join("exports");
    std::fs::create_dir_all(&out).unwrap();
    for format in Format::ALL {
        export(&project, &out.join(format.name()), options(format)).unwrap();
    }
    let written = contents(&out);
    assert!(written.len() >= 9, "{:?}", written.keys());
    for (path, bytes) in written {
        let holds = |name: &[u8]| bytes.windows(name.len()).any(|w| w == name);
        assert!(!holds(b"Jane") && !holds(b"Doe"), "{}", path.display());
    }
}

#[test]
fn a_part_of_the_split_alone() {
    let (root, project) = small_project();
    let all = |part| project.images().iter().filter(|it| it.part == part).count();
    for part in Part::ALL {
        let path = root.path().join(format!("{}.csv", part.name()));
        let result = export(
            &project,
            &path,
            Options {
                part: Some(part),
                ..options(Format::Csv)
            },
        );
        match (all(part), result) {
            (0, Err(ExportError::Nothing { .. })) => assert!(!path.exists()),
            (n, Ok(exported)) => {
                assert_eq!(exported.images, n);
                let lines = std::fs::read_to_string(path).unwrap();
                assert_eq!(lines.lines().count(), n + 1);
                assert!(lines.lines().skip(1).all(|line| line.contains(part.name())));
            }
            (n, other) => panic!("{n} images: {other:?}"),
        }
    }
}

#[test]
fn images_that_differ_in_their_ending_only() {
    let root = tempfile::tempdir().unwrap();
    let class = root.path().join("images/nv");
    std::fs::create_dir_all(&class).unwrap();
    picture(20, 10, 1).save(class.join("1.png")).unwrap();
    picture(20, 10, 2).save(class.join("1.jpg")).unwrap();
    let mut project = Project::create(&root.path().join("p.care")).unwrap();
    project
        .take_in(import_all(&root.path().join("images"), &import::Options::default()).unwrap())
        .unwrap();
    let voc = root.path().join("voc");
    export(&project, &voc, options(Format::Voc)).unwrap();
    assert_eq!(read_back(&voc), known(&project));
    let refused = export(&project, &root.path().join("yolo"), options(Format::Yolo)).unwrap_err();
    assert!(matches!(refused, ExportError::SameName { .. }), "{refused}");
    let left: Vec<_> = std::fs::read_dir(root.path())
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn ham10000_goes_out_and_comes_back() {
    let Some(folder) = test_data("ham10000") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let mut project = Project::create(&root.path().join("ham.care")).unwrap();
    project
        .take_in(import_all(&folder, &import::Options::default()).unwrap())
        .unwrap();
    let expected = known(&project);
    for format in Format::ALL {
        let out = root.path().join(name_of(format));
        let start = Instant::now();
        let exported = export(&project, &out, options(format)).unwrap();
        let written = start.elapsed();
        let start = Instant::now();
        let back = read_back(&out);
        eprintln!(
            "{format:?}: written in {written:.2?}, read back in {:.2?}, {exported:?}",
            start.elapsed()
        );
        assert_eq!(back.len(), 10_015, "{format:?}");
        for (path, (class, boxes)) in &expected {
            let (back_class, back_boxes) = &back[path];
            assert_eq!(
                (class, boxes.len()),
                (back_class, back_boxes.len()),
                "{format:?}: {}",
                path.display()
            );
            let distance = boxes
                .iter()
                .flatten()
                .zip(back_boxes.iter().flatten())
                .map(|(a, b)| (a - b).abs());
            let worst = distance.fold(0.0, f64::max);
            assert!(
                worst <= precision(format),
                "{format:?}: {worst} in {}",
                path.display()
            );
        }
        if out.is_dir() {
            std::fs::remove_dir_all(&out).unwrap();
        } else {
            std::fs::remove_file(&out).unwrap();
        }
    }
}
