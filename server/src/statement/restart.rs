//! When a failed job is started again, and how often it failed lately.
//!
//! Place in the flow: read from a statement's properties when its job ends. Pure: times and the seed of the jitter are handed in.

use std::collections::VecDeque;
use std::time::Duration;

use weir_runtime::error::{Error, Result};
use weir_runtime::sql::session::{Session, parse_duration};

/// How far back failures count as recent.
///
/// # Source
/// Confluent: "has frequently restarted recently" without a number; ten minutes are a guess, unmeasured.
pub(super) const RECENT: Duration = Duration::from_mins(10);

/// Failures remembered; more than any threshold needs.
const REMEMBERED_MAX: usize = 64;

/// Properties of the policy, with Flink's names.
///
/// # Source
/// Flink 2.x: `restart-strategy.exponential-delay.*`.
const KEYS: [&str; 5] = [
    "restart-strategy.exponential-delay.initial-backoff",
    "restart-strategy.exponential-delay.max-backoff",
    "restart-strategy.exponential-delay.backoff-multiplier",
    "restart-strategy.exponential-delay.reset-backoff-threshold",
    "restart-strategy.exponential-delay.jitter-factor",
];

/// Waiting times between attempts.
///
/// # Source
/// Flink 2.x, exponential delay: names, meaning and every default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RestartPolicy {
    /// After the first failure.
    pub(super) initial: Duration,
    /// At most.
    pub(super) max: Duration,
    /// Growth from one failure to the next.
    pub(super) multiplier: f64,
    /// A job that ran this long starts again with `initial`.
    pub(super) reset_after: Duration,
    /// Share by which the time is made longer or shorter, so that many statements do not restart at once.
    pub(super) jitter: f64,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_mins(1),
            multiplier: 1.5,
            reset_after: Duration::from_hours(1),
            jitter: 0.1,
        }
    }
}

impl RestartPolicy {
    /// Whether a property belongs to the policy.
    pub(super) fn owns(key: &str) -> bool {
        KEYS.contains(&key)
    }

    /// The policy of a statement's properties.
    ///
    /// # Errors
    /// `Invalid` naming the property for values that are not durations or numbers in range.
    pub(super) fn of(session: &Session) -> Result<Self> {
        let default = Self::default();
        let policy = Self {
            initial: duration(session, KEYS[0], default.initial)?,
            max: duration(session, KEYS[1], default.max)?,
            multiplier: number(session, KEYS[2], default.multiplier, 1.0..=100.0)?,
            reset_after: duration(session, KEYS[3], default.reset_after)?,
            jitter: number(session, KEYS[4], default.jitter, 0.0..=1.0)?,
        };
        if policy.initial > policy.max {
            return Err(Error::option(format!(
                "property '{}' is longer than '{}'",
                KEYS[0], KEYS[1]
            )));
        }
        Ok(policy)
    }

    /// How long to wait after so many failures in a row; `seed` spreads statements apart and gives one of them the same time again.
    pub(super) fn backoff(&self, failures: u32, seed: &str) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.initial.as_secs_f64() * self.multiplier.powi(exponent);
        let bounded = grown.min(self.max.as_secs_f64());
        let jitter = 1.0 + self.jitter * spread(seed, failures);
        Duration::from_secs_f64((bounded * jitter).max(0.0))
    }
}

/// A number from -1 to 1 that depends on the seed and the attempt only (FNV-1a, so that no source of randomness is needed).
fn spread(seed: &str, attempt: u32) -> f64 {
    let bytes = seed.bytes().chain(attempt.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let folded = (hash ^ (hash >> 32)) & 0xffff;
    f64::from(u32::try_from(folded).unwrap_or_default()) / f64::from(0xffff_u32) * 2.0 - 1.0
}

/// A property that is a duration.
fn duration(session: &Session, key: &str, default: Duration) -> Result<Duration> {
    let Some(text) = session.get(key) else {
        return Ok(default);
    };
    parse_duration(text).ok_or_else(|| {
        Error::option(format!(
            "property '{key}': \"{text}\" is not a duration such as \"5 min\" or \"500 ms\""
        ))
    })
}

/// A property that is a number in a range.
fn number(
    session: &Session,
    key: &str,
    default: f64,
    range: std::ops::RangeInclusive<f64>,
) -> Result<f64> {
    let Some(text) = session.get(key) else {
        return Ok(default);
    };
    let number = text.trim().parse::<f64>().ok();
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            Error::option(format!(
                "property '{key}': \"{text}\" is not a number from {} to {}",
                range.start(),
                range.end()
            ))
        })
}

