//! Top-N: the first rows of each key.
//!
//! Place in the flow: after a hash exchange by the keys, or a single one without keys; behind `ROW_NUMBER()` with a bound, and behind
//! ORDER BY with LIMIT. Invariant: what was emitted, folded, is the rows of the ranks asked for among the rows of each key, and nothing
//! is taken back that was not emitted.
//!
//! A batch is compared as a whole: per key the ranks from its first change on are looked at before and after it, and what differs is
//! emitted. Without a column for the rank that is what enters and leaves, with it each rank whose row is another one.
//!
//! # Source
//! Flink 2.3: `AppendOnlyTopNFunction`, `UpdatableTopNFunction` and `RetractableTopNFunction`; rows that are equal in order stay in the
//! order in which they came.

use std::collections::VecDeque;
use std::ops::{Bound, ControlFlow};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};

use super::grouped::Grouped;
use super::numbers::Numbers;
use super::rows::{Changes, SortedRows};
use crate::batch::{Batch, RowKind};
use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::plan::{RankRange, SortField};
use crate::state::{
    ChunkKeys, EncodedKeys, Head, KeyCodec, KeyedTable, OrderedRows, PartitionKey, SortCodec,
    StateConfig,
};
use crate::time::EpochMillis;
use crate::types::FlinkType;

use self::difference::{emit_members, emit_ranks};

mod difference;

/// Number of the table of rows.
const ROWS_TABLE: u8 = 0;

/// Number of the table of last ranks, which holds nothing when they are constant.
const ENDS_TABLE: u8 = 1;

/// What a Top-N is made from.
#[derive(Debug, Clone, Copy)]
pub struct Spec<'a> {
    /// Key columns.
    pub partition: &'a [usize],
    /// The order; empty for the order in which rows come.
    pub order: &'a [SortField],
    /// Which ranks.
    pub range: RankRange,
    /// Whether the rank follows the columns.
    pub number: NumberColumn,
    /// What comes in, which says what has to be kept.
    pub input: InputChanges,
}

/// Whether the rank is a column of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberColumn {
    /// It is the last one.
    Last,
    /// It is not.
    Absent,
}

/// What comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputChanges {
    /// Rows that stay: only those can ever matter that are among the first when they come.
    Inserts,
    /// Rows that are updated and never fall behind in the order: the same, since a row that moves forward comes as a whole. An update
    /// that stays in its place in the order keeps it among its equals.
    Improvements,
    /// Rows that may be taken back, which makes room for any other.
    Any,
}

/// The first rows of each key.
#[derive(Debug)]
pub struct Rank {
    /// Key columns.
    partition: Vec<usize>,
    /// Which ranks.
    range: RankRange,
    /// Whether the rank follows the columns.
    number: NumberColumn,
    /// What comes in.
    input: InputChanges,
    /// Codecs of keys, orders and rows.
    codecs: Codecs,
    /// Key groups of the statement.
    key_groups: u32,
    /// Rows by key.
    rows: OrderedRows,
    /// The last rank of each key, when a column has it.
    ends: KeyedTable<Numbers>,
    /// Batches that wait for the one before.
    waiting: VecDeque<Batch>,
    /// The batch that is being compared.
    arrived: Option<Arrived>,
    /// What was found and not emitted.
    changes: Changes,
    /// What a key has before and after the batch, kept for its memory.
    before: SortedRows,
    /// See `before`.
    after: SortedRows,
}

/// Codecs of keys, orders and rows.
#[derive(Debug)]
struct Codecs {
    /// Keys.
    keys: KeyCodec,
    /// The order.
    sorts: SortCodec,
    /// Rows.
    rows: KeyCodec,
}

/// A batch with its rows by key.
#[derive(Debug)]
struct Arrived {
    /// The rows.
    batch: Batch,
    /// Their keys.
    keys: EncodedKeys,
    /// Those under which rows of these keys are kept.
    chunk_keys: ChunkKeys,
    /// What there is of the key of each row, in the present call and until rows of that key change.
    heads: Vec<Option<Head>>,
    /// Their places in the order.
    sorts: EncodedKeys,
    /// Themselves.
    rows: EncodedKeys,
    /// The column of last ranks.
    ends: Option<Int64Array>,
    /// The rows by key, of those that only come the ones that matter.
    grouped: Grouped,
    /// The key that is next.
    next: usize,
}

impl Arrived {
    /// What a row changes: its place in the order and itself.
    fn row(&self, row: u32) -> (&[u8], &[u8]) {
        (self.sorts.key(row as usize), self.rows.key(row as usize))
    }

    /// The smallest place in the order among some rows.
    fn smallest(&self, rows: &[u32]) -> &[u8] {
        let sorts = rows.iter().map(|row| self.sorts.key(*row as usize));
        sorts.min().unwrap_or_default()
    }
}

