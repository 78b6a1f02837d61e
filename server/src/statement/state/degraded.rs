//! DEGRADED: runs, but has failed again and again. Still billed, still retried.

use weir_model::statement::Phase;

use super::running::restart;
use super::{Decision, End, Facts, HEALTHY_AFTER, JobFact};
use crate::statement::{Scaling, Wanted};

/// What is to be done next.
pub(super) fn decide(facts: &Facts) -> Decision {
    if facts.wanted == Wanted::Stop {
        return Decision::to(Phase::Stopping);
    }
    match &facts.job {
        JobFact::Active if facts.active_for >= HEALTHY_AFTER => Decision::to(Phase::Running),
        JobFact::Active | JobFact::Starting => Decision::Stay,
        JobFact::None => restart(facts),
        JobFact::Ended(End::Finished) => Decision::to(Phase::Completed),
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
                    detail: format!("failed {} times in a row: {message}", facts.failures),
                    scaling: Scaling::Ok,
                }
            }
        }
    }
}
