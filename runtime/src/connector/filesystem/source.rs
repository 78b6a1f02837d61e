//! Reading files line by line.
//!
//! Place in the flow: `task` polls one reader per subtask and decodes its lines. Invariant: every line of every file comes exactly
//! once, in the order of the file, and a restored reader goes on behind the last line it gave.
//!
//! # Source
//! Flink 2.x connector `filesystem`: every file below the path, except those whose name starts with `.` or `_`.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::BytesMut;
use memchr::memchr;

use super::{path_of, storage};
use crate::connector::source::{
    Poll, Range, RawBatch, ReaderContext, Source, SourceReader, SplitInfo, SplitPosition,
    TimestampType,
};
use crate::error::{Error, Result};
use crate::sql::catalog::TableDef;

/// Bytes read at once: large enough that system calls do not show (guess, unmeasured).
const CHUNK_BYTES: usize = 256 * 1024;

/// Longest line: a bound against files that are not text, 16 MiB.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Directories below one another: a bound against links that form a ring (guess, unmeasured).
const DEPTH_MAX: usize = 32;

/// A readable directory or file.
#[derive(Debug)]
pub struct FilesystemSource {
    /// Files in order of their paths.
    files: Arc<[SourceFile]>,
    /// What an empty line is.
    empty_lines: EmptyLines,
}

/// A file found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct SourceFile {
    /// The path, which names the split.
    path: String,
    /// Time of the last change, epoch milliseconds.
    modified_ms: i64,
}

/// What an empty line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EmptyLines {
    /// A record: the `raw` format takes every line as it is.
    Records,
    /// Nothing: other formats have no empty record.
    Skipped,
}

impl FilesystemSource {
    /// The source of the files that are there now.
    ///
    /// # Errors
    /// `Invalid` without a path; `Unsupported` for other schemes and for watching; `Storage` when the path cannot be read.
    pub fn new(table: &TableDef) -> Result<Self> {
        if table.option("source.monitor-interval").is_some() {
            return Err(Error::unsupported(
                "option 'source.monitor-interval': files are read once, without watching for new ones",
            ));
        }
        let root = path_of(table)?;
        let mut files = Vec::new();
        list(&root, DEPTH_MAX, &mut files)?;
        files.sort_unstable();
        let empty_lines = match table.option("format").or(table.option("value.format")) {
            Some("raw") => EmptyLines::Records,
            _ => EmptyLines::Skipped,
        };
        Ok(Self {
            files: files.into(),
            empty_lines,
        })
    }
}

/// Adds the files at and below a path.
fn list(path: &Path, depth: usize, files: &mut Vec<SourceFile>) -> Result<()> {
    let metadata = std::fs::metadata(path).map_err(|error| storage("read", path, &error))?;
    if !metadata.is_dir() {
        files.push(source_file(path, &metadata)?);
        return Ok(());
    }
    if depth == 0 {
        return Err(Error::validation(format!(
            "\"{}\" is more than {DEPTH_MAX} directories deep",
            path.display()
        )));
    }
    let entries =
        std::fs::read_dir(path).map_err(|error| storage("list directory", path, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| storage("list directory", path, &error))?;
        let is_hidden = matches!(
            entry.file_name().as_encoded_bytes().first(),
            Some(b'.' | b'_')
        );
        if !is_hidden {
            list(&entry.path(), depth - 1, files)?;
        }
    }
    Ok(())
}

/// A file with the time of its last change.
fn source_file(path: &Path, metadata: &std::fs::Metadata) -> Result<SourceFile> {
    if !metadata.is_file() {
        return Err(Error::validation(format!(
            "\"{}\" is neither a file nor a directory",
            path.display()
        )));
    }
    let text = path.to_str().ok_or_else(|| {
        Error::validation(format!("file name \"{}\" is not UTF-8", path.display()))
    })?;
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(SourceFile {
        path: text.to_owned(),
        modified_ms: modified.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
    })
}

impl Source for FilesystemSource {
    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>> {
        let restored = context.restored.as_deref().unwrap_or_default();
        if let Some(lost) = restored
            .iter()
            .find(|position| !self.files.iter().any(|file| file.path == position.topic))
        {
            return Err(Error::validation(format!(
                "file \"{}\" of the checkpoint is gone: put it back or start without the checkpoint",
                lost.topic
            )));
        }
        let files = self.files.iter().skip(context.subtask_index);
        let splits = files.step_by(context.parallelism).map(|file| {
            let position = restored.iter().find(|known| known.topic == file.path);
            Split {
                file: file.clone(),
                offset: position.map_or(0, |known| u64::try_from(known.offset).unwrap_or(0)),
                state: SplitState::Waiting,
            }
        });
        Ok(Box::new(FilesystemReader {
            splits: splits.collect(),
            turn: 0,
            empty_lines: self.empty_lines,
        }))
    }

    fn is_bounded(&self) -> bool {
        true
    }
}

/// Reads the files of one subtask, one after another.
#[derive(Debug)]
struct FilesystemReader {
    /// The files.
    splits: Vec<Split>,
    /// The file being read.
    turn: usize,
    /// What an empty line is.
    empty_lines: EmptyLines,
}

/// One file.
#[derive(Debug)]
struct Split {
    /// Which.
    file: SourceFile,
    /// Byte behind the last line given.
    offset: u64,
    /// How far it is.
    state: SplitState,
}

