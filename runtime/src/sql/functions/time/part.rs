//! Parts of a time, and rounding to a unit.
//!
//! Place in the flow: rows of the function table; FLOOR and CEIL take numbers too. Invariant: a unit that a type does not have is refused
//! when the call is typed.

use arrow::array::ArrayRef;
use arrow::datatypes::{Date32Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType};

use super::super::comparison::rewritten;
use super::super::rules::count;
use super::super::{Function, Resolve, call, mismatch, resolve};
use super::unit::{Unit, unit_argument, unit_of};
use super::{SECOND_US, is_dated, local_micros, local_time};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::datetime::{self, DAY_US, MICROS};
use crate::sql::expr::{Expr, Literal};
use crate::types::TypeKind;

/// Functions of a unit.
pub(super) fn functions() -> Vec<Function> {
    let part = |name| Function::new(name, Resolve::Custom(part_type), rewritten);
    let mut all = vec![
        Function::new("EXTRACT", Resolve::Custom(extract_type), extract),
        Function::new("FLOOR", Resolve::Custom(rounding_type), |call| {
            rounding(call, Toward::Down)
        }),
        Function::new("CEIL", Resolve::Custom(rounding_type), |call| {
            rounding(call, Toward::Up)
        }),
        Function::new("CEILING", Resolve::Custom(rounding_type), |call| {
            rounding(call, Toward::Up)
        }),
    ];
    all.extend(PARTS.iter().map(|(name, _)| part(*name)));
    all
}

/// Functions that are EXTRACT of a fixed unit.
const PARTS: [(&str, &str); 10] = [
    ("YEAR", "YEAR"),
    ("QUARTER", "QUARTER"),
    ("MONTH", "MONTH"),
    ("WEEK", "WEEK"),
    ("DAYOFYEAR", "DOY"),
    ("DAYOFMONTH", "DAY"),
    ("DAYOFWEEK", "DOW"),
    ("HOUR", "HOUR"),
    ("MINUTE", "MINUTE"),
    ("SECOND", "SECOND"),
];

/// YEAR and its kin become EXTRACT.
fn part_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let unit = PARTS.iter().find(|(function, _)| *function == name);
    let unit = unit.map_or(name, |(_, unit)| *unit);
    let ty = TypeKind::string().not_null();
    let mut all = vec![Expr::literal(Literal::String(unit.to_owned()), ty)];
    all.extend(args);
    resolve("EXTRACT", all, span)
}

/// EXTRACT(unit FROM time).
fn extract_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=2)?;
    let Some(unit) = unit_of(args.first()) else {
        return Err(mismatch(name, &args, "a unit and a time"));
    };
    let sub_day = unit < Unit::Day;
    let fits = match &args[1].ty.kind {
        TypeKind::Date => !sub_day,
        TypeKind::Time(_) => sub_day,
        TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => true,
        TypeKind::IntervalYearMonth => unit.of_months(0).is_some(),
        TypeKind::IntervalDayTime => unit.of_millis(0).is_some(),
        _ => false,
    };
    if !fits {
        return Err(mismatch(
            name,
            &args,
            "a unit and a time or interval that has it",
        ));
    }
    let ty = TypeKind::BigInt
        .nullable()
        .with_nullable(args[1].ty.nullable);
    Ok(call(name, args, ty, span))
}

/// EXTRACT.
fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let (unit, value, kind) = (unit_argument(call, 0)?, call.value(1)?, &call.types[1].kind);
    match kind {
        TypeKind::IntervalYearMonth => {
            let months = call.primitive::<Int32Type>(1)?;
            return call.primitives::<Int64Type>(|i| {
                Ok(months.get(i).and_then(|v| unit.of_months(v.into())))
            });
        }
        TypeKind::IntervalDayTime => {
            let millis = call.primitive::<Int64Type>(1)?;
            return call
                .primitives::<Int64Type>(|i| Ok(millis.get(i).and_then(|v| unit.of_millis(v))));
        }
        _ => {}
    }
    call.primitives::<Int64Type>(|i| {
        let local = local_time(value, kind, i, call.zone)?;
        // EPOCH counts from the instant itself.
        let is_epoch = unit == Unit::Epoch && matches!(kind, TypeKind::TimestampLtz(_));
        Ok(local.map(|local| {
            if is_epoch {
                let instant = datetime::to_instant(local, call.zone);
                instant.micros.div_euclid(SECOND_US)
            } else {
                unit.extract(local)
            }
        }))
    })
}

