//! Aggregates over rows in the order of time.
//!
//! Place in the flow: after a hash exchange by the partition. Invariant: a row is emitted once, with the aggregates of its frame; in event
//! time when the watermark has passed it, in processing time when it comes, or in the next millisecond when its frame is one of time, since
//! rows of one millisecond are peers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, TimestampMillisecondType};

use super::frames::{Extent, Frames, OrderedBatch};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::plan::{FrameBound, FrameUnit, OverAggregate, TimeDomain};
use crate::state::{DueRows, EncodedKeys, KeyCodec, StateConfig, WaitingRows};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// What brings rows into order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// The watermark, for times of a column.
    Event(usize),
    /// The machine's clock, a millisecond after the row.
    Machine,
    /// Nothing: they stay as they come.
    Arrival,
}

/// Aggregates over rows in the order of time.
#[derive(Debug)]
pub struct OverByTime {
    /// What brings rows into order.
    clock: Clock,
    /// Key columns.
    partition: Vec<usize>,
    /// Encodes keys.
    keys: KeyCodec,
    /// Encodes rows that wait.
    codec: KeyCodec,
    /// Rows that wait, and times at which partitions are to be forgotten: rows without bytes.
    waiting: WaitingRows,
    /// Aggregates.
    frames: Frames,
    /// Time up to which rows are due.
    due_ms: EpochMillis,
    /// When the next waiting row is due by the machine's clock.
    timer_ms: Option<EpochMillis>,
    /// Rows that are due, kept for their memory.
    due: DueRows,
    /// Partitions of the present rows, kept for their memory.
    ids: Vec<u32>,
}

/// A row that is due.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Its partition.
    id: u32,
    /// Its time.
    time_ms: EpochMillis,
    /// Its place among those that are due, which are in the order in which they came.
    row: usize,
}

impl Place {
    /// By partition, time and arrival, as one number: it compares without a branch.
    fn order(&self) -> u128 {
        let time = self.time_ms.cast_unsigned() ^ (1 << 63);
        u128::from(self.id) << 96 | u128::from(time) << 32 | self.row as u128
    }
}

/// Number of the table of waiting rows.
const WAITING_TABLE: u8 = 0;

/// The extent of a frame.
///
/// # Errors
/// `Internal` for a frame that planning refuses.
fn extent(over: &OverAggregate) -> Result<Extent> {
    let in_order_of_arrival = over.domain == Some(TimeDomain::Processing);
    Ok(match (over.frame.unit, over.frame.start) {
        (FrameUnit::Rows, FrameBound::UnboundedPreceding) => Extent::Rows,
        (FrameUnit::Range, FrameBound::UnboundedPreceding) if in_order_of_arrival => Extent::Rows,
        (FrameUnit::Range, FrameBound::UnboundedPreceding) => Extent::Range,
        (FrameUnit::Rows, FrameBound::Preceding(rows)) => Extent::LastRows(rows.saturating_add(1)),
        (FrameUnit::Range, FrameBound::Preceding(millis)) => Extent::LastMillis(millis),
        (_, start) => return Err(Error::internal(format!("a frame from {start:?}"))),
    })
}

impl OverByTime {
    /// Nothing yet, for rows of some types.
    ///
    /// # Errors
    /// `Unsupported` for keys or arguments of types that cannot be one.
    pub fn new(over: &OverAggregate, types: &[FlinkType], state: StateConfig) -> Result<Self> {
        let extent = extent(over)?;
        let clock = match (over.domain, over.order.first(), extent) {
            (Some(TimeDomain::Event), Some(field), _) => Clock::Event(field.column),
            (_, _, Extent::LastMillis(_)) => Clock::Machine,
            (_, _, _) => Clock::Arrival,
        };
        Ok(Self {
            clock,
            partition: over.partition.clone(),
            keys: KeyCodec::new(over.partition.iter().map(|column| &types[*column]))?,
            codec: KeyCodec::for_rows(types)?,
            frames: Frames::new(extent, &over.aggregates, types, &state)?,
            waiting: WaitingRows::new(WAITING_TABLE, state),
            due_ms: EpochMillis::MIN,
            // Rows may be restored; the first look tells.
            timer_ms: (clock == Clock::Machine).then_some(0),
            due: DueRows::default(),
            ids: Vec::new(),
        })
    }

