//! Rows of one input of an interval join, for as long as rows of the other input may still meet them.
//!
//! Place in the flow: the join adds the rows of its input and looks the other input's rows up; time takes them away. Invariant: a
//! key with rows has a timer, for one millisecond past the last moment of the row that was its first or its earliest when the timer
//! was set; when a timer is due, all rows whose last moment has passed go, so rows that came out of order may stay until then.
//!
//! # Source
//! Flink 2.3, `TimeIntervalJoin`: one clean-up timer per key and side.

use std::ops::{Bound, ControlFlow, Range};

use super::backlog::Arrived;
use crate::error::Result;
use crate::operator::join::time_order::{sort_key, time_of};
use crate::operator::join::timers::{Due, Timers};
use crate::state::{
    ChunkKeys, EncodedKeys, Head, OrderedRows, PartitionKey, StateConfig, StateTable,
};
use crate::time::EpochMillis;

/// First byte of a row that has met none.
pub(super) const ALONE: u8 = 0;

/// First byte of a row that has met one.
pub(super) const MET: u8 = 1;

/// Numbers of the two tables of an input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables {
    /// Of its rows.
    pub(super) rows: u8,
    /// Of its timers.
    pub(super) timers: u8,
}

/// The rows of an input by key and time.
#[derive(Debug)]
pub(super) struct TimedRows {
    /// Rows behind [`ALONE`] or [`MET`], in the order of their times.
    rows: OrderedRows,
    /// When rows of a key are looked through.
    timers: Timers,
    /// How long past its time a row may be met, milliseconds.
    keep_ms: i64,
    /// Timers that are due, kept for their memory.
    due: Due,
    /// A row behind its first byte, kept for its memory.
    stored: Vec<u8>,
    /// Keys that were looked up, kept for their memory.
    found: Vec<Option<Head>>,
    /// Keys that get rows, kept for their memory.
    opened: Vec<Head>,
}

/// Rows that time has taken away although they had met none.
#[derive(Debug)]
pub(super) struct Lonely<'a> {
    /// The rows.
    pub(super) rows: &'a mut EncodedKeys,
    /// How many more there is room for.
    pub(super) room: usize,
}

impl Lonely<'_> {
    /// Takes a row that time takes away.
    fn take(&mut self, row: &[u8]) {
        if let Some((&ALONE, row)) = row.split_first() {
            self.rows.bytes.extend_from_slice(row);
            self.rows.ends.push(self.rows.bytes.len());
        }
        self.room = self.room.saturating_sub(1);
    }
}

impl TimedRows {
    /// No rows; each is kept for `keep_ms` milliseconds past its time.
    pub(super) fn new(tables: Tables, keep_ms: i64, state: StateConfig) -> Self {
        let state = StateConfig {
            // Flink's interval join keeps rows by time only.
            ttl_ms: None,
            ..state
        };
        Self {
            rows: OrderedRows::new(tables.rows, state.clone()),
            timers: Timers::new(tables.timers, keep_ms, state),
            keep_ms,
            due: Due::default(),
            stored: Vec::new(),
            found: Vec::new(),
            opened: Vec::new(),
        }
    }

    /// The tables of state.
    pub(super) fn tables(&mut self) -> [&mut dyn StateTable; 2] {
        [self.rows.table(), self.timers.table()]
    }

    /// The last time whose rows can be met no more when the clock of the join stands at `now_ms`.
    pub(super) fn expired_ms(&self, now_ms: EpochMillis) -> EpochMillis {
        match now_ms {
            EpochMillis::MAX => EpochMillis::MAX,
            now_ms => now_ms.saturating_sub(self.keep_ms).saturating_sub(1),
        }
    }

    /// Whether a row that comes now is kept.
    pub(super) fn keeps(&self, time_ms: EpochMillis, now_ms: EpochMillis) -> bool {
        now_ms < time_ms.saturating_add(self.keep_ms)
    }

    /// Adds rows of a batch, those at some places; `met` tells whether each row of the batch has met one.
    pub(super) fn add(&mut self, arrived: &Arrived, rows: &[usize], met: &[bool]) -> Result<()> {
        let (mut heads, mut new) = (std::mem::take(&mut self.opened), Vec::new());
        let keys = (&arrived.chunk_keys, rows);
        self.rows
            .open_partitions(keys, 0, &mut heads, |head| new.push(head))?;
        let mut new = new.into_iter().peekable();
        let mut timers = Vec::new();
        for (row, head) in rows.iter().zip(&heads) {
            let time_ms = arrived.times_ms.value(*row);
            let stored = &mut self.stored;
            stored.clear();
            stored.push(if met[*row] { MET } else { ALONE });
            stored.extend_from_slice(arrived.rows.key(*row));
            let key = arrived.key(*row, self.timers.key_groups());
            self.rows
                .insert_in((key, *head), (&sort_key(time_ms), stored), 0)?;
            if new.next_if_eq(head).is_some() {
                timers.push((*row, self.due_ms(time_ms)));
            }
        }
        self.opened = heads;
        self.timers.set_all(&arrived.keys, &mut timers)
    }

