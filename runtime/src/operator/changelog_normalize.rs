//! Upserts by key to a changelog that has every old row: what stands behind the scan of an upsert table.
//!
//! Place in the flow: after a hash exchange by the primary key. Invariant: what was emitted, folded, is the last row of each key; a key
//! that is deleted is emitted with the row that it had, and one that was not there is not. A row that does not pass the filter is no row.
//!
//! # Source
//! Flink 2.3, `ChangelogNormalize` in streams: the last row of each key that passes the filter, without mini-batches.

use arrow::array::{ArrayRef, BooleanArray};

use crate::batch::{Batch, RowKind};
use crate::error::Result;
use crate::operator::{Collector, Operator, OperatorContext, StateVisit};
use crate::sql::eval::Evaluator;
use crate::sql::expr::Expr;
use crate::state::codec::{Reader, Writer};
use crate::state::column;
use crate::state::{KeyCodec, KeyedTable, StateConfig, Values};
use crate::types::FlinkType;

/// Number of the only table.
const ROWS_TABLE: u8 = 0;

/// The last row of each key.
#[derive(Debug)]
pub struct ChangelogNormalize {
    /// The primary key among the columns.
    keys: Vec<usize>,
    /// Encodes keys.
    key_codec: KeyCodec,
    /// Encodes rows.
    row_codec: KeyCodec,
    /// Rows for which it is not TRUE are as good as deleted.
    condition: Option<Evaluator>,
    /// Rows by key.
    rows: KeyedTable<LastRows>,
    /// What is done with a row that is what it was.
    unchanged: Unchanged,
    /// Ids of the present batch's keys, kept for its memory.
    ids: Vec<u32>,
}

/// What is done with a row that is what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unchanged {
    /// Nothing.
    Drop,
    /// It is emitted again, so that state with a TTL behind this operator lives on.
    Emit,
}

/// Rows by id, in their encoded form.
#[derive(Debug, Default)]
struct LastRows {
    /// The row of each id; absent when the key is not there.
    rows: Vec<Option<Box<[u8]>>>,
    /// Bytes of all rows.
    row_bytes: usize,
}

impl LastRows {
    /// Puts a row in the place of another, which is returned.
    fn replace(&mut self, id: u32, row: Option<Box<[u8]>>) -> Option<Box<[u8]>> {
        self.row_bytes += row.as_ref().map_or(0, |row| row.len());
        let old = std::mem::replace(&mut self.rows[id as usize], row);
        self.row_bytes -= old.as_ref().map_or(0, |old| old.len());
        old
    }
}

impl Values for LastRows {
    fn resize(&mut self, len: usize) {
        column::resize(&mut self.rows, len, None);
    }

    fn clear(&mut self, id: u32) {
        self.replace(id, None);
    }

    fn write(&self, id: u32, out: &mut Vec<u8>) {
        // A key whose row is absent is removed before anything is written.
        out.put_bytes(self.rows[id as usize].as_deref().unwrap_or_default());
    }

    fn read(&mut self, id: u32, input: &mut Reader<'_>) -> Result<()> {
        let row = input.bytes()?.into();
        self.replace(id, Some(row));
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Option<Box<[u8]>>>() + self.row_bytes
    }

    fn heap_bytes(&self) -> usize {
        self.row_bytes
    }
}

/// A row to emit.
#[derive(Debug)]
enum Emitted {
    /// One that was held.
    Held(Box<[u8]>),
    /// That of the batch, by its place.
    Row(usize),
}

impl ChangelogNormalize {
    /// No rows yet. The condition is for a session time zone.
    ///
    /// # Errors
    /// `Unsupported` for keys of types that cannot be one; `Invalid` for a condition that does not compile, which the binder has refused
    /// already.
    pub fn new(
        keys: &[usize],
        input: &[FlinkType],
        (condition, time_zone): (Option<&Expr>, &str),
        state: StateConfig,
    ) -> Result<Self> {
        let compile = |expr| Evaluator::compile(expr, time_zone);
        let unchanged = if state.ttl_ms.is_some() {
            Unchanged::Emit
        } else {
            Unchanged::Drop
        };
        Ok(Self {
            keys: keys.to_vec(),
            key_codec: KeyCodec::new(keys.iter().map(|key| &input[*key]))?,
            row_codec: KeyCodec::for_rows(input)?,
            condition: condition.map(compile).transpose()?,
            rows: KeyedTable::new(ROWS_TABLE, LastRows::default(), state),
            unchanged,
            ids: Vec::new(),
        })
    }

