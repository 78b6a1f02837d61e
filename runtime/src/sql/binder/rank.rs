//! Top-N and deduplication: a condition on the number that a row has among those of its key.
//!
//! Place in the flow: a condition on rows that a rank was computed for turns that node into one that keeps only the rows asked
//! for. Invariant: the columns keep their places, and a condition that is not taken stays.
//!
//! # Source
//! Flink: Top-N is `WHERE rownum <= N` over `ROW_NUMBER() OVER (PARTITION BY ... ORDER BY ...)`; it is a deduplication when only
//! the first row is kept, in the order of a time attribute; per window when the windows are among the keys.

use std::collections::BTreeSet;

use super::join_node::{all, split};
use super::literal;
use super::over::exchange;
use super::relation::{Draft, PlanBuilder, Relation};
use super::traits::{Traits, WindowColumns};
use crate::error::{Error, Result};
use crate::plan::{
    AggregateFunction, AttachedWindow, ChangelogMode, Column, Deduplicate, Input, NodeId, Operator,
    OverAggregate, Rank, RankFunction, RankRange, TimeDomain, WindowDeduplicate, WindowRank,
};
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::types::TypeKind;

/// What conditions say of the rank.
#[derive(Debug)]
struct Bounds {
    /// Which ranks.
    range: RankRange,
    /// The conditions that say something else.
    rest: Vec<Expr>,
}

/// A rank that was computed for all rows.
#[derive(Debug)]
struct Ranked {
    /// The node.
    node: NodeId,
    /// Projections between the node and the relation, the nearest to the relation first.
    calcs: Vec<NodeId>,
    /// The function.
    function: RankFunction,
    /// The column of the rank in the relation's base.
    column: usize,
}

impl PlanBuilder {
    /// Turns a rank that the condition of a relation bounds into a Top-N or a deduplication.
    pub(super) fn recognize_rank(&mut self, relation: &mut Relation) -> Result<()> {
        if relation.window.is_some() {
            return Ok(());
        }
        let Some(condition) = &relation.condition else {
            return Ok(());
        };
        let Some(ranked) = self.ranked(relation.base, condition) else {
            return Ok(());
        };
        let Operator::OverAggregate(over) = self.node(ranked.node).operator.clone() else {
            return Ok(());
        };
        let of_input = |column: usize| self.input_column(relation.base, &ranked, column);
        let Some(bounds) = bounds(condition, ranked.column, &of_input)? else {
            return Ok(());
        };
        relation.condition = all(bounds.rest)?;
        let mut base = self.top(&ranked, &over, bounds.range)?;
        for calc in ranked.calcs.iter().rev() {
            let node = self.node(*calc).clone();
            if let Operator::Calc { projections, .. } = node.operator {
                base = self.calc(base, None, projections, node.schema);
            }
        }
        relation.base = base;
        Ok(())
    }

    /// The rank below a node that a condition reads.
    fn ranked(&self, from: NodeId, condition: &Expr) -> Option<Ranked> {
        let mut calcs = Vec::new();
        let mut at = from;
        // For each column of the relation's base, the column of the present node that it is.
        let width = self.node(from).schema.len();
        let mut columns: Vec<Option<usize>> = (0..width).map(Some).collect();
        loop {
            let node = self.node(at);
            match &node.operator {
                Operator::Calc {
                    condition: None,
                    projections,
                } => {
                    for column in &mut columns {
                        *column = column.and_then(|index| projections[index].as_column());
                    }
                    calcs.push(at);
                    at = node.inputs[0].node;
                }
                Operator::OverAggregate(over) => {
                    let [call] = over.aggregates.as_slice() else {
                        return None;
                    };
                    let function = match call.function {
                        AggregateFunction::RowNumber => RankFunction::RowNumber,
                        AggregateFunction::Rank => RankFunction::Rank,
                        AggregateFunction::DenseRank => RankFunction::DenseRank,
                        _ => return None,
                    };
                    let number = node.schema.len() - 1;
                    let column = columns.iter().position(|c| *c == Some(number))?;
                    return condition.columns().contains(&column).then_some(Ranked {
                        node: at,
                        calcs,
                        function,
                        column,
                    });
                }
                _ => return None,
            }
        }
    }

