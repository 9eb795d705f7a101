use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use care_data::import::{Import, NewImage, Options};
use care_data::{
    Annotation, BoundingBox, BoxId, ClassId, ContentHash, Edit, Image, ImageId, ImageSize, Metric,
    Orientation, Project, ProjectError, Reader, ReaderId, ReviewState, RunState, SplitSpec,
    TakenIn,
};
use rusqlite::Connection;

use crate::{
    again, folder_of_classes, given_dir, import, picture, reasons, save, skipped, small_project,
};

fn database(dir: &Path) -> Connection {
    Connection::open(dir.join("project.sqlite")).unwrap()
}

/// Every file of a folder but the lock, with its bytes.
fn bytes(dir: &Path) -> BTreeMap<std::ffi::OsString, Vec<u8>> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    files
        .filter(|file| file.file_name() != "lock")
        .map(|file| (file.file_name(), std::fs::read(file.path()).unwrap()))
        .collect()
}

#[test]
fn a_new_project_is_empty_and_there_once() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("deep/derm 2018 ü.care");
    let project = Project::create(&dir).unwrap();
    assert_eq!(
        (project.name(), project.images().len(), project.revision()),
        ("derm 2018 ü", 0, 0)
    );
    assert!(matches!(
        Project::create(&dir),
        Err(ProjectError::Exists { .. })
    ));
    drop(project);
    assert!(matches!(
        Project::create(&dir),
        Err(ProjectError::Exists { .. })
    ));
    assert_eq!(Project::open(&dir).unwrap().classes(), []);
    std::fs::write(root.path().join("file.care"), "").unwrap();
    assert!(matches!(
        Project::create(&root.path().join("file.care")),
        Err(ProjectError::Exists { .. })
    ));
}

#[test]
fn an_import_is_taken_in_once() {
    let (root, mut project) = small_project();
    let names: Vec<_> = project
        .classes()
        .iter()
        .map(|class| (class.name.as_str(), class.color))
        .collect();
    assert_eq!(names, [("common", 0), ("rare", 1)], "the largest first");
    assert_eq!(project.images()[0].path, "../images/common/a.png");
    assert!(project.path_of(&project.images()[0]).is_file());

    let images = root.path().join("images");
    let mut again = import(&images, &Options::default()).unwrap();
    again.images[0]
        .boxes
        .push(BoundingBox::new(0.0, 0.0, 2.0, 2.0).unwrap());
    let before = project.images().to_vec();
    let taken_in = project.take_in(again).unwrap();
    assert_eq!((taken_in.added, taken_in.already_there), (0, 6));
    assert_eq!(project.images(), before);
    assert_eq!(taken_in.boxes, 1, "nobody had touched that image");

    // Moved: found again. Copied into another class: a question for a person.
    std::fs::rename(images.join("common/a.png"), images.join("common/moved.png")).unwrap();
    std::fs::copy(images.join("common/b.png"), images.join("rare/b.png")).unwrap();
    save(&images.join("new/n.png"), 99);
    let taken_in = project
        .take_in(import(&images, &Options::default()).unwrap())
        .unwrap();
    assert_eq!((taken_in.added, taken_in.already_there), (1, 7));
    assert_eq!(project.images()[0].path, "../images/common/moved.png");
    assert_eq!(project.classes()[2].name, "new");
    assert_eq!(
        project.not_read()[0].why,
        "The same picture as ../images/common/b.png, which is of the class common."
    );

    let dir = project.dir().to_owned();
    let (images, not_read) = (project.images().to_vec(), project.not_read().to_vec());
    drop(project);
    let project = Project::open(&dir).unwrap();
    assert_eq!(
        (project.images(), project.not_read()),
        (&*images, &*not_read)
    );
}

