//! Aggregation in windows.
//!
//! Place in the flow: after a hash exchange by the keys. Invariant: a window is emitted exactly once, when the watermark reaches
//! its last millisecond; a row that comes later is counted as late and dropped, as in Flink.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMillisecondArray, UInt32Array};

use crate::batch::Batch;
use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::operator::aggregate::Aggregates;
use crate::operator::window::assigner::Assigner;
use crate::operator::{Collector, EMIT_ROWS_MAX, KeyGroupState, Operator, OperatorContext};
use crate::plan::{AggregateCall, WindowProperty};
use crate::state::codec::{Reader, Writer};
use crate::state::{GroupTable, KeyCodec};
use crate::types::FlinkType;

/// What is aggregated, and how it is emitted.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Key columns of the input.
    pub keys: Vec<usize>,
    /// Aggregates.
    pub calls: Vec<AggregateCall>,
    /// Window columns that follow the aggregates.
    pub properties: Vec<WindowProperty>,
    /// Column types of the input.
    pub input: Vec<FlinkType>,
}

/// Aggregates per window and key.
#[derive(Debug)]
pub struct WindowAggregate {
    /// Finds the window.
    assigner: Assigner,
    /// What is aggregated.
    spec: Spec,
    /// Encodes keys.
    codec: KeyCodec,
    /// Open windows by their local end.
    slices: BTreeMap<i64, Slice>,
    /// Watermark up to which windows are closed.
    closed_ms: i64,
    /// Groups of the first due window that were emitted already.
    cursor: u32,
    /// Ids of the present rows, kept for its memory.
    ids: Vec<u32>,
}

/// One window.
#[derive(Debug)]
struct Slice {
    /// Keys to ids.
    groups: GroupTable,
    /// Accumulators by id.
    aggregates: Aggregates,
}

impl WindowAggregate {
    /// No windows yet.
    ///
    /// # Errors
    /// `Unsupported` for keys or arguments of types that cannot be one.
    pub fn new(assigner: Assigner, spec: Spec) -> Result<Self> {
        let codec = KeyCodec::new(spec.keys.iter().map(|key| &spec.input[*key]))?;
        Aggregates::new(&spec.calls, &spec.input, false)?;
        Ok(Self {
            assigner,
            spec,
            codec,
            slices: BTreeMap::new(),
            closed_ms: i64::MIN,
            cursor: 0,
            ids: Vec::new(),
        })
    }

    /// Adds rows that all belong to one open window.
    fn add(&mut self, end_ms: i64, batch: &Batch) -> Result<()> {
        let columns: Vec<&ArrayRef> = self
            .spec
            .keys
            .iter()
            .map(|key| &batch.columns[*key])
            .collect();
        let keys = self.codec.encode(&columns, batch.rows)?;
        let slice = open(&mut self.slices, end_ms, &self.spec)?;
        slice.groups.ids_of(&keys, &mut self.ids, |_| {})?;
        slice.aggregates.resize(slice.groups.capacity());
        slice.aggregates.update(batch, &self.ids)
    }

    /// Whether a window was emitted already.
    fn is_closed(&self, end_ms: i64) -> bool {
        self.assigner.closing_watermark(end_ms) <= self.closed_ms
    }

    /// The rows of some groups of a window.
    fn rows(&self, end_ms: i64, slice: &Slice, ids: &[u32]) -> Result<Batch> {
        let mut columns = self
            .codec
            .decode(ids.iter().map(|id| slice.groups.key(*id)))?;
        columns.extend(slice.aggregates.evaluate(ids)?);
        for property in &self.spec.properties {
            let value = match property {
                WindowProperty::Start => self.assigner.start_of(end_ms),
                WindowProperty::End => end_ms,
                WindowProperty::Time => self.assigner.window_time(end_ms),
            };
            columns.push(Arc::new(TimestampMillisecondArray::from_value(
                value,
                ids.len(),
            )));
        }
        Ok(Batch::inserts(columns, ids.len()))
    }
}

