//! Models and connections: CREATE, ALTER and DROP, and DESCRIBE of them and of functions.
//!
//! Place in the flow: turns a parsed declaration into the definition as it is to be, beside the one it replaces. Invariant: a change
//! names what it was bound against, so that the catalog can refuse it when that has changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Bound;
use super::connections::{connection, describe_connection, reset_connection, set_connection};
use super::models::{
    VERSION_MARK, Versions, alter_model, create_model, describe_model, find_model, with_version,
    without,
};
use super::names::full_name;
use crate::error::{Error, Result, Span, unknown_name};
use crate::sql::ast::{AlterResource, Name, ResourceKind, StatementKind, TableOption};
use crate::sql::catalog::{Catalog, ObjectName};
use crate::sql::resource::Resource;
use crate::sql::session::Session;

/// Binds a statement about a model, connection or function.
///
/// # Errors
/// `Invalid` with the place in the text, and the nearest name where one is unknown.
pub(super) fn bind(
    statement: &StatementKind,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    match statement {
        StatementKind::CreateModel(create) => create_model(create, catalog, session),
        StatementKind::CreateConnection {
            name,
            if_not_exists,
            comment,
            options,
        } => {
            let full = full_name(name, session);
            let found = catalog.resource(ResourceKind::Connection, &full);
            match found {
                Some(_) if *if_not_exists => return Ok(nothing("CREATE_CONNECTION")),
                Some(_) => return Err(exists(&full, "connection").with_span(name.span())),
                None => {}
            }
            let connection = connection(full, options, comment.clone())
                .map_err(|error| error.with_span(name.span()))?;
            Ok(change(
                "CREATE_CONNECTION",
                None,
                Some(Resource::Connection(connection)),
            ))
        }
        StatementKind::AlterResource {
            kind,
            name,
            if_exists,
            change,
        } => alter((*kind, name, *if_exists), change, catalog, session),
        StatementKind::DropResource {
            kind: ResourceKind::Function,
            name,
            if_exists,
        } => drop_function(name, *if_exists, catalog, session),
        StatementKind::DropResource {
            kind,
            name,
            if_exists,
        } => drop(*kind, (name, *if_exists), catalog, session),
        StatementKind::DescribeResource {
            kind,
            name,
            extended,
        } => match kind {
            ResourceKind::Model => describe_model(name, catalog, session),
            ResourceKind::Connection => describe_connection(name, catalog, session),
            ResourceKind::Function => super::show_functions::describe(name, *extended),
        },
        _ => Err(Error::internal(
            "not a statement about a model or connection",
        )),
    }
}

/// A change of one model or connection.
pub(super) fn change(
    sql_kind: &'static str,
    before: Option<Arc<Resource>>,
    after: Option<Resource>,
) -> Bound {
    Bound::ChangeResource {
        sql_kind,
        before: before.map(|before| Resource::clone(&before)),
        after,
    }
}

/// A statement that has nothing to do.
pub(super) fn nothing(sql_kind: &'static str) -> Bound {
    Bound::Nothing { sql_kind }
}

/// The error for making what is there.
fn exists(name: &ObjectName, what: &str) -> Error {
    Error::exists(format!(
        "{what} {name} exists already: drop it first or say IF NOT EXISTS"
    ))
}

/// The kind of statement for `traits.sql_kind`.
fn sql_kind(verb: &str, kind: ResourceKind) -> &'static str {
    match (verb, kind) {
        ("ALTER", ResourceKind::Model) => "ALTER_MODEL",
        ("ALTER", _) => "ALTER_CONNECTION",
        (_, ResourceKind::Model) => "DROP_MODEL",
        (_, ResourceKind::Connection) => "DROP_CONNECTION",
        (_, ResourceKind::Function) => "DROP_FUNCTION",
    }
}

