//! A query, its tables and a way to run it: whether the runtime and the interpreter agree.
//!
//! Place in the flow: a seed makes a case, the shrinker makes smaller ones of it. Invariant: a case says the same whenever it is checked.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use weir_runtime::{Error, Kind};

use crate::expression::Undecided;
use crate::fault::Fault;
use crate::generate;
use crate::output::{Counts, Output, taken_back};
use crate::random::Random;
use crate::tables::{Content, TABLES, contents};
use crate::value::{Row, show};
use crate::world::{Changes, Running, World};

/// A query, its tables and a way to run it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    /// The query, or those of a statement set, and what becomes of their rows.
    pub(crate) outputs: Vec<Output>,
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
    Undecided,
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
    Rows(Counts, Changes),
}

impl Case {
    /// The case of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            contents: contents(&mut random),
            outputs: generate::outputs(&mut random),
            running: Running::random(&mut random),
        }
    }

    /// What the interpreter says.
    ///
    /// # Errors
    /// When it gives up.
    pub(crate) fn expected(&self) -> Result<Vec<Vec<Row>>, Undecided> {
        let outputs = self.outputs.iter();
        outputs
            .map(|output| output.expected(&self.contents))
            .collect()
    }

    /// The tables that are read.
    pub(crate) fn tables(&self) -> BTreeSet<usize> {
        let outputs = self.outputs.iter();
        outputs.flat_map(|output| output.query.tables()).collect()
    }

    /// What it is called in the summary.
    pub(crate) fn shapes(&self) -> BTreeSet<&'static str> {
        let mut shapes = BTreeSet::new();
        for output in &self.outputs {
            shapes.extend(output.query.shapes());
            shapes.insert(output.shape());
        }
        if self.outputs.len() > 1 {
            shapes.insert("statement set");
        }
        shapes
    }

    /// Runs it both ways.
    pub(crate) fn check(&self, world: &World, fault: Option<Fault>) -> Outcome {
        let Ok(expected) = self.expected() else {
            return Outcome::Undecided;
        };
        let planned = caught(|| world.plan(&self.outputs));
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
        let changes = match caught(|| world.run(&plan, self, fault)) {
            Ok(Ok(changes)) => changes,
            Ok(Err(error)) if error.kind == Kind::Unsupported => {
                return Outcome::Unsupported(error.message);
            }
            Ok(Err(error)) => return failed(&error),
            Err(panic) => return Outcome::Different(Difference::Failed(panic)),
        };
        compare(&self.outputs, &expected, changes)
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

/// Compares what changelogs fold to with what is expected.
fn compare(outputs: &[Output], expected: &[Vec<Row>], changes: Vec<Changes>) -> Outcome {
    for ((output, expected), changes) in outputs.iter().zip(expected).zip(changes) {
        let counts = output.differences(expected, &changes);
        if !counts.is_empty() {
            return Outcome::Different(Difference::Rows(counts, changes));
        }
        // A table with a primary key may be told to delete what it does not have.
        let taken_back = taken_back(&changes).filter(|_| output.key().is_empty());
        if let Some(place) = taken_back {
            return Outcome::Different(Difference::TakenBack(place, changes));
        }
    }
    Outcome::Same(expected.iter().map(Vec::len).sum())
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for output in &self.outputs {
            writeln!(f, "{:?}: {}", output.target, output.sql())?;
        }
        for table in self.tables() {
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
