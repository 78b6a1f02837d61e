//! Values as text and as JSON, the way Flink and Confluent's results print them.
//!
//! Place in the flow: `CAST(x AS STRING)`, the print connector and statement results. Invariant: text depends on the
//! logical type, not on the Arrow type alone.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType,
};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::sql::eval::zone::Zone;
use crate::sql::eval::{bitmap, datetime, decimal};
use crate::types::{FlinkType, TypeKind};

/// A value as Confluent's statement results carry it: scalars are JSON strings, NULL is null, nested values are arrays.
///
/// # Errors
/// `Internal` when the array is not of the type.
pub fn to_result_json(
    array: &ArrayRef,
    row: usize,
    ty: &FlinkType,
    time_zone: &str,
) -> Result<Value> {
    json(array, row, ty, &Zone::parse(time_zone)?)
}

/// The text of `CAST(value AS STRING)`; `None` for NULL.
///
/// # Errors
/// `Internal` when the array is not of the type.
pub fn to_text(
    array: &ArrayRef,
    row: usize,
    ty: &FlinkType,
    time_zone: &str,
) -> Result<Option<String>> {
    text(array, row, ty, &Zone::parse(time_zone)?)
}

/// [`to_result_json`] with a parsed time zone.
fn json(array: &ArrayRef, row: usize, ty: &FlinkType, zone: &Zone) -> Result<Value> {
    if array.is_null(row) || ty.kind == TypeKind::Null {
        return Ok(Value::Null);
    }
    let list = |values: &ArrayRef, ty: &FlinkType| {
        (0..values.len())
            .map(|i| json(values, i, ty, zone))
            .collect::<Result<Vec<_>>>()
    };
    match &ty.kind {
        TypeKind::Array(element) => {
            let values = array.as_list_opt::<i32>().ok_or_else(wrong)?.value(row);
            Ok(Value::Array(list(&values, element)?))
        }
        TypeKind::Map(..) | TypeKind::Multiset(_) => {
            let entries = array.as_map_opt().ok_or_else(wrong)?.value(row);
            let (key, value) = entry_types(&ty.kind)?;
            let keys = list(entries.column(0), &key)?;
            let values = list(entries.column(1), &value)?;
            let pairs = keys.into_iter().zip(values);
            Ok(Value::Array(
                pairs.map(|(k, v)| Value::Array(vec![k, v])).collect(),
            ))
        }
        TypeKind::Row(fields) => {
            let row_array = array.as_struct_opt().ok_or_else(wrong)?;
            let values = fields.iter().zip(row_array.columns());
            let values = values.map(|(field, column)| json(column, row, &field.ty, zone));
            Ok(Value::Array(values.collect::<Result<_>>()?))
        }
        TypeKind::Binary(_) | TypeKind::VarBinary(_) => {
            let bytes = array.as_binary_opt::<i32>().ok_or_else(wrong)?.value(row);
            let digit = |nibble: u8| char::from_digit(nibble.into(), 16);
            let digits = bytes
                .iter()
                .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
            let hex: String = digits.flatten().collect();
            Ok(Value::String(format!("x'{hex}'")))
        }
        _ => Ok(text(array, row, ty, zone)?.map_or(Value::Null, Value::String)),
    }
}

/// Types of the entries of a MAP or MULTISET.
fn entry_types(kind: &TypeKind) -> Result<(FlinkType, FlinkType)> {
    match kind {
        TypeKind::Map(key, value) => Ok(((**key).clone(), (**value).clone())),
        TypeKind::Multiset(element) => Ok(((**element).clone(), TypeKind::Int.not_null())),
        _ => Err(wrong()),
    }
}

/// [`to_text`] with a parsed time zone.
pub(crate) fn text(
    array: &ArrayRef,
    row: usize,
    ty: &FlinkType,
    zone: &Zone,
) -> Result<Option<String>> {
    if array.is_null(row) || ty.kind == TypeKind::Null {
        return Ok(None);
    }
    Ok(Some(match &ty.kind {
        TypeKind::Null => return Ok(None),
        TypeKind::Boolean => {
            let value = array.as_boolean_opt().ok_or_else(wrong)?.value(row);
            if value { "TRUE" } else { "FALSE" }.to_owned()
        }
        TypeKind::Char(_) | TypeKind::VarChar(_) | TypeKind::Variant => array
            .as_string_opt::<i32>()
            .ok_or_else(wrong)?
            .value(row)
            .to_owned(),
        TypeKind::Binary(_) | TypeKind::VarBinary(_) => {
            let bytes = array.as_binary_opt::<i32>().ok_or_else(wrong)?.value(row);
            String::from_utf8_lossy(bytes).into_owned()
        }
        TypeKind::Bitmap => {
            let bytes = array.as_binary_opt::<i32>().ok_or_else(wrong)?.value(row);
            bitmap::text(&bitmap::read(bytes)?)
        }
        TypeKind::Date
        | TypeKind::Time(_)
        | TypeKind::Timestamp(_)
        | TypeKind::TimestampLtz(_)
        | TypeKind::IntervalYearMonth
        | TypeKind::IntervalDayTime => time(array, row, &ty.kind, zone)?,
        TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_) | TypeKind::Row(_) => {
            nested(array, row, &ty.kind, zone)?
        }
        kind => number(array, row, kind)?,
    }))
}

