//! Rows to encoded records of a topic.
//!
//! Place in the flow: sinks and dead letters hand rows to it. Invariant: of the changes of one key in a batch only the last is
//! written to an upsert topic, as a value or as a tombstone.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::datatypes::{DataType, TimestampMillisecondType};

use crate::batch::Batch;
use crate::connector::sink::{EncodedBatch, SinkWriter};
use crate::connector::source::Range;
use crate::error::{Error, Result};
use crate::format::Encoder;
use crate::format::registry::SchemaRegistry;
use crate::plan::{ChangelogMode, Column};
use crate::sql::catalog::{ColumnKind, TableDef};
use crate::state::KeyCodec;
use crate::task::layout::{Part, RecordLayout};

/// Encodes rows and writes them.
#[derive(Debug)]
pub(super) struct RecordWriter {
    /// Encodes keys.
    key: Option<PartEncoder>,
    /// Encodes values.
    value: PartEncoder,
    /// The row's timestamp, when a metadata column holds it.
    timestamp: Option<usize>,
    /// How changes are written.
    changelog: ChangelogMode,
    /// Finds the changes of one key.
    upsert: Option<(Vec<usize>, KeyCodec)>,
    /// Where records go.
    writer: Box<dyn SinkWriter>,
}

/// Encodes one part of rows.
#[derive(Debug)]
struct PartEncoder {
    /// Columns of the part among the written ones.
    columns: Vec<usize>,
    /// Encodes them.
    encoder: Box<dyn Encoder>,
}

impl RecordWriter {
    /// A writer of rows of `columns` to a table.
    ///
    /// # Errors
    /// `Invalid` or `Unsupported` for formats and columns that cannot be written.
    pub(super) fn new(
        table: &TableDef,
        columns: &[Column],
        changelog: ChangelogMode,
        registry: Option<&Arc<dyn SchemaRegistry>>,
        writer: Box<dyn SinkWriter>,
    ) -> Result<Self> {
        let layout = RecordLayout::of(table)?;
        let position = |name: &str| columns.iter().position(|column| column.name == name);
        let encoder = |part: &Part, suffix: &str| -> Result<PartEncoder> {
            let positions = part
                .columns
                .iter()
                .map(|name| position(name))
                .collect::<Option<Vec<_>>>();
            let positions =
                positions.ok_or_else(|| Error::internal("a sink lacks a physical column"))?;
            let fields = part
                .columns
                .iter()
                .map(|name| part.field(table, name))
                .collect::<Result<Vec<_>>>()?;
            let subject = format!("{}-{suffix}", topic_of(table));
            let encoder = part.spec(&subject, registry).encoder(&fields)?;
            Ok(PartEncoder {
                columns: positions,
                encoder,
            })
        };
        let upsert = if changelog == ChangelogMode::Upsert {
            let keys: Option<Vec<usize>> = table
                .primary_key
                .iter()
                .map(|name| position(name))
                .collect();
            let keys = keys.ok_or_else(|| Error::internal("a sink lacks a key column"))?;
            let codec = KeyCodec::new(keys.iter().map(|key| &columns[*key].ty))?;
            Some((keys, codec))
        } else {
            None
        };
        Ok(Self {
            key: layout
                .key
                .as_ref()
                .map(|part| encoder(part, "key"))
                .transpose()?,
            value: encoder(&layout.value, "value")?,
            timestamp: timestamp_column(table, columns)?,
            changelog,
            upsert,
            writer,
        })
    }

    /// The writer beneath.
    pub(super) fn writer(&mut self) -> &mut dyn SinkWriter {
        &mut *self.writer
    }

