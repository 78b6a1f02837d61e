//! Chunks of ordered rows, by id.
//!
//! Place in the flow: the values of the table behind [`super::OrderedRows`], which finds the chunks of a partition. Invariant: rows of a
//! chunk are in order; a head, which is chunk 0 of its partition, lists the chunks of its partition in order, each with the sort key that
//! it begins with, unless it is the only one.

use std::ops::{Bound, Range};

use crate::error::{Error, Result};
use crate::state::Values;
use crate::state::codec::{Reader, Writer};
use crate::state::column;

/// Rows of a full chunk (guess, unmeasured: a search within a chunk stays within a few cache lines of lengths).
pub(super) const CHUNK_ROWS_MAX: u32 = 64;

/// Bytes of a full chunk; a chunk is over it by at most one row (guess, unmeasured: one page).
const CHUNK_BYTES_MAX: usize = 4096;

/// Bytes in front of each row in a chunk: the lengths of its sort key and of itself.
const ROW_HEAD_BYTES: usize = 8;

/// Chunks by id.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// The chunks.
    chunks: Vec<Chunk>,
    /// Bytes of all rows and lists.
    heap_bytes: usize,
}

/// Some rows of one partition.
#[derive(Debug, Default)]
struct Chunk {
    /// In a head, the chunks of the partition; absent when it is the only one.
    directory: Option<Box<Directory>>,
    /// Rows.
    rows: u32,
    /// Where the last row begins.
    last: usize,
    /// Rows back to back: length of the sort key, length of the row (4 bytes each), sort key, row.
    bytes: Vec<u8>,
}

/// The chunks of a partition.
#[derive(Debug, Default)]
struct Directory {
    /// The number of the next chunk.
    next_number: u32,
    /// The chunks in order.
    parts: Vec<Part>,
}

/// A chunk of a partition.
#[derive(Debug)]
struct Part {
    /// Its number.
    number: u32,
    /// Its rows.
    rows: u32,
    /// The sort key of its first row.
    first: Box<[u8]>,
}

impl Part {
    /// Memory of a part, bytes.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.first.len()
    }
}

/// Whether a sort key lies on this side of an upper bound.
pub(super) fn is_within(sort: &[u8], until: Bound<&[u8]>) -> bool {
    match until {
        Bound::Unbounded => true,
        Bound::Included(end) => sort <= end,
        Bound::Excluded(end) => sort < end,
    }
}

/// The rows of a chunk in order.
#[derive(Debug, Clone)]
pub(super) struct RowIter<'a> {
    /// What is left.
    rest: &'a [u8],
}

impl<'a> Iterator for RowIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (sort, rest) = self.rest.split_first_chunk::<4>()?;
        let (row, rest) = rest.split_first_chunk::<4>()?;
        let (sort, rest) = rest.split_at_checked(u32::from_le_bytes(*sort) as usize)?;
        let (row, rest) = rest.split_at_checked(u32::from_le_bytes(*row) as usize)?;
        self.rest = rest;
        Some((sort, row))
    }
}

/// Bytes that a row takes in a chunk.
fn entry_bytes((sort, row): (&[u8], &[u8])) -> usize {
    ROW_HEAD_BYTES + sort.len() + row.len()
}

/// The stored length of a sort key or row.
fn length(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes()
}

impl Chunk {
    /// Its rows.
    fn iter(&self) -> RowIter<'_> {
        RowIter { rest: &self.bytes }
    }

    /// The sort key of its first row; empty without rows.
    fn first(&self) -> &[u8] {
        self.iter().next().map_or(&[], |(sort, _)| sort)
    }

    /// The sort key of its last row; absent without rows.
    fn last(&self) -> Option<&[u8]> {
        let rest = self.bytes.get(self.last..)?;
        RowIter { rest }.next().map(|(sort, _)| sort)
    }

    /// Where a row with a sort key goes: behind all that are not after it.
    fn place_behind(&self, sort: &[u8]) -> usize {
        if self.last().is_none_or(|last| last <= sort) {
            return self.bytes.len();
        }
        let before = self.iter().take_while(|(other, _)| *other <= sort);
        before.map(entry_bytes).sum()
    }

    /// Finds out again where the last row begins.
    fn find_last(&mut self) {
        let last = self.iter().last().map_or(0, entry_bytes);
        self.last = self.bytes.len() - last;
    }
}

impl Chunks {
    /// A chunk.
    fn chunk(&self, id: u32) -> &Chunk {
        &self.chunks[id as usize]
    }

