//! The project's images whose files are not where they were.

use std::path::PathBuf;

use care_data::Project;
use crossbeam_channel::{Receiver, bounded};

/// Looked for once the project is opened, on a thread of its own: a network's disk may take its time.
#[derive(Default)]
pub struct Missing {
    looked_for: Option<Receiver<Vec<PathBuf>>>,
    files: Vec<PathBuf>,
}

impl Missing {
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Begins to look where nobody has, and takes what was found.
    pub fn go_on(&mut self, project: &Project, ctx: &egui::Context) {
        let Some(receiver) = &self.looked_for else {
            let images = project.images().iter();
            let paths: Vec<PathBuf> = images.map(|image| project.path_of(image)).collect();
            let (sender, receiver) = bounded(1);
            let ctx = ctx.clone();
            let look = move || {
                let missing = paths.into_iter().filter(|path| !path.is_file()).collect();
                // Nobody waits any more where another project was opened.
                let _ = sender.send(missing);
                ctx.request_repaint();
            };
            // A system that gives no thread finds none missing; each says so itself when it is shown.
            let _ = std::thread::Builder::new()
                .name("missing".to_owned())
                .spawn(look);
            self.looked_for = Some(receiver);
            return;
        };
        if let Ok(files) = receiver.try_recv() {
            self.files = files;
        }
    }
}
