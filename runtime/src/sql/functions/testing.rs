//! Evaluates expressions of SQL text, for the tests of functions.
//!
//! Place in the flow: tests only. Invariant: an expression is parsed, bound and evaluated as in a query.

use crate::batch::Batch;
use crate::plan::Operator;
use crate::sql::catalog::MemoryCatalog;
use crate::sql::eval::{EvalContext, Evaluator};
use crate::sql::expr::Expr;
use crate::sql::session::Session;
use crate::sql::text::to_text;
use crate::sql::{Bound, analyze, parse};

/// The value and type of an expression, or the message of its error.
pub(super) fn evaluate(sql: &str) -> Result<(String, String), String> {
    let statements = parse(&format!("SELECT {sql}")).map_err(|error| error.to_string())?;
    let bound = analyze(&statements[0], &MemoryCatalog::new(), &Session::default());
    let Bound::Query(plan, _) = bound.map_err(|error| error.to_string())? else {
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
    let text = value(expr)?;
    Ok((
        text.unwrap_or_else(|| "NULL".to_owned()),
        expr.ty.to_string(),
    ))
}

/// The value of a bound expression of constants as text, or the message of its error.
pub(super) fn value(expr: &Expr) -> Result<Option<String>, String> {
    let array = Evaluator::compile(expr, "UTC")
        .and_then(|it| it.eval(&Batch::inserts(Vec::new(), 1), &EvalContext::default()))
        .map_err(|error| error.to_string())?;
    assert_eq!(array.data_type(), &expr.ty.to_arrow().unwrap(), "{expr:?}");
    Ok(to_text(&array, 0, &expr.ty, "UTC").unwrap())
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

/// The message of an error.
pub(super) fn fails(sql: &str) -> String {
    evaluate(sql).unwrap_err()
}
