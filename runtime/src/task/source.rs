//! The source subtask: records into the job.
//!
//! Place in the flow: the first vertex: reader -> decoder -> projections -> watermarks -> output, with dead letters beside.
//! Invariant: a barrier goes out behind exactly the records whose positions are in the state it is acknowledged with, and only when
//! their dead letters are safe.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};

use crate::batch::{Batch, StreamElement};
use crate::checkpoint::{SplitState, SubtaskState};
use crate::connector::source::{Poll, RawBatch, SourceReader, SplitInfo};
use crate::error::{Error, Result};
use crate::metering::SubtaskMetrics;
use crate::plan::{LateRows, WatermarkSpec};
use crate::sql::eval::{EvalContext, Evaluator};
use crate::sql::expr::Expr;
use crate::task::alignment::{ALIGNMENT_INTERVAL, WatermarkAlignment};
use crate::task::control::Control;
use crate::task::dead_letters::DeadLetters;
use crate::task::late;
use crate::task::memory::Held;
use crate::task::record_decoder::{DecodedRecords, RecordDecoder};
use crate::task::subtask::{Output, Progress, Subtask, acknowledge_finished};
use crate::task::watermark::{
    Change, IdleTimeout, Reached, SOURCE_WATERMARK_DELAY_MS, SourceWatermarks,
};
use crate::time::{EpochMillis, SharedClock};

/// Records asked for in one poll (guess: large enough that per-batch costs vanish, small enough to stay in cache).
const POLL_ROWS_MAX: usize = 8192;

/// Time between two looks at the splits for the meter.
const SPLITS_INTERVAL: Duration = Duration::from_millis(500);

/// The source subtask.
#[derive(Debug)]
pub(super) struct SourceTask {
    /// Reads.
    reader: Box<dyn SourceReader>,
    /// Decodes; absent for generators, which give rows.
    decoder: Option<RecordDecoder>,
    /// What is done with records that do not decode.
    dead_letters: DeadLetters,
    /// Output columns over the read ones; empty means the read columns as they are.
    projections: Vec<Evaluator>,
    /// Makes watermarks; absent when the table has none.
    watermarking: Option<Watermarking>,
    /// Watermarks of the splits.
    watermarks: SourceWatermarks,
    /// The other sources, and the number of this one; absent when watermarks are not aligned.
    alignment: Option<(Arc<WatermarkAlignment>, usize)>,
    /// Splits as they were last listed.
    splits: Vec<SplitInfo>,
    /// `catalog.database.table`.
    table: String,
    /// Monotonic time of the last look at the splits.
    looked_at: Option<Duration>,
    /// Output.
    output: Output,
    /// What the subtask is doing.
    stage: Stage,
    /// The newest epoch joined.
    epoch: u64,
    /// Whether the reader was told to end.
    is_draining: bool,
    /// Time.
    clock: SharedClock,
    /// Counters.
    metrics: Arc<SubtaskMetrics>,
}

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Reading.
    Reading,
    /// The last barrier was sent: nothing more is read.
    Halted,
    /// All input was read; dead letters are being made safe.
    Ending,
    /// The end was sent.
    Finished,
}

/// How watermarks are made from rows.
#[derive(Debug)]
struct Watermarking {
    /// The rowtime column.
    rowtime: usize,
    /// The watermark of a row; absent means `SOURCE_WATERMARK()`.
    expression: Option<Evaluator>,
    /// What becomes of late rows.
    late: LateRows,
}

/// What a source is made of.
#[derive(Debug)]
pub(super) struct SourceParts<'a> {
    /// `catalog.database.table`, for the meter.
    pub(super) table: String,
    /// Output columns over the read ones; absent means the read columns as they are.
    pub(super) projections: Option<&'a [Expr]>,
    /// How watermarks are made.
    pub(super) watermark: Option<&'a WatermarkSpec>,
    /// What becomes of late rows.
    pub(super) late: LateRows,
    /// The session time zone.
    pub(super) time_zone: &'a str,
    /// Reads.
    pub(super) reader: Box<dyn SourceReader>,
    /// Decodes; absent for generators.
    pub(super) decoder: Option<RecordDecoder>,
    /// What is done with records that do not decode.
    pub(super) dead_letters: DeadLetters,
    /// Output.
    pub(super) output: Output,
    /// When splits become idle.
    pub(super) idle_timeout: IdleTimeout,
    /// The other sources of the job.
    pub(super) alignment: Option<&'a Arc<WatermarkAlignment>>,
    /// States of a checkpoint, of every split of every subtask.
    pub(super) restored: &'a [SplitState],
    /// Time.
    pub(super) clock: SharedClock,
    /// Counters.
    pub(super) metrics: Arc<SubtaskMetrics>,
}

