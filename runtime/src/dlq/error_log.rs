//! The error table: its columns and its rows.
//!
//! Place in the flow: the server creates the table from the columns; a source with `log` writes the rows. Invariant: the columns are
//! Confluent's twelve, in their order.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Array, Int64Array, MapBuilder, MapFieldNames, StringArray,
    StringBuilder, StructArray, TimestampMillisecondArray,
};
use arrow::datatypes::DataType;

use crate::batch::Batch;
use crate::dlq::{FailedRecord, Origin};
use crate::error::{Error, Result};
use crate::sql::catalog::{ColumnKind, TableColumn};
use crate::time::EpochMillis;
use crate::types::{RowField, TypeKind};

/// What the `processor` column says: the part that failed. Confluent publishes no values.
const PROCESSOR: &str = "SOURCE";

/// What the `affected_type` column says. Confluent publishes no values.
const AFFECTED_TYPE: &str = "TABLE";

/// The columns of an error table.
///
/// # Source
/// The schema that Confluent generates, as published with its documentation of dead-letter queues (September 2025).
pub fn error_log_columns() -> Vec<TableColumn> {
    let string = TypeKind::string;
    let strings = TypeKind::Map(Box::new(string().not_null()), Box::new(string().nullable()));
    let columns = [
        ("error_timestamp", TypeKind::TimestampLtz(3).not_null()),
        ("error_code", TypeKind::Int.not_null()),
        ("error_reason", string().not_null()),
        ("error_message", string().not_null()),
        ("error_details", strings.not_null()),
        ("processor", string().not_null()),
        ("statement_name", string().nullable()),
        ("affected_type", string().not_null()),
        ("affected_catalog", string().nullable()),
        ("affected_database", string().nullable()),
        ("affected_name", string().nullable()),
        ("source_record", source_record().nullable()),
    ];
    columns
        .into_iter()
        .map(|(name, ty)| TableColumn {
            name: name.to_owned(),
            ty,
            kind: ColumnKind::Physical,
            comment: None,
        })
        .collect()
}

/// The type of the `source_record` column.
fn source_record() -> TypeKind {
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
    let field = |(name, kind): (&str, TypeKind)| RowField {
        name: name.to_owned(),
        ty: kind.nullable(),
    };
    TypeKind::Row(fields.into_iter().map(field).collect())
}

/// The rows of the error table for failed records.
///
/// # Shape
/// One row per record, in order; columns as [`error_log_columns`].
///
/// # Errors
/// `Internal` only.
pub fn error_rows(records: &[FailedRecord], origin: &Origin, now_ms: EpochMillis) -> Result<Batch> {
    let rows = records.len();
    let same = |text: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            text, rows,
        )))
    };
    let codes = Int32Array::from_iter_values(records.iter().map(|record| record.code.number()));
    let reasons = StringArray::from_iter_values(records.iter().map(|record| record.code.reason()));
    let messages =
        StringArray::from_iter_values(records.iter().map(|record| record.message.as_str()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from_value(now_ms, rows)),
        Arc::new(codes),
        Arc::new(reasons),
        Arc::new(messages),
        details(rows)?,
        same(PROCESSOR),
        same(&origin.statement_name),
        same(AFFECTED_TYPE),
        same(&origin.catalog),
        same(&origin.database),
        same(&origin.table),
        source_records(records)?,
    ];
    Ok(Batch::inserts(columns, rows))
}

/// Names of the parts of every map.
fn map_names() -> MapFieldNames {
    MapFieldNames {
        entry: "entries".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    }
}

/// The `error_details` column: nothing beyond the message is known yet.
fn details(rows: usize) -> Result<ArrayRef> {
    let mut builder = MapBuilder::new(
        Some(map_names()),
        StringBuilder::new(),
        StringBuilder::new(),
    );
    for _ in 0..rows {
        builder.append(true)?;
    }
    Ok(Arc::new(builder.finish()))
}

/// The `source_record` column.
fn source_records(records: &[FailedRecord]) -> Result<ArrayRef> {
    let mut headers = MapBuilder::new(
        Some(map_names()),
        StringBuilder::new(),
        BinaryBuilder::new(),
    );
    for record in records {
        for (name, value) in &record.headers {
            headers.keys().append_value(String::from_utf8_lossy(name));
            headers.values().append_option(value.as_deref());
        }
        headers.append(true)?;
    }
    let mut keys = BinaryBuilder::new();
    let mut values = BinaryBuilder::new();
    for record in records {
        keys.append_option(record.key.as_deref());
        values.append_option(record.value.as_deref());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            records.iter().map(|record| record.topic.as_str()),
        )),
        Arc::new(Int32Array::from_iter_values(
            records.iter().map(|record| record.partition),
        )),
        Arc::new(Int64Array::from_iter_values(
            records.iter().map(|record| record.offset),
        )),
        Arc::new(TimestampMillisecondArray::from_iter_values(
            records.iter().map(|record| record.timestamp_ms),
        )),
        Arc::new(StringArray::from_iter_values(
            records.iter().map(|record| record.timestamp_type.name()),
        )),
        Arc::new(headers.finish()),
        Arc::new(keys.finish()),
        Arc::new(values.finish()),
    ];
    let DataType::Struct(fields) = source_record().nullable().to_arrow()? else {
        return Err(Error::internal("the source record is a row"));
    };
    Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;
    use crate::connector::source::TimestampType;
    use crate::format::FailureCode;

    #[test]
    fn rows_have_the_types_of_the_columns() {
        let record = FailedRecord {
            code: FailureCode::Malformed,
            message: "not JSON".into(),
            topic: "orders".into(),
            partition: 2,
            offset: 7,
            timestamp_ms: 5,
            timestamp_type: TimestampType::CreateTime,
            headers: vec![(b"h".to_vec(), None)],
            key: None,
            value: Some(vec![0xff, 0x00]),
        };
        let origin = Origin {
            statement_name: "s".into(),
            catalog: "c".into(),
            database: "d".into(),
            table: "orders".into(),
        };
        let batch = error_rows(&[record.clone(), record], &origin, 99).unwrap();
        let columns = error_log_columns();
        assert_eq!((columns.len(), batch.rows), (12, 2));
        for (column, array) in columns.iter().zip(&batch.columns) {
            assert_eq!(
                *array.data_type(),
                column.ty.to_arrow().unwrap(),
                "{}",
                column.name
            );
            assert_eq!(array.len(), 2);
        }
    }
}
