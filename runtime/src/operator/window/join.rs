//! The join of two inputs within windows.
//!
//! Place in the flow: behind rows that come with their windows, after hash exchanges by the keys. Invariant: a window is joined exactly
//! once, when the watermark of both inputs reaches its last millisecond; a row that comes later is counted as late and dropped.
//!
//! A window is joined in pieces of some keys each: the rows of a piece are laid side by side, its pairs are made in blocks, and rows
//! without a match follow.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, new_null_array};
use arrow::buffer::NullBuffer;

use crate::batch::{Batch, RowKind};
use crate::error::{Error, Result};
use crate::graph::key_group::key_group;
use crate::operator::window::assigner::by_value;
use crate::operator::window::progress::Progress;
use crate::operator::window::rows::RowLists;
use crate::operator::window::zone::Zone;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::plan::{JoinKind, TimeDomain, WindowJoin as Spec};
use crate::sql::eval::Evaluator;
use crate::state::{KeyCodec, Slice, Slices, StateConfig};
use crate::types::FlinkType;

/// Numbers of the tables of the left and the right rows.
const TABLES: [u8; 2] = [0, 1];

/// Bytes of a list of rows from which on the next row begins another list, so that a checkpoint writes little of a key that changes
/// (guess, unmeasured: some pages).
const LIST_BYTES_MAX: usize = 32 * 1024;

/// Rows of a piece, unless one key has more (guess, unmeasured: columns of them fit into a cache).
const PIECE_ROWS: usize = 8 * 1024;

/// The number of the first list of a key, behind the key.
const FIRST_LIST: [u8; 4] = [0; 4];

/// Before the key of rows that may have a match.
const MATCHES: u8 = 0;

/// Before the key of rows with a NULL that equals nothing.
const MATCHES_NOTHING: u8 = 1;

/// A join of rows that are in the same window.
#[derive(Debug)]
pub struct WindowJoin {
    /// Which rows are emitted.
    kind: JoinKind,
    /// Left and right.
    sides: [Side; 2],
    /// What else must be TRUE.
    residual: Option<Evaluator>,
    /// What is closed.
    progress: Progress,
    /// Key groups of the statement.
    key_groups: u32,
    /// Where the next piece of the first due window begins: the side whose keys are gone through, and the first id.
    cursor: (usize, u32),
    /// The piece that is being emitted.
    piece: Option<Piece>,
}

/// One input.
#[derive(Debug)]
struct Side {
    /// The column of the window's end.
    end: usize,
    /// Key columns, without the window.
    keys: Vec<usize>,
    /// For each key, whether NULL equals nothing.
    filter_nulls: Vec<bool>,
    /// Types of the columns.
    types: Vec<FlinkType>,
    /// Encodes keys.
    key_codec: KeyCodec,
    /// Encodes rows.
    row_codec: KeyCodec,
    /// Rows by the local end of their window, key and number of the list.
    windows: Slices<RowLists>,
}

/// The rows of some keys of a window, left and right.
#[derive(Debug)]
struct Piece {
    /// Columns of the rows.
    columns: [Vec<ArrayRef>; 2],
    /// For each row, whether it has a match.
    matched: [Vec<bool>; 2],
    /// The rows of each key.
    keys: Vec<[Range<u32>; 2]>,
    /// The next pair: key, and left and right row.
    next: (usize, [u32; 2]),
}

impl Side {
    /// A side of a join.
    fn new(spec: &Spec, side: usize, types: &[FlinkType], state: StateConfig) -> Result<Self> {
        let (window, keys) = if side == 0 {
            (spec.left_window, &spec.left_keys)
        } else {
            (spec.right_window, &spec.right_keys)
        };
        Ok(Self {
            end: window.end,
            keys: keys.clone(),
            filter_nulls: spec.filter_nulls.clone(),
            types: types.to_vec(),
            key_codec: KeyCodec::new(keys.iter().map(|key| &types[*key]))?,
            row_codec: KeyCodec::for_rows(types)?,
            windows: Slices::new(TABLES[side], state, Box::new(|| Ok(RowLists::default()))),
        })
    }

