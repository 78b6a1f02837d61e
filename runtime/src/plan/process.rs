//! Functions that take a whole table.
//!
//! Place in the flow: part of [`super::Operator`]. Invariant: every argument is resolved; nothing is looked up while rows pass.

use serde::{Deserialize, Serialize};

use crate::batch::RowKind;

/// A function of Flink that takes a whole table and makes one of it.
///
/// # Source
/// Flink 2.3: built-in process table functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessTableFunction {
    /// `TO_CHANGELOG`: every change becomes a row.
    ///
    /// Emits the code of the change, then the columns of the input.
    ToChangelog {
        /// The code of each kind of change; changes of other kinds are dropped.
        codes: Vec<(RowKind, String)>,
    },
    /// `FROM_CHANGELOG`: every row becomes a change.
    ///
    /// Emits the columns of the input without the one of the code.
    FromChangelog {
        /// The column of the code.
        op: usize,
        /// The kind of change of each code.
        codes: Vec<(String, RowKind)>,
    },
}

impl ProcessTableFunction {
    /// Gives every column that it reads its new number.
    pub(super) fn map_columns(&mut self, map: &dyn Fn(usize) -> usize) {
        match self {
            Self::ToChangelog { .. } => {}
            Self::FromChangelog { op, .. } => *op = map(*op),
        }
    }
}
