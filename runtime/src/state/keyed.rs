//! Keys, their values, and what a checkpoint must know of their changes.
//!
//! Place in the flow: the core of [`super::KeyedTable`] and [`super::Slices`]. Invariant: between two barriers a changed key is in
//! the dirty list once; while a snapshot is being written, a key of it is written before it changes again (copy on write), so the
//! snapshot shows the moment of its barrier although the table goes on.

use std::mem::size_of;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::entry::{Entry, Place};
use crate::error::{Error, Result};
use crate::operator::EMIT_ROWS_MAX;
use crate::state::backend::{SpillBatch, SpillSpace, StateBackend};
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::state::delta::Deltas;
use crate::state::group_table::GroupTable;
use crate::state::handed::Handed;

/// Values by group id, in whatever form is fastest to work on.
///
/// The default is what is left of a table that has handed over its keys: it is never used.
pub trait Values: Default + Send + Sync + std::fmt::Debug + 'static {
    /// Has as many ids as `len`: new ones are empty, and those past it, which are empty, give back their memory.
    fn resize(&mut self, len: usize);

    /// Empties an id.
    fn clear(&mut self, id: u32);

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
    let (hash, key_groups) = (xxh3_64(key), u64::from(key_groups));
    if hash % key_groups == u64::from(key_group) {
        return hash;
    }
    let half = hash >> 1;
    half - half % key_groups + u64::from(key_group)
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

/// Share of a table's ids that is free after cold keys were moved out of memory, so that the search for them is worth it (guess,
/// unmeasured).
const ROOM_SHARE: usize = 8;

/// Keys that are moved out of memory at once to make room: about a quarter of a second (guess, unmeasured).
const EVICT_KEYS_MAX: usize = 4 * EMIT_ROWS_MAX;

/// Rounds of moving keys out and looking what that has given back, as keys differ in size; each round comes closer (guess).
const SHRINK_ROUNDS_MAX: usize = 4;

/// Set in the number of a table whose values begin with the time of their last change.
const HAS_TIME: u8 = 0x80;

/// What all parts of one table share.
#[derive(Debug)]
pub(super) struct Common {
    /// Number of the table among those of its operator.
    table: u8,
    /// Settings.
    config: StateConfig,
    /// The snapshot being written.
    running: Deltas,
    /// What the next snapshot begins with: deletes and evicted changes.
    next: Deltas,
    /// Where keys go that do not fit into memory; opened with the first.
    backend: Option<Box<dyn StateBackend>>,
    /// Keys on their way to the backend; empty between two calls.
    spilling: SpillBatch,
    /// A value's stored form, kept for its memory.
    scratch: Vec<u8>,
}

impl Common {
    /// Of a table with this number.
    pub(super) fn new(table: u8, config: StateConfig) -> Self {
        let time = if config.ttl_ms.is_some() { HAS_TIME } else { 0 };
        Self {
            table: table | time,
            config,
            running: Deltas::default(),
            next: Deltas::default(),
            backend: None,
            spilling: SpillBatch::default(),
            scratch: Vec::new(),
        }
    }

    /// Number of the table.
    pub(super) fn table(&self) -> u8 {
        self.table & !HAS_TIME
    }

    /// Key groups of the statement.
    pub(super) fn key_groups(&self) -> u32 {
        self.config.key_groups
    }

    /// A place in the table.
    fn place(&self, namespace: i64) -> Place {
        Place {
            table: self.table,
            namespace,
        }
    }

    /// The barrier: what was kept for the next snapshot begins it.
    pub(super) fn freeze(&mut self) {
        let mut next = std::mem::take(&mut self.next);
        next.append_to(&mut self.running);
    }

    /// Memory of the snapshot, in bytes.
    pub(super) fn snapshot_bytes(&self) -> usize {
        self.running.memory_bytes()
    }

    /// Memory of what the next snapshot begins with, in bytes.
    pub(super) fn begun_bytes(&self) -> usize {
        self.next.memory_bytes()
    }

    /// Takes what the next snapshot begins with.
    pub(super) fn take_begun(&mut self, out: &mut Deltas) {
        self.next.append_to(out);
    }

