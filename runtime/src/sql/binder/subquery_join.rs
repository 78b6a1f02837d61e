//! Sub-queries as values of expressions.
//!
//! Place in the flow: when a clause is bound, its sub-queries are joined to its rows, and their columns take the places that were
//! kept for them. Invariant: every row stays as often as it was.

use super::join_node::{KeyedJoin, split};
use super::literal;
use super::over::exchange;
use super::query::QueryBinder;
use super::relation::{Field, PlanBuilder, Relation, Using};
use super::subquery::{
    PENDING_FIRST, Pending, PendingQuery, Places, Test, equal_sides, own_side, pending_index,
    replace_side, visible,
};
use crate::error::{Error, Result, Span};
use crate::plan::{AggregateCall, AggregateFunction, Input, JoinKind, NodeId};
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::functions::resolve;
use crate::sql::typing::case;
use crate::types::TypeKind;

/// What is known of the right side of a join with a sub-query.
struct Joined {
    /// The rows.
    relation: Relation,
    /// Where the columns of the sub-query's base begin.
    offset: usize,
}

impl QueryBinder<'_> {
    /// Joins what is pending to a relation and puts its columns into expressions.
    ///
    pub(super) fn place_pending(
        &mut self,
        mut relation: Relation,
        pending: Vec<Pending>,
        exprs: &[Expr],
        places: Places<'_>,
    ) -> Result<(Relation, Vec<Expr>)> {
        let mut used: Vec<usize> = exprs.iter().flat_map(Expr::columns).collect();
        for item in &pending {
            if let Pending::Over(call) = item {
                used.extend(call.exprs().flat_map(Expr::columns));
            }
        }
        let mut values: Vec<Option<Expr>> = Vec::new();
        values.resize_with(pending.len(), || None);
        let mut calls = Vec::new();
        for (number, item) in pending.into_iter().enumerate() {
            if !used.contains(&(PENDING_FIRST + number)) {
                continue;
            }
            match item {
                Pending::Query(query) => {
                    let span = query.span;
                    let value = self
                        .join_query(&mut relation, *query, places)
                        .map_err(|error| error.with_span(span))?;
                    values[number] = Some(value);
                }
                Pending::Over(call) => calls.push((number, *call)),
            }
        }
        let substitute = |expr: &Expr, values: &[Option<Expr>]| -> Result<Expr> {
            let over_base = (places.clause)(expr)?;
            Ok(over_base.replace_columns(&|column, index| {
                let value = pending_index(index).and_then(|number| values.get(number)?.clone());
                value.map_or_else(
                    || column.clone(),
                    |value| Expr {
                        span: column.span,
                        ..value
                    },
                )
            }))
        };
        let mut over_calls = Vec::with_capacity(calls.len());
        for (number, call) in calls {
            over_calls.push((number, call.map(&|expr| substitute(expr, &values))?));
        }
        let relation = self
            .builder
            .over_aggregates(relation, over_calls, &mut values)?;
        let exprs: Vec<Expr> = exprs
            .iter()
            .map(|expr| substitute(expr, &values))
            .collect::<Result<_>>()?;
        Ok((relation, exprs))
    }

    /// Joins a sub-query to a relation; the value of what it is asked.
    fn join_query(
        &mut self,
        relation: &mut Relation,
        pending: PendingQuery,
        places: Places<'_>,
    ) -> Result<Expr> {
        match &pending.test {
            Test::Value => self.join_value(relation, pending, places),
            Test::Exists | Test::In(_) => self.join_mark(relation, pending, places),
        }
    }

    /// Joins the value of a sub-query: NULL without a row, an error with several.
    fn join_value(
        &mut self,
        relation: &mut Relation,
        mut pending: PendingQuery,
        places: Places<'_>,
    ) -> Result<Expr> {
        let mut field = visible(&pending.relation)[0].expr.clone();
        if field.is_correlated() {
            return Err(Error::unsupported(
                "a sub-query whose value reads the query around it",
            ));
        }
        let ty = field.ty.with_nullable(true);
        let keys = equal_sides(&pending.relation.correlated)?;
        let traits = self.builder.traits(&pending.relation);
        let is_single =
            traits.is_unique(&keys.iter().filter_map(Expr::as_column).collect::<Vec<_>>());
        let mut zeros = pending.relation.zeros.clone();
        if !is_single {
            field = self.single_value(&mut pending.relation, &keys, &field)?;
            zeros.clear();
        } else if zeros.is_empty() || pending.relation.condition.is_some() {
            // NULL must come from the absence of a row, whatever is computed from the columns.
            let (settled, places) = self
                .builder
                .extend(pending.relation, std::slice::from_ref(&field));
            pending.relation = settled;
            field = Expr::column(places[0], field.ty.clone());
            zeros.clear();
        }
        let joined = self.left_join(relation, pending, places)?;
        let (offset, base) = (joined.offset, joined.relation.base);
        *relation = joined.relation;
        let schema = &self.builder.node(base).schema;
        let value = field.replace_columns(&|column, index| {
            let ty = schema[offset + index].ty.clone();
            let moved = Expr {
                span: column.span,
                ..Expr::column(offset + index, ty)
            };
            if !zeros.contains(&index) {
                return moved;
            }
            let zero = literal::constant(Literal::Integer(0), TypeKind::BigInt);
            let args = vec![moved.clone(), zero];
            resolve("COALESCE", args, column.span).unwrap_or(moved)
        });
        Ok(Expr { ty, ..value })
    }

    /// Joins the answer to EXISTS or IN as a column.
    ///
    /// # Source
    /// Calcite: `SubQueryRemoveRule`: the counts of rows and of values that are not NULL tell false from unknown.
    fn join_mark(
        &mut self,
        relation: &mut Relation,
        pending: PendingQuery,
        places: Places<'_>,
    ) -> Result<Expr> {
        let (negated, span) = (pending.negated, pending.span);
        let is_unknown = pending.may_be_unknown();
        let operands: Vec<Expr> = match &pending.test {
            Test::In(operands) => operands.iter().map(places.clause).collect::<Result<_>>()?,
            Test::Value | Test::Exists => Vec::new(),
        };
        let keys = equal_sides(&pending.relation.correlated)?;
        let values: Vec<Expr> = visible(&pending.relation)
            .iter()
            .take(operands.len())
            .map(|field| field.expr.clone())
            .collect();
        let mut counts = None;
        if is_unknown {
            let copy = PendingQuery {
                relation: pending.relation.clone(),
                test: Test::Exists,
                negated: false,
                scope: pending.scope.clone(),
                span,
            };
            counts = Some(self.join_counts(relation, copy, (&keys, &values), places)?);
        }
        let found = self.join_found(relation, pending, (&keys, &values, &operands), places)?;
        let mark = resolve("IS NOT NULL", vec![found], span)?;
        let answer = match counts {
            None => mark,
            Some((rows, present)) => {
                let zero = || literal::constant(Literal::Integer(0), TypeKind::BigInt);
                let truth = |value| literal::constant(Literal::Boolean(value), TypeKind::Boolean);
                let unknown = literal::null(&TypeKind::Boolean.nullable());
                let mut branches = vec![(
                    resolve("=", vec![rows.clone(), zero()], span)?,
                    truth(false),
                )];
                for operand in &operands {
                    let is_null = resolve("IS NULL", vec![operand.clone()], span)?;
                    branches.push((is_null, unknown.clone()));
                }
                branches.push((mark, truth(true)));
                branches.push((resolve("<", vec![present, rows], span)?, unknown));
                case(branches, Some(truth(false)), span)?
            }
        };
        if negated {
            resolve("NOT", vec![answer], span)
        } else {
            Ok(answer)
        }
    }

    /// Joins how many rows a sub-query has, and how many without a NULL among the values.
    fn join_counts(
        &mut self,
        relation: &mut Relation,
        mut pending: PendingQuery,
        (keys, values): (&[Expr], &[Expr]),
        places: Places<'_>,
    ) -> Result<(Expr, Expr)> {
        let rows = count(Vec::new());
        let present = count((0..values.len()).collect());
        self.group_query(&mut pending.relation, keys, values, vec![rows, present])?;
        let first = keys.len();
        let joined = self.left_join(relation, pending, places)?;
        let offset = joined.offset;
        *relation = joined.relation;
        let counted = |index: usize| {
            let column = Expr::column(offset + first + index, TypeKind::BigInt.nullable());
            let zero = literal::constant(Literal::Integer(0), TypeKind::BigInt);
            resolve("COALESCE", vec![column, zero], Span::default())
        };
        Ok((counted(0)?, counted(1)?))
    }

    /// Joins a column that is not NULL where a sub-query has a row, with these values if there are any.
    fn join_found(
        &mut self,
        relation: &mut Relation,
        mut pending: PendingQuery,
        (keys, values, operands): (&[Expr], &[Expr], &[Expr]),
        places: Places<'_>,
    ) -> Result<Expr> {
        let mut all_keys = keys.to_vec();
        all_keys.extend(values.iter().cloned());
        self.group_query(
            &mut pending.relation,
            &all_keys,
            &[],
            vec![count(Vec::new())],
        )?;
        let first = keys.len();
        for (index, operand) in operands.iter().enumerate() {
            let field = &pending.relation.fields[first + index].expr;
            // The operand is over the left base already: it is marked as such by its place in the scope.
            let scope_index = pending.scope.len();
            pending.scope.push(Field {
                name: String::new(),
                qualifier: None,
                expr: operand.clone(),
                hidden: true,
                using: Using::No,
            });
            let outer = Expr {
                kind: ExprKind::Column {
                    depth: 1,
                    index: u32::try_from(scope_index).unwrap_or(u32::MAX),
                },
                ty: operand.ty.clone(),
                span: operand.span,
            };
            let condition = resolve("=", vec![outer, field.clone()], pending.span)?;
            pending.relation.correlated.push(condition);
        }
        let counted = all_keys.len();
        let operand_count = operands.len();
        let scope_len = pending.scope.len();
        let joined = self.left_join_placed(relation, pending, &|expr, index| {
            if index >= scope_len - operand_count {
                Ok(expr.clone())
            } else {
                (places.scope)(expr)
            }
        })?;
        let offset = joined.offset;
        *relation = joined.relation;
        Ok(Expr::column(offset + counted, TypeKind::BigInt.nullable()))
    }

    /// Groups a sub-query by columns; its fields become the keys, then the counts.
    fn group_query(
        &mut self,
        relation: &mut Relation,
        keys: &[Expr],
        values: &[Expr],
        mut calls: Vec<AggregateCall>,
    ) -> Result<()> {
        let mut exprs = keys.to_vec();
        exprs.extend(values.iter().cloned());
        let correlated = std::mem::take(&mut relation.correlated);
        let inner = std::mem::replace(relation, self.builder.relation(relation.base));
        let (extended, places) = self.builder.extend(inner, &exprs);
        for call in &mut calls {
            let mut args = std::mem::take(&mut call.further).into_iter();
            let value = |index: usize| places[keys.len() + index];
            call.argument = args.next().map(value);
            call.further = args.map(value).collect();
        }
        let key_columns = places[..keys.len()].to_vec();
        let exchange = exchange(&key_columns);
        let input = Input {
            node: extended.base,
            exchange,
        };
        *relation = self.builder.group_aggregate(input, key_columns, calls);
        relation.correlated = rekeyed(&correlated, keys)?;
        Ok(())
    }

    /// Makes sure that there is one row at most for each row around: several are an error.
    fn single_value(
        &mut self,
        relation: &mut Relation,
        keys: &[Expr],
        field: &Expr,
    ) -> Result<Expr> {
        let ty = field.ty.with_nullable(true);
        let call = AggregateCall {
            function: AggregateFunction::SingleValue,
            argument: None,
            further: vec![0],
            filter: None,
            distinct: false,
            ty: ty.clone(),
        };
        self.group_query(relation, keys, std::slice::from_ref(field), vec![call])?;
        Ok(Expr::column(keys.len(), ty))
    }

    /// Joins a sub-query; rows without a match stay.
    fn left_join(
        &mut self,
        relation: &mut Relation,
        pending: PendingQuery,
        places: Places<'_>,
    ) -> Result<Joined> {
        self.left_join_placed(relation, pending, &|expr, _| (places.scope)(expr))
    }

    /// As [`Self::left_join`]; `place` also gets the position of the column in the scope.
    fn left_join_placed(
        &mut self,
        relation: &mut Relation,
        mut pending: PendingQuery,
        place: &dyn Fn(&Expr, usize) -> Result<Expr>,
    ) -> Result<Joined> {
        let mut left = std::mem::replace(relation, self.builder.relation(relation.base));
        self.builder.apply_window(&mut left);
        self.builder.apply_window(&mut pending.relation);
        let width = self.builder.width(&left);
        let placed: Vec<Result<Expr>> = pending
            .scope
            .iter()
            .enumerate()
            .map(|(index, field)| place(&field.expr, index))
            .collect();
        let scope = std::mem::take(&mut pending.scope);
        pending.scope = scope
            .into_iter()
            .enumerate()
            .map(|(index, field)| Field {
                // A column that has no place is only an error when it is read.
                expr: placed[index].clone().unwrap_or_else(|_| outer_mark(&field)),
                ..field
            })
            .collect();
        let conditions = pending.conditions(width, &|expr| Ok(expr.clone()))?;
        if conditions.iter().any(Expr::is_correlated) {
            return Err(Error::unsupported(
                "a sub-query that reads columns which are not there any more",
            ));
        }
        let right = Relation {
            correlated: Vec::new(),
            ..pending.relation
        };
        let fields = left.fields.clone();
        let (joined, left, right) =
            self.builder
                .keyed_join(JoinKind::Left, (left, right), conditions)?;
        let offset = self.builder.width(&left);
        let base = self.builder.add_join(joined)?;
        drop(right);
        Ok(Joined {
            relation: Relation {
                base,
                window: None,
                condition: None,
                correlated: left.correlated,
                zeros: left.zeros,
                fields,
            },
            offset,
        })
    }
}