    /// A chunk, to be changed.
    fn chunk_mut(&mut self, id: u32) -> &mut Chunk {
        &mut self.chunks[id as usize]
    }

    /// The rows of a chunk in order: sort key and row.
    pub(super) fn iter(&self, id: u32) -> RowIter<'_> {
        self.chunk(id).iter()
    }

    /// The row at a place of a chunk.
    pub(super) fn nth(&self, id: u32, place: usize) -> Option<(&[u8], &[u8])> {
        let chunk = self.chunk(id);
        if place + 1 == chunk.rows as usize {
            let rest = chunk.bytes.get(chunk.last..)?;
            return RowIter { rest }.next();
        }
        chunk.iter().nth(place)
    }

    /// Whether a chunk has no rows.
    pub(super) fn is_empty(&self, id: u32) -> bool {
        self.chunk(id).rows == 0
    }

    /// Whether a chunk takes no more rows.
    pub(super) fn is_full(&self, id: u32) -> bool {
        let chunk = self.chunk(id);
        chunk.rows >= CHUNK_ROWS_MAX || chunk.bytes.len() >= CHUNK_BYTES_MAX
    }

    /// Whether a row goes behind all rows of a chunk.
    pub(super) fn goes_last(&self, id: u32, sort: &[u8]) -> bool {
        self.chunk(id).last().is_none_or(|last| last <= sort)
    }

    /// Whether a row goes behind the first row of a chunk.
    pub(super) fn is_from(&self, id: u32, sort: &[u8]) -> bool {
        !self.is_empty(id) && self.chunk(id).first() <= sort
    }

    /// Adds a row to a chunk behind all that are not after it.
    pub(super) fn insert(&mut self, id: u32, (sort, row): (&[u8], &[u8])) {
        let chunk = self.chunk_mut(id);
        let place = chunk.place_behind(sort);
        let bytes = entry_bytes((sort, row));
        if place == chunk.bytes.len() {
            chunk.last = place;
        } else {
            chunk.last += bytes;
        }
        let old_len = chunk.bytes.len();
        chunk.bytes.resize(old_len + bytes, 0);
        chunk.bytes.copy_within(place..old_len, place + bytes);
        let entry = &mut chunk.bytes[place..place + bytes];
        entry[..4].copy_from_slice(&length(sort));
        entry[4..ROW_HEAD_BYTES].copy_from_slice(&length(row));
        entry[ROW_HEAD_BYTES..ROW_HEAD_BYTES + sort.len()].copy_from_slice(sort);
        entry[ROW_HEAD_BYTES + sort.len()..].copy_from_slice(row);
        chunk.rows += 1;
        self.heap_bytes += bytes;
    }

    /// Moves the second half of a chunk, or its only row, into an empty one.
    pub(super) fn move_half(&mut self, from: u32, to: u32) {
        let chunk = self.chunk_mut(from);
        let half = chunk.rows / 2;
        let middle = chunk.iter().take(half as usize).map(entry_bytes).sum();
        let moved = chunk.bytes.split_off(middle);
        let rows = chunk.rows - half;
        chunk.rows = half;
        chunk.find_last();
        let target = self.chunk_mut(to);
        target.bytes = moved;
        target.rows = rows;
        target.find_last();
    }

    /// Where a row that is equal in order and in itself begins, and its bytes.
    pub(super) fn position(&self, id: u32, (sort, row): (&[u8], &[u8])) -> Option<Range<usize>> {
        let mut start = 0;
        for entry in self.iter(id) {
            let bytes = entry_bytes(entry);
            if entry == (sort, row) {
                return Some(start..start + bytes);
            }
            if entry.0 > sort {
                return None;
            }
            start += bytes;
        }
        None
    }

    /// Puts a row in the place of another that is equal to it in order.
    pub(super) fn replace(&mut self, id: u32, place: Range<usize>, (sort, row): (&[u8], &[u8])) {
        let bytes = entry_bytes((sort, row));
        let grown = bytes.cast_signed() - place.len().cast_signed();
        let chunk = self.chunk_mut(id);
        if place.start != chunk.last {
            chunk.last = chunk.last.saturating_add_signed(grown);
        }
        let entry = [&length(sort), &length(row), sort, row].concat();
        chunk.bytes.splice(place, entry);
        self.heap_bytes = self.heap_bytes.saturating_add_signed(grown);
    }

    /// Takes a row away.
    pub(super) fn remove(&mut self, id: u32, place: Range<usize>) {
        self.heap_bytes -= place.len();
        let chunk = self.chunk_mut(id);
        chunk.rows -= 1;
        let was_last = place.start == chunk.last;
        if !was_last {
            chunk.last -= place.len();
        }
        chunk.bytes.drain(place);
        if was_last {
            chunk.find_last();
        }
    }

    /// Where the rows within an upper bound end, at most `limit` of them, and how many they are.
    pub(super) fn end_of(&self, id: u32, (until, limit): (Bound<&[u8]>, usize)) -> (usize, usize) {
        let within = self.iter(id).take(limit);
        let within = within.take_while(|(sort, _)| is_within(sort, until));
        within.fold((0, 0), |(end, count), entry| {
            (end + entry_bytes(entry), count + 1)
        })
    }

    /// Takes away the rows in front of a place.
    pub(super) fn remove_first(&mut self, id: u32, end: usize) {
        self.heap_bytes -= end;
        let chunk = self.chunk_mut(id);
        let removed = RowIter {
            rest: &chunk.bytes[..end],
        };
        chunk.rows -= u32::try_from(removed.count()).unwrap_or(chunk.rows);
        chunk.bytes.drain(..end);
        chunk.find_last();
    }

    /// Takes away the rows behind the first `rows`.
    pub(super) fn truncate(&mut self, id: u32, rows: usize) {
        let chunk = self.chunk_mut(id);
        let end: usize = chunk.iter().take(rows).map(entry_bytes).sum();
        let removed = chunk.bytes.len() - end;
        chunk.bytes.truncate(end);
        chunk.rows = chunk.rows.min(u32::try_from(rows).unwrap_or(u32::MAX));
        chunk.find_last();
        self.heap_bytes -= removed;
    }

    /// How many chunks the partition of a head has.
    pub(super) fn len(&self, head: u32) -> usize {
        let chunk = self.chunk(head);
        let only = usize::from(chunk.rows > 0);
        chunk
            .directory
            .as_ref()
            .map_or(only, |list| list.parts.len())
    }

    /// The number of a chunk.
    pub(super) fn number(&self, head: u32, place: usize) -> u32 {
        let directory = self.chunk(head).directory.as_ref();
        directory.map_or(0, |list| list.parts[place].number)
    }

    /// Rows of a chunk.
    pub(super) fn rows(&self, head: u32, place: usize) -> usize {
        let chunk = self.chunk(head);
        let directory = chunk.directory.as_ref();
        directory.map_or(chunk.rows, |list| list.parts[place].rows) as usize
    }

    /// Number of the chunk that holds the row at a place in the order, and its place there.
    pub(super) fn chunk_of(&self, head: u32, place: usize) -> Option<(u32, usize)> {
        let mut rest = place;
        for part in 0..self.len(head) {
            let rows = self.rows(head, part);
            if rest < rows {
                return Some((self.number(head, part), rest));
            }
            rest -= rows;
        }
        None
    }

    /// Rows of the partition.
    pub(super) fn total(&self, head: u32) -> usize {
        (0..self.len(head))
            .map(|place| self.rows(head, place))
            .sum()
    }

    /// The sort key that a chunk begins with; absent past the last.
    pub(super) fn first(&self, head: u32, place: usize) -> Option<&[u8]> {
        let chunk = self.chunk(head);
        match &chunk.directory {
            Some(list) => list.parts.get(place).map(|part| &*part.first),
            None => (place == 0 && chunk.rows > 0).then(|| chunk.first()),
        }
    }

    /// Place and number of the chunk that a row goes into.
    pub(super) fn place_for(&self, head: u32, sort: &[u8]) -> (usize, u32) {
        let Some(list) = &self.chunk(head).directory else {
            return (0, 0);
        };
        let behind = list.parts.partition_point(|part| *part.first <= *sort);
        let place = behind.saturating_sub(1);
        (place, list.parts[place].number)
    }

    /// Places of the chunks that may hold rows of a sort key; the first of them holds the first rows behind it, if none does.
    pub(super) fn places_with(&self, head: u32, sort: &[u8]) -> Range<usize> {
        let Some(list) = &self.chunk(head).directory else {
            return 0..self.len(head);
        };
        let start = list.parts.partition_point(|part| *part.first < *sort);
        let end = list.parts.partition_point(|part| *part.first <= *sort);
        start.saturating_sub(1)..end
    }

    /// The number of a new chunk.
    ///
    /// # Errors
    /// `Internal` past four billion chunks in the life of one partition.
    pub(super) fn next_number(&self, head: u32) -> Result<u32> {
        let directory = self.chunk(head).directory.as_ref();
        let number = directory.map_or(1, |list| list.next_number);
        if number == u32::MAX {
            return Err(Error::internal("four billion chunks of one key"));
        }
        Ok(number)
    }

    /// Notes what a chunk has now.
    pub(super) fn note(&mut self, head: u32, place: usize, id: u32) {
        if self.chunk(head).directory.is_none() {
            return;
        }
        let chunk = self.chunk(id);
        let (rows, first) = (chunk.rows, chunk.first());
        let listed = self.first(head, place);
        let first = (listed != Some(first)).then(|| Box::from(first));
        let mut grown = 0;
        if let Some(list) = &mut self.chunk_mut(head).directory {
            let part = &mut list.parts[place];
            part.rows = rows;
            if let Some(first) = first {
                let before = std::mem::replace(&mut part.first, first);
                grown = part.first.len().cast_signed() - before.len().cast_signed();
            }
        }
        self.heap_bytes = self.heap_bytes.saturating_add_signed(grown);
    }

    /// Notes that a chunk was split.
    pub(super) fn note_split(
        &mut self,
        head: u32,
        (place, id): (usize, u32),
        (number, new): (u32, u32),
    ) {
        let part = |chunk: &Chunk, number| Part {
            number,
            rows: chunk.rows,
            first: chunk.first().into(),
        };
        if self.chunk(head).directory.is_none() {
            let only = part(self.chunk(id), 0);
            self.heap_bytes += only.bytes();
            self.chunk_mut(head).directory = Some(Box::new(Directory {
                next_number: number,
                parts: vec![only],
            }));
        }
        self.note(head, place, id);
        let added = part(self.chunk(new), number);
        self.heap_bytes += added.bytes();
        if let Some(list) = &mut self.chunk_mut(head).directory {
            list.parts.insert(place + 1, added);
            list.next_number = number + 1;
        }
    }

    /// Strikes an empty chunk from the list.
    pub(super) fn strike(&mut self, head: u32, place: usize) {
        let Some(list) = &mut self.chunk_mut(head).directory else {
            return;
        };
        let struck = list.parts.remove(place);
        self.heap_bytes -= struck.bytes();
    }
}

