//! Calendar arithmetic, and times as text.
//!
//! Place in the flow: casts and time functions share it. Invariant: the proleptic Gregorian calendar on integers, so that
//! no step loses precision; a TIMESTAMP array holds milliseconds up to precision 3, microseconds up to 6 and nanoseconds above.

use std::fmt::Write;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Time32MillisecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, Time32MillisecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType,
};
use std::sync::Arc;

use super::call::Call;
use super::zone::Zone;
use crate::error::{Error, Result};
use crate::types::NANOSECONDS;

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// Microseconds of a millisecond.
pub(crate) const MICROS: i64 = 1000;

/// Microseconds of a day.
pub(crate) const DAY_US: i64 = DAY_MS * MICROS;

/// Nanoseconds of a microsecond.
const NANOS: i64 = 1000;

/// A point of time, local or not, with all its digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment {
    /// Whole microseconds since the epoch.
    pub(crate) micros: i64,
    /// Nanoseconds of the microsecond, 0 to 999.
    pub(crate) nanos: i64,
}

impl Moment {
    /// Nanoseconds since the epoch.
    pub(crate) fn total_nanos(self) -> i128 {
        i128::from(self.micros) * i128::from(NANOS) + i128::from(self.nanos)
    }

    /// The point so many nanoseconds since the epoch; saturates far outside of Flink's years.
    pub(crate) fn of_nanos(nanos: i128) -> Self {
        let micros = nanos.div_euclid(i128::from(NANOS));
        Self {
            micros: i64::try_from(micros).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }),
            nanos: i64::try_from(nanos.rem_euclid(i128::from(NANOS))).unwrap_or(0),
        }
    }

    /// The same nanoseconds of another microsecond.
    pub(crate) fn at(self, micros: i64) -> Self {
        Self { micros, ..self }
    }
}

impl From<i64> for Moment {
    fn from(micros: i64) -> Self {
        Self { micros, nanos: 0 }
    }
}

/// The precision that holds every digit.
const NANOS_PRECISION: u8 = 9;

/// Year, month (1 to 12) and day of the month.
pub(crate) type Civil = (i64, i64, i64);

