//! Rows of one input of a join, some of one key at a time.
//!
//! Place in the flow: the values of [`super::side::JoinSide`]'s table. Invariant: a row is in a chunk once, with how often it is there.

use std::mem::size_of;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};
use crate::operator::join::small_bytes::SmallBytes;
use crate::state::codec::{Reader, Writer};
use crate::state::{Values, column};
use crate::time::EpochMillis;

/// Rows from which on a chunk is full (guess, unmeasured: a search within a chunk stays within a few cache lines of lengths).
pub(super) const CHUNK_ROWS_MAX: u32 = 64;

/// Bytes from which on a chunk is full (guess, unmeasured: one page).
pub(super) const CHUNK_BYTES_MAX: usize = 4096;

/// Bytes in front of each row: how often it is there, and its length.
const COUNT_BYTES: usize = 8;

/// Bytes of a time or of a number of associations in front of a row.
const NUMBER_BYTES: usize = 8;

/// Set in the stored number of further chunks when rows have times.
const HAS_TIMES: u32 = 1 << 31;

/// Set in the stored number of further chunks when rows have associations.
const HAS_ASSOCIATIONS: u32 = 1 << 30;

/// Set in the stored number of further chunks when there are some and the hash of a row says in which chunk it is. Checkpoints of old
/// have it as rows came.
const IS_BY_HASH: u32 = 1 << 29;

/// Most chunks of a key: what is left of the stored number.
pub(super) const CHUNKS_MAX: u32 = IS_BY_HASH;

/// What is kept with each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Layout {
    /// When the row was last written: with a TTL.
    pub(super) times: bool,
    /// How many rows of the other input it has met.
    pub(super) associations: bool,
}

impl Layout {
    /// Its stored form.
    fn flags(self) -> u32 {
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        flag(self.times, HAS_TIMES) | flag(self.associations, HAS_ASSOCIATIONS)
    }

    /// From its stored form.
    fn from_flags(flags: u32) -> Self {
        Self {
            times: flags & HAS_TIMES != 0,
            associations: flags & HAS_ASSOCIATIONS != 0,
        }
    }

    /// Bytes that a row takes.
    pub(super) fn row_bytes(self, row: &[u8]) -> usize {
        self.head_bytes() + row.len()
    }

    /// Bytes in front of each row.
    fn head_bytes(self) -> usize {
        COUNT_BYTES + NUMBER_BYTES * (usize::from(self.times) + usize::from(self.associations))
    }
}

/// A row with what is kept with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredRow<'a> {
    /// Canonical encoding.
    pub(super) row: &'a [u8],
    /// How often it is there.
    pub(super) count: u32,
    /// When it was last written; 0 without times.
    pub(super) written_ms: EpochMillis,
    /// How many rows of the other input each of them has met; 0 without associations.
    pub(super) associations: u64,
}

/// The rows of a chunk in order.
#[derive(Debug, Clone)]
pub(super) struct RowIter<'a> {
    /// What is left.
    rest: &'a [u8],
    /// What is kept with each row.
    layout: Layout,
}

impl<'a> Iterator for RowIter<'a> {
    type Item = StoredRow<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (count, rest) = self.rest.split_first_chunk::<4>()?;
        let (length, mut rest) = rest.split_first_chunk::<4>()?;
        let mut number = |is_there: bool| {
            if !is_there {
                return Some([0; NUMBER_BYTES]);
            }
            let (number, behind) = rest.split_first_chunk::<NUMBER_BYTES>()?;
            rest = behind;
            Some(*number)
        };
        let written_ms = i64::from_le_bytes(number(self.layout.times)?);
        let associations = u64::from_le_bytes(number(self.layout.associations)?);
        let (row, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        Some(StoredRow {
            row,
            count: u32::from_le_bytes(*count),
            written_ms,
            associations,
        })
    }
}

/// Rows by chunk.
#[derive(Debug, Default)]
pub(super) struct RowChunks {
    /// Chunks by id.
    chunks: Vec<Chunk>,
    /// Bytes of all rows.
    heap_bytes: usize,
    /// What is kept with each row.
    layout: Layout,
}

