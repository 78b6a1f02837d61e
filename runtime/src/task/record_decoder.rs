//! Undecoded records to the columns that a scan reads.
//!
//! Place in the flow: between a source reader and the scan's projections. Invariant: every record ends up as its rows, or as a failure
//! with its raw bytes; when its value is null, or a format of changes says so, it has no row.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, Int32Array, Int64Array, MapBuilder,
    StringArray, StringBuilder, TimestampMillisecondArray, new_null_array,
};
use arrow::datatypes::DataType;

use crate::batch::{Batch, RowKind, RowKinds};
use crate::connector::source::{RawBatch, SplitInfo};
use crate::dlq::FailedRecord;
use crate::error::{Error, Result};
use crate::format::registry::SchemaRegistry;
use crate::format::{Decoded, Decoder, Failure, FailureCode};
use crate::plan::{ChangelogMode, ReadColumn, Scan};
use crate::task::layout::{Part, RecordLayout};
use crate::task::record_changes::{header_failures, header_kinds, merge_upserts, spread};
use crate::task::record_writer::topic_of;
use crate::types::TypeKind;

/// What keys of metadata of the value's format begin with.
///
/// # Source
/// Flink 2.3, Kafka connector: metadata of formats.
const FORMAT_METADATA: &str = "value.";

