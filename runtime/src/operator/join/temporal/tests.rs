//! What temporal joins emit, compared call by call with a naive model of Flink's operator.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, TimestampMillisecondArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::batch::RowKind;
use crate::checkpoint::entry::KeyGroupDelta;
use crate::error::Span;
use crate::metering::SubtaskMetrics;
use crate::operator::snapshot;
use crate::sql::expr::Expr;
use crate::sql::functions::resolve;
use crate::testing::SimulatedClock;
use crate::types::TypeKind;
use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};

/// A row: key, time, value, kind.
type Row = (Option<i64>, i64, i64, RowKind);

/// A row that was emitted: kind, left value, right value.
type Joined = (u8, i64, Option<i64>);

/// What a join is to be.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// INNER or LEFT.
    kind: JoinKind,
    /// Whether the left value has to be less than that of the version.
    with_residual: bool,
    /// Time to live of state.
    ttl_ms: Option<i64>,
}

impl Shape {
    /// A join without further conditions.
    fn of(kind: JoinKind) -> Self {
        Self {
            kind,
            with_residual: false,
            ttl_ms: None,
        }
    }

    /// The operator over `(k BIGINT, t TIMESTAMP(3), v BIGINT)` on both sides.
    fn operator(&self) -> TemporalJoin {
        let long = TypeKind::BigInt.nullable();
        let types = [
            long.clone(),
            TypeKind::Timestamp(3).nullable(),
            long.clone(),
        ];
        let residual = self.with_residual.then(|| {
            let values = [2, 5].map(|index| Expr::column(index, long.clone()));
            resolve("<", values.into(), Span::default()).unwrap()
        });
        let join = crate::plan::TemporalJoin {
            kind: self.kind,
            left_keys: vec![0],
            right_keys: vec![0],
            left_time: 1,
            right_time: Some(1),
            version_key: vec![0],
            residual,
            ignores_update_before: false,
        };
        let spec = Spec {
            join: &join,
            types: [&types, &types],
            time_zone: "UTC",
        };
        let states = [0, 1].map(|_| StateConfig {
            ttl_ms: self.ttl_ms,
            ..StateConfig::in_memory("test", 128)
        });
        TemporalJoin::new(&spec, states).unwrap()
    }
}

/// A join under test.
#[derive(Debug)]
struct Harness {
    /// What it is.
    shape: Shape,
    /// The join.
    operator: TemporalJoin,
    /// The watermark.
    watermark_ms: Option<i64>,
    /// The machine's clock.
    clock: Arc<SimulatedClock>,
    /// What checkpoints have written so far.
    written: Vec<KeyGroupDelta>,
}

impl Harness {
    /// A join without rows.
    fn new(shape: Shape) -> Self {
        Self {
            shape,
            operator: shape.operator(),
            watermark_ms: None,
            clock: SimulatedClock::shared(),
            written: Vec::new(),
        }
    }

    /// Calls the operator; what it emits, in order.
    fn call(
        &mut self,
        work: impl FnOnce(&mut TemporalJoin, &OperatorContext<'_>, &mut Collector) -> Result<()>,
    ) -> Vec<Joined> {
        let metrics = SubtaskMetrics::default();
        let context = OperatorContext {
            clock: &*self.clock,
            watermark_ms: self.watermark_ms,
            metrics: &metrics,
        };
        let mut out = Collector::default();
        work(&mut self.operator, &context, &mut out).unwrap();
        let mut emitted = Vec::new();
        for batch in out.drain() {
            let [left, right] = [2, 5].map(|at| batch.columns[at].as_primitive::<Int64Type>());
            for row in 0..batch.rows {
                let version = right.is_valid(row).then(|| right.value(row));
                emitted.push((batch.kind(row) as u8, left.value(row), version));
            }
        }
        emitted
    }

    /// Feeds rows of an input.
    fn feed(&mut self, input: usize, rows: &[Row]) {
        let keys: Int64Array = rows.iter().map(|row| row.0).collect();
        let times = rows.iter().map(|row| row.1);
        let times = TimestampMillisecondArray::from_iter_values(times);
        let values = Int64Array::from_iter_values(rows.iter().map(|row| row.2));
        let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(times), Arc::new(values)];
        let kinds: Vec<RowKind> = rows.iter().map(|row| row.3).collect();
        let batch = Batch {
            kinds: kinds
                .iter()
                .any(|kind| *kind != Insert)
                .then(|| kinds.into()),
            ..Batch::inserts(columns, rows.len())
        };
        let emitted =
            self.call(|operator, context, out| operator.on_batch(input, &batch, context, out));
        assert_eq!(emitted, []);
    }