/// Set in the number of further chunks when rows are in their chunks as they came.
const IS_BY_ARRIVAL: u32 = 1 << 31;

/// Some rows of one key: a cache line, with the rows themselves if they are few and short.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Chunk {
    /// In chunk 0, how many more chunks the key has, and [`IS_BY_ARRIVAL`]; else 0.
    further: u32,
    /// Different rows.
    rows: u32,
    /// Rows back to back: how often (4 bytes), length (4 bytes), what [`Layout`] says (8 bytes each), canonical encoding.
    bytes: SmallBytes,
}

impl RowChunks {
    /// No chunks.
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            ..Self::default()
        }
    }

    /// What is kept with each row.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// A chunk.
    fn chunk(&self, id: u32) -> &Chunk {
        &self.chunks[id as usize]
    }

    /// How many chunks the key of a chunk 0 has.
    pub(super) fn chunks_of(&self, id: u32) -> u32 {
        self.chunk(id).more_chunks() + 1
    }

    /// Notes in a chunk 0 how many chunks its key has.
    pub(super) fn set_chunks(&mut self, id: u32, count: u32) {
        let further = &mut self.chunks[id as usize].further;
        *further = (*further & IS_BY_ARRIVAL) | (count - 1);
    }

    /// Whether the rows of the key of a chunk 0 are in their chunks as they came.
    pub(super) fn is_by_arrival(&self, id: u32) -> bool {
        self.chunk(id).is_by_arrival()
    }

    /// Takes all rows of a chunk out of it, encoded; a chunk 0 is the only one of its key then.
    pub(super) fn drain(&mut self, id: u32) -> Vec<u8> {
        let chunk = std::mem::take(&mut self.chunks[id as usize]);
        self.heap_bytes -= chunk.bytes.heap_bytes();
        chunk.bytes.to_vec()
    }

    /// Rows that were taken out.
    pub(super) fn drained<'a>(&self, bytes: &'a [u8]) -> RowIter<'a> {
        RowIter {
            rest: bytes,
            layout: self.layout,
        }
    }

    /// The rows of a chunk.
    pub(super) fn iter(&self, id: u32) -> RowIter<'_> {
        self.iter_from(id, 0)
    }

    /// The rows of a chunk from the one at a byte on.
    fn iter_from(&self, id: u32, start: usize) -> RowIter<'_> {
        RowIter {
            rest: self.chunk(id).bytes.get(start..).unwrap_or_default(),
            layout: self.layout,
        }
    }

    /// Rows of a chunk, each counted as often as it is there.
    pub(super) fn copies(&self, id: u32) -> u64 {
        self.iter(id).map(|row| u64::from(row.count)).sum()
    }

    /// Whether a chunk has no rows.
    pub(super) fn is_empty(&self, id: u32) -> bool {
        self.chunk(id).rows == 0
    }

    /// Whether a chunk has as many rows as it should.
    pub(super) fn is_full(&self, id: u32) -> bool {
        let chunk = self.chunk(id);
        chunk.rows > 1 && (chunk.rows > CHUNK_ROWS_MAX || chunk.bytes.len() > CHUNK_BYTES_MAX)
    }

    /// Whether the rows of some chunks are few enough for one: half of a full one, so that splitting and merging do not take turns.
    pub(super) fn fit_together(&self, ids: &[u32]) -> bool {
        let chunks = || ids.iter().map(|id| self.chunk(*id));
        let rows: u32 = chunks().map(|chunk| chunk.rows).sum();
        let bytes: usize = chunks().map(|chunk| chunk.bytes.len()).sum();
        rows <= 1 || (rows <= CHUNK_ROWS_MAX / 2 && bytes <= CHUNK_BYTES_MAX / 2)
    }

    /// Where a row begins that is written as `row`.
    pub(super) fn position(&self, id: u32, row: &[u8]) -> Option<usize> {
        let mut start = 0;
        for held in self.iter(id) {
            if held.row == row {
                return Some(start);
            }
            start += self.layout.row_bytes(held.row);
        }
        None
    }

    /// Adds a row that is in its chunk already if it is anywhere; one that is there is counted once more.
    pub(super) fn add(&mut self, id: u32, row: StoredRow<'_>) {
        let Some(start) = self.position(id, row.row) else {
            self.push(id, row);
            return;
        };
        let mut held = row;
        let count = self.iter_from(id, start).next().map_or(0, |row| row.count);
        held.count = count.saturating_add(row.count);
        self.set_head(id, start, held);
    }

    /// Appends a row to a chunk.
    pub(super) fn push(&mut self, id: u32, row: StoredRow<'_>) {
        let layout = self.layout;
        let chunk = &mut self.chunks[id as usize];
        let before = chunk.bytes.heap_bytes();
        chunk.push(row, layout);
        self.heap_bytes += chunk.bytes.heap_bytes() - before;
    }

    /// Counts the row at `start` once less; true when that was the last of its kind, and it is gone.
    pub(super) fn take_one(&mut self, id: u32, start: usize) -> bool {
        let Some(held) = self.iter_from(id, start).next() else {
            return false;
        };
        if held.count > 1 {
            let count = (held.count - 1).to_le_bytes();
            let chunk = &mut self.chunks[id as usize];
            chunk.bytes[start..start + size_of::<u32>()].copy_from_slice(&count);
            return false;
        }
        let end = start + self.layout.row_bytes(held.row);
        let chunk = &mut self.chunks[id as usize];
        chunk.bytes.remove(start..end);
        chunk.rows -= 1;
        true
    }

    /// Notes how many rows of the other input the row at `start` has met, and that it was written.
    pub(super) fn set_associations(
        &mut self,
        id: u32,
        start: usize,
        associations: u64,
        now_ms: EpochMillis,
    ) {
        let mut numbers = start + COUNT_BYTES;
        let layout = self.layout;
        let bytes = &mut self.chunks[id as usize].bytes;
        let mut put = |number: [u8; NUMBER_BYTES]| {
            if let Some(place) = bytes.get_mut(numbers..numbers + NUMBER_BYTES) {
                place.copy_from_slice(&number);
            }
            numbers += NUMBER_BYTES;
        };
        if layout.times {
            put(now_ms.to_le_bytes());
        }
        if layout.associations {
            put(associations.to_le_bytes());
        }
    }

    /// Writes what stands in front of a row.
    fn set_head(&mut self, id: u32, start: usize, row: StoredRow<'_>) {
        self.chunks[id as usize].bytes[start..start + size_of::<u32>()]
            .copy_from_slice(&row.count.to_le_bytes());
        self.set_associations(id, start, row.associations, row.written_ms);
    }

    /// Forgets the rows of a chunk that were last written up to a moment.
    pub(super) fn forget_until(&mut self, id: u32, until_ms: EpochMillis) {
        if !self.layout.times || self.iter(id).all(|row| row.written_ms > until_ms) {
            return;
        }
        self.divide(id, |row| row.written_ms > until_ms);
    }

    /// Moves the rows of a chunk whose hash has a bit set to another one, which is empty.
    pub(super) fn split(&mut self, from: u32, to: u32, bit: u64) {
        let moved = self.divide(from, |row| row_hash(row.row) & bit == 0);
        self.take_over(to, &moved);
    }

    /// Moves all rows of a chunk to another one.
    pub(super) fn merge(&mut self, from: u32, to: u32) {
        let moved = self.divide(from, |_| false);
        self.take_over(to, &moved);
    }

    /// Keeps some rows in a chunk and gives the others.
    fn divide(&mut self, id: u32, stays: impl Fn(&StoredRow<'_>) -> bool) -> Chunk {
        let layout = self.layout;
        let (mut left, mut moved) = (Chunk::default(), Chunk::default());
        for row in self.iter(id) {
            let chunk = if stays(&row) { &mut left } else { &mut moved };
            chunk.push(row, layout);
        }
        let chunk = &mut self.chunks[id as usize];
        left.further = chunk.further;
        left.bytes.shrink();
        self.heap_bytes += left.bytes.heap_bytes();
        self.heap_bytes -= chunk.bytes.heap_bytes();
        *chunk = left;
        moved
    }

    /// Appends rows to a chunk.
    fn take_over(&mut self, id: u32, moved: &Chunk) {
        let chunk = &mut self.chunks[id as usize];
        let before = chunk.bytes.heap_bytes();
        let bytes = chunk.bytes.grow(moved.bytes.len());
        bytes.copy_from_slice(&moved.bytes);
        chunk.rows += moved.rows;
        self.heap_bytes += chunk.bytes.heap_bytes() - before;
    }
}

