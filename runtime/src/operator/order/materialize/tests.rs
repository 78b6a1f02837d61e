//! Rows that meet in primary keys.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;

use super::*;
use crate::error::Result;
use crate::metering::SubtaskMetrics;
use crate::operator::order::conflict::{ConflictGuard, OnConflict};
use crate::operator::snapshot;
use crate::time::SystemClock;
use crate::types::TypeKind;

/// Primary key, upsert key beside it, value.
type Row = (i64, i64, i64);

/// Types of such rows.
fn types() -> [FlinkType; 3] {
    [const { TypeKind::BigInt }; 3].map(TypeKind::not_null)
}

/// What rows are known by.
const KEYS: Keys<'static> = Keys {
    primary: &[0],
    upsert: Some(&[0, 1]),
};

/// State in memory.
fn state() -> StateConfig {
    StateConfig::in_memory("test", 128)
}

/// Feeds changes, then a watermark, and gives what is emitted.
fn feed(
    operator: &mut dyn Operator,
    rows: &[(RowKind, Row)],
    watermark_ms: i64,
) -> Result<Vec<(&'static str, Row)>> {
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
        watermark_ms: Some(watermark_ms),
        metrics: &metrics,
    };
    let mut out = Collector::default();
    operator.on_batch(0, &batch, &context, &mut out)?;
    operator.on_watermark(&context)?;
    while operator.emit_pending(&context, &mut out)? {}
    let mut emitted = Vec::new();
    for batch in out.drain() {
        let column = |index: usize| batch.columns[index].as_primitive::<Int64Type>();
        for row in 0..batch.rows {
            let values = (
                column(0).value(row),
                column(1).value(row),
                column(2).value(row),
            );
            emitted.push((batch.kind(row).short_name(), values));
        }
    }
    Ok(emitted)
}

/// Moves the state of an operator into a new one.
fn restart(old: &mut dyn Operator, new: &mut dyn Operator) {
    for delta in snapshot::take_now(old).unwrap() {
        snapshot::load_all(new, &delta).unwrap();
    }
}

use RowKind::{Delete as D, Insert as I, UpdateAfter as Ua, UpdateBefore as Ub};

#[test]
fn the_last_row_is_there_and_the_one_before_comes_back() {
    let new = || UpsertMaterialize::new(KEYS, &types(), state()).unwrap();
    let mut operator = new();
    let rows = [
        (I, (1, 1, 5)),
        (I, (1, 2, 6)),
        (Ub, (1, 1, 5)),
        (Ua, (1, 1, 7)),
    ];
    let emitted = feed(&mut operator, &rows, 0).unwrap();
    assert_eq!(
        emitted,
        [("+I", (1, 1, 5)), ("+U", (1, 2, 6)), ("+U", (1, 1, 7))]
    );
    let mut restored = new();
    restart(&mut operator, &mut restored);
    let rows = [
        (D, (1, 1, 7)),
        (D, (1, 9, 9)),
        (I, (1, 3, 8)),
        (D, (1, 2, 6)),
        (D, (1, 3, 8)),
    ];
    let emitted = feed(&mut restored, &rows, 0).unwrap();
    assert_eq!(
        emitted,
        [("+U", (1, 2, 6)), ("+U", (1, 3, 8)), ("-D", (1, 3, 8))]
    );
    assert_eq!(snapshot::measure(&mut restored).keys, 0);
}

#[test]
fn the_first_row_stays_until_it_is_taken_back() {
    let new = || ConflictGuard::new(KEYS, OnConflict::KeepFirst, &types(), state()).unwrap();
    let mut operator = new();
    let rows = [
        (I, (1, 1, 5)),
        (I, (1, 2, 6)),
        (I, (2, 1, 1)),
        (D, (2, 1, 1)),
    ];
    assert_eq!(feed(&mut operator, &rows, 0).unwrap(), [("+I", (1, 1, 5))]);
    let mut restored = new();
    restart(&mut operator, &mut restored);
    let emitted = feed(
        &mut restored,
        &[(Ub, (1, 1, 5)), (Ua, (1, 1, 6)), (I, (1, 3, 3))],
        1,
    );
    assert_eq!(emitted.unwrap(), [("-U", (1, 1, 5)), ("+U", (1, 1, 6))]);
    assert_eq!(
        feed(&mut restored, &[(D, (1, 1, 6))], 2).unwrap(),
        [("-D", (1, 1, 6))]
    );
    assert_eq!(snapshot::measure(&mut restored).keys, 0);
}

#[test]
fn rows_that_meet_at_a_watermark_fail_the_statement() {
    let new = || ConflictGuard::new(KEYS, OnConflict::Fail, &types(), state()).unwrap();
    let mut operator = new();
    // What is taken back before the watermark, in whatever order it arrives, does not meet.
    let rows = [
        (I, (1, 1, 5)),
        (I, (1, 2, 6)),
        (D, (1, 1, 5)),
        (D, (2, 1, 1)),
        (I, (2, 1, 1)),
    ];
    assert_eq!(feed(&mut operator, &rows, 0).unwrap(), [("+I", (1, 2, 6))]);
    let error = feed(&mut operator, &[(I, (1, 3, 7))], 1).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("primary key constraint violation"),
        "{error}"
    );
}
