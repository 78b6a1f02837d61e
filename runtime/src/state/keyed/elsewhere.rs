//! Keys that are held and not in the memory of the table: on disk, or in the tables of slots before.
//!
//! Place in the flow: a key that is looked up comes from here when it is not in memory. Invariant: what is here is in a checkpoint or in the
//! delta of the next one already.

use crate::error::Result;
use crate::state::handed::Handed;
use crate::state::keyed::{Common, Keyed, STALE, Values, hash_in};

/// The key of a spilled key: namespace in order, key group in order, then the key.
pub(super) fn spilled_key(namespace: i64, key_group: u32, key: &[u8]) -> Vec<u8> {
    let mut bytes = spilled_prefix(namespace).to_vec();
    bytes.extend_from_slice(&key_group.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

/// What the spilled keys of a namespace begin with.
pub(super) fn spilled_prefix(namespace: i64) -> [u8; 8] {
    (namespace.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// Bytes before the key in a spilled key.
const SPILLED_PREFIX_BYTES: usize = 12;

/// Key group and key of a spilled key.
pub(super) fn split_spilled(spilled: &[u8]) -> (u32, &[u8]) {
    let (head, key) = spilled.split_at(SPILLED_PREFIX_BYTES.min(spilled.len()));
    let key_group = head
        .last_chunk::<4>()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes));
    (key_group, key)
}

impl<V: Values> Keyed<V> {
    /// Whether keys are held that are not in memory, or not in that of this table.
    pub(super) fn has_others(&self) -> bool {
        self.spilled > 0 || self.handed_keys > 0
    }

    /// Brings a key back from the backend or from another slot's table, if it is there.
    pub(super) fn fetch(
        &mut self,
        common: &mut Common,
        key: &[u8],
        hash: u64,
    ) -> Result<Option<u32>> {
        if self.handed_keys > 0
            && let Some(id) = self.take_over(common, key, hash)?
        {
            return Ok(Some(id));
        }
        if self.spilled == 0 {
            return Ok(None);
        }
        let key_group = crate::graph::key_group::key_group(hash, common.config.key_groups);
        let Some(backend) = common.backend()? else {
            return Ok(None);
        };
        let Some(value) = backend.get(&spilled_key(self.namespace, key_group, key))? else {
            return Ok(None);
        };
        let (id, _) = self.groups.id_of(key, hash)?;
        self.extend(common);
        self.read(id, &value, common.table)?;
        self.groups.set_mark(id, STALE);
        self.spilled -= 1;
        Ok(Some(id))
    }

    /// Takes a key over from another slot's table, if it is there.
    pub(super) fn take_over(
        &mut self,
        common: &mut Common,
        key: &[u8],
        hash: u64,
    ) -> Result<Option<u32>> {
        let mut stored = std::mem::take(&mut common.scratch);
        stored.clear();
        let taken = self.handed.iter_mut().any(|handed| {
            let taken = handed.take(key, hash);
            taken
                .inspect(|(from, id)| from.write(*id, &mut stored))
                .is_some()
        });
        let id = if taken {
            Some(self.put_handed(common, (key, hash), &stored)?)
        } else {
            None
        };
        common.scratch = stored;
        Ok(id)
    }

    /// Holds a key that was taken over.
    pub(super) fn put_handed(
        &mut self,
        common: &Common,
        (key, hash): (&[u8], u64),
        stored: &[u8],
    ) -> Result<u32> {
        let (id, _) = self.groups.id_of(key, hash)?;
        self.extend(common);
        self.read(id, stored, common.table)?;
        self.handed_keys -= 1;
        if self.handed.iter().any(|handed| handed.left() == 0) {
            self.handed.retain(|handed| handed.left() > 0);
        }
        Ok(id)
    }

    /// Takes over about `limit` of the keys that other slots' tables still hold.
    pub(in crate::state) fn take_over_some(
        &mut self,
        common: &mut Common,
        limit: usize,
    ) -> Result<()> {
        let (mut key, mut stored) = (Vec::new(), std::mem::take(&mut common.scratch));
        let mut looks = limit;
        while let Some(handed) = self.handed.last_mut() {
            let Some((from, id)) = handed.take_next(&mut looks) else {
                break;
            };
            key.clear();
            key.extend_from_slice(from.key(id));
            let hash = from.hash(id);
            stored.clear();
            from.write(id, &mut stored);
            self.put_handed(common, (&key, hash), &stored)?;
        }
        common.scratch = stored;
        Ok(())
    }

    /// Takes over what other slots' tables still hold.
    pub(super) fn take_over_all(&mut self, common: &mut Common) -> Result<()> {
        self.take_over_some(common, usize::MAX)
    }

    /// Keys that other slots' tables still hold.
    pub(in crate::state) fn handed_keys(&self) -> usize {
        self.handed_keys
    }

    /// All keys, for other slots, after the barrier at which this one ends; those that others have handed over to it come with them.
    pub(in crate::state) fn into_handed(mut self) -> Vec<Handed<V>> {
        let mut handed = std::mem::take(&mut self.handed);
        self.handed_keys = 0;
        handed.push(Handed::all(self));
        handed
    }

    /// Holds those keys of another slot's table that belong here.
    pub(in crate::state) fn add_handed(
        &mut self,
        common: &Common,
        handed: &Handed<V>,
        owns: &dyn Fn(u32) -> bool,
    ) {
        let key_groups = common.config.key_groups;
        let key_group = |hash| crate::graph::key_group::key_group(hash, key_groups);
        if let Some(part) = handed.part(&|hash| owns(key_group(hash))) {
            self.handed_keys += part.left();
            self.has_unread = true;
            self.handed.push(part);
        }
        for (key_group, is_logged) in (0..).zip(handed.logged()) {
            if *is_logged && owns(key_group) {
                self.note_logged(key_group);
            }
        }
    }

    /// Whether keys may be held that the values have not read since they were handed over.
    pub(in crate::state) fn has_unread(&self) -> bool {
        self.has_unread
    }

    /// Whether keys are on disk.
    pub(in crate::state) fn has_spilled(&self) -> bool {
        self.spilled > 0
    }

    /// Forgets what the backend and other slots' tables hold of this namespace.
    pub(in crate::state) fn clear_others(&mut self, common: &mut Common) -> Result<()> {
        self.handed.clear();
        self.handed_keys = 0;
        let Some(backend) = &mut common.backend else {
            return Ok(());
        };
        let mut keys = Vec::new();
        backend.scan(&spilled_prefix(self.namespace), &mut |key, _| {
            keys.push(key.to_vec());
            Ok(())
        })?;
        self.spilled = 0;
        keys.iter().try_for_each(|key| backend.remove(key))
    }

    /// Brings every key into the memory of this table.
    pub(in crate::state) fn fetch_all(&mut self, common: &mut Common) -> Result<()> {
        self.take_over_all(common)?;
        self.has_unread = false;
        let Some(backend) = common.backend.as_ref().filter(|_| self.spilled > 0) else {
            return Ok(());
        };
        let mut spilled = Vec::new();
        backend.scan(&spilled_prefix(self.namespace), &mut |key, value| {
            spilled.push((key.to_vec(), value.to_vec()));
            Ok(())
        })?;
        for (spilled_key, value) in spilled {
            let (key_group, key) = split_spilled(&spilled_key);
            let hash = hash_in(key, key_group, common.config.key_groups);
            let (id, is_new) = self.groups.id_of(key, hash)?;
            if is_new {
                self.extend(common);
                self.read(id, &value, common.table)?;
                self.groups.set_mark(id, STALE);
            }
        }
        self.spilled = 0;
        Ok(())
    }
}
