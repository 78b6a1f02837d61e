//! The rows that one input of a join has brought so far.
//!
//! Place in the flow: a join adds and takes away the rows of a batch on its own side and looks the other side up. Invariant: the
//! rows of a key lie in chunks 0, 1, 2, ... of which chunk 0 says how many there are, and only the last one may be less than full
//! but for rows that the TTL took away; chunk 0 is written with every change of its key, so that no chunk outlives it.
//!
//! Chunks keep what a checkpoint writes small: a key with a million rows writes the two chunks that changed, not its million rows.

use crate::error::Result;
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::state::{KeyedTable, StateConfig, StateTable, Values};
use crate::time::EpochMillis;

/// Rows of a full chunk (guess, unmeasured: a search within a chunk stays within a few cache lines of lengths).
pub(super) const CHUNK_ROWS_MAX: u32 = 64;

/// Bytes of a full chunk; a chunk is over it by at most one row (guess, unmeasured: one page).
pub(super) const CHUNK_BYTES_MAX: usize = 4096;

/// Bytes in front of each row in a chunk: how often it is there, and its length.
const ROW_HEAD_BYTES: usize = 8;

/// The rows of one input by join key.
#[derive(Debug)]
pub(super) struct JoinSide {
    /// Chunks by join key and number.
    chunks: KeyedTable<RowChunks>,
    /// The key of a chunk, kept for its memory.
    key: Vec<u8>,
}

/// A join key and its key group.
#[derive(Debug, Clone, Copy)]
pub(super) struct JoinKey<'a> {
    /// Canonical encoding.
    pub(super) bytes: &'a [u8],
    /// Its key group.
    pub(super) key_group: u32,
}

impl JoinSide {
    /// No rows.
    pub(super) fn new(table: u8, state: StateConfig) -> Self {
        Self {
            chunks: KeyedTable::new(table, RowChunks::default(), state),
            key: Vec::new(),
        }
    }

    /// The table of state.
    pub(super) fn table(&mut self) -> &mut dyn StateTable {
        &mut self.chunks
    }

    /// The chunks by id.
    pub(super) fn rows(&self) -> &RowChunks {
        self.chunks.values()
    }

    /// Makes the key of a chunk.
    fn set_key(&mut self, key: JoinKey<'_>, number: u32) {
        self.key.clear();
        self.key.extend_from_slice(key.bytes);
        // Big-endian, so that the chunks of a key follow one another wherever keys are sorted.
        self.key.extend_from_slice(&number.to_be_bytes());
    }

    /// The id of a chunk, if it is held.
    pub(super) fn find(
        &mut self,
        key: JoinKey<'_>,
        number: u32,
        now_ms: EpochMillis,
    ) -> Result<Option<u32>> {
        self.set_key(key, number);
        self.chunks.find_in(&self.key, key.key_group, now_ms)
    }

