//! The nodes that joins end in.
//!
//! Place in the flow: two relations and the conditions between them become a regular join, a join of windows or a join of
//! intervals. Invariant: the columns of the left base keep their places in the result, so that what was bound over it stays valid.

use super::interval::{Bounds, interval, is_time_equality};
use super::join_keys::equality;
use super::over::exchange;
use super::relation::{Draft, Field, PlanBuilder, Relation, Using, is_volatile};
use super::select_items::uniquify;
use super::traits::{Traits, WindowColumns};
use crate::error::{Error, Result, Span};
use crate::plan::{
    AttachedWindow, ChangelogMode, Column, Exchange, Input, IntervalJoin, JoinKind, NodeId,
    Operator, TimeDomain, WindowJoin,
};
use crate::sql::expr::{Expr, ExprKind};
use crate::sql::functions::resolve;

/// What a join tests.
#[derive(Debug, Default)]
struct Conditions {
    /// Keys over the left base.
    left_keys: Vec<Expr>,
    /// Keys over the right base.
    right_keys: Vec<Expr>,
    /// For each key, whether NULL equals nothing.
    filter_nulls: Vec<bool>,
    /// Conditions on the left base that can be tested before.
    left: Vec<Expr>,
    /// Conditions on the right base that can be tested before.
    right: Vec<Expr>,
    /// The rest, over the columns of both.
    residual: Vec<Expr>,
}

/// A join whose inputs are nodes.
#[derive(Debug)]
pub(super) struct KeyedJoin {
    /// Which rows are emitted.
    pub(super) kind: JoinKind,
    /// Emits the left rows.
    pub(super) left: NodeId,
    /// Emits the right rows.
    pub(super) right: NodeId,
    /// Key columns of the left input.
    pub(super) left_keys: Vec<usize>,
    /// Key columns of the right input.
    pub(super) right_keys: Vec<usize>,
    /// For each key, whether NULL equals nothing.
    pub(super) filter_nulls: Vec<bool>,
    /// The rest of the condition, over the columns of both.
    pub(super) residual: Vec<Expr>,
}

impl PlanBuilder {
    /// Joins two relations by conditions over the columns of the left base, then those of the right one.
    ///
    /// The fields are those of both; of the left one alone for semi and anti joins.
    pub(super) fn join_relations(
        &mut self,
        kind: JoinKind,
        (left, right): (Relation, Relation),
        conditions: Vec<Expr>,
    ) -> Result<Relation> {
        let ttls = self.state_ttls.of_inputs(&[&left, &right]);
        let (joined, left, right) = self.keyed_join(kind, (left, right), conditions)?;
        let width = self.node(joined.left).schema.len();
        let base = self.join_node(joined, ttls)?;
        let fields = self.joined_fields((&left, &right), (kind, width), base);
        let mut correlated = left.correlated;
        if !right.correlated.is_empty() {
            if kind != JoinKind::Inner {
                return Err(Error::unsupported(
                    "columns of an enclosing query on this side of a join",
                ));
            }
            let shifted = right
                .correlated
                .iter()
                .map(|c| c.map_columns(&|i| width + i));
            correlated.extend(shifted);
        }
        Ok(Relation {
            base,
            window: None,
            condition: None,
            correlated,
            zeros: left.zeros,
            fields,
        })
    }

    /// The fields of a join, over its columns.
    fn joined_fields(
        &self,
        (left, right): (&Relation, &Relation),
        (kind, width): (JoinKind, usize),
        base: NodeId,
    ) -> Vec<Field> {
        let schema = &self.node(base).schema;
        let retyped = |expr: Expr, is_null: bool| {
            if !is_null {
                return expr;
            }
            expr.replace_columns(&|column, index| Expr {
                ty: schema[index].ty.clone(),
                ..column.clone()
            })
        };
        let of_left = left.fields.iter().map(|field| Field {
            expr: retyped(field.expr.clone(), kind.nulls_left()),
            ..field.clone()
        });
        let shift = |expr: &Expr| expr.map_columns(&|index| width + index);
        let of_right = right.fields.iter().map(|field| Field {
            expr: retyped(shift(&field.expr), kind.nulls_right()),
            ..field.clone()
        });
        if kind.is_left_only() {
            of_left.collect()
        } else {
            of_left.chain(of_right).collect()
        }
    }