/// FLOOR and CEIL of a number or of a time to a unit.
fn rounding_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=2)?;
    let ty = args[0].ty.clone();
    if args.len() == 1 {
        let kind = match &ty.kind {
            TypeKind::Decimal { precision, .. } => TypeKind::Decimal {
                precision: *precision,
                scale: 0,
            },
            kind if kind.is_numeric() => kind.clone(),
            _ => return Err(mismatch(name, &args, "a number, or a time TO a unit")),
        };
        return Ok(call(
            name,
            args,
            kind.nullable().with_nullable(ty.nullable),
            span,
        ));
    }
    let fits = match (&ty.kind, unit_of(args.get(1))) {
        (_, None) => false,
        (TypeKind::Time(_), Some(unit)) => unit < Unit::Day && unit.floor(0).is_some(),
        (kind, Some(unit)) => is_dated(kind) && unit.floor(0).is_some(),
    };
    if !fits {
        return Err(mismatch(name, &args, "a number, or a time TO a unit"));
    }
    Ok(call(name, args, ty, span))
}

/// The direction of rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toward {
    /// FLOOR.
    Down,
    /// CEIL.
    Up,
}

/// FLOOR and CEIL.
fn rounding(call: &Call<'_>, toward: Toward) -> Result<ArrayRef> {
    if call.args.len() == 1 {
        return round_number(call, toward);
    }
    let (value, unit, kind) = (call.value(0)?, unit_argument(call, 1)?, &call.types[0].kind);
    let is_date = *kind == TypeKind::Date;
    let rounded = |i: usize| -> Result<Option<i64>> {
        let Some(local) = local_time(value, kind, i, call.zone)? else {
            return Ok(None);
        };
        // Nanoseconds are no unit to round to: the next microsecond lies behind them.
        let local = match toward {
            Toward::Up => local.micros + i64::from(local.nanos > 0),
            Toward::Down => local.micros,
        };
        let result = match toward {
            // Flink moves a DATE to the next day here, though it begins at midnight.
            Toward::Up if is_date && unit == Unit::Day => Some(local.wrapping_add(DAY_US)),
            Toward::Up => unit.ceil(local),
            Toward::Down => unit.floor(local),
        };
        Ok(result)
    };
    match &call.ty.kind {
        TypeKind::Date => call.primitives::<Date32Type>(|i| {
            rounded(i)?
                .map(|v| datetime::in_range(v.div_euclid(DAY_US)))
                .transpose()
        }),
        TypeKind::Time(_) => call.primitives::<Time32MillisecondType>(|i| {
            rounded(i)?
                .map(|v| datetime::in_range(v.rem_euclid(DAY_US) / MICROS))
                .transpose()
        }),
        TypeKind::TimestampLtz(p) => {
            // As Flink: back with the offset of the value itself, also when clocks change between it and the result.
            let instant = |i| local_micros(value, &TypeKind::Timestamp(*p), i, call.zone);
            let local = |i| local_micros(value, kind, i, call.zone);
            let back = |i| -> Result<Option<i64>> {
                let shift = local(i)?.zip(instant(i)?);
                let shift = shift.map_or(0, |(local, instant)| local.wrapping_sub(instant));
                Ok(rounded(i)?.map(|rounded| rounded.wrapping_sub(shift)))
            };
            let values: Vec<_> = (0..call.rows).map(back).collect::<Result<_>>()?;
            Ok(datetime::timestamps(values.into_iter(), *p))
        }
        TypeKind::Timestamp(p) => {
            let values: Vec<_> = (0..call.rows).map(rounded).collect::<Result<_>>()?;
            Ok(datetime::timestamps(values.into_iter(), *p))
        }
        other => Err(Error::internal(format!("rounding of {other}"))),
    }
}

/// FLOOR and CEIL of numbers.
fn round_number(call: &Call<'_>, toward: Toward) -> Result<ArrayRef> {
    use arrow::datatypes::{Decimal128Type, Float32Type};
    match (&call.types[0].kind, &call.ty.kind) {
        (TypeKind::Float, _) => {
            let x = call.primitive::<Float32Type>(0)?;
            call.primitives::<Float32Type>(|i| {
                Ok(x.get(i).map(|x| {
                    if toward == Toward::Up {
                        x.ceil()
                    } else {
                        x.floor()
                    }
                }))
            })
        }
        (TypeKind::Double, _) => {
            let x = call.double(0)?;
            call.primitives::<Float64Type>(|i| {
                Ok(x.get(i).map(|x| {
                    if toward == Toward::Up {
                        x.ceil()
                    } else {
                        x.floor()
                    }
                }))
            })
        }
        (TypeKind::Decimal { scale, .. }, TypeKind::Decimal { precision, .. }) => {
            let unit = crate::sql::eval::decimal::power_of_ten(*scale);
            let x = call.primitive::<Decimal128Type>(0)?;
            let values: arrow::array::Decimal128Array = (0..call.rows)
                .map(|i| {
                    let x = x.get(i)?;
                    let up = toward == Toward::Up && x.rem_euclid(unit) != 0;
                    let whole = x.div_euclid(unit) + i128::from(up);
                    crate::sql::eval::decimal::fit(whole, *precision)
                })
                .collect();
            let values = values.with_precision_and_scale(*precision, 0)?;
            Ok(std::sync::Arc::new(values))
        }
        _ => call.column(0),
    }
}
