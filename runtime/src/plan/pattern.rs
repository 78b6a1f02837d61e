//! `MATCH_RECOGNIZE` in the plan.
//!
//! Place in the flow: the specification of [`crate::plan::Operator::Match`]. Invariant: expressions of DEFINE and MEASURES read
//! columns of the input only through the functions named here, each with the pattern variable whose rows it looks at.

use serde::{Deserialize, Serialize};

use super::{SortField, TimeDomain};
use crate::sql::expr::Expr;

/// Name of the function `(variable, column)`: a column of a row of a variable. Inside `LAST`, `FIRST` and aggregates it
/// is computed for the rows that these look at; `*` means all variables. In DEFINE the variable that is being defined means the
/// row that is looked at as well.
pub const PATTERN_COLUMN: &str = "PATTERN COLUMN";

/// Name of the function `(expression, n)`: the expression on the last row of its variable but n.
pub const PATTERN_LAST: &str = "LAST";

/// Name of the function `(expression, n)`: the expression on the first row of its variable after n.
pub const PATTERN_FIRST: &str = "FIRST";

/// A pattern in rows that follow one another.
///
/// Emits the columns of PARTITION BY, then the measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// `PARTITION BY`.
    pub partition: Vec<usize>,
    /// `ORDER BY`; the first is a time attribute.
    pub order: Vec<SortField>,
    /// The clock of the first.
    pub domain: TimeDomain,
    /// `MEASURES`.
    pub measures: Vec<Expr>,
    /// `PATTERN`.
    pub pattern: Pattern,
    /// `DEFINE`; variables without a condition take any row.
    pub defines: Vec<(String, Expr)>,
    /// `AFTER MATCH SKIP`.
    pub skip: AfterMatch,
    /// `WITHIN`, milliseconds.
    pub within_ms: Option<i64>,
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pattern {
    /// A row of a variable.
    Variable(String),
    /// One after the other.
    Sequence(Vec<Pattern>),
    /// One of these.
    Alternation(Vec<Pattern>),
    /// Several times.
    Repeat {
        /// What.
        pattern: Box<Pattern>,
        /// At least.
        min: u32,
        /// At most; absent without a limit.
        max: Option<u32>,
        /// Whether as many as possible are taken.
        greedy: bool,
    },
}

/// Where the next match may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AfterMatch {
    /// Behind the last row of the match.
    PastLastRow,
    /// Behind its first row.
    ToNextRow,
    /// At the first row of a variable.
    ToFirst(String),
    /// At the last row of a variable.
    ToLast(String),
}
