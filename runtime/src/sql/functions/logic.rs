//! Three-valued logic and NULL tests.
//!
//! Place in the flow: rows of the function table; AND and OR are evaluated by the evaluator itself where an operand can
//! fail. Invariant: NULL is unknown, as in SQL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute;

use super::rules::count;
use super::{Function, Resolve, any_nullable, call, mismatch};
use crate::error::{Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::expr::Expr;
use crate::sql::typing::convert;
use crate::types::TypeKind;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("AND", Resolve::Custom(connective), and),
        Function::new("OR", Resolve::Custom(connective), or),
        Function::new("NOT", Resolve::Custom(negation), not),
        Function::new("IS NULL", Resolve::Custom(null_test), is_null),
        Function::new("IS NOT NULL", Resolve::Custom(null_test), is_not_null),
        Function::new("IS TRUE", Resolve::Custom(truth_test), |call| {
            test(call, |value| value == Some(true))
        }),
        Function::new("IS NOT TRUE", Resolve::Custom(truth_test), |call| {
            test(call, |value| value != Some(true))
        }),
        Function::new("IS FALSE", Resolve::Custom(truth_test), |call| {
            test(call, |value| value == Some(false))
        }),
        Function::new("IS NOT FALSE", Resolve::Custom(truth_test), |call| {
            test(call, |value| value != Some(false))
        }),
        Function::new("IS UNKNOWN", Resolve::Custom(truth_test), |call| {
            test(call, |value| value.is_none())
        }),
        Function::new("IS NOT UNKNOWN", Resolve::Custom(truth_test), |call| {
            test(call, |value| value.is_some())
        }),
    ]
}

/// Every argument as BOOLEAN.
fn booleans(name: &str, args: Vec<Expr>) -> Result<Vec<Expr>> {
    let fits = |arg: &Expr| matches!(arg.ty.kind, TypeKind::Boolean | TypeKind::Null);
    if !args.iter().all(fits) {
        return Err(mismatch(name, &args, "BOOLEAN"));
    }
    Ok(args
        .into_iter()
        .map(|arg| convert(arg, &TypeKind::Boolean))
        .collect())
}

/// AND and OR of two or more conditions.
fn connective(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=usize::MAX)?;
    negatable(name, args, span)
}

/// NOT.
fn negation(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    negatable(name, args, span)
}

/// A BOOLEAN call that is NULL only if an argument is.
fn negatable(name: &str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let args = booleans(name, args)?;
    let nullable = any_nullable(&args);
    let ty = TypeKind::Boolean.nullable().with_nullable(nullable);
    Ok(call(name, args, ty, span))
}

/// IS TRUE and its kin.
fn truth_test(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    let args = booleans(name, args)?;
    Ok(call(name, args, TypeKind::Boolean.not_null(), span))
}

/// IS NULL and IS NOT NULL.
fn null_test(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    Ok(call(name, args, TypeKind::Boolean.not_null(), span))
}

/// Folds the arguments with a binary kernel.
fn fold(
    call: &Call<'_>,
    kernel: fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray, arrow::error::ArrowError>,
) -> Result<ArrayRef> {
    let mut result = call.boolean_column(0)?;
    for i in 1..call.args.len() {
        result = kernel(&result, &call.boolean_column(i)?)?;
    }
    Ok(Arc::new(result))
}

/// AND.
fn and(call: &Call<'_>) -> Result<ArrayRef> {
    fold(call, compute::and_kleene)
}

/// OR.
fn or(call: &Call<'_>) -> Result<ArrayRef> {
    fold(call, compute::or_kleene)
}

/// NOT.
fn not(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(compute::not(&call.boolean_column(0)?)?))
}

/// IS NULL.
fn is_null(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(compute::is_null(call.column(0)?.as_ref())?))
}

/// IS NOT NULL.
fn is_not_null(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(compute::is_not_null(call.column(0)?.as_ref())?))
}

/// A test that is never NULL.
fn test(call: &Call<'_>, holds: fn(Option<bool>) -> bool) -> Result<ArrayRef> {
    let values = call.boolean_column(0)?;
    let tested: BooleanArray = (0..values.len())
        .map(|i| Some(holds(values.is_valid(i).then(|| values.value(i)))))
        .collect();
    Ok(Arc::new(tested))
}
