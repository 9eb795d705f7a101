//! From a project to a task: what is taken over, which images are watched, what stands in the way.

use std::path::Path;

use care_data::import::{Import, NewImage};
use care_data::split::SplitSpec;
use care_data::{
    Annotation, BoundingBox, ContentHash, Edit, ImageId, ImageSize, Orientation, Part, Project,
    Reader, ReviewState,
};
use care_learn::config::Reviewed;
use care_learn::task::{Problem, pick_watch_list, preflight};
use care_learn::{RunConfig, Task};

const SIZE: ImageSize = ImageSize::new(40, 30);

/// Two of each class in each part.
fn project(dir: &Path) -> Project {
    let images = ["common", "rare"].into_iter().flat_map(|class| {
        Part::ALL
            .into_iter()
            .flat_map(move |part| (0..2).map(move |i| (class, part, i)))
    });
    let images = images
        .map(|(class, part, i)| {
            let name = format!("{class}-{}-{i}.png", part.name());
            NewImage {
                path: dir.join(&name),
                hash: ContentHash::of(name.as_bytes()),
                size: SIZE,
                orientation: Orientation::default(),
                class: class.to_owned(),
                group: None,
                patient: None,
                part: Some(part),
                boxes: vec![],
            }
        })
        .collect();
    let mut project = Project::create(&dir.join("tiny.care")).expect("creates");
    let import = Import {
        images,
        not_read: vec![],
        split: SplitSpec::default(),
    };
    project.take_in(import).expect("takes in");
    project
}

fn mark_rare(project: &mut Project) {
    let class = project
        .classes()
        .iter()
        .find(|c| c.name == "rare")
        .expect("a class")
        .id;
    project
        .apply(Edit::SetRare { class, rare: true })
        .expect("applies");
}

fn image(project: &Project, class: &str, part: Part, i: usize) -> ImageId {
    let class = project
        .classes()
        .iter()
        .find(|c| c.name == class)
        .expect("a class")
        .id;
    let of_part = project
        .images()
        .iter()
        .filter(|image| image.class == class && image.part == part);
    of_part.map(|image| image.id).nth(i).expect("an image")
}

fn draw(project: &mut Project, image: ImageId) -> BoundingBox {
    let rect = BoundingBox::new(1.0, 2.0, 20.0, 21.0).expect("a box");
    let annotation = project.new_box(image, rect);
    project.apply(Edit::AddBox { annotation }).expect("applies");
    rect
}

#[test]
fn a_task_is_the_project_as_it_stands() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut project = project(dir.path());
    mark_rare(&mut project);
    let boxed = image(&project, "rare", Part::Train, 1);
    let rect = draw(&mut project, boxed);
    let reader = Reader {
        id: project.next_reader_id(),
        name: "Ada".to_owned(),
    };
    let of_ada = Annotation {
        reader: Some(reader.id),
        ..project.new_box(boxed, BoundingBox::new(0.0, 0.0, 9.0, 9.0).expect("a box"))
    };
    // Who reads apart trains nothing.
    for edit in [
        Edit::AddReader { reader },
        Edit::AddBox { annotation: of_ada },
    ] {
        project.apply(edit).expect("applies");
    }
    let task = Task::from_project(
        &project,
        RunConfig::demo(),
        dir.path().join("run"),
        vec![boxed],
    );
    assert_eq!(
        task.classes
            .iter()
            .map(|c| c.name.as_str())
            .collect::<Vec<_>>(),
        ["common", "rare"]
    );
    assert_eq!(task.rare(), [false, true]);
    assert_eq!(task.samples.len(), 12);
    let sample = task
        .samples
        .iter()
        .find(|s| s.image == boxed)
        .expect("a sample");
    assert_eq!(
        (sample.label, sample.part, sample.size, &sample.boxes[..]),
        (1, Part::Train, SIZE, &[rect][..])
    );
    assert!(sample.path.ends_with("rare-train-1.png"));
}

#[test]
fn rare_held_out_images_with_boxes_are_watched_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut project = project(dir.path());
    mark_rare(&mut project);
    let boxed = image(&project, "rare", Part::Test, 1);
    let not_boxed = image(&project, "rare", Part::Test, 0);
    let common = image(&project, "common", Part::Test, 0);
    draw(&mut project, boxed);
    draw(&mut project, common);
    assert_eq!(
        pick_watch_list(&project, 6, |_| None),
        [boxed, not_boxed, common]
    );
    assert_eq!(pick_watch_list(&project, 1, |_| None), [boxed]);
}