    /// Adds rows of one window. Those that match nothing are kept when they are emitted without a match.
    fn add(
        &mut self,
        end_ms: i64,
        batch: &Batch,
        (key_groups, is_preserved): (u32, bool),
    ) -> Result<()> {
        let columns: Vec<&ArrayRef> = self.keys.iter().map(|key| &batch.columns[*key]).collect();
        let filtered = columns.iter().zip(&self.filter_nulls);
        let valid = filtered
            .filter(|(_, filters)| **filters)
            .fold(None, |valid, (column, _)| {
                NullBuffer::union(valid.as_ref(), column.logical_nulls().as_ref())
            });
        let keys = self.key_codec.encode(&columns, batch.rows)?;
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        let rows = self.row_codec.encode_rows(&columns, batch.rows)?;
        let mut key = Vec::new();
        for row in 0..batch.rows {
            let matches = valid.as_ref().is_none_or(|valid| valid.is_valid(row));
            if !matches && !is_preserved {
                continue;
            }
            key.clear();
            key.push(if matches { MATCHES } else { MATCHES_NOTHING });
            key.extend_from_slice(keys.key(row));
            key.extend_from_slice(&FIRST_LIST);
            let group = key_group(keys.hashes[row], key_groups);
            self.push(end_ms, (&mut key, group), rows.key(row))?;
        }
        Ok(())
    }

    /// The id of a list of a key, whose number becomes the end of the key.
    fn list(
        &mut self,
        end_ms: i64,
        (key, key_group): (&mut [u8], u32),
        number: u32,
    ) -> Result<u32> {
        if let Some(end) = key.last_chunk_mut::<4>() {
            *end = number.to_be_bytes();
        }
        Ok(self.windows.upsert_in(end_ms, (key, key_group))?.0)
    }

    /// Appends a row to the lists of its key, which has room for a number at its end.
    fn push(&mut self, end_ms: i64, (key, key_group): (&mut [u8], u32), row: &[u8]) -> Result<()> {
        let missing = || Error::internal("a window that was opened is gone");
        let first = self.list(end_ms, (key, key_group), 0)?;
        let lists = self.windows.values_mut(end_ms).ok_or_else(missing)?;
        let more = lists.more_lists(first);
        let mut last = if more == 0 {
            first
        } else {
            self.list(end_ms, (key, key_group), more)?
        };
        let lists = self.windows.values_mut(end_ms).ok_or_else(missing)?;
        if lists.bytes(last) >= LIST_BYTES_MAX {
            lists.set_more_lists(first, more + 1);
            last = self.list(end_ms, (key, key_group), more + 1)?;
        }
        let lists = self.windows.values_mut(end_ms).ok_or_else(missing)?;
        lists.push(last, RowKind::Insert, row);
        Ok(())
    }
}

impl WindowJoin {
    /// A join without rows.
    ///
    /// # Errors
    /// `Unsupported` for keys that cannot be one; `Invalid` for a condition that does not compile.
    pub fn new(
        spec: &Spec,
        types: [&[FlinkType]; 2],
        time_zone: &str,
        states: [StateConfig; 2],
    ) -> Result<Self> {
        let residual = spec.residual.as_ref();
        let residual = residual.map(|residual| Evaluator::compile(residual, time_zone));
        let [left, right] = states;
        Ok(Self {
            kind: spec.kind,
            key_groups: left.key_groups,
            sides: [
                Side::new(spec, 0, types[0], left)?,
                Side::new(spec, 1, types[1], right)?,
            ],
            residual: residual.transpose()?,
            progress: Progress::new(TimeDomain::Event, Zone::new(&spec.time_zone)?),
            cursor: (0, 0),
            piece: None,
        })
    }

    /// Whether rows of a side are emitted without a match.
    fn is_preserved(&self, side: usize) -> bool {
        match self.kind {
            JoinKind::Left | JoinKind::Anti => side == 0,
            JoinKind::Right => side == 1,
            JoinKind::Full => true,
            JoinKind::Inner | JoinKind::Semi => false,
        }
    }

    /// The first open window.
    fn first_window(&self) -> Option<i64> {
        let ends = self.sides.iter().filter_map(|side| side.windows.first());
        ends.min()
    }

    /// Lays the rows of the next keys of a window side by side; none when no key is left.
    fn gather(&mut self, end_ms: i64) -> Result<Option<Piece>> {
        let preserved = [self.is_preserved(0), self.is_preserved(1)];
        let [left, right] = &mut self.sides;
        let codecs = [&left.row_codec, &right.row_codec];
        let windows = [
            left.windows.slices(end_ms..=end_ms)?.pop(),
            right.windows.slices(end_ms..=end_ms)?.pop(),
        ];
        let windows = windows.map(|window| window.map(|(_, slice)| slice));
        let mut gathered = Gathered::default();
        while self.cursor.0 < 2 && gathered.count() < PIECE_ROWS {
            let side = self.cursor.0;
            // Keys of the left side meet those of the right one; then those follow that only the right side has.
            let is_done = match &windows[side] {
                Some(own) if side == 0 || preserved[1] => {
                    let other = windows[1 - side].as_ref();
                    gathered.keys_of((side, own, other), preserved[side], &mut self.cursor.1)
                }
                _ => true,
            };
            if is_done {
                self.cursor = (side + 1, 0);
            }
        }
        gathered.piece(codecs)
    }

