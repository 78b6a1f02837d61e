//! Aggregates over the rows around each row.
//!
//! Place in the flow: an expression with OVER is a column that is pending until its clause is bound; then one node computes all
//! calls of the same window. Invariant: ranks are computed last, so that a condition on one can make a Top-N of it.

use sqlparser::ast::{
    Expr as Ast, Function, OrderByExpr, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowSpec, WindowType,
};

use super::aggregate_call::{Called, bind_call};
use super::call::function_name;
use super::expression::{ExprBinder, place};
use super::relation::{Draft, PlanBuilder, Relation};
use super::traits::Traits;
use crate::error::{Error, Result, Span};
use crate::plan::{
    AggregateCall, AggregateFunction, ChangelogMode, Column, Exchange, Frame, FrameBound,
    FrameUnit, Input, Node, NodeId, Operator, OverAggregate, SortField,
};
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::types::FlinkType;

/// A column of an order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OrderKey {
    /// Its value.
    pub(super) expr: Expr,
    /// `DESC`.
    pub(super) descending: bool,
    /// `NULLS LAST`.
    pub(super) nulls_last: bool,
}

/// The window of a call.
#[derive(Debug, Clone, PartialEq)]
struct OverWindow {
    /// `PARTITION BY`.
    partition: Vec<Expr>,
    /// `ORDER BY`.
    order: Vec<OrderKey>,
    /// Which rows.
    frame: Frame,
}

/// A call with OVER.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OverCall {
    /// The aggregate.
    called: Called,
    /// Its window.
    window: OverWindow,
    /// Type of its result.
    pub(super) ty: FlinkType,
}

impl OverCall {
    /// The expressions it reads.
    pub(super) fn exprs(&self) -> impl Iterator<Item = &Expr> {
        let called = self.called.args.iter().chain(&self.called.filter);
        let order = self.window.order.iter().map(|key| &key.expr);
        called.chain(&self.window.partition).chain(order)
    }

    /// The call with other expressions.
    pub(super) fn map(mut self, map: &dyn Fn(&Expr) -> Result<Expr>) -> Result<Self> {
        let order = self.window.order.iter_mut().map(|key| &mut key.expr);
        let called = self.called.args.iter_mut().chain(&mut self.called.filter);
        for expr in called.chain(&mut self.window.partition).chain(order) {
            *expr = map(expr)?;
        }
        Ok(self)
    }

    /// Whether it numbers rows.
    fn is_rank(&self) -> bool {
        matches!(
            self.called.function,
            AggregateFunction::RowNumber | AggregateFunction::Rank | AggregateFunction::DenseRank
        )
    }

    /// The window without places, for comparisons.
    fn plain_window(&self) -> OverWindow {
        OverWindow {
            partition: self.window.partition.clone(),
            order: self
                .window
                .order
                .iter()
                .map(|key| OrderKey {
                    expr: key.expr.clone(),
                    ..key.clone()
                })
                .collect(),
            frame: self.window.frame,
        }
    }
}