#[test]
fn the_watched_are_spread_from_hard_to_easy_once_that_is_known() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut project = project(dir.path());
    mark_rare(&mut project);
    let rare: Vec<ImageId> = project
        .images()
        .iter()
        .filter(|i| i.part == Part::Test && i.name().starts_with("rare"))
        .map(|i| i.id)
        .collect();
    for image in &rare {
        draw(&mut project, *image);
    }
    let easy_first = |image: ImageId| {
        let place = rare.iter().position(|other| *other == image)?;
        Some(1.0 / (1.0 + place as f32))
    };
    let hard_first: Vec<ImageId> = rare.iter().rev().copied().collect();
    assert_eq!(
        pick_watch_list(&project, rare.len(), easy_first),
        hard_first
    );
    assert_eq!(pick_watch_list(&project, rare.len(), |_| None), rare);
}

#[test]
fn what_stands_in_the_way_of_a_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let empty = Project::create(&dir.path().join("empty.care")).expect("creates");
    let config = RunConfig::demo();
    let found = preflight(&empty, &config);
    assert!(found.contains(&Problem::NoTrainingImages) && found[0].blocks());

    let mut project = project(dir.path());
    assert_eq!(
        preflight(&project, &config),
        [Problem::NoRareClass, Problem::NoBoxes]
    );
    mark_rare(&mut project);
    assert_eq!(preflight(&project, &config), [Problem::NoBoxes]);
    let common = image(&project, "common", Part::Train, 0);
    draw(&mut project, common);
    let without = Problem::RareWithoutBoxes {
        class: "rare".to_owned(),
        images: 2,
    };
    assert!(!without.blocks());
    assert_eq!(preflight(&project, &config), [without]);
    let rare = image(&project, "rare", Part::Train, 0);
    draw(&mut project, rare);
    assert_eq!(preflight(&project, &config), []);
    let wrong = RunConfig {
        input_size: 1,
        ..config
    };
    assert!(matches!(
        preflight(&project, &wrong)[..],
        [Problem::Config(_)]
    ));
}

#[test]
fn done_ones_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut project = project(dir.path());
    mark_rare(&mut project);
    let [to_do, second] = [0, 1].map(|i| image(&project, "rare", Part::Train, i));
    let tested = image(&project, "rare", Part::Test, 0);
    let rect = draw(&mut project, to_do);
    for image in [second, tested] {
        draw(&mut project, image);
    }
    let say = |project: &mut Project, image, state| {
        let reader = None;
        let edit = Edit::SetReview {
            image,
            reader,
            state,
        };
        project.apply(edit).expect("applies");
    };
    say(&mut project, second, ReviewState::SecondLook);
    say(&mut project, tested, ReviewState::SecondLook);
    let config = RunConfig {
        boxes: Reviewed::Done,
        ..RunConfig::demo()
    };
    let folder = dir.path().join("run");
    let task = |project: &Project, config: &RunConfig| {
        Task::from_project(project, config.clone(), folder.clone(), vec![])
    };
    let boxes = |task: &Task, image| {
        let sample = task.samples.iter().find(|s| s.image == image);
        sample.map(|s| s.boxes.clone())
    };
    let all = task(&project, &RunConfig::demo());
    assert_eq!(boxes(&all, to_do), Some(vec![rect]));
    assert_eq!(boxes(&all, second), Some(vec![rect]));

    let none = task(&project, &config);
    assert_eq!(boxes(&none, to_do), Some(vec![]), "trains without its box");
    assert_eq!(boxes(&none, second), None, "left out");
    assert_eq!(
        boxes(&none, tested),
        Some(vec![rect]),
        "the test is as it is"
    );
    assert_eq!(preflight(&project, &config)[0], Problem::NoDoneBoxes);
    say(&mut project, to_do, ReviewState::Done);
    assert_eq!(boxes(&task(&project, &config), to_do), Some(vec![rect]));
    let still_blocked = preflight(&project, &config).iter().any(Problem::blocks);
    assert!(!still_blocked);
}
