//! Walking through the batches of a segment file.
//!
//! Place in the flow: the segment that is written next is scanned at every start, others when their index is needed. Invariant: damage
//! with good batches behind it is passed over and kept, so that reading it is an error and reading behind it is not.

use std::fs::File;
use std::path::Path;

use super::files::{read_at, storage};
use super::index::Index;
use super::record_batch::{HEADER_BYTES, Header};
use crate::error::Result;

/// File bytes read at once by a scan (guess, unmeasured).
const SCAN_CHUNK_BYTES: usize = 256 << 10;

/// How much a scan checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checks {
    /// Batch headers; records are checked when they are read.
    Headers,
    /// Checksums too.
    Checksums,
}

/// What a scan found.
#[derive(Debug)]
pub(super) struct Scan {
    /// The index.
    pub(super) index: Index,
    /// Offset after the last good batch.
    pub(super) next_offset: i64,
    /// Bytes up to the end of the last good batch.
    pub(super) valid_bytes: u64,
    /// Why the bytes after it are not good, if there are any.
    pub(super) reason: Option<&'static str>,
}

/// Walks through the batches of a segment.
///
/// Damage with good batches behind it is kept and skipped, so that reading it is an error and reading behind it is not;
/// damage with nothing good behind it is a tail that was torn by a crash.
pub(super) fn scan(path: &Path, base_offset: i64, size: u64, checks: Checks) -> Result<Scan> {
    let mut window = Window::open(path, size)?;
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
        scan.index.add_header(&header, scan.valid_bytes);
        scan.valid_bytes += header.bytes as u64;
        scan.next_offset = header.next_offset;
    }
    Ok(scan)
}

/// A moving part of a file in memory.
pub(super) struct Window<'a> {
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

impl<'a> Window<'a> {
    /// A window onto the first `size` bytes of a file.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn open(path: &'a Path, size: u64) -> Result<Self> {
        let file = File::open(path).map_err(|error| storage("open", path, &error))?;
        Ok(Self {
            file,
            path,
            size,
            start: 0,
            bytes: Vec::new(),
        })
    }

    /// The header of the batch at `position`, whose checksum matches, or the reason why there is none.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn verified(&mut self, position: u64) -> Result<Result<Header, &'static str>> {
        self.batch(position, Checks::Checksums)
    }

    /// The bytes at `position`: `len` of them, or fewer at the end of the file.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub(super) fn get(&mut self, position: u64, len: usize) -> Result<&[u8]> {
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
