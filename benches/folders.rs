//! Big folders in the window: a hundred thousand small images, and a thousand photographs. Each figure beside its bar.
//!
//!     cargo xtask bench gui
//!     cargo bench --profile dev --bench folders -- [import | open | scroll | next | rooms]...
//!
//! Every part runs in a process of its own, so that none finds memory or threads that another left. The images are made
//! once and kept under `target/tmp`. Files are taken out of the system's cache before they count as cold; the names in their
//! folders stay in it. For Linux.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

mod support;

use std::fs::{self, File};
use std::iter::repeat_n;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::{Duration, Instant};

use care_data::{Edit, ImageId, Project};
use care_learn::RunConfig;
use care_studio::app::App;
use care_studio::command::{Action, Command, Room};
use care_studio::queue::{Classes, QueueView, Sort};
use egui::{Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, TouchPhase, pos2, vec2};
use egui_kittest::Harness;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use rustix::fs::{Advice, fadvise};
use support::common::settle;
use support::{FRAME, Took, at, frame, paced, send, wait_for_image, window};

const SMALL: usize = 100_000;
const PHOTOS: usize = 1_000;
/// With the share of images that each has: one in twenty is of the rare class.
const CLASSES: [(&str, usize); 4] = [
    ("nevus", 12),
    ("keratosis", 5),
    ("melanoma", 2),
    ("rare", 1),
];
const PARTS: [(&str, fn(&Folders)); 5] = [
    ("import", import),
    ("open", open),
    ("scroll", scroll),
    ("next", next),
    ("rooms", rooms),
];

fn main() {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    if let [one] = asked.as_slice()
        && std::env::var_os(CHILD).is_some()
        && let Some((_, part)) = PARTS.iter().find(|(name, _)| name == one)
    {
        return part(&Folders::at_hand());
    }
    let begun = Instant::now();
    Folders::at_hand();
    println!(
        "Images at hand after {:.1} s.",
        begun.elapsed().as_secs_f64()
    );
    println!("\n{:<72} {:>10} {:>10}", "", "measured", "bar");
    for (name, _) in PARTS {
        if asked.is_empty() || asked.iter().any(|word| word == name) {
            let program = std::env::current_exe().unwrap();
            let status = Process::new(program).arg(name).env(CHILD, "1").status();
            assert!(status.unwrap().success(), "{name} failed");
        }
    }
}

/// Set for the processes of the parts.
const CHILD: &str = "CARE_BENCH_PART";

/// A line of the table. Below the bar is good.
fn row(what: &str, measured: f64, bar: f64, unit: &str) {
    let verdict = if measured <= bar { "met" } else { "MISSED" };
    println!("{what:<72} {measured:>7.1} {unit:<2} {bar:>7.1} {unit:<2} {verdict}");
}

/// A figure without a bar.
fn note(what: &str, measured: f64, unit: &str) {
    println!("{what:<72} {measured:>7.1} {unit}");
}

// The parts.

