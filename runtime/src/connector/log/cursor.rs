//! Sequential reading of one partition.
//!
//! Place in the flow: a source reader holds one cursor per split. Invariant: records come once each and in offset order, the
//! checksum of a batch is verified before any of its records is returned, and all records of one [`RawBatch`] are slices of
//! one buffer read from the file.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use super::files::{read_at, storage};
use super::partition::Partition;
use super::record_batch::{HEADER_BYTES, Header, RecordReader, Wanted};
use super::segment::Segment;
use crate::connector::options::IsolationLevel;
use crate::connector::source::RawBatch;
use crate::error::{Error, Result};

/// File bytes read at once: several batches, and still inside a second-level cache (guess, unmeasured).
const READ_CHUNK_BYTES: usize = 512 << 10;

/// A place in a partition and what was read ahead there. Holds memory and a descriptor only between the end of one read and
/// the end of the log.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Next offset to return.
    offset: i64,
    /// What is read of transactions.
    isolation: IsolationLevel,
    /// File bytes to read at once.
    chunk_bytes: usize,
    /// Where in the files, once known.
    place: Option<Place>,
    /// Bytes of the file from `chunk_position` on.
    chunk: Bytes,
    /// File position of the first byte of the chunk.
    chunk_position: u64,
    /// The batch being decoded.
    records: Option<RecordReader>,
}

/// A place in a segment.
#[derive(Debug)]
struct Place {
    /// The segment.
    segment: Arc<Segment>,
    /// Its open file, while there is something to read.
    file: Option<File>,
    /// First byte of the next batch.
    position: u64,
    /// Offset that the next batch has to start with.
    expected: i64,
}

/// What became of the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Its records are decoded next.
    Open,
    /// Its records do not count, so the cursor is behind it.
    Skipped,
    /// The chunk does not hold it.
    Missing,
}

impl Cursor {
    /// A cursor whose next record is the one at `offset`.
    pub(super) fn new(offset: i64, isolation: IsolationLevel) -> Self {
        Self {
            offset,
            isolation,
            chunk_bytes: READ_CHUNK_BYTES,
            place: None,
            chunk: Bytes::new(),
            chunk_position: 0,
            records: None,
        }
    }

    /// Reads at most this much at once, but always a whole batch.
    pub(super) fn with_chunk_bytes(mut self, bytes: usize) -> Self {
        self.chunk_bytes = bytes.clamp(HEADER_BYTES, READ_CHUNK_BYTES);
        self
    }

    /// Next offset to return.
    pub(super) fn offset(&self) -> i64 {
        self.offset
    }

    /// Appends visible records before offset `until` to the empty `out`, at most `rows_max`; none at the end.
    ///
    /// # Errors
    /// `Invalid` when the cursor is past the end; `Corrupt` naming file and place; `Storage` naming the file.
    pub(super) fn read(
        &mut self,
        partition: &Partition,
        until: i64,
        rows_max: usize,
        out: &mut RawBatch,
    ) -> Result<()> {
        let end = partition.end_offset();
        if self.offset > end {
            return Err(Error::validation(format!(
                "offset {} of log partition {} is past its end, which is {end}",
                self.offset, partition.name
            )));
        }
        let start = partition.start_offset();
        if self.offset < start {
            *self = Self::new(start, self.isolation).with_chunk_bytes(self.chunk_bytes);
        }
        let visible = partition.visible_end(self.isolation);
        let until = until.min(visible);
        while self.offset < until && out.rows() < rows_max {
            if self.records.is_some() {
                self.decode(until, rows_max, out)?;
            } else if self.open_batch(partition, out.rows() > 0)? == Next::Missing {
                if out.rows() > 0 {
                    break;
                }
                self.refill(partition)?;
            }
        }
        if out.rows() > 0 {
            out.buffer = self.chunk.clone();
        }
        if self.offset >= visible {
            self.rest();
        }
        Ok(())
    }

    /// Gives memory and descriptor back.
    fn rest(&mut self) {
        self.chunk = Bytes::new();
        if let Some(place) = &mut self.place {
            place.file = None;
        }
        if self.records.take().is_some() {
            // The bytes of an open batch are gone, so it is opened again by its offset.
            self.place = None;
        }
    }

    /// Decodes from the open batch.
    fn decode(&mut self, until: i64, rows_max: usize, out: &mut RawBatch) -> Result<()> {
        let (Some(records), Some(place)) = (&mut self.records, &self.place) else {
            return Err(Error::internal("log cursor decodes without a batch"));
        };
        let wanted = Wanted {
            from: self.offset,
            until,
            rows_max,
        };
        self.offset = records
            .decode(&self.chunk, wanted, out)
            .map_err(|reason| place.segment.corrupt(place.position, reason))?;
        if records.is_done() {
            self.offset = self.offset.max(records.header().next_offset);
            self.finish_batch();
        }
        Ok(())
    }

