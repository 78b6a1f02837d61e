//! One partition: its segments, its one writer at a time, its readers.
//!
//! Place in the flow: the store finds the partition of an append or a read; cursors ask it for segments. Invariant: the end
//! offset moves only after the bytes before it are in the file, and a failed append leaves nothing behind.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::cursor::Cursor;
use super::files::{lock, storage, sync_dir};
use super::flusher::{Flusher, FsyncPolicy};
use super::record_batch::Encoded;
use super::segment::{Segment, base_offset_of};
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
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            // Small against Kafka's 1 GiB, because the newest segment of a partition is checked at every start
            // (guess, unmeasured).
            segment_bytes: 64 << 20,
            fsync: FsyncPolicy::default(),
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
}

/// What only the writer knows.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Whether the file may have bytes behind the committed size, which the next append has to cut off first.
    torn: bool,
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
        let mut files = Vec::new();
        let entries = std::fs::read_dir(&dir).map_err(|error| storage("read", &dir, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| storage("read", &dir, &error))?.path();
            if let Some(base_offset) = base_offset_of(&path) {
                let size = std::fs::metadata(&path)
                    .map_err(|error| storage("read", &path, &error))?
                    .len();
                files.push((base_offset, path, size));
            }
        }
        files.sort();
        let Some((base_offset, path, size)) = files.pop() else {
            return Err(Error::corrupt(format!(
                "log partition \"{}\" has no segment file",
                dir.display()
            )));
        };
        let (last, end_offset) = Segment::recover(base_offset, path, size)?;
        let mut segments: Vec<_> = files
            .into_iter()
            .map(|(base_offset, path, size)| Arc::new(Segment::closed(base_offset, path, size)))
            .collect();
        segments.push(Arc::new(last));
        Ok(Self {
            name,
            dir,
            shared,
            view: Mutex::new(View {
                segments,
                end_offset,
            }),
            writer: Mutex::default(),
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

    /// The offset of the next record.
    pub(super) fn end_offset(&self) -> i64 {
        lock(&self.view).end_offset
    }

    /// The segment that holds an offset; the first one for what is older.
    pub(super) fn segment_of(&self, offset: i64) -> Arc<Segment> {
        let view = lock(&self.view);
        let after = view
            .segments
            .partition_point(|segment| segment.base_offset <= offset);
        Arc::clone(&view.segments[after.saturating_sub(1)])
    }

    /// The segment that follows another one.
    pub(super) fn segment_after(&self, base_offset: i64) -> Option<Arc<Segment>> {
        let view = lock(&self.view);
        let after = view
            .segments
            .partition_point(|segment| segment.base_offset <= base_offset);
        view.segments.get(after).map(Arc::clone)
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
        let mut segment = self.active();
        let bytes = encoded.buffer.len() as u64;
        if segment.size() > 0 && segment.size() + bytes > self.shared.options.segment_bytes {
            segment = self.roll(base_offset, &mut writer)?;
        }
        encoded.set_base_offset(base_offset);
        self.write(&segment, &encoded.buffer, &mut writer)?;
        segment.commit(&encoded.batches, encoded.buffer.len());
        lock(&self.view).end_offset = base_offset + encoded.records;
        if self.shared.options.fsync != FsyncPolicy::Always
            && segment.mark_dirty()
            && let Some(flusher) = &self.shared.flusher
        {
            flusher.add(&segment);
        }
        Ok(base_offset)
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

    /// Starts a new segment at the end.
    fn roll(&self, base_offset: i64, writer: &mut Writer) -> Result<Arc<Segment>> {
        if writer.torn {
            let last = self.active();
            File::options()
                .write(true)
                .open(&last.path)
                .and_then(|file| file.set_len(last.size()))
                .map_err(|error| storage("truncate", &last.path, &error))?;
            writer.torn = false;
        }
        let segment = Arc::new(Segment::create(&self.dir, base_offset)?);
        if self.shared.options.fsync != FsyncPolicy::Never {
            sync_dir(&self.dir)?;
        }
        lock(&self.view).segments.push(Arc::clone(&segment));
        Ok(segment)
    }

    /// Makes everything appended durable, unless the policy leaves that to the operating system.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn flush(&self) -> Result<()> {
        if self.shared.options.fsync == FsyncPolicy::Never {
            return Ok(());
        }
        let segments = lock(&self.view).segments.clone();
        segments.iter().try_for_each(|segment| segment.sync())
    }

    /// Reads from an offset; empty at the end.
    ///
    /// # Errors
    /// `Invalid` above the end; `Corrupt` naming file and place.
    pub(super) fn read(&self, offset: i64, bytes_max: usize, rows_max: usize) -> Result<RawBatch> {
        let mut out = RawBatch::default();
        let mut cursor = Cursor::new(offset).with_chunk_bytes(bytes_max);
        cursor.read(self, self.end_offset(), rows_max, &mut out)?;
        Ok(out)
    }

    /// The offset of the first record at or after a timestamp; absent when there is none yet.
    ///
    /// # Errors
    /// `Corrupt` naming file and place.
    pub(super) fn offset_for_timestamp(&self, timestamp_ms: i64) -> Result<Option<i64>> {
        let segments = lock(&self.view).segments.clone();
        for segment in segments {
            let Some(offset) = segment.seek_timestamp(timestamp_ms)? else {
                continue;
            };
            let mut cursor = Cursor::new(offset);
            loop {
                let mut out = RawBatch::default();
                cursor.read(self, self.end_offset(), SEARCH_ROWS, &mut out)?;
                if out.rows() == 0 {
                    break;
                }
                let found = out.timestamps_ms.iter().position(|at| *at >= timestamp_ms);
                if let Some(row) = found {
                    return Ok(Some(out.offsets[row]));
                }
            }
        }
        Ok(None)
    }

    /// Deletes whole segments whose newest record is older than `oldest_ms`; returns how many.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn delete_before(&self, oldest_ms: i64) -> Result<usize> {
        let mut writer = self.lock_writer();
        let segments = lock(&self.view).segments.clone();
        let mut expired = Vec::new();
        for segment in segments {
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