/// The date of a day number since the epoch.
///
/// # Source
/// Hinnant's `civil_from_days`.
pub(crate) fn civil(days: i64) -> Civil {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The day number of a date; the month is 1 to 12.
///
/// # Source
/// Hinnant's `days_from_civil`.
pub(crate) fn days((year, month, day): Civil) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Days of a month.
pub(crate) fn month_length(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A day number some months later; the day of the month is cut to the month's length.
pub(crate) fn add_months(day: i64, months: i64) -> i64 {
    let (year, month, dom) = civil(day);
    let total = year * 12 + month - 1 + months;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    days((year, month, dom.min(month_length(year, month))))
}

/// A timestamp some months later; `per_day` is the number of units in a day.
pub(crate) fn add_months_to(value: i64, months: i64, per_day: i64) -> i64 {
    add_months(value.div_euclid(per_day), months)
        .wrapping_mul(per_day)
        .wrapping_add(value.rem_euclid(per_day))
}

/// The value of a TIMESTAMP or `TIMESTAMP_LTZ` array.
///
/// # Errors
/// `Internal` when it is none.
pub(crate) fn moment_at(array: &dyn Array, row: usize) -> Result<Option<Moment>> {
    if array.is_null(row) {
        return Ok(None);
    }
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let millis = array.as_primitive::<TimestampMillisecondType>().value(row);
            Ok(Some(millis.saturating_mul(MICROS).into()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            Ok(Some(micros.into()))
        }
        DataType::Decimal128(..) => {
            let nanos = array.as_primitive::<Decimal128Type>().value(row);
            Ok(Some(Moment::of_nanos(nanos)))
        }
        other => Err(Error::internal(format!("{other} is not a timestamp"))),
    }
}

/// A TIMESTAMP array of a precision; what the precision does not hold is cut.
pub(crate) fn timestamps<T: Into<Moment>>(
    values: impl Iterator<Item = Option<T>>,
    precision: u8,
) -> ArrayRef {
    let values = values.map(|value| value.map(Into::into));
    if precision > 6 {
        let cut = 10_i64.pow(u32::from(9 - precision.min(9)));
        let nanos = values.map(|value: Option<Moment>| {
            value.map(|moment| moment.total_nanos() - i128::from(moment.nanos % cut))
        });
        return Arc::new(
            nanos
                .collect::<Decimal128Array>()
                .with_data_type(NANOSECONDS),
        );
    }
    let cut = 10_i64.pow(u32::from(6 - precision));
    let micros = values.map(|value| {
        value.map(|Moment { micros, .. }| micros.wrapping_sub(micros.rem_euclid(cut)))
    });
    if precision <= 3 {
        let millis = micros.map(|value| value.map(|micros| micros.div_euclid(MICROS)));
        Arc::new(millis.collect::<TimestampMillisecondArray>())
    } else {
        Arc::new(micros.collect::<TimestampMicrosecondArray>())
    }
}

/// A time plus or, when `negative`, minus an interval.
///
/// # Errors
/// `Internal` when the arguments are no time and interval.
pub(crate) fn add_interval(call: &Call<'_>, negative: bool) -> Result<ArrayRef> {
    let sign = if negative { -1 } else { 1 };
    let months = call.value(1)?.array().data_type() == &DataType::Int32;
    let interval = |row: usize| -> Result<Option<i64>> {
        Ok(if months {
            call.primitive::<Int32Type>(1)?.get(row).map(i64::from)
        } else {
            call.primitive::<Int64Type>(1)?.get(row)
        }
        .map(|value| value.wrapping_mul(sign)))
    };
    match call.value(0)?.array().data_type() {
        DataType::Date32 => {
            let dates = call.primitive::<Date32Type>(0)?;
            call.primitives::<Date32Type>(|row| {
                let Some((date, by)) = dates.get(row).map(i64::from).zip(interval(row)?) else {
                    return Ok(None);
                };
                let day = if months {
                    add_months(date, by)
                } else {
                    date.wrapping_add(by / DAY_MS)
                };
                in_range(day).map(Some)
            })
        }
        DataType::Time32(_) => {
            let times = call.primitive::<Time32MillisecondType>(0)?;
            call.primitives::<Time32MillisecondType>(|row| {
                let Some((time, by)) = times.get(row).map(i64::from).zip(interval(row)?) else {
                    return Ok(None);
                };
                // A time of day is the same some months later.
                let by = if months { 0 } else { by };
                in_range(time.wrapping_add(by).rem_euclid(DAY_MS)).map(Some)
            })
        }
        DataType::Timestamp(..) | DataType::Decimal128(..) => {
            add_to_timestamps(call, months, &interval)
        }
        other => Err(Error::internal(format!("{other} plus interval"))),
    }
}

/// Timestamps plus the intervals of their rows, which are months or milliseconds.
fn add_to_timestamps(
    call: &Call<'_>,
    months: bool,
    interval: &dyn Fn(usize) -> Result<Option<i64>>,
) -> Result<ArrayRef> {
    let add = |value: i64, by: i64, per_milli: i64| {
        if months {
            add_months_to(value, by, DAY_MS * per_milli)
        } else {
            value.wrapping_add(by.wrapping_mul(per_milli))
        }
    };
    match call.value(0)?.array().data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let values = call.primitive::<TimestampMillisecondType>(0)?;
            call.primitives::<TimestampMillisecondType>(|row| {
                let sum = values.get(row).zip(interval(row)?);
                Ok(sum.map(|(value, by)| add(value, by, 1)))
            })
        }
        DataType::Timestamp(..) => {
            let values = call.primitive::<TimestampMicrosecondType>(0)?;
            call.primitives::<TimestampMicrosecondType>(|row| {
                let sum = values.get(row).zip(interval(row)?);
                Ok(sum.map(|(value, by)| add(value, by, MICROS)))
            })
        }
        _ => {
            let values = call.primitive::<Decimal128Type>(0)?;
            let sums = (0..call.rows).map(|row| {
                let sum = values.get(row).map(Moment::of_nanos).zip(interval(row)?);
                Ok(sum.map(|(moment, by)| moment.at(add(moment.micros, by, MICROS))))
            });
            let sums: Vec<Option<Moment>> = sums.collect::<Result<_>>()?;
            Ok(timestamps(sums.into_iter(), NANOS_PRECISION))
        }
    }
}

/// A day number or time of day as stored.
///
/// # Errors
/// `Data` when it is out of range.
pub(crate) fn in_range(value: i64) -> Result<i32> {
    i32::try_from(value).map_err(|_| Error::arithmetic("date out of range"))
}

/// Appends `yyyy-MM-dd`.
pub(crate) fn write_date(out: &mut String, day: i64) {
    let (year, month, dom) = civil(day);
    if write!(out, "{year:04}-{month:02}-{dom:02}").is_err() {
        unreachable!("writing to a String does not fail");
    }
}

/// Appends `HH:mm:ss` of milliseconds of the day.
pub(crate) fn write_seconds(out: &mut String, time_ms: i64) {
    let seconds = time_ms / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if write!(out, "{hour:02}:{minute:02}:{second:02}").is_err() {
        unreachable!("writing to a String does not fail");
    }
}

