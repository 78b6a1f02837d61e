//! The canonical encoding of keys.
//!
//! Place in the flow: exchanges hash it to find the key group, state tables compare it, snapshots store it. Invariant: two keys
//! are equal exactly when their encodings are; the encoding never changes (`docs/formats/key-encoding.md`).
//!
//! Per column: one byte 0 for NULL, or 1 followed by the value: BOOLEAN one byte; integers, DATE, TIME, TIMESTAMP and intervals
//! little-endian in their stored width; FLOAT and DOUBLE their bits with one NaN; DECIMAL 16 bytes of the unscaled value;
//! strings and bytes a 4-byte length and the bytes; ARRAY, MAP, MULTISET and ROW what `nested` says. Rows, which operators store as
//! they are, are encoded the same way, but the entries of their maps keep their order.

mod encode;
mod nested;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanBufferBuilder, BooleanBuilder, PrimitiveArray,
    StringBuilder,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};
use crate::state::codec::Reader;
use crate::types::FlinkType;

/// Encoded keys of a batch.
#[derive(Debug, Default)]
pub struct EncodedKeys {
    /// Encodings back to back.
    pub bytes: Vec<u8>,
    /// End of each encoding in `bytes`.
    pub ends: Vec<usize>,
    /// xxh3-64 of each encoding; empty for rows, which are not looked up.
    pub hashes: Vec<u64>,
}

impl EncodedKeys {
    /// Keys.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The encoding of one key.
    pub fn key(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }
}

/// Encodes and decodes keys of one list of types.
#[derive(Debug, Clone)]
pub struct KeyCodec {
    /// Arrow types of the key columns.
    types: Vec<DataType>,
    /// In which order the entries of maps are encoded.
    entries: EntryOrder,
}

/// In which order the entries of a map are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryOrder {
    /// By their encodings, as maps with the same entries are one key.
    Sorted,
    /// As they stand.
    Kept,
}

/// A column seen as what it encodes.
enum Column<'a> {
    /// One byte per value.
    Boolean(&'a arrow::array::BooleanArray),
    /// Fixed width, little-endian, as raw bytes of the values.
    Fixed {
        /// Value bytes.
        values: &'a [u8],
        /// Bytes per value.
        width: usize,
    },
    /// 32-bit floats.
    Float32(&'a PrimitiveArray<Float32Type>),
    /// 64-bit floats.
    Float64(&'a PrimitiveArray<Float64Type>),
    /// Strings.
    Utf8(&'a arrow::array::StringArray),
    /// Byte strings.
    Binary(&'a arrow::array::BinaryArray),
    /// A value of other values.
    Nested(nested::Nested<'a>),
}

/// A column with its NULLs.
struct Nullable<'a> {
    /// Which values are there; absent when all are.
    nulls: Option<NullBuffer>,
    /// The values.
    column: Column<'a>,
}

impl KeyCodec {
    /// A codec for key columns of these types.
    ///
    /// # Errors
    /// `Unsupported` for types without storage.
    pub fn new<'a>(types: impl IntoIterator<Item = &'a FlinkType>) -> Result<Self> {
        Self::of(types, EntryOrder::Sorted)
    }

    /// A codec for whole rows, which decode to what they were.
    ///
    /// # Errors
    /// `Unsupported` for types without storage.
    pub fn for_rows<'a>(types: impl IntoIterator<Item = &'a FlinkType>) -> Result<Self> {
        Self::of(types, EntryOrder::Kept)
    }

    /// A codec for columns of these types.
    fn of<'a>(types: impl IntoIterator<Item = &'a FlinkType>, entries: EntryOrder) -> Result<Self> {
        let types = types.into_iter().map(FlinkType::to_arrow);
        Ok(Self {
            types: types.collect::<Result<_>>()?,
            entries,
        })
    }

    /// Encodes the keys of `rows` rows.
    ///
    /// # Errors
    /// `Internal` when a column has another type than the codec.
    pub fn encode(&self, columns: &[&ArrayRef], rows: usize) -> Result<EncodedKeys> {
        let mut keys = self.encode_rows(columns, rows)?;
        keys.hashes.reserve(rows);
        let mut start = 0;
        for end in &keys.ends {
            keys.hashes.push(xxh3_64(&keys.bytes[start..*end]));
            start = *end;
        }
        Ok(keys)
    }

    /// Encodes `rows` rows without hashing them.
    ///
    /// # Errors
    /// `Internal` when a column has a type that the codec does not know.
    pub fn encode_rows(&self, columns: &[&ArrayRef], rows: usize) -> Result<EncodedKeys> {
        let views = columns
            .iter()
            .map(|column| view(column, self.entries))
            .collect::<Result<Vec<_>>>()?;
        Ok(encode::all(&views, rows))
    }

    /// The columns of encoded keys.
    ///
    /// # Errors
    /// `Corrupt` when an encoding is not of these types.
    pub fn decode<'a>(
        &self,
        keys: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Result<Vec<ArrayRef>> {
        let mut readers: Vec<Reader<'a>> = keys.map(Reader::new).collect();
        self.types
            .iter()
            .map(|ty| decode_column(ty, &mut readers))
            .collect()
    }
}

/// Looks at a column.
fn view(column: &ArrayRef, order: EntryOrder) -> Result<Nullable<'_>> {
    Ok(Nullable {
        nulls: column
            .logical_nulls()
            .filter(|nulls| nulls.null_count() > 0),
        column: values(column, order)?,
    })
}

