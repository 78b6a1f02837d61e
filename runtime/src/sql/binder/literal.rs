//! Literals with Flink's types.
//!
//! Place in the flow: expressions ask here for constants. Invariant: a literal's type says exactly what was written: length,
//! digits and fraction.

use chrono::{NaiveDate, NaiveTime, Timelike};
use sqlparser::ast::{DateTimeField, Expr as Ast, Interval, UnaryOperator, Value};

use crate::error::{Error, Result};
use crate::sql::expr::{Expr, Literal};
use crate::types::{FlinkType, TypeKind};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// A literal value.
///
/// # Errors
/// `Invalid` for numbers out of range and for kinds of string that Flink does not have.
pub(super) fn value(value: &Value) -> Result<Expr> {
    Ok(match value {
        Value::Number(text, false) => number(text, false)?,
        Value::SingleQuotedString(text) => {
            let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
            constant(Literal::String(text.clone()), TypeKind::Char(length))
        }
        Value::HexStringLiteral(text) => {
            let bytes = hex(text).ok_or_else(|| {
                Error::syntax("a binary literal is X'..' with pairs of hexadecimal digits")
            })?;
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            constant(Literal::Bytes(bytes), TypeKind::Binary(length))
        }
        Value::Boolean(value) => constant(Literal::Boolean(*value), TypeKind::Boolean),
        Value::Null => Expr::literal(Literal::Null, TypeKind::Null.nullable()),
        other => return Err(Error::syntax(format!("Flink SQL has no literal {other}"))),
    })
}

/// A constant that is not NULL.
pub(super) fn constant(value: Literal, kind: TypeKind) -> Expr {
    Expr::literal(value, kind.not_null())
}

/// A string constant that is no value of the query, such as a unit.
pub(super) fn word(text: &str) -> Expr {
    let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    constant(Literal::String(text.to_owned()), TypeKind::Char(length))
}

/// NULL of a type.
pub(super) fn null(ty: &FlinkType) -> Expr {
    Expr::literal(Literal::Null, ty.with_nullable(true))
}

/// A number: INT when it fits, else BIGINT, else DECIMAL; DECIMAL with a point; DOUBLE with an exponent.
///
/// # Source
/// Calcite: `SqlLiteral.createExactNumeric`, the precision counts all written digits.
pub(super) fn number(text: &str, negative: bool) -> Result<Expr> {
    let out_of_range = || Error::validation(format!("numeric literal {text} is out of range"));
    let sign = if negative { "-" } else { "" };
    if text.contains(['e', 'E']) {
        let value: f64 = format!("{sign}{text}")
            .parse()
            .map_err(|_| out_of_range())?;
        if !value.is_finite() {
            return Err(out_of_range());
        }
        return Ok(constant(Literal::Double(value), TypeKind::Double));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let unscaled: i128 = format!("{sign}{whole}{fraction}")
        .parse()
        .map_err(|_| out_of_range())?;
    if let (true, Ok(value)) = (fraction.is_empty(), i64::try_from(unscaled)) {
        let is_int = i32::try_from(unscaled.unsigned_abs()).is_ok()
            || i32::try_from(value).is_ok() && negative;
        let kind = if is_int {
            TypeKind::Int
        } else {
            TypeKind::BigInt
        };
        return Ok(constant(Literal::Integer(value), kind));
    }
    let precision = u8::try_from(whole.len() + fraction.len())
        .ok()
        .filter(|p| *p <= 38);
    let (Some(precision), Ok(scale)) = (precision, u8::try_from(fraction.len())) else {
        return Err(out_of_range());
    };
    Ok(constant(
        Literal::Decimal(unscaled),
        TypeKind::Decimal { precision, scale },
    ))
}

/// Bytes of pairs of hexadecimal digits.
fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok())
        .collect()
}

/// `DATE '...'`.
pub(super) fn date(text: &str) -> Result<Expr> {
    let date = parse_date(text)
        .ok_or_else(|| Error::syntax(format!("\"{text}\" is not a date like 2024-12-31")))?;
    let days = i32::try_from(days(date)).map_err(|_| Error::syntax("date out of range"))?;
    Ok(constant(Literal::Date(days), TypeKind::Date))
}

