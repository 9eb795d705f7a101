use std::path::PathBuf;

use super::*;
use crate::geometry::{BoundingBox, ImageSize, Orientation};
use crate::grey::Look;
use crate::model::{ContentHash, Origin, Review, ReviewState, RunState};
use crate::{Project, import};

fn project(root: &Path) -> Project {
    let image = import::NewImage {
        path: root.join("a.png"),
        hash: ContentHash::of(b"a"),
        size: ImageSize::new(100, 100),
        orientation: Orientation::default(),
        class: "nevus".to_owned(),
        group: None,
        patient: None,
        part: None,
        boxes: Vec::new(),
    };
    let import = import::Import {
        images: vec![image],
        not_read: Vec::new(),
        split: Default::default(),
    };
    let mut project = Project::create(&root.join("p.care")).unwrap();
    project.take_in(import).unwrap();
    project
}

#[test]
fn a_migration_happens_wholly_once_or_not_at_all() {
    let mut connection = Connection::open_in_memory().unwrap();
    let version = |c: &Connection| {
        c.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
            .unwrap()
    };
    let [first, ..] = MIGRATIONS else {
        panic!("no format")
    };
    let add = "ALTER TABLE image ADD COLUMN note TEXT";
    migrate(&mut connection, &[first]).unwrap();
    assert!(migrate(&mut connection, &[first, add, "nonsense"]).is_err());
    assert_eq!(version(&connection), 1);
    assert!(connection.prepare("SELECT note FROM image").is_err());
    for _ in 0..2 {
        migrate(&mut connection, &[first, add]).unwrap();
        assert_eq!(version(&connection), 2);
        connection.prepare("SELECT note FROM image").unwrap();
    }
}

/// A project as the program of that format left it: three images, of which the first was done and the second done once; boxes 1
/// (drawn), 2 (imported) and 3 (drawn, taken away again).
fn older(dir: &Path, format: usize) -> PathBuf {
    std::fs::create_dir_all(dir).unwrap();
    let mut connection = Connection::open(dir.join(FILE)).unwrap();
    connection
        .pragma_update(None, "application_id", APPLICATION_ID)
        .unwrap();
    // From format 3 on the tables are others: what is in them came from the format before.
    migrate(&mut connection, &MIGRATIONS[..format.min(2)]).unwrap();
    connection
        .execute_batch(
            r#"INSERT INTO class VALUES (1, 'nevus', 0, 0);
            INSERT INTO image VALUES (1, 'a.png', zeroblob(32), 100, 100, 1, 1, 'a', 'train', 1),
                (2, 'b.png', zeroblob(32), 100, 100, 1, 1, 'b', 'train', 0),
                (3, 'c.png', zeroblob(32), 100, 100, 1, 1, 'c', 'test', 0);
            INSERT INTO box VALUES (1, 1, 1, 2, 3, 4), (2, 2, 1, 2, 3, 4);
            INSERT INTO run VALUES (1, 'finished', 400, 'finished in 1 min');
            INSERT INTO metric VALUES (1, 'CARE', 'mca', 0.75, 4, NULL, NULL);
            INSERT INTO journal VALUES
                (1, 500, 'ada', '{"edit":"add_box","annotation":{"id":1,"image":1,"rect":[1.0,2.0,3.0,4.0]}}',
                    '{"edit":"remove_box","id":1}', 'done'),
                (2, 600, 'bob', '{"edit":"add_box","annotation":{"id":3,"image":1,"rect":[1.0,2.0,3.0,4.0]}}',
                    '{"edit":"remove_box","id":3}', 'done'),
                (3, 700, 'ada', '{"edit":"remove_box","id":3}',
                    '{"edit":"add_box","annotation":{"id":3,"image":1,"rect":[1.0,2.0,3.0,4.0]}}', 'done'),
                (4, 800, 'ada', '{"edit":"set_done","image":2,"done":true}',
                    '{"edit":"set_done","image":2,"done":false}', 'abandoned'),
                (5, 900, 'ada', '{"edit":"set_done","image":1,"done":true}',
                    '{"edit":"set_done","image":1,"done":false}', 'done'),
                (6, 950, 'bob', '{"edit":"set_box","id":1,"rect":[1.0,2.0,3.0,4.0]}',
                    '{"edit":"set_box","id":1,"rect":[0.0,0.0,3.0,4.0]}', 'done'),
                (7, 960, 'bob', '{"edit":"add_box","annotation":{"id":4,"image":3,"rect":[1.0,2.0,3.0,4.0]}}',
                    '{"edit":"remove_box","id":4}', 'undone');"#,
        )
        .unwrap();
    migrate(&mut connection, &MIGRATIONS[..format]).unwrap();
    dir.to_owned()
}

