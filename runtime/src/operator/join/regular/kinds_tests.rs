//! Joins of every kind with random changes on both sides, against nested loops over what is left of them.

use std::collections::BTreeMap;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::checkpoint::entry::KeyGroupDelta;
use crate::metering::SubtaskMetrics;
use crate::operator::snapshot;
use crate::sql::functions::resolve;
use crate::time::SystemClock;
use crate::types::TypeKind;
use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};

/// A row: key and value.
type Row = [Option<i64>; 2];

/// Rows with how often each is there.
type Bag = BTreeMap<Vec<Option<i64>>, i64>;

/// Every kind of join.
const KINDS: [JoinKind; 6] = [
    JoinKind::Inner,
    JoinKind::Left,
    JoinKind::Right,
    JoinKind::Full,
    JoinKind::Semi,
    JoinKind::Anti,
];

/// A join over `(k BIGINT, v BIGINT)` on both sides.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// Which rows are emitted.
    kind: JoinKind,
    /// With `a.k = b.k`, whether NULL equals nothing.
    filters_nulls: Option<bool>,
    /// Whether `a.v < b.v`.
    has_residual: bool,
    /// A time to live that never ends: matches are counted.
    has_ttl: bool,
}

impl Case {
    /// The operator.
    fn operator(self) -> RegularJoin {
        let long = TypeKind::BigInt.nullable();
        let types = [long.clone(), long.clone()];
        let residual = self.has_residual.then(|| {
            let values = [1, 3].map(|index| Expr::column(index, long.clone()));
            resolve("<", values.into(), crate::error::Span::default()).unwrap()
        });
        let keys: &[usize] = if self.filters_nulls.is_some() {
            &[0]
        } else {
            &[]
        };
        let spec = Spec {
            kind: self.kind,
            keys: [keys, keys],
            filter_nulls: self.filters_nulls.as_slice(),
            types: [&types, &types],
            residual: residual.as_ref(),
        };
        let states = [0, 1].map(|_| StateConfig {
            ttl_ms: self.has_ttl.then_some(i64::MAX / 4),
            ..StateConfig::in_memory("test", 128)
        });
        RegularJoin::new(&spec, "UTC", states).unwrap()
    }

    /// Whether two rows belong together.
    fn matches(self, left: &[Option<i64>], right: &[Option<i64>]) -> bool {
        let is_equal = left[0] == right[0];
        let keys = match self.filters_nulls {
            None => true,
            Some(filters) => is_equal && (left[0].is_some() || !filters),
        };
        let is_less = matches!((left[1], right[1]), (Some(a), Some(b)) if a < b);
        keys && (!self.has_residual || is_less)
    }

    /// The join of two bags.
    fn expected(self, left: &Bag, right: &Bag) -> Bag {
        let mut joined = Bag::new();
        let nulls = || vec![None, None];
        for (a, n) in left {
            let mut matches = 0;
            for (b, m) in right {
                if self.matches(a, b) {
                    matches += m;
                    if !self.kind.is_left_only() {
                        joined.insert([a.clone(), b.clone()].concat(), n * m);
                    }
                }
            }
            match self.kind {
                JoinKind::Semi if matches > 0 => _ = joined.insert(a.clone(), *n),
                JoinKind::Anti if matches == 0 => _ = joined.insert(a.clone(), *n),
                JoinKind::Left | JoinKind::Full if matches == 0 => {
                    *joined.entry([a.clone(), nulls()].concat()).or_default() += n;
                }
                _ => {}
            }
        }
        for (b, m) in right {
            let is_alone = !left.keys().any(|a| self.matches(a, b));
            if is_alone && matches!(self.kind, JoinKind::Right | JoinKind::Full) {
                *joined.entry([nulls(), b.clone()].concat()).or_default() += m;
            }
        }
        joined
    }
}

/// A batch of rows.
fn batch(rows: &[(Row, RowKind)]) -> Batch {
    let column = |index: usize| -> ArrayRef {
        std::sync::Arc::new(rows.iter().map(|row| row.0[index]).collect::<Int64Array>())
    };
    let is_append = rows.iter().all(|row| row.1 == Insert);
    Batch {
        columns: vec![column(0), column(1)],
        rows: rows.len(),
        kinds: (!is_append).then(|| rows.iter().map(|row| row.1).collect()),
    }
}

/// Feeds rows of one input and gives everything emitted for them.
fn feed(operator: &mut RegularJoin, input: usize, rows: &[(Row, RowKind)]) -> Vec<Batch> {
    let metrics = SubtaskMetrics::default();
    let context = OperatorContext {
        clock: &SystemClock,
        watermark_ms: None,
        metrics: &metrics,
    };
    let mut out = Collector::default();
    operator
        .on_batch(input, &batch(rows), &context, &mut out)
        .unwrap();
    while operator.emit_pending(&context, &mut out).unwrap() {}
    out.drain().collect()
}

