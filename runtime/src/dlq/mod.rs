//! Dead letters: records that failed to decode, and what is done with them.
//!
//! Enters: failures of a decoder. Leaves: rows of the error table, or a failed statement, per the table's
//! `error-handling.mode`. Invariant: the raw key and value are always kept, byte for byte.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int32Array, Int64Array, MapBuilder, MapFieldNames,
    StringArray, StringBuilder, StructArray, TimestampMillisecondArray,
};
use arrow::datatypes::DataType;

use crate::batch::Batch;
use crate::connector::source::TimestampType;
use crate::error::{Code, Error, Result};
use crate::format::FailureCode;
use crate::sql::catalog::{ColumnKind, TableColumn, TableDef};
use crate::time::EpochMillis;
use crate::types::{FlinkType, RowField, TypeKind};

/// Option that chooses the [`Mode`].
const MODE_OPTION: &str = "error-handling.mode";
/// Option that names the error table.
const TARGET_OPTION: &str = "error-handling.log.target";
/// The error table when the option is absent.
///
/// # Source
/// Confluent, `CREATE TABLE`: default of `error-handling.log.target`.
const DEFAULT_TARGET: &str = "error_log";
/// The `processor` of the error table. Weir's own word: Confluent publishes none, and only sources write dead letters.
const PROCESSOR: &str = "SOURCE";
/// The `affected_type` of the error table. Weir's own word: Confluent publishes none.
const AFFECTED_TYPE: &str = "TABLE";

/// What is done with a record that does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The statement fails.
    #[default]
    Fail,
    /// The record is counted and dropped.
    Ignore,
    /// The record goes to the error table.
    Log,
}

/// What a table asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorHandling {
    /// What is done.
    pub mode: Mode,
    /// Name of the error table, in the database of the table.
    pub target: String,
}

impl ErrorHandling {
    /// Reads the options of a table.
    ///
    /// # Errors
    /// `Invalid` for a mode that does not exist (the message lists those that do) or an empty target.
    pub fn parse(table: &TableDef) -> Result<Self> {
        let mode = match table.option(MODE_OPTION) {
            None => Mode::default(),
            Some(value) => match value.to_ascii_lowercase().as_str() {
                "fail" => Mode::Fail,
                "ignore" => Mode::Ignore,
                "log" => Mode::Log,
                _ => {
                    return Err(Error::option(format!(
                        "option '{MODE_OPTION}' of table {} is '{value}'; allowed are 'fail', 'ignore' and 'log'",
                        table.name
                    )));
                }
            },
        };
        let target = table.option(TARGET_OPTION).unwrap_or(DEFAULT_TARGET);
        if target.is_empty() {
            return Err(Error::option(format!(
                "option '{TARGET_OPTION}' of table {} is empty; leave it out for '{DEFAULT_TARGET}'",
                table.name
            )));
        }
        Ok(Self {
            mode,
            target: target.to_owned(),
        })
    }
}

/// A record that did not decode, with its raw bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRecord {
    /// Why it did not decode.
    pub code: FailureCode,
    /// What is wrong, naming field and place.
    pub message: String,
    /// Topic it was read from.
    pub topic: String,
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Timestamp, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// What the timestamp means.
    pub timestamp_type: TimestampType,
    /// Headers in order: name and value.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Key, byte for byte.
    pub key: Option<Vec<u8>>,
    /// Value, byte for byte.
    pub value: Option<Vec<u8>>,
}

/// The statement and table that failed records were read by and from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Statement that reads.
    pub statement_name: String,
    /// Catalog of the table.
    pub catalog: String,
    /// Database of the table.
    pub database: String,
    /// Table that is read.
    pub table: String,
}

