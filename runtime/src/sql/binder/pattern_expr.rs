//! Expressions of `MATCH_RECOGNIZE`.
//!
//! Place in the flow: DEFINE and MEASURES are bound here over columns that are read through pattern variables. Invariant: such an
//! expression never leaves the node that finds the pattern, since only that knows the rows of its variables.

use sqlparser::ast::{Expr as Ast, Function};

use super::aggregate_call::{bind_call, grouped_function};
use super::call::positional;
use super::expression::{ExprBinder, place};
use super::literal;
use super::query::QueryBinder;
use super::relation::{Field, Relation, Using};
use crate::error::{Error, Result, Span};
use crate::plan::{
    MATCH_PROCTIME, MATCH_ROWTIME, PATTERN_AGGREGATE, PATTERN_COLUMN, PATTERN_FIRST, PATTERN_LAST,
    TimeDomain, pattern_aggregate_name,
};
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::functions::call;
use crate::types::TypeKind;

/// The variable that stands for all variables of a pattern.
const ANY_VARIABLE: &str = "*";

impl QueryBinder<'_> {
    /// Binds an expression of DEFINE, with the variable that is defined, or of MEASURES.
    pub(super) fn pattern_expr(
        &mut self,
        ast: &Ast,
        input: &Relation,
        (variables, defined): (&[String], Option<&String>),
    ) -> Result<Expr> {
        let fields = pattern_fields(input, variables);
        let mut binder = ExprBinder {
            is_pattern: true,
            ..ExprBinder::within(&fields, self)
        };
        let bound = if defined.is_some() {
            binder.bind_condition(ast, "DEFINE")?
        } else {
            binder.bind(ast)?
        };
        self.check_pattern_expr(&bound, input)
            .map_err(|error| error.with_span(place(ast)))?;
        Ok(bound)
    }

    /// Refuses what cannot be computed of the rows of a match, and arguments of `MATCH_ROWTIME` that are no rowtime.
    fn check_pattern_expr(&self, bound: &Expr, input: &Relation) -> Result<()> {
        let mut open = vec![bound];
        while let Some(expr) = open.pop() {
            match &expr.kind {
                ExprKind::Column { .. } => {
                    return Err(Error::unsupported(
                        "sub-queries, OVER and columns of an enclosing query in MATCH_RECOGNIZE, as in Flink: compute them in a query around it",
                    ));
                }
                ExprKind::Call { function, .. } if function == PATTERN_COLUMN => continue,
                ExprKind::Call { function, args } if function == MATCH_ROWTIME => {
                    let column = args.first().map(pattern_column);
                    let is_rowtime = column.is_none_or(|column| {
                        let column = column.map(|(_, column)| column);
                        let domain = column.map(|column| self.builder.time_domain(input, column));
                        domain == Some(Some(TimeDomain::Event))
                    });
                    if args.len() > 1 || !is_rowtime {
                        return Err(Error::type_mismatch(
                            "MATCH_ROWTIME takes nothing, or a rowtime attribute whose type it has then",
                        ));
                    }
                }
                _ => {}
            }
            open.extend(expr.children());
        }
        Ok(())
    }
}

/// The variable and the column of a column that is read through a pattern variable.
fn pattern_column(expr: &Expr) -> Option<(&Expr, &Expr)> {
    match &expr.kind {
        ExprKind::Call { function, args } if function == PATTERN_COLUMN => match args.as_slice() {
            [variable, column] => Some((variable, column)),
            _ => None,
        },
        _ => None,
    }
}

/// Refuses values that look at rows of several variables, or that look at further rows for each row.
fn check_rows_of_one(values: &[Expr], name: &str) -> Result<()> {
    let mut variable: Option<&Expr> = None;
    let mut open: Vec<&Expr> = values.iter().collect();
    let is_aggregate = grouped_function(name).is_some();
    while let Some(expr) = open.pop() {
        if let Some((found, _)) = pattern_column(expr) {
            if variable.is_some_and(|variable| variable.kind != found.kind) {
                return Err(Error::validation(format!(
                    "{name} looks at rows of several pattern variables: name one, or write it once for each"
                )));
            }
            variable = Some(found);
            continue;
        }
        if let ExprKind::Call { function, .. } = &expr.kind {
            let is_navigation = function == PATTERN_FIRST || function == PATTERN_LAST;
            if function == PATTERN_AGGREGATE || is_navigation && !is_aggregate {
                return Err(Error::validation(format!(
                    "{name} of a value that itself looks at several rows: FIRST, LAST and aggregates do not nest"
                )));
            }
        }
        open.extend(expr.children());
    }
    Ok(())
}

