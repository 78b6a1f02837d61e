//! The join of two whole inputs by equal keys: every row meets every row of the other side that has come or will come.
//!
//! Place in the flow: after hash exchanges of both inputs by their join keys. Invariant: what was emitted, folded, is the join of
//! what both sides hold; rows with a NULL among their keys are neither kept nor emitted, as NULL equals nothing.
//!
//! A batch changes its own side at once and then meets the other side, which stands still meanwhile. What it finds may be many
//! times the batch, so it is emitted in steps of [`EMIT_ROWS_MAX`] rows, and the place reached is kept in between.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::buffer::NullBuffer;

use super::side::{JoinKey, JoinSide};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::graph::key_group::key_group;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::sql::eval::Evaluator;
use crate::sql::expr::Expr;
use crate::state::{EncodedKeys, KeyCodec, StateConfig};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Number of the left side's table; the right side's is the next.
const LEFT_TABLE: u8 = 0;

/// Number of the right side's table.
const RIGHT_TABLE: u8 = 1;

/// What a join is made from.
#[derive(Debug, Clone, Copy)]
pub struct Spec<'a> {
    /// Key columns of the left and the right input, in pairs of one type.
    pub keys: [&'a [usize]; 2],
    /// Types of the columns of the left and the right input.
    pub types: [&'a [FlinkType]; 2],
    /// What else must be TRUE, over left columns followed by right columns.
    pub residual: Option<&'a Expr>,
}

/// An inner join without bounds in time.
#[derive(Debug)]
pub struct RegularJoin {
    /// Left and right.
    sides: [Side; 2],
    /// What else must be TRUE.
    residual: Option<Evaluator>,
    /// Key groups of the statement.
    key_groups: u32,
    /// The batch that has not met all of the other side yet.
    backlog: Option<Backlog>,
    /// What one step finds, kept for its memory.
    found: Found,
}

/// One input.
#[derive(Debug)]
struct Side {
    /// Key columns.
    keys: Vec<usize>,
    /// Encodes keys.
    key_codec: KeyCodec,
    /// Encodes rows.
    row_codec: KeyCodec,
    /// The rows so far.
    rows: JoinSide,
}

/// A batch on its way through the other side.
#[derive(Debug)]
struct Backlog {
    /// The batch.
    arrived: Arrived,
    /// What comes next.
    next: Cursor,
}

/// A batch of one input with its join keys.
#[derive(Debug)]
struct Arrived {
    /// Which input it came from.
    input: usize,
    /// Its rows.
    batch: Batch,
    /// Their join keys.
    keys: EncodedKeys,
    /// Rows without a NULL among their keys; absent when all are.
    valid: Option<NullBuffer>,
}

/// A place on the way of a batch through the other side.
#[derive(Debug, Default)]
struct Cursor {
    /// Row of the batch.
    row: usize,
    /// Chunk of the other side.
    chunk: u32,
    /// Rows of that chunk that were met.
    met: u64,
}

/// Rows of the other side that one step has found.
#[derive(Debug, Default)]
struct Found {
    /// Meetings in order.
    matches: Vec<Match>,
    /// Step in which each chunk was last met and where its rows begin among the decoded ones, by id.
    places: Vec<(u32, u32)>,
    /// Number of the present step.
    step: u32,
}

/// A row and the rows of one chunk, or a part of them.
#[derive(Debug, Clone, Copy)]
struct Match {
    /// Row of the batch.
    row: u32,
    /// The chunk.
    id: u32,
    /// Rows of the chunk that were met in an earlier step.
    skip: u64,
    /// Rows of the chunk to meet.
    take: u64,
}

impl Side {
    /// A side of a join.
    fn new(spec: &Spec<'_>, input: usize, state: StateConfig) -> Result<Self> {
        let (keys, types) = (spec.keys[input], spec.types[input]);
        let table = if input == 0 { LEFT_TABLE } else { RIGHT_TABLE };
        Ok(Self {
            keys: keys.to_vec(),
            key_codec: KeyCodec::new(keys.iter().map(|key| &types[*key]))?,
            row_codec: KeyCodec::for_rows(types)?,
            rows: JoinSide::new(table, state),
        })
    }

    /// The join keys of a batch, and which of them are not NULL.
    fn encode_keys(&self, batch: &Batch) -> Result<(EncodedKeys, Option<NullBuffer>)> {
        let columns: Vec<&ArrayRef> = self.keys.iter().map(|key| &batch.columns[*key]).collect();
        let valid = columns.iter().fold(None, |valid, column| {
            NullBuffer::union(valid.as_ref(), column.logical_nulls().as_ref())
        });
        Ok((self.key_codec.encode(&columns, batch.rows)?, valid))
    }
}

impl RegularJoin {
    /// A join without rows.
    ///
    /// # Errors
    /// `Unsupported` for keys that cannot be one; `Invalid` for a condition that does not compile.
    pub fn new(spec: &Spec<'_>, time_zone: &str, states: [StateConfig; 2]) -> Result<Self> {
        let residual = spec
            .residual
            .map(|residual| Evaluator::compile(residual, time_zone));
        let [left, right] = states;
        let key_groups = left.key_groups;
        Ok(Self {
            sides: [Side::new(spec, 0, left)?, Side::new(spec, 1, right)?],
            residual: residual.transpose()?,
            key_groups,
            backlog: None,
            found: Found::default(),
        })
    }

    /// Adds the rows of a batch to their side, or takes them away.
    fn keep(&mut self, arrived: &Arrived, context: &OperatorContext<'_>) -> Result<()> {
        let (batch, now_ms) = (&arrived.batch, context.state_time_ms());
        let side = &mut self.sides[arrived.input];
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        let rows = side.row_codec.encode_rows(&columns, batch.rows)?;
        for row in (0..batch.rows).filter(|row| arrived.is_valid(*row)) {
            let key = arrived.key(row, self.key_groups);
            if batch.kind(row).is_retraction() {
                side.rows.remove(key, rows.key(row), now_ms)?;
            } else {
                side.rows.add(key, rows.key(row), now_ms)?;
            }
        }
        Ok(())
    }

    /// Emits the next rows of the backlog.
    fn step(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<()> {
        let Some(mut backlog) = self.backlog.take() else {
            return Ok(());
        };
        let is_done = self.find(&mut backlog, context)?;
        if !self.found.matches.is_empty() {
            let joined = self.joined(&backlog.arrived)?;
            let joined = match &self.residual {
                None => joined,
                Some(residual) => {
                    joined.filter(&residual.eval_condition(&joined, &context.eval())?)?
                }
            };
            out.emit(joined);
        }
        if !is_done {
            self.backlog = Some(backlog);
        }
        Ok(())
    }

    /// Looks up what the next rows of the backlog meet, at most [`EMIT_ROWS_MAX`] rows; true once that is all.
    fn find(&mut self, backlog: &mut Backlog, context: &OperatorContext<'_>) -> Result<bool> {
        let Backlog { arrived, next } = backlog;
        let other = &mut self.sides[1 - arrived.input].rows;
        let mut search = Search {
            other,
            found: &mut self.found.matches,
            room: EMIT_ROWS_MAX as u64,
            now_ms: context.state_time_ms(),
        };
        search.found.clear();
        while next.row < arrived.batch.rows {
            let is_complete = !arrived.is_valid(next.row)
                || search.row(arrived.key(next.row, self.key_groups), next)?;
            if !is_complete {
                return Ok(false);
            }
            *next = Cursor {
                row: next.row + 1,
                ..Cursor::default()
            };
        }
        Ok(true)
    }

    /// The rows of a step: left columns, then right columns.
    fn joined(&mut self, arrived: &Arrived) -> Result<Batch> {
        let other = &self.sides[1 - arrived.input];
        let meetings = self.found.expand(&other.rows);
        let stored = other.row_codec.decode(meetings.stored.iter().copied())?;
        let rows = meetings.own.len();
        let kinds = arrived.batch.kinds.as_ref();
        let kinds = kinds.map(|kinds| {
            let kind = |row: &u32| kinds[*row as usize];
            meetings.own.iter().map(kind).collect()
        });
        let own = pick(&arrived.batch.columns, arrived.batch.rows, meetings.own)?;
        let theirs = pick(&stored, meetings.stored.len(), meetings.theirs)?;
        let (mut columns, right) = if arrived.input == 0 {
            (own, theirs)
        } else {
            (theirs, own)
        };
        columns.extend(right);
        Ok(Batch {
            columns,
            rows,
            kinds,
        })
    }
}

impl Arrived {
    /// Whether a row has no NULL among its keys.
    fn is_valid(&self, row: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid.is_valid(row))
    }

    /// The join key of a row.
    fn key(&self, row: usize, key_groups: u32) -> JoinKey<'_> {
        JoinKey {
            bytes: self.keys.key(row),
            key_group: key_group(self.keys.hashes[row], key_groups),
        }
    }
}

