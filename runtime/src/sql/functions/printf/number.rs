//! Numbers as `java.util.Formatter` prints them.
//!
//! Place in the flow: pieces of a format in [`super`]. Invariant: floating point is rounded half up from its shortest decimal
//! digits.

use super::Specifier;

/// The digits of an integer for `%d`, `%o` and `%x`.
pub(super) fn integer(specifier: &Specifier, value: i64, bits: u32) -> String {
    // Negative numbers print as the bits of their type.
    let unsigned = value.cast_unsigned() & (u64::MAX >> (64 - bits.clamp(1, 64)));
    let prefix = |text: &'static str| if specifier.has('#') { text } else { "" };
    match specifier.conversion {
        'o' => zeros(specifier, prefix("0"), &format!("{unsigned:o}"), ""),
        'x' => zeros(specifier, prefix("0x"), &format!("{unsigned:x}"), ""),
        _ => signed(specifier, value < 0, &value.unsigned_abs().to_string()),
    }
}

/// The digits of a floating-point number for `%f`, `%e` and `%g`.
pub(super) fn real(specifier: &Specifier, value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    let negative = value.is_sign_negative();
    if value.is_infinite() {
        let (before, behind) = signs(specifier, negative);
        return format!("{before}Infinity{behind}");
    }
    let digits = Digits::of(value.abs());
    let precision = specifier.precision.unwrap_or(6);
    let text = match specifier.conversion {
        'e' => digits.scientific(precision),
        'g' => digits.general(precision.max(1)),
        _ => digits.fixed(precision),
    };
    let with_point = specifier.has('#') && !text.contains('.');
    let text = if with_point {
        match text.split_once('e') {
            Some((mantissa, exponent)) => format!("{mantissa}.e{exponent}"),
            None => format!("{text}."),
        }
    } else {
        text
    };
    signed(specifier, negative, &text)
}

/// What stands before and behind a number for its sign.
fn signs(specifier: &Specifier, negative: bool) -> (&'static str, &'static str) {
    match (negative, specifier.has('(')) {
        (true, true) => ("(", ")"),
        (true, false) => ("-", ""),
        (false, _) if specifier.has('+') => ("+", ""),
        (false, _) if specifier.has(' ') => (" ", ""),
        (false, _) => ("", ""),
    }
}

/// A number with sign, groups and zeros.
fn signed(specifier: &Specifier, negative: bool, digits: &str) -> String {
    let (before, behind) = signs(specifier, negative);
    if specifier.has(',') {
        zeros(specifier, before, &grouped(digits), behind)
    } else {
        zeros(specifier, before, digits, behind)
    }
}

/// Fills up to the width with zeros, when the flag says so.
fn zeros(specifier: &Specifier, before: &str, digits: &str, behind: &str) -> String {
    let width = specifier.width.filter(|_| specifier.has('0')).unwrap_or(0);
    let missing = width.saturating_sub(before.len() + digits.len() + behind.len());
    let zeros = "0".repeat(missing);
    format!("{before}{zeros}{digits}{behind}")
}

/// Digits with a comma after every thousand, up to the point.
fn grouped(digits: &str) -> String {
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = digits.split_at(length);
    let mut out = String::with_capacity(digits.len() + length / 3);
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (length - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

/// A number as `0.d1d2d3... * 10^point`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Digits {
    /// Decimal digits, the first is not 0 unless the number is 0.
    digits: Vec<u8>,
    /// Digits before the point.
    point: i32,
}

impl Digits {
    /// The shortest digits that stand for a number.
    fn of(value: f64) -> Self {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = mantissa.bytes().filter(u8::is_ascii_digit);
        Self {
            digits: digits.map(|digit| digit - b'0').collect(),
            point: exponent.parse().unwrap_or(0) + 1,
        }
    }

    /// Whether the number is 0.
    fn is_zero(&self) -> bool {
        self.digits.iter().all(|digit| *digit == 0)
    }

    /// Keeps a number of digits, which may be none or negative; rounds half up.
    fn rounded(mut self, kept: i32) -> Self {
        let Ok(kept) = usize::try_from(kept) else {
            return Self {
                digits: vec![0],
                point: 1,
            };
        };
        let up = self.digits.get(kept).is_some_and(|digit| *digit >= 5);
        self.digits.truncate(kept);
        if !up {
            return self;
        }
        for digit in self.digits.iter_mut().rev() {
            if *digit < 9 {
                *digit += 1;
                return self;
            }
            *digit = 0;
        }
        self.digits.insert(0, 1);
        self.point += 1;
        self
    }

    /// The digit at a place before (0 and less) or behind (1 and more) the point.
    fn at(&self, place: i32) -> char {
        let index = usize::try_from(place + self.point - 1).ok();
        let digit = index.and_then(|index| self.digits.get(index)).copied();
        char::from(b'0' + digit.unwrap_or(0))
    }

    /// With a number of digits behind the point.
    fn fixed(self, precision: usize) -> String {
        let places = i32::try_from(precision).unwrap_or(i32::MAX / 2);
        let kept = self.point.saturating_add(places);
        let rounded = self.rounded(kept);
        let whole = (1 - rounded.point.max(1)..=0).map(|place| rounded.at(place));
        let mut out: String = whole.collect();
        if precision > 0 {
            out.push('.');
            out.extend((1..=places).map(|place| rounded.at(place)));
        }
        out
    }

    /// As `d.ddde+xx`.
    fn scientific(self, precision: usize) -> String {
        let places = i32::try_from(precision).unwrap_or(i32::MAX / 2);
        let zero = self.is_zero();
        let rounded = self.rounded(places.saturating_add(1));
        let exponent = if zero { 0 } else { rounded.point - 1 };
        let digit = |index: usize| {
            let digit = rounded.digits.get(index).copied().unwrap_or(0);
            char::from(b'0' + digit)
        };
        let mut out = digit(0).to_string();
        if precision > 0 {
            out.push('.');
            out.extend((1..=precision).map(digit));
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{out}e{sign}{:02}", exponent.unsigned_abs())
    }

    /// With a number of digits in all: fixed from 0.0001 up to 10 to the power of the precision, else scientific.
    fn general(self, precision: usize) -> String {
        let places = i32::try_from(precision).unwrap_or(i32::MAX / 2);
        if self.is_zero() {
            return self.fixed(precision - 1);
        }
        let point = self.clone().rounded(places).point;
        if (-3..=places).contains(&point) {
            let behind = usize::try_from(places - point).unwrap_or(0);
            self.fixed(behind)
        } else {
            self.scientific(precision - 1)
        }
    }
}
