//! Rows of keys in an order.
//!
//! Place in the flow: operators that rank rows, look around them or join them by time keep them here, by partition. Invariant: the rows
//! of a partition lie in chunks, each in order; chunk 0 of a partition says which chunks there are and where in the order they begin,
//! and is written with every change, so that no chunk outlives it.
//!
//! Chunks keep small what a checkpoint writes and what an insertion moves: a partition with a million rows changes one chunk per row,
//! and the list of its chunks. A partition of a few rows is its chunk 0, one entry of state.

mod chunk;
mod look;

use std::ops::{Bound, Range};

use crate::error::Result;
use crate::state::group_table::NOT_HELD;
use crate::state::{ChunkKeys, KeyedTable, StateConfig, StateTable, Values, put_chunk_key};
use crate::time::EpochMillis;

use self::chunk::Chunks;

/// A key whose key group is known, as it comes from a part of it.
#[derive(Debug, Clone, Copy)]
pub struct PartitionKey<'a> {
    /// Canonical encoding.
    pub bytes: &'a [u8],
    /// Its key group.
    pub key_group: u32,
}

/// A partition that was found; it holds until rows are added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head(u32);

/// Rows by partition, in the order of their sort keys; rows that are equal in order stay as they came.
#[derive(Debug)]
pub struct OrderedRows {
    /// Chunks by partition and number.
    chunks: KeyedTable<Chunks>,
    /// The key of a chunk, kept for its memory.
    key: Vec<u8>,
    /// Ids of partitions, kept for their memory.
    ids: Vec<u32>,
}