    /// Takes what was written of the snapshot.
    pub(super) fn take(&mut self, out: &mut Deltas) {
        self.running.append_to(out);
    }

    /// Notes that a namespace is gone.
    pub(super) fn drop_namespace(&mut self, namespace: i64, key_group: u32) {
        let place = self.place(namespace);
        self.next.push(key_group, &Entry::Drop { place });
    }

    /// Whether keys may be moved out of memory.
    pub(super) fn may_spill(&self) -> bool {
        self.config.spill.is_some()
    }

    /// The backend, opened if needed; absent when nothing may be spilled.
    fn backend(&mut self) -> Result<Option<&mut Box<dyn StateBackend>>> {
        if self.backend.is_none()
            && let Some(space) = &self.config.spill
        {
            let name = format!("{}-{}", self.config.name, self.table());
            self.backend = Some(space.open(&name)?);
        }
        Ok(self.backend.as_mut())
    }

    /// Stores the keys on their way to the backend.
    fn store_spilling(&mut self) -> Result<()> {
        let mut batch = std::mem::take(&mut self.spilling);
        let Some(backend) = self.backend()? else {
            return Err(Error::internal("state was spilled without a place for it"));
        };
        backend.put_all(&mut batch)?;
        self.spilling = batch;
        Ok(())
    }

    /// Memory held, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.running.memory_bytes() + self.next.memory_bytes() + self.scratch.capacity()
    }
}

