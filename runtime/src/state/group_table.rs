//! Keys to dense group ids.
//!
//! Place in the flow: aggregations look the keys of a batch up and index their accumulators by the ids. Invariant: an id stays
//! with its key until it is removed; removed ids are used again.

use std::mem::size_of;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::error::{Error, Result};
use crate::state::EncodedKeys;

/// A hash table from encoded keys to dense ids.
#[derive(Debug, Default)]
pub struct GroupTable {
    /// Ids by key.
    ids: HashTable<Slot>,
    /// Long encoded keys back to back; removed ones stay until [`Self::compact`].
    arena: Vec<u8>,
    /// What is known of each id.
    keys: Vec<Key>,
    /// Removed ids.
    free: Vec<u32>,
    /// Bytes of the arena that no key uses.
    waste_bytes: usize,
}

/// An id in the hash table.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// A part of the hash, so that a key that is another one is not looked at.
    tag: u32,
    /// The id.
    id: u32,
}

/// A key: short ones as they are, which saves a look at the arena. Two lie in a cache line, with all that a look-up asks for.
#[derive(Debug, Clone, Copy)]
struct Key {
    /// Its hash.
    hash: u64,
    /// Bytes; [`REMOVED`] for a removed id.
    len: u32,
    /// What the owner of the table notes of it.
    mark: u8,
    /// The key, or where in the arena it begins.
    bytes: [u8; SHORT_BYTES],
}

/// Bytes of a key that needs no place in the arena: two BIGINT, or one with the number of a chunk behind it.
const SHORT_BYTES: usize = 19;

/// The length that marks a removed id.
const REMOVED: u32 = u32::MAX;

/// What [`GroupTable::find_all`] says of a key that is not held.
pub const NOT_HELD: u32 = u32::MAX;

/// Waste below which compaction is not worth the copy: one mebibyte (guess, unmeasured).
const COMPACT_WASTE_BYTES_MIN: usize = 1 << 20;

/// The hash that the table uses: other bits than those that chose the key group, so that a subtask that owns few key groups
/// still spreads its keys over all buckets.
fn table_hash(hash: u64) -> u64 {
    hash.rotate_left(32)
}

/// The bits of a hash that are kept with the id: those that the table looks at least.
fn tag_of(hash: u64) -> u32 {
    let bits = (table_hash(hash) >> 25) & u64::from(u32::MAX);
    u32::try_from(bits).unwrap_or_default()
}

/// Whether two keys are the same. Most have eight to sixteen bytes, which are two words.
fn is_same(left: &[u8], right: &[u8]) -> bool {
    let words = |key: &[u8]| -> Option<([u8; 8], [u8; 8])> {
        let (first, last) = (key.first_chunk()?, key.last_chunk()?);
        (key.len() <= 16).then_some((*first, *last))
    };
    left.len() == right.len()
        && match (words(left), words(right)) {
            (Some(left), Some(right)) => left == right,
            (_, _) => left == right,
        }
}

impl Key {
    /// A key without a mark, whose bytes go into the arena if they are many.
    fn new(key: &[u8], hash: u64, arena: &mut Vec<u8>) -> Self {
        let len = u32::try_from(key.len()).unwrap_or(REMOVED - 1);
        let mut bytes = [0; SHORT_BYTES];
        if let Some(short) = bytes.get_mut(..key.len()) {
            short.copy_from_slice(key);
        } else {
            bytes[..size_of::<usize>()].copy_from_slice(&arena.len().to_le_bytes());
            arena.extend_from_slice(key);
        }
        Self {
            hash,
            len,
            mark: 0,
            bytes,
        }
    }

    /// Bytes of the arena that it takes.
    fn arena_bytes(&self) -> usize {
        let len = self.len as usize;
        if len > SHORT_BYTES { len } else { 0 }
    }

