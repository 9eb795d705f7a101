//! A project that has images already, and what another import makes of it.

use std::sync::atomic::AtomicBool;

use care_data::import::{Options, plan};
use care_data::{BoundingBox, Edit, Project, ReviewState};

use crate::{import, picture, save, small_project, write};

#[test]
fn imported_again_new_boxes_go_where_nobody_worked() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    for i in 1..=6u8 {
        save(&data.join(format!("{i}.png")), i);
    }
    let table = |with: bool| {
        let mut text = "image,class,x,y,width,height\n".to_owned();
        for i in 1..=6 {
            text += &match with {
                true => format!("{i},nv,{i},1,2,2\n{i},nv,5,5,2,2\n"),
                false => format!("{i},nv,,,,\n"),
            };
        }
        write(&data.join("t.csv"), text);
    };
    table(false);
    let mut project = Project::create(&root.path().join("p.care")).unwrap();
    project
        .take_in(import(&data, &Options::default()).unwrap())
        .unwrap();
    let ids: Vec<_> = project.images().iter().map(|it| it.id).collect();
    let drawn = BoundingBox::new(0.0, 0.0, 3.0, 3.0).unwrap();
    let draw = |project: &mut Project, image| {
        let id = project.next_box_id();
        let annotation = project.new_box(image, drawn);
        project.apply(Edit::AddBox { annotation }).unwrap();
        id
    };
    // 1 has a box; 2 had one; 3's was undone; 4 is done; 5 was done; 6 is as it came.
    draw(&mut project, ids[0]);
    let id = draw(&mut project, ids[1]);
    project.apply(Edit::RemoveBox { id }).unwrap();
    draw(&mut project, ids[2]);
    project.undo().unwrap();
    for (image, state) in [
        (ids[3], ReviewState::Done),
        (ids[4], ReviewState::Done),
        (ids[4], ReviewState::ToDo),
    ] {
        let reader = None;
        let said = Edit::SetReview {
            image,
            reader,
            state,
        };
        project.apply(said).unwrap();
    }
    table(true);
    for (round, expected) in [(1, 2), (2, 0)] {
        let taken = project
            .take_in(import(&data, &Options::default()).unwrap())
            .unwrap();
        assert_eq!(
            (taken.added, taken.already_there, taken.boxes),
            (0, 6, expected),
            "round {round}"
        );
        let counts: Vec<_> = ids.iter().map(|id| project.boxes(*id).len()).collect();
        assert_eq!(counts, [1, 0, 0, 0, 0, 2]);
        assert_eq!(project.boxes(ids[0])[0].rect, drawn);
    }
    // Those that came in late are on the disk, and taken away they stay away.
    let dir = project.dir().to_owned();
    drop(project);
    let mut project = Project::open(&dir).unwrap();
    let late: Vec<_> = project.boxes(ids[5]).iter().map(|it| it.id).collect();
    assert_eq!(late.len(), 2);
    for id in late {
        project.apply(Edit::RemoveBox { id }).unwrap();
    }
    let taken = project
        .take_in(import(&data, &Options::default()).unwrap())
        .unwrap();
    assert_eq!((taken.boxes, project.boxes(ids[5])), (0, &[][..]));
}

#[test]
fn missing_images_are_told_and_found_again() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    for i in 1..=3u8 {
        picture(20, 10, i)
            .save({
                std::fs::create_dir_all(data.join("a")).unwrap();
                data.join(format!("a/{i}.png"))
            })
            .unwrap();
    }
    let mut project = Project::create(&root.path().join("p.care")).unwrap();
    project
        .take_in(import(&data, &Options::default()).unwrap())
        .unwrap();
    assert_eq!(project.missing(), []);
    let ids: Vec<_> = project.images().iter().map(|it| it.id).collect();
    std::fs::create_dir_all(root.path().join("new/a")).unwrap();
    for i in 2..=3 {
        let name = format!("a/{i}.png");
        std::fs::rename(data.join(&name), root.path().join("new").join(&name)).unwrap();
    }
    assert_eq!(project.missing(), ids[1..]);
    assert_eq!(project.images().len(), 3, "missing is not gone");
    project
        .take_in(import(&root.path().join("new"), &Options::default()).unwrap())
        .unwrap();
    assert_eq!((project.missing(), project.images().len()), (vec![], 3));
}

