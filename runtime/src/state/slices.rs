//! A table whose keys live in namespaces that are dropped whole: windows, timers, and rows by their time.
//!
//! Place in the flow: as [`super::KeyedTable`], for operators whose state ends at a time. Invariant: a dropped namespace costs one
//! entry per key group in the next checkpoint, not one per key.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::RangeInclusive;

use crate::checkpoint::entry::Entry;
use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::state::EncodedKeys;
use crate::state::delta::Deltas;
use crate::state::handed::{HandedOver, Legacy};
use crate::state::keyed::{Common, ExportVisit, Keyed, StateConfig, Values, hash_in};
use crate::state::table::{StateTable, legacy};

/// Makes the values of a namespace that is opened.
pub type MakeValues<V> = Box<dyn Fn() -> Result<V> + Send>;

/// Keys and values by namespace.
pub struct Slices<V: Values> {
    /// What the namespaces share.
    common: Common,
    /// Makes the values of a namespace.
    make: MakeValues<V>,
    /// Namespaces in order.
    open: BTreeMap<i64, Keyed<V>>,
    /// Dropped ones of which the snapshot being written still needs keys.
    dropped: Vec<Keyed<V>>,
    /// The memory of one that was dropped, for the next one that is opened.
    spare: Option<Keyed<V>>,
}

impl<V: Values> Debug for Slices<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slices")
            .field("common", &self.common)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// One namespace, for reading.
#[derive(Debug)]
pub struct Slice<'a, V: Values> {
    /// Its keys and values.
    keyed: &'a Keyed<V>,
    /// Key groups of the statement.
    key_groups: u32,
}

impl<'a, V: Values> Slice<'a, V> {
    /// Values by id.
    pub fn values(&self) -> &'a V {
        self.keyed.values()
    }

    /// The encoded key of an id in use.
    pub fn key(&self, id: u32) -> &'a [u8] {
        self.keyed.key(id)
    }

    /// The hash of the key of an id in use.
    pub fn hash(&self, id: u32) -> u64 {
        self.keyed.hash(id)
    }

    /// The id of a key, if it is held.
    pub fn find(&self, key: &[u8], hash: u64) -> Option<u32> {
        self.keyed.find_in_memory(key, hash)
    }

    /// The id of a key whose key group is given, if it is held.
    pub fn find_in(&self, key: &[u8], key_group: u32) -> Option<u32> {
        self.find(key, hash_in(key, key_group, self.key_groups))
    }

    /// The key group of an id in use.
    pub fn key_group(&self, id: u32) -> u32 {
        key_group(self.hash(id), self.key_groups)
    }

    /// Ids in use from `first` on, ascending.
    pub fn ids_from(&self, first: u32) -> impl Iterator<Item = u32> {
        self.keyed.ids_from(first)
    }

    /// Ids in use from `first` on, at most `count`, ascending.
    pub fn ids(&self, first: u32, count: usize) -> Vec<u32> {
        self.keyed.ids_from(first).take(count).collect()
    }
}

impl<V: Values> Slices<V> {
    /// No namespaces; `number` tells the tables of an operator apart and never changes.
    pub fn new(number: u8, config: StateConfig, make: MakeValues<V>) -> Self {
        let config = StateConfig {
            // Namespaces are dropped, so their keys do not expire.
            ttl_ms: None,
            ..config
        };
        Self {
            common: Common::new(number, config),
            make,
            open: BTreeMap::new(),
            dropped: Vec::new(),
            spare: None,
        }
    }

    /// The ids of keys of a namespace that are about to be changed, new ones included, and the values to change. A namespace that is
    /// not open is opened.
    ///
    /// # Errors
    /// As [`super::KeyedTable::upsert`], and what making values returns.
    pub fn upsert(
        &mut self,
        namespace: i64,
        keys: &EncodedKeys,
        ids: &mut Vec<u32>,
    ) -> Result<&mut V> {
        self.upsert_some(namespace, (keys, 0..keys.len()), ids)
    }

