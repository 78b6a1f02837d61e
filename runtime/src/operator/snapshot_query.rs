//! The rows of a snapshot query: what is left of a changelog when its input has ended.
//!
//! Place in the flow: in front of what takes rows only, in a query with `sql.snapshot.mode = now`. Invariant: nothing is emitted before
//! the end of input, and then every row as often as it was added and not taken back.
//!
//! # Source
//! Confluent: snapshot queries run in batch mode, whose results have no updates.

use arrow::array::ArrayRef;

use crate::batch::Batch;
use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::state::codec::{Reader, Writer};
use crate::state::{KeyCodec, KeyedTable, StateConfig, Values, column};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Number of the only table.
const ROWS_TABLE: u8 = 0;

/// Rows with how often each is there.
#[derive(Debug)]
pub struct Snapshot {
    /// Columns of the exchange in front.
    partition: Vec<usize>,
    /// Encodes them.
    partition_codec: KeyCodec,
    /// Encodes rows.
    row_codec: KeyCodec,
    /// Key groups of the statement.
    key_groups: u32,
    /// Rows.
    rows: KeyedTable<Copies>,
    /// Whether the input has ended.
    is_over: bool,
}

/// How often rows are there, by id; less than zero while a row is taken back before it comes.
#[derive(Debug, Default)]
struct Copies(Vec<i64>);

impl Values for Copies {
    fn resize(&mut self, len: usize) {
        column::resize(&mut self.0, len, 0);
    }

    fn clear(&mut self, id: u32) {
        self.0[id as usize] = 0;
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        out.put_i64(self.0[id as usize]);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        self.0[id as usize] = input.i64()?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<i64>()
    }
}

impl Snapshot {
    /// No rows yet.
    ///
    /// # Errors
    /// `Unsupported` for a partition by a type that cannot be a key.
    pub fn new(partition: &[usize], input: &[FlinkType], state: StateConfig) -> Result<Self> {
        // Rows of a snapshot do not expire.
        let state = StateConfig {
            ttl_ms: None,
            ..state
        };
        Ok(Self {
            partition: partition.to_vec(),
            partition_codec: KeyCodec::new(partition.iter().map(|column| &input[*column]))?,
            row_codec: KeyCodec::for_rows(input)?,
            key_groups: state.key_groups,
            rows: KeyedTable::new(ROWS_TABLE, Copies::default(), state),
            is_over: false,
        })
    }
}

impl Operator for Snapshot {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        _out: &mut Collector,
    ) -> Result<()> {
        let now_ms = context.state_time_ms();
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        let rows = self.row_codec.encode_rows(&columns, batch.rows)?;
        let partition: Vec<&ArrayRef> = self
            .partition
            .iter()
            .map(|column| &batch.columns[*column])
            .collect();
        let keys = self.partition_codec.encode(&partition, batch.rows)?;
        for (row, hash) in keys.hashes.iter().enumerate() {
            let group = key_group(*hash, self.key_groups);
            let (id, _) = self.rows.upsert_in(rows.key(row), group, now_ms)?;
            let copies = &mut self.rows.values_mut().0[id as usize];
            *copies += if batch.kind(row).is_retraction() {
                -1
            } else {
                1
            };
            if *copies == 0 {
                self.rows.remove(id)?;
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        self.is_over = context.watermark_ms == Some(EpochMillis::MAX);
        Ok(())
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        if !self.is_over {
            return Ok(false);
        }
        let mut encoded: Vec<u8> = Vec::new();
        let mut ends = Vec::new();
        for id in self.rows.ids(0, EMIT_ROWS_MAX)? {
            let copies = self.rows.values().0[id as usize];
            let room = i64::try_from(EMIT_ROWS_MAX - ends.len()).unwrap_or(i64::MAX);
            for _ in 0..copies.min(room) {
                encoded.extend_from_slice(self.rows.key(id));
                ends.push(encoded.len());
            }
            if copies > room {
                let key = self.rows.key(id).to_vec();
                let group = self.rows.key_group(id);
                let (id, _) = self.rows.upsert_in(&key, group, context.state_time_ms())?;
                self.rows.values_mut().0[id as usize] = copies - room;
                break;
            }
            self.rows.remove(id)?;
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let rows = starts.zip(&ends).map(|(start, end)| &encoded[start..*end]);
        out.emit(Batch::inserts(self.row_codec.decode(rows)?, ends.len()));
        Ok(!ends.is_empty())
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(&mut self.rows);
    }
}

#[cfg(test)]
mod tests;
