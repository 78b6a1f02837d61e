//! The workload in five numbers.
//!
//! Place in the flow: from the command line or the server into [`crate::estimate()`]. Invariant: after [`Workload::validate`] every number
//! is finite and in its range, so that no formula divides by zero.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use weir_model::cfu::CfuPrice;
use weir_model::workload::StatementClass;

use crate::error::{Error, check};

/// Key groups of a statement.
///
/// # Source
/// Flink's smallest `pipeline.max-parallelism` when it is not set.
const KEY_GROUPS: u32 = 128;

/// Most key groups.
///
/// # Source
/// Flink, `KeyGroupRangeAssignment.UPPER_BOUND_MAX_PARALLELISM`: 2^15.
const KEY_GROUPS_MAX: u32 = 1 << 15;

/// Days of a month.
///
/// # Source
/// Convention: 30 days are 720 hours.
const DAYS_PER_MONTH: f64 = 30.0;

/// Largest rate, record and number of keys that are accepted.
///
/// # Source
/// Guess: far above any stream, and far below where floating-point numbers lose whole records.
const NUMBER_MAX: f64 = 1e12;

/// Largest exponent of Zipf's law.
///
/// # Source
/// Guess: at 5 the hottest key has 96 % of all records.
const ZIPF_EXPONENT_MAX: f64 = 5.0;

/// What a statement has to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Input records per second, all sources together, at the peak that must be sustained.
    pub records_per_second: f64,
    /// Bytes of a record, key and value.
    pub record_bytes: f64,
    /// What the statement does.
    pub class: StatementClass,
    /// Distinct keys whose state is held at the same time.
    pub distinct_keys: u64,
    /// How soon results are wanted.
    pub latency_tier: LatencyTier,
    /// Exponent of Zipf's law over the keys; 0 is uniform.
    #[serde(default)]
    pub zipf_exponent: f64,
    /// Partitions of the input, if known.
    #[serde(default)]
    pub partitions: Option<u32>,
    /// Key groups, the upper limit of the parallelism of keyed operators.
    #[serde(default = "key_groups")]
    pub key_groups: u32,
    /// Days per month in which the statement runs, 24 hours each.
    #[serde(default = "days_per_month")]
    pub days_per_month: f64,
    /// Price of a CFU-hour.
    #[serde(default)]
    pub price: CfuPrice,
}

/// Default of [`Workload::key_groups`].
fn key_groups() -> u32 {
    KEY_GROUPS
}

/// Default of [`Workload::days_per_month`].
fn days_per_month() -> f64 {
    DAYS_PER_MONTH
}

impl Workload {
    /// A workload of the five numbers, everything else at its default.
    pub fn new(
        records_per_second: f64,
        record_bytes: f64,
        class: StatementClass,
        distinct_keys: u64,
        latency_tier: LatencyTier,
    ) -> Self {
        Self {
            records_per_second,
            record_bytes,
            class,
            distinct_keys,
            latency_tier,
            zipf_exponent: 0.0,
            partitions: None,
            key_groups: KEY_GROUPS,
            days_per_month: DAYS_PER_MONTH,
            price: CfuPrice::default(),
        }
    }

