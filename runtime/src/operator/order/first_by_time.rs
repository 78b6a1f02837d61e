//! Deduplication: the first row of each key by event time.
//!
//! Place in the flow: after a hash exchange by the keys, over rows that stay. Invariant: a row is emitted once the watermark has passed
//! it, so that none before it can come, and it is never taken back; a row that comes too late counts for nothing.
//!
//! # Source
//! Flink 2.3: `RowTimeDeduplicateKeepFirstRowFunction`; golden case `dedup/first_by_time`.

use std::ops::Bound;

use arrow::array::ArrayRef;

use super::deduplicate::encode_keys;
use super::rows::{Changes, event_times, time_bytes};
use crate::batch::{Batch, RowKind};
use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::state::codec::{Reader, Writer};
use crate::state::{KeyCodec, KeyedTable, OrderedRows, PartitionKey, StateConfig, Values, column};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Number of the table of first rows.
const ROWS_TABLE: u8 = 0;

/// Number of the table of timers.
const TIMERS_TABLE: u8 = 1;

/// The first row of each key by event time.
#[derive(Debug)]
pub struct FirstByTime {
    /// Key columns.
    keys: Vec<usize>,
    /// The column of event time.
    time: usize,
    /// Encodes keys.
    key_codec: KeyCodec,
    /// Encodes rows.
    row_codec: KeyCodec,
    /// The first row of each key.
    rows: KeyedTable<FirstRows>,
    /// By key group, the times of rows that were the first ones when they came, each followed by the key.
    timers: OrderedRows,
    /// Key groups of the statement.
    key_groups: u32,
    /// The key group whose timers are looked at next.
    cursor: u32,
    /// What was found and not emitted.
    changes: Changes,
}

/// The first row of each key, by id.
#[derive(Debug, Default)]
struct FirstRows {
    /// The row; absent when it was emitted.
    rows: Vec<Option<Box<[u8]>>>,
    /// Its time.
    times_ms: Vec<EpochMillis>,
    /// Bytes of all rows.
    row_bytes: usize,
}

impl FirstRows {
    /// Puts a row in the place of another, which is returned.
    fn replace(&mut self, id: u32, row: Option<Box<[u8]>>) -> Option<Box<[u8]>> {
        self.row_bytes += row.as_ref().map_or(0, |row| row.len());
        let old = std::mem::replace(&mut self.rows[id as usize], row);
        self.row_bytes -= old.as_ref().map_or(0, |old| old.len());
        old
    }
}

impl Values for FirstRows {
    fn resize(&mut self, len: usize) {
        column::resize(&mut self.rows, len, None);
        column::resize(&mut self.times_ms, len, EpochMillis::MAX);
    }

    fn clear(&mut self, id: u32) {
        self.replace(id, None);
        self.times_ms[id as usize] = EpochMillis::MAX;
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        out.put_i64(self.times_ms[id as usize]);
        if let Some(row) = &self.rows[id as usize] {
            out.put_bytes(row);
        }
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        self.times_ms[id as usize] = input.i64()?;
        if !input.is_empty() {
            let row = input.bytes()?.into();
            self.replace(id, Some(row));
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Option<Box<[u8]>>>()
            + self.times_ms.capacity() * size_of::<EpochMillis>()
            + self.row_bytes
    }

    fn heap_bytes(&self) -> usize {
        self.row_bytes
    }
}

/// All timers of a key group, whose number is the key, as keys of different key groups have to differ.
fn timers_of(number: &[u8; 4]) -> PartitionKey<'_> {
    PartitionKey {
        bytes: number,
        key_group: u32::from_be_bytes(*number),
    }
}

impl FirstByTime {
    /// No rows yet.
    ///
    /// # Errors
    /// `Unsupported` for keys of types that cannot be one.
    pub fn new(
        keys: &[usize],
        time: usize,
        types: &[FlinkType],
        state: StateConfig,
    ) -> Result<Self> {
        let forever = StateConfig {
            ttl_ms: None,
            ..state.clone()
        };
        Ok(Self {
            keys: keys.to_vec(),
            time,
            key_codec: KeyCodec::new(keys.iter().map(|key| &types[*key]))?,
            row_codec: KeyCodec::for_rows(types)?,
            key_groups: state.key_groups,
            rows: KeyedTable::new(ROWS_TABLE, FirstRows::default(), state),
            timers: OrderedRows::new(TIMERS_TABLE, forever),
            cursor: 0,
            changes: Changes::default(),
        })
    }

