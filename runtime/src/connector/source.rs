//! The source side of a connector.
//!
//! Place in the flow: `task` asks a [`Source`] for one [`SourceReader`] per subtask and polls it. Invariant: `poll` never
//! blocks; when it has nothing it returns [`Poll::Pending`] and calls the waker later.

use std::fmt::Debug;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::error::Result;
use crate::task::Waker;
use crate::time::SharedClock;

/// What one subtask reads with.
#[derive(Debug, Clone)]
pub struct ReaderContext {
    /// Which subtask, from 0.
    pub subtask_index: usize,
    /// Subtasks in all; splits are dealt out by `split index % parallelism`.
    pub parallelism: usize,
    /// Positions of a checkpoint, of every split of every subtask; absent on a fresh start.
    pub restored: Option<Vec<SplitPosition>>,
    /// To be woken when `poll` has something again.
    pub waker: Waker,
    /// Time.
    pub clock: SharedClock,
}

/// A readable table.
pub trait Source: Send + Sync + Debug {
    /// Opens the reader of one subtask. May wait for the outside world, since it runs before the slot starts.
    ///
    /// # Errors
    /// `Unavailable` with the address when the outside world does not answer; `Invalid` for bad options.
    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>>;

    /// Whether the table ends by itself (a bounded scan, a generator with a number of rows).
    fn is_bounded(&self) -> bool;

    /// Makes what was read so far durable, so that a checkpoint never has a position that a power failure takes back. Called before
    /// each checkpoint is stored, and may wait for a device.
    ///
    /// # Errors
    /// `Storage` naming the file.
    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// Reads the splits of one subtask.
pub trait SourceReader: Send + Debug {
    /// Memory of what was fetched and not polled, in bytes, as far as it is known. Asked after every step.
    fn memory_bytes(&self) -> usize {
        0
    }

    /// The next records of one split, at most `rows_max`, without blocking.
    ///
    /// # Errors
    /// `Unavailable` when the outside world is lost for good; a passing loss is retried inside and is `Pending`.
    fn poll(&mut self, rows_max: usize) -> Result<Poll>;

    /// Does not read the splits that are marked, by their indices, until the next call; what was fetched of them may still come.
    ///
    /// # Errors
    /// `Unavailable` when the outside world does not take part.
    fn pause(&mut self, _is_paused: &[bool]) -> Result<()> {
        Ok(())
    }

    /// Splits of this reader, in the order of their indices in [`RawBatch::split`].
    fn splits(&self) -> Vec<SplitInfo>;

    /// Where reading would continue, for a checkpoint: everything returned by `poll` is behind it.
    fn positions(&self) -> Vec<SplitPosition>;

    /// Ends each split at its present end: the next polls return what is there, then [`Poll::EndOfInput`].
    ///
    /// # Errors
    /// `Unavailable` when the present end cannot be asked for.
    fn drain(&mut self) -> Result<()>;
}

/// The answer of [`SourceReader::poll`].
#[derive(Debug)]
pub enum Poll {
    /// Undecoded records of one split.
    Raw(RawBatch),
    /// Rows of the scan's read columns (generators).
    Rows {
        /// Index into [`SourceReader::splits`].
        split: usize,
        /// The rows.
        batch: Batch,
    },
    /// A split has reached its end; others may go on.
    SplitFinished {
        /// Index into [`SourceReader::splits`].
        split: usize,
    },
    /// Nothing now; the waker will be called.
    Pending,
    /// Nothing before this monotonic time (paced generators); the waker will not be called.
    Later(std::time::Duration),
    /// Every split has ended (or there is none).
    EndOfInput,
}

/// A split and how far behind it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitInfo {
    /// Topic or file.
    pub topic: String,
    /// Partition, 0 where there is none.
    pub partition: i32,
    /// Records between the position and the end; an upper bound on compacted topics; absent when unknown.
    pub pending_records: Option<u64>,
}

/// Where reading continues in one split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitPosition {
    /// Topic or file.
    pub topic: String,
    /// Partition, 0 where there is none.
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
}

/// Undecoded records of one split, as slices of one buffer.
#[derive(Debug, Clone, Default)]
pub struct RawBatch {
    /// Index into [`SourceReader::splits`].
    pub split: usize,
    /// Holds the bytes of keys, values and headers.
    pub buffer: Bytes,
    /// Key of each record in `buffer`; absent is a null key.
    pub keys: Vec<Option<Range>>,
    /// Value of each record in `buffer`; absent is a null value.
    pub values: Vec<Option<Range>>,
    /// Offset of each record.
    pub offsets: Vec<i64>,
    /// Timestamp of each record, epoch milliseconds.
    pub timestamps_ms: Vec<i64>,
    /// What the timestamps mean.
    pub timestamp_type: TimestampType,
    /// Headers of each record; empty when no record has any.
    pub headers: Vec<Vec<(Range, Option<Range>)>>,
}

/// A place in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u32,
    /// Bytes.
    pub len: u32,
}

impl Range {
    /// The bytes of the place.
    ///
    /// # Panics
    /// When the place is not inside `buffer`, which is a bug of the reader that made it.
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..self.start as usize + self.len as usize]
    }
}

/// What a record's timestamp means, with Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// `NoTimestampType`.
    None,
    /// `CreateTime`.
    #[default]
    CreateTime,
    /// `LogAppendTime`.
    LogAppendTime,
}

impl TimestampType {
    /// The name in the `timestamp-type` metadata column.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NoTimestampType",
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
    }
}

impl RawBatch {
    /// Records.
    pub fn rows(&self) -> usize {
        self.values.len()
    }

    /// The value of a record.
    pub fn value(&self, row: usize) -> Option<&[u8]> {
        self.values[row].map(|range| range.of(&self.buffer))
    }

    /// The key of a record.
    pub fn key(&self, row: usize) -> Option<&[u8]> {
        self.keys[row].map(|range| range.of(&self.buffer))
    }
}
