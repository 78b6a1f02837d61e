//! One segment file: its committed size, its sparse index, and the scan that rebuilds the index.
//!
//! Place in the flow: a partition is a list of segments; cursors read inside one. Invariant: bytes before the committed size
//! were written whole, and no reader looks behind it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::files::{lock, read_at, storage};
use super::record_batch::{EncodedHeader, HEADER_BYTES, Header};
use crate::error::{Error, Result};

/// File bytes between two index entries: bounds what a seek walks through (guess, unmeasured).
const INDEX_INTERVAL_BYTES: u64 = 64 << 10;
/// File bytes read at once by a scan (guess, unmeasured).
const SCAN_CHUNK_BYTES: usize = 256 << 10;

/// A segment file. Files are opened when they are used, so that thousands of idle partitions need no descriptors.
#[derive(Debug)]
pub(super) struct Segment {
    /// Offset of its first record.
    pub(super) base_offset: i64,
    /// The file.
    pub(super) path: PathBuf,
    /// Bytes that readers may see.
    size: AtomicU64,
    /// Whether bytes were written since the last fsync.
    dirty: AtomicBool,
    /// Absent until needed for segments that are no longer written.
    index: Mutex<Option<Index>>,
}

/// Where batches are, sparsely.
#[derive(Debug, Clone, Default)]
struct Index {
    /// Ascending.
    entries: Vec<Entry>,
    /// Highest timestamp of the segment.
    max_timestamp_ms: Option<i64>,
}

/// One known batch.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Offset of its first record.
    offset: i64,
    /// Its first byte.
    position: u64,
    /// Highest timestamp of everything before it in the segment.
    max_before_ms: Option<i64>,
}

impl Index {
    /// Notes a batch that follows the ones noted before.
    fn add(&mut self, offset: i64, position: u64, max_timestamp_ms: i64) {
        let due = self
            .entries
            .last()
            .is_none_or(|last| position >= last.position + INDEX_INTERVAL_BYTES);
        if due {
            self.push(offset, position);
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(Some(max_timestamp_ms));
    }

    /// Adds an entry for the batch at `position`.
    fn push(&mut self, offset: i64, position: u64) {
        self.entries.push(Entry {
            offset,
            position,
            max_before_ms: self.max_timestamp_ms,
        });
    }
}

/// The name of a segment file: 20 digits, as Kafka's.
pub(super) fn file_name(base_offset: i64) -> String {
    format!("{base_offset:020}.log")
}

/// The base offset in a segment's file name, if it is one.
pub(super) fn base_offset_of(path: &Path) -> Option<i64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".log")?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

