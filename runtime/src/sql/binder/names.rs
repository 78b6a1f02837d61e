//! Names of tables to what the catalog has under them.
//!
//! Place in the flow: every statement that names a table or view. Invariant: an unqualified name means the session's
//! catalog and database.

use std::sync::Arc;

use crate::error::{Error, Result, unknown_name};
use crate::sql::ast::Name;
use crate::sql::catalog::{Catalog, ObjectName, TableDef, ViewDef};
use crate::sql::session::Session;

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Object {
    /// A table.
    Table(Arc<TableDef>),
    /// A view.
    View(Arc<ViewDef>),
    /// The late rows of a table.
    LateRows(Arc<TableDef>),
}

/// What follows the name of a table in the name of its late rows.
///
/// # Source
/// Confluent: system tables.
pub(super) const LATE_SUFFIX: &str = "$late";

/// The full name.
pub(super) fn full_name(name: &Name, session: &Session) -> ObjectName {
    let mut parts = name.parts.iter().rev().map(|part| part.value.clone());
    let own = parts.next().unwrap_or_default();
    let database = parts.next();
    let catalog = parts.next();
    ObjectName {
        catalog: catalog.unwrap_or_else(|| session.current_catalog().to_owned()),
        database: database.unwrap_or_else(|| session.current_database().to_owned()),
        name: own,
    }
}

/// The table or view of a name.
///
/// # Errors
/// `Invalid` for an unknown name, with the nearest one.
pub(super) fn object(name: &Name, catalog: &dyn Catalog, session: &Session) -> Result<Object> {
    let full = full_name(name, session);
    let found = catalog.table(&full);
    if let Some(table) = found.map_err(|error| error.with_span(name.span()))? {
        return Ok(Object::Table(table));
    }
    if let Some(view) = catalog.view(&full) {
        return Ok(Object::View(view));
    }
    if let Some(own) = full.name.strip_suffix(LATE_SUFFIX) {
        let of = ObjectName {
            name: own.to_owned(),
            ..full.clone()
        };
        let found = catalog.table(&of);
        if let Some(table) = found.map_err(|error| error.with_span(name.span()))? {
            return Ok(Object::LateRows(table));
        }
    }
    Err(unknown_object("table", name, catalog, &full))
}

/// The table of a name.
///
/// # Errors
/// `Invalid` for an unknown name and for views.
pub(super) fn table(
    name: &Name,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Arc<TableDef>> {
    match object(name, catalog, session)? {
        Object::Table(table) => Ok(table),
        Object::View(view) => Err(Error::validation(format!(
            "{} is a view, not a table",
            view.name
        ))
        .with_span(name.span())),
        Object::LateRows(table) => Err(late_rows(&table, name)),
    }
}

/// The error for a statement that takes no system table.
fn late_rows(of: &TableDef, name: &Name) -> Error {
    Error::validation(format!(
        "{}{LATE_SUFFIX} is a system table, the late rows of {}: it can only be read",
        of.name, of.name
    ))
    .with_span(name.span())
}

/// The view of a name.
///
/// # Errors
/// `Invalid` for an unknown name and for tables.
pub(super) fn view(name: &Name, catalog: &dyn Catalog, session: &Session) -> Result<Arc<ViewDef>> {
    match object(name, catalog, session)? {
        Object::View(view) => Ok(view),
        Object::Table(table) => Err(Error::validation(format!(
            "{} is a table, not a view",
            table.name
        ))
        .with_span(name.span())),
        Object::LateRows(table) => Err(late_rows(&table, name)),
    }
}

/// The error for a name that nothing has, naming the first part that is unknown.
fn unknown_object(what: &str, name: &Name, catalog: &dyn Catalog, full: &ObjectName) -> Error {
    let catalogs = catalog.catalog_names();
    let databases = catalog.database_names(&full.catalog);
    // Without an answer the name is still unknown; there are only no suggestions.
    let tables = catalog
        .table_names(&full.catalog, &full.database)
        .unwrap_or_default();
    let (what, wanted, valid) = if !catalogs.is_empty() && !catalogs.contains(&full.catalog) {
        ("catalog", &full.catalog, catalogs)
    } else if !databases.is_empty() && !databases.contains(&full.database) {
        ("database", &full.database, databases)
    } else {
        (what, &full.name, tables)
    };
    unknown_name(what, wanted, valid.iter().map(String::as_str)).with_span(name.span())
}