/// Decodes the records of a table.
#[derive(Debug)]
pub(super) struct RecordDecoder {
    /// Decodes values.
    value: Box<dyn Decoder>,
    /// Decodes keys, when a column of the key is read.
    key: Option<KeyDecoder>,
    /// Where each read column comes from.
    columns: Vec<(ReadColumn, Origin)>,
    /// Whether kinds of change are read; else every change is a row of its own.
    changelog: ChangelogMode,
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
    /// Position among the metadata of the value's format; only while the decoder is made.
    Format(usize),
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
    pub(super) fn new(
        scan: &Scan,
        changelog: ChangelogMode,
        registry: Option<&Arc<dyn SchemaRegistry>>,
    ) -> Result<Self> {
        let layout = RecordLayout::of(&scan.table)?;
        // A delete of an upsert table has no value, whatever a value would have.
        let is_upsert = changelog == ChangelogMode::Upsert;
        let in_key = |name: &String| {
            let key = layout.key.as_ref();
            key.is_some_and(|key| key.columns.contains(name))
        };
        let (mut value_fields, mut key_fields) = (Vec::new(), Vec::new());
        let mut metadata: Vec<String> = Vec::new();
        let mut columns = Vec::new();
        for column in &scan.read {
            let key = column.metadata.as_deref();
            let origin = if let Some(key) = key.and_then(|key| key.strip_prefix(FORMAT_METADATA)) {
                metadata.push(key.to_owned());
                Origin::Format(metadata.len() - 1)
            } else if key.is_some() {
                Origin::Metadata
            } else if layout.value.columns.contains(&column.name)
                && !(is_upsert && in_key(&column.name))
            {
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
        // Metadata of the format stands behind the fields.
        for (_, origin) in &mut columns {
            if let Origin::Format(place) = origin {
                *origin = Origin::Value(value_fields.len() + *place);
            }
        }
        let create = |part: &Part, fields, metadata: &[String], suffix: &str| {
            let subject = format!("{}-{suffix}", topic_of(&scan.table));
            part.spec(&subject, registry).decoder(fields, metadata)
        };
        let key = match &layout.key {
            Some(part) if !key_fields.is_empty() => Some(KeyDecoder {
                decoder: create(part, key_fields, &[], "key")?,
                missing: (part.format == "json").then_some(b"{}".as_slice()),
            }),
            Some(_) | None => None,
        };
        Ok(Self {
            value: create(&layout.value, value_fields, &metadata, "value")?,
            key,
            columns,
            changelog,
        })
    }

    /// Decodes a batch.
    ///
    /// # Errors
    /// Only for what is no fault of a record.
    pub(super) fn decode(&mut self, raw: &RawBatch, split: &SplitInfo) -> Result<DecodedRecords> {
        let (present, null): (Vec<usize>, Vec<usize>) =
            (0..raw.rows()).partition(|row| raw.values[*row].is_some());
        let (rows, live) = self.decode_values(raw, split, present)?;
        if self.changelog != ChangelogMode::Upsert || null.is_empty() {
            return Ok(live);
        }
        let (deleted, gone) = self.decode_tombstones(raw, split, null)?;
        merge_upserts((rows, live), (deleted, gone))
    }

    /// Decodes the records with a value; the record of each row beside.
    fn decode_values(
        &mut self,
        raw: &RawBatch,
        split: &SplitInfo,
        present: Vec<usize>,
    ) -> Result<(Vec<usize>, DecodedRecords)> {
        let values: Vec<&[u8]> = present.iter().filter_map(|row| raw.value(*row)).collect();
        let mut value = self.value.decode(&values)?;
        let mut key = match &mut self.key {
            Some(key) => key.decode(raw, &present)?,
            None => Decoded::default(),
        };
        let reads_headers = self.changelog == ChangelogMode::Retract && value.changes.is_none();
        let header_failures = if reads_headers {
            header_failures(raw, &present)
        } else {
            Vec::new()
        };
        let failures = merge_failures(&[&value.failures, &key.failures, &header_failures]);
        let failed = failures
            .iter()
            .map(|failure| failed_record(raw, split, present[failure.row], failure))
            .collect();
        let (rows, kinds) = if value.changes.is_some() {
            spread(
                &mut value,
                self.key.is_some().then_some(&mut key),
                &failures,
                &present,
            )?
        } else {
            let rows = self.rows(&mut value, &mut key, &failures, present)?;
            let kinds = reads_headers.then(|| header_kinds(raw, &rows)).flatten();
            (rows, kinds)
        };
        let batch = self.batch((&value, &key), raw, split, (&rows, kinds))?;
        let decoded = DecodedRecords {
            batch,
            failures: failed,
        };
        Ok((rows, decoded))
    }

    /// Decodes the records without a value of an upsert table: deletes that have only the columns of the key.
    ///
    /// # Source
    /// Confluent, changelog modes: a null value is -D.
    fn decode_tombstones(
        &mut self,
        raw: &RawBatch,
        split: &SplitInfo,
        null: Vec<usize>,
    ) -> Result<(Vec<usize>, DecodedRecords)> {
        let key = match &mut self.key {
            Some(key) => key.decode(raw, &null)?,
            None => return Err(Error::internal("an upsert table whose key is not read")),
        };
        let failed = key
            .failures
            .iter()
            .map(|failure| failed_record(raw, split, null[failure.row], failure))
            .collect();
        let mut failures = key.failures.iter().map(|failure| failure.row).peekable();
        let rows = null.into_iter().enumerate();
        let rows: Vec<usize> = rows
            .filter(|(row, _)| failures.next_if_eq(row).is_none())
            .map(|(_, record)| record)
            .collect();
        let columns = self.columns.iter().map(|(column, origin)| match origin {
            Origin::Value(_) | Origin::Format(_) => {
                Ok(new_null_array(&column.ty.to_arrow()?, rows.len()))
            }
            Origin::Key(index) => Ok(Arc::clone(&key.columns[*index])),
            Origin::Metadata => metadata(column, raw, split, &rows),
        });
        let batch = Batch {
            columns: columns.collect::<Result<_>>()?,
            rows: rows.len(),
            kinds: Some(rows.iter().map(|_| RowKind::Delete).collect()),
        };
        let decoded = DecodedRecords {
            batch,
            failures: failed,
        };
        Ok((rows, decoded))
    }

    /// The rows of records that are one row each: those that did not fail.
    fn rows(
        &self,
        value: &mut Decoded,
        key: &mut Decoded,
        failures: &[Failure],
        mut rows: Vec<usize>,
    ) -> Result<Vec<usize>> {
        if failures.is_empty() {
            return Ok(rows);
        }
        retain(value, failures, rows.len())?;
        if self.key.is_some() {
            retain(key, failures, rows.len())?;
        }
        let mut next = failures.iter().map(|failure| failure.row).peekable();
        let mut position = 0;
        rows.retain(|_| {
            let is_failed = next.next_if_eq(&position).is_some();
            position += 1;
            !is_failed
        });
        Ok(rows)
    }

    /// The read columns of rows; `rows` has the record of each.
    fn batch(
        &self,
        (value, key): (&Decoded, &Decoded),
        raw: &RawBatch,
        split: &SplitInfo,
        (rows, kinds): (&[usize], Option<RowKinds>),
    ) -> Result<Batch> {
        let columns = self.columns.iter().map(|(column, origin)| match origin {
            Origin::Value(index) => {
                let array = &value.columns[*index];
                if column.metadata.is_none() {
                    return Ok(Arc::clone(array));
                }
                // Metadata of a format may be read as another type than it is stored as.
                Ok(arrow::compute::cast(array, &column.ty.to_arrow()?)?)
            }
            Origin::Key(index) => Ok(Arc::clone(&key.columns[*index])),
            Origin::Metadata => metadata(column, raw, split, rows),
            Origin::Format(_) => Err(Error::internal("metadata of a format without a place")),
        });
        Ok(Batch {
            columns: columns.collect::<Result<_>>()?,
            rows: rows.len(),
            kinds: kinds.filter(|_| self.changelog != ChangelogMode::Append),
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
        decoded.failures = merge_failures(&[&decoded.failures, &missing]);
        Ok(decoded)
    }
}

/// Failures of all parts by row, one per record.
fn merge_failures(parts: &[&[Failure]]) -> Vec<Failure> {
    let mut merged = parts.concat();
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
        "headers" => headers(column, raw, rows)?,
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

/// The `headers` column: MAP<BYTES, BYTES>, or MAP<STRING, BYTES>, whose keys are made valid. Of equal names the last header counts.
fn headers(column: &ReadColumn, raw: &RawBatch, rows: &[usize]) -> Result<ArrayRef> {
    let names = arrow::array::MapFieldNames {
        entry: "entries".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let is_text = matches!(&column.ty.kind, TypeKind::Map(key, _) if key.kind.is_character());
    let mut texts = MapBuilder::new(
        Some(names.clone()),
        StringBuilder::new(),
        BinaryBuilder::new(),
    );
    let mut bytes = MapBuilder::new(Some(names), BinaryBuilder::new(), BinaryBuilder::new());
    for row in rows {
        let all = raw.headers.get(*row).map(Vec::as_slice).unwrap_or_default();
        let mut entries: Vec<(&[u8], Option<&[u8]>)> = Vec::with_capacity(all.len());
        for (name, value) in all {
            let name = name.of(&raw.buffer);
            let value = value.map(|value| value.of(&raw.buffer));
            match entries.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = value,
                None => entries.push((name, value)),
            }
        }
        for (name, value) in entries {
            if is_text {
                texts.keys().append_value(String::from_utf8_lossy(name));
                texts.values().append_option(value);
            } else {
                bytes.keys().append_value(name);
                bytes.values().append_option(value);
            }
        }
        texts.append(is_text)?;
        bytes.append(!is_text)?;
    }
    Ok(if is_text {
        Arc::new(texts.finish())
    } else {
        Arc::new(bytes.finish())
    })
}
