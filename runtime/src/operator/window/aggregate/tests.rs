//! Windows of a fixed shape: lateness, exactly one emission, cursor, snapshot, and all of it against a naive model.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, TimestampMillisecondArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use proptest::prelude::*;

use super::*;
use crate::batch::RowKind;
use crate::checkpoint::entry::KeyGroupDelta;
use crate::metering::SubtaskMetrics;
use crate::operator::snapshot;
use crate::plan::{
    AggregateCall, AggregateFunction, TimeDomain, Window, WindowKind, WindowProperty,
};
use crate::time::SystemClock;
use crate::types::TypeKind;

/// TUMBLE by ten milliseconds.
const TUMBLE: WindowKind = WindowKind::Tumble {
    size_ms: 10,
    offset_ms: 0,
};

/// `SELECT k, COUNT(*), SUM(v), COUNT(DISTINCT v), MAX(v), window_start` over (k BIGINT, ts TIMESTAMP(3), v BIGINT).
fn operator(kind: &WindowKind, retracts: bool) -> WindowAggregate {
    operator_of(kind, retracts, TimeDomain::Event)
}

/// The same over a clock.
fn operator_of(kind: &WindowKind, retracts: bool, domain: TimeDomain) -> WindowAggregate {
    let input = vec![
        TypeKind::BigInt.nullable(),
        TypeKind::Timestamp(3).not_null(),
        TypeKind::BigInt.nullable(),
    ];
    let window = Window {
        time: 1,
        kind: kind.clone(),
        time_zone: "UTC".to_owned(),
        partition: Vec::new(),
        domain,
        attached: None,
    };
    let call = |function, argument, distinct| AggregateCall {
        function,
        argument,
        further: Vec::new(),
        filter: None,
        distinct,
        ty: TypeKind::BigInt.nullable(),
    };
    let spec = Spec {
        keys: vec![0],
        calls: vec![
            call(AggregateFunction::Count, None, false),
            call(AggregateFunction::Sum, Some(2), false),
            call(AggregateFunction::Count, Some(2), true),
            call(AggregateFunction::Max, Some(2), false),
        ],
        properties: vec![WindowProperty::Start],
        input: input.clone(),
        retracts,
    };
    let assigner = Assigner::new(&window, &input).unwrap().unwrap();
    WindowAggregate::new(assigner, spec, StateConfig::in_memory("test", 128)).unwrap()
}

/// A row: key, time, value, and whether it is taken back.
type Row = (i64, i64, i64, bool);

/// A result: start, key, count, sum, distinct values, greatest value.
type Emitted = (i64, i64, i64, i64, i64, i64);

/// An operator and its counters.
struct Tested {
    /// The operator.
    operator: WindowAggregate,
    /// Its counters.
    metrics: SubtaskMetrics,
    /// What its snapshots hold, one on top of the other.
    deltas: Vec<KeyGroupDelta>,
}

impl Tested {
    /// An operator over inserts.
    fn new(kind: &WindowKind) -> Self {
        Self {
            operator: operator(kind, false),
            metrics: SubtaskMetrics::default(),
            deltas: Vec::new(),
        }
    }