/// A look-up of the other side.
struct Search<'a> {
    /// The other side.
    other: &'a mut JoinSide,
    /// What was found.
    found: &'a mut Vec<Match>,
    /// Rows that the step may still emit.
    room: u64,
    /// Time of the state's TTL.
    now_ms: EpochMillis,
}

impl Search<'_> {
    /// Looks up what is left for one row; true when the step had room for all of it.
    fn row(&mut self, key: JoinKey<'_>, next: &mut Cursor) -> Result<bool> {
        let Some(first) = self.other.find(key, 0, self.now_ms)? else {
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

/// Rows that meet.
struct Meetings<'a> {
    /// Encoded rows of the other side, each chunk once.
    stored: Vec<&'a [u8]>,
    /// Row of the batch.
    own: Vec<u32>,
    /// Position in `stored`.
    theirs: Vec<u32>,
}

impl Found {
    /// The rows behind the matches.
    fn expand<'a>(&mut self, other: &'a JoinSide) -> Meetings<'a> {
        self.step = self.step.wrapping_add(1);
        if self.step == 0 {
            self.places.clear();
            self.step = 1;
        }
        let rows = self.matches.iter().map(|found| found.take).sum::<u64>();
        let rows = usize::try_from(rows).unwrap_or(EMIT_ROWS_MAX);
        let mut meetings = Meetings {
            stored: Vec::with_capacity(self.matches.len()),
            own: Vec::with_capacity(rows),
            theirs: Vec::with_capacity(rows),
        };
        let chunks = other.rows();
        for found in &self.matches {
            let id = found.id as usize;
            if self.places.len() <= id {
                self.places.resize(id + 1, (0, 0));
            }
            let place = &mut self.places[id];
            if place.0 != self.step {
                let first = u32::try_from(meetings.stored.len()).unwrap_or(u32::MAX);
                *place = (self.step, first);
                meetings
                    .stored
                    .extend(chunks.iter(found.id).map(|(row, _)| row));
            }
            let counts = chunks.iter(found.id).map(|(_, count)| count);
            meetings.add(*found, (place.1..).zip(counts));
        }
        meetings
    }
}