/// The text of a number.
pub(crate) fn number(array: &ArrayRef, row: usize, kind: &TypeKind) -> Result<String> {
    /// Reads the slot of a primitive array.
    macro_rules! slot {
        ($ty:ty) => {
            array
                .as_primitive_opt::<$ty>()
                .ok_or_else(wrong)?
                .value(row)
        };
    }
    Ok(match kind {
        TypeKind::TinyInt => slot!(Int8Type).to_string(),
        TypeKind::SmallInt => slot!(Int16Type).to_string(),
        TypeKind::Int => slot!(Int32Type).to_string(),
        TypeKind::BigInt => slot!(Int64Type).to_string(),
        TypeKind::Float => float_text(&format!("{:e}", slot!(Float32Type))),
        TypeKind::Double => double_text(slot!(Float64Type)),
        TypeKind::Decimal { scale, .. } => decimal::to_text(slot!(Decimal128Type), *scale),
        _ => return Err(wrong()),
    })
}

/// The text of a time or interval.
fn time(array: &ArrayRef, row: usize, kind: &TypeKind, zone: &Zone) -> Result<String> {
    /// Reads the slot of a primitive array.
    macro_rules! slot {
        ($ty:ty) => {
            array
                .as_primitive_opt::<$ty>()
                .ok_or_else(wrong)?
                .value(row)
        };
    }
    Ok(match kind {
        TypeKind::Date => {
            let mut out = String::with_capacity(10);
            datetime::write_date(&mut out, slot!(Date32Type).into());
            out
        }
        TypeKind::Time(p) => datetime::time_text(slot!(Time32MillisecondType).into(), *p),
        TypeKind::Timestamp(p) => {
            let moment = datetime::moment_at(array.as_ref(), row)?.unwrap_or_default();
            datetime::timestamp_text(moment, *p)
        }
        TypeKind::TimestampLtz(p) => {
            let moment = datetime::moment_at(array.as_ref(), row)?.unwrap_or_default();
            datetime::timestamp_text(datetime::to_local(moment, zone), *p)
        }
        TypeKind::IntervalYearMonth => {
            let months = slot!(Int32Type);
            let sign = if months < 0 { '-' } else { '+' };
            let months = months.unsigned_abs();
            format!("{sign}{}-{:02}", months / 12, months % 12)
        }
        TypeKind::IntervalDayTime => {
            let millis = slot!(Int64Type);
            let sign = if millis < 0 { '-' } else { '+' };
            let millis = millis.unsigned_abs();
            let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
            let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
            let (seconds, fraction) = (rest / 1000 % 60, rest % 1000);
            format!("{sign}{days} {hours:02}:{minutes:02}:{seconds:02}.{fraction:03}")
        }
        _ => return Err(wrong()),
    })
}

/// The text of a nested value.
fn nested(array: &ArrayRef, row: usize, kind: &TypeKind, zone: &Zone) -> Result<String> {
    let part = |values: &ArrayRef, i: usize, ty: &FlinkType| -> Result<String> {
        Ok(text(values, i, ty, zone)?.unwrap_or_else(|| "NULL".to_owned()))
    };
    match kind {
        TypeKind::Array(element) => {
            let values = array.as_list_opt::<i32>().ok_or_else(wrong)?.value(row);
            let parts = (0..values.len()).map(|i| part(&values, i, element));
            Ok(format!(
                "[{}]",
                parts.collect::<Result<Vec<_>>>()?.join(", ")
            ))
        }
        TypeKind::Row(fields) => {
            let columns = array.as_struct_opt().ok_or_else(wrong)?.columns();
            let parts = fields.iter().zip(columns);
            let parts = parts.map(|(field, column)| part(column, row, &field.ty));
            Ok(format!(
                "({})",
                parts.collect::<Result<Vec<_>>>()?.join(", ")
            ))
        }
        kind => {
            let (key, value) = entry_types(kind)?;
            let entries = array.as_map_opt().ok_or_else(wrong)?.value(row);
            let parts = (0..entries.len()).map(|i| {
                let (k, v) = (
                    part(entries.column(0), i, &key)?,
                    part(entries.column(1), i, &value)?,
                );
                Ok(format!("{k}={v}"))
            });
            Ok(format!(
                "{{{}}}",
                parts.collect::<Result<Vec<_>>>()?.join(", ")
            ))
        }
    }
}

/// Java's `Double.toString`.
pub(crate) fn double_text(value: f64) -> String {
    float_text(&format!("{value:e}"))
}

/// Java's `toString` of a floating-point number from Rust's shortest `d.ddde±x`.
fn float_text(shortest: &str) -> String {
    let (mantissa, exponent) = match shortest.split_once('e') {
        Some(parts) => parts,
        None if shortest.contains("NaN") => return "NaN".to_owned(),
        None if shortest.starts_with('-') => return "-Infinity".to_owned(),
        None => return "Infinity".to_owned(),
    };
    let (sign, mantissa) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |m| ("-", m));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or_default();
    // Java prints numbers from 10^-3 up to 10^7 without an exponent.
    match exponent {
        0..=6 => {
            let whole = usize::try_from(exponent).unwrap_or_default() + 1;
            let padded = format!("{digits:0<width$}", width = whole + 1);
            let (whole, fraction) = padded.split_at(whole);
            format!("{sign}{whole}.{fraction}")
        }
        -3..=-1 => {
            let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or_default());
            format!("{sign}0.{zeros}{digits}")
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            let rest = if rest.is_empty() { "0" } else { rest };
            format!("{sign}{first}.{rest}E{exponent}")
        }
    }
}

/// An array of another type than the plan says.
fn wrong() -> Error {
    Error::internal("a value does not have the type of the plan")
}
