//! A table of keys and values, and what every table of state can do.
//!
//! Place in the flow: operators work on their tables; the subtask takes snapshots of them, restores them and keeps them within
//! memory, without the operator's help. Invariant: what [`StateTable::freeze`] saw is what the snapshot holds, whatever happens to
//! the table while it is being written.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::checkpoint::entry::Entry;
use crate::error::{Error, Result};
use crate::state::EncodedKeys;
use crate::state::delta::Deltas;
use crate::state::handed::{HandedOver, Legacy};
use crate::state::keyed::{Common, ExportVisit, Keyed, StateConfig, Values, hash_in};

/// What the subtask does with a table.
pub trait StateTable: Debug {
    /// Its number among the tables of the operator.
    fn number(&self) -> u8;

    /// The barrier: what has changed since the last one belongs to the snapshot. The one before is complete.
    fn freeze(&mut self);

    /// Writes about `limit` keys of the snapshot; true once it is complete.
    ///
    /// # Errors
    /// `Internal` only.
    fn write_frozen(&mut self, limit: usize) -> Result<bool>;

    /// Memory of what was written of the snapshot and not taken, in bytes.
    fn snapshot_bytes(&self) -> usize;

    /// Takes what was written of the snapshot; the rest follows what was taken.
    fn take_snapshot(&mut self, out: &mut Deltas);

