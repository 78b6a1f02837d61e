//! The join of rows with the version of a table that was valid at their time.
//!
//! Place in the flow: after hash exchanges of both inputs by their join keys. Invariant: a left row is emitted at most once, when the
//! watermark reaches its time, with the latest version of its key that is not after it; left rows of a key that become due together are
//! emitted in the order in which they came.
//!
//! A version is known by its time: of several with one time the last one counts, and one that is a deletion is no version from its time
//! on. When the timer of a key goes off, its left rows that are due are emitted, and of the versions up to the watermark only the latest
//! one stays. A key has one timer, for the earliest of its rows since it last went off.
//!
//! # Source
//! Flink 2.3, `TemporalRowTimeJoinOperator`, also in what late rows meet: what is left when the next watermark comes.

mod keys;
mod matched;

use std::ops::{Bound, ControlFlow};

use arrow::array::{Array, ArrayRef};

use self::keys::KeyStates;
use self::matched::{Codecs, Matched, Version};
use super::time_order::{TIME_BYTES, sort_key, time_of, times_ms};
use super::timers::{Due, NOT_SET, Timers};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::graph::key_group::key_group;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::plan::JoinKind;
use crate::sql::eval::Evaluator;
use crate::state::{EncodedKeys, KeyCodec, KeyedTable, OrderedRows, PartitionKey, StateConfig};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Number of the table of left rows.
const WAITING_TABLE: u8 = 0;

/// Number of the table of versions.
const VERSIONS_TABLE: u8 = 1;

/// Number of the table with the timer of each key.
const KEYS_TABLE: u8 = 2;

/// Number of the table of timers in the order of time.
const TIMERS_TABLE: u8 = 3;

/// The number of the input with the rows that are joined; the other one brings versions.
const LEFT: usize = 0;

/// Span of time that the timers of most streams lie in ahead of the watermark, milliseconds (guess, unmeasured).
const AHEAD_MS: i64 = 60_000;

/// What a temporal join is made from.
#[derive(Debug)]
pub struct Spec<'a> {
    /// The join as planned.
    pub join: &'a crate::plan::TemporalJoin,
    /// Types of the columns of the left and the right input.
    pub types: [&'a [FlinkType]; 2],
    /// The session time zone.
    pub time_zone: &'a str,
}

/// A join with versions.
#[derive(Debug)]
pub struct TemporalJoin {
    /// Key columns, time and codec of keys of the left and the right input.
    sides: [Side; 2],
    /// Encode rows of both inputs.
    codecs: Codecs,
    /// Which rows are emitted.
    kind: JoinKind,
    /// What else must be TRUE.
    residual: Option<Evaluator>,
    /// Left rows by key, in the order of their times and numbers, behind their kinds.
    waiting: OrderedRows,
    /// Versions by key, in the order of their times, behind their kinds.
    versions: OrderedRows,
    /// What is known of each key.
    keys: KeyedTable<KeyStates>,
    /// When keys are looked through.
    timers: Timers,
    /// Whether rows before updates of the right input are nothing to it.
    ignores_update_before: bool,
    /// What rows of a key are to each other as to the TTL.
    lifetime: Lifetime,
    /// Timers that are due, kept for their memory.
    due: Due,
    /// Ids of the present batch's keys, kept for its memory.
    ids: Vec<u32>,
    /// A row behind its kind, kept for its memory.
    stored: Vec<u8>,
}

/// Where an input has its keys and times.
#[derive(Debug)]
struct Side {
    /// Key columns.
    keys: Vec<usize>,
    /// The time column.
    time: usize,
    /// Encodes keys.
    key_codec: KeyCodec,
}

/// Whether rows of a key live as long as any of it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    /// There is no TTL.
    Endless,
    /// Each change of a key is one of all of its rows.
    OfKey,
}

