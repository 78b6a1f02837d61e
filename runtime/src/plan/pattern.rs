//! `MATCH_RECOGNIZE` in the plan.
//!
//! Place in the flow: the specification of [`crate::plan::Operator::Match`]. Invariant: expressions of DEFINE and MEASURES read
//! columns of the input only through the functions named here, each with the pattern variable whose rows it looks at.

use serde::{Deserialize, Serialize};

use super::{AggregateFunction, SortField, TimeDomain};
use crate::error::{Error, Result};
use crate::sql::expr::{Expr, ExprKind, Literal};

/// Name of the function `(variable, column)`: a column of a row of a variable. Inside `LAST`, `FIRST` and aggregates it
/// is computed for the rows that these look at; `*` means all variables. In DEFINE the variable that is being defined means the
/// row that is looked at as well.
pub const PATTERN_COLUMN: &str = "PATTERN COLUMN";

/// Name of the function `(expression, n)`: the expression on the last row of its variable but n.
pub const PATTERN_LAST: &str = "LAST";

/// Name of the function `(expression, n)`: the expression on the first row of its variable after n.
pub const PATTERN_FIRST: &str = "FIRST";

/// Name of the function `(aggregate, arguments ...)`: an aggregate over the rows of the only variable that its arguments name, or of all
/// variables.
pub const PATTERN_AGGREGATE: &str = "PATTERN AGGREGATE";

/// Name of the function that gives the event time of a match.
pub const MATCH_ROWTIME: &str = "MATCH_ROWTIME";

/// Name of the function that gives the processing time of a match.
pub const MATCH_PROCTIME: &str = "MATCH_PROCTIME";

/// The first argument of [`PATTERN_AGGREGATE`]: the name of an aggregate.
///
/// # Errors
/// `Internal` only.
pub fn pattern_aggregate_name(function: AggregateFunction) -> Result<String> {
    match serde_json::to_value(function) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        _ => Err(Error::internal("an aggregate without a name")),
    }
}

/// The aggregate that the first argument of [`PATTERN_AGGREGATE`] names.
///
/// # Errors
/// `Internal` when it names none.
pub fn pattern_aggregate(name: &Expr) -> Result<AggregateFunction> {
    let ExprKind::Literal(Literal::String(name)) = &name.kind else {
        return Err(Error::internal("an aggregate without a name"));
    };
    let name = serde_json::Value::String(name.clone());
    serde_json::from_value(name).map_err(|_| Error::internal("an unknown aggregate"))
}

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
    /// `PATTERN`: variables that follow one another, each once.
    pub pattern: Vec<PatternVariable>,
    /// `DEFINE`; variables without a condition take any row.
    pub defines: Vec<(String, Expr)>,
    /// `AFTER MATCH SKIP`.
    pub skip: AfterMatch,
    /// `WITHIN`, milliseconds.
    pub within_ms: Option<i64>,
}

/// A variable of a pattern, with how often it is repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternVariable {
    /// Its name.
    pub name: String,
    /// Rows that it takes, at least.
    pub min: u32,
    /// Rows that it takes, at most; absent without a limit.
    pub max: Option<u32>,
    /// Whether it takes rows that the next one could take as well.
    pub greedy: bool,
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