    /// Its bytes.
    fn get<'a>(&'a self, arena: &'a [u8]) -> &'a [u8] {
        let len = self.len as usize;
        if let Some(short) = self.bytes.get(..len) {
            return short;
        }
        let start = self.bytes.first_chunk().copied().unwrap_or_default();
        let start = usize::from_le_bytes(start);
        &arena[start..start + len]
    }
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
        self.keys.len()
    }

    /// The id of one key, and whether it is new.
    ///
    /// # Errors
    /// `Internal` past four billion keys in one subtask.
    pub fn id_of(&mut self, key: &[u8], hash: u64) -> Result<(u32, bool)> {
        let (keys, arena, tag) = (&self.keys, &self.arena, tag_of(hash));
        let is_it =
            |slot: &Slot| slot.tag == tag && is_same(keys[slot.id as usize].get(arena), key);
        let hash_of = |slot: &Slot| table_hash(keys[slot.id as usize].hash);
        let place = match self.ids.entry(table_hash(hash), is_it, hash_of) {
            Entry::Occupied(slot) => return Ok((slot.get().id, false)),
            Entry::Vacant(place) => place,
        };
        let id = if let Some(id) = self.free.pop() {
            self.keys[id as usize] = Key::new(key, hash, &mut self.arena);
            id
        } else {
            let id = u32::try_from(self.keys.len()).ok();
            let id = id.filter(|id| *id != NOT_HELD);
            let id = id.ok_or_else(|| Error::internal("too many keys in one subtask"))?;
            self.keys.push(Key::new(key, hash, &mut self.arena));
            id
        };
        place.insert(Slot { tag, id });
        Ok((id, true))
    }

    /// The id of a key, if it is held.
    pub fn find(&self, key: &[u8], hash: u64) -> Option<u32> {
        let tag = tag_of(hash);
        let is_it = |slot: &Slot| slot.tag == tag && is_same(self.key(slot.id), key);
        self.ids.find(table_hash(hash), is_it).map(|slot| slot.id)
    }

    /// The ids of some keys of a batch, [`NOT_HELD`] for those that are not held. What costs is waiting for memory, so first all places in
    /// the table are looked at, then all keys: the processor waits for many of them at once.
    pub fn find_all(
        &self,
        (keys, rows): (&EncodedKeys, impl Iterator<Item = usize> + Clone),
        ids: &mut Vec<u32>,
    ) {
        ids.clear();
        if self.is_empty() {
            ids.extend(rows.map(|_| NOT_HELD));
            return;
        }
        ids.extend(rows.clone().map(|row| {
            let hash = keys.hashes[row];
            let tag = tag_of(hash);
            let found = self.ids.find(table_hash(hash), |slot| slot.tag == tag);
            found.map_or(NOT_HELD, |slot| slot.id)
        }));
        for (row, id) in rows.zip(ids) {
            let key = keys.key(row);
            if *id != NOT_HELD && !is_same(self.key(*id), key) {
                // Another key of the same tag.
                *id = self.find(key, keys.hashes[row]).unwrap_or(NOT_HELD);
            }
        }
    }

    /// Keys that fit in without growing.
    pub fn room(&self) -> usize {
        self.free.len() + self.room_behind()
    }

    /// Ids past the largest that fit in without growing.
    pub fn room_behind(&self) -> usize {
        self.keys.capacity() - self.keys.len()
    }

    /// Whether an id is in use.
    pub fn holds(&self, id: u32) -> bool {
        self.keys
            .get(id as usize)
            .is_some_and(|key| key.len != REMOVED)
    }

    /// The encoded key of an id in use.
    pub fn key(&self, id: u32) -> &[u8] {
        self.keys[id as usize].get(&self.arena)
    }

    /// The hash of an id's key.
    pub fn hash(&self, id: u32) -> u64 {
        self.keys[id as usize].hash
    }

    /// What is noted of an id; 0 for one that is new or not in use.
    pub fn mark(&self, id: u32) -> u8 {
        self.keys[id as usize].mark
    }

    /// Notes something of an id in use, which goes with its key.
    pub fn set_mark(&mut self, id: u32, mark: u8) {
        self.keys[id as usize].mark = mark;
    }

    /// Forgets a key; its id may be given to another.
    pub fn remove(&mut self, id: u32) {
        if let Ok(entry) = self
            .ids
            .find_entry(table_hash(self.hash(id)), |slot| slot.id == id)
        {
            entry.remove();
            let key = &mut self.keys[id as usize];
            self.waste_bytes += key.arena_bytes();
            (key.len, key.mark) = (REMOVED, 0);
            self.free.push(id);
            self.compact();
        }
    }

    /// Forgets all keys and keeps their memory for others.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.arena.clear();
        self.keys.clear();
        self.free.clear();
        self.waste_bytes = 0;
    }

    /// Ids in use, ascending: the order in which keys came, as long as none was removed.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.ids_from(0)
    }

    /// Ids in use from `first` on, ascending.
    pub fn ids_from(&self, first: u32) -> impl Iterator<Item = u32> {
        let keys = self.keys.get(first as usize..).unwrap_or_default();
        (first..)
            .zip(keys)
            .filter(|(_, key)| key.len != REMOVED)
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
            let key = self.keys[from as usize];
            if let Some(slot) = self
                .ids
                .find_mut(table_hash(key.hash), |slot| slot.id == from)
            {
                slot.id = to;
            }
            self.keys[to as usize] = key;
            moved.push((from, to));
        }
        self.keys.truncate(len);
        self.keys.shrink_to_fit();
        self.free = free
            .into_iter()
            .filter(|id| (*id as usize) < self.keys.len())
            .collect();
        let keys = &self.keys;
        self.ids
            .shrink_to_fit(|slot| table_hash(keys[slot.id as usize].hash));
        self.compact_keys();
        moved
    }

    /// Memory held, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.ids.allocation_size()
            + self.arena.capacity()
            + self.keys.capacity() * size_of::<Key>()
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
        for key in &mut self.keys {
            if key.len != REMOVED && key.arena_bytes() > 0 {
                *key = Key {
                    mark: key.mark,
                    ..Key::new(key.get(&self.arena), key.hash, &mut arena)
                };
            }
        }
        self.arena = arena;
        self.waste_bytes = 0;
    }
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
    fn a_batch_finds_what_one_key_finds() {
        let mut table = GroupTable::default();
        // Short and long keys, of which every third is removed.
        let key = |i: usize| format!("{i:0>width$}", width = 4 + i % 40).into_bytes();
        let mut batch = EncodedKeys::default();
        for i in 0..3_000 {
            let key = key(i);
            if i < 2_000 {
                table.id_of(&key, xxh3_64(&key)).unwrap();
            }
            batch.bytes.extend_from_slice(&key);
            batch.ends.push(batch.bytes.len());
            batch.hashes.push(xxh3_64(&key));
        }
        for id in (0..2_000).step_by(3) {
            table.remove(id);
        }
        let mut ids = vec![7];
        table.find_all((&batch, 0..batch.len()), &mut ids);
        for (row, id) in ids.iter().enumerate() {
            let found = table.find(batch.key(row), batch.hashes[row]);
            assert_eq!(found.unwrap_or(NOT_HELD), *id);
            assert_eq!(found.is_some(), row < 2_000 && row % 3 != 0);
        }
    }

    #[test]
    fn a_key_is_another_one_although_its_tag_is_the_same() {
        let mut table = GroupTable::default();
        table.id_of(b"a", 1).unwrap();
        assert_eq!(table.find(b"b", 1), None);
        assert_eq!(table.id_of(b"b", 1).unwrap(), (1, true));
        let batch = EncodedKeys {
            bytes: b"cab".to_vec(),
            ends: vec![1, 2, 3],
            hashes: vec![1; 3],
        };
        let mut ids = Vec::new();
        table.find_all((&batch, 0..3), &mut ids);
        assert_eq!(ids, [NOT_HELD, 0, 1]);
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