    /// As [`Self::upsert`], of the keys at some places.
    ///
    /// # Errors
    /// As there.
    pub fn upsert_some(
        &mut self,
        namespace: i64,
        keys: (&EncodedKeys, impl Iterator<Item = usize> + Clone),
        ids: &mut Vec<u32>,
    ) -> Result<&mut V> {
        let keyed = open(&mut self.open, namespace, (&self.make, &mut self.spare))?;
        keyed.upsert_all(&mut self.common, keys, 0, (ids, |_| ()))?;
        Ok(keyed.values_mut())
    }

    /// The ids of some keys of a namespace, [`NOT_HELD`](crate::state::NOT_HELD) for those that are not held. Their values are not to be
    /// changed.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read.
    pub fn find_all(
        &mut self,
        namespace: i64,
        keys: (&EncodedKeys, impl Iterator<Item = usize> + Clone),
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        ids.clear();
        match self.open.get_mut(&namespace) {
            Some(keyed) => keyed.find_all(&mut self.common, keys, 0, ids),
            None => Ok(()),
        }
    }

    /// The id of one key of a namespace, if it is held. Its value is not to be changed.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read.
    pub fn find_in(
        &mut self,
        namespace: i64,
        (key, key_group): (&[u8], u32),
    ) -> Result<Option<u32>> {
        let hash = hash_in(key, key_group, self.common.key_groups());
        match self.open.get_mut(&namespace) {
            Some(keyed) => keyed.find(&mut self.common, (key, hash), 0),
            None => Ok(None),
        }
    }

    /// Whether the values of a namespace have read all of its keys that are held, be they on disk by now: not those that other slots have
    /// handed over, until they are copied.
    pub fn has_read_all(&self, namespace: i64) -> bool {
        let keyed = self.open.get(&namespace);
        keyed.is_none_or(|keyed| !keyed.has_unread())
    }

    /// The values of a namespace that is open.
    pub fn values(&self, namespace: i64) -> Option<&V> {
        self.open.get(&namespace).map(Keyed::values)
    }

    /// The id of one key of a namespace that is about to be changed, and whether it is new. Its key group is given, as it may come from a
    /// part of the key only. A namespace that is not open is opened.
    ///
    /// # Errors
    /// As [`Self::upsert`].
    pub fn upsert_in(
        &mut self,
        namespace: i64,
        (key, key_group): (&[u8], u32),
    ) -> Result<(u32, bool)> {
        let hash = hash_in(key, key_group, self.common.key_groups());
        self.upsert_hashed(namespace, (key, hash))
    }

    /// As [`Self::upsert_in`], of a key whose hash is known, as that of a key of another namespace.
    ///
    /// # Errors
    /// As [`Self::upsert`].
    pub fn upsert_hashed(
        &mut self,
        namespace: i64,
        (key, hash): (&[u8], u64),
    ) -> Result<(u32, bool)> {
        let keyed = open(&mut self.open, namespace, (&self.make, &mut self.spare))?;
        keyed.upsert(&mut self.common, (key, hash), 0)
    }

    /// The values of an open namespace; only those that an upsert has returned since the last barrier may be changed.
    pub fn values_mut(&mut self, namespace: i64) -> Option<&mut V> {
        self.open.get_mut(&namespace).map(Keyed::values_mut)
    }

    /// Values to change of an id in use, as if its key had been upserted.
    pub fn change(&mut self, namespace: i64, id: u32) -> Option<&mut V> {
        let keyed = self.open.get_mut(&namespace)?;
        keyed.touch(&mut self.common, id);
        Some(keyed.values_mut())
    }

