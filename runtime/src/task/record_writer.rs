//! Rows to encoded records of a topic.
//!
//! Place in the flow: sinks and dead letters hand rows to it. Invariant: of the changes of one key in a batch only the last is
//! written to an upsert topic, as a value or as a tombstone.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::datatypes::{DataType, TimestampMillisecondType};

use crate::batch::Batch;
use crate::connector::sink::{EncodedBatch, SinkWriter};
use crate::connector::source::Range;
use crate::error::{Error, Result};
use crate::format::Encoder;
use crate::format::changelog::Dialect;
use crate::format::column::elements;
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
    /// Metadata columns that are written.
    metadata: WrittenMetadata,
    /// What spreads rows without a key over partitions.
    spread: Spread,
    /// How changes are written.
    changelog: ChangelogMode,
    /// Whether the format of the value says what a row does, so that no header has to.
    is_enveloped: bool,
    /// Finds the changes of one key.
    upsert: Option<(Vec<usize>, KeyCodec)>,
    /// Where records go.
    writer: Box<dyn SinkWriter>,
}

/// Metadata columns that are written.
#[derive(Debug, Default)]
struct WrittenMetadata {
    /// The record's timestamp.
    timestamp: Option<usize>,
    /// The record's headers.
    headers: Option<usize>,
}

/// What spreads rows without a key over partitions.
#[derive(Debug)]
enum Spread {
    /// Batches take turns.
    Turns,
    /// The encoded value: a change and its retraction are the same bytes.
    Value,
    /// The row: in an envelope a change and its retraction are other bytes.
    Row(KeyCodec, Vec<usize>),
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
        let value = encoder(&layout.value, "value")?;
        Ok(Self {
            key: layout
                .key
                .as_ref()
                .map(|part| encoder(part, "key"))
                .transpose()?,
            metadata: WrittenMetadata::of(table, columns)?,
            spread: Spread::of(&layout, changelog, (&value.columns, columns))?,
            is_enveloped: Dialect::of(&layout.value.format).is_some(),
            value,
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
        if let (ChangelogMode::Retract, Some(kinds), false) =
            (self.changelog, &batch.kinds, self.is_enveloped)
        {
            encoded.ops = kinds.iter().map(|kind| *kind as u8).collect();
        }
        let bytes = encoded.buffer.len();
        self.metadata.write(batch, &mut encoded)?;
        self.spread.write(batch, &mut encoded)?;
        self.writer.write_records(&encoded)?;
        Ok((batch.rows, bytes))
    }
}

impl Spread {
    /// How rows of a table are spread.
    ///
    /// # Source
    /// Confluent, partitioning of changelog modes: append tables without a key take turns, retract tables go by the entire value.
    fn of(
        layout: &RecordLayout,
        changelog: ChangelogMode,
        (value, columns): (&[usize], &[Column]),
    ) -> Result<Self> {
        if layout.key.is_some() || changelog != ChangelogMode::Retract {
            return Ok(Self::Turns);
        }
        if Dialect::of(&layout.value.format).is_none() {
            return Ok(Self::Value);
        }
        let codec = KeyCodec::for_rows(value.iter().map(|column| &columns[*column].ty))?;
        Ok(Self::Row(codec, value.to_vec()))
    }

