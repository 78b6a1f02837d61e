//! Deduplication: the last row of each key, or the first that came.
//!
//! Place in the flow: after a hash exchange by the keys, over rows that stay. Invariant: what was emitted, folded, is one row of each
//! key; in the order in which rows come, at most one change is emitted per batch and key.
//!
//! # Source
//! Flink 2.3: `ProcTimeDeduplicateKeepFirstRowFunction`, `ProcTimeDeduplicateKeepLastRowFunction` and `RowTimeDeduplicateFunction`; among
//! rows of one time the one that came last is the last.

use arrow::array::{ArrayRef, UInt32Array};

use super::rows::{Changes, event_times};
use crate::batch::{Batch, RowKind};
use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::operator::{Collector, Operator, OperatorContext, StateVisit};
use crate::state::codec::{Reader, Writer};
use crate::state::{EncodedKeys, KeyCodec, KeyedTable, StateConfig, Values, column};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Number of the only table.
const ROWS_TABLE: u8 = 0;

/// The first row of each key in the order in which rows come.
#[derive(Debug)]
pub struct KeepFirst {
    /// Key columns.
    keys: Vec<usize>,
    /// Encodes keys.
    codec: KeyCodec,
    /// Keys that have had their row.
    seen: KeyedTable<()>,
    /// Key groups of the statement.
    key_groups: u32,
}

impl KeepFirst {
    /// No rows yet.
    ///
    /// # Errors
    /// `Unsupported` for keys of types that cannot be one.
    pub fn new(keys: &[usize], types: &[FlinkType], state: StateConfig) -> Result<Self> {
        Ok(Self {
            keys: keys.to_vec(),
            codec: KeyCodec::new(keys.iter().map(|key| &types[*key]))?,
            key_groups: state.key_groups,
            seen: KeyedTable::new(ROWS_TABLE, (), state),
        })
    }
}

impl Operator for KeepFirst {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let keys = encode_keys(&self.codec, &self.keys, batch)?;
        let now_ms = context.state_time_ms();
        let mut firsts = Vec::new();
        for (row, hash) in (0u32..).zip(&keys.hashes) {
            let key = keys.key(row as usize);
            let key_group = key_group(*hash, self.key_groups);
            // A key that is known is not written again: its time to live counts from its row.
            if self.seen.find_in(key, key_group, now_ms)?.is_none() {
                self.seen.upsert_in(key, key_group, now_ms)?;
                firsts.push(row);
            }
        }
        if !firsts.is_empty() {
            out.emit(batch.take(&UInt32Array::from(firsts))?);
        }
        Ok(())
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(&mut self.seen);
    }
}

/// Encodes the keys of a batch.
pub(super) fn encode_keys(codec: &KeyCodec, keys: &[usize], batch: &Batch) -> Result<EncodedKeys> {
    let columns: Vec<&ArrayRef> = keys.iter().map(|key| &batch.columns[*key]).collect();
    codec.encode(&columns, batch.rows)
}

/// The last row of each key, by event time or in the order in which rows come.
#[derive(Debug)]
pub struct KeepLast {
    /// Key columns.
    keys: Vec<usize>,
    /// The column of event time; absent when rows are in the order in which they come.
    time: Option<usize>,
    /// Encodes keys.
    key_codec: KeyCodec,
    /// Encodes rows.
    row_codec: KeyCodec,
    /// Rows by key.
    rows: KeyedTable<LastRows>,
    /// What is done with a row that is what it was.
    unchanged: Unchanged,
    /// Number of the present batch.
    stamp: u32,
    /// Ids of the present batch's keys, kept for its memory.
    ids: Vec<u32>,
    /// What was found and not emitted.
    changes: Changes,
}

/// What is done with a row that is what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unchanged {
    /// Nothing.
    Drop,
    /// It is emitted again, so that state with a TTL behind this operator lives on.
    Emit,
}

/// Rows by id, in their encoded form.
#[derive(Debug, Default)]
struct LastRows {
    /// The row of each id; absent for a key that is new.
    rows: Vec<Option<Box<[u8]>>>,
    /// The time of each row.
    times_ms: Vec<EpochMillis>,
    /// The batch in which each id was touched last, and its place among those that were; part of no snapshot.
    touched: Vec<(u32, u32)>,
    /// Bytes of all rows.
    row_bytes: usize,
}

impl LastRows {
    /// Puts a row in the place of another: into its memory, if it is as long.
    fn replace(&mut self, id: u32, row: &[u8]) {
        let held = &mut self.rows[id as usize];
        match held {
            Some(old) if old.len() == row.len() => old.copy_from_slice(row),
            Some(_) | None => {
                self.row_bytes += row.len();
                self.row_bytes -= held.as_ref().map_or(0, |old| old.len());
                *held = Some(row.into());
            }
        }
    }
}

impl Values for LastRows {
    fn resize(&mut self, len: usize) {
        column::resize(&mut self.rows, len, None);
        column::resize(&mut self.times_ms, len, EpochMillis::MIN);
        column::resize(&mut self.touched, len, (0, 0));
    }

