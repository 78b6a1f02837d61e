//! The open sessions of every key.
//!
//! Place in the flow: operators of sessions ask it which session a row is in, and which sessions are due. Invariant: the sessions of a key
//! neither overlap nor touch; each has a timer at its end or before, so that none is missed.
//!
//! The sessions of a key lie in slots 0, 1, 2, ... of which slot 0 says how many there are. A timer is set when a session begins and moves
//! on when it is found to have been too early, so that a row that prolongs a session costs no timer.
//!
//! # Source
//! Flink 2.3, `MergingWindowSet` and `TimeWindow.intersects`: sessions that touch are one, and a row is late when the session that it
//! would be in, merged with those it meets, is over.

use crate::error::Result;
use crate::operator::window::progress::Progress;
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::state::{KeyedTable, Slices, StateConfig, StateTable, Values};
use crate::time::EpochMillis;

/// Number of the table of sessions.
const SESSIONS_TABLE: u8 = 3;

/// Number of the table of timers.
const TIMERS_TABLE: u8 = 4;

/// Parts of the gap that timers are rounded down to (guess, unmeasured): a session is looked at a few times more than needed, and timers
/// share a few namespaces.
const TICKS_PER_GAP: i64 = 16;

/// Longest stretch that timers are rounded down to (guess, unmeasured): what lies in it is looked at with every watermark.
const TICK_MS_MAX: i64 = 1000;

/// What is kept of a session.
pub(super) trait SessionValues: Values {
    /// Adds what a session has to another one, which it is merged with.
    ///
    /// # Errors
    /// `Internal` only.
    fn absorb(&mut self, into: u32, from: u32) -> Result<()>;
}

/// The open sessions of every key.
#[derive(Debug)]
pub(super) struct Sessions<V: SessionValues> {
    /// Sessions by key and slot.
    slots: KeyedTable<Slots<V>>,
    /// Keys by the time at which their sessions are looked at.
    timers: Slices<()>,
    /// Time without rows that ends a session.
    gap_ms: i64,
    /// What timers are rounded down to.
    tick_ms: i64,
    /// Where the search for sessions that are due goes on: the namespace of the timers, and the first id in it.
    cursor: (i64, u32),
    /// The key of a slot, kept for its memory.
    key: Vec<u8>,
    /// Starts and slots of the sessions that a row meets, kept for their memory.
    met: Vec<(i64, u32)>,
}

/// A key and its key group.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionKey<'a> {
    /// Canonical encoding.
    pub(super) bytes: &'a [u8],
    /// Its key group.
    pub(super) key_group: u32,
}

/// Sessions that are due.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// The keys whose timers were looked at, with their key groups.
    looked_at: Vec<(Box<[u8]>, u32)>,
    /// The namespace of their timers.
    timer_ms: i64,
    /// The key of each session, by its place among those.
    keys: Vec<usize>,
    /// The id of each session.
    pub(super) ids: Vec<u32>,
    /// Start and end of each session.
    pub(super) windows: Vec<(i64, i64)>,
}

impl Due {
    /// The key of each session.
    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.keys.iter().map(|at| &*self.looked_at[*at].0)
    }
}

/// Sessions by id.
#[derive(Debug, Default)]
struct Slots<V> {
    /// Their times.
    sessions: Vec<Session>,
    /// What is kept of them.
    values: V,
}

/// The time of a session.
#[derive(Debug, Clone, Copy, Default)]
struct Session {
    /// Inclusive start.
    start_ms: i64,
    /// Exclusive end.
    end_ms: i64,
    /// In slot 0, how many sessions the key has; else 0.
    count: u32,
}

impl<V: SessionValues> Values for Slots<V> {
    fn resize(&mut self, len: usize) {
        column::resize(&mut self.sessions, len, Session::default());
        self.values.resize(len);
    }

    fn clear(&mut self, id: u32) {
        self.sessions[id as usize] = Session::default();
        self.values.clear(id);
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        let session = self.sessions[id as usize];
        out.put_i64(session.start_ms);
        out.put_i64(session.end_ms);
        out.put_u32(session.count);
        self.values.write(id, out);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        self.sessions[id as usize] = Session {
            start_ms: input.i64()?,
            end_ms: input.i64()?,
            count: input.u32()?,
        };
        self.values.read(id, input)
    }

    fn memory_bytes(&self) -> usize {
        self.sessions.capacity() * size_of::<Session>() + self.values.memory_bytes()
    }

    fn heap_bytes(&self) -> usize {
        self.values.heap_bytes()
    }
}

