//! Values as text, the way Flink's text formats read and write them.
//!
//! Place in the flow: JSON and CSV share it, in both directions. Invariant: what is written here reads back to the same value.

use std::io::Write;

use crate::format::column::{Column, Data, Fault};
use crate::sql::eval::datetime::{Moment, checked_days, civil};
use crate::sql::eval::decimal;

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// How dates and times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampFormat {
    /// `2024-01-01 00:00:00.001`; instants with a `Z` behind.
    #[default]
    Sql,
    /// `2024-01-01T00:00:00.001`; instants with a `Z` behind.
    Iso8601,
    /// Numbers: days, milliseconds of the day, milliseconds since the epoch.
    ///
    /// # Source
    /// The JSON Schema mapping of Confluent (`org.apache.kafka.connect.data.Date`, `.Time`, `.Timestamp`).
    Epoch,
}

/// Takes off what Java's `trim` takes off.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// A short form of a text for a message.
pub(crate) fn excerpt(text: &str) -> String {
    /// Characters of a value that a message shows: guess, unmeasured.
    const CHARACTERS_MAX: usize = 40;
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        let head: String = text.chars().take(CHARACTERS_MAX).collect();
        format!("\"{head}...\"")
    } else {
        format!("\"{text}\"")
    }
}

/// A text that is not of the type.
fn not_a(text: &str, what: &str) -> Fault {
    Fault::mismatch(format!("{} is not {what}", excerpt(text)))
}

/// Reads a number of floating point as Java's `parseDouble` does, except hexadecimal ones and those out of range.
pub(crate) fn parse_double(text: &str) -> Option<f64> {
    let (text, is_finite) = float_text(text)?;
    let value: f64 = text.parse().ok()?;
    (!is_finite || value.is_finite()).then_some(value)
}

/// As [`parse_double`], in 32 bits.
pub(crate) fn parse_float(text: &str) -> Option<f32> {
    let (text, is_finite) = float_text(text)?;
    let value: f32 = text.parse().ok()?;
    (!is_finite || value.is_finite()).then_some(value)
}

/// The part of a number that Rust reads as Java would, and whether it stands for a finite number.
fn float_text(text: &str) -> Option<(&str, bool)> {
    let text = trim(text);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "NaN" || unsigned == "Infinity" {
        return Some((text, false));
    }
    let text = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    is_plain.then_some((text, true))
}

/// Reads an exact decimal, rounding `HALF_UP`.
pub(crate) fn parse_decimal(text: &str, precision: u8, scale: u8) -> Result<i128, Fault> {
    if let Some(value) = short_decimal(text.as_bytes(), precision, scale) {
        return Ok(value);
    }
    match decimal::parse(text, (precision, scale)) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(Fault::mismatch(format!(
            "{} does not fit DECIMAL({precision}, {scale})",
            excerpt(text)
        ))),
        Err(_) => Err(not_a(text, "a number")),
    }
}

/// Reads `[-]digits[.digits]` of at most 18 digits and no more of them after the point than the scale; nothing else.
fn short_decimal(text: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some(_) | None => (false, text),
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut value: i64 = 0;
    let mut count = 0;
    let mut point = None;
    for byte in digits {
        match byte {
            b'0'..=b'9' if count < 18 => {
                value = value * 10 + i64::from(byte - b'0');
                count += 1;
            }
            b'.' if point.is_none() => point = Some(count),
            _ => return None,
        }
    }
    let fraction = u8::try_from(count - point.unwrap_or(count)).ok()?;
    if count == 0 || fraction > scale {
        return None;
    }
    let unscaled = i128::from(value).checked_mul(decimal::power_of_ten(scale - fraction))?;
    decimal::fit(if negative { -unscaled } else { unscaled }, precision)
}

/// Where eight bytes have digits and where something else.
struct Form {
    /// Zeros for digits.
    text: u64,
    /// What takes a byte that does not fit to its highest bit, once `text` is taken off.
    over: u64,
}

