//! Filters behind upsert tables become part of what makes their rows complete.
//!
//! Place in the flow: a step of the end of binding, on pruned nodes. Invariant: a row that no longer passes is deleted, not only taken back
//! as the old half of an update whose new half is missing, and rows that do not pass are not kept in state.
//!
//! # Source
//! Flink 2.3: filters are pushed into `ChangelogNormalize`.

use crate::plan::{Exchange, Node, Operator};

/// Moves the condition of each Calc that alone reads a `ChangelogNormalize` into it; whether there was one.
pub(super) fn push(nodes: &mut [Node]) -> bool {
    let mut has_moved = false;
    for index in 0..nodes.len() {
        let Some(calc) = only_filter(nodes, index) else {
            continue;
        };
        if let Operator::Calc { condition, .. } = &mut nodes[calc].operator {
            let moved = condition.take();
            if let Operator::ChangelogNormalize { condition, .. } = &mut nodes[index].operator {
                *condition = moved;
                has_moved = true;
            }
        }
    }
    has_moved
}

/// The only reader of a `ChangelogNormalize` without a condition, if it is a Calc with one.
fn only_filter(nodes: &[Node], index: usize) -> Option<usize> {
    let Operator::ChangelogNormalize {
        condition: None, ..
    } = nodes[index].operator
    else {
        return None;
    };
    let edges = nodes.iter().enumerate().flat_map(|(reader, node)| {
        let inputs = node.inputs.iter();
        inputs.map(move |input| (reader, input))
    });
    let mut edges = edges.filter(|(_, input)| input.node == nodes[index].id);
    let (Some((reader, input)), None) = (edges.next(), edges.next()) else {
        return None;
    };
    let is_filter = matches!(
        nodes[reader].operator,
        Operator::Calc {
            condition: Some(_),
            ..
        }
    );
    (is_filter && input.exchange == Exchange::Forward).then_some(reader)
}