impl Chunk {
    /// How many more chunks the key has.
    fn more_chunks(&self) -> u32 {
        self.further & !IS_BY_ARRIVAL
    }

    /// Whether rows are in their chunks as they came.
    fn is_by_arrival(&self) -> bool {
        self.further & IS_BY_ARRIVAL != 0
    }

    /// Appends a row.
    fn push(&mut self, row: StoredRow<'_>, layout: Layout) {
        let length = u32::try_from(row.row.len()).unwrap_or(u32::MAX);
        let mut rest = self.bytes.grow(layout.row_bytes(row.row));
        let mut put = |part: &[u8]| {
            let (place, behind) = std::mem::take(&mut rest).split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        };
        put(&row.count.to_le_bytes());
        put(&length.to_le_bytes());
        if layout.times {
            put(&row.written_ms.to_le_bytes());
        }
        if layout.associations {
            put(&row.associations.to_le_bytes());
        }
        put(row.row);
        self.rows += 1;
    }
}

/// What decides in which chunk of its key a row is.
pub(super) fn row_hash(row: &[u8]) -> u64 {
    xxh3_64(row)
}

impl Values for RowChunks {
    fn resize(&mut self, len: usize) {
        column::resize_with(&mut self.chunks, len, Chunk::default);
    }

    fn clear(&mut self, id: u32) {
        let chunk = &mut self.chunks[id as usize];
        self.heap_bytes -= chunk.bytes.heap_bytes();
        *chunk = Chunk::default();
    }

