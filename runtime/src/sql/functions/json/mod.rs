//! Functions on JSON.
//!
//! Enters: calls as the dialect parses them, clauses as literal arguments. Leaves: typed calls. `query` reads documents,
//! `construct` writes them, `text` quotes and tests them, `variant` has the type VARIANT.

mod construct;
mod query;
mod returning;
mod text;
mod variant;

#[cfg(test)]
mod tests;

use super::{Function, mismatch};
use crate::error::Result;
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::typing::convert;
use crate::types::TypeKind;

pub(crate) use construct::{ABSENT_ON_NULL, JSON_VALUE_OF_CONSTRUCTOR, NULL_ON_NULL};
pub(super) use variant::{item_of_variant, variant_item_type};

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    let families = [
        query::functions(),
        construct::functions(),
        text::functions(),
        variant::functions(),
    ];
    families.into_iter().flatten().collect()
}

/// The text of a literal argument.
fn word(arg: &Expr) -> Option<&str> {
    match &arg.kind {
        ExprKind::Literal(Literal::String(text)) => Some(text),
        _ => None,
    }
}

/// A string that is no value of the query, such as a clause.
fn literal(text: &str) -> Expr {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    Expr::literal(
        Literal::String(text.to_owned()),
        TypeKind::Char(length).not_null(),
    )
}

/// Requires a character string; a bare NULL becomes one.
fn character(name: &str, arg: Expr) -> Result<Expr> {
    match &arg.ty.kind {
        TypeKind::Null => Ok(convert(arg, &TypeKind::string())),
        kind if kind.is_character() => Ok(arg),
        _ => Err(mismatch(name, &[arg], "a character string")),
    }
}
