//! One partition: its segments, its one writer at a time, its readers.
//!
//! Place in the flow: the store finds the partition of an append or a read; cursors ask it for segments. Invariant: the end
//! offset moves only after the bytes before it are in the file, and a failed append leaves nothing behind.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::cursor::Cursor;
use super::files::{lock, storage, sync_dir};
use super::flusher::{Flusher, FsyncPolicy};
use super::record_batch::Encoded;
use super::segment::{Recovered, Segment};
use super::segment_name::current;
use super::transaction::{Coordinator, TransactionId};
use crate::connector::options::IsolationLevel;
use crate::connector::source::RawBatch;
use crate::error::{Error, Result};

/// Records looked at per step of a search for a timestamp (guess, unmeasured).
const SEARCH_ROWS: usize = 4096;

/// Settings of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// A segment file is closed before it would grow past this many bytes; the unit of retention and of the check at start.
    pub segment_bytes: u64,
    /// When records are forced to the device.
    pub fsync: FsyncPolicy,
    /// How long a delete in a compacted topic is kept after the first compaction, so that a reader that began before it meets it:
    /// Kafka's `delete.retention.ms`.
    pub delete_retention: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            // Small against Kafka's 1 GiB, because the newest segment of a partition is checked at every start
            // (guess, unmeasured).
            segment_bytes: 64 << 20,
            fsync: FsyncPolicy::default(),
            // Kafka's default.
            delete_retention: Duration::from_hours(24),
        }
    }
}

/// What the partitions of a store share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Settings.
    pub(super) options: LogOptions,
    /// Present under [`FsyncPolicy::Interval`].
    pub(super) flusher: Option<Flusher>,
    /// Which batches count.
    pub(super) transactions: Coordinator,
}

impl Shared {
    /// Notes that a segment has unsynced bytes.
    fn note_written(&self, segment: &Arc<Segment>) {
        if segment.mark_dirty()
            && let Some(flusher) = &self.flusher
        {
            flusher.add(segment);
        }
    }
}

/// A partition.
#[derive(Debug)]
pub(super) struct Partition {
    /// `TOPIC/PARTITION`, for messages.
    pub(super) name: String,
    /// Its directory.
    dir: PathBuf,
    /// Settings and the flusher.
    shared: Arc<Shared>,
    /// What readers see; held shortly.
    view: Mutex<View>,
    /// Held for the time of an append.
    writer: Mutex<Writer>,
    /// Held for the time of a compaction.
    pub(super) cleaner: Mutex<()>,
    /// No more appends.
    sealed: AtomicBool,
}

/// What readers see.
#[derive(Debug)]
struct View {
    /// Ascending, never empty; the last one is written.
    segments: Vec<Arc<Segment>>,
    /// Offset of the next record.
    end_offset: i64,
    /// Open transactions with the offset of their first record, ascending by it.
    open: Vec<(TransactionId, i64)>,
}

impl View {
    /// Offset up to which it is known which records count.
    fn stable_offset(&self) -> i64 {
        self.open
            .first()
            .map_or(self.end_offset, |(_, first)| *first)
    }
}

/// A closed segment and how far it goes.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    /// The segment.
    pub(super) segment: Arc<Segment>,
    /// Offset after the last one that it covers.
    pub(super) end_offset: i64,
}

/// What only the writer knows.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Whether the file may have bytes behind the committed size, which the next append has to cut off first.
    torn: bool,
    /// A new segment that could not be made durable and not be removed either: it has to go before the next append, since its name
    /// would be taken for the end.
    stray: Option<PathBuf>,
}

impl Partition {
    /// Makes the directory of an empty partition.
    ///
    /// # Errors
    /// `Storage` naming the path.
    pub(super) fn create(dir: &Path) -> Result<()> {
        std::fs::create_dir(dir).map_err(|error| storage("create", dir, &error))?;
        Segment::create(dir, 0)?;
        sync_dir(dir)
    }

