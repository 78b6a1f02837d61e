//! Limits of a statement's state.
//!
//! Place in the flow: the bytes of the meter come in, a status that APIs show and `state` decides over goes out. Pure.
//!
//! # Source
//! Confluent, limits of Flink statements: 500 GB soft, 1,000 GB hard, a warning at 80 %; the soft one stops the statement, which can
//! be resumed; the hard one fails it for good. Absolute values, whatever the number of CFUs.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Bytes of a gigabyte.
const GB: u64 = 1_000_000_000;

/// How much state a statement may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateLimits {
    /// Above it a statement is stopped, bytes. Default 500 GB.
    pub soft_bytes: u64,
    /// Above it a statement fails, bytes. Default 1,000 GB.
    pub hard_bytes: u64,
    /// Share of a limit from which on there is a warning, percent. Default 80.
    pub warning_percent: u8,
}

impl Default for StateLimits {
    fn default() -> Self {
        Self {
            soft_bytes: 500 * GB,
            hard_bytes: 1000 * GB,
            warning_percent: 80,
        }
    }
}

/// Where a statement is against its limits, with Confluent's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StateLimit {
    /// Below the first warning.
    #[default]
    Ok,
    /// Near the soft limit.
    ApproachingSoftLimit,
    /// Above the soft limit.
    ExceedingSoftLimit,
    /// Above the soft limit and near the hard one.
    ApproachingHardLimit,
    /// Above the hard limit.
    ExceedingHardLimit,
}

impl StateLimit {
    /// The name in APIs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::ApproachingSoftLimit => "APPROACHING_SOFT_LIMIT",
            Self::ExceedingSoftLimit => "EXCEEDING_SOFT_LIMIT",
            Self::ApproachingHardLimit => "APPROACHING_HARD_LIMIT",
            Self::ExceedingHardLimit => "EXCEEDING_HARD_LIMIT",
        }
    }
}

/// Where a statement is against its limits, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StateLimitStatus {
    /// Where.
    pub state: StateLimit,
    /// For people; empty when all is well.
    pub detail: String,
    /// Bytes when it was looked at.
    pub state_bytes: u64,
    /// When `state` changed last, epoch milliseconds; absent when it never did.
    pub changed_at_ms: Option<i64>,
}

/// What a limit asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitAction {
    /// Nothing.
    None,
    /// Stop the statement; it can be resumed.
    Stop(String),
    /// Fail the statement for good.
    Fail(String),
}

impl StateLimits {
    /// Checks the limits.
    ///
    /// # Errors
    /// `Start` when the soft limit is not below the hard one, is 0, or the warning is no share.
    pub fn validate(&self) -> Result<()> {
        if self.soft_bytes == 0 || self.soft_bytes > self.hard_bytes {
            return Err(Error::Start(format!(
                "state limits are {} soft and {} hard: the soft one must be at least 1 byte and at most the hard one",
                bytes(self.soft_bytes),
                bytes(self.hard_bytes)
            )));
        }
        if !(1..=100).contains(&self.warning_percent) {
            return Err(Error::Start(format!(
                "the warning of the state limits is at {} %, it must be 1 to 100",
                self.warning_percent
            )));
        }
        Ok(())
    }

    /// Where so much state is against the limits.
    pub fn state(&self, state_bytes: u64) -> StateLimit {
        let warning = |limit: u64| {
            u64::try_from(u128::from(limit) * u128::from(self.warning_percent) / 100)
                .unwrap_or(limit)
        };
        if state_bytes > self.hard_bytes {
            StateLimit::ExceedingHardLimit
        } else if state_bytes > self.soft_bytes && state_bytes >= warning(self.hard_bytes) {
            StateLimit::ApproachingHardLimit
        } else if state_bytes > self.soft_bytes {
            StateLimit::ExceedingSoftLimit
        } else if state_bytes >= warning(self.soft_bytes) {
            StateLimit::ApproachingSoftLimit
        } else {
            StateLimit::Ok
        }
    }

    /// The status after `before`, for so much state.
    pub fn status(
        &self,
        before: &StateLimitStatus,
        state_bytes: u64,
        now_ms: i64,
    ) -> StateLimitStatus {
        let state = self.state(state_bytes);
        if state == before.state {
            return StateLimitStatus {
                detail: before.detail.clone(),
                state_bytes,
                ..*before
            };
        }
        StateLimitStatus {
            state,
            detail: self.detail(state, state_bytes),
            state_bytes,
            changed_at_ms: Some(now_ms),
        }
    }

