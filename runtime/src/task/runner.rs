//! Where slots run.
//!
//! Place in the flow: the supervisor starts slots and gets them back when they have ended. Invariant: each slot that was started reports
//! its end exactly once, even after a panic.

use std::fmt::Debug;
use std::thread::JoinHandle;

use crate::error::{Error, Result};
use crate::task::control::Report;
use crate::task::slot::Slot;

/// Work beside the slots.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// Runs slots, on threads or step by step.
pub(super) trait Runner: Send + Debug {
    /// Starts slots.
    ///
    /// # Errors
    /// `Unavailable` when there is no thread for one; those that were started are asked to end.
    fn start(&mut self, slots: Vec<Slot>) -> Result<()>;

    /// Waits until all slots have ended, which they were asked to; the slots.
    fn join(&mut self) -> Vec<Slot>;

    /// Does work that takes long and waits for the outside world, beside everything else.
    ///
    /// # Errors
    /// `Unavailable` when there is no thread for it.
    fn spawn(&mut self, work: Work) -> Result<()>;
}

/// A thread per slot.
#[derive(Debug, Default)]
pub(super) struct Threads {
    /// Those of the slots.
    slots: Vec<JoinHandle<Slot>>,
}

impl Runner for Threads {
    fn start(&mut self, slots: Vec<Slot>) -> Result<()> {
        for slot in slots {
            let (control, waker) = (slot.control.clone(), slot.waker.clone());
            match start(slot) {
                Ok(thread) => self.slots.push(thread),
                Err(error) => {
                    control.request_cancel();
                    waker.wake();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn join(&mut self) -> Vec<Slot> {
        let joined = self.slots.drain(..).map(JoinHandle::join);
        joined
            .filter_map(|slot| {
                slot.map_err(|_| tracing::error!("a slot thread could not be joined"))
                    .ok()
            })
            .collect()
    }

    fn spawn(&mut self, work: Work) -> Result<()> {
        std::thread::Builder::new()
            .name("weir-compact".to_owned())
            .spawn(work)
            .map(drop)
            .map_err(|error| Error::unavailable(format!("no thread for compaction: {error}")))
    }
}

/// Starts the thread of a slot. A panic in it fails the job, not the process.
fn start(mut slot: Slot) -> Result<JoinHandle<Slot>> {
    let subtask = slot.index;
    let body = move || {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| slot.run()))
            .unwrap_or_else(|_| {
                Err(Error::internal(format!(
                    "slot {subtask} panicked; the log has the place"
                )))
            });
        let report = Report::SlotEnded { subtask, outcome };
        if slot.reports.send(report).is_err() {
            tracing::debug!(subtask, "the job has ended before its slot");
        }
        slot
    };
    std::thread::Builder::new()
        .name(format!("weir-slot-{subtask}"))
        .spawn(body)
        .map_err(|error| Error::unavailable(format!("no thread for slot {subtask}: {error}")))
}
