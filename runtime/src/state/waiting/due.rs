//! Rows that are handed out.
//!
//! Place in the flow: what [`super::WaitingRows::due`] fills. Invariant: the rows of a key and a time are in the order in which they came;
//! what a call hands out of a key comes before what the next one does, and who works on it sorts it by key and time.

use xxhash_rust::xxh3::xxh3_64;

use crate::state::EncodedKeys;
use crate::state::waiting::lists::Row;
use crate::time::EpochMillis;

/// Rows that are due.
#[derive(Debug, Default)]
pub struct DueRows {
    /// The key of each row, with its hash.
    pub keys: EncodedKeys,
    /// The time of each row.
    pub times_ms: Vec<EpochMillis>,
    /// The rows; they have no hashes.
    pub rows: EncodedKeys,
}

impl DueRows {
    /// Rows.
    pub fn len(&self) -> usize {
        self.times_ms.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times_ms.is_empty()
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        for keys in [&mut self.keys, &mut self.rows] {
            keys.bytes.clear();
            keys.ends.clear();
            keys.hashes.clear();
        }
        self.times_ms.clear();
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: Row<'_>) {
        self.times_ms.push(row.time_ms);
        self.keys.bytes.extend_from_slice(row.key);
        self.keys.ends.push(self.keys.bytes.len());
        self.keys.hashes.push(xxh3_64(row.key));
        self.rows.bytes.extend_from_slice(row.bytes);
        self.rows.ends.push(self.rows.bytes.len());
    }
}
