//! The rooms as they look, in both themes, against the pictures in `tests/pictures`.
//!
//! `CARE_PICTURES=renew cargo test -p care-studio --test it pictures` draws them anew; look at them before they are committed.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use care_data::import::{Import, NewImage};
use care_data::{
    BoundingBox, ContentHash, Edit, ImageSize, NotRead, Orientation, Part, Project, SplitSpec,
};
use care_studio::app::App;
use care_studio::command::{Command, Room};
use egui_kittest::Harness;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

use crate::common::{build, settle};
use crate::compare::{click, finished_run, tab};
use crate::raster::Raster;

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 800;
/// Of colours in the files.
const STEP: u8 = 4;
/// By which a colour may be another: half a step, and a little for glyphs, which are drawn by what the processor offers.
const TOLERANCE: u8 = STEP / 2 + 3;
/// So many pixels may be of another colour altogether: less than a word in the smallest type.
const MAX_OTHERS: usize = 40;

/// Forty skins with a lesion each: many of a common class, few of a rare one, some of them with a box.
fn project(root: &Path) -> Project {
    let lesion = BoundingBox::new(36.0, 22.0, 66.0, 48.0).unwrap();
    let image = |class: &str, n: u8| {
        let path = root.join(format!("{class}_{n:02}.png"));
        let dark = if class == "nevus" { 90 } else { 140 };
        let picture = RgbImage::from_fn(96, 72, |x, y| {
            let (dx, dy) = ((x as f32 - 51.0) / 15.0, (y as f32 - 35.0) / 13.0);
            if dx * dx + dy * dy < 1.0 {
                Rgb([dark + n, 60, 50])
            } else {
                Rgb([220, 180, 150])
            }
        });
        picture.save(&path).unwrap();
        let part = match n % 5 {
            3 => Part::Validation,
            4 => Part::Test,
            _ => Part::Train,
        };
        let has_box = class != "nevus" && (part != Part::Train || n.is_multiple_of(5));
        NewImage {
            hash: ContentHash::of(&std::fs::read(&path).unwrap()),
            path,
            size: ImageSize::new(96, 72),
            orientation: Orientation::default(),
            class: class.to_owned(),
            group: None,
            patient: None,
            part: Some(part),
            boxes: has_box.then_some(lesion).into_iter().collect(),
        }
    };
    let classes = [("nevus", 25), ("dermatofibroma", 15)];
    let images = classes.into_iter();
    let import = Import {
        images: images
            .flat_map(|(class, n)| (0..n).map(move |n| (class, n)))
            .map(|(class, n)| image(class, n))
            .collect(),
        not_read: vec![NotRead {
            path: "notes.png".into(),
            why: "it is no image".to_owned(),
            advice: "Take it out.".to_owned(),
        }],
        split: SplitSpec::default(),
    };
    let mut project = Project::create(&root.join("skin.care")).unwrap();
    project.take_in(import).unwrap();
    let rare = project.classes().iter().find(|it| it.name != "nevus");
    let class = rare.unwrap().id;
    project.apply(Edit::SetRare { class, rare: true }).unwrap();
    project
}

fn window() -> (Raster, Harness<'static, App>) {
    let raster = Raster::default();
    let builder = Harness::builder()
        .with_size([WIDTH as f32, HEIGHT as f32])
        .renderer(raster.clone());
    (raster, build(builder, None))
}

/// In a room of that project, with a run that has ended where asked.
fn in_room(room: Room, with_run: bool) -> (TempDir, Raster, Harness<'static, App>) {
    let root = tempfile::tempdir().unwrap();
    let mut project = project(root.path());
    let (raster, mut window) = window();
    let state = &mut window.state_mut().state;
    state.run = None;
    let run = with_run.then(|| {
        let (id, _) = project.begin_run().unwrap();
        finished_run(&project, id, 12)
    });
    state.show(Some(project));
    state.run = run;
    state.room = room;
    settle(&mut window);
    (root, raster, window)
}

fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures");
    folder.join(name).with_extension("png")
}

/// Colours rounded, which an eye does not see and which makes the files smaller by a fifth.
fn save(picture: &RgbImage, path: &Path) {
    let mut picture = picture.clone();
    for value in picture.iter_mut() {
        *value = value.saturating_add(STEP / 2) / STEP * STEP;
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = BufWriter::new(File::create(path).unwrap());
    let encoder = PngEncoder::new_with_quality(file, CompressionType::Best, FilterType::NoFilter);
    picture.write_with_encoder(encoder).unwrap();
}

/// Pixels of another colour, all of them where the sizes differ.
fn others(a: &RgbImage, b: &RgbImage) -> usize {
    if a.dimensions() != b.dimensions() {
        return a.pixels().len();
    }
    let differ = |(Rgb(a), Rgb(b)): (&Rgb<u8>, &Rgb<u8>)| {
        let mut channels = a.iter().zip(b);
        channels.any(|(a, b)| a.abs_diff(*b) > TOLERANCE)
    };
    a.pixels()
        .zip(b.pixels())
        .filter(|&pair| differ(pair))
        .count()
}

/// Both themes of what the window shows. Its pictures come when they are decoded, so it is given time to look as it should.
fn compare(name: &str, raster: &Raster, window: &mut Harness<'_, App>) {
    for (light, theme) in [(false, "dark"), (true, "light")] {
        window.state_mut().state.settings.light = light;
        let name = format!("{name}-{theme}");
        let path = file(&name);
        let renew = std::env::var("CARE_PICTURES").is_ok_and(|value| value == "renew");
        let expected = image::open(&path).map(|it| it.into_rgb8()).ok();
        let patience = Duration::from_secs(if renew { 2 } else { 20 });
        let begun = Instant::now();
        let (seen, n) = loop {
            settle(window);
            let seen = raster.picture(window);
            let n = expected.as_ref().map_or(usize::MAX, |it| others(it, &seen));
            if n <= MAX_OTHERS || begun.elapsed() > patience {
                break (seen, n);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        if n <= MAX_OTHERS {
            continue;
        }
        if renew {
            save(&seen, &path);
            continue;
        }
        let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
        save(&seen, &new);
        panic!(
            "{n} pixels of {} are others: see {}; CARE_PICTURES=renew takes what is seen now",
            path.display(),
            new.display()
        );
    }
}

#[test]
fn start() {
    let (raster, mut window) = window();
    compare("start", &raster, &mut window);
}

#[test]
fn images() {
    let (_root, raster, mut window) = in_room(Room::Images, false);
    compare("images", &raster, &mut window);
}

#[test]
fn annotate() {
    let (_root, raster, mut window) = in_room(Room::Annotate, false);
    let project = window.state().state.project.as_ref().unwrap();
    let boxed = project
        .images()
        .iter()
        .find(|it| it.part == Part::Train && !project.boxes(it.id).is_empty());
    let image = boxed.unwrap().id;
    window.state_mut().commands().send(Command::Annotate(image));
    settle(&mut window);
    compare("annotate", &raster, &mut window);
}

#[test]
fn train() {
    let (_root, raster, mut window) = in_room(Room::Train, false);
    compare("train", &raster, &mut window);
}

#[test]
fn compare_room() {
    let (_root, raster, mut window) = in_room(Room::Compare, true);
    compare("compare", &raster, &mut window);
}

#[test]
fn compare_one_image() {
    let (_root, raster, mut window) = in_room(Room::Compare, true);
    click(&mut window, "One image");
    tab(&mut window, "Images");
    compare("compare-image", &raster, &mut window);
}

#[test]
fn compare_runs() {
    let (_root, raster, mut window) = in_room(Room::Compare, true);
    click(&mut window, "Runs 1");
    compare("compare-runs", &raster, &mut window);
}
