//! Moving keys out of memory.
//!
//! Place in the flow: the subtask calls this through its tables when they are past their memory. Invariant: a key that leaves memory while
//! it belongs to a snapshot is written to that first.

use crate::error::Result;
use crate::operator::EMIT_ROWS_MAX;
use crate::state::column;
use crate::state::keyed::elsewhere::spilled_key;
use crate::state::keyed::{Common, DIRTY, FROZEN, Keyed, Log, SEEN, Values};

/// Share of a table's ids that is free after cold keys were moved out of memory, so that the search for them is worth it (guess,
/// unmeasured).
const ROOM_SHARE: usize = 8;

/// Keys that are moved out of memory at once to make room: about a quarter of a second (guess, unmeasured).
const EVICT_KEYS_MAX: usize = 4 * EMIT_ROWS_MAX;

/// Rounds of moving keys out and looking what that has given back, as keys differ in size; each round comes closer (guess).
const SHRINK_ROUNDS_MAX: usize = 4;

impl<V: Values> Keyed<V> {
    /// Moves at most `count` cold keys to the backend. Keys that were looked at since the last call are passed over once (clock
    /// algorithm).
    pub(in crate::state) fn evict(&mut self, common: &mut Common, count: usize) -> Result<()> {
        let capacity = u32::try_from(self.groups.capacity()).unwrap_or(u32::MAX);
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
            let flags = self.groups.mark(id);
            if flags & SEEN != 0 {
                self.groups.set_mark(id, flags & !SEEN);
                continue;
            }
            self.spill(common, id)?;
            moved += 1;
        }
        common.store_spilling()
    }

    /// Moves one key to the backend.
    pub(super) fn spill(&mut self, common: &mut Common, id: u32) -> Result<()> {
        let flags = self.groups.mark(id);
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
        common.spill(&key, &value)?;
        common.scratch = value;
        self.forget(id);
        self.spilled += 1;
        Ok(())
    }

    /// Moves the keys that other slots' tables still hold to the backend: copied into memory first, they would take twice theirs. They
    /// are in a checkpoint already.
    pub(super) fn spill_handed(&mut self, common: &mut Common) -> Result<()> {
        if self.handed.is_empty() {
            return Ok(());
        }
        let (mut stored, mut looks) = (Vec::new(), usize::MAX);
        while let Some(mut handed) = self.handed.pop() {
            while let Some((from, id)) = handed.take_next(&mut looks) {
                stored.clear();
                from.write(id, &mut stored);
                let key = spilled_key(self.namespace, from.key_group(common, id), from.key(id));
                common.spill(&key, &stored)?;
                self.handed_keys -= 1;
                self.spilled += 1;
            }
        }
        common.store_spilling()
    }

    /// Moves cold keys to the backend until about `limit_bytes` are held, and gives back their memory. Ids change.
    pub(in crate::state) fn shrink(
        &mut self,
        common: &mut Common,
        limit_bytes: usize,
    ) -> Result<()> {
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
    pub(super) fn compact(&mut self, common: &mut Common) -> Result<()> {
        let held = self.held();
        let len = (held + held / ROOM_SHARE).min(self.capacity());
        let mut stored = std::mem::take(&mut common.scratch);
        for (from, to) in self.groups.compact_ids(len) {
            stored.clear();
            self.write(from, &mut stored);
            self.values.clear(from);
            self.read(to, &stored, common.table)?;
            let flags = self.groups.mark(to);
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
        self.room = len;
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
    pub(in crate::state) fn make_room(&mut self, common: &mut Common) -> Result<()> {
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
    pub(in crate::state) fn growth_bytes(&self) -> usize {
        if self.room() < self.room_wanted() {
            self.memory_bytes() - self.handed_bytes() - self.values.heap_bytes()
        } else {
            0
        }
    }

    /// Keys that should fit in without growing.
    pub(super) fn room_wanted(&self) -> usize {
        (self.held() / ROOM_SHARE / 2).min(EMIT_ROWS_MAX)
    }
}
