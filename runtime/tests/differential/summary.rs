//! What was run, by shape of query.
//!
//! Place in the flow: counts outcomes and prints them at the end. Invariant: every query is counted once under each of its shapes.

use std::collections::BTreeMap;
use std::fmt;

use crate::case::{Case, Outcome};

/// Counts of queries of a shape.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    /// Run, with the same result.
    same: u64,
    /// Those of them whose result has rows.
    with_rows: u64,
    /// Run, with another result.
    different: u64,
    /// Not supported.
    unsupported: u64,
    /// Refused.
    refused: u64,
    /// Too large.
    undecided: u64,
}

/// What was run.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// All queries.
    all: Counts,
    /// By shape.
    shapes: BTreeMap<&'static str, Counts>,
    /// What is not supported, and how often.
    unsupported: BTreeMap<String, u64>,
    /// Why queries were refused, and how often.
    refused: BTreeMap<String, u64>,
}

impl Counts {
    /// Counts an outcome.
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Same(rows) => {
                self.same += 1;
                self.with_rows += u64::from(*rows > 0);
            }
            Outcome::Unsupported(_) => self.unsupported += 1,
            Outcome::Refused(_) => self.refused += 1,
            Outcome::Undecided => self.undecided += 1,
            Outcome::Different(_) => self.different += 1,
        }
    }
}

impl Summary {
    /// Counts a case.
    pub(crate) fn add(&mut self, case: &Case, outcome: &Outcome) {
        self.all.add(outcome);
        for shape in case.shapes() {
            self.shapes.entry(shape).or_default().add(outcome);
        }
        let (reasons, reason) = match outcome {
            Outcome::Unsupported(reason) => (&mut self.unsupported, reason),
            Outcome::Refused(reason) => (&mut self.refused, reason),
            Outcome::Same(_) | Outcome::Undecided | Outcome::Different(_) => return,
        };
        *reasons.entry(without_numbers(reason)).or_default() += 1;
    }

    /// Queries that were run to their end and gave rows.
    pub(crate) fn with_rows(&self) -> u64 {
        self.all.with_rows
    }

    /// Queries that were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.all.refused
    }

    /// All queries.
    pub(crate) fn queries(&self) -> u64 {
        let all = self.all;
        all.same + all.different + all.unsupported + all.refused + all.undecided
    }
}

/// A message without the numbers of names, so that equal ones are counted together.
fn without_numbers(message: &str) -> String {
    let mut text: String = message.chars().filter(|c| !c.is_ascii_digit()).collect();
    if let Some((end, _)) = text.char_indices().nth(160) {
        text.truncate(end);
    }
    text
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>8} {:>8} {:>8} {:>11} {:>8} {:>9}",
            self.same,
            self.with_rows,
            self.different,
            self.unsupported,
            self.refused,
            self.undecided
        )
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<24} {:>8} {:>8} {:>8} {:>11} {:>8} {:>9}",
            "shape", "same", "rows", "other", "unsupported", "refused", "undecided"
        )?;
        writeln!(f, "{:<24} {}", "all", self.all)?;
        for (shape, counts) in &self.shapes {
            writeln!(f, "{shape:<24} {counts}")?;
        }
        let lists = [
            ("unsupported", &self.unsupported),
            ("refused", &self.refused),
        ];
        for (what, reasons) in lists {
            for (reason, count) in reasons {
                writeln!(f, "{what} {count:>6}: {reason}")?;
            }
        }
        Ok(())
    }
}