    /// Computes the keys of a join and applies what can be tested before it.
    pub(super) fn keyed_join(
        &mut self,
        kind: JoinKind,
        (mut left, mut right): (Relation, Relation),
        conditions: Vec<Expr>,
    ) -> Result<(KeyedJoin, Relation, Relation)> {
        self.apply_window(&mut left);
        self.apply_window(&mut right);
        let width = self.width(&left);
        let found = self.sort_conditions(kind, (&left, &right), conditions);
        let own = left.condition.take();
        left.condition = all(own.into_iter().chain(found.left).collect())?;
        let own = right.condition.take();
        right.condition = all(own.into_iter().chain(found.right).collect())?;
        self.recognize_rank(&mut left)?;
        self.recognize_rank(&mut right)?;
        let (left, left_keys) = self.extend(left, &found.left_keys);
        let (right, right_keys) = self.extend(right, &found.right_keys);
        let offset = self.width(&left);
        let over_nodes = |expr: &Expr| {
            expr.map_columns(&|index| {
                if index < width {
                    index
                } else {
                    index - width + offset
                }
            })
        };
        let joined = KeyedJoin {
            kind,
            left: left.base,
            right: right.base,
            left_keys,
            right_keys,
            filter_nulls: found.filter_nulls,
            residual: found.residual.iter().map(over_nodes).collect(),
        };
        Ok((joined, left, right))
    }

    /// Sorts conditions by what a join can do with them.
    fn sort_conditions(
        &self,
        kind: JoinKind,
        (left, right): (&Relation, &Relation),
        conditions: Vec<Expr>,
    ) -> Conditions {
        let width = self.width(left);
        let (of_left, of_right) = (self.traits_of(left.base), self.traits_of(right.base));
        let domain = |column: usize| match column.checked_sub(width) {
            None => of_left.domain(column),
            Some(column) => of_right.domain(column),
        };
        // An equality of times bounds an interval, where there may be one.
        let is_append =
            |relation: &Relation| self.node(relation.base).changelog == ChangelogMode::Append;
        let may_be_interval = !kind.is_left_only() && is_append(left) && is_append(right);
        let (times, others) = conjuncts(conditions)
            .into_iter()
            .partition(|conjunct| may_be_interval && is_time_equality(conjunct, width, &domain));
        let mut found = sort_conditions(kind, others, width);
        found.residual.extend::<Vec<Expr>>(times);
        found
    }

    /// The columns that a join emits, named differently.
    pub(super) fn joined_schema(&self, joined: &KeyedJoin) -> Vec<Column> {
        let kind = joined.kind;
        let of_left = self.node(joined.left).schema.iter().map(|column| Column {
            ty: column
                .ty
                .with_nullable(column.ty.nullable || kind.nulls_left()),
            ..column.clone()
        });
        if kind.is_left_only() {
            return of_left.collect();
        }
        let of_right = self.node(joined.right).schema.iter().map(|column| Column {
            ty: column
                .ty
                .with_nullable(column.ty.nullable || kind.nulls_right()),
            ..column.clone()
        });
        let mut fields: Vec<Field> = of_left
            .chain(of_right)
            .map(|column| Field {
                name: column.name,
                qualifier: None,
                expr: Expr::column(0, column.ty),
                hidden: false,
                using: Using::No,
            })
            .collect();
        uniquify(&mut fields);
        let column = |field: Field| Column {
            name: field.name,
            ty: field.expr.ty,
        };
        fields.into_iter().map(column).collect()
    }

    /// Adds a join: of windows or intervals when it is one, else a regular one, which alone keeps state for as long as hints say.
    fn join_node(&mut self, joined: KeyedJoin, ttls_ms: Vec<Option<u64>>) -> Result<NodeId> {
        if let Some(draft) = self.window_join(&joined)? {
            return Ok(self.add(draft));
        }
        if let Some(draft) = self.interval_join(&joined)? {
            return Ok(self.add(draft));
        }
        let draft = self.regular_join(joined)?;
        let node = self.add(draft);
        self.set_state_ttls(node, ttls_ms);
        Ok(node)
    }

