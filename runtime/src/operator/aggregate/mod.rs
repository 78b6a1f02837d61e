//! Aggregate functions over dense group ids.
//!
//! Enters: group ids and an argument column. Leaves: one result column. Accumulators are columns indexed by group id, one loop
//! per aggregate and batch; all of them take retractions.

mod average;
mod bitmap;
mod collect;
mod count;
mod distinct;
mod extreme;
mod first_last;
mod json_object;
mod list;
mod make;
mod moments;
mod multiset;
mod ordered;
mod percentile;
mod sequence;
mod single_value;
mod sum;
mod values;

pub use make::missing;

use std::any::Any;
use std::fmt::Debug;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};

use crate::batch::{Batch, RowKinds};
use crate::error::{Error, Result};
use crate::plan::AggregateCall;
use crate::state::Values;
use crate::state::codec::Reader;
use crate::types::FlinkType;

/// Rows for an accumulator.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Group of each row.
    pub groups: &'a [u32],
    /// The argument, absent for `COUNT(*)`.
    pub argument: Option<&'a ArrayRef>,
    /// Further arguments.
    pub further: &'a [&'a ArrayRef],
    /// Rows that count; absent means all. Argument NULLs are the accumulator's business.
    pub selection: Option<&'a BooleanArray>,
    /// Kinds; absent means inserts.
    pub kinds: Option<&'a RowKinds>,
}

impl Rows<'_> {
    /// Whether a row counts.
    fn is_selected(&self, row: usize) -> bool {
        self.selection
            .is_none_or(|mask| mask.is_valid(row) && mask.value(row))
    }

    /// Whether a row is taken away.
    fn is_retraction(&self, row: usize) -> bool {
        self.kinds.is_some_and(|kinds| kinds[row].is_retraction())
    }

    /// Calls `f` with the index of each row that counts, its group and whether it is taken away; rows whose argument is NULL
    /// are left out.
    fn for_each(&self, mut f: impl FnMut(usize, usize, bool)) {
        let nulls = self.argument.and_then(|argument| argument.nulls());
        if nulls.is_none() && self.selection.is_none() && self.kinds.is_none() {
            for (row, group) in self.groups.iter().enumerate() {
                f(row, *group as usize, false);
            }
            return;
        }
        for (row, group) in self.groups.iter().enumerate() {
            if nulls.is_none_or(|nulls| nulls.is_valid(row)) && self.is_selected(row) {
                f(row, *group as usize, self.is_retraction(row));
            }
        }
    }

    /// As [`Self::for_each`], with the rows whose argument is NULL.
    fn for_each_row(&self, mut f: impl FnMut(usize, usize, bool)) {
        for (row, group) in self.groups.iter().enumerate() {
            if self.is_selected(row) {
                f(row, *group as usize, self.is_retraction(row));
            }
        }
    }
}

/// A group and the group of other accumulators that is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// The group that grows.
    pub into: u32,
    /// The group that is added, which stays as it is.
    pub from: u32,
}

/// The accumulators of one aggregate, indexed by group id.
pub trait Accumulator: Any + Send + Sync + Debug {
    /// Makes room for `groups` groups; new ones are empty.
    fn resize(&mut self, groups: usize);

    /// Adds and takes away rows.
    ///
    /// # Errors
    /// `Data` for values that the aggregate refuses; `Internal` when an argument has another type than declared.
    fn update(&mut self, rows: Rows<'_>) -> Result<()>;

    /// Whether [`Self::merge`] can be asked for. Where it cannot, windows that overlap are kept one by one, and there are no sessions.
    fn can_merge(&self) -> bool {
        false
    }

    /// Adds groups of `other`, which are the accumulators of the same call in another table, to groups of this one. Groups are added in
    /// the order of time.
    ///
    /// # Errors
    /// `Internal` when `other` is of another call, or when these cannot be merged.
    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let _ = (other, groups);
        Err(Error::internal("an aggregate that cannot be merged"))
    }

    /// The results of some groups.
    ///
    /// # Errors
    /// `Data` when the values of a group have no result.
    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef>;

    /// Empties a group.
    fn clear(&mut self, group: u32);

    /// Forgets all groups and keeps their memory for others; false when it cannot, and then this is not used again.
    fn reset(&mut self) -> bool {
        false
    }

