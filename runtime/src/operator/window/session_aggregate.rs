//! Aggregation in sessions.
//!
//! Place in the flow: after a hash exchange by the keys. Invariant: a session is emitted exactly once, when the watermark or the clock
//! reaches its last millisecond; a row that no open session takes and that would begin one that is over is counted as late and dropped.

use arrow::array::UInt32Array;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::graph::key_group::key_group;
use crate::operator::aggregate::{Aggregates, Merged};
use crate::operator::window::assigner::Source;
use crate::operator::window::progress::Progress;
use crate::operator::window::result::{Results, Spec, WindowsOf};
use crate::operator::window::sessions::{SessionKey, SessionValues, Sessions};
use crate::operator::window::zone::Zone;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::plan::{Window, WindowKind};
use crate::state::codec::Reader;
use crate::state::{StateConfig, Values};
use crate::time::EpochMillis;

/// Aggregates per session and key.
#[derive(Debug)]
pub struct SessionAggregate {
    /// Where times come from.
    source: Source,
    /// The time zone of windows.
    zone: Zone,
    /// Makes rows.
    results: Results,
    /// The open sessions.
    sessions: Sessions<SessionAggregates>,
    /// What is closed.
    progress: Progress,
    /// Key groups of the statement.
    key_groups: u32,
}

/// The aggregates of sessions.
#[derive(Debug, Default)]
struct SessionAggregates {
    /// By id.
    aggregates: Aggregates,
    /// One group, in which what is merged lies for a moment.
    between: Aggregates,
}

impl SessionValues for SessionAggregates {
    fn absorb(&mut self, into: u32, from: u32) -> Result<()> {
        self.between.resize(1);
        self.between.clear(0);
        let (out, back) = (Merged { into: 0, from }, Merged { into, from: 0 });
        self.between.merge(&self.aggregates, &[out])?;
        self.aggregates.merge(&self.between, &[back])
    }
}

impl Values for SessionAggregates {
    fn resize(&mut self, len: usize) {
        self.aggregates.resize(len);
    }

    fn clear(&mut self, id: u32) {
        self.aggregates.clear(id);
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        self.aggregates.write(id, out);
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        self.aggregates.read(id, input)
    }

    fn memory_bytes(&self) -> usize {
        self.aggregates.memory_bytes()
    }

    fn heap_bytes(&self) -> usize {
        self.aggregates.heap_bytes()
    }
}

/// The gap of sessions, milliseconds.
///
/// # Errors
/// `Internal` for windows of another kind.
pub(super) fn gap_ms(window: &Window) -> Result<i64> {
    match window.kind {
        WindowKind::Session { gap_ms } => Ok(gap_ms),
        WindowKind::Tumble { .. } | WindowKind::Hop { .. } | WindowKind::Cumulate { .. } => {
            Err(Error::internal("windows of a fixed shape are no sessions"))
        }
    }
}

impl SessionAggregate {
    /// No sessions yet.
    ///
    /// # Errors
    /// `Unsupported` for keys or arguments of types that cannot be one, and for aggregates that cannot be merged, as in Flink.
    pub fn new(window: &Window, spec: Spec, state: StateConfig) -> Result<Self> {
        let source = Source::of(window);
        let zone = source.zone(window, &spec.input)?;
        let results = Results::new(spec, zone, window.domain)?;
        let values = SessionAggregates {
            aggregates: results.aggregates()?,
            between: results.aggregates()?,
        };
        if !values.aggregates.can_merge() {
            return Err(Error::unsupported(
                "an aggregate in SESSION windows that cannot be merged when sessions are: use TUMBLE, HOP or CUMULATE",
            ));
        }
        let progress = Progress::new(window.domain, zone);
        Ok(Self {
            source,
            zone,
            results,
            key_groups: state.key_groups,
            sessions: Sessions::new(gap_ms(window)?, values, &progress, state),
            progress,
        })
    }
}

/// Rows of a batch whose sessions are known and that are not aggregated yet.
#[derive(Debug, Default)]
struct Pending {
    /// The rows.
    rows: Vec<u32>,
    /// The id of each one's session.
    ids: Vec<u32>,
}

impl Pending {
    /// Aggregates the rows.
    fn flush(&mut self, batch: &Batch, values: &mut SessionAggregates) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        if rows.len() == batch.rows {
            values.aggregates.update(batch, &self.ids)?;
        } else {
            let part = batch.take(&UInt32Array::from(rows))?;
            values.aggregates.update(&part, &self.ids)?;
        }
        self.ids.clear();
        Ok(())
    }
}

impl Operator for SessionAggregate {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        _out: &mut Collector,
    ) -> Result<()> {
        let times = self.source.times(batch, self.zone, context)?;
        let keys = self.results.keys(batch)?;
        let mut pending = Pending::default();
        for (row, (time_ms, hash)) in times.iter().zip(&keys.hashes).enumerate() {
            let key = SessionKey {
                bytes: keys.key(row),
                key_group: key_group(*hash, self.key_groups),
            };
            let mut flush = |values: &mut SessionAggregates| pending.flush(batch, values);
            let placed = self
                .sessions
                .place(key, *time_ms, &self.progress, &mut flush)?;
            if let Some(id) = placed {
                pending.rows.push(u32::try_from(row).unwrap_or(u32::MAX));
                pending.ids.push(id);
            } else {
                context.metrics.late_records.add(1);
            }
        }
        pending.flush(batch, self.sessions.values_mut())
    }

    fn on_watermark(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        self.progress.on_watermark(context);
        Ok(())
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        let mut room = EMIT_ROWS_MAX;
        while let Some(due) = self.sessions.due(&self.progress, room)? {
            let aggregates = &self.sessions.values().aggregates;
            out.emit(self.results.rows(
                due.keys(),
                (aggregates, &due.ids),
                WindowsOf::Each(&due.windows),
                context,
            )?);
            self.sessions.forget(&due, &self.progress)?;
            room = room.saturating_sub(due.ids.len());
            if room == 0 {
                return Ok(true);
            }
        }
        self.progress.emitted();
        Ok(false)
    }

    fn next_timer_ms(&self) -> Option<EpochMillis> {
        self.sessions.next_timer_ms(&self.progress)
    }

    fn on_timer(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        self.progress.on_timer(context);
        Ok(())
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        self.sessions.tables().into_iter().for_each(visit);
    }
}

#[cfg(test)]
mod tests;