impl Form {
    /// The form of a text in which zeros stand for digits.
    const fn new(text: [u8; 8]) -> Self {
        let mut over = [0; 8];
        let mut at = 0;
        while at < 8 {
            // Digits are at most nine, other bytes equal.
            over[at] = if text[at] == b'0' { 0x7f - 9 } else { 0x7f };
            at += 1;
        }
        Self {
            text: u64::from_le_bytes(text),
            over: u64::from_le_bytes(over),
        }
    }

    /// The numbers that two digits each stand for, beginning at every byte; `None` for bytes of another form.
    #[inline]
    fn pairs(&self, bytes: [u8; 8]) -> Option<[u8; 8]> {
        /// The highest bit of each byte.
        const HIGH: u64 = 0x8080_8080_8080_8080;
        let digits = u64::from_le_bytes(bytes) ^ self.text;
        if (digits.wrapping_add(self.over) | digits) & HIGH != 0 {
            return None;
        }
        let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
        Some(pairs.to_le_bytes())
    }
}

/// A time of the day in whole seconds.
const CLOCK: Form = Form::new(*b"00:00:00");

/// The beginning of a date.
const YEAR_MONTH: Form = Form::new(*b"0000-00-");

/// The end of a date.
const DATE_END: Form = Form::new(*b"00-00-00");

/// Reads `yyyy-MM-dd`; days since the epoch.
#[inline]
pub(crate) fn parse_date(text: &[u8]) -> Option<i32> {
    let text: &[u8; 10] = text.try_into().ok()?;
    let [century, _, year, _, _, month, ..] = YEAR_MONTH.pairs(*text.first_chunk()?)?;
    let [.., day, _] = DATE_END.pairs(*text.last_chunk()?)?;
    let year = i64::from(century) * 100 + i64::from(year);
    let date = (year, i64::from(month), i64::from(day));
    i32::try_from(checked_days(date)?).ok()
}

/// Reads `HH:mm:ss` with a fraction of up to nine digits; microseconds of the day, further digits cut.
#[inline]
pub(crate) fn parse_time(text: &[u8]) -> Option<i64> {
    /// What a digit of a microsecond counts, by its place behind the point.
    const WEIGHTS: [i64; 9] = [100_000, 10_000, 1000, 100, 10, 1, 0, 0, 0];
    let (clock, rest) = text.split_first_chunk()?;
    let [hour, _, _, minute, _, _, second, _] = CLOCK.pairs(*clock)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut micros = 0;
    if let Some((point, fraction)) = rest.split_first() {
        if *point != b'.' || fraction.len() > WEIGHTS.len() {
            return None;
        }
        for (byte, weight) in fraction.iter().zip(WEIGHTS) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            micros += i64::from(digit) * weight;
        }
    }
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some(seconds * 1_000_000 + micros)
}

/// Reads date and time with a separator between them and, for instants, a `Z` behind; microseconds since the epoch.
#[inline]
pub(crate) fn parse_timestamp(text: &[u8], format: TimestampFormat, local: bool) -> Option<i64> {
    let text = if local {
        text.strip_suffix(b"Z")?
    } else {
        text
    };
    let separator = match format {
        TimestampFormat::Sql => b' ',
        TimestampFormat::Iso8601 => b'T',
        TimestampFormat::Epoch => return None,
    };
    if text.len() < 16 || text[10] != separator {
        return None;
    }
    let day = parse_date(&text[..10])?;
    // ISO 8601 allows a time without seconds.
    let micros = if format == TimestampFormat::Iso8601 && text.len() == 16 {
        let mut whole = *b"00:00:00";
        whole[..5].copy_from_slice(&text[11..]);
        parse_time(&whole)?
    } else {
        parse_time(&text[11..])?
    };
    Some(i64::from(day) * DAY_US + micros)
}

/// Nanoseconds of the microsecond in the fraction of a timestamp that [`parse_timestamp`] reads.
fn sub_micros(text: &[u8]) -> i64 {
    let Some(point) = memchr::memchr(b'.', text) else {
        return 0;
    };
    let fraction = text[point + 1..].iter();
    let fraction = fraction.take_while(|byte| byte.is_ascii_digit());
    let kept = fraction.chain(std::iter::repeat(&b'0')).skip(6).take(3);
    kept.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}

