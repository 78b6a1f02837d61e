//! `GROUP BY` without a window: aggregates per key that are updated for ever.
//!
//! Place in the flow: after a hash exchange by the keys. Invariant: per batch and key at most one change is emitted (an insert, an
//! update pair or a delete), so a consumer that folds the changelog by key always holds the aggregate of what came in.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::not_distinct;

use crate::batch::{Batch, RowKind};
use crate::error::Result;
use crate::operator::aggregate::Aggregates;
use crate::operator::{Collector, Operator, OperatorContext, StateVisit};
use crate::plan::AggregateCall;
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::state::{KeyCodec, KeyedTable, StateConfig, Values};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Number of the only table.
const GROUPS_TABLE: u8 = 0;

/// Stamps of a batch: one for groups that it opened, and one for groups that are listed.
const STAMPS_PER_BATCH: u32 = 2;

/// Aggregates per key.
#[derive(Debug)]
pub struct GroupAggregate {
    /// Key columns of the input.
    keys: Vec<usize>,
    /// Encodes keys.
    codec: KeyCodec,
    /// Groups by key.
    groups: KeyedTable<Groups>,
    /// Last stamp of the present batch.
    stamp: u32,
    /// Ids of the present batch's rows, kept for its memory.
    ids: Vec<u32>,
    /// Encodes results without an order, to compare those before and after a batch.
    results: KeyCodec,
}

/// What is kept of a group, by id.
#[derive(Debug, Default)]
struct Groups {
    /// Accumulators.
    aggregates: Aggregates,
    /// Rows that each group is made of; at zero the group is deleted.
    rows: Vec<i64>,
    /// Stamp of the batch in which each group was last touched, so that a group is listed once per batch; part of no snapshot.
    stamps: Vec<u32>,
}

impl Values for Groups {
    fn resize(&mut self, len: usize) {
        self.aggregates.resize(len);
        column::resize(&mut self.rows, len, 0);
        column::resize(&mut self.stamps, len, 0);
    }

    fn clear(&mut self, id: u32) {
        self.aggregates.clear(id);
        self.rows[id as usize] = 0;
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        out.put_i64(self.rows[id as usize]);
        self.aggregates.write(id, out);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        self.rows[id as usize] = input.i64()?;
        self.aggregates.read(id, input)
    }

    fn memory_bytes(&self) -> usize {
        self.aggregates.memory_bytes()
            + self.rows.capacity() * size_of::<i64>()
            + self.stamps.capacity() * size_of::<u32>()
    }

    fn heap_bytes(&self) -> usize {
        self.aggregates.heap_bytes()
    }
}

impl GroupAggregate {
    /// No groups yet.
    ///
    /// # Errors
    /// `Unsupported` for keys or arguments of types that cannot be one.
    pub fn new(
        keys: &[usize],
        calls: &[AggregateCall],
        (input, retracts): (&[FlinkType], bool),
        state: StateConfig,
    ) -> Result<Self> {
        let codec = KeyCodec::new(keys.iter().map(|key| &input[*key]))?;
        let results = KeyCodec::for_rows(calls.iter().map(|call| &call.ty))?;
        Ok(Self {
            keys: keys.to_vec(),
            codec,
            groups: KeyedTable::new(
                GROUPS_TABLE,
                Groups {
                    aggregates: Aggregates::new(calls, input, retracts)?,
                    rows: Vec::new(),
                    stamps: Vec::new(),
                },
                state,
            ),
            stamp: 0,
            ids: Vec::new(),
            results,
        })
    }

