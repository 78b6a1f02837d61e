//! Which arguments collection functions take.
//!
//! Place in the flow: the rules of the function table in this folder. Invariant: arguments that pass have one element type, so
//! that kernels compare and mix them without a conversion.

use super::super::rules::count;
use super::super::{any_nullable, call, mismatch};
use crate::error::{Result, Span};
use crate::sql::expr::Expr;
use crate::sql::typing::{common_type, convert, implicit_cast};
use crate::types::{FlinkType, TypeKind};

/// The element type of an argument that is an array.
///
/// # Errors
/// `Invalid` for another type.
pub(super) fn element_of(name: &str, args: &[Expr], i: usize, expected: &str) -> Result<FlinkType> {
    match args.get(i).map(|arg| &arg.ty.kind) {
        Some(TypeKind::Array(element)) => Ok((**element).clone()),
        _ => Err(mismatch(name, args, expected)),
    }
}

/// The types of keys and values of an argument that is a map.
///
/// # Errors
/// `Invalid` for another type.
pub(super) fn entry_of(
    name: &str,
    args: &[Expr],
    expected: &str,
) -> Result<(FlinkType, FlinkType)> {
    match args.first().map(|arg| &arg.ty.kind) {
        Some(TypeKind::Map(key, value)) => Ok(((**key).clone(), (**value).clone())),
        _ => Err(mismatch(name, args, expected)),
    }
}

/// An array and what may be an element of it, converted to the type of its elements.
///
/// # Errors
/// `Invalid` for other arguments.
///
/// # Source
/// Flink: `ARRAY_CONTAINS` and its kin take a needle with an implicit cast to the type of the elements.
pub(super) fn array_and_element(name: &str, args: Vec<Expr>) -> Result<(FlinkType, Vec<Expr>)> {
    const EXPECTED: &str = "an ARRAY and an element of it";
    count(name, &args, 2..=2)?;
    let element = element_of(name, &args, 0, EXPECTED)?;
    let args = converted(name, args, 1, &element.with_nullable(true), EXPECTED)?;
    Ok((element, args))
}

/// All arguments, those from one on converted to a type.
///
/// # Errors
/// `Invalid` when Flink does not convert one silently.
pub(super) fn converted(
    name: &str,
    mut args: Vec<Expr>,
    from: usize,
    to: &FlinkType,
    expected: &str,
) -> Result<Vec<Expr>> {
    for i in from..args.len() {
        match implicitly(&args[i], to) {
            Some(arg) => args[i] = arg,
            None => return Err(mismatch(name, &args, expected)),
        }
    }
    Ok(args)
}

/// The argument converted to a type, if Flink does so silently; NULL stays out of parts that are NOT NULL.
fn implicitly(arg: &Expr, to: &FlinkType) -> Option<Expr> {
    if arg.ty.kind != TypeKind::Null && !keeps_nulls_out(&arg.ty, to) {
        return None;
    }
    implicit_cast(arg.clone(), to).ok()
}

/// Whether no part of the second type is NOT NULL where that of the first may be NULL.
fn keeps_nulls_out(from: &FlinkType, to: &FlinkType) -> bool {
    use TypeKind as K;
    if from.nullable && !to.nullable {
        return false;
    }
    match (&from.kind, &to.kind) {
        (K::Array(x), K::Array(y)) | (K::Multiset(x), K::Multiset(y)) => keeps_nulls_out(x, y),
        (K::Map(k, v), K::Map(l, w)) => keeps_nulls_out(k, l) && keeps_nulls_out(v, w),
        (K::Row(xs), K::Row(ys)) => {
            let mut pairs = xs.iter().zip(ys);
            pairs.all(|(x, y)| keeps_nulls_out(&x.ty, &y.ty))
        }
        _ => true,
    }
}

/// Arguments of one kind of collection, converted to their common type, which is returned as well.
///
/// # Errors
/// `Invalid` when one is something else or there is no common type.
pub(super) fn common_collection(
    name: &str,
    args: Vec<Expr>,
    fits: fn(&TypeKind) -> bool,
    expected: &str,
) -> Result<(FlinkType, Vec<Expr>)> {
    let types: Vec<&FlinkType> = args.iter().map(|arg| &arg.ty).collect();
    let common = common_type(&types).filter(|_| args.iter().all(|arg| fits(&arg.ty.kind)));
    let Some(common) = common else {
        return Err(mismatch(name, &args, expected));
    };
    let args = args
        .into_iter()
        .map(|arg| convert(arg, &common.kind))
        .collect();
    Ok((common, args))
}

/// A call whose result is NULL exactly when an argument is.
pub(super) fn strict(name: &str, args: Vec<Expr>, kind: TypeKind, span: Span) -> Expr {
    let nullable = any_nullable(&args);
    call(name, args, kind.nullable().with_nullable(nullable), span)
}