/// The window with this end, opened if needed.
fn open<'a>(
    slices: &'a mut BTreeMap<i64, Slice>,
    end_ms: i64,
    spec: &Spec,
) -> Result<&'a mut Slice> {
    use std::collections::btree_map::Entry;
    Ok(match slices.entry(end_ms) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => entry.insert(Slice {
            groups: GroupTable::default(),
            aggregates: Aggregates::new(&spec.calls, &spec.input, false)?,
        }),
    })
}

/// Row indices of each window in a batch.
fn partition(ends: &[i64]) -> BTreeMap<i64, Vec<u32>> {
    let mut windows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for (row, end) in (0u32..).zip(ends) {
        windows.entry(*end).or_default().push(row);
    }
    windows
}

impl Operator for WindowAggregate {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        _out: &mut Collector,
    ) -> Result<()> {
        let ends = self.assigner.ends(&batch.columns)?;
        let Some(first) = ends.first().copied() else {
            return Ok(());
        };
        if ends.iter().all(|end| *end == first) && !self.is_closed(first) {
            return self.add(first, batch);
        }
        for (end_ms, rows) in partition(&ends) {
            if self.is_closed(end_ms) {
                context.metrics.late_records.add(rows.len());
            } else {
                self.add(end_ms, &batch.take(&UInt32Array::from(rows))?)?;
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        self.closed_ms = self.closed_ms.max(context.watermark_ms.unwrap_or(i64::MIN));
        Ok(())
    }

    fn emit_pending(
        &mut self,
        _context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<bool> {
        let mut emitted = 0;
        while let Some((end_ms, slice)) = self.slices.first_key_value() {
            let end_ms = *end_ms;
            if !self.is_closed(end_ms) {
                return Ok(false);
            }
            let limit = EMIT_ROWS_MAX - emitted;
            let capacity = u32::try_from(slice.groups.capacity()).unwrap_or(u32::MAX);
            let last = capacity.min(
                self.cursor
                    .saturating_add(u32::try_from(limit).unwrap_or(u32::MAX)),
            );
            let ids: Vec<u32> = (self.cursor..last).collect();
            out.emit(self.rows(end_ms, slice, &ids)?);
            emitted += ids.len();
            if last == capacity {
                self.slices.remove(&end_ms);
                self.cursor = 0;
            } else {
                self.cursor = last;
            }
            if emitted >= EMIT_ROWS_MAX {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn snapshot(&self, key_groups: u32) -> Result<Vec<KeyGroupState>> {
        let mut states: Vec<Vec<u8>> = vec![Vec::new(); key_groups as usize];
        for (end_ms, slice) in &self.slices {
            for id in slice.groups.ids() {
                let out = &mut states[key_group(slice.groups.hash(id), key_groups) as usize];
                out.put_i64(*end_ms);
                out.put_bytes(slice.groups.key(id));
                out.put_i64(slice.groups.hash(id).cast_signed());
                slice.aggregates.write(id, out);
            }
        }
        let states = (0..).zip(states).filter(|(_, bytes)| !bytes.is_empty());
        Ok(states
            .map(|(key_group, bytes)| KeyGroupState { key_group, bytes })
            .collect())
    }

    fn restore(&mut self, state: &KeyGroupState) -> Result<()> {
        let mut input = Reader::new(&state.bytes);
        while !input.is_empty() {
            let end_ms = input.i64()?;
            let key = input.bytes()?;
            let hash = input.i64()?.cast_unsigned();
            let slice = open(&mut self.slices, end_ms, &self.spec)?;
            let (id, _) = slice.groups.id_of(key, hash)?;
            slice.aggregates.resize(slice.groups.capacity());
            slice.aggregates.read(id, &mut input)?;
        }
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        self.slices
            .values()
            .map(|slice| slice.groups.memory_bytes() + slice.aggregates.memory_bytes())
            .sum()
    }

    fn state_keys(&self) -> usize {
        self.slices.values().map(|slice| slice.groups.len()).sum()
    }
}

#[cfg(test)]
mod tests;