    /// Memory of what was written and is not safe yet, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.writer.memory_bytes()
    }

    /// Encodes and writes rows; the records and bytes written.
    ///
    /// # Errors
    /// `Data` when a value has no encoded form; what the writer returns.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<(usize, usize)> {
        let last_changes = match (&self.upsert, &batch.kinds) {
            (Some((keys, codec)), Some(_)) => Some(last_change_of_each_key(batch, keys, codec)?),
            (_, _) => None,
        };
        let batch = last_changes.as_ref().unwrap_or(batch);
        let mut encoded = EncodedBatch::default();
        let value_ranges = encode_part(&mut self.value, batch, &mut encoded.buffer)?;
        encoded.keys = match &mut self.key {
            Some(key) => encode_part(key, batch, &mut encoded.buffer)?
                .into_iter()
                .map(Some)
                .collect(),
            None => vec![None; batch.rows],
        };
        encoded.values = match self.changelog {
            ChangelogMode::Upsert => (0..batch.rows)
                .zip(value_ranges)
                .map(|(row, range)| (!batch.kind(row).is_retraction()).then_some(range))
                .collect(),
            ChangelogMode::Append | ChangelogMode::Retract => {
                value_ranges.into_iter().map(Some).collect()
            }
        };
        if let (ChangelogMode::Retract, Some(kinds)) = (self.changelog, &batch.kinds) {
            encoded.ops = kinds.iter().map(|kind| *kind as u8).collect();
        }
        if let Some(column) = self.timestamp {
            encoded.timestamps_ms = timestamps(&batch.columns[column])?;
        }
        let bytes = encoded.buffer.len();
        self.writer.write_records(&encoded)?;
        Ok((batch.rows, bytes))
    }
}

/// The topic behind a table.
pub(super) fn topic_of(table: &TableDef) -> &str {
    table.option("topic").unwrap_or(&table.name.name)
}

/// The written column that sets the record's timestamp.
fn timestamp_column(table: &TableDef, columns: &[Column]) -> Result<Option<usize>> {
    let mut timestamp = None;
    for (position, column) in columns.iter().enumerate() {
        if let ColumnKind::Metadata { key, .. } = &table.column(&column.name)?.kind {
            if key != "timestamp" {
                return Err(Error::unsupported(format!(
                    "writing metadata key '{key}' of column {}",
                    column.name
                )));
            }
            timestamp = Some(position);
        }
    }
    Ok(timestamp)
}

/// Epoch milliseconds of a timestamp column.
fn timestamps(column: &ArrayRef) -> Result<Vec<i64>> {
    let millis = arrow::compute::cast(
        column,
        &DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None),
    )?;
    Ok(millis
        .as_primitive::<TimestampMillisecondType>()
        .values()
        .to_vec())
}

/// Encodes one part of all rows behind what is in the buffer.
fn encode_part(part: &mut PartEncoder, batch: &Batch, buffer: &mut Vec<u8>) -> Result<Vec<Range>> {
    let columns = part
        .columns
        .iter()
        .map(|column| batch.columns[*column].clone())
        .collect();
    let mut start = buffer.len();
    let mut ends = Vec::with_capacity(batch.rows);
    let part_batch = Batch {
        columns,
        rows: batch.rows,
        kinds: None,
    };
    part.encoder.encode(&part_batch, buffer, &mut ends)?;
    ends.into_iter()
        .map(|end| {
            let range = Range {
                start: offset(start)?,
                len: offset(end - start)?,
            };
            start = end;
            Ok(range)
        })
        .collect()
}

/// A place in a buffer.
fn offset(bytes: usize) -> Result<u32> {
    u32::try_from(bytes)
        .map_err(|_| Error::unsupported("a batch of more than 4 GiB of encoded records"))
}

/// The last change of each key, in the order of those last changes.
fn last_change_of_each_key(batch: &Batch, keys: &[usize], codec: &KeyCodec) -> Result<Batch> {
    let columns: Vec<&ArrayRef> = keys.iter().map(|key| &batch.columns[*key]).collect();
    let encoded = codec.encode(&columns, batch.rows)?;
    let mut last: HashMap<&[u8], usize, foldhash::fast::RandomState> = HashMap::default();
    for row in 0..batch.rows {
        last.insert(encoded.key(row), row);
    }
    let is_last = |row: &u32| last.get(encoded.key(*row as usize)) == Some(&(*row as usize));
    let rows: Vec<u32> = (0..u32::try_from(batch.rows).unwrap_or(u32::MAX))
        .filter(is_last)
        .collect();
    batch.take(&UInt32Array::from(rows))
}
