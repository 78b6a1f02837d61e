//! A guess of what a plan costs, as EXPLAIN `ESTIMATED_COST` prints it.
//!
//! Place in the flow: EXPLAIN only; nothing is decided by it. Invariant: costs of a node contain those of its inputs, each node once.
//!
//! # Source
//! Flink 2.3: the form of `rowcount` and `cumulative cost`, the hundred million rows of a source of unknown size, and the selectivities
//! of Calcite's `RelMdUtil.guessSelectivity`. The other factors are guesses of the same kind; sizes and prices come from `weir estimate`.

use std::collections::BTreeSet;

use super::{Exchange, Node, NodeId, Operator, StateClass, StreamPlan};
use crate::sql::expr::{Expr, ExprKind};
use crate::types::{FlinkType, TypeKind};

/// Rows of a source of unknown size.
const SOURCE_ROWS: f64 = 1e8;

/// Part of the rows that pass an equality.
const EQUALS_SELECTIVITY: f64 = 0.15;

/// Part of the rows that pass a comparison.
const COMPARES_SELECTIVITY: f64 = 0.5;

/// Part of the rows that pass another condition.
const OTHER_SELECTIVITY: f64 = 0.25;

/// Groups per row of an aggregation.
const GROUPS_PER_ROW: f64 = 0.1;

/// Bytes of a text of unknown length.
const TEXT_BYTES: f64 = 12.0;

/// Bytes of a value of other values.
const NESTED_BYTES: f64 = 32.0;

/// What a node and all before it cost.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Cost {
    /// Rows that leave the node.
    pub(super) rows_out: f64,
    /// Rows that all nodes emit.
    pub(super) rows: f64,
    /// Rows that all nodes process.
    pub(super) cpu: f64,
    /// Bytes that are read.
    pub(super) io: f64,
    /// Bytes that are exchanged between subtasks.
    pub(super) network: f64,
    /// Bytes of state.
    pub(super) memory: f64,
}

impl Cost {
    /// As EXPLAIN prints it.
    pub(super) fn text(&self) -> String {
        let number = |value: f64| {
            if value < 1e7 {
                format!("{value:.1}")
            } else {
                let exponent = value.log10().floor();
                format!("{:.1}E{exponent}", value / 10_f64.powf(exponent))
            }
        };
        format!(
            "rowcount = {}, cumulative cost = {{{} rows, {} cpu, {} io, {} network, {} memory}}",
            number(self.rows_out),
            number(self.rows),
            number(self.cpu),
            number(self.io),
            number(self.network),
            number(self.memory)
        )
    }
}

/// What a node and all before it cost.
pub(super) fn cost_of(plan: &StreamPlan, node: NodeId) -> Cost {
    let mut before = BTreeSet::from([node]);
    for other in plan.nodes.iter().rev() {
        if before.contains(&other.id) {
            before.extend(other.inputs.iter().map(|input| input.node));
        }
    }
    let mut rows_out: Vec<(NodeId, f64)> = Vec::new();
    let mut total = Cost::default();
    for other in plan.nodes.iter().filter(|other| before.contains(&other.id)) {
        let rows_of = |id: NodeId| rows_out.iter().find(|(known, _)| *known == id);
        let inputs: Vec<f64> = other
            .inputs
            .iter()
            .map(|input| rows_of(input.node).map_or(0.0, |(_, rows)| *rows))
            .collect();
        let out = rows_from(other, &inputs);
        let bytes = row_bytes(other);
        total.rows += out;
        total.cpu += inputs.iter().sum::<f64>().max(out);
        if matches!(other.operator, Operator::TableSourceScan(_)) {
            total.io += out * bytes;
        }
        for (input, rows) in other.inputs.iter().zip(&inputs) {
            let exchanged = input.exchange != Exchange::Forward;
            let below = plan.node(input.node).filter(|_| exchanged);
            total.network += below.map_or(0.0, |below| rows * row_bytes(below));
        }
        total.memory += match other.operator.state_class() {
            StateClass::None | StateClass::Low => 0.0,
            StateClass::Medium => out * bytes,
            StateClass::High => inputs.iter().sum::<f64>() * bytes,
        };
        total.rows_out = out;
        rows_out.push((other.id, out));
    }
    total
}

/// Rows that a node emits for the rows of its inputs.
fn rows_from(node: &Node, inputs: &[f64]) -> f64 {
    let all: f64 = inputs.iter().sum();
    let least = inputs.iter().copied().fold(f64::INFINITY, f64::min);
    match &node.operator {
        Operator::TableSourceScan(scan) => {
            let known = scan.table.option("number-of-rows");
            known
                .and_then(|rows| rows.parse().ok())
                .unwrap_or(SOURCE_ROWS)
        }
        Operator::Values { rows } => cast(rows.len()),
        Operator::Calc {
            condition: Some(condition),
            ..
        } => all * selectivity(condition),
        Operator::Expand { projections } => all * cast(projections.len()),
        Operator::GroupAggregate { keys, .. } if keys.is_empty() => 1.0,
        Operator::GroupAggregate { .. }
        | Operator::WindowAggregate { .. }
        | Operator::GroupWindowAggregate { .. }
        | Operator::Rank(_)
        | Operator::Deduplicate(_)
        | Operator::WindowRank(_)
        | Operator::WindowDeduplicate(_) => all * GROUPS_PER_ROW,
        Operator::Limit(sort) | Operator::SortLimit(sort) => {
            sort.fetch.map_or(all, |rows| all.min(cast_u64(rows)))
        }
        Operator::Join {
            kind, left_keys, ..
        } if !kind.is_left_only() => {
            if left_keys.is_empty() {
                inputs.iter().product()
            } else {
                all - least
            }
        }
        _ => inputs.first().copied().unwrap_or_default(),
    }
}

/// A count as a number to calculate with.
fn cast(count: usize) -> f64 {
    cast_u64(count as u64)
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "a guess is not exact")]
fn cast_u64(count: u64) -> f64 {
    count as f64
}

/// The part of the rows that pass a condition.
fn selectivity(condition: &Expr) -> f64 {
    let ExprKind::Call { function, args, .. } = &condition.kind else {
        return OTHER_SELECTIVITY;
    };
    match function.as_str() {
        "AND" => args.iter().map(selectivity).product(),
        "=" => EQUALS_SELECTIVITY,
        "<" | ">" | "<=" | ">=" | "<>" => COMPARES_SELECTIVITY,
        _ => OTHER_SELECTIVITY,
    }
}

/// Bytes of a row of a node.
fn row_bytes(node: &Node) -> f64 {
    node.schema.iter().map(|column| bytes_of(&column.ty)).sum()
}

/// Bytes of a value.
fn bytes_of(ty: &FlinkType) -> f64 {
    match &ty.kind {
        TypeKind::Boolean | TypeKind::TinyInt => 1.0,
        TypeKind::SmallInt => 2.0,
        TypeKind::Int | TypeKind::Float | TypeKind::Date | TypeKind::Time(_) => 4.0,
        TypeKind::BigInt
        | TypeKind::Double
        | TypeKind::Timestamp(_)
        | TypeKind::TimestampLtz(_) => 8.0,
        TypeKind::Decimal { .. } => 16.0,
        TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_) | TypeKind::Row(_) => {
            NESTED_BYTES
        }
        _ => TEXT_BYTES,
    }
}
