//! What a namespace gives to checkpoints, and takes from them.
//!
//! Place in the flow: the subtask freezes its tables at a barrier, writes snapshots between batches, and restores from them. Invariant: a
//! key that was dirty at the barrier is written as it was then.

use crate::checkpoint::entry::Entry;
use crate::error::{Error, Result};
use crate::state::handed::Handed;
use crate::state::keyed::elsewhere::{spilled_key, spilled_prefix, split_spilled};
use crate::state::keyed::{
    Common, DIRTY, ExportVisit, FROZEN, Keyed, Log, NEW, STALE, Values, hash_in,
};

impl<V: Values> Keyed<V> {
    /// The barrier: what is dirty belongs to the snapshot.
    pub(in crate::state) fn freeze(&mut self) {
        for id in self.dirty.drain(..) {
            let flags = self.groups.mark(id);
            if flags & DIRTY != 0 {
                self.groups.set_mark(id, (flags & !(DIRTY | NEW)) | FROZEN);
                self.frozen.push(id);
            }
        }
    }

    /// Writes at most `limit` keys of the snapshot; how many are left to look at.
    pub(in crate::state) fn write_frozen(&mut self, common: &mut Common, limit: usize) -> usize {
        for _ in 0..limit {
            let Some(id) = self.frozen.pop() else {
                break;
            };
            let flags = self.groups.mark(id);
            if flags & FROZEN != 0 {
                self.groups.set_mark(id, flags & !FROZEN);
                self.log_put(common, id, Log::Running);
            }
        }
        self.frozen.len()
    }

    /// Takes over an entry of a checkpoint.
    pub(in crate::state) fn load(
        &mut self,
        common: &mut Common,
        key_group: u32,
        entry: &Entry<'_>,
    ) -> Result<()> {
        match entry {
            Entry::Put { key, value, place } => {
                let hash = hash_in(key, key_group, common.config.key_groups);
                let (id, is_new) = self.insert(common, key, hash)?;
                if is_new {
                    self.groups.set_mark(id, 0);
                } else {
                    self.values.clear(id);
                }
                self.note_logged(key_group);
                self.read(id, value, place.table)
            }
            Entry::Delete { key, .. } => {
                let hash = hash_in(key, key_group, common.config.key_groups);
                if let Some(id) = self.find(common, (key, hash), i64::MIN)? {
                    if self.groups.mark(id) & STALE != 0
                        && let Some(backend) = common.backend()?
                    {
                        backend.remove(&spilled_key(self.namespace, key_group, key))?;
                    }
                    self.forget(id);
                }
                Ok(())
            }
            Entry::Drop { .. } => Err(Error::internal("a namespace drops itself")),
        }
    }

    /// Shows every key of some key groups with its stored value.
    pub(in crate::state) fn export(
        &self,
        common: &Common,
        visit: &mut ExportVisit<'_>,
    ) -> Result<()> {
        let place = common.place(self.namespace);
        let mut stored = Vec::new();
        for id in self.groups.ids() {
            stored.clear();
            self.write(id, &mut stored);
            let key = self.groups.key(id);
            let value = stored.as_slice();
            visit(
                self.key_group(common, id),
                &Entry::Put { place, key, value },
            )?;
        }
        for (from, id) in self.handed.iter().flat_map(Handed::rest) {
            stored.clear();
            from.write(id, &mut stored);
            let (key, value) = (from.key(id), stored.as_slice());
            visit(
                from.key_group(common, id),
                &Entry::Put { place, key, value },
            )?;
        }
        let Some(backend) = common.backend.as_ref().filter(|_| self.spilled > 0) else {
            return Ok(());
        };
        backend.scan(&spilled_prefix(self.namespace), &mut |spilled, value| {
            let (key_group, key) = split_spilled(spilled);
            let hash = hash_in(key, key_group, common.config.key_groups);
            if self.groups.find(key, hash).is_some() {
                return Ok(());
            }
            visit(key_group, &Entry::Put { place, key, value })
        })
    }

    /// Key groups of which a checkpoint may hold keys of this namespace, once what is frozen is written.
    pub(in crate::state) fn logged(&mut self, common: &Common) -> Vec<u32> {
        for index in 0..self.frozen.len() {
            let id = self.frozen[index];
            if self.groups.mark(id) & FROZEN != 0 {
                self.note_logged(self.key_group(common, id));
            }
        }
        (0..)
            .zip(&self.logged)
            .filter(|(_, is_logged)| **is_logged)
            .map(|(key_group, _)| key_group)
            .collect()
    }

    /// Forgets the keys of a key group without a word to any checkpoint: the checkpoint says so itself.
    pub(in crate::state) fn drop_key_group(
        &mut self,
        common: &mut Common,
        key_group: u32,
    ) -> Result<()> {
        self.fetch_all(common)?;
        let ids: Vec<u32> = self.groups.ids().collect();
        for id in ids {
            if self.key_group(common, id) != key_group {
                continue;
            }
            if self.groups.mark(id) & STALE != 0
                && let Some(backend) = common.backend()?
            {
                backend.remove(&spilled_key(self.namespace, key_group, self.groups.key(id)))?;
            }
            self.forget(id);
        }
        if let Some(is_logged) = self.logged.get_mut(key_group as usize) {
            *is_logged = false;
        }
        Ok(())
    }
}
