//! Rows of one input of an interval join, for as long as rows of the other input may still meet them.
//!
//! Place in the flow: the join adds the rows of its input and looks the other input's rows up; time takes them away. Invariant: a
//! key with rows has a timer, for one millisecond past the last moment of the row that was its first or its earliest when the timer
//! was set; when a timer is due, all rows whose last moment has passed go, so rows that came out of order may stay until then.
//!
//! Timers lie in buckets of time, each of which is dropped whole once it is over. Of the first bucket the earliest due time is
//! remembered, so that a watermark which makes nothing due costs nothing; else the due times of the bucket are looked through.
//!
//! # Source
//! Flink 2.3, `TimeIntervalJoin`: one clean-up timer per key and side.

use std::ops::{Bound, ControlFlow};

use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::state::codec::{Reader, Writer};
use crate::state::{
    EncodedKeys, OrderedRows, PartitionKey, Slices, StateConfig, StateTable, Values, column,
};
use crate::time::EpochMillis;

/// Shortest bucket of timers, milliseconds (guess, unmeasured: a bucket is looked through with every watermark within it).
const BUCKET_MS_MIN: i64 = 250;

/// Buckets that the rows of a stream in order are spread over (guess, unmeasured: each costs some hundred bytes).
const BUCKETS: i64 = 64;

/// Timers that are taken out of their bucket at once (guess, unmeasured).
const TIMERS_AT_ONCE: usize = 1024;

/// The time of a timer that is not set.
const NOT_SET: i64 = i64::MAX;

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
    /// When rows of a key are looked through, by key.
    timers: Slices<Dues>,
    /// How long past its time a row may be met, milliseconds.
    keep_ms: i64,
    /// Length of a bucket of timers, milliseconds.
    bucket_ms: i64,
    /// Key groups of the statement.
    key_groups: u32,
    /// When the first timer is due, or earlier; absent when that is not known.
    next_due_ms: Option<i64>,
    /// Timers of the first bucket before this id are through.
    cursor: u32,
    /// What a timer is set with, kept for its memory.
    scratch: Scratch,
}

