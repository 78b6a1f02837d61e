//! The sink side of a connector.
//!
//! Place in the flow: `task` encodes rows and hands them to a [`SinkWriter`]. Invariant: a writer never blocks and never drops;
//! `flush` is asked again and again until everything written is safe.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::checkpoint::commit::Committer;
use crate::error::Result;
use crate::task::Waker;
use crate::time::SharedClock;

/// What one subtask writes with.
#[derive(Debug, Clone)]
pub struct WriterContext {
    /// Which subtask, from 0.
    pub subtask_index: usize,
    /// Subtasks in all.
    pub parallelism: usize,
    /// The statement's uid, for transactional ids and file names.
    pub statement_uid: String,
    /// The statement's transactions; absent when rows are written at least once.
    pub transactions: Option<Transactions>,
    /// Whether what is flushed waits for [`Sink::publish`]; else a flush shows it.
    pub publishes: bool,
    /// To be woken when the writer is ready again or a flush has ended.
    pub waker: Waker,
    /// Time.
    pub clock: SharedClock,
}

/// A writable table.
pub trait Sink: Send + Sync + Debug {
    /// Opens the writer of one subtask. May wait for the outside world, since it runs before the slot starts.
    ///
    /// # Errors
    /// `Unavailable` with the address when the outside world does not answer; `Invalid` for bad options.
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>>;

    /// Whether rows arrive as columns or as encoded records.
    fn input(&self) -> SinkInput;

    /// The system whose transactions make this sink exactly-once, and how to open them; absent for sinks that have none.
    fn transactional(&self) -> Option<TransactionalSystem> {
        None
    }

    /// Whether what writers prepare is shown by [`Self::publish`]: then the checkpoint is the commit.
    fn publishes(&self) -> bool {
        false
    }

    /// Makes visible what writers have prepared ([`SinkWriter::prepared`]), after the checkpoint that holds it is durable. Called
    /// again after a crash with the same arguments, so it is idempotent.
    ///
    /// # Errors
    /// `Unavailable` or `Storage` when the outside world refuses; the call is repeated.
    fn publish(&self, prepared: &[String]) -> Result<()> {
        let _ = prepared;
        Ok(())
    }
}

/// Opens the transactions of a statement.
pub type OpenTransactions = dyn Fn(&TransactionOwner) -> Result<Transactions> + Send + Sync;

/// A system with transactions, as one sink knows it.
#[derive(Clone)]
pub struct TransactionalSystem {
    /// What tells systems apart: sinks with the same identity share one set of transactions. For people too: an address.
    pub identity: String,
    /// Opens the transactions of a statement: arguments are what it is called.
    pub open: Arc<OpenTransactions>,
}

impl std::fmt::Debug for TransactionalSystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionalSystem")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Whose transactions are opened.
#[derive(Debug, Clone)]
pub struct TransactionOwner {
    /// Statement name.
    pub statement_name: String,
    /// Statement uid.
    pub statement_uid: String,
    /// How long an epoch may stay open: interval, worst checkpoint and a margin.
    pub timeout: Duration,
    /// Time.
    pub clock: SharedClock,
}

/// The transactions of one statement in one system: what the coordinator commits with, and what writers write in.
#[derive(Debug, Clone)]
pub struct Transactions {
    /// Commits.
    pub committer: Arc<dyn Committer>,
    /// The system's own handle, which only its own sinks understand.
    pub handle: Arc<dyn Any + Send + Sync>,
}

/// What a writer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkInput {
    /// [`SinkWriter::write_rows`].
    Rows,
    /// [`SinkWriter::write_records`].
    Records,
}

/// Writes for one subtask.
pub trait SinkWriter: Send + Debug {
    /// Takes rows; kinds included.
    ///
    /// # Errors
    /// `Unavailable` or `Storage` when the outside world refuses for good.
    fn write_rows(&mut self, batch: &Batch) -> Result<()>;

    /// Takes encoded records, in order.
    ///
    /// # Errors
    /// `Unavailable` or `Storage` when the outside world refuses for good.
    fn write_records(&mut self, records: &EncodedBatch) -> Result<()>;

    /// Whether another batch is taken now. When not, the waker is called once it is.
    fn ready(&mut self) -> bool;

    /// What is written from now on belongs to this epoch. Called before the first write and after every barrier, when everything
    /// written before is flushed.
    ///
    /// # Errors
    /// `Internal` only.
    fn begin_epoch(&mut self, epoch: u64) -> Result<()> {
        let _ = epoch;
        Ok(())
    }

    /// Memory of what was written and is not safe yet, in bytes, as far as it is known. Asked after every step.
    fn memory_bytes(&self) -> usize {
        0
    }

    /// What was flushed in the epoch that ends and waits for [`Sink::publish`]; goes into the checkpoint of that epoch.
    ///
    /// # Errors
    /// `Storage` naming the file.
    fn prepared(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Makes everything written safe: true when it is. When not, the waker is called on progress.
    ///
    /// # Errors
    /// `Unavailable` or `Storage` when a record was refused for good.
    fn flush(&mut self) -> Result<bool>;
}

/// Encoded records as slices of one buffer.
#[derive(Debug, Clone, Default)]
pub struct EncodedBatch {
    /// Keys and values back to back.
    pub buffer: Vec<u8>,
    /// Key of each record; absent is a null key.
    pub keys: Vec<Option<super::source::Range>>,
    /// Value of each record; absent is a null value (a delete in an upsert topic).
    pub values: Vec<Option<super::source::Range>>,
    /// Timestamp of each record in epoch milliseconds; empty means the time of writing.
    pub timestamps_ms: Vec<i64>,
    /// Value of the `op` header of retract topics; empty without it. Inserts carry no header.
    pub ops: Vec<u8>,
    /// Names and values of the headers that the rows themselves bring; empty when none does.
    pub headers: Vec<Vec<(super::source::Range, super::source::Range)>>,
    /// What chooses the partition of each record without a key, in `buffer`; empty when such records take turns.
    pub spread_by: Vec<super::source::Range>,
}

impl EncodedBatch {
    /// Records.
    pub fn rows(&self) -> usize {
        self.values.len()
    }

    /// The bytes whose hash is the partition of a record; absent when it takes its turn.
    pub fn routed_by(&self, row: usize) -> Option<&[u8]> {
        let key = self.keys.get(row).copied().flatten();
        let range = key.or_else(|| self.spread_by.get(row).copied())?;
        Some(range.of(&self.buffer))
    }
}