impl Meetings<'_> {
    /// Adds the rows of one match out of those of its chunk, given by position and how often each is there.
    fn add(&mut self, found: Match, chunk: impl Iterator<Item = (u32, u32)>) {
        let (mut skip, mut take) = (found.skip, found.take);
        for (position, count) in chunk {
            let count = u64::from(count);
            if skip >= count {
                skip -= count;
                continue;
            }
            let copies = (count - skip).min(take);
            (skip, take) = (0, take - copies);
            let copies = usize::try_from(copies).unwrap_or(EMIT_ROWS_MAX);
            self.own.extend(std::iter::repeat_n(found.row, copies));
            self.theirs.extend(std::iter::repeat_n(position, copies));
            if take == 0 {
                break;
            }
        }
    }
}

/// The rows at `indices` of columns of `rows` rows.
fn pick(columns: &[ArrayRef], rows: usize, indices: Vec<u32>) -> Result<Vec<ArrayRef>> {
    let is_everything = indices.len() == rows && (0u32..).zip(&indices).all(|(a, b)| a == *b);
    if is_everything {
        return Ok(columns.to_vec());
    }
    let indices = UInt32Array::from(indices);
    columns
        .iter()
        .map(|column| Ok(arrow::compute::take(column, &indices, None)?))
        .collect()
}

impl Operator for RegularJoin {
    fn on_batch(
        &mut self,
        input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        // The batch before meets the other side as it was when it came.
        while self.has_backlog() {
            self.step(context, out)?;
        }
        let (keys, valid) = self.sides[input].encode_keys(batch)?;
        let arrived = Arrived {
            input,
            batch: batch.clone(),
            keys,
            valid,
        };
        self.keep(&arrived, context)?;
        self.backlog = Some(Backlog {
            arrived,
            next: Cursor::default(),
        });
        self.step(context, out)
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        self.step(context, out)?;
        Ok(self.has_backlog())
    }

    fn has_backlog(&self) -> bool {
        self.backlog.is_some()
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        for side in &mut self.sides {
            visit(side.rows.table());
        }
    }
}

#[cfg(test)]
mod tests;
