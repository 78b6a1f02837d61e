//! Memory of slots: how much each may hold, and who gives way when it holds more.
//!
//! Place in the flow: the process has one [`MemoryAccountant`], in the [`crate::task::Environment`]; a slot holds a [`SlotMemory`] from
//! its deployment to its end and asks it after every step. Invariant: the caps of all slots together are never more than the process's
//! share of the machine's memory; what a slot holds above its cap, its largest holder moves to disk.
//!
//! # Source
//! Design section 3, "State".

mod host;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use host::{HostFacts, host_memory_bytes};

use crate::task::Waker;
use crate::task::control::SNAPSHOT_PART_BYTES;

/// Share of the machine's memory that slots may hold: seven tenths.
///
/// # Source
/// Design section 3, "State".
const SLOTS_SHARE: (usize, usize) = (7, 10);

/// Part of its cap that a slot that was past it gets below it, so that it does not move keys with every batch (guess, unmeasured).
const MARGIN_SHARE: usize = 16;

/// Share of a slot's memory that a part of a snapshot may take before it is handed out (guess, unmeasured).
const SNAPSHOT_PART_SHARE: usize = 16;

/// Divides the memory of the machine among the slots of the process.
#[derive(Debug)]
pub struct MemoryAccountant {
    /// Memory of all slots together; `usize::MAX` when the machine does not say what it has.
    total_bytes: usize,
    /// Memory of one slot, unless its job allows it less.
    share_bytes: AtomicUsize,
    /// Names the next slot.
    next_id: AtomicU64,
    /// What wakes the slots held.
    slots: Mutex<BTreeMap<u64, Waker>>,
}

impl MemoryAccountant {
    /// For a machine, or the container on it, with this memory; absent when it is not known.
    pub fn new(host_bytes: Option<u64>) -> Arc<Self> {
        let (part, whole) = SLOTS_SHARE;
        let total_bytes = host_bytes.map_or(usize::MAX, |bytes| {
            usize::try_from(bytes).unwrap_or(usize::MAX) / whole * part
        });
        Arc::new(Self {
            total_bytes,
            share_bytes: AtomicUsize::new(total_bytes),
            next_id: AtomicU64::new(0),
            slots: Mutex::default(),
        })
    }

    /// For the machine that this process runs on.
    pub fn of_this_machine() -> Arc<Self> {
        Self::new(host_memory_bytes())
    }

    /// The slots held; a panic elsewhere leaves them as they are.
    fn slots(&self) -> MutexGuard<'_, BTreeMap<u64, Waker>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes place for a slot that may hold `bytes_max`. Other slots may have to give way, and are woken to do so.
    pub(super) fn register(self: &Arc<Self>, bytes_max: usize, waker: &Waker) -> SlotMemory {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.slots();
        slots.insert(id, waker.clone());
        self.divide(&slots);
        SlotMemory {
            accountant: self.clone(),
            id,
            bytes_max,
        }
    }

    /// Divides the memory anew. Slots notice a larger share by themselves.
    fn divide(&self, slots: &BTreeMap<u64, Waker>) {
        let share_bytes = self.total_bytes / slots.len().max(1);
        let before = self.share_bytes.swap(share_bytes, Ordering::Relaxed);
        if share_bytes < before {
            slots.values().for_each(Waker::wake);
        }
    }
}

/// The memory of one slot, until it is dropped.
#[derive(Debug)]
pub(super) struct SlotMemory {
    /// Where it is registered.
    accountant: Arc<MemoryAccountant>,
    /// Its name there.
    id: u64,
    /// What it may hold whatever the machine has.
    bytes_max: usize,
}

impl SlotMemory {
    /// What the slot may hold now.
    pub(super) fn cap_bytes(&self) -> usize {
        let share_bytes = self.accountant.share_bytes.load(Ordering::Relaxed);
        share_bytes.min(self.bytes_max)
    }

    /// Bytes of a snapshot that the slot hands out at once.
    pub(super) fn snapshot_part_bytes(&self) -> usize {
        SNAPSHOT_PART_BYTES.min(self.cap_bytes() / SNAPSHOT_PART_SHARE)
    }
}

impl Drop for SlotMemory {
    fn drop(&mut self) {
        let mut slots = self.accountant.slots();
        slots.remove(&self.id);
        self.accountant.divide(&slots);
    }
}

/// What one holder holds of a slot's memory, and of it what can be moved to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Held {
    /// Everything, bytes.
    pub(super) bytes: usize,
    /// State, bytes.
    pub(super) state_bytes: usize,
    /// What the state is going to take when it grows, if it soon does, bytes.
    pub(super) growth_bytes: usize,
}

/// How a holder gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relief {
    /// It moves keys out so that it does not grow.
    MakeRoom,
    /// It gives memory back until its state takes this much.
    Shrink {
        /// Bytes.
        limit_bytes: usize,
    },
}

/// Which holder gives way, and how, when all of them and `other_bytes` are past the cap, or would be once they have grown.
pub(super) fn relief(
    holders: &[Held],
    other_bytes: usize,
    cap_bytes: usize,
) -> Option<(usize, Relief)> {
    let held_bytes = other_bytes + holders.iter().map(|held| held.bytes).sum::<usize>();
    let growth_bytes = holders
        .iter()
        .map(|held| held.growth_bytes)
        .max()
        .unwrap_or(0);
    if held_bytes + growth_bytes <= cap_bytes {
        return None;
    }
    let (index, largest) = holders
        .iter()
        .enumerate()
        .filter(|(_, held)| held.state_bytes > 0)
        .max_by_key(|(_, held)| held.state_bytes)?;
    if held_bytes <= cap_bytes && largest.growth_bytes > 0 {
        return Some((index, Relief::MakeRoom));
    }
    // Another one has to grow, or all of them are past the cap already.
    let excess_bytes = held_bytes + growth_bytes - cap_bytes;
    let needed_bytes = if largest.growth_bytes == growth_bytes {
        held_bytes.saturating_sub(cap_bytes)
    } else {
        excess_bytes
    };
    let limit_bytes = largest
        .state_bytes
        .saturating_sub(needed_bytes + cap_bytes / MARGIN_SHARE);
    Some((index, Relief::Shrink { limit_bytes }))
}

#[cfg(test)]
mod tests;
