//! Snapshots of a changelog.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;

use super::*;
use crate::batch::RowKind;
use crate::metering::SubtaskMetrics;
use crate::operator::snapshot;
use crate::time::SystemClock;
use crate::types::TypeKind;

/// A snapshot of rows of one BIGINT.
fn empty() -> Snapshot {
    let types = [TypeKind::BigInt.nullable()];
    let state = StateConfig {
        ttl_ms: Some(1),
        ..StateConfig::in_memory("test", 128)
    };
    Snapshot::new(&[0], &types, state).unwrap()
}

/// Calls the operator with a watermark.
fn with_context<T>(
    watermark_ms: Option<i64>,
    call: impl FnOnce(&OperatorContext<'_>, &mut Collector) -> T,
) -> (T, Vec<Batch>) {
    let metrics = SubtaskMetrics::default();
    let context = OperatorContext {
        clock: &SystemClock,
        watermark_ms,
        metrics: &metrics,
    };
    let mut out = Collector::default();
    let result = call(&context, &mut out);
    (result, out.drain().collect())
}

/// Feeds changes.
fn feed(operator: &mut Snapshot, rows: &[(i64, RowKind)]) {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let batch = Batch {
        columns: vec![values],
        rows: rows.len(),
        kinds: Some(rows.iter().map(|row| row.1).collect()),
    };
    let (result, emitted) = with_context(None, |context, out| {
        operator.on_batch(0, &batch, context, out)
    });
    result.unwrap();
    assert!(emitted.is_empty(), "a row before the end");
}

/// What is emitted at a watermark.
fn at(operator: &mut Snapshot, watermark_ms: i64) -> Vec<i64> {
    let mut values = Vec::new();
    let (result, _) = with_context(Some(watermark_ms), |context, _| {
        operator.on_watermark(context)
    });
    result.unwrap();
    loop {
        let (more, emitted) = with_context(Some(watermark_ms), |context, out| {
            operator.emit_pending(context, out)
        });
        for batch in emitted {
            assert!(batch.kinds.is_none() && batch.rows <= EMIT_ROWS_MAX);
            values.extend_from_slice(batch.columns[0].as_primitive::<Int64Type>().values());
        }
        if !more.unwrap() {
            values.sort_unstable();
            return values;
        }
    }
}

#[test]
fn what_is_left_comes_at_the_end_as_often_as_it_is_there() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let mut operator = empty();
    feed(
        &mut operator,
        &[(1, Insert), (2, Insert), (2, Insert), (3, Delete)],
    );
    assert!(at(&mut operator, 1_000).is_empty());
    feed(
        &mut operator,
        &[(1, UpdateBefore), (5, UpdateAfter), (3, Insert)],
    );
    let mut restored = empty();
    for delta in snapshot::take_now(&mut operator).unwrap() {
        snapshot::load_all(&mut restored, &delta).unwrap();
    }
    for mut operator in [operator, restored] {
        assert_eq!(at(&mut operator, i64::MAX), [2, 2, 5]);
        assert!(at(&mut operator, i64::MAX).is_empty(), "rows come once");
    }
}

#[test]
fn many_rows_come_in_parts() {
    let mut operator = empty();
    let copies = EMIT_ROWS_MAX + 10;
    feed(&mut operator, &vec![(7, RowKind::Insert); copies]);
    let others: Vec<(i64, RowKind)> = (100..200).map(|value| (value, RowKind::Insert)).collect();
    feed(&mut operator, &others);
    let emitted = at(&mut operator, i64::MAX);
    assert_eq!(emitted.len(), copies + others.len());
    assert_eq!(emitted.iter().filter(|value| **value == 7).count(), copies);
}
