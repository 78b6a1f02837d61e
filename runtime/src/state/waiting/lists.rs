//! Lists of rows by id, in one piece of memory.
//!
//! Place in the flow: the values of [`super::WaitingRows`]. Invariant: the rows of a list stay in the order in which they came.
//!
//! A list of one key in one bucket of time holds a few rows as a rule, so lists have no memory of their own: their rows are linked to one
//! another in a common arena, which is compacted when half of it is waste.

use crate::error::Result;
use crate::state::Values;
use crate::state::codec::{Reader, Writer};
use crate::state::column;

/// Rows of a list, at most: what a checkpoint writes again when the list has changed (guess, unmeasured).
pub(super) const LIST_ROWS_MAX: u32 = 512;

/// Bytes of rows of a list past which it takes no more, for the same reason (guess, unmeasured).
const LIST_BYTES_MAX: usize = 64 << 10;

/// Waste below which compaction is not worth the copy (guess, unmeasured).
const COMPACT_WASTE_BYTES_MIN: usize = 64 << 10;

/// In front of each row in the arena: where the next one is, its time, its length.
const ROW_HEAD_BYTES: usize = size_of::<usize>() + 8 + 4;

/// Marks the end of a list.
const END: usize = usize::MAX;

/// Rows of a key in a bucket, or some of them.
#[derive(Debug, Clone, Copy)]
struct List {
    /// Its number among those of the key.
    number: u32,
    /// In the first list of a key, the number of the last one.
    last_number: u32,
    /// Rows.
    rows: u32,
    /// Bytes of its rows with their heads.
    bytes: usize,
    /// The earliest time of its rows.
    min_ms: i64,
    /// Where the first row is.
    first: usize,
    /// Where the last row is.
    last: usize,
}

/// Without rows.
const EMPTY: List = List {
    number: 0,
    last_number: 0,
    rows: 0,
    bytes: 0,
    min_ms: i64::MAX,
    first: END,
    last: END,
};

/// Lists by id.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// The lists.
    by_id: Vec<List>,
    /// Their rows.
    arena: Vec<u8>,
    /// Bytes of the arena that no list uses.
    waste_bytes: usize,
    /// Rows of all lists.
    rows: usize,
    /// Lists that are not the first of their key.
    further: usize,
}

/// A row of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    /// When it is due, epoch milliseconds.
    pub(super) time_ms: i64,
    /// The row.
    pub(super) bytes: &'a [u8],
}

impl Lists {
    /// Rows of all lists.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Whether every key has one list only.
    pub(super) fn are_first(&self) -> bool {
        self.further == 0
    }

    /// The number of a list among those of its key.
    pub(super) fn number(&self, id: u32) -> u32 {
        self.by_id[id as usize].number
    }

    /// The number of the last list of a key, by its first one.
    pub(super) fn last_number(&self, id: u32) -> u32 {
        self.by_id[id as usize].last_number
    }

    /// Notes that a key has got a further list.
    pub(super) fn set_last_number(&mut self, id: u32, number: u32) {
        self.by_id[id as usize].last_number = number;
    }

    /// Gives a new list its number.
    pub(super) fn set_number(&mut self, id: u32, number: u32) {
        self.further += usize::from(number > 0);
        self.by_id[id as usize].number = number;
    }

    /// Whether a row of a list is due.
    pub(super) fn has_due(&self, id: u32, watermark_ms: i64) -> bool {
        let list = &self.by_id[id as usize];
        list.rows > 0 && list.min_ms <= watermark_ms
    }

    /// The earliest time of the rows of a list.
    pub(super) fn first_ms(&self, id: u32) -> Option<i64> {
        let list = &self.by_id[id as usize];
        (list.rows > 0).then_some(list.min_ms)
    }

    /// Whether a list takes more rows.
    pub(super) fn is_full(&self, id: u32) -> bool {
        let list = &self.by_id[id as usize];
        list.rows >= LIST_ROWS_MAX || list.bytes >= LIST_BYTES_MAX
    }