    /// Refuses numbers that no stream has.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for the first field that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        let rate = self.records_per_second;
        let in_range = rate > 0.0 && rate <= NUMBER_MAX;
        check(
            "records_per_second",
            rate,
            in_range,
            "above 0 and at most 1e12",
        )?;
        let bytes = self.record_bytes;
        let in_range = bytes > 0.0 && bytes <= NUMBER_MAX;
        check("record_bytes", bytes, in_range, "above 0 and at most 1e12")?;
        let keys = self.keys();
        let in_range = (1.0..=NUMBER_MAX).contains(&keys);
        check("distinct_keys", keys, in_range, "between 1 and 1e12")?;
        let exponent = self.zipf_exponent;
        let in_range = (0.0..=ZIPF_EXPONENT_MAX).contains(&exponent);
        check("zipf_exponent", exponent, in_range, "between 0 and 5")?;
        let partitions = f64::from(self.partitions.unwrap_or(1));
        check("partitions", partitions, partitions >= 1.0, "at least 1")?;
        let groups = f64::from(self.key_groups);
        let in_range = (1..=KEY_GROUPS_MAX).contains(&self.key_groups);
        check("key_groups", groups, in_range, "between 1 and 32768")?;
        let days = self.days_per_month;
        let in_range = days > 0.0 && days <= 31.0;
        check("days_per_month", days, in_range, "above 0 and at most 31")
    }

    /// Distinct keys as a number to reckon with.
    #[expect(clippy::cast_precision_loss, reason = "validated to at most 1e12")]
    pub(crate) fn keys(&self) -> f64 {
        self.distinct_keys as f64
    }

    /// Whether records are exchanged by key.
    pub(crate) fn is_keyed(&self) -> bool {
        match self.class {
            StatementClass::Stateless => false,
            StatementClass::WindowAggregate
            | StatementClass::GroupAggregate
            | StatementClass::Rank
            | StatementClass::Join => true,
        }
    }
}

/// How soon results are wanted.
///
/// # Source
/// The latency tiers of the published sizing guides for Flink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LatencyTier {
    /// Below half a second.
    #[serde(rename = "sub-500ms")]
    Sub500Ms,
    /// Below one second.
    #[serde(rename = "sub-1s")]
    Sub1S,
    /// Below five seconds.
    #[serde(rename = "sub-5s")]
    Sub5S,
    /// No target.
    #[serde(rename = "relaxed")]
    Relaxed,
}

impl LatencyTier {
    /// Every tier, the strictest first.
    pub const ALL: [Self; 4] = [Self::Sub500Ms, Self::Sub1S, Self::Sub5S, Self::Relaxed];

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sub500Ms => "sub-500ms",
            Self::Sub1S => "sub-1s",
            Self::Sub5S => "sub-5s",
            Self::Relaxed => "relaxed",
        }
    }

    /// The target, or none.
    ///
    /// # Units
    /// Seconds.
    pub fn seconds_max(self) -> Option<f64> {
        match self {
            Self::Sub500Ms => Some(0.5),
            Self::Sub1S => Some(1.0),
            Self::Sub5S => Some(5.0),
            Self::Relaxed => None,
        }
    }
}

impl fmt::Display for LatencyTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for LatencyTier {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.as_str() == name)
            .ok_or_else(|| Error::UnknownLatencyTier { name: name.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spoils one field.
    type Fault = fn(&mut Workload);

    fn workload() -> Workload {
        let class = StatementClass::Stateless;
        Workload::new(1e4, 512.0, class, 1, LatencyTier::Relaxed)
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        assert_eq!(workload().validate(), Ok(()));
        let faults: [(&str, Fault); 8] = [
            ("records_per_second", |w| w.records_per_second = 0.0),
            ("records_per_second", |w| w.records_per_second = f64::NAN),
            ("record_bytes", |w| w.record_bytes = f64::INFINITY),
            ("distinct_keys", |w| w.distinct_keys = 0),
            ("zipf_exponent", |w| w.zipf_exponent = -0.1),
            ("partitions", |w| w.partitions = Some(0)),
            ("key_groups", |w| w.key_groups = 32_769),
            ("days_per_month", |w| w.days_per_month = 32.0),
        ];
        for (field, spoil) in faults {
            let mut spoilt = workload();
            spoil(&mut spoilt);
            let message = spoilt.validate().unwrap_err().to_string();
            assert!(message.starts_with(field), "{message}");
        }
    }

    #[test]
    fn five_numbers_are_enough() {
        let text = r#"{"records_per_second": 10000, "record_bytes": 512, "class": "stateless", "distinct_keys": 1, "latency_tier": "relaxed"}"#;
        let read: Workload = serde_json::from_str(text).unwrap();
        assert_eq!(read, workload());
    }

    #[test]
    fn tiers_have_one_name() {
        for tier in LatencyTier::ALL {
            assert_eq!(tier.to_string().parse(), Ok(tier));
            assert_eq!(serde_json::to_value(tier).unwrap(), tier.as_str());
        }
        assert!("fast".parse::<LatencyTier>().is_err());
    }
}
