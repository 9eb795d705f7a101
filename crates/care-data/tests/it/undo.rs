use care_data::{
    Annotation, BoundingBox, Class, Edit, Image, Project, Reader, Review, ReviewState, Run,
    RunState,
};
use proptest::prelude::*;

use crate::small_project;

/// A random edit as numbers; [`Choice::edit`] makes of it one that fits the project as it then is.
#[derive(Debug, Clone)]
struct Choice {
    kind: u8,
    pick: prop::sample::Index,
    other: prop::sample::Index,
    flag: bool,
    corner: (f64, f64),
}

fn choice() -> impl Strategy<Value = Choice> {
    (
        0..12_u8,
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<bool>(),
        (0.0..19.0, 0.0..9.0),
    )
        .prop_map(|(kind, pick, other, flag, corner)| Choice {
            kind,
            pick,
            other,
            flag,
            corner,
        })
}

impl Choice {
    fn edit(&self, project: &Project) -> Edit {
        let image = self.pick.get(project.images()).id;
        let class = self.other.get(project.classes()).id;
        let reader = project.readers().last().map(|reader| reader.id);
        let reader = reader.filter(|_| self.flag);
        let (x, y) = self.corner;
        let rect = BoundingBox::new(x, y, x + 1.0, y + 1.0).unwrap();
        let run = project.runs().first().map(|run| run.id);
        let boxes: Vec<_> = project
            .images()
            .iter()
            .flat_map(|image| project.boxes_of(reader, image.id))
            .collect();
        let drawn = Annotation {
            reader,
            ..project.new_box(image, rect)
        };
        match self.kind {
            1 if !boxes.is_empty() => Edit::RemoveBox {
                id: self.other.get(&boxes).id,
            },
            2 if !boxes.is_empty() => Edit::SetBox {
                id: self.other.get(&boxes).id,
                rect,
            },
            3 => Edit::SetReview {
                image,
                reader,
                state: *self.other.get(&ReviewState::ALL),
            },
            6 => Edit::SetNote {
                image,
                reader,
                note: if self.flag { "?" } else { "" }.to_owned(),
            },
            7 => {
                let id = project.next_reader_id();
                Edit::AddReader {
                    reader: Reader {
                        id,
                        name: format!("Reader {id}"),
                    },
                }
            }
            8 => {
                let mut second = drawn.clone();
                second.id.0 += 1;
                let edits = [drawn, second].map(|annotation| Edit::AddBox { annotation });
                Edit::Several {
                    edits: edits.into(),
                }
            }
            9 if run.is_some_and(|run| run.0 < 3) => Edit::SetRunDeleted {
                run: run.unwrap(),
                deleted: true,
            },
            10 if run.is_some() => Edit::SetRunName {
                run: run.unwrap(),
                name: if self.flag { "first" } else { "" }.to_owned(),
            },
            11 if run.is_some() => Edit::SetRunStar {
                run: run.unwrap(),
                starred: self.flag,
            },
            4 => Edit::SetClass { image, class },
            5 => Edit::SetRare {
                class,
                rare: self.flag,
            },
            _ => Edit::AddBox { annotation: drawn },
        }
    }
}

type Pages = Vec<(Vec<Annotation>, Review)>;
type Contents = (Vec<Image>, Vec<Class>, Vec<Reader>, Pages, [Vec<Run>; 2]);

fn contents(project: &Project) -> Contents {
    let ids = || project.images().iter().map(|image| image.id);
    let readers = project.readers().iter().map(|reader| Some(reader.id));
    let pages = readers.chain([None]).flat_map(|reader| {
        ids().map(move |image| {
            (
                project.boxes_of(reader, image).to_vec(),
                project.review(reader, image).clone(),
            )
        })
    });
    (
        project.images().to_vec(),
        project.classes().to_vec(),
        project.readers().to_vec(),
        pages.collect(),
        [project.runs(), project.trash()].map(<[Run]>::to_vec),
    )
}

fn reopened(project: Project) -> Project {
    let dir = project.dir().to_owned();
    let before = contents(&project);
    drop(project);
    let project = Project::open(&dir).unwrap();
    assert_eq!(
        contents(&project),
        before,
        "what is read is what was written"
    );
    project
}

proptest! {
    // Each case is dozens of commits to a disk.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn undoing_all_gives_the_start_and_redoing_all_the_end(choices in prop::collection::vec(choice(), 1..20), reopen_at in 0..20_usize) {
        let (_root, mut project) = small_project();
        for _ in 0..3 {
            let (run, _) = project.begin_run().unwrap();
            project.end_run(run, RunState::Finished, "Done.", &[]).unwrap();
        }
        let start = contents(&project);
        let mut edits = Vec::new();
        for choice in &choices {
            let edit = choice.edit(&project);
            edits.push(edit.clone());
            project.apply(edit).unwrap();
        }
        let end = contents(&project);
        for (i, edit) in edits.iter().rev().enumerate() {
            if i == reopen_at {
                project = reopened(project);
            }
            prop_assert_eq!(project.undoable(), Some(edit));
            prop_assert_eq!(project.undo().unwrap(), Some(edit.clone()));
        }
        prop_assert_eq!(project.undo().unwrap(), None);
        prop_assert_eq!(contents(&project), start);
        for (i, edit) in edits.iter().enumerate() {
            if i == reopen_at {
                project = reopened(project);
            }
            prop_assert_eq!(project.redo().unwrap(), Some(edit.clone()));
        }
        prop_assert_eq!(project.redo().unwrap(), None);
        project = reopened(project);
        prop_assert_eq!(contents(&project), end);
    }
}

#[test]
fn an_edit_ends_what_could_be_redone() {
    let (_root, mut project) = small_project();
    let image = project.images()[0].id;
    let (first, second) = (
        Edit::SetReview {
            image,
            reader: None,
            state: ReviewState::Done,
        },
        Edit::SetRare {
            class: project.classes()[1].id,
            rare: true,
        },
    );
    project.apply(first.clone()).unwrap();
    project.undo().unwrap();
    assert_eq!(project.redoable(), Some(&first));
    project.apply(second.clone()).unwrap();
    assert_eq!(project.redoable(), None);
    project = reopened(project);
    assert_eq!(project.redo().unwrap(), None);
    assert_eq!(project.undo().unwrap(), Some(second));
    assert_eq!(project.undo().unwrap(), None);
}

#[test]
fn the_number_of_an_undone_box_is_not_given_again() {
    let (_root, mut project) = small_project();
    let (image, id) = (project.images()[0].id, project.next_box_id());
    let rect = BoundingBox::new(1.0, 1.0, 5.0, 5.0).unwrap();
    let edit = Edit::AddBox {
        annotation: project.new_box(image, rect),
    };
    project.apply(edit.clone()).unwrap();
    project.undo().unwrap();
    assert!(project.next_box_id() > id);
    project = reopened(project);
    assert!(project.next_box_id() > id);
    assert!(project.apply(edit).is_err());
    assert_eq!(
        project.redo().unwrap().map(|edit| edit.describe()),
        Some("Box drawn")
    );
    assert_eq!(project.boxes(image)[0].id, id);
}
