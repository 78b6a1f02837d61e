//! Rows of several inputs as one stream.
//!
//! Place in the flow: `UNION ALL`. Invariant: rows of one input keep their order.

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::{Collector, Operator, OperatorContext};

/// Emits the rows of all its inputs.
#[derive(Debug, Default)]
pub struct Union;

impl Operator for Union {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        _context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        out.emit(batch.clone());
        Ok(())
    }
}
