//! `new`, `import`, `list`, `box`.

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
    let mut project = Project::open(&request.project)?;
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
    if let Ok(progress) = progress.lock() {
        for file in &import.not_read {
            progress.say(&format!("not read: {}", format::not_read(file)));
        }
    }
    let not_read = import.not_read.len();
    let boxes: usize = import.images.iter().map(|image| image.boxes.len()).sum();
    let taken = project.take_in(import)?;
    for name in &request.rare {
        let class = project
            .classes()
            .iter()
            .find(|class| class.name == *name)
            .with_context(|| {
                let names: Vec<_> = project
                    .classes()
                    .iter()
                    .map(|class| class.name.as_str())
                    .collect();
                format!(
                    "there is no class \"{name}\" to mark as rare; the classes are {}",
                    names.join(", ")
                )
            })?;
        if !class.rare {
            let edit = Edit::SetRare {
                class: class.id,
                rare: true,
            };
            project.apply(edit)?;
        }
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
        project.apply(Edit::RemoveBox { id: *id })?;
    }
    for rect in &request.add {
        let rect = rect.clamped(image.size).with_context(|| {
            format!(
                "{} is {} \u{d7} {} pixels",
                image.name(),
                image.size.width,
                image.size.height
            )
        })?;
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
