//! What a failure means: whose it is, and whether another attempt may succeed.
//!
//! Place in the flow: the end of a job comes in as an error, what is decided over and what users read goes out. Pure.
//!
//! # Source
//! Confluent, "Monitor statements": SYSTEM exceptions are recoverable; USER ones usually are not (deserialization, division by zero),
//! but a deleted topic and lost access are. Weir differs in one case: damaged state is SYSTEM and not recoverable, since going on
//! would lose or double rows (WEIR-2003, WEIR-2005).

use serde::{Deserialize, Serialize};
use weir_runtime::error::{Code, Error, Kind};

/// Internal errors in a row after which a statement fails: a bug that a restart does not cure must not be retried for ever (guess,
/// unmeasured).
pub(super) const INTERNAL_ATTEMPTS_MAX: u32 = 5;

/// Words by which refused access and deleted topics are told apart: the runtime has no code of their own for them.
const LOST_WORDS: [&str; 3] = ["authorization", "authentication", "was deleted"];

/// Whose failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExceptionClass {
    /// The statement's, its data's or its tables'.
    User,
    /// Weir's or its surroundings'.
    System,
}

impl ExceptionClass {
    /// The name in APIs and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::System => "SYSTEM",
        }
    }

    /// The class of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::User, Self::System]
            .into_iter()
            .find(|class| class.as_str() == name)
    }
}

/// Whether another attempt may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovery {
    /// It cannot: the statement fails.
    Never,
    /// It may, however often.
    Retry,
    /// It may, but not after [`INTERNAL_ATTEMPTS_MAX`] failures in a row.
    Bounded,
}

impl Recovery {
    /// Whether another attempt is made after so many failures in a row.
    pub(super) fn allows(self, failures: u32) -> bool {
        match self {
            Self::Never => false,
            Self::Retry => true,
            Self::Bounded => failures < INTERNAL_ATTEMPTS_MAX,
        }
    }
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whose it is.
    pub(super) class: ExceptionClass,
    /// Whether another attempt may succeed.
    pub(super) recovery: Recovery,
}

/// What an error means. `has_run` says whether the statement has been running: a topic that was never there is a mistake in the
/// statement, one that is not there any more may come back.
pub(super) fn judge(error: &Error, has_run: bool) -> Verdict {
    let user = |recovery| Verdict {
        class: ExceptionClass::User,
        recovery,
    };
    let system = |recovery| Verdict {
        class: ExceptionClass::System,
        recovery,
    };
    match error.kind {
        Kind::Invalid if has_run && is_lost(error) => user(Recovery::Retry),
        Kind::Data | Kind::Unsupported | Kind::Invalid => user(Recovery::Never),
        Kind::Unavailable if is_lost(error) => user(Recovery::Retry),
        Kind::Unavailable | Kind::Conflict => system(Recovery::Retry),
        Kind::Corrupt => system(Recovery::Never),
        Kind::Internal => system(Recovery::Bounded),
    }
}

/// Whether a topic or the right to use it is gone.
fn is_lost(error: &Error) -> bool {
    let text = error.message.to_lowercase();
    error.code == Code::UnknownName || LOST_WORDS.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_class_and_its_recovery() {
        use ExceptionClass::{System, User};
        let cases = [
            (Error::deserialization("offset 3"), User, Recovery::Never),
            (Error::arithmetic("division by zero"), User, Recovery::Never),
            (Error::validation("x"), User, Recovery::Never),
            (Error::unsupported("x"), User, Recovery::Never),
            (Error::unavailable("broker a:1"), System, Recovery::Retry),
            (Error::storage("disk full"), System, Recovery::Retry),
            (Error::internal("bug"), System, Recovery::Bounded),
            (Error::corrupt("checkpoint 3"), System, Recovery::Never),
        ];
        for (error, class, recovery) in cases {
            let verdict = judge(&error, true);
            assert_eq!(
                (verdict.class, verdict.recovery),
                (class, recovery),
                "{error}"
            );
        }
    }

    #[test]
    fn what_was_there_once_may_come_back() {
        let gone = Error::unknown("kafka: topic \"orders\": UnknownTopicOrPartition");
        assert_eq!(judge(&gone, true).recovery, Recovery::Retry);
        assert_eq!(judge(&gone, false).recovery, Recovery::Never);
        let refused = Error::option("kafka: topic \"orders\": TopicAuthorizationFailed");
        assert_eq!(judge(&refused, true).recovery, Recovery::Retry);
        assert_eq!(judge(&refused, true).class, ExceptionClass::User);
        let deleted = Error::unavailable("topic \"orders\" was deleted");
        assert_eq!(judge(&deleted, true).class, ExceptionClass::User);
    }

    #[test]
    fn a_bug_is_retried_a_few_times_only() {
        assert!(Recovery::Bounded.allows(INTERNAL_ATTEMPTS_MAX - 1));
        assert!(!Recovery::Bounded.allows(INTERNAL_ATTEMPTS_MAX));
        assert!(Recovery::Retry.allows(u32::MAX));
    }
}
