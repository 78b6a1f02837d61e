//! What a source does with records that do not decode.
//!
//! Place in the flow: beside the source subtask. Invariant: with `log`, a record is in the error table before its offset is
//! committed; with `fail`, the message names the record's topic, partition and offset.

use crate::dlq::{self, ErrorHandling, FailedRecord, Mode};
use crate::error::{Error, Result};
use crate::task::record_writer::RecordWriter;
use crate::time::EpochMillis;

/// What a source does with records that do not decode.
#[derive(Debug)]
pub(super) enum DeadLetters {
    /// The statement fails.
    Fail,
    /// They are counted and dropped.
    Ignore,
    /// They are written to the error table.
    Log {
        /// Where the records come from.
        origin: dlq::Origin,
        /// Writes the error table.
        writer: Box<RecordWriter>,
    },
}

impl DeadLetters {
    /// What the table asks for; `open` makes the writer of the error table.
    ///
    /// # Errors
    /// What `open` returns.
    pub(super) fn new(
        handling: &ErrorHandling,
        origin: dlq::Origin,
        open: impl FnOnce(&str) -> Result<RecordWriter>,
    ) -> Result<Self> {
        Ok(match handling.mode {
            Mode::Fail => Self::Fail,
            Mode::Ignore => Self::Ignore,
            Mode::Log => Self::Log {
                origin,
                writer: Box::new(open(&handling.target)?),
            },
        })
    }

    /// Whether more records are taken now.
    pub(super) fn ready(&mut self) -> bool {
        match self {
            Self::Fail | Self::Ignore => true,
            Self::Log { writer, .. } => writer.writer().ready(),
        }
    }

    /// Memory of what waits to be written, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Fail | Self::Ignore => 0,
            Self::Log { writer, .. } => writer.memory_bytes(),
        }
    }

    /// Deals with records that did not decode; how many went to the error table.
    ///
    /// # Errors
    /// `Data` with `fail`; what the writer returns with `log`.
    pub(super) fn handle(
        &mut self,
        failures: &[FailedRecord],
        now_ms: EpochMillis,
    ) -> Result<usize> {
        match self {
            Self::Fail => match failures.first() {
                Some(first) => Err(Error::deserialization(format!(
                    "record at offset {} of partition {} of topic {}: {}; set 'error-handling.mode' to 'log' or 'ignore' on the table to go on",
                    first.offset, first.partition, first.topic, first.message
                ))),
                None => Ok(0),
            },
            Self::Ignore => Ok(0),
            Self::Log { origin, writer } => {
                writer.write(&dlq::error_rows(failures, origin, now_ms)?)?;
                Ok(failures.len())
            }
        }
    }

    /// What is written from now on belongs to this epoch.
    ///
    /// # Errors
    /// What the writer returns.
    pub(super) fn begin_epoch(&mut self, epoch: u64) -> Result<()> {
        match self {
            Self::Fail | Self::Ignore => Ok(()),
            Self::Log { writer, .. } => writer.writer().begin_epoch(epoch),
        }
    }

    /// Whether everything written is safe.
    ///
    /// # Errors
    /// What the writer returns.
    pub(super) fn flush(&mut self) -> Result<bool> {
        match self {
            Self::Fail | Self::Ignore => Ok(true),
            Self::Log { writer, .. } => writer.writer().flush(),
        }
    }
}
