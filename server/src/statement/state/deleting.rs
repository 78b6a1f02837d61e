//! DELETING: its name is free; its job and what it kept go.

use super::{Decision, Facts, JobFact};

/// What is to be done next.
pub(super) fn decide(facts: &Facts) -> Decision {
    match facts.job {
        JobFact::Starting => Decision::Stay,
        JobFact::Active => Decision::Cancel,
        JobFact::None | JobFact::Ended(_) => Decision::Remove,
    }
}
