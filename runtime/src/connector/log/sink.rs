//! Writing a table to a topic of the embedded log.
//!
//! Place in the flow: `task` hands encoded records to one writer per subtask. Invariant: records of one key go to one partition
//! and keep their order; an append is whole or an error; with transactions, every row carries that of its epoch.

use std::sync::Arc;

use super::store::{LogStore, Target};
use super::topic::Topic;
use super::transaction::{LogTransactions, Transaction};
use crate::batch::Batch;
use crate::connector::partitioner::partition_of;
use crate::connector::sink::{
    EncodedBatch, Sink, SinkInput, SinkWriter, TransactionalSystem, Transactions, WriterContext,
};
use crate::error::{Error, Kind, Result};

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
        let epochs = context
            .transactions
            .map(|transactions| Epochs::new(transactions, &self.store, partitions))
            .transpose()?;
        Ok(Box::new(LogWriter {
            store: Arc::clone(&self.store),
            topic: Arc::clone(&self.topic),
            rows: vec![Vec::new(); partitions as usize],
            // Subtasks start apart, so that few unkeyed batches still spread.
            turn: subtask % partitions,
            epochs,
        }))
    }

    fn input(&self) -> SinkInput {
        SinkInput::Records
    }

    fn transactional(&self) -> Option<TransactionalSystem> {
        let store = Arc::clone(&self.store);
        Some(TransactionalSystem {
            identity: format!("log {}", store.dir().display()),
            open: Arc::new(move |owner| {
                let transactions = Arc::new(LogTransactions::new(&store, &owner.statement_uid));
                Ok(Transactions {
                    committer: Arc::clone(&transactions) as _,
                    handle: transactions,
                })
            }),
        })
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
    /// The transactions; absent when rows are written at least once.
    epochs: Option<Epochs>,
}

/// The transactions of a writer.
#[derive(Debug)]
struct Epochs {
    /// Those of the statement.
    transactions: Arc<LogTransactions>,
    /// That of the present epoch.
    present: Option<Arc<Transaction>>,
    /// By partition: whether the present transaction knows that it has rows there.
    touched: Vec<bool>,
    /// Why the statement's rows do not arrive any more.
    failed: Option<Error>,
}

impl Epochs {
    /// The transactions of a writer into that store.
    fn new(transactions: Transactions, store: &Arc<LogStore>, partitions: u32) -> Result<Self> {
        let transactions = transactions
            .handle
            .downcast::<LogTransactions>()
            .ok()
            .filter(|transactions| transactions.is_of(store))
            .ok_or_else(|| Error::internal("a log writer got transactions of another system"))?;
        Ok(Self {
            transactions,
            present: None,
            touched: vec![false; partitions as usize],
            failed: None,
        })
    }

    /// Goes on with the transaction of an epoch.
    fn begin(&mut self, epoch: u64) -> Result<()> {
        self.present = Some(self.transactions.transaction(epoch)?);
        self.touched.fill(false);
        Ok(())
    }

    /// Appends rows in the present transaction.
    fn append(
        &mut self,
        store: &LogStore,
        topic: &Arc<Topic>,
        records: &EncodedBatch,
        rows: &[Vec<u32>],
    ) -> Result<()> {
        let present = self
            .present
            .as_ref()
            .ok_or_else(|| Error::internal("a log writer writes before its first epoch"))?;
        let Some(entered) = present.enter() else {
            return Err(self.transactions.fenced());
        };
        for ((partition, rows), touched) in (0..).zip(rows).zip(&mut self.touched) {
            if rows.is_empty() {
                continue;
            }
            if !std::mem::replace(touched, true) {
                entered.transaction.touch(topic, partition);
            }
            let target = Target {
                topic,
                partition,
                transaction: Some(entered.transaction.id),
            };
            store.append_rows(target, records, rows)?;
        }
        Ok(())
    }
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
            let partition = if let Some(bytes) = records.routed_by(row as usize) {
                partition_of(bytes, partitions)
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
        if let Some(epochs) = &mut self.epochs {
            if let Some(error) = &epochs.failed {
                return Err(error.clone());
            }
            let appended = epochs.append(&self.store, &self.topic, records, &self.rows);
            return match appended {
                // As with Kafka, where it shows on delivery: the flush says so.
                Err(error) if error.kind == Kind::Conflict => {
                    epochs.failed = Some(error);
                    Ok(())
                }
                other => other,
            };
        }
        for (partition, rows) in (0_u32..).zip(&self.rows) {
            if !rows.is_empty() {
                let target = Target {
                    topic: &self.topic,
                    partition,
                    transaction: None,
                };
                self.store.append_rows(target, records, rows)?;
            }
        }
        Ok(())
    }

    fn ready(&mut self) -> bool {
        true
    }

    fn begin_epoch(&mut self, epoch: u64) -> Result<()> {
        match &mut self.epochs {
            Some(epochs) => epochs.begin(epoch),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<bool> {
        let Some(epochs) = &self.epochs else {
            self.topic.flush()?;
            return Ok(true);
        };
        // What counts is made durable by the commit, and not in the slot's thread.
        epochs.failed.clone().map_or(Ok(true), Err)
    }
}
