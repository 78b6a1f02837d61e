//! The store of incremental checkpoints.
//!
//! Enters: deltas of key groups, manifests. Leaves: entries, in the order in which they apply, from any manifest that is still there.
//! A statement's state is a chain of slices per node and key group; each epoch adds to some chains and stores a manifest of all. In the
//! order of use: [`Location`] and [`Options`] open a [`CheckpointStore`]; [`SegmentWriter`] builds what a subtask stores; [`Manifest`]
//! names it all; [`plan_compaction`] keeps chains short. `objects` has the trait of what lies below: `local` and `remote` implement it.
//!
//! The format is written down in `docs/formats/checkpoint-v2.md`.

mod checkpoints;
mod collect;
mod compact;
mod local;
mod location;
mod manifest;
mod merge;
mod merging;
mod name;
mod note;
pub mod objects;
mod options;
mod read;
mod remote;
mod retry;
mod segment;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;
mod transfer;

pub use checkpoints::{CheckpointStore, Collected, Components, Listed};
pub use collect::Settled;
pub use compact::{ChainFacts, CompactionLimits, Merge, Replacement, chain_facts, plan_compaction};
pub use local::LocalObjects;
pub use location::{Bucket, Location, Provider};
pub use manifest::{FORMAT_VERSION, Manifest, Node, Owner, Purpose};
pub use merge::{Scope, merge};
pub use name::CheckpointName;
pub use options::{Options, RetryOptions, S3Options, Secret, TransferOptions};
pub use remote::RemoteObjects;
pub use retry::{Pause, SleepingPause};
pub use segment::{SegmentWriter, Slice, Written};