    /// Feeds rows.
    fn feed(&mut self, rows: &[Row]) {
        let column = |value: fn(&Row) -> i64| rows.iter().map(value).collect::<Vec<i64>>();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(column(|row| row.0))),
            Arc::new(TimestampMillisecondArray::from(column(|row| row.1))),
            Arc::new(Int64Array::from(column(|row| row.2))),
        ];
        let mut batch = Batch::inserts(columns, rows.len());
        if rows.iter().any(|row| row.3) {
            let kind = |row: &Row| {
                if row.3 {
                    RowKind::Delete
                } else {
                    RowKind::Insert
                }
            };
            batch.kinds = Some(rows.iter().map(kind).collect());
        }
        let metrics = &self.metrics;
        let context = OperatorContext {
            clock: &SystemClock,
            watermark_ms: None,
            metrics,
        };
        self.operator
            .on_batch(0, &batch, &context, &mut Collector::default())
            .unwrap();
    }

    /// Advances the watermark and gives what is emitted, sorted.
    fn advance(&mut self, watermark_ms: i64) -> Vec<Emitted> {
        let metrics = &self.metrics;
        let context = OperatorContext {
            clock: &SystemClock,
            watermark_ms: Some(watermark_ms),
            metrics,
        };
        self.operator.on_watermark(&context).unwrap();
        let mut emitted = Vec::new();
        loop {
            let mut out = Collector::default();
            let more = self.operator.emit_pending(&context, &mut out).unwrap();
            for batch in out.drain() {
                let starts = batch.columns[5].as_primitive::<TimestampMillisecondType>();
                for row in 0..batch.rows {
                    let long = |column: usize| {
                        let values = batch.columns[column].as_primitive::<Int64Type>();
                        if values.is_null(row) {
                            i64::MIN
                        } else {
                            values.value(row)
                        }
                    };
                    emitted.push((
                        starts.value(row),
                        long(0),
                        long(1),
                        long(2),
                        long(3),
                        long(4),
                    ));
                }
            }
            if !more {
                emitted.sort_unstable();
                return emitted;
            }
        }
    }

    /// Goes on from a snapshot, with the watermark that was seen before it.
    fn restore(&mut self, (kind, retracts): (&WindowKind, bool), watermark_ms: Option<i64>) {
        let deltas = snapshot::take_now(&mut self.operator).unwrap();
        self.deltas.extend(deltas);
        self.operator = operator(kind, retracts);
        for delta in &self.deltas {
            snapshot::load_all(&mut self.operator, delta).unwrap();
        }
        if watermark_ms.is_some() {
            let metrics = &self.metrics;
            let context = OperatorContext {
                clock: &SystemClock,
                watermark_ms,
                metrics,
            };
            self.operator.on_watermark(&context).unwrap();
        }
    }
}

#[test]
fn a_window_is_emitted_once_and_later_rows_are_late() {
    let mut tested = Tested::new(&TUMBLE);
    tested.feed(&[
        (1, 3, 5, false),
        (2, 9, 6, false),
        (1, 10, 7, false),
        (1, 0, 5, false),
    ]);
    assert_eq!(tested.advance(8), []);
    assert_eq!(tested.advance(9), [(0, 1, 2, 10, 1, 5), (0, 2, 1, 6, 1, 6)]);
    tested.feed(&[(1, 5, 1, false), (1, 11, 1, false)]);
    assert_eq!(tested.metrics.late_records.get(), 1);
    assert_eq!(tested.advance(i64::MAX), [(10, 1, 2, 8, 2, 7)]);
    assert_eq!(snapshot::measure(&mut tested.operator).keys, 0);
}

#[test]
fn large_windows_are_emitted_in_pieces() {
    let hop = WindowKind::Hop {
        size_ms: 20,
        slide_ms: 10,
        offset_ms: 0,
    };
    let cumulate = WindowKind::Cumulate {
        size_ms: 20,
        step_ms: 10,
        offset_ms: 0,
    };
    let keys = i64::try_from(EMIT_ROWS_MAX).unwrap() + 5;
    for kind in [TUMBLE, hop, cumulate] {
        let mut tested = Tested::new(&kind);
        tested.feed(&(0..keys).map(|key| (key, 1, 1, false)).collect::<Vec<_>>());
        tested.feed(
            &(5..keys + 9)
                .map(|key| (key, 12, 1, false))
                .collect::<Vec<_>>(),
        );
        let metrics = SubtaskMetrics::default();
        let context = OperatorContext {
            clock: &SystemClock,
            watermark_ms: Some(100),
            metrics: &metrics,
        };
        tested.operator.on_watermark(&context).unwrap();
        let mut out = Collector::default();
        assert!(
            tested.operator.emit_pending(&context, &mut out).unwrap(),
            "more is left after the first piece"
        );
        let rows = out.drain().map(|batch| batch.rows).sum::<usize>();
        assert_eq!(rows, EMIT_ROWS_MAX);
        while tested.operator.emit_pending(&context, &mut out).unwrap() {}
        let rest = out.drain().map(|batch| batch.rows).sum::<usize>() + rows;
        let (first, second) = (keys, keys + 4);
        let expected = match kind {
            WindowKind::Hop { .. } => first + (second + 5) + second,
            WindowKind::Cumulate { .. } => first + (second + 5),
            WindowKind::Tumble { .. } | WindowKind::Session { .. } => first + second,
        };
        assert_eq!(i64::try_from(rest).unwrap(), expected, "{kind:?}");
        assert_eq!(snapshot::measure(&mut tested.operator).keys, 0);
    }
}

