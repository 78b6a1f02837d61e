//! The operator with several partitions: small calls and restarts change nothing, and one call emits no more than it may.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, Int64Array, TimestampMillisecondArray};
use arrow::datatypes::Int64Type;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::checkpoint::entry::KeyGroupDelta;
use crate::error::Span;
use crate::metering::SubtaskMetrics;
use crate::operator::{EMIT_ROWS_MAX, snapshot};
use crate::plan::{AfterMatch, PATTERN_COLUMN, PATTERN_LAST, PatternVariable, SortField};
use crate::sql::expr::{Expr, Literal};
use crate::sql::functions::call;
use crate::state::StateTable as _;
use crate::testing::SimulatedClock;
use crate::types::TypeKind;

/// Key, time, value.
type Row = (i64, i64, i64);

/// The value of the last row of a variable but some.
fn last(variable: &str, rows: i64) -> Expr {
    let text = TypeKind::Char(1).not_null();
    let name = Expr::literal(Literal::String(variable.to_owned()), text);
    let ty = TypeKind::BigInt.nullable();
    let column = Expr::column(2, ty.clone());
    let column = call(
        PATTERN_COLUMN,
        vec![name, column],
        ty.clone(),
        Span::default(),
    );
    let rows = Expr::literal(Literal::Integer(rows), TypeKind::Int.not_null());
    call(PATTERN_LAST, vec![column, rows], ty, Span::default())
}

/// A variable of a pattern.
fn variable(name: &str, min: u32, max: Option<u32>, greedy: bool) -> PatternVariable {
    PatternVariable {
        name: name.to_owned(),
        min,
        max,
        greedy,
    }
}

/// `A B+ C` with values that rise in B and fall in C.
fn spec(skip: AfterMatch, within_ms: Option<i64>) -> Match {
    let compare = |operator: &str, left, right| {
        let ty = TypeKind::Boolean.nullable();
        call(operator, vec![left, right], ty, Span::default())
    };
    Match {
        partition: vec![0],
        order: vec![SortField {
            column: 1,
            descending: false,
            nulls_last: false,
        }],
        domain: TimeDomain::Event,
        measures: vec![last("A", 0), last("B", 0), last("B", 1), last("C", 0)],
        pattern: vec![
            variable("A", 1, Some(1), false),
            variable("B", 1, None, true),
            variable("C", 1, Some(1), false),
        ],
        defines: vec![
            ("B".to_owned(), compare(">=", last("B", 0), last("A", 0))),
            ("C".to_owned(), compare("<", last("C", 0), last("B", 0))),
        ],
        skip,
        within_ms,
    }
}

