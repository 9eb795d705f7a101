//! What people say about runs, and the trash.

use std::path::Path;

use care_data::{Edit, Metric, Project, RunId, RunState};

use crate::small_project;

/// A project with so many runs that have ended; in each folder a file that says which it is.
fn with_runs(n: i64) -> (tempfile::TempDir, Project) {
    let (root, mut project) = small_project();
    for _ in 0..n {
        let (id, dir) = project.begin_run().unwrap();
        std::fs::write(dir.join("results.json"), format!("run {id}")).unwrap();
        let metric = Metric {
            model: "CARE".to_owned(),
            name: "mca".to_owned(),
            value: 0.5,
            n: 4,
            low: None,
            high: None,
        };
        project
            .end_run(id, RunState::Finished, "Done.", &[metric])
            .unwrap();
    }
    (root, project)
}

fn reopened(project: Project) -> Project {
    let dir = project.dir().to_owned();
    drop(project);
    Project::open(&dir).unwrap()
}

fn ids(project: &Project) -> (Vec<i64>, Vec<i64>) {
    let ids = |runs: &[care_data::Run]| runs.iter().map(|run| run.id.0).collect();
    (ids(project.runs()), ids(project.trash()))
}

fn says(project: &Project, id: RunId) -> Option<String> {
    std::fs::read_to_string(project.run_dir(id).join("results.json")).ok()
}

fn delete(run: RunId) -> Edit {
    Edit::SetRunDeleted { run, deleted: true }
}

#[test]
fn a_deleted_run_comes_back_with_its_folder_and_its_place_also_after_a_restart() {
    let (_root, mut project) = with_runs(3);
    let run = RunId(2);
    project.apply(delete(run)).unwrap();
    project = reopened(project);
    assert_eq!(ids(&project), (vec![1, 3], vec![2]));
    assert!(!project.dir().join("runs/0002").exists());
    assert_eq!(
        says(&project, run).as_deref(),
        Some("run 2"),
        "in the trash"
    );
    assert_eq!(project.trash_size(), 5);
    assert!(project.apply(delete(run)).is_err(), "it is there already");

    project.undo().unwrap();
    assert_eq!(ids(&project), (vec![1, 2, 3], vec![]));
    assert_eq!(project.run_dir(run), project.dir().join("runs/0002"));
    assert_eq!(says(&project, run).as_deref(), Some("run 2"));
    assert_eq!((project.trash_size(), project.metrics(run).len()), (0, 1));
    project.redo().unwrap();
    project = reopened(project);
    assert_eq!(ids(&project), (vec![1, 3], vec![2]));
}

#[test]
fn what_is_said_about_a_run_is_an_edit() {
    let (_root, mut project) = with_runs(1);
    let run = RunId(1);
    for edit in [
        Edit::SetRunName {
            run,
            name: "more boxes".to_owned(),
        },
        Edit::SetRunRemark {
            run,
            remark: "as in the paper".to_owned(),
        },
        Edit::SetRunStar { run, starred: true },
    ] {
        project.apply(edit).unwrap();
    }
    project = reopened(project);
    let said = project.run(run).unwrap();
    assert_eq!(said.title(), "Run 1: more boxes");
    assert_eq!(
        (said.remark.as_str(), said.starred),
        ("as in the paper", true)
    );
    assert_eq!(said.note, "Done.", "how it ended stays");
    for _ in 0..3 {
        project.undo().unwrap();
    }
    let said = project.run(run).unwrap();
    assert_eq!((said.title().as_str(), said.remark.as_str()), ("Run 1", ""));
    assert!(!said.starred);
    let nobody = RunId(7);
    assert!(project.apply(delete(nobody)).is_err());
}

#[test]
fn what_is_said_about_a_run_is_no_change_of_the_images() {
    let (_root, mut project) = with_runs(2);
    let revisions = |project: &Project| (project.revision(), project.images_revision());
    let (all, images) = revisions(&project);
    let run = RunId(1);
    let star = Edit::SetRunStar { run, starred: true };
    project.apply(star.clone()).unwrap();
    project.undo().unwrap();
    project.redo().unwrap();
    let edits = vec![delete(run), delete(RunId(2))];
    project.apply(Edit::Several { edits }).unwrap();
    project.begin_run().unwrap();
    assert_eq!(revisions(&project), (all + 5, images));
    // One that does both counts.
    let class = project.classes()[0].id;
    let rare = Edit::SetRare { class, rare: true };
    let edits = vec![
        rare,
        Edit::SetRunDeleted {
            run,
            deleted: false,
        },
    ];
    project.apply(Edit::Several { edits }).unwrap();
    project.undo().unwrap();
    assert_eq!(revisions(&project), (all + 7, images + 2));
}

