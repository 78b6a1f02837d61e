//! From the plan's operators to those that run.
//!
//! Place in the flow: deployment asks which plans can be executed before anything outside is opened, and makes the operator of each
//! subtask. Invariant: what passes [`check_executable`] is made; what only binds is refused with its name, before any row is read.

mod join;
mod order;
mod window;

use crate::error::{Error, Result};
use crate::graph::key_group::KEY_GROUPS_DEFAULT;
use crate::operator::aggregate::missing as missing_accumulator;
use crate::operator::calc::Calc;
use crate::operator::changelog_function::{FromChangelog, ToChangelog};
use crate::operator::changelog_normalize::ChangelogNormalize;
use crate::operator::constraint::ConstraintEnforcer;
use crate::operator::expand::Expand;
use crate::operator::group_aggregate::GroupAggregate;
use crate::operator::snapshot_query::Snapshot;
use crate::operator::union::Union;
use crate::plan::explain::node_name;
use crate::plan::{
    AggregateCall, ChangelogMode, ConflictStrategy, Node, NodeId, Operator, ProcessTableFunction,
    StreamPlan,
};
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
        let below = node.inputs.first().and_then(|input| plan.node(input.node));
        if matches!(&node.operator, Operator::Sink(sink) if sink.upsert_materialize)
            && !matches!(
                below.map(|below| &below.operator),
                Some(Operator::UpsertMaterialize(_))
            )
        {
            return Err(Error::unsupported(
                "the statement was planned by an older version, whose sinks keep no state: stop it, and create it again",
            ));
        }
        if matches!(&node.operator, Operator::UpsertMaterialize(spec) if spec.on_conflict != ConflictStrategy::Deduplicate)
            && below.is_some_and(|below| below.changelog != ChangelogMode::Append)
        {
            return Err(Error::unsupported(
                "ON CONFLICT DO ERROR and DO NOTHING over a query that updates its rows: write ON CONFLICT DO DEDUPLICATE",
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
        | Operator::ProcessTableFunction(_)
        | Operator::ConstraintEnforcer(_)
        | Operator::Sink(_) => None,
        Operator::GroupAggregate { aggregates, .. } => missing_aggregate(aggregates),
        Operator::WindowTableFunction(_)
        | Operator::WindowAggregate { .. }
        | Operator::GroupWindowAggregate { .. }
        | Operator::WindowJoin(_)
        | Operator::WindowRank(_)
        | Operator::WindowDeduplicate(_) => window::missing(operator),
        Operator::Join { .. }
        | Operator::IntervalJoin(_)
        | Operator::TemporalJoin(_)
        | Operator::Correlate(_) => join::missing(operator),
        Operator::OverAggregate(_)
        | Operator::Rank(_)
        | Operator::Deduplicate(_)
        | Operator::Sort(_)
        | Operator::TemporalSort(_)
        | Operator::SortLimit(_)
        | Operator::Limit(_)
        | Operator::UpsertMaterialize(_)
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
        Operator::ProcessTableFunction(function) => process_function(function, making)?,
        Operator::ConstraintEnforcer(spec) => Box::new(ConstraintEnforcer::new(spec)),
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
        | Operator::Correlate(_) => return join::make(operator, making),
        Operator::OverAggregate(_)
        | Operator::Rank(_)
        | Operator::Deduplicate(_)
        | Operator::Sort(_)
        | Operator::TemporalSort(_)
        | Operator::SortLimit(_)
        | Operator::Limit(_)
        | Operator::UpsertMaterialize(_)
        | Operator::Match(_) => return order::make(operator, making),
        Operator::TableSourceScan(_) | Operator::Values { .. } | Operator::Sink(_) => {
            return Err(not_made(operator));
        }
    })
}

/// Makes the operator of a function over a whole table.
fn process_function(function: &ProcessTableFunction, making: &Making<'_>) -> Result<BoxedOperator> {
    Ok(match function {
        ProcessTableFunction::ToChangelog { codes } => Box::new(ToChangelog::new(codes)),
        ProcessTableFunction::FromChangelog { op, codes } => {
            let name = &making.input()?.node.schema[*op].name;
            Box::new(FromChangelog::new((*op, name), codes))
        }
    })
}

/// Makes the operators of a plan between its sources and sinks, for one subtask each that keeps its state in memory and for ever: for
/// benchmarks, which do without the rest of a job.
///
/// # Errors
/// As [`check_executable`], and for keys or arguments of types that cannot be one.
#[doc(hidden)]
pub fn make_alone(plan: &StreamPlan) -> Result<Vec<(NodeId, Box<dyn crate::operator::Operator>)>> {
    check_executable(plan)?;
    let is_between = |node: &&Node| {
        !matches!(
            node.operator,
            Operator::TableSourceScan(_) | Operator::Values { .. } | Operator::Sink(_)
        )
    };
    let nodes = plan.nodes.iter().filter(is_between);
    nodes
        .map(|node| Ok((node.id, make_one_alone(plan, node)?)))
        .collect()
}

/// Makes one of them.
fn make_one_alone(plan: &StreamPlan, node: &Node) -> Result<BoxedOperator> {
    let below = node.inputs.iter().map(|input| {
        let below = plan.node(input.node);
        below.ok_or_else(|| Error::internal("an input comes from nowhere"))
    });
    let below: Vec<&Node> = below.collect::<Result<_>>()?;
    let types = below.iter().map(|below| {
        let columns = below.schema.iter();
        columns.map(|column| column.ty.clone()).collect()
    });
    let types: Vec<Vec<FlinkType>> = types.collect();
    let inputs = below.iter().zip(&types).map(|(node, types)| MakingInput {
        types,
        node,
        state: StateConfig::in_memory("alone", KEY_GROUPS_DEFAULT),
    });
    let making = Making {
        inputs: inputs.collect(),
        time_zone: &plan.time_zone,
    };
    make(&node.operator, &making)
}

/// An operator that was to be refused before.
fn not_made(operator: &Operator) -> Error {
    Error::internal(format!("{} has passed as executable", operator.name()))
}