    /// The column of the rank's input that a column of the relation's base is.
    fn input_column(&self, from: NodeId, ranked: &Ranked, column: usize) -> Option<usize> {
        let mut column = column;
        let mut at = from;
        for _ in &ranked.calcs {
            let node = self.node(at);
            let Operator::Calc { projections, .. } = &node.operator else {
                return None;
            };
            column = projections.get(column)?.as_column()?;
            at = node.inputs[0].node;
        }
        // The rank is the last column.
        (column + 1 < self.node(ranked.node).schema.len()).then_some(column)
    }

    /// Adds the node that keeps the rows of some ranks; its columns are those of the one that computes all.
    fn top(&mut self, ranked: &Ranked, over: &OverAggregate, range: RankRange) -> Result<NodeId> {
        let node = self.node(ranked.node);
        let input = node.inputs[0].clone();
        let top = Top {
            function: ranked.function,
            range,
            schema: node.schema.clone(),
            changelog: self.node(input.node).changelog,
            traits: self.traits_of(input.node).clone(),
            input,
        };
        let is_first = range == (RankRange::Constant { start: 1, end: 1 });
        let is_append = top.changelog == ChangelogMode::Append;
        let time = match over.order.as_slice() {
            [field] if is_first && is_append && top.function == RankFunction::RowNumber => {
                let domain = top.traits.domain(field.column);
                domain.map(|domain| (field.column, domain, field.descending))
            }
            _ => None,
        };
        Ok(match (top.window(over).filter(|_| is_append), time) {
            (Some(window), time) => self.window_top(top, over, (window, time))?,
            (None, Some(time)) => self.deduplicate(top, over, time),
            (None, None) => self.rank(top, over)?,
        })
    }

    /// Adds the node that keeps the first rows of each window.
    ///
    /// # Source
    /// Flink 2.3, `WindowRank`: what it refuses is refused in its words.
    fn window_top(
        &mut self,
        mut top: Top,
        over: &OverAggregate,
        (window, time): (AttachedWindow, Option<TimeOrder>),
    ) -> Result<NodeId> {
        let windows = top.traits.window.as_ref();
        if windows.is_some_and(|windows| windows.domain == TimeDomain::Processing) {
            return Err(Error::unsupported(
                "Processing time Window TopN is not supported yet",
            ));
        }
        let function = match top.function {
            RankFunction::RowNumber => None,
            RankFunction::Rank => Some("RANK"),
            RankFunction::DenseRank => Some("DENSE_RANK"),
        };
        if let Some(function) = function {
            return Err(Error::unsupported(format!(
                "{function}() function is not supported on Window TopN currently, only ROW_NUMBER() is supported"
            )));
        }
        if let RankRange::Variable { end } = top.range {
            return Err(Error::unsupported(format!(
                "Rank strategy rankEnd={} is not supported on window rank currently",
                top.schema[end].name
            )));
        }
        let time_zone = windows.map_or_else(String::new, WindowColumns::stored_zone);
        let keys: Vec<usize> = over
            .partition
            .iter()
            .copied()
            .filter(|column| *column != window.start && *column != window.end)
            .collect();
        let key = rank_key(over, top.range, top.schema.len() - 1);
        let traits = top.keyed(key);
        top.input.exchange = exchange(&keys);
        if let Some((time, TimeDomain::Event, keep_last)) = time {
            let operator = Operator::WindowDeduplicate(WindowDeduplicate {
                window,
                keys,
                time,
                keep_last,
                time_zone,
            });
            return Ok(self.numbered(operator, top, (ChangelogMode::Append, traits)));
        }
        Ok(self.add(Draft {
            operator: Operator::WindowRank(WindowRank {
                window,
                function: top.function,
                partition: keys,
                order: over.order.clone(),
                range: top.range,
                has_number: true,
                time_zone,
            }),
            inputs: vec![top.input],
            schema: top.schema,
            changelog: ChangelogMode::Append,
            traits,
        }))
    }

