//! The rows of a case's tables as records of topics.
//!
//! Place in the flow: a case encodes the rows of each table once; a world appends them. Invariant: records are encoded by the runtime's own
//! format, from arrays that it did not make.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use weir_runtime::format::{FormatField, PartSpec};
use weir_runtime::sql::catalog::{TableColumn, TableDef};
use weir_runtime::types::{FlinkType, RowField, TypeKind};
use weir_runtime::{Batch, Error, Kind, Result, RowKind};

use crate::registry::Registry;
use crate::value::array;

/// The format of keys and values.
const FORMAT: &str = "json";

/// The format of values with types that JSON has not: maps whose keys are no text.
const FORMAT_OF_ANY: &str = "avro-registry";

/// Length of a VARBINARY that takes everything.
///
/// # Source
/// Flink: `BYTES`.
const BYTES_MAX: u32 = i32::MAX as u32;

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
        ("value.format", value_format(table)),
        ("value.fields-include", "all"),
    ];
    options
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The format of a table's values.
fn value_format(table: &TableDef) -> &'static str {
    let fields: Vec<FormatField> = table.physical().map(field).collect();
    match spec(FORMAT, &fields, "").encoder(&fields) {
        Err(error) if error.kind == Kind::Unsupported => FORMAT_OF_ANY,
        Ok(_) | Err(_) => FORMAT,
    }
}

/// A column as formats know it.
fn field(column: &TableColumn) -> FormatField {
    FormatField {
        name: column.name.clone(),
        ty: column.ty.clone(),
    }
}

/// A part of records in a format that needs no options.
fn spec<'a>(format: &'a str, fields: &'a [FormatField], subject: &'a str) -> PartSpec<'a> {
    /// No options.
    static OPTIONS: BTreeMap<String, String> = BTreeMap::new();
    PartSpec {
        format,
        options: &OPTIONS,
        layout: fields,
        subject,
        registry: None,
    }
}

impl Source {
    /// A table of the case with its rows.
    ///
    /// # Errors
    /// `Internal` when a row has not the shape of the table; `Unsupported` when it has no form in any format.
    pub(crate) fn new(table: &TableDef, rows: &[Value], registry: &Arc<Registry>) -> Result<Self> {
        let is_after = |row: &&Value| row["phase"] == AFTER;
        let (after, before): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(is_after);
        Ok(Self {
            name: table.name.name.clone(),
            before: encode(table, &before, registry)?,
            after: encode(table, &after, registry)?,
        })
    }
}

/// Rows as records.
fn encode(table: &TableDef, rows: &[&Value], registry: &Arc<Registry>) -> Result<Vec<Encoded>> {
    let mode = table.option("changelog.mode");
    let keys = Part {
        table,
        format: FORMAT,
        registry,
    };
    let values = Part {
        format: value_format(table),
        ..keys
    };
    let is_key = |column: &TableColumn| table.primary_key.contains(&column.name);
    let mut key_bytes = if table.primary_key.is_empty() {
        vec![None; rows.len()]
    } else {
        some(keys.encode(rows, is_key)?)
    };
    let mut value_bytes = some(values.encode(rows, |_| true)?);
    let kinds = rows.iter().map(|row| kind(row));
    let records = kinds.enumerate().map(|(index, kind)| {
        let kind = kind?;
        let is_deleted = mode == Some("upsert") && kind.is_retraction();
        let has_kind = mode == Some("retract") && kind != RowKind::Insert;
        Ok(Encoded {
            key: key_bytes[index].take(),
            value: value_bytes[index].take().filter(|_| !is_deleted),
            op: has_kind.then_some([kind as u8]),
        })
    });
    records.collect()
}

/// Each of them.
fn some<T>(values: Vec<T>) -> Vec<Option<T>> {
    values.into_iter().map(Some).collect()
}

/// The key or the value of a table's records.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    /// The table.
    table: &'a TableDef,
    /// Its format.
    format: &'static str,
    /// Where schemas are registered.
    registry: &'a Arc<Registry>,
}

