//! Lists of rows by id.
//!
//! Place in the flow: the values of [`super::WaitingRows`], a list for some rows of a key group in a bucket of time. Invariant: the rows of
//! a list stay in the order in which they came.

use crate::error::{Error, Result};
use crate::state::Values;
use crate::state::codec::{Reader, Writer};
use crate::state::column;

/// Rows of a list, at most: what a checkpoint writes again when the list has changed (guess, unmeasured).
const LIST_ROWS_MAX: u32 = 512;

/// Bytes of rows of a list past which it takes no more, for the same reason (guess, unmeasured).
const LIST_BYTES_MAX: usize = 64 << 10;

/// In front of each row: its time, the length of its key, its own length.
const ROW_HEAD_BYTES: usize = 8 + 4 + 4;

/// Rows of a key group in a bucket, or some of them.
#[derive(Debug, Default)]
struct List {
    /// In the first list of a key group, the number of the last one.
    last_number: u32,
    /// Rows.
    rows: u32,
    /// The earliest time of its rows; without meaning when it has none.
    min_ms: i64,
    /// Rows back to back: head, key, row.
    bytes: Vec<u8>,
}

/// Lists by id.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// The lists.
    by_id: Vec<List>,
    /// Rows of all lists.
    rows: usize,
    /// Memory of the rows.
    heap_bytes: usize,
}

/// A row of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// When it is due, epoch milliseconds.
    pub(super) time_ms: i64,
    /// The key.
    pub(super) key: &'a [u8],
    /// The row.
    pub(super) bytes: &'a [u8],
}

impl Row<'_> {
    /// Bytes that it takes in a list.
    fn len(&self) -> usize {
        ROW_HEAD_BYTES + self.key.len() + self.bytes.len()
    }

    /// Appends it to the rows of a list.
    fn append_to(&self, bytes: &mut Vec<u8>) {
        let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut head = [0; ROW_HEAD_BYTES];
        head[..8].copy_from_slice(&self.time_ms.to_le_bytes());
        head[8..12].copy_from_slice(&length(self.key));
        head[12..].copy_from_slice(&length(self.bytes));
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(self.key);
        bytes.extend_from_slice(self.bytes);
    }
}

impl Lists {
    /// Rows of all lists.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Rows of a list.
    pub(super) fn len(&self, id: u32) -> usize {
        self.by_id[id as usize].rows as usize
    }

    /// The number of the last list of a key group, by its first one.
    pub(super) fn last_number(&self, id: u32) -> u32 {
        self.by_id[id as usize].last_number
    }

    /// Notes that a key group has got a further list.
    pub(super) fn set_last_number(&mut self, id: u32, number: u32) {
        self.by_id[id as usize].last_number = number;
    }

    /// Whether a row of a list is due.
    pub(super) fn has_due(&self, id: u32, watermark_ms: i64) -> bool {
        self.first_ms(id)
            .is_some_and(|first_ms| first_ms <= watermark_ms)
    }

    /// The earliest time of the rows of a list.
    pub(super) fn first_ms(&self, id: u32) -> Option<i64> {
        let list = &self.by_id[id as usize];
        (list.rows > 0).then_some(list.min_ms)
    }

    /// Whether a list takes more rows.
    pub(super) fn is_full(&self, id: u32) -> bool {
        let list = &self.by_id[id as usize];
        list.rows >= LIST_ROWS_MAX || list.bytes.len() >= LIST_BYTES_MAX
    }

    /// Adds a row to a list.
    pub(super) fn push(&mut self, id: u32, row: Row<'_>) {
        let list = &mut self.by_id[id as usize];
        let held_bytes = list.bytes.capacity();
        row.append_to(&mut list.bytes);
        self.heap_bytes += list.bytes.capacity() - held_bytes;
        list.min_ms = if list.rows == 0 {
            row.time_ms
        } else {
            list.min_ms.min(row.time_ms)
        };
        list.rows += 1;
        self.rows += 1;
    }

    /// The rows of a list in the order in which they came, each with its place there.
    pub(super) fn iter(&self, id: u32) -> impl Iterator<Item = (usize, Row<'_>)> {
        let rest = self.by_id[id as usize].bytes.as_slice();
        RowIter { place: 0, rest }
    }

    /// The row at a place of a list.
    pub(super) fn row(&self, id: u32, place: usize) -> Option<Row<'_>> {
        let rest = self.by_id[id as usize].bytes.get(place..)?;
        RowIter { place, rest }.next().map(|(_, row)| row)
    }

    /// Keeps the rows of a list of which `is_kept`, which is told their places, says so.
    pub(super) fn retain(&mut self, id: u32, mut is_kept: impl FnMut(usize, Row<'_>) -> bool) {
        let list = &mut self.by_id[id as usize];
        let mut bytes = std::mem::take(&mut list.bytes);
        let (mut place, mut end, mut kept, mut min_ms) = (0, 0, 0, i64::MAX);
        while let Some((_, row)) = (RowIter {
            place,
            rest: bytes.get(place..).unwrap_or_default(),
        })
        .next()
        {
            let (length, time_ms) = (row.len(), row.time_ms);
            if is_kept(place, row) {
                bytes.copy_within(place..place + length, end);
                end += length;
                kept += 1;
                min_ms = min_ms.min(time_ms);
            }
            place += length;
        }
        bytes.truncate(end);
        self.rows -= (list.rows - kept) as usize;
        (list.bytes, list.rows, list.min_ms) = (bytes, kept, min_ms);
    }
}

/// Rows of a list.
#[derive(Debug)]
struct RowIter<'a> {
    /// Where the next row is.
    place: usize,
    /// What is left.
    rest: &'a [u8],
}

impl<'a> Iterator for RowIter<'a> {
    type Item = (usize, Row<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (time_ms, rest) = self.rest.split_first_chunk::<8>()?;
        let (key, rest) = rest.split_first_chunk::<4>()?;
        let (bytes, rest) = rest.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key) as usize)?;
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*bytes) as usize)?;
        let row = Row {
            time_ms: i64::from_le_bytes(*time_ms),
            key,
            bytes,
        };
        let place = self.place;
        self.place += row.len();
        self.rest = rest;
        Some((place, row))
    }
}

impl Values for Lists {
    fn resize(&mut self, len: usize) {
        column::resize_with(&mut self.by_id, len, List::default);
    }

    fn clear(&mut self, id: u32) {
        let list = std::mem::take(&mut self.by_id[id as usize]);
        self.rows -= list.rows as usize;
        self.heap_bytes -= list.bytes.capacity();
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        let list = &self.by_id[id as usize];
        out.put_u32(list.last_number);
        out.put_bytes(&list.bytes);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        let last_number = input.u32()?;
        let bytes = input.bytes()?.to_vec();
        let rows = RowIter {
            place: 0,
            rest: &bytes,
        };
        let (mut end, mut count, mut min_ms) = (0, 0, i64::MAX);
        for (place, row) in rows {
            end = place + row.len();
            count += 1;
            min_ms = min_ms.min(row.time_ms);
        }
        if end != bytes.len() {
            return Err(Error::corrupt("rows that wait end in the middle of one"));
        }
        self.rows += count as usize;
        self.heap_bytes += bytes.capacity();
        self.by_id[id as usize] = List {
            last_number,
            rows: count,
            min_ms,
            bytes,
        };
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.by_id.capacity() * size_of::<List>() + self.heap_bytes
    }

    fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }
}