    fn clear(&mut self, id: u32) {
        let row = self.rows[id as usize].take();
        self.row_bytes -= row.map_or(0, |row| row.len());
        self.times_ms[id as usize] = EpochMillis::MIN;
    }

    fn look_ahead(&self, ids: &[u32]) {
        let held = || ids.iter().filter_map(|id| self.rows.get(*id as usize));
        let first = held().map(|row| row.as_ref().map_or(0, |row| row.len()));
        let bytes: usize = first.sum();
        let first = held()
            .flatten()
            .map(|row| row.first().copied().unwrap_or_default());
        std::hint::black_box(first.fold(bytes, |sum, byte| sum.wrapping_add(byte.into())));
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        out.put_i64(self.times_ms[id as usize]);
        // Every key has a row behind the batch in which it came.
        out.put_bytes(self.rows[id as usize].as_deref().unwrap_or_default());
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        self.times_ms[id as usize] = input.i64()?;
        self.replace(id, input.bytes()?);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Option<Box<[u8]>>>()
            + self.times_ms.capacity() * size_of::<EpochMillis>()
            + self.touched.capacity() * size_of::<(u32, u32)>()
            + self.row_bytes
    }

    fn heap_bytes(&self) -> usize {
        self.row_bytes
    }
}

impl KeepLast {
    /// No rows yet; `time` is the column of event time, if rows are ordered by it.
    ///
    /// # Errors
    /// `Unsupported` for keys of types that cannot be one.
    pub fn new(
        keys: &[usize],
        time: Option<usize>,
        types: &[FlinkType],
        state: StateConfig,
    ) -> Result<Self> {
        let unchanged = if state.ttl_ms.is_some() {
            Unchanged::Emit
        } else {
            Unchanged::Drop
        };
        Ok(Self {
            keys: keys.to_vec(),
            time,
            key_codec: KeyCodec::new(keys.iter().map(|key| &types[*key]))?,
            row_codec: KeyCodec::for_rows(types)?,
            rows: KeyedTable::new(ROWS_TABLE, LastRows::default(), state),
            unchanged,
            stamp: 0,
            ids: Vec::new(),
            changes: Changes::default(),
        })
    }

    /// The rows of a batch that are, or by event time were, the last of their keys, with the ids of those.
    fn last_rows(&mut self, batch: &Batch) -> Result<(Vec<u32>, Vec<u32>)> {
        let times = self
            .time
            .map(|time| event_times(&batch.columns[time]))
            .transpose()?;
        self.stamp = self.stamp.wrapping_add(1);
        let held = self.rows.values_mut();
        let (mut rows, mut ids) = (Vec::new(), Vec::new());
        for (row, id) in (0u32..).zip(&self.ids) {
            let index = *id as usize;
            if let Some(times) = &times {
                let time_ms = times[row as usize];
                if time_ms < held.times_ms[index] {
                    continue;
                }
                held.times_ms[index] = time_ms;
            }
            let (stamp, place) = held.touched[index];
            // By event time every row that was the last is a version, which a temporal join behind asks for by its time.
            if stamp == self.stamp && times.is_none() {
                rows[place as usize] = row;
            } else {
                let place = u32::try_from(rows.len()).unwrap_or(u32::MAX);
                held.touched[index] = (self.stamp, place);
                rows.push(row);
                ids.push(*id);
            }
        }
        Ok((rows, ids))
    }
}

impl Operator for KeepLast {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let keys = encode_keys(&self.key_codec, &self.keys, batch)?;
        let now_ms = context.state_time_ms();
        let mut ids = std::mem::take(&mut self.ids);
        self.rows.upsert(&keys, now_ms, &mut ids, |_| ())?;
        self.ids = ids;
        let (rows, ids) = self.last_rows(batch)?;
        let last = batch.take(&UInt32Array::from(rows))?;
        let columns: Vec<&ArrayRef> = last.columns.iter().collect();
        let encoded = self.row_codec.encode_rows(&columns, last.rows)?;
        let held = self.rows.values_mut();
        for (row, id) in ids.iter().enumerate() {
            let new = encoded.key(row);
            let old = held.rows[*id as usize].as_deref();
            if old == Some(new) && self.unchanged == Unchanged::Drop {
                continue;
            }
            if let Some(old) = old {
                self.changes.push(RowKind::UpdateBefore, old);
                self.changes.push(RowKind::UpdateAfter, new);
            } else {
                self.changes.push(RowKind::Insert, new);
            }
            held.replace(*id, new);
        }
        self.changes.emit(&self.row_codec, out)
    }

    fn emit_pending(&mut self, _: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        self.changes.emit(&self.row_codec, out)?;
        Ok(!self.changes.is_empty())
    }

    fn has_backlog(&self) -> bool {
        !self.changes.is_empty()
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(&mut self.rows);
    }
}

#[cfg(test)]
mod tests;
