//! Units of time.
//!
//! Place in the flow: EXTRACT, FLOOR, CEIL, TIMESTAMPADD and TIMESTAMPDIFF take one as a literal. Invariant: what a unit means is decided
//! here alone.

use super::SECOND_US;
use crate::error::{Error, Result};
use crate::sql::eval::call::Call;
use crate::sql::eval::datetime::{self, DAY_MS, DAY_US, MICROS, Moment};
use crate::sql::expr::{Expr, ExprKind, Literal};

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    /// NANOSECOND.
    Nanosecond,
    /// MICROSECOND.
    Microsecond,
    /// MILLISECOND.
    Millisecond,
    /// SECOND.
    Second,
    /// MINUTE.
    Minute,
    /// HOUR.
    Hour,
    /// DAY.
    Day,
    /// Day of the week from Sunday, 1.
    Dow,
    /// Day of the week from Monday, 1.
    IsoDow,
    /// Day of the year.
    Doy,
    /// WEEK: ISO's in EXTRACT, from Sunday in FLOOR.
    Week,
    /// MONTH.
    Month,
    /// QUARTER.
    Quarter,
    /// YEAR.
    Year,
    /// The year of the ISO week.
    IsoYear,
    /// DECADE.
    Decade,
    /// CENTURY.
    Century,
    /// MILLENNIUM.
    Millennium,
    /// Seconds since 1970.
    Epoch,
}

