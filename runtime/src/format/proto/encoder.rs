//! Rows to Protobuf records.
//!
//! Place in the flow: `task` hands it the columns of the key or of the value; the registry's encoder puts the schema's id before what it
//! writes. Invariant: what it writes is of the schema that is derived from the same fields; a field that is NULL is left out, and so is
//! one that is zero where the column is NOT NULL.
//!
//! # Source
//! Protocol Buffers, "Encoding"; Confluent, "Wire format": Protobuf.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, PrimitiveArray,
    StringArray,
};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType,
};
use chrono::{Datelike, NaiveDate};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::format::column::elements;
use crate::format::proto::proto_schema_of;
use crate::format::proto::schema::{COUNT, VALUE, is_wrapped, is_wrapped_element};
use crate::format::proto::wire::{
    FIXED32, FIXED64, VARINT, write_bytes, write_nested, write_tag, write_varint,
};
use crate::format::{Encoder, FormatField, decimal};
use crate::types::{FlinkType, TypeKind};

/// The place of the first message of a schema, which the derived one is.
const FIRST_MESSAGE: u8 = 0;

/// Encodes rows as Protobuf records behind the place of their message.
#[derive(Debug)]
pub struct ProtoEncoder {
    /// Columns in order.
    fields: Vec<FormatField>,
}

impl ProtoEncoder {
    /// An encoder of the fields, in order.
    ///
    /// # Errors
    /// As [`proto_schema_of`].
    pub fn new(fields: Vec<FormatField>) -> Result<Self> {
        proto_schema_of(&fields)?;
        Ok(Self { fields })
    }
}

impl Encoder for ProtoEncoder {
    fn encode(&mut self, batch: &Batch, buffer: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        if batch.columns.len() != self.fields.len() {
            return Err(Error::internal("a batch has other columns than its format"));
        }
        let fields = self.fields.iter().zip(&batch.columns);
        let fields = fields.map(|(field, column)| (field.name.as_str(), &field.ty, column));
        let writers = Writer::of_message(fields)?;
        for row in 0..batch.rows {
            buffer.push(FIRST_MESSAGE);
            for writer in &writers {
                writer.write(row, buffer)?;
            }
            ends.push(buffer.len());
        }
        Ok(())
    }
}

/// Writes the values of a column as a field.
#[derive(Debug)]
struct Writer<'a> {
    /// Its name, for messages.
    name: &'a str,
    /// The column.
    array: &'a ArrayRef,
    /// What becomes of NULL and zero.
    presence: Presence,
    /// The field's number.
    number: u32,
    /// Its values.
    values: Values<'a>,
}

