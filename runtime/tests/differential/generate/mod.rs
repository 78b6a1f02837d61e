//! Random queries.
//!
//! Enters: random choices. Leaves: a query that Flink takes, as far as this generator knows. Invariant: what needs event time gets it from
//! an input that only inserts; where Flink refuses event time, it is cast away; nothing of the result depends on the order of rows
//! that nothing orders.

mod expression;
mod group;
mod output;
mod stream;
mod temporal;
mod window;

use crate::expression::Expression;
use crate::output::Output;
use crate::random::Random;
use crate::relation::{
    Column, Frame, Join, JoinKind, Meeting, Order, Over, Relation, Semi, SemiForm, SetOperation,
    SetOperator, TopN, demoted,
};
use crate::tables::TABLES;
use crate::value::Type;
use expression::{Expressions, PLAIN};

/// How deep queries go at most.
const DEPTH_MAX: usize = 4;

/// Columns of a row at most, so that texts of queries stay short.
const COLUMNS_MAX: usize = 8;

/// Joins, the usual one more often.
const JOINS: [JoinKind; 5] = [
    JoinKind::Inner,
    JoinKind::Inner,
    JoinKind::Left,
    JoinKind::Right,
    JoinKind::Full,
];

/// Makes queries.
#[derive(Debug)]
pub(crate) struct Generator<'a> {
    /// Choices.
    pub(crate) random: &'a mut Random,
}

/// A random query, or several in a statement set, and what becomes of their rows.
pub(crate) fn outputs(random: &mut Random) -> Vec<Output> {
    let depth = 1 + random.below(DEPTH_MAX);
    let mut generator = Generator { random };
    let query = generator.relation(depth);
    // A result has one event time at most.
    let query = if query.event_time().is_none() {
        without_event_time(query)
    } else {
        query
    };
    generator.outputs(query)
}

/// A query without event time.
fn without_event_time(relation: Relation) -> Relation {
    let columns = relation.columns();
    if columns.iter().all(|column| !column.is_event_time) {
        return relation;
    }
    let columns = columns.iter().enumerate();
    let expressions = columns.map(|(index, column)| {
        if column.is_event_time {
            Expression::Demoted(index)
        } else {
            Expression::Column(index)
        }
    });
    let expressions = expressions.collect();
    Relation::Project(Box::new(relation), expressions)
}

