//! Which rows of the other side the rows of a batch meet.
//!
//! Place in the flow: the first half of each step of [`super::regular::RegularJoin`]. Invariant: every row of a batch meets every row that
//! the other side holds under its key once, in steps of about [`EMIT_ROWS_MAX`] rows whose place is kept in a [`Cursor`].

use super::chunks::{RowChunks, StoredRow};
use super::side::{JoinKey, JoinSide, RowPlace};
use crate::error::{Error, Result};
use crate::operator::EMIT_ROWS_MAX;
use crate::state::{ChunkKeys, NOT_HELD};
use crate::time::EpochMillis;

/// A place on the way of a batch through the other side.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cursor {
    /// Row of the batch.
    pub(super) row: usize,
    /// Chunk of the other side.
    chunk: u32,
    /// Rows of that chunk that were met.
    met: u64,
}

impl Cursor {
    /// Goes on with the next row.
    pub(super) fn advance(&mut self) {
        *self = Self {
            row: self.row + 1,
            ..Self::default()
        };
    }
}

/// Chunks of the other side that one step has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Meetings in order.
    matches: Vec<Match>,
    /// Step in which each chunk was last met and where its rows begin among the stored ones, by id.
    places: Vec<(u32, u32)>,
    /// Number of the present step.
    step: u32,
    /// Chunks 0 of the rows of the batch from some row on.
    firsts: Vec<u32>,
}

/// A row and the rows of one chunk, or a part of them.
#[derive(Debug, Clone, Copy)]
struct Match {
    /// Row of the batch.
    row: u32,
    /// Chunk 0 of the key.
    first: u32,
    /// The chunk.
    id: u32,
    /// Rows of the chunk that were met in an earlier step.
    skip: u64,
    /// Rows of the chunk to meet.
    take: u64,
}

/// A look-up of the other side.
#[derive(Debug)]
pub(super) struct Search<'a> {
    /// The other side.
    other: &'a mut JoinSide,
    /// What was found.
    found: &'a mut Vec<Match>,
    /// Chunks 0 of the rows of the batch.
    firsts: std::slice::Iter<'a, u32>,
    /// Rows that the step may still meet.
    room: u64,
    /// Time of the state's TTL.
    now_ms: EpochMillis,
}

impl<'a> Search<'a> {
    /// Begins a step at a row of a batch, whose keys these are.
    pub(super) fn new(
        other: &'a mut JoinSide,
        found: &'a mut Found,
        (keys, row): (&ChunkKeys, usize),
        now_ms: EpochMillis,
    ) -> Result<Self> {
        found.matches.clear();
        let rows = row..keys.keys().len();
        other.find_all((keys, rows), now_ms, &mut found.firsts)?;
        Ok(Self {
            other,
            found: &mut found.matches,
            firsts: found.firsts.iter(),
            room: EMIT_ROWS_MAX as u64,
            now_ms,
        })
    }

    /// Passes over the next row.
    pub(super) fn skip(&mut self) {
        self.firsts.next();
    }

    /// Looks up what is left for the next row, which is that of the cursor; true when the step had room for all of it.
    pub(super) fn row(&mut self, key: JoinKey<'_>, next: &mut Cursor) -> Result<bool> {
        let first = self.firsts.next().copied();
        let Some(first) = first.filter(|first| *first != NOT_HELD) else {
            return Ok(true);
        };
        let row = u32::try_from(next.row).map_err(|_| Error::internal("a batch of 4 G rows"))?;
        let chunks = self.other.rows().chunks_of(first);
        while next.chunk < chunks {
            let id = if next.chunk == 0 {
                Some(first)
            } else {
                self.other.find(key, next.chunk, self.now_ms)?
            };
            if let Some(id) = id {
                let left = self.other.rows().copies(id).saturating_sub(next.met);
                let take = left.min(self.room);
                if take > 0 {
                    let skip = next.met;
                    self.found.push(Match {
                        row,
                        first,
                        id,
                        skip,
                        take,
                    });
                }
                self.room -= take;
                next.met += take;
                if take < left {
                    return Ok(false);
                }
            }
            next.chunk += 1;
            next.met = 0;
        }
        Ok(true)
    }
}

/// A row of the batch and equal rows of the other side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Row of the batch.
    pub(super) own: u32,
    /// Position among the stored rows.
    pub(super) theirs: u32,
    /// How many of the equal rows are met in this step.
    pub(super) copies: u32,
    /// Whether they are the last ones.
    pub(super) is_last: bool,
}

/// Rows that meet in a step.
#[derive(Debug)]
pub(super) struct Meetings<'a> {
    /// Rows of the other side, each chunk once.
    pub(super) stored: Vec<StoredRow<'a>>,
    /// Where they lie.
    pub(super) places: Vec<RowPlace>,
    /// Who meets whom, by rows of the batch ascending.
    pub(super) runs: Vec<Run>,
}

impl Found {
    /// Whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.matches.is_empty()
    }

    /// The rows behind what was found; without those that are expired.
    pub(super) fn expand<'a>(&mut self, other: &'a JoinSide, now_ms: EpochMillis) -> Meetings<'a> {
        self.step = self.step.wrapping_add(1);
        if self.step == 0 {
            self.places.clear();
            self.step = 1;
        }
        let mut meetings = Meetings {
            stored: Vec::with_capacity(self.matches.len()),
            places: Vec::new(),
            runs: Vec::with_capacity(self.matches.len()),
        };
        let (chunks, expired_ms) = (other.rows(), other.expired_ms(now_ms));
        for found in &self.matches {
            let id = found.id as usize;
            if self.places.len() <= id {
                self.places.resize(id + 1, (0, 0));
            }
            let place = &mut self.places[id];
            if place.0 != self.step {
                let first = u32::try_from(meetings.stored.len()).unwrap_or(u32::MAX);
                *place = (self.step, first);
                meetings.add_chunk(chunks, *found);
            }
            meetings.add(*found, place.1, expired_ms);
        }
        meetings
    }
}

impl Meetings<'_> {
    /// Adds the rows of one match out of those of its chunk, which begin at a position; takes those that are not expired.
    fn add(&mut self, found: Match, first: u32, expired_ms: EpochMillis) {
        let (mut skip, mut take) = (found.skip, found.take);
        for (theirs, row) in (first..).zip(&self.stored[first as usize..]) {
            let count = u64::from(row.count);
            if skip >= count {
                skip -= count;
                continue;
            }
            let copies = (count - skip).min(take);
            let is_last = skip + copies == count;
            (skip, take) = (0, take - copies);
            if row.written_ms > expired_ms {
                self.runs.push(Run {
                    own: found.row,
                    theirs,
                    copies: u32::try_from(copies).unwrap_or(u32::MAX),
                    is_last,
                });
            }
            if take == 0 {
                break;
            }
        }
    }
}

impl<'a> Meetings<'a> {
    /// Adds the rows of a chunk.
    fn add_chunk(&mut self, chunks: &'a RowChunks, found: Match) {
        let layout = chunks.layout();
        if layout.associations {
            let mut start = 0;
            for row in chunks.iter(found.id) {
                self.places.push(RowPlace {
                    first: found.first,
                    id: found.id,
                    start,
                });
                start += layout.row_bytes(row.row);
            }
        }
        self.stored.extend(chunks.iter(found.id));
    }
}
