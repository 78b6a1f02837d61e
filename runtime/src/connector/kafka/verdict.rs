//! What to do when a call of a transaction was refused.
//!
//! Place in the flow: [`super::transaction`] judges every refusal here and then acts. Invariant: nothing is retried that another
//! run, or a fatal error, has made pointless; and "another run has taken over" is only said when the cluster says so.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client;
use super::ffi::Refusal;
use crate::error::{Error, Kind};

/// What can be done after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Make the same call again.
    Retry,
    /// Abort the transaction; the run ends.
    Abort,
    /// Nothing; the run ends.
    Fail,
}

/// Judges a refusal in the order that librdkafka prescribes: fatal, abortable, retriable.
pub(super) fn judge(refusal: &Refusal) -> Verdict {
    if refusal.fatal || error_of(refusal, "").kind == Kind::Conflict {
        Verdict::Fail
    } else if refusal.abortable {
        Verdict::Abort
    } else if refusal.retriable {
        Verdict::Retry
    } else {
        Verdict::Fail
    }
}

/// A refusal as an error.
pub(super) fn error_of(refusal: &Refusal, place: &str) -> Error {
    client::refusal(refusal.code, &format!("{place}: {}", refusal.reason))
}

/// An error of the crate's transaction calls as a refusal.
pub(super) fn refusal_of(error: &KafkaError) -> Refusal {
    match error {
        KafkaError::Transaction(native) => Refusal::from(native),
        other => Refusal {
            code: other.rdkafka_error_code().unwrap_or(Code::Fail),
            reason: other.to_string(),
            fatal: false,
            retriable: false,
            abortable: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A refusal with a code and none of librdkafka's hints.
    fn refusal(code: Code) -> Refusal {
        Refusal {
            code,
            reason: "why".to_owned(),
            fatal: false,
            retriable: false,
            abortable: false,
        }
    }

    #[test]
    fn fatal_goes_before_abortable_and_abortable_before_retriable() {
        let all = Refusal {
            fatal: true,
            retriable: true,
            abortable: true,
            ..refusal(Code::OperationTimedOut)
        };
        assert_eq!(judge(&all), Verdict::Fail);
        let abortable = Refusal {
            fatal: false,
            ..all
        };
        assert_eq!(judge(&abortable), Verdict::Abort);
        let retriable = Refusal {
            abortable: false,
            ..abortable
        };
        assert_eq!(judge(&retriable), Verdict::Retry);
        assert_eq!(judge(&refusal(Code::OperationTimedOut)), Verdict::Fail);
    }

    #[test]
    fn a_fenced_transaction_is_not_worth_an_abort() {
        for code in [
            Code::Fenced,
            Code::ProducerFenced,
            Code::InvalidProducerEpoch,
        ] {
            let fenced = Refusal {
                abortable: true,
                ..refusal(code)
            };
            assert_eq!(judge(&fenced), Verdict::Fail);
            let error = error_of(&fenced, "committing epoch 3");
            assert_eq!(error.kind, Kind::Conflict);
            assert!(error.message.contains("epoch 3"), "{error}");
        }
        let fatal = Refusal {
            fatal: true,
            ..refusal(Code::OutOfOrderSequenceNumber)
        };
        assert_eq!(error_of(&fatal, "").kind, Kind::Unavailable);
    }
}