    /// A namespace as far as it is in memory.
    pub fn in_memory(&self, namespace: i64) -> Option<Slice<'_, V>> {
        let key_groups = self.common.key_groups();
        let keyed = self.open.get(&namespace);
        keyed.map(|keyed| Slice { keyed, key_groups })
    }

    /// As [`Self::remove`], and drops the namespace with its last key.
    ///
    /// # Errors
    /// As there.
    pub fn remove_and_drop(&mut self, namespace: i64, id: u32) -> Result<()> {
        self.remove(namespace, id)?;
        if self
            .open
            .get(&namespace)
            .is_some_and(|keyed| keyed.len() == 0)
        {
            self.drop_slice(namespace)?;
        }
        Ok(())
    }

    /// Forgets a key of a namespace, which stays open; its id may be given to another.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be changed.
    pub fn remove(&mut self, namespace: i64, id: u32) -> Result<()> {
        match self.open.get_mut(&namespace) {
            Some(keyed) => keyed.remove(&mut self.common, id),
            None => Ok(()),
        }
    }

    /// Key groups of the statement.
    pub fn key_groups(&self) -> u32 {
        self.common.key_groups()
    }

    /// The namespaces in order.
    pub fn namespaces(&self) -> impl ExactSizeIterator<Item = i64> {
        self.open.keys().copied()
    }

    /// The first namespace.
    pub fn first(&self) -> Option<i64> {
        self.open.first_key_value().map(|(namespace, _)| *namespace)
    }

    /// A namespace, all of whose keys are in the memory of this table from then on.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read.
    pub fn slice(&mut self, namespace: i64) -> Result<Option<Slice<'_, V>>> {
        if let Some(keyed) = self.open.get_mut(&namespace) {
            keyed.fetch_all(&mut self.common)?;
        }
        let key_groups = self.common.key_groups();
        let keyed = self.open.get(&namespace);
        Ok(keyed.map(|keyed| Slice { keyed, key_groups }))
    }

    /// The first namespace from `from` on.
    pub fn first_from(&self, from: i64) -> Option<i64> {
        self.open
            .range(from..)
            .next()
            .map(|(namespace, _)| *namespace)
    }

    /// Namespaces in order, all of whose keys are in the memory of this table from then on.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read.
    pub fn slices(&mut self, namespaces: RangeInclusive<i64>) -> Result<Vec<(i64, Slice<'_, V>)>> {
        if namespaces.is_empty() {
            return Ok(Vec::new());
        }
        for (_, keyed) in self.open.range_mut(namespaces.clone()) {
            keyed.fetch_all(&mut self.common)?;
        }
        let key_groups = self.common.key_groups();
        let open = self.open.range(namespaces);
        let slices = open.map(|(namespace, keyed)| (*namespace, Slice { keyed, key_groups }));
        Ok(slices.collect())
    }

    /// Drops a namespace.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be changed.
    pub fn drop_slice(&mut self, namespace: i64) -> Result<()> {
        let Some(mut keyed) = self.open.remove(&namespace) else {
            return Ok(());
        };
        for key_group in keyed.logged(&self.common) {
            self.common.drop_namespace(namespace, key_group);
        }
        keyed.clear_others(&mut self.common)?;
        if keyed.frozen_count() > 0 {
            self.dropped.push(keyed);
        } else if let Some(spare) = keyed.into_spare() {
            self.spare = Some(spare);
        }
        Ok(())
    }
}

impl<V: Values> StateTable for Slices<V> {
    fn number(&self) -> u8 {
        self.common.table()
    }

    fn freeze(&mut self) {
        self.common.freeze();
        self.open.values_mut().for_each(Keyed::freeze);
    }

    fn write_frozen(&mut self, limit: usize) -> Result<bool> {
        let mut left = limit;
        for keyed in self.dropped.iter_mut().chain(self.open.values_mut()) {
            let before = keyed.frozen_count();
            if before > 0 {
                let after = keyed.write_frozen(&mut self.common, left);
                left -= before - after;
                if after > 0 {
                    return Ok(false);
                }
            }
        }
        self.dropped.clear();
        Ok(true)
    }

    fn snapshot_bytes(&self) -> usize {
        self.common.snapshot_bytes()
    }

    fn take_snapshot(&mut self, out: &mut Deltas) {
        self.common.take(out);
    }

    fn load(&mut self, key_group: u32, entry: &Entry<'_>) -> Result<()> {
        let namespace = entry.place().namespace;
        let keyed = match (entry, self.open.get_mut(&namespace)) {
            (_, Some(keyed)) => keyed,
            (Entry::Put { .. }, None) => {
                open(&mut self.open, namespace, (&self.make, &mut self.spare))?
            }
            (Entry::Delete { .. } | Entry::Drop { .. }, None) => return Ok(()),
        };
        if let Entry::Drop { .. } = entry {
            keyed.drop_key_group(&mut self.common, key_group)?;
        } else {
            keyed.load(&mut self.common, key_group, entry)?;
        }
        if keyed.len() == 0 {
            self.open.remove(&namespace);
        }
        Ok(())
    }