    /// Encodes the keys of a batch.
    fn encode_keys(&self, batch: &Batch) -> Result<EncodedKeys> {
        let columns: Vec<&ArrayRef> = self
            .partition
            .iter()
            .map(|column| &batch.columns[*column])
            .collect();
        self.keys.encode(&columns, batch.rows)
    }

    /// Emits rows as they come.
    fn emit_now(
        &mut self,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let keys = self.encode_keys(batch)?;
        let now_ms = context.state_time_ms();
        let keys = (&keys, 0..batch.rows);
        self.frames.open(keys, now_ms, &mut self.ids)?;
        let rows = OrderedBatch {
            columns: &batch.columns,
            ids: &self.ids,
            times_ms: &vec![0; batch.rows],
        };
        let results = self.frames.compute(rows, now_ms)?;
        let columns = batch.columns.iter().cloned().chain(results).collect();
        out.emit(Batch::inserts(columns, batch.rows));
        Ok(())
    }

    /// Keeps rows until they are due, but for those that are late.
    fn keep(&mut self, batch: &Batch, context: &OperatorContext<'_>) -> Result<()> {
        let times_ms = match self.clock {
            Clock::Event(column) => millis(&batch.columns[column])?,
            Clock::Machine | Clock::Arrival => vec![context.clock.now_ms(); batch.rows],
        };
        if self.frames.is_bounded() {
            return self.keep_bounded(batch, &times_ms, context);
        }
        let seen_ms = context.watermark_ms.unwrap_or(EpochMillis::MIN);
        if times_ms.iter().all(|time_ms| *time_ms > seen_ms) {
            return self.wait(batch, &times_ms);
        }
        let in_time = times_ms.iter().map(|time_ms| *time_ms > seen_ms).collect();
        self.wait_some(batch, &times_ms, in_time, context)
    }

    /// As [`Self::keep`], in a bounded frame.
    fn keep_bounded(
        &mut self,
        batch: &Batch,
        times_ms: &[EpochMillis],
        context: &OperatorContext<'_>,
    ) -> Result<()> {
        let keys = self.encode_keys(batch)?;
        let mut cleanups = DueRows::default();
        let now_ms = context.state_time_ms();
        let on_cleanup = |row: usize, time_ms| {
            cleanups.keys.bytes.extend_from_slice(keys.key(row));
            cleanups.keys.ends.push(cleanups.keys.bytes.len());
            cleanups.keys.hashes.push(keys.hashes[row]);
            cleanups.times_ms.push(time_ms);
            cleanups.rows.ends.push(0);
        };
        let in_time = self.frames.admit(&keys, times_ms, now_ms, on_cleanup)?;
        self.waiting
            .add(&cleanups.keys, &cleanups.times_ms, &cleanups.rows)?;
        self.wait_some(batch, times_ms, in_time, context)
    }

    /// Keeps some rows, and counts the others as late.
    fn wait_some(
        &mut self,
        batch: &Batch,
        times_ms: &[EpochMillis],
        in_time: Vec<bool>,
        context: &OperatorContext<'_>,
    ) -> Result<()> {
        let late = in_time.iter().filter(|in_time| !**in_time).count();
        if late == 0 {
            return self.wait(batch, times_ms);
        }
        context.metrics.late_records.add(late);
        let times_ms: Vec<i64> = times_ms
            .iter()
            .zip(&in_time)
            .filter(|(_, in_time)| **in_time)
            .map(|(time_ms, _)| *time_ms)
            .collect();
        let batch = batch.filter(&BooleanArray::from(in_time))?;
        self.wait(&batch, &times_ms)
    }

