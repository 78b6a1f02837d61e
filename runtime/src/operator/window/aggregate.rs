//! Aggregation in windows.
//!
//! Place in the flow: after a hash exchange by the keys. Invariant: a window is emitted exactly once, when the watermark reaches
//! its last millisecond; a row that comes later is counted as late and dropped, as in Flink.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMillisecondArray, UInt32Array};

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::aggregate::Aggregates;
use crate::operator::window::assigner::Assigner;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::plan::{AggregateCall, WindowProperty};
use crate::state::{KeyCodec, Slice, Slices, StateConfig};
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
    windows: Slices<Aggregates>,
    /// Watermark up to which windows are closed.
    closed_ms: i64,
    /// Groups of the first due window that were emitted already.
    cursor: u32,
    /// Ids of the present rows, kept for its memory.
    ids: Vec<u32>,
}

/// Number of the only table.
const WINDOWS_TABLE: u8 = 0;

impl WindowAggregate {
    /// No windows yet.
    ///
    /// # Errors
    /// `Unsupported` for keys or arguments of types that cannot be one.
    pub fn new(assigner: Assigner, spec: Spec, state: StateConfig) -> Result<Self> {
        let codec = KeyCodec::new(spec.keys.iter().map(|key| &spec.input[*key]))?;
        let (calls, input) = (spec.calls.clone(), spec.input.clone());
        let make = move || Aggregates::new(&calls, &input, false);
        make()?;
        Ok(Self {
            assigner,
            spec,
            codec,
            windows: Slices::new(WINDOWS_TABLE, state, Box::new(make)),
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
        let aggregates = self.windows.upsert(end_ms, &keys, &mut self.ids)?;
        aggregates.update(batch, &self.ids)
    }

    /// Whether a window was emitted already.
    fn is_closed(&self, end_ms: i64) -> bool {
        self.assigner.closing_watermark(end_ms) <= self.closed_ms
    }
}

/// The rows of some groups of a window.
fn rows(
    (assigner, properties): (&Assigner, &[WindowProperty]),
    codec: &KeyCodec,
    end_ms: i64,
    window: &Slice<'_, Aggregates>,
    ids: &[u32],
) -> Result<Batch> {
    let mut columns = codec.decode(ids.iter().map(|id| window.key(*id)))?;
    columns.extend(window.values().evaluate(ids)?);
    for property in properties {
        let value = match property {
            WindowProperty::Start => assigner.start_of(end_ms),
            WindowProperty::End => end_ms,
            WindowProperty::Time | WindowProperty::Proctime => assigner.window_time(end_ms),
        };
        columns.push(Arc::new(TimestampMillisecondArray::from_value(
            value,
            ids.len(),
        )));
    }
    Ok(Batch::inserts(columns, ids.len()))
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
        while let Some(end_ms) = self.windows.first() {
            if !self.is_closed(end_ms) {
                return Ok(false);
            }
            let Some(window) = self.windows.slice(end_ms)? else {
                return Ok(false);
            };
            let ids = window.ids(self.cursor, EMIT_ROWS_MAX - emitted);
            let form = (&self.assigner, self.spec.properties.as_slice());
            out.emit(rows(form, &self.codec, end_ms, &window, &ids)?);
            emitted += ids.len();
            if emitted >= EMIT_ROWS_MAX {
                // The next call finds out whether that was the last group.
                self.cursor = ids.last().map_or(self.cursor, |last| last + 1);
                return Ok(true);
            }
            self.windows.drop_slice(end_ms)?;
            self.cursor = 0;
        }
        Ok(false)
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(&mut self.windows);
    }
}

#[cfg(test)]
mod tests;
