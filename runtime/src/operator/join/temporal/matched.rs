//! Left rows with their versions, on their way out.
//!
//! Place in the flow: a temporal join collects here what its timers make due, and emits it as one batch. Invariant: the left rows of a
//! key are in the order in which they came.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};

use crate::batch::{Batch, RowKind};
use crate::error::{Error, Result};
use crate::operator::OperatorContext;
use crate::plan::JoinKind;
use crate::sql::eval::Evaluator;
use crate::state::{EncodedKeys, KeyCodec};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Encode rows of both inputs.
#[derive(Debug)]
pub(super) struct Codecs {
    /// Of the left and the right input.
    rows: [KeyCodec; 2],
}

impl Codecs {
    /// For columns of these types.
    pub(super) fn new([left, right]: [&[FlinkType]; 2]) -> Result<Self> {
        Ok(Self {
            rows: [KeyCodec::for_rows(left)?, KeyCodec::for_rows(right)?],
        })
    }

    /// Encodes rows of an input.
    pub(super) fn encode(&self, input: usize, batch: &Batch) -> Result<EncodedKeys> {
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        self.rows[input].encode_rows(&columns, batch.rows)
    }
}

/// A version of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version<'a> {
    /// From when on it is valid.
    pub(super) time_ms: EpochMillis,
    /// The row behind its kind.
    pub(super) row: &'a [u8],
}

/// Left rows and their versions.
#[derive(Debug, Default)]
pub(super) struct Matched {
    /// How many more left rows there is room for.
    room: usize,
    /// Left rows without their kinds.
    lefts: EncodedKeys,
    /// Their kinds.
    kinds: Vec<RowKind>,
    /// For each of them, its version among `rights`.
    versions: Vec<Option<u32>>,
    /// Versions without their kinds.
    rights: EncodedKeys,
    /// Left rows of the present key.
    due: Vec<DueRow>,
    /// Their bytes behind their kinds.
    due_bytes: Vec<u8>,
    /// Versions of the present key: time, and place among `rights` unless it is a deletion.
    known: Vec<(EpochMillis, Option<u32>)>,
}

/// A left row of the present key.
#[derive(Debug, Clone, Copy)]
struct DueRow {
    /// Its number, in bytes that are in the order of numbers.
    number: [u8; 8],
    /// Its time.
    time_ms: EpochMillis,
    /// Where it begins and ends.
    place: (usize, usize),
}

/// The kind in front of a stored row, and the row.
fn split(stored: &[u8]) -> (RowKind, &[u8]) {
    let (kind, row) = stored.split_first().unwrap_or((&0, &[]));
    let kind = match kind {
        1 => RowKind::UpdateBefore,
        2 => RowKind::UpdateAfter,
        3 => RowKind::Delete,
        _ => RowKind::Insert,
    };
    (kind, row)
}

impl Matched {
    /// Nothing yet.
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            ..Self::default()
        }
    }

    /// How many more left rows there is room for.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Goes on with another key.
    pub(super) fn begin_key(&mut self) {
        self.due.clear();
        self.due_bytes.clear();
        self.known.clear();
    }

    /// Adds a left row of the key.
    pub(super) fn push_left(&mut self, time_ms: EpochMillis, number: &[u8], stored: &[u8]) {
        let start = self.due_bytes.len();
        self.due_bytes.extend_from_slice(stored);
        self.due.push(DueRow {
            number: number.first_chunk().copied().unwrap_or_default(),
            time_ms,
            place: (start, self.due_bytes.len()),
        });
        self.room = self.room.saturating_sub(1);
    }

    /// Adds a version of the key; they come in the order of their times.
    pub(super) fn push_version(&mut self, version: Version<'_>) {
        if self.due.is_empty() {
            return;
        }
        let (kind, row) = split(version.row);
        let place = (!kind.is_retraction()).then(|| {
            let place = u32::try_from(self.rights.len()).unwrap_or(u32::MAX);
            self.rights.bytes.extend_from_slice(row);
            self.rights.ends.push(self.rights.bytes.len());
            place
        });
        self.known.push((version.time_ms, place));
    }

    /// Gives the left rows of the key their versions.
    pub(super) fn end_key(&mut self, kind: JoinKind) {
        self.due.sort_unstable_by_key(|row| row.number);
        for row in &self.due {
            let until = self
                .known
                .partition_point(|(time_ms, _)| *time_ms <= row.time_ms);
            let latest = until.checked_sub(1).and_then(|at| self.known.get(at));
            let version = latest.and_then(|(_, place)| *place);
            if version.is_none() && kind == JoinKind::Inner {
                continue;
            }
            let (kind, left) = split(&self.due_bytes[row.place.0..row.place.1]);
            self.lefts.bytes.extend_from_slice(left);
            self.lefts.ends.push(self.lefts.bytes.len());
            self.kinds.push(kind);
            self.versions.push(version);
        }
    }

    /// The rows as a batch; absent without any.
    pub(super) fn joined(
        self,
        codecs: &Codecs,
        (kind, residual): (JoinKind, Option<&Evaluator>),
        context: &OperatorContext<'_>,
    ) -> Result<Option<Batch>> {
        let rows = self.kinds.len();
        if rows == 0 {
            return Ok(None);
        }
        let [left, right] = &codecs.rows;
        let lefts = left.decode((0..rows).map(|row| self.lefts.key(row)))?;
        let rights = right.decode((0..self.rights.len()).map(|row| self.rights.key(row)))?;
        let is_append = self.kinds.iter().all(|kind| *kind == RowKind::Insert);
        let beside = |versions: &UInt32Array| {
            let theirs = rights
                .iter()
                .map(|column| arrow::compute::take(column, versions, None));
            let theirs: Vec<ArrayRef> = theirs.collect::<std::result::Result<_, _>>()?;
            Ok::<_, Error>(Batch {
                columns: lefts.iter().cloned().chain(theirs).collect(),
                rows,
                kinds: (!is_append).then(|| self.kinds.clone().into()),
            })
        };
        let versions = UInt32Array::from(self.versions.clone());
        let joined = beside(&versions)?;
        let Some(residual) = residual else {
            return Ok(Some(joined));
        };
        let mask = residual.eval_condition(&joined, &context.eval())?;
        let passes = |row: usize| versions.is_valid(row) && mask.is_valid(row) && mask.value(row);
        if kind == JoinKind::Inner {
            let passing: BooleanArray = (0..rows).map(|row| Some(passes(row))).collect();
            return joined.filter(&passing).map(Some);
        }
        let version = |row: usize| passes(row).then(|| versions.value(row));
        beside(&(0..rows).map(version).collect()).map(Some)
    }
}