impl TemporalJoin {
    /// A join without rows.
    ///
    /// # Errors
    /// `Unsupported` for keys that cannot be one and in processing time; `Invalid` for a condition that does not compile.
    pub fn new(spec: &Spec<'_>, states: [StateConfig; 2]) -> Result<Self> {
        let join = spec.join;
        let Some(right_time) = join.right_time else {
            return Err(Error::unsupported("a temporal join in processing time"));
        };
        let side = |keys: &[usize], time, types: &[FlinkType]| {
            Ok::<_, Error>(Side {
                key_codec: KeyCodec::new(keys.iter().map(|key| &types[*key]))?,
                keys: keys.to_vec(),
                time,
            })
        };
        let residual = join.residual.as_ref();
        let residual = residual.map(|residual| Evaluator::compile(residual, spec.time_zone));
        let [left, right] = states;
        Ok(Self {
            sides: [
                side(&join.left_keys, join.left_time, spec.types[0])?,
                side(&join.right_keys, right_time, spec.types[1])?,
            ],
            codecs: Codecs::new(spec.types)?,
            kind: join.kind,
            residual: residual.transpose()?,
            ignores_update_before: join.ignores_update_before,
            lifetime: if left.ttl_ms.or(right.ttl_ms).is_some() {
                Lifetime::OfKey
            } else {
                Lifetime::Endless
            },
            keys: KeyedTable::new(KEYS_TABLE, KeyStates::default(), left.clone()),
            timers: Timers::new(TIMERS_TABLE, AHEAD_MS, left.clone()),
            waiting: OrderedRows::new(WAITING_TABLE, left),
            versions: OrderedRows::new(VERSIONS_TABLE, right),
            due: Due::default(),
            ids: Vec::new(),
            stored: Vec::new(),
        })
    }

    /// Sets the timer of a key for a row, if it has none that is earlier.
    fn set_timer(&mut self, id: u32, key: PartitionKey<'_>, time_ms: EpochMillis) -> Result<()> {
        let keys = self.keys.values_mut();
        if time_ms < keys.timer_ms(id) {
            keys.set_timer_ms(id, time_ms);
            self.timers.set(key, time_ms)?;
        }
        Ok(())
    }

    /// Lets the rows of a key in the other table live on.
    fn touch(&mut self, input: usize, key: PartitionKey<'_>, now_ms: EpochMillis) -> Result<()> {
        match (self.lifetime, input) {
            (Lifetime::Endless, _) => Ok(()),
            (Lifetime::OfKey, LEFT) => self.versions.touch(key, now_ms),
            (Lifetime::OfKey, _) => self.waiting.touch(key, now_ms),
        }
    }

    /// Keeps a left row until the watermark reaches its time. `self.stored` is the row.
    fn wait(
        &mut self,
        id: u32,
        key: PartitionKey<'_>,
        time_ms: EpochMillis,
        now_ms: EpochMillis,
    ) -> Result<()> {
        let number = self.keys.values_mut().next_number(id);
        let mut sort = [0; 2 * TIME_BYTES];
        sort[..TIME_BYTES].copy_from_slice(&sort_key(time_ms));
        sort[TIME_BYTES..].copy_from_slice(&number.to_be_bytes());
        self.waiting.insert(key, (&sort, &self.stored), now_ms)?;
        Ok(())
    }

    /// Keeps a version in the place of one with the same time. `self.stored` is the row.
    fn put_version(
        &mut self,
        key: PartitionKey<'_>,
        time_ms: EpochMillis,
        now_ms: EpochMillis,
    ) -> Result<()> {
        let sort = sort_key(time_ms);
        let only = (Bound::Included(&sort[..]), Bound::Included(&sort[..]));
        let mut old: Option<Vec<u8>> = None;
        self.versions.visit(key, only, now_ms, |_, row| {
            old = Some(row.to_vec());
            Ok(ControlFlow::Break(()))
        })?;
        if let Some(old) = old {
            self.versions.remove(key, (&sort, &old), now_ms)?;
        }
        self.versions.insert(key, (&sort, &self.stored), now_ms)?;
        Ok(())
    }

    /// Takes the left rows of a key that are due, as many as there is room for, and gives each its version; true once that is all.
    fn fire(
        &mut self,
        key: PartitionKey<'_>,
        watermark_ms: EpochMillis,
        now_ms: EpochMillis,
        matched: &mut Matched,
    ) -> Result<bool> {
        let mut until = [u8::MAX; 2 * TIME_BYTES];
        until[..TIME_BYTES].copy_from_slice(&sort_key(watermark_ms));
        let due = (Bound::Included(&until[..]), matched.room());
        matched.begin_key();
        self.waiting.drain_until(key, due, now_ms, |sort, row| {
            matched.push_left(time_of(sort), &sort[TIME_BYTES..], row);
        })?;
        let until = sort_key(watermark_ms);
        let range = (Bound::Unbounded, Bound::Included(&until[..]));
        let mut latest_ms = None;
        self.versions.visit(key, range, now_ms, |sort, row| {
            let time_ms = time_of(sort);
            latest_ms = Some(time_ms);
            matched.push_version(Version { time_ms, row });
            Ok(ControlFlow::Continue(()))
        })?;
        matched.end_key(self.kind);
        let earliest = match self.waiting.find_partition(key, now_ms)? {
            Some(head) => self.waiting.first_of(head).map(time_of),
            None => None,
        };
        if earliest.is_some_and(|time_ms| time_ms <= watermark_ms) {
            return Ok(false);
        }
        if let Some(latest_ms) = latest_ms {
            let sort = sort_key(latest_ms);
            self.versions
                .remove_until(key, Bound::Excluded(&sort), now_ms)?;
        }
        Ok(true)
    }

