//! Keys to dense group ids.
//!
//! Place in the flow: aggregations look the keys of a batch up and index their accumulators by the ids. Invariant: an id stays
//! with its key until it is removed; removed ids are used again.

use std::mem::size_of;

use hashbrown::HashTable;

use crate::error::{Error, Result};

/// A hash table from encoded keys to dense ids.
#[derive(Debug, Default)]
pub struct GroupTable {
    /// Ids by key.
    ids: HashTable<u32>,
    /// Encoded keys back to back; removed ones stay until [`Self::compact`].
    arena: Vec<u8>,
    /// Place of each id's key in the arena; `len` is `u32::MAX` for a removed id.
    places: Vec<Place>,
    /// Hash of each id's key.
    hashes: Vec<u64>,
    /// Removed ids.
    free: Vec<u32>,
    /// Bytes of the arena that no key uses.
    waste_bytes: usize,
}

/// A key's place in the arena.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// First byte.
    start: usize,
    /// Bytes.
    len: u32,
}

/// The length that marks a removed id.
const REMOVED: u32 = u32::MAX;

/// Waste below which compaction is not worth the copy: one mebibyte (guess, unmeasured).
const COMPACT_WASTE_BYTES_MIN: usize = 1 << 20;

/// The hash that the table uses: other bits than those that chose the key group, so that a subtask that owns few key groups
/// still spreads its keys over all buckets.
fn table_hash(hash: u64) -> u64 {
    hash.rotate_left(32)
}

impl GroupTable {
    /// Keys held.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// One past the largest id in use or free: what accumulators must have room for.
    pub fn capacity(&self) -> usize {
        self.places.len()
    }

    /// The id of one key, and whether it is new.
    ///
    /// # Errors
    /// `Internal` past four billion keys in one subtask.
    pub fn id_of(&mut self, key: &[u8], hash: u64) -> Result<(u32, bool)> {
        let (arena, places) = (&self.arena, &self.places);
        if let Some(id) = self
            .ids
            .find(table_hash(hash), |id| key_at(arena, places, *id) == key)
        {
            return Ok((*id, false));
        }
        let place = Place {
            start: self.arena.len(),
            len: u32::try_from(key.len()).unwrap_or(REMOVED - 1),
        };
        self.arena.extend_from_slice(key);
        let id = if let Some(id) = self.free.pop() {
            self.places[id as usize] = place;
            self.hashes[id as usize] = hash;
            id
        } else {
            let id = u32::try_from(self.places.len())
                .map_err(|_| Error::internal("too many keys in one subtask"))?;
            self.places.push(place);
            self.hashes.push(hash);
            id
        };
        let hashes = &self.hashes;
        self.ids
            .insert_unique(table_hash(hash), id, |id| table_hash(hashes[*id as usize]));
        Ok((id, true))
    }

    /// The id of a key, if it is held.
    pub fn find(&self, key: &[u8], hash: u64) -> Option<u32> {
        let (arena, places) = (&self.arena, &self.places);
        self.ids
            .find(table_hash(hash), |id| key_at(arena, places, *id) == key)
            .copied()
    }

    /// Keys that fit in without growing.
    pub fn room(&self) -> usize {
        self.free.len() + self.places.capacity() - self.places.len()
    }

    /// Whether an id is in use.
    pub fn holds(&self, id: u32) -> bool {
        self.places
            .get(id as usize)
            .is_some_and(|place| place.len != REMOVED)
    }

    /// The encoded key of an id in use.
    pub fn key(&self, id: u32) -> &[u8] {
        key_at(&self.arena, &self.places, id)
    }

    /// The hash of an id's key.
    pub fn hash(&self, id: u32) -> u64 {
        self.hashes[id as usize]
    }

    /// Forgets a key; its id may be given to another.
    pub fn remove(&mut self, id: u32) {
        if let Ok(entry) = self
            .ids
            .find_entry(table_hash(self.hashes[id as usize]), |candidate| {
                *candidate == id
            })
        {
            entry.remove();
            let place = &mut self.places[id as usize];
            self.waste_bytes += place.len as usize;
            place.len = REMOVED;
            self.free.push(id);
            self.compact();
        }
    }

