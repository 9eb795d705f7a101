use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use care_data::import::{BoxesFrom, ImportError, Options, read, read_listed};
use care_data::{BoundingBox, NotRead, Part, Project};
use dicom_dictionary_std::uids;

use crate::dicom::{file, of_patient};
use crate::{folder_of_classes, import, picture, reasons, save, test_data, write};

#[test]
fn the_first_folder_names_the_class() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    save(&root.join("nevus/deep/er/ä b.png"), 1);
    save(&root.join("Lentigo maligna/2.PNG"), 2);
    save(&root.join("loose.png"), 3);
    write(&root.join("nevus/.DS_Store"), "hidden");
    write(&root.join("nevus/scan list.xlsx"), "PK");
    write(
        &root.join("boxes.csv"),
        "image_id,x,y,width,height\nä b,-5,2,10,4\n2.PNG,100,0,5,5\n2,1,1,,\nelsewhere,0,0,1,1\n",
    );
    let (calls, highest) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let progress = |done, total| {
        assert_eq!(total, 4);
        calls.fetch_add(1, Ordering::Relaxed);
        highest.fetch_max(done, Ordering::Relaxed);
    };
    let found = read(
        root,
        &Options::default(),
        &progress,
        &AtomicBool::new(false),
    )
    .unwrap();
    assert_eq!((calls.into_inner(), highest.into_inner()), (4, 4));

    let images: Vec<_> = found
        .images
        .iter()
        .map(|i| {
            (
                i.class.as_str(),
                i.path.file_name().unwrap().to_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(images, [("Lentigo maligna", "2.PNG"), ("nevus", "ä b.png")]);
    let cut = BoundingBox::new(0.0, 2.0, 5.0, 6.0).unwrap();
    assert_eq!(found.images[1].boxes, [cut]);
    assert_eq!(
        reasons(&found.not_read),
        [
            ("loose.png".to_owned(), "It lies in no class folder."),
            (
                "scan list.xlsx".to_owned(),
                "Not an image: neither PNG, JPEG, TIFF, WebP nor DICOM."
            ),
            (
                "boxes.csv".to_owned(),
                "Line 3 gives 2 a box that is none, or lies outside of it."
            ),
            (
                "boxes.csv".to_owned(),
                "Line 4 gives 2 a box that is none, or lies outside of it."
            ),
        ]
    );
}

#[test]
fn bad_files_are_listed_and_the_rest_is_imported() {
    let root = tempfile::tempdir().unwrap();
    let class = root.path().join("rare");
    save(&class.join("whole.png"), 1);
    write(&class.join("empty.png"), "");
    write(&class.join("fake.jpg"), "not a picture at all");
    let whole = std::fs::read(class.join("whole.png")).unwrap();
    write(&class.join("cut off.png"), &whole[..whole.len() - 20]);
    picture(30, 30, 1).save(class.join("größe.jpg")).unwrap();
    let found = import(root.path(), &Options::default()).unwrap();
    assert_eq!(found.images.len(), 2);
    assert_eq!(
        reasons(&found.not_read),
        [
            (
                "cut off.png".to_owned(),
                "The file is cut off: its end is missing."
            ),
            ("empty.png".to_owned(), "The file is empty."),
            (
                "fake.jpg".to_owned(),
                "Not an image: neither PNG, JPEG, TIFF, WebP nor DICOM."
            ),
        ]
    );
}

#[test]
fn a_table_names_classes_and_groups() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for (shade, name) in ["a/I1.png", "b/I2.jpg", "b/I4.png", "other/I1.tif"]
        .iter()
        .enumerate()
    {
        save(&root.join(name), shade as u8);
    }
    let table = "\u{feff}lesion_id;image_id;dx\nL1;I1;nv\nL1;I2.jpg;nv\nL2;I3;mel\n;I2;df\n;;\n";
    write(&root.join("meta.csv"), table);
    for path in [root.to_owned(), root.join("meta.csv")] {
        let found = import(&path, &Options::default()).unwrap();
        let images: Vec<_> = found
            .images
            .iter()
            .map(|i| (i.class.as_str(), i.group.as_deref()))
            .collect();
        assert_eq!(images, [("nv", Some("L1")), ("nv", Some("L1"))]);
        assert_eq!(
            reasons(&found.not_read),
            [
                (
                    "meta.csv".to_owned(),
                    "Line 5 calls I2 df, an earlier one nv."
                ),
                ("meta.csv".to_owned(), "Line 6 names no image or no class."),
                (
                    "meta.csv".to_owned(),
                    "1 of its 3 images have no file, I3 for one."
                ),
                ("I4.png".to_owned(), "The table has no line for it."),
                (
                    "I1.tif".to_owned(),
                    "Another file of this name was read already."
                ),
            ]
        );
    }
    write(&root.join("second.csv"), table);
    assert!(matches!(
        import(root, &Options::default()),
        Err(ImportError::Unusable { .. })
    ));
}

#[test]
fn what_cannot_be_imported_at_all() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&root.join("empty/.hidden"), "");
    write(&root.join("no columns.csv"), "name,label\n1,2\n");
    folder_of_classes(&root.join("good"));
    write(&root.join("boxes.csv"), "image_id,x,y\n");
    for (path, boxes, part) in [
        ("nowhere", BoxesFrom::Found, "nowhere"),
        ("empty", BoxesFrom::Found, "There is no file in it."),
        (
            "no columns.csv",
            BoxesFrom::Found,
            "It has no column \"image_id\"",
        ),
        (
            "good",
            BoxesFrom::File(root.join("boxes.csv")),
            "It has no column \"width\".",
        ),
    ] {
        let options = Options {
            boxes,
            ..Options::default()
        };
        let error = import(&root.join(path), &options)
            .expect_err(path)
            .to_string();
        assert!(
            error.contains(part) && error.ends_with('.') && !error.contains('\n'),
            "{error}"
        );
    }
    let stopped = read(
        &root.join("good"),
        &Options::default(),
        &|_, _| (),
        &AtomicBool::new(true),
    );
    assert!(matches!(stopped, Err(ImportError::Stopped)));
}