impl Generator<'_> {
    /// A query that is at most so deep.
    fn relation(&mut self, depth: usize) -> Relation {
        if depth == 0 {
            return self.table();
        }
        match self.random.below(22) {
            0 => self.filter(depth),
            1 => self.projection(depth),
            2..=4 => self.join(depth),
            5 | 6 => self.semi(depth),
            7 | 8 => self.set_operation(depth),
            9 => Relation::Distinct(Box::new(self.narrow(depth - 1))),
            10..=12 => self.aggregation(depth),
            13 => self.top(depth),
            14 => self.unnest(depth),
            15 => self.over_values(depth),
            _ => self.stream_end(depth),
        }
    }

    /// A query that is less deep, sometimes much less.
    fn input(&mut self, depth: usize) -> Relation {
        let depth = if self.random.once_in(3) { 0 } else { depth - 1 };
        let input = self.relation(depth);
        if input.columns().len() > COLUMNS_MAX {
            return self.narrowed(input);
        }
        input
    }

    /// A table.
    fn table(&mut self) -> Relation {
        let table = Relation::Scan(self.random.below(TABLES.len()));
        if self.random.once_in(3) {
            return self.filtered(table);
        }
        table
    }

    /// Some rows of a query.
    fn filter(&mut self, depth: usize) -> Relation {
        let input = self.input(depth);
        self.filtered(input)
    }

    /// Some of the rows.
    fn filtered(&mut self, input: Relation) -> Relation {
        let columns = input.columns();
        let condition = Expressions { columns: &columns }.condition(self.random);
        Relation::Filter(Box::new(input), condition)
    }

    /// Columns made of those of a query.
    fn projection(&mut self, depth: usize) -> Relation {
        let input = self.input(depth);
        let columns = input.columns();
        let expressions = Expressions { columns: &columns };
        let count = 1 + self.random.below(4);
        let items = (0..count).map(|_| {
            if self.random.once_in(2) {
                return Expression::Column(self.random.below(columns.len()));
            }
            let ty = self.random.pick(&PLAIN);
            expressions.any(self.random, ty)
        });
        let items = items.collect();
        Relation::Project(Box::new(input), items)
    }

    /// A query of few columns.
    fn narrow(&mut self, depth: usize) -> Relation {
        let relation = self.relation(depth);
        self.narrowed(relation)
    }

    /// Few of the columns.
    fn narrowed(&mut self, relation: Relation) -> Relation {
        let columns = self.random.some_of(relation.columns().len(), 1);
        let columns = columns.into_iter().map(Expression::Column).collect();
        Relation::Project(Box::new(relation), columns)
    }

    /// A query of columns of these types, as far as it has some.
    fn of_types(&mut self, depth: usize, types: &[Type]) -> Relation {
        let input = without_event_time(self.input(depth));
        let columns = input.columns();
        let expressions = Expressions { columns: &columns };
        let items = types.iter().map(|ty| {
            let column = expressions.column(self.random, *ty);
            match column {
                Some(column) if !self.random.once_in(5) => Expression::Column(column),
                _ => expressions.any(self.random, *ty),
            }
        });
        let items = items.collect();
        Relation::Project(Box::new(input), items)
    }

    /// A regular join.
    fn join(&mut self, depth: usize) -> Relation {
        let inputs = [self.input(depth), self.input(depth)].map(without_event_time);
        let kind = self.random.pick(&JOINS);
        let [left, right] = [inputs[0].columns(), inputs[1].columns()];
        let condition = self.matching(&left, &right);
        let join = Relation::Join(Box::new(Join {
            kind,
            inputs,
            condition,
            meeting: Meeting::Any,
        }));
        if left.len() + right.len() > COLUMNS_MAX {
            return self.narrowed(join);
        }
        join
    }

    /// A condition over the columns of two inputs: equalities mostly, and sometimes something else.
    fn matching(&mut self, left: &[Column], right: &[Column]) -> Expression {
        let mut condition = None;
        let add = |condition: &mut Option<Expression>, part| {
            *condition = Some(match condition.take() {
                Some(before) => Expression::And(Expression::pair(before, part)),
                None => part,
            });
        };
        for _ in 0..=usize::from(self.random.once_in(3)) {
            let pairs = equal_types(left, right);
            if !pairs.is_empty() && !self.random.once_in(12) {
                let (one, other) = self.random.pick(&pairs);
                let pair = Expression::pair(
                    Expression::Column(one),
                    Expression::Column(left.len() + other),
                );
                let part = if self.random.once_in(8) {
                    Expression::Same(true, pair)
                } else {
                    Expression::equal(one, left.len() + other)
                };
                add(&mut condition, part);
            }
        }
        if condition.is_none() || self.random.once_in(4) {
            let columns = [left, right].concat();
            let columns = demoted(&columns);
            let rest = Expressions { columns: &columns }.condition(self.random);
            add(&mut condition, rest);
        }
        condition.unwrap_or_else(|| Expression::equal(0, 0))
    }

    /// Rows for which a subquery has rows, or none.
    fn semi(&mut self, depth: usize) -> Relation {
        let input = without_event_time(self.input(depth));
        let columns = input.columns();
        let is_negated = self.random.once_in(2);
        if self.random.once_in(2) {
            let ty = columns[self.random.below(columns.len())].ty;
            let subquery = self.of_types(depth, &[ty]);
            let expressions = Expressions { columns: &columns };
            let operand = match expressions.column(self.random, ty) {
                Some(column) if !self.random.once_in(4) => Expression::Column(column),
                _ => expressions.any(self.random, ty),
            };
            return Relation::Semi(Box::new(Semi {
                input,
                subquery,
                form: SemiForm::In(operand),
                is_negated,
                windows: None,
            }));
        }
        let subquery = without_event_time(self.input(depth));
        let condition = self.matching(&columns, &subquery.columns());
        Relation::Semi(Box::new(Semi {
            input,
            subquery,
            form: SemiForm::Exists(condition),
            is_negated,
            windows: None,
        }))
    }

    /// The rows of two queries.
    fn set_operation(&mut self, depth: usize) -> Relation {
        let count = 1 + self.random.below(3);
        let types: Vec<Type> = (0..count).map(|_| self.random.pick(&PLAIN)).collect();
        let inputs = [self.of_types(depth, &types), self.of_types(depth, &types)];
        let operators = [
            SetOperator::Union,
            SetOperator::Intersect,
            SetOperator::Except,
        ];
        let operation = SetOperation {
            operator: self.random.pick(&operators),
            is_all: self.random.once_in(2),
        };
        Relation::SetOperation(operation, Box::new(inputs))
    }

    /// Rows with values of an array.
    fn unnest(&mut self, depth: usize) -> Relation {
        let input = without_event_time(self.input(depth));
        let columns = input.columns();
        let expressions = Expressions { columns: &columns };
        let ty = self.random.pick(&PLAIN);
        let items = 1 + self.random.below(3);
        let items = (0..items).map(|_| expressions.any(self.random, ty));
        let items = items.collect();
        Relation::Unnest(Box::new(input), items)
    }

    /// Aggregates over the rows before each row and its peers, in the order of a column that is no event time.
    fn over_values(&mut self, depth: usize) -> Relation {
        let input = without_event_time(self.input(depth));
        let columns = input.columns();
        let mut partition = self.random.some_of(columns.len(), 0);
        partition.truncate(2);
        let order = self.random.below(columns.len());
        let aggregates = 1 + self.random.below(2);
        let aggregates = (0..aggregates).map(|_| self.plain_aggregate(&columns));
        let aggregates = aggregates.collect();
        Relation::Over(Box::new(Over {
            input,
            partition,
            // Flink's streams order OVER in ascending direction only.
            order: Order {
                is_descending: false,
                ..self.order(order)
            },
            frame: Frame::AllRange,
            aggregates,
        }))
    }

    /// The first rows of groups.
    fn top(&mut self, depth: usize) -> Relation {
        let input = without_event_time(self.input(depth));
        Relation::TopN(Box::new(self.top_of(input)))
    }

    /// The first rows of groups of these rows.
    fn top_of(&mut self, input: Relation) -> TopN {
        let columns = input.columns();
        let mut partition = self.random.some_of(columns.len(), 0);
        partition.truncate(2);
        let mut order: Vec<Order> = self
            .random
            .some_of(columns.len(), 1)
            .into_iter()
            .map(|column| self.order(column))
            .collect();
        // Only equal rows may be tied.
        for column in 0..columns.len() {
            if order.iter().all(|order| order.column != column) {
                order.push(self.order(column));
            }
        }
        let first = if self.random.once_in(8) { 2 } else { 1 };
        TopN {
            input,
            partition,
            order,
            range: (first, first + self.random.between(0, 3)),
            has_number: self.random.once_in(2),
        }
    }

    /// An order by a column.
    fn order(&mut self, column: usize) -> Order {
        Order {
            column,
            is_descending: self.random.once_in(2),
            nulls_first: self
                .random
                .pick(&[None, None, None, Some(true), Some(false)]),
        }
    }
}

/// Columns of one type in both inputs.
fn equal_types(left: &[Column], right: &[Column]) -> Vec<(usize, usize)> {
    let pairs = (0..left.len()).flat_map(|one| (0..right.len()).map(move |other| (one, other)));
    pairs
        .filter(|(one, other)| left[*one].ty == right[*other].ty)
        .collect()
}