/// The window reads the small images into a new project.
fn import(folders: &Folders) {
    let project = project_of(&folders.small);
    let _ = fs::remove_dir_all(&project);
    forget(&folders.small);
    let mut window = window(None);
    let (planning, frames) = plan(&mut window, &folders.small);
    note(
        "looking at 100 000 files, cold",
        planning.as_secs_f64(),
        "s",
    );
    row(
        "  worst frame meanwhile",
        at(1.0, walls(&frames)),
        LIVE,
        "ms",
    );

    send(&mut window, Command::Offered(true));
    while window.state().state.job.as_ref().unwrap().progress().0 < SMALL / 4 {
        paced(&mut window);
    }
    let begun = Instant::now();
    window.state_mut().commands().send(Command::CancelJob);
    frame(&mut window);
    assert!(window.state().state.job.is_none());
    row(
        "cancelling",
        begun.elapsed().as_secs_f64() * 1e3,
        LIVE,
        "ms",
    );
    while num_threads_named("job") > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    row(
        "  until nothing is read any more",
        begun.elapsed().as_secs_f64() * 1e3,
        1e3,
        "ms",
    );
    assert!(!project.exists(), "nothing was taken in");

    forget(&folders.small);
    let (planning, _) = plan(&mut window, &folders.small);
    let (reading, frames, progress) = read(&mut window);
    assert_eq!(num_images(&window), SMALL);
    let rate = SMALL as f64 / (planning + reading).as_secs_f64();
    println!(
        "{:<72} {rate:>7.0} /s {:>7.0} /s {}",
        "importing 100 000 files, cold, from the folder to the gallery",
        5e3,
        if rate >= 5e3 { "met" } else { "MISSED" }
    );
    note("  of it reading and writing", reading.as_secs_f64(), "s");
    note("  steps of progress seen", progress as f64, "");
    row(
        "  worst frame meanwhile",
        at(1.0, walls(&frames)),
        LIVE,
        "ms",
    );
    note(
        "  95 % of the frames within",
        at(0.95, walls(&frames)),
        "ms",
    );
    let rare = mark_rare(window.state().state.project.as_ref().unwrap());
    send(&mut window, Command::Edit(rare));
    memory("memory after importing", &window, None);

    let root = tempfile::tempdir().unwrap();
    let open = root.path().join("open.care");
    drop(Project::create(&open).unwrap());
    send(&mut window, Command::OpenProject(open));
    plan(&mut window, &folders.small);
    let (_, frames, _) = read(&mut window);
    assert_eq!(num_images(&window), SMALL);
    row(
        "the same into the open project, worst frame",
        at(1.0, walls(&frames)),
        LIVE,
        "ms",
    );
}

/// Takes the offer. How long it took, its frames, and how often the progress moved.
fn read(window: &mut Harness<'_, App>) -> (Duration, Vec<Took>, usize) {
    let (begun, mut frames, mut seen) = (Instant::now(), Vec::new(), Vec::new());
    window.state_mut().commands().send(Command::Offered(true));
    frames.push(frame(window));
    while let Some(job) = &window.state().state.job {
        seen.push(job.progress().0);
        frames.push(paced(window));
    }
    seen.dedup();
    (begun.elapsed(), frames, seen.len())
}

/// A frame that takes longer is felt as a window that has stopped.
const LIVE: f64 = 100.0;

/// Lets the window look at a folder until it offers what it found.
fn plan(window: &mut Harness<'_, App>, folder: &Path) -> (Duration, Vec<Took>) {
    let (begun, mut frames) = (Instant::now(), Vec::new());
    window
        .state_mut()
        .commands()
        .send(Command::OpenPath(folder.to_owned()));
    while window.state().state.offer.is_none() {
        frames.push(paced(window));
    }
    (begun.elapsed(), frames)
}

/// From the command to the first thumbnail.
fn open(folders: &Folders) {
    let project = imported(&folders.small);
    forget(&folders.small);
    forget(&project);
    let mut window = window(None);
    let begun = Instant::now();
    window
        .state_mut()
        .commands()
        .send(Command::OpenProject(project));
    let mut thumbnails_after = |n: usize| {
        while thumbnails(&window) < n {
            frame(&mut window);
        }
        // The one that shows them.
        frame(&mut window);
        begun.elapsed().as_secs_f64()
    };
    row(
        "opening 100 000 images, cold, to the first image",
        thumbnails_after(1),
        1.0,
        "s",
    );
    note("  to a page of images", thumbnails_after(30), "s");
    memory("memory after opening", &window, None);
}

