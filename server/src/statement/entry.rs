//! A statement in memory: its record, its job, and what `state` wants to know of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weir_model::meter;
use weir_model::statement::Phase;
use weir_runtime::connector::results::Results;
use weir_runtime::error::Error;
use weir_runtime::plan::StreamPlan;
use weir_runtime::sql::Bound;

use super::carry_over::CarryOverFact;
use super::engine::{Ended, Running};
use super::executor::session_of;
use super::failure::judge;
use super::health::Commits;
use super::record::{Kind, Record, RestoreFrom, Rows};
use super::restart::{Failures, RestartPolicy};
use super::state::{End, Facts, JobFact};
use crate::ledger::{Charge, split_minutes};
use crate::store::Failure;

/// A statement in memory.
#[derive(Debug)]
pub(super) struct Entry {
    /// Order of creation.
    pub(super) seq: i64,
    /// What is stored.
    pub(super) record: Record,
    /// What runs.
    pub(super) plan: Option<Arc<StreamPlan>>,
    /// The answer that was known at once.
    pub(super) rows: Option<Arc<Rows>>,
    /// What an immediate statement does, until it is done or the server was started anew.
    pub(super) bound: Option<Bound>,
    /// The job.
    pub(super) job: JobState,
    /// Rows of a query.
    pub(super) results: Option<Arc<Results>>,
    /// Counters of the run that has ended last.
    pub(super) final_meter: Option<meter::Job>,
    /// Monotonic times.
    pub(super) times: Times,
    /// Failures of this life.
    pub(super) failures: Failures,
    /// Whether its job commits what it reads.
    pub(super) commits: Commits,
    /// Whether a savepoint of its stop is being written.
    pub(super) is_retaining: bool,
    /// Whether its user asked to resume it since it ended.
    pub(super) resume: bool,
    /// Whether the job was asked to stop.
    pub(super) stop_asked: bool,
    /// Told of every stored change.
    pub(super) changed: watch::Sender<u64>,
}

/// Monotonic times of a statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// It entered its phase.
    pub(super) phase_since: Duration,
    /// Its job began to run.
    pub(super) active_since: Duration,
    /// Its results were asked for last.
    pub(super) consumed_at: Duration,
    /// Slot time is in the ledger up to here.
    pub(super) charged_at: Duration,
    /// The next attempt may be made.
    pub(super) retry_at: Duration,
    /// How long the last back-off is.
    pub(super) backoff: Duration,
}

impl Times {
    /// Everything at one time.
    pub(super) fn all(now: Duration) -> Self {
        Self {
            phase_since: now,
            active_since: now,
            consumed_at: now,
            charged_at: now,
            retry_at: now,
            backoff: Duration::ZERO,
        }
    }
}

/// What the rest of the server knows about a statement.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    /// Monotonic time.
    pub(super) now: Duration,
    /// Wall time, epoch milliseconds.
    pub(super) wall_ms: i64,
    /// Whether its pool has room for it.
    pub(super) has_room: bool,
    /// Whether the statement it goes on after is ready.
    pub(super) carry_over: CarryOverFact,
}

/// The job of a statement.
#[derive(Debug)]
pub(super) enum JobState {
    /// There is none.
    None,
    /// It is being started; it may end before its starter returns.
    Starting {
        /// Its end, when it was so quick.
        ended: Option<Ended>,
    },
    /// It runs.
    Active(Arc<Running>),
    /// It has ended.
    Ended(End),
}

impl Entry {
    /// A statement without a job.
    pub(super) fn new(seq: i64, record: Record, now: Duration) -> Self {
        let changed = watch::Sender::new(record.resource_version);
        Self {
            seq,
            record,
            plan: None,
            rows: None,
            bound: None,
            job: JobState::None,
            results: None,
            final_meter: None,
            times: Times::all(now),
            failures: Failures::default(),
            commits: Commits::default(),
            is_retaining: false,
            resume: false,
            stop_asked: false,
            changed,
        }
    }

