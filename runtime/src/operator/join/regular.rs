//! The join of two whole inputs: every row meets every row of the other side that has come or will come.
//!
//! Place in the flow: after hash exchanges of both inputs by their join keys, or in one subtask when there are none. Invariant: what was
//! emitted, folded, is the join of what both sides hold; rows with a NULL among their keys are not kept, unless NULL equals NULL there.
//!
//! A batch meets the other side, which stands still meanwhile. What it finds may be many times the batch, so it is emitted in steps of
//! [`EMIT_ROWS_MAX`](crate::operator::EMIT_ROWS_MAX) rows, and the place reached is kept in between. A row of an outer side has to know
//! whether it has a match. Without a further condition and a TTL that is so when the other side has its key; else the number of its
//! matches is kept with the row.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use super::changes::{Changes, Matching, Roles};
use super::meeting::{Cursor, Found, Search};
use super::page::{Arrived, Page, pick};
use super::side::{Counts, JoinSide, KeyChange};
use crate::batch::{Batch, RowKind, RowKinds};
use crate::error::Result;
use crate::operator::{Collector, Operator, OperatorContext, StateVisit};
use crate::plan::JoinKind;
use crate::sql::eval::Evaluator;
use crate::sql::expr::Expr;
use crate::state::{ChunkKeys, EncodedKeys, KeyCodec, NOT_HELD, StateConfig};
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// Number of the left side's table; the right side's is the next.
const LEFT_TABLE: u8 = 0;

/// Number of the right side's table.
const RIGHT_TABLE: u8 = 1;