impl Part<'_> {
    /// The chosen columns of rows, encoded.
    fn encode(
        self,
        rows: &[&Value],
        is_chosen: impl Fn(&TableColumn) -> bool,
    ) -> Result<Vec<Vec<u8>>> {
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (index, column) in self.table.physical().enumerate() {
            if is_chosen(column) {
                let values = rows.iter().map(|row| &row["values"][index]);
                if self.format == FORMAT_OF_ANY {
                    let values: Vec<Value> =
                        values.map(|value| entries(value, &column.ty)).collect();
                    let ty = loose(&column.ty);
                    columns.push(array(&ty, &values.iter().collect::<Vec<_>>())?);
                    let name = column.name.clone();
                    fields.push(FormatField { name, ty });
                } else {
                    columns.push(array(&column.ty, &values.collect::<Vec<_>>())?);
                    fields.push(field(column));
                }
            }
        }
        let subject = format!("{}-value", self.table.name.name);
        let spec = PartSpec {
            registry: Some(self.registry.clone()),
            ..spec(self.format, &fields, &subject)
        };
        let (mut buffer, mut ends) = (Vec::new(), Vec::new());
        let batch = Batch::inserts(columns, rows.len());
        let mut encoder = spec.encoder(&fields)?;
        // No fault of the statements, which may be expected to fail.
        let unfit = |error: Error| {
            let table = &self.table.name.name;
            Error::unsupported(format!("rows of table {table} in {}: {error}", self.format))
        };
        encoder
            .encode(&batch, &mut buffer, &mut ends)
            .map_err(unfit)?;
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let ranges = starts.zip(&ends);
        let records = ranges.map(|(start, end)| buffer[start..*end].to_vec());
        Ok(records.collect())
    }
}

/// A type that takes what a case may break the rules of its table with: binaries of any length, and NULL as the key of a map, which
/// becomes an array of entries as Avro has them.
fn loose(ty: &FlinkType) -> FlinkType {
    let any = |ty: &FlinkType| Box::new(loose(ty).with_nullable(true));
    let kind = match &ty.kind {
        TypeKind::Binary(_) | TypeKind::VarBinary(_) => TypeKind::VarBinary(BYTES_MAX),
        TypeKind::Array(element) => TypeKind::Array(any(element)),
        TypeKind::Row(fields) => {
            let field = |field: &RowField| RowField {
                ty: loose(&field.ty),
                ..field.clone()
            };
            TypeKind::Row(fields.iter().map(field).collect())
        }
        TypeKind::Map(key, value) => {
            let field = |name: &str, ty: &FlinkType| RowField {
                name: name.to_owned(),
                ty: *any(ty),
            };
            let entry = TypeKind::Row(vec![field("key", key), field("value", value)]);
            TypeKind::Array(Box::new(entry.not_null()))
        }
        kind => kind.clone(),
    };
    kind.nullable().with_nullable(ty.nullable)
}

/// A value of a type with its maps as lists of entries.
fn entries(value: &Value, ty: &FlinkType) -> Value {
    let list = |value: &Value| value.as_array().cloned();
    match &ty.kind {
        TypeKind::Map(key, of) => list(&value["$map"]).map(|pairs| {
            let pair =
                |pair: &Value| json!({ "$row": [entries(&pair[0], key), entries(&pair[1], of)] });
            pairs.iter().map(pair).collect()
        }),
        TypeKind::Array(element) => {
            list(value).map(|values| values.iter().map(|value| entries(value, element)).collect())
        }
        TypeKind::Row(fields) => list(value.get("$row").unwrap_or(value)).map(|values| {
            let values = values.iter().zip(fields);
            let values = values.map(|(value, field)| entries(value, &field.ty));
            json!({ "$row": values.collect::<Vec<_>>() })
        }),
        _ => None,
    }
    .unwrap_or_else(|| value.clone())
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
