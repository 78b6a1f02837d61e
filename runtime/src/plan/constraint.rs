//! What a sink does with values that its columns do not take.
//!
//! Place in the flow: part of [`super::Operator`], in front of a sink and of the exchange by its key. Invariant: what Flink enforces
//! only when it is asked to is only there when it is asked for.

use serde::{Deserialize, Serialize};

use super::Column;

/// Enforces what the columns of a sink promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConstraintEnforcer {
    /// The columns of the sink.
    pub columns: Vec<Column>,
    /// What happens to NULL where none may be.
    pub not_null: NotNullEnforcer,
    /// What happens to values of another length.
    pub type_length: TypeLengthEnforcer,
    /// How deep it looks.
    pub nested: NestedEnforcer,
}

/// What a sink does with rows that have NULL where none may be.
///
/// # Source
/// Flink 2.3: `table.exec.sink.not-null-enforcer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum NotNullEnforcer {
    /// The statement fails.
    #[default]
    Error,
    /// They are left out.
    Drop,
}

/// What a sink does with values of CHAR(n), VARCHAR(n), BINARY(n) and VARBINARY(n) that have another length.
///
/// # Source
/// Flink 2.3: `table.exec.sink.type-length-enforcer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TypeLengthEnforcer {
    /// They are written as they are.
    #[default]
    Ignore,
    /// They are cut, and those of CHAR and BINARY are filled up.
    TrimPad,
    /// The statement fails.
    Error,
}

/// Where a sink looks for values that it does not take.
///
/// # Source
/// Flink 2.3: `table.exec.sink.nested-constraint-enforcer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum NestedEnforcer {
    /// In columns.
    #[default]
    Ignore,
    /// In rows within columns as well.
    Rows,
    /// In rows, arrays and maps within columns as well.
    RowsAndCollections,
}