/// What a naive operator keeps: the values of each key in each window by its end, and how often they are there.
#[derive(Default)]
struct Model {
    /// Values by end and key.
    windows: BTreeMap<(i64, i64), BTreeMap<i64, i64>>,
    /// The watermark.
    watermark_ms: Option<i64>,
    /// Rows that came too late.
    late: u64,
}

impl Model {
    /// The windows of a time: start and end.
    fn windows_of(kind: &WindowKind, time_ms: i64) -> Vec<(i64, i64)> {
        let starts = -40..40;
        let all: Vec<(i64, i64)> = match *kind {
            WindowKind::Tumble { size_ms, offset_ms } => starts
                .map(|n| (offset_ms + n * size_ms, offset_ms + (n + 1) * size_ms))
                .collect(),
            WindowKind::Hop {
                size_ms,
                slide_ms,
                offset_ms,
            } => starts
                .map(|n| (offset_ms + n * slide_ms, offset_ms + n * slide_ms + size_ms))
                .collect(),
            WindowKind::Cumulate {
                size_ms,
                step_ms,
                offset_ms,
            } => starts
                .flat_map(|n| {
                    let start = offset_ms + n * size_ms;
                    (1..=size_ms / step_ms).map(move |step| (start, start + step * step_ms))
                })
                .collect(),
            WindowKind::Session { .. } => Vec::new(),
        };
        let holds = |window: &(i64, i64)| window.0 <= time_ms && time_ms < window.1;
        all.into_iter().filter(holds).collect()
    }

    /// Adds a row.
    fn add(&mut self, kind: &WindowKind, (key, time_ms, value, is_delete): Row) {
        let windows = Self::windows_of(kind, time_ms);
        let is_open = |window: &&(i64, i64)| {
            self.watermark_ms
                .is_none_or(|watermark| window.1 - 1 > watermark)
        };
        let open: Vec<_> = windows.iter().filter(is_open).copied().collect();
        if open.is_empty() && !windows.is_empty() {
            self.late += 1;
        }
        for (_, end) in open {
            let values = self.windows.entry((end, key)).or_default();
            *values.entry(value).or_default() += if is_delete { -1 } else { 1 };
        }
    }

    /// What is due at a watermark.
    fn advance(&mut self, kind: &WindowKind, watermark_ms: i64) -> Vec<Emitted> {
        self.watermark_ms = Some(watermark_ms);
        let mut emitted = Vec::new();
        self.windows.retain(|(end, key), values| {
            if *end - 1 > watermark_ms {
                return true;
            }
            let count: i64 = values.values().sum();
            if count != 0 {
                let windows = Self::windows_of(kind, *end - 1);
                let start = windows.iter().find(|window| window.1 == *end).unwrap().0;
                let sum = values.iter().map(|(value, count)| value * count).sum();
                let present = values.iter().filter(|(_, count)| **count > 0);
                let distinct = i64::try_from(present.clone().count()).unwrap();
                let max = present.map(|(value, _)| *value).max().unwrap_or(i64::MIN);
                emitted.push((start, *key, count, sum, distinct, max));
            }
            false
        });
        emitted.sort_unstable();
        emitted
    }
}

/// Windows of any shape.
fn kinds() -> impl Strategy<Value = WindowKind> {
    let tumble = (1i64..12, -3i64..4)
        .prop_map(|(size_ms, offset_ms)| WindowKind::Tumble { size_ms, offset_ms });
    let hop =
        (1i64..14, 1i64..9, -3i64..4).prop_map(|(size_ms, slide_ms, offset_ms)| WindowKind::Hop {
            size_ms,
            slide_ms,
            offset_ms,
        });
    let cumulate =
        (1i64..5, 1i64..5, -3i64..4).prop_map(|(steps, step_ms, offset_ms)| WindowKind::Cumulate {
            size_ms: steps * step_ms,
            step_ms,
            offset_ms,
        });
    prop_oneof![tumble, hop, cumulate]
}