/// The operator.
fn operator(spec: &Match) -> MatchRecognize {
    let types = [
        TypeKind::BigInt.nullable(),
        TypeKind::Timestamp(3).not_null(),
        TypeKind::BigInt.nullable(),
    ];
    MatchRecognize::new(spec, &types, "UTC", StateConfig::in_memory("test", 128)).unwrap()
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

/// What is given to an operator, and what comes of it.
struct Run {
    /// The operator.
    operator: MatchRecognize,
    /// Key and measures of matches.
    emitted: Vec<Vec<Option<i64>>>,
    /// The most rows of one call.
    most: usize,
    /// The watermark.
    watermark_ms: Option<i64>,
}

impl Run {
    /// Nothing given yet.
    fn new(spec: &Match) -> Self {
        Self {
            operator: operator(spec),
            emitted: Vec::new(),
            most: 0,
            watermark_ms: None,
        }
    }

    /// Takes what was emitted.
    fn collect(&mut self, out: &mut Collector) {
        let mut rows = 0;
        for batch in out.drain() {
            rows += batch.rows;
            for row in 0..batch.rows {
                let value = |column: &ArrayRef| {
                    let column = column.as_primitive::<Int64Type>();
                    (!column.is_null(row)).then(|| column.value(row))
                };
                self.emitted.push(batch.columns.iter().map(value).collect());
            }
        }
        self.most = self.most.max(rows);
    }

    /// Gives rows, then a watermark if there is one.
    fn give(&mut self, rows: &[Row], watermark_ms: Option<i64>) {
        let (clock, metrics) = (SimulatedClock::default(), SubtaskMetrics::default());
        let mut out = Collector::default();
        let context = |watermark_ms| OperatorContext {
            clock: &clock,
            watermark_ms,
            metrics: &metrics,
        };
        let before = context(self.watermark_ms);
        self.operator
            .on_batch(0, &batch(rows), &before, &mut out)
            .unwrap();
        let Some(watermark_ms) = watermark_ms else {
            return;
        };
        self.watermark_ms = Some(watermark_ms);
        let after = context(self.watermark_ms);
        self.operator.on_watermark(&after).unwrap();
        while self.operator.emit_pending(&after, &mut out).unwrap() {
            self.collect(&mut out);
        }
        self.collect(&mut out);
    }

    /// Goes on with the state of the operator in another, whose earlier checkpoints are `written`.
    fn restart(&mut self, spec: &Match, written: &mut Vec<KeyGroupDelta>) {
        written.extend(snapshot::take_now(&mut self.operator).unwrap());
        self.operator = operator(spec);
        for delta in written.iter() {
            snapshot::load_all(&mut self.operator, delta).unwrap();
        }
    }

    /// What was emitted, in an order that does not depend on calls.
    fn sorted(mut self) -> Vec<Vec<Option<i64>>> {
        self.emitted.sort();
        self.emitted
    }
}

#[test]
fn small_calls_and_restarts_change_nothing() {
    let mut random = StdRng::seed_from_u64(11);
    let mut matches = 0;
    for round in 0..60 {
        let skip = if random.random() {
            AfterMatch::ToNextRow
        } else {
            AfterMatch::PastLastRow
        };
        let within_ms = random.random_bool(0.5).then_some(9);
        let spec = spec(skip, within_ms);
        let rows: Vec<Row> = (0..150)
            .map(|time| (random.random_range(0..4), time, random.random_range(0..6)))
            .collect();
        let mut whole = Run::new(&spec);
        whole.give(&rows, Some(i64::MAX));
        let mut parts = Run::new(&spec);
        let (mut written, mut start) = (Vec::new(), 0);
        while start < rows.len() {
            let end = rows.len().min(start + random.random_range(1..12));
            let last_ms = rows[end - 1].1;
            let watermark_ms = random.random_bool(0.8).then_some(last_ms);
            parts.give(&rows[start..end], watermark_ms);
            start = end;
            if random.random_bool(0.3) {
                parts.restart(&spec, &mut written);
            }
        }
        parts.give(&[], Some(i64::MAX));
        assert!(within_ms.is_none() || parts.operator.waiting.is_empty());
        let expected = whole.sorted();
        matches += expected.len();
        assert_eq!(parts.sorted(), expected, "round {round}");
    }
    assert!(matches > 500, "{matches} matches");
}

#[test]
fn partitions_without_a_match_are_forgotten() {
    let spec = spec(AfterMatch::PastLastRow, Some(100));
    let mut run = Run::new(&spec);
    let rows: Vec<Row> = (0..1_000).map(|key| (key, key, 1)).collect();
    run.give(&rows, Some(999));
    assert!(run.operator.matches.keys() > 90);
    run.give(&[], Some(2_000));
    assert_eq!(run.operator.matches.keys(), 0);
    assert!(run.operator.waiting.is_empty());
    assert_eq!(run.emitted.len(), 0);
}

#[test]
fn one_call_emits_about_as_many_rows_as_it_may() {
    // Each partition has a match in every three rows.
    let spec = spec(AfterMatch::PastLastRow, None);
    let mut run = Run::new(&spec);
    let (keys, rounds) = (5_000, 60);
    for round in 0..rounds {
        let rows: Vec<Row> = (0..keys)
            .map(|key| (key, round, if round % 3 == 2 { 0 } else { 5 }))
            .collect();
        run.give(&rows, None);
    }
    run.give(&[], Some(i64::MAX));
    assert_eq!(
        run.emitted.len(),
        usize::try_from(keys * rounds / 3).unwrap()
    );
    assert!(
        run.most < EMIT_ROWS_MAX + 5_000,
        "{} rows at once",
        run.most
    );
    assert_eq!(run.emitted[0][1..], [Some(5), Some(5), None, Some(0)]);
}
