//! The sink subtask: rows out of the job.
//!
//! Place in the flow: the last vertex. Invariant: a barrier is acknowledged only when everything before it is safe in the outside
//! world.

use std::sync::Arc;

use arrow::array::Array;

use crate::batch::Batch;
use crate::checkpoint::SubtaskState;
use crate::connector::sink::SinkWriter;
use crate::error::{Error, Result};
use crate::metering::SubtaskMetrics;
use crate::plan::SinkSpec;
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
            flushing: None,
            epoch,
            watermark_ms: None,
            is_finished: false,
            metrics,
        }
    }

    /// Writes rows.
    fn write(&mut self, batch: &Batch) -> Result<()> {
        check_not_null(batch, &self.not_null)?;
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

/// Refuses rows with NULL in columns that must not be NULL.
///
/// # Errors
/// `Data`, naming the column.
fn check_not_null(batch: &Batch, not_null: &[(usize, String)]) -> Result<()> {
    for (index, name) in not_null {
        let nulls = batch.columns[*index].logical_nulls();
        if nulls.is_some_and(|nulls| nulls.null_count() > 0) {
            return Err(Error::deserialization(format!(
                "column \"{name}\" of the sink is NOT NULL and a row has NULL for it; filter such rows out, use COALESCE, or set 'table.exec.sink.not-null-enforcer' = 'drop'"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    /// Three columns, the first and the last of which must not be NULL.
    fn check(columns: [[Option<i64>; 2]; 3]) -> Result<()> {
        let column = |values: [Option<i64>; 2]| -> ArrayRef {
            Arc::new(values.into_iter().collect::<Int64Array>())
        };
        let not_null = [(0, "first".to_owned()), (2, "last".to_owned())];
        check_not_null(&Batch::inserts(columns.map(column).into(), 2), &not_null)
    }

    #[test]
    fn null_where_none_may_be_fails() {
        let some = [Some(1), Some(2)];
        assert!(check([some, [None, Some(1)], some]).is_ok());
        let error = check([some, some, [Some(1), None]]).unwrap_err();
        assert!(error.to_string().contains("column \"last\""), "{error}");
    }
}
