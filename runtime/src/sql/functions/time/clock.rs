//! Functions of the clock and of the watermark.
//!
//! Place in the flow: rows of the function table. Invariant: all rows of a batch see one time.

use arrow::array::ArrayRef;

use super::super::rules::count;
use super::super::{Function, Resolve, Volatility, call, mismatch};
use crate::error::{Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::datetime::{self, DAY_MS, MICROS};
use crate::sql::expr::Expr;
use crate::types::TypeKind;

/// Functions of the clock.
pub(super) fn functions() -> Vec<Function> {
    let clock = |name, resolve| {
        Function::new(name, Resolve::Custom(resolve), now).volatile(Volatility::Batch)
    };
    vec![
        clock("CURRENT_TIMESTAMP", instant_type),
        clock("NOW", instant_type),
        clock("CURRENT_ROW_TIMESTAMP", instant_type),
        clock("PROCTIME", instant_type),
        clock("LOCALTIMESTAMP", |name, args, span| {
            without_arguments(name, args, TypeKind::Timestamp(3), span)
        }),
        clock("CURRENT_DATE", |name, args, span| {
            without_arguments(name, args, TypeKind::Date, span)
        }),
        clock("CURRENT_TIME", |name, args, span| {
            without_arguments(name, args, TypeKind::Time(0), span)
        }),
        clock("LOCALTIME", |name, args, span| {
            without_arguments(name, args, TypeKind::Time(0), span)
        }),
        Function::new(
            "CURRENT_WATERMARK",
            Resolve::Custom(watermark_type),
            watermark,
        )
        .volatile(Volatility::Batch),
    ]
}

/// A call without arguments.
fn without_arguments(name: &str, args: Vec<Expr>, kind: TypeKind, span: Span) -> Result<Expr> {
    count(name, &args, 0..=0)?;
    Ok(call(name, args, kind.not_null(), span))
}

/// `CURRENT_TIMESTAMP` and its kin.
fn instant_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    without_arguments(name, args, TypeKind::TimestampLtz(3), span)
}

/// The wall time of the batch in the type of the call.
fn now(call: &Call<'_>) -> Result<ArrayRef> {
    let now = call.context.now_ms;
    let local = call.zone.to_local(now);
    let repeat = |value: i64| (0..call.rows).map(move |_| Some(value));
    Ok(match &call.ty.kind {
        TypeKind::Date => {
            let day = datetime::in_range(local.div_euclid(DAY_MS))?;
            datetime::dates((0..call.rows).map(|_| Some(day)))
        }
        TypeKind::Time(_) => {
            let second = local.rem_euclid(DAY_MS) / 1000 * 1000;
            let time = datetime::in_range(second)?;
            datetime::times((0..call.rows).map(|_| Some(time)))
        }
        TypeKind::Timestamp(_) => datetime::timestamps(repeat(local.saturating_mul(MICROS)), 3),
        _ => datetime::timestamps(repeat(now.saturating_mul(MICROS)), 3),
    })
}

/// `CURRENT_WATERMARK`(rowtime).
fn watermark_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    if !args[0].ty.kind.is_time_attribute() {
        return Err(mismatch(name, &args, "a rowtime column"));
    }
    let kind = if matches!(args[0].ty.kind, TypeKind::Timestamp(_)) {
        TypeKind::Timestamp(3)
    } else {
        TypeKind::TimestampLtz(3)
    };
    Ok(call(name, args, kind.nullable(), span))
}

/// The operator's watermark.
#[expect(clippy::unnecessary_wraps, reason = "a kernel of the function table")]
fn watermark(call: &Call<'_>) -> Result<ArrayRef> {
    let value = call
        .context
        .watermark_ms
        .map(|ms| ms.saturating_mul(MICROS));
    Ok(datetime::timestamps((0..call.rows).map(|_| value), 3))
}
