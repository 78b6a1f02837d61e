//! Bound expressions over batches.
//!
//! Enters: a bound expression and a batch. Leaves: one Arrow array per expression. An expression is compiled once per
//! operator; look-ups by name happen only then.

use arrow::array::{ArrayRef, BooleanArray};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::sql::expr::Expr;
use crate::time::EpochMillis;

pub(crate) mod bitmap;
pub(crate) mod call;
mod cast;
pub(crate) mod compare;
pub(crate) mod datetime;
pub(crate) mod decimal;
pub(crate) mod json;
mod node;
pub(crate) mod pattern;
mod variant;
pub(crate) mod zone;

#[cfg(test)]
pub(crate) mod tests;

/// What an expression may ask for besides its input row.
#[derive(Debug, Clone, Copy, Default)]
pub struct EvalContext {
    /// Wall time of the batch, for `NOW()` and friends.
    pub now_ms: EpochMillis,
    /// The operator's watermark, for `CURRENT_WATERMARK`.
    pub watermark_ms: Option<EpochMillis>,
}

/// A compiled expression.
#[derive(Debug)]
pub struct Evaluator {
    /// What was compiled.
    root: node::Node,
    /// The session time zone.
    zone: zone::Zone,
}

impl Evaluator {
    /// Compiles an expression; `time_zone` is the session's (TZDB name or `GMT+03:00`).
    ///
    /// # Errors
    /// `Invalid` for a function or time zone that does not exist, which the binder has refused already.
    pub fn compile(expr: &Expr, time_zone: &str) -> Result<Self> {
        Ok(Self {
            root: node::Node::compile(expr)?,
            zone: zone::Zone::parse(time_zone)?,
        })
    }

    /// One value per row of `batch`, of the Arrow type of the expression's type.
    ///
    /// # Errors
    /// `Data` for overflow where Flink fails, bad casts and division by zero.
    pub fn eval(&self, batch: &Batch, context: &EvalContext) -> Result<ArrayRef> {
        let input = node::Input {
            batch,
            zone: &self.zone,
            context,
        };
        self.root.eval(&input)?.expand(batch.rows)
    }

    /// The value of a BOOLEAN expression.
    ///
    /// # Errors
    /// As [`Self::eval`].
    pub fn eval_condition(&self, batch: &Batch, context: &EvalContext) -> Result<BooleanArray> {
        let array = self.eval(batch, context)?;
        let mask = array.as_any().downcast_ref::<BooleanArray>();
        mask.cloned()
            .ok_or_else(|| Error::internal("a condition is not BOOLEAN"))
    }
}
