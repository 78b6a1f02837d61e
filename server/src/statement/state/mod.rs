//! The life of a statement as decisions: one file per phase.
//!
//! Enters: what is known of a statement ([`Facts`]). Leaves: what is to be done next ([`Decision`]). No I/O and no clock. Decisions
//! follow from the present facts alone, so a server that was killed continues by looking again.

mod completed;
mod degraded;
mod deleting;
mod failed;
mod failing;
mod pending;
mod running;
mod stopped;
mod stopping;
#[cfg(test)]
mod tests;

use std::time::Duration;

use weir_model::statement::Phase;

use super::carry_over::CarryOverFact;
use super::{Kind, LimitAction, Scaling, Wanted};

/// Recent failures from which on a statement is DEGRADED; what counts as recent says [`super::restart::RECENT`].
///
/// # Source
/// Confluent: DEGRADED when a statement "has frequently restarted recently"; the number is a guess.
const DEGRADED_AFTER: u32 = 3;

/// How long progress may wait for a checkpoint before a statement is DEGRADED.
///
/// # Source
/// Confluent: "no transactions have been committed for a long time", and two hours in which a job has not recovered; ten minutes are
/// sixty intervals of ten seconds (guess, unmeasured).
const UNCOMMITTED_MAX: Duration = Duration::from_mins(10);

/// A job that has run this long has recovered (guess, unmeasured).
const HEALTHY_AFTER: Duration = Duration::from_mins(1);

/// A foreground statement without a consumer for this long is stopped.
///
/// # Source
/// Confluent: five minutes.
pub(super) const UNCONSUMED_MAX: Duration = Duration::from_mins(5);

/// How long a last checkpoint may take before the job is ended without it (guess, unmeasured).
const STOP_MAX: Duration = Duration::from_mins(1);

/// How long a statement that has ended is kept.
///
/// # Source
/// Confluent: 30 days in a terminal phase.
const RETENTION: Duration = Duration::from_hours(30 * 24);

/// What is known of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts are independent answers of yes or no"
)]
pub struct Facts {
    /// How it runs.
    pub kind: Kind,
    /// What its user wants.
    pub wanted: Wanted,
    /// Its job.
    pub job: JobFact,
    /// Whether its pool has room for it.
    pub has_room: bool,
    /// Failures in a row.
    pub failures: u32,
    /// Failures lately.
    pub failures_recent: u32,
    /// Whether the back-off of the last failure is over.
    pub may_retry: bool,
    /// How long the back-off of the last failure is.
    pub backoff: Duration,
    /// How long progress has been waiting for a checkpoint; zero without progress.
    pub uncommitted_for: Duration,
    /// What the limits of its state ask for.
    pub limit: LimitAction,
    /// Whether the statement it goes on after is ready.
    pub carry_over: CarryOverFact,
    /// Whether its job stops only to be started with other slots.
    pub is_rescaling: bool,
    /// Whether its user asked to resume it since it ended.
    pub resume: bool,
    /// Whether its present detail is not empty.
    pub has_detail: bool,
    /// How long its job has been running; zero without one.
    pub active_for: Duration,
    /// How long its results have not been asked for.
    pub unconsumed_for: Duration,
    /// How long it has been in its phase.
    pub in_phase_for: Duration,
    /// Whether its job was asked to stop.
    pub stop_asked: bool,
}

/// What is known of a statement's job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobFact {
    /// There is none: not started yet, or the server was started anew.
    None,
    /// It is being started.
    Starting,
    /// It runs.
    Active,
    /// It has ended.
    Ended(End),
}

/// How a job has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All input was processed.
    Finished,
    /// On request, after a last checkpoint or without one.
    Stopped,
    /// By an error.
    Failed {
        /// Whether another attempt may succeed.
        is_recoverable: bool,
        /// What went wrong.
        message: String,
    },
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Stay,
    /// Nothing but to say why.
    Explain {
        /// For people; empty when all is well again.
        detail: String,
        /// Whether it has its slots.
        scaling: Scaling,
    },
    /// Start a job, which restores the newest checkpoint.
    Start,
    /// Ask the job for a last checkpoint and its end.
    Stop,
    /// End the job at once.
    Cancel,
    /// Go to another phase.
    Move {
        /// Which.
        phase: Phase,
        /// Why, for people; empty when there is nothing to say.
        detail: String,
    },
    /// Forget the statement.
    Remove,
}

impl Decision {
    /// To another phase without a word.
    fn to(phase: Phase) -> Self {
        Self::because(phase, "")
    }

    /// To another phase, and why.
    fn because(phase: Phase, detail: impl Into<String>) -> Self {
        Self::Move {
            phase,
            detail: detail.into(),
        }
    }
}

/// What is to be done next with a statement in a phase.
pub fn decide(phase: Phase, facts: &Facts) -> Decision {
    if facts.wanted == Wanted::Delete && phase != Phase::Deleting {
        return Decision::to(Phase::Deleting);
    }
    match phase {
        Phase::Pending => pending::decide(facts),
        Phase::Running => running::decide(facts),
        Phase::Degraded => degraded::decide(facts),
        Phase::Completed => completed::decide(facts),
        Phase::Stopping => stopping::decide(facts),
        Phase::Stopped => stopped::decide(facts),
        Phase::Failing => failing::decide(facts),
        Phase::Failed => failed::decide(facts),
        Phase::Deleting => deleting::decide(facts),
    }
}

/// What a statement whose job failed in a recoverable way says while it waits.
fn retry_detail(facts: &Facts, message: &str) -> Decision {
    Decision::Explain {
        detail: format!(
            "attempt {} failed, the next one follows after {:.1} s: {message}",
            facts.failures,
            facts.backoff.as_secs_f64()
        ),
        scaling: Scaling::Ok,
    }
}

/// Where the limits of its state send a statement; absent when it may go on.
fn over_limit(facts: &Facts) -> Option<Decision> {
    match &facts.limit {
        LimitAction::None => None,
        LimitAction::Stop(detail) => Some(Decision::because(Phase::Stopping, detail.clone())),
        LimitAction::Fail(detail) => Some(Decision::because(Phase::Failing, detail.clone())),
    }
}

/// Whether the client of a query has gone away.
fn is_unconsumed(facts: &Facts) -> bool {
    facts.kind == Kind::Foreground && facts.unconsumed_for >= UNCONSUMED_MAX
}

/// Whether a statement that has ended was kept long enough.
fn is_expired(facts: &Facts) -> bool {
    facts.in_phase_for >= RETENTION
}
