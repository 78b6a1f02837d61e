//! Numbers of JSON as Java's `BigDecimal` prints and compares them.
//!
//! Place in the flow: documents keep numbers as they are written; whoever prints or compares them comes here. Invariant: no
//! digit is lost, whatever the length of a number.

use std::cmp::Ordering;

/// A number of any length: `digits * 10^-scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number {
    /// Below zero.
    negative: bool,
    /// Digits without leading zeros; a single `0` for zero.
    digits: String,
    /// Digits after the point, below zero for zeros before it.
    scale: i64,
}

/// Adjusted exponents from which on a number with a fraction is printed without an exponent.
///
/// # Source
/// Java: `BigDecimal.toString`.
const PLAIN_EXPONENT_MIN: i64 = -6;

impl Number {
    /// Reads a number with optional fraction and exponent; `None` for anything else and for exponents beyond Java's `int`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            None => (text, 0),
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        };
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        i32::try_from(scale).ok()?;
        let significant = digits.trim_start_matches('0');
        let is_zero = significant.is_empty();
        Some(Self {
            negative: negative && !is_zero,
            digits: if is_zero { "0" } else { significant }.to_owned(),
            scale,
        })
    }

    /// The exponent of the first digit.
    fn adjusted(&self) -> i64 {
        i64::try_from(self.digits.len()).unwrap_or(i64::MAX) - 1 - self.scale
    }

    /// Whether the number is zero.
    fn is_zero(&self) -> bool {
        self.digits == "0"
    }

    /// Java's `BigDecimal.toString`.
    pub(crate) fn to_text(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let adjusted = self.adjusted();
        if self.scale == 0 {
            return format!("{sign}{}", self.digits);
        }
        if self.scale > 0 && adjusted >= PLAIN_EXPONENT_MIN {
            let scale = usize::try_from(self.scale).unwrap_or(0);
            let padded = format!("{:0>width$}", self.digits, width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            return format!("{sign}{whole}.{fraction}");
        }
        let (first, rest) = self.digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        format!("{sign}{first}{point}{rest}E{adjusted:+}")
    }

    /// The whole part; `None` beyond 128 bits.
    pub(crate) fn truncated(&self) -> Option<i128> {
        if self.is_zero() || self.adjusted() < 0 {
            return Some(0);
        }
        let length = usize::try_from(self.adjusted()).ok()?.checked_add(1)?;
        // 2^127 has 39 digits.
        if length > 39 {
            return None;
        }
        let kept = self.digits.get(..length).unwrap_or(&self.digits);
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{kept:0<length$}").parse().ok()
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = || {
            let by_exponent = self.adjusted().cmp(&other.adjusted());
            by_exponent.then_with(|| {
                let (a, b) = (self.digits.as_str(), other.digits.as_str());
                a.trim_end_matches('0').cmp(b.trim_end_matches('0'))
            })
        };
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) if other.negative => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, true) if self.negative => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => match (self.negative, other.negative) {
                (false, true) => Ordering::Greater,
                (true, false) => Ordering::Less,
                (false, false) => magnitude(),
                (true, true) => magnitude().reverse(),
            },
        }
    }
}
