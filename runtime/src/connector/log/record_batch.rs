//! Kafka v2 record batches: encoding, header checks, and decoding to slices.
//!
//! Place in the flow: the append path encodes into one buffer, the cursor decodes out of one. Invariant: the checksum covers
//! everything from the attributes on, and no length taken from bytes is trusted before it was compared with what is there.
//!
//! # Source
//! Apache Kafka, "Message Format": record batch with magic 2.

use crate::connector::source::{Range, RawBatch};
use crate::error::{Error, Result};

/// Bytes of a batch before its first record.
pub(super) const HEADER_BYTES: usize = 61;
/// Bytes before the part that the batch length counts.
const LENGTH_PREFIX_BYTES: usize = 12;
/// Where the checksummed part starts.
const CRC_START: usize = 21;
/// The only format version written and read.
const MAGIC: u8 = 2;
/// Attribute bits that name a compression codec.
const COMPRESSION_MASK: i16 = 0x07;
/// Attribute bit of batches whose records carry the append time.
const LOG_APPEND_TIME: i16 = 0x08;
/// A batch is closed once its records take this much: small against the read chunk, large against the header (guess,
/// unmeasured).
const BATCH_BYTES_TARGET: usize = 128 << 10;
/// Largest record taken: far above Kafka's default of 1 MiB, far below the 2 GiB of the length field (guess, unmeasured).
pub(super) const RECORD_BYTES_MAX: usize = 64 << 20;
/// Least bytes of a record: length, attributes, two deltas, two lengths and the header count.
const RECORD_BYTES_MIN: usize = 7;

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
    fn payload_bytes(&self) -> usize {
        let headers = self
            .headers
            .iter()
            .map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len));
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers.sum::<usize>()
    }
}

/// Batches in one buffer, with offsets that count from 0 until [`Encoded::set_base_offset`].
#[derive(Debug, Default)]
pub(super) struct Encoded {
    /// The bytes of all batches.
    pub(super) buffer: Vec<u8>,
    /// One entry per batch.
    pub(super) batches: Vec<EncodedHeader>,
    /// Records in all.
    pub(super) records: i64,
}

/// Where an encoded batch is and what an index needs of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EncodedHeader {
    /// First byte in the buffer.
    pub(super) start: usize,
    /// Offset of its first record; relative to the append at first.
    pub(super) base_offset: i64,
    /// Highest timestamp.
    pub(super) max_timestamp_ms: i64,
}

