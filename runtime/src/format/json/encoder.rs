//! Columns to JSON objects.
//!
//! Place in the flow: one per sink subtask and part of a record. Invariant: fields stand in the order of the columns, and what is
//! written is read back by the decoder as the same row.

use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};
use base64::Engine;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::format::json::time::{push_date, push_time, push_timestamp};
use crate::format::json::{JsonOptions, Times};
use crate::format::{Encoder, FormatField};
use crate::types::{FlinkType, TypeKind};

/// Encodes rows as JSON objects.
#[derive(Debug)]
pub struct JsonEncoder {
    /// Type of each field.
    types: Vec<FlinkType>,
    /// What stands before each value: brace or comma, the quoted name, a colon.
    heads: Vec<Vec<u8>>,
    /// How times are written.
    times: Times,
}

impl JsonEncoder {
    /// An encoder of some fields.
    ///
    /// # Errors
    /// `Unsupported` for types that JSON does not hold.
    pub fn new(fields: &[FormatField], options: JsonOptions) -> Result<Self> {
        let mut heads = Vec::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            check(&field.ty).map_err(|error| error.context(&format!("field {}", field.name)))?;
            let mut head = vec![if index == 0 { b'{' } else { b',' }];
            push_string(&mut head, &field.name);
            head.push(b':');
            heads.push(head);
        }
        let types = fields.iter().map(|field| field.ty.clone()).collect();
        Ok(Self {
            types,
            heads,
            times: options.times,
        })
    }
}

/// Refuses types that have no JSON form.
fn check(ty: &FlinkType) -> Result<()> {
    match &ty.kind {
        TypeKind::Map(key, value) if key.kind.is_character() => check(value),
        TypeKind::Multiset(element) if element.kind.is_character() => Ok(()),
        TypeKind::Map(..) | TypeKind::Multiset(_) => Err(Error::unsupported(format!(
            "{} in JSON: keys must be strings",
            ty.kind
        ))),
        TypeKind::Array(element) => check(element),
        TypeKind::Row(fields) => fields.iter().try_for_each(|field| check(&field.ty)),
        _ => ty.to_arrow().map(drop),
    }
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, batch: &Batch, buffer: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        for row in 0..batch.rows {
            if self.heads.is_empty() {
                buffer.push(b'{');
            }
            for ((column, ty), head) in batch.columns.iter().zip(&self.types).zip(&self.heads) {
                buffer.extend_from_slice(head);
                push_value(buffer, column, row, ty, self.times)?;
            }
            buffer.push(b'}');
            ends.push(buffer.len());
        }
        Ok(())
    }
}

/// Appends one value.
fn push_value(
    out: &mut Vec<u8>,
    array: &ArrayRef,
    row: usize,
    ty: &FlinkType,
    times: Times,
) -> Result<()> {
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match (&ty.kind, array.data_type()) {
        (
            TypeKind::Date | TypeKind::Time(_) | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_),
            _,
        ) => {
            push_time_value(out, array, row, &ty.kind, times)?;
        }
        (_, DataType::Boolean) => out.extend_from_slice(if array.as_boolean().value(row) {
            b"true"
        } else {
            b"false"
        }),
        (_, DataType::Int8) => {
            push_integer(out, i64::from(array.as_primitive::<Int8Type>().value(row)));
        }
        (_, DataType::Int16) => {
            push_integer(out, i64::from(array.as_primitive::<Int16Type>().value(row)));
        }
        (_, DataType::Int32) => {
            push_integer(out, i64::from(array.as_primitive::<Int32Type>().value(row)));
        }
        (_, DataType::Int64) => push_integer(out, array.as_primitive::<Int64Type>().value(row)),
        (_, DataType::Float32) => push_float(out, &array.as_primitive::<Float32Type>().value(row))?,
        (_, DataType::Float64) => push_float(out, &array.as_primitive::<Float64Type>().value(row))?,
        (_, DataType::Decimal128(_, scale)) => {
            push_decimal(
                out,
                array.as_primitive::<Decimal128Type>().value(row),
                u32::from(scale.unsigned_abs()),
            );
        }
        (_, DataType::Utf8) => push_string(out, array.as_string::<i32>().value(row)),
        (_, DataType::Binary) => {
            out.push(b'"');
            let text = base64::engine::general_purpose::STANDARD
                .encode(array.as_binary::<i32>().value(row));
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
        }
        _ => push_nested(out, array, row, ty, times)?,
    }
    Ok(())
}

