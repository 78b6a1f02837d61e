//! TYPEOF.
//!
//! Place in the flow: a row of the function table. Invariant: the text is known when the query is planned, the argument is
//! never computed.

use super::comparison::rewritten;
use super::rules::count;
use super::{Function, Resolve, mismatch};
use crate::error::{Result, Span};
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::types::TypeKind;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![Function::new("TYPEOF", Resolve::Custom(type_of), rewritten)]
}

/// `TYPEOF(x [, serializable])`: the name of a type, in its long form when that is asked for.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the function table hands arguments over"
)]
fn type_of(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=2)?;
    let is_long = match args.get(1).map(|flag| &flag.kind) {
        None => false,
        Some(ExprKind::Literal(Literal::Boolean(flag))) => *flag,
        Some(_) => {
            return Err(mismatch(
                name,
                &args,
                "a value, then TRUE or FALSE as a constant",
            ));
        }
    };
    let text = if is_long {
        args[0].ty.long_text()
    } else {
        args[0].ty.to_string()
    };
    let literal = Expr::literal(Literal::String(text), TypeKind::string().nullable());
    Ok(Expr { span, ..literal })
}
