//! Rows to JSON objects.
//!
//! Place in the flow: `task` hands it the columns of the key or of the value. Invariant: what it writes, the decoder with the same
//! options reads back to the same values.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, ListArray, MapArray,
    PrimitiveArray, StringArray,
};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType,
};
use base64::Engine;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::format::column::elements;
use crate::format::json::decoder::check_type;
use crate::format::json::scan;
use crate::format::json::{Decimals, JsonOptions, NullFields, Typing};
use crate::format::text::{self, TimestampFormat};
use crate::format::{Encoder, FormatField};
use crate::types::{FlinkType, TypeKind};

/// Encodes rows as JSON objects.
#[derive(Debug)]
pub struct JsonEncoder {
    /// Columns in order.
    fields: Vec<FormatField>,
    /// How JSON is written.
    options: JsonOptions,
}

impl JsonEncoder {
    /// An encoder of the fields, in order.
    ///
    /// # Errors
    /// `Unsupported` for types that JSON has no form for.
    pub fn new(fields: Vec<FormatField>, options: JsonOptions) -> Result<Self> {
        for field in &fields {
            check_type(&field.ty, &options)
                .map_err(|error| error.context(&format!("field {}", field.name)))?;
        }
        Ok(Self { fields, options })
    }
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, batch: &Batch, buffer: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        let rows = ObjectWriter::new(
            self.fields
                .iter()
                .zip(&batch.columns)
                .map(|(field, column)| (field.name.as_str(), column, &field.ty)),
        )?;
        if rows.members.len() != self.fields.len() || batch.columns.len() != self.fields.len() {
            return Err(Error::internal("a batch has other columns than its format"));
        }
        for row in 0..batch.rows {
            rows.write(row, buffer, &self.options)?;
            ends.push(buffer.len());
        }
        Ok(())
    }
}

/// Writes objects with the same members.
#[derive(Debug)]
struct ObjectWriter<'a> {
    /// Each member's key with quotes and colon, and its values.
    members: Vec<(Vec<u8>, Writer<'a>)>,
}

impl<'a> ObjectWriter<'a> {
    /// A writer of named columns.
    fn new(members: impl Iterator<Item = (&'a str, &'a ArrayRef, &'a FlinkType)>) -> Result<Self> {
        let members = members
            .map(|(name, column, ty)| {
                let mut key = Vec::with_capacity(name.len() + 3);
                write_string(&mut key, name.as_bytes());
                key.push(b':');
                let writer = Writer::new(column, ty)
                    .map_err(|error| error.context(&format!("field {name}")))?;
                Ok((key, writer))
            })
            .collect::<Result<_>>()?;
        Ok(Self { members })
    }

    /// Writes one object.
    fn write(&self, row: usize, out: &mut Vec<u8>, options: &JsonOptions) -> Result<()> {
        out.push(b'{');
        let start = out.len();
        for (key, writer) in &self.members {
            if options.null_fields == NullFields::Omit && writer.array.is_null(row) {
                continue;
            }
            if out.len() > start {
                out.push(b',');
            }
            out.extend_from_slice(key);
            writer.write(row, out, options)?;
        }
        out.push(b'}');
        Ok(())
    }
}

/// Writes the values of a column.
#[derive(Debug)]
struct Writer<'a> {
    /// The column.
    array: &'a ArrayRef,
    /// Whether any value is NULL.
    has_nulls: bool,
    /// Its values.
    values: Values<'a>,
}

