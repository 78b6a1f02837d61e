//! What an OVER aggregation knows of each partition.
//!
//! Place in the flow: the values of its table of partitions. Invariant: a call has its result in one place, whatever computes it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};

use super::lag::Lag;
use crate::batch::Batch;
use crate::error::Result;
use crate::operator::aggregate::Aggregates;
use crate::plan::{AggregateCall, AggregateFunction};
use crate::state::Values;
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::types::FlinkType;

/// Whether a function looks at the place of a row, and is computed here.
pub fn is_position(function: AggregateFunction) -> bool {
    use AggregateFunction as F;
    matches!(function, F::RowNumber | F::Rank | F::DenseRank | F::Lag)
}

/// What computes a call.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// The next of the aggregates.
    Aggregate,
    /// The rows so far: `ROW_NUMBER`, and in Flink 2.3 ranks as well, which in a stream do not know the columns of the order, so that no row
    /// ties with another (`golden/over/by_value_ties`).
    Position,
    /// The next of the lags.
    Lag,
}

/// Counters of a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Rows that came.
    pub(super) rows: i64,
    /// The time up to which rows were emitted; those of a bounded frame that come later are late.
    pub(super) last_ms: i64,
    /// When the partition is forgotten; 0 without.
    pub(super) cleanup_ms: i64,
}

/// Aggregates and counters by partition.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// What computes each call.
    sources: Vec<Source>,
    /// Aggregates.
    aggregates: Aggregates,
    /// Lags.
    lags: Vec<Lag>,
    /// Counters.
    pub(super) counters: Vec<Counters>,
}

impl Cells {
    /// No partitions, for calls over columns of some types.
    ///
    /// # Errors
    /// `Unsupported` for arguments that a call does not take.
    pub(super) fn new(
        calls: &[AggregateCall],
        types: &[FlinkType],
        retracts: bool,
    ) -> Result<Self> {
        let source = |call: &AggregateCall| match call.function {
            AggregateFunction::RowNumber
            | AggregateFunction::Rank
            | AggregateFunction::DenseRank => Source::Position,
            AggregateFunction::Lag => Source::Lag,
            _ => Source::Aggregate,
        };
        let plain: Vec<AggregateCall> = calls
            .iter()
            .filter(|call| !is_position(call.function))
            .cloned()
            .collect();
        let lags = calls
            .iter()
            .filter(|call| call.function == AggregateFunction::Lag);
        Ok(Self {
            sources: calls.iter().map(source).collect(),
            aggregates: Aggregates::new(&plain, types, retracts)?,
            lags: lags
                .map(|call| Lag::new(call, types))
                .collect::<Result<_>>()?,
            counters: Vec::new(),
        })
    }

    /// Adds and takes away rows.
    ///
    /// # Errors
    /// What the aggregates return.
    pub(super) fn update(&mut self, batch: &Batch, groups: &[u32]) -> Result<()> {
        self.aggregates.update(batch, groups)?;
        self.lags
            .iter_mut()
            .try_for_each(|lag| lag.update(batch, groups))
    }

    /// Counts rows of a partition.
    pub(super) fn count(&mut self, group: u32, rows: usize) {
        let counters = &mut self.counters[group as usize];
        counters.rows += i64::try_from(rows).unwrap_or(i64::MAX);
    }

    /// The results of some partitions, one column per call.
    ///
    /// # Errors
    /// What the aggregates return.
    pub(super) fn evaluate(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut aggregates = self.aggregates.evaluate(groups)?.into_iter();
        let mut lags = self.lags.iter();
        let position = || -> ArrayRef {
            let counters = groups.iter().map(|group| self.counters[*group as usize]);
            Arc::new(Int64Array::from_iter_values(counters.map(|of| of.rows)))
        };
        let mut columns = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            columns.extend(match source {
                Source::Aggregate => aggregates.next(),
                Source::Position => Some(position()),
                Source::Lag => match lags.next() {
                    Some(lag) => Some(lag.evaluate(groups)?),
                    None => None,
                },
            });
        }
        Ok(columns)
    }
}

impl Values for Cells {
    fn resize(&mut self, len: usize) {
        self.aggregates.resize(len);
        self.lags.iter_mut().for_each(|lag| lag.resize(len));
        column::resize(&mut self.counters, len, Counters::default());
    }

    fn clear(&mut self, id: u32) {
        self.aggregates.clear(id);
        self.lags.iter_mut().for_each(|lag| lag.clear(id));
        self.counters[id as usize] = Counters::default();
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        self.aggregates.write(id, out);
        self.lags.iter().for_each(|lag| lag.write(id, out));
        let counters = self.counters[id as usize];
        out.put_i64(counters.rows);
        out.put_i64(counters.last_ms);
        out.put_i64(counters.cleanup_ms);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        self.aggregates.read(id, input)?;
        self.lags
            .iter_mut()
            .try_for_each(|lag| lag.read(id, input))?;
        self.counters[id as usize] = Counters {
            rows: input.i64()?,
            last_ms: input.i64()?,
            cleanup_ms: input.i64()?,
        };
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let lags: usize = self.lags.iter().map(Lag::memory_bytes).sum();
        self.aggregates.memory_bytes() + lags + self.counters.capacity() * size_of::<Counters>()
    }

    fn heap_bytes(&self) -> usize {
        let lags: usize = self.lags.iter().map(Lag::heap_bytes).sum();
        self.aggregates.heap_bytes() + lags
    }
}