impl SourceTask {
    /// A source that goes on after `epoch`.
    ///
    /// # Errors
    /// `Invalid` for expressions that do not compile, which the binder has refused already.
    pub(super) fn new(parts: SourceParts<'_>, epoch: u64) -> Result<Self> {
        let SourceParts {
            projections,
            watermark,
            time_zone,
            reader,
            ..
        } = parts;
        let compile = |expr| Evaluator::compile(expr, time_zone);
        let projections = projections
            .unwrap_or_default()
            .iter()
            .map(compile)
            .collect::<Result<_>>()?;
        let watermarking = match watermark {
            Some(spec) => Some(Watermarking {
                rowtime: spec.rowtime,
                expression: spec.expression.as_ref().map(compile).transpose()?,
                late: parts.late,
            }),
            None => None,
        };
        let splits = reader.splits();
        let restored: Vec<Reached> = splits
            .iter()
            .map(|split| restored_watermark(parts.restored, split))
            .collect();
        Ok(Self {
            reader,
            decoder: parts.decoder,
            dead_letters: parts.dead_letters,
            projections,
            watermarking,
            watermarks: SourceWatermarks::new(
                &restored,
                parts.idle_timeout,
                parts.clock.monotonic(),
            ),
            alignment: parts
                .alignment
                .filter(|_| watermark.is_some() && parts.late != LateRows::Only)
                .map(|alignment| (alignment.clone(), alignment.join())),
            splits,
            table: parts.table,
            looked_at: None,
            output: parts.output,
            stage: Stage::Reading,
            epoch,
            is_draining: false,
            clock: parts.clock,
            metrics: parts.metrics,
        })
    }

    /// Joins the epoch asked for.
    fn join(&mut self, epoch: u64, control: &Control) -> Result<Progress> {
        if !self.dead_letters.flush()? {
            return Ok(Progress::Blocked);
        }
        self.epoch = epoch;
        self.dead_letters.begin_epoch(epoch + 1)?;
        if control.is_last(epoch) {
            self.stage = Stage::Halted;
        }
        let state = self.state()?;
        self.output.broadcast(&StreamElement::Barrier(epoch));
        Ok(Progress::Acknowledge(epoch, state))
    }

    /// Reads the next records.
    fn read(&mut self) -> Result<Progress> {
        self.align()?;
        if self.watermarks.is_all_paused() {
            return Ok(self.wait(None));
        }
        match self.reader.poll(POLL_ROWS_MAX)? {
            Poll::Raw(raw) => self.on_raw(&raw)?,
            Poll::Rows { split, batch } => {
                self.metrics.table.bytes.add(batch.memory_bytes());
                self.on_rows(split, &batch)?;
            }
            Poll::SplitFinished { split } => {
                let change = self.watermarks.end(split);
                self.announce(&change);
            }
            Poll::Pending => return Ok(self.wait(None)),
            Poll::Later(until) => return Ok(self.wait(Some(until))),
            Poll::EndOfInput => self.stage = Stage::Ending,
        }
        self.measure_splits(false);
        Ok(Progress::Ready)
    }

    /// Pauses the splits that are too far ahead of the slowest one of the job.
    fn align(&mut self) -> Result<()> {
        let Some((alignment, member)) = &self.alignment else {
            return Ok(());
        };
        let limit_ms = if self.is_draining {
            // What is there is read to its end, so it neither waits nor is waited for.
            alignment.limit_ms(*member, None);
            None
        } else {
            alignment.limit_ms(*member, self.watermarks.slowest_ms())
        };
        if self.watermarks.align(limit_ms, self.clock.monotonic()) {
            self.reader.pause(&self.watermarks.paused())?;
        }
        Ok(())
    }

    /// Nothing to read now, or before `until`: splits may become idle.
    fn wait(&mut self, until: Option<Duration>) -> Progress {
        self.measure_splits(true);
        if !self.makes_watermarks() {
            return Progress::Idle(until);
        }
        let now = self.clock.monotonic();
        let change = self.watermarks.tick(now);
        self.announce(&change);
        if change != Change::default() {
            return Progress::Ready;
        }
        let deadline = self.watermarks.deadline(now);
        let is_paused = self.watermarks.is_paused();
        let again = is_paused.then(|| now + ALIGNMENT_INTERVAL);
        Progress::Idle(deadline.into_iter().chain(again).chain(until).min())
    }