    /// Appends a group's accumulator to a snapshot.
    fn write(&self, group: u32, out: &mut Vec<u8>);

    /// Reads a group's accumulator from a snapshot.
    ///
    /// # Errors
    /// `Corrupt` when the bytes end early.
    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()>;

    /// Memory held, in bytes. Called about once per batch, so it does not walk over groups.
    fn memory_bytes(&self) -> usize;

    /// Memory of values apart from their columns, in bytes: it does not double when columns do.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// The accumulators of all aggregates of an operator.
#[derive(Debug, Default)]
pub struct Aggregates {
    /// One per call, in order.
    calls: Vec<(AggregateCall, Box<dyn Accumulator>)>,
}

impl Aggregates {
    /// Empty accumulators for `calls` over an input with these column types.
    ///
    /// `retracts` tells whether rows can be taken away, which costs some aggregates every value.
    ///
    /// # Errors
    /// `Unsupported` for argument types that an aggregate does not take.
    pub fn new(calls: &[AggregateCall], input: &[FlinkType], retracts: bool) -> Result<Self> {
        let calls = calls
            .iter()
            .map(|call| Ok((call.clone(), make::accumulator(call, input, retracts)?)))
            .collect::<Result<_>>()?;
        Ok(Self { calls })
    }

    /// Adds and takes away the rows of a batch.
    ///
    /// # Errors
    /// `Data` for values that an aggregate refuses; `Internal` when a column has another type than declared.
    pub fn update(&mut self, batch: &Batch, groups: &[u32]) -> Result<()> {
        let mut further = Vec::new();
        for (call, accumulator) in &mut self.calls {
            further.clear();
            further.extend(call.further.iter().map(|column| &batch.columns[*column]));
            accumulator.update(Rows {
                groups,
                argument: call.argument.map(|column| &batch.columns[column]),
                further: &further,
                selection: call.filter.map(|column| batch.columns[column].as_boolean()),
                kinds: batch.kinds.as_ref(),
            })?;
        }
        Ok(())
    }

    /// Whether groups can be added to groups.
    pub fn can_merge(&self) -> bool {
        let mut calls = self.calls.iter();
        calls.all(|(_, accumulator)| accumulator.can_merge())
    }

    /// Adds groups of other accumulators of the same calls to groups of these.
    ///
    /// # Errors
    /// `Internal` when they are of other calls.
    pub fn merge(&mut self, other: &Self, groups: &[Merged]) -> Result<()> {
        for ((_, accumulator), (_, other)) in self.calls.iter_mut().zip(&other.calls) {
            accumulator.merge(&**other, groups)?;
        }
        Ok(())
    }

    /// The results of some groups, one column per call.
    ///
    /// # Errors
    /// `Data` when the values of a group have no result.
    pub fn evaluate(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.calls
            .iter()
            .map(|(_, accumulator)| accumulator.evaluate(groups))
            .collect()
    }
}

impl Values for Aggregates {
    fn resize(&mut self, len: usize) {
        for (_, accumulator) in &mut self.calls {
            accumulator.resize(len);
        }
    }

    fn clear(&mut self, id: u32) {
        for (_, accumulator) in &mut self.calls {
            accumulator.clear(id);
        }
    }

    fn reset(&mut self) -> bool {
        let mut calls = self.calls.iter_mut();
        calls.all(|(_, accumulator)| accumulator.reset())
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        for (_, accumulator) in &self.calls {
            accumulator.write(id, out);
        }
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        self.calls
            .iter_mut()
            .try_for_each(|(_, accumulator)| accumulator.read(id, input))
    }

    fn memory_bytes(&self) -> usize {
        self.calls
            .iter()
            .map(|(_, accumulator)| accumulator.memory_bytes())
            .sum()
    }

    fn heap_bytes(&self) -> usize {
        self.calls
            .iter()
            .map(|(_, accumulator)| accumulator.heap_bytes())
            .sum()
    }
}

/// The accumulators of another table as what they are.
fn same<A: Accumulator>(other: &dyn Accumulator) -> Result<&A> {
    let other: &dyn Any = other;
    let same = other.downcast_ref();
    same.ok_or_else(|| Error::internal("aggregates of different calls cannot be merged"))
}

#[cfg(test)]
mod tests;