/// A second import after `change`: the project, each image's file name (with a question mark where another picture or
/// none is there), and what was taken in. Every image keeps its row and its box.
fn again_after(change: &dyn Fn(&Path)) -> (Project, Vec<String>, TakenIn) {
    let (root, mut project) = small_project();
    let images = root.path().join("images");
    for (image, rect) in project.images().to_vec().iter().zip(1..) {
        let rect = BoundingBox::new(0.0, 0.0, f64::from(rect), 1.0).unwrap();
        let annotation = project.new_box(image.id, rect);
        project.apply(Edit::AddBox { annotation }).unwrap();
    }
    let before = project.images().to_vec();
    change(&images);
    let taken_in = project
        .take_in(import(&images, &Options::default()).unwrap())
        .unwrap();
    for (image, old) in project.images().iter().zip(&before) {
        let moved = Image {
            path: image.path.clone(),
            ..old.clone()
        };
        assert_eq!(*image, moved, "nothing but the path changes");
        assert_eq!(project.boxes(image.id).len(), 1);
    }
    let dir = project.dir().to_owned();
    let images = project.images().to_vec();
    drop(project);
    let project = Project::open(&dir).unwrap();
    assert_eq!(project.images(), images, "what is held is what is on disk");
    let shown = images.iter().map(|image| {
        let known = std::fs::read(project.path_of(image))
            .is_ok_and(|bytes| ContentHash::of(&bytes) == image.hash);
        format!("{}{}", image.name(), if known { "" } else { "?" })
    });
    let shown = shown.collect();
    (project, shown, taken_in)
}

#[test]
fn an_image_is_known_by_its_content() {
    let rename = |images: &Path, from: &str, to: &str| {
        let at = |name: &str| images.join(format!("common/{name}.png"));
        std::fs::rename(at(from), at(to)).unwrap();
    };
    let content_changed =
        "Its content has changed since it was imported; the project keeps what it knew of it.";
    let cases: [(&str, &dyn Fn(&Path), &str, [usize; 2], Vec<(&str, &str)>); 8] = [
        ("nothing", &|_| (), "a b c d e f", [0, 6], vec![]),
        (
            "shifted",
            &|images| {
                rename(images, "b", "z");
                rename(images, "a", "b");
            },
            "b z c d e f",
            [0, 6],
            vec![],
        ),
        (
            "swapped",
            &|images| {
                rename(images, "a", "z");
                rename(images, "b", "a");
                rename(images, "z", "b");
            },
            "b a c d e f",
            [0, 6],
            vec![],
        ),
        (
            "a new one where another moved away",
            &|images| {
                rename(images, "a", "z");
                save(&images.join("common/a.png"), 99);
            },
            "z b c d e f a",
            [1, 6],
            vec![],
        ),
        (
            "replaced in place",
            &|images| {
                picture(40, 30, 99)
                    .save(images.join("common/a.png"))
                    .unwrap()
            },
            "a? b c d e f",
            [0, 5],
            vec![("a.png", content_changed)],
        ),
        (
            "replaced by one that is still there too",
            &|images| {
                std::fs::copy(images.join("common/b.png"), images.join("common/a.png")).unwrap();
            },
            "a? b c d e f",
            [0, 5],
            vec![("a.png", content_changed)],
        ),
        (
            "moved where one was that is gone",
            &|images| rename(images, "a", "b"),
            "a? b? c d e f",
            [0, 4],
            vec![("b.png", content_changed)],
        ),
        (
            "and a copy of it beside it",
            &|images| {
                std::fs::copy(images.join("common/a.png"), images.join("common/z.png")).unwrap();
                rename(images, "a", "b");
            },
            "z b? c d e f",
            [0, 5],
            vec![("b.png", content_changed)],
        ),
    ];
    for (what, change, expected, counts, not_read) in cases {
        let (project, shown, taken_in) = again_after(change);
        assert_eq!(shown.join(" "), expected, "{what}");
        assert_eq!([taken_in.added, taken_in.already_there], counts, "{what}");
        let not_read: Vec<_> = not_read
            .into_iter()
            .map(|(name, why)| (name.to_owned(), why))
            .collect();
        assert_eq!(reasons(project.not_read()), not_read, "{what}");
        let mut groups: Vec<_> = project.images().iter().map(|image| &image.group).collect();
        groups.sort();
        groups.dedup();
        assert_eq!(groups.len(), project.images().len(), "{what}");
    }
}

#[test]
fn a_picture_that_an_import_holds_twice_is_one_patients() {
    let root = tempfile::tempdir().unwrap();
    let images = root.path().join("images");
    for name in ["a/1", "a/2", "a/3", "b/4"] {
        save(&images.join(format!("{name}.png")), 1);
    }
    let mut found = import(&images, &Options::default()).unwrap();
    found.images[2].group = Some("other".to_owned());
    let mut project = Project::create(&root.path().join("p.care")).unwrap();
    let taken_in = project.take_in(found).unwrap();
    assert_eq!((taken_in.added, taken_in.already_there), (2, 2));
    let groups: Vec<_> = project
        .images()
        .iter()
        .map(|image| image.group.as_str())
        .collect();
    assert_eq!(groups, ["../images/a/1.png"; 2]);
    let why: Vec<_> = project
        .not_read()
        .iter()
        .map(|file| file.why.as_str())
        .collect();
    assert_eq!(
        why,
        [
            "The same picture as ../images/a/1.png, which is of the group ../images/a/1.png.",
            "The same picture as ../images/a/1.png, which is of the class a.",
        ]
    );
}

