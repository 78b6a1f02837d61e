//! Joins of windows against a naive model.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, TimestampMillisecondArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use proptest::prelude::*;

use super::*;
use crate::error::Span;
use crate::metering::SubtaskMetrics;
use crate::operator::snapshot;
use crate::plan::AttachedWindow;
use crate::sql::expr::{Expr, ExprKind};
use crate::time::SystemClock;
use crate::types::TypeKind;

/// Columns of both inputs: key, value, end of the window.
fn types() -> [FlinkType; 3] {
    [
        TypeKind::BigInt.nullable(),
        TypeKind::BigInt.nullable(),
        TypeKind::Timestamp(3).not_null(),
    ]
}

/// `left.value < right.value`.
fn residual() -> Expr {
    let value = |column| Expr::column(column, TypeKind::BigInt.nullable());
    Expr {
        kind: ExprKind::Call {
            function: "<".to_owned(),
            args: vec![value(1), value(4)],
        },
        ty: TypeKind::Boolean.nullable(),
        span: Span::default(),
    }
}

/// A join by the keys.
fn operator(kind: JoinKind, filters: bool, residual: Option<Expr>) -> WindowJoin {
    let window = AttachedWindow { start: 2, end: 2 };
    let spec = Spec {
        kind,
        left_window: window,
        right_window: window,
        left_keys: vec![0],
        right_keys: vec![0],
        filter_nulls: vec![filters],
        residual,
        time_zone: String::new(),
    };
    let state = StateConfig::in_memory("test", 128);
    let types = types();
    WindowJoin::new(&spec, [&types, &types], "UTC", [state.clone(), state]).unwrap()
}

/// A row: key, value, end.
type Row = (Option<i64>, i64, i64);

/// What is emitted of a side: key and value; absent for NULLs of an outer join.
type Half = Option<(Option<i64>, i64)>;

/// Feeds rows of an input.
fn feed(operator: &mut WindowJoin, metrics: &SubtaskMetrics, (input, rows): (usize, &[Row])) {
    let ends = rows.iter().map(|row| row.2);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(TimestampMillisecondArray::from_iter_values(ends)),
    ];
    let context = OperatorContext {
        clock: &SystemClock,
        watermark_ms: None,
        metrics,
    };
    let batch = Batch::inserts(columns, rows.len());
    operator
        .on_batch(input, &batch, &context, &mut Collector::default())
        .unwrap();
}

/// Advances the watermark and gives what is emitted, sorted.
fn advance(
    operator: &mut WindowJoin,
    metrics: &SubtaskMetrics,
    watermark_ms: i64,
) -> Vec<[Half; 2]> {
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
        let long = |column: usize, row: usize| {
            let values = batch.columns[column].as_primitive::<Int64Type>();
            values.is_valid(row).then(|| values.value(row))
        };
        let half = |first: usize, row: usize| -> Half {
            let ends = batch.columns.get(first + 2)?;
            let ends = ends.as_primitive::<TimestampMillisecondType>();
            ends.is_valid(row)
                .then(|| (long(first, row), long(first + 1, row).unwrap()))
        };
        emitted.extend((0..batch.rows).map(|row| [half(0, row), half(3, row)]));
    }
    emitted.sort_unstable();
    emitted
}

/// The join of the rows of a window.
fn join(
    kind: JoinKind,
    left: &[Row],
    right: &[Row],
    matches: &dyn Fn(&Row, &Row) -> bool,
) -> Vec<[Half; 2]> {
    let half = |row: &Row| Some((row.0, row.1));
    let mut result = Vec::new();
    for own in left {
        let met: Vec<&Row> = right.iter().filter(|row| matches(own, row)).collect();
        match kind {
            JoinKind::Semi if !met.is_empty() => result.push([half(own), None]),
            JoinKind::Anti | JoinKind::Left | JoinKind::Full if met.is_empty() => {
                result.push([half(own), None]);
            }
            JoinKind::Semi | JoinKind::Anti => {}
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
                result.extend(met.into_iter().map(|row| [half(own), half(row)]));
            }
        }
    }
    if kind.nulls_left() {
        let single = right
            .iter()
            .filter(|row| !left.iter().any(|own| matches(own, row)));
        result.extend(single.map(|row| [None, half(row)]));
    }
    result
}

