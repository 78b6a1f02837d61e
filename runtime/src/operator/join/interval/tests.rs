//! What interval joins emit, compared row by row with a naive model of Flink's operator.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, TimestampMillisecondArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::checkpoint::entry::{Entry, KeyGroupDelta};
use crate::metering::SubtaskMetrics;
use crate::operator::snapshot;
use crate::plan::JoinKind;
use crate::sql::functions::resolve;
use crate::state::{FjallSpace, SpillSpace};
use crate::testing::SimulatedClock;
use crate::time::Clock;
use crate::types::TypeKind;

/// A row: key, time, value.
type Row = (Option<i64>, i64, i64);

/// A row that was emitted: the values of both sides.
type Joined = (Option<i64>, Option<i64>);

/// Rows with how often each is there.
type Bag = BTreeMap<Joined, usize>;

/// What a join is to be.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Which rows are emitted.
    kind: JoinKind,
    /// Bounds of left time minus right time.
    bounds_ms: (i64, i64),
    /// Whether the left value has to be less than the right one.
    with_residual: bool,
    /// Whether NULL equals nothing.
    filters_nulls: bool,
    /// The clock.
    domain: TimeDomain,
}

impl Shape {
    /// An inner join in event time.
    fn inner(bounds_ms: (i64, i64)) -> Self {
        Self {
            kind: JoinKind::Inner,
            bounds_ms,
            with_residual: false,
            filters_nulls: true,
            domain: TimeDomain::Event,
        }
    }

    /// The same with another kind.
    fn of(kind: JoinKind, bounds_ms: (i64, i64)) -> Self {
        Self {
            kind,
            ..Self::inner(bounds_ms)
        }
    }

    /// The operator over `(k BIGINT, t TIMESTAMP(3), v BIGINT)` on both sides.
    fn operator(&self, spill: Option<&Arc<dyn SpillSpace>>) -> IntervalJoin {
        let long = TypeKind::BigInt.nullable();
        let types = [
            long.clone(),
            TypeKind::Timestamp(3).nullable(),
            long.clone(),
        ];
        let residual = self.with_residual.then(|| {
            let values = [2, 5].map(|index| crate::sql::expr::Expr::column(index, long.clone()));
            resolve("<", values.into(), crate::error::Span::default()).unwrap()
        });
        let join = crate::plan::IntervalJoin {
            kind: self.kind,
            left_keys: vec![0],
            right_keys: vec![0],
            filter_nulls: vec![self.filters_nulls],
            left_time: 1,
            right_time: 1,
            domain: self.domain,
            lower_ms: self.bounds_ms.0,
            upper_ms: self.bounds_ms.1,
            residual,
        };
        let spec = Spec {
            join: &join,
            types: [&types, &types],
            time_zone: "UTC",
        };
        let states = [0, 1].map(|input| StateConfig {
            spill: spill.cloned(),
            ..StateConfig::in_memory(&format!("test-{input}"), 128)
        });
        IntervalJoin::new(&spec, states).unwrap()
    }
}

/// A join under test.
#[derive(Debug)]
struct Harness {
    /// What it is.
    shape: Shape,
    /// The join.
    operator: IntervalJoin,
    /// The watermark.
    watermark_ms: Option<i64>,
    /// The machine's clock.
    clock: Arc<SimulatedClock>,
    /// What checkpoints have written so far.
    written: Vec<KeyGroupDelta>,
    /// Where state is spilled to, if it may.
    folder: Option<tempfile::TempDir>,
    /// Operators made so far.
    operators: usize,
}

impl Harness {
    /// A join without rows.
    fn new(shape: Shape) -> Self {
        Self {
            shape,
            folder: None,
            operators: 0,
            operator: shape.operator(None),
            watermark_ms: None,
            clock: SimulatedClock::shared(),
            written: Vec::new(),
        }
    }