/// Appends a date or time.
fn push_time_value(
    out: &mut Vec<u8>,
    array: &ArrayRef,
    row: usize,
    kind: &TypeKind,
    times: Times,
) -> Result<()> {
    let (value, micros_per_unit) = match array.data_type() {
        DataType::Date32 => (i64::from(array.as_primitive::<Date32Type>().value(row)), 1),
        DataType::Time32(_) => (
            i64::from(array.as_primitive::<Time32MillisecondType>().value(row)),
            1000,
        ),
        DataType::Timestamp(TimeUnit::Millisecond, _) => (
            array.as_primitive::<TimestampMillisecondType>().value(row),
            1000,
        ),
        DataType::Timestamp(TimeUnit::Microsecond, _) => (
            array.as_primitive::<TimestampMicrosecondType>().value(row),
            1,
        ),
        other => return Err(Error::internal(format!("a time stored as {other}"))),
    };
    if times == Times::Numbers {
        push_integer(out, value);
        return Ok(());
    }
    out.push(b'"');
    match kind {
        TypeKind::Date => push_date(out, value),
        TypeKind::Time(_) => push_time(out, value * micros_per_unit),
        _ => {
            let micros = value
                .checked_mul(micros_per_unit)
                .ok_or_else(|| Error::arithmetic("a timestamp out of range"))?;
            push_timestamp(
                out,
                micros,
                times,
                matches!(kind, TypeKind::TimestampLtz(_)),
            );
        }
    }
    out.push(b'"');
    Ok(())
}

/// Appends an array, map, multiset or row.
fn push_nested(
    out: &mut Vec<u8>,
    array: &ArrayRef,
    row: usize,
    ty: &FlinkType,
    times: Times,
) -> Result<()> {
    match (&ty.kind, array.data_type()) {
        (TypeKind::Array(element), DataType::List(_)) => {
            let values = array.as_list::<i32>().value(row);
            out.push(b'[');
            for index in 0..values.len() {
                if index > 0 {
                    out.push(b',');
                }
                push_value(out, &values, index, element, times)?;
            }
            out.push(b']');
        }
        (TypeKind::Map(..) | TypeKind::Multiset(_), DataType::Map(..)) => {
            let count = FlinkType {
                kind: TypeKind::Int,
                nullable: false,
            };
            let value_ty = if let TypeKind::Map(_, value) = &ty.kind {
                value
            } else {
                &count
            };
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            out.push(b'{');
            for index in 0..entries.len() {
                if index > 0 {
                    out.push(b',');
                }
                push_string(out, keys.as_string::<i32>().value(index));
                out.push(b':');
                push_value(out, values, index, value_ty, times)?;
            }
            out.push(b'}');
        }
        (TypeKind::Row(fields), DataType::Struct(_)) => {
            let values = array.as_struct();
            out.push(b'{');
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_string(out, &field.name);
                out.push(b':');
                push_value(out, values.column(index), row, &field.ty, times)?;
            }
            out.push(b'}');
        }
        (kind, stored) => return Err(Error::internal(format!("{kind} stored as {stored}"))),
    }
    Ok(())
}

/// Appends an integer.
fn push_integer(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a float in its shortest form that reads back the same; what JSON has no number for as text, as Jackson does.
fn push_float<T: serde::Serialize + std::fmt::Display>(out: &mut Vec<u8>, value: &T) -> Result<()> {
    let start = out.len();
    serde_json::to_writer(&mut *out, value).map_err(|error| Error::internal(error.to_string()))?;
    if out[start..] == *b"null" {
        out.truncate(start);
        let text = value.to_string().replace("inf", "Infinity");
        write!(out, "\"{text}\"")?;
    }
    Ok(())
}

/// Appends a decimal as a plain number.
fn push_decimal(out: &mut Vec<u8>, value: i128, scale: u32) {
    let digits = value.unsigned_abs().to_string();
    let scale = scale as usize;
    if value < 0 {
        out.push(b'-');
    }
    if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.extend_from_slice(whole.as_bytes());
        if scale > 0 {
            out.push(b'.');
            out.extend_from_slice(fraction.as_bytes());
        }
    } else {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', scale - digits.len()));
        out.extend_from_slice(digits.as_bytes());
    }
}

/// Appends a string with the escapes that RFC 8259 demands.
fn push_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => &[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ],
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        out.extend_from_slice(escape);
        plain = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}