impl<V: SessionValues> Sessions<V> {
    /// No sessions.
    pub(super) fn new(gap_ms: i64, values: V, progress: &Progress, state: StateConfig) -> Self {
        let state = StateConfig {
            // Sessions end, so their keys do not expire.
            ttl_ms: None,
            ..state
        };
        // The clock sets one timer per batch anyway, and a timer that is too early would be set again and again.
        let tick_ms = if progress.is_event_time() {
            (gap_ms / TICKS_PER_GAP).clamp(1, TICK_MS_MAX)
        } else {
            1
        };
        let slots = Slots {
            sessions: Vec::new(),
            values,
        };
        Self {
            slots: KeyedTable::new(SESSIONS_TABLE, slots, state.clone()),
            timers: Slices::new(TIMERS_TABLE, state, Box::new(|| Ok(()))),
            gap_ms,
            tick_ms,
            cursor: (i64::MIN, 0),
            key: Vec::new(),
            met: Vec::new(),
        }
    }

    /// The tables of state.
    pub(super) fn tables(&mut self) -> [&mut dyn StateTable; 2] {
        [&mut self.slots, &mut self.timers]
    }

    /// What is kept of the sessions, by id.
    pub(super) fn values(&self) -> &V {
        &self.slots.values().values
    }

    /// What is kept of the sessions, to be changed for ids that [`Self::place`] has returned in this call.
    pub(super) fn values_mut(&mut self) -> &mut V {
        &mut self.slots.values_mut().values
    }

    /// When the first timer is due, in processing time.
    pub(super) fn next_timer_ms(&self, progress: &Progress) -> Option<EpochMillis> {
        progress.timer_ms(self.timers.first()?)
    }

    /// The namespace of the timer of a session with this end.
    fn tick_of(&self, end_ms: i64) -> i64 {
        end_ms - end_ms.rem_euclid(self.tick_ms)
    }

    /// Makes the key of a slot.
    fn set_key(&mut self, key: SessionKey<'_>, slot: u32) {
        self.key.clear();
        self.key.extend_from_slice(key.bytes);
        self.key.extend_from_slice(&slot.to_be_bytes());
    }

    /// The id of a slot that is about to be changed, and whether it is new.
    fn upsert(&mut self, key: SessionKey<'_>, slot: u32) -> Result<(u32, bool)> {
        self.set_key(key, slot);
        self.slots.upsert_in(&self.key, key.key_group, 0)
    }

    /// The id of a slot, if it is held.
    fn find(&mut self, key: SessionKey<'_>, slot: u32) -> Result<Option<u32>> {
        self.set_key(key, slot);
        self.slots.find_in(&self.key, key.key_group, 0)
    }

    /// The times of a session.
    fn session(&mut self, id: u32) -> &mut Session {
        &mut self.slots.values_mut().sessions[id as usize]
    }

    /// How many sessions a key has.
    fn count(&mut self, key: SessionKey<'_>) -> Result<u32> {
        let first = self.find(key, 0)?;
        Ok(first.map_or(0, |id| self.session(id).count))
    }

    /// The id of the session that a row of a key is in, begun or merged from others if needed; none when the row is late. `before_merge`
    /// is called before sessions are merged or moved, as ids that were returned before do not hold any more after it.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read; what `before_merge` returns.
    pub(super) fn place(
        &mut self,
        key: SessionKey<'_>,
        time_ms: i64,
        progress: &Progress,
        before_merge: &mut dyn FnMut(&mut V) -> Result<()>,
    ) -> Result<Option<u32>> {
        let (first, is_new) = self.upsert(key, 0)?;
        let count = if is_new { 0 } else { self.session(first).count };
        let (mut start_ms, mut end_ms) = (time_ms, time_ms.saturating_add(self.gap_ms));
        let reaches_ms = end_ms;
        let mut met = std::mem::take(&mut self.met);
        met.clear();
        for slot in 0..count {
            let id = if slot == 0 {
                Some(first)
            } else {
                self.find(key, slot)?
            };
            let Some(session) = id.map(|id| *self.session(id)) else {
                continue;
            };
            if session.start_ms <= reaches_ms && session.end_ms >= time_ms {
                met.push((session.start_ms, slot));
                start_ms = start_ms.min(session.start_ms);
                end_ms = end_ms.max(session.end_ms);
            }
        }
        let id = if progress.is_late(end_ms) {
            if is_new {
                self.slots.remove(first)?;
            }
            None
        } else if !met.is_empty() {
            self.merge_all(key, &mut met, before_merge)?;
            Some(self.upsert(key, met[0].1)?.0)
        } else {
            let tick_ms = self.tick_of(end_ms);
            self.timers.upsert_in(tick_ms, (key.bytes, key.key_group))?;
            self.session(first).count = count + 1;
            Some(self.upsert(key, count)?.0)
        };
        if let Some(id) = id {
            let session = self.session(id);
            (session.start_ms, session.end_ms) = (start_ms, end_ms);
        }
        self.met = met;
        Ok(id)
    }