    /// The id of a chunk that is about to be changed, and whether it is new.
    fn upsert(
        &mut self,
        key: JoinKey<'_>,
        number: u32,
        now_ms: EpochMillis,
    ) -> Result<(u32, bool)> {
        self.set_key(key, number);
        self.chunks.upsert_in(&self.key, key.key_group, now_ms)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read, as all changes.
    pub(super) fn add(&mut self, key: JoinKey<'_>, row: &[u8], now_ms: EpochMillis) -> Result<()> {
        let (first, _) = self.upsert(key, 0, now_ms)?;
        let count = self.chunks.values().chunks_of(first);
        let last = match count - 1 {
            0 => first,
            number => self.upsert(key, number, now_ms)?.0,
        };
        let rows = self.chunks.values_mut();
        if rows.is_full(last) && !rows.repeats_last(last, row) {
            let (next, _) = self.upsert(key, count, now_ms)?;
            let rows = self.chunks.values_mut();
            rows.clear(next);
            rows.push(next, row, 1);
            rows.set_chunks(first, count + 1);
        } else if !rows.repeat_last(last, row) {
            rows.push(last, row, 1);
        }
        Ok(())
    }

    /// Takes a row away; one that is not held, since its state has expired, is none.
    pub(super) fn remove(
        &mut self,
        key: JoinKey<'_>,
        row: &[u8],
        now_ms: EpochMillis,
    ) -> Result<()> {
        let (first, is_new) = self.upsert(key, 0, now_ms)?;
        if is_new {
            return self.chunks.remove(first);
        }
        // What came last goes first as a rule: an update takes back what the update before it has brought.
        for number in (0..self.chunks.values().chunks_of(first)).rev() {
            let Some(id) = self.find(key, number, now_ms)? else {
                continue;
            };
            let Some(place) = self.chunks.values().position(id, row) else {
                continue;
            };
            let (id, _) = self.upsert(key, number, now_ms)?;
            if self.chunks.values_mut().take_one(id, place) {
                self.fill(key, first, (number, id), now_ms)?;
                self.trim(key, first, now_ms)?;
            }
            return Ok(());
        }
        Ok(())
    }

    /// Moves the key's last row to where a row was taken away, so that only the last chunk shrinks.
    fn fill(
        &mut self,
        key: JoinKey<'_>,
        first: u32,
        (number, id): (u32, u32),
        now_ms: EpochMillis,
    ) -> Result<()> {
        let last = self.chunks.values().chunks_of(first) - 1;
        if last != number {
            let (from, _) = self.upsert(key, last, now_ms)?;
            self.chunks.values_mut().move_last(from, id);
        }
        Ok(())
    }

    /// Forgets the empty chunks at the end of a key, and the key with its last row.
    fn trim(&mut self, key: JoinKey<'_>, first: u32, now_ms: EpochMillis) -> Result<()> {
        let mut count = self.chunks.values().chunks_of(first);
        while count > 1 {
            match self.find(key, count - 1, now_ms)? {
                Some(last) if !self.chunks.values().is_empty(last) => break,
                Some(last) => self.chunks.remove(last)?,
                None => {}
            }
            count -= 1;
        }
        self.chunks.values_mut().set_chunks(first, count);
        if count == 1 && self.chunks.values().is_empty(first) {
            self.chunks.remove(first)?;
        }
        Ok(())
    }
}

/// Rows by chunk.
#[derive(Debug, Default)]
pub(super) struct RowChunks {
    /// Chunks by id.
    chunks: Vec<Chunk>,
    /// Bytes of all rows.
    heap_bytes: usize,
}

/// Some rows of one key.
#[derive(Debug, Default)]
struct Chunk {
    /// In chunk 0, how many more chunks the key has; else 0.
    more_chunks: u32,
    /// Different rows.
    rows: u32,
    /// Rows, each counted as often as it is there.
    copies: u64,
    /// Rows back to back: how often (4 bytes), length (4 bytes), canonical encoding.
    bytes: Vec<u8>,
    /// Where the last row begins.
    last: usize,
}

/// The rows of a chunk in order, each with how often it is there.
#[derive(Debug, Clone)]
pub(super) struct RowIter<'a> {
    /// What is left.
    rest: &'a [u8],
}