    /// Calls the operator, and what is pending afterwards.
    fn call(
        &mut self,
        work: impl FnOnce(&mut IntervalJoin, &OperatorContext<'_>, &mut Collector) -> Result<()>,
    ) -> Bag {
        let metrics = SubtaskMetrics::default();
        let context = OperatorContext {
            clock: &*self.clock,
            watermark_ms: self.watermark_ms,
            metrics: &metrics,
        };
        let mut out = Collector::default();
        work(&mut self.operator, &context, &mut out).unwrap();
        let mut emitted = Bag::new();
        for batch in out.drain() {
            let [left, right] = [2, 5].map(|at| batch.columns[at].as_primitive::<Int64Type>());
            let value =
                |column: &Int64Array, row: usize| column.is_valid(row).then(|| column.value(row));
            for row in 0..batch.rows {
                *emitted
                    .entry((value(left, row), value(right, row)))
                    .or_default() += 1;
            }
        }
        emitted
    }

    /// Feeds rows of an input.
    fn feed(&mut self, input: usize, rows: &[Row]) -> Bag {
        let keys: Int64Array = rows.iter().map(|row| row.0).collect();
        let times = rows.iter().map(|row| row.1);
        let times = TimestampMillisecondArray::from_iter_values(times);
        let values = Int64Array::from_iter_values(rows.iter().map(|row| row.2));
        let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(times), Arc::new(values)];
        let batch = Batch::inserts(columns, rows.len());
        self.call(|operator, context, out| {
            operator.on_batch(input, &batch, context, out)?;
            while operator.has_backlog() {
                operator.emit_pending(context, out)?;
            }
            Ok(())
        })
    }

    /// Lets time go on, to the watermark that the operator has or to its clock.
    fn advance(&mut self, now_ms: i64) -> Bag {
        self.watermark_ms = Some(now_ms);
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
        self.operator = self.another();
        for delta in &self.written {
            snapshot::load_all(&mut self.operator, delta).unwrap();
        }
    }

    /// Another operator of this shape.
    fn another(&mut self) -> IntervalJoin {
        self.operators += 1;
        let folder = self.folder.as_ref();
        let folder = folder.map(|folder| folder.path().join(self.operators.to_string()));
        let spill: Option<Arc<dyn SpillSpace>> =
            folder.map(|folder| FjallSpace::new(folder, 1 << 20) as _);
        self.shape.operator(spill.as_ref())
    }

    /// Moves all that is held out of memory, if there is a place for it.
    fn spill(&mut self) {
        for _ in 0..4 {
            self.operator
                .visit_state(&mut |table| table.shrink(1).unwrap());
        }
    }

    /// Divides the key groups among two subtasks, and gives them to one again before those have looked at all keys.
    fn rescale(&mut self) {
        self.written
            .extend(snapshot::take_now(&mut self.operator).unwrap());
        let mut parts = [self.another(), self.another()];
        give(&mut self.operator, &mut parts);
        let mut whole = [self.another()];
        for part in &mut parts {
            give(part, &mut whole);
        }
        [self.operator] = whole;
    }

    /// Keys and timers held.
    fn keys(&mut self) -> usize {
        snapshot::measure(&mut self.operator).keys
    }
}

/// Gives the state of an operator to others, each of which owns some of the key groups.
fn give(from: &mut IntervalJoin, to: &mut [IntervalJoin]) {
    let parts = u32::try_from(to.len()).unwrap();
    let handed = snapshot::hand_over(from);
    for (part, to) in (0..).zip(to) {
        let owns = |key_group: u32| key_group % parts == part;
        for table in &handed {
            snapshot::take_over(to, table, &owns).unwrap();
        }
        // What is on disk is copied.
        let mut load = |key_group: u32, entry: &Entry<'_>| {
            if owns(key_group) {
                snapshot::load(to, key_group, entry)?;
            }
            Ok(())
        };
        snapshot::export(from, &mut load).unwrap();
        snapshot::take_over_some(to, 3).unwrap();
    }
}

/// A row of the model: time, value, and whether it has met one.
type Held = (i64, i64, bool);

/// What the model knows of a key: rows and timer of both sides.
#[derive(Debug, Default)]
struct ModelKey {
    /// Rows in the order in which they came.
    rows: [Vec<Held>; 2],
    /// When the rows of a side are looked through.
    timers: [Option<i64>; 2],
}

