//! What a query is, computed row by row from the tree.
//!
//! Enters: a query and what each table holds in the end. Leaves: its rows in any order. Invariant: nothing of the runtime is used, and
//! nothing is clever: loops over vectors, so that what is wrong can be seen.

mod aggregate;
mod over;
mod rank;
mod window;

use std::cell::Cell;

use crate::expression::TooLarge;
use crate::relation::{Join, JoinKind, Relation, Semi, SemiForm, SetOperation, SetOperator};
use crate::value::{Row, Value};

/// Rows and pairs of rows that a query may look at. More only take time.
const WORK_MAX: usize = 100_000;

/// Computes queries.
#[derive(Debug)]
pub(crate) struct Evaluator<'a> {
    /// The rows of each table.
    tables: &'a [Vec<Row>],
    /// Rows that may still be looked at.
    work_left: Cell<usize>,
}

/// The rows of a query.
///
/// # Errors
/// When a number or the number of rows is too large.
pub(crate) fn rows(relation: &Relation, tables: &[Vec<Row>]) -> Result<Vec<Row>, TooLarge> {
    let evaluator = Evaluator {
        tables,
        work_left: Cell::new(WORK_MAX),
    };
    evaluator.rows(relation)
}

impl Evaluator<'_> {
    /// Takes note of rows that are looked at.
    fn spend(&self, rows: usize) -> Result<(), TooLarge> {
        let left = self.work_left.get().checked_sub(rows).ok_or(TooLarge)?;
        self.work_left.set(left);
        Ok(())
    }

    /// The rows of a query.
    fn rows(&self, relation: &Relation) -> Result<Vec<Row>, TooLarge> {
        let rows = match relation {
            Relation::Scan(table) => self.tables[*table].clone(),
            Relation::Filter(input, condition) => {
                let mut rows = Vec::new();
                for row in self.rows(input)? {
                    if condition.holds(&row)? {
                        rows.push(row);
                    }
                }
                rows
            }
            Relation::Project(input, expressions) => {
                let projected = self.rows(input)?.into_iter().map(|row| {
                    let values = expressions.iter().map(|expression| expression.value(&row));
                    values.collect::<Result<Row, TooLarge>>()
                });
                projected.collect::<Result<_, _>>()?
            }
            Relation::Join(join) => self.join(join)?,
            Relation::Semi(semi) => self.semi(semi)?,
            Relation::SetOperation(operation, inputs) => {
                combine(*operation, self.rows(&inputs[0])?, self.rows(&inputs[1])?)
            }
            Relation::Distinct(input) => distinct(self.rows(input)?),
            Relation::Aggregate(aggregation) => {
                let rows = self.rows(&aggregation.input)?;
                let mut groups = Vec::new();
                for (keys, aggregates) in aggregate::groups(&aggregation.groups, &rows)? {
                    let group = [keys, aggregates].concat();
                    let is_kept = match &aggregation.having {
                        Some(having) => having.holds(&group)?,
                        None => true,
                    };
                    if is_kept {
                        groups.push(group);
                    }
                }
                groups
            }
            Relation::TopN(top) => rank::top(top, self.rows(&top.input)?),
            Relation::Deduplicate(spec) => rank::deduplicate(spec, self.rows(&spec.input)?),
            Relation::Window(spec) => window::aggregate(spec, self.rows(&spec.input)?)?,
            Relation::Over(spec) => over::aggregate(spec, self.rows(&spec.input)?)?,
        };
        self.spend(rows.len())?;
        Ok(rows)
    }

    /// A join: every pair is looked at.
    fn join(&self, join: &Join) -> Result<Vec<Row>, TooLarge> {
        let [left, right] = [self.rows(&join.inputs[0])?, self.rows(&join.inputs[1])?];
        self.spend(left.len() * right.len())?;
        let mut right_matches = vec![false; right.len()];
        let mut rows = Vec::new();
        for one in &left {
            let mut matches = false;
            for (index, other) in right.iter().enumerate() {
                let is_near = join.interval.is_none_or(|interval| {
                    let [time, other_time] = [&one[interval.times[0]], &other[interval.times[1]]];
                    let distance_ms = other_time.int() - time.int();
                    !time.is_null()
                        && !other_time.is_null()
                        && (interval.low_s * 1000..=interval.high_s * 1000).contains(&distance_ms)
                });
                let pair = [one.clone(), other.clone()].concat();
                if is_near && join.condition.holds(&pair)? {
                    matches = true;
                    right_matches[index] = true;
                    rows.push(pair);
                }
            }
            if !matches && matches!(join.kind, JoinKind::Left | JoinKind::Full) {
                let count = join.inputs[1].columns().len();
                rows.push([one.clone(), vec![Value::Null; count]].concat());
            }
        }
        if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
            let count = join.inputs[0].columns().len();
            let unmatched = right.into_iter().zip(right_matches);
            let unmatched = unmatched.filter(|(_, matches)| !matches);
            rows.extend(unmatched.map(|(row, _)| [vec![Value::Null; count], row].concat()));
        }
        Ok(rows)
    }

    /// A semi-join or an anti-join: every pair is looked at.
    fn semi(&self, semi: &Semi) -> Result<Vec<Row>, TooLarge> {
        let [rows, others] = [self.rows(&semi.input)?, self.rows(&semi.subquery)?];
        self.spend(rows.len() * others.len())?;
        let mut kept = Vec::new();
        for row in rows {
            let found = match &semi.form {
                SemiForm::In(expression) => is_in(&expression.value(&row)?, &others),
                SemiForm::Exists(condition) => {
                    let mut found = false;
                    for other in &others {
                        found |= condition.holds(&[row.clone(), other.clone()].concat())?;
                    }
                    Some(found)
                }
            };
            if found == Some(!semi.is_negated) {
                kept.push(row);
            }
        }
        Ok(kept)
    }
}

/// Whether a value is among others; NULL when it may be.
fn is_in(value: &Value, others: &[Row]) -> Option<bool> {
    let equals: Vec<Option<bool>> = others
        .iter()
        .map(|other| crate::expression::Comparison::Equal.of(value, &other[0]))
        .collect();
    if equals.contains(&Some(true)) {
        Some(true)
    } else if equals.contains(&None) {
        None
    } else {
        Some(false)
    }
}

/// The rows of two inputs.
fn combine(operation: SetOperation, left: Vec<Row>, right: Vec<Row>) -> Vec<Row> {
    let rows = match operation.operator {
        SetOperator::Union => [left, right].concat(),
        SetOperator::Intersect | SetOperator::Except => {
            let is_wanted = operation.operator == SetOperator::Intersect;
            let (left, mut right) = if operation.is_all {
                (left, right)
            } else {
                (distinct(left), distinct(right))
            };
            let mut rows = Vec::new();
            for row in left {
                let place = right.iter().position(|other| *other == row);
                if let Some(place) = place {
                    right.swap_remove(place);
                }
                if place.is_some() == is_wanted {
                    rows.push(row);
                }
            }
            rows
        }
    };
    if operation.is_all {
        rows
    } else {
        distinct(rows)
    }
}

/// Different rows.
fn distinct(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows.dedup();
    rows
}