impl Segment {
    /// A new, empty segment; creates the file.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn create(dir: &Path, base_offset: i64) -> Result<Self> {
        let path = dir.join(file_name(base_offset));
        File::create(&path).map_err(|error| storage("create", &path, &error))?;
        Ok(Self::with_index(
            base_offset,
            path,
            0,
            Some(Index::default()),
        ))
    }

    /// A segment that is no longer written: read lazily.
    pub(super) fn closed(base_offset: i64, path: PathBuf, size: u64) -> Self {
        Self::with_index(base_offset, path, size, None)
    }

    /// Opens the segment that is written next: checks every batch and cuts a torn tail off. Returns the next offset too.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn recover(base_offset: i64, path: PathBuf, size: u64) -> Result<(Self, i64)> {
        let scan = scan(&path, base_offset, size, Checks::Checksums)?;
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
        let segment = Self::with_index(base_offset, path, scan.valid_bytes, Some(scan.index));
        Ok((segment, scan.next_offset))
    }

    /// Puts the parts together.
    fn with_index(base_offset: i64, path: PathBuf, size: u64, index: Option<Index>) -> Self {
        Self {
            base_offset,
            path,
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

/// An error that names file and place.
fn corrupt(path: &Path, position: u64, reason: &str) -> Error {
    Error::corrupt(format!(
        "log segment \"{}\" is damaged at byte {position}: {reason}",
        path.display()
    ))
}

/// How much a scan checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checks {
    /// Batch headers; records are checked when they are read.
    Headers,
    /// Checksums too.
    Checksums,
}

/// What a scan found.
#[derive(Debug)]
struct Scan {
    /// The index.
    index: Index,
    /// Offset after the last good batch.
    next_offset: i64,
    /// Bytes up to the end of the last good batch.
    valid_bytes: u64,
    /// Why the bytes after it are not good, if there are any.
    reason: Option<&'static str>,
}

/// Walks through the batches of a segment.
///
/// Damage with good batches behind it is kept and skipped, so that reading it is an error and reading behind it is not;
/// damage with nothing good behind it is a tail that was torn by a crash.
fn scan(path: &Path, base_offset: i64, size: u64, checks: Checks) -> Result<Scan> {
    let file = File::open(path).map_err(|error| storage("open", path, &error))?;
    let mut window = Window {
        file,
        path,
        size,
        start: 0,
        bytes: Vec::new(),
    };
    let mut scan = Scan {
        index: Index::default(),
        next_offset: base_offset,
        valid_bytes: 0,
        reason: None,
    };
    while scan.valid_bytes < size {
        let position = scan.valid_bytes;
        let header = match window.batch(position, checks)? {
            Ok(header) if header.base_offset == scan.next_offset => header,
            other => {
                let reason = other.err().unwrap_or("the offsets do not continue");
                let Some((found, header)) = window.resync(position, scan.next_offset)? else {
                    scan.reason = Some(reason);
                    break;
                };
                tracing::warn!(
                    file = %path.display(),
                    position,
                    until = found,
                    reason,
                    "a part of the log is damaged; reading its offsets fails"
                );
                scan.valid_bytes = found;
                scan.index.push(header.base_offset, found);
                header
            }
        };
        scan.index.add(
            header.base_offset,
            scan.valid_bytes,
            header.max_timestamp_ms,
        );
        scan.valid_bytes += header.bytes as u64;
        scan.next_offset = header.next_offset;
    }
    Ok(scan)
}

/// A moving part of a file in memory.
struct Window<'a> {
    /// The file.
    file: File,
    /// Its path, for errors.
    path: &'a Path,
    /// Bytes of the file.
    size: u64,
    /// File position of the first byte held.
    start: u64,
    /// Bytes held.
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The bytes at `position`: `len` of them, or fewer at the end of the file.
    fn get(&mut self, position: u64, len: usize) -> Result<&[u8]> {
        let len = len.min(saturating_usize(self.size.saturating_sub(position)));
        let held_until = self.start + self.bytes.len() as u64;
        if position < self.start || position + len as u64 > held_until {
            let left = saturating_usize(self.size - position);
            self.bytes.clear();
            self.start = position;
            read_at(
                &self.file,
                position,
                len.max(SCAN_CHUNK_BYTES).min(left),
                &mut self.bytes,
            )
            .map_err(|error| storage("read", self.path, &error))?;
        }
        let from = saturating_usize(position - self.start);
        let until = (from + len).min(self.bytes.len());
        Ok(&self.bytes[from..until])
    }

    /// The header of the batch at `position`, or the reason why there is none.
    fn batch(&mut self, position: u64, checks: Checks) -> Result<Result<Header, &'static str>> {
        let header = match Header::parse(self.get(position, HEADER_BYTES)?) {
            Ok(header) => header,
            Err(reason) => return Ok(Err(reason)),
        };
        if position + header.bytes as u64 > self.size {
            return Ok(Err("the batch is cut off"));
        }
        if checks == Checks::Headers {
            return Ok(Ok(header));
        }
        let verified = header.verify(self.get(position, header.bytes)?);
        Ok(verified.map(|()| header))
    }

    /// The first good batch behind a damaged place: whole, with a matching checksum and a later offset.
    fn resync(&mut self, damaged: u64, expected: i64) -> Result<Option<(u64, Header)>> {
        let rest = saturating_usize(self.size - damaged);
        let bytes = self.get(damaged, rest)?;
        let candidates = 1..bytes.len().saturating_sub(HEADER_BYTES - 1);
        Ok(candidates
            .filter_map(|at| Some((at, Header::parse(&bytes[at..]).ok()?)))
            .filter(|(_, header)| header.base_offset >= expected)
            .find(|(at, header)| {
                bytes
                    .get(*at..at.saturating_add(header.bytes))
                    .is_some_and(|batch| header.verify(batch).is_ok())
            })
            .map(|(at, header)| (damaged + at as u64, header)))
    }
}

/// A file length as a length in memory.
fn saturating_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