/// Failures of a statement since it was started by its user or by the server.
#[derive(Debug, Clone, Default)]
pub(super) struct Failures {
    /// In a row: without a run of the reset threshold between them.
    pub(super) in_a_row: u32,
    /// Monotonic times of the latest ones.
    times: VecDeque<Duration>,
}

impl Failures {
    /// Takes in a failure; `ran_for` is how long the job had been running.
    pub(super) fn add(&mut self, now: Duration, ran_for: Duration, policy: &RestartPolicy) {
        self.in_a_row = if ran_for >= policy.reset_after {
            1
        } else {
            self.in_a_row.saturating_add(1)
        };
        self.times.push_back(now);
        if self.times.len() > REMEMBERED_MAX {
            self.times.pop_front();
        }
    }

    /// Failures of the last [`RECENT`].
    pub(super) fn recent(&self, now: Duration) -> u32 {
        let recent = self
            .times
            .iter()
            .filter(|time| now.saturating_sub(**time) < RECENT);
        u32::try_from(recent.count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session with these properties of the policy.
    fn session(properties: &[(usize, &str)]) -> Session {
        Session {
            properties: properties
                .iter()
                .map(|(key, value)| (KEYS[*key].to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn waiting_grows_to_its_bound() {
        let policy = RestartPolicy {
            jitter: 0.0,
            ..RestartPolicy::default()
        };
        let millis: Vec<u128> = [0, 1, 2, 3, 4, 50, u32::MAX]
            .map(|failures| policy.backoff(failures, "a").as_millis())
            .into();
        assert_eq!(millis, vec![1000, 1000, 1500, 2250, 3375, 60_000, 60_000]);
    }

    #[test]
    fn jitter_spreads_statements_and_stays_within_its_share() {
        let policy = RestartPolicy::default();
        let mut seen = std::collections::BTreeSet::new();
        for statement in 0..100 {
            let wait = policy.backoff(1, &statement.to_string());
            assert!((0.9..=1.1).contains(&wait.as_secs_f64()), "{wait:?}");
            assert_eq!(wait, policy.backoff(1, &statement.to_string()));
            seen.insert(wait);
        }
        assert!(seen.len() > 90, "{} different times", seen.len());
    }

    #[test]
    fn properties_have_flinks_names_and_are_checked() {
        let policy = RestartPolicy::of(&session(&[(0, "200 ms"), (2, "2"), (4, "0")])).unwrap();
        assert_eq!(policy.backoff(3, "x"), Duration::from_millis(800));
        assert_eq!(
            RestartPolicy::of(&session(&[])).unwrap(),
            RestartPolicy::default()
        );
        for (key, wrong) in [(0, "soon"), (0, "1 h"), (2, "0.5"), (4, "2"), (4, "NaN")] {
            let error = RestartPolicy::of(&session(&[(key, wrong)])).unwrap_err();
            assert!(error.message.contains(KEYS[key]), "{error}");
        }
    }

    #[test]
    fn only_a_long_run_resets_the_row_and_only_recent_failures_count() {
        let policy = RestartPolicy::default();
        let mut failures = Failures::default();
        let at = |minutes| Duration::from_mins(minutes);
        failures.add(at(0), Duration::ZERO, &policy);
        failures.add(at(1), at(1), &policy);
        assert_eq!((failures.in_a_row, failures.recent(at(1))), (2, 2));
        assert_eq!(failures.recent(at(10)), 1);
        failures.add(at(70), at(60), &policy);
        assert_eq!((failures.in_a_row, failures.recent(at(70))), (1, 1));
    }
}
