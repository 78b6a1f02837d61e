//! Sub-queries in expressions, as joins.
//!
//! Place in the flow: a clause is bound with a column in place of each sub-query; then the sub-queries are joined to the rows
//! of the clause, and the columns become theirs. A test that WHERE applies as a whole becomes a semi or anti join. Invariant:
//! every row of the clause stays as often as it was.
//!
//! A sub-query's conditions that read the query around it are held in [`Relation::correlated`] up to its outermost clause, and
//! become conditions of the join.

use sqlparser::ast::{Expr as Ast, Ident, Query as AstQuery, UnaryOperator, WindowSpec};

use super::expression::{Context, ExprBinder, find_field, place};
use super::join_node::{all, split};
use super::literal;
use super::over::OverCall;
use super::query::{QueryBinder, query_place};
use super::relation::{Field, PlanBuilder, Relation};
use crate::error::{Error, Result, Span, unknown_name};
use crate::plan::{AggregateCall, AggregateFunction, Exchange, Input, JoinKind};
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::functions::resolve;
use crate::sql::parser::tokens::span_of;
use crate::sql::typing::case;
use crate::types::{FlinkType, TypeKind};

/// The first number of columns that stand for what is pending; no input has as many.
const PENDING_FIRST: usize = 1 << 30;

/// A sub-query of the text.
pub(super) enum Subquery<'a> {
    /// A value.
    Scalar(&'a AstQuery),
    /// `[NOT] EXISTS`.
    Exists {
        /// The query.
        query: &'a AstQuery,
        /// `NOT`.
        negated: bool,
    },
    /// `[NOT] IN`.
    In {
        /// What is looked for.
        operands: Vec<Expr>,
        /// The query.
        query: &'a AstQuery,
        /// `NOT`.
        negated: bool,
    },
}

/// What a sub-query is asked.
#[derive(Debug)]
enum Test {
    /// Its value.
    Value,
    /// Whether it has rows.
    Exists,
    /// Whether it has these values.
    In(Vec<Expr>),
}

/// A sub-query that is bound and not yet joined.
#[derive(Debug)]
pub(super) struct PendingQuery {
    /// Its rows.
    relation: Relation,
    /// What it is asked.
    test: Test,
    /// Whether the answer is turned round.
    negated: bool,
    /// The columns that its outer columns count.
    scope: Vec<Field>,
    /// Where it stands.
    span: Span,
}

/// What stands in the expressions of a clause until it is bound.
#[derive(Debug)]
pub(super) enum Pending {
    /// A sub-query.
    Query(Box<PendingQuery>),
    /// An aggregate over rows.
    Over(OverCall),
}

/// Where the columns of a clause are over the base of a relation.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    /// Of an expression of the clause.
    pub(super) clause: &'a dyn Fn(&Expr) -> Result<Expr>,
    /// Of a column that the clause has in scope.
    pub(super) scope: &'a dyn Fn(&Expr) -> Result<Expr>,
}

/// The places of a clause whose expressions are over the base.
pub(super) const AS_BOUND: Places<'static> = Places {
    clause: &|expr| Ok(expr.clone()),
    scope: &|expr| Ok(expr.clone()),
};

/// What is known of the right side of a join with a sub-query.
struct Joined {
    /// The rows.
    relation: Relation,
    /// Where the columns of the sub-query's base begin.
    offset: usize,
}

/// The number of a column that stands for something pending.
pub(super) fn pending_index(index: usize) -> Option<usize> {
    index.checked_sub(PENDING_FIRST)
}

/// The column that stands for something pending.
pub(super) fn pending_column(number: usize, ty: FlinkType) -> Expr {
    Expr::column(PENDING_FIRST + number, ty)
}

