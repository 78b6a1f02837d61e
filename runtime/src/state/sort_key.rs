//! The encoding of sort keys: bytes that are in the order of the rows.
//!
//! Place in the flow: operators that keep rows in an order store it beside each row. Invariant: a row comes before another exactly
//! when its encoding is the smaller one byte by byte, and they are equal in order exactly when their encodings are; the encoding never
//! changes (`docs/formats/key-encoding.md`).
//!
//! # Source
//! Order of values: Flink 2.3, NULL where the query says, texts by their UTF-8 bytes, -0 and 0 alike, NaN above all numbers.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};

use crate::error::{Error, Result};
use crate::plan::SortField;
use crate::state::EncodedKeys;
use crate::types::FlinkType;

/// First byte of a NULL that comes first.
const NULL_FIRST: u8 = 0;

/// First byte of a value.
const VALUE: u8 = 1;

/// First byte of a NULL that comes last.
const NULL_LAST: u8 = 2;

/// What follows a zero byte of a text or byte string, so that it is not its end.
const ESCAPE: u8 = 0xff;

/// Encodes the order of rows.
#[derive(Debug, Clone)]
pub struct SortCodec {
    /// The order.
    fields: Vec<SortField>,
}

/// A column seen as what it encodes.
enum Values<'a> {
    /// One byte.
    Boolean(&'a arrow::array::BooleanArray),
    /// A number.
    Int8(&'a PrimitiveArray<Int8Type>),
    /// A number.
    Int16(&'a PrimitiveArray<Int16Type>),
    /// Numbers and days of four bytes.
    Int32(&'a [i32]),
    /// Numbers and times of eight bytes.
    Int64(&'a [i64]),
    /// Unscaled values.
    Int128(&'a [i128]),
    /// 32-bit floats.
    Float32(&'a [f32]),
    /// 64-bit floats.
    Float64(&'a [f64]),
    /// Texts.
    Utf8(&'a arrow::array::StringArray),
    /// Byte strings.
    Binary(&'a arrow::array::BinaryArray),
}

/// A column of the order.
struct Column<'a> {
    /// Which values are there; absent when all are.
    nulls: Option<NullBuffer>,
    /// The values.
    values: Values<'a>,
    /// First byte of NULL.
    null: u8,
    /// Whether bytes of values are turned round.
    descending: bool,
}

impl SortCodec {
    /// First byte of a value, for bounds that are made without one.
    pub const VALUE: u8 = VALUE;

    /// A codec for an order of columns of these types.
    ///
    /// # Errors
    /// `Unsupported` for a column of a type without an order.
    pub fn new(fields: &[SortField], types: &[FlinkType]) -> Result<Self> {
        for field in fields {
            let ty = &types[field.column];
            let arrow_type = ty.to_arrow()?;
            if arrow_type.is_nested() || arrow_type == DataType::Null {
                return Err(Error::unsupported(format!("an order by {}", ty.kind)));
            }
        }
        Ok(Self {
            fields: fields.to_vec(),
        })
    }

    /// Encodes the order of `rows` rows of the input's columns; hashes stay empty.
    ///
    /// # Errors
    /// `Internal` when a column has no order, which [`Self::new`] refuses.
    pub fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<EncodedKeys> {
        let views = self
            .fields
            .iter()
            .map(|field| view(&columns[field.column], *field))
            .collect::<Result<Vec<_>>>()?;
        let mut keys = EncodedKeys {
            bytes: Vec::with_capacity(rows * views.len() * 9),
            ends: Vec::with_capacity(rows),
            hashes: Vec::new(),
        };
        for row in 0..rows {
            for view in &views {
                view.append(row, &mut keys.bytes);
            }
            keys.ends.push(keys.bytes.len());
        }
        Ok(keys)
    }
}

/// Looks at a column.
fn view(column: &ArrayRef, field: SortField) -> Result<Column<'_>> {
    /// The values of a primitive array.
    fn values<T: ArrowPrimitiveType>(column: &ArrayRef) -> &[T::Native] {
        column.as_primitive::<T>().values()
    }
    let values = match column.data_type() {
        DataType::Boolean => Values::Boolean(column.as_boolean()),
        DataType::Int8 => Values::Int8(column.as_primitive()),
        DataType::Int16 => Values::Int16(column.as_primitive()),
        DataType::Int32 => Values::Int32(values::<Int32Type>(column)),
        DataType::Date32 => Values::Int32(values::<Date32Type>(column)),
        DataType::Time32(TimeUnit::Millisecond) => {
            Values::Int32(values::<Time32MillisecondType>(column))
        }
        DataType::Int64 => Values::Int64(values::<Int64Type>(column)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Values::Int64(values::<TimestampMillisecondType>(column))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Values::Int64(values::<TimestampMicrosecondType>(column))
        }
        DataType::Decimal128(..) => Values::Int128(values::<Decimal128Type>(column)),
        DataType::Float32 => Values::Float32(values::<Float32Type>(column)),
        DataType::Float64 => Values::Float64(values::<Float64Type>(column)),
        DataType::Utf8 => Values::Utf8(column.as_string()),
        DataType::Binary => Values::Binary(column.as_binary()),
        other => return Err(Error::internal(format!("an order by {other}"))),
    };
    Ok(Column {
        nulls: column
            .logical_nulls()
            .filter(|nulls| nulls.null_count() > 0),
        values,
        null: if field.nulls_last {
            NULL_LAST
        } else {
            NULL_FIRST
        },
        descending: field.descending,
    })
}

impl Column<'_> {
    /// Appends the encoding of one value.
    fn append(&self, row: usize, bytes: &mut Vec<u8>) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            bytes.push(self.null);
            return;
        }
        bytes.push(VALUE);
        let start = bytes.len();
        self.values.append(row, bytes);
        if self.descending {
            bytes[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
    }
}

impl Values<'_> {
    /// Appends the ascending encoding of a value that is not NULL.
    fn append(&self, row: usize, bytes: &mut Vec<u8>) {
        match self {
            Self::Boolean(array) => bytes.push(u8::from(array.value(row))),
            Self::Int8(array) => {
                bytes.push(array.value(row).cast_unsigned() ^ (1 << 7));
            }
            Self::Int16(array) => {
                let value = array.value(row).cast_unsigned() ^ (1 << 15);
                bytes.extend_from_slice(&value.to_be_bytes());
            }
            Self::Int32(values) => {
                let value = values[row].cast_unsigned() ^ (1 << 31);
                bytes.extend_from_slice(&value.to_be_bytes());
            }
            Self::Int64(values) => {
                let value = values[row].cast_unsigned() ^ (1 << 63);
                bytes.extend_from_slice(&value.to_be_bytes());
            }
            Self::Int128(values) => {
                let value = values[row].cast_unsigned() ^ (1 << 127);
                bytes.extend_from_slice(&value.to_be_bytes());
            }
            Self::Float32(values) => {
                let bits = canonical(f64::from(values[row]));
                bytes.extend_from_slice(&bits.to_be_bytes());
            }
            Self::Float64(values) => {
                bytes.extend_from_slice(&canonical(values[row]).to_be_bytes());
            }
            Self::Utf8(array) => append_escaped(array.value(row).as_bytes(), bytes),
            Self::Binary(array) => append_escaped(array.value(row), bytes),
        }
    }
}

/// Bits of a number that are in the order of numbers.
fn canonical(value: f64) -> u64 {
    let value = if value.is_nan() {
        f64::NAN
    } else if value == 0.0 {
        0.0
    } else {
        value
    };
    let bits = value.to_bits();
    if value.is_sign_negative() {
        !bits
    } else {
        bits ^ (1 << 63)
    }
}

/// Appends bytes and an end that no byte string contains.
fn append_escaped(value: &[u8], bytes: &mut Vec<u8>) {
    for byte in value {
        bytes.push(*byte);
        if *byte == 0 {
            bytes.push(ESCAPE);
        }
    }
    bytes.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;
    use crate::types::TypeKind;

    /// The order of rows by one column.
    fn order(column: ArrayRef, ty: TypeKind, (descending, nulls_last): (bool, bool)) -> Vec<usize> {
        let field = SortField {
            column: 0,
            descending,
            nulls_last,
        };
        let codec = SortCodec::new(&[field], &[ty.nullable()]).unwrap();
        let rows = column.len();
        let keys = codec.encode(&[column], rows).unwrap();
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by_key(|row| keys.key(*row).to_vec());
        order
    }

    #[test]
    fn numbers_are_in_order_with_null_where_it_is_asked_for() {
        let column = || -> ArrayRef {
            Arc::new(Int64Array::from(vec![
                Some(5),
                None,
                Some(-3),
                Some(i64::MAX),
                Some(i64::MIN),
            ]))
        };
        let order = |order_by| order(column(), TypeKind::BigInt, order_by);
        assert_eq!(order((false, false)), [1, 4, 2, 0, 3]);
        assert_eq!(order((false, true)), [4, 2, 0, 3, 1]);
        assert_eq!(order((true, false)), [1, 3, 0, 2, 4]);
        assert_eq!(order((true, true)), [3, 0, 2, 4, 1]);
    }

    #[test]
    fn texts_are_in_the_order_of_their_bytes_whatever_they_contain() {
        let texts = vec!["b", "a\0", "a", "", "a\u{1}", "a\0b", "é"];
        let column = || -> ArrayRef { Arc::new(StringArray::from(texts.clone())) };
        let kind = TypeKind::string;
        assert_eq!(
            order(column(), kind(), (false, false)),
            [3, 2, 1, 5, 4, 0, 6]
        );
        assert_eq!(order(column(), kind(), (true, true)), [6, 0, 4, 5, 1, 2, 3]);
    }

    #[test]
    fn floats_are_in_order_and_both_zeros_are_alike() {
        let values = vec![
            f64::NAN,
            1.5,
            -0.0,
            0.0,
            f64::NEG_INFINITY,
            f64::INFINITY,
            -2.0,
        ];
        let column: ArrayRef = Arc::new(Float64Array::from(values));
        let found = order(column, TypeKind::Double, (false, false));
        assert_eq!(found, [4, 6, 2, 3, 1, 5, 0]);
    }

    #[test]
    fn golden_vectors() {
        let fields = [(0, false), (1, true)].map(|(column, descending)| SortField {
            column,
            descending,
            nulls_last: descending,
        });
        let types = [TypeKind::Int.nullable(), TypeKind::string().nullable()];
        let codec = SortCodec::new(&fields, &types).unwrap();
        let ints: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![Some(258), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a\0"), None]));
        let keys = codec.encode(&[ints, texts], 2).unwrap();
        let first = [1, 0x80, 0, 1, 2, 1, !b'a', !0, !0xff, !0, !0];
        assert_eq!(keys.key(0), first);
        assert_eq!(keys.key(1), [0, 2]);
    }
}
