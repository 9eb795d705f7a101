//! The background thread that owns libtorch while a run trains.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};

use crate::event::{TrainerCommand, TrainerEvent};
use crate::task::Task;
use crate::trainer::{Host, train};

/// Events that may wait; a step's numbers are dropped when they are so many.
const CAPACITY: usize = 256;
/// At most ten wakes a second: nobody reads numbers faster, and a frame that software draws costs the trainer a core.
const WAKE_EVERY: Duration = Duration::from_millis(100);

/// One run on a thread of its own.
///
/// Dropping it stops the run within a step, keeps the checkpoint, and waits for the thread.
pub struct Worker {
    events: Option<Receiver<TrainerEvent>>,
    commands: Sender<TrainerCommand>,
    flags: Arc<Flags>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Flags {
    stop: AtomicBool,
    abandon: AtomicBool,
}

impl Worker {
    /// Starts the thread. `wake` is called at most ten times a second when events are waiting.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(task: Task, wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let run = move |host: &mut ChannelHost| {
            train(&task, host);
        };
        Self::run(run, wake)
    }

    fn run(
        run: impl FnOnce(&mut ChannelHost) + Send + 'static,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (event_sender, events) = bounded(CAPACITY);
        let (commands, command_receiver) = unbounded();
        let flags = Arc::new(Flags::default());
        let mut host = ChannelHost {
            events: event_sender,
            commands: command_receiver,
            flags: Arc::clone(&flags),
            waker: Waker {
                wake: Box::new(wake),
                last: None,
                pending: false,
            },
        };
        let thread = std::thread::Builder::new()
            .name("trainer".to_owned())
            .spawn(move || {
                give_way();
                run(&mut host);
                host.waker.flush();
            })?;
        Ok(Self {
            events: Some(events),
            commands,
            flags,
            thread: Some(thread),
        })
    }

    /// The events that wait, in order; never blocks. The last one of a run is [`TrainerEvent::Ended`].
    pub fn events(&self) -> impl Iterator<Item = TrainerEvent> {
        self.events.iter().flat_map(Receiver::try_iter)
    }

    /// Takes effect at the next step; of no effect once the run has ended.
    pub fn send(&self, command: TrainerCommand) {
        // Only a run that has ended no longer listens.
        let _ = self.commands.send(command);
    }

    /// Ends the run after the step that is being computed; what is there is kept and scored.
    pub fn stop(&self) {
        self.flags.stop.store(true, Ordering::Relaxed);
    }

    /// As [`stop`](Self::stop), and leaves out the scoring, or breaks it off.
    pub fn abandon(&self) {
        self.stop();
        self.flags.abandon.store(true, Ordering::Relaxed);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.abandon();
        // A trainer that waits for room in the channel is let go by this.
        self.events = None;
        if let Some(thread) = self.thread.take() {
            // The trainer turns its own panics into an outcome; one in `wake` has nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// Lets the window go before this thread and those it starts, libtorch's among them, where both want the processor. On
/// Linux, where priorities are threads' own; elsewhere it does nothing.
fn give_way() {
    // Refused, the training is only less polite.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(5);
}

struct Waker {
    wake: Box<dyn Fn() + Send>,
    last: Option<Instant>,
    pending: bool,
}

impl Waker {
    /// Wakes if something is pending and the last wake is long enough ago.
    fn poll(&mut self) {
        if self.pending && self.last.is_none_or(|last| last.elapsed() >= WAKE_EVERY) {
            (self.wake)();
            self.last = Some(Instant::now());
            self.pending = false;
        }
    }

    /// Wakes for what is pending, if need be after waiting for its turn.
    fn flush(&mut self) {
        if let (true, Some(last)) = (self.pending, self.last) {
            std::thread::sleep(WAKE_EVERY.saturating_sub(last.elapsed()));
        }
        self.poll();
    }
}

struct ChannelHost {
    events: Sender<TrainerEvent>,
    commands: Receiver<TrainerCommand>,
    flags: Arc<Flags>,
    waker: Waker,
}

impl Host for ChannelHost {
    fn report(&mut self, event: TrainerEvent) {
        match self.events.try_send(event) {
            Ok(())
            | Err(TrySendError::Disconnected(_))
            | Err(TrySendError::Full(TrainerEvent::Step(_))) => {}
            Err(TrySendError::Full(event)) => {
                // Somebody has to come and make room.
                self.waker.pending = true;
                self.waker.flush();
                // An error means that nobody listens any more.
                let _ = self.events.send(event);
            }
        }
        // Only now: a wake before the event is there does not count for it.
        self.waker.pending = true;
        self.waker.poll();
    }

    fn commands(&mut self) -> Vec<TrainerCommand> {
        self.waker.poll();
        self.commands.try_iter().collect()
    }

    fn tick(&mut self) {
        self.waker.poll();
    }

    fn stop_requested(&self) -> bool {
        self.flags.stop.load(Ordering::Relaxed)
    }

    fn abandoned(&self) -> bool {
        self.flags.abandon.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn until(what: &str, is: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn event(done: usize) -> TrainerEvent {
        TrainerEvent::Loading { done, total: 0 }
    }

    /// A worker that reports `count` events that may not be dropped, then ticks until it is stopped. With how many it
    /// has reported, and how often it woke.
    fn reporting(count: usize) -> (Worker, Arc<AtomicUsize>, Arc<AtomicUsize>) {
        let (reported, wakes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (told, woken) = (Arc::clone(&reported), Arc::clone(&wakes));
        let run = move |host: &mut ChannelHost| {
            for done in 0..count {
                host.report(event(done));
                told.fetch_add(1, Ordering::SeqCst);
            }
            while !host.stop_requested() {
                host.tick();
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        let wake = move || {
            woken.fetch_add(1, Ordering::SeqCst);
        };
        (Worker::run(run, wake).expect("a thread"), reported, wakes)
    }

    fn waiting(worker: &Worker) -> usize {
        worker.events.as_ref().map_or(0, Receiver::len)
    }

    #[test]
    fn a_worker_dropped_unread_does_not_hang() {
        let (worker, reported, _) = reporting(CAPACITY + 10);
        until("the channel is full", || waiting(&worker) == CAPACITY);
        // Long enough for one more, were there room.
        std::thread::sleep(2 * WAKE_EVERY);
        assert_eq!(reported.load(Ordering::SeqCst), CAPACITY, "it waits");
        let begun = Instant::now();
        drop(worker);
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert_eq!(reported.load(Ordering::SeqCst), CAPACITY + 10);
    }

    #[test]
    fn an_event_that_waited_for_room_is_woken_for() {
        let (worker, reported, wakes) = reporting(CAPACITY + 1);
        until("the channel is full", || waiting(&worker) == CAPACITY);
        // By then it has woken for the full channel, and waits for room.
        std::thread::sleep(3 * WAKE_EVERY);
        let before = wakes.load(Ordering::SeqCst);
        assert_eq!(worker.events().take(CAPACITY).count(), CAPACITY);
        until("all are reported", || {
            reported.load(Ordering::SeqCst) == CAPACITY + 1
        });
        until("it wakes for the last one", || {
            wakes.load(Ordering::SeqCst) > before
        });
        assert_eq!(worker.events().collect::<Vec<_>>(), [event(CAPACITY)]);
    }

    #[test]
    fn stopping_keeps_the_test_and_abandoning_leaves_it_out() {
        let (worker, ..) = reporting(0);
        let flags = || {
            let Flags { stop, abandon } = &*worker.flags;
            [stop, abandon].map(|flag| flag.load(Ordering::Relaxed))
        };
        worker.stop();
        worker.stop();
        assert_eq!(flags(), [true, false]);
        worker.abandon();
        assert_eq!(flags(), [true, true]);
    }
}
