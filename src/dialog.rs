//! The system's dialog for a folder. It is waited for on a thread of its own: the window and a run in training go on.

use std::path::PathBuf;

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use crate::command::Command;

/// A dialog that is open.
pub struct FolderDialog {
    /// What to do with the answer.
    then: fn(PathBuf) -> Command,
    answer: Receiver<PathBuf>,
}

impl FolderDialog {
    /// # Errors
    /// Where the system gives no thread.
    pub fn open(
        title: &str,
        then: fn(PathBuf) -> Command,
        wake: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, answer) = bounded(1);
        let chosen = rfd::AsyncFileDialog::new().set_title(title).pick_folder();
        std::thread::Builder::new()
            .name("dialog".into())
            .spawn(move || {
                if let Some(folder) = pollster::block_on(chosen) {
                    // The window may have been closed meanwhile.
                    let _ = sender.send(folder.path().to_owned());
                }
                drop(sender);
                wake();
            })?;
        Ok(Self { then, answer })
    }

    /// What the user chose: nothing yet, or once and for all a command or none.
    pub fn answered(&self) -> Option<Option<Command>> {
        match self.answer.try_recv() {
            Ok(path) => Some(Some((self.then)(path))),
            Err(TryRecvError::Disconnected) => Some(None),
            Err(TryRecvError::Empty) => None,
        }
    }
}
