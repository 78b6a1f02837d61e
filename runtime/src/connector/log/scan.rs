//! Walking through the batches of a segment file.
//!
//! Place in the flow: the segment that is written next is scanned at every start, others when their index is needed. Invariant: damage
//! with good batches behind it is passed over and kept, so that reading it is an error and reading behind it is not; bytes inside of a
//! record that look like batches are not taken for the log's own.

use std::fs::File;
use std::path::Path;

use super::files::{read_at, storage};
use super::index::Index;
use super::record_batch::{HEADER_BYTES, Header, RECORD_BYTES_MIN};
use crate::error::Result;

/// File bytes read at once by a scan (guess, unmeasured).
const SCAN_CHUNK_BYTES: usize = 256 << 10;
/// A search behind damage compares checksums of at most this many times the bytes that it searches: somebody may have stored a row of
/// headers, each of which claims the rest of the file (guess, unmeasured).
const SEARCH_CHECKSUMS_MAX: usize = 16;

/// How much a scan checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checks {
    /// Batch headers; records are checked when they are read.
    Headers,
    /// Checksums too.
    Checksums,
}

/// What is known of a segment before it is scanned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Offset of its first batch.
    pub(super) base_offset: i64,
    /// Offset after its last batch; absent for the segment that is written next.
    pub(super) end_offset: Option<i64>,
    /// Bytes of the file to look at.
    pub(super) size: u64,
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
/// damage with nothing good behind it is a tail that was torn by a crash. What counts as good there: see [`Window::resync`].
///
/// # Errors
/// `Storage` naming the file.
pub(super) fn scan(path: &Path, bounds: Bounds, checks: Checks) -> Result<Scan> {
    let size = bounds.size;
    let mut window = Window::open(path, size)?;
    let mut scan = Scan {
        index: Index::default(),
        next_offset: bounds.base_offset,
        valid_bytes: 0,
        reason: None,
    };
    while scan.valid_bytes < size {
        let position = scan.valid_bytes;
        let header = match window.batch(position, checks)? {
            Ok(header) if header.base_offset == scan.next_offset => header,
            other => {
                let reason = other.err().unwrap_or("the offsets do not continue");
                let Some((found, header)) = window.resync(Damage {
                    position,
                    expected: scan.next_offset,
                    end_offset: bounds.end_offset,
                })?
                else {
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

    /// The batch behind a damaged place with which the log goes on; absent when there is none.
    ///
    /// The damaged batch's own length is believed where it leads to a good batch that begins at the offset where the damaged one
    /// says to end. Else every later byte is tried. A batch found there counts only when good batches follow it, each with the
    /// offset at which the one before ends, up to the very end of the file. Those inside of a record do not reach it, since the rest
    /// of their record follows.
    fn resync(&mut self, damage: Damage) -> Result<Option<(u64, Header)>> {
        if let Ok(damaged) = Header::parse(self.get(damage.position, HEADER_BYTES)?)
            && damaged.base_offset == damage.expected
        {
            let behind = damage.position + damaged.bytes as u64;
            if behind < self.size
                && let Ok(next) = self.batch(behind, Checks::Checksums)?
                && next.base_offset == damaged.next_offset
                && damage.allows(&next)
            {
                return Ok(Some((behind, next)));
            }
        }
        let rest = saturating_usize(self.size - damage.position);
        let found = damage.search(self.get(damage.position, rest)?);
        Ok(found.map(|(at, header)| (damage.position + at as u64, header)))
    }
}

/// A damaged place, and what batches behind it have to fit.
#[derive(Debug, Clone, Copy)]
struct Damage {
    /// Its first byte.
    position: u64,
    /// Offset that was expected there.
    expected: i64,
    /// Offset after the last batch of the segment; absent for the segment that is written next.
    end_offset: Option<i64>,
}

impl Damage {
    /// Whether a batch may be one of this segment.
    fn allows(self, header: &Header) -> bool {
        header.base_offset >= self.expected
            && self.end_offset.is_none_or(|end| header.next_offset <= end)
    }

    /// Whether a batch behind `skipped` damaged bytes may be one of this segment: appended records are too large for those bytes to
    /// have held more offsets. Where the end is known, the offsets have to lead there, and compacted batches may have held any number.
    fn allows_behind(self, skipped: usize, header: &Header) -> bool {
        let most = i64::try_from(skipped / RECORD_BYTES_MIN).unwrap_or(i64::MAX);
        self.allows(header)
            && (self.end_offset.is_some() || header.base_offset - self.expected <= most)
    }

    /// The first batch in `bytes`, which begin with the damage, whose chain of good batches ends where they end.
    fn search(self, bytes: &[u8]) -> Option<(usize, Header)> {
        let mut budget = bytes.len().saturating_mul(SEARCH_CHECKSUMS_MAX);
        let mut at = 1;
        while at + HEADER_BYTES <= bytes.len() {
            let candidate = Header::parse(&bytes[at..])
                .ok()
                .filter(|header| self.allows_behind(at, header));
            let Some(first) = candidate else {
                at += 1;
                continue;
            };
            let chain = chain(bytes, at, &mut budget)?;
            if chain.position == bytes.len()
                && self.end_offset.is_none_or(|end| chain.next_offset == end)
            {
                return Some((at, first));
            }
            // What was in the chain leads to the same place.
            at = chain.position.max(at + 1);
        }
        None
    }
}

/// Where a row of good batches ends.
#[derive(Debug, Clone, Copy)]
struct Chain {
    /// Byte after the last one.
    position: usize,
    /// Offset after the last one.
    next_offset: i64,
}

/// Follows good batches from a place on, each of which continues the offsets of the one before; takes the bytes whose checksums it
/// compares from `budget`, and is absent when that does not suffice.
fn chain(bytes: &[u8], start: usize, budget: &mut usize) -> Option<Chain> {
    let mut position = start;
    let mut expected = None;
    while let Ok(header) = Header::parse(&bytes[position..])
        && expected.is_none_or(|offset| offset == header.base_offset)
        && let Some(batch) = bytes[position..].get(..header.bytes)
    {
        *budget = budget.checked_sub(batch.len())?;
        if header.verify(batch).is_err() {
            break;
        }
        position += batch.len();
        expected = Some(header.next_offset);
    }
    Some(Chain {
        position,
        next_offset: expected.unwrap_or_default(),
    })
}

/// A file length as a length in memory.
fn saturating_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