    /// Takes over an entry of a checkpoint; entries of a key group come in the order in which they were written.
    ///
    /// # Errors
    /// `Corrupt` when the value is not of this table; `Unavailable` when it has to spill and cannot.
    fn load(&mut self, key_group: u32, entry: &Entry<'_>) -> Result<()>;

    /// Shows every key as an entry.
    ///
    /// # Errors
    /// What `visit` returns; `Unavailable` when spilled state cannot be read.
    fn export(&self, visit: &mut ExportVisit<'_>) -> Result<()>;

    /// Gives all keys to tables in other slots, after the barrier at which this one's slot ends; absent when some are on disk, and then
    /// they are still here.
    fn hand_over(&mut self) -> Option<HandedOver>;

    /// Takes the keys that this table owns of those which one of another slot has handed over. That costs a look at each; they are
    /// copied when they are looked up, or by [`Self::take_over_some`].
    ///
    /// # Errors
    /// `Internal` when it was another kind of table.
    fn take_over(&mut self, handed: &HandedOver, owns: &dyn Fn(u32) -> bool) -> Result<()>;

    /// Copies some of the keys that were handed over; looks at about `limit`. `Slices` copy those of their first namespace.
    ///
    /// # Errors
    /// `Internal` past four billion keys in one subtask.
    fn take_over_some(&mut self, limit: usize) -> Result<()>;

    /// Keys that were handed over and not copied yet.
    fn handed_keys(&self) -> usize;

    /// Memory of what the next snapshot begins with, as it was moved out of memory before its barrier, in bytes.
    fn begun_bytes(&self) -> usize;

    /// Takes what the next snapshot begins with. Only while no snapshot of the job is being written, since it is newer than that.
    fn take_begun(&mut self, out: &mut Deltas);

    /// Memory that the table is going to take when it grows, if the next batches may make it grow; else 0.
    fn growth_bytes(&self) -> usize;

    /// Moves cold keys out of memory so that the next batches do not make it grow. Nothing without a place for them.
    ///
    /// # Errors
    /// `Unavailable` when the device refuses.
    fn make_room(&mut self) -> Result<()>;

    /// Moves cold keys out of memory until it takes about `limit_bytes`, and gives back what they took. Ids change, so the operator
    /// holds none. Nothing without a place for them.
    ///
    /// # Errors
    /// `Unavailable` when the device refuses.
    fn shrink(&mut self, limit_bytes: usize) -> Result<()>;

    /// Forgets some keys that were not written for the TTL.
    ///
    /// # Errors
    /// `Unavailable` when the device refuses.
    fn expire(&mut self, now_ms: i64) -> Result<()>;

    /// Memory held, in bytes.
    fn memory_bytes(&self) -> usize;

    /// Keys held, spilled ones included.
    fn keys(&self) -> usize;
}

/// Ids looked at per batch for expired keys: a table of a million keys is passed every few hundred batches (guess, unmeasured).
pub(super) const EXPIRE_IDS: u32 = 4096;

/// A table of keys and values.
///
/// # Example
/// ```
/// use weir_runtime::state::{KeyedTable, StateConfig};
/// // A set of keys that a checkpoint follows.
/// let mut seen = KeyedTable::new(0, (), StateConfig::in_memory("dedup", 128));
/// let (_, is_new) = seen.upsert_in(b"order-1", 5, 0)?;
/// assert!(is_new);
/// let (_, is_new) = seen.upsert_in(b"order-1", 5, 0)?;
/// assert!(!is_new);
/// # Ok::<(), weir_runtime::Error>(())
/// ```
#[derive(Debug)]
pub struct KeyedTable<V: Values> {
    /// What parts of a table share.
    common: Common,
    /// The only part.
    keyed: Keyed<V>,
}

impl<V: Values> KeyedTable<V> {
    /// An empty table; `number` tells the tables of an operator apart and never changes.
    pub fn new(number: u8, values: V, config: StateConfig) -> Self {
        Self {
            common: Common::new(number, config),
            keyed: Keyed::new(0, values),
        }
    }

    /// The ids of keys that are about to be changed, new ones included; `on_new` is told each new id in order.
    ///
    /// # Units
    /// `now_ms` is the time that the TTL counts in; without a TTL it does not matter.
    ///
    /// # Errors
    /// `Internal` past four billion keys in one subtask; `Unavailable` when spilled state cannot be read.
    pub fn upsert(
        &mut self,
        keys: &EncodedKeys,
        now_ms: i64,
        ids: &mut Vec<u32>,
        on_new: impl FnMut(u32),
    ) -> Result<()> {
        let rows = 0..keys.len();
        self.keyed
            .upsert_all(&mut self.common, (keys, rows), now_ms, (ids, on_new))
    }

    /// As [`KeyedTable::upsert`], of some keys.
    ///
    /// # Errors
    /// As there.
    pub fn upsert_some(
        &mut self,
        keys: (&EncodedKeys, impl Iterator<Item = usize> + Clone),
        now_ms: i64,
        ids: &mut Vec<u32>,
        on_new: impl FnMut(u32),
    ) -> Result<()> {
        self.keyed
            .upsert_all(&mut self.common, keys, now_ms, (ids, on_new))
    }

    /// The ids of some keys, [`NOT_HELD`](crate::state::NOT_HELD) for those that are not held. Their values are not to be changed.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read.
    pub fn find_all(
        &mut self,
        keys: (&EncodedKeys, impl Iterator<Item = usize> + Clone),
        now_ms: i64,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        self.keyed.find_all(&mut self.common, keys, now_ms, ids)
    }

    /// The id of one key that is about to be changed, and whether it is new. Its key group is given, as it may come from a part of
    /// the key only.
    ///
    /// # Errors
    /// As [`KeyedTable::upsert`].
    pub fn upsert_in(&mut self, key: &[u8], key_group: u32, now_ms: i64) -> Result<(u32, bool)> {
        let hash = hash_in(key, key_group, self.common.key_groups());
        self.keyed.upsert(&mut self.common, (key, hash), now_ms)
    }

    /// The id of a key, if it is held. Its value is not to be changed.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read.
    pub fn find_in(&mut self, key: &[u8], key_group: u32, now_ms: i64) -> Result<Option<u32>> {
        let hash = hash_in(key, key_group, self.common.key_groups());
        self.keyed.find(&mut self.common, (key, hash), now_ms)
    }

    /// Says that the value of an id that was found is about to be changed.
    pub fn touch(&mut self, id: u32, now_ms: i64) {
        self.keyed.renew(&mut self.common, id, now_ms);
    }

    /// Forgets a key; its id may be given to another.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be changed.
    pub fn remove(&mut self, id: u32) -> Result<()> {
        self.keyed.remove(&mut self.common, id)
    }

    /// The encoded key of an id in use.
    pub fn key(&self, id: u32) -> &[u8] {
        self.keyed.key(id)
    }

    /// The hash of the key of an id in use.
    pub fn hash(&self, id: u32) -> u64 {
        self.keyed.hash(id)
    }

    /// The key group of an id in use.
    pub fn key_group(&self, id: u32) -> u32 {
        self.keyed.key_group(&self.common, id)
    }

    /// Values by id.
    pub fn values(&self) -> &V {
        self.keyed.values()
    }

    /// Values by id; only those that an upsert has returned since the last barrier may be changed.
    pub fn values_mut(&mut self) -> &mut V {
        self.keyed.values_mut()
    }

    /// Ids in use from `first` on, at most `count`, ascending; all keys are in the memory of this table from then on.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read.
    pub fn ids(&mut self, first: u32, count: usize) -> Result<Vec<u32>> {
        self.keyed.fetch_all(&mut self.common)?;
        Ok(self.keyed.ids_from(first).take(count).collect())
    }

    /// One past the largest id: what arrays beside the table must have room for.
    pub fn capacity(&self) -> usize {
        self.keyed.capacity()
    }
}

impl<V: Values> StateTable for KeyedTable<V> {
    fn number(&self) -> u8 {
        self.common.table()
    }

    fn freeze(&mut self) {
        self.common.freeze();
        self.keyed.freeze();
    }

    fn write_frozen(&mut self, limit: usize) -> Result<bool> {
        Ok(self.keyed.write_frozen(&mut self.common, limit) == 0)
    }

    fn snapshot_bytes(&self) -> usize {
        self.common.snapshot_bytes()
    }

    fn take_snapshot(&mut self, out: &mut Deltas) {
        self.common.take(out);
    }

    fn load(&mut self, key_group: u32, entry: &Entry<'_>) -> Result<()> {
        if entry.place().namespace != 0 {
            return Err(Error::corrupt("state of a namespace in a table without"));
        }
        self.keyed.load(&mut self.common, key_group, entry)
    }

    fn export(&self, visit: &mut ExportVisit<'_>) -> Result<()> {
        self.keyed.export(&self.common, visit)
    }

    fn hand_over(&mut self) -> Option<HandedOver> {
        if self.keyed.has_spilled() {
            return None;
        }
        let keyed = std::mem::replace(&mut self.keyed, Keyed::new(0, V::default()));
        let legacy: Legacy<V> = BTreeMap::from([(0, keyed.into_handed())]);
        Some(Box::new(legacy))
    }

    fn take_over(&mut self, handed: &HandedOver, owns: &dyn Fn(u32) -> bool) -> Result<()> {
        for handed in legacy::<V>(handed)?.values().flatten() {
            self.keyed.add_handed(&self.common, handed, owns);
        }
        Ok(())
    }

    fn take_over_some(&mut self, limit: usize) -> Result<()> {
        self.keyed.take_over_some(&mut self.common, limit)
    }

    fn handed_keys(&self) -> usize {
        self.keyed.handed_keys()
    }

    fn begun_bytes(&self) -> usize {
        self.common.begun_bytes()
    }

    fn take_begun(&mut self, out: &mut Deltas) {
        self.common.take_begun(out);
    }

    fn growth_bytes(&self) -> usize {
        self.keyed.growth_bytes()
    }

    fn make_room(&mut self) -> Result<()> {
        if self.common.may_spill() {
            self.keyed.make_room(&mut self.common)?;
        }
        Ok(())
    }

    fn shrink(&mut self, limit_bytes: usize) -> Result<()> {
        if self.common.may_spill() {
            let limit_bytes = limit_bytes.saturating_sub(self.common.memory_bytes());
            self.keyed.shrink(&mut self.common, limit_bytes)?;
        }
        Ok(())
    }

    fn expire(&mut self, now_ms: i64) -> Result<()> {
        self.keyed.expire(&mut self.common, now_ms, EXPIRE_IDS)
    }

    fn memory_bytes(&self) -> usize {
        self.common.memory_bytes() + self.keyed.memory_bytes()
    }

    fn keys(&self) -> usize {
        self.keyed.len()
    }
}

/// What a table with the same values has handed over.
pub(super) fn legacy<V: Values>(handed: &HandedOver) -> Result<&Legacy<V>> {
    let legacy = handed.downcast_ref();
    legacy.ok_or_else(|| Error::internal("another kind of table has handed over its keys"))
}

#[cfg(test)]
mod tests;
