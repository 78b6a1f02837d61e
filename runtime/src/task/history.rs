//! What a statement has stored and committed, and the next step of both.
//!
//! Place in the flow: a starting job asks it what to restore; the supervisor completes epochs through it, one phase after the other.
//! Invariant: an epoch is committed only when its checkpoint is durable and was read back, and the checkpoint before it goes only
//! after that.
//!
//! # Source
//! Design section 3, "Exactly-once"; decision 0005.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::SubtaskState;
use crate::checkpoint::commit::EpochRecord;
use crate::checkpoint::entry::KeyGroupDelta;
use crate::checkpoint::restore::{self, Facts, WAYS_OUT};
use crate::checkpoint::store::{
    CheckpointName, CheckpointStore, Listed, Manifest, Owner, Replacement, SegmentWriter, Settled,
    Written,
};
use crate::connector::sink::{Sink, Transactions};
use crate::connector::source::Source;
use crate::crash;
use crate::error::{Error, Kind, Result};
use crate::fault::{self, Fault};
use crate::plan::StreamPlan;
use crate::task::job::{DeliveryGuarantee, JobSpec, StartFrom};
use crate::time::SharedClock;

/// Sinks that show what they have prepared, by node id.
pub(super) type PublishingSinks = Vec<(u32, Arc<dyn Sink>)>;

/// What a job reads and writes that has to agree with its checkpoints.
#[derive(Debug)]
pub(super) struct Outside {
    /// The statement's transactions; absent when rows are written at least once.
    pub(super) transactions: Option<Transactions>,
    /// Sinks that commit with the checkpoint itself.
    pub(super) publishing: PublishingSinks,
    /// What is read.
    pub(super) reading: Vec<Arc<dyn Source>>,
}

/// The checkpoints and commits of one job.
#[derive(Debug)]
pub(super) struct History {
    /// Where checkpoints are kept; absent when none are.
    store: Option<Arc<CheckpointStore>>,
    /// The statement's transactions; absent when rows are written at least once.
    transactions: Option<Transactions>,
    /// Sinks that commit with the checkpoint itself; none when rows are written at least once.
    publishing: PublishingSinks,
    /// What is read: durable up to the positions of a checkpoint before that is.
    reading: Vec<Arc<dyn Source>>,
    /// The record of the newest committed epoch, as the start has found it or as this run has committed it.
    record: Option<EpochRecord>,
    /// How many complete checkpoints are kept.
    retained_count: usize,
    /// Time.
    clock: SharedClock,
    /// The newest complete checkpoint, or the state before the first one: what the next one adds to.
    newest: Manifest,
    /// The newest epoch that has a name in the store; new ones come after it.
    last_epoch: u64,
    /// Runs that were over when this one began.
    outlived: BTreeSet<String>,
    /// Complete checkpoints of this run, oldest first.
    kept: VecDeque<CheckpointName>,
    /// What has not been stored yet, with its subtask.
    unstored: VecDeque<(u32, SegmentWriter)>,
    /// What was stored since the newest checkpoint.
    written: Vec<Written>,
    /// Merged slices for the next checkpoint.
    replacements: Vec<Replacement>,
}

impl History {
    /// Shuts out earlier runs of the statement.
    ///
    /// # Errors
    /// What fencing returns; `Internal` when the plan cannot be written.
    pub(super) fn open(spec: &JobSpec, outside: Outside, clock: &SharedClock) -> Result<Self> {
        let Outside {
            transactions,
            publishing,
            reading,
        } = outside;
        if let Some(transactions) = &transactions {
            transactions.committer.fence()?;
        }
        let checkpoints = spec.checkpoints.as_ref();
        let is_exactly_once =
            checkpoints.is_some() && spec.config.delivery == DeliveryGuarantee::ExactlyOnce;
        Ok(Self {
            store: checkpoints.map(|checkpoints| checkpoints.store.clone()),
            transactions,
            publishing: if is_exactly_once {
                publishing
            } else {
                Vec::new()
            },
            reading,
            record: None,
            retained_count: spec.config.retained_checkpoints.max(1),
            clock: clock.clone(),
            newest: Manifest {
                statement_uid: spec.statement_uid.clone(),
                statement_name: spec.statement_name.clone(),
                run: checkpoints.map_or_else(String::new, |checkpoints| checkpoints.run.clone()),
                plan_hash: plan_hash(&spec.plan)?,
                ..Manifest::default()
            },
            last_epoch: 0,
            outlived: BTreeSet::new(),
            kept: VecDeque::new(),
            unstored: VecDeque::new(),
            written: Vec::new(),
            replacements: Vec::new(),
        })
    }

