//! Which nodes need not say what a row was before its update.
//!
//! Place in the flow: the last rewrite of a plan, from the sinks to the sources. Invariant: a node whose changes are read by key, and by
//! nothing else, emits upserts; every other updating node emits full changes.
//!
//! # Source
//! Flink 2.3: `FlinkChangelogModeInferenceProgram`, its second pass.

use std::collections::{HashMap, HashSet};

use super::{ChangelogMode, Input, Node, NodeId, Operator, SinkSpec};

/// Makes upserts of the changes that nobody takes back.
pub fn drop_update_before(nodes: &mut [Node]) {
    let parting = parting(nodes);
    let mut needed: HashMap<NodeId, bool> = HashMap::new();
    for index in (0..nodes.len()).rev() {
        let node = &nodes[index];
        let of_consumers = needed.get(&node.id).copied().unwrap_or(false);
        // Without a key nobody knows which row was updated.
        let own = match &node.operator {
            Operator::Sink(sink) => sink.changelog != ChangelogMode::Upsert || keeps_rows(sink),
            _ => of_consumers || node.upsert_key.is_none() || parting.contains(&node.id),
        };
        for input in &node.inputs {
            let below = nodes.iter().find(|below| below.id == input.node);
            let needs = below.is_none_or(|below| reads_before(node, below, own));
            *needed.entry(input.node).or_default() |= needs;
        }
        let node = &mut nodes[index];
        if node.changelog == ChangelogMode::Retract && !own {
            node.changelog = ChangelogMode::Upsert;
        }
    }
    ignore_update_before(nodes, &parting);
}

/// Tells temporal joins what of their versions is said for somebody else who reads them.
///
/// # Source
/// Flink, where a node of each consumer drops it: `golden/join_temporal/versions_read_twice`.
fn ignore_update_before(nodes: &mut [Node], parting: &HashSet<NodeId>) {
    for index in 0..nodes.len() {
        let Operator::TemporalJoin(_) = &nodes[index].operator else {
            continue;
        };
        let right = nodes[index].inputs.get(1).map(|input| input.node);
        let says_more = nodes.iter().any(|below| {
            let is_version = Some(below.id) == right;
            let is_asked = filters(below) || parting.contains(&below.id);
            is_version && below.changelog == ChangelogMode::Retract && !is_asked
        });
        if let Operator::TemporalJoin(join) = &mut nodes[index].operator {
            join.ignores_update_before = says_more;
        }
    }
}

/// Whether a node has to see what rows of an input were before their updates; `emits` tells whether it must say so itself.
fn reads_before(node: &Node, below: &Node, emits: bool) -> bool {
    match &node.operator {
        Operator::Sink(sink) => {
            let mut wanted = sink.primary_key.clone();
            wanted.sort_unstable();
            emits || below.upsert_key.as_ref() != Some(&wanted)
        }
        Operator::Calc { .. } => emits || parts(node, below),
        Operator::Union | Operator::ConstraintEnforcer(_) => emits,
        // Versions are told apart by key and time. One that a filter takes away is ended by what it was.
        Operator::TemporalJoin(_) => {
            let is_version = |input: &Input| input.node == below.id;
            let [left, right] = node.inputs.as_slice() else {
                return true;
            };
            is_version(left) && emits || is_version(right) && filters(below)
        }
        _ => true,
    }
}

/// Nodes that may emit the old row of an update without the new one, which takes the row away: filters by what is no key, and what hands
/// their rows on.
fn parting(nodes: &[Node]) -> HashSet<NodeId> {
    let mut parting = HashSet::new();
    for node in nodes {
        let hands_on = matches!(
            node.operator,
            Operator::Calc { .. } | Operator::Union | Operator::ConstraintEnforcer(_)
        );
        let mut inputs = node.inputs.iter();
        let is_parting = inputs.any(|input| {
            let below = nodes.iter().find(|below| below.id == input.node);
            parting.contains(&input.node) || below.is_some_and(|below| parts(node, below))
        });
        if hands_on && is_parting {
            parting.insert(node.id);
        }
    }
    parting
}

/// Whether a filter may let one row of an update pass and not the other.
fn parts(node: &Node, below: &Node) -> bool {
    let Operator::Calc {
        condition: Some(condition),
        ..
    } = &node.operator
    else {
        return false;
    };
    let key = below.upsert_key.as_deref().unwrap_or_default();
    let columns = condition.columns();
    below.changelog != ChangelogMode::Append && columns.iter().any(|column| !key.contains(column))
}

/// Whether a node lets some rows of its updating input pass and others not.
fn filters(node: &Node) -> bool {
    matches!(
        node.operator,
        Operator::Calc {
            condition: Some(_),
            ..
        }
    )
}

/// Whether a sink keeps what it has written, by rows and not by key.
fn keeps_rows(sink: &SinkSpec) -> bool {
    sink.upsert_materialize || sink.on_conflict.is_some()
}
