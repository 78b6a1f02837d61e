//! Aggregates over rows in the order of a column that is no time attribute.
//!
//! Place in the flow: after a hash exchange by the partition. Invariant: what was emitted and not taken back are the rows that are there,
//! each with the aggregates of the rows up to it; a change takes back what it makes wrong and nothing else.
//!
//! # Source
//! Flink 2.3, `AbstractNonTimeUnboundedPrecedingOver`: frames have no start, the input may take rows back, one that is not there is
//! passed over.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};

use super::cells::Cells;
use super::frames::narrow;
use super::steps::{Results, Step, Steps};
use crate::batch::{Batch, RowKind};
use crate::error::{Error, Result};
use crate::graph::key_group::key_group;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::plan::{AggregateCall, FrameUnit, OverAggregate};
use crate::state::{
    EncodedKeys, KeyCodec, OrderedRows, PartitionKey, SortCodec, StateConfig, Values as _,
};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Aggregates over rows in the order of a column.
#[derive(Debug)]
pub struct OverByValue {
    /// Key columns.
    partition: Vec<usize>,
    /// Encodes keys.
    keys: KeyCodec,
    /// Encodes rows.
    codec: KeyCodec,
    /// Encodes the order.
    sort: SortCodec,
    /// Encodes results, to compare them.
    results: KeyCodec,
    /// Rows by partition.
    rows: OrderedRows,
    /// Key groups of the statement.
    key_groups: u32,
    /// Columns that the aggregates read.
    used: Vec<usize>,
    /// Aggregates over these.
    calls: Vec<AggregateCall>,
    /// Types of these.
    used_types: Vec<FlinkType>,
    /// Whether rows that are equal in order are in the frame of one another.
    has_peers: bool,
    /// Changes of partitions that are to be worked off.
    queue: VecDeque<Changes>,
    /// What is to be emitted.
    pending: VecDeque<Batch>,
}

/// Number of the only table.
const ROWS_TABLE: u8 = 0;

/// Rows that are looked at together, when partitions are small: one call of the aggregates costs as much as some rows (guess, unmeasured).
const TOGETHER_ROWS: usize = 8 << 10;

/// Changes of a partition, in the order in which they came.
#[derive(Debug)]
struct Changes {
    /// Its key.
    key: Vec<u8>,
    /// Its key group.
    key_group: u32,
    /// Sort key, row, and whether it is taken away.
    rows: Vec<(Vec<u8>, Vec<u8>, bool)>,
}

/// A row of a partition.
#[derive(Debug)]
struct Item {
    /// Its place among the rows before the changes; absent for a new one.
    origin: Option<usize>,
    /// Its sort key.
    sort: Vec<u8>,
    /// The row.
    row: Vec<u8>,
}

/// A partition before and after its changes. Rows are places in a batch with those of other partitions.
#[derive(Debug)]
struct Part {
    /// Rows in front of the first change.
    same: Range<usize>,
    /// The others before the changes.
    before: Range<usize>,
    /// The others after them.
    after: Range<usize>,
    /// For each of those, its place in `before`; absent for a new one.
    origins: Vec<Option<usize>>,
    /// Where rows that come in one step end, before and after.
    ends: [Vec<usize>; 2],
}

impl OverByValue {
    /// No rows, of some types.
    ///
    /// # Errors
    /// `Unsupported` for keys, orders or arguments of types that cannot be one.
    pub fn new(over: &OverAggregate, types: &[FlinkType], state: StateConfig) -> Result<Self> {
        let (used, calls) = narrow(&over.aggregates);
        let used_types: Vec<FlinkType> = used.iter().map(|column| types[*column].clone()).collect();
        Cells::new(&calls, &used_types, false)?;
        Ok(Self {
            partition: over.partition.clone(),
            keys: KeyCodec::new(over.partition.iter().map(|column| &types[*column]))?,
            codec: KeyCodec::for_rows(types)?,
            sort: SortCodec::new(&over.order, types)?,
            results: KeyCodec::for_rows(over.aggregates.iter().map(|call| &call.ty))?,
            key_groups: state.key_groups,
            rows: OrderedRows::new(ROWS_TABLE, state),
            used,
            calls,
            used_types,
            has_peers: over.frame.unit == FrameUnit::Range,
            queue: VecDeque::new(),
            pending: VecDeque::new(),
        })
    }

