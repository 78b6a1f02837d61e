//! A windowing table function whose rows are used as they are.
//!
//! Place in the flow: `SELECT ... FROM TABLE(TUMBLE(...))` without an aggregation over the window. Invariant: rows keep their
//! order; each gets exactly one window.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMillisecondArray};

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::window::assigner::Assigner;
use crate::operator::{Collector, Operator, OperatorContext};

/// Appends `window_start`, `window_end` and `window_time`.
#[derive(Debug)]
pub struct WindowTableFunction {
    /// Finds the window.
    assigner: Assigner,
}

impl WindowTableFunction {
    /// A window function over an assigner.
    pub fn new(assigner: Assigner) -> Self {
        Self { assigner }
    }
}

impl Operator for WindowTableFunction {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        _context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let ends = self.assigner.ends(&batch.columns)?;
        let column = |value: &dyn Fn(i64) -> i64| -> ArrayRef {
            Arc::new(TimestampMillisecondArray::from_iter_values(
                ends.iter().map(|end| value(*end)),
            ))
        };
        let mut columns = batch.columns.clone();
        columns.push(column(&|end| self.assigner.start_of(end)));
        columns.push(column(&|end| end));
        columns.push(column(&|end| self.assigner.window_time(end)));
        out.emit(Batch {
            columns,
            rows: batch.rows,
            kinds: batch.kinds.clone(),
        });
        Ok(())
    }
}
