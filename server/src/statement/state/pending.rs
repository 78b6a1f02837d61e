//! PENDING: waits for slots, or is being started.

use weir_model::statement::Phase;

use super::{Decision, End, Facts, JobFact, is_unconsumed, retry_detail};
use crate::statement::carry_over::CarryOverFact;
use crate::statement::{Kind, Scaling, Wanted};

/// What is to be done next.
pub(super) fn decide(facts: &Facts) -> Decision {
    match &facts.job {
        JobFact::Starting => Decision::Stay,
        JobFact::Active if facts.wanted == Wanted::Stop => Decision::to(Phase::Stopping),
        // A job that was over before anyone looked did run, and the minute is billed.
        JobFact::Active | JobFact::Ended(End::Finished) if facts.kind != Kind::Immediate => {
            Decision::to(Phase::Running)
        }
        JobFact::None | JobFact::Ended(End::Stopped) if facts.wanted == Wanted::Stop => {
            Decision::to(Phase::Stopped)
        }
        JobFact::None | JobFact::Ended(End::Stopped) => start(facts),
        JobFact::Active | JobFact::Ended(End::Finished) => Decision::to(Phase::Completed),
        JobFact::Ended(End::Failed {
            is_recoverable,
            message,
        }) => {
            if facts.wanted == Wanted::Stop {
                Decision::because(Phase::Stopped, message.clone())
            } else if !is_recoverable || facts.kind == Kind::Immediate {
                Decision::because(Phase::Failing, message.clone())
            } else if is_unconsumed(facts) {
                Decision::because(Phase::Stopped, message.clone())
            } else if facts.may_retry {
                start(facts)
            } else {
                retry_detail(facts, message)
            }
        }
    }
}

/// Starts when the statement to go on after has stopped and the pool has room.
fn start(facts: &Facts) -> Decision {
    match &facts.carry_over {
        CarryOverFact::Ready => {}
        CarryOverFact::Waiting(detail) => {
            return Decision::Explain {
                detail: detail.clone(),
                scaling: Scaling::Ok,
            };
        }
        CarryOverFact::Lost(detail) => return Decision::because(Phase::Failing, detail.clone()),
    }
    if facts.has_room || facts.kind == Kind::Immediate {
        return Decision::Start;
    }
    Decision::Explain {
        detail: "the compute pool has no CFU left: stop a statement or raise its max_cfu"
            .to_owned(),
        scaling: Scaling::PoolExhausted,
    }
}
