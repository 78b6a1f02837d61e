//! Aggregation in windows of a fixed shape.
//!
//! Place in the flow: after a hash exchange by the keys. Invariant: a window is emitted exactly once, when the watermark or the clock
//! reaches its last millisecond; a row whose windows were all emitted is counted as late and dropped, as in Flink.
//!
//! Where windows overlap, a row updates the one slice that it is in, and a window is merged from its slices when it is due. What the
//! windows of CUMULATE with one start have in common is kept merged, so that each takes one slice more.

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::aggregate::{Aggregates, Merged};
use crate::operator::window::assigner::Assigner;
use crate::operator::window::progress::Progress;
use crate::operator::window::result::{Results, Spec, WindowsOf};
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::state::{Slice, Slices, StateConfig, Values};
use crate::time::EpochMillis;

/// Aggregates per window and key.
#[derive(Debug)]
pub struct WindowAggregate {
    /// Finds the slice.
    assigner: Assigner,
    /// Makes rows.
    results: Results,
    /// How windows are kept.
    layout: Layout,
    /// Aggregates by the local end of their window or slice.
    slices: Slices<Aggregates>,
    /// What windows that grow have so far, by the local end of the last of them.
    grown: Slices<Aggregates>,
    /// What is closed.
    progress: Progress,
    /// End of the last window that was emitted at the present watermark.
    last_ms: i64,
    /// Where the emission of the present window goes on.
    cursor: Cursor,
    /// Ids of the present rows, kept for its memory.
    ids: Vec<u32>,
}

/// How windows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Each by itself: windows that do not overlap, those whose aggregates cannot be merged, and those in processing time, where no
    /// watermark tells after a restart which windows of a slice were emitted.
    Whole,
    /// As slices that are merged when a window is due.
    Slices,
    /// As slices that are merged into what has grown so far.
    Growing,
}

/// A place in the groups of a window.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    /// The slice.
    slice_ms: i64,
    /// The first id that was not looked at.
    id: u32,
}

impl Cursor {
    /// The beginning.
    const START: Self = Self {
        slice_ms: i64::MIN,
        id: 0,
    };
}

/// Number of the table of windows that are kept whole.
const WHOLE_TABLE: u8 = 0;

/// Number of the table of what has grown.
const GROWN_TABLE: u8 = 1;

/// Number of the table of slices.
const SLICES_TABLE: u8 = 2;

impl WindowAggregate {
    /// No windows yet.
    ///
    /// # Errors
    /// `Unsupported` for keys or arguments of types that cannot be one.
    pub fn new(assigner: Assigner, spec: Spec, state: StateConfig) -> Result<Self> {
        let (zone, domain) = (assigner.zone(), assigner.domain());
        let results = Results::new(spec, zone, domain)?;
        let progress = Progress::new(domain, zone);
        let is_whole = assigner.is_attached()
            || assigner.shape().is_tumbling()
            || !progress.is_event_time()
            || !results.aggregates()?.can_merge();
        let layout = match (is_whole, assigner.shape().grows()) {
            (true, _) => Layout::Whole,
            (false, true) => Layout::Growing,
            (false, false) => Layout::Slices,
        };
        let table = if is_whole { WHOLE_TABLE } else { SLICES_TABLE };
        Ok(Self {
            slices: Slices::new(table, state.clone(), results.make_aggregates()),
            grown: Slices::new(GROWN_TABLE, state, results.make_aggregates()),
            assigner,
            results,
            layout,
            progress,
            last_ms: i64::MIN,
            cursor: Cursor::START,
            ids: Vec::new(),
        })
    }

    /// Adds rows of one slice to what they belong to.
    fn add(&mut self, slice_ms: i64, batch: &Batch, context: &OperatorContext<'_>) -> Result<()> {
        let shape = *self.assigner.shape();
        if self.assigner.is_attached() || shape.is_tumbling() {
            return if self.progress.is_late(slice_ms) {
                context.metrics.late_records.add(batch.rows);
                Ok(())
            } else {
                update(
                    &self.results,
                    &mut self.slices,
                    (slice_ms, batch),
                    &mut self.ids,
                )
            };
        }
        let (first_ms, last_ms) = shape.windows_of(slice_ms);
        if first_ms > last_ms {
            return Ok(());
        }
        if self.progress.is_late(last_ms) {
            context.metrics.late_records.add(batch.rows);
            return Ok(());
        }
        let (results, ids) = (&self.results, &mut self.ids);
        match self.layout {
            Layout::Whole => {
                let windows = shape.all_windows_of(slice_ms);
                windows
                    .filter(|end_ms| !self.progress.is_late(*end_ms))
                    .try_for_each(|end_ms| update(results, &mut self.slices, (end_ms, batch), ids))
            }
            Layout::Growing if self.progress.is_late(slice_ms) => {
                update(results, &mut self.grown, (last_ms, batch), ids)
            }
            Layout::Slices | Layout::Growing => {
                update(results, &mut self.slices, (slice_ms, batch), ids)
            }
        }
    }

