//! Sessions against a naive model.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, TimestampMillisecondArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use proptest::prelude::*;

use super::*;
use crate::metering::SubtaskMetrics;
use crate::operator::snapshot;
use crate::plan::{AggregateCall, AggregateFunction, TimeDomain, WindowProperty};
use crate::time::SystemClock;
use crate::types::TypeKind;

/// `SELECT k, COUNT(*), SUM(v), window_start, window_end` over (k BIGINT, ts TIMESTAMP(3), v BIGINT).
fn operator(gap_ms: i64) -> SessionAggregate {
    let input = vec![
        TypeKind::BigInt.nullable(),
        TypeKind::Timestamp(3).not_null(),
        TypeKind::BigInt.nullable(),
    ];
    let window = Window {
        time: 1,
        kind: WindowKind::Session { gap_ms },
        time_zone: "UTC".to_owned(),
        partition: vec![0],
        domain: TimeDomain::Event,
        attached: None,
    };
    let call = |function, argument| AggregateCall {
        function,
        argument,
        further: Vec::new(),
        filter: None,
        distinct: false,
        ty: TypeKind::BigInt.nullable(),
    };
    let spec = Spec {
        keys: vec![0],
        calls: vec![
            call(AggregateFunction::Count, None),
            call(AggregateFunction::Sum, Some(2)),
        ],
        properties: vec![WindowProperty::Start, WindowProperty::End],
        input,
        retracts: false,
    };
    SessionAggregate::new(&window, spec, StateConfig::in_memory("test", 128)).unwrap()
}

/// A row: key, time, value.
type Row = (i64, i64, i64);

/// A session: key, start, end, count, sum.
type Session = (i64, i64, i64, i64, i64);

/// Feeds rows.
fn feed(operator: &mut SessionAggregate, metrics: &SubtaskMetrics, rows: &[Row]) {
    let column = |value: fn(&Row) -> i64| rows.iter().map(value).collect::<Vec<i64>>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(column(|row| row.0))),
        Arc::new(TimestampMillisecondArray::from(column(|row| row.1))),
        Arc::new(Int64Array::from(column(|row| row.2))),
    ];
    let context = OperatorContext {
        clock: &SystemClock,
        watermark_ms: None,
        metrics,
    };
    let batch = Batch::inserts(columns, rows.len());
    operator
        .on_batch(0, &batch, &context, &mut Collector::default())
        .unwrap();
}

/// Advances the watermark and gives what is emitted, sorted.
fn advance(
    operator: &mut SessionAggregate,
    metrics: &SubtaskMetrics,
    watermark_ms: i64,
) -> Vec<Session> {
    let context = OperatorContext {
        clock: &SystemClock,
        watermark_ms: Some(watermark_ms),
        metrics,
    };
    operator.on_watermark(&context).unwrap();
    let mut out = Collector::default();
    while operator.emit_pending(&context, &mut out).unwrap() {}
    let mut emitted = Vec::new();
    for batch in out.drain() {
        for row in 0..batch.rows {
            let long = |column: usize| batch.columns[column].as_primitive::<Int64Type>().value(row);
            let time = |column: usize| {
                let times = batch.columns[column].as_primitive::<TimestampMillisecondType>();
                times.value(row)
            };
            emitted.push((long(0), time(3), time(4), long(1), long(2)));
        }
    }
    emitted.sort_unstable();
    emitted
}

/// Sessions as Flink merges them, one row after the other.
#[derive(Default)]
struct Model {
    /// Open sessions.
    sessions: Vec<Session>,
    /// The watermark.
    watermark_ms: Option<i64>,
    /// Rows that came too late.
    late: u64,
}

impl Model {
    /// Adds a row.
    fn add(&mut self, gap_ms: i64, (key, time, value): Row) {
        let meets =
            |session: &Session| session.0 == key && session.1 <= time + gap_ms && session.2 >= time;
        let (met, others): (Vec<Session>, Vec<Session>) =
            self.sessions.iter().partition(|session| meets(session));
        let new = (key, time, time + gap_ms, 1, value);
        let merged = met.iter().fold(new, |a, b| {
            (key, a.1.min(b.1), a.2.max(b.2), a.3 + b.3, a.4 + b.4)
        });
        if self
            .watermark_ms
            .is_some_and(|watermark| merged.2 - 1 <= watermark)
        {
            self.late += 1;
        } else {
            self.sessions = others;
            self.sessions.push(merged);
        }
    }

    /// What is due at a watermark.
    fn advance(&mut self, watermark_ms: i64) -> Vec<Session> {
        self.watermark_ms = Some(watermark_ms);
        let sessions = std::mem::take(&mut self.sessions);
        let (mut due, open): (Vec<Session>, Vec<Session>) = sessions
            .into_iter()
            .partition(|session| session.2 - 1 <= watermark_ms);
        self.sessions = open;
        due.sort_unstable();
        due
    }
}

#[test]
fn a_row_between_two_sessions_makes_them_one() {
    let metrics = SubtaskMetrics::default();
    let mut operator = operator(10);
    feed(
        &mut operator,
        &metrics,
        &[(1, 0, 1), (1, 25, 2), (2, -7, 9), (1, 15, 4)],
    );
    assert_eq!(advance(&mut operator, &metrics, 8), [(2, -7, 3, 1, 9)]);
    // It touches both: ten milliseconds apart is one session.
    feed(&mut operator, &metrics, &[(1, 10, 8)]);
    assert_eq!(advance(&mut operator, &metrics, 33), []);
    assert_eq!(advance(&mut operator, &metrics, 34), [(1, 0, 35, 4, 15)]);
    assert_eq!(snapshot::measure(&mut operator).keys, 0);
}

proptest! {
    /// Rows and watermarks in any order, with a snapshot in between, in ticks of one and of several milliseconds.
    #[test]
    fn sessions_are_those_of_the_model(
        gap_ms in prop_oneof![1i64..12, 60i64..90],
        steps in prop::collection::vec(
            (prop::collection::vec((0i64..3, -40i64..200, 0i64..4), 0..10), 0i64..40, any::<bool>()),
            1..12,
        ),
    ) {
        let metrics = SubtaskMetrics::default();
        let (mut operator, mut model) = (operator(gap_ms), Model::default());
        let (mut watermark_ms, mut deltas) = (-45, Vec::new());
        for (rows, progress, is_restored) in steps {
            feed(&mut operator, &metrics, &rows);
            for row in &rows {
                model.add(gap_ms, *row);
            }
            prop_assert_eq!(metrics.late_records.get(), model.late);
            if is_restored {
                // Snapshots hold what has changed since the one before.
                deltas.extend(snapshot::take_now(&mut operator).unwrap());
                operator = self::operator(gap_ms);
                for delta in &deltas {
                    snapshot::load_all(&mut operator, delta).unwrap();
                }
                if let Some(watermark_ms) = model.watermark_ms {
                    prop_assert!(advance(&mut operator, &metrics, watermark_ms).is_empty());
                }
            }
            watermark_ms += progress;
            prop_assert_eq!(advance(&mut operator, &metrics, watermark_ms), model.advance(watermark_ms));
        }
        prop_assert_eq!(advance(&mut operator, &metrics, i64::MAX), model.advance(i64::MAX));
        prop_assert_eq!(snapshot::measure(&mut operator).keys, 0);
    }
}