    /// Keeps rows.
    fn wait(&mut self, batch: &Batch, times_ms: &[EpochMillis]) -> Result<()> {
        if self.clock == Clock::Machine
            && let Some(first_ms) = times_ms.first()
        {
            let next_ms = first_ms.saturating_add(1);
            self.timer_ms = Some(self.timer_ms.map_or(next_ms, |other| other.min(next_ms)));
        }
        let keys = self.encode_keys(batch)?;
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        let rows = self.codec.encode_rows(&columns, batch.rows)?;
        self.waiting.add(&keys, times_ms, &rows)
    }

    /// Emits the rows that are due, and forgets partitions when that is.
    fn emit_due(&mut self, now_ms: EpochMillis, out: &mut Collector) -> Result<()> {
        let due = std::mem::take(&mut self.due);
        let (rows, cleanups): (Vec<usize>, Vec<usize>) =
            (0..due.len()).partition(|row| !due.rows.key(*row).is_empty());
        let keys = (&due.keys, rows.iter().copied());
        self.frames.open(keys, now_ms, &mut self.ids)?;
        let mut order: Vec<Place> = self
            .ids
            .iter()
            .zip(&rows)
            .map(|(id, row)| Place {
                id: *id,
                time_ms: due.times_ms[*row],
                row: *row,
            })
            .collect();
        order.sort_unstable_by_key(Place::order);
        self.ids.clear();
        self.ids.extend(order.iter().map(|place| place.id));
        let encoded = order.iter().map(|place| due.rows.key(place.row));
        let mut columns = self.codec.decode(encoded)?;
        if !order.is_empty() {
            let times_ms: Vec<i64> = order.iter().map(|place| place.time_ms).collect();
            let batch = OrderedBatch {
                columns: &columns,
                ids: &self.ids,
                times_ms: &times_ms,
            };
            let results = self.frames.compute(batch, now_ms)?;
            columns.extend(results);
            out.emit(Batch::inserts(columns, order.len()));
        }
        for row in cleanups {
            let key = (due.keys.key(row), due.keys.hashes[row]);
            self.frames.clean_up(key, due.times_ms[row], now_ms)?;
        }
        self.due = due;
        Ok(())
    }
}

/// The epoch milliseconds of a time attribute.
fn millis(column: &ArrayRef) -> Result<Vec<EpochMillis>> {
    let target = DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None);
    let column = if *column.data_type() == target {
        Arc::clone(column)
    } else {
        arrow::compute::cast(column, &target)?
    };
    if column.null_count() > 0 {
        return Err(Error::deserialization(
            "a NULL in the time attribute of OVER",
        ));
    }
    let times = column.as_primitive::<TimestampMillisecondType>();
    Ok(times.values().to_vec())
}

impl Operator for OverByTime {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        match self.clock {
            Clock::Arrival => self.emit_now(batch, context, out),
            Clock::Event(_) | Clock::Machine => self.keep(batch, context),
        }
    }

    fn on_watermark(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        if let (Clock::Event(_), Some(watermark_ms)) = (self.clock, context.watermark_ms) {
            self.due_ms = self.due_ms.max(watermark_ms);
        }
        Ok(())
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        if self.clock == Clock::Arrival {
            return Ok(false);
        }
        let is_more = self
            .waiting
            .due(self.due_ms, EMIT_ROWS_MAX, &mut self.due)?;
        self.emit_due(context.state_time_ms(), out)?;
        if self.clock == Clock::Machine && !is_more {
            let first_ms = self.waiting.first_ms()?;
            self.timer_ms = first_ms.map(|first_ms| first_ms.saturating_add(1));
        }
        Ok(is_more)
    }

    fn next_timer_ms(&self) -> Option<EpochMillis> {
        self.timer_ms
    }

    fn on_timer(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        if self.clock == Clock::Machine {
            let now_ms = context.clock.now_ms();
            self.due_ms = self.due_ms.max(now_ms.saturating_sub(1));
        }
        Ok(())
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        if self.clock != Clock::Arrival {
            visit(self.waiting.table());
        }
        self.frames.visit_state(visit);
    }
}

#[cfg(test)]
mod tests;
