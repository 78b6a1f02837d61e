//! FAILED: ended by an error; can be resumed once the cause is gone.

use weir_model::statement::Phase;

use super::{Decision, Facts, is_expired};
use crate::statement::Kind;

/// What is to be done next.
pub(super) fn decide(facts: &Facts) -> Decision {
    if facts.resume && facts.kind == Kind::Background {
        Decision::to(Phase::Pending)
    } else if is_expired(facts) {
        Decision::to(Phase::Deleting)
    } else {
        Decision::Stay
    }
}
