//! A topic: its settings on disk, its partitions, and who is woken when it changes.
//!
//! Place in the flow: the store keeps topics by name; sources and sinks hold one. Invariant: a topic directory appears and
//! disappears as a whole, by renaming, and its name cannot lead out of the log's directory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::cleaner::compact;
use super::files::{lock, replace, storage, sync_dir};
use super::partition::{Partition, Shared};
use super::record_batch::Encoded;
use super::transaction::TransactionId;
use crate::error::{Error, Result};
use crate::task::WakerSet;

/// The file with the settings.
const META_FILE: &str = "topic.json";
/// Version of the settings file.
const META_VERSION: u32 = 1;
/// Prefix of directories that are not complete yet.
pub(super) const CREATING_PREFIX: &str = ".creating-";
/// Prefix of directories that are being deleted.
pub(super) const DELETED_PREFIX: &str = ".deleted-";
/// Longest directory name: 255 bytes, the limit of common file systems, less the prefixes.
const DIR_NAME_BYTES_MAX: usize = 240;
/// Most partitions of a topic: bounds files and memory of one statement (guess, unmeasured).
const PARTITIONS_MAX: u32 = 4096;

/// Settings of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicConfig {
    /// Partitions, at least 1.
    pub partitions: u32,
    /// Age after which whole segments are deleted; absent keeps them for ever.
    pub retention_ms: Option<i64>,
    /// Whether the newest record of each key is what the topic means. Such a topic is never shortened by age.
    pub compacted: bool,
}

/// The content of `topic.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Meta {
    /// Version of this file.
    version: u32,
    /// Name of the topic, unescaped.
    name: String,
    /// Partitions.
    partitions: u32,
    /// Age after which segments are deleted.
    retention_ms: Option<i64>,
    /// Kafka's `cleanup.policy`.
    cleanup_policy: CleanupPolicy,
    /// Whether no more records come.
    sealed: bool,
}

/// Kafka's `cleanup.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum CleanupPolicy {
    /// By age.
    Delete,
    /// By key.
    Compact,
}

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    /// Its name.
    pub(super) name: String,
    /// Its settings.
    pub(super) config: TopicConfig,
    /// Its directory.
    dir: PathBuf,
    /// Its partitions.
    partitions: Vec<Partition>,
    /// No more appends.
    sealed: AtomicBool,
    /// Gone.
    deleted: AtomicBool,
    /// Who wants to know about appends and the seal.
    pub(super) wakers: Mutex<WakerSet>,
}

