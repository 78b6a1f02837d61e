//! Joins in the plan.
//!
//! Place in the flow: specifications of operators of [`crate::plan::Operator`]. Invariant: keys of the two inputs are of the same
//! stored types.

use serde::{Deserialize, Serialize};

use super::{Column, TimeDomain};
use crate::sql::expr::Expr;

/// Which rows a join emits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinKind {
    /// Pairs.
    Inner,
    /// Pairs, and rows of the left input without a match.
    Left,
    /// Pairs, and rows of the right input without a match.
    Right,
    /// Pairs, and rows of both inputs without a match.
    Full,
    /// Rows of the left input that have a match.
    Semi,
    /// Rows of the left input without a match.
    Anti,
}

impl JoinKind {
    /// Its name as Flink prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inner => "InnerJoin",
            Self::Left => "LeftOuterJoin",
            Self::Right => "RightOuterJoin",
            Self::Full => "FullOuterJoin",
            Self::Semi => "LeftSemiJoin",
            Self::Anti => "LeftAntiJoin",
        }
    }

    /// Whether only columns of the left input are emitted.
    pub fn is_left_only(self) -> bool {
        matches!(self, Self::Semi | Self::Anti)
    }

    /// Whether columns of the left input are NULL in some rows.
    pub fn nulls_left(self) -> bool {
        matches!(self, Self::Right | Self::Full)
    }

    /// Whether columns of the right input are NULL in some rows.
    pub fn nulls_right(self) -> bool {
        matches!(self, Self::Left | Self::Full)
    }
}

/// Joins rows whose times are near each other.
///
/// Emits the columns of the left input, then those of the right one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntervalJoin {
    /// Which rows are emitted.
    pub kind: JoinKind,
    /// Key columns of the left input.
    pub left_keys: Vec<usize>,
    /// The columns of the right input that equal them.
    pub right_keys: Vec<usize>,
    /// For each key, whether NULL equals nothing.
    pub filter_nulls: Vec<bool>,
    /// The time attribute of the left input.
    pub left_time: usize,
    /// The time attribute of the right input.
    pub right_time: usize,
    /// The clock of both.
    pub domain: TimeDomain,
    /// Least difference of left time minus right time, milliseconds, inclusive.
    pub lower_ms: i64,
    /// Greatest difference of left time minus right time, milliseconds, inclusive.
    pub upper_ms: i64,
    /// What else must be TRUE, over the columns emitted.
    pub residual: Option<Expr>,
}

/// Joins each row with the version of a table that was valid at its time.
///
/// Emits the columns of the left input, then those of the right one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemporalJoin {
    /// Which rows are emitted: INNER or LEFT.
    pub kind: JoinKind,
    /// Key columns of the left input.
    pub left_keys: Vec<usize>,
    /// The columns of the right input that equal them.
    pub right_keys: Vec<usize>,
    /// The time attribute of the left input.
    pub left_time: usize,
    /// The time attribute of the versions; absent in processing time.
    pub right_time: Option<usize>,
    /// The primary key of the versions.
    pub version_key: Vec<usize>,
    /// What else must be TRUE, over the columns emitted.
    pub residual: Option<Expr>,
    /// Whether the right input says what rows were before their updates, for somebody else: they end no version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignores_update_before: bool,
}

/// Name of the function that makes a row of each element of a collection.
pub const UNNEST: &str = "UNNEST";

/// Name of the function that repeats its further arguments as often as the first one says.
///
/// # Source
/// Flink: `$REPLICATE_ROWS$`.
pub const REPLICATE_ROWS: &str = "$REPLICATE_ROWS";

/// Joins each row with the rows that a function makes of it.
///
/// Emits the columns of the input, then those of the function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Correlate {
    /// Which rows are emitted: INNER or LEFT.
    pub kind: JoinKind,
    /// Name of the table function, upper case.
    pub function: String,
    /// Its arguments over the columns of the input.
    pub args: Vec<Expr>,
    /// Whether the last column of the function is the position of its row, from 1 on.
    pub with_ordinality: bool,
    /// Columns of the function.
    pub columns: Vec<Column>,
}
