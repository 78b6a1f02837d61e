//! Frames: which rows before a row its aggregates see.
//!
//! Place in the flow: takes rows that are in order and gives their results. Invariant: the aggregates of a partition are those of the rows
//! that its state holds, or of all rows when the frame has no start.

use std::ops::Bound;

use arrow::array::ArrayRef;

use super::cells::Cells;
use super::steps::{Step, Steps};
use crate::batch::Batch;
use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::operator::StateVisit;
use crate::plan::AggregateCall;
use crate::state::{
    ChunkKeys, EncodedKeys, Head, KeyCodec, KeyedTable, OrderedRows, PartitionKey, StateConfig,
};
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

/// Rows of which those of a partition are in order.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrderedBatch<'a> {
    /// The columns of the input.
    pub(super) columns: &'a [ArrayRef],
    /// The partition of each row, as [`Frames::open`] tells it.
    pub(super) ids: &'a [u32],
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
        })
    }

    /// The partitions of the keys of some rows, which get rows now with [`Self::compute`].
    ///
    /// # Errors
    /// `Unavailable` when spilled state cannot be read.
    pub(super) fn open(
        &mut self,
        keys: (&EncodedKeys, impl Iterator<Item = usize> + Clone),
        now_ms: EpochMillis,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        let mut new = Vec::new();
        self.partitions
            .upsert_some(keys, now_ms, ids, |id| new.push(id))?;
        if self.has_ttl {
            self.forget_rows_of(&new, now_ms)?;
        }
        Ok(())
    }

    /// The results of rows, by their place in the batch.
    ///
    /// # Errors
    /// What the aggregates return; `Unavailable` when spilled state cannot be read.
    pub(super) fn compute(
        &mut self,
        batch: OrderedBatch<'_>,
        now_ms: EpochMillis,
    ) -> Result<Vec<ArrayRef>> {
        let rows = batch.ids.len();
        let used = self.used.iter();
        let own: Vec<ArrayRef> = used.map(|column| batch.columns[*column].clone()).collect();
        let mut order: Vec<u32> = (0..).take(rows).collect();
        if !batch.ids.is_sorted() {
            order.sort_by_key(|row| batch.ids[*row as usize]);
        }
        let mut pass = Pass {
            batch,
            now_ms,
            steps: Steps::default(),
            leaving: Leaving::default(),
            stored: EncodedKeys::default(),
        };
        let is_same =
            |left: &u32, right: &u32| batch.ids[*left as usize] == batch.ids[*right as usize];
        match self.extent {
            Extent::Rows => pass.unbounded(order, |_, _| false),
            Extent::Range => pass.unbounded(order, |left, right| left == right),
            Extent::LastRows(_) | Extent::LastMillis(_) => {
                let own: Vec<&ArrayRef> = own.iter().collect();
                pass.stored = self.codec.encode_rows(&own, rows)?;
                let sequences: Vec<&[u32]> = order.chunk_by(is_same).collect();
                self.bounded(&sequences, &mut pass)?;
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
            let partition = partition(&self.partitions, *id);
            self.stored.clear(partition, now_ms)?;
        }
        Ok(())
    }

    /// Steps of partitions whose frames begin somewhere: for each of them its rows.
    fn bounded(&mut self, sequences: &[&[u32]], pass: &mut Pass<'_>) -> Result<()> {
        let mut keys = EncodedKeys::default();
        for sequence in sequences {
            let id = pass.batch.ids[sequence[0] as usize];
            let partition = partition(&self.partitions, id);
            keys.bytes.extend_from_slice(partition.bytes);
            keys.ends.push(keys.bytes.len());
            keys.hashes.push(self.partitions.hash(id));
        }
        let keys = ChunkKeys::first(&keys, self.key_groups);
        let mut heads = Vec::with_capacity(sequences.len());
        self.stored
            .find_partitions((&keys, 0..sequences.len()), pass.now_ms, &mut heads)?;
        for (new, head) in sequences.iter().zip(heads) {
            match self.extent {
                Extent::LastRows(keep) => self.last_rows(keep, (new, head), pass)?,
                Extent::LastMillis(millis) => self.last_millis(millis, (new, head), pass)?,
                Extent::Rows | Extent::Range => {}
            }
        }
        Ok(())
    }

    /// Steps of a partition whose frames are its last rows.
    fn last_rows(
        &mut self,
        keep: i64,
        (new, head): (&[u32], Option<Head>),
        pass: &mut Pass<'_>,
    ) -> Result<()> {
        let group = pass.batch.ids[new[0] as usize];
        let before = self.partitions.values().counters[group as usize].rows;
        let first_place = pass.steps.rows.len();
        let count = i64::try_from(new.len()).unwrap_or(i64::MAX);
        // Rows that are stored, and those of them that leave.
        let known = before.min(keep);
        let leave = known.min((known + count - keep).max(0));
        let partition = partition(&self.partitions, group);
        let opened = self.stored.open_partition(partition, head, pass.now_ms)?;
        for (number, row) in (0..).zip(new).filter(|(number, _)| *number >= count - keep) {
            let stored = (
                &sort_key(before + number)[..],
                pass.stored.key(*row as usize),
            );
            self.stored
                .insert_in((partition, opened), stored, pass.now_ms)?;
        }
        if leave > 0 {
            let end = sort_key(before - known + leave);
            pass.take_leaving(&mut self.stored, (partition, opened), &end)?;
        }
        let entered = pass.steps.rows.len();
        pass.steps.rows.extend_from_slice(new);
        for index in 0..new.len() {
            let place = entered + index;
            // The row that is `keep` rows before, counted from the first that is at hand or stored.
            let at = known + i64::try_from(index).unwrap_or(i64::MAX) - keep;
            let leave = usize::try_from(at).map_or(first_place..first_place, |at| {
                first_place + at..first_place + at + 1
            });
            let step = Step {
                group,
                leave,
                enter: place..place + 1,
            };
            pass.steps.push(index, step);
        }
        self.note_last(group, new, pass);
        Ok(())
    }

    /// Steps of a partition whose frames are the rows of some milliseconds.
    fn last_millis(
        &mut self,
        millis: i64,
        (new, head): (&[u32], Option<Head>),
        pass: &mut Pass<'_>,
    ) -> Result<()> {
        let batch = pass.batch;
        let group = batch.ids[new[0] as usize];
        let time = |row: &u32| batch.times_ms[*row as usize];
        let Some(last_ms) = new.last().map(time) else {
            return Ok(());
        };
        let limit_ms = last_ms.saturating_sub(millis);
        let mut place = pass.steps.rows.len();
        let first_left = pass.leaving.times_ms.len();
        let partition = partition(&self.partitions, group);
        let opened = self.stored.open_partition(partition, head, pass.now_ms)?;
        for row in new.iter().filter(|row| time(row) >= limit_ms) {
            let stored = (&sort_key(time(row))[..], pass.stored.key(*row as usize));
            self.stored
                .insert_in((partition, opened), stored, pass.now_ms)?;
        }
        pass.take_leaving(&mut self.stored, (partition, opened), &sort_key(limit_ms))?;
        let mut times_ms: Vec<i64> = pass.leaving.times_ms[first_left..].to_vec();
        let (first_place, mut entered) = (place, pass.steps.rows.len());
        times_ms.extend(new.iter().map(time));
        pass.steps.rows.extend_from_slice(new);
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
        self.note_last(group, new, pass);
        Ok(())
    }

    /// Notes up to which time a partition was emitted.
    fn note_last(&mut self, group: u32, new: &[u32], pass: &Pass<'_>) {
        let last = new.last().map(|row| pass.batch.times_ms[*row as usize]);
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

/// A partition.
fn partition(partitions: &KeyedTable<Cells>, id: u32) -> PartitionKey<'_> {
    PartitionKey {
        bytes: partitions.key(id),
        key_group: partitions.key_group(id),
    }
}

/// What is found out about the rows of a batch.
#[derive(Debug)]
struct Pass<'a> {
    /// The rows.
    batch: OrderedBatch<'a>,
    /// The time that a TTL counts in.
    now_ms: EpochMillis,
    /// What is to be done.
    steps: Steps,
    /// Stored rows that leave their frames; they follow those of the batch.
    leaving: Leaving,
    /// The rows as they are stored; none in unbounded frames.
    stored: EncodedKeys,
}

