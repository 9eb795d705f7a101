//! A folder with one subfolder per class; the subfolders may be nested further.

use std::path::{Path, PathBuf};

use super::{Candidate, Listing, not_read};

/// Lists the files under `root`; the first folder on the way down to a file names its class, and a folder `without_file`
/// names none.
pub(super) fn list(root: &Path, files: Vec<PathBuf>, without_file: &[PathBuf]) -> Listing {
    let candidates = files.into_iter().map(|path| {
        let below = path.strip_prefix(root).unwrap_or(&path);
        let class = match below.parent().and_then(|folders| folders.iter().next()) {
            Some(class) => Ok(class.to_string_lossy().into_owned()),
            None => Err((
                "It lies in no class folder.",
                "Move it into the folder of its class.",
            )),
        };
        Candidate {
            class,
            group: None,
            path,
            boxes: Vec::new(),
        }
    });
    let empty = without_file.iter().map(|folder| {
        let why = "There is no file in it, so it is no class.";
        let advice = "Put the images of the class into it, or delete it.";
        not_read(folder, why, advice)
    });
    Listing {
        candidates: candidates.collect(),
        not_read: empty.collect(),
    }
}
