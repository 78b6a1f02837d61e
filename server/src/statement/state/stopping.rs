//! STOPPING: its job takes a last checkpoint and ends.

use weir_model::statement::Phase;

use super::{Decision, End, Facts, JobFact, STOP_MAX};

/// What is to be done next.
pub(super) fn decide(facts: &Facts) -> Decision {
    match &facts.job {
        JobFact::Active if !facts.stop_asked => Decision::Stop,
        JobFact::Active if facts.in_phase_for >= STOP_MAX => Decision::Cancel,
        JobFact::Starting | JobFact::Active => Decision::Stay,
        JobFact::None | JobFact::Ended(End::Stopped) => Decision::to(Phase::Stopped),
        JobFact::Ended(End::Finished) => Decision::to(Phase::Completed),
        JobFact::Ended(End::Failed {
            is_recoverable: true,
            message,
        }) => Decision::because(
            Phase::Stopped,
            format!("stopped without a last checkpoint, the one before counts: {message}"),
        ),
        JobFact::Ended(End::Failed { message, .. }) => {
            Decision::because(Phase::Failing, message.clone())
        }
    }
}
