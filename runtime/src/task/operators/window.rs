//! Operators of windows.
//!
//! Place in the flow: a family of [`super::make`]. Invariant: as there.

use super::{BoxedOperator, Making, missing_aggregate, not_made};
use crate::error::Result;
use crate::operator::window::aggregate::WindowAggregate;
use crate::operator::window::assigner::Assigner;
use crate::operator::window::join::WindowJoin;
use crate::operator::window::result::Spec;
use crate::operator::window::session_aggregate::SessionAggregate;
use crate::operator::window::session_function::SessionFunction;
use crate::operator::window::table_function::WindowTableFunction;
use crate::operator::window::top::WindowTop;
use crate::plan::Operator;

/// What of an operator cannot be executed.
pub(super) fn missing(operator: &Operator) -> Option<String> {
    match operator {
        Operator::WindowTableFunction(_)
        | Operator::WindowJoin(_)
        | Operator::WindowRank(_)
        | Operator::WindowDeduplicate(_) => None,
        Operator::WindowAggregate { aggregates, .. }
        | Operator::GroupWindowAggregate { aggregates, .. } => missing_aggregate(aggregates),
        _ => Some(operator.name().to_owned()),
    }
}

/// Makes the operator of a subtask.
pub(super) fn make(operator: &Operator, making: &Making<'_>) -> Result<BoxedOperator> {
    let input = making.inputs.first().ok_or_else(|| not_made(operator))?;
    let state = input.state.clone();
    Ok(match operator {
        Operator::WindowTableFunction(window) => match Assigner::new(window, input.types)? {
            Some(assigner) => Box::new(WindowTableFunction::new(assigner)),
            None => Box::new(SessionFunction::new(window, input.types, state)?),
        },
        Operator::WindowAggregate {
            window,
            keys,
            aggregates,
            properties,
        }
        | Operator::GroupWindowAggregate {
            window,
            keys,
            aggregates,
            properties,
        } => {
            let spec = Spec {
                keys: keys.clone(),
                calls: aggregates.clone(),
                properties: properties.clone(),
                input: input.types.to_vec(),
                retracts: input.retracts(),
            };
            match Assigner::new(window, input.types)? {
                Some(assigner) => Box::new(WindowAggregate::new(assigner, spec, state)?),
                None => Box::new(SessionAggregate::new(window, spec, state)?),
            }
        }
        Operator::WindowRank(rank) => Box::new(WindowTop::of_rank(rank, input.types, state)?),
        Operator::WindowDeduplicate(deduplicate) => {
            Box::new(WindowTop::of_deduplicate(deduplicate, input.types, state)?)
        }
        Operator::WindowJoin(join) => {
            let [left, right] = making.two_inputs()?;
            let states = [left.state.clone(), right.state.clone()];
            let types = [left.types, right.types];
            Box::new(WindowJoin::new(join, types, making.time_zone, states)?)
        }
        _ => return Err(not_made(operator)),
    })
}
