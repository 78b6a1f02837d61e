//! Parsed statements to bound statements and plans.

use crate::error::{Error, Result};
use crate::plan::{Column, StreamPlan};
use crate::sql::ast::Statement;
use crate::sql::catalog::{Catalog, ObjectName, TableDef, ViewDef};
use crate::sql::session::Session;

/// What a statement asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// `CREATE TABLE`.
    CreateTable {
        /// Complete definition, options validated.
        table: TableDef,
        /// `IF NOT EXISTS`.
        if_not_exists: bool,
    },
    /// `ALTER TABLE`: the definition as it is to be.
    AlterTable {
        /// New definition.
        table: TableDef,
    },
    /// `DROP TABLE`.
    DropTable {
        /// Which.
        name: ObjectName,
        /// `IF EXISTS`.
        if_exists: bool,
    },
    /// `CREATE VIEW`.
    CreateView {
        /// Definition.
        view: ViewDef,
        /// `IF NOT EXISTS`.
        if_not_exists: bool,
    },
    /// `DROP VIEW`.
    DropView {
        /// Which.
        name: ObjectName,
        /// `IF EXISTS`.
        if_exists: bool,
    },
    /// A foreground query; the plan ends in a results sink.
    Query(StreamPlan, QueryInfo),
    /// `INSERT INTO` or `EXECUTE STATEMENT SET`.
    Insert(StreamPlan, QueryInfo),
    /// `SHOW`, `DESCRIBE`, `EXPLAIN`: an answer that is known already.
    Rows {
        /// Kind for `traits.sql_kind`: `SHOW_TABLES`, `DESCRIBE`, `EXPLAIN`, ...
        sql_kind: &'static str,
        /// Columns.
        columns: Vec<Column>,
        /// Rows of text; NULL is `None`.
        rows: Vec<Vec<Option<String>>>,
    },
    /// `SET 'key' = 'value'`, also what `USE` and `USE CATALOG` become.
    Set {
        /// Key.
        key: String,
        /// Value.
        value: String,
    },
    /// `RESET 'key'`, or everything.
    Reset {
        /// Key; absent for all.
        key: Option<String>,
    },
}

/// Facts about a query that clients ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryInfo {
    /// `SELECT`, `INSERT_INTO` or `STATEMENT_SET`.
    pub sql_kind: &'static str,
    /// Columns of a foreground query; empty otherwise.
    pub columns: Vec<Column>,
    /// Whether every source ends by itself.
    pub is_bounded: bool,
    /// Whether only inserts are emitted.
    pub is_append_only: bool,
    /// Columns that identify a result row.
    pub upsert_columns: Option<Vec<usize>>,
}

/// Binds a statement.
///
/// # Errors
/// `Invalid` or `Unsupported` with the place in the SQL text.
pub fn analyze(statement: &Statement, catalog: &dyn Catalog, session: &Session) -> Result<Bound> {
    let _ = (statement, catalog, session);
    Err(Error::unsupported("binder"))
}