    /// Whether checkpoints are kept.
    pub(super) fn is_kept(&self) -> bool {
        self.store.is_some()
    }

    /// Whether rows are committed epoch by epoch.
    pub(super) fn is_transactional(&self) -> bool {
        self.transactions.is_some()
    }

    /// Whether what was written belongs to one checkpoint and no other.
    pub(super) fn is_exactly_once(&self) -> bool {
        self.transactions.is_some() || !self.publishing.is_empty()
    }

    /// The statement's transactions.
    pub(super) fn transactions(&self) -> Option<Transactions> {
        self.transactions.clone()
    }

    /// The newest complete checkpoint, or the state before the first one.
    pub(super) fn newest(&self) -> &Manifest {
        &self.newest
    }

    /// The newest epoch that has a name; the job's first one comes after it.
    pub(super) fn last_epoch(&self) -> u64 {
        self.last_epoch
    }

    /// The store.
    pub(super) fn store(&self) -> Option<&Arc<CheckpointStore>> {
        self.store.as_ref()
    }

    /// Finds the checkpoint that the job goes on from, which is [`Self::newest`] from then on.
    ///
    /// # Errors
    /// `Corrupt` (`WEIR-2005`) when the committed one is missing or damaged; `Invalid` for one of another plan; `Unavailable`.
    pub(super) fn restore(&mut self, spec: &JobSpec) -> Result<()> {
        let Some(store) = self.store.clone() else {
            return Ok(());
        };
        let start_from = spec
            .checkpoints
            .as_ref()
            .map(|checkpoints| checkpoints.start_from.clone())
            .unwrap_or_default();
        if let Some(transactions) = &self.transactions
            && !matches!(start_from, StartFrom::Checkpoint(_))
        {
            // Before checkpoints are listed: that of a record is there before the record is.
            self.record = transactions.committer.committed()?;
        }
        let listed = store.list()?;
        self.outlived = store.segment_runs()?;
        self.outlived
            .extend(listed.iter().map(|listed| listed.name.run.clone()));
        let stored = self.stored(&listed);
        self.last_epoch = stored.first().map_or(0, |(epoch, _)| *epoch);
        let own = match &start_from {
            StartFrom::Checkpoint(epoch) => {
                let newer = |(found, _): &&(u64, Duration)| found <= epoch;
                self.readable(&store, &mut stored.iter().filter(newer))?
            }
            StartFrom::Committed | StartFrom::Savepoint(_) => self.committed(&store, &stored)?,
        };
        match (own, start_from) {
            (Some(manifest), start_from) => {
                manifest.ensure_owner(self.owner())?;
                self.last_epoch = self.last_epoch.max(manifest.epoch);
                self.keep_before(&store, &stored, manifest.epoch);
                self.kept.push_back(manifest.name());
                self.newest = manifest;
                self.publish_again(&store)?;
                let is_chosen = matches!(start_from, StartFrom::Checkpoint(_));
                if is_chosen || self.transactions.is_none() {
                    self.collect()?;
                }
                // Else what is newer goes after the next commit, which shows that nobody has taken over: a run that has may have
                // committed it since its record was read.
            }
            (None, StartFrom::Savepoint(name)) => {
                let savepoint = store.read_savepoint(&name)?;
                savepoint.ensure_owner(self.owner())?;
                self.last_epoch = self.last_epoch.max(savepoint.epoch);
                self.newest.epoch = savepoint.epoch;
                self.newest.nodes = savepoint.nodes;
            }
            (None, StartFrom::Checkpoint(epoch)) => {
                let known: Vec<String> =
                    stored.iter().map(|(epoch, _)| epoch.to_string()).collect();
                return Err(Error::validation(format!(
                    "there is no checkpoint of epoch {epoch} or before; there are: {}",
                    known.join(", ")
                )));
            }
            (None, StartFrom::Committed) => {}
        }
        Ok(())
    }

