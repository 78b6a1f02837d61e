//! Random queries over event time.
//!
//! Place in the flow: the generator's part for what watermarks drive. Invariant: every query of [`Generator::stream`] only inserts and
//! has exactly one column in event time.

use super::expression::{Expressions, PLAIN};
use super::{COLUMNS_MAX, Generator, JOINS};
use crate::expression::{Comparison, Expression};
use crate::relation::{
    Aggregate, Column, Deduplication, Frame, Function, Interval, Join, JoinKind, Meeting, Order,
    Over, Relation, SetOperation, SetOperator,
};
use crate::tables::TABLES;
use crate::value::{Type, Value};

/// Sizes of windows and frames in seconds, some of which do not divide a minute.
pub(super) const SIZES_S: [i64; 6] = [1, 2, 5, 7, 10, 30];

impl Generator<'_> {
    /// A query over an input with event time.
    pub(super) fn stream_end(&mut self, depth: usize) -> Relation {
        match self.random.below(14) {
            0..=2 => self.window(depth, false),
            3..=5 => self.window_end(depth),
            6 | 7 => self.over(depth),
            8 => self.deduplication(depth),
            9 | 10 => self.temporal_join(depth),
            _ => self.interval_join(depth, &JOINS),
        }
    }

    /// A query with one event time.
    pub(super) fn stream(&mut self, depth: usize) -> Relation {
        if depth == 0 {
            return self.stream_table();
        }
        match self.random.below(11) {
            0 => {
                let input = self.stream(depth - 1);
                self.filtered(input)
            }
            1 | 2 => self.stream_projection(depth),
            3 => self.stream_union(depth),
            4 => self.over(depth),
            5 => self.window(depth, true),
            6 => {
                // Rows that an outer join keeps come when time is over, and may be late for what follows, as in Flink.
                let join = self.interval_join(depth, &[JoinKind::Inner]);
                self.with_one_time(join)
            }
            7 => self.window_function(depth),
            8 => {
                let join = self.temporal_join(depth);
                self.with_one_time(join)
            }
            _ => self.stream_table(),
        }
    }

    /// A table with event time.
    pub(super) fn stream_table(&mut self) -> Relation {
        let tables: Vec<usize> = (0..TABLES.len())
            .filter(|table| TABLES[*table].time.is_some() && TABLES[*table].is_append())
            .collect();
        let table = Relation::Scan(self.random.pick(&tables));
        if self.random.once_in(4) {
            return self.filtered(table);
        }
        table
    }

    /// Other columns, and the event time.
    fn stream_projection(&mut self, depth: usize) -> Relation {
        let input = self.stream(depth - 1);
        let time = input.event_time().unwrap_or_default();
        let columns = input.columns();
        let expressions = Expressions { columns: &columns };
        let count = 1 + self.random.below(4);
        let mut items: Vec<Expression> = (0..count)
            .map(|_| {
                let ty = self.random.pick(&PLAIN);
                expressions.any(self.random, ty)
            })
            .collect();
        let place = self.random.below(items.len() + 1);
        items.insert(place, Expression::Column(time));
        Relation::Project(Box::new(input), items)
    }

    /// The rows of two queries, with their event times in one column.
    fn stream_union(&mut self, depth: usize) -> Relation {
        let count = 1 + self.random.below(3);
        let types: Vec<Type> = (0..count).map(|_| self.random.pick(&PLAIN)).collect();
        let inputs = [(); 2].map(|()| {
            let input = self.stream(depth - 1);
            let time = input.event_time().unwrap_or_default();
            let columns = input.columns();
            let expressions = Expressions { columns: &columns };
            let items = types.iter().map(|ty| expressions.any(self.random, *ty));
            let items = [Expression::Column(time)].into_iter().chain(items);
            let items = items.collect();
            Relation::Project(Box::new(input), items)
        });
        let operation = SetOperation {
            operator: SetOperator::Union,
            is_all: true,
        };
        Relation::SetOperation(operation, Box::new(inputs))
    }

    /// One of the event times, and few other columns.
    pub(super) fn with_one_time(&mut self, relation: Relation) -> Relation {
        let columns = relation.columns();
        let times: Vec<usize> = (0..columns.len())
            .filter(|index| columns[*index].is_event_time)
            .collect();
        let time = self.random.pick(&times);
        let others = self.random.some_of(columns.len(), 1).into_iter();
        let others = others.filter(|index| !columns[*index].is_event_time);
        let items = others.chain([time]).map(Expression::Column).collect();
        Relation::Project(Box::new(relation), items)
    }

    /// Aggregates over the rows before each row.
    fn over(&mut self, depth: usize) -> Relation {
        let mut input = self.stream(depth - 1);
        if input.columns().len() > COLUMNS_MAX {
            input = self.with_one_time(input);
        }
        let time = input.event_time().unwrap_or_default();
        let columns = input.columns();
        let mut partition = self.random.some_of(columns.len(), 0);
        partition.retain(|column| *column != time);
        partition.truncate(2);
        let size = self.random.pick(&SIZES_S);
        let frames = [
            Frame::AllRange,
            Frame::Range(size),
            Frame::AllRows,
            Frame::Rows(self.random.below(4)),
            Frame::Past,
        ];
        let is_unique = input.has_unique_times();
        let frame = self.random.pick(&frames[..if is_unique { 5 } else { 2 }]);
        let aggregates = 1 + self.random.below(2);
        let aggregates = (0..aggregates).map(|_| match frame {
            Frame::Past => Aggregate {
                function: Function::Lag(1 + self.random.below(3)),
                argument: self.random.below(columns.len()),
                is_distinct: false,
                filter: None,
            },
            _ if is_unique && self.random.once_in(4) => self.ordered_aggregate(&columns),
            _ => self.plain_aggregate(&columns),
        });
        let aggregates = aggregates.collect();
        Relation::Over(Box::new(Over {
            input,
            partition,
            order: Order {
                column: time,
                is_descending: false,
                nulls_first: None,
            },
            frame,
            aggregates,
        }))
    }

    /// The first or last row of groups.
    fn deduplication(&mut self, depth: usize) -> Relation {
        let mut input = self.stream(depth - 1);
        if !input.has_unique_times() {
            input = self.stream_table();
        }
        let time = input.event_time().unwrap_or_default();
        let mut keys = self.random.some_of(input.columns().len(), 0);
        keys.retain(|column| *column != time);
        Relation::Deduplicate(Box::new(Deduplication {
            input,
            keys,
            time,
            keeps_last: self.random.once_in(2),
        }))
    }

    /// A join of rows whose times are near each other.
    fn interval_join(&mut self, depth: usize, kinds: &[JoinKind]) -> Relation {
        let mut inputs = [self.stream(depth - 1), self.stream(depth - 1)];
        for input in &mut inputs {
            if input.columns().len() > COLUMNS_MAX / 2 {
                *input = self.with_one_time(input.clone());
            }
        }
        let times = [0, 1].map(|side| inputs[side].event_time().unwrap_or_default());
        let [left, right] = [inputs[0].columns(), inputs[1].columns()];
        let low_s = self.random.between(-8, 4);
        let interval = Interval {
            times,
            low_s,
            high_s: low_s + self.random.between(0, 10),
        };
        let condition = self.key_matching(&left, &right, times);
        Relation::Join(Box::new(Join {
            kind: self.random.pick(kinds),
            inputs,
            condition,
            meeting: Meeting::Interval(interval),
        }))
    }

    /// An equality of columns that are no event time, and sometimes something else; with no columns to compare anything is equal.
    pub(super) fn key_matching(
        &mut self,
        left: &[Column],
        right: &[Column],
        times: [usize; 2],
    ) -> Expression {
        let pairs = super::equal_types(left, right).into_iter();
        let pairs: Vec<(usize, usize)> = pairs
            .filter(|(one, other)| *one != times[0] && *other != times[1])
            .collect();
        if pairs.is_empty() {
            return Expression::Literal(Value::Bool(true), Type::Bool);
        }
        let (one, other) = self.random.pick(&pairs);
        let equal = Expression::equal(one, left.len() + other);
        if !self.random.once_in(4) {
            return equal;
        }
        let (one, other) = self.random.pick(&pairs);
        let comparison = if left[one].ty == Type::Bool {
            Comparison::NotEqual
        } else {
            Comparison::LessOrEqual
        };
        let pair = Expression::pair(
            Expression::Column(one),
            Expression::Column(left.len() + other),
        );
        let rest = Expression::Compare(comparison, pair);
        Expression::And(Expression::pair(equal, rest))
    }
}