    /// Sets the timer of a key anew after it has gone off, for left rows that still wait.
    fn set_again(&mut self, key: PartitionKey<'_>, now_ms: EpochMillis) -> Result<()> {
        let earliest = match self.waiting.find_partition(key, now_ms)? {
            Some(head) => self.waiting.first_of(head).map(time_of),
            None => None,
        };
        let (id, _) = self.keys.upsert_in(key.bytes, key.key_group, now_ms)?;
        match earliest {
            Some(time_ms) => {
                self.keys.values_mut().set_timer_ms(id, time_ms);
                self.timers.set(key, time_ms)
            }
            // Without a row that waits, numbers may begin again.
            None => self.keys.remove(id),
        }
    }

    /// Lets timers go off until there is no room for more rows; true when some are left.
    fn go_off(
        &mut self,
        watermark_ms: EpochMillis,
        now_ms: EpochMillis,
        matched: &mut Matched,
    ) -> Result<bool> {
        let mut due = std::mem::take(&mut self.due);
        while self.timers.find(watermark_ms, &mut due)? {
            for at in 0..due.len() {
                let key = due.key(at, self.timers.key_groups());
                let id = self.keys.find_in(key.bytes, key.key_group, now_ms)?;
                let set_ms = id.map_or(NOT_SET, |id| self.keys.values().timer_ms(id));
                // A timer that was set again for an earlier time is void where it was.
                let is_valid = set_ms == due.time_ms(at);
                if is_valid && !self.fire(key, watermark_ms, now_ms, matched)? {
                    self.due = due;
                    return Ok(true);
                }
                self.timers.finish(&due, at, watermark_ms);
                if is_valid {
                    self.set_again(key, now_ms)?;
                }
            }
        }
        self.due = due;
        Ok(false)
    }
}

/// The times of a column none of which is NULL.
fn known_times(column: &ArrayRef) -> Result<Vec<EpochMillis>> {
    if column.null_count() > 0 {
        return Err(Error::deserialization(
            "the time attribute of a temporal join holds a NULL, for which no version is valid; filter such rows out",
        ));
    }
    Ok(times_ms(column)?.values().to_vec())
}

impl Operator for TemporalJoin {
    fn on_batch(
        &mut self,
        input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        _out: &mut Collector,
    ) -> Result<()> {
        let now_ms = context.state_time_ms();
        let counting;
        let batch = if input != LEFT && self.ignores_update_before {
            counting = batch.without_update_before()?;
            &counting
        } else {
            batch
        };
        let side = &self.sides[input];
        let columns: Vec<&ArrayRef> = side.keys.iter().map(|key| &batch.columns[*key]).collect();
        let keys = side.key_codec.encode(&columns, batch.rows)?;
        let times_ms = known_times(&batch.columns[side.time])?;
        let rows = self.codecs.encode(input, batch)?;
        let mut ids = std::mem::take(&mut self.ids);
        self.keys.upsert(&keys, now_ms, &mut ids, |_| ())?;
        for (row, (id, time_ms)) in ids.iter().zip(&times_ms).enumerate() {
            let key = key_of(&keys, row, self.timers.key_groups());
            self.stored.clear();
            self.stored.push(batch.kind(row) as u8);
            self.stored.extend_from_slice(rows.key(row));
            self.touch(input, key, now_ms)?;
            if input == LEFT {
                self.wait(*id, key, *time_ms, now_ms)?;
            } else {
                self.put_version(key, *time_ms, now_ms)?;
            }
            self.set_timer(*id, key, *time_ms)?;
        }
        self.ids = ids;
        Ok(())
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        let Some(watermark_ms) = context.watermark_ms else {
            return Ok(false);
        };
        let mut matched = Matched::new(EMIT_ROWS_MAX);
        let has_more = self.go_off(watermark_ms, context.state_time_ms(), &mut matched)?;
        let residual = self.residual.as_ref();
        if let Some(joined) = matched.joined(&self.codecs, (self.kind, residual), context)? {
            out.emit(joined);
        }
        Ok(has_more)
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(self.waiting.table());
        visit(self.versions.table());
        visit(&mut self.keys);
        visit(self.timers.table());
    }
}

/// The key of a row.
fn key_of(keys: &EncodedKeys, row: usize, key_groups: u32) -> PartitionKey<'_> {
    PartitionKey {
        bytes: keys.key(row),
        key_group: key_group(keys.hashes[row], key_groups),
    }
}

#[cfg(test)]
mod tests;