/// The columns of an error table.
///
/// # Source
/// Confluent, error handling: the schema that `error-handling.mode` `log` generates.
pub fn error_log_columns() -> Vec<TableColumn> {
    let string = TypeKind::string;
    let string_map = TypeKind::Map(Box::new(string().not_null()), Box::new(string().nullable()));
    [
        ("error_timestamp", TypeKind::TimestampLtz(3).not_null()),
        ("error_code", TypeKind::Int.not_null()),
        ("error_reason", string().not_null()),
        ("error_message", string().not_null()),
        ("error_details", string_map.not_null()),
        ("processor", string().not_null()),
        ("statement_name", string().nullable()),
        ("affected_type", string().not_null()),
        ("affected_catalog", string().nullable()),
        ("affected_database", string().nullable()),
        ("affected_name", string().nullable()),
        ("source_record", source_record_type()),
    ]
    .into_iter()
    .map(|(name, ty)| TableColumn {
        name: name.to_owned(),
        ty,
        kind: ColumnKind::Physical,
        comment: None,
    })
    .collect()
}

/// The type of `source_record`.
fn source_record_type() -> FlinkType {
    let headers = TypeKind::Map(
        Box::new(TypeKind::string().not_null()),
        Box::new(TypeKind::bytes().nullable()),
    );
    let fields = [
        ("topic", TypeKind::string()),
        ("partition", TypeKind::Int),
        ("offset", TypeKind::BigInt),
        ("timestamp", TypeKind::TimestampLtz(3)),
        ("timestamp_type", TypeKind::string()),
        ("headers", headers),
        ("key", TypeKind::bytes()),
        ("value", TypeKind::bytes()),
    ];
    TypeKind::Row(
        fields
            .into_iter()
            .map(|(name, kind)| RowField {
                name: name.to_owned(),
                ty: kind.nullable(),
            })
            .collect(),
    )
    .nullable()
}

/// The rows of the error table for some failed records.
///
/// # Shape
/// One row per record, in order, with the columns of [`error_log_columns`]. Of headers with one name the last is kept, because
/// a MAP holds one value per key.
///
/// # Errors
/// `Internal` when columns and schema disagree, which is a bug.
pub fn error_rows(records: &[FailedRecord], origin: &Origin, now_ms: EpochMillis) -> Result<Batch> {
    let rows = records.len();
    let all = |text: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            text, rows,
        )))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from_value(now_ms, rows)),
        Arc::new(Int32Array::from_iter_values(
            records.iter().map(|record| record.code.number()),
        )),
        Arc::new(StringArray::from_iter_values(
            records.iter().map(|record| record.code.reason()),
        )),
        Arc::new(StringArray::from_iter_values(
            records.iter().map(|record| record.message.as_str()),
        )),
        error_details(rows)?,
        all(PROCESSOR),
        all(&origin.statement_name),
        all(AFFECTED_TYPE),
        all(&origin.catalog),
        all(&origin.database),
        all(&origin.table),
        source_records(records)?,
    ];
    Ok(Batch::inserts(columns, rows))
}

/// The `error_details` column: the code with a page in the documentation.
fn error_details(rows: usize) -> Result<ArrayRef> {
    let mut details = MapBuilder::new(
        Some(entry_names()),
        StringBuilder::new(),
        StringBuilder::new(),
    );
    let code = Code::Deserialization.to_string();
    for _ in 0..rows {
        details.keys().append_value("code");
        details.values().append_value(&code);
        details.append(true)?;
    }
    Ok(Arc::new(details.finish()))
}

/// The `source_record` column.
fn source_records(records: &[FailedRecord]) -> Result<ArrayRef> {
    let strings = |of: fn(&FailedRecord) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(records.iter().map(of)))
    };
    let bytes = |of: fn(&FailedRecord) -> Option<&[u8]>| -> ArrayRef {
        Arc::new(records.iter().map(of).collect::<BinaryArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        strings(|record| &record.topic),
        Arc::new(Int32Array::from_iter_values(
            records.iter().map(|record| record.partition),
        )),
        Arc::new(Int64Array::from_iter_values(
            records.iter().map(|record| record.offset),
        )),
        Arc::new(TimestampMillisecondArray::from_iter_values(
            records.iter().map(|record| record.timestamp_ms),
        )),
        strings(|record| record.timestamp_type.name()),
        headers(records)?,
        bytes(|record| record.key.as_deref()),
        bytes(|record| record.value.as_deref()),
    ];
    let DataType::Struct(fields) = source_record_type().to_arrow()? else {
        return Err(Error::internal("source_record is not a ROW"));
    };
    Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
}

