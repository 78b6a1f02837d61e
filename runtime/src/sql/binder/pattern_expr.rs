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
use crate::plan::{PATTERN_COLUMN, PATTERN_FIRST, PATTERN_LAST, TimeDomain};
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::functions::call;
use crate::types::TypeKind;

/// The variable that stands for all variables of a pattern.
const ANY_VARIABLE: &str = "*";

/// Name of the function that gives the event time of a match.
const MATCH_ROWTIME: &str = "MATCH_ROWTIME";

/// Name of the function that gives the processing time of a match.
const MATCH_PROCTIME: &str = "MATCH_PROCTIME";

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
        if defined.is_some() {
            binder.bind_condition(ast, "DEFINE")
        } else {
            binder.bind(ast)
        }
    }
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
            "PREV" | "NEXT" | "CLASSIFIER" | "MATCH_NUMBER" => {
                Err(Error::unsupported(format!("{name} in MATCH_RECOGNIZE")))
            }
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
                        "DISTINCT and FILTER of {name} in MATCH_RECOGNIZE"
                    )));
                }
                Ok(Some(call(name, called.args, called.ty, span)))
            }
            _ => Ok(None),
        }
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
