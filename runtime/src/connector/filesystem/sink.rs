//! Writing encoded records to files, one a line.
//!
//! Place in the flow: `task` hands encoded records to one writer per subtask and flushes it with every checkpoint. Invariant: a
//! file has its final name only when it is complete and on disk, so a reader of the directory never sees half a record; under
//! exactly-once it gets that name only when the checkpoint that names it is durable, so rows are seen once.
//!
//! # Source
//! Flink 2.x connector `filesystem`: hidden in-progress files, `sink.rolling-policy.file-size` (128 MB).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use memchr::memchr;

use super::{path_of, storage};
use crate::batch::Batch;
use crate::connector::sink::{EncodedBatch, Sink, SinkInput, SinkWriter, WriterContext};
use crate::error::{Error, Result};
use crate::sql::catalog::TableDef;

/// Bytes of a file before the next one is started (Flink's default).
const FILE_BYTES_DEFAULT: u64 = 128 * 1024 * 1024;

/// What files that are being written end with.
const IN_PROGRESS: &str = ".in-progress";

/// A writable directory.
#[derive(Debug)]
pub struct FilesystemSink {
    /// The directory.
    directory: PathBuf,
    /// Bytes of a file before the next one is started.
    file_bytes: u64,
}

impl FilesystemSink {
    /// A sink of a directory, which is created when it is missing.
    ///
    /// # Errors
    /// `Invalid` without a path, for a path that is a file and for a size that is not one; `Unsupported` for other schemes.
    pub fn new(table: &TableDef) -> Result<Self> {
        let directory = path_of(table)?;
        if directory.exists() && !directory.is_dir() {
            return Err(Error::option(format!(
                "option 'path': \"{}\" is a file; a sink writes into a directory",
                directory.display()
            )));
        }
        let key = "sink.rolling-policy.file-size";
        let file_bytes = match table.option(key) {
            None => FILE_BYTES_DEFAULT,
            Some(text) => memory_size(text).ok_or_else(|| {
                Error::option(format!(
                    "option '{key}': \"{text}\" is not a size like 128MB"
                ))
            })?,
        };
        Ok(Self {
            directory,
            file_bytes,
        })
    }
}

/// Bytes of `128MB`, `64 kb` or a bare number; units are powers of 1024, as Flink has them.
fn memory_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let shift = match unit.trim() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kibibytes" => 10,
        "m" | "mb" | "mebibytes" => 20,
        "g" | "gb" | "gibibytes" => 30,
        _ => return None,
    };
    let bytes = number.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    (bytes > 0).then_some(bytes)
}

impl Sink for FilesystemSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        std::fs::create_dir_all(&self.directory)
            .map_err(|error| storage("create directory", &self.directory, &error))?;
        let uid = context.statement_uid.replace('/', "_");
        let prefix = format!("part-{uid}-{}-", context.subtask_index);
        // The first writer also removes what subtasks have left that there are no more; those after it have not begun.
        let left_by = match context.subtask_index {
            0 => &format!("part-{uid}-"),
            _ => &prefix,
        };
        clean(&self.directory, left_by)?;
        let next = next_number(&self.directory, &prefix)?;
        let mut writer = FilesystemWriter {
            directory: self.directory.clone(),
            prefix,
            file_bytes: self.file_bytes,
            next,
            open: None,
            complete: Vec::new(),
            publishes: context.publishes,
            prepared: Vec::new(),
            lines: Vec::new(),
        };
        // Opened now, so that a directory that refuses fails the statement before it runs.
        writer.open = Some(writer.create()?);
        Ok(Box::new(writer))
    }

    fn input(&self) -> SinkInput {
        SinkInput::Records
    }

    fn publishes(&self) -> bool {
        true
    }

    fn publish(&self, prepared: &[String]) -> Result<()> {
        for name in prepared {
            let (hidden, path) = (
                self.directory.join(format!(".{name}{IN_PROGRESS}")),
                self.directory.join(name),
            );
            match std::fs::rename(&hidden, &path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.exists() => {}
                renamed => renamed.map_err(|error| storage("rename to", &path, &error))?,
            }
        }
        if prepared.is_empty() {
            Ok(())
        } else {
            sync(&self.directory)
        }
    }
}

/// Makes the names of a directory durable.
fn sync(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(|error| storage("sync directory", directory, &error))
}

/// Removes what earlier attempts of a statement left in progress: no checkpoint covers the rows of such files, so they come again.
fn clean(directory: &Path, prefix: &str) -> Result<()> {
    for (name, path) in entries(directory)? {
        let hidden = name
            .strip_prefix('.')
            .and_then(|name| name.strip_suffix(IN_PROGRESS));
        if hidden.is_some_and(|name| name.starts_with(prefix)) {
            std::fs::remove_file(&path).map_err(|error| storage("remove", &path, &error))?;
        }
    }
    Ok(())
}

/// The first number that no file of a subtask has.
fn next_number(directory: &Path, prefix: &str) -> Result<u64> {
    let entries = entries(directory)?;
    let numbers = entries
        .iter()
        .filter_map(|(name, _)| number_of(name, prefix));
    Ok(numbers.max().map_or(0, |number| number + 1))
}

