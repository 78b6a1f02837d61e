//! A plan as text, the way Confluent's EXPLAIN prints it.
//!
//! Place in the flow: EXPLAIN, and every place that names a node to people: metrics, errors, the workload graph. Invariant:
//! a node has one name everywhere.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::advice::Advice;
use super::{ChangelogMode, Column, Node, NodeId, Operator, SinkTarget, StateClass, StreamPlan};
use crate::sql::catalog::TableDef;

/// A node's name: `StreamCalc [2]`.
pub fn node_name(node: &Node) -> String {
    let operator = node.operator.name();
    format!("Stream{operator} [{}]", node.id.0)
}

/// A plan as text: the tree of nodes, then facts about each.
pub fn explain(plan: &StreamPlan) -> String {
    let mut text = String::from("== Physical Plan ==\n\n");
    let mut printed = BTreeSet::new();
    for sink in plan
        .nodes
        .iter()
        .filter(|node| plan.consumers(node.id).next().is_none())
    {
        tree(plan, sink, 0, &mut printed, &mut text);
        text.push('\n');
    }
    text.push_str("== Physical Details ==\n");
    for node in &plan.nodes {
        details(node, &mut text);
    }
    text
}

/// Advice as EXPLAIN prints it behind the plan; empty without any.
pub fn warnings(advice: &[Advice]) -> String {
    let mut text = String::new();
    if !advice.is_empty() {
        text.push_str("\n== Warnings ==\n");
    }
    for (index, advice) in advice.iter().enumerate() {
        let severity = advice.severity.as_str();
        line(
            &mut text,
            format_args!("\n{}. {severity}: {}", index + 1, advice.message),
        );
    }
    text
}

/// Prints a node above its inputs; a node that was printed already is only named.
fn tree(
    plan: &StreamPlan,
    node: &Node,
    depth: usize,
    printed: &mut BTreeSet<NodeId>,
    text: &mut String,
) {
    text.push_str(&"  ".repeat(depth));
    if depth > 0 {
        text.push_str("+- ");
    }
    if !printed.insert(node.id) {
        line(text, format_args!("(reused) [{}]", node.id.0));
        return;
    }
    line(text, format_args!("{}", node_name(node)));
    for input in &node.inputs {
        if let Some(below) = plan.node(input.node) {
            tree(plan, below, depth + 1, printed, text);
        }
    }
}

/// Prints the facts about a node.
fn details(node: &Node, text: &mut String) {
    let name = node_name(node);
    let bare = name.split(' ').next().unwrap_or_default();
    line(text, format_args!("\n[{}] {bare}", node.id.0));
    match &node.operator {
        Operator::TableSourceScan(scan) => table(&scan.table, text),
        Operator::Sink(sink) => match &sink.target {
            SinkTarget::Table(target) => table(target, text),
            SinkTarget::Results => line(text, format_args!("Table: Foreground")),
        },
        _ => {}
    }
    line(
        text,
        format_args!("Changelog mode: {}", mode(node.changelog)),
    );
    if let Some(key) = &node.upsert_key {
        line(
            text,
            format_args!("Upsert key: ({})", names(&node.schema, key)),
        );
    }
    if let Some(size) = state_size(&node.operator) {
        line(text, format_args!("State size: {size}"));
    }
    if !node.state_ttls_ms.is_empty() {
        line(text, format_args!("State TTL: {}", ttls(node)));
    }
}

/// The times to live that hints have set, one for each input.
fn ttls(node: &Node) -> String {
    let text = |ttl: &Option<u64>| match ttl {
        None => "that of the statement".to_owned(),
        Some(0) => "never".to_owned(),
        Some(ttl_ms) => format!("{ttl_ms} ms"),
    };
    match node.state_ttls_ms.as_slice() {
        [left, right] => format!("left {}, right {}", text(left), text(right)),
        ttls => ttls.iter().map(text).collect::<Vec<_>>().join(", "),
    }
}

/// Prints the name and key of a table.
fn table(table: &TableDef, text: &mut String) {
    line(text, format_args!("Table: {}", table.name));
    if !table.primary_key.is_empty() {
        line(
            text,
            format_args!("Primary key: ({})", table.primary_key.join(",")),
        );
    }
}

/// Appends a line.
fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    text.write_fmt(arguments).unwrap_or_default();
    text.push('\n');
}

/// Names of columns.
fn names(schema: &[Column], columns: &[usize]) -> String {
    let names: Vec<&str> = columns
        .iter()
        .filter_map(|index| Some(schema.get(*index)?.name.as_str()))
        .collect();
    names.join(",")
}

/// A changelog mode in words.
fn mode(mode: ChangelogMode) -> &'static str {
    match mode {
        ChangelogMode::Append => "append",
        ChangelogMode::Upsert => "upsert",
        ChangelogMode::Retract => "retract",
    }
}

/// How much state an operator keeps; absent without any.
///
/// # Source
/// Confluent: state size classes of operators.
fn state_size(operator: &Operator) -> Option<&'static str> {
    Some(match operator.state_class() {
        StateClass::None => return None,
        StateClass::Low => "low",
        StateClass::Medium => "medium",
        StateClass::High => "high",
    })
}
