//! Columns as JSON.
//!
//! Place in the flow: `JSON_STRING`, `JSON_OBJECT` and `JSON_ARRAY` write their values here. Invariant: the text is that of
//! Jackson's tree in Flink: keys ascend, fractions print as `BigDecimal`, bytes are base64, times are ISO 8601.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float32Type, Float64Type};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::number::Number;
use super::value::{sort_keys, write_string};
use crate::error::{Error, Result};
use crate::sql::eval::datetime::{self, Moment};
use crate::sql::text;
use crate::types::{FlinkType, TypeKind};

/// Refuses types that have no form in JSON: dates, times, intervals, and maps whose keys are no strings.
///
/// # Errors
/// `Invalid` naming the type.
pub(crate) fn check_type(ty: &FlinkType) -> Result<()> {
    match &ty.kind {
        TypeKind::Date
        | TypeKind::Time(_)
        | TypeKind::IntervalYearMonth
        | TypeKind::IntervalDayTime => Err(Error::type_mismatch(format!(
            "a value of type {ty} has no form in JSON"
        ))),
        TypeKind::Map(key, value) => {
            check_key(key)?;
            check_type(value)
        }
        TypeKind::Multiset(element) => check_key(element),
        TypeKind::Array(element) => check_type(element),
        TypeKind::Row(fields) => fields.iter().try_for_each(|field| check_type(&field.ty)),
        _ => Ok(()),
    }
}

/// Refuses keys that are no strings.
fn check_key(ty: &FlinkType) -> Result<()> {
    if ty.kind.is_character() {
        return Ok(());
    }
    Err(Error::type_mismatch(format!(
        "a key of type {ty} has no form in JSON, keys are character strings"
    )))
}

/// Appends the JSON of a value; NULL is `null`.
///
/// # Errors
/// `Internal` for an array of another type, or a type that [`check_type`] refuses.
pub(crate) fn write(out: &mut String, array: &ArrayRef, row: usize, ty: &FlinkType) -> Result<()> {
    if ty.kind == TypeKind::Null || array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match &ty.kind {
        TypeKind::Boolean => {
            let value = array.as_boolean_opt().ok_or_else(wrong)?.value(row);
            out.push_str(if value { "true" } else { "false" });
        }
        TypeKind::Char(_) | TypeKind::VarChar(_) => {
            write_string(
                out,
                array.as_string_opt::<i32>().ok_or_else(wrong)?.value(row),
            );
        }
        TypeKind::Variant => {
            out.push_str(array.as_string_opt::<i32>().ok_or_else(wrong)?.value(row));
        }
        TypeKind::Binary(_) | TypeKind::VarBinary(_) => {
            let bytes = array.as_binary_opt::<i32>().ok_or_else(wrong)?.value(row);
            write_string(out, &STANDARD.encode(bytes));
        }
        TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => {
            let moment = datetime::moment_at(array.as_ref(), row)?.unwrap_or_default();
            let is_instant = matches!(ty.kind, TypeKind::TimestampLtz(_));
            write_string(out, &iso_text(moment, if is_instant { "Z" } else { "" }));
        }
        TypeKind::Array(element) => {
            let values = array.as_list_opt::<i32>().ok_or_else(wrong)?.value(row);
            out.push('[');
            for i in 0..values.len() {
                if i > 0 {
                    out.push(',');
                }
                write(out, &values, i, element)?;
            }
            out.push(']');
        }
        TypeKind::Map(_, value) => write_map(out, array, row, value)?,
        TypeKind::Multiset(_) => write_map(out, array, row, &TypeKind::Int.not_null())?,
        TypeKind::Row(fields) => {
            let columns = array.as_struct_opt().ok_or_else(wrong)?.columns();
            let mut members: Vec<_> = fields.iter().zip(columns).collect();
            members.sort_by(|(a, _), (b, _)| sort_keys(&a.name, &b.name));
            out.push('{');
            for (i, (field, column)) in members.into_iter().enumerate() {
                write_key(out, i, &field.name);
                write(out, column, row, &field.ty)?;
            }
            out.push('}');
        }
        kind => out.push_str(&number_text(array, row, kind)?),
    }
    Ok(())
}

/// Appends a comma unless the member is the first, the key and a colon.
pub(crate) fn write_key(out: &mut String, member: usize, key: &str) {
    if member > 0 {
        out.push(',');
    }
    write_string(out, key);
    out.push(':');
}

/// Appends a map as an object.
fn write_map(out: &mut String, array: &ArrayRef, row: usize, value: &FlinkType) -> Result<()> {
    let entries = array.as_map_opt().ok_or_else(wrong)?.value(row);
    let keys = entries.column(0).as_string_opt::<i32>().ok_or_else(wrong)?;
    let mut members: Vec<(&str, usize)> = (0..keys.len()).map(|i| (keys.value(i), i)).collect();
    members.sort_by(|(a, _), (b, _)| sort_keys(a, b));
    out.push('{');
    for (member, (key, entry)) in members.into_iter().enumerate() {
        write_key(out, member, key);
        write(out, entries.column(1), entry, value)?;
    }
    out.push('}');
    Ok(())
}

/// The text of a number: fractions as `BigDecimal` prints them; what is no number in JSON is in quotes.
fn number_text(array: &ArrayRef, row: usize, kind: &TypeKind) -> Result<String> {
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
        // Flink widens a FLOAT before it prints it.
        TypeKind::Float => double_text(slot!(Float32Type).into()),
        TypeKind::Double => double_text(slot!(Float64Type)),
        TypeKind::Decimal { .. } => big_decimal(&text::number(array, row, kind)?),
        kind => text::number(array, row, kind)?,
    })
}

/// The text of a DOUBLE.
fn double_text(value: f64) -> String {
    let text = text::double_text(value);
    if value.is_finite() {
        big_decimal(&text)
    } else {
        format!("\"{text}\"")
    }
}

/// A number in the spelling of `BigDecimal`.
fn big_decimal(text: &str) -> String {
    Number::parse(text).map_or_else(|| text.to_owned(), |number| number.to_text())
}

/// A local time as `2024-12-31T23:59:59.5`, with as many digits of the fraction as it takes.
fn iso_text(moment: Moment, suffix: &str) -> String {
    let text = datetime::timestamp_text(moment, 9).replacen(' ', "T", 1);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{suffix}")
}

/// An array of another type than the plan says.
fn wrong() -> Error {
    Error::internal("a value does not have the type of the plan")
}
