//! What a job needs from the outside.

use std::sync::Arc;

use crate::error::Result;
use crate::sql::catalog::{ObjectName, TableDef};
use crate::time::SharedClock;

/// Finds the table that dead letters are written to, creating it when it is missing.
pub type ErrorTables = Arc<dyn Fn(&ObjectName) -> Result<TableDef> + Send + Sync>;

/// What a job needs from the outside: clocks, logs, brokers and registries.
#[derive(Clone)]
pub struct Environment {
    /// Time.
    pub clock: SharedClock,
    /// Error tables by name.
    pub error_tables: ErrorTables,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}
