//! Operators that join.
//!
//! Place in the flow: a family of [`super::make`]. Invariant: as there.

use super::{BoxedOperator, Making, not_made};
use crate::error::Result;
use crate::operator::correlate::{Correlate, is_executable};
use crate::operator::join::interval::{self, IntervalJoin};
use crate::operator::join::regular::{self, RegularJoin};
use crate::operator::join::temporal::{self, TemporalJoin};
use crate::plan::Operator;

/// What of an operator cannot be executed.
pub(super) fn missing(operator: &Operator) -> Option<String> {
    match operator {
        Operator::Join { .. } | Operator::IntervalJoin(_) | Operator::TemporalJoin(_) => None,
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
        Operator::IntervalJoin(join) => {
            let [left, right] = making.two_inputs()?;
            let spec = interval::Spec {
                join,
                types: [left.types, right.types],
                time_zone: making.time_zone,
            };
            let states = [left.state.clone(), right.state.clone()];
            Box::new(IntervalJoin::new(&spec, states)?)
        }
        Operator::TemporalJoin(join) => {
            let [left, right] = making.two_inputs()?;
            let spec = temporal::Spec {
                join,
                types: [left.types, right.types],
                time_zone: making.time_zone,
            };
            let states = [left.state.clone(), right.state.clone()];
            Box::new(TemporalJoin::new(&spec, states)?)
        }
        Operator::Correlate(correlate) => Box::new(Correlate::new(correlate, making.time_zone)?),
        _ => return Err(not_made(operator)),
    })
}
