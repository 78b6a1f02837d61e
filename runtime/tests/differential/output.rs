//! What becomes of a query's rows: a client gets them, or a table.
//!
//! Place in the flow: the parts of a case that are asked; several are one statement set. Invariant: what a changelog leaves is compared by
//! counting rows, and in a table with a primary key by key.

use std::collections::{BTreeMap, BTreeSet};

use crate::evaluate;
use crate::expression::{Expression, Test, Undecided};
use crate::print::sql;
use crate::relation::Relation;
use crate::tables::{Content, TABLES};
use crate::value::{Row, Value};
use crate::world::Changes;

/// A query and what becomes of its rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Output {
    /// The query.
    pub(crate) query: Relation,
    /// Where to.
    pub(crate) target: Target,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Target {
    /// To a client.
    Client,
    /// To a table; without columns of a primary key it takes changes of any rows, else the last row of each key.
    Table(Vec<usize>),
}

/// What is wrong with rows: how often each is there, less how often it should be.
pub(crate) type Counts = BTreeMap<Row, i64>;

impl Output {
    /// The columns of the primary key.
    pub(crate) fn key(&self) -> &[usize] {
        match &self.target {
            Target::Client => &[],
            Target::Table(key) => key,
        }
    }

    /// The query as it is asked: rows with NULL in the primary key are left out.
    fn asked(&self) -> Relation {
        self.key().iter().fold(self.query.clone(), |query, column| {
            let column = Box::new(Expression::Column(*column));
            Relation::Filter(Box::new(query), Expression::Is(Test::NotNull, column))
        })
    }

    /// The SQL of the query.
    pub(crate) fn sql(&self) -> String {
        sql(&self.asked())
    }

    /// What the interpreter says.
    ///
    /// # Errors
    /// When it gives up.
    pub(crate) fn expected(&self, contents: &[Content]) -> Result<Vec<Row>, Undecided> {
        evaluate::rows(&self.asked(), contents)
    }

    /// What the changes leave, less what is expected. Of several rows of a primary key any may be the last one.
    pub(crate) fn differences(&self, expected: &[Row], changes: &Changes) -> Counts {
        let mut counts = Counts::new();
        if self.key().is_empty() {
            for (kind, row) in changes {
                let by = if kind.is_retraction() { -1 } else { 1 };
                *counts.entry(row.clone()).or_default() += by;
            }
            for row in expected {
                *counts.entry(row.clone()).or_default() -= 1;
            }
            counts.retain(|_, count| *count != 0);
            return counts;
        }
        let key_of = |row: &Row| -> Row { self.key().iter().map(|at| row[*at].clone()).collect() };
        let mut table: BTreeMap<Row, &Row> = BTreeMap::new();
        for (kind, row) in changes {
            if kind.is_retraction() {
                table.remove(&key_of(row));
            } else {
                table.insert(key_of(row), row);
            }
        }
        for row in table.values() {
            if !expected.contains(row) {
                counts.insert((*row).clone(), 1);
            }
        }
        for row in expected {
            if !table.contains_key(&key_of(row)) {
                counts.insert(row.clone(), -1);
            }
        }
        counts
    }

    /// What it is called in the summary.
    pub(crate) fn shape(&self) -> &'static str {
        match &self.target {
            Target::Client => "foreground",
            Target::Table(key) if key.is_empty() => "retract table",
            Target::Table(key) => {
                let wanted: BTreeSet<usize> = key.iter().copied().collect();
                let own = own_key(&self.query).map(BTreeSet::from_iter);
                if own == Some(wanted) {
                    "upsert table by own key"
                } else {
                    "upsert table"
                }
            }
        }
    }
}

/// The columns by which a query's rows are known, if its outermost operator says so.
pub(crate) fn own_key(query: &Relation) -> Option<Vec<usize>> {
    match query {
        Relation::Scan(table) => {
            let is_id = |(name, ..): &(&str, _, _)| *name == "id";
            let id = TABLES[*table].columns.iter().position(is_id);
            id.map(|id| vec![id])
        }
        Relation::Filter(input, _) => own_key(input),
        Relation::Over(over) => own_key(&over.input),
        Relation::Semi(semi) => own_key(&semi.input),
        Relation::Project(input, expressions) => {
            let place = |column: usize| {
                let mut expressions = expressions.iter();
                expressions.position(|expression| *expression == Expression::Column(column))
            };
            own_key(input)?.into_iter().map(place).collect()
        }
        Relation::Aggregate(aggregation) if aggregation.groups.sets.is_empty() => {
            Some((0..aggregation.groups.keys.len()).collect())
        }
        Relation::Deduplicate(last) => Some(last.keys.clone()),
        Relation::TopN(top) if top.has_number => {
            let number = top.input.columns().len();
            Some([top.partition.clone(), vec![number]].concat())
        }
        Relation::TopN(top) => own_key(&top.input),
        Relation::Distinct(input) => Some((0..input.columns().len()).collect()),
        _ => None,
    }
}

/// The place of the first change that takes back a row that is not there.
pub(crate) fn taken_back(changes: &Changes) -> Option<usize> {
    let mut counts: BTreeMap<&[Value], i64> = BTreeMap::new();
    changes.iter().position(|(kind, row)| {
        let count = counts.entry(row).or_default();
        *count += if kind.is_retraction() { -1 } else { 1 };
        *count < 0
    })
}
