//! Encoding what a cleaner keeps: records with holes between their offsets.
//!
//! Place in the flow: the cleaner pushes the records that stay, ascending, and says how far they go. Invariant: the batches cover every
//! offset from the start to the end without a hole, also where no record stays, so that a missing batch is still found.

use super::encode::{BATCH_BYTES_TARGET, OpenBatch, Record, Seal};
use super::{ABSENT_ID, DELETE_HORIZON};

/// Most offsets of one batch: the last delta has 31 bits.
const BATCH_OFFSETS_MAX: i64 = 1 << 31;

/// Encodes compacted batches into one buffer, which the caller empties between records.
#[derive(Debug)]
pub(in crate::connector::log) struct CompactEncoder {
    /// Whole batches, and the open one.
    pub(in crate::connector::log) buffer: Vec<u8>,
    /// The batch that still takes records.
    open: Option<Open>,
    /// First offset that no batch covers.
    next_offset: i64,
}

/// A batch that still takes records.
#[derive(Debug)]
struct Open {
    /// The batch.
    batch: OpenBatch,
    /// When its deletes are forgotten.
    delete_horizon_ms: Option<i64>,
    /// Offset of its last record.
    last_offset: i64,
}

impl CompactEncoder {
    /// An encoder whose first batch starts at `base_offset`.
    pub(in crate::connector::log) fn new(base_offset: i64) -> Self {
        Self {
            buffer: Vec::new(),
            open: None,
            next_offset: base_offset,
        }
    }

    /// Adds a record that stays; `delete_horizon_ms` is given for deletes.
    pub(in crate::connector::log) fn push(
        &mut self,
        offset: i64,
        record: &Record<'_>,
        delete_horizon_ms: Option<i64>,
    ) {
        let fits = |open: &Open| {
            let bytes = self.buffer.len() - open.batch.start + record.payload_bytes();
            bytes <= BATCH_BYTES_TARGET
                && (delete_horizon_ms.is_none() || delete_horizon_ms == open.delete_horizon_ms)
                && offset - open.batch.base_offset < BATCH_OFFSETS_MAX
        };
        if self.open.as_ref().is_some_and(|open| !fits(open)) {
            self.close();
        }
        while self.open.is_none() && offset - self.next_offset >= BATCH_OFFSETS_MAX {
            self.cover(self.next_offset + BATCH_OFFSETS_MAX);
        }
        let open = self.open.get_or_insert_with(|| Open {
            batch: OpenBatch::start(
                &mut self.buffer,
                self.next_offset,
                delete_horizon_ms.unwrap_or(record.timestamp_ms),
            ),
            delete_horizon_ms,
            last_offset: offset,
        });
        let delta = offset - open.batch.base_offset;
        open.batch.push(record, delta, &mut self.buffer);
        open.last_offset = offset;
    }

    /// Bytes of whole batches, which may be written and drained.
    pub(in crate::connector::log) fn whole_bytes(&self) -> usize {
        self.open
            .as_ref()
            .map_or(self.buffer.len(), |open| open.batch.start)
    }

    /// Takes the whole batches out, which leaves room.
    pub(in crate::connector::log) fn drain_whole(&mut self) {
        let bytes = self.whole_bytes();
        self.buffer.drain(..bytes);
        if let Some(open) = &mut self.open {
            open.batch.start -= bytes;
        }
    }

    /// Ends with batches that cover everything before `end_offset`.
    pub(in crate::connector::log) fn finish(&mut self, end_offset: i64) {
        self.close();
        while self.next_offset < end_offset {
            self.cover(end_offset.min(self.next_offset + BATCH_OFFSETS_MAX));
        }
    }

    /// Ends the open batch at its last record.
    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.seal(&open.batch, open.last_offset, open.delete_horizon_ms);
        }
    }

    /// Writes a batch without records that goes up to an offset.
    fn cover(&mut self, end_offset: i64) {
        let batch = OpenBatch::start(&mut self.buffer, self.next_offset, 0);
        self.seal(&batch, end_offset - 1, None);
    }

    /// Writes a header.
    fn seal(&mut self, batch: &OpenBatch, last_offset: i64, delete_horizon_ms: Option<i64>) {
        let seal = Seal {
            last_offset_delta: i32::try_from(last_offset - batch.base_offset)
                .expect("a batch covers at most 2^31 offsets"),
            attributes: delete_horizon_ms.map_or(0, |_| DELETE_HORIZON),
            producer_id: ABSENT_ID,
        };
        batch.seal(&mut self.buffer, seal);
        self.next_offset = last_offset + 1;
    }
}