/// Through all of a gallery.
fn scroll(folders: &Folders) {
    let mut window = window(Some(&imported(&folders.small)));
    // As a wheel does: thumbnails fill in all the time.
    through(
        &mut window,
        "a notch of the wheel a frame",
        repeat_n(50.0, 1200),
    );
    // Hardly an image stays for more than a frame or two.
    through(
        &mut window,
        "100 000 images in a minute",
        repeat_n(540.0, 3600),
    );
    assert!(has_thumbnail(&window, SMALL), "the end was reached");
    memory("memory after both", &window, Some(600.0));

    send(&mut window, Command::Action(Action::CloseProject));
    send(&mut window, Command::OpenProject(imported(&folders.photos)));
    let there_and_back = repeat_n(25.0, 800).chain(repeat_n(-25.0, 800));
    through(
        &mut window,
        "1 000 photographs, to the end and back",
        there_and_back,
    );
    memory("memory after all three", &window, Some(600.0));
}

/// A turn of the wheel in every frame, in points.
fn through(window: &mut Harness<'_, App>, what: &str, turns: impl Iterator<Item = f32>) {
    window.event(Event::PointerMoved(pos2(500.0, 600.0)));
    settle(window);
    let mut most = 0.0_f64;
    let frames: Vec<Took> = turns
        .map(|by| {
            window.input_mut().events.push(wheel(by));
            most = most.max(pictures(window));
            paced(window)
        })
        .collect();
    row(
        &format!("scrolling, {what}: frame, 99 %"),
        at(0.99, cpus(&frames)),
        8.0,
        "ms",
    );
    note("  median, processor", at(0.5, cpus(&frames)), "ms");
    note("  99 % on the clock", at(0.99, walls(&frames)), "ms");
    note("  worst on the clock", at(1.0, walls(&frames)), "ms");
    note("  most pictures held", most, "MB");
    let begun = Instant::now();
    while loading(window) {
        paced(window);
    }
    note(
        "  after the stop, until all in view are there",
        begun.elapsed().as_secs_f64() * 1e3,
        "ms",
    );
}

fn wheel(by: f32) -> Event {
    Event::MouseWheel {
        unit: MouseWheelUnit::Point,
        delta: vec2(0.0, -by),
        phase: TouchPhase::Move,
        source: MouseWheelSource::Unknown,
        modifiers: Modifiers::NONE,
    }
}

/// From one photograph to the next.
fn next(folders: &Folders) {
    let project = imported(&folders.photos);
    forget(&folders.photos);
    let mut window = window(Some(&project));
    let ids: Vec<ImageId> = {
        let project = window.state().state.project.as_ref().unwrap();
        project.images().iter().map(|image| image.id).collect()
    };
    send(&mut window, Command::Select(ids[0]));
    send(&mut window, Command::Go(Room::Annotate));
    wait_for_image(&mut window);
    let pause = |window: &mut Harness<'_, App>| {
        for _ in 0..24 {
            paced(window);
        }
    };
    // Far apart, so that none was decoded ahead.
    let (mut cold, mut disk) = (Vec::new(), Vec::new());
    for place in (7..).step_by(9).take(100) {
        pause(&mut window);
        let begun = Instant::now();
        window
            .state_mut()
            .commands()
            .send(Command::Select(ids[place]));
        wait_for_image(&mut window);
        cold.push(begun.elapsed());
        let other = {
            let project = window.state().state.project.as_ref().unwrap();
            project.path_of(&project.images()[place + 4])
        };
        let begun = Instant::now();
        fs::read(other).unwrap();
        disk.push(begun.elapsed());
    }
    row(
        "next image, cold, 95 % of 100",
        at(0.95, cold.iter().copied()),
        100.0,
        "ms",
    );
    note("  median", at(0.5, cold), "ms");
    note(
        "  reading such a file alone, 95 % of 100",
        at(0.95, disk),
        "ms",
    );
    forget(&folders.photos);
    send(&mut window, Command::Select(ids[0]));
    wait_for_image(&mut window);
    let ahead = (0..100).map(|_| {
        pause(&mut window);
        let begun = Instant::now();
        window.key_press(Key::ArrowRight);
        wait_for_image(&mut window);
        begun.elapsed()
    });
    let ahead: Vec<_> = ahead.collect();
    row(
        "next image, decoded ahead, 95 % of 100",
        at(0.95, ahead.iter().copied()),
        16.0,
        "ms",
    );
    note("  median", at(0.5, ahead), "ms");
    memory(
        "memory after 200 photographs in Annotate",
        &window,
        Some(600.0),
    );
}