#[test]
fn edits_that_do_not_fit_change_nothing() {
    let (_root, mut project) = small_project();
    let (image, id) = (project.images()[0].id, project.next_box_id());
    let rect = |x1| BoundingBox::new(1.0, 1.0, x1, 5.0).unwrap();
    let blank = project.new_box(image, rect(5.0));
    let add = |id, image, rect| Edit::AddBox {
        annotation: Annotation {
            id,
            image,
            rect,
            ..blank.clone()
        },
    };
    let of_reader = Annotation {
        id: BoxId(id.0 + 1),
        reader: Some(ReaderId(1)),
        ..blank.clone()
    };
    project.apply(add(id, image, rect(5.0))).unwrap();
    let (revision, next) = (project.revision(), project.next_box_id());
    for edit in [
        add(id, image, rect(6.0)),
        add(next, ImageId(99), rect(6.0)),
        add(next, image, rect(20.5)),
        Edit::SetBox {
            id,
            rect: rect(21.0),
        },
        Edit::SetBox {
            id: next,
            rect: rect(6.0),
        },
        Edit::RemoveBox { id: next },
        Edit::SetReview {
            image: ImageId(0),
            reader: None,
            state: ReviewState::Done,
        },
        Edit::AddBox {
            annotation: of_reader,
        },
        Edit::SetNote {
            image,
            reader: Some(ReaderId(1)),
            note: "?".to_owned(),
        },
        Edit::RemoveReader { id: ReaderId(1) },
        Edit::AddReader {
            reader: Reader {
                id: ReaderId(1),
                name: " ".to_owned(),
            },
        },
        // The first of these fits.
        Edit::Several {
            edits: vec![
                add(next, image, rect(6.0)),
                Edit::RemoveBox { id: BoxId(99) },
            ],
        },
        Edit::SetClass {
            image,
            class: ClassId(77),
        },
        Edit::SetRare {
            class: ClassId(0),
            rare: true,
        },
    ] {
        let error = project.apply(edit.clone()).expect_err("does not fit");
        assert!(matches!(error, ProjectError::Edit(_)), "{edit:?}: {error}");
    }
    assert_eq!(
        (
            project.revision(),
            project.boxes(image).len(),
            project.next_box_id()
        ),
        (revision, 1, next)
    );
    assert_eq!(project.boxes(image)[0].rect, rect(5.0));
}

