//! The items of FROM: tables, views, sub-queries and window functions.
//!
//! Place in the flow: the first clause of a query that is bound; `join.rs` puts several items together. Invariant: a clause of another dialect or of Flink that
//! Weir does not have is refused, never skipped.

use sqlparser::ast::{
    Expr as Ast, FunctionArguments, ObjectName, ObjectNamePart, Query as AstQuery, Spanned,
    TableAlias, TableFactor,
};

use super::names::{self, Object};
use super::options;
use super::query::QueryBinder;
use super::relation::Relation;
use super::scan::{CdcEvents, late_rows};
use crate::error::{Error, Result, Span};
use crate::plan::LateRows;
use crate::sql::ast::{HintKind, Ident as NameIdent, Name};
use crate::sql::catalog::{TableDef, ViewDef};
use crate::sql::parser::tokens::span_of;

/// How deeply views may use views.
///
/// # Source
/// A guess, unmeasured; it ends views that use themselves.
const VIEW_DEPTH_MAX: usize = 16;

impl QueryBinder<'_> {
    /// Binds one item of FROM.
    pub(super) fn factor(&mut self, factor: &TableFactor) -> Result<Relation> {
        let span = span_of(factor.span());
        let bound = match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } => {
                if version.is_some() {
                    return Err(Error::unsupported(
                        "FOR SYSTEM_TIME AS OF besides in a JOIN with ON",
                    )
                    .with_span(span));
                }
                if !with_hints.is_empty() || !partitions.is_empty() || !index_hints.is_empty() {
                    return Err(Error::syntax("Flink SQL has no such clause behind a table")
                        .with_span(span));
                }
                let relation = self.named(name)?;
                alias_relation(relation, alias.as_ref())
            }
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                with_ordinality: false,
                ..
            } => {
                let relation = self.table_function(name, &args.args, span)?;
                alias_relation(relation, alias.as_ref())
            }
            TableFactor::Derived {
                lateral: false,
                subquery,
                alias,
                sample: None,
            } => {
                let relation = self.subquery_relation(subquery)?;
                alias_relation(relation, alias.as_ref())
            }
            TableFactor::TableFunction {
                expr: Ast::Function(function),
                alias,
            } => {
                let FunctionArguments::List(list) = &function.args else {
                    return Err(Error::syntax("a table function takes arguments"));
                };
                let relation = self.table_function(&function.name, &list.args, span)?;
                alias_relation(relation, alias.as_ref())
            }
            TableFactor::MatchRecognize { alias, .. } => {
                let relation = self.match_recognize(factor)?;
                alias_relation(relation, alias.as_ref())
            }
            _ => Err(Error::unsupported(format!("FROM {factor}"))),
        };
        bound.map_err(|error| error.with_span(span))
    }

    /// Binds a sub-query so that expressions over it may use its columns several times.
    pub(super) fn subquery_relation(&mut self, query: &AstQuery) -> Result<Relation> {
        let relation = self.query(query)?;
        Ok(self.builder.settle(relation))
    }

    /// Binds a table, view or common table expression by name.
    pub(super) fn named(&mut self, name: &ObjectName) -> Result<Relation> {
        let name = plain_name(name)?;
        if let [only] = name.parts.as_slice()
            && let Some(relation) = self.common_table(&only.value)?
        {
            return Ok(relation);
        }
        if let Some(relation) = self.information_schema(&name)? {
            return Ok(relation);
        }
        let hint = self.take_hint(HintKind::Options, name.span());
        let (table, wants_late) = match names::object(&name, self.catalog, self.session)? {
            Object::Table(table) => (table, false),
            Object::LateRows(table) => (table, true),
            Object::View(view) => {
                return match hint {
                    Some(hint) => Err(Error::unsupported("OPTIONS of a view").with_span(hint.span)),
                    None => self.view(&view, name.span()),
                };
            }
        };
        let table = match hint {
            Some(hint) => {
                with_hint(&table, &hint.options).map_err(|error| error.with_span(hint.span))?
            }
            None => TableDef::clone(&table),
        };
        let late = if wants_late {
            LateRows::Only
        } else {
            late_rows(&table)
        };
        self.builder
            .scan(&table, late, CdcEvents::of(self.session))
            .map_err(|error| error.with_span(name.span()))
    }

    /// Binds a view's query.
    fn view(&mut self, view: &ViewDef, span: Span) -> Result<Relation> {
        if self.view_depth >= VIEW_DEPTH_MAX {
            return Err(Error::validation(format!(
                "views nest deeper than {VIEW_DEPTH_MAX} levels"
            ))
            .with_span(span));
        }
        let context = |error: Error| {
            let error = error.context(&format!("view {}", view.name));
            Error { span, ..error }
        };
        let relation = self.view_query(&view.query).map_err(context)?;
        let mut relation = self.builder.settle(relation);
        relation.fields.retain(|field| !field.hidden);
        if !view.columns.is_empty() {
            rename(&mut relation, &view.columns).map_err(context)?;
        }
        for field in &mut relation.fields {
            field.qualifier = Some(view.name.name.clone());
        }
        Ok(relation)
    }
}

/// A name without functions in it.
pub(super) fn plain_name(name: &ObjectName) -> Result<Name> {
    let parts: Option<Vec<NameIdent>> = name
        .0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Some(NameIdent {
                value: ident.value.clone(),
                span: span_of(ident.span),
            }),
            ObjectNamePart::Function(_) => None,
        })
        .collect();
    match parts {
        Some(parts) if (1..=3).contains(&parts.len()) => Ok(Name { parts }),
        _ => {
            Err(Error::syntax("a table is named catalog.database.name")
                .with_span(span_of(name.span())))
        }
    }
}

/// A table with the options of a hint.
fn with_hint(
    table: &TableDef,
    hint: &std::collections::BTreeMap<String, String>,
) -> Result<TableDef> {
    let mut table = table.clone();
    let connector = options::connector(&table.options).to_owned();
    for (key, value) in hint {
        if key == "connector" {
            return Err(Error::option("a hint cannot change the option 'connector'"));
        }
        options::check(&connector, key, value)?;
        table.options.insert(key.clone(), value.clone());
    }
    super::table_format::check(&table)?;
    Ok(table)
}

/// Gives a relation its alias.
pub(super) fn alias_relation(
    mut relation: Relation,
    alias: Option<&TableAlias>,
) -> Result<Relation> {
    let Some(alias) = alias else {
        return Ok(relation);
    };
    if alias.at.is_some()
        || alias
            .columns
            .iter()
            .any(|column| column.data_type.is_some())
    {
        return Err(Error::syntax("an alias is written AS name(column, column)")
            .with_span(span_of(alias.name.span)));
    }
    if !alias.columns.is_empty() {
        let names: Vec<String> = alias
            .columns
            .iter()
            .map(|column| column.name.value.clone())
            .collect();
        rename(&mut relation, &names).map_err(|error| error.with_span(span_of(alias.name.span)))?;
    }
    for field in &mut relation.fields {
        field.qualifier = Some(alias.name.value.clone());
    }
    Ok(relation)
}

/// Renames the visible columns.
pub(super) fn rename(relation: &mut Relation, names: &[String]) -> Result<()> {
    let visible = relation.fields.iter().filter(|field| !field.hidden).count();
    if visible != names.len() {
        return Err(Error::validation(format!(
            "{} column names for {visible} columns",
            names.len()
        )));
    }
    relation.fields.retain(|field| !field.hidden);
    for (field, name) in relation.fields.iter_mut().zip(names) {
        field.name.clone_from(name);
    }
    Ok(())
}
