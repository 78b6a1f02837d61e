//! Savepoints: named states of a statement that stay until they are deleted.
//!
//! Place in the flow: `weir_v1` comes here; bytes are written by the runtime, the server's database says what there is. Invariant: a
//! savepoint is in the database only once its bytes are durable, and leaves it before they go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_model::statement::Phase;

use super::engine::SavepointInfo;
use super::entry::Entry;
use super::executor::{Core, State};
use super::record::{InitialOffsets, Kind, Record};
use super::results::offsets_by_topic;
use super::service::{Statements, Update, find, record_of};
use crate::error::{Error, Result};
use crate::names::is_statement_name;

/// A savepoint of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Savepoint {
    /// Name, unique for its statement.
    pub name: String,
    /// Uid of its statement.
    pub statement_uid: String,
    /// Name of its statement.
    pub statement_name: String,
    /// Where its bytes are.
    pub location: String,
    /// The run it was taken in.
    pub run: String,
    /// The epoch of its state.
    pub epoch: u64,
    /// Next offsets by topic, as `partition:0,offset:12;...`.
    pub offsets: BTreeMap<String, String>,
    /// Where sources began when that run started: part of what the state belongs to.
    pub initial_offsets: InitialOffsets,
    /// Epoch milliseconds.
    pub created_at_ms: i64,
}

/// A checkpoint that a statement can be resumed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckpointSummary {
    /// Its epoch.
    pub epoch: u64,
    /// Next offsets by topic.
    pub offsets: BTreeMap<String, String>,
}

impl Statements {
    /// Takes a savepoint of a statement, which goes on if it runs; one that is stopped gives its last checkpoint. Waits.
    ///
    /// # Errors
    /// `NotFound`; `AlreadyExists` for a name in use; `Invalid` for a bad name; `Conflict` in other phases; whatever keeps it from
    /// being written.
    pub fn savepoint(&self, name: &str, savepoint: Option<String>) -> Result<Savepoint> {
        let savepoint = savepoint_name(savepoint)?;
        let (record, job) = {
            let state = self.core.lock();
            let seq = find(&state, name)?;
            let job = state.entries.get(&seq).and_then(Entry::running).cloned();
            (record_of(&state, seq)?, job)
        };
        check_kind(&record)?;
        self.check_free(&record, &savepoint)?;
        let info = match (record.phase, job) {
            (Phase::Running | Phase::Degraded, Some(job)) => job.savepoint(&savepoint)?,
            (Phase::Stopped | Phase::Failed, _) => {
                self.core.checkpoints_of(&record).retain(&savepoint)?
            }
            (phase, _) => {
                return Err(Error::Conflict(format!(
                    "statement {name} is {phase} and has no savepoint to give: try again when it is RUNNING or STOPPED"
                )));
            }
        };
        let taken = self.core.savepoint_of(&record, &savepoint, info);
        self.core.store.put_savepoint(&taken)?;
        Ok(taken)
    }

    /// Stops a statement and keeps its last checkpoint as a savepoint; the name of it.
    ///
    /// # Errors
    /// As [`Self::savepoint`]; `Conflict` when it does not run.
    pub fn stop_with_savepoint(
        &self,
        name: &str,
        savepoint: Option<String>,
    ) -> Result<(Record, String)> {
        let savepoint = savepoint_name(savepoint)?;
        let record = self.get(name)?;
        check_kind(&record)?;
        self.check_free(&record, &savepoint)?;
        {
            let mut state = self.core.lock();
            let seq = find(&state, name)?;
            let mut record = record_of(&state, seq)?;
            if record.phase.is_terminal() {
                return Err(Error::Conflict(format!(
                    "statement {name} is {} and does not run: take a savepoint of it instead",
                    record.phase
                )));
            }
            record.stop_savepoint = Some(savepoint.clone());
            let what = format!("to be stopped with savepoint {savepoint}");
            self.core.change(&mut state, seq, record, &what)?;
        }
        let stop = Update {
            stopped: Some(true),
            ..Update::default()
        };
        Ok((self.update(name, &stop)?, savepoint))
    }

    /// Savepoints of a statement, newest first.
    ///
    /// # Errors
    /// `NotFound`; `Storage`.
    pub fn savepoints(&self, name: &str) -> Result<Vec<Savepoint>> {
        self.core.store.savepoints(&self.get(name)?.uid)
    }

    /// A savepoint of a statement.
    ///
    /// # Errors
    /// `NotFound`; `Storage`.
    pub fn find_savepoint(&self, name: &str, savepoint: &str) -> Result<Savepoint> {
        self.core.store.savepoint(&self.get(name)?.uid, savepoint)
    }

