//! RUNNING: has a job, or is getting one again.

use weir_model::statement::Phase;

use super::{
    DEGRADED_AFTER, Decision, End, Facts, JobFact, UNCONSUMED_MAX, is_unconsumed, retry_detail,
};
use crate::statement::{Kind, Scaling, Wanted};

/// What is to be done next.
pub(super) fn decide(facts: &Facts) -> Decision {
    if facts.wanted == Wanted::Stop {
        return Decision::to(Phase::Stopping);
    }
    match &facts.job {
        JobFact::Active if is_unconsumed(facts) => Decision::because(
            Phase::Stopping,
            format!(
                "nobody asked for its results for {} minutes",
                UNCONSUMED_MAX.as_secs() / 60
            ),
        ),
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

/// A job that has ended by itself.
fn ended(facts: &Facts, end: &End) -> Decision {
    match end {
        End::Finished => Decision::to(Phase::Completed),
        End::Stopped => Decision::to(Phase::Stopped),
        // Rows that a client has seen cannot be taken back, so a query is not run twice.
        End::Failed {
            is_recoverable: true,
            message,
        } if facts.kind == Kind::Background => {
            if facts.failures >= DEGRADED_AFTER {
                Decision::because(
                    Phase::Degraded,
                    format!("failed {} times in a row: {message}", facts.failures),
                )
            } else if facts.may_retry {
                Decision::Start
            } else {
                retry_detail(facts.failures, message)
            }
        }
        End::Failed { message, .. } => Decision::because(Phase::Failing, message.clone()),
    }
}