#[test]
fn the_journal_says_who_and_when() {
    let (_root, mut project) = small_project();
    let image = project.images()[0].id;
    project
        .apply(Edit::SetReview {
            image,
            reader: None,
            state: ReviewState::Done,
        })
        .unwrap();
    project.undo().unwrap();
    project
        .apply(Edit::SetRare {
            class: project.classes()[1].id,
            rare: true,
        })
        .unwrap();
    let dir = project.dir().to_owned();
    drop(project);
    let database = database(&dir);
    let mut rows = database
        .prepare("SELECT state, edit, inverse, who, at FROM journal ORDER BY id")
        .unwrap();
    let rows: Vec<(String, String, String, String, i64)> = rows
        .query_map([], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let [(first, _, inverse, who, at), (second, edit, ..)] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!((first.as_str(), second.as_str()), ("abandoned", "done"));
    assert_eq!(
        inverse,
        r#"{"edit":"set_review","image":1,"reader":null,"state":"to do"}"#
    );
    assert_eq!(edit, r#"{"edit":"set_rare","class":2,"rare":true}"#);
    assert!(!who.is_empty() && *at > 1_600_000_000_000);
}

#[test]
fn one_process_writes_and_others_look() {
    let (_root, mut project) = small_project();
    let dir = project.dir().to_owned();
    match Project::open(&dir) {
        Err(ProjectError::AlreadyOpen { by, .. }) => {
            assert!(cfg!(windows) || by == Some(std::process::id()))
        }
        other => panic!("{other:?}"),
    }
    project
        .apply(Edit::SetRare {
            class: project.classes()[1].id,
            rare: true,
        })
        .unwrap();
    let mut reader = Project::open_read_only(&dir).unwrap();
    assert!(reader.classes()[1].rare, "what was just written is seen");
    let edit = Edit::SetRare {
        class: reader.classes()[0].id,
        rare: true,
    };
    assert!(matches!(
        reader.apply(edit),
        Err(ProjectError::ReadOnly { .. })
    ));
    assert!(!reader.classes()[0].rare && reader.undoable().is_some());
    drop(project);
    assert!(
        Project::open(&dir).is_ok(),
        "readers do not keep writers out"
    );
}

#[test]
fn what_cannot_be_opened_is_not_touched() {
    let spoil_bytes = |dir: &Path, at: usize, with: u8| {
        let path = dir.join("project.sqlite");
        let mut bytes = std::fs::read(&path).unwrap();
        let end = bytes.len().min(at + 600);
        bytes[at..end].fill(with);
        std::fs::write(path, bytes).unwrap();
    };
    type Case<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);
    let cases: [Case; 8] = [
        (
            "newer",
            &|dir| {
                database(dir)
                    .pragma_update(None, "user_version", 99)
                    .unwrap()
            },
            "newer CARE Studio (format 99",
        ),
        (
            "another program's",
            &|dir| {
                database(dir)
                    .pragma_update(None, "application_id", 7)
                    .unwrap()
            },
            "made by another program",
        ),
        (
            "no database",
            &|dir| std::fs::write(dir.join("project.sqlite"), [b'x'; 4096]).unwrap(),
            "not a SQLite file",
        ),
        (
            "cut off",
            &|dir| std::fs::write(dir.join("project.sqlite"), "SQL").unwrap(),
            "cut off",
        ),
        (
            "half",
            &|dir| {
                let bytes = std::fs::read(dir.join("project.sqlite")).unwrap();
                std::fs::write(dir.join("project.sqlite"), &bytes[..bytes.len() / 2]).unwrap();
            },
            "is damaged",
        ),
        ("garbled", &|dir| spoil_bytes(dir, 4096, 0xAA), "is damaged"),
        (
            "garbled schema",
            &|dir| spoil_bytes(dir, 100, 0xFF),
            "is damaged",
        ),
        (
            "missing",
            &|dir| std::fs::remove_file(dir.join("project.sqlite")).unwrap(),
            "not a CARE Studio project",
        ),
    ];
    for (what, spoil, reason) in cases {
        let (_root, project) = small_project();
        let dir = project.dir().to_owned();
        drop(project);
        spoil(&dir);
        let before = bytes(&dir);
        for opened in [Project::open(&dir), Project::open_read_only(&dir)] {
            let message = opened.expect_err(what).to_string();
            assert!(message.contains(reason), "{what}: {message}");
            assert!(
                message.contains(dir.to_str().unwrap()) && !message.contains('\n'),
                "{what}: {message}"
            );
        }
        assert_eq!(
            bytes(&dir).get(Path::new("project.sqlite").as_os_str()),
            before.get(Path::new("project.sqlite").as_os_str()),
            "{what}"
        );
    }
    let nowhere = Project::open(Path::new("/nowhere/x.care"));
    assert!(matches!(nowhere, Err(ProjectError::NotAProject { .. })));
}

#[test]
fn values_that_this_program_never_wrote_are_damage() {
    let (_root, project) = small_project();
    let dir = project.dir().to_owned();
    drop(project);
    database(&dir)
        .execute(
            "INSERT INTO box (image, x0, y0, x1, y1) VALUES (1, 0, 0, 9e9, 1)",
            [],
        )
        .unwrap();
    assert!(matches!(
        Project::open(&dir),
        Err(ProjectError::Damaged { .. })
    ));
}

#[test]
#[cfg(unix)]
fn a_folder_where_nothing_may_be_written() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    let look = |dir: &Path| {
        let opened = Project::open(dir);
        assert!(
            matches!(opened, Err(ProjectError::ReadOnly { .. })),
            "{opened:?}"
        );
        let created = Project::create(&dir.join("inner.care"));
        assert!(
            matches!(created, Err(ProjectError::ReadOnly { .. })),
            "{created:?}"
        );
        assert!(!dir.join("inner.care").exists());
        let looked_at = Project::open_read_only(dir).unwrap();
        assert_eq!(looked_at.images().len(), 6);
        let images = dir.with_file_name("images");
        let found = import(&images, &Options::default()).unwrap();
        assert_eq!(found.images.len(), 3, "of one class");
        let [locked, closed] = found.not_read.as_slice() else {
            panic!("{:?}", found.not_read)
        };
        assert!(closed.path.ends_with("common/d.png"), "{closed:?}");
        assert!(locked.path.ends_with("rare"), "{locked:?}");
    };
    if let Some(dir) = given_dir() {
        return look(&dir);
    }
    let (root, project) = small_project();
    let dir = project.dir().to_owned();
    drop(project);
    let images = root.path().join("images");
    let (class, file) = (images.join("rare"), images.join("common/d.png"));
    let allow = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
    allow(&dir, 0o555);
    allow(&class, 0o000);
    allow(&file, 0o000);
    if std::fs::write(dir.join("probe"), "").is_err() {
        look(&dir);
    } else {
        // This is root, who may write everywhere: somebody else has to look.
        allow(root.path(), 0o755);
        let executable = root.path().join("test");
        std::fs::copy(std::env::current_exe().unwrap(), &executable).unwrap();
        let test = "project::a_folder_where_nothing_may_be_written";
        match again(&executable, test, &dir)
            .uid(65534)
            .gid(65534)
            .output()
        {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout);
                assert!(
                    output.status.success() && said.contains("1 passed"),
                    "{said}{}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            Err(error) => skipped(&format!("root cannot be somebody else: {error}")),
        }
    }
    // To be removed.
    allow(&dir, 0o755);
    allow(&class, 0o755);
}

