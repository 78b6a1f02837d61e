//! Decimals as bytes.
//!
//! Place in the flow: decoders and encoders of Avro and Protobuf. Invariant: bytes are big-endian in two's complement, written in as few as hold the number
//! and read in any number of them.

use crate::format::column::Fault;
use crate::format::rows::out_of_range;

/// The number of big-endian bytes in two's complement; `None` when it has more than 128 bits, or none.
pub(crate) fn unscaled(bytes: &[u8]) -> Option<i128> {
    /// Bytes of the storage of decimals.
    const WIDTH: usize = 16;
    let sign = if bytes.first()? & 0x80 == 0 { 0 } else { 0xFF };
    let kept = &bytes[bytes.len().saturating_sub(WIDTH)..];
    let dropped = &bytes[..bytes.len() - kept.len()];
    let is_extension = dropped.iter().all(|byte| *byte == sign)
        && (dropped.is_empty() || (kept[0] & 0x80 == 0) == (sign == 0));
    let mut wide = [sign; WIDTH];
    wide[WIDTH - kept.len()..].copy_from_slice(kept);
    is_extension.then(|| i128::from_be_bytes(wide))
}

/// A number of one scale in another, halves away from zero; `None` when it gets too large.
pub(crate) fn rescale(value: i128, from: usize, to: u8) -> Option<i128> {
    let to = usize::from(to);
    let digits = u32::try_from(from.abs_diff(to)).ok();
    let power = digits.and_then(|digits| 10_i128.checked_pow(digits));
    if from <= to {
        return match power {
            Some(power) => value.checked_mul(power),
            None => (value == 0).then_some(0),
        };
    }
    // What is divided by more than any number is nothing.
    let Some(power) = power else {
        return Some(0);
    };
    let (quotient, rest) = (value / power, value % power);
    let is_up = rest.unsigned_abs() >= power.unsigned_abs().div_ceil(2);
    Some(if is_up {
        quotient + value.signum()
    } else {
        quotient
    })
}

/// The number, if it has no more digits than a column of that precision and scale.
pub(crate) fn fitting(value: Option<i128>, (precision, scale): (u8, u8)) -> Result<i128, Fault> {
    let limit = 10_u128.checked_pow(u32::from(precision));
    let fits = |value: &i128| limit.is_none_or(|limit| value.unsigned_abs() < limit);
    value
        .filter(fits)
        .ok_or_else(|| out_of_range("the value", &format!("DECIMAL({precision}, {scale})")))
}

/// The bytes of an unscaled number, as few as hold it; `wide` is where they are.
///
/// # Source
/// The form of Java's `BigInteger.toByteArray`.
pub(crate) fn minimal(wide: &[u8; 16]) -> &[u8] {
    let value = i128::from_be_bytes(*wide);
    let bits = 128 - if value < 0 { !value } else { value }.leading_zeros();
    // One bit more, for the sign.
    let count = usize::try_from(bits / 8 + 1).unwrap_or(wide.len());
    &wide[wide.len() - count..]
}
