//! Values as bytes whose order is that of their type.
//!
//! Place in the flow: accumulators that keep values in order hold them in this form. Invariant: the order of the bytes is that of the
//! values: big-endian with the sign bit flipped, floats in Java's total order with one NaN, strings and bytes as they are (Flink
//! compares strings by their UTF-8 bytes).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Float32Array,
    Float64Array, PrimitiveArray, StringArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};

use crate::error::{Error, Result};

/// Appends the ordered bytes of a row's value, which is not NULL.
pub(super) type AppendOrdered<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// How the values of a column become ordered bytes.
pub(super) fn ordered_bytes(column: &ArrayRef) -> Result<AppendOrdered<'_>> {
    /// Signed integers: big-endian, sign bit flipped.
    fn integer<A: ArrowPrimitiveType>(column: &ArrayRef) -> AppendOrdered<'_>
    where
        A::Native: Into<i128>,
    {
        let values = column.as_primitive::<A>().values();
        Box::new(move |row, out| {
            let value: i128 = values[row].into();
            out.extend_from_slice(&(value.cast_unsigned() ^ (1 << 127)).to_be_bytes());
        })
    }
    Ok(match column.data_type() {
        DataType::Boolean => {
            let values = column.as_boolean();
            Box::new(move |row, out| out.push(u8::from(values.value(row))))
        }
        DataType::Int8 => integer::<Int8Type>(column),
        DataType::Int16 => integer::<Int16Type>(column),
        DataType::Int32 => integer::<Int32Type>(column),
        DataType::Int64 => integer::<Int64Type>(column),
        DataType::Date32 => integer::<Date32Type>(column),
        DataType::Time32(_) => integer::<Time32MillisecondType>(column),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            integer::<TimestampMillisecondType>(column)
        }
        DataType::Timestamp(_, _) => integer::<TimestampMicrosecondType>(column),
        DataType::Decimal128(..) => integer::<Decimal128Type>(column),
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().values();
            Box::new(move |row, out| {
                let value = values[row];
                let value = if value.is_nan() { f32::NAN } else { value };
                let bits = value.to_bits();
                let flipped = if bits >> 31 == 0 {
                    bits | (1 << 31)
                } else {
                    !bits
                };
                out.extend_from_slice(&flipped.to_be_bytes());
            })
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().values();
            Box::new(move |row, out| {
                let value = values[row];
                let value = if value.is_nan() { f64::NAN } else { value };
                let bits = value.to_bits();
                let flipped = if bits >> 63 == 0 {
                    bits | (1 << 63)
                } else {
                    !bits
                };
                out.extend_from_slice(&flipped.to_be_bytes());
            })
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            Box::new(move |row, out| out.extend_from_slice(values.value(row).as_bytes()))
        }
        DataType::Binary => {
            let values = column.as_binary::<i32>();
            Box::new(move |row, out| out.extend_from_slice(values.value(row)))
        }
        other => return Err(Error::internal(format!("MIN or MAX over {other}"))),
    })
}

/// Values from their ordered bytes.
pub(super) fn from_ordered_bytes<'a>(
    ty: &DataType,
    values: impl Iterator<Item = Option<&'a [u8]>>,
) -> Result<ArrayRef> {
    /// The bytes as an array of known width.
    fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
        let mut array = [0; N];
        let length = N.min(bytes.len());
        array[..length].copy_from_slice(&bytes[..length]);
        array
    }
    let integer = |bytes: &[u8]| (u128::from_be_bytes(fixed(bytes)) ^ (1 << 127)).cast_signed();
    Ok(match ty {
        DataType::Boolean => Arc::new(
            values
                .map(|v| v.map(|v| v.first() == Some(&1)))
                .collect::<BooleanArray>(),
        ),
        DataType::Float32 => Arc::new(
            values
                .map(|v| {
                    let bits = u32::from_be_bytes(fixed(v?));
                    Some(f32::from_bits(if bits >> 31 == 1 {
                        bits & !(1 << 31)
                    } else {
                        !bits
                    }))
                })
                .collect::<Float32Array>(),
        ),
        DataType::Float64 => Arc::new(
            values
                .map(|v| {
                    let bits = u64::from_be_bytes(fixed(v?));
                    Some(f64::from_bits(if bits >> 63 == 1 {
                        bits & !(1 << 63)
                    } else {
                        !bits
                    }))
                })
                .collect::<Float64Array>(),
        ),
        DataType::Utf8 => {
            let texts = values.map(|v| v.map(std::str::from_utf8).transpose());
            let texts: Result<Vec<_>, _> = texts.collect();
            Arc::new(StringArray::from(
                texts.map_err(|_| Error::corrupt("a string in state is not UTF-8"))?,
            ))
        }
        DataType::Binary => Arc::new(values.collect::<BinaryArray>()),
        DataType::Decimal128(precision, scale) => {
            let array: PrimitiveArray<Decimal128Type> = values.map(|v| v.map(integer)).collect();
            Arc::new(array.with_precision_and_scale(*precision, *scale)?)
        }
        other => {
            let longs: PrimitiveArray<Int64Type> = values
                .map(|v| v.map(integer).and_then(|v| i64::try_from(v).ok()))
                .collect();
            let narrow = match other {
                DataType::Date32 | DataType::Time32(_) => {
                    arrow::compute::cast(&longs, &DataType::Int32)?
                }
                _ => Arc::new(longs),
            };
            arrow::compute::cast(&narrow, other)?
        }
    })
}
