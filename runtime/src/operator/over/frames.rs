//! Frames: which rows before a row its aggregates see.
//!
//! Place in the flow: takes rows that are in order and gives their results. Invariant: the aggregates of a partition are those of the rows
//! that its state holds, or of all rows when the frame has no start.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use arrow::array::ArrayRef;
use xxhash_rust::xxh3::xxh3_64;

use super::cells::Cells;
use super::steps::{Step, Steps};
use crate::batch::Batch;
use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::operator::StateVisit;
use crate::plan::AggregateCall;
use crate::state::{EncodedKeys, KeyCodec, KeyedTable, OrderedRows, PartitionKey, StateConfig};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// How far a frame reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// To the first row; each row is a step.
    Rows,
    /// To the first row; rows of one time are a step.
    Range,
    /// So many rows, the present one included.
    LastRows(i64),
    /// The rows of so many milliseconds before.
    LastMillis(i64),
}

/// Rows by partition, in order.
#[derive(Debug)]
pub(super) struct Runs<'a> {
    /// The partition of each run; a partition may have several.
    pub(super) keys: &'a EncodedKeys,
    /// Where each run ends.
    pub(super) ends: &'a [usize],
    /// The time of each row; without meaning in an order of arrival.
    pub(super) times_ms: &'a [EpochMillis],
}

/// What is known of partitions, and the rows of bounded frames.
#[derive(Debug)]
pub(super) struct Frames {
    /// Which rows.
    extent: Extent,
    /// Columns of the input that the aggregates read.
    used: Vec<usize>,
    /// Encodes them.
    codec: KeyCodec,
    /// Aggregates.
    partitions: KeyedTable<Cells>,
    /// Rows of bounded frames.
    stored: OrderedRows,
    /// Key groups of the statement.
    key_groups: u32,
    /// Whether partitions expire.
    has_ttl: bool,
    /// Ids of runs, kept for their memory.
    ids: Vec<u32>,
}

/// Number of the table of partitions.
const PARTITIONS_TABLE: u8 = 1;

/// Number of the table of rows.
const STORED_TABLE: u8 = 2;

/// Rows that leave a frame, after those of the batch.
#[derive(Debug, Default)]
struct Leaving {
    /// Rows back to back.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// Their times.
    times_ms: Vec<EpochMillis>,
}

impl Leaving {
    /// The rows.
    fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        (0..self.ends.len()).map(|row| {
            let start = if row == 0 { 0 } else { self.ends[row - 1] };
            &self.bytes[start..self.ends[row]]
        })
    }
}