impl Pass<'_> {
    /// Steps of partitions whose frames have no start, of rows by partition; rows of two times may come in one step.
    fn unbounded(&mut self, order: Vec<u32>, is_step: impl Fn(i64, i64) -> bool) {
        let OrderedBatch { ids, times_ms, .. } = self.batch;
        let is_peer = |left: &u32, right: &u32| {
            let (left, right) = (*left as usize, *right as usize);
            ids[left] == ids[right] && is_step(times_ms[left], times_ms[right])
        };
        let (mut place, mut last, mut n) = (0, None, 0);
        for peers in order.chunk_by(is_peer) {
            let group = ids[peers[0] as usize];
            n = if last == Some(group) { n + 1 } else { 0 };
            last = Some(group);
            let step = Step {
                group,
                leave: place..place,
                enter: place..place + peers.len(),
            };
            place += peers.len();
            self.steps.push(n, step);
        }
        self.steps.rows = order;
    }

    /// Takes the stored rows of a partition before a place in the order, which leave.
    fn take_leaving(
        &mut self,
        stored: &mut OrderedRows,
        partition: (PartitionKey<'_>, Head),
        end: &[u8],
    ) -> Result<()> {
        let rows = self.batch.ids.len();
        let (leaving, places) = (&mut self.leaving, &mut self.steps.rows);
        let until = (Bound::Excluded(end), usize::MAX);
        stored.drain_in(partition, until, self.now_ms, |sort, row| {
            places.push(u32::try_from(rows + leaving.ends.len()).unwrap_or(u32::MAX));
            leaving.bytes.extend_from_slice(row);
            leaving.ends.push(leaving.bytes.len());
            leaving.times_ms.push(from_sort_key(sort));
        })?;
        Ok(())
    }
}