#[test]
fn a_key_of_many_rows_is_joined_in_blocks() {
    let metrics = SubtaskMetrics::default();
    let mut operator = operator(JoinKind::Full, true, None);
    let rows: Vec<Row> = (0..6000).map(|value| (Some(1), value, 10)).collect();
    feed(&mut operator, &metrics, (0, &rows));
    feed(&mut operator, &metrics, (1, &rows[..100]));
    feed(&mut operator, &metrics, (1, &[(Some(2), 7, 10)]));
    let context = OperatorContext {
        clock: &SystemClock,
        watermark_ms: Some(9),
        metrics: &metrics,
    };
    operator.on_watermark(&context).unwrap();
    let (mut total, mut more) = (0, true);
    while more {
        let mut out = Collector::default();
        more = operator.emit_pending(&context, &mut out).unwrap();
        let rows: usize = out.drain().map(|batch| batch.rows).sum();
        assert!(rows <= EMIT_ROWS_MAX);
        total += rows;
    }
    assert_eq!(total, 600_001);
    assert_eq!(snapshot::measure(&mut operator).keys, 0);
}

proptest! {
    /// Joins of every kind, with rows of both sides in any order, late ones, NULLs and a snapshot in between.
    #[test]
    fn a_window_is_joined_once(
        kind in prop::sample::select(vec![JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full, JoinKind::Semi, JoinKind::Anti]),
        filters in any::<bool>(),
        has_residual in any::<bool>(),
        steps in prop::collection::vec(
            (0usize..2, prop::collection::vec((prop::option::of(0i64..3), 0i64..4, 1i64..5), 0..8), 0i64..8, any::<bool>()),
            1..12,
        ),
    ) {
        let metrics = SubtaskMetrics::default();
        let made = || operator(kind, filters, has_residual.then(residual));
        let (mut operator, mut deltas) = (made(), Vec::new());
        let mut open: [Vec<Row>; 2] = [Vec::new(), Vec::new()];
        let (mut watermark_ms, mut late) = (0, 0);
        let matches = |own: &Row, other: &Row| {
            own.0 == other.0 && (own.0.is_some() || !filters) && (!has_residual || own.1 < other.1)
        };
        let last = (0, Vec::new(), 1000, false);
        for (input, rows, progress, is_restored) in steps.into_iter().chain([last]) {
            let rows: Vec<Row> = rows.into_iter().map(|(key, value, n)| (key, value, n * 10)).collect();
            feed(&mut operator, &metrics, (input, &rows));
            let (in_time, too_late): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.2 - 1 > watermark_ms || watermark_ms == 0);
            open[input].extend(in_time);
            late += too_late.len() as u64;
            prop_assert_eq!(metrics.late_records.get(), late);
            if is_restored {
                deltas.extend(snapshot::take_now(&mut operator).unwrap());
                operator = made();
                for delta in &deltas {
                    snapshot::load_all(&mut operator, delta).unwrap();
                }
                prop_assert!(advance(&mut operator, &metrics, watermark_ms).is_empty());
            }
            watermark_ms += progress;
            let mut expected = Vec::new();
            for end in (10..50).step_by(10).filter(|end| end - 1 <= watermark_ms) {
                let of_window = |rows: &mut Vec<Row>| rows.extract_if(.., |row| row.2 == end).collect::<Vec<Row>>();
                let [left, right] = &mut open;
                expected.extend(join(kind, &of_window(left), &of_window(right), &matches));
            }
            expected.sort_unstable();
            prop_assert_eq!(advance(&mut operator, &metrics, watermark_ms), expected);
        }
        prop_assert_eq!(snapshot::measure(&mut operator).keys, 0);
    }
}
