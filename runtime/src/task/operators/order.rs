//! Operators that put rows in an order.
//!
//! Place in the flow: a family of [`super::make`]. Invariant: as there.

use super::{BoxedOperator, Making, missing_aggregate, not_made};
use crate::error::Result;
use crate::operator::over::is_position;
use crate::operator::over::ordered_by_time::OverByTime;
use crate::operator::over::ordered_by_value::OverByValue;
use crate::plan::{AggregateCall, Operator, OverAggregate, TimeDomain};

/// What of an operator cannot be executed.
pub(super) fn missing(operator: &Operator) -> Option<String> {
    match operator {
        Operator::OverAggregate(over) => missing_over(over),
        _ => Some(operator.name().to_owned()),
    }
}

/// What of an OVER aggregation cannot be executed.
fn missing_over(over: &OverAggregate) -> Option<String> {
    let calls = over.aggregates.iter();
    let others: Vec<AggregateCall> = calls
        .filter(|call| !is_position(call.function))
        .cloned()
        .collect();
    missing_aggregate(&others)
}

/// Makes the operator of a subtask.
pub(super) fn make(operator: &Operator, making: &Making<'_>) -> Result<BoxedOperator> {
    Ok(match operator {
        Operator::OverAggregate(over) => {
            let input = making.input()?;
            let state = input.state.clone();
            match over.domain {
                Some(TimeDomain::Event | TimeDomain::Processing) => {
                    Box::new(OverByTime::new(over, input.types, state)?)
                }
                None => Box::new(OverByValue::new(over, input.types, state)?),
            }
        }
        _ => return Err(not_made(operator)),
    })
}
