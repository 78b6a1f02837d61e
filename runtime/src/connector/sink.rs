//! The sink side of a connector.
//!
//! Place in the flow: `task` encodes rows and hands them to a [`SinkWriter`]. Invariant: a writer never blocks and never drops;
//! `flush` is asked again and again until everything written is safe.

use std::fmt::Debug;

use crate::batch::Batch;
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
}

impl EncodedBatch {
    /// Records.
    pub fn rows(&self) -> usize {
        self.values.len()
    }
}