/// Flink's operator as it is written, with one clock for both sides.
#[derive(Debug)]
struct Model {
    /// What it is.
    shape: Shape,
    /// State by key.
    keys: BTreeMap<Option<i64>, ModelKey>,
    /// The watermark.
    now_ms: i64,
}

impl Model {
    /// How long a side keeps rows.
    fn keep_ms(&self, side: usize) -> i64 {
        [-self.shape.bounds_ms.0, self.shape.bounds_ms.1][side]
    }

    /// Whether a side's rows are emitted although they meet none.
    fn is_outer(&self, side: usize) -> bool {
        [self.shape.kind.nulls_right(), self.shape.kind.nulls_left()][side]
    }

    /// The last time of a side whose rows have expired.
    fn expired_ms(&self, side: usize) -> i64 {
        self.now_ms.saturating_sub(self.keep_ms(side) + 1)
    }

    /// Takes expired rows of a side away.
    fn remove(&mut self, key: Option<i64>, side: usize, emitted: &mut Bag) {
        let (expired_ms, is_outer) = (self.expired_ms(side), self.is_outer(side));
        let rows = &mut self.keys.get_mut(&key).unwrap().rows[side];
        rows.retain(|(time_ms, value, met)| {
            let is_gone = *time_ms <= expired_ms;
            if is_gone && is_outer && !met {
                *emitted.entry(pair(side, Some(*value), None)).or_default() += 1;
            }
            !is_gone
        });
    }

    /// A row comes.
    fn feed(&mut self, side: usize, (key, time_ms, value): Row, emitted: &mut Bag) {
        let other = 1 - side;
        let (lower_ms, upper_ms) = self.shape.bounds_ms;
        let range = match side {
            0 => time_ms - upper_ms..=time_ms - lower_ms,
            _ => time_ms + lower_ms..=time_ms + upper_ms,
        };
        let (with_residual, filters) = (self.shape.with_residual, self.shape.filters_nulls);
        let mut is_met = false;
        self.keys.entry(key).or_default();
        if *range.end() > self.expired_ms(other) && (key.is_some() || !filters) {
            for held in &mut self.keys.get_mut(&key).unwrap().rows[other] {
                let (left, right) = if side == 0 {
                    (value, held.1)
                } else {
                    (held.1, value)
                };
                if range.contains(&held.0) && (!with_residual || left < right) {
                    *emitted.entry((Some(left), Some(right))).or_default() += 1;
                    (is_met, held.2) = (true, true);
                }
            }
            self.remove(key, other, emitted);
        }
        let keep_ms = self.keep_ms(side);
        if self.now_ms < time_ms + keep_ms {
            let state = self.keys.get_mut(&key).unwrap();
            state.rows[side].push((time_ms, value, is_met));
            state.timers[side].get_or_insert(time_ms + keep_ms + 1);
        } else if self.is_outer(side) && !is_met {
            *emitted.entry(pair(side, Some(value), None)).or_default() += 1;
        }
    }

    /// Time goes on.
    fn advance(&mut self, now_ms: i64, emitted: &mut Bag) {
        self.now_ms = now_ms;
        let keys: Vec<_> = self.keys.keys().copied().collect();
        for key in keys {
            for side in 0..2 {
                if self.keys[&key].timers[side].is_none_or(|due_ms| due_ms > now_ms) {
                    continue;
                }
                self.remove(key, side, emitted);
                let keep_ms = self.keep_ms(side);
                let state = self.keys.get_mut(&key).unwrap();
                let earliest = state.rows[side].iter().map(|row| row.0).min();
                state.timers[side] = earliest.map(|time_ms| time_ms + keep_ms + 1);
            }
        }
    }
}

/// A row of one side beside one of the other.
fn pair(side: usize, own: Option<i64>, theirs: Option<i64>) -> Joined {
    if side == 0 {
        (own, theirs)
    } else {
        (theirs, own)
    }
}

/// What happens to a join.
#[derive(Debug, Clone)]
enum Event {
    /// Rows of an input come.
    Rows(usize, Vec<(Option<i64>, i64)>),
    /// The watermark goes on by this much.
    Advance(i64),
    /// The job is restored.
    Restore,
    /// It is divided among other subtasks.
    Rescale,
    /// Memory is short.
    Spill,
}