#[test]
fn stopping_is_heard_before_anything_is_read() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("deep/er/.hidden"), "");
    let found = |stopped| {
        read(
            root.path(),
            &Options::default(),
            &|_, _| (),
            &AtomicBool::new(stopped),
        )
    };
    // The folder is found to be empty only after it was walked.
    assert!(matches!(found(false), Err(ImportError::Unusable { .. })));
    assert!(matches!(found(true), Err(ImportError::Stopped)));
}

#[test]
fn classes_of_one_image_and_of_none() {
    let root = tempfile::tempdir().unwrap();
    let images = root.path().join("images");
    folder_of_classes(&images);
    save(&images.join("single/1.png"), 99);
    write(&images.join("only hidden/.DS_Store"), "");
    std::fs::create_dir_all(images.join("empty/deep/er")).unwrap();
    let mut project = Project::create(&root.path().join("p.care")).unwrap();
    project
        .take_in(import(&images, &Options::default()).unwrap())
        .unwrap();
    let why = "There is no file in it, so it is no class.";
    assert_eq!(
        reasons(project.not_read()),
        [("empty".to_owned(), why), ("only hidden".to_owned(), why)]
    );
    let classes: Vec<_> = project.classes().iter().map(|c| c.name.as_str()).collect();
    assert_eq!(classes, ["common", "rare", "single"]);
    let single = project.images().last().unwrap();
    assert_eq!((single.name(), single.part), ("1", Part::Train));
}

#[test]
#[cfg(target_os = "linux")]
fn names_that_are_not_unicode() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let root = tempfile::tempdir().unwrap();
    let class = root.path().join("class");
    save(&class.join("good.png"), 1);
    let whole = std::fs::read(class.join("good.png")).unwrap();
    write(&class.join(OsStr::from_bytes(b"\xfe.png")), &whole);
    write(&root.path().join(OsStr::from_bytes(b"x\xff/1.png")), &whole);
    std::fs::create_dir(root.path().join(OsStr::from_bytes(b"y\xff"))).unwrap();
    let expected = [
        ("1.png", "Its name is not Unicode."),
        ("y\u{fffd}", "There is no file in it, so it is no class."),
        ("\u{fffd}.png", "Its name is not Unicode."),
    ];
    let check = |not_read: &[NotRead]| {
        let mut reasons = reasons(not_read);
        reasons.sort();
        assert_eq!(reasons, expected.map(|(name, why)| (name.to_owned(), why)));
    };
    let found = import(root.path(), &Options::default()).unwrap();
    assert_eq!(found.images.len(), 1);
    check(&found.not_read);
    let dir = root.path().join("p.care");
    Project::create(&dir).unwrap().take_in(found).unwrap();
    check(Project::open(&dir).unwrap().not_read());

    write(&root.path().join("table.csv"), "image_id,dx\ngood,nv\n");
    let found = import(root.path(), &Options::default()).unwrap();
    assert_eq!((found.images.len(), found.not_read.len()), (1, 2));
}

