//! What the coordinator asks of slots, and what they answer.
//!
//! Place in the flow: one [`Control`] per job, shared by its slots and its coordinator. Invariant: requests only grow (an epoch,
//! then a stop), so a slot that looks late misses nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::checkpoint::SubtaskState;
use crate::error::Error;

/// Requests of the coordinator to all slots of a job.
#[derive(Debug)]
pub(super) struct Control {
    /// The newest epoch whose barrier sources must send.
    epoch: AtomicU64,
    /// The epoch after whose barrier sources stop reading.
    last_epoch: AtomicU64,
    /// Whether sources end at their present ends.
    drain: AtomicBool,
    /// Whether slots must end at once.
    cancel: AtomicBool,
}

impl Control {
    /// No requests; the first epoch is the one after `restored_epoch`.
    pub(super) fn new(restored_epoch: u64) -> Self {
        Self {
            epoch: AtomicU64::new(restored_epoch),
            last_epoch: AtomicU64::new(u64::MAX),
            drain: AtomicBool::new(false),
            cancel: AtomicBool::new(false),
        }
    }

    /// The newest epoch asked for.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Asks for the barrier of an epoch; with `is_last`, sources stop after it.
    pub(super) fn request(&self, epoch: u64, is_last: bool) {
        if is_last {
            self.last_epoch.store(epoch, Ordering::Release);
        }
        self.epoch.store(epoch, Ordering::Release);
    }

    /// Whether sources stop after the barrier of this epoch.
    pub(super) fn is_last(&self, epoch: u64) -> bool {
        self.last_epoch.load(Ordering::Acquire) <= epoch
    }

    /// Asks sources to end at their present ends.
    pub(super) fn request_drain(&self) {
        self.drain.store(true, Ordering::Release);
    }

    /// Whether sources end at their present ends.
    pub(super) fn drains(&self) -> bool {
        self.drain.load(Ordering::Acquire)
    }

    /// Asks slots to end at once.
    pub(super) fn request_cancel(&self) {
        self.cancel.store(true, Ordering::Release);
    }

    /// Whether slots must end at once.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Acquire)
    }
}

/// What a slot tells the coordinator.
#[derive(Debug)]
pub(super) enum Report {
    /// A subtask has taken part in an epoch.
    Acknowledged {
        /// The epoch.
        epoch: u64,
        /// Vertex in the job graph.
        vertex: usize,
        /// Which subtask of it.
        subtask: usize,
        /// Its state.
        state: SubtaskState,
    },
    /// A slot thread has ended.
    SlotEnded {
        /// Which.
        subtask: usize,
        /// Final states of its subtasks by vertex, or why it failed.
        outcome: Result<Vec<SubtaskState>, Error>,
    },
    /// A request of the job's owner.
    Command(Command),
}

/// What a job's owner asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// A last checkpoint, then the end.
    Stop,
    /// The end, at once.
    Cancel,
}