#[test]
fn what_lies_below_a_file_is_nothing() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, "whole").unwrap();
    let below = file.join("p.care");
    for opened in [Project::open(&below), Project::open_read_only(&below)] {
        assert!(
            matches!(opened, Err(ProjectError::NotAProject { .. })),
            "{opened:?}"
        );
    }
    let created = Project::create(&below);
    assert!(
        matches!(created, Err(ProjectError::Io { .. })),
        "{created:?}"
    );
    assert!(import(&below, &Options::default()).is_err());
    assert_eq!(std::fs::read(&file).unwrap(), b"whole");
}

#[test]
fn a_project_that_cannot_be_made_leaves_nothing_and_takes_nothing() {
    let root = tempfile::tempdir().unwrap();
    // Longer than SQLite takes, so that it fails when the lock is there already.
    let deep = root.path().join("a".repeat(200)).join("b".repeat(200));
    let dir = deep.join("c".repeat(200));
    assert!(Project::create(&dir).is_err());
    assert!(deep.is_dir() && !dir.exists());
    std::fs::create_dir(&dir).unwrap();
    assert!(Project::create(&dir).is_err());
    assert_eq!(bytes(&dir), BTreeMap::new());
    assert!(dir.is_dir() && !dir.join("lock").exists());

    // Another process has begun to make one.
    let dir = root.path().join("p.care");
    std::fs::create_dir(&dir).unwrap();
    let lock = std::fs::File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(
        Project::create(&dir),
        Err(ProjectError::AlreadyOpen { .. })
    ));
    assert!(dir.join("lock").exists());
    // And did not live to end.
    drop(lock);
    assert!(Project::create(&dir).is_ok());
}