#[test]
fn a_box_for_a_name_that_two_images_have_goes_to_neither() {
    let root = tempfile::tempdir().unwrap();
    save(&root.path().join("a/1.png"), 1);
    save(&root.path().join("b/1.png"), 2);
    write(
        &root.path().join("boxes.csv"),
        "image_id,x,y,width,height\n1,0,0,3,3\n",
    );
    let found = import(root.path(), &Options::default()).unwrap();
    assert!(found.images.iter().all(|image| image.boxes.is_empty()));
    assert_eq!(
        found.not_read[0].why,
        "It has boxes for 1, and 2 images are called so."
    );
}

#[test]
fn all_of_ham10000_comes_in() {
    let Some(folder) = test_data("ham10000") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let mut project = Project::create(&root.path().join("ham.care")).unwrap();
    let start = Instant::now();
    let found = import(&folder, &Options::default()).unwrap();
    let read = start.elapsed();
    assert_eq!(found.not_read, []);
    let taken_in = project.take_in(found).unwrap();
    eprintln!(
        "10,015 images: read in {read:.1?}, with the project written {:.1?}",
        start.elapsed()
    );
    assert_eq!((taken_in.added, taken_in.already_there), (10_015, 0));

    let count = |class| {
        project
            .images()
            .iter()
            .filter(|image| image.class == class)
            .count()
    };
    let classes: Vec<_> = project
        .classes()
        .iter()
        .map(|class| (class.name.as_str(), count(class.id)))
        .collect();
    let expected = [
        ("nv", 6705),
        ("mel", 1113),
        ("bkl", 1099),
        ("bcc", 514),
        ("akiec", 327),
        ("vasc", 142),
        ("df", 115),
    ];
    assert_eq!(classes, expected);
    assert!(
        project
            .images()
            .iter()
            .all(|image| project.boxes(image.id).len() == 1)
    );
    let image = project
        .images()
        .iter()
        .find(|image| image.name() == "ISIC_0027419")
        .unwrap();
    assert_eq!(image.group, "HAM_0000118");
    let expected = BoundingBox::new(47.33, 11.67, 47.33 + 109.33, 11.67 + 130.67).unwrap();
    assert_eq!(project.boxes(image.id)[0].rect, expected);
    assert!(project.path_of(image).is_file());

    let dir = project.dir().to_owned();
    drop(project);
    let start = Instant::now();
    let project = Project::open(&dir).unwrap();
    eprintln!("opened in {:.0?}", start.elapsed());
    assert_eq!(project.images().len(), 10_015);
}

#[test]
fn a_class_can_be_limited_to_whole_groups() {
    let Some(folder) = test_data("ham10000") else {
        return;
    };
    let options = Options {
        per_class: Some(60),
        boxes: BoxesFrom::None,
        ..Options::default()
    };
    let found = import(&folder, &options).unwrap();
    let all = import(
        &folder,
        &Options {
            per_class: None,
            ..options.clone()
        },
    )
    .unwrap();
    let mut classes: HashMap<&str, usize> = HashMap::new();
    let mut groups: HashMap<_, usize> = HashMap::new();
    for image in &found.images {
        *classes.entry(&image.class).or_default() += 1;
        *groups.entry(&image.group).or_default() += 1;
    }
    assert_eq!(classes.len(), 7);
    assert!(
        classes.values().all(|n| (58..=60).contains(n)),
        "{classes:?}"
    );
    for (group, n) in groups {
        assert_eq!(
            all.images
                .iter()
                .filter(|image| image.group == *group)
                .count(),
            n
        );
    }
    assert_eq!(
        import(&folder, &options).unwrap(),
        found,
        "the same seed draws the same"
    );
}