/// Names and paths of a directory.
fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>> {
    let fails = |error| storage("list directory", directory, &error);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(fails)? {
        let entry = entry.map_err(fails)?;
        if let Some(name) = entry.file_name().to_str() {
            entries.push((name.to_owned(), entry.path()));
        }
    }
    Ok(entries)
}

/// The number of a file of this prefix.
fn number_of(name: &str, prefix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// Writes for one subtask.
#[derive(Debug)]
struct FilesystemWriter {
    /// The directory.
    directory: PathBuf,
    /// What names of this writer's files start with.
    prefix: String,
    /// Bytes of a file before the next one is started.
    file_bytes: u64,
    /// Number of the next file.
    next: u64,
    /// The file being written; absent until there is something to write.
    open: Option<OpenFile>,
    /// Numbers of files that are on disk but not renamed, since no flush has covered them.
    complete: Vec<u64>,
    /// Whether a flush leaves renaming to [`Sink::publish`].
    publishes: bool,
    /// Files that a flush has covered and that wait for it.
    prepared: Vec<String>,
    /// Lines of the batch at hand; empty between batches.
    lines: Vec<u8>,
}

/// A file being written.
#[derive(Debug)]
struct OpenFile {
    /// Its number.
    number: u64,
    /// The file.
    file: File,
    /// Bytes in it.
    bytes: u64,
}

impl FilesystemWriter {
    /// The hidden path of a file being written.
    fn hidden_path(&self, number: u64) -> PathBuf {
        let name = format!(".{}{number}{IN_PROGRESS}", self.prefix);
        self.directory.join(name)
    }

    /// Starts the next file.
    fn create(&mut self) -> Result<OpenFile> {
        let number = self.next;
        let path = self.hidden_path(number);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| storage("create", &path, &error))?;
        self.next += 1;
        Ok(OpenFile {
            number,
            file,
            bytes: 0,
        })
    }

    /// Brings the file being written to disk, unless it is empty.
    fn close(&mut self) -> Result<()> {
        if let Some(open) = self.open.take_if(|open| open.bytes > 0) {
            let synced = open.file.sync_all();
            synced.map_err(|error| storage("sync", &self.hidden_path(open.number), &error))?;
            self.complete.push(open.number);
        }
        Ok(())
    }

    /// Puts the records of a batch into `lines`.
    fn encode(&mut self, records: &EncodedBatch) -> Result<()> {
        if records.ops.iter().any(|op| *op != 0) {
            return Err(Error::unsupported(
                "the filesystem sink takes inserts only: a changelog needs a topic",
            ));
        }
        self.lines.clear();
        for value in &records.values {
            let value = value.ok_or_else(|| {
                Error::unsupported("the filesystem sink takes inserts only: a delete needs a topic")
            })?;
            let value = value.of(&records.buffer);
            if memchr(b'\n', value).is_some() {
                return Err(Error::deserialization(format!(
                    "cannot write to \"{}\": a record holds a line feed, which ends records here",
                    self.directory.display()
                )));
            }
            self.lines.extend_from_slice(value);
            self.lines.push(b'\n');
        }
        Ok(())
    }
}

impl SinkWriter for FilesystemWriter {
    fn write_rows(&mut self, _batch: &Batch) -> Result<()> {
        Err(Error::internal("the filesystem sink takes encoded records"))
    }

    fn write_records(&mut self, records: &EncodedBatch) -> Result<()> {
        self.encode(records)?;
        if self.lines.is_empty() {
            return Ok(());
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.create()?,
        };
        let written = open.file.write_all(&self.lines);
        written.map_err(|error| storage("write", &self.hidden_path(open.number), &error))?;
        open.bytes += self.lines.len() as u64;
        let is_full = open.bytes >= self.file_bytes;
        self.open = Some(open);
        if is_full { self.close() } else { Ok(()) }
    }

    fn ready(&mut self) -> bool {
        true
    }

    fn flush(&mut self) -> Result<bool> {
        self.close()?;
        if self.complete.is_empty() {
            return Ok(true);
        }
        for number in std::mem::take(&mut self.complete) {
            let name = format!("{}{number}", self.prefix);
            if self.publishes {
                self.prepared.push(name);
                continue;
            }
            let path = self.directory.join(name);
            std::fs::rename(self.hidden_path(number), &path)
                .map_err(|error| storage("rename to", &path, &error))?;
        }
        sync(&self.directory)?;
        Ok(true)
    }

    fn prepared(&mut self) -> Result<Vec<String>> {
        Ok(std::mem::take(&mut self.prepared))
    }
}

impl Drop for FilesystemWriter {
    fn drop(&mut self) {
        // An empty file holds nothing; what has rows is left for the next attempt to remove.
        if let Some(open) = self.open.take_if(|open| open.bytes == 0)
            && let Err(error) = std::fs::remove_file(self.hidden_path(open.number))
        {
            tracing::warn!(%error, directory = %self.directory.display(), "an empty in-progress file stays");
        }
    }
}