#[test]
fn of_several_processes_one_makes_a_project() {
    if let Some(dir) = given_dir() {
        let made = Project::create(&dir);
        let said = match &made {
            Ok(_) => "made",
            Err(ProjectError::AlreadyOpen { .. } | ProjectError::Exists { .. }) => "refused",
            Err(error) => panic!("{error}"),
        };
        writeln!(std::io::stdout(), "\n{said}").unwrap();
        if made.is_ok() {
            // Until it is killed.
            let _ = std::io::stdin().read(&mut [0]);
        }
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("p.care");
    let test = "project::of_several_processes_one_makes_a_project";
    let executable = std::env::current_exe().unwrap();
    let mut processes: Vec<_> = (0..4)
        .map(|_| {
            again(&executable, test, &dir)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut makers = Vec::new();
    for process in &mut processes {
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = lines.find_map(|line| line.ok().filter(|l| l == "made" || l == "refused"));
        if said.unwrap() == "made" {
            makers.push(process.id());
        }
    }
    let opened = Project::open(&dir);
    let looked_at = Project::open_read_only(&dir);
    for process in &mut processes {
        let _ = process.kill();
        process.wait().unwrap();
    }
    let [maker] = makers[..] else {
        panic!("{makers:?}")
    };
    match opened {
        Err(ProjectError::AlreadyOpen { by, .. }) => assert!(cfg!(windows) || by == Some(maker)),
        other => panic!("{other:?}"),
    }
    assert!(looked_at.is_ok());
    assert!(
        Project::open(&dir).is_ok(),
        "the lock goes with its process"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_project_in_a_folder_whose_name_is_not_unicode() {
    use std::os::unix::ffi::OsStrExt;
    let root = tempfile::tempdir().unwrap();
    let dir = root
        .path()
        .join(std::ffi::OsStr::from_bytes(b"50%#? \xff.care"));
    folder_of_classes(&root.path().join("images"));
    let mut project = Project::create(&dir).unwrap();
    project
        .take_in(import(&root.path().join("images"), &Options::default()).unwrap())
        .unwrap();
    drop(project);
    for opened in [Project::open_read_only(&dir), Project::open(&dir)] {
        let project = opened.unwrap();
        assert_eq!(project.images().len(), 6);
        assert!(project.path_of(&project.images()[0]).is_file());
    }
}

#[test]
fn runs_have_folders_states_and_numbers() {
    let (_root, mut project) = small_project();
    let (first, dir) = project.begin_run().unwrap();
    assert!(dir.is_dir() && dir.ends_with("runs/0001"));
    let metric = |name: &str, value| Metric {
        model: "care".to_owned(),
        name: name.to_owned(),
        value,
        n: 60,
        low: Some(0.5),
        high: None,
    };
    project
        .end_run(
            first,
            RunState::Finished,
            "Done.",
            &[metric("rare recall", 0.75), metric("AUROC", f64::NAN)],
        )
        .unwrap();
    std::fs::create_dir(project.run_dir(care_data::RunId(2))).unwrap();
    let (second, _) = project.begin_run().unwrap();
    assert_eq!(second.0, 3, "a folder that is there is not written into");
    let dir = project.dir().to_owned();
    drop(project);

    let project = Project::open_read_only(&dir).unwrap();
    assert_eq!(project.runs()[1].state, RunState::Running);
    drop(project);
    let mut project = Project::open(&dir).unwrap();
    let states: Vec<_> = project
        .runs()
        .iter()
        .map(|run| (run.state, run.note.as_str()))
        .collect();
    let cut_off = "Cut off: the program ended while it trained.";
    assert_eq!(
        states,
        [(RunState::Finished, "Done."), (RunState::Stopped, cut_off)]
    );
    assert_eq!(project.metrics(first)[0], metric("rare recall", 0.75));
    assert!(project.metrics(first)[1].value.is_nan());
    assert!(
        project
            .end_run(care_data::RunId(9), RunState::Failed, "", &[])
            .is_err()
    );
}

/// An import of made-up files, for what does not look at files.
fn many(n: usize) -> Import {
    let image = |i: usize| NewImage {
        path: format!("/nowhere/set/class/image {i:06}.png").into(),
        hash: ContentHash::of(&i.to_le_bytes()),
        size: ImageSize::new(600, 450),
        orientation: Orientation::default(),
        class: ["nv", "mel", "df"][i % 3].to_owned(),
        group: Some(format!("patient {}", i / 2)),
        patient: None,
        part: None,
        boxes: if i.is_multiple_of(10) {
            vec![BoundingBox::new(1.5, 2.0, 300.0, 400.0).unwrap()]
        } else {
            Vec::new()
        },
    };
    Import {
        images: (0..n).map(image).collect(),
        not_read: Vec::new(),
        split: SplitSpec::default(),
    }
}

#[test]
fn a_hundred_thousand_images_come_in_and_open() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("large.care");
    let mut project = Project::create(&dir).unwrap();
    let start = Instant::now();
    project.take_in(many(100_000)).unwrap();
    eprintln!("100,000 images taken in in {:.1?}", start.elapsed());
    drop(project);
    let start = Instant::now();
    let project = Project::open(&dir).unwrap();
    eprintln!("opened in {:.0?}", start.elapsed());
    assert_eq!(project.images().len(), 100_000);
    let boxes: usize = project
        .images()
        .iter()
        .map(|image| project.boxes(image.id).len())
        .sum();
    assert_eq!(boxes, 10_000);
}

#[test]
fn a_copy_elsewhere_finds_its_own_images() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("one.care");
    let mut project = Project::create(&dir).unwrap();
    folder_of_classes(&dir.join("images"));
    project
        .take_in(import(&dir.join("images"), &Options::default()).unwrap())
        .unwrap();
    drop(project);
    std::fs::rename(&dir, root.path().join("two.care")).unwrap();
    let project = Project::open(&root.path().join("two.care")).unwrap();
    assert!(
        project
            .images()
            .iter()
            .all(|image| project.path_of(image).is_file())
    );
}
