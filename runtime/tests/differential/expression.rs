//! Scalar expressions: a tree, its value and its SQL.
//!
//! Place in the flow: parts of queries. Invariant: NULL is handled here as the standard says, by nobody else's code.

use std::cmp::Ordering;

use crate::value::{Row, Type, Value, timestamp};

/// A scalar expression over the columns of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    /// A column.
    Column(usize),
    /// A column in event time, as an ordinary point in time.
    Demoted(usize),
    /// A constant.
    Literal(Value, Type),
    /// A comparison.
    Compare(Comparison, Box<[Expression; 2]>),
    /// Whether one is not distinct from the other, or is.
    Same(bool, Box<[Expression; 2]>),
    /// A sum, difference or product.
    Arithmetic(Operation, Box<[Expression; 2]>),
    /// Two texts, one behind the other.
    Concat(Box<[Expression; 2]>),
    /// Both.
    And(Box<[Expression; 2]>),
    /// One of them.
    Or(Box<[Expression; 2]>),
    /// The contrary.
    Not(Box<Expression>),
    /// A test that is never NULL.
    Is(Test, Box<Expression>),
    /// One of some constants, or none of them.
    InList(bool, Box<Expression>, Vec<Expression>),
    /// The first of conditions that is true decides; the last is what else there is.
    Case(Vec<(Expression, Expression)>, Box<Expression>),
    /// The first that is not NULL.
    Coalesce(Vec<Expression>),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// `=`.
    Equal,
    /// `<>`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
}

/// An operation of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `+`.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
}

/// A test that is never NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    /// `IS NULL`.
    Null,
    /// `IS NOT NULL`.
    NotNull,
    /// `IS TRUE`.
    True,
    /// `IS NOT TRUE`.
    NotTrue,
    /// `IS FALSE`.
    False,
    /// `IS NOT FALSE`.
    NotFalse,
}

/// Largest number that may be computed, so that it fits into INT too. What is larger ends the query.
const INT_MAX: i64 = i32::MAX as i64;

/// A number was too large, or there were too many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// A number, unless it is too large.
pub(crate) fn bounded(value: Option<i64>) -> Result<Value, TooLarge> {
    let value = value.filter(|value| value.abs() <= INT_MAX);
    value.map(Value::Int).ok_or(TooLarge)
}

impl Comparison {
    /// How it is written.
    fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Compares; NULL with NULL.
    pub(crate) fn of(self, left: &Value, right: &Value) -> Option<bool> {
        if left.is_null() || right.is_null() {
            return None;
        }
        let order = left.cmp(right);
        Some(match self {
            Self::Equal => order == Ordering::Equal,
            Self::NotEqual => order != Ordering::Equal,
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Greater => order == Ordering::Greater,
            Self::GreaterOrEqual => order != Ordering::Less,
        })
    }
}

impl Operation {
    /// How it is written.
    fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
        }
    }

    /// Computes.
    fn of(self, left: &Value, right: &Value) -> Result<Value, TooLarge> {
        if left.is_null() || right.is_null() {
            return Ok(Value::Null);
        }
        let (left, right) = (left.int(), right.int());
        bounded(match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
        })
    }
}

impl Test {
    /// How it is written.
    fn words(self) -> &'static str {
        match self {
            Self::Null => "IS NULL",
            Self::NotNull => "IS NOT NULL",
            Self::True => "IS TRUE",
            Self::NotTrue => "IS NOT TRUE",
            Self::False => "IS FALSE",
            Self::NotFalse => "IS NOT FALSE",
        }
    }

    /// Tests.
    fn of(self, value: &Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::NotNull => !value.is_null(),
            Self::True => value.truth() == Some(true),
            Self::NotTrue => value.truth() != Some(true),
            Self::False => value.truth() == Some(false),
            Self::NotFalse => value.truth() != Some(false),
        }
    }
}

/// Both, of three truth values.
fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// Names of the columns of a row.
pub(crate) type Names<'a> = &'a dyn Fn(usize) -> String;

impl Expression {
    /// A pair of operands.
    #[expect(clippy::unnecessary_box_returns, reason = "as expressions hold it")]
    pub(crate) fn pair(left: Self, right: Self) -> Box<[Self; 2]> {
        Box::new([left, right])
    }

    /// Whether two columns are equal.
    pub(crate) fn equal(left: usize, right: usize) -> Self {
        Self::Compare(
            Comparison::Equal,
            Self::pair(Self::Column(left), Self::Column(right)),
        )
    }

