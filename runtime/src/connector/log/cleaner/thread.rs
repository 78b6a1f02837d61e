//! The thread that compacts topics, since that may take longer than anybody should wait.
//!
//! Place in the flow: housekeeping asks for a round now and then. Invariant: at most one round waits while another one runs, and the
//! thread has ended before the store's directory is free for others.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::super::files::lock;
use super::super::partition::Shared as StoreShared;
use super::super::topic::Topic;
use crate::error::{Error, Result};

/// The compaction thread of a store.
#[derive(Debug, Default)]
pub(in crate::connector::log) struct Cleaner {
    /// Shared with the thread.
    shared: Arc<Shared>,
    /// Started with the first round; ended and joined on drop.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a round looks at.
#[derive(Debug)]
pub(in crate::connector::log) struct Round {
    /// Every topic.
    pub(in crate::connector::log) topics: Vec<Arc<Topic>>,
    /// Has the store's transactions.
    pub(in crate::connector::log) shared: Arc<StoreShared>,
    /// Epoch milliseconds.
    pub(in crate::connector::log) now_ms: i64,
}

impl Round {
    /// Forgets transactions whose records are all gone.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(in crate::connector::log) fn prune(&self) -> Result<()> {
        let mut lowest = None;
        for topic in &self.topics {
            for partition in topic.partitions() {
                let of_partition = partition.lowest_transaction()?;
                lowest = [lowest, of_partition].into_iter().flatten().min();
            }
        }
        self.shared.transactions.prune(lowest);
        Ok(())
    }
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
    /// The round that is next.
    next: Option<Round>,
    /// Whether to end.
    stopped: bool,
}

impl Cleaner {
    /// Asks for a round, in the place of one that has not begun.
    ///
    /// # Errors
    /// `Storage` when the operating system gives no thread.
    pub(in crate::connector::log) fn request(&self, round: Round) -> Result<()> {
        let mut thread = lock(&self.thread);
        if thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let started = std::thread::Builder::new()
                .name("weir-log-compact".into())
                .spawn(move || shared.run())
                .map_err(|error| {
                    Error::storage(format!("cannot start the compaction thread: {error}"))
                })?;
            *thread = Some(started);
        }
        lock(&self.shared.state).next = Some(round);
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        lock(&self.shared.state).stopped = true;
        self.shared.changed.notify_one();
        let thread = lock(&self.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the compaction thread of the log ended with a panic");
        }
    }
}

impl Shared {
    /// Does one round after the other.
    fn run(&self) {
        loop {
            let state = lock(&self.state);
            let mut state = self
                .changed
                .wait_while(state, |state| state.next.is_none() && !state.stopped)
                .unwrap_or_else(PoisonError::into_inner);
            let Some(round) = state.next.take().filter(|_| !state.stopped) else {
                return;
            };
            drop(state);
            if round.shared.transactions.wants_floor()
                && let Err(error) = round.prune()
            {
                tracing::error!(%error, "looking for the oldest transaction failed");
            }
            let stopped = || lock(&self.state).stopped;
            for topic in &round.topics {
                if let Err(error) = topic.compact(round.now_ms, &stopped)
                    && !stopped()
                {
                    tracing::error!(topic = topic.name, %error, "compaction failed");
                }
            }
        }
    }
}