    /// A join for ever.
    ///
    /// # Source
    /// Flink: event-time attributes become plain timestamps in a regular join.
    pub(super) fn regular_join(&self, joined: KeyedJoin) -> Result<Draft> {
        let (left, right) = (self.traits_of(joined.left), self.traits_of(joined.right));
        let width = self.node(joined.left).schema.len();
        let mut traits = if joined.kind.is_left_only() {
            left.clone()
        } else {
            left.beside(right, width)
        };
        traits.rowtimes.clear();
        traits.window = None;
        traits.keys = self.join_keys(&joined);
        let filter_nulls = if joined.filter_nulls.iter().all(|filters| *filters) {
            Vec::new()
        } else {
            joined.filter_nulls.clone()
        };
        Ok(Draft {
            schema: self.joined_schema(&joined),
            inputs: Self::joined_inputs(&joined),
            changelog: self.joined_changelog(&joined)?,
            traits,
            operator: Operator::Join {
                kind: joined.kind,
                left_keys: joined.left_keys,
                right_keys: joined.right_keys,
                residual: all(joined.residual)?,
                filter_nulls,
            },
        })
    }

    /// The edges of a join.
    pub(super) fn joined_inputs(joined: &KeyedJoin) -> Vec<Input> {
        let exchanged = |node: NodeId, keys: &[usize]| Input {
            node,
            exchange: if keys.is_empty() {
                Exchange::Single
            } else {
                Exchange::Hash(keys.to_vec())
            },
        };
        vec![
            exchanged(joined.left, &joined.left_keys),
            exchanged(joined.right, &joined.right_keys),
        ]
    }

    /// The kinds of change that a join of two inputs emits.
    fn joined_changelog(&self, joined: &KeyedJoin) -> Result<ChangelogMode> {
        use ChangelogMode::{Append, Upsert};
        let modes = [joined.left, joined.right].map(|node| self.node(node).changelog);
        if modes.contains(&Upsert) {
            return Err(Error::unsupported("a join over an upsert changelog"));
        }
        let is_append =
            modes == [Append, Append] && matches!(joined.kind, JoinKind::Inner | JoinKind::Semi);
        Ok(if is_append {
            Append
        } else {
            ChangelogMode::Retract
        })
    }

    /// A join of rows that are in the same window, when the condition says so.
    ///
    /// # Source
    /// Flink: both sides have windows of the same shape, and the condition has the equality of their starts and of their ends.
    fn window_join(&self, joined: &KeyedJoin) -> Result<Option<Draft>> {
        let (left, right) = (self.traits_of(joined.left), self.traits_of(joined.right));
        let (Some(left_window), Some(right_window)) = (&left.window, &right.window) else {
            return Ok(None);
        };
        let pairs: Vec<(usize, usize)> = joined
            .left_keys
            .iter()
            .copied()
            .zip(joined.right_keys.iter().copied())
            .collect();
        let Some((start, end)) = window_equalities(left_window, right_window, &pairs) else {
            return Ok(None);
        };
        let is_append = [joined.left, joined.right]
            .iter()
            .all(|node| self.node(*node).changelog == ChangelogMode::Append);
        if !is_append {
            return Ok(None);
        }
        if left_window.domain == TimeDomain::Processing {
            return Err(Error::unsupported(
                "Processing time Window Join is not supported yet",
            ));
        }
        let window = |side: fn(&(usize, usize)) -> usize| AttachedWindow {
            start: side(&pairs[start]),
            end: side(&pairs[end]),
        };
        let rest = |index: &usize| *index != start && *index != end;
        let indexes: Vec<usize> = (0..pairs.len()).filter(rest).collect();
        let width = self.node(joined.left).schema.len();
        let traits = window_join_traits(joined.kind, left, right, width);
        let join = WindowJoin {
            kind: joined.kind,
            left_window: window(|pair| pair.0),
            right_window: window(|pair| pair.1),
            left_keys: indexes.iter().map(|index| pairs[*index].0).collect(),
            right_keys: indexes.iter().map(|index| pairs[*index].1).collect(),
            filter_nulls: indexes
                .iter()
                .map(|index| joined.filter_nulls[*index])
                .collect(),
            residual: all(joined.residual.clone())?,
            time_zone: left_window.stored_zone(),
        };
        let edge = |node: NodeId, keys: &[usize]| Input {
            node,
            exchange: exchange(keys),
        };
        Ok(Some(Draft {
            schema: self.joined_schema(joined),
            inputs: vec![
                edge(joined.left, &join.left_keys),
                edge(joined.right, &join.right_keys),
            ],
            changelog: ChangelogMode::Append,
            traits,
            operator: Operator::WindowJoin(join),
        }))
    }