impl ExprBinder<'_> {
    /// Binds a call with OVER.
    pub(super) fn over(&mut self, call: &Function, span: Span) -> Result<Expr> {
        let Some(over) = &call.over else {
            return Err(Error::internal("a call without OVER"));
        };
        let name = function_name(&call.name)?;
        let spec = self.window_spec(over)?;
        let inner = self.reborrow();
        let called = bind_call(call, inner, false, span)?;
        let partition = spec
            .partition_by
            .iter()
            .map(|ast| self.bind(ast))
            .collect::<Result<Vec<Expr>>>()?;
        let order = self.order_keys(&spec.order_by)?;
        let frame = match &spec.window_frame {
            Some(frame) => self.frame(frame)?,
            None => default_frame(called.function, !order.is_empty()),
        };
        if order.is_empty() && called.function != AggregateFunction::RowNumber {
            let needs_order = called.args.is_empty() && called.function != AggregateFunction::Count;
            if needs_order
                || matches!(
                    called.function,
                    AggregateFunction::Lag | AggregateFunction::Lead
                )
            {
                return Err(Error::validation(format!(
                    "{name} requires an ORDER BY in its OVER clause"
                )));
            }
        }
        let call = OverCall {
            ty: called.ty.clone(),
            called,
            window: OverWindow {
                partition,
                order,
                frame,
            },
        };
        match &mut self.context {
            Some(context) => Ok(context.over(call)),
            None => Err(Error::validation(format!(
                "{name} with OVER is not allowed here"
            ))),
        }
    }

    /// The window of a call, also when it has a name.
    fn window_spec(&self, over: &WindowType) -> Result<WindowSpec> {
        let named = |name| match &self.context {
            Some(context) => context.named_window(name),
            None => Err(Error::validation("windows are not allowed here")),
        };
        match over {
            WindowType::NamedWindow(name) => named(name),
            WindowType::WindowSpec(spec) => match &spec.window_name {
                None => Ok(spec.clone()),
                Some(name) => {
                    let base = named(name)?;
                    let own = |list: &Vec<_>, of_base: Vec<_>| {
                        if list.is_empty() {
                            of_base
                        } else {
                            list.clone()
                        }
                    };
                    Ok(WindowSpec {
                        window_name: None,
                        partition_by: if spec.partition_by.is_empty() {
                            base.partition_by
                        } else {
                            spec.partition_by.clone()
                        },
                        order_by: own(&spec.order_by, base.order_by),
                        window_frame: spec.window_frame.clone().or(base.window_frame),
                    })
                }
            },
        }
    }

    /// Binds the columns of an ORDER BY.
    pub(super) fn order_keys(&mut self, order: &[OrderByExpr]) -> Result<Vec<OrderKey>> {
        order
            .iter()
            .map(|by| {
                let expr = self.bind(&by.expr)?;
                order_key(by, expr)
            })
            .collect()
    }

    /// Binds `ROWS` and `RANGE`.
    fn frame(&mut self, frame: &WindowFrame) -> Result<Frame> {
        let unit = match frame.units {
            WindowFrameUnits::Rows => FrameUnit::Rows,
            WindowFrameUnits::Range => FrameUnit::Range,
            WindowFrameUnits::Groups => {
                return Err(Error::syntax("Flink SQL has no GROUPS in OVER"));
            }
        };
        let start = self.frame_bound(&frame.start_bound, unit)?;
        let end = match &frame.end_bound {
            Some(end) => self.frame_bound(end, unit)?,
            None => FrameBound::CurrentRow,
        };
        Ok(Frame { unit, start, end })
    }

    /// Binds a bound of a frame.
    fn frame_bound(&mut self, bound: &WindowFrameBound, unit: FrameUnit) -> Result<FrameBound> {
        Ok(match bound {
            WindowFrameBound::CurrentRow => FrameBound::CurrentRow,
            WindowFrameBound::Preceding(None) => FrameBound::UnboundedPreceding,
            WindowFrameBound::Following(None) => FrameBound::UnboundedFollowing,
            WindowFrameBound::Preceding(Some(ast)) => {
                FrameBound::Preceding(self.distance(ast, unit)?)
            }
            WindowFrameBound::Following(Some(ast)) => {
                FrameBound::Following(self.distance(ast, unit)?)
            }
        })
    }

    /// The constant of a bound: rows or milliseconds.
    fn distance(&mut self, ast: &Ast, unit: FrameUnit) -> Result<i64> {
        let bound = self.bind(ast)?;
        match (&bound.kind, unit) {
            (ExprKind::Literal(Literal::Integer(rows)), FrameUnit::Rows) if *rows >= 0 => Ok(*rows),
            (ExprKind::Literal(Literal::Millis(millis)), FrameUnit::Range) => Ok(*millis),
            (ExprKind::Literal(Literal::Integer(value)), FrameUnit::Range) if *value >= 0 => {
                Ok(*value)
            }
            _ => Err(Error::type_mismatch(
                "a bound of OVER is a constant: of rows a whole number, of a range an interval",
            )
            .with_span(place(ast))),
        }
    }
}

/// A column of an order with Flink's defaults: NULL is the smallest value.
pub(super) fn order_key(by: &OrderByExpr, expr: Expr) -> Result<OrderKey> {
    use sqlparser::ast::OrderBySort;
    if by.with_fill.is_some() {
        return Err(Error::syntax("Flink SQL has no WITH FILL"));
    }
    let descending = match &by.options.sort {
        None | Some(OrderBySort::Asc) => false,
        Some(OrderBySort::Desc) => true,
        Some(OrderBySort::Using(_)) => {
            return Err(Error::syntax("Flink SQL has no ORDER BY USING"));
        }
    };
    let nulls_last = by.options.nulls_first.map_or(descending, |first| !first);
    Ok(OrderKey {
        expr,
        descending,
        nulls_last,
    })
}