impl Unit {
    /// The unit of a name, singular or SQL's `SQL_TSI_` form.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("SQL_TSI_").unwrap_or(&name);
        Some(match name {
            "NANOSECOND" => Self::Nanosecond,
            "MICROSECOND" => Self::Microsecond,
            "MILLISECOND" => Self::Millisecond,
            "SECOND" => Self::Second,
            "MINUTE" => Self::Minute,
            "HOUR" => Self::Hour,
            "DAY" => Self::Day,
            "DOW" => Self::Dow,
            "ISODOW" => Self::IsoDow,
            "DOY" => Self::Doy,
            "WEEK" => Self::Week,
            "MONTH" => Self::Month,
            "QUARTER" => Self::Quarter,
            "YEAR" => Self::Year,
            "ISOYEAR" => Self::IsoYear,
            "DECADE" => Self::Decade,
            "CENTURY" => Self::Century,
            "MILLENNIUM" => Self::Millennium,
            "EPOCH" => Self::Epoch,
            _ => return None,
        })
    }

    /// Microseconds, for units of fixed length.
    pub(super) fn micros(self) -> Option<i64> {
        Some(match self {
            Self::Microsecond => 1,
            Self::Millisecond => MICROS,
            Self::Second => SECOND_US,
            Self::Minute => 60 * SECOND_US,
            Self::Hour => 3600 * SECOND_US,
            Self::Day => DAY_US,
            _ => return None,
        })
    }

    /// The part of a local time.
    pub(super) fn extract(self, local: Moment) -> i64 {
        let (day, rest) = (
            local.micros.div_euclid(DAY_US),
            local.micros.rem_euclid(DAY_US),
        );
        let (year, month, dom) = datetime::civil(day);
        let iso_dow = (day + 3).rem_euclid(7) + 1;
        // The Thursday of a week decides its year.
        let thursday = day - iso_dow + 4;
        let iso_year = datetime::civil(thursday).0;
        match self {
            Self::Nanosecond => rest % SECOND_US * 1000 + local.nanos,
            Self::Microsecond => rest % SECOND_US,
            Self::Millisecond => rest % SECOND_US / MICROS,
            Self::Second => rest / SECOND_US % 60,
            Self::Minute => rest / SECOND_US / 60 % 60,
            Self::Hour => rest / SECOND_US / 3600,
            Self::Day => dom,
            Self::Dow => iso_dow % 7 + 1,
            Self::IsoDow => iso_dow,
            Self::Doy => day - datetime::days((year, 1, 1)) + 1,
            Self::Week => (thursday - datetime::days((iso_year, 1, 1))) / 7 + 1,
            Self::Month => month,
            Self::Quarter => (month + 2) / 3,
            Self::Year => year,
            Self::IsoYear => iso_year,
            Self::Decade => year.div_euclid(10),
            Self::Century => (year + 99).div_euclid(100),
            Self::Millennium => (year + 999).div_euclid(1000),
            Self::Epoch => local.micros.div_euclid(SECOND_US),
        }
    }

    /// The part of an interval of months; `None` for units that it does not have.
    pub(super) fn of_months(self, months: i64) -> Option<i64> {
        Some(match self {
            Self::Month => months % 12,
            Self::Quarter => months % 12 / 3 + 1,
            Self::Year => months / 12,
            Self::Decade => months / 120,
            Self::Century => months / 1_200,
            Self::Millennium => months / 12_000,
            _ => return None,
        })
    }

    /// The part of an interval of milliseconds; `None` for units that it does not have.
    pub(super) fn of_millis(self, millis: i64) -> Option<i64> {
        Some(match self {
            Self::Nanosecond => millis % 1_000 * 1_000_000,
            Self::Microsecond => millis % 1_000 * 1_000,
            Self::Millisecond => millis % 1_000,
            Self::Second => millis % 60_000 / 1_000,
            Self::Minute => millis % 3_600_000 / 60_000,
            Self::Hour => millis % DAY_MS / 3_600_000,
            Self::Day => millis / DAY_MS,
            Self::Epoch => millis / 1_000,
            _ => return None,
        })
    }

    /// The beginning of the unit that holds local microseconds; `None` for units that have no beginning.
    pub(super) fn floor(self, local_us: i64) -> Option<i64> {
        if let Some(length) = self.micros() {
            return Some(local_us.wrapping_sub(local_us.rem_euclid(length)));
        }
        let day = local_us.div_euclid(DAY_US);
        let (year, month, _) = datetime::civil(day);
        let start = match self {
            Self::Week => day - (day + 4).rem_euclid(7),
            Self::Month => datetime::days((year, month, 1)),
            Self::Quarter => datetime::days((year, (month - 1) / 3 * 3 + 1, 1)),
            Self::Year => datetime::days((year, 1, 1)),
            Self::Decade => datetime::days((year.div_euclid(10) * 10, 1, 1)),
            Self::Century => datetime::days(((year - 1).div_euclid(100) * 100 + 1, 1, 1)),
            Self::Millennium => datetime::days(((year - 1).div_euclid(1000) * 1000 + 1, 1, 1)),
            _ => return None,
        };
        Some(start.wrapping_mul(DAY_US))
    }

    /// The beginning of the next unit, or the value itself when it is a beginning.
    pub(super) fn ceil(self, local_us: i64) -> Option<i64> {
        // As Flink: whether a longer unit has begun before is decided by days, so that noon of its first day is its beginning.
        let local_us = if self.micros().is_some() {
            local_us
        } else {
            local_us.wrapping_sub(local_us.rem_euclid(DAY_US))
        };
        let start = self.floor(local_us)?;
        if start == local_us {
            return Some(start);
        }
        let later = |months| Some(datetime::add_months_to(start, months, DAY_US));
        match self {
            Self::Week => Some(start.wrapping_add(7 * DAY_US)),
            Self::Month => later(1),
            Self::Quarter => later(3),
            Self::Year => later(12),
            Self::Decade => later(120),
            Self::Century => later(1200),
            Self::Millennium => later(12_000),
            _ => Some(start.wrapping_add(self.micros()?)),
        }
    }
}

/// A unit in a literal argument.
pub(super) fn unit_of(arg: Option<&Expr>) -> Option<Unit> {
    match arg.map(|arg| &arg.kind) {
        Some(ExprKind::Literal(Literal::String(name))) => Unit::parse(name),
        _ => None,
    }
}

/// The unit of a call, by the literal among its arguments.
pub(super) fn unit_argument(call: &Call<'_>, i: usize) -> Result<Unit> {
    let name = call.text(i)?.get(0).unwrap_or_default();
    Unit::parse(name).ok_or_else(|| Error::internal(format!("unit {name} of a plan")))
}
