//! Filter and projection.
//!
//! Place in the flow: between any two operators. Invariant: rows are filtered before anything is computed for them, and kinds
//! travel with their rows.

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::{Collector, Operator, OperatorContext};
use crate::sql::eval::Evaluator;
use crate::sql::expr::Expr;

/// `SELECT projections WHERE condition`.
#[derive(Debug)]
pub struct Calc {
    /// Rows for which it is not TRUE are dropped.
    condition: Option<Evaluator>,
    /// How each output column is made.
    projections: Vec<Projection>,
}

/// How an output column is made.
#[derive(Debug)]
enum Projection {
    /// An input column as it is.
    Column(usize),
    /// Computed.
    Computed(Evaluator),
}

impl Calc {
    /// Compiles condition and projections for a session time zone.
    ///
    /// # Errors
    /// `Invalid` for an expression that does not compile, which the binder has refused already.
    pub fn new(condition: Option<&Expr>, projections: &[Expr], time_zone: &str) -> Result<Self> {
        let condition = condition
            .map(|condition| Evaluator::compile(condition, time_zone))
            .transpose()?;
        let projections = projections
            .iter()
            .map(|expr| {
                Ok(match expr.as_column() {
                    Some(index) => Projection::Column(index),
                    None => Projection::Computed(Evaluator::compile(expr, time_zone)?),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            condition,
            projections,
        })
    }
}

impl Operator for Calc {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let eval = context.eval();
        let filtered = match &self.condition {
            Some(condition) => &batch.filter(&condition.eval_condition(batch, &eval)?)?,
            None => batch,
        };
        if filtered.rows == 0 {
            return Ok(());
        }
        let columns = self
            .projections
            .iter()
            .map(|projection| match projection {
                Projection::Column(index) => Ok(filtered.columns[*index].clone()),
                Projection::Computed(evaluator) => evaluator.eval(filtered, &eval),
            })
            .collect::<Result<_>>()?;
        out.emit(Batch {
            columns,
            rows: filtered.rows,
            kinds: filtered.kinds.clone(),
        });
        Ok(())
    }
}