/// A column that cannot be read.
fn outer_mark(field: &Field) -> Expr {
    Expr {
        kind: ExprKind::Column { depth: 1, index: 0 },
        ty: field.expr.ty.clone(),
        span: Span::default(),
    }
}

/// COUNT of rows, or of rows without a NULL among some values; the arguments are counted later.
fn count(values: Vec<usize>) -> AggregateCall {
    AggregateCall {
        function: AggregateFunction::Count,
        argument: None,
        further: values,
        filter: None,
        distinct: false,
        ty: TypeKind::BigInt.not_null(),
    }
}

/// Conditions whose own sides are the columns of a grouping now.
fn rekeyed(correlated: &[Expr], keys: &[Expr]) -> Result<Vec<Expr>> {
    let mut conjuncts = Vec::new();
    for condition in correlated {
        split(condition.clone(), &mut conjuncts);
    }
    conjuncts
        .into_iter()
        .map(|condition| {
            let Some(side) = own_side(&condition) else {
                return if condition.columns().is_empty() {
                    Ok(condition)
                } else {
                    Err(Error::internal("a condition that is no equality"))
                };
            };
            let index = keys
                .iter()
                .position(|key| key == side)
                .ok_or_else(|| Error::internal("a condition without its key"))?;
            Ok(replace_side(&condition, side, index))
        })
        .collect()
}

impl PlanBuilder {
    /// Adds a join that is known to be no join of windows or intervals.
    fn add_join(&mut self, joined: KeyedJoin) -> Result<NodeId> {
        let draft = self.regular_join(joined)?;
        Ok(self.add(draft))
    }
}
