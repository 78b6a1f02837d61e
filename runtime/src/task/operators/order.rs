//! Operators that put rows in an order.
//!
//! Place in the flow: a family of [`super::make`]. Invariant: as there.

use super::{BoxedOperator, Making, not_made};
use crate::error::Result;
use crate::plan::Operator;

/// What of an operator cannot be executed.
#[expect(clippy::unnecessary_wraps, reason = "as of every family")]
pub(super) fn missing(operator: &Operator) -> Option<String> {
    Some(operator.name().to_owned())
}

/// Makes the operator of a subtask.
pub(super) fn make(operator: &Operator, _making: &Making<'_>) -> Result<BoxedOperator> {
    Err(not_made(operator))
}
