//! `GROUP BY` without a window: aggregates per key that are updated for ever.
//!
//! Place in the flow: after a hash exchange by the keys. Invariant: per batch and key at most one change is emitted (an insert, an
//! update pair or a delete), so a consumer that folds the changelog by key always holds the aggregate of what came in.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::row::{RowConverter, SortField};

use crate::batch::{Batch, RowKind};
use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::operator::aggregate::Aggregates;
use crate::operator::{Collector, KeyGroupState, Operator, OperatorContext};
use crate::plan::AggregateCall;
use crate::state::codec::{Reader, Writer};
use crate::state::{GroupTable, KeyCodec};
use crate::types::FlinkType;

/// Aggregates per key.
#[derive(Debug)]
pub struct GroupAggregate {
    /// Key columns of the input.
    keys: Vec<usize>,
    /// Encodes keys.
    codec: KeyCodec,
    /// Keys to ids.
    groups: GroupTable,
    /// Accumulators by id.
    aggregates: Aggregates,
    /// Rows that each group is made of; at zero the group is deleted.
    rows: Vec<i64>,
    /// Batch in which each group was last touched, so that a group is listed once per batch.
    stamps: Vec<u32>,
    /// Number of the present batch.
    stamp: u32,
    /// Ids of the present batch's rows, kept for its memory.
    ids: Vec<u32>,
    /// Compares results before and after a batch.
    results: RowConverter,
}

impl GroupAggregate {
    /// No groups yet.
    ///
    /// # Errors
    /// `Unsupported` for keys or arguments of types that cannot be one.
    pub fn new(
        keys: &[usize],
        calls: &[AggregateCall],
        input: &[FlinkType],
        retracts: bool,
    ) -> Result<Self> {
        let codec = KeyCodec::new(keys.iter().map(|key| &input[*key]))?;
        let results = calls
            .iter()
            .map(|call| Ok(SortField::new(call.ty.to_arrow()?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            keys: keys.to_vec(),
            codec,
            groups: GroupTable::default(),
            aggregates: Aggregates::new(calls, input, retracts)?,
            rows: Vec::new(),
            stamps: Vec::new(),
            stamp: 0,
            ids: Vec::new(),
            results: RowConverter::new(results)?,
        })
    }

    /// Looks the keys of a batch up; the groups it touches, each once, the new ones last told by `is_new`.
    fn assign(&mut self, batch: &Batch) -> Result<Touched> {
        let columns: Vec<&ArrayRef> = self.keys.iter().map(|key| &batch.columns[*key]).collect();
        let keys = self.codec.encode(&columns, batch.rows)?;
        let mut new = Vec::new();
        let mut ids = std::mem::take(&mut self.ids);
        self.groups.ids_of(&keys, &mut ids, |id| new.push(id))?;
        self.make_room();
        self.stamp = self.stamp.wrapping_add(1);
        let mut touched = Touched::default();
        for id in &new {
            self.stamps[*id as usize] = self.stamp;
        }
        touched.new = new;
        for id in &ids {
            let stamp = &mut self.stamps[*id as usize];
            if *stamp != self.stamp {
                *stamp = self.stamp;
                touched.old.push(*id);
            }
        }
        self.ids = ids;
        Ok(touched)
    }

    /// Makes room for every id.
    fn make_room(&mut self) {
        let capacity = self.groups.capacity();
        self.aggregates.resize(capacity);
        self.rows.resize(capacity, 0);
        self.stamps.resize(capacity, self.stamp);
    }

    /// Counts the rows of each group.
    fn count_rows(&mut self, batch: &Batch) {
        match &batch.kinds {
            None => self.ids.iter().for_each(|id| self.rows[*id as usize] += 1),
            Some(kinds) => {
                for (id, kind) in self.ids.iter().zip(kinds.iter()) {
                    self.rows[*id as usize] += if kind.is_retraction() { -1 } else { 1 };
                }
            }
        }
    }

    /// The changes of the touched groups: results `before` of the old ones against what they are now.
    fn changes(&self, touched: &Touched, before: &[ArrayRef]) -> Result<Changes> {
        let after = self.aggregates.evaluate(&touched.old)?;
        let rows_before = self.results.convert_columns(before)?;
        let rows_after = self.results.convert_columns(&after)?;
        let mut changes = Changes {
            after: concat(&after, &self.aggregates.evaluate(&touched.new)?)?,
            ..Changes::default()
        };
        let is_global = self.keys.is_empty();
        // SELECT DISTINCT has keys only: nothing that could differ.
        let has_results = !before.is_empty();
        for (position, id) in (0u32..).zip(&touched.old) {
            let row = position as usize;
            if self.rows[*id as usize] == 0 && !is_global {
                changes.push(Side::Before, position, *id, RowKind::Delete);
            } else if has_results && rows_before.row(row) != rows_after.row(row) {
                changes.push(Side::Before, position, *id, RowKind::UpdateBefore);
                changes.push(Side::After, position, *id, RowKind::UpdateAfter);
            }
        }
        let first_new = u32::try_from(touched.old.len()).unwrap_or(u32::MAX);
        for (position, id) in (first_new..).zip(&touched.new) {
            if self.rows[*id as usize] > 0 || is_global {
                changes.push(Side::After, position, *id, RowKind::Insert);
            }
        }
        Ok(changes)
    }

    /// Forgets groups without rows.
    fn remove_empty(&mut self, touched: &Touched) {
        if self.keys.is_empty() {
            return;
        }
        for id in touched.old.iter().chain(&touched.new) {
            if self.rows[*id as usize] == 0 {
                self.aggregates.clear(*id);
                self.groups.remove(*id);
            }
        }
    }
}

/// Groups that a batch touches, each once.
#[derive(Debug, Default)]
struct Touched {
    /// Groups that were there before.
    old: Vec<u32>,
    /// Groups that it opened.
    new: Vec<u32>,
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
    /// Results after the batch: old groups, then new ones.
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

/// Column by column, `first` then `second`.
fn concat(first: &[ArrayRef], second: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    first
        .iter()
        .zip(second)
        .map(|(first, second)| Ok(arrow::compute::concat(&[first, second])?))
        .collect()
}

impl Operator for GroupAggregate {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        _context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let touched = self.assign(batch)?;
        let before = self.aggregates.evaluate(&touched.old)?;
        self.aggregates.update(batch, &self.ids)?;
        self.count_rows(batch);
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
        self.remove_empty(&touched);
        Ok(())
    }

