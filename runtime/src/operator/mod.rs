//! Operators: rows in, rows out.
//!
//! Enters: batches, watermarks and the end of input of one subtask, through [`Operator`]. Leaves: batches, through
//! [`Collector`]. An operator knows nothing of threads, queues, connectors or formats; state, clock and counters reach it
//! through [`OperatorContext`].

pub mod aggregate;
pub mod calc;
pub mod group_aggregate;
pub mod union;
pub mod window;

use std::fmt::Debug;

use crate::batch::Batch;
use crate::error::Result;
use crate::metering::SubtaskMetrics;
use crate::sql::eval::EvalContext;
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

/// State of one key group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGroupState {
    /// Which.
    pub key_group: u32,
    /// Encoded by the operator that wrote it.
    pub bytes: Vec<u8>,
}

/// One subtask of an operator.
pub trait Operator: Send + Debug {
    /// Processes rows of one input.
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

    /// Emits about [`EMIT_ROWS_MAX`] rows of what is due; true when more is left.
    ///
    /// # Errors
    /// `Internal` only.
    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        let _ = (context, out);
        Ok(false)
    }

    /// The whole state by key group. Nothing is pending when this is called.
    ///
    /// # Errors
    /// `Internal` only.
    fn snapshot(&self, key_groups: u32) -> Result<Vec<KeyGroupState>> {
        let _ = key_groups;
        Ok(Vec::new())
    }

    /// Takes over the state of one key group, in the form that [`Self::snapshot`] wrote.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not of this operator.
    fn restore(&mut self, state: &KeyGroupState) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Memory held by state, in bytes.
    fn state_bytes(&self) -> usize {
        0
    }

    /// Keys held by state.
    fn state_keys(&self) -> usize {
        0
    }
}
