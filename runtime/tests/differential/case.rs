//! A query, its tables and a way to run it: whether the runtime and the interpreter agree.
//!
//! Place in the flow: a seed makes a case, the shrinker makes smaller ones of it. Invariant: a case says the same whenever it is checked.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use weir_runtime::{Error, Kind};

use crate::evaluate;
use crate::expression::TooLarge;
use crate::fault::Fault;
use crate::generate;
use crate::print::sql;
use crate::random::Random;
use crate::relation::Relation;
use crate::tables::{Content, TABLES, contents};
use crate::value::{Row, show};
use crate::world::{Changes, Running, World};

/// A query, its tables and a way to run it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    /// The query.
    pub(crate) query: Relation,
    /// What is in the tables.
    pub(crate) contents: Vec<Content>,
    /// How it is run.
    pub(crate) running: Running,
}

/// What a case has shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// Both results are the same, with so many rows.
    Same(usize),
    /// The runtime says that it does not do this yet.
    Unsupported(String),
    /// The runtime says that this is no valid query.
    Refused(String),
    /// The interpreter has given up.
    TooLarge,
    /// The results are different, or there is none.
    Different(Difference),
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Difference {
    /// The job has failed or panicked, or a plan could not be made.
    Failed(String),
    /// A row was taken back that was not there: the place in the changelog.
    TakenBack(usize, Changes),
    /// Other rows than expected: how often each is there, less how often it should be.
    Rows(BTreeMap<Row, i64>, Changes),
}

impl Case {
    /// The case of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            contents: contents(&mut random),
            query: generate::query(&mut random),
            running: Running::random(&mut random),
        }
    }

    /// What the interpreter says.
    ///
    /// # Errors
    /// When it gives up.
    pub(crate) fn expected(&self) -> Result<Vec<Row>, TooLarge> {
        let tables: Vec<Vec<Row>> = self.contents.iter().map(Content::rows).collect();
        evaluate::rows(&self.query, &tables)
    }

    /// Runs it both ways.
    pub(crate) fn check(&self, world: &World, fault: Option<Fault>) -> Outcome {
        let Ok(expected) = self.expected() else {
            return Outcome::TooLarge;
        };
        let text = sql(&self.query);
        let planned = caught(|| world.plan(&text));
        let plan = match planned {
            Ok(Ok(plan)) => plan,
            Ok(Err(error)) if error.kind == Kind::Unsupported => {
                return Outcome::Unsupported(error.message);
            }
            Ok(Err(error)) if error.kind == Kind::Invalid => {
                return Outcome::Refused(error.message);
            }
            Ok(Err(error)) => return failed(&error),
            Err(panic) => return Outcome::Different(Difference::Failed(panic)),
        };
        let changes = match caught(|| world.run(&plan, &self.contents, self.running, fault)) {
            Ok(Ok(changes)) => changes,
            Ok(Err(error)) if error.kind == Kind::Unsupported => {
                return Outcome::Unsupported(error.message);
            }
            Ok(Err(error)) => return failed(&error),
            Err(panic) => return Outcome::Different(Difference::Failed(panic)),
        };
        compare(&expected, changes)
    }
}

/// A failure with its reason.
fn failed(error: &Error) -> Outcome {
    Outcome::Different(Difference::Failed(format!("{:?}: {error}", error.kind)))
}

/// What a call returns, or why it has panicked.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("a panic: {}", text.unwrap_or_default())
    })
}

/// Compares what a changelog folds to with what is expected.
fn compare(expected: &[Row], changes: Changes) -> Outcome {
    let mut counts: BTreeMap<&Row, i64> = BTreeMap::new();
    let mut taken_back = None;
    for (place, (kind, row)) in changes.iter().enumerate() {
        let count = counts.entry(row).or_default();
        *count += if kind.is_retraction() { -1 } else { 1 };
        if *count < 0 && taken_back.is_none() {
            taken_back = Some(place);
        }
    }
    for row in expected {
        *counts.entry(row).or_default() -= 1;
    }
    counts.retain(|_, count| *count != 0);
    if !counts.is_empty() {
        let counts = counts.into_iter();
        let counts = counts.map(|(row, count)| (row.clone(), count)).collect();
        return Outcome::Different(Difference::Rows(counts, changes));
    }
    match taken_back {
        Some(place) => Outcome::Different(Difference::TakenBack(place, changes)),
        None => Outcome::Same(expected.len()),
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", sql(&self.query))?;
        for table in self.query.tables() {
            writeln!(f, "{} {}:", TABLES[table].mode, TABLES[table].name)?;
            for (slot, kind, row) in self.contents[table].changelog(&TABLES[table]) {
                writeln!(f, "  {} {} (row {slot})", kind.short_name(), show(&row))?;
            }
        }
        write!(f, "{:?}", self.running)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changelog = match self {
            Self::Failed(reason) => return writeln!(f, "failed: {reason}"),
            Self::TakenBack(place, changes) => {
                writeln!(f, "change {place} takes back what is not there")?;
                changes
            }
            Self::Rows(counts, changes) => {
                for (row, count) in counts {
                    let what = if *count < 0 { "missing" } else { "too many" };
                    writeln!(f, "{what} {}: {}", count.abs(), show(row))?;
                }
                changes
            }
        };
        writeln!(f, "changelog:")?;
        for (kind, row) in changelog {
            writeln!(f, "  {} {}", kind.short_name(), show(row))?;
        }
        Ok(())
    }
}
