//! Committing what a statement has written, once per epoch.
//!
//! Place in the flow: the coordinator calls a [`Committer`] after a checkpoint is durable, and at every start before anything is
//! restored. Invariant: the epoch record becomes visible with exactly the rows of its epoch, or with none of them.
//!
//! # Source
//! Design section 3, "Exactly-once"; decision 0005 has the reasoning and the failure table.

use std::fmt::Debug;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What is committed together with the rows of an epoch: which checkpoint goes with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// New for every start from a savepoint: records of an earlier life do not count.
    pub run: String,
    /// The epoch.
    pub epoch: u64,
    /// Name of the checkpoint's manifest.
    pub checkpoint: String,
}

impl EpochRecord {
    /// The record as text, as it is stored in group-offset metadata and in the embedded log.
    ///
    /// # Errors
    /// `Internal` only.
    pub fn to_text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::internal(error.to_string()))
    }

    /// Reads [`EpochRecord::to_text`].
    ///
    /// # Errors
    /// `Corrupt` when the text is no epoch record.
    pub fn from_text(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|error| Error::corrupt(format!("epoch record {text:?}: {error}")))
    }
}

/// The transactions of one statement in one system: a Kafka cluster, the embedded log, or a model of them.
///
/// Epoch N is written in a transaction of its own. Between `begin(N)` and `commit(N)` the statement's writers write, all of them
/// tagged with N. Two transactions are open for a moment: N+1 is begun before N is committed, since slots go on writing while the
/// checkpoint of N becomes durable. Every call may wait for the outside world and is made from an edge thread or at start.
///
/// # Errors
/// `Conflict` when another run of the statement has fenced this one: stop, do not retry. `Unavailable` when the outcome is not
/// known or the system does not answer: the job ends and its next start finds out by [`Committer::fence`] and
/// [`Committer::committed`]. `Invalid` for settings that cannot work, such as a transaction time-out above the broker's maximum.
pub trait Committer: Send + Sync + Debug {
    /// Shuts out every earlier run of the statement and aborts what it left open. Called first, once per start.
    ///
    /// # Errors
    /// As the trait says.
    fn fence(&self) -> Result<()>;

    /// The newest committed epoch record; absent when there is none (any more, see [`Committer::record_retention`]).
    ///
    /// # Errors
    /// As the trait says; `Corrupt` when what is there is no epoch record.
    fn committed(&self) -> Result<Option<EpochRecord>>;

    /// Opens the transaction of an epoch. At most two are open, and of two the older one is committed first.
    ///
    /// # Errors
    /// As the trait says.
    fn begin(&self, epoch: u64) -> Result<()>;

    /// Commits the transaction of an epoch together with its record. Every writer has flushed what it wrote in that epoch. When this
    /// returns `Ok`, the rows and the record are visible to read-committed readers for good.
    ///
    /// # Errors
    /// As the trait says.
    fn commit(&self, epoch: u64, record: &EpochRecord) -> Result<()>;

    /// How long a committed record is kept after the last commit of the statement; absent means for ever.
    fn record_retention(&self) -> Option<Duration> {
        None
    }
}
