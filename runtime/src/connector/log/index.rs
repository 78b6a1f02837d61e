//! Where the batches of a segment are, sparsely, and what their headers say in all.
//!
//! Place in the flow: appends and scans add batches, seeks ask. Invariant: entries ascend by offset and by position.

use super::record_batch::Header;
use super::transaction::TransactionId;

/// File bytes between two index entries: bounds what a seek walks through (guess, unmeasured).
const INDEX_INTERVAL_BYTES: u64 = 64 << 10;

/// Where batches are, sparsely.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// Ascending.
    pub(super) entries: Vec<Entry>,
    /// Highest timestamp of the segment.
    pub(super) max_timestamp_ms: Option<i64>,
    /// When the cleaner has something to forget first.
    pub(super) delete_horizon_ms: Option<i64>,
    /// The lowest transaction of earlier processes.
    pub(super) lowest_transaction: Option<TransactionId>,
    /// The highest one.
    pub(super) newest_transaction: Option<TransactionId>,
}

/// One known batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Offset of its first record.
    pub(super) offset: i64,
    /// Its first byte.
    pub(super) position: u64,
    /// Highest timestamp of everything before it in the segment.
    pub(super) max_before_ms: Option<i64>,
}

impl Index {
    /// Notes a batch that follows the ones noted before.
    pub(super) fn add(&mut self, offset: i64, position: u64, max_timestamp_ms: i64) {
        let due = self
            .entries
            .last()
            .is_none_or(|last| position >= last.position + INDEX_INTERVAL_BYTES);
        if due {
            self.push(offset, position);
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(Some(max_timestamp_ms));
    }

    /// Notes what only batches that were read from a file have.
    pub(super) fn add_header(&mut self, header: &Header, position: u64) {
        self.add(header.base_offset, position, header.max_timestamp_ms);
        let horizons = [self.delete_horizon_ms, header.delete_horizon_ms()];
        self.delete_horizon_ms = horizons.into_iter().flatten().min();
        let lowest = [self.lowest_transaction, header.transaction];
        self.lowest_transaction = lowest.into_iter().flatten().min();
        self.newest_transaction = self.newest_transaction.max(header.transaction);
    }

    /// Adds an entry for the batch at `position`.
    pub(super) fn push(&mut self, offset: i64, position: u64) {
        self.entries.push(Entry {
            offset,
            position,
            max_before_ms: self.max_timestamp_ms,
        });
    }
}
