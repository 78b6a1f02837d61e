//! Rows of keys in an order.
//!
//! Place in the flow: operators that rank rows, look around them or join them by time keep them here, by partition. Invariant: the rows
//! of a partition lie in chunks, each in order; chunk 0 of a partition says which chunks there are and where in the order they begin,
//! and is written with every change, so that no chunk outlives it.
//!
//! Chunks keep small what a checkpoint writes and what an insertion moves: a partition with a million rows changes one chunk per row,
//! and the list of its chunks. A partition of a few rows is its chunk 0, one entry of state.

mod chunk;

use std::ops::{Bound, ControlFlow, RangeBounds};

use crate::error::Result;
use crate::state::{KeyedTable, StateConfig, StateTable, Values};
use crate::time::EpochMillis;

use self::chunk::{Chunks, is_within};

/// A key whose key group is known, as it comes from a part of it.
#[derive(Debug, Clone, Copy)]
pub struct PartitionKey<'a> {
    /// Canonical encoding.
    pub bytes: &'a [u8],
    /// Its key group.
    pub key_group: u32,
}

/// A partition that was found; it holds until rows are added or taken away.
#[derive(Debug, Clone, Copy)]
pub struct Head(u32);

/// Rows by partition, in the order of their sort keys; rows that are equal in order stay as they came.
#[derive(Debug)]
pub struct OrderedRows {
    /// Chunks by partition and number.
    chunks: KeyedTable<Chunks>,
    /// The key of a chunk, kept for its memory.
    key: Vec<u8>,
}

impl OrderedRows {
    /// No rows; `number` tells the tables of an operator apart and never changes.
    pub fn new(number: u8, state: StateConfig) -> Self {
        Self {
            chunks: KeyedTable::new(number, Chunks::default(), state),
            key: Vec::new(),
        }
    }

    /// The table of state.
    pub fn table(&mut self) -> &mut dyn StateTable {
        &mut self.chunks
    }

    /// Makes the key of a chunk.
    fn set_key(&mut self, partition: PartitionKey<'_>, number: u32) {
        self.key.clear();
        self.key.extend_from_slice(partition.bytes);
        // Big-endian, so that the chunks of a partition follow one another wherever keys are sorted.
        self.key.extend_from_slice(&number.to_be_bytes());
    }

    /// The id of a chunk, if it is held.
    fn find(
        &mut self,
        partition: PartitionKey<'_>,
        number: u32,
        now_ms: EpochMillis,
    ) -> Result<Option<u32>> {
        self.set_key(partition, number);
        self.chunks.find_in(&self.key, partition.key_group, now_ms)
    }

    /// The id of a chunk that is about to be changed, and whether it is new.
    fn upsert(
        &mut self,
        partition: PartitionKey<'_>,
        number: u32,
        now_ms: EpochMillis,
    ) -> Result<(u32, bool)> {
        self.set_key(partition, number);
        self.chunks
            .upsert_in(&self.key, partition.key_group, now_ms)
    }

    /// Adds a row behind all that are not after it; whether it is the first of its partition.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read, as all functions here.
    pub fn insert(
        &mut self,
        partition: PartitionKey<'_>,
        (sort, row): (&[u8], &[u8]),
        now_ms: EpochMillis,
    ) -> Result<bool> {
        let (head, is_new) = self.upsert(partition, 0, now_ms)?;
        let (place, number) = self.chunks.values().place_for(head, sort);
        let id = match number {
            0 => head,
            number => self.upsert(partition, number, now_ms)?.0,
        };
        let chunks = self.chunks.values_mut();
        if chunks.is_full(id) {
            self.split(partition, (head, place, id), (sort, row), now_ms)?;
            return Ok(false);
        }
        chunks.insert(id, (sort, row));
        chunks.note(head, place, id);
        Ok(is_new)
    }

    /// Adds a row to a full chunk: a new chunk takes what comes after the middle, or the row alone when it comes last.
    fn split(
        &mut self,
        partition: PartitionKey<'_>,
        (head, place, id): (u32, usize, u32),
        (sort, row): (&[u8], &[u8]),
        now_ms: EpochMillis,
    ) -> Result<()> {
        let number = self.chunks.values().next_number(head)?;
        let (new, _) = self.upsert(partition, number, now_ms)?;
        let chunks = self.chunks.values_mut();
        chunks.clear(new);
        let goes_last = chunks.goes_last(id, sort);
        if !goes_last {
            chunks.move_half(id, new);
        }
        let target = if goes_last || chunks.is_from(new, sort) {
            new
        } else {
            id
        };
        chunks.insert(target, (sort, row));
        chunks.note_split(head, (place, id), (number, new));
        Ok(())
    }