/// How far a split is.
#[derive(Debug)]
enum SplitState {
    /// Not opened yet.
    Waiting,
    /// Being read.
    Reading(OpenFile),
    /// The end was reported.
    Finished,
}

/// A file being read.
#[derive(Debug)]
struct OpenFile {
    /// The file.
    file: File,
    /// Bytes read but not given, from the split's offset on.
    pending: BytesMut,
    /// Whether `pending` holds the file's last byte.
    is_complete: bool,
}

impl OpenFile {
    /// Opens a file at an offset.
    fn open(file: &SourceFile, offset: u64) -> Result<Self> {
        let path = PathBuf::from(&file.path);
        let opened = File::open(&path).map_err(|error| storage("open", &path, &error))?;
        let metadata = opened.metadata();
        let len = metadata
            .map_err(|error| storage("read", &path, &error))?
            .len();
        if offset > len {
            return Err(Error::validation(format!(
                "cannot read file \"{}\" from byte {offset}: it has only {len}; it was replaced since the checkpoint",
                file.path
            )));
        }
        Ok(Self {
            file: opened,
            pending: BytesMut::new(),
            is_complete: false,
        })
    }

    /// Makes sure that `pending` has a whole line, unless the file has none left.
    fn fill(&mut self, file: &SourceFile, offset: u64) -> Result<()> {
        let mut searched = 0;
        while !self.is_complete && memchr(b'\n', &self.pending[searched..]).is_none() {
            searched = self.pending.len();
            if searched > LINE_BYTES_MAX {
                return Err(too_long(file, offset));
            }
            self.pending.resize(searched + CHUNK_BYTES, 0);
            let at = offset + searched as u64;
            let read = loop {
                match self.file.read_at(&mut self.pending[searched..], at) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    other => break other,
                }
            };
            let read = read.map_err(|error| storage("read", Path::new(&file.path), &error))?;
            self.pending.truncate(searched + read);
            self.is_complete = read == 0;
        }
        Ok(())
    }
}

/// The error of a line that is too long.
fn too_long(file: &SourceFile, offset: u64) -> Error {
    Error::deserialization(format!(
        "file \"{}\": the line at byte {offset} is longer than {LINE_BYTES_MAX} bytes",
        file.path
    ))
}

impl Split {
    /// The next lines; none at the end of the file.
    fn read(&mut self, rows_max: usize, empty_lines: EmptyLines) -> Result<RawBatch> {
        if let SplitState::Waiting = self.state {
            self.state = SplitState::Reading(OpenFile::open(&self.file, self.offset)?);
        }
        let mut batch = RawBatch::default();
        let SplitState::Reading(open) = &mut self.state else {
            return Ok(batch);
        };
        while batch.rows() == 0 {
            open.fill(&self.file, self.offset)?;
            if open.pending.is_empty() {
                break;
            }
            let mut start = 0;
            while batch.rows() < rows_max && start < open.pending.len() {
                let rest = &open.pending[start..];
                let (line, taken) = match memchr(b'\n', rest) {
                    Some(end) => (&rest[..end], end + 1),
                    None if open.is_complete => (rest, rest.len()),
                    None => break,
                };
                if line.len() > LINE_BYTES_MAX {
                    return Err(too_long(&self.file, self.offset + start as u64));
                }
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let end = self.offset + (start + taken) as u64;
                if !line.is_empty() || empty_lines == EmptyLines::Records {
                    push(&mut batch, start, line.len(), end)?;
                }
                start += taken;
            }
            self.offset += start as u64;
            batch.buffer = open.pending.split_to(start).freeze();
        }
        let rows = batch.rows();
        batch.keys = vec![None; rows];
        batch.timestamps_ms = vec![self.file.modified_ms; rows];
        batch.timestamp_type = TimestampType::None;
        Ok(batch)
    }
}

/// Adds a line to a batch.
fn push(batch: &mut RawBatch, start: usize, len: usize, end: u64) -> Result<()> {
    let narrow =
        |value: usize| u32::try_from(value).map_err(|_| Error::internal("a buffer past 4 GiB"));
    batch.values.push(Some(Range {
        start: narrow(start)?,
        len: narrow(len)?,
    }));
    batch.offsets.push(i64::try_from(end).unwrap_or(i64::MAX));
    Ok(())
}

impl SourceReader for FilesystemReader {
    fn poll(&mut self, rows_max: usize) -> Result<Poll> {
        let Some(split) = self.splits.get_mut(self.turn) else {
            return Ok(Poll::EndOfInput);
        };
        let mut batch = split.read(rows_max.max(1), self.empty_lines)?;
        batch.split = self.turn;
        if batch.rows() > 0 {
            return Ok(Poll::Raw(batch));
        }
        split.state = SplitState::Finished;
        self.turn += 1;
        Ok(Poll::SplitFinished { split: batch.split })
    }

    fn splits(&self) -> Vec<SplitInfo> {
        let info = |split: &Split| SplitInfo {
            topic: split.file.path.clone(),
            partition: 0,
            pending_records: matches!(split.state, SplitState::Finished).then_some(0),
        };
        self.splits.iter().map(info).collect()
    }

    fn positions(&self) -> Vec<SplitPosition> {
        let position = |split: &Split| SplitPosition {
            topic: split.file.path.clone(),
            partition: 0,
            offset: i64::try_from(split.offset).unwrap_or(i64::MAX),
        };
        self.splits.iter().map(position).collect()
    }

    fn drain(&mut self) -> Result<()> {
        // A file's present end is where reading ends anyway.
        Ok(())
    }
}