    /// Lets the watermark go on.
    fn advance(&mut self, watermark_ms: i64) -> Vec<Joined> {
        self.watermark_ms = Some(watermark_ms);
        self.call(|operator, context, out| {
            operator.on_watermark(context)?;
            while operator.emit_pending(context, out)? {}
            Ok(())
        })
    }

    /// Goes on from a snapshot.
    fn restore(&mut self) {
        let deltas = snapshot::take_now(&mut self.operator).unwrap();
        self.written.extend(deltas);
        self.operator = self.shape.operator();
        for delta in &self.written {
            snapshot::load_all(&mut self.operator, delta).unwrap();
        }
    }

    /// Keys, rows and timers held.
    fn keys(&mut self) -> usize {
        snapshot::measure(&mut self.operator).keys
    }
}

/// What the model knows of a key.
#[derive(Debug, Default)]
struct ModelKey {
    /// Left rows in the order in which they came.
    waiting: Vec<Row>,
    /// Versions by time: value, and whether it is one.
    versions: BTreeMap<i64, (i64, bool)>,
    /// When the key is looked at.
    timer_ms: Option<i64>,
}

/// Flink's operator as it is written.
#[derive(Debug)]
struct Model {
    /// What it is.
    shape: Shape,
    /// State by key.
    keys: BTreeMap<Option<i64>, ModelKey>,
}

impl Model {
    /// A row comes.
    fn feed(&mut self, input: usize, row: Row) {
        let key = self.keys.entry(row.0).or_default();
        if input == LEFT {
            key.waiting.push(row);
        } else {
            let is_version = !row.3.is_retraction();
            key.versions.insert(row.1, (row.2, is_version));
        }
        key.timer_ms = Some(key.timer_ms.map_or(row.1, |timer_ms| timer_ms.min(row.1)));
    }

    /// The watermark goes on; what each key emits.
    fn advance(&mut self, watermark_ms: i64) -> Vec<Vec<Joined>> {
        let mut emitted = Vec::new();
        for key in self.keys.values_mut() {
            if key.timer_ms.is_none_or(|timer_ms| timer_ms > watermark_ms) {
                continue;
            }
            let (due, later) = std::mem::take(&mut key.waiting)
                .into_iter()
                .partition::<Vec<Row>, _>(|row| row.1 <= watermark_ms);
            let mut of_key = Vec::new();
            for (_, time_ms, value, kind) in due {
                let latest = key.versions.range(..=time_ms).next_back();
                let version = latest.filter(|(_, version)| version.1);
                let version = version.map(|(_, version)| version.0);
                let version = version.filter(|right| !self.shape.with_residual || value < *right);
                if version.is_some() || self.shape.kind == JoinKind::Left {
                    of_key.push((kind as u8, value, version));
                }
            }
            emitted.push(of_key);
            let latest = key.versions.range(..=watermark_ms).next_back();
            if let Some((latest_ms, _)) = latest {
                key.versions = key.versions.split_off(&latest_ms.clone());
            }
            key.timer_ms = later.iter().map(|row| row.1).min();
            key.waiting = later;
        }
        emitted
    }
}

/// What happens to a join.
#[derive(Debug, Clone)]
enum Event {
    /// Rows of an input come: key, time, kind.
    Rows(usize, Vec<(Option<i64>, i64, RowKind)>),
    /// The watermark goes on by this much.
    Advance(i64),
    /// The job is restored.
    Restore,
}

/// Events around times that grow.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let key = prop_oneof![5 => (0i64..3).prop_map(Some), 1 => Just(None)];
    let kind = prop::sample::select(vec![Insert, Insert, UpdateBefore, UpdateAfter, Delete]);
    let rows = prop::collection::vec((key, -40i64..40, kind), 1..8);
    let event = prop_oneof![
        6 => (0usize..2, rows).prop_map(|(input, rows)| Event::Rows(input, rows)),
        3 => (0i64..30).prop_map(Event::Advance),
        1 => Just(Event::Restore),
    ];
    prop::collection::vec(event, 1..40)
}

proptest! {
    /// Every call emits what Flink's operator would, each key in Flink's order, whatever comes late or out of order, and across restores.
    #[test]
    fn every_call_emits_what_the_model_does(
        is_left in any::<bool>(),
        with_residual in any::<bool>(),
        events in events(),
    ) {
        let kind = if is_left { JoinKind::Left } else { JoinKind::Inner };
        let shape = Shape { with_residual, ..Shape::of(kind) };
        let mut join = Harness::new(shape);
        let mut model = Model { shape, keys: BTreeMap::new() };
        let (mut middle_ms, mut watermark_ms, mut value) = (1000, 970, 0);
        for event in events {
            match event {
                Event::Rows(input, rows) => {
                    middle_ms += 5;
                    let rows: Vec<Row> = rows.into_iter().map(|(key, offset_ms, kind)| {
                        value += 7;
                        (key, middle_ms + offset_ms, value % 11 * 1000 + value, kind)
                    }).collect();
                    for row in &rows {
                        model.feed(input, *row);
                    }
                    join.feed(input, &rows);
                }
                Event::Advance(ms) => {
                    watermark_ms += ms;
                    check(&join.advance(watermark_ms), model.advance(watermark_ms))?;
                }
                Event::Restore => join.restore(),
            }
        }
        check(&join.advance(i64::MAX), model.advance(i64::MAX))?;
        // Of each key with versions the last one is left.
        let keys = model.keys.values().filter(|key| !key.versions.is_empty()).count();
        prop_assert_eq!(join.keys(), keys);
    }
}