/// The columns of an input, each through every variable of a pattern and through none.
fn pattern_fields(input: &Relation, variables: &[String]) -> Vec<Field> {
    let mut fields = Vec::new();
    for field in &input.fields {
        let through = |variable: &str| {
            let ty = field.expr.ty.with_nullable(true);
            let args = vec![literal::word(variable), field.expr.clone()];
            call(PATTERN_COLUMN, args, ty, Span::default())
        };
        fields.push(Field {
            expr: through(ANY_VARIABLE),
            ..field.clone()
        });
        fields.extend(variables.iter().map(|variable| Field {
            qualifier: Some(variable.clone()),
            expr: through(variable),
            using: Using::Repeated,
            ..field.clone()
        }));
    }
    fields
}

impl ExprBinder<'_> {
    /// Binds the functions that only expressions of patterns have.
    pub(super) fn pattern_function(
        &mut self,
        function: &Function,
        name: &str,
        span: Span,
    ) -> Result<Option<Expr>> {
        match name {
            "FIRST" => self.logical_offset(function, PATTERN_FIRST, span).map(Some),
            "LAST" => self.logical_offset(function, PATTERN_LAST, span).map(Some),
            "PREV" | "NEXT" => self.physical_offset(function, name, span).map(Some),
            "CLASSIFIER" | "MATCH_NUMBER" => Err(Error::unsupported(format!(
                "{name} in MATCH_RECOGNIZE, as in Flink: COUNT of a column of each variable tells which of them took rows"
            ))),
            "MATCH_ROWTIME" => {
                let args = positional(function)?;
                let args: Vec<Expr> = args
                    .iter()
                    .map(|ast| self.bind(ast))
                    .collect::<Result<_>>()?;
                let is_local = |expr: &Expr| matches!(expr.ty.kind, TypeKind::TimestampLtz(_));
                let ty = if args.iter().any(is_local) {
                    TypeKind::TimestampLtz(3)
                } else {
                    TypeKind::Timestamp(3)
                };
                Ok(Some(call(MATCH_ROWTIME, args, ty.not_null(), span)))
            }
            "MATCH_PROCTIME" => {
                let ty = TypeKind::TimestampLtz(3).not_null();
                Ok(Some(call(MATCH_PROCTIME, Vec::new(), ty, span)))
            }
            _ if grouped_function(name).is_some() => {
                let called = bind_call(function, self.reborrow(), true, span)?;
                if called.distinct || called.filter.is_some() {
                    return Err(Error::unsupported(format!(
                        "DISTINCT and FILTER of {name} in MATCH_RECOGNIZE, as in Flink: aggregate a CASE instead of FILTER"
                    )));
                }
                check_rows_of_one(&called.args, name)?;
                let function = pattern_aggregate_name(called.function)?;
                let mut args = vec![literal::word(&function)];
                args.extend(called.args);
                Ok(Some(call(PATTERN_AGGREGATE, args, called.ty, span)))
            }
            _ => Ok(None),
        }
    }

    /// Binds PREV and NEXT, of which Flink takes those that stay where they are.
    fn physical_offset(&mut self, function: &Function, name: &str, span: Span) -> Result<Expr> {
        let bound = self.logical_offset(function, PATTERN_LAST, span)?;
        let is_here = positional(function)?.len() == 2
            && match &bound.kind {
                ExprKind::Call { args, .. } => args
                    .last()
                    .is_some_and(|rows| rows.kind == ExprKind::Literal(Literal::Integer(0))),
                _ => false,
            };
        if is_here {
            return Ok(bound);
        }
        Err(Error::unsupported(format!(
            "{name} in MATCH_RECOGNIZE, as in Flink, which has no physical offsets: LAST(A.x, 1) is the value of the row of A before its last one"
        )))
    }

    /// Binds FIRST and LAST with their offset.
    fn logical_offset(&mut self, function: &Function, name: &str, span: Span) -> Result<Expr> {
        let args = positional(function)?;
        let (value, offset) = match args.as_slice() {
            [value] => (*value, None),
            [value, offset] => (*value, Some(*offset)),
            _ => {
                return Err(Error::type_mismatch(format!(
                    "{name} takes a value and a number of rows"
                )));
            }
        };
        let value = self.bind(value)?;
        check_rows_of_one(std::slice::from_ref(&value), name)?;
        let offset = match offset {
            None => literal::constant(Literal::Integer(0), TypeKind::Int),
            Some(ast) => {
                let bound = self.bind(ast)?;
                match bound.kind {
                    ExprKind::Literal(Literal::Integer(rows)) if rows >= 0 => bound,
                    _ => {
                        return Err(Error::type_mismatch(format!(
                            "the offset of {name} is a whole number that is written out"
                        ))
                        .with_span(place(ast)));
                    }
                }
            }
        };
        let ty = value.ty.with_nullable(true);
        Ok(call(name, vec![value, offset], ty, span))
    }
}

/// The clock that a measure follows when it is the time of the match.
pub(super) fn time_of_match(measure: &Expr) -> Option<TimeDomain> {
    match &measure.kind {
        ExprKind::Call { function, .. } if function == MATCH_ROWTIME => Some(TimeDomain::Event),
        ExprKind::Call { function, .. } if function == MATCH_PROCTIME => {
            Some(TimeDomain::Processing)
        }
        _ => None,
    }
}
