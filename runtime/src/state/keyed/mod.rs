//! Keys, their values, and what a checkpoint must know of their changes.
//!
//! Place in the flow: the core of [`super::KeyedTable`] and [`super::Slices`]. Invariant: between two barriers a changed key is in
//! the dirty list once; while a snapshot is being written, a key of it is written before it changes again (copy on write), so the
//! snapshot shows the moment of its barrier although the table goes on.

mod common;
mod elsewhere;
mod memory;
mod snapshot;

use std::mem::size_of;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::entry::Entry;
use crate::error::{Error, Result};
use crate::graph::key_group::key_group as group_of;
use crate::state::EncodedKeys;
use crate::state::backend::SpillSpace;
use crate::state::codec::{Reader, Writer};
use crate::state::group_table::{GroupTable, NOT_HELD};
use crate::state::handed::Handed;
pub(super) use crate::state::keyed::common::Common;
use crate::state::keyed::common::HAS_TIME;
use crate::state::keyed::elsewhere::spilled_key;

/// Values by group id, in whatever form is fastest to work on.
///
/// The default is what is left of a table that has handed over its keys: it is never used.
pub trait Values: Default + Send + Sync + std::fmt::Debug + 'static {
    /// Has as many ids as `len`: new ones are empty, and those past it, which are empty, give back their memory.
    fn resize(&mut self, len: usize);

    /// Empties an id.
    fn clear(&mut self, id: u32);

    /// Forgets all ids and keeps their memory for others; false when it cannot, and then this is not used again.
    fn reset(&mut self) -> bool {
        false
    }

    /// Looks at the values of some ids, of which those past all others are none, before each of them is worked on. Values with memory of their
    /// own do: the processor waits for many of them at once then, and not for one after the other.
    fn look_ahead(&self, ids: &[u32]) {
        let _ = ids;
    }

    /// Appends the value of an id in its stored form.
    fn write(&self, id: u32, out: &mut Vec<u8>);

    /// Reads the value of an empty id from its stored form.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not of this table.
    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()>;

    /// Memory held, in bytes. Called about once per batch, so it does not walk over ids.
    fn memory_bytes(&self) -> usize;

    /// Memory of values apart from their columns, in bytes: it does not double when columns do.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// No values: the table is a set of keys.
impl Values for () {
    fn resize(&mut self, _len: usize) {}

    fn clear(&mut self, _id: u32) {}

    fn write(&self, _id: u32, _out: &mut Vec<u8>) {}

    fn read(&mut self, _id: u32, _input: &mut Reader<'_>) -> Result<()> {
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}

/// What the tables of an operator are opened with.
#[derive(Debug, Clone)]
pub struct StateConfig {
    /// Names the operator and the subtask among those of the slot.
    pub name: String,
    /// Key groups of the statement.
    pub key_groups: u32,
    /// Time after which a key that was not written is forgotten, milliseconds; absent keeps keys for ever.
    pub ttl_ms: Option<i64>,
    /// Where keys go that do not fit into memory; absent keeps everything in memory.
    pub spill: Option<Arc<dyn SpillSpace>>,
}

impl StateConfig {
    /// State that is kept in memory and for ever.
    pub fn in_memory(name: &str, key_groups: u32) -> Self {
        Self {
            name: name.to_owned(),
            key_groups,
            ttl_ms: None,
            spill: None,
        }
    }
}

/// The hash of a key whose key group is known: that of its encoding when it leads to the key group, else one that does.
///
/// Keys of a table whose key group comes from a part of them, such as the rows of a join side, have the second form.
pub(super) fn hash_in(key: &[u8], key_group: u32, key_groups: u32) -> u64 {
    let hash = xxh3_64(key);
    if group_of(hash, key_groups) == key_group {
        return hash;
    }
    let half = hash >> 1;
    half - u64::from(group_of(half, key_groups)) + u64::from(key_group)
}

/// Changed since the last barrier.
const DIRTY: u8 = 1;
/// Part of the snapshot being written, and not yet written.
const FROZEN: u8 = 2;
/// Looked at since the hand of the clock passed.
const SEEN: u8 = 4;
/// In no checkpoint and no delta yet.
const NEW: u8 = 8;
/// An older value is in the backend.
const STALE: u8 = 16;

/// Keys and values of one namespace.
#[derive(Debug)]
pub(super) struct Keyed<V: Values> {
    /// The namespace.
    namespace: i64,
    /// Keys to ids, each marked with [`DIRTY`] and so on.
    groups: GroupTable,
    /// Values by id.
    values: V,
    /// Ids for which there is room beside the keys.
    room: usize,
    /// Ids that may be dirty; each dirty one is in it.
    dirty: Vec<u32>,
    /// Ids that may be frozen; each frozen one is in it.
    frozen: Vec<u32>,
    /// When each id was last written; empty without a TTL.
    written_ms: Vec<i64>,
    /// Where the search for cold or expired ids goes on.
    hand: u32,
    /// Keys that are in the backend only.
    spilled: usize,
    /// Where keys are that tables of other slots have handed over; none is without keys.
    handed: Vec<Handed<V>>,
    /// Keys that are there.
    handed_keys: usize,
    /// Whether some were handed over, and may be on disk by now without the values having read them.
    has_unread: bool,
    /// Key groups of which a checkpoint may hold keys of this namespace.
    logged: Vec<bool>,
}

impl<V: Values> Keyed<V> {
    /// No keys.
    pub(super) fn new(namespace: i64, values: V) -> Self {
        Self {
            namespace,
            groups: GroupTable::default(),
            values,
            room: 0,
            dirty: Vec::new(),
            frozen: Vec::new(),
            written_ms: Vec::new(),
            hand: 0,
            spilled: 0,
            handed: Vec::new(),
            handed_keys: 0,
            has_unread: false,
            logged: Vec::new(),
        }
    }