    /// What `state` decides over.
    pub(super) fn facts(&self, around: Surroundings) -> Facts {
        let Surroundings {
            now,
            wall_ms,
            has_room,
            carry_over,
        } = around;
        let since = |then: Duration| now.saturating_sub(then);
        // Across restarts only the wall clock remembers, and only the retention is so long.
        let stored_for = Duration::from_millis(
            wall_ms
                .saturating_sub(self.record.updated_at_ms)
                .max(0)
                .cast_unsigned(),
        );
        let in_phase_for = if self.record.phase.is_terminal() {
            stored_for
        } else {
            since(self.times.phase_since)
        };
        Facts {
            kind: self.record.kind,
            wanted: self.record.wanted,
            job: match &self.job {
                JobState::None => JobFact::None,
                JobState::Starting { .. } => JobFact::Starting,
                JobState::Active(_) => JobFact::Active,
                JobState::Ended(end) => JobFact::Ended(end.clone()),
            },
            has_room,
            failures: self.failures.in_a_row,
            failures_recent: self.failures.recent(now),
            may_retry: now >= self.times.retry_at,
            backoff: self.times.backoff,
            uncommitted_for: self.commits.waiting_for(now),
            limit: self
                .record
                .state_limit
                .action(self.record.is_soft_limit_waived),
            carry_over,
            is_rescaling: self.record.rescale_to.is_some(),
            resume: self.resume,
            has_detail: !self.record.detail.is_empty(),
            active_for: match self.job {
                JobState::Active(_) => since(self.times.active_since),
                JobState::None | JobState::Starting { .. } | JobState::Ended(_) => Duration::ZERO,
            },
            unconsumed_for: since(self.times.consumed_at),
            in_phase_for,
            stop_asked: self.stop_asked,
        }
    }

    /// Slots it holds in its pool.
    ///
    /// A statement that is RUNNING keeps them between two attempts, so that a restart never waits behind others.
    /// Slots it is about to have count already, so that nobody else takes them meanwhile.
    pub(super) fn slots_held(&self) -> u32 {
        let holds = self.has_slots() || self.record.phase.is_billed();
        let coming = self.record.rescale_to.unwrap_or(0);
        if holds {
            self.record.parallelism.max(coming)
        } else {
            0
        }
    }

    /// The job, when it runs.
    pub(super) fn running(&self) -> Option<&Arc<Running>> {
        match &self.job {
            JobState::Active(job) => Some(job),
            JobState::None | JobState::Starting { .. } | JobState::Ended(_) => None,
        }
    }

    /// Whether slot threads run or are being started for it.
    fn has_slots(&self) -> bool {
        self.record.kind != Kind::Immediate
            && matches!(self.job, JobState::Starting { .. } | JobState::Active(_))
    }

    /// Slot time since it was last charged; nothing outside billed phases.
    pub(super) fn charges(&self, now: Duration, wall_ms: i64) -> Vec<Charge> {
        if !self.record.phase.is_billed() {
            return Vec::new();
        }
        let slots = if self.has_slots() {
            self.record.parallelism
        } else {
            0
        };
        let elapsed = now.saturating_sub(self.times.charged_at);
        split_minutes(wall_ms, elapsed, slots)
            .into_iter()
            .map(|(minute, slot_ms)| Charge {
                uid: self.record.uid.clone(),
                name: self.record.name.clone(),
                pool_id: self.record.pool_id.clone(),
                minute,
                slot_ms,
            })
            .collect()
    }

    /// Counters of its present or last run.
    pub(super) fn meter(&self) -> Option<meter::Job> {
        match &self.job {
            JobState::Active(job) => Some(job.meter()),
            JobState::None | JobState::Starting { .. } | JobState::Ended(_) => {
                self.final_meter.clone()
            }
        }
    }

    /// Takes in the end of a job; what to note as an exception, if it failed.
    pub(super) fn job_ended(&mut self, event: Ended, now: Duration) -> Option<Failure> {
        let ran_for = match &self.job {
            JobState::Active(job) => {
                let meter = job.meter();
                if meter.checkpoints.completed_total > 0 {
                    // It has a checkpoint of its own: the next start goes on there.
                    self.record.origin.restore = RestoreFrom::Latest;
                }
                self.final_meter = Some(meter);
                now.saturating_sub(self.times.active_since)
            }
            JobState::None | JobState::Starting { .. } | JobState::Ended(_) => Duration::ZERO,
        };
        self.commits = Commits::default();
        let (end, failure) = match event {
            Ended::Finished => (End::Finished, None),
            Ended::Stopped { positions } => {
                self.record.latest_offsets = super::results::offsets_by_topic(&positions);
                (End::Stopped, None)
            }
            Ended::Cancelled => (End::Stopped, None),
            Ended::Failed(error) => {
                let (end, failure) = self.job_failed(&error, ran_for, now);
                (end, Some(failure))
            }
        };
        self.job = JobState::Ended(end);
        failure
    }

    /// What a failure means for the next attempt, and what is noted of it.
    fn job_failed(&mut self, error: &Error, ran_for: Duration, now: Duration) -> (End, Failure) {
        // Properties were checked when the statement was made.
        let policy = RestartPolicy::of(&session_of(&self.record)).unwrap_or_default();
        self.failures.add(now, ran_for, &policy);
        self.times.backoff = policy.backoff(self.failures.in_a_row, &self.record.uid);
        self.times.retry_at = now + self.times.backoff;
        let verdict = judge(error, self.record.phase.is_billed());
        let is_recoverable = verdict.recovery.allows(self.failures.in_a_row);
        let message = format!("{}: {error}", error.code);
        let end = End::Failed {
            is_recoverable,
            message: message.clone(),
        };
        let failure = Failure {
            class: verdict.class,
            code: error.code.to_string(),
            is_recoverable,
        };
        (end, failure)
    }

