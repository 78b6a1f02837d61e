//! Drops every row and counts it.
//!
//! Enters: rows. Leaves: nothing but their number. Invariant: the count is exact across subtasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::Batch;
use crate::connector::sink::{EncodedBatch, Sink, SinkInput, SinkWriter, WriterContext};
use crate::error::{Error, Result};

/// A table that takes everything and keeps nothing.
#[derive(Debug, Default)]
pub struct BlackholeSink {
    /// Rows taken by all subtasks.
    rows: Arc<AtomicU64>,
}

impl BlackholeSink {
    /// A sink that has taken nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows taken by all subtasks.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
}

impl Sink for BlackholeSink {
    fn writer(&self, _context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(BlackholeWriter {
            rows: Arc::clone(&self.rows),
        }))
    }

    fn input(&self) -> SinkInput {
        SinkInput::Rows
    }
}

/// Counts for one subtask.
#[derive(Debug)]
struct BlackholeWriter {
    /// Shared count.
    rows: Arc<AtomicU64>,
}

impl SinkWriter for BlackholeWriter {
    fn write_rows(&mut self, batch: &Batch) -> Result<()> {
        self.rows.fetch_add(batch.rows as u64, Ordering::Relaxed);
        Ok(())
    }

    fn write_records(&mut self, _records: &EncodedBatch) -> Result<()> {
        Err(Error::internal("the blackhole sink takes rows"))
    }

    fn ready(&mut self) -> bool {
        true
    }

    fn flush(&mut self) -> Result<bool> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Waker;
    use crate::time::SystemClock;

    #[test]
    fn counts_the_rows_of_all_subtasks() {
        let sink = BlackholeSink::new();
        for subtask_index in 0..2 {
            let mut writer = sink
                .writer(WriterContext {
                    publishes: false,
                    subtask_index,
                    parallelism: 2,
                    statement_uid: "s".into(),
                    transactions: None,
                    waker: Waker::default(),
                    clock: SystemClock::shared(),
                })
                .unwrap();
            writer.write_rows(&Batch::inserts(vec![], 21)).unwrap();
            assert!(writer.ready() && writer.flush().unwrap());
        }
        assert_eq!(sink.rows(), 42);
    }
}
