//! How anything outside a slot tells it that there is work.
//!
//! Place in the flow: connectors, exchanges and the coordinator hold a [`Waker`] of the slot. Invariant: a wake-up that comes
//! before the slot parks is not lost.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Wakes one slot thread. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Waker {
    /// Flag and condition shared with the slot.
    shared: Arc<Shared>,
}

/// The flag and the condition.
#[derive(Debug, Default)]
struct Shared {
    /// A wake-up that was not yet consumed.
    woken: Mutex<bool>,
    /// Signalled with every wake-up.
    condition: Condvar,
}

impl Waker {
    /// Makes the slot step again.
    pub fn wake(&self) {
        let mut woken = self
            .shared
            .woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !*woken {
            *woken = true;
            self.shared.condition.notify_one();
        }
    }

    /// Consumes a wake-up without waiting; whether there was one. For a simulator, which steps the slot itself.
    pub(crate) fn take(&self) -> bool {
        let mut woken = self
            .shared
            .woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *woken)
    }

    /// Waits for a wake-up, for at most `limit` if one is given, and consumes it. Only the slot itself calls this.
    pub fn park(&self, limit: Option<Duration>) {
        let woken = self
            .shared
            .woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut woken = match limit {
            Some(limit) => {
                self.shared
                    .condition
                    .wait_timeout_while(woken, limit, |woken| !*woken)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
            None => self
                .shared
                .condition
                .wait_while(woken, |woken| !*woken)
                .unwrap_or_else(PoisonError::into_inner),
        };
        *woken = false;
    }
}

/// Wakers that something else calls, without keeping their slots' state alive.
///
/// The same waker is held once and wakers of ended slots are dropped, so the set is never larger than the number of live
/// slots that were added.
#[derive(Debug, Default)]
pub struct WakerSet {
    /// One entry per distinct waker.
    wakers: Vec<Weak<Shared>>,
}

impl WakerSet {
    /// Adds a waker unless it is there already.
    pub fn add(&mut self, waker: &Waker) {
        self.wakers.retain(|held| held.strong_count() > 0);
        let held = Arc::downgrade(&waker.shared);
        if !self.wakers.iter().any(|other| other.ptr_eq(&held)) {
            self.wakers.push(held);
        }
    }

    /// Wakes every waker of the set.
    pub fn wake_all(&self) {
        for shared in self.wakers.iter().filter_map(Weak::upgrade) {
            Waker { shared }.wake();
        }
    }

    /// Wakers held.
    pub fn len(&self) -> usize {
        self.wakers.len()
    }

    /// Whether no waker is held.
    pub fn is_empty(&self) -> bool {
        self.wakers.is_empty()
    }
}
