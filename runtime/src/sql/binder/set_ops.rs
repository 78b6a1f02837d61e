//! UNION, INTERSECT, EXCEPT and VALUES.
//!
//! Place in the flow: bodies of queries that put rows of several queries together. Invariant: the columns have the names of the first
//! query and the common types of all.
//!
//! # Source
//! Flink: INTERSECT is a semi join and EXCEPT an anti join on columns that are not distinct, both without duplicates; with ALL the
//! rows are counted and repeated.

use std::collections::BTreeSet;

use sqlparser::ast::{SetExpr, SetOperator, SetQuantifier, Spanned, Values};

use super::expression::{ExprBinder, place};
use super::literal;
use super::over::exchange;
use super::query::QueryBinder;
use super::relation::{Draft, Field, Relation, Using, forward};
use super::traits::Traits;
use crate::error::{Error, Result, Span};
use crate::plan::{
    AggregateCall, AggregateFunction, ChangelogMode, Column, Correlate, Input, JoinKind, Operator,
    REPLICATE_ROWS,
};
use crate::sql::expr::{Expr, Literal};
use crate::sql::functions::resolve;
use crate::sql::parser::tokens::span_of;
use crate::sql::typing::{case, common_type, implicit_cast};
use crate::types::{FlinkType, TypeKind};

/// A set operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// `UNION ALL`.
    UnionAll,
    /// `UNION`.
    Union,
    /// `INTERSECT [ALL]`.
    Intersect {
        /// `ALL`.
        is_all: bool,
    },
    /// `EXCEPT [ALL]`.
    Except {
        /// `ALL`.
        is_all: bool,
    },
}

