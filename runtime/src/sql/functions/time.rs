//! Functions on dates, times and timestamps.
//!
//! Place in the flow: rows of the function table. Invariant: everything is computed on local microseconds; instants pass
//! through the session time zone on the way in and out.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Date32Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType};

use super::comparison::rewritten;
use super::rules::count;
use super::{Function, Output, Param, Resolve, Volatility, any_nullable, call, mismatch, resolve};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::{Call, Value};
use crate::sql::eval::datetime::{self, DAY_MS, DAY_US, MICROS};
use crate::sql::eval::pattern::Pattern;
use crate::sql::eval::zone::Zone;
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::typing::convert;
use crate::types::{FlinkType, TypeKind};

/// Microseconds of a second.
const SECOND_US: i64 = 1_000_000;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    let mut all = clocks();
    all.extend(units());
    all.extend(texts());
    all
}

/// Functions of the clock.
fn clocks() -> Vec<Function> {
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

/// Functions of a unit.
fn units() -> Vec<Function> {
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
        Function::new(
            "TIMESTAMPDIFF",
            Resolve::Custom(difference_type),
            difference,
        ),
        Function::new("TIMESTAMPADD", Resolve::Custom(addition), rewritten),
    ];
    all.extend(PARTS.iter().map(|(name, _)| part(*name)));
    all
}

