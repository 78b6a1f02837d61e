//! What a query is, computed row by row from the tree.
//!
//! Enters: a query and what each table holds in the end. Leaves: its rows in any order. Invariant: nothing of the runtime is used, and
//! nothing is clever: loops over vectors, so that what is wrong can be seen.

mod aggregate;
mod over;
mod rank;
mod window;

use std::cell::Cell;

use crate::expression::Undecided;
use crate::relation::{
    Join, JoinKind, Meeting, Relation, Semi, SemiForm, SetOperation, SetOperator, TemporalJoin,
};
use crate::tables::Content;
use crate::value::{Row, Value};

/// Rows and pairs of rows that a query may look at. More only take time.
const WORK_MAX: usize = 100_000;

/// Computes queries.
#[derive(Debug)]
pub(crate) struct Evaluator<'a> {
    /// What each table holds in the end.
    tables: &'a [Vec<Row>],
    /// All rows that each table has ever held.
    histories: &'a [Vec<Row>],
    /// Rows that may still be looked at.
    work_left: Cell<usize>,
}

/// The rows of a query.
///
/// # Errors
/// When a number or the number of rows is too large.
pub(crate) fn rows(relation: &Relation, contents: &[Content]) -> Result<Vec<Row>, Undecided> {
    let tables: Vec<Vec<Row>> = contents.iter().map(Content::rows).collect();
    let histories: Vec<Vec<Row>> = contents.iter().map(Content::history).collect();
    let evaluator = Evaluator {
        tables: &tables,
        histories: &histories,
        work_left: Cell::new(WORK_MAX),
    };
    evaluator.rows(relation)
}

impl Evaluator<'_> {
    /// Takes note of rows that are looked at.
    fn spend(&self, rows: usize) -> Result<(), Undecided> {
        let left = self.work_left.get().checked_sub(rows).ok_or(Undecided)?;
        self.work_left.set(left);
        Ok(())
    }

    /// The rows of a query.
    fn rows(&self, relation: &Relation) -> Result<Vec<Row>, Undecided> {
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
                    values.collect::<Result<Row, Undecided>>()
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
            Relation::Windowed(spec) => window::rows(spec, self.rows(&spec.input)?)?,
            Relation::Temporal(join) => self.temporal(join)?,
            Relation::Unnest(input, items) => {
                let mut rows = Vec::new();
                for row in self.rows(input)? {
                    for item in items {
                        rows.push([row.clone(), vec![item.value(&row)?]].concat());
                    }
                }
                rows
            }
            Relation::Over(spec) => over::aggregate(spec, self.rows(&spec.input)?)?,
        };
        self.spend(rows.len())?;
        Ok(rows)
    }

    /// A join: every pair is looked at.
    fn join(&self, join: &Join) -> Result<Vec<Row>, Undecided> {
        let [left, right] = [self.rows(&join.inputs[0])?, self.rows(&join.inputs[1])?];
        self.spend(left.len() * right.len())?;
        let mut right_matches = vec![false; right.len()];
        let mut rows = Vec::new();
        for one in &left {
            let mut matches = false;
            for (index, other) in right.iter().enumerate() {
                let pair = [one.clone(), other.clone()].concat();
                if may_meet(join.meeting, one, other) && join.condition.holds(&pair)? {
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

    /// A join with versions: for each row the latest one that is not after it, of all that there ever were.
    fn temporal(&self, join: &TemporalJoin) -> Result<Vec<Row>, Undecided> {
        let rows = self.rows(&join.inputs[0])?;
        let versions = match &join.inputs[1] {
            Relation::Scan(table) => self.histories[*table].clone(),
            Relation::Deduplicate(last) => self.rows(&last.input)?,
            _ => return Err(Undecided),
        };
        self.spend(rows.len() * versions.len())?;
        let columns = join.inputs[1].columns().len();
        let mut joined = Vec::new();
        for row in rows {
            let fits = |version: &&Row| {
                let mut keys = join.keys.iter();
                // As in Flink, NULL finds the versions of NULL: `golden/join_temporal/null_keys`.
                version[join.times[1]].int() <= row[join.times[0]].int()
                    && keys.all(|(one, other)| row[*one] == version[*other])
            };
            let version = versions.iter().filter(fits);
            let version = version.max_by_key(|version| version[join.times[1]].int());
            let mut pair = version.map(|version| [row.clone(), version.clone()].concat());
            if let (Some(found), Some(residual)) = (&pair, &join.residual)
                && !residual.holds(found)?
            {
                pair = None;
            }
            if pair.is_none() && join.is_left {
                pair = Some([row, vec![Value::Null; columns]].concat());
            }
            joined.extend(pair);
        }
        Ok(joined)
    }

    /// A semi-join or an anti-join: every pair is looked at.
    fn semi(&self, semi: &Semi) -> Result<Vec<Row>, Undecided> {
        let [rows, others] = [self.rows(&semi.input)?, self.rows(&semi.subquery)?];
        self.spend(rows.len() * others.len())?;
        let mut kept = Vec::new();
        for row in rows {
            let others: Vec<&Row> = match semi.windows {
                None => others.iter().collect(),
                Some(windows) => {
                    let others = others.iter();
                    others
                        .filter(|other| may_meet(Meeting::Window(windows), &row, other))
                        .collect()
                }
            };
            let found = match &semi.form {
                SemiForm::In(expression) => is_in(&expression.value(&row)?, &others),
                SemiForm::Exists(condition) => {
                    let mut found = false;
                    for other in others {
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

/// Whether two rows may meet, whatever else must hold.
fn may_meet(meeting: Meeting, one: &Row, other: &Row) -> bool {
    match meeting {
        Meeting::Any => true,
        Meeting::Interval(interval) => {
            let [time, other_time] = [&one[interval.times[0]], &other[interval.times[1]]];
            let distance_ms = other_time.int() - time.int();
            !time.is_null()
                && !other_time.is_null()
                && (interval.low_s * 1000..=interval.high_s * 1000).contains(&distance_ms)
        }
        Meeting::Window([left, right]) => {
            let is_same = |left: &Value, right: &Value| !left.is_null() && left == right;
            is_same(&one[left.0], &other[right.0]) && is_same(&one[left.1], &other[right.1])
        }
    }
}

/// Whether a value is among others; NULL when it may be.
fn is_in(value: &Value, others: &[&Row]) -> Option<bool> {
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
