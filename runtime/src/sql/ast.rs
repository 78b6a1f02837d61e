//! Parsed statements.

/// A parsed statement.
#[derive(Debug, Clone)]
pub struct Statement;
