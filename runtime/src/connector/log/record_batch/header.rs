//! The header of a batch, read and checked.
//!
//! Place in the flow: cursors, scans and the cleaner look at it before anything else of a batch. Invariant: what it says was compared
//! with what is possible; that it is what was written is known after [`Header::verify`] only.

use super::{
    ABSENT_ID, ATTRIBUTES_AT, COMPRESSION_MASK, CRC_START, DELETE_HORIZON, HEADER_BYTES,
    LENGTH_PREFIX_BYTES, LOG_APPEND_TIME, MAGIC, PRODUCER_AT, TRANSACTIONAL,
};
use crate::connector::log::transaction::TransactionId;

/// The checked header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connector::log) struct Header {
    /// First offset covered.
    pub(in crate::connector::log) base_offset: i64,
    /// Bytes of the whole batch.
    pub(in crate::connector::log) bytes: usize,
    /// Offset after the last one covered; a compacted batch has no records for some.
    pub(in crate::connector::log) next_offset: i64,
    /// Timestamp that deltas count from.
    pub(in crate::connector::log) base_timestamp_ms: i64,
    /// Highest timestamp.
    pub(in crate::connector::log) max_timestamp_ms: i64,
    /// Records.
    pub(in crate::connector::log) records: usize,
    /// The transaction, if the records belong to one.
    pub(in crate::connector::log) transaction: Option<TransactionId>,
    /// Whether the base timestamp says when deletes are forgotten.
    has_delete_horizon: bool,
    /// Whether all records have the highest timestamp.
    pub(super) log_append_time: bool,
    /// Stored checksum.
    crc: u32,
}

impl Header {
    /// Reads and checks a header; `bytes` starts at it. The reason is for the message of the caller.
    ///
    /// # Errors
    /// A reason when these bytes are not the start of a batch that this log wrote.
    pub(in crate::connector::log) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err("the batch header is cut off");
        };
        let attributes = i16::from_be_bytes(part(header, ATTRIBUTES_AT));
        let producer_id = i64::from_be_bytes(part(header, PRODUCER_AT));
        let last_offset_delta = i32::from_be_bytes(part(header, 23));
        let records = i32::from_be_bytes(part(header, 57));
        let base_offset = i64::from_be_bytes(part(header, 0));
        let length = i32::from_be_bytes(part(header, 8));
        let length = usize::try_from(length).unwrap_or(0);
        if header[16] != MAGIC || header[12..16] != [0; 4] {
            return Err("the bytes are not a record batch of version 2");
        }
        if length + LENGTH_PREFIX_BYTES < HEADER_BYTES {
            return Err("the batch length is too small");
        }
        if attributes & COMPRESSION_MASK != 0 {
            return Err("the batch is compressed");
        }
        // Only the cleaner leaves batches without records, and then without bytes for them.
        let empty = length + LENGTH_PREFIX_BYTES == HEADER_BYTES;
        if records < i32::from(!empty)
            || last_offset_delta < (records - 1).max(0)
            || base_offset < 0
        {
            return Err("the record count does not fit the offsets");
        }
        let Some(next_offset) = base_offset.checked_add(i64::from(last_offset_delta) + 1) else {
            return Err("the offsets are too high");
        };
        let transactional = attributes & TRANSACTIONAL != 0;
        if transactional != (producer_id != ABSENT_ID) || producer_id < ABSENT_ID {
            return Err("the transaction does not fit the attributes");
        }
        Ok(Self {
            base_offset,
            bytes: length + LENGTH_PREFIX_BYTES,
            next_offset,
            base_timestamp_ms: i64::from_be_bytes(part(header, 27)),
            max_timestamp_ms: i64::from_be_bytes(part(header, 35)),
            records: usize::try_from(records).unwrap_or(0),
            transaction: transactional.then_some(TransactionId::from_i64(producer_id)),
            has_delete_horizon: attributes & DELETE_HORIZON != 0,
            log_append_time: attributes & LOG_APPEND_TIME != 0,
            crc: u32::from_be_bytes(part(header, 17)),
        })
    }

    /// Epoch millisecond after which the deletes in the batch may be forgotten, once the cleaner has fixed it.
    pub(in crate::connector::log) fn delete_horizon_ms(&self) -> Option<i64> {
        self.has_delete_horizon.then_some(self.base_timestamp_ms)
    }

    /// Compares the checksum; `batch` is the whole batch.
    ///
    /// # Errors
    /// A reason when it does not match.
    pub(in crate::connector::log) fn verify(&self, batch: &[u8]) -> Result<(), &'static str> {
        if batch.len() == self.bytes && crc32c::crc32c(&batch[CRC_START..]) == self.crc {
            Ok(())
        } else {
            Err("the checksum does not match")
        }
    }
}

/// A fixed number of bytes of a header.
fn part<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}
