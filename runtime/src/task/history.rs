//! What a statement has stored and committed, and the next step of both.
//!
//! Place in the flow: a starting job asks it what to restore; the job's coordinator completes epochs through it. Invariant: an epoch is
//! committed only when its checkpoint is durable and was read back, and the checkpoint before it goes only after that.
//!
//! # Source
//! Design section 3, "Exactly-once"; decision 0005.

use std::path::PathBuf;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::commit::EpochRecord;
use crate::checkpoint::restore::{self, Facts, WAYS_OUT};
use crate::checkpoint::{Checkpoint, storage};
use crate::connector::sink::Transactions;
use crate::crash;
use crate::error::{Error, Kind, Result};
use crate::task::job::{JobSpec, StartFrom};
use crate::time::SharedClock;

/// The checkpoints and commits of one job.
#[derive(Debug)]
pub(super) struct History {
    /// Where checkpoints are kept; absent when none are.
    dir: Option<PathBuf>,
    /// The statement's life.
    run: String,
    /// xxh3-64 of the stored plan.
    plan_hash: u64,
    /// The statement's transactions; absent when rows are written at least once.
    transactions: Option<Transactions>,
    /// Time.
    clock: SharedClock,
}

impl History {
    /// Shuts out earlier runs of the statement.
    ///
    /// # Errors
    /// What fencing returns; `Internal` when the plan cannot be written.
    pub(super) fn open(
        spec: &JobSpec,
        transactions: Option<Transactions>,
        clock: &SharedClock,
    ) -> Result<Self> {
        let plan =
            serde_json::to_vec(&spec.plan).map_err(|error| Error::internal(error.to_string()))?;
        if let Some(transactions) = &transactions {
            transactions.committer.fence()?;
        }
        Ok(Self {
            dir: spec.checkpoint_dir.clone(),
            run: spec.run.clone(),
            plan_hash: xxh3_64(&plan),
            transactions,
            clock: clock.clone(),
        })
    }

    /// Whether checkpoints are kept.
    pub(super) fn is_kept(&self) -> bool {
        self.dir.is_some()
    }

    /// Whether rows are committed epoch by epoch.
    pub(super) fn is_transactional(&self) -> bool {
        self.transactions.is_some()
    }

    /// The checkpoint that the job goes on from; what is newer is forgotten.
    ///
    /// # Errors
    /// `Corrupt` (`WEIR-2005`) when the committed one is missing or damaged; `Invalid` for one of another plan; `Unavailable`.
    pub(super) fn restore(&self, start_from: StartFrom) -> Result<Option<Checkpoint>> {
        let Some(dir) = &self.dir else {
            return Ok(None);
        };
        let Some(transactions) = &self.transactions else {
            return storage::newest(dir, self.plan_hash);
        };
        if start_from == StartFrom::AcceptDuplicates {
            return storage::newest(dir, self.plan_hash);
        }
        let listed = storage::list(dir)?;
        let mut note = storage::committed_note(dir)?.filter(|note| note.run == self.run);
        if start_from == StartFrom::Savepoint && note.is_none() {
            let oldest = listed.last().map(|(epoch, _)| self.record(*epoch));
            if let Some(oldest) = &oldest {
                storage::note_committed(dir, oldest)?;
            }
            note = oldest;
        }
        let now_ms = self.clock.now_ms();
        let age = |written_ms: i64| {
            Duration::from_millis(now_ms.saturating_sub(written_ms).max(0).unsigned_abs())
        };
        let stored: Vec<(u64, Duration)> = listed
            .iter()
            .map(|(epoch, written_ms)| (*epoch, age(*written_ms)))
            .collect();
        let record = transactions.committer.committed()?;
        let epoch = restore::committed_epoch(&Facts {
            run: &self.run,
            record: record.as_ref(),
            note: note.as_ref(),
            stored: &stored,
            retention: transactions.committer.record_retention(),
        })?;
        storage::forget_after(dir, epoch.unwrap_or(0))?;
        let Some(epoch) = epoch else {
            return Ok(None);
        };
        let checkpoint = storage::read(dir, epoch, self.plan_hash);
        checkpoint.map(Some).map_err(|error| {
            if error.kind == Kind::Corrupt {
                Error::committed_checkpoint(format!(
                    "epoch {epoch} is committed and its checkpoint is damaged ({}); {WAYS_OUT}",
                    error.message
                ))
            } else {
                error
            }
        })
    }

    /// Opens the transaction that an epoch writes in.
    ///
    /// # Errors
    /// What the committer returns.
    pub(super) fn begin(&self, epoch: u64) -> Result<()> {
        match &self.transactions {
            Some(transactions) => transactions.committer.begin(epoch),
            None => Ok(()),
        }
    }

    /// Stores the checkpoint of an epoch, commits what was written in it, and notes that; the bytes stored.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be stored; what the committer returns.
    pub(super) fn complete(&self, mut checkpoint: Checkpoint) -> Result<u64> {
        let Some(dir) = &self.dir else {
            return Ok(0);
        };
        checkpoint.plan_hash = self.plan_hash;
        let epoch = checkpoint.epoch;
        crash::point("before-checkpoint");
        let bytes = storage::store(dir, &checkpoint)?;
        if storage::read(dir, epoch, self.plan_hash)? != checkpoint {
            return Err(Error::storage(format!(
                "checkpoint {} is not what was written",
                storage::name_of(epoch)
            )));
        }
        crash::point("after-checkpoint");
        let record = self.record(epoch);
        if let Some(transactions) = &self.transactions {
            transactions.committer.commit(epoch, &record)?;
            crash::point("after-commit");
        }
        storage::note_committed(dir, &record)?;
        crash::point("after-note");
        Ok(bytes)
    }

    /// The record of an epoch.
    fn record(&self, epoch: u64) -> EpochRecord {
        EpochRecord {
            run: self.run.clone(),
            epoch,
            checkpoint: storage::name_of(epoch),
        }
    }
}
