//! Resuming a statement: from where it was, or from somewhere its user chose.
//!
//! Place in the flow: `weir_v1` and the updates of `sql/v1` come here. The decision is pure over the record; the change is stored
//! before anything starts. Invariant: a start from a savepoint or from nothing is a new run, whose checkpoints are its own.

use std::collections::BTreeMap;

use uuid::Uuid;
use weir_model::statement::Phase;

use super::limits::{StateLimit, StateLimitStatus, StateLimits};
use super::record::{InitialOffsets, Kind, Record, RestoreFrom, Wanted};
use super::savepoints::Savepoint;
use super::service::{Statements, find, record_of};
use crate::error::{Error, Result};

/// Where a statement goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ResumeFrom {
    /// Where it was.
    #[default]
    Latest,
    /// At a savepoint of this name.
    Savepoint(String),
    /// At an older checkpoint of its last run.
    Checkpoint {
        /// Its epoch.
        epoch: u64,
        /// That rows written since are written again.
        accept_duplicates: bool,
    },
    /// Without state.
    Nothing {
        /// Where sources begin, by topic; others begin where their options say.
        offsets: BTreeMap<String, String>,
    },
}

impl Statements {
    /// Resumes a stopped or failed statement.
    ///
    /// # Errors
    /// `NotFound` for the statement or the savepoint; `Conflict` when it is not stopped, cannot be resumed or is above the hard limit
    /// of its state; `Invalid` without consent to duplicates and for offsets that are none; `Storage`.
    pub fn resume(&self, name: &str, from: &ResumeFrom) -> Result<Record> {
        if let ResumeFrom::Checkpoint { epoch, .. } = from {
            self.check_epoch(name, *epoch)?;
        }
        let mut state = self.core.lock();
        let seq = find(&state, name)?;
        let record = record_of(&state, seq)?;
        let savepoint = match from {
            ResumeFrom::Savepoint(savepoint) => {
                Some(self.core.store.savepoint(&record.uid, savepoint)?)
            }
            ResumeFrom::Latest | ResumeFrom::Checkpoint { .. } | ResumeFrom::Nothing { .. } => None,
        };
        let now_ms = self.core.clock.now_ms();
        let mut resumed = record.clone();
        choose(&mut resumed, from, savepoint)?;
        resume(&mut resumed, &self.core.limits, now_ms)?;
        let what = match from {
            ResumeFrom::Latest => "resumed by its user".to_owned(),
            ResumeFrom::Savepoint(name) => format!("resumed by its user from savepoint {name}"),
            ResumeFrom::Checkpoint { epoch, .. } => format!(
                "resumed by its user from checkpoint {epoch}; rows written since may be doubled"
            ),
            ResumeFrom::Nothing { .. } => "resumed by its user from nothing".to_owned(),
        };
        let has_failed = record.phase == Phase::Failed;
        self.core.change(&mut state, seq, resumed, &what)?;
        if let Some(entry) = state.entries.get_mut(&seq) {
            entry.resume |= has_failed;
        }
        self.core.reconcile(&mut state, seq);
        record_of(&state, seq)
    }

    /// Checks that there is a whole checkpoint of that epoch.
    fn check_epoch(&self, name: &str, epoch: u64) -> Result<()> {
        let found = self.checkpoints(name)?;
        if found.iter().any(|checkpoint| checkpoint.epoch == epoch) {
            return Ok(());
        }
        let known: Vec<String> = found.iter().map(|it| it.epoch.to_string()).collect();
        Err(Error::NotFound(format!(
            "Checkpoint {epoch} not found; there are: {}",
            known.join(", ")
        )))
    }
}

