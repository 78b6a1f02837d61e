//! FROM as a whole: its items, and the joins between them.
//!
//! Place in the flow: FROM makes a [`FromScope`] that ON and WHERE are bound over; with their conditions the items become one
//! relation. Invariant: a condition is applied exactly once, as early as its columns are there: to one input before the join, as
//! keys or as the rest of the condition of a join, or above all joins when it gives another value each time.
//!
//! While a scope is bound, its columns are those of all items one behind the other; only joining makes nodes.

use std::collections::BTreeSet;

use sqlparser::ast::{
    Ident, Join as AstJoin, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Spanned,
    TableFactor, TableWithJoins,
};

use super::expression::ExprBinder;
use super::query::QueryBinder;
use super::relation::{Draft, Field, PlanBuilder, Relation, Using, is_volatile, without_spans};
use super::select_items::uniquify;
use crate::error::{Error, Result, Span, unknown_name};
use crate::plan::{ChangelogMode, Column, Exchange, Input, JoinKind, NodeId, Operator};
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::functions::resolve;
use crate::sql::parser::tokens::span_of;
use crate::sql::typing::{MAX_DECIMAL_PRECISION, common_type, convert, exact};
use crate::types::TypeKind;

/// The items of a FROM clause and what they are joined by.
#[derive(Debug, Default)]
pub(super) struct FromScope {
    /// The items in order.
    parts: Vec<Part>,
    /// Columns in scope: of a single item over its base, of several over the columns of all items.
    pub(super) fields: Vec<Field>,
    /// Conditions of ON and USING.
    conditions: Vec<Expr>,
}

/// Some of the items, joined already.
#[derive(Debug)]
struct Part {
    /// Their rows.
    relation: Relation,
    /// Which column of the scope each field of the relation is.
    columns: Vec<usize>,
    /// Where they stand.
    span: Span,
}

/// An input of a join.
#[derive(Debug)]
struct KeyedInput {
    /// Emits its rows.
    node: NodeId,
    /// Its key columns.
    keys: Vec<usize>,
    /// Which column of the scope its first columns are; computed keys follow them.
    columns: Vec<usize>,
}

impl FromScope {
    /// The scope of a single item.
    pub(super) fn single(relation: Relation) -> Self {
        let mut scope = Self {
            fields: relation.fields.clone(),
            ..Self::default()
        };
        scope.parts.push(Part {
            columns: (0..relation.fields.len()).collect(),
            relation,
            span: Span::default(),
        });
        scope
    }

    /// Adds an item.
    fn add(&mut self, relation: Relation, span: Span) -> Result<()> {
        let name = relation.fields.first().and_then(|f| f.qualifier.as_ref());
        let is_known = |field: &Field| name.is_some() && field.qualifier.as_ref() == name;
        if let (Some(name), true) = (name, self.fields.iter().any(is_known)) {
            return Err(Error::validation(format!(
                "duplicate relation name \"{name}\" in FROM: give one an alias"
            ))
            .with_span(span));
        }
        let first = self.fields.len();
        let fields = relation.fields.iter().zip(first..);
        self.fields.extend(fields.map(|(field, index)| Field {
            expr: Expr::column(index, field.expr.ty.clone()),
            ..field.clone()
        }));
        self.parts.push(Part {
            columns: (first..self.fields.len()).collect(),
            relation,
            span,
        });
        Ok(())
    }

    /// Adds what a join is made by. The join's left side begins with the field `first`, its right side with the field `right`.
    fn constrain(&mut self, first: usize, right: usize, constraint: &JoinConstraint) -> Result<()> {
        match constraint {
            JoinConstraint::On(ast) => {
                let condition = ExprBinder::new(&self.fields[first..]).bind_condition(ast, "ON")?;
                self.conditions.push(condition);
                Ok(())
            }
            JoinConstraint::Using(names) => names.iter().try_for_each(|name| {
                let ident = column_name(name)?;
                self.merge(first, right, (&ident.value, span_of(ident.span)))
            }),
            JoinConstraint::Natural => {
                let visible = |field: &&Field| !field.hidden && field.using != Using::Repeated;
                let of_right: BTreeSet<String> = self.fields[right..]
                    .iter()
                    .filter(visible)
                    .map(|field| field.name.clone())
                    .collect();
                let of_both: Vec<String> = self.fields[first..right]
                    .iter()
                    .filter(visible)
                    .map(|field| field.name.clone())
                    .filter(|name| of_right.contains(name))
                    .collect();
                of_both
                    .iter()
                    .try_for_each(|name| self.merge(first, right, (name, Span::default())))
            }
            JoinConstraint::None => Ok(()),
        }
    }