/// Typed values.
#[derive(Debug)]
enum Values<'a> {
    /// BOOLEAN.
    Boolean(&'a BooleanArray),
    /// TINYINT.
    Int8(&'a PrimitiveArray<Int8Type>),
    /// SMALLINT.
    Int16(&'a PrimitiveArray<Int16Type>),
    /// INT.
    Int32(&'a PrimitiveArray<Int32Type>),
    /// BIGINT.
    Int64(&'a PrimitiveArray<Int64Type>),
    /// FLOAT.
    Float32(&'a PrimitiveArray<Float32Type>),
    /// DOUBLE.
    Float64(&'a PrimitiveArray<Float64Type>),
    /// DECIMAL and its scale.
    Decimal(&'a Decimal128Array, u8),
    /// DATE.
    Date(&'a PrimitiveArray<Date32Type>),
    /// TIME.
    Time(&'a PrimitiveArray<Time32MillisecondType>),
    /// TIMESTAMP in milliseconds, and whether it is an instant.
    Millis(&'a PrimitiveArray<TimestampMillisecondType>, bool),
    /// TIMESTAMP in microseconds, and whether it is an instant.
    Micros(&'a PrimitiveArray<TimestampMicrosecondType>, bool),
    /// TIMESTAMP in nanoseconds, and whether it is an instant.
    Nanos(&'a Decimal128Array, bool),
    /// Character strings.
    Utf8(&'a StringArray),
    /// Byte strings.
    Binary(&'a BinaryArray),
    /// ARRAY.
    List(&'a ListArray, Box<Writer<'a>>),
    /// MAP with character keys.
    Object(&'a MapArray, &'a StringArray, Box<Writer<'a>>),
    /// MAP with other keys.
    Entries(&'a MapArray, Box<Writer<'a>>, Box<Writer<'a>>),
    /// ROW.
    Row(ObjectWriter<'a>),
}

/// The element count of a multiset.
const COUNT: FlinkType = FlinkType {
    kind: TypeKind::Int,
    nullable: false,
};

impl<'a> Writer<'a> {
    /// A writer of a column.
    fn new(array: &'a ArrayRef, ty: &'a FlinkType) -> Result<Self> {
        let values = Values::new(array, ty)?.ok_or_else(|| {
            Error::internal(format!(
                "a column of type {ty} arrived as {}",
                array.data_type()
            ))
        })?;
        Ok(Self {
            array,
            has_nulls: array.null_count() > 0,
            values,
        })
    }

    /// Writes one value.
    fn write(&self, row: usize, out: &mut Vec<u8>, options: &JsonOptions) -> Result<()> {
        if self.has_nulls && self.array.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        self.values.write(row, out, options)
    }
}

impl<'a> Values<'a> {
    /// The values of a column; `None` when it is not of the type.
    fn new(array: &'a ArrayRef, ty: &'a FlinkType) -> Result<Option<Self>> {
        Ok(match &ty.kind {
            TypeKind::Null | TypeKind::Bitmap | TypeKind::Variant => None,
            TypeKind::Boolean => array.as_boolean_opt().map(Self::Boolean),
            TypeKind::TinyInt => array.as_primitive_opt().map(Self::Int8),
            TypeKind::SmallInt => array.as_primitive_opt().map(Self::Int16),
            TypeKind::Int | TypeKind::IntervalYearMonth => {
                array.as_primitive_opt().map(Self::Int32)
            }
            TypeKind::BigInt | TypeKind::IntervalDayTime => {
                array.as_primitive_opt().map(Self::Int64)
            }
            TypeKind::Float => array.as_primitive_opt().map(Self::Float32),
            TypeKind::Double => array.as_primitive_opt().map(Self::Float64),
            TypeKind::Decimal { scale, .. } => array
                .as_primitive_opt::<Decimal128Type>()
                .map(|values| Self::Decimal(values, *scale)),
            TypeKind::Date => array.as_primitive_opt().map(Self::Date),
            TypeKind::Time(_) => array.as_primitive_opt().map(Self::Time),
            TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p) => {
                let local = matches!(ty.kind, TypeKind::TimestampLtz(_));
                if *p > 6 {
                    array
                        .as_primitive_opt()
                        .map(|values| Self::Nanos(values, local))
                } else if *p > 3 {
                    array
                        .as_primitive_opt()
                        .map(|values| Self::Micros(values, local))
                } else {
                    array
                        .as_primitive_opt()
                        .map(|values| Self::Millis(values, local))
                }
            }
            TypeKind::Char(_) | TypeKind::VarChar(_) => array.as_string_opt().map(Self::Utf8),
            TypeKind::Binary(_) | TypeKind::VarBinary(_) => array.as_binary_opt().map(Self::Binary),
            TypeKind::Array(element) => match array.as_list_opt::<i32>() {
                Some(list) => {
                    let element = Writer::new(list.values(), element)?;
                    Some(Self::List(list, Box::new(element)))
                }
                None => None,
            },
            TypeKind::Map(key, value) => Self::map(array, key, value)?,
            TypeKind::Multiset(element) => Self::map(array, element, &COUNT)?,
            TypeKind::Row(fields) => match array.as_struct_opt() {
                Some(row) if row.num_columns() == fields.len() => {
                    Some(Self::Row(ObjectWriter::new(
                        fields
                            .iter()
                            .zip(row.columns())
                            .map(|(field, column)| (field.name.as_str(), column, &field.ty)),
                    )?))
                }
                Some(_) | None => None,
            },
        })
    }

    /// The values of a map.
    fn map(array: &'a ArrayRef, key: &'a FlinkType, value: &'a FlinkType) -> Result<Option<Self>> {
        let Some(map) = array.as_map_opt() else {
            return Ok(None);
        };
        let value = Box::new(Writer::new(map.values(), value)?);
        if key.kind.is_character() {
            let keys = map.keys().as_string_opt();
            return Ok(keys.map(|keys| Self::Object(map, keys, value)));
        }
        let key = Box::new(Writer::new(map.keys(), key)?);
        Ok(Some(Self::Entries(map, key, value)))
    }

    /// Writes one value that is not NULL.
    fn write(&self, row: usize, out: &mut Vec<u8>, options: &JsonOptions) -> Result<()> {
        match self {
            Self::Boolean(values) => {
                let word: &[u8] = if values.value(row) { b"true" } else { b"false" };
                out.extend_from_slice(word);
            }
            Self::Int8(values) => text::write_integer(out, values.value(row).into()),
            Self::Int16(values) => text::write_integer(out, values.value(row).into()),
            Self::Int32(values) => text::write_integer(out, values.value(row).into()),
            Self::Int64(values) => text::write_integer(out, values.value(row)),
            Self::Float32(values) => {
                let value = values.value(row);
                write_number(out, value.is_finite(), options, |out| {
                    text::write_float(out, value);
                })?;
            }
            Self::Float64(values) => {
                let value = values.value(row);
                write_number(out, value.is_finite(), options, |out| {
                    text::write_double(out, value);
                })?;
            }
            Self::Decimal(values, scale) => text::write_decimal(
                out,
                values.value(row),
                *scale,
                options.decimals == Decimals::Plain,
            ),
            Self::Date(_)
            | Self::Time(_)
            | Self::Millis(_, _)
            | Self::Micros(_, _)
            | Self::Nanos(_, _) => {
                self.write_time(row, out, options.timestamp_format)?;
            }
            Self::Utf8(values) => write_string(out, values.value(row).as_bytes()),
            Self::Binary(values) => write_base64(out, values.value(row)),
            Self::List(..) | Self::Object(..) | Self::Entries(..) => {
                self.write_collection(row, out, options)?;
            }
            Self::Row(members) => members.write(row, out, options)?,
        }
        Ok(())
    }

    /// Writes an array or a map.
    fn write_collection(&self, row: usize, out: &mut Vec<u8>, options: &JsonOptions) -> Result<()> {
        match self {
            Self::List(list, element) => {
                let Range { start, end } = elements(list.value_offsets(), row);
                out.push(b'[');
                for place in start..end {
                    separate(out, place > start);
                    element.write(place, out, options)?;
                }
                out.push(b']');
            }
            Self::Object(map, keys, values) => {
                let Range { start, end } = elements(map.value_offsets(), row);
                out.push(b'{');
                for place in start..end {
                    separate(out, place > start);
                    write_string(out, keys.value(place).as_bytes());
                    out.push(b':');
                    values.write(place, out, options)?;
                }
                out.push(b'}');
            }
            Self::Entries(map, keys, values) => {
                let Range { start, end } = elements(map.value_offsets(), row);
                out.push(b'[');
                for place in start..end {
                    separate(out, place > start);
                    out.extend_from_slice(b"{\"key\":");
                    keys.write(place, out, options)?;
                    out.extend_from_slice(b",\"value\":");
                    values.write(place, out, options)?;
                    out.push(b'}');
                }
                out.push(b']');
            }
            _ => return Err(Error::internal("a value that is no array or map")),
        }
        Ok(())
    }

    /// Writes a date or time.
    fn write_time(&self, row: usize, out: &mut Vec<u8>, format: TimestampFormat) -> Result<()> {
        let is_number = format == TimestampFormat::Epoch;
        let (value, is_micros, local) = match self {
            Self::Date(values) => {
                let days = i64::from(values.value(row));
                if is_number {
                    text::write_integer(out, days);
                } else {
                    out.push(b'"');
                    text::write_date(out, days);
                    out.push(b'"');
                }
                return Ok(());
            }
            Self::Time(values) => {
                let millis = i64::from(values.value(row));
                if is_number {
                    text::write_integer(out, millis);
                } else {
                    out.push(b'"');
                    text::write_time(out, millis * 1000);
                    out.push(b'"');
                }
                return Ok(());
            }
            Self::Millis(values, local) => (values.value(row), false, *local),
            Self::Micros(values, local) => (values.value(row), true, *local),
            Self::Nanos(values, local) => {
                let nanos = values.value(row);
                if is_number {
                    let millis = i64::try_from(nanos / 1_000_000).ok();
                    let millis = millis.filter(|_| nanos % 1_000_000 == 0);
                    text::write_integer(out, millis.ok_or_else(too_fine)?);
                } else {
                    out.push(b'"');
                    text::write_nanos(out, nanos, format, *local);
                    out.push(b'"');
                }
                return Ok(());
            }
            _ => return Err(Error::internal("a value that is no date or time")),
        };
        if is_number {
            if is_micros && value % 1000 != 0 {
                return Err(too_fine());
            }
            text::write_integer(out, if is_micros { value / 1000 } else { value });
            return Ok(());
        }
        let micros = text::to_micros(value, is_micros)
            .ok_or_else(|| Error::arithmetic(format!("timestamp {value} has no text form")))?;
        out.push(b'"');
        text::write_timestamp(out, micros, format, local);
        out.push(b'"');
        Ok(())
    }
}

/// The error for digits that a number of milliseconds does not hold.
fn too_fine() -> Error {
    Error::arithmetic(
        "a timestamp has digits below a millisecond, which JSON with a schema does not hold; cast it to precision 3",
    )
}

/// Writes a comma between two elements.
fn separate(out: &mut Vec<u8>, is_needed: bool) {
    if is_needed {
        out.push(b',');
    }
}

/// Writes a number of floating point; what is no number as a string, where the reader is lenient.
fn write_number(
    out: &mut Vec<u8>,
    is_finite: bool,
    options: &JsonOptions,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<()> {
    if is_finite {
        write(out);
        return Ok(());
    }
    if options.typing == Typing::Strict {
        return Err(Error::arithmetic(
            "NaN and infinities have no form in JSON with a schema",
        ));
    }
    out.push(b'"');
    write(out);
    out.push(b'"');
    Ok(())
}

/// Writes bytes as base64 in quotes.
fn write_base64(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + value.len().div_ceil(3) * 4, 0);
    let written = base64::engine::general_purpose::STANDARD
        .encode_slice(value, &mut out[start..])
        .unwrap_or_default();
    out.truncate(start + written);
    out.push(b'"');
}

/// Writes a string in quotes, escaping what JSON requires and nothing else.
///
/// # Source
/// The forms of Jackson's default character escapes.
pub(super) fn write_string(out: &mut Vec<u8>, value: &[u8]) {
    /// Hexadecimal digits.
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    out.push(b'"');
    let mut start = 0;
    loop {
        let end = scan::plain_end(value, start);
        out.extend_from_slice(&value[start..end]);
        let Some(byte) = value.get(end) else {
            break;
        };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            other => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(other >> 4)]);
                out.push(HEX[usize::from(other & 15)]);
            }
        }
        start = end + 1;
    }
    out.push(b'"');
}