impl Values for Chunks {
    fn resize(&mut self, len: usize) {
        column::resize_with(&mut self.chunks, len, Chunk::default);
    }

    fn clear(&mut self, id: u32) {
        let chunk = std::mem::take(self.chunk_mut(id));
        let lists = chunk.directory.iter().flat_map(|list| &list.parts);
        self.heap_bytes -= chunk.bytes.len() + lists.map(Part::bytes).sum::<usize>();
    }

    fn look_ahead(&self, ids: &[u32]) {
        let held = || ids.iter().filter_map(|id| self.chunks.get(*id as usize));
        let rows: usize = held().map(|chunk| chunk.bytes.len()).sum();
        let first = held().map(|chunk| chunk.bytes.first().copied().unwrap_or_default());
        std::hint::black_box(first.fold(rows, |sum, byte| sum.wrapping_add(byte.into())));
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        let chunk = self.chunk(id);
        match &chunk.directory {
            None => out.put_u32(0),
            Some(list) => {
                out.put_u32(list.next_number);
                out.put_u32(u32::try_from(list.parts.len()).unwrap_or(u32::MAX));
                for part in &list.parts {
                    out.put_u32(part.number);
                    out.put_u32(part.rows);
                    out.put_bytes(&part.first);
                }
            }
        }
        out.put_bytes(&chunk.bytes);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        let mut chunk = Chunk::default();
        let next_number = input.u32()?;
        if next_number > 0 {
            let count = input.u32()?;
            let mut parts = Vec::new();
            for _ in 0..count {
                parts.push(Part {
                    number: input.u32()?,
                    rows: input.u32()?,
                    first: input.bytes()?.into(),
                });
            }
            chunk.directory = Some(Box::new(Directory { next_number, parts }));
        }
        chunk.bytes = input.bytes()?.to_vec();
        let (bytes, rows) = chunk.iter().fold((0, 0), |(bytes, rows), entry| {
            (bytes + entry_bytes(entry), rows + 1)
        });
        if bytes != chunk.bytes.len() {
            return Err(Error::corrupt("ordered rows end in the middle of one"));
        }
        chunk.rows = rows;
        chunk.find_last();
        let lists = chunk.directory.iter().flat_map(|list| &list.parts);
        self.heap_bytes += chunk.bytes.len() + lists.map(Part::bytes).sum::<usize>();
        self.chunks[id as usize] = chunk;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Chunk>() + self.heap_bytes
    }

    fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }
}