    /// Makes one of a column that both sides of a join have.
    fn merge(&mut self, first: usize, right: usize, (name, span): (&str, Span)) -> Result<()> {
        let find = |fields: &[Field], offset: usize| {
            let mut found = (offset..)
                .zip(fields)
                .filter(|(_, field)| field.name == name && field.using != Using::Repeated);
            match (found.next(), found.next()) {
                (Some((index, _)), None) => Ok(index),
                (None, _) => Err(unknown_name(
                    "column",
                    name,
                    fields.iter().map(|field| field.name.as_str()),
                )),
                (Some(_), Some(_)) => {
                    Err(Error::validation(format!("column \"{name}\" is ambiguous")))
                }
            }
        };
        let pair = find(&self.fields[first..right], first)
            .and_then(|left| Ok((left, find(&self.fields[right..], right)?)));
        let (left, right) = pair.map_err(|error| error.with_span(span))?;
        let operands = [left, right].map(|index| self.fields[index].expr.clone());
        self.conditions.push(resolve("=", operands.into(), span)?);
        self.fields[left].using = Using::Shown;
        self.fields[right].using = Using::Repeated;
        Ok(())
    }
}

impl Part {
    /// Whether an expression reads columns of this part and no others.
    fn has(&self, expr: &Expr) -> bool {
        let columns = expr.columns();
        !columns.is_empty() && columns.iter().all(|column| self.columns.contains(column))
    }

    /// An expression over the scope as one over the base of the relation.
    fn over_base(&self, expr: &Expr) -> Expr {
        expr.replace_columns(&|column, index| {
            let position = self.columns.iter().position(|known| *known == index);
            let field = position.and_then(|position| self.relation.fields.get(position));
            field.map_or_else(
                || column.clone(),
                |field| Expr {
                    span: column.span,
                    ..field.expr.clone()
                },
            )
        })
    }
}

impl QueryBinder<'_> {
    /// Binds a FROM clause.
    pub(super) fn from(&mut self, from: &[TableWithJoins]) -> Result<FromScope> {
        let mut scope = FromScope::default();
        for item in from {
            self.joined_items(item, &mut scope)?;
        }
        if let [only] = scope.parts.as_slice() {
            scope.fields.clone_from(&only.relation.fields);
        }
        Ok(scope)
    }

    /// Binds an item and those that JOIN hangs on it.
    fn joined_items(&mut self, item: &TableWithJoins, scope: &mut FromScope) -> Result<()> {
        let first = scope.fields.len();
        self.item(&item.relation, scope)?;
        for join in &item.joins {
            let span = span_of(join.relation.span());
            let constraint = inner(join).map_err(|error| error.with_span(span))?;
            let right = scope.fields.len();
            self.item(&join.relation, scope)?;
            scope
                .constrain(first, right, constraint)
                .map_err(|error| error.with_span(span))?;
        }
        Ok(())
    }

    /// Binds an item, which may be joins in parentheses.
    fn item(&mut self, factor: &TableFactor, scope: &mut FromScope) -> Result<()> {
        let span = span_of(factor.span());
        match factor {
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => self.joined_items(table_with_joins, scope),
            TableFactor::NestedJoin { alias: Some(_), .. } => Err(Error::syntax(
                "a join in parentheses takes no alias: write a sub-query",
            )
            .with_span(span)),
            factor => {
                let relation = self.factor(factor).map_err(|error| error.with_span(span))?;
                scope.add(relation, span)
            }
        }
    }

    /// The rows of a FROM clause that satisfy its own conditions and that of WHERE.
    ///
    /// # Errors
    /// `Unsupported` when no equality connects an item with the others.
    pub(super) fn join(&mut self, scope: FromScope, selection: Option<Expr>) -> Result<Relation> {
        let FromScope {
            mut parts,
            fields,
            mut conditions,
        } = scope;
        conditions.extend(selection);
        if let [only] = parts.as_mut_slice() {
            // The fields of a single item are over its base already.
            let own = only.relation.condition.take();
            only.relation.condition = all(own.into_iter().chain(conditions).collect())?;
            return Ok(only.relation.clone());
        }
        let (mut between, above) = distribute(conditions, &mut parts)?;
        let mut parts = parts.into_iter();
        let Some(mut joined) = parts.next() else {
            return Err(Error::internal("an empty FROM"));
        };
        let mut rest: Vec<Part> = parts.collect();
        while let Some(first) = rest.first() {
            let meets = |part: &Part| between.iter().any(|c| equality(c, &joined, part).is_some());
            let Some(next) = rest.iter().position(meets) else {
                return Err(Error::unsupported(
                    "a join without an equality between columns of its inputs",
                )
                .with_span(first.span));
            };
            let right = rest.remove(next);
            joined = self.builder.join(joined, right, &mut between)?;
        }
        let above = above.iter().map(|c| joined.over_base(c)).collect();
        let over_base = |field: Field| Field {
            expr: joined.over_base(&field.expr),
            ..field
        };
        Ok(Relation {
            fields: fields.into_iter().map(over_base).collect(),
            condition: all(above)?,
            ..joined.relation
        })
    }
}

