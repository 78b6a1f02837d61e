//! What joins emit, folded and compared with nested loops.

use std::collections::BTreeMap;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;

use super::*;
use crate::batch::RowKind;
use crate::metering::SubtaskMetrics;
use crate::operator::EMIT_ROWS_MAX;
use crate::operator::snapshot;
use crate::sql::functions::resolve;
use crate::testing::SimulatedClock;
use crate::time::{Clock, SystemClock};
use crate::types::TypeKind;
use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};

/// A row of one input: key, value, kind.
type Row = (Option<i64>, i64, RowKind);

/// An emitted row: left key, left value, right key, right value.
type Joined = [i64; 4];

/// Rows with how often each is there.
type Bag<T> = BTreeMap<T, i64>;

/// `a.k = b.k` over `(k BIGINT, v BIGINT)` on both sides, with `a.v < b.v` when asked for.
fn operator(with_residual: bool) -> RegularJoin {
    operator_with_ttls(with_residual, [None, None])
}

/// The same with times to live of both sides, in milliseconds.
fn operator_with_ttls(with_residual: bool, ttls_ms: [Option<i64>; 2]) -> RegularJoin {
    let long = TypeKind::BigInt.nullable();
    let types = [long.clone(), long.clone()];
    let residual = with_residual.then(|| {
        let values = [1, 3].map(|index| Expr::column(index, long.clone()));
        resolve("<", values.into(), crate::error::Span::default()).unwrap()
    });
    let spec = Spec {
        kind: JoinKind::Inner,
        filter_nulls: &[],
        keys: [&[0], &[0]],
        types: [&types, &types],
        residual: residual.as_ref(),
    };
    let states = ttls_ms.map(|ttl_ms| StateConfig {
        ttl_ms,
        ..StateConfig::in_memory("test", 128)
    });
    RegularJoin::new(&spec, "UTC", states).unwrap()
}

/// A batch of rows.
fn batch(rows: &[Row]) -> Batch {
    let keys = rows.iter().map(|row| row.0).collect::<Int64Array>();
    let values = Int64Array::from_iter_values(rows.iter().map(|row| row.1));
    let is_append = rows.iter().all(|row| row.2 == Insert);
    Batch {
        columns: vec![std::sync::Arc::new(keys), std::sync::Arc::new(values)],
        rows: rows.len(),
        kinds: (!is_append).then(|| rows.iter().map(|row| row.2).collect()),
    }
}

