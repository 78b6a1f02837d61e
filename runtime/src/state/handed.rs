//! Keys that come from the tables of other slots, without a pause to copy them.
//!
//! Place in the flow: when a statement gets another number of slots, the tables of the old ones are [`Legacy`], and each new table has
//! a [`Handed`] for each of them: it fetches a key when the key is looked up, as from disk, and the others a few at a time. Invariant: a
//! key is in a table or in one of its `Handed`, never in both; nobody changes a legacy.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::state::keyed::{Keyed, Values};

/// What a table hands over, for tables of the same operator in other slots.
pub type HandedOver = Box<dyn Any + Send>;

/// The keys of a table that has handed them over, by namespace.
pub(super) type Legacy<V> = BTreeMap<i64, Vec<Handed<V>>>;

/// Memory of a legacy from which on it is freed by a thread of its own: a million keys with values on the heap take about 0.1 s (guess,
/// unmeasured).
const FREE_BYTES_MAX: usize = 32 << 20;

/// Keys of one table that belong to another one now.
#[derive(Debug)]
pub(super) struct Handed<V: Values> {
    /// All keys of that table; always there.
    from: Option<Arc<Keyed<V>>>,
    /// A bit per id: not a key of the new table, or taken over.
    gone: Vec<u64>,
    /// Ids below were looked at.
    next: u32,
    /// Keys left to be taken over.
    left: usize,
    /// Keys that there were at first.
    first: usize,
    /// The part of the memory of `from` that those took, bytes.
    share_bytes: usize,
}

impl<V: Values> Handed<V> {
    /// All keys of a table.
    pub(super) fn all(from: Keyed<V>) -> Self {
        let words = from.capacity().div_ceil(u64::BITS as usize);
        let mut handed = Self {
            gone: vec![u64::MAX; words],
            next: 0,
            left: 0,
            first: from.held(),
            share_bytes: from.memory_bytes(),
            from: None,
        };
        for id in from.ids_from(0) {
            handed.gone[id as usize / 64] &= !(1 << (id % 64));
            handed.left += 1;
        }
        handed.from = Some(Arc::new(from));
        handed
    }

    /// Those that belong to one table; absent when none do.
    pub(super) fn part(&self, owns: &dyn Fn(u64) -> bool) -> Option<Self> {
        let from = self.from.as_ref()?;
        let mut part = Self {
            from: Some(from.clone()),
            gone: self.gone.clone(),
            next: self.next,
            left: 0,
            first: 0,
            share_bytes: 0,
        };
        for id in self.left_ids() {
            if owns(from.hash(id)) {
                part.left += 1;
            } else {
                part.set_gone(id);
            }
        }
        part.first = part.left;
        part.share_bytes = self.share_of(part.left);
        (part.left > 0).then_some(part)
    }

    /// Whether an id is not to be taken over.
    fn is_gone(&self, id: u32) -> bool {
        self.gone[id as usize / 64] & (1 << (id % 64)) != 0
    }

    /// Notes that an id is not to be taken over.
    fn set_gone(&mut self, id: u32) {
        self.gone[id as usize / 64] |= 1 << (id % 64);
    }

    /// Takes a key, if it is here: the table that holds it, and its id there.
    pub(super) fn take(&mut self, key: &[u8], hash: u64) -> Option<(&Keyed<V>, u32)> {
        let id = self.from.as_ref()?.find_in_memory(key, hash)?;
        self.take_id(id)
    }

    /// Takes the next key that is left; at most `looks` ids are looked at, and counted down.
    pub(super) fn take_next(&mut self, looks: &mut usize) -> Option<(&Keyed<V>, u32)> {
        while *looks > 0 && self.left > 0 {
            *looks -= 1;
            let id = self.next;
            self.next += 1;
            if !self.is_gone(id) {
                return self.take_id(id);
            }
        }
        None
    }

    /// Takes an id, unless it is gone.
    fn take_id(&mut self, id: u32) -> Option<(&Keyed<V>, u32)> {
        if self.is_gone(id) {
            return None;
        }
        self.set_gone(id);
        self.left -= 1;
        self.from.as_deref().map(|from| (from, id))
    }

    /// The keys left, by the table that holds them and the ids there.
    pub(super) fn rest(&self) -> impl Iterator<Item = (&Keyed<V>, u32)> {
        let from = self.from.as_deref().into_iter();
        from.flat_map(|from| self.left_ids().map(move |id| (from, id)))
    }

    /// The ids left, ascending.
    fn left_ids(&self) -> impl Iterator<Item = u32> {
        let words = (0..).zip(&self.gone).filter(|(_, gone)| **gone != u64::MAX);
        words.flat_map(|(word, gone): (u32, &u64)| {
            let left = (0..u64::BITS).filter(move |bit| gone & (1 << bit) == 0);
            left.map(move |bit| word * u64::BITS + bit)
        })
    }

    /// Key groups of which a checkpoint may hold keys of the namespace.
    pub(super) fn logged(&self) -> &[bool] {
        self.from.as_deref().map_or(&[], Keyed::logged_groups)
    }

    /// Keys left.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// The part of the memory that some of the keys take, in bytes.
    fn share_of(&self, keys: usize) -> usize {
        (self.share_bytes as u128 * keys as u128 / self.first.max(1) as u128) as usize
    }

    /// Memory of the keys left, in bytes. That of the others goes with the last of them; it is not counted, so that no key is moved to
    /// disk that fits into memory a moment later.
    pub(super) fn memory_bytes(&self) -> usize {
        self.share_of(self.left) + self.gone.capacity() * size_of::<u64>()
    }
}

/// The last one frees the table, in the background when that would hold up the slot.
impl<V: Values> Drop for Handed<V> {
    fn drop(&mut self) {
        let Some(from) = self.from.take().and_then(Arc::into_inner) else {
            return;
        };
        if from.memory_bytes() > FREE_BYTES_MAX {
            let free = move || drop(from);
            let thread = std::thread::Builder::new().name("weir-free".to_owned());
            if let Err(error) = thread.spawn(free) {
                tracing::debug!(%error, "no thread to free handed over state: it was freed here");
            }
        }
    }
}