    /// When the rows of a key are looked through, for a row of it.
    fn due_ms(&self, time_ms: EpochMillis) -> EpochMillis {
        let last_ms = time_ms.saturating_add(self.keep_ms);
        last_ms.saturating_add(1)
    }

    /// Marks a row of a time as one that has met another, if it is alone.
    pub(super) fn mark_met(
        &mut self,
        key: PartitionKey<'_>,
        time_ms: EpochMillis,
        row: &[u8],
    ) -> Result<()> {
        let met = &mut self.stored;
        met.clear();
        met.extend_from_slice(row);
        if let Some(state) = met.first_mut() {
            *state = MET;
        }
        let sort = sort_key(time_ms);
        self.rows.replace(key, (&sort, row, met), 0).map(drop)
    }

    /// Looks up the keys of some rows of a batch; absent for those without rows.
    pub(super) fn find_all(
        &mut self,
        keys: (&ChunkKeys, Range<usize>),
        heads: &mut Vec<Option<Head>>,
    ) -> Result<()> {
        self.rows.find_partitions(keys, 0, heads)
    }

    /// Shows the rows of a key between two times, both included, in order: time, and row behind its first byte. The earliest time
    /// among all rows of the key.
    pub(super) fn visit(
        &mut self,
        (key, head): (PartitionKey<'_>, Head),
        (from_ms, to_ms): (EpochMillis, EpochMillis),
        mut visit: impl FnMut(EpochMillis, &[u8]) -> ControlFlow<()>,
    ) -> Result<Option<EpochMillis>> {
        let earliest_ms = self.rows.first_of(head).map(time_of);
        let (from, to) = (sort_key(from_ms), sort_key(to_ms));
        let range = (Bound::Included(&from[..]), Bound::Included(&to[..]));
        let visit = |sort: &[u8], row: &[u8]| Ok(visit(time_of(sort), row));
        self.rows.visit_in((key, head), range, 0, visit)?;
        Ok(earliest_ms)
    }

    /// Takes away the rows of a key up to a time, as many as there is room for.
    pub(super) fn remove(
        &mut self,
        key: PartitionKey<'_>,
        until_ms: EpochMillis,
        lonely: &mut Lonely<'_>,
    ) -> Result<()> {
        let until = sort_key(until_ms);
        let until = (Bound::Included(&until[..]), lonely.room);
        let take = |_: &[u8], row: &[u8]| lonely.take(row);
        self.rows.drain_until(key, until, 0, take).map(drop)
    }

    /// When the first timer is due, or earlier; absent without one.
    pub(super) fn next_due_ms(&self) -> Option<EpochMillis> {
        self.timers.next_ms()
    }

    /// Lets the timers go off that are due, as long as there is room for rows; true when some are left.
    pub(super) fn expire(&mut self, now_ms: EpochMillis, lonely: &mut Lonely<'_>) -> Result<bool> {
        let (mut due, mut heads) = (
            std::mem::take(&mut self.due),
            std::mem::take(&mut self.found),
        );
        let mut has_more = false;
        while !has_more && self.timers.find(now_ms, &mut due)? {
            let keys = ChunkKeys::first(due.keys(), self.timers.key_groups());
            self.find_all((&keys, 0..due.len()), &mut heads)?;
            has_more = self.expire_keys((&due, &heads), now_ms, lonely)?;
        }
        (self.due, self.found) = (due, heads);
        Ok(has_more)
    }

    /// Lets timers go off; true when there was no room for all rows.
    fn expire_keys(
        &mut self,
        (due, heads): (&Due, &[Option<Head>]),
        now_ms: EpochMillis,
        lonely: &mut Lonely<'_>,
    ) -> Result<bool> {
        let expired_ms = self.expired_ms(now_ms);
        let until = sort_key(expired_ms);
        for (at, head) in heads.iter().enumerate() {
            let key = due.key(at, self.timers.key_groups());
            let mut left = None;
            if let Some(head) = head {
                let until = (Bound::Included(&until[..]), lonely.room);
                let take = |_: &[u8], row: &[u8]| lonely.take(row);
                left = self.rows.drain_in((key, *head), until, 0, take)?;
            }
            let earliest_ms = left.and_then(|head| self.rows.first_of(head)).map(time_of);
            if earliest_ms.is_some_and(|time_ms| time_ms <= expired_ms) {
                return Ok(true);
            }
            self.timers.finish(due, at, now_ms);
            if let Some(time_ms) = earliest_ms {
                self.timers.set(key, self.due_ms(time_ms))?;
            }
        }
        Ok(false)
    }
}