impl PlanBuilder {
    /// Joins two parts by those of the conditions whose columns they have, which it takes.
    fn join(&mut self, left: Part, right: Part, between: &mut Vec<Expr>) -> Result<Part> {
        let span = left.span;
        let names: Vec<Field> = [&left, &right]
            .iter()
            .flat_map(|part| part.relation.fields.clone())
            .collect();
        let (mut left_keys, mut right_keys, mut residual) = (Vec::new(), Vec::new(), Vec::new());
        let mut later = Vec::new();
        for condition in between.drain(..) {
            let is_here = |c: &usize| left.columns.contains(c) || right.columns.contains(c);
            if !condition.columns().iter().all(is_here) {
                later.push(condition);
            } else if let Some((left_key, right_key)) = equality(&condition, &left, &right) {
                left_keys.push(left_key);
                right_keys.push(right_key);
            } else {
                residual.push(condition);
            }
        }
        *between = later;
        let left = self.keyed_input(left, &left_keys);
        let right = self.keyed_input(right, &right_keys);
        let width = self.node(left.node).schema.len();
        let columns: Vec<usize> = left.columns.iter().chain(&right.columns).copied().collect();
        let positions = (0..left.columns.len()).chain(width..width + right.columns.len());
        let over_join = |index: usize| {
            let mut pairs = columns.iter().zip(positions.clone());
            pairs
                .find(|(column, _)| **column == index)
                .map_or(index, |(_, position)| position)
        };
        let residual = residual.iter().map(|c| c.map_columns(&over_join)).collect();
        let base = self.join_node(&left, &right, all(residual)?)?;
        let schema = &self.node(base).schema;
        let fields = names
            .into_iter()
            .zip(positions)
            .map(|(field, position)| Field {
                expr: Expr::column(position, schema[position].ty.clone()),
                ..field
            });
        Ok(Part {
            relation: Relation {
                base,
                window: None,
                condition: None,
                fields: fields.collect(),
            },
            columns,
            span,
        })
    }

    /// Makes the node that emits the rows of a part with keys that are computed. It is a Calc even if it changes nothing, so that
    /// pruning can leave the join the columns it needs and no more.
    fn keyed_input(&mut self, part: Part, keys: &[Expr]) -> KeyedInput {
        let keys: Vec<Expr> = keys.iter().map(|key| part.over_base(key)).collect();
        let Part {
            mut relation,
            columns,
            ..
        } = part;
        self.apply_window(&mut relation);
        let mut projections: Vec<Expr> = relation
            .fields
            .iter()
            .map(|field| field.expr.clone())
            .collect();
        let mut schema: Vec<Column> = relation
            .fields
            .iter()
            .map(|field| Column {
                name: field.name.clone(),
                ty: field.expr.ty.clone(),
            })
            .collect();
        let mut positions = Vec::with_capacity(keys.len());
        for key in keys {
            let wanted = without_spans(&key);
            let known = projections
                .iter()
                .position(|expr| without_spans(expr) == wanted);
            positions.push(known.unwrap_or(projections.len()));
            if known.is_none() {
                schema.push(Column {
                    name: format!("$k{}", positions.len() - 1),
                    ty: key.ty.clone(),
                });
                projections.push(key);
            }
        }
        KeyedInput {
            node: self.calc(relation.base, relation.condition, projections, schema),
            keys: positions,
            columns,
        }
    }