#[test]
fn a_project_of_an_older_format_is_read_as_it_is_and_brought_up_to_write() {
    for format in 1..MIGRATIONS.len() {
        let root = tempfile::tempdir().unwrap();
        let dir = older(&root.path().join("p.care"), format);
        let before = std::fs::read(dir.join(FILE)).unwrap();
        let read = Project::open_read_only(&dir).unwrap();
        let ids: Vec<_> = read.images().iter().map(|image| image.id).collect();
        let state = |project: &Project, at: usize| project.review(None, ids[at]).state;
        let made = |project: &Project, at: usize| {
            let boxes = project.boxes(ids[at]).iter();
            boxes
                .map(|it| (it.id.0, it.origin, it.by.clone(), it.at))
                .collect::<Vec<_>>()
        };
        let ada = |id, at| (id, Origin::Drawn, "ada".to_owned(), at);
        let check = |project: &Project| {
            assert_eq!(made(project, 0), [ada(1, 500)], "format {format}");
            let imported = (2, Origin::Imported, String::new(), 0);
            assert_eq!(made(project, 1), [imported], "format {format}");
            assert_eq!(state(project, 0), ReviewState::Done);
            assert_eq!(project.review(None, ids[1]), &Review::NONE);
            assert_eq!(project.look(), Look::default());
            let run = Run {
                id: RunId(1),
                state: RunState::Finished,
                started_at: 400,
                note: "finished in 1 min".to_owned(),
                name: String::new(),
                remark: String::new(),
                starred: false,
            };
            assert_eq!(project.runs(), [run]);
            assert_eq!(project.metrics(RunId(1)).len(), 1);
            assert_eq!(project.trash(), []);
        };
        check(&read);
        drop(read);
        assert_eq!(std::fs::read(dir.join(FILE)).unwrap(), before);

        let mut project = Project::open(&dir).unwrap();
        check(&project);
        assert_ne!(project.salt(), [0; 32]);
        let salt = project.salt();
        project.redo().unwrap();
        let redone = (4, Origin::Drawn, "bob".to_owned(), 960);
        assert_eq!(made(&project, 2), [redone], "undone in the older program");
        for _ in 0..4 {
            project.undo().unwrap();
        }
        assert_eq!(state(&project, 0), ReviewState::ToDo);
        let bob = (3, Origin::Drawn, "bob".to_owned(), 600);
        assert_eq!(
            made(&project, 0),
            [ada(1, 500), bob],
            "what was removed is back"
        );
        for _ in 0..3 {
            project.redo().unwrap();
        }
        assert!(project.boxes(ids[2]).is_empty());
        assert_eq!(
            state(&project, 1),
            ReviewState::ToDo,
            "abandoned when 5 was made"
        );
        check(&project);
        drop(project);
        let project = Project::open(&dir).unwrap();
        check(&project);
        assert_eq!(project.salt(), salt);
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let root = tempfile::tempdir().unwrap();
    let mut project = project(root.path());
    let (dir, image) = (project.dir().to_owned(), project.images()[0].id);
    let connection = &project.store().connection;
    let pages: i64 = connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    connection
        .query_row(
            &format!("PRAGMA max_page_count = {}", pages + 1),
            [],
            |_| Ok(()),
        )
        .unwrap();
    let rect = BoundingBox::new(1.0, 2.0, 3.0, 4.0).unwrap();
    let mut edits = 0;
    let error = loop {
        let annotation = project.new_box(image, rect);
        match project.apply(Edit::AddBox { annotation }) {
            Ok(()) => edits += 1,
            Err(error) => break error,
        }
        assert!(edits < 10_000);
    };
    assert!(matches!(error, ProjectError::DiskFull { .. }), "{error}");
    assert!(edits > 0);
    let (boxes, revision) = (project.boxes(image).to_vec(), project.revision());
    assert_eq!(boxes.len(), edits);
    assert!(project.begin_run().is_err() || project.revision() > revision);
    drop(project);
    let project = Project::open(&dir).unwrap();
    assert_eq!(project.boxes(image), boxes);
}