    fn export(&self, visit: &mut ExportVisit<'_>) -> Result<()> {
        self.open
            .values()
            .try_for_each(|keyed| keyed.export(&self.common, visit))
    }

    fn hand_over(&mut self) -> Option<HandedOver> {
        if self.open.values().any(Keyed::has_spilled) {
            return None;
        }
        let open = std::mem::take(&mut self.open).into_iter();
        let legacy: Legacy<V> = open
            .map(|(namespace, keyed)| (namespace, keyed.into_handed()))
            .collect();
        Some(Box::new(legacy))
    }

    fn take_over(&mut self, handed: &HandedOver, owns: &dyn Fn(u32) -> bool) -> Result<()> {
        for (namespace, parts) in legacy::<V>(handed)? {
            let keyed = open(&mut self.open, *namespace, (&self.make, &mut self.spare))?;
            for handed in parts {
                keyed.add_handed(&self.common, handed, owns);
            }
            if keyed.len() == 0 {
                self.open.remove(namespace);
            }
        }
        Ok(())
    }

    fn take_over_some(&mut self, limit: usize) -> Result<()> {
        let mut parts = self.open.values_mut();
        let first = parts.find(|keyed| keyed.handed_keys() > 0);
        first.map_or(Ok(()), |keyed| {
            keyed.take_over_some(&mut self.common, limit)
        })
    }

    fn handed_keys(&self) -> usize {
        self.open.values().map(Keyed::handed_keys).sum()
    }

    fn begun_bytes(&self) -> usize {
        self.common.begun_bytes()
    }

    fn take_begun(&mut self, out: &mut Deltas) {
        self.common.take_begun(out);
    }

    /// One namespace grows at a time as a rule: that of the present.
    fn growth_bytes(&self) -> usize {
        let parts = self.open.values();
        parts.map(Keyed::growth_bytes).max().unwrap_or(0)
    }

    fn make_room(&mut self) -> Result<()> {
        if !self.common.may_spill() {
            return Ok(());
        }
        let mut parts = self.open.values_mut();
        parts.try_for_each(|keyed| keyed.make_room(&mut self.common))
    }

    /// The latest namespaces, which are needed last, spill first.
    fn shrink(&mut self, limit_bytes: usize) -> Result<()> {
        if !self.common.may_spill() {
            return Ok(());
        }
        self.spare = None;
        let mut excess = self.memory_bytes().saturating_sub(limit_bytes);
        for keyed in self.open.values_mut().rev() {
            if excess == 0 {
                break;
            }
            let before = keyed.memory_bytes();
            keyed.shrink(&mut self.common, before.saturating_sub(excess))?;
            excess = excess.saturating_sub(before.saturating_sub(keyed.memory_bytes()));
        }
        Ok(())
    }

    fn expire(&mut self, _now_ms: i64) -> Result<()> {
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let parts = self.open.values().chain(&self.dropped);
        let parts = parts.chain(&self.spare);
        self.common.memory_bytes() + parts.map(Keyed::memory_bytes).sum::<usize>()
    }

    fn keys(&self) -> usize {
        self.open.values().map(Keyed::len).sum()
    }
}

/// The namespace, opened if needed.
fn open<'a, V: Values>(
    slices: &'a mut BTreeMap<i64, Keyed<V>>,
    namespace: i64,
    (make, spare): (&MakeValues<V>, &mut Option<Keyed<V>>),
) -> Result<&'a mut Keyed<V>> {
    use std::collections::btree_map::Entry as Place;
    Ok(match slices.entry(namespace) {
        Place::Occupied(entry) => entry.into_mut(),
        Place::Vacant(entry) => entry.insert(match spare.take() {
            Some(spare) => spare.reopened(namespace),
            None => Keyed::new(namespace, make()?),
        }),
    })
}
