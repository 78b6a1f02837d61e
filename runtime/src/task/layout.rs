//! Which columns of a table live in a record's key and which in its value.
//!
//! Place in the flow: record decoder and record writer ask it. Invariant: every physical column is in the key, in the value, or in
//! both, and in neither only when the table says so.
//!
//! # Source
//! Confluent: the key holds the primary key or the DISTRIBUTED BY columns, the value the rest unless `value.fields-include` is
//! `all`. Open-source `kafka`: the key holds `key.fields`, the value everything; `upsert-kafka`: the key is the primary key.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::registry::SchemaRegistry;
use crate::format::{FormatField, PartSpec};
use crate::sql::catalog::{TableColumn, TableDef};

/// The parts of a table's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecordLayout {
    /// The key; absent when records have none.
    pub(super) key: Option<Part>,
    /// The value.
    pub(super) value: Part,
}

/// The key or the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Format name.
    pub(super) format: String,
    /// Format options, without the `key.` or `value.` in front.
    pub(super) options: BTreeMap<String, String>,
    /// Columns in order.
    pub(super) columns: Vec<String>,
    /// Encoded field of each column.
    pub(super) encoded: Vec<FormatField>,
    /// What column names begin with that encoded names do not.
    pub(super) prefix: String,
}

impl Part {
    /// A part of some columns.
    fn new(
        format: &str,
        options: BTreeMap<String, String>,
        columns: &[&TableColumn],
        prefix: &str,
    ) -> Self {
        let encoded = columns.iter().map(|column| FormatField {
            name: encoded_name(&column.name, prefix),
            ty: column.ty.clone(),
        });
        Self {
            format: format.to_owned(),
            options,
            encoded: encoded.collect(),
            columns: columns.iter().map(|column| column.name.clone()).collect(),
            prefix: prefix.to_owned(),
        }
    }

    /// What the part's decoder or encoder is made from.
    pub(super) fn spec<'a>(
        &'a self,
        subject: &'a str,
        registry: Option<&Arc<dyn SchemaRegistry>>,
    ) -> PartSpec<'a> {
        PartSpec {
            format: &self.format,
            options: &self.options,
            layout: &self.encoded,
            subject,
            registry: registry.cloned(),
        }
    }

    /// The encoded field of a column of this part.
    pub(super) fn field(&self, table: &TableDef, column: &str) -> Result<FormatField> {
        let ty = table.column(column)?.ty.clone();
        Ok(FormatField {
            name: encoded_name(column, &self.prefix),
            ty,
        })
    }
}

/// A column's name in the encoded form.
fn encoded_name(column: &str, prefix: &str) -> String {
    column.strip_prefix(prefix).unwrap_or(column).to_owned()
}

impl RecordLayout {
    /// The layout of a table.
    ///
    /// # Errors
    /// `Invalid` for a `key.fields` column that does not exist or formats that are missing.
    pub(super) fn of(table: &TableDef) -> Result<Self> {
        let connector = table.option("connector").unwrap_or("confluent");
        let value_format = table
            .option("value.format")
            .or_else(|| table.option("format"))
            .ok_or_else(|| Error::option(format!("table {} has no 'value.format'", table.name)))?;
        let key_columns = key_columns(table, connector)?;
        let includes_key = match table.option("value.fields-include") {
            None => connector != "confluent",
            Some(value) => value.eq_ignore_ascii_case("all"),
        };
        let in_value = |column: &&TableColumn| includes_key || !key_columns.contains(&column.name);
        let value = Part::new(
            value_format,
            part_options(table, "value."),
            &table.physical().filter(in_value).collect::<Vec<_>>(),
            "",
        );
        let key_columns = key_columns
            .iter()
            .map(|name| table.column(name))
            .collect::<Result<Vec<_>>>()?;
        let key = (!key_columns.is_empty()).then(|| {
            let format = table.option("key.format").unwrap_or(value_format);
            let prefix = table.option("key.fields-prefix").unwrap_or_default();
            Part::new(format, part_options(table, "key."), &key_columns, prefix)
        });
        Ok(Self { key, value })
    }
}

/// Columns of the key.
fn key_columns(table: &TableDef, connector: &str) -> Result<Vec<String>> {
    if connector == "kafka" {
        let fields = table
            .option("key.fields")
            .unwrap_or_default()
            .split(';')
            .map(str::trim);
        let fields: Vec<String> = fields
            .filter(|field| !field.is_empty())
            .map(str::to_owned)
            .collect();
        for field in &fields {
            table
                .column(field)
                .map_err(|error| error.context("option 'key.fields'"))?;
        }
        return Ok(fields);
    }
    Ok(if table.primary_key.is_empty() {
        table.distributed_by.clone()
    } else {
        table.primary_key.clone()
    })
}

/// Options of one part: those without a prefix, overridden by those with it.
fn part_options(table: &TableDef, prefix: &str) -> BTreeMap<String, String> {
    let mut options: BTreeMap<String, String> = table
        .options
        .iter()
        .filter(|(key, _)| !key.starts_with("key.") && !key.starts_with("value."))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let own = table
        .options
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value)));
    options.extend(own.map(|(key, value)| (key.to_owned(), value.clone())));
    options
}
