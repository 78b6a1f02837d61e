//! OVER in the order of a column: the folded changelog against a model that looks at all rows.

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::metering::SubtaskMetrics;
use crate::operator::snapshot;
use crate::plan::{AggregateFunction, Frame, FrameBound, SortField};
use crate::testing::SimulatedClock;
use crate::types::TypeKind;

/// Key, order, value.
type Row = [i64; 3];

/// SUM, RANK and MAX of a value by key.
fn operator(unit: FrameUnit) -> OverByValue {
    let long = || TypeKind::BigInt.nullable();
    let call = |function, argument| AggregateCall {
        function,
        argument,
        further: Vec::new(),
        filter: None,
        distinct: false,
        ty: long(),
    };
    let over = OverAggregate {
        partition: vec![0],
        order: vec![SortField {
            column: 1,
            descending: false,
            nulls_last: false,
        }],
        frame: Frame {
            unit,
            start: FrameBound::UnboundedPreceding,
            end: FrameBound::CurrentRow,
        },
        domain: None,
        aggregates: vec![
            call(AggregateFunction::Sum, Some(2)),
            call(AggregateFunction::Rank, None),
            call(AggregateFunction::Max, Some(2)),
        ],
    };
    let state = StateConfig::in_memory("test", 128);
    OverByValue::new(&over, &[long(), long(), long()], state).unwrap()
}

/// Feeds changes and folds what is emitted into `folded`.
fn feed(operator: &mut OverByValue, changes: &[(Row, RowKind)], folded: &mut Vec<Vec<i64>>) {
    let column = |place: usize| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            changes.iter().map(|(row, _)| row[place]),
        ))
    };
    let batch = Batch {
        columns: (0..3).map(column).collect(),
        rows: changes.len(),
        kinds: Some(changes.iter().map(|(_, kind)| *kind).collect()),
    };
    let (clock, metrics) = (SimulatedClock::default(), SubtaskMetrics::default());
    let context = OperatorContext {
        clock: &clock,
        watermark_ms: None,
        metrics: &metrics,
    };
    let mut out = Collector::default();
    operator.on_batch(0, &batch, &context, &mut out).unwrap();
    while operator.has_backlog() {
        operator.emit_pending(&context, &mut out).unwrap();
    }
    for batch in out.drain() {
        for row in 0..batch.rows {
            let value = |column: &ArrayRef| column.as_primitive::<Int64Type>().value(row);
            let values: Vec<i64> = batch.columns.iter().map(value).collect();
            if batch.kind(row).is_retraction() {
                let place = folded.iter().position(|other| *other == values);
                folded.remove(place.expect("only what was emitted is taken back"));
            } else {
                folded.push(values);
            }
        }
    }
}

/// Rows with their results, from all rows that are there, each key's in order.
fn model(rows: &[Row], unit: FrameUnit) -> Vec<Vec<i64>> {
    let mut found: Vec<Vec<i64>> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let key = rows
            .iter()
            .enumerate()
            .filter(|(_, other)| other[0] == row[0]);
        let frame = key.filter(|(place, other)| match unit {
            FrameUnit::Rows => (other[1], *place) <= (row[1], at),
            FrameUnit::Range => other[1] <= row[1],
        });
        let values: Vec<i64> = frame.map(|(_, other)| other[2]).collect();
        let mut all = row.to_vec();
        all.push(values.iter().sum());
        all.push(i64::try_from(values.len()).unwrap());
        all.push(values.iter().copied().max().unwrap());
        found.push(all);
    }
    found.sort_unstable();
    found
}

/// Feeds random changes, restores in between, and compares after every batch.
fn run(unit: FrameUnit, orders: i64, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut operator, mut rows, mut folded) = (operator(unit), Vec::<Row>::new(), Vec::new());
    let (mut next_order, mut written) = (0, Vec::new());
    for step in 0..60 {
        let mut changes = Vec::new();
        for _ in 0..random.random_range(1..8) {
            let gone = rows.choose(&mut random).copied();
            if let Some(row) = gone.filter(|_| random.random_bool(0.4)) {
                let place = rows.iter().position(|other| *other == row).unwrap();
                rows.remove(place);
                changes.push((row, RowKind::Delete));
            } else {
                // ROWS needs orders that differ, or which of two rows comes first depends on what was taken away.
                next_order = (next_order + 37) % orders;
                let key = random.random_range(0..3);
                let row = [key, next_order, random.random_range(0..9)];
                rows.push(row);
                changes.push((row, RowKind::Insert));
            }
        }
        // A row that is not there is passed over.
        changes.push(([1, 5, 1_000], RowKind::UpdateBefore));
        feed(&mut operator, &changes, &mut folded);
        folded.sort_unstable();
        assert_eq!(folded, model(&rows, unit), "step {step}");
        if step % 10 == 9 {
            written.extend(snapshot::take_now(&mut operator).unwrap());
            operator = self::operator(unit);
            for delta in &written {
                snapshot::load_all(&mut operator, delta).unwrap();
            }
        }
    }
}

#[test]
fn the_folded_changelog_is_that_of_the_rows_that_are_left() {
    for seed in 0..6 {
        run(FrameUnit::Range, 7, seed);
        run(FrameUnit::Rows, 1_009, seed);
    }
}

#[test]
fn a_row_changes_only_what_is_behind_it() {
    let mut operator = operator(FrameUnit::Range);
    let mut folded = Vec::new();
    let insert = |order| ([1, order, 1], RowKind::Insert);
    feed(
        &mut operator,
        &[insert(1), insert(2), insert(3)],
        &mut folded,
    );
    let before = folded.clone();
    feed(&mut operator, &[insert(3)], &mut folded);
    assert_eq!(
        folded[..2],
        before[..2],
        "earlier rows are not emitted again"
    );
    assert_eq!(folded.len(), 4);
}