/// What a table of images names: (class, path below the folder, boxes).
fn listed(table: &Path, boxes: &BoxesFrom) -> (Vec<(String, String, Vec<[f64; 4]>)>, Vec<NotRead>) {
    let found = read_listed(table, boxes, &|_, _| (), &AtomicBool::new(false)).unwrap();
    let folder = table.parent().unwrap().canonicalize().unwrap();
    let images = found.images.into_iter().map(|image| {
        let below = image.path.strip_prefix(&folder).unwrap();
        let boxes = image.boxes.iter().map(|rect| rect.xyxy()).collect();
        (image.class, below.to_string_lossy().into_owned(), boxes)
    });
    (images.collect(), found.not_read)
}

#[test]
fn a_named_table_speaks_of_its_own_lines_only() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for (i, name) in ["a/1", "b/1", "b/2", "b/deep/3", "b/unlisted"]
        .iter()
        .enumerate()
    {
        save(&root.join(format!("{name}.png")), i as u8);
    }
    write(&root.join("a/none.png"), "no picture");
    let table = root.join("held out.csv");
    write(
        &table,
        "path,label,x,y,width,height\n\
         a/1.png,nv,1,2,3,4\n\
         a/1.png,nv,5,5,30,3\n\
         b/1.png,df,,,,\n\
         ./b/1.png,mel,,,,\n\
         3,df,0,0,2,2\n\
         1,df,,,,\n\
         b/2.png,,,,,\n\
         a/none.png,nv,,,,\n\
         gone.png,nv,,,,\n",
    );
    let (images, not_read) = listed(&table, &BoxesFrom::None);
    let name = |class: &str, path: &str| (class.to_owned(), path.to_owned(), vec![]);
    let expected = [
        name("nv", "a/1.png"),
        name("df", "b/1.png"),
        name("df", "b/deep/3.png"),
    ];
    assert_eq!(images, expected);
    let reasons = reasons(&not_read);
    let whys: Vec<_> = reasons.iter().map(|(_, why)| *why).collect();
    for (i, part) in [
        "Line 5 calls ./b/1.png mel, an earlier one df",
        "Line 7 names 1, and several files are called so",
        "Line 8 names no image or no class",
        "1 of its lines have no file, gone.png",
        "Not an image",
    ]
    .iter()
    .enumerate()
    {
        assert!(whys[i].contains(part), "{whys:?}");
    }
    assert_eq!(whys.len(), 5);

    // Its own boxes; those of a table beside it where it has none; those of another.
    let other = root.join("other.csv");
    let header = "image_id,x,y,width,height";
    write(&other, format!("{header}\n3,1,1,1,1\n"));
    write(
        &root.join("boxes.csv"),
        format!("{header}\n3.png,2,2,1,1\n"),
    );
    let boxes_of_3 = |table: &Path, from| listed(table, &from).0.remove(2).2;
    assert_eq!(boxes_of_3(&table, BoxesFrom::Found), [[0.0, 0.0, 2.0, 2.0]]);
    assert_eq!(
        boxes_of_3(&table, BoxesFrom::File(other)),
        [[1.0, 1.0, 2.0, 2.0]]
    );
    let plain = root.join("plain.csv");
    write(&plain, "image,class\na/1.png,nv\nb/1.png,df\n3,df\n");
    assert_eq!(boxes_of_3(&plain, BoxesFrom::Found), [[2.0, 2.0, 3.0, 3.0]]);
    // Two images are called 1, so a table of boxes cannot tell them apart by that name.
    let (_, not_read) = listed(&table, &BoxesFrom::Found);
    assert!(
        not_read.iter().any(|file| file.why.contains("boxes for 1")),
        "{not_read:?}"
    );
    let mut latin_1 = b"image,class,x,y,width,height\n3,df,2,2,1,1\n".to_vec();
    latin_1.extend(b"\xfc,df,1,1,1,1\n".repeat(150));
    write(&plain, latin_1);
    let (images, not_read) = listed(&plain, &BoxesFrom::Found);
    let of_3 = vec![[2.0, 2.0, 3.0, 3.0]];
    assert_eq!(images, [("df".into(), "b/deep/3.png".into(), of_3)]);
    let [first, .., last] = &not_read[..] else {
        panic!("{not_read:?}")
    };
    assert_eq!(first.why, "Line 3 is not UTF-8.");
    assert_eq!(last.why, "So it is 50 times more.");
    write(&plain, "picture,class\n");
    let error = read_listed(
        &plain,
        &BoxesFrom::None,
        &|_, _| (),
        &AtomicBool::new(false),
    );
    assert!(error.unwrap_err().to_string().contains("\"image\""));
}

