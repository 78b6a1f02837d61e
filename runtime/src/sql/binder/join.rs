//! FROM as a whole: its items, and the joins between them.
//!
//! Place in the flow: FROM makes a [`FromScope`] that ON and WHERE are bound over; with their conditions the items become one
//! relation. Invariant: a condition is applied exactly once, as early as its columns are there: to one input before the join, as
//! keys or as the rest of the condition of a join, or above all joins when it gives another value each time.
//!
//! While a scope is bound, its columns are those of all items one behind the other; inner joins wait for the conditions of WHERE,
//! outer ones are made at once.

use std::collections::BTreeSet;

use sqlparser::ast::{
    Ident, Join as AstJoin, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Spanned,
    TableFactor, TableVersion, TableWithJoins,
};

use super::expression::ExprBinder;
use super::join_node::{all, split};
use super::query::QueryBinder;
use super::relation::{Field, Relation, Using, is_volatile};
use crate::error::{Error, Result, Span, unknown_name};
use crate::plan::JoinKind;
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::functions::resolve;
use crate::sql::parser::tokens::span_of;

/// The items of a FROM clause and what they are joined by.
#[derive(Debug, Default)]
pub(super) struct FromScope {
    /// The items in order.
    pub(super) parts: Vec<Part>,
    /// Columns in scope, over the columns of all items.
    pub(super) fields: Vec<Field>,
    /// Conditions of ON and USING of inner joins.
    pub(super) conditions: Vec<Expr>,
}

/// Some of the items, joined already.
#[derive(Debug)]
pub(super) struct Part {
    /// Their rows.
    pub(super) relation: Relation,
    /// Which column of the scope each field of the relation is.
    pub(super) columns: Vec<usize>,
    /// Where they stand.
    pub(super) span: Span,
}

/// What stands beside a join: where its sides begin, what it is made by, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct JoinPlace<'a> {
    /// The first item of the left side.
    pub(super) first_part: usize,
    /// The first column of the left side.
    pub(super) first: usize,
    /// Which rows are emitted.
    pub(super) kind: JoinKind,
    /// ON, USING or NATURAL.
    pub(super) constraint: &'a JoinConstraint,
    /// Where the right side stands.
    pub(super) span: Span,
}

impl FromScope {
    /// The scope of a single item.
    pub(super) fn single(relation: Relation) -> Result<Self> {
        let mut scope = Self::default();
        scope.add(relation, Span::default())?;
        Ok(scope)
    }

    /// Adds an item.
    pub(super) fn add(&mut self, relation: Relation, span: Span) -> Result<()> {
        let name = relation.fields.first().and_then(|f| f.qualifier.as_ref());
        let is_known = |field: &Field| name.is_some() && field.qualifier.as_ref() == name;
        if let (Some(name), true) = (name, self.fields.iter().any(is_known)) {
            return Err(Error::validation(format!(
                "duplicate relation name \"{name}\" in FROM: give one an alias"
            ))
            .with_span(span));
        }
        let columns = self.append(&relation.fields);
        self.parts.push(Part {
            relation,
            columns,
            span,
        });
        Ok(())
    }

    /// Puts columns into scope and says which they are.
    pub(super) fn append(&mut self, fields: &[Field]) -> Vec<usize> {
        let first = self.fields.len();
        let added = fields.iter().zip(first..);
        self.fields.extend(added.map(|(field, index)| Field {
            expr: Expr::column(index, field.expr.ty.clone()),
            ..field.clone()
        }));
        (first..self.fields.len()).collect()
    }

    /// The conditions of USING and NATURAL. The join's left side begins with the field `first`, its right side with `right`.
    fn merged(&mut self, place: JoinPlace<'_>, right: usize) -> Result<Vec<Expr>> {
        let first = place.first;
        match place.constraint {
            JoinConstraint::On(_) | JoinConstraint::None => Ok(Vec::new()),
            JoinConstraint::Using(names) => names
                .iter()
                .map(|name| {
                    let ident = column_name(name)?;
                    self.merge(place, right, (&ident.value, span_of(ident.span)))
                })
                .collect(),
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
                    .map(|name| self.merge(place, right, (name, Span::default())))
                    .collect()
            }
        }
    }

    /// Makes one of a column that both sides of a join have; the condition that they are equal.
    fn merge(
        &mut self,
        place: JoinPlace<'_>,
        right: usize,
        (name, span): (&str, Span),
    ) -> Result<Expr> {
        let first = place.first;
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
        let condition = resolve("=", operands.into(), span)?;
        let (shown, repeated) = if place.kind == JoinKind::Right {
            (right, left)
        } else {
            (left, right)
        };
        self.fields[repeated].using = Using::Repeated;
        self.fields[shown].using = if place.kind == JoinKind::Full {
            Using::Repeated
        } else {
            Using::Shown
        };
        Ok(condition)
    }

    /// Takes the nullability of columns from the parts that they are in now.
    pub(super) fn refresh(&mut self) {
        for part in &self.parts {
            for (column, field) in part.columns.iter().zip(&part.relation.fields) {
                self.fields[*column].expr.ty = field.expr.ty.clone();
            }
        }
    }
}

