//! Advice about a plan: what its user may not have meant.
//!
//! Place in the flow: EXPLAIN prints it and the server shows it as warnings of the statement. Invariant: a function of the plan and of
//! the statement's time to live alone; advice never changes what runs.
//!
//! # Source
//! Confluent: Statement Advisor, its four warnings and their pages. Names of reasons are in the form of the documented
//! `MISSING_WINDOW_START_END`.

use std::time::Duration;

use super::explain::node_name;
use super::{ChangelogMode, Node, Operator, SinkTarget, StreamPlan, WindowKind};

/// What may happen to a statement whose user does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing; it is good to know.
    Low,
    /// It may become slow.
    Moderate,
    /// It becomes slow sooner or later.
    Critical,
}

impl Severity {
    /// The name in APIs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Moderate => "MODERATE",
            Self::Critical => "CRITICAL",
        }
    }
}

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// How bad it may become.
    pub severity: Severity,
    /// What it is about, in upper case.
    pub reason: &'static str,
    /// What is the matter and what to do.
    pub message: String,
}

/// Advice about a plan whose statement has this time to live for its state.
pub fn advise(plan: &StreamPlan, state_ttl: Option<Duration>) -> Vec<Advice> {
    let of_nodes = plan.nodes.iter().flat_map(|node| {
        [
            key_mismatch(plan, node),
            missing_window_column(plan, node),
            session_of_all(node),
        ]
    });
    let mut advice: Vec<Advice> = of_nodes.flatten().collect();
    advice.extend(without_ttl(plan, state_ttl));
    advice
}

/// A sink that keeps what it has written, since changes of several rows meet in one of its keys.
fn key_mismatch(plan: &StreamPlan, node: &Node) -> Option<Advice> {
    let Operator::Sink(sink) = &node.operator else {
        return None;
    };
    let SinkTarget::Table(table) = &sink.target else {
        return None;
    };
    if !sink.upsert_materialize {
        return None;
    }
    let below = |node: &Node| plan.node(node.inputs.first()?.node);
    let below = match below(node) {
        Some(materialize) if matches!(materialize.operator, Operator::UpsertMaterialize(_)) => {
            below(materialize)
        }
        other => other,
    };
    let names = |columns: &[usize]| {
        let name = |index: &usize| Some(sink.columns.get(*index)?.name.as_str());
        columns
            .iter()
            .filter_map(name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let derived = match below.and_then(|below| below.upsert_key.as_deref()) {
        Some(key) => format!("the upsert key ({}) of the query", names(key)),
        None => "an upsert key of the query, which has none".to_owned(),
    };
    Some(Advice {
        severity: Severity::Critical,
        reason: "PRIMARY_KEY_UPSERT_KEY_MISMATCH",
        message: format!(
            "[Warning] The primary key ({}) of {} is not {derived}: the sink has to keep every row it was sent. \
             Group, join or declare the table by the same columns. See https://cnfl.io/primary_vs_upsert_key",
            names(&sink.primary_key),
            table.name
        ),
    })
}

/// A group by one end of a window only, which never closes.
fn missing_window_column(plan: &StreamPlan, node: &Node) -> Option<Advice> {
    let Operator::GroupAggregate { keys, .. } = &node.operator else {
        return None;
    };
    if keys.is_empty() {
        return None;
    }
    let mut keys: Vec<usize> = keys.clone();
    let mut below = node.inputs.first().and_then(|input| plan.node(input.node));
    while let Some(Operator::Calc { projections, .. }) = below.map(|node| &node.operator) {
        let columns = keys.iter().filter_map(|key| projections[*key].as_column());
        keys = columns.collect();
        let inputs = below.map(|calc| calc.inputs.as_slice());
        let input = inputs.and_then(<[_]>::first);
        below = input.and_then(|input| plan.node(input.node));
    }
    let is_windowed = |node: &&Node| matches!(node.operator, Operator::WindowTableFunction(_));
    let windowed = below.filter(is_windowed)?;
    // Its last columns are start, end and time. Sessions of other keys are grouped like anything else.
    let start = windowed.schema.len().checked_sub(3)?;
    if keys.contains(&start) && keys.contains(&(start + 1)) {
        return None;
    }
    Some(Advice {
        severity: Severity::Moderate,
        reason: "MISSING_WINDOW_START_END",
        message: format!(
            "[Warning] {} groups rows of a window function and not by both window_start and window_end: it is no window aggregation, \
             keeps every group for ever and updates its results. Put both columns into GROUP BY. \
             See https://cnfl.io/regular_vs_window_aggregation",
            node_name(node)
        ),
    })
}

/// Sessions of the whole table, which only one subtask can find.
fn session_of_all(node: &Node) -> Option<Advice> {
    let (Operator::WindowTableFunction(window) | Operator::WindowAggregate { window, .. }) =
        &node.operator
    else {
        return None;
    };
    let is_session = matches!(window.kind, WindowKind::Session { .. });
    if !is_session || !window.partition.is_empty() || window.attached.is_some() {
        return None;
    }
    Some(Advice {
        severity: Severity::Moderate,
        reason: "SESSION_WITHOUT_PARTITION_BY",
        message: format!(
            "[Warning] {} finds sessions without PARTITION BY: all rows go through one subtask, and any row keeps the session open. \
             Write SESSION(TABLE t PARTITION BY key, ...). See https://cnfl.io/session_without_partioning",
            node_name(node)
        ),
    })
}

/// Operators that keep whole rows for ever.
fn without_ttl(plan: &StreamPlan, state_ttl: Option<Duration>) -> Option<Advice> {
    let keeps = |node: &&Node| keeps_rows(plan, node) && has_no_ttl(node, state_ttl);
    let names: Vec<String> = plan.nodes.iter().filter(keeps).map(node_name).collect();
    if names.is_empty() {
        return None;
    }
    Some(Advice {
        severity: Severity::Moderate,
        reason: "HIGH_STATE_WITHOUT_TTL",
        message: format!(
            "[Warning] {} keep much state and there is no time to live, so it grows without end. \
             SET 'sql.state-ttl' or give the inputs a time with /*+ STATE_TTL('table' = '1 d') */. \
             See https://cnfl.io/high_state_intensive_operators",
            names.join(", ")
        ),
    })
}

/// Whether an operator keeps the rows themselves.
///
/// # Source
/// Confluent: state classes of operators; high are joins with an append-only input and sinks that materialize.
fn keeps_rows(plan: &StreamPlan, node: &Node) -> bool {
    let appends = |id| {
        let below = plan.node(id);
        below.is_some_and(|below| below.changelog == ChangelogMode::Append)
    };
    match &node.operator {
        Operator::Join { .. } => node.inputs.iter().any(|input| appends(input.node)),
        Operator::Sink(sink) => sink.upsert_materialize,
        _ => false,
    }
}

/// Whether some input of an operator is kept for ever.
fn has_no_ttl(node: &Node, state_ttl: Option<Duration>) -> bool {
    (0..node.inputs.len()).any(|input| node.state_ttl_ms(input, state_ttl).is_none())
}
