//! Tumbling windows: lateness, exactly one emission, cursor, snapshot.

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};

use super::*;
use crate::metering::SubtaskMetrics;
use crate::operator::snapshot;
use crate::plan::{AggregateFunction, Window, WindowKind};
use crate::time::SystemClock;
use crate::types::TypeKind;

/// `SELECT k, COUNT(*), window_start` in windows of ten milliseconds over (k BIGINT, ts TIMESTAMP(3)).
fn operator() -> WindowAggregate {
    let input = vec![
        TypeKind::BigInt.nullable(),
        TypeKind::Timestamp(3).nullable(),
    ];
    let kind = WindowKind::Tumble {
        size_ms: 10,
        offset_ms: 0,
    };
    let window = Window {
        time: 1,
        kind,
        time_zone: "UTC".to_owned(),
        partition: Vec::new(),
        domain: crate::plan::TimeDomain::Event,
        attached: None,
    };
    let count = AggregateCall {
        function: AggregateFunction::Count,
        argument: None,
        further: Vec::new(),
        filter: None,
        distinct: false,
        ty: TypeKind::BigInt.not_null(),
    };
    let assigner = Assigner::new(&window, &input[1]).unwrap();
    let spec = Spec {
        keys: vec![0],
        calls: vec![count],
        properties: vec![WindowProperty::Start],
        input,
    };
    WindowAggregate::new(assigner, spec, StateConfig::in_memory("test", 128)).unwrap()
}

/// Feeds rows `(key, time)`.
fn feed(operator: &mut WindowAggregate, metrics: &SubtaskMetrics, rows: &[(i64, i64)]) {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(
        rows.iter().map(|row| row.1),
    ));
    let context = OperatorContext {
        clock: &SystemClock,
        watermark_ms: None,
        metrics,
    };
    let batch = Batch::inserts(vec![keys, times], rows.len());
    operator
        .on_batch(0, &batch, &context, &mut Collector::default())
        .unwrap();
}

/// Advances the watermark and gives what is emitted: `(key, count, start)`.
fn advance(
    operator: &mut WindowAggregate,
    metrics: &SubtaskMetrics,
    watermark_ms: i64,
) -> Vec<(i64, i64, i64)> {
    let context = OperatorContext {
        clock: &SystemClock,
        watermark_ms: Some(watermark_ms),
        metrics,
    };
    operator.on_watermark(&context).unwrap();
    let mut emitted = Vec::new();
    loop {
        let mut out = Collector::default();
        let more = operator.emit_pending(&context, &mut out).unwrap();
        for batch in out.drain() {
            for row in 0..batch.rows {
                let long =
                    |column: usize| batch.columns[column].as_primitive::<Int64Type>().value(row);
                let start = batch.columns[2]
                    .as_primitive::<TimestampMillisecondType>()
                    .value(row);
                emitted.push((long(0), long(1), start));
            }
        }
        if !more {
            return emitted;
        }
    }
}

#[test]
fn a_window_is_emitted_once_and_later_rows_are_late() {
    let metrics = SubtaskMetrics::default();
    let mut operator = operator();
    feed(&mut operator, &metrics, &[(1, 3), (2, 9), (1, 10), (1, 0)]);
    assert_eq!(advance(&mut operator, &metrics, 8), []);
    assert_eq!(advance(&mut operator, &metrics, 9), [(1, 2, 0), (2, 1, 0)]);
    feed(&mut operator, &metrics, &[(1, 5), (1, 11)]);
    assert_eq!(metrics.late_records.get(), 1);
    assert_eq!(advance(&mut operator, &metrics, i64::MAX), [(1, 2, 10)]);
    assert_eq!(snapshot::measure(&mut operator).keys, 0);
}

#[test]
fn a_large_window_is_emitted_in_pieces() {
    let metrics = SubtaskMetrics::default();
    let mut operator = operator();
    let keys = i64::try_from(EMIT_ROWS_MAX).unwrap() + 5;
    feed(
        &mut operator,
        &metrics,
        &(0..keys).map(|key| (key, 1)).collect::<Vec<_>>(),
    );
    feed(&mut operator, &metrics, &[(0, 12)]);
    let context = OperatorContext {
        clock: &SystemClock,
        watermark_ms: Some(100),
        metrics: &metrics,
    };
    operator.on_watermark(&context).unwrap();
    let mut out = Collector::default();
    assert!(
        operator.emit_pending(&context, &mut out).unwrap(),
        "more is left after the first piece"
    );
    assert_eq!(
        out.drain().map(|batch| batch.rows).sum::<usize>(),
        EMIT_ROWS_MAX
    );
    assert_eq!(advance(&mut operator, &metrics, 100).len(), 6);
}

#[test]
fn a_restored_window_goes_on_where_it_was() {
    let metrics = SubtaskMetrics::default();
    let mut operator = operator();
    feed(&mut operator, &metrics, &[(1, 3), (2, 13)]);
    let mut restored = self::operator();
    for delta in &snapshot::take_now(&mut operator).unwrap() {
        snapshot::load_all(&mut restored, delta).unwrap();
    }
    feed(&mut restored, &metrics, &[(1, 4)]);
    assert_eq!(
        advance(&mut restored, &metrics, i64::MAX),
        [(1, 2, 0), (2, 1, 10)]
    );
}
