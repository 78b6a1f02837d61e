//! Writing a table to a topic of the embedded log.
//!
//! Place in the flow: `task` hands encoded records to one writer per subtask. Invariant: records of one key go to one partition
//! and keep their order; an append is whole or an error.

use std::sync::Arc;

use super::store::LogStore;
use super::topic::Topic;
use crate::batch::Batch;
use crate::connector::partitioner::partition_of;
use crate::connector::sink::{EncodedBatch, Sink, SinkInput, SinkWriter, WriterContext};
use crate::error::{Error, Result};

/// A writable topic.
#[derive(Debug)]
pub struct LogSink {
    /// The log.
    store: Arc<LogStore>,
    /// The topic.
    topic: Arc<Topic>,
}

impl LogSink {
    /// A sink of a topic.
    ///
    /// # Errors
    /// `Invalid` for an unknown or sealed topic.
    pub fn new(store: &Arc<LogStore>, topic: &str) -> Result<Self> {
        let topic = store.find(topic)?;
        if topic.is_sealed() {
            return Err(Error::validation(format!(
                "topic \"{}\" is sealed and takes no more records",
                topic.name
            )));
        }
        Ok(Self {
            store: Arc::clone(store),
            topic,
        })
    }
}

impl Sink for LogSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        let partitions = self.topic.config.partitions;
        let subtask = u32::try_from(context.subtask_index).unwrap_or(0);
        Ok(Box::new(LogWriter {
            store: Arc::clone(&self.store),
            topic: Arc::clone(&self.topic),
            rows: vec![Vec::new(); partitions as usize],
            // Subtasks start apart, so that few unkeyed batches still spread.
            turn: subtask % partitions,
        }))
    }

    fn input(&self) -> SinkInput {
        SinkInput::Records
    }
}

/// Writes for one subtask.
#[derive(Debug)]
struct LogWriter {
    /// The log.
    store: Arc<LogStore>,
    /// The topic.
    topic: Arc<Topic>,
    /// Rows of the batch at hand, by partition; empty between batches.
    rows: Vec<Vec<u32>>,
    /// Partition of the unkeyed records of the next batch.
    turn: u32,
}

impl LogWriter {
    /// Deals the rows of a batch out to partitions.
    fn assign(&mut self, records: &EncodedBatch) -> Result<()> {
        let partitions = self.topic.config.partitions;
        let rows = u32::try_from(records.rows())
            .map_err(|_| Error::internal("an encoded batch has more than 2^32 rows"))?;
        self.rows.iter_mut().for_each(Vec::clear);
        let mut unkeyed = false;
        for row in 0..rows {
            let key = records.keys.get(row as usize).copied().flatten();
            let partition = if let Some(key) = key {
                partition_of(key.of(&records.buffer), partitions)
            } else {
                unkeyed = true;
                self.turn
            };
            self.rows[partition as usize].push(row);
        }
        if unkeyed {
            self.turn = (self.turn + 1) % partitions;
        }
        Ok(())
    }
}

impl SinkWriter for LogWriter {
    fn write_rows(&mut self, _batch: &Batch) -> Result<()> {
        Err(Error::internal("the log sink takes encoded records"))
    }

    fn write_records(&mut self, records: &EncodedBatch) -> Result<()> {
        self.assign(records)?;
        for (partition, rows) in (0_u32..).zip(&self.rows) {
            if !rows.is_empty() {
                self.store
                    .append_rows(&self.topic, partition, records, rows)?;
            }
        }
        Ok(())
    }

    fn ready(&mut self) -> bool {
        true
    }

    fn flush(&mut self) -> Result<bool> {
        self.topic.flush()?;
        Ok(true)
    }
}
