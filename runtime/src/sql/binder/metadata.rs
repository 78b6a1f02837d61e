//! Metadata columns: what a record has besides its key and value, and what its format tells.
//!
//! Place in the flow: CREATE TABLE and ALTER TABLE declare them here. Invariant: a column that is declared can be read, and one that is
//! not VIRTUAL can be written.

use super::options::connector;
use super::scan::{has_timestamps, rowtime_type};
use super::table_format::value_format;
use crate::error::{Error, Result, Span, unknown_name};
use crate::format::changelog::{Readable, readable};
use crate::sql::catalog::{ColumnKind, TableDef};
use crate::types::{FlinkType, TypeKind};

/// What keys of metadata of the value's format begin with.
///
/// # Source
/// Flink 2.3, Kafka connector: metadata of formats.
const FORMAT_PREFIX: &str = "value.";

/// Keys of metadata of records.
const METADATA_KEYS: [&str; 9] = [
    "headers",
    "leader-epoch",
    "offset",
    "partition",
    "raw-key",
    "raw-value",
    "timestamp",
    "timestamp-type",
    "topic",
];

/// Metadata of a record: its type, and whether a sink can write it.
///
/// # Source
/// Confluent: metadata columns.
fn metadata(key: &str) -> Option<(FlinkType, bool)> {
    let bytes = || TypeKind::bytes().not_null();
    Some(match key {
        "headers" => (
            TypeKind::Map(Box::new(bytes()), Box::new(bytes())).not_null(),
            true,
        ),
        "leader-epoch" => (TypeKind::Int.nullable(), false),
        "offset" => (TypeKind::BigInt.not_null(), false),
        "partition" => (TypeKind::Int.not_null(), false),
        "raw-key" | "raw-value" => (bytes(), false),
        "timestamp" => (rowtime_type(), true),
        "timestamp-type" | "topic" => (TypeKind::string().not_null(), false),
        _ => return None,
    })
}

/// The metadata of the value's format.
fn format_metadata(table: &TableDef) -> &'static [Readable] {
    value_format(table).map_or(&[], |(_, format)| readable(format))
}

/// A metadata column.
///
/// # Errors
/// `Invalid` for a key that there is not, with the nearest one; `Unsupported` for another type than it has.
pub(super) fn metadata_column(
    table: &TableDef,
    ty: &FlinkType,
    (key, span): (&str, Span),
    is_virtual: bool,
) -> Result<ColumnKind> {
    let connector = connector(&table.options);
    if !has_timestamps(table) {
        return Err(
            Error::validation(format!("connector '{connector}' has no metadata")).with_span(span),
        );
    }
    let of_format = key.strip_prefix(FORMAT_PREFIX).and_then(|key| {
        let mut all = format_metadata(table).iter();
        all.find(|readable| readable.key == key)
    });
    let found = match of_format {
        Some(readable) => Some((readable.ty(), false)),
        None => metadata(key),
    };
    let Some((own, is_writable)) = found else {
        let keys: Vec<String> = format_metadata(table)
            .iter()
            .map(|readable| format!("{FORMAT_PREFIX}{}", readable.key))
            .collect();
        let all = METADATA_KEYS
            .into_iter()
            .chain(keys.iter().map(String::as_str));
        return Err(unknown_name("metadata key", key, all).with_span(span));
    };
    if !is_same(key, ty, &own) {
        return Err(
            Error::unsupported(format!("metadata '{key}' as {ty}: declare it as {own}"))
                .with_span(span),
        );
    }
    if !is_virtual && !is_writable {
        return Err(Error::validation(format!(
            "metadata '{key}' is read-only: declare the column VIRTUAL"
        ))
        .with_span(span));
    }
    Ok(ColumnKind::Metadata {
        key: key.to_owned(),
        is_virtual,
    })
}

/// Whether metadata can be declared as a type.
///
/// # Source
/// Names of headers are BYTES in Confluent and STRING in Flink.
fn is_same(key: &str, declared: &FlinkType, own: &FlinkType) -> bool {
    match (&declared.kind, &own.kind) {
        (TypeKind::Map(k, v), TypeKind::Map(l, w)) => {
            let is_name = key == "headers" && k.kind == TypeKind::string();
            (k.kind == l.kind || is_name) && v.kind == w.kind
        }
        (TypeKind::Array(a), TypeKind::Array(b)) => a.kind == b.kind,
        (a, b) => a == b,
    }
}
