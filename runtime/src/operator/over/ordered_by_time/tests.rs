//! OVER in the order of time against a model that looks at all rows.

use std::time::Duration;

use arrow::array::{Int64Array, TimestampMillisecondArray};
use arrow::datatypes::Int64Type;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::checkpoint::entry::KeyGroupDelta;
use crate::metering::SubtaskMetrics;
use crate::operator::snapshot;
use crate::plan::{AggregateCall, AggregateFunction, Frame, SortField};
use crate::testing::SimulatedClock;
use crate::time::Clock as _;
use crate::types::TypeKind;

/// Key, time, value.
type Row = (i64, i64, i64);

/// Key, time, value, COUNT, SUM, MAX.
type Emitted = (Row, [i64; 3]);

/// COUNT, SUM and MAX of a value by key.
fn over(unit: FrameUnit, start: FrameBound, domain: TimeDomain) -> OverAggregate {
    let call = |function| AggregateCall {
        function,
        argument: Some(2),
        further: Vec::new(),
        filter: None,
        distinct: false,
        ty: TypeKind::BigInt.nullable(),
    };
    OverAggregate {
        partition: vec![0],
        order: vec![SortField {
            column: 1,
            descending: false,
            nulls_last: false,
        }],
        frame: Frame {
            unit,
            start,
            end: FrameBound::CurrentRow,
        },
        domain: Some(domain),
        aggregates: vec![
            call(AggregateFunction::Count),
            call(AggregateFunction::Sum),
            call(AggregateFunction::Max),
        ],
    }
}

/// The operator.
fn operator(over: &OverAggregate) -> OverByTime {
    let types = [
        TypeKind::BigInt.nullable(),
        TypeKind::Timestamp(3).not_null(),
        TypeKind::BigInt.nullable(),
    ];
    OverByTime::new(over, &types, StateConfig::in_memory("test", 128)).unwrap()
}

/// The same with the state of another, whose earlier checkpoints are `written`.
fn restored(
    operator: &mut OverByTime,
    over: &OverAggregate,
    written: &mut Vec<KeyGroupDelta>,
) -> OverByTime {
    written.extend(snapshot::take_now(operator).unwrap());
    let mut restored = self::operator(over);
    for delta in written.iter() {
        snapshot::load_all(&mut restored, delta).unwrap();
    }
    restored
}

/// A batch of rows.
fn batch(rows: &[Row]) -> Batch {
    let longs = |value: fn(&Row) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(value)))
    };
    let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1));
    let columns = vec![longs(|row| row.0), Arc::new(times) as _, longs(|row| row.2)];
    Batch::inserts(columns, rows.len())
}

/// What was emitted.
fn emitted(out: &mut Collector) -> Vec<Emitted> {
    let mut found = Vec::new();
    for batch in out.drain() {
        assert!(batch.kinds.is_none());
        let times = millis(&batch.columns[1]).unwrap();
        let long = |column: usize, row: usize| {
            let column = batch.columns[column].as_primitive::<Int64Type>();
            column.value(row)
        };
        for (row, time_ms) in times.iter().enumerate() {
            let values = [long(3, row), long(4, row), long(5, row)];
            found.push(((long(0, row), *time_ms, long(2, row)), values));
        }
    }
    found
}

/// The aggregates of each row, from all rows in their order.
fn model(rows: &[Row], is_in: impl Fn(usize, usize) -> bool) -> Vec<Emitted> {
    let mut found: Vec<Emitted> = (0..rows.len())
        .map(|at| {
            let frame =
                (0..rows.len()).filter(|other| rows[*other].0 == rows[at].0 && is_in(at, *other));
            let values: Vec<i64> = frame.map(|other| rows[other].2).collect();
            let count = i64::try_from(values.len()).unwrap();
            let max = values.iter().copied().max().unwrap();
            (rows[at], [count, values.iter().sum(), max])
        })
        .collect();
    found.sort_unstable();
    found
}

/// Feeds random rows in event time, restores in between, and gives rows in order and what was emitted.
fn run_event_time(over: &OverAggregate, seed: u64) -> (Vec<Row>, Vec<Emitted>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut operator = operator(over);
    let (clock, metrics) = (SimulatedClock::default(), SubtaskMetrics::default());
    let (mut rows, mut found, mut out) = (Vec::new(), Vec::new(), Collector::default());
    let mut written = Vec::new();
    for step in 1..=30_i64 {
        let fresh: Vec<Row> = (0..random.random_range(0..40))
            .map(|_| {
                let time_ms = step * 100 + random.random_range(1..300);
                (
                    random.random_range(0..4),
                    time_ms,
                    random.random_range(-5..9),
                )
            })
            .collect();
        let mut context = OperatorContext {
            clock: &clock,
            watermark_ms: (step > 1).then_some(step * 100 - 100),
            metrics: &metrics,
        };
        operator
            .on_batch(0, &batch(&fresh), &context, &mut out)
            .unwrap();
        rows.extend(fresh);
        context.watermark_ms = Some(if step == 30 { i64::MAX } else { step * 100 });
        operator.on_watermark(&context).unwrap();
        while operator.emit_pending(&context, &mut out).unwrap() {}
        found.extend(emitted(&mut out));
        if random.random_bool(0.3) {
            operator = restored(&mut operator, over, &mut written);
        }
    }
    assert_eq!(metrics.late_records.get(), 0);
    rows.sort_by_key(|row| row.1);
    (rows, found)
}