/// Compares what was emitted with what each key emits: all of that, each key's in its order.
fn check(emitted: &[Joined], expected: Vec<Vec<Joined>>) -> std::result::Result<(), TestCaseError> {
    let total: usize = expected.iter().map(Vec::len).sum();
    prop_assert_eq!(emitted.len(), total);
    for of_key in expected {
        // Values are told apart, so that the rows of a key are found among those of others.
        let found: Vec<Joined> = emitted
            .iter()
            .filter(|row| of_key.iter().any(|expected| expected.1 == row.1))
            .copied()
            .collect();
        prop_assert_eq!(found, of_key);
    }
    Ok(())
}

/// A row that was inserted.
fn row(key: i64, time_ms: i64, value: i64) -> Row {
    (Some(key), time_ms, value, Insert)
}

#[test]
fn a_row_meets_the_version_of_its_time_once_the_watermark_is_there() {
    let mut join = Harness::new(Shape::of(JoinKind::Left));
    join.feed(0, &[row(1, 15, 1), row(1, 9, 2), row(2, 15, 3)]);
    join.feed(1, &[row(1, 20, 200), row(1, 10, 100)]);
    assert_eq!(join.advance(14), [(0, 2, None)]);
    let mut emitted = join.advance(15);
    emitted.sort_unstable();
    assert_eq!(emitted, [(0, 1, Some(100)), (0, 3, None)]);
    // A deletion counts from its time on; of two versions of one time the last one does.
    join.feed(
        1,
        &[(Some(1), 30, 200, Delete), row(1, 25, 250), row(1, 25, 251)],
    );
    join.feed(0, &[row(1, 24, 4), row(1, 25, 5), row(1, 30, 6)]);
    let expected = [(0, 4, Some(200)), (0, 5, Some(251)), (0, 6, None)];
    assert_eq!(join.advance(i64::MAX), expected);
}

#[test]
fn changes_of_left_rows_leave_in_the_order_in_which_they_came() {
    let mut join = Harness::new(Shape::of(JoinKind::Inner));
    join.feed(1, &[row(1, 0, 100)]);
    let before = (Some(1), 20, 1, UpdateBefore);
    join.feed(0, &[row(1, 20, 1), before, (Some(1), 10, 2, UpdateAfter)]);
    let expected = [(0, 1, Some(100)), (1, 1, Some(100)), (2, 2, Some(100))];
    assert_eq!(join.advance(20), expected);
}

#[test]
fn a_key_that_nothing_comes_for_is_forgotten_after_the_ttl() {
    let mut join = Harness::new(Shape {
        ttl_ms: Some(1000),
        ..Shape::of(JoinKind::Left)
    });
    let wait = |join: &Harness, ms| join.clock.advance(std::time::Duration::from_millis(ms));
    join.feed(1, &[row(1, 0, 100), row(2, 0, 200)]);
    wait(&join, 600);
    // A left row keeps the version alive.
    join.feed(0, &[row(1, 5, 1)]);
    wait(&join, 600);
    join.feed(0, &[row(1, 5, 2), row(2, 5, 3)]);
    let mut emitted = join.advance(10);
    emitted.sort_unstable();
    assert_eq!(
        emitted,
        [(0, 1, Some(100)), (0, 2, Some(100)), (0, 3, None)]
    );
}

#[test]
fn a_time_that_is_null_is_refused() {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(TimestampMillisecondArray::from(vec![None::<i64>])),
        Arc::new(Int64Array::from(vec![1])),
    ];
    let metrics = SubtaskMetrics::default();
    let context = OperatorContext {
        clock: &*SimulatedClock::shared(),
        watermark_ms: None,
        metrics: &metrics,
    };
    let mut operator = Shape::of(JoinKind::Inner).operator();
    let batch = Batch::inserts(columns, 1);
    let error = operator.on_batch(0, &batch, &context, &mut Collector::default());
    assert!(error.unwrap_err().to_string().contains("holds a NULL"));
}
