//! `BITMAP_BUILD_AGG`, `BITMAP_AND_AGG`, `BITMAP_OR_AGG`, `BITMAP_XOR_AGG` and those that give the cardinality.
//!
//! Place in the flow: accumulators of the aggregations. Invariant: over an updating input every integer is counted, so that it is gone
//! with the last bitmap that has it; XOR needs no counts, as a bitmap takes itself away.
//!
//! # Source
//! Flink 2.3: `BitmapBuildAggFunction` and the like: NULL without values; NULLs are left out.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int64Array};
use arrow::datatypes::{DataType, Int32Type};
use roaring::RoaringBitmap;

use crate::error::{Error, Result};
use crate::operator::aggregate::multiset::Multiset;
use crate::operator::aggregate::values::too_large;
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
use crate::plan::AggregateFunction;
use crate::sql::eval::bitmap;
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::types::FlinkType;

/// How bitmaps become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Union {
    /// Integers are collected.
    Build,
    /// What all have.
    And,
    /// What any has.
    Or,
    /// What an odd number has.
    Xor,
}

/// A group.
#[derive(Debug, Default)]
struct State {
    /// Bitmaps, or integers for [`Union::Build`].
    count: i64,
    /// The result so far; empty while integers are counted.
    set: RoaringBitmap,
    /// How many bitmaps have each integer.
    copies: Multiset<u32>,
    /// Memory of `copies`, bytes.
    copies_bytes: usize,
    /// Memory of the group as it was counted last, bytes.
    bytes: usize,
}

/// The bitmaps of all groups.
#[derive(Debug)]
struct Bitmaps {
    /// Groups that have values.
    states: Vec<Option<Box<State>>>,
    /// How bitmaps become one.
    union: Union,
    /// Whether integers are counted.
    counts: bool,
    /// Whether the result is a number of integers.
    is_cardinality: bool,
    /// Memory of all groups, bytes.
    values_bytes: usize,
}

/// The accumulator of a function on bitmaps.
///
/// # Errors
/// None today.
pub(super) fn accumulator(
    function: AggregateFunction,
    result: &FlinkType,
    retracts: bool,
) -> Result<Box<dyn Accumulator>> {
    use AggregateFunction as F;
    let union = match function {
        F::BitmapAndAgg | F::BitmapAndCardinalityAgg => Union::And,
        F::BitmapOrAgg | F::BitmapOrCardinalityAgg => Union::Or,
        F::BitmapXorAgg | F::BitmapXorCardinalityAgg => Union::Xor,
        _ => Union::Build,
    };
    Ok(Box::new(Bitmaps {
        states: Vec::new(),
        union,
        counts: retracts && union != Union::Xor,
        is_cardinality: result.to_arrow()? == DataType::Int64,
        values_bytes: 0,
    }))
}

impl State {
    /// Adds or takes away an integer.
    fn add_integer(&mut self, value: u32, change: i64, counts: bool) {
        self.count += change;
        if counts {
            let grown = self.copies.add(&value, change);
            self.copies_bytes = self.copies_bytes.saturating_add_signed(grown);
        } else {
            self.set.insert(value);
        }
    }

    /// Adds a bitmap that stands for as many as `change`, or takes one away.
    fn add_bitmap(&mut self, union: Union, other: &RoaringBitmap, change: i64) {
        let is_first = self.count == 0;
        self.count += change;
        match union {
            Union::And if is_first => self.set |= other,
            Union::And => self.set &= other,
            Union::Xor => self.set ^= other,
            Union::Or | Union::Build => self.set |= other,
        }
    }

    /// Counts the integers of a bitmap.
    fn count_bitmap(&mut self, other: &RoaringBitmap, change: i64) {
        self.count += change;
        let grown: isize = other.iter().map(|v| self.copies.add(&v, change)).sum();
        self.copies_bytes = self.copies_bytes.saturating_add_signed(grown);
    }

    /// Adds what another group is made of.
    fn merge(&mut self, union: Union, other: &Self) {
        // An empty group has all integers for AND, so there is nothing to add.
        if other.count != 0 || union != Union::And {
            self.add_bitmap(union, &other.set, other.count);
        }
        for (value, count) in other.copies.iter() {
            let grown = self.copies.add(value, count);
            self.copies_bytes = self.copies_bytes.saturating_add_signed(grown);
        }
    }

    /// Memory of the group, bytes.
    fn measured_bytes(&self) -> usize {
        size_of::<Self>() + self.set.serialized_size() + self.copies_bytes
    }
}

impl Bitmaps {
    /// The group that a row changes.
    fn state(&mut self, group: usize) -> &mut State {
        self.states[group].get_or_insert_default()
    }

