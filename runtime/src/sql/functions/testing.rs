//! Evaluates expressions of SQL text, for the tests of functions.
//!
//! Place in the flow: tests only. Invariant: an expression is parsed, bound and evaluated as in a query.

use crate::batch::Batch;
use crate::error::Result;
use crate::plan::Operator;
use crate::sql::catalog::MemoryCatalog;
use crate::sql::eval::{EvalContext, Evaluator};
use crate::sql::expr::Expr;
use crate::sql::session::Session;
use crate::sql::text::to_text;
use crate::sql::{Bound, analyze, parse};

/// The value and type of an expression in a time zone.
///
/// # Errors
/// Why it does not bind, or cannot be evaluated.
pub(super) fn evaluate_in(sql: &str, zone: &str) -> Result<(String, String)> {
    let mut session = Session::default();
    session.set("sql.local-time-zone", zone)?;
    let statements = parse(&format!("SELECT {sql}"))?;
    let bound = analyze(&statements[0], &MemoryCatalog::new(), &session)?;
    let Bound::Query(plan, _) = bound else {
        panic!("{sql} is not a query");
    };
    let exprs: Vec<&Expr> = plan
        .nodes
        .iter()
        .filter_map(|node| match &node.operator {
            Operator::Calc { projections, .. } => projections.first(),
            Operator::Values { rows } => rows.first()?.first(),
            _ => None,
        })
        .collect();
    let expr = exprs.last().unwrap();
    let text = value_in(expr, zone)?;
    Ok((
        text.unwrap_or_else(|| "NULL".to_owned()),
        expr.ty.to_string(),
    ))
}

/// [`evaluate_in`] UTC, with the message of an error.
pub(super) fn evaluate(sql: &str) -> Result<(String, String), String> {
    evaluate_in(sql, "UTC").map_err(|error| error.to_string())
}

/// The value of a bound expression of constants as text.
fn value_in(expr: &Expr, zone: &str) -> Result<Option<String>> {
    let row = Batch::inserts(Vec::new(), 1);
    let array = Evaluator::compile(expr, zone)?.eval(&row, &EvalContext::default())?;
    assert_eq!(array.data_type(), &expr.ty.to_arrow().unwrap(), "{expr:?}");
    to_text(&array, 0, &expr.ty, zone)
}

/// The value of a bound expression of constants as text, or the message of its error.
pub(super) fn value(expr: &Expr) -> Result<Option<String>, String> {
    value_in(expr, "UTC").map_err(|error| error.to_string())
}

/// Checks values.
pub(super) fn check(cases: &[(&str, &str)]) {
    for (sql, value) in cases {
        assert_eq!(evaluate(sql).unwrap().0, *value, "{sql}");
    }
}

/// Checks types.
pub(super) fn check_types(cases: &[(&str, &str)]) {
    for (sql, ty) in cases {
        assert_eq!(evaluate(sql).unwrap().1, *ty, "{sql}");
    }
}

/// Checks that expressions fail, and with which words.
pub(super) fn check_errors(cases: &[(&str, &str)]) {
    for (sql, words) in cases {
        let message = fails(sql);
        assert!(message.contains(words), "{sql}: {message}");
    }
}

/// The message of an error.
pub(super) fn fails(sql: &str) -> String {
    evaluate(sql).unwrap_err()
}
