//! What stands in front of a sink when changes of several upsert keys meet in its primary key.
//!
//! Place in the flow: after a hash exchange by the primary key, in front of the sink. Invariant: what was emitted, folded by primary key,
//! is the row that came last of those that were not taken back.
//!
//! # Source
//! Flink 2.3: `SinkUpsertMaterializer`.

use arrow::array::ArrayRef;

use super::deduplicate::encode_keys;
use super::rows::Changes;
use crate::batch::{Batch, RowKind};
use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::operator::{Collector, Operator, OperatorContext, StateVisit};
use crate::state::codec::{Reader, Writer};
use crate::state::{EncodedKeys, KeyCodec, KeyedTable, StateConfig, Values, column};
use crate::types::FlinkType;

/// Number of the only table.
const ROWS_TABLE: u8 = 0;

/// Columns that rows are known by.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// The primary key of the table.
    pub primary: &'a [usize],
    /// The upsert key of the query; absent when it has none, and rows are known by all columns.
    pub upsert: Option<&'a [usize]>,
}

/// A row, and what it is known by among those of its primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownRow {
    /// Its upsert key, or itself again when there is none.
    pub(super) key: Box<[u8]>,
    /// Itself.
    pub(super) row: Box<[u8]>,
}

impl KnownRow {
    /// Memory beside the row's own place, bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.row.len()
    }

    /// Appends its stored form.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_bytes(&self.key);
        out.put_bytes(&self.row);
    }

    /// Reads its stored form.
    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            key: input.bytes()?.into(),
            row: input.bytes()?.into(),
        })
    }
}

/// Encodes primary keys, upsert keys and rows.
#[derive(Debug)]
pub(super) struct Codecs {
    /// Columns of the primary key.
    primary: Vec<usize>,
    /// Columns of the upsert key.
    upsert: Option<Vec<usize>>,
    /// Encodes primary keys.
    primary_codec: KeyCodec,
    /// Encodes upsert keys.
    upsert_codec: Option<KeyCodec>,
    /// Encodes rows.
    pub(super) rows: KeyCodec,
}

/// A batch, encoded.
#[derive(Debug)]
pub(super) struct Encoded {
    /// Primary keys.
    pub(super) primary: EncodedKeys,
    /// Upsert keys, if there are any.
    upsert: Option<EncodedKeys>,
    /// Rows.
    rows: EncodedKeys,
}

impl Encoded {
    /// A row of the batch.
    pub(super) fn row(&self, row: usize) -> KnownRow {
        let known_by = self.upsert.as_ref().unwrap_or(&self.rows);
        KnownRow {
            key: known_by.key(row).into(),
            row: self.rows.key(row).into(),
        }
    }
}

impl Codecs {
    /// Those of a sink's input.
    pub(super) fn new(keys: Keys<'_>, types: &[FlinkType]) -> Result<Self> {
        let codec = |keys: &[usize]| KeyCodec::new(keys.iter().map(|key| &types[*key]));
        Ok(Self {
            primary: keys.primary.to_vec(),
            upsert: keys.upsert.map(<[usize]>::to_vec),
            primary_codec: codec(keys.primary)?,
            upsert_codec: keys.upsert.map(codec).transpose()?,
            rows: KeyCodec::for_rows(types)?,
        })
    }

    /// Encodes a batch.
    pub(super) fn encode(&self, batch: &Batch) -> Result<Encoded> {
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        let upsert = match (&self.upsert_codec, &self.upsert) {
            (Some(codec), Some(keys)) => Some(encode_keys(codec, keys, batch)?),
            (_, None) | (None, _) => None,
        };
        Ok(Encoded {
            primary: encode_keys(&self.primary_codec, &self.primary, batch)?,
            upsert,
            rows: self.rows.encode_rows(&columns, batch.rows)?,
        })
    }
}

/// Keeps all rows of each primary key.
#[derive(Debug)]
pub struct UpsertMaterialize {
    /// Encodes keys and rows.
    codecs: Codecs,
    /// Rows by primary key.
    rows: KeyedTable<RowLists>,
    /// Key groups of the statement.
    key_groups: u32,
    /// What was found and not emitted.
    changes: Changes,
}

