//! One thing worked out on a thread of its own while the window goes on.

use crossbeam_channel::{Receiver, TryRecvError, bounded};

/// What is being worked out, or was.
#[derive(Debug)]
pub enum Later<T> {
    Waiting(Receiver<T>),
    Done(T),
    /// The system gave no thread, or the work ended by a fault.
    Failed,
}

impl<T: Send + 'static> Later<T> {
    /// Begins `work`; the window is drawn anew when it is done. What nobody waits for any more goes on to its end, and is
    /// dropped.
    pub fn start(
        name: &str,
        ctx: &egui::Context,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Self {
        let (sender, receiver) = bounded(1);
        let ctx = ctx.clone();
        let begun = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // Woken after the sender is gone, by a fault as well.
                let _wake = Wake(ctx);
                let sender = sender;
                // Nobody may be waiting any more.
                let _ = sender.send(work());
            });
        match begun {
            Ok(_) => Self::Waiting(receiver),
            Err(_) => Self::Failed,
        }
    }

    /// What it came to, once that is there.
    pub fn get(&mut self) -> Option<&T> {
        if let Self::Waiting(receiver) = self {
            match receiver.try_recv() {
                Ok(value) => *self = Self::Done(value),
                Err(TryRecvError::Disconnected) => *self = Self::Failed,
                Err(TryRecvError::Empty) => {}
            }
        }
        match self {
            Self::Done(value) => Some(value),
            Self::Waiting(_) | Self::Failed => None,
        }
    }

    /// The value itself; while it is not there, or where it never comes, what there was.
    ///
    /// # Errors
    /// That is no error: it is still waiting, or has failed.
    pub fn into_value(mut self) -> Result<T, Self> {
        self.get();
        match self {
            Self::Done(value) => Ok(value),
            later => Err(later),
        }
    }

    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self, Self::Failed)
    }
}

/// Has the window drawn anew when it goes.
struct Wake(egui::Context);

impl Drop for Wake {
    fn drop(&mut self) {
        self.0.request_repaint();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn end_of<T: Send + 'static>(mut later: Later<T>) -> Later<T> {
        let begun = Instant::now();
        while later.get().is_none() && !later.has_failed() {
            assert!(begun.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
        }
        later
    }

    #[test]
    fn it_comes_to_a_value_or_to_a_failure() {
        let ctx = egui::Context::default();
        let mut done = end_of(Later::start("test", &ctx, || 6 * 7));
        assert_eq!(done.get(), Some(&42));
        let failed = end_of(Later::start("test", &ctx, || -> u32 {
            std::panic::resume_unwind(Box::new("a fault"))
        }));
        assert!(failed.has_failed());
    }
}
