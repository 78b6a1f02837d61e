//! Equalities that are keys of joins.
//!
//! Place in the flow: the nodes of joins ask it of each of their conditions. Invariant: two values are equal as keys, by their encodings,
//! exactly when the condition says that they are equal; what cannot promise that stays a condition.

use arrow::datatypes::DataType;

use super::relation::is_volatile;
use crate::sql::expr::{Expr, ExprKind};
use crate::sql::typing::{MAX_DECIMAL_PRECISION, common_type, convert, exact};
use crate::types::TypeKind;

/// The keys of a condition that is an equality between the sides and can be a join key, and whether NULL equals nothing.
pub(super) fn equality(condition: &Expr, width: usize) -> Option<(Expr, Expr, bool)> {
    let ExprKind::Call { function, args } = &condition.kind else {
        return None;
    };
    let filters = match function.as_str() {
        "=" => true,
        "IS NOT DISTINCT FROM" => false,
        _ => return None,
    };
    let [a, b] = args.as_slice() else {
        return None;
    };
    if is_volatile(condition) || condition.is_correlated() {
        return None;
    }
    let is_of = |expr: &Expr, is_right: bool| {
        let columns = expr.columns();
        !columns.is_empty() && columns.iter().all(|column| (*column >= width) == is_right)
    };
    let (left, right) = if is_of(a, false) && is_of(b, true) {
        as_keys(a, b)?
    } else if is_of(b, false) && is_of(a, true) {
        as_keys(b, a)?
    } else {
        return None;
    };
    Some((left, right, filters))
}

/// Two equal expressions as keys of one stored type, when every value of either has a place in it.
fn as_keys(a: &Expr, b: &Expr) -> Option<(Expr, Expr)> {
    let ty = common_type(&[&a.ty, &b.ty])?;
    if ty.kind == TypeKind::Null {
        return None;
    }
    if ty.to_arrow().ok()?.is_nested() {
        // Parts of values are not converted: what is stored in another way is compared row by row.
        let is_alike = is_encoded_alike(&a.ty.to_arrow().ok()?, &b.ty.to_arrow().ok()?);
        return is_alike.then(|| (a.clone(), b.clone()));
    }
    if let TypeKind::Decimal { scale, .. } = ty.kind {
        let digits = [a, b].map(|expr| exact(&expr.ty.kind).map_or(0, |(p, s)| p - s));
        if digits[0].max(digits[1]) + scale > MAX_DECIMAL_PRECISION {
            return None;
        }
    }
    let is_stored_alike = ty.kind.is_character() || ty.kind.is_binary();
    if is_stored_alike {
        return Some((a.clone(), b.clone()));
    }
    Some((convert(a.clone(), &ty.kind), convert(b.clone(), &ty.kind)))
}

/// Whether equal values of two types are equal as keys; names and nullability of their parts do not count.
fn is_encoded_alike(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::List(a), DataType::List(b)) | (DataType::Map(a, _), DataType::Map(b, _)) => {
            is_encoded_alike(a.data_type(), b.data_type())
        }
        (DataType::Struct(a), DataType::Struct(b)) => {
            let mut fields = a.iter().zip(b);
            a.len() == b.len()
                && fields.all(|(a, b)| is_encoded_alike(a.data_type(), b.data_type()))
        }
        (a, b) => a == b,
    }
}