/// Looks at the values of a column.
fn values(column: &ArrayRef, order: EntryOrder) -> Result<Column<'_>> {
    /// The value bytes of a primitive array, offset applied.
    fn fixed<T: ArrowPrimitiveType>(column: &ArrayRef) -> Column<'_> {
        let array = column.as_primitive::<T>();
        Column::Fixed {
            values: array.values().inner().as_slice(),
            width: size_of::<T::Native>(),
        }
    }
    Ok(match column.data_type() {
        DataType::Boolean => Column::Boolean(column.as_boolean()),
        DataType::Int8 => fixed::<Int8Type>(column),
        DataType::Int16 => fixed::<Int16Type>(column),
        DataType::Int32 => fixed::<Int32Type>(column),
        DataType::Int64 => fixed::<Int64Type>(column),
        DataType::Date32 => fixed::<Date32Type>(column),
        DataType::Time32(TimeUnit::Millisecond) => fixed::<Time32MillisecondType>(column),
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            fixed::<TimestampMillisecondType>(column)
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            fixed::<TimestampMicrosecondType>(column)
        }
        DataType::Decimal128(..) => fixed::<Decimal128Type>(column),
        DataType::Float32 => Column::Float32(column.as_primitive()),
        DataType::Float64 => Column::Float64(column.as_primitive()),
        DataType::Utf8 => Column::Utf8(column.as_string()),
        DataType::Binary => Column::Binary(column.as_binary()),
        _ => Column::Nested(nested::view(column, order)?),
    })
}