impl Encoded {
    /// Forgets the content and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.batches.clear();
        self.records = 0;
    }

    /// Encodes records into as many batches as their size asks for.
    ///
    /// # Errors
    /// `Data` for a record above [`RECORD_BYTES_MAX`].
    pub(super) fn extend<'r>(&mut self, records: impl Iterator<Item = Record<'r>>) -> Result<()> {
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
                let start = self.buffer.len();
                self.buffer.resize(start + HEADER_BYTES, 0);
                OpenBatch {
                    start,
                    base_offset: self.records,
                    base_timestamp_ms: record.timestamp_ms,
                    max_timestamp_ms: record.timestamp_ms,
                    count: 0,
                }
            });
            batch.push(&record, &mut self.buffer);
            self.records += 1;
        }
        if let Some(batch) = open {
            self.close(&batch);
        }
        Ok(())
    }

    /// Writes the header of a batch whose records are complete.
    fn close(&mut self, batch: &OpenBatch) {
        let bytes = &mut self.buffer[batch.start..];
        let length = i32::try_from(bytes.len() - LENGTH_PREFIX_BYTES)
            .expect("a batch holds at most its target and one record");
        bytes[0..8].copy_from_slice(&batch.base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        // Partition leader epoch: there is one writer, so it is always 0.
        bytes[12..16].fill(0);
        bytes[16] = MAGIC;
        bytes[21..23].fill(0);
        bytes[23..27].copy_from_slice(&(batch.count - 1).to_be_bytes());
        bytes[27..35].copy_from_slice(&batch.base_timestamp_ms.to_be_bytes());
        bytes[35..43].copy_from_slice(&batch.max_timestamp_ms.to_be_bytes());
        // Producer id, producer epoch and base sequence: -1 means no idempotent producer.
        bytes[43..57].fill(0xff);
        bytes[57..61].copy_from_slice(&batch.count.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[CRC_START..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        self.batches.push(EncodedHeader {
            start: batch.start,
            base_offset: batch.base_offset,
            max_timestamp_ms: batch.max_timestamp_ms,
        });
    }

    /// Moves every batch so that the first record has this offset; the checksum does not cover offsets.
    pub(super) fn set_base_offset(&mut self, offset: i64) {
        for batch in &mut self.batches {
            batch.base_offset += offset;
            self.buffer[batch.start..batch.start + 8]
                .copy_from_slice(&batch.base_offset.to_be_bytes());
        }
    }
}

/// A batch that still takes records.
#[derive(Debug)]
struct OpenBatch {
    /// First byte in the buffer.
    start: usize,
    /// Offset of its first record.
    base_offset: i64,
    /// Timestamp that deltas count from.
    base_timestamp_ms: i64,
    /// Highest timestamp so far.
    max_timestamp_ms: i64,
    /// Records so far; bounded by the batch target over the least record size.
    count: i32,
}

impl OpenBatch {
    /// Appends one record.
    fn push(&mut self, record: &Record<'_>, buffer: &mut Vec<u8>) {
        let timestamp_delta = record.timestamp_ms.wrapping_sub(self.base_timestamp_ms);
        let offset_delta = i64::from(self.count);
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

/// The checked header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Offset of the first record.
    pub(super) base_offset: i64,
    /// Bytes of the whole batch.
    pub(super) bytes: usize,
    /// Offset after the last record.
    pub(super) next_offset: i64,
    /// Timestamp that deltas count from.
    pub(super) base_timestamp_ms: i64,
    /// Highest timestamp.
    pub(super) max_timestamp_ms: i64,
    /// Records.
    pub(super) records: usize,
    /// Whether all records have the highest timestamp.
    log_append_time: bool,
    /// Stored checksum.
    crc: u32,
}

impl Header {
    /// Reads and checks a header; `bytes` starts at it. The reason is for the message of the caller.
    ///
    /// # Errors
    /// A reason when these bytes are not the start of a batch that this log wrote.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err("the batch header is cut off");
        };
        let attributes = i16::from_be_bytes(part(header, 21));
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
        if records < 1 || last_offset_delta < records - 1 || base_offset < 0 {
            return Err("the record count does not fit the offsets");
        }
        Ok(Self {
            base_offset,
            bytes: length + LENGTH_PREFIX_BYTES,
            next_offset: base_offset.saturating_add(i64::from(last_offset_delta) + 1),
            base_timestamp_ms: i64::from_be_bytes(part(header, 27)),
            max_timestamp_ms: i64::from_be_bytes(part(header, 35)),
            records: usize::try_from(records).unwrap_or(0),
            log_append_time: attributes & LOG_APPEND_TIME != 0,
            crc: u32::from_be_bytes(part(header, 17)),
        })
    }

    /// Compares the checksum; `batch` is the whole batch.
    ///
    /// # Errors
    /// A reason when it does not match.
    pub(super) fn verify(&self, batch: &[u8]) -> Result<(), &'static str> {
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

/// Which records of a batch are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// First offset.
    pub(super) from: i64,
    /// Offset before which to end.
    pub(super) until: i64,
    /// Records in the output at most.
    pub(super) rows_max: usize,
}

/// Decodes the records of one verified batch, pausing wherever the caller has enough.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordReader {
    /// Header of the batch.
    header: Header,
    /// Next byte in the chunk.
    at: usize,
    /// Byte after the batch in the chunk.
    end: usize,
    /// Records not yet decoded.
    left: usize,
}

impl RecordReader {
    /// A reader of the batch that starts at `start` of the chunk.
    pub(super) fn new(header: Header, start: usize) -> Self {
        Self {
            header,
            at: start + HEADER_BYTES,
            end: start + header.bytes,
            left: header.records,
        }
    }

