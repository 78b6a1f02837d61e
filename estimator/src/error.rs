//! What can be wrong with the inputs.
//!
//! Place in the flow: every public function that refuses its inputs returns it. Invariant: each message names the field, its value and
//! the range that is accepted.

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A number of the inputs is out of its range.
    #[error("{field} is {value}, and must be {range}")]
    OutOfRange {
        /// Field.
        field: &'static str,
        /// What it was.
        value: String,
        /// What is accepted.
        range: &'static str,
    },
    /// A latency tier that does not exist.
    #[error("unknown latency tier {name:?}: use sub-500ms, sub-1s, sub-5s or relaxed")]
    UnknownLatencyTier {
        /// What was written.
        name: String,
    },
    /// A profile without a class that is asked for.
    #[error(
        "profile {profile:?} has no cost for statements of class {class}: add it, or use another profile"
    )]
    UnknownClass {
        /// Profile.
        profile: String,
        /// Class.
        class: &'static str,
    },
    /// A profile file that cannot be read.
    #[error("profile is not readable: {reason}")]
    Profile {
        /// What the parser said.
        reason: String,
    },
    /// Too few or unfit points for a fit.
    #[error("cannot fit: {reason}")]
    Fit {
        /// Why.
        reason: &'static str,
    },
}

/// Refuses a number outside a range.
pub(crate) fn check(
    field: &'static str,
    value: f64,
    is_valid: bool,
    range: &'static str,
) -> Result<(), Error> {
    if is_valid && value.is_finite() {
        return Ok(());
    }
    Err(Error::OutOfRange {
        field,
        value: value.to_string(),
        range,
    })
}
