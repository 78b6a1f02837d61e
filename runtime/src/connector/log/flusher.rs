//! When written bytes are forced to the device, and the thread that does so in the background.
//!
//! Place in the flow: partitions hand segments with unsynced bytes to it. Invariant: under [`FsyncPolicy::Interval`] every
//! written byte is synced within about one interval, and with nothing written the thread sleeps without a tick.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::files::lock;
use super::segment::Segment;
use crate::error::{Error, Result};

/// When appended records are forced to the device.
///
/// Under every policy a killed or crashed process loses nothing that was acknowledged, since the operating system has it.
/// The policies differ in what a power failure or a kernel crash may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// The operating system decides: up to about 30 s of records are lost with the power. No cost.
    Never,
    /// A background thread syncs, and so does every checkpoint of what writes or reads: up to one interval is lost with the power.
    /// Costs one fsync per written partition and interval, in another thread, and one per written partition and checkpoint, in the
    /// slot's for sinks and in that of the job's checkpoints for sources.
    Interval(Duration),
    /// Before an append returns: nothing is lost. Costs an fsync per append (0.1 to 10 ms, by device), in the slot's thread.
    Always,
}

impl Default for FsyncPolicy {
    /// One second: what a user of a log on one machine is used to lose with the power (guess, unmeasured).
    fn default() -> Self {
        Self::Interval(Duration::from_secs(1))
    }
}

/// The background thread of [`FsyncPolicy::Interval`].
#[derive(Debug)]
pub(super) struct Flusher {
    /// Shared with the thread.
    shared: Arc<Shared>,
    /// Ended and joined on drop.
    thread: Option<JoinHandle<()>>,
}

/// What the thread and its owner share.
#[derive(Debug, Default)]
struct Shared {
    /// Work and the wish to end.
    state: Mutex<State>,
    /// Signalled with every change of the state.
    changed: Condvar,
}

/// Work and the wish to end.
#[derive(Debug, Default)]
struct State {
    /// Segments with unsynced bytes; a segment is added when it becomes dirty, and again if somebody else syncs it before.
    dirty: Vec<Arc<Segment>>,
    /// Whether to end.
    stopped: bool,
}

impl Flusher {
    /// Starts the thread.
    ///
    /// # Errors
    /// `Storage` when the operating system gives no thread.
    pub(super) fn start(interval: Duration) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("weir-log-fsync".into())
            .spawn(move || of_thread.run(interval))
            .map_err(|error| Error::storage(format!("cannot start the fsync thread: {error}")))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Takes a segment that has just become dirty.
    pub(super) fn add(&self, segment: &Arc<Segment>) {
        lock(&self.shared.state).dirty.push(Arc::clone(segment));
        self.shared.changed.notify_one();
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        lock(&self.shared.state).stopped = true;
        self.shared.changed.notify_one();
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the fsync thread of the log ended with a panic");
        }
    }
}

impl Shared {
    /// Syncs what is dirty once per interval, and what is left at the end.
    fn run(&self, interval: Duration) {
        loop {
            let state = lock(&self.state);
            let state = self
                .changed
                .wait_while(state, |state| state.dirty.is_empty() && !state.stopped)
                .unwrap_or_else(PoisonError::into_inner);
            let (mut state, _) = self
                .changed
                .wait_timeout_while(state, interval, |state| !state.stopped)
                .unwrap_or_else(PoisonError::into_inner);
            let dirty = std::mem::take(&mut state.dirty);
            let stopped = state.stopped;
            drop(state);
            self.sync(dirty, stopped);
            if stopped {
                return;
            }
        }
    }

    /// Syncs segments. What could not be tried is tried after the next interval; a failed fsync is final.
    fn sync(&self, dirty: Vec<Arc<Segment>>, stopped: bool) {
        for segment in dirty {
            if let Err(error) = segment.sync() {
                tracing::error!(%error, "the log is not safe from a power failure");
                if !stopped && !segment.is_poisoned() {
                    lock(&self.state).dirty.push(segment);
                }
            }
        }
    }
}