    /// Emits the next block of a piece; true when it was the last.
    fn step(
        &self,
        piece: &mut Piece,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<bool> {
        let has_pairs = !self.kind.is_left_only();
        if !has_pairs && self.residual.is_none() {
            piece.match_keys();
        } else {
            let rows = piece.pairs(EMIT_ROWS_MAX);
            if !rows[0].is_empty() {
                let mut columns = pick(&piece.columns[0], &rows[0])?;
                columns.extend(pick(&piece.columns[1], &rows[1])?);
                let pairs = Batch::inserts(columns, rows[0].len());
                let (mask, pairs) = match &self.residual {
                    None => (None, pairs),
                    Some(residual) => {
                        let mask = residual.eval_condition(&pairs, &context.eval())?;
                        let pairs = pairs.filter(&mask)?;
                        (Some(mask), pairs)
                    }
                };
                piece.note(&rows, mask.as_ref());
                if has_pairs {
                    out.emit(pairs);
                }
                return Ok(false);
            }
        }
        self.emit_single(piece, out)?;
        Ok(true)
    }

    /// Emits the rows of a piece that are emitted for themselves: those without a match, or of a semi-join those with one.
    fn emit_single(&self, piece: &Piece, out: &mut Collector) -> Result<()> {
        for side in [0, 1] {
            let is_semi = self.kind == JoinKind::Semi && side == 0;
            if !is_semi && !self.is_preserved(side) {
                continue;
            }
            let matched = (0u32..).zip(&piece.matched[side]);
            let rows = matched.filter(|(_, is_matched)| **is_matched == is_semi);
            let rows: Vec<u32> = rows.map(|(row, _)| row).collect();
            let mut columns = pick(&piece.columns[side], &rows)?;
            if !self.kind.is_left_only() {
                let others = self.sides[1 - side].types.iter();
                let nulls = others.map(|ty| Ok(new_null_array(&ty.to_arrow()?, rows.len())));
                let nulls: Vec<ArrayRef> = nulls.collect::<Result<_>>()?;
                columns = if side == 0 {
                    [columns, nulls].concat()
                } else {
                    [nulls, columns].concat()
                };
            }
            out.emit(Batch::inserts(columns, rows.len()));
        }
        Ok(())
    }
}

/// The rows of some keys before they are columns.
#[derive(Default)]
struct Gathered<'a> {
    /// Encoded rows, left and right.
    rows: [Vec<&'a [u8]>; 2],
    /// The rows of each key.
    keys: Vec<[Range<u32>; 2]>,
}

impl<'a> Gathered<'a> {
    /// Rows so far.
    fn count(&self) -> usize {
        self.rows[0].len() + self.rows[1].len()
    }

    /// Adds keys of a side from an id on, until the piece is full; true when those were all. Keys without rows on the other side are left
    /// out unless the side is preserved, and those with some when it is the right one.
    fn keys_of(
        &mut self,
        (side, own, other): (
            usize,
            &'a Slice<'a, RowLists>,
            Option<&'a Slice<'a, RowLists>>,
        ),
        is_preserved: bool,
        next: &mut u32,
    ) -> bool {
        for id in own.ids_from(*next) {
            if self.count() >= PIECE_ROWS {
                *next = id;
                return false;
            }
            let key = own.key(id);
            // Further lists of a key are found with the first.
            let Some(key) = key.strip_suffix(&FIRST_LIST) else {
                continue;
            };
            let group = own.key_group(id);
            let theirs = match key.first() {
                Some(&MATCHES) => {
                    other.zip(other.and_then(|other| other.find(own.key(id), own.hash(id))))
                }
                _ => None,
            };
            if (theirs.is_none() && !is_preserved) || (theirs.is_some() && side == 1) {
                continue;
            }
            let mut ranges = [0..0, 0..0];
            ranges[side] = self.add(side, (own, id), (key, group));
            if let Some((other, id)) = theirs {
                ranges[1 - side] = self.add(1 - side, (other, id), (key, group));
            }
            self.keys.push(ranges);
        }
        true
    }