/// The directory of a topic: letters, digits, `_`, `-` and inner dots stand for themselves, every other byte is `%XX`.
///
/// # Errors
/// `Invalid` for an empty name or one that is too long for a file system.
pub(super) fn dir_name(topic: &str) -> Result<String> {
    use std::fmt::Write;
    let mut name = String::with_capacity(topic.len());
    for (i, byte) in topic.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if plain || (byte == b'.' && i > 0) {
            name.push(char::from(byte));
        } else {
            write!(name, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    if name.is_empty() || name.len() > DIR_NAME_BYTES_MAX {
        return Err(Error::validation(format!(
            "topic name \"{topic}\" has to have 1 to {DIR_NAME_BYTES_MAX} bytes; bytes other than letters, digits, '_', '-' and '.' count three times"
        )));
    }
    Ok(name)
}

impl Topic {
    /// Makes a topic on disk and opens it.
    ///
    /// # Errors
    /// `Invalid` for a bad name or number of partitions; `Storage` naming the path.
    pub(super) fn create(
        root: &Path,
        name: &str,
        config: TopicConfig,
        shared: &Arc<Shared>,
    ) -> Result<Self> {
        if config.partitions == 0 || config.partitions > PARTITIONS_MAX {
            return Err(Error::option(format!(
                "topic \"{name}\" cannot have {} partitions: 1 to {PARTITIONS_MAX} are possible",
                config.partitions
            )));
        }
        let dir_name = dir_name(name)?;
        let temporary = root.join(format!("{CREATING_PREFIX}{dir_name}"));
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary)
                .map_err(|error| storage("delete", &temporary, &error))?;
        }
        std::fs::create_dir(&temporary).map_err(|error| storage("create", &temporary, &error))?;
        for partition in 0..config.partitions {
            Partition::create(&temporary.join(partition.to_string()))?;
        }
        write_meta(&temporary, name, config, false)?;
        let dir = root.join(&dir_name);
        std::fs::rename(&temporary, &dir).map_err(|error| storage("create", &dir, &error))?;
        sync_dir(root)?;
        Self::open(dir, shared)
    }

    /// Opens a topic of a directory.
    ///
    /// # Errors
    /// `Corrupt` for settings that cannot be read; `Storage` naming the path.
    pub(super) fn open(dir: PathBuf, shared: &Arc<Shared>) -> Result<Self> {
        let path = dir.join(META_FILE);
        let damaged = |reason: &str| {
            Error::corrupt(format!(
                "topic settings \"{}\" cannot be used: {reason}",
                path.display()
            ))
        };
        let bytes = std::fs::read(&path).map_err(|error| storage("read", &path, &error))?;
        let meta: Meta =
            serde_json::from_slice(&bytes).map_err(|error| damaged(&error.to_string()))?;
        if meta.version != META_VERSION {
            return Err(damaged("they are of another version of weir"));
        }
        let expected = dir_name(&meta.name)?;
        if dir.file_name().and_then(|name| name.to_str()) != Some(expected.as_str()) {
            return Err(damaged("the topic has another name than the directory"));
        }
        let partitions = (0..meta.partitions)
            .map(|partition| {
                Partition::open(
                    dir.join(partition.to_string()),
                    format!("\"{}\"/{partition}", meta.name),
                    Arc::clone(shared),
                )
            })
            .collect::<Result<Vec<_>>>()?;
        if meta.sealed {
            partitions.iter().for_each(Partition::set_sealed);
        }
        Ok(Self {
            name: meta.name,
            config: TopicConfig {
                partitions: meta.partitions,
                retention_ms: meta.retention_ms,
                compacted: meta.cleanup_policy == CleanupPolicy::Compact,
            },
            dir,
            partitions,
            sealed: AtomicBool::new(meta.sealed),
            deleted: AtomicBool::new(false),
            wakers: Mutex::default(),
        })
    }

    /// Whether a directory holds a topic.
    pub(super) fn is_topic(dir: &Path) -> bool {
        dir.join(META_FILE).is_file()
    }

    /// A partition.
    ///
    /// # Errors
    /// `Invalid` for a number that does not exist; `Unavailable` when the topic was deleted.
    pub(super) fn partition(&self, partition: u32) -> Result<&Partition> {
        if self.deleted.load(Ordering::Acquire) {
            return Err(Error::unavailable(format!(
                "topic \"{}\" was deleted",
                self.name
            )));
        }
        self.partitions.get(partition as usize).ok_or_else(|| {
            Error::unknown(format!(
                "topic \"{}\" has no partition {partition}, only 0 to {}",
                self.name,
                self.config.partitions - 1
            ))
        })
    }

    /// Appends encoded batches and wakes readers.
    ///
    /// # Errors
    /// As [`Partition::append`] and [`Topic::partition`].
    pub(super) fn append(&self, partition: u32, encoded: &mut Encoded) -> Result<i64> {
        let offset = self.partition(partition)?.append(encoded)?;
        self.wake();
        Ok(offset)
    }

    /// Lets readers go on behind the records of a transaction that has ended.
    pub(super) fn settle(&self, id: TransactionId, partitions: &BTreeSet<u32>) {
        for partition in partitions {
            if let Some(partition) = self.partitions.get(*partition as usize) {
                partition.settle(id);
            }
        }
        self.wake();
    }

    /// Its partitions.
    pub(super) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// Makes what was appended durable, as far as the policy says.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn flush(&self) -> Result<()> {
        self.partitions.iter().try_for_each(Partition::flush)
    }

    /// Whether no more records come.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Ends the topic: once this returns nothing is appended any more, and that survives a crash.
    ///
    /// # Errors
    /// `Storage` naming the path; the topic is then not sealed.
    pub(super) fn seal(&self) -> Result<()> {
        let writers: Vec<_> = self.partitions.iter().map(Partition::lock_writer).collect();
        if !self.is_sealed() {
            self.flush()?;
            write_meta(&self.dir, &self.name, self.config, true)?;
            self.partitions.iter().for_each(Partition::set_sealed);
            self.sealed.store(true, Ordering::Release);
        }
        drop(writers);
        self.wake();
        Ok(())
    }

    /// Makes the topic disappear as a whole, durably, and returns the directory whose files are still to be deleted.
    ///
    /// # Errors
    /// `Storage` naming the path; the topic is then still there.
    pub(super) fn delete(&self, root: &Path) -> Result<PathBuf> {
        let writers: Vec<_> = self.partitions.iter().map(Partition::lock_writer).collect();
        let deleted = root.join(format!("{DELETED_PREFIX}{}", dir_name(&self.name)?));
        if deleted.exists() {
            std::fs::remove_dir_all(&deleted)
                .map_err(|error| storage("delete", &deleted, &error))?;
        }
        std::fs::rename(&self.dir, &deleted)
            .map_err(|error| storage("delete", &self.dir, &error))?;
        // Before its files go: a topic that is back after a power failure without some of them would keep the log from opening.
        if let Err(error) = sync_dir(root) {
            if let Err(error) = std::fs::rename(&deleted, &self.dir) {
                tracing::warn!(topic = self.name, %error, "a topic cannot be taken back and is gone at the next start");
            }
            return Err(error);
        }
        self.deleted.store(true, Ordering::Release);
        self.partitions.iter().for_each(Partition::set_sealed);
        drop(writers);
        self.wake();
        Ok(deleted)
    }

    /// Compacts the partitions, if the topic is compacted; returns how many files went. A topic that was deleted has none.
    ///
    /// # Errors
    /// As [`compact`], for the first partition that failed; every one is tried.
    pub(super) fn compact(&self, now_ms: i64, stopped: &dyn Fn() -> bool) -> Result<usize> {
        if !self.config.compacted {
            return Ok(0);
        }
        let results: Vec<_> = self
            .partitions
            .iter()
            .map(|partition| compact(partition, now_ms, stopped))
            .collect();
        if self.deleted.load(Ordering::Acquire) {
            return Ok(0);
        }
        results.into_iter().sum()
    }

    /// Deletes segments that are too old at `now_ms`; returns how many.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn run_retention(&self, now_ms: i64) -> Result<usize> {
        let Some(retention_ms) = self.config.retention_ms.filter(|_| !self.config.compacted) else {
            return Ok(0);
        };
        let oldest_ms = now_ms.saturating_sub(retention_ms);
        self.partitions.iter().try_fold(0, |sum, partition| {
            Ok(sum + partition.delete_before(oldest_ms)?)
        })
    }

    /// Wakes everybody who waits for this topic.
    fn wake(&self) {
        lock(&self.wakers).wake_all();
    }
}

/// Writes `topic.json` durably.
fn write_meta(dir: &Path, name: &str, config: TopicConfig, sealed: bool) -> Result<()> {
    let meta = Meta {
        version: META_VERSION,
        name: name.to_owned(),
        partitions: config.partitions,
        retention_ms: config.retention_ms,
        cleanup_policy: if config.compacted {
            CleanupPolicy::Compact
        } else {
            CleanupPolicy::Delete
        },
        sealed,
    };
    let json = serde_json::to_vec_pretty(&meta)
        .map_err(|error| Error::internal(format!("topic settings: {error}")))?;
    replace(&dir.join(META_FILE), &json)
}