    /// Notes what spreads the rows.
    fn write(&self, batch: &Batch, encoded: &mut EncodedBatch) -> Result<()> {
        match self {
            Self::Turns => {}
            Self::Value => encoded.spread_by = encoded.values.iter().flatten().copied().collect(),
            Self::Row(codec, columns) => {
                let columns: Vec<&ArrayRef> = columns
                    .iter()
                    .map(|column| &batch.columns[*column])
                    .collect();
                let keys = codec.encode_rows(&columns, batch.rows)?;
                for row in 0..batch.rows {
                    let range = append(&mut encoded.buffer, keys.key(row))?;
                    encoded.spread_by.push(range);
                }
            }
        }
        Ok(())
    }
}

impl WrittenMetadata {
    /// Those among the written columns.
    fn of(table: &TableDef, columns: &[Column]) -> Result<Self> {
        let mut found = Self::default();
        for (position, column) in columns.iter().enumerate() {
            let ColumnKind::Metadata { key, .. } = &table.column(&column.name)?.kind else {
                continue;
            };
            match key.as_str() {
                "timestamp" => found.timestamp = Some(position),
                "headers" => found.headers = Some(position),
                _ => {
                    return Err(Error::unsupported(format!(
                        "writing metadata key '{key}' of column {}",
                        column.name
                    )));
                }
            }
        }
        Ok(found)
    }