/// Writes into a record where its user wants it to go on.
pub(super) fn choose(
    record: &mut Record,
    from: &ResumeFrom,
    savepoint: Option<Savepoint>,
) -> Result<()> {
    match from {
        ResumeFrom::Latest => {
            // An older checkpoint counts for the one resume that names it.
            if matches!(record.origin.restore, RestoreFrom::Checkpoint { .. }) {
                record.origin.restore = RestoreFrom::Latest;
            }
        }
        ResumeFrom::Savepoint(name) => {
            let savepoint =
                savepoint.ok_or_else(|| Error::NotFound(format!("Savepoint {name} not found")))?;
            new_run(record, RestoreFrom::Savepoint(savepoint.name));
            record.origin.offsets = savepoint.initial_offsets;
        }
        ResumeFrom::Checkpoint {
            accept_duplicates: false,
            ..
        } => {
            return Err(Error::Invalid(
                "resuming from an older checkpoint writes the rows since then again: say so with accept_duplicates (--accept-duplicates)".to_owned(),
            ));
        }
        ResumeFrom::Checkpoint { epoch, .. } => {
            record.origin.restore = RestoreFrom::Checkpoint {
                epoch: *epoch,
                accept_duplicates: true,
            };
        }
        ResumeFrom::Nothing { offsets } => {
            for (topic, text) in offsets {
                check_offsets(topic, text)?;
            }
            new_run(record, RestoreFrom::Nothing);
            record.origin.offsets = InitialOffsets {
                by_topic: offsets.clone(),
                overrides_tables: true,
            };
        }
    }
    Ok(())
}

/// Makes a record that of a new run.
fn new_run(record: &mut Record, restore: RestoreFrom) {
    record.origin.run = Uuid::new_v4().to_string();
    record.origin.restore = restore;
    record.state_limit = StateLimitStatus::default();
    record.is_soft_limit_waived = false;
    if let Some(carry_over) = &mut record.origin.carry_over {
        carry_over.is_done = true;
    }
}

/// Makes a record one that is wanted to run.
///
/// # Errors
/// `Conflict` when its phase, its kind or its state does not allow that.
pub(super) fn resume(record: &mut Record, limits: &StateLimits, now_ms: i64) -> Result<()> {
    let name = &record.name;
    if !matches!(record.phase, Phase::Stopped | Phase::Failed) {
        return Err(Error::Conflict(format!(
            "statement {name} is {} and cannot be resumed: only STOPPED and FAILED ones can",
            record.phase
        )));
    }
    if record.kind != Kind::Background {
        return Err(Error::Conflict(format!(
            "statement {name} cannot be resumed, only INSERT and EXECUTE STATEMENT SET can: submit it again"
        )));
    }
    if record.stop_savepoint.is_some() {
        return Err(Error::Conflict(format!(
            "the savepoint of statement {name} is still being written: try again in a moment"
        )));
    }
    // Limits may have been raised since it was stopped.
    let limit = limits.state(record.state_limit.state_bytes);
    if limit == StateLimit::ExceedingHardLimit {
        return Err(Error::Conflict(format!(
            "statement {name} cannot be resumed: {}; start it from nothing (--from-nothing) or raise the limit",
            record.state_limit.detail
        )));
    }
    record.is_soft_limit_waived = limit > StateLimit::ApproachingSoftLimit;
    record.wanted = Wanted::Run;
    let waits = record.origin.carry_over.as_mut();
    if let Some(carry_over) = waits.filter(|carry_over| !carry_over.is_done) {
        carry_over.since_ms = now_ms;
    }
    Ok(())
}

