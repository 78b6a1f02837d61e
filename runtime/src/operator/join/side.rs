//! The rows that one input of a join has brought so far.
//!
//! Place in the flow: a join adds and takes away the rows of a batch on its own side and looks the other side up. Invariant: the
//! rows of a key lie in chunks 0, 1, 2, ... of which chunk 0 says how many there are; a row's hash says in which one it is; chunk 0 is
//! written with every change of its key, so that no chunk outlives it. A key without rows has no chunks.
//!
//! Chunks keep changes of a hot key small: of a million rows the one chunk is searched and written where the row is, and chunk 0. A key
//! gets its chunks one by one as linear hashing does: the next one takes a part of the rows of one chunk, and gives them back when the key
//! shrinks. With a TTL each row has its time, so that a row is forgotten in time whatever happens to the other rows of its key.

use std::ops::Range;

use crate::error::Result;
use crate::operator::join::chunks::{CHUNKS_MAX, Layout, RowChunks, StoredRow, row_hash};
use crate::state::{ChunkKeys, KeyedTable, StateConfig, StateTable, put_chunk_key};
use crate::time::EpochMillis;

/// The rows of one input by join key.
#[derive(Debug)]
pub(super) struct JoinSide {
    /// Chunks by join key and number.
    chunks: KeyedTable<RowChunks>,
    /// Time after which a row that was not written is forgotten, milliseconds.
    ttl_ms: Option<i64>,
    /// The key of a chunk, kept for its memory.
    key: Vec<u8>,
    /// Ids of chunks, kept for their memory.
    ids: Vec<u32>,
}

/// A join key and its key group.
#[derive(Debug, Clone, Copy)]
pub(super) struct JoinKey<'a> {
    /// Canonical encoding.
    pub(super) bytes: &'a [u8],
    /// Its key group.
    pub(super) key_group: u32,
}

/// What a change of a row does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyChange {
    /// It has rows as before, or has none as before.
    Same,
    /// It has its first row.
    Opened,
    /// Its last row is gone.
    Closed,
}

impl KeyChange {
    /// What a row does to a key that was there before, or was not.
    fn of_first(is_new: bool) -> Self {
        if is_new { Self::Opened } else { Self::Same }
    }
}

