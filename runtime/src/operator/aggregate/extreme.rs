//! `MIN` and `MAX`.
//!
//! Place in the flow: an accumulator of the aggregations. Invariant: over an append-only input only the extreme is kept; over an
//! updating input a multiset, so that taking the extreme away uncovers the next one.
//!
//! Values are compared as bytes whose order is that of the type: big-endian with the sign bit flipped, floats in Java's total
//! order, strings and bytes as they are (Flink compares strings by their UTF-8 bytes).

use std::collections::BTreeMap;
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
use crate::operator::aggregate::{Accumulator, Rows};
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::types::FlinkType;

/// Which extreme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
}

/// The accumulator of `MIN` or `MAX` over an argument type.
///
/// # Errors
/// `Unsupported` for types without an order.
pub(super) fn accumulator(
    argument: &FlinkType,
    side: Side,
    retracts: bool,
) -> Result<Box<dyn Accumulator>> {
    let ty = argument.to_arrow()?;
    if !retracts {
        match ty {
            DataType::Int32 => return Ok(Box::new(Native::<Int32Type>::new(side, ty))),
            DataType::Int64 => return Ok(Box::new(Native::<Int64Type>::new(side, ty))),
            DataType::Decimal128(..) => {
                return Ok(Box::new(Native::<Decimal128Type>::new(side, ty)));
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                return Ok(Box::new(Native::<TimestampMillisecondType>::new(side, ty)));
            }
            _ => {}
        }
    }
    if ty.is_nested() || ty == DataType::Null {
        return Err(Error::unsupported(format!("{side:?} of {}", argument.kind)));
    }
    Ok(Box::new(Ordered {
        values: Vec::new(),
        side,
        ty,
        retracts,
        values_bytes: 0,
    }))
}

/// Extremes of the commonest types over an append-only input.
#[derive(Debug)]
struct Native<A: ArrowPrimitiveType> {
    /// Extreme of each group.
    values: Vec<Option<A::Native>>,
    /// Which.
    side: Side,
    /// Exact type, for decimals.
    ty: DataType,
}

impl<A: ArrowPrimitiveType> Native<A> {
    /// No groups yet.
    fn new(side: Side, ty: DataType) -> Self {
        Self {
            values: Vec::new(),
            side,
            ty,
        }
    }
}

impl<A: ArrowPrimitiveType + std::fmt::Debug> Accumulator for Native<A>
where
    A::Native: Ord + Into<i128> + TryFrom<i128>,
{
    fn resize(&mut self, groups: usize) {
        column::resize(&mut self.values, groups, None);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let argument = rows
            .argument
            .and_then(|argument| argument.as_primitive_opt::<A>());
        let input = argument
            .ok_or_else(|| Error::internal("MIN or MAX got another type"))?
            .values();
        let (values, side) = (&mut self.values, self.side);
        rows.for_each(|row, group, _| {
            let new = input[row];
            let best = match (values[group], side) {
                (None, _) => new,
                (Some(old), Side::Min) => old.min(new),
                (Some(old), Side::Max) => old.max(new),
            };
            values[group] = Some(best);
        });
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let array: PrimitiveArray<A> = groups
            .iter()
            .map(|group| self.values[*group as usize])
            .collect();
        Ok(Arc::new(array.with_data_type(self.ty.clone())))
    }

    fn clear(&mut self, group: u32) {
        self.values[group as usize] = None;
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        match self.values[group as usize] {
            Some(value) => {
                out.put_u8(1);
                out.put_i128(value.into());
            }
            None => out.put_u8(0),
        }
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        self.values[group as usize] = if input.u8()? == 0 {
            None
        } else {
            let value = input.i128()?;
            Some(
                A::Native::try_from(value)
                    .map_err(|_| Error::corrupt("an extreme out of its type's range"))?,
            )
        };
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.values.capacity() * size_of::<Option<A::Native>>()
    }
}

/// Extremes of any ordered type; a multiset when rows can be taken away.
#[derive(Debug)]
struct Ordered {
    /// Copies of each value, by its ordered bytes; one entry only over an append-only input.
    values: Vec<BTreeMap<Box<[u8]>, i64>>,
    /// Which.
    side: Side,
    /// Argument and result type.
    ty: DataType,
    /// Whether rows can be taken away.
    retracts: bool,
    /// Bytes of all values, with [`ENTRY_BYTES`] for each.
    values_bytes: usize,
}

/// Memory of a tree entry beside the value's bytes (guess, unmeasured).
const ENTRY_BYTES: usize = 48;

/// Memory of a value in a tree.
fn entry_bytes(value: &[u8]) -> usize {
    value.len() + ENTRY_BYTES
}

impl Ordered {
    /// The extreme of a group that counts: entries below zero wait for their insertion.
    fn extreme(&self, group: u32) -> Option<&[u8]> {
        let mut present = self.values[group as usize]
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(value, _)| &**value);
        match self.side {
            Side::Min => present.next(),
            Side::Max => present.next_back(),
        }
    }

    /// Adds or takes away one value.
    fn add(&mut self, group: usize, value: &[u8], change: i64) {
        let values = &mut self.values[group];
        if !self.retracts {
            let best = values.keys().next();
            let is_better = best.is_none_or(|best| match self.side {
                Side::Min => *value < **best,
                Side::Max => *value > **best,
            });
            if is_better {
                self.values_bytes -= best.map_or(0, |best| entry_bytes(best));
                self.values_bytes += entry_bytes(value);
                values.clear();
                values.insert(value.into(), 1);
            }
            return;
        }
        if let Some(count) = values.get_mut(value) {
            *count += change;
            if *count == 0 {
                values.remove(value);
                self.values_bytes -= entry_bytes(value);
            }
        } else {
            values.insert(value.into(), change);
            self.values_bytes += entry_bytes(value);
        }
    }
}

impl Accumulator for Ordered {
    fn resize(&mut self, groups: usize) {
        column::resize_with(&mut self.values, groups, BTreeMap::new);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let argument = rows
            .argument
            .ok_or_else(|| Error::internal("MIN or MAX without an argument"))?;
        let encode = ordered_bytes(argument)?;
        let mut value = Vec::new();
        rows.for_each(|row, group, is_retraction| {
            value.clear();
            encode(row, &mut value);
            self.add(group, &value, if is_retraction { -1 } else { 1 });
        });
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        from_ordered_bytes(&self.ty, groups.iter().map(|group| self.extreme(*group)))
    }

    fn clear(&mut self, group: u32) {
        let values = std::mem::take(&mut self.values[group as usize]);
        self.values_bytes -= values.keys().map(|value| entry_bytes(value)).sum::<usize>();
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        let values = &self.values[group as usize];
        out.put_u32(u32::try_from(values.len()).unwrap_or(u32::MAX));
        for (value, count) in values {
            out.put_bytes(value);
            out.put_i64(*count);
        }
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        for _ in 0..input.u32()? {
            let value = input.bytes()?;
            let count = input.i64()?;
            self.values_bytes += entry_bytes(value);
            self.values[group as usize].insert(value.into(), count);
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.values_bytes + self.values.capacity() * size_of::<BTreeMap<Box<[u8]>, i64>>()
    }

    fn heap_bytes(&self) -> usize {
        self.values_bytes
    }
}

/// Appends the ordered bytes of a row's value, which is not NULL.
type AppendOrdered<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// How the values of a column become ordered bytes.
fn ordered_bytes(column: &ArrayRef) -> Result<AppendOrdered<'_>> {
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
                let bits = values[row].to_bits();
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
                let bits = values[row].to_bits();
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
fn from_ordered_bytes<'a>(
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
