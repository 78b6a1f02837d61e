//! Rows to Avro records.
//!
//! Place in the flow: `task` hands it the columns of the key or of the value. Invariant: what it writes is of the schema that is
//! derived from the same fields, byte for byte as the Java library writes it.
//!
//! # Source
//! Apache Avro 1.12 specification, "Binary Encoding".

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, PrimitiveArray,
    StringArray,
};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType,
};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::format::avro::{Mapping, avro_schema_of};
use crate::format::column::elements;
use crate::format::{Encoder, FormatField, decimal};
use crate::types::{FlinkType, TypeKind};

/// Encodes rows as Avro records.
#[derive(Debug)]
pub struct AvroEncoder {
    /// Columns in order.
    fields: Vec<FormatField>,
    /// How types map.
    mapping: Mapping,
}

impl AvroEncoder {
    /// An encoder of the fields, in order.
    ///
    /// # Errors
    /// As [`avro_schema_of`].
    pub fn new(fields: Vec<FormatField>, mapping: Mapping) -> Result<Self> {
        avro_schema_of(&fields, mapping)?;
        Ok(Self { fields, mapping })
    }
}

impl Encoder for AvroEncoder {
    fn encode(&mut self, batch: &Batch, buffer: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        if batch.columns.len() != self.fields.len() {
            return Err(Error::internal("a batch has other columns than its format"));
        }
        let fields = self.fields.iter().zip(&batch.columns);
        let writers = fields
            .map(|(field, column)| Writer::new(&field.name, column, &field.ty, self.mapping))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.rows {
            for writer in &writers {
                writer.write(row, buffer)?;
            }
            ends.push(buffer.len());
        }
        Ok(())
    }
}

/// Writes the values of a column.
#[derive(Debug)]
struct Writer<'a> {
    /// Its name, for messages.
    name: &'a str,
    /// The column.
    array: &'a ArrayRef,
    /// Whether its type allows NULL, and values are branches of a union.
    is_union: bool,
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
    /// DECIMAL.
    Decimal(&'a Decimal128Array),
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
    /// Byte strings of one length.
    Fixed(&'a BinaryArray, u32),
    /// ARRAY, MAP and MULTISET: where the elements of each row are, and what an element consists of.
    Blocks(&'a [i32], Vec<Writer<'a>>),
    /// ROW.
    Row(Vec<Writer<'a>>),
}

/// The element count of a multiset.
const COUNT: FlinkType = FlinkType {
    kind: TypeKind::Int,
    nullable: false,
};

impl<'a> Writer<'a> {
    /// A writer of a column.
    fn new(
        name: &'a str,
        array: &'a ArrayRef,
        ty: &'a FlinkType,
        mapping: Mapping,
    ) -> Result<Self> {
        let values = Values::new(array, &ty.kind, mapping)
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
            is_union: ty.nullable,
            has_nulls: array.null_count() > 0,
            values,
        })
    }

    /// The same without NULL: a key.
    fn not_null(self) -> Self {
        Self {
            is_union: false,
            ..self
        }
    }

    /// Writes one value.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.has_nulls && self.array.is_null(row) {
            if !self.is_union {
                return Err(Error::arithmetic(format!(
                    "field {}: NULL has no form in Avro where the type is NOT NULL",
                    self.name
                )));
            }
            write_long(out, 0);
            return Ok(());
        }
        if self.is_union {
            write_long(out, 1);
        }
        self.values
            .write(row, out)
            .map_err(|error| error.context(&format!("field {}", self.name)))
    }
}

