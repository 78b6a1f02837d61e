//! Which plans can be executed.
//!
//! Place in the flow: the first step of deployment, before anything outside is opened. Invariant: a plan that passes has an
//! implementation for everything in it; what only binds is refused with its name, before any row is read.

use crate::error::{Error, Result};
use crate::plan::explain::node_name;
use crate::plan::{
    AggregateCall, AggregateFunction, ChangelogMode, Input, JoinKind, Operator, SinkSpec,
    StreamPlan, TimeDomain, Window, WindowKind,
};

/// Refuses a plan with an operator that cannot be executed.
///
/// # Errors
/// `Unsupported`, naming the operator.
pub fn check_executable(plan: &StreamPlan) -> Result<()> {
    for node in &plan.nodes {
        let is_updating = |input: &Input| {
            let below = plan.node(input.node);
            below.is_some_and(|below| below.changelog != ChangelogMode::Append)
        };
        if matches!(node.operator, Operator::WindowAggregate { .. })
            && node.inputs.iter().any(is_updating)
        {
            return Err(Error::unsupported(
                "a window aggregation over an updating input",
            ));
        }
        if let Some(what) = missing(&node.operator) {
            return Err(Error::unsupported(format!(
                "operator {}: {what} is planned and not executed by this version",
                node_name(node)
            )));
        }
    }
    Ok(())
}

/// What of an operator cannot be executed.
fn missing(operator: &Operator) -> Option<String> {
    match operator {
        Operator::TableSourceScan(_)
        | Operator::Values { .. }
        | Operator::Calc { .. }
        | Operator::Union
        | Operator::ChangelogNormalize { .. }
        | Operator::Sink(SinkSpec {
            upsert_materialize: false,
            on_conflict: None,
            ..
        }) => None,
        Operator::WindowTableFunction(window) => missing_window(window),
        Operator::WindowAggregate {
            window, aggregates, ..
        } => missing_window(window).or_else(|| missing_aggregate(aggregates)),
        Operator::GroupAggregate { aggregates, .. } => missing_aggregate(aggregates),
        Operator::Join {
            kind,
            left_keys,
            filter_nulls,
            ..
        } => {
            if *kind != JoinKind::Inner {
                Some(kind.name().to_owned())
            } else if left_keys.is_empty() {
                Some("a join without an equality between columns of its inputs".to_owned())
            } else if filter_nulls.contains(&false) {
                Some("a join by IS NOT DISTINCT FROM".to_owned())
            } else {
                None
            }
        }
        Operator::Sink(SinkSpec {
            upsert_materialize: true,
            ..
        }) => Some(
            "a sink whose primary key differs from the query's upsert key (group by exactly the primary key)"
                .to_owned(),
        ),
        Operator::Sink(SinkSpec {
            on_conflict: Some(_),
            ..
        }) => Some("ON CONFLICT".to_owned()),
        Operator::Correlate(correlate) => Some(format!("the function {}", correlate.function)),
        Operator::Expand { .. }
        | Operator::GroupWindowAggregate { .. }
        | Operator::IntervalJoin(_)
        | Operator::TemporalJoin(_)
        | Operator::LookupJoin(_)
        | Operator::WindowJoin(_)
        | Operator::OverAggregate(_)
        | Operator::Rank(_)
        | Operator::Deduplicate(_)
        | Operator::WindowRank(_)
        | Operator::WindowDeduplicate(_)
        | Operator::Sort(_)
        | Operator::TemporalSort(_)
        | Operator::SortLimit(_)
        | Operator::Limit(_)
        | Operator::Match(_)
        | Operator::ProcessTableFunction { .. } => Some(operator.name().to_owned()),
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

/// Which of the aggregates cannot be executed.
fn missing_aggregate(calls: &[AggregateCall]) -> Option<String> {
    let is_there = |call: &AggregateCall| {
        let is_known = matches!(
            call.function,
            AggregateFunction::Count
                | AggregateFunction::Sum
                | AggregateFunction::Avg
                | AggregateFunction::Min
                | AggregateFunction::Max
        );
        is_known && call.further.is_empty()
    };
    let missing = calls.iter().find(|call| !is_there(call))?;
    Some(if missing.further.is_empty() {
        format!("the aggregate {:?}", missing.function)
    } else {
        format!("the aggregate {:?} of several columns", missing.function)
    })
}