impl JoinSide {
    /// No rows; with each row it is kept how many rows of the other input it has met if `counts` says so.
    pub(super) fn new(table: u8, counts: Counts, state: StateConfig) -> Self {
        let ttl_ms = state.ttl_ms;
        let layout = Layout {
            times: ttl_ms.is_some(),
            associations: counts == Counts::PerRow,
        };
        Self {
            chunks: KeyedTable::new(table, RowChunks::new(layout), state),
            ttl_ms,
            key: Vec::new(),
            ids: Vec::new(),
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

    /// The moment up to which rows that were last written are forgotten.
    pub(super) fn expired_ms(&self, now_ms: EpochMillis) -> EpochMillis {
        let ttl = self.ttl_ms.map(|ttl_ms| now_ms.saturating_sub(ttl_ms));
        ttl.unwrap_or(EpochMillis::MIN)
    }

    /// Makes the key of a chunk.
    fn set_key(&mut self, key: JoinKey<'_>, number: u32) {
        self.key.clear();
        put_chunk_key(key.bytes, number, &mut self.key);
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

    /// The chunks 0 of some keys of a batch, `NOT_HELD` for those without rows.
    pub(super) fn find_all(
        &mut self,
        keys: (&ChunkKeys, Range<usize>),
        now_ms: EpochMillis,
        firsts: &mut Vec<u32>,
    ) -> Result<()> {
        self.chunks
            .find_all((keys.0.keys(), keys.1), now_ms, firsts)
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

    /// Adds a row that has met `associations` rows of the other input.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read, as all changes.
    pub(super) fn add(
        &mut self,
        key: JoinKey<'_>,
        (row, associations): (&[u8], u64),
        now_ms: EpochMillis,
    ) -> Result<KeyChange> {
        let (first, is_new) = self.upsert(key, 0, now_ms)?;
        self.add_to((key, first), (row, associations), now_ms)?;
        Ok(KeyChange::of_first(is_new))
    }

    /// Adds rows of a batch, which are those at some places, and tells what each of them does to its key.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub(super) fn add_all<'a>(
        &mut self,
        (keys, places): (&ChunkKeys, &[usize]),
        row: impl Fn(usize) -> (JoinKey<'a>, &'a [u8]),
        now_ms: EpochMillis,
        mut on_change: impl FnMut(usize, KeyChange),
    ) -> Result<()> {
        let (mut firsts, mut new) = (std::mem::take(&mut self.ids), Vec::new());
        let rows = places.iter().copied();
        self.chunks
            .upsert_some((keys.keys(), rows), now_ms, &mut firsts, |id| new.push(id))?;
        let mut new = new.into_iter().peekable();
        for (place, first) in places.iter().zip(&firsts) {
            let (key, row) = row(*place);
            let is_new = new.next_if_eq(first).is_some();
            self.add_to((key, *first), (row, 0), now_ms)?;
            on_change(*place, KeyChange::of_first(is_new));
        }
        self.ids = firsts;
        Ok(())
    }

    /// Adds a row to a key whose chunk 0 is about to be changed.
    fn add_to(
        &mut self,
        (key, first): (JoinKey<'_>, u32),
        (row, associations): (&[u8], u64),
        now_ms: EpochMillis,
    ) -> Result<()> {
        self.sort_by_hash(key, first, now_ms)?;
        let count = self.chunks.values().chunks_of(first);
        let id = match chunk_of(row, count) {
            0 => first,
            number => self.upsert(key, number, now_ms)?.0,
        };
        let expired_ms = self.expired_ms(now_ms);
        let rows = self.chunks.values_mut();
        rows.forget_until(id, expired_ms);
        rows.add(
            id,
            StoredRow {
                row,
                count: 1,
                written_ms: now_ms,
                associations,
            },
        );
        if rows.is_full(id) {
            self.split(key, first, now_ms)?;
        }
        Ok(())
    }

    /// Puts the rows of a key of an old checkpoint, which are in their chunks as they came, where their hashes say.
    fn sort_by_hash(&mut self, key: JoinKey<'_>, first: u32, now_ms: EpochMillis) -> Result<()> {
        let rows = self.chunks.values();
        if !rows.is_by_arrival(first) {
            return Ok(());
        }
        let count = rows.chunks_of(first);
        self.chunks.touch(first, now_ms);
        let mut taken = self.chunks.values_mut().drain(first);
        for number in 1..count {
            if let Some(id) = self.find(key, number, now_ms)? {
                taken.extend(self.chunks.values_mut().drain(id));
                self.chunks.remove(id)?;
            }
        }
        let held: Vec<StoredRow<'_>> = self.chunks.values().drained(&taken).collect();
        for row in held {
            let count = self.chunks.values().chunks_of(first);
            let id = match chunk_of(row.row, count) {
                0 => first,
                number => self.upsert(key, number, now_ms)?.0,
            };
            let rows = self.chunks.values_mut();
            rows.add(id, row);
            if rows.is_full(id) {
                self.split(key, first, now_ms)?;
            }
        }
        Ok(())
    }

    /// Gives a key one more chunk, with a part of the rows of the chunk whose turn it is, if they are many.
    fn split(&mut self, key: JoinKey<'_>, first: u32, now_ms: EpochMillis) -> Result<()> {
        let count = self.chunks.values().chunks_of(first);
        let (number, bit) = origin(count);
        let Some(from) = self.find(key, number, now_ms)? else {
            return Ok(());
        };
        if count == CHUNKS_MAX || self.chunks.values().fit_together(&[from]) {
            return Ok(());
        }
        self.chunks.touch(from, now_ms);
        let (to, _) = self.upsert(key, count, now_ms)?;
        let rows = self.chunks.values_mut();
        rows.split(from, to, bit);
        rows.set_chunks(first, count + 1);
        Ok(())
    }

    /// Takes a row away; one that is not held, since its state has expired, is none.
    pub(super) fn remove(
        &mut self,
        key: JoinKey<'_>,
        row: &[u8],
        now_ms: EpochMillis,
    ) -> Result<KeyChange> {
        let Some(first) = self.find(key, 0, now_ms)? else {
            return Ok(KeyChange::Same);
        };
        self.sort_by_hash(key, first, now_ms)?;
        let number = chunk_of(row, self.chunks.values().chunks_of(first));
        let id = if number == 0 {
            Some(first)
        } else {
            self.find(key, number, now_ms)?
        };
        let place = id.and_then(|id| Some((id, self.chunks.values().position(id, row)?)));
        let Some((id, start)) = place else {
            return Ok(KeyChange::Same);
        };
        self.chunks.touch(first, now_ms);
        self.chunks.touch(id, now_ms);
        let expired_ms = self.expired_ms(now_ms);
        let rows = self.chunks.values_mut();
        let is_gone = rows.take_one(id, start);
        rows.forget_until(id, expired_ms);
        if !is_gone {
            return Ok(KeyChange::Same);
        }
        self.shrink(key, first, now_ms)
    }

    /// Takes chunks back that are not needed any more, and the key with its last row.
    fn shrink(&mut self, key: JoinKey<'_>, first: u32, now_ms: EpochMillis) -> Result<KeyChange> {
        let mut count = self.chunks.values().chunks_of(first);
        while count > 1 {
            let (number, _) = origin(count - 1);
            let from = self.find(key, count - 1, now_ms)?;
            let to = self.find(key, number, now_ms)?;
            let ids: Vec<u32> = from.into_iter().chain(to).collect();
            if !self.chunks.values().fit_together(&ids) {
                break;
            }
            if let Some(from) = from {
                let to = match to {
                    Some(to) => to,
                    None => self.upsert(key, number, now_ms)?.0,
                };
                self.chunks.touch(from, now_ms);
                self.chunks.touch(to, now_ms);
                self.chunks.values_mut().merge(from, to);
                self.chunks.remove(from)?;
            }
            count -= 1;
            self.chunks.values_mut().set_chunks(first, count);
        }
        if count == 1 && self.chunks.values().is_empty(first) {
            self.chunks.remove(first)?;
            return Ok(KeyChange::Closed);
        }
        Ok(KeyChange::Same)
    }

    /// Notes how many rows of the other input the row at a place has met.
    pub(super) fn associate(&mut self, place: RowPlace, associations: u64, now_ms: EpochMillis) {
        self.chunks.touch(place.first, now_ms);
        self.chunks.touch(place.id, now_ms);
        let rows = self.chunks.values_mut();
        rows.set_associations(place.id, place.start, associations, now_ms);
    }
}

/// Whether it is kept with each row how many rows of the other input it has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// It is not needed, or derived from whether the other side has the key.
    Derived,
    /// It is.
    PerRow,
}

/// Where a row of the present call lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPlace {
    /// Chunk 0 of its key.
    pub(super) first: u32,
    /// Its chunk.
    pub(super) id: u32,
    /// Its first byte in the chunk.
    pub(super) start: usize,
}

/// The chunk that a row lies in when its key has `count` chunks.
fn chunk_of(row: &[u8], count: u32) -> u32 {
    if count == 1 {
        return 0;
    }
    let (_, bit) = origin(count);
    let number = row_hash(row) & (2 * bit - 1);
    let number = if number < u64::from(count) {
        number
    } else {
        number - bit
    };
    u32::try_from(number).unwrap_or_default()
}

/// The chunk that chunk `number`, which is not 0, gets its rows from, and the bit of the hash that those have set.
fn origin(number: u32) -> (u32, u64) {
    let bit = 1 << number.ilog2();
    (number - bit, u64::from(bit))
}

#[cfg(test)]
mod tests;