    /// What it means that something stored is gone: a run that has taken over since may have deleted it after a commit of its own, and
    /// then this one is fenced.
    pub(super) fn judged(&self, error: Error) -> Error {
        let Some(transactions) = self
            .transactions
            .as_ref()
            .filter(|_| error.kind == Kind::Corrupt)
        else {
            return error;
        };
        match transactions.committer.committed() {
            Ok(record) if record != self.record => Error::fenced(format!(
                "another run of the statement has taken over and committed since: {}",
                error.message
            )),
            Ok(_) => error,
            // The next start finds out, and to give up is final.
            Err(unknown) => unknown.context(&error.message),
        }
    }

    /// Keeps the checkpoints before the restored one that would be kept had the job not ended, as far as they can be read.
    fn keep_before(&mut self, store: &CheckpointStore, stored: &[(u64, Duration)], epoch: u64) {
        let older = stored.iter().filter(|(found, _)| *found < epoch);
        for (older, _) in older.take(self.retained_count - 1) {
            let name = self.name(*older);
            match store.read_manifest(&name) {
                Ok(_) => self.kept.push_front(name),
                Err(error) => tracing::warn!(%error, "an older checkpoint is not kept"),
            }
        }
    }

    /// Epochs of the run with their ages, newest first.
    fn stored(&self, listed: &[Listed]) -> Vec<(u64, Duration)> {
        let now_ms = self.clock.now_ms();
        let age = |modified_ms: i64| {
            Duration::from_millis(now_ms.saturating_sub(modified_ms).max(0).unsigned_abs())
        };
        let mut stored: Vec<(u64, Duration)> = listed
            .iter()
            .filter(|listed| listed.name.run == self.newest.run)
            .map(|listed| (listed.name.epoch, age(listed.modified_ms)))
            .collect();
        stored.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        stored
    }

    /// The checkpoint of the newest committed epoch of the run.
    fn committed(
        &self,
        store: &CheckpointStore,
        stored: &[(u64, Duration)],
    ) -> Result<Option<Manifest>> {
        let epoch = match &self.transactions {
            _ if fault::is_planted(Fault::RestoreNewest) => {
                return self.readable(store, &mut stored.iter());
            }
            Some(transactions) => {
                let note = note_of(store)?;
                restore::committed_epoch(&Facts {
                    run: &self.newest.run,
                    record: self.record.as_ref(),
                    note: note.as_ref(),
                    stored,
                    retention: transactions.committer.record_retention(),
                })?
            }
            // Files are shown because their checkpoint is there: it is the commit.
            None if !self.publishing.is_empty() => stored.first().map(|(epoch, _)| *epoch),
            None => return self.readable(store, &mut stored.iter()),
        };
        let Some(epoch) = epoch else {
            return Ok(None);
        };
        // What it refers to is compared with its checksums while it is loaded.
        let manifest = store.read_manifest(&self.name(epoch));
        manifest
            .map(Some)
            .map_err(|error| damaged_committed(epoch, error))
    }

