//! The join of rows whose times are near each other.
//!
//! Place in the flow: after hash exchanges of both inputs by their join keys. Invariant: a row is kept for exactly as long as the other
//! input may bring one that meets it, as the clock of the join says, which is the watermark or the machine's; a row that an outer join
//! has to emit although it meets none is emitted once, when it is not kept or kept no more.
//!
//! A row meets the other input's rows when it comes, and is added to those of its own input afterwards. What it meets may be many
//! times the batch, so it is emitted in steps of [`EMIT_ROWS_MAX`] rows, and the place reached is kept in between.
//!
//! # Source
//! Flink 2.3, `TimeIntervalJoin` with `table.exec.interval-join.min-cleanup-interval` at 0: late rows may still meet, a row that comes
//! too late to be kept is emitted at once by an outer join, and the watermark behind the join is held back by the interval.

mod backlog;
mod lists;
mod part;
mod timed;

use arrow::array::{Array, ArrayRef, PrimitiveArray, UInt32Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use self::backlog::{Arrived, Backlog, Cursor, Found, NO_RANGE};
use self::lists::MET;
use self::timed::{Lonely, TimedRows};
use crate::batch::Batch;
use crate::error::Result;
use crate::operator::join::time_order::times_ms;
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext, StateVisit};
use crate::plan::TimeDomain;
use crate::sql::eval::Evaluator;
use crate::state::{EncodedKeys, KeyCodec, StateConfig};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Numbers of the tables of the left and the right input.
const TABLES: [u8; 2] = [0, 1];

/// What an interval join is made from.
#[derive(Debug)]
pub struct Spec<'a> {
    /// The join as planned.
    pub join: &'a crate::plan::IntervalJoin,
    /// Types of the columns of the left and the right input.
    pub types: [&'a [FlinkType]; 2],
    /// The session time zone.
    pub time_zone: &'a str,
}

/// A join with bounds in time.
#[derive(Debug)]
pub struct IntervalJoin {
    /// Left and right.
    sides: [Side; 2],
    /// Least and greatest difference of left time minus right time, milliseconds.
    bounds_ms: (i64, i64),
    /// The clock.
    domain: TimeDomain,
    /// What else must be TRUE.
    residual: Option<Evaluator>,
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
    /// Those of them whose NULL equals nothing.
    filtered: Vec<usize>,
    /// The time column.
    time: usize,
    /// Whether rows that meet none are emitted.
    is_outer: bool,
    /// Types of its columns.
    types: Vec<DataType>,
    /// Encodes keys.
    key_codec: KeyCodec,
    /// Encodes rows.
    row_codec: KeyCodec,
    /// The rows that may still be met.
    rows: TimedRows,
}

impl Side {
    /// A side of a join.
    fn new(spec: &Spec<'_>, input: usize, state: StateConfig) -> Result<Self> {
        let (join, types) = (spec.join, spec.types[input]);
        let (keys, time, is_outer, keep_ms) = if input == 0 {
            let keep_ms = join.lower_ms.saturating_neg();
            (
                &join.left_keys,
                join.left_time,
                join.kind.nulls_right(),
                keep_ms,
            )
        } else {
            (
                &join.right_keys,
                join.right_time,
                join.kind.nulls_left(),
                join.upper_ms,
            )
        };
        let filters = |at: usize| join.filter_nulls.get(at).copied().unwrap_or(true);
        let filtered = (0..keys.len()).filter(|at| filters(*at));
        Ok(Self {
            keys: keys.clone(),
            filtered: filtered.map(|at| keys[at]).collect(),
            time,
            is_outer,
            types: types
                .iter()
                .map(FlinkType::to_arrow)
                .collect::<Result<_>>()?,
            key_codec: KeyCodec::new(keys.iter().map(|key| &types[*key]))?,
            row_codec: KeyCodec::for_rows(types)?,
            rows: TimedRows::new(
                TABLES[input],
                (keep_ms, join.upper_ms.saturating_sub(join.lower_ms)),
                is_outer,
                state,
            ),
        })
    }

    /// The join keys of a batch, and which rows can meet others.
    fn encode_keys(&self, batch: &Batch) -> Result<(EncodedKeys, Option<NullBuffer>)> {
        let columns: Vec<&ArrayRef> = self.keys.iter().map(|key| &batch.columns[*key]).collect();
        let valid = self
            .filtered
            .iter()
            .fold(None, |valid: Option<NullBuffer>, key| {
                NullBuffer::union(valid.as_ref(), batch.columns[*key].logical_nulls().as_ref())
            });
        Ok((self.key_codec.encode(&columns, batch.rows)?, valid))
    }

    /// Columns of NULLs.
    fn nulls(&self, rows: usize) -> Vec<ArrayRef> {
        let types = self.types.iter();
        types.map(|ty| new_null_array(ty, rows)).collect()
    }
}