/// Functions between times and text.
fn texts() -> Vec<Function> {
    let one_or_two: &[&[Param]] = &[&[Param::Text], &[Param::Text, Param::Text]];
    vec![
        Function::new(
            "TO_TIMESTAMP",
            Resolve::Signature(one_or_two, Output::MaybeTimestamp),
            |call| {
                let micros = read(call, datetime::parse_timestamp)?;
                Ok(datetime::timestamps(micros.into_iter(), 3))
            },
        ),
        Function::new(
            "TO_DATE",
            Resolve::Signature(one_or_two, Output::MaybeDate),
            |call| {
                let micros = read(call, |text| Some(datetime::parse_date(text)? * DAY_US))?;
                let days = micros
                    .into_iter()
                    .map(|v| v.and_then(|v| i32::try_from(v.div_euclid(DAY_US)).ok()));
                Ok(datetime::dates(days))
            },
        ),
        Function::new("TO_TIMESTAMP_LTZ", Resolve::Custom(ltz_type), to_ltz),
        Function::new("DATE_FORMAT", Resolve::Custom(format_type), format).failing(),
        Function::new(
            "FROM_UNIXTIME",
            Resolve::Signature(
                &[&[Param::Long], &[Param::Long, Param::Text]],
                Output::MaybeText,
            ),
            from_unixtime,
        )
        .failing(),
        Function::new(
            "UNIX_TIMESTAMP",
            Resolve::Signature(
                &[&[], &[Param::Text], &[Param::Text, Param::Text]],
                Output::Long,
            ),
            unix_timestamp,
        )
        .volatile(Volatility::Batch),
    ]
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

/// The pattern of texts without one.
const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

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

/// A unit in a literal argument.
fn unit_of(arg: Option<&Expr>) -> Option<Unit> {
    match arg.map(|arg| &arg.kind) {
        Some(ExprKind::Literal(Literal::String(name))) => Unit::parse(name),
        _ => None,
    }
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    /// NANOSECOND.
    Nanosecond,
    /// MICROSECOND.
    Microsecond,
    /// MILLISECOND.
    Millisecond,
    /// SECOND.
    Second,
    /// MINUTE.
    Minute,
    /// HOUR.
    Hour,
    /// DAY.
    Day,
    /// Day of the week from Sunday, 1.
    Dow,
    /// Day of the week from Monday, 1.
    IsoDow,
    /// Day of the year.
    Doy,
    /// WEEK: ISO's in EXTRACT, from Sunday in FLOOR.
    Week,
    /// MONTH.
    Month,
    /// QUARTER.
    Quarter,
    /// YEAR.
    Year,
    /// The year of the ISO week.
    IsoYear,
    /// DECADE.
    Decade,
    /// CENTURY.
    Century,
    /// MILLENNIUM.
    Millennium,
    /// Seconds since 1970.
    Epoch,
}

impl Unit {
    /// The unit of a name, singular or SQL's `SQL_TSI_` form.
    fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("SQL_TSI_").unwrap_or(&name);
        Some(match name {
            "NANOSECOND" => Self::Nanosecond,
            "MICROSECOND" => Self::Microsecond,
            "MILLISECOND" => Self::Millisecond,
            "SECOND" => Self::Second,
            "MINUTE" => Self::Minute,
            "HOUR" => Self::Hour,
            "DAY" => Self::Day,
            "DOW" => Self::Dow,
            "ISODOW" => Self::IsoDow,
            "DOY" => Self::Doy,
            "WEEK" => Self::Week,
            "MONTH" => Self::Month,
            "QUARTER" => Self::Quarter,
            "YEAR" => Self::Year,
            "ISOYEAR" => Self::IsoYear,
            "DECADE" => Self::Decade,
            "CENTURY" => Self::Century,
            "MILLENNIUM" => Self::Millennium,
            "EPOCH" => Self::Epoch,
            _ => return None,
        })
    }

    /// Microseconds, for units of fixed length.
    fn micros(self) -> Option<i64> {
        Some(match self {
            Self::Microsecond => 1,
            Self::Millisecond => MICROS,
            Self::Second => SECOND_US,
            Self::Minute => 60 * SECOND_US,
            Self::Hour => 3600 * SECOND_US,
            Self::Day => DAY_US,
            _ => return None,
        })
    }

    /// The part of local microseconds.
    fn extract(self, local_us: i64) -> i64 {
        let (day, rest) = (local_us.div_euclid(DAY_US), local_us.rem_euclid(DAY_US));
        let (year, month, dom) = datetime::civil(day);
        let iso_dow = (day + 3).rem_euclid(7) + 1;
        // The Thursday of a week decides its year.
        let thursday = day - iso_dow + 4;
        let iso_year = datetime::civil(thursday).0;
        match self {
            Self::Nanosecond => rest % SECOND_US * 1000,
            Self::Microsecond => rest % SECOND_US,
            Self::Millisecond => rest % SECOND_US / MICROS,
            Self::Second => rest / SECOND_US % 60,
            Self::Minute => rest / SECOND_US / 60 % 60,
            Self::Hour => rest / SECOND_US / 3600,
            Self::Day => dom,
            Self::Dow => iso_dow % 7 + 1,
            Self::IsoDow => iso_dow,
            Self::Doy => day - datetime::days((year, 1, 1)) + 1,
            Self::Week => (thursday - datetime::days((iso_year, 1, 1))) / 7 + 1,
            Self::Month => month,
            Self::Quarter => (month + 2) / 3,
            Self::Year => year,
            Self::IsoYear => iso_year,
            Self::Decade => year.div_euclid(10),
            Self::Century => (year + 99).div_euclid(100),
            Self::Millennium => (year + 999).div_euclid(1000),
            Self::Epoch => local_us.div_euclid(SECOND_US),
        }
    }

    /// The beginning of the unit that holds local microseconds; `None` for units that have no beginning.
    fn floor(self, local_us: i64) -> Option<i64> {
        if let Some(length) = self.micros() {
            return Some(local_us.wrapping_sub(local_us.rem_euclid(length)));
        }
        let day = local_us.div_euclid(DAY_US);
        let (year, month, _) = datetime::civil(day);
        let start = match self {
            Self::Week => day - (day + 4).rem_euclid(7),
            Self::Month => datetime::days((year, month, 1)),
            Self::Quarter => datetime::days((year, (month - 1) / 3 * 3 + 1, 1)),
            Self::Year => datetime::days((year, 1, 1)),
            Self::Decade => datetime::days((year.div_euclid(10) * 10, 1, 1)),
            Self::Century => datetime::days(((year - 1).div_euclid(100) * 100 + 1, 1, 1)),
            Self::Millennium => datetime::days(((year - 1).div_euclid(1000) * 1000 + 1, 1, 1)),
            _ => return None,
        };
        Some(start.wrapping_mul(DAY_US))
    }

    /// The beginning of the next unit, or the value itself when it is a beginning.
    fn ceil(self, local_us: i64) -> Option<i64> {
        let start = self.floor(local_us)?;
        if start == local_us {
            return Some(start);
        }
        let later = |months| Some(datetime::add_months_to(start, months, DAY_US));
        match self {
            Self::Week => Some(start.wrapping_add(7 * DAY_US)),
            Self::Month => later(1),
            Self::Quarter => later(3),
            Self::Year => later(12),
            Self::Decade => later(120),
            Self::Century => later(1200),
            Self::Millennium => later(12_000),
            _ => Some(start.wrapping_add(self.micros()?)),
        }
    }
}