/// Finds a model or connection.
pub(super) fn find(
    kind: ResourceKind,
    full: &ObjectName,
    span: Span,
    catalog: &dyn Catalog,
) -> Result<Arc<Resource>> {
    catalog.resource(kind, full).ok_or_else(|| {
        let names = catalog.resource_names(kind, &full.catalog, &full.database);
        unknown_name(kind.as_str(), &full.name, names.iter().map(String::as_str)).with_span(span)
    })
}

/// Options, each once.
pub(super) fn options_of(written: &[TableOption]) -> Result<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    for TableOption { key, value } in written {
        let old = options.insert(key.value.clone(), value.value.clone());
        if old.is_some() {
            let message = format!("option '{}' is written twice", key.value);
            return Err(Error::option(message).with_span(key.span));
        }
    }
    Ok(options)
}

/// Binds `ALTER MODEL` and `ALTER CONNECTION`.
fn alter(
    (kind, name, if_exists): (ResourceKind, &Name, bool),
    what: &AlterResource,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    let sql_kind = sql_kind("ALTER", kind);
    let (full, versions) = match kind {
        ResourceKind::Model => with_version(name, session)?,
        _ => (full_name(name, session), Versions::Default),
    };
    let before = match find(kind, &full, name.span(), catalog) {
        Err(_) if if_exists => return Ok(nothing(sql_kind)),
        found => found?,
    };
    let mut after = Resource::clone(&before);
    match (&mut after, what) {
        (after, AlterResource::Rename(to)) => {
            let to_name = full_name(to, session);
            if catalog.resource(kind, &to_name).is_some() {
                return Err(exists(&to_name, kind.as_str()).with_span(to.span()));
            }
            if versions != Versions::Default
                || to_name.name.contains(VERSION_MARK) && kind == ResourceKind::Model
            {
                let message = "a version of a model cannot be renamed: leave the version out";
                return Err(Error::validation(message).with_span(name.span()));
            }
            *after.name_mut() = to_name;
        }
        (Resource::Connection(connection), AlterResource::Set(options)) => {
            for option in options {
                set_connection(connection, option)?;
            }
        }
        (Resource::Connection(connection), AlterResource::Reset(keys)) => {
            for key in keys {
                reset_connection(connection, key)?;
            }
        }
        (Resource::Model(_), change) => {
            let altered = match find_model(name, catalog, session) {
                Err(_) if if_exists => return Ok(nothing(sql_kind)),
                found => found?,
            };
            let altered = alter_model(altered, change, catalog);
            after = Resource::Model(altered.map_err(|error| error.with_span(name.span()))?);
        }
    }
    Ok(change(sql_kind, Some(before), Some(after)))
}

/// Binds `DROP MODEL` and `DROP CONNECTION`.
fn drop(
    kind: ResourceKind,
    (name, if_exists): (&Name, bool),
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    let sql_kind = sql_kind("DROP", kind);
    if kind == ResourceKind::Connection {
        let full = full_name(name, session);
        return match find(kind, &full, name.span(), catalog) {
            Err(_) if if_exists => Ok(nothing(sql_kind)),
            found => Ok(change(sql_kind, Some(found?), None)),
        };
    }
    let (model, versions) = match find_model(name, catalog, session) {
        Err(_) if if_exists => return Ok(nothing(sql_kind)),
        found => found?,
    };
    let before = catalog.resource(kind, &model.name);
    let after = without(model, versions).map(Resource::Model);
    Ok(change(sql_kind, before, after))
}

/// Binds `DROP FUNCTION`: there are no functions of users.
fn drop_function(
    name: &Name,
    if_exists: bool,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    if if_exists {
        return Ok(nothing("DROP_FUNCTION"));
    }
    let full = full_name(name, session);
    let own = full.name.to_uppercase();
    if name.parts.len() == 1 && super::show_functions::is_builtin(&own) {
        let message = format!("{own} is a function of the system and cannot be dropped");
        return Err(Error::validation(message).with_span(name.span()));
    }
    let names = catalog.resource_names(ResourceKind::Function, &full.catalog, &full.database);
    let names = names.iter().map(String::as_str);
    Err(unknown_name("user function", &full.name, names).with_span(name.span()))
}
