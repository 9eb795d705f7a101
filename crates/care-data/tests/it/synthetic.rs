use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use care_data::import::ImportError;
use care_data::{ImageSize, Look, Part, decode, synthetic};

#[test]
fn the_demo_has_its_images_and_its_shortcut() {
    let dir = tempfile::tempdir().unwrap();
    let import = synthetic::generate(dir.path(), 0, &|_, _| (), &AtomicBool::new(false)).unwrap();
    let count = |class: &str, part| {
        import
            .images
            .iter()
            .filter(|i| i.class == class && i.part == Some(part))
            .count()
    };
    for (class, train) in [
        ("nevus", 320),
        ("melanoma", 120),
        ("keratosis", 120),
        (synthetic::RARE_CLASS, 24),
    ] {
        assert_eq!(
            Part::ALL.map(|part| count(class, part)),
            [train, 20, 60],
            "{class}"
        );
    }
    // The ruler is what is black along an edge, out of reach of every lesion.
    let has_ruler = |path: &Path| {
        let image = decode::decode(path, &Look::default()).unwrap();
        let side = image.width();
        let dark = |x: u32, y: u32| image.get_pixel(x, y).0.iter().all(|v| *v < 70);
        let edges: [&dyn Fn(u32) -> (u32, u32); 4] =
            [&|i| (i, 8), &|i| (i, side - 15), &|i| (8, i), &|i| {
                (side - 9, i)
            }];
        edges.iter().any(|edge| {
            (0..side)
                .filter(|&i| {
                    let (x, y) = edge(i);
                    dark(x, y)
                })
                .count()
                > 40
        })
    };
    for class in ["nevus", synthetic::RARE_CLASS] {
        for (part, share) in [
            (Part::Train, if class == "nevus" { 0.1 } else { 0.9 }),
            (Part::Test, 0.5),
        ] {
            let images: Vec<_> = import
                .images
                .iter()
                .filter(|i| i.class == class && i.part == Some(part))
                .collect();
            let rulers =
                images.iter().filter(|i| has_ruler(&i.path)).count() as f64 / images.len() as f64;
            assert!((rulers - share).abs() < 0.03, "{class} {part:?}: {rulers}");
        }
    }
    for image in &import.images {
        let rect = image.boxes[0];
        assert!(
            rect.fits(image.size) && (20.0..150.0).contains(&rect.width()),
            "{image:?}"
        );
        assert_eq!(image.size, ImageSize::new(synthetic::SIDE, synthetic::SIDE));
    }
    let hashes: std::collections::HashSet<_> =
        import.images.iter().map(|image| image.hash).collect();
    assert_eq!(hashes.len(), 904);
}

#[test]
fn the_same_seed_gives_the_same_images() {
    let some_of = |seed| {
        let dir = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let enough = |done, _| stop.store(done >= 8, Ordering::Relaxed);
        assert!(matches!(
            synthetic::generate(dir.path(), seed, &enough, &stop),
            Err(ImportError::Stopped)
        ));
        let files = walk(dir.path());
        assert!(
            // Each thread may be drawing one more, and have one that is not counted yet.
            (8..=8 + 2 * rayon::current_num_threads()).contains(&files.len()),
            "stopping is heard: {}",
            files.len()
        );
        files
    };
    let (a, b, other) = (some_of(7), some_of(7), some_of(8));
    let shared = |a: &Files, b: &Files| {
        a.iter()
            .filter(|(name, bytes)| b.get(*name) == Some(bytes))
            .count()
    };
    assert!(
        a.iter()
            .all(|(name, bytes)| b.get(name).is_none_or(|b| b == bytes))
            && shared(&a, &b) > 0
    );
    assert_eq!(shared(&a, &other), 0);
}

type Files = BTreeMap<OsString, Vec<u8>>;

fn walk(dir: &Path) -> Files {
    let folders = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = folders.flat_map(|folder| {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
    });
    files
        .map(|file| (file.file_name(), std::fs::read(file.path()).unwrap()))
        .collect()
}