    /// What went wrong last, when the job has failed.
    pub(super) fn failure_message(&self) -> Option<&str> {
        match &self.job {
            JobState::Ended(End::Failed { message, .. }) => Some(message),
            JobState::Ended(End::Finished | End::Stopped)
            | JobState::None
            | JobState::Starting { .. }
            | JobState::Active(_) => None,
        }
    }

    /// Makes a changed record the present one.
    pub(super) fn adopt(&mut self, record: Record, now: Duration) {
        if record.phase != self.record.phase {
            self.times.phase_since = now;
            self.stop_asked = false;
            self.resume = false;
            if record.phase == Phase::Pending {
                // A new life: earlier failures do not count.
                self.job = JobState::None;
                self.failures = Failures::default();
                self.times.retry_at = now;
            }
        }
        self.times.charged_at = now;
        self.changed.send_replace(record.resource_version);
        self.record = record;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::failure::{ExceptionClass, INTERNAL_ATTEMPTS_MAX};
    use crate::statement::testing::record;

    /// A server with room at a time.
    fn at(now: Duration) -> Surroundings {
        Surroundings {
            now,
            wall_ms: 0,
            has_room: true,
            carry_over: CarryOverFact::Ready,
        }
    }

    /// A running statement of three slots whose job is being started.
    fn running() -> Entry {
        let mut record = record("a");
        record.phase = Phase::Running;
        record.parallelism = 3;
        let mut entry = Entry::new(1, record, Duration::from_secs(100));
        entry.job = JobState::Starting { ended: None };
        entry
    }

    #[test]
    fn only_running_minutes_with_slots_cost_slot_time() {
        let mut entry = running();
        let charges = entry.charges(Duration::from_secs(102), 65_000);
        assert_eq!(charges.len(), 1);
        assert_eq!((charges[0].minute, charges[0].slot_ms), (1, 6000));
        entry.job = JobState::None;
        let charges = entry.charges(Duration::from_secs(102), 65_000);
        assert_eq!(charges[0].slot_ms, 0, "the minute is marked");
        assert_eq!(entry.slots_held(), 3, "slots are kept between attempts");
        entry.record.phase = Phase::Stopped;
        assert!(entry.charges(Duration::from_secs(102), 65_000).is_empty());
        assert_eq!(entry.slots_held(), 0);
    }

    #[test]
    fn failures_in_a_row_are_counted_and_back_off() {
        let mut entry = running();
        let now = Duration::from_secs(200);
        for expected in 1..=3 {
            let lost = Error::unavailable("broker a:1");
            let failure = entry.job_ended(Ended::Failed(lost), now).unwrap();
            assert_eq!(failure.code, "WEIR-2001");
            assert_eq!(failure.class, ExceptionClass::System);
            let said = entry.failure_message().unwrap();
            assert!(said.contains("WEIR-2001: broker a:1"), "{said}");
            assert_eq!(entry.failures.in_a_row, expected);
        }
        let waits = entry.times.backoff;
        assert_eq!(entry.times.retry_at, now + waits);
        assert!((2.0..2.5).contains(&waits.as_secs_f64()), "{waits:?}");
        assert!(!entry.facts(at(now)).may_retry);
        assert!(entry.facts(at(now + waits)).may_retry);
        let mut again = entry.record.clone();
        again.phase = Phase::Pending;
        entry.adopt(again, now);
        assert_eq!(entry.failures.in_a_row, 0);
        assert_eq!(entry.facts(at(now)).job, JobFact::None);
    }

    #[test]
    fn a_bug_fails_the_statement_after_a_few_attempts() {
        let mut entry = running();
        let now = Duration::from_secs(200);
        let last = (0..INTERNAL_ATTEMPTS_MAX)
            .map(|_| {
                let bug = Error::internal("bug");
                entry.job_ended(Ended::Failed(bug), now).unwrap()
            })
            .last()
            .unwrap();
        assert!(!last.is_recoverable);
    }

    #[test]
    fn slots_that_are_coming_are_held_and_not_billed() {
        let mut entry = running();
        entry.record.rescale_to = Some(5);
        assert_eq!(entry.slots_held(), 5);
        let charges = entry.charges(Duration::from_secs(102), 65_000);
        assert_eq!(charges[0].slot_ms, 6000, "three slots run until they stop");
    }
}