impl Context for QueryBinder<'_> {
    fn outer(&self, table: Option<&Ident>, column: &Ident) -> Result<Option<Expr>> {
        for (depth, fields) in (1..).zip(self.outer.iter().rev()) {
            if let Some(index) = find_field(fields, table, column)? {
                let ty = fields[index].expr.ty.clone();
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                return Ok(Some(Expr {
                    kind: ExprKind::Column { depth, index },
                    ty,
                    span: Span::default(),
                }));
            }
        }
        Ok(None)
    }

    fn subquery(&mut self, subquery: Subquery<'_>, fields: &[Field]) -> Result<Expr> {
        let pending = self.pending_query(subquery, fields)?;
        let ty = match pending.test {
            Test::Value => visible(&pending.relation)[0].expr.ty.with_nullable(true),
            Test::Exists => TypeKind::Boolean.not_null(),
            Test::In(_) => TypeKind::Boolean.with_nullable(pending.may_be_unknown()),
        };
        self.pending.push(Pending::Query(Box::new(pending)));
        Ok(pending_column(self.pending.len() - 1, ty))
    }

    fn over(&mut self, call: OverCall) -> Expr {
        let ty = call.ty.clone();
        self.pending.push(Pending::Over(call));
        pending_column(self.pending.len() - 1, ty)
    }

    fn named_window(&self, name: &Ident) -> Result<WindowSpec> {
        let found = self.windows.iter().find(|(known, _)| *known == name.value);
        found.map(|(_, spec)| spec.clone()).ok_or_else(|| {
            let names = self.windows.iter().map(|(name, _)| name.as_str());
            unknown_name("window", &name.value, names).with_span(span_of(name.span))
        })
    }
}

/// The columns that a query shows.
pub(super) fn visible(relation: &Relation) -> Vec<&Field> {
    relation.fields.iter().filter(|f| !f.hidden).collect()
}

impl PendingQuery {
    /// Whether IN can be neither true nor false.
    fn may_be_unknown(&self) -> bool {
        let Test::In(operands) = &self.test else {
            return false;
        };
        let fields = visible(&self.relation);
        operands.iter().any(|operand| operand.ty.nullable)
            || fields.iter().any(|field| field.expr.ty.nullable)
    }

    /// The conditions that its rows must meet: over the columns of the left base, of which there are `width`, then its own.
    ///
    /// `left` gives the value of a column of the scope over the left base.
    fn conditions(&self, width: usize, left: &dyn Fn(&Expr) -> Result<Expr>) -> Result<Vec<Expr>> {
        let shift = |expr: &Expr| expr.map_columns(&|index| width + index);
        self.relation
            .correlated
            .iter()
            .map(|condition| {
                let shifted = shift(condition);
                let failed = std::cell::RefCell::new(None);
                let placed = shifted.replace_outer(&|column, depth, index| {
                    if depth > 1 {
                        return outward(column, depth, index);
                    }
                    let placed = left(&self.scope[index].expr);
                    placed.unwrap_or_else(|error| {
                        failed.borrow_mut().get_or_insert(error);
                        column.clone()
                    })
                });
                match failed.into_inner() {
                    None => Ok(placed),
                    Some(error) => Err(error),
                }
            })
            .collect()
    }
}

/// A column of an enclosing query, seen from one scope further out.
fn outward(column: &Expr, depth: u32, index: usize) -> Expr {
    Expr {
        kind: ExprKind::Column {
            depth: depth - 1,
            index: u32::try_from(index).unwrap_or(u32::MAX),
        },
        ..column.clone()
    }
}

