//! Calls of models: `LATERAL TABLE(ML_PREDICT('model', column, ...))`.
//!
//! Place in the flow: an item of FROM like UNNEST, whose columns are those of the model's OUTPUT. Invariant: a call binds against one
//! version of a model that there is; nothing executes it, which is said by its name when a statement starts.

use sqlparser::ast::{Expr as Ast, Value};

use super::expression::{ExprBinder, place};
use super::literal::word;
use super::models::model_version;
use super::query::QueryBinder;
use super::relation::Field;

use crate::error::{Error, Result};
use crate::plan::Column;
use crate::sql::ast::{Ident, Name};
use crate::sql::expr::Expr;
use crate::sql::parser::tokens::span_of;
use crate::sql::typing::implicit_cast;
use crate::types::TypeKind;

/// Functions that call a model.
///
/// # Source
/// Confluent: model inference functions.
const FUNCTIONS: [&str; 2] = ["ML_PREDICT", "ML_EVALUATE"];

/// Whether a function calls a model.
pub(super) fn is_ml_function(name: &str) -> bool {
    FUNCTIONS.contains(&name)
}

impl QueryBinder<'_> {
    /// Binds the arguments of a call of a model over the columns in scope; the columns of its result.
    pub(super) fn ml_call(
        &mut self,
        function: &str,
        asts: &[&Ast],
        scope: &[Field],
    ) -> Result<(Vec<Expr>, Vec<Column>)> {
        let [model, inputs @ ..] = asts else {
            return Err(Error::type_mismatch(format!(
                "{function} takes ('model', column, ...)"
            )));
        };
        let name = model_name(function, model)?;
        let (full, version) = model_version(&name, self.catalog, self.session)?;
        let mut args = vec![word(&full.to_string())];
        for ast in inputs {
            args.push(ExprBinder::within(scope, self).bind(ast)?);
        }
        // A map of settings may follow.
        let has_settings = args.len() == version.inputs.len() + 2
            && matches!(args.last().map(|arg| &arg.ty.kind), Some(TypeKind::Map(..)));
        if args.len() - usize::from(has_settings) != version.inputs.len() + 1 {
            return Err(Error::type_mismatch(format!(
                "{function}: model {full} takes {} columns, not {}",
                version.inputs.len(),
                args.len() - 1
            ))
            .with_span(place(model)));
        }
        for (arg, input) in args[1..].iter_mut().zip(&version.inputs) {
            let span = arg.span;
            let wanted = input.ty.with_nullable(true);
            *arg = implicit_cast(arg.clone(), &wanted).map_err(|error| {
                let what = format!("{function}: column `{}` of model {full}", input.name);
                error.context(&what).with_span(span)
            })?;
        }
        Ok((args, version.outputs))
    }
}

/// The name of the model in a call: a string, or an identifier.
fn model_name(function: &str, ast: &Ast) -> Result<Name> {
    let part = |ident: &sqlparser::ast::Ident| Ident {
        value: ident.value.clone(),
        span: span_of(ident.span),
    };
    let parts = match ast {
        Ast::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => vec![Ident {
                value: text.clone(),
                span: span_of(value.span),
            }],
            _ => Vec::new(),
        },
        Ast::Identifier(ident) => vec![part(ident)],
        Ast::CompoundIdentifier(idents) => idents.iter().map(part).collect(),
        _ => Vec::new(),
    };
    if (1..=3).contains(&parts.len()) {
        return Ok(Name { parts });
    }
    Err(Error::type_mismatch(format!(
        "the first argument of {function} is the name of a model: LATERAL TABLE({function}('model', column))"
    ))
    .with_span(place(ast)))
}