    /// Adds the node that keeps the first or last row of each key.
    fn deduplicate(
        &mut self,
        top: Top,
        over: &OverAggregate,
        (time, domain, keep_last): TimeOrder,
    ) -> NodeId {
        let operator = Operator::Deduplicate(Deduplicate {
            keys: over.partition.clone(),
            time,
            domain,
            keep_last,
        });
        // The first row never changes: by event time it is emitted once none can come before it.
        let changelog = if keep_last {
            ChangelogMode::Retract
        } else {
            ChangelogMode::Append
        };
        let traits = top.keyed(over.partition.clone());
        self.numbered(operator, top, (changelog, traits))
    }

    /// Adds the node that keeps the first rows of each key.
    ///
    /// # Source
    /// Flink 2.3: `StreamExecRank` has only `ROW_NUMBER`.
    fn rank(&mut self, top: Top, over: &OverAggregate) -> Result<NodeId> {
        let refused = match top.function {
            RankFunction::RowNumber => None,
            RankFunction::Rank => Some("RANK"),
            RankFunction::DenseRank => Some("DENSE_RANK"),
        };
        if let Some(name) = refused {
            return Err(Error::unsupported(format!(
                "{name}() on streaming table is not supported currently, as in Flink: use ROW_NUMBER()"
            )));
        }
        let mut traits = Traits {
            keys: Vec::new(),
            ..top.traits.clone()
        };
        if top.function == RankFunction::RowNumber {
            traits.add_key(rank_key(over, top.range, top.schema.len() - 1));
        }
        // No key of the input: its row moves from number to number, and may be taken back at one behind being given another.
        Ok(self.add(Draft {
            operator: Operator::Rank(Rank {
                function: top.function,
                partition: over.partition.clone(),
                order: over.order.clone(),
                range: top.range,
                has_number: true,
            }),
            inputs: vec![top.input],
            schema: top.schema,
            changelog: ChangelogMode::Retract,
            traits,
        }))
    }

    /// Adds a node that keeps one row of each key, and a Calc that gives it the number 1.
    fn numbered(
        &mut self,
        operator: Operator,
        top: Top,
        (changelog, traits): (ChangelogMode, Traits),
    ) -> NodeId {
        let own = self.node(top.input.node).schema.clone();
        let mut projections: Vec<Expr> = own
            .iter()
            .enumerate()
            .map(|(index, column)| Expr::column(index, column.ty.clone()))
            .collect();
        projections.push(literal::constant(Literal::Integer(1), TypeKind::BigInt));
        let node = self.add(Draft {
            operator,
            inputs: vec![top.input],
            schema: own,
            changelog,
            traits,
        });
        self.calc(node, None, projections, top.schema)
    }
}

/// A time attribute that rows are ordered by, its clock, and whether the last row comes first.
type TimeOrder = (usize, TimeDomain, bool);

/// What a node that keeps some ranks is made of.
#[derive(Debug)]
struct Top {
    /// The function.
    function: RankFunction,
    /// Which ranks.
    range: RankRange,
    /// The input.
    input: Input,
    /// Columns of the input, then the rank.
    schema: Vec<Column>,
    /// Kinds of change of the input.
    changelog: ChangelogMode,
    /// What is known of the columns of the input.
    traits: Traits,
}

impl Top {
    /// The window among the keys.
    fn window(&self, over: &OverAggregate) -> Option<AttachedWindow> {
        let windows = self.traits.window.as_ref()?;
        let find = |columns: &BTreeSet<usize>| {
            over.partition.iter().copied().find(|c| columns.contains(c))
        };
        Some(AttachedWindow {
            start: find(&windows.starts)?,
            end: find(&windows.ends)?,
        })
    }

    /// What is known of the columns when one row is left of each key.
    fn keyed(&self, key: Vec<usize>) -> Traits {
        let traits = Traits {
            keys: Vec::new(),
            ..self.traits.clone()
        };
        traits.with_key(key)
    }
}

