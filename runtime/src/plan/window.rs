//! Windows in the plan: how rows are assigned to them, and what is done per window.
//!
//! Place in the flow: specifications of operators of [`crate::plan::Operator`]. Invariant: all lengths are milliseconds, and what
//! was added after the first stored form is absent in it and has its meaning then.

use serde::{Deserialize, Serialize};

use super::{JoinKind, RankFunction, RankRange, SortField};
use crate::sql::expr::Expr;

/// Which clock a time attribute follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TimeDomain {
    /// Rowtime: watermarks.
    #[default]
    Event,
    /// The clock of the machine.
    Processing,
}

impl TimeDomain {
    /// Whether it is event time, which a stored plan does not say: checkpoints know their plan by its stored form.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands over references"
    )]
    fn is_event_time(&self) -> bool {
        *self == Self::Event
    }
}

/// How a row is assigned to windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The time attribute of the input; of an attached window the column of its end.
    pub time: usize,
    /// Its shape.
    pub kind: WindowKind,
    /// Time zone whose local time windows are aligned to when the rowtime is `TIMESTAMP_LTZ`.
    pub time_zone: String,
    /// Columns of `PARTITION BY`, of sessions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition: Vec<usize>,
    /// The clock of the time attribute.
    #[serde(default, skip_serializing_if = "TimeDomain::is_event_time")]
    pub domain: TimeDomain,
    /// The columns that hold the windows when rows come with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attached: Option<AttachedWindow>,
}

/// The columns of a window that was assigned before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedWindow {
    /// Inclusive start.
    pub start: usize,
    /// Exclusive end.
    pub end: usize,
}

/// The shape of a window; all fields are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowKind {
    /// `TUMBLE`.
    Tumble {
        /// Length.
        size_ms: i64,
        /// Shift of the first window from the epoch.
        offset_ms: i64,
    },
    /// `HOP`.
    Hop {
        /// Length.
        size_ms: i64,
        /// Between the starts of two windows.
        slide_ms: i64,
        /// Shift of the first window from the epoch.
        offset_ms: i64,
    },
    /// `CUMULATE`.
    Cumulate {
        /// Greatest length.
        size_ms: i64,
        /// By which a window is longer than the one before.
        step_ms: i64,
        /// Shift of the first window from the epoch.
        offset_ms: i64,
    },
    /// `SESSION`.
    Session {
        /// Time without rows that ends a session.
        gap_ms: i64,
    },
}

/// A property of a window as a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WindowProperty {
    /// Inclusive start, TIMESTAMP(3).
    Start,
    /// Exclusive end, TIMESTAMP(3).
    End,
    /// End minus 1 ms, the rowtime of the result.
    Time,
    /// The processing time at which the window is emitted.
    Proctime,
}

/// Joins the rows of two inputs that are in the same window.
///
/// Emits the columns of the left input, then those of the right one; of the left one alone for semi and anti joins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowJoin {
    /// Which rows are emitted.
    pub kind: JoinKind,
    /// The windows of the left input.
    pub left_window: AttachedWindow,
    /// The windows of the right input.
    pub right_window: AttachedWindow,
    /// Key columns of the left input, without the windows.
    pub left_keys: Vec<usize>,
    /// The columns of the right input that equal them.
    pub right_keys: Vec<usize>,
    /// For each key, whether NULL equals nothing.
    pub filter_nulls: Vec<bool>,
    /// What else must be TRUE, over the columns of both.
    pub residual: Option<Expr>,
    /// The time zone of the windows; none is UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub time_zone: String,
}

/// The first rows of each window and key.
///
/// Emits the columns of the input, then the rank if it is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowRank {
    /// The windows.
    pub window: AttachedWindow,
    /// How ties are numbered.
    pub function: RankFunction,
    /// Key columns, without the window.
    pub partition: Vec<usize>,
    /// The order.
    pub order: Vec<SortField>,
    /// Which ranks.
    pub range: RankRange,
    /// Whether the rank is a column of the result.
    pub has_number: bool,
    /// The time zone of the windows; none is UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub time_zone: String,
}

/// The first or last row of each window and key by a time attribute.
///
/// Emits the columns of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowDeduplicate {
    /// The windows.
    pub window: AttachedWindow,
    /// Key columns, without the window.
    pub keys: Vec<usize>,
    /// The time attribute.
    pub time: usize,
    /// Whether the last row is kept, not the first.
    pub keep_last: bool,
    /// The time zone of the windows; none is UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub time_zone: String,
}
