//! What the coordinator asks of slots, and what they answer.
//!
//! Place in the flow: one [`Control`] per job, shared by its slots and its coordinator. Invariant: requests only grow (an epoch,
//! then a stop), so a slot that looks late misses nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;

use crate::checkpoint::SubtaskState;
use crate::checkpoint::entry::KeyGroupDelta;
use crate::connector::source::SplitPosition;
use crate::error::{Error, Result};

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
    /// Bytes of snapshots that were handed out and are not stored yet.
    snapshot_bytes: AtomicUsize,
    /// Bytes of them above which no more are handed out.
    snapshot_bytes_max: usize,
    /// Bytes of chains that are merged at a time.
    merge_bytes_max: u64,
    /// The newest epoch that is complete and committed.
    settled_epoch: AtomicU64,
}

/// Most bytes of snapshots that wait for the store; slots hand out no more above it, so that a slow store does not fill memory (guess,
/// unmeasured).
pub(super) const SNAPSHOT_BYTES_MAX: usize = 256 << 20;

/// Share of the memory of all slots that snapshots that wait for the store may take (guess, unmeasured).
const SNAPSHOT_SHARE: usize = 8;

/// Most bytes of chains that are merged at a time, which is also the size of a merged segment.
///
/// # Source
/// Guess, unmeasured: eight parts of the size that AWS recommends.
const MERGE_BYTES_MAX: usize = 64 << 20;

/// Share of the memory of all slots that they may take, and what they are merged into once more (guess, unmeasured).
const MERGE_SHARE: usize = 16;

/// Bytes of a snapshot that are handed out at once: a good size for an object of a store (guess, unmeasured).
pub(super) const SNAPSHOT_PART_BYTES: usize = 32 << 20;

impl Control {
    /// No requests to slots with this much memory together; the first epoch is the one after `restored_epoch`.
    pub(super) fn new(restored_epoch: u64, slots_bytes: usize) -> Self {
        Self {
            epoch: AtomicU64::new(restored_epoch),
            last_epoch: AtomicU64::new(u64::MAX),
            drain: AtomicBool::new(false),
            cancel: AtomicBool::new(false),
            snapshot_bytes: AtomicUsize::new(0),
            snapshot_bytes_max: SNAPSHOT_BYTES_MAX.min(slots_bytes / SNAPSHOT_SHARE),
            merge_bytes_max: MERGE_BYTES_MAX.min(slots_bytes / MERGE_SHARE) as u64,
            settled_epoch: AtomicU64::new(restored_epoch),
        }
    }

    /// Whether a subtask may hand out more of its snapshot.
    pub(super) fn takes_snapshots(&self) -> bool {
        self.snapshot_bytes() < self.snapshot_bytes_max
    }

    /// Bytes of chains that are merged at a time.
    pub(super) fn merge_bytes_max(&self) -> u64 {
        self.merge_bytes_max
    }

    /// Bytes of snapshots that wait for the store.
    pub(super) fn snapshot_bytes(&self) -> usize {
        self.snapshot_bytes.load(Ordering::Acquire)
    }

    /// An epoch is complete and committed.
    pub(super) fn settle(&self, epoch: u64) {
        self.settled_epoch.store(epoch, Ordering::Release);
    }

    /// Whether a subtask that has joined `epoch` last may hand out what belongs to the next one: not before the checkpoint of
    /// `epoch` is complete, which would take it for its own.
    pub(super) fn takes_begun(&self, epoch: u64) -> bool {
        self.takes_snapshots() && self.settled_epoch.load(Ordering::Acquire) >= epoch
    }

    /// A part of a snapshot is on its way.
    pub(super) fn add_snapshot_bytes(&self, bytes: usize) {
        self.snapshot_bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Parts of snapshots are stored.
    pub(super) fn remove_snapshot_bytes(&self, bytes: usize) {
        self.snapshot_bytes.fetch_sub(bytes, Ordering::AcqRel);
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

/// What a slot tells the supervisor, or the job's owner asks it for.
#[derive(Debug)]
pub(super) enum Report {
    /// A part of a subtask's snapshot; the rest follows.
    Snapshot {
        /// Vertex in the job graph.
        vertex: usize,
        /// Which subtask of it.
        subtask: usize,
        /// What has changed.
        key_groups: Vec<KeyGroupDelta>,
    },
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
    /// A slot has ended.
    SlotEnded {
        /// Which.
        subtask: usize,
        /// Final states of its subtasks by vertex, or why it failed.
        outcome: Result<Vec<SubtaskState>>,
    },
    /// Merged slices of the newest checkpoint, for the next one.
    Compacted(Result<Vec<crate::checkpoint::store::Replacement>>),
    /// A request of the job's owner.
    Command(Command),
}

/// What a job's owner asks for.
#[derive(Debug)]
pub(super) enum Command {
    /// A last checkpoint, then the end.
    Stop,
    /// The end, at once.
    Cancel,
    /// A checkpoint that is kept for good.
    Savepoint {
        /// Its name.
        name: String,
        /// Where the answer goes.
        reply: Reply<Savepoint>,
    },
    /// Another number of slots.
    Rescale {
        /// How many.
        parallelism: usize,
        /// Where the answer goes.
        reply: Reply<()>,
    },
}

/// Where an answer goes; nobody may be waiting for it any more.
pub(super) type Reply<T> = SyncSender<Result<T, Error>>;

/// A completed savepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Savepoint {
    /// Its name in the checkpoint store.
    pub name: String,
    /// Its epoch.
    pub epoch: u64,
    /// Next offsets of every split.
    pub positions: Vec<SplitPosition>,
}
