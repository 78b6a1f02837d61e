//! Other slots for a statement.
//!
//! Place in the flow: `weir_v1` comes here. Invariant: slot time up to the moment in which the slots change is billed with the old
//! number, from then on with the new one; slots that are coming are held in the pool from the request on.

use weir_model::statement::Phase;

use super::entry::{Entry, JobState};
use super::executor::State;
use super::record::{Kind, Record};
use super::service::{Statements, find, record_of};
use crate::error::{Error, Result};
use crate::pool::Pool;

impl Statements {
    /// Gives a statement other slots: at once when it stands still, else without a gap in its output when the engine can, or by a
    /// restart from a last checkpoint.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it cannot have them now; `Invalid` for more than its pool has; `Storage`.
    pub fn rescale(&self, name: &str, parallelism: u32) -> Result<Record> {
        let (seq, job) = {
            let mut state = self.core.lock();
            let seq = find(&state, name)?;
            let Some(record) = wished(&state, seq, parallelism)? else {
                return record_of(&state, seq);
            };
            let what = format!("rescaled by its user to {parallelism} CFU");
            self.core.change(&mut state, seq, record, &what)?;
            let job = state.entries.get(&seq).and_then(Entry::running).cloned();
            (seq, job)
        };
        let Some(job) = job else {
            // Without a job the next start takes them.
            return record_of(&self.core.lock(), seq);
        };
        match job.rescale(parallelism) {
            Ok(()) => self.rescaled(seq, parallelism),
            Err(error) => {
                self.forget_rescale(seq)?;
                Err(error.into())
            }
        }
    }

    /// The job has its new slots: slot time up to now is that of the old ones.
    fn rescaled(&self, seq: i64, parallelism: u32) -> Result<Record> {
        let mut state = self.core.lock();
        let mut record = record_of(&state, seq)?;
        let what = format!(
            "runs with {parallelism} CFU instead of {}",
            record.parallelism
        );
        record.parallelism = parallelism;
        record.rescale_to = None;
        self.core.change(&mut state, seq, record, &what)?;
        record_of(&state, seq)
    }

    /// The job goes on with the slots it has.
    fn forget_rescale(&self, seq: i64) -> Result<()> {
        let mut state = self.core.lock();
        let mut record = record_of(&state, seq)?;
        record.rescale_to = None;
        self.core
            .change(&mut state, seq, record, "could not be rescaled")
    }
}

/// The record of a statement that is to have other slots; absent when it has them.
fn wished(state: &State, seq: i64, parallelism: u32) -> Result<Option<Record>> {
    let mut record = record_of(state, seq)?;
    let held: u32 = {
        let others = state.entries.iter().filter(|(other, _)| **other != seq);
        others
            .filter(|(_, entry)| entry.record.pool_id == record.pool_id)
            .map(|(_, entry)| entry.slots_held())
            .sum()
    };
    let pool = state
        .pools
        .get(&record.pool_id)
        .ok_or_else(|| Error::NotFound(format!("Compute pool {} not found", record.pool_id)))?;
    let entry = state.entries.get(&seq);
    if entry.is_some_and(|entry| matches!(entry.job, JobState::Starting { .. })) {
        return Err(Error::Conflict(format!(
            "statement {} is being started: try again in a moment",
            record.name
        )));
    }
    let is_running = entry.is_some_and(|entry| entry.slots_held() > 0);
    check(
        &record,
        parallelism,
        pool,
        if is_running { held } else { 0 },
    )?;
    if record.parallelism == parallelism && record.rescale_to.is_none() {
        return Ok(None);
    }
    if is_running {
        record.rescale_to = Some(parallelism);
    } else {
        record.parallelism = parallelism;
        record.rescale_to = None;
    }
    Ok(Some(record))
}

/// Whether a statement can have so many slots beside those that others of its pool hold.
fn check(record: &Record, parallelism: u32, pool: &Pool, held_by_others: u32) -> Result<()> {
    let name = &record.name;
    if parallelism == 0 {
        return Err(Error::Invalid(
            "a statement needs at least one CFU: stop it to give it none".to_owned(),
        ));
    }
    if record.kind != Kind::Background {
        return Err(Error::Conflict(format!(
            "statement {name} cannot be rescaled, only INSERT and EXECUTE STATEMENT SET can"
        )));
    }
    let is_possible = match record.phase {
        Phase::Pending | Phase::Running | Phase::Degraded | Phase::Stopped | Phase::Failed => true,
        Phase::Completed | Phase::Stopping | Phase::Failing | Phase::Deleting => false,
    };
    if !is_possible {
        return Err(Error::Conflict(format!(
            "statement {name} is {} and cannot be rescaled",
            record.phase
        )));
    }
    if record.draining {
        return Err(Error::Conflict(format!(
            "statement {name} drains and cannot be rescaled"
        )));
    }
    if record
        .rescale_to
        .is_some_and(|coming| coming != parallelism)
    {
        return Err(Error::Conflict(format!(
            "statement {name} is being rescaled: try again in a moment"
        )));
    }
    if parallelism > pool.max_cfu {
        return Err(Error::Invalid(format!(
            "statement {name} cannot have {parallelism} CFU: its pool {} has {}",
            pool.id, pool.max_cfu
        )));
    }
    if !pool.admits(held_by_others, parallelism) {
        return Err(Error::Conflict(format!(
            "POOL_EXHAUSTED: statement {name} cannot have {parallelism} CFU now, other statements hold {held_by_others} of the {} of pool {}",
            pool.max_cfu, pool.id
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::testing::record;

    /// A pool of ten.
    fn pool() -> Pool {
        Pool {
            id: "lfcp-local".to_owned(),
            display_name: "p".to_owned(),
            max_cfu: 10,
            is_default: true,
            created_at_ms: 0,
            updated_at_ms: 0,
        }
    }

    #[test]
    fn a_pool_is_never_overdrawn() {
        let mut statement = record("a");
        statement.phase = Phase::Running;
        assert!(check(&statement, 4, &pool(), 6).is_ok());
        let full = check(&statement, 5, &pool(), 6).unwrap_err();
        assert!(full.to_string().contains("POOL_EXHAUSTED"), "{full}");
        assert_eq!(full.status().0, 409);
        assert_eq!(
            check(&statement, 11, &pool(), 0).unwrap_err().status().0,
            400
        );
        assert_eq!(
            check(&statement, 0, &pool(), 0).unwrap_err().status().0,
            400
        );
    }

    #[test]
    fn only_statements_that_can_run_again_are_rescaled_and_one_at_a_time() {
        for phase in Phase::ALL {
            let mut statement = record("a");
            statement.phase = phase;
            let is_over = matches!(
                phase,
                Phase::Completed | Phase::Stopping | Phase::Failing | Phase::Deleting
            );
            assert_eq!(
                check(&statement, 2, &pool(), 0).is_err(),
                is_over,
                "{phase}"
            );
        }
        let mut busy = record("a");
        busy.rescale_to = Some(3);
        assert!(check(&busy, 2, &pool(), 0).is_err());
        assert!(check(&busy, 3, &pool(), 0).is_ok());
    }
}
