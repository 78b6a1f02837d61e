//! Dead letters: records that failed to decode, and what is done with them.
//!
//! Enters: failures of a decoder. Leaves: rows of the error table, or a failed statement, per the table's
//! `error-handling.mode`. The raw key and value are always kept.

mod error_log;

pub use error_log::{error_log_columns, error_rows};

use crate::connector::source::TimestampType;
use crate::error::{Error, Result};
use crate::format::FailureCode;
use crate::sql::catalog::TableDef;

/// The error table's name unless the table says otherwise (Confluent's default).
pub const ERROR_LOG_DEFAULT: &str = "error_log";

/// What is done with a record that does not decode, with Confluent's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The statement fails: the default.
    Fail,
    /// The record is counted and dropped.
    Ignore,
    /// The record is written to the error table.
    Log,
}

/// A table's `error-handling.*` options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorHandling {
    /// What is done.
    pub mode: Mode,
    /// Name of the error table, in the table's own database.
    pub target: String,
}

impl ErrorHandling {
    /// Reads `error-handling.mode` and `error-handling.log.target`.
    ///
    /// # Errors
    /// `Invalid` for a mode that does not exist.
    pub fn parse(table: &TableDef) -> Result<Self> {
        let mode = match table.option("error-handling.mode").unwrap_or("fail") {
            "fail" => Mode::Fail,
            "ignore" => Mode::Ignore,
            "log" => Mode::Log,
            other => {
                return Err(Error::option(format!(
                    "option 'error-handling.mode': \"{other}\" is not one of fail, ignore, log"
                )));
            }
        };
        let target = table
            .option("error-handling.log.target")
            .unwrap_or(ERROR_LOG_DEFAULT);
        Ok(Self {
            mode,
            target: target.to_owned(),
        })
    }
}

/// A record that failed to decode, with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRecord {
    /// Why.
    pub code: FailureCode,
    /// What is wrong, naming field and place.
    pub message: String,
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, epoch milliseconds.
    pub timestamp_ms: i64,
    /// What the timestamp means.
    pub timestamp_type: TimestampType,
    /// Its headers.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Its key, raw.
    pub key: Option<Vec<u8>>,
    /// Its value, raw.
    pub value: Option<Vec<u8>>,
}

/// Where failed records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The statement that read them.
    pub statement_name: String,
    /// Catalog of the table.
    pub catalog: String,
    /// Database of the table.
    pub database: String,
    /// The table.
    pub table: String,
}
