//! Compaction: of each key only the newest committed record stays.
//!
//! Enters: closed segments of a topic with `cleanup.policy=compact`. Leaves: fewer and smaller ones. Invariant: no record changes its
//! offset, its order or its content, the newest committed record of a key stays, and a crash at any moment leaves the old files or the
//! new one.

mod keys;
mod pass;
mod plan;
mod rewrite;
mod thread;

pub(super) use pass::compact;
pub(super) use thread::{Cleaner, Round};
