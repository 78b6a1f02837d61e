//! Undecoded records to the columns that a scan reads.
//!
//! Place in the flow: between a source reader and the scan's projections. Invariant: every record ends up as a row, as a failure
//! with its raw bytes, or, when its value is null, nowhere: an append table has no row for it.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, Int32Array, Int64Array, MapBuilder,
    StringArray, TimestampMillisecondArray, new_null_array,
};
use arrow::datatypes::DataType;

use crate::batch::Batch;
use crate::connector::source::{RawBatch, SplitInfo};
use crate::dlq::FailedRecord;
use crate::error::{Error, Result};
use crate::format::registry::SchemaRegistry;
use crate::format::{Decoded, Decoder, Failure, FailureCode};
use crate::plan::{ReadColumn, Scan};
use crate::task::layout::{Part, RecordLayout};
use crate::task::record_writer::topic_of;

/// Decodes the records of a table.
#[derive(Debug)]
pub(super) struct RecordDecoder {
    /// Decodes values.
    value: Box<dyn Decoder>,
    /// Decodes keys, when a column of the key is read.
    key: Option<KeyDecoder>,
    /// Where each read column comes from.
    columns: Vec<(ReadColumn, Origin)>,
}

/// Decodes keys.
#[derive(Debug)]
struct KeyDecoder {
    /// Decodes keys.
    decoder: Box<dyn Decoder>,
    /// What stands for a missing key: a record without any field, in formats that have one.
    missing: Option<&'static [u8]>,
}

/// Where a read column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Position among the decoded value columns.
    Value(usize),
    /// Position among the decoded key columns.
    Key(usize),
    /// The record itself.
    Metadata,
}

/// What became of a batch of records.
#[derive(Debug)]
pub(super) struct DecodedRecords {
    /// Rows of the read columns.
    pub(super) batch: Batch,
    /// Records that did not decode.
    pub(super) failures: Vec<FailedRecord>,
}

impl RecordDecoder {
    /// A decoder of what a scan reads.
    ///
    /// # Errors
    /// `Invalid` for options that a format does not take; `Unsupported` for a format that does not exist.
    pub(super) fn new(scan: &Scan, registry: Option<&Arc<dyn SchemaRegistry>>) -> Result<Self> {
        let layout = RecordLayout::of(&scan.table)?;
        let (mut value_fields, mut key_fields) = (Vec::new(), Vec::new());
        let mut columns = Vec::new();
        for column in &scan.read {
            let origin = if column.metadata.is_some() {
                Origin::Metadata
            } else if layout.value.columns.contains(&column.name) {
                value_fields.push(layout.value.field(&scan.table, &column.name)?);
                Origin::Value(value_fields.len() - 1)
            } else {
                let key = layout
                    .key
                    .as_ref()
                    .ok_or_else(|| Error::internal("a column of no part is read"))?;
                key_fields.push(key.field(&scan.table, &column.name)?);
                Origin::Key(key_fields.len() - 1)
            };
            columns.push((column.clone(), origin));
        }
        let create = |part: &Part, fields, suffix: &str| {
            let subject = format!("{}-{suffix}", topic_of(&scan.table));
            part.spec(&subject, registry).decoder(fields)
        };
        let key = match &layout.key {
            Some(part) if !key_fields.is_empty() => Some(KeyDecoder {
                decoder: create(part, key_fields, "key")?,
                missing: (part.format == "json").then_some(b"{}".as_slice()),
            }),
            Some(_) | None => None,
        };
        Ok(Self {
            value: create(&layout.value, value_fields, "value")?,
            key,
            columns,
        })
    }

    /// Decodes a batch.
    ///
    /// # Errors
    /// Only for what is no fault of a record.
    pub(super) fn decode(&mut self, raw: &RawBatch, split: &SplitInfo) -> Result<DecodedRecords> {
        let present: Vec<usize> = (0..raw.rows())
            .filter(|row| raw.values[*row].is_some())
            .collect();
        let values: Vec<&[u8]> = present.iter().filter_map(|row| raw.value(*row)).collect();
        let mut value = self.value.decode(&values)?;
        let mut key = match &mut self.key {
            Some(key) => key.decode(raw, &present)?,
            None => Decoded::default(),
        };
        let failures = merge_failures(&value.failures, &key.failures);
        let mut rows = present;
        if !failures.is_empty() {
            retain(&mut value, &failures, rows.len())?;
            if self.key.is_some() {
                retain(&mut key, &failures, rows.len())?;
            }
        }
        let failed = failures
            .iter()
            .map(|failure| failed_record(raw, split, rows[failure.row], failure))
            .collect();
        let mut next = failures.iter().map(|failure| failure.row).peekable();
        let mut position = 0;
        rows.retain(|_| {
            let is_failed = next.next_if_eq(&position).is_some();
            position += 1;
            !is_failed
        });
        let columns = self.columns.iter().map(|(column, origin)| match origin {
            Origin::Value(index) => Ok(value.columns[*index].clone()),
            Origin::Key(index) => Ok(key.columns[*index].clone()),
            Origin::Metadata => metadata(column, raw, split, &rows),
        });
        let batch = Batch {
            columns: columns.collect::<Result<_>>()?,
            rows: rows.len(),
            kinds: None,
        };
        Ok(DecodedRecords {
            batch,
            failures: failed,
        })
    }
}