/// Local microseconds of a time of any type.
fn local_micros(value: &Value, kind: &TypeKind, row: usize, zone: &Zone) -> Result<Option<i64>> {
    let array = value.array();
    let row = if value.is_scalar() { 0 } else { row };
    if array.is_null(row) {
        return Ok(None);
    }
    Ok(match kind {
        TypeKind::Date => {
            let days = array.as_primitive_opt::<Date32Type>();
            days.map(|days| i64::from(days.value(row)) * DAY_US)
        }
        TypeKind::Time(_) => {
            let times = array.as_primitive_opt::<Time32MillisecondType>();
            times.map(|times| i64::from(times.value(row)) * MICROS)
        }
        TypeKind::TimestampLtz(_) => datetime::micros_at(array.as_ref(), row)?.map(|micros| {
            micros.saturating_add(zone.offset_at(micros.div_euclid(MICROS)) * MICROS)
        }),
        _ => datetime::micros_at(array.as_ref(), row)?,
    })
}

/// Whether the type is a date or timestamp.
fn is_dated(kind: &TypeKind) -> bool {
    matches!(
        kind,
        TypeKind::Date | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_)
    )
}

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
        _ => false,
    };
    if !fits {
        return Err(mismatch(name, &args, "a unit and a time that has it"));
    }
    let ty = TypeKind::BigInt
        .nullable()
        .with_nullable(args[1].ty.nullable);
    Ok(call(name, args, ty, span))
}

/// The unit of a call, by the literal among its arguments.
fn unit_argument(call: &Call<'_>, i: usize) -> Result<Unit> {
    let name = call.text(i)?.get(0).unwrap_or_default();
    Unit::parse(name).ok_or_else(|| Error::internal(format!("unit {name} of a plan")))
}