    /// Adds them to encoded rows.
    fn write(&self, batch: &Batch, encoded: &mut EncodedBatch) -> Result<()> {
        if let Some(column) = self.timestamp {
            encoded.timestamps_ms = timestamps(&batch.columns[column])?;
        }
        if let Some(column) = self.headers {
            let maps = batch.columns[column].as_map();
            let bytes = |texts: &ArrayRef| arrow::compute::cast(texts, &DataType::Binary);
            let (names, values) = (bytes(maps.keys())?, bytes(maps.values())?);
            let (names, values) = (names.as_binary::<i32>(), values.as_binary::<i32>());
            for row in 0..batch.rows {
                // As in Flink, a header without a value is not written.
                let entries = elements(maps.value_offsets(), row).filter(|at| values.is_valid(*at));
                let headers = entries.map(|at| {
                    let name = append(&mut encoded.buffer, names.value(at))?;
                    Ok((name, append(&mut encoded.buffer, values.value(at))?))
                });
                encoded.headers.push(headers.collect::<Result<_>>()?);
            }
        }
        Ok(())
    }
}

/// Appends bytes to a buffer; where they are.
fn append(buffer: &mut Vec<u8>, bytes: &[u8]) -> Result<Range> {
    let range = Range {
        start: offset(buffer.len())?,
        len: offset(bytes.len())?,
    };
    buffer.extend_from_slice(bytes);
    Ok(range)
}

/// The topic behind a table.
pub(super) fn topic_of(table: &TableDef) -> &str {
    table.option("topic").unwrap_or(&table.name.name)
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
        kinds: batch.kinds.clone(),
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

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use arrow::array::{BinaryArray, Int32Array, MapArray, StringArray, StructArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Field, Fields};

    use super::*;
    use crate::batch::RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    use crate::sql::binder::{Bound, analyze};
    use crate::sql::catalog::MemoryCatalog;
    use crate::sql::session::Session;

    /// Keeps what is written.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<EncodedBatch>>>);

    impl SinkWriter for Kept {
        fn write_rows(&mut self, _batch: &Batch) -> Result<()> {
            Err(Error::internal("rows"))
        }

        fn write_records(&mut self, records: &EncodedBatch) -> Result<()> {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(records.clone());
            Ok(())
        }

        fn ready(&mut self) -> bool {
            true
        }

        fn flush(&mut self) -> Result<bool> {
            Ok(true)
        }
    }

    /// What a table with these columns and options is written as.
    fn written(table: &str, batch: &Batch) -> EncodedBatch {
        let statement = crate::sql::parse(&format!("CREATE TABLE t {table}")).unwrap();
        let bound = analyze(&statement[0], &MemoryCatalog::new(), &Session::default()).unwrap();
        let Bound::CreateTable { table, .. } = bound else {
            panic!("{bound:?}")
        };
        let columns: Vec<Column> = table
            .columns
            .iter()
            .map(|column| Column {
                name: column.name.clone(),
                ty: column.ty.clone(),
            })
            .collect();
        let changelog = match table.option("changelog.mode") {
            Some("retract") => ChangelogMode::Retract,
            Some("upsert") => ChangelogMode::Upsert,
            _ => ChangelogMode::Append,
        };
        let kept = Kept::default();
        let writer = Box::new(kept.clone());
        let mut writer = RecordWriter::new(&table, &columns, changelog, None, writer).unwrap();
        writer.write(batch).unwrap();
        let mut all = kept.0.lock().unwrap();
        all.remove(0)
    }

    /// Two rows, the first of which changes and goes.
    fn changes() -> Batch {
        let ids = Int32Array::from(vec![1, 1, 2, 2, 1]);
        let names = StringArray::from(vec!["a", "a", "a", "a", "a"]);
        let kinds = [Insert, UpdateBefore, UpdateAfter, Delete, Insert];
        Batch {
            kinds: Some(kinds.into()),
            ..Batch::inserts(vec![Arc::new(ids), Arc::new(names)], 5)
        }
    }

    #[test]
    fn a_row_goes_where_its_retraction_goes() {
        let columns = "(id INT, name STRING)";
        for options in [
            "'changelog.mode' = 'retract', 'value.format' = 'json'",
            "'value.format' = 'debezium-json'",
            "'value.format' = 'canal-json'",
        ] {
            let records = written(&format!("{columns} WITH ({options})"), &changes());
            let routes: Vec<&[u8]> = (0..5).map(|row| records.routed_by(row).unwrap()).collect();
            assert_eq!(routes[0], routes[1], "{options}");
            assert_eq!(routes[0], routes[4], "{options}");
            assert_eq!(routes[2], routes[3], "{options}");
            assert_ne!(routes[0], routes[2], "{options}");
            // A format of changes says in the value what the row does.
            let ops: &[u8] = if options.contains("retract") {
                &[0, 1, 2, 3, 0]
            } else {
                &[]
            };
            assert_eq!(records.ops, ops, "{options}");
        }
        let append = written(
            &format!("{columns} WITH ('value.format' = 'json')"),
            &changes(),
        );
        assert_eq!(append.routed_by(0), None);
        let keyed = "(id INT, name STRING) DISTRIBUTED BY (id) INTO 3 BUCKETS WITH ('changelog.mode' = 'retract', 'value.format' = 'json')";
        let records = written(keyed, &changes());
        assert_eq!(records.routed_by(2), Some(b"{\"id\":2}".as_slice()));
    }

    #[test]
    fn headers_of_a_row_are_those_of_its_record() {
        let names = StringArray::from(vec!["a", "b", "c"]);
        let values = BinaryArray::from(vec![Some(b"1".as_slice()), None, Some(b"3")]);
        let fields = Fields::from(vec![
            Field::new("key", DataType::Utf8, false),
            Field::new("value", DataType::Binary, true),
        ]);
        let entries = StructArray::new(
            fields.clone(),
            vec![Arc::new(names) as ArrayRef, Arc::new(values)],
            None,
        );
        let field = Field::new("entries", DataType::Struct(fields), false);
        let offsets = OffsetBuffer::from_lengths([2, 0, 1]);
        let maps = MapArray::new(Arc::new(field), offsets, entries, None, false);
        let ids = Int32Array::from(vec![1, 2, 3]);
        let batch = Batch::inserts(vec![Arc::new(ids), Arc::new(maps)], 3);
        let table =
            "(id INT, h MAP<STRING, BYTES> METADATA FROM 'headers') WITH ('value.format' = 'json')";
        let records = written(table, &batch);
        let headers: Vec<Vec<(&[u8], &[u8])>> = records
            .headers
            .iter()
            .map(|headers| {
                let bytes = headers.iter();
                bytes
                    .map(|(name, value)| (name.of(&records.buffer), value.of(&records.buffer)))
                    .collect()
            })
            .collect();
        let (a, c) = (
            (b"a".as_slice(), b"1".as_slice()),
            (b"c".as_slice(), b"3".as_slice()),
        );
        assert_eq!(headers, [vec![a], vec![], vec![c]]);
    }
}
