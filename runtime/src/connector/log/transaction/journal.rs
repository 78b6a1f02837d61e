//! The journal of commits: one file for the whole store, a line per commit.
//!
//! Place in the flow: the coordinator appends a line, and only then are the rows of the transaction seen. Invariant: a line is there
//! whole or not at all after a crash, and a line that was damaged later is an error and never taken for one that was torn.
//!
//! # Source
//! `docs/formats/log.md`, "Journal".

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::id::GENERATION_MAX;
use super::table::{Line, Table};
use crate::connector::log::files::{exchange, replace, storage, sync_dir};
use crate::error::{Error, Result};

/// The file in the store's directory.
pub(in crate::connector::log) const JOURNAL_FILE: &str = ".transactions";
/// The first line: says what the file is, and the version.
const TITLE: &str = "weir log transactions 1";
/// Bytes of the checksum of a line, in hexadecimal digits, and of the space behind it.
const CHECKSUM_BYTES: usize = 9;
/// What a device writes at once at least: the classic sector.
const BLOCK_BYTES: usize = 512;
/// The journal is rewritten when it is larger than this and than twice what is left of it; about 6,000 commits (guess, unmeasured).
const COMPACT_BYTES: u64 = 1 << 20;

/// The journal, open for appending.
#[derive(Debug)]
pub(super) struct Journal {
    /// The file.
    path: PathBuf,
    /// Bytes that count.
    size: u64,
    /// Size above which the journal is rewritten.
    compact_above: u64,
    /// Whether a line is on the device before [`Journal::append`] returns.
    durable: bool,
    /// Whether there may be bytes behind those that count, which have to go first.
    torn: bool,
    /// Whether the name may still lead to an older file after a power failure.
    unsynced_name: bool,
}

/// A journal with what was in it.
#[derive(Debug)]
pub(super) struct Opened {
    /// The journal.
    pub(super) journal: Journal,
    /// What was in it.
    pub(super) table: Table,
    /// The generation of this process, which no other has had.
    pub(super) generation: u32,
}

impl Journal {
    /// Reads the journal of a directory, or begins one, and writes it anew with the next generation. That is durable when this
    /// returns, whatever the policy, and a torn tail is gone.
    ///
    /// # Errors
    /// `Corrupt` naming file and place; `Storage` naming the file.
    pub(super) fn open(dir: &Path, durable: bool) -> Result<Opened> {
        let path = dir.join(JOURNAL_FILE);
        let (last_generation, table) = match std::fs::read(&path) {
            Ok(bytes) => parse(&path, &bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => (0, Table::default()),
            Err(error) => return Err(storage("read", &path, &error)),
        };
        let generation = last_generation + 1;
        if generation > GENERATION_MAX {
            return Err(Error::corrupt(format!(
                "log journal \"{}\" has no more numbers: the log was opened too often",
                path.display()
            )));
        }
        let content = first_lines(&table, generation)?;
        replace(&path, &content)?;
        let mut journal = Self {
            path,
            size: 0,
            compact_above: 0,
            durable,
            torn: false,
            unsynced_name: false,
        };
        journal.set_size(content.len());
        Ok(Opened {
            journal,
            table,
            generation,
        })
    }

    /// Adds a line. On an error the line is not there and will not be, or [`Journal::repair`] says otherwise.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn append(&mut self, line: &Line) -> Result<()> {
        self.repair()?;
        let bytes = encode(line)?;
        let file = File::options()
            .write(true)
            .open(&self.path)
            .map_err(|error| storage("open", &self.path, &error))?;
        let written = file.write_all_at(&bytes, self.size).and_then(|()| {
            if self.durable {
                file.sync_data()
            } else {
                Ok(())
            }
        });
        if let Err(error) = written {
            self.torn = true;
            if let Err(error) = self.repair() {
                tracing::warn!(%error, "the log cannot take back what it could not write");
            }
            return Err(storage("append to", &self.path, &error));
        }
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Takes back what a failed append may have left. Until this succeeds nobody knows whether that line counts after a restart.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn repair(&mut self) -> Result<()> {
        if self.torn {
            File::options()
                .write(true)
                .open(&self.path)
                .and_then(|file| {
                    file.set_len(self.size)?;
                    // Whatever the policy: a commit that was taken back and aborted since must not be back after a power failure.
                    file.sync_all()
                })
                .map_err(|error| storage("truncate", &self.path, &error))?;
            self.torn = false;
        }
        if self.unsynced_name {
            self.path.parent().map_or(Ok(()), sync_dir)?;
            self.unsynced_name = false;
        }
        Ok(())
    }

    /// Rewrites a journal that has grown. A failure changes nothing but is not tried again soon.
    pub(super) fn compact_if_large(&mut self, table: &Table, generation: u32) {
        if self.size <= self.compact_above {
            return;
        }
        let compacted = first_lines(table, generation)
            .and_then(|content| exchange(&self.path, &content).map(|()| content.len()));
        match compacted {
            Ok(bytes) => {
                self.set_size(bytes);
                self.torn = false;
                self.unsynced_name = true;
                // A failure is repeated and reported by the next append.
                if let Err(error) = self.repair() {
                    tracing::warn!(%error, "the journal of the log is not safe from a power failure");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the journal of the log was not compacted");
                self.compact_above = self.size + COMPACT_BYTES;
            }
        }
    }

    /// Notes the size of a journal that was just written.
    fn set_size(&mut self, bytes: usize) {
        self.size = bytes as u64;
        self.compact_above = COMPACT_BYTES.max(self.size * 2);
    }
}

/// The beginning of a journal.
fn first_lines(table: &Table, generation: u32) -> Result<Vec<u8>> {
    let mut content = format!("{TITLE}\n").into_bytes();
    content.extend(encode(&Line::Snapshot(table.snapshot(generation)))?);
    Ok(content)
}

/// A line: checksum, space, JSON, end of line. The JSON has neither an end of line nor a zero byte inside.
fn encode(line: &Line) -> Result<Vec<u8>> {
    let json = serde_json::to_string(line)
        .map_err(|error| Error::internal(format!("journal line: {error}")))?;
    Ok(format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes())).into_bytes())
}