impl<'a> Values<'a> {
    /// The values of a column; `None` when it is not of the type.
    fn new(array: &'a ArrayRef, kind: &'a TypeKind, mapping: Mapping) -> Result<Option<Self>> {
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
            TypeKind::Decimal { .. } => array
                .as_primitive_opt::<Decimal128Type>()
                .map(Self::Decimal),
            TypeKind::Date => array.as_primitive_opt().map(Self::Date),
            TypeKind::Time(_) => array.as_primitive_opt().map(Self::Time),
            TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p) => match p {
                0..=3 => array.as_primitive_opt().map(Self::Millis),
                4..=6 => array.as_primitive_opt().map(Self::Micros),
                _ => array.as_primitive_opt().map(Self::Nanos),
            },
            TypeKind::Char(_) | TypeKind::VarChar(_) => array.as_string_opt().map(Self::Utf8),
            TypeKind::Binary(n) if mapping == Mapping::Confluent => {
                array.as_binary_opt().map(|values| Self::Fixed(values, *n))
            }
            TypeKind::Binary(_) | TypeKind::VarBinary(_) => array.as_binary_opt().map(Self::Binary),
            TypeKind::Array(element) => match array.as_list_opt::<i32>() {
                Some(list) => {
                    let element = Writer::new("element", list.values(), element, mapping)?;
                    Some(Self::Blocks(list.value_offsets(), vec![element]))
                }
                None => None,
            },
            TypeKind::Map(key, value) => Self::map(array, key, value, mapping)?,
            TypeKind::Multiset(element) => Self::map(array, element, &COUNT, mapping)?,
            TypeKind::Row(fields) => match array.as_struct_opt() {
                Some(row) if row.num_columns() == fields.len() => Some(Self::Row(
                    fields
                        .iter()
                        .zip(row.columns())
                        .map(|(field, column)| Writer::new(&field.name, column, &field.ty, mapping))
                        .collect::<Result<_>>()?,
                )),
                Some(_) | None => None,
            },
        })
    }

    /// The values of a map. An entry of a `map` and one of an `array` of entries are the same bytes.
    fn map(
        array: &'a ArrayRef,
        key: &'a FlinkType,
        value: &'a FlinkType,
        mapping: Mapping,
    ) -> Result<Option<Self>> {
        let Some(map) = array.as_map_opt() else {
            return Ok(None);
        };
        let key = Writer::new("key", map.keys(), key, mapping)?.not_null();
        let value = Writer::new("value", map.values(), value, mapping)?;
        Ok(Some(Self::Blocks(map.value_offsets(), vec![key, value])))
    }

    /// Writes one value that is not NULL.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Boolean(values) => out.push(u8::from(values.value(row))),
            Self::Int8(values) => write_long(out, values.value(row).into()),
            Self::Int16(values) => write_long(out, values.value(row).into()),
            Self::Int32(values) => write_long(out, values.value(row).into()),
            Self::Int64(values) => write_long(out, values.value(row)),
            Self::Float32(values) => out.extend_from_slice(&values.value(row).to_le_bytes()),
            Self::Float64(values) => out.extend_from_slice(&values.value(row).to_le_bytes()),
            Self::Decimal(values) => {
                write_bytes(out, decimal::minimal(&values.value(row).to_be_bytes()));
            }
            Self::Date(values) => write_long(out, values.value(row).into()),
            Self::Time(values) => write_long(out, values.value(row).into()),
            Self::Millis(values) => write_long(out, values.value(row)),
            Self::Micros(values) => write_long(out, values.value(row)),
            Self::Nanos(values) => {
                let nanos = i64::try_from(values.value(row)).map_err(|_| {
                    Error::arithmetic(
                        "a timestamp before 1677 or after 2262 has no form in Avro with nanoseconds; cast it to precision 6",
                    )
                })?;
                write_long(out, nanos);
            }
            Self::Utf8(values) => write_bytes(out, values.value(row).as_bytes()),
            Self::Binary(values) => write_bytes(out, values.value(row)),
            Self::Fixed(values, size) => {
                let value = values.value(row);
                if u32::try_from(value.len()) != Ok(*size) {
                    return Err(Error::arithmetic(format!(
                        "a value of {} bytes has no form as BINARY({size}) in Avro",
                        value.len()
                    )));
                }
                out.extend_from_slice(value);
            }
            Self::Blocks(offsets, parts) => {
                let elements = elements(offsets, row);
                if !elements.is_empty() {
                    write_long(out, i64::from(offsets[row + 1]) - i64::from(offsets[row]));
                }
                for element in elements {
                    for part in parts {
                        part.write(element, out)?;
                    }
                }
                write_long(out, 0);
            }
            Self::Row(members) => {
                for member in members {
                    member.write(row, out)?;
                }
            }
        }
        Ok(())
    }
}

/// Writes an `int`, `long` or count: seven bits a byte, the lowest first, the sign in the lowest bit.
#[inline]
pub(super) fn write_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value << 1).cast_unsigned() ^ (value >> 63).cast_unsigned();
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            out.push(low & 0x7F);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Writes `string` or `bytes`.
pub(super) fn write_bytes(out: &mut Vec<u8>, value: &[u8]) {
    // No buffer is longer than `i64::MAX`.
    write_long(out, i64::try_from(value.len()).unwrap_or(i64::MAX));
    out.extend_from_slice(value);
}