/// A DICOM file of a patient; `shade` makes it one of its own.
fn dicom(id: &str, shade: u16) -> Vec<u8> {
    file(&of_patient(id, shade), uids::EXPLICIT_VR_LITTLE_ENDIAN)
}

#[test]
fn folders_from_an_archive_come_in_and_nobody_is_named() {
    let root = tempfile::tempdir().unwrap();
    let images = root.path().join("images");
    // Two images of each patient, of two classes, called as archives call them.
    for i in 0..30_u16 {
        let id = format!("PLANTED-{}", i / 2);
        let class = ["normal", "pneumonia"][usize::from(i % 2)];
        write(
            &images.join(format!("{class}/DICOM/1.2.840.99.{i}")),
            dicom(&id, i),
        );
    }
    for (i, nobody) in ["", "  ", "ANONYMOUS", "0"].iter().enumerate() {
        write(
            &images.join(format!("normal/IM{i}")),
            dicom(nobody, 100 + i as u16),
        );
    }
    write(&images.join("DICOMDIR"), "whatever is in it");
    write(&images.join("normal/dicomdir"), "whatever is in it");
    let cut = dicom("PLANTED", 1);
    write(&images.join("normal/cut"), &cut[..cut.len() - 4]);

    let found = import(&images, &Options::default()).unwrap();
    assert!(!format!("{found:?}").contains("PLANTED"));
    let mut project = Project::create(&root.path().join("p.care")).unwrap();
    project.take_in(found).unwrap();
    let why = "The file is cut off: its end is missing.";
    assert_eq!(reasons(project.not_read()), [("cut".to_owned(), why)]);
    assert_eq!(project.images().len(), 34);

    let of = |project: &Project, name: &str| {
        let image = project.images().iter().find(|image| image.name() == name);
        image
            .map(|image| (image.group.clone(), image.part))
            .unwrap()
    };
    let mut groups = HashSet::new();
    for i in (0..30).step_by(2) {
        let (one, other) = (
            of(&project, &format!("1.2.840.99.{i}")),
            of(&project, &format!("1.2.840.99.{}", i + 1)),
        );
        assert_eq!(one, other, "one patient stands on one side");
        assert!(one.0.len() == 16 && one.0.bytes().all(|b| b.is_ascii_hexdigit()));
        groups.insert(one.0);
    }
    groups.extend((0..4).map(|i| of(&project, &format!("IM{i}")).0));
    assert_eq!(groups.len(), 15 + 4, "those that nobody knows stand alone");

    // Who comes again later joins their own.
    write(&images.join("normal/later"), dicom("PLANTED-3", 900));
    project
        .take_in(import(&images, &Options::default()).unwrap())
        .unwrap();
    assert_eq!(of(&project, "later"), of(&project, "1.2.840.99.6"));

    // Another project knows the same patient under another name.
    let mut other = Project::create(&root.path().join("q.care")).unwrap();
    other
        .take_in(import(&images, &Options::default()).unwrap())
        .unwrap();
    assert_ne!(of(&other, "later").0, of(&project, "later").0);

    let dir = project.dir().to_owned();
    drop(project);
    for entry in std::fs::read_dir(dir).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        for planted in ["PLANTED", "Planted", "19010203", "20010203"] {
            let is_there = bytes
                .windows(planted.len())
                .any(|it| it == planted.as_bytes());
            assert!(!is_there, "{planted} is in the project");
        }
    }
}

#[test]
fn a_table_knows_patients_better_than_their_files() {
    let root = tempfile::tempdir().unwrap();
    for i in 0..3 {
        write(
            &root.path().join(format!("deep/1.2.{i}.dcm")),
            dicom("P", i),
        );
    }
    // Neither does a lesion part a patient's images, nor is anybody's id kept.
    let table =
        "image_id,dx,patient_id,lesion_id\n1.2.0,nv,A,L0\n1.2.1,nv,,L1\n1.2.2.dcm,mel,,L2\n";
    write(&root.path().join("table.csv"), table);
    let mut project = Project::create(&root.path().join("p.care")).unwrap();
    project
        .take_in(import(root.path(), &Options::default()).unwrap())
        .unwrap();
    let groups: Vec<_> = project.images().iter().map(|i| i.group.as_str()).collect();
    assert!(groups[1] == groups[2], "{groups:?}");
    assert_ne!(groups[0], groups[1]);
    assert!(groups.iter().all(|group| group.len() == 16), "{groups:?}");
}
