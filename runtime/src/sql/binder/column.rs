//! Names in expressions: columns, fields behind them, elements of collections.
//!
//! Place in the flow: part of binding expressions. Invariant: a name means a column of the own query before one of a query around it.

use sqlparser::ast::{AccessExpr, Expr as Ast, Ident, Subscript};

use super::expression::ExprBinder;
use super::literal;
use super::relation::{Field, Using};
use crate::error::{Error, Result, Span, unknown_name};
use crate::sql::expr::Expr;
use crate::sql::functions::{is_function, resolve};
use crate::sql::parser::tokens::span_of;
use crate::types::TypeKind;

/// Functions that are called without parentheses.
const WITHOUT_PARENTHESES: [&str; 5] = [
    "CURRENT_TIMESTAMP",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "LOCALTIME",
    "LOCALTIMESTAMP",
];

impl ExprBinder<'_> {
    /// Binds `a[b]` and `f(x).field`.
    pub(super) fn access(&mut self, root: &Ast, chain: &[AccessExpr], span: Span) -> Result<Expr> {
        let (mut value, chain) = self.access_root(root, chain)?;
        for access in chain {
            let (name, arg) = match access {
                AccessExpr::Dot(Ast::Identifier(ident)) => ("FIELD", literal::word(&ident.value)),
                AccessExpr::Subscript(Subscript::Index { index }) => ("ITEM", self.bind(index)?),
                AccessExpr::Dot(_) | AccessExpr::Subscript(_) => {
                    return Err(Error::syntax(
                        "an element is written array[index], a field row.field",
                    ));
                }
            };
            value = resolve(name, vec![value, arg], span)?;
        }
        Ok(value)
    }

    /// The value that a chain of accesses begins with, which may have a name of several parts, and the rest of the chain.
    fn access_root<'c>(
        &mut self,
        root: &Ast,
        chain: &'c [AccessExpr],
    ) -> Result<(Expr, &'c [AccessExpr])> {
        let mut idents = match root {
            Ast::Identifier(ident) => vec![ident.clone()],
            Ast::CompoundIdentifier(idents) => idents.clone(),
            _ => return Ok((self.bind(root)?, chain)),
        };
        let part = |access: &AccessExpr| match access {
            AccessExpr::Dot(Ast::Identifier(ident)) => Some(ident.clone()),
            _ => None,
        };
        let named = chain.iter().map_while(part);
        idents.extend(named);
        let rest = chain.iter().position(|access| part(access).is_none());
        let rest = &chain[rest.unwrap_or(chain.len())..];
        let name = if let [ident] = idents.as_slice() {
            Ast::Identifier(ident.clone())
        } else {
            Ast::CompoundIdentifier(idents)
        };
        Ok((self.bind(&name)?, rest))
    }

    /// Binds `column`, `table.column` and fields behind them.
    pub(super) fn name(&mut self, idents: &[Ident]) -> Result<Expr> {
        let Some(first) = idents.first() else {
            return Err(Error::internal("an empty name"));
        };
        let qualified = match idents.get(1) {
            Some(second) => self.find(Some(first), second)?,
            None => None,
        };
        let (mut value, fields) = if let Some(value) = qualified {
            (value, &idents[2..])
        } else if let Some(value) = self.find(None, first)? {
            (value, &idents[1..])
        } else if let Some(value) = self.row_with(first)? {
            (value, idents)
        } else {
            return self.function_or_unknown(idents);
        };
        value.span = Span::default();
        for ident in fields {
            let span = span_of(ident.span);
            value = resolve("FIELD", vec![value, literal::word(&ident.value)], span)?;
        }
        Ok(value)
    }

    /// The column of a name, with or without a table; of an enclosing query when this one has none.
    fn find(&self, table: Option<&Ident>, column: &Ident) -> Result<Option<Expr>> {
        if let Some(index) = find_field(self.fields, table, column)? {
            return Ok(Some(self.fields[index].expr.clone()));
        }
        match &self.context {
            Some(context) => context.outer(table, column),
            None => Ok(None),
        }
    }

    /// The ROW that has a field of this name: where no column has the name, a field is found without its column.
    ///
    /// # Source
    /// Flink: ROW is a structure whose fields are peeked at (`StructKind.PEEK_FIELDS_NO_EXPAND` of Calcite).
    fn row_with(&self, field: &Ident) -> Result<Option<Expr>> {
        let has_field = |column: &&Field| match &column.expr.ty.kind {
            TypeKind::Row(fields) => fields.iter().any(|part| part.name == field.value),
            _ => false,
        };
        let mut rows = self.fields.iter().filter(has_field);
        let first = rows.next();
        if rows.next().is_some() {
            return Err(
                Error::validation(format!("field \"{}\" is ambiguous", field.value))
                    .with_span(span_of(field.span)),
            );
        }
        Ok(first.map(|column| column.expr.clone()))
    }

    /// A function that is called without parentheses, else the error for an unknown column.
    fn function_or_unknown(&self, idents: &[Ident]) -> Result<Expr> {
        if let [ident] = idents {
            let name = ident.value.to_uppercase();
            if ident.quote_style.is_none()
                && WITHOUT_PARENTHESES.contains(&name.as_str())
                && is_function(&name)
            {
                return resolve(&name, Vec::new(), span_of(ident.span));
            }
        }
        let (what, ident, valid): (_, _, Vec<&str>) = match idents {
            [table, column]
                if self
                    .fields
                    .iter()
                    .any(|field| field.qualifier.as_ref() == Some(&table.value)) =>
            {
                let of_table = self
                    .fields
                    .iter()
                    .filter(|field| field.qualifier.as_ref() == Some(&table.value));
                (
                    "column",
                    column,
                    of_table.map(|field| field.name.as_str()).collect(),
                )
            }
            [table, _, ..] => {
                let tables = self
                    .fields
                    .iter()
                    .filter_map(|field| field.qualifier.as_deref());
                (
                    "table or column",
                    table,
                    tables
                        .chain(self.fields.iter().map(|field| field.name.as_str()))
                        .collect(),
                )
            }
            [column] => (
                "column",
                column,
                self.fields
                    .iter()
                    .map(|field| field.name.as_str())
                    .collect(),
            ),
            [] => return Err(Error::internal("an empty name")),
        };
        Err(unknown_name(what, &ident.value, valid).with_span(span_of(ident.span)))
    }
}

/// The position of a column among fields, by its name with or without that of its table.
///
/// # Errors
/// `Invalid` when several have the name.
pub(super) fn find_field(
    fields: &[Field],
    table: Option<&Ident>,
    column: &Ident,
) -> Result<Option<usize>> {
    let mut found = fields.iter().enumerate().filter(|(_, field)| {
        field.name == column.value
            && match table {
                Some(table) => field.qualifier.as_ref() == Some(&table.value),
                None => field.using != Using::Repeated,
            }
    });
    let first = found.next();
    if found.next().is_some() {
        return Err(
            Error::validation(format!("column \"{}\" is ambiguous", column.value))
                .with_span(span_of(column.span)),
        );
    }
    Ok(first.map(|(index, _)| index))
}