/// Appends a value given as text, with Java's leniency.
///
/// # Errors
/// `TypeMismatch` when the text is not a value of the column's type. Columns of ARRAY, MAP and ROW are refused.
pub(crate) fn append(
    column: &mut Column,
    text: &str,
    format: TimestampFormat,
) -> Result<(), Fault> {
    match &mut column.data {
        Data::Boolean(values) => values.append(trim(text).eq_ignore_ascii_case("true")),
        Data::Int8(values) => values.push(parse_integer(text, "a TINYINT")?),
        Data::Int16(values) => values.push(parse_integer(text, "a SMALLINT")?),
        Data::Int32(values) => values.push(parse_integer(text, "an INT")?),
        Data::Int64(values) => values.push(parse_integer(text, "a BIGINT")?),
        Data::Float32(values) => {
            values.push(parse_float(text).ok_or_else(|| not_a(text, "a FLOAT"))?);
        }
        Data::Float64(values) => {
            values.push(parse_double(text).ok_or_else(|| not_a(text, "a DOUBLE"))?);
        }
        Data::Decimal {
            values,
            precision,
            scale,
        } => values.push(parse_decimal(trim(text), *precision, *scale)?),
        Data::Date(values) => values.push(
            parse_date(text.as_bytes()).ok_or_else(|| not_a(text, "a date like 2024-12-31"))?,
        ),
        Data::Time(values) => {
            let micros = parse_time(text.as_bytes())
                .ok_or_else(|| not_a(text, "a time like 23:59:59.999"))?;
            values.push(i32::try_from(micros / 1000).unwrap_or_default());
        }
        Data::Timestamp {
            values,
            micros,
            local,
        } => {
            let value = parse_timestamp(text.as_bytes(), format, *local)
                .ok_or_else(|| not_a(text, timestamp_example(format, *local)))?;
            values.push(if *micros {
                value
            } else {
                value.div_euclid(1000)
            });
        }
        Data::Nanos { values, local } => {
            let micros = parse_timestamp(text.as_bytes(), format, *local)
                .ok_or_else(|| not_a(text, timestamp_example(format, *local)))?;
            values.push(i128::from(micros) * 1000 + i128::from(sub_micros(text.as_bytes())));
        }
        Data::Utf8(values) => values.push(text.as_bytes()),
        Data::Binary(values) => {
            base64::Engine::decode_vec(
                &base64::engine::general_purpose::STANDARD,
                text,
                &mut values.bytes,
            )
            .map_err(|_| not_a(text, "base64"))?;
            values.close();
        }
        Data::List { .. } | Data::Map { .. } | Data::Row { .. } => {
            return Err(not_a(text, "an array, map or row"));
        }
    }
    column.valid();
    Ok(())
}

/// What a timestamp should look like.
fn timestamp_example(format: TimestampFormat, local: bool) -> &'static str {
    match (format, local) {
        (TimestampFormat::Sql, false) => "a timestamp like 2024-12-31 23:59:59.999",
        (TimestampFormat::Sql, true) => "a timestamp like 2024-12-31 23:59:59.999Z",
        (TimestampFormat::Iso8601, false) => "a timestamp like 2024-12-31T23:59:59.999",
        (TimestampFormat::Iso8601, true) => "a timestamp like 2024-12-31T23:59:59.999Z",
        (TimestampFormat::Epoch, _) => "a number of milliseconds",
    }
}

/// Reads an integer as Java does.
fn parse_integer<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Fault> {
    trim(text).parse().map_err(|_| not_a(text, what))
}

/// Appends an integer.
pub(crate) fn write_integer(out: &mut Vec<u8>, value: i64) {
    let mut buffer = [0_u8; 20];
    let mut at = buffer.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    out.extend_from_slice(&buffer[at..]);
}

