//! Operators: rows in, rows out.
//!
//! Enters: batches, watermarks and the end of input of one subtask, through [`Operator`]. Leaves: batches, through
//! [`Collector`]. An operator knows nothing of threads, queues, connectors or formats; state, clock and counters reach it
//! through [`OperatorContext`].

pub mod aggregate;
pub mod calc;
pub mod changelog_function;
pub mod changelog_normalize;
pub mod constraint;
pub mod correlate;
pub mod expand;
pub mod group_aggregate;
pub mod join;
pub mod match_recognize;
pub mod order;
pub mod over;
pub mod snapshot;
pub mod snapshot_query;
pub mod union;
pub mod window;

use std::fmt::Debug;

use crate::batch::Batch;
use crate::error::Result;
use crate::metering::SubtaskMetrics;
use crate::sql::eval::EvalContext;
use crate::state::StateTable;
use crate::time::{Clock, EpochMillis};

/// Rows that one call may emit before it keeps a cursor and returns.
///
/// # Source
/// Design section 3, "Execution".
pub const EMIT_ROWS_MAX: usize = 64 * 1024;

/// What an operator may use besides its input.
#[derive(Debug)]
pub struct OperatorContext<'a> {
    /// Time.
    pub clock: &'a dyn Clock,
    /// The watermark that the operator has seen; absent before the first.
    pub watermark_ms: Option<EpochMillis>,
    /// Counters of the subtask.
    pub metrics: &'a SubtaskMetrics,
}

impl OperatorContext<'_> {
    /// The time that a state's TTL counts in, epoch milliseconds.
    ///
    /// # Source
    /// Flink: state TTL counts in processing time.
    pub fn state_time_ms(&self) -> EpochMillis {
        self.clock.now_ms()
    }

    /// What expressions may ask for.
    pub fn eval(&self) -> EvalContext {
        EvalContext {
            now_ms: self.clock.now_ms(),
            watermark_ms: self.watermark_ms,
        }
    }
}

/// Takes what an operator emits.
#[derive(Debug, Default)]
pub struct Collector {
    /// Batches in order, none of them empty.
    batches: Vec<Batch>,
}

impl Collector {
    /// Emits a batch.
    pub fn emit(&mut self, batch: Batch) {
        if batch.rows > 0 {
            self.batches.push(batch);
        }
    }

    /// Takes what was emitted.
    pub fn drain(&mut self) -> impl Iterator<Item = Batch> + '_ {
        self.batches.drain(..)
    }
}

/// One subtask of an operator.
pub trait Operator: Send + Debug {
    /// Processes rows of one input. It emits about [`EMIT_ROWS_MAX`] rows; when they make more, the operator has a backlog, which
    /// [`Self::emit_pending`] emits before anything else is given to it.
    ///
    /// # Errors
    /// `Data` when a row cannot be processed, which fails the statement.
    fn on_batch(
        &mut self,
        input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()>;

    /// Event time has advanced to `context.watermark_ms`; `i64::MAX` at the end of input. What is due is emitted by
    /// [`Self::emit_pending`], before the watermark goes on.
    ///
    /// # Errors
    /// `Internal` only.
    fn on_watermark(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        let _ = context;
        Ok(())
    }

    /// The watermark that goes on behind the rows that one has made due: that one, or less when rows with earlier times may follow.
    /// It never goes back while that one does not.
    fn output_watermark_ms(&self, input_ms: EpochMillis) -> EpochMillis {
        input_ms
    }

    /// Emits about [`EMIT_ROWS_MAX`] rows of what is due; true when more is left.
    ///
    /// # Errors
    /// `Internal` only.
    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        let _ = (context, out);
        Ok(false)
    }

    /// When [`Self::on_timer`] is to be called next although nothing comes, by the machine's clock; absent without a timer. Timers are
    /// part of the operator's state.
    fn next_timer_ms(&self) -> Option<EpochMillis> {
        None
    }

    /// The machine's clock has reached the next timer; what is due is emitted by [`Self::emit_pending`]. Timers that are not due at the
    /// end of input never are, as in Flink.
    ///
    /// # Errors
    /// `Internal` only.
    fn on_timer(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        let _ = context;
        Ok(())
    }

    /// Whether rows of the last batch are left to emit. They are part of no snapshot, so [`Self::emit_pending`] is called until it
    /// returns false before a barrier, a watermark or the end of input passes; rows of a batch that comes too early follow them.
    fn has_backlog(&self) -> bool {
        false
    }

    /// Shows every table of state. Snapshots, restoring and memory are the subtask's business; the operator only works on its
    /// tables. Nothing is pending when a barrier comes.
    fn visit_state(&mut self, _visit: &mut StateVisit<'_>) {}
}

/// Is shown a table of state.
pub type StateVisit<'a> = dyn FnMut(&mut dyn StateTable) + 'a;
