//! Makes one node of those that compute the same.
//!
//! Place in the flow: a step of the end of binding, before columns are dropped, since each use may need others. Invariant: the rows that
//! reach the sinks do not change; what gives another value each time it is computed is computed for each use.
//!
//! # Source
//! Flink: `table.optimizer.reuse-sub-plan-enabled`, for statement sets and within a query.

use super::relation::is_volatile;
use crate::plan::{Node, NodeId, Operator};

/// Lets every input come from the first of the nodes that compute the same; the others have no reader left.
pub(super) fn reuse(nodes: &mut [Node]) {
    let mut ids: Vec<NodeId> = Vec::with_capacity(nodes.len());
    for index in 0..nodes.len() {
        let (before, rest) = nodes.split_at_mut(index);
        let node = &mut rest[0];
        for input in &mut node.inputs {
            input.node = ids[input.node.0 as usize - 1];
        }
        let same = before.iter().find(|other| is_same(other, node));
        ids.push(same.map_or(node.id, |other| ids[other.id.0 as usize - 1]));
    }
}

/// Whether two nodes emit the same rows.
fn is_same(one: &Node, other: &Node) -> bool {
    let types = |node: &Node| {
        let columns = node.schema.iter();
        columns.map(|column| column.ty.clone()).collect::<Vec<_>>()
    };
    one.inputs == other.inputs
        && one.operator == other.operator
        && one.changelog == other.changelog
        && one.state_ttls_ms == other.state_ttls_ms
        && types(one) == types(other)
        && !matches!(one.operator, Operator::Sink(_))
        && !has_volatile(&one.operator)
}

/// Whether an operator computes something anew for each row or batch.
fn has_volatile(operator: &Operator) -> bool {
    let mut found = false;
    operator.visit_exprs(&mut |expr| found |= is_volatile(expr));
    found
}
