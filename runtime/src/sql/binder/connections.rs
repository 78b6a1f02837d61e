//! Connections: their options, their secrets and what is shown of them.
//!
//! Place in the flow: `resources` binds statements about connections with this. Invariant: a secret leaves this file only inside a
//! definition, and no message has a value in it.

use std::collections::BTreeMap;

use super::Bound;
use super::names::full_name;
use super::resources::{find, options_of};
use super::show::rows;
use crate::error::{Error, Result, unknown_name};
use crate::sql::ast::{Literal, Name, ResourceKind, TableOption};
use crate::sql::catalog::{Catalog, ObjectName};
use crate::sql::redact::{MASK, PUBLIC};
use crate::sql::resource::{ConnectionDef, Resource, Secret};
use crate::sql::session::{Session, ValueKind, check_value};

/// Kinds of services that connections reach.
///
/// # Source
/// Confluent: types of connections in `sql/v1`, in lower case as CREATE CONNECTION takes them.
const SERVICES: &[&str] = &[
    "a2a",
    "anthropic",
    "azureml",
    "azureopenai",
    "bedrock",
    "confluent_jdbc",
    "cosmosdb",
    "couchbase",
    "elastic",
    "fireworksai",
    "googleai",
    "mcp_server",
    "mongodb",
    "openai",
    "pinecone",
    "rest",
    "s3vectors",
    "sagemaker",
    "vertexai",
];

/// Options of connections that are secrets.
///
/// # Source
/// Confluent: CREATE CONNECTION and flags of `confluent flink connection create`.
const SECRETS: [&str; 8] = [
    "api-key",
    "aws-access-key",
    "aws-secret-key",
    "aws-session-token",
    "client-secret",
    "password",
    "service-key",
    "token",
];

/// Longest secret, in bytes.
///
/// # Source
/// Confluent: connections of `sql/v1`.
const SECRET_BYTES_MAX: usize = 4000;

/// The definition of a connection.
pub(super) fn connection(
    name: ObjectName,
    written: &[TableOption],
    comment: Option<String>,
) -> Result<ConnectionDef> {
    let mut options = options_of(written)?;
    let mut take = |key: &str| {
        let missing = || Error::option(format!("option '{key}' is missing"));
        options.remove(key).ok_or_else(missing)
    };
    let service = take("type")?.to_lowercase();
    let endpoint = take("endpoint")?;
    check_value("option", "type", &service, ValueKind::OneOf(SERVICES))?;
    let mut connection = ConnectionDef {
        name,
        service,
        endpoint,
        options: BTreeMap::new(),
        secrets: BTreeMap::new(),
        comment,
    };
    for option in written {
        if !["type", "endpoint"].contains(&option.key.value.as_str()) {
            set_connection(&mut connection, option)?;
        }
    }
    Ok(connection)
}

/// Sets an option of a connection; a message never has the value in it.
pub(super) fn set_connection(connection: &mut ConnectionDef, option: &TableOption) -> Result<()> {
    let TableOption { key, value } = option;
    let name = key.value.as_str();
    if ["type", "endpoint"].contains(&name) {
        return Err(Error::option(format!(
            "option '{name}' of a connection cannot be changed: drop it and create it anew"
        ))
        .with_span(key.span));
    }
    if PUBLIC.contains(&name) {
        connection
            .options
            .insert(name.to_owned(), value.value.clone());
        return Ok(());
    }
    if !SECRETS.contains(&name) {
        let known = PUBLIC.into_iter().chain(SECRETS);
        return Err(unknown_name("option", name, known).with_span(key.span));
    }
    if value.value == MASK || value.value.is_empty() {
        return Err(Error::option(format!(
            "the value of option '{name}' is masked or empty: write the secret itself"
        ))
        .with_span(value.span));
    }
    if value.value.len() > SECRET_BYTES_MAX {
        return Err(Error::option(format!(
            "the value of option '{name}' is longer than {SECRET_BYTES_MAX} bytes"
        ))
        .with_span(value.span));
    }
    let secret = Secret(value.value.clone());
    connection.secrets.insert(name.to_owned(), secret);
    Ok(())
}

/// Answers `DESCRIBE CONNECTION`.
pub(super) fn describe_connection(
    name: &Name,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Bound> {
    let full = full_name(name, session);
    let found = find(ResourceKind::Connection, &full, name.span(), catalog)?;
    let Resource::Connection(connection) = &*found else {
        return Err(Error::internal("a model among the connections"));
    };
    let shown = connection.options.iter();
    let shown = shown.map(|(key, value)| format!("'{key}' = '{value}'"));
    let masked = connection.secrets.keys();
    let masked = masked.map(|key| format!("'{key}' = '{MASK}'"));
    let options: Vec<String> = shown.chain(masked).collect();
    let row = vec![
        Some(connection.name.name.clone()),
        Some(connection.service.to_uppercase()),
        Some(connection.endpoint.clone()),
        Some(options.join(", ")),
        connection.comment.clone(),
    ];
    Ok(rows(
        "DESCRIBE_CONNECTION",
        &["Name", "Type", "Endpoint", "Options", "Comment"],
        vec![row],
    ))
}

/// Takes an option from a connection.
pub(super) fn reset_connection(connection: &mut ConnectionDef, key: &Literal) -> Result<()> {
    let was = connection.options.remove(&key.value).is_some()
        | connection.secrets.remove(&key.value).is_some();
    if was {
        return Ok(());
    }
    let known = connection.options.keys().chain(connection.secrets.keys());
    let error = unknown_name("option", &key.value, known.map(String::as_str));
    Err(error.with_span(key.span))
}
