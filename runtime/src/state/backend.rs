//! Where state goes that does not fit into memory.
//!
//! Place in the flow: state tables put cold keys here and fetch them back when they are looked up. Invariant: what is here is a
//! cache of this run and never needed after it: durability is the checkpoints' matter, so nothing is synced.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fjall::compaction::Leveled;
use fjall::config::{CompressionPolicy, PartitioningPolicy, PinningPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use crate::error::{Error, Result};

/// A place for keys that do not fit into memory.
pub trait StateBackend: Send + Debug {
    /// The value of a key.
    ///
    /// # Errors
    /// `Unavailable` naming the directory when the device refuses, as every method.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Stores keys and their values, and empties the batch.
    ///
    /// # Errors
    /// As [`StateBackend::get`].
    fn put_all(&mut self, batch: &mut SpillBatch) -> Result<()>;

    /// Bytes of a batch that is worth to be stored.
    fn batch_bytes(&self) -> usize;

    /// Forgets a key.
    ///
    /// # Errors
    /// As [`StateBackend::get`].
    fn remove(&mut self, key: &[u8]) -> Result<()>;

    /// Shows every key that begins with `prefix`, with its value, in order of keys.
    ///
    /// # Errors
    /// As [`StateBackend::get`], and what `visit` returns.
    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<()>;
}

/// Keys and values on their way to a backend.
#[derive(Debug, Default)]
pub struct SpillBatch {
    /// Keys and values back to back.
    bytes: Vec<u8>,
    /// Start of each key, its length, and the end of its value.
    entries: Vec<(usize, usize, usize)>,
}

impl SpillBatch {
    /// Adds a key; each is added once.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.entries.push((start, key.len(), self.bytes.len()));
    }

    /// Keys and values, in order of keys.
    pub fn sorted(&mut self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let bytes = &self.bytes;
        let key = |(start, length, _): (usize, usize, usize)| &bytes[start..start + length];
        self.entries.sort_unstable_by(|a, b| key(*a).cmp(key(*b)));
        let entries = self.entries.iter();
        entries.map(move |(start, length, end)| bytes[*start..*end].split_at(*length))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Empties it; its memory is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

/// Is shown a key and its value.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// Opens backends, one per table; shared by the tables of a slot.
pub trait SpillSpace: Send + Sync + Debug {
    /// The backend of a table; empty at first.
    ///
    /// # Errors
    /// `Unavailable` naming the directory when it cannot be used.
    fn open(&self, name: &str) -> Result<Box<dyn StateBackend>>;
}

/// Largest block cache of a slot's spilled state, bytes (guess, unmeasured: the files are in the system's cache as well).
const CACHE_BYTES_MAX: u64 = 64 << 20;

/// Largest write buffer of a table, bytes: it holds only keys that were forgotten, as others go past it (guess, unmeasured).
const WRITE_BUFFER_BYTES_MAX: u64 = 16 << 20;

/// Largest batch of keys that makes a file of its own, bytes (guess, unmeasured).
const BATCH_BYTES_MAX: u64 = 32 << 20;

/// Files that wait to be merged above which writers wait, as each of them may have to be read for a key.
///
/// # Source
/// fjall halts its own writers at 30.
const UNMERGED_FILES_MAX: usize = 30;

/// Pause between two looks at them, and looks before the wait is given up: a merge of some hundred megabytes takes seconds (guess).
const MERGE_PAUSE: Duration = Duration::from_millis(10);
const MERGE_LOOKS_MAX: usize = 3000;

/// Share of a slot's memory that the cache of its spilled state may take, and the write buffer of each table (guess, unmeasured).
const BUFFER_SHARE: u64 = 32;

/// Buffers of a table: forgotten keys, and a batch of twice that on its way with its file (guess, unmeasured).
const WRITE_BUFFERS: usize = 4;

/// Smallest and largest file of merged keys, bytes: its index is in memory while it is written (guess, unmeasured).
const FILE_BYTES_MIN: u64 = 8 << 20;
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Bytes of the journal of a slot's spilled state, which is never read (fjall's least).
const JOURNAL_BYTES: u64 = 64 << 20;

/// Spilled state of one slot, in a directory that is emptied when it is first used.
pub struct FjallSpace {
    /// The directory.
    dir: PathBuf,
    /// Bytes of the block cache.
    cache_bytes: u64,
    /// Bytes of a table's write buffer.
    write_buffer_bytes: u64,
    /// Bytes of a file of merged keys.
    file_bytes: u64,
    /// Opened with the first table.
    database: Mutex<Option<Database>>,
    /// Memory taken, bytes.
    memory_bytes: AtomicUsize,
}

impl Debug for FjallSpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallSpace")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl FjallSpace {
    /// A space in a directory that this slot alone uses, of a slot with this much memory. Nothing is touched until something is
    /// spilled.
    pub fn new(dir: PathBuf, slot_bytes: usize) -> Arc<Self> {
        let share_bytes = slot_bytes as u64 / BUFFER_SHARE;
        Arc::new(Self {
            dir,
            cache_bytes: share_bytes.clamp(1 << 20, CACHE_BYTES_MAX),
            write_buffer_bytes: share_bytes.clamp(1 << 20, WRITE_BUFFER_BYTES_MAX),
            file_bytes: share_bytes.clamp(FILE_BYTES_MIN, FILE_BYTES_MAX),
            database: Mutex::new(None),
            memory_bytes: AtomicUsize::new(0),
        })
    }

    /// Memory that cache and write buffers take, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// Counts memory that is taken from now on.
    fn count(&self, bytes: usize) {
        self.memory_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The database, opened if needed.
    fn database(&self) -> Result<Database> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*database {
            return Ok(database.clone());
        }
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(refused(&self.dir, &error));
            }
            Ok(()) | Err(_) => {}
        }
        std::fs::create_dir_all(&self.dir).map_err(|error| refused(&self.dir, &error))?;
        let opened = Database::builder(&self.dir)
            .cache_size(self.cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .manual_journal_persist(true)
            .worker_threads(1)
            .temporary(true)
            .open()
            .map_err(|error| refused(&self.dir, &error))?;
        tracing::info!(directory = %self.dir.display(), "state is larger than its memory and spills");
        self.count(to_usize(self.cache_bytes));
        Ok(database.insert(opened).clone())
    }
}

