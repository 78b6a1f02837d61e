//! How anything outside a slot tells it that there is work.
//!
//! Place in the flow: connectors, exchanges and the coordinator hold a [`Waker`] of the slot. Invariant: a wake-up that comes
//! before the slot parks is not lost.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
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
