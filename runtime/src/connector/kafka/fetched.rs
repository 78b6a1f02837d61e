//! From the messages of a consume call to batches of one partition each.
//!
//! Place in the flow: [`super::source`] feeds it with what [`super::ffi::Consumer::consume`] shows and takes batches out.
//! Invariant: per partition, batches and ends come out in the order in which they went in.

use std::collections::VecDeque;

use bytes::Bytes;

use super::ffi::Record;
use crate::connector::source::{Range, RawBatch};

/// Bytes at which a batch is closed; far below what a [`Range`] can address, since one record may be as large as Kafka allows.
/// A guess, unmeasured.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Bytes that are kept ready for the next batch of a split, so that an idle one holds little. A guess, unmeasured.
const ROOM_BYTES_MAX: usize = 256 << 10;

/// Something a partition returned, in order.
#[derive(Debug)]
pub(super) enum Arrival {
    /// Records of one split.
    Batch(RawBatch),
    /// Everything readable of a split was read.
    EndOfPartition {
        /// Index of the split.
        split: usize,
        /// The next offset to read.
        position: i64,
    },
}

/// Groups records by split.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Closed batches and ends.
    closed: VecDeque<Arrival>,
    /// A batch under construction for each split.
    open: Vec<OpenBatch>,
    /// Splits with a batch under construction, in order of their first record.
    touched: Vec<usize>,
}

/// A batch under construction.
#[derive(Debug, Default)]
struct OpenBatch {
    /// Keys, values and headers back to back.
    buffer: Vec<u8>,
    /// The rest; its buffer stays empty until it is closed.
    batch: RawBatch,
}

impl Arrivals {
    /// Room for so many splits.
    pub(super) fn new(splits: usize) -> Self {
        Self {
            open: (0..splits).map(|_| OpenBatch::default()).collect(),
            ..Self::default()
        }
    }

    /// Takes a record of a split in.
    pub(super) fn record(&mut self, split: usize, record: &Record<'_>) {
        let open = &self.open[split];
        if open.batch.rows() > 0
            && (open.batch.timestamp_type != record.timestamp_type
                || open.buffer.len() >= BATCH_BYTES_MAX)
        {
            self.close(split);
        }
        let open = &mut self.open[split];
        if open.batch.rows() == 0 {
            open.batch.split = split;
            open.batch.timestamp_type = record.timestamp_type;
            self.touched.push(split);
        }
        open.push(record);
    }

    /// Takes the end of a partition in.
    pub(super) fn end(&mut self, split: usize, position: i64) {
        self.close(split);
        self.closed
            .push_back(Arrival::EndOfPartition { split, position });
    }

    /// Closes every batch under construction.
    pub(super) fn close_all(&mut self) {
        for split in std::mem::take(&mut self.touched) {
            self.close(split);
        }
    }

    /// Closes the batch of one split, if it has any records.
    fn close(&mut self, split: usize) {
        let open = &mut self.open[split];
        if open.batch.rows() == 0 {
            return;
        }
        let next = with_room(open.batch.rows());
        let mut batch = std::mem::replace(&mut open.batch, next);
        let room = open.buffer.len().min(ROOM_BYTES_MAX);
        batch.buffer = Bytes::from(std::mem::replace(
            &mut open.buffer,
            Vec::with_capacity(room),
        ));
        self.closed.push_back(Arrival::Batch(batch));
    }

    /// The next arrival; a batch of more than `rows_max` records is given out in parts.
    pub(super) fn pop(&mut self, rows_max: usize) -> Option<Arrival> {
        let first = self.closed.pop_front()?;
        if let Arrival::Batch(mut batch) = first {
            if batch.rows() > rows_max {
                let rest = split_off(&mut batch, rows_max.max(1));
                self.closed.push_front(Arrival::Batch(rest));
            }
            return Some(Arrival::Batch(batch));
        }
        Some(first)
    }
}

impl OpenBatch {
    /// Copies a record in.
    fn push(&mut self, record: &Record<'_>) {
        let key = record.key.map(|key| append(&mut self.buffer, key));
        let value = record.value.map(|value| append(&mut self.buffer, value));
        self.batch.keys.push(key);
        self.batch.values.push(value);
        self.batch.offsets.push(record.offset);
        self.batch.timestamps_ms.push(record.timestamp_ms);
        let row = self.batch.offsets.len() - 1;
        record.headers.visit(|name, value| {
            // Headers stay empty until a record has one, then every record has a place.
            self.batch.headers.resize_with(row + 1, Vec::new);
            let name = append(&mut self.buffer, name);
            let value = value.map(|value| append(&mut self.buffer, value));
            self.batch.headers[row].push((name, value));
        });
        if !self.batch.headers.is_empty() {
            self.batch.headers.resize_with(row + 1, Vec::new);
        }
    }
}

