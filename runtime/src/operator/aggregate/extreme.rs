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
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
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

    /// Adds one value.
    fn add(&mut self, group: usize, new: A::Native)
    where
        A::Native: Ord,
    {
        let value = &mut self.values[group];
        *value = Some(match (*value, self.side) {
            (None, _) => new,
            (Some(old), Side::Min) => old.min(new),
            (Some(old), Side::Max) => old.max(new),
        });
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
        rows.for_each(|row, group, _| self.add(group, input[row]));
        Ok(())
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        for Merged { into, from } in groups {
            if let Some(value) = other.values[*from as usize] {
                self.add(*into as usize, value);
            }
        }
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
    /// Values of each group; one only over an append-only input.
    values: Vec<Multiset>,
    /// Which.
    side: Side,
    /// Argument and result type.
    ty: DataType,
    /// Whether rows can be taken away.
    retracts: bool,
    /// Memory of all values, bytes.
    values_bytes: usize,
}

/// Copies of values, by their ordered bytes. Most groups have one value, for which a tree would take ten times its memory.
#[derive(Debug, Default)]
enum Multiset {
    /// None.
    #[default]
    Empty,
    /// One.
    One(Box<[u8]>, i64),
    /// Two or more.
    Many(BTreeMap<Box<[u8]>, i64>),
}

/// Memory of a tree entry beside the value's bytes (guess, unmeasured).
const ENTRY_BYTES: usize = 48;

impl Multiset {
    /// Values in order, each with its copies.
    fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], i64)> {
        let (one, many) = match self {
            Self::Empty => (None, None),
            Self::One(value, count) => (Some((&**value, *count)), None),
            Self::Many(values) => (None, Some(values)),
        };
        let many = many.into_iter().flatten();
        one.into_iter()
            .chain(many.map(|(value, count)| (&**value, *count)))
    }

    /// Values.
    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(..) => 1,
            Self::Many(values) => values.len(),
        }
    }

    /// Memory of the values, bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(value, _) => value.len(),
            Self::Many(values) => values.keys().map(|value| value.len() + ENTRY_BYTES).sum(),
        }
    }

    /// Adds copies of a value, or takes them away; by how much memory that has grown, bytes.
    fn add(&mut self, value: &[u8], change: i64) -> isize {
        let entry_bytes = (value.len() + ENTRY_BYTES).cast_signed();
        match self {
            Self::Empty => {
                *self = Self::One(value.into(), change);
                value.len().cast_signed()
            }
            Self::One(held, count) if **held == *value => {
                *count += change;
                if *count != 0 {
                    return 0;
                }
                *self = Self::Empty;
                -value.len().cast_signed()
            }
            Self::One(held, count) => {
                let held = (std::mem::take(held), *count);
                *self = Self::Many(BTreeMap::from([held, (value.into(), change)]));
                entry_bytes + ENTRY_BYTES.cast_signed()
            }
            Self::Many(values) => {
                let Some(count) = values.get_mut(value) else {
                    values.insert(value.into(), change);
                    return entry_bytes;
                };
                *count += change;
                if *count != 0 {
                    return 0;
                }
                values.remove(value);
                if values.len() > 1 {
                    return -entry_bytes;
                }
                let last = values.pop_first();
                *self = last.map_or(Self::Empty, |(value, count)| Self::One(value, count));
                -entry_bytes - ENTRY_BYTES.cast_signed()
            }
        }
    }
}

impl Ordered {
    /// The extreme of a group that counts: entries below zero wait for their insertion.
    fn extreme(&self, group: u32) -> Option<&[u8]> {
        let mut present = self.values[group as usize]
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(value, _)| value);
        match self.side {
            Side::Min => present.next(),
            Side::Max => present.next_back(),
        }
    }

    /// Adds or takes away one value.
    fn add(&mut self, group: usize, value: &[u8], change: i64) {
        let values = &mut self.values[group];
        let grown = if self.retracts {
            values.add(value, change)
        } else {
            let best = values.iter().next();
            let is_better = best.is_none_or(|(best, _)| match self.side {
                Side::Min => *value < *best,
                Side::Max => *value > *best,
            });
            if !is_better {
                return;
            }
            let before = values.bytes().cast_signed();
            *values = Multiset::Empty;
            values.add(value, 1) - before
        };
        self.values_bytes = self.values_bytes.saturating_add_signed(grown);
    }
}

impl Accumulator for Ordered {
    fn resize(&mut self, groups: usize) {
        column::resize_with(&mut self.values, groups, Multiset::default);
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

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        for Merged { into, from } in groups {
            for (value, count) in other.values[*from as usize].iter() {
                self.add(*into as usize, value, count);
            }
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        from_ordered_bytes(&self.ty, groups.iter().map(|group| self.extreme(*group)))
    }

    fn clear(&mut self, group: u32) {
        let values = std::mem::take(&mut self.values[group as usize]);
        self.values_bytes -= values.bytes();
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        let values = &self.values[group as usize];
        out.put_u32(u32::try_from(values.len()).unwrap_or(u32::MAX));
        for (value, count) in values.iter() {
            out.put_bytes(value);
            out.put_i64(count);
        }
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        for _ in 0..input.u32()? {
            let value = input.bytes()?;
            let count = input.i64()?;
            let grown = self.values[group as usize].add(value, count);
            self.values_bytes = self.values_bytes.saturating_add_signed(grown);
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.values_bytes + self.values.capacity() * size_of::<Multiset>()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_multiset_counts_copies_and_its_memory(
            changes in prop::collection::vec((0_u8..4, -2_i64..3), 0..60),
        ) {
            let (mut values, mut bytes) = (Multiset::default(), 0);
            let mut model = BTreeMap::new();
            for (value, change) in changes.into_iter().filter(|(_, change)| *change != 0) {
                let text = vec![value; 1 + usize::from(value)];
                bytes += values.add(&text, change);
                let count = model.entry(text).or_insert(0);
                *count += change;
                model.retain(|_, count| *count != 0);
                let held: Vec<_> = values.iter().map(|(value, count)| (value.to_vec(), count)).collect();
                prop_assert_eq!(held, model.clone().into_iter().collect::<Vec<_>>());
                prop_assert_eq!(values.len(), model.len());
                prop_assert_eq!(values.bytes().cast_signed(), bytes);
                prop_assert_eq!(matches!(values, Multiset::Many(_)), model.len() > 1);
            }
        }
    }
}