    /// Decodes records.
    fn on_raw(&mut self, raw: &RawBatch) -> Result<()> {
        if raw.split >= self.splits.len() {
            self.splits = self.reader.splits();
        }
        let bytes: usize = raw
            .values
            .iter()
            .chain(&raw.keys)
            .flatten()
            .map(|range| range.len as usize)
            .sum();
        self.metrics.table.bytes.add(bytes);
        self.metrics.records_in.add(raw.rows());
        let decoder = self
            .decoder
            .as_mut()
            .ok_or_else(|| Error::internal("a generator gave undecoded records"))?;
        let DecodedRecords { batch, failures } = decoder.decode(raw, &self.splits[raw.split])?;
        if !failures.is_empty() {
            for failure in &failures {
                self.metrics.table.errors[failure.code as usize].add(1);
            }
            let written = self.dead_letters.handle(&failures, self.clock.now_ms())?;
            self.metrics.table.dead_letters.add(written);
        }
        self.on_rows(raw.split, &batch)
    }

    /// Projects rows, emits them and advances the watermark.
    fn on_rows(&mut self, split: usize, batch: &Batch) -> Result<()> {
        self.metrics.table.records.add(batch.rows);
        if batch.rows == 0 {
            return Ok(());
        }
        let context = EvalContext {
            now_ms: self.clock.now_ms(),
            watermark_ms: self.watermarks.split(split),
        };
        let projected = self.project(batch, &context)?;
        let Some(watermarking) = &self.watermarking else {
            return self.output.emit(&projected);
        };
        let rowtimes = in_ms(&projected.columns[watermarking.rowtime])?;
        let rowtime_max = arrow::compute::max(&rowtimes);
        let watermarks = match &watermarking.expression {
            Some(expression) => Some(in_ms(&expression.eval(&projected, &context)?)?),
            None => None,
        };
        let watermark_ms = match &watermarks {
            Some(watermarks) => arrow::compute::max(watermarks),
            None => rowtime_max.map(behind),
        };
        if let (Some(watermark_ms), Some(rowtime_min)) =
            (context.watermark_ms, arrow::compute::min(&rowtimes))
        {
            let lateness_ms = watermark_ms.saturating_sub(rowtime_min);
            self.metrics
                .table
                .max_lateness_ms
                .raise(u64::try_from(lateness_ms).unwrap_or(0));
        }
        let kept = if watermarking.late == LateRows::PassThrough {
            None
        } else {
            let watermarks = watermarks.unwrap_or_else(|| rowtimes.unary(behind));
            let reached = self.watermarks.of_rows(split);
            late::kept(watermarking.late, &rowtimes, &watermarks, reached)
        };
        let change =
            self.watermarks
                .observe(split, watermark_ms, rowtime_max, self.clock.monotonic());
        let makes_watermarks = watermarking.late != LateRows::Only;
        if change.became_active && makes_watermarks {
            self.output.broadcast(&StreamElement::Active);
        }
        if let Some(mask) = kept {
            let left_out = mask.len() - mask.true_count();
            if makes_watermarks {
                self.metrics.late_records.add(left_out);
            }
            if left_out < projected.rows {
                self.output.emit(&projected.filter(&mask)?)?;
            }
        } else {
            self.output.emit(&projected)?;
        }
        self.announce(&Change {
            became_active: false,
            ..change
        });
        Ok(())
    }

    /// The output columns of rows that were read.
    fn project(&self, batch: &Batch, context: &EvalContext) -> Result<Batch> {
        if self.projections.is_empty() {
            return Ok(batch.clone());
        }
        let columns = self
            .projections
            .iter()
            .map(|projection| projection.eval(batch, context));
        Ok(Batch {
            columns: columns.collect::<Result<_>>()?,
            rows: batch.rows,
            kinds: batch.kinds.clone(),
        })
    }

    /// Whether consumers hear of watermarks.
    fn makes_watermarks(&self) -> bool {
        let watermarking = self.watermarking.as_ref();
        watermarking.is_some_and(|watermarking| watermarking.late != LateRows::Only)
    }

