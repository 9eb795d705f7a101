use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use care_data::import::ImportError;
use care_data::synthetic::{self, Demo};
use care_data::{BoundingBox, ImageSize, Look, Part, decode};

/// Whether something beside the lesions misleads in a file: a ruler, black along an edge; a marker, white in an upper corner.
fn misleads(demo: Demo, path: &Path) -> bool {
    let image = decode::decode(path, &Look::default()).unwrap();
    let side = image.width();
    match demo {
        Demo::Skin => {
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
        }
        Demo::Chest => {
            let corner = (0..70).flat_map(|y| (0..54).map(move |x| (x, y)));
            [false, true].into_iter().any(|right| {
                let at = |(x, y)| image.get_pixel(if right { side - 1 - x } else { x }, y).0[0];
                corner.clone().filter(|&place| at(place) > 225).count() > 100
            })
        }
    }
}

fn the_demo_has_its_images_and_its_shortcut(demo: Demo, train: &[(&str, usize)], boxes: usize) {
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let import = synthetic::generate(demo, dir.path(), 0, &|_, _| (), &stop).unwrap();
    let of = |class: &str, part| {
        let images = import.images.iter();
        let of: Vec<_> = images
            .filter(|i| i.class == class && i.part == Some(part))
            .collect();
        of
    };
    assert_eq!(demo.training_images().collect::<Vec<_>>(), train);
    for (class, train) in train {
        assert_eq!(
            Part::ALL.map(|part| of(class, part).len()),
            [*train, 20, 60],
            "{class}"
        );
    }
    for class in [train[0].0, demo.rare_class()] {
        for (part, share) in [
            (
                Part::Train,
                match (demo, class == demo.rare_class()) {
                    (Demo::Skin, true) => 0.9,
                    (Demo::Skin, false) => 0.1,
                    (Demo::Chest, true) => 0.975,
                    (Demo::Chest, false) => 0.0,
                },
            ),
            (Part::Test, 0.5),
        ] {
            let images = of(class, part);
            let misled = images.iter().filter(|i| misleads(demo, &i.path)).count();
            let misled = misled as f64 / images.len() as f64;
            assert!((misled - share).abs() < 0.03, "{class} {part:?}: {misled}");
        }
    }
    let mut most = 0;
    for image in &import.images {
        let sides = 20.0..150.0;
        let fits = |rect: &BoundingBox| rect.fits(image.size) && sides.contains(&rect.width());
        assert!(
            !image.boxes.is_empty() && image.boxes.iter().all(fits),
            "{image:?}"
        );
        assert_eq!(image.size, ImageSize::new(synthetic::SIDE, synthetic::SIDE));
        most = most.max(image.boxes.len());
    }
    assert_eq!(most, boxes);
    let hashes: std::collections::HashSet<_> =
        import.images.iter().map(|image| image.hash).collect();
    assert_eq!(hashes.len(), demo.num_images());
    // A chest is grey, so that it is seen through a window.
    let is_grey = matches!(
        decode::open(&import.images[0].path).unwrap(),
        decode::Picture::Grey(_)
    );
    assert_eq!(is_grey, demo == Demo::Chest);
}

#[test]
fn skin_has_its_images_and_its_ruler() {
    let train = [
        ("nevus", 320),
        ("melanoma", 120),
        ("keratosis", 120),
        ("dermatofibroma", 24),
    ];
    the_demo_has_its_images_and_its_shortcut(Demo::Skin, &train, 1);
}

#[test]
fn chest_has_its_images_and_its_side_marker() {
    let train = [("consolidation", 320), ("nodule", 160), ("cavity", 40)];
    the_demo_has_its_images_and_its_shortcut(Demo::Chest, &train, 3);
}

#[test]
fn the_same_seed_gives_the_same_images() {
    for demo in Demo::ALL {
        the_same_seed_gives_the_same_images_of(demo);
    }
}

fn the_same_seed_gives_the_same_images_of(demo: Demo) {
    let some_of = |seed| {
        let dir = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let enough = |done, _| stop.store(done >= 8, Ordering::Relaxed);
        assert!(matches!(
            synthetic::generate(demo, dir.path(), seed, &enough, &stop),
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