    /// Takes what a key is now: a row of the batch by its place, or none. What that changes is pushed to `changes`.
    fn take(
        &mut self,
        id: u32,
        now: Option<(usize, &[u8])>,
        changes: &mut Vec<(RowKind, Emitted)>,
    ) {
        let held = self.rows.values_mut();
        let Some((place, row)) = now else {
            // The row that is held and not the one that came, which may be a key and no more.
            if let Some(old) = held.replace(id, None) {
                changes.push((RowKind::Delete, Emitted::Held(old)));
            }
            return;
        };
        let is_same = held.rows[id as usize].as_deref() == Some(row);
        if is_same && self.unchanged == Unchanged::Drop {
            return;
        }
        match held.replace(id, Some(row.into())) {
            None => changes.push((RowKind::Insert, Emitted::Row(place))),
            Some(old) => {
                changes.push((RowKind::UpdateBefore, Emitted::Held(old)));
                changes.push((RowKind::UpdateAfter, Emitted::Row(place)));
            }
        }
    }

    /// For each row, whether it is what its key is from now on: it is no delete, and it passes. Deletes are not evaluated, since they may
    /// have nothing but a key.
    fn passing(&self, batch: &Batch, context: &OperatorContext<'_>) -> Result<Vec<bool>> {
        let mut passing: Vec<bool> = (0..batch.rows)
            .map(|row| !batch.kind(row).is_retraction())
            .collect();
        if let Some(condition) = &self.condition {
            let upserts = batch.filter(&BooleanArray::from(passing.clone()))?;
            let mask = condition.eval_condition(&upserts, &context.eval())?;
            let passes = mask.iter().map(|value| value == Some(true));
            let rows = passing.iter_mut().filter(|is_upsert| **is_upsert);
            for (row, passes) in rows.zip(passes) {
                *row = passes;
            }
        }
        Ok(passing)
    }
}

impl Operator for ChangelogNormalize {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let batch = &without_update_before(batch)?;
        let columns: Vec<&ArrayRef> = self.keys.iter().map(|key| &batch.columns[*key]).collect();
        let keys = self.key_codec.encode(&columns, batch.rows)?;
        let columns: Vec<&ArrayRef> = batch.columns.iter().collect();
        let rows = self.row_codec.encode_rows(&columns, batch.rows)?;
        let passing = self.passing(batch, context)?;
        let mut ids = std::mem::take(&mut self.ids);
        self.rows
            .upsert(&keys, context.state_time_ms(), &mut ids, |_| ())?;
        let mut changes = Vec::with_capacity(batch.rows);
        for (row, (id, passes)) in ids.iter().zip(&passing).enumerate() {
            let now = passes.then(|| (row, rows.key(row)));
            self.take(*id, now, &mut changes);
        }
        if !changes.is_empty() {
            let emitted = changes.iter().map(|(_, emitted)| match emitted {
                Emitted::Held(row) => &**row,
                Emitted::Row(place) => rows.key(*place),
            });
            out.emit(Batch {
                columns: self.row_codec.decode(emitted)?,
                rows: changes.len(),
                kinds: Some(changes.iter().map(|(kind, _)| *kind).collect()),
            });
        }
        // A key may occur several times in a batch, and is removed once.
        ids.sort_unstable();
        ids.dedup();
        for id in &ids {
            if self.rows.values().rows[*id as usize].is_none() {
                self.rows.remove(*id)?;
            }
        }
        self.ids = ids;
        Ok(())
    }

    fn visit_state(&mut self, visit: &mut StateVisit<'_>) {
        visit(&mut self.rows);
    }
}