    /// Becomes one without keys that keeps its memory for another namespace; absent when there is nothing to gain: values that cannot be
    /// reset, or more memory than a quarter of it is in use, as of a namespace much larger than the others.
    pub(super) fn into_spare(mut self) -> Option<Self> {
        let is_used = self.held() * 4 >= self.room;
        if !is_used || self.has_others() || !self.frozen.is_empty() || !self.values.reset() {
            return None;
        }
        self.groups.clear();
        self.room = 0;
        self.dirty.clear();
        self.written_ms.clear();
        self.logged.clear();
        (self.hand, self.has_unread) = (0, false);
        Some(self)
    }

    /// As a namespace that is opened.
    pub(super) fn reopened(self, namespace: i64) -> Self {
        Self { namespace, ..self }
    }

    /// Values by id.
    pub(super) fn values(&self) -> &V {
        &self.values
    }

    /// Values by id, to be changed for ids that [`Self::upsert`] has returned since the last barrier.
    pub(super) fn values_mut(&mut self) -> &mut V {
        &mut self.values
    }

    /// The key of an id in use.
    pub(super) fn key(&self, id: u32) -> &[u8] {
        self.groups.key(id)
    }

    /// The key group of an id in use.
    pub(super) fn key_group(&self, common: &Common, id: u32) -> u32 {
        group_of(self.groups.hash(id), common.config.key_groups)
    }

    /// Ids in use from `first` on, ascending.
    pub(super) fn ids_from(&self, first: u32) -> impl Iterator<Item = u32> {
        self.groups.ids_from(first)
    }

    /// One past the largest id.
    pub(super) fn capacity(&self) -> usize {
        self.groups.capacity()
    }

    /// Keys held, spilled and handed over ones included.
    pub(super) fn len(&self) -> usize {
        self.groups.len() + self.spilled + self.handed_keys
    }

    /// The hash of an id in use.
    pub(super) fn hash(&self, id: u32) -> u64 {
        self.groups.hash(id)
    }

    /// The id of a key, if it is in memory.
    pub(super) fn find_in_memory(&self, key: &[u8], hash: u64) -> Option<u32> {
        self.groups.find(key, hash)
    }

    /// The id of a key that is about to be changed, and whether it is new.
    pub(super) fn upsert(
        &mut self,
        common: &mut Common,
        (key, hash): (&[u8], u64),
        now_ms: i64,
    ) -> Result<(u32, bool)> {
        let (id, is_new) = self.insert(common, key, hash)?;
        Ok((id, self.open(common, (id, is_new), now_ms)))
    }

    /// The ids of some keys of a batch that are about to be changed; `on_new` is told each new id in order.
    pub(super) fn upsert_all(
        &mut self,
        common: &mut Common,
        (keys, rows): (&EncodedKeys, impl Iterator<Item = usize> + Clone),
        now_ms: i64,
        (ids, mut on_new): (&mut Vec<u32>, impl FnMut(u32)),
    ) -> Result<()> {
        self.groups.find_all((keys, rows.clone()), ids);
        for (row, id) in rows.zip(ids.iter_mut()) {
            let mut is_new = false;
            if *id == NOT_HELD {
                (*id, is_new) = self.insert(common, keys.key(row), keys.hashes[row])?;
            }
            if self.open(common, (*id, is_new), now_ms) {
                on_new(*id);
            }
        }
        self.values.look_ahead(ids);
        Ok(())
    }

