//! A windowing table function whose rows are used as they are.
//!
//! Place in the flow: `SELECT ... FROM TABLE(HOP(...))` without an aggregation over the window; sessions are
//! [`super::session_function`]. Invariant: a row comes once for each of its windows, in the order of their ends, and keeps its kind.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMillisecondArray, UInt32Array};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::operator::window::assigner::Assigner;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext};
use crate::plan::TimeDomain;

/// Appends `window_start`, `window_end` and `window_time`.
#[derive(Debug)]
pub struct WindowTableFunction {
    /// Finds the windows.
    assigner: Assigner,
    /// What is left of the last batch.
    backlog: Option<Backlog>,
}

/// A batch of which rows are left.
#[derive(Debug)]
struct Backlog {
    /// The batch.
    batch: Batch,
    /// The end of each row's slice.
    slices_ms: Vec<i64>,
    /// The first row that was not emitted.
    row: usize,
    /// Windows of that row that were emitted.
    windows: usize,
}

impl WindowTableFunction {
    /// A window function over an assigner.
    pub fn new(assigner: Assigner) -> Self {
        Self {
            assigner,
            backlog: None,
        }
    }

    /// Emits a part of the backlog.
    fn step(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<()> {
        let Some(mut backlog) = self.backlog.take() else {
            return Ok(());
        };
        let shape = self.assigner.shape();
        let (mut rows, mut ends) = (Vec::new(), Vec::new());
        while ends.len() < EMIT_ROWS_MAX
            && let Some(slice_ms) = backlog.slices_ms.get(backlog.row)
        {
            let row =
                u32::try_from(backlog.row).map_err(|_| Error::internal("a batch of 4 G rows"))?;
            let room = EMIT_ROWS_MAX - ends.len();
            let before = ends.len();
            let windows = shape.all_windows_of(*slice_ms).skip(backlog.windows);
            ends.extend(windows.take(room));
            rows.resize(ends.len(), row);
            if ends.len() - before == room {
                // The next step finds out whether those were the last.
                backlog.windows += room;
            } else {
                backlog.row += 1;
                backlog.windows = 0;
            }
        }
        let is_each_once =
            ends.len() == backlog.batch.rows && (0u32..).zip(&rows).all(|(a, b)| a == *b);
        let mut emitted = if is_each_once {
            backlog.batch.clone()
        } else {
            backlog.batch.take(&UInt32Array::from(rows))?
        };
        emitted.columns.extend(self.columns(&ends, context));
        out.emit(emitted);
        if backlog.row < backlog.batch.rows {
            self.backlog = Some(backlog);
        }
        Ok(())
    }

    /// The window columns of windows with these ends.
    fn columns(&self, ends: &[i64], context: &OperatorContext<'_>) -> [ArrayRef; 3] {
        let (shape, zone) = (self.assigner.shape(), self.assigner.zone());
        let column = |value: &dyn Fn(i64) -> i64| -> ArrayRef {
            let values = ends.iter().map(|end_ms| value(*end_ms));
            Arc::new(TimestampMillisecondArray::from_iter_values(values))
        };
        [
            column(&|end_ms| shape.start_of(end_ms)),
            column(&|end_ms| end_ms),
            match self.assigner.domain() {
                TimeDomain::Event => column(&|end_ms| zone.closing_watermark(end_ms)),
                TimeDomain::Processing => column(&|_| context.clock.now_ms()),
            },
        ]
    }
}

impl Operator for WindowTableFunction {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        while self.has_backlog() {
            self.step(context, out)?;
        }
        let times = self.assigner.times(batch, context)?;
        let shape = self.assigner.shape();
        let slices = times.iter().map(|time_ms| shape.slice_of(*time_ms).end_ms);
        self.backlog = Some(Backlog {
            batch: batch.clone(),
            slices_ms: slices.collect(),
            row: 0,
            windows: 0,
        });
        self.step(context, out)
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        self.step(context, out)?;
        Ok(self.has_backlog())
    }

    fn has_backlog(&self) -> bool {
        self.backlog.is_some()
    }
}