    fn look_ahead(&self, ids: &[u32]) {
        let held = || ids.iter().filter_map(|id| self.chunks.get(*id as usize));
        let rows: usize = held().map(|chunk| chunk.bytes.len()).sum();
        let first = held().map(|chunk| chunk.bytes.first().copied().unwrap_or_default());
        std::hint::black_box(first.fold(rows, |sum, byte| sum.wrapping_add(byte.into())));
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        let chunk = self.chunk(id);
        let is_by_hash = chunk.more_chunks() > 0 && !chunk.is_by_arrival();
        let order = if is_by_hash { IS_BY_HASH } else { 0 };
        out.put_u32(chunk.more_chunks() | order | self.layout.flags());
        out.put_bytes(&chunk.bytes);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        let head = input.u32()?;
        let (layout, more_chunks) = (Layout::from_flags(head), head & (CHUNKS_MAX - 1));
        if self.layout.associations && !layout.associations {
            return Err(Error::corrupt(
                "rows of a join were kept without a TTL, and with one they need what was not kept: start a new statement",
            ));
        }
        let bytes = input.bytes()?;
        let is_by_arrival = more_chunks > 0 && head & IS_BY_HASH == 0;
        let mut chunk = Chunk {
            further: more_chunks | if is_by_arrival { IS_BY_ARRIVAL } else { 0 },
            bytes: SmallBytes::with_capacity(bytes.len()),
            rows: 0,
        };
        let mut length = 0;
        for mut row in (RowIter {
            rest: bytes,
            layout,
        }) {
            if !layout.times {
                // Without a time of its own a row is forgotten with its chunk.
                row.written_ms = EpochMillis::MAX;
            }
            chunk.push(row, self.layout);
            length += layout.row_bytes(row.row);
        }
        if length != bytes.len() {
            return Err(Error::corrupt("rows of a join end in the middle of one"));
        }
        self.heap_bytes += chunk.bytes.heap_bytes();
        let slot = &mut self.chunks[id as usize];
        self.heap_bytes -= slot.bytes.heap_bytes();
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