    /// Adds a row to a list.
    pub(super) fn push(&mut self, id: u32, row: Row<'_>) {
        let at = self.arena.len();
        self.arena.extend_from_slice(&END.to_le_bytes());
        self.arena.extend_from_slice(&row.time_ms.to_le_bytes());
        let length = u32::try_from(row.bytes.len()).unwrap_or(u32::MAX);
        self.arena.extend_from_slice(&length.to_le_bytes());
        self.arena.extend_from_slice(row.bytes);
        let list = &mut self.by_id[id as usize];
        if list.last == END {
            list.first = at;
        } else {
            self.arena[list.last..list.last + size_of::<usize>()]
                .copy_from_slice(&at.to_le_bytes());
        }
        list.last = at;
        list.rows += 1;
        list.min_ms = list.min_ms.min(row.time_ms);
        list.bytes += ROW_HEAD_BYTES + row.bytes.len();
        self.rows += 1;
    }

    /// The rows of a list in the order in which they came.
    pub(super) fn iter(&self, id: u32) -> RowIter<'_> {
        RowIter {
            arena: &self.arena,
            next: self.by_id[id as usize].first,
        }
    }

    /// Copies the rows in use together once more than half of the arena is waste.
    fn compact(&mut self) {
        if self.waste_bytes < COMPACT_WASTE_BYTES_MIN || self.waste_bytes * 2 < self.arena.len() {
            return;
        }
        let room = self.arena.len() - self.waste_bytes;
        let arena = std::mem::replace(&mut self.arena, Vec::with_capacity(room));
        self.waste_bytes = 0;
        self.rows = 0;
        for id in 0..self.by_id.len() {
            let list = self.by_id[id];
            self.by_id[id] = List {
                number: list.number,
                last_number: list.last_number,
                ..EMPTY
            };
            let rows = RowIter {
                arena: &arena,
                next: list.first,
            };
            // An id fits, as it came as one.
            rows.for_each(|row| self.push(u32::try_from(id).unwrap_or(u32::MAX), row));
        }
    }
}

/// The rows of a list.
#[derive(Debug)]
pub(super) struct RowIter<'a> {
    /// The rows of all lists.
    arena: &'a [u8],
    /// Where the next row is.
    next: usize,
}

impl<'a> Iterator for RowIter<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        if self.next == END {
            return None;
        }
        let rest = self.arena.get(self.next..)?;
        let (next, rest) = rest.split_first_chunk::<{ size_of::<usize>() }>()?;
        let (time_ms, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        self.next = usize::from_le_bytes(*next);
        Some(Row {
            time_ms: i64::from_le_bytes(*time_ms),
            bytes: rest.get(..u32::from_le_bytes(*length) as usize)?,
        })
    }
}

impl Values for Lists {
    fn resize(&mut self, len: usize) {
        column::resize(&mut self.by_id, len, EMPTY);
    }

    fn clear(&mut self, id: u32) {
        let list = std::mem::replace(&mut self.by_id[id as usize], EMPTY);
        self.rows -= list.rows as usize;
        self.further -= usize::from(list.number > 0);
        self.waste_bytes += list.bytes;
        self.compact();
    }

    fn reset(&mut self) -> bool {
        self.by_id.clear();
        self.arena.clear();
        (self.waste_bytes, self.rows, self.further) = (0, 0, 0);
        true
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        let list = &self.by_id[id as usize];
        out.put_u32(list.number);
        out.put_u32(list.last_number);
        out.put_u32(list.rows);
        for row in self.iter(id) {
            out.put_i64(row.time_ms);
            out.put_bytes(row.bytes);
        }
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        let number = input.u32()?;
        self.set_number(id, number);
        let last_number = input.u32()?;
        self.set_last_number(id, last_number);
        for _ in 0..input.u32()? {
            let time_ms = input.i64()?;
            let bytes = input.bytes()?;
            self.push(id, Row { time_ms, bytes });
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.by_id.capacity() * size_of::<List>() + self.arena.capacity()
    }

    fn heap_bytes(&self) -> usize {
        self.arena.capacity()
    }
}
