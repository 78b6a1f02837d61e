//! One segment file: its committed size and its index, which is rebuilt by a scan when it is needed.
//!
//! Place in the flow: a partition is a list of segments; cursors read inside one. Invariant: bytes before the committed size
//! were written whole, and no reader looks behind it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::files::{lock, storage};
use super::index::Index;
use super::record_batch::EncodedHeader;
use super::scan::{Checks, scan};
use super::segment_name::SegmentName;
use super::transaction::TransactionId;
use crate::error::{Error, Result};

/// A segment file. Files are opened when they are used, so that thousands of idle partitions need no descriptors.
#[derive(Debug)]
pub(super) struct Segment {
    /// Offset of its first record.
    pub(super) base_offset: i64,
    /// The file.
    pub(super) path: PathBuf,
    /// How often its records were compacted at most.
    pub(super) round: u32,
    /// Bytes that readers may see.
    size: AtomicU64,
    /// Whether bytes were written since the last fsync.
    dirty: AtomicBool,
    /// Absent until needed for segments that are no longer written.
    index: Mutex<Option<Index>>,
}

impl Segment {
    /// A new, empty segment; creates the file.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn create(dir: &Path, base_offset: i64) -> Result<Self> {
        let name = SegmentName::plain(base_offset);
        let path = dir.join(name.text());
        File::create(&path).map_err(|error| storage("create", &path, &error))?;
        Ok(Self::with_index(name, path, 0, Some(Index::default())))
    }

    /// A segment that is no longer written: read lazily.
    pub(super) fn closed(name: SegmentName, dir: &Path, size: u64) -> Self {
        Self::with_index(name, dir.join(name.text()), size, None)
    }

    /// Opens the segment that is written next: checks every batch and cuts a torn tail off.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn recover(name: SegmentName, dir: &Path, size: u64) -> Result<Recovered> {
        let path = dir.join(name.text());
        let scan = scan(&path, name.base_offset, size, Checks::Checksums)?;
        if scan.valid_bytes < size {
            tracing::warn!(
                file = %path.display(),
                position = scan.valid_bytes,
                dropped_bytes = size - scan.valid_bytes,
                reason = scan.reason.unwrap_or_default(),
                "dropped a torn tail of the log"
            );
            File::options()
                .write(true)
                .open(&path)
                .and_then(|file| {
                    file.set_len(scan.valid_bytes)?;
                    file.sync_all()
                })
                .map_err(|error| storage("truncate", &path, &error))?;
        }
        let newest_transaction = scan.index.newest_transaction;
        Ok(Recovered {
            segment: Self::with_index(name, path, scan.valid_bytes, Some(scan.index)),
            next_offset: scan.next_offset,
            newest_transaction,
        })
    }

    /// Puts the parts together.
    fn with_index(name: SegmentName, path: PathBuf, size: u64, index: Option<Index>) -> Self {
        Self {
            base_offset: name.base_offset,
            path,
            round: name.round(),
            size: AtomicU64::new(size),
            dirty: AtomicBool::new(false),
            index: Mutex::new(index),
        }
    }

    /// Bytes that readers may see.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Publishes batches that were written at the end of the file.
    pub(super) fn commit(&self, batches: &[EncodedHeader], bytes: usize) {
        let size = self.size();
        let mut index = lock(&self.index);
        let index = index.get_or_insert_default();
        for batch in batches {
            index.add(
                batch.base_offset,
                size + batch.start as u64,
                batch.max_timestamp_ms,
            );
        }
        self.size.store(size + bytes as u64, Ordering::Release);
    }

    /// Marks written bytes as not yet synced; true when they were all synced before.
    pub(super) fn mark_dirty(&self) -> bool {
        !self.dirty.swap(true, Ordering::AcqRel)
    }

    /// Makes everything written durable, if anything is not.
    ///
    /// # Errors
    /// `Storage` naming the file; the segment then stays dirty.
    pub(super) fn sync(&self) -> Result<()> {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let synced = File::open(&self.path).and_then(|file| file.sync_data());
        match synced {
            // The topic or the segment was deleted: nothing is left to keep.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                self.dirty.store(true, Ordering::Release);
                Err(storage("sync", &self.path, &error))
            }
            Ok(()) => Ok(()),
        }
    }

    /// The place to start looking for an offset: a batch at or before it, with its own offset.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn seek(&self, offset: i64) -> Result<(i64, u64)> {
        self.indexed(|index| {
            let after = index
                .entries
                .partition_point(|entry| entry.offset <= offset);
            after.checked_sub(1).map_or((self.base_offset, 0), |i| {
                (index.entries[i].offset, index.entries[i].position)
            })
        })
    }

    /// An offset at or before the first record at or after `timestamp_ms`; absent when the segment has none.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn seek_timestamp(&self, timestamp_ms: i64) -> Result<Option<i64>> {
        self.indexed(|index| {
            if index.max_timestamp_ms.is_none_or(|max| max < timestamp_ms) {
                return None;
            }
            let after = index
                .entries
                .partition_point(|entry| entry.max_before_ms.is_none_or(|max| max < timestamp_ms));
            let entry = after.checked_sub(1).map(|i| index.entries[i].offset);
            Some(entry.unwrap_or(self.base_offset))
        })
    }

    /// The highest timestamp; absent when the segment is empty.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn max_timestamp_ms(&self) -> Result<Option<i64>> {
        self.indexed(|index| index.max_timestamp_ms)
    }

    /// When deletes in the segment may first be forgotten; absent when it has none that were compacted.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn delete_horizon_ms(&self) -> Result<Option<i64>> {
        self.indexed(|index| index.delete_horizon_ms)
    }

    /// The lowest transaction in the segment, of those of earlier processes.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn lowest_transaction(&self) -> Result<Option<TransactionId>> {
        self.indexed(|index| index.lowest_transaction)
    }

    /// Asks the index, after reading the batch headers of the file if that has not happened yet.
    fn indexed<T>(&self, ask: impl FnOnce(&Index) -> T) -> Result<T> {
        let mut index = lock(&self.index);
        if index.is_none() {
            let scan = scan(&self.path, self.base_offset, self.size(), Checks::Headers)?;
            *index = Some(scan.index);
        }
        Ok(ask(index.get_or_insert_default()))
    }

    /// An error that names file and place.
    pub(super) fn corrupt(&self, position: u64, reason: &str) -> Error {
        corrupt(&self.path, position, reason)
    }
}

/// A segment that was checked and is written next.
#[derive(Debug)]
pub(super) struct Recovered {
    /// The segment.
    pub(super) segment: Segment,
    /// Offset after its last record.
    pub(super) next_offset: i64,
    /// The highest transaction in it.
    pub(super) newest_transaction: Option<TransactionId>,
}

/// An error that names file and place.
fn corrupt(path: &Path, position: u64, reason: &str) -> Error {
    Error::corrupt(format!(
        "log segment \"{}\" is damaged at byte {position}: {reason}",
        path.display()
    ))
}