impl QueryBinder<'_> {
    /// Binds a sub-query against the columns around it.
    fn pending_query(&mut self, subquery: Subquery<'_>, fields: &[Field]) -> Result<PendingQuery> {
        let (query, test, negated) = match subquery {
            Subquery::Scalar(query) => (query, Test::Value, false),
            Subquery::Exists { query, negated } => (query, Test::Exists, negated),
            Subquery::In {
                operands,
                query,
                negated,
            } => (query, Test::In(operands), negated),
        };
        let span = query_place(query);
        let relation = self.nested_query(query, fields)?;
        let width = visible(&relation).len();
        let wanted = match &test {
            Test::Value => 1,
            Test::In(operands) => operands.len(),
            Test::Exists => width,
        };
        if width != wanted {
            return Err(Error::validation(format!(
                "a sub-query with {width} columns where {wanted} are needed"
            ))
            .with_span(span));
        }
        Ok(PendingQuery {
            relation,
            test,
            negated,
            scope: fields.to_vec(),
            span,
        })
    }

    /// Binds a query inside another one, whose columns it may read.
    pub(super) fn nested_query(&mut self, query: &AstQuery, fields: &[Field]) -> Result<Relation> {
        self.outer.push(fields.to_vec());
        let pending = std::mem::take(&mut self.pending);
        let windows = std::mem::take(&mut self.windows);
        let bound = self.subquery_relation(query);
        self.pending = pending;
        self.windows = windows;
        self.outer.pop();
        bound
    }

    /// Keeps the rows for which conditions with sub-queries hold.
    pub(super) fn filter_by_queries(
        &mut self,
        mut relation: Relation,
        conditions: &[&Ast],
    ) -> Result<Relation> {
        for ast in conditions {
            let bound = self.filter_by_query(relation, ast);
            relation = bound.map_err(|error| error.with_span(place(ast)))?;
        }
        Ok(relation)
    }

    /// Keeps the rows for which one condition holds.
    fn filter_by_query(&mut self, relation: Relation, ast: &Ast) -> Result<Relation> {
        let (core, is_turned) = without_not(ast);
        let subquery = match core {
            Ast::Exists { subquery, negated } => Some(Subquery::Exists {
                query: subquery,
                negated: *negated != is_turned,
            }),
            Ast::InSubquery {
                expr,
                subquery,
                negated,
            } => {
                let before = self.pending.len();
                let operands = ExprBinder::within(&relation.fields, self).operands(expr)?;
                let is_plain = self.pending.len() == before;
                self.pending.truncate(before);
                is_plain.then_some(Subquery::In {
                    operands,
                    query: subquery,
                    negated: *negated != is_turned,
                })
            }
            _ => None,
        };
        if let Some(subquery) = subquery {
            let pending = self.pending_query(subquery, &relation.fields)?;
            return self.semi_join(relation, pending);
        }
        let saved = std::mem::take(&mut self.pending);
        let bound = ExprBinder::within(&relation.fields, self).bind_condition(ast, "WHERE");
        let pending = std::mem::replace(&mut self.pending, saved);
        let (mut relation, placed) =
            self.place_pending(relation, pending, vec![bound?], AS_BOUND)?;
        let own = relation.condition.take();
        let (correlated, plain): (Vec<Expr>, Vec<Expr>) =
            placed.into_iter().partition(Expr::is_correlated);
        relation.condition = all(own.into_iter().chain(plain).collect())?;
        relation.correlated.extend(correlated);
        Ok(relation)
    }

    /// Keeps the rows that have, or have not, a match in a sub-query.
    ///
    /// # Source
    /// Flink: NOT IN is an anti join on `a = b OR a IS NULL OR b IS NULL`.
    fn semi_join(&mut self, mut relation: Relation, pending: PendingQuery) -> Result<Relation> {
        let mut pending = pending;
        if matches!(pending.test, Test::In(_)) {
            pending.relation = self.builder.settle(pending.relation);
        }
        self.builder.apply_window(&mut relation);
        self.builder.apply_window(&mut pending.relation);
        let width = self.builder.width(&relation);
        let mut conditions = pending.conditions(width, &|expr| Ok(expr.clone()))?;
        if let Test::In(operands) = &pending.test {
            let fields = visible(&pending.relation);
            let is_null_aware = pending.negated && pending.may_be_unknown();
            for (operand, field) in operands.iter().zip(fields) {
                let value = field.expr.map_columns(&|index| width + index);
                let args = vec![operand.clone(), value];
                let mut condition = resolve("=", args, pending.span)?;
                if is_null_aware && operands.len() == 1 {
                    condition = resolve("IS NOT FALSE", vec![condition], pending.span)?;
                }
                conditions.push(condition);
            }
            if is_null_aware && operands.len() > 1 {
                let first = conditions.len() - operands.len();
                if let Some(together) = all(conditions.split_off(first))? {
                    let test = resolve("IS NOT FALSE", vec![together], pending.span)?;
                    conditions.push(test);
                }
            }
        }
        if conditions.iter().any(Expr::is_correlated) {
            return Err(
                Error::unsupported("a sub-query that reads a query two levels around it")
                    .with_span(pending.span),
            );
        }
        let kind = if pending.negated {
            JoinKind::Anti
        } else {
            JoinKind::Semi
        };
        let right = Relation {
            correlated: Vec::new(),
            ..pending.relation
        };
        self.builder
            .join_relations(kind, (relation, right), conditions)
            .map_err(|error| error.with_span(pending.span))
    }

    /// Joins what is pending to a relation and puts its columns into expressions.
    ///
    pub(super) fn place_pending(
        &mut self,
        mut relation: Relation,
        pending: Vec<Pending>,
        exprs: Vec<Expr>,
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
                Pending::Over(call) => calls.push((number, call)),
            }
        }
        let substitute = |expr: &Expr, values: &[Option<Expr>]| -> Result<Expr> {
            let placed = (places.clause)(expr)?;
            Ok(placed.replace_columns(&|column, index| {
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
        let mut placed = Vec::with_capacity(calls.len());
        for (number, call) in calls {
            placed.push((number, call.map(&|expr| substitute(expr, &values))?));
        }
        let relation = self
            .builder
            .over_aggregates(relation, placed, &mut values)?;
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
        let keys = self.equal_columns(&pending.relation)?;
        let traits = self.builder.traits(&pending.relation);
        let is_single =
            traits.is_unique(&keys.iter().filter_map(Expr::as_column).collect::<Vec<_>>());
        let mut zeros = pending.relation.zeros.clone();
        if !is_single {
            field = self.single_value(&mut pending.relation, &keys, field)?;
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
        let keys = self.equal_columns(&pending.relation)?;
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
                using: super::relation::Using::No,
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
        let placed = operands.len();
        let scope_len = pending.scope.len();
        let joined = self.left_join_placed(relation, pending, &|expr, index| {
            if index >= scope_len - placed {
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
        let exchange = if key_columns.is_empty() {
            Exchange::Single
        } else {
            Exchange::Hash(key_columns.clone())
        };
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
        field: Expr,
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
        self.group_query(relation, keys, std::slice::from_ref(&field), vec![call])?;
        Ok(Expr::column(keys.len(), ty))
    }

    /// The columns of a sub-query that its conditions set equal to values of the query around.
    ///
    /// # Errors
    /// `Unsupported` for other conditions.
    fn equal_columns(&self, relation: &Relation) -> Result<Vec<Expr>> {
        equal_sides(&relation.correlated)
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

/// The sides of equalities with values of the query around.
///
/// # Errors
/// `Unsupported` for other conditions.
pub(super) fn equal_sides(correlated: &[Expr]) -> Result<Vec<Expr>> {
    let mut sides: Vec<Expr> = Vec::new();
    let mut conjuncts = Vec::new();
    for condition in correlated {
        split(condition.clone(), &mut conjuncts);
    }
    for condition in &conjuncts {
        if condition.columns().is_empty() {
            continue;
        }
        let Some(side) = own_side(condition) else {
            return Err(Error::unsupported(
                "a condition other than an equality with the query around, in a sub-query that aggregates, sorts or is a value",
            )
            .with_span(condition.span));
        };
        let side = super::relation::without_spans(side);
        if !sides.contains(&side) {
            sides.push(side);
        }
    }
    Ok(sides)
}

/// The side of an equality that reads only own columns, when the other reads only columns of queries around.
pub(super) fn own_side(condition: &Expr) -> Option<&Expr> {
    let ExprKind::Call { function, args } = &condition.kind else {
        return None;
    };
    let [a, b] = args.as_slice() else {
        return None;
    };
    if function != "=" && function != "IS NOT DISTINCT FROM" {
        return None;
    }
    let is_own = |expr: &Expr| !expr.is_correlated() && !expr.columns().is_empty();
    let is_outer = |expr: &Expr| expr.is_correlated() && expr.columns().is_empty();
    if is_own(a) && is_outer(b) {
        Some(a)
    } else if is_own(b) && is_outer(a) {
        Some(b)
    } else {
        None
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
            let wanted = super::relation::without_spans(side);
            let index = keys
                .iter()
                .position(|key| super::relation::without_spans(key) == wanted)
                .ok_or_else(|| Error::internal("a condition without its key"))?;
            Ok(replace_side(&condition, &wanted, index))
        })
        .collect()
}

/// An equality with a column in place of its own side.
pub(super) fn replace_side(condition: &Expr, side: &Expr, index: usize) -> Expr {
    let ExprKind::Call { function, args } = &condition.kind else {
        return condition.clone();
    };
    let replaced = args.iter().map(|arg| {
        if super::relation::without_spans(arg) == *side {
            Expr::column(index, side.ty.clone())
        } else {
            arg.clone()
        }
    });
    Expr {
        kind: ExprKind::Call {
            function: function.clone(),
            args: replaced.collect(),
        },
        ..condition.clone()
    }
}

/// A condition without the NOTs and parentheses around it, and whether they turn it round.
fn without_not(ast: &Ast) -> (&Ast, bool) {
    match ast {
        Ast::Nested(inner) => without_not(inner),
        Ast::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } => {
            let (core, is_turned) = without_not(expr);
            (core, !is_turned)
        }
        ast => (ast, false),
    }
}

impl PlanBuilder {
    /// Adds a join that is known to be no join of windows or intervals.
    fn add_join(&mut self, joined: super::join_node::KeyedJoin) -> Result<crate::plan::NodeId> {
        let draft = self.regular_join(joined)?;
        Ok(self.add(draft))
    }
}
