//! Random scalar expressions.
//!
//! Place in the flow: conditions, projections and arguments of random queries. Invariant: an expression has the type asked for, over the
//! columns given.

use crate::expression::{Comparison, Expression, Operation, Test};
use crate::random::Random;
use crate::relation::Column;
use crate::tables;
use crate::value::{Type, Value};

/// How deep expressions go.
const DEPTH_MAX: usize = 2;

/// Types whose values can be made up: all but times.
pub(super) const PLAIN: [Type; 3] = [Type::Bool, Type::Int, Type::Text];

/// Makes expressions over columns.
#[derive(Debug)]
pub(super) struct Expressions<'a> {
    /// The columns.
    pub(super) columns: &'a [Column],
}

impl Expressions<'_> {
    /// A condition.
    pub(super) fn condition(&self, random: &mut Random) -> Expression {
        self.boolean(random, DEPTH_MAX)
    }

    /// An expression.
    pub(super) fn any(&self, random: &mut Random, ty: Type) -> Expression {
        self.of(random, ty, DEPTH_MAX)
    }

    /// One of the columns of a type.
    pub(super) fn column(&self, random: &mut Random, ty: Type) -> Option<usize> {
        let places: Vec<usize> = (0..self.columns.len())
            .filter(|index| self.columns[*index].ty == ty)
            .collect();
        (!places.is_empty()).then(|| random.pick(&places))
    }

    /// A column, or a constant.
    fn leaf(&self, random: &mut Random, ty: Type) -> Expression {
        match self.column(random, ty) {
            Some(column) if !random.once_in(4) => Expression::Column(column),
            Some(column) if ty == Type::Time => Expression::Column(column),
            _ if ty == Type::Time || random.once_in(12) => Expression::Literal(Value::Null, ty),
            _ => Expression::Literal(tables::value(random, ty, ""), ty),
        }
    }

    /// An expression that is at most so deep.
    fn of(&self, random: &mut Random, ty: Type, depth: usize) -> Expression {
        if depth == 0 || random.once_in(3) {
            return self.leaf(random, ty);
        }
        match random.below(5) {
            0 => {
                let branches = 1 + random.below(2);
                let branches = (0..branches).map(|_| {
                    let condition = self.boolean(random, depth - 1);
                    (condition, self.of(random, ty, depth - 1))
                });
                let branches = branches.collect();
                Expression::Case(branches, Box::new(self.of(random, ty, depth - 1)))
            }
            1 => {
                let choices = 2 + random.below(2);
                let choices = (0..choices).map(|_| self.of(random, ty, depth - 1));
                Expression::Coalesce(choices.collect())
            }
            _ => match ty {
                Type::Bool => self.boolean(random, depth),
                Type::Int => self.number(random, depth),
                Type::Text => Expression::Concat(Expression::pair(
                    self.of(random, ty, depth - 1),
                    self.of(random, ty, depth - 1),
                )),
                Type::Time => self.leaf(random, ty),
            },
        }
    }

    /// A number. Factors are small constants, so that products of products stay small.
    fn number(&self, random: &mut Random, depth: usize) -> Expression {
        let left = self.of(random, Type::Int, depth - 1);
        let operation = random.pick(&[Operation::Add, Operation::Subtract, Operation::Multiply]);
        let right = if operation == Operation::Multiply {
            Expression::Literal(Value::Int(random.between(-2, 3)), Type::Int)
        } else {
            self.of(random, Type::Int, depth - 1)
        };
        Expression::Arithmetic(operation, Expression::pair(left, right))
    }

    /// A type that there is a column of, mostly.
    fn comparable(&self, random: &mut Random) -> Type {
        let column = self.columns[random.below(self.columns.len())];
        column.ty
    }

    /// A truth value.
    fn boolean(&self, random: &mut Random, depth: usize) -> Expression {
        if depth == 0 {
            return match self.column(random, Type::Bool) {
                Some(column) if random.once_in(3) => Expression::Column(column),
                _ => self.comparison(random, 0),
            };
        }
        match random.below(9) {
            0 | 1 => {
                let pair = self.conditions(random, depth - 1);
                Expression::And(pair)
            }
            2 => Expression::Or(self.conditions(random, depth - 1)),
            3 => Expression::Not(Box::new(self.boolean(random, depth - 1))),
            4 => {
                let ty = self.comparable(random);
                let test = random.pick(&[Test::Null, Test::NotNull]);
                Expression::Is(test, Box::new(self.of(random, ty, depth - 1)))
            }
            5 => {
                let tests = [Test::True, Test::NotTrue, Test::False, Test::NotFalse];
                let test = random.pick(&tests);
                Expression::Is(test, Box::new(self.boolean(random, depth - 1)))
            }
            6 => {
                let ty = self.comparable(random);
                if ty == Type::Time || ty == Type::Bool {
                    return self.comparison(random, depth - 1);
                }
                let inner = self.leaf(random, ty);
                let items = 1 + random.below(3);
                let items = (0..items)
                    .map(|_| Expression::Literal(tables::value(random, ty, ""), ty))
                    .collect();
                Expression::InList(random.once_in(2), Box::new(inner), items)
            }
            _ => self.comparison(random, depth - 1),
        }
    }

    /// Two conditions.
    #[expect(clippy::unnecessary_box_returns, reason = "as expressions hold it")]
    fn conditions(&self, random: &mut Random, depth: usize) -> Box<[Expression; 2]> {
        Expression::pair(self.boolean(random, depth), self.boolean(random, depth))
    }

    /// A comparison of any two values of a type.
    fn comparison(&self, random: &mut Random, depth: usize) -> Expression {
        let ty = self.comparable(random);
        let pair = Expression::pair(self.of(random, ty, depth), self.of(random, ty, depth));
        if random.once_in(5) {
            return Expression::Same(random.once_in(2), pair);
        }
        let comparisons = [
            Comparison::Equal,
            Comparison::NotEqual,
            Comparison::Less,
            Comparison::LessOrEqual,
            Comparison::Greater,
            Comparison::GreaterOrEqual,
        ];
        // Truth values have no order in Flink's streams that anybody would ask for.
        let count = if ty == Type::Bool {
            2
        } else {
            comparisons.len()
        };
        Expression::Compare(random.pick(&comparisons[..count]), pair)
    }
}