proptest! {
    /// Rows and watermarks in any order, with a snapshot in between: what a watermark makes due is what the windows hold.
    #[test]
    fn windows_hold_what_came_before_they_closed(
        kind in kinds(),
        retracts in any::<bool>(),
        steps in prop::collection::vec(
            (prop::collection::vec((0i64..3, -10i64..30, 0i64..4, any::<bool>()), 0..8), 0i64..7, any::<bool>()),
            1..12,
        ),
    ) {
        let mut tested = Tested::new(&kind);
        tested.operator = operator(&kind, retracts);
        let mut model = Model::default();
        let mut watermark_ms = -12;
        for (rows, progress, is_restored) in steps {
            // A row that is taken back was there before.
            let rows: Vec<Row> = rows
                .into_iter()
                .flat_map(|(key, time, value, is_taken_back)| {
                    let back = (retracts && is_taken_back).then_some((key, time, value, true));
                    [Some((key, time, value, false)), back].into_iter().flatten()
                })
                .collect();
            tested.feed(&rows);
            for row in &rows {
                model.add(&kind, *row);
            }
            if is_restored {
                tested.restore((&kind, retracts), model.watermark_ms);
            }
            watermark_ms += progress;
            prop_assert_eq!(tested.advance(watermark_ms), model.advance(&kind, watermark_ms));
            prop_assert_eq!(tested.metrics.late_records.get(), model.late);
        }
        prop_assert_eq!(tested.advance(i64::MAX), model.advance(&kind, i64::MAX));
        // Slices without a window to come are dropped.
        prop_assert_eq!(snapshot::measure(&mut tested.operator).keys, 0);
    }
}

#[test]
fn windows_in_processing_time_are_due_when_the_clock_has_passed_them() {
    let clock = crate::testing::SimulatedClock::default();
    let metrics = SubtaskMetrics::default();
    let hop = WindowKind::Hop {
        size_ms: 20,
        slide_ms: 10,
        offset_ms: 0,
    };
    let mut operator = operator_of(&hop, false, TimeDomain::Processing);
    let begin_ms = crate::time::Clock::now_ms(&clock);
    let context = OperatorContext {
        clock: &clock,
        watermark_ms: None,
        metrics: &metrics,
    };
    let row = |operator: &mut WindowAggregate| {
        let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let time: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![0]));
        let batch = Batch::inserts(vec![one.clone(), time, one], 1);
        let out = &mut Collector::default();
        operator.on_batch(0, &batch, &context, out).unwrap();
    };
    // Counts of what is due now.
    let due = |operator: &mut WindowAggregate| -> Vec<i64> {
        operator.on_timer(&context).unwrap();
        let mut out = Collector::default();
        while operator.emit_pending(&context, &mut out).unwrap() {}
        let counts = out.drain().map(|batch| batch.columns[1].clone());
        counts
            .flat_map(|counts| counts.as_primitive::<Int64Type>().values().to_vec())
            .collect()
    };
    row(&mut operator);
    assert_eq!(operator.next_timer_ms(), Some(begin_ms + 10));
    clock.advance(std::time::Duration::from_millis(9));
    row(&mut operator);
    assert_eq!(due(&mut operator), [0; 0]);
    clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(due(&mut operator), [2]);
    row(&mut operator);
    assert_eq!(operator.next_timer_ms(), Some(begin_ms + 20));
    // A watermark says nothing of the clock.
    let end = OperatorContext {
        watermark_ms: Some(i64::MAX),
        ..context
    };
    operator.on_watermark(&end).unwrap();
    assert!(
        !operator
            .emit_pending(&end, &mut Collector::default())
            .unwrap()
    );
    clock.advance(std::time::Duration::from_millis(100));
    assert_eq!(due(&mut operator), [3, 1]);
    assert_eq!(operator.next_timer_ms(), None);
    assert_eq!(metrics.late_records.get(), 0);
}