impl IntervalJoin {
    /// A join without rows.
    ///
    /// # Errors
    /// `Unsupported` for keys that cannot be one; `Invalid` for a condition that does not compile.
    pub fn new(spec: &Spec<'_>, states: [StateConfig; 2]) -> Result<Self> {
        let residual = spec.join.residual.as_ref();
        let residual = residual.map(|residual| Evaluator::compile(residual, spec.time_zone));
        let [left, right] = states;
        Ok(Self {
            sides: [Side::new(spec, 0, left)?, Side::new(spec, 1, right)?],
            bounds_ms: (spec.join.lower_ms, spec.join.upper_ms),
            domain: spec.join.domain,
            residual: residual.transpose()?,
            backlog: None,
            found: Found::default(),
        })
    }

    /// Whether no difference of times is within the bounds.
    fn is_void(&self) -> bool {
        self.bounds_ms.0 > self.bounds_ms.1
    }

    /// Where the clock of the join stands.
    fn now_ms(&self, context: &OperatorContext<'_>) -> EpochMillis {
        match self.domain {
            TimeDomain::Event => context.watermark_ms.unwrap_or(EpochMillis::MIN),
            TimeDomain::Processing => context.clock.now_ms(),
        }
    }

    /// Emits the next rows of the backlog.
    fn step(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<()> {
        let Some(mut backlog) = self.backlog.take() else {
            return Ok(());
        };
        let first = backlog.next.row;
        self.find(&mut backlog)?;
        if !self.found.own.is_empty() {
            let joined = self.joined(&backlog.arrived)?;
            let joined = match &self.residual {
                None => {
                    self.note_met(&mut backlog, |_| true);
                    joined
                }
                Some(residual) => {
                    let mask = residual.eval_condition(&joined, &context.eval())?;
                    self.note_met(&mut backlog, |at| mask.is_valid(at) && mask.value(at));
                    joined.filter(&mask)?
                }
            };
            out.emit(joined);
        }
        self.emit_swept(1 - backlog.arrived.input, out)?;
        self.keep(&backlog, first, out)?;
        if backlog.next.row < backlog.arrived.batch.rows {
            self.backlog = Some(backlog);
        }
        Ok(())
    }

    /// Looks up what the next rows of the backlog meet, at most [`EMIT_ROWS_MAX`] rows.
    fn find(&mut self, backlog: &mut Backlog) -> Result<()> {
        self.found.clear();
        let Backlog { arrived, next, .. } = backlog;
        if self.is_void() {
            next.row = arrived.batch.rows;
            return Ok(());
        }
        let mut found = std::mem::take(&mut self.found);
        let other = &self.sides[1 - arrived.input].rows;
        let expired_ms = other.expired_ms(arrived.now_ms);
        let bounds_ms = self.bounds_ms;
        let range_ms = |row: usize| {
            let time_ms = arrived.time_of(row).filter(|_| arrived.is_valid(row));
            let range_ms = time_ms.map(|time_ms| range_ms(bounds_ms, arrived.input, time_ms));
            // When nothing can be met but expired rows, they are left to the clock.
            let range_ms = range_ms.filter(|(_, to_ms)| *to_ms > expired_ms);
            range_ms.unwrap_or(NO_RANGE)
        };
        let other = &mut self.sides[1 - arrived.input].rows;
        found.search(other, (arrived, next), range_ms)?;
        self.found = found;
        Ok(())
    }

    /// Remembers which rows have met others.
    fn note_met(&mut self, backlog: &mut Backlog, is_met: impl Fn(usize) -> bool) {
        let input = backlog.arrived.input;
        let is_outer = self.sides[1 - input].is_outer;
        if !is_outer && !self.sides[input].is_outer {
            return;
        }
        let other = &mut self.sides[1 - input].rows;
        for (at, (row, place)) in self.found.own.iter().zip(&self.found.places).enumerate() {
            if !is_met(at) {
                continue;
            }
            backlog.met[*row as usize] = true;
            if is_outer && other.row(*place).is_some_and(|row| row.flags & MET == 0) {
                other.mark(*place, MET);
            }
        }
    }

    /// Emits the rows of an input that the step has taken away and that have met none.
    fn emit_swept(&mut self, input: usize, out: &mut Collector) -> Result<()> {
        let side = &self.sides[input];
        let mut rows = EncodedKeys::default();
        let mut lonely = Lonely {
            rows: &mut rows,
            // They were looked through by rows of this step.
            room: usize::MAX,
        };
        let swept = self.found.swept.iter();
        let swept = swept.filter_map(|place| side.rows.row(*place));
        swept
            .filter(|row| row.flags & MET == 0)
            .for_each(|row| lonely.take(row.bytes));
        self.emit_lonely(input, &rows, out)
    }

    /// Adds the rows that are through to those of their input, or emits them.
    fn keep(&mut self, backlog: &Backlog, first: usize, out: &mut Collector) -> Result<()> {
        let (arrived, is_void) = (&backlog.arrived, self.is_void());
        let own = &mut self.sides[arrived.input];
        let (mut lonely, mut kept): (Vec<u32>, Vec<usize>) = (Vec::new(), Vec::new());
        for (row, met) in (0..).zip(&backlog.met).take(backlog.next.row).skip(first) {
            let at = row as usize;
            let time_ms = arrived.time_of(at).filter(|_| !is_void);
            if time_ms.is_some_and(|time_ms| own.rows.keeps(time_ms, arrived.now_ms)) {
                if own.is_outer || arrived.is_valid(at) {
                    kept.push(at);
                }
            } else if own.is_outer && !met {
                lonely.push(row);
            }
        }
        own.rows.add(arrived, &kept, &backlog.met)?;
        if !lonely.is_empty() {
            let rows = arrived.batch.take(&UInt32Array::from(lonely))?;
            out.emit(self.padded(arrived.input, rows.columns, rows.rows));
        }
        Ok(())
    }

    /// The rows of a step: left columns, then right columns.
    fn joined(&self, arrived: &Arrived) -> Result<Batch> {
        let other = &self.sides[1 - arrived.input];
        let rows = self.found.own.len();
        let stored = (0..rows).map(|at| self.found.rows.key(at));
        let theirs = other.row_codec.decode(stored)?;
        let own = UInt32Array::from(self.found.own.clone());
        let own = arrived.batch.take(&own)?.columns;
        Ok(Batch::inserts(beside(arrived.input, own, theirs), rows))
    }

    /// Emits rows of an input that have met none, given in their stored form.
    fn emit_lonely(&self, input: usize, rows: &EncodedKeys, out: &mut Collector) -> Result<()> {
        let side = &self.sides[input];
        if side.is_outer && !rows.is_empty() {
            let stored = (0..rows.len()).map(|row| rows.key(row));
            out.emit(self.padded(input, side.row_codec.decode(stored)?, rows.len()));
        }
        Ok(())
    }

    /// Rows of an input beside NULLs.
    fn padded(&self, input: usize, own: Vec<ArrayRef>, rows: usize) -> Batch {
        let nulls = self.sides[1 - input].nulls(rows);
        Batch::inserts(beside(input, own, nulls), rows)
    }

    /// Takes away what the clock says; true when there is more.
    fn expire(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        let now_ms = self.now_ms(context);
        let mut room = EMIT_ROWS_MAX;
        for input in 0..self.sides.len() {
            let mut rows = EncodedKeys::default();
            let mut lonely = Lonely {
                rows: &mut rows,
                room,
            };
            let has_more = self.sides[input].rows.expire(now_ms, &mut lonely)?;
            room = lonely.room;
            self.emit_lonely(input, &rows, out)?;
            if has_more {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The times of the other input that a row of a time meets.
fn range_ms(
    (lower_ms, upper_ms): (i64, i64),
    input: usize,
    time_ms: EpochMillis,
) -> (EpochMillis, EpochMillis) {
    if input == 0 {
        (
            time_ms.saturating_sub(upper_ms),
            time_ms.saturating_sub(lower_ms),
        )
    } else {
        (
            time_ms.saturating_add(lower_ms),
            time_ms.saturating_add(upper_ms),
        )
    }
}

/// Columns of an input beside those of the other one, the left ones first.
fn beside(input: usize, own: Vec<ArrayRef>, theirs: Vec<ArrayRef>) -> Vec<ArrayRef> {
    let (mut columns, right) = if input == 0 {
        (own, theirs)
    } else {
        (theirs, own)
    };
    columns.extend(right);
    columns
}

impl Operator for IntervalJoin {
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
        let now_ms = self.now_ms(context);
        let side = &self.sides[input];
        let (keys, valid) = side.encode_keys(batch)?;
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        let times_ms = match self.domain {
            TimeDomain::Event => times_ms(&batch.columns[side.time])?,
            TimeDomain::Processing => PrimitiveArray::from_value(now_ms, batch.rows),
        };
        self.backlog = Some(Backlog {
            arrived: Arrived {
                input,
                keys,
                valid,
                rows: side.row_codec.encode_rows(&columns, batch.rows)?,
                batch: batch.clone(),
                times_ms,
                now_ms,
            },
            met: vec![false; batch.rows],
            next: Cursor::default(),
        });
        self.step(context, out)
    }

    fn emit_pending(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<bool> {
        if self.has_backlog() {
            self.step(context, out)?;
            return Ok(self.has_backlog());
        }
        self.expire(context, out)
    }

    fn next_timer_ms(&self) -> Option<EpochMillis> {
        let timers = self.sides.iter().map(|side| side.rows.next_due_ms());
        let next = timers.flatten().min();
        next.filter(|_| self.domain == TimeDomain::Processing)
    }

    fn has_backlog(&self) -> bool {
        self.backlog.is_some()
    }

    fn output_watermark_ms(&self, input_ms: EpochMillis) -> EpochMillis {
        let (lower_ms, upper_ms) = self.bounds_ms;
        let delay_ms = upper_ms.max(lower_ms.saturating_neg());
        match input_ms {
            EpochMillis::MAX => EpochMillis::MAX,
            input_ms if self.is_void() || self.domain == TimeDomain::Processing => input_ms,
            input_ms => input_ms.saturating_sub(delay_ms),
        }
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        for side in &mut self.sides {
            visit(side.rows.table());
        }
    }
}

#[cfg(test)]
mod tests;
