//! The rows of a case's tables as records of topics.
//!
//! Place in the flow: a case encodes the rows of each table once; a world appends them. Invariant: records are encoded by the runtime's own
//! format, from arrays that it did not make.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use weir_runtime::format::{FormatField, PartSpec};
use weir_runtime::sql::catalog::{TableColumn, TableDef};
use weir_runtime::{Batch, Error, Result, RowKind};

use crate::value::array;

/// The format of keys and values.
const FORMAT: &str = "json";

/// The phase of rows that are read after a restore.
const AFTER: &str = "after";

/// A table that is read.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its name, which its topic has too.
    pub(crate) name: String,
    /// Records that are read first.
    pub(crate) before: Vec<Encoded>,
    /// Records that are read after a savepoint, a stop and a restore.
    pub(crate) after: Vec<Encoded>,
}

/// A record of a topic.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// Key; absent in tables without a primary key.
    pub(crate) key: Option<Vec<u8>>,
    /// Value; absent for the delete of a key.
    pub(crate) value: Option<Vec<u8>>,
    /// The value of the header `op`; absent for inserts.
    pub(crate) op: Option<[u8; 1]>,
}

/// The rows of a table, wherever they are.
///
/// # Errors
/// `Internal` when their file cannot be read, or is not among the case files at all.
pub(crate) fn of(table: &Value, dir: &Path) -> Result<Vec<Value>> {
    if let (Value::Null, Some(file)) = (&table["rows"], table["input_file"]["path"].as_str()) {
        return Err(Error::internal(format!(
            "the rows are in a file that does not come with the cases: {file}"
        )));
    }
    let Some(file) = table["rows_file"].as_str() else {
        return Ok(table["rows"].as_array().cloned().unwrap_or_default());
    };
    let unread = |error: &dyn std::fmt::Display| Error::internal(format!("read {file}: {error}"));
    let text = std::fs::read_to_string(dir.join(file)).map_err(|error| unread(&error))?;
    serde_json::from_str(&text).map_err(|error| unread(&error))
}

/// The options of a table of the case whose records are in a topic of its name.
pub(crate) fn topic_options(table: &TableDef) -> BTreeMap<String, String> {
    let mode = table.option("changelog.mode").unwrap_or("append");
    let options = [
        ("connector", "confluent"),
        ("changelog.mode", mode),
        ("key.format", FORMAT),
        ("value.format", FORMAT),
        ("value.fields-include", "all"),
    ];
    options
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

impl Source {
    /// A table of the case with its rows.
    ///
    /// # Errors
    /// `Internal` when a row has not the shape of the table; what the format does not take.
    pub(crate) fn new(table: &TableDef, rows: &[Value]) -> Result<Self> {
        let is_after = |row: &&Value| row["phase"] == AFTER;
        let (after, before): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(is_after);
        Ok(Self {
            name: table.name.name.clone(),
            before: encode(table, &before)?,
            after: encode(table, &after)?,
        })
    }
}

/// Rows as records.
fn encode(table: &TableDef, rows: &[&Value]) -> Result<Vec<Encoded>> {
    let mode = table.option("changelog.mode");
    let physical: Vec<&TableColumn> = table.physical().collect();
    let is_key = |column: &TableColumn| table.primary_key.contains(&column.name);
    let mut keys = if table.primary_key.is_empty() {
        vec![None; rows.len()]
    } else {
        some(part(&physical, rows, is_key)?)
    };
    let mut values = some(part(&physical, rows, |_| true)?);
    let kinds = rows.iter().map(|row| kind(row));
    let records = kinds.enumerate().map(|(index, kind)| {
        let kind = kind?;
        let is_deleted = mode == Some("upsert") && kind.is_retraction();
        let has_kind = mode == Some("retract") && kind != RowKind::Insert;
        Ok(Encoded {
            key: keys[index].take(),
            value: values[index].take().filter(|_| !is_deleted),
            op: has_kind.then_some([kind as u8]),
        })
    });
    records.collect()
}

/// Each of them.
fn some<T>(values: Vec<T>) -> Vec<Option<T>> {
    values.into_iter().map(Some).collect()
}

/// The chosen columns of rows, encoded.
fn part(
    physical: &[&TableColumn],
    rows: &[&Value],
    is_chosen: impl Fn(&TableColumn) -> bool,
) -> Result<Vec<Vec<u8>>> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (index, column) in physical.iter().enumerate() {
        if is_chosen(column) {
            let value = |row: &&'_ Value| -> Value { row["values"][index].clone() };
            let values: Vec<Value> = rows.iter().map(value).collect();
            columns.push(array(&column.ty, &values.iter().collect::<Vec<_>>())?);
            fields.push(FormatField {
                name: column.name.clone(),
                ty: column.ty.clone(),
            });
        }
    }
    let spec = PartSpec {
        format: FORMAT,
        options: &BTreeMap::new(),
        layout: &fields,
        subject: "",
        registry: None,
    };
    let (mut buffer, mut ends) = (Vec::new(), Vec::new());
    let batch = Batch::inserts(columns, rows.len());
    let mut encoder = spec.encoder(&fields)?;
    encoder.encode(&batch, &mut buffer, &mut ends)?;
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let ranges = starts.zip(&ends);
    Ok(ranges
        .map(|(start, end)| buffer[start..*end].to_vec())
        .collect())
}

/// What a row does.
fn kind(row: &Value) -> Result<RowKind> {
    match row["kind"].as_str() {
        None | Some("+I") => Ok(RowKind::Insert),
        Some("-U") => Ok(RowKind::UpdateBefore),
        Some("+U") => Ok(RowKind::UpdateAfter),
        Some("-D") => Ok(RowKind::Delete),
        Some(other) => Err(Error::internal(format!("the case has a row kind {other}"))),
    }
}
