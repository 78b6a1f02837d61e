//! Where the rows of random queries go.
//!
//! Place in the flow: around the queries of the generator. Invariant: what several queries of a statement set ask is alike in part, so
//! that they share operators.

use super::expression::Expressions;
use super::{Generator, without_event_time};
use crate::output::{Output, Target, own_key};
use crate::relation::Relation;

/// Columns of a primary key at most.
const KEY_COLUMNS_MAX: usize = 2;

impl Generator<'_> {
    /// A query with what becomes of its rows, and sometimes another one in its statement set.
    pub(super) fn outputs(&mut self, query: Relation) -> Vec<Output> {
        if !self.random.once_in(4) {
            return vec![Output {
                query,
                target: Target::Client,
            }];
        }
        let query = without_event_time(query);
        let other = self.random.once_in(3);
        let other = other.then(|| self.akin(query.clone()));
        let mut outputs = vec![self.output(query)];
        outputs.extend(other.map(|other| self.output(without_event_time(other))));
        outputs
    }

    /// A query written into a table.
    fn output(&mut self, query: Relation) -> Output {
        let count = query.columns().len();
        let key = match (self.random.below(4), own_key(&query)) {
            (0, _) => Vec::new(),
            (1 | 2, Some(key)) => key,
            _ => {
                let mut key = self.random.some_of(count, 1);
                key.truncate(KEY_COLUMNS_MAX);
                key
            }
        };
        Output {
            query,
            target: Target::Table(key),
        }
    }

    /// A query that has much in common with another one: more of it, or a part of it.
    fn akin(&mut self, query: Relation) -> Relation {
        match self.random.below(4) {
            0 => self.filtered(query),
            1 => self.narrowed(query),
            2 => Relation::Distinct(Box::new(self.narrowed(query))),
            _ => {
                let mut part = query;
                while let [first, ..] = part.inputs().as_slice()
                    && !self.random.once_in(3)
                {
                    part = (*first).clone();
                }
                let columns = part.columns();
                let expressions = Expressions { columns: &columns };
                if self.random.once_in(2) {
                    let condition = expressions.condition(self.random);
                    part = Relation::Filter(Box::new(part), condition);
                }
                part
            }
        }
    }
}
