//! Operators of windows.
//!
//! Place in the flow: a family of [`super::make`]. Invariant: as there.

use super::{BoxedOperator, Making, missing_aggregate, not_made};
use crate::error::Result;
use crate::operator::window::aggregate::{Spec, WindowAggregate};
use crate::operator::window::assigner::Assigner;
use crate::operator::window::table_function::WindowTableFunction;
use crate::plan::{Operator, TimeDomain, Window, WindowKind};

/// What of an operator cannot be executed.
pub(super) fn missing(operator: &Operator) -> Option<String> {
    match operator {
        Operator::WindowTableFunction(window) => missing_window(window),
        Operator::WindowAggregate {
            window, aggregates, ..
        } => missing_window(window).or_else(|| missing_aggregate(aggregates)),
        _ => Some(operator.name().to_owned()),
    }
}

/// What of a window cannot be executed.
fn missing_window(window: &Window) -> Option<String> {
    let kind = match window.kind {
        WindowKind::Tumble { .. } => None,
        WindowKind::Hop { .. } => Some("HOP"),
        WindowKind::Cumulate { .. } => Some("CUMULATE"),
        WindowKind::Session { .. } => Some("SESSION"),
    };
    let missing = if window.domain == TimeDomain::Processing {
        Some("a window in processing time")
    } else if window.attached.is_some() {
        Some("an aggregation by windows that were assigned before")
    } else {
        kind
    };
    missing.map(str::to_owned)
}

/// Makes the operator of a subtask.
pub(super) fn make(operator: &Operator, making: &Making<'_>) -> Result<BoxedOperator> {
    let input = making.inputs.first().ok_or_else(|| not_made(operator))?;
    let assigner = |window: &Window| Assigner::new(window, &input.types[window.time]);
    Ok(match operator {
        Operator::WindowTableFunction(window) => {
            Box::new(WindowTableFunction::new(assigner(window)?))
        }
        Operator::WindowAggregate {
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
            };
            let state = input.state.clone();
            Box::new(WindowAggregate::new(assigner(window)?, spec, state)?)
        }
        _ => return Err(not_made(operator)),
    })
}
