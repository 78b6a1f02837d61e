//! Checkpoints: the state of a whole statement at one epoch.
//!
//! Enters: the states of all subtasks. Leaves: what a later start restores, or the decision which epoch that is. An epoch is complete
//! when every subtask has joined it; [`store`] keeps what has changed since the one before.

pub mod commit;
mod coordinator;
pub mod entry;
pub mod restore;
pub mod store;

pub use coordinator::{Coordinator, Decision, Schedule};

use serde::{Deserialize, Serialize};

use crate::checkpoint::entry::KeyGroupDelta;
use crate::connector::source::SplitPosition;
use crate::time::EpochMillis;

/// What one subtask gives to an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubtaskState {
    /// Splits of a source.
    pub splits: Vec<SplitState>,
    /// The watermark seen; absent before the first.
    pub watermark_ms: Option<EpochMillis>,
    /// What a sink has written and shows once the epoch is complete.
    pub prepared: Vec<String>,
    /// What has changed in keyed state since the epoch before, as far as it was not handed out already.
    pub key_groups: Vec<KeyGroupDelta>,
}

impl SubtaskState {
    /// Takes out what counts for one epoch only; the rest is the state of a subtask that does nothing any more.
    #[must_use]
    pub fn take(&mut self) -> Self {
        Self {
            splits: self.splits.clone(),
            watermark_ms: self.watermark_ms,
            prepared: std::mem::take(&mut self.prepared),
            key_groups: std::mem::take(&mut self.key_groups),
        }
    }
}

/// The state of one split of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitState {
    /// Where reading continues.
    pub position: SplitPosition,
    /// The split's watermark; absent before the first.
    pub watermark_ms: Option<EpochMillis>,
    /// What its rows alone allow, [`EpochMillis::MIN`] for nothing, where that is less: an idle split forwards its latest event time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_watermark_ms: Option<EpochMillis>,
}
