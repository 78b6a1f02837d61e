//! One segment file: its committed size and its index, which is rebuilt by a scan when it is needed.
//!
//! Place in the flow: a partition is a list of segments; cursors read inside one. Invariant: bytes before the committed size
//! were written whole, and no reader looks behind it.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::files::{lock, storage};
use super::index::Index;
use super::record_batch::EncodedHeader;
use super::scan::{Bounds, Checks, scan};
use super::segment_name::SegmentName;
use super::transaction::TransactionId;
use crate::error::{Error, Result};

/// What is known of the fsyncs of a segment.
#[derive(Debug, Default)]
struct SyncState {
    /// The first failure: the operating system may have dropped what it could not write, and then says so only once.
    failed: Option<Error>,
    /// Runs in the place of the fsync.
    #[cfg(test)]
    hook: Option<SyncHook>,
}

impl SyncState {
    /// The fsync itself.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests put a hook in its place")]
    fn fsync(&self, file: &File) -> std::io::Result<()> {
        file.sync_data()
    }

    /// The fsync itself, or what a test has in its place.
    #[cfg(test)]
    fn fsync(&self, file: &File) -> std::io::Result<()> {
        self.hook
            .map_or_else(|| file.sync_data(), |SyncHook(hook)| hook())
    }
}

/// What a test has happen in the place of an fsync.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
struct SyncHook(fn() -> std::io::Result<()>);

/// A segment file. Files are opened when they are used, so that thousands of idle partitions need no descriptors.
#[derive(Debug)]
pub(super) struct Segment {
    /// Offset of its first record.
    pub(super) base_offset: i64,
    /// Offset after its last record, where that was known when it was opened.
    end_offset: Option<i64>,
    /// The file.
    pub(super) path: PathBuf,
    /// How often its records were compacted at most.
    pub(super) round: u32,
    /// Bytes that readers may see.
    size: AtomicU64,
    /// Whether bytes were written since the last fsync.
    dirty: AtomicBool,
    /// Held across an fsync, so that whoever needs the bytes waits for one under way.
    sync: Mutex<SyncState>,
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

    /// A segment that is no longer written and ends before `end_offset`: read lazily.
    pub(super) fn closed(name: SegmentName, end_offset: i64, dir: &Path, size: u64) -> Self {
        Self {
            end_offset: Some(end_offset),
            ..Self::with_index(name, dir.join(name.text()), size, None)
        }
    }

    /// Opens the segment that is written next: checks every batch and cuts a torn tail off.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn recover(name: SegmentName, dir: &Path, size: u64) -> Result<Recovered> {
        let path = dir.join(name.text());
        let bounds = Bounds {
            base_offset: name.base_offset,
            end_offset: None,
            size,
        };
        let scan = scan(&path, bounds, Checks::Checksums)?;
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
            end_offset: None,
            path,
            round: name.round(),
            size: AtomicU64::new(size),
            dirty: AtomicBool::new(false),
            sync: Mutex::default(),
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

    /// Makes everything written durable, if anything is not; waits for a sync under way.
    ///
    /// # Errors
    /// `Storage` naming the file. After a failed fsync every later call fails, until the log is opened again.
    pub(super) fn sync(&self) -> Result<()> {
        let state = lock(&self.sync);
        if state.failed.is_none() && !self.dirty.load(Ordering::Acquire) {
            return Ok(());
        }
        self.sync_holding(state)
    }

    /// As [`Segment::sync`], also when nothing was written in this process: an earlier one may have left unsynced bytes.
    ///
    /// # Errors
    /// As [`Segment::sync`].
    pub(super) fn sync_always(&self) -> Result<()> {
        self.sync_holding(lock(&self.sync))
    }

    /// Syncs while nobody else does.
    fn sync_holding(&self, mut state: MutexGuard<'_, SyncState>) -> Result<()> {
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let file = match File::open(&self.path) {
            Ok(file) => file,
            // The topic or the segment was deleted: nothing is left to keep.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.dirty.store(false, Ordering::Release);
                return Ok(());
            }
            // Nothing was tried yet, so it can be tried again.
            Err(error) => return Err(storage("open", &self.path, &error)),
        };
        // Before the fsync, since bytes that are written meanwhile may not be part of it.
        self.dirty.store(false, Ordering::Release);
        state.fsync(&file).map_err(|error| {
            let error = storage("sync", &self.path, &error);
            state.failed = Some(error.clone());
            error
        })
    }

    /// Has a test's function run in the place of the fsync.
    #[cfg(test)]
    pub(super) fn set_sync_hook(&self, hook: fn() -> std::io::Result<()>) {
        lock(&self.sync).hook = Some(SyncHook(hook));
    }

    /// Whether a failed fsync is final.
    pub(super) fn is_poisoned(&self) -> bool {
        lock(&self.sync).failed.is_some()
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
            let bounds = Bounds {
                base_offset: self.base_offset,
                end_offset: self.end_offset,
                size: self.size(),
            };
            let scan = scan(&self.path, bounds, Checks::Headers)?;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use super::*;
    use crate::error::Code;

    #[test]
    fn a_flush_waits_for_a_sync_under_way() {
        static STEP: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::TempDir::new().unwrap();
        let segment = Arc::new(Segment::create(dir.path(), 0).unwrap());
        segment.set_sync_hook(|| {
            STEP.store(1, Ordering::SeqCst);
            // Longer than the other thread needs to pass by.
            std::thread::park_timeout(Duration::from_millis(300));
            STEP.store(2, Ordering::SeqCst);
            Ok(())
        });
        assert!(segment.mark_dirty());
        let of_thread = Arc::clone(&segment);
        let flusher = std::thread::spawn(move || of_thread.sync());
        while STEP.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        segment.sync().unwrap();
        assert_eq!(STEP.load(Ordering::SeqCst), 2);
        flusher.join().unwrap().unwrap();
    }

    #[test]
    fn a_failed_fsync_is_final_and_names_the_file() {
        let dir = tempfile::TempDir::new().unwrap();
        let segment = Segment::create(dir.path(), 0).unwrap();
        segment.set_sync_hook(|| Err(ErrorKind::Other.into()));
        assert!(segment.mark_dirty());
        assert_eq!(segment.sync().unwrap_err().code, Code::Storage);
        // What Linux does: the second fsync has nothing to report.
        segment.set_sync_hook(|| Ok(()));
        let error = segment.sync().unwrap_err();
        assert_eq!(error.code, Code::Storage);
        assert!(
            error.message.contains("00000000000000000000.log"),
            "{error}"
        );
        assert!(segment.is_poisoned());
    }
}
