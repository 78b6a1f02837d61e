//! COALESCE, IFNULL, NULLIF and IF.
//!
//! Place in the flow: rows of the function table. Invariant: an argument is evaluated only for the rows that need it, which
//! is why most of these become CASE.

use super::comparison::rewritten;
use super::rules::count;
use super::{Function, Resolve, call, mismatch, resolve};
use crate::error::{Error, Result, Span};
use crate::sql::expr::{Expr, Literal};
use crate::sql::typing::{case, common_type, convert};
use crate::types::{FlinkType, TypeKind};

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        // The evaluator computes COALESCE itself, operand by operand.
        Function::new("COALESCE", Resolve::Custom(coalesce), rewritten),
        Function::new("IFNULL", Resolve::Custom(if_null), rewritten),
        Function::new("NULLIF", Resolve::Custom(null_if), rewritten),
        Function::new("IF", Resolve::Custom(condition), rewritten),
    ]
}

/// COALESCE: NULL only if every argument may be.
fn coalesce(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=usize::MAX)?;
    let types: Vec<&FlinkType> = args.iter().map(|arg| &arg.ty).collect();
    let Some(ty) = common_type(&types) else {
        return Err(mismatch(name, &args, "values of one type"));
    };
    let nullable = args
        .iter()
        .all(|arg| arg.ty.nullable || arg.ty.kind == TypeKind::Null);
    let args = args.into_iter().map(|arg| convert(arg, &ty.kind)).collect();
    Ok(call("COALESCE", args, ty.with_nullable(nullable), span))
}

/// IFNULL is COALESCE of two.
fn if_null(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=2)?;
    coalesce(name, args, span)
}

/// `NULLIF(a, b)` is `CASE WHEN a = b THEN NULL ELSE a END`.
fn null_if(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 2..=2)?;
    let null = Expr::literal(Literal::Null, args[0].ty.with_nullable(true));
    let value = args[0].clone();
    let equal = resolve("=", args, span)?;
    case(vec![(equal, null)], Some(value), span)
}

/// `IF(c, a, b)` is `CASE WHEN c THEN a ELSE b END`.
fn condition(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 3..=3)?;
    let [condition, then, otherwise] =
        <[Expr; 3]>::try_from(args).map_err(|_| Error::internal("three arguments were counted"))?;
    case(vec![(condition, then)], Some(otherwise), span)
}
