//! Checkpoints: the state of a whole statement at one epoch.
//!
//! Enters: the states of all subtasks. Leaves: a file that a later start restores, or the decision which file that is. An epoch is
//! complete when every subtask has joined it.

pub mod commit;
mod coordinator;
pub mod entry;
mod manifest;
pub mod restore;
pub mod storage;
pub mod store;

pub use coordinator::{Coordinator, Decision};
pub use manifest::{Checkpoint, NodeState};

use serde::{Deserialize, Serialize};

use crate::checkpoint::entry::KeyGroupDelta;
use crate::connector::source::SplitPosition;
use crate::time::EpochMillis;

/// The state of one subtask at an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubtaskState {
    /// Splits of a source.
    pub splits: Vec<SplitState>,
    /// The watermark seen; absent before the first.
    pub watermark_ms: Option<EpochMillis>,
    /// Keyed state.
    pub key_groups: Vec<KeyGroupDelta>,
}

/// The state of one split of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitState {
    /// Where reading continues.
    pub position: SplitPosition,
    /// The split's watermark; absent before the first.
    pub watermark_ms: Option<EpochMillis>,
}