/// What a frame costs with many images and with few, and while something changes.
fn rooms(folders: &Folders) {
    let (small, photos) = (imported(&folders.small), imported(&folders.photos));
    for (dir, images) in [(&small, "100 000"), (&photos, "1 000")] {
        let mut window = window(Some(dir));
        for room in Room::ALL {
            send(&mut window, Command::Go(room));
            let frames: Vec<_> = (0..180).map(|_| paced(&mut window)).collect();
            let what = format!("frame, {}, {images} images, 99 %", room.name());
            let settled = cpus(&frames).skip(60);
            row(&what, at(0.99, settled), FRAME.as_secs_f64() * 1e3, "ms");
        }
        let mut changing = |room: Room, what: &str, change: fn(&Project, u32) -> Command| {
            send(&mut window, Command::Go(room));
            let frame = |n| {
                let change = change(window.state().state.project.as_ref().unwrap(), n);
                window.state_mut().commands().send(change);
                paced(&mut window)
            };
            let frames: Vec<_> = (0..60).map(frame).collect();
            let what = format!("  {}, {what} in every frame, worst", room.name());
            note(&what, at(1.0, cpus(&frames)), "ms");
        };
        changing(Room::Train, "a slider moved", |_, n| {
            let mut config = RunConfig::default();
            config.live.lambda = 0.01 * f64::from(n);
            Command::SetDraft(config)
        });
        for room in [Room::Images, Room::Annotate, Room::Train] {
            changing(room, "an edit", edit);
        }
        for sort in [Sort::Order, Sort::Name] {
            let everything = QueueView {
                classes: Classes::All,
                part: None,
                sort,
                ..QueueView::default()
            };
            send(&mut window, Command::SetQueue(everything));
            send(&mut window, Command::Go(Room::Annotate));
            let what = format!("{images} images in the queue, {}", sort.name());
            let frames: Vec<_> = (0..60).map(|_| paced(&mut window)).collect();
            row(
                &format!("frame, Annotate, {what}, 99 %"),
                at(0.99, cpus(&frames)),
                FRAME.as_secs_f64() * 1e3,
                "ms",
            );
            let frame = |n| {
                let change = edit(window.state().state.project.as_ref().unwrap(), n);
                window.state_mut().commands().send(change);
                paced(&mut window)
            };
            let frames: Vec<_> = (0..60).map(frame).collect();
            note(
                "  an edit in every frame, worst",
                at(1.0, cpus(&frames)),
                "ms",
            );
        }
    }
}

/// An image given a class, and in the next frame taken back.
fn edit(project: &Project, n: u32) -> Command {
    if n % 2 == 1 {
        return Command::Action(Action::Undo);
    }
    let image = &project.images()[project.images().len() / 2];
    Command::Edit(Edit::SetClass {
        image: image.id,
        class: image.class,
    })
}

// What is measured.

fn walls(frames: &[Took]) -> impl Iterator<Item = Duration> {
    frames.iter().map(|took| took.wall)
}

fn cpus(frames: &[Took]) -> impl Iterator<Item = Duration> {
    frames.iter().map(|took| took.cpu)
}

fn num_images(window: &Harness<'_, App>) -> usize {
    window
        .state()
        .state
        .project
        .as_ref()
        .map_or(0, |project| project.images().len())
}

fn thumbnails(window: &Harness<'_, App>) -> usize {
    let textures = window.ctx.tex_manager();
    let textures = textures.read();
    textures
        .allocated()
        .filter(|(_, meta)| meta.name.starts_with("(Thumbnail"))
        .count()
}