/// The `headers` field of `source_record`.
fn headers(records: &[FailedRecord]) -> Result<ArrayRef> {
    let mut builder = MapBuilder::new(
        Some(entry_names()),
        StringBuilder::new(),
        BinaryBuilder::new(),
    );
    for record in records {
        for (position, (name, value)) in record.headers.iter().enumerate() {
            let is_last = record.headers[position + 1..]
                .iter()
                .all(|(later, _)| later != name);
            if is_last {
                builder.keys().append_value(String::from_utf8_lossy(name));
                builder.values().append_option(value.as_deref());
            }
        }
        builder.append(true)?;
    }
    Ok(Arc::new(builder.finish()))
}

/// The entry names that [`FlinkType::to_arrow`] gives to maps.
fn entry_names() -> MapFieldNames {
    MapFieldNames {
        entry: "entries".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{Array, AsArray};

    use super::*;
    use crate::sql::catalog::ObjectName;

    fn table(options: &[(&str, &str)]) -> TableDef {
        TableDef {
            name: ObjectName {
                catalog: "c".into(),
                database: "d".into(),
                name: "t".into(),
            },
            columns: Vec::new(),
            watermark: None,
            primary_key: Vec::new(),
            distributed_by: Vec::new(),
            buckets: None,
            options: options
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
            comment: None,
        }
    }

    #[test]
    fn options_default_to_fail_and_error_log() {
        let handling = ErrorHandling::parse(&table(&[])).unwrap();
        assert_eq!(handling.mode, Mode::Fail);
        assert_eq!(handling.target, "error_log");
        let handling =
            ErrorHandling::parse(&table(&[(MODE_OPTION, "LOG"), (TARGET_OPTION, "dead")])).unwrap();
        assert_eq!(handling.mode, Mode::Log);
        assert_eq!(handling.target, "dead");
    }

    #[test]
    fn unknown_mode_lists_the_allowed_ones() {
        let error = ErrorHandling::parse(&table(&[(MODE_OPTION, "skip")])).unwrap_err();
        assert_eq!(error.code, Code::InvalidOption);
        assert!(error.message.contains("'fail', 'ignore' and 'log'"));
        assert!(ErrorHandling::parse(&table(&[(TARGET_OPTION, "")])).is_err());
    }

    #[test]
    fn rows_have_the_types_of_the_columns_and_keep_the_bytes() {
        let record = FailedRecord {
            code: FailureCode::TypeMismatch,
            message: "field a: expected INT".into(),
            topic: "orders".into(),
            partition: 3,
            offset: 17,
            timestamp_ms: 1000,
            timestamp_type: TimestampType::CreateTime,
            headers: vec![
                (b"h".to_vec(), Some(b"old".to_vec())),
                (b"n".to_vec(), None),
                (b"h".to_vec(), Some(b"new".to_vec())),
            ],
            key: None,
            value: Some(vec![0xff, 0]),
        };
        let origin = Origin {
            statement_name: "s".into(),
            catalog: "c".into(),
            database: "d".into(),
            table: "t".into(),
        };
        let batch = error_rows(&[record.clone(), record], &origin, 42).unwrap();
        let columns = error_log_columns();
        assert_eq!(columns.len(), 12);
        assert_eq!(batch.columns.len(), 12);
        for (column, array) in columns.iter().zip(&batch.columns) {
            assert_eq!(
                array.data_type(),
                &column.ty.to_arrow().unwrap(),
                "{}",
                column.name
            );
            assert_eq!(array.len(), 2);
        }
        let source = batch.columns[11].as_struct();
        assert!(source.column(6).is_null(0));
        assert_eq!(source.column(7).as_binary::<i32>().value(1), [0xff, 0]);
        let headers = source.column(5).as_map().value(0);
        assert_eq!(headers.column(0).as_string::<i32>().value(1), "h");
        assert_eq!(headers.column(1).as_binary::<i32>().value(1), b"new");
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn no_records_make_no_rows() {
        let origin = Origin {
            statement_name: String::new(),
            catalog: String::new(),
            database: String::new(),
            table: String::new(),
        };
        assert_eq!(error_rows(&[], &origin, 0).unwrap().rows, 0);
    }
}
