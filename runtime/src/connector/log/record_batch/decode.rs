//! Decoding the records of a batch to slices.
//!
//! Place in the flow: cursors and the cleaner decode out of the bytes they read. Invariant: no length taken from bytes is trusted
//! before it was compared with what is there.

use super::{HEADER_BYTES, Header, RECORD_BYTES_MIN};
use crate::connector::source::{Range, RawBatch};

/// Which records of a batch are wanted.
#[derive(Debug, Clone, Copy)]
pub(in crate::connector::log) struct Wanted {
    /// First offset.
    pub(in crate::connector::log) from: i64,
    /// Offset before which to end.
    pub(in crate::connector::log) until: i64,
    /// Records in the output at most.
    pub(in crate::connector::log) rows_max: usize,
}

/// Decodes the records of one verified batch, pausing wherever the caller has enough.
#[derive(Debug, Clone, Copy)]
pub(in crate::connector::log) struct RecordReader {
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
    pub(in crate::connector::log) fn new(header: Header, start: usize) -> Self {
        Self {
            header,
            at: start + HEADER_BYTES,
            end: start + header.bytes,
            left: header.records,
        }
    }

    /// Header of the batch.
    pub(in crate::connector::log) fn header(&self) -> &Header {
        &self.header
    }

    /// Whether every record was decoded.
    pub(in crate::connector::log) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Appends wanted records to `out`, whose buffer is `chunk`, and returns the offset to continue at.
    ///
    /// # Errors
    /// A reason when lengths inside the batch do not fit together.
    pub(in crate::connector::log) fn decode(
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

/// The inverse of `zigzag`.
fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}