/// EXTRACT.
fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let (unit, value, kind) = (unit_argument(call, 0)?, call.value(1)?, &call.types[1].kind);
    call.primitives::<Int64Type>(|i| {
        let local = local_micros(value, kind, i, call.zone)?;
        // EPOCH counts from the instant itself.
        let is_epoch = unit == Unit::Epoch && matches!(kind, TypeKind::TimestampLtz(_));
        Ok(local.map(|local| {
            if is_epoch {
                crate::sql::eval::to_instant(local, call.zone).div_euclid(SECOND_US)
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
        let Some(local) = local_micros(value, kind, i, call.zone)? else {
            return Ok(None);
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
    if !is_unit || !is_dated(&args[1].ty.kind) || !is_dated(&args[2].ty.kind) {
        return Err(mismatch(name, &args, "a unit and two dates or timestamps"));
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
        let Some((from, to)) = from.zip(to) else {
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
            return Err(mismatch(
                name,
                &args,
                "a unit, a number and a date or timestamp",
            ));
        }
    };
    if !args[1].ty.kind.is_integer() || !is_dated(&args[2].ty.kind) {
        return Err(mismatch(
            name,
            &args,
            "a unit, a number and a date or timestamp",
        ));
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

/// Reads the first argument with the pattern of the second, or with `default`.
fn read(call: &Call<'_>, default: fn(&str) -> Option<i64>) -> Result<Vec<Option<i64>>> {
    let text = call.text(0)?;
    if call.args.len() == 1 {
        return Ok((0..call.rows)
            .map(|i| text.get(i).and_then(default))
            .collect());
    }
    let pattern = call.text(1)?;
    let mut patterns = Patterns::default();
    (0..call.rows)
        .map(|i| match text.get(i).zip(pattern.get(i)) {
            Some((text, pattern)) => Ok(patterns.get(pattern)?.parse(text)),
            None => Ok(None),
        })
        .collect()
}

/// The last pattern compiled.
#[derive(Debug, Default)]
struct Patterns(Option<(String, Pattern)>);

impl Patterns {
    /// The compiled pattern.
    fn get(&mut self, text: &str) -> Result<&Pattern> {
        if self.0.as_ref().is_none_or(|(known, _)| known != text) {
            self.0 = Some((text.to_owned(), Pattern::compile(text)?));
        }
        let compiled = self.0.as_ref().map(|(_, pattern)| pattern);
        compiled.ok_or_else(|| Error::internal("a pattern was compiled"))
    }
}

/// `TO_TIMESTAMP_LTZ` of a number and a precision, or of a text.
fn ltz_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=3)?;
    let ty: FlinkType = TypeKind::TimestampLtz(3).nullable();
    let first = args[0].ty.kind.clone();
    if first.is_numeric() && args.len() <= 2 {
        let precision_fits = args.get(1).is_none_or(|precision| {
            let is_literal = match &precision.kind {
                ExprKind::Literal(Literal::Integer(p)) => matches!(p, 0 | 3),
                ExprKind::Literal(_) => precision.ty.kind == TypeKind::Null,
                _ => true,
            };
            is_literal && (precision.ty.kind.is_integer() || precision.ty.kind == TypeKind::Null)
        });
        if !precision_fits {
            return Err(mismatch(name, &args, "a number and the precision 0 or 3"));
        }
        let number = if first.is_integer() {
            TypeKind::BigInt
        } else {
            TypeKind::Double
        };
        let mut args = args.into_iter();
        let mut cast: Vec<Expr> = args
            .next()
            .map(|arg| convert(arg, &number))
            .into_iter()
            .collect();
        cast.extend(args.map(|arg| convert(arg, &TypeKind::Int)));
        return Ok(call(name, cast, ty, span));
    }
    let is_text = |arg: &Expr| arg.ty.kind.is_character() || arg.ty.kind == TypeKind::Null;
    if !args.iter().all(is_text) {
        return Err(mismatch(
            name,
            &args,
            "(BIGINT[, precision]) or (STRING[, format[, zone]])",
        ));
    }
    let text = |arg: Expr| {
        if arg.ty.kind == TypeKind::Null {
            convert(arg, &TypeKind::string())
        } else {
            arg
        }
    };
    Ok(call(name, args.into_iter().map(text).collect(), ty, span))
}

/// `TO_TIMESTAMP_LTZ`.
fn to_ltz(call: &Call<'_>) -> Result<ArrayRef> {
    if call.types[0].kind.is_character() {
        return text_to_ltz(call);
    }
    let precision = if call.args.len() > 1 {
        Some(call.int(1)?)
    } else {
        None
    };
    let is_integer = call.types[0].kind == TypeKind::BigInt;
    let values: Vec<Option<i64>> = (0..call.rows)
        .map(|i| {
            let precision = precision.as_ref().map_or(Some(3), |p| p.get(i));
            let millis = if is_integer {
                call.long(0)?.get(i)
            } else {
                call.double(0)?.get(i).and_then(whole)
            };
            let Some((precision, number)) = precision.zip(millis) else {
                return Ok(None);
            };
            let scale = match precision {
                0 => SECOND_US,
                3 => MICROS,
                other => {
                    return Err(Error::arithmetic(format!(
                        "the precision of TO_TIMESTAMP_LTZ is 0 or 3, not {other}"
                    )));
                }
            };
            Ok(number.checked_mul(scale))
        })
        .collect::<Result<_>>()?;
    Ok(datetime::timestamps(values.into_iter(), 3))
}

/// The whole part of a number in the range of times.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(x: f64) -> Option<i64> {
    // Times of the years 0 to 9999 have fewer than 10^15 milliseconds.
    (x.abs() < 1e15).then_some(x as i64)
}

/// `TO_TIMESTAMP_LTZ` of a text: in UTC unless a zone is given.
fn text_to_ltz(call: &Call<'_>) -> Result<ArrayRef> {
    let zone = if call.args.len() > 2 {
        Some(call.text(2)?)
    } else {
        None
    };
    let local = read(call, datetime::parse_timestamp)?;
    let values: Vec<Option<i64>> = local
        .into_iter()
        .enumerate()
        .map(|(i, local)| {
            let Some(zone) = &zone else {
                return Ok(local);
            };
            let Some((local, zone)) = local.zip(zone.get(i)) else {
                return Ok(None);
            };
            Ok(Some(crate::sql::eval::to_instant(
                local,
                &Zone::parse(zone)?,
            )))
        })
        .collect::<Result<_>>()?;
    Ok(datetime::timestamps(values.into_iter(), 3))
}

/// `DATE_FORMAT` of a timestamp, date or text.
fn format_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=2)?;
    let kind = &args[0].ty.kind;
    let fits = is_dated(kind) || kind.is_character() || *kind == TypeKind::Null;
    let is_text = |kind: &TypeKind| kind.is_character() || *kind == TypeKind::Null;
    if !fits || !is_text(&args[1].ty.kind) {
        return Err(mismatch(name, &args, "(TIMESTAMP or STRING, STRING)"));
    }
    let may_fail_to_read = kind.is_character();
    let args: Vec<Expr> = args
        .into_iter()
        .map(|arg| {
            if arg.ty.kind == TypeKind::Null {
                convert(arg, &TypeKind::string())
            } else {
                arg
            }
        })
        .collect();
    let nullable = may_fail_to_read || any_nullable(&args);
    Ok(call(
        name,
        args,
        TypeKind::string().nullable().with_nullable(nullable),
        span,
    ))
}

/// `DATE_FORMAT`.
fn format(call: &Call<'_>) -> Result<ArrayRef> {
    let (kind, pattern) = (&call.types[0].kind, call.text(1)?);
    let text = if kind.is_character() {
        Some(call.text(0)?)
    } else {
        None
    };
    let mut patterns = Patterns::default();
    call.texts(|i| {
        let local = match &text {
            Some(text) => text.get(i).and_then(datetime::parse_timestamp),
            None => local_micros(call.value(0)?, kind, i, call.zone)?,
        };
        let Some((local, pattern)) = local.zip(pattern.get(i)) else {
            return Ok(None);
        };
        Ok(Some(patterns.get(pattern)?.format(local)))
    })
}

/// `FROM_UNIXTIME`: seconds as text in the session time zone.
fn from_unixtime(call: &Call<'_>) -> Result<ArrayRef> {
    let seconds = call.long(0)?;
    let pattern = if call.args.len() > 1 {
        Some(call.text(1)?)
    } else {
        None
    };
    let mut patterns = Patterns::default();
    call.texts(|i| {
        let pattern = pattern.as_ref().map_or(Some(DEFAULT_PATTERN), |p| p.get(i));
        let Some((seconds, pattern)) = seconds.get(i).zip(pattern) else {
            return Ok(None);
        };
        let Some(micros) = seconds.checked_mul(SECOND_US) else {
            return Ok(None);
        };
        let local =
            micros.saturating_add(call.zone.offset_at(seconds.saturating_mul(1000)) * MICROS);
        Ok(Some(patterns.get(pattern)?.format(local)))
    })
}

/// `UNIX_TIMESTAMP`: seconds now, or of a text in the session time zone; a text that does not match gives the smallest BIGINT.
fn unix_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    if call.args.is_empty() {
        let now = call.context.now_ms.div_euclid(1000);
        return call.primitives::<Int64Type>(|_| Ok(Some(now)));
    }
    let local = read(call, datetime::parse_timestamp)?;
    let is_null = |i: usize| -> Result<bool> {
        for arg in 0..call.args.len() {
            if call.text(arg)?.is_null(i) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    call.primitives::<Int64Type>(|i| {
        if is_null(i)? {
            return Ok(None);
        }
        Ok(Some(local[i].map_or(i64::MIN, |local| {
            crate::sql::eval::to_instant(local, call.zone).div_euclid(SECOND_US)
        })))
    })
}