    /// Merges the sessions that a row meets into the earliest, in the order of time; their slots are then those that they have come to.
    fn merge_all(
        &mut self,
        key: SessionKey<'_>,
        met: &mut [(i64, u32)],
        before_merge: &mut dyn FnMut(&mut V) -> Result<()>,
    ) -> Result<()> {
        met.sort_unstable();
        for index in 1..met.len() {
            before_merge(self.values_mut())?;
            let slot = met[index].1;
            let last_slot = self.merge(key, met[0].1, slot)?;
            for (_, moved) in met.iter_mut().filter(|(_, moved)| *moved == last_slot) {
                *moved = slot;
            }
        }
        Ok(())
    }

    /// Adds what a session has to another one, and takes it out; the slot of the one that moves to its slot.
    fn merge(&mut self, key: SessionKey<'_>, into: u32, slot: u32) -> Result<u32> {
        let (into, _) = self.upsert(key, into)?;
        let (from, _) = self.upsert(key, slot)?;
        self.values_mut().absorb(into, from)?;
        self.take_out(key, slot)
    }

    /// Takes a session out; the last one of the key, whose slot this gives, moves to its slot.
    fn take_out(&mut self, key: SessionKey<'_>, slot: u32) -> Result<u32> {
        let (first, _) = self.upsert(key, 0)?;
        let last_slot = self.session(first).count.saturating_sub(1);
        let (last, _) = self.upsert(key, last_slot)?;
        if slot != last_slot {
            let (id, _) = self.upsert(key, slot)?;
            let moved = *self.session(last);
            let place = self.session(id);
            (place.start_ms, place.end_ms) = (moved.start_ms, moved.end_ms);
            let values = self.values_mut();
            values.clear(id);
            values.absorb(id, last)?;
        }
        self.session(first).count = last_slot;
        self.slots.remove(last)?;
        Ok(last_slot)
    }

    /// Looks for sessions that are due, at about `room` keys; absent when no key is left to be looked at. [`Self::forget`] follows.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read.
    pub(super) fn due(&mut self, progress: &Progress, room: usize) -> Result<Option<Due>> {
        while let Some(timer_ms) = self.timers.first_from(self.cursor.0) {
            if !progress.is_closed(timer_ms) {
                break;
            }
            if timer_ms != self.cursor.0 {
                self.cursor = (timer_ms, 0);
            }
            let mut due = Due {
                timer_ms,
                ..Due::default()
            };
            if let Some(timers) = self.timers.slice(timer_ms)? {
                for id in timers.ids(self.cursor.1, room) {
                    let group = timers.key_group(id);
                    due.looked_at.push((timers.key(id).into(), group));
                    self.cursor.1 = id + 1;
                }
            }
            if due.looked_at.is_empty() {
                if progress.is_closed(timer_ms + self.tick_ms - 1) {
                    self.timers.drop_slice(timer_ms)?;
                }
                self.cursor = (timer_ms + 1, 0);
                continue;
            }
            self.add_due(progress, &mut due)?;
            return Ok(Some(due));
        }
        self.cursor = (i64::MIN, 0);
        Ok(None)
    }

    /// Adds the sessions of the keys that are due.
    fn add_due(&mut self, progress: &Progress, due: &mut Due) -> Result<()> {
        for (at, (bytes, key_group)) in due.looked_at.iter().enumerate() {
            let key = SessionKey {
                bytes,
                key_group: *key_group,
            };
            for slot in 0..self.count(key)? {
                let Some(id) = self.find(key, slot)? else {
                    continue;
                };
                let session = *self.session(id);
                if progress.is_closed(session.end_ms) {
                    due.keys.push(at);
                    due.ids.push(id);
                    due.windows.push((session.start_ms, session.end_ms));
                }
            }
        }
        Ok(())
    }

    /// Forgets the sessions that were due, and sets the timers of those that go on.
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be changed.
    pub(super) fn forget(&mut self, due: &Due, progress: &Progress) -> Result<()> {
        let is_over = progress.is_closed(due.timer_ms + self.tick_ms - 1);
        for (bytes, key_group) in &due.looked_at {
            let key = SessionKey {
                bytes,
                key_group: *key_group,
            };
            let mut stays = false;
            for slot in (0..self.count(key)?).rev() {
                let Some(id) = self.find(key, slot)? else {
                    continue;
                };
                let end_ms = self.session(id).end_ms;
                let tick_ms = self.tick_of(end_ms);
                if progress.is_closed(end_ms) {
                    self.take_out(key, slot)?;
                } else if tick_ms == due.timer_ms {
                    stays = true;
                } else {
                    self.timers.upsert_in(tick_ms, (bytes, *key_group))?;
                }
            }
            // A stretch that is over is dropped whole.
            if !stays && !is_over {
                let (id, _) = self.timers.upsert_in(due.timer_ms, (bytes, *key_group))?;
                self.timers.remove_and_drop(due.timer_ms, id)?;
            }
        }
        Ok(())
    }
}