/// The inverse of [`encode`], without the end of line.
fn decode(line: &[u8]) -> Result<Line, &'static str> {
    let (checksum, json) = line
        .split_at_checked(CHECKSUM_BYTES)
        .ok_or("the line is too short")?;
    if checksum != format!("{:08x} ", crc32c::crc32c(json)).as_bytes() {
        return Err("the checksum does not match");
    }
    serde_json::from_slice(json).map_err(|_| "the line is of another version of weir")
}

/// Reads a whole journal: the last generation and what is committed.
fn parse(path: &Path, bytes: &[u8]) -> Result<(u32, Table)> {
    let lines = split(path, bytes)?;
    let Some(((_, Line::Snapshot(first)), rest)) = lines.split_first() else {
        let place = Place {
            line: 2,
            position: TITLE.len() + 1,
        };
        return Err(corrupt(path, place, "it does not begin with a snapshot"));
    };
    let generation = first.generation;
    let mut table = Table::from_snapshot(first.clone());
    for (place, line) in rest {
        match line {
            Line::Commit(commit) => table.commit(commit.clone()),
            Line::Forget(forget) => table.forget(&forget.owner),
            Line::Snapshot(_) => {
                return Err(corrupt(path, *place, "a snapshot is not the first entry"));
            }
        }
    }
    Ok((generation, table))
}

/// A place in a journal.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Number of the line, from 1.
    line: usize,
    /// Its first byte.
    position: usize,
}

/// The lines of a journal with their places; a torn tail is left out.
fn split(path: &Path, bytes: &[u8]) -> Result<Vec<(Place, Line)>> {
    let mut lines = Vec::new();
    let mut position = 0;
    for (number, part) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let last = position + part.len() == bytes.len();
        let place = Place {
            line: number + 1,
            position,
        };
        match (number, part.strip_suffix(b"\n")) {
            (0, title) => {
                if title != Some(TITLE.as_bytes()) {
                    return Err(corrupt(path, place, "it is not a journal of this version"));
                }
            }
            (_, Some(line)) => match decode(line) {
                Ok(line) => lines.push((place, line)),
                Err(_) if last && number > 1 && has_unwritten_block(line) => {
                    torn(path, position, part);
                }
                Err(reason) => return Err(corrupt(path, place, reason)),
            },
            (_, None) => {
                if part.len() > 1 && decode(&part[..part.len() - 1]).is_ok() {
                    return Err(corrupt(path, place, "the end of the line is damaged"));
                }
                torn(path, position, part);
            }
        }
        position += part.len();
    }
    Ok(lines)
}

/// Whether a block of a line was kept from the device by a power failure, which leaves zeros up to the next block. One damaged byte
/// does not look like that.
fn has_unwritten_block(line: &[u8]) -> bool {
    line.starts_with(&[0])
        || line
            .chunk_by(|a, b| a == b)
            .any(|run| run[0] == 0 && run.len() >= BLOCK_BYTES)
}

/// Says that a tail is dropped.
fn torn(path: &Path, position: usize, part: &[u8]) {
    tracing::warn!(
        file = %path.display(),
        position,
        dropped_bytes = part.len(),
        "dropped a torn tail of the log's journal"
    );
}

/// An error that names file, place and the way out: lines behind the snapshot do not depend on one another.
fn corrupt(path: &Path, place: Place, reason: &str) -> Error {
    let Place { line, position } = place;
    let way_out = if line > 2 {
        format!(
            "check the disk, then restore the file from a copy or delete line {line}, and what it committed counts as aborted"
        )
    } else {
        "check the disk, then restore the file from a copy".to_owned()
    };
    Error::corrupt(format!(
        "log journal \"{}\" is damaged at byte {position}, in line {line}: {reason}; {way_out}",
        path.display()
    ))
}
