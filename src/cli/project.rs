//! `new`, `import`, `list`, `box`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, bail, ensure};
use care_data::import;
use care_data::{Annotation, Edit, Image, Project};
use serde::Serialize;

use super::output::{self, Progress, line};
use super::request::{Boxes, Import};
use crate::format;

pub fn new(dir: &Path) -> Result<()> {
    Project::create(dir)?;
    line(&format!(
        "{} is ready. Next: care import {} FOLDER",
        dir.display(),
        dir.display()
    ))
}

pub fn import(request: &Import) -> Result<()> {
    let existing = request
        .project
        .exists()
        .then(|| Project::open(&request.project))
        .transpose()?;
    let progress = Mutex::new(Progress::new());
    let show = |done, total| {
        if let Ok(progress) = progress.lock() {
            progress.show(&format!("reading {done} of {total}"));
        }
    };
    let import = import::read(
        &request.path,
        &request.options,
        &show,
        &AtomicBool::new(false),
    )?;
    drop(progress);
    // Before anything is written: half of what was asked for is no answer to a slip of the pen.
    let mut classes: BTreeSet<&str> = import.images.iter().map(|i| i.class.as_str()).collect();
    classes.extend(
        existing
            .iter()
            .flat_map(Project::classes)
            .map(|class| class.name.as_str()),
    );
    for name in &request.rare {
        ensure!(
            classes.contains(name.as_str()),
            "there is no class \"{name}\" to mark as rare; the classes are {}",
            Vec::from_iter(classes).join(", ")
        );
    }
    let mut project = match existing {
        Some(project) => project,
        None => Project::create(&request.project)?,
    };
    let boxes: usize = import.images.iter().map(|image| image.boxes.len()).sum();
    let taken = project.take_in(import)?;
    // Among them what only the project could notice: files that have changed since they came in.
    let not_read = project.not_read().len();
    for file in project.not_read() {
        output::note(&format!("not read: {}", format::not_read(file)));
    }
    let marked: Vec<_> = project
        .classes()
        .iter()
        .filter(|class| !class.rare && request.rare.contains(&class.name))
        .map(|class| class.id)
        .collect();
    for class in marked {
        project.apply(Edit::SetRare { class, rare: true })?;
    }
    line(&format!(
        "{} added, {} already there, {boxes} boxes in the table, {not_read} not read",
        format::plural(taken.added, "image", "images"),
        taken.already_there,
    ))
}

#[derive(Serialize)]
struct ListedImage<'a> {
    id: i64,
    name: &'a str,
    path: std::path::PathBuf,
    class: &'a str,
    rare: bool,
    split: &'static str,
    group: &'a str,
    width: u32,
    height: u32,
    done: bool,
    boxes: Vec<ListedBox>,
}

#[derive(Serialize)]
struct ListedBox {
    id: i64,
    xyxy: [f64; 4],
}

fn listed<'a>(project: &'a Project, image: &'a Image) -> ListedImage<'a> {
    let class = project.class(image.class);
    let boxes = project
        .boxes(image.id)
        .iter()
        .map(|b| ListedBox {
            id: b.id.0,
            xyxy: b.rect.xyxy(),
        })
        .collect();
    ListedImage {
        id: image.id.0,
        name: image.name(),
        path: project.path_of(image),
        class: class.map_or("", |class| &class.name),
        rare: class.is_some_and(|class| class.rare),
        split: image.part.name(),
        group: &image.group,
        width: image.size.width,
        height: image.size.height,
        done: image.done,
        boxes,
    }
}

pub fn list(dir: &Path, as_json: bool) -> Result<()> {
    let project = Project::open_read_only(dir)?;
    let images: Vec<_> = project
        .images()
        .iter()
        .map(|image| listed(&project, image))
        .collect();
    if as_json {
        return output::json(&images);
    }
    let rows: Vec<Vec<String>> = images
        .iter()
        .map(|image| {
            vec![
                image.name.to_owned(),
                image.class.to_owned(),
                image.split.to_owned(),
                image.group.to_owned(),
                format!("{}\u{d7}{}", image.width, image.height),
                image.boxes.len().to_string(),
            ]
        })
        .collect();
    output::table(
        &["image", "class", "split", "group", "size", "boxes"],
        &rows,
    )
}

fn find<'a>(project: &'a Project, wanted: &str) -> Result<&'a Image> {
    let number = wanted.parse::<i64>().ok();
    let by_number = project
        .images()
        .iter()
        .find(|image| Some(image.id.0) == number);
    let mut found = project
        .images()
        .iter()
        .filter(|image| image.name() == wanted || image.path == wanted);
    match (found.next(), found.next()) {
        (Some(image), None) => Ok(image),
        (None, _) => {
            by_number.with_context(|| format!("no image is called \"{wanted}\"; see care list"))
        }
        (Some(_), Some(_)) => {
            bail!("several images are called \"{wanted}\": give the path or the number instead")
        }
    }
}

pub fn boxes(request: &Boxes) -> Result<()> {
    let mut project = if request.add.is_empty() && request.remove.is_empty() {
        Project::open_read_only(&request.project)?
    } else {
        Project::open(&request.project)?
    };
    let image = find(&project, &request.image)?.clone();
    for id in &request.remove {
        let known = project
            .boxes(image.id)
            .iter()
            .any(|annotation| annotation.id == *id);
        ensure!(known, "{} has no box {id}", image.name());
    }
    let added: Vec<_> = request
        .add
        .iter()
        .map(|rect| rect.clamped(image.size))
        .collect::<Result<_, _>>()
        .with_context(|| {
            format!(
                "{} is {} \u{d7} {} pixels",
                image.name(),
                image.size.width,
                image.size.height
            )
        })?;
    for id in &request.remove {
        project.apply(Edit::RemoveBox { id: *id })?;
    }
    for rect in added {
        let annotation = Annotation {
            id: project.next_box_id(),
            image: image.id,
            rect,
        };
        project.apply(Edit::AddBox { annotation })?;
    }
    for annotation in project.boxes(image.id) {
        let [x0, y0, x1, y1] = annotation.rect.xyxy();
        line(&format!("{}\t{x0},{y0},{x1},{y1}", annotation.id))?;
    }
    Ok(())
}