    /// Opens a partition and cuts a torn tail off.
    ///
    /// # Errors
    /// `Storage` naming the path; `Corrupt` when the directory holds no segment.
    pub(super) fn open(dir: PathBuf, name: String, shared: Arc<Shared>) -> Result<Self> {
        let mut files = current(&dir)?;
        let Some((last, size)) = files.pop() else {
            return Err(Error::corrupt(format!(
                "log partition \"{}\" has no segment file",
                dir.display()
            )));
        };
        let Recovered {
            segment: last,
            next_offset: end_offset,
            newest_transaction,
        } = Segment::recover(last, &dir, size)?;
        let known = shared.transactions.generation();
        if newest_transaction.is_some_and(|id| id.generation() >= known) {
            return Err(Error::corrupt(format!(
                "log partition \"{}\" has transactions that the journal of the log knows nothing of: the journal is missing or old",
                dir.display()
            )));
        }
        let bases = files.iter().skip(1).map(|(name, _)| name.base_offset);
        let ends: Vec<_> = bases.chain([last.base_offset]).collect();
        let mut segments: Vec<_> = files
            .into_iter()
            .zip(ends)
            .map(|((name, size), end)| Arc::new(Segment::closed(name, end, &dir, size)))
            .collect();
        let last = Arc::new(last);
        segments.push(Arc::clone(&last));
        // A process that was killed may have left bytes that no fsync has seen.
        if last.size() > 0 {
            shared.note_written(&last);
        }
        Ok(Self {
            name,
            dir,
            shared,
            view: Mutex::new(View {
                segments,
                end_offset,
                open: Vec::new(),
            }),
            writer: Mutex::default(),
            cleaner: Mutex::default(),
            sealed: AtomicBool::new(false),
        })
    }

    /// The first offset there is.
    pub(super) fn start_offset(&self) -> i64 {
        lock(&self.view)
            .segments
            .first()
            .map_or(0, |segment| segment.base_offset)
    }

    /// The offset of the next record, committed or not.
    pub(super) fn end_offset(&self) -> i64 {
        lock(&self.view).end_offset
    }

    /// The offset before which a reader may read now.
    pub(super) fn visible_end(&self, isolation: IsolationLevel) -> i64 {
        let view = lock(&self.view);
        match isolation {
            IsolationLevel::ReadCommitted => view.stable_offset(),
            IsolationLevel::ReadUncommitted => view.end_offset,
        }
    }

    /// Whether the records of a batch before the stable offset count.
    pub(super) fn is_committed(&self, transaction: Option<TransactionId>) -> bool {
        transaction.is_none_or(|id| self.shared.transactions.is_committed(id))
    }

    /// Lets readers go on behind the records of a transaction that has ended.
    pub(super) fn settle(&self, id: TransactionId) {
        lock(&self.view).open.retain(|(open, _)| *open != id);
    }

    /// Settings.
    pub(super) fn options(&self) -> &LogOptions {
        &self.shared.options
    }

    /// Its directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Closed segments of which it is known which records count, ascending.
    pub(super) fn stable_segments(&self) -> Vec<Closed> {
        let view = lock(&self.view);
        let stable = view.stable_offset();
        view.segments
            .windows(2)
            .map(|pair| Closed {
                segment: Arc::clone(&pair[0]),
                end_offset: pair[1].base_offset,
            })
            .take_while(|closed| closed.end_offset <= stable)
            .collect()
    }

