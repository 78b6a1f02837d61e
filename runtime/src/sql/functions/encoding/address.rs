//! IPv4 addresses as numbers.
//!
//! Place in the flow: called by the rows of the function table in [`super`]. Invariant: what is no address gives NULL.

use std::net::Ipv4Addr;

use arrow::array::ArrayRef;
use arrow::datatypes::Int64Type;

use crate::error::Result;
use crate::sql::eval::call::Call;

/// The number of an address of one to four parts up to 255: `a.b` is `a.0.0.b`, `a.b.c` is `a.b.0.c`, `a` is itself.
///
/// # Source
/// Flink 2.3: `INET_ATON`, which follows that of `MySQL`; leading zeros do not make octal numbers.
fn number(text: &str) -> Option<i64> {
    let parts: Vec<i64> = text.split('.').map(part).collect::<Option<_>>()?;
    let quad = match parts[..] {
        [d] => [0, 0, 0, d],
        [a, d] => [a, 0, 0, d],
        [a, b, d] => [a, b, 0, d],
        [a, b, c, d] => [a, b, c, d],
        _ => return None,
    };
    Some(quad.iter().fold(0, |number, part| number * 256 + part))
}

/// One part of an address.
fn part(digits: &str) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    digits.bytes().try_fold(0, |value: i64, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        Some(value * 10 + digit).filter(|value| *value <= 255)
    })
}

/// `INET_ATON`.
pub(super) fn to_number(call: &Call<'_>) -> Result<ArrayRef> {
    let s = call.text(0)?;
    call.primitives::<Int64Type>(|i| Ok(s.get(i).and_then(number)))
}

/// `INET_NTOA`.
pub(super) fn to_text(call: &Call<'_>) -> Result<ArrayRef> {
    let n = call.long(0)?;
    call.texts(|i| {
        let bits = n.get(i).and_then(|n| u32::try_from(n).ok());
        Ok(bits.map(|bits| Ipv4Addr::from_bits(bits).to_string()))
    })
}
