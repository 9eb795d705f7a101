//! Work that takes longer than a frame and is not training: reading a folder, making the demo's images.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use care_data::import::{self, Import, Options};
use care_data::synthetic;
use crossbeam_channel::{Receiver, bounded};

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Read { from: PathBuf },
    MakeDemo { into: PathBuf, seed: u64 },
}

/// A job on its own thread. Dropping it stops it and waits for it.
pub struct Job {
    pub kind: Kind,
    done: Arc<AtomicUsize>,
    total: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    result: Receiver<Result<Import, String>>,
    thread: Option<JoinHandle<()>>,
}

impl Job {
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(kind: Kind, wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let (done, total, stop) = (
            Arc::<AtomicUsize>::default(),
            Arc::<AtomicUsize>::default(),
            Arc::<AtomicBool>::default(),
        );
        let (sender, result) = bounded(1);
        let thread = {
            let (kind, done, total, stop) = (
                kind.clone(),
                Arc::clone(&done),
                Arc::clone(&total),
                Arc::clone(&stop),
            );
            std::thread::Builder::new()
                .name("job".into())
                .spawn(move || {
                    let progress = |n, of| {
                        done.store(n, Ordering::Relaxed);
                        total.store(of, Ordering::Relaxed);
                        if n % 64 == 0 {
                            wake();
                        }
                    };
                    // The receiver is gone only where nobody wants the answer any more.
                    let _ = sender.send(run(&kind, &progress, &stop));
                    wake();
                })?
        };
        Ok(Self {
            kind,
            done,
            total,
            stop,
            result,
            thread: Some(thread),
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
    pub fn finished(&self) -> Option<Result<Import, String>> {
        self.result.try_recv().ok()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    kind: &Kind,
    progress: &(dyn Fn(usize, usize) + Sync),
    stop: &AtomicBool,
) -> Result<Import, String> {
    match kind {
        Kind::Read { from } => {
            import::read(from, &Options::default(), progress, stop).map_err(|e| e.to_string())
        }
        Kind::MakeDemo { into, seed } => {
            synthetic::generate(into, *seed, progress, stop).map_err(|e| e.to_string())
        }
    }
}

/// The project for a folder of images: `NAME.care` beside it.
#[must_use]
pub fn project_beside(folder: &Path) -> PathBuf {
    let folder = if folder.is_file() {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    let mut name = folder.file_name().unwrap_or(folder.as_os_str()).to_owned();
    name.push(".care");
    folder.with_file_name(name)
}
