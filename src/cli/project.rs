//! `new`, `import`, `export`, `list`, `box`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, bail, ensure};
use care_data::{Edit, Image, ImageId, Project};
use care_data::{export, import};
use serde::Serialize;

use super::output::{self, Progress, line};
use super::request::{Boxes, Export, Import};
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
    let progress = Progress::new();
    let show = |done: usize, total: usize| {
        let text = format!("reading {done} of {total}");
        progress.show(done as u64, total as u64, &text);
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
    let in_source: usize = import.images.iter().map(|image| image.boxes.len()).sum();
    let taken = project.take_in(import)?;
    let boxes = format::plural(taken.boxes, "box", "boxes");
    // Of images that somebody has worked on, and of those that came in with theirs.
    let boxes = match in_source.saturating_sub(taken.boxes) {
        0 => boxes,
        left => format!("{boxes} ({left} left as they are in the project)"),
    };
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
        "{} added, {} already there, {boxes}, {not_read} not read",
        format::plural(taken.added, "image", "images"),
        taken.already_there,
    ))
}

#[derive(Serialize)]
struct Previewed {
    format: &'static str,
    source: String,
    images: usize,
    /// Of these, in the project, by their paths.
    already_there: usize,
    boxes: usize,
    masks: usize,
    classes: Vec<PreviewedClass>,
    not_read: Vec<PreviewedFile>,
}

#[derive(Serialize)]
struct PreviewedClass {
    name: String,
    images: usize,
    boxes: usize,
}

#[derive(Serialize)]
struct PreviewedFile {
    path: String,
    why: String,
    advice: String,
}

/// What an import would bring; nothing is written.
pub fn preview(request: &Import) -> Result<()> {
    let stop = AtomicBool::new(false);
    let plan = import::plan(&request.path, &request.options, &stop)?;
    let preview = plan.preview(&stop)?;
    let already_there = if request.project.exists() {
        plan.already_in(&Project::open_read_only(&request.project)?)
    } else {
        0
    };
    if request.json {
        let class = |it: import::ClassCount| PreviewedClass {
            name: it.name,
            images: it.images,
            boxes: it.boxes,
        };
        let file = |it: care_data::NotRead| PreviewedFile {
            path: it.path.display().to_string(),
            why: it.why,
            advice: it.advice,
        };
        return output::json(&Previewed {
            format: preview.format.name(),
            source: preview.source.display().to_string(),
            images: preview.images,
            already_there,
            boxes: preview.boxes,
            masks: preview.masks,
            classes: preview.classes.into_iter().map(class).collect(),
            not_read: preview.not_read.into_iter().map(file).collect(),
        });
    }
    for file in &preview.not_read {
        output::note(&format!("not read: {}", format::not_read(file)));
    }
    let rows: Vec<Vec<String>> = preview
        .classes
        .iter()
        .map(|class| {
            vec![
                class.name.clone(),
                class.images.to_string(),
                class.boxes.to_string(),
            ]
        })
        .collect();
    output::table(&["class", "images", "boxes"], &rows)?;
    let masks = match preview.masks {
        0 => String::new(),
        n => format!(", and those of {}", format::plural(n, "mask", "masks")),
    };
    let already_there = match already_there {
        0 => String::new(),
        n => format!(", {n} of them already there"),
    };
    line(&format!(
        "{} as {}: {} with {}{masks} would come in{already_there}, {} not read",
        preview.source.display(),
        preview.format.described(),
        format::plural(preview.images, "image", "images"),
        format::plural(preview.boxes, "box", "boxes"),
        preview.not_read.len(),
    ))
}

pub fn export(request: &Export) -> Result<()> {
    let project = Project::open_read_only(&request.project)?;
    let exported = match export::export(&project, &request.out, request.options) {
        Err(error @ export::ExportError::Exists { .. }) => {
            return Err(error).context("nothing was written (--force replaces an earlier export)");
        }
        result => result?,
    };
    let (words, notes) = format::exported(exported, &request.out);
    for note in notes {
        output::note(&format!("note: {note}"));
    }
    line(&words)
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
    /// "to do", "done" or "second look".
    review: &'static str,
    note: &'a str,
    /// Its file is not where it was.
    missing: bool,
    boxes: Vec<ListedBox>,
}

#[derive(Serialize)]
struct ListedBox {
    id: i64,
    xyxy: [f64; 4],
    origin: &'static str,
}

fn listed<'a>(project: &'a Project, image: &'a Image, missing: &[ImageId]) -> ListedImage<'a> {
    let class = project.class(image.class);
    let review = project.review(None, image.id);
    let boxes = project
        .boxes(image.id)
        .iter()
        .map(|b| ListedBox {
            id: b.id.0,
            xyxy: b.rect.xyxy(),
            origin: b.origin.name(),
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
        review: review.state.name(),
        note: &review.note,
        missing: missing.binary_search(&image.id).is_ok(),
        boxes,
    }
}

pub fn list(dir: &Path, as_json: bool) -> Result<()> {
    let project = Project::open_read_only(dir)?;
    let missing = project.missing();
    let images: Vec<_> = project
        .images()
        .iter()
        .map(|image| listed(&project, image, &missing))
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
                if image.missing { "missing" } else { "there" }.to_owned(),
            ]
        })
        .collect();
    output::table(
        &["image", "class", "split", "group", "size", "boxes", "file"],
        &rows,
    )
}

/// By name, path or number.
pub fn find<'a>(project: &'a Project, wanted: &str) -> Result<&'a Image> {
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
        let annotation = project.new_box(image.id, rect);
        project.apply(Edit::AddBox { annotation })?;
    }
    for annotation in project.boxes(image.id) {
        let [x0, y0, x1, y1] = annotation.rect.xyxy();
        line(&format!("{}\t{x0},{y0},{x1},{y1}", annotation.id))?;
    }
    Ok(())
}
