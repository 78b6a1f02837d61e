//! COMPLETED: all input was processed.

use weir_model::statement::Phase;

use super::{Decision, Facts, is_expired};

/// What is to be done next.
pub(super) fn decide(facts: &Facts) -> Decision {
    if is_expired(facts) {
        Decision::to(Phase::Deleting)
    } else {
        Decision::Stay
    }
}
