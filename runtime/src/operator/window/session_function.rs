//! Sessions whose rows are used as they are.
//!
//! Place in the flow: `SELECT ... FROM TABLE(SESSION(...))` without an aggregation by the same keys, after a hash exchange by PARTITION
//! BY. Invariant: a row is emitted once its session is over, in the order in which the rows of the session came, with its kind.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMillisecondArray};

use crate::batch::{Batch, RowKind};
use crate::error::Result;
use crate::graph::key_group::key_group;
use crate::operator::window::assigner::Source;
use crate::operator::window::progress::Progress;
use crate::operator::window::rows::RowLists;
use crate::operator::window::session_aggregate::gap_ms;
use crate::operator::window::sessions::{Due, SessionKey, Sessions};
use crate::operator::window::zone::Zone;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::plan::Window;
use crate::state::{KeyCodec, StateConfig};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Appends `window_start`, `window_end` and `window_time` to the rows of sessions.
#[derive(Debug)]
pub struct SessionFunction {
    /// Where times come from.
    source: Source,
    /// The time zone of windows.
    zone: Zone,
    /// Columns of PARTITION BY.
    partition: Vec<usize>,
    /// Encodes keys.
    key_codec: KeyCodec,
    /// Encodes rows.
    row_codec: KeyCodec,
    /// The open sessions.
    sessions: Sessions<RowLists>,
    /// What is closed.
    progress: Progress,
    /// Key groups of the statement.
    key_groups: u32,
}

/// Keys whose sessions are emitted together (guess, unmeasured).
const DUE_KEYS: usize = 256;

/// Rows to emit, with their windows.
#[derive(Debug, Default)]
struct Piece<'a> {
    /// Encoded rows.
    rows: Vec<&'a [u8]>,
    /// Their kinds.
    kinds: Vec<RowKind>,
    /// Their windows.
    windows: Vec<(i64, i64)>,
}

impl SessionFunction {
    /// No sessions yet.
    ///
    /// # Errors
    /// `Unsupported` for columns of PARTITION BY that cannot be a key.
    pub fn new(window: &Window, input: &[FlinkType], state: StateConfig) -> Result<Self> {
        let source = Source::of(window);
        let zone = source.zone(window, input)?;
        let progress = Progress::new(window.domain, zone);
        Ok(Self {
            source,
            zone,
            partition: window.partition.clone(),
            key_codec: KeyCodec::new(window.partition.iter().map(|key| &input[*key]))?,
            row_codec: KeyCodec::for_rows(input)?,
            key_groups: state.key_groups,
            sessions: Sessions::new(gap_ms(window)?, RowLists::default(), &progress, state),
            progress,
        })
    }

    /// Emits the rows of sessions that are due; how many.
    fn emit(&self, due: &Due, context: &OperatorContext<'_>, out: &mut Collector) -> Result<usize> {
        let mut emitted = 0;
        let mut piece = Piece::default();
        for (id, window) in due.ids.iter().zip(&due.windows) {
            for (kind, row) in self.sessions.values().iter(*id) {
                piece.rows.push(row);
                piece.kinds.push(kind);
                piece.windows.push(*window);
                if piece.rows.len() >= EMIT_ROWS_MAX {
                    emitted += piece.rows.len();
                    out.emit(self.batch(&std::mem::take(&mut piece), context)?);
                }
            }
        }
        emitted += piece.rows.len();
        out.emit(self.batch(&piece, context)?);
        Ok(emitted)
    }

    /// The batch of some rows.
    fn batch(&self, piece: &Piece<'_>, context: &OperatorContext<'_>) -> Result<Batch> {
        let column = |value: &dyn Fn(i64, i64) -> i64| -> ArrayRef {
            let values = piece.windows.iter().map(|(start, end)| value(*start, *end));
            Arc::new(TimestampMillisecondArray::from_iter_values(values))
        };
        let mut columns = self.row_codec.decode(piece.rows.iter().copied())?;
        columns.push(column(&|start_ms, _| start_ms));
        columns.push(column(&|_, end_ms| end_ms));
        columns.push(if self.progress.is_event_time() {
            column(&|_, end_ms| self.zone.closing_watermark(end_ms))
        } else {
            column(&|_, _| context.clock.now_ms())
        });
        let is_insert = |kind: &RowKind| *kind == RowKind::Insert;
        let kinds = (!piece.kinds.iter().all(is_insert)).then(|| piece.kinds.as_slice().into());
        Ok(Batch {
            columns,
            rows: piece.rows.len(),
            kinds,
        })
    }
}

impl Operator for SessionFunction {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        _out: &mut Collector,
    ) -> Result<()> {
        let times = self.source.times(batch, self.zone, context)?;
        let columns: Vec<&ArrayRef> = self
            .partition
            .iter()
            .map(|key| &batch.columns[*key])
            .collect();
        let keys = self.key_codec.encode(&columns, batch.rows)?;
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        let rows = self.row_codec.encode_rows(&columns, batch.rows)?;
        for (row, (time_ms, hash)) in times.iter().zip(&keys.hashes).enumerate() {
            let key = SessionKey {
                bytes: keys.key(row),
                key_group: key_group(*hash, self.key_groups),
            };
            // Rows are added at once, so nothing is left to be added before sessions are merged.
            let placed = self
                .sessions
                .place(key, *time_ms, &self.progress, &mut |_| Ok(()))?;
            if let Some(id) = placed {
                let lists = self.sessions.values_mut();
                lists.push(id, batch.kind(row), rows.key(row));
            } else {
                context.metrics.late_records.add(1);
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        self.progress.on_watermark(context);
        Ok(())
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        let mut emitted = 0;
        while let Some(due) = self.sessions.due(&self.progress, DUE_KEYS)? {
            emitted += self.emit(&due, context, out)?;
            self.sessions.forget(&due, &self.progress)?;
            if emitted >= EMIT_ROWS_MAX {
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
