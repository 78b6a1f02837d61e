//! Deduplication of small batches.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, TimestampMillisecondArray};
use arrow::datatypes::Int64Type;

use super::*;
use crate::metering::SubtaskMetrics;
use crate::operator::order::first_by_time::FirstByTime;
use crate::operator::snapshot;
use crate::time::SystemClock;
use crate::types::TypeKind;

/// Key, time, number.
type Row = (i64, i64, i64);

/// Types of such rows.
fn types() -> [FlinkType; 3] {
    [
        TypeKind::BigInt.nullable(),
        TypeKind::Timestamp(3).nullable(),
        TypeKind::BigInt.nullable(),
    ]
}

/// State in memory.
fn state() -> StateConfig {
    StateConfig::in_memory("test", 128)
}

/// Feeds rows, then a watermark, and gives keys and numbers of what is emitted.
fn feed(
    operator: &mut dyn Operator,
    rows: &[Row],
    watermark_ms: Option<i64>,
) -> Vec<(&'static str, i64, i64)> {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2)));
    let batch = Batch::inserts(vec![keys, Arc::new(times), numbers], rows.len());
    let metrics = SubtaskMetrics::default();
    let mut context = OperatorContext {
        clock: &SystemClock,
        watermark_ms: None,
        metrics: &metrics,
    };
    let mut out = Collector::default();
    operator.on_batch(0, &batch, &context, &mut out).unwrap();
    if watermark_ms.is_some() {
        context.watermark_ms = watermark_ms;
        operator.on_watermark(&context).unwrap();
        while operator.emit_pending(&context, &mut out).unwrap() {}
    }
    let mut emitted = Vec::new();
    for batch in out.drain() {
        let keys = batch.columns[0].as_primitive::<Int64Type>();
        let numbers = batch.columns[2].as_primitive::<Int64Type>();
        for row in 0..batch.rows {
            assert!(keys.is_valid(row));
            let kind = batch.kind(row).short_name();
            emitted.push((kind, keys.value(row), numbers.value(row)));
        }
    }
    emitted
}

/// Moves the state of an operator into a new one.
fn restart(old: &mut dyn Operator, new: &mut dyn Operator) {
    for delta in snapshot::take_now(old).unwrap() {
        snapshot::load_all(new, &delta).unwrap();
    }
}

#[test]
fn the_first_row_that_comes_stays() {
    let new = || KeepFirst::new(&[0], &types(), state()).unwrap();
    let mut operator = new();
    let emitted = feed(&mut operator, &[(1, 9, 1), (1, 8, 2), (2, 7, 3)], None);
    assert_eq!(emitted, [("+I", 1, 1), ("+I", 2, 3)]);
    let mut restored = new();
    restart(&mut operator, &mut restored);
    let emitted = feed(&mut restored, &[(1, 1, 4), (3, 7, 5), (3, 7, 6)], None);
    assert_eq!(emitted, [("+I", 3, 5)]);
}

#[test]
fn the_last_row_that_comes_replaces_the_one_before() {
    let new = || KeepLast::new(&[0], None, &types(), state()).unwrap();
    let mut operator = new();
    let emitted = feed(&mut operator, &[(1, 9, 1), (2, 8, 2), (1, 1, 3)], None);
    assert_eq!(emitted, [("+I", 1, 3), ("+I", 2, 2)]);
    let mut restored = new();
    restart(&mut operator, &mut restored);
    let emitted = feed(&mut restored, &[(1, 5, 4), (1, 1, 5), (2, 8, 2)], None);
    assert_eq!(emitted, [("-U", 1, 3), ("+U", 1, 5)]);
}

#[test]
fn the_last_row_by_time_is_no_earlier_than_the_one_before() {
    let mut operator = KeepLast::new(&[0], Some(1), &types(), state()).unwrap();
    let emitted = feed(
        &mut operator,
        &[(1, 9, 1), (1, 8, 2), (2, 8, 3), (2, 8, 4)],
        None,
    );
    assert_eq!(
        emitted,
        [("+I", 1, 1), ("+I", 2, 3), ("-U", 2, 3), ("+U", 2, 4)],
        "every version"
    );
    let emitted = feed(&mut operator, &[(1, 8, 5), (2, 9, 6), (2, 8, 7)], None);
    assert_eq!(emitted, [("-U", 2, 4), ("+U", 2, 6)]);
}

#[test]
fn the_first_row_by_time_waits_for_the_watermark() {
    let new = || FirstByTime::new(&[0], 1, &types(), state()).unwrap();
    let mut operator = new();
    let emitted = feed(
        &mut operator,
        &[(1, 9, 1), (1, 8, 2), (2, 7, 3), (1, 8, 4)],
        Some(7),
    );
    assert_eq!(emitted, [("+I", 2, 3)]);
    let mut restored = new();
    restart(&mut operator, &mut restored);
    let emitted = feed(&mut restored, &[(2, 8, 5), (3, 20, 6)], Some(10));
    assert_eq!(emitted, [("+I", 1, 2)]);
    let mut emitted = feed(&mut restored, &[(1, 30, 7), (3, 19, 8)], Some(i64::MAX));
    emitted.sort_unstable();
    assert_eq!(emitted, [("+I", 3, 8)]);
}