    /// Takes away the first row that is equal in order and in itself; whether there was one.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn remove(
        &mut self,
        partition: PartitionKey<'_>,
        (sort, row): (&[u8], &[u8]),
        now_ms: EpochMillis,
    ) -> Result<bool> {
        let Some(head) = self.find(partition, 0, now_ms)? else {
            return Ok(false);
        };
        for place in self.chunks.values().places_with(head, sort) {
            let number = self.chunks.values().number(head, place);
            let Some(id) = self.find(partition, number, now_ms)? else {
                continue;
            };
            let Some(found) = self.chunks.values().position(id, (sort, row)) else {
                continue;
            };
            let (head, _) = self.upsert(partition, 0, now_ms)?;
            let (id, _) = self.upsert(partition, number, now_ms)?;
            self.chunks.values_mut().remove(id, found);
            self.settle(partition, (head, place), id, now_ms)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Puts a row in the place of one that is equal to it in order: the first that is equal to `old`; whether there was one.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn replace(
        &mut self,
        partition: PartitionKey<'_>,
        (sort, old, new): (&[u8], &[u8], &[u8]),
        now_ms: EpochMillis,
    ) -> Result<bool> {
        let Some(head) = self.find(partition, 0, now_ms)? else {
            return Ok(false);
        };
        for place in self.chunks.values().places_with(head, sort) {
            let number = self.chunks.values().number(head, place);
            let Some(id) = self.find(partition, number, now_ms)? else {
                continue;
            };
            let Some(found) = self.chunks.values().position(id, (sort, old)) else {
                continue;
            };
            // The head is written with every change, so that it lives as long as what it lists.
            self.upsert(partition, 0, now_ms)?;
            let (id, _) = self.upsert(partition, number, now_ms)?;
            self.chunks.values_mut().replace(id, found, (sort, new));
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes away the rows whose sort keys come before a bound; how many there were.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn remove_until(
        &mut self,
        partition: PartitionKey<'_>,
        until: Bound<&[u8]>,
        now_ms: EpochMillis,
    ) -> Result<usize> {
        self.drain_until(partition, (until, usize::MAX), now_ms, |_, _| ())
    }

    /// Takes away the rows whose sort keys come before a bound, the first ones up to a limit, and shows each of them; how many there were.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn drain_until(
        &mut self,
        partition: PartitionKey<'_>,
        (until, limit): (Bound<&[u8]>, usize),
        now_ms: EpochMillis,
        mut show: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let mut removed = 0;
        while let Some(head) = self.find(partition, 0, now_ms)? {
            let (number, rows) = match self.chunks.values().len(head) {
                0 => break,
                _ => (
                    self.chunks.values().number(head, 0),
                    self.chunks.values().rows(head, 0),
                ),
            };
            let Some(id) = self.find(partition, number, now_ms)? else {
                // Its state has expired.
                let (head, _) = self.upsert(partition, 0, now_ms)?;
                self.forget(partition, (head, 0), now_ms)?;
                continue;
            };
            let chunks = self.chunks.values();
            let (end, count) = chunks.end_of(id, (until, limit - removed));
            if count == 0 {
                break;
            }
            chunks
                .iter(id)
                .take(count)
                .for_each(|(sort, row)| show(sort, row));
            let (head, _) = self.upsert(partition, 0, now_ms)?;
            let (id, _) = self.upsert(partition, number, now_ms)?;
            self.chunks.values_mut().remove_first(id, end);
            removed += count;
            self.settle(partition, (head, 0), id, now_ms)?;
            if count < rows {
                break;
            }
        }
        Ok(removed)
    }

    /// Takes the first rows whose sort keys come before a bound, about `limit` of them, and shows each; how many there were.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn take_first(
        &mut self,
        partition: PartitionKey<'_>,
        (until, limit): (Bound<&[u8]>, usize),
        now_ms: EpochMillis,
        mut visit: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let mut taken = 0;
        while taken < limit
            && let Some(head) = self.find(partition, 0, now_ms)?
            && self.chunks.values().len(head) > 0
        {
            let number = self.chunks.values().number(head, 0);
            let Some(id) = self.find(partition, number, now_ms)? else {
                // Its state has expired.
                let (head, _) = self.upsert(partition, 0, now_ms)?;
                self.forget(partition, (head, 0), now_ms)?;
                continue;
            };
            let chunks = self.chunks.values();
            let (end, count) = chunks.end_of(id, (until, usize::MAX));
            if count == 0 {
                break;
            }
            let is_whole = count == chunks.rows(head, 0);
            let rows = chunks.iter(id).take(count);
            rows.for_each(|(sort, row)| visit(sort, row));
            let (head, _) = self.upsert(partition, 0, now_ms)?;
            let (id, _) = self.upsert(partition, number, now_ms)?;
            self.chunks.values_mut().remove_first(id, end);
            taken += count;
            self.settle(partition, (head, 0), id, now_ms)?;
            if !is_whole {
                break;
            }
        }
        Ok(taken)
    }

    /// Takes away the last rows, so that at most `len` are left.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn truncate(
        &mut self,
        partition: PartitionKey<'_>,
        len: usize,
        now_ms: EpochMillis,
    ) -> Result<()> {
        while let Some(head) = self.find(partition, 0, now_ms)? {
            let chunks = self.chunks.values();
            let excess = chunks.total(head).saturating_sub(len);
            let Some(place) = chunks.len(head).checked_sub(1).filter(|_| excess > 0) else {
                break;
            };
            let (number, rows) = (chunks.number(head, place), chunks.rows(head, place));
            let found = self.find(partition, number, now_ms)?;
            let (head, _) = self.upsert(partition, 0, now_ms)?;
            if found.is_none() {
                // Its state has expired.
                self.forget(partition, (head, place), now_ms)?;
                continue;
            }
            let (id, _) = self.upsert(partition, number, now_ms)?;
            let kept = rows.saturating_sub(excess);
            self.chunks.values_mut().truncate(id, kept);
            self.settle(partition, (head, place), id, now_ms)?;
        }
        Ok(())
    }

    /// Notes what is left in a chunk that has lost rows.
    fn settle(
        &mut self,
        partition: PartitionKey<'_>,
        (head, place): (u32, usize),
        id: u32,
        now_ms: EpochMillis,
    ) -> Result<()> {
        let chunks = self.chunks.values_mut();
        if !chunks.is_empty(id) {
            chunks.note(head, place, id);
            return Ok(());
        }
        if id != head {
            self.chunks.remove(id)?;
        }
        self.forget(partition, (head, place), now_ms)
    }

    /// Strikes an empty chunk from the list, and the partition with its last row.
    fn forget(
        &mut self,
        partition: PartitionKey<'_>,
        (head, place): (u32, usize),
        now_ms: EpochMillis,
    ) -> Result<()> {
        // Removing a chunk leaves the ids of others as they are.
        let chunks = self.chunks.values_mut();
        chunks.strike(head, place);
        if chunks.len(head) == 0
            && let Some(head) = self.find(partition, 0, now_ms)?
        {
            self.chunks.remove(head)?;
        }
        Ok(())
    }

    /// Lets the rows of a partition live on for the TTL as if they were written now.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn touch(&mut self, partition: PartitionKey<'_>, now_ms: EpochMillis) -> Result<()> {
        let Some(head) = self.find(partition, 0, now_ms)? else {
            return Ok(());
        };
        for place in 0..self.chunks.values().len(head) {
            let number = self.chunks.values().number(head, place);
            if self.find(partition, number, now_ms)?.is_some() {
                self.upsert(partition, number, now_ms)?;
            }
        }
        self.upsert(partition, 0, now_ms).map(drop)
    }

    /// Forgets a partition.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn clear(&mut self, partition: PartitionKey<'_>, now_ms: EpochMillis) -> Result<()> {
        self.remove_until(partition, Bound::Unbounded, now_ms)
            .map(drop)
    }

    /// A partition, if it has rows.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn find_partition(
        &mut self,
        partition: PartitionKey<'_>,
        now_ms: EpochMillis,
    ) -> Result<Option<Head>> {
        Ok(self.find(partition, 0, now_ms)?.map(Head))
    }

    /// The sort key of the first row of a partition.
    pub fn first_of(&self, Head(head): Head) -> Option<&[u8]> {
        self.chunks.values().first(head, 0)
    }

    /// Rows of a partition. Rows of chunks whose state has expired may be among them.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn len(&mut self, partition: PartitionKey<'_>, now_ms: EpochMillis) -> Result<usize> {
        let head = self.find(partition, 0, now_ms)?;
        Ok(head.map_or(0, |head| self.chunks.values().total(head)))
    }

    /// The row at a place in the order, from 0 on: sort key and row.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn nth(
        &mut self,
        partition: PartitionKey<'_>,
        place: usize,
        now_ms: EpochMillis,
    ) -> Result<Option<(&[u8], &[u8])>> {
        let Some(head) = self.find(partition, 0, now_ms)? else {
            return Ok(None);
        };
        let Some((number, rest)) = self.chunks.values().chunk_of(head, place) else {
            return Ok(None);
        };
        let Some(id) = self.find(partition, number, now_ms)? else {
            return Ok(None);
        };
        Ok(self.chunks.values().iter(id).nth(rest))
    }

    /// Rows that come before a sort key, or not after it.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn count_until(
        &mut self,
        partition: PartitionKey<'_>,
        until: Bound<&[u8]>,
        now_ms: EpochMillis,
    ) -> Result<usize> {
        let Some(head) = self.find(partition, 0, now_ms)? else {
            return Ok(0);
        };
        let mut count = 0;
        for place in 0..self.chunks.values().len(head) {
            let chunks = self.chunks.values();
            // Rows of a chunk come before the first of the next one, or are equal to it.
            if chunks
                .first(head, place + 1)
                .is_some_and(|next| is_within(next, until))
            {
                count += chunks.rows(head, place);
                continue;
            }
            let number = chunks.number(head, place);
            if let Some(id) = self.find(partition, number, now_ms)? {
                count += self.chunks.values().end_of(id, (until, usize::MAX)).1;
            }
            break;
        }
        Ok(count)
    }

    /// Shows the rows within bounds in order, sort key and row, until `visit` breaks; nothing is to be changed meanwhile.
    ///
    /// # Errors
    /// As [`Self::insert`], and what `visit` returns.
    pub fn visit<'k>(
        &mut self,
        partition: PartitionKey<'_>,
        range: impl RangeBounds<&'k [u8]>,
        now_ms: EpochMillis,
        visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        match self.find_partition(partition, now_ms)? {
            Some(head) => self.visit_in((partition, head), range, now_ms, visit),
            None => Ok(()),
        }
    }

    /// As [`Self::visit`], for a partition that was found.
    ///
    /// # Errors
    /// As [`Self::visit`].
    pub fn visit_in<'k>(
        &mut self,
        (partition, Head(head)): (PartitionKey<'_>, Head),
        range: impl RangeBounds<&'k [u8]>,
        now_ms: EpochMillis,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let first = match range.start_bound() {
            Bound::Unbounded => 0,
            Bound::Included(sort) | Bound::Excluded(sort) => {
                self.chunks.values().places_with(head, sort).start
            }
        };
        let end = range.end_bound().cloned();
        for place in first..self.chunks.values().len(head) {
            let chunks = self.chunks.values();
            if chunks
                .first(head, place)
                .is_some_and(|first| !is_within(first, end))
            {
                break;
            }
            let number = chunks.number(head, place);
            let Some(id) = self.find(partition, number, now_ms)? else {
                continue;
            };
            for (sort, row) in self.chunks.values().iter(id) {
                if range.contains(&sort) && visit(sort, row)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Shows the rows within bounds from the last to the first, as [`Self::visit`].
    ///
    /// # Errors
    /// As [`Self::visit`].
    pub fn visit_back<'k>(
        &mut self,
        partition: PartitionKey<'_>,
        range: impl RangeBounds<&'k [u8]>,
        now_ms: EpochMillis,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let Some(head) = self.find(partition, 0, now_ms)? else {
            return Ok(());
        };
        let end = match range.end_bound() {
            Bound::Unbounded => self.chunks.values().len(head),
            Bound::Included(sort) | Bound::Excluded(sort) => {
                self.chunks.values().places_with(head, sort).end
            }
        };
        for place in (0..end).rev() {
            let number = self.chunks.values().number(head, place);
            if let Some(id) = self.find(partition, number, now_ms)? {
                let rows: Vec<_> = self.chunks.values().iter(id).collect();
                for (sort, row) in rows.into_iter().rev() {
                    if range.contains(&sort) && visit(sort, row)?.is_break() {
                        return Ok(());
                    }
                }
            }
            // Rows before this chunk come before its first row, or are equal to it.
            let first = self.chunks.values().first(head, place);
            let is_over = match range.start_bound() {
                Bound::Unbounded => false,
                Bound::Included(start) => first.is_some_and(|first| first < *start),
                Bound::Excluded(start) => first.is_some_and(|first| first <= *start),
            };
            if is_over {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
