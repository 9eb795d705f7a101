//! Whatever a file of annotations holds, it costs lines in the report and no more; a box that comes in lies in its image.
//! The first byte says what the file is called; an image called `a.png` lies beside it, and where it is a mask, in a class folder.

#![no_main]

use std::sync::atomic::AtomicBool;

use care_data::import::{self, Options};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 10] = [
    "instances.json",
    "a.json",
    "a.xml",
    "a.txt",
    "data.yaml",
    "boxes.csv",
    "metadata.csv",
    "stage_2_train_labels.csv",
    "BBox_List_2017.csv",
    "class/a_mask.png",
];

/// Grey, 8 x 8.
const IMAGE: &[u8] = include_bytes!("../a.png");

fuzz_target!(|input: (u8, &[u8])| {
    let (name, bytes) = input;
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let file = at(NAMES[usize::from(name) % NAMES.len()]);
    std::fs::create_dir_all(file.parent().expect("in the folder")).expect("a folder");
    std::fs::write(file.with_file_name("a.png"), IMAGE).expect("writes");
    std::fs::write(&file, bytes).expect("writes");
    let stop = AtomicBool::new(false);
    for from in [folder.path().to_owned(), file] {
        let Ok(plan) = import::plan(&from, &Options::default(), &stop) else {
            continue;
        };
        let _ = plan.preview(&stop);
        if let Ok(import) = plan.read(&|_, _| {}, &stop) {
            for image in import.images {
                assert!(image.boxes.iter().all(|rect| rect.fits(image.size)));
            }
        }
    }
});
