//! The sink subtask: rows out of the job.
//!
//! Place in the flow: the last vertex. Invariant: a barrier is acknowledged only when everything before it is safe in the outside
//! world.

use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;

use crate::batch::Batch;
use crate::checkpoint::SubtaskState;
use crate::connector::sink::SinkWriter;
use crate::error::{Error, Result};
use crate::metering::SubtaskMetrics;
use crate::plan::{NotNullEnforcer, SinkSpec};
use crate::task::control::Control;
use crate::task::gate::{Event, Gate};
use crate::task::memory::Held;
use crate::task::record_writer::RecordWriter;
use crate::task::subtask::{Progress, Subtask, acknowledge_finished};
use crate::time::EpochMillis;

/// The sink subtask.
#[derive(Debug)]
pub(super) struct SinkTask {
    /// Input.
    gate: Gate,
    /// Where rows go.
    writer: Writer,
    /// Columns that must not be NULL, with their names.
    not_null: Vec<(usize, String)>,
    /// What is done with rows in which one is.
    enforcer: NotNullEnforcer,
    /// What is done once everything written is safe.
    flushing: Option<Flush>,
    /// The newest epoch joined.
    epoch: u64,
    /// The watermark seen.
    watermark_ms: Option<EpochMillis>,
    /// Whether everything is written and safe.
    is_finished: bool,
    /// Counters.
    metrics: Arc<SubtaskMetrics>,
}

/// Where rows go.
#[derive(Debug)]
pub(super) enum Writer {
    /// As columns.
    Rows(Box<dyn SinkWriter>),
    /// As encoded records.
    Records(Box<RecordWriter>),
}

/// What is done once everything written is safe.
#[derive(Debug, Clone, Copy)]
enum Flush {
    /// An epoch is acknowledged.
    Epoch(u64),
    /// The subtask ends.
    End,
}

impl Writer {
    /// The writer beneath.
    fn sink(&mut self) -> &mut dyn SinkWriter {
        match self {
            Self::Rows(writer) => &mut **writer,
            Self::Records(writer) => writer.writer(),
        }
    }

    /// Writes rows; records and bytes written.
    fn write(&mut self, batch: &Batch) -> Result<(usize, usize)> {
        match self {
            Self::Rows(writer) => {
                writer.write_rows(batch)?;
                Ok((batch.rows, batch.memory_bytes()))
            }
            Self::Records(writer) => writer.write(batch),
        }
    }
}

impl SinkTask {
    /// A sink that goes on after `epoch`.
    pub(super) fn new(
        gate: Gate,
        writer: Writer,
        spec: &SinkSpec,
        metrics: Arc<SubtaskMetrics>,
        epoch: u64,
    ) -> Self {
        let not_null = spec
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !column.ty.nullable);
        Self {
            gate,
            writer,
            not_null: not_null
                .map(|(index, column)| (index, column.name.clone()))
                .collect(),
            enforcer: spec.not_null,
            flushing: None,
            epoch,
            watermark_ms: None,
            is_finished: false,
            metrics,
        }
    }

    /// Writes rows.
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let kept = enforce_not_null(batch, &self.not_null, self.enforcer)?;
        let batch = kept.as_ref().unwrap_or(batch);
        if batch.rows == 0 {
            return Ok(());
        }
        let (records, bytes) = self.writer.write(batch)?;
        self.metrics.records_out.add(records);
        self.metrics.table.records.add(records);
        self.metrics.table.bytes.add(bytes);
        Ok(())
    }

    /// Asks again whether everything written is safe.
    fn flush(&mut self, flush: Flush) -> Result<Progress> {
        if !self.writer.sink().flush()? {
            self.flushing = Some(flush);
            return Ok(Progress::Blocked);
        }
        match flush {
            Flush::Epoch(epoch) => {
                self.epoch = epoch;
                let state = self.state()?;
                self.writer.sink().begin_epoch(epoch + 1)?;
                Ok(Progress::Acknowledge(epoch, state))
            }
            Flush::End => {
                self.is_finished = true;
                Ok(Progress::Ready)
            }
        }
    }
}