    /// A join of rows whose times are near each other, when the condition bounds their difference.
    ///
    /// # Source
    /// Flink: both inputs are append-only, and the time attributes of both follow the same clock; they stay time attributes.
    fn interval_join(&self, joined: &KeyedJoin) -> Result<Option<Draft>> {
        let (left, right) = (self.traits_of(joined.left), self.traits_of(joined.right));
        let is_append = [joined.left, joined.right]
            .iter()
            .all(|node| self.node(*node).changelog == ChangelogMode::Append);
        if !is_append || joined.kind.is_left_only() {
            return Ok(None);
        }
        let width = self.node(joined.left).schema.len();
        let domain = |column: usize| match column.checked_sub(width) {
            None => left.domain(column),
            Some(column) => right.domain(column),
        };
        let Some((bounds, residual)) = interval(&joined.residual, width, &domain) else {
            return Ok(None);
        };
        let Bounds {
            left: left_time,
            right: right_time,
            lower_ms,
            upper_ms,
        } = bounds;
        let Some(clock) = left.domain(left_time) else {
            return Ok(None);
        };
        let traits = left.beside(right, width);
        Ok(Some(Draft {
            schema: self.joined_schema(joined),
            inputs: Self::joined_inputs(joined),
            changelog: ChangelogMode::Append,
            traits,
            operator: Operator::IntervalJoin(IntervalJoin {
                kind: joined.kind,
                left_keys: joined.left_keys.clone(),
                right_keys: joined.right_keys.clone(),
                filter_nulls: joined.filter_nulls.clone(),
                left_time,
                right_time,
                domain: clock,
                lower_ms,
                upper_ms,
                residual: all(residual)?,
            }),
        }))
    }

    /// The sets of columns that identify a row of a join.
    ///
    /// # Source
    /// Flink: `FlinkRelMdUpsertKeys` for joins: a side's upsert key counts only if it contains the join key, since rows of one key
    /// would else come out of several subtasks; with one match at most on the other side it identifies the result. A side that is
    /// filled with NULLs does not identify alone.
    fn join_keys(&self, joined: &KeyedJoin) -> Vec<Vec<usize>> {
        let (left, right) = (self.traits_of(joined.left), self.traits_of(joined.right));
        let kind = joined.kind;
        let own = |traits: &Traits, keys: &[usize]| -> Vec<Vec<usize>> {
            let holds = |key: &&Vec<usize>| keys.iter().all(|column| key.contains(column));
            traits.keys.iter().filter(holds).cloned().collect()
        };
        let left_own = own(left, &joined.left_keys);
        let right_own = own(right, &joined.right_keys);
        if kind.is_left_only() {
            return left_own;
        }
        let width = self.node(joined.left).schema.len();
        let shifted = |key: &Vec<usize>| -> Vec<usize> { key.iter().map(|c| width + c).collect() };
        let mut traits = Traits::default();
        if right.is_unique(&joined.right_keys) && !kind.nulls_left() {
            for key in &left_own {
                traits.add_key(key.clone());
            }
        }
        if left.is_unique(&joined.left_keys) && !kind.nulls_right() {
            for key in &right_own {
                traits.add_key(shifted(key));
            }
        }
        if kind == JoinKind::Inner || kind == JoinKind::Left || kind == JoinKind::Right {
            for left_key in &left_own {
                for right_key in &right_own {
                    let mut both = left_key.clone();
                    both.extend(shifted(right_key));
                    traits.add_key(both);
                }
            }
        }
        traits.keys
    }
}