impl SpillSpace for FjallSpace {
    fn open(&self, name: &str) -> Result<Box<dyn StateBackend>> {
        let options = || {
            KeyspaceCreateOptions::default()
                // A key that is looked up would decompress a whole block.
                .data_block_compression_policy(CompressionPolicy::disabled())
                .compaction_strategy(Arc::new(
                    Leveled::default().with_table_target_size(self.file_bytes),
                ))
                // Whole indexes and filters of files would be held in memory, where nothing counts them; parts are in the cache.
                .index_block_partitioning_policy(PartitioningPolicy::all(true))
                .filter_block_partitioning_policy(PartitioningPolicy::all(true))
                .index_block_pinning_policy(PinningPolicy::disabled())
                .filter_block_pinning_policy(PinningPolicy::disabled())
                .max_memtable_size(self.write_buffer_bytes * 2)
                .manual_journal_persist(true)
        };
        let keyspace = self
            .database()?
            .keyspace(name, options)
            .map_err(|error| refused(&self.dir, &error))?;
        self.count(to_usize(self.write_buffer_bytes) * WRITE_BUFFERS);
        Ok(Box::new(FjallBackend {
            dir: self.dir.clone(),
            keyspace,
            batch_bytes: to_usize((self.write_buffer_bytes * 2).min(BATCH_BYTES_MAX)),
            write_buffer_bytes: to_usize(self.write_buffer_bytes),
            buffered_bytes: 0,
        }))
    }
}

/// Bytes that a forgotten key takes in the write buffer beside itself (guess, unmeasured).
const REMOVED_BYTES: usize = 64;

/// Spilled state of one table.
struct FjallBackend {
    /// The directory, for messages.
    dir: PathBuf,
    /// The keys.
    keyspace: Keyspace,
    /// Bytes of a batch that makes a file.
    batch_bytes: usize,
    /// Bytes of the write buffer.
    write_buffer_bytes: usize,
    /// Bytes in it.
    buffered_bytes: usize,
}

impl FjallBackend {
    /// Waits until there are few enough files to be looked through.
    fn wait_for_merges(&self) {
        for _ in 0..MERGE_LOOKS_MAX {
            if self.keyspace.l0_table_count() < UNMERGED_FILES_MAX {
                break;
            }
            std::thread::sleep(MERGE_PAUSE);
        }
    }
}

impl Debug for FjallBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallBackend")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl StateBackend for FjallBackend {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let value = self
            .keyspace
            .get(key)
            .map_err(|error| refused(&self.dir, &error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Sorted keys become a file at once: through the write buffer they would be written twice, and the buffer grows without a bound
    /// while the only worker is merging.
    fn put_all(&mut self, batch: &mut SpillBatch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let refused = |error: fjall::Error| refused(&self.dir, &error);
        let mut ingestion = self.keyspace.start_ingestion().map_err(refused)?;
        for (key, value) in batch.sorted() {
            ingestion.write(key, value).map_err(refused)?;
        }
        ingestion.finish().map_err(refused)?;
        batch.clear();
        self.buffered_bytes = 0;
        self.wait_for_merges();
        Ok(())
    }

    fn batch_bytes(&self) -> usize {
        self.batch_bytes
    }

    fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.keyspace
            .remove(key)
            .map_err(|error| refused(&self.dir, &error))?;
        self.buffered_bytes += key.len() + REMOVED_BYTES;
        if self.buffered_bytes >= self.write_buffer_bytes {
            self.buffered_bytes = 0;
            // The worker would do it when it is through with its merge, and the buffer would grow until then.
            self.keyspace
                .rotate_memtable_and_wait()
                .map_err(|error| refused(&self.dir, &error))?;
        }
        Ok(())
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        for item in self.keyspace.prefix(prefix) {
            let (key, value) = item
                .into_inner()
                .map_err(|error| refused(&self.dir, &error))?;
            visit(&key, &value)?;
        }
        Ok(())
    }
}

/// Bytes that fit into memory.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The error for a device that refuses.
fn refused(dir: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::storage(format!(
        "spilled state in \"{}\": {error}; the state needs more disk or more memory",
        dir.display()
    ))
}
