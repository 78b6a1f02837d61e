//! Values of messages that stand for a decimal, a date or a time.
//!
//! Place in the flow: `read` hands it the bytes of such a message. Invariant: parts that make no value are a fault, never another value.
//!
//! # Source
//! `google/protobuf/timestamp.proto`, `google/type/date.proto`, `google/type/timeofday.proto`, `confluent/type/decimal.proto`.

use chrono::{Datelike, NaiveDate};

use crate::format::column::{Data, Fault};
use crate::format::decimal;
use crate::format::proto::plan::Value;
use crate::format::proto::scalar::misplaced;
use crate::format::proto::wire::{Input, Raw, malformed};
use crate::format::rows::out_of_range;

/// Parts of a message that stands for a value, by number from 1.
#[derive(Debug, Default)]
struct Parts<'a> {
    /// Numbers.
    numbers: [i64; 4],
    /// Bytes of the first.
    bytes: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Reads a message; the last of a field counts.
    fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut parts = Self::default();
        let mut input = Input::new(bytes);
        while !input.is_empty() {
            match input.field()? {
                (number @ 1..=4, Raw::Varint(bits)) => {
                    let place = usize::try_from(number - 1).unwrap_or_default();
                    parts.numbers[place] = bits.cast_signed();
                }
                (1, Raw::Bytes(bytes)) => parts.bytes = bytes,
                _ => {}
            }
        }
        Ok(parts)
    }
}

/// What a field of type `int32` holds of a number.
fn int32(number: i64) -> i64 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    i32::from_le_bytes([a, b, c, d]).into()
}

/// Appends the value of a message, without the note that it is there.
pub(super) fn append_known(value: &Value, data: &mut Data, bytes: &[u8]) -> Result<(), Fault> {
    let parts = Parts::read(bytes)?;
    match (value, data) {
        (Value::Date, Data::Date(values)) => values.push(date_of(&parts)?),
        (Value::TimeOfDay, Data::Time(values)) => values.push(time_of(&parts)?),
        (Value::Timestamp, data) => append_timestamp(&parts, data)?,
        (
            Value::Decimal,
            Data::Decimal {
                values,
                precision,
                scale,
            },
        ) => values.push(decimal_of(&parts, (*precision, *scale))?),
        _ => return Err(misplaced()),
    }
    Ok(())
}

/// Days since 1970-01-01.
fn date_of(parts: &Parts<'_>) -> Result<i32, Fault> {
    /// Days from the first of chrono to 1970-01-01.
    const EPOCH: i32 = 719_163;
    let [year, month, day, _] = parts.numbers.map(int32);
    let date = i32::try_from(year)
        .ok()
        .filter(|year| (1..=9999).contains(year))
        .zip(u32::try_from(month).ok().zip(u32::try_from(day).ok()))
        .and_then(|(year, (month, day))| NaiveDate::from_ymd_opt(year, month, day));
    date.map(|date| date.num_days_from_ce() - EPOCH)
        .ok_or_else(|| Fault::mismatch(format!("there is no date {year}-{month}-{day}")))
}

/// Milliseconds of the day.
fn time_of(parts: &Parts<'_>) -> Result<i32, Fault> {
    let [hours, minutes, seconds, nanos] = parts.numbers.map(int32);
    let is_time = (0..24).contains(&hours)
        && (0..60).contains(&minutes)
        && (0..60).contains(&seconds)
        && (0..NANOS).contains(&nanos);
    // Each is of 32 bits, so this does not overflow.
    let millis = ((hours * 60 + minutes) * 60 + seconds) * 1000 + nanos / 1_000_000;
    let millis = i32::try_from(millis).ok().filter(|_| is_time);
    millis.ok_or_else(|| {
        Fault::mismatch(format!(
            "there is no time of the day {hours}:{minutes}:{seconds} and {nanos} nanoseconds"
        ))
    })
}

/// Nanoseconds of a second.
const NANOS: i64 = 1_000_000_000;

/// Appends seconds and nanoseconds since the epoch.
fn append_timestamp(parts: &Parts<'_>, data: &mut Data) -> Result<(), Fault> {
    let [seconds, nanos, ..] = parts.numbers;
    let nanos = int32(nanos);
    if !(0..NANOS).contains(&nanos) {
        return Err(Fault::mismatch(format!(
            "{nanos} are no nanoseconds of a timestamp"
        )));
    }
    match data {
        Data::Timestamp { values, micros, .. } => {
            let units = if *micros { 1_000_000 } else { 1000 };
            let value = seconds
                .checked_mul(units)
                .and_then(|value| value.checked_add(nanos / (NANOS / units)));
            values.push(
                value.ok_or_else(|| out_of_range(format!("{seconds} seconds"), "a TIMESTAMP"))?,
            );
        }
        Data::Nanos { values, .. } => {
            values.push(i128::from(seconds) * i128::from(NANOS) + i128::from(nanos));
        }
        _ => return Err(misplaced()),
    }
    Ok(())
}

/// The digits of a decimal with another precision and scale.
fn decimal_of(parts: &Parts<'_>, (precision, wanted): (u8, u8)) -> Result<i128, Fault> {
    let [_, _, scale, _] = parts.numbers.map(int32);
    if parts.bytes.is_empty() {
        return Err(malformed("a decimal of no bytes"));
    }
    let value = match usize::try_from(scale) {
        Ok(scale) => {
            decimal::unscaled(parts.bytes).and_then(|value| decimal::rescale(value, scale, wanted))
        }
        // A negative scale stands for zeros before the point.
        Err(_) => u8::try_from(scale.unsigned_abs())
            .ok()
            .and_then(|zeros| zeros.checked_add(wanted))
            .and_then(|digits| decimal::rescale(decimal::unscaled(parts.bytes)?, 0, digits)),
    };
    decimal::fitting(value, (precision, wanted))
}