/// Megabytes on the graphics card, or in this process where the card is emulated; with the smaller versions of each.
fn pictures(window: &Harness<'_, App>) -> f64 {
    let textures = window.ctx.tex_manager();
    let textures = textures.read();
    let bytes: usize = textures
        .allocated()
        .map(|(_, meta)| meta.bytes_used())
        .sum();
    bytes as f64 * 4.0 / 3.0 / MB
}

/// Whether the n-th image's is there.
fn has_thumbnail(window: &Harness<'_, App>, n: usize) -> bool {
    let textures = window.ctx.tex_manager();
    let textures = textures.read();
    let name = format!("(Thumbnail, ImageId({n}))");
    textures.allocated().any(|(_, meta)| meta.name == name)
}

/// Whether pictures are still coming.
fn loading(window: &mut Harness<'_, App>) -> bool {
    let before = thumbnails_ever(window);
    (0..6).any(|_| {
        paced(window);
        thumbnails_ever(window) != before
    })
}

/// The number of the newest texture.
fn thumbnails_ever(window: &Harness<'_, App>) -> Option<egui::TextureId> {
    let textures = window.ctx.tex_manager();
    let textures = textures.read();
    textures.allocated().map(|(id, _)| *id).max()
}

const MB: f64 = 1e6;

/// What the process holds, has held at most, and what it would hold with all its pictures in main memory.
fn memory(what: &str, window: &Harness<'_, App>, bar: Option<f64>) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let of = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0 / MB
    };
    let pictures = pictures(window);
    let most = of("VmHWM:");
    match bar {
        Some(bar) => row(
            &format!("{what}, at most, pictures added"),
            most + pictures,
            bar,
            "MB",
        ),
        None => note(
            &format!("{what}, at most, pictures added"),
            most + pictures,
            "MB",
        ),
    }
    note("  resident now", of("VmRSS:"), "MB");
    note("  pictures, which lie on the graphics card", pictures, "MB");
}

fn num_threads_named(name: &str) -> usize {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok())
        .filter(|comm| comm.trim() == name)
        .count()
}

// The images.

struct Folders {
    small: PathBuf,
    photos: PathBuf,
}

impl Folders {
    /// Made where they are not there yet.
    fn at_hand() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("folders");
        let noise = &Noise::new();
        Self {
            small: made(root.join("small"), SMALL, |n| small_image(n, noise)),
            photos: made(root.join("photos"), PHOTOS, |n| photo(n, noise)),
        }
    }
}

fn made(folder: PathBuf, number: usize, image: impl Fn(usize) -> (RgbImage, u8) + Sync) -> PathBuf {
    let whole = folder.with_extension("whole");
    if whole.exists() {
        return folder;
    }
    let _ = fs::remove_dir_all(&folder);
    for (class, _) in CLASSES {
        fs::create_dir_all(folder.join(class)).unwrap();
    }
    (0..number).into_par_iter().for_each(|n| {
        let (image, quality) = image(n);
        let mut file = Vec::new();
        JpegEncoder::new_with_quality(&mut file, quality)
            .encode_image(&image)
            .unwrap();
        let path = folder.join(class_of(n)).join(format!("image_{n:06}.jpg"));
        fs::write(path, file).unwrap();
    });
    // What is not on the disk yet could not be taken out of the cache.
    rustix::fs::sync();
    fs::write(whole, "").unwrap();
    folder
}

fn class_of(n: usize) -> &'static str {
    let mut place = n % CLASSES.iter().map(|(_, share)| share).sum::<usize>();
    for (class, share) in CLASSES {
        if place < share {
            return class;
        }
        place -= share;
    }
    unreachable!("the shares were summed")
}

/// Noise of all scales, as skin and clouds have it; images are cut from it.
struct Noise(RgbImage);

impl Noise {
    const SIDE: u32 = 1024;

