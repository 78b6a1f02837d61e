//! Formats of a table: which part of records has which, and which columns and options are for it.
//!
//! Place in the flow: the last step of CREATE TABLE and ALTER TABLE asks it. Invariant: every option of a format is for the format of
//! its part and known to it, so that none is overlooked.
//!
//! # Source
//! Flink 2.3, Kafka and Upsert Kafka connectors: key and value formats, and their rules for `key.fields`; Confluent, CREATE TABLE.

use std::collections::BTreeMap;

use super::options::{connector, format_option};
use crate::error::{Error, Result};
use crate::format::changelog::Dialect;
use crate::format::check_options;
use crate::sql::catalog::TableDef;

/// The name of the option with the format of values, and the format.
pub(super) fn value_format(table: &TableDef) -> Option<(&'static str, &str)> {
    let named = |option| Some((option, table.option(option)?));
    named("value.format").or_else(|| named("format"))
}

/// Whether records of a table are changes by their format.
pub(super) fn carries_changes(table: &TableDef) -> bool {
    value_format(table).is_some_and(|(_, format)| Dialect::of(format).is_some())
}

/// Checks the formats of a table.
///
/// # Errors
/// `Invalid`, naming the option and the way out.
pub(super) fn check(table: &TableDef) -> Result<()> {
    let connector = connector(&table.options);
    if let Some(format) = table.option("key.format")
        && Dialect::of(format).is_some()
    {
        return Err(Error::option(format!(
            "option 'key.format': keys have no changes, and '{format}' is a format of changes; there is '{}'",
            Dialect::plain(format)
        )));
    }
    if let Some((option, format)) = value_format(table)
        && connector == "upsert-kafka"
        && Dialect::of(format).is_some()
    {
        return Err(Error::option(format!(
            "option '{option}': connector 'upsert-kafka' has upserts, and '{format}' is a format of changes; use connector 'kafka'"
        )));
    }
    check_format_options(table, connector)?;
    if matches!(connector, "kafka" | "upsert-kafka") {
        check_keys(table, connector)?;
    }
    check_prefix(table, connector)
}

/// Checks the options of formats, each against the format of its part.
fn check_format_options(table: &TableDef, connector: &str) -> Result<()> {
    let chosen = [
        ("key.", "key.format"),
        ("value.", "value.format"),
        ("", "format"),
    ];
    for key in table.options.keys() {
        let Some((part, format)) = format_option(connector, key) else {
            continue;
        };
        let option = chosen
            .iter()
            .find(|(of, _)| *of == part)
            .map_or("format", |(_, option)| option);
        if table.option(option) == Some(format) {
            continue;
        }
        let name = &key[part.len()..];
        let other = chosen
            .iter()
            .find(|(of, option)| *of != part && table.option(option) == Some(format));
        let way_out = match (other, table.option(option)) {
            (Some((of, _)), _) => format!("did you mean \"{of}{name}\"?"),
            (None, Some(has)) => format!("'{option}' is '{has}'"),
            (None, None) => format!("there is no '{option}'"),
        };
        return Err(Error::option(format!(
            "option '{key}' is for '{option}' = '{format}': {way_out}"
        )));
    }
    for (part, option) in chosen {
        let Some(format) = table.option(option) else {
            continue;
        };
        let own = table.options.iter().filter_map(|(key, value)| {
            let (of, _) = format_option(connector, key)?;
            (of == part).then(|| (key[part.len()..].to_owned(), value.clone()))
        });
        let own: BTreeMap<String, String> = own.collect();
        check_options(format, &own).map_err(|error| {
            if part.is_empty() || own.is_empty() {
                error
            } else {
                error.context(&format!("options that begin with '{part}'"))
            }
        })?;
    }
    Ok(())
}

/// Checks `key.fields` against the columns and `key.format`.
fn check_keys(table: &TableDef, connector: &str) -> Result<()> {
    let fields: Option<Vec<&str>> = table.option("key.fields").map(|fields| {
        let fields = fields.split(';').map(str::trim);
        fields.filter(|field| !field.is_empty()).collect()
    });
    if connector == "upsert-kafka" {
        return match fields {
            Some(_) => Err(Error::option(
                "option 'key.fields': the key of connector 'upsert-kafka' is the PRIMARY KEY; leave it out",
            )),
            None => Ok(()),
        };
    }
    let fields = fields.unwrap_or_default();
    match (table.option("key.format"), fields.is_empty()) {
        (None, true) | (Some(_), false) => {}
        (None, false) => {
            return Err(Error::option(
                "option 'key.fields' needs the option 'key.format'",
            ));
        }
        (Some(_), true) => {
            return Err(Error::option(
                "option 'key.format' needs the option 'key.fields' with at least one column",
            ));
        }
    }
    for field in fields {
        if !table.physical().any(|column| column.name == field) {
            let names: Vec<&str> = table
                .physical()
                .map(|column| column.name.as_str())
                .collect();
            let error = crate::error::unknown_name("physical column", field, names.iter().copied());
            return Err(error.context("option 'key.fields'"));
        }
        let prefix = table.option("key.fields-prefix").unwrap_or_default();
        if !field.starts_with(prefix) {
            return Err(Error::option(format!(
                "option 'key.fields': \"{field}\" does not begin with \"{prefix}\", the 'key.fields-prefix'"
            )));
        }
    }
    Ok(())
}

/// Checks that a prefix of key columns does not meet values that have them too.
fn check_prefix(table: &TableDef, connector: &str) -> Result<()> {
    let has_prefix = table
        .option("key.fields-prefix")
        .is_some_and(|prefix| !prefix.is_empty());
    let includes_keys = match table.option("value.fields-include") {
        Some(include) => include.eq_ignore_ascii_case("all"),
        None => connector != super::options::DEFAULT_CONNECTOR,
    };
    if has_prefix && includes_keys {
        let without = if connector == super::options::DEFAULT_CONNECTOR {
            "except-key"
        } else {
            "EXCEPT_KEY"
        };
        return Err(Error::option(format!(
            "option 'key.fields-prefix' needs 'value.fields-include' = '{without}', since the columns would be in the value as well"
        )));
    }
    Ok(())
}
