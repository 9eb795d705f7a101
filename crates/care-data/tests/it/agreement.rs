use care_data::agreement::{Agreement, compare, settle};
use care_data::export::{Format, Options, export};
use care_data::{
    Annotation, BoundingBox, Edit, ImageId, Origin, Project, Reader, ReaderId, ReviewState,
};

use crate::small_project;

fn rect([x0, y0, x1, y1]: [f64; 4]) -> BoundingBox {
    BoundingBox::new(x0, y0, x1, y1).unwrap()
}

fn with_readers() -> (tempfile::TempDir, Project) {
    let (root, mut project) = small_project();
    for name in ["Ada", "Bob"] {
        let reader = Reader {
            id: project.next_reader_id(),
            name: name.to_owned(),
        };
        project.apply(Edit::AddReader { reader }).unwrap();
    }
    (root, project)
}

fn draw(project: &mut Project, reader: i64, image: ImageId, xyxy: [f64; 4]) {
    let annotation = Annotation {
        reader: Some(ReaderId(reader)),
        ..project.new_box(image, rect(xyxy))
    };
    project.apply(Edit::AddBox { annotation }).unwrap();
    finish(project, reader, image);
}

fn finish(project: &mut Project, reader: i64, image: ImageId) {
    let done = Edit::SetReview {
        image,
        reader: Some(ReaderId(reader)),
        state: ReviewState::Done,
    };
    project.apply(done).unwrap();
}

/// Readers 1 and 2 draw these on an image.
fn agreement(a: &[[f64; 4]], b: &[[f64; 4]]) -> Agreement {
    let (_root, mut project) = with_readers();
    let image = project.images()[0].id;
    a.iter().for_each(|&it| draw(&mut project, 1, image, it));
    b.iter().for_each(|&it| draw(&mut project, 2, image, it));
    let of = |reader| project.boxes_of(Some(ReaderId(reader)), image);
    Agreement::of(of(1), of(2))
}

#[test]
fn boxes_are_paired_by_their_overlap() {
    let left = [0.0, 0.0, 4.0, 4.0];
    let half = [0.0, 0.0, 4.0, 2.0];
    let right = [10.0, 0.0, 14.0, 4.0];
    let touching = [4.0, 0.0, 8.0, 4.0];
    for (a, b, ious, unmatched, enough) in [
        (vec![left], vec![left], vec![1.0], [0, 0], true),
        (vec![left], vec![half], vec![0.5], [0, 0], true),
        // The same thing, but not well enough.
        (
            vec![left],
            vec![[2.0, 0.0, 6.0, 4.0]],
            vec![1.0 / 3.0],
            [0, 0],
            false,
        ),
        (vec![left], vec![touching], vec![], [1, 1], false),
        (vec![left, right], vec![right], vec![1.0], [1, 0], false),
        // One box is one thing: the second that overlaps with it stands alone.
        (vec![half, left], vec![left], vec![1.0], [1, 0], false),
        (
            vec![left, right],
            vec![right, half],
            vec![1.0, 0.5],
            [0, 0],
            true,
        ),
        (vec![], vec![], vec![], [0, 0], true),
        (vec![], vec![left], vec![], [0, 1], false),
    ] {
        let found = agreement(&a, &b);
        let found_ious: Vec<_> = found.pairs.iter().map(|pair| pair.iou).collect();
        assert_eq!(found_ious, ious, "{a:?} {b:?}");
        let left_over = [found.only_a.len(), found.only_b.len()];
        assert_eq!(left_over, unmatched, "{a:?} {b:?}");
        assert_eq!(found.is_enough(), enough, "{a:?} {b:?}");
    }
    let found = agreement(&[left, right], &[right, half]);
    assert_eq!(found.mean_iou(), Some(0.75));
    assert_eq!(found.pairs[1].mean(), rect([0.0, 0.0, 4.0, 3.0]));
    assert_eq!(agreement(&[], &[]).mean_iou(), None);
}

#[test]
fn what_readers_draw_is_nobody_elses_until_it_is_settled() {
    let (root, mut project) = with_readers();
    let ids: Vec<_> = project.images().iter().map(|image| image.id).collect();
    let own = project.new_box(ids[0], rect([1.0, 1.0, 2.0, 2.0]));
    project.apply(Edit::AddBox { annotation: own }).unwrap();
    draw(&mut project, 1, ids[0], [0.0, 0.0, 4.0, 4.0]);
    draw(&mut project, 1, ids[1], [0.0, 0.0, 4.0, 4.0]);
    draw(&mut project, 2, ids[0], [0.0, 0.0, 4.0, 2.0]);
    let (a, b) = (ReaderId(1), ReaderId(2));
    let read = |project: &Project| {
        let compared = compare(project, a, b);
        compared.iter().map(|it| it.0).collect::<Vec<_>>()
    };
    assert_eq!(read(&project), [ids[0]], "2 has not come to the second");
    finish(&mut project, 2, ids[1]);
    assert_eq!(
        read(&project),
        [ids[0], ids[1]],
        "says that there is nothing"
    );
    assert_eq!(project.boxes(ids[0]).len(), 1);
    assert!(project.boxes(ids[1]).is_empty());
    for format in Format::ALL {
        let out = root.path().join(format.name());
        let options = Options {
            format,
            part: None,
            replace: false,
        };
        let exported = export(&project, &out, options).unwrap();
        assert_eq!(exported.boxes, 1, "{format:?}");
    }

    let mean = compare(&project, a, b)[0].1.pairs[0].mean();
    let before = (project.boxes(ids[0]).to_vec(), project.next_box_id());
    let settled = settle(&project, &[(ids[0], vec![mean]), (ids[1], vec![])]);
    project.apply(settled.unwrap()).unwrap();
    let [settled] = project.boxes(ids[0]) else {
        panic!("one box in place of the other")
    };
    assert_eq!((settled.rect, settled.origin), (mean, Origin::Readers));
    assert_eq!(project.review(None, ids[0]).state, ReviewState::Done);
    assert_eq!(project.boxes_of(Some(a), ids[0]).len(), 1, "kept as read");
    assert_eq!(project.review(None, ids[1]).state, ReviewState::Done);
    project.undo().unwrap();
    assert_eq!(project.boxes(ids[0]), before.0);
    assert!(project.next_box_id() > before.1, "a number is given once");
    assert_eq!(project.review(None, ids[0]).state, ReviewState::ToDo);

    let gone = project.apply(Edit::RemoveReader { id: b });
    assert!(gone.is_err(), "its work is kept");
}