    /// The newest of some checkpoints that can be read whole; damaged ones are named in the log and passed over, which is right under
    /// at-least-once delivery.
    ///
    /// # Errors
    /// `Corrupt` when there are some and none can be read; `Unavailable`.
    fn readable(
        &self,
        store: &CheckpointStore,
        stored: &mut dyn Iterator<Item = &(u64, Duration)>,
    ) -> Result<Option<Manifest>> {
        let mut damaged = None;
        for (epoch, _) in stored {
            let manifest = store.read_manifest(&self.name(*epoch));
            let verified = manifest.and_then(|manifest| {
                store.verify(&manifest)?;
                Ok(manifest)
            });
            match verified {
                Ok(manifest) => return Ok(Some(manifest)),
                Err(error) if error.kind == Kind::Corrupt => {
                    tracing::warn!(%error, "a damaged checkpoint is passed over");
                    damaged = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        damaged.map_or(Ok(None), Err)
    }

    /// The name of an epoch's checkpoint.
    fn name(&self, epoch: u64) -> CheckpointName {
        CheckpointName::new(self.newest.run.clone(), epoch)
    }

    /// Whose checkpoints are restored.
    fn owner(&self) -> Owner<'_> {
        Owner {
            statement_uid: &self.newest.statement_uid,
            plan_hash: self.newest.plan_hash,
        }
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

    /// Takes over what a subtask of a node has changed; [`Self::store_segment`] stores it.
    pub(super) fn take(&mut self, node: u32, subtask: usize, key_groups: Vec<KeyGroupDelta>) {
        let mut writer = SegmentWriter::default();
        for delta in key_groups {
            writer.push(node, delta);
        }
        if self.is_kept() && !writer.is_empty() {
            let subtask = u32::try_from(subtask).unwrap_or(u32::MAX);
            self.unstored.push_back((subtask, writer));
        }
    }

    /// Whether something waits for [`Self::store_segment`].
    pub(super) fn has_unstored(&self) -> bool {
        !self.unstored.is_empty()
    }

    /// Stores the oldest of what was taken over, as a part of an epoch; the bytes stored. What cannot be stored stays for another try.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(super) fn store_segment(&mut self, epoch: u64) -> Result<usize> {
        let name = self.name(epoch);
        let (Some(store), Some((subtask, writer))) = (&self.store, self.unstored.front()) else {
            return Ok(0);
        };
        // Deltas are shared by the copies.
        let written = store.write_segment(&name, *subtask, writer.clone())?;
        let bytes = writer.len();
        self.written.extend(written);
        self.unstored.pop_front();
        Ok(bytes)
    }

    /// The checkpoint of an epoch: that before it, and what was stored since. States are by node and subtask.
    ///
    /// # Errors
    /// `Internal` when merged state does not fit, which is a bug.
    pub(super) fn manifest(
        &mut self,
        epoch: u64,
        states: BTreeMap<(u32, usize), SubtaskState>,
    ) -> Result<Manifest> {
        let mut manifest = Manifest {
            epoch,
            created_at_ms: self.clock.now_ms(),
            ..self.newest.clone()
        };
        for replacement in std::mem::take(&mut self.replacements) {
            manifest.splice(&replacement)?;
        }
        manifest.append(std::mem::take(&mut self.written));
        for node in manifest.nodes.values_mut() {
            (node.splits, node.prepared) = (Vec::new(), Vec::new());
        }
        let mut seen = None;
        for ((id, _), state) in states {
            let node = manifest.nodes.entry(id).or_default();
            node.splits.extend(state.splits);
            node.prepared.extend(state.prepared);
            // A subtask without a watermark holds the operator's back.
            node.watermark_ms = match (seen == Some(id), node.watermark_ms, state.watermark_ms) {
                (true, Some(known), Some(new)) => Some(known.min(new)),
                (true, ..) => None,
                (false, _, new) => new,
            };
            seen = Some(id);
        }
        Ok(manifest)
    }

    /// Makes a checkpoint durable and reads it back; the bytes of its manifest. What it has read is durable before. May be tried again.
    ///
    /// # Errors
    /// As [`CheckpointStore::write_manifest`] and [`Source::sync`].
    pub(super) fn store_manifest(&self, manifest: &Manifest) -> Result<u64> {
        let Some(store) = &self.store else {
            return Ok(0);
        };
        self.reading.iter().try_for_each(|source| source.sync())?;
        if fault::is_planted(Fault::CommitBeforeCheckpoint) {
            self.commit_transaction(manifest)?;
        }
        crash::point("before-checkpoint");
        let bytes = store
            .write_manifest(manifest)
            .map_err(|error| self.judged(error))?;
        crash::point("after-checkpoint");
        Ok(bytes)
    }

    /// Commits what was written in an epoch whose checkpoint is durable.
    ///
    /// # Errors
    /// What the committer returns.
    pub(super) fn commit(&mut self, manifest: Manifest) -> Result<()> {
        if !fault::is_planted(Fault::CommitBeforeCheckpoint) {
            self.commit_transaction(&manifest)?;
        }
        self.record = Some(record_of(&manifest));
        self.last_epoch = manifest.epoch;
        self.kept.push_back(manifest.name());
        self.newest = manifest;
        Ok(())
    }

    /// Commits the transaction of an epoch.
    fn commit_transaction(&self, manifest: &Manifest) -> Result<()> {
        if let Some(transactions) = &self.transactions {
            let record = record_of(manifest);
            transactions.committer.commit(manifest.epoch, &record)?;
            crash::point("after-commit");
        }
        Ok(())
    }

    /// Notes that the newest epoch is committed.
    ///
    /// # Errors
    /// As [`CheckpointStore::note_committed`].
    pub(super) fn note(&self) -> Result<()> {
        if let Some(store) = &self.store {
            store.note_committed(&record_of(&self.newest))?;
            crash::point("after-note");
        }
        Ok(())
    }

    /// Shows what a crash may have kept from being shown. What is noted was shown, and may have been taken away since.
    fn publish_again(&self, store: &CheckpointStore) -> Result<()> {
        if self.publishing.is_empty() || note_of(store)? == Some(record_of(&self.newest)) {
            return Ok(());
        }
        self.publish()
    }

    /// Shows what sinks had prepared in the newest epoch. Doing it again changes nothing.
    ///
    /// # Errors
    /// What the sinks return.
    pub(super) fn publish(&self) -> Result<()> {
        for (id, sink) in &self.publishing {
            if let Some(node) = self.newest.nodes.get(id) {
                sink.publish(&node.prepared)?;
            }
        }
        Ok(())
    }

    /// Deletes checkpoints that are not kept any more.
    ///
    /// # Errors
    /// As [`CheckpointStore::collect`].
    pub(super) fn collect(&mut self) -> Result<()> {
        while self.kept.len() > self.retained_count {
            self.kept.pop_front();
        }
        let Some(store) = &self.store else {
            return Ok(());
        };
        let settled = Settled {
            in_progress: &self.name(self.last_epoch + 1),
            outlived: &self.outlived,
        };
        store
            .collect(self.kept.make_contiguous(), settled)
            .map(drop)
    }

    /// Whether merged slices wait for the next checkpoint.
    pub(super) fn has_replacements(&self) -> bool {
        !self.replacements.is_empty()
    }

    /// Merged slices, for the next checkpoint.
    pub(super) fn take_replacements(&mut self, replacements: Vec<Replacement>) {
        self.replacements = replacements;
    }

    /// Keeps the newest epoch for good.
    ///
    /// # Errors
    /// As [`CheckpointStore::write_savepoint`].
    pub(super) fn write_savepoint(&self, name: &str) -> Result<()> {
        let store = self.store.as_ref().ok_or_else(|| {
            Error::validation("a statement without checkpoints has no savepoints")
        })?;
        store.write_savepoint(name, &self.newest).map(drop)
    }
}

/// The epoch noted as committed. A damaged note is no note.
fn note_of(store: &CheckpointStore) -> Result<Option<EpochRecord>> {
    match store.committed_note() {
        Err(error) if error.kind == Kind::Corrupt => {
            tracing::warn!(%error, "the note of the committed epoch is damaged");
            Ok(None)
        }
        note => note,
    }
}

/// xxh3-64 of a plan as it is stored: state belongs to one plan.
///
/// # Errors
/// `Internal` when the plan cannot be written as JSON.
pub fn plan_hash(plan: &StreamPlan) -> Result<u64> {
    let plan = serde_json::to_vec(plan).map_err(|error| Error::internal(error.to_string()))?;
    Ok(xxh3_64(&plan))
}

/// The error of a committed epoch whose checkpoint cannot be read: `WEIR-2005` when it is damaged.
pub(super) fn damaged_committed(epoch: u64, error: Error) -> Error {
    if error.kind != Kind::Corrupt {
        return error;
    }
    Error::committed_checkpoint(format!(
        "epoch {epoch} is committed and its checkpoint is damaged ({}); {WAYS_OUT}",
        error.message
    ))
}

/// The record that is committed with a checkpoint.
fn record_of(manifest: &Manifest) -> EpochRecord {
    EpochRecord {
        run: manifest.run.clone(),
        epoch: manifest.epoch,
        checkpoint: manifest.name().to_string(),
    }
}