/// What a join is made from.
#[derive(Debug, Clone, Copy)]
pub struct Spec<'a> {
    /// Which rows are emitted.
    pub kind: JoinKind,
    /// Key columns of the left and the right input, in pairs of one type; none makes every row meet every other.
    pub keys: [&'a [usize]; 2],
    /// For each key, whether NULL equals nothing; empty means every one.
    pub filter_nulls: &'a [bool],
    /// Types of the columns of the left and the right input.
    pub types: [&'a [FlinkType]; 2],
    /// What else must be TRUE, over left columns followed by right columns.
    pub residual: Option<&'a Expr>,
}

/// A join without bounds in time.
#[derive(Debug)]
pub struct RegularJoin {
    /// Which rows are emitted.
    kind: JoinKind,
    /// Left and right.
    sides: [Side; 2],
    /// What else must be TRUE.
    residual: Option<Residual>,
    /// How rows that mind their matches know of them.
    counts: Counts,
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
    /// Those in which NULL equals nothing.
    not_null: Vec<usize>,
    /// Types of its columns.
    types: Vec<DataType>,
    /// Encodes keys.
    key_codec: KeyCodec,
    /// Encodes rows.
    row_codec: KeyCodec,
    /// The rows so far.
    rows: JoinSide,
}

/// The rest of a condition.
#[derive(Debug)]
struct Residual {
    /// Computes it.
    evaluator: Evaluator,
    /// Columns that it reads.
    columns: Vec<usize>,
}

/// A batch on its way through the other side.
#[derive(Debug)]
struct Backlog {
    /// The batch.
    arrived: Arrived,
    /// What comes next.
    next: Cursor,
    /// Rows that the next row has met already.
    matches: u64,
}

impl Side {
    /// A side of a join.
    fn new(spec: &Spec<'_>, input: usize, counts: Counts, state: StateConfig) -> Result<Self> {
        let (keys, types) = (spec.keys[input], spec.types[input]);
        let table = if input == 0 { LEFT_TABLE } else { RIGHT_TABLE };
        let counts = if Roles::minds_matches(spec.kind, input) {
            counts
        } else {
            Counts::Derived
        };
        let filters = spec.filter_nulls.iter().copied();
        let filters = filters.chain(std::iter::repeat(true));
        let not_null = keys.iter().zip(filters).filter(|(_, filters)| *filters);
        Ok(Self {
            keys: keys.to_vec(),
            not_null: not_null.map(|(key, _)| *key).collect(),
            types: types
                .iter()
                .map(FlinkType::to_arrow)
                .collect::<Result<_>>()?,
            key_codec: KeyCodec::new(keys.iter().map(|key| &types[*key]))?,
            row_codec: KeyCodec::for_rows(types)?,
            rows: JoinSide::new(table, counts, state),
        })
    }

    /// The join keys of a batch, and which of them may equal others.
    fn encode_keys(&self, batch: &Batch) -> Result<(EncodedKeys, Option<NullBuffer>)> {
        let columns: Vec<&ArrayRef> = self.keys.iter().map(|key| &batch.columns[*key]).collect();
        let valid = self.not_null.iter().fold(None, |valid, key| {
            NullBuffer::union(valid.as_ref(), batch.columns[*key].logical_nulls().as_ref())
        });
        Ok((self.key_codec.encode(&columns, batch.rows)?, valid))
    }

    /// The rows of a batch, encoded.
    fn encode_rows(&self, batch: &Batch) -> Result<EncodedKeys> {
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        self.row_codec.encode_rows(&columns, batch.rows)
    }
}

impl RegularJoin {
    /// A join without rows.
    ///
    /// # Errors
    /// `Unsupported` for keys that cannot be one; `Invalid` for a condition that does not compile.
    pub fn new(spec: &Spec<'_>, time_zone: &str, states: [StateConfig; 2]) -> Result<Self> {
        let compile = |residual: &Expr| -> Result<Residual> {
            Ok(Residual {
                evaluator: Evaluator::compile(residual, time_zone)?,
                columns: residual.columns(),
            })
        };
        let expires = states.iter().any(|state| state.ttl_ms.is_some());
        let counts = if spec.residual.is_some() || expires {
            Counts::PerRow
        } else {
            Counts::Derived
        };
        let [left, right] = states;
        let key_groups = left.key_groups;
        Ok(Self {
            kind: spec.kind,
            sides: [
                Side::new(spec, 0, counts, left)?,
                Side::new(spec, 1, counts, right)?,
            ],
            residual: spec.residual.map(compile).transpose()?,
            counts,
            key_groups,
            backlog: None,
            found: Found::default(),
        })
    }

    /// The part of an input.
    fn roles(&self, input: usize) -> Roles {
        let kind = self.kind;
        Roles { kind, input }
    }

    /// Begins with a batch: its rows are kept now, or when it is known how many matches they have.
    fn arrive(&mut self, input: usize, batch: &Batch, now_ms: EpochMillis) -> Result<Arrived> {
        let roles = self.roles(input);
        let side = &self.sides[input];
        let (keys, valid) = side.encode_keys(batch)?;
        let rows = side.encode_rows(batch)?;
        let kinds = batch.kinds.as_deref();
        let kinds = kinds.map(|kinds| self.paired_kinds(kinds, &keys));
        let mut arrived = Arrived {
            input,
            batch: Batch {
                kinds,
                ..batch.clone()
            },
            chunk_keys: ChunkKeys::first(&keys, self.key_groups),
            keys,
            valid,
            now_ms,
            changes: Vec::new(),
            rows: None,
        };
        if roles.own_minds() && self.counts == Counts::PerRow {
            arrived.rows = Some(rows);
            return Ok(arrived);
        }
        let tells = roles.other_minds() && self.counts == Counts::Derived;
        if batch.kinds.is_none() {
            let changes = self.keep_all(&arrived, &rows)?;
            if tells {
                arrived.changes = changes;
            }
            return Ok(arrived);
        }
        for row in 0..batch.rows {
            let change = self.keep(&arrived, row, (rows.key(row), 0))?;
            if tells {
                arrived.note(row, change);
            }
        }
        Ok(arrived)
    }

    /// Adds all rows of a batch to their side; what each of them does to its key.
    fn keep_all(&mut self, arrived: &Arrived, rows: &EncodedKeys) -> Result<Vec<KeyChange>> {
        let mut changes = vec![KeyChange::Same; arrived.batch.rows];
        let places = (0..arrived.batch.rows).filter(|row| arrived.is_valid(*row));
        let places: Vec<usize> = places.collect();
        let key_groups = self.key_groups;
        let row = |row: usize| (arrived.key(row, key_groups), rows.key(row));
        let keys = (&arrived.chunk_keys, places.as_slice());
        let side = &mut self.sides[arrived.input].rows;
        side.add_all(keys, row, arrived.now_ms, |row, change| {
            changes[row] = change;
        })?;
        Ok(changes)
    }

    /// The kinds of rows, in which -U and +U stand for an update of the same matches only. Who needs no -U takes no notice of one, so
    /// that a row which has lost its match must be deleted.
    fn paired_kinds(&self, kinds: &[RowKind], keys: &EncodedKeys) -> RowKinds {
        let updates = |row: usize| {
            self.residual.is_none()
                && kinds[row..].starts_with(&[RowKind::UpdateBefore, RowKind::UpdateAfter])
                && keys.key(row) == keys.key(row + 1)
        };
        let kind = |row: usize| match kinds[row] {
            RowKind::UpdateBefore if !updates(row) => RowKind::Delete,
            RowKind::UpdateAfter if row == 0 || !updates(row - 1) => RowKind::Insert,
            kind => kind,
        };
        (0..kinds.len()).map(kind).collect()
    }

    /// Adds a row to its side, or takes it away.
    fn keep(&mut self, arrived: &Arrived, row: usize, stored: (&[u8], u64)) -> Result<KeyChange> {
        if !arrived.is_valid(row) {
            return Ok(KeyChange::Same);
        }
        let key = arrived.key(row, self.key_groups);
        let side = &mut self.sides[arrived.input].rows;
        if arrived.batch.kind(row).is_retraction() {
            side.remove(key, stored.0, arrived.now_ms)
        } else {
            side.add(key, stored, arrived.now_ms)
        }
    }

    /// Emits the rows of a batch of the left input that have a match, or have none, when their keys alone tell.
    fn emit_by_key(&mut self, arrived: &Arrived, out: &mut Collector) -> Result<()> {
        let is_semi = self.kind == JoinKind::Semi;
        let (keys, mut firsts) = (&arrived.chunk_keys, Vec::new());
        let rows = 0..arrived.batch.rows;
        let other = &mut self.sides[1].rows;
        other.find_all((keys, rows), arrived.now_ms, &mut firsts)?;
        let has_match = |(row, first): (usize, &u32)| arrived.is_valid(row) && *first != NOT_HELD;
        let emitted = firsts.iter().enumerate();
        let emitted = emitted.map(|row| Some(has_match(row) == is_semi));
        out.emit(arrived.batch.filter(&emitted.collect())?);
        Ok(())
    }

    /// Emits the next rows of the backlog.
    fn step(&mut self, context: &OperatorContext<'_>, out: &mut Collector) -> Result<()> {
        let Some(mut backlog) = self.backlog.take() else {
            return Ok(());
        };
        let first = backlog.next.row;
        self.find(&mut backlog)?;
        let page = self.page(&backlog.arrived, context)?;
        if self.kind == JoinKind::Inner {
            self.emit_pairs(&backlog.arrived, &page, out)?;
        } else {
            self.emit_changes(&mut backlog, (first, page), out)?;
        }
        if backlog.next.row < backlog.arrived.batch.rows {
            self.backlog = Some(backlog);
        }
        Ok(())
    }

    /// Looks up what the next rows of the backlog meet.
    fn find(&mut self, backlog: &mut Backlog) -> Result<()> {
        let Backlog { arrived, next, .. } = backlog;
        // Rows that only exist or not need to hear of the first and the last match alone.
        let only_changes = self.kind.is_left_only() && !arrived.changes.is_empty();
        let other = &mut self.sides[1 - arrived.input].rows;
        let keys = (&arrived.chunk_keys, next.row);
        let mut search = Search::new(other, &mut self.found, keys, arrived.now_ms)?;
        while next.row < arrived.batch.rows {
            let meets = arrived.is_valid(next.row)
                && !(only_changes && arrived.changes[next.row] == KeyChange::Same);
            if !meets {
                search.skip();
            } else if !search.row(arrived.key(next.row, self.key_groups), next)? {
                break;
            }
            next.advance();
        }
        Ok(())
    }

    /// What was found, without the pairs for which the rest of the condition is not TRUE.
    fn page(&mut self, arrived: &Arrived, context: &OperatorContext<'_>) -> Result<Page> {
        let other = &self.sides[1 - arrived.input];
        if self.found.is_empty() {
            return Ok(Page::default());
        }
        let meetings = self.found.expand(&other.rows, arrived.now_ms);
        let rows = meetings.stored.iter().map(|stored| stored.row);
        let mut page = Page {
            theirs: other.row_codec.decode(rows)?,
            stored: meetings.stored.len(),
            matches: meetings.stored.iter().map(|row| row.associations).collect(),
            runs: meetings.runs,
            places: meetings.places,
        };
        if let Some(residual) = &self.residual {
            let pairs = page.pairs(arrived, &residual.columns)?;
            let mask = residual.evaluator.eval_condition(&pairs, &context.eval())?;
            let mut index = 0;
            page.runs.retain(|_| {
                index += 1;
                mask.is_valid(index - 1) && mask.value(index - 1)
            });
        }
        Ok(page)
    }

    /// Emits pairs as they are.
    fn emit_pairs(&self, arrived: &Arrived, page: &Page, out: &mut Collector) -> Result<()> {
        let mut changes = Changes::default();
        changes.extend_pairs(&page.runs);
        let kinds = arrived.batch.kinds.as_ref();
        let kinds = kinds.map(|kinds| {
            let kind = |row: &u32| kinds[*row as usize];
            changes.own.iter().map(kind).collect()
        });
        self.emit(arrived, (page, changes), kinds, out)
    }

    /// Emits what pairs change when rows without a match are there, too.
    fn emit_changes(
        &mut self,
        backlog: &mut Backlog,
        (first, mut page): (usize, Page),
        out: &mut Collector,
    ) -> Result<()> {
        let Backlog {
            arrived,
            next,
            matches,
        } = backlog;
        let roles = self.roles(arrived.input);
        let (mut changes, mut updated, mut counts) = (Changes::default(), Vec::new(), Vec::new());
        let mut matching = if !arrived.changes.is_empty() {
            Matching::Keys(&arrived.changes)
        } else if page.places.is_empty() {
            Matching::None
        } else {
            Matching::Counts {
                matches: &mut page.matches,
                changed: &mut updated,
            }
        };
        let mut runs = page.runs.iter().copied().peekable();
        for (own, row) in (0..).zip(0..arrived.batch.rows).skip(first) {
            let kind = arrived.batch.kind(row);
            while let Some(run) = runs.next_if(|run| run.own == own) {
                changes.meet(roles, run, kind, &mut matching);
                *matches += u64::from(run.copies);
            }
            if row >= next.row {
                break;
            }
            changes.complete(roles, own, kind, *matches);
            counts.push(std::mem::take(matches));
        }
        let kinds = std::mem::take(&mut changes.kinds);
        let is_append = kinds.iter().all(|kind| *kind == RowKind::Insert);
        let kinds = (!is_append).then(|| kinds.into());
        self.emit(arrived, (&page, changes), kinds, out)?;
        let other = &mut self.sides[1 - arrived.input].rows;
        for position in updated.iter().map(|position| *position as usize) {
            other.associate(
                page.places[position],
                page.matches[position],
                arrived.now_ms,
            );
        }
        if let Some(rows) = &arrived.rows {
            for (row, matches) in (first..).zip(counts) {
                self.keep(arrived, row, (rows.key(row), matches))?;
            }
        }
        Ok(())
    }

    /// Emits rows by their positions.
    fn emit(
        &self,
        arrived: &Arrived,
        (page, changes): (&Page, Changes),
        kinds: Option<RowKinds>,
        out: &mut Collector,
    ) -> Result<()> {
        let rows = changes.own.len();
        if rows == 0 {
            return Ok(());
        }
        let own_types = &self.sides[arrived.input].types;
        let their_types = &self.sides[1 - arrived.input].types;
        let own = || {
            pick(
                (&arrived.batch.columns, arrived.batch.rows),
                own_types,
                &changes.own,
            )
        };
        let theirs = || pick((&page.theirs, page.stored), their_types, &changes.theirs);
        let columns = match (arrived.input, self.kind.is_left_only()) {
            (0, true) => own()?,
            (_, true) => theirs()?,
            (0, false) => [own()?, theirs()?].concat(),
            (_, false) => [theirs()?, own()?].concat(),
        };
        out.emit(Batch {
            columns,
            rows,
            kinds,
        });
        Ok(())
    }
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
        let arrived = self.arrive(input, batch, context.state_time_ms())?;
        if self.kind.is_left_only() && input == 0 && self.counts == Counts::Derived {
            return self.emit_by_key(&arrived, out);
        }
        self.backlog = Some(Backlog {
            arrived,
            next: Cursor::default(),
            matches: 0,
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
mod kinds_tests;
#[cfg(test)]
mod tests;