/// The frame of a call that names none.
///
/// # Source
/// SQL: up to the row and its peers; without an order the whole partition. Flink 2.3: `ROW_NUMBER` counts rows, `RANK`, `LAG` and the others
/// see peers at once.
fn default_frame(function: AggregateFunction, has_order: bool) -> Frame {
    use AggregateFunction as F;
    let unit = match function {
        F::RowNumber => FrameUnit::Rows,
        _ => FrameUnit::Range,
    };
    let end = match function {
        F::Lead | F::Ntile | F::PercentRank | F::CumeDist => FrameBound::UnboundedFollowing,
        _ if !has_order && unit == FrameUnit::Range => FrameBound::UnboundedFollowing,
        _ => FrameBound::CurrentRow,
    };
    Frame {
        unit,
        start: FrameBound::UnboundedPreceding,
        end,
    }
}

impl PlanBuilder {
    /// Adds a node for each window of the calls, ranks last, and notes the column of each call.
    pub(super) fn over_aggregates(
        &mut self,
        mut relation: Relation,
        calls: Vec<(usize, OverCall)>,
        values: &mut [Option<Expr>],
    ) -> Result<Relation> {
        if !calls.is_empty() {
            relation.refuse_correlated("OVER")?;
        }
        let (ranks, mut others): (Vec<_>, Vec<_>) =
            calls.into_iter().partition(|(_, call)| call.is_rank());
        others.extend(ranks);
        let mut rest = others;
        while let Some((_, first)) = rest.first() {
            let (window, is_rank) = (first.plain_window(), first.is_rank());
            let (here, later): (Vec<_>, Vec<_>) = rest
                .into_iter()
                .partition(|(_, call)| call.is_rank() == is_rank && call.plain_window() == window);
            if later.iter().any(|(_, call)| call.plain_window() != window) {
                return Err(Error::validation(
                    "all OVER calls of a SELECT must have the same window (partition, order and frame); compute the others in a \
                     sub-query or view",
                ));
            }
            rest = later;
            relation = self.over_aggregate(relation, &here, values);
        }
        Ok(relation)
    }

    /// Adds a node for calls of one window.
    fn over_aggregate(
        &mut self,
        relation: Relation,
        calls: &[(usize, OverCall)],
        values: &mut [Option<Expr>],
    ) -> Relation {
        let window = &calls[0].1.window;
        let mut exprs: Vec<Expr> = window.partition.clone();
        exprs.extend(window.order.iter().map(|key| key.expr.clone()));
        for (_, call) in calls {
            exprs.extend(call.called.args.iter().chain(&call.called.filter).cloned());
        }
        let (mut relation, places) = self.extend(relation, &exprs);
        let mut places = places.into_iter();
        let mut take = |count: usize| places.by_ref().take(count).collect::<Vec<usize>>();
        let mut partition = take(window.partition.len());
        // A key that is there twice groups no finer.
        let mut seen = std::collections::BTreeSet::new();
        partition.retain(|column| seen.insert(*column));
        let ordered = take(window.order.len());
        let order: Vec<SortField> = ordered
            .iter()
            .zip(&window.order)
            .map(|(column, key)| SortField {
                column: *column,
                descending: key.descending,
                nulls_last: key.nulls_last,
            })
            .collect();
        let mut aggregates = Vec::with_capacity(calls.len());
        for (_, call) in calls {
            let mut args = take(call.called.args.len()).into_iter();
            aggregates.push(AggregateCall {
                function: call.called.function,
                argument: args.next(),
                further: args.collect(),
                filter: take(usize::from(call.called.filter.is_some()))
                    .first()
                    .copied(),
                distinct: call.called.distinct,
                ty: call.ty.clone(),
            });
        }
        let base = self.node(relation.base);
        let width = base.schema.len();
        let mut schema = base.schema.clone();
        for (index, (number, call)) in calls.iter().enumerate() {
            schema.push(Column {
                name: format!("w{index}$o{index}"),
                ty: call.ty.clone(),
            });
            values[*number] = Some(Expr::column(width + index, call.ty.clone()));
        }
        let traits = self.exchanged_traits(relation.base, &partition);
        let domain = order.first().and_then(|field| traits.domain(field.column));
        let draft = Draft {
            inputs: vec![Input {
                node: relation.base,
                exchange: exchange(&partition),
            }],
            changelog: match base.changelog {
                ChangelogMode::Append if domain.is_some() => ChangelogMode::Append,
                _ => ChangelogMode::Retract,
            },
            schema,
            traits,
            operator: Operator::OverAggregate(OverAggregate {
                partition,
                order,
                frame: window.frame,
                domain,
                aggregates,
            }),
        };
        relation.base = self.add(draft);
        relation
    }