    /// Deletes a savepoint and its bytes.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` while the statement is to start from it; `Storage`.
    pub fn delete_savepoint(&self, name: &str, savepoint: &str) -> Result<()> {
        let record = self.get(name)?;
        let found = self.core.store.savepoint(&record.uid, savepoint)?;
        let restores = super::RestoreFrom::Savepoint(found.name.clone());
        if record.origin.restore == restores {
            return Err(Error::Conflict(format!(
                "statement {name} starts from savepoint {savepoint} and has no checkpoint of its own yet"
            )));
        }
        self.core.store.remove_savepoint(&record.uid, savepoint)?;
        if let Err(error) = self
            .core
            .checkpoints_of(&record)
            .remove_savepoint(&found.name)
        {
            tracing::warn!(savepoint = found.name, %error, "the bytes of a savepoint are left behind");
        }
        Ok(())
    }

    /// Checkpoints of a statement's last run, newest first.
    ///
    /// # Errors
    /// `NotFound`; `Runtime` when they cannot be listed.
    pub fn checkpoints(&self, name: &str) -> Result<Vec<CheckpointSummary>> {
        let found = self.core.checkpoints_of(&self.get(name)?).list()?;
        let summary = |info: SavepointInfo| CheckpointSummary {
            epoch: info.epoch,
            offsets: offsets_by_topic(&info.positions),
        };
        Ok(found.into_iter().map(summary).collect())
    }

    /// Checks that a statement has no savepoint of that name.
    fn check_free(&self, record: &Record, savepoint: &str) -> Result<()> {
        match self.core.store.savepoint(&record.uid, savepoint) {
            Ok(_) => Err(Error::AlreadyExists(format!(
                "Savepoint {savepoint} of statement {} already exists",
                record.name
            ))),
            Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Core {
    /// What is stored of a savepoint.
    pub(super) fn savepoint_of(
        &self,
        record: &Record,
        name: &str,
        info: SavepointInfo,
    ) -> Savepoint {
        Savepoint {
            name: name.to_owned(),
            statement_uid: record.uid.clone(),
            statement_name: record.name.clone(),
            location: info.location,
            run: record.origin.run.clone(),
            epoch: info.epoch,
            offsets: offsets_by_topic(&info.positions),
            initial_offsets: record.origin.offsets.clone(),
            created_at_ms: self.clock.now_ms(),
        }
    }

    /// Keeps the last checkpoint of a statement that has ended as the savepoint its user asked for. Elsewhere, since it waits; a
    /// server that is killed before it is done does it again.
    pub(super) fn retain(&self, state: &mut State, seq: i64) {
        let Some(entry) = state.entries.get_mut(&seq) else {
            return;
        };
        let record = entry.record.clone();
        let Some(name) = record.stop_savepoint.clone() else {
            return;
        };
        if !record.phase.is_terminal() || entry.is_retaining {
            return;
        }
        entry.is_retaining = true;
        let this = self.this.clone();
        let checkpoints = self.checkpoints_of(&record);
        self.runtime.spawn_blocking(move || {
            let retained = checkpoints.retain(&name);
            let Some(core) = this.upgrade() else {
                return;
            };
            let stored = retained.map_err(Error::from).and_then(|info| {
                let savepoint = core.savepoint_of(&record, &name, info);
                core.store.put_savepoint(&savepoint)
            });
            core.retained(seq, &name, stored);
        });
    }

    /// The savepoint of a stop is there, or will not be.
    fn retained(&self, seq: i64, name: &str, stored: Result<()>) {
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(&seq) else {
            return;
        };
        entry.is_retaining = false;
        let mut record = entry.record.clone();
        record.stop_savepoint = None;
        let what = match stored {
            Ok(()) => format!("savepoint {name} was kept"),
            Err(error) => {
                record.detail = format!("savepoint {name} could not be kept: {error}");
                record.detail.clone()
            }
        };
        if let Err(error) = self.change(&mut state, seq, record, &what) {
            tracing::error!(%error, seq, "a savepoint could not be noted");
        }
    }
}

/// The name of a savepoint: the given one, or one that is made up.
fn savepoint_name(name: Option<String>) -> Result<String> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        let id = Uuid::new_v4().simple().to_string();
        return Ok(format!("sp-{}", &id[..8]));
    };
    if is_statement_name(&name) {
        return Ok(name);
    }
    Err(Error::Invalid(format!(
        "savepoint name \"{name}\" is not allowed: at most 100 lower-case letters, digits and inner hyphens"
    )))
}

/// Checks that a statement has checkpoints.
fn check_kind(record: &Record) -> Result<()> {
    if record.kind == Kind::Background {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "statement {} has no savepoints, only INSERT and EXECUTE STATEMENT SET do",
        record.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_or_made_up() {
        assert_eq!(savepoint_name(Some("a-1".to_owned())).unwrap(), "a-1");
        assert!(savepoint_name(None).unwrap().starts_with("sp-"));
        for wrong in ["../x", "A", "a b"] {
            assert!(savepoint_name(Some(wrong.to_owned())).is_err(), "{wrong}");
        }
    }
}