impl KeyDecoder {
    /// Decodes the keys of the present records.
    fn decode(&mut self, raw: &RawBatch, present: &[usize]) -> Result<Decoded> {
        let mut keys = Vec::with_capacity(present.len());
        let mut missing = Vec::new();
        let mut decoded_rows = Vec::with_capacity(present.len());
        for (position, row) in present.iter().enumerate() {
            match raw.key(*row).or(self.missing) {
                Some(key) => {
                    keys.push(key);
                    decoded_rows.push(position);
                }
                None => missing.push(Failure {
                    row: position,
                    code: FailureCode::NullValue,
                    message: "the record has no key".to_owned(),
                }),
            }
        }
        let mut decoded = self.decoder.decode(&keys)?;
        for failure in &mut decoded.failures {
            failure.row = decoded_rows[failure.row];
        }
        decoded.failures = merge_failures(&decoded.failures, &missing);
        Ok(decoded)
    }
}

/// Failures of both parts by row, one per record.
fn merge_failures(first: &[Failure], second: &[Failure]) -> Vec<Failure> {
    let mut merged: Vec<Failure> = first.iter().chain(second).cloned().collect();
    merged.sort_by_key(|failure| failure.row);
    merged.dedup_by_key(|failure| failure.row);
    merged
}

/// Drops from a decoded part the rows that failed in the other part.
fn retain(part: &mut Decoded, failures: &[Failure], rows: usize) -> Result<()> {
    if part.failures.len() == failures.len() {
        return Ok(());
    }
    let mut keep = vec![true; rows];
    for failure in failures {
        keep[failure.row] = false;
    }
    let mut own = part.failures.iter().map(|failure| failure.row).peekable();
    let mask: BooleanArray = (0..rows)
        .filter(|row| own.next_if_eq(row).is_none())
        .map(|row| Some(keep[row]))
        .collect();
    for column in &mut part.columns {
        *column = arrow::compute::filter(column, &mask)?;
    }
    Ok(())
}

/// A record that did not decode, with its raw bytes.
fn failed_record(raw: &RawBatch, split: &SplitInfo, row: usize, failure: &Failure) -> FailedRecord {
    let bytes = |range: crate::connector::source::Range| range.of(&raw.buffer).to_vec();
    let headers = raw.headers.get(row).map(Vec::as_slice).unwrap_or_default();
    FailedRecord {
        code: failure.code,
        message: failure.message.clone(),
        topic: split.topic.clone(),
        partition: split.partition,
        offset: raw.offsets[row],
        timestamp_ms: raw.timestamps_ms[row],
        timestamp_type: raw.timestamp_type,
        headers: headers
            .iter()
            .map(|(name, value)| (bytes(*name), value.map(bytes)))
            .collect(),
        key: raw.key(row).map(<[u8]>::to_vec),
        value: raw.value(row).map(<[u8]>::to_vec),
    }
}

/// A metadata column of some records.
fn metadata(
    column: &ReadColumn,
    raw: &RawBatch,
    split: &SplitInfo,
    rows: &[usize],
) -> Result<ArrayRef> {
    let count = rows.len();
    let ty = column.ty.to_arrow()?;
    let array: ArrayRef = match column.metadata.as_deref().unwrap_or_default() {
        "timestamp" => Arc::new(TimestampMillisecondArray::from_iter_values(
            rows.iter().map(|row| raw.timestamps_ms[*row]),
        )),
        "offset" => Arc::new(Int64Array::from_iter_values(
            rows.iter().map(|row| raw.offsets[*row]),
        )),
        "partition" => Arc::new(Int32Array::from_value(split.partition, count)),
        "topic" => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            split.topic.as_str(),
            count,
        ))),
        "timestamp-type" => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            raw.timestamp_type.name(),
            count,
        ))),
        "raw-key" => Arc::new(
            rows.iter()
                .map(|row| raw.key(*row))
                .collect::<BinaryArray>(),
        ),
        "raw-value" => Arc::new(
            rows.iter()
                .map(|row| raw.value(*row))
                .collect::<BinaryArray>(),
        ),
        "leader-epoch" => new_null_array(&DataType::Int32, count),
        "headers" => headers(raw, rows)?,
        other => {
            return Err(Error::unsupported(format!(
                "metadata key '{other}' of column {}",
                column.name
            )));
        }
    };
    if *array.data_type() == ty {
        Ok(array)
    } else {
        Ok(arrow::compute::cast(&array, &ty)?)
    }
}

/// The `headers` column: MAP<BYTES, BYTES>.
fn headers(raw: &RawBatch, rows: &[usize]) -> Result<ArrayRef> {
    let names = arrow::array::MapFieldNames {
        entry: "entries".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let mut builder = MapBuilder::new(Some(names), BinaryBuilder::new(), BinaryBuilder::new());
    for row in rows {
        for (name, value) in raw.headers.get(*row).map(Vec::as_slice).unwrap_or_default() {
            builder.keys().append_value(name.of(&raw.buffer));
            builder
                .values()
                .append_option(value.map(|value| value.of(&raw.buffer)));
        }
        builder.append(true)?;
    }
    Ok(Arc::new(builder.finish()))
}