    /// Notes that an id is about to change; whether it is new, or as good as new since it has expired.
    fn open(&mut self, common: &mut Common, (id, is_new): (u32, bool), now_ms: i64) -> bool {
        let mut is_expired = false;
        if let Some(ttl_ms) = common.config.ttl_ms {
            let written = &mut self.written_ms[id as usize];
            is_expired = !is_new && written.saturating_add(ttl_ms) <= now_ms;
            *written = now_ms;
            if is_expired {
                self.touch(common, id);
                self.values.clear(id);
            }
        }
        self.touch(common, id);
        is_new || is_expired
    }

    /// Notes that an id which is held and not expired is about to change.
    pub(super) fn renew(&mut self, common: &mut Common, id: u32, now_ms: i64) {
        if let Some(written_ms) = self.written_ms.get_mut(id as usize) {
            *written_ms = now_ms;
        }
        self.touch(common, id);
    }

    /// The id of a key, if it is held and not expired. Its value is not to be changed.
    pub(super) fn find(
        &mut self,
        common: &mut Common,
        (key, hash): (&[u8], u64),
        now_ms: i64,
    ) -> Result<Option<u32>> {
        let found = match self.groups.find(key, hash) {
            Some(id) => Some(id),
            None if self.has_others() => self.fetch(common, key, hash)?,
            None => None,
        };
        Ok(found.filter(|id| self.see(common, *id, now_ms)))
    }

    /// As [`Self::find`], for some keys of a batch; [`NOT_HELD`] for none.
    pub(super) fn find_all(
        &mut self,
        common: &mut Common,
        (keys, rows): (&EncodedKeys, impl Iterator<Item = usize> + Clone),
        now_ms: i64,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        self.groups.find_all((keys, rows.clone()), ids);
        let had_others = self.has_others();
        for (row, id) in rows.zip(ids.iter_mut()) {
            if *id == NOT_HELD && had_others {
                // A key that is twice in the batch may have been fetched by now.
                let found = self.find(common, (keys.key(row), keys.hashes[row]), now_ms)?;
                *id = found.unwrap_or(NOT_HELD);
            } else if *id != NOT_HELD && !self.see(common, *id, now_ms) {
                *id = NOT_HELD;
            }
        }
        self.values.look_ahead(ids);
        Ok(())
    }

    /// Notes that an id was looked at; whether it has not expired.
    fn see(&mut self, common: &Common, id: u32, now_ms: i64) -> bool {
        // Nobody asks when keys stay in memory, and the look costs waiting for it.
        if common.may_spill() {
            self.groups.set_mark(id, self.groups.mark(id) | SEEN);
        }
        let ttl_ms = common.config.ttl_ms;
        ttl_ms.is_none_or(|ttl_ms| self.written_ms[id as usize].saturating_add(ttl_ms) > now_ms)
    }

    /// The id of a key, inserted or fetched when it is not in memory; whether it is new.
    fn insert(&mut self, common: &mut Common, key: &[u8], hash: u64) -> Result<(u32, bool)> {
        if self.has_others()
            && self.groups.find(key, hash).is_none()
            && let Some(id) = self.fetch(common, key, hash)?
        {
            return Ok((id, false));
        }
        let (id, is_new) = self.groups.id_of(key, hash)?;
        if is_new {
            self.extend(common);
            self.groups.set_mark(id, NEW);
        }
        Ok((id, is_new))
    }

    /// Makes room for every id, and for as many as come before the table of keys grows.
    fn extend(&mut self, common: &Common) {
        if self.room < self.groups.capacity() {
            let capacity = self.groups.capacity() + self.groups.room_behind();
            self.room = capacity;
            self.values.resize(capacity);
            if common.config.ttl_ms.is_some() {
                self.written_ms.resize(capacity, 0);
            }
        }
    }

    /// Key groups of which a checkpoint holds or has held keys of this namespace.
    pub(super) fn logged_groups(&self) -> &[bool] {
        &self.logged
    }

    /// Reads the stored form of a value; `table` tells whether it begins with a time.
    fn read(&mut self, id: u32, value: &[u8], table: u8) -> Result<()> {
        let mut input = Reader::new(value);
        if table & HAS_TIME != 0 {
            let written_ms = input.i64()?;
            if let Some(slot) = self.written_ms.get_mut(id as usize) {
                *slot = written_ms;
            }
        }
        self.values.read(id, &mut input)?;
        if input.is_empty() {
            Ok(())
        } else {
            Err(Error::corrupt("state is longer than its value"))
        }
    }

    /// Appends the stored form of a value.
    fn write(&self, id: u32, out: &mut Vec<u8>) {
        if let Some(written_ms) = self.written_ms.get(id as usize) {
            out.put_i64(*written_ms);
        }
        self.values.write(id, out);
    }

