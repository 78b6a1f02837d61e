//! Operators that join.
//!
//! Place in the flow: a family of [`super::make`]. Invariant: as there.

use super::{BoxedOperator, Making, not_made};
use crate::error::Result;
use crate::operator::correlate::{Correlate, is_executable};
use crate::operator::join::regular::{self, RegularJoin};
use crate::plan::Operator;

/// What of an operator cannot be executed.
pub(super) fn missing(operator: &Operator) -> Option<String> {
    match operator {
        Operator::Join { .. } => None,
        Operator::Correlate(correlate) if is_executable(correlate) => None,
        Operator::Correlate(correlate) => Some(format!("the function {}", correlate.function)),
        _ => Some(operator.name().to_owned()),
    }
}

/// Makes the operator of a subtask.
pub(super) fn make(operator: &Operator, making: &Making<'_>) -> Result<BoxedOperator> {
    Ok(match operator {
        Operator::Join {
            kind,
            left_keys,
            right_keys,
            residual,
            filter_nulls,
        } => {
            let [left, right] = making.two_inputs()?;
            let spec = regular::Spec {
                kind: *kind,
                filter_nulls,
                keys: [left_keys, right_keys],
                types: [left.types, right.types],
                residual: residual.as_ref(),
            };
            let states = [left.state.clone(), right.state.clone()];
            Box::new(RegularJoin::new(&spec, making.time_zone, states)?)
        }
        Operator::Correlate(correlate) => Box::new(Correlate::new(correlate, making.time_zone)?),
        _ => return Err(not_made(operator)),
    })
}
