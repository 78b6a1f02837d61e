//! TIMESTAMPADD and TIMESTAMPDIFF.
//!
//! Place in the flow: rows of the function table; TIMESTAMPADD becomes `+`. Invariant: whole units are counted, towards zero.

use arrow::array::ArrayRef;
use arrow::datatypes::Int32Type;

use super::super::comparison::rewritten;
use super::super::rules::count;
use super::super::{Function, Resolve, any_nullable, call, mismatch, resolve};
use super::unit::{Unit, unit_argument, unit_of};
use super::{is_point, local_micros};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::datetime::{self, DAY_MS, DAY_US, MICROS};
use crate::sql::expr::{Expr, Literal};
use crate::sql::typing::convert;
use crate::types::TypeKind;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "TIMESTAMPDIFF",
            Resolve::Custom(difference_type),
            difference,
        ),
        Function::new("TIMESTAMPADD", Resolve::Custom(addition), rewritten),
    ]
}

/// TIMESTAMPDIFF(unit, a, b).
fn difference_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 3..=3)?;
    let is_unit = unit_of(args.first()).is_some_and(|unit| {
        matches!(
            unit,
            Unit::Second
                | Unit::Minute
                | Unit::Hour
                | Unit::Day
                | Unit::Week
                | Unit::Month
                | Unit::Quarter
                | Unit::Year
        )
    });
    if !is_unit || !is_point(&args[1].ty.kind) || !is_point(&args[2].ty.kind) {
        return Err(mismatch(name, &args, "a unit and two dates or times"));
    }
    let nullable = any_nullable(&args);
    let ty = TypeKind::Int.nullable().with_nullable(nullable);
    Ok(call(name, args, ty, span))
}

/// Whole months from `from` to `to`, towards zero.
fn months_between(from: i64, to: i64) -> i64 {
    let month = |micros: i64| {
        let (year, month, _) = datetime::civil(micros.div_euclid(DAY_US));
        year * 12 + month
    };
    let months = month(to) - month(from);
    let reached = datetime::add_months_to(from, months, DAY_US);
    if months > 0 && reached > to {
        months - 1
    } else if months < 0 && reached < to {
        months + 1
    } else {
        months
    }
}

/// TIMESTAMPDIFF.
fn difference(call: &Call<'_>) -> Result<ArrayRef> {
    let unit = unit_argument(call, 0)?;
    call.primitives::<Int32Type>(|i| {
        let from = local_micros(call.value(1)?, &call.types[1].kind, i, call.zone)?;
        let to = local_micros(call.value(2)?, &call.types[2].kind, i, call.zone)?;
        // As Flink: whole milliseconds are compared, whatever the precision.
        let whole = |micros: i64| micros.wrapping_sub(micros.rem_euclid(MICROS));
        let Some((from, to)) = from.map(whole).zip(to.map(whole)) else {
            return Ok(None);
        };
        let count = match unit {
            Unit::Month => months_between(from, to),
            Unit::Quarter => months_between(from, to) / 3,
            Unit::Year => months_between(from, to) / 12,
            Unit::Week => to.wrapping_sub(from) / (7 * DAY_US),
            unit => to.wrapping_sub(from) / unit.micros().unwrap_or(DAY_US),
        };
        datetime::in_range(count).map(Some)
    })
}

/// `TIMESTAMPADD(unit, n, t)` is `t + n * INTERVAL '1' unit`.
fn addition(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 3..=3)?;
    let months = |n: i32| (Literal::Months(n), TypeKind::IntervalYearMonth);
    let interval = match unit_of(args.first()) {
        Some(Unit::Year) => months(12),
        Some(Unit::Quarter) => months(3),
        Some(Unit::Month) => months(1),
        Some(Unit::Week) => (Literal::Millis(7 * DAY_MS), TypeKind::IntervalDayTime),
        Some(unit @ (Unit::Second | Unit::Minute | Unit::Hour | Unit::Day)) => {
            let millis = unit.micros().unwrap_or(DAY_US) / MICROS;
            (Literal::Millis(millis), TypeKind::IntervalDayTime)
        }
        _ => {
            return Err(mismatch(name, &args, "a unit, a number and a date or time"));
        }
    };
    if !args[1].ty.kind.is_integer() || !is_point(&args[2].ty.kind) {
        return Err(mismatch(name, &args, "a unit, a number and a date or time"));
    }
    let sub_day = unit_of(args.first()).is_some_and(|unit| unit < Unit::Day);
    let [_, number, time] =
        <[Expr; 3]>::try_from(args).map_err(|_| Error::internal("three arguments were counted"))?;
    let time = if sub_day && time.ty.kind == TypeKind::Date {
        convert(time, &TypeKind::Timestamp(0))
    } else {
        time
    };
    let one = Expr::literal(interval.0, interval.1.not_null());
    let by = resolve("*", vec![number, one], span)?;
    resolve("+", vec![time, by], span)
}
