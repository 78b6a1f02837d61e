//! Which window a row belongs to.
//!
//! Place in the flow: both window operators ask it. Invariant: window starts and ends are local to the time zone when the rowtime
//! is `TIMESTAMP_LTZ`, while watermarks are instants; this is the only place that converts between the two.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use chrono::{MappedLocalTime, Offset, TimeZone};
use chrono_tz::Tz;

use crate::error::{Error, Result};
use crate::plan::{Window, WindowKind};
use crate::types::{FlinkType, TypeKind};

/// Assigns rows to windows.
#[derive(Debug)]
pub struct Assigner {
    /// The rowtime column.
    time: usize,
    /// Length, milliseconds.
    size_ms: i64,
    /// Shift, milliseconds.
    offset_ms: i64,
    /// The zone of window times; absent when the rowtime has none or the zone is UTC.
    zone: Option<Tz>,
}

impl Assigner {
    /// An assigner of a plan's window over a rowtime column of this type.
    ///
    /// # Errors
    /// `Invalid` for a size that is not positive or an unknown time zone; `Unsupported` for a fixed offset as time zone.
    pub fn new(window: &Window, rowtime: &FlinkType) -> Result<Self> {
        let WindowKind::Tumble { size_ms, offset_ms } = window.kind else {
            return Err(Error::unsupported("windows other than TUMBLE"));
        };
        if size_ms <= 0 {
            return Err(Error::validation(format!(
                "the window size must be positive, not {size_ms} ms"
            )));
        }
        let has_zone = matches!(rowtime.kind, TypeKind::TimestampLtz(_));
        let zone = if has_zone && window.time_zone != "UTC" {
            let zone = window.time_zone.parse::<Tz>();
            Some(zone.map_err(|_| {
                Error::unsupported(format!("windows in time zone {}", window.time_zone))
            })?)
        } else {
            None
        };
        Ok(Self {
            time: window.time,
            size_ms,
            offset_ms,
            zone,
        })
    }

    /// The window ends of rows, local milliseconds, exclusive.
    ///
    /// # Errors
    /// `Data` when a row's rowtime is NULL, which no window can hold.
    pub fn ends(&self, columns: &[ArrayRef]) -> Result<Vec<i64>> {
        let column = &columns[self.time];
        if column.null_count() > 0 {
            return Err(Error::deserialization(
                "the rowtime column holds a NULL, which no window can take; filter such rows out",
            ));
        }
        let (longs, per_ms) = match column.data_type() {
            DataType::Timestamp(TimeUnit::Millisecond, _) => (column.to_data(), 1),
            DataType::Timestamp(TimeUnit::Microsecond, _) => (column.to_data(), 1000),
            other => return Err(Error::internal(format!("a rowtime of type {other}"))),
        };
        let longs = longs.into_builder().data_type(DataType::Int64).build()?;
        let longs = arrow::array::make_array(longs);
        let values = longs.as_primitive::<Int64Type>().values();
        Ok(values
            .iter()
            .map(|value| self.end_of(self.to_local(value.div_euclid(per_ms))))
            .collect())
    }

    /// The end of the window that holds a local time.
    fn end_of(&self, local_ms: i64) -> i64 {
        let into = (local_ms - self.offset_ms).rem_euclid(self.size_ms);
        local_ms - into + self.size_ms
    }

    /// The inclusive start of the window with this end.
    pub fn start_of(&self, end_ms: i64) -> i64 {
        end_ms - self.size_ms
    }

    /// The watermark that closes the window with this end: no later row can belong to it.
    pub fn closing_watermark(&self, end_ms: i64) -> i64 {
        self.to_instant(end_ms - 1)
    }

    /// The value of a `window_time` column: an instant for `TIMESTAMP_LTZ`, else local time.
    pub fn window_time(&self, end_ms: i64) -> i64 {
        self.to_instant(end_ms - 1)
    }

    /// Epoch milliseconds to local milliseconds.
    fn to_local(&self, instant_ms: i64) -> i64 {
        let Some(zone) = self.zone else {
            return instant_ms;
        };
        let Some(instant) = chrono::DateTime::from_timestamp_millis(instant_ms) else {
            return instant_ms;
        };
        let offset = zone
            .offset_from_utc_datetime(&instant.naive_utc())
            .fix()
            .local_minus_utc();
        instant_ms + i64::from(offset) * 1000
    }

    /// Local milliseconds to epoch milliseconds. A local time that occurs twice is the later instant, so that a window stays open
    /// until its last row can have come; one that is skipped is moved forward by the gap.
    fn to_instant(&self, local_ms: i64) -> i64 {
        let Some(zone) = self.zone else {
            return local_ms;
        };
        let Some(local) = chrono::DateTime::from_timestamp_millis(local_ms) else {
            return local_ms;
        };
        let local = local.naive_utc();
        let offset_s = match zone.offset_from_local_datetime(&local) {
            MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(_, offset) => {
                offset.fix().local_minus_utc()
            }
            MappedLocalTime::None => {
                let before = local - chrono::TimeDelta::hours(3);
                zone.offset_from_utc_datetime(&before)
                    .fix()
                    .local_minus_utc()
            }
        };
        local_ms - i64::from(offset_s) * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An assigner over column 0.
    fn assigner(size_ms: i64, offset_ms: i64, zone: &str) -> Assigner {
        let window = Window {
            time: 0,
            kind: WindowKind::Tumble { size_ms, offset_ms },
            time_zone: zone.to_owned(),
            partition: Vec::new(),
            domain: crate::plan::TimeDomain::Event,
            attached: None,
        };
        Assigner::new(&window, &TypeKind::TimestampLtz(3).not_null()).unwrap()
    }

    #[test]
    fn windows_include_their_start_and_exclude_their_end() {
        let tumble = assigner(10, 0, "UTC");
        assert_eq!(tumble.end_of(0), 10);
        assert_eq!(tumble.end_of(9), 10);
        assert_eq!(tumble.end_of(10), 20);
        assert_eq!(tumble.end_of(-1), 0);
        assert_eq!(assigner(10, 3, "UTC").end_of(12), 13);
        assert_eq!(assigner(10, -3, "UTC").end_of(7), 17);
    }

    #[test]
    fn days_of_a_zone_begin_at_its_midnight() {
        let day = assigner(86_400_000, 0, "Asia/Shanghai");
        let instant = 1_700_000_000_000;
        let end = day.end_of(day.to_local(instant));
        assert_eq!(end.rem_euclid(86_400_000), 0);
        assert_eq!(day.closing_watermark(end), end - 1 - 8 * 3_600_000);
    }
}