/// What becomes of NULL and zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// NULL is left out; zero is written.
    Optional,
    /// There is no NULL; zero is left out.
    Implicit,
    /// There is no NULL; zero is written: an element.
    Element,
    /// Whatever there is, is written: a message that holds what may be NULL.
    Wrapper,
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
    /// DECIMAL.
    Decimal(&'a Decimal128Array, (u8, u8)),
    /// DATE.
    Date(&'a PrimitiveArray<Date32Type>),
    /// TIME.
    Time(&'a PrimitiveArray<Time32MillisecondType>),
    /// Timestamps in milliseconds.
    Millis(&'a PrimitiveArray<TimestampMillisecondType>),
    /// Timestamps in microseconds.
    Micros(&'a PrimitiveArray<TimestampMicrosecondType>),
    /// Timestamps in nanoseconds.
    Nanos(&'a Decimal128Array),
    /// Character strings.
    Utf8(&'a StringArray),
    /// Byte strings.
    Binary(&'a BinaryArray),
    /// ARRAY: where the elements of each row are, and an element.
    List(&'a [i32], Box<Writer<'a>>),
    /// MAP and MULTISET: where the entries of each row are, and the fields of an entry.
    Map(&'a [i32], Vec<Writer<'a>>),
    /// ROW.
    Row(Vec<Writer<'a>>),
    /// A message of one field.
    Inner(Box<Writer<'a>>),
}

/// A field of a message: name, type and values.
type Member<'a> = (&'a str, &'a FlinkType, &'a ArrayRef);

impl<'a> Writer<'a> {
    /// Writers of the fields of a message, whose numbers are their places from 1.
    fn of_message(members: impl Iterator<Item = Member<'a>>) -> Result<Vec<Self>> {
        (1..)
            .zip(members)
            .map(|(number, member)| Self::field(number, member))
            .collect()
    }

    /// A writer of a field.
    fn field(number: u32, (name, ty, array): Member<'a>) -> Result<Self> {
        let values = if is_wrapped(ty) {
            let inner = Self::typed(1, (VALUE, ty, array), Presence::Implicit)?;
            return Ok(Self {
                name,
                array,
                presence: Presence::Optional,
                number,
                values: Values::Inner(Box::new(inner)),
            });
        } else if ty.nullable {
            Presence::Optional
        } else {
            Presence::Implicit
        };
        Self::typed(number, (name, ty, array), values)
    }

    /// A writer of an element.
    fn element(number: u32, ty: &'a FlinkType, array: &'a ArrayRef) -> Result<Self> {
        let name = "element";
        if !is_wrapped_element(ty) {
            return Self::typed(number, (name, ty, array), Presence::Element);
        }
        Ok(Self {
            name,
            array,
            presence: Presence::Wrapper,
            number,
            values: Values::Inner(Box::new(Self::field(1, (VALUE, ty, array))?)),
        })
    }

    /// A writer of values that are in no other message.
    fn typed(number: u32, (name, ty, array): Member<'a>, presence: Presence) -> Result<Self> {
        let values = Values::new(number, array, &ty.kind)
            .map_err(|error| error.context(&format!("field {name}")))?;
        let values = values.ok_or_else(|| {
            Error::internal(format!(
                "field {name}: a column of type {ty} arrived as {}",
                array.data_type()
            ))
        })?;
        Ok(Self {
            name,
            array,
            presence,
            number,
            values,
        })
    }

    /// Writes one value.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.presence != Presence::Wrapper && self.array.is_null(row) {
            return match self.presence {
                Presence::Optional => Ok(()),
                Presence::Implicit | Presence::Element | Presence::Wrapper => {
                    Err(Error::arithmetic(format!(
                        "field {}: NULL has no form in Protobuf where the type is NOT NULL",
                        self.name
                    )))
                }
            };
        }
        self.write_value(row, out)
            .map_err(|error| error.context(&format!("field {}", self.name)))
    }

    /// Writes one value that is not NULL.
    fn write_value(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let number = self.number;
        let is_left_out = |is_zero: bool| is_zero && self.presence == Presence::Implicit;
        match &self.values {
            Values::Utf8(values) => {
                let value = values.value(row).as_bytes();
                if !is_left_out(value.is_empty()) {
                    write_bytes(out, number, value);
                }
            }
            Values::Binary(values) => {
                let value = values.value(row);
                if !is_left_out(value.is_empty()) {
                    write_bytes(out, number, value);
                }
            }
            Values::List(offsets, element) => {
                return write_list(number, (offsets, row), element, out);
            }
            Values::Map(offsets, parts) => {
                for entry in elements(offsets, row) {
                    write_nested(out, number, |out| write_all(parts, entry, out))?;
                }
            }
            Values::Row(members) => {
                write_nested(out, number, |out| write_all(members, row, out))?;
            }
            Values::Inner(inner) => write_nested(out, number, |out| inner.write(row, out))?,
            values => match values.wire(row) {
                Some(Number { wire, bits }) => {
                    if !is_left_out(bits == 0) {
                        write_tag(out, number, wire);
                        write_number(out, wire, bits);
                    }
                }
                None => write_nested(out, number, |out| values.write_known(row, out))?,
            },
        }
        Ok(())
    }
}

/// A number on the wire.
struct Number {
    /// Its wire type.
    wire: u8,
    /// Its bits.
    bits: u64,
}

/// Writes a number behind its tag.
fn write_number(out: &mut Vec<u8>, wire: u8, bits: u64) {
    match wire {
        FIXED32 => out.extend_from_slice(&bits.to_le_bytes()[..4]),
        FIXED64 => out.extend_from_slice(&bits.to_le_bytes()),
        _ => write_varint(out, bits),
    }
}

/// Writes the fields of a message.
fn write_all(members: &[Writer<'_>], row: usize, out: &mut Vec<u8>) -> Result<()> {
    members.iter().try_for_each(|member| member.write(row, out))
}

/// Writes the elements of an array: numbers packed, others each by itself.
fn write_list(
    number: u32,
    (offsets, row): (&[i32], usize),
    element: &Writer<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let elements = elements(offsets, row);
    let Some(first) = elements.clone().next() else {
        return Ok(());
    };
    if element.values.wire(first).is_none() {
        for place in elements {
            element.write(place, out)?;
        }
        return Ok(());
    }
    write_nested(out, number, |out| {
        for place in elements {
            if element.array.is_null(place) {
                return Err(Error::arithmetic(
                    "field element: NULL has no form in Protobuf where the type is NOT NULL",
                ));
            }
            if let Some(Number { wire, bits }) = element.values.wire(place) {
                write_number(out, wire, bits);
            }
        }
        Ok(())
    })
}

impl<'a> Values<'a> {
    /// The values of a column; `None` when it is not of the type.
    fn new(number: u32, array: &'a ArrayRef, kind: &'a TypeKind) -> Result<Option<Self>> {
        Ok(match kind {
            TypeKind::Null
            | TypeKind::Bitmap
            | TypeKind::Variant
            | TypeKind::IntervalYearMonth
            | TypeKind::IntervalDayTime => None,
            TypeKind::Boolean => array.as_boolean_opt().map(Self::Boolean),
            TypeKind::TinyInt => array.as_primitive_opt().map(Self::Int8),
            TypeKind::SmallInt => array.as_primitive_opt().map(Self::Int16),
            TypeKind::Int => array.as_primitive_opt().map(Self::Int32),
            TypeKind::BigInt => array.as_primitive_opt().map(Self::Int64),
            TypeKind::Float => array.as_primitive_opt().map(Self::Float32),
            TypeKind::Double => array.as_primitive_opt().map(Self::Float64),
            TypeKind::Decimal { precision, scale } => array
                .as_primitive_opt::<Decimal128Type>()
                .map(|values| Self::Decimal(values, (*precision, *scale))),
            TypeKind::Date => array.as_primitive_opt().map(Self::Date),
            TypeKind::Time(_) => array.as_primitive_opt().map(Self::Time),
            TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p) => match p {
                0..=3 => array.as_primitive_opt().map(Self::Millis),
                4..=6 => array.as_primitive_opt().map(Self::Micros),
                _ => array.as_primitive_opt().map(Self::Nanos),
            },
            TypeKind::Char(_) | TypeKind::VarChar(_) => array.as_string_opt().map(Self::Utf8),
            TypeKind::Binary(_) | TypeKind::VarBinary(_) => array.as_binary_opt().map(Self::Binary),
            TypeKind::Array(element) => match array.as_list_opt::<i32>() {
                Some(list) => {
                    let element = Writer::element(number, element, list.values())?;
                    Some(Self::List(list.value_offsets(), Box::new(element)))
                }
                None => None,
            },
            TypeKind::Map(key, value) => Self::map(array, key, value)?,
            TypeKind::Multiset(element) => Self::map(array, element, &COUNT)?,
            TypeKind::Row(fields) => match array.as_struct_opt() {
                Some(row) if row.num_columns() == fields.len() => {
                    let members = fields.iter().zip(row.columns());
                    let members = members.map(|(f, column)| (f.name.as_str(), &f.ty, column));
                    Some(Self::Row(Writer::of_message(members)?))
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
        // Keys are never NULL, so the message of an array as a key has no other message around it.
        let key = Writer::typed(1, ("key", key, map.keys()), Presence::Implicit)?;
        let value = Writer::field(2, (VALUE, value, map.values()))?;
        Ok(Some(Self::Map(map.value_offsets(), vec![key, value])))
    }

    /// A value as a number; `None` for other types.
    fn wire(&self, row: usize) -> Option<Number> {
        let varint = |value: i64| Number {
            wire: VARINT,
            bits: value.cast_unsigned(),
        };
        Some(match self {
            Self::Boolean(values) => varint(values.value(row).into()),
            Self::Int8(values) => varint(values.value(row).into()),
            Self::Int16(values) => varint(values.value(row).into()),
            Self::Int32(values) => varint(values.value(row).into()),
            Self::Int64(values) => varint(values.value(row)),
            Self::Float32(values) => Number {
                wire: FIXED32,
                bits: values.value(row).to_bits().into(),
            },
            Self::Float64(values) => Number {
                wire: FIXED64,
                bits: values.value(row).to_bits(),
            },
            Self::Decimal(..)
            | Self::Date(_)
            | Self::Time(_)
            | Self::Millis(_)
            | Self::Micros(_)
            | Self::Nanos(_)
            | Self::Utf8(_)
            | Self::Binary(_)
            | Self::List(..)
            | Self::Map(..)
            | Self::Row(_)
            | Self::Inner(_) => return None,
        })
    }

    /// Writes the fields of a message that stands for a decimal, date or time.
    fn write_known(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Decimal(values, (precision, scale)) => {
                let bytes = values.value(row).to_be_bytes();
                write_bytes(out, 1, decimal::minimal(&bytes));
                write_parts(out, 2, &[(*precision).into(), (*scale).into()]);
            }
            Self::Date(values) => {
                let days = values.value(row);
                let date = NaiveDate::from_epoch_days(days)
                    .filter(|date| (1..=9999).contains(&date.year()));
                let date = date.ok_or_else(|| {
                    Error::arithmetic(
                        "a date before the year 1 or after 9999 has no form in Protobuf",
                    )
                })?;
                let parts = [date.year().into(), date.month().into(), date.day().into()];
                write_parts(out, 1, &parts);
            }
            Self::Time(values) => {
                let millis = i64::from(values.value(row));
                let (seconds, millis) = (millis / 1000, millis % 1000);
                let parts = [
                    seconds / 3600,
                    seconds / 60 % 60,
                    seconds % 60,
                    millis * 1_000_000,
                ];
                write_parts(out, 1, &parts);
            }
            Self::Millis(values) => write_instant(out, values.value(row).into(), 1_000_000),
            Self::Micros(values) => write_instant(out, values.value(row).into(), 1000),
            Self::Nanos(values) => {
                let nanos = values.value(row);
                i64::try_from(nanos.div_euclid(NANOS)).map_err(|_| {
                    Error::arithmetic("a timestamp of more than 64 bits of seconds")
                })?;
                write_instant(out, nanos, 1);
            }
            _ => return Err(Error::internal("a value that stands for itself")),
        }
        Ok(())
    }
}

/// Nanoseconds of a second.
const NANOS: i128 = 1_000_000_000;

/// Writes an instant in units of so many nanoseconds.
fn write_instant(out: &mut Vec<u8>, value: i128, unit: i128) {
    let nanos = value * unit;
    // Seconds of a narrower type in finer units fit, and those of the widest were checked.
    let part = |value: i128| i64::try_from(value).unwrap_or(i64::MAX);
    let parts = [part(nanos.div_euclid(NANOS)), part(nanos.rem_euclid(NANOS))];
    write_parts(out, 1, &parts);
}

/// Writes numbers as fields from a number on; zeros are left out.
fn write_parts(out: &mut Vec<u8>, first: u32, parts: &[i64]) {
    for (number, part) in (first..).zip(parts) {
        if *part != 0 {
            write_tag(out, number, VARINT);
            write_varint(out, part.cast_unsigned());
        }
    }
}
