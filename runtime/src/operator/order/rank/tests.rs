//! Top-N against a sorted list.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::metering::SubtaskMetrics;
use crate::operator::snapshot;
use crate::time::SystemClock;
use crate::types::TypeKind;

/// A row: key, value that it is ordered by, number that tells it from its equals.
type Row = (i64, i64, i64);

/// The operator over such rows.
fn operator(range: RankRange, number: NumberColumn, input: InputChanges) -> Rank {
    let types = [const { TypeKind::BigInt }; 3].map(TypeKind::not_null);
    let order = [SortField {
        column: 1,
        descending: false,
        nulls_last: false,
    }];
    let spec = Spec {
        partition: &[0],
        order: &order,
        range,
        number,
        input,
    };
    Rank::new(&spec, &types, StateConfig::in_memory("test", 128)).unwrap()
}

/// Feeds changes and gives what is emitted, with the rank if there is one.
fn feed(operator: &mut Rank, rows: &[(RowKind, Row)]) -> Vec<(RowKind, Vec<i64>)> {
    let column = |of: fn(&Row) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            rows.iter().map(|(_, row)| of(row)),
        ))
    };
    let columns = vec![
        column(|row| row.0),
        column(|row| row.1),
        column(|row| row.2),
    ];
    let batch = Batch {
        kinds: Some(rows.iter().map(|(kind, _)| *kind).collect()),
        ..Batch::inserts(columns, rows.len())
    };
    let metrics = SubtaskMetrics::default();
    let context = OperatorContext {
        clock: &SystemClock,
        watermark_ms: None,
        metrics: &metrics,
    };
    let mut out = Collector::default();
    operator.on_batch(0, &batch, &context, &mut out).unwrap();
    while operator.has_backlog() {
        operator.emit_pending(&context, &mut out).unwrap();
    }
    let mut emitted = Vec::new();
    for batch in out.drain() {
        for row in 0..batch.rows {
            let values = batch.columns.iter();
            let values = values.map(|column| column.as_primitive::<Int64Type>().value(row));
            emitted.push((batch.kind(row), values.collect()));
        }
    }
    emitted
}

/// Applies changes to what is there; nothing may be taken back that is not.
fn fold(folded: &mut Vec<Vec<i64>>, changes: Vec<(RowKind, Vec<i64>)>) {
    for (kind, row) in changes {
        if kind.is_retraction() {
            let place = folded.iter().position(|other| *other == row);
            let place =
                place.unwrap_or_else(|| panic!("{row:?} is taken back, there is {folded:?}"));
            folded.swap_remove(place);
        } else {
            folded.push(row);
        }
    }
}

/// The rows of some ranks, by key in the order in which they came.
fn expected(
    model: &BTreeMap<i64, Vec<Row>>,
    (start, end): (usize, usize),
    number: NumberColumn,
) -> Vec<Vec<i64>> {
    let mut rows = Vec::new();
    for held in model.values() {
        let mut held = held.clone();
        held.sort_by_key(|row| row.1);
        for (rank, row) in held
            .into_iter()
            .enumerate()
            .skip(start - 1)
            .take(end + 1 - start)
        {
            let mut values = vec![row.0, row.1, row.2];
            if number == NumberColumn::Last {
                values.push(i64::try_from(rank).unwrap() + 1);
            }
            rows.push(values);
        }
    }
    rows.sort();
    rows
}

/// Snapshots the operator into a new one.
fn restart(rank: &mut Rank, new: Rank, written: &mut Vec<crate::checkpoint::entry::KeyGroupDelta>) {
    written.extend(snapshot::take_now(rank).unwrap());
    *rank = new;
    for delta in written {
        snapshot::load_all(rank, delta).unwrap();
    }
}

#[test]
fn what_is_emitted_folds_to_the_first_rows() {
    let mut random = StdRng::seed_from_u64(3);
    for (start, end) in [(1, 1), (1, 3), (3, 5), (1, 200)] {
        for input in [InputChanges::Inserts, InputChanges::Any] {
            for number in [NumberColumn::Last, NumberColumn::Absent] {
                let range = RankRange::Constant {
                    start: i64::try_from(start).unwrap(),
                    end: i64::try_from(end).unwrap(),
                };
                let mut rank = operator(range, number, input);
                let (mut model, mut folded, mut written) =
                    (BTreeMap::new(), Vec::new(), Vec::new());
                for step in 0..60 {
                    let mut batch = Vec::new();
                    for _ in 0..random.random_range(1..20) {
                        let key = random.random_range(0..3);
                        let held: &mut Vec<Row> = model.entry(key).or_default();
                        let is_removed = input == InputChanges::Any && random.random_bool(0.4);
                        if let Some(row) = held.choose(&mut random).copied().filter(|_| is_removed)
                        {
                            let place = held.iter().position(|other| *other == row).unwrap();
                            held.remove(place);
                            batch.push((RowKind::Delete, row));
                        } else {
                            let row = (key, random.random_range(0..12), random.random_range(0..4));
                            held.push(row);
                            batch.push((RowKind::Insert, row));
                        }
                    }
                    let emitted = feed(&mut rank, &batch);
                    fold(&mut folded, emitted);
                    folded.sort();
                    assert_eq!(folded, expected(&model, (start, end), number));
                    if step % 9 == 8 {
                        restart(&mut rank, operator(range, number, input), &mut written);
                    }
                }
            }
        }
    }
}