    /// What a status says.
    fn detail(&self, state: StateLimit, state_bytes: u64) -> String {
        let is = bytes(state_bytes);
        let (soft, hard) = (bytes(self.soft_bytes), bytes(self.hard_bytes));
        match state {
            StateLimit::Ok => String::new(),
            StateLimit::ApproachingSoftLimit => format!(
                "the state of the statement is {is}, near the soft limit of {soft} at which it is stopped: give it a state TTL or fewer keys"
            ),
            StateLimit::ExceedingSoftLimit => format!(
                "the state of the statement is {is}, above the soft limit of {soft}: it is stopped and can be resumed"
            ),
            StateLimit::ApproachingHardLimit => format!(
                "the state of the statement is {is}, near the hard limit of {hard} at which it fails"
            ),
            StateLimit::ExceedingHardLimit => format!(
                "the state of the statement is {is}, above the hard limit of {hard}: it cannot be resumed with this state"
            ),
        }
    }
}

impl StateLimitStatus {
    /// What is to be done about a running statement; `is_waived` when its user resumed it above the soft limit.
    pub(super) fn action(&self, is_waived: bool) -> LimitAction {
        match self.state {
            StateLimit::Ok | StateLimit::ApproachingSoftLimit => LimitAction::None,
            StateLimit::ExceedingSoftLimit | StateLimit::ApproachingHardLimit if is_waived => {
                LimitAction::None
            }
            StateLimit::ExceedingSoftLimit | StateLimit::ApproachingHardLimit => {
                LimitAction::Stop(self.detail.clone())
            }
            StateLimit::ExceedingHardLimit => LimitAction::Fail(self.detail.clone()),
        }
    }
}

/// Bytes for people: `500 GB`, `12.3 MB`.
fn bytes(count: u64) -> String {
    for (unit, size) in [("GB", GB), ("MB", GB / 1000), ("kB", 1000)] {
        if count >= size {
            let tenths = u128::from(count) * 10 / u128::from(size);
            return match tenths % 10 {
                0 => format!("{} {unit}", tenths / 10),
                rest => format!("{}.{rest} {unit}", tenths / 10),
            };
        }
    }
    format!("{count} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_confluents() {
        let limits = StateLimits::default();
        for (gigabytes, state) in [
            (0, StateLimit::Ok),
            (399, StateLimit::Ok),
            (400, StateLimit::ApproachingSoftLimit),
            (500, StateLimit::ApproachingSoftLimit),
            (501, StateLimit::ExceedingSoftLimit),
            (800, StateLimit::ApproachingHardLimit),
            (1000, StateLimit::ApproachingHardLimit),
            (1001, StateLimit::ExceedingHardLimit),
        ] {
            assert_eq!(limits.state(gigabytes * GB), state, "{gigabytes} GB");
        }
    }

    #[test]
    fn the_soft_limit_stops_once_and_the_hard_one_always() {
        let limits = StateLimits::default();
        let status =
            |gigabytes: u64| limits.status(&StateLimitStatus::default(), gigabytes * GB, 7);
        assert_eq!(status(450).action(false), LimitAction::None);
        let LimitAction::Stop(detail) = status(600).action(false) else {
            panic!("the soft limit does not stop")
        };
        assert!(
            detail.contains("600 GB") && detail.contains("500 GB"),
            "{detail}"
        );
        assert_eq!(status(900).action(true), LimitAction::None);
        assert!(matches!(status(1001).action(true), LimitAction::Fail(_)));
    }

    #[test]
    fn the_time_is_that_of_the_last_change() {
        let limits = StateLimits::default();
        let first = limits.status(&StateLimitStatus::default(), 450 * GB, 7);
        assert_eq!(first.changed_at_ms, Some(7));
        let second = limits.status(&first, 460 * GB, 9);
        assert_eq!(second.changed_at_ms, Some(7));
        assert_eq!(second.state_bytes, 460 * GB);
        let well = limits.status(&second, 1, 11);
        assert_eq!((well.state, well.changed_at_ms), (StateLimit::Ok, Some(11)));
        assert_eq!(well.detail, "");
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        for (soft_bytes, hard_bytes, warning_percent) in [(0, 1, 80), (2, 1, 80), (1, 2, 0)] {
            let limits = StateLimits {
                soft_bytes,
                hard_bytes,
                warning_percent,
            };
            assert!(limits.validate().is_err(), "{limits:?}");
        }
        assert!(StateLimits::default().validate().is_ok());
    }

    #[test]
    fn bytes_are_printed_for_people() {
        for (count, text) in [
            (12, "12 bytes"),
            (1500, "1.5 kB"),
            (500 * GB, "500 GB"),
            (12_340_000, "12.3 MB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