    /// The lowest transaction of an earlier process that has records here.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn lowest_transaction(&self) -> Result<Option<TransactionId>> {
        let mut lowest = None;
        for segment in self.segments() {
            let of_segment = match segment.lowest_transaction() {
                Err(_) if !self.has(&segment) => None,
                other => other?,
            };
            lowest = [lowest, of_segment].into_iter().flatten().min();
        }
        Ok(lowest)
    }

    /// Every segment, ascending.
    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        lock(&self.view).segments.clone()
    }

    /// Puts a segment in the place of those that it was made of, whose files are then no longer looked for.
    pub(super) fn exchange(&self, old: &[Closed], new: Segment) {
        let mut view = lock(&self.view);
        let at = old.first().and_then(|first| {
            view.segments
                .iter()
                .position(|segment| Arc::ptr_eq(segment, &first.segment))
        });
        if let Some(at) = at {
            view.segments.splice(at..at + old.len(), [Arc::new(new)]);
        }
    }

    /// The segment that holds an offset; the first one for what is older.
    pub(super) fn segment_of(&self, offset: i64) -> Arc<Segment> {
        let view = lock(&self.view);
        let after = view
            .segments
            .partition_point(|segment| segment.base_offset <= offset);
        Arc::clone(&view.segments[after.saturating_sub(1)])
    }

    /// The segment that is written.
    fn active(&self) -> Arc<Segment> {
        let view = lock(&self.view);
        Arc::clone(&view.segments[view.segments.len() - 1])
    }

    /// Keeps everybody else from appending.
    pub(super) fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        lock(&self.writer)
    }

    /// Refuses appends from now on; the caller holds the writer.
    pub(super) fn set_sealed(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// Appends encoded batches and returns the offset of the first record.
    ///
    /// # Errors
    /// `Invalid` when the topic is sealed; `Storage` when the device refuses, and then nothing was appended.
    pub(super) fn append(&self, encoded: &mut Encoded) -> Result<i64> {
        let mut writer = self.lock_writer();
        if self.sealed.load(Ordering::Acquire) {
            return Err(Error::validation(format!(
                "log partition {} is sealed and takes no more records",
                self.name
            )));
        }
        let base_offset = self.end_offset();
        if encoded.records == 0 {
            return Ok(base_offset);
        }
        self.remove_stray(&mut writer)?;
        let mut segment = self.active();
        let bytes = encoded.buffer.len() as u64;
        if segment.size() > 0 && segment.size() + bytes > self.shared.options.segment_bytes {
            segment = self.roll(base_offset, &mut writer)?;
        }
        encoded.set_base_offset(base_offset);
        self.write(&segment, &encoded.buffer, &mut writer)?;
        segment.commit(&encoded.batches, encoded.buffer.len());
        self.publish(base_offset, encoded);
        if self.shared.options.fsync != FsyncPolicy::Always {
            self.shared.note_written(&segment);
        }
        Ok(base_offset)
    }

    /// Shows readers what was appended.
    fn publish(&self, base_offset: i64, encoded: &Encoded) {
        let mut view = lock(&self.view);
        view.end_offset = base_offset + encoded.records;
        if let Some(id) = encoded.transaction
            && !view.open.iter().any(|(open, _)| *open == id)
        {
            view.open.push((id, base_offset));
        }
    }

    /// Writes at the end of a segment; cuts off what a failure left.
    fn write(&self, segment: &Segment, bytes: &[u8], writer: &mut Writer) -> Result<()> {
        let size = segment.size();
        let file = File::options()
            .write(true)
            .open(&segment.path)
            .map_err(|error| storage("open", &segment.path, &error))?;
        if writer.torn {
            file.set_len(size)
                .map_err(|error| storage("truncate", &segment.path, &error))?;
            writer.torn = false;
        }
        let written =
            file.write_all_at(bytes, size)
                .and_then(|()| match self.shared.options.fsync {
                    FsyncPolicy::Always => file.sync_data(),
                    FsyncPolicy::Never | FsyncPolicy::Interval(_) => Ok(()),
                });
        written.map_err(|error| {
            writer.torn = file.set_len(size).is_err();
            storage("append to", &segment.path, &error)
        })
    }

    /// Starts a new segment at the end, after the one before is durable, so that only the last file can be torn.
    fn roll(&self, base_offset: i64, writer: &mut Writer) -> Result<Arc<Segment>> {
        let last = self.active();
        if writer.torn {
            File::options()
                .write(true)
                .open(&last.path)
                .and_then(|file| file.set_len(last.size()))
                .map_err(|error| storage("truncate", &last.path, &error))?;
            self.shared.note_written(&last);
            writer.torn = false;
        }
        let synced = self.shared.options.fsync != FsyncPolicy::Never;
        if synced {
            last.sync()?;
        }
        self.remove_stray(writer)?;
        let segment = Arc::new(Segment::create(&self.dir, base_offset)?);
        if synced && let Err(error) = sync_dir(&self.dir) {
            writer.stray = Some(segment.path.clone());
            if let Err(error) = self.remove_stray(writer) {
                tracing::warn!(%error, "the log cannot take back a new segment");
            }
            return Err(error);
        }
        lock(&self.view).segments.push(Arc::clone(&segment));
        Ok(segment)
    }

    /// Removes a segment file that readers do not know.
    fn remove_stray(&self, writer: &mut Writer) -> Result<()> {
        if let Some(path) = &writer.stray {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(storage("delete", path, &error));
                }
                Ok(()) | Err(_) => sync_dir(&self.dir)?,
            }
            writer.stray = None;
        }
        Ok(())
    }

    /// Makes everything appended durable, unless the policy leaves that to the operating system.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn flush(&self) -> Result<()> {
        if self.shared.options.fsync == FsyncPolicy::Never {
            return Ok(());
        }
        self.segments()
            .iter()
            .try_for_each(|segment| segment.sync())
    }

    /// Reads committed records from an offset; empty at the end.
    ///
    /// # Errors
    /// `Invalid` above the end; `Corrupt` naming file and place.
    pub(super) fn read(&self, offset: i64, bytes_max: usize, rows_max: usize) -> Result<RawBatch> {
        let mut out = RawBatch::default();
        let mut cursor =
            Cursor::new(offset, IsolationLevel::ReadCommitted).with_chunk_bytes(bytes_max);
        cursor.read(self, i64::MAX, rows_max, &mut out)?;
        Ok(out)
    }

    /// The offset of the first visible record at or after a timestamp; absent when there is none yet.
    ///
    /// # Errors
    /// `Corrupt` naming file and place.
    pub(super) fn offset_for_timestamp(
        &self,
        timestamp_ms: i64,
        isolation: IsolationLevel,
    ) -> Result<Option<i64>> {
        let mut next = i64::MIN;
        loop {
            let segments = self.segments();
            let Some(segment) = segments.iter().find(|segment| segment.base_offset >= next) else {
                return Ok(None);
            };
            let found = match segment.seek_timestamp(timestamp_ms) {
                Ok(found) => found,
                Err(_) if !self.has(segment) => continue,
                Err(error) => return Err(error),
            };
            next = segment.base_offset + 1;
            if let Some(offset) = found
                && let Some(found) = self.search(offset, timestamp_ms, isolation)?
            {
                return Ok(Some(found));
            }
        }
    }

    /// The offset of the first visible record at or after a timestamp, from an offset on.
    fn search(
        &self,
        offset: i64,
        timestamp_ms: i64,
        isolation: IsolationLevel,
    ) -> Result<Option<i64>> {
        let mut cursor = Cursor::new(offset, isolation);
        loop {
            let mut out = RawBatch::default();
            cursor.read(self, i64::MAX, SEARCH_ROWS, &mut out)?;
            if out.rows() == 0 {
                return Ok(None);
            }
            let found = out.timestamps_ms.iter().position(|at| *at >= timestamp_ms);
            if let Some(row) = found {
                return Ok(Some(out.offsets[row]));
            }
        }
    }

    /// Whether a segment is still part of the partition: neither deleted nor compacted into another one.
    pub(super) fn has(&self, segment: &Arc<Segment>) -> bool {
        Arc::ptr_eq(&self.segment_of(segment.base_offset), segment)
    }

    /// Deletes whole segments whose newest record is older than `oldest_ms`; returns how many.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn delete_before(&self, oldest_ms: i64) -> Result<usize> {
        let mut writer = self.lock_writer();
        let stable = self.visible_end(IsolationLevel::ReadCommitted);
        let segments = self.segments();
        let mut expired = Vec::new();
        let ends = segments.iter().skip(1).map(|next| next.base_offset);
        let ends: Vec<_> = ends.chain([self.end_offset()]).collect();
        for (segment, end) in segments.into_iter().zip(ends) {
            // Nobody knows yet what is in the rest.
            if end > stable {
                break;
            }
            if segment
                .max_timestamp_ms()?
                .is_none_or(|newest| newest >= oldest_ms)
            {
                break;
            }
            expired.push(segment);
        }
        let Some(newest) = expired.last() else {
            return Ok(0);
        };
        if newest.base_offset == self.active().base_offset {
            self.roll(self.end_offset(), &mut writer)?;
        }
        lock(&self.view).segments.drain(..expired.len());
        for segment in &expired {
            std::fs::remove_file(&segment.path)
                .map_err(|error| storage("delete", &segment.path, &error))?;
        }
        Ok(expired.len())
    }
}
