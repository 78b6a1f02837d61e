//! `TO_TIMESTAMP_LTZ`.
//!
//! Place in the flow: a row of the function table. Invariant: the precision of the result is known before there are rows.

use arrow::array::ArrayRef;

use super::super::rules::count;
use super::super::{Function, Resolve, call, mismatch};
use super::text::read_leniently;
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::datetime::{self, Moment};
use crate::sql::eval::zone::Zone;
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::typing::convert;
use crate::types::TypeKind;

/// Precision of instants unless more digits are asked for.
///
/// # Source
/// Flink: `TO_TIMESTAMP_LTZ`.
const LTZ_PRECISION: u8 = 3;

/// Most digits of a fraction.
const DIGITS_MAX: u8 = 9;

/// The years 0 to 9999 in microseconds.
///
/// # Source
/// Flink: instants outside of what its formatter prints are NULL.
const YEARS_US: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_300_800_000_000;

/// The row of the function table.
pub(super) fn function() -> Function {
    Function::new("TO_TIMESTAMP_LTZ", Resolve::Custom(ltz_type), to_ltz).failing()
}

/// `TO_TIMESTAMP_LTZ` of a number and a precision, or of a text.
fn ltz_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=3)?;
    if args[0].ty.kind.is_numeric() && args.len() <= 2 {
        return number_ltz_type(name, args, span);
    }
    let is_text = |arg: &Expr| arg.ty.kind.is_character() || arg.ty.kind == TypeKind::Null;
    if !args.iter().all(is_text) {
        return Err(mismatch(
            name,
            &args,
            "(BIGINT[, precision]) or (STRING[, format[, zone]])",
        ));
    }
    let precision = args.get(1).map_or(LTZ_PRECISION, pattern_precision);
    let text = |arg: Expr| {
        if arg.ty.kind == TypeKind::Null {
            convert(arg, &TypeKind::string())
        } else {
            arg
        }
    };
    let args = args.into_iter().map(text).collect();
    Ok(call(
        name,
        args,
        TypeKind::TimestampLtz(precision).nullable(),
        span,
    ))
}

/// `TO_TIMESTAMP_LTZ` of a number, in seconds divided by a power of ten, 3 unless it is given.
fn number_ltz_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let literal = args.get(1).map(|precision| &precision.kind);
    let precision = match literal {
        Some(ExprKind::Literal(Literal::Integer(digits))) => u8::try_from(*digits)
            .ok()
            .filter(|digits| *digits <= DIGITS_MAX),
        _ => Some(LTZ_PRECISION),
    };
    let is_integer = args.get(1).is_none_or(|precision| {
        precision.ty.kind.is_integer() || precision.ty.kind == TypeKind::Null
    });
    let Some(precision) = precision.filter(|_| is_integer) else {
        return Err(mismatch(
            name,
            &args,
            "a number and a precision from 0 to 9",
        ));
    };
    let number = if args[0].ty.kind.is_integer() {
        TypeKind::BigInt
    } else {
        TypeKind::Double
    };
    let mut args = args.into_iter();
    let first = args.next().map(|arg| convert(arg, &number));
    let rest = args.map(|arg| convert(arg, &TypeKind::Int));
    let args = first.into_iter().chain(rest).collect();
    let kind = TypeKind::TimestampLtz(precision.max(LTZ_PRECISION));
    Ok(call(name, args, kind.nullable(), span))
}

/// The precision of what a pattern reads: its digits of the fraction, as far as it is known before there are rows.
fn pattern_precision(pattern: &Expr) -> u8 {
    match &pattern.kind {
        ExprKind::Literal(Literal::String(text)) => {
            let digits = text.chars().filter(|c| *c == 'S').count();
            u8::try_from(digits)
                .map_or(DIGITS_MAX, |digits| digits.clamp(LTZ_PRECISION, DIGITS_MAX))
        }
        _ => LTZ_PRECISION,
    }
}

/// `TO_TIMESTAMP_LTZ`.
fn to_ltz(call: &Call<'_>) -> Result<ArrayRef> {
    let TypeKind::TimestampLtz(precision) = call.ty.kind else {
        return Err(Error::internal(format!("TO_TIMESTAMP_LTZ of {}", call.ty)));
    };
    let instants = if call.types[0].kind.is_character() {
        text_to_instants(call)?
    } else {
        numbers_to_instants(call)?
    };
    // Years that Flink does not print are NULL.
    let instants = instants.into_iter();
    let instants =
        instants.map(|instant| instant.filter(|instant| YEARS_US.contains(&instant.micros)));
    Ok(datetime::timestamps(instants, precision))
}

/// The instants of numbers.
fn numbers_to_instants(call: &Call<'_>) -> Result<Vec<Option<Moment>>> {
    let digits = if call.args.len() > 1 {
        Some(call.int(1)?)
    } else {
        None
    };
    let is_integer = call.types[0].kind == TypeKind::BigInt;
    let instant = |i: usize| {
        let digits = digits.as_ref().map_or(Some(3), |digits| digits.get(i));
        let number = if is_integer {
            call.long(0)?.get(i)
        } else {
            call.double(0)?.get(i).and_then(whole)
        };
        let Some((digits, number)) = digits.zip(number) else {
            return Ok(None);
        };
        let Ok(digits @ 0..=DIGITS_MAX) = u8::try_from(digits) else {
            return Err(Error::arithmetic(format!(
                "the precision of TO_TIMESTAMP_LTZ is between 0 and 9, not {digits}"
            )));
        };
        let nanos = i128::from(number) * 10_i128.pow(u32::from(DIGITS_MAX - digits));
        Ok(Some(Moment::of_nanos(nanos)))
    };
    (0..call.rows).map(instant).collect()
}

/// The whole part of a number in the range of times.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(x: f64) -> Option<i64> {
    // Times of the years 0 to 9999 have fewer than 10^15 milliseconds.
    (x.abs() < 1e15).then_some(x as i64)
}

/// The instants of texts: in UTC unless a zone is given.
fn text_to_instants(call: &Call<'_>) -> Result<Vec<Option<Moment>>> {
    let zone = if call.args.len() > 2 {
        Some(call.text(2)?)
    } else {
        None
    };
    let local = read_leniently(call)?;
    local
        .into_iter()
        .enumerate()
        .map(|(i, local)| {
            let Some(zone) = &zone else {
                return Ok(local);
            };
            let Some((local, zone)) = local.zip(zone.get(i)) else {
                return Ok(None);
            };
            Ok(Some(datetime::to_instant(local, &Zone::parse(zone)?)))
        })
        .collect()
}
