//! The changelog of updating aggregates, folded and compared with a recomputation.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::metering::SubtaskMetrics;
use crate::operator::snapshot;
use crate::plan::AggregateFunction;
use crate::time::SystemClock;
use crate::types::TypeKind;

/// `SELECT k, COUNT(*), SUM(v) GROUP BY k` over two BIGINT columns.
fn operator(keys: &[usize]) -> GroupAggregate {
    let long = TypeKind::BigInt.nullable();
    let calls = [
        AggregateCall {
            function: AggregateFunction::Count,
            argument: None,
            further: Vec::new(),
            filter: None,
            distinct: false,
            ty: long.clone(),
        },
        AggregateCall {
            function: AggregateFunction::Sum,
            argument: Some(1),
            further: Vec::new(),
            filter: None,
            distinct: false,
            ty: long.clone(),
        },
    ];
    GroupAggregate::new(
        keys,
        &calls,
        (&[long.clone(), long], true),
        StateConfig::in_memory("test", 128),
    )
    .unwrap()
}

/// Feeds rows `(key, value, kind)` and gives the emitted rows `(kind, columns)`.
fn feed(operator: &mut GroupAggregate, rows: &[(i64, i64, RowKind)]) -> Vec<(RowKind, Vec<i64>)> {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let kinds = rows.iter().map(|row| row.2).collect();
    let batch = Batch {
        columns: vec![keys, values],
        rows: rows.len(),
        kinds: Some(kinds),
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
        for row in 0..batch.rows {
            let value = |column: &ArrayRef| column.as_primitive::<Int64Type>().value(row);
            emitted.push((batch.kind(row), batch.columns.iter().map(value).collect()));
        }
    }
    emitted
}

#[test]
fn one_change_per_key_and_batch() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let mut operator = operator(&[0]);
    assert_eq!(
        feed(
            &mut operator,
            &[(1, 10, Insert), (1, 5, Insert), (2, 1, Insert)]
        ),
        [(Insert, vec![1, 2, 15]), (Insert, vec![2, 1, 1]),]
    );
    assert_eq!(
        feed(&mut operator, &[(1, 5, Delete)]),
        [
            (UpdateBefore, vec![1, 2, 15]),
            (UpdateAfter, vec![1, 1, 10]),
        ]
    );
    assert_eq!(
        feed(
            &mut operator,
            &[(1, 10, Delete), (3, 7, Insert), (3, 7, Delete)]
        ),
        [(Delete, vec![1, 1, 10])]
    );
    assert_eq!(snapshot::measure(&mut operator).keys, 1);
}

#[test]
fn changes_come_in_the_order_of_the_last_rows() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let mut operator = operator(&[0]);
    feed(&mut operator, &[(1, 1, Insert), (2, 2, Insert)]);
    // Before the stamps of batches begin anew, and after.
    operator.stamp = u32::MAX - 2;
    let rows = [
        (2, 2, Insert),
        (3, 3, Insert),
        (1, 1, Delete),
        (4, 4, Insert),
        (3, 3, Insert),
        (2, 2, Insert),
    ];
    let expected = [
        (Delete, vec![1, 1, 1]),
        (Insert, vec![4, 1, 4]),
        (Insert, vec![3, 2, 6]),
        (UpdateBefore, vec![2, 1, 2]),
        (UpdateAfter, vec![2, 3, 6]),
    ];
    assert_eq!(feed(&mut operator, &rows), expected);
    let rows = [(3, 1, Insert), (1, 5, Insert), (2, 1, Insert)];
    let emitted = feed(&mut operator, &rows);
    let keys: Vec<i64> = emitted.iter().map(|(_, columns)| columns[0]).collect();
    assert_eq!(keys, [3, 3, 1, 2, 2]);
    assert_eq!(operator.stamp, STAMPS_PER_BATCH);
}

#[test]
fn an_unchanged_result_is_not_emitted_again() {
    use RowKind::{Insert, UpdateAfter, UpdateBefore};
    let mut operator = operator(&[0]);
    feed(&mut operator, &[(1, 10, Insert)]);
    assert_eq!(
        feed(
            &mut operator,
            &[(1, 10, UpdateBefore), (1, 10, UpdateAfter)]
        ),
        []
    );
}

