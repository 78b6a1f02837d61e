//! Exact arithmetic on unscaled 128-bit decimals.
//!
//! Place in the flow: kernels and casts call it per value. Invariant: results equal those of Java's `BigDecimal` rounded
//! `HALF_UP` to the result scale; what does not fit the result precision is `None`, which SQL sees as NULL.

use std::cmp::Ordering;

use arrow::datatypes::i256;

use crate::sql::typing::{MAX_DECIMAL_PRECISION, PrecisionScale};

/// Powers of ten that an `i128` holds.
///
/// # Source
/// `10^38` is the largest power of ten below `2^127`.
const POWERS: [i128; 39] = {
    let mut powers = [1_i128; 39];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// Divisors below this keep a remainder so far from one half that rounding twice equals rounding once.
///
/// # Source
/// A fraction with such a divisor differs from 1/2 by at least `5e-19`, and 38 digits keep 20 more than a quotient below
/// the same limit has.
const NARROW: i128 = POWERS[18];

/// `10^exponent`, for exponents up to 38.
pub(crate) fn power_of_ten(exponent: u8) -> i128 {
    POWERS[usize::from(exponent.min(MAX_DECIMAL_PRECISION))]
}

/// `10^exponent` in 256 bits, for exponents up to 76.
fn wide_power(exponent: u8) -> i256 {
    let half = exponent / 2;
    let low = i256::from_i128(power_of_ten(half));
    low.wrapping_mul(i256::from_i128(power_of_ten(exponent - half)))
}

/// The value, if it has at most `precision` digits.
pub(crate) fn fit(value: i128, precision: u8) -> Option<i128> {
    (value.unsigned_abs() < power_of_ten(precision).unsigned_abs()).then_some(value)
}

/// `numerator / denominator`, rounded `HALF_UP`; the denominator is positive.
fn divide_half_up(numerator: i128, denominator: i128) -> i128 {
    let (quotient, remainder) = (numerator / denominator, numerator % denominator);
    if remainder.unsigned_abs() >= denominator.unsigned_abs().div_ceil(2) {
        quotient + numerator.signum()
    } else {
        quotient
    }
}

/// As [`divide_half_up`], in 256 bits.
fn wide_half_up(numerator: i256, denominator: i256) -> i256 {
    let quotient = numerator.wrapping_div(denominator);
    let remainder = numerator.wrapping_rem(denominator).wrapping_abs();
    let rest = denominator.wrapping_abs().wrapping_sub(remainder);
    if remainder < rest {
        return quotient;
    }
    if numerator.is_negative() == denominator.is_negative() {
        quotient.wrapping_add(i256::ONE)
    } else {
        quotient.wrapping_sub(i256::ONE)
    }
}

/// The value at another scale, rounded `HALF_UP`; `None` when it does not fit `precision`.
pub(crate) fn rescale(value: i128, from: u8, to: PrecisionScale) -> Option<i128> {
    let (precision, scale) = to;
    let rescaled = match scale.cmp(&from) {
        Ordering::Equal => value,
        Ordering::Greater => value.checked_mul(power_of_ten(scale - from))?,
        Ordering::Less => divide_half_up(value, power_of_ten(from - scale)),
    };
    fit(rescaled, precision)
}

/// A 256-bit value at another scale.
fn wide_rescale(value: i256, from: u8, to: PrecisionScale) -> Option<i128> {
    let (precision, scale) = to;
    let rescaled = if scale >= from {
        value.checked_mul(wide_power(scale - from))?
    } else {
        wide_half_up(value, wide_power(from - scale))
    };
    fit(rescaled.to_i128()?, precision)
}

/// Compares two decimals of any scales.
pub(crate) fn compare(a: i128, a_scale: u8, b: i128, b_scale: u8) -> Ordering {
    let scale = a_scale.max(b_scale);
    let (up_a, up_b) = (power_of_ten(scale - a_scale), power_of_ten(scale - b_scale));
    if let (Some(x), Some(y)) = (a.checked_mul(up_a), b.checked_mul(up_b)) {
        return x.cmp(&y);
    }
    let wide = |value, up| i256::from_i128(value).wrapping_mul(i256::from_i128(up));
    wide(a, up_a).cmp(&wide(b, up_b))
}

/// A decimal number: unscaled value and scale.
pub(crate) type Number = (i128, u8);

/// `a + b`, or `a - b` when `b` was negated.
pub(crate) fn add(a: Number, b: Number, to: PrecisionScale) -> Option<i128> {
    let scale = a.1.max(b.1);
    let (up_a, up_b) = (power_of_ten(scale - a.1), power_of_ten(scale - b.1));
    let narrow =
        a.0.checked_mul(up_a)
            .zip(b.0.checked_mul(up_b))
            .and_then(|(x, y)| x.checked_add(y));
    if let Some(sum) = narrow {
        return rescale(sum, scale, to);
    }
    let wide = |value, up| i256::from_i128(value).wrapping_mul(i256::from_i128(up));
    wide_rescale(wide(a.0, up_a).wrapping_add(wide(b.0, up_b)), scale, to)
}

/// `a * b`.
pub(crate) fn multiply(a: Number, b: Number, to: PrecisionScale) -> Option<i128> {
    let scale = a.1 + b.1;
    if let Some(product) = a.0.checked_mul(b.0)
        && scale <= MAX_DECIMAL_PRECISION + to.1
    {
        return rescale(product, scale, to);
    }
    let product = i256::from_i128(a.0).wrapping_mul(i256::from_i128(b.0));
    wide_rescale(product, scale, to)
}

/// `a / b` for `b` not zero: rounded to 38 significant digits, then to the result scale, as Flink does.
pub(crate) fn divide(a: Number, b: Number, to: PrecisionScale) -> Option<i128> {
    if a.0 == 0 {
        return Some(0);
    }
    let divisor = b.0.unsigned_abs();
    let exponent = i32::from(to.1) + i32::from(b.1) - i32::from(a.1);
    if divisor < NARROW.unsigned_abs()
        && let Ok(exponent) = u8::try_from(exponent)
        && exponent <= MAX_DECIMAL_PRECISION
        && let Some(numerator) = (a.0 * b.0.signum()).checked_mul(power_of_ten(exponent))
    {
        let quotient = divide_half_up(numerator, b.0.abs());
        if quotient.unsigned_abs() < NARROW.unsigned_abs() {
            return fit(quotient, to.0);
        }
    }
    divide_wide(a, b, to)
}

/// The general case of [`divide`].
fn divide_wide(a: Number, b: Number, to: PrecisionScale) -> Option<i128> {
    // The numerator gets so many digits that the quotient has 38 or 39.
    let shift = MAX_DECIMAL_PRECISION + digits(b.0) - digits(a.0);
    let numerator = i256::from_i128(a.0).wrapping_mul(wide_power(shift));
    let denominator = i256::from_i128(b.0);
    let limit = i256::from_i128(POWERS[38]);
    let truncated = numerator.wrapping_div(denominator).wrapping_abs();
    let (quotient, scale) = if truncated >= limit {
        let ten = denominator.wrapping_mul(i256::from_i128(10));
        (wide_half_up(numerator, ten), i32::from(shift) - 1)
    } else {
        (wide_half_up(numerator, denominator), i32::from(shift))
    };
    let scale = scale + i32::from(a.1) - i32::from(b.1);
    let drop = scale - i32::from(to.1);
    match u8::try_from(drop) {
        Ok(drop) if drop <= 2 * MAX_DECIMAL_PRECISION => {
            fit(wide_half_up(quotient, wide_power(drop)).to_i128()?, to.0)
        }
        Ok(_) => Some(0),
        Err(_) => {
            let up = u8::try_from(-drop).ok().filter(|up| *up <= 38)?;
            fit(quotient.checked_mul(wide_power(up))?.to_i128()?, to.0)
        }
    }
}

/// `a % b` for `b` not zero, with the sign of `a`.
pub(crate) fn remainder(a: Number, b: Number, to: PrecisionScale) -> Option<i128> {
    let scale = a.1.max(b.1);
    let wide = |(value, from): Number| {
        i256::from_i128(value).wrapping_mul(i256::from_i128(power_of_ten(scale - from)))
    };
    wide_rescale(wide(a).wrapping_rem(wide(b)), scale, to)
}

/// Decimal digits of a value, at least 1.
fn digits(value: i128) -> u8 {
    let magnitude = value.unsigned_abs();
    let count = POWERS
        .iter()
        .take_while(|power| power.unsigned_abs() <= magnitude)
        .count();
    u8::try_from(count.max(1)).unwrap_or(MAX_DECIMAL_PRECISION + 1)
}

/// The plain text of a decimal: all digits of the scale, no exponent.
pub(crate) fn to_text(value: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

/// Reads a number as Java's `BigDecimal` does; `Ok(None)` when it does not fit the type, `Err` when it is no number.
pub(crate) fn parse(text: &str, to: PrecisionScale) -> Result<Option<i128>, NotANumber> {
    let (negative, body) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| NotANumber)?),
        None => (body, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || whole.len() + fraction.len() == 0 {
        return Err(NotANumber);
    }
    let fraction_digits = i64::try_from(fraction.len()).map_err(|_| NotANumber)?;
    // Digits of the mantissa that stand at or before the last place of the result.
    let kept = i64::from(to.1) + i64::from(exponent) - fraction_digits
        + i64::try_from(whole.len() + fraction.len()).map_err(|_| NotANumber)?;
    let mut value: i128 = 0;
    let mut digits = whole.bytes().chain(fraction.bytes());
    let mut place: i64 = 0;
    while place < kept {
        let digit = match digits.next() {
            Some(byte) => i128::from(byte - b'0'),
            None if value == 0 => break,
            None => 0,
        };
        let next = value.checked_mul(10).and_then(|v| v.checked_add(digit));
        match next {
            Some(next) => value = next,
            None => return Ok(None),
        }
        place += 1;
    }
    if place == kept && kept >= 0 && digits.next().is_some_and(|byte| byte >= b'5') {
        value += 1;
    }
    Ok(fit(if negative { -value } else { value }, to.0))
}

/// A text that is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotANumber;
