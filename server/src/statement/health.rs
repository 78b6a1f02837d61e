//! Whether a running statement still commits what it reads.
//!
//! Place in the flow: the meter of a job comes in every few seconds, how long its progress has been waiting for a checkpoint goes
//! out. Pure. A statement without input takes no checkpoint and is healthy all the same, so the age of the last checkpoint alone
//! says nothing.

use std::time::Duration;

use weir_model::meter;

/// What was seen of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Commits {
    /// Checkpoints completed at the last look.
    completed: u64,
    /// Records seen when the last checkpoint was noticed.
    records_committed: u64,
    /// Since when there has been progress without a checkpoint, monotonic.
    waiting_since: Option<Duration>,
}

impl Commits {
    /// Takes in a look at the meter.
    pub(super) fn observe(&mut self, job: &meter::Job, now: Duration) {
        let records = job.tables.iter().map(|table| table.records_total).sum();
        let completed = job.checkpoints.completed_total;
        if completed != self.completed || records < self.records_committed {
            *self = Self {
                completed,
                records_committed: records,
                waiting_since: None,
            };
        } else if records > self.records_committed && self.waiting_since.is_none() {
            self.waiting_since = Some(now);
        }
    }

    /// How long progress has been waiting for a checkpoint; zero without progress.
    pub(super) fn waiting_for(&self, now: Duration) -> Duration {
        self.waiting_since
            .map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// Whether the present job has completed a checkpoint.
    pub(super) fn has_completed(&self) -> bool {
        self.completed > 0
    }
}

/// Bytes of state of a job.
pub(super) fn state_bytes(job: &meter::Job) -> u64 {
    job.operators
        .iter()
        .map(|operator| operator.state_bytes)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job that has read so many records and completed so many checkpoints.
    fn job(records_total: u64, completed_total: u64) -> meter::Job {
        meter::Job {
            tables: vec![meter::Table {
                records_total,
                ..meter::Table::default()
            }],
            checkpoints: meter::Checkpoints {
                completed_total,
                ..meter::Checkpoints::default()
            },
            ..meter::Job::default()
        }
    }

    #[test]
    fn an_idle_statement_waits_for_nothing() {
        let mut commits = Commits::default();
        let at = Duration::from_secs;
        commits.observe(&job(0, 0), at(0));
        assert_eq!(commits.waiting_for(at(1000)), Duration::ZERO);
        commits.observe(&job(5, 0), at(1000));
        commits.observe(&job(9, 0), at(1010));
        assert_eq!(commits.waiting_for(at(1020)), at(20));
        commits.observe(&job(9, 1), at(1030));
        assert_eq!(commits.waiting_for(at(5000)), Duration::ZERO);
        assert!(commits.has_completed());
    }
}