/// Ranks of a key, both inclusive, and the key.
#[derive(Debug, Clone, Copy)]
struct Ranks<'a> {
    /// The key.
    partition: PartitionKey<'a>,
    /// What there is of it.
    head: Option<Head>,
    /// The first, from 1 on.
    start: usize,
    /// The last.
    end: usize,
}

impl Rank {
    /// No rows yet.
    ///
    /// # Errors
    /// `Unsupported` for keys and orders of types that cannot be one.
    pub fn new(spec: &Spec<'_>, types: &[FlinkType], state: StateConfig) -> Result<Self> {
        let keys = spec.partition.iter().map(|column| &types[*column]);
        Ok(Self {
            partition: spec.partition.to_vec(),
            range: spec.range,
            number: spec.number,
            input: spec.input,
            codecs: Codecs {
                keys: KeyCodec::new(keys)?,
                sorts: SortCodec::new(spec.order, types)?,
                rows: KeyCodec::for_rows(types)?,
            },
            key_groups: state.key_groups,
            rows: OrderedRows::new(ROWS_TABLE, state.clone()),
            ends: KeyedTable::new(ENDS_TABLE, Numbers::default(), state),
            waiting: VecDeque::new(),
            arrived: None,
            changes: Changes::default(),
            before: SortedRows::default(),
            after: SortedRows::default(),
        })
    }

    /// Puts the rows of a batch together by key, without those that cannot matter.
    fn arrive(&mut self, batch: Batch, now_ms: EpochMillis) -> Result<Arrived> {
        let columns: Vec<&ArrayRef> = self
            .partition
            .iter()
            .map(|column| &batch.columns[*column])
            .collect();
        let keys = self.codecs.keys.encode(&columns, batch.rows)?;
        let sorts = self.codecs.sorts.encode(&batch.columns, batch.rows)?;
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        let rows = self.codecs.rows.encode_rows(&columns, batch.rows)?;
        let ends = match self.range {
            RankRange::Constant { .. } => None,
            RankRange::Variable { end } => {
                let ends = arrow::compute::cast(&batch.columns[end], &DataType::Int64)?;
                Some(ends.as_primitive::<Int64Type>().clone())
            }
        };
        let mut grouped = Grouped::default();
        grouped.group(&keys);
        let mut arrived = Arrived {
            batch,
            chunk_keys: ChunkKeys::first(&keys, self.key_groups),
            keys,
            heads: Vec::new(),
            sorts,
            rows,
            ends,
            grouped,
            next: 0,
        };
        self.look_up(&mut arrived, now_ms)?;
        if self.input == InputChanges::Inserts {
            let contends = self.contenders(&arrived, now_ms)?;
            arrived.grouped.retain(&contends);
        }
        Ok(arrived)
    }

    /// Looks up what there is of the keys of a batch.
    fn look_up(&mut self, arrived: &mut Arrived, now_ms: EpochMillis) -> Result<()> {
        let keys = (&arrived.chunk_keys, 0..arrived.batch.rows);
        self.rows.find_partitions(keys, now_ms, &mut arrived.heads)
    }

    /// Which rows of a batch come before the last of those that are kept.
    fn contenders(&mut self, arrived: &Arrived, now_ms: EpochMillis) -> Result<Vec<bool>> {
        let mut contends = vec![false; arrived.batch.rows];
        for number in 0..arrived.grouped.len() {
            let rows = arrived.grouped.rows(number);
            let ranks = self.ranks(arrived, rows[0], now_ms)?;
            let Some(last) = ranks.end.checked_sub(1) else {
                continue;
            };
            let worst = match ranks.head {
                Some(head) => self.rows.nth_in((ranks.partition, head), last, now_ms)?,
                None => None,
            };
            for row in rows {
                let sort = arrived.sorts.key(*row as usize);
                contends[*row as usize] = worst.is_none_or(|(worst, _)| sort < worst);
            }
        }
        Ok(contends)
    }