/// Appends a number with at least `width` digits.
fn write_padded(out: &mut Vec<u8>, value: i64, width: usize) {
    let start = out.len();
    write_integer(out, value);
    let written = out.len() - start;
    if written < width {
        out.splice(start..start, std::iter::repeat_n(b'0', width - written));
    }
}

/// Appends two digits.
fn write_two(out: &mut Vec<u8>, value: i64) {
    let value = u8::try_from(value).unwrap_or_default();
    out.extend_from_slice(&[b'0' + value / 10 % 10, b'0' + value % 10]);
}

/// Appends `yyyy-MM-dd`.
pub(crate) fn write_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil(days);
    if (0..=9999).contains(&year) {
        write_two(out, year / 100);
        write_two(out, year % 100);
    } else {
        // As `ISO_LOCAL_DATE`: years past four digits carry a sign.
        out.push(if year < 0 { b'-' } else { b'+' });
        write_padded(out, year.abs(), 4);
    }
    out.push(b'-');
    write_two(out, month);
    out.push(b'-');
    write_two(out, day);
}

/// Appends `HH:mm:ss` and as much of the fraction as is not zero.
pub(crate) fn write_time(out: &mut Vec<u8>, micros: i64) {
    let seconds = micros / 1_000_000;
    write_two(out, seconds / 3600);
    out.push(b':');
    write_two(out, seconds / 60 % 60);
    out.push(b':');
    write_two(out, seconds % 60);
    let fraction = micros % 1_000_000;
    if fraction != 0 {
        out.push(b'.');
        write_padded(out, fraction, 6);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Appends a timestamp in a text form.
pub(crate) fn write_timestamp(
    out: &mut Vec<u8>,
    micros: i64,
    format: TimestampFormat,
    local: bool,
) {
    write_date(out, micros.div_euclid(DAY_US));
    out.push(match format {
        TimestampFormat::Iso8601 => b'T',
        TimestampFormat::Sql | TimestampFormat::Epoch => b' ',
    });
    write_time(out, micros.rem_euclid(DAY_US));
    if local {
        out.push(b'Z');
    }
}

/// As [`write_timestamp`], of nanoseconds since the epoch.
pub(crate) fn write_nanos(out: &mut Vec<u8>, nanos: i128, format: TimestampFormat, local: bool) {
    let moment = Moment::of_nanos(nanos);
    let fraction = moment.micros.rem_euclid(1_000_000);
    write_timestamp(out, moment.micros - fraction, format, false);
    let fraction = fraction * 1000 + moment.nanos;
    if fraction != 0 {
        out.push(b'.');
        write_padded(out, fraction, 9);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    if local {
        out.push(b'Z');
    }
}

/// The microseconds of a stored timestamp; `None` past what 64 bits hold.
pub(crate) fn to_micros(value: i64, is_micros: bool) -> Option<i64> {
    if is_micros {
        Some(value)
    } else {
        value.checked_mul(1000)
    }
}

/// Whether a number of milliseconds is a time of the day.
pub(crate) fn is_time_of_day(millis: i64) -> bool {
    (0..DAY_MS).contains(&millis)
}

/// Appends a number as Java's `Double.toString` prints it; NaN and infinities by name.
pub(crate) fn write_double(out: &mut Vec<u8>, value: f64) {
    if let Some(name) = special(value) {
        out.extend_from_slice(name);
    } else {
        let is_plain = value == 0.0 || (1e-3..1e7).contains(&value.abs());
        write_shortest(out, &format_args!("{value:e}"), is_plain);
    }
}

/// Appends a number as Java's `Float.toString` prints it; NaN and infinities by name.
pub(crate) fn write_float(out: &mut Vec<u8>, value: f32) {
    if let Some(name) = special(f64::from(value)) {
        out.extend_from_slice(name);
    } else {
        let is_plain = value == 0.0 || (1e-3..1e7).contains(&value.abs());
        write_shortest(out, &format_args!("{value:e}"), is_plain);
    }
}

/// The name of a number that is none.
fn special(value: f64) -> Option<&'static [u8]> {
    if value.is_nan() {
        Some(b"NaN")
    } else if value == f64::INFINITY {
        Some(b"Infinity")
    } else if value == f64::NEG_INFINITY {
        Some(b"-Infinity")
    } else {
        None
    }
}

/// Appends the shortest digits that read back, in Java's plain or scientific notation.
fn write_shortest(out: &mut Vec<u8>, scientific: &std::fmt::Arguments<'_>, is_plain: bool) {
    /// Room for a sign, 17 digits, a point and an exponent of a 64-bit number.
    const TEXT_BYTES_MAX: usize = 32;
    let mut buffer = [0_u8; TEXT_BYTES_MAX];
    let mut cursor = std::io::Cursor::new(buffer.as_mut_slice());
    let written = match cursor.write_fmt(*scientific) {
        Ok(()) => usize::try_from(cursor.position()).unwrap_or_default(),
        Err(_) => 0,
    };
    let text = std::str::from_utf8(&buffer[..written]).unwrap_or_default();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    out.extend_from_slice(sign.as_bytes());
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !is_plain {
        out.extend_from_slice(first.as_bytes());
        out.push(b'.');
        out.extend_from_slice(if rest.is_empty() {
            b"0"
        } else {
            rest.as_bytes()
        });
        out.push(b'E');
        write_integer(out, i64::from(exponent));
        return;
    }
    let digits = || first.bytes().chain(rest.bytes());
    let count = first.len() + rest.len();
    let whole = usize::try_from(exponent + 1).unwrap_or_default();
    if whole == 0 {
        out.extend_from_slice(b"0.");
        let zeros = usize::try_from(-exponent - 1).unwrap_or_default();
        out.extend(std::iter::repeat_n(b'0', zeros));
        out.extend(digits());
    } else {
        out.extend(digits().chain(std::iter::repeat(b'0')).take(whole));
        out.push(b'.');
        if count > whole {
            out.extend(digits().skip(whole));
        } else {
            out.push(b'0');
        }
    }
}

/// Appends a decimal as Java's `BigDecimal` prints it: plainly, or with an exponent below `1E-6` unless `plain`.
pub(crate) fn write_decimal(out: &mut Vec<u8>, value: i128, scale: u8, plain: bool) {
    if let (Ok(short), true) = (i64::try_from(value), scale == 0) {
        write_integer(out, short);
        return;
    }
    let text = decimal::to_text(value, scale);
    let digits = value.unsigned_abs().to_string();
    let adjusted = i64::try_from(digits.len()).unwrap_or_default() - 1 - i64::from(scale);
    if plain || adjusted >= -6 {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits.as_bytes()[..1]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits.as_bytes()[1..]);
    }
    out.push(b'E');
    write_integer(out, adjusted);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_print_as_java_prints_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (0.001, "0.001"),
            (9.9e-4, "9.9E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (123_456_789.5, "1.234567895E8"),
            (1e-300, "1.0E-300"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(written(|out| write_double(out, value)), text);
        }
        assert_eq!(written(|out| write_float(out, 0.1)), "0.1");
        assert_eq!(written(|out| write_float(out, 3.4e38)), "3.4E38");
    }

    #[test]
    fn decimals_print_as_java_prints_them() {
        assert_eq!(written(|out| write_decimal(out, 150, 2, false)), "1.50");
        assert_eq!(written(|out| write_decimal(out, -5, 3, false)), "-0.005");
        assert_eq!(written(|out| write_decimal(out, 27, 9, false)), "2.7E-8");
        assert_eq!(
            written(|out| write_decimal(out, 27, 9, true)),
            "0.000000027"
        );
        assert_eq!(written(|out| write_decimal(out, 0, 8, false)), "0E-8");
        assert_eq!(
            written(|out| write_decimal(out, i128::from(i64::MIN), 0, false)),
            i64::MIN.to_string()
        );
    }

    #[test]
    fn decimals_round_half_up_and_refuse_what_does_not_fit() {
        assert_eq!(parse_decimal("1.005", 10, 2), Ok(101));
        assert_eq!(parse_decimal("-1.005", 10, 2), Ok(-101));
        assert_eq!(parse_decimal("1e3", 10, 2), Ok(100_000));
        assert_eq!(parse_decimal("99999999.99", 10, 2), Ok(9_999_999_999));
        assert!(parse_decimal("99999999.995", 10, 2).is_err());
        assert!(parse_decimal("1e99999999", 38, 0).is_err());
        assert!(parse_decimal("", 38, 0).is_err());
        assert!(parse_decimal(".", 38, 1).is_err());
        assert!(parse_decimal("-", 38, 1).is_err());
        assert_eq!(
            parse_decimal("99999999999999999999999999999999999999", 38, 0),
            Ok(99_999_999_999_999_999_999_999_999_999_999_999_999)
        );
    }

    #[test]
    fn timestamps_read_in_the_form_asked_for() {
        let sql = |text: &str, local| parse_timestamp(text.as_bytes(), TimestampFormat::Sql, local);
        let iso =
            |text: &str, local| parse_timestamp(text.as_bytes(), TimestampFormat::Iso8601, local);
        assert_eq!(sql("1970-01-02 00:00:00.001", false), Some(DAY_US + 1000));
        assert_eq!(sql("1969-12-31 23:59:59.9999999", false), Some(-1));
        assert_eq!(sql("1970-01-01 00:00:01Z", true), Some(1_000_000));
        assert_eq!(sql("1970-01-01 00:00:01", true), None);
        assert_eq!(sql("1970-01-01T00:00:01", false), None);
        assert_eq!(iso("1970-01-01T00:00:01", false), Some(1_000_000));
        assert_eq!(iso("1970-01-01T00:01", false), Some(60_000_000));
        assert_eq!(sql("1970-01-01 00:01", false), None);
        assert_eq!(sql("2023-02-29 00:00:00", false), None);
        assert_eq!(sql("2024-02-29 24:00:00", false), None);
        assert_eq!(sql("2024-02-29 00:00:00.1234567890", false), None);
        assert_eq!(sql("2024-02-29 00:00:00.1x", false), None);
    }

    proptest::proptest! {
        #[test]
        fn numbers_read_back(double in proptest::num::f64::ANY, float in proptest::num::f32::ANY, long: i64) {
            let text = written(|out| write_double(out, double));
            let read = parse_double(&text).unwrap();
            proptest::prop_assert!(read.to_bits() == double.to_bits() || (read.is_nan() && double.is_nan()));
            let text = written(|out| write_float(out, float));
            let read = parse_float(&text).unwrap();
            proptest::prop_assert!(read.to_bits() == float.to_bits() || (read.is_nan() && float.is_nan()));
            proptest::prop_assert_eq!(written(|out| write_integer(out, long)), long.to_string());
        }

        #[test]
        fn nanoseconds_read_back(seconds in -62_167_219_200_i64..253_402_300_800, nanos in 0_i64..1_000_000_000, local: bool) {
            for format in [TimestampFormat::Sql, TimestampFormat::Iso8601] {
                for nanos in [nanos, nanos / 1000 * 1000, 0] {
                    let whole = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
                    let text = written(|out| write_nanos(out, whole, format, local));
                    let micros = parse_timestamp(text.as_bytes(), format, local).unwrap();
                    let read = i128::from(micros) * 1000 + i128::from(sub_micros(text.as_bytes()));
                    proptest::prop_assert_eq!(read, whole, "{}", text);
                }
            }
        }

        #[test]
        fn timestamps_read_back(micros in -62_167_219_200_000_000_i64..253_402_300_800_000_000, local: bool) {
            for format in [TimestampFormat::Sql, TimestampFormat::Iso8601] {
                let text = written(|out| write_timestamp(out, micros, format, local));
                proptest::prop_assert_eq!(parse_timestamp(text.as_bytes(), format, local), Some(micros));
            }
        }
    }
}