    /// The value over a row.
    ///
    /// # Errors
    /// When a number is too large.
    pub(crate) fn value(&self, row: &Row) -> Result<Value, TooLarge> {
        let both = |pair: &[Self; 2]| Ok((pair[0].value(row)?, pair[1].value(row)?));
        Ok(match self {
            Self::Column(index) | Self::Demoted(index) => row[*index].clone(),
            Self::Literal(value, _) => value.clone(),
            Self::Compare(comparison, pair) => {
                let (left, right) = both(pair)?;
                comparison.of(&left, &right).into()
            }
            Self::Same(is_same, pair) => {
                let (left, right) = both(pair)?;
                Value::Bool((left == right) == *is_same)
            }
            Self::Arithmetic(operation, pair) => {
                let (left, right) = both(pair)?;
                operation.of(&left, &right)?
            }
            Self::Concat(pair) => match both(pair)? {
                (Value::Text(left), Value::Text(right)) => Value::text(&format!("{left}{right}")),
                _ => Value::Null,
            },
            Self::And(pair) => {
                let (left, right) = both(pair)?;
                and(left.truth(), right.truth()).into()
            }
            Self::Or(pair) => {
                let (left, right) = both(pair)?;
                let neither = and(left.truth().map(|b| !b), right.truth().map(|b| !b));
                neither.map(|b| !b).into()
            }
            Self::Not(inner) => inner.value(row)?.truth().map(|b| !b).into(),
            Self::Is(test, inner) => Value::Bool(test.of(&inner.value(row)?)),
            Self::InList(is_in, inner, list) => {
                let value = inner.value(row)?;
                let mut found = Some(false);
                for other in list {
                    let equal = Comparison::Equal.of(&value, &other.value(row)?);
                    found = and(found.map(|b| !b), equal.map(|b| !b)).map(|b| !b);
                }
                found.map(|found| found == *is_in).into()
            }
            Self::Case(branches, otherwise) => {
                for (condition, value) in branches {
                    if condition.holds(row)? {
                        return value.value(row);
                    }
                }
                otherwise.value(row)?
            }
            Self::Coalesce(choices) => {
                for choice in choices {
                    let value = choice.value(row)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Value::Null
            }
        })
    }

    /// Whether it is true over a row.
    ///
    /// # Errors
    /// When a number is too large.
    pub(crate) fn holds(&self, row: &Row) -> Result<bool, TooLarge> {
        Ok(self.value(row)?.truth() == Some(true))
    }

    /// The SQL, with parentheses around everything.
    pub(crate) fn sql(&self, names: Names<'_>) -> String {
        let infix = |pair: &[Self; 2], sign: &str| {
            format!("({} {sign} {})", pair[0].sql(names), pair[1].sql(names))
        };
        let list = |items: &[Self]| {
            let items: Vec<String> = items.iter().map(|item| item.sql(names)).collect();
            items.join(", ")
        };
        match self {
            Self::Column(index) => names(*index),
            Self::Demoted(index) => format!("CAST({} AS TIMESTAMP(3))", names(*index)),
            Self::Literal(value, ty) => literal(value, *ty),
            Self::Compare(comparison, pair) => infix(pair, comparison.sign()),
            Self::Same(true, pair) => infix(pair, "IS NOT DISTINCT FROM"),
            Self::Same(false, pair) => infix(pair, "IS DISTINCT FROM"),
            Self::Arithmetic(operation, pair) => infix(pair, operation.sign()),
            Self::Concat(pair) => infix(pair, "||"),
            Self::And(pair) => infix(pair, "AND"),
            Self::Or(pair) => infix(pair, "OR"),
            Self::Not(inner) => format!("(NOT {})", inner.sql(names)),
            Self::Is(test, inner) => format!("({} {})", inner.sql(names), test.words()),
            Self::InList(is_in, inner, items) => {
                let not = if *is_in { "" } else { "NOT " };
                format!("({} {not}IN ({}))", inner.sql(names), list(items))
            }
            Self::Case(branches, otherwise) => {
                let branches: Vec<String> = branches
                    .iter()
                    .map(|(condition, value)| {
                        format!("WHEN {} THEN {}", condition.sql(names), value.sql(names))
                    })
                    .collect();
                let otherwise = otherwise.sql(names);
                format!("(CASE {} ELSE {otherwise} END)", branches.join(" "))
            }
            Self::Coalesce(choices) => format!("COALESCE({})", list(choices)),
        }
    }

    /// Smaller expressions of the same type that may stand in its place.
    pub(crate) fn simpler(&self) -> Vec<Self> {
        let parts = |pair: &[Self; 2]| pair.to_vec();
        match self {
            Self::Column(_) | Self::Demoted(_) | Self::Literal(..) => Vec::new(),
            Self::Compare(..) | Self::Same(..) | Self::Is(..) | Self::InList(..) => {
                vec![Self::Literal(Value::Bool(true), Type::Bool)]
            }
            Self::Arithmetic(_, pair) | Self::Concat(pair) | Self::And(pair) | Self::Or(pair) => {
                parts(pair)
            }
            Self::Not(inner) => vec![(**inner).clone()],
            Self::Case(branches, otherwise) => {
                let values = branches.iter().map(|(_, value)| value.clone());
                values.chain([(**otherwise).clone()]).collect()
            }
            Self::Coalesce(choices) => choices.clone(),
        }
    }
}

/// A constant as SQL; texts and NULLs with their types.
fn literal(value: &Value, ty: Type) -> String {
    match (value, ty) {
        (Value::Null, Type::Bool) => "CAST(NULL AS BOOLEAN)".to_owned(),
        (Value::Null, Type::Int) => "CAST(NULL AS INT)".to_owned(),
        (Value::Null, Type::Text) => "CAST(NULL AS STRING)".to_owned(),
        (Value::Null, Type::Time) => "CAST(NULL AS TIMESTAMP(3))".to_owned(),
        (Value::Int(ms), Type::Time) => format!("TIMESTAMP '{}'", timestamp(*ms)),
        (Value::Text(text), _) => format!("CAST('{text}' AS STRING)"),
        (value, _) => value.to_string().to_uppercase(),
    }
}
