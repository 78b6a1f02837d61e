//! When something is due for a key.
//!
//! Place in the flow: joins in time set timers as rows come, and let them go off as their clock goes on. Invariant: a timer that was set
//! is found once its time has come, whatever was restored in between, until it is through.
//!
//! Timers lie in buckets of time, each of which is dropped whole once it is over. Of the first bucket the earliest due time is
//! remembered, so that a clock which makes nothing due costs nothing; else the due times of the bucket are looked through.

use xxhash_rust::xxh3::xxh3_64;

use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::state::codec::{Reader, Writer};
use crate::state::{EncodedKeys, PartitionKey, Slices, StateConfig, StateTable, Values, column};
use crate::time::EpochMillis;

/// Shortest bucket, milliseconds (guess, unmeasured: a bucket is looked through with every watermark within it).
const BUCKET_MS_MIN: i64 = 250;

/// Buckets that the timers of a stream in order are spread over (guess, unmeasured: each costs some hundred bytes).
const BUCKETS: i64 = 64;

/// Timers that are found at once (guess, unmeasured).
const DUE_AT_ONCE: usize = 1024;

/// The time of a timer that is not set.
pub(super) const NOT_SET: i64 = i64::MAX;

/// Timers by key. A key may have one in each bucket.
#[derive(Debug)]
pub(super) struct Timers {
    /// Due times by bucket and key.
    slices: Slices<Dues>,
    /// Length of a bucket, milliseconds.
    bucket_ms: i64,
    /// Key groups of the statement.
    key_groups: u32,
    /// When the first timer is due, or earlier; absent when that is not known.
    next_ms: Option<i64>,
    /// Timers of the first bucket before this id are through.
    cursor: u32,
    /// The key of a timer, kept for its memory.
    key: EncodedKeys,
    /// Its id.
    ids: Vec<u32>,
}

/// Timers that are due.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Their bucket.
    bucket: i64,
    /// Their keys, with hashes.
    keys: EncodedKeys,
    /// Their ids and times.
    timers: Vec<(u32, i64)>,
}

impl Due {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.timers.len()
    }

    /// The key of a timer.
    pub(super) fn key(&self, at: usize, key_groups: u32) -> PartitionKey<'_> {
        PartitionKey {
            bytes: self.keys.key(at),
            key_group: key_group(self.keys.hashes[at], key_groups),
        }
    }

    /// What a timer was set to.
    pub(super) fn time_ms(&self, at: usize) -> EpochMillis {
        self.timers[at].1
    }

    /// Forgets all.
    fn clear(&mut self) {
        self.keys.bytes.clear();
        self.keys.ends.clear();
        self.keys.hashes.clear();
        self.timers.clear();
    }
}

impl Timers {
    /// No timers; most of them will be set within `ahead_ms` milliseconds of the clock.
    pub(super) fn new(number: u8, ahead_ms: i64, state: StateConfig) -> Self {
        Self {
            key_groups: state.key_groups,
            slices: Slices::new(number, state, Box::new(|| Ok(Dues::default()))),
            bucket_ms: (ahead_ms / BUCKETS).max(BUCKET_MS_MIN),
            next_ms: None,
            cursor: 0,
            key: EncodedKeys::default(),
            ids: Vec::new(),
        }
    }

    /// The table of state.
    pub(super) fn table(&mut self) -> &mut dyn StateTable {
        &mut self.slices
    }

    /// Key groups of the statement.
    pub(super) fn key_groups(&self) -> u32 {
        self.key_groups
    }

    /// Sets a timer.
    pub(super) fn set(&mut self, key: PartitionKey<'_>, due_ms: EpochMillis) -> Result<()> {
        let due_ms = due_ms.min(NOT_SET - 1);
        self.put(due_ms.div_euclid(self.bucket_ms), key.bytes, due_ms)?;
        self.next_ms = self.next_ms.map(|next_ms| next_ms.min(due_ms));
        Ok(())
    }

    /// Notes the timer of a key in a bucket.
    fn put(&mut self, bucket: i64, key: &[u8], due_ms: i64) -> Result<()> {
        self.key.bytes.clear();
        self.key.bytes.extend_from_slice(key);
        self.key.ends.clear();
        self.key.ends.push(key.len());
        self.key.hashes.clear();
        self.key.hashes.push(xxh3_64(key));
        let dues = self.slices.upsert(bucket, &self.key, &mut self.ids)?;
        for id in &self.ids {
            dues.due_ms[*id as usize] = due_ms;
        }
        Ok(())
    }

    /// When the first timer is due, or earlier; absent without one.
    pub(super) fn next_ms(&self) -> Option<EpochMillis> {
        let first = self.slices.first()?;
        let from_ms = first.saturating_mul(self.bucket_ms);
        Some(self.next_ms.unwrap_or(from_ms))
    }

    /// Finds some timers that are due; false when none is left. Each of them is [`Self::finish`]ed before others are found, or found
    /// again.
    pub(super) fn find(&mut self, now_ms: EpochMillis, due: &mut Due) -> Result<bool> {
        due.clear();
        while let Some(bucket) = self.slices.first() {
            if self.next_ms().is_none_or(|next_ms| next_ms > now_ms) {
                return Ok(false);
            }
            if let Some(slice) = self.slices.slice(bucket)? {
                for id in slice.values().due(self.cursor, now_ms).take(DUE_AT_ONCE) {
                    let key = slice.key(id);
                    due.keys.bytes.extend_from_slice(key);
                    due.keys.ends.push(due.keys.bytes.len());
                    due.keys.hashes.push(slice.hash(id));
                    due.timers.push((id, slice.values().due_ms[id as usize]));
                }
            }
            if !due.timers.is_empty() {
                due.bucket = bucket;
                return Ok(true);
            }
            self.cursor = 0;
            self.next_ms = None;
            let end_ms = bucket.saturating_add(1).saturating_mul(self.bucket_ms);
            if end_ms <= now_ms {
                self.slices.drop_slice(bucket)?;
                continue;
            }
            let slice = self.slices.slice(bucket)?;
            let first = slice.and_then(|slice| slice.values().first());
            // Without a timer in this bucket the next one is in a later one.
            self.next_ms = Some(first.unwrap_or(end_ms));
            return Ok(false);
        }
        Ok(false)
    }

    /// Notes that a timer that was found is through, before another one is set for its key.
    pub(super) fn finish(&mut self, due: &Due, at: usize, now_ms: EpochMillis) {
        let (id, _) = due.timers[at];
        self.cursor = id + 1;
        // A bucket that is over is dropped whole.
        if due.bucket >= now_ms.div_euclid(self.bucket_ms)
            && let Some(dues) = self.slices.change(due.bucket, id)
        {
            dues.due_ms[id as usize] = NOT_SET;
        }
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

    fn reset(&mut self) -> bool {
        self.due_ms.clear();
        true
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