/// Events around times that grow with `step`.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let key = prop_oneof![4 => (0i64..3).prop_map(Some), 1 => Just(None)];
    let rows = (0usize..2, prop::collection::vec((key, -900i64..900), 1..8));
    let event = prop_oneof![
        6 => rows.prop_map(|(input, rows)| Event::Rows(input, rows)),
        3 => (0i64..700).prop_map(Event::Advance),
        1 => Just(Event::Restore),
        1 => Just(Event::Rescale),
        1 => Just(Event::Spill),
    ];
    prop::collection::vec(event, 1..40)
}

/// Any kind of join, with bounds on either side of zero or none between them.
fn shapes() -> impl Strategy<Value = Shape> {
    let kinds = [
        JoinKind::Inner,
        JoinKind::Left,
        JoinKind::Right,
        JoinKind::Full,
    ];
    let kind = prop::sample::select(kinds.to_vec());
    let bounds = (-800i64..800, 0i64..1200);
    (kind, bounds, any::<bool>(), any::<bool>()).prop_map(
        |(kind, (lower_ms, width_ms), with_residual, filters_nulls)| Shape {
            with_residual,
            filters_nulls,
            ..Shape::of(kind, (lower_ms, lower_ms + width_ms))
        },
    )
}

/// Lets things happen to a join and to the model.
fn check(mut join: Harness, events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut model = Model {
        shape: join.shape,
        keys: BTreeMap::new(),
        now_ms: i64::MIN,
    };
    let (mut middle_ms, mut value) = (10_000, 0);
    for event in events {
        let mut expected = Bag::new();
        let emitted = match event {
            Event::Rows(input, rows) => {
                middle_ms += 100;
                let mut row = |(key, offset_ms): (Option<i64>, i64)| {
                    value += 7;
                    (key, middle_ms + offset_ms, value % 11 * 1000 + value)
                };
                let rows: Vec<Row> = rows.into_iter().map(&mut row).collect();
                for row in &rows {
                    model.feed(input, *row, &mut expected);
                }
                join.feed(input, &rows)
            }
            Event::Advance(ms) => {
                let now_ms = model.now_ms.max(9_000) + ms;
                model.advance(now_ms, &mut expected);
                join.advance(now_ms)
            }
            Event::Restore => {
                join.restore();
                Bag::new()
            }
            Event::Rescale => {
                join.rescale();
                Bag::new()
            }
            Event::Spill => {
                join.spill();
                Bag::new()
            }
        };
        prop_assert_eq!(emitted, expected);
    }
    let mut expected = Bag::new();
    model.advance(i64::MAX, &mut expected);
    prop_assert_eq!(join.advance(i64::MAX), expected);
    prop_assert_eq!(join.keys(), 0);
    Ok(())
}

