//! Random aggregations.
//!
//! Place in the flow: the generator's part for groups. Invariant: numbers are summed, everything but truth values is ordered.

use super::Generator;
use super::expression::Expressions;
use crate::relation::{Aggregate, Aggregation, Column, Function, Groups, Relation};
use crate::value::Type;

/// Aggregates of a query at most.
const AGGREGATES_MAX: usize = 3;

impl Generator<'_> {
    /// Groups of a query.
    pub(super) fn aggregation(&mut self, depth: usize) -> Relation {
        let input = self.input(depth);
        let columns = input.columns();
        let keys = self.random.some_of(columns.len().min(6), 0);
        let groups = self.groups(keys, &columns);
        let mut aggregation = Aggregation {
            input,
            groups,
            having: None,
        };
        if self.random.once_in(4) {
            let output = Relation::Aggregate(Box::new(aggregation.clone())).columns();
            let condition = Expressions { columns: &output }.condition(self.random);
            aggregation.having = Some(condition);
        }
        Relation::Aggregate(Box::new(aggregation))
    }

    /// Groups by keys, sometimes by several sets of them.
    pub(super) fn groups(&mut self, keys: Vec<usize>, columns: &[Column]) -> Groups {
        let sets = if !keys.is_empty() && self.random.once_in(7) {
            self.sets(keys.len())
        } else {
            Vec::new()
        };
        let least = usize::from(keys.is_empty());
        let count = least + self.random.below(AGGREGATES_MAX + 1 - least);
        let mut aggregates: Vec<Aggregate> = (0..count).map(|_| self.aggregate(columns)).collect();
        if !sets.is_empty() && self.random.once_in(2) {
            aggregates.push(Aggregate {
                function: Function::Grouping,
                argument: self.random.below(keys.len()),
                is_distinct: false,
                filter: None,
            });
        }
        Groups {
            keys,
            sets,
            aggregates,
        }
    }

    /// Different sets of keys that together have all of them.
    fn sets(&mut self, keys: usize) -> Vec<Vec<usize>> {
        let mut sets = vec![(0..keys).collect::<Vec<usize>>()];
        for _ in 0..=self.random.below(2) {
            let mut set = self.random.some_of(keys, 0);
            set.sort_unstable();
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
        sets
    }

    /// An aggregate.
    fn aggregate(&mut self, columns: &[Column]) -> Aggregate {
        let functions = [
            Function::CountRows,
            Function::Count,
            Function::Sum,
            Function::Min,
            Function::Max,
            Function::Average,
        ];
        let mut function = self.random.pick(&functions);
        let argument = self.random.below(columns.len());
        let ty = columns[argument].ty;
        let is_fit = match function {
            Function::CountRows | Function::Count | Function::Grouping => true,
            Function::Sum | Function::Average => ty == Type::Int,
            Function::Min | Function::Max => ty != Type::Bool,
            Function::First | Function::Last | Function::List | Function::Lag(_) => false,
        };
        if !is_fit {
            function = Function::Count;
        }
        let filter = self
            .random
            .once_in(5)
            .then(|| Expressions { columns }.condition(self.random));
        Aggregate {
            function,
            argument,
            is_distinct: function != Function::CountRows && self.random.once_in(4),
            filter,
        }
    }

    /// An aggregate over the rows before each row, whose order decides what it is.
    pub(super) fn ordered_aggregate(&mut self, columns: &[Column]) -> Aggregate {
        let argument = self.random.below(columns.len());
        let functions = [Function::First, Function::Last, Function::List];
        let mut function = self.random.pick(&functions);
        if function == Function::List && columns[argument].ty != Type::Text {
            function = Function::Last;
        }
        Aggregate {
            function,
            argument,
            is_distinct: false,
            filter: None,
        }
    }

    /// An aggregate over the rows before each row.
    pub(super) fn plain_aggregate(&mut self, columns: &[Column]) -> Aggregate {
        Aggregate {
            is_distinct: false,
            filter: None,
            ..self.aggregate(columns)
        }
    }
}