/// The text of TIME: as many digits of the fraction as are not zero, at least one, at most the precision.
pub(crate) fn time_text(time_ms: i64, precision: u8) -> String {
    let mut out = String::with_capacity(12);
    write_seconds(&mut out, time_ms);
    if precision > 0 {
        let digits = format!("{:03}", time_ms % 1000);
        let kept = digits[..usize::from(precision.min(3))].trim_end_matches('0');
        out.push('.');
        out.push_str(if kept.is_empty() { "0" } else { kept });
    }
    out
}

/// The text of TIMESTAMP: the fraction has the digits of the precision.
pub(crate) fn timestamp_text(moment: Moment, precision: u8) -> String {
    let micros = moment.micros;
    let mut out = String::with_capacity(29);
    write_date(&mut out, micros.div_euclid(DAY_US));
    out.push(' ');
    let rest = micros.rem_euclid(DAY_US);
    write_seconds(&mut out, rest / MICROS);
    if precision > 0 {
        let digits = format!("{:06}{:03}", rest % 1_000_000, moment.nanos);
        out.push('.');
        out.push_str(&digits[..usize::from(precision.min(9))]);
    }
    out
}

/// Reads digits only, at most nine.
fn number(text: &str) -> Option<i64> {
    let fits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// The day number of a date that exists in the years 0 to 9999.
pub(crate) fn checked_days((year, month, dom): Civil) -> Option<i64> {
    let exists = (0..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=month_length(year, month)).contains(&dom);
    exists.then(|| days((year, month, dom)))
}

/// Reads a date as CAST does: year, year-month or year-month-day, anything after a blank ignored.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = text.split(' ').next().unwrap_or(text);
    let mut parts = text.splitn(3, '-').map(|part| number(part.trim()));
    let year = parts.next()??;
    let month = parts.next().unwrap_or(Some(1))?;
    let day = parts.next().unwrap_or(Some(1))?;
    checked_days((year, month, day))
}

/// Reads a time as CAST does: hours, then minutes, seconds and a fraction if present; as a time of 1970-01-01.
pub(crate) fn parse_time(text: &str) -> Option<Moment> {
    let (clock, fraction) = match text.trim().split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text.trim(), None),
    };
    let mut parts = clock.splitn(3, ':').map(|part| number(part.trim()));
    let hour = parts.next()??;
    let minute = parts.next().unwrap_or(Some(0))?;
    let second = parts.next();
    if fraction.is_some() && second.is_none() {
        return None;
    }
    let second = second.unwrap_or(Some(0))?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = fraction.map_or(Some(0), parse_fraction)?;
    let seconds = hour * 3600 + minute * 60 + second;
    Some(Moment {
        micros: seconds * 1_000_000 + fraction / NANOS,
        nanos: fraction % NANOS,
    })
}

/// Nanoseconds of a fraction of one to nine digits.
pub(crate) fn parse_fraction(digits: &str) -> Option<i64> {
    number(digits)?;
    format!("{digits:0<9}").parse().ok()
}

/// Reads a timestamp as CAST and `TO_TIMESTAMP` do: `yyyy-M-d`, optionally ` H:m:s[.fraction]`.
pub(crate) fn parse_timestamp(text: &str) -> Option<Moment> {
    let (date, time) = match text.split_once(' ') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.splitn(3, '-');
    let (year, month, dom) = (parts.next()?, parts.next()?, parts.next()?);
    if year.len() != 4 || month.len() > 2 || dom.len() > 2 {
        return None;
    }
    let day = checked_days((number(year)?, number(month)?, number(dom)?))?;
    let time = match time {
        None => Moment::default(),
        Some(time) if time.matches(':').count() == 2 && !time.contains(' ') => parse_time(time)?,
        Some(_) => return None,
    };
    Some(time.at(day * DAY_US + time.micros))
}

/// The local time of an instant.
pub(crate) fn to_local(instant: Moment, zone: &Zone) -> Moment {
    let offset = zone.offset_at(instant.micros.div_euclid(MICROS));
    instant.at(instant.micros.saturating_add(offset * MICROS))
}

/// The instant of a local time.
pub(crate) fn to_instant(local: Moment, zone: &Zone) -> Moment {
    let (millis, rest) = (
        local.micros.div_euclid(MICROS),
        local.micros.rem_euclid(MICROS),
    );
    let millis = zone.to_instant(millis);
    local.at(millis.saturating_mul(MICROS).saturating_add(rest))
}

/// A DATE array.
pub(crate) fn dates(values: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(values.collect::<Date32Array>())
}

/// A TIME array.
pub(crate) fn times(values: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(values.collect::<Time32MillisecondArray>())
}
