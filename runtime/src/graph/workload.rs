//! What the estimator needs to know of a plan.
//!
//! Place in the flow: plan in, `model::workload::Graph` out. Invariant: a vertex per node, in the same order.

use weir_model::workload::{Graph, OperatorClass, Vertex};

use crate::error::Result;
use crate::graph::JobGraph;
use crate::plan::{Exchange, Operator, StreamPlan, explain::node_name};

/// The workload graph of a plan.
///
/// # Errors
/// As [`JobGraph::from_plan`].
pub fn workload(plan: &StreamPlan) -> Result<Graph> {
    let vertices = JobGraph::from_plan(plan)?
        .vertices
        .into_iter()
        .map(|vertex| Vertex {
            id: vertex.node.id.0,
            name: node_name(&vertex.node),
            class: class_of(&vertex.node.operator),
            keyed: vertex
                .node
                .inputs
                .iter()
                .any(|input| matches!(input.exchange, Exchange::Hash(_))),
            inputs: vertex.inputs,
        })
        .collect();
    Ok(Graph { vertices })
}

/// The cost class of an operator.
fn class_of(operator: &Operator) -> OperatorClass {
    match operator {
        Operator::TableSourceScan(_) | Operator::Values { .. } => OperatorClass::Source,
        Operator::Calc { .. }
        | Operator::WindowTableFunction(_)
        | Operator::Union
        | Operator::Expand { .. }
        | Operator::Correlate(_)
        | Operator::Limit(_)
        | Operator::Snapshot { .. }
        | Operator::ProcessTableFunction(_)
        | Operator::ConstraintEnforcer(_) => OperatorClass::Calc,
        Operator::WindowAggregate { .. } | Operator::GroupWindowAggregate { .. } => {
            OperatorClass::WindowAggregate
        }
        Operator::GroupAggregate { .. } | Operator::OverAggregate(_) => {
            OperatorClass::GroupAggregate
        }
        Operator::ChangelogNormalize { .. }
        | Operator::UpsertMaterialize(_)
        | Operator::Rank(_)
        | Operator::Deduplicate(_)
        | Operator::WindowRank(_)
        | Operator::WindowDeduplicate(_)
        | Operator::Sort(_)
        | Operator::TemporalSort(_)
        | Operator::SortLimit(_)
        | Operator::Match(_) => OperatorClass::Rank,
        Operator::Join { .. }
        | Operator::IntervalJoin(_)
        | Operator::TemporalJoin(_)
        | Operator::WindowJoin(_) => OperatorClass::Join,
        Operator::Sink(_) => OperatorClass::Sink,
    }
}
