//! FAILING: an error ended it; its job goes first.

use weir_model::statement::Phase;

use super::{Decision, Facts, JobFact};

/// What is to be done next. The reason was stored when it began to fail and stays.
pub(super) fn decide(facts: &Facts) -> Decision {
    match facts.job {
        JobFact::Starting => Decision::Stay,
        JobFact::Active => Decision::Cancel,
        JobFact::None | JobFact::Ended(_) => Decision::to(Phase::Failed),
    }
}
