//! JSON values that look as their column expects.
//!
//! Place in the flow: `decoder` tries it for every value. Invariant: what is appended is what `convert` would append; what it does not
//! know is left to `convert`, which has the last word.

use crate::format::column::{Bytes, Column, Data};
use crate::format::json::JsonOptions;
use crate::format::json::{convert, scan};
use crate::format::text::{self, TimestampFormat};

/// Appends a value if it looks as the column expects; the place behind it, or `None` with the column possibly changed.
#[inline]
pub(super) fn append(
    column: &mut Column,
    record: &[u8],
    at: usize,
    options: &JsonOptions,
) -> Option<usize> {
    let format = options.timestamp_format;
    let end = match &mut column.data {
        Data::Int64(values) => {
            let (value, end) = integer(record, at)?;
            values.push(value);
            end
        }
        Data::Int32(values) => {
            let (value, end) = integer(record, at)?;
            values.push(i32::try_from(value).ok()?);
            end
        }
        Data::Utf8(values) => append_text(values, record, at)?,
        Data::Timestamp { values, micros, .. } if format == TimestampFormat::Epoch => {
            let (value, end) = integer(record, at)?;
            values.push(if *micros {
                text::to_micros(value, false)?
            } else {
                value
            });
            end
        }
        Data::Timestamp {
            values,
            micros,
            local,
        } => {
            let (value, end) = timestamp(record, at, format, *local)?;
            values.push(if *micros {
                value
            } else {
                value.div_euclid(1000)
            });
            end
        }
        _ => return append_other(column, record, at, options),
    };
    column.valid();
    Some(end)
}

/// As [`append`], of types that are rarer or take longer anyway; apart, so that the common ones stay in registers.
#[inline(never)]
fn append_other(
    column: &mut Column,
    record: &[u8],
    at: usize,
    options: &JsonOptions,
) -> Option<usize> {
    match &mut column.data {
        Data::Decimal {
            values,
            precision,
            scale,
        } if matches!(record.get(at), Some(b'-' | b'0'..=b'9')) => {
            let end = scan::skip_number(record, at).ok()?;
            let text = std::str::from_utf8(&record[at..end]).ok()?;
            values.push(text::parse_decimal(text, *precision, *scale).ok()?);
            column.valid();
            Some(end)
        }
        _ => {
            let end = scan::skip_value(record, at, 1).ok()?;
            convert::append(column, record, at, options).ok()?;
            Some(end)
        }
    }
}

/// Appends a string; the place behind it.
#[inline]
fn append_text(values: &mut Bytes, record: &[u8], at: usize) -> Option<usize> {
    if record.get(at) != Some(&b'"') {
        return None;
    }
    let end = scan::plain_end(record, at + 1);
    match record.get(end)? {
        b'"' => {
            values.push_part(record, at + 1..end);
            Some(end + 1)
        }
        b'\\' => {
            let end = scan::unescape(record, at, &mut values.bytes).ok()?;
            values.close();
            Some(end)
        }
        _ => None,
    }
}

/// A timestamp in a string, in microseconds since the epoch, and the place behind it.
#[inline]
fn timestamp(
    record: &[u8],
    at: usize,
    format: TimestampFormat,
    local: bool,
) -> Option<(i64, usize)> {
    /// Length of a timestamp with milliseconds, which most have.
    const MILLIS_LENGTH: usize = 23;
    if record.get(at) != Some(&b'"') {
        return None;
    }
    let likely_end = at + 1 + MILLIS_LENGTH + usize::from(local);
    let end = if record.get(likely_end) == Some(&b'"') {
        // Whatever is before it, a text with a quote in it is no timestamp.
        likely_end
    } else {
        scan::plain_end(record, at + 1)
    };
    if record.get(end) != Some(&b'"') {
        return None;
    }
    let value = text::parse_timestamp(&record[at + 1..end], format, local)?;
    Some((value, end + 1))
}

/// Skips a value that is not asked for; the place behind it.
#[inline]
pub(super) fn skip(record: &[u8], at: usize) -> Option<usize> {
    if record.get(at) == Some(&b'"') {
        let end = scan::plain_end(record, at + 1);
        if record.get(end) == Some(&b'"') {
            return Some(end + 1);
        }
    }
    scan::skip_value(record, at, 1).ok()
}

/// An integer of at most 18 digits and the place behind it.
///
/// # Source
/// Three multiplications for eight digits: "Quickly parsing eight digits", Lemire 2022, after Johnny Lee.
#[inline]
fn integer(record: &[u8], at: usize) -> Option<(i64, usize)> {
    /// One in each byte.
    const ONES: u64 = 0x0101_0101_0101_0101;
    /// What makes the highest bit of a byte that is more than nine.
    const OVER_NINE: u64 = ONES * (0x80 - 10);
    let bytes = record.get(at..)?;
    let negative = *bytes.first()? == b'-';
    let bytes = &bytes[usize::from(negative)..];
    let start = at + usize::from(negative);
    let signed = |value: i64| if negative { -value } else { value };
    if let Some(chunk) = bytes.first_chunk() {
        let word = u64::from_le_bytes(*chunk) ^ (ONES * u64::from(b'0'));
        // A carry changes only bytes behind the first that is no digit.
        let others = (word.wrapping_add(OVER_NINE) | word) & (ONES * 0x80);
        let bits = others.trailing_zeros() & !7;
        // One to seven digits, the first no zero unless it is the only one.
        if bits == 8 || ((16..64).contains(&bits) && word & 0xff != 0) {
            // The digits move to the end, as if zeros were written before them.
            let word = word << (64 - bits);
            let pairs = word.wrapping_mul(10).wrapping_add(word >> 8);
            let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
            let high = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
            let value = low.wrapping_add(high) >> 32;
            return Some((signed(value.cast_signed()), start + bits as usize / 8));
        }
    }
    let (digits, value) = long_integer(bytes)?;
    Some((signed(value), start + digits))
}

/// How many digits an integer has, at most 18, and its number without a sign.
fn long_integer(bytes: &[u8]) -> Option<(usize, i64)> {
    /// Digits that cannot overflow 64 bits.
    const DIGITS_MAX: usize = 18;
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    let digits = digits.take(DIGITS_MAX + 1).count();
    // A point or exponent behind the digits is no separator, so the record is then read exactly.
    if digits == 0 || digits > DIGITS_MAX || (digits > 1 && bytes[0] == b'0') {
        return None;
    }
    let add = |value: i64, byte: &u8| value * 10 + i64::from(byte - b'0');
    Some((digits, bytes[..digits].iter().fold(0, add)))
}
