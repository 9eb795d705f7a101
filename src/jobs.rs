//! Work that takes longer than a frame and is not training: reading a folder, making the demo's images.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use care_data::export::{self, Exported};
use care_data::import::{self, Format, Import, Options, Plan, Preview};
use care_data::project::{ProjectError, TakenIn};
use care_data::synthetic::{self, Demo};
use care_data::{Arrived, Intake, Part, Project};
use crossbeam_channel::{Receiver, TryRecvError, bounded};

use crate::take_away::What;

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// What `from` would bring to the project at `into`, or to the open one.
    Plan {
        from: PathBuf,
        into: Option<PathBuf>,
    },
    /// The images of such a plan.
    Read {
        from: PathBuf,
        into: Option<PathBuf>,
    },
    MakeDemo {
        demo: Demo,
        into: PathBuf,
        for_story: bool,
    },
    /// What was read for the open project is written into it.
    TakeIn,
    Export {
        to: PathBuf,
    },
    TakeAway {
        what: What,
        to: PathBuf,
    },
}

impl Kind {
    /// Whether it can be left half-way: what is being written is on the disk in the end, and shown then.
    #[must_use]
    pub fn can_be_cancelled(&self) -> bool {
        !matches!(self, Self::TakeIn | Self::Export { .. })
    }

    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Plan { from, .. } => {
                let name = from.file_name().unwrap_or(from.as_os_str());
                format!("Looking at {}", name.to_string_lossy())
            }
            Self::Read { from, .. } => {
                let name = from.file_name().unwrap_or(from.as_os_str());
                format!("Reading {}", name.to_string_lossy())
            }
            Self::MakeDemo { .. } => "Making synthetic images".to_owned(),
            Self::TakeIn => "Writing the project".to_owned(),
            Self::Export { .. } => "Writing the export".to_owned(),
            Self::TakeAway { what, .. } => {
                format!("Writing the {}", what.name().to_lowercase())
            }
        }
    }
}

/// What a folder would bring, until somebody says whether it is to.
pub struct Offer {
    pub from: PathBuf,
    /// The project to make or to open for it; the open one where none.
    pub into: Option<PathBuf>,
    pub plan: Plan,
    pub preview: Preview,
    /// Files that the open project has already.
    pub already_there: usize,
}

/// What is to be exported, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportDraft {
    /// Of the project.
    name: String,
    pub folder: PathBuf,
    pub format: export::Format,
    /// Of all parts where none is chosen.
    pub part: Option<Part>,
    pub replace: bool,
}

impl ExportDraft {
    /// COCO, beside the project.
    #[must_use]
    pub fn new(project: &Project) -> Self {
        Self {
            name: project.name().to_owned(),
            folder: project.dir().parent().unwrap_or(project.dir()).to_owned(),
            format: export::Format::Coco,
            part: None,
            replace: false,
        }
    }

    /// The file or folder that is written: `NAME-FORMAT` with the part where there is one.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let ending = match self.format {
            export::Format::Coco => ".json",
            export::Format::Csv => ".csv",
            export::Format::Voc | export::Format::Yolo | export::Format::Labelme => "",
        };
        let part = self
            .part
            .map_or(String::new(), |part| format!("-{}", part.name()));
        let format = self.format.name();
        self.folder
            .join(format!("{}-{format}{part}{ending}", self.name))
    }
}

/// What a job ends with.
pub enum Done {
    Planned(Box<Plan>, Preview),
    /// Images for the open project.
    Read(Import),
    Arrived(Arrived),
    Exported(Exported),
    TakenAway,
    /// A project of its own, with the images in it.
    TakenIn(Result<(Box<Project>, TakenIn), ProjectError>),
}

type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);
/// What a job does.
pub type Work = Box<dyn FnOnce(Progress<'_>, &AtomicBool) -> Result<Done, String> + Send>;

/// A job on its own thread. Dropping it tells it to stop, and does not wait for it: its files may lie on a slow disk.
pub struct Job {
    pub kind: Kind,
    done: Arc<AtomicUsize>,
    total: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    result: Receiver<Result<Done, String>>,
}

impl Job {
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        kind: Kind,
        work: Work,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let (done, total, stop) = (
            Arc::<AtomicUsize>::default(),
            Arc::<AtomicUsize>::default(),
            Arc::<AtomicBool>::default(),
        );
        let (sender, result) = bounded(1);
        {
            let (done, total, stop) = (Arc::clone(&done), Arc::clone(&total), Arc::clone(&stop));
            std::thread::Builder::new()
                .name("job".into())
                .spawn(move || {
                    let progress = |n, of| {
                        done.store(n, Ordering::Relaxed);
                        total.store(of, Ordering::Relaxed);
                        // Of few, each takes its time.
                        if n % 64 == 0 || of < 640 {
                            wake();
                        }
                    };
                    // The receiver is gone only where nobody wants the answer any more.
                    let _ = sender.send(work(&progress, &stop));
                    drop(sender);
                    wake();
                })?;
        }
        Ok(Self {
            kind,
            done,
            total,
            stop,
            result,
        })
    }

    /// Files done, of how many; zero of zero before they are counted.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (
            self.done.load(Ordering::Relaxed),
            self.total.load(Ordering::Relaxed),
        )
    }

    /// The result, once.
    pub fn finished(&self) -> Option<Result<Done, String>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(
                "A file made the reader fail. Take out the newest files and try again.".to_owned(),
            )),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Looks at what there is to import.