    /// The end of the next window that is due.
    fn next_due(&mut self) -> Result<Option<i64>> {
        let next_ms = match self.layout {
            Layout::Whole => self.slices.first(),
            Layout::Slices => self.next_of_slices()?,
            Layout::Growing => self.next_growing()?,
        };
        Ok(next_ms.filter(|end_ms| self.progress.is_closed(*end_ms)))
    }

    /// The end of the first window of slices that was not emitted; slices without one are dropped.
    fn next_of_slices(&mut self) -> Result<Option<i64>> {
        while let Some(slice_ms) = self.slices.first() {
            let shape = self.assigner.shape();
            let is_emitted = |end_ms| end_ms <= self.last_ms || self.progress.is_emitted(end_ms);
            let next_ms = shape.first_where_not(shape.windows_of(slice_ms), is_emitted);
            if next_ms.is_some() {
                return Ok(next_ms);
            }
            self.slices.drop_slice(slice_ms)?;
        }
        Ok(None)
    }

    /// The end of the first window of those that grow that was not emitted.
    fn next_growing(&mut self) -> Result<Option<i64>> {
        let slice_ms = self.slices.first();
        while let Some(last_ms) = self.grown.first() {
            let shape = self.assigner.shape();
            let is_emitted = |end_ms| end_ms <= self.last_ms || self.progress.is_emitted(end_ms);
            if let Some(end_ms) = shape.first_where_not(shape.growing(last_ms), is_emitted) {
                return Ok(Some(
                    slice_ms.map_or(end_ms, |slice_ms| slice_ms.min(end_ms)),
                ));
            }
            self.grown.drop_slice(last_ms)?;
        }
        Ok(slice_ms)
    }

    /// Emits at most `room` groups of the window with this end; how many, and whether those were the last.
    fn emit(
        &mut self,
        end_ms: i64,
        room: usize,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<(usize, bool)> {
        let start_ms = self.assigner.shape().start_of(end_ms);
        let window = WindowsOf::One(start_ms, end_ms);
        let (results, cursor) = (&self.results, &mut self.cursor);
        let (table, namespace) = match self.layout {
            Layout::Whole => (&mut self.slices, end_ms),
            Layout::Slices => {
                let slices = self.slices.slices(start_ms + 1..=end_ms)?;
                let (piece, is_done) = Piece::gather(&slices, cursor, room);
                let merged = piece.merge(&slices, results.aggregates()?)?;
                let keys = piece.keys.iter().copied();
                let ids: Vec<u32> = (0..).take(piece.keys.len()).collect();
                out.emit(results.rows(keys, (&merged, &ids), window, context)?);
                return Ok((ids.len(), is_done));
            }
            Layout::Growing => {
                let last_ms = start_ms + self.assigner.shape().size_ms();
                grow(&mut self.slices, &mut self.grown, (end_ms, last_ms))?;
                (&mut self.grown, last_ms)
            }
        };
        let Some(groups) = table.slice(namespace)? else {
            return Ok((0, true));
        };
        let ids = groups.ids(cursor.id, room);
        let keys = ids.iter().map(|id| groups.key(*id));
        out.emit(results.rows(keys, (groups.values(), &ids), window, context)?);
        // With as many as there was room for, the next call finds out whether those were the last.
        cursor.id = ids.last().map_or(cursor.id, |last| last + 1);
        Ok((ids.len(), ids.len() < room))
    }

    /// Forgets what nothing needs any more once the window with this end was emitted.
    fn finish(&mut self, end_ms: i64) -> Result<()> {
        self.cursor = Cursor::START;
        match self.layout {
            Layout::Whole => return self.slices.drop_slice(end_ms),
            // What is left without a window is dropped when the next one is looked for.
            Layout::Slices | Layout::Growing => self.last_ms = end_ms,
        }
        Ok(())
    }
}

/// Adds rows of a window or slice.
fn update(
    results: &Results,
    table: &mut Slices<Aggregates>,
    (end_ms, batch): (i64, &Batch),
    ids: &mut Vec<u32>,
) -> Result<()> {
    let keys = results.keys(batch)?;
    table.upsert(end_ms, &keys, ids)?.update(batch, ids)
}

/// Merges a slice into what windows have so far, and drops it.
fn grow(
    slices: &mut Slices<Aggregates>,
    grown: &mut Slices<Aggregates>,
    (slice_ms, last_ms): (i64, i64),
) -> Result<()> {
    let Some(slice) = slices.slice(slice_ms)? else {
        return Ok(());
    };
    let mut groups = Vec::new();
    for from in slice.ids_from(0) {
        let (into, _) = grown.upsert_hashed(last_ms, (slice.key(from), slice.hash(from)))?;
        groups.push(Merged { into, from });
    }
    if let Some(aggregates) = grown.values_mut(last_ms) {
        aggregates.merge(slice.values(), &groups)?;
    }
    slices.drop_slice(slice_ms)
}

/// Some groups of a window that is made of slices.
struct Piece<'a> {
    /// Their keys.
    keys: Vec<&'a [u8]>,
    /// For each slice, its groups and their places among the keys.
    groups: Vec<Vec<Merged>>,
}