/// Checks `partition:0,offset:12;...`.
fn check_offsets(topic: &str, text: &str) -> Result<()> {
    let number = |part: &str, name: &str| {
        part.trim()
            .strip_prefix(name)
            .is_some_and(|digits| digits.parse::<i64>().is_ok_and(|number| number >= 0))
    };
    let is_part = |part: &str| {
        part.split_once(',').is_some_and(|(partition, offset)| {
            number(partition, "partition:") && number(offset, "offset:")
        })
    };
    if text.split(';').all(is_part) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "offsets of topic \"{topic}\" are \"{text}\", a text like \"partition:0,offset:42;partition:1,offset:300\" is needed"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::testing::record;

    /// A stopped statement of a run.
    fn stopped() -> Record {
        let mut record = record("a");
        record.phase = Phase::Stopped;
        record.wanted = Wanted::Stop;
        record.origin.run = "first".to_owned();
        record
    }

    /// A savepoint of it.
    fn savepoint() -> Savepoint {
        Savepoint {
            name: "s".to_owned(),
            statement_uid: "u".to_owned(),
            statement_name: "a".to_owned(),
            location: "/s".to_owned(),
            run: "first".to_owned(),
            epoch: 4,
            offsets: BTreeMap::new(),
            initial_offsets: InitialOffsets {
                by_topic: BTreeMap::from([("t".to_owned(), "partition:0,offset:1".to_owned())]),
                overrides_tables: false,
            },
            created_at_ms: 0,
        }
    }

    #[test]
    fn going_on_keeps_the_run_and_everything_else_but_a_checkpoint_begins_one() {
        let mut same = stopped();
        choose(&mut same, &ResumeFrom::Latest, None).unwrap();
        assert_eq!(same.origin, stopped().origin);

        let mut older = stopped();
        let from = |accept_duplicates| ResumeFrom::Checkpoint {
            epoch: 3,
            accept_duplicates,
        };
        assert!(choose(&mut older, &from(false), None).is_err());
        choose(&mut older, &from(true), None).unwrap();
        assert_eq!(older.origin.run, "first");
        choose(&mut older, &ResumeFrom::Latest, None).unwrap();
        assert_eq!(older.origin.restore, RestoreFrom::Latest);

        let mut saved = stopped();
        let from = ResumeFrom::Savepoint("s".to_owned());
        choose(&mut saved, &from, Some(savepoint())).unwrap();
        assert_ne!(saved.origin.run, "first");
        assert_eq!(saved.origin.restore, RestoreFrom::Savepoint("s".to_owned()));
        assert_eq!(saved.origin.offsets, savepoint().initial_offsets);

        let mut anew = stopped();
        let offsets = BTreeMap::from([("t".to_owned(), "partition:0,offset:9".to_owned())]);
        choose(&mut anew, &ResumeFrom::Nothing { offsets }, None).unwrap();
        assert_eq!(anew.origin.restore, RestoreFrom::Nothing);
        assert!(anew.origin.offsets.overrides_tables);
        let wrong = BTreeMap::from([("t".to_owned(), "0:9".to_owned())]);
        let wrong = ResumeFrom::Nothing { offsets: wrong };
        assert!(choose(&mut anew, &wrong, None).is_err());
    }

    #[test]
    fn only_what_stands_still_and_is_within_the_hard_limit_is_resumed() {
        let limits = StateLimits::default();
        let mut running = stopped();
        running.phase = Phase::Running;
        assert!(resume(&mut running, &limits, 0).is_err());
        let mut query = stopped();
        query.kind = Kind::Foreground;
        assert!(resume(&mut query, &limits, 0).is_err());
        let mut large = stopped();
        large.state_limit.state_bytes = limits.soft_bytes + 1;
        resume(&mut large, &limits, 0).unwrap();
        assert!(large.is_soft_limit_waived);
        assert_eq!(large.wanted, Wanted::Run);
        let mut huge = stopped();
        huge.state_limit.state_bytes = limits.hard_bytes + 1;
        let error = resume(&mut huge, &limits, 0).unwrap_err().to_string();
        assert!(error.contains("--from-nothing"), "{error}");
        let offsets = BTreeMap::new();
        choose(&mut huge, &ResumeFrom::Nothing { offsets }, None).unwrap();
        resume(&mut huge, &limits, 0).unwrap();
        let mut writing = stopped();
        writing.stop_savepoint = Some("s".to_owned());
        assert!(resume(&mut writing, &limits, 0).is_err());
    }
}