    /// Notes a row if it is the first of its key so far.
    fn take(
        &mut self,
        (key, key_group): (&[u8], u32),
        (time_ms, row): (EpochMillis, &[u8]),
        now_ms: EpochMillis,
    ) -> Result<()> {
        if let Some(id) = self.rows.find_in(key, key_group, now_ms)?
            && self.rows.values().times_ms[id as usize] <= time_ms
        {
            return Ok(());
        }
        let (id, _) = self.rows.upsert_in(key, key_group, now_ms)?;
        let rows = self.rows.values_mut();
        rows.replace(id, Some(row.into()));
        rows.times_ms[id as usize] = time_ms;
        // The timer of a row that is not the first any more finds that out when it is due.
        let timer = [&time_bytes(time_ms), key].concat();
        let number = key_group.to_be_bytes();
        let changed = (&timer[..], &[][..]);
        self.timers
            .insert(timers_of(&number), changed, now_ms)
            .map(drop)
    }

    /// Emits the first row of a key, unless that was done.
    fn fire(&mut self, (key, key_group): (&[u8], u32), now_ms: EpochMillis) -> Result<()> {
        let Some(id) = self.rows.find_in(key, key_group, now_ms)? else {
            return Ok(());
        };
        if self.rows.values().rows[id as usize].is_none() {
            return Ok(());
        }
        let (id, _) = self.rows.upsert_in(key, key_group, now_ms)?;
        let rows = self.rows.values_mut();
        // Nothing is before it any more.
        rows.times_ms[id as usize] = EpochMillis::MIN;
        if let Some(row) = rows.replace(id, None) {
            self.changes.push(RowKind::Insert, &row);
        }
        Ok(())
    }
}

impl Operator for FirstByTime {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        _out: &mut Collector,
    ) -> Result<()> {
        let keys = encode_keys(&self.key_codec, &self.keys, batch)?;
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        let rows = self.row_codec.encode_rows(&columns, batch.rows)?;
        let times = event_times(&batch.columns[self.time])?;
        for (row, hash) in keys.hashes.iter().enumerate() {
            let time_ms = times[row];
            // A row at the watermark is taken, as in Flink, and leaves with the next one.
            if context.watermark_ms.is_some_and(|now_ms| time_ms < now_ms) {
                context.metrics.late_records.add(1);
                continue;
            }
            let key = (keys.key(row), key_group(*hash, self.key_groups));
            self.take(key, (time_ms, rows.key(row)), context.state_time_ms())?;
        }
        Ok(())
    }

    fn on_watermark(&mut self, _context: &OperatorContext<'_>) -> Result<()> {
        self.cursor = 0;
        Ok(())
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        let Some(watermark_ms) = context.watermark_ms else {
            return Ok(false);
        };
        let end = watermark_ms.checked_add(1).map(time_bytes);
        let until = match &end {
            Some(end) => Bound::Excluded(&end[..]),
            None => Bound::Unbounded,
        };
        let now_ms = context.state_time_ms();
        while self.cursor < self.key_groups && self.changes.len() < EMIT_ROWS_MAX {
            let mut due = Vec::new();
            let number = self.cursor.to_be_bytes();
            let taken = self.timers.take_first(
                timers_of(&number),
                (until, EMIT_ROWS_MAX),
                now_ms,
                |timer, _| {
                    due.push(Box::<[u8]>::from(timer.get(8..).unwrap_or_default()));
                },
            )?;
            for key in &due {
                self.fire((key, self.cursor), now_ms)?;
            }
            if taken < EMIT_ROWS_MAX {
                self.cursor += 1;
            }
        }
        self.changes.emit(&self.row_codec, out)?;
        Ok(self.cursor < self.key_groups || !self.changes.is_empty())
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(&mut self.rows);
        visit(self.timers.table());
    }
}
