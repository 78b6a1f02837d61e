//! Random joins with versions of tables.
//!
//! Place in the flow: the generator's part for `FOR SYSTEM_TIME AS OF`. Invariant: the versions of a key come in the order of their times,
//! or all of them count whatever their order.

use super::expression::{Expressions, PLAIN};
use super::{COLUMNS_MAX, Generator};
use crate::expression::{Comparison, Expression, Test};
use crate::relation::{Column, Deduplication, Relation, TemporalJoin};
use crate::tables::{HISTORY, TABLES, VERSIONED};
use crate::value::Type;

impl Generator<'_> {
    /// A join of a stream with the versions of a table.
    pub(super) fn temporal_join(&mut self, depth: usize) -> Relation {
        let mut left = self.stream(depth - 1);
        if left.columns().len() > COLUMNS_MAX / 2 {
            left = self.with_one_time(left);
        }
        if left.columns().iter().all(|column| column.ty != Type::Int) {
            left = self.stream_table();
        }
        let (right, key) = if self.random.once_in(2) {
            (Relation::Scan(VERSIONED), vec![0])
        } else {
            self.last_of_history(&left)
        };
        let [left_columns, right_columns] = [left.columns(), right.columns()];
        let keys = key.iter().filter_map(|column| {
            let expressions = Expressions {
                columns: &left_columns,
            };
            let of_left = expressions.column(self.random, right_columns[*column].ty);
            of_left.map(|of_left| (of_left, *column))
        });
        let keys = keys.collect();
        let right_time = match &right {
            Relation::Deduplicate(last) => last.time,
            _ => TABLES[VERSIONED].time.map_or(0, |(time, _)| time),
        };
        let residual = self.random.once_in(3);
        let residual = residual.then(|| self.residual(&left_columns, &right_columns));
        Relation::Temporal(Box::new(TemporalJoin {
            is_left: self.random.once_in(2),
            times: [left.event_time().unwrap_or_default(), right_time],
            inputs: [left, right],
            keys,
            residual,
        }))
    }

    /// The last row of each key of the history, and the columns of the key, which the left side has some of the types of.
    fn last_of_history(&mut self, left: &Relation) -> (Relation, Vec<usize>) {
        let mut input = Relation::Scan(HISTORY);
        if self.random.once_in(4) {
            input = self.filtered(input);
        }
        let mut key = 0;
        if self.random.once_in(3) {
            let columns = input.columns();
            let expressions = Expressions { columns: &columns };
            let ty = self.random.pick(&PLAIN);
            let other = expressions.any(self.random, ty);
            let time = Expression::Column(input.event_time().unwrap_or_default());
            let items = vec![time, other, Expression::Column(0)];
            input = Relation::Project(Box::new(input), items);
            key = 2;
        }
        let columns = input.columns();
        let time = input.event_time().unwrap_or_default();
        let mut keys = vec![key];
        if self.random.once_in(4) {
            let has_type = |ty| left.columns().iter().any(|column| column.ty == ty);
            let others = (0..columns.len()).filter(|column| *column != key && *column != time);
            let others: Vec<usize> = others
                .filter(|column| has_type(columns[*column].ty))
                .collect();
            if !others.is_empty() {
                keys.push(self.random.pick(&others));
            }
        }
        let last = Deduplication {
            input,
            keys: keys.clone(),
            time,
            keeps_last: true,
        };
        (Relation::Deduplicate(Box::new(last)), keys)
    }

    /// A condition beside equalities: what is equal decides which versions are looked at.
    fn residual(&mut self, left: &[Column], right: &[Column]) -> Expression {
        let pairs = super::equal_types(left, right).into_iter();
        let pairs: Vec<(usize, usize)> = pairs
            .filter(|(one, _)| matches!(left[*one].ty, Type::Int | Type::Text))
            .collect();
        if pairs.is_empty() || self.random.once_in(3) {
            let column = Expression::Column(left.len() + self.random.below(right.len()));
            return Expression::Is(Test::NotNull, Box::new(column));
        }
        let (one, other) = self.random.pick(&pairs);
        let comparisons = [
            Comparison::NotEqual,
            Comparison::LessOrEqual,
            Comparison::Greater,
        ];
        let pair = Expression::pair(
            Expression::Column(one),
            Expression::Column(left.len() + other),
        );
        Expression::Compare(self.random.pick(&comparisons), pair)
    }
}
