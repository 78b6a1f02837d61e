//! Values of the case files as columns, and columns as values.
//!
//! Place in the flow: rows of tables and fields of expressions come from here. Invariant: text is read by arrow's parsers, not by those
//! that the cases check.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, Int64Array, ListArray, MapArray,
    NullArray, StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};
use serde_json::{Map, Value, json};
use weir_runtime::sql::text::to_text;
use weir_runtime::{Error, FlinkType, Result, TypeKind};

/// The error for what a case lacks.
pub(crate) fn missing(what: &str) -> Error {
    Error::internal(format!("the case has no {what}"))
}

/// The error for a value of another shape than its type.
fn unfit(value: &Value, ty: &FlinkType) -> Error {
    Error::internal(format!("the case has {value} for {ty}"))
}

/// A column of values.
///
/// # Errors
/// `Internal` when one has not the shape that the type has in case files; `Unsupported` for maps with NULL as a key.
pub(crate) fn array(ty: &FlinkType, values: &[&Value]) -> Result<ArrayRef> {
    Ok(match (&ty.kind, ty.to_arrow()?) {
        (TypeKind::Null, _) => Arc::new(NullArray::new(values.len())),
        (TypeKind::Boolean, _) => Arc::new(
            values
                .iter()
                .map(|value| value.as_bool())
                .collect::<BooleanArray>(),
        ),
        (kind, _) if kind.is_character() => Arc::new(
            values
                .iter()
                .map(|value| text(value))
                .collect::<StringArray>(),
        ),
        (kind, _) if kind.is_binary() => Arc::new(
            values
                .iter()
                .map(|value| bytes(value, ty))
                .collect::<Result<BinaryArray>>()?,
        ),
        (TypeKind::IntervalYearMonth, _) => Arc::new(
            values
                .iter()
                .map(|value| months(value, ty))
                .collect::<Result<Int32Array>>()?,
        ),
        (TypeKind::IntervalDayTime, _) => Arc::new(
            values
                .iter()
                .map(|value| millis(value, ty))
                .collect::<Result<Int64Array>>()?,
        ),
        (TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Row(_), data_type) => {
            nested(ty, data_type, values)?
        }
        (TypeKind::Timestamp(7..) | TypeKind::TimestampLtz(7..), data_type) => {
            let finest = DataType::Timestamp(TimeUnit::Nanosecond, None);
            let nanos = cast(&parsed(values, &finest)?, &DataType::Int64)?;
            cast(&nanos, &data_type)?
        }
        (kind, data_type) if kind.is_integer() => {
            let wide: Int64Array = values.iter().map(|value| integer(value, kind)).collect();
            cast(&wide, &data_type)?
        }
        (_, data_type) => parsed(values, &data_type)?,
    })
}

/// A column of arrays, maps or rows.
fn nested(ty: &FlinkType, data_type: DataType, values: &[&Value]) -> Result<ArrayRef> {
    let present: NullBuffer = values.iter().map(|value| !value.is_null()).collect();
    Ok(match (&ty.kind, data_type) {
        (TypeKind::Array(element), DataType::List(field)) => {
            let lists = values.iter().map(|value| elements(value, ty));
            let lists = lists.collect::<Result<Vec<_>>>()?;
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
            let inner = array(element, &lists.concat())?;
            Arc::new(ListArray::try_new(field, offsets, inner, Some(present))?)
        }
        (TypeKind::Map(key, value), DataType::Map(field, sorted)) => {
            let maps = values.iter().map(|value| entries(value, ty));
            let maps = maps.collect::<Result<Vec<_>>>()?;
            let offsets = OffsetBuffer::from_lengths(maps.iter().map(Vec::len));
            let (keys, inner): (Vec<_>, Vec<_>) = maps.concat().into_iter().unzip();
            if keys.iter().any(|key| key.is_null()) {
                return Err(Error::unsupported("a map with NULL as a key"));
            }
            let columns = vec![array(key, &keys)?, array(value, &inner)?];
            let DataType::Struct(fields) = field.data_type() else {
                return Err(Error::internal("a map without entries"));
            };
            let entries = StructArray::try_new(fields.clone(), columns, None)?;
            let map = MapArray::try_new(field.clone(), offsets, entries, Some(present), sorted);
            Arc::new(map?)
        }
        (TypeKind::Row(row), DataType::Struct(fields)) => {
            let column = |(index, field): (usize, &weir_runtime::RowField)| {
                let parts: Vec<&Value> = values
                    .iter()
                    .map(|value| parts_of_row(value).get(index).unwrap_or(&Value::Null))
                    .collect();
                array(&field.ty, &parts)
            };
            let columns = row.iter().enumerate().map(column);
            let columns = columns.collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new_with_length(
                fields,
                columns,
                Some(present),
                values.len(),
            )?)
        }
        _ => return Err(Error::internal(format!("{ty} is not nested"))),
    })
}

/// The fields of a row: `{"$row": [...]}`, or a list where the type says that it is one.
fn parts_of_row(value: &Value) -> &[Value] {
    let list = value.get("$row").unwrap_or(value);
    list.as_array().map_or(&[], Vec::as_slice)
}

/// A number as Java narrows it to an integer type.
#[expect(
    clippy::cast_possible_truncation,
    reason = "Java's narrowing is wanted"
)]
fn integer(value: &Value, kind: &TypeKind) -> Option<i64> {
    let wide = value
        .as_i64()
        .or_else(|| value.as_f64().map(|value| value as i128 as i64))?;
    Some(match kind {
        TypeKind::TinyInt => i64::from(wide as i8),
        TypeKind::SmallInt => i64::from(wide as i16),
        TypeKind::Int => i64::from(wide as i32),
        _ => wide,
    })
}