    /// Counts the memory of groups that were changed.
    fn measure(&mut self, mut groups: Vec<usize>) {
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            if let Some(state) = &mut self.states[group] {
                let bytes = state.measured_bytes();
                self.values_bytes = self.values_bytes + bytes - state.bytes;
                state.bytes = bytes;
            }
        }
    }

    /// The result of a group.
    fn result(&self, group: u32) -> Option<RoaringBitmap> {
        let state = self.states[group as usize].as_ref()?;
        if !self.counts {
            return (state.count > 0).then(|| state.set.clone());
        }
        let least = match self.union {
            Union::And => state.count,
            Union::Build | Union::Or | Union::Xor => 1,
        };
        let copies = state.copies.iter();
        let set: RoaringBitmap = copies
            .filter(|(_, count)| *count >= least)
            .map(|(value, _)| *value)
            .collect();
        let is_there = match self.union {
            Union::Build => !set.is_empty(),
            Union::And | Union::Or | Union::Xor => state.count > 0,
        };
        is_there.then_some(set)
    }
}

impl Accumulator for Bitmaps {
    fn resize(&mut self, groups: usize) {
        column::resize_with(&mut self.states, groups, || None);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let argument = rows.argument()?;
        let (union, counts) = (self.union, self.counts);
        let mut touched = Vec::new();
        let change = |is_retraction: bool| if is_retraction { -1 } else { 1 };
        if union == Union::Build {
            let integers = argument.as_primitive_opt::<Int32Type>();
            let integers = integers.ok_or_else(|| Error::internal("a bitmap of another type"))?;
            rows.for_each(|row, group, is_retraction| {
                let value = integers.value(row).cast_unsigned();
                let state = self.state(group);
                state.add_integer(value, change(is_retraction), counts);
                touched.push(group);
            });
        } else {
            let bitmaps = argument.as_binary_opt::<i32>();
            let bitmaps = bitmaps.ok_or_else(|| Error::internal("a bitmap of another type"))?;
            let mut read = Ok(());
            rows.for_each(
                |row, group, is_retraction| match bitmap::read(bitmaps.value(row)) {
                    Ok(other) if counts => {
                        let state = self.state(group);
                        state.count_bitmap(&other, change(is_retraction));
                        touched.push(group);
                    }
                    Ok(other) => {
                        let state = self.state(group);
                        state.add_bitmap(union, &other, change(is_retraction));
                        touched.push(group);
                    }
                    Err(error) => read = Err(error),
                },
            );
            read?;
        }
        self.measure(touched);
        Ok(())
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        let union = self.union;
        for Merged { into, from } in groups {
            if let Some(from) = &other.states[*from as usize] {
                self.state(*into as usize).merge(union, from);
            }
        }
        self.measure(groups.iter().map(|merged| merged.into as usize).collect());
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let results = groups.iter().map(|group| self.result(*group));
        if self.is_cardinality {
            let counts = results.map(|set| set.map(|set| set.len().cast_signed()));
            return Ok(Arc::new(counts.collect::<Int64Array>()));
        }
        let bytes = results.map(|set| set.map(bitmap::write).transpose());
        let bytes = bytes.collect::<Result<Vec<Option<Vec<u8>>>>>()?;
        if i32::try_from(bytes.iter().flatten().map(Vec::len).sum::<usize>()).is_err() {
            return Err(too_large());
        }
        Ok(Arc::new(
            bytes.iter().map(Option::as_deref).collect::<BinaryArray>(),
        ))
    }

    fn clear(&mut self, group: u32) {
        if let Some(state) = self.states[group as usize].take() {
            self.values_bytes -= state.bytes;
        }
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        let Some(state) = &self.states[group as usize] else {
            out.put_u8(0);
            return;
        };
        out.put_u8(1);
        out.put_i64(state.count);
        // Memory takes all bytes.
        out.put_bytes(&bitmap::write(state.set.clone()).unwrap_or_default());
        state.copies.write(out);
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        if input.u8()? == 0 {
            return Ok(());
        }
        let mut state = State {
            count: input.i64()?,
            set: bitmap::read(input.bytes()?)
                .map_err(|_| Error::corrupt("a bitmap in state is none"))?,
            ..State::default()
        };
        let grown = state.copies.read(input)?;
        state.copies_bytes = state.copies_bytes.saturating_add_signed(grown);
        self.states[group as usize] = Some(Box::new(state));
        self.measure(vec![group as usize]);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.values_bytes + self.states.capacity() * size_of::<Option<Box<State>>>()
    }

    fn heap_bytes(&self) -> usize {
        self.values_bytes
    }
}