#[test]
fn a_run_in_training_is_not_deleted() {
    let (_root, mut project) = with_runs(1);
    let (id, dir) = project.begin_run().unwrap();
    let error = project.apply(delete(id)).unwrap_err();
    assert!(error.to_string().contains("stop it first"), "{error}");
    assert!(dir.is_dir());
    assert_eq!(ids(&project), (vec![1, 2], vec![]));
}

#[test]
fn a_run_that_goes_on_is_in_training_until_it_ends_again() {
    let (dir, mut project) = with_runs(1);
    let run = project.runs()[0].id;
    let folder = project.resume_run(run).expect("goes on");
    assert_eq!(folder, project.run_dir(run));
    let state = |project: &Project| project.run(run).map(|run| run.state);
    assert_eq!(state(&project), Some(RunState::Running));
    assert!(project.metrics(run).is_empty());
    // The process that trained it is gone.
    let path = project.dir().to_owned();
    drop(project);
    let project = Project::open(&path).expect("opens");
    assert_eq!(state(&project), Some(RunState::Stopped));
    drop(dir);
}

#[test]
fn a_number_is_not_given_again_while_its_run_lies_in_the_trash() {
    let (_root, mut project) = with_runs(2);
    project.apply(delete(RunId(2))).unwrap();
    assert_eq!(project.begin_run().unwrap().0, RunId(3));
    std::fs::create_dir_all(project.dir().join("runs/trash/0004")).unwrap();
    assert_eq!(project.next_run_id(), RunId(5), "left by an older file");
}

#[test]
fn an_emptied_trash_keeps_the_figures() {
    let (_root, mut project) = with_runs(2);
    let run = RunId(1);
    assert!(project.empty_trash().unwrap().is_empty());
    project.apply(delete(run)).unwrap();
    for aside in project.empty_trash().unwrap() {
        assert!(aside.starts_with(project.dir()));
        std::fs::remove_dir_all(aside).unwrap();
    }
    assert_eq!((project.trash_size(), project.trash().len()), (0, 1));
    assert_eq!(says(&project, run), None);
    project.undo().unwrap();
    assert_eq!(ids(&project), (vec![1, 2], vec![]));
    assert_eq!(project.metrics(run).len(), 1);
    assert!(!project.run_dir(run).exists());
}

#[test]
fn what_an_emptying_left_behind_is_counted_and_goes_with_the_next_one() {
    let (_root, mut project) = with_runs(3);
    // As a version before left it.
    let old = project.dir().join("runs/trash/emptied/0009-1");
    std::fs::create_dir_all(&old).unwrap();
    std::fs::write(old.join("weights"), "1234567").unwrap();
    project.apply(delete(RunId(1))).unwrap();
    assert_eq!(project.trash_size(), 5 + 7);
    // Cut off before anything was removed.
    assert_eq!(project.empty_trash().unwrap().len(), 2);
    project = reopened(project);
    assert_eq!(project.trash_size(), 5 + 7);
    project.apply(delete(RunId(2))).unwrap();
    let aside = project.empty_trash().unwrap();
    assert_eq!((aside.len(), project.trash_size()), (3, 5 + 5 + 7));
    for folder in aside {
        std::fs::remove_dir_all(folder).unwrap();
    }
    assert_eq!(project.trash_size(), 0);
    assert_eq!(says(&project, RunId(3)).as_deref(), Some("run 3"));
}

/// The folder was moved and the power failed before the record, or the other way round.
#[test]
fn opening_puts_folders_where_their_runs_are() {
    let (_root, mut project) = with_runs(2);
    project.apply(delete(RunId(2))).unwrap();
    let runs = project.dir().join("runs");
    let swap = |from: &Path, to: &Path| std::fs::rename(from, to).unwrap();
    swap(&runs.join("0001"), &runs.join("trash/0001"));
    swap(&runs.join("trash/0002"), &runs.join("0002"));
    project = reopened(project);
    assert_eq!(says(&project, RunId(1)).as_deref(), Some("run 1"));
    assert!(runs.join("0001").exists() && runs.join("trash/0002").exists());
}

#[test]
#[cfg(unix)]
fn a_folder_that_cannot_be_moved_is_an_error_and_nothing_is_changed() {
    let (_root, mut project) = with_runs(1);
    // A file where the trash would be.
    std::fs::write(project.dir().join("runs/trash"), "").unwrap();
    let revision = project.revision();
    assert!(project.apply(delete(RunId(1))).is_err());
    assert_eq!(ids(&project), (vec![1], vec![]));
    assert_eq!(project.revision(), revision);
    assert_eq!(says(&project, RunId(1)).as_deref(), Some("run 1"));
    project = reopened(project);
    assert_eq!(ids(&project), (vec![1], vec![]));
}