/// The changes that say what rows are: what they were before an update is known from the state.
fn without_update_before(batch: &Batch) -> Result<Batch> {
    let is_before = |kind: &RowKind| *kind == RowKind::UpdateBefore;
    match &batch.kinds {
        Some(kinds) if kinds.iter().any(is_before) => {
            let others = kinds.iter().map(|kind| Some(!is_before(kind)));
            batch.filter(&others.collect::<BooleanArray>())
        }
        Some(_) | None => Ok(batch.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;
    use crate::error::Span;
    use crate::metering::SubtaskMetrics;
    use crate::operator::snapshot;
    use crate::sql::expr::{ExprKind, Literal};
    use crate::time::SystemClock;
    use crate::types::TypeKind;

    /// The operator over `key BIGINT, value BIGINT`.
    fn operator(ttl_ms: Option<i64>) -> ChangelogNormalize {
        filtering(ttl_ms, None)
    }

    /// The operator with a condition.
    fn filtering(ttl_ms: Option<i64>, condition: Option<&Expr>) -> ChangelogNormalize {
        let types = [TypeKind::BigInt.not_null(), TypeKind::BigInt.nullable()];
        let state = StateConfig {
            ttl_ms,
            ..StateConfig::in_memory("test", 128)
        };
        ChangelogNormalize::new(&[0], &types, (condition, "UTC"), state).unwrap()
    }

    /// A row of a key; a value that is absent is a delete.
    type Upsert = (i64, Option<i64>);

    /// Feeds upserts and gives what is emitted.
    fn feed(
        operator: &mut ChangelogNormalize,
        rows: &[Upsert],
    ) -> Vec<(&'static str, i64, Option<i64>)> {
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
        let values: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
        let kinds = rows.iter().map(|row| match row.1 {
            Some(_) => RowKind::Insert,
            None => RowKind::Delete,
        });
        let batch = Batch {
            kinds: Some(kinds.collect()),
            ..Batch::inserts(vec![keys, values], rows.len())
        };
        let metrics = SubtaskMetrics::default();
        let context = OperatorContext {
            clock: &SystemClock,
            watermark_ms: None,
            metrics: &metrics,
        };
        let mut out = Collector::default();
        operator.on_batch(0, &batch, &context, &mut out).unwrap();
        let mut emitted = Vec::new();
        for batch in out.drain() {
            let keys = batch.columns[0].as_primitive::<Int64Type>();
            let values = batch.columns[1].as_primitive::<Int64Type>();
            for row in 0..batch.rows {
                let value = (!arrow::array::Array::is_null(values, row)).then(|| values.value(row));
                emitted.push((batch.kind(row).short_name(), keys.value(row), value));
            }
        }
        emitted
    }

    #[test]
    fn updates_and_deletes_get_the_row_that_was_there() {
        let mut operator = operator(None);
        let emitted = feed(
            &mut operator,
            &[(1, Some(10)), (2, Some(20)), (1, Some(11)), (3, None)],
        );
        let (one, two) = (("+I", 1, Some(10)), ("+I", 2, Some(20)));
        let (before, after) = (("-U", 1, Some(10)), ("+U", 1, Some(11)));
        assert_eq!(emitted, [one, two, before, after]);
        assert_eq!(
            feed(&mut operator, &[(1, None), (1, None), (2, Some(20))]),
            [("-D", 1, Some(11))]
        );
        assert_eq!(snapshot::measure(&mut operator).keys, 1);
        // Within one batch a key may come, go and come again.
        assert_eq!(
            feed(&mut operator, &[(5, Some(1)), (5, None), (5, Some(2))]),
            [("+I", 5, Some(1)), ("-D", 5, Some(1)), ("+I", 5, Some(2))]
        );
    }

    #[test]
    fn what_rows_were_before_is_known_already() {
        let kinds = [
            RowKind::Insert,
            RowKind::UpdateBefore,
            RowKind::UpdateAfter,
            RowKind::UpdateBefore,
        ];
        let values: ArrayRef = Arc::new(Int64Array::from(vec![7, 7, 8, 9]));
        let batch = Batch {
            kinds: Some(kinds.into()),
            ..Batch::inserts(vec![values.clone(), values], 4)
        };
        let kept = without_update_before(&batch).unwrap();
        let kinds = &[RowKind::Insert, RowKind::UpdateAfter][..];
        assert_eq!(kept.kinds.as_deref(), Some(kinds));
        assert_eq!(
            kept.columns[1].as_primitive::<Int64Type>().values(),
            &[7, 8]
        );
    }

    #[test]
    fn an_unchanged_row_is_emitted_only_for_a_ttl() {
        let mut forever = operator(None);
        feed(&mut forever, &[(1, Some(10))]);
        assert_eq!(feed(&mut forever, &[(1, Some(10))]), []);
        let mut expiring = operator(Some(1_000_000));
        feed(&mut expiring, &[(1, Some(10))]);
        let pair = [("-U", 1, Some(10)), ("+U", 1, Some(10))];
        assert_eq!(feed(&mut expiring, &[(1, Some(10))]), pair);
    }

    /// `value > 9`.
    fn above_nine() -> Expr {
        let value = Expr::column(1, TypeKind::BigInt.nullable());
        let nine = Expr::literal(Literal::Integer(9), TypeKind::BigInt.not_null());
        Expr {
            kind: ExprKind::Call {
                function: ">".to_owned(),
                args: vec![value, nine],
            },
            ty: TypeKind::Boolean.nullable(),
            span: Span::default(),
        }
    }

    #[test]
    fn a_row_that_does_not_pass_is_no_row() {
        let mut operator = filtering(None, Some(&above_nine()));
        let emitted = feed(&mut operator, &[(1, Some(10)), (2, Some(9)), (3, Some(12))]);
        assert_eq!(emitted, [("+I", 1, Some(10)), ("+I", 3, Some(12))]);
        // It leaves the result as a delete, it is not kept, and it comes back as new.
        let emitted = feed(&mut operator, &[(1, Some(3)), (2, None), (3, Some(13))]);
        let (before, after) = (("-U", 3, Some(12)), ("+U", 3, Some(13)));
        assert_eq!(emitted, [("-D", 1, Some(10)), before, after]);
        assert_eq!(snapshot::measure(&mut operator).keys, 1);
        let emitted = feed(&mut operator, &[(1, Some(4)), (1, Some(11)), (3, None)]);
        assert_eq!(emitted, [("+I", 1, Some(11)), ("-D", 3, Some(13))]);
    }

    proptest! {
        /// The folded changelog is the last row of each key, and every retraction is of the row that is there, across a snapshot.
        #[test]
        fn what_is_emitted_folds_to_the_last_rows(
            batches in prop::collection::vec(prop::collection::vec((0i64..6, prop::option::of(0i64..3)), 1..10), 1..8),
        ) {
            let mut operator = operator(None);
            let (mut last, mut folded) = (BTreeMap::new(), BTreeMap::new());
            let half = batches.len() / 2;
            for (number, batch) in batches.into_iter().enumerate() {
                if number == half {
                    let deltas = snapshot::take_now(&mut operator).unwrap();
                    operator = self::operator(None);
                    for delta in &deltas {
                        snapshot::load_all(&mut operator, delta).unwrap();
                    }
                }
                for (key, value) in &batch {
                    match value {
                        Some(value) => last.insert(*key, *value),
                        None => last.remove(key),
                    };
                }
                for (kind, key, value) in feed(&mut operator, &batch) {
                    let value = value.unwrap();
                    if kind == "-U" || kind == "-D" {
                        prop_assert_eq!(folded.remove(&key), Some(value));
                    } else {
                        prop_assert_eq!(folded.insert(key, value), None);
                    }
                }
                prop_assert_eq!(&folded, &last);
                prop_assert_eq!(snapshot::measure(&mut operator).keys, last.len());
            }
        }
    }
}