    fn new() -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut sum = vec![0.0_f32; (Self::SIDE * Self::SIDE * 3) as usize];
        for octave in 2..10 {
            let side = 1 << octave;
            let coarse = RgbImage::from_fn(side, side, |_, _| Rgb(rng.random()));
            let fine = resize(&coarse, Self::SIDE, Self::SIDE, FilterType::CatmullRom);
            for (sum, value) in sum.iter_mut().zip(fine.as_raw()) {
                *sum += (f32::from(*value) - 127.5) * 0.6 / (octave as f32);
            }
        }
        let bytes = sum.iter().map(|value| (value + 127.5) as u8).collect();
        Self(RgbImage::from_raw(Self::SIDE, Self::SIDE, bytes).unwrap())
    }

    fn cut(&self, rng: &mut ChaCha8Rng, width: u32, height: u32) -> RgbImage {
        let (x, y) = (
            rng.random_range(0..Self::SIDE - width),
            rng.random_range(0..Self::SIDE - height),
        );
        image::imageops::crop_imm(&self.0, x, y, width, height).to_image()
    }
}

fn small_image(n: usize, noise: &Noise) -> (RgbImage, u8) {
    let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
    let mut image = noise.cut(&mut rng, 64, 64);
    // No two are the same, whatever was drawn.
    for (bit, x) in (0..20).enumerate() {
        let value = if n >> bit & 1 == 1 { 255 } else { 0 };
        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            image.put_pixel(2 + 3 * x + dx, 60 + dy, Rgb([value; 3]));
        }
    }
    (image, 80)
}

/// Like a dermatoscope's: a dark spot on skin, with the sensor's grain.
fn photo(n: usize, noise: &Noise) -> (RgbImage, u8) {
    let mut rng = ChaCha8Rng::seed_from_u64((SMALL + n) as u64);
    let (width, height) = (600, 450);
    let mut image = noise.cut(&mut rng, width, height);
    let (cx, cy) = (
        rng.random_range(200.0..400.0_f32),
        rng.random_range(150.0..300.0_f32),
    );
    let radius = rng.random_range(60.0..140.0_f32);
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let far = (x as f32 - cx).hypot(y as f32 - cy) / radius;
        let skin = 1.0 / (1.0 + (-8.0 * (far - 1.0)).exp());
        let grain: [i8; 3] = rng.random();
        for ((value, tone), grain) in pixel.0.iter_mut().zip([214.0, 168.0, 146.0]).zip(grain) {
            let base = tone * (0.35 + 0.65 * skin) + (f32::from(*value) - 127.5) * 0.5;
            *value = (base + f32::from(grain) / 40.0).clamp(0.0, 255.0) as u8;
        }
    }
    (image, 90)
}

fn project_of(folder: &Path) -> PathBuf {
    folder.with_extension("care")
}

/// The project of a folder, imported before or now.
fn imported(folder: &Path) -> PathBuf {
    let dir = project_of(folder);
    if Project::open_read_only(&dir).is_err() {
        let stop = Default::default();
        let found =
            care_data::import::read(folder, &Default::default(), &|_, _| {}, &stop).unwrap();
        let mut project = Project::create(&dir).unwrap();
        project.take_in(found).unwrap();
        project.apply(mark_rare(&project)).unwrap();
    }
    dir
}

fn mark_rare(project: &Project) -> Edit {
    let class = project.classes().iter().find(|class| class.name == "rare");
    let class = class.unwrap().id;
    Edit::SetRare { class, rare: true }
}

/// Takes what lies in a folder out of the system's cache.
fn forget(folder: &Path) {
    let entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    entries.par_iter().for_each(|entry| {
        if entry.file_type().unwrap().is_dir() {
            forget(&entry.path());
        } else {
            fadvise(File::open(entry.path()).unwrap(), 0, None, Advice::DontNeed).unwrap();
        }
    });
}