    /// Looks the keys of a batch up; the groups it touches, each once, in the order of their last rows.
    fn assign(&mut self, batch: &Batch, now_ms: EpochMillis) -> Result<Touched> {
        let columns: Vec<&ArrayRef> = self.keys.iter().map(|key| &batch.columns[*key]).collect();
        let keys = self.codec.encode(&columns, batch.rows)?;
        let mut new = Vec::new();
        let mut ids = std::mem::take(&mut self.ids);
        self.groups
            .upsert(&keys, now_ms, &mut ids, |id| new.push(id))?;
        let stamps = &mut self.groups.values_mut().stamps;
        if self.stamp > u32::MAX - STAMPS_PER_BATCH {
            stamps.fill(0);
            self.stamp = 0;
        }
        self.stamp += STAMPS_PER_BATCH;
        let (opened, listed) = (self.stamp - 1, self.stamp);
        for id in &new {
            stamps[*id as usize] = opened;
        }
        let mut touched = Touched::default();
        for id in ids.iter().rev() {
            let stamp = &mut stamps[*id as usize];
            if *stamp != listed {
                touched.ids.push(*id);
                touched.is_new.push(*stamp == opened);
                *stamp = listed;
            }
        }
        touched.ids.reverse();
        touched.is_new.reverse();
        self.ids = ids;
        Ok(touched)
    }

    /// Counts the rows of each group: the rows that count, when some do not. A group without rows has nothing to take back; one that gets
    /// rows again begins anew, so what came to it before in the batch does not count either.
    ///
    /// # Source
    /// Flink 2.3, `GroupAggregate`: a retraction for a key without accumulators is skipped, as of a changelog that is read from its
    /// middle, or behind a TTL; with the last row of a key its accumulators are dropped.
    fn count_rows(&mut self, batch: &Batch) -> Option<BooleanArray> {
        let Groups {
            aggregates, rows, ..
        } = self.groups.values_mut();
        let Some(kinds) = &batch.kinds else {
            self.ids.iter().for_each(|id| rows[*id as usize] += 1);
            return None;
        };
        let mut skipped = Vec::new();
        // Where the groups that have lost all rows begin anew, once they do.
        let mut emptied: HashMap<u32, usize, foldhash::fast::RandomState> = HashMap::default();
        for (row, (id, kind)) in self.ids.iter().zip(kinds.iter()).enumerate() {
            let count = &mut rows[*id as usize];
            match (kind.is_retraction(), *count) {
                (false, 0) => {
                    *count = 1;
                    emptied.entry(*id).and_modify(|begin| *begin = row);
                }
                (false, _) => *count += 1,
                (true, 0) => skipped.push(row),
                (true, 1) => {
                    *count = 0;
                    emptied.entry(*id).or_insert(0);
                }
                (true, _) => *count -= 1,
            }
        }
        emptied.retain(|_, begin| *begin > 0);
        if skipped.is_empty() && emptied.is_empty() {
            return None;
        }
        for id in &self.ids {
            if emptied.contains_key(id) {
                aggregates.clear(*id);
            }
        }
        let mut next = skipped.into_iter().peekable();
        let counts = self.ids.iter().enumerate().map(|(row, id)| {
            let is_skipped = next.next_if_eq(&row).is_some();
            Some(!is_skipped && emptied.get(id).is_none_or(|begin| row >= *begin))
        });
        Some(counts.collect())
    }

    /// The changes of the touched groups: results `before` against what they are now.
    fn changes(&self, touched: &Touched, before: &[ArrayRef]) -> Result<Changes> {
        let Groups {
            aggregates, rows, ..
        } = self.groups.values();
        let after = aggregates.evaluate(&touched.ids)?;
        let is_same = self.are_same(before, &after, touched.ids.len())?;
        let mut changes = Changes {
            after,
            ..Changes::default()
        };
        // SELECT DISTINCT has keys only: nothing that could differ.
        let has_results = !before.is_empty();
        let groups = touched.ids.iter().zip(&touched.is_new);
        for (position, (id, is_new)) in (0u32..).zip(groups) {
            match (rows[*id as usize] > 0, *is_new) {
                (true, true) => changes.push(Side::After, position, *id, RowKind::Insert),
                (true, false) => {
                    if has_results && !is_same.value(position as usize) {
                        changes.push(Side::Before, position, *id, RowKind::UpdateBefore);
                        changes.push(Side::After, position, *id, RowKind::UpdateAfter);
                    }
                }
                (false, true) => {}
                (false, false) => changes.push(Side::Before, position, *id, RowKind::Delete),
            }
        }
        Ok(changes)
    }

