//! Sub-queries in expressions, as joins.
//!
//! Place in the flow: a clause is bound with a column in place of each sub-query; then the sub-queries are joined to the rows
//! of the clause, and the columns become theirs. A test that WHERE applies as a whole becomes a semi or anti join. Invariant:
//! every row of the clause stays as often as it was.
//!
//! A sub-query's conditions that read the query around it are held in [`Relation::correlated`] up to its outermost clause, and
//! become conditions of the join.

use sqlparser::ast::{
    BinaryOperator, Expr as Ast, Ident, Query as AstQuery, UnaryOperator, WindowSpec,
};

use super::column::find_field;
use super::expression::{Context, ExprBinder, place};
use super::join_node::{all, split};
use super::over::OverCall;
use super::query::{QueryBinder, query_place};
use super::relation::{Field, Relation};
use crate::error::{Error, Result, Span, unknown_name};
use crate::plan::JoinKind;
use crate::sql::expr::{Expr, ExprKind};
use crate::sql::functions::resolve;
use crate::sql::parser::tokens::span_of;
use crate::types::{FlinkType, TypeKind};

/// The first number of columns that stand for what is pending; no input has as many.
pub(super) const PENDING_FIRST: usize = 1 << 30;

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
pub(super) enum Test {
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
    pub(super) relation: Relation,
    /// What it is asked.
    pub(super) test: Test,
    /// Whether the answer is turned round.
    pub(super) negated: bool,
    /// The columns that its outer columns count.
    pub(super) scope: Vec<Field>,
    /// Where it stands.
    pub(super) span: Span,
}

/// What stands in the expressions of a clause until it is bound.
#[derive(Debug)]
pub(super) enum Pending {
    /// A sub-query.
    Query(Box<PendingQuery>),
    /// An aggregate over rows.
    Over(Box<OverCall>),
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

/// The number of a column that stands for something pending.
pub(super) fn pending_index(index: usize) -> Option<usize> {
    index.checked_sub(PENDING_FIRST)
}

/// The column that stands for something pending.
pub(super) fn pending_column(number: usize, ty: FlinkType) -> Expr {
    Expr::column(PENDING_FIRST + number, ty)
}

impl Context for QueryBinder<'_> {
    fn current_database(&self) -> &str {
        self.session.current_database()
    }

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
        self.pending.push(Pending::Over(Box::new(call)));
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
    pub(super) fn may_be_unknown(&self) -> bool {
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
    pub(super) fn conditions(
        &self,
        width: usize,
        left: &dyn Fn(&Expr) -> Result<Expr>,
    ) -> Result<Vec<Expr>> {
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
            core => match in_query(core) {
                None => None,
                Some((expr, query, negated)) => {
                    let before = self.pending.len();
                    let operands = ExprBinder::within(&relation.fields, self).operands(expr)?;
                    let is_plain = self.pending.len() == before;
                    self.pending.truncate(before);
                    is_plain.then_some(Subquery::In {
                        operands,
                        query,
                        negated: negated != is_turned,
                    })
                }
            },
        };
        if let Some(subquery) = subquery {
            let pending = self.pending_query(subquery, &relation.fields)?;
            return self.semi_join(relation, pending);
        }
        let saved = std::mem::take(&mut self.pending);
        let bound = ExprBinder::within(&relation.fields, self).bind_condition(ast, "WHERE");
        let pending = std::mem::replace(&mut self.pending, saved);
        let (mut relation, placed) = self.place_pending(relation, pending, &[bound?], AS_BOUND)?;
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
        if !sides.contains(side) {
            sides.push(side.clone());
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

/// An equality with a column in place of its own side.
pub(super) fn replace_side(condition: &Expr, side: &Expr, index: usize) -> Expr {
    let ExprKind::Call { function, args } = &condition.kind else {
        return condition.clone();
    };
    let replaced = args.iter().map(|arg| {
        if arg == side {
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

/// What is looked for in which sub-query by IN, `= ANY` and `<> ALL`, and whether it is not to be there.
pub(super) fn in_query(ast: &Ast) -> Option<(&Ast, &AstQuery, bool)> {
    let (left, right, negated) = match ast {
        Ast::InSubquery {
            expr,
            subquery,
            negated,
        } => return Some((expr, subquery, *negated)),
        Ast::AnyOp {
            left,
            compare_op: BinaryOperator::Eq,
            right,
            ..
        } => (left, right, false),
        Ast::AllOp {
            left,
            compare_op: BinaryOperator::NotEq,
            right,
        } => (left, right, true),
        _ => return None,
    };
    let mut right = &**right;
    while let Ast::Nested(inner) = right {
        right = inner;
    }
    match right {
        Ast::Subquery(query) => Some((left, query, negated)),
        _ => None,
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