impl Part {
    /// Whether an expression reads columns of this part and no others.
    pub(super) fn has(&self, expr: &Expr) -> bool {
        let columns = expr.columns();
        !columns.is_empty() && columns.iter().all(|column| self.columns.contains(column))
    }

    /// An expression over the scope as one over the base of the relation.
    pub(super) fn over_base(&self, expr: &Expr) -> Expr {
        expr.replace_columns(&|column, index| self.field(column, index))
    }

    /// The value of a column of the scope over the base of the relation.
    pub(super) fn field(&self, column: &Expr, index: usize) -> Expr {
        let position = self.columns.iter().position(|known| *known == index);
        let field = position.and_then(|position| self.relation.fields.get(position));
        field.map_or_else(
            || column.clone(),
            |field| Expr {
                span: column.span,
                ..field.expr.clone()
            },
        )
    }
}

impl QueryBinder<'_> {
    /// Binds a FROM clause.
    pub(super) fn from(&mut self, from: &[TableWithJoins]) -> Result<FromScope> {
        let mut scope = FromScope::default();
        for item in from {
            self.joined_items(item, &mut scope)?;
        }
        Ok(scope)
    }

    /// Binds an item and those that JOIN hangs on it.
    fn joined_items(&mut self, item: &TableWithJoins, scope: &mut FromScope) -> Result<()> {
        let (first, first_part) = (scope.fields.len(), scope.parts.len());
        self.item(&item.relation, scope)?;
        for join in &item.joins {
            let span = span_of(join.relation.span());
            let (kind, constraint) = kind_of(join).map_err(|error| error.with_span(span))?;
            let place = JoinPlace {
                first_part,
                first,
                kind,
                constraint,
                span,
            };
            self.joined(&join.relation, scope, place)
                .map_err(|error| error.with_span(span))?;
        }
        Ok(())
    }

    /// Joins an item to those before it.
    fn joined(
        &mut self,
        factor: &TableFactor,
        scope: &mut FromScope,
        place: JoinPlace<'_>,
    ) -> Result<()> {
        if let TableFactor::Table {
            version: Some(TableVersion::ForSystemTimeAsOf(time)),
            ..
        } = factor
        {
            return self.temporal_join(factor, time, scope, place);
        }
        if place.kind == JoinKind::Left && self.left_correlate(factor, scope, place)? {
            return Ok(());
        }
        let (right, right_part) = (scope.fields.len(), scope.parts.len());
        let before = std::mem::take(&mut scope.conditions);
        self.item(factor, scope)?;
        let mut conditions = scope.merged(place, right)?;
        if let JoinConstraint::On(ast) = place.constraint {
            let fields = &scope.fields[place.first..];
            conditions.push(ExprBinder::within(fields, self).bind_condition(ast, "ON")?);
        }
        let own = std::mem::replace(&mut scope.conditions, before);
        if place.kind == JoinKind::Inner {
            scope.conditions.extend(own);
            scope.conditions.extend(conditions);
            return Ok(());
        }
        self.outer_join(scope, (place, right_part), (own, conditions))
    }

    /// Makes an outer join of what stands before and behind JOIN.
    fn outer_join(
        &mut self,
        scope: &mut FromScope,
        (place, right_part): (JoinPlace<'_>, usize),
        (of_right, on): (Vec<Expr>, Vec<Expr>),
    ) -> Result<()> {
        // Conditions of a lateral item on the right are part of ON.
        let right_columns: BTreeSet<usize> = scope.parts[right_part..]
            .iter()
            .flat_map(|part| part.columns.iter().copied())
            .collect();
        let is_inner = |condition: &Expr| {
            condition
                .columns()
                .iter()
                .all(|column| right_columns.contains(column))
        };
        let (of_right, lateral): (Vec<Expr>, Vec<Expr>) = of_right.into_iter().partition(is_inner);
        let conditions: Vec<Expr> = on.into_iter().chain(lateral).collect();
        if conditions.iter().any(Expr::is_correlated) {
            return Err(Error::unsupported(
                "columns of an enclosing query in ON of an outer join",
            ));
        }
        let right = scope.parts.split_off(right_part);
        let right = self.connect(right, of_right)?;
        let left = self.collapse(scope, place.first_part)?;
        let mut joined = self.join_parts(place.kind, (left, right), &conditions)?;
        joined.span = place.span;
        if place.kind == JoinKind::Full {
            coalesce_merged(scope, &mut joined, place.first)?;
        }
        scope.parts.push(joined);
        scope.refresh();
        Ok(())
    }

    /// Joins the parts of a scope from one on, by the conditions on them.
    pub(super) fn collapse(&mut self, scope: &mut FromScope, first_part: usize) -> Result<Part> {
        let parts = scope.parts.split_off(first_part);
        let is_here = |condition: &Expr| {
            let columns = condition.columns();
            columns
                .iter()
                .all(|column| parts.iter().any(|part| part.columns.contains(column)))
        };
        let conditions = std::mem::take(&mut scope.conditions);
        let (here, later) = conditions.into_iter().partition(is_here);
        scope.conditions = later;
        self.connect(parts, here)
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
            TableFactor::Derived {
                lateral: true,
                subquery,
                alias,
                sample: None,
            } => self
                .lateral_query(subquery, alias.as_ref(), scope)
                .map_err(|error| error.with_span(span)),
            factor => {
                if self
                    .correlate(factor, scope, JoinKind::Inner)
                    .map_err(|error| error.with_span(span))?
                {
                    return Ok(());
                }
                let relation = self.factor(factor).map_err(|error| error.with_span(span))?;
                scope.add(relation, span)
            }
        }
    }

    /// The rows of a FROM clause that satisfy its own conditions and that of WHERE.
    pub(super) fn join(&mut self, scope: FromScope, selection: Vec<Expr>) -> Result<Relation> {
        let FromScope {
            parts,
            fields,
            mut conditions,
        } = scope;
        conditions.extend(selection);
        let joined = self.connect(parts, conditions)?;
        let over_base = |field: Field| Field {
            expr: joined.over_base(&field.expr),
            ..field
        };
        Ok(Relation {
            fields: fields.into_iter().map(over_base).collect(),
            ..joined.relation
        })
    }

    /// Joins parts by conditions.
    fn connect(&mut self, mut parts: Vec<Part>, conditions: Vec<Expr>) -> Result<Part> {
        let (correlated, conditions): (Vec<Expr>, Vec<Expr>) = conjuncts(conditions)
            .into_iter()
            .partition(Expr::is_correlated);
        let (mut between, above) = distribute(conditions, &mut parts)?;
        for part in &mut parts {
            self.builder.recognize_rank(&mut part.relation)?;
        }
        let mut parts = parts.into_iter();
        let Some(mut joined) = parts.next() else {
            return Err(Error::internal("an empty FROM"));
        };
        let mut rest: Vec<Part> = parts.collect();
        while !rest.is_empty() {
            let meets = |part: &Part| between.iter().any(|c| is_equality(c, &joined, part));
            // Without an equality the next in order is as good as any other.
            let next = rest.iter().position(meets).unwrap_or(0);
            let right = rest.remove(next);
            let is_here = |condition: &Expr| {
                let is_known = |c: &usize| joined.columns.contains(c) || right.columns.contains(c);
                condition.columns().iter().all(is_known)
            };
            let (here, later) = between.into_iter().partition(is_here);
            between = later;
            joined = self.join_parts(JoinKind::Inner, (joined, right), &here)?;
        }
        let above: Vec<Expr> = above.iter().map(|c| joined.over_base(c)).collect();
        let own = joined.relation.condition.take();
        joined.relation.condition = all(own.into_iter().chain(above).collect())?;
        let correlated: Vec<Expr> = correlated.iter().map(|c| joined.over_base(c)).collect();
        joined.relation.correlated.extend(correlated);
        Ok(joined)
    }

    /// Joins two parts by conditions over the columns of the scope.
    pub(super) fn join_parts(
        &mut self,
        kind: JoinKind,
        (mut left, mut right): (Part, Part),
        conditions: &[Expr],
    ) -> Result<Part> {
        let span = left.span;
        if kind.nulls_right() {
            right.relation = self.builder.settle_all(right.relation);
        }
        if kind.nulls_left() {
            left.relation = self.builder.settle_all(left.relation);
        }
        self.builder.apply_window(&mut left.relation);
        self.builder.apply_window(&mut right.relation);
        let width = self.builder.width(&left.relation);
        let over_both = |condition: &Expr| {
            condition.replace_columns(&|column, index| {
                if left.columns.contains(&index) {
                    left.field(column, index)
                } else {
                    right.field(column, index).map_columns(&|c| width + c)
                }
            })
        };
        let conditions = conditions.iter().map(over_both).collect();
        let columns = left.columns.iter().chain(&right.columns).copied().collect();
        let relation =
            self.builder
                .join_relations(kind, (left.relation, right.relation), conditions)?;
        Ok(Part {
            relation,
            columns,
            span,
        })
    }
}

