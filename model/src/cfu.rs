//! CFU arithmetic: slot time to CFU-minutes to money.
//!
//! Place in the flow: the ledger stores slot-milliseconds; usage, exporter, estimator and billing convert them here and
//! nowhere else. Invariant: integers until printing, so that sums are exact.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// Milliseconds in a minute.
pub const MINUTE_MS: u64 = 60_000;

/// Compute in CFU-milliseconds.
///
/// # Units
/// One CFU held for one minute is 60,000.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
pub struct CfuMillis(pub u64);

impl CfuMillis {
    /// What a statement is billed for one UTC minute in which it was RUNNING or DEGRADED: the slot time it held, at least
    /// one CFU-minute.
    ///
    /// # Source
    /// Confluent's billing page: each statement consumes a minimum of 1 CFU-minute; design section 4, "Ledger".
    pub fn billed_minute(slot_ms: u64) -> Self {
        Self(slot_ms.max(MINUTE_MS))
    }

    /// So many whole CFU-minutes.
    pub fn from_minutes(minutes: u64) -> Self {
        Self(minutes * MINUTE_MS)
    }

    /// CFU-minutes.
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 CFU-milliseconds are 285,000 CFU-years"
    )]
    pub fn minutes(self) -> f64 {
        self.0 as f64 / MINUTE_MS as f64
    }

    /// CFU-hours, the unit of the invoice.
    pub fn hours(self) -> f64 {
        self.minutes() / 60.0
    }
}

impl Add for CfuMillis {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sum for CfuMillis {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}

/// The price of a CFU-hour, in millionths of a dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CfuPrice {
    /// Micro-dollars per CFU-hour.
    pub micro_dollars_per_hour: u64,
}

impl Default for CfuPrice {
    /// Confluent's list price of US$0.21 per CFU-hour (billing page, September 2025).
    fn default() -> Self {
        Self {
            micro_dollars_per_hour: 210_000,
        }
    }
}

impl CfuPrice {
    /// The cost of an amount, in dollars.
    pub fn cost(self, amount: CfuMillis) -> Dollars {
        let nano = u128::from(amount.0) * u128::from(self.micro_dollars_per_hour) * 1000
            / u128::from(60 * MINUTE_MS);
        Dollars {
            nano: u64::try_from(nano).unwrap_or(u64::MAX),
        }
    }
}

/// US dollars in billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Dollars {
    /// Nano-dollars.
    pub nano: u64,
}

impl Dollars {
    /// As a floating-point number, for JSON and metrics.
    #[expect(
        clippy::cast_precision_loss,
        reason = "amounts stay far below 2^53 nano-dollars times any rounding seen"
    )]
    pub fn as_f64(self) -> f64 {
        self.nano as f64 / 1e9
    }
}

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${:.4}", self.as_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_profile_of_the_billing_notes() {
        let minutes = [(1, 10), (3, 30), (2, 10), (1, 10)];
        let total: CfuMillis = minutes
            .iter()
            .flat_map(|(cfus, minutes)| {
                (0..*minutes).map(move |_| CfuMillis::billed_minute(cfus * MINUTE_MS))
            })
            .sum();
        assert_eq!(total, CfuMillis::from_minutes(130));
    }

    #[test]
    fn official_price_examples() {
        let price = CfuPrice::default();
        assert_eq!(
            price.cost(CfuMillis::from_minutes(5)),
            Dollars { nano: 17_500_000 }
        );
        assert_eq!(
            price.cost(CfuMillis::from_minutes(309)),
            Dollars {
                nano: 1_081_500_000
            }
        );
        assert_eq!(
            price.cost(CfuMillis::from_minutes(309)).to_string(),
            "$1.0815"
        );
    }

    #[test]
    fn a_running_minute_is_billed_at_least_one_cfu_minute() {
        assert_eq!(CfuMillis::billed_minute(10), CfuMillis::from_minutes(1));
        assert_eq!(
            CfuMillis::billed_minute(90_000).minutes().to_bits(),
            1.5f64.to_bits()
        );
    }
}
