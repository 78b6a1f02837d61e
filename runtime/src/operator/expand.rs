//! GROUPING SETS, CUBE and ROLLUP: each row once for each grouping set.
//!
//! Place in the flow: in front of the aggregation that has the number of the set among its keys. Invariant: the rows of a batch keep
//! their order within a set, so a row is taken back from a set after it came to it.

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::calc::Calc;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext};
use crate::sql::expr::Expr;

/// Repeats rows with other columns.
#[derive(Debug)]
pub struct Expand {
    /// What each set makes of a row.
    sets: Vec<Calc>,
    /// Batches that some sets have not seen yet, each with the number of the next one.
    pending: Vec<(Batch, usize)>,
}

impl Expand {
    /// Compiles the columns of each set for a session time zone.
    ///
    /// # Errors
    /// `Invalid` for an expression that does not compile, which the binder has refused already.
    pub fn new(projections: &[Vec<Expr>], time_zone: &str) -> Result<Self> {
        let sets = projections
            .iter()
            .map(|columns| Calc::new(None, columns, time_zone));
        Ok(Self {
            sets: sets.collect::<Result<_>>()?,
            pending: Vec::new(),
        })
    }
}

impl Operator for Expand {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        self.pending.push((batch.clone(), 0));
        if self.pending.len() == 1 {
            self.emit_pending(context, out)?;
        }
        Ok(())
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        let mut emitted = 0;
        while let Some((batch, next)) = self.pending.first_mut() {
            let Some(set) = self.sets.get_mut(*next) else {
                self.pending.remove(0);
                continue;
            };
            if emitted >= EMIT_ROWS_MAX {
                return Ok(true);
            }
            set.on_batch(0, batch, context, out)?;
            emitted += batch.rows;
            *next += 1;
        }
        Ok(false)
    }

    fn has_backlog(&self) -> bool {
        !self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::batch::RowKind;
    use crate::metering::SubtaskMetrics;
    use crate::sql::expr::Literal;
    use crate::time::SystemClock;
    use crate::types::TypeKind;

    #[test]
    fn rows_are_repeated_in_order_and_in_bounded_pieces() {
        let number = |n| Expr::literal(Literal::Integer(n), TypeKind::BigInt.not_null());
        let column = Expr::column(0, TypeKind::BigInt.nullable());
        let sets: Vec<Vec<Expr>> = (0..5).map(|n| vec![column.clone(), number(n)]).collect();
        let mut expand = Expand::new(&sets, "UTC").unwrap();
        let rows = EMIT_ROWS_MAX / 2;
        let values = Int64Array::from_iter_values((0..).take(rows));
        let kinds = [RowKind::Insert, RowKind::Delete];
        let batch = Batch {
            columns: vec![Arc::new(values)],
            rows,
            kinds: Some(kinds.into_iter().cycle().take(rows).collect()),
        };
        let metrics = SubtaskMetrics::default();
        let context = OperatorContext {
            clock: &SystemClock,
            watermark_ms: None,
            metrics: &metrics,
        };
        let mut out = Collector::default();
        expand.on_batch(0, &batch, &context, &mut out).unwrap();
        let mut pieces = vec![out.drain().collect::<Vec<Batch>>()];
        while expand.has_backlog() {
            expand.emit_pending(&context, &mut out).unwrap();
            pieces.push(out.drain().collect());
        }
        let sizes: Vec<usize> = pieces.iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2, 1]);
        for (set, emitted) in (0..).zip(pieces.iter().flatten()) {
            assert_eq!(emitted.columns[0].as_ref(), batch.columns[0].as_ref());
            let numbers = emitted.columns[1].as_primitive::<Int64Type>();
            assert!(numbers.values().iter().all(|number| *number == set));
            assert_eq!(emitted.kinds, batch.kinds);
        }
    }
}