/// Scalars read from their texts.
fn parsed(values: &[&Value], data_type: &DataType) -> Result<ArrayRef> {
    let texts = values.iter().map(|value| text(value).map(whole_time));
    let texts: StringArray = texts.collect();
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    Ok(cast_with_options(&texts, data_type, &strict)?)
}

/// A value as results have it: rows and arrays are lists, maps objects, bytes lists of Java's signed bytes, all else text.
///
/// # Errors
/// `Internal` when the array is not of the type.
pub(crate) fn natural(array: &ArrayRef, row: usize, ty: &FlinkType) -> Result<Value> {
    if array.is_null(row) || ty.kind == TypeKind::Null {
        return Ok(Value::Null);
    }
    let wrong = || Error::internal(format!("a column is not {ty}"));
    let list = |values: &ArrayRef, ty: &FlinkType| {
        let values = (0..values.len()).map(|at| natural(values, at, ty));
        values.collect::<Result<Vec<Value>>>()
    };
    Ok(match &ty.kind {
        TypeKind::Boolean => json!(array.as_boolean_opt().ok_or_else(wrong)?.value(row)),
        TypeKind::Array(element) => {
            let values = array.as_list_opt::<i32>().ok_or_else(wrong)?.value(row);
            Value::Array(list(&values, element)?)
        }
        TypeKind::Map(key, value) => {
            let entries = array.as_map_opt().ok_or_else(wrong)?.value(row);
            let (keys, values) = (
                list(entries.column(0), key)?,
                list(entries.column(1), value)?,
            );
            let name = |key: Value| name(&key);
            Value::Object(
                keys.into_iter()
                    .map(name)
                    .zip(values)
                    .collect::<Map<_, _>>(),
            )
        }
        TypeKind::Row(fields) => {
            let columns = array.as_struct_opt().ok_or_else(wrong)?.columns();
            let values = fields.iter().zip(columns);
            let values = values.map(|(field, column)| natural(column, row, &field.ty));
            Value::Array(values.collect::<Result<_>>()?)
        }
        kind if kind.is_binary() => {
            let bytes = array.as_binary_opt::<i32>().ok_or_else(wrong)?.value(row);
            bytes.iter().map(|byte| byte.cast_signed()).collect()
        }
        _ => to_text(array, row, ty, "UTC")?.map_or(Value::Null, Value::String),
    })
}

/// A scalar as text; absent for NULL.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The text of a key.
fn name(key: &Value) -> String {
    match key {
        Value::Array(parts) => {
            let parts: Vec<String> = parts.iter().map(name).collect();
            format!("[{}]", parts.join(", "))
        }
        key => text(key).unwrap_or_else(|| "null".to_owned()),
    }
}

/// A timestamp that is printed without its seconds, with them; any other text as it is.
fn whole_time(text: String) -> String {
    match text.split_once(['T', ' ']) {
        Some((_, time)) if time.len() == "hh:mm".len() => text + ":00",
        _ => text,
    }
}

/// `{"$bytes": hex}`.
fn bytes(value: &Value, ty: &FlinkType) -> Result<Option<Vec<u8>>> {
    if value.is_null() {
        return Ok(None);
    }
    if value.as_array().is_some_and(Vec::is_empty) {
        return Ok(Some(Vec::new()));
    }
    let digits = value["$bytes"].as_str().ok_or_else(|| unfit(value, ty))?;
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes = (0..digits.len()).step_by(2).map(byte);
    bytes
        .collect::<Option<Vec<u8>>>()
        .map(Some)
        .ok_or_else(|| unfit(value, ty))
}

/// Months: a number, or `P10Y4M0D`.
fn months(value: &Value, ty: &FlinkType) -> Result<Option<i32>> {
    let Some(text) = text(value) else {
        return Ok(None);
    };
    let written = || {
        let (years, rest) = text.strip_prefix('P')?.split_once('Y')?;
        let (months, _) = rest.split_once('M')?;
        Some(years.parse::<i32>().ok()? * 12 + months.parse::<i32>().ok()?)
    };
    let months = text.parse().ok().or_else(written);
    months.map(Some).ok_or_else(|| unfit(value, ty))
}

/// Milliseconds: a number, or `43200000 ms`.
fn millis(value: &Value, ty: &FlinkType) -> Result<Option<i64>> {
    let Some(text) = text(value) else {
        return Ok(None);
    };
    let millis = text.trim_end_matches(" ms").parse().ok();
    millis.map(Some).ok_or_else(|| unfit(value, ty))
}

/// The elements of a list; none for NULL.
fn elements<'a>(value: &'a Value, ty: &FlinkType) -> Result<Vec<&'a Value>> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(elements) => Ok(elements.iter().collect()),
        _ => Err(unfit(value, ty)),
    }
}

/// The pairs of `{"$map": [[key, value]]}`; none for NULL.
fn entries<'a>(value: &'a Value, ty: &FlinkType) -> Result<Vec<(&'a Value, &'a Value)>> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    let pairs = value["$map"].as_array().ok_or_else(|| unfit(value, ty))?;
    let pair = |pair: &'a Value| match pair.as_array().map(Vec::as_slice) {
        Some([key, value]) => Ok((key, value)),
        _ => Err(unfit(value, ty)),
    };
    pairs.iter().map(pair).collect()
}