proptest! {
    /// Every call emits what Flink's operator would, whatever comes late or out of order, and across restores and new parallelisms.
    #[test]
    fn every_call_emits_what_the_model_does(shape in shapes(), events in events()) {
        check(Harness::new(shape), events)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The same when state is on disk.
    #[test]
    fn every_call_emits_what_the_model_does_from_disk(shape in shapes(), events in events()) {
        let mut join = Harness::new(shape);
        join.folder = Some(tempfile::tempdir().unwrap());
        join.operator = join.another();
        check(join, events)?;
    }
}

/// A bag of rows that are there once.
fn bag(rows: &[Joined]) -> Bag {
    rows.iter().map(|row| (*row, 1)).collect()
}

#[test]
fn rows_within_the_bounds_meet_whichever_comes_first() {
    let mut join = Harness::new(Shape::inner((-100, 50)));
    assert_eq!(
        join.feed(0, &[(Some(1), 1000, 1), (None, 1000, 2)]),
        bag(&[])
    );
    let right = [
        (Some(1), 950, 10),
        (Some(1), 949, 11),
        (Some(1), 1100, 12),
        (Some(1), 1101, 13),
        (Some(2), 1000, 14),
        (None, 1000, 15),
    ];
    let met = bag(&[(Some(1), Some(10)), (Some(1), Some(12))]);
    assert_eq!(join.feed(1, &right), met);
    assert_eq!(
        join.feed(0, &[(Some(1), 1001, 3)]),
        bag(&[(Some(3), Some(12)), (Some(3), Some(13))])
    );
}

#[test]
fn a_row_without_a_match_is_emitted_when_its_last_moment_has_passed() {
    let mut join = Harness::new(Shape::of(JoinKind::Left, (-100, 50)));
    assert_eq!(
        join.feed(0, &[(Some(1), 1000, 1), (Some(2), 1000, 2)]),
        bag(&[])
    );
    assert_eq!(
        join.feed(1, &[(Some(2), 1000, 10)]),
        bag(&[(Some(2), Some(10))])
    );
    assert_eq!(join.advance(1100), bag(&[]));
    join.restore();
    assert_eq!(join.advance(1101), bag(&[(Some(1), None)]));
    // Too late to be kept, so it is emitted at once; a late one that still meets a row is not.
    assert_eq!(join.feed(0, &[(Some(1), 1001, 3)]), bag(&[(Some(3), None)]));
    // The timers of a bucket go when it is over.
    assert_eq!(join.advance(1250), bag(&[]));
    assert_eq!(join.keys(), 0);
}

#[test]
fn bounds_that_nothing_is_within_keep_nothing() {
    let mut join = Harness::new(Shape::of(JoinKind::Left, (100, 50)));
    assert_eq!(join.feed(1, &[(Some(1), 1000, 10)]), bag(&[]));
    assert_eq!(join.feed(0, &[(Some(1), 1075, 1)]), bag(&[(Some(1), None)]));
    assert_eq!(join.keys(), 0);
    assert_eq!(join.operator.output_watermark_ms(7), 7);
}

#[test]
fn the_watermark_behind_is_held_back_by_the_longer_side() {
    assert_eq!(
        Shape::inner((-100, 50))
            .operator(None)
            .output_watermark_ms(1000),
        900
    );
    assert_eq!(
        Shape::inner((20, 50))
            .operator(None)
            .output_watermark_ms(1000),
        950
    );
    let end = Shape::inner((20, 50))
        .operator(None)
        .output_watermark_ms(i64::MAX);
    assert_eq!(end, i64::MAX);
}

#[test]
fn in_processing_time_rows_meet_by_when_they_come() {
    let mut join = Harness::new(Shape {
        domain: TimeDomain::Processing,
        ..Shape::of(JoinKind::Full, (-1000, 0))
    });
    let wait = |join: &Harness, ms| join.clock.advance(std::time::Duration::from_millis(ms));
    assert_eq!(join.operator.next_timer_ms(), None);
    join.feed(0, &[(Some(1), 0, 1), (Some(2), 0, 2)]);
    wait(&join, 1000);
    assert_eq!(
        join.feed(1, &[(Some(1), 0, 10)]),
        bag(&[(Some(1), Some(10))])
    );
    // Without a row to wait for, the row is emitted at once.
    assert_eq!(join.feed(1, &[(Some(3), 0, 11)]), bag(&[(None, Some(11))]));
    let due_ms = join.operator.next_timer_ms().unwrap();
    assert!(due_ms <= join.clock.now_ms() + 1);
    wait(&join, 1);
    assert_eq!(join.advance(0), bag(&[(Some(2), None)]));
    // The timers of a bucket go when it is over.
    wait(&join, 250);
    assert_eq!(join.advance(0), bag(&[]));
    assert_eq!(join.operator.next_timer_ms(), None);
}

#[test]
fn many_matches_are_emitted_in_steps() {
    let mut join = Harness::new(Shape::of(JoinKind::Full, (-10, 10)));
    let many = 300;
    let left: Vec<Row> = (0..many)
        .map(|value| (Some(1), 1000 + value % 3, value))
        .collect();
    let right: Vec<Row> = (0..many).map(|value| (Some(1), 1000, value)).collect();
    join.feed(0, &left);
    let emitted = join.feed(1, &right);
    assert_eq!(emitted.len(), usize::try_from(many * many).unwrap());
    assert!(emitted.values().all(|count| *count == 1));
    assert_eq!(join.advance(i64::MAX), bag(&[]));
}