/// The place of a time or number in the order of stored rows.
fn sort_key(value: i64) -> [u8; 8] {
    (value.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The time or number of a place.
fn from_sort_key(sort: &[u8]) -> i64 {
    let bytes = sort.try_into().unwrap_or_default();
    (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

/// The columns that calls read, and the calls over them alone.
pub(super) fn narrow(calls: &[AggregateCall]) -> (Vec<usize>, Vec<AggregateCall>) {
    let mut used: Vec<usize> = calls
        .iter()
        .flat_map(|call| {
            call.argument
                .iter()
                .chain(&call.further)
                .chain(&call.filter)
        })
        .copied()
        .collect();
    used.sort_unstable();
    used.dedup();
    let place = |column: usize| used.partition_point(|other| *other < column);
    let calls = calls
        .iter()
        .map(|call| AggregateCall {
            argument: call.argument.map(place),
            further: call.further.iter().map(|column| place(*column)).collect(),
            filter: call.filter.map(place),
            ..call.clone()
        })
        .collect();
    (used, calls)
}

impl Frames {
    /// No partitions.
    ///
    /// # Errors
    /// `Unsupported` for arguments that a call does not take.
    pub(super) fn new(
        extent: Extent,
        calls: &[AggregateCall],
        types: &[FlinkType],
        state: &StateConfig,
    ) -> Result<Self> {
        let (used, calls) = narrow(calls);
        let used_types: Vec<FlinkType> = used.iter().map(|column| types[*column].clone()).collect();
        let is_bounded = matches!(extent, Extent::LastRows(_) | Extent::LastMillis(_));
        let empty = Cells::new(&calls, &used_types, is_bounded)?;
        // Rows of a frame are as old as it is long; they go with their partition.
        let for_ever = StateConfig {
            ttl_ms: None,
            ..state.clone()
        };
        let partitions = match extent {
            Extent::LastMillis(_) => for_ever.clone(),
            Extent::Rows | Extent::Range | Extent::LastRows(_) => state.clone(),
        };
        Ok(Self {
            extent,
            used,
            codec: KeyCodec::for_rows(&used_types)?,
            key_groups: state.key_groups,
            has_ttl: partitions.ttl_ms.is_some(),
            partitions: KeyedTable::new(PARTITIONS_TABLE, empty, partitions),
            stored: OrderedRows::new(STORED_TABLE, for_ever),
            ids: Vec::new(),
        })
    }

    /// The results of rows, by their place in the batch.
    ///
    /// # Errors
    /// What the aggregates return; `Unavailable` when spilled state cannot be read.
    pub(super) fn compute(
        &mut self,
        runs: &Runs<'_>,
        columns: &[ArrayRef],
        now_ms: EpochMillis,
    ) -> Result<Vec<ArrayRef>> {
        let rows = runs.ends.last().copied().unwrap_or_default();
        let own: Vec<ArrayRef> = self
            .used
            .iter()
            .map(|column| Arc::clone(&columns[*column]))
            .collect();
        let (mut ids, mut new) = (std::mem::take(&mut self.ids), Vec::new());
        self.partitions
            .upsert(runs.keys, now_ms, &mut ids, |id| new.push(id))?;
        if self.has_ttl {
            self.forget_rows_of(&new, now_ms)?;
        }
        let mut order: Vec<(u32, u32)> = ids.iter().copied().zip(0..).collect();
        if !order.is_sorted() {
            order.sort_unstable();
        }
        self.ids = ids;
        let mut pass = Pass {
            runs,
            now_ms,
            steps: Steps::default(),
            leaving: Leaving::default(),
            rows,
            stored: EncodedKeys::default(),
        };
        if self.is_bounded() {
            let own: Vec<&ArrayRef> = own.iter().collect();
            pass.stored = self.codec.encode_rows(&own, rows)?;
        }
        for sequence in order.chunk_by(|left, right| left.0 == right.0) {
            match self.extent {
                Extent::Rows => pass.unbounded(sequence, |_, _| false),
                Extent::Range => pass.unbounded(sequence, |left, right| left == right),
                Extent::LastRows(keep) => self.last_rows(keep, sequence, &mut pass)?,
                Extent::LastMillis(millis) => self.last_millis(millis, sequence, &mut pass)?,
            }
        }
        let mut columns = own;
        if !pass.leaving.ends.is_empty() {
            let left = self.codec.decode(pass.leaving.iter())?;
            for (column, left) in columns.iter_mut().zip(&left) {
                *column = arrow::compute::concat(&[&**column, &**left])?;
            }
        }
        let batch = Batch::inserts(columns, rows + pass.leaving.ends.len());
        let results = pass.steps.run(self.partitions.values_mut(), &batch)?;
        results.columns(rows)
    }

    /// Whether rows leave frames.
    pub(super) fn is_bounded(&self) -> bool {
        matches!(self.extent, Extent::LastRows(_) | Extent::LastMillis(_))
    }

    /// Forgets the rows of partitions that begin anew, as they may have expired.
    fn forget_rows_of(&mut self, new: &[u32], now_ms: EpochMillis) -> Result<()> {
        for id in new {
            let bytes = self.partitions.key(*id).to_vec();
            let key_group = key_group(xxh3_64(&bytes), self.key_groups);
            let partition = PartitionKey {
                bytes: &bytes,
                key_group,
            };
            self.stored.clear(partition, now_ms)?;
        }
        Ok(())
    }

    /// Steps of a partition whose frames are its last rows.
    fn last_rows(&mut self, keep: i64, sequence: &[(u32, u32)], pass: &mut Pass<'_>) -> Result<()> {
        let (group, partition) = pass.partition(sequence, self.key_groups);
        let before = self.partitions.values().counters[group as usize].rows;
        let first_place = pass.steps.rows.len();
        let new = pass.rows_of(sequence);
        let count = i64::try_from(new.len()).unwrap_or(i64::MAX);
        // Rows that are stored, and those of them that leave.
        let held = before.min(keep);
        let leave = held.min((held + count - keep).max(0));
        if leave > 0 {
            let end = sort_key(before - held + leave);
            let end = Bound::Excluded(&end[..]);
            self.fetch(partition, end, pass)?;
            self.stored.remove_until(partition, end, pass.now_ms)?;
        }
        let entered = pass.steps.rows.len();
        pass.steps.rows.extend_from_slice(&new);
        for (index, row) in (0..).zip(&new) {
            let place = entered + index;
            // The row that is `keep` rows before, counted from the first that is at hand or stored.
            let at = held + i64::try_from(index).unwrap_or(i64::MAX) - keep;
            let leave = usize::try_from(at).map_or(first_place..first_place, |at| {
                first_place + at..first_place + at + 1
            });
            let step = Step {
                group,
                leave,
                enter: place..place + 1,
            };
            pass.steps.push(index, step);
            let number = i64::try_from(index).unwrap_or(i64::MAX);
            if number >= count - keep {
                let stored = (
                    &sort_key(before + number)[..],
                    pass.stored.key(*row as usize),
                );
                self.stored.insert(partition, stored, pass.now_ms)?;
            }
        }
        self.note_last(group, &new, pass);
        Ok(())
    }

    /// Steps of a partition whose frames are the rows of some milliseconds.
    fn last_millis(
        &mut self,
        millis: i64,
        sequence: &[(u32, u32)],
        pass: &mut Pass<'_>,
    ) -> Result<()> {
        let (group, partition) = pass.partition(sequence, self.key_groups);
        let new = pass.rows_of(sequence);
        let time = |row: &u32| pass.runs.times_ms[*row as usize];
        let Some(last_ms) = new.last().map(time) else {
            return Ok(());
        };
        let limit_ms = last_ms.saturating_sub(millis);
        let end = sort_key(limit_ms);
        let end = Bound::Excluded(&end[..]);
        let mut place = pass.steps.rows.len();
        let first_left = pass.leaving.times_ms.len();
        self.fetch(partition, end, pass)?;
        self.stored.remove_until(partition, end, pass.now_ms)?;
        let time = |row: &u32| pass.runs.times_ms[*row as usize];
        let mut times_ms: Vec<i64> = pass.leaving.times_ms[first_left..].to_vec();
        let (first_place, mut entered) = (place, pass.steps.rows.len());
        times_ms.extend(new.iter().map(time));
        pass.steps.rows.extend_from_slice(&new);
        let peers = new.chunk_by(|left, right| time(left) == time(right));
        for (n, peers) in peers.enumerate() {
            let limit_ms = time(&peers[0]).saturating_sub(millis);
            let start = place;
            while times_ms[place - first_place] < limit_ms {
                place += 1;
            }
            let step = Step {
                group,
                leave: start..place,
                enter: entered..entered + peers.len(),
            };
            entered += peers.len();
            pass.steps.push(n, step);
        }
        for row in new.iter().filter(|row| time(row) >= limit_ms) {
            let stored = (&sort_key(time(row))[..], pass.stored.key(*row as usize));
            self.stored.insert(partition, stored, pass.now_ms)?;
        }
        self.note_last(group, &new, pass);
        Ok(())
    }

    /// Fetches the stored rows before a bound, which are about to leave.
    fn fetch(
        &mut self,
        partition: PartitionKey<'_>,
        end: Bound<&[u8]>,
        pass: &mut Pass<'_>,
    ) -> Result<()> {
        let (leaving, places) = (&mut pass.leaving, &mut pass.steps.rows);
        let rows = pass.rows;
        let visit = |sort: &[u8], row: &[u8]| {
            places.push(u32::try_from(rows + leaving.ends.len()).unwrap_or(u32::MAX));
            leaving.bytes.extend_from_slice(row);
            leaving.ends.push(leaving.bytes.len());
            leaving.times_ms.push(from_sort_key(sort));
            Ok(ControlFlow::Continue(()))
        };
        let range = (Bound::Unbounded, end);
        self.stored.visit(partition, range, pass.now_ms, visit)
    }

    /// Notes up to which time a partition was emitted.
    fn note_last(&mut self, group: u32, new: &[u32], pass: &Pass<'_>) {
        let last = new.last().map(|row| pass.runs.times_ms[*row as usize]);
        let counters = &mut self.partitions.values_mut().counters[group as usize];
        counters.last_ms = last.map_or(counters.last_ms, |last_ms| last_ms.max(counters.last_ms));
    }

    /// Which rows are in time for their partition's bounded frame. When one puts off the time at which its partition is forgotten, `on_cleanup` is
    /// told row and time.
    ///
    /// # Errors
    /// As [`Self::compute`].
    ///
    /// # Source
    /// Flink 2.3, `RowTimeRowsBoundedPrecedingFunction` and `RowTimeRangeBoundedPrecedingFunction`: a row is late when its partition has
    /// emitted up to its time or, before the first, when its time is not after the epoch.
    pub(super) fn admit(
        &mut self,
        keys: &EncodedKeys,
        times_ms: &[EpochMillis],
        now_ms: EpochMillis,
        mut on_cleanup: impl FnMut(usize, EpochMillis),
    ) -> Result<Vec<bool>> {
        let mut in_time = Vec::with_capacity(times_ms.len());
        for (row, time_ms) in times_ms.iter().enumerate() {
            let key = keys.key(row);
            let key_group = key_group(keys.hashes[row], self.key_groups);
            let found = self.partitions.find_in(key, key_group, now_ms)?;
            let counters = found.map(|id| self.partitions.values().counters[id as usize]);
            let counters = counters.unwrap_or_default();
            in_time.push(*time_ms > counters.last_ms);
            let Extent::LastMillis(millis) = self.extent else {
                continue;
            };
            let needed = time_ms.saturating_add(millis).saturating_add(1);
            if *time_ms > counters.last_ms && counters.cleanup_ms < needed {
                // Half of the frame more, so that not every row puts it off.
                let cleanup_ms = needed.saturating_add(millis / 2);
                let (id, _) = self.partitions.upsert_in(key, key_group, now_ms)?;
                self.partitions.values_mut().counters[id as usize].cleanup_ms = cleanup_ms;
                on_cleanup(row, cleanup_ms);
            }
        }
        Ok(in_time)
    }

    /// The time has come at which a partition was to be forgotten; it is, unless that was put off.
    ///
    /// # Errors
    /// As [`Self::compute`].
    pub(super) fn clean_up(
        &mut self,
        (key, hash): (&[u8], u64),
        time_ms: EpochMillis,
        now_ms: EpochMillis,
    ) -> Result<()> {
        let key_group = key_group(hash, self.key_groups);
        if self.partitions.find_in(key, key_group, now_ms)?.is_none() {
            return Ok(());
        }
        let (id, _) = self.partitions.upsert_in(key, key_group, now_ms)?;
        let counters = &mut self.partitions.values_mut().counters[id as usize];
        if counters.cleanup_ms > time_ms {
            // Flink takes this for a time up to which rows were emitted.
            counters.last_ms = counters.last_ms.max(time_ms);
            return Ok(());
        }
        self.partitions.remove(id)?;
        let partition = PartitionKey {
            bytes: key,
            key_group,
        };
        self.stored.clear(partition, now_ms)
    }

    /// Shows the tables of state.
    pub(super) fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(&mut self.partitions);
        if self.is_bounded() {
            visit(self.stored.table());
        }
    }
}

/// What is found out about the rows of a batch.
#[derive(Debug)]
struct Pass<'a> {
    /// The rows.
    runs: &'a Runs<'a>,
    /// The time that a TTL counts in.
    now_ms: EpochMillis,
    /// What is to be done.
    steps: Steps,
    /// Stored rows that leave their frames; they follow those of the batch.
    leaving: Leaving,
    /// Rows of the batch.
    rows: usize,
    /// The rows as they are stored; none in unbounded frames.
    stored: EncodedKeys,
}

impl<'a> Pass<'a> {
    /// The rows of some runs.
    fn rows_of(&self, sequence: &[(u32, u32)]) -> Vec<u32> {
        let runs = sequence.iter().map(|(_, run)| *run as usize);
        let rows = runs.flat_map(|run| {
            let start = if run == 0 { 0 } else { self.runs.ends[run - 1] };
            start..self.runs.ends[run]
        });
        rows.map(|row| u32::try_from(row).unwrap_or(u32::MAX))
            .collect()
    }

    /// The partition of some runs: its id and its key.
    fn partition(&self, sequence: &[(u32, u32)], key_groups: u32) -> (u32, PartitionKey<'a>) {
        let (id, run) = sequence[0];
        let keys = self.runs.keys;
        let partition = PartitionKey {
            bytes: keys.key(run as usize),
            key_group: key_group(keys.hashes[run as usize], key_groups),
        };
        (id, partition)
    }

    /// Steps of a partition whose frames have no start; rows of two times may come in one step.
    fn unbounded(&mut self, sequence: &[(u32, u32)], is_step: impl Fn(i64, i64) -> bool) {
        let group = sequence[0].0;
        let new = self.rows_of(sequence);
        let mut place = self.steps.rows.len();
        self.steps.rows.extend_from_slice(&new);
        let time = |row: &u32| self.runs.times_ms[*row as usize];
        let peers = new.chunk_by(|left, right| is_step(time(left), time(right)));
        for (n, peers) in peers.enumerate() {
            let step = Step {
                group,
                leave: place..place,
                enter: place..place + peers.len(),
            };
            place += peers.len();
            self.steps.push(n, step);
        }
    }
}
