//! The session time zone.
//!
//! Place in the flow: conversions between local times and instants ask here. Invariant: gaps and overlaps are resolved as
//! `java.time` does: in a gap the time moves forward by the gap, in an overlap the earlier instant wins.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

use crate::error::{Error, Result};
use crate::time::EpochMillis;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// A fixed offset east of UTC, in milliseconds.
    Fixed(i64),
    /// A zone of the TZDB.
    Named(Tz),
}

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

impl Zone {
    /// Parses a TZDB name or an offset such as `GMT+03:00`, `UTC+3` or `+03:00`.
    ///
    /// # Errors
    /// `Invalid` when there is no such zone.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let rest = name
            .strip_prefix("GMT")
            .or_else(|| name.strip_prefix("UTC"))
            .unwrap_or(name);
        if rest.is_empty() || rest == "Z" {
            return Ok(Self::Fixed(0));
        }
        if rest.starts_with(['+', '-'])
            && let Some(offset) = parse_offset(rest)
        {
            return Ok(Self::Fixed(offset));
        }
        name.parse().map(Self::Named).map_err(|_| {
            Error::option(format!(
                "unknown time zone \"{name}\": it must be a TZDB name or an offset such as GMT+03:00"
            ))
        })
    }

    /// The offset east of UTC at an instant, in milliseconds.
    pub(crate) fn offset_at(self, instant_ms: EpochMillis) -> i64 {
        match self {
            Self::Fixed(offset) => offset,
            Self::Named(tz) => DateTime::from_timestamp_millis(instant_ms).map_or(0, |utc| {
                let offset = tz.offset_from_utc_datetime(&utc.naive_utc());
                i64::from(offset.fix().local_minus_utc()) * 1000
            }),
        }
    }

    /// Local milliseconds of an instant.
    pub(crate) fn to_local(self, instant_ms: EpochMillis) -> i64 {
        instant_ms.saturating_add(self.offset_at(instant_ms))
    }

    /// The instant of local milliseconds.
    pub(crate) fn to_instant(self, local_ms: i64) -> EpochMillis {
        // The offset that held a day before is the one before the nearest transition, if there is any in between.
        let before = self.offset_at(local_ms.saturating_sub(DAY_MS));
        let after = self.offset_at(local_ms.saturating_add(DAY_MS));
        let with_before = local_ms.saturating_sub(before);
        if before == after || self.offset_at(with_before) == before {
            return with_before;
        }
        let with_after = local_ms.saturating_sub(after);
        if self.offset_at(with_after) == after {
            with_after
        } else {
            with_before
        }
    }
}

/// `+3`, `+03`, `+03:00`, `-0330` in milliseconds.
fn parse_offset(text: &str) -> Option<i64> {
    let (sign, body) = match text.split_at_checked(1)? {
        ("+", body) => (1, body),
        ("-", body) => (-1, body),
        _ => return None,
    };
    let (hours, minutes) = match body.split_once(':') {
        Some(parts) => parts,
        None if body.len() == 4 => body.split_at_checked(2)?,
        None => (body, "0"),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3_600_000 + minutes * 60_000))
}