/// Sorts the conditions of a join by what they become.
fn sort_conditions(kind: JoinKind, conjuncts: Vec<Expr>, width: usize) -> Conditions {
    let mut found = Conditions::default();
    for conjunct in conjuncts {
        if conjunct.is_true() {
            continue;
        }
        let columns = conjunct.columns();
        let is_left = !columns.is_empty() && columns.iter().all(|column| *column < width);
        let is_right = !columns.is_empty() && columns.iter().all(|column| *column >= width);
        if let Some((left, right, filters)) = equality(&conjunct, width) {
            found.left_keys.push(left);
            found
                .right_keys
                .push(right.map_columns(&|index| index - width));
            found.filter_nulls.push(filters);
        } else if is_volatile(&conjunct) {
            found.residual.push(conjunct);
        } else if is_left && matches!(kind, JoinKind::Inner | JoinKind::Right | JoinKind::Semi) {
            found.left.push(conjunct);
        } else if is_right && !matches!(kind, JoinKind::Right | JoinKind::Full) {
            found
                .right
                .push(conjunct.map_columns(&|index| index - width));
        } else {
            found.residual.push(conjunct);
        }
    }
    found
}

/// Takes conditions apart at their ANDs.
fn conjuncts(conditions: Vec<Expr>) -> Vec<Expr> {
    let mut conjuncts = Vec::new();
    for condition in conditions {
        split(condition, &mut conjuncts);
    }
    conjuncts
}

/// Takes a condition apart at its ANDs.
pub(super) fn split(condition: Expr, conjuncts: &mut Vec<Expr>) {
    match condition.kind {
        ExprKind::Call { function, args } if function == "AND" => {
            for arg in args {
                split(arg, conjuncts);
            }
        }
        _ => conjuncts.push(condition),
    }
}

/// Conditions that must all be TRUE, as one.
pub(super) fn all(mut conditions: Vec<Expr>) -> Result<Option<Expr>> {
    if conditions.len() < 2 {
        return Ok(conditions.pop());
    }
    let span = conditions.iter().fold(Span::default(), |span, condition| {
        span.union(condition.span)
    });
    resolve("AND", conditions, span).map(Some)
}

/// Which of the equalities of a join are those of the starts and of the ends of windows of one shape.
fn window_equalities(
    left: &WindowColumns,
    right: &WindowColumns,
    pairs: &[(usize, usize)],
) -> Option<(usize, usize)> {
    let is_same =
        left.kind == right.kind && left.domain == right.domain && left.time_zone == right.time_zone;
    let starts = |(l, r): &(usize, usize)| left.starts.contains(l) && right.starts.contains(r);
    let ends = |(l, r): &(usize, usize)| left.ends.contains(l) && right.ends.contains(r);
    let start = pairs.iter().position(starts)?;
    let end = pairs.iter().position(ends)?;
    is_same.then_some((start, end))
}

/// What is known of the columns of a join of windows. Those that are NULL in rows without a match hold no window.
fn window_join_traits(kind: JoinKind, left: &Traits, right: &Traits, width: usize) -> Traits {
    let shifted = |column: usize| vec![width + column];
    let of_right = || right.window.as_ref()?.mapped(&shifted);
    let of_left = || left.window.clone();
    let window = match kind {
        JoinKind::Semi | JoinKind::Anti | JoinKind::Left => of_left(),
        JoinKind::Right => of_right(),
        JoinKind::Full => None,
        JoinKind::Inner => of_left().zip(of_right()).map(|(mut all, right)| {
            all.starts.extend(right.starts);
            all.ends.extend(right.ends);
            all.times.extend(right.times);
            all
        }),
    };
    let traits = if kind.is_left_only() {
        left.clone()
    } else {
        left.beside(right, width)
    };
    Traits {
        window,
        keys: Vec::new(),
        ..traits
    }
}