    /// Adds the rows of a key of a side; which they are.
    fn add(
        &mut self,
        side: usize,
        (window, first): (&'a Slice<'a, RowLists>, u32),
        (key, key_group): (&[u8], u32),
    ) -> Range<u32> {
        let start = self.rows[side].len();
        let lists = window.values();
        let mut list_key = key.to_vec();
        for number in 0..=lists.more_lists(first) {
            list_key.truncate(key.len());
            list_key.extend_from_slice(&number.to_be_bytes());
            if let Some(id) = window.find_in(&list_key, key_group) {
                self.rows[side].extend(lists.iter(id).map(|(_, row)| row));
            }
        }
        let place = |row: usize| u32::try_from(row).unwrap_or(u32::MAX);
        place(start)..place(self.rows[side].len())
    }

    /// The rows as columns; none without keys.
    fn piece(self, codecs: [&KeyCodec; 2]) -> Result<Option<Piece>> {
        let Some(first) = self.keys.first() else {
            return Ok(None);
        };
        let decode = |side: usize| codecs[side].decode(self.rows[side].iter().copied());
        Ok(Some(Piece {
            columns: [decode(0)?, decode(1)?],
            matched: [
                vec![false; self.rows[0].len()],
                vec![false; self.rows[1].len()],
            ],
            next: (0, [first[0].start, first[1].start]),
            keys: self.keys,
        }))
    }
}

impl Piece {
    /// The next pairs, at most `room`: left and right rows.
    fn pairs(&mut self, room: usize) -> [Vec<u32>; 2] {
        let mut rows = [Vec::new(), Vec::new()];
        while let Some([left, right]) = self.keys.get(self.next.0) {
            let [own, theirs] = &mut self.next.1;
            while *own < left.end && !right.is_empty() {
                if rows[0].len() >= room {
                    return rows;
                }
                let left_room = room - rows[0].len();
                let count = (right.end - *theirs).min(u32::try_from(left_room).unwrap_or(u32::MAX));
                rows[0].extend(std::iter::repeat_n(*own, count as usize));
                rows[1].extend(*theirs..*theirs + count);
                *theirs += count;
                if *theirs == right.end {
                    (*own, *theirs) = (*own + 1, right.start);
                }
            }
            let key = self.next.0 + 1;
            let starts = self
                .keys
                .get(key)
                .map(|[left, right]| [left.start, right.start]);
            self.next = (key, starts.unwrap_or_default());
        }
        rows
    }

    /// Notes which rows of pairs have a match.
    fn note(&mut self, rows: &[Vec<u32>; 2], mask: Option<&BooleanArray>) {
        for (index, (left, right)) in rows[0].iter().zip(&rows[1]).enumerate() {
            if mask.is_none_or(|mask| mask.is_valid(index) && mask.value(index)) {
                self.matched[0][*left as usize] = true;
                self.matched[1][*right as usize] = true;
            }
        }
    }

    /// Notes that all rows of keys that both sides have are matched.
    fn match_keys(&mut self) {
        for [left, right] in &self.keys {
            if !right.is_empty() {
                self.matched[0][left.start as usize..left.end as usize].fill(true);
            }
        }
    }
}

/// The rows at `indices` of columns.
fn pick(columns: &[ArrayRef], indices: &[u32]) -> Result<Vec<ArrayRef>> {
    let indices = UInt32Array::from(indices.to_vec());
    columns
        .iter()
        .map(|column| Ok(arrow::compute::take(column, &indices, None)?))
        .collect()
}

impl Operator for WindowJoin {
    fn on_batch(
        &mut self,
        input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        _out: &mut Collector,
    ) -> Result<()> {
        let how = (self.key_groups, self.is_preserved(input));
        for (end_ms, part) in by_value(batch, self.sides[input].end)? {
            if self.progress.is_late(end_ms) {
                context.metrics.late_records.add(part.rows);
            } else {
                self.sides[input].add(end_ms, &part, how)?;
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        self.progress.on_watermark(context);
        Ok(())
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        if let Some(mut piece) = self.piece.take() {
            if !self.step(&mut piece, context, out)? {
                self.piece = Some(piece);
            }
            return Ok(true);
        }
        while let Some(end_ms) = self.first_window() {
            if !self.progress.is_closed(end_ms) {
                break;
            }
            self.piece = self.gather(end_ms)?;
            if self.piece.is_some() {
                return Ok(true);
            }
            self.cursor = (0, 0);
            for side in &mut self.sides {
                side.windows.drop_slice(end_ms)?;
            }
        }
        self.progress.emitted();
        Ok(false)
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        for side in &mut self.sides {
            visit(&mut side.windows);
        }
    }
}

#[cfg(test)]
mod tests;