/// The key of a spilled key: namespace in order, key group in order, then the key.
fn spilled_key(namespace: i64, key_group: u32, key: &[u8]) -> Vec<u8> {
    let mut bytes = spilled_prefix(namespace).to_vec();
    bytes.extend_from_slice(&key_group.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

/// What the spilled keys of a namespace begin with.
fn spilled_prefix(namespace: i64) -> [u8; 8] {
    (namespace.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// Bytes before the key in a spilled key.
const SPILLED_PREFIX_BYTES: usize = 12;

/// Key group and key of a spilled key.
fn split_spilled(spilled: &[u8]) -> (u32, &[u8]) {
    let (head, key) = spilled.split_at(SPILLED_PREFIX_BYTES.min(spilled.len()));
    let key_group = head
        .last_chunk::<4>()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes));
    (key_group, key)
}

/// Keys and values of one namespace.
#[derive(Debug)]
pub(super) struct Keyed<V: Values> {
    /// The namespace.
    namespace: i64,
    /// Keys to ids.
    groups: GroupTable,
    /// Values by id.
    values: V,
    /// [`DIRTY`] and so on, by id.
    flags: Vec<u8>,
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
            flags: Vec::new(),
            dirty: Vec::new(),
            frozen: Vec::new(),
            written_ms: Vec::new(),
            hand: 0,
            spilled: 0,
            handed: Vec::new(),
            handed_keys: 0,
            logged: Vec::new(),
        }
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
    fn key_group(&self, common: &Common, id: u32) -> u32 {
        crate::graph::key_group::key_group(self.groups.hash(id), common.config.key_groups)
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

    /// Whether keys are held that are not in memory, or not in that of this table.
    fn has_others(&self) -> bool {
        self.spilled > 0 || self.handed_keys > 0
    }

    /// The id of a key that is about to be changed, and whether it is new.
    pub(super) fn upsert(
        &mut self,
        common: &mut Common,
        (key, hash): (&[u8], u64),
        now_ms: i64,
    ) -> Result<(u32, bool)> {
        let (id, mut is_new) = self.insert(common, key, hash)?;
        if let Some(ttl_ms) = common.config.ttl_ms {
            let written = &mut self.written_ms[id as usize];
            let is_expired = !is_new && written.saturating_add(ttl_ms) <= now_ms;
            *written = now_ms;
            if is_expired {
                self.touch(common, id);
                self.values.clear(id);
                is_new = true;
            }
        }
        self.touch(common, id);
        Ok((id, is_new))
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
        let Some(id) = found else {
            return Ok(None);
        };
        self.flags[id as usize] |= SEEN;
        if let Some(ttl_ms) = common.config.ttl_ms
            && self.written_ms[id as usize].saturating_add(ttl_ms) <= now_ms
        {
            return Ok(None);
        }
        Ok(Some(id))
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
            self.flags[id as usize] = NEW;
        }
        Ok((id, is_new))
    }

    /// Makes room for every id.
    fn extend(&mut self, common: &Common) {
        let capacity = self.groups.capacity();
        if self.flags.len() < capacity {
            self.flags.resize(capacity, 0);
            self.values.resize(capacity);
            if common.config.ttl_ms.is_some() {
                self.written_ms.resize(capacity, 0);
            }
        }
    }

    /// Brings a key back from the backend or from another slot's table, if it is there.
    fn fetch(&mut self, common: &mut Common, key: &[u8], hash: u64) -> Result<Option<u32>> {
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
        self.flags[id as usize] = STALE;
        self.spilled -= 1;
        Ok(Some(id))
    }

    /// Takes a key over from another slot's table, if it is there.
    fn take_over(&mut self, common: &mut Common, key: &[u8], hash: u64) -> Result<Option<u32>> {
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
    fn put_handed(
        &mut self,
        common: &Common,
        (key, hash): (&[u8], u64),
        stored: &[u8],
    ) -> Result<u32> {
        let (id, _) = self.groups.id_of(key, hash)?;
        self.extend(common);
        self.flags[id as usize] = 0;
        self.read(id, stored, common.table)?;
        self.handed_keys -= 1;
        if self.handed.iter().any(|handed| handed.left() == 0) {
            self.handed.retain(|handed| handed.left() > 0);
        }
        Ok(id)
    }

    /// Takes over about `limit` of the keys that other slots' tables still hold.
    pub(super) fn take_over_some(&mut self, common: &mut Common, limit: usize) -> Result<()> {
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
    fn take_over_all(&mut self, common: &mut Common) -> Result<()> {
        self.take_over_some(common, usize::MAX)
    }

    /// Keys that other slots' tables still hold.
    pub(super) fn handed_keys(&self) -> usize {
        self.handed_keys
    }

    /// All keys, for other slots, after the barrier at which this one ends; those that others have handed over to it come with them.
    pub(super) fn into_handed(mut self) -> Vec<Handed<V>> {
        let mut handed = std::mem::take(&mut self.handed);
        self.handed_keys = 0;
        handed.push(Handed::all(self));
        handed
    }

    /// Holds those keys of another slot's table that belong here.
    pub(super) fn add_handed(
        &mut self,
        common: &Common,
        handed: &Handed<V>,
        owns: &dyn Fn(u32) -> bool,
    ) {
        let key_groups = common.config.key_groups;
        let key_group = |hash| crate::graph::key_group::key_group(hash, key_groups);
        if let Some(part) = handed.part(&|hash| owns(key_group(hash))) {
            self.handed_keys += part.left();
            self.handed.push(part);
        }
        for (key_group, is_logged) in (0..).zip(handed.logged()) {
            if *is_logged && owns(key_group) {
                self.note_logged(key_group);
            }
        }
    }

    /// Whether keys are on disk.
    pub(super) fn has_spilled(&self) -> bool {
        self.spilled > 0
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
    fn touch(&mut self, common: &mut Common, id: u32) {
        let flags = self.flags[id as usize];
        if flags & (DIRTY | FROZEN | SEEN) == DIRTY | SEEN {
            return;
        }
        if flags & FROZEN != 0 {
            self.log_put(common, id, Log::Running);
        }
        if flags & DIRTY == 0 {
            self.push_dirty(id);
        }
        self.flags[id as usize] = (flags & !FROZEN) | DIRTY | SEEN;
    }

    /// Lists a dirty id. Ids that were forgotten and given to other keys are in the list twice, until it is twice as long as needed.
    fn push_dirty(&mut self, id: u32) {
        if self.dirty.len() >= self.flags.len().saturating_mul(2) {
            self.dirty.sort_unstable();
            self.dirty.dedup();
            let flags = &self.flags;
            self.dirty.retain(|id| flags[*id as usize] & DIRTY != 0);
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
        let flags = self.flags[id as usize];
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
        self.flags[id as usize] = 0;
    }

    /// The barrier: what is dirty belongs to the snapshot.
    pub(super) fn freeze(&mut self) {
        for id in self.dirty.drain(..) {
            let flags = &mut self.flags[id as usize];
            if *flags & DIRTY != 0 {
                *flags = (*flags & !(DIRTY | NEW)) | FROZEN;
                self.frozen.push(id);
            }
        }
    }

    /// Writes at most `limit` keys of the snapshot; how many are left to look at.
    pub(super) fn write_frozen(&mut self, common: &mut Common, limit: usize) -> usize {
        for _ in 0..limit {
            let Some(id) = self.frozen.pop() else {
                break;
            };
            if self.flags[id as usize] & FROZEN != 0 {
                self.flags[id as usize] &= !FROZEN;
                self.log_put(common, id, Log::Running);
            }
        }
        self.frozen.len()
    }

    /// Takes over an entry of a checkpoint.
    pub(super) fn load(
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
                    self.flags[id as usize] = 0;
                } else {
                    self.values.clear(id);
                }
                self.note_logged(key_group);
                self.read(id, value, place.table)
            }
            Entry::Delete { key, .. } => {
                let hash = hash_in(key, key_group, common.config.key_groups);
                if let Some(id) = self.find(common, (key, hash), i64::MIN)? {
                    if self.flags[id as usize] & STALE != 0
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
    pub(super) fn export(&self, common: &Common, visit: &mut ExportVisit<'_>) -> Result<()> {
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

    /// Moves at most `count` cold keys to the backend. Keys that were looked at since the last call are passed over once (clock
    /// algorithm).
    pub(super) fn evict(&mut self, common: &mut Common, count: usize) -> Result<()> {
        let capacity = u32::try_from(self.groups.capacity()).unwrap_or(u32::MAX);
        let batch_bytes = common
            .backend()?
            .map_or(usize::MAX, |backend| backend.batch_bytes());
        let mut moved = 0;
        for _ in 0..u64::from(capacity) * 2 {
            if moved >= count {
                break;
            }
            let id = self.hand;
            self.hand = if id + 1 >= capacity { 0 } else { id + 1 };
            if !self.groups.holds(id) {
                continue;
            }
            if self.flags[id as usize] & SEEN != 0 {
                self.flags[id as usize] &= !SEEN;
                continue;
            }
            self.spill(common, id);
            moved += 1;
            if common.spilling.bytes() >= batch_bytes {
                common.store_spilling()?;
            }
        }
        common.store_spilling()
    }

    /// Moves one key to the backend.
    fn spill(&mut self, common: &mut Common, id: u32) {
        let flags = self.flags[id as usize];
        if flags & FROZEN != 0 {
            self.log_put(common, id, Log::Running);
        }
        if flags & DIRTY != 0 {
            self.log_put(common, id, Log::Next);
        }
        let key = spilled_key(
            self.namespace,
            self.key_group(common, id),
            self.groups.key(id),
        );
        let mut value = std::mem::take(&mut common.scratch);
        value.clear();
        self.write(id, &mut value);
        common.spilling.push(&key, &value);
        common.scratch = value;
        self.forget(id);
        self.spilled += 1;
    }

    /// Moves the keys that other slots' tables still hold to the backend: copied into memory first, they would take twice theirs. They
    /// are in a checkpoint already.
    fn spill_handed(&mut self, common: &mut Common) -> Result<()> {
        if self.handed.is_empty() {
            return Ok(());
        }
        let batch_bytes = common
            .backend()?
            .map_or(usize::MAX, |backend| backend.batch_bytes());
        let (mut stored, mut looks) = (Vec::new(), usize::MAX);
        while let Some(mut handed) = self.handed.pop() {
            while let Some((from, id)) = handed.take_next(&mut looks) {
                stored.clear();
                from.write(id, &mut stored);
                let key = spilled_key(self.namespace, from.key_group(common, id), from.key(id));
                common.spilling.push(&key, &stored);
                self.handed_keys -= 1;
                self.spilled += 1;
                if common.spilling.bytes() >= batch_bytes {
                    common.store_spilling()?;
                }
            }
        }
        common.store_spilling()
    }

    /// Moves cold keys to the backend until about `limit_bytes` are held, and gives back their memory. Ids change.
    pub(super) fn shrink(&mut self, common: &mut Common, limit_bytes: usize) -> Result<()> {
        self.spill_handed(common)?;
        if self.room() > self.room_wanted() && self.memory_bytes() > limit_bytes {
            self.compact(common)?;
        }
        for _ in 0..SHRINK_ROUNDS_MAX {
            let (bytes, held) = (self.memory_bytes(), self.held());
            if bytes <= limit_bytes || held == 0 {
                break;
            }
            // Spare ids take their share as well.
            let keep = (held as u128 * limit_bytes as u128 / bytes as u128) as usize;
            let keep = keep - keep / ROOM_SHARE;
            self.evict(common, (held - keep).max(1))?;
            self.compact(common)?;
        }
        Ok(())
    }

    /// Gives keys smaller ids, so that the memory behind them can be given back. Some ids stay free.
    fn compact(&mut self, common: &mut Common) -> Result<()> {
        let held = self.held();
        let len = (held + held / ROOM_SHARE).min(self.capacity());
        let mut stored = std::mem::take(&mut common.scratch);
        for (from, to) in self.groups.compact_ids(len) {
            stored.clear();
            self.write(from, &mut stored);
            self.values.clear(from);
            self.read(to, &stored, common.table)?;
            let flags = std::mem::take(&mut self.flags[from as usize]);
            self.flags[to as usize] = flags;
            if flags & DIRTY != 0 {
                self.dirty.push(to);
            }
            if flags & FROZEN != 0 {
                self.frozen.push(to);
            }
        }
        common.scratch = stored;
        for list in [&mut self.dirty, &mut self.frozen] {
            list.retain(|id| (*id as usize) < len);
            list.shrink_to_fit();
        }
        column::resize(&mut self.flags, len, 0);
        self.values.resize(len);
        if common.config.ttl_ms.is_some() {
            column::resize(&mut self.written_ms, len, 0);
        }
        self.hand = if (self.hand as usize) < len {
            self.hand
        } else {
            0
        };
        Ok(())
    }

    /// Makes room for the keys of some batches by moving cold keys to the backend.
    pub(super) fn make_room(&mut self, common: &mut Common) -> Result<()> {
        let wanted = self.room_wanted();
        if self.room() < wanted {
            // More than is needed at once, so that files are not too small.
            self.evict(
                common,
                (self.held() / ROOM_SHARE).clamp(wanted, EVICT_KEYS_MAX),
            )?;
        }
        Ok(())
    }

    /// What this is going to take when it grows, if it soon does: columns double when they are full.
    pub(super) fn growth_bytes(&self) -> usize {
        if self.room() < self.room_wanted() {
            self.memory_bytes() - self.handed_bytes() - self.values.heap_bytes()
        } else {
            0
        }
    }

    /// Keys that should fit in without growing.
    fn room_wanted(&self) -> usize {
        (self.held() / ROOM_SHARE / 2).min(EMIT_ROWS_MAX)
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

    /// Key groups of which a checkpoint may hold keys of this namespace, once what is frozen is written.
    pub(super) fn logged(&mut self, common: &Common) -> Vec<u32> {
        for index in 0..self.frozen.len() {
            let id = self.frozen[index];
            if self.flags[id as usize] & FROZEN != 0 {
                self.note_logged(self.key_group(common, id));
            }
        }
        (0..)
            .zip(&self.logged)
            .filter(|(_, is_logged)| **is_logged)
            .map(|(key_group, _)| key_group)
            .collect()
    }

    /// Forgets what the backend and other slots' tables hold of this namespace.
    pub(super) fn clear_others(&mut self, common: &mut Common) -> Result<()> {
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
    pub(super) fn fetch_all(&mut self, common: &mut Common) -> Result<()> {
        self.take_over_all(common)?;
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
                self.flags[id as usize] = STALE;
            }
        }
        self.spilled = 0;
        Ok(())
    }

    /// Forgets the keys of a key group without a word to any checkpoint: the checkpoint says so itself.
    pub(super) fn drop_key_group(&mut self, common: &mut Common, key_group: u32) -> Result<()> {
        self.fetch_all(common)?;
        let ids: Vec<u32> = self.groups.ids().collect();
        for id in ids {
            if self.key_group(common, id) != key_group {
                continue;
            }
            if self.flags[id as usize] & STALE != 0
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
            + self.flags.capacity()
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