    /// Header of the batch.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Whether every record was decoded.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Appends wanted records to `out`, whose buffer is `chunk`, and returns the offset to continue at.
    ///
    /// # Errors
    /// A reason when lengths inside the batch do not fit together.
    pub(super) fn decode(
        &mut self,
        chunk: &[u8],
        wanted: Wanted,
        out: &mut RawBatch,
    ) -> Result<i64, &'static str> {
        const BAD: &str = "a record does not fit into its batch";
        let bytes = chunk.get(..self.end).ok_or(BAD)?;
        let room = wanted.rows_max.saturating_sub(out.rows());
        let reserve = self
            .left
            .min(room)
            .min((self.end - self.at) / RECORD_BYTES_MIN);
        out.keys.reserve(reserve);
        out.values.reserve(reserve);
        out.offsets.reserve(reserve);
        out.timestamps_ms.reserve(reserve);
        let mut next = wanted.from;
        while self.left > 0 && out.rows() < wanted.rows_max {
            let mut at = self.at;
            let record = read_record(bytes, &mut at).ok_or(BAD)?;
            let offset = self.header.base_offset.wrapping_add(record.offset_delta);
            if offset >= wanted.until {
                return Ok(wanted.until);
            }
            if offset >= wanted.from {
                next = offset + 1;
                out.offsets.push(offset);
                out.keys.push(record.key);
                out.values.push(record.value);
                out.timestamps_ms.push(if self.header.log_append_time {
                    self.header.max_timestamp_ms
                } else {
                    self.header
                        .base_timestamp_ms
                        .wrapping_add(record.timestamp_delta)
                });
                if record.header_count > 0 || !out.headers.is_empty() {
                    let headers = read_headers(bytes, &record).ok_or(BAD)?;
                    out.headers.resize_with(out.values.len() - 1, Vec::new);
                    out.headers.push(headers);
                }
            }
            self.at = at;
            self.left -= 1;
        }
        if self.left == 0 {
            if self.at != self.end {
                return Err(BAD);
            }
            next = self.header.next_offset;
        }
        Ok(next)
    }
}

/// A record before its headers are read.
struct RawRecord {
    /// Offset minus that of the batch.
    offset_delta: i64,
    /// Timestamp minus that of the batch.
    timestamp_delta: i64,
    /// Key.
    key: Option<Range>,
    /// Value.
    value: Option<Range>,
    /// Headers.
    header_count: i64,
    /// First byte of the headers.
    headers_at: usize,
    /// Byte after the record.
    end: usize,
}

/// Reads one record and moves `at` behind it.
#[inline]
fn read_record(bytes: &[u8], at: &mut usize) -> Option<RawRecord> {
    let length = usize::try_from(read_varint(bytes, at)?).ok()?;
    let end = at.checked_add(length)?;
    let bytes = bytes.get(..end)?;
    // The attributes of a record are unused.
    *at += 1;
    let timestamp_delta = read_varint(bytes, at)?;
    let offset_delta = read_varint(bytes, at)?;
    let key = read_field(bytes, at).ok()?;
    let value = read_field(bytes, at).ok()?;
    let header_count = read_varint(bytes, at)?;
    let headers_at = *at;
    if header_count < 0 || (header_count == 0 && headers_at != end) {
        return None;
    }
    *at = end;
    Some(RawRecord {
        offset_delta,
        timestamp_delta,
        key,
        value,
        header_count,
        headers_at,
        end,
    })
}

/// Reads the headers of a record, which must fill it to its end.
fn read_headers(bytes: &[u8], record: &RawRecord) -> Option<Vec<(Range, Option<Range>)>> {
    let bytes = bytes.get(..record.end)?;
    let mut at = record.headers_at;
    let mut headers = Vec::new();
    for _ in 0..record.header_count {
        let key = read_field(bytes, &mut at).ok()??;
        let value = read_field(bytes, &mut at).ok()?;
        headers.push((key, value));
    }
    (at == record.end).then_some(headers)
}

/// Bytes that are not what the format asks for.
struct Damaged;

/// Reads an optional field.
#[inline]
fn read_field(bytes: &[u8], at: &mut usize) -> Result<Option<Range>, Damaged> {
    let length = read_varint(bytes, at).ok_or(Damaged)?;
    if length == -1 {
        return Ok(None);
    }
    let len = u32::try_from(length).map_err(|_| Damaged)?;
    let start = u32::try_from(*at).map_err(|_| Damaged)?;
    let end = *at + len as usize;
    if end > bytes.len() {
        return Err(Damaged);
    }
    *at = end;
    Ok(Some(Range { start, len }))
}

/// Reads a varint: one byte in nearly all cases.
#[inline]
fn read_varint(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let first = *bytes.get(*at)?;
    *at += 1;
    if first < 0x80 {
        return Some(unzigzag(u64::from(first)));
    }
    read_long_varint(bytes, at, u64::from(first & 0x7f))
}

/// Reads the bytes of a varint after the first.
fn read_long_varint(bytes: &[u8], at: &mut usize, first: u64) -> Option<i64> {
    let mut value = first;
    for shift in (7..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(unzigzag(value));
        }
    }
    None
}

/// The inverse of [`zigzag`].
fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}
