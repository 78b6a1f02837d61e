//! Order in the plan: over windows, ranks, deduplication, sorting.
//!
//! Place in the flow: specifications of operators of [`crate::plan::Operator`]. Invariant: an order says for every column where
//! NULL stands, so that no operator has a default of its own.

use serde::{Deserialize, Serialize};

use super::{AggregateCall, TimeDomain};

/// A column of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortField {
    /// The column of the input.
    pub column: usize,
    /// `DESC`.
    pub descending: bool,
    /// `NULLS LAST`. Without the clause NULL is the smallest value, as in Flink.
    pub nulls_last: bool,
}

/// Aggregates over the rows around each row.
///
/// Emits the columns of the input, then the aggregates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverAggregate {
    /// `PARTITION BY`.
    pub partition: Vec<usize>,
    /// `ORDER BY`.
    pub order: Vec<SortField>,
    /// Which rows.
    pub frame: Frame,
    /// The clock, when the order is by a time attribute.
    pub domain: Option<TimeDomain>,
    /// The aggregates.
    pub aggregates: Vec<AggregateCall>,
}

/// Which rows around a row an aggregate sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// What bounds count.
    pub unit: FrameUnit,
    /// The first row.
    pub start: FrameBound,
    /// The last row.
    pub end: FrameBound,
}

/// What the bounds of a frame count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameUnit {
    /// `ROWS`.
    Rows,
    /// `RANGE`: milliseconds of the ordering column, or its values.
    Range,
}

/// A bound of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameBound {
    /// `UNBOUNDED PRECEDING`.
    UnboundedPreceding,
    /// `n PRECEDING`, rows or milliseconds.
    Preceding(i64),
    /// `CURRENT ROW`.
    CurrentRow,
    /// `n FOLLOWING`, rows or milliseconds.
    Following(i64),
    /// `UNBOUNDED FOLLOWING`.
    UnboundedFollowing,
}

/// How rows that are equal in order are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RankFunction {
    /// `ROW_NUMBER`: one after the other.
    RowNumber,
    /// `RANK`: alike, leaving gaps.
    Rank,
    /// `DENSE_RANK`: alike, leaving none.
    DenseRank,
}

/// Which ranks are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RankRange {
    /// From one rank to another, both inclusive.
    Constant {
        /// From 1 on.
        start: i64,
        /// Not smaller than the start, unless nothing is kept.
        end: i64,
    },
    /// From 1 to the value of a column, which is the same in all rows of a key.
    Variable {
        /// The column of the input.
        end: usize,
    },
}

/// The first rows of each key.
///
/// Emits the columns of the input, then the rank if it is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rank {
    /// How ties are numbered.
    pub function: RankFunction,
    /// Key columns.
    pub partition: Vec<usize>,
    /// The order.
    pub order: Vec<SortField>,
    /// Which ranks.
    pub range: RankRange,
    /// Whether the rank is a column of the result.
    pub has_number: bool,
}

/// The first or last row of each key by a time attribute.
///
/// Emits the columns of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deduplicate {
    /// Key columns.
    pub keys: Vec<usize>,
    /// The time attribute.
    pub time: usize,
    /// Its clock.
    pub domain: TimeDomain,
    /// Whether the last row is kept, not the first.
    pub keep_last: bool,
}

/// Rows in order, as many as are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sort {
    /// The order; empty when rows are only counted.
    pub order: Vec<SortField>,
    /// `OFFSET`.
    pub offset: u64,
    /// `LIMIT` or `FETCH`; absent without either.
    pub fetch: Option<u64>,
    /// The clock of a sort by time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<TimeDomain>,
}