/// What a timer is set with.
#[derive(Debug, Default)]
struct Scratch {
    /// The key.
    key: EncodedKeys,
    /// Its id.
    ids: Vec<u32>,
    /// A row behind its first byte.
    row: Vec<u8>,
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

/// A time as bytes that are in the order of times.
fn sort_key(time_ms: EpochMillis) -> [u8; 8] {
    (time_ms.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The time of a sort key.
fn time_of(sort: &[u8]) -> EpochMillis {
    let bytes = sort.first_chunk().copied().unwrap_or_default();
    (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

impl TimedRows {
    /// No rows; each is kept for `keep_ms` milliseconds past its time.
    pub(super) fn new(tables: Tables, keep_ms: i64, state: StateConfig) -> Self {
        let state = StateConfig {
            // Flink's interval join keeps rows by time only.
            ttl_ms: None,
            ..state
        };
        let make = || Ok(Dues::default());
        Self {
            key_groups: state.key_groups,
            rows: OrderedRows::new(tables.rows, state.clone()),
            timers: Slices::new(tables.timers, state, Box::new(make)),
            keep_ms,
            bucket_ms: (keep_ms / BUCKETS).max(BUCKET_MS_MIN),
            next_due_ms: None,
            cursor: 0,
            scratch: Scratch::default(),
        }
    }

    /// The tables of state.
    pub(super) fn tables(&mut self) -> [&mut dyn StateTable; 2] {
        [self.rows.table(), &mut self.timers]
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

    /// Adds a row; `state` is [`ALONE`] or [`MET`].
    pub(super) fn add(
        &mut self,
        key: PartitionKey<'_>,
        time_ms: EpochMillis,
        (state, row): (u8, &[u8]),
    ) -> Result<()> {
        let stored = &mut self.scratch.row;
        stored.clear();
        stored.push(state);
        stored.extend_from_slice(row);
        if self.rows.insert(key, (&sort_key(time_ms), stored), 0)? {
            self.set_timer(key, time_ms)?;
        }
        Ok(())
    }

    /// Sets the timer of a key for a row of it.
    fn set_timer(&mut self, key: PartitionKey<'_>, time_ms: EpochMillis) -> Result<()> {
        let due_ms = time_ms.saturating_add(self.keep_ms).saturating_add(1);
        let due_ms = due_ms.min(NOT_SET - 1);
        self.put_timer(self.bucket_of(due_ms), key, due_ms)?;
        self.next_due_ms = self.next_due_ms.map(|next_ms| next_ms.min(due_ms));
        Ok(())
    }

    /// The bucket of a due time.
    fn bucket_of(&self, due_ms: i64) -> i64 {
        due_ms.div_euclid(self.bucket_ms)
    }

    /// Notes the timer of a key in a bucket.
    fn put_timer(&mut self, bucket: i64, key: PartitionKey<'_>, due_ms: i64) -> Result<()> {
        let Scratch { key: keys, ids, .. } = &mut self.scratch;
        keys.bytes.clear();
        keys.bytes.extend_from_slice(key.bytes);
        keys.ends.clear();
        keys.ends.push(key.bytes.len());
        keys.hashes.clear();
        keys.hashes.push(xxhash_rust::xxh3::xxh3_64(key.bytes));
        let dues = self.timers.upsert(bucket, keys, ids)?;
        for id in ids {
            dues.due_ms[*id as usize] = due_ms;
        }
        Ok(())
    }

    /// Marks a row of a time as one that has met another, if it is alone.
    pub(super) fn mark_met(
        &mut self,
        key: PartitionKey<'_>,
        time_ms: EpochMillis,
        row: &[u8],
    ) -> Result<()> {
        let met = &mut self.scratch.row;
        met.clear();
        met.extend_from_slice(row);
        if let Some(state) = met.first_mut() {
            *state = MET;
        }
        let sort = sort_key(time_ms);
        self.rows.replace(key, (&sort, row, met), 0).map(drop)
    }

    /// Shows the rows of a key between two times, both included, in order: time, and row behind its first byte. The earliest time
    /// among all rows of the key.
    pub(super) fn visit(
        &mut self,
        key: PartitionKey<'_>,
        (from_ms, to_ms): (EpochMillis, EpochMillis),
        mut visit: impl FnMut(EpochMillis, &[u8]) -> ControlFlow<()>,
    ) -> Result<Option<EpochMillis>> {
        let Some(head) = self.rows.find_partition(key, 0)? else {
            return Ok(None);
        };
        let earliest_ms = self.rows.first_of(head).map(time_of);
        let (from, to) = (sort_key(from_ms), sort_key(to_ms));
        let range = (Bound::Included(&from[..]), Bound::Included(&to[..]));
        let visit = |sort: &[u8], row: &[u8]| Ok(visit(time_of(sort), row));
        self.rows.visit_in((key, head), range, 0, visit)?;
        Ok(earliest_ms)
    }

    /// The earliest time among the rows of a key.
    fn earliest_ms(&mut self, key: PartitionKey<'_>) -> Result<Option<EpochMillis>> {
        let head = self.rows.find_partition(key, 0)?;
        Ok(head.and_then(|head| self.rows.first_of(head)).map(time_of))
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
        let first = self.timers.first()?;
        let from_ms = first.saturating_mul(self.bucket_ms);
        Some(self.next_due_ms.unwrap_or(from_ms))
    }

    /// Lets the timers go off that are due, as long as there is room for rows; true when some are left.
    pub(super) fn expire(&mut self, now_ms: EpochMillis, lonely: &mut Lonely<'_>) -> Result<bool> {
        while let Some(bucket) = self.timers.first() {
            if self.next_due_ms().is_none_or(|due_ms| due_ms > now_ms) {
                return Ok(false);
            }
            if !self.expire_some(bucket, now_ms, lonely)? {
                return Ok(true);
            }
            let next_ms = bucket.saturating_add(1).saturating_mul(self.bucket_ms);
            self.cursor = 0;
            self.next_due_ms = None;
            if next_ms <= now_ms {
                self.timers.drop_slice(bucket)?;
                continue;
            }
            let slice = self.timers.slice(bucket)?;
            let next_due = slice.and_then(|slice| slice.values().first());
            // Without a timer in this bucket the next one is in a later one.
            self.next_due_ms = Some(next_due.unwrap_or(next_ms));
            return Ok(false);
        }
        Ok(false)
    }

    /// Lets the timers of a bucket go off that are due; true once that is all.
    fn expire_some(
        &mut self,
        bucket: i64,
        now_ms: EpochMillis,
        lonely: &mut Lonely<'_>,
    ) -> Result<bool> {
        loop {
            let mut due = EncodedKeys::default();
            let mut ids = Vec::new();
            if let Some(slice) = self.timers.slice(bucket)? {
                for id in slice.values().due(self.cursor, now_ms).take(TIMERS_AT_ONCE) {
                    due.bytes.extend_from_slice(slice.key(id));
                    due.ends.push(due.bytes.len());
                    ids.push(id);
                }
            }
            if ids.is_empty() {
                return Ok(true);
            }
            for (row, id) in ids.into_iter().enumerate() {
                if lonely.room == 0 {
                    self.cursor = id;
                    return Ok(false);
                }
                if !self.go_off(bucket, due.key(row), now_ms, lonely)? {
                    self.cursor = id;
                    return Ok(false);
                }
                self.cursor = id + 1;
            }
        }
    }

    /// Lets the timer of a key go off; true once it is through.
    fn go_off(
        &mut self,
        bucket: i64,
        key: &[u8],
        now_ms: EpochMillis,
        lonely: &mut Lonely<'_>,
    ) -> Result<bool> {
        let key = PartitionKey {
            bytes: key,
            key_group: key_group(xxhash_rust::xxh3::xxh3_64(key), self.key_groups),
        };
        let expired_ms = self.expired_ms(now_ms);
        self.remove(key, expired_ms, lonely)?;
        let earliest_ms = self.earliest_ms(key)?;
        if earliest_ms.is_some_and(|time_ms| time_ms <= expired_ms) {
            return Ok(false);
        }
        // A bucket that is over is dropped whole.
        let is_over = bucket < self.bucket_of(now_ms);
        if !is_over {
            self.put_timer(bucket, key, NOT_SET)?;
        }
        if let Some(time_ms) = earliest_ms {
            self.set_timer(key, time_ms)?;
        }
        Ok(true)
    }
}

/// Due times of timers by id.
#[derive(Debug, Default)]
struct Dues {
    /// Milliseconds, or [`NOT_SET`].
    due_ms: Vec<i64>,
}

impl Dues {
    /// The first due time.
    fn first(&self) -> Option<i64> {
        let first = self.due_ms.iter().min().copied();
        first.filter(|due_ms| *due_ms != NOT_SET)
    }

    /// Ids from `first` on that are due, ascending.
    fn due(&self, first: u32, now_ms: EpochMillis) -> impl Iterator<Item = u32> {
        let from = self.due_ms.get(first as usize..).unwrap_or_default();
        let is_due = move |due_ms: i64| due_ms <= now_ms && due_ms != NOT_SET;
        let ids = (first..).zip(from);
        ids.filter(move |(_, due_ms)| is_due(**due_ms))
            .map(|(id, _)| id)
    }
}

impl Values for Dues {
    fn resize(&mut self, len: usize) {
        column::resize(&mut self.due_ms, len, NOT_SET);
    }

    fn clear(&mut self, id: u32) {
        self.due_ms[id as usize] = NOT_SET;
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        out.put_i64(self.due_ms[id as usize]);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        self.due_ms[id as usize] = input.i64()?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.due_ms.capacity() * size_of::<i64>()
    }
}
