//! A plan as text, the way Confluent's EXPLAIN prints it.
//!
//! Place in the flow: EXPLAIN, and every place that names a node to people: metrics, errors, the workload graph. Invariant:
//! a node has one name everywhere.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::json;

use super::advice::Advice;
use super::cost::cost_of;
use super::{
    ChangelogMode, Column, Exchange, Input, LateRows, Node, NodeId, Operator, SinkTarget,
    StateClass, StreamPlan,
};
use crate::sql::ast::ExplainDetail;
use crate::sql::catalog::TableDef;

/// A node's name: `StreamCalc [2]`.
pub fn node_name(node: &Node) -> String {
    let operator = node.operator.name();
    format!("Stream{operator} [{}]", node.id.0)
}

/// A plan as text: the tree of nodes, then facts about each.
pub fn explain(plan: &StreamPlan) -> String {
    explain_with(plan, &[], &[])
}

/// A plan as text, with what EXPLAIN was asked to show beside it.
pub fn explain_with(plan: &StreamPlan, advice: &[Advice], details: &[ExplainDetail]) -> String {
    let mut tree = Tree {
        plan,
        details,
        printed: BTreeSet::new(),
        text: String::from("== Physical Plan ==\n\n"),
    };
    for sink in plan
        .nodes
        .iter()
        .filter(|node| plan.consumers(node.id).next().is_none())
    {
        tree.print(sink, 0);
        tree.text.push('\n');
    }
    let mut text = tree.text;
    text.push_str("== Physical Details ==\n");
    for node in &plan.nodes {
        self::details(node, &mut text);
    }
    text.push_str(&warnings(advice));
    if advice.is_empty() && details.contains(&ExplainDetail::PlanAdvice) {
        text.push_str("\n== Warnings ==\n\nnone\n");
    }
    if details.contains(&ExplainDetail::JsonExecutionPlan) {
        text.push_str("\n== Physical Execution Plan ==\n");
        text.push_str(&json(plan));
        text.push('\n');
    }
    text
}

/// The plan as JSON, in the form of Flink's execution plans.
fn json(plan: &StreamPlan) -> String {
    let predecessor = |input: &Input| {
        let strategy = match input.exchange {
            Exchange::Forward => "FORWARD",
            Exchange::Hash(_) => "HASH",
            Exchange::Single => "GLOBAL",
        };
        json!({ "id": input.node.0, "ship_strategy": strategy })
    };
    let node = |node: &Node| {
        let pact = match node.operator {
            Operator::TableSourceScan(_) | Operator::Values { .. } => "Data Source",
            Operator::Sink(_) => "Data Sink",
            _ => "Operator",
        };
        json!({
            "id": node.id.0,
            "type": node_name(node),
            "pact": pact,
            "contents": changes(node.changelog),
            "predecessors": node.inputs.iter().map(predecessor).collect::<Vec<_>>(),
        })
    };
    let nodes: Vec<_> = plan.nodes.iter().map(node).collect();
    format!("{:#}", json!({ "nodes": nodes }))
}

/// Advice as EXPLAIN prints it behind the plan; empty without any.
fn warnings(advice: &[Advice]) -> String {
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

/// The tree of a plan while it is printed.
struct Tree<'a> {
    /// The plan.
    plan: &'a StreamPlan,
    /// What is shown of each node.
    details: &'a [ExplainDetail],
    /// Nodes that are printed.
    printed: BTreeSet<NodeId>,
    /// What is printed.
    text: String,
}

impl Tree<'_> {
    /// Prints a node above its inputs; a node that was printed already is only named.
    fn print(&mut self, node: &Node, depth: usize) {
        self.text.push_str(&"  ".repeat(depth));
        if depth > 0 {
            self.text.push_str("+- ");
        }
        if !self.printed.insert(node.id) {
            line(&mut self.text, format_args!("(reused) [{}]", node.id.0));
            return;
        }
        let mut shown = node_name(node);
        if self.details.contains(&ExplainDetail::ChangelogMode) {
            shown = format!("{shown} (changelogMode={})", changes(node.changelog));
        }
        if self.details.contains(&ExplainDetail::EstimatedCost) {
            shown = format!("{shown}: {}", cost_of(self.plan, node.id).text());
        }
        line(&mut self.text, format_args!("{shown}"));
        for input in &node.inputs {
            if let Some(below) = self.plan.node(input.node) {
                self.print(below, depth + 1);
            }
        }
    }
}

/// Kinds of change as Flink prints them.
fn changes(mode: ChangelogMode) -> &'static str {
    match mode {
        ChangelogMode::Append => "[I]",
        ChangelogMode::Upsert => "[I,UA,D]",
        ChangelogMode::Retract => "[I,UB,UA,D]",
    }
}

/// Prints the facts about a node.
fn details(node: &Node, text: &mut String) {
    let name = node_name(node);
    let bare = name.split(' ').next().unwrap_or_default();
    line(text, format_args!("\n[{}] {bare}", node.id.0));
    match &node.operator {
        Operator::TableSourceScan(scan) => {
            table(&scan.table, text);
            match scan.late {
                LateRows::PassThrough => {}
                LateRows::Filter => line(text, format_args!("Late rows: filtered")),
                LateRows::Only => line(text, format_args!("Late rows: nothing else")),
            }
        }
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