impl<'a> Iterator for RowIter<'a> {
    type Item = (&'a [u8], u32);

    fn next(&mut self) -> Option<Self::Item> {
        let (count, rest) = self.rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (row, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        Some((row, u32::from_le_bytes(*count)))
    }
}

/// Where a row lies in its chunk.
#[derive(Debug, Clone, Copy)]
struct RowPlace {
    /// First byte, before the head.
    start: usize,
    /// Bytes, with the head.
    bytes: usize,
}

impl RowChunks {
    /// A chunk.
    fn chunk(&self, id: u32) -> &Chunk {
        &self.chunks[id as usize]
    }

    /// How many chunks the key of a chunk 0 has.
    pub(super) fn chunks_of(&self, id: u32) -> u32 {
        self.chunk(id).more_chunks + 1
    }

    /// Notes in a chunk 0 how many chunks its key has.
    fn set_chunks(&mut self, id: u32, count: u32) {
        self.chunks[id as usize].more_chunks = count - 1;
    }

    /// The rows of a chunk.
    pub(super) fn iter(&self, id: u32) -> RowIter<'_> {
        RowIter {
            rest: &self.chunk(id).bytes,
        }
    }

    /// Rows of a chunk, each counted as often as it is there.
    pub(super) fn copies(&self, id: u32) -> u64 {
        self.chunk(id).copies
    }

    /// Whether a chunk has no rows.
    fn is_empty(&self, id: u32) -> bool {
        self.chunk(id).rows == 0
    }

    /// Whether a chunk takes no further row.
    fn is_full(&self, id: u32) -> bool {
        let chunk = self.chunk(id);
        chunk.rows >= CHUNK_ROWS_MAX || chunk.bytes.len() >= CHUNK_BYTES_MAX
    }

    /// Whether a row is the last one of its chunk and can be counted once more.
    fn repeats_last(&self, id: u32, row: &[u8]) -> bool {
        let chunk = self.chunk(id);
        let rest = chunk.bytes.get(chunk.last..).unwrap_or_default();
        RowIter { rest }
            .next()
            .is_some_and(|(last, count)| last == row && count < u32::MAX)
    }

    /// Counts a row once more if it is the last one of its chunk: rows that differ in nothing are common after pruning.
    fn repeat_last(&mut self, id: u32, row: &[u8]) -> bool {
        if !self.repeats_last(id, row) {
            return false;
        }
        let chunk = &mut self.chunks[id as usize];
        chunk.add_to_count(chunk.last, 1);
        true
    }

    /// Appends a row to a chunk.
    fn push(&mut self, id: u32, row: &[u8], count: u32) {
        let chunk = &mut self.chunks[id as usize];
        let before = chunk.bytes.capacity();
        if chunk.bytes.is_empty() {
            // Most keys have one row.
            chunk.bytes.reserve_exact(ROW_HEAD_BYTES + row.len());
        }
        chunk.last = chunk.bytes.len();
        chunk.bytes.put_u32(count);
        chunk.bytes.put_bytes(row);
        chunk.rows += 1;
        chunk.copies += u64::from(count);
        self.heap_bytes += chunk.bytes.capacity() - before;
    }

    /// Where a row is.
    fn position(&self, id: u32, row: &[u8]) -> Option<RowPlace> {
        let mut start = 0;
        for (held, _) in self.iter(id) {
            let bytes = ROW_HEAD_BYTES + held.len();
            if held == row {
                return Some(RowPlace { start, bytes });
            }
            start += bytes;
        }
        None
    }

    /// Counts a row once less; true when that was the last of its kind, and it is gone.
    fn take_one(&mut self, id: u32, place: RowPlace) -> bool {
        let chunk = &mut self.chunks[id as usize];
        let rest = &chunk.bytes[place.start..];
        let is_last = RowIter { rest }.next().is_none_or(|(_, count)| count <= 1);
        if is_last {
            chunk.cut(place);
        } else {
            chunk.add_to_count(place.start, -1);
        }
        is_last
    }

    /// Moves the last row of a chunk to another one.
    fn move_last(&mut self, from: u32, to: u32) {
        let chunk = &mut self.chunks[from as usize];
        let tail = chunk.bytes.split_off(chunk.last.min(chunk.bytes.len()));
        let Some((row, count)) = (RowIter { rest: &tail }).next() else {
            return;
        };
        chunk.rows -= 1;
        chunk.copies -= u64::from(count);
        chunk.find_last();
        self.push(to, row, count);
    }
}

impl Chunk {
    /// Changes how often the row at `start` is there.
    fn add_to_count(&mut self, start: usize, change: i32) {
        if let Some(count) = self
            .bytes
            .get_mut(start..)
            .and_then(|rest| rest.first_chunk_mut::<4>())
        {
            *count = u32::from_le_bytes(*count)
                .saturating_add_signed(change)
                .to_le_bytes();
            self.copies = self.copies.saturating_add_signed(i64::from(change));
        }
    }

    /// Takes a row out that is there once.
    fn cut(&mut self, place: RowPlace) {
        self.bytes.drain(place.start..place.start + place.bytes);
        self.rows -= 1;
        self.copies = self.copies.saturating_sub(1);
        self.find_last();
    }

    /// Looks for the last row.
    fn find_last(&mut self) {
        let (mut start, mut last) = (0, 0);
        for (row, _) in (RowIter { rest: &self.bytes }) {
            last = start;
            start += ROW_HEAD_BYTES + row.len();
        }
        self.last = last;
    }
}

impl Values for RowChunks {
    fn resize(&mut self, len: usize) {
        column::resize_with(&mut self.chunks, len, Chunk::default);
    }

    fn clear(&mut self, id: u32) {
        let chunk = &mut self.chunks[id as usize];
        self.heap_bytes -= chunk.bytes.capacity();
        *chunk = Chunk::default();
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        let chunk = self.chunk(id);
        out.put_u32(chunk.more_chunks);
        out.put_bytes(&chunk.bytes);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        let more_chunks = input.u32()?;
        let bytes = input.bytes()?.to_vec();
        let mut chunk = Chunk {
            more_chunks,
            bytes,
            ..Chunk::default()
        };
        let mut length = 0;
        for (row, count) in (RowIter { rest: &chunk.bytes }) {
            chunk.last = length;
            chunk.rows += 1;
            chunk.copies += u64::from(count);
            length += ROW_HEAD_BYTES + row.len();
        }
        if length != chunk.bytes.len() {
            return Err(crate::error::Error::corrupt(
                "rows of a join end in the middle of one",
            ));
        }
        self.heap_bytes += chunk.bytes.capacity();
        let slot = &mut self.chunks[id as usize];
        self.heap_bytes -= slot.bytes.capacity();
        *slot = chunk;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Chunk>() + self.heap_bytes
    }

    fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }
}

#[cfg(test)]
mod tests;