    /// Adds a join.
    ///
    /// # Source
    /// Flink: time attributes become plain timestamps in a regular join.
    fn join_node(
        &mut self,
        left: &KeyedInput,
        right: &KeyedInput,
        residual: Option<Expr>,
    ) -> Result<NodeId> {
        let (left_node, right_node) = (self.node(left.node), self.node(right.node));
        let changelog = joined_changelog(left_node.changelog, right_node.changelog)?;
        let mut fields: Vec<Field> = left_node
            .schema
            .iter()
            .chain(&right_node.schema)
            .map(|column| Field {
                name: column.name.clone(),
                qualifier: None,
                expr: Expr::column(0, column.ty.clone()),
                hidden: false,
                using: Using::No,
            })
            .collect();
        uniquify(&mut fields);
        let schema = fields.into_iter().map(|field| Column {
            name: field.name,
            ty: field.expr.ty,
        });
        let exchanged = |input: &KeyedInput| Input {
            node: input.node,
            exchange: Exchange::Hash(input.keys.clone()),
        };
        let draft = Draft {
            inputs: vec![exchanged(left), exchanged(right)],
            schema: schema.collect(),
            changelog,
            upsert_key: self.join_key(left, right),
            rowtime: None,
            operator: Operator::Join {
                kind: JoinKind::Inner,
                left_keys: left.keys.clone(),
                right_keys: right.keys.clone(),
                residual,
            },
        };
        Ok(self.add(draft))
    }

    /// The columns that identify a row of a join.
    ///
    /// # Source
    /// Flink: `FlinkRelMdUpsertKeys` for joins: a side's upsert key counts only if it contains the join key, since rows of one key
    /// would else come out of several subtasks; with one match at most on the other side it identifies the result.
    fn join_key(&self, left: &KeyedInput, right: &KeyedInput) -> Option<Vec<usize>> {
        let own_key = |input: &KeyedInput| {
            let key = self.node(input.node).upsert_key.clone()?;
            let holds_join_key = input.keys.iter().all(|column| key.contains(column));
            holds_join_key.then_some(key)
        };
        let is_unique = |input: &KeyedInput, key: &[usize]| {
            key.iter().all(|column| input.keys.contains(column))
        };
        let (left_key, right_key) = (own_key(left)?, own_key(right)?);
        let width = self.node(left.node).schema.len();
        let is_right_unique = is_unique(right, &right_key);
        let of_right = right_key.into_iter().map(|column| width + column);
        Some(if is_right_unique {
            left_key
        } else if is_unique(left, &left_key) {
            of_right.collect()
        } else {
            left_key.into_iter().chain(of_right).collect()
        })
    }
}

/// The kinds of change that a join of two inputs emits.
fn joined_changelog(left: ChangelogMode, right: ChangelogMode) -> Result<ChangelogMode> {
    use ChangelogMode::{Append, Retract, Upsert};
    match (left, right) {
        (Append, Append) => Ok(Append),
        (Append | Retract, Append | Retract) => Ok(Retract),
        (Upsert, _) | (_, Upsert) => Err(Error::unsupported("a join over an upsert changelog")),
    }
}

