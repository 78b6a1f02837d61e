//! Which columns of its inputs an operator reads, and how its own columns come from them.
//!
//! Place in the flow: pruning moves columns without knowing what operators do. Invariant: every column of an input that is named
//! anywhere in an operator is visited here.

use std::cell::RefCell;

use super::{AggregateCall, AttachedWindow, Operator, RankRange, SortField, Window};
use crate::sql::expr::Expr;

/// What a column number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Columns of one input.
    Input(usize),
    /// Columns of the first input, then those of the second.
    Joined,
}

/// How the columns of an operator come from those of its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Those of the first input, then its own.
    Appends,
    /// Those of both inputs, then its own.
    Joins,
    /// One for each projection.
    Projects,
    /// Its own; none can be left out.
    Makes,
}

/// The new number of a column.
type Map<'a> = &'a dyn Fn(Reads, usize) -> usize;

/// Columns of the only input.
const INPUT: Reads = Reads::Input(0);

/// Columns of the second input.
const RIGHT: Reads = Reads::Input(1);

impl Operator {
    /// How its columns come from those of its inputs.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Calc { .. } => Shape::Projects,
            Self::TableSourceScan(_)
            | Self::Values { .. }
            | Self::WindowAggregate { .. }
            | Self::GroupAggregate { .. }
            | Self::GroupWindowAggregate { .. }
            | Self::Union
            | Self::Expand { .. }
            | Self::Match(_)
            | Self::ProcessTableFunction(_)
            | Self::ConstraintEnforcer(_)
            | Self::Sink(_) => Shape::Makes,
            Self::Join { kind, .. } if kind.is_left_only() => Shape::Appends,
            Self::WindowJoin(join) if join.kind.is_left_only() => Shape::Appends,
            Self::Join { .. }
            | Self::IntervalJoin(_)
            | Self::TemporalJoin(_)
            | Self::WindowJoin(_) => Shape::Joins,
            Self::WindowTableFunction(_)
            | Self::ChangelogNormalize { .. }
            | Self::UpsertMaterialize(_)
            | Self::Correlate(_)
            | Self::OverAggregate(_)
            | Self::Rank(_)
            | Self::Deduplicate(_)
            | Self::WindowRank(_)
            | Self::WindowDeduplicate(_)
            | Self::Sort(_)
            | Self::TemporalSort(_)
            | Self::SortLimit(_)
            | Self::Limit(_)
            | Self::Snapshot { .. } => Shape::Appends,
        }
    }

    /// The columns it reads, besides those that it only hands on.
    pub fn reads(&self) -> Vec<(Reads, usize)> {
        let found = RefCell::new(Vec::new());
        self.clone().map_reads(&|reads, column| {
            found.borrow_mut().push((reads, column));
            column
        });
        found.into_inner()
    }

    /// Gives every column that it reads its new number; projections of a Calc are left to the caller.
    pub fn map_reads(&mut self, map: Map<'_>) {
        match self {
            Self::TableSourceScan(_)
            | Self::Values { .. }
            | Self::Union
            | Self::ConstraintEnforcer(_)
            | Self::Sink(_)
            | Self::Limit(_) => {}
            Self::Calc {
                condition,
                projections,
            } => condition
                .iter_mut()
                .chain(projections)
                .for_each(|expr| move_expr(expr, INPUT, map)),
            Self::Expand { projections } => projections
                .iter_mut()
                .flatten()
                .for_each(|expr| move_expr(expr, INPUT, map)),
            Self::WindowTableFunction(window) => move_window(window, map),
            Self::WindowAggregate {
                window,
                keys,
                aggregates,
                ..
            }
            | Self::GroupWindowAggregate {
                window,
                keys,
                aggregates,
                ..
            } => {
                move_window(window, map);
                move_columns(keys, INPUT, map);
                move_calls(aggregates, map);
            }
            Self::GroupAggregate { keys, aggregates } => {
                move_columns(keys, INPUT, map);
                move_calls(aggregates, map);
            }
            Self::ChangelogNormalize { keys, condition } => {
                move_columns(keys, INPUT, map);
                let condition = condition.iter_mut();
                condition.for_each(|expr| move_expr(expr, INPUT, map));
            }
            Self::Snapshot { partition } => move_columns(partition, INPUT, map),
            Self::ProcessTableFunction(function) => function.map_columns(&|at| map(INPUT, at)),
            Self::Sort(sort) | Self::TemporalSort(sort) | Self::SortLimit(sort) => {
                move_order(&mut sort.order, map);
            }
            Self::Match(found) => {
                move_columns(&mut found.partition, INPUT, map);
                move_order(&mut found.order, map);
                let defines = found.defines.iter_mut().map(|(_, expr)| expr);
                defines
                    .chain(&mut found.measures)
                    .for_each(|expr| move_expr(expr, INPUT, map));
            }
            Self::Join { .. }
            | Self::IntervalJoin(_)
            | Self::TemporalJoin(_)
            | Self::WindowJoin(_)
            | Self::Correlate(_) => self.map_join(map),
            Self::OverAggregate(_)
            | Self::Rank(_)
            | Self::Deduplicate(_)
            | Self::WindowRank(_)
            | Self::WindowDeduplicate(_)
            | Self::UpsertMaterialize(_) => self.map_rank(map),
        }
    }

    /// Visits the expressions it computes.
    pub fn visit_exprs(&self, visit: &mut dyn FnMut(&Expr)) {
        match self {
            Self::Calc {
                condition,
                projections,
            } => condition.iter().chain(projections).for_each(visit),
            Self::Values { rows: lists } | Self::Expand { projections: lists } => {
                lists.iter().flatten().for_each(visit);
            }
            Self::ChangelogNormalize { condition, .. } => condition.iter().for_each(visit),
            Self::Join { residual, .. } => residual.iter().for_each(visit),
            Self::IntervalJoin(join) => join.residual.iter().for_each(visit),
            Self::TemporalJoin(join) => join.residual.iter().for_each(visit),
            Self::WindowJoin(join) => join.residual.iter().for_each(visit),
            Self::Correlate(correlate) => correlate.args.iter().for_each(visit),
            Self::Match(found) => {
                let defines = found.defines.iter().map(|(_, expr)| expr);
                defines.chain(&found.measures).for_each(visit);
            }
            Self::TableSourceScan(scan) => scan.projections.iter().flatten().for_each(visit),
            Self::WindowTableFunction(_)
            | Self::WindowAggregate { .. }
            | Self::GroupAggregate { .. }
            | Self::GroupWindowAggregate { .. }
            | Self::OverAggregate(_)
            | Self::Rank(_)
            | Self::Deduplicate(_)
            | Self::WindowRank(_)
            | Self::WindowDeduplicate(_)
            | Self::Sort(_)
            | Self::TemporalSort(_)
            | Self::SortLimit(_)
            | Self::Limit(_)
            | Self::Snapshot { .. }
            | Self::Union
            | Self::UpsertMaterialize(_)
            | Self::ProcessTableFunction(_)
            | Self::ConstraintEnforcer(_)
            | Self::Sink(_) => {}
        }
    }

    /// As [`Self::map_reads`], of joins.
    fn map_join(&mut self, map: Map<'_>) {
        match self {
            Self::Join {
                left_keys,
                right_keys,
                residual,
                ..
            } => {
                move_columns(left_keys, INPUT, map);
                move_columns(right_keys, RIGHT, map);
                move_residual(residual, map);
            }
            Self::IntervalJoin(join) => {
                move_columns(&mut join.left_keys, INPUT, map);
                move_columns(&mut join.right_keys, RIGHT, map);
                join.left_time = map(INPUT, join.left_time);
                join.right_time = map(RIGHT, join.right_time);
                move_residual(&mut join.residual, map);
            }
            Self::TemporalJoin(join) => {
                move_columns(&mut join.left_keys, INPUT, map);
                move_columns(&mut join.right_keys, RIGHT, map);
                move_columns(&mut join.version_key, RIGHT, map);
                join.left_time = map(INPUT, join.left_time);
                join.right_time = join.right_time.map(|column| map(RIGHT, column));
                move_residual(&mut join.residual, map);
            }
            Self::WindowJoin(join) => {
                move_attached(&mut join.left_window, INPUT, map);
                move_attached(&mut join.right_window, RIGHT, map);
                move_columns(&mut join.left_keys, INPUT, map);
                move_columns(&mut join.right_keys, RIGHT, map);
                move_residual(&mut join.residual, map);
            }
            Self::Correlate(correlate) => correlate
                .args
                .iter_mut()
                .for_each(|expr| move_expr(expr, INPUT, map)),
            _ => {}
        }
    }

    /// As [`Self::map_reads`], of what goes by an order.
    fn map_rank(&mut self, map: Map<'_>) {
        let move_range = |range: &mut RankRange| {
            if let RankRange::Variable { end } = range {
                *end = map(INPUT, *end);
            }
        };
        match self {
            Self::OverAggregate(over) => {
                move_columns(&mut over.partition, INPUT, map);
                move_order(&mut over.order, map);
                move_calls(&mut over.aggregates, map);
            }
            Self::Rank(rank) => {
                move_columns(&mut rank.partition, INPUT, map);
                move_order(&mut rank.order, map);
                move_range(&mut rank.range);
            }
            Self::UpsertMaterialize(materialize) => {
                move_columns(&mut materialize.primary_key, INPUT, map);
                if let Some(key) = &mut materialize.upsert_key {
                    move_columns(key, INPUT, map);
                }
            }
            Self::Deduplicate(deduplicate) => {
                move_columns(&mut deduplicate.keys, INPUT, map);
                deduplicate.time = map(INPUT, deduplicate.time);
            }
            Self::WindowRank(rank) => {
                move_attached(&mut rank.window, INPUT, map);
                move_columns(&mut rank.partition, INPUT, map);
                move_order(&mut rank.order, map);
                move_range(&mut rank.range);
            }
            Self::WindowDeduplicate(deduplicate) => {
                move_attached(&mut deduplicate.window, INPUT, map);
                move_columns(&mut deduplicate.keys, INPUT, map);
                deduplicate.time = map(INPUT, deduplicate.time);
            }
            _ => {}
        }
    }
}

