//! `MIN` and `MAX`; one value of each group in its own type, which `FIRST_VALUE` and `LAST_VALUE` use as well.
//!
//! Place in the flow: an accumulator of the aggregations. Invariant: over an append-only input only the extreme is kept; over an
//! updating input a multiset, so that taking the extreme away uncovers the next one.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType,
};

use crate::error::{Error, Result};
use crate::operator::aggregate::multiset::{Multiset, Multisets};
use crate::operator::aggregate::ordered::{from_ordered_bytes, ordered_bytes};
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::types::FlinkType;

/// Which value of a group is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The first value.
    First,
    /// The last value.
    Last,
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
    if !retracts && let Some(native) = native(side, &ty) {
        return Ok(native);
    }
    if ty.is_nested() || ty == DataType::Null {
        return Err(Error::unsupported(format!("{side:?} of {}", argument.kind)));
    }
    Ok(Box::new(Ordered {
        values: Multisets::default(),
        side,
        ty,
        retracts,
    }))
}

/// One value of each group over an append-only input, for the commonest types.
pub(super) fn native(side: Side, ty: &DataType) -> Option<Box<dyn Accumulator>> {
    let ty = ty.clone();
    Some(match ty {
        DataType::Int32 => Box::new(Native::<Int32Type>::new(side, ty)),
        DataType::Int64 => Box::new(Native::<Int64Type>::new(side, ty)),
        DataType::Decimal128(..) => Box::new(Native::<Decimal128Type>::new(side, ty)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Box::new(Native::<TimestampMillisecondType>::new(side, ty))
        }
        _ => return None,
    })
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
            (None, _) | (Some(_), Side::Last) => new,
            (Some(old), Side::Min) => old.min(new),
            (Some(old), Side::Max) => old.max(new),
            (Some(old), Side::First) => old,
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

    fn reset(&mut self) -> bool {
        self.values.clear();
        true
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
    /// Values of each group by their ordered bytes; one only over an append-only input.
    values: Multisets<[u8]>,
    /// Which.
    side: Side,
    /// Argument and result type.
    ty: DataType,
    /// Whether rows can be taken away.
    retracts: bool,
}

impl Ordered {
    /// The extreme of a group that counts: entries below zero wait for their insertion.
    fn extreme(&self, group: u32) -> Option<&[u8]> {
        let mut present = self.values.of(group).present();
        match self.side {
            Side::Min => present.next(),
            Side::Max => present.next_back(),
            Side::First | Side::Last => None,
        }
    }

    /// Adds or takes away one value.
    fn add(&mut self, group: usize, value: &[u8], change: i64) {
        if self.retracts {
            self.values.add(group, value, change);
            return;
        }
        let side = self.side;
        self.values.grow(group, |values| {
            let best = values.iter().next();
            let is_better = best.is_none_or(|(best, _)| match side {
                Side::Min => *value < *best,
                Side::Max => *value > *best,
                Side::First | Side::Last => false,
            });
            if !is_better {
                return 0;
            }
            let before = values.bytes().cast_signed();
            *values = Multiset::Empty;
            values.add(value, 1) - before
        });
    }
}

impl Accumulator for Ordered {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
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
            for (value, count) in other.values.of(*from).iter() {
                self.add(*into as usize, value, count);
            }
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        from_ordered_bytes(&self.ty, groups.iter().map(|group| self.extreme(*group)))
    }

    fn clear(&mut self, group: u32) {
        self.values.clear(group);
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        self.values.write(group, out);
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        self.values.read(group, input)
    }

    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes()
    }

    fn heap_bytes(&self) -> usize {
        self.values.heap_bytes()
    }
}