/// Calls an operator; the batches it emits.
fn call(
    operator: &mut RegularJoin,
    run: impl FnOnce(&mut RegularJoin, &OperatorContext<'_>, &mut Collector),
) -> Vec<Batch> {
    call_at(&SystemClock, operator, run)
}

/// Calls an operator at a time.
fn call_at(
    clock: &dyn Clock,
    operator: &mut RegularJoin,
    run: impl FnOnce(&mut RegularJoin, &OperatorContext<'_>, &mut Collector),
) -> Vec<Batch> {
    let metrics = SubtaskMetrics::default();
    let context = OperatorContext {
        clock,
        watermark_ms: None,
        metrics: &metrics,
    };
    let mut out = Collector::default();
    run(operator, &context, &mut out);
    out.drain().collect()
}

/// Rows of batches.
fn rows_of(batches: &[Batch]) -> Vec<(RowKind, Joined)> {
    let mut rows = Vec::new();
    for batch in batches {
        let column = |index: usize| batch.columns[index].as_primitive::<Int64Type>();
        for row in 0..batch.rows {
            let values = [0, 1, 2, 3].map(|index| column(index).value(row));
            rows.push((batch.kind(row), values));
        }
    }
    rows
}

/// Feeds rows of one input and gives everything emitted for them.
fn feed(operator: &mut RegularJoin, input: usize, rows: &[Row]) -> Vec<(RowKind, Joined)> {
    let batches = call(operator, |operator, context, out| {
        operator
            .on_batch(input, &batch(rows), context, out)
            .unwrap();
        while operator.emit_pending(context, out).unwrap() {}
    });
    rows_of(&batches)
}

/// Inserts of one key and several values.
fn inserts(key: i64, values: impl IntoIterator<Item = i64>) -> Vec<Row> {
    values
        .into_iter()
        .map(|value| (Some(key), value, Insert))
        .collect()
}

/// Keys of state held.
fn held(operator: &mut RegularJoin) -> usize {
    snapshot::measure(operator).keys
}

#[test]
fn each_side_is_kept_for_its_own_time() {
    let clock = SimulatedClock::default();
    let mut join = operator_with_ttls(false, [Some(100), None]);
    let mut feed = |input: usize, rows: &[Row]| {
        let batches = call_at(&clock, &mut join, |operator, context, out| {
            operator
                .on_batch(input, &batch(rows), context, out)
                .unwrap();
        });
        clock.advance(std::time::Duration::from_millis(60));
        rows_of(&batches)
    };
    feed(0, &inserts(1, [10]));
    assert_eq!(feed(1, &inserts(1, [7])), [(Insert, [1, 10, 1, 7])]);
    assert_eq!(feed(1, &inserts(1, [8])), [], "the left row is 120 ms old");
    assert_eq!(
        feed(0, &inserts(1, [11])),
        [(Insert, [1, 11, 1, 7]), (Insert, [1, 11, 1, 8])],
        "the right side stays"
    );
}

#[test]
fn each_row_meets_all_rows_of_its_key_that_came_before() {
    let mut join = operator(false);
    assert_eq!(feed(&mut join, 0, &inserts(1, [10, 11])), []);
    assert_eq!(
        feed(&mut join, 1, &[(Some(1), 7, Insert), (Some(2), 8, Insert)]),
        [(Insert, [1, 10, 1, 7]), (Insert, [1, 11, 1, 7])]
    );
    assert_eq!(
        feed(&mut join, 0, &inserts(2, [12])),
        [(Insert, [2, 12, 2, 8])]
    );
}

#[test]
fn appended_inputs_give_batches_without_kinds() {
    let mut join = operator(false);
    feed(&mut join, 0, &inserts(1, [10]));
    let batches = call(&mut join, |join, context, out| {
        join.on_batch(1, &batch(&inserts(1, [7])), context, out)
            .unwrap();
    });
    assert!(batches[0].kinds.is_none());
}

#[test]
fn updates_keep_their_kinds() {
    let mut join = operator(false);
    feed(&mut join, 0, &inserts(1, [10]));
    feed(&mut join, 1, &inserts(1, [7]));
    assert_eq!(
        feed(
            &mut join,
            1,
            &[(Some(1), 7, UpdateBefore), (Some(1), 8, UpdateAfter)]
        ),
        [(UpdateBefore, [1, 10, 1, 7]), (UpdateAfter, [1, 10, 1, 8])]
    );
    assert_eq!(
        feed(&mut join, 0, &[(Some(1), 10, Delete)]),
        [(Delete, [1, 10, 1, 8])]
    );
    feed(&mut join, 1, &[(Some(1), 8, Delete)]);
    assert_eq!(held(&mut join), 0);
}

#[test]
fn one_of_two_equal_rows_is_taken_back() {
    let mut join = operator(false);
    feed(&mut join, 0, &inserts(1, [10, 10, 9, 10]));
    feed(&mut join, 0, &[(Some(1), 10, Delete)]);
    let met = feed(&mut join, 1, &inserts(1, [7]));
    let values: Vec<i64> = met.iter().map(|(_, row)| row[1]).collect();
    assert_eq!(values, [10, 10, 9]);
}

#[test]
fn null_equals_nothing() {
    let mut join = operator(false);
    feed(&mut join, 0, &[(None, 10, Insert), (Some(1), 11, Insert)]);
    assert_eq!(
        feed(&mut join, 1, &[(Some(1), 7, Insert), (None, 8, Insert)]),
        [(Insert, [1, 11, 1, 7])]
    );
    assert_eq!(held(&mut join), 2);
}

#[test]
fn the_residual_is_tested_on_both_sides() {
    let mut join = operator(true);
    feed(&mut join, 0, &inserts(1, [1, 5]));
    assert_eq!(
        feed(&mut join, 1, &inserts(1, [3])),
        [(Insert, [1, 1, 1, 3])]
    );
    assert_eq!(
        feed(&mut join, 0, &inserts(1, [2, 4])),
        [(Insert, [1, 2, 1, 3])]
    );
}

#[test]
fn a_key_grows_past_several_chunks_and_shrinks_again() {
    let mut join = operator(false);
    feed(&mut join, 0, &inserts(1, 0..1000));
    assert!((10..60).contains(&held(&mut join)), "{}", held(&mut join));
    let met = feed(&mut join, 1, &inserts(1, [7]));
    assert_eq!(met.len(), 1000);
    // From the first, the last and the middle in turn.
    let gone = |i: i64| match i % 3 {
        0 => i / 3,
        1 => 999 - i / 3,
        _ => 500 - (i / 3 % 2 * 2 - 1) * (i / 6 + 1),
    };
    let mut left: Vec<i64> = (0..1000).collect();
    for i in 0..990 {
        left.retain(|value| *value != gone(i));
        feed(&mut join, 0, &[(Some(1), gone(i), Delete)]);
        if i % 100 == 0 {
            let mut met: Vec<i64> = feed(&mut join, 1, &inserts(1, [8]))
                .iter()
                .map(|(_, row)| row[1])
                .collect();
            met.sort_unstable();
            assert_eq!(met, left);
        }
    }
    let deletes: Vec<Row> = left.iter().map(|value| (Some(1), *value, Delete)).collect();
    feed(&mut join, 0, &deletes);
    assert_eq!(feed(&mut join, 1, &inserts(1, [9])), []);
    assert_eq!(held(&mut join), 1, "only the right side holds a chunk");
}

#[test]
fn what_explodes_is_emitted_in_steps() {
    let mut join = operator(false);
    feed(&mut join, 0, &inserts(1, (0..200).chain([5; 100])));
    let right = batch(&inserts(1, 0..300));
    let first = call(&mut join, |join, context, out| {
        join.on_batch(1, &right, context, out).unwrap();
    });
    assert_eq!(first.iter().map(|b| b.rows).sum::<usize>(), EMIT_ROWS_MAX);
    assert!(join.has_backlog());
    // A batch that comes too early does not see less or more.
    let early = feed(&mut join, 0, &inserts(1, [1000]));
    assert!(!join.has_backlog());
    let mut seen: Bag<Joined> = Bag::new();
    for (_, row) in rows_of(&first).into_iter().chain(early) {
        *seen.entry(row).or_default() += 1;
    }
    assert_eq!(seen.values().sum::<i64>(), 300 * 300 + 300);
    assert_eq!(seen[&[1, 5, 1, 299]], 101);
    assert_eq!(seen[&[1, 1000, 1, 0]], 1);
    assert_eq!(seen.len(), 201 * 300);
}

#[test]
fn one_row_that_meets_more_than_a_step_has_room_for_goes_on_within_a_chunk() {
    let mut join = operator(false);
    for _ in 0..7 {
        feed(&mut join, 0, &inserts(1, std::iter::repeat_n(3, 20_000)));
    }
    assert_eq!(held(&mut join), 1);
    let met = feed(&mut join, 1, &inserts(1, [1]));
    assert_eq!(met.len(), 140_000);
    assert!(met.iter().all(|(_, row)| *row == [1, 3, 1, 1]));
}

/// A fresh operator with some key groups of a snapshot.
fn restored(
    deltas: &[crate::checkpoint::entry::KeyGroupDelta],
    owns: impl Fn(u32) -> bool,
) -> RegularJoin {
    let mut join = operator(false);
    for delta in deltas.iter().filter(|delta| owns(delta.key_group)) {
        snapshot::load_all(&mut join, delta).unwrap();
    }
    join
}

#[test]
fn key_groups_go_to_the_subtasks_that_own_them() {
    let mut join = operator(false);
    for key in 0..50 {
        feed(&mut join, 0, &inserts(key, 0..100));
        feed(&mut join, 1, &inserts(key, [7]));
    }
    let deltas = snapshot::take_now(&mut join).unwrap();
    let mut halves = [
        restored(&deltas, |key_group| key_group < 64),
        restored(&deltas, |key_group| key_group >= 64),
    ];
    let counts = halves.each_mut().map(held);
    assert_eq!(counts.iter().sum::<usize>(), held(&mut join));
    assert!(counts.iter().all(|count| *count > 0));
    for key in 0..50 {
        let met = halves
            .each_mut()
            .map(|half| feed(half, 1, &[(Some(key), 8, Insert)]).len());
        assert!(met == [100, 0] || met == [0, 100], "{key}: {met:?}");
    }
}