impl Subtask for SinkTask {
    fn step(&mut self, control: &Control) -> Result<Progress> {
        if self.is_finished {
            let mut epoch = self.epoch;
            let progress = acknowledge_finished(self, &mut epoch, control);
            self.epoch = epoch;
            return progress;
        }
        if let Some(flush) = self.flushing.take() {
            return self.flush(flush);
        }
        if !self.writer.sink().ready() {
            return Ok(Progress::Blocked);
        }
        match self.gate.poll() {
            None => return Ok(Progress::Idle(None)),
            Some(Event::Batch(_, batch)) => {
                self.metrics.records_in.add(batch.rows);
                self.write(&batch)?;
            }
            Some(Event::Watermark(watermark_ms)) => {
                self.watermark_ms = Some(watermark_ms);
                self.metrics.input_watermark.set(watermark_ms);
            }
            Some(Event::Barrier(epoch)) => return self.flush(Flush::Epoch(epoch)),
            Some(Event::EndOfInput) => return self.flush(Flush::End),
            Some(Event::Idle | Event::Active) => {}
        }
        Ok(Progress::Ready)
    }

    fn held(&self) -> Held {
        let writer_bytes = match &self.writer {
            Writer::Rows(writer) => writer.memory_bytes(),
            Writer::Records(writer) => writer.memory_bytes(),
        };
        Held {
            bytes: self.gate.memory_bytes() + writer_bytes,
            ..Held::default()
        }
    }

    fn state(&mut self) -> Result<SubtaskState> {
        Ok(SubtaskState {
            watermark_ms: self.watermark_ms,
            prepared: self.writer.sink().prepared()?,
            ..SubtaskState::default()
        })
    }

    fn metrics(&self) -> &SubtaskMetrics {
        &self.metrics
    }
}

/// The rows of a batch that a sink takes, of which some columns must not be NULL; absent when it takes all.
///
/// # Errors
/// `Data` when a row has NULL in one of them, unless such rows are to be dropped.
///
/// # Source
/// Flink 2.3: `table.exec.sink.not-null-enforcer`.
fn enforce_not_null(
    batch: &Batch,
    not_null: &[(usize, String)],
    enforcer: NotNullEnforcer,
) -> Result<Option<Batch>> {
    let mut present: Option<BooleanBuffer> = None;
    for (index, name) in not_null {
        let Some(valid) = batch.columns[*index].logical_nulls() else {
            continue;
        };
        if valid.null_count() == 0 {
            continue;
        }
        if enforcer == NotNullEnforcer::Error {
            return Err(Error::deserialization(format!(
                "column \"{name}\" of the sink is NOT NULL and a row has NULL for it; filter such rows out, use COALESCE, or set 'table.exec.sink.not-null-enforcer' = 'drop'"
            )));
        }
        present = Some(match present {
            Some(present) => &present & valid.inner(),
            None => valid.inner().clone(),
        });
    }
    let keep = |present| batch.filter(&BooleanArray::new(present, None));
    present.map(keep).transpose()
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::batch::RowKind;

    /// Three columns of changes, two of which must not be NULL.
    fn batch(columns: [[Option<i64>; 4]; 3]) -> Batch {
        let column = |values: [Option<i64>; 4]| -> ArrayRef {
            Arc::new(values.into_iter().collect::<Int64Array>())
        };
        let kinds = [
            RowKind::Insert,
            RowKind::UpdateBefore,
            RowKind::UpdateAfter,
            RowKind::Delete,
        ];
        Batch {
            kinds: Some(kinds.into()),
            ..Batch::inserts(columns.map(column).into(), 4)
        }
    }

    /// What the first and the last of the columns are.
    fn enforce(batch: &Batch, enforcer: NotNullEnforcer) -> Result<Option<Batch>> {
        let not_null = [(0, "first".to_owned()), (2, "last".to_owned())];
        enforce_not_null(batch, &not_null, enforcer)
    }

    #[test]
    fn rows_with_null_where_none_may_be_fail_or_are_left_out() {
        let with_nulls = batch([
            [Some(1), None, Some(3), Some(4)],
            [None; 4],
            [Some(1), Some(2), Some(3), None],
        ]);
        let error = enforce(&with_nulls, NotNullEnforcer::Error).unwrap_err();
        assert!(error.to_string().contains("column \"first\""), "{error}");
        let kept = enforce(&with_nulls, NotNullEnforcer::Drop)
            .unwrap()
            .unwrap();
        assert_eq!(
            kept.columns[0].as_primitive::<Int64Type>().values(),
            &[1, 3]
        );
        assert_eq!(
            kept.kinds.as_deref(),
            Some(&[RowKind::Insert, RowKind::UpdateAfter][..])
        );
    }

    #[test]
    fn rows_without_null_are_taken_as_they_are() {
        let whole = batch([[Some(1); 4], [None; 4], [Some(2); 4]]);
        for enforcer in [NotNullEnforcer::Error, NotNullEnforcer::Drop] {
            assert!(enforce(&whole, enforcer).unwrap().is_none());
        }
    }
}
