//! DEGRADED: runs, but fails again and again or does not commit what it reads. Still billed, still retried.

use weir_model::statement::Phase;

use super::running::{often, restart, uncommitted};
use super::{Decision, End, Facts, HEALTHY_AFTER, JobFact, UNCOMMITTED_MAX, over_limit};
use crate::statement::{Scaling, Wanted};

/// What is to be done next.
pub(super) fn decide(facts: &Facts) -> Decision {
    if facts.wanted == Wanted::Stop {
        return Decision::to(Phase::Stopping);
    }
    if let Some(decision) = over_limit(facts) {
        return decision;
    }
    match &facts.job {
        JobFact::Active if facts.uncommitted_for >= UNCOMMITTED_MAX => Decision::Explain {
            detail: uncommitted(facts),
            scaling: Scaling::Ok,
        },
        JobFact::Active if facts.active_for >= HEALTHY_AFTER => Decision::to(Phase::Running),
        JobFact::Active | JobFact::Starting => Decision::Stay,
        JobFact::None => restart(facts),
        JobFact::Ended(End::Finished) => Decision::to(Phase::Completed),
        JobFact::Ended(End::Stopped) if facts.is_rescaling => Decision::Start,
        JobFact::Ended(End::Stopped) => Decision::to(Phase::Stopped),
        JobFact::Ended(End::Failed {
            is_recoverable: false,
            message,
        }) => Decision::because(Phase::Failing, message.clone()),
        JobFact::Ended(End::Failed { message, .. }) => {
            if facts.may_retry {
                Decision::Start
            } else {
                Decision::Explain {
                    detail: often(facts, message),
                    scaling: Scaling::Ok,
                }
            }
        }
    }
}
