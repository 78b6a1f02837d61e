//! From the plan's operators to those that run.
//!
//! Place in the flow: deployment asks which plans can be executed before anything outside is opened, and makes the operator of each
//! subtask. Invariant: what passes [`check_executable`] is made; what only binds is refused with its name, before any row is read.

mod join;
mod order;
mod window;

use crate::error::{Error, Result};
use crate::operator::aggregate::missing as missing_accumulator;
use crate::operator::calc::Calc;
use crate::operator::changelog_normalize::ChangelogNormalize;
use crate::operator::expand::Expand;
use crate::operator::group_aggregate::GroupAggregate;
use crate::operator::snapshot_query::Snapshot;
use crate::operator::union::Union;
use crate::plan::explain::node_name;
use crate::plan::{AggregateCall, ChangelogMode, Input, Node, Operator, SinkSpec, StreamPlan};
use crate::state::StateConfig;
use crate::types::FlinkType;

/// An operator that runs.
pub(super) type BoxedOperator = Box<dyn crate::operator::Operator>;

/// What a subtask's operator is made from beside its specification.
#[derive(Debug)]
pub(super) struct Making<'a> {
    /// Its inputs.
    pub(super) inputs: Vec<MakingInput<'a>>,
    /// The session time zone.
    pub(super) time_zone: &'a str,
}

/// What an operator knows of an input.
#[derive(Debug)]
pub(super) struct MakingInput<'a> {
    /// Types of its columns.
    pub(super) types: &'a [FlinkType],
    /// The node that it comes from.
    pub(super) node: &'a Node,
    /// What the tables with its rows are opened with.
    pub(super) state: StateConfig,
}

impl MakingInput<'_> {
    /// Whether rows are taken back.
    pub(super) fn retracts(&self) -> bool {
        self.node.changelog != ChangelogMode::Append
    }
}

impl Making<'_> {
    /// The only input.
    ///
    /// # Errors
    /// `Internal` when there are none or several.
    pub(super) fn input(&self) -> Result<&MakingInput<'_>> {
        match self.inputs.as_slice() {
            [input] => Ok(input),
            inputs => Err(Error::internal(format!(
                "an operator of one input has {}",
                inputs.len()
            ))),
        }
    }

    /// The two inputs.
    ///
    /// # Errors
    /// `Internal` when there are fewer or more.
    pub(super) fn two_inputs(&self) -> Result<[&MakingInput<'_>; 2]> {
        match self.inputs.as_slice() {
            [left, right] => Ok([left, right]),
            inputs => Err(Error::internal(format!(
                "an operator of two inputs has {}",
                inputs.len()
            ))),
        }
    }
}

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
        | Operator::Snapshot { .. }
        | Operator::Expand { .. }
        | Operator::ChangelogNormalize { .. }
        | Operator::Sink(SinkSpec {
            upsert_materialize: false,
            on_conflict: None,
            ..
        }) => None,
        Operator::GroupAggregate { aggregates, .. } => missing_aggregate(aggregates),
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
        Operator::ProcessTableFunction { .. } => Some(operator.name().to_owned()),
        Operator::WindowTableFunction(_)
        | Operator::WindowAggregate { .. }
        | Operator::GroupWindowAggregate { .. }
        | Operator::WindowJoin(_)
        | Operator::WindowRank(_)
        | Operator::WindowDeduplicate(_) => window::missing(operator),
        Operator::Join { .. }
        | Operator::IntervalJoin(_)
        | Operator::TemporalJoin(_)
        | Operator::LookupJoin(_)
        | Operator::Correlate(_) => join::missing(operator),
        Operator::OverAggregate(_)
        | Operator::Rank(_)
        | Operator::Deduplicate(_)
        | Operator::Sort(_)
        | Operator::TemporalSort(_)
        | Operator::SortLimit(_)
        | Operator::Limit(_)
        | Operator::Match(_) => order::missing(operator),
    }
}

/// Which of the aggregates cannot be executed.
fn missing_aggregate(calls: &[AggregateCall]) -> Option<String> {
    let missing = calls.iter().find_map(missing_accumulator)?;
    Some(format!("the aggregate {missing:?}"))
}

/// Makes the operator of a subtask between source and sink.
///
/// # Errors
/// `Unsupported` for keys or arguments of types that cannot be one; `Internal` for an operator that [`check_executable`] refuses.
pub(super) fn make(operator: &Operator, making: &Making<'_>) -> Result<BoxedOperator> {
    let zone = making.time_zone;
    Ok(match operator {
        Operator::Calc {
            condition,
            projections,
        } => Box::new(Calc::new(condition.as_ref(), projections, zone)?),
        Operator::Union => Box::new(Union),
        Operator::Snapshot { partition } => {
            let input = making.input()?;
            let state = input.state.clone();
            Box::new(Snapshot::new(partition, input.types, state)?)
        }
        Operator::Expand { projections } => Box::new(Expand::new(projections, zone)?),
        Operator::ChangelogNormalize { keys, condition } => {
            let input = making.input()?;
            let condition = (condition.as_ref(), zone);
            let state = input.state.clone();
            Box::new(ChangelogNormalize::new(
                keys,
                input.types,
                condition,
                state,
            )?)
        }
        Operator::GroupAggregate { keys, aggregates } => {
            let input = making.input()?;
            let (types, state) = ((input.types, input.retracts()), input.state.clone());
            Box::new(GroupAggregate::new(keys, aggregates, types, state)?)
        }
        Operator::WindowTableFunction(_)
        | Operator::WindowAggregate { .. }
        | Operator::GroupWindowAggregate { .. }
        | Operator::WindowJoin(_)
        | Operator::WindowRank(_)
        | Operator::WindowDeduplicate(_) => return window::make(operator, making),
        Operator::Join { .. }
        | Operator::IntervalJoin(_)
        | Operator::TemporalJoin(_)
        | Operator::LookupJoin(_)
        | Operator::Correlate(_) => return join::make(operator, making),
        Operator::OverAggregate(_)
        | Operator::Rank(_)
        | Operator::Deduplicate(_)
        | Operator::Sort(_)
        | Operator::TemporalSort(_)
        | Operator::SortLimit(_)
        | Operator::Limit(_)
        | Operator::Match(_) => return order::make(operator, making),
        Operator::TableSourceScan(_)
        | Operator::Values { .. }
        | Operator::ProcessTableFunction { .. }
        | Operator::Sink(_) => return Err(not_made(operator)),
    })
}

/// An operator that was to be refused before.
fn not_made(operator: &Operator) -> Error {
    Error::internal(format!("{} has passed as executable", operator.name()))
}
