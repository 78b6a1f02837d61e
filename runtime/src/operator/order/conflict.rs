//! `ON CONFLICT DO NOTHING` and `DO ERROR`: what stands in front of a sink when rows of several upsert keys must not meet in its primary
//! key.
//!
//! Place in the flow: after a hash exchange by the primary key, in front of the sink. Invariant: changes wait for the next watermark, so
//! that what belongs together is seen together; then at most one row of each primary key is there.
//!
//! # Source
//! Flink 2.3: `WatermarkCompactingSinkMaterializer` (FLIP-558). A row and what takes it back cancel each other in whatever order they
//! arrive between two watermarks.

use super::materialize::{Codecs, Keys, KnownRow};
use super::rows::Changes;
use crate::batch::{Batch, RowKind};
use crate::error::{Error, Result};
use crate::graph::key_group::key_group;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::state::codec::{Reader, Writer};
use crate::state::{KeyedTable, OrderedRows, PartitionKey, StateConfig, Values, column};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Number of the table of rows.
const ROWS_TABLE: u8 = 0;

/// Number of the table of primary keys that have changed since the last watermark.
const CHANGED_TABLE: u8 = 1;

/// What happens to rows that meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// The first stays, the others are forgotten.
    KeepFirst,
    /// The statement fails.
    Fail,
}

/// Keeps the row of each primary key, and what has come since the last watermark.
#[derive(Debug)]
pub struct ConflictGuard {
    /// What happens to rows that meet.
    on_conflict: OnConflict,
    /// Whether rows are known by an upsert key.
    has_upsert_key: bool,
    /// Encodes keys and rows.
    codecs: Codecs,
    /// Rows by primary key.
    rows: KeyedTable<Meetings>,
    /// By key group, the primary keys that have changed since the last watermark.
    changed: OrderedRows,
    /// Key groups of the statement.
    key_groups: u32,
    /// The key group that is looked at next.
    cursor: u32,
    /// What was found and not emitted.
    changes: Changes,
}

/// The rows of each primary key, by id.
#[derive(Debug, Default)]
struct Meetings {
    /// The rows of each.
    rows: Vec<Meeting>,
    /// Bytes of all rows.
    row_bytes: usize,
}

/// The rows of a primary key.
#[derive(Debug, Default)]
struct Meeting {
    /// The row that the sink has.
    written: Option<Box<[u8]>>,
    /// The rows that are there: that one first, unless it was taken back, then those that came since the last watermark.
    rows: Vec<KnownRow>,
    /// Rows that were taken back before they came.
    missing: Vec<Box<[u8]>>,
    /// Whether it is among those that have changed.
    is_listed: bool,
}

impl Meeting {
    /// Memory of its rows, bytes.
    fn bytes(&self) -> usize {
        let rows: usize = self.rows.iter().map(KnownRow::bytes).sum();
        let missing: usize = self.missing.iter().map(|row| row.len()).sum();
        rows + missing + self.written.as_ref().map_or(0, |row| row.len())
    }

    /// Takes what a row changes.
    fn take(&mut self, kind: RowKind, row: KnownRow, has_upsert_key: bool) {
        if kind.is_retraction() {
            match self.rows.iter().position(|other| other.key == row.key) {
                Some(place) => drop(self.rows.remove(place)),
                None => self.missing.push(row.row),
            }
            return;
        }
        if let Some(place) = self.missing.iter().position(|other| *other == row.row) {
            self.missing.swap_remove(place);
            return;
        }
        let same = |other: &KnownRow| has_upsert_key && other.key == row.key;
        match self.rows.iter().position(same) {
            Some(place) => self.rows[place] = row,
            None => self.rows.push(row),
        }
    }
}

impl Values for Meetings {
    fn resize(&mut self, len: usize) {
        column::resize_with(&mut self.rows, len, Meeting::default);
    }

    fn clear(&mut self, id: u32) {
        let meeting = std::mem::take(&mut self.rows[id as usize]);
        self.row_bytes -= meeting.bytes();
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        let meeting = &self.rows[id as usize];
        out.put_u8(u8::from(meeting.written.is_some()));
        out.put_bytes(meeting.written.as_deref().unwrap_or_default());
        out.put_u8(u8::from(meeting.is_listed));
        let count = |rows: usize| u32::try_from(rows).unwrap_or(u32::MAX);
        out.put_u32(count(meeting.missing.len()));
        meeting.missing.iter().for_each(|row| out.put_bytes(row));
        meeting.rows.iter().for_each(|row| row.write(out));
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        let is_written = input.u8()? != 0;
        let written = input.bytes()?;
        let mut meeting = Meeting {
            written: is_written.then(|| written.into()),
            is_listed: input.u8()? != 0,
            ..Meeting::default()
        };
        for _ in 0..input.u32()? {
            meeting.missing.push(input.bytes()?.into());
        }
        while !input.is_empty() {
            meeting.rows.push(KnownRow::read(input)?);
        }
        self.row_bytes += meeting.bytes();
        self.rows[id as usize] = meeting;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Meeting>() + self.row_bytes
    }