#[must_use]
pub fn plan(from: PathBuf, format: Option<Format>) -> Work {
    Box::new(move |_, stop| {
        let options = Options {
            format,
            ..Options::default()
        };
        let plan = import::plan(&from, &options, stop).map_err(|e| e.to_string())?;
        let preview = plan.preview(stop).map_err(|e| e.to_string())?;
        Ok(Done::Planned(Box::new(plan), preview))
    })
}

/// Reads the images of a plan, into the project at `into` where it is not for the open one.
#[must_use]
pub fn read(plan: Plan, into: Option<PathBuf>) -> Work {
    Box::new(move |progress, stop| {
        let import = plan.read(progress, stop).map_err(|e| e.to_string())?;
        Ok(match into {
            Some(dir) => Done::TakenIn(take_in(import, &dir, stop)),
            None => Done::Read(import),
        })
    })
}

/// Opens or makes the project. Here, because writing a hundred thousand images takes longer than a frame.
fn take_in(
    import: Import,
    dir: &Path,
    stop: &AtomicBool,
) -> Result<(Box<Project>, TakenIn), ProjectError> {
    let is_new = !dir.exists();
    let mut project = if is_new {
        Project::create(dir)?
    } else {
        Project::open(dir)?
    };
    let taken = project.take_in(import)?;
    if is_new && stop.load(Ordering::Relaxed) {
        // Cancelled in the last moment. It is the writer, so nobody has it open.
        let _ = std::fs::remove_dir_all(dir);
    }
    Ok((Box::new(project), taken))
}

/// Writes what was read into the open project.
#[must_use]
pub fn write_into_open(intake: Intake) -> Work {
    Box::new(move |_, _| {
        let arrived = intake.write();
        arrived.map(Done::Arrived).map_err(|e| e.to_string())
    })
}

/// Writes the project for other programs, as it is on the disk.
#[must_use]
pub fn export(project: PathBuf, draft: ExportDraft) -> Work {
    Box::new(move |_, _| {
        let project = Project::open_read_only(&project).map_err(|e| e.to_string())?;
        let options = export::Options {
            format: draft.format,
            part: draft.part,
            replace: draft.replace,
        };
        let exported = export::export(&project, &draft.path(), options);
        exported.map(Done::Exported).map_err(|e| e.to_string())
    })
}

#[must_use]
pub fn make_demo(demo: Demo, into: PathBuf, seed: u64) -> Work {
    Box::new(move |progress, stop| {
        let made = synthetic::generate(demo, &into, seed, progress, stop);
        made.map(Done::Read).map_err(|e| e.to_string())
    })
}

/// Where the project for a folder of images belongs: `NAME.care` beside it, or among the user's documents where nothing
/// may be written there.
#[must_use]
pub fn project_for(folder: &Path) -> PathBuf {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let beside = project_beside(&folder);
    let may_write = |dir: &Path| tempfile::tempfile_in(dir).is_ok();
    if beside.exists() || beside.parent().is_some_and(may_write) {
        return beside;
    }
    let documents = dirs::document_dir().or_else(dirs::home_dir);
    match (documents, beside.file_name()) {
        (Some(documents), Some(name)) => documents.join(name),
        _ => beside,
    }
}

fn project_beside(folder: &Path) -> PathBuf {
    let folder = if folder.is_file() {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    let mut name = folder.file_name().unwrap_or(folder.as_os_str()).to_owned();
    name.push(".care");
    folder.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use care_data::split::SplitSpec;

    use super::*;

    #[test]
    fn a_project_that_was_cancelled_is_not_left_behind() {
        let root = tempfile::tempdir().expect("a folder");
        let dir = root.path().join("new.care");
        let taken_in = |cancelled| {
            let import = Import {
                images: Vec::new(),
                not_read: Vec::new(),
                split: SplitSpec::default(),
            };
            let taken = take_in(import, &dir, &AtomicBool::new(cancelled));
            drop(taken.expect("taken in"));
            dir.exists()
        };
        assert!(!taken_in(true), "a new one");
        assert!(taken_in(false));
        assert!(taken_in(true), "one that was there before");
    }
}
