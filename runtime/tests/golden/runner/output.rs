//! What the statements of a case wrote, as rows.
//!
//! Place in the flow: read from the topics when all jobs have ended. Invariant: a value is the text that the format wrote, never a number
//! that was parsed and printed again, so that no digit gets lost.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::value::RawValue;
use weir_runtime::connector::log::LogStore;
use weir_runtime::connector::source::RawBatch;
use weir_runtime::sql::catalog::{ColumnKind, TableDef};

use super::Result;
use super::case::DEAD_LETTERS;
use super::input::Fields;
use super::script::Script;

/// Bytes and rows read at once: everything, in practice.
const READ_MAX: (usize, usize) = (1 << 20, 1 << 16);

/// Name of the header that carries the row kind in retract topics.
const OP_HEADER: &[u8] = b"op";

/// Columns of an error table that say what happened and not when; the last one is spread out.
const ERROR_COLUMNS: [&str; 4] = [
    "error_code",
    "error_reason",
    "error_message",
    "affected_name",
];

/// Fields of a dead letter's record that a case decides.
const RECORD_FIELDS: [&str; 5] = ["partition", "offset", "timestamp", "key", "value"];

/// A change of a table.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Key text; empty for tables without a key.
    pub(crate) key: String,
    /// The row as JSON text; absent for a deleted key.
    pub(crate) row: Option<String>,
    /// Whether the row goes away.
    pub(crate) is_retraction: bool,
}

/// How changes make rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Every record is a row.
    Append,
    /// The last record of a key is its row.
    Upsert,
    /// Rows come and go.
    Retract,
}

/// Everything written to a table.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// How changes make rows.
    pub(crate) mode: Mode,
    /// Changes in the order of partitions and offsets.
    pub(crate) changes: Vec<Change>,
}

/// Reads what was written, by table; all error tables together are [`DEAD_LETTERS`].
///
/// # Errors
/// When a topic cannot be read or holds what is not JSON.
pub(crate) fn read(script: &Script, log: &LogStore) -> Result<BTreeMap<String, Written>> {
    let mut tables = BTreeMap::new();
    for table in script.written() {
        let name = &table.name.name;
        let is_error_table = script.error_tables.contains(name);
        let mut changes = Vec::new();
        each_record(log, name, |batch, row| {
            let change = change(table, batch, row, is_error_table)
                .map_err(|error| format!("table {name}: {error}"))?;
            changes.push(change);
            Ok(())
        })?;
        if is_error_table {
            let dead = tables
                .entry(DEAD_LETTERS.to_owned())
                .or_insert_with(|| Written {
                    mode: Mode::Append,
                    changes: Vec::new(),
                });
            dead.changes.extend(changes);
        } else {
            let mode = match table.option("changelog.mode") {
                Some("upsert") => Mode::Upsert,
                Some("retract") => Mode::Retract,
                _ => Mode::Append,
            };
            tables.insert(name.clone(), Written { mode, changes });
        }
    }
    Ok(tables)
}

/// Visits the records of a topic in the order of partitions and offsets.
fn each_record(
    log: &LogStore,
    topic: &str,
    mut visit: impl FnMut(&RawBatch, usize) -> Result<()>,
) -> Result<()> {
    let text = |error: weir_runtime::Error| error.to_string();
    let partitions = log.topic(topic).map_or(0, |config| config.partitions);
    for partition in 0..partitions {
        let mut offset = log.start_offset(topic, partition).map_err(text)?;
        let end = log.end_offset(topic, partition).map_err(text)?;
        while offset < end {
            let (bytes_max, rows_max) = READ_MAX;
            let batch = log
                .read(topic, partition, offset, bytes_max, rows_max)
                .map_err(text)?;
            for row in 0..batch.rows() {
                visit(&batch, row)?;
            }
            offset = match batch.offsets.last() {
                Some(last) => last + 1,
                None => end,
            };
        }
    }
    Ok(())
}

/// A record as a change.
fn change(table: &TableDef, batch: &RawBatch, row: usize, is_error_table: bool) -> Result<Change> {
    let key = batch.key(row).map(text).transpose()?.unwrap_or_default();
    let Some(value) = batch.value(row) else {
        return Ok(Change {
            key: key.to_owned(),
            row: None,
            is_retraction: true,
        });
    };
    let mut fields: Fields = parsed(text(value)?)?;
    if !key.is_empty() {
        fields.extend(parsed::<Fields>(key)?);
    }
    let rendered = if is_error_table {
        dead_letter(&fields)?
    } else {
        let columns = table.columns.iter().filter_map(|column| {
            let value = match &column.kind {
                ColumnKind::Physical => fields.get(&column.name)?.get().to_owned(),
                ColumnKind::Metadata { is_virtual, .. } if !is_virtual => {
                    batch.timestamps_ms[row].to_string()
                }
                ColumnKind::Metadata { .. } | ColumnKind::Computed(_) => return None,
            };
            Some((column.name.clone(), value))
        });
        object(columns)
    };
    let headers = batch
        .headers
        .get(row)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let op = headers
        .iter()
        .find(|(name, _)| name.of(&batch.buffer) == OP_HEADER)
        .and_then(|(_, value)| value.map(|value| value.of(&batch.buffer)));
    Ok(Change {
        key: key.to_owned(),
        row: Some(rendered),
        is_retraction: matches!(op, Some([1 | 3])),
    })
}

/// A dead letter without what differs from run to run; key and value as text where they are text.
fn dead_letter(fields: &Fields) -> Result<String> {
    let mut columns = Vec::new();
    for name in ERROR_COLUMNS {
        if let Some(value) = fields.get(name) {
            columns.push((name.to_owned(), value.get().to_owned()));
        }
    }
    let record = fields
        .get("source_record")
        .ok_or("a dead letter without its record")?;
    let record: Fields = parsed(record.get())?;
    for name in RECORD_FIELDS {
        let value = record.get(name).map_or("null", |value| value.get());
        let value = match name {
            "key" | "value" => decoded(value)?,
            _ => value.to_owned(),
        };
        columns.push((name.to_owned(), value));
    }
    Ok(object(columns.into_iter()))
}

/// A JSON string of base64 as the text that is in it.
fn decoded(json: &str) -> Result<String> {
    use base64::Engine;
    let Some(encoded) = parsed::<Option<String>>(json)? else {
        return Ok("null".to_owned());
    };
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(&encoded)
        .map_err(|error| error.to_string())?;
    let decoded = String::from_utf8_lossy(&bytes);
    serde_json::to_string(&decoded).map_err(|error| error.to_string())
}

/// JSON text of an object in the order given.
fn object(columns: impl Iterator<Item = (String, String)>) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in columns.enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let name = serde_json::Value::String(name);
        write!(text, "{comma}{name}: {value}").expect("writing to a string cannot fail");
    }
    text.push('}');
    text
}

/// Bytes as text.
fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| error.to_string())
}

/// JSON text as a value.
fn parsed<T: serde::de::DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| format!("{json}: {error}"))
}

/// An expected line as the runner would print it, so that spaces do not matter.
///
/// # Errors
/// When the line is not a JSON object.
pub(crate) fn normal(line: &str) -> Result<String> {
    /// Fields in the order of the text.
    struct InOrder(Vec<(String, String)>);
    impl<'de> serde::Deserialize<'de> for InOrder {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            /// Collects fields.
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = InOrder;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a row")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<InOrder, A::Error> {
                    let mut fields = Vec::new();
                    while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                        fields.push((name, value.get().to_owned()));
                    }
                    Ok(InOrder(fields))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    Ok(object(parsed::<InOrder>(line)?.0.into_iter()))
}