    fn heap_bytes(&self) -> usize {
        self.row_bytes
    }
}

/// All changed keys of a key group, whose number is the key, as keys of different key groups have to differ.
fn changed_of(number: &[u8; 4]) -> PartitionKey<'_> {
    PartitionKey {
        bytes: number,
        key_group: u32::from_be_bytes(*number),
    }
}

impl ConflictGuard {
    /// No rows yet.
    ///
    /// # Errors
    /// `Unsupported` for keys of types that cannot be one.
    pub fn new(
        keys: Keys<'_>,
        on_conflict: OnConflict,
        types: &[FlinkType],
        state: StateConfig,
    ) -> Result<Self> {
        let forever = StateConfig {
            ttl_ms: None,
            ..state.clone()
        };
        Ok(Self {
            on_conflict,
            has_upsert_key: keys.upsert.is_some(),
            codecs: Codecs::new(keys, types)?,
            key_groups: state.key_groups,
            rows: KeyedTable::new(ROWS_TABLE, Meetings::default(), state),
            changed: OrderedRows::new(CHANGED_TABLE, forever),
            cursor: 0,
            changes: Changes::default(),
        })
    }

    /// Finds out which row of a primary key is there now.
    fn settle(&mut self, (key, group): (&[u8], u32), now_ms: EpochMillis) -> Result<()> {
        let (id, _) = self.rows.upsert_in(key, group, now_ms)?;
        let meetings = self.rows.values_mut();
        let meeting = &mut meetings.rows[id as usize];
        let before = meeting.bytes();
        meeting.missing.clear();
        meeting.is_listed = false;
        // Equal rows meet as well.
        if self.on_conflict == OnConflict::Fail && meeting.rows.len() > 1 {
            return Err(Error::deserialization(
                "primary key constraint violation: several rows of one primary key of the sink are there at a watermark; write ON CONFLICT DO NOTHING to keep the first or DO DEDUPLICATE to keep the last, or make the primary key that of the query",
            ));
        }
        meeting.rows.truncate(1);
        let now = meeting.rows.first().map(|row| row.row.clone());
        match (&meeting.written, &now) {
            (Some(old), Some(new)) if old != new => {
                self.changes.push(RowKind::UpdateBefore, old);
                self.changes.push(RowKind::UpdateAfter, new);
            }
            (None, Some(new)) => self.changes.push(RowKind::Insert, new),
            (Some(old), None) => self.changes.push(RowKind::Delete, old),
            (Some(_), Some(_)) | (None, None) => {}
        }
        meeting.written = now;
        let (after, is_gone) = (meeting.bytes(), meeting.written.is_none());
        meetings.row_bytes = meetings.row_bytes - before + after;
        if is_gone {
            self.rows.remove(id)?;
        }
        Ok(())
    }
}

impl Operator for ConflictGuard {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        _out: &mut Collector,
    ) -> Result<()> {
        let encoded = self.codecs.encode(batch)?;
        let now_ms = context.state_time_ms();
        for (row, hash) in encoded.primary.hashes.iter().enumerate() {
            let group = key_group(*hash, self.key_groups);
            let key = encoded.primary.key(row);
            let (id, _) = self.rows.upsert_in(key, group, now_ms)?;
            let meetings = self.rows.values_mut();
            let meeting = &mut meetings.rows[id as usize];
            let before = meeting.bytes();
            meeting.take(batch.kind(row), encoded.row(row), self.has_upsert_key);
            meetings.row_bytes = meetings.row_bytes - before + meeting.bytes();
            if !std::mem::replace(&mut meeting.is_listed, true) {
                let changed = (key, &[][..]);
                self.changed
                    .insert(changed_of(&group.to_be_bytes()), changed, now_ms)?;
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, _context: &OperatorContext<'_>) -> Result<()> {
        self.cursor = 0;
        Ok(())
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        let now_ms = context.state_time_ms();
        let everything = std::ops::Bound::Unbounded;
        while self.cursor < self.key_groups && self.changes.len() < EMIT_ROWS_MAX {
            let mut keys = Vec::new();
            let number = self.cursor.to_be_bytes();
            let limit = (everything, EMIT_ROWS_MAX);
            let taken = self
                .changed
                .take_first(changed_of(&number), limit, now_ms, |key, _| {
                    keys.push(Box::<[u8]>::from(key));
                })?;
            for key in &keys {
                self.settle((key, self.cursor), now_ms)?;
            }
            if taken < EMIT_ROWS_MAX {
                self.cursor += 1;
            }
        }
        self.changes.emit(&self.codecs.rows, out)?;
        Ok(self.cursor < self.key_groups || !self.changes.is_empty())
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(&mut self.rows);
        visit(self.changed.table());
    }
}

#[cfg(test)]
mod tests;