/// Rows of batches with their kinds.
fn rows_of(batches: &[Batch]) -> Vec<(RowKind, Vec<Option<i64>>)> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.rows {
            let columns = batch.columns.iter();
            let values = columns.map(|column| {
                let column = column.as_primitive::<Int64Type>();
                column.is_valid(row).then(|| column.value(row))
            });
            rows.push((batch.kind(row), values.collect()));
        }
    }
    rows
}

/// Adds a change to a bag.
fn fold(bag: &mut Bag, row: Vec<Option<i64>>, kind: RowKind) -> i64 {
    let change = if kind.is_retraction() { -1 } else { 1 };
    let count = bag.entry(row).or_default();
    *count += change;
    *count
}

/// Changes that a side can have: rows that it holds are taken away.
fn possible(side: &mut Bag, changes: Vec<(Row, u8)>) -> Vec<(Row, RowKind)> {
    let mut rows = Vec::new();
    for (row, choice) in changes {
        let is_held = side.get(row.as_slice()).is_some_and(|count| *count > 0);
        let kind = match (is_held, choice) {
            (true, 0 | 1) => Delete,
            (true, 2) => UpdateBefore,
            (_, 3) => UpdateAfter,
            _ => Insert,
        };
        fold(side, row.to_vec(), kind);
        rows.push((row, kind));
        if kind == UpdateBefore {
            let after = [row[0], row[1].map(|value| value / 2)];
            fold(side, after.to_vec(), UpdateAfter);
            rows.push((after, UpdateAfter));
        }
    }
    side.retain(|_, count| *count != 0);
    rows
}

/// An operator with what snapshots have stored.
fn restored(case: Case, stored: &BTreeMap<u32, Vec<u8>>) -> RegularJoin {
    let mut join = case.operator();
    for (key_group, entries) in stored {
        let delta = KeyGroupDelta {
            key_group: *key_group,
            entries: entries.clone(),
        };
        snapshot::load_all(&mut join, &delta).unwrap();
    }
    join
}

/// Some joins.
fn cases() -> impl Strategy<Value = Case> {
    let flag = any::<bool>;
    let key = prop::option::weighted(0.8, flag());
    let parts = (0..KINDS.len(), key, flag(), flag());
    parts.prop_map(|(kind, filters_nulls, has_residual, has_ttl)| Case {
        kind: KINDS[kind],
        filters_nulls,
        has_residual,
        has_ttl,
    })
}

/// Batches of changes: few rows of few keys or many of many.
fn batches() -> impl Strategy<Value = Vec<(usize, Vec<(Row, u8)>)>> {
    let rows = |keys: i64, values: i64, most: usize| {
        let row = (
            prop::option::weighted(0.9, 0..keys),
            prop::option::weighted(0.95, 0..values),
        );
        let change = (row, 0u8..6).prop_map(|((key, value), choice)| ([key, value], choice));
        let batch = (0usize..2, prop::collection::vec(change, 1..most));
        prop::collection::vec(batch, 1..16)
    };
    prop_oneof![rows(3, 4, 4), rows(2, 6, 40), rows(2, 90, 150)]
}

proptest! {
    /// What is emitted, folded, is the join of what is left of both sides after each batch, across a snapshot and restore after each third;
    /// and nothing is taken back that is not there.
    #[test]
    fn folded_output_equals_nested_loops(case in cases(), batches in batches()) {
        let mut join = case.operator();
        let mut sides = [Bag::new(), Bag::new()];
        let mut folded = Bag::new();
        let mut stored: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        for (number, (input, changes)) in batches.into_iter().enumerate() {
            let rows = possible(&mut sides[input], changes);
            for (kind, row) in rows_of(&feed(&mut join, input, &rows)) {
                let count = fold(&mut folded, row.clone(), kind);
                prop_assert!(count >= 0, "{row:?} is taken back too often by {case:?}");
            }
            folded.retain(|_, count| *count != 0);
            prop_assert_eq!(&folded, &case.expected(&sides[0], &sides[1]));
            if number % 3 == 2 {
                for delta in snapshot::take_now(&mut join).unwrap() {
                    stored.entry(delta.key_group).or_default().extend(delta.entries);
                }
                join = restored(case, &stored);
            }
        }
    }
}

/// A join by key and nothing else.
fn keyed(kind: JoinKind) -> Case {
    Case {
        kind,
        filters_nulls: Some(true),
        has_residual: false,
        has_ttl: false,
    }
}

/// A row of numbers.
fn row(key: i64, value: i64) -> Row {
    [Some(key), Some(value)]
}

