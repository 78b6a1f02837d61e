//! Rules and defaults of a whole table definition.
//!
//! Place in the flow: the last step of CREATE TABLE and ALTER TABLE. Invariant: what passes can be read and written by its
//! connector, as far as that is known without the outside world.

use super::options;
use super::options::connector;
use super::scan::changelog_mode;
use super::table_format::{self, carries_changes, value_format};
use crate::error::{Error, Result, unknown_name};
use crate::format::changelog::Dialect;
use crate::plan::ChangelogMode;
use crate::sql::ast::Name;
use crate::sql::catalog::TableDef;

/// The value format of tables that name none.
///
/// # Source
/// Confluent: WITH options, `value.format` and `key.format`.
const DEFAULT_FORMAT: &str = "avro-registry";

/// Checks a definition as a whole and fills in defaults.
pub(super) fn complete(table: &mut TableDef, name: &Name) -> Result<()> {
    let span = name.span();
    let connector = connector(&table.options).to_owned();
    let mut default = |key: &str, value: &str| {
        table
            .options
            .entry(key.to_owned())
            .or_insert_with(|| value.to_owned());
    };
    default("connector", options::DEFAULT_CONNECTOR);
    if connector == options::DEFAULT_CONNECTOR {
        default("value.format", DEFAULT_FORMAT);
    }
    let mode = changelog_mode(table).map_err(|error| error.with_span(span))?;
    check_mode(table, &connector, mode).map_err(|error| error.with_span(span))?;
    if connector == options::DEFAULT_CONNECTOR {
        complete_topic(table, mode).map_err(|error| error.with_span(span))?;
    }
    table_format::check(table).map_err(|error| error.with_span(span))?;
    require_options(table, &connector).map_err(|error| error.with_span(span))
}

/// Refuses changelog modes and keys that a connector does not have.
fn check_mode(table: &TableDef, connector: &str, mode: ChangelogMode) -> Result<()> {
    let allowed: &[ChangelogMode] = match connector {
        "confluent" | "faker" => &[
            ChangelogMode::Append,
            ChangelogMode::Upsert,
            ChangelogMode::Retract,
        ],
        "upsert-kafka" => &[ChangelogMode::Upsert],
        _ if carries_changes(table) => &[ChangelogMode::Retract],
        _ => &[ChangelogMode::Append],
    };
    if let Some((option, format)) = value_format(table).filter(|_| carries_changes(table))
        && mode != ChangelogMode::Retract
        && connector != "upsert-kafka"
    {
        return Err(Error::option(format!(
            "'changelog.mode' of a table with '{option}' = '{format}' is retract: each record says what it does to its rows"
        )));
    }
    if !allowed.contains(&mode) {
        return Err(Error::option(format!(
            "connector '{connector}' does not have this 'changelog.mode'"
        )));
    }
    if connector == "kafka" && !table.primary_key.is_empty() && !carries_changes(table) {
        return Err(Error::validation(
            "connector 'kafka' does not support a PRIMARY KEY without a format of changes: use 'upsert-kafka' or 'confluent'",
        ));
    }
    let distributes = !table.distributed_by.is_empty() || table.buckets.is_some();
    if connector != options::DEFAULT_CONNECTOR && distributes {
        return Err(Error::validation(format!(
            "connector '{connector}' does not support DISTRIBUTED"
        )));
    }
    Ok(())
}

/// Sets what a topic of its own needs.
///
/// # Source
/// Confluent: CREATE TABLE, defaults and rules of DISTRIBUTED BY.
fn complete_topic(table: &mut TableDef, mode: ChangelogMode) -> Result<()> {
    let text = match mode {
        ChangelogMode::Append => "append",
        ChangelogMode::Upsert => "upsert",
        ChangelogMode::Retract => "retract",
    };
    table
        .options
        .insert("changelog.mode".to_owned(), text.to_owned());
    let key = &table.primary_key;
    if table.distributed_by.is_empty() {
        table.distributed_by.clone_from(key);
    }
    let fits = match mode {
        ChangelogMode::Upsert => {
            table.distributed_by.len() == key.len()
                && key
                    .iter()
                    .all(|column| table.distributed_by.contains(column))
        }
        ChangelogMode::Append | ChangelogMode::Retract => {
            key.is_empty()
                || table
                    .distributed_by
                    .iter()
                    .all(|column| key.contains(column))
        }
    };
    if !fits {
        return Err(Error::validation(
            "the columns of DISTRIBUTED BY are those of the PRIMARY KEY, or some of them in an append or retract table",
        ));
    }
    if !table.distributed_by.is_empty() {
        let format = table.option("value.format").unwrap_or(DEFAULT_FORMAT);
        let format = Dialect::plain(format).to_owned();
        table
            .options
            .entry("key.format".to_owned())
            .or_insert(format);
    }
    Ok(())
}

/// Refuses a table without the options its connector needs.
fn require_options(table: &TableDef, connector: &str) -> Result<()> {
    let required: &[&str] = match connector {
        "kafka" => &["topic", "properties.bootstrap.servers"],
        "upsert-kafka" => &[
            "topic",
            "properties.bootstrap.servers",
            "key.format",
            "value.format",
        ],
        "filesystem" => &["path", "format"],
        _ => &[],
    };
    if let Some(missing) = required.iter().find(|key| table.option(key).is_none()) {
        return Err(Error::option(format!(
            "connector '{connector}': option '{missing}' is missing"
        )));
    }
    if connector == "kafka"
        && table.option("format").is_none()
        && table.option("value.format").is_none()
    {
        return Err(Error::option(
            "connector 'kafka': option 'format' is missing",
        ));
    }
    if connector == "upsert-kafka" && table.primary_key.is_empty() {
        return Err(Error::validation(
            "connector 'upsert-kafka' needs a PRIMARY KEY",
        ));
    }
    let field = |key: &str| {
        Some(
            key.strip_prefix("fields.")?
                .rsplit_once('.')?
                .0
                .split('.')
                .next()?
                .to_owned(),
        )
    };
    for key in table.options.keys() {
        if let Some(column) = field(key)
            && !table.physical().any(|physical| physical.name == column)
        {
            let names = table.physical().map(|column| column.name.as_str());
            return Err(unknown_name("column", &column, names).context(&format!("option '{key}'")));
        }
    }
    if connector == "faker" {
        let has = |name: &str| {
            table
                .options
                .keys()
                .any(|key| key.ends_with(".expression") && field(key).as_deref() == Some(name))
        };
        if let Some(missing) = table.physical().find(|column| !has(&column.name)) {
            return Err(Error::option(format!(
                "connector 'faker': option 'fields.{}.expression' is missing",
                missing.name
            )));
        }
    }
    Ok(())
}