/// Reads one column of all keys.
fn decode_column(ty: &DataType, readers: &mut [Reader<'_>]) -> Result<ArrayRef> {
    Ok(match ty {
        DataType::Int8 => primitive::<Int8Type>(readers, |r| r.u8().map(u8::cast_signed))?,
        DataType::Int16 => {
            primitive::<Int16Type>(readers, |r| Ok(i16::from_le_bytes([r.u8()?, r.u8()?])))?
        }
        DataType::Int32 => primitive::<Int32Type>(readers, int32)?,
        DataType::Date32 => primitive::<Date32Type>(readers, int32)?,
        DataType::Time32(_) => primitive::<Time32MillisecondType>(readers, int32)?,
        DataType::Int64 => primitive::<Int64Type>(readers, int64)?,
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            primitive::<TimestampMillisecondType>(readers, int64)?
        }
        DataType::Timestamp(_, _) => primitive::<TimestampMicrosecondType>(readers, int64)?,
        DataType::Decimal128(precision, scale) => {
            let values = primitive::<Decimal128Type>(readers, int128)?;
            let values = values.as_primitive::<Decimal128Type>().clone();
            Arc::new(values.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Float32 => primitive::<Float32Type>(readers, |r| r.u32().map(f32::from_bits))?,
        DataType::Float64 => {
            primitive::<Float64Type>(readers, |r| Ok(f64::from_bits(r.i64()?.cast_unsigned())))?
        }
        DataType::Boolean => {
            let mut builder = BooleanBuilder::with_capacity(readers.len());
            for reader in readers {
                builder.append_option(
                    present(reader)?
                        .then(|| reader.u8())
                        .transpose()?
                        .map(|v| v != 0),
                );
            }
            Arc::new(builder.finish())
        }
        DataType::Binary => {
            let mut builder = BinaryBuilder::new();
            for reader in readers {
                builder.append_option(present(reader)?.then(|| reader.bytes()).transpose()?);
            }
            Arc::new(builder.finish())
        }
        DataType::List(_) | DataType::Map(..) | DataType::Struct(_) | DataType::Null => {
            nested::decode(ty, readers)?
        }
        _ => {
            let mut builder = StringBuilder::new();
            for reader in readers {
                let bytes = present(reader)?.then(|| reader.bytes()).transpose()?;
                let text = bytes.map(std::str::from_utf8).transpose();
                builder.append_option(text.map_err(|_| Error::corrupt("a key is not UTF-8"))?);
            }
            Arc::new(builder.finish())
        }
    })
}

/// Whether the next value is there: NULL is a zero byte.
fn present(reader: &mut Reader<'_>) -> Result<bool> {
    Ok(reader.u8()? != 0)
}

/// Reads a column of fixed-width values with `read`.
fn primitive<T: ArrowPrimitiveType>(
    readers: &mut [Reader<'_>],
    read: impl Fn(&mut Reader<'_>) -> Result<T::Native>,
) -> Result<ArrayRef> {
    let mut values = Vec::with_capacity(readers.len());
    let mut missing = Vec::new();
    for (row, reader) in readers.iter_mut().enumerate() {
        if present(reader)? {
            values.push(read(reader)?);
        } else {
            missing.push(row);
            values.push(T::Native::default());
        }
    }
    let nulls = (!missing.is_empty()).then(|| {
        let mut valid = BooleanBufferBuilder::new(values.len());
        valid.append_n(values.len(), true);
        for row in missing {
            valid.set_bit(row, false);
        }
        NullBuffer::new(valid.finish())
    });
    Ok(Arc::new(PrimitiveArray::<T>::new(values.into(), nulls)))
}

/// A 32-bit integer.
fn int32(reader: &mut Reader<'_>) -> Result<i32> {
    reader.u32().map(u32::cast_signed)
}

/// A 64-bit integer.
fn int64(reader: &mut Reader<'_>) -> Result<i64> {
    reader.i64()
}

/// A 128-bit integer.
fn int128(reader: &mut Reader<'_>) -> Result<i128> {
    reader.i128()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};

    use super::*;
    use crate::types::TypeKind;

    #[test]
    fn golden_vectors() {
        let codec =
            KeyCodec::new([&TypeKind::BigInt.nullable(), &TypeKind::string().nullable()]).unwrap();
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(258), None]));
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), Some("")]));
        let keys = codec.encode(&[&ids, &names], 2).unwrap();
        assert_eq!(
            keys.key(0),
            [1, 2, 1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, b'a', b'b']
        );
        assert_eq!(keys.key(1), [0, 1, 0, 0, 0, 0]);
        assert_eq!(keys.hashes, [xxh3_64(keys.key(0)), xxh3_64(keys.key(1))]);
    }

    #[test]
    fn decoding_gives_back_every_type_with_nulls() {
        let types = [
            TypeKind::Boolean,
            TypeKind::TinyInt,
            TypeKind::SmallInt,
            TypeKind::Int,
            TypeKind::BigInt,
            TypeKind::Float,
            TypeKind::Double,
            TypeKind::Decimal {
                precision: 20,
                scale: 3,
            },
            TypeKind::Date,
            TypeKind::Time(3),
            TypeKind::Timestamp(3),
            TypeKind::TimestampLtz(6),
            TypeKind::string(),
            TypeKind::bytes(),
        ]
        .map(TypeKind::nullable);
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(0)]));
        let columns: Vec<ArrayRef> = types
            .iter()
            .map(|ty| {
                let target = ty.to_arrow().unwrap();
                match target {
                    DataType::Binary => Arc::new(arrow::array::BinaryArray::from(vec![
                        Some(&b"x"[..]),
                        None,
                        Some(b""),
                    ])),
                    DataType::Date32 | DataType::Time32(_) => {
                        arrow::compute::cast(&ints, &target).unwrap()
                    }
                    DataType::Timestamp(..) => {
                        let longs = arrow::compute::cast(&ints, &DataType::Int64).unwrap();
                        arrow::compute::cast(&longs, &target).unwrap()
                    }
                    _ => arrow::compute::cast(&ints, &target).unwrap(),
                }
            })
            .collect();
        let codec = KeyCodec::new(&types).unwrap();
        let keys = codec
            .encode(&columns.iter().collect::<Vec<_>>(), 3)
            .unwrap();
        let decoded = codec.decode((0..3).map(|row| keys.key(row))).unwrap();
        for ((ty, before), after) in types.iter().zip(&columns).zip(&decoded) {
            assert_eq!(before, after, "{ty}");
        }
    }

    use arrow::array::Int32Array;
}