#[test]
fn a_padded_row_goes_with_the_first_match_and_comes_with_the_last_loss() {
    for has_residual in [false, true] {
        let mut join = Case {
            has_residual,
            ..keyed(JoinKind::Left)
        }
        .operator();
        let alone = vec![Some(1), Some(10), None, None];
        let pair = |value: i64| vec![Some(1), Some(10), Some(1), Some(value)];
        let mut changes = |input: usize, row: Row, kind: RowKind| {
            rows_of(&feed(&mut join, input, &[(row, kind)]))
        };
        assert_eq!(changes(0, row(1, 10), Insert), [(Insert, alone.clone())]);
        assert_eq!(
            changes(1, row(1, 20), Insert),
            [(Delete, alone.clone()), (Insert, pair(20))]
        );
        assert_eq!(changes(1, row(1, 30), UpdateAfter), [(Insert, pair(30))]);
        assert_eq!(changes(1, row(1, 20), UpdateBefore), [(Delete, pair(20))]);
        assert_eq!(
            changes(1, row(1, 30), Delete),
            [(Delete, pair(30)), (Insert, alone.clone())]
        );
        assert_eq!(changes(0, row(1, 10), Delete), [(Delete, alone)]);
        assert_eq!(snapshot::measure(&mut join).keys, 0);
    }
}

#[test]
fn an_update_of_the_only_match_pads_nothing_in_between() {
    for (kind, changes) in [
        (JoinKind::Right, 2),
        (JoinKind::Semi, 0),
        (JoinKind::Anti, 0),
    ] {
        let mut join = keyed(kind).operator();
        let first = usize::from(kind == JoinKind::Right);
        feed(&mut join, first, &[(row(1, 10), Insert)]);
        feed(&mut join, 1 - first, &[(row(1, 5), Insert)]);
        let update = [(row(1, 5), UpdateBefore), (row(1, 6), UpdateAfter)];
        let emitted = rows_of(&feed(&mut join, 1 - first, &update));
        assert_eq!(emitted.len(), changes, "{kind:?}");
    }
}

#[test]
fn an_update_that_ends_a_match_is_a_delete() {
    let mut join = keyed(JoinKind::Inner).operator();
    feed(&mut join, 1, &[(row(1, 20), Insert)]);
    feed(&mut join, 0, &[(row(1, 10), Insert)]);
    let pair = |value: i64| vec![Some(1), Some(value), Some(1), Some(20)];
    let stays = [(row(1, 10), UpdateBefore), (row(1, 11), UpdateAfter)];
    assert_eq!(
        rows_of(&feed(&mut join, 0, &stays)),
        [(UpdateBefore, pair(10)), (UpdateAfter, pair(11))]
    );
    let goes = [(row(1, 11), UpdateBefore), (row(2, 11), UpdateAfter)];
    assert_eq!(rows_of(&feed(&mut join, 0, &goes)), [(Delete, pair(11))]);
    let comes = [(row(2, 11), UpdateBefore), (row(1, 12), UpdateAfter)];
    assert_eq!(rows_of(&feed(&mut join, 0, &comes)), [(Insert, pair(12))]);
}

#[test]
fn rows_that_only_exist_are_not_looked_at_again() {
    let mut join = keyed(JoinKind::Semi).operator();
    let hot: Vec<(Row, RowKind)> = (0..5000).map(|value| (row(1, value), Insert)).collect();
    assert!(feed(&mut join, 0, &hot).is_empty());
    let first = feed(&mut join, 1, &[(row(1, 0), Insert)]);
    assert_eq!(first.iter().map(|batch| batch.rows).sum::<usize>(), 5000);
    assert!(first.iter().all(|batch| batch.kinds.is_none()));
    snapshot::take_now(&mut join).unwrap();
    assert!(feed(&mut join, 1, &[(row(1, 1), Insert), (row(1, 0), Delete)]).is_empty());
    let written = snapshot::take_now(&mut join).unwrap();
    let bytes: usize = written.iter().map(|delta| delta.entries.len()).sum();
    assert!(bytes < 500, "only the right side is written: {bytes} bytes");
    let last = feed(&mut join, 1, &[(row(1, 1), Delete)]);
    assert_eq!(last.iter().map(|batch| batch.rows).sum::<usize>(), 5000);
}

#[test]
fn equal_rows_change_their_padding_together_across_steps() {
    let mut join = Case {
        has_residual: true,
        ..keyed(JoinKind::Left)
    }
    .operator();
    let many = 70_000;
    for _ in 0..7 {
        feed(&mut join, 0, &vec![(row(1, 10), Insert); many / 7]);
    }
    for (kind, first) in [(Insert, Delete), (Delete, Delete)] {
        let emitted = rows_of(&feed(&mut join, 1, &[(row(1, 20), kind)]));
        assert_eq!(emitted.len(), 2 * many, "each is padded and paired");
        assert_eq!(emitted[0].0, first);
    }
    let emitted = rows_of(&feed(&mut join, 0, &[(row(1, 10), Delete)]));
    assert_eq!(emitted, [(Delete, vec![Some(1), Some(10), None, None])]);
}