#[test]
fn unbounded_frames_see_all_rows_before() {
    for seed in 0..5 {
        for unit in [FrameUnit::Rows, FrameUnit::Range] {
            let over = over(unit, FrameBound::UnboundedPreceding, TimeDomain::Event);
            let (rows, mut found) = run_event_time(&over, seed);
            found.sort_unstable();
            let expected = model(&rows, |at, other| match unit {
                FrameUnit::Rows => other <= at,
                FrameUnit::Range => rows[other].1 <= rows[at].1,
            });
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn bounded_frames_see_the_last_rows() {
    for seed in 0..5 {
        for bound in [0, 1, 7, 100] {
            let over = over(
                FrameUnit::Rows,
                FrameBound::Preceding(bound),
                TimeDomain::Event,
            );
            let (rows, mut found) = run_event_time(&over, seed);
            found.sort_unstable();
            let limit = usize::try_from(bound).unwrap();
            let expected = model(&rows, |at, other| {
                let between = rows[other.min(at)..at].iter();
                other <= at && between.filter(|row| row.0 == rows[at].0).count() <= limit
            });
            assert_eq!(found, expected, "{bound} rows");
        }
    }
}

#[test]
fn bounded_frames_see_the_rows_of_the_last_milliseconds() {
    for seed in 0..5 {
        for bound in [0, 10, 150, 5_000] {
            let over = over(
                FrameUnit::Range,
                FrameBound::Preceding(bound),
                TimeDomain::Event,
            );
            let (rows, mut found) = run_event_time(&over, seed);
            found.sort_unstable();
            let expected = model(&rows, |at, other| {
                rows[other].1 <= rows[at].1 && rows[other].1 >= rows[at].1 - bound
            });
            assert_eq!(found, expected, "{bound} ms");
        }
    }
}

#[test]
fn a_partition_of_a_frame_of_time_is_forgotten() {
    let over = over(
        FrameUnit::Range,
        FrameBound::Preceding(1_000),
        TimeDomain::Event,
    );
    let mut operator = operator(&over);
    let (clock, metrics) = (SimulatedClock::default(), SubtaskMetrics::default());
    let mut out = Collector::default();
    for (step, is_kept) in [(1_500, true), (2_501, true), (2_601, false)] {
        let context = OperatorContext {
            clock: &clock,
            watermark_ms: Some(step),
            metrics: &metrics,
        };
        if step == 1_500 {
            let rows: Vec<Row> = (0..100).map(|key| (key, 1_000 + key, 1)).collect();
            let before = OperatorContext {
                clock: &clock,
                watermark_ms: None,
                metrics: &metrics,
            };
            operator
                .on_batch(0, &batch(&rows), &before, &mut out)
                .unwrap();
        }
        operator.on_watermark(&context).unwrap();
        while operator.emit_pending(&context, &mut out).unwrap() {}
        assert_eq!(snapshot::measure(&mut operator).keys > 0, is_kept, "{step}");
    }
    assert_eq!(emitted(&mut out).len(), 100);
}

#[test]
fn processing_time_takes_rows_as_they_come() {
    let over = over(
        FrameUnit::Rows,
        FrameBound::Preceding(1),
        TimeDomain::Processing,
    );
    let mut operator = operator(&over);
    let (clock, metrics) = (SimulatedClock::default(), SubtaskMetrics::default());
    let context = OperatorContext {
        clock: &clock,
        watermark_ms: None,
        metrics: &metrics,
    };
    let mut out = Collector::default();
    let rows = [(1, 9, 5), (2, 8, 7), (1, 7, 3), (1, 6, 1)];
    operator
        .on_batch(0, &batch(&rows), &context, &mut out)
        .unwrap();
    let results: Vec<_> = emitted(&mut out).into_iter().map(|row| row.1).collect();
    assert_eq!(results, [[1, 5, 5], [1, 7, 7], [2, 8, 5], [2, 4, 3]]);
    assert_eq!(operator.next_timer_ms(), None);
}

#[test]
fn rows_of_one_millisecond_are_peers_in_processing_time() {
    let over = over(
        FrameUnit::Range,
        FrameBound::Preceding(10),
        TimeDomain::Processing,
    );
    let mut operator = operator(&over);
    let (clock, metrics) = (SimulatedClock::default(), SubtaskMetrics::default());
    let (mut out, mut written) = (Collector::default(), Vec::new());
    let start_ms = clock.now_ms();
    for (after_ms, rows) in [
        (0, vec![(1, 0, 5), (1, 0, 7)]),
        (10, vec![(1, 0, 1)]),
        (11, vec![(1, 0, 2)]),
    ] {
        clock.advance(Duration::from_millis(
            (start_ms + after_ms - clock.now_ms()).unsigned_abs(),
        ));
        let context = OperatorContext {
            clock: &clock,
            watermark_ms: None,
            metrics: &metrics,
        };
        operator
            .on_batch(0, &batch(&rows), &context, &mut out)
            .unwrap();
        assert_eq!(emitted(&mut out), []);
        operator = restored(&mut operator, &over, &mut written);
        // What is restored is looked at soon.
        assert!(operator.next_timer_ms().unwrap() <= start_ms + after_ms + 1);
        clock.advance(Duration::from_millis(1));
        operator.on_timer(&context).unwrap();
        while operator.emit_pending(&context, &mut out).unwrap() {}
        let results: Vec<_> = emitted(&mut out).into_iter().map(|row| row.1).collect();
        match after_ms {
            0 => assert_eq!(results, [[2, 12, 7], [2, 12, 7]]),
            10 => assert_eq!(results, [[3, 13, 7]]),
            _ => assert_eq!(results, [[2, 3, 2]]),
        }
        // The next timer forgets the partition.
        assert!(operator.next_timer_ms().is_some());
    }
}