/// The columns that identify a row among the first of each key.
fn rank_key(over: &OverAggregate, range: RankRange, number: usize) -> Vec<usize> {
    let mut key = over.partition.clone();
    if range != (RankRange::Constant { start: 1, end: 1 }) {
        key.push(number);
    }
    key
}

/// What a condition says of the rank in `column`, if it bounds it.
///
/// # Errors
/// `Unsupported` when it has a lower bound and no upper one, as in Flink.
fn bounds(
    condition: &Expr,
    column: usize,
    of_input: &dyn Fn(usize) -> Option<usize>,
) -> Result<Option<Bounds>> {
    let mut conjuncts = Vec::new();
    split(condition.clone(), &mut conjuncts);
    let (mut start, mut end, mut variable) = (None::<i64>, None::<i64>, None);
    let mut rest = Vec::new();
    for conjunct in conjuncts {
        match bound(&conjunct, column, of_input) {
            Some(Bound::Between(low, high)) => {
                start = start.max(Some(low));
                end = end.into_iter().chain(high).min();
            }
            Some(Bound::UpTo(of)) if variable.is_none() => variable = Some((of, conjunct)),
            Some(Bound::UpTo(_)) | None => rest.push(conjunct),
        }
    }
    let range = match (end, variable) {
        (Some(end), variable) => {
            rest.extend(variable.map(|(_, conjunct)| conjunct));
            let start = start.unwrap_or(1).max(1);
            RankRange::Constant { start, end }
        }
        (None, Some((of, _))) if start.is_none() => RankRange::Variable { end: of },
        (None, _) if start.is_some() => {
            return Err(Error::unsupported(
                "rank end is not specified: currently rank only supports Top-N, which means that the rank end must be specified",
            ));
        }
        (None, _) => return Ok(None),
    };
    Ok(Some(Bounds { range, rest }))
}

/// A bound of the rank.
#[derive(Debug)]
enum Bound {
    /// From a rank to another, both inclusive.
    Between(i64, Option<i64>),
    /// To the value of a column of the rank's input.
    UpTo(usize),
}

/// The bound that a condition sets for a column.
fn bound(
    condition: &Expr,
    column: usize,
    of_input: &dyn Fn(usize) -> Option<usize>,
) -> Option<Bound> {
    let ExprKind::Call { function, args } = &condition.kind else {
        return None;
    };
    let is_rank = |expr: &Expr| plain(expr).as_column() == Some(column);
    let (rank, other, operator) = match args.as_slice() {
        [a, low, high] if function == "BETWEEN" && is_rank(a) => {
            return Some(Bound::Between(integer(low)?, Some(integer(high)?)));
        }
        [a, b] if is_rank(a) => (a, b, function.as_str()),
        [a, b] if is_rank(b) => {
            let reversed = match function.as_str() {
                "<" => ">",
                "<=" => ">=",
                ">" => "<",
                ">=" => "<=",
                other => other,
            };
            (b, a, reversed)
        }
        _ => return None,
    };
    debug_assert!(is_rank(rank), "the rank is on the left");
    if let Some(value) = integer(other) {
        return Some(match operator {
            "<=" => Bound::Between(1, Some(value)),
            "<" => Bound::Between(1, Some(value.checked_sub(1)?)),
            ">=" => Bound::Between(value, None),
            ">" => Bound::Between(value.checked_add(1)?, None),
            "=" => Bound::Between(value, Some(value)),
            _ => return None,
        });
    }
    let of = of_input(plain(other).as_column()?)?;
    (operator == "<=" && other.ty.kind == TypeKind::BigInt).then_some(Bound::UpTo(of))
}

/// An expression without casts between whole numbers.
fn plain(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Cast { input, .. } if expr.ty.kind.is_numeric() && input.ty.kind.is_integer() => {
            plain(input)
        }
        _ => expr,
    }
}

/// The value of a whole number that is written out.
fn integer(expr: &Expr) -> Option<i64> {
    match &plain(expr).kind {
        ExprKind::Literal(Literal::Integer(value)) => Some(*value),
        _ => None,
    }
}