    /// What is known of rows behind an exchange by these columns.
    ///
    /// # Source
    /// Flink: `FlinkRelMdUpsertKeys` for OVER, ranks and aggregations: of rows that change a key counts only if it contains the columns of the
    /// exchange, since its rows would else come out of several subtasks.
    pub(super) fn exchanged_traits(&self, input: NodeId, partition: &[usize]) -> Traits {
        let mut traits = self.traits_of(input).clone();
        if self.node(input).changelog != ChangelogMode::Append {
            let is_in = |key: &Vec<usize>| partition.iter().all(|column| key.contains(column));
            traits.keys.retain(is_in);
        }
        traits
    }
}

/// Refuses what Flink refuses of the calls that became no Top-N.
///
/// # Errors
/// `Validation` with the reason.
///
/// # Source
/// Flink 2.3, `StreamExecOverAggregate`.
pub(super) fn check(nodes: &[Node]) -> Result<()> {
    for node in nodes {
        let Operator::OverAggregate(over) = &node.operator else {
            continue;
        };
        let input = node.inputs.first().map(|input| input.node);
        let input = nodes.iter().find(|node| Some(node.id) == input);
        let is_updating = input.is_some_and(|input| input.changelog != ChangelogMode::Append);
        if let Some(reason) = refused(over, is_updating) {
            return Err(Error::validation(reason));
        }
    }
    Ok(())
}

/// Why a stream cannot have this OVER.
fn refused(over: &OverAggregate, is_updating: bool) -> Option<String> {
    use AggregateFunction as F;
    let name = |function| match function {
        F::Lead => Some("LEAD"),
        F::Ntile => Some("NTILE"),
        F::PercentRank => Some("PERCENT_RANK"),
        F::CumeDist => Some("CUME_DIST"),
        _ => None,
    };
    let of_bounded = over.aggregates.iter().find_map(|call| name(call.function));
    let is_bounded = matches!(over.frame.start, FrameBound::Preceding(_));
    let starts_before = is_bounded || over.frame.start == FrameBound::UnboundedPreceding;
    let reason = match over.order.as_slice() {
        _ if of_bounded.is_some() => {
            let name = of_bounded.unwrap_or_default();
            return Some(format!(
                "{name} with OVER needs the rows that follow, which a stream does not have; use LAG, RANK or ROW_NUMBER"
            ));
        }
        [] | [_, _, ..] => {
            "OVER in a stream orders by exactly one column; name one, a time attribute if there is one"
        }
        [field] if field.descending => {
            "OVER in a stream orders in ascending direction only; leave out DESC, or bound ROW_NUMBER with WHERE to make a Top-N of it"
        }
        [_] if over.frame.end != FrameBound::CurrentRow || !starts_before => {
            "a frame of OVER in a stream reaches from PRECEDING to CURRENT ROW; FOLLOWING and other bounds are not supported"
        }
        [_] if over.domain.is_none() && is_bounded => {
            "a bounded frame of OVER in a stream needs an order by a time attribute; order by one, or use UNBOUNDED PRECEDING"
        }
        [_] if over.domain.is_some() && is_updating => {
            "OVER in the order of a time attribute does not take an updating input; order by a column that is none"
        }
        [_] => return None,
    };
    Some(reason.to_owned())
}

/// How rows of the same key reach the same subtask.
pub(super) fn exchange(keys: &[usize]) -> Exchange {
    if keys.is_empty() {
        Exchange::Single
    } else {
        Exchange::Hash(keys.to_vec())
    }
}