    /// Notes that an id is about to change.
    pub(super) fn touch(&mut self, common: &mut Common, id: u32) {
        let flags = self.groups.mark(id);
        if flags & (DIRTY | FROZEN | SEEN) == DIRTY | SEEN {
            return;
        }
        if flags & FROZEN != 0 {
            self.log_put(common, id, Log::Running);
        }
        if flags & DIRTY == 0 {
            self.push_dirty(id);
        }
        self.groups.set_mark(id, (flags & !FROZEN) | DIRTY | SEEN);
    }

    /// Lists a dirty id. Ids that were forgotten and given to other keys are in the list twice, until it is twice as long as needed.
    fn push_dirty(&mut self, id: u32) {
        if self.dirty.len() >= self.room.saturating_mul(2) {
            self.dirty.sort_unstable();
            self.dirty.dedup();
            let groups = &self.groups;
            self.dirty.retain(|id| groups.mark(*id) & DIRTY != 0);
        }
        self.dirty.push(id);
    }

    /// Writes the present value of an id into a snapshot.
    fn log_put(&mut self, common: &mut Common, id: u32, log: Log) {
        let key_group = self.key_group(common, id);
        let mut value = std::mem::take(&mut common.scratch);
        value.clear();
        self.write(id, &mut value);
        let entry = Entry::Put {
            place: common.place(self.namespace),
            key: self.groups.key(id),
            value: &value,
        };
        match log {
            Log::Running => common.running.push(key_group, &entry),
            Log::Next => common.next.push(key_group, &entry),
        }
        common.scratch = value;
        self.note_logged(key_group);
    }

    /// Notes that a checkpoint may hold keys of a key group.
    fn note_logged(&mut self, key_group: u32) {
        let index = key_group as usize;
        if self.logged.len() <= index {
            self.logged.resize(index + 1, false);
        }
        self.logged[index] = true;
    }

    /// Forgets a key.
    pub(super) fn remove(&mut self, common: &mut Common, id: u32) -> Result<()> {
        let flags = self.groups.mark(id);
        let key_group = self.key_group(common, id);
        if flags & FROZEN != 0 {
            self.log_put(common, id, Log::Running);
        }
        if flags & NEW == 0 {
            let place = common.place(self.namespace);
            let key = self.groups.key(id);
            common.next.push(key_group, &Entry::Delete { place, key });
        }
        if flags & STALE != 0
            && let Some(backend) = common.backend()?
        {
            backend.remove(&spilled_key(self.namespace, key_group, self.groups.key(id)))?;
        }
        self.forget(id);
        Ok(())
    }

    /// Takes an id out of memory.
    fn forget(&mut self, id: u32) {
        self.values.clear(id);
        self.groups.remove(id);
    }

    /// Forgets keys of the next `limit` ids that were not written for the TTL; spilled ones are found when they are looked up.
    pub(super) fn expire(&mut self, common: &mut Common, now_ms: i64, limit: u32) -> Result<()> {
        let Some(ttl_ms) = common.config.ttl_ms else {
            return Ok(());
        };
        let capacity = u32::try_from(self.groups.capacity()).unwrap_or(u32::MAX);
        for _ in 0..limit.min(capacity) {
            let id = self.hand;
            self.hand = if id + 1 >= capacity { 0 } else { id + 1 };
            if self.groups.holds(id)
                && self.written_ms[id as usize].saturating_add(ttl_ms) <= now_ms
            {
                self.remove(common, id)?;
            }
        }
        Ok(())
    }

    /// Keys in memory.
    pub(super) fn held(&self) -> usize {
        self.groups.len()
    }

    /// Keys that fit in without growing.
    pub(super) fn room(&self) -> usize {
        self.groups.room()
    }

    /// Keys of the snapshot that are left to look at.
    pub(super) fn frozen_count(&self) -> usize {
        self.frozen.len()
    }

    /// Memory held, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.groups.memory_bytes()
            + self.values.memory_bytes()
            + (self.dirty.capacity() + self.frozen.capacity()) * size_of::<u32>()
            + self.written_ms.capacity() * size_of::<i64>()
            + self.handed_bytes()
    }

    /// Memory of keys that other slots' tables still hold, in bytes.
    fn handed_bytes(&self) -> usize {
        self.handed.iter().map(Handed::memory_bytes).sum()
    }
}

/// Is shown the key group of an entry, and the entry.
pub type ExportVisit<'a> = dyn FnMut(u32, &Entry<'_>) -> Result<()> + 'a;

/// Which snapshot an entry goes to.
#[derive(Debug, Clone, Copy)]
enum Log {
    /// The one being written.
    Running,
    /// The one after the next barrier.
    Next,
}
