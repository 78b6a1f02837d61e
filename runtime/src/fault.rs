//! Mistakes that tests make the program make, to see that other tests notice.
//!
//! Place in the flow: asked at the few places whose order matters most. Invariant: outside of unit tests no mistake is ever made, and in
//! them only by the thread that has asked for it.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An epoch is committed before its checkpoint is durable.
    CommitBeforeCheckpoint,
    /// A start goes on from the newest checkpoint, whatever was committed.
    RestoreNewest,
    /// A start shuts nobody out.
    #[cfg_attr(not(test), expect(dead_code, reason = "the model makes this mistake"))]
    NoFence,
}

/// Whether this thread makes the mistake.
pub(crate) fn is_planted(fault: Fault) -> bool {
    planted() == Some(fault)
}

#[cfg(test)]
thread_local! {
    /// The mistake that this thread makes.
    static PLANTED: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// The mistake that this thread makes.
#[cfg(test)]
fn planted() -> Option<Fault> {
    PLANTED.get()
}

/// The mistake that this thread makes.
#[cfg(not(test))]
const fn planted() -> Option<Fault> {
    None
}

/// Has this thread make a mistake from now on, or none.
#[cfg(test)]
pub(crate) fn plant(fault: Option<Fault>) {
    PLANTED.set(fault);
}