/// What an inner join is made by.
fn inner(join: &AstJoin) -> Result<&JoinConstraint> {
    let later = |what: &str| Err(Error::unsupported(format!("{what} joins")));
    if join.global {
        return Err(Error::syntax("Flink SQL has no GLOBAL JOIN"));
    }
    match &join.join_operator {
        JoinOperator::Join(JoinConstraint::None) | JoinOperator::Inner(JoinConstraint::None) => {
            Err(Error::validation(
                "INNER, LEFT, RIGHT or FULL join requires a condition (NATURAL keyword or ON or USING clause)",
            ))
        }
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::CrossJoin(constraint) => Ok(constraint),
        JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => later("LEFT OUTER"),
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => later("RIGHT OUTER"),
        JoinOperator::FullOuter(_) => later("FULL OUTER"),
        JoinOperator::Semi(_) | JoinOperator::LeftSemi(_) | JoinOperator::RightSemi(_) => {
            later("SEMI")
        }
        JoinOperator::Anti(_) | JoinOperator::LeftAnti(_) | JoinOperator::RightAnti(_) => {
            later("ANTI")
        }
        JoinOperator::CrossApply
        | JoinOperator::OuterApply
        | JoinOperator::AsOf { .. }
        | JoinOperator::StraightJoin(_)
        | JoinOperator::ArrayJoin
        | JoinOperator::LeftArrayJoin
        | JoinOperator::InnerArrayJoin => Err(Error::syntax("Flink SQL has no join of this kind")),
    }
}

/// The column of an element of USING.
fn column_name(name: &ObjectName) -> Result<&Ident> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Ok(ident),
        _ => Err(Error::syntax("USING takes names of columns").with_span(span_of(name.span()))),
    }
}

/// Gives each condition on a single part to it; what remains is between parts, or is to be tested above all joins.
fn distribute(conditions: Vec<Expr>, parts: &mut [Part]) -> Result<(Vec<Expr>, Vec<Expr>)> {
    let (mut between, mut above) = (Vec::new(), Vec::new());
    let mut conjuncts = Vec::new();
    for condition in conditions {
        split(condition, &mut conjuncts);
    }
    for conjunct in conjuncts {
        if conjunct.kind == ExprKind::Literal(Literal::Boolean(true)) {
            continue;
        }
        if conjunct.columns().is_empty() || is_volatile(&conjunct) {
            above.push(conjunct);
        } else if let Some(part) = parts.iter_mut().find(|part| part.has(&conjunct)) {
            let own = part.relation.condition.take();
            let added = part.over_base(&conjunct);
            part.relation.condition = all(own.into_iter().chain([added]).collect())?;
        } else {
            between.push(conjunct);
        }
    }
    Ok((between, above))
}

/// Takes a condition apart at its ANDs.
fn split(condition: Expr, conjuncts: &mut Vec<Expr>) {
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
fn all(mut conditions: Vec<Expr>) -> Result<Option<Expr>> {
    if conditions.len() < 2 {
        return Ok(conditions.pop());
    }
    let span = conditions.iter().fold(Span::default(), |span, condition| {
        span.union(condition.span)
    });
    resolve("AND", conditions, span).map(Some)
}

/// The keys of a condition that is an equality between two parts and can be a join key: of the left part, of the right one.
fn equality(condition: &Expr, left: &Part, right: &Part) -> Option<(Expr, Expr)> {
    let ExprKind::Call { function, args } = &condition.kind else {
        return None;
    };
    let ("=", [a, b]) = (function.as_str(), args.as_slice()) else {
        return None;
    };
    if left.has(a) && right.has(b) {
        as_keys(a, b)
    } else if left.has(b) && right.has(a) {
        as_keys(b, a)
    } else {
        None
    }
}

/// Two equal expressions as keys of one stored type, when every value of either has a place in it.
fn as_keys(a: &Expr, b: &Expr) -> Option<(Expr, Expr)> {
    let ty = common_type(&[&a.ty, &b.ty])?;
    let stored = ty.to_arrow().ok()?;
    if stored.is_nested() || ty.kind == TypeKind::Null {
        return None;
    }
    if let TypeKind::Decimal { scale, .. } = ty.kind {
        let digits = [a, b].map(|expr| exact(&expr.ty.kind).map_or(0, |(p, s)| p - s));
        if digits[0].max(digits[1]) + scale > MAX_DECIMAL_PRECISION {
            return None;
        }
    }
    let is_stored_alike = ty.kind.is_character() || ty.kind.is_binary();
    if is_stored_alike {
        return Some((a.clone(), b.clone()));
    }
    Some((convert(a.clone(), &ty.kind), convert(b.clone(), &ty.kind)))
}
