//! STOPPED: does not run; can be resumed from its last checkpoint.

use weir_model::statement::Phase;

use super::{Decision, Facts, is_expired};
use crate::statement::{Kind, Wanted};

/// What is to be done next.
pub(super) fn decide(facts: &Facts) -> Decision {
    if facts.wanted == Wanted::Run && facts.kind == Kind::Background {
        Decision::to(Phase::Pending)
    } else if is_expired(facts) {
        Decision::to(Phase::Deleting)
    } else {
        Decision::Stay
    }
}
