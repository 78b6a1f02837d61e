//! The log as a whole: a locked directory of topics.
//!
//! Place in the flow: the server opens one store and shares it; sources, sinks and the REST records API go through it.
//! Invariant: one process at a time has a directory open.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::cleaner::{Cleaner, Round};
use super::files::{lock, storage, sync_dir};
use super::flusher::{Flusher, FsyncPolicy};
use super::partition::{LogOptions, Shared};
use super::record_batch::{Encoded, Record};
use super::topic::{CREATING_PREFIX, DELETED_PREFIX, Topic, TopicConfig};
use super::transaction::{Coordinator, TransactionId};
use crate::checkpoint::commit::EpochRecord;
use crate::connector::OP_HEADER;
use crate::connector::options::IsolationLevel;
use crate::connector::sink::EncodedBatch;
use crate::connector::source::RawBatch;
use crate::error::{Error, Result, unknown_name};
use crate::task::Waker;
use crate::time::SharedClock;

/// The file whose lock says that the directory is in use.
const LOCK_FILE: &str = ".lock";
/// Encode buffers kept for reuse: as many as slots commonly append at once (guess, unmeasured).
const SPARE_BUFFERS_MAX: usize = 4;
/// Largest encode buffer kept for reuse (guess, unmeasured).
const SPARE_BUFFER_BYTES_MAX: usize = 4 << 20;

/// Where records are appended to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    /// The topic.
    pub(super) topic: &'a Topic,
    /// The partition.
    pub(super) partition: u32,
    /// The transaction; the caller keeps it from ending meanwhile.
    pub(super) transaction: Option<TransactionId>,
}

/// The headers of a record.
type Headers = [(&'static [u8], Option<&'static [u8]>)];

/// The headers of each row kind; inserts have none.
const OP_HEADERS: [&Headers; 4] = [
    &[],
    &[(OP_HEADER, Some(&[1]))],
    &[(OP_HEADER, Some(&[2]))],
    &[(OP_HEADER, Some(&[3]))],
];

/// An in-process, durable, partitioned, append-only log.
#[derive(Debug)]
pub struct LogStore {
    /// Directory of the topics.
    dir: PathBuf,
    /// Open topics by name.
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    /// What partitions share.
    shared: Arc<Shared>,
    /// Time of records that bring none.
    clock: SharedClock,
    /// Buffers for reuse.
    spare: Mutex<Vec<Encoded>>,
    /// Compacts in the background; has ended before the lock is given back.
    cleaner: Cleaner,
    /// Held as long as the store lives.
    _lock: File,
}

impl LogStore {
    /// Opens the log of a directory, which is created when missing; cuts torn tails off, and aborts what was not committed.
    ///
    /// # Errors
    /// `Storage` when the directory is in use by another process or cannot be written, naming it; `Corrupt` when a topic's
    /// settings or the journal of transactions are damaged.
    pub fn open(dir: &Path, options: LogOptions, clock: SharedClock) -> Result<Arc<Self>> {
        let is_new = !dir.exists();
        std::fs::create_dir_all(dir)
            .map_err(|error| storage("create log directory", dir, &error))?;
        let whole = std::fs::canonicalize(dir)
            .map_err(|error| storage("find log directory", dir, &error))?;
        if is_new {
            whole.parent().map_or(Ok(()), sync_dir)?;
        }
        let file = lock_dir(dir)?;
        let flusher = match options.fsync {
            FsyncPolicy::Interval(interval) => Some(Flusher::start(interval)?),
            FsyncPolicy::Never | FsyncPolicy::Always => None,
        };
        let shared = Arc::new(Shared {
            options,
            flusher,
            transactions: Coordinator::open(dir, options.fsync != FsyncPolicy::Never)?,
        });
        let topics = open_topics(dir, &shared)?;
        Ok(Arc::new(Self {
            dir: whole,
            topics: RwLock::new(topics),
            shared,
            clock,
            spare: Mutex::default(),
            cleaner: Cleaner::default(),
            _lock: file,
        }))
    }