    /// Which of the groups have the same results before and after.
    fn are_same(
        &self,
        before: &[ArrayRef],
        after: &[ArrayRef],
        groups: usize,
    ) -> Result<BooleanBuffer> {
        let mut same = BooleanBuffer::new_set(groups);
        for (before, after) in before.iter().zip(after) {
            let of_column = if before.data_type().is_nested() {
                let before = self.results.encode_rows(&[before], groups)?;
                let after = self.results.encode_rows(&[after], groups)?;
                BooleanBuffer::collect_bool(groups, |row| before.key(row) == after.key(row))
            } else {
                not_distinct(before, after)?.values().clone()
            };
            same = &same & &of_column;
        }
        Ok(same)
    }

    /// Forgets groups without rows.
    fn remove_empty(&mut self, touched: &Touched) -> Result<()> {
        for id in &touched.ids {
            if self.groups.values().rows[*id as usize] == 0 {
                self.groups.remove(*id)?;
            }
        }
        Ok(())
    }
}

/// Groups that a batch touches, each once, in the order of their last rows: that of the last changes of each when there is one per row, as
/// in Flink.
#[derive(Debug, Default)]
struct Touched {
    /// Groups.
    ids: Vec<u32>,
    /// Whether the batch opened each.
    is_new: Vec<bool>,
}

/// Which result a change carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// The result before the batch.
    Before,
    /// The result after it.
    After,
}

/// Changes to emit.
#[derive(Debug, Default)]
struct Changes {
    /// Results after the batch.
    after: Vec<ArrayRef>,
    /// Side and position of each change's result.
    results: Vec<(Side, u32)>,
    /// Group of each change.
    ids: Vec<u32>,
    /// Kind of each change.
    kinds: Vec<RowKind>,
}

impl Changes {
    /// Adds a change.
    fn push(&mut self, side: Side, position: u32, id: u32, kind: RowKind) {
        self.results.push((side, position));
        self.ids.push(id);
        self.kinds.push(kind);
    }

    /// The result columns of the changes.
    fn columns(&self, before: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let indices: Vec<(usize, usize)> = self
            .results
            .iter()
            .map(|(side, row)| (usize::from(*side == Side::After), *row as usize))
            .collect();
        before
            .iter()
            .zip(&self.after)
            .map(|(before, after)| Ok(arrow::compute::interleave(&[before, after], &indices)?))
            .collect()
    }
}

impl Operator for GroupAggregate {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let touched = self.assign(batch, context.state_time_ms())?;
        let before = self.groups.values().aggregates.evaluate(&touched.ids)?;
        let counting = self.count_rows(batch);
        let aggregates = &mut self.groups.values_mut().aggregates;
        match counting {
            None => aggregates.update(batch, &self.ids)?,
            Some(mask) => {
                let ids = self.ids.iter().zip(mask.values());
                let ids: Vec<u32> = ids
                    .filter(|(_, counts)| *counts)
                    .map(|(id, _)| *id)
                    .collect();
                aggregates.update(&batch.filter(&mask)?, &ids)?;
            }
        }
        let changes = self.changes(&touched, &before)?;
        if !changes.kinds.is_empty() {
            let mut columns = self
                .codec
                .decode(changes.ids.iter().map(|id| self.groups.key(*id)))?;
            columns.extend(changes.columns(&before)?);
            let all_inserts = changes.kinds.iter().all(|kind| *kind == RowKind::Insert);
            let kinds = (!all_inserts).then(|| Arc::from(changes.kinds.as_slice()));
            out.emit(Batch {
                columns,
                rows: changes.kinds.len(),
                kinds,
            });
        }
        self.remove_empty(&touched)
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(&mut self.groups);
    }
}

#[cfg(test)]
mod tests;