    /// Tells consumers what has changed.
    fn announce(&self, change: &Change) {
        if !self.makes_watermarks() {
            return;
        }
        if let Some(watermark_ms) = change.watermark_ms {
            self.output
                .broadcast(&StreamElement::Watermark(watermark_ms));
        }
        if change.became_idle {
            self.output.broadcast(&StreamElement::Idle);
        }
    }

    /// Exports the splits, at most every [`SPLITS_INTERVAL`] unless `always`.
    fn measure_splits(&mut self, always: bool) {
        let now = self.clock.monotonic();
        if !always
            && self
                .looked_at
                .is_some_and(|looked_at| now < looked_at + SPLITS_INTERVAL)
        {
            return;
        }
        self.looked_at = Some(now);
        self.splits = self.reader.splits();
        let splits =
            self.splits
                .iter()
                .enumerate()
                .map(|(index, split)| weir_model::meter::Split {
                    table: self.table.clone(),
                    partition: split.partition,
                    pending_records: split.pending_records,
                    watermark_ms: self
                        .watermarks
                        .split(index)
                        .filter(|_| self.watermarking.is_some()),
                    is_idle: self.watermarks.is_idle(index),
                });
        let splits = splits.collect();
        *self
            .metrics
            .table
            .splits
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = splits;
    }
}

/// How far a split had come in a checkpoint.
fn restored_watermark(restored: &[SplitState], split: &SplitInfo) -> Reached {
    let state = restored.iter().find(|state| {
        state.position.topic == split.topic && state.position.partition == split.partition
    });
    state.map_or_else(Reached::default, |state| Reached {
        watermark_ms: state.watermark_ms,
        rows_watermark_ms: state.rows_watermark_ms,
    })
}

/// The watermark that `SOURCE_WATERMARK()` makes of a row.
fn behind(rowtime_ms: EpochMillis) -> EpochMillis {
    rowtime_ms.saturating_sub(SOURCE_WATERMARK_DELAY_MS)
}

/// A timestamp column in epoch milliseconds.
fn in_ms(column: &ArrayRef) -> Result<Int64Array> {
    let per_ms = match column.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1000,
        other => return Err(Error::internal(format!("a watermark of type {other}"))),
    };
    let longs = column
        .to_data()
        .into_builder()
        .data_type(DataType::Int64)
        .build()?;
    let longs = arrow::array::make_array(longs);
    let longs = longs.as_primitive::<Int64Type>();
    Ok(if per_ms == 1 {
        longs.clone()
    } else {
        longs.unary(|value: i64| value.div_euclid(per_ms))
    })
}

impl Subtask for SourceTask {
    fn step(&mut self, control: &Control) -> Result<Progress> {
        if self.stage == Stage::Finished {
            let mut epoch = self.epoch;
            let progress = acknowledge_finished(self, &mut epoch, control);
            self.epoch = epoch;
            return progress;
        }
        let requested = control.epoch();
        if requested > self.epoch {
            return self.join(requested, control);
        }
        if self.stage == Stage::Halted {
            return Ok(Progress::Idle(None));
        }
        if !self.output.has_room() || !self.dead_letters.ready() {
            return Ok(Progress::Blocked);
        }
        if self.stage == Stage::Ending {
            if !self.dead_letters.flush()? {
                return Ok(Progress::Blocked);
            }
            self.measure_splits(true);
            self.stage = Stage::Finished;
            self.output.broadcast(&StreamElement::EndOfInput);
            return Ok(Progress::Ready);
        }
        if control.drains() && !self.is_draining {
            self.is_draining = true;
            self.reader.drain()?;
        }
        self.read()
    }

    fn held(&self) -> Held {
        Held {
            bytes: self.reader.memory_bytes() + self.dead_letters.memory_bytes(),
            ..Held::default()
        }
    }

    fn state(&mut self) -> Result<SubtaskState> {
        let splits = self.reader.positions().into_iter().enumerate();
        let splits = splits.map(|(split, position)| {
            let reached = self.watermarks.reached(split);
            SplitState {
                position,
                watermark_ms: reached.watermark_ms,
                rows_watermark_ms: reached.rows_watermark_ms,
            }
        });
        Ok(SubtaskState {
            splits: splits.collect(),
            ..SubtaskState::default()
        })
    }

    fn metrics(&self) -> &SubtaskMetrics {
        &self.metrics
    }
}