#[test]
fn rows_that_cannot_matter_are_not_kept() {
    let range = RankRange::Constant { start: 1, end: 2 };
    let mut rank = operator(range, NumberColumn::Absent, InputChanges::Inserts);
    let rows: Vec<_> = (0..100)
        .map(|value| (RowKind::Insert, (1, -value, 0)))
        .collect();
    feed(&mut rank, &rows);
    let partition = PartitionKey {
        bytes: &[1, 1, 0, 0, 0, 0, 0, 0, 0],
        key_group: key_group(
            xxhash_rust::xxh3::xxh3_64(&[1, 1, 0, 0, 0, 0, 0, 0, 0]),
            128,
        ),
    };
    assert_eq!(rank.rows.len(partition, 0).unwrap(), 2);
    // The third of a key is not emitted, and what leaves is.
    let emitted = feed(
        &mut rank,
        &[
            (RowKind::Insert, (1, -98, 1)),
            (RowKind::Insert, (1, -97, 1)),
        ],
    );
    assert_eq!(emitted, []);
    let emitted = feed(&mut rank, &[(RowKind::Insert, (1, -100, 0))]);
    let (left, entered) = (
        (RowKind::Delete, vec![1, -98, 0]),
        (RowKind::Insert, vec![1, -100, 0]),
    );
    assert_eq!(emitted, [left, entered]);
}

#[test]
fn an_improvement_that_stays_in_its_place_keeps_it_among_its_equals() {
    let range = RankRange::Constant { start: 1, end: 2 };
    let update = [
        (RowKind::UpdateBefore, (1, 5, 1)),
        (RowKind::UpdateAfter, (1, 5, 9)),
    ];
    let rows: Vec<_> = (1..=3)
        .map(|number| (RowKind::Insert, (1, 5, number)))
        .collect();
    for (input, first) in [(InputChanges::Improvements, 9), (InputChanges::Any, 2)] {
        let mut rank = operator(range, NumberColumn::Last, input);
        let mut folded = Vec::new();
        fold(&mut folded, feed(&mut rank, &rows));
        fold(&mut folded, feed(&mut rank, &update));
        folded.sort_by_key(|row| row[3]);
        assert_eq!(folded[0], [1, 5, first, 1]);
        // A row that moves forward enters, and the last one leaves.
        let forward = [(RowKind::UpdateAfter, (1, 4, 7))];
        fold(&mut folded, feed(&mut rank, &forward));
        folded.sort_by_key(|row| row[3]);
        assert_eq!(folded, [vec![1, 4, 7, 1], vec![1, 5, first, 2]]);
    }
}

#[test]
fn the_first_row_of_a_key_says_how_many_are_kept() {
    let range = RankRange::Variable { end: 2 };
    let mut rank = operator(range, NumberColumn::Last, InputChanges::Inserts);
    let rows = [(1, 5, 2), (2, 5, 0), (1, 6, 9), (1, 7, 9)].map(|row| (RowKind::Insert, row));
    let emitted = feed(&mut rank, &rows);
    let kept = [vec![1, 5, 2, 1], vec![1, 6, 9, 2]].map(|row| (RowKind::Insert, row));
    assert_eq!(emitted, kept);
    restart(
        &mut rank,
        operator(range, NumberColumn::Last, InputChanges::Inserts),
        &mut Vec::new(),
    );
    assert_eq!(feed(&mut rank, &[(RowKind::Insert, (1, 8, 9))]), []);
}

#[test]
fn many_changes_are_emitted_in_steps() {
    let end = i64::try_from(EMIT_ROWS_MAX).unwrap() * 2;
    let range = RankRange::Constant { start: 1, end };
    let mut rank = operator(range, NumberColumn::Absent, InputChanges::Any);
    let rows: Vec<_> = (0..end)
        .map(|value| (RowKind::Insert, (1, value, 0)))
        .collect();
    let mut folded = feed(&mut rank, &rows);
    assert_eq!(folded.len(), rows.len());
    folded.sort_by_key(|(_, row)| row[1]);
    let values: Vec<i64> = folded.iter().map(|(_, row)| row[1]).collect();
    assert_eq!(values, (0..end).collect::<Vec<_>>());
}
