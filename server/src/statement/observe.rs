//! Looks at running jobs every few seconds: what they commit and how much state they have.
//!
//! Place in the flow: called by housekeeping; what is seen is decided over by `state` right after. Invariant: a changed status of the
//! limits is stored before anything follows from it.

use weir_model::meter;

use super::entry::Entry;
use super::executor::{Core, State, session_of};
use super::health::state_bytes;
use super::limits::StateLimit;
use super::record::{Record, RestoreFrom};
use super::service::Statements;
use super::{properties, slow_checkpoints};

impl Statements {
    /// Takes in the meters of everything that runs.
    pub(crate) fn observe(&self) {
        let mut state = self.core.lock();
        let all: Vec<i64> = state.entries.keys().copied().collect();
        for seq in all {
            self.core.observe(&mut state, seq);
        }
    }
}

impl Core {
    /// Takes in the meter of one statement and carries out what follows.
    fn observe(&self, state: &mut State, seq: i64) {
        let Some(entry) = state.entries.get_mut(&seq) else {
            return;
        };
        let Some(job) = entry.running() else {
            return;
        };
        let meter = job.meter();
        entry.commits.observe(&meter, self.clock.monotonic());
        let seen = self.seen(entry, &meter);
        let before = &entry.record;
        let is_news = seen.state_limit.state != before.state_limit.state
            || seen.origin != before.origin
            || seen.slow_checkpoints != before.slow_checkpoints
            || seen.is_soft_limit_waived != before.is_soft_limit_waived;
        if !is_news {
            // Bytes alone are no change that clients are told of.
            entry.record.state_limit.state_bytes = seen.state_limit.state_bytes;
            return;
        }
        let has_settled = seen.origin.restore != before.origin.restore;
        let is_slower = before.slow_checkpoints.is_none();
        let what = match (seen.state_limit.state, &seen.slow_checkpoints) {
            _ if has_settled => "its first checkpoint has completed".to_owned(),
            (_, Some(slow)) if is_slower => slow.message.clone(),
            (StateLimit::Ok, None) if !is_slower => "its checkpoints are fast enough".to_owned(),
            (StateLimit::Ok, _) => "its state is within limits".to_owned(),
            _ => seen.state_limit.detail.clone(),
        };
        if let Err(error) = self.change(state, seq, seen, &what) {
            tracing::error!(%error, seq, "what was seen of a statement could not be stored");
            return;
        }
        self.reconcile(state, seq);
    }

    /// The record of a statement with what was seen of its job.
    fn seen(&self, entry: &Entry, meter: &meter::Job) -> Record {
        let mut record = entry.record.clone();
        record.state_limit =
            self.limits
                .status(&record.state_limit, state_bytes(meter), self.clock.now_ms());
        let config = properties::job_config(&session_of(&record), &self.job);
        record.slow_checkpoints = slow_checkpoints::look(
            record.slow_checkpoints.as_ref(),
            &meter.checkpoints,
            config.checkpoint_interval,
            self.clock.now_ms(),
        );
        if entry.commits.has_completed() {
            // The job has a checkpoint of its own: a restart goes on there.
            record.origin.restore = RestoreFrom::Latest;
            // State that has shrunk since it was resumed may be stopped again when it grows.
            record.is_soft_limit_waived &= record.state_limit.state != StateLimit::Ok;
        }
        record
    }
}