impl<'a> Piece<'a> {
    /// Gathers at most `room` groups from the cursor on; true when those are the last. A key is taken from the first slice that has it.
    fn gather(
        slices: &'a [(i64, Slice<'_, Aggregates>)],
        cursor: &mut Cursor,
        room: usize,
    ) -> (Self, bool) {
        let mut piece = Self {
            keys: Vec::new(),
            groups: vec![Vec::new(); slices.len()],
        };
        for (index, (slice_ms, slice)) in slices.iter().enumerate() {
            if *slice_ms < cursor.slice_ms {
                continue;
            }
            let first = if *slice_ms == cursor.slice_ms {
                cursor.id
            } else {
                0
            };
            for id in slice.ids_from(first) {
                let (key, hash) = (slice.key(id), slice.hash(id));
                let mut before = slices[..index].iter().rev();
                if before.any(|(_, slice)| slice.find(key, hash).is_some()) {
                    continue;
                }
                if piece.keys.len() >= room {
                    *cursor = Cursor {
                        slice_ms: *slice_ms,
                        id,
                    };
                    return (piece, false);
                }
                let into = u32::try_from(piece.keys.len()).unwrap_or(u32::MAX);
                piece.keys.push(key);
                piece.groups[index].push(Merged { into, from: id });
                for (later, (_, slice)) in slices.iter().enumerate().skip(index + 1) {
                    if let Some(from) = slice.find(key, hash) {
                        piece.groups[later].push(Merged { into, from });
                    }
                }
            }
        }
        (piece, true)
    }

    /// The aggregates of the groups, all slices together.
    fn merge(
        &self,
        slices: &[(i64, Slice<'_, Aggregates>)],
        mut merged: Aggregates,
    ) -> Result<Aggregates> {
        merged.resize(self.keys.len());
        for ((_, slice), groups) in slices.iter().zip(&self.groups) {
            merged.merge(slice.values(), groups)?;
        }
        Ok(merged)
    }
}

impl Operator for WindowAggregate {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        _out: &mut Collector,
    ) -> Result<()> {
        let parts = self.assigner.parts(batch, context)?;
        let mut parts = parts.iter();
        parts.try_for_each(|(slice_ms, part)| self.add(*slice_ms, part, context))
    }

    fn on_watermark(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        self.progress.on_watermark(context);
        Ok(())
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        let mut room = EMIT_ROWS_MAX;
        while let Some(end_ms) = self.next_due()? {
            let (emitted, is_done) = self.emit(end_ms, room, context, out)?;
            room -= emitted.min(room);
            if is_done {
                self.finish(end_ms)?;
            }
            if room == 0 {
                return Ok(true);
            }
        }
        self.last_ms = i64::MIN;
        self.progress.emitted();
        Ok(false)
    }

    fn next_timer_ms(&self) -> Option<EpochMillis> {
        self.progress.timer_ms(self.slices.first()?)
    }

    fn on_timer(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        self.progress.on_timer(context);
        Ok(())
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(&mut self.slices);
        visit(&mut self.grown);
    }
}

#[cfg(test)]
mod tests;