/// Adds the columns that FULL JOIN ... USING makes of those of its sides.
fn coalesce_merged(scope: &mut FromScope, joined: &mut Part, first: usize) -> Result<()> {
    let repeated: Vec<usize> = (first..scope.fields.len())
        .filter(|index| {
            scope.fields[*index].using == Using::Repeated && joined.columns.contains(index)
        })
        .collect();
    let mut names: Vec<String> = Vec::new();
    for index in &repeated {
        let name = scope.fields[*index].name.clone();
        let is_shown = scope.fields[first..]
            .iter()
            .any(|field| field.name == name && field.using != Using::Repeated);
        if is_shown || names.contains(&name) {
            continue;
        }
        let same: Vec<Expr> = repeated
            .iter()
            .filter(|other| scope.fields[**other].name == name)
            .map(|other| joined.field(&scope.fields[*other].expr, *other))
            .collect();
        let span = joined.span;
        let field = Field {
            name: name.clone(),
            qualifier: None,
            expr: resolve("COALESCE", same, span)?,
            hidden: false,
            using: Using::Shown,
        };
        let columns = scope.append(std::slice::from_ref(&field));
        joined.columns.extend(columns);
        joined.relation.fields.push(field);
        names.push(name);
    }
    Ok(())
}

/// The kind of a join, and what it is made by.
fn kind_of(join: &AstJoin) -> Result<(JoinKind, &JoinConstraint)> {
    if join.global {
        return Err(Error::syntax("Flink SQL has no GLOBAL JOIN"));
    }
    let (kind, constraint) = match &join.join_operator {
        JoinOperator::CrossJoin(constraint) => return Ok((JoinKind::Inner, constraint)),
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
            (JoinKind::Inner, constraint)
        }
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
            (JoinKind::Left, constraint)
        }
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            (JoinKind::Right, constraint)
        }
        JoinOperator::FullOuter(constraint) => (JoinKind::Full, constraint),
        JoinOperator::Semi(_)
        | JoinOperator::LeftSemi(_)
        | JoinOperator::RightSemi(_)
        | JoinOperator::Anti(_)
        | JoinOperator::LeftAnti(_)
        | JoinOperator::RightAnti(_)
        | JoinOperator::CrossApply
        | JoinOperator::OuterApply
        | JoinOperator::AsOf { .. }
        | JoinOperator::StraightJoin(_)
        | JoinOperator::ArrayJoin
        | JoinOperator::LeftArrayJoin
        | JoinOperator::InnerArrayJoin => {
            return Err(Error::syntax("Flink SQL has no join of this kind"));
        }
    };
    if *constraint == JoinConstraint::None {
        return Err(Error::validation(
            "INNER, LEFT, RIGHT or FULL join requires a condition (NATURAL keyword or ON or USING clause)",
        ));
    }
    Ok((kind, constraint))
}

