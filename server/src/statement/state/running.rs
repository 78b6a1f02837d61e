//! RUNNING: has a job, or is getting one again.

use weir_model::statement::Phase;

use super::{
    DEGRADED_AFTER, Decision, End, Facts, JobFact, UNCOMMITTED_MAX, UNCONSUMED_MAX, is_unconsumed,
    over_limit, retry_detail,
};
use crate::statement::restart::RECENT;
use crate::statement::{Kind, Scaling, Wanted};

/// What is to be done next.
pub(super) fn decide(facts: &Facts) -> Decision {
    if facts.wanted == Wanted::Stop {
        return Decision::to(Phase::Stopping);
    }
    if let Some(decision) = over_limit(facts) {
        return decision;
    }
    match &facts.job {
        JobFact::Active if is_unconsumed(facts) => Decision::because(
            Phase::Stopping,
            format!(
                "nobody asked for its results for {} minutes",
                UNCONSUMED_MAX.as_secs() / 60
            ),
        ),
        JobFact::Active if facts.uncommitted_for >= UNCOMMITTED_MAX => {
            Decision::because(Phase::Degraded, uncommitted(facts))
        }
        JobFact::Active if facts.has_detail => Decision::Explain {
            detail: String::new(),
            scaling: Scaling::Ok,
        },
        JobFact::Active | JobFact::Starting => Decision::Stay,
        JobFact::None => restart(facts),
        JobFact::Ended(end) => ended(facts, end),
    }
}

/// The server was started anew: a background statement goes on from its checkpoint, results of others are lost.
pub(super) fn restart(facts: &Facts) -> Decision {
    match facts.kind {
        Kind::Background => Decision::Start,
        Kind::Foreground | Kind::Immediate => Decision::because(
            Phase::Stopped,
            "the server was started anew and its results were lost: submit the query again",
        ),
    }
}

/// What a statement says whose checkpoints do not complete.
pub(super) fn uncommitted(facts: &Facts) -> String {
    format!(
        "no checkpoint has completed for {} minutes although records were read: look at its checkpoints and at back-pressure",
        facts.uncommitted_for.as_secs() / 60
    )
}

/// A job that has ended by itself.
fn ended(facts: &Facts, end: &End) -> Decision {
    match end {
        End::Finished => Decision::to(Phase::Completed),
        End::Stopped if facts.is_rescaling => Decision::Start,
        End::Stopped => Decision::to(Phase::Stopped),
        // Rows that a client has seen cannot be taken back, so a query is not run twice.
        End::Failed {
            is_recoverable: true,
            message,
        } if facts.kind == Kind::Background => {
            if facts.failures_recent >= DEGRADED_AFTER {
                Decision::because(Phase::Degraded, often(facts, message))
            } else if facts.may_retry {
                Decision::Start
            } else {
                retry_detail(facts, message)
            }
        }
        End::Failed { message, .. } => Decision::because(Phase::Failing, message.clone()),
    }
}

/// What a statement says that fails again and again.
pub(super) fn often(facts: &Facts, message: &str) -> String {
    format!(
        "failed {} times within {} minutes: {message}",
        facts.failures_recent,
        RECENT.as_secs() / 60
    )
}
