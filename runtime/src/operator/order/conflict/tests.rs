//! What Flink 2.3.0 makes of the same changes, with a sink of ours that takes upserts.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;

use super::*;
use crate::metering::SubtaskMetrics;
use crate::time::SystemClock;
use crate::types::TypeKind;
use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};

/// A change of a row of a primary key and a value.
type Change = (RowKind, i64, i64);

/// What comes out for changes, with a watermark behind each batch.
fn run(on_conflict: OnConflict, batches: &[&[Change]]) -> Result<Vec<Change>> {
    let types = [TypeKind::BigInt.not_null(), TypeKind::BigInt.not_null()];
    let keys = Keys {
        primary: &[0],
        upsert: None,
    };
    let state = StateConfig::in_memory("test", 128);
    let mut guard = ConflictGuard::new(keys, on_conflict, &types, state)?;
    let metrics = SubtaskMetrics::default();
    let context = OperatorContext {
        clock: &SystemClock,
        watermark_ms: None,
        metrics: &metrics,
    };
    let mut out = Collector::default();
    let mut found = Vec::new();
    for changes in batches {
        let column = |value: fn(&Change) -> i64| -> ArrayRef {
            Arc::new(changes.iter().map(value).collect::<Int64Array>())
        };
        let columns = vec![column(|change| change.1), column(|change| change.2)];
        let batch = Batch {
            kinds: Some(changes.iter().map(|change| change.0).collect()),
            ..Batch::inserts(columns, changes.len())
        };
        guard.on_batch(0, &batch, &context, &mut out)?;
        guard.on_watermark(&context)?;
        while guard.emit_pending(&context, &mut out)? {}
        for batch in out.drain() {
            let values = |column: usize| batch.columns[column].as_primitive::<Int64Type>();
            let row = |row| (batch.kind(row), values(0).value(row), values(1).value(row));
            found.extend((0..batch.rows).map(row));
        }
    }
    Ok(found)
}

/// The primary keys of the changes below.
const A: i64 = 1;
/// Another one.
const B: i64 = 2;

/// The first group moves from one key to the other, the third comes to the first key, and the second follows the first.
const MOVES: [&[Change]; 5] = [
    &[(Insert, A, 1)],
    &[(Insert, A, 2)],
    &[(UpdateBefore, A, 1), (UpdateAfter, B, 5)],
    &[(Insert, A, 6)],
    &[(UpdateBefore, A, 2), (UpdateAfter, B, 7)],
];

#[test]
fn the_first_row_stays_until_it_goes() {
    let mut found = run(OnConflict::KeepFirst, &MOVES).unwrap();
    // The order of different keys is left open.
    found.sort_by_key(|change| change.1);
    let of_a = [(Insert, A, 1), (Delete, A, 1), (Insert, A, 6)];
    assert_eq!(found[..3], of_a);
    assert_eq!(found[3..], [(Insert, B, 5)]);
}

#[test]
fn what_comes_between_two_watermarks_is_seen_together() {
    let later = MOVES[1..].concat();
    let mut found = run(OnConflict::KeepFirst, &[MOVES[0], &later]).unwrap();
    found.sort_by_key(|change| (change.1, change.2));
    let updated = [
        (Insert, A, 1),
        (UpdateBefore, A, 1),
        (UpdateAfter, A, 6),
        (Insert, B, 5),
    ];
    assert_eq!(found, updated);
    // Equal rows of two groups, of which one goes before it is looked.
    let moved: &[Change] = &[(Insert, A, 1), (UpdateBefore, A, 1), (UpdateAfter, B, 1)];
    let found = run(OnConflict::Fail, &[&[(Insert, A, 1)], moved]).unwrap();
    assert_eq!(found, [(Insert, A, 1), (Insert, B, 1)]);
}

#[test]
fn rows_that_meet_fail_also_when_they_are_equal() {
    let equal: &[Change] = &[(Insert, B, 2), (Insert, B, 2)];
    for batches in [&MOVES[..2], &[equal], &[&equal[..1], &equal[1..]]] {
        let error = run(OnConflict::Fail, batches).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("primary key constraint violation")
        );
    }
    let found = run(OnConflict::KeepFirst, &[&equal[..1], &equal[1..]]).unwrap();
    assert_eq!(found, [(Insert, B, 2)]);
}
