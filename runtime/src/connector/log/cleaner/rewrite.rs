//! Reading the committed records of closed segments, and writing those that stay into one file.
//!
//! Place in the flow: below a pass. Invariant: nothing is passed over in silence: damage, and offsets that are missing, end the pass.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::keys::Keys;
use crate::connector::log::files::{storage, sync_dir};
use crate::connector::log::partition::{Closed, Partition};
use crate::connector::log::record_batch::{CompactEncoder, Header, Record, RecordReader, Wanted};
use crate::connector::log::scan::Window;
use crate::connector::log::segment::Segment;
use crate::connector::log::segment_name::{Compacted, SegmentName, UNFINISHED};
use crate::connector::source::RawBatch;
use crate::error::{Error, Result};

/// Bytes written at once (guess, unmeasured).
const WRITE_BYTES: usize = 1 << 20;

/// A batch whose records count.
pub(super) struct Committed<'a> {
    /// Its header.
    header: &'a Header,
    /// Its records, as slices of `bytes`.
    records: &'a RawBatch,
    /// The whole batch.
    bytes: &'a [u8],
}

impl Committed<'_> {
    /// Offset and key of every record that has a key.
    pub(super) fn keys(&self) -> impl Iterator<Item = (i64, &[u8])> {
        let keys = self.records.offsets.iter().zip(&self.records.keys);
        keys.filter_map(|(offset, key)| Some((*offset, key.as_ref()?.of(self.bytes))))
    }
}

/// Shows every committed batch of a closed segment.
///
/// # Errors
/// `Corrupt` naming file and place; `Storage` naming the file; whatever `visit` returns.
pub(super) fn read_committed(
    partition: &Partition,
    closed: &Closed,
    mut visit: impl FnMut(Committed<'_>) -> Result<()>,
) -> Result<()> {
    let segment = &closed.segment;
    let mut window = Window::open(&segment.path, segment.size())?;
    let mut records = RawBatch::default();
    let (mut position, mut expected) = (0, segment.base_offset);
    while position < segment.size() {
        let corrupt = |reason| segment.corrupt(position, reason);
        let header = window.verified(position)?.map_err(corrupt)?;
        if header.base_offset != expected {
            return Err(corrupt("the offsets do not continue"));
        }
        if partition.is_committed(header.transaction) {
            let bytes = window.get(position, header.bytes)?;
            records.keys.clear();
            records.values.clear();
            records.offsets.clear();
            records.timestamps_ms.clear();
            records.headers.clear();
            let all = Wanted {
                from: header.base_offset,
                until: i64::MAX,
                rows_max: usize::MAX,
            };
            RecordReader::new(header, 0)
                .decode(bytes, all, &mut records)
                .map_err(corrupt)?;
            visit(Committed {
                header: &header,
                records: &records,
                bytes,
            })?;
        }
        position += header.bytes as u64;
        expected = header.next_offset;
    }
    if expected == closed.end_offset {
        Ok(())
    } else {
        Err(segment.corrupt(position, "the last offsets are missing"))
    }
}

/// What stays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule<'a> {
    /// Newest offsets of the keys.
    pub(super) keys: &'a Keys,
    /// Deletes with an earlier or the same horizon are forgotten.
    pub(super) now_ms: i64,
    /// The horizon of deletes that have none yet.
    pub(super) delete_horizon_ms: i64,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It stays.
    Kept,
    /// It stays until then.
    KeptUntil(i64),
    /// A newer one counts, or it is a delete that nobody needs any more.
    Dropped,
}

impl Rule<'_> {
    /// What becomes of a record.
    fn fate(&self, batch: &Committed<'_>, row: usize) -> Fate {
        let Some(key) = batch.records.keys[row].map(|key| key.of(batch.bytes)) else {
            // Without a key nothing takes its place.
            return Fate::Kept;
        };
        if self.keys.is_superseded(key, batch.records.offsets[row]) {
            return Fate::Dropped;
        }
        if batch.records.values[row].is_some() {
            return Fate::Kept;
        }
        match batch.header.delete_horizon_ms() {
            Some(horizon) if horizon <= self.now_ms => Fate::Dropped,
            Some(horizon) => Fate::KeptUntil(horizon),
            None => Fate::KeptUntil(self.delete_horizon_ms),
        }
    }
}

/// A file that is being made of segments.
struct Output<'a> {
    /// The file.
    file: File,
    /// Its path.
    path: &'a Path,
    /// Batches that are not in the file yet.
    encoder: CompactEncoder,
    /// Bytes in the file.
    bytes: u64,
    /// Segments that were read.
    segments: usize,
    /// Records that stayed.
    kept: u64,
    /// Records that did not.
    dropped: u64,
}