impl QueryBinder<'_> {
    /// Binds a chain of set operations from the left.
    pub(super) fn set_operations(&mut self, body: &SetExpr) -> Result<Relation> {
        let mut links = Vec::new();
        let mut first = body;
        while let SetExpr::SetOperation {
            left,
            op,
            set_quantifier,
            right,
        } = first
        {
            let span = span_of(right.span());
            let is_all = match set_quantifier {
                SetQuantifier::All => true,
                SetQuantifier::None | SetQuantifier::Distinct => false,
                _ => return Err(Error::unsupported("UNION BY NAME").with_span(span)),
            };
            let link = match op {
                SetOperator::Union if is_all => Link::UnionAll,
                SetOperator::Union => Link::Union,
                SetOperator::Intersect => Link::Intersect { is_all },
                SetOperator::Except | SetOperator::Minus => Link::Except { is_all },
            };
            links.push((link, &**right, span));
            first = left;
        }
        let mut branches = vec![self.set_expr(first)?];
        let mut links = links.into_iter().rev().peekable();
        while let Some((link, right, span)) = links.next() {
            branches.push(self.set_expr(right)?);
            let next = links.peek().map(|(next, ..)| *next);
            if link == Link::UnionAll && next == Some(Link::UnionAll) {
                continue;
            }
            let together = std::mem::take(&mut branches);
            let bound = self
                .linked(link, together)
                .map_err(|error| error.with_span(span))?;
            branches.push(bound);
        }
        branches
            .pop()
            .ok_or_else(|| Error::internal("an empty UNION"))
    }

    /// Puts relations together.
    fn linked(&mut self, link: Link, branches: Vec<Relation>) -> Result<Relation> {
        match link {
            Link::UnionAll => self.union(branches),
            Link::Union => {
                let union = self.union(branches)?;
                Ok(self.builder.distinct(union))
            }
            Link::Intersect { is_all: false } => {
                self.matched(JoinKind::Semi, branches, "INTERSECT")
            }
            Link::Except { is_all: false } => self.matched(JoinKind::Anti, branches, "EXCEPT"),
            Link::Intersect { is_all: true } => self.counted(branches, "INTERSECT ALL"),
            Link::Except { is_all: true } => self.counted(branches, "EXCEPT ALL"),
        }
    }

    /// The different rows of the first relation that are, or are not, in the second.
    fn matched(
        &mut self,
        kind: JoinKind,
        branches: Vec<Relation>,
        operator: &str,
    ) -> Result<Relation> {
        let (branches, schema) = aligned(branches, operator)?;
        let mut nodes = branches.into_iter().map(|relation| {
            let node = self.builder.materialize(relation);
            self.builder.relation(node)
        });
        let (Some(left), Some(right)) = (nodes.next(), nodes.next()) else {
            return Err(Error::internal("a set operation of one query"));
        };
        drop(nodes);
        let width = schema.len();
        let conditions = (0..width)
            .map(|index| {
                let [a, b] = [(&left, 0), (&right, width)].map(|(relation, shift)| {
                    let expr = &relation.fields[index].expr;
                    expr.map_columns(&|column| shift + column)
                });
                resolve("IS NOT DISTINCT FROM", vec![a, b], Span::default())
            })
            .collect::<Result<Vec<Expr>>>()?;
        let joined = self
            .builder
            .join_relations(kind, (left, right), conditions)?;
        let mut result = self.builder.distinct(joined);
        for (field, column) in result.fields.iter_mut().zip(&schema) {
            field.name.clone_from(&column.name);
        }
        Ok(result)
    }

    /// The rows of two relations, as often as INTERSECT ALL or EXCEPT ALL keeps them.
    fn counted(&mut self, branches: Vec<Relation>, operator: &str) -> Result<Relation> {
        let (branches, schema) = aligned(branches, operator)?;
        let width = schema.len();
        let number = |value| literal::constant(Literal::Integer(value), TypeKind::BigInt);
        let marked = branches.into_iter().enumerate().map(|(side, relation)| {
            let mut relation = relation;
            for (name, marks) in [("$left", 0), ("$right", 1)] {
                relation.fields.push(Field {
                    name: name.to_owned(),
                    qualifier: None,
                    expr: number(i64::from(side == marks)),
                    hidden: false,
                    using: Using::No,
                });
            }
            relation
        });
        let union = self.union(marked.collect())?;
        let keys: Vec<usize> = (0..width).collect();
        let sum = |column: usize| AggregateCall {
            function: AggregateFunction::Sum0,
            argument: Some(column),
            further: Vec::new(),
            filter: None,
            distinct: false,
            ty: TypeKind::BigInt.not_null(),
        };
        let input = Input {
            node: union.base,
            exchange: exchange(&keys),
        };
        let counts = self
            .builder
            .group_aggregate(input, keys, vec![sum(width), sum(width + 1)]);
        let [left, right] = [width, width + 1].map(|index| counts.fields[index].expr.clone());
        let span = Span::default();
        let times = if operator == "EXCEPT ALL" {
            resolve("-", vec![left, right], span)?
        } else {
            let is_less = resolve("<", vec![left.clone(), right.clone()], span)?;
            case(vec![(is_less, left)], Some(right), span)?
        };
        let is_there = resolve(">", vec![times.clone(), number(0)], span)?;
        let counts = Relation {
            condition: Some(is_there),
            ..counts
        };
        Ok(self.replicated(counts, times, schema))
    }

    /// Repeats the rows of a relation.
    fn replicated(&mut self, counts: Relation, times: Expr, schema: Vec<Column>) -> Relation {
        let (counts, places) = self.builder.extend(counts, &[times]);
        let base = self.builder.node(counts.base).clone();
        let arg = |column: usize| Expr::column(column, base.schema[column].ty.clone());
        let mut args = vec![arg(places[0])];
        args.extend((0..schema.len()).map(arg));
        let first = base.schema.len();
        let mut all = base.schema.clone();
        all.extend(schema.iter().cloned());
        let node = self.builder.add(Draft {
            operator: Operator::Correlate(Correlate {
                kind: JoinKind::Inner,
                function: REPLICATE_ROWS.to_owned(),
                args,
                with_ordinality: false,
                columns: schema,
            }),
            inputs: vec![forward(counts.base)],
            schema: all,
            changelog: base.changelog,
            traits: Traits::default(),
        });
        let mut relation = self.builder.relation(node);
        relation.fields.drain(..first);
        relation
    }

    /// Puts the rows of several relations behind one another.
    pub(super) fn union(&mut self, branches: Vec<Relation>) -> Result<Relation> {
        let (branches, schema) = aligned(branches, "a UNION")?;
        let inputs: Vec<Input> = branches
            .into_iter()
            .map(|relation| forward(self.builder.materialize(relation)))
            .collect();
        let is_append = inputs
            .iter()
            .all(|input| self.builder.node(input.node).changelog == ChangelogMode::Append);
        let traits: Vec<&Traits> = inputs
            .iter()
            .map(|input| self.builder.traits_of(input.node))
            .collect();
        // A time attribute stays one when it is one in every branch.
        let in_all = |of: fn(&Traits) -> &BTreeSet<usize>| -> BTreeSet<usize> {
            let first = of(traits[0]).iter().copied();
            first
                .filter(|column| traits.iter().all(|traits| of(traits).contains(column)))
                .collect()
        };
        let same_window = traits.iter().all(|other| other.window == traits[0].window);
        let traits = Traits {
            rowtimes: in_all(|traits| &traits.rowtimes),
            proctimes: in_all(|traits| &traits.proctimes),
            window: traits[0].window.clone().filter(|_| same_window),
            keys: Vec::new(),
        };
        let node = self.builder.add(Draft {
            operator: Operator::Union,
            inputs,
            schema,
            changelog: if is_append {
                ChangelogMode::Append
            } else {
                ChangelogMode::Retract
            },
            traits,
        });
        Ok(self.builder.relation(node))
    }

    /// Binds constant rows.
    pub(super) fn values(&mut self, values: &Values) -> Result<Relation> {
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let mut bound: Vec<Expr> = Vec::with_capacity(row.content.len());
            for ast in &row.content {
                bound.push(ExprBinder::within(&[], self).bind(ast)?);
            }
            if !std::mem::take(&mut self.pending).is_empty() {
                return Err(Error::unsupported("a sub-query in VALUES"));
            }
            let row = bound;
            rows.push(row);
        }
        let width = rows.first().map_or(0, Vec::len);
        if let Some(index) = rows.iter().position(|row| row.len() != width) {
            let span = values.rows[index]
                .content
                .first()
                .map_or_else(Span::default, place);
            return Err(
                Error::validation("the rows of VALUES have different numbers of columns")
                    .with_span(span),
            );
        }
        for column in 0..width {
            let types: Vec<&FlinkType> = rows.iter().map(|row| &row[column].ty).collect();
            let ty = common_type(&types).ok_or_else(|| {
                let span = rows
                    .iter()
                    .fold(Span::default(), |span, row| span.union(row[column].span));
                Error::type_mismatch(format!(
                    "column {} of VALUES has no common type",
                    column + 1
                ))
                .with_span(span)
            })?;
            for row in &mut rows {
                let cast = implicit_cast(row[column].clone(), &ty)?;
                row[column] = cast;
            }
        }
        Ok(self.constant_rows(rows))
    }

    /// Adds constant rows; a column is nullable when one of its values may be NULL.
    pub(super) fn constant_rows(&mut self, rows: Vec<Vec<Expr>>) -> Relation {
        let width = rows.first().map_or(0, Vec::len);
        let column = |index: usize| Column {
            name: format!("EXPR${index}"),
            ty: rows[0][index]
                .ty
                .with_nullable(rows.iter().any(|row| row[index].ty.nullable)),
        };
        let schema: Vec<Column> = (0..width).map(column).collect();
        let node = self.builder.add(Draft {
            operator: Operator::Values { rows },
            inputs: Vec::new(),
            schema,
            changelog: ChangelogMode::Append,
            traits: Traits::default(),
        });
        self.builder.relation(node)
    }
}

