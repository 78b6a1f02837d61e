//! The first rows of each window and key: Top-N and deduplication.
//!
//! Place in the flow: behind rows that come with their windows, after a hash exchange by the keys. Invariant: a window is emitted exactly
//! once, when the watermark reaches its last millisecond; a row that comes later is counted as late and dropped.
//!
//! # Source
//! Flink 2.3, `WindowRank` and `WindowDeduplicate`: of rows that are equal in order the one that arrived first comes first, also when the
//! last row by time is kept.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::window::assigner::by_value;
use crate::operator::window::progress::Progress;
use crate::operator::window::top_rows::{Order, TopRows};
use crate::operator::window::zone::Zone;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::plan::{RankRange, SortField, TimeDomain, WindowDeduplicate, WindowRank};
use crate::state::{KeyCodec, Slices, StateConfig};
use crate::types::FlinkType;

/// Number of the only table.
const TOPS_TABLE: u8 = 0;

/// The first rows of each window and key.
#[derive(Debug)]
pub struct WindowTop {
    /// The column of the window's end.
    end: usize,
    /// Key columns, without the window.
    keys: Vec<usize>,
    /// Which rows are emitted.
    ranks: Ranks,
    /// Encodes keys.
    key_codec: KeyCodec,
    /// The order.
    order: Arc<Order>,
    /// Rows by the local end of their window.
    windows: Slices<TopRows>,
    /// What is closed.
    progress: Progress,
    /// Keys of the first due window that were emitted already.
    cursor: u32,
    /// Ids of the present rows, kept for its memory.
    ids: Vec<u32>,
}

/// Which rows are emitted.
#[derive(Debug, Clone, Copy)]
struct Ranks {
    /// Ranks that are left out at the front.
    skip: usize,
    /// The last rank.
    limit: usize,
    /// Whether the rank is a column.
    has_number: bool,
}

/// What the first rows are taken of.
#[derive(Debug)]
struct Parts<'a> {
    /// The column of the window's end.
    end: usize,
    /// Key columns.
    keys: &'a [usize],
    /// The order.
    order: &'a [SortField],
    /// The time zone of windows.
    time_zone: &'a str,
}

impl WindowTop {
    /// The operator of a Top-N.
    ///
    /// # Errors
    /// `Unsupported` for keys that cannot be one and for orders without bytes.
    pub fn of_rank(rank: &WindowRank, input: &[FlinkType], state: StateConfig) -> Result<Self> {
        let rank_of = |rank: i64| usize::try_from(rank).unwrap_or(0);
        let (skip, limit) = match rank.range {
            RankRange::Constant { start, end } => (rank_of(start.saturating_sub(1)), rank_of(end)),
            // The binder has refused it, as Flink does.
            RankRange::Variable { .. } => (0, 0),
        };
        let parts = Parts {
            end: rank.window.end,
            keys: &rank.partition,
            order: &rank.order,
            time_zone: &rank.time_zone,
        };
        let ranks = Ranks {
            skip,
            limit,
            has_number: rank.has_number,
        };
        Self::new(&parts, ranks, input, state)
    }

    /// The operator of a deduplication.
    ///
    /// # Errors
    /// `Unsupported` for keys that cannot be one.
    pub fn of_deduplicate(
        deduplicate: &WindowDeduplicate,
        input: &[FlinkType],
        state: StateConfig,
    ) -> Result<Self> {
        let order = [SortField {
            column: deduplicate.time,
            descending: deduplicate.keep_last,
            nulls_last: false,
        }];
        let parts = Parts {
            end: deduplicate.window.end,
            keys: &deduplicate.keys,
            order: &order,
            time_zone: &deduplicate.time_zone,
        };
        let ranks = Ranks {
            skip: 0,
            limit: 1,
            has_number: false,
        };
        Self::new(&parts, ranks, input, state)
    }

    /// No rows yet.
    fn new(
        parts: &Parts<'_>,
        ranks: Ranks,
        input: &[FlinkType],
        state: StateConfig,
    ) -> Result<Self> {
        let order = Arc::new(Order::new(parts.order, input)?);
        let of_tops = order.clone();
        let make = move || Ok(TopRows::new(of_tops.clone()));
        Ok(Self {
            end: parts.end,
            keys: parts.keys.to_vec(),
            ranks,
            key_codec: KeyCodec::new(parts.keys.iter().map(|key| &input[*key]))?,
            order,
            windows: Slices::new(TOPS_TABLE, state, Box::new(make)),
            progress: Progress::new(TimeDomain::Event, Zone::new(parts.time_zone)?),
            cursor: 0,
            ids: Vec::new(),
        })
    }

    /// Adds rows of one window.
    fn add(&mut self, end_ms: i64, batch: &Batch) -> Result<()> {
        let keys: Vec<&ArrayRef> = self.keys.iter().map(|key| &batch.columns[*key]).collect();
        let keys = self.key_codec.encode(&keys, batch.rows)?;
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        let rows = self.order.codec.encode_rows(&columns, batch.rows)?;
        let places = self.order.convert(&batch.columns)?;
        let tops = self.windows.upsert(end_ms, &keys, &mut self.ids)?;
        for (row, (id, place)) in self.ids.iter().zip(places.iter()).enumerate() {
            tops.add(*id, (place.as_ref(), rows.key(row)), self.ranks.limit);
        }
        Ok(())
    }
}

impl Operator for WindowTop {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        _out: &mut Collector,
    ) -> Result<()> {
        for (end_ms, part) in by_value(batch, self.end)? {
            if self.progress.is_late(end_ms) {
                context.metrics.late_records.add(part.rows);
            } else {
                self.add(end_ms, &part)?;
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        self.progress.on_watermark(context);
        Ok(())
    }

    fn emit_pending(
        &mut self,
        _context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<bool> {
        let mut emitted = 0;
        while let Some(end_ms) = self.windows.first() {
            if !self.progress.is_closed(end_ms) {
                break;
            }
            let Some(window) = self.windows.slice(end_ms)? else {
                break;
            };
            let (mut rows, mut numbers) = (Vec::new(), Vec::new());
            let mut next = None;
            for id in window.ids_from(self.cursor) {
                if emitted + rows.len() >= EMIT_ROWS_MAX {
                    next = Some(id);
                    break;
                }
                for (number, row) in (1..).zip(window.values().iter(id)).skip(self.ranks.skip) {
                    rows.push(row);
                    numbers.push(number);
                }
            }
            emitted += rows.len();
            let mut columns = self.order.codec.decode(rows.iter().copied())?;
            if self.ranks.has_number {
                columns.push(Arc::new(Int64Array::from(numbers)));
            }
            out.emit(Batch::inserts(columns, rows.len()));
            if let Some(next) = next {
                self.cursor = next;
                return Ok(true);
            }
            self.windows.drop_slice(end_ms)?;
            self.cursor = 0;
        }
        self.progress.emitted();
        Ok(false)
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(&mut self.windows);
    }
}