impl Output<'_> {
    /// Takes the records of a batch that stay.
    fn push(&mut self, batch: &Committed<'_>, rule: Rule<'_>) -> Result<()> {
        for row in 0..batch.records.rows() {
            let horizon = match rule.fate(batch, row) {
                Fate::Kept => None,
                Fate::KeptUntil(horizon) => Some(horizon),
                Fate::Dropped => {
                    self.dropped += 1;
                    continue;
                }
            };
            let headers: Vec<_> = batch
                .records
                .headers
                .get(row)
                .map_or_else(Vec::new, |headers| {
                    let bytes = |range: &crate::connector::source::Range| range.of(batch.bytes);
                    let header = headers.iter();
                    header
                        .map(|(key, value)| (bytes(key), value.as_ref().map(bytes)))
                        .collect()
                });
            let record = Record {
                key: batch.records.keys[row].map(|range| range.of(batch.bytes)),
                value: batch.records.values[row].map(|range| range.of(batch.bytes)),
                timestamp_ms: batch.records.timestamps_ms[row],
                headers: &headers,
            };
            self.encoder
                .push(batch.records.offsets[row], &record, horizon);
            self.kept += 1;
        }
        if self.encoder.whole_bytes() >= WRITE_BYTES {
            self.write()?;
        }
        Ok(())
    }

    /// Writes the whole batches.
    fn write(&mut self) -> Result<()> {
        let whole = self.encoder.whole_bytes();
        self.file
            .write_all(&self.encoder.buffer[..whole])
            .map_err(|error| storage("write", self.path, &error))?;
        self.bytes += whole as u64;
        self.encoder.drain_whole();
        Ok(())
    }
}

/// What a rewrite made.
#[derive(Debug)]
pub(super) struct Rewritten {
    /// How many segments went into it.
    pub(super) segments: usize,
    /// The segment in their place; absent when a single segment that was compacted before would only be copied.
    pub(super) new: Option<Segment>,
}

/// Makes one segment of the first of adjacent ones, as many as fit. It is durable and has its name when this returns. `stopped` is
/// asked now and then.
///
/// # Errors
/// `Corrupt` naming file and place; `Storage` naming the file; `Unavailable` when stopped. The old files are as before then.
pub(super) fn rewrite(
    partition: &Partition,
    old: &[Closed],
    rule: Rule<'_>,
    stopped: &dyn Fn() -> bool,
) -> Result<Rewritten> {
    let base_offset = old.first().map_or(0, |first| first.segment.base_offset);
    let unfinished = format!("{}{UNFINISHED}", SegmentName::plain(base_offset).text());
    let path = partition.dir().join(unfinished);
    let written = write(partition, old, rule, (&path, stopped));
    let segments = written.as_ref().map_or(0, |output| output.segments);
    let end_offset = old[..segments].last().map_or(0, |last| last.end_offset);
    let rounds = old[..segments].iter().map(|closed| closed.segment.round);
    let round = rounds.max().unwrap_or(0);
    let changed = |output: &Output<'_>| segments > 1 || round == 0 || output.dropped > 0;
    if !written.as_ref().is_ok_and(changed) {
        // What is left of it would be deleted at the next start too.
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::debug!(file = %path.display(), %error, "cannot delete an unfinished compaction");
        }
        return written.map(|_| Rewritten {
            segments,
            new: None,
        });
    }
    let Output {
        bytes,
        kept,
        dropped,
        ..
    } = written?;
    let name = SegmentName {
        base_offset,
        compacted: Some(Compacted {
            end_offset,
            round: round + 1,
        }),
    };
    let target = partition.dir().join(name.text());
    std::fs::rename(&path, &target).map_err(|error| storage("rename", &path, &error))?;
    sync_dir(partition.dir())?;
    tracing::debug!(file = %target.display(), segments, kept, dropped, "compacted a part of the log");
    Ok(Rewritten {
        segments,
        new: Some(Segment::closed(name, end_offset, partition.dir(), bytes)),
    })
}

/// Writes what stays of the first segments into a new file, durably, until the next one may not fit.
fn write<'p>(
    partition: &Partition,
    old: &[Closed],
    rule: Rule<'_>,
    (path, stopped): (&'p Path, &dyn Fn() -> bool),
) -> Result<Output<'p>> {
    let base_offset = old.first().map_or(0, |first| first.segment.base_offset);
    let mut output = Output {
        file: File::create(path).map_err(|error| storage("create", path, &error))?,
        path,
        encoder: CompactEncoder::new(base_offset),
        bytes: 0,
        segments: 0,
        kept: 0,
        dropped: 0,
    };
    let mut end_offset = base_offset;
    for closed in old {
        let bytes = output.bytes + output.encoder.buffer.len() as u64;
        let fits = bytes + closed.segment.size() <= partition.options().segment_bytes;
        if output.segments > 0 && !fits {
            break;
        }
        read_committed(partition, closed, |batch| {
            if stopped() {
                return Err(Error::unavailable("the log is being closed"));
            }
            output.push(&batch, rule)
        })?;
        output.segments += 1;
        end_offset = closed.end_offset;
    }
    output.encoder.finish(end_offset);
    output.write()?;
    output
        .file
        .sync_all()
        .map_err(|error| storage("sync", path, &error))?;
    Ok(output)
}