/// Moves the columns of an expression.
fn move_expr(expr: &mut Expr, reads: Reads, map: Map<'_>) {
    *expr = expr.map_columns(&|column| map(reads, column));
}

/// Moves the columns of what a join tests besides its keys.
fn move_residual(residual: &mut Option<Expr>, map: Map<'_>) {
    if let Some(expr) = residual {
        move_expr(expr, Reads::Joined, map);
    }
}

/// Moves columns.
fn move_columns(columns: &mut [usize], reads: Reads, map: Map<'_>) {
    for column in columns {
        *column = map(reads, *column);
    }
}

/// Moves the columns of an order.
fn move_order(order: &mut [SortField], map: Map<'_>) {
    for field in order {
        field.column = map(INPUT, field.column);
    }
}

/// Moves the columns of a window.
fn move_window(window: &mut Window, map: Map<'_>) {
    window.time = map(INPUT, window.time);
    move_columns(&mut window.partition, INPUT, map);
    if let Some(attached) = &mut window.attached {
        move_attached(attached, INPUT, map);
    }
}

/// Moves the columns of an assigned window.
fn move_attached(window: &mut AttachedWindow, reads: Reads, map: Map<'_>) {
    window.start = map(reads, window.start);
    window.end = map(reads, window.end);
}

/// Moves the columns of aggregates.
fn move_calls(calls: &mut [AggregateCall], map: Map<'_>) {
    for call in calls {
        call.argument = call.argument.map(|column| map(INPUT, column));
        move_columns(&mut call.further, INPUT, map);
        call.filter = call.filter.map(|column| map(INPUT, column));
    }
}