#[test]
fn what_is_there_already_is_told_before_anything_is_read() {
    let (root, mut project) = small_project();
    let at = |name: &str| root.path().join("images").join(name);
    save(&at("rare/new.png"), 99);
    std::fs::rename(at("rare/f.png"), at("rare/moved.png")).unwrap();
    write(&at("common/a.png"), "changed");
    std::fs::remove_file(at("common/b.png")).unwrap();
    let already_in = |project: &Project| {
        let stop = AtomicBool::new(false);
        let plan = plan(&at(""), &Options::default(), &stop).unwrap();
        plan.already_in(project)
    };
    assert_eq!(already_in(&project), 4, "a, c, d and e");
    let empty = Project::create(&root.path().join("empty.care")).unwrap();
    assert_eq!(already_in(&empty), 0);
    project
        .take_in(import(&at(""), &Options::default()).unwrap())
        .unwrap();
    assert_eq!(already_in(&project), 6);
}

#[test]
fn the_project_is_worked_in_while_an_import_is_written() {
    let (root, mut project) = small_project();
    let data = root.path().join("more");
    for i in 0..40_u8 {
        save(&data.join(format!("nevus/{i}.png")), 100 + i);
    }
    let mut table = "image_id,x,y,width,height\n".to_owned();
    for i in 0..40 {
        table += &format!("{i},1,1,5,5\n");
    }
    write(&data.join("boxes.csv"), table);
    let found = import(&data, &Options::default()).unwrap();
    let before = project.images().len();
    let image = project.images()[0].id;
    let draw = |project: &mut Project| {
        let annotation = project.new_box(image, BoundingBox::new(0.0, 0.0, 3.0, 3.0).unwrap());
        let id = annotation.id;
        project.apply(Edit::AddBox { annotation }).unwrap();
        id
    };

    let intake = project.begin_intake(found).unwrap();
    let drawn = draw(&mut project);
    let writing = std::thread::spawn(move || intake.write().unwrap());
    // Whichever comes first, neither is lost and none waits for ever.
    let second = draw(&mut project);
    project.undo().unwrap();
    let arrived = writing.join().unwrap();
    let third = draw(&mut project);
    assert_eq!(
        project.images().len(),
        before,
        "not shown before it is accepted"
    );
    let taken = project.accept(arrived).unwrap();
    assert_eq!((taken.added, taken.boxes), (40, 40));
    assert!(second > drawn && third > second);
    let ids = |project: &Project| {
        let images = project.images().iter();
        let boxes = images.flat_map(|it| project.boxes(it.id));
        boxes.map(|it| it.id).collect::<Vec<_>>()
    };
    let shown = ids(&project);
    assert_eq!(shown.len(), 42);
    let (dir, images) = (project.dir().to_owned(), project.images().to_vec());
    drop(project);
    let project = Project::open(&dir).unwrap();
    assert_eq!(project.images(), images);
    assert_eq!(ids(&project), shown);
    assert!(project.next_box_id() > third);

    let read = Project::open_read_only(&dir);
    let found = import(&data, &Options::default()).unwrap();
    assert!(read.unwrap().begin_intake(found).is_err(), "only read");
}

#[test]
fn boxes_that_come_in_late_give_way_to_work_done_meanwhile() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    for i in 1..=3_u8 {
        save(&data.join(format!("nevus/{i}.png")), i);
    }
    let mut project = Project::create(&root.path().join("p.care")).unwrap();
    let first = import(&data, &Options::default()).unwrap();
    project.take_in(first).unwrap();
    let table = "image_id,x,y,width,height\n1,1,1,5,5\n2,1,1,5,5\n3,1,1,5,5\n";
    write(&data.join("boxes.csv"), table);
    let ids: Vec<_> = project.images().iter().map(|it| it.id).collect();
    let found = import(&data, &Options::default()).unwrap();
    let intake = project.begin_intake(found).unwrap();
    let rect = BoundingBox::new(0.0, 0.0, 3.0, 3.0).unwrap();
    let annotation = project.new_box(ids[0], rect);
    project.apply(Edit::AddBox { annotation }).unwrap();
    let none_needed = Edit::SetReview {
        image: ids[1],
        reader: None,
        state: ReviewState::Done,
    };
    project.apply(none_needed).unwrap();
    let taken = project.accept(intake.write().unwrap()).unwrap();
    assert_eq!(taken.boxes, 1);
    let boxes = |project: &Project| {
        let boxes = ids.iter().map(|id| project.boxes(*id).len());
        boxes.collect::<Vec<_>>()
    };
    assert_eq!(boxes(&project), [1, 0, 1]);
    assert_eq!(project.boxes(ids[0])[0].rect, rect);
    let dir = project.dir().to_owned();
    drop(project);
    assert_eq!(boxes(&Project::open(&dir).unwrap()), [1, 0, 1]);
}
