//! Encoding records into batches.
//!
//! Place in the flow: the append path and the cleaner encode into one buffer. Invariant: a batch covers its offsets without a hole,
//! whether it has records for all of them or not, and the checksum covers everything from the attributes on.

use super::{
    ABSENT_ID, ATTRIBUTES_AT, CRC_START, HEADER_BYTES, LENGTH_PREFIX_BYTES, MAGIC, PRODUCER_AT,
    RECORD_BYTES_MAX, TRANSACTIONAL,
};
use crate::connector::log::transaction::TransactionId;
use crate::error::{Error, Result};

/// A batch is closed once its records take this much: small against the read chunk, large against the header (guess,
/// unmeasured).
pub(in crate::connector::log) const BATCH_BYTES_TARGET: usize = 128 << 10;

/// A record to append.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a> {
    /// Key; absent is a null key.
    pub key: Option<&'a [u8]>,
    /// Value; absent is a null value.
    pub value: Option<&'a [u8]>,
    /// Epoch milliseconds.
    pub timestamp_ms: i64,
    /// Header keys and values.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

impl Record<'_> {
    /// Bytes of the payload, for limits.
    pub(super) fn payload_bytes(&self) -> usize {
        let headers = self
            .headers
            .iter()
            .map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len));
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers.sum::<usize>()
    }
}

/// Batches in one buffer, with offsets that count from 0 until [`Encoded::set_base_offset`].
#[derive(Debug, Default)]
pub(in crate::connector::log) struct Encoded {
    /// The bytes of all batches.
    pub(in crate::connector::log) buffer: Vec<u8>,
    /// One entry per batch.
    pub(in crate::connector::log) batches: Vec<EncodedHeader>,
    /// Records in all.
    pub(in crate::connector::log) records: i64,
    /// The transaction that the batches closed from now on belong to.
    pub(in crate::connector::log) transaction: Option<TransactionId>,
}

/// Where an encoded batch is and what an index needs of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connector::log) struct EncodedHeader {
    /// First byte in the buffer.
    pub(in crate::connector::log) start: usize,
    /// Offset of its first record; relative to the append at first.
    pub(in crate::connector::log) base_offset: i64,
    /// Highest timestamp.
    pub(in crate::connector::log) max_timestamp_ms: i64,
}

impl Encoded {
    /// Forgets the content and keeps the memory.
    pub(in crate::connector::log) fn clear(&mut self) {
        self.buffer.clear();
        self.batches.clear();
        self.records = 0;
        self.transaction = None;
    }

    /// Encodes records into as many batches as their size asks for.
    ///
    /// # Errors
    /// `Data` for a record above [`RECORD_BYTES_MAX`].
    pub(in crate::connector::log) fn extend<'r>(
        &mut self,
        records: impl Iterator<Item = Record<'r>>,
    ) -> Result<()> {
        let mut open: Option<OpenBatch> = None;
        for record in records {
            let bytes = record.payload_bytes();
            if bytes > RECORD_BYTES_MAX {
                return Err(Error::deserialization(format!(
                    "a record of {bytes} bytes is larger than the {RECORD_BYTES_MAX} bytes a log record may have"
                )));
            }
            if let Some(batch) = open.take_if(|batch| {
                self.buffer.len() - batch.start + bytes > BATCH_BYTES_TARGET && batch.count > 0
            }) {
                self.close(&batch);
            }
            let batch = open.get_or_insert_with(|| {
                OpenBatch::start(&mut self.buffer, self.records, record.timestamp_ms)
            });
            batch.push(&record, i64::from(batch.count), &mut self.buffer);
            self.records += 1;
        }
        if let Some(batch) = open {
            self.close(&batch);
        }
        Ok(())
    }

    /// Ends a batch whose records are complete.
    fn close(&mut self, batch: &OpenBatch) {
        batch.seal(
            &mut self.buffer,
            Seal {
                last_offset_delta: batch.count - 1,
                attributes: self.transaction.map_or(0, |_| TRANSACTIONAL),
                producer_id: self.transaction.map_or(ABSENT_ID, TransactionId::to_i64),
            },
        );
        self.batches.push(EncodedHeader {
            start: batch.start,
            base_offset: batch.base_offset,
            max_timestamp_ms: batch.max_timestamp_ms,
        });
    }

    /// Moves every batch so that the first record has this offset; the checksum does not cover offsets.
    pub(in crate::connector::log) fn set_base_offset(&mut self, offset: i64) {
        for batch in &mut self.batches {
            batch.base_offset += offset;
            self.buffer[batch.start..batch.start + 8]
                .copy_from_slice(&batch.base_offset.to_be_bytes());
        }
    }
}

