//! Which checkpoint a start goes on from.
//!
//! Place in the flow: after the committer has fenced earlier runs, before anything is restored. Invariant: pure; under exactly-once
//! the answer is the checkpoint of the newest committed epoch and never another one: a newer one would lose rows, an older one would
//! write rows twice.
//!
//! # Source
//! Design section 3, "Exactly-once"; decision 0005 has the table.

use std::time::Duration;

use crate::checkpoint::commit::EpochRecord;
use crate::error::{Error, Result};

/// What is known before a start.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The statement's life, new with every start from a savepoint.
    pub run: &'a str,
    /// What the sinks' system says was committed last; absent when it has no record, or when there is no such system.
    pub record: Option<&'a EpochRecord>,
    /// What this statement has noted as committed.
    pub note: Option<&'a EpochRecord>,
    /// Stored checkpoints of the run with their ages, newest first; whether they can be read is not known yet.
    pub stored: &'a [(u64, Duration)],
    /// How long the system keeps a record after the last commit; absent means for ever.
    pub retention: Option<Duration>,
}

/// The epoch to go on from, under exactly-once; absent starts from nothing.
///
/// # Errors
/// `Corrupt` (`WEIR-2005`) when it cannot be known, or when the checkpoint is gone; the message has both ways out.
pub fn committed_epoch(facts: &Facts<'_>) -> Result<Option<u64>> {
    let of_run = |record: &&EpochRecord| record.run == facts.run;
    if let Some(record) = facts.record.filter(of_run) {
        return stored(facts, record).map(Some);
    }
    let note = facts.note.filter(of_run);
    // A checkpoint after the note may have been committed by an epoch whose record has expired since; a younger one cannot.
    let uncertain = facts.stored.iter().find(|(epoch, age)| {
        Some(*epoch) > note.map(|note| note.epoch)
            && facts.retention.is_some_and(|retention| *age >= retention)
    });
    if let Some((epoch, age)) = uncertain {
        return Err(Error::committed_checkpoint(format!(
            "whether epoch {epoch} was committed {} hours ago cannot be known any more, as the broker keeps records of commits for {} hours only; {WAYS_OUT}",
            age.as_secs() / 3600,
            facts.retention.unwrap_or_default().as_secs() / 3600,
        )));
    }
    note.map(|note| stored(facts, note)).transpose()
}

/// What a user can do.
pub const WAYS_OUT: &str = "go on from an older checkpoint and accept rows written twice (weir statement resume NAME --from-checkpoint EPOCH --accept-duplicates), or start anew (weir statement resume NAME --from-nothing)";

/// The epoch of a record, which must be stored.
fn stored(facts: &Facts<'_>, record: &EpochRecord) -> Result<u64> {
    if facts
        .stored
        .iter()
        .any(|(stored, _)| *stored == record.epoch)
    {
        return Ok(record.epoch);
    }
    Err(Error::committed_checkpoint(format!(
        "epoch {} is committed and its checkpoint {} is missing; {WAYS_OUT}",
        record.epoch, record.checkpoint
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    /// A record of run "a".
    fn record(run: &str, epoch: u64) -> EpochRecord {
        EpochRecord {
            run: run.to_owned(),
            epoch,
            checkpoint: format!("chk-{epoch}"),
        }
    }

    /// Decides for run "a", with a retention of an hour.
    fn decide(
        record: Option<&EpochRecord>,
        note: Option<&EpochRecord>,
        stored: &[(u64, u64)],
    ) -> Result<Option<u64>> {
        let stored: Vec<(u64, Duration)> = stored
            .iter()
            .map(|(epoch, minutes)| (*epoch, Duration::from_mins(*minutes)))
            .collect();
        committed_epoch(&Facts {
            run: "a",
            record,
            note,
            stored: &stored,
            retention: Some(Duration::from_hours(1)),
        })
    }

    #[test]
    fn the_record_decides_whatever_is_newer_or_noted() {
        let noted = Some(record("a", 4));
        let stored = [(6, 1), (5, 2), (4, 3)];
        assert_eq!(
            decide(Some(&record("a", 5)), noted.as_ref(), &stored),
            Ok(Some(5))
        );
        let lost = decide(Some(&record("a", 7)), noted.as_ref(), &stored).unwrap_err();
        assert_eq!(lost.code, Code::CommittedCheckpoint);
    }

    #[test]
    fn without_a_record_a_young_checkpoint_was_not_committed() {
        assert_eq!(decide(None, None, &[(1, 5)]), Ok(None));
        assert_eq!(
            decide(None, Some(&record("a", 3)), &[(4, 1), (3, 2)]),
            Ok(Some(3))
        );
        assert_eq!(decide(None, None, &[]), Ok(None));
    }

    #[test]
    fn an_old_checkpoint_that_the_note_does_not_cover_is_refused() {
        assert!(decide(None, None, &[(1, 61)]).is_err());
        assert!(decide(None, Some(&record("a", 3)), &[(4, 61), (3, 62)]).is_err());
        assert_eq!(
            decide(None, Some(&record("a", 4)), &[(4, 6000)]),
            Ok(Some(4))
        );
    }

    #[test]
    fn records_of_another_life_do_not_count() {
        let other = record("b", 9);
        assert_eq!(
            decide(Some(&other), Some(&record("a", 2)), &[(2, 1)]),
            Ok(Some(2))
        );
        assert_eq!(decide(Some(&other), Some(&other), &[]), Ok(None));
    }
}
