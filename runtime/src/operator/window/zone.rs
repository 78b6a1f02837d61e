//! The time zone of windows.
//!
//! Place in the flow: every operator of windows has one. Invariant: starts and ends of windows are local to the zone, while watermarks
//! and clocks are instants; this is the only place that converts between the two.

use chrono::{DateTime, MappedLocalTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::error::{Error, Result};
use crate::types::{FlinkType, TypeKind};

/// Local time of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    /// The zone; absent when times have none or it is UTC.
    zone: Option<Tz>,
}

/// How far before a local time that does not exist its zone's offset is looked up: more than any clock has been put forward, and less
/// than there is between two changes (the tz database).
const BEFORE_GAP: TimeDelta = TimeDelta::hours(3);

/// Milliseconds of a second, within which no zone changes its offset (the tz database has whole seconds).
const SECOND_MS: i64 = 1000;

impl Zone {
    /// Local times are instants.
    pub const UTC: Self = Self { zone: None };

    /// The zone of windows of a plan; none is UTC.
    ///
    /// # Errors
    /// `Unsupported` for a fixed offset or an unknown zone.
    pub fn new(name: &str) -> Result<Self> {
        if name.is_empty() || name == "UTC" {
            return Ok(Self::UTC);
        }
        let zone = name.parse::<Tz>();
        let zone = zone.map_err(|_| {
            Error::unsupported(format!("windows in time zone {name}: name a region"))
        })?;
        Ok(Self { zone: Some(zone) })
    }

    /// The zone of windows over a time attribute of this type.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(name: &str, time: &FlinkType) -> Result<Self> {
        match time.kind {
            TypeKind::TimestampLtz(_) => Self::new(name),
            _ => Ok(Self::UTC),
        }
    }

    /// Whether local times are instants.
    pub fn is_utc(self) -> bool {
        self.zone.is_none()
    }

    /// Epoch milliseconds to local milliseconds.
    pub fn to_local(self, instant_ms: i64) -> i64 {
        instant_ms + self.offset_ms(instant_ms)
    }

    /// Epoch milliseconds to local milliseconds, of many.
    pub fn all_to_local(self, instants_ms: &mut [i64]) {
        if self.is_utc() {
            return;
        }
        let mut known = None;
        for instant_ms in instants_ms {
            let second = instant_ms.div_euclid(SECOND_MS);
            let offset_ms = match known {
                Some((known_second, offset_ms)) if known_second == second => offset_ms,
                _ => self.offset_ms(*instant_ms),
            };
            known = Some((second, offset_ms));
            *instant_ms += offset_ms;
        }
    }

    /// What local time is ahead of an instant.
    fn offset_ms(self, instant_ms: i64) -> i64 {
        let instant = DateTime::from_timestamp_millis(instant_ms);
        let Some((zone, instant)) = self.zone.zip(instant) else {
            return 0;
        };
        let offset = zone.offset_from_utc_datetime(&instant.naive_utc()).fix();
        i64::from(offset.local_minus_utc()) * SECOND_MS
    }

    /// Local milliseconds to epoch milliseconds. A local time that occurs twice is the later instant, so that a window stays open
    /// until its last row can have come; one that is skipped is moved forward by the gap.
    pub fn to_instant(self, local_ms: i64) -> i64 {
        let local = DateTime::from_timestamp_millis(local_ms);
        let Some((zone, local)) = self.zone.zip(local) else {
            return local_ms;
        };
        let local = local.naive_utc();
        let offset_s = match zone.offset_from_local_datetime(&local) {
            MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(_, offset) => {
                offset.fix().local_minus_utc()
            }
            MappedLocalTime::None => {
                let before = zone.offset_from_utc_datetime(&(local - BEFORE_GAP));
                before.fix().local_minus_utc()
            }
        };
        local_ms - i64::from(offset_s) * SECOND_MS
    }

    /// The watermark that closes the window with this end: no later row can belong to it.
    pub fn closing_watermark(self, end_ms: i64) -> i64 {
        self.to_instant(end_ms.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_that_occur_twice_or_never_close_late() {
        let berlin = Zone::new("Europe/Berlin").unwrap();
        // 2024-10-27 02:30 occurs at 00:30 and at 01:30 UTC.
        let twice = 1_729_996_200_000;
        assert_eq!(berlin.to_instant(twice), twice - 3_600_000);
        // 2024-03-31 02:30 is skipped.
        let never = 1_711_852_200_000;
        assert_eq!(berlin.to_instant(never), never - 3_600_000);
        let mut times = [twice - 7_200_000, twice - 3_600_000, twice];
        let expected = times.map(|time| berlin.to_local(time));
        berlin.all_to_local(&mut times);
        assert_eq!(times, expected);
        assert_eq!(expected[0], expected[1]);
    }
}