/// `TIME '...'`.
pub(super) fn time(text: &str) -> Result<Expr> {
    // Flink keeps milliseconds, whatever the precision.
    let (millis, _, digits) = parse_time(text)
        .ok_or_else(|| Error::syntax(format!("\"{text}\" is not a time like 23:59:59.999")))?;
    let millis = i32::try_from(millis).map_err(|_| Error::syntax("time out of range"))?;
    Ok(constant(Literal::Time(millis), TypeKind::Time(digits)))
}

/// `TIMESTAMP '...'`.
pub(super) fn timestamp(text: &str) -> Result<Expr> {
    let bad = || {
        Error::syntax(format!(
            "\"{text}\" is not a timestamp like 2024-12-31 23:59:59.999"
        ))
    };
    let (date, rest) = text.split_once(' ').ok_or_else(bad)?;
    let (date, (millis, nanos, digits)) = parse_date(date).zip(parse_time(rest)).ok_or_else(bad)?;
    let millis = days(date) * DAY_MS + millis;
    let value = match digits {
        0..=3 => Literal::Timestamp(millis),
        4..=6 => Literal::Timestamp(millis * 1000 + nanos / 1000),
        _ => Literal::Decimal(i128::from(millis) * 1_000_000 + i128::from(nanos)),
    };
    Ok(constant(value, TypeKind::Timestamp(digits)))
}

/// Days since the epoch.
fn days(date: NaiveDate) -> i64 {
    date.signed_duration_since(NaiveDate::default()).num_days()
}

/// A date with a year of four digits.
fn parse_date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    let is_date = parts.next().is_none()
        && is_number(year, 4..=4)
        && is_number(month, 1..=2)
        && is_number(day, 1..=2);
    if !is_date {
        return None;
    }
    NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

/// Milliseconds of the day, nanoseconds of the millisecond and number of fractional digits.
fn parse_time(text: &str) -> Option<(i64, i64, u8)> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) || text.ends_with('.') {
        return None;
    }
    let parts: Vec<u32> = clock
        .split(':')
        .map(|part| {
            let is_number =
                (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| part.parse().ok()).flatten()
        })
        .collect::<Option<_>>()?;
    let [hour, minute, second] = parts[..] else {
        return None;
    };
    let time = NaiveTime::from_hms_opt(hour, minute, second)?;
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let digits = u8::try_from(fraction.len()).ok()?;
    let millis = i64::from(time.num_seconds_from_midnight()) * 1000 + nanos / 1_000_000;
    Some((millis, nanos % 1_000_000, digits))
}

/// Digits of an interval's first number unless its unit says how many.
///
/// # Source
/// SQL's and Flink's default precision of the leading field.
const LEADING_PRECISION: u64 = 2;

/// `INTERVAL '...' unit [TO unit]`.
///
/// # Errors
/// `Invalid` for a text that does not fit the units, `Unsupported` for units below a second.
pub(super) fn interval(interval: &Interval) -> Result<Expr> {
    // `INTERVAL -'10' SECOND` is `INTERVAL '-10' SECOND`.
    let (is_negated, value) = match &*interval.value {
        Ast::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => (true, &**expr),
        Ast::UnaryOp {
            op: UnaryOperator::Plus,
            expr,
        } => (false, &**expr),
        other => (false, other),
    };
    let Ast::Value(text) = value else {
        return Err(Error::syntax("an interval is written INTERVAL '10' SECOND"));
    };
    let Value::SingleQuotedString(text) = &text.value else {
        return Err(Error::syntax(
            "an interval is written INTERVAL '10' SECOND, with the number in quotes",
        ));
    };
    let no_unit = || Error::syntax("an interval needs a unit: INTERVAL '10' SECOND");
    let first = interval.leading_field.as_ref().ok_or_else(no_unit)?;
    let last = interval.last_field.as_ref().unwrap_or(first);
    let bad = || {
        Error::syntax(format!(
            "\"{text}\" does not fit INTERVAL {}",
            units(first, last)
        ))
    };
    let trimmed = text.trim();
    let (negative, digits) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    check_leading_digits(interval, digits, &units(first, last))?;
    let sign = |value: i64| {
        if negative == is_negated {
            value
        } else {
            -value
        }
    };
    if let (Some(a), Some(b)) = (rank_of_months(first), rank_of_months(last)) {
        let months = if a == b {
            digits.parse::<i64>().ok().and_then(|n| n.checked_mul(a))
        } else {
            let parts = digits.split_once('-');
            parts.and_then(|(years, months)| {
                let months = months.parse::<i64>().ok().filter(|m| (0..12).contains(m))?;
                years
                    .parse::<i64>()
                    .ok()?
                    .checked_mul(12)?
                    .checked_add(months)
            })
        };
        let months = months
            .filter(|months| *months >= 0)
            .and_then(|m| i32::try_from(sign(m)).ok());
        return Ok(constant(
            Literal::Months(months.ok_or_else(bad)?),
            TypeKind::IntervalYearMonth,
        ));
    }
    let millis = day_time(digits, first, last)?.ok_or_else(bad)?;
    Ok(constant(
        Literal::Millis(sign(millis)),
        TypeKind::IntervalDayTime,
    ))
}

