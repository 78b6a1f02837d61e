//! The items of a SELECT and their names.
//!
//! Place in the flow: after FROM, WHERE and GROUP BY. Invariant: names are Flink's and no two are the same.

use std::collections::HashSet;

use sqlparser::ast::{
    AccessExpr, Expr as Ast, SelectItem, SelectItemQualifiedWildcardKind, Spanned,
    WildcardAdditionalOptions,
};

use super::aggregate::Grouping;
use super::expression::{Context, ExprBinder};
use super::relation::{Field, Using};
use crate::error::{Error, Result};
use crate::sql::parser::tokens::span_of;

/// Binds the items of a SELECT.
pub(super) struct Items<'a> {
    /// Columns in scope.
    fields: &'a [Field],
    /// What a GROUP BY leaves of them.
    grouping: Option<&'a mut Grouping>,
    /// The query.
    context: &'a mut dyn Context,
    /// What is selected so far.
    selected: Vec<Field>,
}

impl<'a> Items<'a> {
    /// A binder over columns.
    pub(super) fn new(
        fields: &'a [Field],
        grouping: Option<&'a mut Grouping>,
        context: &'a mut dyn Context,
    ) -> Self {
        Self {
            fields,
            grouping,
            context,
            selected: Vec::new(),
        }
    }

    /// Binds all items.
    pub(super) fn bind(mut self, items: &[SelectItem]) -> Result<Vec<Field>> {
        for item in items {
            match item {
                SelectItem::UnnamedExpr(ast) => {
                    let name =
                        own_name(ast).unwrap_or_else(|| format!("EXPR${}", self.selected.len()));
                    self.expression(ast, name)?;
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    if alias.quote_style == Some('\'') {
                        return Err(
                            Error::syntax("an alias takes back-ticks, not single quotes")
                                .with_span(span_of(alias.span)),
                        );
                    }
                    self.expression(expr, alias.value.clone())?;
                }
                SelectItem::Wildcard(options) => self.wildcard(None, options)?,
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ) => {
                    self.wildcard(Some(&name.to_string().replace('`', "")), options)?;
                }
                SelectItem::QualifiedWildcard(..) | SelectItem::ExprWithAliases { .. } => {
                    return Err(Error::unsupported(format!("SELECT {item}"))
                        .with_span(span_of(item.span())));
                }
            }
        }
        Ok(self.selected)
    }

    /// Binds an expression under a name.
    fn expression(&mut self, ast: &Ast, name: String) -> Result<()> {
        let mut binder = ExprBinder {
            grouping: self.grouping.as_deref_mut(),
            ..ExprBinder::within(self.fields, &mut *self.context)
        };
        let expr = binder.bind(ast)?;
        self.selected.push(Field {
            name,
            qualifier: None,
            expr,
            hidden: false,
            using: Using::No,
        });
        Ok(())
    }

    /// Adds the visible columns, of one table or of all.
    fn wildcard(&mut self, table: Option<&str>, options: &WildcardAdditionalOptions) -> Result<()> {
        let span = span_of(options.wildcard_token.0.span);
        let has_options = options.opt_ilike.is_some()
            || options.opt_exclude.is_some()
            || options.opt_except.is_some()
            || options.opt_replace.is_some()
            || options.opt_rename.is_some()
            || options.opt_alias.is_some();
        if has_options {
            return Err(Error::syntax("Flink SQL has no clauses behind *").with_span(span));
        }
        let before = self.selected.len();
        let first = |field: &&Field| table.is_none() && field.using == Using::Shown;
        let rest = |field: &&Field| match table {
            Some(table) => field.qualifier.as_deref() == Some(table),
            None => field.using == Using::No,
        };
        let visible = || self.fields.iter().filter(|field| !field.hidden);
        for field in visible().filter(first).chain(visible().filter(rest)) {
            let expr = match &self.grouping {
                None => field.expr.clone(),
                Some(grouping) => grouping.key(&field.expr).ok_or_else(|| {
                    Error::validation(format!(
                        "expression \"{}\" is not being grouped",
                        field.name
                    ))
                    .with_span(span)
                })?,
            };
            self.selected.push(Field {
                name: field.name.clone(),
                qualifier: None,
                expr,
                hidden: false,
                using: Using::No,
            });
        }
        if self.selected.len() > before {
            return Ok(());
        }
        let message = table.map_or_else(
            || "* without a table in FROM".to_owned(),
            |table| format!("unknown table \"{table}\""),
        );
        Err(Error::unknown(message).with_span(span))
    }
}

/// The name an expression has by itself.
fn own_name(ast: &Ast) -> Option<String> {
    match ast {
        Ast::Identifier(ident) => Some(ident.value.clone()),
        Ast::CompoundIdentifier(idents) => idents.last().map(|ident| ident.value.clone()),
        Ast::Nested(inner) => own_name(inner),
        Ast::CompoundFieldAccess { access_chain, .. } => match access_chain.last() {
            Some(AccessExpr::Dot(Ast::Identifier(ident))) => Some(ident.value.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Makes the names of columns different: `a`, `a0`, `a1`.
///
/// # Source
/// Calcite: `SqlValidatorUtil.uniquify`.
pub(super) fn uniquify(fields: &mut [Field]) {
    let mut used: HashSet<String> = HashSet::new();
    for field in fields {
        let mut number = 0;
        let mut name = field.name.clone();
        while !used.insert(name.clone()) {
            name = format!("{}{number}", field.name);
            number += 1;
        }
        field.name = name;
    }
}