    /// Makes a topic; it is durable when this returns.
    ///
    /// # Errors
    /// `Invalid` when it exists or name or partitions are not possible; `Storage` naming the path.
    pub fn create_topic(&self, name: &str, config: TopicConfig) -> Result<()> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.contains_key(name) {
            return Err(Error::exists(format!("topic \"{name}\" exists already")));
        }
        let topic = Topic::create(&self.dir, name, config, &self.shared)?;
        topics.insert(name.to_owned(), Arc::new(topic));
        Ok(())
    }

    /// Deletes a topic with its records. Its readers and writers get an error.
    ///
    /// # Errors
    /// `Invalid` when there is none of that name; `Storage` naming the path.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let topic = topics
            .get(name)
            .ok_or_else(|| unknown_name("topic", name, topics.keys().map(String::as_str)))?;
        let deleted = topic.delete(&self.dir)?;
        topics.remove(name);
        // Deleting files may take long and is safe without the lock.
        drop(topics);
        std::fs::remove_dir_all(&deleted).map_err(|error| storage("delete", &deleted, &error))
    }

    /// Settings of a topic.
    pub fn topic(&self, name: &str) -> Option<TopicConfig> {
        self.read_topics().get(name).map(|topic| topic.config)
    }

    /// Names of all topics, ascending.
    pub fn topics(&self) -> Vec<String> {
        self.read_topics().keys().cloned().collect()
    }

    /// Appends records and returns the offset of the first one. Readers see all of them or none; when the process ends
    /// before this returns, the first ones of an append above 128 KiB may be kept alone.
    ///
    /// # Errors
    /// `Invalid` for an unknown topic or partition and for a sealed topic; `Data` for a record that is too large; `Storage`
    /// when the device refuses. Nothing is appended then.
    pub fn append(&self, topic: &str, partition: u32, records: &[Record<'_>]) -> Result<i64> {
        let target = Target {
            topic: &*self.find(topic)?,
            partition,
            transaction: None,
        };
        self.encode_and_append(target, records.iter().copied())
    }

    /// Appends some rows of an encoded batch and returns the offset of the first one.
    ///
    /// # Errors
    /// As [`LogStore::append`]; `Internal` when a row is not in the batch.
    pub fn append_encoded(
        &self,
        topic: &str,
        partition: u32,
        batch: &EncodedBatch,
        rows: &[u32],
    ) -> Result<i64> {
        let target = Target {
            topic: &*self.find(topic)?,
            partition,
            transaction: None,
        };
        self.append_rows(target, batch, rows)
    }

    /// Appends some rows of an encoded batch to a topic that was looked up before.
    pub(super) fn append_rows(
        &self,
        target: Target<'_>,
        batch: &EncodedBatch,
        rows: &[u32],
    ) -> Result<i64> {
        let count = batch.rows();
        let fits = |len: usize| len == 0 || len == count;
        if !fits(batch.keys.len())
            || !fits(batch.timestamps_ms.len())
            || !fits(batch.ops.len())
            || !fits(batch.headers.len())
            || rows.iter().any(|row| *row as usize >= count)
            || batch
                .ops
                .iter()
                .any(|op| usize::from(*op) >= OP_HEADERS.len())
        {
            return Err(Error::internal(format!(
                "an encoded batch for topic \"{}\" has columns that do not fit together",
                target.topic.name
            )));
        }
        let now_ms = self.clock.now_ms();
        let bytes = |range: crate::connector::source::Range| range.of(&batch.buffer);
        let of_kind = |row: usize| -> &Headers {
            let op = batch.ops.get(row);
            op.map_or(&[], |op| OP_HEADERS[usize::from(*op)])
        };
        let with_own = |(row, own): (usize, &Vec<(_, _)>)| -> Vec<(&[u8], Option<&[u8]>)> {
            let own = own
                .iter()
                .map(|(name, value)| (bytes(*name), Some(bytes(*value))));
            own.chain(of_kind(row).iter().copied()).collect()
        };
        let headers: Vec<_> = batch.headers.iter().enumerate().map(with_own).collect();
        let records = rows.iter().map(|row| {
            let row = *row as usize;
            Record {
                key: batch.keys.get(row).copied().flatten().map(bytes),
                value: batch.values[row].map(bytes),
                timestamp_ms: batch.timestamps_ms.get(row).copied().unwrap_or(now_ms),
                headers: headers.get(row).map_or_else(|| of_kind(row), Vec::as_slice),
            }
        });
        self.encode_and_append(target, records)
    }

    /// Encodes outside of every lock and appends.
    fn encode_and_append<'r>(
        &self,
        target: Target<'_>,
        records: impl Iterator<Item = Record<'r>>,
    ) -> Result<i64> {
        let mut encoded = lock(&self.spare).pop().unwrap_or_default();
        encoded.transaction = target.transaction;
        let appended = encoded
            .extend(records)
            .and_then(|()| target.topic.append(target.partition, &mut encoded));
        encoded.clear();
        let mut spare = lock(&self.spare);
        if spare.len() < SPARE_BUFFERS_MAX && encoded.buffer.capacity() <= SPARE_BUFFER_BYTES_MAX {
            spare.push(encoded);
        }
        appended
    }

    /// Reads committed records from an offset on: at most `rows_max`, and about `bytes_max` bytes but at least one record batch. Empty
    /// at the end; an offset before the start continues at the start.
    ///
    /// # Errors
    /// `Invalid` for an unknown topic or partition and for an offset past the end; `Corrupt` naming file and place.
    #[expect(
        clippy::too_many_arguments,
        reason = "the five words of a fetch, as every log's clients have them"
    )]
    pub fn read(
        &self,
        topic: &str,
        partition: u32,
        offset: i64,
        bytes_max: usize,
        rows_max: usize,
    ) -> Result<RawBatch> {
        let topic = self.find(topic)?;
        topic
            .partition(partition)?
            .read(offset, bytes_max, rows_max)
    }

    /// The first offset there is.
    ///
    /// # Errors
    /// `Invalid` for an unknown topic or partition.
    pub fn start_offset(&self, topic: &str, partition: u32) -> Result<i64> {
        Ok(self.find(topic)?.partition(partition)?.start_offset())
    }

    /// The offset of the next record, whether those before it are committed or not.
    ///
    /// # Errors
    /// `Invalid` for an unknown topic or partition.
    pub fn end_offset(&self, topic: &str, partition: u32) -> Result<i64> {
        Ok(self.find(topic)?.partition(partition)?.end_offset())
    }

    /// The offset of the first record of the oldest open transaction, or else of the next record: readers of committed records
    /// come this far. Never falls, and never above [`LogStore::end_offset`].
    ///
    /// # Errors
    /// `Invalid` for an unknown topic or partition.
    pub fn stable_offset(&self, topic: &str, partition: u32) -> Result<i64> {
        let topic = self.find(topic)?;
        let partition = topic.partition(partition)?;
        Ok(partition.visible_end(IsolationLevel::ReadCommitted))
    }

    /// The offset of the first committed record at or after an epoch millisecond; absent when there is none yet.
    ///
    /// # Errors
    /// `Invalid` for an unknown topic or partition; `Corrupt` naming file and place.
    pub fn offset_for_timestamp(
        &self,
        topic: &str,
        partition: u32,
        timestamp_ms: i64,
    ) -> Result<Option<i64>> {
        self.find(topic)?
            .partition(partition)?
            .offset_for_timestamp(timestamp_ms, IsolationLevel::ReadCommitted)
    }

    /// Ends a topic: appends are refused from now on, also after a restart, and unbounded readers reach the end of input.
    ///
    /// # Errors
    /// `Invalid` for an unknown topic; `Storage` naming the path.
    pub fn seal(&self, topic: &str) -> Result<()> {
        self.find(topic)?.seal()
    }

    /// Whether a topic was sealed.
    ///
    /// # Errors
    /// `Invalid` for an unknown topic.
    pub fn is_sealed(&self, topic: &str) -> Result<bool> {
        Ok(self.find(topic)?.is_sealed())
    }

    /// Has a waker called with every append and with the seal, for as long as somebody else holds the waker.
    ///
    /// # Errors
    /// `Invalid` for an unknown topic.
    pub fn subscribe(&self, topic: &str, waker: &Waker) -> Result<()> {
        lock(&self.find(topic)?.wakers).add(waker);
        Ok(())
    }

    /// Makes what was appended to a topic durable, unless the policy leaves that to the operating system.
    ///
    /// # Errors
    /// `Invalid` for an unknown topic; `Storage` naming the file.
    pub fn flush(&self, topic: &str) -> Result<()> {
        self.find(topic)?.flush()
    }

    /// The newest epoch record that a statement has committed; absent when there is none.
    ///
    /// # Errors
    /// `Corrupt` when what is there is no epoch record.
    pub fn committed_record(&self, statement_uid: &str) -> Result<Option<EpochRecord>> {
        let text = self.transactions().record(statement_uid);
        text.map(|text| EpochRecord::from_text(&text)).transpose()
    }

    /// Forgets the transactions of a statement that was deleted: its record, and what it left open. What it has committed stays.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub fn forget_owner(&self, statement_uid: &str) -> Result<()> {
        self.transactions().forget(statement_uid)
    }

    /// When records are forced to the device.
    pub fn fsync_policy(&self) -> FsyncPolicy {
        self.shared.options.fsync
    }

    /// The directory, and what tells this store from others.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The transactions of this store.
    pub(super) fn transactions(&self) -> &Coordinator {
        &self.shared.transactions
    }

    /// Deletes segments that are older than their topic's retention at `now_ms`; returns how many. Every topic is tried. Has compacted
    /// topics compacted in the background, which reports failures to the program's log.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` naming the file, for the first topic that failed.
    pub fn run_retention(&self, now_ms: i64) -> Result<usize> {
        let topics = self.all_topics();
        let results: Vec<_> = topics
            .iter()
            .map(|topic| topic.run_retention(now_ms))
            .collect();
        let compacted = topics.iter().any(|topic| topic.config.compacted);
        if compacted || self.transactions().wants_floor() {
            self.cleaner.request(Round {
                topics,
                shared: Arc::clone(&self.shared),
                now_ms,
            })?;
        }
        results.into_iter().sum()
    }

    /// Compacts the topics that are due at `now_ms`, as the background does; returns how many files went.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` naming the file, for the first topic that failed; every one is tried.
    pub fn compact(&self, now_ms: i64) -> Result<usize> {
        let results: Vec<_> = self
            .all_topics()
            .iter()
            .map(|topic| topic.compact(now_ms, &|| false))
            .collect();
        results.into_iter().sum()
    }

    /// What partitions share.
    #[cfg(test)]
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Every topic.
    fn all_topics(&self) -> Vec<Arc<Topic>> {
        self.read_topics().values().map(Arc::clone).collect()
    }

    /// The topic of that name.
    ///
    /// # Errors
    /// `Invalid` with the nearest name.
    pub(super) fn find(&self, name: &str) -> Result<Arc<Topic>> {
        let topics = self.read_topics();
        topics
            .get(name)
            .map(Arc::clone)
            .ok_or_else(|| unknown_name("topic", name, topics.keys().map(String::as_str)))
    }

    /// The topics, for reading.
    fn read_topics(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Topic>>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Attempts at the lock: a process that is just ending, or a child between fork and exec, holds it for a moment (guess, unmeasured).
const LOCK_ATTEMPTS: u32 = 50;

/// Pause between them.
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Takes the directory for this process.
fn lock_dir(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK_FILE);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| storage("write log directory", dir, &error))?;
    for _ in 0..LOCK_ATTEMPTS {
        if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::storage(format!(
            "log directory \"{}\" is in use by another weir process: stop it or choose another directory",
            dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(storage("lock log directory", dir, &error)),
    }
}

/// Opens every topic of the directory and removes what half-done creations and deletions left.
fn open_topics(dir: &Path, shared: &Arc<Shared>) -> Result<BTreeMap<String, Arc<Topic>>> {
    let mut topics = BTreeMap::new();
    let entries =
        std::fs::read_dir(dir).map_err(|error| storage("read log directory", dir, &error))?;
    for entry in entries {
        let path = entry
            .map_err(|error| storage("read log directory", dir, &error))?
            .path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(CREATING_PREFIX) || name.starts_with(DELETED_PREFIX) {
            std::fs::remove_dir_all(&path).map_err(|error| storage("delete", &path, &error))?;
        } else if Topic::is_topic(&path) {
            let topic = Topic::open(path, shared)?;
            topics.insert(topic.name.clone(), Arc::new(topic));
        } else if path.is_dir() {
            tracing::warn!(directory = %path.display(), "not a topic, left alone");
        }
    }
    Ok(topics)
}
