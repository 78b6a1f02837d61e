//! Rows in an order: by event time, by processing time, or all of them at the end of bounded input.
//!
//! Place in the flow: after an exchange that brings all rows to one subtask. Invariant: rows leave in order, each once; what has left is
//! before all that is still to come, except rows that come at the end of time.
//!
//! # Source
//! Flink 2.3: `RowTimeSortOperator`, `ProcTimeSortOperator` and `SortOperator`.

use std::ops::Bound;

use arrow::array::ArrayRef;

use super::numbers::{Numbers, whole_input};
use super::rows::{Changes, event_times, time_bytes};
use crate::batch::{Batch, RowKind};
use crate::error::Result;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::plan::SortField;
use crate::state::{KeyCodec, KeyedTable, OrderedRows, SortCodec, StateConfig};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Number of the table of rows.
const ROWS_TABLE: u8 = 0;

/// Number of the table with the time of the last row that has left.
const LAST_TABLE: u8 = 1;

/// When rows leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// Once the watermark has passed their time, which the order begins with.
    EventTime {
        /// The column of the time.
        time: usize,
    },
    /// A millisecond after the first of them has come.
    ProcessingTime,
    /// At the end of input.
    End,
}

/// Rows in an order.
#[derive(Debug)]
pub struct Sort {
    /// When rows leave.
    leaving: Leaving,
    /// Encodes the order.
    order_codec: SortCodec,
    /// Encodes rows.
    row_codec: KeyCodec,
    /// Rows that have not left.
    rows: OrderedRows,
    /// The time of the last row that has left, in event time.
    last: KeyedTable<Numbers>,
    /// Key groups of the statement.
    key_groups: u32,
    /// When rows leave next by the machine's clock: at once when it is not known, as after a restart.
    timer_ms: Option<EpochMillis>,
    /// Whether the timer was due and not all has left.
    is_firing: bool,
    /// What has left and was not emitted.
    changes: Changes,
}

impl Sort {
    /// No rows yet. The order by processing time leaves the time out, as rows that leave together came together.
    ///
    /// # Errors
    /// `Unsupported` for an order of types without one.
    pub fn new(
        order: &[SortField],
        leaving: Leaving,
        types: &[FlinkType],
        state: StateConfig,
    ) -> Result<Self> {
        let forever = StateConfig {
            ttl_ms: None,
            ..state
        };
        Ok(Self {
            leaving,
            order_codec: SortCodec::new(order, types)?,
            row_codec: KeyCodec::for_rows(types)?,
            key_groups: forever.key_groups,
            rows: OrderedRows::new(ROWS_TABLE, forever.clone()),
            last: KeyedTable::new(LAST_TABLE, Numbers::default(), forever),
            timer_ms: (leaving == Leaving::ProcessingTime).then_some(EpochMillis::MIN),
            is_firing: false,
            changes: Changes::default(),
        })
    }

    /// The time of the last row that has left.
    fn last_ms(&mut self) -> Result<Option<EpochMillis>> {
        let key = whole_input(self.key_groups);
        let found = self.last.find_in(key.bytes, key.key_group, 0)?;
        Ok(found.map(|id| self.last.values().0[id as usize]))
    }

    /// Takes rows that are due; whether more are.
    fn leave(&mut self, until: Bound<&[u8]>) -> Result<bool> {
        let key = whole_input(self.key_groups);
        let mut last: Vec<u8> = Vec::new();
        let (rows, changes) = (&mut self.rows, &mut self.changes);
        let taken = rows.take_first(key, (until, EMIT_ROWS_MAX), 0, |sort, row| {
            changes.push(RowKind::Insert, row);
            last.clear();
            last.extend_from_slice(sort);
        })?;
        // Behind the byte that tells it from NULL, which no time is.
        let time = last.get(1..).and_then(|time| time.first_chunk::<8>());
        if matches!(self.leaving, Leaving::EventTime { .. })
            && let Some(time) = time
        {
            let last_ms = (u64::from_be_bytes(*time) ^ (1 << 63)).cast_signed();
            let (id, _) = self.last.upsert_in(key.bytes, key.key_group, 0)?;
            self.last.values_mut().0[id as usize] = last_ms;
        }
        Ok(taken >= EMIT_ROWS_MAX)
    }
}

impl Operator for Sort {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        _out: &mut Collector,
    ) -> Result<()> {
        let key = whole_input(self.key_groups);
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        let rows = self.row_codec.encode_rows(&columns, batch.rows)?;
        let sorts = self.order_codec.encode(&batch.columns, batch.rows)?;
        let times = match self.leaving {
            Leaving::EventTime { time } => Some(event_times(&batch.columns[time])?),
            Leaving::ProcessingTime | Leaving::End => None,
        };
        let last_ms = self.last_ms()?;
        for row in 0..batch.rows {
            let changed = (sorts.key(row), rows.key(row));
            if batch.kind(row).is_retraction() {
                self.rows.remove(key, changed, 0)?;
                continue;
            }
            // What is not before a row that has left waits for the next watermark, even if this one has passed it.
            let time_ms = times.as_ref().map(|times| times[row]);
            if time_ms
                .zip(last_ms)
                .is_some_and(|(time, last)| time <= last)
            {
                context.metrics.late_records.add(1);
                continue;
            }
            self.rows.insert(key, changed, 0)?;
        }
        if self.leaving == Leaving::ProcessingTime && self.timer_ms.is_none() {
            self.timer_ms = Some(context.clock.now_ms().saturating_add(1));
        }
        Ok(())
    }

    fn on_timer(&mut self, _context: &OperatorContext<'_>) -> Result<()> {
        self.timer_ms = None;
        self.is_firing = true;
        Ok(())
    }

    fn next_timer_ms(&self) -> Option<EpochMillis> {
        self.timer_ms
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        let mut has_more = false;
        if self.changes.is_empty() {
            let watermark_ms = context.watermark_ms.unwrap_or(EpochMillis::MIN);
            has_more = match (self.leaving, watermark_ms) {
                (_, EpochMillis::MAX) => self.leave(Bound::Unbounded)?,
                (Leaving::EventTime { .. }, watermark_ms) => {
                    let mut end = vec![SortCodec::VALUE];
                    end.extend(time_bytes(watermark_ms + 1));
                    self.leave(Bound::Excluded(&end))?
                }
                (Leaving::ProcessingTime, _) if self.is_firing => self.leave(Bound::Unbounded)?,
                (Leaving::ProcessingTime | Leaving::End, _) => false,
            };
            self.is_firing = has_more;
        }
        self.changes.emit(&self.row_codec, out)?;
        Ok(has_more || self.is_firing || !self.changes.is_empty())
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(self.rows.table());
        visit(&mut self.last);
    }
}
