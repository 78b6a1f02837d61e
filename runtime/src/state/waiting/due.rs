//! Rows that are handed out.
//!
//! Place in the flow: what [`super::WaitingRows::due`] fills. Invariant: the rows of a run are in the order of their times, those of one
//! time in the order in which they came.

use crate::state::EncodedKeys;
use crate::state::waiting::lists::Row;
use crate::time::EpochMillis;

/// Which share of the rows of one key that are due may go past the limit, so that taking them out in turns does not cost the square of
/// their number (guess).
pub(super) const TURNS_PER_KEY: usize = 8;

/// Rows that are due, in runs of one key each.
#[derive(Debug, Default)]
pub struct DueRows {
    /// The key of each run, with its hash. A key may have several runs, one behind the other in time.
    pub keys: EncodedKeys,
    /// Where each run ends.
    pub run_ends: Vec<usize>,
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
        self.run_ends.clear();
        self.times_ms.clear();
    }

    /// Adds a row to the run that is not ended.
    pub(super) fn push(&mut self, row: Row<'_>) {
        self.times_ms.push(row.time_ms);
        self.rows.bytes.extend_from_slice(row.bytes);
        self.rows.ends.push(self.rows.bytes.len());
    }

    /// Rows of runs that are ended.
    pub(super) fn ended(&self) -> usize {
        self.run_ends.last().copied().unwrap_or_default()
    }

    /// A row.
    fn row(&self, place: usize) -> Row<'_> {
        Row {
            time_ms: self.times_ms[place],
            bytes: self.rows.key(place),
        }
    }

    /// Ends the run of a key, if it has rows: puts them in order, and gives back those past `limit`.
    pub(super) fn end_run(&mut self, (key, hash): (&[u8], u64), limit: usize, kept: &mut Kept) {
        let start = self.ended();
        if start == self.len() {
            return;
        }
        let limit = limit.max((self.len() - start) / TURNS_PER_KEY).max(1);
        if !self.times_ms[start..].is_sorted() || self.len() - start > limit {
            let mut places: Vec<usize> = (start..self.len()).collect();
            places.sort_by_key(|place| self.times_ms[*place]);
            let mut sorted = Kept::default();
            for place in &places[limit.min(places.len())..] {
                sorted.push(self.row(*place));
            }
            // Those that are not due follow them.
            kept.rows().for_each(|row| sorted.push(row));
            std::mem::swap(kept, &mut sorted);
            sorted.clear();
            places.truncate(limit);
            for place in &places {
                sorted.push(self.row(*place));
            }
            self.times_ms.truncate(start);
            self.rows.ends.truncate(start);
            let bytes = self.rows.ends.last().copied().unwrap_or_default();
            self.rows.bytes.truncate(bytes);
            sorted.rows().for_each(|row| self.push(row));
        }
        self.keys.bytes.extend_from_slice(key);
        self.keys.ends.push(self.keys.bytes.len());
        self.keys.hashes.push(hash);
        self.run_ends.push(self.len());
    }
}

/// Rows on their way.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Rows back to back.
    bytes: Vec<u8>,
    /// Time and end of each row.
    pub(super) ends: Vec<(i64, usize)>,
}

impl Kept {
    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: Row<'_>) {
        self.bytes.extend_from_slice(row.bytes);
        self.ends.push((row.time_ms, self.bytes.len()));
    }

    /// The rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |(time_ms, end)| {
            let bytes = &self.bytes[start..*end];
            start = *end;
            Row {
                time_ms: *time_ms,
                bytes,
            }
        })
    }
}