    /// Queues the changes of a batch by partition.
    fn enqueue(&mut self, batch: &Batch) -> Result<()> {
        let columns = |places: &[usize]| -> Vec<ArrayRef> {
            let columns = places.iter().map(|column| &batch.columns[*column]);
            columns.cloned().collect()
        };
        let partition = columns(&self.partition);
        let keys = self
            .keys
            .encode(&partition.iter().collect::<Vec<_>>(), batch.rows)?;
        let all: Vec<&ArrayRef> = batch.columns.iter().collect();
        let rows = self.codec.encode_rows(&all, batch.rows)?;
        let sorts = self.sort.encode(&batch.columns, batch.rows)?;
        let mut places: Vec<usize> = (0..batch.rows).collect();
        places.sort_by_key(|row| (keys.hashes[*row], keys.key(*row)));
        for places in places.chunk_by(|left, right| keys.key(*left) == keys.key(*right)) {
            let first = places[0];
            let change = |row: &usize| {
                let (sort, bytes) = (sorts.key(*row).to_vec(), rows.key(*row).to_vec());
                (sort, bytes, batch.kind(*row).is_retraction())
            };
            self.queue.push_back(Changes {
                key: keys.key(first).to_vec(),
                key_group: key_group(keys.hashes[first], self.key_groups),
                rows: places.iter().map(change).collect(),
            });
        }
        Ok(())
    }

    /// Works off changes and emits what follows, about [`EMIT_ROWS_MAX`] rows; true when more is left.
    fn emit_some(&mut self, now_ms: EpochMillis, out: &mut Collector) -> Result<bool> {
        let mut emitted = 0;
        loop {
            while let Some(batch) = self.pending.pop_front() {
                emitted += batch.rows;
                out.emit(batch);
                if emitted >= EMIT_ROWS_MAX {
                    return Ok(self.has_backlog());
                }
            }
            if self.queue.is_empty() {
                return Ok(false);
            }
            self.work_off(now_ms)?;
        }
    }

    /// Works off the changes of some partitions.
    fn work_off(&mut self, now_ms: EpochMillis) -> Result<()> {
        let (mut encoded, mut parts) = (EncodedKeys::default(), Vec::new());
        while encoded.len() < TOGETHER_ROWS
            && let Some(changes) = self.queue.pop_front()
        {
            let (before, after) = self.apply(&changes, now_ms)?;
            parts.extend(self.part(&before, &after, &mut encoded));
        }
        if parts.is_empty() {
            return Ok(());
        }
        let rows = (0..encoded.len()).map(|row| encoded.key(row));
        let columns = self.codec.decode(rows)?;
        let batch = Batch::inserts(columns, encoded.len());
        let results = self.evaluate(&parts, &batch)?.columns(batch.rows)?;
        let encoded = self
            .results
            .encode_rows(&results.iter().collect::<Vec<_>>(), batch.rows)?;
        let (mut places, mut kinds) = (Vec::new(), Vec::new());
        for part in &parts {
            part.changes(&encoded, &mut |row, kind| {
                places.push(u32::try_from(row).unwrap_or(u32::MAX));
                kinds.push(kind);
            });
        }
        let columns = batch.columns.into_iter().chain(results).collect();
        let all = Batch::inserts(columns, batch.rows);
        for (places, kinds) in places
            .chunks(EMIT_ROWS_MAX)
            .zip(kinds.chunks(EMIT_ROWS_MAX))
        {
            let mut batch = all.take(&UInt32Array::from(places.to_vec()))?;
            batch.kinds = Some(Arc::from(kinds));
            self.pending.push_back(batch);
        }
        Ok(())
    }

    /// The rows of a partition before and after its changes, which are made in the state.
    fn apply(&mut self, changes: &Changes, now_ms: EpochMillis) -> Result<(Vec<Item>, Vec<Item>)> {
        let partition = PartitionKey {
            bytes: &changes.key,
            key_group: changes.key_group,
        };
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let visit = |sort: &[u8], row: &[u8]| {
            let item = |origin| Item {
                origin,
                sort: sort.to_vec(),
                row: row.to_vec(),
            };
            after.push(item(Some(before.len())));
            before.push(item(None));
            Ok(ControlFlow::Continue(()))
        };
        self.rows.visit(partition, .., now_ms, visit)?;
        for (sort, row, is_retraction) in &changes.rows {
            if !is_retraction {
                self.rows.insert(partition, (sort, row), now_ms)?;
                let place = after.partition_point(|item| item.sort <= *sort);
                let (origin, sort, row) = (None, sort.clone(), row.clone());
                after.insert(place, Item { origin, sort, row });
            } else if self.rows.remove(partition, (sort, row), now_ms)? {
                let first = after.partition_point(|item| item.sort < *sort);
                let place = after[first..].iter().position(|item| item.row == *row);
                let place = place.ok_or_else(|| Error::internal("a row of state is not seen"))?;
                after.remove(first + place);
            }
        }
        Ok((before, after))
    }