    /// The key of a row, and its ranks that are asked for.
    fn ranks<'a>(
        &mut self,
        arrived: &'a Arrived,
        row: u32,
        now_ms: EpochMillis,
    ) -> Result<Ranks<'a>> {
        let row = row as usize;
        let partition = PartitionKey {
            bytes: arrived.keys.key(row),
            key_group: key_group(arrived.keys.hashes[row], self.key_groups),
        };
        let (start, end) = match (self.range, &arrived.ends) {
            (RankRange::Constant { start, end }, _) => (start, end),
            (RankRange::Variable { .. }, ends) => {
                let end = ends.as_ref().filter(|ends| ends.is_valid(row));
                let end = end.map_or(0, |ends| ends.value(row));
                (1, self.end_of(partition, end, now_ms)?)
            }
        };
        let bounded = |rank: i64| usize::try_from(rank).unwrap_or(0);
        Ok(Ranks {
            partition,
            head: arrived.heads[row],
            start: bounded(start).max(1),
            end: bounded(end),
        })
    }

    /// The last rank of a key, which its first row has set.
    ///
    /// # Source
    /// Flink 2.3, `AbstractTopNFunction`: rows with another one are counted as invalid and ranked all the same.
    fn end_of(
        &mut self,
        partition: PartitionKey<'_>,
        end: i64,
        now_ms: EpochMillis,
    ) -> Result<i64> {
        let (bytes, key_group) = (partition.bytes, partition.key_group);
        if let Some(id) = self.ends.find_in(bytes, key_group, now_ms)? {
            return Ok(self.ends.values().0[id as usize]);
        }
        let (id, _) = self.ends.upsert_in(bytes, key_group, now_ms)?;
        self.ends.values_mut().0[id as usize] = end;
        Ok(end)
    }

    /// Works through what has arrived until there is enough to emit.
    fn work(&mut self, now_ms: EpochMillis, out: &mut Collector) -> Result<()> {
        while self.changes.len() < EMIT_ROWS_MAX {
            let mut arrived = match self.arrived.take() {
                Some(mut arrived) => {
                    self.look_up(&mut arrived, now_ms)?;
                    arrived
                }
                None => match self.waiting.pop_front() {
                    Some(batch) => self.arrive(batch, now_ms)?,
                    None => break,
                },
            };
            while arrived.next < arrived.grouped.len() && self.changes.len() < EMIT_ROWS_MAX {
                let rows = arrived.grouped.rows(arrived.next);
                if rows.is_empty() {
                    arrived.next += 1;
                    continue;
                }
                let ranks = self.ranks(&arrived, rows[0], now_ms)?;
                match self.input {
                    InputChanges::Inserts => self.add(ranks, (&arrived, rows), now_ms)?,
                    InputChanges::Improvements | InputChanges::Any => {
                        self.change(ranks, (&arrived, rows), now_ms)?;
                    }
                }
                arrived.next += 1;
            }
            if arrived.next < arrived.grouped.len() {
                self.arrived = Some(arrived);
            }
        }
        self.changes.emit(&self.codecs.rows, out)
    }

    /// Adds rows of a key that only gets more.
    fn add(
        &mut self,
        ranks: Ranks<'_>,
        (arrived, rows): (&Arrived, &[u32]),
        now_ms: EpochMillis,
    ) -> Result<()> {
        if let ([row], NumberColumn::Absent, 1) = (rows, self.number, ranks.start) {
            return self.add_one(ranks, arrived.row(*row), now_ms);
        }
        let partition = ranks.partition;
        let mut new = rows.to_vec();
        new.sort_by_key(|row| arrived.sorts.key(*row as usize));
        let smallest = arrived.smallest(rows);
        let base = self.count_until(ranks, Bound::Included(smallest), now_ms)?;
        let room = ranks.end.saturating_sub(base);
        if room == 0 {
            return Ok(());
        }
        let mut before = std::mem::take(&mut self.before);
        let mut after = std::mem::take(&mut self.after);
        let behind = (Bound::Excluded(smallest), Bound::Unbounded);
        let found = (partition, ranks.head);
        self.look(found, (behind, room), now_ms, &mut before)?;
        after.clear();
        let mut new = new.into_iter().peekable();
        let mut held = 0;
        let mut added = Vec::new();
        while after.len() < room {
            let next = new.peek().map(|row| arrived.row(*row));
            match (before.get(held), next) {
                // Among equals, what is there came first.
                (Some(old), next) if next.is_none_or(|new| old.0 <= new.0) => {
                    after.push(old.0, old.1);
                    held += 1;
                }
                (_, Some((sort, row))) => {
                    after.push(sort, row);
                    added.extend(new.next());
                }
                (_, None) => break,
            }
        }
        let opened = self.rows.open_partition(partition, ranks.head, now_ms)?;
        for row in added {
            let row = arrived.row(row);
            self.rows.insert_in((partition, opened), row, now_ms)?;
        }
        self.rows
            .truncate_in((partition, opened), ranks.end, now_ms)?;
        self.compare((&before, &after), (ranks.start, base));
        (self.before, self.after) = (before, after);
        Ok(())
    }

    /// As [`Self::add`], of one row where all ranks up to the last are asked for and none is emitted. It contends, so it enters, and the
    /// row that is behind the last rank then, another one as it comes after this one in the order, leaves.
    fn add_one(
        &mut self,
        ranks: Ranks<'_>,
        (sort, row): (&[u8], &[u8]),
        now_ms: EpochMillis,
    ) -> Result<()> {
        let Some(last) = ranks.end.checked_sub(1) else {
            return Ok(());
        };
        let opened = self
            .rows
            .open_partition(ranks.partition, ranks.head, now_ms)?;
        let found = (ranks.partition, opened);
        if let Some((_, last)) = self.rows.nth_in(found, last, now_ms)? {
            self.changes.push(RowKind::Delete, last);
        }
        self.changes.push(RowKind::Insert, row);
        self.rows.insert_in(found, (sort, row), now_ms)?;
        self.rows.truncate_in(found, ranks.end, now_ms)
    }

    /// How many rows of a key come before a bound, as long as none of them was changed.
    fn count_until(
        &mut self,
        ranks: Ranks<'_>,
        until: Bound<&[u8]>,
        now_ms: EpochMillis,
    ) -> Result<usize> {
        match ranks.head {
            Some(head) => {
                let partition = (ranks.partition, head);
                self.rows.count_until_in(partition, until, now_ms)
            }
            None => Ok(0),
        }
    }

    /// Changes rows of a key, of which any may be taken back.
    fn change(
        &mut self,
        ranks: Ranks<'_>,
        (arrived, rows): (&Arrived, &[u32]),
        now_ms: EpochMillis,
    ) -> Result<()> {
        let partition = ranks.partition;
        let smallest = arrived.smallest(rows);
        let base = self.count_until(ranks, Bound::Excluded(smallest), now_ms)?;
        let room = ranks.end.saturating_sub(base);
        let range = ((Bound::Included(smallest), Bound::Unbounded), room);
        let mut before = std::mem::take(&mut self.before);
        let mut after = std::mem::take(&mut self.after);
        self.look((partition, ranks.head), range, now_ms, &mut before)?;
        self.apply(partition, (arrived, rows), now_ms)?;
        if self.input == InputChanges::Improvements {
            self.rows.truncate(partition, ranks.end, now_ms)?;
        }
        let head = self.rows.find_partition(partition, now_ms)?;
        self.look((partition, head), range, now_ms, &mut after)?;
        self.compare((&before, &after), (ranks.start, base));
        (self.before, self.after) = (before, after);
        Ok(())
    }

    /// Makes the changes of a key.
    fn apply(
        &mut self,
        partition: PartitionKey<'_>,
        (arrived, rows): (&Arrived, &[u32]),
        now_ms: EpochMillis,
    ) -> Result<()> {
        let mut rows = rows.iter().copied().peekable();
        while let Some(row) = rows.next() {
            let (sort, old) = arrived.row(row);
            if !arrived.batch.kind(row as usize).is_retraction() {
                self.rows.insert(partition, (sort, old), now_ms)?;
                continue;
            }
            // What follows an old row is the new one of the same update.
            let is_in_place = |next: &u32| {
                self.input == InputChanges::Improvements
                    && arrived.batch.kind(*next as usize) == RowKind::UpdateAfter
                    && arrived.row(*next).0 == sort
            };
            let Some(next) = rows.next_if(is_in_place) else {
                self.rows.remove(partition, (sort, old), now_ms)?;
                continue;
            };
            let new = arrived.row(next).1;
            if !self.rows.replace(partition, (sort, old, new), now_ms)? {
                self.rows.insert(partition, (sort, new), now_ms)?;
            }
        }
        Ok(())
    }

    /// Looks at the first rows of a key within bounds.
    fn look(
        &mut self,
        (partition, head): (PartitionKey<'_>, Option<Head>),
        (range, count): (Bounds<'_>, usize),
        now_ms: EpochMillis,
        found: &mut SortedRows,
    ) -> Result<()> {
        found.clear();
        let Some(head) = head.filter(|_| count > 0) else {
            return Ok(());
        };
        let visit = |sort: &[u8], row: &[u8]| {
            found.push(sort, row);
            Ok(if found.len() == count {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        };
        self.rows.visit_in((partition, head), range, now_ms, visit)
    }

    /// Finds out what the batch has changed of a key's first rows, of which `base` come before what is compared.
    fn compare(
        &mut self,
        (before, after): (&SortedRows, &SortedRows),
        (start, base): (usize, usize),
    ) {
        let skip = (start - 1).saturating_sub(base);
        match self.number {
            NumberColumn::Last => {
                emit_ranks((before, after), (skip, base), &mut self.changes);
            }
            NumberColumn::Absent => emit_members((before, after), skip, &mut self.changes),
        }
    }
}

/// Bounds of the order.
type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

impl Operator for Rank {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        self.waiting.push_back(batch.clone());
        self.work(context.state_time_ms(), out)
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        self.work(context.state_time_ms(), out)?;
        Ok(self.has_backlog())
    }

    fn has_backlog(&self) -> bool {
        !self.changes.is_empty() || self.arrived.is_some() || !self.waiting.is_empty()
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(self.rows.table());
        visit(&mut self.ends);
    }
}

#[cfg(test)]
mod tests;