/// An empty batch with room for as many records as the last one had.
fn with_room(rows: usize) -> RawBatch {
    RawBatch {
        keys: Vec::with_capacity(rows),
        values: Vec::with_capacity(rows),
        offsets: Vec::with_capacity(rows),
        timestamps_ms: Vec::with_capacity(rows),
        ..RawBatch::default()
    }
}

/// Appends bytes and says where they are.
///
/// Both numbers fit: a batch is closed at [`BATCH_BYTES_MAX`], and librdkafka accepts no record above 1 GB.
fn append(buffer: &mut Vec<u8>, bytes: &[u8]) -> Range {
    let range = Range {
        start: u32::try_from(buffer.len()).unwrap_or(u32::MAX),
        len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
    };
    buffer.extend_from_slice(bytes);
    range
}

/// Cuts a batch after `rows` records and returns the rest.
pub(super) fn split_off(batch: &mut RawBatch, rows: usize) -> RawBatch {
    RawBatch {
        split: batch.split,
        buffer: batch.buffer.clone(),
        keys: batch.keys.split_off(rows),
        values: batch.values.split_off(rows),
        offsets: batch.offsets.split_off(rows),
        timestamps_ms: batch.timestamps_ms.split_off(rows),
        timestamp_type: batch.timestamp_type,
        headers: if batch.headers.is_empty() {
            Vec::new()
        } else {
            batch.headers.split_off(rows)
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::kafka::ffi::Headers;
    use crate::connector::source::TimestampType;

    /// A record without headers.
    fn record(offset: i64, value: &[u8], timestamp_type: TimestampType) -> Record<'_> {
        Record {
            partition: 0,
            offset,
            key: Some(b"k"),
            value: Some(value),
            timestamp_ms: offset * 10,
            timestamp_type,
            headers: Headers::none(),
        }
    }

    /// What comes out, as text.
    fn drain(arrivals: &mut Arrivals, rows_max: usize) -> Vec<String> {
        std::iter::from_fn(|| arrivals.pop(rows_max))
            .map(|arrival| match arrival {
                Arrival::Batch(batch) => {
                    let values: Vec<_> = (0..batch.rows())
                        .map(|row| {
                            assert_eq!(batch.key(row), Some(b"k".as_slice()));
                            assert_eq!(batch.timestamps_ms[row], batch.offsets[row] * 10);
                            String::from_utf8_lossy(batch.value(row).unwrap()).into_owned()
                        })
                        .collect();
                    format!("{}:{}", batch.split, values.join(","))
                }
                Arrival::EndOfPartition { split, position } => format!("{split}:end{position}"),
            })
            .collect()
    }

    #[test]
    fn records_are_grouped_by_split_and_keep_their_order() {
        let mut arrivals = Arrivals::new(2);
        let kind = TimestampType::CreateTime;
        arrivals.record(1, &record(0, b"a", kind));
        arrivals.record(0, &record(5, b"b", kind));
        arrivals.record(1, &record(1, b"c", kind));
        arrivals.end(1, 2);
        arrivals.record(1, &record(2, b"d", kind));
        arrivals.close_all();
        assert_eq!(drain(&mut arrivals, 10), ["1:a,c", "1:end2", "1:d", "0:b"]);
        arrivals.record(0, &record(6, b"e", kind));
        arrivals.close_all();
        assert_eq!(drain(&mut arrivals, 10), ["0:e"]);
    }

    #[test]
    fn another_timestamp_type_or_too_many_rows_make_another_batch() {
        let mut arrivals = Arrivals::new(1);
        arrivals.record(0, &record(0, b"a", TimestampType::CreateTime));
        arrivals.record(0, &record(1, b"b", TimestampType::LogAppendTime));
        arrivals.record(0, &record(2, b"c", TimestampType::LogAppendTime));
        arrivals.record(0, &record(3, b"d", TimestampType::LogAppendTime));
        arrivals.close_all();
        assert_eq!(drain(&mut arrivals, 2), ["0:a", "0:b,c", "0:d"]);
    }

    #[test]
    fn a_large_batch_is_closed_by_its_bytes() {
        let mut arrivals = Arrivals::new(1);
        let large = vec![b'x'; BATCH_BYTES_MAX];
        arrivals.record(0, &record(0, &large, TimestampType::CreateTime));
        arrivals.record(0, &record(1, b"b", TimestampType::CreateTime));
        arrivals.close_all();
        let rows: Vec<_> = std::iter::from_fn(|| arrivals.pop(10))
            .map(|arrival| match arrival {
                Arrival::Batch(batch) => batch.rows(),
                Arrival::EndOfPartition { .. } => 0,
            })
            .collect();
        assert_eq!(rows, [1, 1]);
    }
}