    fn snapshot(&self, key_groups: u32) -> Result<Vec<KeyGroupState>> {
        let mut states: Vec<Vec<u8>> = vec![Vec::new(); key_groups as usize];
        for id in self.groups.ids() {
            let out = &mut states[key_group(self.groups.hash(id), key_groups) as usize];
            out.put_bytes(self.groups.key(id));
            out.put_i64(self.groups.hash(id).cast_signed());
            out.put_i64(self.rows[id as usize]);
            self.aggregates.write(id, out);
        }
        let states = (0..).zip(states).filter(|(_, bytes)| !bytes.is_empty());
        Ok(states
            .map(|(key_group, bytes)| KeyGroupState { key_group, bytes })
            .collect())
    }

    fn restore(&mut self, state: &KeyGroupState) -> Result<()> {
        let mut input = Reader::new(&state.bytes);
        while !input.is_empty() {
            let key = input.bytes()?;
            let hash = input.i64()?.cast_unsigned();
            let (id, _) = self.groups.id_of(key, hash)?;
            self.make_room();
            self.rows[id as usize] = input.i64()?;
            self.aggregates.read(id, &mut input)?;
        }
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        self.groups.memory_bytes()
            + self.aggregates.memory_bytes()
            + self.rows.capacity() * size_of::<i64>()
            + self.stamps.capacity() * size_of::<u32>()
    }

    fn state_keys(&self) -> usize {
        self.groups.len()
    }
}

#[cfg(test)]
mod tests;