/// Refuses a first number with more digits than its unit takes.
fn check_leading_digits(interval: &Interval, digits: &str, units: &str) -> Result<()> {
    let precision = interval.leading_precision.unwrap_or(LEADING_PRECISION);
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let number = &digits[..length];
    if number.trim_start_matches('0').len() as u64 <= precision {
        return Ok(());
    }
    let first = units.split(' ').next().unwrap_or(units);
    Err(Error::validation(format!(
        "INTERVAL '{digits}' {units}: {number} has more than {precision} digits, which {first}({length}) takes"
    )))
}

/// Units as they were written.
fn units(first: &DateTimeField, last: &DateTimeField) -> String {
    if first == last {
        first.to_string().to_uppercase()
    } else {
        format!("{first} TO {last}").to_uppercase()
    }
}

/// Months of a unit of years and months.
fn rank_of_months(unit: &DateTimeField) -> Option<i64> {
    match unit {
        DateTimeField::Year | DateTimeField::Years => Some(12),
        DateTimeField::Quarter => Some(3),
        DateTimeField::Month | DateTimeField::Months => Some(1),
        _ => None,
    }
}

/// Position among day, hour, minute, second and milliseconds of a unit.
fn day_time_unit(unit: &DateTimeField) -> Option<(usize, i64)> {
    match unit {
        DateTimeField::Week(None) | DateTimeField::Weeks => Some((0, 7 * DAY_MS)),
        DateTimeField::Day | DateTimeField::Days => Some((0, DAY_MS)),
        DateTimeField::Hour | DateTimeField::Hours => Some((1, 3_600_000)),
        DateTimeField::Minute | DateTimeField::Minutes => Some((2, 60_000)),
        DateTimeField::Second | DateTimeField::Seconds => Some((3, 1000)),
        _ => None,
    }
}

/// Milliseconds of a text like `1 02:03:04.5`; absent when it does not fit the units.
fn day_time(text: &str, first: &DateTimeField, last: &DateTimeField) -> Result<Option<i64>> {
    let (Some((from, scale)), Some((to, _))) = (day_time_unit(first), day_time_unit(last)) else {
        return Err(Error::unsupported(format!(
            "INTERVAL {}",
            units(first, last)
        )));
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let has_fraction = text.contains('.');
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if from > to || (has_fraction && (to != 3 || !digits(fraction) || fraction.len() > 9)) {
        return Ok(None);
    }
    let parts: Vec<&str> = whole.split([' ', ':']).collect();
    let separators: Vec<char> = whole.chars().filter(|c| [' ', ':'].contains(c)).collect();
    let expected = [' ', ':', ':'].get(from..to).unwrap_or_default();
    if parts.len() != to - from + 1
        || separators != expected
        || !parts.iter().all(|part| digits(part))
    {
        return Ok(None);
    }
    let scales = [DAY_MS, 3_600_000, 60_000, 1000];
    let limits = [i64::MAX, 23, 59, 59];
    let mut total: i64 = 0;
    for (index, part) in parts.iter().enumerate() {
        let unit = from + index;
        let scale = if index == 0 { scale } else { scales[unit] };
        let value = part
            .parse::<i64>()
            .ok()
            .filter(|value| index == 0 || *value <= limits[unit]);
        let Some(sum) = value.and_then(|value| value.checked_mul(scale)?.checked_add(total)) else {
            return Ok(None);
        };
        total = sum;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().unwrap_or(0);
    Ok(total.checked_add(nanos / 1_000_000))
}