/// What a header says that is not known from the records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seal {
    /// Last offset that the batch covers minus its first.
    pub(super) last_offset_delta: i32,
    /// Attribute bits.
    pub(super) attributes: i16,
    /// The transaction.
    pub(super) producer_id: i64,
}

/// A batch that still takes records.
#[derive(Debug)]
pub(super) struct OpenBatch {
    /// First byte in the buffer.
    pub(super) start: usize,
    /// First offset that it covers.
    pub(super) base_offset: i64,
    /// Timestamp that deltas count from.
    base_timestamp_ms: i64,
    /// Highest timestamp so far.
    max_timestamp_ms: i64,
    /// Records so far; bounded by the batch target over the least record size.
    pub(super) count: i32,
}

impl OpenBatch {
    /// Starts a batch at the end of the buffer.
    pub(super) fn start(buffer: &mut Vec<u8>, base_offset: i64, base_timestamp_ms: i64) -> Self {
        let start = buffer.len();
        buffer.resize(start + HEADER_BYTES, 0);
        Self {
            start,
            base_offset,
            base_timestamp_ms,
            max_timestamp_ms: i64::MIN,
            count: 0,
        }
    }

    /// Appends one record.
    pub(super) fn push(&mut self, record: &Record<'_>, offset_delta: i64, buffer: &mut Vec<u8>) {
        let timestamp_delta = record.timestamp_ms.wrapping_sub(self.base_timestamp_ms);
        let header_count = signed(record.headers.len());
        let mut length = 1
            + varint_bytes(timestamp_delta)
            + varint_bytes(offset_delta)
            + field_bytes(record.key)
            + field_bytes(record.value)
            + varint_bytes(header_count);
        for (key, value) in record.headers {
            length += field_bytes(Some(key)) + field_bytes(*value);
        }
        push_varint(buffer, signed(length));
        buffer.push(0);
        push_varint(buffer, timestamp_delta);
        push_varint(buffer, offset_delta);
        push_field(buffer, record.key);
        push_field(buffer, record.value);
        push_varint(buffer, header_count);
        for (key, value) in record.headers {
            push_field(buffer, Some(key));
            push_field(buffer, *value);
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(record.timestamp_ms);
        self.count += 1;
    }

    /// Writes the header; the batch is the last thing in the buffer.
    pub(super) fn seal(&self, buffer: &mut [u8], seal: Seal) {
        let bytes = &mut buffer[self.start..];
        let length = i32::try_from(bytes.len() - LENGTH_PREFIX_BYTES)
            .expect("a batch holds at most its target and one record");
        bytes[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        // Partition leader epoch: there is one writer, so it is always 0.
        bytes[12..16].fill(0);
        bytes[16] = MAGIC;
        bytes[ATTRIBUTES_AT..23].copy_from_slice(&seal.attributes.to_be_bytes());
        bytes[23..27].copy_from_slice(&seal.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp_ms.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp_ms.to_be_bytes());
        bytes[PRODUCER_AT..51].copy_from_slice(&seal.producer_id.to_be_bytes());
        // Producer epoch and base sequence: -1 means no idempotent producer.
        bytes[51..57].fill(0xff);
        bytes[57..61].copy_from_slice(&self.count.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[CRC_START..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

/// A length as the varints want it; lengths are bounded by [`RECORD_BYTES_MAX`].
fn signed(length: usize) -> i64 {
    i64::try_from(length).expect("lengths in memory fit into 63 bits")
}

/// Zigzag: small numbers of either sign become small unsigned ones.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Bytes of a varint.
fn varint_bytes(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Appends a varint.
fn push_varint(buffer: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        buffer.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    buffer.push(rest.to_le_bytes()[0]);
}

/// Bytes of an optional field with its length.
fn field_bytes(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| varint_bytes(signed(bytes.len())) + bytes.len())
}

/// Appends an optional field; absent has length -1.
fn push_field(buffer: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => push_varint(buffer, -1),
        Some(bytes) => {
            push_varint(buffer, signed(bytes.len()));
            buffer.extend_from_slice(bytes);
        }
    }
}