/// The rows of each primary key in the order in which they came.
#[derive(Debug, Default)]
struct RowLists {
    /// Rows by id.
    rows: Vec<Vec<KnownRow>>,
    /// Bytes of all rows.
    row_bytes: usize,
}

impl Values for RowLists {
    fn resize(&mut self, len: usize) {
        column::resize_with(&mut self.rows, len, Vec::new);
    }

    fn clear(&mut self, id: u32) {
        let rows = std::mem::take(&mut self.rows[id as usize]);
        self.row_bytes -= rows.iter().map(KnownRow::bytes).sum::<usize>();
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        self.rows[id as usize].iter().for_each(|row| row.write(out));
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        while !input.is_empty() {
            let row = KnownRow::read(input)?;
            self.row_bytes += row.bytes();
            self.rows[id as usize].push(row);
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Vec<KnownRow>>() + self.row_bytes
    }

    fn heap_bytes(&self) -> usize {
        self.row_bytes
    }
}

impl UpsertMaterialize {
    /// No rows yet.
    ///
    /// # Errors
    /// `Unsupported` for keys of types that cannot be one.
    pub fn new(keys: Keys<'_>, types: &[FlinkType], state: StateConfig) -> Result<Self> {
        Ok(Self {
            codecs: Codecs::new(keys, types)?,
            key_groups: state.key_groups,
            rows: KeyedTable::new(ROWS_TABLE, RowLists::default(), state),
            changes: Changes::default(),
        })
    }

    /// Puts a row behind the others of its primary key, or in the place of the one that it updates.
    fn add(&mut self, id: u32, added: KnownRow) {
        let lists = self.rows.values_mut();
        let rows = &mut lists.rows[id as usize];
        let kind = if rows.is_empty() {
            RowKind::Insert
        } else {
            RowKind::UpdateAfter
        };
        self.changes.push(kind, &added.row);
        lists.row_bytes += added.bytes();
        let has_upsert_key = self.codecs.upsert.is_some();
        let same = |row: &KnownRow| has_upsert_key && row.key == added.key;
        match rows.iter().position(same) {
            Some(place) => {
                let old = std::mem::replace(&mut rows[place], added);
                lists.row_bytes -= old.bytes();
            }
            None => rows.push(added),
        }
    }

    /// Takes a row away; what was there before it is there again.
    fn retract(&mut self, id: u32, retracted: &KnownRow) {
        let lists = self.rows.values_mut();
        let rows = &mut lists.rows[id as usize];
        let Some(place) = rows.iter().position(|row| row.key == retracted.key) else {
            // Its state has expired, or it is a row of a changelog that is read from its middle.
            return;
        };
        lists.row_bytes -= rows.remove(place).bytes();
        match rows.last() {
            None => self.changes.push(RowKind::Delete, &retracted.row),
            Some(last) if place == rows.len() => {
                self.changes.push(RowKind::UpdateAfter, &last.row);
            }
            Some(_) => {}
        }
    }
}

impl Operator for UpsertMaterialize {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let encoded = self.codecs.encode(batch)?;
        let now_ms = context.state_time_ms();
        for (row, hash) in encoded.primary.hashes.iter().enumerate() {
            let group = key_group(*hash, self.key_groups);
            let key = encoded.primary.key(row);
            let (id, _) = self.rows.upsert_in(key, group, now_ms)?;
            if batch.kind(row).is_retraction() {
                self.retract(id, &encoded.row(row));
            } else {
                self.add(id, encoded.row(row));
            }
            if self.rows.values().rows[id as usize].is_empty() {
                self.rows.remove(id)?;
            }
        }
        self.changes.emit(&self.codecs.rows, out)
    }

    fn emit_pending(&mut self, _: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        self.changes.emit(&self.codecs.rows, out)?;
        Ok(!self.changes.is_empty())
    }

    fn has_backlog(&self) -> bool {
        !self.changes.is_empty()
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(&mut self.rows);
    }
}

#[cfg(test)]
mod tests;