    /// Puts the rows of a partition into a batch; absent when nothing has changed.
    fn part(&self, before: &[Item], after: &[Item], encoded: &mut EncodedKeys) -> Option<Part> {
        let unchanged = after.iter().enumerate();
        let mut same = unchanged
            .take_while(|(place, item)| item.origin == Some(*place))
            .count();
        if same == before.len() && same == after.len() {
            return None;
        }
        if self.has_peers {
            // The peers of the first change have it in their frames.
            let changed = [before.get(same), after.get(same)];
            while same > 0
                && changed
                    .iter()
                    .flatten()
                    .any(|item| item.sort == after[same - 1].sort)
            {
                same -= 1;
            }
        }
        let mut add = |items: &[Item]| {
            let (start, mut ends) = (encoded.len(), Vec::with_capacity(items.len()));
            for item in items {
                encoded.bytes.extend_from_slice(&item.row);
                encoded.ends.push(encoded.bytes.len());
            }
            let is_step = |left: &Item, right: &Item| self.has_peers && left.sort == right.sort;
            let mut end = start;
            for peers in items.chunk_by(is_step) {
                end += peers.len();
                ends.push(end);
            }
            (start..encoded.len(), ends)
        };
        let (unchanged, _) = add(&before[..same]);
        let (old, old_ends) = add(&before[same..]);
        let (new, new_ends) = add(&after[same..]);
        let origins = after[same..].iter();
        Some(Part {
            origins: origins
                .map(|item| item.origin.map(|origin| origin - same))
                .collect(),
            same: unchanged,
            before: old,
            after: new,
            ends: [old_ends, new_ends],
        })
    }

    /// The results of the rows of some partitions, before and after their changes.
    fn evaluate(&self, parts: &[Part], batch: &Batch) -> Result<Results> {
        let columns = self.used.iter().map(|column| &batch.columns[*column]);
        let batch = Batch::inserts(columns.cloned().collect(), batch.rows);
        let mut cells = Cells::new(&self.calls, &self.used_types, false)?;
        cells.resize(parts.len() * 2);
        let mut steps = Steps::in_place(batch.rows);
        for (group, part) in (0..).step_by(2).zip(parts) {
            let same = batch.slice(part.same.start, part.same.len());
            for (group, range, ends) in [
                (group, &part.before, &part.ends[0]),
                (group + 1, &part.after, &part.ends[1]),
            ] {
                cells.update(&same, &vec![group; same.rows])?;
                cells.count(group, same.rows);
                let mut start = range.start;
                for (n, end) in ends.iter().enumerate() {
                    let step = Step {
                        group,
                        leave: start..start,
                        enter: start..*end,
                    };
                    steps.push(n, step);
                    start = *end;
                }
            }
        }
        steps.run(&mut cells, &batch)
    }
}

impl Part {
    /// Tells the rows that are emitted, in the order of the partition: those that go first, since one that comes may have the key of one
    /// that goes, and what is written by key keeps the last.
    fn changes(&self, results: &EncodedKeys, emit: &mut impl FnMut(usize, RowKind)) {
        let mut next = self.before.start;
        for origin in self.origins.iter().flatten() {
            let origin = self.before.start + origin;
            for gone in next..origin {
                emit(gone, RowKind::Delete);
            }
            next = origin + 1;
        }
        for gone in next..self.before.end {
            emit(gone, RowKind::Delete);
        }
        for (new, origin) in self.after.clone().zip(&self.origins) {
            let Some(origin) = origin else {
                emit(new, RowKind::Insert);
                continue;
            };
            let origin = self.before.start + origin;
            if results.key(origin) != results.key(new) {
                emit(origin, RowKind::UpdateBefore);
                emit(new, RowKind::UpdateAfter);
            }
        }
    }
}

impl Operator for OverByValue {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        self.enqueue(batch)?;
        self.emit_some(context.state_time_ms(), out).map(drop)
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        self.emit_some(context.state_time_ms(), out)
    }

    fn has_backlog(&self) -> bool {
        !self.pending.is_empty() || !self.queue.is_empty()
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(self.rows.table());
    }
}

#[cfg(test)]
mod tests;
