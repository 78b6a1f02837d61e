//! Rows by partition, in the order in which they are matched.
//!
//! Place in the flow: made of a batch, or of rows that are due. Invariant: the rows of a partition are in the order of ORDER BY, those that
//! are equal in the order in which they came; timers stand before the rows of their time.

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::order::grouped::Grouped;
use crate::state::{DueRows, EncodedKeys, KeyCodec, SortCodec};
use crate::time::EpochMillis;

/// A row or a timer of a partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Its time.
    pub(super) time_ms: EpochMillis,
    /// The row; absent for a timer.
    pub(super) row: Option<u32>,
}

/// Rows by partition.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// The partitions.
    pub(super) keys: EncodedKeys,
    /// Rows and timers by partition.
    pub(super) entries: Vec<Entry>,
    /// For each partition the entry that is next.
    pub(super) next: Vec<usize>,
    /// For each partition where its entries end.
    pub(super) ends: Vec<usize>,
}

impl Work {
    /// The rows of a batch, in the order in which they came.
    pub(super) fn of_batch(keys: &EncodedKeys, time_ms: EpochMillis) -> Self {
        let mut grouped = Grouped::default();
        grouped.group(keys);
        let mut work = Self::default();
        for number in 0..grouped.len() {
            let rows = grouped.rows(number);
            let entries = rows.iter().map(|row| Entry {
                time_ms,
                row: Some(*row),
            });
            let first = rows.first().map_or(0, |row| *row as usize);
            work.add(keys, first, entries);
        }
        work
    }

    /// Rows and timers that are due, and the rows; those of one partition and time are sorted by `sort`.
    ///
    /// # Errors
    /// `Corrupt` when a row is not of the codec.
    pub(super) fn of_due(
        due: &DueRows,
        codec: &KeyCodec,
        sort: Option<&SortCodec>,
    ) -> Result<(Self, Batch)> {
        let is_row = |place: &usize| !due.rows.key(*place).is_empty();
        let encoded = (0..due.len())
            .filter(is_row)
            .map(|place| due.rows.key(place));
        let rows = encoded.clone().count();
        let batch = Batch::inserts(codec.decode(encoded)?, rows);
        let sorts = match sort {
            Some(sort) => Some(sort.encode(&batch.columns, rows)?),
            None => None,
        };
        let mut next = 0_u32;
        let numbers: Vec<Option<u32>> = (0..due.len())
            .map(|place| {
                is_row(&place).then(|| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        let mut grouped = Grouped::default();
        grouped.group(&due.keys);
        let mut work = Self::default();
        for number in 0..grouped.len() {
            let places = grouped.rows(number).iter().map(|place| *place as usize);
            let first = places.clone().next().unwrap_or(0);
            let entries = places.map(|place| Entry {
                time_ms: due.times_ms[place],
                row: numbers[place],
            });
            let start = work.entries.len();
            work.add(&due.keys, first, entries);
            let sort_of = |entry: &Entry| {
                let row = entry.row?;
                Some(sorts.as_ref().map(|sorts| sorts.key(row as usize)))
            };
            let entries = &mut work.entries[start..];
            entries.sort_by(|left, right| {
                let (left, right) = (
                    (left.time_ms, sort_of(left)),
                    (right.time_ms, sort_of(right)),
                );
                left.cmp(&right)
            });
        }
        Ok((work, batch))
    }

    /// Adds a partition.
    fn add(&mut self, keys: &EncodedKeys, key: usize, entries: impl Iterator<Item = Entry>) {
        self.keys.bytes.extend_from_slice(keys.key(key));
        self.keys.ends.push(self.keys.bytes.len());
        self.keys.hashes.push(keys.hashes[key]);
        self.next.push(self.entries.len());
        self.entries.extend(entries);
        self.ends.push(self.entries.len());
    }

    /// The next row or timer of a partition, which is done with.
    pub(super) fn take(&mut self, key: usize) -> Option<Entry> {
        let next = self.next[key];
        if next == self.ends[key] {
            return None;
        }
        self.next[key] = next + 1;
        Some(self.entries[next])
    }

    /// Whether a partition has rows or timers left.
    pub(super) fn is_left(&self, key: usize) -> bool {
        self.next[key] < self.ends[key]
    }
}