    /// Moves behind the open batch.
    fn finish_batch(&mut self) {
        if let (Some(records), Some(place)) = (self.records.take(), &mut self.place) {
            place.position += records.header().bytes as u64;
            place.expected = records.header().next_offset;
        }
    }

    /// Opens the next batch if the chunk holds it; batches before the offset are skipped unread.
    fn open_batch(&mut self, partition: &Partition, has_rows: bool) -> Result<Next> {
        let Some(place) = &mut self.place else {
            return Ok(Next::Missing);
        };
        loop {
            let committed = place.segment.size();
            let held = place
                .position
                .checked_sub(self.chunk_position)
                .and_then(|at| usize::try_from(at).ok())
                .and_then(|at| Some((at, self.chunk.get(at..)?)));
            let Some((at, bytes)) = held.filter(|(_, bytes)| bytes.len() >= HEADER_BYTES) else {
                return Ok(Next::Missing);
            };
            let header = Header::parse(bytes)
                .map_err(|reason| place.segment.corrupt(place.position, reason))?;
            if header.base_offset != place.expected {
                let reason = format!(
                    "offset {} follows where {} was expected",
                    header.base_offset, place.expected
                );
                return Err(place.segment.corrupt(place.position, &reason));
            }
            if place.position + header.bytes as u64 > committed {
                return Err(place
                    .segment
                    .corrupt(place.position, "the batch is cut off"));
            }
            if header.next_offset <= self.offset {
                place.position += header.bytes as u64;
                place.expected = header.next_offset;
                continue;
            }
            let Some(batch) = bytes.get(..header.bytes) else {
                if !has_rows {
                    // The next read takes at least this batch.
                    self.chunk_bytes = self.chunk_bytes.max(header.bytes);
                }
                return Ok(Next::Missing);
            };
            header
                .verify(batch)
                .map_err(|reason| place.segment.corrupt(place.position, reason))?;
            if self.isolation == IsolationLevel::ReadCommitted
                && !partition.is_committed(header.transaction)
            {
                place.position += header.bytes as u64;
                place.expected = header.next_offset;
                self.offset = header.next_offset;
                return Ok(Next::Skipped);
            }
            self.records = Some(RecordReader::new(header, at));
            return Ok(Next::Open);
        }
    }

    /// Reads the next chunk, in the next segment if this one has ended.
    fn refill(&mut self, partition: &Partition) -> Result<()> {
        let place = match self.place.take() {
            Some(place) => place,
            None => Self::locate(partition, self.offset)?,
        };
        let mut place = Self::advance(partition, place)?;
        let left = place.segment.size() - place.position;
        let len = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(self.chunk_bytes);
        if len < HEADER_BYTES {
            return Err(place
                .segment
                .corrupt(place.position, "the batch header is cut off"));
        }
        let file = match place.file.take() {
            Some(file) => file,
            None => match File::open(&place.segment.path) {
                Ok(file) => file,
                Err(error) if !partition.has(&place.segment) => {
                    tracing::debug!(%error, "a segment was deleted or compacted before it was read");
                    self.offset = self.offset.max(partition.start_offset());
                    return Ok(());
                }
                Err(error) => return Err(storage("open", &place.segment.path, &error)),
            },
        };
        let mut buffer = self.reclaim();
        read_at(&file, place.position, len, &mut buffer)
            .map_err(|error| storage("read", &place.segment.path, &error))?;
        if buffer.len() < len {
            return Err(place
                .segment
                .corrupt(place.position + buffer.len() as u64, "the file is cut off"));
        }
        self.chunk = Bytes::from(buffer);
        self.chunk_position = place.position;
        place.file = Some(file);
        self.place = Some(place);
        Ok(())
    }

    /// The memory of the last chunk if nobody reads it any more, else new memory.
    fn reclaim(&mut self) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.chunk)
            .try_into_mut()
            .map(Vec::from)
            .unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// The place to start looking for an offset.
    fn locate(partition: &Partition, offset: i64) -> Result<Place> {
        loop {
            let segment = partition.segment_of(offset);
            match segment.seek(offset) {
                Ok((expected, position)) => {
                    return Ok(Place {
                        segment,
                        file: None,
                        position,
                        expected,
                    });
                }
                // Its file went while it was looked at.
                Err(_) if !partition.has(&segment) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves to the next segment if this one has ended.
    fn advance(partition: &Partition, place: Place) -> Result<Place> {
        if place.position < place.segment.size() {
            return Ok(place);
        }
        let next = partition.segment_of(place.expected);
        if Arc::ptr_eq(&next, &place.segment) {
            return Err(place.segment.corrupt(
                place.position,
                &format!("offset {} is missing", place.expected),
            ));
        }
        // After the last batch of a segment comes the first one of the next; a compacted one may begin before, and retention may
        // have taken what was expected.
        let offset = place.expected.max(partition.start_offset());
        let found = Self::locate(partition, offset)?;
        if found.position >= found.segment.size() {
            return Err(found
                .segment
                .corrupt(found.position, &format!("offset {offset} is missing")));
        }
        Ok(found)
    }
}