    /// Ids in use, ascending: the order in which keys came, as long as none was removed.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.ids_from(0)
    }

    /// Ids in use from `first` on, ascending.
    pub fn ids_from(&self, first: u32) -> impl Iterator<Item = u32> {
        let places = self.places.get(first as usize..).unwrap_or_default();
        (first..)
            .zip(places)
            .filter(|(_, place)| place.len != REMOVED)
            .map(|(id, _)| id)
    }

    /// Gives the keys of ids from `len` on smaller ids, and gives back the memory of what is behind them; there are `len` keys at
    /// most. Where each of those keys was and is.
    pub fn compact_ids(&mut self, len: usize) -> Vec<(u32, u32)> {
        let end = u32::try_from(len).unwrap_or(u32::MAX);
        let mut free: Vec<u32> = (0..end).filter(|id| !self.holds(*id)).collect();
        let mut moved = Vec::new();
        let beyond: Vec<u32> = self.ids_from(end).collect();
        for from in beyond {
            let Some(to) = free.pop() else {
                break;
            };
            let hash = self.hashes[from as usize];
            if let Some(id) = self.ids.find_mut(table_hash(hash), |id| *id == from) {
                *id = to;
            }
            self.places[to as usize] = self.places[from as usize];
            self.hashes[to as usize] = hash;
            moved.push((from, to));
        }
        self.places.truncate(len);
        self.places.shrink_to_fit();
        self.hashes.truncate(len);
        self.hashes.shrink_to_fit();
        self.free = free
            .into_iter()
            .filter(|id| (*id as usize) < self.places.len())
            .collect();
        let hashes = &self.hashes;
        self.ids
            .shrink_to_fit(|id| table_hash(hashes[*id as usize]));
        self.compact_keys();
        moved
    }

    /// Memory held, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.ids.allocation_size()
            + self.arena.capacity()
            + self.places.capacity() * size_of::<Place>()
            + self.hashes.capacity() * size_of::<u64>()
            + self.free.capacity() * size_of::<u32>()
    }

    /// Copies the keys in use together once more than half of the arena is waste.
    fn compact(&mut self) {
        if self.waste_bytes < COMPACT_WASTE_BYTES_MIN || self.waste_bytes * 2 < self.arena.len() {
            return;
        }
        self.compact_keys();
    }

    /// Copies the keys in use together.
    fn compact_keys(&mut self) {
        let mut arena = Vec::with_capacity(self.arena.len() - self.waste_bytes);
        for place in self.places.iter_mut().filter(|place| place.len != REMOVED) {
            let key = &self.arena[place.start..place.start + place.len as usize];
            place.start = arena.len();
            arena.extend_from_slice(key);
        }
        self.arena = arena;
        self.waste_bytes = 0;
    }
}

/// The key of an id in use.
fn key_at<'a>(arena: &'a [u8], places: &[Place], id: u32) -> &'a [u8] {
    let place = places[id as usize];
    &arena[place.start..place.start + place.len as usize]
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    #[test]
    fn ids_are_stable_and_removed_ones_are_used_again() {
        let mut table = GroupTable::default();
        let id = |table: &mut GroupTable, key: &[u8]| table.id_of(key, xxh3_64(key)).unwrap();
        assert_eq!(id(&mut table, b"a"), (0, true));
        assert_eq!(id(&mut table, b"b"), (1, true));
        assert_eq!(id(&mut table, b"a"), (0, false));
        table.remove(0);
        assert_eq!(table.len(), 1);
        assert_eq!(id(&mut table, b"c"), (0, true));
        assert_eq!(id(&mut table, b"a"), (2, true));
        assert_eq!(table.key(0), b"c");
        assert_eq!(table.ids().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn compaction_keeps_every_key() {
        let mut table = GroupTable::default();
        let key = |i: u32| format!("{i:0>60}").into_bytes();
        for i in 0..60_000 {
            table.id_of(&key(i), xxh3_64(&key(i))).unwrap();
        }
        for i in 0..50_000 {
            let (id, is_new) = table.id_of(&key(i), xxh3_64(&key(i))).unwrap();
            assert!(!is_new);
            table.remove(id);
        }
        assert!(table.arena.len() < 60_000 * 60 / 2);
        for i in 50_000..60_000 {
            let (id, is_new) = table.id_of(&key(i), xxh3_64(&key(i))).unwrap();
            assert!(!is_new, "key {i} is still there");
            assert_eq!(table.key(id), key(i));
        }
    }
}