impl OrderedRows {
    /// No rows; `number` tells the tables of an operator apart and never changes.
    pub fn new(number: u8, state: StateConfig) -> Self {
        Self {
            chunks: KeyedTable::new(number, Chunks::default(), state),
            key: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// The table of state.
    pub fn table(&mut self) -> &mut dyn StateTable {
        &mut self.chunks
    }

    /// Makes the key of a chunk.
    fn set_key(&mut self, partition: PartitionKey<'_>, number: u32) {
        self.key.clear();
        put_chunk_key(partition.bytes, number, &mut self.key);
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

    /// The chunk of a partition with a number, if it is held.
    fn chunk(
        &mut self,
        (partition, head): (PartitionKey<'_>, u32),
        number: u32,
        now_ms: EpochMillis,
    ) -> Result<Option<u32>> {
        match number {
            0 => Ok(Some(head)),
            number => self.find(partition, number, now_ms),
        }
    }

    /// The partitions of some keys of a batch, in their order; absent for those without rows.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read, as all functions here.
    pub fn find_partitions(
        &mut self,
        keys: (&ChunkKeys, Range<usize>),
        now_ms: EpochMillis,
        heads: &mut Vec<Option<Head>>,
    ) -> Result<()> {
        let mut ids = std::mem::take(&mut self.ids);
        self.chunks
            .find_all((keys.0.keys(), keys.1), now_ms, &mut ids)?;
        heads.clear();
        heads.extend(ids.iter().map(|id| (*id != NOT_HELD).then_some(Head(*id))));
        self.ids = ids;
        Ok(())
    }

    /// The partition of a key that was looked up before, which gets a row now with [`Self::insert_in`].
    ///
    /// # Errors
    /// As [`Self::find_partitions`].
    pub fn open_partition(
        &mut self,
        partition: PartitionKey<'_>,
        found: Option<Head>,
        now_ms: EpochMillis,
    ) -> Result<Head> {
        if let Some(Head(head)) = found {
            self.chunks.touch(head, now_ms);
            return Ok(Head(head));
        }
        Ok(Head(self.upsert(partition, 0, now_ms)?.0))
    }

    /// Adds a row behind all that are not after it; whether it is the first of its partition.
    ///
    /// # Errors
    /// As [`Self::find_partitions`].
    pub fn insert(
        &mut self,
        partition: PartitionKey<'_>,
        row: (&[u8], &[u8]),
        now_ms: EpochMillis,
    ) -> Result<bool> {
        let (head, is_new) = self.upsert(partition, 0, now_ms)?;
        self.insert_in((partition, Head(head)), row, now_ms)?;
        Ok(is_new)
    }

    /// As [`Self::insert`], into a partition that was opened.
    ///
    /// # Errors
    /// As there.
    pub fn insert_in(
        &mut self,
        (partition, Head(head)): (PartitionKey<'_>, Head),
        (sort, row): (&[u8], &[u8]),
        now_ms: EpochMillis,
    ) -> Result<()> {
        let (place, number) = self.chunks.values().place_for(head, sort);
        let id = match number {
            0 => head,
            number => self.upsert(partition, number, now_ms)?.0,
        };
        let chunks = self.chunks.values_mut();
        if chunks.is_full(id) {
            return self.split(partition, (head, place, id), (sort, row), now_ms);
        }
        chunks.insert(id, (sort, row));
        chunks.note(head, place, id);
        Ok(())
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
            let Some(id) = self.chunk((partition, head), number, now_ms)? else {
                continue;
            };
            let Some(found) = self.chunks.values().position(id, (sort, row)) else {
                continue;
            };
            self.touch_chunks((head, id), now_ms);
            self.chunks.values_mut().remove(id, found);
            self.settle((head, place), id)?;
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
            let Some(id) = self.chunk((partition, head), number, now_ms)? else {
                continue;
            };
            let Some(found) = self.chunks.values().position(id, (sort, old)) else {
                continue;
            };
            self.touch_chunks((head, id), now_ms);
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
        until: (Bound<&[u8]>, usize),
        now_ms: EpochMillis,
        mut show: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let mut removed = 0;
        if let Some(head) = self.find_partition(partition, now_ms)? {
            self.drain_in((partition, head), until, now_ms, |sort, row| {
                removed += 1;
                show(sort, row);
            })?;
        }
        Ok(removed)
    }

    /// As [`Self::drain_until`], of a partition that was found; the partition, if rows are left.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn drain_in(
        &mut self,
        (partition, Head(head)): (PartitionKey<'_>, Head),
        (until, limit): (Bound<&[u8]>, usize),
        now_ms: EpochMillis,
        mut show: impl FnMut(&[u8], &[u8]),
    ) -> Result<Option<Head>> {
        let mut removed = 0;
        while self.chunks.values().len(head) > 0 {
            let number = self.chunks.values().number(head, 0);
            let rows = self.chunks.values().rows(head, 0);
            let Some(id) = self.chunk((partition, head), number, now_ms)? else {
                if self.forget_expired((head, 0), now_ms)? {
                    return Ok(None);
                }
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
            self.touch_chunks((head, id), now_ms);
            self.chunks.values_mut().remove_first(id, end);
            removed += count;
            if self.settle((head, 0), id)? {
                return Ok(None);
            }
            if count < rows {
                break;
            }
        }
        Ok(Some(Head(head)))
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
        let Some(head) = self.find(partition, 0, now_ms)? else {
            return Ok(0);
        };
        let mut taken = 0;
        while taken < limit && self.chunks.values().len(head) > 0 {
            let number = self.chunks.values().number(head, 0);
            let Some(id) = self.chunk((partition, head), number, now_ms)? else {
                if self.forget_expired((head, 0), now_ms)? {
                    break;
                }
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
            self.touch_chunks((head, id), now_ms);
            self.chunks.values_mut().remove_first(id, end);
            taken += count;
            if self.settle((head, 0), id)? || !is_whole {
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
        match self.find_partition(partition, now_ms)? {
            Some(head) => self.truncate_in((partition, head), len, now_ms),
            None => Ok(()),
        }
    }

    /// As [`Self::truncate`], of a partition that was found.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn truncate_in(
        &mut self,
        (partition, Head(head)): (PartitionKey<'_>, Head),
        len: usize,
        now_ms: EpochMillis,
    ) -> Result<()> {
        loop {
            let chunks = self.chunks.values();
            let excess = chunks.total(head).saturating_sub(len);
            let Some(place) = chunks.len(head).checked_sub(1).filter(|_| excess > 0) else {
                return Ok(());
            };
            let (number, rows) = (chunks.number(head, place), chunks.rows(head, place));
            let is_gone = match self.chunk((partition, head), number, now_ms)? {
                None => self.forget_expired((head, place), now_ms)?,
                Some(id) => {
                    self.touch_chunks((head, id), now_ms);
                    let kept = rows.saturating_sub(excess);
                    self.chunks.values_mut().truncate(id, kept);
                    self.settle((head, place), id)?
                }
            };
            if is_gone {
                return Ok(());
            }
        }
    }

    /// Says that a head and one of its chunks are about to be changed. The head is written with every change, so that it lives as long as
    /// what it lists.
    fn touch_chunks(&mut self, (head, id): (u32, u32), now_ms: EpochMillis) {
        self.chunks.touch(head, now_ms);
        if id != head {
            self.chunks.touch(id, now_ms);
        }
    }

    /// Notes what is left in a chunk that has lost rows; whether the partition is gone with its last row.
    fn settle(&mut self, (head, place): (u32, usize), id: u32) -> Result<bool> {
        let chunks = self.chunks.values_mut();
        if !chunks.is_empty(id) {
            chunks.note(head, place, id);
            return Ok(false);
        }
        if id != head {
            self.chunks.remove(id)?;
        }
        self.forget((head, place))
    }

    /// Strikes a chunk whose state has expired from the list; whether the partition is gone with it.
    fn forget_expired(&mut self, (head, place): (u32, usize), now_ms: EpochMillis) -> Result<bool> {
        self.chunks.touch(head, now_ms);
        self.forget((head, place))
    }

    /// Strikes an empty chunk from the list, and the partition with its last row; whether that is gone. Removing a chunk leaves the ids of
    /// others as they are.
    fn forget(&mut self, (head, place): (u32, usize)) -> Result<bool> {
        let chunks = self.chunks.values_mut();
        chunks.strike(head, place);
        let is_gone = chunks.len(head) == 0;
        if is_gone {
            self.chunks.remove(head)?;
        }
        Ok(is_gone)
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
            if let Some(id) = self.chunk((partition, head), number, now_ms)? {
                self.chunks.touch(id, now_ms);
            }
        }
        self.chunks.touch(head, now_ms);
        Ok(())
    }

    /// Forgets a partition.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn clear(&mut self, partition: PartitionKey<'_>, now_ms: EpochMillis) -> Result<()> {
        self.remove_until(partition, Bound::Unbounded, now_ms)
            .map(drop)
    }
}

#[cfg(test)]
mod tests;