/// Gives several relations the same types and no hidden columns; the names are those of the first.
///
/// # Errors
/// `Invalid` when they have different numbers of columns, or columns without a common type.
fn aligned(mut branches: Vec<Relation>, operator: &str) -> Result<(Vec<Relation>, Vec<Column>)> {
    for relation in &mut branches {
        relation.refuse_correlated(operator)?;
        relation.fields.retain(|field| !field.hidden);
    }
    let columns: Vec<Vec<Field>> = branches.iter().map(|r| r.fields.clone()).collect();
    let names: Vec<String> = columns[0].iter().map(|field| field.name.clone()).collect();
    if columns.iter().any(|fields| fields.len() != names.len()) {
        return Err(Error::validation(format!(
            "the queries of {operator} have different numbers of columns"
        )));
    }
    let mut types = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let all: Vec<&FlinkType> = columns
            .iter()
            .map(|fields| &fields[index].expr.ty)
            .collect();
        let common = common_type(&all).ok_or_else(|| {
            let listed: Vec<String> = all.iter().map(ToString::to_string).collect();
            Error::type_mismatch(format!(
                "column \"{name}\" of {operator} has no common type: {}",
                listed.join(", ")
            ))
        })?;
        types.push(common);
    }
    for relation in &mut branches {
        for (field, ty) in relation.fields.iter_mut().zip(&types) {
            field.expr = implicit_cast(field.expr.clone(), ty)?;
        }
    }
    let schema = names.into_iter().zip(types);
    let schema = schema.map(|(name, ty)| Column { name, ty }).collect();
    Ok((branches, schema))
}
