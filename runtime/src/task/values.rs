//! Constant rows as a source.
//!
//! Place in the flow: `INSERT INTO t VALUES ...` and `SELECT` without FROM. Invariant: rows are emitted once, by subtask 0, also
//! across a restart.

use arrow::array::ArrayRef;

use crate::batch::Batch;
use crate::connector::source::{Poll, ReaderContext, SourceReader, SplitInfo, SplitPosition};
use crate::error::Result;
use crate::sql::eval::{EvalContext, Evaluator};
use crate::sql::expr::Expr;
use crate::time::SharedClock;

/// Name of the only split.
const SPLIT: &str = "values";

/// Emits constant rows.
#[derive(Debug)]
pub(super) struct ValuesReader {
    /// Compiled rows.
    rows: Vec<Vec<Evaluator>>,
    /// Rows that subtask 0 has emitted, or all of them on other subtasks.
    next: usize,
    /// Whether this subtask emits.
    is_owner: bool,
    /// Time, for functions of time.
    clock: SharedClock,
}

impl ValuesReader {
    /// A reader of constant rows.
    ///
    /// # Errors
    /// `Invalid` for expressions that do not compile, which the binder has refused already.
    pub(super) fn new(
        rows: &[Vec<Expr>],
        context: &ReaderContext,
        time_zone: &str,
    ) -> Result<Self> {
        let compile = |row: &Vec<Expr>| {
            row.iter()
                .map(|expr| Evaluator::compile(expr, time_zone))
                .collect()
        };
        let restored = context
            .restored
            .as_deref()
            .and_then(|positions| positions.iter().find(|p| p.topic == SPLIT));
        Ok(Self {
            rows: rows.iter().map(compile).collect::<Result<_>>()?,
            next: restored.map_or(0, |position| usize::try_from(position.offset).unwrap_or(0)),
            is_owner: context.subtask_index == 0,
            clock: context.clock.clone(),
        })
    }
}

impl SourceReader for ValuesReader {
    fn poll(&mut self, rows_max: usize) -> Result<Poll> {
        if !self.is_owner || self.next >= self.rows.len() {
            return Ok(Poll::EndOfInput);
        }
        let rows = &self.rows[self.next..self.rows.len().min(self.next + rows_max)];
        let context = EvalContext {
            now_ms: self.clock.now_ms(),
            watermark_ms: None,
        };
        let one_row = Batch {
            columns: Vec::new(),
            rows: 1,
            kinds: None,
        };
        let width = rows.first().map_or(0, Vec::len);
        let column = |index: usize| -> Result<ArrayRef> {
            let cells = rows
                .iter()
                .map(|row| row[index].eval(&one_row, &context))
                .collect::<Result<Vec<_>>>()?;
            let cells: Vec<&dyn arrow::array::Array> = cells.iter().map(AsRef::as_ref).collect();
            Ok(arrow::compute::concat(&cells)?)
        };
        let columns = (0..width).map(column).collect::<Result<Vec<_>>>()?;
        let batch = Batch::inserts(columns, rows.len());
        self.next += batch.rows;
        Ok(Poll::Rows { split: 0, batch })
    }

    fn splits(&self) -> Vec<SplitInfo> {
        let pending = self.rows.len().saturating_sub(self.next) as u64;
        let split = SplitInfo {
            topic: SPLIT.to_owned(),
            partition: 0,
            pending_records: Some(pending),
        };
        if self.is_owner {
            vec![split]
        } else {
            Vec::new()
        }
    }

    fn positions(&self) -> Vec<SplitPosition> {
        let offset = i64::try_from(self.next).unwrap_or(i64::MAX);
        let position = SplitPosition {
            topic: SPLIT.to_owned(),
            partition: 0,
            offset,
        };
        if self.is_owner {
            vec![position]
        } else {
            Vec::new()
        }
    }

    fn drain(&mut self) -> Result<()> {
        Ok(())
    }
}