#[test]
fn a_group_that_gets_rows_again_begins_anew() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let mut operator = operator(&[0]);
    feed(&mut operator, &[(1, 10, Insert), (1, 20, Insert)]);
    // 7 never came: with the second retraction the group is gone, and what it was made of with it.
    let rows = [
        (1, 7, Delete),
        (1, 10, Delete),
        (1, 3, Delete),
        (1, 5, Insert),
        (1, 6, Insert),
    ];
    assert_eq!(
        feed(&mut operator, &rows),
        [
            (UpdateBefore, vec![1, 2, 30]),
            (UpdateAfter, vec![1, 2, 11])
        ]
    );
    let rows = [
        (1, 5, Delete),
        (1, 6, Delete),
        (1, 1, Insert),
        (1, 1, Delete),
        (1, 4, Insert),
    ];
    assert_eq!(
        feed(&mut operator, &rows),
        [(UpdateBefore, vec![1, 2, 11]), (UpdateAfter, vec![1, 1, 4])]
    );
}

#[test]
fn a_global_aggregate_goes_with_its_last_row_and_comes_back() {
    use RowKind::{Delete, Insert};
    let mut operator = operator(&[]);
    assert_eq!(
        feed(&mut operator, &[(1, 10, Insert)]),
        [(Insert, vec![1, 10])]
    );
    assert_eq!(
        feed(&mut operator, &[(1, 10, Delete)]),
        [(Delete, vec![1, 10])]
    );
    assert_eq!(feed(&mut operator, &[(1, 10, Delete)]), []);
    assert_eq!(
        feed(&mut operator, &[(2, 7, Insert)]),
        [(Insert, vec![1, 7])]
    );
}

#[test]
fn what_was_never_there_is_not_taken_back() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let mut operator = operator(&[0]);
    // A changelog that is read from its middle begins with updates of rows that are not known.
    let rows = [
        (1, 10, UpdateBefore),
        (1, 12, UpdateAfter),
        (2, 7, Delete),
        (2, 5, Insert),
    ];
    assert_eq!(
        feed(&mut operator, &rows),
        [(Insert, vec![1, 1, 12]), (Insert, vec![2, 1, 5])]
    );
    assert_eq!(feed(&mut operator, &[(3, 1, Delete)]), []);
    assert_eq!(snapshot::measure(&mut operator).keys, 2);
    let rows = [(1, 12, Delete), (1, 12, Delete), (1, 4, Insert)];
    assert_eq!(
        feed(&mut operator, &rows),
        [(UpdateBefore, vec![1, 1, 12]), (UpdateAfter, vec![1, 1, 4])]
    );
}

proptest! {
    /// Folding the changelog gives the aggregate of what is left, across a snapshot and restore in the middle.
    #[test]
    fn folded_changelog_equals_recomputation(batches in prop::collection::vec(prop::collection::vec((0i64..6, 0i64..4, any::<bool>()), 1..12), 1..8)) {
        let mut operator = operator(&[0]);
        let mut left: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut folded: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let half = batches.len() / 2;
        for (number, batch) in batches.into_iter().enumerate() {
            if number == half {
                let deltas = snapshot::take_now(&mut operator).unwrap();
                operator = self::operator(&[0]);
                for delta in &deltas {
                    snapshot::load_all(&mut operator, delta).unwrap();
                }
            }
            let mut rows = Vec::new();
            for (key, value, wants_removal) in batch {
                let present = left.entry(key).or_default();
                match present.iter().position(|v| *v == value) {
                    Some(at) if wants_removal => { present.remove(at); rows.push((key, value, RowKind::Delete)); }
                    _ => { present.push(value); rows.push((key, value, RowKind::Insert)); }
                }
            }
            for (kind, columns) in feed(&mut operator, &rows) {
                if kind.is_retraction() {
                    prop_assert_eq!(folded.remove(&columns[0]), Some(columns[1..].to_vec()));
                } else {
                    prop_assert_eq!(folded.insert(columns[0], columns[1..].to_vec()), None);
                }
            }
            let expected: BTreeMap<i64, Vec<i64>> = left.iter().filter(|(_, values)| !values.is_empty())
                .map(|(key, values)| (*key, vec![i64::try_from(values.len()).unwrap(), values.iter().sum()])).collect();
            prop_assert_eq!(&folded, &expected);
            prop_assert_eq!(snapshot::measure(&mut operator).keys, expected.len());
        }
    }
}