/// The column of an element of USING.
fn column_name(name: &ObjectName) -> Result<&Ident> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Ok(ident),
        _ => Err(Error::syntax("USING takes names of columns").with_span(span_of(name.span()))),
    }
}

/// Takes conditions apart at their ANDs; TRUE is left out.
fn conjuncts(conditions: Vec<Expr>) -> Vec<Expr> {
    let mut conjuncts = Vec::new();
    for condition in conditions {
        split(condition, &mut conjuncts);
    }
    conjuncts.retain(|conjunct| conjunct.kind != ExprKind::Literal(Literal::Boolean(true)));
    conjuncts
}

/// Gives each condition on a single part to it; what remains is between parts, or is to be tested above all joins.
fn distribute(conjuncts: Vec<Expr>, parts: &mut [Part]) -> Result<(Vec<Expr>, Vec<Expr>)> {
    let (mut between, mut above) = (Vec::new(), Vec::new());
    let is_single = parts.len() == 1;
    for conjunct in conjuncts {
        let part = parts
            .iter_mut()
            .find(|part| is_single || part.has(&conjunct));
        let is_above = conjunct.columns().is_empty() || is_volatile(&conjunct);
        if is_above && !is_single {
            above.push(conjunct);
        } else if let Some(part) = part {
            let own = part.relation.condition.take();
            let added = part.over_base(&conjunct);
            part.relation.condition = all(own.into_iter().chain([added]).collect())?;
        } else {
            between.push(conjunct);
        }
    }
    Ok((between, above))
}

/// Whether a condition is an equality between two parts.
fn is_equality(condition: &Expr, left: &Part, right: &Part) -> bool {
    let ExprKind::Call { function, args } = &condition.kind else {
        return false;
    };
    match (function.as_str(), args.as_slice()) {
        ("=" | "IS NOT DISTINCT FROM", [a, b]) => {
            left.has(a) && right.has(b) || left.has(b) && right.has(a)
        }
        _ => false,
    }
}
