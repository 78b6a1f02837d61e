//! SQL text to parsed statements.

use crate::error::{Error, Result};
use crate::sql::ast::Statement;

/// Parses statements separated by semicolons.
///
/// # Errors
/// `Invalid` with line and column.
pub fn parse(text: &str) -> Result<Vec<Statement>> {
    Err(Error::syntax(text))
}
